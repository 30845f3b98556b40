/* cache/memory/object.h - a response in RAM: counted, immutable once published.
 *
 * Head and facts in one allocation; a small body lies behind them, a larger one in slabs under
 * one byte budget, or only on disk.
 *
 * Thread: any; hold and drop are atomic. checked_no and hits are relaxed atomics.
 * Owns: its own memory; the body on disk is pinned through the index.
 */
#pragma once

#include <stdatomic.h>

#include "base/hash.h"
#include "base/http/message.h"
#include "cache/policy/freshness.h"

struct memory_object {
    atomic_uint holders;
    struct hash128 key;      /* of this variant */
    struct span key_text;    /* primary key in full, compared at lookup */
    struct span vary_text;   /* secondary key; empty: none */
    struct policy_facts facts;
    uint16_t status;
    struct http_block block; /* stored fields, also as HTTP/1 lines, without framing, Age,
                              * Cache-Status */
    int64_t body_bytes;      /* HTTP_LENGTH_UNKNOWN while a body of unknown length arrives */
    uint64_t body_id;        /* 0: not on disk */
    uint64_t fill_no;        /* atomic counter when its fetch was sent (purge.md) */
    const uint64_t *tag_hash;
    uint16_t tag_count;
    bool body_in_memory;
    struct span body;        /* contiguous, when body_in_memory */
    bool stored;             /* will be, or is, kept: for Cache-Status "stored" */
    atomic_ullong checked_no, hits;
    atomic_bool soft_purged; /* must be validated before use, stale rules permitting */
};

struct memory_object *memory_object_hold(struct memory_object *o); /* returns o */
void memory_object_drop(struct memory_object *o);                  /* NULL ok */
