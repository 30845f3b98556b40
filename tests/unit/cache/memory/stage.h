/* tests/unit/cache/memory/stage.h - a RAM tier with or without a store, and objects in it.
 *
 * Thread: the test's; the store has its own.
 */
#pragma once

#include <dirent.h>
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "cache/memory/codec.h"
#include "cache/memory/encoder.h"
#include "cache/memory/epoch.h"
#include "cache/memory/evict.h"
#include "cache/memory/fill.h"
#include "cache/memory/index.h"
#include "cache/memory/object.h"
#include "cache/memory/pin.h"
#include "cache/memory/tier.h"
#include "cache/store/store.h"
#include "tests/unit/cache/policy/lines.h"

struct stage {
    struct memory_tier tier;
    char path[64]; /* empty: RAM alone */
};

static inline void stage_open_again(struct stage *s)
{
    struct memory_tier *t = &s->tier;
    *t = (struct memory_tier){.memory_max_bytes = UINT64_C(512) << 20,
                              .object_max_bytes = UINT64_C(64) << 20,
                              .max_objects = 100000,
                              .verify = true};
    log_set_level(LOG_ERROR);
    pthread_mutex_init(&t->stalled_lock, NULL);
    t->index = memory_index_create(t);
    if (s->path[0]) {
        struct store_conf conf = {.path = s->path,
                                  .map_bytes = UINT64_C(64) << 20,
                                  .verify = true,
                                  .readers = 2,
                                  .threads = true,
                                  .choose = memory_evict_choose,
                                  .context = t};
        assert_int_equal(store_open(&conf, &t->store), ERR_OK);
        t->secret = *store_secret(t->store);
        atomic_store(&t->store_on, true);
    }
    t->epoch = memory_epoch_create(&t->secret, 1);
    t->pins = memory_pin_create(t->store, 1000);
}

static inline void stage_open(struct stage *s, bool disk)
{
    s->path[0] = 0;
    if (disk) {
        snprintf(s->path, sizeof(s->path), "/tmp/encoder_test.XXXXXX");
        assert_non_null(mkdtemp(s->path));
    }
    stage_open_again(s);
}

/* As cache_close does. */
static inline void stage_close(struct stage *s)
{
    struct memory_tier *t = &s->tier;
    memory_encoder_destroy(t->encoder);
    t->encoder = NULL;
    if (t->store) {
        store_stop_reading(t->store);
        store_stop(t->store);
        atomic_store(&t->store_on, false);
    }
    memory_index_destroy(t->index);
    assert_int_equal(atomic_load(&t->memory_bytes), 0); /* nobody holds an object */
    memory_pin_destroy(t->pins);
    memory_epoch_destroy(t->epoch);
    store_close(t->store);
    pthread_mutex_destroy(&t->stalled_lock);
}

static inline void stage_remove(struct stage *s)
{
    DIR *d = s->path[0] ? opendir(s->path) : NULL;
    for (struct dirent *e; d && (e = readdir(d));)
        (void)unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    if (s->path[0])
        rmdir(s->path);
}

/* Until it holds; 30 s at most. */
#define STAGE_UNTIL(condition)                                                                 \
    do {                                                                                       \
        for (int tries_ = 0; !(condition); tries_++) {                                         \
            if (tries_ > 15000)                                                                \
                fail_msg("%s:%d: never: %s", __FILE__, __LINE__, #condition);                  \
            (void)poll(NULL, 0, 2);                                                            \
        }                                                                                      \
    } while (0)

/* --- bytes --- */

/* Text of `letters` different ones at random: the fewer, the smaller it gets. */
static inline char *stage_text(uint64_t seed, unsigned letters, size_t bytes)
{
    char *text = must_alloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        text[i] = (char)(hash_mix(seed + i) % letters + (letters > 200 ? 0 : ' '));
    return text;
}

struct stage_bytes {
    char *ptr;
    size_t len;
};

/* All of `in` through the codec, which is destroyed. */
static inline enum err stage_recode(struct memory_codec *c, struct span in,
                                    struct stage_bytes *out)
{
    assert_non_null(c);
    size_t room = 0;
    enum err e = ERR_OK;
    *out = (struct stage_bytes){0};
    while (e == ERR_OK) {
        size_t got = 0;
        if (room - out->len < 65536)
            out->ptr = must_realloc(out->ptr, room += 1 << 20);
        e = memory_codec_run(c, &in, MEMORY_CODEC_END, out->ptr + out->len, room - out->len,
                             &got);
        out->len += got;
    }
    memory_codec_destroy(c);
    return e;
}

static inline struct stage_bytes stage_encode(enum policy_encoding to, struct span in)
{
    struct stage_bytes out;
    assert_int_equal(stage_recode(memory_codec_encoder(to, 6, (int64_t)in.len), in, &out),
                     ERR_CLOSED);
    return out;
}

/* --- the store, waited for --- */

struct stage_wait {
    sem_t back;
    struct store_read read;
    struct store_put put;
    struct store_load load;
};

static inline void stage_read_back(struct store_job *job)
{
    (void)sem_post(&CONTAINER_OF(job, struct stage_wait, read.job)->back);
}

static inline void stage_put_back(struct store_job *job)
{
    (void)sem_post(&CONTAINER_OF(job, struct stage_wait, put.job)->back);
}

static inline void stage_load_back(struct store_job *job)
{
    (void)sem_post(&CONTAINER_OF(job, struct stage_wait, load.job)->back);
}

/* All bytes of a body on disk; verified. */
static inline enum err stage_read(struct stage *s, const struct store_rep *rep, char *out)
{
    struct stage_wait w;
    struct store_check check = {0};
    enum err e = ERR_OK;
    assert_int_equal(sem_init(&w.back, 0, 0), 0);
    for (uint64_t at = 0; at < rep->bytes && e == ERR_OK; at += w.read.got) {
        w.read = (struct store_read){.job.done = stage_read_back,
                                     .rep = *rep,
                                     .at = at,
                                     .out = out + at,
                                     .room = STORE_SLICE_MAX,
                                     .check = &check};
        assert_int_equal(store_read(s->tier.store, &w.read), ERR_OK);
        while (sem_wait(&w.back) != 0) {
        }
        e = w.read.job.err;
    }
    store_check_fini(&check);
    (void)sem_destroy(&w.back);
    return e;
}

/* Are there bytes of that body? */
static inline bool stage_has_body(struct stage *s, uint64_t body_id)
{
    char byte;
    struct store_rep rep = {.body_id = body_id, .bytes = 1};
    return stage_read(s, &rep, &byte) != ERR_NOT_FOUND;
}

/* The record of a key, to be freed with its memory. */
static inline void *stage_load(struct stage *s, struct hash128 key, struct store_record *out)
{
    struct stage_wait w = {.load = {.job.done = stage_load_back, .key = key}};
    assert_int_equal(sem_init(&w.back, 0, 0), 0);
    assert_int_equal(store_load(s->tier.store, &w.load), ERR_OK);
    while (sem_wait(&w.back) != 0) {
    }
    (void)sem_destroy(&w.back);
    assert_int_equal(w.load.job.err, ERR_OK);
    *out = w.load.record;
    return w.load.memory;
}

/* --- objects --- */

/* Body and record of it, as deposit.c would put them. */
static inline void stage_store(struct stage *s, struct memory_object *o, struct span body,
                               struct store_body *b)
{
    struct store *store = s->tier.store;
    size_t step = STORE_PIECE_MAX / store_chunk_bytes(store) * store_chunk_bytes(store);
    struct stage_wait w;
    struct store_record record = {.kind = STORE_OBJECT,
                                  .fill_no = o->fill_no,
                                  .key = o->key_text,
                                  .status = o->status,
                                  .facts = o->facts,
                                  .head = o->head_text,
                                  .rep_count = 1,
                                  .rep[0] = {.encoding = o->encoding, .body_id = b->body_id}};
    assert_int_equal(sem_init(&w.back, 0, 0), 0);
    for (size_t at = 0; at < body.len; at += step) {
        struct span piece = span_from(body, at);
        if (piece.len > step)
            piece = span_until(piece, step);
        w.put = (struct store_put){.job.done = stage_put_back,
                                   .key = o->key,
                                   .body = b,
                                   .at = at,
                                   .piece = &piece,
                                   .piece_count = 1,
                                   .record = at + step < body.len ? NULL : &record};
        assert_int_equal(store_put(store, &w.put), ERR_OK);
        while (sem_wait(&w.back) != 0) {
        }
        assert_int_equal(w.put.job.err, ERR_OK);
    }
    (void)sem_destroy(&w.back);
    atomic_store(&o->body_xxh3, b->xxh3);
    atomic_store(&o->on_disk, true);
}

enum stage_where { STAGE_RAM, STAGE_DISK, STAGE_NOT_YET }; /* not yet on disk, but will be */

static inline struct hash128 stage_key(struct stage *s, const char *path)
{
    char key_text[128];
    snprintf(key_text, sizeof(key_text), "http|h.x:80|%s", path);
    return memory_index_key(&s->tier, span_text(key_text), (struct span){0});
}

/* A response as it was received, in the index; held. */
static inline struct memory_object *stage_object(struct stage *s, const char *path,
                                                 enum policy_encoding encoding,
                                                 struct span body, enum stage_where where)
{
    struct arena a;
    char key_text[128];
    arena_init(&a, 1 << 16);
    struct http_fields fields = lines(&a, "content-type: text/plain\netag: \"e\"");
    if (encoding != POLICY_IDENTITY)
        assert_true(http_fields_add(&fields, &a, SPAN("content-encoding"),
                                    policy_encoding_text(encoding)));
    snprintf(key_text, sizeof(key_text), "http|h.x:80|%s", path);
    struct store_body b = {0};
    if (where != STAGE_RAM)
        store_body_begin(s->tier.store, &b);
    bool small = body.len <= MEMORY_BODY_MAX;
    struct memory_seed seed = {
        .key = stage_key(s, path),
        .key_text = span_text(key_text),
        .facts = {.max_age_s = 60, .expires_at_s = POLICY_NONE, .modified_at_s = POLICY_NONE},
        .status = 200,
        .fields = &fields,
        .body_bytes = (int64_t)body.len,
        .body_room = small ? body.len : 0,
        .body_id = b.body_id,
        .fill_no = 1,
        .stored = true,
        .encoding = (uint8_t)encoding,
    };
    struct memory_object *o = memory_object_create(&s->tier, &seed);
    assert_non_null(o);
    if (small && body.len)
        memcpy(memory_object_body_room(o), body.ptr, body.len);
    if (where == STAGE_DISK)
        stage_store(s, o, body, &b);
    store_body_fini(&b);
    arena_fini(&a);
    struct memory_place p;
    memory_place_open(s->tier.index, o->key, &p);
    memory_place_set_object(&p, o);
    memory_place_close(&p);
    return o;
}

/* The version that is stored now; held. NULL: none. */
static inline struct memory_object *stage_now(struct stage *s, const char *path)
{
    struct memory_place p;
    memory_place_open(s->tier.index, stage_key(s, path), &p);
    struct memory_object *o = memory_place_kind(&p) == MEMORY_OBJECT
                                  ? memory_object_hold(memory_place_object(&p))
                                  : NULL;
    memory_place_close(&p);
    return o;
}

/* Its form in that encoding; held. NULL: none. */
static inline struct memory_object *stage_form(struct stage *s, const char *path,
                                               enum policy_encoding is)
{
    struct memory_object *o = stage_now(s, path), *form = NULL;
    for (unsigned i = 0; o && i < o->form_count; i++)
        if (o->form[i]->encoding == is)
            form = memory_object_hold(o->form[i]);
    memory_object_drop(o);
    return form;
}

/* The bytes of a form are that body, once decoded. */
static inline void stage_assert_decodes(struct stage *s, struct memory_object *form,
                                        struct span body)
{
    struct stage_bytes on_disk = {0}, plain = {0};
    struct span bytes = form->body;
    if (!form->body_in_memory) {
        on_disk.len = (size_t)form->body_bytes;
        on_disk.ptr = must_alloc(on_disk.len);
        struct store_rep rep = {.body_id = form->body_id,
                                .bytes = on_disk.len,
                                .xxh3 = atomic_load(&form->body_xxh3)};
        assert_true(rep.xxh3 != 0);
        assert_int_equal(stage_read(s, &rep, on_disk.ptr), ERR_OK);
        bytes = span_of(on_disk.ptr, on_disk.len);
    }
    assert_int_equal(form->body_bytes, bytes.len);
    if (form->encoding == POLICY_IDENTITY) {
        assert_true(span_equal(bytes, body));
    } else {
        struct memory_codec *c =
            memory_codec_decoder((enum policy_encoding)form->encoding, body.len + 1);
        assert_int_equal(stage_recode(c, bytes, &plain), ERR_CLOSED);
        assert_true(span_equal(span_of(plain.ptr, plain.len), body));
    }
    free(plain.ptr);
    free(on_disk.ptr);
}
