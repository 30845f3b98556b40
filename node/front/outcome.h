/* node/front/outcome.h - what the cache did for a request, in the words of RFC 9211 and the
 * log.
 *
 * `hit` means that nothing was forwarded for this request; an answer that is served stale
 * because the origin failed was forwarded first (fwd=stale). Freshness is told (ttl) only with
 * stale answers: a number that differs each second would swell every compressed head.
 *
 * Thread: any.
 */
#pragma once

#include "node/front/rewrite.h"

struct front_outcome {
    enum cache_verdict verdict;
    enum cache_forward forward;
    bool from_disk;         /* JOIN: of a load, not of a fetch */
    bool origin_failed;     /* the stale object stands in for the answer */
    bool has_object;        /* an answer from the cache or through it; else one of our own */
    bool stored;            /* that object is, or will be, kept */
    unsigned status;        /* of the object */
    unsigned origin_status; /* 0: not asked by this request, or no answer */
    int64_t fresh_left_s;   /* of the object */
};

void front_outcome_status(const struct front_outcome *o, struct front_cache_status *out);
const char *front_outcome_word(const struct front_outcome *o); /* "hit", ...; static */
/* Must the answer carry Age (RFC 9111 5.1)? */
bool front_outcome_is_reuse(const struct front_outcome *o);
