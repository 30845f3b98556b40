/* cluster/purge_log_core.h - what purge_log.c and purge_batch.c share; nobody else's.
 *
 * Of a stream, `synced_seq` is the highest record below which none is missing on this disk:
 * there, or dropped for one that is. What came out of order lies above it as "ahead"; it counts
 * as soon as the gap closes, or is covered. Nothing ahead is dropped or makes another needless:
 * who pulled up to our synced_seq would miss the one and not have the other.
 */
#pragma once

#include "cluster/purge_index.h"
#include "cluster/purge_log.h"
#include "cluster/purge_streams.h"

struct cluster_purge_owned_member {
    struct cluster_purge_member m;
    char *id; /* m's, owned */
};
struct cluster_purge_log {
    struct cluster_purge_log_conf conf;
    char *node;
    struct cluster_purge_index *index;
    struct cluster_purge_streams streams;
    uint32_t own;     /* this start's; CLUSTER_PURGE_NO_STREAM until its first purge */
    uint64_t own_seq; /* the last one given */
    uint64_t serial;
    struct cluster_purge_pending *first, *last;
    unsigned pending_count, unanswered;
    size_t pending_bytes;
    bool taken, failing;
    unsigned batch_max; /* less than CLUSTER_PURGE_BATCH after the map was full */
    int64_t tried_at_s;
    struct cluster_purge_swept swept, stored; /* stored: on disk */
    uint64_t used_bytes, max_bytes;
    struct cluster_purge_floors floors;
    struct { /* an `all` whose older records are being dropped */
        bool active, hard;
        uint32_t stream;
        uint64_t seq;
        size_t at;
    } all;
    uint64_t superseded, expired, displaced;             /* since the start */
    uint64_t out_superseded, out_expired, out_displaced; /* by the batch that is out */
    struct cluster_purge_owned_member *members;
    uint32_t member_count, member_room;
    const struct cluster_purge_reader *reader;
    void *disk;
};

void cluster_purge_log_check_sane(const struct cluster_purge_log *l);
struct hash128 cluster_purge_log_key(const struct cluster_purge_log *l, const struct purge *p);

/* Is an older one needless beside a later one of the same key? */
static inline bool cluster_purge_as_hard(unsigned later_mode, unsigned older_mode)
{
    return later_mode == PURGE_HARD || older_mode == PURGE_SOFT;
}
