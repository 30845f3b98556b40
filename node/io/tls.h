/* node/io/tls.h - TLS contexts and one TLS connection (door to libssl).
 *
 * TLS 1.2 and 1.3, ALPN, SNI to a certificate of io/certs.h, session tickets bound to the SNI
 * name (a ticket of one name never resumes a session for another), one ticket per handshake,
 * RELEASE_BUFFERS, one BIO for all connections of a loop.
 *
 * Thread: contexts are read-only once made and counted; a connection belongs to its loop.
 */
#pragma once

#include "base/snapshot.h"
#include "base/span.h"
#include "conf/conf.h"

struct io_certs;
struct io_secrets;
struct io_tls_context;

/* For a listener. `certs` is counted; so are the secrets, whose tickets of TLS 1.3 every node
 * with them resumes (NULL: only this process). Faults (unreadable key, no match) go into the
 * list with the place of the setting. NULL on error. */
struct io_tls_context *io_tls_server_create(const struct conf_listener *l,
                                            struct io_certs *certs, struct io_secrets *tickets,
                                            struct conf_faults *faults);
/* A server context for the admin listener. */
struct io_tls_context *io_tls_admin_create(const struct conf_admin *a,
                                           struct conf_faults *faults);
/* Towards an origin: verify by `ca` file or the system's store; ALPN http/1.1. */
struct io_tls_context *io_tls_client_create(const char *ca, bool verify,
                                            struct conf_place place,
                                            struct conf_faults *faults);
struct io_tls_context *io_tls_context_hold(struct io_tls_context *t);
void io_tls_context_drop(struct io_tls_context *t); /* NULL ok */

/* What follows is for io/stream_ev.c.
 *
 * The in and out of one SSL call, shared by all connections of a loop: one BIO reads from `in`
 * and writes to `out`. */
struct bio_st;
struct io_tls_scratch {
    struct bio_st *bio;
    struct span in; /* received and not used yet; borrowed */
    char *out;      /* records to send */
    size_t out_len, out_room;
};
void io_tls_scratch_init(struct io_tls_scratch *s); /* only bio; the caller sets the memory */
void io_tls_scratch_fini(struct io_tls_scratch *s);

struct io_tls; /* one connection; holds its context */
struct io_tls *io_tls_accept(struct io_tls_context *c, struct io_tls_scratch *s); /* or NULL */
/* server_name: verified, and sent as SNI unless it is an address. */
struct io_tls *io_tls_connect(struct io_tls_context *c, struct io_tls_scratch *s,
                              const char *server_name); /* or NULL */
void io_tls_destroy(struct io_tls *t);                  /* NULL ok */
/* OK: ready. AGAIN: more input, please. LIB: over; an alert may be in `out`. */
NODISCARD enum err io_tls_handshake(struct io_tls *t);
/* OK with *out_len > 0, AGAIN, CLOSED (close_notify), LIB. */
NODISCARD enum err io_tls_read(struct io_tls *t, char *out, size_t room, size_t *out_len);
/* Spans as records into `out`: one record for what fits into one, full records else; pieces of
 * several spans meet in `gather` (IO_TLS_RECORD_BYTES). The caller has checked the room of
 * `out`: IO_TLS_CALL_BYTES more than the spans. */
NODISCARD enum err io_tls_write(struct io_tls *t, const struct span *spans, size_t count,
                                char *gather);
#define IO_TLS_RECORD_BYTES 16384
#define IO_TLS_CALL_BYTES 512
void io_tls_shut(struct io_tls *t); /* close_notify */
bool io_tls_is_h2(const struct io_tls *t);
/* After the handshake: the other node (io/tls_peer.h); NULL: with certificates. */
const char *io_tls_peer_id(const struct io_tls *t);
const char *io_tls_version(const struct io_tls *t);
const char *io_tls_error(const struct io_tls *t); /* "" = none */
