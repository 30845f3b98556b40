#include "cluster/purge_sync_core.h"

static void put_answer(struct cluster_sync *s, uint64_t number, enum purge_wire_kind to,
                       uint64_t asker_hash, struct purge_wire_answer *a, struct buf **out)
{
    struct buf members;
    struct buf *body = sync_out_add(s, CLUSTER_SYNC_ANSWER, SYNC_NONE, number, 0);
    buf_init(&members, 0);
    if (asker_hash != s->members_hash)
        sync_members_put(s, &members);
    a->members_hash = s->members_hash;
    a->vector = buf_span(sync_vector(s));
    a->members = buf_span(&members);
    purge_wire_put_answer(body, a, to);
    if (out)
        *out = body;
    a->members = span_of(NULL, buf_len(&members)); /* its length alone counts from here on */
    buf_fini(&members);
}

void sync_asked_answer(struct cluster_sync *s, struct sync_ask *ask)
{
    struct purge_wire_answer a = {.flags = ask->busy ? PURGE_WIRE_BUSY : 0};
    put_answer(s, ask->number, PURGE_WIRE_PUSH, ask->members_hash, &a, NULL);
    *ask = (struct sync_ask){0};
}

static uint32_t ask_slot(struct cluster_sync *s)
{
    for (uint32_t i = 0; i < s->ask_count; i++) {
        if (!s->asks[i].used)
            return i;
    }
    if (s->ask_count == SYNC_ASKS)
        return SYNC_NONE;
    s->asks = must_realloc(s->asks, (s->ask_count + 1) * sizeof *s->asks);
    s->asks[s->ask_count] = (struct sync_ask){0};
    return s->ask_count++;
}

/* Is the one before it missing here? */
static bool leaves_gap(const struct cluster_sync *s, const struct cluster_purge_record *r)
{
    return r->seq > 1 && sync_applied(s, r->stream) < r->seq - 1 &&
           !cluster_purge_log_has(s->log, (struct cluster_purge_id){r->stream, r->seq - 1});
}

static void asked_push(struct cluster_sync *s, uint32_t from, uint64_t number,
                       const struct purge_wire_request *q)
{
    struct span records = q->records;
    struct cluster_purge_record r;
    uint32_t slot = ask_slot(s);
    struct sync_ask ask = {.number = number, .used = true, .members_hash = q->members_hash};
    bool gap = false;
    while (records.len > 0) {
        if (purge_wire_next_record(&records, &r) != ERR_OK) {
            s->figures.refused++;
            break;
        }
        uint64_t ticket = slot == SYNC_NONE ? 0 : sync_ticket(SYNC_TICKET_ASK, slot);
        enum sync_taken taken = sync_take(s, &r, ticket, q->flags & PURGE_WIRE_SPREAD);
        ask.left += taken == SYNC_TAKEN;
        ask.busy = ask.busy || taken == SYNC_NOT_NOW;
        s->figures.refused += taken == SYNC_NONSENSE;
        gap = gap || leaves_gap(s, &r);
    }
    if (gap && from != SYNC_NONE)
        sync_compare_at(s, from, s->now_us);
    if (slot == SYNC_NONE || ask.left == 0) {
        ask.busy = ask.busy || slot == SYNC_NONE;
        sync_asked_answer(s, &ask);
        return;
    }
    s->asks[slot] = ask;
}

struct page {
    struct buf *body;
    size_t max;
};
static bool put_on_page(void *user, const struct cluster_purge_record *r)
{
    struct page *p = user;
    if (buf_len(p->body) + PURGE_WIRE_RECORD_MAX > p->max)
        return false;
    purge_wire_put_record(p->body, r);
    return true;
}

static void asked_pull(struct cluster_sync *s, uint64_t number,
                       const struct purge_wire_request *q)
{
    struct purge_wire_answer a = {.floor = cluster_purge_log_floor(s->log, q->stream)};
    struct page page = {0};
    put_answer(s, number, PURGE_WIRE_PULL, q->members_hash, &a, &page.body);
    page.max = buf_len(page.body) + CLUSTER_SYNC_BYTES;
    enum err err =
        cluster_purge_log_read(s->log, q->stream, q->after, put_on_page, &page, &a.through);
    if (err != ERR_OK && err != ERR_NOT_FOUND) {
        buf_clear(page.body); /* our disk: what it says of the rest would be wrong */
        return;
    }
    if (err == ERR_OK && a.through < cluster_purge_log_synced(s->log, q->stream))
        a.flags |= PURGE_WIRE_MORE;
    purge_wire_set_page(page.body, &a);
}

static bool is_ahead(const struct cluster_sync *s, const struct cluster_vector *v)
{
    uint64_t own = cluster_purge_log_own_stream(s->log);
    for (uint32_t i = 0; i < v->count; i++) {
        if (v->rows[i].stream != own && v->rows[i].seq > sync_applied(s, v->rows[i].stream))
            return true;
    }
    return false;
}

void cluster_sync_asked(struct cluster_sync *s, struct span from, uint64_t number,
                        struct span body, int64_t now_us, int64_t now_s)
{
    struct purge_wire_request q;
    uint32_t member = sync_member_find(s, from);
    bool other = s->conf.clustered && from.len > 0 && from.len <= CLUSTER_PURGE_NODE_MAX &&
                 !span_equal(from, s->conf.id);
    s->now_us = now_us;
    s->now_s = now_s;
    if (member == SYNC_NONE && other) /* before gossip told of it */
        member = sync_member_add(s, from);
    if (!other || purge_wire_read_request(body, &q) != ERR_OK ||
        (member != SYNC_NONE && sync_member_heard(s, member, q.vector) != ERR_OK)) {
        s->figures.refused++;
        (void)sync_out_add(s, CLUSTER_SYNC_ANSWER, SYNC_NONE, number, 0); /* empty: no answer */
        return;
    }
    switch (q.kind) {
    case PURGE_WIRE_PUSH:
        asked_push(s, member, number, &q);
        break;
    case PURGE_WIRE_EXCHANGE:
        put_answer(s, number, PURGE_WIRE_EXCHANGE, q.members_hash,
                   &(struct purge_wire_answer){0}, NULL);
        break;
    case PURGE_WIRE_PULL:
        asked_pull(s, number, &q);
        break;
    }
    if (member != SYNC_NONE) {
        struct sync_member *m = &s->members[member];
        m->heard = true;
        bool stranger = q.members_hash != s->members_hash && q.members_hash != m->members_hash;
        m->members_hash = q.members_hash;
        sync_member_asks(s, member);
        if (stranger || (q.kind == PURGE_WIRE_EXCHANGE && is_ahead(s, &m->vector)))
            sync_compare_at(s, member, s->now_us);
    }
    sync_talk(s);
    sync_stages(s);
}
