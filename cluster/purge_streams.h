/* cluster/purge_streams.h - the streams that the purge log knows: a row each, found by id.
 *
 * Thread: one owner. Owns: its rows, which never go and never change place by index.
 * Limits: none of its own: cluster/purge_log.h counts.
 */
#pragma once

#include "cluster/purge_log.h"

#define CLUSTER_PURGE_NO_STREAM UINT32_MAX

struct cluster_purge_streams {
    struct cluster_purge_stream *rows; /* as synced */
    uint32_t count;
    uint32_t room, *slots, mask; /* open addressing over rows, at most half full */
};

void cluster_purge_streams_fini(struct cluster_purge_streams *s); /* zeroed is empty */
uint32_t cluster_purge_streams_find(const struct cluster_purge_streams *s, uint64_t id);
/* Not present. Returns its index; pointers to rows live until the next one. */
uint32_t cluster_purge_streams_add(struct cluster_purge_streams *s,
                                   const struct cluster_purge_stream *row);
