#include "cache/memory/deposit.h"

#include <stdlib.h>

#include "base/counter.h"
#include "cache/memory/epoch.h"
#include "cache/memory/evict.h"
#include "cache/memory/fill.h"
#include "cache/memory/form.h"
#include "cache/memory/index.h"
#include "cache/memory/pin.h"
#include "cache/memory/slab.h"
#include "cache/memory/tier.h"

static bool store_is_on(struct memory_tier *t)
{
    return t->store && atomic_load_explicit(&t->store_on, memory_order_relaxed);
}

static void doom_all(struct memory_tier *t, const uint64_t *body_ids, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        memory_pin_doom(t->pins, body_ids[i]);
}

static uint16_t flags_of(const struct memory_object *o)
{
    unsigned marks = atomic_load_explicit(&o->marks, memory_order_relaxed);
    bool stale = atomic_load_explicit(&o->soft_purged, memory_order_relaxed);
    return (uint16_t)((stale ? STORE_RECORD_STALE : 0) |
                      (marks & MEMORY_MARK_DENSE ? STORE_RECORD_DENSE : 0) |
                      (marks & MEMORY_MARK_BROKEN ? STORE_RECORD_BROKEN : 0));
}

static struct store_rep rep_of(const struct memory_object *o)
{
    return (struct store_rep){
        .encoding = o->encoding,
        .flags =
            (uint8_t)((o->derived ? STORE_REP_DERIVED : 0) | (o->best ? STORE_REP_BEST : 0)),
        .body_id = o->body_id,
        .bytes = o->body_bytes > 0 ? (uint64_t)o->body_bytes : 0,
        .xxh3 = atomic_load_explicit(&o->body_xxh3, memory_order_acquire),
    };
}

static bool form_on_disk(const struct memory_object *form)
{
    return form->body_id && atomic_load_explicit(&form->on_disk, memory_order_acquire);
}

static void describe(const struct memory_object *o, struct store_record *out)
{
    *out = (struct store_record){
        .kind = STORE_OBJECT,
        .flags = flags_of(o),
        .fill_no = o->fill_no,
        .key = o->key_text,
        .vary = o->vary_text,
        .status = o->status,
        .facts = o->facts,
        .head = o->head_text,
        .rep_count = 1,
        .tag_count = (uint8_t)o->tag_count,
    };
    _Static_assert(MEMORY_FORMS < STORE_REPS, "an object with its forms is one record");
    out->rep[0] = rep_of(o);
    for (uint8_t i = 0; i < o->form_count; i++)
        if (form_on_disk(o->form[i]))
            out->rep[out->rep_count++] = rep_of(o->form[i]);
    if (o->tag_count)
        memcpy(out->tag_hash, o->tag_hash, o->tag_count * sizeof(uint64_t));
}

/* --- taking away --- */

struct removal {
    struct store_remove remove;
    struct memory_tier *tier;
};

static void removed(struct store_job *job)
{
    struct removal *r = CONTAINER_OF(job, struct removal, remove.job);
    if (job->err == ERR_OK)
        doom_all(r->tier, r->remove.replaced, r->remove.replaced_count);
    free(r);
}

void memory_deposit_remove(struct memory_tier *t, struct hash128 key, uint64_t body_id)
{
    if (!store_is_on(t))
        return;
    struct removal *r = must_alloc(sizeof(*r));
    r->tier = t;
    r->remove.job.done = removed;
    r->remove.key = key;
    r->remove.body_id = body_id;
    r->remove.keep_bodies = true;
    if (store_remove(t->store, &r->remove) != ERR_OK)
        free(r);
}

void memory_deposit_forget(struct memory_object *o)
{
    struct memory_place p;
    memory_place_open(o->tier->index, o->key, &p);
    bool is =
        (memory_place_kind(&p) == MEMORY_OBJECT &&
         memory_object_same_body(memory_place_object(&p), o)) ||
        (memory_place_kind(&p) == MEMORY_DISK && memory_place_disk(&p).body_id == o->body_id);
    if (is)
        memory_place_remove(&p);
    memory_place_close(&p);
    if (o->body_id)
        memory_deposit_remove(o->tier, o->key, o->body_id);
}

static uint64_t under_body(const struct memory_fill *f)
{
    if (f->under && atomic_load_explicit(&f->under->on_disk, memory_order_acquire))
        return f->under->body_id;
    return f->under_disk.body_id;
}

void memory_deposit_restore(struct memory_fill *f, bool keep_under)
{
    struct memory_fill *entry = memory_fill_entry(f);
    struct memory_place p;
    memory_place_open(f->tier->index, entry->key, &p);
    bool is = memory_place_kind(&p) == MEMORY_FILL && memory_place_fill(&p) == entry;
    bool own = entry == f; /* by a door one has left what lay under the fill */
    if (is && keep_under && own && f->under)
        memory_place_set_object(&p, f->under);
    else if (is && keep_under && own && f->under_disk.body_id)
        memory_place_set_disk(&p, &f->under_disk);
    else if (is)
        memory_place_remove(&p);
    memory_place_close(&p);
    if (is && !keep_under && own && under_body(f))
        memory_deposit_remove(f->tier, entry->key, under_body(f));
    memory_fill_close_door(f);
}

/* --- the record anew --- */

struct rewrite {
    struct store_rewrite order;
    struct store_record record;
    struct memory_object *object; /* held */
    struct memory_object *added;  /* one of its forms, or NULL */
    atomic_uint *under_way;
};

/* A body that is in no record would stay on disk until a restart. */
static void not_rewritten(struct rewrite *r)
{
    if (!r->added)
        return;
    memory_form_forget(r->added);
    memory_pin_doom(r->object->tier->pins, r->added->body_id);
}

static void let_rewrite_go(struct rewrite *r)
{
    if (r->under_way)
        atomic_fetch_sub(r->under_way, 1);
    memory_object_drop(r->object);
    free(r);
}

static void rewritten(struct store_job *job)
{
    struct rewrite *r = CONTAINER_OF(job, struct rewrite, order.job);
    if (job->err == ERR_OK)
        doom_all(r->object->tier, r->order.replaced, r->order.replaced_count);
    else
        not_rewritten(r);
    let_rewrite_go(r);
}

static void post_rewrite(struct memory_object *o, struct memory_object *added,
                         atomic_uint *under_way)
{
    struct memory_tier *t = o->tier;
    if (!store_is_on(t) || !atomic_load_explicit(&o->on_disk, memory_order_acquire))
        return;
    struct rewrite *r = must_alloc(sizeof(*r));
    r->object = memory_object_hold(o);
    r->added = added;
    r->under_way = under_way;
    if (under_way)
        atomic_fetch_add(under_way, 1);
    describe(o, &r->record);
    r->order.job.done = rewritten;
    r->order.key = o->key;
    r->order.made_from = o->body_id;
    r->order.record = &r->record;
    if (store_rewrite(t->store, &r->order) != ERR_OK)
        let_rewrite_go(r); /* the store is off, and will be emptied; or stops */
}

void memory_deposit_rewrite(struct memory_object *o, atomic_uint *under_way)
{
    post_rewrite(o, NULL, under_way);
}

/* --- putting --- */

/* The body of `there` is on disk now; at its place. Perhaps a merged 304 or a form came
 * meanwhile: the same body in a newer version. */
static void note_stored(const struct memory_deposit *d, struct memory_object *there)
{
    atomic_store_explicit(&there->body_xxh3, d->put.body->xxh3, memory_order_release);
    atomic_store_explicit(&there->on_disk, true, memory_order_release);
    if (there != d->object || flags_of(there) != d->record.flags)
        post_rewrite(there, NULL, NULL);
}

static void place_deposited(struct memory_deposit *d, bool ok)
{
    struct memory_object *o = d->object;
    struct memory_fill *entry = d->fill ? memory_fill_entry(d->fill) : NULL;
    struct memory_place p;
    memory_place_open(o->tier->index, o->key, &p);
    switch (memory_place_kind(&p)) {
    case MEMORY_OBJECT: {
        struct memory_object *there = memory_place_object(&p);
        if (!ok || !memory_object_same_body(there, o))
            break;
        note_stored(d, there);
        memory_place_stored(&p);
        break;
    }
    case MEMORY_FILL: {
        struct memory_object *under = memory_place_fill(&p)->under;
        if (memory_place_fill(&p) != entry) {
            if (ok && under && memory_object_same_body(under, o))
                note_stored(d, under);
            break;
        }
        if (ok)
            memory_place_set_object(&p, o);
        else
            memory_place_remove(&p);
        break;
    }
    case MEMORY_NOTHING:
    case MEMORY_ABSENT:
        if (ok) {
            struct memory_disk disk = memory_index_disk(o->tier, o);
            memory_place_set_disk(&p, &disk);
        }
        break;
    case MEMORY_DISK:
    case MEMORY_VARY:
    case MEMORY_PRIVATE:
        break;
    }
    memory_place_close(&p);
}

static void let_go(struct memory_deposit *d, bool ok)
{
    if (!ok && d->old_body_id)
        memory_deposit_remove(d->object->tier, d->object->key, d->old_body_id);
    if (d->fill)
        memory_fill_close_door(d->fill);
    memory_slab_drop(d->slab);
    memory_fill_drop(d->fill);
    store_body_fini(&d->body);
    memory_object_drop(d->object);
    free(d);
}

static void deposited(struct store_job *job)
{
    struct memory_deposit *d = CONTAINER_OF(job, struct memory_deposit, put.job);
    struct memory_tier *t = d->object->tier;
    bool ok = job->err == ERR_OK;
    if (ok) {
        atomic_store_explicit(&d->object->body_xxh3, d->put.body->xxh3, memory_order_release);
        atomic_store_explicit(&d->object->on_disk, true, memory_order_release);
        doom_all(t, d->put.replaced, d->put.replaced_count);
    }
    if (d->fill)
        memory_fill_last_done(d->fill, ok);
    place_deposited(d, ok);
    let_go(d, ok);
    memory_evict(t);
}

/* The put is under way, or has failed by now. */
static void post(struct memory_fill *f, struct memory_object *o)
{
    struct memory_tier *t = f->tier;
    struct memory_deposit *d = must_alloc(sizeof(*d));
    d->object = memory_object_hold(o);
    d->fill = memory_fill_hold(f);
    d->old_body_id = under_body(f);
    d->put.job.done = deposited;
    d->put.key = o->key;
    d->put.record = &d->record;
    describe(o, &d->record);
    bool go = o->body_in_memory ? memory_fill_whole_put(f, d) : memory_fill_last_put(f, d);
    enum err e = go ? store_put(t->store, &d->put) : ERR_CLOSED;
    if (e == ERR_OK)
        return;
    counter_add(COUNTER_CACHE_NOT_STORED_BUSY, 1);
    if (go)
        memory_fill_last_done(f, false);
    place_deposited(d, false);
    let_go(d, false);
}

static bool goes_to_disk(struct memory_tier *t, const struct memory_object *o)
{
    uint64_t bytes = o->body_bytes > 0 ? (uint64_t)o->body_bytes : 0;
    return store_is_on(t) && o->body_id && bytes <= t->object_max_bytes &&
           !store_too_long(t->store, bytes);
}

void memory_deposit_used(struct memory_object *o)
{
    struct memory_tier *t = o->tier;
    if (!atomic_load_explicit(&o->waits, memory_order_relaxed))
        return;
    atomic_store_explicit(&o->waits, false, memory_order_relaxed);
    if (!goes_to_disk(t, o))
        return;
    struct memory_deposit *d = must_alloc(sizeof(*d));
    d->object = memory_object_hold(o);
    store_body_begin_as(t->store, &d->body, o->body_id);
    d->piece = o->body;
    d->put = (struct store_put){.job.done = deposited,
                                .body = &d->body,
                                .piece = &d->piece,
                                .piece_count = d->piece.len ? 1 : 0,
                                .record = &d->record,
                                .key = o->key};
    describe(o, &d->record);
    if (store_put(t->store, &d->put) == ERR_OK)
        return;
    counter_add(COUNTER_CACHE_NOT_STORED_BUSY, 1);
    let_go(d, false);
}

/* The key's first object here, and another node has it: who asks for it once need not cost a
 * write. A body that is too large for RAM goes to disk as it comes. */
static bool waits_for_use(const struct memory_fill *f, const struct memory_object *o)
{
    return f->elsewhere && o->body_in_memory && !f->under && !under_body(f);
}

bool memory_deposit_fill(struct memory_fill *f, struct memory_object *o,
                         struct memory_names *names)
{
    struct memory_tier *t = f->tier;
    struct memory_fill *entry = memory_fill_entry(f);
    enum memory_purged purged = memory_epoch_check(t->epoch, names, o->fill_no, NULL);
    if (purged == MEMORY_PURGED_SOFT)
        atomic_store_explicit(&o->soft_purged, true, memory_order_relaxed);
    bool disk = goes_to_disk(t, o);
    bool keep = purged != MEMORY_PURGED_HARD && (o->body_in_memory || disk);
    bool later = disk && waits_for_use(f, o);
    atomic_store_explicit(&o->waits, later, memory_order_relaxed);
    struct memory_place p;
    memory_place_open(t->index, entry->key, &p);
    bool is = memory_place_kind(&p) == MEMORY_FILL && memory_place_fill(&p) == entry;
    if (is && !keep)
        memory_place_remove(&p);
    else if (is && o->body_in_memory)
        memory_place_set_object(&p, o);
    memory_place_close(&p);
    if (is && keep)
        counter_add(COUNTER_CACHE_STORED, 1);
    if (is && keep && disk && !later) {
        post(f, o);
    } else {
        memory_fill_unstore(f);
        if (is && under_body(f))
            memory_deposit_remove(t, f->key, under_body(f));
        memory_fill_close_door(f);
    }
    memory_evict(t);
    return is && keep;
}

/* --- another version --- */

/* What became known of `old` while `o` was made of it; at its place. Here, because a put of the
 * body that ends now looks for `o` there next. */
static void carry_over(struct memory_object *old, struct memory_object *o)
{
    bool on = atomic_load_explicit(&old->on_disk, memory_order_acquire);
    atomic_store_explicit(&o->body_xxh3,
                          atomic_load_explicit(&old->body_xxh3, memory_order_acquire),
                          memory_order_release);
    atomic_store_explicit(&o->on_disk, on, memory_order_release);
    atomic_store_explicit(&o->waits, atomic_exchange(&old->waits, false), memory_order_relaxed);
    atomic_fetch_or_explicit(&o->marks, atomic_load_explicit(&old->marks, memory_order_relaxed),
                             memory_order_relaxed);
    atomic_store_explicit(&o->hits, atomic_load_explicit(&old->hits, memory_order_relaxed),
                          memory_order_relaxed);
    for (uint8_t i = 0; i < o->form_count; i++) {
        for (uint8_t k = 0; k < old->form_count; k++) {
            if (!memory_object_same_body(o->form[i], old->form[k]))
                continue;
            on = atomic_load_explicit(&old->form[k]->on_disk, memory_order_acquire);
            atomic_store_explicit(&o->form[i]->on_disk, on, memory_order_release);
        }
    }
}

bool memory_deposit_merged(struct memory_fill *f, struct memory_object *old,
                           struct memory_object *o)
{
    struct memory_tier *t = o->tier;
    struct memory_place p;
    memory_place_open(t->index, o->key, &p);
    bool is = false;
    if (f && memory_place_kind(&p) == MEMORY_FILL)
        is = memory_place_fill(&p) == f;
    else if (!f && memory_place_kind(&p) == MEMORY_OBJECT)
        is = memory_place_object(&p) == old;
    carry_over(old, o);
    if (is) {
        memory_place_set_object(&p, o);
        post_rewrite(o, NULL, NULL);
    }
    memory_place_close(&p);
    memory_evict(t);
    return is;
}

bool memory_deposit_version(struct memory_object *old, struct memory_object *o,
                            struct memory_object *added, bool rewrite)
{
    struct memory_place p;
    memory_place_open(o->tier->index, o->key, &p);
    bool is = memory_place_kind(&p) == MEMORY_OBJECT && memory_place_object(&p) == old;
    if (is) {
        carry_over(old, o);
        /* A merged 304 is newer than a purge; this is not. */
        if (atomic_load_explicit(&old->soft_purged, memory_order_relaxed))
            atomic_store_explicit(&o->soft_purged, true, memory_order_relaxed);
        memory_place_set_object(&p, o);
        if (rewrite)
            post_rewrite(o, added, NULL);
    }
    memory_place_close(&p);
    return is;
}

/* --- the names of Vary --- */

struct vary {
    struct store_put put;
    struct store_record record;
    char text[];
};

static void vary_put(struct store_job *job)
{
    free(CONTAINER_OF(job, struct vary, put.job));
}

void memory_deposit_vary(struct memory_tier *t, struct hash128 key, struct span primary,
                         const struct memory_vary *vary)
{
    struct span names = vary->names;
    if (!store_is_on(t))
        return;
    struct vary *v = must_alloc(sizeof(*v) + primary.len + names.len);
    memcpy(v->text, primary.ptr, primary.len);
    memcpy(v->text + primary.len, names.ptr, names.len);
    v->record = (struct store_record){
        .kind = STORE_VARY,
        .fill_no = memory_epoch_now(t->epoch),
        .key = span_of(v->text, primary.len),
        .vary = span_of(v->text + primary.len, names.len),
        .variants = memory_vary_mark(vary),
    };
    v->put.job.done = vary_put;
    v->put.key = key;
    v->put.record = &v->record;
    if (store_put(t->store, &v->put) != ERR_OK)
        free(v);
}
