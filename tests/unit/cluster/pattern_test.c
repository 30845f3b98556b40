#include "cluster/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct row {
    const char *expression, *text;
    int match; /* 1, 0; -1: ERR_SYNTAX */
} rows[] = {
    {"", "", 1},
    {"", "abc", 1},
    {"b", "abc", 1},
    {"d", "abc", 0},
    {"^b", "abc", 0},
    {"^a", "abc", 1},
    {"c$", "abc", 1},
    {"b$", "abc", 0},
    {"^$", "", 1},
    {"^$", "a", 0},
    {"^abc$", "abc", 1},
    {"a.c", "abc", 1},
    {"a.c", "a\nc", 0},
    {"^eu-(west|north)-[0-9]+$", "eu-west-12", 1},
    {"^eu-(west|north)-[0-9]+$", "eu-south-12", 0},
    {"^eu-(west|north)-[0-9]+$", "eu-north-", 0},
    {"^(eu|us)$", "us", 1},
    {"^eu|us$", "eu-1", 1},
    {"^eu|us$", "1-us", 1},
    {"^eu|us$", "us-eu", 0},
    {"web|", "x", 1}, /* nothing is everywhere */
    {"a*", "", 1},
    {"^a*$", "aaaa", 1},
    {"^a*b$", "aaab", 1},
    {"^a+$", "", 0},
    {"^a+$", "aa", 1},
    {"^ab?c$", "ac", 1},
    {"^ab?c$", "abc", 1},
    {"^ab?c$", "abbc", 0},
    {"^a{3}$", "aaa", 1},
    {"^a{3}$", "aa", 0},
    {"^a{3}$", "aaaa", 0},
    {"^a{2,}$", "aaaaa", 1},
    {"^a{2,}$", "a", 0},
    {"^a{2,3}$", "aaa", 1},
    {"^a{2,3}$", "aaaa", 0},
    {"^a{0}$", "", 1},
    {"^(ab)*$", "ababab", 1},
    {"^(ab)*$", "ababa", 0},
    {"^(?:ab){2}$", "abab", 1},
    {"^(a|b)*c$", "ababc", 1},
    {"^(a*)*$", "aaa", 1}, /* rounds of nothing end */
    {"^(a*)+b$", "b", 1},
    {"^(|a){3}$", "", 1},
    {"^.*?x$", "abx", 1},
    {"^a+?$", "aaa", 1},
    {"[a-c]", "xbx", 1},
    {"^[^a-c]+$", "xyz", 1},
    {"^[^a-c]+$", "xaz", 0},
    {"^[]a]+$", "]a]", 1},
    {"^[^]a]$", "b", 1},
    {"^[a-]+$", "a-a", 1},
    {"^[-a]+$", "a-a", 1},
    {"^[\\d.]+$", "1.2.3", 1},
    {"^[\\]]$", "]", 1},
    {"^[\\-z]$", "-", 1},
    {"^[|()]+$", "(|)", 1},
    {"([)])", ")", 1},
    {"^1\\.2$", "1.2", 1},
    {"^1\\.2$", "1x2", 0},
    {"^\\d\\D\\w\\W\\s\\S$", "1a_- x", 1},
    {"^\\d$", "a", 0},
    {"^\\(a\\|b\\)$", "(a|b)", 1},
    {"x{", "x{", -1},
    {"{", "{", 1}, /* a literal where nothing can be repeated */
    {"\xc3\xa9", "caf\xc3\xa9", 1},
    {"[\xc0-\xff]", "\xc3", 1},
    /* what cannot be read */
    {"(", "", -1},
    {")", "", -1},
    {"a)", "a", -1},
    {"(a", "a", -1},
    {"[", "", -1},
    {"[a", "a", -1},
    {"[]", "]", -1},
    {"[[:alpha:]]", "a", -1},
    {"\\", "", -1},
    {"a\\", "a", -1},
    {"[\\", "", -1},
    {"\\b", "", -1},
    {"\\1", "", -1},
    {"[\\x]", "x", -1},
    {"*", "", -1},
    {"+a", "", -1},
    {"a**", "", -1},
    {"a|*", "", -1},
    {"(*a)", "", -1},
    {"(?i)a", "A", -1},
    {"(?P<n>a)", "a", -1},
    {"(?", "", -1},
    {"a{", "a", -1},
    {"a{1", "a", -1},
    {"a{,2}", "a", -1},
    {"a{2,1}", "a", -1},
    {"a{1001}", "a", -1},
    {"a{99999999999}", "a", -1},
    {"((((((((a))))))))", "a", 1},
    {"(((((((((a)))))))))", "a", -1},
};

static void table(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        /* Exact sizes, so that a byte too far is seen. */
        size_t elen = strlen(r->expression), tlen = strlen(r->text);
        char *e = malloc(elen ? elen : 1), *t = malloc(tlen ? tlen : 1);
        memcpy(e, r->expression, elen);
        memcpy(t, r->text, tlen);
        bool match = false;
        enum err err = cluster_pattern_match(span_of(e, elen), span_of(t, tlen), &match);
        int got = err == ERR_OK ? match : err == ERR_SYNTAX ? -1 : -2;
        if (got != r->match)
            fail_msg("/%s/ in \"%s\": %d", r->expression, r->text, got);
        free(e);
        free(t);
    }
}

static void no_expression_takes_long(void **state)
{
    (void)state;
    static const char *const evil[] = {
        "^(a+)+$",
        "^(a|a)*$",
        "^(a|aa)+$",
        "(a*)*(a*)*(a*)*(a*)*b",
        "^(([a-z])+.)+[A-Z]([a-z])+$",
        "a{0,1000}a{0,1000}a{0,1000}b",
        "((a{0,99}){0,99}){0,99}b",
        ".*.*.*.*.*.*.*.*=",
    };
    char text[512];
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '!';
    for (unsigned i = 0; i < ARRAY_LEN(evil); i++) {
        bool match = true;
        enum err err =
            cluster_pattern_match(span_text(evil[i]), span_of(text, sizeof(text)), &match);
        if (err != ERR_LIMIT)
            fail_msg("/%s/: %s", evil[i], err_text(err));
    }
}

static void limits(void **state)
{
    (void)state;
    char expression[CLUSTER_PATTERN_BYTES + 1];
    bool match = false;
    memset(expression, 'a', sizeof(expression));
    assert_int_equal(
        cluster_pattern_match(span_of(expression, sizeof(expression)), SPAN("a"), &match),
        ERR_LIMIT);
    assert_int_equal(
        cluster_pattern_match(span_of(expression, sizeof(expression) - 1), SPAN("a"), &match),
        ERR_OK);
    assert_false(match);
    /* A whole tag of 512 bytes is within the steps of a plain expression. */
    char text[512];
    memset(text, 'a', sizeof(text));
    assert_int_equal(
        cluster_pattern_match(SPAN("^[a-z]+$"), span_of(text, sizeof(text)), &match), ERR_OK);
    assert_true(match);
    assert_int_equal(cluster_pattern_match(SPAN("^.*a$"), span_of(text, sizeof(text)), &match),
                     ERR_OK);
    assert_true(match);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(no_expression_takes_long),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
