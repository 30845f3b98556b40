#include "tests/unit/cache/policy/lines.h"

#include "cache/policy/key.h"

static const char *tracking[] = {"utm_*", "gclid"};
static const char *wanted[] = {"id", "page"};
static const char *cookie_names[] = {"lang", "ab"};
static const char *header_names[] = {"X-AZ"};

static const struct conf_cache_key plain;
static const struct conf_cache_key sorted = {.sort_query = true, .drop_query = {tracking, 2}};
static const struct conf_cache_key keeping = {.keep_query = {wanted, 2}};
static const struct conf_cache_key joining = {.cookies = {cookie_names, 2},
                                              .headers = {header_names, 1}};

static const struct {
    const char *why;
    const struct conf_cache_key *conf;
    const char *scheme, *authority, *target, *fields, *want_text, *want_url;
} rows[] = {
    {"plain", &plain, "http", "a.example", "/p", "", "http|a.example:80|/p", "a.example/p"},
    {"https", &plain, "https", "a.example", "/p", "", "https|a.example:443|/p", "a.example/p"},
    {"a port is in the key, not in the name", &plain, "http", "a.example:8080", "/p", "",
     "http|a.example:8080|/p", "a.example/p"},
    {"the scheme's port, written", &plain, "https", "a.example:443", "/p", "",
     "https|a.example:443|/p", "a.example/p"},
    {"HTTP/1.0 without Host", &plain, "http", "", "/p", "", "http|:80|/p", "/p"},
    {"query", &plain, "http", "a.example", "/p?b=2&a=1", "", "http|a.example:80|/p?b=2&a=1",
     "a.example/p?b=2&a=1"},
    {"an empty query is another one", &plain, "http", "a.example", "/p?", "",
     "http|a.example:80|/p?", "a.example/p?"},
    {"normalised path", &plain, "http", "a.example", "/a/../%7eb/./c", "",
     "http|a.example:80|/~b/c", "a.example/~b/c"},
    {"sorted by name", &sorted, "http", "a.example", "/p?b=2&a=1", "",
     "http|a.example:80|/p?a=1&b=2", "a.example/p?a=1&b=2"},
    {"equal names keep their order", &sorted, "http", "a.example", "/p?b=2&a=9&b=1&a=1", "",
     "http|a.example:80|/p?a=9&a=1&b=2&b=1", "a.example/p?a=9&a=1&b=2&b=1"},
    {"a name that begins another", &sorted, "http", "a.example", "/p?ab=1&a=2&a", "",
     "http|a.example:80|/p?a=2&a&ab=1", "a.example/p?a=2&a&ab=1"},
    {"dropped", &sorted, "http", "a.example", "/p?utm_source=x&a=1&GCLID=2&utm_", "",
     "http|a.example:80|/p?a=1", "a.example/p?a=1"},
    {"not by value", &sorted, "http", "a.example", "/p?a=gclid", "",
     "http|a.example:80|/p?a=gclid", "a.example/p?a=gclid"},
    {"all dropped: no query left", &sorted, "http", "a.example", "/p?gclid=1", "",
     "http|a.example:80|/p", "a.example/p"},
    {"an empty query with rules", &sorted, "http", "a.example", "/p?", "",
     "http|a.example:80|/p?", "a.example/p?"},
    {"dropped, hidden by escapes", &sorted, "http", "a.example", "/p?%67clid=1&a", "",
     "http|a.example:80|/p?a", "a.example/p?a"},
    {"not with ';', where some begin the next one", &sorted, "http", "a.example",
     "/p?a=1&utm_x=1;a=evil", "", "http|a.example:80|/p?a=1&utm_x=1;a=evil",
     "a.example/p?a=1&utm_x=1;a=evil"},
    {"escaped, it begins nothing", &sorted, "http", "a.example", "/p?a=1&utm_x=1%3Ba=evil", "",
     "http|a.example:80|/p?a=1", "a.example/p?a=1"},
    {"nor is it left out by keep", &keeping, "http", "a.example", "/p?x=1;id=2&id=3&y=1", "",
     "http|a.example:80|/p?x=1;id=2&id=3", "a.example/p?x=1;id=2&id=3"},
    {"only what is kept", &keeping, "http", "a.example", "/p?x=1&page=2&id=3", "",
     "http|a.example:80|/p?page=2&id=3", "a.example/p?page=2&id=3"},
    {"cookies and fields", &joining, "http", "a.example", "/p",
     "cookie: x=1; lang=de; ab=\nx-az: tv",
     "http|a.example:80|/p lang=2:de ab=0: "
     "x-az=2:tv",
     "a.example/p"},
    {"absent differs from empty", &joining, "http", "a.example", "/p", "cookie: ab=1",
     "http|a.example:80|/p lang= ab=1:1 x-az=", "a.example/p"},
    {"a value cannot pose as the next part", &joining, "http", "a.example", "/p",
     "cookie: lang=de ab=1:1",
     "http|a.example:80|/p lang=9:de ab=1:1 ab= x-az=", "a.example/p"},
    {"the first of two cookies", &joining, "http", "a.example", "/p",
     "cookie: lang=a\ncookie: lang=b; Lang=c",
     "http|a.example:80|/p lang=1:a ab= x-az=", "a.example/p"},
    {"fields are joined", &joining, "http", "a.example", "/p", "x-az: a\nx-az: b",
     "http|a.example:80|/p lang= ab= x-az=4:a, b", "a.example/p"},
};

static void test_make(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena arena;
        struct http_uri uri;
        struct policy_key key;
        arena_init(&arena, 65536);
        struct http_request r = {.scheme = span_text(rows[i].scheme),
                                 .authority = span_text(rows[i].authority),
                                 .target = span_text(rows[i].target),
                                 .fields = lines(&arena, rows[i].fields)};
        assert_int_equal(http_uri_parse_target(r.target, &arena, &uri), ERR_OK);
        assert_int_equal(policy_key_make(&r, &uri, rows[i].conf, &arena, &key), ERR_OK);
        ASSERT_SPAN(rows[i].why, key.text, span_text(rows[i].want_text));
        ASSERT_SPAN(rows[i].why, key.url, span_text(rows[i].want_url));
        ASSERT_SPAN(rows[i].why, key.path, uri.path);
        if (key.host.len + key.path_query.len != key.url.len || key.host.ptr != key.url.ptr ||
            key.path_query.ptr != key.url.ptr + key.host.len)
            fail_msg("%s: parts", rows[i].why);
        arena_fini(&arena);
    }
}

static const char *shop_hosts[] = {"shop.example", "*.shop.example"};
static const char *sub_hosts[] = {"*.sub.shop.example"};
static const char *any_hosts[] = {"*"};
static struct conf_site sites[] = {
    {.name = "any", .hosts = {any_hosts, 1}},
    {.name = "shop", .hosts = {shop_hosts, 2}, .cache_key = {.sort_query = true}},
    {.name = "sub", .hosts = {sub_hosts, 1}, .cache_key = {.drop_query = {tracking, 2}}},
};
static const struct conf conf = {.sites = sites, .site_count = ARRAY_LEN(sites)};
static const struct conf conf_shop_only = {.sites = sites + 1, .site_count = 1};

static void test_site(void **state)
{
    (void)state;
    static const struct {
        const char *host, *want;
    } hosts[] = {
        {"shop.example", "shop"},      {"SHOP.example", "shop"},
        {"a.shop.example", "shop"},    {"sub.shop.example", "shop"},
        {"a.sub.shop.example", "sub"}, {"b.a.sub.shop.example", "sub"},
        {"ashop.example", "any"},      {".shop.example", "any"},
        {"other.example", "any"},      {"", "any"},
    };
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
        assert_string_equal(policy_key_site(&conf, span_text(hosts[i].host))->name,
                            hosts[i].want);
    assert_null(policy_key_site(&conf_shop_only, SPAN("other.example")));
}

static const struct {
    const char *why;
    enum purge_kind kind;
    const char *selector, *site, *want; /* names joined by '|'; NULL: ERR_SYNTAX */
} purge_rows[] = {
    {"url", PURGE_URL, "http://other.example/a?b=2&a=1", "", "other.example/a?b=2&a=1"},
    {"https names the same", PURGE_URL, "https://other.example/a?b=2&a=1", "",
     "other.example/a?b=2&a=1"},
    {"its port does not count", PURGE_URL, "http://other.example:8080/a", "",
     "other.example/a"},
    {"normalised", PURGE_URL, "HTTP://Other.Example/x/../%7ea", "", "other.example/~a"},
    {"no path", PURGE_URL, "http://other.example", "", "other.example/"},
    {"by the rules of its site", PURGE_URL, "http://shop.example/a?b=2&a=1", "",
     "shop.example/a?a=1&b=2"},
    {"by those of another", PURGE_URL, "http://x.sub.shop.example/a?b=2&gclid=1", "",
     "x.sub.shop.example/a?b=2"},
    {"no url", PURGE_URL, "/a", "", NULL},
    {"a fragment", PURGE_URL, "http://other.example/a#b", "", NULL},
    {"path on any host", PURGE_PATH, "/a", "", "/a"},
    {"one name per rule", PURGE_PATH, "/a?b=2&a=1", "", "/a?b=2&a=1|/a?a=1&b=2"},
    {"of one site", PURGE_PATH, "/a?b=2&a=1", "shop", "/a?a=1&b=2"},
    {"of no site", PURGE_PATH, "/a", "nowhere", NULL},
    {"no path at all", PURGE_PATH, "a", "", NULL},
    {"not a target's other forms", PURGE_PATH, "*", "", NULL},
    {"tag", PURGE_TAG, " a b ", "", "a b"},
    {"no tag", PURGE_TAG, " ", "", NULL},
    {"prefix", PURGE_PREFIX, "Shop.example:80/A/../b/", "", "shop.example/b/"},
    {"prefix with scheme", PURGE_PREFIX, "HTTPS://shop.example/b", "", "shop.example/b"},
    {"prefix, host alone", PURGE_PREFIX, "shop.example", "", "shop.example/"},
    {"prefix into the query", PURGE_PREFIX, "shop.example/b?z=1&a=", "",
     "shop.example/b?z=1&a="},
    {"prefix without host", PURGE_PREFIX, "/b", "", NULL},
    {"prefix of another scheme", PURGE_PREFIX, "ftp://shop.example/b", "", NULL},
    {"host", PURGE_HOST, "Shop.Example:8443", "", "shop.example"},
    {"host with a dot at its end", PURGE_HOST, "Shop.Example.", "", "shop.example"},
    {"url with a dot at its host's end", PURGE_URL, "http://shop.example./a", "",
     "shop.example/a"},
    {"no host", PURGE_HOST, "", "", NULL},
    {"host with a path", PURGE_HOST, "shop.example/a", "", NULL},
    {"all", PURGE_ALL, "", "", ""},
};

static void test_purge(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(purge_rows); i++) {
        struct arena arena;
        struct span *names, text = {0};
        uint32_t count;
        arena_init(&arena, 65536);
        struct purge p = {purge_rows[i].kind, PURGE_HARD, span_text(purge_rows[i].selector),
                          span_text(purge_rows[i].site)};
        enum err err = policy_key_purge(&p, &conf, &arena, &names, &count);
        if (err != (purge_rows[i].want ? ERR_OK : ERR_SYNTAX))
            fail_msg("%s: %d", purge_rows[i].why, err);
        for (uint32_t k = 0; !err && k < count; k++)
            assert_true(arena_printf(&arena, &text, "%.*s%s%.*s", SPAN_ARG(text), k ? "|" : "",
                                     SPAN_ARG(names[k])));
        if (!err)
            ASSERT_SPAN(purge_rows[i].why, text, span_text(purge_rows[i].want));
        arena_fini(&arena);
    }
}

static void test_purge_without_site(void **state)
{
    (void)state;
    struct arena arena;
    struct span *names;
    uint32_t count;
    arena_init(&arena, 65536);
    struct purge p = {PURGE_URL, PURGE_HARD, SPAN("http://other.example/a?b&a"), {0}};
    assert_int_equal(policy_key_purge(&p, &conf_shop_only, &arena, &names, &count), ERR_OK);
    ASSERT_SPAN("as it is", names[0], SPAN("other.example/a?b&a"));
    arena_fini(&arena);
}

static void test_full_arena(void **state)
{
    (void)state;
    struct arena arena, small;
    struct http_uri uri;
    struct policy_key key;
    arena_init(&arena, 65536);
    arena_init(&small, 1);
    struct http_request r = {.scheme = SPAN("http")};
    assert_int_equal(http_uri_parse_target(SPAN("/a?b"), &arena, &uri), ERR_OK);
    assert_int_equal(policy_key_make(&r, &uri, &sorted, &small, &key), ERR_LIMIT);
    r.authority = SPAN("a b");
    assert_int_equal(policy_key_make(&r, &uri, &sorted, &arena, &key), ERR_SYNTAX);
    arena_fini(&small);
    arena_fini(&arena);
}

/* Many sites whose rules make the same name need no more room than one. */
static void test_many_sites(void **state)
{
    (void)state;
    enum { SITES = 3000 };
    static struct conf_site many[SITES];
    static char path[2000];
    memset(path, 'x', sizeof path);
    path[0] = '/';
    for (unsigned i = 0; i < SITES; i++)
        many[i] = (struct conf_site){.name = "s", .cache_key = {.sort_query = i % 2}};
    struct conf c = {.sites = many, .site_count = SITES};
    struct purge p = {PURGE_PATH, PURGE_HARD, span_of(path, sizeof path), SPAN("")};
    struct arena a;
    struct span *names;
    uint32_t count;
    arena_init(&a, 16384);
    assert_int_equal(policy_key_purge(&p, &c, &a, &names, &count), ERR_OK);
    assert_int_equal(count, 1);
    assert_true(span_equal(names[0], p.selector));
    arena_fini(&a);
    arena_init(&a, 1500); /* and without room it says so */
    assert_int_equal(policy_key_purge(&p, &c, &a, &names, &count), ERR_LIMIT);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make),       cmocka_unit_test(test_site),
        cmocka_unit_test(test_purge),      cmocka_unit_test(test_purge_without_site),
        cmocka_unit_test(test_full_arena), cmocka_unit_test(test_many_sites),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
