#include "cluster/serf_core.h"

#include <stdlib.h>

#define LEAVE_TOLD_US (5 * INT64_C(1000000)) /* so long an intent may take to be told */
#define REAP_EVERY_US (60 * INT64_C(1000000))
#define QUEUED_MAX 1350u /* fits a packet beside its wrappers */
#define TOMBSTONES 1024u /* places beyond those of members */

static const struct queue_limit {
    uint32_t messages;
    size_t bytes;
} limits[CLUSTER_QUEUES] = {
    [CLUSTER_QUEUE_INTENTS] = {1024, 256 << 10},
    [CLUSTER_QUEUE_QUERIES] = {512, 512 << 10},
    [CLUSTER_QUEUE_EVENTS] = {2048, 1 << 20},
};

struct span cluster_serf_name(const struct cluster_serf *s)
{
    return cluster_member_name(cluster_swim_me(s->swim));
}

uint64_t cluster_serf_id(const struct cluster_serf *s, struct span name)
{
    return cluster_members_id(cluster_swim_members(s->swim), name);
}

struct cluster_entry *cluster_serf_entry(const struct cluster_serf *s, struct span name)
{
    return cluster_roster_find(s->roster, cluster_serf_id(s, name), name);
}

void cluster_serf_spread(struct cluster_serf *s, enum cluster_queue queue, uint64_t subject,
                         struct span bytes)
{
    if (bytes.len <= QUEUED_MAX)
        cluster_broadcast_put(s->queue[queue], subject, bytes);
}

struct choice {
    const struct cluster_member *me;
    const struct addr *but;
};

static bool chosen(const void *user, const struct cluster_member *m)
{
    const struct choice *c = user;
    return m != c->me && m->state == CLUSTER_ALIVE && !(c->but && addr_equal(c->but, &m->addr));
}

uint32_t cluster_serf_pick(struct cluster_serf *s, const struct addr *but,
                           struct cluster_member **out, uint32_t max)
{
    const struct choice c = {cluster_swim_me(s->swim), but};
    return cluster_members_pick(cluster_swim_members(s->swim), &s->random, chosen, &c, out,
                                max);
}

static bool nobody_else(const struct cluster_serf *s)
{
    uint32_t here = cluster_roster_count_of(s->roster, CLUSTER_STATUS_ALIVE) +
                    cluster_roster_count_of(s->roster, CLUSTER_STATUS_LEAVING);
    return here <= 1;
}

/* --- what the swim tells and asks --- */

void cluster_serf_hear(struct cluster_serf *s, const struct addr *from, struct span bytes)
{
    struct wire_serf_message m;
    if (wire_serf_get(bytes, &m) != WIRE_FAULT_NONE) {
        s->counters.refused_syntax++;
        return;
    }
    switch (m.type) {
    case WIRE_SERF_LEAVE:
        if (cluster_serf_hear_leave(s, &m.leave))
            cluster_serf_spread(s, CLUSTER_QUEUE_INTENTS, cluster_serf_id(s, m.leave.node),
                                bytes);
        break;
    case WIRE_SERF_JOIN:
        if (cluster_serf_hear_join(s, &m.join))
            cluster_serf_spread(s, CLUSTER_QUEUE_INTENTS, cluster_serf_id(s, m.join.node),
                                bytes);
        break;
    case WIRE_SERF_EVENT:
        cluster_serf_hear_event(s, from, &m.event, bytes);
        break;
    case WIRE_SERF_QUERY:
        cluster_serf_hear_query(s, &m.query, bytes);
        break;
    case WIRE_SERF_RESPONSE:
        cluster_serf_hear_response(s, &m.response);
        break;
    case WIRE_SERF_RELAY:
        cluster_serf_relay(s, from, &m.relay);
        break;
    case WIRE_SERF_PUSH_PULL:
    case WIRE_SERF_CONFLICT:
    case WIRE_SERF_KEY_REQUEST:
    case WIRE_SERF_KEY_RESPONSE: /* parts of others */
        s->counters.refused_syntax++;
        break;
    }
}

static void message(void *user, const struct addr *from, struct span bytes)
{
    /* A copy: what is done about it may call into the swim, whose bytes end there. */
    char copy[CLUSTER_SERF_BYTES_MAX];
    struct cluster_serf *s = user;
    if (bytes.len > sizeof(copy)) {
        s->counters.refused_syntax++;
        return;
    }
    if (bytes.len > 0)
        memcpy(copy, bytes.ptr, bytes.len);
    cluster_serf_hear(s, from, span_of(copy, bytes.len));
}

static uint32_t broadcasts(void *user, size_t room, size_t overhead, bool counted,
                           struct span *out, uint32_t max)
{
    struct cluster_serf *s = user;
    uint32_t limit = cluster_swim_broadcast_limit(s->swim), count = 0;
    for (unsigned q = 0; q < CLUSTER_QUEUES; q++) {
        uint32_t more = cluster_broadcast_pick(s->queue[q], room, overhead, counted, limit,
                                               out + count, max - count);
        for (uint32_t i = 0; i < more; i++)
            room -= out[count + i].len + overhead;
        count += more;
    }
    return count;
}

static struct span ack_payload(void *user)
{
    struct cluster_serf *s = user;
    struct cursor c;
    cursor_write(&c, s->payload, sizeof(s->payload));
    wire_serf_coordinate_put(&c, &s->coordinate.at);
    must(c.err == ERR_OK);
    return span_of(s->payload, c.at);
}

static void acked(void *user, const struct cluster_member *m, int64_t rtt_us,
                  struct span payload)
{
    struct cluster_serf *s = user;
    struct cluster_entry *e = cluster_roster_find(s->roster, m->id, cluster_member_name(m));
    struct wire_serf_coordinate theirs;
    if (!e || rtt_us < 0 || rtt_us > INT32_MAX)
        return;
    e->rtt_own_us =
        (int32_t)(e->rtt_own_us < 0 ? rtt_us : (7 * (int64_t)e->rtt_own_us + rtt_us) / 8);
    if (payload.len == 0) /* it has none */
        return;
    if (wire_serf_coordinate_get(payload, &theirs) != WIRE_FAULT_NONE ||
        !cluster_coordinate_good(&theirs)) {
        s->counters.refused_coordinate++;
        return;
    }
    if (!e->coordinate)
        e->coordinate = must_alloc(sizeof(*e->coordinate));
    if (!cluster_coordinate_update(&s->coordinate, e->coordinate, &theirs, (double)rtt_us / 1e6,
                                   &s->random))
        s->counters.refused_coordinate++;
}

static void pulled(void *user, const struct addr *peer, bool join, enum err result)
{
    struct cluster_serf *s = user;
    struct addr seed = *peer;
    for (uint32_t i = 0; join && i < s->joins; i++) {
        if (!addr_equal(&s->join[i], &seed))
            continue;
        s->join[i] = s->join[--s->joins];
        if (result == ERR_OK && s->leaving == CLUSTER_STAYS)
            cluster_serf_say_join(s);
        if (result == ERR_OK && !nobody_else(s)) /* a seed may be this node itself */
            s->has_joined = true;
        if (s->news.join_done)
            s->news.join_done(s->news.user, &seed, result);
        return;
    }
}

/* --- its life --- */

static struct cluster_swim *make_swim(struct cluster_serf *s,
                                      const struct cluster_serf_conf *conf)
{
    const struct cluster_swim_upper upper = {
        .user = s,
        .joined = cluster_serf_joined,
        .left = cluster_serf_left,
        .failed = cluster_serf_failed,
        .updated = cluster_serf_updated,
        .conflict = cluster_serf_conflict,
        .message = message,
        .broadcasts = broadcasts,
        .local_state = cluster_serf_local_state,
        .remote_state = cluster_serf_remote_state,
        .ack_payload = ack_payload,
        .acked = acked,
        .pulled = pulled,
    };
    const struct cluster_swim_conf below = {
        .name = conf->name,
        .meta = conf->meta,
        .addr = conf->addr,
        .vsn = {1, 5, 2, 2, 5, 5}, /* as Debian's agent */
        .profile = conf->profile,
        .keyring = &s->keyring,
        .seed = conf->seed,
        .members_max = conf->members_max,
        .lifeguard = conf->lifeguard,
    };
    return cluster_swim_create(&below, &upper, s->now_us);
}

struct cluster_serf *cluster_serf_create(const struct cluster_serf_conf *conf,
                                         const struct cluster_serf_news *news, int64_t now_us)
{
    struct cluster_serf *s = must_alloc(sizeof(*s));
    uint32_t members = conf->members_max ? conf->members_max : CLUSTER_SWIM_MEMBERS_MAX;
    s->news = *news;
    s->keyring = conf->keyring;
    s->now_us = now_us;
    s->gossip_interval_us = conf->profile.gossip_interval_us;
    s->replay = conf->replay;
    s->clock.now = 1;
    cluster_random_seed(&s->random, hash_mix(conf->seed ^ 0x73657266));
    cluster_coordinate_init(&s->coordinate);
    s->roster = cluster_roster_create(members + TOMBSTONES);
    s->events = cluster_events_create();
    s->queries = cluster_queries_create();
    for (unsigned q = 0; q < CLUSTER_QUEUES; q++)
        s->queue[q] = cluster_broadcast_create(limits[q].messages, limits[q].bytes);
    s->reconnect_at_us =
        now_us + cluster_random_below(&s->random, (uint32_t)CLUSTER_RECONNECT_US);
    s->reap_at_us = now_us + REAP_EVERY_US;
    s->leave_at_us = s->revote_at_us = CLUSTER_SERF_NEVER_US;
    s->vote_at_us = now_us;
    s->swim = make_swim(s, conf);
    if (!s->swim) {
        cluster_serf_destroy(s);
        return NULL;
    }
    return s;
}

void cluster_serf_destroy(struct cluster_serf *s)
{
    if (!s)
        return;
    s->news.conflict = NULL; /* a vote that ends here decides nothing */
    cluster_serf_ask_fini(s);
    cluster_swim_destroy(s->swim);
    for (unsigned q = 0; q < CLUSTER_QUEUES; q++)
        cluster_broadcast_destroy(s->queue[q]);
    cluster_queries_destroy(s->queries);
    cluster_events_destroy(s->events);
    cluster_roster_destroy(s->roster);
    cluster_intents_fini(&s->intents);
    free(s->state);
    free(s);
}

struct cluster_swim *cluster_serf_enter(struct cluster_serf *s, int64_t now_us)
{
    if (now_us > s->now_us)
        s->now_us = now_us;
    return s->swim;
}

const struct cluster_swim *cluster_serf_swim(const struct cluster_serf *s)
{
    return s->swim;
}

/* First the intent is told, so that others will not think that this node failed. */
static void leave_tick(struct cluster_serf *s)
{
    if (s->leaving != CLUSTER_TELLS)
        return;
    uint64_t me = cluster_serf_id(s, cluster_serf_name(s));
    if (cluster_broadcast_holds(s->queue[CLUSTER_QUEUE_INTENTS], me) && !nobody_else(s) &&
        s->now_us < s->leave_at_us)
        return;
    s->leaving = CLUSTER_GOES;
    s->leave_at_us = CLUSTER_SERF_NEVER_US;
    cluster_swim_leave(s->swim, s->now_us);
}

void cluster_serf_tick(struct cluster_serf *s, int64_t now_us)
{
    cluster_swim_tick(cluster_serf_enter(s, now_us), now_us);
    cluster_serf_ask_tick(s);
    cluster_serf_conflict_tick(s);
    leave_tick(s);
    if (s->now_us >= s->reap_at_us) {
        s->reap_at_us = s->now_us + REAP_EVERY_US;
        cluster_serf_reap(s);
    }
    if (s->now_us >= s->reconnect_at_us) {
        s->reconnect_at_us = s->now_us + CLUSTER_RECONNECT_US;
        cluster_serf_reconnect(s);
    }
}

int64_t cluster_serf_deadline_us(const struct cluster_serf *s)
{
    const int64_t at_us[] = {
        cluster_swim_deadline_us(s->swim),
        cluster_serf_ask_deadline_us(s),
        s->reap_at_us,
        s->reconnect_at_us,
        s->leave_at_us,
        s->revote_at_us,
    };
    int64_t first_us = at_us[0];
    for (unsigned i = 1; i < ARRAY_LEN(at_us); i++)
        if (at_us[i] < first_us)
            first_us = at_us[i];
    return first_us;
}

void cluster_serf_join(struct cluster_serf *s, const struct addr *seed, int64_t now_us)
{
    cluster_serf_enter(s, now_us);
    if (s->joins == CLUSTER_SERF_JOINS || s->leaving != CLUSTER_STAYS) {
        if (s->news.join_done)
            s->news.join_done(s->news.user, seed, ERR_LIMIT);
        return;
    }
    s->join[s->joins++] = *seed;
    cluster_swim_join(s->swim, seed, s->now_us);
}

void cluster_serf_leave(struct cluster_serf *s, int64_t now_us)
{
    cluster_serf_enter(s, now_us);
    if (s->leaving != CLUSTER_STAYS)
        return;
    s->leaving = CLUSTER_TELLS;
    s->leave_at_us = s->now_us + LEAVE_TOLD_US;
    cluster_serf_say_leave(s, cluster_serf_name(s), false);
    leave_tick(s);
}

bool cluster_serf_leave_told(const struct cluster_serf *s)
{
    return s->leaving == CLUSTER_GOES && cluster_swim_leave_told(s->swim);
}

void cluster_serf_set_meta(struct cluster_serf *s, struct span meta, int64_t now_us)
{
    cluster_serf_enter(s, now_us);
    cluster_swim_set_meta(s->swim, meta, s->now_us);
}

/* --- the view --- */

const struct cluster_roster *cluster_serf_roster(const struct cluster_serf *s)
{
    return s->roster;
}

int64_t cluster_serf_rtt_us(const struct cluster_serf *s, const struct cluster_entry *e)
{
    if (!e->coordinate || e->coordinate->count == 0)
        return -1;
    return (int64_t)(cluster_coordinate_distance_s(&s->coordinate.at, &e->coordinate->at) *
                     1e6);
}

struct wire_keyring *cluster_serf_keyring(struct cluster_serf *s)
{
    return &s->keyring;
}

bool cluster_serf_conflict_lost(const struct cluster_serf *s)
{
    return s->conflict_lost;
}

const struct cluster_serf_counters *cluster_serf_counters(const struct cluster_serf *s)
{
    return &s->counters;
}

void cluster_serf_gauges(const struct cluster_serf *s, struct cluster_serf_gauges *out)
{
    *out = (struct cluster_serf_gauges){
        .queue_intents = cluster_broadcast_count(s->queue[CLUSTER_QUEUE_INTENTS]),
        .queue_queries = cluster_broadcast_count(s->queue[CLUSTER_QUEUE_QUERIES]),
        .queue_events = cluster_broadcast_count(s->queue[CLUSTER_QUEUE_EVENTS]),
        .ltime = s->clock.now,
        .event_ltime = cluster_events_now(s->events),
        .query_ltime = cluster_queries_now(s->queries),
    };
    for (unsigned q = 0; q < CLUSTER_QUEUES; q++)
        out->queue_dropped += cluster_broadcast_dropped(s->queue[q]);
}
