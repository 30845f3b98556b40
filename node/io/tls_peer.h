/* node/io/tls_peer.h - TLS between nodes: no certificates, one secret for the cluster.
 *
 * TLS 1.3 (RFC 8446) with an external pre-shared key, always with a key exchange (psk_dhe_ke),
 * AES-128-GCM or ChaCha20 with SHA-256; no certificates, no tickets, no early data; ALPN must
 * be h2. The key is HKDF-SHA256(secret, info "peer" | client id | server id), each id behind a
 * byte with its length: another one for each pair and direction, so that a node cannot reflect
 * what it hears. The identity on the wire is text, "<hint>/<client id>/<server id>": the hint
 * (16 hex digits of HKDF(secret, "peer hint")) tells a server which of its secrets is meant.
 * Whoever has the secret can claim to be any node: ids tell nodes apart, the secret keeps
 * others out.
 *
 * Thread: contexts are read-only once made and counted (node/io/tls.h).
 * Errors: a connection without the key fails in its handshake, at both ends.
 */
#pragma once

#include "node/io/secrets.h"
#include "node/io/tls.h"

#define IO_TLS_PEER_ID_MAX 64 /* bytes of a node's id: letters, digits, "_.-" */

/* `secrets` are counted by the context; `id`: this node's own. NULL: the id is no name. */
struct io_tls_context *io_tls_peer_server_create(struct io_secrets *secrets, const char *id);
/* io_tls_connect's server_name is the id of the node that must answer. */
struct io_tls_context *io_tls_peer_client_create(struct io_secrets *secrets, const char *id);

/* The identity and what it says; for the contexts and tests. */
#define IO_TLS_PEER_HINT_DIGITS 16
#define IO_TLS_PEER_IDENTITY_MAX (IO_TLS_PEER_HINT_DIGITS + 2 + 2 * IO_TLS_PEER_ID_MAX)
#define IO_TLS_PEER_KEY_BYTES 32
struct io_tls_peer_identity { /* borrowed from the text */
    struct span hint, client, server;
};
/* False: no identity of ours. Any bytes may be given. */
bool io_tls_peer_identity_parse(struct span text, struct io_tls_peer_identity *out);
void io_tls_peer_hint(struct span secret, char out[IO_TLS_PEER_HINT_DIGITS]);
/* The key of one direction. Ids of 1 to IO_TLS_PEER_ID_MAX bytes. */
void io_tls_peer_key(struct span secret, struct span client, struct span server,
                     uint8_t out[IO_TLS_PEER_KEY_BYTES]);
