/* cluster/outbox.h - what the swim wants done, in order, until the shell takes it.
 *
 * Thread: control. Owns: the bytes; they live until the next call.
 * Limits: CLUSTER_SWIM_OUTBOX entries; beyond them packets are refused, streams (few, as they
 *         are counted themselves) are not.
 */
#pragma once

#include "base/buf.h"
#include "cluster/swim.h"

struct cluster_outbox_entry {
    enum cluster_swim_do what;
    uint32_t stream;
    struct addr to;
    size_t from, len; /* in bytes */
};
struct cluster_outbox {
    struct cluster_outbox_entry *entry;
    uint32_t next, count, room; /* entries [next, count) are still to be done */
    struct buf bytes;
};

void cluster_outbox_fini(struct cluster_outbox *o); /* a zeroed one is ready for use */
bool cluster_outbox_put(struct cluster_outbox *o, enum cluster_swim_do what, uint32_t stream,
                        const struct addr *to, struct span bytes); /* `to` may be NULL */
bool cluster_outbox_next(struct cluster_outbox *o, struct cluster_swim_output *out);
