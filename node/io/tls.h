/* node/io/tls.h - TLS contexts and one TLS connection (door to libssl).
 *
 * TLS 1.2 and 1.3, ALPN, SNI to a certificate of io/certs.h, session tickets bound to the SNI
 * name (a ticket of one name never resumes a session for another), one ticket per handshake,
 * RELEASE_BUFFERS, one shared BIO per loop (floor.md, sketch 1).
 *
 * Thread: contexts are read-only once made and counted; a connection belongs to its loop.
 */
#pragma once

#include "base/snapshot.h"
#include "base/span.h"
#include "conf/conf.h"

struct io_certs;
struct io_tls_context;

/* For a listener. `certs` is counted. Faults (unreadable key, no match) go into the list with
 * the place of the setting. NULL on error. */
struct io_tls_context *io_tls_server_create(const struct conf_listener *l,
                                            struct io_certs *certs, struct conf_faults *faults);
/* A server context for the admin listener. */
struct io_tls_context *io_tls_admin_create(const struct conf_admin *a,
                                           struct conf_faults *faults);
/* Towards an origin: verify by `ca` file or the system's store; ALPN http/1.1. */
struct io_tls_context *io_tls_client_create(const char *ca, bool verify,
                                            struct conf_place place, struct conf_faults *faults);
struct io_tls_context *io_tls_context_hold(struct io_tls_context *t);
void io_tls_context_drop(struct io_tls_context *t); /* NULL ok */
