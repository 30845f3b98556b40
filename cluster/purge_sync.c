#include "cluster/purge_sync_core.h"

#include <stdlib.h>

struct cluster_sync *cluster_sync_create(const struct cluster_sync_conf *conf, int64_t now_us)
{
    struct cluster_sync *s = must_alloc(sizeof *s);
    s->conf = *conf;
    s->news = *conf->news;
    s->log = conf->log;
    s->recent = conf->recent;
    s->id = span_dup(conf->id);
    s->conf.id = span_of(s->id, conf->id.len);
    cluster_random_seed(&s->pcg, conf->seed);
    s->now_us = now_us;
    s->next_number = 1;
    s->waiting_free = SYNC_NONE;
    s->vector_serial = UINT64_MAX;
    s->exchange_us = s->hints_second_us = now_us;
    s->peers_until_us = INT64_MIN;
    buf_init(&s->vector, 0);
    buf_init(&s->out_body, 0);
    return s;
}

static void member_fini(struct sync_member *m)
{
    free(m->id);
    free(m->queue);
    free(m->pulls);
    cluster_vector_fini(&m->vector);
}

void cluster_sync_destroy(struct cluster_sync *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->member_count; i++)
        member_fini(&s->members[i]);
    for (uint64_t at = s->ring_first; at < s->ring_next; at++)
        buf_fini(&s->ring[at % SYNC_RING].bytes);
    for (uint32_t i = 0; i < s->out_count; i++)
        buf_fini(&s->outs[s->out_first + i].body);
    sync_typed_fini(s);
    buf_fini(&s->vector);
    buf_fini(&s->out_body);
    cluster_vector_fini(&s->applied);
    free(s->members);
    free(s->active);
    free(s->slots);
    free(s->requests);
    free(s->asks);
    free(s->waiting);
    free(s->outs);
    free(s->id);
    free(s);
}

void cluster_sync_begin(struct cluster_sync *s, int64_t now_us)
{
    s->now_us = now_us;
    s->begun = true;
    cluster_purge_log_vector(s->log, &s->applied);
    cluster_recent_begin(s->recent, &s->applied);
    if (!s->conf.clustered)
        return;
    sync_member_load(s);
    sync_caution_begin(s);
}

void cluster_sync_set_events(struct cluster_sync *s, bool accept)
{
    s->conf.accept_events = accept;
}

const struct buf *sync_vector(struct cluster_sync *s)
{
    uint64_t serial = cluster_purge_log_serial(s->log);
    if (serial == s->vector_serial)
        return &s->vector;
    struct cluster_vector v = {0};
    cluster_purge_log_vector(s->log, &v);
    buf_clear(&s->vector);
    cluster_vector_put(&v, &s->vector);
    cluster_vector_fini(&v);
    s->vector_serial = serial;
    return &s->vector;
}

uint64_t cluster_sync_vector(struct cluster_sync *s, struct buf *out)
{
    (void)!buf_append(out, buf_span(sync_vector(s)));
    return s->vector_serial;
}

/* --- pushing --- */

static void drop_oldest(struct cluster_sync *s)
{
    struct sync_record *old = &s->ring[s->ring_first++ % SYNC_RING];
    s->ring_bytes -= buf_len(&old->bytes);
    buf_fini(&old->bytes);
}

static uint64_t ring_add(struct cluster_sync *s, const struct cluster_purge_record *r,
                         bool spread)
{
    struct sync_record record = {.spread = spread};
    buf_init(&record.bytes, 0);
    purge_wire_put_record(&record.bytes, r);
    size_t len = buf_len(&record.bytes);
    while (s->ring_next - s->ring_first == SYNC_RING ||
           (s->ring_bytes + len > SYNC_RING_BYTES && s->ring_first < s->ring_next))
        drop_oldest(s);
    s->ring[s->ring_next % SYNC_RING] = record;
    s->ring_bytes += len;
    return s->ring_next++;
}

static void queue_push(struct cluster_sync *s, struct sync_member *m, uint64_t position)
{
    sync_member_activate(s, m);
    if (!m->queue)
        m->queue = must_alloc(SYNC_QUEUE * sizeof *m->queue);
    if (m->queued == SYNC_QUEUE) { /* it will have to pull */
        m->queued = 0;
        m->behind = true;
    }
    m->queue[m->queued++] = position;
}

void sync_push_record(struct cluster_sync *s, const struct cluster_purge_record *r)
{
    if (s->live == 0)
        return;
    bool spread = s->live > CLUSTER_SYNC_DIRECT;
    uint64_t position = ring_add(s, r, spread);
    for (uint32_t i = 0; !spread && i < s->member_count; i++) {
        struct sync_member *m = &s->members[i];
        if (sync_member_is_live(m))
            queue_push(s, m, position);
    }
    for (uint32_t i = 0; spread && i < CLUSTER_SYNC_SPREAD; i++) {
        uint32_t member = sync_member_random(s);
        if (member != SYNC_NONE)
            queue_push(s, &s->members[member], position);
    }
}

/* --- accepted here --- */

static uint32_t waiting_add(struct cluster_sync *s, uint64_t ticket)
{
    uint32_t slot = s->waiting_free;
    if (slot != SYNC_NONE) {
        s->waiting_free = s->waiting[slot].next;
    } else {
        if (s->waiting_count == s->waiting_room) {
            s->waiting_room = s->waiting_room ? s->waiting_room * 2 : 64;
            s->waiting = must_realloc(s->waiting, s->waiting_room * sizeof *s->waiting);
        }
        slot = s->waiting_count++;
    }
    s->waiting[slot] = (struct sync_waiting){.ticket = ticket, .used = true};
    s->waiting_used++;
    return slot;
}

static void waiting_drop(struct cluster_sync *s, uint32_t slot)
{
    s->waiting[slot] = (struct sync_waiting){.next = s->waiting_free};
    s->waiting_free = slot;
    s->waiting_used--;
}

enum err cluster_sync_accept(struct cluster_sync *s, const struct purge *p, uint64_t apply_no,
                             uint64_t dedup, int64_t now_us, int64_t now_s, uint64_t ticket,
                             struct cluster_purge_id *out_id)
{
    s->now_us = now_us;
    s->now_s = now_s;
    if (ticket && s->waiting_used >= CLUSTER_SYNC_WAITING)
        return ERR_LIMIT;
    bool known = dedup && cluster_purge_log_knows(s->log, dedup, NULL);
    uint32_t slot = ticket ? waiting_add(s, ticket) : SYNC_NONE;
    enum err err =
        cluster_purge_log_accept(s->log, p, apply_no, dedup, now_s,
                                 ticket ? sync_ticket(SYNC_TICKET_WAITING, slot) : 0, out_id);
    if (err != ERR_OK) {
        if (ticket)
            waiting_drop(s, slot);
        return err;
    }
    if (ticket)
        s->waiting[slot].id = *out_id;
    cluster_recent_add(s->recent, *out_id, apply_no);
    cluster_recent_numbered(s->recent, apply_no);
    if (known || !s->conf.clustered)
        return ERR_OK;
    sync_push_record(s, &(struct cluster_purge_record){.stream = out_id->stream,
                                                       .seq = out_id->seq,
                                                       .dedup = dedup,
                                                       .accepted_at_s = now_s,
                                                       .node = s->conf.id,
                                                       .purge = *p});
    sync_hint(s, &(struct purge_wire_hint){.id = *out_id, .has_purge = true, .purge = *p});
    sync_talk(s);
    return ERR_OK;
}

static void tell_stage(struct cluster_sync *s, const struct sync_waiting *w,
                       enum cluster_sync_stage stage)
{
    if (w->ticket)
        s->news.stage(s->news.user, w->ticket, stage);
}

void cluster_sync_log_answered(struct cluster_sync *s, uint64_t ticket, enum err err)
{
    uint32_t slot = (uint32_t)ticket;
    if (ticket >> 32 == SYNC_TICKET_ASK) {
        struct sync_ask *ask = &s->asks[slot];
        ask->busy = ask->busy || err != ERR_OK;
        if (--ask->left == 0)
            sync_asked_answer(s, ask);
        return;
    }
    struct sync_waiting w = s->waiting[slot];
    if (err != ERR_OK || !w.ticket) {
        waiting_drop(s, slot);
        if (err != ERR_OK)
            tell_stage(s, &w, CLUSTER_SYNC_NOT_HERE);
        return;
    }
    s->waiting[slot].logged = true;
    s->stages_due = true;
    tell_stage(s, &w, CLUSTER_SYNC_HERE);
}

void cluster_sync_synced(struct cluster_sync *s, int64_t now_us)
{
    s->now_us = now_us;
    s->stages_due = true;
    sync_stages(s);
}

void cluster_sync_forget_ticket(struct cluster_sync *s, uint64_t ticket)
{
    for (uint32_t i = 0; i < s->waiting_count; i++) {
        struct sync_waiting *w = &s->waiting[i];
        if (!w->used || w->ticket != ticket)
            continue;
        w->ticket = 0;
        if (w->logged)
            waiting_drop(s, i);
    }
}

/* --- how far a purge has come --- */

struct reach {
    uint64_t everywhere, settled; /* seq: at all members, at those that can be reached */
};

static struct reach reach_of(const struct cluster_sync *s, uint64_t stream)
{
    uint64_t own = cluster_purge_log_synced(s->log, stream);
    struct reach r = {own, own};
    for (uint32_t i = 0; i < s->member_count; i++) {
        const struct sync_member *m = &s->members[i];
        if (!sync_member_counts(m))
            continue;
        uint64_t seq = cluster_vector_get(&m->vector, stream);
        if (seq < r.everywhere)
            r.everywhere = seq;
        if (seq < r.settled && sync_member_is_reachable(m))
            r.settled = seq;
    }
    return r;
}

void sync_stages(struct cluster_sync *s)
{
    struct reach r = {0};
    uint64_t stream = 0;
    if (!s->stages_due || s->absent) /* who is away does not know yet whose word counts */
        return;
    s->stages_due = false;
    for (uint32_t i = 0; s->waiting_used > 0 && i < s->waiting_count; i++) {
        struct sync_waiting w = s->waiting[i];
        if (!w.used || !w.logged)
            continue;
        if (w.id.stream != stream) { /* nearly all are of one */
            stream = w.id.stream;
            r = reach_of(s, stream);
        }
        if (w.id.seq <= r.everywhere) {
            waiting_drop(s, i);
            tell_stage(s, &w, CLUSTER_SYNC_EVERYWHERE);
        } else if (w.id.seq <= r.settled && !w.settled) {
            s->waiting[i].settled = true;
            tell_stage(s, &w, CLUSTER_SYNC_SETTLED);
        }
    }
}

enum err cluster_sync_confirmations(const struct cluster_sync *s, struct cluster_purge_id id,
                                    void (*tell)(void *user, struct span id,
                                                 enum cluster_sync_confirmed state),
                                    void *user)
{
    enum cluster_purge_state state = cluster_purge_log_state(s->log, id);
    if (state == CLUSTER_PURGE_UNKNOWN)
        return ERR_NOT_FOUND;
    tell(user, s->conf.id,
         state == CLUSTER_PURGE_PENDING_HERE ? CLUSTER_SYNC_PENDING : CLUSTER_SYNC_APPLIED);
    for (uint32_t i = 0; i < s->member_count; i++) {
        const struct sync_member *m = &s->members[i];
        if (!sync_member_counts(m))
            continue;
        if (cluster_vector_get(&m->vector, id.stream) >= id.seq)
            tell(user, m->id_span, CLUSTER_SYNC_APPLIED);
        else
            tell(user, m->id_span,
                 sync_member_is_reachable(m) ? CLUSTER_SYNC_PENDING : CLUSTER_SYNC_UNREACHABLE);
    }
    return ERR_OK;
}

/* --- outputs --- */

bool cluster_sync_next(struct cluster_sync *s, struct cluster_sync_output *out)
{
    if (s->out_count == 0)
        return false;
    struct sync_out *o = &s->outs[s->out_first++];
    s->out_count--;
    buf_fini(&s->out_body);
    s->out_body = o->body;
    *out = (struct cluster_sync_output){.kind = o->kind,
                                        .number = o->number,
                                        .body = buf_span(&s->out_body),
                                        .deadline_ms = o->deadline_ms};
    if (o->kind == CLUSTER_SYNC_SEND)
        out->id = s->members[o->member].id_span;
    return true;
}

void cluster_sync_figures(const struct cluster_sync *s, struct cluster_sync_figures *out)
{
    *out = s->figures;
    out->members = 1;
    out->unreachable = 0;
    for (uint32_t i = 0; i < s->member_count; i++) {
        bool counts = sync_member_counts(&s->members[i]);
        out->members += counts;
        out->unreachable += counts && !sync_member_is_reachable(&s->members[i]);
    }
    out->waiting = s->waiting_used;
    out->cautious = s->cautious;
}
