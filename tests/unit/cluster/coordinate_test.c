#include "cluster/coordinate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define NODES 20

struct place {
    double x, y, access; /* seconds */
};

static double real_rtt(const struct place *place, unsigned a, unsigned b)
{
    return hypot(place[a].x - place[b].x, place[a].y - place[b].y) + place[a].access +
           place[b].access;
}

static double mean_error(const struct cluster_coordinate *node, const struct place *place)
{
    double sum = 0;
    unsigned pairs = 0;
    for (unsigned a = 0; a < NODES; a++)
        for (unsigned b = 0; b < a; b++, pairs++) {
            double rtt = real_rtt(place, a, b);
            double guess = cluster_coordinate_distance_s(&node[a].at, &node[b].at);
            sum += fabs(guess - rtt) / rtt;
        }
    return sum / pairs;
}

/* Nodes on a plane of 200 ms, each with its own way to the network; one answer in `late` is
 * half a second late. The mean error of all pairs after so many probes of each. */
static double map_error(unsigned probes, uint32_t late)
{
    static struct cluster_coordinate node[NODES];
    static struct cluster_coordinate_peer peer[NODES][NODES];
    struct place place[NODES];
    struct cluster_random random;
    cluster_random_seed(&random, 7);
    for (unsigned i = 0; i < NODES; i++) {
        cluster_coordinate_init(&node[i]);
        place[i].x = cluster_random_below(&random, 200) / 1e3;
        place[i].y = cluster_random_below(&random, 200) / 1e3;
        place[i].access = 1e-3 + cluster_random_below(&random, 5) / 1e3;
    }
    memset(peer, 0, sizeof(peer));
    for (unsigned n = 0; n < probes * NODES; n++) {
        unsigned a = n % NODES, b = cluster_random_below(&random, NODES);
        double rtt_s = real_rtt(place, a, b);
        if (cluster_random_below(&random, late) == 0)
            rtt_s += 0.5;
        if (a == b)
            continue;
        assert_true(
            cluster_coordinate_update(&node[a], &peer[a][b], &node[b].at, rtt_s, &random));
        assert_true(cluster_coordinate_good(&node[a].at));
    }
    return mean_error(node, place);
}

static void finds_a_flat_map(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        unsigned probes;
        uint32_t late;
        double least, most;
    } rows[] = {
        {"nothing is known", 0, 2, 0.9, 1},
        {"each was asked a few times", 500, UINT32_MAX, 0, 0.02},
        {"and often", 3000, UINT32_MAX, 0, 0.01},
        {"with late answers, that the median keeps out", 3000, 50, 0, 0.1},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        double error = map_error(rows[i].probes, rows[i].late);
        if (error < rows[i].least || error > rows[i].most)
            fail_msg("%s: %.3f", rows[i].why, error);
    }
}

/* Serf's own figures for one step: a peer at the origin's height, 100 ms away. */
static void one_step(void **state)
{
    (void)state;
    struct cluster_coordinate c;
    struct cluster_coordinate_peer peer = {.count = 0};
    struct wire_serf_coordinate theirs = {.error = 1.5, .height = 10e-6, .vec = {0.03}};
    struct cluster_random random;
    cluster_random_seed(&random, 1);
    cluster_coordinate_init(&c);
    assert_true(c.at.error == 1.5 && c.at.height == 10e-6);
    assert_true(cluster_coordinate_update(&c, &peer, &theirs, 0.1, &random));
    /* weight 1/2; force 0.25 * 0.5 * (0.1 - 0.03002) away from it, then a little gravity */
    assert_true(fabs(c.at.vec[0] + 0.0087475) < 1e-6);
    /* error: 0.25 * 0.5 * 0.6998 + 1.5 * 0.875 */
    assert_true(fabs(c.at.error - 1.399975) < 1e-6);
    /* height: grows by (10e-6 + 10e-6) * force / 0.03 */
    assert_true(fabs(c.at.height - 15.8317e-6) < 1e-9);
    /* what is left of 100 ms, over twice the window */
    double raw = 0.03 + 0.0087475 + 15.8317e-6 + 10e-6;
    assert_true(fabs(c.at.adjustment - (0.1 - raw) / 40) < 1e-6);
}

static void the_median_counts(void **state)
{
    (void)state;
    struct cluster_coordinate c, d;
    struct cluster_coordinate_peer peer = {.count = 0}, other = {.count = 0};
    struct wire_serf_coordinate theirs = {.error = 0.1, .height = 10e-6, .vec = {0.05}};
    struct cluster_random r1, r2;
    cluster_random_seed(&r1, 1);
    cluster_random_seed(&r2, 1);
    cluster_coordinate_init(&c);
    cluster_coordinate_init(&d);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(cluster_coordinate_update(&c, &peer, &theirs, 0.05, &r1));
        assert_true(cluster_coordinate_update(&d, &other, &theirs, 0.05, &r2));
    }
    assert_true(cluster_coordinate_update(&c, &peer, &theirs, 9.0, &r1)); /* a stall */
    assert_true(cluster_coordinate_update(&d, &other, &theirs, 0.05, &r2));
    assert_memory_equal(&c, &d, sizeof(c));
}

static void what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct wire_serf_coordinate theirs;
        double rtt_s;
        bool good;
    } rows[] = {
        {"fine", {.error = 1, .height = 1e-5}, 0.1, true},
        {"no round trip at all", {.error = 1, .height = 1e-5}, 0, true},
        {"zeros, as a prototype sent them", {.error = 0}, 0.1, true},
        {"no number in the vector", {.error = 1, .vec = {0, NAN}}, 0.1, false},
        {"infinity", {.error = 1, .vec = {[7] = -INFINITY}}, 0.1, false},
        {"no number as height", {.error = 1, .height = NAN}, 0.1, false},
        {"below the ground", {.error = 1, .height = -1e-9}, 0.1, false},
        {"no number as error", {.error = NAN}, 0.1, false},
        {"a negative error", {.error = -0.1}, 0.1, false},
        {"an endless adjustment", {.error = 1, .adjustment = INFINITY}, 0.1, false},
        {"another planet", {.error = 1, .vec = {1e300}}, 0.1, false},
        {"just too far", {.error = 1, .vec = {100.1}}, 0.1, false},
        {"a negative round trip", {.error = 1}, -1e-9, false},
        {"ten seconds", {.error = 1}, 10, true},
        {"more", {.error = 1}, 10.01, false},
        {"no number", {.error = 1}, NAN, false},
    };
    struct cluster_random random;
    cluster_random_seed(&random, 3);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster_coordinate c, was;
        struct cluster_coordinate_peer peer = {.count = 0};
        cluster_coordinate_init(&c);
        was = c;
        bool good =
            cluster_coordinate_update(&c, &peer, &rows[i].theirs, rows[i].rtt_s, &random);
        if (good != rows[i].good || !cluster_coordinate_good(&c.at))
            fail_msg("%s", rows[i].why);
        if (!good) {
            assert_memory_equal(&c, &was, sizeof(c));
            assert_int_equal(peer.count, 0);
        }
    }
}

/* A liar at the edge of what is believed moves a node by a step at most, however sure it is. */
static void a_liar_moves_it_little(void **state)
{
    (void)state;
    struct cluster_coordinate c;
    struct cluster_coordinate_peer liar = {.count = 0}, honest = {.count = 0};
    struct wire_serf_coordinate far = {.error = 0, .height = 99, .vec = {99, 99, 99, 99}};
    struct wire_serf_coordinate near = {.error = 0.1, .height = 1e-3, .vec = {0.02}};
    struct cluster_random random;
    cluster_random_seed(&random, 3);
    cluster_coordinate_init(&c);
    for (unsigned i = 0; i < 100; i++)
        assert_true(cluster_coordinate_update(&c, &honest, &near, 0.03, &random));
    double was[WIRE_SERF_DIMENSIONS], moved = 0;
    memcpy(was, c.at.vec, sizeof(was));
    assert_true(cluster_coordinate_update(&c, &liar, &far, 0.001, &random));
    for (unsigned i = 0; i < WIRE_SERF_DIMENSIONS; i++)
        moved += (c.at.vec[i] - was[i]) * (c.at.vec[i] - was[i]);
    assert_true(sqrt(moved) <= CLUSTER_COORDINATE_STEP_S * 1.01);
    for (unsigned i = 0; i < 10000; i++) {
        (void)cluster_coordinate_update(&c, &liar, &far, i % 2 ? 0 : 10, &random);
        assert_true(cluster_coordinate_good(&c.at));
    }
    /* And it comes back when the liar is gone. */
    for (unsigned i = 0; i < 5000; i++)
        assert_true(cluster_coordinate_update(&c, &honest, &near, 0.03, &random));
    assert_true(fabs(cluster_coordinate_distance_s(&c.at, &near) - 0.03) < 0.01);
}

static void two_at_one_place_part(void **state)
{
    (void)state;
    struct cluster_coordinate a, b;
    struct cluster_coordinate_peer pa = {.count = 0}, pb = {.count = 0};
    struct cluster_random random;
    cluster_random_seed(&random, 9);
    cluster_coordinate_init(&a);
    cluster_coordinate_init(&b);
    for (unsigned i = 0; i < 300; i++) {
        assert_true(cluster_coordinate_update(&a, &pa, &b.at, 0.08, &random));
        assert_true(cluster_coordinate_update(&b, &pb, &a.at, 0.08, &random));
    }
    assert_true(fabs(cluster_coordinate_distance_s(&a.at, &b.at) - 0.08) < 0.004);
    assert_true(cluster_coordinate_distance_s(&a.at, &b.at) ==
                cluster_coordinate_distance_s(&b.at, &a.at));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_a_flat_map),       cmocka_unit_test(one_step),
        cmocka_unit_test(the_median_counts),      cmocka_unit_test(what_is_refused),
        cmocka_unit_test(a_liar_moves_it_little), cmocka_unit_test(two_at_one_place_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
