/* cache/memory/tier.h - what the files of the RAM tier share: limits, store, tables.
 *
 * Made by cache.c before the first worker starts and destroyed after the last one ended.
 * Thread: any; the pointers do not change, the rest is atomic.
 * Locks, in this order: a shard's, a fill's; all others are leaves. Never two of one kind.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"

struct memory_encoder;
struct memory_epoch;
struct memory_index;
struct memory_pins;
struct store;

#define MEMORY_BODY_MAX (UINT64_C(1) << 20) /* bytes; larger bodies live on disk only */

struct memory_tier {
    struct memory_epoch *epoch;
    struct memory_index *index;
    struct memory_pins *pins;
    struct memory_encoder *encoder; /* NULL: none (tests) */
    struct store *store;            /* NULL: RAM only */
    struct hash_key secret;         /* of keys and tags; the store's, when there is one */
    uint64_t memory_max_bytes, object_max_bytes, max_objects;
    bool verify;
    atomic_ullong doubted_below;  /* fill_no: what was sent before is validated; 0: trusted */
    atomic_llong watch_ms;        /* how long now_ms may stand still; 0: for ever */
    atomic_ullong memory_bytes;   /* of objects and of bodies on their way */
    atomic_ullong resident;       /* objects in RAM */
    atomic_ullong bodies;         /* the last body_no */
    atomic_ullong slice_bytes;    /* disk slices that readers hold */
    atomic_uint fills;            /* on their way, loads from disk too */
    atomic_uint behind;           /* readers that read from disk */
    atomic_uint recodes;          /* bodies encoded or decoded as they are sent */
    atomic_llong now_ms, now_s;   /* coarse, by the tick */
    atomic_bool store_on;         /* puts and loads make sense */
    atomic_bool scanning;         /* the index does not know all of the disk yet */
    atomic_uint evict_shard;      /* where eviction goes on */
    pthread_mutex_t stalled_lock; /* protects stalled; a leaf */
    struct memory_fill *stalled;  /* held: paused, and no disk to read on from */
    bool no_join_fence;           /* a planted fault, for tests */
};
