#include "conf/environment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_expand(void **state)
{
    static const struct {
        const char *text, *expanded, *fault, *why;
    } rows[] = {
        {"plain", "plain", NULL, "nothing to do"},
        {"", "", NULL, "empty"},
        {"${PG_A}", "apple", NULL, "a variable"},
        {"x${PG_A}y${PG_A}", "xappleyapple", NULL, "several, in a text"},
        {"${PG_A:-b}", "apple", NULL, "set: the default is not used"},
        {"${PG_NONE:-b}", "b", NULL, "unset: the default"},
        {"${PG_EMPTY:-b}", "b", NULL, "empty: the default, as in the shell"},
        {"${PG_EMPTY}", "", NULL, "empty is not unset"},
        {"${PG_NONE:-}", "", NULL, "an empty default"},
        {"${PG_NONE:-http://h:1/?a-b}", "http://h:1/?a-b", NULL, "colons in a default"},
        {"${PG_SELF}", "${PG_A}", NULL, "values are not read again"},
        {"$PG_A $ $$", "$PG_A $ $$", NULL, "a lone dollar is itself"},
        {"$${PG_A}", "${PG_A}", NULL, "how to write it literally"},
        {"$$${PG_A}", "$${PG_A}", NULL, "only the last dollar escapes"},
        {"a$", "a$", NULL, "at the end"},
        {"${PG_NONE}", NULL, "the environment has no PG_NONE", "unset"},
        {"${PG_A", NULL, "\"${\" without \"}\" (a literal one is \"$${\")", "open"},
        {"${}", NULL, "\"${}\" is not ${NAME} or ${NAME:-default}", "no name"},
        {"${1A}", NULL, "\"${1A}\" is not ${NAME} or ${NAME:-default}", "a digit first"},
        {"${A-b}", NULL, "\"${A-b}\" is not ${NAME} or ${NAME:-default}", "colon missing"},
        {"${A:b}", NULL, "\"${A:b}\" is not ${NAME} or ${NAME:-default}", "dash missing"},
        {"${PG_BIG}", NULL, "longer than 64 KiB with the environment's values", "capped"},
    };
    (void)state;
    char *big = test_malloc(CONF_ENVIRONMENT_TEXT_MAX + 2);
    memset(big, 'x', CONF_ENVIRONMENT_TEXT_MAX + 1);
    big[CONF_ENVIRONMENT_TEXT_MAX + 1] = '\0';
    setenv("PG_A", "apple", 1);
    setenv("PG_EMPTY", "", 1);
    setenv("PG_SELF", "${PG_A}", 1);
    setenv("PG_BIG", big, 1);
    test_free(big);
    unsetenv("PG_NONE");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct conf_faults faults = {0};
        struct arena arena;
        struct span out = SPAN("unchanged");
        arena_init(&arena, 1 << 20);
        bool good = conf_environment_expand(&arena, span_text(rows[i].text),
                                            (struct conf_place){3, 4}, &faults, &out);
        if (good != (rows[i].fault == NULL))
            fail_msg("%s: %s", rows[i].text, rows[i].why);
        if (good) {
            assert_string_equal(out.ptr, rows[i].expanded);
            assert_int_equal(out.len, strlen(rows[i].expanded));
            assert_int_equal(faults.count, 0);
        } else {
            assert_int_equal(faults.errors, 1);
            assert_int_equal(faults.at[0].line, 3);
            assert_string_equal(faults.at[0].message, rows[i].fault);
        }
        arena_fini(&arena);
        conf_faults_fini(&faults);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_expand)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
