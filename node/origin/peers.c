#include "node/origin/peers.h"

#include <stdlib.h>

#include "base/hash.h"
#include "cluster/owner.h"

static void destroy_peer(struct snapshot *s)
{
    struct origin_peer *p = CONTAINER_OF(s, struct origin_peer, snapshot);
    free(p->id);
    free(p);
}

static struct origin_peer *create_peer(const struct origin_peer_told *t)
{
    struct origin_peer *p = must_alloc(sizeof(*p));
    snapshot_init(&p->snapshot, destroy_peer);
    p->id = span_dup(t->id);
    (void)addr_print(&t->address, false, p->address);
    p->port = t->address.port;
    p->id_hash = hash_xxh3(t->id);
    p->capacity = t->capacity;
    p->me = t->me;
    p->near = t->near;
    p->shield = t->shield;
    return p;
}

static bool is_same(const struct origin_peer *p, const struct origin_peer_told *t)
{
    char address[ADDR_TEXT_MAX];
    return span_equal(span_text(p->id), t->id) && p->me == t->me && p->near == t->near &&
           p->shield == t->shield && p->capacity >= t->capacity && p->capacity <= t->capacity &&
           p->port == t->address.port &&
           strcmp(p->address, addr_print(&t->address, false, address)) == 0;
}

static struct origin_peer *find(const struct origin_peers *p, const struct origin_peer_told *t)
{
    for (uint32_t i = 0; p && i < p->count; i++)
        if (is_same(p->at[i], t))
            return p->at[i];
    return NULL;
}

static void destroy(struct snapshot *s)
{
    struct origin_peers *p = CONTAINER_OF(s, struct origin_peers, snapshot);
    for (uint32_t i = 0; i < p->count; i++)
        origin_peer_drop(p->at[i]);
    free(p);
}

struct origin_peers *origin_peers_create(const struct origin_peers *old,
                                         const struct origin_peer_told *told, uint32_t count)
{
    struct origin_peers *p = must_alloc(sizeof(*p) + count * sizeof(struct origin_peer *));
    snapshot_init(&p->snapshot, destroy);
    for (; p->count < count; p->count++) {
        const struct origin_peer_told *t = &told[p->count];
        struct origin_peer *peer = find(old, t);
        if (peer)
            snapshot_hold(&peer->snapshot);
        else
            peer = create_peer(t);
        atomic_store_explicit(&peer->load, t->load, memory_order_relaxed);
        p->at[p->count] = peer;
    }
    return p;
}

void origin_peers_note(struct origin_peers *p, const struct origin_peer_told *told,
                       uint32_t count)
{
    must(count == p->count);
    for (uint32_t i = 0; i < count; i++)
        atomic_store_explicit(&p->at[i]->load, told[i].load, memory_order_relaxed);
}

bool origin_peers_are(const struct origin_peers *p, const struct origin_peer_told *told,
                      uint32_t count)
{
    if (!p || p->count != count)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!is_same(p->at[i], &told[i]))
            return false;
    return true;
}

void origin_peers_drop(struct origin_peers *p)
{
    if (p)
        snapshot_drop(&p->snapshot);
}

struct origin_peers *origin_peers_hold(struct origin_peers *p)
{
    if (p)
        snapshot_hold(&p->snapshot);
    return p;
}

void origin_peer_drop(struct origin_peer *p)
{
    snapshot_drop(&p->snapshot);
}

/* --- silence --- */

void origin_peer_was_silent(struct origin_peer *p, int64_t now_ms)
{
    atomic_store_explicit(&p->rests_until_ms, now_ms + ORIGIN_PEERS_REST_MS,
                          memory_order_relaxed);
}

void origin_peer_answered(struct origin_peer *p)
{
    if (atomic_load_explicit(&p->rests_until_ms, memory_order_relaxed))
        atomic_store_explicit(&p->rests_until_ms, 0, memory_order_relaxed);
}

/* Who finds that the rest is over tries it for all others. */
static bool may_ask(struct origin_peer *p, int64_t now_ms)
{
    long long until_ms = atomic_load_explicit(&p->rests_until_ms, memory_order_relaxed);
    return until_ms == 0 || (until_ms <= now_ms &&
                             atomic_compare_exchange_strong_explicit(
                                 &p->rests_until_ms, &until_ms, now_ms + ORIGIN_PEERS_REST_MS,
                                 memory_order_relaxed, memory_order_relaxed));
}

/* --- choosing --- */

enum { CANDIDATES_MAX = 1024 };

static uint32_t order(const struct origin_peers *p, bool shield, uint64_t key_hash,
                      uint32_t out[CLUSTER_OWNER_ORDER_MAX])
{
    struct cluster_candidate c[CANDIDATES_MAX];
    uint32_t index[CANDIDATES_MAX], count = 0;
    for (uint32_t i = 0; i < p->count && count < CANDIDATES_MAX; i++) {
        struct origin_peer *peer = p->at[i];
        if (!(shield ? peer->shield : peer->near))
            continue;
        index[count] = i;
        c[count++] = (struct cluster_candidate){
            .id_hash = peer->id_hash,
            .capacity = peer->capacity,
            .open = atomic_load_explicit(&peer->open, memory_order_relaxed),
            .load = (uint8_t)atomic_load_explicit(&peer->load, memory_order_relaxed),
            .me = peer->me};
    }
    uint32_t n = cluster_owner_order(c, count, key_hash, CLUSTER_OWNER_ORDER_MAX, out);
    for (uint32_t i = 0; i < n; i++)
        out[i] = index[out[i]];
    return n;
}

/* Those before this node in the order; *out_mine: it is this node's turn. */
static uint32_t take(struct origin_peers *p, bool shield, uint64_t key_hash, int64_t now_ms,
                     struct origin_peer **out, bool *out_mine)
{
    uint32_t at[CLUSTER_OWNER_ORDER_MAX], taken = 0, n = order(p, shield, key_hash, at);
    *out_mine = n == 0;
    for (uint32_t i = 0; i < n && i < ORIGIN_PEERS_ASKED_MAX && !*out_mine; i++) {
        struct origin_peer *peer = p->at[at[i]];
        if (peer->me) {
            *out_mine = true;
        } else if (may_ask(peer, now_ms)) {
            snapshot_hold(&peer->snapshot);
            out[taken++] = peer;
        }
    }
    return taken;
}

static bool is_behind_shield(const struct origin_peers *p)
{
    bool shield = false, mine = false;
    for (uint32_t i = 0; i < p->count; i++) {
        shield = shield || p->at[i]->shield;
        mine = mine || (p->at[i]->me && p->at[i]->shield);
    }
    return shield && !mine;
}

uint32_t origin_peers_choose(struct origin_peers *p, struct span key, unsigned hops,
                             int64_t now_ms, struct origin_peer **out)
{
    bool mine;
    if (!p || hops >= ORIGIN_PEERS_HOPS_MAX)
        return 0;
    uint64_t key_hash = hash_xxh3(key);
    if (hops == 0) {
        uint32_t n = take(p, false, key_hash, now_ms, out, &mine);
        if (n > 0 || !mine)
            return n;
    }
    return is_behind_shield(p) ? take(p, true, key_hash, now_ms, out, &mine) : 0;
}
