/* cache/memory/warm.h - the index at start: from the snapshot, else from a walk.
 *
 * A snapshot of the index is written at an orderly stop and holds while the store's stamp is
 * the one it was written at. Otherwise the store is walked in the background, while requests
 * for keys not yet known ask the store directly.
 *
 * Thread: open and close by control; the walk has a thread of its own.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct memory_tier;
struct memory_warm;

/* True: the index was read from the snapshot and is complete. */
bool memory_warm_read(struct memory_tier *t);
struct memory_warm *memory_warm_start(struct memory_tier *t); /* walks; sets tier.scanning */
void memory_warm_stop(struct memory_warm *w); /* ends the walk, joins; NULL ok */
/* After store_stop. */
void memory_warm_write(struct memory_tier *t);
