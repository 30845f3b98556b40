#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/front/rewrite.h"

static struct arena arena;

/* "name: value\n" lines to fields and back. */
static struct http_fields fields_of(const char *lines)
{
    struct http_fields f = {0};
    struct span rest = span_text(lines), line;
    size_t colon;
    while (span_split(&rest, '\n', &line) && line.len) {
        assert_true(span_find(line, ':', &colon));
        assert_true(http_fields_add(&f, &arena, span_until(line, colon),
                                    span_trim(span_from(line, colon + 1))));
    }
    return f;
}

static const char *lines_of(const struct http_fields *f)
{
    struct span all = SPAN("");
    for (uint32_t i = 0; i < f->count; i++)
        assert_true(arena_printf(&arena, &all, "%.*s%.*s: %.*s\n", SPAN_ARG(all),
                                 SPAN_ARG(f->at[i].name), SPAN_ARG(f->at[i].value)));
    assert_true(arena_printf(&arena, &all, "%.*s%c", SPAN_ARG(all), 0));
    return all.ptr;
}

static struct conf conf = {.node = {.id = "fra1"}};
static struct conf_site site;
static const struct conf_origin_server clear = {
    .host = "img.internal", .port = 8080, .authority = "img.internal:8080"};
static const struct conf_origin_server secure = {
    .tls = true, .host = "app.internal", .port = 443, .authority = "app.internal"};
static const struct conf_origin_server v6 = {
    .host = "2001:db8::5", .port = 80, .authority = "[2001:db8::5]"};

static struct front_rewrite way(const struct conf_origin *origin)
{
    struct front_rewrite w = {.conf = &conf,
                              .site = &site,
                              .origin = origin,
                              .client_tls = true,
                              .authority = SPAN("www.example.com"),
                              .request_id = 0xabc};
    assert_int_equal(addr_parse(SPAN("192.0.2.7"), &w.client), ERR_OK);
    return w;
}

#define OURS                                                                                   \
    "x-forwarded-for: 192.0.2.7\nx-forwarded-proto: https\n"                                   \
    "x-forwarded-host: www.example.com\nx-request-id: 0000000000000abc\n"
#define PATH_11 "via: 1.1 perigee\ncdn-loop: perigee;node=fra1\n"

static void outgoing_fields(void **state)
{
    (void)state;
    const struct {
        const char *why;
        bool proxy;
        enum http_version version;
        const char *in, *out;
    } cases[] = {
        {"nothing in", false, HTTP_1_1, "", OURS PATH_11},
        {"accept-encoding as it is", false, HTTP_1_1, "accept-encoding: br, gzip;q=0.5\n",
         "accept-encoding: br, gzip;q=0.5\n" OURS PATH_11},
        {"HTTP/2", false, HTTP_2, "", OURS "via: 2.0 perigee\ncdn-loop: perigee;node=fra1\n"},
        {"HTTP/1.0", false, HTTP_1_0, "",
         OURS "via: 1.0 perigee\ncdn-loop: perigee;node=fra1\n"},
        {"hop-by-hop, te, expect", false, HTTP_1_1,
         "connection: x-mine\nx-mine: 1\nkeep-alive: 5\nte: trailers\nexpect: 100-continue\n"
         "proxy-authorization: x\nupgrade: h2c\nproxy-connection: close\nx-yours: 2\n",
         "x-yours: 2\n" OURS PATH_11},
        {"a stranger's unkeyed inputs", false, HTTP_1_1,
         "x-forwarded-for: 1.2.3.4\nx-forwarded-host: evil\nx-forwarded-proto: ftp\n"
         "x-forwarded-port: 1\nx-forwarded-scheme: a\nx-forwarded-server: b\nx-forwarded: c\n"
         "forwarded: for=1.2.3.4\nx-original-url: /admin\nx-rewrite-url: /admin\n"
         "x-http-method-override: DELETE\nx-http-method: PUT\nx-method-override: PUT\n"
         "x-host: evil\nx-original-host: evil\nx-real-ip: 1.2.3.4\nx-request-id: z\n",
         OURS PATH_11},
        {"a stranger's, of other vendors", false, HTTP_1_1,
         "x-client-ip: a\ntrue-client-ip: b\ncf-connecting-ip: c\nx-cluster-client-ip: d\n"
         "front-end-https: on\nclient-ip: e\nx-forwarded-prefix: /f\nx-kept: g\n",
         "x-kept: g\n" OURS PATH_11},
        {"names that CGI takes for others", false, HTTP_1_1,
         "x_forwarded_host: evil\ncontent_length: 5\ntransfer_encoding: chunked\nhost_: b\n"
         "x-real_ip: 1.2.3.4\nx_other: c\nx-kept: d\n",
         "x-kept: d\n" OURS PATH_11},
        {"from a trusted proxy, too", true, HTTP_1_1,
         "x_forwarded_for: 1.2.3.4\nx_request_id: a\nx_other: b\nx-kept: c\n",
         "x-kept: c\n" OURS PATH_11},
        {"a trusted proxy's are continued", true, HTTP_1_1,
         "x-forwarded-for: 1.2.3.4\nx-forwarded-for: 5.6.7.8\nx-forwarded-host: a.example\n"
         "x-forwarded-proto: http\nx-request-id: z\nforwarded: for=1.2.3.4\n",
         "x-request-id: z\nx-forwarded-for: 1.2.3.4, 5.6.7.8, 192.0.2.7\n"
         "x-forwarded-proto: https\nx-forwarded-host: www.example.com\n"
         "forwarded: for=1.2.3.4, for=192.0.2.7\n" PATH_11},
        {"what no proxy may say", true, HTTP_1_1,
         "x-original-url: /admin\nx-rewrite-url: /admin\nx-http-method-override: DELETE\n"
         "x-host: evil\nx-real-ip: 1.2.3.4\nx-forwarded-prefix: /a\nx-forwarded-scheme: b\n"
         "x-forwarded-port: 8443\nx-method-override: PUT\nx-kept: c\n",
         "x-forwarded-port: 8443\nx-kept: c\n" OURS PATH_11},
        {"a trusted proxy that says nothing", true, HTTP_1_1, "", OURS PATH_11},
        {"via and cdn-loop are continued", false, HTTP_1_1,
         "via: 1.0 a, 1.1 b\ncdn-loop: other.cdn\ncdn-loop: x\n",
         OURS "via: 1.0 a, 1.1 b, 1.1 perigee\n"
              "cdn-loop: other.cdn, x, perigee;node=fra1\n"},
    };
    const struct conf_origin pass = {.host = CONF_HOST_PASS};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct front_rewrite w = way(&pass);
        struct http_request r = {.version = cases[i].version,
                                 .fields = fields_of(cases[i].in),
                                 .expect_continue = true,
                                 .upgrade = true};
        w.client_is_proxy = cases[i].proxy;
        print_message("  %s\n", cases[i].why);
        assert_true(front_rewrite_outgoing(&w, &clear, &r, &arena));
        assert_string_equal(lines_of(&r.fields), cases[i].out);
        assert_false(r.expect_continue || r.upgrade);
    }
}

static void outgoing_configured(void **state)
{
    (void)state;
    struct conf_name_value add[] = {{"X-Edge", "perigee"}, {"X-Edge", "two"}, {"Via", "x"}};
    const struct conf_origin origin = {.host = CONF_HOST_ORIGIN, .add = add, .add_count = 3};
    const struct conf_origin named = {.host = CONF_HOST_NAME, .host_name = "app"};
    const struct conf_origin pass = {.host = CONF_HOST_PASS};
    struct front_rewrite w = way(&origin);
    struct http_request r = {.version = HTTP_1_1, .fields = fields_of("x-edge: forged\n")};
    assert_true(front_rewrite_outgoing(&w, &clear, &r, &arena));
    assert_string_equal(lines_of(&r.fields), OURS
                        "cdn-loop: perigee;node=fra1\nx-edge: perigee\nx-edge: two\nvia: x\n");
    assert_true(span_equal(r.authority, SPAN("img.internal:8080")));
    assert_true(span_equal(r.scheme, SPAN("http")));
    w = way(&named);
    assert_true(front_rewrite_outgoing(&w, &secure, &r, &arena));
    assert_true(span_equal(r.authority, SPAN("app")));
    assert_true(span_equal(r.scheme, SPAN("https")));
    w = way(&pass);
    assert_true(front_rewrite_outgoing(&w, &secure, &r, &arena));
    assert_true(span_equal(r.authority, SPAN("www.example.com")));
}

static void outgoing_v6_and_quotes(void **state)
{
    (void)state;
    const struct conf_origin pass = {.host = CONF_HOST_PASS};
    struct front_rewrite w = way(&pass);
    struct http_request r = {.version = HTTP_1_1, .fields = fields_of("forwarded: for=a\n")};
    conf.node.id = "fra 1";
    w.client_is_proxy = true;
    w.client_tls = false;
    assert_int_equal(addr_parse(SPAN("2001:db8::1"), &w.client), ERR_OK);
    assert_true(front_rewrite_outgoing(&w, &clear, &r, &arena));
    assert_string_equal(lines_of(&r.fields),
                        "x-forwarded-for: 2001:db8::1\nx-forwarded-proto: http\n"
                        "x-forwarded-host: www.example.com\n"
                        "forwarded: for=a, for=\"[2001:db8::1]\"\n"
                        "x-request-id: 0000000000000abc\nvia: 1.1 perigee\n"
                        "cdn-loop: perigee;node=\"fra 1\"\n");
    assert_true(front_rewrite_is_loop(&r.fields, "fra 1"));
    conf.node.id = "fra1";
}

static void loops(void **state)
{
    (void)state;
    const struct {
        const char *why, *in;
        bool loop;
    } cases[] = {
        {"none", "", false},
        {"ours", "cdn-loop: perigee;node=fra1\n", true},
        {"spaces and other parameters", "cdn-loop: a, perigee ; x=y ; node=fra1\n", true},
        {"quoted", "cdn-loop: perigee; node=\"fra1\"\n", true},
        {"second line", "cdn-loop: a\ncdn-loop: perigee;node=fra1\n", true},
        {"another node", "cdn-loop: perigee;node=nyc1\n", false},
        {"longer id", "cdn-loop: perigee;node=fra11\n", false},
        {"no node", "cdn-loop: perigee\n", false},
        {"another cdn's node", "cdn-loop: other;node=fra1\n", false},
        {"inside a quoted string", "cdn-loop: a;x=\"perigee;node=fra1\"\n", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_fields f = fields_of(cases[i].in);
        print_message("  %s\n", cases[i].why);
        assert_int_equal(front_rewrite_is_loop(&f, "fra1"), cases[i].loop);
    }
}

/* Towards another node: the client's scheme and authority, nothing of the origin's. */
static void to_peer(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        bool of_node; /* asked by one itself */
        const char *in, *out;
    } cases[] = {
        {"who asked is told", false, "accept: a\n",
         "accept: a\nx-forwarded-for: 192.0.2.7\nx-forwarded-proto: https\n"
         "x-forwarded-host: www.example.com\n"},
        {"and goes on as it is", true, "x-forwarded-for: 192.0.2.9\nx-request-id: 7\n",
         "x-forwarded-for: 192.0.2.9\nx-request-id: 7\nx-forwarded-proto: https\n"
         "x-forwarded-host: www.example.com\n"},
        {"hop-by-hop, and hops that are claimed", false,
         "connection: x-a\nx-a: 1\nte: trailers\nperigee-hops: 0\nx-forwarded-for: 1.2.3.4\n",
         "x-forwarded-for: 192.0.2.7\nx-forwarded-proto: https\n"
         "x-forwarded-host: www.example.com\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct conf_origin origin = {.host = CONF_HOST_ORIGIN};
        struct front_rewrite w = way(&origin);
        struct http_request r = {.version = HTTP_2, .fields = fields_of(cases[i].in)};
        w.client_is_node = w.client_is_proxy = cases[i].of_node;
        print_message("  %s\n", cases[i].why);
        assert_true(front_rewrite_to_peer(&w, 2, &r, &arena));
        assert_true(span_equal(r.scheme, SPAN("https")));
        assert_true(span_equal(r.authority, SPAN("www.example.com")));
        const struct http_field *hops = http_fields_find_text(&r.fields, SPAN("perigee-hops"));
        assert_non_null(hops);
        assert_true(span_equal(hops->value, SPAN("2")));
        assert_int_equal(http_fields_count(&r.fields, HTTP_NAME_CDN_LOOP), 1);
        http_fields_remove_text(&r.fields, SPAN("perigee-hops"));
        http_fields_remove(&r.fields, HTTP_NAME_CDN_LOOP);
        if (!cases[i].of_node)
            http_fields_remove(&r.fields, HTTP_NAME_X_REQUEST_ID);
        assert_string_equal(lines_of(&r.fields), cases[i].out);
    }
}

static const struct conf_origin asked_as_origin = {.host = CONF_HOST_ORIGIN};
static const struct conf_origin asked_as_name = {.host = CONF_HOST_NAME,
                                                 .host_name = "back.example:81"};
static const struct conf_origin asked_as_client = {.host = CONF_HOST_PASS};

static void incoming(void **state)
{
    (void)state;
    const struct {
        const char *why;
        const struct conf_origin *origin;
        const struct conf_origin_server *server;
        const char *in, *out;
    } cases[] = {
        {"hop-by-hop", &asked_as_client, &clear,
         "connection: x-a\nx-a: 1\nkeep-alive: 5\ntransfer-encoding: chunked\nx-b: 2\n"
         "proxy-authenticate: x\n",
         "x-b: 2\n"},
        {"tags and targeted control stay for the cache", &asked_as_client, &clear,
         "surrogate-key: a\ncdn-cache-control: max-age=1\n",
         "surrogate-key: a\ncdn-cache-control: max-age=1\n"},
        {"only nodes tell vectors", &asked_as_client, &clear,
         "perigee-vector: AAAA\nx-b: 2\nperigee-vector: BBBB\n", "x-b: 2\n"},
        {"host passed: nothing to write back", &asked_as_client, &clear,
         "location: http://img.internal:8080/x\n", "location: http://img.internal:8080/x\n"},
        {"location", &asked_as_origin, &clear, "location: http://img.internal:8080/x?y#z\n",
         "location: https://www.example.com/x?y#z\n"},
        {"in capitals", &asked_as_origin, &clear, "location: HTTP://IMG.Internal:8080\n",
         "location: https://www.example.com\n"},
        {"without a scheme", &asked_as_origin, &clear, "location: //img.internal:8080/x\n",
         "location: https://www.example.com/x\n"},
        {"content-location", &asked_as_origin, &clear,
         "content-location: http://img.internal:8080/x\n",
         "content-location: https://www.example.com/x\n"},
        {"another port", &asked_as_origin, &clear, "location: http://img.internal/x\n",
         "location: http://img.internal/x\n"},
        {"another host", &asked_as_origin, &clear, "location: http://img.internal.evil:8080/\n",
         "location: http://img.internal.evil:8080/\n"},
        {"a user in front", &asked_as_origin, &clear, "location: http://a@img.internal:8080/\n",
         "location: http://a@img.internal:8080/\n"},
        {"relative", &asked_as_origin, &clear, "location: /x\n", "location: /x\n"},
        {"in the query", &asked_as_origin, &clear,
         "location: https://login.example/?to=http://img.internal:8080/\n",
         "location: https://login.example/?to=http://img.internal:8080/\n"},
        {"default port, not written", &asked_as_origin, &secure,
         "location: https://app.internal/\n", "location: https://www.example.com/\n"},
        {"default port, written", &asked_as_origin, &secure,
         "location: https://app.internal:443/\n", "location: https://www.example.com/\n"},
        {"the other scheme is another port", &asked_as_origin, &secure,
         "location: http://app.internal/\n", "location: http://app.internal/\n"},
        {"an address", &asked_as_origin, &v6, "location: http://[2001:db8::5]/x\n",
         "location: https://www.example.com/x\n"},
        {"an address with a port", &asked_as_origin, &v6,
         "location: http://[2001:db8::5]:80/x\n", "location: https://www.example.com/x\n"},
        {"by the name it was asked by", &asked_as_name, &clear,
         "location: http://back.example:81/x\n", "location: https://www.example.com/x\n"},
        {"by that name, default port", &asked_as_name, &clear,
         "location: https://back.example/x\n", "location: https://www.example.com/x\n"},
        {"by that name, another port", &asked_as_name, &clear,
         "location: http://back.example:82/x\n", "location: http://back.example:82/x\n"},
        {"refresh", &asked_as_origin, &clear,
         "refresh: 5; url=http://img.internal:8080/x\nrefresh: 3\n",
         "refresh: 5; url=https://www.example.com/x\nrefresh: 3\n"},
        {"refresh, quoted", &asked_as_origin, &clear,
         "refresh: 0;URL='http://img.internal:8080/'\n",
         "refresh: 0;URL='https://www.example.com/'\n"},
        {"a cookie's domain", &asked_as_origin, &clear,
         "set-cookie: a=domain=x; Path=/; Domain=.img.internal; Secure\n",
         "set-cookie: a=domain=x; Path=/; Domain=www.example.com; Secure\n"},
        {"a cookie's other domain", &asked_as_origin, &clear,
         "set-cookie: a=b; domain=example.com\nset-cookie: c=d\n",
         "set-cookie: a=b; domain=example.com\nset-cookie: c=d\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct front_rewrite w = way(cases[i].origin);
        struct http_response r = {.version = HTTP_1_1, .fields = fields_of(cases[i].in)};
        struct span want;
        print_message("  %s\n", cases[i].why);
        assert_true(front_rewrite_incoming(&w, cases[i].server, &r, &arena));
        assert_true(arena_printf(&arena, &want, "%svia: 1.1 perigee\n%c", cases[i].out, 0));
        assert_string_equal(lines_of(&r.fields), want.ptr);
    }
}

static void incoming_hidden(void **state)
{
    (void)state;
    const char *patterns[] = {"Server", "X-AspNet-*", "*-debug"};
    const struct conf_origin origin = {.hide = {patterns, 3}};
    struct front_rewrite w = way(&origin);
    struct http_response r = {.version = HTTP_2,
                              .fields = fields_of("server: x\nserver-timing: y\nx-aspnet-a: 1\n"
                                                  "x-my-debug: 1\nx-aspnet: 1\nvia: 1.1 b\n")};
    assert_true(front_rewrite_incoming(&w, &clear, &r, &arena));
    assert_string_equal(lines_of(&r.fields),
                        "server-timing: y\nx-aspnet: 1\nvia: 1.1 b, 2.0 perigee\n");
}

static void cache_status(void **state)
{
    (void)state;
    const struct {
        struct front_cache_status s;
        const char *text;
    } cases[] = {
        {{.hit = true, .ttl_known = true, .ttl_s = 59}, "perigee; hit; ttl=59"},
        {{.hit = true, .ttl_known = true, .ttl_s = -10}, "perigee; hit; ttl=-10"},
        {{.hit = true, .ttl_known = true, .ttl_s = INT64_MIN},
         "perigee; hit; ttl=-9223372036854775808"},
        {{.hit = true, .forward = CACHE_FORWARD_STALE, .stored = true}, "perigee; hit"},
        {{.forward = CACHE_FORWARD_URI_MISS, .stored = true}, "perigee; fwd=uri-miss; stored"},
        {{.forward = CACHE_FORWARD_STALE, .fwd_status = 304, .stored = true},
         "perigee; fwd=stale; fwd-status=304; stored"},
        {{.forward = CACHE_FORWARD_VARY_MISS, .collapsed = true},
         "perigee; fwd=vary-miss; collapsed"},
        {{.forward = CACHE_FORWARD_BYPASS}, "perigee; fwd=bypass"},
        {{.forward = CACHE_FORWARD_METHOD}, "perigee; fwd=method"},
        {{.forward = CACHE_FORWARD_REQUEST}, "perigee; fwd=request"},
        {{.forward = CACHE_FORWARD_MISS, .detail = "too-large"},
         "perigee; fwd=miss; detail=too-large"},
        {{.detail = "denied"}, "perigee; detail=denied"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct span out;
        assert_true(front_rewrite_cache_status(&cases[i].s, &arena, &out));
        assert_int_equal(out.len, strlen(cases[i].text));
        assert_memory_equal(out.ptr, cases[i].text, out.len);
    }
}

static void timing_and_failures(void **state)
{
    (void)state;
    struct front_cache_status hit = {.hit = true}, miss = {0};
    struct span out;
    assert_true(front_rewrite_server_timing(&hit, 1250, -1, &arena, &out));
    assert_true(span_equal(out, SPAN("cache;desc=hit, total;dur=1.25")));
    assert_true(front_rewrite_server_timing(&miss, 1000009, 990, &arena, &out));
    assert_true(span_equal(out, SPAN("cache;desc=miss, total;dur=1000.00, origin;dur=0.99")));

    assert_true(span_equal(front_rewrite_proxy_status(CACHE_FAILURE_REFUSED),
                           SPAN("perigee; error=connection_refused")));
    assert_int_equal(front_rewrite_proxy_status(CACHE_FAILURE_NONE).len, 0);
    assert_int_equal(front_rewrite_failure_status(CACHE_FAILURE_TIMEOUT), 504);
    assert_int_equal(front_rewrite_failure_status(CACHE_FAILURE_LOOP), 508);
    for (int why = CACHE_FAILURE_NONE; why <= CACHE_FAILURE_UNAVAILABLE; why++)
        assert_in_range(front_rewrite_failure_status((enum cache_failure)why), 502, 508);
}

/* Every place that needs memory says so, and nothing else happens. */
static void full_arena(void **state)
{
    (void)state;
    int failures = 0;
    for (size_t cap = 0; cap < 9000; cap += 97) {
        struct arena small;
        struct front_rewrite w = way(&asked_as_origin);
        struct http_request q = {.version = HTTP_1_1,
                                 .fields = fields_of("via: 1.1 a\ncdn-loop: b\nx: y\n")};
        struct http_response r = {
            .version = HTTP_1_1, .fields = fields_of("location: http://img.internal:8080/x\n")};
        arena_init(&small, cap);
        failures += !front_rewrite_outgoing(&w, &clear, &q, &small);
        failures += !front_rewrite_incoming(&w, &clear, &r, &small);
        arena_fini(&small);
    }
    assert_true(failures > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outgoing_fields),
        cmocka_unit_test(outgoing_configured),
        cmocka_unit_test(outgoing_v6_and_quotes),
        cmocka_unit_test(loops),
        cmocka_unit_test(to_peer),
        cmocka_unit_test(incoming),
        cmocka_unit_test(incoming_hidden),
        cmocka_unit_test(cache_status),
        cmocka_unit_test(timing_and_failures),
        cmocka_unit_test(full_arena),
    };
    arena_init(&arena, 4 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&arena);
    return failed;
}
