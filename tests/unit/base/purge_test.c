#include "base/purge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void names_go_both_ways(void **state)
{
    (void)state;
    for (enum purge_kind k = PURGE_URL; k <= PURGE_ALL; k++) {
        enum purge_kind back;
        assert_true(purge_kind_parse(span_text(purge_kind_text(k)), &back) && back == k);
    }
    enum purge_kind kind;
    enum purge_mode mode;
    assert_false(purge_kind_parse(SPAN(""), &kind));
    assert_false(purge_kind_parse(SPAN("URL"), &kind));
    assert_false(purge_kind_parse(SPAN("group"), &kind)); /* nobody names it */
    assert_true(purge_mode_parse(SPAN("soft"), &mode) && mode == PURGE_SOFT);
    assert_true(purge_mode_parse(SPAN("hard"), &mode) && mode == PURGE_HARD);
    assert_false(purge_mode_parse(SPAN("softer"), &mode));
    assert_string_equal(purge_mode_text(PURGE_HARD), "hard");
}

static void shapes(void **state)
{
    (void)state;
    static const struct {
        enum purge_kind kind;
        const char *selector;
        enum err err;
        const char *why;
    } rows[] = {
        {PURGE_URL, "http://a.example/x?y", ERR_OK, "plain"},
        {PURGE_URL, "HTTPS://a.example", ERR_OK, "no path is the root"},
        {PURGE_URL, "http://a.example?q", ERR_OK, "a query after the host"},
        {PURGE_URL, "a.example/x", ERR_SYNTAX, "no scheme"},
        {PURGE_URL, "ftp://a.example/x", ERR_SYNTAX, "another scheme"},
        {PURGE_URL, "http:///x", ERR_SYNTAX, "no host"},
        {PURGE_URL, "http://:80/x", ERR_SYNTAX, "no host but a port"},
        {PURGE_URL, "http://u@a.example/x", ERR_SYNTAX, "userinfo"},
        {PURGE_URL, "http://a.example/x@y", ERR_OK, "@ in a path"},
        {PURGE_URL, "http://a.example/x y", ERR_SYNTAX, "space"},
        {PURGE_URL, "http://a.example/x\r\n", ERR_SYNTAX, "control octets"},
        {PURGE_URL, "http://a.example/\xc3\xa9", ERR_OK, "raw UTF-8"},
        {PURGE_URL, "", ERR_SYNTAX, "empty"},
        {PURGE_PATH, "/", ERR_OK, "root"},
        {PURGE_PATH, "x", ERR_SYNTAX, "no slash"},
        {PURGE_PATH, "", ERR_SYNTAX, "empty"},
        {PURGE_TAG, "product 12", ERR_OK, "Cache-Tag allows inner spaces"},
        {PURGE_TAG, "", ERR_SYNTAX, "empty"},
        {PURGE_TAG, "a\x7f", ERR_SYNTAX, "DEL"},
        {PURGE_PREFIX, "a.example/", ERR_OK, "the whole host"},
        {PURGE_PREFIX, "https://a.example/img/", ERR_OK, "with a scheme"},
        {PURGE_PREFIX, "a.example/img", ERR_OK, "no directory"},
        {PURGE_PREFIX, "a.example", ERR_SYNTAX, "a bare host could also mean a.example.org"},
        {PURGE_PREFIX, "/img/", ERR_SYNTAX, "no host"},
        {PURGE_PREFIX, "a.example?x/", ERR_SYNTAX, "a query first"},
        {PURGE_HOST, "a.example:8080", ERR_OK, "port"},
        {PURGE_HOST, "[::1]", ERR_OK, "an address"},
        {PURGE_HOST, "a.example/", ERR_SYNTAX, "path"},
        {PURGE_HOST, "a.example?", ERR_SYNTAX, "query"},
        {PURGE_HOST, "", ERR_SYNTAX, "empty"},
        {PURGE_ALL, "", ERR_OK, "nothing to select"},
        {PURGE_GROUP, "a.example g", ERR_SYNTAX, "in hints alone"},
        {PURGE_ALL, "x", ERR_SYNTAX, "a selector"},
        {(enum purge_kind)0, "x", ERR_SYNTAX, "no kind"},
        {(enum purge_kind)99, "x", ERR_SYNTAX, "unknown kind"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct purge p = {.kind = rows[i].kind, .mode = PURGE_HARD};
        p.selector = span_text(rows[i].selector);
        if (purge_check(&p) != rows[i].err)
            fail_msg("row %zu %s: %s", i, rows[i].selector, rows[i].why);
    }
}

static void groups(void **state)
{
    (void)state;
    static const struct {
        const char *selector;
        enum err err;
    } rows[] = {
        {"a.example g", ERR_OK},      {"a.example g h ", ERR_OK}, {"[::1] g", ERR_OK},
        {"a.example", ERR_SYNTAX},    {"a.example ", ERR_SYNTAX}, {" g", ERR_SYNTAX},
        {"a.example/ g", ERR_SYNTAX}, {"", ERR_SYNTAX},           {"a.example g\n", ERR_SYNTAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct purge p = {.kind = PURGE_GROUP, .mode = PURGE_HARD};
        p.selector = span_text(rows[i].selector);
        if (purge_check_hint(&p) != rows[i].err)
            fail_msg("row %zu %s", i, rows[i].selector);
    }
    struct purge p = {PURGE_TAG, PURGE_HARD, SPAN("t"), SPAN("")};
    assert_int_equal(purge_check_hint(&p), ERR_OK);
}

static void limits(void **state)
{
    (void)state;
    static char text[PURGE_SELECTOR_MAX + 1];
    memset(text, 'a', sizeof(text));
    struct purge p = {.kind = PURGE_TAG, .mode = PURGE_SOFT};
    p.selector = span_of(text, PURGE_SELECTOR_MAX);
    p.site = span_of(text, PURGE_SITE_MAX);
    assert_int_equal(purge_check(&p), ERR_OK);
    p.selector.len++;
    assert_int_equal(purge_check(&p), ERR_LIMIT);
    p.selector.len = 1;
    p.site.len++;
    assert_int_equal(purge_check(&p), ERR_LIMIT);
    p.site = SPAN("a\nb");
    assert_int_equal(purge_check(&p), ERR_SYNTAX);
    p.site = SPAN("");
    p.mode = (enum purge_mode)0;
    assert_int_equal(purge_check(&p), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(shapes),
        cmocka_unit_test(groups),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
