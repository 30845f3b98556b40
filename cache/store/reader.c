#include "cache/store/inside.h"

#include <stdlib.h>

#include "base/counter.h"

static void end_read(struct store *s, struct store_job *job, enum err err)
{
    job->err = err;
    if (err == ERR_CORRUPT) {
        atomic_fetch_add(&s->corrupt, 1);
        counter_add(COUNTER_CACHE_CORRUPT, 1);
    }
    store_writer_send_home(job);
}

static void open_read(struct letter *l)
{
    struct store_job *job = CONTAINER_OF(l, struct store_job, letter);
    struct store_read *r = CONTAINER_OF(job, struct store_read, job);
    struct store *s = job->store;
    enum err err;
    r->got = 0;
    struct store_slot *slot = store_slice_begin(&s->slices, &err);
    if (slot) {
        err =
            store_slice_body(&s->slices, &slot->txn, &r->rep, r->at, r->out, r->room, &r->got);
        store_slice_end(&s->slices, slot);
    }
    if (err == ERR_OK && r->check && s->conf.verify)
        err = store_slice_check(r->check, &r->rep, r->at, span_of(r->out, r->got));
    end_read(s, job, err);
}

/* What a transaction found under a key, copied. */
struct found {
    char *memory;
    size_t near_bytes, far_bytes;
};

static struct span key_span(uint8_t room[16], struct hash128 key)
{
    store_guard_put_u64(room, key.hi);
    store_guard_put_u64(room + 8, key.lo);
    return span_of(room, 16);
}

static enum err copy_record(struct store *s, struct lmdb_txn *t, struct span bytes,
                            struct found *out)
{
    uint64_t far_id;
    out->near_bytes = bytes.len;
    if (!store_record_far(bytes, &far_id, &out->far_bytes))
        out->far_bytes = 0;
    out->memory = malloc(bytes.len + out->far_bytes + 1);
    if (!out->memory)
        return ERR_LIMIT;
    if (bytes.len > 0)
        memcpy(out->memory, bytes.ptr, bytes.len);
    return out->far_bytes == 0 ? ERR_OK
                               : store_slice_far(&s->slices, t, far_id, out->far_bytes,
                                                 out->memory + bytes.len);
}

static bool is_asked_for(const struct store_load *l)
{
    return l->primary.len == 0 ||
           (span_equal(l->record.key, l->primary) &&
            (l->record.kind == STORE_VARY || span_equal(l->record.vary, l->vary)));
}

static enum err load(struct store *s, struct store_load *l)
{
    uint8_t room[16];
    struct span bytes;
    struct found f = {0};
    enum err err;
    struct store_slot *slot = store_slice_begin(&s->slices, &err);
    if (!slot)
        return err;
    bool here = lmdb_get(&slot->txn, s->guard.meta, key_span(room, l->key), &bytes);
    err = here                      ? copy_record(s, &slot->txn, bytes, &f)
          : slot->txn.err != ERR_OK ? slot->txn.err
                                    : ERR_NOT_FOUND;
    if (err == ERR_OK)
        err = store_record_decode(span_of(f.memory, f.near_bytes),
                                  span_of(f.memory + f.near_bytes, f.far_bytes), &l->record);
    enum err sliced = ERR_NOT_FOUND;
    if (err == ERR_OK && l->out && l->record.kind == STORE_OBJECT)
        sliced = store_slice_body(&s->slices, &slot->txn, &l->record.rep[0], 0, l->out, l->room,
                                  &l->got);
    store_slice_end(&s->slices, slot);

    if (err == ERR_CORRUPT)
        store_remove_damaged(s, l->key);
    if (err == ERR_OK && !is_asked_for(l))
        err = ERR_NOT_FOUND;
    if (err == ERR_OK && sliced == ERR_CORRUPT)
        err = ERR_CORRUPT;
    if (err == ERR_OK && sliced == ERR_OK && l->check && s->conf.verify)
        err = store_slice_check(l->check, &l->record.rep[0], 0, span_of(l->out, l->got));
    if (err == ERR_OK)
        l->memory = f.memory;
    else
        free(f.memory);
    return err;
}

static void open_load(struct letter *letter)
{
    struct store_job *job = CONTAINER_OF(letter, struct store_job, letter);
    struct store_load *l = CONTAINER_OF(job, struct store_load, job);
    l->memory = NULL;
    l->got = 0;
    enum err err = load(job->store, l);
    if (err != ERR_OK)
        l->got = 0;
    end_read(job->store, job, err);
}

void store_reader_post(struct store *s, struct store_job *job)
{
    letter_crew_post(s->readers, &job->letter,
                     job->verb == STORE_VERB_READ ? open_read : open_load);
}

/* -- the walk: in the caller's thread -- */

#define WALK_BYTES (1u << 20) /* copied out in one transaction, and what the last adds */

struct walked {
    struct hash128 key;
    struct span near, far;
};

/* Copies records from w->next on into `room`; moves w->next past them. ERR_CLOSED: the end. */
static enum err copy_some(struct store *s, struct store_walk *w, unsigned max, char *room,
                          struct walked *out, unsigned *out_count)
{
    uint8_t from[16];
    struct lmdb_cursor c;
    enum err err;
    size_t used = 0;
    *out_count = 0;
    struct store_slot *slot = store_slice_begin(&s->slices, &err);
    if (!slot)
        return err;
    lmdb_cursor_open(&c, &slot->txn, s->guard.meta);
    bool more = lmdb_cursor_seek(&c, key_span(from, w->next));
    for (; more && err == ERR_OK; more = lmdb_cursor_next(&c)) {
        struct walked *r = &out[*out_count];
        uint64_t far_id;
        size_t far_bytes = 0;
        if (c.key.len != 16) {
            err = ERR_CORRUPT;
            break;
        }
        r->key = (struct hash128){.hi = store_guard_get_u64(c.key.ptr),
                                  .lo = store_guard_get_u64(c.key.ptr + 8)};
        w->next = r->key;
        if (r->key.hi > w->last.hi || (r->key.hi == w->last.hi && r->key.lo > w->last.lo)) {
            more = false;
            break;
        }
        if (*out_count == max || used > WALK_BYTES)
            break;
        if (!store_record_far(c.value, &far_id, &far_bytes))
            far_bytes = 0;
        /* a longer value was not written by us: it stays empty, and is damaged */
        size_t near_bytes = c.value.len <= STORE_RECORD_MAX ? c.value.len : 0;
        memcpy(room + used, c.value.ptr, near_bytes);
        r->near = span_of(room + used, near_bytes);
        used += near_bytes;
        r->far = span_of(room + used, far_bytes);
        if (far_bytes > 0 &&
            store_slice_far(&s->slices, &slot->txn, far_id, far_bytes, room + used) != ERR_OK)
            r->far.len = 0; /* damaged: decoding will say so */
        used += far_bytes;
        ++*out_count;
    }
    lmdb_cursor_close(&c);
    if (err == ERR_OK && slot->txn.err != ERR_OK)
        err = slot->txn.err;
    store_slice_end(&s->slices, slot);
    return err != ERR_OK ? err : (more ? ERR_OK : ERR_CLOSED);
}

enum err store_walk(struct store *s, struct store_walk *w, unsigned max, store_visit *visit,
                    void *context)
{
    if (max == 0 || max > STORE_WALK_SLICE)
        max = STORE_WALK_SLICE;
    unsigned count;
    char *room = must_alloc(WALK_BYTES + STORE_FAR_MAX + STORE_RECORD_MAX);
    struct walked *found = must_alloc((max + 1) * sizeof *found);
    store_guard_hear_bus();
    enum err err = copy_some(s, w, max, room, found, &count);
    for (unsigned i = 0; i < count; i++) {
        struct store_record r;
        if (store_record_decode(found[i].near, found[i].far, &r) == ERR_OK) {
            w->seen++;
            visit(context, found[i].key, &r);
            continue;
        }
        w->damaged++;
        atomic_fetch_add(&s->corrupt, 1);
        counter_add(COUNTER_CACHE_CORRUPT, 1);
        store_remove_damaged(s, found[i].key);
    }
    free(found);
    free(room);
    return err;
}
