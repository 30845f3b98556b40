#include "cache/store/commit.h"

#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/counter.h"
#include "base/log.h"

#define SOFT_PERCENT 90 /* of the map may be used */
#define LOW_PERCENT 85  /* after a failure */
#define HARD_PERCENT 96 /* when there is nothing to evict */
#define FAILURES_MAX 3
#define READER_WAIT_MS 1000
#define READER_POLL_MS 2
#define ID_RESERVE 65536            /* body ids per write of next_body_id */
#define COST_TARGET 400             /* estimated pages freed, below STORE_FREED_MAX */
#define LADDER_COST 256             /* of an evicting transaction in the ladder */
#define DISK_ROOM_BYTES (64u << 20) /* of the disk are left to others, */
#define DISK_SHARE 16               /* or this part of a small one */
#define CHUNK_ROOM 65536            /* of any page size */

void store_commit_init(struct store_commit *c)
{
    c->cost_scale = 1000;
    c->reader_wait_ms = READER_WAIT_MS;
    c->far = must_alloc(STORE_FAR_MAX);
    c->chunk = must_alloc(CHUNK_ROOM);
}

void store_commit_fini(struct store_commit *c)
{
    free(c->far);
    free(c->chunk);
    free(c->gone.body_id);
}

enum err store_commit_ready(struct store_commit *c, enum store_commit_ready how)
{
    struct lmdb_txn t;
    struct lmdb_cursor body, sys;
    lmdb_begin(&t, c->guard->env, false);
    lmdb_cursor_open(&body, &t, c->guard->body);
    c->tail = 0;
    if (lmdb_cursor_last(&body) && body.key.len == sizeof c->tail)
        memcpy(&c->tail, body.key.ptr, sizeof c->tail);
    lmdb_cursor_close(&body);
    if (how == STORE_READY_EMPTIED) {
        c->victim_count = 0;
        c->gone.count = 0;
        atomic_fetch_add(&c->era, 1);
    } else if (how == STORE_READY_START) {
        lmdb_cursor_open(&sys, &t, c->guard->sys);
        for (bool more = lmdb_cursor_next(&sys); more; more = lmdb_cursor_next(&sys))
            if (store_guard_pending_body(sys.key))
                store_gone_push(&c->gone, store_guard_pending_body(sys.key));
        lmdb_cursor_close(&sys);
        atomic_store(&c->next_id, c->guard->next_body_id);
    }
    c->stored_id = c->guard->next_body_id;
    c->ceiling_pages = 0;
    atomic_store(&c->figures.deleting, c->gone.count);
    enum err err = t.err;
    lmdb_abort(&t);
    return err;
}

static enum err pages_of(struct store_commit *c, struct lmdb_txn *t, struct lmdb_pages *out)
{
    const struct lmdb_db dbs[] = {c->guard->meta, c->guard->body, c->guard->sys};
    return lmdb_pages(c->guard->env, t, dbs, ARRAY_LEN(dbs), out);
}

static uint64_t kept_free(uint64_t disk_bytes)
{
    return disk_bytes / DISK_SHARE < DISK_ROOM_BYTES ? disk_bytes / DISK_SHARE
                                                     : DISK_ROOM_BYTES;
}

uint64_t store_commit_room_pages(const struct lmdb_pages *p, uint64_t disk_bytes,
                                 uint64_t free_bytes)
{
    uint64_t kept = kept_free(disk_bytes);
    uint64_t more = free_bytes > kept ? (free_bytes - kept) / p->page_bytes : 0;
    return p->last + more < p->max ? p->last + more : p->max;
}

/* To be full is no state to evict in: it takes pages to give pages free. So the end of the
 * disk is looked out for, as the end of the map is. */
static void look_at_disk(struct store_commit *c, const struct lmdb_pages *p)
{
    struct statvfs fs;
    c->room_pages = p->max;
    if (fstatvfs(c->guard->folder_fd, &fs) == 0)
        c->room_pages = store_commit_room_pages(p, (uint64_t)fs.f_blocks * fs.f_frsize,
                                                (uint64_t)fs.f_bavail * fs.f_frsize);
    if (c->ceiling_pages && c->ceiling_pages < c->room_pages)
        c->room_pages = c->ceiling_pages;
}

/* The share of what the file may become. */
static uint64_t percent(const struct store_commit *c, unsigned n)
{
    return c->room_pages * n / 100;
}

/* Small maps have small headroom: two batches must pass before freed pages are usable. */
static uint64_t bytes_max(const struct store_commit *c, const struct lmdb_pages *p)
{
    uint64_t room_bytes = c->room_pages * p->page_bytes;
    bool at_end = p->last + STORE_BATCH_BYTES / p->page_bytes >= c->room_pages;
    uint64_t most = at_end ? STORE_BATCH_BYTES_FULL : STORE_BATCH_BYTES;
    return room_bytes / 64 < most ? room_bytes / 64 : most;
}

static uint64_t budget_of(const struct store_commit *c, uint64_t target)
{
    uint64_t small_map = c->room_pages / 20;
    if (target > small_map)
        target = small_map;
    return target * 1000 / c->cost_scale;
}

void store_commit_add(struct store_commit *c, struct store_job *job)
{
    must(c->count < STORE_BATCH_ORDERS);
    c->job[c->count++] = job;
    c->bytes += store_order_bytes(job);
}

bool store_commit_full(const struct store_commit *c)
{
    return c->count == STORE_BATCH_ORDERS || c->bytes >= STORE_BATCH_BYTES;
}

bool store_commit_busy(const struct store_commit *c)
{
    return c->guard->env && (c->victim_count > 0 || c->gone.count > 0);
}

void store_commit_tick(struct store_commit *c)
{
    struct statvfs fs;
    c->nothing_to_choose = false;
    if (c->ceiling_pages && fstatvfs(c->guard->folder_fd, &fs) == 0 &&
        (uint64_t)fs.f_bavail * fs.f_frsize > kept_free((uint64_t)fs.f_blocks * fs.f_frsize))
        c->ceiling_pages = 0;
}

/* One transaction: what it is to do, and what it did. */
struct attempt {
    unsigned from, share; /* orders of the batch it may take */
    uint64_t cost_target;
    unsigned keep_percent; /* evict until no more is used */
    unsigned took;         /* orders applied */
    bool deleted;          /* made room, or tried to */
    bool full;             /* the next order does not fit */
    uint64_t bytes, estimate;
    /* to be made true by a commit */
    unsigned gone_before, gone_done, victims_done, evicted;
};

/* What the next orders will need, up to a batch's bytes. */
static uint64_t pages_wanted(const struct store_commit *c, const struct attempt *a,
                             uint64_t bytes_cap)
{
    uint32_t page_bytes = lmdb_page_bytes(c->guard->env);
    uint64_t room = 0, bytes = 0;
    for (unsigned i = a->from; i < c->count && i < a->from + a->share; i++) {
        bytes += store_order_bytes(c->job[i]);
        if (bytes > bytes_cap && i > a->from)
            break;
        room += store_order_room_bytes(c->job[i], page_bytes);
    }
    return room / page_bytes + 1;
}

static void choose_victims(struct store_commit *c, uint64_t pages)
{
    if (c->victim_count > 0 || !c->choose)
        return;
    /* Whoever makes a form holds the object, which then is not given up: what has a higher id
     * came later, and is not meant. */
    c->victim_below_id = atomic_load(&c->next_id);
    unsigned n = c->choose(c->context, c->victim, STORE_VICTIMS, pages);
    must(n <= STORE_VICTIMS);
    c->victim_count = n;
    c->nothing_to_choose = n == 0;
}

/* First what is already given up, as far as half of the budget goes. */
static void delete_some(struct store_commit *c, struct attempt *a, struct store_step *x)
{
    uint64_t all = x->budget;
    a->gone_before = (unsigned)c->gone.count;
    x->budget = all / 2;
    while (a->gone_done < a->gone_before && x->cost < x->budget) {
        a->deleted = true;
        if (!store_order_delete_body(x, c->gone.body_id[a->gone_done]))
            break;
        a->gone_done++;
    }
    x->budget = a->share > 0 ? all * 3 / 4 : all;
    while (a->victims_done < c->victim_count && x->cost < x->budget) {
        const struct store_victim *v = &c->victim[a->victims_done++];
        a->deleted = true;
        if (v->forms_only)
            (void)store_order_strip(x, v->key, v->body_id, c->victim_below_id);
        else if (store_order_erase(x, v->key, v->body_id))
            a->evicted++;
    }
    x->budget = all;
}

static void apply_orders(struct store_commit *c, struct attempt *a, struct store_step *x,
                         const struct lmdb_pages *before)
{
    uint64_t bytes_cap = bytes_max(c, before);
    bool may_evict = c->choose && !c->nothing_to_choose;
    unsigned keep = may_evict ? a->keep_percent : HARD_PERCENT;
    while (a->took < a->share && a->from + a->took < c->count && x->txn.err == ERR_OK) {
        struct store_job *job = c->job[a->from + a->took];
        uint64_t bytes = store_order_bytes(job);
        struct lmdb_pages now;
        if (a->took > 0 && (a->bytes + bytes > bytes_cap || x->cost >= x->budget))
            return;
        if (x->cost >= x->budget && a->deleted)
            return; /* what was deleted goes first */
        if (job->verb == STORE_VERB_PUT && job->err == ERR_OK) {
            if (pages_of(c, &x->txn, &now) != ERR_OK)
                return;
            if (now.used + store_order_room_bytes(job, now.page_bytes) / now.page_bytes >
                percent(c, keep)) {
                a->full = a->took == 0;
                return;
            }
        }
        store_order_apply(x, job);
        a->bytes += bytes;
        a->took++;
    }
}

static void put_next_id(struct store_commit *c, struct store_step *x, uint64_t *out_stored)
{
    uint8_t room[8];
    uint64_t next = atomic_load(&c->next_id);
    if (next <= c->stored_id)
        return;
    *out_stored = next + ID_RESERVE;
    store_guard_put_u64(room, *out_stored);
    lmdb_put(&x->txn, c->guard->sys, SPAN("next_body_id"), span_of(room, sizeof room));
}

/* Learns what the estimates are worth: leaves shared by several orders are freed once. */
static void learn_cost(struct store_commit *c, const struct attempt *a)
{
    struct lmdb_txn t;
    lmdb_begin(&t, c->guard->env, false);
    uint64_t freed = t.err == ERR_OK ? lmdb_freed_by(&t, lmdb_txnid(c->guard->env)) : 0;
    lmdb_abort(&t);
    if (freed > atomic_load(&c->figures.freed_most))
        atomic_store(&c->figures.freed_most, freed);
    if (a->estimate < 50 || freed == 0)
        return;
    uint64_t seen = freed * 1000 / a->estimate;
    c->cost_scale = seen > c->cost_scale ? seen : (c->cost_scale * 15 + seen) / 16;
    if (c->cost_scale < 300)
        c->cost_scale = 300;
    if (c->cost_scale > 3000)
        c->cost_scale = 3000;
}

static void made_true(struct store_commit *c, const struct attempt *a)
{
    c->gone.count -= a->gone_done;
    if (c->gone.count > 0)
        memmove(c->gone.body_id, c->gone.body_id + a->gone_done,
                c->gone.count * sizeof *c->gone.body_id);
    memmove(c->victim, c->victim + a->victims_done,
            (c->victim_count - a->victims_done) * sizeof *c->victim);
    c->victim_count -= a->victims_done;
    atomic_store(&c->figures.deleting, c->gone.count);
    atomic_fetch_add(&c->figures.evicted, a->evicted);
    counter_add(COUNTER_CACHE_EVICTED, a->evicted);
    atomic_fetch_add(&c->figures.commits, 1);
    counter_add(COUNTER_STORE_COMMITS, 1);
    atomic_fetch_add(&c->figures.stored_bytes, a->bytes);
    counter_add(COUNTER_STORE_BYTES, a->bytes);
}

static enum err attempt(struct store_commit *c, struct attempt *a)
{
    static struct log_limit limit;
    struct lmdb_pages before;
    enum err err = pages_of(c, NULL, &before);
    if (err != ERR_OK)
        return err;
    look_at_disk(c, &before);
    uint64_t wanted = pages_wanted(c, a, bytes_max(c, &before));
    uint64_t keep = percent(c, a->keep_percent);
    if (before.used + wanted > keep)
        choose_victims(c, before.used + wanted - keep);

    uint64_t stored_id = c->stored_id;
    struct store_step x = {.guard = c->guard,
                           .gone = &c->gone,
                           .next_id = &c->next_id,
                           .tail = c->tail,
                           .budget = budget_of(c, a->cost_target),
                           .era = atomic_load(&c->era),
                           .far = c->far,
                           .chunk = c->chunk};
    lmdb_begin(&x.txn, c->guard->env, true);
    delete_some(c, a, &x);
    apply_orders(c, a, &x, &before);
    put_next_id(c, &x, &stored_id);
    a->estimate = x.cost;
    err = lmdb_commit(&x.txn);
    if (err != ERR_OK) {
        log_limited(&limit, 6, LOG_WARN, "store_commit",
                    "result=failed why=\"%s\" used=%llu last=%llu", lmdb_error_text(&x.txn),
                    (unsigned long long)before.used, (unsigned long long)before.last);
        c->gone.count = a->gone_before;
        if (err == ERR_SYS)
            c->ceiling_pages = before.last; /* until store_commit_tick finds room */
        return err;
    }
    c->tail = x.tail;
    c->stored_id = c->guard->next_body_id = stored_id;
    made_true(c, a);
    learn_cost(c, a);
    return ERR_OK;
}

static void end_orders(struct store_commit *c, unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++) {
        struct store_job *job = c->job[i];
        if (job->verb == STORE_VERB_PUT)
            atomic_fetch_add(job->err == ERR_OK ? &c->figures.stored : &c->figures.not_stored,
                             1);
        c->end(c, job);
    }
}

static void fail_orders(struct store_commit *c, unsigned from, enum err err)
{
    for (unsigned i = from; i < c->count; i++)
        if (c->job[i]->err == ERR_OK)
            store_order_fail(c->job[i], err);
    end_orders(c, from, c->count - from);
}

/* Whoever reads now holds pages that were given free since. False: somebody still does. */
static bool wait_for_readers(struct store_commit *c)
{
    const struct timespec pause = {.tv_nsec = READER_POLL_MS * 1000000L};
    int64_t began = store_slice_clock_ms();
    for (;;) {
        uint64_t waited = (uint64_t)(store_slice_clock_ms() - began);
        if (store_slice_oldest_ms(c->slices) <= waited)
            return true; /* those that read now began later */
        if (waited >= c->reader_wait_ms)
            return false;
        (void)nanosleep(&pause, NULL);
    }
}

/* Evicts down to 85 %, then lets two commits pass. Whatever fails here fails again when the
 * batch is tried. */
static void make_room(struct store_commit *c)
{
    struct lmdb_pages p;
    for (;;) {
        struct attempt a = {
            .from = c->count, .cost_target = LADDER_COST, .keep_percent = LOW_PERCENT};
        if (pages_of(c, NULL, &p) != ERR_OK || p.used <= percent(c, LOW_PERCENT) ||
            attempt(c, &a) != ERR_OK || !a.deleted)
            break;
    }
    for (unsigned i = 0; i < 2; i++) {
        struct attempt a = {.from = c->count, .cost_target = LADDER_COST, .keep_percent = 100};
        c->stored_id = 0; /* so that there is something to commit */
        if (attempt(c, &a) != ERR_OK)
            break;
    }
}

/* Another try is worth it: true. */
static bool ladder(struct store_commit *c, enum err err)
{
    atomic_fetch_add(&c->figures.errors, 1);
    counter_add(COUNTER_STORE_ERRORS, 1);
    if (err == ERR_LIMIT) {
        atomic_fetch_add(&c->figures.map_full, 1);
        counter_add(COUNTER_STORE_MAP_FULL, 1);
        if (!wait_for_readers(c))
            return false; /* giving objects up, or all of them, makes no room either */
    }
    if (err == ERR_CLOSED || err == ERR_CORRUPT || ++c->failures >= FAILURES_MAX) {
        c->failures = 0;
        (void)c->reopen(c, err != ERR_CLOSED);
        return false;
    }
    make_room(c);
    return true;
}

void store_commit_run(struct store_commit *c)
{
    int64_t begin = store_slice_clock_ms();
    unsigned at = 0, share = STORE_BATCH_ORDERS;
    if (c->guard->env) {
        size_t chunk_bytes = lmdb_value_max(c->guard->env);
        for (unsigned i = 0; i < c->count; i++)
            store_order_prepare(c->job[i], atomic_load(&c->era), chunk_bytes);
    }
    do {
        struct attempt a = {.from = at,
                            .share = share,
                            .cost_target = COST_TARGET,
                            .keep_percent = SOFT_PERCENT};
        if (!c->guard->env) {
            fail_orders(c, at, ERR_CLOSED);
            break;
        }
        enum err err = attempt(c, &a);
        if (err == ERR_OK) {
            c->failures = 0;
            end_orders(c, at, a.took);
            at += a.took;
            if (a.full && !a.deleted) {
                store_order_fail(c->job[at], ERR_LIMIT);
                end_orders(c, at++, 1);
            }
        } else if (ladder(c, err)) {
            share = a.took / 4 > 0 ? a.took / 4 : 1;
        } else {
            fail_orders(c, at, err);
            break;
        }
    } while (at < c->count);
    c->count = 0;
    c->bytes = 0;
    atomic_store(&c->figures.last_batch_ms,
                 (unsigned long long)(store_slice_clock_ms() - begin));
}
