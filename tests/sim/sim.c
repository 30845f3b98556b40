/* tests/sim/sim.c - scenarios for many swims, by command; `check` is the one of every test run.
 *
 *   sim check                      a bad quarter of an hour for 24 nodes, twice: same hash?
 *   sim loss N PERCENT S SEED      nobody dies, and nobody may be said to be dead
 *   sim crash N PERCENT SEED       one node dies: when is that known first, and to all?
 *   sim anomaly N PAUSED MS S SEED BOOL   some nodes stop for MS again and again (Lifeguard's
 *                                  experiment), Lifeguard on (1) or off (0)
 *   sim idle N S SEED              bytes per node and second, IP and UDP headers included
 *
 * Exit: 0 when what must hold holds.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/world.h"

#define MS INT64_C(1000)
#define SECOND (1000 * MS)
#define HEADERS 28u /* IPv4 and UDP */

static struct world *world;

struct watch {
    uint32_t crashed;              /* UINT32_MAX: nobody */
    int64_t first_us, last_us;     /* of its death being known */
    uint32_t knowing;              /* nodes that know */
    uint64_t wrong, wrong_healthy; /* said dead though up; both sides well */
    bool (*well)(uint32_t node);
};
static struct watch watch;

static bool everybody(uint32_t node)
{
    return !world_paused(world, node);
}

static void hear_failed(void *user, uint32_t at, uint32_t about)
{
    struct watch *s = user;
    if (world_crashed(world, about)) {
        if (about != s->crashed)
            return;
        s->last_us = world_now_us(world);
        if (s->knowing++ == 0)
            s->first_us = s->last_us;
        return;
    }
    s->wrong++;
    s->wrong_healthy += s->well(at) && s->well(about);
}

static struct world_conf conf_of(uint32_t nodes, uint32_t loss_percent, uint64_t seed)
{
    return (struct world_conf){
        .nodes = nodes,
        .seed = seed,
        .profile = cluster_swim_lan,
        .lifeguard = true,
        .loss_ppm = loss_percent * 10000,
        .double_ppm = 1000,
        .delay_min_us = 1 * MS,
        .delay_max_us = 75 * MS,
        .join_within_us = 10 * SECOND,
    };
}

static void open_world(const struct world_conf *conf)
{
    struct world_news news = {.user = &watch, .failed = hear_failed};
    watch = (struct watch){.crashed = UINT32_MAX, .well = everybody};
    world = world_create(conf, &news);
}

/* Seconds until all agree; -1: not within `max_s`. */
static int64_t settle(uint32_t up, int64_t max_s)
{
    for (int64_t s = 0; s <= max_s; s++) {
        if (world_agree(world) == up)
            return s;
        world_run(world, SECOND);
    }
    return -1;
}

static bool expect(bool holds, const char *what)
{
    if (!holds)
        printf("FAILED: %s\n", what);
    return holds;
}

static void tell_counters(void)
{
    struct cluster_swim_counters c = world_counters(world);
    printf("probes=%llu failed=%llu indirect=%llu by_stream=%llu suspected=%llu refuted=%llu "
           "again=%llu "
           "dead=%llu push_pulls=%llu failed=%llu silences=%llu stalls=%llu events=%llu\n",
           (unsigned long long)c.probes, (unsigned long long)c.probes_failed,
           (unsigned long long)c.probes_indirect, (unsigned long long)c.probes_by_stream,
           (unsigned long long)c.suspected, (unsigned long long)c.refuted,
           (unsigned long long)c.refuted_again, (unsigned long long)c.failed,
           (unsigned long long)c.push_pulls, (unsigned long long)c.push_pulls_failed,
           (unsigned long long)c.silences, (unsigned long long)c.stalls,
           (unsigned long long)world_events(world));
}

static bool loss(uint32_t nodes, uint32_t percent, int64_t seconds, uint64_t seed)
{
    struct world_conf conf = conf_of(nodes, percent, seed);
    open_world(&conf);
    world_run(world, conf.join_within_us);
    int64_t joined_s = settle(nodes, 300);
    world_run(world, seconds * SECOND);
    printf("loss nodes=%u percent=%u seconds=%lld seed=%llu joined_s=%lld wrong=%llu "
           "hash=%016llx\n",
           nodes, percent, (long long)seconds, (unsigned long long)seed, (long long)joined_s,
           (unsigned long long)watch.wrong, (unsigned long long)world_hash(world));
    tell_counters();
    bool good = expect(joined_s >= 0, "all join") & expect(watch.wrong == 0, "nobody dies");
    world_destroy(world);
    return good;
}

static bool crash(uint32_t nodes, uint32_t percent, uint64_t seed)
{
    struct world_conf conf = conf_of(nodes, percent, seed);
    open_world(&conf);
    world_run(world, conf.join_within_us);
    bool good = expect(settle(nodes, 300) >= 0, "all join");
    world_run(world, 60 * SECOND);
    int64_t at_us = world_now_us(world);
    watch.crashed = nodes / 2;
    world_crash(world, watch.crashed);
    for (unsigned s = 0; s < 300 && watch.knowing < nodes - 1; s++)
        world_run(world, SECOND);
    printf(
        "crash nodes=%u percent=%u seed=%llu first_ms=%lld all_ms=%lld knowing=%u wrong=%llu "
        "hash=%016llx\n",
        nodes, percent, (unsigned long long)seed, (long long)(watch.first_us - at_us) / MS,
        (long long)(watch.last_us - at_us) / MS, watch.knowing, (unsigned long long)watch.wrong,
        (unsigned long long)world_hash(world));
    tell_counters();
    good &= expect(watch.knowing == nodes - 1, "all know it");
    good &= expect(watch.wrong == 0, "nobody else dies");
    world_destroy(world);
    return good;
}

static uint32_t anomalous; /* nodes 1..anomalous */

static bool outside(uint32_t node)
{
    return node == 0 || node > anomalous;
}

/* Each of them stops for `ms`, goes on for as long as chance wants (a few ms to a second). */
static void anomaly(uint32_t nodes, uint32_t paused, int64_t ms, int64_t seconds, uint64_t seed,
                    bool lifeguard)
{
    struct world_conf conf = conf_of(nodes, 0, seed);
    struct cluster_random dice;
    conf.lifeguard = lifeguard;
    open_world(&conf);
    cluster_random_seed(&dice, seed);
    anomalous = paused;
    watch.well = outside;
    world_run(world, conf.join_within_us);
    (void)settle(nodes, 300);
    world_run(world, 10 * SECOND);
    for (int64_t end_us = world_now_us(world) + seconds * SECOND;
         world_now_us(world) < end_us;) {
        for (uint32_t i = 1; i <= paused; i++)
            if (!world_paused(world, i) && cluster_random_below(&dice, 100) < 10)
                world_pause(world, i, ms * MS, true);
        world_run(world, 10 * MS);
    }
    printf("anomaly nodes=%u paused=%u ms=%lld seconds=%lld seed=%llu lifeguard=%d wrong=%llu "
           "healthy=%llu hash=%016llx\n",
           nodes, paused, (long long)ms, (long long)seconds, (unsigned long long)seed,
           lifeguard, (unsigned long long)watch.wrong, (unsigned long long)watch.wrong_healthy,
           (unsigned long long)world_hash(world));
    tell_counters();
    world_destroy(world);
}

static void idle(uint32_t nodes, int64_t seconds, uint64_t seed)
{
    struct world_conf conf = conf_of(nodes, 0, seed);
    open_world(&conf);
    world_run(world, conf.join_within_us);
    (void)settle(nodes, 300);
    world_run(world, 60 * SECOND);
    struct cluster_swim_counters a = world_counters(world);
    world_run(world, seconds * SECOND);
    struct cluster_swim_counters b = world_counters(world);
    double per = (double)nodes * (double)seconds;
    uint64_t packets = b.packets_out - a.packets_out;
    uint64_t bytes = b.bytes_out - a.bytes_out + packets * HEADERS;
    printf("idle nodes=%u seconds=%lld packets_per_s=%.2f bytes_per_s=%.1f stream_bytes_per_s="
           "%.1f hash=%016llx\n",
           nodes, (long long)seconds, (double)packets / per, (double)bytes / per,
           (double)(b.stream_bytes_out - a.stream_bytes_out) / per,
           (unsigned long long)world_hash(world));
    world_destroy(world);
}

#define STORY_NODES 24u

/* Loss, a crash, pauses, a partition and its heal. */
static bool story(uint64_t seed, uint64_t *out_hash)
{
    struct world_conf conf = conf_of(STORY_NODES, 5, seed);
    open_world(&conf);
    world_run(world, conf.join_within_us);
    bool good = expect(settle(STORY_NODES, 60) >= 0, "all join");
    world_run(world, 120 * SECOND);
    good &= expect(watch.wrong == 0, "nobody dies at 5% loss");
    watch.crashed = 7;
    world_crash(world, 7);
    world_run(world, 60 * SECOND);
    good &= expect(watch.knowing == STORY_NODES - 1, "all know of the crash");
    good &= expect(watch.wrong == 0, "nobody else dies");
    for (uint32_t i = 0; i < 3; i++)
        world_pause(world, 10 + i, (3 + 7 * i) * SECOND, false);
    world_run(world, 30 * SECOND);
    good &= expect(settle(STORY_NODES - 1, 60) >= 0, "agreed after the pauses");
    for (uint32_t i = 0; i < STORY_NODES / 3; i++)
        world_group(world, i, 1);
    world_run(world, 60 * SECOND);
    for (uint32_t i = 0; i < STORY_NODES; i++)
        world_group(world, i, 0);
    int64_t healed_s = settle(STORY_NODES - 1, 120);
    good &= expect(healed_s >= 0, "one again after the partition");
    printf("story seed=%llu events=%llu healed_s=%lld hash=%016llx\n", (unsigned long long)seed,
           (unsigned long long)world_events(world), (long long)healed_s,
           (unsigned long long)world_hash(world));
    *out_hash = world_hash(world);
    world_destroy(world);
    return good;
}

static bool check(void)
{
    uint64_t first = 0, again = 0, other = 0;
    bool good = story(1, &first) & story(1, &again) & story(2, &other);
    good &= expect(first == again, "the same seed, the same story");
    return good & expect(first != other, "another seed, another story");
}

static uint32_t number(const char *text)
{
    uint64_t value = 0;
    if (!span_to_u64(span_text(text), &value) || value > UINT32_MAX) {
        fprintf(stderr, "sim: a number, not %s\n", text);
        exit(2);
    }
    return (uint32_t)value;
}

int main(int argc, char **argv)
{
    struct span what = span_text(argc > 1 ? argv[1] : "");
    uint32_t n[7] = {0};
    for (int i = 2; i < argc && i < 8; i++)
        n[i - 2] = number(argv[i]);
    if (span_equal(what, SPAN("check")))
        return check() ? 0 : 1;
    if (span_equal(what, SPAN("loss")) && argc == 6)
        return loss(n[0], n[1], n[2], n[3]) ? 0 : 1;
    if (span_equal(what, SPAN("crash")) && argc == 5)
        return crash(n[0], n[1], n[2]) ? 0 : 1;
    if (span_equal(what, SPAN("anomaly")) && argc == 8) {
        anomaly(n[0], n[1], n[2], n[3], n[4], n[5] != 0);
        return 0;
    }
    if (span_equal(what, SPAN("idle")) && argc == 5) {
        idle(n[0], n[1], n[2]);
        return 0;
    }
    fprintf(stderr, "sim: see tests/sim/sim.c\n");
    return 2;
}
