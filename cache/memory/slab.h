/* cache/memory/slab.h - a piece of a body on its way: counted bytes, and their way to disk.
 *
 * Thread: any for hold and drop. A slab is filled by the fill's writer under the fill's lock;
 * readers that hold it read bytes below the fill's released length.
 * Limits: MEMORY_SLAB_BYTES, cut to whole chunks of the store.
 */
#pragma once

#include "cache/store/store.h"

#define MEMORY_SLAB_BYTES 65536u

struct memory_fill;
struct memory_tier;

struct memory_slab {
    atomic_uint holders; /* fill, readers, and the store while it copies */
    struct memory_tier *tier;
    struct memory_fill *fill; /* held while the put is under way */
    struct memory_slab *next;
    uint64_t at; /* offset of the first byte */
    uint32_t len, room;
    bool posted;
    struct store_put put;
    struct span piece;
    char bytes[];
};

uint32_t memory_slab_room(const struct memory_tier *t);
struct memory_slab *memory_slab_create(struct memory_tier *t,
                                       uint64_t at); /* NULL: no memory */
struct memory_slab *memory_slab_hold(struct memory_slab *s);
void memory_slab_drop(struct memory_slab *s); /* NULL ok */
