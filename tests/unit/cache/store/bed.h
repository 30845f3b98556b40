/* tests/unit/cache/store/bed.h - a store in a temporary folder, and objects that prove
 * themselves: each body is made from a seed that stands in its record's head.
 *
 * Thread: a bed by many; jobs made by bed_job come home to the thread that made them.
 */
#pragma once

#include <dirent.h>
#include <semaphore.h>
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
    uint64_t body_id, number;
    uint32_t pages;
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
    void (*gave_up)(struct bed *b, const struct bed_entry *e); /* the writer's thread */
    void *gave_up_context;
    unsigned reopenings, offs;
};

static inline uint64_t bed_next(uint64_t *x)
{
    *x += UINT64_C(0x9e3779b97f4a7c15);
    return hash_mix(*x);
}

/* 200 B and up, mean about 55 KB: the logarithm is spread like heads among 13 coins. */
static inline size_t bed_draw_size(uint64_t *dice, size_t most)
{
    uint64_t r = bed_next(dice);
    size_t bytes = (size_t)(200 + r % 200) << __builtin_popcountll(r >> 51);
    return bytes < most ? bytes : most;
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
        out[n++] = (struct store_victim){
            .key = first->key, .body_id = first->body_id, .pages = first->pages};
        given += first->pages;
        if (b->gave_up)
            b->gave_up(b, first);
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

static inline void bed_remember(struct bed *b, const struct bed_entry *e)
{
    pthread_mutex_lock(&b->lock);
    must(b->count < BED_OBJECTS);
    b->entry[(b->first + b->count++) % BED_OBJECTS] = *e;
    pthread_mutex_unlock(&b->lock);
}

static inline void bed_open(struct bed *b)
{
    b->conf.path = b->path;
    assert_int_equal(store_open(&b->conf, &b->store), ERR_OK);
}

/* In a folder that is there; not opened yet. */
static inline struct bed *bed_create_at(const char *path, uint64_t map_bytes, bool threads)
{
    struct bed *b = must_alloc(sizeof *b);
    log_set_level(LOG_ERROR);
    must(snprintf(b->path, sizeof b->path, "%s", path) < (int)sizeof b->path);
    pthread_mutex_init(&b->lock, NULL);
    b->entry = must_alloc(BED_OBJECTS * sizeof *b->entry);
    b->conf = (struct store_conf){.map_bytes = map_bytes,
                                  .verify = true,
                                  .threads = threads,
                                  .choose = bed_choose,
                                  .changed = bed_changed,
                                  .context = b};
    return b;
}

/* In a new folder below `folder`. */
static inline struct bed *bed_create_in(const char *folder, uint64_t map_bytes, bool threads)
{
    char path[128];
    snprintf(path, sizeof path, "%s/store_test.XXXXXX", folder);
    assert_non_null(mkdtemp(path));
    struct bed *b = bed_create_at(path, map_bytes, threads);
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

/* 64 bytes at a time, which the sanitizers bear; bed_fill(seed + 64 * n) goes on in it. */
static inline void bed_fill(uint64_t seed, char *out, size_t len)
{
    uint64_t word[8];
    for (size_t i = 0; i < len; i += sizeof word) {
        uint64_t v = hash_mix(seed + i);
        for (unsigned k = 0; k < ARRAY_LEN(word); k++)
            word[k] = v ^ (v << 7) * k;
        memcpy(out + i, word, len - i < sizeof word ? len - i : sizeof word);
    }
}

/* Where the jobs of one thread come home. */
struct bed_desk {
    struct letter_mailbox box;
    sem_t news;
    bool ready;
};
static _Thread_local struct bed_desk bed_own_desk;

static inline void bed_wake(void *desk)
{
    must(sem_post(&((struct bed_desk *)desk)->news) == 0);
}

static inline struct bed_desk *bed_desk(void)
{
    struct bed_desk *d = &bed_own_desk;
    if (!d->ready) {
        must(sem_init(&d->news, 0, 0) == 0);
        letter_mailbox_init(&d->box, bed_wake, d);
        d->ready = true;
    }
    return d;
}

static inline void bed_end(struct store_job *job)
{
    (void)job;
}

static inline struct store_job bed_job(void)
{
    return (struct store_job){.home = &bed_desk()->box, .done = bed_end};
}

/* Until at least one job of this thread has come home; how many did. */
static inline unsigned bed_wait(struct bed *b)
{
    unsigned n;
    if (!b->conf.threads)
        store_run(b->store);
    do {
        while (sem_wait(&bed_desk()->news) != 0)
            ;
        n = letter_open_all(&bed_desk()->box);
    } while (n == 0);
    return n;
}

struct bed_name {
    char text[64];
};
static inline struct bed_name bed_name(uint64_t number)
{
    struct bed_name n;
    snprintf(n.text, sizeof n.text, "https|t:443|/%llu", (unsigned long long)number);
    return n;
}

static inline struct hash128 bed_key(struct bed *b, uint64_t number)
{
    return store_key(store_secret(b->store), span_text(bed_name(number).text),
                     (struct span){0});
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
    snprintf(o->primary, sizeof o->primary, "%s", bed_name(number).text);
    snprintf(o->head, sizeof o->head, "x-seed: %llu\r\n", (unsigned long long)seed);
    o->body = malloc(bytes ? bytes : 1);
    bed_fill(seed, o->body, bytes);
    o->key = bed_key(b, number);
    store_body_begin(b->store, &o->store_body);
    o->record = (struct store_record){.kind = STORE_OBJECT,
                                      .fill_no = 1,
                                      .key = span_text(o->primary),
                                      .status = 200,
                                      .head = span_text(o->head),
                                      .rep_count = 1,
                                      .rep = {{.body_id = o->store_body.body_id}}};
    o->piece = span_of(o->body, bytes);
    o->put = (struct store_put){.job = bed_job(),
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

static inline void bed_remember_object(struct bed *b, const struct bed_object *o)
{
    bed_remember(b, &(struct bed_entry){.key = o->key,
                                        .body_id = o->store_body.body_id,
                                        .number = o->number,
                                        .pages = store_pages(b->store, o->bytes)});
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
        bed_remember_object(b, &o);
        assert_int_equal(o.store_body.bytes, bytes);
    } else if (bytes > step) {
        struct store_drop d = {.job = bed_job(), .body_id = o.store_body.body_id};
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
    size_t len = r->head.len < sizeof text ? r->head.len : sizeof text - 1;
    must(span_copy(span_until(r->head, len), text, sizeof text) == ERR_OK);
    must(sscanf(text, "x-seed: %llu", &seed) == 1);
    return seed;
}

/* The seed of rep[i]'s body. */
static inline uint64_t bed_rep_seed(uint64_t seed, unsigned i)
{
    return seed + ((uint64_t)i << 56);
}

/* Reads rep[i] in slices and compares every byte. */
static inline enum err bed_verify_body(struct bed *b, const struct store_record *r, unsigned i)
{
    char *got = must_alloc(STORE_SLICE_MAX), *wanted = must_alloc(STORE_SLICE_MAX);
    const struct store_rep *rep = &r->rep[i];
    struct store_check check = {0};
    enum err err = ERR_OK;
    for (uint64_t at = 0; at <= rep->bytes && err == ERR_OK; at += STORE_SLICE_MAX) {
        struct store_read read = {.job = bed_job(),
                                  .rep = *rep,
                                  .at = at,
                                  .out = got,
                                  .room = STORE_SLICE_MAX,
                                  .check = &check};
        err = store_read(b->store, &read);
        if (err != ERR_OK)
            break;
        bed_wait(b);
        err = read.job.err;
        if (err != ERR_OK)
            break;
        uint64_t left = rep->bytes - at;
        must(read.got == (left < STORE_SLICE_MAX ? left : STORE_SLICE_MAX));
        /* bed_fill counts from the start of the body */
        bed_fill(bed_rep_seed(bed_seed_of(r), i) + at, wanted, read.got);
        if (memcmp(got, wanted, read.got) != 0)
            err = ERR_CORRUPT;
        if (rep->bytes == 0)
            break;
    }
    store_check_fini(&check);
    free(got);
    free(wanted);
    return err;
}

/* Loads by number and verifies all of it. */
static inline enum err bed_get(struct bed *b, uint64_t number, uint64_t *out_seed)
{
    struct bed_name name = bed_name(number);
    struct store_load l = {
        .job = bed_job(), .key = bed_key(b, number), .primary = span_text(name.text)};
    enum err err = store_load(b->store, &l);
    if (err != ERR_OK)
        return err;
    bed_wait(b);
    if (l.job.err != ERR_OK)
        return l.job.err;
    err = bed_verify_body(b, &l.record, 0);
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

static inline void bed_tally_add(struct bed_tally *t, uint64_t id)
{
    t->id = must_realloc(t->id, (t->count + 1) * sizeof *t->id);
    t->id[t->count++] = id;
}

static inline void bed_tally_record(void *context, struct hash128 key,
                                    const struct store_record *r)
{
    struct bed_tally *t = context;
    (void)key;
    for (unsigned i = 0; i < r->rep_count; i++) {
        bed_tally_add(t, r->rep[i].body_id);
        if (bed_verify_body(t->bed, r, i) != ERR_OK)
            t->bad++;
    }
}

static inline int bed_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Verifies every byte; every body is named by a record or pending. How many records there
 * are. */
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
    struct store_slot *slot = store_slice_begin(&b->store->slices, &err);
    assert_non_null(slot);
    struct lmdb_cursor c;
    struct span value;
    uint64_t key, last = 0, far_id;
    size_t far_bytes;
    lmdb_cursor_open(&c, &slot->txn, b->store->guard.meta);
    while (lmdb_cursor_next(&c))
        if (store_record_far(c.value, &far_id, &far_bytes))
            bed_tally_add(&t, far_id);
    lmdb_cursor_close(&c);
    if (t.count > 0)
        qsort(t.id, t.count, sizeof *t.id, bed_compare);
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

/* Opens it anew without threads and ends all deleting. */
static inline void bed_reopen_still(struct bed *b)
{
    bed_close(b);
    b->conf.threads = false;
    bed_open(b);
    store_run(b->store);
}

/* Every page of the file is in use or known to be free, and no value takes several: such ones
 * end in a full map with free pages left. Nobody may be writing. */
static inline void bed_check_pages(struct bed *b)
{
    const struct lmdb_db free_db = {0}, main_db = {1}; /* LMDB's own */
    const struct store_guard *g = &b->store->guard;
    const struct lmdb_db dbs[] = {g->meta, g->body, g->sys, main_db, free_db};
    struct lmdb_pages p;
    struct lmdb_shape shape;
    struct lmdb_cursor c;
    enum err err;
    uint64_t free_pages = 0;
    struct store_slot *slot = store_slice_begin(&b->store->slices, &err);
    assert_non_null(slot);
    lmdb_cursor_open(&c, &slot->txn, free_db);
    while (lmdb_cursor_next(&c)) {
        size_t count; /* then the pages */
        assert_true(c.value.len >= sizeof count);
        memcpy(&count, c.value.ptr, sizeof count);
        free_pages += count;
    }
    lmdb_cursor_close(&c);
    for (size_t i = 0; i < ARRAY_LEN(dbs); i++) {
        lmdb_shape(&slot->txn, dbs[i], &shape);
        assert_true(shape.overflows <= shape.entries);
    }
    assert_int_equal(lmdb_pages(g->env, &slot->txn, dbs, ARRAY_LEN(dbs) - 1, &p), ERR_OK);
    store_slice_end(&b->store->slices, slot);
    assert_int_equal(p.used + free_pages, p.last);
    assert_true(p.last <= p.max);
}
