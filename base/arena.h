/* base/arena.h - the capped memory of one request.
 *
 * Bump allocation from blocks; everything is let go at once. A full arena answers NULL, which
 * its user turns into ERR_LIMIT (431, 413 or 503). The first block is kept over arena_reset,
 * so that a request that fits into it costs no malloc. Under ASan, bytes that were not handed
 * out, or were let go by a reset, are poisoned.
 *
 * Thread: one owner at a time.
 * Owns: the blocks. Pointers live until arena_reset or arena_fini.
 * Limits: `cap_bytes` over all blocks.
 */
#pragma once

#include "base/span.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define ARENA_SHOW(ptr, bytes) ASAN_UNPOISON_MEMORY_REGION(ptr, bytes)
#define ARENA_HIDE(ptr, bytes) ASAN_POISON_MEMORY_REGION(ptr, bytes)
#else
#define ARENA_SHOW(ptr, bytes) ((void)0)
#define ARENA_HIDE(ptr, bytes) ((void)0)
#endif

struct arena_block;
struct arena {
    char *at, *end; /* what is left of the current block; both multiples of 8 */
    struct arena_block *first, *others;
    size_t cap_bytes, used_bytes; /* used: payload of all blocks */
};

void arena_init(struct arena *a, size_t cap_bytes); /* allocates nothing yet */
void arena_fini(struct arena *a);
void arena_reset(struct arena *a); /* keeps the first block (4 KiB) for reuse */
void *arena_alloc_slow(struct arena *a, size_t bytes); /* for arena_alloc alone */

/* Aligned to 8, not zeroed; NULL when full. 0 bytes give a pointer of its own. */
static inline void *arena_alloc(struct arena *a, size_t bytes)
{
    /* One comparison answers both "does it fit?" and "is it 0?": the room is a multiple of 8,
     * so what fits also fits rounded up. */
    if (__builtin_expect(bytes - 1 >= (size_t)(a->end - a->at), 0))
        return arena_alloc_slow(a, bytes);
    char *ptr = a->at;
    a->at += (bytes + 7) & ~(size_t)7;
    ARENA_SHOW(ptr, bytes);
    return ptr;
}

void *arena_zalloc(struct arena *a, size_t bytes);
/* Copies; the empty span gives a non-NULL ptr. False when full. */
bool arena_copy(struct arena *a, struct span s, struct span *out);
/* The text has a NUL after its end. False when full. */
bool arena_printf(struct arena *a, struct span *out, const char *fmt, ...) PRINTF_LIKE(3, 4);
