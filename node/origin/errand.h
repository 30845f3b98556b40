/* node/origin/errand.h - all that a fetch must know of the request it is about.
 *
 * The exchange that asks may be gone long before the answer comes, so everything is copied, or
 * counted.
 *
 * Thread: its loop's. Owns: an arena; counts on origin and setup.
 * Limits: ORIGIN_ERRAND_BYTES beside what the request itself takes.
 */
#pragma once

#include "node/origin/fetch.h"

#define ORIGIN_ERRAND_BYTES ((size_t)256 * 1024)

struct origin_errand {
    struct arena arena;
    struct http_request request; /* the client's */
    struct policy_key key;
    struct cache_ask ask; /* points to the two */
    struct origin *origin;
    struct snapshot *setup;
    const struct conf_limits *limits;
    const struct origin_fetch_functions *functions;
    void *copy; /* the owner's own */
};

/* False: the arena is full; to be let go all the same. */
bool origin_errand_init(struct origin_errand *e, const struct origin_fetch_start *s);
void origin_errand_fini(struct origin_errand *e);
/* A list whose texts are borrowed, and one with its own. False: the arena is full. */
bool origin_errand_copy_list(const struct http_fields *from, struct arena *a,
                             struct http_fields *out);
bool origin_errand_copy_fields(const struct http_fields *from, struct arena *a,
                               struct http_fields *out);
