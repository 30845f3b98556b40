/* cluster/suspicion.h - how long a suspect may defend itself (Lifeguard's timer), pure.
 *
 * It starts at the longest time and shrinks with every other member that accuses the same
 * suspect: max - (max - min) * ln(c + 1) / ln(k + 1) after c of k confirmations, in whole ms,
 * counted from the first accusation. With too few members to confirm, it is `min` at once.
 *
 * Thread: any. Owns: nothing.
 * Limits: CLUSTER_SUSPICION_CONFIRM confirmations count.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CLUSTER_SUSPICION_CONFIRM 6

struct cluster_suspicion_rule {
    uint32_t mult;     /* of the probe interval */
    uint32_t max_mult; /* longest = max_mult * shortest */
    int64_t probe_interval_us;
    bool confirm; /* false: the shortest time at once (Lifeguard off) */
};

struct cluster_suspicion {
    int64_t from_us, min_us, max_us;
    uint32_t wanted, confirmed;
    uint32_t warned; /* times that the suspect itself was told */
    int64_t warned_us;
    uint64_t accusers[CLUSTER_SUSPICION_CONFIRM + 1]; /* hashes of names; the first began it */
};

/* mult * max(1, log10 members) * interval, in thousandths as memberlist counts it. */
int64_t cluster_suspicion_min_us(const struct cluster_suspicion_rule *rule, uint32_t members);
void cluster_suspicion_start(struct cluster_suspicion *s,
                             const struct cluster_suspicion_rule *rule, uint32_t members,
                             uint64_t accuser, int64_t now_us);
/* Is this accuser news that shortens the time? Then others should hear of it too. */
bool cluster_suspicion_confirm(struct cluster_suspicion *s, uint64_t accuser);
int64_t cluster_suspicion_deadline_us(const struct cluster_suspicion *s);
