/* cache/memory/form.h - the other encodings of an object: made, added, kept in step with it.
 *
 * A form is a memory_object that hangs in another one, its base: fields of the base as
 * policy_encoding_fields turns them, a body of its own, the base's facts. It is in no index and
 * has no life of its own: what purges, refreshes or evicts the base does so with its forms. An
 * object never changes: a form more is a new version of the base, which shares body and other
 * forms with the one before, put in its place if nothing else came meanwhile.
 *
 * A form holds a pin on the base's body, too, so that the store never drops any of an object's
 * bodies while somebody reads one of them.
 *
 * Thread: any, without a shard's lock.
 */
#pragma once

#include "cache/memory/object.h"
#include "cache/policy/encoding.h"

/* A body for a form. */
struct memory_form_body {
    enum policy_encoding encoding;
    bool best;                /* made at the highest level */
    uint64_t bytes;           /* of the body */
    struct span in_memory;    /* copied; `bytes` long, or empty: it is on disk alone */
    struct memory_object *of; /* instead: an older form, whose body is shared */
    uint64_t body_id, xxh3;   /* 0: in RAM alone */
    bool on_disk;
};

/* The form that an object made of `base` would have; one holder. NULL: no memory. */
struct memory_object *memory_form_create(struct memory_tier *t, const struct memory_seed *base,
                                         const struct memory_form_body *body);
/* All forms of `old` anew under the fields of `seed` (a 304 merged into old): into seed->form.
 * To be dropped with memory_form_drop_all once the object is created. False: no memory. */
bool memory_form_renew(struct memory_tier *t, const struct memory_object *old,
                       struct memory_seed *seed);
void memory_form_drop_all(struct memory_seed *seed);

enum memory_form_added {
    MEMORY_FORM_ADDED,
    MEMORY_FORM_LATER, /* a fetch over the object is under way: try again when it is over */
    MEMORY_FORM_GONE,  /* the body is not the one that is stored any more */
};
/* Adds a form of `base`'s body, in the place of one in the same encoding, to whatever version
 * of that object is stored now, and writes the record anew when form and base are on disk.
 * Takes no count. */
enum memory_form_added memory_form_add(struct memory_object *base,
                                       const struct memory_form_body *body);
/* Its bytes cannot be had: the object goes on without it. */
void memory_form_forget(struct memory_object *form);
/* The object goes on without any. False: it is not in the index any more, or no memory. */
bool memory_form_forget_all(struct memory_object *base);
/* What is known of the body (dense, undecodable) is known of every later version, too. */
void memory_form_mark(struct memory_object *base, uint8_t marks);
