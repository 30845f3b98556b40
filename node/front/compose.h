/* node/front/compose.h - the head of an answer, from an object or of our own.
 *
 * RFC 9111 5.1 (Age), 9211 (Cache-Status), 9209 (Proxy-Status), 9110 15.3.7 (206), 15.4.5
 * (304). A hit's stored fields are not copied: the answer borrows the object's block and adds
 * its own.
 *
 * Thread: any. Owns: nothing; what is new lies in the arena.
 * Errors: false = the arena is full.
 */
#pragma once

#include "node/front/deliver.h"
#include "node/front/rewrite.h"

struct admin_answer;
struct front_vector;
struct front_form;
struct memory_object;

struct front_compose {
    const struct http_request *request;
    struct arena *arena;
    const char *date; /* HTTP date of now, 29 characters */
    struct front_cache_status cache;
    bool cache_said;               /* the cache was asked: Cache-Status goes out */
    enum cache_failure failure;    /* NONE, or what Proxy-Status says */
    int64_t age_s;                 /* Age to send; -1: none */
    bool plan;                     /* conditions and ranges of the request count */
    const struct front_form *form; /* with plan: what was chosen */
    const struct front_vector
        *vector;     /* for another node: with it, and what clients do not see */
    uint64_t random; /* for a multipart boundary */
    bool timing;     /* Server-Timing is wanted */
    int64_t total_us, origin_us;
};

/* A text of our own, with the fields above. */
bool front_compose_own(const struct front_compose *c, unsigned status,
                       struct http_response *out, struct front_deliver *out_deliver);
/* One more field for an answer of our own. */
bool front_compose_add(struct http_response *r, struct arena *a, enum http_name id,
                       struct span value);
/* `reader` is open on `o`; a recoding of `form` is in *out_deliver when its bytes are sent, and
 * not when this fails. */
bool front_compose_stored(const struct front_compose *c, const struct memory_object *o,
                          struct memory_reader *reader, struct http_response *out,
                          struct front_deliver *out_deliver);
/* What control said; its body is borrowed. */
bool front_compose_said(const struct front_compose *c, const struct admin_answer *said,
                        struct http_response *out, struct front_deliver *out_deliver);
