/* base/buf.h - a byte queue: appended at the end, consumed at the front.
 *
 * Thread: one owner. Owns: its memory; spans given out live until the next append or fini.
 * Limits: buf_append refuses beyond `cap_bytes` (0 = no cap; then the caller bounds it).
 */
#pragma once

#include "base/span.h"

struct buf {
    char *mem;
    size_t from, to, room; /* bytes [from, to) of mem are queued */
    size_t cap_bytes;
    bool borrowed; /* mem is the caller's: never grown, never freed */
};

void buf_init(struct buf *b, size_t cap_bytes); /* allocates nothing yet */
/* A queue in the caller's memory, which is its cap; fini is not needed. */
void buf_borrow(struct buf *b, char *mem, size_t bytes);
void buf_fini(struct buf *b);
NODISCARD enum err buf_append(struct buf *b, struct span bytes); /* ERR_LIMIT, or all of it */
NODISCARD enum err buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* At least `bytes` of room at the end, to be filled and then announced by buf_grew. NULL: over
 * the cap. */
char *buf_reserve(struct buf *b, size_t bytes);
void buf_grew(struct buf *b, size_t bytes);
void buf_consume(struct buf *b, size_t bytes); /* bytes <= length; empty: memory is kept */
void buf_clear(struct buf *b);                 /* drops content, keeps memory */
void buf_release(struct buf *b);               /* drops memory too: for idle connections */

static inline size_t buf_len(const struct buf *b)
{
    return b->to - b->from;
}

static inline struct span buf_span(const struct buf *b)
{
    return span_of(b->mem ? b->mem + b->from : NULL, b->to - b->from);
}
