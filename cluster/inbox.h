/* cluster/inbox.h - user messages that wait for their turn.
 *
 * Thread: control. Owns: copies of the messages; what was taken lives until the next call.
 * Limits: CLUSTER_SWIM_INBOX messages, CLUSTER_SWIM_INBOX_BYTES; the oldest gives way.
 */
#pragma once

#include <sys/queue.h>

#include "base/addr.h"

struct cluster_inbox_message;
struct cluster_inbox {
    STAILQ_HEAD(, cluster_inbox_message) messages;
    struct cluster_inbox_message *taken;
    uint32_t count;
    size_t bytes;
};

void cluster_inbox_init(struct cluster_inbox *b);
void cluster_inbox_fini(struct cluster_inbox *b);
/* Returns how many messages were dropped for it, itself included when it is too large. */
uint32_t cluster_inbox_put(struct cluster_inbox *b, const struct addr *from, struct span bytes);
bool cluster_inbox_take(struct cluster_inbox *b, struct addr *out_from, struct span *out_bytes);
