/* cache/memory/index.h - every known object by key, sharded.
 *
 * An entry is an object in RAM, one that is on disk only, a fill on its way (with what lies
 * under it: fill.h), the names of Vary of a primary key, or the memory that a key's answers are
 * private. It is looked at and changed at a *place*: the key's shard, locked. Nothing slow
 * happens there; what is displaced is let go when the place closes.
 *
 * Thread: any; one mutex a shard, never two at once, and never the same twice.
 * Owns: one count on each object and fill in it.
 * Limits: MEMORY_VARY_NAMES different texts of Vary; max_objects entries (evict.h).
 */
#pragma once

#include "base/hash.h"
#include "base/span.h"

struct memory_entry;
struct memory_fill;
struct memory_index;
struct memory_object;
struct memory_shard;
struct memory_tier;

#define MEMORY_VARY_NAMES 1024
#define MEMORY_PLACE_DROPS 4

enum memory_kind {
    MEMORY_NOTHING,
    MEMORY_OBJECT,
    MEMORY_DISK,
    MEMORY_FILL,
    MEMORY_VARY,
    MEMORY_PRIVATE, /* hit-for-miss */
    MEMORY_ABSENT,  /* looked for on disk while the scan ran, and not found */
};

struct memory_index *memory_index_create(struct memory_tier *t);
void memory_index_destroy(struct memory_index *x); /* NULL ok; lets everything go */
/* The key of a primary key's text with a secondary one (empty: none). */
struct hash128 memory_index_key(const struct memory_tier *t, struct span primary,
                                struct span vary);

struct memory_place {
    struct memory_index *index;
    struct memory_shard *shard;
    struct memory_entry *entry; /* NULL: nothing there */
    struct hash128 key;
    struct memory_object *objects[MEMORY_PLACE_DROPS]; /* to be dropped at close */
    struct memory_fill *fills[MEMORY_PLACE_DROPS];
    unsigned object_count, fill_count;
};
void memory_place_open(struct memory_index *x, struct hash128 key, struct memory_place *p);
void memory_place_close(struct memory_place *p);

/* What a body on disk is known by. */
struct memory_disk {
    uint64_t body_id; /* 0: none */
    uint32_t pages;
    int64_t dead_at_s; /* 0: not known */
    bool forms;        /* `pages` has those of other encodings, too; false: there are none, or
                        * they are about to go */
};

struct memory_disk memory_index_disk(const struct memory_tier *t,
                                     const struct memory_object *o);
/* Pages of its own body alone. */
uint32_t memory_index_pages(const struct memory_tier *t, const struct memory_object *o);

/* What a primary key knows of its variants. The series is drawn as the names first come, and is
 * part of the variants' keys: those of before the names were forgotten are never met again. */
struct memory_vary {
    struct span names;
    uint32_t variants; /* up to 255 are told apart */
    uint32_t series;   /* 24 bits; 0: none (stored by an older version) */
};

/* Both numbers in one, as an entry and the disk have it. */
static inline uint32_t memory_vary_mark(const struct memory_vary *v)
{
    return v->series << 8 | (v->variants < 255 ? v->variants : 255);
}
static inline struct memory_vary memory_vary_of(struct span text, uint32_t mark)
{
    return (struct memory_vary){text, mark & 255, mark >> 8};
}

enum memory_kind memory_place_kind(const struct memory_place *p);
struct memory_object *memory_place_object(const struct memory_place *p); /* of MEMORY_OBJECT */
struct memory_fill *memory_place_fill(const struct memory_place *p);
/* On disk under this key, whether in RAM, too, or not (not asked of fills). */
struct memory_disk memory_place_disk(const struct memory_place *p);
struct memory_vary memory_place_vary(const struct memory_place *p); /* of MEMORY_VARY */
/* Of MEMORY_VARY with too many variants: are new ones still refused? A minute or two later
 * they are taken again, and the count begins anew. */
bool memory_place_vary_is_full(struct memory_place *p, int64_t now_s);
int64_t memory_place_private_until_s(const struct memory_place *p);
void memory_place_used(struct memory_place *p); /* a hit */

/* Each puts something in the place of what was there. Objects and fills are counted once. */
void memory_place_set_object(struct memory_place *p, struct memory_object *o);
void memory_place_set_disk(struct memory_place *p, const struct memory_disk *disk);
void memory_place_set_fill(struct memory_place *p, struct memory_fill *f);
void memory_place_set_vary(struct memory_place *p, const struct memory_vary *v);
void memory_place_set_private(struct memory_place *p, int64_t until_s);
void memory_place_set_absent(struct memory_place *p);
/* What is in the place goes on: the object there is on disk now (its own on_disk says so). */
void memory_place_stored(struct memory_place *p);
void memory_place_remove(struct memory_place *p);
/* False: too many different texts are known. */
bool memory_index_vary_known(struct memory_index *x, struct span names);

/* What one step of a walk is told, under the shard's lock. */
struct memory_seen {
    struct hash128 key;
    enum memory_kind kind;
    struct memory_object *object; /* of MEMORY_OBJECT */
    struct memory_fill *fill;     /* of MEMORY_FILL */
    struct memory_disk disk;
    struct memory_vary vary; /* of MEMORY_VARY */
};
struct memory_walk {
    uint32_t shard, at;
};
/* Up to `max` entries from where the last step ended. False: the end was reached. What comes or
 * goes meanwhile may be missed, what stays is not. */
bool memory_index_walk(struct memory_index *x, struct memory_walk *w, unsigned max,
                       void (*see)(void *context, const struct memory_seen *s), void *context);

/* The store was emptied: nothing is on disk any more. */
void memory_index_disk_gone(struct memory_index *x);
uint64_t memory_index_count(const struct memory_index *x);   /* objects in RAM or on disk */
uint64_t memory_index_entries(const struct memory_index *x); /* with marks and names */
