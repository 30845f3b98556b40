#include "cluster/purge_sync_core.h"

#define PEER_EVERY_US (60 * SYNC_SECOND) /* a peer that flaps causes caution no more often */

/* --- own absence --- */

void sync_caution_begin(struct cluster_sync *s)
{
    s->absent = true;
    s->absent_since_us = s->now_us;
    for (uint32_t i = 0; i < s->member_count; i++) {
        sync_abandon(s, i);
        s->members[i].retry_us = 0; /* that it did not answer may have been our absence */
        sync_compare_at(s, i, s->now_us);
    }
    sync_caution_look(s);
}

void cluster_sync_stalled(struct cluster_sync *s, int64_t for_us, int64_t now_us)
{
    s->now_us = now_us;
    if (!s->conf.clustered || for_us < CLUSTER_SYNC_STALL_US)
        return;
    sync_caution_begin(s);
    sync_talk(s);
}

void cluster_sync_seeds_silent(struct cluster_sync *s, bool silent, int64_t now_us)
{
    s->now_us = now_us;
    if (silent && !s->seeds_silent)
        s->silent_since_us = now_us;
    s->seeds_silent = silent;
    sync_caution_look(s);
}

struct view {
    uint32_t live, compared, silent; /* of those that can be dialled */
    bool others;                     /* live, but they cannot be dialled */
};

static struct view look_around(const struct cluster_sync *s)
{
    struct view v = {0};
    for (uint32_t i = 0; i < s->member_count; i++) {
        const struct sync_member *m = &s->members[i];
        if (m->state != CLUSTER_SYNC_LIVE)
            continue;
        if (!m->peer) {
            v.others = true;
            continue;
        }
        bool compared = m->compared_us >= s->absent_since_us;
        v.live++;
        v.compared += compared;
        v.silent += !compared && m->failed && m->tried_us >= s->absent_since_us;
    }
    return v;
}

/* When it is over because nobody can be asked; SYNC_NEVER: not by time. */
static int64_t alone_us(const struct cluster_sync *s, const struct view *v)
{
    int64_t since = s->absent_since_us;
    if (v->live > 0)
        return v->silent == v->live ? since + CLUSTER_SYNC_ALONE_US : SYNC_NEVER;
    if (v->others)
        return since + CLUSTER_SYNC_ALONE_US;
    if (!s->seeds_silent)
        return SYNC_NEVER;
    if (s->silent_since_us > since)
        since = s->silent_since_us;
    return since + CLUSTER_SYNC_ALONE_US;
}

static bool is_back(const struct cluster_sync *s)
{
    struct view v = look_around(s);
    /* Who does not answer costs no caution as long as somebody does. */
    if (v.compared > 0 && v.compared + v.silent == v.live)
        return true;
    return alone_us(s, &v) <= s->now_us;
}

/* --- a peer's return --- */

void sync_caution_returned(struct cluster_sync *s, struct sync_member *m)
{
    bool lately = m->returned_us != INT64_MIN && s->now_us - m->returned_us < PEER_EVERY_US;
    if (!s->begun || s->absent || m->shunned || lately)
        return;
    m->returned_us = s->now_us;
    m->cautious_of = true;
    s->peers_until_us = s->now_us + CLUSTER_SYNC_CAUTION_US;
}

static bool waits_for_peers(struct cluster_sync *s)
{
    bool any = false, over = s->peers_until_us <= s->now_us;
    if (s->peers_until_us == INT64_MIN)
        return false;
    for (uint32_t i = 0; i < s->member_count; i++) {
        struct sync_member *m = &s->members[i];
        any = any || m->cautious_of;
        m->shunned = m->shunned || (over && m->cautious_of);
        m->cautious_of = m->cautious_of && !over;
    }
    if (over || !any)
        s->peers_until_us = INT64_MIN;
    return any && !over;
}

/* --- both --- */

void sync_caution_look(struct cluster_sync *s)
{
    if (s->absent && is_back(s)) {
        s->absent = false;
        s->stages_due = true;
    }
    bool cautious = s->absent || waits_for_peers(s);
    if (cautious == s->cautious)
        return;
    s->cautious = cautious;
    s->figures.cautions += cautious;
    s->news.caution(s->news.user, cautious, s->absent ? "away" : "a peer came back");
}

bool cluster_sync_is_cautious(const struct cluster_sync *s)
{
    return s->cautious;
}

int64_t sync_caution_deadline_us(const struct cluster_sync *s)
{
    if (!s->cautious)
        return SYNC_NEVER;
    if (!s->absent)
        return s->peers_until_us;
    struct view v = look_around(s);
    return alone_us(s, &v);
}
