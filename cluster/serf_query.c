#include "cluster/pattern.h"
#include "cluster/serf_core.h"
#include "cluster/tags.h"

#define TIMEOUT_MAX_US (600 * INT64_C(1000000)) /* of questions that wait for an answer */
#define RELAY_PROTOCOL 5                        /* the first one that can */
#define RESPONSE_MAX (CLUSTER_QUERY_BYTES + CLUSTER_NAME_MAX + 128)

/* --- is this node meant? --- */

static bool names_me(struct cluster_serf *s, struct span nodes)
{
    struct wire_msgpack_walk walk;
    struct span name, me = cluster_serf_name(s);
    bool found = false;
    wire_msgpack_walk_array(&walk, nodes);
    while (wire_msgpack_walk_raw(&walk, &name))
        found = found || span_equal(name, me);
    return found;
}

static bool tag_matches(struct cluster_serf *s, const struct wire_serf_filter *f)
{
    struct span value = SPAN("");
    bool match = false;
    cluster_tags_find(cluster_member_meta(cluster_swim_me(s->swim)), f->tag, &value);
    return cluster_pattern_match(f->expr, value, &match) == ERR_OK && match;
}

static bool meant(struct cluster_serf *s, struct span filters)
{
    struct wire_msgpack_walk walk;
    struct wire_serf_filter filter;
    wire_msgpack_walk_array(&walk, filters);
    for (unsigned count = 0; wire_serf_filter_next(&walk, &filter); count++) {
        if (count == CLUSTER_QUERY_FILTERS)
            return false;
        if (filter.by_tag ? !tag_matches(s, &filter) : !names_me(s, filter.nodes))
            return false;
    }
    return walk.in.err == ERR_OK;
}

/* --- answers --- */

/* One more packet on a stranger's wish? */
static bool budget_allows(struct cluster_serf *s)
{
    const int64_t second_us = 1000000, each_us = second_us / CLUSTER_ANSWERS_PER_S;
    if (s->answers_until_us < s->now_us)
        s->answers_until_us = s->now_us;
    if (s->answers_until_us + each_us > s->now_us + second_us) {
        s->counters.answers_held++;
        return false;
    }
    s->answers_until_us += each_us;
    return true;
}

/* Copies by way of others, for when the straight way is closed. */
static void send_relayed(struct cluster_serf *s, const struct cluster_open_question *q,
                         struct span answer)
{
    uint8_t room[RESPONSE_MAX + CLUSTER_NAME_MAX + 128];
    struct cluster_member *peer[CLUSTER_QUERY_RELAYS];
    struct addr to[CLUSTER_QUERY_RELAYS];
    struct cursor c;
    uint32_t wanted = q->relays < CLUSTER_QUERY_RELAYS ? q->relays : CLUSTER_QUERY_RELAYS;
    uint32_t count = wanted ? cluster_serf_pick(s, &q->to, peer, wanted) : 0, able = 0;
    for (uint32_t i = 0; i < count; i++)
        if (peer[i]->vsn[1] >= RELAY_PROTOCOL)
            to[able++] = peer[i]->addr;
    const struct wire_serf_message m = {
        .type = WIRE_SERF_RELAY,
        .relay = {
            .dest = q->to, .dest_name = span_of(q->asker, q->asker_bytes), .message = answer}};
    cursor_write(&c, room, sizeof(room));
    wire_serf_put(&c, &m);
    for (uint32_t i = 0; c.err == ERR_OK && i < able; i++)
        if (!budget_allows(s) ||
            cluster_swim_send(s->swim, &to[i], span_of(room, c.at), s->now_us) != ERR_OK)
            return;
}

static enum err respond(struct cluster_serf *s, const struct cluster_open_question *q,
                        uint32_t flags, struct span payload)
{
    uint8_t room[RESPONSE_MAX];
    struct cursor c;
    const struct wire_serf_message m = {.type = WIRE_SERF_RESPONSE,
                                        .response = {.ltime = q->ltime,
                                                     .id = q->id,
                                                     .flags = flags,
                                                     .from = cluster_serf_name(s),
                                                     .payload = payload}};
    cursor_write(&c, room, sizeof(room));
    wire_serf_put(&c, &m);
    if (c.err != ERR_OK || c.at > CLUSTER_QUERY_BYTES)
        return ERR_LIMIT;
    if (addr_equal(&q->to, &cluster_swim_me(s->swim)->addr)) { /* our own query */
        cluster_serf_hear_response(s, &m.response);
        return ERR_OK;
    }
    if (!budget_allows(s))
        return ERR_OK; /* as if the network had lost it */
    s->counters.answers_out++;
    enum err err = cluster_swim_send(s->swim, &q->to, span_of(room, c.at), s->now_us);
    if (err == ERR_OK)
        send_relayed(s, q, span_of(room, c.at));
    return err;
}

static struct cluster_open_question *find_question(struct cluster_serf *s, uint32_t number)
{
    struct cluster_open_question *q = &s->question[number % CLUSTER_QUESTIONS_MAX];
    return number != 0 && q->number == number && q->deadline_us > s->now_us ? q : NULL;
}

enum err cluster_serf_answer(struct cluster_serf *s, uint32_t question, struct span payload,
                             int64_t now_us)
{
    cluster_serf_enter(s, now_us);
    struct cluster_open_question *open = find_question(s, question);
    if (!open)
        return ERR_NOT_FOUND;
    struct cluster_open_question q = *open;
    open->number = 0;
    enum err err = respond(s, &q, 0, payload);
    if (err == ERR_LIMIT && open->number == 0)
        *open = q; /* a shorter one may follow */
    return err;
}

/* Gives it a number when there is a place. */
static void keep_question(struct cluster_serf *s, struct cluster_open_question *q)
{
    for (uint32_t tries = 0; tries < CLUSTER_QUESTIONS_MAX; tries++) {
        if (++s->questions == 0)
            s->questions = CLUSTER_QUESTIONS_MAX;
        struct cluster_open_question *place =
            &s->question[s->questions % CLUSTER_QUESTIONS_MAX];
        if (place->number != 0 && place->deadline_us > s->now_us)
            continue;
        q->number = s->questions;
        *place = *q;
        return;
    }
}

/* --- queries --- */

static bool is_news(struct cluster_serf *s, const struct wire_serf_query *q)
{
    switch (cluster_queries_hear(s->queries, q->ltime, q->id)) {
    case CLUSTER_HEARD_NEWS:
        return true;
    case CLUSTER_HEARD_DUPLICATE:
        s->counters.queries_duplicate++;
        break;
    case CLUSTER_HEARD_OLD:
        s->counters.queries_old++;
        break;
    case CLUSTER_HEARD_DROPPED:
        s->counters.queries_dropped++;
        break;
    case CLUSTER_HEARD_REFUSED:
        s->counters.refused_ltime++;
        break;
    }
    return false;
}

static void put_question(struct cluster_serf *s, const struct wire_serf_query *q,
                         struct cluster_open_question *open)
{
    uint8_t room[CLUSTER_QUERY_BYTES];
    if (span_starts(q->name, SPAN("_serf_"))) {
        struct span answer = cluster_serf_internal(s, q->name, q->payload, room);
        if (answer.len > 0 && respond(s, open, 0, answer) != ERR_OK)
            s->counters.queries_dropped++;
        return;
    }
    if (!s->news.query)
        return;
    keep_question(s, open);
    const struct cluster_question question = {
        .number = open->number,
        .name = q->name,
        .payload = q->payload,
        .from = q->source_node,
        .ltime = q->ltime,
        .deadline_us = open->deadline_us,
    };
    s->news.query(s->news.user, &question);
}

void cluster_serf_hear_query(struct cluster_serf *s, const struct wire_serf_query *q,
                             struct span bytes)
{
    s->counters.queries_in++;
    if (!is_news(s, q))
        return;
    if (!(q->flags & WIRE_SERF_QUERY_NO_BROADCAST))
        cluster_serf_spread(s, CLUSTER_QUEUE_QUERIES, 0, bytes);
    if (q->addr.family == ADDR_NONE || q->addr.port == 0 || !meant(s, q->filters))
        return;
    int64_t timeout_us = q->timeout_ns / 1000;
    if (timeout_us > TIMEOUT_MAX_US)
        timeout_us = TIMEOUT_MAX_US;
    struct cluster_open_question open = {
        .id = q->id,
        .ltime = q->ltime,
        .to = q->addr,
        .deadline_us = s->now_us + (timeout_us > 0 ? timeout_us : 0),
        .relays = q->relay_factor,
    };
    if (q->source_node.len > 0 && q->source_node.len <= sizeof(open.asker)) {
        memcpy(open.asker, q->source_node.ptr, q->source_node.len);
        open.asker_bytes = (uint8_t)q->source_node.len;
    }
    if (q->flags & WIRE_SERF_QUERY_ACK &&
        respond(s, &open, WIRE_SERF_RESPONSE_ACK, span_of(NULL, 0)) != ERR_OK)
        s->counters.queries_dropped++;
    put_question(s, q, &open);
}

void cluster_serf_relay(struct cluster_serf *s, const struct addr *from,
                        const struct wire_serf_relay *r)
{
    if (r->dest.family == ADDR_NONE || r->dest.port == 0 || r->message.len == 0) {
        s->counters.refused_syntax++;
        return;
    }
    if (addr_equal(&r->dest, &cluster_swim_me(s->swim)->addr)) {
        /* For us: only answers are relayed, so that no message nests in itself. */
        if ((uint8_t)r->message.ptr[0] == WIRE_SERF_RESPONSE)
            cluster_serf_hear(s, from, r->message);
        return;
    }
    if (budget_allows(s) &&
        cluster_swim_send(s->swim, &r->dest, r->message, s->now_us) == ERR_OK)
        s->counters.relayed++;
}
