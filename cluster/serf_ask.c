#include <math.h>
#include <stdlib.h>

#include "cluster/serf_core.h"

#define TIMEOUT_MULT 16 /* of the gossip interval, as Serf */
#define ANSWERERS_SPARE 64u

/* --- encoding --- */

enum { FILTER_NODES = 0, FILTER_TAG = 1 }; /* Serf's */

static struct span put_node_filter(const struct cluster_ask *ask, uint8_t *room, size_t bytes)
{
    struct cursor c;
    cursor_write(&c, room, bytes);
    cursor_put_u8(&c, FILTER_NODES);
    wire_msgpack_put_array(&c, ask->node_count);
    for (uint32_t i = 0; i < ask->node_count; i++)
        wire_msgpack_put_raw(&c, ask->nodes[i]);
    return c.err == ERR_OK ? span_of(room, c.at) : span_of(NULL, 0);
}

static struct span put_tag_filter(const struct cluster_filter *f, uint8_t *room, size_t bytes)
{
    struct cursor c;
    cursor_write(&c, room, bytes);
    cursor_put_u8(&c, FILTER_TAG);
    wire_msgpack_put_map(&c, 2);
    wire_msgpack_put_raw(&c, SPAN("Expr"));
    wire_msgpack_put_raw(&c, f->expression);
    wire_msgpack_put_raw(&c, SPAN("Tag"));
    wire_msgpack_put_raw(&c, f->tag);
    return c.err == ERR_OK ? span_of(room, c.at) : span_of(NULL, 0);
}

/* Empty when there are none; *out_ok false when they are too long. */
static struct span put_filters(const struct cluster_ask *ask, uint8_t *room, bool *out_ok)
{
    uint8_t one[CLUSTER_QUERY_BYTES];
    uint32_t count = ask->filter_count + (ask->node_count > 0);
    struct cursor c;
    *out_ok = count <= CLUSTER_QUERY_FILTERS;
    if (count == 0 || !*out_ok)
        return span_of(NULL, 0);
    cursor_write(&c, room, CLUSTER_QUERY_BYTES);
    wire_msgpack_put_array(&c, count);
    if (ask->node_count > 0) {
        struct span filter = put_node_filter(ask, one, sizeof(one));
        *out_ok = filter.len > 0;
        wire_msgpack_put_raw(&c, filter);
    }
    for (uint32_t i = 0; i < ask->filter_count; i++) {
        struct span filter = put_tag_filter(&ask->filters[i], one, sizeof(one));
        *out_ok = *out_ok && filter.len > 0;
        wire_msgpack_put_raw(&c, filter);
    }
    *out_ok = *out_ok && c.err == ERR_OK;
    return span_of(room, c.at);
}

static int64_t default_timeout_us(const struct cluster_serf *s)
{
    uint32_t members = cluster_members_count(cluster_swim_members(s->swim));
    return s->gossip_interval_us * TIMEOUT_MULT * (int64_t)ceil(log10(members + 1.0));
}

static void remember(struct cluster_serf *s, const struct cluster_ask *ask,
                     const struct wire_serf_query *q)
{
    struct cluster_asked *a = must_alloc(sizeof(*a));
    a->ltime = q->ltime;
    a->id = q->id;
    a->deadline_us = s->now_us + q->timeout_ns / 1000;
    a->ask = *ask;
    s->asked[s->asks++] = a;
}

enum err cluster_serf_ask(struct cluster_serf *s, const struct cluster_ask *ask, int64_t now_us)
{
    uint8_t filters[CLUSTER_QUERY_BYTES], room[CLUSTER_QUERY_BYTES];
    struct cursor c;
    bool fit;
    cluster_serf_enter(s, now_us);
    int64_t timeout_us = ask->timeout_us > 0 ? ask->timeout_us : default_timeout_us(s);
    const struct wire_serf_message m = {
        .type = WIRE_SERF_QUERY,
        .query = {.ltime = cluster_queries_now(s->queries),
                  .id = cluster_random_u32(&s->random),
                  .flags = ask->ack ? WIRE_SERF_QUERY_ACK : 0,
                  .addr = cluster_swim_me(s->swim)->addr,
                  .source_node = cluster_serf_name(s),
                  .filters = put_filters(ask, filters, &fit),
                  .name = ask->name,
                  .payload = ask->payload,
                  .timeout_ns = timeout_us < INT64_MAX / 1000 ? timeout_us * 1000 : INT64_MAX,
                  .relay_factor = ask->relays}};
    cursor_write(&c, room, sizeof(room));
    wire_serf_put(&c, &m);
    if (!fit || c.err != ERR_OK || s->asks == CLUSTER_QUERIES_MAX ||
        ask->relays > CLUSTER_QUERY_RELAYS || m.query.ltime >= CLUSTER_LTIME_CEILING)
        return ERR_LIMIT;
    s->counters.queries_asked++;
    remember(s, ask, &m.query);
    cluster_serf_hear_query(s, &m.query, span_of(room, c.at)); /* this node answers, too */
    return ERR_OK;
}

/* --- answers --- */

/* False: it did so before, or there are more than the cluster has nodes. */
static bool first_of(struct cluster_serf *s, struct cluster_answerers *who, struct span from)
{
    uint64_t id = cluster_serf_id(s, from);
    for (uint32_t i = 0; i < who->count; i++)
        if (who->id[i] == id)
            return false;
    if (who->count >= cluster_roster_count(s->roster) + ANSWERERS_SPARE)
        return false;
    if (who->count == who->room) {
        who->room = who->room ? who->room * 2 : 8;
        who->id = must_realloc(who->id, who->room * sizeof(id));
    }
    who->id[who->count++] = id;
    return true;
}

void cluster_serf_hear_response(struct cluster_serf *s, const struct wire_serf_response *r)
{
    struct cluster_asked *a = NULL;
    for (uint32_t i = 0; i < s->asks && !a; i++)
        if (s->asked[i]->ltime == r->ltime && s->asked[i]->id == r->id)
            a = s->asked[i];
    if (!a || s->now_us >= a->deadline_us || r->from.len == 0 ||
        r->from.len > CLUSTER_NAME_MAX) {
        s->counters.answers_late++;
        return;
    }
    bool ack = r->flags & WIRE_SERF_RESPONSE_ACK;
    if (!first_of(s, ack ? &a->acked : &a->answered, r->from))
        return; /* by another way */
    s->counters.answers_in++;
    if (ack && a->ask.acked)
        a->ask.acked(a->ask.user, r->from);
    if (!ack && a->ask.answered)
        a->ask.answered(a->ask.user, r->from, r->payload);
}

static void finish(struct cluster_serf *s, uint32_t at)
{
    struct cluster_asked *a = s->asked[at];
    s->asked[at] = s->asked[--s->asks];
    if (a->ask.over)
        a->ask.over(a->ask.user);
    free(a->acked.id);
    free(a->answered.id);
    free(a);
}

void cluster_serf_ask_tick(struct cluster_serf *s)
{
    for (uint32_t i = s->asks; i > 0; i--)
        if (i <= s->asks && s->asked[i - 1]->deadline_us <= s->now_us)
            finish(s, i - 1);
}

int64_t cluster_serf_ask_deadline_us(const struct cluster_serf *s)
{
    int64_t first_us = CLUSTER_SERF_NEVER_US;
    for (uint32_t i = 0; i < s->asks; i++)
        if (s->asked[i]->deadline_us < first_us)
            first_us = s->asked[i]->deadline_us;
    return first_us;
}

void cluster_serf_ask_fini(struct cluster_serf *s)
{
    while (s->asks > 0)
        finish(s, s->asks - 1);
}
