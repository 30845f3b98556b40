/* cache/memory/evict.h - which objects go first: dead, expired, least useful.
 *
 * RAM: over the byte budget objects leave in SIEVE's order (the hand walks from old to new and
 * takes the first that was not hit since it last came by); what is on disk stays known. Disk:
 * the store's writer asks for victims; dead and expired ones go first, then those not hit since
 * the hand last came by. Such an object first gives up what was made of it, its other
 * encodings, and itself the next time. Pinned bodies and fills are passed over.
 *
 * Thread: any; one shard lock at a time.
 */
#pragma once

#include <stdint.h>

#include "cache/store/store.h"

struct memory_tier;

/* Brings RAM under its budget and the index under max_objects, as far as one call should go.
 * Call it when something was added, with no lock held. */
void memory_evict(struct memory_tier *t);
/* store_conf.choose; the context is the tier. */
unsigned memory_evict_choose(void *tier, struct store_victim *out, unsigned max,
                             uint64_t pages);
