/* Session tickets: OpenSSL makes and opens them, we say with which key.
 *
 * Those of TLS 1.3 of a node with the cluster's secret: a key of secret and hour, so that every
 * node opens them; with forward secrecy all the same, since a resumed TLS 1.3 session exchanges
 * keys anew. Those of TLS 1.2, which does not, and of a node alone: a key of this process. A
 * ticket of the cluster says the secret's hint and the hour. */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/crypto.h"
#include "node/io/tls_core.h"

#define NAME_BYTES 16 /* OpenSSL's */
#define IV_BYTES 16
#define HINT_BYTES 8
#define HOUR_S 3600
#define HOURS_BACK 2  /* a ticket lives two hours at most (SSL_CTX_set_timeout) */
#define HOURS_AHEAD 1 /* another node's clock */
#define KEY_WORD "ticket"
#define HINT_WORD "ticket hint"

struct keys {
    uint8_t aes[32], mac[32];
};

struct io_tls_tickets {
    struct io_secrets *secrets; /* held */
    uint8_t hints[IO_SECRETS_MAX][HINT_BYTES];
};

static struct {
    uint8_t name[NAME_BYTES];
    struct keys keys;
} of_process;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void draw(void)
{
    crypto_random(&of_process, sizeof of_process);
}

static void put_u64(uint8_t out[8], uint64_t value)
{
    for (int i = 7; i >= 0; i--, value >>= 8)
        out[i] = (uint8_t)value;
}

static uint64_t get_u64(const uint8_t in[8])
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | in[i];
    return value;
}

static void derive(const struct io_tls_tickets *k, unsigned secret, uint64_t hour,
                   struct keys *out)
{
    uint8_t info[sizeof KEY_WORD - 1 + 8];
    memcpy(info, KEY_WORD, sizeof KEY_WORD - 1);
    put_u64(info + sizeof KEY_WORD - 1, hour);
    must(crypto_hkdf_sha256(io_secrets_at(k->secrets, secret), SPAN(""),
                            span_of(info, sizeof info), (uint8_t *)out, sizeof *out) == ERR_OK);
}

static uint64_t hour_now(void)
{
    return (uint64_t)time(NULL) / HOUR_S;
}

/* False: not a ticket of ours, or too old. */
static bool find(const struct io_tls_tickets *k, const uint8_t name[NAME_BYTES],
                 struct keys *out, bool *out_renew)
{
    uint64_t hour = get_u64(name + HINT_BYTES), now = hour_now();
    *out_renew = false;
    if (!k || hour + HOURS_BACK < now || hour > now + HOURS_AHEAD)
        return false;
    for (unsigned i = 0; i < io_secrets_count(k->secrets); i++) {
        if (memcmp(k->hints[i], name, HINT_BYTES) != 0)
            continue;
        derive(k, i, hour, out);
        *out_renew = i != 0 || hour != now;
        return true;
    }
    return false;
}

static bool use(const struct keys *keys, const uint8_t *iv, EVP_CIPHER_CTX *cipher,
                EVP_MAC_CTX *mac, int encrypt)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY,
                                                             (void *)(uintptr_t)keys->mac,
                                                             sizeof keys->mac),
                           OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, keys->aes, iv, encrypt) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int make(const struct io_tls_tickets *k, uint8_t *name, uint8_t *iv,
                EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    struct keys keys = of_process.keys;
    memcpy(name, of_process.name, NAME_BYTES);
    if (k) {
        uint64_t hour = hour_now();
        memcpy(name, k->hints[0], HINT_BYTES);
        put_u64(name + HINT_BYTES, hour);
        derive(k, 0, hour, &keys);
    }
    crypto_random(iv, IV_BYTES);
    bool good = use(&keys, iv, cipher, mac, 1);
    OPENSSL_cleanse(&keys, sizeof keys);
    return good ? 1 : -1;
}

static int open(const struct io_tls_tickets *k, const uint8_t *name, const uint8_t *iv,
                EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    struct keys keys;
    bool renew = false;
    if (memcmp(name, of_process.name, NAME_BYTES) == 0)
        keys = of_process.keys;
    else if (!find(k, name, &keys, &renew))
        return 0; /* a whole handshake, and a new ticket */
    bool good = use(&keys, iv, cipher, mac, 0);
    OPENSSL_cleanse(&keys, sizeof keys);
    return !good ? -1 : renew ? 2 : 1;
}

/* OpenSSL's: 1 use, 2 use and renew, 0 no such key, -1 failure. */
static int on_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                  EVP_MAC_CTX *mac, int encrypt)
{
    const struct io_tls *t = SSL_get_app_data(ssl);
    const struct io_tls_tickets *k =
        SSL_version(ssl) == TLS1_3_VERSION ? t->context->tickets : NULL;
    return encrypt ? make(k, name, iv, cipher, mac) : open(k, name, iv, cipher, mac);
}

void io_tls_tickets_set(SSL_CTX *x)
{
    must(pthread_once(&once, draw) == 0);
    must(SSL_CTX_set_tlsext_ticket_key_evp_cb(x, on_key) == 1);
    (void)SSL_CTX_set_timeout(x, HOURS_BACK * HOUR_S);
}

struct io_tls_tickets *io_tls_tickets_create(struct io_secrets *secrets)
{
    if (!secrets)
        return NULL;
    struct io_tls_tickets *k = must_alloc(sizeof *k);
    k->secrets = io_secrets_hold(secrets);
    for (unsigned i = 0; i < io_secrets_count(secrets); i++)
        must(crypto_hkdf_sha256(io_secrets_at(secrets, i), SPAN(""), SPAN(HINT_WORD),
                                k->hints[i], HINT_BYTES) == ERR_OK);
    return k;
}

void io_tls_tickets_destroy(struct io_tls_tickets *k)
{
    if (!k)
        return;
    io_secrets_drop(k->secrets);
    free(k);
}
