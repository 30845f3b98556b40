/* node/front/exchange.h - THE main path: the steps of one request, in order.
 *
 * ADMIT, ROUTE, LOOKUP, then DELIVER from what the cache gave, or FETCH into a fill and read
 * from that, or ASK control; LOG at the end (ARCHITECTURE.md, life of a request). The
 * same for HTTP/1 and HTTP/2: the session that owns it gets heads by call-back and pulls the
 * body.
 *
 *   session: open -> begin -> (body, body_end)* -> head comes -> peek, consume ... -> end
 *
 * Call-backs may come from inside begin, body and body_end; never from inside peek, consume,
 * end.
 *
 * Thread: its loop's.
 * Owns: a place in the loop's pool; counts on setup, object and fill through its reader.
 * Limits: request bodies for control ADMIN_BODY_MAX; look-ups of one request 8.
 */
#pragma once

#include "cache/lookup.h"
#include "cache/memory/reader.h"
#include "node/front/client.h"
#include "node/front/deliver.h"
#include "node/front/front.h"
#include "node/front/rewrite.h"

struct front_ask;

struct front_exchange_functions {
    void (*interim)(void *user, const struct http_response *r); /* 102, 103; before the head */
    /* The answer, exactly once; it lives until front_exchange_end. `body`: peek gives one,
     * maybe of 0 bytes. */
    void (*head)(void *user, const struct http_response *r, bool body);
    void (*body_ready)(void *user); /* after peek said AGAIN */
    /* The request's body is wanted (the first time: also the moment for 100 Continue), or there
     * is room again. Not called at all when the answer does not need it. */
    void (*body_wanted)(void *user);
};

enum front_state {
    FRONT_IDLE,    /* in the pool, or opened and not begun */
    FRONT_COLLECT, /* the body of a request for control comes in */
    FRONT_ASKED,   /* control has it */
    FRONT_WAIT,    /* for the head of a fill */
    FRONT_DELIVER, /* head was given */
    FRONT_ENDED,   /* only a letter is waited for */
};

struct front_exchange {
    struct arena arena; /* for sessions without one of their own (HTTP/1); reset by open */
    struct front *front;
    const struct front_exchange_functions *functions;
    void *user;
    struct front_exchange *next; /* idle ones */
    enum front_state state;

    const struct front_client *client;
    struct addr address; /* that counts as the client's */
    struct http_request *request;
    struct arena *memory; /* the request's */
    struct setup *setup;  /* held */
    const struct conf_site *site;
    const struct conf_route *route;
    struct policy_key key;
    struct cache_ask ask;
    struct front_rewrite rewrite;
    struct span raw_target; /* as it was sent, for the log */
    uint64_t id;
    unsigned lookups;
    unsigned hops;               /* of another node's request */
    struct front_vector *vector; /* held: for its answer; NULL: a client's */
    struct io_timer sign;        /* with vector: that we wait is told again */

    enum cache_verdict verdict;
    enum cache_forward forward;
    bool has_body, body_over; /* of the request: follows; its end came */
    bool reading;             /* reader is open */
    bool relook;              /* the reader's letter came: look up again */
    bool from_disk, head_sent;
    struct memory_reader reader;
    struct origin_fetch *fetch; /* while it is watched */
    struct origin_fetch_watcher watcher;
    struct front_ask *ask_out; /* control has it */
    struct front_ask *asked;   /* it came back: the answer's bytes are in it */
    struct buf collected;
    struct front_deliver deliver;
    struct io_task recode_task; /* waits for the next turn's share of recoding */
    struct http_response response;

    /* for the log */
    int64_t began_us, head_us;
    struct origin_fetch_figures origin;
    const char *cache_word; /* "hit", "miss", ... */
    uint64_t bytes_in, bytes_out;
    const char *fault; /* why a request was refused; NULL */
};

/* From the pool; NULL: no memory. */
struct front_exchange *front_exchange_open(struct front *f,
                                           const struct front_exchange_functions *functions,
                                           void *user);
/* `r` and `memory` live until front_exchange_end. has_body: front_exchange_body_end follows. */
void front_exchange_begin(struct front_exchange *x, const struct front_client *c,
                          struct http_request *r, struct arena *memory, bool has_body);
/* Instead of begin: the bytes were no request (`r` NULL or as far as it was understood);
 * answers `status`. */
void front_exchange_refuse(struct front_exchange *x, const struct front_client *c,
                           struct http_request *r, struct arena *memory, unsigned status,
                           const char *why);
/* After begin, before an answer's head: the request's body is at fault; answers `status`. */
void front_exchange_fail(struct front_exchange *x, unsigned status, const char *why);
/* Is the request's body taken now? False: it is not needed (the session drains it) or not yet;
 * body_wanted comes when that changes. */
bool front_exchange_wants_body(const struct front_exchange *x);
/* Returns how many were taken; fewer: body_wanted comes. */
size_t front_exchange_body(struct front_exchange *x, struct span bytes);
void front_exchange_body_end(struct front_exchange *x, const struct http_fields *trailers);
/* As memory_reader_peek: OK, AGAIN, CLOSED (all given), else cut the answer. */
NODISCARD enum err front_exchange_peek(struct front_exchange *x, struct span *out);
void front_exchange_consume(struct front_exchange *x, size_t bytes);
const struct http_fields *front_exchange_trailers(const struct front_exchange *x);
/* Over: `whole` when all of the answer went out. Logs; x goes back to the pool (perhaps later:
 * no call-back comes any more). NULL ok. */
void front_exchange_end(struct front_exchange *x, bool whole);
