/* cache/memory/shard.h - one shard's table of entries. Only for index.c and evict.c.
 *
 * Entries of 32 bytes in blocks that never move, found through open-addressed numbers (about
 * 38 to 43 bytes an entry with their slots). The order in which the disk's objects are let go
 * is the entries' own order with a hand (SIEVE's rule; links would cost 8 bytes each); objects
 * in RAM have links of their own.
 *
 * Thread: under the shard's lock.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "cache/memory/index.h"

#define MEMORY_SHARDS 64u
#define MEMORY_BLOCK 256u /* entries */
#define MEMORY_NOT_DEAD 0u

struct memory_entry {
    struct hash128 key;
    uint64_t value : 48; /* a pointer, a body_id, seconds, or the next free entry */
    uint64_t kind : 3;   /* enum memory_kind */
    uint64_t used : 2;   /* seen since the hand last came by, saturating */
    uint64_t on_disk : 1;
    uint64_t forms : 1; /* on disk in other encodings, too */
    uint32_t pages;     /* on disk; of VARY: memory_vary_mark */
    uint32_t dead_min;  /* minutes since 1970: no use without its validators any more */
};
_Static_assert(sizeof(struct memory_entry) == 32, "a million objects in 40 MB");

struct memory_shard {
    pthread_mutex_t lock; /* protects all of it and every entry */
    uint32_t *slots;      /* number of the entry + 1; 0: free */
    uint32_t slot_count;  /* a power of two */
    uint32_t count;       /* entries in use */
    uint32_t made;        /* entries ever made: [0, made) exist */
    uint32_t free_first;  /* number + 1 of a list through `value` */
    uint32_t block_count;
    struct memory_entry **blocks;
    uint32_t disk_hand;                           /* entry number */
    struct memory_object *newest, *oldest, *hand; /* in RAM */
};

void memory_shard_init(struct memory_shard *s);
void memory_shard_fini(struct memory_shard *s);
struct memory_entry *memory_shard_at(struct memory_shard *s, uint32_t number);
struct memory_entry *memory_shard_find(struct memory_shard *s, struct hash128 key);
struct memory_entry *memory_shard_insert(struct memory_shard *s, struct hash128 key);
void memory_shard_remove(struct memory_shard *s, struct memory_entry *e);
/* The order of what is in RAM. */
void memory_shard_link(struct memory_shard *s, struct memory_object *o);
void memory_shard_unlink(struct memory_shard *s, struct memory_object *o);

struct memory_shard *memory_index_shard(struct memory_index *x, uint32_t number);

static inline void *memory_entry_pointer(const struct memory_entry *e)
{
    return (void *)(uintptr_t)e->value;
}
