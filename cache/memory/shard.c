#include "cache/memory/shard.h"

#include <stdlib.h>

#include "cache/memory/object.h"

#define SLOTS_FIRST 64u

void memory_shard_init(struct memory_shard *s)
{
    *s = (struct memory_shard){.slot_count = SLOTS_FIRST};
    pthread_mutex_init(&s->lock, NULL);
    s->slots = must_alloc(s->slot_count * sizeof(*s->slots));
}

void memory_shard_fini(struct memory_shard *s)
{
    for (uint32_t i = 0; i < s->block_count; i++)
        free(s->blocks[i]);
    free(s->blocks);
    free(s->slots);
    pthread_mutex_destroy(&s->lock);
}

struct memory_entry *memory_shard_at(struct memory_shard *s, uint32_t number)
{
    return &s->blocks[number / MEMORY_BLOCK][number % MEMORY_BLOCK];
}

static uint32_t home(const struct memory_shard *s, struct hash128 key)
{
    return (uint32_t)key.lo & (s->slot_count - 1);
}

/* The slot of the key, or the free one where it would go. */
static uint32_t find(struct memory_shard *s, struct hash128 key)
{
    uint32_t i = home(s, key);
    while (s->slots[i] && !hash128_equal(memory_shard_at(s, s->slots[i] - 1)->key, key))
        i = (i + 1) & (s->slot_count - 1);
    return i;
}

struct memory_entry *memory_shard_find(struct memory_shard *s, struct hash128 key)
{
    uint32_t slot = s->slots[find(s, key)];
    return slot ? memory_shard_at(s, slot - 1) : NULL;
}

static void grow(struct memory_shard *s)
{
    uint32_t *old = s->slots, old_count = s->slot_count;
    s->slot_count *= 2;
    s->slots = must_alloc(s->slot_count * sizeof(*s->slots));
    for (uint32_t i = 0; i < old_count; i++) {
        if (!old[i])
            continue;
        uint32_t k = home(s, memory_shard_at(s, old[i] - 1)->key);
        while (s->slots[k])
            k = (k + 1) & (s->slot_count - 1);
        s->slots[k] = old[i];
    }
    free(old);
}

struct memory_entry *memory_shard_insert(struct memory_shard *s, struct hash128 key)
{
    if ((s->count + 1) * 4 > s->slot_count * 3)
        grow(s);
    uint32_t slot = find(s, key), number;
    must(s->slots[slot] == 0);
    if (s->free_first) {
        number = s->free_first - 1;
        s->free_first = (uint32_t)memory_shard_at(s, number)->value;
    } else {
        number = s->made++;
        if (number / MEMORY_BLOCK == s->block_count) {
            s->blocks = must_realloc(s->blocks, (s->block_count + 1) * sizeof(*s->blocks));
            s->blocks[s->block_count++] =
                must_alloc(MEMORY_BLOCK * sizeof(struct memory_entry));
        }
    }
    s->slots[slot] = number + 1;
    s->count++;
    struct memory_entry *e = memory_shard_at(s, number);
    *e = (struct memory_entry){.key = key};
    return e;
}

void memory_shard_remove(struct memory_shard *s, struct memory_entry *e)
{
    uint32_t mask = s->slot_count - 1, hole = find(s, e->key), number = s->slots[hole] - 1;
    must(memory_shard_at(s, number) == e);
    /* What follows moves up, so that no search ends too early. */
    for (uint32_t i = (hole + 1) & mask; s->slots[i]; i = (i + 1) & mask) {
        uint32_t at = home(s, memory_shard_at(s, s->slots[i] - 1)->key);
        if (((i - at) & mask) < ((i - hole) & mask))
            continue;
        s->slots[hole] = s->slots[i];
        hole = i;
    }
    s->slots[hole] = 0;
    s->count--;
    *e = (struct memory_entry){.value = s->free_first, .kind = MEMORY_NOTHING};
    s->free_first = number + 1;
}

void memory_shard_link(struct memory_shard *s, struct memory_object *o)
{
    o->visited = 0;
    o->newer = NULL;
    o->older = s->newest;
    if (s->newest)
        s->newest->newer = o;
    else
        s->oldest = o;
    s->newest = o;
}

void memory_shard_unlink(struct memory_shard *s, struct memory_object *o)
{
    if (s->hand == o)
        s->hand = o->newer;
    if (o->newer)
        o->newer->older = o->older;
    else
        s->newest = o->older;
    if (o->older)
        o->older->newer = o->newer;
    else
        s->oldest = o->newer;
    o->newer = o->older = NULL;
}
