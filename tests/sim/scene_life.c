#include "tests/sim/scene.h"

#include <stdio.h>

#define HEAL_MAX_S 90     /* a reconnect (30 s), the longest suspicion (50 s), and to tell it */
#define DEATH_MAX_S 120   /* until all know of it, at most */
#define MOVE_MAX_S 180    /* a node that came back elsewhere at once: until all have it there */
#define PAUSES_PERCENT 10 /* of anomalous nodes that go on, each 10 ms */

static void end(struct scene *s)
{
    printf(" wrong=%llu hash=%016llx\n", (unsigned long long)s->wrong,
           (unsigned long long)world_hash(s->world));
    scene_counters(s);
    scene_close(s);
}

bool scene_loss(uint32_t nodes, uint32_t percent, int64_t seconds, uint64_t seed)
{
    struct world_conf conf = scene_conf(nodes, percent, seed);
    struct scene s;
    bool good = scene_open(&s, &conf);
    world_run(s.world, seconds * SECOND);
    good &= scene_expect(s.wrong == 0, "nobody dies");
    printf("loss nodes=%u percent=%u seconds=%lld seed=%llu", nodes, percent,
           (long long)seconds, (unsigned long long)seed);
    end(&s);
    return good;
}

bool scene_death(uint32_t nodes, uint32_t percent, uint64_t seed)
{
    struct world_conf conf = scene_conf(nodes, percent, seed);
    struct scene s;
    bool good = scene_open(&s, &conf);
    world_run(s.world, 60 * SECOND);
    int64_t at_us = world_now_us(s.world);
    scene_crash(&s, nodes / 2);
    good &= scene_expect(scene_await(&s, DEATH_MAX_S) >= 0, "all know it");
    good &= scene_expect(s.wrong == 0, "nobody else dies");
    printf("crash nodes=%u percent=%u seed=%llu first_ms=%lld all_ms=%lld knowing=%u", nodes,
           percent, (unsigned long long)seed, (long long)((s.first_us - at_us) / MS),
           (long long)((s.last_us - at_us) / MS), s.knowing);
    end(&s);
    return good;
}

/* Each of them stops for `ms`, goes on for as long as chance wants (a few ms to a second). */
bool scene_anomaly(uint32_t nodes, uint32_t paused, int64_t ms, int64_t seconds, uint64_t seed,
                   bool lifeguard)
{
    struct world_conf conf = scene_conf(nodes, 0, seed);
    struct cluster_random dice;
    struct scene s;
    conf.lifeguard = lifeguard;
    bool good = scene_open(&s, &conf);
    cluster_random_seed(&dice, seed);
    s.anomalous = paused;
    world_run(s.world, 10 * SECOND);
    for (int64_t end_us = world_now_us(s.world) + seconds * SECOND;
         world_now_us(s.world) < end_us;) {
        for (uint32_t i = 1; i <= paused; i++)
            if (!world_paused(s.world, i) && cluster_random_below(&dice, 100) < PAUSES_PERCENT)
                world_pause(s.world, i, ms * MS, true);
        world_run(s.world, 10 * MS);
    }
    printf("anomaly nodes=%u paused=%u ms=%lld seconds=%lld seed=%llu lifeguard=%d "
           "about_well=%llu well=%llu",
           nodes, paused, (long long)ms, (long long)seconds, (unsigned long long)seed,
           lifeguard, (unsigned long long)s.wrong_about_well, (unsigned long long)s.wrong_well);
    end(&s);
    return good;
}

static void part(struct scene *s, uint32_t count, uint32_t group)
{
    for (uint32_t i = 0; i < count; i++)
        net_group(world_net(s->world), i, group);
}

bool scene_partition(uint32_t nodes, uint32_t percent, int64_t seconds, uint64_t seed)
{
    struct world_conf conf = scene_conf(nodes, percent, seed);
    struct scene s;
    scene_regions(&conf);
    bool good = scene_open(&s, &conf);
    world_run(s.world, 60 * SECOND);
    part(&s, nodes / 3, 1);
    int64_t parted_s = scene_settle(&s, nodes, seconds);
    world_run(s.world, (parted_s < 0 ? 0 : seconds - parted_s) * SECOND);
    part(&s, nodes / 3, 0);
    int64_t healed_s = scene_settle(&s, nodes, HEAL_MAX_S);
    good &= scene_expect(healed_s >= 0, "one again within the bound");
    good &= scene_expect(s.wrong == 0, "nobody dies on the own side");
    printf("partition nodes=%u percent=%u seconds=%lld seed=%llu parted_s=%lld healed_s=%lld",
           nodes, percent, (long long)seconds, (unsigned long long)seed, (long long)parted_s,
           (long long)healed_s);
    end(&s);
    return good;
}

/* Do all that are up have the node at the address that it has? */
static bool found(const struct scene *s, uint32_t node)
{
    struct addr addr = world_addr(s->world, node);
    struct cluster_node me, seen;
    cluster_me(world_cluster(s->world, node), &me);
    for (uint32_t i = 0; i < s->nodes; i++) {
        const struct cluster *c = world_cluster(s->world, i);
        if (i != node && c &&
            (!cluster_node_find(c, me.name, &seen) || !addr_equal(&seen.addr, &addr) ||
             seen.status != CLUSTER_STATUS_ALIVE))
            return false;
    }
    return !cluster_conflict_lost(world_cluster(s->world, node));
}

static int64_t await_found(struct scene *s, uint32_t node, int64_t max_s)
{
    for (int64_t seconds = 0; seconds <= max_s; seconds++) {
        if (found(s, node))
            return seconds;
        world_run(s->world, SECOND);
    }
    return -1;
}

/* The same name at another address: long after its death is known, then at once. */
bool scene_move(uint32_t nodes, uint32_t percent, uint64_t seed)
{
    struct world_conf conf = scene_conf(nodes, percent, seed);
    struct scene s;
    bool good = scene_open(&s, &conf);
    world_run(s.world, 60 * SECOND);
    scene_crash(&s, 1);
    good &= scene_expect(scene_await(&s, DEATH_MAX_S) >= 0, "all know that it is gone");
    world_run(s.world, conf.profile.reclaim_us);
    world_restart(s.world, 1, true);
    int64_t late_s = await_found(&s, 1, 30);
    good &= scene_expect(late_s >= 0, "all have it at its new address");
    world_run(s.world, 60 * SECOND);
    scene_crash(&s, 2); /* its old address will be found dead */
    world_restart(s.world, 2, true);
    int64_t soon_s = await_found(&s, 2, MOVE_MAX_S);
    good &= scene_expect(soon_s >= 0, "also when it was not gone yet");
    good &= scene_expect(s.wrong == 0, "nobody else dies");
    printf("move nodes=%u percent=%u seed=%llu after_death_s=%lld at_once_s=%lld", nodes,
           percent, (unsigned long long)seed, (long long)late_s, (long long)soon_s);
    end(&s);
    return good;
}

/* Regions, bursts of loss, late packets, clocks that are off, and one-way cuts. */
bool scene_rough(uint32_t nodes, uint32_t percent, int64_t seconds, uint64_t seed)
{
    struct world_conf conf = scene_conf(nodes, percent, seed);
    struct scene s;
    scene_regions(&conf);
    conf.drift_ppm = 10000;
    conf.net.late_ppm = 20000;
    conf.net.late_us = 300 * MS;
    conf.net.burst_every_us = 60 * SECOND;
    conf.net.burst_us = 1500 * MS;
    conf.net.burst_loss_ppm = 800000;
    bool good = scene_open(&s, &conf);
    for (uint32_t i = 0; i + 1 < nodes; i += 2)
        net_cut(world_net(s.world), i, i + 1, true);
    world_run(s.world, seconds * SECOND);
    good &= scene_expect(s.wrong == 0, "nobody dies");
    good &= scene_expect(world_agree(s.world) == nodes, "all agree");
    printf("rough nodes=%u percent=%u seconds=%lld seed=%llu", nodes, percent,
           (long long)seconds, (unsigned long long)seed);
    end(&s);
    return good;
}
