#include "tests/unit/cache/policy/lines.h"

#include "base/purge.h"
#include "cache/policy/storable.h"

#define NOW_S INT64_C(784111777)
#define NOW "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:39:37 GMT"

static const struct {
    const char *why;
    enum http_method method;
    const char *request;
    unsigned status;
    const char *response;
    enum policy_storable want;
} rows[] = {
    {"fresh", HTTP_GET, "", 200, "cache-control: max-age=60", POLICY_STORE_YES},
    {"HEAD that was fetched with GET", HTTP_HEAD, "", 200, "cache-control: max-age=60",
     POLICY_STORE_YES},
    {"POST", HTTP_POST, "", 200, "cache-control: max-age=60\ncontent-location: /",
     POLICY_STORE_METHOD},
    {"unknown method", HTTP_METHOD_OTHER, "", 200, "cache-control: max-age=60",
     POLICY_STORE_METHOD},
    {"interim", HTTP_GET, "", 103, "cache-control: max-age=60", POLICY_STORE_STATUS},
    {"partial", HTTP_GET, "", 206, "cache-control: max-age=60", POLICY_STORE_STATUS},
    {"304", HTTP_GET, "", 304, "cache-control: max-age=60", POLICY_STORE_STATUS},
    {"600", HTTP_GET, "", 600, "cache-control: max-age=60", POLICY_STORE_STATUS},
    {"204", HTTP_GET, "", 204, "cache-control: max-age=60", POLICY_STORE_YES},
    {"an error with explicit freshness", HTTP_GET, "", 503, "cache-control: max-age=60",
     POLICY_STORE_YES},
    {"unknown, with explicit freshness", HTTP_GET, "", 599, "cache-control: max-age=60",
     POLICY_STORE_YES},
    {"must-understand, unknown", HTTP_GET, "", 299,
     "cache-control: max-age=60, must-understand", POLICY_STORE_STATUS},
    {"must-understand lifts no-store", HTTP_GET, "", 200,
     "cache-control: max-age=60, must-understand, no-store", POLICY_STORE_YES},
    {"but not for the unknown", HTTP_GET, "", 299,
     "cache-control: max-age=60, must-understand, no-store", POLICY_STORE_STATUS},
    {"no-store", HTTP_GET, "", 200, "cache-control: max-age=60, no-store",
     POLICY_STORE_NO_STORE},
    {"the client's no-store", HTTP_GET, "cache-control: no-store", 200,
     "cache-control: max-age=60", POLICY_STORE_NO_STORE},
    {"must-understand does not lift the client's", HTTP_GET, "cache-control: no-store", 200,
     "cache-control: max-age=60, must-understand", POLICY_STORE_NO_STORE},
    {"private", HTTP_GET, "", 200, "cache-control: max-age=60, private", POLICY_STORE_PRIVATE},
    {"private and public", HTTP_GET, "", 200, "cache-control: max-age=60, private, public",
     POLICY_STORE_PRIVATE},
    {"private for one field", HTTP_GET, "", 200, "cache-control: max-age=60, private=\"a\"",
     POLICY_STORE_YES},
    {"targeted outranks private", HTTP_GET, "", 200,
     "cache-control: private\ncdn-cache-control: max-age=60", POLICY_STORE_YES},
    {"Authorization", HTTP_GET, "authorization: x", 200, "cache-control: max-age=60",
     POLICY_STORE_AUTHORIZATION},
    {"with public", HTTP_GET, "authorization: x", 200, "cache-control: max-age=60, public",
     POLICY_STORE_YES},
    {"with s-maxage", HTTP_GET, "authorization: x", 200, "cache-control: s-maxage=60",
     POLICY_STORE_YES},
    {"with must-revalidate", HTTP_GET, "authorization: x", 200,
     "cache-control: max-age=60, must-revalidate", POLICY_STORE_YES},
    {"proxy-revalidate is not enough", HTTP_GET, "authorization: x", 200,
     "cache-control: max-age=60, proxy-revalidate", POLICY_STORE_AUTHORIZATION},
    {"a targeted field is not enough", HTTP_GET, "authorization: x", 200,
     "cdn-cache-control: max-age=60", POLICY_STORE_AUTHORIZATION},
    {"public in the field that was replaced", HTTP_GET, "authorization: x", 200,
     "cache-control: public\ncdn-cache-control: max-age=60", POLICY_STORE_AUTHORIZATION},
    {"Vary: *", HTTP_GET, "", 200, "cache-control: max-age=60\nvary: a\nvary: b, *",
     POLICY_STORE_VARY},
    {"Vary", HTTP_GET, "", 200, "cache-control: max-age=60\nvary: a", POLICY_STORE_YES},
    {"Content-Range on a 200", HTTP_GET, "", 200,
     "cache-control: max-age=60\ncontent-range: bytes 0-1/2", POLICY_STORE_PARTIAL},
    {"nothing known", HTTP_GET, "", 200, "", POLICY_STORE_LIFETIME},
    {"public is no freshness", HTTP_GET, "", 200, "cache-control: public",
     POLICY_STORE_LIFETIME},
    {"max-age=0 without validator", HTTP_GET, "", 200, "cache-control: max-age=0",
     POLICY_STORE_LIFETIME},
    {"arrives too old", HTTP_GET, "", 200, "cache-control: max-age=60\nage: 60",
     POLICY_STORE_LIFETIME},
    {"one second is left", HTTP_GET, "", 200, "cache-control: max-age=60\nage: 59",
     POLICY_STORE_YES},
    {"too old, but a window is open", HTTP_GET, "", 200,
     "cache-control: max-age=0, stale-if-error=5", POLICY_STORE_YES},
    {"the other window", HTTP_GET, "", 200,
     "cache-control: max-age=0, stale-while-revalidate=5", POLICY_STORE_YES},
    {"a window of nothing", HTTP_GET, "", 200, "cache-control: max-age=0, stale-if-error=0",
     POLICY_STORE_LIFETIME},
    {"the other one of nothing", HTTP_GET, "", 200,
     "cache-control: max-age=0, stale-while-revalidate=0", POLICY_STORE_LIFETIME},
    {"a window that is forbidden", HTTP_GET, "", 200,
     "cache-control: max-age=0, stale-if-error=5, must-revalidate", POLICY_STORE_LIFETIME},
    {"a tag to ask about", HTTP_GET, "", 200, "etag: \"a\"", POLICY_STORE_YES},
    {"a tag, expired", HTTP_GET, "", 200, "etag: \"a\"\ncache-control: max-age=0",
     POLICY_STORE_YES},
    {"a tag on a status nobody may keep", HTTP_GET, "", 302, "etag: \"a\"",
     POLICY_STORE_LIFETIME},
    {"Last-Modified", HTTP_GET, "", 200, "last-modified: " BEFORE, POLICY_STORE_YES},
    {"Last-Modified, just now", HTTP_GET, "", 200, "last-modified: " NOW, POLICY_STORE_YES},
    {"no Last-Modified worth the name", HTTP_GET, "", 200, "last-modified: x",
     POLICY_STORE_LIFETIME},
    {"Last-Modified on a 302", HTTP_GET, "", 302, "last-modified: " BEFORE,
     POLICY_STORE_LIFETIME},
    {"public on it", HTTP_GET, "", 302, "last-modified: " BEFORE "\ncache-control: public",
     POLICY_STORE_YES},
    {"a heuristic status", HTTP_GET, "", 410, "last-modified: " BEFORE, POLICY_STORE_YES},
    {"no-cache with a validator", HTTP_GET, "", 200, "etag: \"a\"\ncache-control: no-cache",
     POLICY_STORE_YES},
    {"no-cache without", HTTP_GET, "", 200, "cache-control: no-cache, max-age=60",
     POLICY_STORE_LIFETIME},
};

static const struct conf_ttl ttl = {-1, -1, -1, -1};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena arena;
        struct policy_facts facts;
        struct policy_control control;
        bool strip = false;
        arena_init(&arena, 65536);
        struct http_request request = {.method = rows[i].method,
                                       .fields = lines(&arena, rows[i].request)};
        struct http_response response = {.status = (uint16_t)rows[i].status,
                                         .fields = lines(&arena, rows[i].response)};
        policy_control_response(&response, &ttl, NOW_S, NOW_S, &arena, &facts, &control);
        struct policy_storable_ask ask = {
            &request, &response, &control, &facts, CONF_SET_COOKIE_DEFAULT, 0};
        enum policy_storable got = policy_storable_check(&ask, &strip);
        if (got != rows[i].want || strip)
            fail_msg("%s: got %d", rows[i].why, (int)got);
        arena_fini(&arena);
    }
}

/* Whatever is stored, a purge can name. */
static void test_long_urls(void **state)
{
    (void)state;
    static char target[PURGE_SELECTOR_MAX];
    memset(target, 'x', sizeof target);
    target[0] = '/';
    const size_t room = PURGE_SELECTOR_MAX - strlen("https://a.example:8443");
    for (size_t len = room - 1; len <= room + 1; len++) {
        struct arena arena;
        struct policy_facts facts;
        struct policy_control control;
        bool strip = false;
        arena_init(&arena, 65536);
        struct http_request request = {.method = HTTP_GET,
                                       .authority = SPAN("a.example:8443"),
                                       .target = span_of(target, len)};
        struct http_response response = {.status = 200,
                                         .fields = lines(&arena, "cache-control: max-age=60")};
        policy_control_response(&response, &ttl, NOW_S, NOW_S, &arena, &facts, &control);
        struct policy_storable_ask ask = {
            &request, &response, &control, &facts, CONF_SET_COOKIE_DEFAULT, 0};
        assert_int_equal(policy_storable_check(&ask, &strip),
                         len <= room ? POLICY_STORE_YES : POLICY_STORE_URL);
        char url[PURGE_SELECTOR_MAX + 16];
        int url_len = snprintf(url, sizeof url, "https://a.example:8443%.*s", (int)len, target);
        struct purge p = {PURGE_URL, PURGE_HARD, span_of(url, (size_t)url_len), SPAN("")};
        assert_int_equal(purge_check(&p), len <= room ? ERR_OK : ERR_LIMIT);
        arena_fini(&arena);
    }
}

static void test_set_cookie(void **state)
{
    (void)state;
    static const struct {
        const char *why, *response;
        enum conf_set_cookie rule;
        enum policy_storable want;
        bool want_strip;
    } cases[] = {
        {"not by max-age alone", "cache-control: max-age=60", CONF_SET_COOKIE_DEFAULT,
         POLICY_STORE_SET_COOKIE, false},
        {"public", "cache-control: max-age=60, public", CONF_SET_COOKIE_DEFAULT,
         POLICY_STORE_YES, false},
        {"s-maxage", "cache-control: s-maxage=60", CONF_SET_COOKIE_DEFAULT, POLICY_STORE_YES,
         false},
        {"targeted freshness", "cdn-cache-control: max-age=60", CONF_SET_COOKIE_DEFAULT,
         POLICY_STORE_YES, false},
        {"targeted without freshness", "etag: \"a\"\ncdn-cache-control: foo",
         CONF_SET_COOKIE_DEFAULT, POLICY_STORE_SET_COOKIE, false},
        {"it is not kept anyway", "cache-control: max-age=60, private=\"Set-Cookie\"",
         CONF_SET_COOKIE_DEFAULT, POLICY_STORE_YES, false},
        {"store", "cache-control: max-age=60", CONF_SET_COOKIE_STORE, POLICY_STORE_YES, false},
        {"refuse", "cache-control: max-age=60, public", CONF_SET_COOKIE_REFUSE,
         POLICY_STORE_SET_COOKIE, false},
        {"strip", "cache-control: max-age=60", CONF_SET_COOKIE_STRIP, POLICY_STORE_YES, true},
        {"strip changes no other rule", "cache-control: private", CONF_SET_COOKIE_STRIP,
         POLICY_STORE_PRIVATE, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena arena;
        struct span text;
        struct policy_facts facts;
        struct policy_control control;
        bool strip = false;
        arena_init(&arena, 65536);
        assert_true(arena_printf(&arena, &text, "set-cookie: a=b\n%s%c", cases[i].response, 0));
        struct http_request request = {.method = HTTP_GET};
        struct http_response response = {.status = 200, .fields = lines(&arena, text.ptr)};
        policy_control_response(&response, &ttl, NOW_S, NOW_S, &arena, &facts, &control);
        struct policy_storable_ask ask = {&request, &response,     &control,
                                          &facts,   cases[i].rule, 0};
        enum policy_storable got = policy_storable_check(&ask, &strip);
        if (got != cases[i].want || strip != cases[i].want_strip)
            fail_msg("%s: got %d", cases[i].why, (int)got);
        arena_fini(&arena);
    }
}

static void test_others(void **state)
{
    (void)state;
    struct arena arena;
    struct policy_facts facts;
    struct policy_control control;
    bool strip;
    arena_init(&arena, 65536);
    struct http_request request = {.method = HTTP_GET, .body_bytes = 1};
    struct http_response response = {.status = 200,
                                     .fields = lines(&arena, "cache-control: max-age=60")};
    policy_control_response(&response, &ttl, NOW_S, NOW_S, &arena, &facts, &control);
    struct policy_storable_ask ask = {&request, &response, &control, &facts, 0, 0};
    assert_int_equal(policy_storable_check(&ask, &strip), POLICY_STORE_BODY);
    request.body_bytes = HTTP_LENGTH_UNKNOWN;
    assert_int_equal(policy_storable_check(&ask, &strip), POLICY_STORE_BODY);
    request = (struct http_request){.method = HTTP_HEAD};
    response.body_absent = true; /* the origin was asked with HEAD */
    assert_int_equal(policy_storable_check(&ask, &strip), POLICY_STORE_METHOD);
    response.status = 204; /* which says nothing here: a 204 never has a body */
    assert_int_equal(policy_storable_check(&ask, &strip), POLICY_STORE_YES);

    /* the site's grace makes an expired answer worth keeping, s-maxage's own window does not */
    request = (struct http_request){.method = HTTP_GET};
    response = (struct http_response){.status = 200,
                                      .fields = lines(&arena, "cache-control: max-age=0")};
    policy_control_response(&response, &ttl, NOW_S, NOW_S, &arena, &facts, &control);
    ask.grace_s = 5;
    assert_int_equal(policy_storable_check(&ask, &strip), POLICY_STORE_YES);
    ask.grace_s = -1;
    assert_int_equal(policy_storable_check(&ask, &strip), POLICY_STORE_LIFETIME);
    response.fields = lines(&arena, "cache-control: s-maxage=0, stale-if-error=0");
    policy_control_response(&response, &ttl, NOW_S, NOW_S, &arena, &facts, &control);
    ask.grace_s = 5;
    assert_int_equal(policy_storable_check(&ask, &strip), POLICY_STORE_LIFETIME);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_long_urls),
        cmocka_unit_test(test_set_cookie),
        cmocka_unit_test(test_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
