#include "conf/shape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/conf/said.h"

#define TEN "abcdefghij"
#define SIXTY TEN TEN TEN TEN TEN TEN
#define LABEL63 SIXTY "abc"
/* 3 times 64, and 61: 253 bytes */
#define HOST253 LABEL63 "." LABEL63 "." LABEL63 "." SIXTY "a"

/* Lengths at their limits; the shapes themselves are rows of read_test.c. */
static void test_lengths(void **state)
{
    static const struct {
        const char *(*shape)(struct span text);
        const char *text;
        bool good;
    } rows[] = {
        {conf_shape_name, SIXTY "abcd", true},
        {conf_shape_name, SIXTY "abcde", false},
        {conf_shape_host, LABEL63 ".a", true},
        {conf_shape_host, LABEL63 "d.a", false},
        {conf_shape_host, HOST253, true},
        {conf_shape_host, HOST253 "b", false},
        {conf_shape_host_pattern, "*." HOST253, true},
        {conf_shape_host_pattern, "*.*", false},
        {conf_shape_host_pattern, "*.", false},
        {conf_shape_host, "1.2.3", false},
        {conf_shape_host, "1.2.3.x", true},
        {conf_shape_path_pattern, "/", true},
        {conf_shape_path_pattern, "/*", true},
        {conf_shape_path_pattern, "/a*", true},
        {conf_shape_path_pattern, "*", false},
        {conf_shape_path_pattern, "/**", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *wrong = rows[i].shape(span_text(rows[i].text));
        if ((wrong == NULL) != rows[i].good)
            fail_msg("%s: %s", rows[i].text, wrong ? wrong : "accepted");
    }
}

static void test_last_port(void **state)
{
    struct arena arena;
    struct conf_origin_server server = {0};
    (void)state;
    arena_init(&arena, 4096);
    assert_null(conf_shape_read_url(&arena, SPAN("http://a:65535"), &server));
    assert_int_equal(server.port, 65535);
    arena_fini(&arena);
}

/* "tags" may have 20 entries. */
static void test_list_length(void **state)
{
    (void)state;
    for (int count = 20; count <= 21; count++) {
        char text[1024];
        size_t used =
            (size_t)sprintf(text, "%s%ssites: [{ hosts: [a], tags: [", LISTENERS, ORIGINS);
        for (int i = 0; i < count; i++)
            used += (size_t)sprintf(text + used, "t%d,", i);
        sprintf(text + used, "] }]\n");
        bool good;
        char *said = said_of(span_text(text), &good);
        assert_string_equal(said,
                            count == 20 ? "" : "f:3:29: \"tags\" has more than 20 entries\n");
        free(said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_last_port),
        cmocka_unit_test(test_list_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
