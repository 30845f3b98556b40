#include "cache/memory/slice.h"

#include <stdlib.h>

#include "cache/memory/tier.h"

struct piece {
    struct store_read read;
    struct memory_slice *slice;
    uint64_t at;
    size_t room;
    char bytes[];
};

struct memory_slice {
    struct memory_tier *tier;
    struct letter_mailbox *mailbox;
    void (*wake)(struct memory_reader *r);
    struct memory_reader *reader; /* NULL: it left */
    struct piece *lent, *coming;
    bool under_way, waits, checking;
    struct store_check check;
};

struct memory_slice *memory_slice_create(struct memory_tier *t, struct letter_mailbox *mailbox,
                                         void (*wake)(struct memory_reader *r),
                                         struct memory_reader *r)
{
    struct memory_slice *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    *s = (struct memory_slice){.tier = t, .mailbox = mailbox, .wake = wake, .reader = r};
    s->checking = t->verify;
    atomic_fetch_add_explicit(&t->behind, 1, memory_order_relaxed);
    return s;
}

static void uncount(struct memory_slice *s, struct piece *p)
{
    if (p && p->room)
        atomic_fetch_sub_explicit(&s->tier->slice_bytes, p->room, memory_order_relaxed);
    if (p)
        p->room = 0;
}

static void free_piece(struct memory_slice *s, struct piece **p)
{
    uncount(s, *p);
    free(*p);
    *p = NULL;
}

static void destroy(struct memory_slice *s)
{
    free_piece(s, &s->lent);
    free_piece(s, &s->coming);
    store_check_fini(&s->check);
    free(s);
}

void memory_slice_leave(struct memory_slice *s)
{
    if (!s)
        return;
    atomic_fetch_sub_explicit(&s->tier->behind, 1, memory_order_relaxed);
    s->reader = NULL;
    if (!s->under_way) {
        destroy(s);
        return;
    }
    /* The letter may come when the cache is closed already: from here on `tier` is not used. */
    uncount(s, s->lent);
    uncount(s, s->coming);
}

static void came_home(struct store_job *job)
{
    struct piece *p = CONTAINER_OF(job, struct piece, read.job);
    struct memory_slice *s = p->slice;
    s->under_way = false;
    if (!s->reader) {
        destroy(s);
    } else if (s->waits) {
        s->waits = false;
        s->wake(s->reader);
    }
}

static size_t piece_room(struct memory_tier *t)
{
    uint64_t behind = atomic_load_explicit(&t->behind, memory_order_relaxed);
    uint64_t each = MEMORY_SLICE_TOTAL / (behind ? behind : 1);
    if (each > MEMORY_SLICE_MAX)
        each = MEMORY_SLICE_MAX;
    if (each < MEMORY_SLICE_MIN)
        each = MEMORY_SLICE_MIN;
    return (size_t)each / 2;
}

static enum err ask(struct memory_slice *s, const struct store_rep *rep, uint64_t at,
                    uint64_t end)
{
    size_t room = piece_room(s->tier);
    if (room > end - at)
        room = (size_t)(end - at);
    struct piece *p = malloc(sizeof(*p) + room);
    if (!p)
        return ERR_SYS;
    memset(p, 0, sizeof(*p));
    p->slice = s;
    p->at = at;
    p->room = room;
    p->read.job.home = s->mailbox;
    p->read.job.done = came_home;
    p->read.rep = *rep;
    p->read.at = at;
    p->read.out = p->bytes;
    p->read.room = room;
    /* Only a body read from its first byte to its last can be verified. */
    if (at != s->check.next || !rep->xxh3)
        s->checking = false;
    p->read.check = s->checking ? &s->check : NULL;
    atomic_fetch_add_explicit(&s->tier->slice_bytes, room, memory_order_relaxed);
    s->coming = p;
    enum err e = store_read(s->tier->store, &p->read);
    if (e != ERR_OK)
        free_piece(s, &s->coming);
    else
        s->under_way = true;
    return e == ERR_OK ? ERR_OK : ERR_SYS;
}

static bool covers(const struct piece *p, uint64_t at)
{
    return p && at >= p->at && at < p->at + p->read.got;
}

enum err memory_slice_peek(struct memory_slice *s, const struct store_rep *rep, uint64_t at,
                           uint64_t end, struct span *out)
{
    if (s->coming && !s->under_way && !covers(s->lent, at)) {
        enum err e = s->coming->read.job.err;
        free_piece(s, &s->lent);
        if (e == ERR_OK && covers(s->coming, at))
            s->lent = s->coming;
        else
            free_piece(s, &s->coming);
        s->coming = NULL;
        if (e != ERR_OK)
            return e == ERR_NOT_FOUND || e == ERR_CORRUPT ? e : ERR_SYS;
    }
    if (covers(s->lent, at)) {
        size_t used = (size_t)(at - s->lent->at), got = s->lent->read.got;
        uint64_t next = s->lent->at + got;
        if (!s->coming && used * 2 >= got && next < end)
            (void)ask(s, rep, next, end); /* asked again, and told, when it is needed */
        size_t left = got - used;
        if (left > end - at)
            left = (size_t)(end - at);
        *out = span_of(s->lent->bytes + used, left);
        return ERR_OK;
    }
    if (!s->coming) {
        enum err e = ask(s, rep, at, end);
        if (e != ERR_OK)
            return e;
    }
    s->waits = true;
    return ERR_AGAIN;
}
