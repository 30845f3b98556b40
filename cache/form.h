/* cache/form.h - in which form does this client get that object?
 *
 * Between LOOKUP, which finds the object, and DELIVER: chooses by Accept-Encoding among what
 * was received, what encoders have made, and what can be encoded or decoded while it is sent;
 * tells the encoders what was missing. policy/encoding.h decides; here is what it needs to
 * know.
 *
 * Thread: any worker.
 */
#pragma once

#include "cache/lookup.h"
#include "cache/policy/encoding.h"

struct cache_form {
    struct policy_form is;
    struct memory_object *object; /* the form, or the object as received; lives with that */
    bool chose;                   /* there was something to choose from: accept is known */
    struct policy_accept accept;
};

/* `arriving`: the object is not complete yet; `first`: this client's request brought it. */
void cache_form_choose(struct cache *c, const struct cache_ask *ask, struct memory_object *o,
                       bool arriving, bool first, struct cache_form *out);
/* May this client be given any form of it, without asking the origin? Not when it takes neither
 * the coding that was received nor anything that can be made of it. */
bool cache_form_suits(const struct cache_ask *ask, const struct memory_object *o);
/* The response arrived as a whole: what its first client would have taken is made. */
void cache_form_stored(struct cache *c, const struct cache_ask *ask, struct memory_object *o);
