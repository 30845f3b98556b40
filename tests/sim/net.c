#include "tests/sim/net.h"

#include <stdlib.h>

#include "base/hash.h"
#include "cluster/random.h"

#define PPM 1000000u

struct net {
    struct net_conf conf;
    uint32_t nodes;
    uint64_t seed;
    struct cluster_random random;
    uint32_t *group;
    uint8_t *cut; /* a bit for each pair (from, to); NULL: no cuts yet */
};

struct net *net_create(const struct net_conf *conf, uint32_t nodes, uint64_t seed)
{
    struct net *n = must_alloc(sizeof(*n));
    must(conf->regions > 0 && conf->regions <= NET_REGIONS);
    must(conf->burst_us <= conf->burst_every_us / 2);
    n->conf = *conf;
    n->nodes = nodes;
    n->seed = seed;
    n->group = must_alloc(nodes * sizeof(*n->group));
    cluster_random_seed(&n->random, seed);
    return n;
}

void net_destroy(struct net *n)
{
    if (!n)
        return;
    free(n->group);
    free(n->cut);
    free(n);
}

void net_group(struct net *n, uint32_t node, uint32_t group)
{
    n->group[node] = group;
}

uint32_t net_group_of(const struct net *n, uint32_t node)
{
    return n->group[node];
}

void net_cut(struct net *n, uint32_t from, uint32_t to, bool cut)
{
    uint64_t at = (uint64_t)from * n->nodes + to;
    if (!n->cut)
        n->cut = must_alloc(((uint64_t)n->nodes * n->nodes + 7) / 8);
    uint8_t bit = (uint8_t)(1u << at % 8);
    n->cut[at / 8] = (uint8_t)(cut ? n->cut[at / 8] | bit : n->cut[at / 8] & ~bit);
}

bool net_reaches(const struct net *n, uint32_t from, uint32_t to)
{
    if (from >= n->nodes || to >= n->nodes || n->group[from] != n->group[to])
        return false;
    uint64_t at = (uint64_t)from * n->nodes + to;
    return !n->cut || !(n->cut[at / 8] >> at % 8 & 1);
}

static bool chance(struct net *n, uint32_t ppm)
{
    return ppm > 0 && cluster_random_below(&n->random, PPM) < ppm;
}

/* A pure function of the time, so that any time can be asked about. Lengths are half as long
 * to one and a half times as long as told. */
static bool in_burst(const struct net *n, uint32_t node, int64_t at_us)
{
    int64_t every_us = n->conf.burst_every_us, burst_us = n->conf.burst_us;
    if (every_us == 0 || burst_us == 0)
        return false;
    uint64_t dice = hash_mix(n->seed ^ hash_mix((uint64_t)(at_us / every_us) * PPM + node));
    int64_t long_us = burst_us / 2 + (int64_t)(dice & UINT32_MAX) % burst_us;
    int64_t from_us = (int64_t)(dice >> 32) % (every_us - long_us);
    int64_t in_us = at_us % every_us;
    return in_us >= from_us && in_us < from_us + long_us;
}

bool net_loses(struct net *n, uint32_t from, uint32_t to, int64_t at_us)
{
    bool burst = in_burst(n, from, at_us) || in_burst(n, to, at_us);
    return chance(n, n->conf.loss_ppm) || (burst && chance(n, n->conf.burst_loss_ppm));
}

bool net_doubles(struct net *n)
{
    return chance(n, n->conf.double_ppm);
}

int64_t net_delay_us(struct net *n, uint32_t from, uint32_t to)
{
    uint32_t regions = n->conf.regions;
    const struct net_delay *d = &n->conf.delay[from % regions][to % regions];
    uint32_t spread = (uint32_t)(d->max_us - d->min_us) + 1;
    int64_t delay_us = d->min_us + cluster_random_below(&n->random, spread);
    return delay_us + (chance(n, n->conf.late_ppm) ? n->conf.late_us : 0);
}
