#include "node/io/tls_peer.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "conf/shape.h"
#include "node/io/tls_core.h"

#define KEY_WORD "peer"
#define HINT_WORD "peer hint"
#define HINT_BYTES (IO_TLS_PEER_HINT_DIGITS / 2)
#define CIPHER                                                                                 \
    "\x13\x01" /* TLS_AES_128_GCM_SHA256: says no more than that the hash is SHA-256 */

struct io_tls_peer {
    struct io_secrets *secrets; /* held */
    char hints[IO_SECRETS_MAX][IO_TLS_PEER_HINT_DIGITS];
    char own[IO_TLS_PEER_ID_MAX];
    size_t own_len;
};

/* ---- identity and key */

static bool is_id(struct span text)
{
    return text.len <= IO_TLS_PEER_ID_MAX && conf_shape_name(text) == NULL;
}

bool io_tls_peer_identity_parse(struct span text, struct io_tls_peer_identity *out)
{
    struct io_tls_peer_identity i;
    size_t at;
    uint64_t hint;
    if (text.len > IO_TLS_PEER_IDENTITY_MAX || !span_find(text, '/', &at))
        return false;
    i.hint = span_until(text, at);
    text = span_from(text, at + 1);
    if (!span_find(text, '/', &at))
        return false;
    i.client = span_until(text, at);
    i.server = span_from(text, at + 1);
    if (i.hint.len != IO_TLS_PEER_HINT_DIGITS || !span_hex_to_u64(i.hint, &hint) ||
        !is_id(i.client) || !is_id(i.server))
        return false;
    *out = i;
    return true;
}

void io_tls_peer_hint(struct span secret, char out[IO_TLS_PEER_HINT_DIGITS])
{
    uint8_t hint[HINT_BYTES];
    must(crypto_hkdf_sha256(secret, SPAN(""), SPAN(HINT_WORD), hint, sizeof hint) == ERR_OK);
    for (size_t i = 0; i < sizeof hint; i++) {
        out[2 * i] = "0123456789abcdef"[hint[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[hint[i] & 15];
    }
}

static size_t put_id(char *out, size_t at, struct span id)
{
    must(id.len > 0 && id.len <= IO_TLS_PEER_ID_MAX);
    out[at++] = (char)id.len;
    memcpy(out + at, id.ptr, id.len);
    return at + id.len;
}

void io_tls_peer_key(struct span secret, struct span client, struct span server,
                     uint8_t out[IO_TLS_PEER_KEY_BYTES])
{
    char info[sizeof KEY_WORD + 2 * (1 + IO_TLS_PEER_ID_MAX)] = KEY_WORD;
    size_t len = sizeof KEY_WORD - 1;
    len = put_id(info, len, client);
    len = put_id(info, len, server);
    must(crypto_hkdf_sha256(secret, SPAN(""), span_of(info, len), out, IO_TLS_PEER_KEY_BYTES) ==
         ERR_OK);
}

/* ---- what OpenSSL asks for */

/* The key as the session of a connection before that never was (RFC 8446 4.2.11); `name`, the
 * client, goes with it, so that it stands and falls with the key. NULL: no memory. */
static SSL_SESSION *make_session(SSL *ssl, const struct io_tls_peer *p, unsigned secret,
                                 struct span client, struct span server)
{
    uint8_t key[IO_TLS_PEER_KEY_BYTES];
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, (const unsigned char *)CIPHER);
    SSL_SESSION *session = SSL_SESSION_new();
    io_tls_peer_key(io_secrets_at(p->secrets, secret), client, server, key);
    if (session && (!cipher || SSL_SESSION_set1_master_key(session, key, sizeof key) != 1 ||
                    SSL_SESSION_set_cipher(session, cipher) != 1 ||
                    SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) != 1 ||
                    SSL_SESSION_set1_ticket_appdata(session, client.ptr, client.len) != 1)) {
        SSL_SESSION_free(session);
        session = NULL;
    }
    OPENSSL_cleanse(key, sizeof key);
    return session;
}

/* Which of our secrets is meant; -1: none. */
static int find_hint(const struct io_tls_peer *p, struct span hint)
{
    for (unsigned i = 0; i < io_secrets_count(p->secrets); i++)
        if (span_equal(span_of(p->hints[i], sizeof p->hints[i]), hint))
            return (int)i;
    return -1;
}

/* Server: a ClientHello offers this identity. No session: then without, and it will fail, since
 * there is no certificate. */
static int find_session(SSL *ssl, const unsigned char *identity, size_t len, SSL_SESSION **out)
{
    struct io_tls *t = SSL_get_app_data(ssl);
    const struct io_tls_peer *p = t->context->peer;
    struct io_tls_peer_identity i;
    int secret = -1;
    *out = NULL;
    if (!io_tls_peer_identity_parse(span_of(identity, len), &i))
        t->error = "an identity that is no node's";
    else if (!span_equal(i.server, span_of(p->own, p->own_len)))
        t->error = "meant for another node";
    else if ((secret = find_hint(p, i.hint)) < 0)
        t->error = "another secret";
    if (secret < 0)
        return 1;
    *out = make_session(ssl, p, (unsigned)secret, i.client, i.server);
    t->error = "";
    return *out != NULL;
}

/* Client: always the first secret. `id` is copied by OpenSSL before anything else happens. */
static int use_session(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_len,
                       SSL_SESSION **out)
{
    static _Thread_local char identity[IO_TLS_PEER_IDENTITY_MAX];
    struct io_tls *t = SSL_get_app_data(ssl);
    const struct io_tls_peer *p = t->context->peer;
    struct span own = span_of(p->own, p->own_len), other = span_text(t->name);
    size_t len = IO_TLS_PEER_HINT_DIGITS;
    *out = NULL;
    if (md && EVP_MD_get_type(md) != NID_sha256) /* after a HelloRetryRequest */
        return 1;
    memcpy(identity, p->hints[0], len);
    identity[len++] = '/';
    memcpy(identity + len, own.ptr, own.len);
    len += own.len;
    identity[len++] = '/';
    memcpy(identity + len, other.ptr, other.len);
    len += other.len;
    *id = (const unsigned char *)identity;
    *id_len = len;
    *out = make_session(ssl, p, 0, own, other);
    return *out != NULL;
}

/* ---- contexts */

void io_tls_peer_destroy(struct io_tls_peer *p)
{
    if (!p)
        return;
    io_secrets_drop(p->secrets);
    free(p);
}

static struct io_tls_context *create(bool server, struct io_secrets *secrets, const char *id)
{
    if (!is_id(span_text(id)))
        return NULL;
    struct io_tls_context *c = io_tls_context_create(server, 1);
    SSL_CTX *x = c->of[0];
    c->peer = must_alloc(sizeof *c->peer);
    c->peer->secrets = io_secrets_hold(secrets);
    c->peer->own_len = strlen(id);
    memcpy(c->peer->own, id, c->peer->own_len);
    for (unsigned i = 0; i < io_secrets_count(secrets); i++)
        io_tls_peer_hint(io_secrets_at(secrets, i), c->peer->hints[i]);
    memcpy(c->alpn, "\x02h2", 3);
    c->alpn_len = 3;
    io_tls_context_set(x, 13);
    must(SSL_CTX_set_max_proto_version(x, TLS1_3_VERSION));
    must(SSL_CTX_set_ciphersuites(x, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"));
    SSL_CTX_set_options(x, SSL_OP_NO_TICKET);
    must(SSL_CTX_set_num_tickets(x, 0));
    return c;
}

struct io_tls_context *io_tls_peer_server_create(struct io_secrets *secrets, const char *id)
{
    struct io_tls_context *c = create(true, secrets, id);
    if (!c)
        return NULL;
    SSL_CTX_set_psk_find_session_callback(c->of[0], find_session);
    SSL_CTX_set_alpn_select_cb(c->of[0], io_tls_context_alpn, c);
    return c;
}

struct io_tls_context *io_tls_peer_client_create(struct io_secrets *secrets, const char *id)
{
    struct io_tls_context *c = create(false, secrets, id);
    if (!c)
        return NULL;
    SSL_CTX_set_psk_use_session_callback(c->of[0], use_session);
    must(SSL_CTX_set_alpn_protos(c->of[0], c->alpn, c->alpn_len) == 0);
    /* There is no authority that we believe: whoever comes with a certificate is refused. */
    SSL_CTX_set_verify(c->of[0], SSL_VERIFY_PEER, NULL);
    return c;
}

/* ---- connections */

bool io_tls_peer_may_connect(struct span name)
{
    return is_id(name);
}

bool io_tls_peer_check(struct io_tls *t)
{
    void *client = NULL;
    size_t len = 0;
    SSL_SESSION *session = SSL_get_session(t->ssl);
    if (SSL_session_reused(t->ssl) != 1 || !session || SSL_version(t->ssl) != TLS1_3_VERSION ||
        SSL_SESSION_get0_ticket_appdata(session, &client, &len) != 1 ||
        !is_id(span_of(client, len))) {
        t->error = "no key was agreed on";
        return false;
    }
    if (!io_tls_is_h2(t)) {
        t->error = "speaks no h2";
        return false;
    }
    if (!t->context->server)
        return true;
    free(t->name);
    t->name = span_dup(span_of(client, len));
    return t->name != NULL;
}
