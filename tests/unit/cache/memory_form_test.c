#include "tests/unit/cache/forms.h"

#include <pthread.h>
#include <sched.h>

#include "cache/memory/deposit.h"
#include "cache/memory/evict.h"
#include "cache/memory/pin.h"
#include "cache/memory/epoch.h"
#include "cache/memory/sweep.h"

static struct span field(const struct memory_object *o, const char *name)
{
    const struct http_field *f = http_fields_find_text(&o->block.fields, span_text(name));
    return f ? f->value : (struct span){0};
}

/* A form says what its encoding makes of the fields; the version before stays what it was. */
static void test_added(void **state)
{
    (void)state;
    struct scene s;
    forms_open(&s, 8 * MB);
    struct memory_object *base = forms_store(&s, "/x", FORM_HEAD, "identity");
    forms_add(&s, base, POLICY_ZSTD, "zstd one");
    forms_add(&s, base, POLICY_GZIP, "gzip");
    assert_int_equal(base->form_count, 0);
    struct memory_object *now = forms_now(base);
    assert_int_equal(now->form_count, 2);
    struct memory_object *zstd = forms_find(now, POLICY_ZSTD);
    assert_true(span_equal(field(zstd, "content-encoding"), SPAN("zstd")));
    assert_true(span_equal(field(zstd, "etag"), SPAN("W/\"1-zstd\"")));
    assert_true(span_equal(field(zstd, "content-type"), SPAN("text/html")));
    assert_int_equal(zstd->body_bytes, 8);
    assert_int_equal(zstd->facts.max_age_s, 60);
    assert_true(zstd->derived);
    assert_true(memory_object_same_body(base, now));
    assert_false(memory_object_same_body(base, zstd));
    FORMS_DISK(&s, 1, 3);

    /* A better one takes the place of the first. */
    memory_object_hold(zstd);
    memory_object_drop(now);
    struct memory_form_body best = forms_put(&s, POLICY_ZSTD, SPAN("zst2"));
    best.best = true;
    assert_int_equal(memory_form_add(base, &best), MEMORY_FORM_ADDED);
    assert_true(forms_is_now(base, POLICY_ZSTD, "zst2"));
    assert_true(forms_is_now(base, POLICY_GZIP, "gzip"));
    assert_true(span_equal(zstd->body, SPAN("zstd one")));
    memory_object_drop(zstd);
    FORMS_DISK(&s, 1, 3);
    memory_object_drop(base);
    forms_close(&s);
}

/* Also of a small body, which each version has a copy of, and without a disk. */
static void test_in_ram_alone(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    scene_store(&s, "/x", "", FORM_HEAD, "identity");
    struct memory_object *base = forms_get(&s, "/x");
    unsigned long long before = atomic_load(&s.cache->tier.memory_bytes);
    const enum policy_encoding made[] = {POLICY_GZIP, POLICY_ZSTD, POLICY_IDENTITY};
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        struct memory_form_body b = {
            .encoding = made[i], .bytes = 4, .in_memory = SPAN("form")};
        assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_ADDED);
    }
    struct memory_form_body fourth = {
        .encoding = POLICY_BROTLI, .bytes = 4, .in_memory = SPAN("form")};
    assert_int_equal(memory_form_add(base, &fourth), MEMORY_FORM_GONE);
    struct memory_object *now = forms_now(base);
    assert_int_equal(now->form_count, 3);
    assert_true(atomic_load(&s.cache->tier.memory_bytes) > before + 3 * sizeof(*now));
    memory_object_drop(now);
    memory_object_drop(base);
    scene_purge(&s, PURGE_TAG, PURGE_HARD, "a");
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_LEAD);
    scene_close(&s);
}

static struct client *revalidate(struct scene *s, const char *path, const char *head)
{
    struct client *c = client_ask(s, HTTP_GET, path, "");
    assert_int_equal(c->answer.verdict, CACHE_LEAD);
    client_open(c);
    client_fetch(c);
    if (head) {
        assert_int_equal(client_respond(c, 304, head, 0), CACHE_TAKE_DONE);
        client_fetched(c);
    }
    return c;
}

/* Late under a fetch, and gone when that brought another body. */
static void test_later_and_gone(void **state)
{
    (void)state;
    struct scene s;
    forms_open(&s, 8 * MB);
    struct memory_object *base = forms_store(&s, "/x", FORM_HEAD, "identity");
    s.now_s += 61;
    struct memory_form_body b = forms_put(&s, POLICY_ZSTD, SPAN("zstd"));
    struct client *c = revalidate(&s, "/x", NULL);
    assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_LATER);
    assert_int_equal(client_respond(c, 304, FORM_HEAD, 0), CACHE_TAKE_DONE);
    client_fetched(c);
    client_destroy(c);
    assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_ADDED); /* of the merged one */
    FORMS_DISK(&s, 1, 2);
    s.now_s += 61;
    struct memory_form_body late = forms_put(&s, POLICY_GZIP, SPAN("gzip"));
    c = revalidate(&s, "/x", NULL);
    client_respond_all(c, 200, FORM_HEAD, "another");
    client_destroy(c);
    assert_int_equal(memory_form_add(base, &late), MEMORY_FORM_GONE);
    assert_true(forms_is_now(base, POLICY_ZSTD, ""));
    forms_drop_body(&s, &late);
    memory_object_drop(base);
    FORMS_DISK(&s, 1, 1);
    forms_close(&s);
}

/* A 304 renews the fields of all forms, and takes them away with no-transform. */
static void test_304(void **state)
{
    (void)state;
    struct scene s;
    forms_open(&s, 8 * MB);
    struct memory_object *base = forms_store(&s, "/x", FORM_HEAD, "identity");
    forms_add(&s, base, POLICY_ZSTD, "zstd");
    memory_form_mark(base, MEMORY_MARK_DENSE);
    s.now_s += 61;
    client_destroy(revalidate(&s, "/x", FORM_HEAD "\nfoo: new"));
    struct memory_object *now = forms_now(base), *zstd = forms_find(now, POLICY_ZSTD);
    assert_true(span_equal(field(zstd, "foo"), SPAN("new")));
    assert_true(span_equal(field(zstd, "content-encoding"), SPAN("zstd")));
    assert_true(span_equal(zstd->body, SPAN("zstd")));
    assert_int_equal(zstd->facts.requested_at_s, now->facts.requested_at_s);
    assert_int_equal(atomic_load(&now->marks), MEMORY_MARK_DENSE);
    memory_object_drop(now);
    FORMS_DISK(&s, 1, 2);
    assert_int_equal(forms_on_disk(&s).flags, STORE_RECORD_DENSE);
    s.now_s += 61;
    client_destroy(revalidate(&s, "/x", "cache-control: max-age=60, no-transform"));
    assert_true(forms_is_now(base, POLICY_ZSTD, ""));
    struct memory_form_body late = forms_put(&s, POLICY_GZIP, SPAN("gzip"));
    assert_int_equal(memory_form_add(base, &late), MEMORY_FORM_GONE);
    assert_true(forms_is_now(base, POLICY_GZIP, ""));
    forms_drop_body(&s, &late);
    memory_object_drop(base);
    FORMS_DISK(&s, 1, 1);
    forms_close(&s);
}

/* Its bytes are gone: the object stays. */
static void test_forgotten(void **state)
{
    (void)state;
    struct scene s;
    forms_open(&s, 8 * MB);
    struct memory_object *base = forms_store(&s, "/x", FORM_HEAD, "identity");
    forms_add(&s, base, POLICY_GZIP, "gzip");
    struct memory_form_body b = forms_put(&s, POLICY_ZSTD, SPAN("zstd"));
    b.in_memory = (struct span){0}; /* on disk alone */
    assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_ADDED);
    FORMS_DISK(&s, 1, 3);
    struct memory_object *now = forms_now(base);
    struct memory_object *zstd = memory_object_hold(forms_find(now, POLICY_ZSTD));
    memory_object_drop(now);
    struct client c = {.scene = &s};
    arena_init(&c.arena, MB);
    memory_reader_open_object(&c.reader, s.cache, zstd, &s.mailbox, client_woken);
    enum err end;
    SCENE_UNTIL(&s, client_read(&c, &end).len || end != ERR_AGAIN);
    assert_true(memory_reader_close(&c.reader));
    /* Somebody deletes its chunks. */
    forms_drop_body(&s, &b);
    memory_reader_open_object(&c.reader, s.cache, zstd, &s.mailbox, client_woken);
    SCENE_UNTIL(&s, (client_read(&c, &end), end != ERR_AGAIN));
    assert_int_equal(end, ERR_CORRUPT);
    assert_true(memory_reader_close(&c.reader));
    arena_fini(&c.arena);
    assert_true(forms_is_now(base, POLICY_ZSTD, ""));
    assert_true(forms_is_now(base, POLICY_GZIP, "gzip"));
    memory_form_forget(zstd); /* once more changes nothing */
    assert_true(forms_is_now(base, POLICY_GZIP, "gzip"));
    memory_object_drop(zstd);
    memory_object_drop(base);
    FORMS_DISK(&s, 1, 2);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_HIT);
    forms_close(&s);
}

/* The record had gone, or never came: no body is left behind. */
static void test_without_a_record(void **state)
{
    (void)state;
    struct scene s;
    forms_open(&s, 8 * MB);
    struct memory_object *base = forms_store(&s, "/x", FORM_HEAD, "identity");
    forms_add(&s, base, POLICY_GZIP, "gzip");
    struct memory_form_body b = forms_put(&s, POLICY_ZSTD, SPAN("zstd"));
    memory_deposit_remove(&s.cache->tier, base->key, base->body_id);
    assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_ADDED);
    memory_deposit_forget(base); /* whatever version of it there is */
    assert_null(forms_look(base));
    memory_object_drop(base);
    FORMS_DISK(&s, 0, 0);

    base = forms_store(&s, "/y", FORM_HEAD, "identity");
    b = forms_put(&s, POLICY_ZSTD, SPAN("zstd"));
    atomic_store(&base->on_disk, false);
    assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_ADDED);
    assert_true(forms_is_now(base, POLICY_ZSTD, "zstd"));
    FORMS_DISK(&s, 1, 1);
    b = forms_put(&s, POLICY_GZIP, SPAN("gzip"));
    b.in_memory = (struct span){0};
    assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_GONE);
    forms_drop_body(&s, &b);
    memory_object_drop(base);
    FORMS_DISK(&s, 1, 1);
    forms_close(&s);
}

/* What names the object names its forms. */
static void test_purged(void **state)
{
    (void)state;
    struct scene s;
    forms_open(&s, 8 * MB);
    for (int hard = 0; hard < 2; hard++) {
        struct memory_object *base = forms_store(&s, "/x", FORM_HEAD, "identity");
        forms_add(&s, base, POLICY_ZSTD, "zstd");
        FORMS_DISK(&s, 1, 2);
        struct memory_form_body late = forms_put(&s, POLICY_GZIP, SPAN("gzip"));
        scene_purge(&s, PURGE_TAG, hard ? PURGE_HARD : PURGE_SOFT, "a");
        struct client *c = revalidate(&s, "/x", NULL);
        assert_int_equal(memory_form_add(base, &late),
                         hard ? MEMORY_FORM_GONE : MEMORY_FORM_LATER);
        client_respond_all(c, 200, FORM_HEAD, "another");
        client_destroy(c);
        forms_drop_body(&s, &late);
        memory_object_drop(base);
        FORMS_DISK(&s, 1, 1);
        scene_purge(&s, PURGE_ALL, PURGE_HARD, "");
    }
    forms_close(&s);
}

/* After a restart the forms are there again, marks too; what cannot be read is left out. */
static void test_restart(void **state)
{
    (void)state;
    struct scene s;
    forms_open(&s, 8 * MB);
    char *large = must_alloc(MB + 5000);
    memset(large, 'z', MB + 5000);
    struct memory_object *base =
        forms_store(&s, "/x", FORM_HEAD "\ncontent-encoding: gzip", "as it came");
    forms_add(&s, base, POLICY_IDENTITY, "decoded");
    struct memory_form_body b = forms_put(&s, POLICY_ZSTD, span_of(large, MB + 5000));
    b.in_memory = (struct span){0};
    b.best = true;
    assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_ADDED);
    memory_form_mark(base, MEMORY_MARK_BROKEN);
    memory_object_drop(base);
    FORMS_DISK(&s, 1, 3);
    for (int killed = 0; killed < 2; killed++) {
        forms_reopen(&s, killed);
        base = forms_get(&s, "/x");
        assert_int_equal(base->encoding, POLICY_GZIP);
        assert_int_equal(base->form_count, 2);
        assert_int_equal(atomic_load(&base->marks), MEMORY_MARK_BROKEN);
        assert_true(forms_is_now(base, POLICY_IDENTITY, "decoded"));
        struct memory_object *zstd = forms_find(base, POLICY_ZSTD);
        assert_true(zstd->best);
        assert_false(zstd->body_in_memory);
        assert_int_equal(zstd->body_bytes, MB + 5000);
        assert_false(forms_find(base, POLICY_IDENTITY)->best);
        assert_int_equal(field(forms_find(base, POLICY_IDENTITY), "content-encoding").len, 0);
        memory_object_drop(base);
        FORMS_DISK(&s, 1, 3);
    }
    /* One is damaged, another gone. */
    base = forms_get(&s, "/x");
    struct memory_form_body gone = {.body_id = forms_find(base, POLICY_IDENTITY)->body_id};
    memory_object_drop(base);
    forms_drop_body(&s, &gone);
    forms_reopen(&s, false);
    base = forms_get(&s, "/x");
    assert_int_equal(base->form_count, 1);
    assert_true(forms_has(base, POLICY_ZSTD));
    memory_object_drop(base);
    FORMS_DISK(&s, 1, 2);
    free(large);

    base = forms_store(&s, "/y", FORM_HEAD, "identity");
    forms_add(&s, base, POLICY_ZSTD, "zstd");
    b = forms_put(&s, POLICY_GZIP, SPAN("not what was put"));
    b.xxh3 ^= 1;
    assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_ADDED);
    memory_object_drop(base);
    FORMS_DISK(&s, 2, 5);
    forms_reopen(&s, true);
    base = forms_get(&s, "/y");
    assert_true(forms_is_now(base, POLICY_ZSTD, "zstd"));
    assert_true(forms_is_now(base, POLICY_GZIP, ""));
    memory_object_drop(base);
    FORMS_DISK(&s, 2, 4);
    forms_close(&s);
}

/* What becomes known while a version is made, or while the body is on its way to disk. */
static void test_known_meanwhile(void **state)
{
    (void)state;
    struct scene s;
    struct http_fields hidden;
    struct memory_seed seed;
    forms_open(&s, 8 * MB);
    scene_store(&s, "/x", "", FORM_HEAD, "identity");
    struct memory_object *base = forms_get(&s, "/x");
    memory_form_mark(base, MEMORY_MARK_DENSE); /* the put waits for company */
    SCENE_UNTIL(&s, forms_on_disk(&s).flags == STORE_RECORD_DENSE);
    memory_object_seed(base, &hidden, &seed);
    seed.body_of = base;
    struct memory_object *o = memory_object_create(&s.cache->tier, &seed);
    memory_form_mark(base, MEMORY_MARK_BROKEN);
    atomic_store(&base->soft_purged, true);
    atomic_store(&base->hits, 77);
    assert_true(memory_deposit_version(base, o, NULL, true));
    assert_int_equal(atomic_load(&o->marks), MEMORY_MARK_DENSE | MEMORY_MARK_BROKEN);
    assert_true(atomic_load(&o->soft_purged));
    assert_int_equal(atomic_load(&o->hits), 77);
    SCENE_UNTIL(&s, forms_on_disk(&s).flags ==
                        (STORE_RECORD_DENSE | STORE_RECORD_BROKEN | STORE_RECORD_STALE));
    assert_false(memory_deposit_version(base, o, NULL, true)); /* is not there any more */
    memory_object_drop(o);
    memory_object_drop(base);
    FORMS_DISK(&s, 1, 1);
    forms_close(&s);
}

static unsigned choose(struct scene *s, struct store_victim *out)
{
    return memory_evict_choose(&s->cache->tier, out, 16, UINT64_MAX);
}

/* Forms go first, the object next, and neither while somebody reads one of them. */
static void test_disk_order(void **state)
{
    (void)state;
    struct scene s;
    struct store_victim v[16];
    forms_open(&s, 8 * MB);
    struct memory_object *base = forms_store(&s, "/x", FORM_HEAD, "identity");
    forms_add(&s, base, POLICY_ZSTD, "zstd");
    FORMS_DISK(&s, 1, 2);
    assert_int_equal(choose(&s, v), 0); /* an older version has the same body */
    memory_object_drop(base);
    for (int ram = 1; ram >= 0; ram--) {
        if (!ram) /* nobody carried out what was chosen */
            forms_reopen(&s, true);
        base = forms_get(&s, "/x");
        struct memory_object *zstd = memory_object_hold(forms_find(base, POLICY_ZSTD));
        assert_int_equal(choose(&s, v), 0);
        memory_object_drop(base);
        assert_int_equal(choose(&s, v), 0);
        memory_object_drop(zstd);
        if (!ram)
            forms_reopen(&s, true);
        assert_int_equal(memory_evict_choose(&s.cache->tier, v, 1, 1), 1);
        assert_true(v[0].forms_only);
        assert_int_equal(v[0].pages, 1);
        if (ram) { /* what is about to go is not loaded again */
            base = forms_get(&s, "/x");
            assert_int_equal(base->form_count, 0);
            memory_object_drop(base);
        } else {
            assert_int_equal(choose(&s, v), 1);
            assert_false(v[0].forms_only);
            assert_int_equal(choose(&s, v), 0);
        }
    }
    forms_close(&s);
}

/* Where there are too many entries, forms are not what is to go. */
static void test_too_many(void **state)
{
    (void)state;
    struct scene s;
    forms_open(&s, 8 * MB);
    struct memory_object *base = forms_store(&s, "/x", FORM_HEAD, "identity");
    forms_add(&s, base, POLICY_ZSTD, "zstd");
    memory_object_drop(base);
    FORMS_DISK(&s, 1, 2);
    s.cache->tier.max_objects = 0;
    memory_evict(&s.cache->tier);
    FORMS_DISK(&s, 0, 0);
    forms_close(&s);
}

/* Dead ones go at once. */
static void test_dead_go_whole(void **state)
{
    (void)state;
    struct scene s;
    struct store_victim v[16];
    forms_open(&s, 8 * MB);
    struct memory_object *base = forms_store(
        &s, "/x", "cache-control: max-age=60, must-revalidate\ncontent-type: text/html",
        "identity");
    forms_add(&s, base, POLICY_ZSTD, "zstd");
    memory_object_drop(base);
    FORMS_DISK(&s, 1, 2);
    s.now_s += 86400 * 400;
    cache_tick(s.cache, 2000, s.now_s);
    assert_int_equal(choose(&s, v), 1);
    assert_false(v[0].forms_only);
    forms_close(&s);
}

enum { PLENTY = 20, BODY = 100000 };

/* On a small disk the first objects stay when more come, without what was made of them; with
 * long heads, too, which lie in blocks of their own. */
static void test_small_disk(void **state)
{
    (void)state;
    struct scene s;
    static char head[8000], text[BODY + 1];
    for (int far = 0; far < 2; far++) {
        uint64_t id[PLENTY];
        (void)snprintf(head, sizeof(head), "%s%s%*s", FORM_HEAD, far ? "\nlong: " : "",
                       far ? 6000 : 0, far ? "x" : "");
        forms_open_small(&s, 64 * MB);
        for (unsigned i = 0; i < PLENTY; i++) {
            char path[16];
            (void)snprintf(path, sizeof(path), "/%u", i);
            memset(text, (int)('a' + i), BODY);
            struct memory_object *base = forms_store(&s, path, head, text);
            id[i] = base->body_id;
            memset(text, 'A', BODY);
            forms_add(&s, base, POLICY_ZSTD, text);
            forms_add(&s, base, POLICY_GZIP, text);
            memory_object_drop(base);
        }
        FORMS_DISK(&s, PLENTY, 3 * PLENTY);
        forms_reopen(&s, far);
        for (unsigned i = 0; i < PLENTY; i++) {
            char path[16];
            (void)snprintf(path, sizeof(path), "/new%u", i);
            memory_object_drop(forms_store(&s, path, FORM_HEAD, text));
        }
        SCENE_UNTIL(&s, forms_disk_is_exact(&s));
        struct forms_disk d = forms_on_disk(&s);
        assert_true(d.reps < d.records + 2 * PLENTY);
        for (unsigned i = 0; i < PLENTY; i++) {
            char path[16];
            (void)snprintf(path, sizeof(path), "/%u", i);
            assert_true(forms_names(&d, id[i]));
            struct memory_object *o = forms_get(&s, path);
            assert_int_equal(o->body.len, BODY);
            assert_int_equal(o->body.ptr[BODY - 1], 'a' + i);
            for (uint8_t k = 0; k < o->form_count; k++)
                assert_int_equal(o->form[k]->body.ptr[BODY - 1], 'A');
            memory_object_drop(o);
        }
        forms_close(&s);
    }
}

/* In RAM alone it goes on without them first. */
static void test_ram_order(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    struct memory_tier *t = &s.cache->tier;
    scene_store(&s, "/x", "", FORM_HEAD, "identity");
    struct memory_object *base = forms_get(&s, "/x");
    struct memory_form_body b = {
        .encoding = POLICY_ZSTD, .bytes = 4, .in_memory = SPAN("zstd")};
    assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_ADDED);
    memory_object_drop(base);
    t->memory_max_bytes = atomic_load(&t->memory_bytes) - 1;
    memory_evict(t);
    base = forms_get(&s, "/x");
    assert_int_equal(base->form_count, 0);
    assert_true(span_equal(base->body, SPAN("identity")));
    memory_object_drop(base);
    t->memory_max_bytes = atomic_load(&t->memory_bytes) - 1;
    memory_evict(t);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_LEAD);
    scene_close(&s);
}

/* A sweep marks the record with all its forms, from RAM or from the walk. */
static void test_swept(void **state)
{
    (void)state;
    struct scene s;
    forms_open(&s, 8 * MB);
    struct memory_object *base = forms_store(&s, "/x", FORM_HEAD, "identity");
    memory_object_drop(forms_store(&s, "/y", FORM_HEAD, "identity"));
    forms_add(&s, base, POLICY_ZSTD, "zstd");
    FORMS_DISK(&s, 2, 3);
    scene_purge(&s, PURGE_URL, PURGE_SOFT, "http://h.x/x");
    assert_true(
        memory_sweep_pass(s.cache->sweep, NULL, memory_epoch_renames(s.cache->tier.epoch)));
    assert_int_equal(forms_on_disk(&s).flags, STORE_RECORD_STALE);
    assert_true(forms_is_now(base, POLICY_ZSTD, "zstd"));
    struct memory_object *now = forms_now(base);
    assert_true(atomic_load(&now->soft_purged));
    memory_object_drop(now);
    memory_object_drop(base);
    FORMS_DISK(&s, 2, 3);

    base = forms_get(&s, "/y");
    forms_add(&s, base, POLICY_GZIP, "gzip");
    memory_object_drop(base);
    FORMS_DISK(&s, 2, 4);
    forms_reopen(&s, true);
    scene_purge(&s, PURGE_TAG, PURGE_SOFT, "a");
    assert_true(
        memory_sweep_pass(s.cache->sweep, NULL, memory_epoch_renames(s.cache->tier.epoch)));
    FORMS_DISK(&s, 2, 4);
    scene_purge(&s, PURGE_TAG, PURGE_HARD, "a");
    assert_true(
        memory_sweep_pass(s.cache->sweep, NULL, memory_epoch_renames(s.cache->tier.epoch)));
    FORMS_DISK(&s, 0, 0);
    forms_close(&s);
}

/* --- all at once --- */

enum { ADDERS = 2, ROUNDS = 60 };

struct adder {
    struct scene *scene;
    pthread_t thread;
    struct memory_object *base; /* held */
    unsigned late, gone;
};
static atomic_bool adders_stop;
static atomic_uint adders_added;

struct adder_put {
    struct store_put put;
    atomic_bool done;
};

static void adder_put_done(struct store_job *job)
{
    atomic_store(&CONTAINER_OF(job, struct adder_put, put.job)->done, true);
}

static void add_one(struct adder *a, struct memory_object *base, enum policy_encoding encoding)
{
    struct memory_tier *t = base->tier;
    struct store_body b;
    struct span text = SPAN("a form of it");
    struct adder_put p = {
        .put = {.job.done = adder_put_done, .body = &b, .piece = &text, .piece_count = 1}};
    store_body_begin(t->store, &b);
    if (store_put(t->store, &p.put) != ERR_OK)
        return;
    while (!atomic_load(&p.done))
        sched_yield();
    struct memory_form_body body = {.encoding = encoding,
                                    .bytes = text.len,
                                    .in_memory = text,
                                    .body_id = b.body_id,
                                    .xxh3 = b.xxh3,
                                    .on_disk = p.put.job.err == ERR_OK};
    enum memory_form_added is = memory_form_add(base, &body);
    if (is == MEMORY_FORM_ADDED)
        atomic_fetch_add(&adders_added, 1);
    a->late += is == MEMORY_FORM_LATER;
    a->gone += is == MEMORY_FORM_GONE;
    if (is != MEMORY_FORM_ADDED)
        memory_pin_doom(t->pins, b.body_id);
    store_body_fini(&b);
}

static void *add_many(void *arg)
{
    struct adder *a = arg;
    struct memory_object *base = memory_object_hold(a->base);
    for (unsigned i = 0; !atomic_load(&adders_stop); i++) {
        struct memory_object *now = forms_look(base);
        if (now) {
            memory_object_drop(base);
            base = now;
        }
        add_one(a, base, i % 2 ? POLICY_ZSTD : POLICY_GZIP);
        if (now && now->form_count && i % 7 == 0)
            memory_form_forget(now->form[0]);
        if (i % 5 == 0)
            memory_form_mark(base, MEMORY_MARK_DENSE);
    }
    memory_object_drop(base);
    return NULL;
}

/* Merged 304s, new bodies, purges and restarts of nothing: the record is what RAM has. */
static void test_race(void **state)
{
    (void)state;
    struct scene s;
    struct adder a[ADDERS];
    forms_open(&s, 8 * MB);
    struct memory_object *base = forms_store(&s, "/x", FORM_HEAD, "identity");
    atomic_store(&adders_stop, false);
    for (unsigned i = 0; i < ADDERS; i++) {
        a[i] = (struct adder){.scene = &s, .base = base};
        assert_int_equal(pthread_create(&a[i].thread, NULL, add_many, &a[i]), 0);
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        s.now_s += 61;
        struct client *c = revalidate(&s, "/x", NULL);
        if (i % 10 == 9)
            client_respond_all(c, 200, FORM_HEAD, "another body");
        else
            assert_int_equal(client_respond(c, 304, FORM_HEAD, 0), CACHE_TAKE_DONE);
        if (c->fetching)
            client_fetched(c);
        client_destroy(c);
        struct memory_object *o = forms_get(&s, "/x");
        SCENE_UNTIL(&s, atomic_load(&o->on_disk));
        memory_object_drop(o);
        if (i % 16 == 15)
            scene_purge(&s, PURGE_TAG, PURGE_SOFT, "a");
    }
    SCENE_UNTIL(&s, atomic_load(&adders_added) > 0); /* who had no processor until now */
    atomic_store(&adders_stop, true);
    for (unsigned i = 0; i < ADDERS; i++)
        pthread_join(a[i].thread, NULL);
    memory_object_drop(base);
    base = forms_get(&s, "/x");
    FORMS_DISK(&s, 1, 1u + base->form_count);
    assert_int_equal(forms_on_disk(&s).flags & STORE_RECORD_DENSE,
                     atomic_load(&base->marks) ? STORE_RECORD_DENSE : 0);
    memory_object_drop(base);
    forms_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_added),          cmocka_unit_test(test_in_ram_alone),
        cmocka_unit_test(test_later_and_gone), cmocka_unit_test(test_304),
        cmocka_unit_test(test_forgotten),      cmocka_unit_test(test_without_a_record),
        cmocka_unit_test(test_purged),         cmocka_unit_test(test_restart),
        cmocka_unit_test(test_disk_order),     cmocka_unit_test(test_known_meanwhile),
        cmocka_unit_test(test_too_many),       cmocka_unit_test(test_dead_go_whole),
        cmocka_unit_test(test_small_disk),     cmocka_unit_test(test_ram_order),
        cmocka_unit_test(test_swept),          cmocka_unit_test(test_race),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
