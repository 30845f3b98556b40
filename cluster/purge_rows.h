/* cluster/purge_rows.h - what the purge log's three databases hold, row by row.
 *
 * "records": a record in 1 to 3 parts (purge_record.h). "streams": one row for each stream.
 * "head": one row of log id, boot number, floors, one of how far the sweep came, and one for
 * each member. Each row carries a CRC32C; what does not match is told as damaged and never
 * used.
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
/* Zeros when it is not there, or damaged. */
struct cluster_purge_swept cluster_purge_rows_swept(struct lmdb_txn *t, struct lmdb_db db);
void cluster_purge_rows_put_swept(struct lmdb_txn *t, struct lmdb_db db,
                                  struct cluster_purge_swept swept);
/* A member's value before its CRC: generation, left, id. */
#define CLUSTER_PURGE_MEMBER_BYTES_MAX (5 + CLUSTER_PURGE_NODE_MAX)
size_t cluster_purge_member_encode(const struct cluster_purge_member *m,
                                   uint8_t out[CLUSTER_PURGE_MEMBER_BYTES_MAX]);
void cluster_purge_rows_put_member(struct lmdb_txn *t, struct lmdb_db db, struct span member);
void cluster_purge_rows_put_stream(struct lmdb_txn *t, struct lmdb_db db,
                                   const struct cluster_purge_stream *row);
void cluster_purge_rows_del_stream(struct lmdb_txn *t, struct lmdb_db db, uint64_t stream);
void cluster_purge_rows_put_record(struct lmdb_txn *t, struct lmdb_db db,
                                   const struct cluster_purge_pending *p); /* of kind RECORD */
void cluster_purge_rows_del_record(struct lmdb_txn *t, struct lmdb_db db,
                                   struct cluster_purge_id id);
/* The record borrows from *parts. ERR_CORRUPT also when it is not there. */
NODISCARD enum err cluster_purge_rows_get(struct lmdb_txn *t, struct lmdb_db db,
                                          struct cluster_purge_id id,
                                          struct cluster_purge_parts *parts,
                                          struct cluster_purge_record *out);

/* `damaged` (may be NULL) gets the id; of a stream's row with seq 0; {0, 0} of a key that is
 * none, or of a member. */
typedef void cluster_purge_rows_damaged(void *user, struct cluster_purge_id id);
void cluster_purge_rows_streams(struct lmdb_txn *t, struct lmdb_db db,
                                void (*each)(void *user,
                                             const struct cluster_purge_stream *row),
                                cluster_purge_rows_damaged *damaged, void *user);
void cluster_purge_rows_members(struct lmdb_txn *t, struct lmdb_db db,
                                void (*each)(void *user, const struct cluster_purge_member *m),
                                cluster_purge_rows_damaged *damaged, void *user);
void cluster_purge_rows_del_damaged_members(struct lmdb_txn *t, struct lmdb_db db);
bool cluster_purge_rows_stream(struct lmdb_txn *t, struct lmdb_db db, uint64_t id,
                               struct cluster_purge_stream *out);
/* The records of a stream in (after, through], by seq, until `tell` says false. ERR_CORRUPT
 * ends it, too. *out_through: so far all was told. */
NODISCARD enum err
cluster_purge_rows_range(struct lmdb_txn *t, struct lmdb_db db, uint64_t stream, uint64_t after,
                         uint64_t through, struct cluster_purge_parts *parts,
                         bool (*tell)(void *user, const struct cluster_purge_record *r),
                         void *user, uint64_t *out_through);
/* By stream and seq. Records are borrowed until `each` returns. */
void cluster_purge_rows_records(struct lmdb_txn *t, struct lmdb_db db,
                                void (*each)(void *user, const struct cluster_purge_record *r),
                                cluster_purge_rows_damaged *damaged, void *user);
