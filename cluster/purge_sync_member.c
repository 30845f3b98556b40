#include "cluster/purge_sync_core.h"

#include <stdlib.h>
#include <string.h>

/* --- the table --- */

/* The same on every node that knows the same. */
static uint64_t hash_of(struct span id, uint32_t generation, bool left)
{
    return hash_mix(hash_xxh3(id) + 2 * (uint64_t)generation + left);
}

static uint32_t probe(const struct cluster_sync *s, struct span id)
{
    uint32_t at = (uint32_t)hash_xxh3(id) & s->mask;
    while (s->slots[at] != SYNC_NONE && !span_equal(s->members[s->slots[at]].id_span, id))
        at = (at + 1) & s->mask;
    return at;
}

uint32_t sync_member_find(const struct cluster_sync *s, struct span id)
{
    return s->slots ? s->slots[probe(s, id)] : SYNC_NONE;
}

static void grow(struct cluster_sync *s)
{
    s->member_room = s->member_room ? s->member_room * 2 : 16;
    s->mask = s->member_room * 2 - 1;
    s->members = must_realloc(s->members, s->member_room * sizeof *s->members);
    s->active = must_realloc(s->active, s->member_room * sizeof *s->active);
    s->slots = must_realloc(s->slots, (size_t)s->member_room * 2 * sizeof *s->slots);
    memset(s->slots, 0xff, (size_t)s->member_room * 2 * sizeof *s->slots);
    for (uint32_t i = 0; i < s->member_count; i++)
        s->slots[probe(s, s->members[i].id_span)] = i;
}

static uint32_t add_member(struct cluster_sync *s, struct span id)
{
    if (s->member_count == CLUSTER_SYNC_MEMBERS)
        return SYNC_NONE;
    if (s->member_count == s->member_room)
        grow(s);
    struct sync_member *m = &s->members[s->member_count];
    *m = (struct sync_member){.id = span_dup(id),
                              .state = CLUSTER_SYNC_FAILED, /* until gossip says */
                              .compare_at_us = SYNC_NEVER,
                              .compared_us = INT64_MIN,
                              .tried_us = INT64_MIN,
                              .returned_us = INT64_MIN};
    m->id_span = span_of(m->id, id.len);
    s->slots[probe(s, m->id_span)] = s->member_count;
    s->members_hash ^= hash_of(m->id_span, 0, false);
    return s->member_count++;
}

/* --- who counts --- */

static bool is_forgotten(uint32_t generation)
{
    return generation % 2 != 0;
}

/* Whoever is alive has a cache, whatever was said of it. */
bool sync_member_counts(const struct sync_member *m)
{
    return m->heard || m->state == CLUSTER_SYNC_LIVE ||
           (!m->left && !is_forgotten(m->generation));
}

bool sync_member_is_live(const struct sync_member *m)
{
    return m->state == CLUSTER_SYNC_LIVE && m->peer;
}

bool sync_member_is_reachable(const struct sync_member *m)
{
    return sync_member_is_live(m) && (!m->failed || m->knocked);
}

bool sync_member_can_be_asked(const struct cluster_sync *s, const struct sync_member *m)
{
    return sync_member_is_live(m) && m->retry_us <= s->now_us;
}

void sync_member_activate(struct cluster_sync *s, struct sync_member *m)
{
    if (m->active)
        return;
    m->active = true;
    s->active[s->active_count++] = (uint32_t)(m - s->members);
}

uint32_t sync_member_random(struct cluster_sync *s)
{
    uint32_t chosen = SYNC_NONE, seen = 0;
    for (unsigned tries = 0; s->member_count > 64 && tries < 16; tries++) {
        uint32_t i = cluster_random_below(&s->pcg, s->member_count);
        if (sync_member_can_be_asked(s, &s->members[i]))
            return i;
    }
    for (uint32_t i = 0; i < s->member_count; i++) {
        if (sync_member_can_be_asked(s, &s->members[i]) &&
            cluster_random_below(&s->pcg, ++seen) == 0)
            chosen = i;
    }
    return chosen;
}

static uint64_t hash_of_member(const struct sync_member *m)
{
    return hash_of(m->id_span, m->generation, m->left);
}

static void keep(struct cluster_sync *s, struct sync_member *m, uint32_t generation, bool left)
{
    s->members_hash ^= hash_of_member(m);
    m->generation = generation;
    m->left = left;
    s->members_hash ^= hash_of_member(m);
    s->stages_due = true;
    (void)!cluster_purge_log_set_member(
        s->log, &(struct cluster_purge_member){m->id_span, generation, left});
}

uint32_t sync_member_add(struct cluster_sync *s, struct span id)
{
    uint32_t member = add_member(s, id);
    if (member != SYNC_NONE)
        keep(s, &s->members[member], 0, false);
    return member;
}

static void keep_own(struct cluster_sync *s, uint32_t generation)
{
    s->members_hash ^= hash_of(s->conf.id, s->own_generation, false);
    s->own_generation = generation;
    s->members_hash ^= hash_of(s->conf.id, s->own_generation, false);
    (void)!cluster_purge_log_set_member(
        s->log, &(struct cluster_purge_member){.id = s->conf.id, .generation = generation});
}

struct loading {
    struct cluster_sync *s;
    bool own;
};
static void load_one(void *user, const struct cluster_purge_member *stored)
{
    struct loading *x = user;
    if (span_equal(stored->id, x->s->conf.id)) {
        x->own = true;
        x->s->own_generation = stored->generation;
        return;
    }
    uint32_t member = sync_member_find(x->s, stored->id);
    if (member == SYNC_NONE)
        member = add_member(x->s, stored->id);
    if (member == SYNC_NONE)
        return;
    struct sync_member *m = &x->s->members[member];
    x->s->members_hash ^= hash_of_member(m);
    m->generation = stored->generation;
    m->left = stored->left;
    x->s->members_hash ^= hash_of_member(m);
}

void sync_member_load(struct cluster_sync *s)
{
    struct loading x = {.s = s};
    cluster_purge_log_members(s->log, load_one, &x);
    s->members_hash ^= hash_of(s->conf.id, s->own_generation, false);
    if (!x.own)
        keep_own(s, 0);
}

/* --- what gossip says --- */

static void came(struct cluster_sync *s, struct sync_member *m, uint32_t member, bool is_new)
{
    m->retry_us = 0;
    m->failures = 0;
    if (!is_new) /* it has nothing yet that it could have told us before */
        sync_caution_returned(s, m);
    m->failed = m->knocked = m->deaf = false;
    sync_compare_at(s, member, s->now_us);
}

void cluster_sync_member(struct cluster_sync *s, struct span id, enum cluster_sync_state state,
                         bool peer, int64_t now_us)
{
    s->now_us = now_us;
    if (!s->conf.clustered || id.len == 0 || id.len > CLUSTER_PURGE_NODE_MAX ||
        span_equal(id, s->conf.id))
        return;
    uint32_t member = sync_member_find(s, id);
    bool is_new = member == SYNC_NONE;
    if (is_new)
        member = sync_member_add(s, id);
    if (member == SYNC_NONE)
        return;
    struct sync_member *m = &s->members[member];
    is_new = is_new || (m->heard && !m->known_state); /* it has asked before gossip told */
    bool left = state == CLUSTER_SYNC_LEFT;
    /* A failed one counts on; one that left counts again when it is seen again. */
    if (left != m->left && state != CLUSTER_SYNC_FAILED)
        keep(s, m, m->generation, left);
    bool comes = state == CLUSTER_SYNC_LIVE && peer && (m->state != state || !m->peer);
    m->known_state = true;
    s->live -= sync_member_is_live(m);
    m->state = state;
    m->peer = peer;
    s->live += sync_member_is_live(m);
    m->heard = m->heard && state == CLUSTER_SYNC_LIVE;
    s->stages_due = true;
    if (comes || state != CLUSTER_SYNC_LIVE)
        sync_abandon(s, member);
    if (comes)
        came(s, m, member, is_new);
    if (state != CLUSTER_SYNC_LIVE) {
        m->queued = 0;
        m->compare_at_us = SYNC_NEVER;
        m->cautious_of = false;
    }
    sync_caution_look(s);
    sync_talk(s);
    sync_stages(s);
}

enum err cluster_sync_forget(struct cluster_sync *s, struct span id, int64_t now_us)
{
    s->now_us = now_us;
    uint32_t member = sync_member_find(s, id);
    if (member == SYNC_NONE || is_forgotten(s->members[member].generation))
        return ERR_NOT_FOUND;
    struct sync_member *m = &s->members[member];
    if (m->state == CLUSTER_SYNC_LIVE)
        return ERR_REFUSED;
    keep(s, m, m->generation + 1, m->left);
    sync_stages(s);
    return ERR_OK;
}

/* --- what nodes say of each other --- */

void sync_members_put(const struct cluster_sync *s, struct buf *out)
{
    purge_wire_put_member(
        out, &(struct cluster_purge_member){.id = s->conf.id, .generation = s->own_generation});
    for (uint32_t i = 0; i < s->member_count; i++) {
        const struct sync_member *m = &s->members[i];
        purge_wire_put_member(
            out, &(struct cluster_purge_member){m->id_span, m->generation, m->left});
    }
}

/* Others were told that this node does not come back with its cache: so it must not. */
static void forgotten(struct cluster_sync *s, uint32_t generation)
{
    sync_fall_back(s, 0, 0, true);
    keep_own(s, generation + generation % 2);
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static void merge_one(struct cluster_sync *s, const struct cluster_purge_member *told)
{
    if (span_equal(told->id, s->conf.id)) {
        if (told->generation > s->own_generation)
            forgotten(s, told->generation);
        return;
    }
    uint32_t member = sync_member_find(s, told->id);
    if (member == SYNC_NONE)
        member = sync_member_add(s, told->id);
    if (member == SYNC_NONE)
        return;
    struct sync_member *m = &s->members[member];
    /* That it left while we were away only others know; of what gossip says we know better. */
    bool left = told->generation >= m->generation && !m->known_state ? told->left : m->left;
    if (told->generation > m->generation || left != m->left)
        keep(s, m, larger(told->generation, m->generation), left);
}

enum err sync_members_merge(struct cluster_sync *s, struct span list)
{
    struct cluster_purge_member told;
    while (list.len > 0) {
        if (purge_wire_next_member(&list, &told) != ERR_OK)
            return ERR_SYNTAX;
        merge_one(s, &told);
    }
    return ERR_OK;
}

enum err sync_member_heard(struct cluster_sync *s, uint32_t member, struct span vector)
{
    enum err err = cluster_vector_read(vector, &s->members[member].vector);
    s->stages_due = true;
    return err;
}
