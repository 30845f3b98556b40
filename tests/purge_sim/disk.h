/* tests/purge_sim/disk.h - a disk for the purge log: what was committed outlives a crash.
 *
 * As cluster/purge_disk.h does it, in memory: a batch is one commit, all or nothing.
 * Thread: one.
 */
#pragma once

#include "cluster/purge_log.h"

struct disk_record {
    struct cluster_purge_id id;
    uint8_t *bytes;
    uint32_t len;
};
struct disk_member {
    char id[32];
    uint32_t generation;
    bool left;
};
struct disk {
    struct cluster_purge_stream *streams; /* by rising id, as the records */
    struct disk_record *records;
    struct disk_member *members;
    uint32_t stream_count, record_count, member_count, record_room;
    struct cluster_purge_floors floors;
    uint64_t boot_no;
    struct cluster_purge_batch batch;
    bool out;
};

void disk_fini(struct disk *d);
/* A start: everything that was committed. `each` gets records and floors as a replay does. */
void disk_load(struct disk *d, struct cluster_purge_log *log,
               void (*each)(void *user, const struct cluster_purge_record *r), void *user);
bool disk_take(struct disk *d, struct cluster_purge_log *log, int64_t now_s); /* out then */
void disk_commit(struct disk *d); /* the batch that is out is durable */
void disk_told(struct disk *d, struct cluster_purge_log *log, enum err err);
uint64_t disk_synced(const struct disk *d, uint64_t stream);
