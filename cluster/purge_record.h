/* cluster/purge_record.h - one record of the purge log, to and from bytes.
 *
 * Design: docs/purge.md, "The log". The value: version, parts, kind, mode, apply_no, display
 * time, dedup id, then accepting node, site and selector (each with a u16 length), then CRC32C
 * over the key and all of it; big endian. A selector may be longer than a page of the log's
 * database holds, so the value is cut into parts of CLUSTER_PURGE_PART bytes: the first under
 * the key stream || seq, the others under stream || seq || part (1, 2), written in the same
 * transaction.
 *
 * Thread: any. Owns: nothing; a decoded record borrows from its bytes.
 * Limits: as below. Errors: ERR_CORRUPT (CRC, form, a value out of range).
 */
#pragma once

#include "base/purge.h"

#define CLUSTER_PURGE_NODE_MAX 255
#define CLUSTER_PURGE_BYTES_MAX                                                                \
    (28 + 6 + CLUSTER_PURGE_NODE_MAX + PURGE_SITE_MAX + PURGE_SELECTOR_MAX + 4)
#define CLUSTER_PURGE_PART 4000
#define CLUSTER_PURGE_PARTS_MAX                                                                \
    ((CLUSTER_PURGE_BYTES_MAX + CLUSTER_PURGE_PART - 1) / CLUSTER_PURGE_PART)
#define CLUSTER_PURGE_KEY 17 /* of a further part; the first part's key is one byte shorter */

struct cluster_purge_record {
    uint64_t stream, seq;  /* seq from 1 */
    uint64_t apply_no;     /* this node's own; never sent */
    uint64_t dedup;        /* of an Idempotency-Key or an event; 0 = none */
    int64_t accepted_at_s; /* wall; for display and retention, decides nothing else */
    struct span node;      /* that accepted it */
    struct purge purge;
};

/* Key of part 0, 1, ...; returns its length. */
size_t cluster_purge_record_key(uint64_t stream, uint64_t seq, unsigned part,
                                uint8_t out[CLUSTER_PURGE_KEY]);
/* The stream and seq in a key; false when it is no key. */
bool cluster_purge_record_key_read(struct span key, uint64_t *out_stream, uint64_t *out_seq,
                                   unsigned *out_part);
/* The value, whole. The record was checked (purge_check); returns its length. */
size_t cluster_purge_record_encode(const struct cluster_purge_record *r,
                                   uint8_t out[CLUSTER_PURGE_BYTES_MAX]);
static inline unsigned cluster_purge_record_parts(size_t bytes)
{
    return (unsigned)((bytes + CLUSTER_PURGE_PART - 1) / CLUSTER_PURGE_PART);
}
/* From the first part: how many there are; 0 when it is damaged. */
unsigned cluster_purge_record_parts_of(struct span first);
NODISCARD enum err cluster_purge_record_decode(uint64_t stream, uint64_t seq, struct span bytes,
                                               struct cluster_purge_record *out);

struct cluster_purge_id {
    uint64_t stream, seq;
};
