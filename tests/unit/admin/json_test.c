#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "admin/json.h"

static const struct {
    const char *why, *text;
    bool ok;
} rows[] = {
    {"an object", "{\"a\": [1, true, null, \"x\"]}", true},
    {"empty object", " {} ", true},
    {"nothing", "", false},
    {"a list on top", "[1]", false},
    {"a string on top", "\"a\"", false},
    {"duplicate key", "{\"a\":1,\"a\":2}", false},
    {"duplicate key, one escaped", "{\"a\":1,\"\\u0061\":2}", false},
    {"trailing bytes", "{} x", false},
    {"a second value", "{}{}", false},
    {"bad UTF-8", "{\"a\":\"\xff\"}", false},
    {"overlong UTF-8", "{\"a\":\"\xc0\xaf\"}", false},
    {"a surrogate alone", "{\"a\":\"\\ud800\"}", false},
    {"NUL in a string", "{\"a\":\"\\u0000\"}", false},
    {"comma at the end", "{\"a\":1,}", false},
    {"comments", "{/* x */}", false},
    {"single quotes", "{'a':1}", false},
    {"control octet in a string", "{\"a\":\"\n\"}", false},
    {"not closed", "{\"a\":1", false},
};

static void test_strict(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char fault[200] = "";
        struct admin_json *v = admin_json_parse(span_text(rows[i].text), fault, sizeof fault);
        if ((v != NULL) != rows[i].ok || (!v && !fault[0]))
            fail_msg("%s: %s", rows[i].why, fault);
        admin_json_free(v);
    }
    char nul[] = "{}\0", fault[200];
    assert_null(admin_json_parse(span_of(nul, sizeof nul - 1), fault, sizeof fault));
}

static void test_nesting(void **state)
{
    (void)state;
    static char text[200000];
    char fault[200];
    memset(text, '[', sizeof text);
    memcpy(text, "{\"a\":", 5);
    assert_null(admin_json_parse(span_of(text, sizeof text), fault, sizeof fault));
}

static void test_members(void **state)
{
    (void)state;
    char fault[200];
    static const char *const known[] = {"t", "b", "i", "l"};
    struct admin_json *v = admin_json_parse(
        SPAN("{\"t\":\"x\",\"b\":true,\"i\":-5,\"l\":[\"y\"],\"z\":1.5}"), fault, sizeof fault);
    struct span text;
    bool boolean;
    int64_t integer;
    size_t count;
    assert_true(admin_json_text(admin_json_member(v, "t"), &text));
    assert_true(span_equal(text, SPAN("x")));
    assert_true(admin_json_boolean(admin_json_member(v, "b"), &boolean) && boolean);
    assert_true(admin_json_integer(admin_json_member(v, "i"), &integer) && integer == -5);
    assert_true(admin_json_list(admin_json_member(v, "l"), &count) && count == 1);
    assert_true(admin_json_text(admin_json_at(admin_json_member(v, "l"), 0), &text));
    assert_false(admin_json_text(admin_json_member(v, "i"), &text));
    assert_false(admin_json_boolean(admin_json_member(v, "i"), &boolean));
    assert_false(admin_json_integer(admin_json_member(v, "z"), &integer));
    assert_false(admin_json_list(admin_json_member(v, "t"), &count));
    assert_null(admin_json_member(v, "nothing"));
    assert_string_equal(admin_json_unknown(v, known, ARRAY_LEN(known)), "z");
    admin_json_free(v);
}

/* What is written parses again, whatever octets it was made of. */
static void test_write(void **state)
{
    (void)state;
    char hostile[256], fault[200];
    struct buf out;
    struct span text;
    for (int i = 0; i < 256; i++)
        hostile[i] = (char)i;
    buf_init(&out, 0);
    struct admin_writer w = {.out = &out};
    admin_json_open(&w, NULL, '{');
    admin_json_put_text(&w, "q", SPAN("a\"b\\c\xc3\xa4\xed\xa0\x80"));
    admin_json_open(&w, "l", '[');
    admin_json_open(&w, NULL, '{');
    admin_json_close(&w, '}');
    admin_json_put_unsigned(&w, NULL, UINT64_MAX);
    admin_json_put_integer(&w, NULL, INT64_MIN);
    admin_json_close(&w, ']');
    admin_json_put_boolean(&w, "b", false);
    admin_json_close(&w, '}');
    assert_true(
        span_equal(buf_span(&out),
                   SPAN("{\"q\":\"a\\\"b\\\\c\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\","
                        "\"l\":[{},18446744073709551615,-9223372036854775808],\"b\":false}")));
    buf_clear(&out);
    w.comma = false;
    admin_json_open(&w, NULL, '{');
    admin_json_put_text(&w, "x", span_of(hostile, 256));
    admin_json_close(&w, '}');
    struct admin_json *v = admin_json_parse(buf_span(&out), fault, sizeof fault);
    if (!v)
        fail_msg("%s", fault);
    assert_true(admin_json_text(admin_json_member(v, "x"), &text));
    assert_true(text.len == 127 + 129 * 3); /* NUL and each high octet became U+FFFD */
    admin_json_free(v);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strict),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
