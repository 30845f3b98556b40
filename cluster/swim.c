#include "cluster/swim_core.h"

#include <stdlib.h>

#define MS INT64_C(1000)
#define SECOND (1000 * MS)
#define SILENCE_INTERVALS 3 /* probe intervals without a sign of life of anybody */
#define STALL_INTERVALS 2   /* probe intervals without a call */
#define BROADCASTS 4096u
#define BROADCAST_BYTES ((size_t)2 << 20)

const struct cluster_swim_profile cluster_swim_lan = {
    .gossip_interval_us = 200 * MS,
    .probe_interval_us = 1 * SECOND,
    .probe_timeout_us = 500 * MS,
    .push_pull_interval_us = 30 * SECOND,
    .dead_gossip_us = 30 * SECOND,
    .stream_timeout_us = 10 * SECOND,
    .reclaim_us = 10 * SECOND,
    .gossip_peers = 3,
    .indirect_probes = 3,
    .suspicion_mult = 4,
    .suspicion_max_mult = 6,
    .retransmit_mult = 4,
};

/* memberlist's, but for the gossip tick: at its 500 ms, news crosses the world too slowly. */
const struct cluster_swim_profile cluster_swim_wan = {
    .gossip_interval_us = 200 * MS,
    .probe_interval_us = 5 * SECOND,
    .probe_timeout_us = 3 * SECOND,
    .push_pull_interval_us = 60 * SECOND,
    .dead_gossip_us = 60 * SECOND,
    .stream_timeout_us = 30 * SECOND,
    .reclaim_us = 10 * SECOND,
    .gossip_peers = 4,
    .indirect_probes = 3,
    .suspicion_mult = 6,
    .suspicion_max_mult = 6,
    .retransmit_mult = 4,
};

const struct cluster_swim_profile cluster_swim_local = {
    .gossip_interval_us = 100 * MS,
    .probe_interval_us = 1 * SECOND,
    .probe_timeout_us = 200 * MS,
    .push_pull_interval_us = 15 * SECOND,
    .dead_gossip_us = 15 * SECOND,
    .stream_timeout_us = 1 * SECOND,
    .reclaim_us = 10 * SECOND,
    .gossip_peers = 3,
    .indirect_probes = 1,
    .suspicion_mult = 3,
    .suspicion_max_mult = 6,
    .retransmit_mult = 2,
};

static int64_t silence_us(const struct cluster_swim *s)
{
    return SILENCE_INTERVALS * s->profile.probe_interval_us;
}

/* A node that was stopped cannot tell who answered meanwhile: the answers lie unread in its
 * socket. So the time of a stall passes for nobody whom it watches. */
void cluster_swim_advance(struct cluster_swim *s, int64_t clock_us)
{
    int64_t passed_us = clock_us - s->clock_us;
    if (passed_us <= 0)
        return;
    s->clock_us = clock_us;
    if (passed_us > STALL_INTERVALS * s->profile.probe_interval_us) {
        s->counters.stalls++;
        s->silence_at_us = s->now_us;
        if (s->lifeguard) {
            cluster_swim_probe_forget(s);
            return;
        }
    }
    s->now_us += passed_us;
}

int64_t cluster_swim_next_tick_us(const struct cluster_swim *s, int64_t at_us,
                                  int64_t interval_us)
{
    int64_t late_us = s->now_us - at_us;
    return at_us + interval_us * (1 + late_us / interval_us);
}

void cluster_swim_heard(struct cluster_swim *s)
{
    /* When it is due already, after a stall, what was heard may be old. */
    if (s->silence_at_us > s->now_us)
        s->silence_at_us = s->now_us + silence_us(s);
}

static void silence_tick(struct cluster_swim *s)
{
    if (s->now_us < s->silence_at_us)
        return;
    s->silence_at_us = s->now_us + silence_us(s);
    if (cluster_members_count(s->members) > 1) {
        s->counters.silences++;
        cluster_swim_pull_somebody(s);
    }
}

static struct hash_key draw_key(struct cluster_random *r)
{
    struct hash_key key;
    key.k0 = (uint64_t)cluster_random_u32(r) << 32 | cluster_random_u32(r);
    key.k1 = (uint64_t)cluster_random_u32(r) << 32 | cluster_random_u32(r);
    return key;
}

static int64_t some_time_in(struct cluster_swim *s, int64_t interval_us)
{
    return s->now_us + cluster_random_below(&s->random, (uint32_t)interval_us);
}

/* Nodes that start together do not tick together. */
static void start_timers(struct cluster_swim *s)
{
    s->gossip_at_us = some_time_in(s, s->profile.gossip_interval_us);
    s->probe_at_us = some_time_in(s, s->profile.probe_interval_us);
    s->push_pull_at_us = some_time_in(s, s->profile.push_pull_interval_us);
    s->suspicion_at_us = CLUSTER_NEVER_US;
    s->silence_at_us = s->now_us + silence_us(s);
}

static bool interval_good(int64_t us)
{
    return us > 0 && us <= UINT32_MAX;
}

static bool conf_good(const struct cluster_swim_conf *c)
{
    const struct cluster_swim_profile *p = &c->profile;
    return c->name.len > 0 && c->name.len <= CLUSTER_NAME_MAX &&
           c->meta.len <= CLUSTER_META_MAX && c->addr.family != ADDR_NONE && c->addr.port > 0 &&
           cluster_swim_vsn_good(c->vsn) && interval_good(p->gossip_interval_us) &&
           interval_good(p->probe_interval_us) && interval_good(p->push_pull_interval_us);
}

static void add_me(struct cluster_swim *s, const struct cluster_swim_conf *conf)
{
    must(cluster_members_add(s->members, conf->name, &s->random, &s->me) == ERR_OK);
    cluster_member_set_meta(s->me, conf->meta);
    memcpy(s->me->vsn, conf->vsn, sizeof(s->me->vsn));
    s->me->addr = conf->addr;
    s->me->state = CLUSTER_ALIVE;
    s->me->since_us = s->now_us;
    s->me->incarnation = 1;
    cluster_swim_tell_me(s);
    if (s->upper.joined)
        s->upper.joined(s->upper.user, s->me);
}

struct cluster_swim *cluster_swim_create(const struct cluster_swim_conf *conf,
                                         const struct cluster_swim_upper *upper, int64_t now_us)
{
    if (!conf_good(conf))
        return NULL;
    struct cluster_swim *s = must_alloc(sizeof(*s));
    s->profile = conf->profile;
    s->upper = *upper;
    s->keyring = conf->keyring;
    s->lifeguard = conf->lifeguard;
    s->clock_us = s->now_us = now_us;
    cluster_random_seed(&s->random, conf->seed);
    s->seq_no = cluster_random_u32(&s->random);
    s->members = cluster_members_create(
        conf->members_max ? conf->members_max : CLUSTER_SWIM_MEMBERS_MAX, draw_key(&s->random));
    s->broadcasts = cluster_broadcast_create(BROADCASTS, BROADCAST_BYTES);
    s->scratch = must_alloc(sizeof(*s->scratch));
    cluster_inbox_init(&s->inbox);
    start_timers(s);
    add_me(s, conf);
    return s;
}

void cluster_swim_destroy(struct cluster_swim *s)
{
    if (!s)
        return;
    cluster_swim_stream_fini(s);
    cluster_outbox_fini(&s->outbox);
    cluster_inbox_fini(&s->inbox);
    cluster_broadcast_destroy(s->broadcasts);
    cluster_members_destroy(s->members);
    free(s->scratch);
    free(s);
}

void cluster_swim_keep_user(struct cluster_swim *s, const struct addr *from, struct span bytes)
{
    s->counters.user_in++;
    s->counters.dropped_inbox += cluster_inbox_put(&s->inbox, from, bytes);
}

static void take_alive(struct cluster_swim *s, const struct wire_alive *a)
{
    cluster_swim_alive(s, &(struct cluster_swim_claim){.name = a->node,
                                                       .meta = a->meta,
                                                       .addr = a->addr,
                                                       .vsn = a->vsn,
                                                       .incarnation = a->incarnation});
}

static void take(struct cluster_swim *s, const struct wire_message *m, const struct addr *from)
{
    switch (m->type) {
    case WIRE_PING:
        cluster_swim_ping(s, &m->ping, from);
        break;
    case WIRE_INDIRECT_PING:
        cluster_swim_indirect_ping(s, &m->indirect_ping, from);
        break;
    case WIRE_ACK:
        cluster_swim_ack(s, &m->ack);
        break;
    case WIRE_NACK:
        cluster_swim_nack(s, &m->nack);
        break;
    case WIRE_SUSPECT:
        cluster_swim_suspect(s, &m->suspect);
        break;
    case WIRE_ALIVE:
        take_alive(s, &m->alive);
        break;
    case WIRE_DEAD:
        cluster_swim_dead(s, &m->dead);
        break;
    case WIRE_USER:
        cluster_swim_keep_user(s, from, m->user);
        break;
    default: /* those of streams */
        s->counters.dropped_refused++;
        break;
    }
}

void cluster_swim_packet(struct cluster_swim *s, const struct addr *from, struct span bytes,
                         int64_t now_us)
{
    struct wire_packet packet;
    struct wire_message message;
    enum wire_fault fault;
    bool asked = false;
    cluster_swim_advance(s, now_us);
    s->counters.packets_in++;
    s->counters.bytes_in += bytes.len;
    s->heard_from = from;
    wire_packet_begin(&packet, bytes, s->keyring, s->scratch);
    while (wire_packet_next(&packet, &message, &fault)) {
        if (fault != WIRE_FAULT_NONE) {
            s->counters.faults[fault]++;
            continue;
        }
        cluster_swim_heard(s);
        /* Nobody sends two pings at once; a thousand in one packet would be answered by a
         * thousand, to any address. */
        bool asks = message.type == WIRE_PING || message.type == WIRE_INDIRECT_PING;
        if (asks && asked) {
            s->counters.dropped_refused++;
            continue;
        }
        asked = asked || asks;
        take(s, &message, from);
    }
    s->heard_from = NULL;
}

static void give_up_users(struct cluster_swim *s)
{
    struct addr from;
    struct span bytes;
    for (uint32_t i = 0; i < CLUSTER_SWIM_INBOX_TICK; i++) {
        if (!cluster_inbox_take(&s->inbox, &from, &bytes))
            return;
        if (s->upper.message)
            s->upper.message(s->upper.user, &from, bytes);
    }
}

void cluster_swim_tick(struct cluster_swim *s, int64_t now_us)
{
    cluster_swim_advance(s, now_us);
    give_up_users(s);
    cluster_swim_relay_tick(s);
    cluster_swim_stream_tick(s);
    cluster_swim_expire(s);
    cluster_swim_probe_tick(s);
    cluster_swim_gossip_tick(s);
    cluster_swim_push_pull_tick(s);
    silence_tick(s);
}

int64_t cluster_swim_deadline_us(const struct cluster_swim *s)
{
    const int64_t at_us[] = {
        s->gossip_at_us,
        s->push_pull_at_us,
        s->suspicion_at_us,
        s->silence_at_us,
        cluster_swim_probe_deadline_us(s),
        cluster_swim_stream_deadline_us(s),
    };
    if (s->inbox.count > 0)
        return s->clock_us;
    int64_t first_us = at_us[0];
    for (unsigned i = 1; i < ARRAY_LEN(at_us); i++)
        if (at_us[i] < first_us)
            first_us = at_us[i];
    return first_us > s->now_us ? s->clock_us + (first_us - s->now_us) : s->clock_us;
}

bool cluster_swim_next(struct cluster_swim *s, struct cluster_swim_output *out)
{
    return cluster_outbox_next(&s->outbox, out);
}

void cluster_swim_join(struct cluster_swim *s, const struct addr *seed, int64_t now_us)
{
    cluster_swim_advance(s, now_us);
    cluster_swim_pull(s, seed, true);
}

void cluster_swim_set_meta(struct cluster_swim *s, struct span meta, int64_t now_us)
{
    cluster_swim_advance(s, now_us);
    bool other = !span_equal(meta, cluster_member_meta(s->me));
    cluster_member_set_meta(s->me, meta);
    if (s->leaving)
        return;
    if (s->me->incarnation < UINT32_MAX)
        s->me->incarnation++;
    cluster_swim_tell_me(s);
    if (other && s->upper.updated)
        s->upper.updated(s->upper.user, s->me);
}

void cluster_swim_leave(struct cluster_swim *s, int64_t now_us)
{
    cluster_swim_advance(s, now_us);
    if (s->leaving)
        return;
    s->leaving = true;
    cluster_swim_dead(s, &(struct wire_dead){.incarnation = s->me->incarnation,
                                             .node = cluster_member_name(s->me),
                                             .from = cluster_member_name(s->me)});
}

bool cluster_swim_leave_told(const struct cluster_swim *s)
{
    if (!s->leaving)
        return false;
    if (!cluster_broadcast_holds(s->broadcasts, s->me->id))
        return true;
    for (uint32_t i = 0; i < cluster_members_count(s->members); i++)
        if (cluster_members_at(s->members, i)->state == CLUSTER_ALIVE)
            return false; /* this node has left, so it is another */
    return true;
}

const struct cluster_members *cluster_swim_members(const struct cluster_swim *s)
{
    return s->members;
}

const struct cluster_member *cluster_swim_me(const struct cluster_swim *s)
{
    return s->me;
}

uint32_t cluster_swim_health(const struct cluster_swim *s)
{
    return s->health;
}

uint32_t cluster_swim_broadcasts_waiting(const struct cluster_swim *s)
{
    return cluster_broadcast_count(s->broadcasts);
}

const struct cluster_swim_counters *cluster_swim_counters(const struct cluster_swim *s)
{
    return &s->counters;
}
