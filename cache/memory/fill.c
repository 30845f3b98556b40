#include "cache/memory/fill.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/counter.h"
#include "cache/memory/deposit.h"
#include "cache/memory/object.h"
#include "cache/memory/pin.h"
#include "cache/memory/slab.h"
#include "cache/memory/tier.h"

struct memory_fill *memory_fill_create(struct memory_tier *t, enum memory_fill_kind kind,
                                       struct hash128 key, struct memory_object *under,
                                       const struct memory_disk *under_disk)
{
    struct memory_fill *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    atomic_init(&f->holders, 1);
    f->tier = t;
    f->kind = kind;
    f->key = key;
    if (under)
        f->under = memory_object_hold(under);
    if (under_disk)
        f->under_disk = *under_disk;
    pthread_mutex_init(&f->lock, NULL);
    arena_init(&f->arena, MEMORY_INTERIM_BYTES);
    f->to_leader = f->to_waiters = f->to_door = MEMORY_HEAD_WAIT;
    atomic_fetch_add_explicit(&t->fills, 1, memory_order_relaxed);
    return f;
}

struct memory_fill *memory_fill_hold(struct memory_fill *f)
{
    atomic_fetch_add_explicit(&f->holders, 1, memory_order_relaxed);
    return f;
}

static void drop_slabs(struct memory_fill *f)
{
    for (struct memory_slab *next; f->first; f->first = next) {
        next = f->first->next;
        memory_slab_drop(f->first);
    }
    f->last = NULL;
}

void memory_fill_drop(struct memory_fill *f)
{
    while (f && atomic_fetch_sub_explicit(&f->holders, 1, memory_order_acq_rel) == 1) {
        struct memory_fill *source = f->source;
        must(!f->readers && !f->puts);
        memory_fill_drop(f->door);
        memory_object_drop(f->under);
        memory_object_drop(f->answer);
        memory_object_drop(atomic_load_explicit(&f->head, memory_order_relaxed));
        drop_slabs(f);
        store_body_fini(&f->body);
        arena_fini(&f->arena);
        pthread_mutex_destroy(&f->lock);
        atomic_fetch_sub_explicit(&f->tier->fills, 1, memory_order_relaxed);
        free(f);
        f = source;
    }
}

bool memory_fill_add_door(struct memory_fill *f, struct hash128 key)
{
    struct memory_fill *door = memory_fill_create(f->tier, f->kind, key, NULL, NULL);
    if (!door)
        return false;
    door->source = memory_fill_hold(f);
    f->door = door;
    return true;
}

void memory_fill_close_door(struct memory_fill *f)
{
    struct memory_fill *door = f->door;
    f->door = NULL;
    memory_fill_drop(door);
}

/* --- waking --- */

static void wake_readers(struct memory_fill *f)
{
    for (struct memory_reader *r = f->readers; r; r = r->next)
        memory_fill_wake_reader(r);
}

static void post_writer(struct memory_fill *f)
{
    if (!f->writer.letter || f->writer_posted)
        return;
    f->writer_posted = true;
    letter_post(f->writer.mailbox, f->writer.letter, f->writer.open);
}

void memory_fill_set_writer(struct memory_fill *f, const struct memory_writer *w)
{
    pthread_mutex_lock(&f->lock);
    f->writer = *w;
    pthread_mutex_unlock(&f->lock);
}

void memory_fill_writer_opened(struct memory_fill *f)
{
    pthread_mutex_lock(&f->lock);
    f->writer_posted = false;
    pthread_mutex_unlock(&f->lock);
}

bool memory_fill_writer_leave(struct memory_fill *f)
{
    pthread_mutex_lock(&f->lock);
    bool posted = f->writer_posted;
    f->writer = (struct memory_writer){0};
    pthread_mutex_unlock(&f->lock);
    return posted;
}

/* --- answers --- */

static bool copy_fields(struct arena *a, const struct http_fields *from, struct http_fields *to)
{
    for (uint32_t i = 0; i < from->count; i++) {
        struct span name, value;
        if (!arena_copy(a, from->at[i].name, &name) ||
            !arena_copy(a, from->at[i].value, &value) || !http_fields_add(to, a, name, value))
            return false;
    }
    return true;
}

void memory_fill_interim(struct memory_fill *f, const struct http_response *r)
{
    pthread_mutex_lock(&f->lock);
    struct memory_interim *i = arena_zalloc(&f->arena, sizeof(*i));
    if (i) {
        i->response.status = r->status;
        i->response.version = r->version;
        i->response.body_absent = true;
    }
    if (i && copy_fields(&f->arena, &r->fields, &i->response.fields)) {
        struct memory_interim **end = &f->interims;
        while (*end)
            end = &(*end)->next;
        *end = i;
        wake_readers(f);
    }
    pthread_mutex_unlock(&f->lock);
}

void memory_fill_show(struct memory_fill *f, struct memory_object *o)
{
    struct memory_place p;
    memory_place_open(f->tier->index, memory_fill_entry(f)->key, &p);
    struct memory_object *old = atomic_exchange(&f->head, memory_object_hold(o));
    memory_place_close(&p);
    memory_object_drop(old);
}

void memory_fill_head(struct memory_fill *f, struct memory_object *o, enum memory_head waiters,
                      enum memory_head by_door, bool store)
{
    pthread_mutex_lock(&f->lock);
    must(f->to_leader == MEMORY_HEAD_WAIT);
    f->answer = memory_object_hold(o);
    f->to_leader = MEMORY_HEAD_READY;
    f->to_waiters = waiters;
    f->to_door = by_door;
    if (o->body_in_memory && o->body.len)
        f->in_place = memory_object_body_room(o);
    f->storing = store && !f->in_place;
    wake_readers(f);
    pthread_mutex_unlock(&f->lock);
}

static void answer(struct memory_fill *f, enum memory_head leader, enum memory_head waiters,
                   struct memory_object *o, unsigned failure)
{
    pthread_mutex_lock(&f->lock);
    must(f->to_leader == MEMORY_HEAD_WAIT);
    f->answer = o ? memory_object_hold(o) : NULL;
    f->answer_whole = true;
    f->to_leader = leader;
    f->to_waiters = f->to_door = waiters;
    f->failure = failure;
    f->ended = true;
    wake_readers(f);
    pthread_mutex_unlock(&f->lock);
}

void memory_fill_answer(struct memory_fill *f, enum memory_head answer_is,
                        struct memory_object *o, unsigned failure)
{
    answer(f, answer_is, answer_is, o, failure);
}

void memory_fill_answer_leader(struct memory_fill *f, struct memory_object *o,
                               enum memory_head others)
{
    answer(f, MEMORY_HEAD_READY, others, o, 0);
}

/* --- the window --- */

static uint64_t held(const struct memory_fill *f)
{
    return atomic_load_explicit(&f->length, memory_order_relaxed) - f->begin;
}

/* Read by one only: a private fill, or one that turned out to be nobody else's. */
static bool is_alone(const struct memory_fill *f)
{
    return f->kind == MEMORY_FILL_PRIVATE || f->to_waiters == MEMORY_HEAD_ALONE;
}

/* Nothing is let go before it is known whether the body goes to the store. */
_Static_assert(MEMORY_BODY_MAX <= MEMORY_WINDOW_BYTES / 2, "a body of unknown length");

static uint64_t window(const struct memory_fill *f)
{
    return is_alone(f) ? MEMORY_WINDOW_PRIVATE_BYTES : MEMORY_WINDOW_BYTES;
}

static bool all_passed(const struct memory_fill *f, uint64_t at)
{
    for (const struct memory_reader *r = f->readers; r; r = r->next)
        if (!r->cut && r->seen_at < at)
            return false;
    return true;
}

static bool may_go(struct memory_fill *f, const struct memory_slab *s)
{
    if (s->at + s->len <= f->committed)
        return held(f) > window(f) / 2;
    if (f->storing || s->posted || (s->len < s->room && !f->ended))
        return false;
    if (is_alone(f))
        return f->led && all_passed(f, s->at + s->len);
    return held(f) > window(f) / 2 && all_passed(f, s->at + s->len);
}

static void trim(struct memory_fill *f)
{
    while (f->first && may_go(f, f->first)) {
        struct memory_slab *s = f->first;
        f->begin = s->at + s->len;
        if (f->begin > f->committed)
            atomic_store_explicit(&f->closed, true, memory_order_release);
        f->first = s->next;
        if (!f->first)
            f->last = NULL;
        memory_slab_drop(s);
    }
    if (f->writer_waits && held(f) <= window(f) * 3 / 4) {
        f->writer_waits = false;
        post_writer(f);
    }
}

static void unstore(struct memory_fill *f)
{
    f->storing = false;
    if (f->puts == 0 && f->put_once) {
        f->put_once = false;
        memory_pin_doom(f->tier->pins, f->body.body_id);
    }
}

void memory_fill_unstore(struct memory_fill *f)
{
    pthread_mutex_lock(&f->lock);
    unstore(f);
    trim(f);
    pthread_mutex_unlock(&f->lock);
}

static void slab_stored(struct store_job *job)
{
    struct memory_slab *s = CONTAINER_OF(job, struct memory_slab, put.job);
    struct memory_fill *f = s->fill;
    pthread_mutex_lock(&f->lock);
    f->puts--;
    s->posted = false;
    if (job->err == ERR_OK)
        f->committed = s->at + s->len;
    else if (f->storing)
        counter_add(COUNTER_CACHE_NOT_STORED_BUSY, 1);
    if (job->err != ERR_OK || !f->storing)
        unstore(f);
    trim(f);
    pthread_mutex_unlock(&f->lock);
    memory_slab_drop(s);
    memory_fill_drop(f);
}

/* A full slab goes to the store. A store that takes no more is no reason to stop serving. */
static void post_slab(struct memory_fill *f, struct memory_slab *s)
{
    s->fill = memory_fill_hold(f);
    memory_slab_hold(s);
    s->posted = true;
    s->piece = span_of(s->bytes, s->len);
    s->put = (struct store_put){.job.done = slab_stored,
                                .body = &f->body,
                                .at = s->at,
                                .piece = &s->piece,
                                .piece_count = 1};
    f->puts++;
    f->put_once = true;
    if (store_put(f->tier->store, &s->put) == ERR_OK)
        return;
    counter_add(COUNTER_CACHE_NOT_STORED_BUSY, 1);
    f->puts--;
    s->posted = false;
    unstore(f);
    memory_slab_drop(s);
    atomic_fetch_sub_explicit(&f->holders, 1, memory_order_relaxed); /* the writer has one */
}

void memory_fill_store(struct memory_fill *f)
{
    pthread_mutex_lock(&f->lock);
    f->storing = f->begin == 0 && !f->in_place;
    for (struct memory_slab *s = f->first; s && f->storing; s = s->next)
        if (s->len == s->room)
            post_slab(f, s);
    pthread_mutex_unlock(&f->lock);
}

bool memory_fill_last_put(struct memory_fill *f, struct memory_deposit *d)
{
    pthread_mutex_lock(&f->lock);
    bool ok = f->storing;
    struct memory_slab *s = f->last;
    if (ok && s && !s->posted && s->at + s->len > f->committed) {
        s->posted = true;
        d->slab = memory_slab_hold(s);
        d->piece = span_of(s->bytes, s->len);
        d->put.at = s->at;
        d->put.piece = &d->piece;
        d->put.piece_count = 1;
    } else {
        d->put.at = atomic_load_explicit(&f->length, memory_order_relaxed);
    }
    if (ok) {
        d->put.body = &f->body;
        f->puts++;
        f->put_once = true;
    }
    pthread_mutex_unlock(&f->lock);
    return ok;
}

bool memory_fill_whole_put(struct memory_fill *f, struct memory_deposit *d)
{
    pthread_mutex_lock(&f->lock);
    d->piece = d->object->body;
    d->put.body = &f->body;
    d->put.piece = &d->piece;
    d->put.piece_count = d->piece.len ? 1 : 0;
    f->puts++;
    f->put_once = true;
    pthread_mutex_unlock(&f->lock);
    return true;
}

void memory_fill_last_done(struct memory_fill *f, bool ok)
{
    pthread_mutex_lock(&f->lock);
    f->puts--;
    if (ok) {
        f->committed = atomic_load_explicit(&f->length, memory_order_relaxed);
        f->put_once = false;
    } else {
        unstore(f);
    }
    if (f->last)
        f->last->posted = false;
    trim(f);
    pthread_mutex_unlock(&f->lock);
}

/* --- bytes --- */

static struct memory_slab *last_with_room(struct memory_fill *f)
{
    if (f->last && f->last->len < f->last->room)
        return f->last;
    uint64_t at = atomic_load_explicit(&f->length, memory_order_relaxed);
    struct memory_slab *s = memory_slab_create(f->tier, at);
    if (!s)
        return NULL;
    if (f->last)
        f->last->next = s;
    else
        f->first = s;
    f->last = s;
    return s;
}

/* False: no memory. */
static bool add(struct memory_fill *f, struct span bytes)
{
    while (bytes.len) {
        struct memory_slab *s = last_with_room(f);
        if (!s)
            return false;
        size_t n = s->room - s->len < bytes.len ? s->room - s->len : bytes.len;
        memcpy(s->bytes + s->len, bytes.ptr, n);
        s->len += (uint32_t)n;
        bytes = span_from(bytes, n);
        atomic_fetch_add_explicit(&f->length, n, memory_order_release);
        if (f->storing && s->len == s->room)
            post_slab(f, s);
    }
    return true;
}

static void note_stalled(struct memory_fill *f)
{
    struct memory_tier *t = f->tier;
    if (f->storing || f->stalled || is_alone(f))
        return;
    f->stalled = true;
    pthread_mutex_lock(&t->stalled_lock);
    f->stalled_next = t->stalled;
    t->stalled = memory_fill_hold(f);
    pthread_mutex_unlock(&t->stalled_lock);
}

enum err memory_fill_append(struct memory_fill *f, struct span bytes)
{
    pthread_mutex_lock(&f->lock);
    enum err e = ERR_OK;
    uint64_t length = atomic_load_explicit(&f->length, memory_order_relaxed);
    if (f->in_place) {
        must(bytes.len <= f->answer->body.len - length);
        memcpy(f->in_place + length, bytes.ptr, bytes.len);
        atomic_store_explicit(&f->length, length + bytes.len, memory_order_release);
    } else if (!add(f, bytes)) {
        e = ERR_CLOSED;
    }
    trim(f);
    if (e == ERR_OK && !f->in_place && held(f) >= window(f)) {
        f->writer_waits = true;
        note_stalled(f);
        e = ERR_AGAIN;
    }
    wake_readers(f);
    pthread_mutex_unlock(&f->lock);
    return e;
}

void memory_fill_end(struct memory_fill *f, const struct http_fields *trailers)
{
    pthread_mutex_lock(&f->lock);
    f->ended = true;
    f->writer_waits = false;
    if (trailers && trailers->count) {
        struct http_fields *copy = arena_zalloc(&f->arena, sizeof(*copy));
        if (copy && copy_fields(&f->arena, trailers, copy))
            f->trailers = copy;
    }
    wake_readers(f);
    pthread_mutex_unlock(&f->lock);
}

void memory_fill_fail(struct memory_fill *f, unsigned failure)
{
    pthread_mutex_lock(&f->lock);
    f->ended = true;
    f->writer_waits = false;
    f->failure = failure;
    if (f->to_leader == MEMORY_HEAD_WAIT)
        f->to_leader = f->to_waiters = f->to_door = MEMORY_HEAD_FAILED;
    if (f->storing)
        unstore(f);
    atomic_store_explicit(&f->closed, true, memory_order_release);
    wake_readers(f);
    pthread_mutex_unlock(&f->lock);
}

/* Nobody reads. Worth finishing: what is small, or more than half here. */
static bool worth(const struct memory_fill *f)
{
    uint64_t length = atomic_load_explicit(&f->length, memory_order_relaxed);
    if (f->kind != MEMORY_FILL_SHARED || !f->answer || !f->answer->stored)
        return false;
    if (f->answer->body_bytes == HTTP_LENGTH_UNKNOWN)
        return length < MEMORY_BODY_MAX;
    uint64_t total = (uint64_t)f->answer->body_bytes;
    return total <= MEMORY_BODY_MAX || (f->storing && length >= total / 2);
}

/* Somebody may still come to read. */
static bool is_awaited(const struct memory_fill *f)
{
    if (f->background) /* until its answer turns out to be for one client, who is not there */
        return f->to_leader == MEMORY_HEAD_WAIT || !is_alone(f);
    return !f->led;
}

bool memory_fill_wanted(struct memory_fill *f)
{
    pthread_mutex_lock(&f->lock);
    bool wanted = f->ended || f->reader_count || is_awaited(f) || worth(f);
    if (!wanted) {
        f->given_up = true;
        atomic_store_explicit(&f->closed, true, memory_order_release);
    }
    pthread_mutex_unlock(&f->lock);
    return wanted;
}

bool memory_fill_has_ended(struct memory_fill *f)
{
    pthread_mutex_lock(&f->lock);
    bool ended = f->ended;
    pthread_mutex_unlock(&f->lock);
    return ended;
}

bool memory_fill_copy(struct memory_fill *f, char *out)
{
    pthread_mutex_lock(&f->lock);
    bool all = f->begin == 0;
    for (struct memory_slab *s = f->first; all && s; s = s->next)
        memcpy(out + s->at, s->bytes, s->len);
    pthread_mutex_unlock(&f->lock);
    return all;
}

/* --- readers --- */

void memory_fill_add_reader(struct memory_fill *f, struct memory_reader *r)
{
    r->next = f->readers;
    r->prev = &f->readers;
    if (f->readers)
        f->readers->prev = &r->next;
    f->readers = r;
    f->reader_count++;
    f->led = true;
    r->moved_at_ms = atomic_load_explicit(&f->tier->now_ms, memory_order_relaxed);
}

void memory_fill_remove_reader(struct memory_fill *f, struct memory_reader *r)
{
    *r->prev = r->next;
    if (r->next)
        r->next->prev = r->prev;
    f->reader_count--;
    trim(f);
    if (f->reader_count == 0 && !f->ended)
        post_writer(f);
}

void memory_fill_progress(struct memory_fill *f, struct memory_reader *r)
{
    if (r->seen_at == r->at)
        return;
    r->seen_at = r->at;
    r->moved_at_ms = atomic_load_explicit(&f->tier->now_ms, memory_order_relaxed);
    trim(f);
}

struct memory_slab *memory_fill_slab(struct memory_fill *f, uint64_t at)
{
    for (struct memory_slab *s = f->first; s; s = s->next)
        if (at >= s->at && at < s->at + s->len)
            return memory_slab_hold(s);
    return NULL;
}

static void cut_slow(struct memory_fill *f, int64_t now_ms)
{
    uint64_t first_end = f->first ? f->first->at + f->first->len : 0;
    for (struct memory_reader *r = f->readers; r; r = r->next)
        if (r->seen_at < first_end && now_ms - r->moved_at_ms >= MEMORY_STALL_MS && !r->cut) {
            r->cut = true;
            r->waiting = true; /* it waits for its client, not for us */
            memory_fill_wake_reader(r);
            counter_add(COUNTER_CACHE_CUT_OVER, 1);
        }
}

void memory_fill_check_stalled(struct memory_tier *t)
{
    pthread_mutex_lock(&t->stalled_lock);
    struct memory_fill *list = t->stalled;
    t->stalled = NULL;
    pthread_mutex_unlock(&t->stalled_lock);
    int64_t now_ms = atomic_load_explicit(&t->now_ms, memory_order_relaxed);
    for (struct memory_fill *next; list; list = next) {
        next = list->stalled_next;
        pthread_mutex_lock(&list->lock);
        list->stalled = false;
        if (list->writer_waits && !list->ended) {
            cut_slow(list, now_ms);
            trim(list);
        }
        if (list->writer_waits && !list->ended)
            note_stalled(list);
        pthread_mutex_unlock(&list->lock);
        memory_fill_drop(list);
    }
}
