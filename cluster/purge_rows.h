/* cluster/purge_rows.h - what the purge log's three databases hold, row by row.
 *
 * "records": a record in 1 to 3 parts (purge_record.h). "streams": one row for each stream.
 * "head": one row: log id, boot number, floors. Each row carries a CRC32C; what does not match
 * is told as damaged and never used.
 *
 * Thread: the transaction's.
 */
#pragma once

#include "base/lmdb.h"
#include "cluster/purge_log.h"

#define CLUSTER_PURGE_LOG_ID 16

struct cluster_purge_head {
    uint8_t log_id[CLUSTER_PURGE_LOG_ID];
    uint64_t boot_no;
    struct cluster_purge_floors floors;
};
struct cluster_purge_parts { /* a record that is being put together */
    bool any;
    uint64_t stream, seq;
    unsigned have;
    size_t len;
    uint8_t bytes[CLUSTER_PURGE_PARTS_MAX * CLUSTER_PURGE_PART];
};

bool cluster_purge_rows_head(struct lmdb_txn *t, struct lmdb_db db,
                             struct cluster_purge_head *out);
void cluster_purge_rows_put_head(struct lmdb_txn *t, struct lmdb_db db,
                                 const struct cluster_purge_head *head);
void cluster_purge_rows_put_stream(struct lmdb_txn *t, struct lmdb_db db,
                                   const struct cluster_purge_stream *row);
void cluster_purge_rows_del_stream(struct lmdb_txn *t, struct lmdb_db db, uint64_t stream);
void cluster_purge_rows_put_record(
    struct lmdb_txn *t, struct lmdb_db db,
    const struct cluster_purge_pending *p); /* 0 bytes: nothing */
void cluster_purge_rows_del_record(struct lmdb_txn *t, struct lmdb_db db,
                                   struct cluster_purge_id id);
/* The record borrows from *parts. ERR_CORRUPT also when it is not there. */
NODISCARD enum err cluster_purge_rows_get(struct lmdb_txn *t, struct lmdb_db db,
                                          struct cluster_purge_id id,
                                          struct cluster_purge_parts *parts,
                                          struct cluster_purge_record *out);

/* `damaged` (may be NULL) gets the id; of a stream's row with seq 0; {0, 0} of a key that is
 * none. */
typedef void cluster_purge_rows_damaged(void *user, struct cluster_purge_id id);
void cluster_purge_rows_streams(struct lmdb_txn *t, struct lmdb_db db,
                                void (*each)(void *user,
                                             const struct cluster_purge_stream *row),
                                cluster_purge_rows_damaged *damaged, void *user);
/* By stream and seq. Records are borrowed until `each` returns. */
void cluster_purge_rows_records(struct lmdb_txn *t, struct lmdb_db db,
                                void (*each)(void *user, const struct cluster_purge_record *r),
                                cluster_purge_rows_damaged *damaged, void *user);
