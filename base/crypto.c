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

uint32_t crypto_crc32c(struct span bytes)
{
    return crypto_crc32c_add(0, bytes);
}

uint32_t crypto_crc32c_add(uint32_t crc, struct span bytes)
{
    /* Half an octet at a time, polynomial 0x82f63b78 (reflected). */
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    crc = ~crc;
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (uint8_t)bytes.ptr[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
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
