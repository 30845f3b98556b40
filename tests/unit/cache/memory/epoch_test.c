#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/counter.h"
#include "cache/memory/epoch.h"

#define BOOT UINT64_C(7)
#define FIRST (BOOT << 40)

static const struct hash_key key = {1, 2};

static struct memory_purge purge_of(enum purge_kind kind, enum purge_mode mode,
                                    const struct span *name, const char *site)
{
    return (struct memory_purge){kind, mode, span_text(site), name,
                                 name->len || kind != PURGE_ALL};
}

static const struct {
    const char *why;
    enum purge_kind kind;
    const char *name, *purge_site, *url, *site, *tag;
    bool matches;
} rows[] = {
    {"url", PURGE_URL, "a.b/x?q", "", "a.b/x?q", "s", "", true},
    {"url, other query", PURGE_URL, "a.b/x?q", "", "a.b/x?r", "s", "", false},
    {"url is no prefix", PURGE_URL, "a.b/x", "", "a.b/x/y", "s", "", false},
    {"path on any host", PURGE_PATH, "/x", "", "c.d/x", "s", "", true},
    {"path with query", PURGE_PATH, "/x", "", "c.d/x?q", "s", "", false},
    {"tag", PURGE_TAG, "t1", "", "a.b/x", "s", "t1", true},
    {"another tag", PURGE_TAG, "t1", "", "a.b/x", "s", "t2", false},
    {"group", PURGE_GROUP, "a.b g 1", "", "a.b/x", "s", "group:g 1", true},
    {"another group", PURGE_GROUP, "a.b g 1", "", "a.b/x", "s", "group:g 2", false},
    {"group of another host", PURGE_GROUP, "c.b g 1", "", "a.b/x", "s", "group:g 1", false},
    {"a tag is no group", PURGE_GROUP, "a.b g 1", "", "a.b/x", "s", "g 1", false},
    {"but a group is a tag", PURGE_TAG, "g 1", "", "a.b/x", "s", "group:g 1", true},
    {"a tag is no url", PURGE_TAG, "a.b/x", "", "a.b/x", "s", "", false},
    {"directory", PURGE_PREFIX, "a.b/d/", "", "a.b/d/x", "s", "", true},
    {"directory itself", PURGE_PREFIX, "a.b/d/", "", "a.b/d/", "s", "", true},
    {"root directory", PURGE_PREFIX, "a.b/", "", "a.b/d/x", "s", "", true},
    {"directory, other host", PURGE_PREFIX, "a.b/d/", "", "c.b/d/x", "s", "", false},
    {"directory without its slash", PURGE_PREFIX, "a.b/d/", "", "a.b/d", "s", "", false},
    {"slash in the query is no directory", PURGE_PREFIX, "a.b/d/", "", "a.b/?q=/d/", "s", "",
     false},
    {"prefix at any byte", PURGE_PREFIX, "a.b/im", "", "a.b/img/x", "s", "", true},
    {"prefix, not begun so", PURGE_PREFIX, "a.b/im", "", "a.b/pim", "s", "", false},
    {"prefix that ends in the query", PURGE_PREFIX, "a.b/x?q=/", "", "a.b/x?q=/1", "s", "",
     true},
    {"host", PURGE_HOST, "a.b", "", "a.b/x", "s", "", true},
    {"host is no suffix", PURGE_HOST, "b", "", "a.b/x", "s", "", false},
    {"all", PURGE_ALL, "", "", "a.b/x", "s", "", true},
    {"url, this site", PURGE_URL, "a.b/x", "s", "a.b/x", "s", "", true},
    {"url, other site", PURGE_URL, "a.b/x", "t", "a.b/x", "s", "", false},
    {"tag, other site", PURGE_TAG, "t1", "t", "a.b/x", "s", "t1", false},
    {"all of this site", PURGE_ALL, "", "s", "a.b/x", "s", "", true},
    {"all of another site", PURGE_ALL, "", "t", "a.b/x", "s", "", false},
    {"prefix of another site", PURGE_PREFIX, "a.b/im", "t", "a.b/img", "s", "", false},
    {"prefix of this site", PURGE_PREFIX, "a.b/im", "s", "a.b/img", "s", "", true},
};

static struct memory_names names_of(const struct memory_epoch *e, const char *url,
                                    const char *site, const char *tag, uint64_t *tag_room)
{
    struct span u = span_text(url);
    size_t slash = 0;
    (void)span_find(u, '/', &slash);
    bool group = span_starts(span_text(tag), SPAN("group:"));
    *tag_room = memory_epoch_tag(e, span_text(group ? tag + 6 : tag), group);
    return (struct memory_names){.url = u,
                                 .host = span_until(u, slash),
                                 .path_query = span_from(u, slash),
                                 .site = span_text(site),
                                 .tags = tag_room,
                                 .tag_count = tag[0] != 0};
}

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int mode = PURGE_HARD; mode <= PURGE_SOFT; mode++) {
            struct memory_epoch *e = memory_epoch_create(&key, BOOT);
            uint64_t tag;
            struct span name = span_text(rows[i].name);
            struct memory_names n = names_of(e, rows[i].url, rows[i].site, rows[i].tag, &tag);
            struct memory_purge p =
                purge_of(rows[i].kind, (enum purge_mode)mode, &name, rows[i].purge_site);
            uint64_t before = memory_epoch_now(e);
            assert_int_equal(memory_epoch_check(e, &n, before, NULL), MEMORY_PURGED_NOT);
            uint64_t no = memory_epoch_reserve(e);
            memory_epoch_apply(e, &p, no);
            enum memory_purged want = !rows[i].matches     ? MEMORY_PURGED_NOT
                                      : mode == PURGE_HARD ? MEMORY_PURGED_HARD
                                                           : MEMORY_PURGED_SOFT;
            if (memory_epoch_check(e, &n, before, NULL) != want ||
                memory_epoch_matches(e, &p, &n) != rows[i].matches)
                fail_msg("%s", rows[i].why);
            /* What was sent afterwards is not older. */
            if (memory_epoch_check(e, &n, memory_epoch_now(e), NULL) != MEMORY_PURGED_NOT)
                fail_msg("%s: afterwards", rows[i].why);
            memory_epoch_destroy(e);
        }
    }
}

static void purge_url(struct memory_epoch *e, const char *url, uint64_t no)
{
    struct span name = span_text(url);
    struct memory_purge p = purge_of(PURGE_URL, PURGE_HARD, &name, "");
    memory_epoch_apply(e, &p, no);
}

static void test_memo(void **state)
{
    (void)state;
    struct memory_epoch *e = memory_epoch_create(&key, BOOT);
    uint64_t tag, fill_no = memory_epoch_now(e);
    atomic_ullong memo = 0;
    struct memory_names n = names_of(e, "a.b/x", "s", "", &tag);
    purge_url(e, "a.b/other", memory_epoch_reserve(e));
    assert_int_equal(memory_epoch_check(e, &n, fill_no, &memo), MEMORY_PURGED_NOT);
    assert_int_not_equal(atomic_load(&memo), 0);
    purge_url(e, "a.b/x", memory_epoch_reserve(e));
    assert_int_equal(memory_epoch_check(e, &n, fill_no, &memo), MEMORY_PURGED_HARD);
    assert_int_equal(memory_epoch_check(e, &n, fill_no, &memo), MEMORY_PURGED_HARD);
    memory_epoch_destroy(e);
}

/* A number is given to a purge before it is applied; a worker's invalidation may come between.
 * Nothing that was sent before the purge took effect may survive it. */
static void test_reserved(void **state)
{
    (void)state;
    struct memory_epoch *e = memory_epoch_create(&key, BOOT);
    uint64_t tag;
    struct memory_names x = names_of(e, "a.b/x", "s", "", &tag);
    struct memory_names y = names_of(e, "a.b/y", "s", "", &tag);
    struct span y_name = SPAN("a.b/y");
    struct memory_purge y_purge = purge_of(PURGE_URL, PURGE_HARD, &y_name, "");
    uint64_t first = memory_epoch_reserve(e), second = memory_epoch_reserve(e);
    uint64_t own = memory_epoch_apply_now(e, &y_purge);
    assert_true(own > second);
    uint64_t fill_no = memory_epoch_now(e);
    assert_true(fill_no < first);
    atomic_ullong memo = 0;
    assert_int_equal(memory_epoch_check(e, &x, fill_no, &memo), MEMORY_PURGED_NOT);
    purge_url(e, "a.b/other", second); /* out of order */
    assert_true(memory_epoch_now(e) < first);
    purge_url(e, "a.b/x", first);
    assert_int_equal(memory_epoch_check(e, &x, fill_no, &memo), MEMORY_PURGED_HARD);
    assert_int_equal(memory_epoch_now(e), own);
    assert_int_equal(memory_epoch_check(e, &x, memory_epoch_now(e), NULL), MEMORY_PURGED_NOT);
    assert_int_equal(memory_epoch_check(e, &y, memory_epoch_now(e), NULL), MEMORY_PURGED_NOT);
    /* One that names nothing here, and more that never come, do not hold the clock for ever. */
    memory_epoch_skip(e, memory_epoch_reserve(e));
    assert_int_equal(memory_epoch_now(e), own + 1);
    for (int i = 0; i < 2 * MEMORY_EPOCH_RESERVED; i++)
        (void)memory_epoch_reserve(e);
    purge_url(e, "a.b/z", memory_epoch_reserve(e));
    assert_true(memory_epoch_now(e) > own + MEMORY_EPOCH_RESERVED);
    memory_epoch_destroy(e);
}

static void test_numbers_of_earlier_starts(void **state)
{
    (void)state;
    struct memory_epoch *e = memory_epoch_create(&key, BOOT);
    uint64_t tag, old = (BOOT - 1) << 40;
    struct memory_names n = names_of(e, "a.b/x", "s", "", &tag);
    purge_url(e, "a.b/x", old + 5);
    purge_url(e, "a.b/x", old + 3); /* a lower number never undoes a higher one */
    assert_int_equal(memory_epoch_now(e), FIRST);
    assert_int_equal(memory_epoch_check(e, &n, old + 4, NULL), MEMORY_PURGED_HARD);
    assert_int_equal(memory_epoch_check(e, &n, old + 5, NULL), MEMORY_PURGED_NOT);
    assert_int_equal(memory_epoch_check(e, &n, FIRST, NULL), MEMORY_PURGED_NOT);
    memory_epoch_destroy(e);
}

static void print_url(char room[32], int i)
{
    int n = snprintf(room, 32, "a.b/%d", i);
    assert_true(n > 0 && n < 32);
}

static void test_growth_and_forgetting(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    struct memory_epoch *e = memory_epoch_create(&key, BOOT);
    struct memory_epoch_figures f;
    char url[32];
    uint64_t tag, middle = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            print_url(url, round * COUNT + i);
            uint64_t no = memory_epoch_reserve(e);
            purge_url(e, url, no);
            if (i == COUNT / 2)
                middle = no;
        }
        for (int i = 0; i < COUNT; i += 7) {
            print_url(url, round * COUNT + i);
            struct memory_names n = names_of(e, url, "s", "", &tag);
            assert_int_equal(memory_epoch_check(e, &n, FIRST, NULL), MEMORY_PURGED_HARD);
        }
        (void)memory_epoch_forget(e, middle, memory_epoch_renames(e), false);
        memory_epoch_figures(e, &f);
        assert_int_equal(f.names, COUNT - COUNT / 2 - 1);
        print_url(url, round * COUNT);
        struct memory_names gone = names_of(e, url, "s", "", &tag);
        assert_int_equal(memory_epoch_check(e, &gone, FIRST, NULL), MEMORY_PURGED_NOT);
        print_url(url, round * COUNT + COUNT - 1);
        struct memory_names kept = names_of(e, url, "s", "", &tag);
        assert_int_equal(memory_epoch_check(e, &kept, FIRST, NULL), MEMORY_PURGED_HARD);
        /* A forgotten name comes back. */
        print_url(url, round * COUNT);
        purge_url(e, url, memory_epoch_reserve(e));
        assert_int_equal(memory_epoch_check(e, &gone, FIRST, NULL), MEMORY_PURGED_HARD);
        (void)memory_epoch_forget(e, memory_epoch_now(e), memory_epoch_renames(e), false);
        memory_epoch_figures(e, &f);
        assert_int_equal(f.names, 0);
    }
    memory_epoch_destroy(e);
}

static void test_too_many_prefixes_widen(void **state)
{
    (void)state;
    struct memory_epoch *e = memory_epoch_create(&key, BOOT);
    uint64_t tag, widened = counter_sum(COUNTER_PURGE_WIDENED);
    char text[32];
    for (int i = 0; i <= MEMORY_EPOCH_PREFIXES; i++) {
        print_url(text, i + 100000);
        struct span name = span_text(text);
        struct memory_purge p = purge_of(PURGE_PREFIX, PURGE_HARD, &name, "");
        memory_epoch_apply(e, &p, memory_epoch_reserve(e));
    }
    assert_int_equal(counter_sum(COUNTER_PURGE_WIDENED), widened + 1);
    /* what it names, and its neighbours in the same directory, as hard as was said */
    struct memory_names other = names_of(e, text, "s", "", &tag);
    assert_int_equal(memory_epoch_check(e, &other, FIRST, NULL), MEMORY_PURGED_HARD);
    other = names_of(e, "a.b/x", "s", "", &tag);
    assert_int_equal(memory_epoch_check(e, &other, FIRST, NULL), MEMORY_PURGED_HARD);
    other = names_of(e, "a.c/x", "s", "", &tag);
    assert_int_equal(memory_epoch_check(e, &other, FIRST, NULL), MEMORY_PURGED_NOT);
    struct memory_names listed = names_of(e, "a.b/100003", "s", "", &tag);
    assert_int_equal(memory_epoch_check(e, &listed, FIRST, NULL), MEMORY_PURGED_HARD);
    assert_int_equal(
        memory_epoch_forget(e, memory_epoch_now(e), memory_epoch_renames(e), false),
        MEMORY_EPOCH_PREFIXES + 1);
    assert_int_equal(memory_epoch_check(e, &listed, FIRST, NULL), MEMORY_PURGED_NOT);
    memory_epoch_destroy(e);
}

/* The list is full: what a prefix beyond it names has to go, and little else. */
static void test_widened_prefixes(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *site, *url;
        enum purge_mode mode;
        enum memory_purged purged;
    } cases[] = {
        {"w.b/p/ab", "", "w.b/p/abc?x", PURGE_HARD, MEMORY_PURGED_HARD},
        {"w.b/p/ab", "", "w.b/p/ab/c/d", PURGE_HARD, MEMORY_PURGED_HARD},
        {"w.b/p/ab", "", "w.b/q", PURGE_HARD, MEMORY_PURGED_NOT},
        {"w.b/p/ab", "", "w.b/", PURGE_HARD, MEMORY_PURGED_NOT},
        {"w.b/p/ab", "", "w.b/p/abc", PURGE_SOFT, MEMORY_PURGED_SOFT},
        {"w.b:81/p", "", "w.b:81/pq", PURGE_HARD, MEMORY_PURGED_HARD},
        {"w.b/p/a?x=/1/", "", "w.b/p/a?x=/1/2", PURGE_HARD, MEMORY_PURGED_HARD},
        {"w.b/p?x", "", "w.b/p?xy", PURGE_HARD, MEMORY_PURGED_HARD},
        {"w.b/p/ab", "s", "w.b/p/abc", PURGE_HARD, MEMORY_PURGED_HARD},
        {"w.b/p/ab", "t", "w.b/p/abc", PURGE_HARD, MEMORY_PURGED_NOT},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct memory_epoch *e = memory_epoch_create(&key, BOOT);
        uint64_t tag;
        char text[32];
        for (int k = 0; k < MEMORY_EPOCH_PREFIXES; k++) {
            print_url(text, k + 100000);
            struct span name = span_text(text);
            struct memory_purge p = purge_of(PURGE_PREFIX, PURGE_HARD, &name, "t");
            memory_epoch_apply(e, &p, memory_epoch_reserve(e));
        }
        struct span name = span_text(cases[i].prefix);
        struct memory_purge p = purge_of(PURGE_PREFIX, cases[i].mode, &name, cases[i].site);
        memory_epoch_apply(e, &p, memory_epoch_reserve(e));
        struct memory_names n = names_of(e, cases[i].url, "s", "", &tag);
        assert_int_equal(memory_epoch_check(e, &n, FIRST, NULL), cases[i].purged);
        memory_epoch_destroy(e);
    }
}

static void test_deep_directories(void **state)
{
    (void)state;
    struct memory_epoch *e = memory_epoch_create(&key, BOOT);
    char url[8192] = "a.b";
    uint64_t tag;
    memset(url + 3, '/', sizeof(url) - 4);
    struct memory_names n = names_of(e, url, "s", "", &tag);
    struct span name = span_text(url);
    struct memory_purge p = purge_of(PURGE_PREFIX, PURGE_HARD, &name, "");
    memory_epoch_apply(e, &p, memory_epoch_reserve(e));
    assert_int_equal(memory_epoch_check(e, &n, FIRST, NULL), MEMORY_PURGED_HARD);
    memory_epoch_destroy(e);
}

static void test_purge_of_all_is_seen_by_all_but_sweeps(void **state)
{
    (void)state;
    struct memory_epoch *e = memory_epoch_create(&key, BOOT);
    uint64_t tag;
    struct memory_names n = names_of(e, "a.b/x", "s", "", &tag);
    struct memory_purge all = {.kind = PURGE_ALL, .mode = PURGE_SOFT};
    memory_epoch_apply(e, &all, FIRST); /* as for a store of another log */
    assert_int_equal(memory_epoch_check(e, &n, FIRST - 1, NULL), MEMORY_PURGED_SOFT);
    assert_int_equal(memory_epoch_check(e, &n, FIRST, NULL), MEMORY_PURGED_NOT);
    n.without_all = true;
    assert_int_equal(memory_epoch_check(e, &n, FIRST - 1, NULL), MEMORY_PURGED_NOT);
    memory_epoch_destroy(e);
}

/* A sweep does not know an object's site: what was purged for one stays purged. */
static void test_names_for_one_site_are_not_forgotten(void **state)
{
    (void)state;
    static const struct {
        enum purge_kind kind;
        const char *name;
    } purges[] = {{PURGE_URL, "a.b/x"}, {PURGE_TAG, "t1"},       {PURGE_PREFIX, "a.b/"},
                  {PURGE_HOST, "a.b"},  {PURGE_PREFIX, "a.b/x"}, {PURGE_ALL, ""}};
    for (size_t i = 0; i < sizeof purges / sizeof purges[0]; i++) {
        struct memory_epoch *e = memory_epoch_create(&key, BOOT);
        struct memory_epoch_figures f;
        uint64_t tag;
        struct span name = span_text(purges[i].name);
        struct memory_purge p = purge_of(purges[i].kind, PURGE_HARD, &name, "s");
        struct memory_names n = names_of(e, "a.b/x", "s", "t1", &tag);
        memory_epoch_apply(e, &p, memory_epoch_reserve(e));
        purge_url(e, "c.d/", memory_epoch_reserve(e));
        assert_int_equal(
            memory_epoch_forget(e, memory_epoch_now(e), memory_epoch_renames(e), false), 1);
        assert_int_equal(memory_epoch_check(e, &n, FIRST, NULL), MEMORY_PURGED_HARD);
        assert_int_equal(memory_epoch_swept(e), FIRST);
        memory_epoch_figures(e, &f);
        assert_int_equal(f.names + f.prefixes, 1);
        assert_int_equal(f.scoped, 1);
        /* also when the table gpurges */
        for (int k = 0; k < 5000; k++) {
            char url[32];
            print_url(url, k);
            purge_url(e, url, memory_epoch_reserve(e));
        }
        (void)memory_epoch_forget(e, memory_epoch_now(e), memory_epoch_renames(e), false);
        assert_int_equal(memory_epoch_check(e, &n, FIRST, NULL), MEMORY_PURGED_HARD);
        memory_epoch_destroy(e);
    }
}

static void apply_for(struct memory_epoch *e, enum purge_kind kind, const char *text,
                      const char *site, uint64_t no)
{
    struct span name = span_text(text);
    struct memory_purge p = purge_of(kind, PURGE_HARD, &name, site);
    memory_epoch_apply(e, &p, no);
}

/* A sweep that knows it: they leave like others. */
static void test_names_for_one_site_leave(void **state)
{
    (void)state;
    static const struct {
        enum purge_kind kind;
        const char *name;
    } purges[] = {{PURGE_URL, "a.b/x"}, {PURGE_TAG, "t1"},       {PURGE_PREFIX, "a.b/"},
                  {PURGE_HOST, "a.b"},  {PURGE_PREFIX, "a.b/x"}, {PURGE_ALL, ""}};
    struct memory_epoch *e = memory_epoch_create(&key, BOOT);
    struct memory_epoch_figures f;
    for (size_t i = 0; i < ARRAY_LEN(purges); i++) {
        uint64_t tag, before = memory_epoch_now(e);
        struct memory_names n = names_of(e, "a.b/x", "s", "t1", &tag);
        for (int k = 0; k < 2; k++) /* twice is once */
            apply_for(e, purges[i].kind, purges[i].name, "s", memory_epoch_reserve(e));
        memory_epoch_figures(e, &f);
        assert_true(f.names + f.prefixes == 1 && f.scoped == 1);
        assert_int_equal(
            memory_epoch_forget(e, memory_epoch_now(e) - 1, memory_epoch_renames(e), true), 0);
        assert_int_equal(memory_epoch_check(e, &n, before, NULL), MEMORY_PURGED_HARD);
        assert_int_equal(
            memory_epoch_forget(e, memory_epoch_now(e), memory_epoch_renames(e), true), 1);
        assert_int_equal(memory_epoch_check(e, &n, before, NULL), MEMORY_PURGED_NOT);
        memory_epoch_figures(e, &f);
        assert_true(f.names + f.prefixes == 0 && f.scoped == 0);
        assert_int_equal(memory_epoch_swept(e), memory_epoch_now(e));
    }
    memory_epoch_destroy(e);
}

/* Another configuration: a pass that began before did not look for what it names. */
static void test_another_configuration(void **state)
{
    (void)state;
    struct memory_epoch *e = memory_epoch_create(&key, BOOT);
    uint64_t tag, renames = memory_epoch_renames(e);
    struct memory_names x = names_of(e, "a.b/x", "s", "", &tag);
    apply_for(e, PURGE_URL, "a.b/x", "s", memory_epoch_reserve(e));
    memory_epoch_rename(e);
    assert_int_equal(memory_epoch_forget(e, memory_epoch_now(e), renames, true), 0);
    assert_int_equal(memory_epoch_check(e, &x, FIRST, NULL), MEMORY_PURGED_HARD);
    renames = memory_epoch_renames(e);
    assert_int_equal(memory_epoch_forget(e, memory_epoch_now(e), renames, true), 1);
    assert_int_equal(memory_epoch_check(e, &x, FIRST, NULL), MEMORY_PURGED_NOT);
    memory_epoch_destroy(e);
}

/* They stay, and nothing else has to. */
static void test_everything_does_not_hold_others(void **state)
{
    (void)state;
    struct memory_epoch *e = memory_epoch_create(&key, BOOT);
    uint64_t tag;
    struct memory_names n = names_of(e, "a.b/x", "s", "", &tag);
    apply_for(e, PURGE_ALL, "", "", memory_epoch_reserve(e));
    purge_url(e, "c.d/", memory_epoch_reserve(e));
    assert_int_equal(memory_epoch_forget(e, memory_epoch_now(e), memory_epoch_renames(e), true),
                     1);
    assert_int_equal(memory_epoch_swept(e), memory_epoch_now(e));
    assert_int_equal(memory_epoch_check(e, &n, FIRST, NULL), MEMORY_PURGED_HARD);
    memory_epoch_destroy(e);
}

static void test_what_is_swept(void **state)
{
    (void)state;
    struct memory_epoch *e = memory_epoch_create(&key, BOOT);
    struct memory_purge all = {.kind = PURGE_ALL, .mode = PURGE_HARD};
    assert_int_equal(memory_epoch_swept(e), 0);
    purge_url(e, "a.b/1", memory_epoch_reserve(e));
    purge_url(e, "a.b/2", memory_epoch_reserve(e));
    purge_url(e, "a.b/3", memory_epoch_reserve(e));
    (void)memory_epoch_forget(e, FIRST + 2, memory_epoch_renames(e), false);
    assert_int_equal(memory_epoch_swept(e), FIRST + 2);
    memory_epoch_apply(e, &all, memory_epoch_reserve(e)); /* 4 */
    purge_url(e, "a.b/5", memory_epoch_reserve(e));
    (void)memory_epoch_forget(e, FIRST + 4, memory_epoch_renames(e), false);
    assert_int_equal(memory_epoch_swept(e), FIRST + 4);
    (void)memory_epoch_forget(e, FIRST + 5, memory_epoch_renames(e), false);
    assert_int_equal(memory_epoch_swept(e), FIRST + 5);
    memory_epoch_destroy(e);
}

/* What is checked for somebody else's sake: names that are kept for it, and what may be gone.
 */
static void test_kept_for_others(void **state)
{
    (void)state;
    struct memory_epoch *e = memory_epoch_create(&key, BOOT);
    assert_int_equal(memory_epoch_forgotten(e), 0);
    purge_url(e, "a.b/1", memory_epoch_reserve(e));
    purge_url(e, "a.b/2", memory_epoch_reserve(e));
    purge_url(e, "a.b/3", memory_epoch_reserve(e));
    memory_epoch_keep(e, FIRST + 2);
    assert_int_equal(memory_epoch_forget(e, FIRST + 3, memory_epoch_renames(e), false), 1);
    assert_int_equal(memory_epoch_forgotten(e), FIRST + 1);
    assert_int_equal(memory_epoch_swept(e), FIRST + 1);
    memory_epoch_keep(e, FIRST + 9); /* higher than what may go */
    assert_int_equal(memory_epoch_forget(e, FIRST + 2, memory_epoch_renames(e), false), 1);
    assert_int_equal(memory_epoch_forgotten(e), FIRST + 2);
    memory_epoch_keep(e, 0);
    assert_int_equal(memory_epoch_forget(e, FIRST + 3, memory_epoch_renames(e), false), 1);
    assert_int_equal(memory_epoch_forgotten(e), FIRST + 3);
    memory_epoch_destroy(e);
}

static void test_step(void **state)
{
    (void)state;
    struct memory_epoch *e = memory_epoch_create(&key, BOOT);
    uint64_t before = memory_epoch_now(e);
    uint64_t no = memory_epoch_step(e);
    assert_true(before < no);
    assert_true(memory_epoch_now(e) >= no);
    assert_true(memory_epoch_reserve(e) > no);
    assert_true(memory_epoch_now(e) >= no); /* of a later purge nothing is older */
    memory_epoch_destroy(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_memo),
        cmocka_unit_test(test_reserved),
        cmocka_unit_test(test_numbers_of_earlier_starts),
        cmocka_unit_test(test_kept_for_others),
        cmocka_unit_test(test_step),
        cmocka_unit_test(test_growth_and_forgetting),
        cmocka_unit_test(test_too_many_prefixes_widen),
        cmocka_unit_test(test_widened_prefixes),
        cmocka_unit_test(test_deep_directories),
        cmocka_unit_test(test_purge_of_all_is_seen_by_all_but_sweeps),
        cmocka_unit_test(test_names_for_one_site_are_not_forgotten),
        cmocka_unit_test(test_names_for_one_site_leave),
        cmocka_unit_test(test_another_configuration),
        cmocka_unit_test(test_everything_does_not_hold_others),
        cmocka_unit_test(test_what_is_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
