/* node/load.h - how busy this node is, as it tells others.
 *
 * The fuller of its CPUs (as of the last half minute) and its client connections.
 * Pure. Units: percent, 0 to 100. Thread: one owner.
 */
#pragma once

#include <stdint.h>

struct node_load { /* zeroed: nothing seen */
    int64_t at_ms;
    uint64_t cpu_us;
    double cpu_share; /* smoothed, 0..1 */
};
struct node_load_seen {
    int64_t now_ms;
    uint64_t cpu_us; /* used since the start, all threads but the encoders' */
    uint32_t cpus;
    uint64_t connections, connections_max;
};

/* Called about once a second. */
uint8_t node_load_percent(struct node_load *l, const struct node_load_seen *s);
