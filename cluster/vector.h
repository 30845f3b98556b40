/* cluster/vector.h - how far a node has come in each stream of purges: a version vector.
 *
 * Rows by rising stream id; a stream that is not in it stands at 0. On the wire: each row as
 * 16 bytes, big endian (stream, seq), nothing else.
 *
 * Thread: one owner. Owns: its rows; zeroed is valid and empty.
 * Limits: CLUSTER_VECTOR_ROWS rows. Errors: ERR_SYNTAX (length, order, a 0), ERR_LIMIT.
 */
#pragma once

#include "base/buf.h"

#define CLUSTER_VECTOR_ROWS 65536u
#define CLUSTER_VECTOR_ROW_BYTES 16u

struct cluster_vector_row {
    uint64_t stream, seq; /* both not 0 */
};
struct cluster_vector {
    struct cluster_vector_row *rows;
    uint32_t count, room;
};

void cluster_vector_fini(struct cluster_vector *v);
void cluster_vector_clear(struct cluster_vector *v);
uint64_t cluster_vector_get(const struct cluster_vector *v, uint64_t stream);
/* Raises the row; a lower seq does nothing. ERR_LIMIT: a row too many. */
NODISCARD enum err cluster_vector_raise(struct cluster_vector *v, uint64_t stream,
                                        uint64_t seq);
void cluster_vector_copy(struct cluster_vector *to, const struct cluster_vector *from);
/* Does `a` stand at or above `b` in every stream? */
bool cluster_vector_covers(const struct cluster_vector *a, const struct cluster_vector *b);
bool cluster_vector_equal(const struct cluster_vector *a, const struct cluster_vector *b);
void cluster_vector_put(const struct cluster_vector *v, struct buf *out);
NODISCARD enum err cluster_vector_read(struct span bytes, struct cluster_vector *out);
