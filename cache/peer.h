/* cache/peer.h - may an answer from a peer's cache be taken?
 *
 * The peer may not know some of the purges that count here (docs/purge.md, "Peer answers"): the
 * lowest number of those is given. Not when one at or above it names the answer, by its URL or
 * by a tag; soft ones count, too, since only the origin can say that nothing changed. Nor when
 * such a name may have left the table, which keeps only what objects here need; nor a 304 that
 * is not about the object that was asked about: what a peer gets wrong costs a fetch, not what
 * is stored.
 *
 * Thread: the worker that leads the fill; for cache/intake.c.
 */
#pragma once

#include "cache/intake.h"

bool cache_peer_may_be_taken(struct cache_intake *i, const struct http_response *r);
