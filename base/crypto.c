#include "base/crypto.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

void crypto_random(void *out, size_t len)
{
    must(len <= INT32_MAX);
    must(RAND_bytes(out, (int)len) == 1);
}

uint64_t crypto_random_u64(void)
{
    uint64_t value;
    crypto_random(&value, sizeof(value));
    return value;
}

bool crypto_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}

enum err crypto_sha256(struct span bytes, uint8_t out[32])
{
    if (EVP_Digest(bytes.ptr, bytes.len, out, NULL, EVP_sha256(), NULL) != 1)
        return ERR_LIB;
    return ERR_OK;
}

enum err crypto_hmac_sha256(struct span key, struct span bytes, uint8_t out[32])
{
    /* A NULL key would mean "the key of before" to the library. */
    const char *key_ptr = key.len ? key.ptr : "";
    must(key.len <= INT32_MAX);
    if (!HMAC(EVP_sha256(), key_ptr, (int)key.len, (const unsigned char *)bytes.ptr, bytes.len,
              out, NULL))
        return ERR_LIB;
    return ERR_OK;
}

static OSSL_PARAM octets(const char *name, struct span bytes)
{
    /* The library reads only; its type has no const. */
    void *ptr = (void *)(uintptr_t)(bytes.len ? bytes.ptr : "");
    return OSSL_PARAM_construct_octet_string(name, ptr, bytes.len);
}

enum err crypto_hkdf_sha256(struct span secret, struct span salt, struct span info,
                            uint8_t *out, size_t len)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        octets(OSSL_KDF_PARAM_KEY, secret),
        octets(OSSL_KDF_PARAM_SALT, salt),
        octets(OSSL_KDF_PARAM_INFO, info),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    bool ok = context && EVP_KDF_derive(context, out, len, params) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return ok ? ERR_OK : ERR_LIB;
}

/* A context for this key and nonce, after the AAD; NULL with *out_err set. */
static EVP_CIPHER_CTX *gcm_start(struct span key, const uint8_t *nonce, struct span aad,
                                 bool seal, enum err *out_err)
{
    const EVP_CIPHER *cipher = key.len == 16   ? EVP_aes_128_gcm()
                               : key.len == 24 ? EVP_aes_192_gcm()
                               : key.len == 32 ? EVP_aes_256_gcm()
                                               : NULL;
    int len;
    must(aad.len <= INT32_MAX);
    *out_err = cipher ? ERR_LIB : ERR_REFUSED;
    EVP_CIPHER_CTX *context = cipher ? EVP_CIPHER_CTX_new() : NULL;
    if (context &&
        (EVP_CipherInit_ex(context, cipher, NULL, (const unsigned char *)key.ptr, nonce,
                           seal) != 1 ||
         (aad.len > 0 && EVP_CipherUpdate(context, NULL, &len, (const unsigned char *)aad.ptr,
                                          (int)aad.len) != 1))) {
        EVP_CIPHER_CTX_free(context);
        context = NULL;
    }
    return context;
}

static bool gcm_update(EVP_CIPHER_CTX *context, struct span in, uint8_t *out)
{
    int len = 0;
    must(in.len <= INT32_MAX);
    return in.len == 0 || (EVP_CipherUpdate(context, out, &len, (const unsigned char *)in.ptr,
                                            (int)in.len) == 1 &&
                           (size_t)len == in.len);
}

enum err crypto_gcm_seal(struct span key, const uint8_t nonce[CRYPTO_GCM_NONCE],
                         struct span aad, struct span plain, uint8_t *out,
                         uint8_t out_tag[CRYPTO_GCM_TAG])
{
    enum err err;
    int len;
    uint8_t none[CRYPTO_GCM_TAG]; /* the last step of GCM gives no bytes */
    EVP_CIPHER_CTX *context = gcm_start(key, nonce, aad, true, &err);
    if (!context)
        return err;
    bool ok = gcm_update(context, plain, out) && EVP_CipherFinal_ex(context, none, &len) == 1 &&
              EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, CRYPTO_GCM_TAG, out_tag) == 1;
    EVP_CIPHER_CTX_free(context);
    return ok ? ERR_OK : ERR_LIB;
}

enum err crypto_gcm_open(struct span key, const uint8_t nonce[CRYPTO_GCM_NONCE],
                         struct span aad, struct span sealed, const uint8_t tag[CRYPTO_GCM_TAG],
                         uint8_t *out)
{
    enum err err;
    int len;
    uint8_t none[CRYPTO_GCM_TAG], wanted[CRYPTO_GCM_TAG];
    memcpy(wanted, tag, sizeof(wanted)); /* the library's type has no const */
    EVP_CIPHER_CTX *context = gcm_start(key, nonce, aad, false, &err);
    if (!context)
        return err;
    if (gcm_update(context, sealed, out) &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, CRYPTO_GCM_TAG, wanted) == 1)
        err = EVP_CipherFinal_ex(context, none, &len) == 1 ? ERR_OK : ERR_REFUSED;
    EVP_CIPHER_CTX_free(context);
    return err;
}

uint32_t crypto_crc32c(struct span bytes)
{
    return crypto_crc32c_add(0, bytes);
}

/* Half an octet at a time, polynomial 0x82f63b78 (reflected). */
static uint32_t crc32c_plain(uint32_t crc, struct span bytes)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (uint8_t)bytes.ptr[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}

#ifdef __x86_64__
/* The processor has it as an instruction since 2008; twenty times as fast. */
__attribute__((target("sse4.2"))) static uint32_t crc32c_fast(uint32_t crc, struct span bytes)
{
    uint64_t word, wide = crc;
    size_t at = 0;
    for (; bytes.len - at >= sizeof word; at += sizeof word) {
        memcpy(&word, bytes.ptr + at, sizeof word);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; at < bytes.len; at++)
        crc = __builtin_ia32_crc32qi(crc, (unsigned char)bytes.ptr[at]);
    return crc;
}
#endif

uint32_t crypto_crc32c_add(uint32_t crc, struct span bytes)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc32c_fast(~crc, bytes);
#endif
    return ~crc32c_plain(~crc, bytes);
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

enum err crypto_base64_decode(struct span text, uint8_t *out, size_t room, size_t *out_len)
{
    size_t at = 0;
    uint32_t bits = 0;
    unsigned held = 0;
    if (text.len % 4 != 0)
        return ERR_SYNTAX;
    for (int pads = 0; pads < 2 && span_ends(text, SPAN("=")); pads++)
        text.len--;
    for (size_t i = 0; i < text.len; i++) {
        int value = base64_value(text.ptr[i]);
        if (value < 0)
            return ERR_SYNTAX;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        if (at == room)
            return ERR_LIMIT;
        out[at++] = (uint8_t)(bits >> held);
        bits &= (1u << held) - 1;
    }
    if (bits != 0 || held >= 6)
        return ERR_SYNTAX; /* one text for one value: RFC 4648 3.5 */
    *out_len = at;
    return ERR_OK;
}

enum err crypto_base64_encode(struct span bytes, char *out, size_t room, size_t *out_len)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t at = 0;
    if (bytes.len > SIZE_MAX / 2 || (bytes.len + 2) / 3 * 4 > room)
        return ERR_LIMIT;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t given = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t bits = 0;
        for (size_t k = 0; k < given; k++)
            bits |= (uint32_t)(uint8_t)bytes.ptr[i + k] << (16 - 8 * k);
        for (size_t k = 0; k <= given; k++)
            out[at++] = digits[bits >> (18 - 6 * k) & 63];
        for (size_t k = given; k < 3; k++)
            out[at++] = '=';
    }
    *out_len = at;
    return ERR_OK;
}
