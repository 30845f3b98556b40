/* tests/unit/cache/forms.h - objects with forms in a scene with a disk, and what is on it. */
#pragma once

#include "tests/unit/cache/scene.h"

#include "cache/memory/form.h"
#include "cache/memory/index.h"
#include "cache/store/inside.h"

#define MB (UINT64_C(1) << 20)
#define FORM_HEAD "cache-control: max-age=60\netag: \"1\"\nxkey: a\ncontent-type: text/html"

static char forms_folder[64];

static inline void forms_open(struct scene *s, uint64_t memory_bytes)
{
    (void)snprintf(forms_folder, sizeof(forms_folder), "/tmp/perigee-forms-XXXXXX");
    assert_non_null(mkdtemp(forms_folder));
    scene_open(s, forms_folder, memory_bytes);
    SCENE_UNTIL(s, !atomic_load(&s->cache->tier.scanning));
}

/* As forms_open, on a disk of 8 MiB. */
static inline void forms_open_small(struct scene *s, uint64_t memory_bytes)
{
    forms_open(s, memory_bytes);
    scene_close(s);
    s->wake_fd = eventfd(0, EFD_NONBLOCK);
    s->conf_cache.disk_bytes = STORE_MAP_MIN;
    scene_open_again(s);
    SCENE_UNTIL(s, !atomic_load(&s->cache->tier.scanning));
}

/* A restart; killed: without the snapshot of the index. */
static inline void forms_reopen(struct scene *s, bool killed)
{
    char path[128];
    scene_close(s);
    (void)snprintf(path, sizeof(path), "%s/index", forms_folder);
    if (killed)
        assert_int_equal(unlink(path), 0);
    s->wake_fd = eventfd(0, EFD_NONBLOCK);
    scene_open_again(s);
    SCENE_UNTIL(s, !atomic_load(&s->cache->tier.scanning));
}

static inline void forms_close(struct scene *s)
{
    char command[128];
    scene_close(s);
    (void)snprintf(command, sizeof(command), "rm -rf %s", forms_folder);
    assert_int_equal(system(command), 0);
}

/* --- objects --- */

/* The object as it is in RAM now, loaded if need be; held. */
static inline struct memory_object *forms_get(struct scene *s, const char *path)
{
    struct client *c = NULL;
    do {
        if (c)
            client_destroy(c);
        c = client_ask(s, HTTP_GET, path, "accept-encoding: *"); /* whatever its base is in */
        if (c->answer.verdict == CACHE_JOIN) {
            client_open(c);
            SCENE_UNTIL(s, memory_reader_head(&c->reader) != MEMORY_HEAD_WAIT);
        }
    } while (c->answer.verdict == CACHE_JOIN);
    if (c->answer.verdict != CACHE_HIT && c->answer.verdict != CACHE_STALE)
        fail_msg("%s: no hit but %d", path, c->answer.verdict);
    struct memory_object *o = memory_object_hold(c->answer.object);
    client_destroy(c);
    return o;
}

/* Stored from the origin, in RAM and on disk; held. */
static inline struct memory_object *forms_store(struct scene *s, const char *path,
                                                const char *head, const char *body)
{
    scene_store(s, path, "", head, body);
    struct memory_object *o = forms_get(s, path);
    SCENE_UNTIL(s, atomic_load(&o->on_disk));
    return o;
}

/* What stands in the index under its key; held. NULL: something else. */
static inline struct memory_object *forms_look(const struct memory_object *o)
{
    struct memory_place p;
    memory_place_open(o->tier->index, o->key, &p);
    struct memory_object *now = memory_place_kind(&p) == MEMORY_OBJECT
                                    ? memory_object_hold(memory_place_object(&p))
                                    : NULL;
    memory_place_close(&p);
    return now;
}

static inline struct memory_object *forms_now(const struct memory_object *o)
{
    struct memory_object *now = forms_look(o);
    must(now);
    return now;
}

static inline bool forms_has(const struct memory_object *o, enum policy_encoding encoding)
{
    for (uint8_t i = 0; i < o->form_count; i++)
        if (o->form[i]->encoding == encoding)
            return true;
    return false;
}

static inline struct memory_object *forms_find(const struct memory_object *o,
                                               enum policy_encoding encoding)
{
    must(forms_has(o, encoding));
    uint8_t i = 0;
    while (o->form[i]->encoding != encoding)
        i++;
    return o->form[i];
}

/* Is that the form in the index now? "": it must have none. */
static inline bool forms_is_now(const struct memory_object *o, enum policy_encoding encoding,
                                const char *text)
{
    struct memory_object *now = forms_look(o);
    bool has = now && forms_has(now, encoding), is = now && !has && !text[0];
    if (has && text[0])
        is = span_equal(forms_find(now, encoding)->body, span_text(text));
    memory_object_drop(now);
    return is;
}

/* --- bodies of forms --- */

static inline void forms_done(struct store_job *job)
{
    job->store = NULL;
}

/* On disk (and in RAM, too), named by no record yet. */
static inline struct memory_form_body forms_put(struct scene *s, enum policy_encoding encoding,
                                                struct span text)
{
    struct store_body b;
    store_body_begin(s->cache->tier.store, &b);
    struct store_put put = {.job = {.home = &s->mailbox, .done = forms_done},
                            .body = &b,
                            .piece = &text,
                            .piece_count = 1};
    size_t whole = text.len, step = store_chunk_bytes(s->cache->tier.store) * 16;
    for (const char *from = text.ptr; put.at < whole; put.at += text.len) {
        text = span_of(from + put.at, whole - put.at < step ? whole - put.at : step);
        assert_int_equal(store_put(s->cache->tier.store, &put), ERR_OK);
        SCENE_UNTIL(s, !put.job.store);
        assert_int_equal(put.job.err, ERR_OK);
    }
    struct memory_form_body out = {.encoding = encoding,
                                   .bytes = whole,
                                   .in_memory = span_of(text.ptr + text.len - whole, whole),
                                   .body_id = b.body_id,
                                   .xxh3 = b.xxh3,
                                   .on_disk = true};
    store_body_fini(&b);
    return out;
}

static inline void forms_drop_body(struct scene *s, const struct memory_form_body *b)
{
    struct store_drop d = {.job = {.home = &s->mailbox, .done = forms_done},
                           .body_id = b->body_id};
    assert_int_equal(store_drop(s->cache->tier.store, &d), ERR_OK);
    SCENE_UNTIL(s, !d.job.store);
}

static inline void forms_add(struct scene *s, struct memory_object *base,
                             enum policy_encoding encoding, const char *text)
{
    struct memory_form_body b = forms_put(s, encoding, span_text(text));
    assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_ADDED);
}

/* --- the disk --- */

struct forms_disk {
    uint64_t named[1024];
    unsigned named_count, records, reps;
    uint16_t flags; /* of all records together */
};

static inline void forms_see(void *context, struct hash128 key, const struct store_record *r)
{
    struct forms_disk *d = context;
    (void)key;
    d->records++;
    d->reps += r->rep_count;
    d->flags |= r->flags;
    for (unsigned i = 0; i < r->rep_count; i++) {
        assert_true(d->named_count < ARRAY_LEN(d->named));
        d->named[d->named_count++] = r->rep[i].body_id;
    }
}

static inline struct forms_disk forms_on_disk(struct scene *s)
{
    struct forms_disk d = {.records = 0};
    struct store_walk w = {.last = {UINT64_MAX, UINT64_MAX}};
    while (store_walk(s->cache->tier.store, &w, 1000, forms_see, &d) == ERR_OK)
        ;
    return d;
}

static inline bool forms_names(const struct forms_disk *d, uint64_t body_id)
{
    for (unsigned i = 0; i < d->named_count; i++)
        if (d->named[i] == body_id)
            return true;
    return false;
}

/* Every body that has chunks is named by a record, and every one named is there; nothing waits
 * for its deletion. No body may be empty. */
static inline bool forms_disk_is_exact(struct scene *s)
{
    struct store *store = s->cache->tier.store;
    struct lmdb_cursor c;
    enum err err;
    uint64_t last = 0;
    unsigned bodies = 0;
    bool exact = true;
    uint64_t far_id;
    size_t far_bytes;
    struct forms_disk d = forms_on_disk(s);
    struct store_slot *slot = store_slice_begin(&store->slices, &err);
    assert_non_null(slot);
    lmdb_cursor_open(&c, &slot->txn, store->guard.meta);
    for (bool more = lmdb_cursor_next(&c); more; more = lmdb_cursor_next(&c))
        if (store_record_far(c.value, &far_id, &far_bytes))
            d.named[d.named_count++] = far_id;
    lmdb_cursor_close(&c);
    lmdb_cursor_open(&c, &slot->txn, store->guard.body);
    for (bool more = lmdb_cursor_next(&c); more; more = lmdb_cursor_next(&c)) {
        uint64_t key;
        memcpy(&key, c.key.ptr, sizeof(key));
        bodies += key >> 22 != last;
        last = key >> 22;
        exact = exact && forms_names(&d, last);
    }
    lmdb_cursor_close(&c);
    lmdb_cursor_open(&c, &slot->txn, store->guard.sys);
    for (bool more = lmdb_cursor_next(&c); more; more = lmdb_cursor_next(&c))
        exact = exact && !store_guard_pending_body(c.key);
    lmdb_cursor_close(&c);
    store_slice_end(&store->slices, slot);
    return exact && bodies == d.named_count;
}

/* So many objects and bodies, in the end. */
#define FORMS_DISK(s, objects, bodies)                                                         \
    do {                                                                                       \
        struct forms_disk d_;                                                                  \
        SCENE_UNTIL(s,                                                                         \
                    (d_ = forms_on_disk(s), d_.records == (objects) && d_.reps == (bodies)) && \
                        forms_disk_is_exact(s));                                               \
    } while (0)
