#include "cluster/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void there_and_back(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        struct cluster_health health;
    } rows[] = {
        {"fra1", "fra1 load=37 shed=0 drain=0", {37, 0, false}},
        {"a-b_c.9Z", "a-b_c.9Z load=0 shed=100 drain=1", {0, 100, true}},
        {"two words=x%", "two%20words%3Dx%25 load=100 shed=1 drain=0", {100, 1, false}},
        {"\xff\n", "%FF%0A load=1 shed=0 drain=0", {1, 0, false}},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        char room[CLUSTER_HEALTH_TEXT_MAX], back_room[CLUSTER_HEALTH_TEXT_MAX];
        struct cluster_health back;
        struct span name;
        struct span text = cluster_health_put(span_text(rows[i].name), &rows[i].health, room);
        assert_true(span_equal(text, span_text(rows[i].text)));
        assert_int_equal(cluster_health_get(text, back_room, &name, &back), ERR_OK);
        assert_true(span_equal(name, span_text(rows[i].name)));
        assert_true(back.load == rows[i].health.load && back.shed == rows[i].health.shed &&
                    back.drain == rows[i].health.drain);
    }
}

static void the_longest_fits(void **state)
{
    (void)state;
    char name[128], room[CLUSTER_HEALTH_TEXT_MAX], back_room[CLUSTER_HEALTH_TEXT_MAX];
    struct cluster_health health = {255, 255, true}, back;
    struct span out;
    memset(name, 0x80, sizeof(name));
    struct span text = cluster_health_put(span_of(name, sizeof(name)), &health, room);
    assert_true(text.len < CLUSTER_HEALTH_TEXT_MAX);
    assert_int_equal(cluster_health_get(text, back_room, &out, &back), ERR_OK);
    assert_true(span_equal(out, span_of(name, sizeof(name))));
    assert_true(back.load == 100 && back.shed == 100 && back.drain);
}

static void what_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int load; /* -1: ERR_SYNTAX */
        int shed;
    } rows[] = {
        {"a load=5", 5, 0},
        {"a", 0, 0},
        {"a shed=7 load=5", 5, 7},
        {"a load=5 origin=app/0:down more", 5, 0}, /* what is to come */
        {"a  load=5 ", 5, 0},
        {"a load=100", 100, 0},
        {"a load=101", -1, 0},
        {"a load=-1", -1, 0},
        {"a load=", -1, 0},
        {"a load=99999999999999999999", -1, 0},
        {"a drain=2", -1, 0},
        {"", -1, 0},
        {" load=5", -1, 0},
        {"a%2", -1, 0},
        {"a%", -1, 0},
        {"a%xx load=1", -1, 0},
        {"a\tb load=1", -1, 0},
        {"a\x80 load=1", -1, 0},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        char room[CLUSTER_HEALTH_TEXT_MAX];
        struct cluster_health h = {.load = 0};
        struct span name;
        size_t len = strlen(rows[i].text);
        char *exact = malloc(len ? len : 1);
        memcpy(exact, rows[i].text, len);
        enum err err = cluster_health_get(span_of(exact, len), room, &name, &h);
        free(exact);
        if ((rows[i].load < 0) != (err == ERR_SYNTAX) ||
            (err == ERR_OK && (h.load != rows[i].load || h.shed != rows[i].shed)))
            fail_msg("%s: %s %u %u", rows[i].text, err_text(err), h.load, h.shed);
    }
    char room[CLUSTER_HEALTH_TEXT_MAX], big[CLUSTER_HEALTH_TEXT_MAX + 1];
    struct cluster_health h;
    struct span name;
    memset(big, 'a', sizeof(big));
    assert_int_equal(cluster_health_get(span_of(big, sizeof(big)), room, &name, &h),
                     ERR_SYNTAX);
    assert_int_equal(cluster_health_get(span_of(big, sizeof(big) - 1), room, &name, &h),
                     ERR_OK);
    assert_int_equal(cluster_health_get(span_of(NULL, 0), room, &name, &h), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(the_longest_fits),
        cmocka_unit_test(what_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
