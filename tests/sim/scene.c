#include "tests/sim/scene.h"

#include <stdio.h>

#define JOIN_MAX_S 900

static bool well(const struct scene *s, uint32_t node)
{
    return (node == 0 || node > s->anomalous) && !world_paused(s->world, node);
}

#define TRACED_MAX 100u

/* Who said it: the node's own timer (its counter grows with it), or another node's word? */
static void trace_wrong(const struct scene *s, uint32_t at, uint32_t about)
{
    struct cluster_counters c;
    if (s->wrong > TRACED_MAX)
        return;
    cluster_counters(world_cluster(s->world, at), &c);
    fprintf(stderr, "wrong at_ms=%lld node=n%u about=n%u expired=%llu failed=%llu\n",
            (long long)(world_now_us(s->world) / MS), at, about,
            (unsigned long long)c.swim.expired, (unsigned long long)c.swim.failed);
}

static void hear_changed(void *user, uint32_t at, enum cluster_change change, uint32_t about)
{
    struct scene *s = user;
    if (change != CLUSTER_FAILED)
        return;
    if (about == s->awaited) {
        s->last_us = world_now_us(s->world);
        if (s->knowing++ == 0)
            s->first_us = s->last_us;
        return;
    }
    if (world_crashed(s->world, about))
        return;
    const struct net *net = world_net(s->world);
    if (net_group_of(net, at) != net_group_of(net, about))
        return;
    s->wrong++;
    trace_wrong(s, at, about);
    s->wrong_about_well += well(s, about);
    s->wrong_well += well(s, at) && well(s, about);
}

static void hear_event(void *user, uint32_t at, const struct cluster_event *event)
{
    struct scene *s = user;
    if (s->event)
        s->event(s, at, event);
}

void scene_delay(struct world_conf *conf, int64_t min_us, int64_t max_us)
{
    for (uint32_t a = 0; a < NET_REGIONS; a++)
        for (uint32_t b = 0; b < NET_REGIONS; b++)
            conf->net.delay[a][b] = (struct net_delay){min_us, max_us};
}

void scene_regions(struct world_conf *conf)
{
    static const struct net_delay one_way[3][3] = {
        {{1 * MS, 15 * MS}, {40 * MS, 60 * MS}, {90 * MS, 130 * MS}},
        {{40 * MS, 60 * MS}, {1 * MS, 30 * MS}, {70 * MS, 100 * MS}},
        {{90 * MS, 130 * MS}, {70 * MS, 100 * MS}, {1 * MS, 40 * MS}},
    };
    conf->net.regions = 3;
    for (uint32_t a = 0; a < 3; a++)
        for (uint32_t b = 0; b < 3; b++)
            conf->net.delay[a][b] = one_way[a][b];
}

struct world_conf scene_conf(uint32_t nodes, uint32_t loss_percent, uint64_t seed)
{
    struct world_conf conf = {
        .nodes = nodes,
        .seed = seed,
        .profile = cluster_swim_lan,
        .lifeguard = true,
        .net = {.regions = 1, .loss_ppm = loss_percent * 10000, .double_ppm = 1000},
        .join_within_us = 10 * SECOND,
    };
    scene_delay(&conf, 1 * MS, 75 * MS);
    return conf;
}

bool scene_expect(bool holds, const char *what)
{
    if (!holds)
        printf("FAILED: %s\n", what);
    return holds;
}

int64_t scene_settle(struct scene *s, uint32_t up, int64_t max_s)
{
    for (int64_t seconds = 0; seconds <= max_s; seconds++) {
        if (world_agree(s->world) == up)
            return seconds;
        world_run(s->world, SECOND);
    }
    return -1;
}

bool scene_open(struct scene *s, const struct world_conf *conf)
{
    struct world_news news = {.user = s, .changed = hear_changed, .event = hear_event};
    *s = (struct scene){.nodes = conf->nodes, .awaited = NOBODY};
    s->world = world_create(conf, &news);
    world_run(s->world, conf->join_within_us);
    return scene_expect(scene_settle(s, conf->nodes, JOIN_MAX_S) >= 0, "all join");
}

void scene_close(struct scene *s)
{
    world_destroy(s->world);
}

void scene_crash(struct scene *s, uint32_t node)
{
    s->awaited = node;
    s->knowing = 0;
    world_crash(s->world, node);
}

int64_t scene_await(struct scene *s, int64_t max_s)
{
    for (int64_t seconds = 0; seconds <= max_s; seconds++) {
        if (s->knowing == s->nodes - 1)
            return seconds;
        world_run(s->world, SECOND);
    }
    return -1;
}

void scene_counters(const struct scene *s)
{
    struct world_counters c = world_counters(s->world);
    const struct {
        const char *name;
        uint64_t count;
    } row[] = {
        {"probes", c.swim.probes},
        {"probes_failed", c.swim.probes_failed},
        {"indirect", c.swim.probes_indirect},
        {"by_stream", c.swim.probes_by_stream},
        {"suspected", c.swim.suspected},
        {"refuted", c.swim.refuted},
        {"refuted_again", c.swim.refuted_again},
        {"dead", c.swim.failed},
        {"expired", c.swim.expired},
        {"asked_by_stream", c.swim.asked_by_stream},
        {"conflicts", c.swim.conflicts},
        {"push_pulls", c.swim.push_pulls},
        {"push_pulls_failed", c.swim.push_pulls_failed},
        {"silences", c.swim.silences},
        {"stalls", c.swim.stalls},
        {"reconnects", c.serf.reconnects},
        {"pushed", c.serf.events_pushed},
        {"happened", world_events(s->world)},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++)
        printf(" %s=%llu", row[i].name, (unsigned long long)row[i].count);
    printf("\n");
}
