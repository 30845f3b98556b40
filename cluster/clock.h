/* cluster/clock.h - a Lamport clock that nobody can push to its end.
 *
 * A sender stamps `now` and hears itself; whoever hears a time steps beyond it. Times
 * far ahead of all that is known are not believed, so that no single message moves a clock by
 * more than CLUSTER_LTIME_JUMP.
 *
 * Thread: one owner.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CLUSTER_LTIME_JUMP (UINT64_C(1) << 32)
#define CLUSTER_LTIME_CEILING (UINT64_C(1) << 62) /* no clock goes beyond */

struct cluster_clock {
    uint64_t now; /* begins at 1, as Serf's */
};

/* False: too far ahead, nothing changed. */
static inline bool cluster_clock_witness(struct cluster_clock *c, uint64_t ltime)
{
    if (ltime >= CLUSTER_LTIME_CEILING ||
        (ltime > c->now && ltime - c->now > CLUSTER_LTIME_JUMP))
        return false;
    if (ltime >= c->now)
        c->now = ltime + 1;
    return true;
}
