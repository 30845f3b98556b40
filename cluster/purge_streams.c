#include "cluster/purge_streams.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define NONE CLUSTER_PURGE_NO_STREAM
#define ROOM_MIN 16u

void cluster_purge_streams_fini(struct cluster_purge_streams *s)
{
    free(s->rows);
    free(s->slots);
    *s = (struct cluster_purge_streams){0};
}

/* The slot of the id, or the empty one where it would go. */
static uint32_t probe(const struct cluster_purge_streams *s, uint64_t id)
{
    uint32_t at = (uint32_t)hash_mix(id) & s->mask;
    while (s->slots[at] != NONE && s->rows[s->slots[at]].id != id)
        at = (at + 1) & s->mask;
    return at;
}

uint32_t cluster_purge_streams_find(const struct cluster_purge_streams *s, uint64_t id)
{
    return s->slots ? s->slots[probe(s, id)] : NONE;
}

static void grow(struct cluster_purge_streams *s)
{
    s->room = s->room ? s->room * 2 : ROOM_MIN;
    s->mask = s->room * 2 - 1;
    s->rows = must_realloc(s->rows, s->room * sizeof *s->rows);
    s->slots = must_realloc(s->slots, (size_t)s->room * 2 * sizeof *s->slots);
    memset(s->slots, 0xff, (size_t)s->room * 2 * sizeof *s->slots);
    for (uint32_t i = 0; i < s->count; i++)
        s->slots[probe(s, s->rows[i].id)] = i;
}

uint32_t cluster_purge_streams_add(struct cluster_purge_streams *s,
                                   const struct cluster_purge_stream *row)
{
    if (s->count == s->room)
        grow(s);
    s->rows[s->count] = *row;
    s->slots[probe(s, row->id)] = s->count;
    return s->count++;
}
