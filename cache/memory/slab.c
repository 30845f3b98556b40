#include "cache/memory/slab.h"

#include <stdlib.h>

#include "cache/memory/tier.h"

uint32_t memory_slab_room(const struct memory_tier *t)
{
    uint32_t chunk = t->store ? store_chunk_bytes(t->store) : 4080;
    return chunk >= MEMORY_SLAB_BYTES ? chunk : MEMORY_SLAB_BYTES / chunk * chunk;
}

struct memory_slab *memory_slab_create(struct memory_tier *t, uint64_t at)
{
    uint32_t room = memory_slab_room(t);
    struct memory_slab *s = malloc(sizeof(*s) + room);
    if (!s)
        return NULL;
    memset(s, 0, sizeof(*s));
    atomic_init(&s->holders, 1);
    s->tier = t;
    s->at = at;
    s->room = room;
    atomic_fetch_add_explicit(&t->memory_bytes, sizeof(*s) + room, memory_order_relaxed);
    return s;
}

struct memory_slab *memory_slab_hold(struct memory_slab *s)
{
    atomic_fetch_add_explicit(&s->holders, 1, memory_order_relaxed);
    return s;
}

void memory_slab_drop(struct memory_slab *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->holders, 1, memory_order_acq_rel) != 1)
        return;
    atomic_fetch_sub_explicit(&s->tier->memory_bytes, sizeof(*s) + s->room,
                              memory_order_relaxed);
    free(s);
}
