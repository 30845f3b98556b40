/* node/front/forward.h - a fetch for an exchange: what its requests and answers look like.
 *
 * Gives node/origin/fetch the functions that rewrite both ways for this client, with a copy of
 * what they need, since the fetch may outlive the exchange.
 *
 * Thread: its loop's.
 */
#pragma once

#include "cache/lookup.h"
#include "node/front/front.h"
#include "node/front/rewrite.h"

struct front_forward {
    struct front *front;
    struct setup *setup;
    const struct front_rewrite *rewrite;
    const struct cache_ask *ask;
    struct cache_answer *answer; /* its fill is taken */
    uint32_t origin;             /* index into setup->origins */
    unsigned hops;               /* from node to node that the request has made */
    bool has_body;
    const struct origin_fetch_watcher *watcher; /* NULL: in the background */
};
/* As origin_fetch_begin. */
struct origin_fetch *front_forward_begin(const struct front_forward *f);
