/* node/purges_past.h - which number the cache had some seconds ago.
 *
 * Answers of a node that does not know a purge yet are measured against its name, so the name
 * must stay in the cache's table for as long as the purge counts as not known
 * (cluster/purge_recent.h): what has no number for CLUSTER_RECENT_UNNUMBERED_US, and for up to
 * a second more; and seconds are noted at their beginning here.
 *
 * Thread: the owner's.
 */
#pragma once

#include "cluster/purge_recent.h"

#define PURGES_PAST_S 12
_Static_assert(PURGES_PAST_S *INT64_C(1000000) >=
                   CLUSTER_RECENT_UNNUMBERED_US + 2 * INT64_C(1000000),
               "a name is kept for longer than its purge counts as not known");

struct purges_past {                 /* {0}: nothing is noted */
    uint64_t numbers[PURGES_PAST_S]; /* the newest one at each second's first note */
    int64_t second;                  /* of the last note */
    uint64_t from;
};
/* To be called some times a second with the newest number (not 0), by a monotonic clock.
 * Returns the number from which on names have to stay: never one of the last PURGES_PAST_S - 1
 * seconds; at the beginning, the first one noted. */
uint64_t purges_past_note(struct purges_past *p, int64_t now_us, uint64_t number);
