#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/front/client.h"

#define LINES_MAX 3

static struct setup_listener listener;

static int set_up(void **state)
{
    static const char *const texts[] = {"10.0.0.0/8", "2001:db8:ffff::/48"};
    struct addr_prefix list[ARRAY_LEN(texts)];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_int_equal(addr_prefix_parse(span_text(texts[i]), &list[i]), ERR_OK);
    listener.trusted_proxies = cidr_create_set(list, ARRAY_LEN(texts));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cidr_destroy(listener.trusted_proxies);
    return 0;
}

static struct front_client client_at(const char *peer)
{
    struct front_client c = {.listener = &listener};
    assert_int_equal(addr_parse(span_text(peer), &c.peer), ERR_OK);
    c.peer.port = 4711;
    return c;
}

static void addresses(void **state)
{
    (void)state;
    const struct {
        const char *why, *peer, *lines[LINES_MAX], *want;
    } cases[] = {
        {"a stranger's word", "192.0.2.1", {"198.51.100.7"}, "192.0.2.1:4711"},
        {"no field", "10.0.0.1", {0}, "10.0.0.1:4711"},
        {"one", "10.0.0.1", {"198.51.100.7"}, "198.51.100.7:0"},
        {"the rightmost", "10.0.0.1", {"1.1.1.1, 198.51.100.7"}, "198.51.100.7:0"},
        {"without space", "10.0.0.1", {"1.1.1.1,198.51.100.7"}, "198.51.100.7:0"},
        {"over a proxy", "10.0.0.1", {"1.1.1.1, 198.51.100.7, 10.2.3.4"}, "198.51.100.7:0"},
        {"over lines", "10.0.0.1", {"1.1.1.1, 198.51.100.7", "10.2.3.4"}, "198.51.100.7:0"},
        {"the last line first", "10.0.0.1", {"1.1.1.1", "2.2.2.2"}, "2.2.2.2:0"},
        {"all are proxies: the leftmost", "10.0.0.1", {"10.9.9.9, 10.2.3.4"}, "10.9.9.9:0"},
        {"over lines too", "10.0.0.1", {"10.8.8.8", "10.9.9.9, 10.2.3.4"}, "10.8.8.8:0"},
        {"no address", "10.0.0.1", {"1.1.1.1, unknown"}, "10.0.0.1:4711"},
        {"behind a proxy", "10.0.0.1", {"1.1.1.1, _x, 10.2.3.4"}, "10.0.0.1:4711"},
        {"to the left of the answer", "10.0.0.1", {"unknown, 1.1.1.1"}, "1.1.1.1:0"},
        {"empty members", "10.0.0.1", {", 1.1.1.1,, ,"}, "1.1.1.1:0"},
        {"an empty line", "10.0.0.1", {"1.1.1.1", ""}, "1.1.1.1:0"},
        {"nothing but commas", "10.0.0.1", {",,"}, "10.0.0.1:4711"},
        {"with a port", "10.0.0.1", {"198.51.100.7:8080"}, "198.51.100.7:0"},
        {"a proxy's port", "10.0.0.1", {"1.1.1.1, 10.2.3.4:99"}, "1.1.1.1:0"},
        {"no port behind the colon", "10.0.0.1", {"198.51.100.7:"}, "10.0.0.1:4711"},
        {"a port alone", "10.0.0.1", {":80"}, "10.0.0.1:4711"},
        {"IPv6", "10.0.0.1", {"2001:db8::7"}, "[2001:db8::7]:0"},
        {"from an IPv6 proxy", "2001:db8:ffff::1", {"2001:db8::7"}, "[2001:db8::7]:0"},
        {"brackets", "10.0.0.1", {"[2001:db8::7]"}, "[2001:db8::7]:0"},
        {"brackets and port", "10.0.0.1", {"[2001:db8::7]:443"}, "[2001:db8::7]:0"},
        {"IPv4 in brackets", "10.0.0.1", {"[192.0.2.9]"}, "10.0.0.1:4711"},
        {"half a bracket", "10.0.0.1", {"[2001:db8::7"}, "10.0.0.1:4711"},
        {"loopback", "10.0.0.1", {"::1"}, "[::1]:0"},
        {"mapped IPv4", "10.0.0.1", {"1.1.1.1, ::ffff:10.2.3.4"}, "1.1.1.1:0"},
        {"a scope is our business", "10.0.0.1", {"fe80::1%1"}, "10.0.0.1:4711"},
        {"quoted", "10.0.0.1", {"\"1.1.1.1\""}, "10.0.0.1:4711"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct front_client c = client_at(cases[i].peer);
        struct http_field lines[2 * LINES_MAX];
        struct http_fields f = {.at = lines};
        for (size_t j = 0; j < LINES_MAX && cases[i].lines[j]; j++) {
            lines[f.count++] = (struct http_field){.name = SPAN("x-forwarded-for"),
                                                   .value = span_text(cases[i].lines[j]),
                                                   .id = HTTP_NAME_X_FORWARDED_FOR};
            lines[f.count++] = (struct http_field){
                .name = SPAN("x-own"), .value = SPAN("9.9.9.9"), .id = HTTP_NAME_OTHER};
        }
        char text[ADDR_TEXT_MAX];
        struct addr got = front_client_address(&c, &f);
        if (strcmp(addr_print(&got, true, text), cases[i].want) != 0)
            fail_msg("%s: %s, not %s", cases[i].why, text, cases[i].want);
    }
}

/* A header full of our own addresses is not searched without end. */
static void many_hops(void **state)
{
    (void)state;
    struct front_client c = client_at("10.0.0.1");
    char value[1024] = "1.1.1.1";
    for (int i = 0; i < 70; i++)
        strcat(value, ",10.1.1.1");
    struct http_field line = {.value = span_text(value), .id = HTTP_NAME_X_FORWARDED_FOR};
    struct http_fields f = {.at = &line, .count = 1};
    char text[ADDR_TEXT_MAX];
    struct addr got = front_client_address(&c, &f);
    assert_string_equal(addr_print(&got, false, text), "10.1.1.1");
}

static void proxies(void **state)
{
    (void)state;
    struct front_client c = client_at("10.0.0.1");
    assert_true(front_client_is_proxy(&c));
    c = client_at("11.0.0.1");
    assert_false(front_client_is_proxy(&c));
    c = client_at("10.0.0.1");
    c.listener = NULL; /* the admin listener trusts nobody */
    assert_false(front_client_is_proxy(&c));
    struct setup_listener plain = {0};
    c.listener = &plain;
    assert_false(front_client_is_proxy(&c));
}

/* "proto|proto" and "host|host": one line each. */
static void add_lines(struct http_fields *f, struct arena *a, enum http_name id,
                      const char *values)
{
    struct span rest = span_text(values), value;
    while (values && span_split(&rest, '|', &value))
        assert_true(http_fields_add_named(f, a, id, value));
}

static void asked_by(void **state)
{
    (void)state;
    const struct {
        const char *why, *peer;
        bool tls;
        const char *proto, *host, *want;
    } cases[] = {
        {"a stranger's word", "192.0.2.1", false, "https", "b.test", "http://a.test:81"},
        {"a stranger's word over TLS", "192.0.2.1", true, "http", NULL, "https://a.test:81"},
        {"a proxy says nothing", "10.0.0.1", false, NULL, NULL, "http://a.test:81"},
        {"https before us", "10.0.0.1", false, "https", NULL, "https://a.test:81"},
        {"http before us", "10.0.0.1", true, "http", NULL, "http://a.test:81"},
        {"in capitals", "10.0.0.1", false, "HTTPS", "B.Test", "https://b.test"},
        {"another scheme", "10.0.0.1", true, "ftp", NULL, "https://a.test:81"},
        {"a list of schemes", "10.0.0.1", false, "https, http", NULL, "http://a.test:81"},
        {"two lines", "10.0.0.1", false, "https|https", "b.test|b.test", "http://a.test:81"},
        {"an empty line", "10.0.0.1", false, "", "", "http://a.test:81"},
        {"a host", "10.0.0.1", false, NULL, "b.test", "http://b.test"},
        {"a host with a port", "10.0.0.1", false, NULL, "b.test:8080", "http://b.test:8080"},
        {"an IPv6 host", "10.0.0.1", false, NULL, "[2001:DB8::1]:80",
         "http://[2001:db8::1]:80"},
        {"a list of hosts", "10.0.0.1", false, NULL, "b.test, c.test", "http://a.test:81"},
        {"a user", "10.0.0.1", false, NULL, "x@b.test", "http://a.test:81"},
        {"a path", "10.0.0.1", false, NULL, "b.test/x", "http://a.test:81"},
        {"a port that is none", "10.0.0.1", false, NULL, "b.test:99999", "http://a.test:81"},
        {"a port alone", "10.0.0.1", false, NULL, ":80", "http://a.test:81"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct front_client c = client_at(cases[i].peer);
        struct http_request r = {.authority = SPAN("a.test:81")};
        struct span scheme, authority, all;
        struct arena a;
        arena_init(&a, 1 << 14);
        c.tls = cases[i].tls;
        add_lines(&r.fields, &a, HTTP_NAME_X_FORWARDED_PROTO, cases[i].proto);
        add_lines(&r.fields, &a, HTTP_NAME_X_FORWARDED_HOST, cases[i].host);
        scheme = front_client_scheme(&c, &r.fields);
        authority = front_client_authority(&c, &r, &a);
        assert_true(
            arena_printf(&a, &all, "%.*s://%.*s", SPAN_ARG(scheme), SPAN_ARG(authority)));
        if (!span_equal(all, span_text(cases[i].want)))
            fail_msg("%s: %.*s", cases[i].why, SPAN_ARG(all));
        arena_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(many_hops),
        cmocka_unit_test(proxies),
        cmocka_unit_test(asked_by),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
