/* cache/policy/invalidate.h - what an unsafe method's answer makes unusable.
 *
 * RFC 9111 4.4: a non-error answer (2xx, 3xx) to any method that is not known to be safe
 * invalidates the target URI, and Location and Content-Location when they have the same
 * origin. Names are as purges use them (policy/key.h: `url`), so both schemes go. Its
 * Cache-Group-Invalidation (RFC 9875 3) names groups of the same host.
 *
 * Thread: any. Owns: nothing; names go into the arena.
 */
#pragma once

#include "cache/policy/key.h"
#include "cache/policy/tags.h"

#define POLICY_INVALIDATE_MAX 3

struct policy_invalidated {
    struct span url[POLICY_INVALIDATE_MAX]; /* each once; the target first */
    uint32_t count;                         /* 0: nothing */
    struct policy_tags groups;
};

/* A full arena or a Location that does not parse leaves that name out. */
void policy_invalidate(const struct http_request *r, const struct policy_key *key,
                       const struct http_response *answer, const struct conf_cache_key *conf,
                       struct arena *a, struct policy_invalidated *out);
