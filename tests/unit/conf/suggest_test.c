#include "conf/suggest.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_suggest(void **state)
{
    static const char *const known[] = {"listeners", "limits", "logs", "node", "sites", "id"};
    static const struct {
        const char *word, *best, *why;
    } rows[] = {
        {"listners", "listeners", "a letter is missing"},
        {"lisetners", "listeners", "two letters are swapped: one step"},
        {"Sites", "sites", "case does not count"},
        {"site", "sites", "the plural"},
        {"limit", "limits", "the nearest, not the first"},
        {"lgs", "logs", "a short word allows one step"},
        {"lg", "", "two steps in two letters: anything would do"},
        {"lmts", "limits", "two steps in four letters"},
        {"lxxxts", "", "three steps in six letters"},
        {"ip", "id", "one step of two letters"},
        {"cluster", "", "nothing is near"},
        {"", "", "empty"},
        {"x", "", "as far as it is long"},
        {"listenersssssssssssssssssssssssssssssssssssssss", "", "too long to compare"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct conf_suggest s;
        conf_suggest_init(&s, span_text(rows[i].word));
        for (size_t j = 0; j < ARRAY_LEN(known); j++)
            conf_suggest_offer(&s, span_text(known[j]));
        if (!span_equal(s.best, span_text(rows[i].best)))
            fail_msg("%s: %s: got \"%.*s\"", rows[i].word, rows[i].why, SPAN_ARG(s.best));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_suggest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
