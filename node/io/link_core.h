/* node/io/link_core.h - what links over HTTP/1.1 and over HTTP/2 share.
 *
 * For link_ev.c, link_h1_ev.c and link_h2_ev.c alone. link_ev.c decides which of them a request
 * takes and leads the calls on a link to it.
 *
 * Thread: its loop's. Owns: see link_ev.h.
 */
#pragma once

#include "node/io/link_ev.h"

struct io_link_protocol {
    size_t (*body)(struct io_link *l, struct span bytes);
    void (*body_end)(struct io_link *l, const struct http_fields *trailers);
    void (*pause)(struct io_link *l);
    void (*resume)(struct io_link *l);
    void (*cancel)(struct io_link *l);
};
struct io_link { /* the first member of both kinds */
    const struct io_link_protocol *protocol;
};

struct io_kept;
struct io_link_h1; /* a connection each */
struct io_link_h2;

struct io_links {
    struct io_loop *loop;
    struct io_resolver *resolver;
    struct io_kept *kept; /* idle HTTP/1.1 connections */
    struct io_link_h1 *h1;
    struct io_link_h2 *h2;
    struct http_h1_limits limits;
};

/* What makes two targets one: host, port, TLS context (held by who is kept), server name. */
#define IO_LINK_KEY_MAX 640
#define IO_LINK_NAME_MAX 255
struct io_link_key {
    size_t len;
    char text[IO_LINK_KEY_MAX];
    char server_name[IO_LINK_NAME_MAX + 1];
};
static inline struct span io_link_key_span(const struct io_link_key *k)
{
    return span_of(k->text, k->len);
}

struct io_link *io_link_h1_start(struct io_links *p, const struct io_link_key *key,
                                 const struct io_link_target *target,
                                 const struct http_request *request,
                                 const struct io_link_functions *functions, void *user);
void io_link_h1_drop_idle(struct io_links *p);
void io_link_h1_destroy(struct io_links *p); /* all connections; none is in use */

struct io_link *io_link_h2_start(struct io_links *p, const struct io_link_key *key,
                                 const struct io_link_target *target,
                                 const struct http_request *request,
                                 const struct io_link_functions *functions, void *user);
void io_link_h2_drop_idle(struct io_links *p);
void io_link_h2_destroy(struct io_links *p);
