#include "base/span.h"

#include <stdlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void compares(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        int order;
        bool equal, equal_nocase;
        const char *why;
    } rows[] = {
        {"", "", 0, true, true, "empty"},
        {"a", "", 1, false, false, "the shorter first"},
        {"ab", "abc", -1, false, false, "a prefix comes first"},
        {"ABC", "abc", -1, false, true, "case"},
        {"[", "{", -1, false, false, "only letters have a case: 0x5b and 0x7b"},
        {"\x80", "a", 1, false, false, "octets are unsigned"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct span a = span_text(rows[i].a), b = span_text(rows[i].b);
        int order = span_compare(a, b);
        if ((order > 0) - (order < 0) != rows[i].order || span_equal(a, b) != rows[i].equal ||
            span_equal_nocase(a, b) != rows[i].equal_nocase)
            fail_msg("row %zu: %s", i, rows[i].why);
    }
    assert_true(span_equal(span_of(NULL, 0), SPAN("")));
}

static void finds(void **state)
{
    (void)state;
    size_t at;
    assert_true(span_find(SPAN("a,b,c"), ',', &at) && at == 1);
    assert_true(span_rfind(SPAN("a,b,c"), ',', &at) && at == 3);
    assert_false(span_find(span_of(NULL, 0), ',', &at));
    assert_false(span_rfind(SPAN("abc"), ',', &at));
    assert_true(span_contains(SPAN("abc"), SPAN("bc")));
    assert_true(span_contains(span_of(NULL, 0), SPAN("")));
    assert_false(span_contains(span_of(NULL, 0), SPAN("a")));
    assert_true(span_starts(SPAN("abc"), SPAN("ab")) && !span_starts(SPAN("a"), SPAN("ab")));
    assert_true(span_starts_nocase(SPAN("ABc"), SPAN("ab")));
    assert_true(span_ends(SPAN("abc"), SPAN("bc")) && !span_ends(SPAN("c"), SPAN("bc")));
    assert_true(span_equal(span_trim(SPAN(" \t a b\t ")), SPAN("a b")));
    assert_int_equal(span_trim(SPAN(" \t ")).len, 0);
}

static void splits(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned count;
        const char *last;
    } rows[] = {{"", 1, ""}, {"a", 1, "a"}, {"a,,b", 3, "b"}, {",", 2, ""}, {"a,", 2, ""}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct span rest = span_text(rows[i].text), part = SPAN("none");
        unsigned count = 0;
        while (span_split(&rest, ',', &part))
            count++;
        assert_int_equal(count, rows[i].count);
        assert_true(span_equal(part, span_text(rows[i].last)));
    }
}

static void numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool u_ok, x_ok;
        uint64_t u;
        uint64_t x;
    } rows[] = {
        {"0", true, true, 0, 0},
        {"18446744073709551615", true, false, UINT64_MAX, 0},
        {"18446744073709551616", false, false, 0, 0},
        {"99999999999999999999", false, false, 0, 0},
        {"9223372036854775807", true, false, INT64_MAX, 0},
        {"9223372036854775808", true, false, (uint64_t)INT64_MAX + 1, 0},
        {"-9223372036854775808", false, false, 0, 0},
        {"-9223372036854775809", false, false, 0, 0},
        {"-0", false, false, 0, 0},
        {"-", false, false, 0, 0},
        {"", false, false, 0, 0},
        {"+1", false, false, 0, 0},
        {" 1", false, false, 0, 0},
        {"1 ", false, false, 0, 0},
        {"ffffffffffffffff", false, true, 0, UINT64_MAX},
        {"10000000000000000", true, false, UINT64_C(10000000000000000), 0},
        {"0x1", false, false, 0, 0},
        {"aF", false, true, 0, 0xaf},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct span s = span_text(rows[i].text);
        uint64_t u = 7, x = 7;
        if (span_to_u64(s, &u) != rows[i].u_ok || u != (rows[i].u_ok ? rows[i].u : 7))
            fail_msg("decimal %s", rows[i].text);
        if (rows[i].x_ok && (!span_hex_to_u64(s, &x) || x != rows[i].x))
            fail_msg("hex %s", rows[i].text);
        if (!rows[i].x_ok && !rows[i].u_ok && span_hex_to_u64(s, &x))
            fail_msg("hex %s", rows[i].text);
    }
}

static void globs(void **state)
{
    (void)state;
    static const struct {
        const char *text, *pattern;
        bool match;
    } rows[] = {
        {"", "", true},
        {"", "*", true},
        {"a", "", false},
        {"abc", "a*c", true},
        {"ac", "a*c", true},
        {"acb", "a*c", false},
        {"X-Foo", "x-*", true},
        {"x-", "x-*", true},
        {"aXbXc", "*x*c", true},
        {"aab", "*ab", true},
        {"abab", "*ab", true},
        {"mississippi", "m*iss*ip*i", true},
        {"abc", "**c**", true},
        {"abc", "abcd", false},
        {"a*c", "a*c", true},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "*a*a*a*a*a*a*a*a*a*a*c", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (span_glob(span_text(rows[i].text), span_text(rows[i].pattern)) != rows[i].match)
            fail_msg("%s against %s", rows[i].text, rows[i].pattern);
    }
}

static void copies(void **state)
{
    (void)state;
    char room[4] = "zzz";
    assert_int_equal(span_copy(SPAN("abcd"), room, sizeof(room)), ERR_LIMIT);
    assert_int_equal(span_copy(SPAN("a\0b"), room, sizeof(room)), ERR_SYNTAX);
    assert_int_equal(room[0], 'z');
    assert_int_equal(span_copy(SPAN("abc"), room, sizeof(room)), ERR_OK);
    assert_string_equal(room, "abc");
    assert_int_equal(span_copy(span_of(NULL, 0), room, 1), ERR_OK);
    assert_int_equal(span_copy(span_of(NULL, 0), room, 0), ERR_LIMIT);
    char *text = span_dup(span_until(SPAN("abcdef"), 3));
    assert_string_equal(text, "abc");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares), cmocka_unit_test(finds), cmocka_unit_test(splits),
        cmocka_unit_test(numbers),  cmocka_unit_test(globs), cmocka_unit_test(copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
