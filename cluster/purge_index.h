/* cluster/purge_index.h - which records the log holds, in memory, without their text.
 *
 * In the order in which they were added, found by id, by stream and key, or by dedup id. Keyed
 * 128-bit hashes stand for keys: two different ones never meet.
 *
 * Thread: one owner. Owns: its tables; pointers to entries live until the next add or drop.
 * Limits: none of its own: cluster/purge_log.h counts. 64 B for each entry, and 12 to 24 B of
 *         tables.
 */
#pragma once

#include "base/hash.h"

struct cluster_purge_entry {
    struct hash128 key; /* of kind, selector and site */
    uint64_t seq;
    uint64_t apply_no;
    uint64_t dedup; /* 0: none */
    int64_t accepted_at_s;
    uint32_t stream; /* index of the log's stream row */
    uint8_t kind, mode;
    bool synced;
    bool out;     /* a batch that is out writes it */
    bool leaving; /* a batch that is out drops it */
    bool dead;    /* dropped; the index removes it later */
    bool loaded;  /* an earlier start had it already */
};

struct cluster_purge_index;
struct cluster_purge_index *cluster_purge_index_create(void);
void cluster_purge_index_destroy(struct cluster_purge_index *x);
/* Not present by id. The newest of a key, or of a dedup id, is the one found. */
struct cluster_purge_entry *cluster_purge_index_add(struct cluster_purge_index *x,
                                                    const struct cluster_purge_entry *e);
void cluster_purge_index_drop(struct cluster_purge_index *x, struct cluster_purge_entry *e);
/* All entries anew in the order of their apply_no: after a load in another order. */
void cluster_purge_index_sort(struct cluster_purge_index *x);

struct cluster_purge_entry *cluster_purge_index_find(const struct cluster_purge_index *x,
                                                     uint32_t stream, uint64_t seq);
struct cluster_purge_entry *cluster_purge_index_find_key(const struct cluster_purge_index *x,
                                                         uint32_t stream, struct hash128 key);
struct cluster_purge_entry *cluster_purge_index_find_dedup(const struct cluster_purge_index *x,
                                                           uint64_t dedup);
uint64_t cluster_purge_index_count(const struct cluster_purge_index *x); /* without dead ones */
/* Walks by position: the first live entry at or after *at, which moves on behind it. NULL: the
 * end. Positions change with an add or a drop. */
struct cluster_purge_entry *cluster_purge_index_walk(const struct cluster_purge_index *x,
                                                     size_t *at);
