/* base/snapshot.h - an immutable, counted value swapped by pointer.
 *
 * The publisher swaps a new value in; each loop holds one count and takes the new one when a
 * letter tells it. A value is freed when the last holder lets go. An exchange counts the value
 * it began with.
 *
 * Thread: any for hold and drop (atomic count); one publisher.
 */
#pragma once

#include <stdatomic.h>

#include "base/err.h"

struct snapshot {
    atomic_int holders;
    void (*destroy)(
        struct snapshot *s); /* called once, by the last who lets go, in its thread */
};

void snapshot_init(struct snapshot *s, void (*destroy)(struct snapshot *s)); /* one holder */
void snapshot_hold(struct snapshot *s);
void snapshot_drop(struct snapshot *s); /* NULL is accepted */
