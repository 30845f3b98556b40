/* cache/intake.h - POLICY and FILL: what to do with a response that arrives.
 *
 * A fetch owns one intake per fill and tells it what came from the origin (or peer). The
 * response given has been through rewrite already (no hop-by-hop fields, hidden ones gone).
 * Decides: stored and shared; private (waiters split and look up again; hit-for-miss is
 * remembered); a 304 merged into the stored object; a 5xx or a failure answered with the stale
 * object instead; an unsafe method's invalidation.
 *
 * Thread: the worker that leads the fill. Owns: a count on the fill.
 */
#pragma once

#include "base/letter.h"
#include "base/http/message.h"
#include "cache/lookup.h"

enum cache_take {
    CACHE_TAKE_BODY,    /* give body bytes, then end or fail */
    CACHE_TAKE_DONE,    /* nothing more is wanted: read and drop what follows, or close */
    CACHE_TAKE_REFUSED, /* a peer's answer that may be older than a purge known here: nothing
                         * was taken, ask somebody else */
};

/* How a fetch without a usable response failed; becomes 502 or 504 and Proxy-Status. */
enum cache_failure {
    CACHE_FAILURE_NONE,
    CACHE_FAILURE_REFUSED,     /* connection refused, reset or closed too early: 502 */
    CACHE_FAILURE_TIMEOUT,     /* connect, first byte or idle: 504 */
    CACHE_FAILURE_DNS,         /* 502 */
    CACHE_FAILURE_TLS,         /* 502 */
    CACHE_FAILURE_PROTOCOL,    /* garbage: 502 */
    CACHE_FAILURE_INCOMPLETE,  /* the body ended in the middle */
    CACHE_FAILURE_LOOP,        /* 508 */
    CACHE_FAILURE_CANCELLED,   /* nobody wanted it any more */
    CACHE_FAILURE_UNAVAILABLE, /* no server, or a limit: 503 */
};

struct cache_intake {
    struct letter letter; /* "room", or "nobody reads": see begin */
    struct cache *cache;
    struct memory_fill *fill;
    struct memory_object *validating;   /* held: the object a conditional fetch asks about */
    const struct http_request *request; /* as the client sent it (conditionals, Range too) */
    const struct policy_key *key;
    const struct conf_site *site;
    const struct conf_route *route;
    const struct conf_variants *variants;
    struct letter_mailbox *mailbox;
    void (*room)(struct cache_intake *i);
    int64_t requested_at_s;
    uint64_t oldest_unknown; /* with from_peer */
    bool pass, plain, began, head_given, body_wanted, paused, posted, from_peer;
    void *detail; /* the implementation's own, owned */
};

/* `ask` and what it points to stay valid until _fini. Takes the references in `answer` (LEAD,
 * PASS or STALE with fill) over: afterwards its fill is NULL, and its object too unless the
 * verdict is STALE or the object is needed for a reader (then counted twice).
 * `room` is called in the mailbox's loop when body bytes are wanted again after ERR_AGAIN, and
 * when nobody reads any more (ask cache_intake_wanted). */
void cache_intake_begin(struct cache_intake *i, struct cache *c, struct cache_answer *answer,
                        const struct cache_ask *ask, struct letter_mailbox *mailbox,
                        void (*room)(struct cache_intake *i));
/* Turns the client's fields (a copy) into those of the origin request: takes conditionals and
 * Range out where the whole object is wanted, adds validators; Accept-Encoding is ours for what
 * may be shared (cache/policy/encoding.h). False: arena full. */
bool cache_intake_request_fields(struct cache_intake *i, struct http_fields *fields,
                                 struct arena *a);
/* When the request was sent: fixes requested_at_s and the fill_no. Again on a retry. */
void cache_intake_sent(struct cache_intake *i, int64_t now_s);
/* Before the response: it comes from a peer's cache, which may not know purges from this number
 * on (cluster/purge_recent.h; 0: it knows all, UINT64_MAX: nothing is known). The answer is
 * refused when one of these names it, or could (cache/peer.h). Off again with the next
 * cache_intake_sent. */
void cache_intake_from_peer(struct cache_intake *i, uint64_t oldest_unknown);
void cache_intake_interim(struct cache_intake *i, const struct http_response *r);
enum cache_take cache_intake_response(struct cache_intake *i, const struct http_response *r,
                                      int64_t now_s);
/* ERR_OK: go on. ERR_AGAIN: the bytes are taken, stop reading until `room` is called.
 * ERR_CLOSED: nobody wants more. */
NODISCARD enum err cache_intake_body(struct cache_intake *i, struct span bytes);
void cache_intake_end(struct cache_intake *i, const struct http_fields *trailers);
void cache_intake_fail(struct cache_intake *i, enum cache_failure why, int64_t now_s);
/* False: no reader is left and finishing it is not worth it; the fetch should cancel.
 * It is final: nobody joins from then on, and cache_intake_fail must follow. */
bool cache_intake_wanted(const struct cache_intake *i);
/* Lets go, after _end, _fail or TAKE_DONE. False: `letter` is still under way; `room` will be
 * called once more and then the struct may be freed. */
bool cache_intake_fini(struct cache_intake *i);
