/* node/io/tls_core.h - the inside of TLS contexts and connections, for tls*.c alone.
 *
 * tls.c: contexts with certificates, one connection. tls_peer.c: contexts between nodes.
 * tls_tickets.c: keys of session tickets.
 *
 * Thread: see tls.h.
 */
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "node/io/tls.h"
#include "node/io/tls_peer.h"

struct io_tls_peer;    /* what a context between nodes knows */
struct io_tls_tickets; /* keys that all nodes have */

struct io_tls_context {
    struct snapshot counted;
    bool server, verify;
    struct io_certs *certs; /* NULL for clients and between nodes */
    SSL_CTX **of;           /* one per certificate; [0] is the default and makes the SSLs */
    uint32_t count;
    unsigned char alpn[16]; /* length-prefixed names, best first */
    unsigned alpn_len;
    char *listener;                 /* tickets of one listener are not for another */
    struct io_tls_tickets *tickets; /* NULL: this process's own key */
    struct io_tls_peer *peer;       /* NULL: with certificates */
};

struct io_tls {
    SSL *ssl;
    struct io_tls_context *context;
    struct io_tls_scratch *scratch;
    char *name;        /* SNI in lower case, who we verify, or the other node; NULL: none */
    const char *error; /* static, or OpenSSL's */
};

struct io_tls_context *io_tls_context_create(bool server, uint32_t count);
/* What all ends share; tls_min: 12 or 13. */
void io_tls_context_set(SSL_CTX *x, int tls_min);
/* SSL_CTX_set_alpn_select_cb's, with the context. */
int io_tls_context_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                        const unsigned char *theirs, unsigned theirs_len, void *context);

/* Which keys a server's tickets are made and opened with. */
void io_tls_tickets_set(SSL_CTX *x);
struct io_tls_tickets *io_tls_tickets_create(struct io_secrets *secrets); /* NULL for NULL */
void io_tls_tickets_destroy(struct io_tls_tickets *k);                    /* NULL ok */

void io_tls_peer_destroy(struct io_tls_peer *p); /* NULL ok */
/* Is `name` a node that can be asked for? */
bool io_tls_peer_may_connect(struct span name);
/* After a handshake that OpenSSL finds good: was it with our key, and h2? Names the other node
 * in t->name; false: t->error says why not. */
bool io_tls_peer_check(struct io_tls *t);
