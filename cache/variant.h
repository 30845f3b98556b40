/* cache/variant.h - where a response with Vary belongs.
 *
 * RFC 9111 4.1. The primary key holds the names of Vary, each variant has a key of its own. A
 * fill that began at the primary key moves to its variant's when the response names fields;
 * names only ever grow, so that responses that name different ones do not hide one another.
 *
 * An invalidation forgets the names, not the variants, which only the names lead to: each time
 * that names come to a key that has none they begin a series of variants of its own.
 *
 * Thread: the worker that leads the fill; for cache/intake.c.
 * Limits: CACHE_VARIANTS_MAX variants a primary key; over it they are not kept, for a while.
 */
#pragma once

#include "base/arena.h"
#include "cache/intake.h"
#include "cache/memory/index.h"

enum cache_variant {
    CACHE_VARIANT_SAME,    /* the fill is at the right key */
    CACHE_VARIANT_MOVED,   /* it moved, by a door: who waits must look again */
    CACHE_VARIANT_REFUSED, /* too many variants, or no memory: not to be kept */
};

/* The secondary key of a request: its values of the named fields, and the series. ERR_LIMIT:
 * arena full. */
NODISCARD enum err cache_variant_key(const struct memory_vary *v,
                                     const struct http_fields *request, struct arena *a,
                                     struct span *out);
struct span cache_variant_values(struct span key); /* without the series, for people */
/* `names`: of the response; *out_vary: the secondary key, in the arena. */
enum cache_variant cache_variant_place(struct cache_intake *i, struct span names,
                                       struct arena *a, int64_t now_s, struct span *out_vary);
