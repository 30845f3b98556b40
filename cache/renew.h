/* cache/renew.h - what becomes of the stored object that a fetch asks about.
 *
 * RFC 9111 4.3.4 (a 304 gives it new fields), 4.3.5 (a HEAD's answer speaks about it, too),
 * 4.2.4 with RFC 5861 (the fetch failed: may it be served stale?).
 *
 * Thread: the worker that leads the fill; for cache/intake.c.
 */
#pragma once

#include "cache/intake.h"
#include "cache/memory/epoch.h"
#include "cache/policy/storable.h"

/* Was the object purged, as fetched at `fill_no`? */
enum memory_purged cache_renew_purged(const struct cache_intake *i,
                                      const struct memory_object *o, uint64_t fill_no);
/* Hard-purged since it was looked up: neither it nor its validators may be used. */
bool cache_renew_is_dead(const struct cache_intake *i);
enum cache_take cache_renew_by_304(struct cache_intake *i, const struct http_response *r,
                                   int64_t now_s);
/* Was the stored object fresh as the request was sent? Then the request forced the question,
 * and an answer for its asker alone says nothing to others. */
bool cache_renew_was_fresh(const struct cache_intake *i);
/* The answer may not be shared: does what is stored stay as it was? It does when the request,
 * and not the response, is the reason: others may still share what they get. */
bool cache_renew_keeps(const struct cache_intake *i, enum policy_storable why);
/* The fetch failed: answers the fill with the stale object, if that is allowed. */
bool cache_renew_serve_stale(struct cache_intake *i, int64_t now_s);
void cache_renew_by_head(struct cache_intake *i, const struct http_response *head,
                         int64_t now_s);
