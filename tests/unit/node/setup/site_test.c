#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/policy/key.h"
#include "node/setup/site.h"

static const char *exact[] = {"www.example.com", "Shop.Example.COM", "[::1]", "dot.example."};
static const char *wild[] = {"*.example.org"};
static const char *deeper[] = {"*.Deep.example.org", "deep.example.org"};
static const char *any[] = {"*"};
static const char *gets[] = {"GET"};
static const char *posts[] = {"POST", "PURGE"};

static struct conf_route routes[] = {
    {.path = "/exact", .origin = "0"},
    {.path = "/dir/", .origin = "1"},
    {.path = "/api/*", .methods = {posts, 2}, .origin = "2"},
    {.path = "/api/*", .methods = {gets, 1}, .origin = "3"},
    {.path = "/admin/*", .origin = "4"},
    {.path = "/img/*", .origin = "7"},
};
static struct conf_route all[] = {{.path = ""}};

static struct conf_site sites[] = {
    {.name = "exact", .hosts = {exact, 4}, .routes = routes, .route_count = ARRAY_LEN(routes)},
    {.name = "wild", .hosts = {wild, 1}, .routes = all, .route_count = 1},
    {.name = "deeper", .hosts = {deeper, 2}},
    {.name = "any", .hosts = {any, 1}},
};
static struct conf conf = {.sites = sites, .site_count = 4};

static void hosts(void **state)
{
    (void)state;
    const struct {
        const char *why, *host, *site, *without_any;
    } cases[] = {
        {"exact", "www.example.com", "exact", "exact"},
        {"configured in capitals", "shop.example.com", "exact", "exact"},
        {"an address", "[::1]", "exact", "exact"},
        {"a dot at the end", "www.example.com.", "exact", "exact"},
        {"a configured dot at the end", "dot.example", "exact", "exact"},
        {"under a wildcard", "a.example.org", "wild", "wild"},
        {"two labels under a wildcard", "b.a.example.org", "wild", "wild"},
        {"the wildcard's own name is not covered", "example.org", "any", NULL},
        {"the longest wildcard wins", "a.deep.example.org", "deeper", "deeper"},
        {"exact before a wildcard", "deep.example.org", "deeper", "deeper"},
        {"ends alike", "badexample.org", "any", NULL},
        {"longer than exact", "x.www.example.com", "any", NULL},
        {"no host", "", "any", NULL},
        {"a dot", ".", "any", NULL},
        {"dots", "..", "any", NULL},
        {"a wildcard's key as a host", ".example.org", "any", NULL},
        {"an empty label", "a..example.org", "wild", "wild"},
        {"other", "example.net", "any", NULL},
    };
    for (int with_any = 0; with_any < 2; with_any++) {
        conf.site_count = with_any ? 4 : 3;
        struct setup_sites *s = setup_sites_create(&conf);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            struct setup_match m =
                setup_sites_find(s, span_text(cases[i].host), SPAN("/"), SPAN("GET"));
            const char *want = with_any ? cases[i].site : cases[i].without_any;
            print_message("  %s\n", cases[i].why);
            /* purges and tokens find it by another way */
            if (cases[i].host[0] && !span_ends(span_text(cases[i].host), SPAN(".")))
                assert_ptr_equal(policy_key_site(&conf, span_text(cases[i].host)), m.site);
            if (want)
                assert_string_equal(m.site ? m.site->name : "none", want);
            else
                assert_null(m.site);
        }
        setup_sites_destroy(s);
    }
    conf.site_count = 4;
}

static void long_hosts(void **state)
{
    (void)state;
    static char host[5000];
    struct setup_sites *s = setup_sites_create(&conf);
    for (size_t i = 0; i < sizeof host; i++)
        host[i] = i & 1 ? '.' : 'a';
    for (size_t len = 250; len < sizeof host; len += 1187) {
        struct setup_match m = setup_sites_find(s, span_of(host, len), SPAN("/"), SPAN("GET"));
        assert_string_equal(m.site->name, "any");
    }
    /* As many labels as a name can have; from 256 octets on it is none. */
    for (size_t before = 2; before < 400; before += 2) {
        char name[512];
        memcpy(name, host, before);
        memcpy(name + before, "example.org", 11);
        struct span at = span_of(name, before + 11);
        struct setup_match m = setup_sites_find(s, at, SPAN("/"), SPAN("GET"));
        assert_string_equal(m.site->name, at.len <= 255 ? "wild" : "any");
        assert_ptr_equal(policy_key_site(&conf, at), m.site);
    }
    setup_sites_destroy(s);
}

static void paths(void **state)
{
    (void)state;
    const struct {
        const char *why, *method, *path, *route;
    } cases[] = {
        {"exact", "GET", "/exact", "0"},
        {"exact is no prefix", "GET", "/exact/", NULL},
        {"exact is not shorter", "GET", "/exac", NULL},
        {"case counts", "GET", "/Exact", NULL},
        {"a folder alone", "GET", "/dir/", "1"},
        {"a folder is no prefix", "GET", "/dir/x", NULL},
        {"method of the first", "POST", "/api/x", "2"},
        {"method of the second", "GET", "/api/x", "3"},
        {"HEAD goes where GET goes", "HEAD", "/api/x", "3"},
        {"a method none takes", "PUT", "/api/x", NULL},
        {"methods in their own case", "get", "/api/x", NULL},
        {"the star may be nothing", "GET", "/admin/", "4"},
        {"the slash is needed", "GET", "/admin", NULL},
        {"an encoded slash counts", "GET", "/admin%2Fx", "4"},
        {"so does one in small letters", "GET", "/admin%2fx", "4"},
        {"half an escape does not", "GET", "/admin%2", NULL},
        {"two slashes in front", "GET", "//admin/x", "4"},
        {"many slashes, some encoded", "GET", "/%2F//admin%2f/x", "4"},
        {"slashes within", "GET", "/admin//x", "4"},
        {"a parameter", "GET", "/admin;v=1/x", "4"},
        {"an empty parameter", "GET", "/admin;/x", "4"},
        {"a parameter with a dot", "GET", "/admin;a.b;c/x", "4"},
        {"a parameter behind an exact path", "GET", "/exact;v=1", "0"},
        {"a parameter before an encoded slash", "GET", "/admin;v%2Fx", "4"},
        {"a parameter is no path", "GET", "/;/nothing", NULL},
        {"a slash behind an exact path is another", "GET", "/exact//", NULL},
        {"none", "GET", "/", NULL},
        {"options star", "OPTIONS", "*", NULL},
    };
    struct setup_sites *s = setup_sites_create(&conf);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct setup_match m = setup_sites_find(
            s, SPAN("www.example.com"), span_text(cases[i].path), span_text(cases[i].method));
        print_message("  %s\n", cases[i].why);
        assert_non_null(m.site);
        if (cases[i].route)
            assert_string_equal(m.route ? m.route->origin : "none", cases[i].route);
        else
            assert_null(m.route);
    }
    assert_non_null(setup_sites_find(s, SPAN("a.example.org"), SPAN("/"), SPAN("X")).route);
    setup_sites_destroy(s);
    setup_sites_destroy(NULL);
}

static void who_may(void **state)
{
    (void)state;
    struct addr_prefix ten, v6;
    struct addr inside, outside, inside6;
    assert_int_equal(addr_prefix_parse(SPAN("10.0.0.0/8"), &ten), ERR_OK);
    assert_int_equal(addr_prefix_parse(SPAN("2001:db8::/32"), &v6), ERR_OK);
    assert_int_equal(addr_parse(SPAN("10.1.2.3"), &inside), ERR_OK);
    assert_int_equal(addr_parse(SPAN("11.1.2.3"), &outside), ERR_OK);
    assert_int_equal(addr_parse(SPAN("2001:db8::1"), &inside6), ERR_OK);
    struct addr_prefix both[] = {ten, v6};
    struct conf_route open = {0}, closed = {.allow = both, .allow_count = 2};
    struct conf_site nobody = {0}, some = {.purge_from = both, .purge_from_count = 1};
    assert_true(setup_route_allows(&open, &outside));
    assert_true(setup_route_allows(&closed, &inside));
    assert_true(setup_route_allows(&closed, &inside6));
    assert_false(setup_route_allows(&closed, &outside));
    assert_false(setup_site_may_purge(&nobody, &inside));
    assert_true(setup_site_may_purge(&some, &inside));
    assert_false(setup_site_may_purge(&some, &inside6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts),
        cmocka_unit_test(long_hosts),
        cmocka_unit_test(paths),
        cmocka_unit_test(who_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
