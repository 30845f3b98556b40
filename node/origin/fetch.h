/* node/origin/fetch.h - one response for one fill: pick a server, ask, retry, feed the intake.
 *
 * A fetch outlives the exchange that began it, since others may read what it brings. It owns a
 * copy of everything it needs. What the fields of request and response must look like for this
 * client and server is the owner's to say (`outgoing`, `incoming`); what becomes of the
 * response is cache/intake's.
 *
 * What other nodes may have is asked of them first (origin/peers.h): who is silent, breaks,
 * says what is no answer, or what may be older than a purge that this node knows
 * (cache/peer.h), is passed over, and the origin has the last word: of the rest of a body, too,
 * that a node began and did not end (origin/resume.h).
 *
 * Thread: its loop's.
 * Owns: itself, an arena, the link, the intake, counts on origin and setup; freed when the
 *       intake has let go.
 * Limits: request body: io_link's queue. What follows an answer that nobody wants is read up
 *         to ORIGIN_FETCH_DRAIN_BYTES to keep the connection, else it is closed.
 */
#pragma once

#include "cache/intake.h"
#include "node/io/link_ev.h"
#include "node/io/tls_peer.h"
#include "node/origin/origin.h"
#include "node/origin/peers.h"

#define ORIGIN_FETCH_DRAIN_BYTES 65536

struct origin_fetch;
struct snapshot;

struct origin_fetches { /* one per loop; zeroed is valid */
    struct origin_fetch *first;
    uint32_t count;
};

struct origin_fetch_functions {
    /* Makes the request for this server from the intake's fields; called for each attempt with
     * a fresh copy. False: the arena is full. */
    bool (*outgoing)(void *copy, const struct conf_origin_server *server,
                     struct http_request *r, struct arena *a);
    /* Rewrites a response (also an interim one) before the cache sees it. */
    bool (*incoming)(void *copy, const struct conf_origin_server *server,
                     struct http_response *r, struct arena *a);
    /* The same towards another node, which will have been asked over `hops`, and from it. */
    bool (*to_peer)(void *copy, unsigned hops, struct http_request *r, struct arena *a);
    bool (*from_peer)(void *copy, struct http_response *r, struct arena *a);
};
/* Other nodes to be asked first. */
struct cluster_recent;
struct origin_fetch_peers {
    struct origin_peer *at[ORIGIN_PEERS_ASKED_MAX]; /* counts are taken */
    uint32_t count;
    unsigned hops;                 /* made already */
    struct io_tls_context *tls;    /* in the setup */
    struct cluster_recent *recent; /* any thread */
};
/* In a peer's answer: its version vector (cluster/vector.h) in base64. Without it the answer is
 * none: of the peer itself, about a failure. */
#define ORIGIN_PEER_VECTOR "perigee-vector"
#define ORIGIN_PEER_HOPS "perigee-hops" /* in a request to a peer */
/* For the exchange that began it, while it is attached. */
struct origin_fetch_watcher {
    void (*body_room)(void *user); /* request body is wanted (again) */
    /* The fetch needs nothing more from the exchange and has let go of it; it may run on. */
    void (*left)(void *user);
    void *user;
};
struct origin_fetch_figures { /* for the access log, once known */
    const char *server;    /* authority of the last server asked; "" = none; lives with setup */
    int64_t first_byte_ms; /* from the start to the final head; -1: none came */
    uint32_t attempts;
    unsigned status;                   /* of the origin; 0: none */
    char peer[IO_TLS_PEER_ID_MAX + 1]; /* the node whose answer it is; "" = the origin's */
};

struct origin_fetch_start {
    struct io_loop *loop;
    struct io_links *links;
    struct origin_fetches *fetches;
    struct cache *cache;
    struct cache_answer *answer;      /* its fill is taken (cache/intake.h) */
    const struct cache_ask *ask;      /* request and key are copied */
    struct origin *origin;            /* counted */
    struct snapshot *setup;           /* counted: conf, site and route of `ask` are in it */
    const struct conf_limits *limits; /* in the setup */
    const struct origin_fetch_functions *functions;
    const void *copied; /* copy_bytes of the owner's, copied; its spans stay the
                         * owner's business: they must live in the setup or in what
                         * `own` put into the arena */
    size_t copy_bytes;
    /* Puts what `copy` borrows from the exchange into the fetch's arena. */
    bool (*own)(void *copy, const struct http_request *copied_request, struct arena *a);
    bool has_body;                          /* the request's body comes by origin_fetch_body */
    const struct origin_fetch_peers *peers; /* NULL: none; not with a body */
    const struct origin_fetch_watcher *watcher; /* NULL: in the background */
};
/* Never calls back from inside. When it cannot even begin, the fill fails (the reader hears
 * it) and NULL is returned: nobody watches. */
struct origin_fetch *origin_fetch_begin(const struct origin_fetch_start *s);
/* Takes what fits, and nothing until a request's head leaves (so that another server can have
 * it all); body_room comes then, and when there is room again. Bytes given after an answer
 * from 300 up are dropped. */
size_t origin_fetch_body(struct origin_fetch *f, struct span bytes);
void origin_fetch_body_end(struct origin_fetch *f, const struct http_fields *trailers);
void origin_fetch_figures(const struct origin_fetch *f, struct origin_fetch_figures *out);
/* The exchange goes: no call to the watcher any more. A fetch whose request body is not whole
 * is cancelled. */
void origin_fetch_leave(struct origin_fetch *f);
/* The loop ends: every fetch is cancelled; those whose letters are out free themselves later
 * (fetches->count says how many are left). */
void origin_fetch_cancel_all(struct origin_fetches *fetches);
