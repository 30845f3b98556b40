/* node/io/link_ev.h - kept connections to servers and peers; requests on them.
 *
 * A pool per loop keeps idle HTTP/1.1 connections by target (address, TLS context, SNI) for
 * keepalive_ms and at most IO_LINK_IDLE_MAX per target. A link is one request: it resolves,
 * takes a kept connection or connects (the resolved addresses one after the other until one
 * answers), sends, and tells what comes back. After any doubt about framing the connection is
 * closed and never reused. A kept connection that the server closed before a byte of the
 * answer came is reported with reused = true, so that the caller may try again.
 *
 * Between nodes (target.h2) requests share connections: `host` is an address, `tls` a context
 * of io/tls_peer.h, `server_name` the id of the node that must answer, which takes 100 streams
 * at once (front/session_h2.c); more of them open another connection, up to IO_LINK_H2_MAX.
 * After a time-out in which nothing at all was heard the connection is not used again.
 *
 * Thread: its loop's. Owns: itself until `ended` or io_link_cancel. No callback comes from
 * inside io_link_start.
 * Limits: request body queue IO_LINK_BODY_BYTES; response body is pushed and may be paused.
 */
#pragma once

#include "base/http/h1.h"
#include "node/io/loop_ev.h"
#include "node/io/resolve_ev.h"
#include "node/io/tls.h"

#define IO_LINK_IDLE_MAX 64
#define IO_LINK_H2_MAX 8 /* connections to one node; then IO_LINK_CONNECT */
#define IO_LINK_BODY_BYTES (256 * 1024)

struct io_links;
struct io_links *io_links_create(struct io_loop *l, struct io_resolver *r);
void io_links_destroy(struct io_links *p);   /* closes idle ones; none may be in use */
void io_links_drop_idle(struct io_links *p); /* after a reload */
/* What an answer's head may hold, for connections made from now on; else the defaults. */
void io_links_limit(struct io_links *p, const struct http_h1_limits *limits);

struct io_link_target { /* borrowed by io_link_start */
    struct span host;   /* name or address */
    uint16_t port;
    struct io_tls_context *tls; /* NULL: clear text; counted by the link */
    struct span server_name;    /* SNI and verification; empty = host */
    bool h2;                    /* HTTP/2 between nodes, see below */
    bool fresh;                 /* no kept connection: the request may not be sent twice */
    uint32_t connect_ms, first_byte_ms, idle_ms, keepalive_ms;
};

enum io_link_failure {
    IO_LINK_OK,
    IO_LINK_DNS,
    IO_LINK_CONNECT,
    IO_LINK_CONNECT_TIMEOUT,
    IO_LINK_TLS,
    IO_LINK_CLOSED, /* closed or reset before a whole head came */
    IO_LINK_FIRST_BYTE_TIMEOUT,
    IO_LINK_IDLE_TIMEOUT,
    IO_LINK_PROTOCOL, /* bytes that are no HTTP */
    IO_LINK_CUT,      /* ended in the middle of the body */
};

struct io_link_functions {
    /* The request's head is about to leave (fixes fill_no); again never for one link. */
    void (*sending)(void *user);
    /* Final or interim (status < 200) head; fields live in the link's arena until ended. */
    void (*response)(void *user, struct http_response *r, struct arena *arena);
    /* Body bytes; io_link_pause stops them (a little may still come). */
    void (*body)(void *user, struct span bytes);
    /* Room for more request body. */
    void (*body_room)(void *user);
    /* The last word: IO_LINK_OK after a whole response with its trailers (or NULL). The link is
     * gone after this call. `answered`: at least one byte of an answer had come. */
    void (*ended)(void *user, enum io_link_failure why, bool reused, bool answered,
                  const struct http_fields *trailers);
};

struct io_link;
/* `request` is copied into bytes at once. body_bytes != 0: io_link_body gives the body, then
 * io_link_body_end. NULL: the request does not fit into bytes (LIMIT), or no memory.
 *
 * connect_ms bounds the name, then all attempts to connect with their TLS: half of what is left
 * for each address but the last. first_byte_ms runs until the final head, anew with each piece
 * of request body that leaves and each interim answer; idle_ms between pieces of the answer.
 * None runs while the link is paused, or waits for the caller's body. 0: no limit.
 *
 * An answer that comes before the request's body is sent: from status 300 up the rest of the
 * body is dropped (io_link_body takes and forgets it); in any case the connection is closed
 * when the answer ends first. */
struct io_link *io_link_start(struct io_links *p, const struct io_link_target *target,
                              const struct http_request *request,
                              const struct io_link_functions *functions, void *user);
/* Queues body bytes; returns how many were taken (then body_room comes). */
size_t io_link_body(struct io_link *l, struct span bytes);
void io_link_body_end(struct io_link *l, const struct http_fields *trailers);
void io_link_pause(struct io_link *l);
void io_link_resume(struct io_link *l);
void io_link_cancel(struct io_link *l); /* no callback comes after it; NULL ok */
