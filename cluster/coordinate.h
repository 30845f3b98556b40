/* cluster/coordinate.h - Vivaldi: round trips to everybody, estimated from a few that are
 * known.
 *
 * As Serf does it: 8 dimensions, a height (the way to the network), an adjustment from the
 * last 20 errors, the median of 3 round trips per peer, gravity towards the origin. What
 * others tell is checked, and no answer moves this node by more than
 * CLUSTER_COORDINATE_STEP_S, so that a liar cannot throw it far.
 *
 * Units:  seconds, in doubles.
 * Thread: one owner. Pure: random numbers come as an argument.
 * Owns:   nothing.
 * Limits: coordinates beyond CLUSTER_COORDINATE_FAR_S and round trips beyond
 *         CLUSTER_COORDINATE_RTT_MAX_S are refused.
 */
#pragma once

#include "cluster/random.h"
#include "cluster/wire/serf.h"

#define CLUSTER_COORDINATE_WINDOW 20
#define CLUSTER_COORDINATE_FILTER 3
#define CLUSTER_COORDINATE_RTT_MAX_S 10.0
#define CLUSTER_COORDINATE_FAR_S 100.0 /* any part of a coordinate */
#define CLUSTER_COORDINATE_STEP_S 0.1

struct cluster_coordinate { /* this node's */
    struct wire_serf_coordinate at;
    double errors[CLUSTER_COORDINATE_WINDOW];
    uint32_t next_error;
};
struct cluster_coordinate_peer { /* another's */
    struct wire_serf_coordinate at;
    float rtt_s[CLUSTER_COORDINATE_FILTER]; /* the last ones */
    uint8_t count, next;
};

void cluster_coordinate_init(struct cluster_coordinate *c);
bool cluster_coordinate_good(const struct wire_serf_coordinate *v);
/* A probe of `peer` took rtt_s; it said that it is at `theirs`. False: refused, nothing
 * changed. *peer begins zeroed. */
bool cluster_coordinate_update(struct cluster_coordinate *c,
                               struct cluster_coordinate_peer *peer,
                               const struct wire_serf_coordinate *theirs, double rtt_s,
                               struct cluster_random *random);
double cluster_coordinate_distance_s(const struct wire_serf_coordinate *a,
                                     const struct wire_serf_coordinate *b);
