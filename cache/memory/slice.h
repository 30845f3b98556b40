/* cache/memory/slice.h - a reader's bytes from disk: one piece lent, the next one coming.
 *
 * Pieces are copied out by the store's readers; the next one is asked for when half of the one
 * lent is used. The more readers there are, the smaller their pieces, so that all of them
 * together stay near MEMORY_SLICE_TOTAL.
 *
 * Thread: the reader's; a piece comes home to the reader's mailbox.
 * Limits: MEMORY_SLICE_MAX for both pieces of one reader, MEMORY_SLICE_MIN under pressure.
 */
#pragma once

#include "cache/store/store.h"

#define MEMORY_SLICE_TOTAL (UINT64_C(2) << 20)
#define MEMORY_SLICE_MAX (256u << 10)
#define MEMORY_SLICE_MIN (16u << 10)

struct memory_reader;
struct memory_slice;
struct memory_tier;

/* `wake` is called in the mailbox's loop after ERR_AGAIN. */
struct memory_slice *memory_slice_create(struct memory_tier *t, struct letter_mailbox *mailbox,
                                         void (*wake)(struct memory_reader *r),
                                         struct memory_reader *r); /* NULL: no memory */
/* Bytes of the body from `at`, below `end`. ERR_NOT_FOUND: the body is gone. ERR_CORRUPT. */
NODISCARD enum err memory_slice_peek(struct memory_slice *s, const struct store_rep *rep,
                                     uint64_t at, uint64_t end, struct span *out);
void memory_slice_leave(struct memory_slice *s); /* frees it, perhaps later; NULL ok */
