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
uint32_t crypto_crc32c(struct span bytes); /* Castagnoli, as the purge log's records carry */
/* Of what `crc` is the sum of, followed by `bytes`. */
uint32_t crypto_crc32c_add(uint32_t crc, struct span bytes);
/* RFC 4648 4: padded, canonical, nothing else. ERR_SYNTAX, ERR_LIMIT. */
NODISCARD enum err crypto_base64_decode(struct span text, uint8_t *out, size_t room,
                                        size_t *out_len);
