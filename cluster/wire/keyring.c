#include "cluster/wire/keyring.h"

#include "base/crypto.h"

#define BLOCK 16 /* of AES: what version 0 pads to */

_Static_assert(WIRE_NONCE_BYTES == CRYPTO_GCM_NONCE, "one nonce");
_Static_assert(WIRE_SEAL_BYTES == 1 + CRYPTO_GCM_NONCE + CRYPTO_GCM_TAG, "what a seal adds");

static void check_sane(const struct wire_keyring *ring)
{
    must(ring->count <= WIRE_KEYS_MAX);
}

static bool is_key_length(size_t len)
{
    return len == 16 || len == 24 || len == 32;
}

/* Where the key is; count when it is not. */
static unsigned find(const struct wire_keyring *ring, struct span key)
{
    unsigned i = 0;
    check_sane(ring);
    while (i < ring->count && !crypto_equal(wire_key_span(&ring->keys[i]), key))
        i++;
    return i;
}

bool wire_keyring_has(const struct wire_keyring *ring, struct span key)
{
    return find(ring, key) < ring->count;
}

static void set_key(struct wire_key *k, struct span bytes)
{
    *k = (struct wire_key){.len = (uint8_t)bytes.len};
    memcpy(k->bytes, bytes.ptr, bytes.len);
}

enum err wire_keyring_install(struct wire_keyring *ring, struct span key)
{
    if (!is_key_length(key.len))
        return ERR_REFUSED;
    if (wire_keyring_has(ring, key))
        return ERR_OK;
    if (ring->count == WIRE_KEYS_MAX)
        return ERR_LIMIT;
    set_key(&ring->keys[ring->count++], key);
    return ERR_OK;
}

enum err wire_keyring_use(struct wire_keyring *ring, struct span key)
{
    unsigned at = find(ring, key);
    if (at == ring->count)
        return ERR_NOT_FOUND;
    struct wire_key used = ring->keys[at];
    memmove(&ring->keys[1], &ring->keys[0], at * sizeof(used));
    ring->keys[0] = used;
    return ERR_OK;
}

enum err wire_keyring_remove(struct wire_keyring *ring, struct span key)
{
    unsigned at = find(ring, key);
    if (at == ring->count)
        return ERR_OK;
    if (at == 0)
        return ERR_REFUSED;
    ring->count--;
    memmove(&ring->keys[at], &ring->keys[at + 1], (ring->count - at) * sizeof(ring->keys[0]));
    ring->keys[ring->count] = (struct wire_key){.len = 0};
    return ERR_OK;
}

enum err wire_key_parse(struct span base64, struct wire_key *out)
{
    uint8_t bytes[WIRE_KEY_BYTES_MAX];
    size_t len;
    if (crypto_base64_decode(base64, bytes, sizeof(bytes), &len) != ERR_OK ||
        !is_key_length(len))
        return ERR_SYNTAX;
    set_key(out, span_of(bytes, len));
    return ERR_OK;
}

const char *wire_key_print(const struct wire_key *k, char out[WIRE_KEY_TEXT_MAX])
{
    size_t len = 0;
    must(crypto_base64_encode(wire_key_span(k), out, WIRE_KEY_TEXT_MAX - 1, &len) == ERR_OK);
    out[len] = 0;
    return out;
}

enum err wire_keyring_derive(struct span secret, struct wire_key *out)
{
    uint8_t bytes[32];
    enum err err = crypto_hkdf_sha256(secret, span_of(NULL, 0), SPAN("gossip"), bytes, 32);
    if (err == ERR_OK)
        set_key(out, span_of(bytes, sizeof(bytes)));
    return err;
}

void wire_keyring_seal(const struct wire_keyring *ring, const uint8_t nonce[WIRE_NONCE_BYTES],
                       struct span aad, struct span plain, struct cursor *out)
{
    check_sane(ring);
    must(ring->count > 0);
    if (out->err == ERR_OK &&
        (cursor_left(out) < WIRE_SEAL_BYTES || cursor_left(out) - WIRE_SEAL_BYTES < plain.len))
        out->err = ERR_LIMIT;
    if (out->err != ERR_OK)
        return;
    uint8_t *blob = out->ptr + out->at;
    uint8_t *sealed = blob + WIRE_SEAL_PLAIN_AT;
    out->err = crypto_gcm_seal(wire_key_span(&ring->keys[0]), nonce, aad, plain, sealed,
                               sealed + plain.len);
    blob[0] = 1;
    memcpy(blob + 1, nonce, WIRE_NONCE_BYTES);
    out->at += plain.len + WIRE_SEAL_BYTES;
}

/* Takes the padding of version 0 off: 1 to 16 bytes, each of which tells how many. */
static bool unpad(struct span *plain)
{
    if (plain->len == 0 || plain->len % BLOCK != 0)
        return false;
    uint8_t pad = (uint8_t)plain->ptr[plain->len - 1];
    if (pad == 0 || pad > BLOCK)
        return false;
    for (size_t i = 0; i < pad; i++)
        if ((uint8_t)plain->ptr[plain->len - 1 - i] != pad)
            return false;
    plain->len -= pad;
    return true;
}

enum err wire_keyring_open(const struct wire_keyring *ring, struct span aad, struct span blob,
                           uint8_t *room, size_t room_bytes, struct span *out_plain)
{
    check_sane(ring);
    if (blob.len < WIRE_SEAL_BYTES || (uint8_t)blob.ptr[0] > 1)
        return ERR_SYNTAX;
    const uint8_t *nonce = (const uint8_t *)blob.ptr + 1;
    struct span sealed = span_of(blob.ptr + WIRE_SEAL_PLAIN_AT, blob.len - WIRE_SEAL_BYTES);
    const uint8_t *tag = (const uint8_t *)sealed.ptr + sealed.len;
    if (sealed.len > room_bytes)
        return ERR_LIMIT;
    for (unsigned i = 0; i < ring->count; i++) {
        struct span plain = span_of(room, sealed.len);
        enum err err =
            crypto_gcm_open(wire_key_span(&ring->keys[i]), nonce, aad, sealed, tag, room);
        if (err == ERR_REFUSED)
            continue;
        if (err == ERR_OK && blob.ptr[0] == 0 && !unpad(&plain))
            return ERR_REFUSED;
        if (err == ERR_OK)
            *out_plain = plain;
        return err;
    }
    return ERR_REFUSED;
}
