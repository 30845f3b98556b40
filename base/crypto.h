/* base/crypto.h - random bytes, HKDF, HMAC, AEAD and comparing in constant time (door to
 * libcrypto; TLS has its own in node/io).
 *
 * Thread: any. Errors: ERR_LIB; must() for random bytes (a node without them may not run).
 */
#pragma once

#include "base/span.h"

void crypto_random(void *out, size_t len);
uint64_t crypto_random_u64(void);
bool crypto_equal(struct span a, struct span b); /* constant time for equal lengths */
NODISCARD enum err crypto_sha256(struct span bytes, uint8_t out[32]);
NODISCARD enum err crypto_hmac_sha256(struct span key, struct span bytes, uint8_t out[32]);
NODISCARD enum err crypto_hkdf_sha256(struct span secret, struct span salt, struct span info,
                                      uint8_t *out, size_t len);
#define CRYPTO_GCM_NONCE 12
#define CRYPTO_GCM_TAG 16
/* AES-GCM; the key's length (16, 24 or 32 bytes) says which AES. `out` takes as many bytes as
 * are given, and may be where they stand. ERR_REFUSED: another length of key; when opening,
 * also a tag that does not fit (then `out` holds nothing of use). */
NODISCARD enum err crypto_gcm_seal(struct span key, const uint8_t nonce[CRYPTO_GCM_NONCE],
                                   struct span aad, struct span plain, uint8_t *out,
                                   uint8_t out_tag[CRYPTO_GCM_TAG]);
NODISCARD enum err crypto_gcm_open(struct span key, const uint8_t nonce[CRYPTO_GCM_NONCE],
                                   struct span aad, struct span sealed,
                                   const uint8_t tag[CRYPTO_GCM_TAG], uint8_t *out);
uint32_t crypto_crc32c(struct span bytes); /* Castagnoli, as the purge log's records carry */
/* Of what `crc` is the sum of, followed by `bytes`. */
uint32_t crypto_crc32c_add(uint32_t crc, struct span bytes);
/* RFC 4648 4: padded, canonical, nothing else. ERR_SYNTAX, ERR_LIMIT. */
NODISCARD enum err crypto_base64_decode(struct span text, uint8_t *out, size_t room,
                                        size_t *out_len);
/* The text without a NUL; ERR_LIMIT. */
NODISCARD enum err crypto_base64_encode(struct span bytes, char *out, size_t room,
                                        size_t *out_len);
