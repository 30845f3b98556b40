/* tests/unit/cache/store/bed.h - a store in a temporary folder, and objects that prove
 * themselves: each body is made from a seed that stands in its record's head.
 */
#pragma once

#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "cache/store/inside.h"

#define BED_OBJECTS 200000

struct bed_entry {
    struct hash128 key;
    uint64_t body_id;
};
struct bed {
    char path[128];
    struct store *store;
    struct store_conf conf;
    /* an index of a sort: first in, first out, or at random */
    pthread_mutex_t lock;
    struct bed_entry *entry;
    size_t first, count;
    bool random;
    uint64_t dice;
    unsigned reopenings, offs;
};

static inline uint64_t bed_next(uint64_t *x)
{
    *x += UINT64_C(0x9e3779b97f4a7c15);
    return hash_mix(*x);
}

static inline unsigned bed_choose(void *context, struct store_victim *out, unsigned max,
                                  uint64_t pages)
{
    struct bed *b = context;
    unsigned n = 0;
    uint64_t given = 0;
    pthread_mutex_lock(&b->lock);
    while (n < max && given < pages && b->count > 0) {
        struct bed_entry *first = &b->entry[b->first % BED_OBJECTS];
        if (b->random) {
            struct bed_entry *any =
                &b->entry[(b->first + bed_next(&b->dice) % b->count) % BED_OBJECTS];
            struct bed_entry swap = *any;
            *any = *first;
            *first = swap;
        }
        out[n++] = (struct store_victim){.key = first->key, .body_id = first->body_id};
        given++;
        b->first++;
        b->count--;
    }
    pthread_mutex_unlock(&b->lock);
    return n;
}

static inline void bed_changed(void *context, enum store_state state)
{
    struct bed *b = context;
    if (state == STORE_REOPENING) {
        pthread_mutex_lock(&b->lock);
        b->count = 0;
        pthread_mutex_unlock(&b->lock);
        b->reopenings++;
    }
    if (state == STORE_OFF)
        b->offs++;
}

static inline void bed_remember(struct bed *b, struct hash128 key, uint64_t body_id)
{
    pthread_mutex_lock(&b->lock);
    must(b->count < BED_OBJECTS);
    b->entry[(b->first + b->count++) % BED_OBJECTS] =
        (struct bed_entry){.key = key, .body_id = body_id};
    pthread_mutex_unlock(&b->lock);
}

static inline void bed_open(struct bed *b)
{
    b->conf.path = b->path;
    assert_int_equal(store_open(&b->conf, &b->store), ERR_OK);
}

/* In `folder`, made here; without eviction unless told. */
static inline struct bed *bed_create_in(const char *folder, uint64_t map_bytes, bool threads)
{
    struct bed *b = must_alloc(sizeof *b);
    log_set_level(LOG_ERROR);
    snprintf(b->path, sizeof b->path, "%s/store_test.XXXXXX", folder);
    assert_non_null(mkdtemp(b->path));
    pthread_mutex_init(&b->lock, NULL);
    b->entry = must_alloc(BED_OBJECTS * sizeof *b->entry);
    b->conf = (struct store_conf){.map_bytes = map_bytes,
                                  .verify = true,
                                  .threads = threads,
                                  .choose = bed_choose,
                                  .changed = bed_changed,
                                  .context = b};
    bed_open(b);
    return b;
}

static inline struct bed *bed_create(uint64_t map_bytes, bool threads)
{
    const char *folder = getenv("STORE_TEST_FOLDER");
    return bed_create_in(folder ? folder : "/tmp", map_bytes, threads);
}

static inline void bed_close(struct bed *b)
{
    store_close(b->store);
    b->store = NULL;
}

static inline void bed_destroy(struct bed *b)
{
    bed_close(b);
    DIR *d = opendir(b->path);
    for (struct dirent *e; d && (e = readdir(d));)
        (void)unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(b->path);
    free(b->entry);
    free(b);
}

static inline void bed_fill(uint64_t seed, char *out, size_t len)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t v = hash_mix(seed + i);
        memcpy(out + i, &v, len - i < 8 ? len - i : 8);
    }
}

/* Whoever waits for a job must own a flag: all waits here are for one job at a time. */
static atomic_uint bed_ended;
static inline void bed_end(struct store_job *job)
{
    (void)job;
    atomic_fetch_add(&bed_ended, 1);
}

static inline void bed_wait(struct bed *b)
{
    if (!b->conf.threads)
        store_run(b->store);
    while (atomic_load(&bed_ended) == 0)
        sched_yield();
    atomic_store(&bed_ended, 0);
}

struct bed_object {
    uint64_t number, seed, bytes; /* number: the key */
    char primary[64], head[80], *body;
    struct store_record record;
    struct store_body store_body;
    struct store_put put;
    struct span piece;
    struct hash128 key;
};

static inline void bed_object_init(struct bed *b, struct bed_object *o, uint64_t number,
                                   uint64_t seed, size_t bytes)
{
    *o = (struct bed_object){.number = number, .seed = seed, .bytes = bytes};
    snprintf(o->primary, sizeof o->primary, "https|t:443|/%llu", (unsigned long long)number);
    snprintf(o->head, sizeof o->head, "x-seed: %llu\r\n", (unsigned long long)seed);
    o->body = malloc(bytes ? bytes : 1);
    bed_fill(seed, o->body, bytes);
    o->key = store_key(store_secret(b->store), span_text(o->primary), (struct span){0});
    store_body_begin(b->store, &o->store_body);
    o->record = (struct store_record){.kind = STORE_OBJECT,
                                      .fill_no = 1,
                                      .key = span_text(o->primary),
                                      .status = 200,
                                      .head = span_text(o->head),
                                      .rep_count = 1,
                                      .rep = {{.body_id = o->store_body.body_id}}};
    o->piece = span_of(o->body, bytes);
    o->put = (struct store_put){.job = {.done = bed_end},
                                .body = &o->store_body,
                                .piece = &o->piece,
                                .piece_count = 1,
                                .record = &o->record,
                                .key = o->key};
}

static inline void bed_object_fini(struct bed_object *o)
{
    store_body_fini(&o->store_body);
    free(o->body);
}

/* Stores an object in puts of 1 MiB; remembers it for eviction. Its id, 0: not stored. */
static inline uint64_t bed_put(struct bed *b, uint64_t number, uint64_t seed, size_t bytes)
{
    struct bed_object o;
    enum err err;
    bed_object_init(b, &o, number, seed, bytes);
    size_t step = STORE_PIECE_MAX / store_chunk_bytes(b->store) * store_chunk_bytes(b->store);
    for (size_t at = 0;; at += step) {
        bool last = at + step >= bytes;
        o.piece = span_of(o.body + at, last ? bytes - at : step);
        o.put.at = at;
        o.put.record = last ? &o.record : NULL;
        err = store_put(b->store, &o.put);
        if (err == ERR_OK) {
            bed_wait(b);
            err = o.put.job.err;
        }
        if (err != ERR_OK || last)
            break;
    }
    if (err == ERR_OK) {
        bed_remember(b, o.key, o.store_body.body_id);
        assert_int_equal(o.store_body.bytes, bytes);
    } else if (bytes > step) {
        struct store_drop d = {.job = {.done = bed_end}, .body_id = o.store_body.body_id};
        if (store_drop(b->store, &d) == ERR_OK)
            bed_wait(b);
    }
    bed_object_fini(&o);
    return err == ERR_OK ? o.store_body.body_id : 0;
}

static inline uint64_t bed_seed_of(const struct store_record *r)
{
    char text[80];
    unsigned long long seed = 0;
    must(span_copy(r->head, text, sizeof text) == ERR_OK);
    must(sscanf(text, "x-seed: %llu", &seed) == 1);
    return seed;
}

/* Reads rep[0] in slices and compares every byte. */
static inline enum err bed_verify_body(struct bed *b, const struct store_record *r)
{
    static char got[STORE_SLICE_MAX], wanted[STORE_SLICE_MAX];
    const struct store_rep *rep = &r->rep[0];
    struct store_check check = {0};
    enum err err = ERR_OK;
    for (uint64_t at = 0; at <= rep->bytes && err == ERR_OK; at += sizeof got) {
        struct store_read read = {.job = {.done = bed_end},
                                  .rep = *rep,
                                  .at = at,
                                  .out = got,
                                  .room = sizeof got,
                                  .check = &check};
        err = store_read(b->store, &read);
        if (err != ERR_OK)
            break;
        bed_wait(b);
        err = read.job.err;
        if (err != ERR_OK)
            break;
        uint64_t left = rep->bytes - at;
        must(read.got == (left < sizeof got ? left : sizeof got));
        /* bed_fill counts from the start of the body */
        bed_fill(bed_seed_of(r) + at, wanted, read.got);
        if (memcmp(got, wanted, read.got) != 0)
            err = ERR_CORRUPT;
        if (rep->bytes == 0)
            break;
    }
    store_check_fini(&check);
    return err;
}

/* Loads by number and verifies all of it. */
static inline enum err bed_get(struct bed *b, uint64_t number, uint64_t *out_seed)
{
    char primary[64];
    snprintf(primary, sizeof primary, "https|t:443|/%llu", (unsigned long long)number);
    struct store_load l = {
        .job = {.done = bed_end},
        .key = store_key(store_secret(b->store), span_text(primary), (struct span){0}),
        .primary = span_text(primary)};
    enum err err = store_load(b->store, &l);
    if (err != ERR_OK)
        return err;
    bed_wait(b);
    if (l.job.err != ERR_OK)
        return l.job.err;
    err = bed_verify_body(b, &l.record);
    if (err == ERR_OK && out_seed)
        *out_seed = bed_seed_of(&l.record);
    free(l.memory);
    return err;
}

struct bed_tally {
    uint64_t *id;
    size_t count;
    struct bed *bed;
    uint64_t bad;
};

static inline void bed_tally_record(void *context, struct hash128 key,
                                    const struct store_record *r)
{
    struct bed_tally *t = context;
    (void)key;
    for (unsigned i = 0; i < r->rep_count; i++) {
        t->id = must_realloc(t->id, (t->count + 1) * sizeof *t->id);
        t->id[t->count++] = r->rep[i].body_id;
    }
    if (r->kind == STORE_OBJECT && bed_verify_body(t->bed, r) != ERR_OK)
        t->bad++;
}

static inline int bed_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Verifies every byte; every body is named by a record or pending (far blocks: none here).
 * How many records there are. */
static inline uint64_t bed_verify_all(struct bed *b)
{
    struct bed_tally t = {.bed = b};
    struct store_walk w = {.last = {UINT64_MAX, UINT64_MAX}};
    enum err err;
    while ((err = store_walk(b->store, &w, 1000, bed_tally_record, &t)) == ERR_OK)
        ;
    assert_int_equal(err, ERR_CLOSED);
    assert_int_equal(w.damaged, 0);
    assert_int_equal(t.bad, 0);
    if (t.count > 0)
        qsort(t.id, t.count, sizeof *t.id, bed_compare);
    struct store_slot *slot = store_slice_begin(&b->store->slices, &err);
    assert_non_null(slot);
    struct lmdb_cursor c;
    struct span value;
    uint64_t key, last = 0;
    lmdb_cursor_open(&c, &slot->txn, b->store->guard.body);
    for (bool more = lmdb_cursor_next(&c); more; more = lmdb_cursor_next(&c)) {
        memcpy(&key, c.key.ptr, sizeof key);
        key >>= 22;
        if (key == last)
            continue;
        last = key;
        struct store_guard_pending p = store_guard_pending_key(key);
        if (t.count > 0 && bsearch(&key, t.id, t.count, sizeof *t.id, bed_compare))
            continue;
        assert_true(lmdb_get(&slot->txn, b->store->guard.sys, span_of(p.bytes, sizeof p.bytes),
                             &value));
    }
    lmdb_cursor_close(&c);
    store_slice_end(&b->store->slices, slot);
    free(t.id);
    return w.seen;
}

static inline uint64_t bed_entries(struct bed *b, struct lmdb_db db)
{
    enum err err;
    struct lmdb_shape shape;
    struct store_slot *slot = store_slice_begin(&b->store->slices, &err);
    assert_non_null(slot);
    lmdb_shape(&slot->txn, db, &shape);
    store_slice_end(&b->store->slices, slot);
    return shape.entries;
}

static inline uint64_t bed_chunks(struct bed *b)
{
    return bed_entries(b, b->store->guard.body);
}
