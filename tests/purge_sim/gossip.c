#include "tests/purge_sim/gossip.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "tests/sim/world.h"

#define SEEDS_EVERY_US INT64_C(2000000)

/* As node/seeds.h: each other node is a seed, asked until it was seen once. */
struct gossip {
    struct world *world;
    struct gossip_news news;
    uint32_t nodes;
    bool *seen; /* [at * nodes + about], since its start */
    int64_t seeds_us;
};

static void hear_changed(void *user, uint32_t at, enum cluster_change change, uint32_t about)
{
    const struct gossip *g = user;
    if (change == CLUSTER_JOINED)
        g->seen[at * g->nodes + about] = true;
    if (change == CLUSTER_JOINED || change == CLUSTER_FAILED)
        g->news.member(g->news.user, at, about, change == CLUSTER_JOINED);
}

static void hear_event(void *user, uint32_t at, const struct cluster_event *event)
{
    const struct gossip *g = user;
    g->news.event(g->news.user, at, event->name, event->payload, event->ltime, event->replayed);
}

struct gossip *gossip_create(const struct gossip_conf *conf, const struct gossip_news *news)
{
    struct gossip *g = must_alloc(sizeof *g);
    struct world_conf world = {
        .nodes = conf->nodes,
        .seed = conf->seed,
        .profile = cluster_swim_lan,
        .lifeguard = true,
        .net = {.regions = 1,
                .delay = {{{conf->delay_min_us, conf->delay_max_us}}},
                .loss_ppm = conf->loss_percent * 10000,
                .double_ppm = 1000},
        .join_within_us = 100000,
    };
    g->news = *news;
    g->nodes = conf->nodes;
    g->seen = must_alloc((size_t)conf->nodes * conf->nodes * sizeof *g->seen);
    g->world = world_create(
        &world, &(struct world_news){.user = g, .changed = hear_changed, .event = hear_event});
    return g;
}

void gossip_destroy(struct gossip *g)
{
    if (!g)
        return;
    world_destroy(g->world);
    free(g->seen);
    free(g);
}

static void ask_seeds(struct gossip *g)
{
    for (uint32_t i = 0; i < g->nodes * g->nodes; i++) {
        uint32_t at = i / g->nodes, seed = i % g->nodes;
        if (at != seed && !g->seen[i] && world_cluster(g->world, at) &&
            !world_paused(g->world, at))
            world_join(g->world, at, seed);
    }
}

void gossip_run(struct gossip *g, int64_t for_us)
{
    world_run(g->world, for_us);
    if (world_now_us(g->world) < g->seeds_us)
        return;
    g->seeds_us = world_now_us(g->world) + SEEDS_EVERY_US;
    ask_seeds(g);
}

void gossip_crash(struct gossip *g, uint32_t node)
{
    world_crash(g->world, node);
}

void gossip_start(struct gossip *g, uint32_t node)
{
    memset(g->seen + node * g->nodes, 0, g->nodes * sizeof *g->seen);
    if (world_crashed(g->world, node))
        world_restart(g->world, node, false);
}

void gossip_hold(struct gossip *g, uint32_t node, int64_t for_us)
{
    if (!world_crashed(g->world, node))
        world_pause(g->world, node, for_us, false);
}

void gossip_cut(struct gossip *g, uint32_t from, uint32_t to, bool cut)
{
    net_cut(world_net(g->world), from, to, cut);
}

void gossip_fire(struct gossip *g, uint32_t node, struct span name, struct span payload)
{
    if (world_cluster(g->world, node))
        (void)!world_fire(g->world, node, name, payload);
}
