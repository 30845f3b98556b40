/* base/arena.h - the capped memory of one request.
 *
 * Bump allocation from blocks; everything is let go at once. A full arena answers NULL, which
 * its user turns into ERR_LIMIT (431, 413 or 503).
 *
 * Thread: one owner at a time.
 * Owns: the blocks. Pointers live until arena_reset or arena_fini.
 * Limits: `cap_bytes` over all blocks.
 */
#pragma once

#include "base/span.h"

struct arena_block;
struct arena {
    struct arena_block *blocks;
    char *at, *end;
    size_t cap_bytes, used_bytes;
};

void arena_init(struct arena *a, size_t cap_bytes); /* allocates nothing yet */
void arena_fini(struct arena *a);
void arena_reset(struct arena *a);                  /* keeps the first block (4 KiB) for reuse */
void *arena_alloc(struct arena *a, size_t bytes);   /* aligned to 8, not zeroed; NULL when full */
void *arena_zalloc(struct arena *a, size_t bytes);
/* Copies; the empty span gives a non-NULL ptr. False when full. */
bool arena_copy(struct arena *a, struct span s, struct span *out);
bool arena_printf(struct arena *a, struct span *out, const char *fmt, ...) PRINTF_LIKE(3, 4);
