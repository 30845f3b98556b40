#include "cache/store/order.h"

#include <stdlib.h>

#define CHUNK_BITS 22
#define IN_LEAF_MAX 2000 /* about: longer values take a page of their own */
#define PAGE_HEADER 16
#define COST_RECORD 2 /* a leaf and its branch */
#define COST_BODY 2
#define ENTRIES_PER_LEAF 64 /* at least; 26 bytes each */

struct key_bytes {
    uint8_t bytes[16];
};

static struct key_bytes key_of(struct hash128 h)
{
    struct key_bytes k;
    store_guard_put_u64(k.bytes, h.hi);
    store_guard_put_u64(k.bytes + 8, h.lo);
    return k;
}

void store_gone_push(struct store_gone *g, uint64_t body_id)
{
    if (g->count == g->room) {
        g->room = g->room ? g->room * 2 : 64;
        g->body_id = must_realloc(g->body_id, g->room * sizeof *g->body_id);
    }
    g->body_id[g->count++] = body_id;
}

uint64_t store_order_bytes(const struct store_job *job)
{
    uint64_t bytes = 0;
    if (job->verb == STORE_VERB_PUT) {
        const struct store_put *p = (const struct store_put *)(const void *)job;
        for (unsigned i = 0; i < p->piece_count; i++)
            bytes += p->piece[i].len;
    }
    return bytes;
}

uint64_t store_order_room_bytes(const struct store_job *job, size_t page_bytes)
{
    if (job->verb != STORE_VERB_PUT)
        return 0;
    const struct store_put *p = (const struct store_put *)(const void *)job;
    uint64_t bytes = store_order_bytes(job), room = 64; /* entries and what leaves waste */
    if (bytes > IN_LEAF_MAX)
        room += (bytes / (page_bytes - PAGE_HEADER) + 1) * (page_bytes + page_bytes / 64);
    else
        room += bytes * 3 / 2;
    if (p->record) {
        size_t far = store_record_far_bytes(p->record);
        size_t texts = p->record->key.len + p->record->vary.len + p->record->head.len;
        room += far > 0 ? far + 2 * page_bytes
                        : (texts + STORE_TAGS * 8 + 256 > IN_LEAF_MAX ? page_bytes
                                                                      : texts * 3 / 2 + 512);
    }
    return room;
}

void store_order_fail(struct store_job *job, enum err err)
{
    job->err = err;
    if (job->verb == STORE_VERB_PUT) {
        struct store_put *p = CONTAINER_OF(job, struct store_put, job);
        if (p->body)
            p->body->failed = true;
    }
}

static void hash_pieces(struct store_body *b, const struct store_put *p)
{
    if (p->at == 0 && p->record && p->piece_count <= 1) {
        b->xxh3 = hash_xxh3(p->piece_count ? p->piece[0] : (struct span){0});
        return;
    }
    if (!b->hash)
        b->hash = hash_stream_create();
    for (unsigned i = 0; i < p->piece_count; i++)
        hash_stream_add(b->hash, p->piece[i]);
    b->xxh3 = hash_stream_value(b->hash);
    if (p->record) {
        hash_stream_destroy(b->hash);
        b->hash = NULL;
    }
}

static enum err prepare_put(struct store_put *p, uint64_t era, size_t chunk_bytes)
{
    struct store_body *b = p->body;
    if (!b)
        return p->record ? ERR_OK : ERR_REFUSED;
    if (b->failed || b->era != era)
        return ERR_CLOSED;
    if (p->at != b->bytes || p->at % chunk_bytes != 0)
        return ERR_REFUSED; /* an earlier put of this body was refused */
    if (b->bytes + p->bytes > (uint64_t)STORE_BODY_MAX * chunk_bytes)
        return ERR_LIMIT;
    hash_pieces(b, p);
    b->bytes += p->bytes;
    return ERR_OK;
}

void store_order_prepare(struct store_job *job, uint64_t era, size_t chunk_bytes)
{
    job->err = ERR_OK;
    if (job->verb != STORE_VERB_PUT)
        return;
    enum err err = prepare_put(CONTAINER_OF(job, struct store_put, job), era, chunk_bytes);
    if (err != ERR_OK)
        store_order_fail(job, err);
}

static void put_pending(struct store_step *x, uint64_t body_id)
{
    struct store_guard_pending k = store_guard_pending_key(body_id);
    lmdb_put(&x->txn, x->guard->sys, span_of(k.bytes, sizeof k.bytes), (struct span){0});
}

static void del_pending(struct store_step *x, uint64_t body_id)
{
    struct store_guard_pending k = store_guard_pending_key(body_id);
    (void)lmdb_del(&x->txn, x->guard->sys, span_of(k.bytes, sizeof k.bytes));
}

static void put_chunk(struct store_step *x, uint64_t key, struct span value)
{
    if (key > x->tail) {
        lmdb_append(&x->txn, x->guard->body, span_of(&key, sizeof key), value);
        x->tail = key;
    } else {
        lmdb_put(&x->txn, x->guard->body, span_of(&key, sizeof key), value);
    }
}

static void put_chunks(struct store_step *x, uint64_t body_id, uint64_t at,
                       const struct span *piece, unsigned count)
{
    size_t chunk_bytes = lmdb_value_max(x->guard->env), held = 0;
    uint64_t key = body_id << CHUNK_BITS | at / chunk_bytes;
    for (unsigned i = 0; i < count; i++) {
        struct span rest = piece[i];
        while (rest.len > 0) {
            size_t take = chunk_bytes - held < rest.len ? chunk_bytes - held : rest.len;
            if (held == 0 && take == chunk_bytes) {
                put_chunk(x, key++, span_until(rest, take));
            } else {
                memcpy(x->chunk + held, rest.ptr, take);
                held += take;
                if (held == chunk_bytes) {
                    put_chunk(x, key++, span_of(x->chunk, held));
                    held = 0;
                }
            }
            rest = span_from(rest, take);
        }
    }
    if (held > 0)
        put_chunk(x, key, span_of(x->chunk, held));
}

bool store_order_delete_body(struct store_step *x, uint64_t body_id)
{
    struct lmdb_cursor c;
    uint64_t key = body_id << CHUNK_BITS;
    unsigned entries = 0;
    bool out_of_budget = false;
    x->cost += COST_BODY;
    lmdb_cursor_open(&c, &x->txn, x->guard->body);
    bool more = lmdb_cursor_seek(&c, span_of(&key, sizeof key));
    while (more && c.key.len == sizeof key) {
        memcpy(&key, c.key.ptr, sizeof key);
        if (key >> CHUNK_BITS != body_id)
            break;
        if (x->cost >= x->budget) {
            out_of_budget = true;
            break;
        }
        x->cost += (c.value.len > IN_LEAF_MAX ? 1u : 0u) +
                   (++entries % ENTRIES_PER_LEAF == 0 ? 1u : 0u);
        lmdb_cursor_del(&c);
        more = lmdb_cursor_next(&c);
    }
    lmdb_cursor_close(&c);
    if (out_of_budget)
        return false;
    del_pending(x, body_id);
    return true;
}

/* As many chunks as the budget allows now, the rest by later transactions. */
static void discard(struct store_step *x, uint64_t body_id)
{
    if (store_order_delete_body(x, body_id))
        return;
    put_pending(x, body_id);
    store_gone_push(x->gone, body_id);
}

/* A record as it stood before: what of it must go. */
struct old {
    struct store_record record;
    uint64_t far_id; /* 0: none */
};

static bool read_old(struct span bytes, struct old *out)
{
    size_t far_bytes;
    if (!store_record_far(bytes, &out->far_id, &far_bytes))
        out->far_id = 0;
    return store_record_decode_near(bytes, &out->record) == ERR_OK;
}

static bool get_old(struct store_step *x, struct hash128 key, struct old *out)
{
    struct key_bytes k = key_of(key);
    struct span value;
    return lmdb_get(&x->txn, x->guard->meta, span_of(k.bytes, sizeof k.bytes), &value) &&
           read_old(value, out);
}

static bool has_body(const struct store_record *r, uint64_t body_id)
{
    for (unsigned i = 0; i < r->rep_count; i++)
        if (r->rep[i].body_id == body_id)
            return true;
    return false;
}

/* Bodies of `old` that `now` (NULL: nothing) has no more are kept for readers, and told. */
static void release_bodies(struct store_step *x, const struct old *old,
                           const struct store_record *now, uint64_t *out, unsigned *out_count)
{
    for (unsigned i = 0; i < old->record.rep_count; i++) {
        uint64_t id = old->record.rep[i].body_id;
        if (now && has_body(now, id))
            continue;
        put_pending(x, id);
        out[(*out_count)++] = id;
    }
    if (old->far_id) /* read only together with its record: nobody is in it */
        discard(x, old->far_id);
}

/* The bytes of a record, its far block already in the body database. */
static enum err encode(struct store_step *x, const struct store_record *r,
                       uint8_t out[STORE_RECORD_MAX], size_t *out_len)
{
    size_t far_bytes = store_record_far_bytes(r);
    if (far_bytes > STORE_FAR_MAX)
        return ERR_LIMIT;
    uint64_t far_id = far_bytes ? atomic_fetch_add(x->next_id, 1) : 0;
    enum err err = store_record_encode(r, far_id, out, out_len, x->far, STORE_FAR_MAX);
    if (err == ERR_OK && far_bytes) {
        struct span far = span_of(x->far, far_bytes);
        put_chunks(x, far_id, 0, &far, 1);
    }
    return err;
}

static void apply_put(struct store_step *x, struct store_put *p)
{
    struct store_body *b = p->body;
    uint8_t bytes[STORE_RECORD_MAX];
    size_t len = 0;
    p->replaced_count = 0;
    if (b && (b->failed || b->era != x->era)) {
        store_order_fail(&p->job, ERR_CLOSED);
        return;
    }
    if (p->record) {
        struct store_record r = *p->record;
        for (unsigned i = 0; b && i < r.rep_count && i < STORE_REPS; i++) {
            if (r.rep[i].body_id == b->body_id) {
                r.rep[i].bytes = b->bytes;
                r.rep[i].xxh3 = b->xxh3;
            }
        }
        enum err err = encode(x, &r, bytes, &len);
        if (err != ERR_OK) {
            store_order_fail(&p->job, err);
            return;
        }
    }
    x->cost++;
    if (b)
        put_chunks(x, b->body_id, p->at, p->piece, p->piece_count);
    if (!p->record) {
        if (p->at == 0)
            put_pending(x, b->body_id);
        return;
    }
    struct key_bytes k = key_of(p->key);
    struct span key = span_of(k.bytes, sizeof k.bytes), value = span_of(bytes, len), present;
    struct old old;
    x->cost += COST_RECORD + (len > IN_LEAF_MAX ? 1u : 0u);
    if (p->at > 0)
        del_pending(x, b->body_id);
    if (lmdb_put_new(&x->txn, x->guard->meta, key, value, &present) || x->txn.err != ERR_OK)
        return;
    bool known = read_old(present, &old);
    lmdb_put(&x->txn, x->guard->meta, key, value);
    if (known)
        release_bodies(x, &old, p->record, p->replaced, &p->replaced_count);
}

static void apply_rewrite(struct store_step *x, struct store_rewrite *w)
{
    struct old old;
    uint8_t bytes[STORE_RECORD_MAX];
    size_t len;
    w->replaced_count = 0;
    x->cost += COST_RECORD;
    if (!get_old(x, w->key, &old) || old.record.kind != STORE_OBJECT ||
        old.record.rep[0].body_id != w->made_from) {
        w->job.err = ERR_NOT_FOUND;
        return;
    }
    enum err err = encode(x, w->record, bytes, &len);
    if (err != ERR_OK) {
        w->job.err = err;
        return;
    }
    for (unsigned i = 0; i < w->record->rep_count; i++)
        if (!has_body(&old.record, w->record->rep[i].body_id))
            del_pending(x, w->record->rep[i].body_id);
    struct key_bytes k = key_of(w->key);
    lmdb_put(&x->txn, x->guard->meta, span_of(k.bytes, sizeof k.bytes), span_of(bytes, len));
    x->cost += len > IN_LEAF_MAX ? 1 : 0;
    release_bodies(x, &old, w->record, w->replaced, &w->replaced_count);
}

static void discard_bodies(struct store_step *x, const struct old *old)
{
    for (unsigned i = 0; i < old->record.rep_count; i++)
        discard(x, old->record.rep[i].body_id);
    if (old->far_id)
        discard(x, old->far_id);
}

/* The record under a key if it has that body; takes it away. */
static bool take_record(struct store_step *x, struct hash128 key, uint64_t body_id,
                        struct old *out)
{
    x->cost += COST_RECORD;
    if (!get_old(x, key, out))
        return false;
    uint64_t has = out->record.kind == STORE_OBJECT ? out->record.rep[0].body_id : 0;
    if (has != body_id)
        return false;
    struct key_bytes k = key_of(key);
    return lmdb_del(&x->txn, x->guard->meta, span_of(k.bytes, sizeof k.bytes));
}

bool store_order_erase(struct store_step *x, struct hash128 key, uint64_t body_id)
{
    struct old old;
    if (!take_record(x, key, body_id, &old))
        return false;
    discard_bodies(x, &old);
    return true;
}

/* The far block of a record into `room`; one that is not whole ends early. */
static struct span get_far(struct store_step *x, uint64_t far_id, size_t bytes, char *room)
{
    struct span chunk;
    size_t at = 0;
    for (uint64_t key = far_id << CHUNK_BITS; at < bytes; key++, at += chunk.len) {
        if (!lmdb_get(&x->txn, x->guard->body, span_of(&key, sizeof key), &chunk) ||
            chunk.len > bytes - at)
            break;
        memcpy(room + at, chunk.ptr, chunk.len);
    }
    return span_of(room, at);
}

/* Its record again with fewer reps. False: it cannot be read, or written. */
static bool put_stripped(struct store_step *x, struct hash128 key, struct span near,
                         const struct store_record *stripped)
{
    struct store_record r;
    uint8_t bytes[STORE_RECORD_MAX];
    uint64_t far_id = 0;
    size_t len, far_bytes = 0;
    struct key_bytes k = key_of(key);
    (void)store_record_far(near, &far_id, &far_bytes);
    char *room = must_alloc(far_bytes + 1);
    struct span far = get_far(x, far_id, far_bytes, room);
    bool ok = store_record_decode(near, far, &r) == ERR_OK;
    if (ok) {
        r.rep_count = stripped->rep_count;
        memcpy(r.rep, stripped->rep, sizeof r.rep);
        ok = encode(x, &r, bytes, &len) == ERR_OK;
    }
    if (ok)
        lmdb_put(&x->txn, x->guard->meta, span_of(k.bytes, sizeof k.bytes),
                 span_of(bytes, len));
    if (ok && far_id)
        discard(x, far_id);
    free(room);
    return ok;
}

bool store_order_strip(struct store_step *x, struct hash128 key, uint64_t body_id,
                       uint64_t below_id)
{
    struct key_bytes k = key_of(key);
    char near[STORE_RECORD_MAX]; /* what is read moves as the transaction writes */
    struct span value;
    struct old old;
    x->cost += COST_RECORD + 1;
    if (!lmdb_get(&x->txn, x->guard->meta, span_of(k.bytes, sizeof k.bytes), &value) ||
        value.len > sizeof near)
        return false;
    memcpy(near, value.ptr, value.len);
    value = span_of(near, value.len);
    if (!read_old(value, &old) || old.record.kind != STORE_OBJECT ||
        old.record.rep[0].body_id != body_id)
        return false;
    struct store_record r = old.record;
    r.rep_count = 1;
    for (unsigned i = 1; i < old.record.rep_count; i++)
        if (old.record.rep[i].body_id >= below_id)
            r.rep[r.rep_count++] = old.record.rep[i];
    if (r.rep_count == old.record.rep_count || !put_stripped(x, key, value, &r))
        return false;
    for (unsigned i = 1; i < old.record.rep_count; i++)
        if (!has_body(&r, old.record.rep[i].body_id))
            discard(x, old.record.rep[i].body_id);
    return true;
}

static void apply_remove(struct store_step *x, struct store_remove *r)
{
    struct old old;
    r->replaced_count = 0;
    if (!take_record(x, r->key, r->body_id, &old))
        r->job.err = ERR_NOT_FOUND;
    else if (r->keep_bodies)
        release_bodies(x, &old, NULL, r->replaced, &r->replaced_count);
    else
        discard_bodies(x, &old);
}

/* Its bodies cannot be known; they go when the store is next emptied. */
static void apply_remove_damaged(struct store_step *x, struct store_remove *r)
{
    struct key_bytes k = key_of(r->key);
    struct span key = span_of(k.bytes, sizeof k.bytes), value;
    struct old old;
    x->cost += COST_RECORD;
    if (lmdb_get(&x->txn, x->guard->meta, key, &value) &&
        (!read_old(value, &old) || old.far_id))
        (void)lmdb_del(&x->txn, x->guard->meta, key);
}

void store_order_apply(struct store_step *x, struct store_job *job)
{
    if (job->err != ERR_OK)
        return; /* refused before, or failed with its body */
    switch ((enum store_verb)job->verb) {
    case STORE_VERB_PUT:
        apply_put(x, CONTAINER_OF(job, struct store_put, job));
        break;
    case STORE_VERB_REWRITE:
        apply_rewrite(x, CONTAINER_OF(job, struct store_rewrite, job));
        break;
    case STORE_VERB_REMOVE:
        apply_remove(x, CONTAINER_OF(job, struct store_remove, job));
        break;
    case STORE_VERB_REMOVE_DAMAGED:
        apply_remove_damaged(x, CONTAINER_OF(job, struct store_remove, job));
        break;
    case STORE_VERB_DROP:
        discard(x, CONTAINER_OF(job, struct store_drop, job)->body_id);
        break;
    case STORE_VERB_READ:
    case STORE_VERB_LOAD:
        must(false); /* an order of the readers */
    }
}
