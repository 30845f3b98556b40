/* cluster/intent.h - intents about nodes that nobody here knows yet.
 *
 * A join or leave may overtake the swim's word about its node. The last intent of each node is
 * kept for a while, for when the node comes.
 *
 * Units:  *_us of one monotonic clock. Thread: one owner. Owns: its table.
 * Limits: CLUSTER_INTENTS_MAX; over it the oldest makes room.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CLUSTER_INTENTS_MAX 1024u
#define CLUSTER_INTENT_KEPT_US (300 * INT64_C(1000000))

struct cluster_intents { /* begins zeroed */
    uint32_t count, room;
    struct cluster_intent {
        uint64_t id, ltime; /* id: of the node */
        int64_t at_us;
        bool leave;
    } * intent;
};

void cluster_intents_fini(struct cluster_intents *t);

/* Is it news? False: this node's last intent is not older. */
bool cluster_intents_keep(struct cluster_intents *t, uint64_t id, uint64_t ltime, bool leave,
                          int64_t now_us);
/* Takes it out. False: there is none, or it is too old. */
bool cluster_intents_take(struct cluster_intents *t, uint64_t id, int64_t now_us,
                          struct cluster_intent *out);
