/* cluster/purge_recent.h - which purges that count here may another node not know yet?
 *
 * For answers that come from a peer's cache (docs/purge.md, "Peer answers"): the peer told its
 * version vector with the answer. What it covers the peer had applied before it answered. Of
 * all other purges that count here, also those without a number (hints, typed events,
 * invalidations), the lowest apply_no is returned: an answer none of whose names was purged
 * at or above that number is as good as one from the origin, whatever the peer does not know.
 *
 * It remembers the last CLUSTER_RECENT records. When the peer's vector does not cover all
 * older ones, nothing is known, and the origin has to be asked. What has no number is
 * remembered for CLUSTER_RECENT_UNNUMBERED_US, or until its record comes.
 *
 * Thread: any; a short lock. Control writes, workers ask.
 * Limits: as below; an older un-numbered one with a token that has to give way before its time
 *         makes everything unknown until its time is up. Of those without one there may be any
 *         number: only the lowest of each second counts, and stays for up to a second longer.
 */
#pragma once

#include "cluster/purge_record.h"
#include "cluster/vector.h"

#define CLUSTER_RECENT 65536u
#define CLUSTER_RECENT_UNNUMBERED 4096u
#define CLUSTER_RECENT_UNNUMBERED_US (10 * INT64_C(1000000))

struct cluster_recent;
struct cluster_recent *cluster_recent_create(void);
void cluster_recent_destroy(struct cluster_recent *r); /* NULL ok */

/* Before the purge takes effect is too early (it has no number yet), after the first answer of
 * a peer has been checked too late: between taking the number and applying it. */
void cluster_recent_add(struct cluster_recent *r, struct cluster_purge_id id,
                        uint64_t apply_no);
/* `token`: by which _numbered finds it; 0: it never gets a number. */
void cluster_recent_add_unnumbered(struct cluster_recent *r, uint64_t token, uint64_t apply_no,
                                   int64_t now_us);
void cluster_recent_numbered(struct cluster_recent *r, uint64_t token);
/* At a start: everything up to this vector lies further back than what is remembered. */
void cluster_recent_begin(struct cluster_recent *r, const struct cluster_vector *synced);
/* And later: records of this stream up to there were passed over (the safe fallback). What they
 * named is not known here: only who knows the stream so far can have left it out. */
void cluster_recent_passed_over(struct cluster_recent *r, uint64_t stream, uint64_t through);

#define CLUSTER_RECENT_ALL 0              /* the peer knows all that counts here */
#define CLUSTER_RECENT_UNKNOWN UINT64_MAX /* ask the origin */
/* `vector`: as the peer sent it (cluster/vector.h); nonsense is UNKNOWN. */
uint64_t cluster_recent_oldest_unknown_to(struct cluster_recent *r, struct span vector,
                                          int64_t now_us);
/* The lowest number without a record at this moment, 0: none. A request that would need such a
 * name need not go to a peer at all. */
uint64_t cluster_recent_oldest_unnumbered(struct cluster_recent *r, int64_t now_us);
