#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/http/structured.h"

/* Members are shown as "key=kind:value", an inner list as "(...)". */
static const struct {
    const char *why, *value, *want; /* want NULL: refused */
} list_rows[] = {
    {"empty", "", ""},
    {"only spaces", "   ", ""},
    {"one", "42", "i42"},
    {"several, any white space", "1,  2\t,3", "i1 i2 i3"},
    {"spaces at both ends", "  1  ", "i1"},
    {"a tab in front is none", "\t1", NULL},
    {"comma at the end", "1,", NULL},
    {"comma at the start", ",1", NULL},
    {"two commas", "1,,2", NULL},
    {"no comma", "1 2", NULL},
    {"negative", "-7", "i-7"},
    {"negative nothing", "-", NULL},
    {"fifteen digits", "999999999999999", "i999999999999999"},
    {"sixteen", "1000000000000000", NULL},
    {"decimal", "1.5", "d1500"},
    {"decimal, three places", "-0.125", "d-125"},
    {"decimal, four places", "0.1250", NULL},
    {"decimal without places", "1.", NULL},
    {"decimal, twelve digits before", "123456789012.1", "d123456789012100"},
    {"decimal, thirteen", "1234567890123.1", NULL},
    {"string", "\"a b\"", "s<a b>"},
    {"empty string", "\"\"", "s<>"},
    {"escapes", "\"a\\\"b\\\\\"", "s<a\"b\\>"},
    {"another escape", "\"a\\n\"", NULL},
    {"an escape cut off", "\"a\\", NULL},
    {"no end", "\"abc", NULL},
    {"a control octet", "\"a\x01\"", NULL},
    {"not ASCII", "\"\xc3\xa4\"", NULL},
    {"token", "foo/bar:baz", "t<foo/bar:baz>"},
    {"token with a star", "*x", "t<*x>"},
    {"token may not begin so", "&x", NULL},
    {"bytes", ":aGVsbG8=:", "b<aGVsbG8=>"},
    {"bytes without end", ":aGVs", NULL},
    {"booleans", "?1, ?0", "?1 ?0"},
    {"no boolean", "?2", NULL},
    {"date", "@1659578233", "@1659578233"},
    {"date with a fraction", "@1659578233.1", NULL},
    {"display string", "%\"f%c3%bc%20\"", "u<f\xc3\xbc >"},
    {"display string in upper case", "%\"f%C3%BC\"", NULL},
    {"display string, overlong", "%\"%c0%af\"", NULL},
    {"display string, overlong in three", "%\"%e0%80%af\"", NULL},
    {"display string, surrogate", "%\"%ed%a0%80\"", NULL},
    {"display string, cut", "%\"%c3\"", NULL},
    {"display string, over the last plane", "%\"%f4%90%80%80\"", NULL},
    {"display string, no end", "%\"abc", NULL},
    {"display string without quotes", "%abc", NULL},
    {"parameters are dropped", "a;q=1;b, \"x\";y=\"z\"", "t<a> s<x>"},
    {"a space in front of a parameter's name", "a; b", "t<a>"},
    {"a bad parameter", "a;B", NULL},
    {"a parameter without value behind =", "a;b=", NULL},
    {"inner list", "(1 \"a\";b  c), 2", "() i2"},
    {"empty inner list", "()", "()"},
    {"inner list without end", "(1 2", NULL},
    {"inner list with a comma", "(1, 2)", NULL},
    {"a nested one", "((1))", NULL},
    {"a NUL", "\"a\" \xff", NULL},
};

static const struct {
    const char *why, *value, *want;
} dictionary_rows[] = {
    {"empty", "", ""},
    {"key alone", "no-store", "no-store=?1"},
    {"several", "max-age=10, no-store=?0", "max-age=i10 no-store=?0"},
    {"the last of two counts, in place", "a=1, b=2, a=3", "a=i3 b=i2"},
    {"upper case", "Max-Age=10", NULL},
    {"space before =", "a =1", NULL},
    {"space after =", "a= 1", NULL},
    {"a digit first", "1a=1", NULL},
    {"star first", "*a=1", "*a=i1"},
    {"parameters", "a;x=1, b=2;y", "a=?1 b=i2"},
    {"inner list", "a=(1 2)", "a=()"},
    {"garbage behind", "max-age=10000, &&&&&", NULL},
    {"comma at the end", "a=1,", NULL},
};

static void show(const struct http_sf_members *m, char *out, size_t room)
{
    size_t at = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < m->count; i++) {
        const struct http_sf_item *item = &m->at[i].item;
        static const char marks[] = "idstb?@u";
        char value[128];
        if (m->at[i].is_inner_list)
            snprintf(value, sizeof value, "()");
        else if (item->kind == HTTP_SF_BOOLEAN)
            snprintf(value, sizeof value, "?%d", item->boolean);
        else if (item->kind == HTTP_SF_INTEGER || item->kind == HTTP_SF_DECIMAL ||
                 item->kind == HTTP_SF_DATE)
            snprintf(value, sizeof value, "%c%lld", marks[item->kind],
                     (long long)item->integer);
        else
            snprintf(value, sizeof value, "%c<%.*s>", marks[item->kind], SPAN_ARG(item->text));
        at += (size_t)snprintf(out + at, room - at, "%s%.*s%s%s", i ? " " : "",
                               SPAN_ARG(m->at[i].key), m->at[i].key.len ? "=" : "", value);
    }
}

static void check(const char *why, const char *value, const char *want,
                  enum err (*parse)(struct span, struct arena *, struct http_sf_members *))
{
    struct http_sf_members members;
    struct arena arena;
    char text[512];
    arena_init(&arena, 16384);
    enum err err = parse(span_text(value), &arena, &members);
    if (!want && err != ERR_SYNTAX)
        fail_msg("%s: not refused (%d)", why, err);
    if (want) {
        if (err)
            fail_msg("%s: %d", why, err);
        show(&members, text, sizeof text);
        if (strcmp(text, want) != 0)
            fail_msg("%s: got %s", why, text);
    }
    arena_fini(&arena);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(list_rows); i++)
        check(list_rows[i].why, list_rows[i].value, list_rows[i].want, http_sf_list);
    for (size_t i = 0; i < ARRAY_LEN(dictionary_rows); i++)
        check(dictionary_rows[i].why, dictionary_rows[i].value, dictionary_rows[i].want,
              http_sf_dictionary);
}

static void test_limit(void **state)
{
    (void)state;
    static char text[2 * (HTTP_SF_MEMBERS + 1)];
    struct http_sf_members members;
    struct arena arena;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 2 ? ',' : '1';
    arena_init(&arena, 1u << 20);
    assert_int_equal(http_sf_list(span_of(text, 2 * HTTP_SF_MEMBERS - 1), &arena, &members),
                     ERR_OK);
    assert_int_equal(members.count, HTTP_SF_MEMBERS);
    assert_int_equal(http_sf_list(span_of(text, 2 * HTTP_SF_MEMBERS + 1), &arena, &members),
                     ERR_LIMIT);
    arena_fini(&arena);
    arena_init(&arena, 16);
    assert_int_equal(http_sf_list(SPAN("1,2"), &arena, &members), ERR_LIMIT);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
