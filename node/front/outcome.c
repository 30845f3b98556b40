#include "node/front/outcome.h"

static bool is_hit(const struct front_outcome *o)
{
    return o->has_object && o->forward == CACHE_FORWARD_NONE;
}

static bool is_stale(const struct front_outcome *o)
{
    return o->has_object && (o->verdict == CACHE_STALE || o->origin_failed);
}

void front_outcome_status(const struct front_outcome *o, struct front_cache_status *out)
{
    *out = (struct front_cache_status){
        .hit = is_hit(o) || (is_stale(o) && !o->origin_failed),
        .forward = o->forward,
        .ttl_known = is_stale(o),
        .ttl_s = o->fresh_left_s,
    };
    if (out->hit)
        return;
    if (o->forward == CACHE_FORWARD_NONE) /* what lay on disk could not be had */
        out->forward = CACHE_FORWARD_MISS;
    out->collapsed = o->verdict == CACHE_JOIN && !o->from_disk;
    out->stored = o->has_object && o->stored && !is_stale(o);
    if (o->has_object && o->origin_status != o->status)
        out->fwd_status = o->origin_status;
}

const char *front_outcome_word(const struct front_outcome *o)
{
    if (!o->has_object)
        return "failed";
    if (is_stale(o))
        return "stale";
    switch (o->verdict) {
    case CACHE_HIT:
    case CACHE_STALE:
        return "hit";
    case CACHE_JOIN:
        return o->from_disk ? "hit" : "joined";
    case CACHE_LEAD:
        return o->origin_status == 304 ? "revalidated" : "miss";
    case CACHE_PASS:
        return "pass";
    case CACHE_UNAVAILABLE:
        break;
    }
    return "failed";
}

bool front_outcome_is_reuse(const struct front_outcome *o)
{
    return is_hit(o) || is_stale(o);
}
