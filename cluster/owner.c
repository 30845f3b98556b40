#include "cluster/owner.h"

#include <math.h>

#include "base/hash.h"

/* What a node tells is taken within reason. */
static double capacity_of(const struct cluster_candidate *c)
{
    return c->capacity > 1e-6 && c->capacity < 1e9 ? c->capacity : 1;
}

/* Of the weighted rendezvous: -capacity / ln(u), u in (0, 1) from node and key. The larger, the
 * earlier; each node is first for a share of keys that is its capacity's. */
static double rank(const struct cluster_candidate *c, uint64_t key_hash)
{
    uint64_t mixed = hash_mix(key_hash ^ hash_mix(c->id_hash));
    double u = ((double)(mixed >> 11) + 0.5) * 0x1p-53;
    return -capacity_of(c) / log(u);
}

/* Open requests for each unit of capacity, above which a node is passed over. */
static double bound_of(const struct cluster_candidate *c, uint32_t count)
{
    double open = 0, capacity = 0;
    for (uint32_t i = 0; i < count; i++) {
        open += c[i].open;
        capacity += capacity_of(&c[i]);
    }
    return capacity > 0 ? open / capacity * CLUSTER_OWNER_BOUND_PERCENT / 100 : 0;
}

/* This node itself is never passed over: what it has open elsewhere says nothing of it. */
static bool is_overloaded(const struct cluster_candidate *c, double bound)
{
    if (c->me)
        return false;
    return c->load >= CLUSTER_OWNER_LOAD_MAX ||
           (c->open >= CLUSTER_OWNER_BOUND_MIN && c->open >= bound * capacity_of(c));
}

struct place {
    double rank;
    bool passed_over;
    uint64_t id_hash;
};

static bool comes_before(const struct place *a, const struct place *b)
{
    if (a->passed_over != b->passed_over)
        return !a->passed_over;
    if (a->rank > b->rank || a->rank < b->rank)
        return a->rank > b->rank;
    return a->id_hash < b->id_hash;
}

uint32_t cluster_owner_order(const struct cluster_candidate *c, uint32_t count,
                             uint64_t key_hash, uint32_t max, uint32_t *out)
{
    struct place best[CLUSTER_OWNER_ORDER_MAX];
    double bound = bound_of(c, count);
    uint32_t written = 0;
    if (max > CLUSTER_OWNER_ORDER_MAX)
        max = CLUSTER_OWNER_ORDER_MAX;
    for (uint32_t i = 0; i < count; i++) {
        struct place p = {.rank = rank(&c[i], key_hash),
                          .passed_over = is_overloaded(&c[i], bound),
                          .id_hash = c[i].id_hash};
        uint32_t at = written;
        while (at > 0 && comes_before(&p, &best[at - 1]))
            at--;
        if (at == max)
            continue;
        if (written < max)
            written++;
        for (uint32_t k = written - 1; k > at; k--) {
            best[k] = best[k - 1];
            out[k] = out[k - 1];
        }
        best[at] = p;
        out[at] = i;
    }
    return written;
}
