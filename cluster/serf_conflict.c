#include "cluster/serf_core.h"

#define VOTE_EVERY_US (30 * INT64_C(1000000))
#define REVOTE_US (10 * INT64_C(1000000)) /* after a vote that was lost */

static void tell(struct cluster_serf *s, enum cluster_conflict what, const struct addr *other)
{
    if (s->news.conflict)
        s->news.conflict(s->news.user, what, other);
}

static void voted(void *user, struct span from, struct span payload)
{
    struct cluster_serf *s = user;
    struct wire_serf_message m;
    (void)from;
    if (wire_serf_get(payload, &m) != WIRE_FAULT_NONE || m.type != WIRE_SERF_CONFLICT)
        return;
    if (m.conflict.status != WIRE_SERF_STATUS_ALIVE &&
        m.conflict.status != WIRE_SERF_STATUS_LEAVING)
        s->votes_gone++;
    else if (addr_equal(&m.conflict.addr, &cluster_swim_me(s->swim)->addr))
        s->votes_mine++;
    else
        s->votes_theirs++;
}

static void counted(void *user)
{
    struct cluster_serf *s = user;
    uint32_t all = s->votes_mine + s->votes_theirs;
    s->voting = false;
    s->vote_at_us = s->now_us + VOTE_EVERY_US;
    s->revote_at_us = CLUSTER_SERF_NEVER_US;
    enum cluster_conflict what = CLUSTER_CONFLICT_UNDECIDED;
    if (all > 0)
        what = s->votes_mine > all / 2 ? CLUSTER_CONFLICT_WON : CLUSTER_CONFLICT_LOST;
    else if (s->votes_gone > 0) /* the other one has gone, perhaps this node's former self */
        what = CLUSTER_CONFLICT_WON;
    if (what != CLUSTER_CONFLICT_UNDECIDED)
        s->conflict_lost = what == CLUSTER_CONFLICT_LOST;
    if (s->conflict_lost) /* the other one may go */
        s->revote_at_us = s->now_us + REVOTE_US;
    if (what == CLUSTER_CONFLICT_WON) /* who refused this node's address may take it now */
        cluster_swim_set_meta(s->swim, cluster_member_meta(cluster_swim_me(s->swim)),
                              s->now_us);
    tell(s, what, &s->rival);
}

static void vote(struct cluster_serf *s)
{
    const struct cluster_ask ask = {
        .name = SPAN("_serf_conflict"),
        .payload = cluster_serf_name(s),
        .user = s,
        .answered = voted,
        .over = counted,
    };
    s->votes_mine = s->votes_theirs = s->votes_gone = 0;
    s->revote_at_us = CLUSTER_SERF_NEVER_US;
    s->voting = cluster_serf_ask(s, &ask, s->now_us) == ERR_OK;
    if (!s->voting) /* too many queries: later */
        s->vote_at_us = s->revote_at_us = s->now_us + VOTE_EVERY_US;
}

void cluster_serf_conflict(void *user, const struct cluster_member *holder,
                           const struct cluster_swim_claim *other)
{
    struct cluster_serf *s = user;
    struct addr rival = other->addr;
    bool mine = span_equal(cluster_member_name(holder), cluster_serf_name(s));
    s->counters.conflicts++;
    if (!mine) {
        tell(s, CLUSTER_CONFLICT_OTHERS, &rival);
        return;
    }
    if (s->voting || s->now_us < s->vote_at_us || s->leaving != CLUSTER_STAYS)
        return;
    s->rival = rival;
    tell(s, CLUSTER_CONFLICT_SEEN, &rival);
    vote(s);
}

void cluster_serf_conflict_tick(struct cluster_serf *s)
{
    if (s->now_us < s->revote_at_us || s->voting)
        return;
    vote(s);
}
