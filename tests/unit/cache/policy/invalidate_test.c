#include "tests/unit/cache/policy/lines.h"

#include "cache/policy/invalidate.h"

static const struct {
    const char *why;
    enum http_method method;
    const char *scheme, *authority;
    unsigned status;
    const char *answer, *want; /* joined by ' ' */
} rows[] = {
    {"POST", HTTP_POST, "http", "a.example", 200, "", "a.example/d/p?z"},
    {"PUT", HTTP_PUT, "http", "a.example", 204, "", "a.example/d/p?z"},
    {"DELETE, redirected", HTTP_DELETE, "http", "a.example", 303, "", "a.example/d/p?z"},
    {"a method nobody knows", HTTP_METHOD_OTHER, "http", "a.example", 200, "",
     "a.example/d/p?z"},
    {"safe ones do not", HTTP_GET, "http", "a.example", 200, "location: /b", ""},
    {"nor HEAD", HTTP_HEAD, "http", "a.example", 200, "", ""},
    {"nor OPTIONS", HTTP_OPTIONS, "http", "a.example", 200, "", ""},
    {"an error does not", HTTP_POST, "http", "a.example", 400, "", ""},
    {"nor a failure", HTTP_POST, "http", "a.example", 500, "", ""},
    {"the last that is none", HTTP_POST, "http", "a.example", 399, "", "a.example/d/p?z"},
    {"nor an interim one", HTTP_POST, "http", "a.example", 103, "", ""},
    {"Location", HTTP_POST, "http", "a.example", 201, "location: /b",
     "a.example/d/p?z "
     "a.example/b"},
    {"relative", HTTP_POST, "http", "a.example", 201, "location: b?c",
     "a.example/d/p?z a.example/d/b?c"},
    {"absolute, same origin", HTTP_POST, "https", "a.example", 201,
     "location: https://A.example:443/b", "a.example/d/p?z a.example/b"},
    {"another host", HTTP_POST, "http", "a.example", 201, "location: http://b.example/b",
     "a.example/d/p?z"},
    {"another scheme", HTTP_POST, "http", "a.example", 201, "location: https://a.example/b",
     "a.example/d/p?z"},
    {"another port", HTTP_POST, "http", "a.example", 201, "location: http://a.example:8080/b",
     "a.example/d/p?z"},
    {"the port it came by", HTTP_POST, "http", "a.example:8080", 201,
     "location: http://a.example:8080/b", "a.example/d/p?z a.example/b"},
    {"Content-Location", HTTP_POST, "http", "a.example", 200, "content-location: /c",
     "a.example/d/p?z a.example/c"},
    {"both", HTTP_POST, "http", "a.example", 200, "content-location: /c\nlocation: /b",
     "a.example/d/p?z a.example/b a.example/c"},
    {"each once", HTTP_POST, "http", "a.example", 200, "content-location: /b\nlocation: /b",
     "a.example/d/p?z a.example/b"},
    {"the target again", HTTP_POST, "http", "a.example", 200, "location: p?z",
     "a.example/d/p?z"},
    {"nonsense", HTTP_POST, "http", "a.example", 200, "location: http://[/", "a.example/d/p?z"},
};

static void test_rows(void **state)
{
    (void)state;
    static const struct conf_cache_key conf;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena arena;
        struct http_uri uri;
        struct policy_key key;
        struct policy_invalidated got;
        struct span text = {0};
        arena_init(&arena, 65536);
        struct http_request r = {.method = rows[i].method,
                                 .scheme = span_text(rows[i].scheme),
                                 .authority = span_text(rows[i].authority),
                                 .target = SPAN("/d/p?z")};
        struct http_response answer = {.status = (uint16_t)rows[i].status,
                                       .fields = lines(&arena, rows[i].answer)};
        assert_int_equal(http_uri_parse_target(r.target, &arena, &uri), ERR_OK);
        assert_int_equal(policy_key_make(&r, &uri, &conf, &arena, &key), ERR_OK);
        policy_invalidate(&r, &key, &answer, &conf, &arena, &got);
        for (uint32_t k = 0; k < got.count; k++)
            assert_true(arena_printf(&arena, &text, "%.*s%s%.*s", SPAN_ARG(text), k ? " " : "",
                                     SPAN_ARG(got.url[k])));
        ASSERT_SPAN(rows[i].why, text, span_text(rows[i].want));
        arena_fini(&arena);
    }
}

/* RFC 9875 3 */
static void test_groups(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        enum http_method method;
        unsigned status;
        const char *answer, *want;
    } of[] = {
        {"of an unsafe method", HTTP_POST, 200, "cache-group-invalidation: \"a\", \"b c\"",
         "a b c"},
        {"over several lines", HTTP_PUT, 204,
         "cache-group-invalidation: \"a\"\ncache-group-invalidation: \"b\"", "a b"},
        {"each once", HTTP_POST, 200, "cache-group-invalidation: \"a\", \"a\"", "a"},
        {"parameters mean nothing", HTTP_POST, 200, "cache-group-invalidation: \"a\";x=1", "a"},
        {"not of a safe one", HTTP_GET, 200, "cache-group-invalidation: \"a\"", ""},
        {"nor with an error", HTTP_POST, 500, "cache-group-invalidation: \"a\"", ""},
        {"tokens are no strings", HTTP_POST, 200, "cache-group-invalidation: a, \"b\"", ""},
        {"no list", HTTP_POST, 200, "cache-group-invalidation: \"a\" \"b\"", ""},
        {"another field", HTTP_POST, 200, "cache-groups: \"a\"", ""},
    };
    static const struct conf_cache_key conf;
    for (size_t i = 0; i < ARRAY_LEN(of); i++) {
        struct arena arena;
        struct http_uri uri;
        struct policy_key key;
        struct policy_invalidated got;
        struct span text = {0};
        arena_init(&arena, 65536);
        struct http_request r = {.method = of[i].method,
                                 .scheme = SPAN("http"),
                                 .authority = SPAN("a.example"),
                                 .target = SPAN("/x")};
        struct http_response answer = {.status = (uint16_t)of[i].status,
                                       .fields = lines(&arena, of[i].answer)};
        assert_int_equal(http_uri_parse_target(r.target, &arena, &uri), ERR_OK);
        assert_int_equal(policy_key_make(&r, &uri, &conf, &arena, &key), ERR_OK);
        policy_invalidate(&r, &key, &answer, &conf, &arena, &got);
        for (uint32_t k = 0; k < got.groups.count; k++)
            assert_true(arena_printf(&arena, &text, "%.*s%s%.*s", SPAN_ARG(text), k ? " " : "",
                                     SPAN_ARG(got.groups.at[k])));
        ASSERT_SPAN(of[i].why, text, span_text(of[i].want));
        arena_fini(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
