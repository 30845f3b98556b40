/* cluster/broadcast.h - messages that still have to be sent a few times, to anybody.
 *
 * Each message goes out `limit` times in all, not per peer. Order: fewest sends first, then
 * the largest that fits, then the newest. A new message about a subject replaces the older.
 * Only sends to peers that may hear them are counted: a message whose sends all went to a
 * dead peer would be lost.
 *
 * Thread: control. Owns: copies of the messages; spans handed out live until the next call
 *         that changes the queue.
 * Limits: messages and bytes as told at creation; beyond them the one that was sent most (of
 *         these the smallest, of these the oldest) is dropped and counted.
 */
#pragma once

#include "base/span.h"

struct cluster_broadcast;

struct cluster_broadcast *cluster_broadcast_create(uint32_t messages_max, size_t bytes_max);
void cluster_broadcast_destroy(struct cluster_broadcast *q);
/* mult * ceil(log10(members + 1)) */
uint32_t cluster_broadcast_limit(uint32_t mult, uint32_t members);
/* `subject` names what the message is about, 0: it replaces nothing. Copies `bytes`; what is
 * longer than bytes_max is dropped. */
void cluster_broadcast_put(struct cluster_broadcast *q, uint64_t subject, struct span bytes);
bool cluster_broadcast_holds(const struct cluster_broadcast *q, uint64_t subject);
void cluster_broadcast_remove(struct cluster_broadcast *q, uint64_t subject);
/* Fills out[0..] with at most `max` messages that take, each with `overhead` bytes, at most
 * `room` together; returns how many. `counted`: this is one send of each, and whoever reached
 * `limit` leaves the queue. */
uint32_t cluster_broadcast_pick(struct cluster_broadcast *q, size_t room, size_t overhead,
                                bool counted, uint32_t limit, struct span *out, uint32_t max);
uint32_t cluster_broadcast_count(const struct cluster_broadcast *q);
uint64_t cluster_broadcast_dropped(const struct cluster_broadcast *q);
