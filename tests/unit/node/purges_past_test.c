#include "node/purges_past.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define SECOND INT64_C(1000000)

/* A number every 10 ms that never gets a record, and none was forgotten that still counts. */
static void flood(int64_t tick_us, int64_t offset_us)
{
    struct purges_past past = {0};
    struct cluster_recent *recent = cluster_recent_create();
    uint64_t number = 1000, from = 0;
    int64_t tick_at_us = offset_us;
    for (int64_t now_us = offset_us; now_us < offset_us + 60 * SECOND; now_us += 10000) {
        cluster_recent_add_unnumbered(recent, 0, ++number, now_us);
        if (now_us >= tick_at_us) {
            from = purges_past_note(&past, now_us, number);
            tick_at_us += tick_us;
        }
        assert_true(from <= cluster_recent_oldest_unnumbered(recent, now_us));
    }
    /* and it does move on */
    assert_true(from > number - 100 * (PURGES_PAST_S + 2));
    cluster_recent_destroy(recent);
}

static void names_stay_as_long_as_their_purges_count(void **state)
{
    (void)state;
    static const struct {
        int64_t tick_us, offset_us;
    } rows[] = {{100000, 0},         {100000, 990000},         {70000, 7 * SECOND + 1},
                {990000, 123456789}, {100000, 86400 * SECOND}, {10000, 999999}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        flood(rows[i].tick_us, rows[i].offset_us);
}

static void the_first_number_stays_at_the_beginning(void **state)
{
    (void)state;
    struct purges_past p = {0};
    for (int64_t s = 0; s < PURGES_PAST_S; s++)
        assert_int_equal(purges_past_note(&p, 5 * SECOND + s * SECOND, 40 + (uint64_t)s), 40);
    assert_int_equal(purges_past_note(&p, 5 * SECOND + PURGES_PAST_S * SECOND, 99), 40);
    assert_int_equal(purges_past_note(&p, 6 * SECOND + PURGES_PAST_S * SECOND, 99), 41);
}

static void who_stood_still_keeps_more(void **state)
{
    (void)state;
    struct purges_past p = {0};
    for (int64_t s = 0; s < 30; s++)
        (void)purges_past_note(&p, s * SECOND, 100 + (uint64_t)s);
    assert_int_equal(purges_past_note(&p, 29 * SECOND + 900000, 500), 117);
    uint64_t from = purges_past_note(&p, 100 * SECOND, 600);
    assert_true(from >= 117 && from < 130);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_stay_as_long_as_their_purges_count),
        cmocka_unit_test(the_first_number_stays_at_the_beginning),
        cmocka_unit_test(who_stood_still_keeps_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
