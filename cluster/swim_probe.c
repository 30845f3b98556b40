#include "cluster/swim_core.h"

#define PMAX_STREAM_PING 3 /* protocol versions that understand these */
#define PMAX_NACK 4
#define PMAX_CRC 5
#define INDIRECT_MAX 8u

static uint8_t pmax(const struct cluster_member *m)
{
    return m->vsn[1];
}

static struct wire_ping ping_for(const struct cluster_swim *s, uint32_t seq_no,
                                 struct span node)
{
    return (struct wire_ping){
        .seq_no = seq_no,
        .node = node,
        .source_addr = s->me->addr,
        .source_node = cluster_member_name(s->me),
    };
}

/* A suspect hears at once what is said about it, so that it can refute (the buddy system). */
static void send_ping_to_suspect(struct cluster_swim *s, const struct cluster_member *m,
                                 const struct wire_message *ping)
{
    struct wire_message suspect = {
        .type = WIRE_SUSPECT,
        .suspect = {.incarnation = m->incarnation,
                    .node = cluster_member_name(m),
                    .from = cluster_member_name(s->me)},
    };
    struct wire_pack pack;
    wire_pack_init(&pack, s->keyring && s->keyring->count > 0);
    must(wire_pack_add_message(&pack, ping) && wire_pack_add_message(&pack, &suspect));
    cluster_swim_finish(s, &pack, pmax(m) >= PMAX_CRC, &m->addr);
}

static void start(struct cluster_swim *s, struct cluster_member *m)
{
    int64_t interval_us = s->profile.probe_interval_us;
    s->probe = (struct cluster_probe){
        .target = m,
        .seq_no = ++s->seq_no,
        .incarnation = m->incarnation,
        .sent_us = s->now_us,
        .indirect_at_us = s->now_us + s->profile.probe_timeout_us,
        .deadline_us = s->now_us + interval_us * (int64_t)(s->health + 1),
    };
    s->counters.probes++;
    struct wire_message ping = {
        .type = WIRE_PING,
        .ping = ping_for(s, s->probe.seq_no, cluster_member_name(m)),
    };
    if (m->state == CLUSTER_SUSPECT && s->lifeguard)
        send_ping_to_suspect(s, m, &ping);
    else
        cluster_swim_say(s, &m->addr, m, &ping);
}

/* The next whose turn it is and who may live; the dead are forgotten between two rounds. */
static struct cluster_member *choose(struct cluster_swim *s)
{
    uint32_t turns = 2 * cluster_members_count(s->members) + 1; /* the rest, then all */
    for (uint32_t i = 0; i < turns; i++) {
        struct cluster_member *m =
            cluster_members_turn(s->members, CLUSTER_RING_PROBE, &s->random);
        if (!m)
            cluster_swim_reap(s);
        else if (m != s->me && !cluster_member_gone(m))
            return m;
    }
    return NULL;
}

static bool may_help(const void *user, const struct cluster_member *m)
{
    const struct cluster_swim *s = user;
    return m != s->me && m != s->probe.target && m->state == CLUSTER_ALIVE;
}

static void ask_others(struct cluster_swim *s)
{
    struct cluster_probe *p = &s->probe;
    struct cluster_member *helper[INDIRECT_MAX];
    uint32_t helpers = cluster_members_pick(
        s->members, &s->random, may_help, s, helper,
        s->profile.indirect_probes < INDIRECT_MAX ? s->profile.indirect_probes : INDIRECT_MAX);
    p->indirect = true;
    for (uint32_t i = 0; i < helpers; i++) {
        struct wire_message m = {
            .type = WIRE_INDIRECT_PING,
            .indirect_ping = {.seq_no = p->seq_no,
                              .node = cluster_member_name(p->target),
                              .target = p->target->addr,
                              .nack = pmax(helper[i]) >= PMAX_NACK,
                              .source_addr = s->me->addr,
                              .source_node = cluster_member_name(s->me)},
        };
        p->nacks_wanted += m.indirect_ping.nack;
        s->counters.probes_indirect++;
        cluster_swim_say(s, &helper[i]->addr, helper[i], &m);
    }
    if (pmax(p->target) >= PMAX_STREAM_PING) {
        struct wire_ping ping = ping_for(s, p->seq_no, cluster_member_name(p->target));
        cluster_swim_stream_ping(s, p->target, &ping, p->deadline_us);
    }
}

static void succeed(struct cluster_swim *s)
{
    s->probe.target = NULL;
    cluster_swim_feel(s, -1);
}

static void fail(struct cluster_swim *s)
{
    struct cluster_probe p = s->probe;
    s->probe.target = NULL;
    s->counters.probes_failed++;
    /* Helpers that are well say at least that they got no answer. Who misses those nacks, too,
     * is probably the one with the problem. */
    cluster_swim_feel(s, p.nacks_wanted > 0 ? (int)(p.nacks_wanted - p.nacks) : 1);
    cluster_swim_suspect(s, &(struct wire_suspect){.incarnation = p.incarnation,
                                                   .node = cluster_member_name(p.target),
                                                   .from = cluster_member_name(s->me)});
}

void cluster_swim_probe_tick(struct cluster_swim *s)
{
    struct cluster_probe *p = &s->probe;
    if (p->target && !p->indirect && s->now_us >= p->indirect_at_us)
        ask_others(s);
    if (p->target && s->now_us >= p->deadline_us)
        fail(s);
    if (p->target || s->now_us < s->probe_at_us)
        return;
    s->probe_at_us = cluster_swim_next_tick_us(s, s->probe_at_us, s->profile.probe_interval_us);
    struct cluster_member *m = choose(s);
    if (m)
        start(s, m);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t cluster_swim_probe_deadline_us(const struct cluster_swim *s)
{
    const struct cluster_probe *p = &s->probe;
    int64_t at_us = s->probe_at_us;
    if (p->target)
        at_us = p->indirect ? p->deadline_us : earlier(p->indirect_at_us, p->deadline_us);
    return s->relays > 0 ? earlier(at_us, s->relay[0].deadline_us) : at_us;
}

void cluster_swim_probe_forget(struct cluster_swim *s)
{
    s->probe.target = NULL;
}

void cluster_swim_forget_member(struct cluster_swim *s, const struct cluster_member *m)
{
    if (s->probe.target == m)
        s->probe.target = NULL;
    for (uint32_t i = 0; i < s->relays; i++)
        if (s->relay[i].member == m)
            s->relay[i].member = NULL;
}

/* Where an answer goes: to the address that was told, else to where the packet came from. */
static const struct addr *answer_addr(const struct addr *told, const struct addr *from)
{
    return told->family != ADDR_NONE && told->port > 0 ? told : from;
}

void cluster_swim_ping(struct cluster_swim *s, const struct wire_ping *p,
                       const struct addr *from)
{
    /* An address may have been another node's before. */
    if (p->node.len > 0 && !span_equal(p->node, cluster_member_name(s->me))) {
        s->counters.dropped_unknown++;
        return;
    }
    struct span payload = {0};
    if (s->upper.ack_payload)
        payload = s->upper.ack_payload(s->upper.user);
    must(payload.len <= CLUSTER_SWIM_PAYLOAD_MAX);
    cluster_swim_say(s, answer_addr(&p->source_addr, from),
                     cluster_members_find(s->members, p->source_node),
                     &(struct wire_message){.type = WIRE_ACK,
                                            .ack = {.seq_no = p->seq_no, .payload = payload}});
}

void cluster_swim_indirect_ping(struct cluster_swim *s, const struct wire_indirect_ping *p,
                                const struct addr *from)
{
    if (p->target.family == ADDR_NONE || p->target.port == 0 ||
        p->node.len > CLUSTER_NAME_MAX) {
        s->counters.dropped_refused++;
        return;
    }
    if (s->relays == CLUSTER_SWIM_RELAYS) {
        s->counters.dropped_relay++;
        return;
    }
    struct cluster_relay *r = &s->relay[s->relays++];
    *r = (struct cluster_relay){
        .seq_no = ++s->seq_no,
        .their_seq_no = p->seq_no,
        .asker = *answer_addr(&p->source_addr, from),
        .member = cluster_members_find(s->members, p->source_node),
        .deadline_us = s->now_us + s->profile.probe_timeout_us,
        .nack = p->nack,
    };
    s->counters.relayed++;
    cluster_swim_say(
        s, &p->target, cluster_members_find(s->members, p->node),
        &(struct wire_message){.type = WIRE_PING, .ping = ping_for(s, r->seq_no, p->node)});
}

static void drop_relay(struct cluster_swim *s, uint32_t at)
{
    s->relays--;
    memmove(&s->relay[at], &s->relay[at + 1], (s->relays - at) * sizeof(s->relay[0]));
}

static bool ack_relay(struct cluster_swim *s, uint32_t seq_no)
{
    for (uint32_t i = 0; i < s->relays; i++) {
        struct cluster_relay r = s->relay[i];
        if (r.seq_no != seq_no)
            continue;
        drop_relay(s, i);
        cluster_swim_say(
            s, &r.asker, r.member,
            &(struct wire_message){.type = WIRE_ACK, .ack = {.seq_no = r.their_seq_no}});
        return true;
    }
    return false;
}

void cluster_swim_ack(struct cluster_swim *s, const struct wire_ack *a)
{
    struct cluster_probe p = s->probe;
    if (!p.target || p.seq_no != a->seq_no) {
        if (!ack_relay(s, a->seq_no))
            s->counters.dropped_unknown++;
        return;
    }
    succeed(s);
    /* After others were asked, it may be an ack by a detour. */
    if (!p.indirect && s->upper.acked)
        s->upper.acked(s->upper.user, p.target, s->now_us - p.sent_us, a->payload);
}

void cluster_swim_nack(struct cluster_swim *s, const struct wire_nack *n)
{
    struct cluster_probe *p = &s->probe;
    if (!p->target || p->seq_no != n->seq_no || p->nacks >= p->nacks_wanted) {
        s->counters.dropped_unknown++;
        return;
    }
    p->nacks++;
    s->counters.nacks_in++;
}

void cluster_swim_probe_by_stream(struct cluster_swim *s, uint32_t seq_no)
{
    if (!s->probe.target || s->probe.seq_no != seq_no)
        return;
    s->counters.probes_by_stream++;
    succeed(s);
}

void cluster_swim_relay_tick(struct cluster_swim *s)
{
    while (s->relays > 0 && s->relay[0].deadline_us <= s->now_us) {
        struct cluster_relay r = s->relay[0];
        drop_relay(s, 0);
        if (!r.nack)
            continue;
        s->counters.nacks_out++;
        cluster_swim_say(
            s, &r.asker, r.member,
            &(struct wire_message){.type = WIRE_NACK, .nack = {.seq_no = r.their_seq_no}});
    }
}
