#include "tests/sim/scene.h"

#include <stdio.h>

#define NODES 24u
#define CRASHED 7u
#define ISLAND (NODES / 3)

static void hear(struct scene *s, uint32_t at, const struct cluster_event *event)
{
    uint32_t *heard = s->user;
    (void)at;
    (void)event;
    ++*heard;
}

/* An event reaches everybody, at once or by a later push/pull. */
static bool tell(struct scene *s)
{
    uint32_t heard = 0;
    s->user = &heard;
    s->event = hear;
    must(world_fire(s->world, 3, SPAN("perigee"), SPAN("x")) == ERR_OK);
    for (unsigned i = 0; i < 60 && heard < s->nodes - 2; i++)
        world_run(s->world, SECOND);
    s->event = NULL;
    return scene_expect(heard == s->nodes - 2, "all but the crashed hear an event once");
}

static void part(struct scene *s, uint32_t group)
{
    for (uint32_t i = 0; i < ISLAND; i++)
        net_group(world_net(s->world), i, group);
}

static void cut(struct scene *s, bool is_cut)
{
    for (uint32_t i = 0; i < 4; i++)
        net_cut(world_net(s->world), i, 12 + i, is_cut);
}

static bool quiet_part(struct scene *s)
{
    world_run(s->world, 60 * SECOND);
    cut(s, true);
    world_run(s->world, 60 * SECOND);
    cut(s, false);
    return scene_expect(s->wrong == 0, "nobody dies of loss, bursts and one-way cuts");
}

static bool crash_part(struct scene *s)
{
    scene_crash(s, CRASHED);
    bool good = scene_expect(scene_await(s, 60) >= 0, "all know of the crash");
    good &= scene_expect(s->wrong == 0, "nobody else dies");
    return good & tell(s);
}

static bool pause_part(struct scene *s)
{
    for (uint32_t i = 0; i < 3; i++)
        world_pause(s->world, 10 + i, (3 + 7 * i) * SECOND, false);
    world_run(s->world, 30 * SECOND);
    return scene_expect(scene_settle(s, NODES - 1, 60) >= 0, "agreed after the pauses");
}

static bool partition_part(struct scene *s)
{
    part(s, 1);
    bool good = scene_expect(scene_settle(s, NODES - 1, 60) >= 0, "each side knows its own");
    part(s, 0);
    return good & scene_expect(scene_settle(s, NODES - 1, 60) >= 0, "one again");
}

static bool move_part(struct scene *s)
{
    struct cluster_node seen;
    world_restart(s->world, CRASHED, true);
    bool good = scene_expect(scene_settle(s, NODES, 60) >= 0, "it is back");
    struct addr addr = world_addr(s->world, CRASHED);
    good &= scene_expect(cluster_node_find(world_cluster(s->world, 1), SPAN("n7"), &seen) &&
                             addr_equal(&seen.addr, &addr),
                         "at its new address");
    return good;
}

static bool story(uint64_t seed, uint64_t *out_hash)
{
    struct world_conf conf = scene_conf(NODES, 5, seed);
    struct scene s;
    scene_regions(&conf);
    conf.drift_ppm = 10000;
    conf.net.late_ppm = 20000;
    conf.net.late_us = 300 * MS;
    conf.net.burst_every_us = 60 * SECOND;
    conf.net.burst_us = 1000 * MS;
    conf.net.burst_loss_ppm = 800000;
    bool good = scene_open(&s, &conf);
    good &= quiet_part(&s);
    good &= crash_part(&s);
    good &= pause_part(&s);
    good &= partition_part(&s);
    good &= move_part(&s);
    *out_hash = world_hash(s.world);
    printf("story seed=%llu hash=%016llx", (unsigned long long)seed,
           (unsigned long long)*out_hash);
    scene_counters(&s);
    scene_close(&s);
    return good;
}

bool scene_check(void)
{
    uint64_t first = 0, again = 0, other = 0;
    bool good = story(1, &first) & story(1, &again) & story(2, &other);
    good &= scene_expect(first == again, "the same seed, the same story");
    return good & scene_expect(first != other, "another seed, another story");
}
