#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/http/uri.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

/* "scheme|host|port|path|query", the query with its '?' */
static const char *print(enum err e, const struct http_uri *u)
{
    static char text[1024];
    if (e != ERR_OK)
        return e == ERR_SYNTAX ? "syntax" : "limit";
    snprintf(text, sizeof text, "%.*s|%.*s|%u|%.*s|%s%.*s", SPAN_ARG(u->scheme),
             SPAN_ARG(u->host), u->port, SPAN_ARG(u->path), u->has_query ? "?" : "",
             SPAN_ARG(u->query));
    return text;
}

static void assert_text(const char *got, const char *want, const char *why)
{
    if (strcmp(got, want) != 0)
        fail_msg("%s: got %s, want %s", why, got, want);
}

static void targets(void **state)
{
    (void)state;
    static const struct {
        const char *why, *in, *out;
    } rows[] = {
        {"plain", "/a/b?c=d", "||0|/a/b|?c=d"},
        {"an empty query is a query", "/a?", "||0|/a|?"},
        {"a second question mark", "/a?b?c", "||0|/a|?b?c"},
        {"unreserved are decoded", "/%7e%41%2D%5f", "||0|/~A-_|"},
        {"others are upper-cased", "/%e4%2b?%3d%e4", "||0|/%E4%2B|?%3D%E4"},
        {"decoded once only", "/%2541", "||0|/%2541|"},
        {"encoded slashes stay", "/a%2fb%2F...", "||0|/a%2Fb%2F...|"},
        {"encoded CR LF stay", "/%0d%0A", "||0|/%0D%0A|"},
        {"encoded backslash stays", "/a%5c...", "||0|/a%5C...|"},
        {"a dot segment", "/a/./b", "||0|/a/b|"},
        {"two dots", "/a/b/../c", "||0|/a/c|"},
        {"two dots at the end", "/a/b/..", "||0|/a/|"},
        {"a dot at the end", "/a/.", "||0|/a/|"},
        {"above the root", "/../../a", "||0|/a|"},
        {"only dots", "/..", "||0|/|"},
        {"encoded dots", "/a/%2e%2E/b/%2e/c", "||0|/b/c|"},
        {"half encoded dots", "/a/.%2e/b", "||0|/b|"},
        {"three dots are a name", "/a/.../b", "||0|/a/.../b|"},
        {"a dot file", "/.well-known/x", "||0|/.well-known/x|"},
        {"two dots before an encoded slash", "/a/..%2fb", "syntax"},
        {"two dots behind one", "/a%2F../b", "syntax"},
        {"two dots behind one, at the end", "/a%2F..", "syntax"},
        {"one dot between two", "/a%2F.%2Fb", "syntax"},
        {"encoded dots before one", "/a/%2e%2e%2Fb", "syntax"},
        {"two dots before an encoded backslash", "/a/..%5cb", "syntax"},
        {"dots with a parameter", "/a/..;x/b", "syntax"},
        {"a dot with a parameter", "/a/.;x/b", "syntax"},
        {"encoded dots with a parameter", "/a/%2e%2e;/b", "syntax"},
        {"dots behind an encoded slash, with a parameter", "/a%2F..;", "syntax"},
        {"three dots with a parameter are a name", "/a/...;x/b", "||0|/a/...;x/b|"},
        {"a name that ends in dots", "/a%2Fb../c", "||0|/a%2Fb../c|"},
        {"an encoded parameter is a name", "/a/..%3Bx", "||0|/a/..%3Bx|"},
        {"encoded slashes in the query stay", "/a?..%2F..", "||0|/a|?..%2F.."},
        {"empty segments stay", "//a//b", "||0|//a//b|"},
        {"two dots after an empty segment", "/a//../b", "||0|/a/b|"},
        {"dots in the query stay", "/a?/../b", "||0|/a|?/../b"},
        {"what browsers leave raw", "/{a}|^`\"<>?{}|^`'<>", "||0|/{a}|^`\"<>|?{}|^`'<>"},
        {"no slash", "a", "syntax"},
        {"empty", "", "syntax"},
        {"asterisk", "*", "syntax"},
        {"fragment", "/a#b", "syntax"},
        {"fragment in the query", "/a?b#c", "syntax"},
        {"backslash", "/a\\b", "syntax"},
        {"backslash in the query", "/?a\\b", "syntax"},
        {"raw non-ASCII", "/\xc3\xa4", "syntax"},
        {"space", "/a b", "syntax"},
        {"tab", "/a\tb", "syntax"},
        {"DEL", "/a\x7f", "syntax"},
        {"line feed", "/a\nb", "syntax"},
        {"%00", "/a%00b", "syntax"},
        {"%00 in the query", "/a?%00", "syntax"},
        {"bad escape", "/a%4", "syntax"},
        {"bad escape, one octet", "/a%", "syntax"},
        {"bad escape, no hex", "/a%4g", "syntax"},
        {"bad escape in the query", "/a?%zz", "syntax"},
        {"escape cut by the query", "/a%4?1", "syntax"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_uri u, again;
        enum err e = http_uri_parse_target(span_text(rows[i].in), &arena, &u);
        assert_text(print(e, &u), rows[i].out, rows[i].why);
        if (e != ERR_OK)
            continue;
        e = http_uri_parse_target(u.path, &arena, &again);
        assert_int_equal(e, ERR_OK);
        assert_true(span_equal(again.path, u.path)); /* normal is normal */
    }
    struct http_uri u;
    assert_int_equal(http_uri_parse_target(SPAN("/a\0b"), &arena, &u), ERR_SYNTAX);
}

static void nothing_is_copied_without_need(void **state)
{
    (void)state;
    struct span target = SPAN("/a/b?c=d");
    struct http_uri u;
    size_t used = arena.used_bytes;
    assert_int_equal(http_uri_parse_target(target, &arena, &u), ERR_OK);
    assert_ptr_equal(u.path.ptr, target.ptr);
    assert_int_equal(arena.used_bytes, used);
}

static void absolute(void **state)
{
    (void)state;
    static const struct {
        const char *why, *in, *out;
    } rows[] = {
        {"all parts", "HTTP://A.Example:8080/p/../q?r", "http|a.example|8080|/q|?r"},
        {"https", "https://a/", "https|a|0|/|"},
        {"no path", "http://a", "http|a|0|/|"},
        {"no path, a query", "http://a?b", "http|a|0|/|?b"},
        {"IPv6", "http://[::1]:80/", "http|[::1]|80|/|"},
        {"userinfo", "http://u@a/", "syntax"},
        {"userinfo with a password", "http://u:p@a/", "syntax"},
        {"no host", "http:///a", "syntax"},
        {"other scheme", "ftp://a/", "syntax"},
        {"no scheme", "//a/b", "syntax"},
        {"one slash", "http:/a", "syntax"},
        {"fragment", "http://a/#b", "syntax"},
        {"fragment after the host", "http://a#b", "syntax"},
        {"backslash for a slash", "http:\\\\a/", "syntax"},
        {"backslash in the host", "http://a\\b/", "syntax"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_uri u;
        enum err e = http_uri_parse_absolute(span_text(rows[i].in), &arena, &u);
        assert_text(print(e, &u), rows[i].out, rows[i].why);
    }
}

static void authorities(void **state)
{
    (void)state;
    static const struct {
        const char *why, *in, *host;
        int port; /* -1: refused */
    } rows[] = {
        {"name", "Example.COM", "example.com", 0},
        {"name and port", "a.b:8080", "a.b", 8080},
        {"an empty port (RFC 3986 3.2.3)", "a.b:", "a.b", 0},
        {"zeros before the port", "a:0080", "a", 80},
        {"a dot at the end", "a.b.", "a.b", 0},
        {"a dot at the end and a port", "a.b.:81", "a.b", 81},
        {"two dots at the end", "a.b..", "", -1},
        {"underscore", "a_b", "a_b", 0},
        {"IPv4", "127.0.0.1:1", "127.0.0.1", 1},
        {"IPv6", "[::1]", "[::1]", 0},
        {"IPv6 and port, upper case", "[2001:DB8::A]:65535", "[2001:db8::a]", 65535},
        {"IPv6 with IPv4", "[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]", 0},
        {"empty", "", "", -1},
        {"port alone", ":80", "", -1},
        {"port 0", "a:0", "", -1},
        {"port too large", "a:65536", "", -1},
        {"port too long", "a:000080", "", -1},
        {"port with a sign", "a:+80", "", -1},
        {"port no number", "a:b", "", -1},
        {"two ports", "a:1:2", "", -1},
        {"a space", "a b", "", -1},
        {"two names", "a,b", "", -1},
        {"userinfo", "u@a", "", -1},
        {"a path", "a/b", "", -1},
        {"a query", "a?b", "", -1},
        {"an escape", "a%2eb", "", -1},
        {"a dot in front", ".a", "", -1},
        {"two dots", "a..b", "", -1},
        {"only a dot", ".", "", -1},
        {"non-ASCII", "\xc3\xa4", "", -1},
        {"IPv6 without brackets", "::1", "", -1},
        {"open bracket", "[::1", "", -1},
        {"close bracket", "::1]", "", -1},
        {"text after the bracket", "[::1]a", "", -1},
        {"two brackets", "[[::1]]", "", -1},
        {"no address in brackets", "[a]", "", -1},
        {"IPv4 in brackets", "[1.2.3.4]", "", -1},
        {"zone", "[fe80::1%25eth0]", "", -1},
        {"IPvFuture", "[v1.a]", "", -1},
        {"empty brackets", "[]", "", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct span host = {NULL, 0};
        uint16_t port = 0;
        enum err e = http_uri_parse_authority(span_text(rows[i].in), &arena, &host, &port);
        if ((e == ERR_OK) != (rows[i].port >= 0))
            fail_msg("%s: %s", rows[i].why, err_text(e));
        if (e == ERR_OK &&
            (!span_equal(host, span_text(rows[i].host)) || (int)port != rows[i].port))
            fail_msg("%s: %.*s %u", rows[i].why, SPAN_ARG(host), port);
    }
    char name[256];
    struct span host;
    uint16_t port;
    memset(name, 'a', sizeof name);
    assert_int_equal(http_uri_parse_authority(span_of(name, 255), &arena, &host, &port),
                     ERR_OK);
    assert_int_equal(http_uri_parse_authority(span_of(name, 256), &arena, &host, &port),
                     ERR_SYNTAX);
}

static void references(void **state)
{
    (void)state;
    static const struct {
        const char *why, *in, *out;
    } rows[] = {
        {"absolute", "https://x/y", "https|x|0|/y|"},
        {"network path", "//x:81/y", "http|x|81|/y|"},
        {"absolute path", "/y?z", "http|a|8080|/y|?z"},
        {"relative", "g", "http|a|8080|/b/c/g|"},
        {"relative, with dots", "../g", "http|a|8080|/b/g|"},
        {"too many dots", "../../../g", "http|a|8080|/g|"},
        {"relative, with a query", "g?y", "http|a|8080|/b/c/g|?y"},
        {"a colon after a slash", "./g:h", "http|a|8080|/b/c/g:h|"},
        {"query alone", "?y", "http|a|8080|/b/c/d|?y"},
        {"empty", "", "http|a|8080|/b/c/d|?q"},
        {"fragment alone", "#s", "http|a|8080|/b/c/d|?q"},
        {"a fragment is cut", "/y#s", "http|a|8080|/y|"},
        {"another scheme", "mailto:a", "syntax"},
        {"a word with a colon", "g:h", "syntax"},
        {"userinfo", "//u@x/", "syntax"},
        {"bad escape", "g%", "syntax"},
        {"raw non-ASCII", "/\xc3\xa4", "syntax"},
    };
    struct http_uri base;
    assert_int_equal(http_uri_parse_absolute(SPAN("http://a:8080/b/c/d?q"), &arena, &base),
                     ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_uri u;
        enum err e = http_uri_resolve(&base, span_text(rows[i].in), &arena, &u);
        assert_text(print(e, &u), rows[i].out, rows[i].why);
    }
}

static void a_full_arena_is_a_limit(void **state)
{
    (void)state;
    struct arena small;
    struct http_uri u;
    arena_init(&small, 8);
    assert_int_equal(http_uri_parse_target(SPAN("/a/./bcdefghijklmnop"), &small, &u),
                     ERR_LIMIT);
    assert_int_equal(http_uri_parse_absolute(SPAN("http://ABCDEFGHIJKLMNOP/"), &small, &u),
                     ERR_LIMIT);
    arena_fini(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets),    cmocka_unit_test(nothing_is_copied_without_need),
        cmocka_unit_test(absolute),   cmocka_unit_test(authorities),
        cmocka_unit_test(references), cmocka_unit_test(a_full_arena_is_a_limit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
