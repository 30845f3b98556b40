#include "cache/memory/reader.h"

#include "base/counter.h"
#include "cache/memory/deposit.h"
#include "cache/memory/fill.h"
#include "cache/memory/form.h"
#include "cache/memory/object.h"
#include "cache/memory/slab.h"
#include "cache/memory/slice.h"
#include "cache/memory/tier.h"

static void opened(struct letter *l)
{
    struct memory_reader *r = CONTAINER_OF(l, struct memory_reader, wake);
    if (!r->closed && r->fill) {
        pthread_mutex_lock(&r->fill->lock);
        r->posted = false;
        pthread_mutex_unlock(&r->fill->lock);
    } else {
        r->posted = false;
    }
    r->woken(r);
}

void memory_fill_wake_reader(struct memory_reader *r)
{
    if (!r->waiting || r->posted)
        return;
    r->waiting = false;
    r->posted = true;
    letter_post(r->mailbox, &r->wake, opened);
}

static void init(struct memory_reader *r, struct cache *c, struct letter_mailbox *mailbox,
                 void (*woken)(struct memory_reader *r))
{
    *r = (struct memory_reader){
        .mailbox = mailbox, .woken = woken, .cache = c, .end = UINT64_MAX};
}

void memory_reader_open_object(struct memory_reader *r, struct cache *c,
                               struct memory_object *o, struct letter_mailbox *mailbox,
                               void (*woken)(struct memory_reader *r))
{
    init(r, c, mailbox, woken);
    r->object = memory_object_hold(o);
}

static void open_fill(struct memory_reader *r, struct memory_fill *f, bool leads)
{
    r->leads = leads;
    r->by_door = f->source;
    f = memory_fill_source(f);
    r->fill = memory_fill_hold(f);
    pthread_mutex_lock(&f->lock);
    r->too_late = f->given_up;
    memory_fill_add_reader(f, r);
    pthread_mutex_unlock(&f->lock);
}

void memory_reader_open_fill(struct memory_reader *r, struct cache *c, struct memory_fill *f,
                             struct letter_mailbox *mailbox,
                             void (*woken)(struct memory_reader *r))
{
    init(r, c, mailbox, woken);
    open_fill(r, f, f->kind == MEMORY_FILL_PRIVATE);
}

void memory_reader_open_leader(struct memory_reader *r, struct cache *c, struct memory_fill *f,
                               struct letter_mailbox *mailbox,
                               void (*woken)(struct memory_reader *r))
{
    init(r, c, mailbox, woken);
    open_fill(r, f, true);
}

/* No more from the fill: the object has it all. */
static void leave_fill(struct memory_reader *r)
{
    struct memory_fill *f = r->fill;
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    memory_fill_remove_reader(f, r);
    r->waiting = false;
    pthread_mutex_unlock(&f->lock);
    r->fill = NULL;
    memory_fill_drop(f);
}

enum memory_head memory_reader_head(struct memory_reader *r)
{
    struct memory_fill *f = r->fill;
    if (!f)
        return MEMORY_HEAD_READY;
    pthread_mutex_lock(&f->lock);
    enum memory_head head = r->leads ? f->to_leader : r->by_door ? f->to_door : f->to_waiters;
    bool whole = f->answer_whole;
    if (r->too_late)
        head = MEMORY_HEAD_AGAIN;
    else if (head == MEMORY_HEAD_WAIT)
        r->waiting = true;
    else if (head == MEMORY_HEAD_READY && !whole && r->at < f->begin && r->at >= f->committed)
        head = MEMORY_HEAD_AGAIN; /* too late for the first bytes */
    if ((head == MEMORY_HEAD_READY || head == MEMORY_HEAD_STALE) && !r->object)
        r->object = memory_object_hold(f->answer);
    pthread_mutex_unlock(&f->lock);
    if (whole && (head == MEMORY_HEAD_READY || head == MEMORY_HEAD_STALE))
        leave_fill(r);
    return head;
}

void memory_reader_turn(struct memory_reader *r, struct memory_object *form)
{
    must(!r->fill && r->at == 0 && !r->slice);
    memory_object_hold(form);
    memory_object_drop(r->object);
    r->object = form;
}

const struct http_response *memory_reader_interim(struct memory_reader *r)
{
    struct memory_fill *f = r->fill;
    if (!f)
        return NULL;
    pthread_mutex_lock(&f->lock);
    const struct memory_interim *i = f->interims;
    for (uint32_t n = 0; i && n < r->interims_given; n++)
        i = i->next;
    pthread_mutex_unlock(&f->lock);
    if (!i)
        return NULL;
    r->interims_given++;
    return &i->response;
}

void memory_reader_range(struct memory_reader *r, uint64_t from, uint64_t to)
{
    r->at = from;
    r->end = to;
}

/* --- from disk --- */

static void slice_woken(struct memory_reader *r)
{
    r->woken(r);
}

static enum err peek_disk(struct memory_reader *r, const struct store_rep *rep, uint64_t end,
                          struct span *out)
{
    struct memory_object *o = r->object;
    if (!o->tier->store)
        return ERR_SYS;
    if (!r->slice)
        r->slice = memory_slice_create(o->tier, r->mailbox, slice_woken, r);
    if (!r->slice)
        return ERR_SYS;
    enum err e = memory_slice_peek(r->slice, rep, r->at, end, out);
    if (e == ERR_CORRUPT || e == ERR_NOT_FOUND) {
        if (o->derived)
            memory_form_forget(o);
        else
            memory_deposit_forget(o);
        e = ERR_CORRUPT;
    }
    return e;
}

static enum err peek_object(struct memory_reader *r, struct span *out)
{
    const struct memory_object *o = r->object;
    uint64_t bytes = o->body_bytes > 0 ? (uint64_t)o->body_bytes : 0;
    uint64_t end = r->end < bytes ? r->end : bytes;
    if (r->at >= end)
        return ERR_CLOSED;
    if (o->body_in_memory) {
        *out = span_of(o->body.ptr + r->at, (size_t)(end - r->at));
        return ERR_OK;
    }
    struct store_rep rep = {
        .body_id = o->body_id,
        .bytes = bytes,
        .xxh3 = atomic_load_explicit(&o->body_xxh3, memory_order_acquire),
    };
    return o->body_id ? peek_disk(r, &rep, end, out) : ERR_SYS;
}

/* --- while it arrives --- */

enum where { HERE, BEHIND, WAIT, ENDED, BROKEN, CUT };

/* Under the fill's lock. */
static enum where locate(struct memory_reader *r, uint64_t *out_end)
{
    struct memory_fill *f = r->fill;
    uint64_t length = atomic_load_explicit(&f->length, memory_order_acquire);
    memory_fill_progress(f, r);
    memory_slab_drop(r->slab);
    r->slab = NULL;
    *out_end = r->end < length ? r->end : length;
    if (r->at >= r->end)
        return ENDED;
    if (r->cut)
        return CUT;
    if (r->at < length) {
        if (f->in_place || (r->slab = memory_fill_slab(f, r->at)))
            return HERE;
        if (r->at < f->committed && f->body.body_id) {
            *out_end = r->end < f->committed ? r->end : f->committed;
            return BEHIND;
        }
        return BROKEN;
    }
    if (f->ended)
        return f->failure ? BROKEN : ENDED;
    r->waiting = true;
    return WAIT;
}

static enum err peek_behind(struct memory_reader *r, uint64_t committed, uint64_t end,
                            struct span *out)
{
    if (!r->slice)
        counter_add(COUNTER_CACHE_CUT_OVER, 1);
    struct store_rep rep = {.body_id = r->fill->body.body_id, .bytes = committed};
    return peek_disk(r, &rep, end, out);
}

enum err memory_reader_peek(struct memory_reader *r, struct span *out)
{
    struct memory_fill *f = r->fill;
    if (!f)
        return peek_object(r, out);
    uint64_t end;
    pthread_mutex_lock(&f->lock);
    enum where where = locate(r, &end);
    uint64_t committed = f->committed;
    pthread_mutex_unlock(&f->lock);
    switch (where) {
    case HERE:
        memory_slice_leave(r->slice);
        r->slice = NULL;
        if (f->in_place) {
            *out = span_of(f->in_place + r->at, (size_t)(end - r->at));
        } else {
            uint64_t at = r->at - r->slab->at;
            /* Not slab->len: the writer may be changing it. */
            uint64_t slab_end = r->slab->at + r->slab->room;
            *out = span_of(r->slab->bytes + at,
                           (size_t)((end < slab_end ? end : slab_end) - r->at));
        }
        return ERR_OK;
    case BEHIND:
        return peek_behind(r, committed, end, out);
    case WAIT:
        return ERR_AGAIN;
    case ENDED:
        return ERR_CLOSED;
    case CUT:
        return ERR_TIMEOUT;
    case BROKEN:
        break;
    }
    return ERR_SYS;
}

void memory_reader_consume(struct memory_reader *r, size_t bytes)
{
    r->at += bytes;
}

const struct http_fields *memory_reader_trailers(const struct memory_reader *r)
{
    if (!r->fill)
        return NULL;
    pthread_mutex_lock(&r->fill->lock);
    const struct http_fields *trailers = r->fill->trailers;
    pthread_mutex_unlock(&r->fill->lock);
    return trailers;
}

unsigned memory_reader_failure(const struct memory_reader *r)
{
    if (!r->fill)
        return 0;
    pthread_mutex_lock(&r->fill->lock);
    unsigned failure = r->fill->failure;
    pthread_mutex_unlock(&r->fill->lock);
    return failure;
}

bool memory_reader_close(struct memory_reader *r)
{
    memory_slice_leave(r->slice);
    memory_slab_drop(r->slab);
    r->slice = NULL;
    r->slab = NULL;
    r->closed = true;
    leave_fill(r);
    memory_object_drop(r->object);
    r->object = NULL;
    return !r->posted;
}
