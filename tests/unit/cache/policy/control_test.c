#include "tests/unit/cache/policy/lines.h"

#include "base/http/date.h"
#include "cache/policy/control.h"

#define NOW_S INT64_C(784111777) /* Sun, 06 Nov 1994 08:49:37 GMT */
#define NOW "Sun, 06 Nov 1994 08:49:37 GMT"
#define PLUS_60 "Sun, 06 Nov 1994 08:50:37 GMT"
#define MINUS_600 "Sun, 06 Nov 1994 08:39:37 GMT"

static const struct conf_ttl no_ttl = {-1, -1, -1, -1};

static void read_response(struct arena *a, const char *text, unsigned status,
                          const struct conf_ttl *ttl, struct policy_facts *f,
                          struct policy_control *c)
{
    struct http_response r = {.status = (uint16_t)status, .fields = lines(a, text)};
    policy_control_response(&r, ttl, NOW_S, NOW_S, a, f, c);
}

/* How long the response is fresh from now on, in seconds. */
static const struct {
    const char *why, *response;
    int64_t want_left_s;
} lifetime_rows[] = {
    {"nothing", "", 0},
    {"max-age", "cache-control: max-age=60", 60},
    {"any case", "cache-control: MaX-AgE=60", 60},
    {"quoted", "cache-control: max-age=\"60\"", 60},
    {"single quotes are none", "cache-control: max-age='60'", 0},
    {"leading zeros", "cache-control: max-age=0060", 60},
    {"negative", "cache-control: max-age=-60", 0},
    {"sign", "cache-control: max-age=+60", 0},
    {"fraction", "cache-control: max-age=60.0", 0},
    {"letters behind", "cache-control: max-age=60a", 0},
    {"no argument", "cache-control: max-age", 0},
    {"empty argument", "cache-control: max-age=", 0},
    {"space before =", "cache-control: max-age =60", 0},
    {"space after =", "cache-control: max-age= 60", 0},
    {"2^31", "cache-control: max-age=2147483648", 2147483648},
    {"saturates", "cache-control: max-age=99999999999999999999", 2147483648},
    {"a bad value outranks Expires", "cache-control: max-age=x\nexpires: " PLUS_60, 0},
    {"the first of two", "cache-control: max-age=60, max-age=1", 60},
    {"the first of two lines", "cache-control: max-age=1\ncache-control: max-age=60", 1},
    {"the first, though bad", "cache-control: max-age=x, max-age=60", 0},
    {"s-maxage outranks max-age", "cache-control: max-age=1, s-maxage=60", 60},
    {"a bad s-maxage too", "cache-control: max-age=60, s-maxage=x", 0},
    {"inside another's quotes", "cache-control: ext=\"max-age=60\"", 0},
    {"behind another's quotes", "cache-control: ext=\"a, max-age=1\", max-age=60", 60},
    {"unknown ones are skipped", "cache-control: foo, bar=1, max-age=60", 60},
    {"empty members", "cache-control: , ,max-age=60,,", 60},
    {"Expires", "date: " NOW "\nexpires: " PLUS_60, 60},
    {"Expires without Date counts from arrival", "expires: " PLUS_60, 60},
    {"Expires against an old Date ages at once", "date: " MINUS_600 "\nexpires: " PLUS_60, 60},
    {"Expires: 0", "expires: 0", 0},
    {"Expires twice", "expires: " PLUS_60 "\nexpires: " PLUS_60, 0},
    {"Expires, looser than the grammar", "expires: Sun, 6 Nov 1994 08:50:37 GMT", 0},
    {"an invalid Date is as if absent", "date: today\ncache-control: max-age=60", 60},
    {"Age", "age: 20\ncache-control: max-age=60", 40},
    {"Age against Expires", "age: 20\nexpires: " PLUS_60, 40},
    {"the first Age", "age: 20\nage: 50\ncache-control: max-age=60", 40},
    {"the first Age of a list", "age: 20, 50\ncache-control: max-age=60", 40},
    {"an invalid first Age", "age: x, 50\ncache-control: max-age=60", 60},
    {"negative Age", "age: -20\ncache-control: max-age=60", 60},
    {"Age with a fraction", "age: 20.0\ncache-control: max-age=60", 60},
    {"Age saturates", "age: 99999999999999999999\ncache-control: max-age=60", 60 - 2147483648},
    {"a tenth since Last-Modified", "last-modified: " MINUS_600, 60},
    {"no guess beside max-age", "last-modified: " MINUS_600 "\ncache-control: max-age=1", 1},
    {"no guess beside a bad Expires", "last-modified: " MINUS_600 "\nexpires: 0", 0},
    {"targeted", "cdn-cache-control: max-age=60", 60},
    {"targeted replaces Cache-Control",
     "cache-control: max-age=1\ncdn-cache-control: max-age=60", 60},
    {"and Expires", "expires: " PLUS_60 "\ncdn-cache-control: no-transform", 0},
    {"targeted, but empty", "cache-control: max-age=60\ncdn-cache-control: ", 60},
    {"targeted, bad syntax", "cache-control: max-age=1\ncdn-cache-control: max-age=60, &&&", 1},
    {"targeted, wrong type", "cache-control: max-age=1\ncdn-cache-control: max-age=\"60\"", 1},
    {"targeted, a fraction", "cache-control: max-age=1\ncdn-cache-control: max-age=60.5", 1},
    {"targeted, inner list", "cache-control: max-age=1\ncdn-cache-control: max-age=(60)", 1},
    {"targeted, no value", "cache-control: max-age=1\ncdn-cache-control: max-age", 1},
    {"targeted, upper case is another syntax",
     "cache-control: max-age=1\ncdn-cache-control: MAX-AGE=60", 1},
    {"targeted, negative", "cache-control: max-age=60\ncdn-cache-control: max-age=-1", 0},
    {"targeted, large", "cdn-cache-control: max-age=99999999999", 2147483648},
    {"targeted, the last of two", "cdn-cache-control: max-age=1, max-age=60", 60},
    {"targeted, parameters", "cdn-cache-control: max-age=60;x", 60},
    {"targeted, unknown ones of any type", "cdn-cache-control: a=(1), b=\"x\", max-age=60", 60},
    {"targeted in two lines", "cdn-cache-control: foo\ncdn-cache-control: max-age=60", 60},
    {"a wrong type late spoils what came before",
     "cache-control: max-age=1\ncdn-cache-control: max-age=60, no-store=1", 1},
    {"Surrogate-Control", "cache-control: max-age=1\nsurrogate-control: max-age=60", 60},
    {"CDN-Cache-Control comes before it",
     "surrogate-control: max-age=1\ncdn-cache-control: max-age=60", 60},
    {"an invalid one lets it through",
     "surrogate-control: max-age=60\ncdn-cache-control: max-age=x", 60},
    {"Age counts against it", "age: 20\ncdn-cache-control: max-age=60", 40},
};

static void test_lifetime(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lifetime_rows); i++) {
        struct arena arena;
        struct policy_facts facts;
        struct policy_control control;
        arena_init(&arena, 65536);
        read_response(&arena, lifetime_rows[i].response, 200, &no_ttl, &facts, &control);
        int64_t got = policy_freshness_left_s(&facts, NOW_S);
        if (got != lifetime_rows[i].want_left_s)
            fail_msg("%s: got %lld", lifetime_rows[i].why, (long long)got);
        arena_fini(&arena);
    }
}

/* Directives are told by letters: n no-store, p private, P public, c no-cache, u
 * must-understand, t no-transform, m must-revalidate, s no stale, w windows only, S s-maxage,
 * T targeted, L explicit lifetime. */
static const struct {
    const char *why, *response, *want;
} flag_rows[] = {
    {"nothing", "", ""},
    {"no-store", "cache-control: no-store", "n"},
    {"any case", "cache-control: No-StOrE", "n"},
    {"with a useless argument", "cache-control: no-store=1", "n"},
    {"private", "cache-control: private, max-age=1", "pL"},
    {"public", "cache-control: public", "P"},
    {"both: the caller takes the stricter", "cache-control: public, private", "pP"},
    {"no-cache", "cache-control: no-cache", "c"},
    {"no-cache beside max-age", "cache-control: max-age=1, no-cache", "cL"},
    {"qualified is not the whole", "cache-control: private=\"set-cookie\"", ""},
    {"qualified by nothing", "cache-control: private=\"\"", "p"},
    {"qualified by no field name", "cache-control: no-cache=\"a b\"", "c"},
    {"qualified without quotes", "cache-control: no-cache=a", ""},
    {"must-revalidate", "cache-control: must-revalidate", "ms"},
    {"proxy-revalidate", "cache-control: proxy-revalidate", "s"},
    {"s-maxage forbids stale", "cache-control: s-maxage=1", "sSL"},
    {"unless a window comes along", "cache-control: s-maxage=1, stale-if-error=5", "wSL"},
    {"the other window", "cache-control: stale-while-revalidate=5, s-maxage=1", "wSL"},
    {"must-revalidate beats the window",
     "cache-control: s-maxage=1, stale-if-error=5, must-revalidate", "mswSL"},
    {"a window alone", "cache-control: max-age=1, stale-if-error=5", "L"},
    {"must-understand, no-transform", "cache-control: must-understand, no-transform", "ut"},
    {"Pragma in a response means nothing", "pragma: no-cache", ""},
    {"a bad Expires is explicit", "expires: x", "L"},
    {"targeted", "cdn-cache-control: no-store, private, no-cache", "npcT"},
    {"targeted, switched off", "cdn-cache-control: no-store=?0, max-age=1", "TL"},
    {"targeted drops what Cache-Control said",
     "cache-control: no-store, private, must-revalidate\ncdn-cache-control: max-age=1", "TL"},
    {"an invalid one leaves it", "cache-control: no-store\ncdn-cache-control: private=1", "n"},
    {"targeted qualified", "cdn-cache-control: private=\"a\"", "T"},
    {"targeted s-maxage", "cdn-cache-control: s-maxage=1", "sSTL"},
    {"targeted token for a flag", "cdn-cache-control: no-store=yes", ""},
};

static void test_flags(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(flag_rows); i++) {
        struct arena arena;
        struct policy_facts f;
        struct policy_control c;
        arena_init(&arena, 65536);
        read_response(&arena, flag_rows[i].response, 200, &no_ttl, &f, &c);
        const struct {
            bool on;
            char letter;
        } flags[] = {
            {c.no_store, 'n'},        {c.is_private, 'p'},      {c.is_public, 'P'},
            {f.no_cache, 'c'},        {c.must_understand, 'u'}, {c.no_transform, 't'},
            {c.must_revalidate, 'm'}, {f.no_stale, 's'},        {f.windows_only, 'w'},
            {c.shared_max_age, 'S'},  {c.targeted, 'T'},        {c.lifetime, 'L'},
        };
        char got[ARRAY_LEN(flags) + 1] = "";
        size_t at = 0;
        for (size_t k = 0; k < ARRAY_LEN(flags); k++)
            if (flags[k].on)
                got[at++] = flags[k].letter;
        ASSERT_SPAN(flag_rows[i].why, span_of(got, at), span_text(flag_rows[i].want));
        arena_fini(&arena);
    }
}

static void test_windows(void **state)
{
    (void)state;
    static const struct {
        const char *why, *response;
        int64_t want_refresh_s, want_error_s;
    } rows[] = {
        {"none", "cache-control: max-age=1", POLICY_NONE, POLICY_NONE},
        {"both", "cache-control: stale-while-revalidate=5, stale-if-error=7", 5, 7},
        {"bad is no window", "cache-control: stale-while-revalidate=x", 0, POLICY_NONE},
        {"targeted", "cdn-cache-control: stale-if-error=7", POLICY_NONE, 7},
        {"targeted drops the other's",
         "cache-control: stale-if-error=7\ncdn-cache-control: foo", POLICY_NONE, POLICY_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena arena;
        struct policy_facts f;
        struct policy_control c;
        arena_init(&arena, 65536);
        read_response(&arena, rows[i].response, 200, &no_ttl, &f, &c);
        if (f.stale_refresh_s != rows[i].want_refresh_s ||
            f.stale_error_s != rows[i].want_error_s)
            fail_msg("%s: %lld %lld", rows[i].why, (long long)f.stale_refresh_s,
                     (long long)f.stale_error_s);
        arena_fini(&arena);
    }
}

static void test_hidden(void **state)
{
    (void)state;
    struct arena arena;
    struct policy_facts f;
    struct policy_control c;
    arena_init(&arena, 65536);
    read_response(&arena, "cache-control: no-cache=\"A, ,b\", private=\"Set-Cookie\"", 200,
                  &no_ttl, &f, &c);
    assert_int_equal(c.hidden_count, 3);
    assert_true(policy_control_hides(&c, SPAN("a")) && policy_control_hides(&c, SPAN("b")) &&
                policy_control_hides(&c, SPAN("set-cookie")));
    assert_false(policy_control_hides(&c, SPAN("c")));
    /* one more than there is room for: unqualified, and no half of a list is kept */
    read_response(&arena, "cache-control: no-cache=\"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\"", 200,
                  &no_ttl, &f, &c);
    assert_true(f.no_cache && c.hidden_count == 0);
    read_response(&arena, "cache-control: no-cache=\"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p\"", 200,
                  &no_ttl, &f, &c);
    assert_true(!f.no_cache && c.hidden_count == POLICY_CONTROL_NAMES);
    arena_fini(&arena);
}

static const struct {
    const char *why, *response;
    unsigned status;
    struct conf_ttl ttl; /* default, force, negative, grace */
    int64_t want_left_s;
    bool want_no_store;
} ttl_rows[] = {
    {"default stands in", "", 200, {60, -1, -1, -1}, 60, false},
    {"not beside explicit freshness",
     "cache-control: max-age=1",
     200,
     {60, -1, -1, -1},
     1,
     false},
    {"not beside a bad Expires", "expires: x", 200, {60, -1, -1, -1}, 0, false},
    {"it outranks the guess", "last-modified: " MINUS_600, 200, {5, -1, -1, -1}, 5, false},
    {"not for errors", "", 404, {60, -1, -1, -1}, 0, false},
    {"not for a 302", "", 302, {60, -1, -1, -1}, 0, false},
    {"default 0 keeps nothing", "", 200, {0, -1, -1, -1}, 0, false},
    {"default 0 outranks the guess",
     "last-modified: " MINUS_600,
     200,
     {0, -1, -1, -1},
     0,
     false},
    {"force 0", "cache-control: max-age=60", 200, {-1, 0, -1, -1}, 0, false},
    {"default leaves no-store", "cache-control: no-store", 200, {60, -1, -1, -1}, 60, true},
    {"force", "cache-control: max-age=1", 200, {-1, 60, -1, -1}, 60, false},
    {"force, whatever age it came with",
     "age: 50\ncache-control: max-age=1",
     200,
     {-1, 60, -1, -1},
     60,
     false},
    {"force outranks no-store", "cache-control: no-store", 200, {-1, 60, -1, -1}, 60, false},
    {"force outranks default", "", 200, {5, 60, -1, -1}, 60, false},
    {"force is not for errors", "cache-control: no-store", 500, {-1, 60, -1, -1}, 0, true},
    {"nor for a 404", "", 404, {-1, 60, -1, -1}, 0, false},
    {"negative", "", 404, {-1, -1, 5, -1}, 5, false},
    {"negative 0 keeps nothing", "last-modified: " MINUS_600, 404, {-1, -1, 0, -1}, 0, false},
    {"negative, method", "", 405, {-1, -1, 5, -1}, 5, false},
    {"negative, too long", "", 414, {-1, -1, 5, -1}, 5, false},
    {"negative, for legal reasons", "", 451, {-1, -1, 5, -1}, 5, false},
    {"negative, not implemented", "", 501, {-1, -1, 5, -1}, 5, false},
    {"negative, gone", "", 410, {60, -1, 5, -1}, 5, false},
    {"negative is not for 200", "", 200, {-1, -1, 5, -1}, 0, false},
    {"negative is not for 500", "", 500, {-1, -1, 5, -1}, 0, false},
    {"negative leaves what the origin says",
     "cache-control: max-age=9",
     404,
     {-1, -1, 5, -1},
     9,
     false},
    {"no guess for a 500", "last-modified: " MINUS_600, 500, {-1, -1, -1, -1}, 0, false},
    {"a guess for any public one",
     "last-modified: " MINUS_600 "\ncache-control: public",
     500,
     {-1, -1, -1, -1},
     60,
     false},
    {"explicit for any status", "cache-control: max-age=60", 599, {-1, -1, -1, -1}, 60, false},
};

static void test_ttl(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ttl_rows); i++) {
        struct arena arena;
        struct policy_facts facts;
        struct policy_control control;
        arena_init(&arena, 65536);
        read_response(&arena, ttl_rows[i].response, ttl_rows[i].status, &ttl_rows[i].ttl,
                      &facts, &control);
        int64_t got = policy_freshness_left_s(&facts, NOW_S);
        if (got != ttl_rows[i].want_left_s || control.no_store != ttl_rows[i].want_no_store)
            fail_msg("%s: got %lld, no-store %d", ttl_rows[i].why, (long long)got,
                     control.no_store);
        arena_fini(&arena);
    }
}

#define N POLICY_NONE
static const struct {
    const char *why, *request;
    struct policy_wish
        want; /* max-age, min-fresh, max-stale, if-error, no-cache, -store, only */
} wish_rows[] = {
    {"nothing", "", {N, N, N, N, false, false, false}},
    {"no-cache", "cache-control: no-cache", {N, N, N, N, true, false, false}},
    {"Pragma alone", "pragma: no-cache", {N, N, N, N, true, false, false}},
    {"Pragma among others", "pragma: foo, No-Cache", {N, N, N, N, true, false, false}},
    {"another Pragma", "pragma: foo", {N, N, N, N, false, false, false}},
    {"Pragma beside Cache-Control",
     "pragma: no-cache\ncache-control: max-age=5",
     {5, N, N, N, false, false, false}},
    {"max-age=0 is a reload", "cache-control: max-age=0", {0, N, N, N, true, false, false}},
    {"a bad max-age too", "cache-control: max-age=x", {0, N, N, N, true, false, false}},
    {"max-age=1 is none", "cache-control: max-age=1", {1, N, N, N, false, false, false}},
    {"min-fresh", "cache-control: min-fresh=5", {N, 5, N, N, false, false, false}},
    {"max-stale", "cache-control: max-stale=5", {N, N, 5, N, false, false, false}},
    {"any staleness",
     "cache-control: max-stale",
     {N, N, POLICY_SECONDS_MAX, N, false, false, false}},
    {"a bad max-stale allows nothing",
     "cache-control: max-stale=x",
     {N, N, N, N, false, false, false}},
    {"stale-if-error", "cache-control: stale-if-error=5", {N, N, N, 5, false, false, false}},
    {"no-store, only-if-cached",
     "cache-control: no-store, only-if-cached",
     {N, N, N, N, false, true, true}},
    {"two lines",
     "cache-control: max-age=5\ncache-control: min-fresh=6",
     {5, 6, N, N, false, false, false}},
};
#undef N

static void test_wish(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wish_rows); i++) {
        struct arena arena;
        struct policy_wish got;
        const struct policy_wish *want = &wish_rows[i].want;
        arena_init(&arena, 65536);
        struct http_fields f = lines(&arena, wish_rows[i].request);
        policy_control_request(&f, &got);
        if (got.max_age_s != want->max_age_s || got.min_fresh_s != want->min_fresh_s ||
            got.max_stale_s != want->max_stale_s || got.stale_error_s != want->stale_error_s ||
            got.no_cache != want->no_cache || got.no_store != want->no_store ||
            got.only_if_cached != want->only_if_cached)
            fail_msg("%s", wish_rows[i].why);
        arena_fini(&arena);
    }
}

/* No room for the targeted field: it is as if absent, and nothing of it was taken. */
static void test_full_arena(void **state)
{
    (void)state;
    struct arena arena, small;
    struct policy_facts f;
    struct policy_control c;
    arena_init(&arena, 65536);
    arena_init(&small, 1);
    struct http_response r = {
        .status = 200,
        .fields = lines(&arena, "cdn-cache-control: max-age=60\ncache-control: max-age=1"),
    };
    policy_control_response(&r, &no_ttl, NOW_S, NOW_S, &small, &f, &c);
    assert_true(f.max_age_s == 1 && !c.targeted);
    arena_fini(&small);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lifetime),   cmocka_unit_test(test_flags),
        cmocka_unit_test(test_windows),    cmocka_unit_test(test_hidden),
        cmocka_unit_test(test_ttl),        cmocka_unit_test(test_wish),
        cmocka_unit_test(test_full_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
