#include "cluster/purge_index.h"

#include <stdlib.h>

#define NONE UINT32_MAX
#define SLOTS_MIN 64u

enum which { BY_ID, BY_KEY, BY_DEDUP, TABLES };

/* Open addressing with linear probing over positions in `entries`; at most half full. */
struct table {
    uint32_t *slots;
    uint32_t mask, used;
};
struct cluster_purge_index {
    struct cluster_purge_entry *entries;
    size_t count, room, dead, first_live;
    struct table tables[TABLES];
};
_Static_assert(sizeof(struct cluster_purge_entry) == 64, "as the header says");

/* The hashes need no key of their own: keys come as keyed hashes, streams are random. Dedup ids
 * are hashes too. */
static uint64_t hash_of(enum which which, const struct cluster_purge_entry *e)
{
    switch (which) {
    case BY_ID:
        return hash_mix(e->seq ^ (uint64_t)e->stream << 40);
    case BY_KEY:
        return e->key.lo ^ hash_mix(e->stream);
    case BY_DEDUP:
    case TABLES:
        break;
    }
    return hash_mix(e->dedup);
}

static bool same(enum which which, const struct cluster_purge_entry *a,
                 const struct cluster_purge_entry *b)
{
    switch (which) {
    case BY_ID:
        return a->stream == b->stream && a->seq == b->seq;
    case BY_KEY:
        return a->stream == b->stream && hash128_equal(a->key, b->key);
    case BY_DEDUP:
    case TABLES:
        break;
    }
    return a->dedup == b->dedup;
}

/* The slot of an entry like `e`, or the empty one where it would go. */
static uint32_t probe(const struct cluster_purge_index *x, enum which which,
                      const struct cluster_purge_entry *e)
{
    const struct table *t = &x->tables[which];
    uint32_t at = (uint32_t)hash_of(which, e) & t->mask;
    while (t->slots[at] != NONE && !same(which, &x->entries[t->slots[at]], e))
        at = (at + 1) & t->mask;
    return at;
}

static void table_clear(struct table *t, uint32_t slots)
{
    free(t->slots);
    *t = (struct table){.slots = must_alloc(slots * sizeof(*t->slots)), .mask = slots - 1};
    memset(t->slots, 0xff, slots * sizeof(*t->slots));
}

static void table_put(struct cluster_purge_index *x, enum which which, uint32_t position)
{
    struct table *t = &x->tables[which];
    uint32_t at = probe(x, which, &x->entries[position]);
    t->used += t->slots[at] == NONE;
    t->slots[at] = position;
}

static void tables_put(struct cluster_purge_index *x, uint32_t position)
{
    table_put(x, BY_ID, position);
    table_put(x, BY_KEY, position);
    if (x->entries[position].dedup)
        table_put(x, BY_DEDUP, position);
}

/* Empties the slot and closes the gap, so that no probe stops early. */
static void table_delete(struct cluster_purge_index *x, enum which which, uint32_t at)
{
    struct table *t = &x->tables[which];
    t->used--;
    for (uint32_t next = (at + 1) & t->mask; t->slots[next] != NONE;
         next = (next + 1) & t->mask) {
        uint32_t home = (uint32_t)hash_of(which, &x->entries[t->slots[next]]) & t->mask;
        /* May it move back to `at`: is its home not in (at, next]? */
        if (((next - home) & t->mask) >= ((next - at) & t->mask)) {
            t->slots[at] = t->slots[next];
            at = next;
        }
    }
    t->slots[at] = NONE;
}

static struct cluster_purge_entry *find(const struct cluster_purge_index *x, enum which which,
                                        const struct cluster_purge_entry *like)
{
    uint32_t position = x->tables[which].slots[probe(x, which, like)];
    return position == NONE ? NULL : &x->entries[position];
}

static uint32_t slots_for(size_t entries)
{
    uint32_t slots = SLOTS_MIN;
    while (slots < entries * 4)
        slots *= 2;
    return slots;
}

/* Without dead entries, with tables for up to twice as many. */
static void rebuild(struct cluster_purge_index *x)
{
    size_t live = 0, with_dedup = 0;
    for (size_t i = 0; i < x->count; i++) {
        if (x->entries[i].dead)
            continue;
        with_dedup += x->entries[i].dedup != 0;
        x->entries[live++] = x->entries[i];
    }
    x->count = live;
    x->dead = x->first_live = 0;
    table_clear(&x->tables[BY_ID], slots_for(live));
    table_clear(&x->tables[BY_KEY], slots_for(live));
    table_clear(&x->tables[BY_DEDUP], slots_for(with_dedup));
    for (size_t i = 0; i < live; i++)
        tables_put(x, (uint32_t)i);
}

struct cluster_purge_index *cluster_purge_index_create(void)
{
    struct cluster_purge_index *x = must_alloc(sizeof(*x));
    rebuild(x);
    return x;
}

void cluster_purge_index_destroy(struct cluster_purge_index *x)
{
    if (!x)
        return;
    for (int which = 0; which < TABLES; which++)
        free(x->tables[which].slots);
    free(x->entries);
    free(x);
}

struct cluster_purge_entry *cluster_purge_index_add(struct cluster_purge_index *x,
                                                    const struct cluster_purge_entry *e)
{
    if (x->count == x->room) {
        x->room = x->room ? x->room * 2 : 64;
        x->entries = must_realloc(x->entries, x->room * sizeof(*x->entries));
    }
    for (int which = 0; which < TABLES; which++) {
        if (x->tables[which].used * 2 > x->tables[which].mask) {
            rebuild(x);
            break;
        }
    }
    must(x->count < NONE);
    x->entries[x->count] = *e;
    tables_put(x, (uint32_t)x->count);
    return &x->entries[x->count++];
}

void cluster_purge_index_drop(struct cluster_purge_index *x, struct cluster_purge_entry *e)
{
    uint32_t position = (uint32_t)(e - x->entries);
    for (int which = 0; which < TABLES; which++) {
        uint32_t at = probe(x, (enum which)which, e);
        if (x->tables[which].slots[at] == position)
            table_delete(x, (enum which)which, at);
    }
    e->dead = true;
    x->dead++;
    while (x->first_live < x->count && x->entries[x->first_live].dead)
        x->first_live++;
    if (x->dead > 1024 && x->dead > x->count / 2)
        rebuild(x);
}

static int by_apply_no(const void *a, const void *b)
{
    const struct cluster_purge_entry *x = a, *y = b;
    return (x->apply_no > y->apply_no) - (x->apply_no < y->apply_no);
}

void cluster_purge_index_sort(struct cluster_purge_index *x)
{
    if (x->count)
        qsort(x->entries, x->count, sizeof(*x->entries), by_apply_no);
    rebuild(x);
}

struct cluster_purge_entry *cluster_purge_index_find(const struct cluster_purge_index *x,
                                                     uint32_t stream, uint64_t seq)
{
    return find(x, BY_ID, &(struct cluster_purge_entry){.stream = stream, .seq = seq});
}

struct cluster_purge_entry *cluster_purge_index_find_key(const struct cluster_purge_index *x,
                                                         uint32_t stream, struct hash128 key)
{
    return find(x, BY_KEY, &(struct cluster_purge_entry){.stream = stream, .key = key});
}

struct cluster_purge_entry *cluster_purge_index_find_dedup(const struct cluster_purge_index *x,
                                                           uint64_t dedup)
{
    if (!dedup)
        return NULL;
    return find(x, BY_DEDUP, &(struct cluster_purge_entry){.dedup = dedup});
}

uint64_t cluster_purge_index_count(const struct cluster_purge_index *x)
{
    return x->count - x->dead;
}

struct cluster_purge_entry *cluster_purge_index_walk(const struct cluster_purge_index *x,
                                                     size_t *at)
{
    if (*at < x->first_live)
        *at = x->first_live;
    while (*at < x->count && x->entries[*at].dead)
        ++*at;
    return *at < x->count ? &x->entries[(*at)++] : NULL;
}
