#include "tests/unit/cache/scene.h"

#include "base/counter.h"
#include "cache/memory/fill.h"
#include "cache/memory/slab.h"

#define MB (UINT64_C(1) << 20)
#define FRESH "cache-control: max-age=60"

#define PERIOD 65521u /* a prime: a shift by whole slabs or chunks is noticed */

static char pattern[2 * PERIOD];

static void fill_pattern(void)
{
    uint32_t x = 1;
    for (size_t i = 0; i < PERIOD; i++) {
        x = x * 1664525 + 1013904223;
        pattern[i] = pattern[i + PERIOD] = (char)(x >> 24);
    }
}

/* The bytes of a body at an offset; at most PERIOD of them. */
static const char *expected(uint64_t at)
{
    return pattern + at % PERIOD;
}

static enum err give(struct client *c, uint64_t from, size_t bytes)
{
    return cache_intake_body(&c->intake, span_of(expected(from), bytes));
}

/* Reads up to `most` and checks every byte. */
static enum err take(struct client *c, uint64_t most)
{
    struct span piece;
    enum err e = ERR_OK;
    while (most && (e = memory_reader_peek(&c->reader, &piece)) == ERR_OK) {
        size_t n = piece.len < most ? piece.len : (size_t)most;
        n = n < PERIOD ? n : PERIOD;
        if (memcmp(piece.ptr, expected(c->reader.at), n) != 0)
            fail_msg("wrong bytes at %llu", (unsigned long long)c->reader.at);
        memory_reader_consume(&c->reader, n);
        most -= n;
    }
    return e;
}

static struct client *lead(struct scene *s, enum http_method method, const char *path,
                           const char *response, int64_t length)
{
    struct client *c = client_ask(s, method, path, "");
    client_open(c);
    client_fetch(c);
    assert_int_equal(client_respond(c, 200, response, length), CACHE_TAKE_BODY);
    assert_int_equal(memory_reader_head(&c->reader), MEMORY_HEAD_READY);
    return c;
}

static uint64_t memory_of(struct scene *s)
{
    return atomic_load(&s->cache->tier.memory_bytes) + atomic_load(&s->cache->tier.slice_bytes);
}

/* A private answer is held back by its client, at a quarter of a MiB. */
static void test_private_pushes_back(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    for (int refused = 0; refused < 2; refused++) {
        struct client *c = lead(&s, refused ? HTTP_GET : HTTP_POST, "/x", "foo: 1", -1);
        uint64_t at = 0;
        enum err e = ERR_OK;
        while (e == ERR_OK) {
            e = give(c, at, 16384);
            at += 16384;
        }
        assert_int_equal(e, ERR_AGAIN);
        assert_true(at <= MEMORY_WINDOW_PRIVATE_BYTES + 16384);
        assert_true(memory_of(&s) < MEMORY_WINDOW_PRIVATE_BYTES + 3 * MEMORY_SLAB_BYTES);
        assert_int_equal(take(c, at / 4 * 3), ERR_OK);
        struct span piece;
        assert_int_equal(memory_reader_peek(&c->reader, &piece), ERR_OK);
        turn(&s);
        assert_int_equal(c->room, 1);
        assert_int_equal(give(c, at, 16384), ERR_OK);
        cache_intake_end(&c->intake, NULL);
        assert_int_equal(take(c, UINT64_MAX), ERR_CLOSED);
        assert_int_equal(c->reader.at, at + 16384);
        client_destroy(c);
    }
    assert_int_equal(atomic_load(&s.cache->tier.fills), 0);
    scene_close(&s);
}

/* Without a disk a large object is shared while it arrives: the slowest holds it back, and one
 * that stands still is cut. */
static void test_unstored_window_and_cut(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 64 * MB);
    struct client *fast = lead(&s, HTTP_GET, "/x", FRESH, 50 * (int64_t)MB);
    assert_false(fast->reader.object->stored);
    struct client *slow = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(slow->answer.verdict, CACHE_JOIN);
    client_open(slow);
    assert_int_equal(memory_reader_head(&slow->reader), MEMORY_HEAD_READY);
    uint64_t at = 0;
    while (give(fast, at, 16384) == ERR_OK) {
        at += 16384;
        assert_int_equal(take(fast, UINT64_MAX), ERR_AGAIN);
        turn(&s);
    }
    at += 16384;
    assert_int_equal(take(slow, 100), ERR_OK);
    assert_true(at <= MEMORY_WINDOW_BYTES + 16384);
    cache_tick(s.cache, 10000, NOW);
    assert_int_equal(fast->room, 0);
    cache_tick(s.cache, 11001, NOW); /* 10 s after the first tick, at 1 s */
    turn(&s);
    struct span piece;
    assert_int_equal(memory_reader_peek(&slow->reader, &piece), ERR_TIMEOUT);
    assert_int_equal(take(fast, UINT64_MAX), ERR_AGAIN);
    turn(&s);
    assert_int_equal(fast->room, 1);
    /* Its first bytes are gone: the next one leads a fetch of its own. */
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_LEAD);
    client_destroy(slow);
    client_destroy(fast);
    scene_close(&s);
}

/* Who looked the fill up while it could be joined, and came to read too late. */
static void test_too_late_for_the_first_bytes(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 64 * MB);
    struct client *fast = lead(&s, HTTP_GET, "/x", FRESH, 50 * (int64_t)MB);
    struct client *late = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(late->answer.verdict, CACHE_JOIN);
    for (uint64_t at = 0; at < 4 * MB; at += 16384) {
        assert_int_equal(give(fast, at, 16384), ERR_OK);
        assert_int_equal(take(fast, UINT64_MAX), ERR_AGAIN);
    }
    client_open(late);
    assert_int_equal(memory_reader_head(&late->reader), MEMORY_HEAD_AGAIN);
    client_destroy(late);
    client_destroy(fast);
    scene_close(&s);
}

static void test_ram_budget(void **state)
{
    (void)state;
    struct scene s;
    char path[32];
    scene_open(&s, NULL, MB);
    uint64_t evicted = counter_sum(COUNTER_CACHE_EVICTED);
    char body[20001];
    memset(body, 'x', sizeof(body));
    body[20000] = 0;
    scene_store(&s, "/hot", "", FRESH, body);
    for (int i = 0; i < 200; i++) {
        (void)snprintf(path, sizeof(path), "/%d", i);
        scene_store(&s, path, "", FRESH, body);
        assert_int_equal(scene_verdict(&s, HTTP_GET, "/hot", ""), CACHE_HIT);
        assert_true(memory_of(&s) <= MB);
    }
    assert_true(counter_sum(COUNTER_CACHE_EVICTED) >= evicted + 140);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/0", ""), CACHE_LEAD);
    scene_close(&s);
}

static void test_max_objects(void **state)
{
    (void)state;
    struct scene s;
    char path[32];
    scene_open(&s, NULL, 64 * MB);
    for (int i = 0; i < 1200; i++) {
        (void)snprintf(path, sizeof(path), "/%d", i);
        scene_store(&s, path, "", FRESH, "x");
    }
    struct cache_figures f;
    cache_figures(s.cache, &f);
    assert_true(f.objects <= 1001 && f.objects > 900);
    scene_close(&s);
}

/* --- with a disk --- */

static char folder[64];

static void make_folder(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/perigee-body-XXXXXX");
    assert_non_null(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

static bool on_disk(struct scene *s, struct memory_object *o)
{
    (void)s;
    return atomic_load(&o->on_disk);
}

/* Looks up until it hits; loads from disk are waited for. */
static struct client *hit(struct scene *s, const char *path, unsigned *out_loads)
{
    struct client *c = client_ask(s, HTTP_GET, path, "");
    *out_loads = 0;
    while (c->answer.verdict == CACHE_JOIN && c->answer.from_disk) {
        (*out_loads)++;
        client_open(c);
        SCENE_UNTIL(s, memory_reader_head(&c->reader) != MEMORY_HEAD_WAIT);
        assert_int_equal(memory_reader_head(&c->reader), MEMORY_HEAD_AGAIN);
        client_close_reader(c);
        cache_answer_fini(&c->answer);
        client_lookup(c);
    }
    return c;
}

static void store_large(struct scene *s, const char *path, uint64_t bytes, bool known)
{
    struct client *c =
        lead(s, HTTP_GET, path, FRESH "\nxkey: big", known ? (int64_t)bytes : -1);
    for (uint64_t at = 0; at < bytes;) {
        size_t n = bytes - at < 16384 ? (size_t)(bytes - at) : 16384;
        unsigned before = c->room;
        enum err e = give(c, at, n);
        at += n;
        (void)take(c, UINT64_MAX); /* hard on its heels: nothing is kept for its sake */
        if (e == ERR_AGAIN) {
            SCENE_UNTIL(s, c->room > before);
        } else {
            assert_int_equal(e, ERR_OK);
        }
    }
    cache_intake_end(&c->intake, NULL);
    client_fetched(c);
    SCENE_UNTIL(s, take(c, UINT64_MAX) == ERR_CLOSED);
    assert_int_equal(c->reader.at, bytes);
    client_destroy(c);
}

static void test_disk_and_back(void **state)
{
    (void)state;
    struct scene s;
    unsigned loads;
    make_folder();
    scene_open(&s, folder, 64 * MB);
    SCENE_UNTIL(&s, !atomic_load(&s.cache->tier.scanning));
    scene_store(&s, "/small", "", FRESH "\nxkey: t\nfoo: 1", "hello");
    scene_store(&s, "/vary", "lang: de", FRESH "\nvary: lang", "hallo");
    store_large(&s, "/large", 6 * MB + 123, true);
    store_large(&s, "/unknown", 3 * MB + 77, false);
    struct client *c = hit(&s, "/small", &loads);
    assert_int_equal(loads, 0);
    SCENE_UNTIL(&s, on_disk(&s, c->answer.object));
    client_destroy(c);
    struct cache_figures f;
    SCENE_UNTIL(&s, (cache_figures(s.cache, &f), f.objects == 4));
    /* A restart with the snapshot, then one without it. */
    for (int walk = 0; walk < 2; walk++) {
        scene_close(&s);
        if (walk) {
            char path[128];
            (void)snprintf(path, sizeof(path), "%s/index", folder);
            assert_int_equal(unlink(path), 0);
        }
        s.wake_fd = eventfd(0, EFD_NONBLOCK);
        scene_open_again(&s);
        cache_figures(s.cache, &f);
        if (!walk) {
            assert_false(f.scanning);
            assert_int_equal(f.objects, 4);
        }
        c = hit(&s, "/small", &loads);
        assert_int_equal(c->answer.verdict, CACHE_HIT);
        assert_int_equal(loads, 1);
        assert_int_equal(c->answer.object->tag_count, 1);
        assert_int_equal(c->answer.object->kept.count,
                         c->answer.object->block.fields.count + 1);
        assert_non_null(http_fields_find_text(&c->answer.object->block.fields, SPAN("foo")));
        client_open(c);
        ASSERT_READS(c, "hello");
        client_destroy(c);
        SCENE_UNTIL(&s, !atomic_load(&s.cache->tier.scanning));
        c = client_ask(&s, HTTP_GET, "/vary", "lang: de");
        assert_true(c->answer.from_disk);
        client_destroy(c);
        assert_int_equal(scene_verdict(&s, HTTP_GET, "/vary", "lang: en"), CACHE_LEAD);
        for (int i = 0; i < 2; i++) {
            c = hit(&s, i ? "/unknown" : "/large", &loads);
            assert_int_equal(c->answer.verdict, CACHE_HIT);
            assert_false(c->answer.object->body_in_memory);
            client_open(c);
            SCENE_UNTIL(&s, take(c, UINT64_MAX) == ERR_CLOSED);
            assert_int_equal(c->reader.at, i ? 3 * MB + 77 : 6 * MB + 123);
            client_close_reader(c);
            client_open(c);
            memory_reader_range(&c->reader, 2 * MB + 5, 2 * MB + 500000);
            SCENE_UNTIL(&s, take(c, UINT64_MAX) == ERR_CLOSED);
            assert_int_equal(c->reader.at, 2 * MB + 500000);
            client_destroy(c);
        }
    }
    scene_close(&s);
    remove_folder();
}

static void invalidate(struct scene *s, const char *path, const char *response)
{
    struct client *post = client_ask(s, HTTP_POST, path, "");
    client_open(post);
    client_fetch(post);
    client_respond_all(post, 201, response, "done");
    client_destroy(post);
}

/* An invalidation is not in the purge log: what it names leaves the store at once. */
static void test_invalidated_on_disk(void **state)
{
    static const char *const paths[] = {"/kept", "/made", "/target"};
    (void)state;
    struct scene s;
    struct store_figures f;
    make_folder();
    scene_open(&s, folder, 64 * MB);
    SCENE_UNTIL(&s, !atomic_load(&s.cache->tier.scanning));
    for (int known = 0; known < 2; known++) { /* on disk alone, then in RAM, too */
        for (size_t i = 0; i < ARRAY_LEN(paths); i++)
            if (i || !known)
                scene_store(&s, paths[i], "", FRESH, "body");
        SCENE_UNTIL(&s, (store_figures(s.cache->tier.store, &f), f.objects == 3));
        if (!known) {
            scene_close(&s);
            s.wake_fd = eventfd(0, EFD_NONBLOCK);
            scene_open_again(&s);
        }
        invalidate(&s, "/target", "location: http://h.x/made\ncontent-location: http://y/kept");
        SCENE_UNTIL(&s, (store_figures(s.cache->tier.store, &f), f.objects == 1));
        assert_int_equal(scene_verdict(&s, HTTP_GET, "/target", ""), CACHE_LEAD);
        assert_int_equal(scene_verdict(&s, HTTP_GET, "/made", ""), CACHE_LEAD);
    }
    scene_close(&s);
    s.wake_fd = eventfd(0, EFD_NONBLOCK);
    scene_open_again(&s);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/target", ""), CACHE_LEAD);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/made", ""), CACHE_LEAD);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/kept", ""), CACHE_JOIN);
    scene_close(&s);
    remove_folder();
}

static void open_anew(struct scene *s, bool killed)
{
    char path[128];
    scene_close(s);
    (void)snprintf(path, sizeof(path), "%s/index", folder);
    if (killed) /* then there is no snapshot */
        assert_int_equal(unlink(path), 0);
    s->wake_fd = eventfd(0, EFD_NONBLOCK);
    scene_open_again(s);
    SCENE_UNTIL(s, !atomic_load(&s->cache->tier.scanning));
}

/* Variants of before are not met again, after a start neither, nor when new names came. */
static void test_invalidated_variants_on_disk(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        bool killed = round & 1, anew = round & 2, names_on_disk_only = round & 4;
        struct scene s;
        struct store_figures f;
        make_folder();
        scene_open(&s, folder, 64 * MB);
        SCENE_UNTIL(&s, !atomic_load(&s.cache->tier.scanning));
        scene_store(&s, "/v", "lang: de", FRESH "\nvary: lang", "hallo");
        scene_store(&s, "/v", "lang: en", FRESH "\nvary: lang", "hello");
        SCENE_UNTIL(&s, (store_figures(s.cache->tier.store, &f), f.objects == 3));
        open_anew(&s, killed);
        assert_int_equal(scene_verdict(&s, HTTP_GET, "/v", "lang: de"), CACHE_JOIN);
        if (names_on_disk_only) { /* as when the index was over its limit */
            struct client *c = client_ask(&s, HTTP_GET, "/v", "lang: de");
            struct memory_place p;
            struct hash128 key =
                memory_index_key(&s.cache->tier, c->key.text, (struct span){0});
            memory_place_open(s.cache->tier.index, key, &p);
            assert_int_equal(memory_place_kind(&p), MEMORY_VARY);
            memory_place_remove(&p);
            memory_place_close(&p);
            client_destroy(c);
        }
        invalidate(&s, "/v", "");
        SCENE_UNTIL(&s, (store_figures(s.cache->tier.store, &f), f.objects == 2));
        assert_int_equal(scene_verdict(&s, HTTP_GET, "/v", "lang: de"), CACHE_LEAD);
        if (anew) {
            scene_store(&s, "/v", "lang: fr", FRESH "\nvary: lang", "salut");
            SCENE_UNTIL(&s, (store_figures(s.cache->tier.store, &f), f.objects == 4));
        }
        open_anew(&s, killed);
        if (anew)
            assert_int_equal(scene_verdict(&s, HTTP_GET, "/v", "lang: fr"), CACHE_JOIN);
        else
            scene_store(&s, "/v", "lang: fr", FRESH "\nvary: lang", "salut");
        assert_int_equal(scene_verdict(&s, HTTP_GET, "/v", "lang: de"), CACHE_LEAD);
        assert_int_equal(scene_verdict(&s, HTTP_GET, "/v", "lang: en"), CACHE_LEAD);
        scene_close(&s);
        remove_folder();
    }
}

/* What lies under a fetch is invalidated, too. */
static void test_invalidated_under_a_fill(void **state)
{
    (void)state;
    struct scene s;
    struct store_figures f;
    make_folder();
    scene_open(&s, folder, 64 * MB);
    SCENE_UNTIL(&s, !atomic_load(&s.cache->tier.scanning));
    scene_store(&s, "/x", "", FRESH "\netag: \"1\"", "body");
    SCENE_UNTIL(&s, (store_figures(s.cache->tier.store, &f), f.objects == 1));
    struct client *c = client_ask(&s, HTTP_GET, "/x", "cache-control: no-cache");
    assert_int_equal(c->answer.verdict, CACHE_LEAD);
    client_open(c);
    client_fetch(c);
    invalidate(&s, "/x", "");
    SCENE_UNTIL(&s, (store_figures(s.cache->tier.store, &f), f.objects == 0));
    cache_intake_fail(&c->intake, CACHE_FAILURE_TIMEOUT, s.now_s);
    client_destroy(c);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_LEAD);
    open_anew(&s, false);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_LEAD);
    scene_close(&s);
    remove_folder();
}

/* A dry run counts what a purge would take, in RAM or on disk, and once. */
static void test_count(void **state)
{
    const struct purge p[] = {
        {.kind = PURGE_HOST, .mode = PURGE_HARD, .selector = SPAN("h.x")},
        {.kind = PURGE_URL, .mode = PURGE_HARD, .selector = SPAN("http://h.x/a")},
        {.kind = PURGE_PATH, .mode = PURGE_HARD, .selector = SPAN("/a")}};
    (void)state;
    struct scene s;
    struct store_figures f;
    make_folder();
    scene_open(&s, folder, 64 * MB);
    SCENE_UNTIL(&s, !atomic_load(&s.cache->tier.scanning));
    scene_store(&s, "/a", "", FRESH, "body");
    scene_store(&s, "/b", "", FRESH, "body");
    SCENE_UNTIL(&s, (store_figures(s.cache->tier.store, &f), f.objects == 2));
    for (int disk_only = 0; disk_only < 2; disk_only++) {
        assert_int_equal(cache_purge_count(s.cache, p, 1, &s.conf), 2);
        /* each counts once, whatever names it */
        assert_int_equal(cache_purge_count(s.cache, p, ARRAY_LEN(p), &s.conf), 2);
        assert_int_equal(cache_purge_count(s.cache, p + 1, 2, &s.conf), 1);
        assert_int_equal(cache_purge_count(s.cache, p, 0, &s.conf), 0);
        scene_close(&s);
        s.wake_fd = eventfd(0, EFD_NONBLOCK);
        scene_open_again(&s);
    }
    scene_purge(&s, PURGE_URL, PURGE_SOFT, "http://h.x/a");
    assert_int_equal(cache_purge_count(s.cache, p, 1, &s.conf), 2);
    scene_purge(&s, PURGE_URL, PURGE_HARD, "http://h.x/a");
    assert_int_equal(cache_purge_count(s.cache, p, 1, &s.conf), 1);
    scene_close(&s);
    remove_folder();
}

/* While the scan runs a key is asked for on disk; once that said no, it is a miss. */
static void test_miss_while_scanning(void **state)
{
    (void)state;
    struct scene s;
    unsigned loads;
    make_folder();
    scene_open(&s, folder, 64 * MB);
    SCENE_UNTIL(&s, !atomic_load(&s.cache->tier.scanning));
    atomic_store(&s.cache->tier.scanning, true);
    struct client *c = hit(&s, "/x", &loads);
    assert_int_equal(loads, 1);
    assert_int_equal(c->answer.verdict, CACHE_LEAD);
    client_open(c);
    client_fetch(c);
    client_respond_all(c, 200, FRESH, "new");
    ASSERT_READS(c, "new");
    client_destroy(c);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_HIT);
    scene_close(&s);
    remove_folder();
}

/* Evicted from RAM, still known; purged there all the same. */
static void test_evicted_to_disk(void **state)
{
    (void)state;
    struct scene s;
    unsigned loads;
    char path[32];
    char body[20001];
    memset(body, 'x', sizeof(body));
    body[20000] = 0;
    make_folder();
    scene_open(&s, folder, MB);
    SCENE_UNTIL(&s, !atomic_load(&s.cache->tier.scanning));
    for (int i = 0; i < 100; i++) {
        (void)snprintf(path, sizeof(path), "/%d", i);
        scene_store(&s, path, "", FRESH "\nxkey: t", body);
    }
    struct cache_figures f;
    SCENE_UNTIL(&s, (cache_figures(s.cache, &f), f.objects == 100 && f.objects_in_memory < 55));
    for (int i = 0; i < 100; i++) {
        (void)snprintf(path, sizeof(path), "/%d", i);
        struct client *c = hit(&s, path, &loads);
        assert_int_equal(c->answer.verdict, CACHE_HIT);
        client_open(c);
        ASSERT_READS(c, body);
        client_destroy(c);
    }
    scene_purge(&s, PURGE_TAG, PURGE_HARD, "t");
    for (int i = 0; i < 100; i += 10) {
        (void)snprintf(path, sizeof(path), "/%d", i);
        struct client *c = hit(&s, path, &loads);
        assert_int_equal(c->answer.verdict, CACHE_LEAD);
        client_destroy(c);
    }
    scene_close(&s);
    /* The log would fill the table again at a start; without it nobody knows of the purge. */
    s.wake_fd = eventfd(0, EFD_NONBLOCK);
    scene_open_again(&s);
    SCENE_UNTIL(&s, !atomic_load(&s.cache->tier.scanning));
    struct purge p = {.kind = PURGE_TAG, .mode = PURGE_HARD, .selector = SPAN("t")};
    assert_int_equal(
        cache_purge(s.cache, &p, ((cache_boot_no(s.cache) - 1) << 40) + 1, &s.conf), ERR_OK);
    for (int i = 1; i < 100; i += 10) {
        (void)snprintf(path, sizeof(path), "/%d", i);
        struct client *c = hit(&s, path, &loads);
        assert_int_equal(c->answer.verdict, CACHE_LEAD);
        client_destroy(c);
    }
    scene_close(&s);
    remove_folder();
}

/* Clients leave, and the cache is closed, while store readers are at work for them: loads end
 * in an index that is still there, and pieces come home to a cache that is not. */
static void test_closed_while_it_reads(void **state)
{
    (void)state;
    struct scene s;
    char path[32];
    char body[20001];
    memset(body, 'x', sizeof(body));
    body[20000] = 0;
    make_folder();
    scene_open(&s, folder, 8 * MB);
    SCENE_UNTIL(&s, !atomic_load(&s.cache->tier.scanning));
    for (int i = 0; i < 100; i++) {
        (void)snprintf(path, sizeof(path), "/%d", i);
        scene_store(&s, path, "", FRESH, body);
    }
    store_large(&s, "/large", 3 * MB, true);
    scene_close(&s);
    for (int round = 0; round < 5; round++) {
        struct span piece;
        unsigned loads;
        s.wake_fd = eventfd(0, EFD_NONBLOCK);
        scene_open_again(&s);
        SCENE_UNTIL(&s, !atomic_load(&s.cache->tier.scanning));
        struct client *c = hit(&s, "/large", &loads);
        assert_int_equal(c->answer.verdict, CACHE_HIT);
        client_open(c);
        assert_int_equal(memory_reader_peek(&c->reader, &piece), ERR_AGAIN);
        assert_true(memory_reader_close(&c->reader));
        c->reading = false;
        client_destroy(c);
        for (int i = 0; i < 100; i++) {
            (void)snprintf(path, sizeof(path), "/%d", i);
            assert_int_equal(scene_verdict(&s, HTTP_GET, path, ""), CACHE_JOIN);
        }
        cache_close(s.cache);
        (void)letter_open_all(&s.mailbox);
        close(s.wake_fd);
    }
    remove_folder();
}

/* Many slow readers of a large cold object: what they take is bounded, and all of it is right.
 */
static void test_many_slow_readers(void **state)
{
    (void)state;
    enum { READERS = 200 };
    const uint64_t bytes = 6 * MB;
    struct scene s;
    struct client *c[READERS];
    make_folder();
    scene_open(&s, folder, 64 * MB);
    SCENE_UNTIL(&s, !atomic_load(&s.cache->tier.scanning));
    uint64_t before = memory_of(&s), most = 0, at = 0;
    c[0] = lead(&s, HTTP_GET, "/x", FRESH, (int64_t)bytes);
    for (int i = 1; i < READERS; i++) {
        c[i] = client_ask(&s, HTTP_GET, "/x", "");
        assert_int_equal(c[i]->answer.verdict, CACHE_JOIN);
        client_open(c[i]);
        assert_int_equal(memory_reader_head(&c[i]->reader), MEMORY_HEAD_READY);
    }
    bool done = false, ended = false, paused = false;
    for (int turns = 0; !done; turns++) {
        for (int k = 0; k < 16 && at < bytes && !paused; k++) {
            unsigned room = c[0]->room;
            enum err e = give(c[0], at, 16384);
            at += 16384;
            paused = e == ERR_AGAIN && c[0]->room == room;
        }
        if (at == bytes && !ended) {
            cache_intake_end(&c[0]->intake, NULL);
            client_fetched(c[0]);
            ended = true;
        }
        done = ended;
        for (int i = 0; i < READERS; i++) {
            /* The first is fast, the others at different speeds. */
            uint64_t step = i == 0 || ended ? UINT64_MAX : (uint64_t)(i % 7) * 1000 + 10;
            if (take(c[i], step) != ERR_CLOSED)
                done = false;
        }
        if (memory_of(&s) - before > most)
            most = memory_of(&s) - before;
        unsigned room = c[0]->room;
        struct pollfd p = {.fd = s.wake_fd, .events = POLLIN};
        uint64_t n;
        (void)poll(&p, 1, paused || ended ? 5 : 0);
        (void)!read(s.wake_fd, &n, sizeof(n));
        turn(&s);
        if (c[0]->room != room || (ended && paused))
            paused = false;
        assert_true(turns < 100000);
    }
    assert_true(most <= 16 * MB);
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(c[i]->reader.at, bytes);
        client_destroy(c[i]);
    }
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_HIT);
    scene_close(&s);
    remove_folder();
}

static void flip_on_disk(void)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/data.mdb", folder);
    FILE *f = fopen(path, "r+b");
    if (!f) {
        (void)snprintf(path, sizeof(path), "%s/store/data.mdb", folder);
        f = fopen(path, "r+b");
    }
    assert_non_null(f);
    char want[64], room[4096];
    memcpy(want, expected(2 * MB), sizeof(want));
    bool found = false;
    for (long at = 0; fseek(f, at, SEEK_SET) == 0; at += 4096 - 64) {
        size_t n = fread(room, 1, sizeof(room), f);
        if (n < sizeof(want))
            break;
        char *hit_at = memmem(room, n, want, sizeof(want));
        if (!hit_at)
            continue;
        assert_int_equal(fseek(f, at + (hit_at - room), SEEK_SET), 0);
        assert_int_not_equal(fputc(want[0] ^ 1, f), EOF);
        found = true;
        break;
    }
    assert_int_equal(fclose(f), 0);
    assert_true(found);
}

static void test_damaged_body(void **state)
{
    (void)state;
    struct scene s;
    unsigned loads;
    make_folder();
    scene_open(&s, folder, 64 * MB);
    SCENE_UNTIL(&s, !atomic_load(&s.cache->tier.scanning));
    store_large(&s, "/x", 3 * MB, true);
    struct cache_figures f;
    SCENE_UNTIL(&s, (cache_figures(s.cache, &f), f.objects == 1));
    scene_close(&s);
    flip_on_disk();
    s.wake_fd = eventfd(0, EFD_NONBLOCK);
    scene_open_again(&s);
    SCENE_UNTIL(&s, !atomic_load(&s.cache->tier.scanning));
    struct client *c = hit(&s, "/x", &loads);
    assert_int_equal(c->answer.verdict, CACHE_HIT);
    client_open(c);
    struct span piece;
    enum err e;
    for (;;) { /* its bytes are wrong in one place, so they are not compared */
        SCENE_UNTIL(&s, (e = memory_reader_peek(&c->reader, &piece)) != ERR_AGAIN);
        if (e != ERR_OK)
            break;
        memory_reader_consume(&c->reader, piece.len);
    }
    assert_int_equal(e, ERR_CORRUPT);
    assert_true(c->reader.at < 3 * MB); /* never a whole answer */
    client_destroy(c);
    c = hit(&s, "/x", &loads);
    assert_int_equal(c->answer.verdict, CACHE_LEAD);
    client_destroy(c);
    scene_close(&s);
    remove_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_private_pushes_back),
        cmocka_unit_test(test_unstored_window_and_cut),
        cmocka_unit_test(test_too_late_for_the_first_bytes),
        cmocka_unit_test(test_ram_budget),
        cmocka_unit_test(test_max_objects),
        cmocka_unit_test(test_disk_and_back),
        cmocka_unit_test(test_invalidated_on_disk),
        cmocka_unit_test(test_invalidated_variants_on_disk),
        cmocka_unit_test(test_invalidated_under_a_fill),
        cmocka_unit_test(test_count),
        cmocka_unit_test(test_miss_while_scanning),
        cmocka_unit_test(test_evicted_to_disk),
        cmocka_unit_test(test_closed_while_it_reads),
        cmocka_unit_test(test_many_slow_readers),
        cmocka_unit_test(test_damaged_body),
    };
    fill_pattern();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
