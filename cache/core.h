/* cache/core.h - the struct behind the front door. Only for cache/.
 *
 * Thread: made and closed by control; see cache.h.
 */
#pragma once

#include "cache/cache.h"
#include "cache/memory/epoch.h"
#include "cache/memory/tier.h"
#include "cache/policy/key.h"

#define CACHE_PRIVATE_S INT64_C(10) /* how long "not shareable" is remembered */
#define CACHE_VARIANTS_MAX 64u      /* a primary key */

struct memory_warm;
struct memory_sweep;

struct cache {
    struct memory_tier tier;
    uint64_t boot_no;
    struct memory_warm *warm;
    struct memory_sweep *sweep;
    int64_t store_tick_ms;
    struct arena purge_arena; /* control's, for one purge after the other */
    struct letter_mailbox *control;
    void (*invalidated)(void *user, const struct purge *p, uint64_t apply_no);
    void *user;
};

/* While this node may not know all purges: was it sent before that began? Then it counts as
 * purged softly, though nothing is noted in it. */
static inline bool cache_is_doubted(const struct memory_tier *t, uint64_t fill_no)
{
    return fill_no < atomic_load_explicit(&t->doubted_below, memory_order_acquire);
}

/* Has control, which hears of purges, stood still? Acquire: what it did before it went on is
 * seen by who sees that it went on. */
static inline bool cache_is_asleep(const struct memory_tier *t, int64_t now_ms)
{
    int64_t watch_ms = atomic_load_explicit(&t->watch_ms, memory_order_relaxed);
    return watch_ms &&
           now_ms - atomic_load_explicit(&t->now_ms, memory_order_acquire) > watch_ms;
}

/* The names of a request's object; tags are left empty. */
static inline struct memory_names cache_names(const struct policy_key *key,
                                              const struct conf_site *site)
{
    return (struct memory_names){
        .url = key->url,
        .host = key->host,
        .path_query = key->path_query,
        .site = span_text(site->name),
    };
}
