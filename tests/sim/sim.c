/* tests/sim/sim.c - scenarios for many nodes and a virtual clock, by command.
 *
 * N nodes (as cluster/cluster.h makes them), PERCENT of packets lost besides what is said, S
 * seconds after all have joined, SEED any number: the same gives the same, in any build.
 * SEALED: 1 encrypted, 0 not.
 *
 *   sim check
 *       A bad quarter of an hour for 24 nodes, twice: the same hash? Then small ones of event,
 *       partition, move and calibrate. The one of every test run.
 *   sim loss N PERCENT S SEED
 *       Nobody dies, and nobody may be said to be dead.
 *   sim rough N PERCENT S SEED
 *       The same with three regions, bursts of loss, late packets, clocks that are off by 1 %,
 *       and one-way cuts.
 *   sim crash N PERCENT SEED
 *       One node dies: when is that known first, and when to all?
 *   sim partition N PERCENT S SEED
 *       A third is cut off for S: when does each side know (-1: not within S), and when are all
 *       one again?
 *   sim move N PERCENT SEED
 *       A node comes back with its name at another address, 10 s after its death is known, and
 *       another one at once.
 *   sim anomaly N PAUSED MS S SEED LIFEGUARD
 *       PAUSED nodes stop for MS again and again (Lifeguard's experiment), with Lifeguard (1)
 *       or without (0). wrong: deaths told of nodes that are up; about_well: of those that are
 *       never paused (Lifeguard's false positives); well: told to such nodes, too.
 *   sim event N PERCENT SEED
 *       200 user events with eager push, from anybody at any time: when does half, 99 % and the
 *       last node have them, and how many did gossip not bring to all?
 *   sim idle N S SEED SEALED
 *       Bytes that a node sends per second: at most 320.
 *   sim calibrate MIN MAX SEED SEALED
 *       Three nodes, MIN to MAX us from one to another, as those of
 *       tests/system/measure_cluster.py calibrate: bytes while idle, and how long events take
 *       with eager push and without.
 *
 * Exit: 0 when what must hold holds.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/scene.h"

#define NUMBERS_MAX 6

static bool run_check(const uint32_t *n)
{
    (void)n;
    return scene_check() & scene_event(64, 5, 1) & scene_partition(48, 5, 60, 1) &
           scene_move(16, 5, 1) & scene_calibrate(50, 200, 1, true);
}

static bool run_loss(const uint32_t *n)
{
    return scene_loss(n[0], n[1], n[2], n[3]);
}

static bool run_rough(const uint32_t *n)
{
    return scene_rough(n[0], n[1], n[2], n[3]);
}

static bool run_crash(const uint32_t *n)
{
    return scene_death(n[0], n[1], n[2]);
}

static bool run_partition(const uint32_t *n)
{
    return scene_partition(n[0], n[1], n[2], n[3]);
}

static bool run_move(const uint32_t *n)
{
    return scene_move(n[0], n[1], n[2]);
}

static bool run_anomaly(const uint32_t *n)
{
    return scene_anomaly(n[0], n[1], n[2], n[3], n[4], n[5] != 0);
}

static bool run_event(const uint32_t *n)
{
    return scene_event(n[0], n[1], n[2]);
}

static bool run_idle(const uint32_t *n)
{
    return scene_idle(n[0], n[1], n[2], n[3] != 0);
}

static bool run_calibrate(const uint32_t *n)
{
    return n[1] >= n[0] && scene_calibrate(n[0], n[1], n[2], n[3] != 0);
}

static const struct scenario {
    const char *name;
    int numbers;
    bool (*run)(const uint32_t *n);
} scenarios[] = {
    {"check", 0, run_check},         {"loss", 4, run_loss},           {"rough", 4, run_rough},
    {"crash", 3, run_crash},         {"partition", 4, run_partition}, {"move", 3, run_move},
    {"anomaly", 6, run_anomaly},     {"event", 3, run_event},         {"idle", 4, run_idle},
    {"calibrate", 4, run_calibrate},
};

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
    uint32_t n[NUMBERS_MAX] = {0};
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(scenarios); i++) {
        const struct scenario *s = &scenarios[i];
        if (!span_equal(span_text(argv[1]), span_text(s->name)) || argc != 2 + s->numbers)
            continue;
        for (int k = 0; k < s->numbers; k++)
            n[k] = number(argv[2 + k]);
        return s->run(n) ? 0 : 1;
    }
    fprintf(stderr, "sim: see tests/sim/sim.c\n");
    return 2;
}
