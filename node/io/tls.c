#include "node/io/tls.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/counter.h"
#include "base/crypto.h"
#include "node/io/certs.h"
#include "node/io/tls_core.h"

#define NAME_MAX_BYTES 255

/* ---- one BIO for all connections of a loop */

static int scratch_read(BIO *b, char *out, int room)
{
    struct io_tls_scratch *s = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (s->in.len == 0) {
        BIO_set_retry_read(b);
        return -1;
    }
    size_t n = room > 0 && (size_t)room < s->in.len ? (size_t)room : s->in.len;
    memcpy(out, s->in.ptr, n);
    s->in = span_from(s->in, n);
    return (int)n;
}

static int scratch_write(BIO *b, const char *bytes, int len)
{
    struct io_tls_scratch *s = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (len < 0 || (size_t)len > s->out_room - s->out_len)
        return -1; /* no retry: the caller has checked the room, so this is an attack */
    memcpy(s->out + s->out_len, bytes, (size_t)len);
    s->out_len += (size_t)len;
    return len;
}

static long scratch_ctrl(BIO *b, int command, long number, void *ptr)
{
    (void)b, (void)number, (void)ptr;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *scratch_method;
static pthread_once_t process_once = PTHREAD_ONCE_INIT;

/* Written once, before any loop runs. */
static void process_init(void)
{
    scratch_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "loop scratch");
    must(scratch_method && BIO_meth_set_read(scratch_method, scratch_read) &&
         BIO_meth_set_write(scratch_method, scratch_write) &&
         BIO_meth_set_ctrl(scratch_method, scratch_ctrl));
}

void io_tls_scratch_init(struct io_tls_scratch *s)
{
    must(pthread_once(&process_once, process_init) == 0);
    s->bio = BIO_new(scratch_method);
    must(s->bio);
    BIO_set_data(s->bio, s);
    BIO_set_init(s->bio, 1);
}

void io_tls_scratch_fini(struct io_tls_scratch *s)
{
    BIO_free(s->bio);
    s->bio = NULL;
}

/* ---- server: who is asked for, what is spoken, which ticket counts */

/* RFC 6066 3: the first host_name of the extension, in lower case; NULL: none or odd. */
static char *read_server_name(SSL *ssl)
{
    const unsigned char *ext;
    size_t len;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len) != 1 || len < 5)
        return NULL;
    size_t list = (size_t)ext[0] << 8 | ext[1], name = (size_t)ext[3] << 8 | ext[4];
    if (list != len - 2 || ext[2] != TLSEXT_NAMETYPE_host_name || name > len - 5 || name == 0 ||
        name > NAME_MAX_BYTES || memchr(ext + 5, 0, name))
        return NULL;
    char *text = malloc(name + 1);
    if (!text)
        return NULL;
    for (size_t i = 0; i < name; i++) {
        char c = (char)ext[5 + i];
        text[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
    }
    text[name] = 0;
    return text;
}

/* Before anything else of a ClientHello is looked at, tickets too. */
static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    struct io_tls_context *c = arg;
    struct io_tls *t = SSL_get_app_data(ssl);
    if (t->name) /* the second ClientHello after a HelloRetryRequest */
        return SSL_CLIENT_HELLO_SUCCESS;
    t->name = read_server_name(ssl);
    if (t->name) {
        uint32_t index = io_certs_find(c->certs, span_text(t->name));
        if (index > 0)
            SSL_set_SSL_CTX(ssl, c->of[index]);
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* Tells OpenSSL that the name was understood (RFC 6066 3); the choice is made already. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    (void)alert, (void)arg;
    const struct io_tls *t = SSL_get_app_data(ssl);
    return t->name ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/* RFC 7301 3.2: no common protocol is a fatal alert. */
int io_tls_context_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                        const unsigned char *theirs, unsigned theirs_len, void *context)
{
    (void)ssl;
    const struct io_tls_context *c = context;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_len, c->alpn, c->alpn_len, theirs, theirs_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* What a ticket is bound to: the listener and the name that was asked for. */
static size_t ticket_binding(const struct io_tls *t, char out[2 * NAME_MAX_BYTES + 2])
{
    int n = snprintf(out, 2 * NAME_MAX_BYTES + 2, "%.*s/%s", NAME_MAX_BYTES,
                     t->context->listener, t->name ? t->name : "");
    return (size_t)n;
}

static int on_ticket_made(SSL *ssl, void *arg)
{
    (void)arg;
    char binding[2 * NAME_MAX_BYTES + 2];
    size_t len = ticket_binding(SSL_get_app_data(ssl), binding);
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), binding, len);
}

static SSL_TICKET_RETURN on_ticket_shown(SSL *ssl, SSL_SESSION *session,
                                         const unsigned char *key_name, size_t key_name_len,
                                         SSL_TICKET_STATUS status, void *arg)
{
    (void)key_name, (void)key_name_len, (void)arg;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    char binding[2 * NAME_MAX_BYTES + 2];
    size_t len = ticket_binding(SSL_get_app_data(ssl), binding), shown_len = 0;
    void *shown = NULL;
    if (SSL_SESSION_get0_ticket_appdata(session, &shown, &shown_len) != 1 ||
        !span_equal(span_of(shown, shown_len), span_of(binding, len)))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

/* ---- contexts */

static void destroy(struct snapshot *s)
{
    struct io_tls_context *c = CONTAINER_OF(s, struct io_tls_context, counted);
    for (uint32_t i = 0; i < c->count; i++)
        SSL_CTX_free(c->of[i]);
    free(c->of);
    io_certs_drop(c->certs);
    io_tls_peer_destroy(c->peer);
    io_tls_tickets_destroy(c->tickets);
    free(c->listener);
    free(c);
}

struct io_tls_context *io_tls_context_hold(struct io_tls_context *t)
{
    snapshot_hold(&t->counted);
    return t;
}

void io_tls_context_drop(struct io_tls_context *t)
{
    if (t)
        snapshot_drop(&t->counted);
}

struct io_tls_context *io_tls_context_create(bool server, uint32_t count)
{
    must(pthread_once(&process_once, process_init) == 0);
    struct io_tls_context *c = must_alloc(sizeof(*c));
    snapshot_init(&c->counted, destroy);
    c->server = server;
    c->count = count;
    c->of = must_alloc(count * sizeof(SSL_CTX *));
    for (uint32_t i = 0; i < count; i++) {
        c->of[i] = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
        must(c->of[i]);
    }
    return c;
}

/* What both ends share: forward secrecy and AEAD only, two groups, nothing of the old days.
 * AES-128 first: as strong as the rest of the handshake, and a third cheaper per byte. */
void io_tls_context_set(SSL_CTX *x, int tls_min)
{
    must(SSL_CTX_set_min_proto_version(x, tls_min >= 13 ? TLS1_3_VERSION : TLS1_2_VERSION));
    must(SSL_CTX_set_cipher_list(x, "ECDHE+AESGCM:ECDHE+CHACHA20"));
    must(SSL_CTX_set_ciphersuites(x, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                     "TLS_CHACHA20_POLY1305_SHA256"));
    must(SSL_CTX_set1_groups_list(x, "X25519:P-256"));
    SSL_CTX_set_options(x, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(x, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_clear_mode(x, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_OFF);
}

static struct io_tls_context *server_create(const char *listener, int tls_min, bool h2, bool h1,
                                            struct io_certs *certs, struct conf_faults *faults)
{
    uint32_t count = io_certs_count(certs);
    struct io_tls_context *c = io_tls_context_create(true, count);
    c->certs = io_certs_hold(certs);
    c->listener = span_dup(span_text(listener));
    if (h2) {
        memcpy(c->alpn + c->alpn_len, "\x02h2", 3);
        c->alpn_len += 3;
    }
    if (h1) {
        memcpy(c->alpn + c->alpn_len, "\x08http/1.1", 9);
        c->alpn_len += 9;
    }
    bool good = true;
    for (uint32_t i = 0; i < count; i++) {
        SSL_CTX *x = c->of[i];
        io_tls_context_set(x, tls_min);
        SSL_CTX_set_num_tickets(x, 1);
        io_tls_tickets_set(x);
        must(SSL_CTX_set_session_ticket_cb(x, on_ticket_made, on_ticket_shown, NULL) == 1);
        SSL_CTX_set_client_hello_cb(x, on_client_hello, c);
        SSL_CTX_set_tlsext_servername_callback(x, on_server_name);
        SSL_CTX_set_alpn_select_cb(x, io_tls_context_alpn, c);
        good = io_certs_use(certs, i, x, faults) && good;
    }
    if (good)
        return c;
    io_tls_context_drop(c);
    return NULL;
}

struct io_tls_context *io_tls_server_create(const struct conf_listener *l,
                                            struct io_certs *certs, struct io_secrets *tickets,
                                            struct conf_faults *faults)
{
    struct io_tls_context *c = server_create(l->name, l->tls_min, l->h2, l->h1, certs, faults);
    if (c)
        c->tickets = io_tls_tickets_create(tickets);
    return c;
}

struct io_tls_context *io_tls_admin_create(const struct conf_admin *a,
                                           struct conf_faults *faults)
{
    const struct conf_certificate one = {.cert = a->cert, .key = a->key, .place = a->place};
    struct io_certs *certs = io_certs_create(&one, 1, faults);
    if (!certs)
        return NULL;
    struct io_tls_context *c = server_create("admin", 12, false, true, certs, faults);
    io_certs_drop(certs);
    return c;
}

struct io_tls_context *io_tls_client_create(const char *ca, bool verify,
                                            struct conf_place place, struct conf_faults *faults)
{
    struct io_tls_context *c = io_tls_context_create(false, 1);
    SSL_CTX *x = c->of[0];
    c->verify = verify;
    io_tls_context_set(x, 12);
    must(SSL_CTX_set_alpn_protos(x, (const unsigned char *)"\x08http/1.1", 9) == 0);
    SSL_CTX_set_verify(x, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    if (!verify)
        return c;
    int loaded =
        ca && *ca ? SSL_CTX_load_verify_file(x, ca) : SSL_CTX_set_default_verify_paths(x);
    ERR_clear_error();
    if (loaded == 1)
        return c;
    conf_fault_add(faults, place, "cannot read certificate authorities from %s",
                   ca && *ca ? ca : "the system's store");
    io_tls_context_drop(c);
    return NULL;
}

/* ---- one connection */

static struct io_tls *connection_create(struct io_tls_context *c, struct io_tls_scratch *s)
{
    struct io_tls *t = calloc(1, sizeof(*t));
    SSL *ssl = t ? SSL_new(c->of[0]) : NULL;
    if (!ssl) {
        ERR_clear_error();
        free(t);
        return NULL;
    }
    t->ssl = ssl;
    t->context = io_tls_context_hold(c);
    t->scratch = s;
    t->error = "";
    SSL_set_app_data(ssl, t);
    must(BIO_up_ref(s->bio));
    SSL_set_bio(ssl, s->bio, s->bio);
    return t;
}

struct io_tls *io_tls_accept(struct io_tls_context *c, struct io_tls_scratch *s)
{
    must(c->server);
    struct io_tls *t = connection_create(c, s);
    if (t)
        SSL_set_accept_state(t->ssl);
    return t;
}

static bool is_address(const char *text)
{
    unsigned char ip[16];
    return inet_pton(AF_INET, text, ip) == 1 || inet_pton(AF_INET6, text, ip) == 1;
}

/* The certificate must be this name's; it is asked for by SNI, unless it is an address. */
static bool expect_name(struct io_tls *t)
{
    X509_VERIFY_PARAM *p = SSL_get0_param(t->ssl);
    X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (is_address(t->name))
        return X509_VERIFY_PARAM_set1_ip_asc(p, t->name) == 1;
    return X509_VERIFY_PARAM_set1_host(p, t->name, 0) == 1 &&
           SSL_set_tlsext_host_name(t->ssl, t->name) == 1;
}

struct io_tls *io_tls_connect(struct io_tls_context *c, struct io_tls_scratch *s,
                              const char *server_name)
{
    must(!c->server);
    struct io_tls *t = connection_create(c, s);
    if (!t)
        return NULL;
    SSL_set_connect_state(t->ssl);
    bool good = true;
    if (server_name && *server_name) {
        t->name = span_dup(span_text(server_name));
        good = c->peer ? io_tls_peer_may_connect(span_text(t->name)) : expect_name(t);
    }
    /* Verification without a name would take anybody's certificate. */
    if (good && ((!c->verify && !c->peer) || t->name))
        return t;
    ERR_clear_error();
    io_tls_destroy(t);
    return NULL;
}

void io_tls_destroy(struct io_tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    io_tls_context_drop(t->context);
    free(t->name);
    free(t);
}

static enum err translate(struct io_tls *t, int result)
{
    switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_NONE:
        return ERR_OK;
    case SSL_ERROR_WANT_READ:
        return ERR_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return ERR_CLOSED;
    default:
        break;
    }
    long verified = SSL_get_verify_result(t->ssl);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    if (t->context->verify && verified != X509_V_OK)
        t->error = X509_verify_cert_error_string(verified);
    else if (!t->context->peer || !*t->error)
        t->error = reason ? reason : "TLS failed";
    ERR_clear_error();
    return ERR_LIB;
}

static void count_handshake(const struct io_tls *t, enum err e)
{
    bool reused = SSL_session_reused(t->ssl);
    if (!t->context->server || e == ERR_AGAIN)
        return;
    if (t->context->peer)
        counter_add(e == ERR_OK ? COUNTER_PEER_HANDSHAKES : COUNTER_PEER_HANDSHAKES_FAILED, 1);
    else if (e == ERR_OK)
        counter_add(reused ? COUNTER_TLS_RESUMED : COUNTER_TLS_HANDSHAKES, 1);
    else if (e == ERR_LIB)
        counter_add(COUNTER_TLS_FAILED, 1);
}

enum err io_tls_handshake(struct io_tls *t)
{
    ERR_clear_error();
    enum err e = translate(t, SSL_do_handshake(t->ssl));
    if (e == ERR_OK && t->context->peer && !io_tls_peer_check(t))
        e = ERR_LIB;
    count_handshake(t, e);
    return e == ERR_CLOSED ? ERR_LIB : e;
}

enum err io_tls_read(struct io_tls *t, char *out, size_t room, size_t *out_len)
{
    if (t->scratch->in.len == 0 && !SSL_has_pending(t->ssl))
        return ERR_AGAIN;
    ERR_clear_error();
    for (;;) {
        size_t before = t->scratch->in.len;
        enum err e = translate(t, SSL_read_ex(t->ssl, out, room, out_len));
        /* Without AUTO_RETRY a record that held no data (a ticket, a KeyUpdate) also ends the
         * call: go on while there is input. */
        if (e != ERR_AGAIN || t->scratch->in.len == 0 || t->scratch->in.len == before)
            return e;
    }
}

static enum err write_record(struct io_tls *t, struct span bytes)
{
    size_t written;
    ERR_clear_error();
    enum err e = translate(t, SSL_write_ex(t->ssl, bytes.ptr, bytes.len, &written));
    return e == ERR_OK && written == bytes.len ? ERR_OK : ERR_LIB;
}

enum err io_tls_write(struct io_tls *t, const struct span *spans, size_t count, char *gather)
{
    size_t have = 0;
    enum err e = ERR_OK;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        bool last = i + 1 == count;
        struct span rest = spans[i];
        while (rest.len > 0 && e == ERR_OK) {
            size_t n = IO_TLS_RECORD_BYTES - have;
            if (have == 0 && (rest.len >= n || last)) {
                /* Not copied: all of the last span; of the others, full records. */
                n = last ? rest.len : rest.len - rest.len % IO_TLS_RECORD_BYTES;
                e = write_record(t, span_until(rest, n));
            } else {
                n = n < rest.len ? n : rest.len;
                memcpy(gather + have, rest.ptr, n);
                have += n;
                if (have == IO_TLS_RECORD_BYTES) {
                    e = write_record(t, span_of(gather, have));
                    have = 0;
                }
            }
            rest = span_from(rest, n);
        }
    }
    return e == ERR_OK && have > 0 ? write_record(t, span_of(gather, have)) : e;
}

void io_tls_shut(struct io_tls *t)
{
    ERR_clear_error();
    if (SSL_is_init_finished(t->ssl) && SSL_shutdown(t->ssl) < 0)
        ERR_clear_error();
}

bool io_tls_is_h2(const struct io_tls *t)
{
    const unsigned char *chosen;
    unsigned len;
    SSL_get0_alpn_selected(t->ssl, &chosen, &len);
    return span_equal(span_of(chosen, len), SPAN("h2"));
}

const char *io_tls_peer_id(const struct io_tls *t)
{
    return t->context->peer ? t->name : NULL;
}

const char *io_tls_version(const struct io_tls *t)
{
    return SSL_get_version(t->ssl);
}

const char *io_tls_error(const struct io_tls *t)
{
    return t->error;
}
