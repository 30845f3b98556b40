#include "cluster/wire/keyring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/crypto.h"
#include "tests/unit/cluster/wire/golden.h"

#define A SPAN("aaaaaaaaaaaaaaaa")
#define B SPAN("bbbbbbbbbbbbbbbbbbbbbbbb")
#define C SPAN("cccccccccccccccccccccccccccccccc")

static struct wire_keyring golden_ring(void)
{
    struct wire_keyring ring = {.count = 0};
    struct span key = golden_bytes(GOLDEN_KEY);
    assert_int_equal(wire_keyring_install(&ring, key), ERR_OK);
    golden_free(key);
    return ring;
}

static void rotation(void **state)
{
    (void)state;
    struct wire_keyring ring = {.count = 0};
    assert_int_equal(wire_keyring_use(&ring, A), ERR_NOT_FOUND);
    assert_int_equal(wire_keyring_install(&ring, SPAN("short")), ERR_REFUSED);
    assert_int_equal(wire_keyring_install(&ring, span_of(NULL, 0)), ERR_REFUSED);
    assert_int_equal(wire_keyring_install(&ring, A), ERR_OK);
    assert_int_equal(wire_keyring_install(&ring, B), ERR_OK);
    assert_int_equal(wire_keyring_install(&ring, C), ERR_OK);
    assert_int_equal(wire_keyring_install(&ring, B), ERR_OK); /* known */
    assert_int_equal(ring.count, 3);
    assert_true(span_equal(wire_key_span(&ring.keys[0]), A));
    assert_int_equal(wire_keyring_use(&ring, C), ERR_OK);
    assert_int_equal(wire_keyring_use(&ring, C), ERR_OK);
    assert_true(span_equal(wire_key_span(&ring.keys[0]), C));
    assert_true(wire_keyring_has(&ring, A) && wire_keyring_has(&ring, B));
    assert_int_equal(wire_keyring_remove(&ring, C), ERR_REFUSED);
    assert_int_equal(wire_keyring_remove(&ring, A), ERR_OK);
    assert_int_equal(wire_keyring_remove(&ring, A), ERR_OK); /* unknown by now */
    assert_false(wire_keyring_has(&ring, A));
    assert_int_equal(wire_keyring_use(&ring, A), ERR_NOT_FOUND);
    assert_int_equal(ring.count, 2);
    assert_true(wire_keyring_has(&ring, B) && wire_keyring_has(&ring, C));
}

static void is_bounded(void **state)
{
    (void)state;
    struct wire_keyring ring = {.count = 0};
    char key[16] = {0};
    for (int i = 0; i < WIRE_KEYS_MAX; i++) {
        key[0] = (char)i;
        assert_int_equal(wire_keyring_install(&ring, span_of(key, 16)), ERR_OK);
    }
    assert_int_equal(wire_keyring_install(&ring, span_of(key, 16)), ERR_OK); /* known */
    key[0] = 'x';
    assert_int_equal(wire_keyring_install(&ring, span_of(key, 16)), ERR_LIMIT);
    key[0] = WIRE_KEYS_MAX - 1;
    assert_int_equal(wire_keyring_use(&ring, span_of(key, 16)), ERR_OK);
    assert_int_equal(ring.count, WIRE_KEYS_MAX);
    for (int i = 0; i < WIRE_KEYS_MAX; i++) {
        key[0] = (char)i;
        assert_true(wire_keyring_has(&ring, span_of(key, 16)));
    }
}

static void texts(void **state)
{
    (void)state;
    static const char text[] = "MtIefZ1bNK0heScSsm5k0uAjHRrZs2oXvDiN6yIna9I=";
    struct wire_key key;
    char out[WIRE_KEY_TEXT_MAX];
    assert_int_equal(wire_key_parse(span_text(text), &key), ERR_OK);
    assert_true(golden_equal(wire_key_span(&key), GOLDEN_KEY));
    assert_string_equal(wire_key_print(&key, out), text);
    assert_int_equal(wire_key_parse(SPAN("YWFhYWFhYWFhYWFhYWFhYQ=="), &key), ERR_OK);
    assert_int_equal(key.len, 16);
    assert_string_equal(wire_key_print(&key, out), "YWFhYWFhYWFhYWFhYWFhYQ==");
    assert_int_equal(wire_key_parse(SPAN("YWFhYWFhYWFhYWFhYWFhYWE="), &key), ERR_SYNTAX);
    assert_int_equal(wire_key_parse(SPAN("not base64"), &key), ERR_SYNTAX);
    assert_int_equal(wire_key_parse(SPAN(""), &key), ERR_SYNTAX);
    char longer[] = "MtIefZ1bNK0heScSsm5k0uAjHRrZs2oXvDiN6yIna9IxMtIefZ1b";
    assert_int_equal(wire_key_parse(span_text(longer), &key), ERR_SYNTAX);
}

static void derives(void **state)
{
    (void)state;
    struct wire_key a, b;
    uint8_t again[32];
    assert_int_equal(wire_keyring_derive(C, &a), ERR_OK);
    assert_int_equal(wire_keyring_derive(SPAN("cccccccccccccccccccccccccccccccd"), &b), ERR_OK);
    assert_false(span_equal(wire_key_span(&a), wire_key_span(&b)));
    assert_int_equal(crypto_hkdf_sha256(C, SPAN(""), SPAN("gossip"), again, 32), ERR_OK);
    assert_true(span_equal(wire_key_span(&a), span_of(again, 32)));
    /* Known for good: nodes of all versions must agree. */
    char text[WIRE_KEY_TEXT_MAX];
    assert_string_equal(wire_key_print(&a, text),
                        "S9F4RRBlqKP08vgSYyt2WHRyjWm0Lh+dFKZsXnwqKkc=");
}

static void opens_golden(void **state)
{
    (void)state;
    struct wire_keyring ring = golden_ring();
    struct span blob = golden_bytes(GOLDEN_SEALED_PING), plain, none = {NULL, 0};
    uint8_t room[128], sealed[128];
    assert_int_equal(wire_keyring_open(&ring, none, blob, room, sizeof(room), &plain), ERR_OK);
    assert_true(golden_equal(plain, GOLDEN_PING));
    /* Sealed again under the same nonce it gives the same bytes. */
    struct cursor c;
    cursor_write(&c, sealed, sizeof(sealed));
    wire_keyring_seal(&ring, (const uint8_t *)blob.ptr + 1, none, plain, &c);
    assert_true(c.err == ERR_OK && span_equal(span_of(sealed, c.at), blob));
    /* A changed byte, a cut, another AAD, another key: refused. */
    for (size_t i = 0; i < blob.len; i++) {
        sealed[i] ^= 1;
        enum err err = wire_keyring_open(&ring, none, span_of(sealed, blob.len), room,
                                         sizeof(room), &plain);
        assert_int_equal(err, ERR_REFUSED);
        sealed[i] ^= 1;
        struct span cut = golden_bytes(GOLDEN_SEALED_PING);
        err = wire_keyring_open(&ring, none, span_of(cut.ptr, i), room, sizeof(room), &plain);
        assert_int_equal(err, i < WIRE_SEAL_BYTES ? ERR_SYNTAX : ERR_REFUSED);
        golden_free(cut);
    }
    sealed[0] = 2;
    assert_int_equal(
        wire_keyring_open(&ring, none, span_of(sealed, blob.len), room, sizeof(room), &plain),
        ERR_SYNTAX);
    assert_int_equal(wire_keyring_open(&ring, SPAN("x"), blob, room, sizeof(room), &plain),
                     ERR_REFUSED);
    assert_int_equal(
        wire_keyring_open(&ring, none, blob, room, blob.len - WIRE_SEAL_BYTES - 1, &plain),
        ERR_LIMIT);
    /* Any key of the ring opens. */
    assert_int_equal(wire_keyring_install(&ring, A), ERR_OK);
    assert_int_equal(wire_keyring_use(&ring, A), ERR_OK);
    assert_int_equal(wire_keyring_open(&ring, none, blob, room, sizeof(room), &plain), ERR_OK);
    ring.count = 1;
    assert_int_equal(wire_keyring_open(&ring, none, blob, room, sizeof(room), &plain),
                     ERR_REFUSED);
    ring.count = 0;
    assert_int_equal(wire_keyring_open(&ring, none, blob, room, sizeof(room), &plain),
                     ERR_REFUSED);
    golden_free(blob);
}

static void seals(void **state)
{
    (void)state;
    static const uint8_t nonce[WIRE_NONCE_BYTES] = {1, 2, 3};
    const struct span keys[] = {A, B, C};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct wire_keyring ring = {.count = 0};
        uint8_t blob[64], in_place[64], room[64];
        struct cursor c;
        struct span plain;
        assert_int_equal(wire_keyring_install(&ring, keys[i]), ERR_OK);
        cursor_write(&c, blob, sizeof(blob));
        wire_keyring_seal(&ring, nonce, SPAN("head"), SPAN("hello"), &c);
        assert_int_equal(c.err, ERR_OK);
        assert_int_equal(c.at, 5 + WIRE_SEAL_BYTES);
        assert_int_equal(blob[0], 1);
        memcpy(in_place + WIRE_SEAL_PLAIN_AT, "hello", 5);
        struct cursor d;
        cursor_write(&d, in_place, sizeof(in_place));
        wire_keyring_seal(&ring, nonce, SPAN("head"), span_of(in_place + WIRE_SEAL_PLAIN_AT, 5),
                          &d);
        assert_true(d.at == c.at && memcmp(blob, in_place, c.at) == 0);
        assert_int_equal(
            wire_keyring_open(&ring, SPAN("head"), span_of(blob, c.at), room, 5, &plain),
            ERR_OK);
        assert_true(span_equal(plain, SPAN("hello")));
        cursor_write(&c, blob, 5 + WIRE_SEAL_BYTES - 1);
        wire_keyring_seal(&ring, nonce, SPAN("head"), SPAN("hello"), &c);
        assert_int_equal(c.err, ERR_LIMIT);
    }
}

/* Version 0 pads: made here, as we never write it. */
static enum err open_padded(struct span padded, struct span *out, uint8_t room[32])
{
    struct wire_keyring ring = {.count = 0};
    uint8_t blob[64] = {0};
    size_t len = padded.len;
    assert_int_equal(wire_keyring_install(&ring, C), ERR_OK);
    assert_int_equal(crypto_gcm_seal(C, blob + 1, SPAN(""), padded, blob + 13, blob + 13 + len),
                     ERR_OK);
    return wire_keyring_open(&ring, SPAN(""), span_of(blob, len + 29), room, 32, out);
}

static void checks_padding(void **state)
{
    (void)state;
    const struct {
        struct span padded;
        const char *plain; /* NULL: refused */
        const char *why;
    } rows[] = {
        {SPAN("hello world\5\5\5\5\5"), "hello world", "usual"},
        {SPAN("hello world 123\1"), "hello world 123", "one"},
        {SPAN("0123456789abcdef\20\20\20\20\20\20\20\20\20\20\20\20\20\20\20\20"),
         "0123456789abcdef", "a block of padding"},
        {SPAN("hello world\5\5\4\5\5"), NULL, "one byte differs"},
        {SPAN("hello world\4\5\5\5\5"), NULL, "the first of them differs"},
        {SPAN("hello world 123\21\21\21\21\21\21\21\21\21\21\21\21\21\21\21\21\21"), NULL,
         "more than a block"},
        {SPAN("0123456789abcde\0"), NULL, "no padding at all"},
        {SPAN("0123456789abcde "), NULL, "no padding"},
        {SPAN("hello world\5\5\5\5"), NULL, "no whole block"},
        {SPAN(""), NULL, "nothing"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t room[32];
        struct span plain;
        enum err err = open_padded(rows[i].padded, &plain, room);
        if (err != (rows[i].plain ? ERR_OK : ERR_REFUSED) ||
            (rows[i].plain && !span_equal(plain, span_text(rows[i].plain))))
            fail_msg("%s", rows[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotation),       cmocka_unit_test(is_bounded),
        cmocka_unit_test(texts),          cmocka_unit_test(derives),
        cmocka_unit_test(opens_golden),   cmocka_unit_test(seals),
        cmocka_unit_test(checks_padding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
