/* cluster/random.h - numbers that look random and repeat with their seed (PCG-XSH-RR 64/32).
 *
 * For choices of peers and for spreading timers; never for keys or nonces.
 * Thread: one owner.
 */
#pragma once

#include <stdint.h>

struct cluster_random {
    uint64_t state;
};

void cluster_random_seed(struct cluster_random *r, uint64_t seed);
uint32_t cluster_random_u32(struct cluster_random *r);
uint32_t cluster_random_below(struct cluster_random *r,
                              uint32_t bound); /* unbiased; bound > 0 */
