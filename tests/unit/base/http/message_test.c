#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/http/message.h"

static void methods(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum http_method method;
        bool safe, idempotent;
    } rows[] = {
        {"GET", HTTP_GET, true, true},
        {"HEAD", HTTP_HEAD, true, true},
        {"POST", HTTP_POST, false, false},
        {"PUT", HTTP_PUT, false, true},
        {"DELETE", HTTP_DELETE, false, true},
        {"OPTIONS", HTTP_OPTIONS, true, true},
        {"PATCH", HTTP_PATCH, false, false},
        {"TRACE", HTTP_TRACE, true, true},
        {"CONNECT", HTTP_CONNECT, false, false},
        {"PURGE", HTTP_PURGE, false, false},
        {"get", HTTP_METHOD_OTHER, false, false},
        {"", HTTP_METHOD_OTHER, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum http_method m = http_method_find(span_text(rows[i].text));
        assert_int_equal(m, rows[i].method);
        assert_int_equal(http_method_is_safe(m), rows[i].safe);
        assert_int_equal(http_method_is_idempotent(m), rows[i].idempotent);
        if (m != HTTP_METHOD_OTHER)
            assert_true(span_equal(http_method_text(m), span_text(rows[i].text)));
    }
    assert_int_equal(http_method_text(HTTP_METHOD_OTHER).len, 0);
}

static void answers(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *body;
    } rows[] = {
        {404, "404 Not Found\n"},
        {503, "503 Service Unavailable\n"},
        {599, "599\n"},
        {204, ""},
        {304, ""},
    };
    struct arena a;
    arena_init(&a, 4096);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_response r;
        struct span body;
        assert_true(http_answer(&r, &a, rows[i].status, &body));
        assert_int_equal(r.status, rows[i].status);
        assert_true(span_equal(body, span_text(rows[i].body)));
        assert_int_equal(r.body_bytes, body.len);
        assert_int_equal(r.body_absent, body.len == 0);
        assert_int_equal(r.length_declared, body.len > 0);
        assert_non_null(http_fields_find(&r.fields, HTTP_NAME_CACHE_CONTROL));
    }
    arena_fini(&a);
    arena_init(&a, 16);
    struct http_response r;
    struct span body;
    assert_false(http_answer(&r, &a, 404, &body));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods),
        cmocka_unit_test(answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
