/* tests/purge_sim/purge_sim.c - the purge promise with a virtual clock, by command.
 *
 *   purge_sim check
 *       A short one of each, in every test run.
 *   purge_sim walk SEEDS FIRST
 *       Each seed: five nodes, 40 s of purges and requests with crashes at any write, frozen
 *       nodes, partitions (one-way ones, too), failing disks, typed events, forgotten members;
 *       then all is well again: equal vectors within 12 s, nothing lost. No violation.
 *   purge_sim gossip SEEDS FIRST
 *       The same with real gossip beneath: who is there, and hints, come from the nodes of
 *       tests/sim, under the same faults; equal vectors within 180 s.
 *   purge_sim spread NODES PERCENT PURGES SEED
 *       A purge on a node of many, PERCENT of packets lost: on every node within 3 s.
 *   purge_sim seeds NODES PERCENT SEEDS FIRST
 *       The same in one world after it has come to rest, one purge for each seed, each in a
 *       process of its own from there.
 *   purge_sim partition NODES PURGES SECONDS SEED
 *       Two halves that do not see each other, PURGES on each side: equal within 3 s of seeing
 *       each other again, nothing lost.
 *
 * Exit: 0 when what must hold holds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/purge_sim/fleet.h"

#define NUMBERS_MAX 4

static bool expect(bool holds, uint64_t seed, const char *what)
{
    if (!holds)
        fprintf(stderr, "FAILED: seed %llu: %s\n", (unsigned long long)seed, what);
    return holds;
}

/* --- walk --- */

static bool all_see_each_other(const struct fleet *w)
{
    for (uint32_t i = 0; i < w->conf.nodes * w->conf.nodes; i++) {
        if (w->cut[i])
            return false;
    }
    return true;
}

static bool all_have_met(const struct fleet *w)
{
    for (uint32_t i = 0; i < w->conf.nodes * w->conf.nodes; i++) {
        const struct node *n = &w->nodes[i / w->conf.nodes];
        if (i / w->conf.nodes != i % w->conf.nodes &&
            n->views[i % w->conf.nodes].told != CLUSTER_SYNC_LIVE)
            return false;
    }
    return true;
}

static void forget_one(struct fleet *w, uint32_t gone)
{
    uint32_t by = cluster_random_below(&w->pcg, w->conf.nodes);
    struct node *n = &w->nodes[by];
    /* The operator's word about a node that runs cut off would be wrong. */
    if (w->nodes[gone].up || !n->up || n->frozen || !all_see_each_other(w))
        return;
    bool before = w->nodes[gone].forgotten;
    w->nodes[gone].forgotten = true; /* what waited for it alone is everywhere at once */
    if (cluster_sync_forget(n->sync, span_text(w->nodes[gone].id), w->now_us) != ERR_OK)
        w->nodes[gone].forgotten = before;
}

static void random_fault(struct fleet *w)
{
    uint32_t a = cluster_random_below(&w->pcg, w->conf.nodes),
             b = cluster_random_below(&w->pcg, w->conf.nodes);
    struct node *n = &w->nodes[a];
    switch (cluster_random_below(&w->pcg, 10)) {
    case 0:
    case 1:
        fleet_crash(w, a);
        break;
    case 2:
    case 3:
        if (!n->up)
            fleet_start(w, a);
        break;
    case 4:
        if (n->frozen)
            fleet_thaw(w, a);
        else
            fleet_freeze(w, a);
        break;
    case 5:
        fleet_cut(w, a, b, true); /* one way */
        break;
    case 6:
        fleet_cut(w, a, b, true);
        fleet_cut(w, b, a, true);
        break;
    case 7:
        fleet_cut(w, a, b, false);
        fleet_cut(w, b, a, false);
        break;
    case 8:
        n->disk_err = cluster_random_below(&w->pcg, 2) ? ERR_SYS : ERR_LIMIT;
        n->disk_bad_until_us = w->now_us + (int64_t)cluster_random_below(&w->pcg, 3000) * MS;
        break;
    default:
        forget_one(w, a);
    }
}

static void live(struct fleet *w, int64_t for_us, bool faults)
{
    int64_t until = w->now_us + for_us;
    while (w->now_us < until) {
        fleet_run(w, (int64_t)cluster_random_below(&w->pcg, 20000));
        uint32_t node = cluster_random_below(&w->pcg, w->conf.nodes),
                 name = cluster_random_below(&w->pcg, NAMES),
                 dice = cluster_random_below(&w->pcg, 100);
        if (dice < 12)
            fleet_purge(w, node, name, dice < 3);
        else if (dice == 12)
            fleet_purge(w, node, NAMES, true);
        else if (dice == 13)
            fleet_typed(w, name);
        else if (dice == 14 && faults)
            random_fault(w);
        for (unsigned i = 0; i < 8; i++)
            fleet_get(w, cluster_random_below(&w->pcg, w->conf.nodes),
                      cluster_random_below(&w->pcg, NAMES));
    }
}

static void mend(struct fleet *w)
{
    for (uint32_t i = 0; i < w->conf.nodes; i++) {
        struct node *n = &w->nodes[i];
        for (uint32_t k = 0; k < w->conf.nodes; k++)
            fleet_cut(w, i, k, false);
        n->disk_bad_until_us = 0;
        fleet_thaw(w, i);
        if (!n->up)
            fleet_start(w, i);
    }
}

struct sums {
    uint64_t purges, everywhere, served, hits, from_peers, peers_refused;
    int64_t longest_us;
    uint64_t longest_seed;
};

static bool walk_once(uint64_t seed, enum fleet_gossip gossip, struct sums *sums)
{
    /* Serf looks for a failed member every 30 s, one by lot. */
    int64_t equal_max_us = gossip == GOSSIP_RUN ? 180 * SECOND : 12 * SECOND;
    struct fleet w;
    bool good = true;
    fleet_open(&w, &(struct fleet_conf){.nodes = 5,
                                        .loss_percent = 5,
                                        .seed = seed,
                                        .delay_min_us = 100,
                                        .delay_max_us = 40 * MS,
                                        .gossip = gossip});
    do {
        fleet_run(&w, 3 * SECOND);
    } while (w.now_us < 60 * SECOND &&
             !all_have_met(&w)); /* until all have met: who was never seen is no member */
    live(&w, 3 * SECOND, false);
    live(&w, 34 * SECOND, true);
    mend(&w);
    int64_t mended_us = w.now_us, equal_us = -1;
    while (w.now_us < mended_us + equal_max_us && equal_us < 0) {
        fleet_run(&w, 50 * MS);
        if (fleet_is_equal(&w) && (gossip != GOSSIP_RUN || all_have_met(&w)))
            equal_us = w.now_us - mended_us;
    }
    good &= expect(equal_us >= 0, seed, "vectors are not equal in time after all is well");
    live(&w, SECOND, false);
    fleet_run(&w, 3 * SECOND);
    good &= expect(fleet_is_whole(&w), seed, "a durable purge is not in effect everywhere");
    for (uint32_t i = 0; i < w.conf.nodes; i++)
        good &= expect(!w.nodes[i].cautious, seed, "a node stays cautious");
    good &= expect(w.violations == 0, seed, "violations");
    sums->purges += w.purges;
    sums->everywhere += w.everywhere;
    sums->served += w.served;
    sums->hits += w.hits;
    sums->from_peers += w.from_peers;
    sums->peers_refused += w.peers_refused;
    if (equal_us > sums->longest_us) {
        sums->longest_us = equal_us;
        sums->longest_seed = seed;
    }
    fleet_close(&w);
    return good;
}

static bool walk_all(const uint32_t *n, enum fleet_gossip gossip, const char *what)
{
    struct sums sums = {0};
    uint32_t bad = 0;
    for (uint32_t i = 0; i < n[0]; i++)
        bad += !walk_once(n[1] + i, gossip, &sums);
    printf("%s: seeds %u, bad %u, purges %llu, everywhere %llu, hits %.3f of %llu, from peers "
           "%llu, refused %llu, equal after at most %.2f s (seed %llu)\n",
           what, n[0], bad, (unsigned long long)sums.purges,
           (unsigned long long)sums.everywhere, (double)sums.hits / (double)sums.served,
           (unsigned long long)sums.served, (unsigned long long)sums.from_peers,
           (unsigned long long)sums.peers_refused, (double)sums.longest_us / 1e6,
           (unsigned long long)sums.longest_seed);
    return bad == 0;
}

static bool run_walk(const uint32_t *n)
{
    return walk_all(n, GOSSIP_TOLD, "walk");
}

static bool run_gossip(const uint32_t *n)
{
    return walk_all(n, GOSSIP_RUN, "gossip");
}

/* --- spread --- */

static bool has_all(const struct fleet *w, struct cluster_purge_id id)
{
    for (uint32_t i = 0; i < w->conf.nodes; i++) {
        if (!cluster_purge_log_has(w->nodes[i].log, id))
            return false;
    }
    return true;
}

static void open_for_spread(struct fleet *w, uint32_t nodes, uint32_t percent, uint32_t seed)
{
    fleet_open(w, &(struct fleet_conf){.nodes = nodes,
                                       .loss_percent = percent,
                                       .seed = seed,
                                       .delay_min_us = 10 * MS,
                                       .delay_max_us = 100 * MS});
    fleet_run(w, 5 * SECOND);
}

static int64_t purge_and_wait(struct fleet *w)
{
    fleet_purge(w, cluster_random_below(&w->pcg, w->conf.nodes),
                cluster_random_below(&w->pcg, NAMES), false);
    struct cluster_purge_id id = w->stories[w->story_count - 1].id;
    int64_t from_us = w->now_us;
    while (w->now_us < from_us + 10 * SECOND && !has_all(w, id))
        fleet_run(w, 20 * MS);
    return w->now_us - from_us;
}

/* In a child process: up to a second later, by other dice, one purge. -1: a violation. */
static int64_t spread_once(struct fleet *w, uint32_t seed)
{
    int ends[2];
    int64_t took_us = -1;
    must(pipe(ends) == 0);
    pid_t child = fork();
    must(child >= 0);
    if (child == 0) {
        cluster_random_seed(&w->pcg, seed);
        fleet_run(w, cluster_random_below(&w->pcg, SECOND));
        took_us = purge_and_wait(w);
        if (w->violations)
            took_us = -1;
        must(write(ends[1], &took_us, sizeof took_us) == sizeof took_us);
        _exit(0);
    }
    close(ends[1]);
    if (read(ends[0], &took_us, sizeof took_us) != sizeof took_us)
        took_us = -1;
    close(ends[0]);
    must(waitpid(child, NULL, 0) == child);
    return took_us;
}

static bool run_seeds(const uint32_t *n)
{
    struct fleet w;
    int64_t longest_us = 0, sum_us = 0;
    uint32_t bad = 0;
    open_for_spread(&w, n[0], n[1], n[3]);
    for (uint32_t i = 0; i < n[2]; i++) {
        int64_t took_us = spread_once(&w, n[3] + i);
        bad += !expect(took_us >= 0 && took_us <= 3 * SECOND, n[3] + i,
                       "not on every node within 3 s");
        sum_us += took_us;
        if (took_us > longest_us)
            longest_us = took_us;
        if (i % 100 == 99)
            fprintf(stderr, "%u seeds, at most %.2f s\n", i + 1, (double)longest_us / 1e6);
    }
    printf("seeds: nodes %u, loss %u %%, seeds %u, bad %u: on every node after %.2f s, at most "
           "%.2f s\n",
           n[0], n[1], n[2], bad, (double)sum_us / 1e6 / n[2], (double)longest_us / 1e6);
    fleet_close(&w);
    return bad == 0;
}

static bool run_spread(const uint32_t *n)
{
    struct fleet w;
    int64_t longest_us = 0, sum_us = 0;
    bool good = true;
    open_for_spread(&w, n[0], n[1], n[3]);
    for (uint32_t i = 0; i < n[2]; i++) {
        int64_t took_us = purge_and_wait(&w);
        good &= expect(took_us <= 3 * SECOND, i, "not on every node within 3 s");
        sum_us += took_us;
        if (took_us > longest_us)
            longest_us = took_us;
    }
    printf("spread: nodes %u, loss %u %%, purges %u: on every node after %.2f s, at most %.2f "
           "s\n",
           n[0], n[1], n[2], (double)sum_us / 1e6 / n[2], (double)longest_us / 1e6);
    good &= expect(w.violations == 0, n[3], "violations");
    fleet_close(&w);
    return good;
}

/* --- partition --- */

static bool run_partition(const uint32_t *n)
{
    struct fleet w;
    uint32_t nodes = n[0], half = n[0] / 2;
    bool good = true;
    fleet_open(&w, &(struct fleet_conf){.nodes = nodes,
                                        .loss_percent = 1,
                                        .seed = n[3],
                                        .delay_min_us = 100,
                                        .delay_max_us = 40 * MS,
                                        .gossip = GOSSIP_TOLD});
    fleet_run(&w, 3 * SECOND);
    live(&w, 10 * SECOND, false);
    for (uint32_t a = 0; a < half; a++) {
        for (uint32_t b = half; b < nodes; b++) {
            fleet_cut(&w, a, b, true);
            fleet_cut(&w, b, a, true);
        }
    }
    int64_t step = (int64_t)n[2] * SECOND / (n[1] ? n[1] : 1);
    for (uint32_t i = 0; i < n[1]; i++) {
        fleet_purge(&w, cluster_random_below(&w.pcg, half), cluster_random_below(&w.pcg, NAMES),
                    false);
        fleet_purge(&w, half + cluster_random_below(&w.pcg, nodes - half),
                    cluster_random_below(&w.pcg, NAMES), false);
        fleet_run(&w, step);
    }
    for (uint32_t a = 0; a < nodes; a++) {
        for (uint32_t b = 0; b < nodes; b++)
            fleet_cut(&w, a, b, false);
    }
    int64_t healed_us = w.now_us, seen_us = -1;
    while (seen_us < 0 || (!fleet_is_equal(&w) && w.now_us < seen_us + 10 * SECOND)) {
        fleet_run(&w, 20 * MS);
        for (uint32_t i = half; i < nodes && seen_us < 0; i++) {
            if (w.nodes[0].views[i].told == CLUSTER_SYNC_LIVE)
                seen_us = w.now_us;
        }
    }
    int64_t took_us = w.now_us - healed_us;
    printf("partition: nodes %u, %u purges on each side in %u s: equal %.2f s after the cut is "
           "mended (first sight after %.2f s), everywhere %llu of %llu\n",
           nodes, n[1], n[2], (double)took_us / 1e6, (double)(seen_us - healed_us) / 1e6,
           (unsigned long long)w.everywhere, (unsigned long long)w.purges);
    good &= expect(took_us <= 3 * SECOND, n[3], "not equal within 3 s");
    fleet_run(&w, 3 * SECOND);
    good &= expect(w.everywhere + w.not_here == w.purges, n[3], "a purge is not everywhere");
    good &= expect(fleet_is_whole(&w) && w.violations == 0, n[3], "a purge is lost");
    fleet_close(&w);
    return good;
}

static bool run_check(const uint32_t *n)
{
    (void)n;
    return run_walk((const uint32_t[]){30, 1}) & run_gossip((const uint32_t[]){20, 1}) &
           run_spread((const uint32_t[]){250, 25, 3, 1}) &
           run_seeds((const uint32_t[]){60, 25, 5, 1}) &
           run_partition((const uint32_t[]){4, 500, 10, 1});
}

static const struct scenario {
    const char *name;
    int numbers;
    bool (*run)(const uint32_t *n);
} scenarios[] = {
    {"check", 0, run_check},   {"walk", 2, run_walk},   {"gossip", 2, run_gossip},
    {"spread", 4, run_spread}, {"seeds", 4, run_seeds}, {"partition", 4, run_partition},
};

int main(int argc, char **argv)
{
    uint32_t n[NUMBERS_MAX] = {0};
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(scenarios); i++) {
        const struct scenario *s = &scenarios[i];
        if (!span_equal(span_text(argv[1]), span_text(s->name)) || argc != 2 + s->numbers)
            continue;
        for (int k = 0; k < s->numbers; k++) {
            uint64_t value = 0;
            if (!span_to_u64(span_text(argv[2 + k]), &value) || value > UINT32_MAX)
                return 2;
            n[k] = (uint32_t)value;
        }
        return s->run(n) ? 0 : 1;
    }
    fprintf(stderr, "purge_sim: see tests/purge_sim/purge_sim.c\n");
    return 2;
}
