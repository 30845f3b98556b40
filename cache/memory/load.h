/* cache/memory/load.h - a stored object back into RAM: one load, whoever waits for it.
 *
 * The writer of a fill that a store reader completes: head and, up to MEMORY_BODY_MAX, body.
 * Afterwards the object is in the index, or the key is not any more, and everybody is told to
 * look up again. A record of Vary names is put into the index, too.
 *
 * Thread: start by any, with no lock held; the rest runs in a store reader's thread.
 */
#pragma once

#include "base/span.h"

struct memory_fill;

/* `f` (of MEMORY_FILL_LOAD) is in the index under its key. Texts are copied; they are compared
 * with the record's. */
void memory_load_start(struct memory_fill *f, struct span primary, struct span vary);
