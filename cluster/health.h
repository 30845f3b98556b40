/* cluster/health.h - how a node is, as a small user event.
 *
 * The event CLUSTER_HEALTH_EVENT carries a line of text: the node's name, its bytes that are
 * no letters, digits, '.', '_' or '-' as %XX, then words `key=value` in any order: load, shed,
 * drain. Unknown words are skipped (origins that are up or down will be some).
 *
 * Units:  percent.
 * Thread: any. Owns nothing.
 * Limits: CLUSTER_HEALTH_TEXT_MAX.
 * Errors: ERR_SYNTAX.
 */
#pragma once

#include "base/span.h"

#define CLUSTER_HEALTH_EVENT "perigee/health"
#define CLUSTER_HEALTH_TEXT_MAX 448 /* a name of 128 bytes, all escaped, and the words */

struct cluster_health {
    uint8_t load; /* 0..100: the fullest of CPU, bandwidth, connections */
    uint8_t shed; /* 0..100: the share of its clients that others should take */
    bool drain;   /* wants no new work */
};

struct span cluster_health_put(struct span name, const struct cluster_health *h,
                               char room[CLUSTER_HEALTH_TEXT_MAX]);
/* `name` is decoded into `room`. */
NODISCARD enum err cluster_health_get(struct span text, char room[CLUSTER_HEALTH_TEXT_MAX],
                                      struct span *out_name, struct cluster_health *out);
