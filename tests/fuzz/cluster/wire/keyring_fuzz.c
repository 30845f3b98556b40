/* The bytes as a blob, which nobody could seal; as a plaintext that is sealed, opened, and
 * refused once a byte differs; and as a plaintext with the padding of version 0. */
#include "cluster/wire/keyring.h"

#include <stdlib.h>

#include "base/crypto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct wire_keyring make_ring(void)
{
    struct wire_keyring ring = {.count = 0};
    must(wire_keyring_install(&ring, SPAN("0123456789abcdef")) == ERR_OK);
    must(wire_keyring_install(&ring, SPAN("0123456789abcdef01234567")) == ERR_OK);
    must(wire_keyring_use(&ring, SPAN("0123456789abcdef01234567")) == ERR_OK);
    return ring;
}

/* Into memory of the very size that it needs. */
static enum err open_blob(const struct wire_keyring *ring, struct span aad, struct span blob,
                          struct span *out, uint8_t **out_room)
{
    size_t room = blob.len > WIRE_SEAL_BYTES ? blob.len - WIRE_SEAL_BYTES : 0;
    *out_room = must_alloc(room + 1);
    return wire_keyring_open(ring, aad, blob, *out_room, room, out);
}

static void check_sealed(const struct wire_keyring *ring, struct span plain, size_t flip)
{
    struct cursor c;
    struct span back;
    uint8_t *room, *blob = must_alloc(plain.len + WIRE_SEAL_BYTES);
    uint8_t nonce[WIRE_NONCE_BYTES] = {1};
    cursor_write(&c, blob, plain.len + WIRE_SEAL_BYTES);
    wire_keyring_seal(ring, nonce, SPAN("aad"), plain, &c);
    must(c.err == ERR_OK && c.at == plain.len + WIRE_SEAL_BYTES);
    must(open_blob(ring, SPAN("aad"), span_of(blob, c.at), &back, &room) == ERR_OK);
    must(span_equal(back, plain));
    free(room);
    blob[flip % c.at] ^= 0x10;
    must(open_blob(ring, SPAN("aad"), span_of(blob, c.at), &back, &room) != ERR_OK);
    free(room);
    free(blob);
}

static void check_padded(const struct wire_keyring *ring, struct span padded)
{
    struct span plain;
    uint8_t *room, *blob = must_alloc(padded.len + WIRE_SEAL_BYTES);
    uint8_t *sealed = blob + WIRE_SEAL_PLAIN_AT; /* version 0: blob[0] is 0 */
    must(crypto_gcm_seal(wire_key_span(&ring->keys[1]), blob + 1, SPAN(""), padded, sealed,
                         sealed + padded.len) == ERR_OK);
    enum err err =
        open_blob(ring, SPAN(""), span_of(blob, padded.len + WIRE_SEAL_BYTES), &plain, &room);
    must(err == ERR_OK || err == ERR_REFUSED);
    if (err == ERR_OK) {
        size_t pad = padded.len - plain.len;
        must(padded.len % 16 == 0 && pad >= 1 && pad <= 16);
        for (size_t i = plain.len; i < padded.len; i++)
            must((uint8_t)padded.ptr[i] == pad);
    }
    free(room);
    free(blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_keyring ring = make_ring();
    struct span bytes = span_of(data, size), plain;
    struct wire_key key;
    char text[WIRE_KEY_TEXT_MAX];
    uint8_t *room;
    must(open_blob(&ring, SPAN("aad"), bytes, &plain, &room) != ERR_OK);
    free(room);
    check_sealed(&ring, bytes, size > 0 ? data[0] : 0);
    check_padded(&ring, bytes);
    if (wire_key_parse(bytes, &key) == ERR_OK)
        must(span_equal(span_text(wire_key_print(&key, text)), bytes));
    return 0;
}
