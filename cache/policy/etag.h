/* cache/policy/etag.h - entity tags: read from a list, compared.
 *
 * RFC 9110 8.8.3. A tag is its whole text, quotes and W/ included. What is none (unquoted) is
 * kept as it came, so that it equals the origin's own such thing.
 *
 * Thread: any. Owns: nothing.
 */
#pragma once

#include "base/span.h"

/* Cuts the next tag off a field value; false: no more. "*" is like any other here. */
bool policy_etag_next(struct span *rest, struct span *out);
bool policy_etag_is_weak(struct span etag);
/* What stands between the quotes; false: not an entity tag. */
bool policy_etag_opaque(struct span etag, struct span *out);
/* 8.8.3.2; an empty one equals nothing. */
bool policy_etag_weak_equal(struct span a, struct span b);
bool policy_etag_strong_equal(struct span a, struct span b);
