/* cache/memory/deposit.h - what becomes of an object that is complete: index and store.
 *
 * Every order to the store that the RAM tier gives is made here; each frees itself when done.
 * An object is in the index before it is on disk; a large one when it is there. One that came
 * from another node's cache, which keeps it, goes to disk when it is used again.
 *
 * Thread: any, without a shard's or fill's lock.
 */
#pragma once

#include "cache/memory/object.h"
#include "cache/store/store.h"

struct memory_fill;
struct memory_slab;
struct memory_vary;

struct memory_deposit {
    struct store_put put;
    struct store_record record;
    struct span piece;
    struct memory_object *object; /* held */
    struct memory_fill *fill;     /* held: its body is the one; NULL: used again */
    struct store_body body;       /* without a fill */
    uint64_t old_body_id;         /* what the record on disk had before; 0: none */
    struct memory_slab *slab;     /* held: the last one */
};

/* A fill ended well and became `o` (borrowed): puts it into the index in the fill's place, if
 * the fill is still there, and on its way to disk. False: the fill had been replaced, or a hard
 * purge came while it arrived; nothing was kept. `names`: of the object, with site and tags. */
bool memory_deposit_fill(struct memory_fill *f, struct memory_object *o,
                         struct memory_names *names);
/* The object is used, and goes to disk if it waited for that. To be called with the place of
 * its key open, where it is in the index or lies under the fill. */
void memory_deposit_used(struct memory_object *o);
/* `o` has the body of `old` and newer fields (a 304): into the index in the place of the fill,
 * or (fill NULL) of `old`, and the record on disk is written anew. False: something else came
 * into that place; nothing was changed. */
bool memory_deposit_merged(struct memory_fill *f, struct memory_object *old,
                           struct memory_object *o);
/* `o` is `old` with other forms; likewise. `added`: the form of it whose body no record names
 * yet; NULL: none. The record is written anew only with `rewrite`. */
bool memory_deposit_version(struct memory_object *old, struct memory_object *o,
                            struct memory_object *added, bool rewrite);
/* Its record on disk (if there is one) is written as the object is now. To be called with the
 * place of its key open, where `o` is in the index or lies under the fill: rewrites reach the
 * store in the order of the changes there. `under_way` (NULL ok) is one more until it is done.
 */
void memory_deposit_rewrite(struct memory_object *o, atomic_uint *under_way);
/* The fill came to nothing: what lies under it is in its place again, or nothing. */
void memory_deposit_restore(struct memory_fill *f, bool keep_under);
/* The object is of no use any more: out of index and store. */
void memory_deposit_forget(struct memory_object *o);
/* Takes a record off the disk; its body when nobody reads it any more. body_id 0: the names of
 * Vary, if that is what is there. */
void memory_deposit_remove(struct memory_tier *t, struct hash128 key, uint64_t body_id);
/* The names of Vary, under the primary key. */
void memory_deposit_vary(struct memory_tier *t, struct hash128 key, struct span primary,
                         const struct memory_vary *v);
