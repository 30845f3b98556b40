/* cluster/wire/keyring.h - the keys that gossip is sealed with.
 *
 * The first key seals, every key may open. A blob is a version byte, 12 bytes of nonce, the
 * AES-GCM ciphertext and 16 bytes of tag; version 1 is written, version 0 (padded) is read,
 * too. Rotation: install everywhere, use, remove. An empty ring means gossip in the clear.
 *
 * Thread: one owner. Plain data: may be copied.
 * Limits: WIRE_KEYS_MAX keys of 16, 24 or 32 bytes.
 */
#pragma once

#include "base/cursor.h"

#define WIRE_KEYS_MAX 8
#define WIRE_KEY_BYTES_MAX 32
#define WIRE_KEY_TEXT_MAX 45 /* base64 with its NUL */
#define WIRE_NONCE_BYTES 12
#define WIRE_SEAL_BYTES 29    /* what sealing adds: version, nonce, tag */
#define WIRE_SEAL_PLAIN_AT 13 /* where in a blob the bytes of its plaintext lie */

struct wire_key {
    uint8_t len; /* 16, 24 or 32 */
    uint8_t bytes[WIRE_KEY_BYTES_MAX];
};
struct wire_keyring {
    struct wire_key keys[WIRE_KEYS_MAX]; /* keys[0] seals */
    unsigned count;
};

static inline struct span wire_key_span(const struct wire_key *k)
{
    return span_of(k->bytes, k->len);
}

/* ERR_REFUSED: not 16, 24 or 32 bytes; ERR_LIMIT: the ring is full. A known key is ERR_OK; the
 * first one of an empty ring is in use at once. */
NODISCARD enum err wire_keyring_install(struct wire_keyring *ring, struct span key);
NODISCARD enum err wire_keyring_use(struct wire_keyring *ring, struct span key); /* NOT_FOUND */
/* ERR_REFUSED: the key in use. An unknown key is ERR_OK, as in Serf. */
NODISCARD enum err wire_keyring_remove(struct wire_keyring *ring, struct span key);
bool wire_keyring_has(const struct wire_keyring *ring, struct span key);

NODISCARD enum err wire_key_parse(struct span base64, struct wire_key *out); /* ERR_SYNTAX */
const char *wire_key_print(const struct wire_key *k, char out[WIRE_KEY_TEXT_MAX]);
/* The gossip key of a cluster's secret: HKDF-SHA256(secret, info "gossip"), 32 bytes. */
NODISCARD enum err wire_keyring_derive(struct span secret, struct wire_key *out);

/* Writes the blob of `plain`. The nonce must never come twice under one key: random bytes.
 * The ring is not empty. `plain` may lie in the room of `out`, WIRE_SEAL_PLAIN_AT bytes on.
 * Errors: in `out` (ERR_LIMIT, ERR_LIB). */
void wire_keyring_seal(const struct wire_keyring *ring, const uint8_t nonce[WIRE_NONCE_BYTES],
                       struct span aad, struct span plain, struct cursor *out);
/* Opens a blob into `room` (at least blob.len - WIRE_SEAL_BYTES bytes, not the blob's own).
 * ERR_SYNTAX: no blob by its version or length; ERR_REFUSED: no key opens it; ERR_LIMIT. */
NODISCARD enum err wire_keyring_open(const struct wire_keyring *ring, struct span aad,
                                     struct span blob, uint8_t *room, size_t room_bytes,
                                     struct span *out_plain);
