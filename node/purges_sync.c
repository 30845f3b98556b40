#include <stdlib.h>

#include "base/crypto.h"
#include "base/log.h"
#include "cache/cache.h"
#include "node/purges_core.h"

enum queued_kind { QUEUED_STAGE, QUEUED_HINT, QUEUED_UNSENT };

/* The machine may not be called from inside its news, and what they lead to (an answer of
 * admin's, an event that comes back at once) may call it. */
struct purges_queued {
    struct purges_queued *next;
    enum queued_kind kind;
    uint64_t number; /* STAGE: the ticket; UNSENT: the request's */
    enum cluster_sync_stage stage;
    size_t len;
    char bytes[]; /* HINT */
};

int64_t purges_now_us(void)
{
    return io_loop_us();
}

static void queue(struct node_purges *p, enum queued_kind kind, uint64_t number,
                  enum cluster_sync_stage stage, struct span bytes)
{
    struct purges_queued *q = must_alloc(sizeof *q + bytes.len);
    q->kind = kind;
    q->number = number;
    q->stage = stage;
    q->len = bytes.len;
    if (bytes.len)
        memcpy(q->bytes, bytes.ptr, bytes.len);
    *p->queue_end = q;
    p->queue_end = &q->next;
}

static struct purges_queued *take(struct node_purges *p)
{
    struct purges_queued *q = p->queue;
    if (!q)
        return NULL;
    p->queue = q->next;
    if (!p->queue)
        p->queue_end = &p->queue;
    return q;
}

/* --- the machine's news --- */

static bool on_apply(void *user, const struct purge *purge,
                     void (*numbered)(void *sync, uint64_t no), void *sync, uint64_t *out_no)
{
    struct node_purges *p = user;
    uint64_t no = cache_apply_no_next(p->cache);
    numbered(sync, no);
    *out_no = no;
    return purges_effect(p, purge, no) == ERR_OK;
}

static void on_stage(void *user, uint64_t ticket, enum cluster_sync_stage stage)
{
    queue(user, QUEUED_STAGE, ticket, stage, (struct span){0});
}

static uint64_t on_distrust(void *user, bool hard)
{
    struct node_purges *p = user;
    const struct purge all = {.kind = PURGE_ALL, .mode = hard ? PURGE_HARD : PURGE_SOFT};
    uint64_t no = cache_apply_no_next(p->cache);
    log_line(LOG_WARN, "purges_missed", "effect=\"%s\"",
             hard ? "nothing from before is used: this node was forgotten"
                  : "everything from before is revalidated once");
    (void)!purges_effect(p, &all, no);
    return no;
}

static void on_caution(void *user, bool on, const char *why)
{
    static struct log_limit limit;
    struct node_purges *p = user;
    cache_set_caution(p->cache, on);
    log_limited(&limit, 60, LOG_INFO, "purge_caution", "on=%d why=\"%s\"", on, why);
}

static void on_hint(void *user, struct span payload)
{
    queue(user, QUEUED_HINT, 0, CLUSTER_SYNC_HERE, payload);
}

/* --- who waits --- */

static struct purges_waiting *waiting_find(struct node_purges *p, uint64_t ticket)
{
    struct purges_waiting *w = p->waiting;
    while (w && w->ticket != ticket)
        w = w->next;
    return w;
}

static void waiting_drop(struct purges_waiting *w)
{
    if (w->next)
        w->next->prev = w->prev;
    *w->prev = w->next;
    free(w);
}

static void tell_stage(struct node_purges *p, const struct purges_queued *q)
{
    static const enum admin_purge_stage stages[] = {
        [CLUSTER_SYNC_HERE] = ADMIN_PURGE_HERE,
        [CLUSTER_SYNC_SETTLED] = ADMIN_PURGE_SETTLED,
        [CLUSTER_SYNC_EVERYWHERE] = ADMIN_PURGE_EVERYWHERE,
        [CLUSTER_SYNC_NOT_HERE] = ADMIN_PURGE_HERE,
    };
    struct purges_waiting *w = waiting_find(p, q->number);
    if (!w)
        return;                            /* left */
    const struct purges_waiting copy = *w; /* it may be left from inside */
    const struct admin_purge_done done = {.err = q->stage == CLUSTER_SYNC_NOT_HERE ? ERR_SYS
                                                                                   : ERR_OK,
                                          .stage = stages[q->stage],
                                          .stream = w->id.stream,
                                          .seq = w->id.seq};
    if (q->stage >= CLUSTER_SYNC_EVERYWHERE)
        waiting_drop(w);
    copy.answered(copy.admin, copy.admin_ticket, &done);
}

void node_purges_leave(struct node_purges *p, uint64_t ticket)
{
    struct purges_waiting *w = p->waiting;
    while (w && w->admin_ticket != ticket)
        w = w->next;
    if (!w)
        return;
    cluster_sync_forget_ticket(p->sync, w->ticket);
    waiting_drop(w);
}

/* --- in and out --- */

static void send_all(struct node_purges *p)
{
    struct cluster_sync_output out;
    while (cluster_sync_next(p->sync, &out)) {
        if (out.kind == CLUSTER_SYNC_ANSWER)
            p->conf.peers.answer(p->conf.user, out.number, out.body);
        else if (!p->conf.peers.send(p->conf.user, out.id, out.number, out.body,
                                     out.deadline_ms))
            queue(p, QUEUED_UNSENT, out.number, CLUSTER_SYNC_HERE, (struct span){0});
    }
}

static void tell(struct node_purges *p, const struct purges_queued *q)
{
    switch (q->kind) {
    case QUEUED_STAGE:
        tell_stage(p, q);
        break;
    case QUEUED_HINT:
        p->conf.peers.hint(p->conf.user, span_of(q->bytes, q->len));
        break;
    case QUEUED_UNSENT:
        cluster_sync_answered(p->sync, q->number, ERR_CLOSED, (struct span){0}, purges_now_us(),
                              p->now_s);
        break;
    }
}

static void write_now(struct io_task *t)
{
    struct node_purges *p = CONTAINER_OF(t, struct node_purges, write);
    cluster_purge_disk_pump(p->disk, p->now_s);
}

void purges_settle(struct node_purges *p)
{
    struct purges_queued *q;
    if (p->settling)
        return;
    p->settling = true;
    if (p->clustered && p->vector_serial != cluster_purge_log_serial(p->log)) {
        p->vector_serial = cluster_purge_log_serial(p->log);
        p->conf.peers.vector(p->conf.user);
    }
    do {
        if (p->clustered)
            send_all(p);
        if ((q = take(p))) {
            tell(p, q);
            free(q);
        }
    } while (q);
    if (p->disk && p->conf.loop)
        io_loop_soon(p->conf.loop, &p->write, write_now);
    else if (p->disk)
        cluster_purge_disk_pump(p->disk, p->now_s);
    p->settling = false;
}

void purges_sync_log_answered(void *user, uint64_t ticket, enum err err)
{
    struct node_purges *p = user;
    cluster_sync_log_answered(p->sync, ticket, err);
}

void purges_sync_written(void *user)
{
    struct node_purges *p = user;
    if (!p->cache)
        return;
    cluster_sync_synced(p->sync, purges_wake(p));
    purges_settle(p);
}

enum err purges_sync_accept(struct node_purges *p, const struct purge *purge, uint64_t no,
                            struct purges_waiting *w)
{
    struct cluster_purge_id id;
    if (w)
        w->ticket = p->next_ticket++;
    enum err err = cluster_sync_accept(p->sync, purge, no, 0, purges_now_us(), p->now_s,
                                       w ? w->ticket : 0, &id);
    if (err != ERR_OK || !w)
        return err;
    w->id = id;
    w->prev = &p->waiting;
    w->next = p->waiting;
    if (w->next)
        w->next->prev = &w->next;
    p->waiting = w;
    return ERR_OK;
}

int64_t purges_wake(struct node_purges *p)
{
    int64_t awake_us = io_loop_awake_us(), now_us = purges_now_us();
    int64_t gap_us = awake_us - p->seen_us;
    bool was = p->seen_us != 0;
    p->seen_us = awake_us;
    if (!p->clustered || !p->cache || !was || gap_us < CLUSTER_SYNC_STALL_US)
        return now_us;
    log_line(LOG_WARN, "stalled",
             "ms=%lld effect=\"what is stored is revalidated until others were asked\"",
             (long long)(gap_us / 1000));
    cluster_sync_stalled(p->sync, gap_us, now_us);
    return now_us;
}

/* An answer of a node that does not know a purge yet is refused when that purge names it. Were
 * the name swept away, all its answers would have to be (cache/peer.h). */
static void keep_names(struct node_purges *p, int64_t now_us)
{
    struct cache_figures f;
    if (!p->clustered)
        return;
    cache_figures(p->cache, &f);
    cache_keep_purges(p->cache, purges_past_note(&p->past, now_us, f.apply_no));
}

void purges_sync_tick(struct node_purges *p)
{
    int64_t now_us = purges_wake(p);
    keep_names(p, now_us);
    if (now_us >= cluster_sync_deadline_us(p->sync))
        cluster_sync_tick(p->sync, now_us, p->now_s);
    purges_settle(p);
}

void node_purges_member(struct node_purges *p, struct span id, enum cluster_sync_state state,
                        bool peer)
{
    cluster_sync_member(p->sync, id, state, peer, purges_wake(p));
    purges_settle(p);
}

void node_purges_seeds_silent(struct node_purges *p, bool silent)
{
    cluster_sync_seeds_silent(p->sync, silent, purges_wake(p));
    purges_settle(p);
}

void node_purges_event(struct node_purges *p, struct span name, struct span payload,
                       uint64_t ltime, bool replayed)
{
    cluster_sync_event(p->sync, name, payload, ltime, replayed, purges_wake(p), p->now_s);
    purges_settle(p);
}

void node_purges_invalidated(struct node_purges *p, const struct purge *purge)
{
    cluster_sync_invalidated(p->sync, purge, purges_wake(p));
    purges_settle(p);
}

void node_purges_asked(struct node_purges *p, struct span from, uint64_t number,
                       struct span body)
{
    cluster_sync_asked(p->sync, from, number, body, purges_wake(p), p->now_s);
    purges_settle(p);
}

void node_purges_answered(struct node_purges *p, uint64_t number, enum err err,
                          struct span body)
{
    cluster_sync_answered(p->sync, number, err, body, purges_wake(p), p->now_s);
    purges_settle(p);
}

enum err node_purges_forget(struct node_purges *p, struct span id)
{
    enum err err = cluster_sync_forget(p->sync, id, purges_wake(p));
    purges_settle(p);
    return err;
}

void node_purges_cluster_figures(const struct node_purges *p, struct cluster_sync_figures *out)
{
    cluster_sync_figures(p->sync, out);
}

struct cluster_recent *node_purges_recent(struct node_purges *p)
{
    return p->recent;
}

uint64_t node_purges_vector(struct node_purges *p, struct buf *out)
{
    return cluster_sync_vector(p->sync, out);
}

struct telling {
    void (*tell)(void *user, struct span id, enum admin_purge_confirmed state);
    void *user;
};

static void tell_confirmed(void *user, struct span id, enum cluster_sync_confirmed state)
{
    static const enum admin_purge_confirmed states[] = {
        [CLUSTER_SYNC_APPLIED] = ADMIN_PURGE_APPLIED,
        [CLUSTER_SYNC_PENDING] = ADMIN_PURGE_PENDING,
        [CLUSTER_SYNC_UNREACHABLE] = ADMIN_PURGE_UNREACHABLE,
    };
    const struct telling *t = user;
    t->tell(t->user, id, states[state]);
}

enum err node_purges_confirmations(struct node_purges *p, uint64_t stream, uint64_t seq,
                                   void (*tell_one)(void *user, struct span id,
                                                    enum admin_purge_confirmed state),
                                   void *user)
{
    struct telling t = {tell_one, user};
    return cluster_sync_confirmations(p->sync, (struct cluster_purge_id){stream, seq},
                                      tell_confirmed, &t);
}

/* --- its life --- */

void node_purges_reload(struct node_purges *p, const struct conf *conf)
{
    cluster_sync_set_events(p->sync, conf->cluster.accept_events);
    cluster_purge_log_keep(p->log, (int64_t)conf->purge_log_keep_s);
}

void purges_sync_open(struct node_purges *p, const struct conf *conf)
{
    const struct cluster_sync_news news = {.user = p,
                                           .apply = on_apply,
                                           .stage = on_stage,
                                           .distrust = on_distrust,
                                           .caution = on_caution,
                                           .hint = on_hint};
    p->clustered = conf->cluster.on;
    p->next_ticket = 1;
    p->queue_end = &p->queue;
    p->recent = cluster_recent_create();
    p->sync = cluster_sync_create(
        &(struct cluster_sync_conf){.id = span_text(p->node_id),
                                    .log = p->log,
                                    .recent = p->recent,
                                    .news = &news,
                                    .seed = crypto_random_u64(),
                                    .clustered = p->clustered,
                                    .accept_events = conf->cluster.accept_events},
        purges_now_us());
}

void purges_sync_close(struct node_purges *p)
{
    struct purges_queued *q;
    while ((q = take(p)))
        free(q);
    while (p->waiting)
        waiting_drop(p->waiting);
    cluster_sync_destroy(p->sync);
    cluster_recent_destroy(p->recent);
}
