#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/front/admit.h"

static const char *www[] = {"www.example.com"};
static const char *bare[] = {"bare.example.com"};
static const char *gets[] = {"GET"};
static struct addr_prefix ten = {.addr = {.family = ADDR_V4, .ip = {10}}, .bits = 8};
static struct conf_route routes[] = {
    {.path = "/gone", .respond_status = 410},
    {.path = "/admin/*", .allow = &ten, .allow_count = 1, .cache = true},
    {.path = "/read/*", .methods = {gets, 1}, .cache = true},
    {.path = "/app/*", .cache = true},
};
static struct conf_site sites[] = {
    {.name = "www", .hosts = {www, 1}, .routes = routes, .route_count = ARRAY_LEN(routes)},
    {.name = "bare", .hosts = {bare, 1}},
};
static struct conf conf = {.node = {.id = "fra1"}, .sites = sites, .site_count = 2};
static struct conf_listener plain_conf, moving_conf = {.redirect_https = true};
static const struct setup_listener plain = {.conf = &plain_conf},
                                   moving = {.conf = &moving_conf, .https_port = 443},
                                   moving_high = {.conf = &moving_conf, .https_port = 8443};

static const struct row {
    const char *why, *method, *authority, *target, *field;
    const struct setup_listener *listener;
    const char *client;
    enum front_admitted verdict;
    unsigned status;
    const char *value, *normal; /* of the field; the target afterwards */
    bool bad;
} rows[] = {
    {"served", "GET", "www.example.com", "/app/x", NULL, &plain, "192.0.2.1", FRONT_ADMIT_SERVE,
     0, NULL, "/app/x", false},
    {"a port does not matter", "GET", "www.example.com:8080", "/app/x", NULL, &plain,
     "192.0.2.1", FRONT_ADMIT_SERVE, 0, NULL, "/app/x", false},
    {"dot segments go", "GET", "www.example.com", "/read/../app/%7Ex?b=%c3", NULL, &plain,
     "192.0.2.1", FRONT_ADMIT_SERVE, 0, NULL, "/app/~x?b=%C3", false},
    {"an empty query stays", "GET", "www.example.com", "/app/x?", NULL, &plain, "192.0.2.1",
     FRONT_ADMIT_SERVE, 0, NULL, "/app/x?", false},
    {"a dot at the host's end", "GET", "www.example.com.", "/app/x", NULL, &plain, "192.0.2.1",
     FRONT_ADMIT_SERVE, 0, NULL, "/app/x", false},
    {"not allowed, by two slashes", "GET", "www.example.com", "//admin/x", NULL, &plain,
     "192.0.2.1", FRONT_ADMIT_ANSWER, 403, NULL, "//admin/x", false},
    {"not allowed, by a parameter", "GET", "www.example.com", "/admin;a/x", NULL, &plain,
     "192.0.2.1", FRONT_ADMIT_ANSWER, 403, NULL, "/admin;a/x", false},
    {"no redirect for others' hosts", "GET", "evil.example.com", "/x", NULL, &moving,
     "192.0.2.1", FRONT_ADMIT_ANSWER, 421, NULL, "/x", false},
    {"no such host", "GET", "other.example.com", "/app/x", NULL, &plain, "192.0.2.1",
     FRONT_ADMIT_ANSWER, 421, NULL, "/app/x", false},
    {"no such route", "GET", "www.example.com", "/x", NULL, &plain, "192.0.2.1",
     FRONT_ADMIT_ANSWER, 404, NULL, "/x", false},
    {"not this method", "POST", "www.example.com", "/read/x", NULL, &plain, "192.0.2.1",
     FRONT_ADMIT_ANSWER, 404, NULL, "/read/x", false},
    {"a route answers itself", "GET", "www.example.com", "/gone", NULL, &plain, "192.0.2.1",
     FRONT_ADMIT_ANSWER, 410, NULL, "/gone", false},
    {"not allowed", "GET", "www.example.com", "/admin/x", NULL, &plain, "192.0.2.1",
     FRONT_ADMIT_ANSWER, 403, NULL, "/admin/x", false},
    {"past the rules by an encoded slash", "GET", "www.example.com", "/app/..%2Fadmin/x", NULL,
     &plain, "192.0.2.1", FRONT_ADMIT_ANSWER, 400, NULL, "/app/..%2Fadmin/x", true},
    {"not allowed, by an encoded slash", "GET", "www.example.com", "/admin%2Fx", NULL, &plain,
     "192.0.2.1", FRONT_ADMIT_ANSWER, 403, NULL, "/admin%2Fx", false},
    {"allowed", "GET", "www.example.com", "/admin/x", NULL, &plain, "10.1.2.3",
     FRONT_ADMIT_SERVE, 0, NULL, "/admin/x", false},
    {"no host", "GET", "", "/app/x", NULL, &plain, "192.0.2.1", FRONT_ADMIT_ANSWER, 400, NULL,
     "/app/x", true},
    {"a target with a NUL", "GET", "www.example.com", "/app/%00", NULL, &plain, "192.0.2.1",
     FRONT_ADMIT_ANSWER, 400, NULL, "/app/%00", true},
    {"a fragment", "GET", "www.example.com", "/app/#x", NULL, &plain, "192.0.2.1",
     FRONT_ADMIT_ANSWER, 400, NULL, "/app/#x", true},
    {"CONNECT", "CONNECT", "www.example.com:443", "", NULL, &plain, "192.0.2.1",
     FRONT_ADMIT_ANSWER, 405, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", "", false},
    {"TRACE", "TRACE", "www.example.com", "/app/x", NULL, &plain, "192.0.2.1",
     FRONT_ADMIT_ANSWER, 405, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", "/app/x", false},
    {"OPTIONS of the server", "OPTIONS", "www.example.com", "*", NULL, &plain, "192.0.2.1",
     FRONT_ADMIT_ANSWER, 204, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", "*", false},
    {"an asterisk for another method", "GET", "www.example.com", "*", NULL, &plain, "192.0.2.1",
     FRONT_ADMIT_ANSWER, 400, NULL, "*", true},
    {"to https", "GET", "www.example.com:80", "/app/x?y", NULL, &moving, "192.0.2.1",
     FRONT_ADMIT_ANSWER, 308, "https://www.example.com/app/x?y", "/app/x?y", false},
    {"to https on another port", "POST", "www.example.com", "/x", NULL, &moving_high,
     "192.0.2.1", FRONT_ADMIT_ANSWER, 308, "https://www.example.com:8443/x", "/x", false},
    {"to https, normalised", "GET", "www.example.com", "/a/../x", NULL, &moving, "192.0.2.1",
     FRONT_ADMIT_ANSWER, 308, "https://www.example.com/x", "/x", false},
    {"it was here", "GET", "www.example.com", "/app/x", "cdn-loop: perigee;node=fra1", &plain,
     "192.0.2.1", FRONT_ADMIT_LOOP, 0, NULL, "/app/x", false},
    {"it was at another node", "GET", "www.example.com", "/app/x",
     "cdn-loop: perigee;node=ams1", &plain, "192.0.2.1", FRONT_ADMIT_SERVE, 0, NULL, "/app/x",
     false},
    {"a purge", "PURGE", "www.example.com", "/nowhere", NULL, &plain, "192.0.2.1",
     FRONT_ADMIT_PURGE, 0, NULL, "/nowhere", false},
    {"a purge of no site", "PURGE", "other.example.com", "/x", NULL, &plain, "192.0.2.1",
     FRONT_ADMIT_ANSWER, 421, NULL, "/x", false},
    {"a site without routes has none", "GET", "bare.example.com", "/", NULL, &plain,
     "192.0.2.1", FRONT_ADMIT_ANSWER, 404, NULL, "/", false},
};

static void check(const struct row *row, const struct setup *setup, struct arena *a)
{
    struct front_client client = {.listener = row->listener, .tls_version = ""};
    struct http_request r = {
        .method = http_method_find(span_text(row->method)),
        .version = HTTP_1_1,
        .method_text = span_text(row->method),
        .scheme = SPAN("http"),
        .authority = span_text(row->authority),
        .target = span_text(row->target),
    };
    struct front_admit ask = {setup, &client, {0}, &r, a};
    struct front_admission got;
    size_t at;
    assert_int_equal(addr_parse(span_text(row->client), &ask.address), ERR_OK);
    if (row->field) {
        struct span line = span_text(row->field);
        assert_true(span_find(line, ':', &at));
        assert_true(http_fields_add(&r.fields, a, span_until(line, at),
                                    span_trim(span_from(line, at + 1))));
    }
    front_admit(&ask, &got);
    if (got.verdict != row->verdict)
        fail_msg("%s: verdict %d, want %d (status %u)", row->why, got.verdict, row->verdict,
                 got.status);
    if (got.verdict == FRONT_ADMIT_ANSWER && got.status != row->status)
        fail_msg("%s: status %u", row->why, got.status);
    if (!span_equal(got.value, span_text(row->value)))
        fail_msg("%s: field %.*s", row->why, SPAN_ARG(got.value));
    if (!span_equal(r.target, span_text(row->normal)))
        fail_msg("%s: target %.*s", row->why, SPAN_ARG(r.target));
    if (got.bad != row->bad)
        fail_msg("%s: counted wrongly", row->why);
    if (got.verdict == FRONT_ADMIT_SERVE && (!got.route || !got.key.text.len))
        fail_msg("%s: no route or key", row->why);
}

static void table(void **state)
{
    (void)state;
    struct setup setup = {.conf = &conf, .sites = setup_sites_create(&conf)};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena a;
        arena_init(&a, 1 << 16);
        check(&rows[i], &setup, &a);
        arena_fini(&a);
    }
    setup_sites_destroy(setup.sites);
}

/* What the origin gets as Host is what the key was made from. */
static void authorities(void **state)
{
    static const struct {
        const char *scheme, *sent, *authority, *key;
    } sent[] = {
        {"http", "www.example.com", "www.example.com", "http|www.example.com:80|/app/"},
        {"http", "www.example.com:80", "www.example.com", "http|www.example.com:80|/app/"},
        {"http", "www.example.com.:080", "www.example.com", "http|www.example.com:80|/app/"},
        {"http", "www.example.com:", "www.example.com", "http|www.example.com:80|/app/"},
        {"http", "www.example.com.", "www.example.com", "http|www.example.com:80|/app/"},
        {"http", "WWW.example.com:443", "www.example.com:443",
         "http|www.example.com:443|/app/"},
        {"https", "www.example.com:0443", "www.example.com", "https|www.example.com:443|/app/"},
        {"https", "www.example.com.:8443", "www.example.com:8443",
         "https|www.example.com:8443|/app/"},
    };
    (void)state;
    struct setup setup = {.conf = &conf, .sites = setup_sites_create(&conf)};
    struct front_client client = {.listener = &plain, .tls_version = ""};
    for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
        struct arena a;
        arena_init(&a, 1 << 16);
        struct http_request r = {.method_text = SPAN("GET"),
                                 .scheme = span_text(sent[i].scheme),
                                 .authority = span_text(sent[i].sent),
                                 .target = SPAN("/app/")};
        struct front_admit ask = {&setup, &client, {.family = ADDR_V4}, &r, &a};
        struct front_admission got;
        front_admit(&ask, &got);
        assert_int_equal(got.verdict, FRONT_ADMIT_SERVE);
        if (!span_equal(r.authority, span_text(sent[i].authority)) ||
            !span_equal(got.key.text, span_text(sent[i].key)))
            fail_msg("%s: %.*s, %.*s", sent[i].sent, SPAN_ARG(r.authority),
                     SPAN_ARG(got.key.text));
        arena_fini(&a);
    }
    setup_sites_destroy(setup.sites);
}

/* A full arena is an answer, never a crash. */
static void no_memory(void **state)
{
    (void)state;
    struct setup setup = {.conf = &conf, .sites = setup_sites_create(&conf)};
    struct front_client client = {.listener = &moving, .tls_version = ""};
    for (size_t cap = 0; cap < 400; cap += 8) {
        struct arena a;
        arena_init(&a, cap);
        struct http_request r = {.method_text = SPAN("GET"),
                                 .authority = SPAN("www.example.com"),
                                 .target = SPAN("/app/../app/x?y=%7e")};
        struct front_admit ask = {&setup, &client, {.family = ADDR_V4}, &r, &a};
        struct front_admission got;
        client.listener = cap & 8 ? &moving : &plain;
        front_admit(&ask, &got);
        assert_true(got.verdict == FRONT_ADMIT_SERVE ||
                    (got.verdict == FRONT_ADMIT_ANSWER && got.status >= 300));
        arena_fini(&a);
    }
    setup_sites_destroy(setup.sites);
}

/* The believed scheme: https is not moved again, and each scheme has a key of its own. */
static void schemes(void **state)
{
    (void)state;
    struct setup setup = {.conf = &conf, .sites = setup_sites_create(&conf)};
    struct front_client client = {.listener = &plain, .tls_version = ""};
    struct front_admission http, https, got;
    struct arena a;
    arena_init(&a, 1 << 16);
    struct http_request r = {.method = HTTP_GET,
                             .method_text = SPAN("GET"),
                             .scheme = SPAN("http"),
                             .authority = SPAN("www.example.com"),
                             .target = SPAN("/app/x")};
    struct front_admit ask = {&setup, &client, {.family = ADDR_V4}, &r, &a};
    front_admit(&ask, &http);
    r.scheme = SPAN("https");
    front_admit(&ask, &https);
    assert_int_equal(http.verdict, FRONT_ADMIT_SERVE);
    assert_int_equal(https.verdict, FRONT_ADMIT_SERVE);
    assert_false(span_equal(http.key.text, https.key.text));
    client.listener = &moving;
    front_admit(&ask, &got);
    assert_int_equal(got.verdict, FRONT_ADMIT_SERVE);
    assert_true(span_equal(got.key.text, https.key.text));
    arena_fini(&a);
    setup_sites_destroy(setup.sites);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(authorities),
                                       cmocka_unit_test(schemes), cmocka_unit_test(no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
