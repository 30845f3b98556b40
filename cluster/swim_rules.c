#include "cluster/swim_core.h"

#include <stdlib.h>

/* To a suspect, before its end, half a probe interval apart. */
#define WARNINGS_MIN 6u
#define WARNINGS_MAX 12u
#define ASKED 3u     /* the last ones go by stream, too */
#define ASKED_MAX 4u /* such streams at once; when more are suspect, the network is parted */

static struct cluster_swim_claim claim_of(const struct cluster_member *m)
{
    return (struct cluster_swim_claim){
        .name = cluster_member_name(m),
        .meta = cluster_member_meta(m),
        .addr = m->addr,
        .vsn = m->vsn,
        .incarnation = m->incarnation,
    };
}

static struct wire_message alive_message(const struct cluster_swim_claim *c)
{
    struct wire_message m = {
        .type = WIRE_ALIVE,
        .alive = {.incarnation = c->incarnation,
                  .node = c->name,
                  .addr = c->addr,
                  .meta = c->meta},
    };
    memcpy(m.alive.vsn, c->vsn, sizeof(m.alive.vsn));
    return m;
}

static void spread_alive(struct cluster_swim *s, uint64_t subject,
                         const struct cluster_swim_claim *c)
{
    struct wire_message m = alive_message(c);
    cluster_swim_spread(s, subject, &m);
}

void cluster_swim_tell_me(struct cluster_swim *s)
{
    struct cluster_swim_claim c = claim_of(s->me);
    spread_alive(s, s->me->id, &c);
}

void cluster_swim_feel(struct cluster_swim *s, int delta)
{
    if (!s->lifeguard)
        return;
    int health = (int)s->health + delta;
    int worst = (int)CLUSTER_SWIM_HEALTH_MAX;
    s->health = (uint32_t)(health < 0 ? 0 : health > worst ? worst : health);
}

/* Somebody says something wrong about this node: say the truth with a higher number. */
static void refute(struct cluster_swim *s, uint32_t their_incarnation)
{
    if (their_incarnation > s->me->incarnation)
        s->me->incarnation = their_incarnation;
    if (s->me->incarnation < UINT32_MAX)
        s->me->incarnation++;
    s->counters.refuted++;
    cluster_swim_feel(s, 1);
    cluster_swim_tell_me(s);
}

static void set_state(struct cluster_swim *s, struct cluster_member *m,
                      enum cluster_state state)
{
    m->state = (uint8_t)state;
    m->since_us = s->now_us;
    if (state != CLUSTER_SUSPECT) {
        free(m->suspicion);
        m->suspicion = NULL;
    }
}

/* memberlist refuses a whole push/pull for one member whose current version is out of range,
 * so nobody may enter who would poison those that this node sends. */
bool cluster_swim_vsn_good(const uint8_t *vsn)
{
    return vsn[0] > 0 && vsn[1] > 0 && vsn[0] <= vsn[2] && vsn[2] <= vsn[1] &&
           vsn[3] <= vsn[5] && vsn[5] <= vsn[4];
}

static bool claim_good(struct cluster_swim *s, const struct cluster_swim_claim *c)
{
    return c->name.len > 0 && c->name.len <= CLUSTER_NAME_MAX &&
           c->meta.len <= CLUSTER_META_MAX && c->addr.family != ADDR_NONE && c->addr.port > 0 &&
           cluster_swim_vsn_good(c->vsn) &&
           (!s->upper.accept || s->upper.accept(s->upper.user, c));
}

static void tell_conflict(struct cluster_swim *s, const struct cluster_member *holder,
                          const struct cluster_swim_claim *other)
{
    s->counters.conflicts++;
    if (s->upper.conflict)
        s->upper.conflict(s->upper.user, holder, other);
}

static void alive_me(struct cluster_swim *s, const struct cluster_swim_claim *c)
{
    struct cluster_member *me = s->me;
    if (s->leaving)
        return;
    if (!addr_equal(&me->addr, &c->addr)) {
        tell_conflict(s, me, c);
        return;
    }
    if (c->incarnation < me->incarnation)
        return;
    /* The same number may be an earlier start of this node, with other tags. */
    if (c->incarnation == me->incarnation && span_equal(c->meta, cluster_member_meta(me)) &&
        memcmp(c->vsn, me->vsn, sizeof(me->vsn)) == 0)
        return;
    refute(s, c->incarnation);
}

static bool may_move(const struct cluster_swim *s, const struct cluster_member *m)
{
    return m->state == CLUSTER_LEFT ||
           (m->state == CLUSTER_DEAD && s->now_us - m->since_us >= s->profile.reclaim_us);
}

static void believe(struct cluster_swim *s, struct cluster_member *m,
                    const struct cluster_swim_claim *c)
{
    bool was_gone = cluster_member_gone(m);
    bool other_meta = !span_equal(c->meta, cluster_member_meta(m));
    spread_alive(s, m->id, c);
    m->incarnation = c->incarnation;
    m->addr = c->addr;
    memcpy(m->vsn, c->vsn, sizeof(m->vsn));
    if (other_meta)
        cluster_member_set_meta(m, c->meta);
    if (m->state != CLUSTER_ALIVE)
        set_state(s, m, CLUSTER_ALIVE);
    if (was_gone) {
        s->counters.joined++;
        if (s->upper.joined)
            s->upper.joined(s->upper.user, m);
    } else if (other_meta && s->upper.updated) {
        s->upper.updated(s->upper.user, m);
    }
}

void cluster_swim_alive(struct cluster_swim *s, const struct cluster_swim_claim *c)
{
    if (!claim_good(s, c)) {
        s->counters.dropped_refused++;
        return;
    }
    struct cluster_member *m = cluster_members_find(s->members, c->name);
    if (m == s->me) {
        alive_me(s, c);
        return;
    }
    bool news = !m;
    if (!m) {
        if (cluster_members_add(s->members, c->name, &s->random, &m) != ERR_OK) {
            s->counters.dropped_member++;
            return;
        }
        m->since_us = s->now_us;
    } else if (!addr_equal(&m->addr, &c->addr)) {
        news = may_move(s, m);
        if (!news) {
            tell_conflict(s, m, c);
            return;
        }
    }
    if (news || c->incarnation > m->incarnation)
        believe(s, m, c);
}

/* Somebody accuses this node with a number that it refuted since: gossip reaches nearly all,
 * and that one is who it missed. */
static void refute_again(struct cluster_swim *s)
{
    if (!s->lifeguard || !s->heard_from || s->leaving)
        return;
    struct cluster_swim_claim c = claim_of(s->me);
    struct wire_message alive = alive_message(&c);
    s->counters.refuted_again++;
    cluster_swim_say(s, s->heard_from, NULL, &alive);
    s->heard_from = NULL; /* once a packet, whatever else it says */
}

static void spread_suspect(struct cluster_swim *s, const struct cluster_member *m,
                           const struct wire_suspect *claim)
{
    cluster_swim_spread(s, m->id,
                        &(struct wire_message){.type = WIRE_SUSPECT, .suspect = *claim});
}

/* One for each probe interval of the shortest suspicion: large clusters have more suspicions by
 * chance, and more time. With a quarter of all packets lost, a warning and its answer are lost
 * with 1 - 0.75^2: six of them 0.7 % of the time, twelve 0.005 %. */
static uint32_t warnings(const struct cluster_swim *s, const struct cluster_member *m)
{
    int64_t count = m->suspicion->min_us / s->profile.probe_interval_us;
    return count < WARNINGS_MIN   ? WARNINGS_MIN
           : count > WARNINGS_MAX ? WARNINGS_MAX
                                  : (uint32_t)count;
}

/* When something is to be done about a suspect: a warning to it, or its end. A confirmation
 * that comes late may have moved the end into the past; the warnings come before it even so. */
static int64_t next_us(const struct cluster_swim *s, const struct cluster_member *m)
{
    const struct cluster_suspicion *x = m->suspicion;
    int64_t end_us = cluster_suspicion_deadline_us(x);
    int64_t apart_us = s->profile.probe_interval_us / 2;
    if (!s->lifeguard)
        return end_us;
    int64_t at_us = end_us - (int64_t)(warnings(s, m) - x->warned) * apart_us;
    bool soon = x->warned > 0 && at_us < x->warned_us + apart_us;
    return soon ? x->warned_us + apart_us : at_us;
}

static void note_deadline(struct cluster_swim *s, const struct cluster_member *m)
{
    int64_t at_us = next_us(s, m);
    if (at_us < s->suspicion_at_us)
        s->suspicion_at_us = at_us;
}

static void begin_suspicion(struct cluster_swim *s, struct cluster_member *m, uint64_t accuser)
{
    struct cluster_suspicion_rule rule = {
        .mult = s->profile.suspicion_mult,
        .max_mult = s->profile.suspicion_max_mult,
        .probe_interval_us = s->profile.probe_interval_us,
        .confirm = s->lifeguard,
    };
    set_state(s, m, CLUSTER_SUSPECT);
    s->counters.suspected++;
    m->suspicion = must_alloc(sizeof(*m->suspicion));
    cluster_suspicion_start(m->suspicion, &rule, cluster_members_count(s->members), accuser,
                            s->now_us);
    note_deadline(s, m);
}

void cluster_swim_suspect(struct cluster_swim *s, const struct wire_suspect *claim)
{
    struct cluster_member *m = cluster_members_find(s->members, claim->node);
    if (!m || claim->from.len > CLUSTER_NAME_MAX) {
        s->counters.dropped_refused++;
        return;
    }
    if (claim->incarnation < m->incarnation) {
        if (m == s->me)
            refute_again(s);
        return;
    }
    uint64_t accuser = cluster_members_id(s->members, claim->from);
    if (m->state == CLUSTER_SUSPECT) {
        if (cluster_suspicion_confirm(m->suspicion, accuser)) {
            spread_suspect(s, m, claim);
            note_deadline(s, m);
        }
        return;
    }
    if (m->state != CLUSTER_ALIVE)
        return;
    if (m == s->me) {
        refute(s, claim->incarnation);
        return;
    }
    spread_suspect(s, m, claim);
    m->incarnation = claim->incarnation;
    begin_suspicion(s, m, accuser);
}

static void tell_gone(struct cluster_swim *s, struct cluster_member *m)
{
    if (m->state == CLUSTER_LEFT) {
        s->counters.left++;
        if (s->upper.left)
            s->upper.left(s->upper.user, m);
    } else {
        s->counters.failed++;
        if (s->upper.failed)
            s->upper.failed(s->upper.user, m);
    }
}

void cluster_swim_dead(struct cluster_swim *s, const struct wire_dead *claim)
{
    struct cluster_member *m = cluster_members_find(s->members, claim->node);
    if (!m || claim->from.len > CLUSTER_NAME_MAX) {
        s->counters.dropped_refused++;
        return;
    }
    if (claim->incarnation < m->incarnation) {
        if (m == s->me)
            refute_again(s);
        return;
    }
    if (cluster_member_gone(m))
        return;
    if (m == s->me && !s->leaving) {
        refute(s, claim->incarnation);
        return;
    }
    cluster_swim_spread(s, m->id, &(struct wire_message){.type = WIRE_DEAD, .dead = *claim});
    m->incarnation = claim->incarnation;
    set_state(s, m, span_equal(claim->from, claim->node) ? CLUSTER_LEFT : CLUSTER_DEAD);
    tell_gone(s, m);
}

/* Tells the suspect itself once more. If it refuted before and that did not come here, it says
 * so again; if it never heard of the suspicion, it refutes now. The last ones go by stream as
 * well, where nothing is lost: the first push/pull tells it, the next one brings its
 * word. Each carries all that this node knows, therefore only a few at once. */
static void warn(struct cluster_swim *s, struct cluster_member *m)
{
    m->suspicion->warned++;
    m->suspicion->warned_us = s->now_us;
    if (m->suspicion->warned + ASKED > warnings(s, m) && cluster_swim_pulls(s) < ASKED_MAX) {
        s->counters.asked_by_stream++;
        cluster_swim_pull(s, &m->addr, false);
    }
    cluster_swim_say(s, &m->addr, m,
                     &(struct wire_message){.type = WIRE_SUSPECT,
                                            .suspect = {.incarnation = m->incarnation,
                                                        .node = cluster_member_name(m),
                                                        .from = cluster_member_name(s->me)}});
}

static void attend(struct cluster_swim *s, struct cluster_member *m)
{
    if (next_us(s, m) > s->now_us) {
        note_deadline(s, m);
    } else if (s->lifeguard && m->suspicion->warned < warnings(s, m)) {
        warn(s, m);
        note_deadline(s, m);
    } else {
        s->counters.expired++;
        cluster_swim_dead(s, &(struct wire_dead){.incarnation = m->incarnation,
                                                 .node = cluster_member_name(m),
                                                 .from = cluster_member_name(s->me)});
    }
}

void cluster_swim_expire(struct cluster_swim *s)
{
    if (s->now_us < s->suspicion_at_us)
        return;
    s->suspicion_at_us = CLUSTER_NEVER_US;
    for (uint32_t i = 0; i < cluster_members_count(s->members); i++) {
        struct cluster_member *m = cluster_members_at(s->members, i);
        if (m->state == CLUSTER_SUSPECT)
            attend(s, m);
    }
}

void cluster_swim_reap(struct cluster_swim *s)
{
    for (uint32_t i = cluster_members_count(s->members); i > 0; i--) {
        struct cluster_member *m = cluster_members_at(s->members, i - 1);
        if (m == s->me || !cluster_member_gone(m) ||
            s->now_us - m->since_us <= s->profile.dead_gossip_us)
            continue;
        cluster_swim_forget_member(s, m);
        cluster_members_drop(s->members, m);
    }
}
