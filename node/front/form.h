/* node/front/form.h - the form in which this client gets an object, and what it says then.
 *
 * Between the reader's head and the answer's: takes the choice of cache/form.h, turns the
 * reader to a form that is stored, or prepares bytes to be encoded or decoded as they are sent.
 *
 * Thread: its loop's. Owns: a count on the base that the reader was turned away from; the
 * recoding, until it is in the answer's delivery.
 */
#pragma once

#include "cache/form.h"
#include "cache/memory/recode.h"

enum front_form_verdict {
    FRONT_FORM_READY,
    FRONT_FORM_UNSUITED, /* the client can be given none: a fetch of its own */
    FRONT_FORM_BUSY, /* it would have to be decoded, and too much is already; nor would a fetch
                      * of its own help: 503 */
    FRONT_FORM_NO_ROOM, /* the arena is full */
};

struct front_form {
    struct cache_form chosen;
    struct memory_object *base; /* as received: held when the reader was turned to a form */
    bool turned;
    struct memory_recode *recode; /* NULL: bytes are sent as they lie */
    struct http_fields fields;    /* of what is recoded, in the arena */
};

/* `reader` has a head. `first`: this request brought the object. */
enum front_form_verdict front_form_choose(struct cache *c, const struct cache_ask *ask,
                                          struct memory_reader *reader, bool first,
                                          struct arena *a, struct front_form *out);
/* Are its head and bytes made as they are sent? */
static inline bool front_form_is_recoded(const struct front_form *f)
{
    return f->chosen.is.how == POLICY_FORM_ENCODE || f->chosen.is.how == POLICY_FORM_DECODE;
}
/* The recoding now belongs to `taken_by` if that has it; else it goes. */
void front_form_fini(struct front_form *f, const struct memory_recode *taken);
