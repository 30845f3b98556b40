#include "cluster/wire/packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "cluster/wire/lzw.h"
#include "tests/unit/cluster/wire/golden.h"

static struct wire_scratch scratch;

/* What a packet gives: a letter per message, or a fault's number in brackets. */
static const char *read_packet(struct span bytes, const struct wire_keyring *ring)
{
    static char said[4096];
    struct wire_packet p;
    struct wire_message m;
    enum wire_fault fault;
    size_t at = 0;
    said[0] = 0;
    wire_packet_begin(&p, bytes, ring, &scratch);
    while (wire_packet_next(&p, &m, &fault)) {
        assert_true(at < sizeof(said) - 32);
        if (fault == WIRE_FAULT_NONE)
            said[at++] = "piasAd--u--n-"[m.type];
        else
            at += (size_t)snprintf(said + at, 32, "[%s]", wire_fault_text(fault));
        said[at] = 0;
    }
    return said;
}

static const char *read_hex(const char *hex, const struct wire_keyring *ring)
{
    struct span bytes = golden_bytes(hex);
    const char *said = read_packet(bytes, ring);
    golden_free(bytes);
    return said;
}

static struct wire_keyring golden_ring(void)
{
    struct wire_keyring ring = {.count = 0};
    struct span key = golden_bytes(GOLDEN_KEY);
    assert_int_equal(wire_keyring_install(&ring, key), ERR_OK);
    golden_free(key);
    return ring;
}

static void golden(void **state)
{
    (void)state;
    struct wire_keyring ring = golden_ring(), none = {.count = 0};
    assert_string_equal(read_hex(GOLDEN_PING, NULL), "p");
    assert_string_equal(read_hex(GOLDEN_PING, &none), "p");
    assert_string_equal(read_hex(GOLDEN_ACK, NULL), "a");
    assert_string_equal(read_hex(GOLDEN_NACK, NULL), "n");
    assert_string_equal(read_hex(GOLDEN_INDIRECT_PING, NULL), "i");
    assert_string_equal(read_hex(GOLDEN_SUSPECT, NULL), "s");
    assert_string_equal(read_hex(GOLDEN_DEAD, NULL), "d");
    assert_string_equal(read_hex(GOLDEN_ALIVE, NULL), "A");
    assert_string_equal(read_hex(GOLDEN_EVENT, NULL), "u");
    assert_string_equal(read_hex(GOLDEN_CRC_COMPOUND, NULL), "AA");
    assert_string_equal(read_hex(GOLDEN_CRC_COMPRESSED, NULL), "AAu");
    assert_string_equal(read_hex(GOLDEN_COMPRESSED, NULL), "pAAu");
    assert_string_equal(read_hex(GOLDEN_CRC_COMPRESSED_EVENTS, NULL), "uuuu");
    assert_string_equal(read_hex(GOLDEN_SEALED_PING, &ring), "p");
    assert_string_equal(read_hex(GOLDEN_SEALED_JOIN, &ring), "u");
}

static void wrong_mode(void **state)
{
    (void)state;
    struct wire_keyring ring = golden_ring(), other = {.count = 0};
    assert_int_equal(wire_keyring_install(&other, SPAN("0123456789abcdef")), ERR_OK);
    assert_string_equal(read_hex(GOLDEN_SEALED_PING, &other), "[decrypt]");
    assert_string_equal(read_hex(GOLDEN_PING, &ring), "[plain_refused]");
    assert_string_equal(read_hex(GOLDEN_INDIRECT_PING, &ring), "[plain_refused]");
    assert_string_equal(read_hex(GOLDEN_NACK, &ring), "[plain_refused]");
    assert_string_equal(read_hex(GOLDEN_CRC_COMPOUND, &ring), "[plain_refused]");
    assert_string_equal(read_hex(GOLDEN_SEALED_PING, NULL), "[syntax]");
    assert_string_equal(read_hex("f40161" GOLDEN_PING, NULL), "[label]");
    assert_string_equal(read_hex("f40161" GOLDEN_SEALED_PING, &ring), "[label]");
    assert_string_equal(read_hex("f400", NULL), "[label]");
}

static void parts(void **state)
{
    (void)state;
    static const struct {
        const char *hex, *said, *why;
    } rows[] = {
        {"", "[empty]", "nothing"},
        {"0700", "", "a compound of nothing"},
        {"07", "[truncated]", "no count"},
        {"0702000a", "[truncated]", "lengths missing"},
        {"07020002000a0878" GOLDEN_NACK, "un", "both"},
        {"0702000200ff0878" GOLDEN_NACK, "u[truncated]", "a lost tail"},
        {"070300020001000a08780f" GOLDEN_NACK, "u[unknown]n", "the one amid is bad"},
        {"0702000000020878", "[empty]u", "a part of nothing"},
        {"0701000a" GOLDEN_NACK "ffff", "n", "bytes after it"},
        {"06" GOLDEN_PUSH_PULL_NODE, "[misplaced]", "a push/pull"},
        {"0a00000001", "[misplaced]", "a frame"},
        {"0d81a54572726f72a26e6f", "[misplaced]", "an error"},
        {"0c00000000", "[empty]", "the sum of nothing"},
        {"0c0000", "[truncated]", "half a sum"},
        {"0c000000010878", "[crc]", "another sum"},
        {"0701000b0c000000000878787878787878", "[misplaced]", "a sum inside"},
        {"0981a3427566a0", "[compression]", "LZW of nothing"},
        {"0982a4416c676f00a3427566a26106", "[compression]", "LZW without an end"},
        {"0982a4416c676f00a3427566da0009610202", "[truncated]", "more told than there is"},
        {"0982a4416c676f01a3427566a3610202", "[compression]", "an unknown algorithm"},
        {"0982a4416c676f00a3427566a20101", "[empty]", "compressed nothing"},
        {"0703000200060002"
         "0878"
         "070100020878"
         "0878",
         "u[nested]u", "one in another"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strcmp(read_hex(rows[i].hex, NULL), rows[i].said) != 0)
            fail_msg("%s: %s: %s", rows[i].why, rows[i].hex, read_hex(rows[i].hex, NULL));
}

/* `text` as a compress message; returns its length. */
static size_t compress(struct span text, uint8_t *room, size_t room_bytes)
{
    struct buf lzw;
    struct cursor c;
    buf_init(&lzw, 0);
    assert_int_equal(wire_lzw_encode(text, &lzw), ERR_OK);
    cursor_write(&c, room, room_bytes);
    cursor_put_u8(&c, WIRE_COMPRESS);
    wire_msgpack_put_map(&c, 2);
    wire_msgpack_put_raw(&c, SPAN("Algo"));
    wire_msgpack_put_uint(&c, 0);
    wire_msgpack_put_raw(&c, SPAN("Buf"));
    wire_msgpack_put_raw(&c, buf_span(&lzw));
    assert_int_equal(c.err, ERR_OK);
    buf_fini(&lzw);
    return c.at;
}

static void as_deep_as_may_be(void **state)
{
    (void)state;
    uint8_t message[2][512] = {{WIRE_USER}};
    size_t len = 1;
    for (unsigned depth = 0; depth <= WIRE_PACKET_DEPTH + 1; depth++) {
        const uint8_t *now = message[depth % 2];
        assert_string_equal(read_packet(span_of(now, len), NULL),
                            depth <= WIRE_PACKET_DEPTH ? "u" : "[nested]");
        len = compress(span_of(now, len), message[(depth + 1) % 2], sizeof(message[0]));
    }
}

static void bombs(void **state)
{
    (void)state;
    static uint8_t zeros[WIRE_PACKET_MAX + 1], packet[WIRE_PACKET_MAX + 1], twice[2048];
    zeros[0] = WIRE_USER;
    size_t len = compress(span_of(zeros, WIRE_PACKET_MAX), packet, sizeof(packet));
    assert_true(len < 1000);
    assert_string_equal(read_packet(span_of(packet, len), NULL), "u");
    /* Two of them share the scratch. */
    struct cursor c;
    cursor_write(&c, twice, sizeof(twice));
    cursor_put_u16(&c, 0x0702);
    cursor_put_u16(&c, (uint16_t)len);
    cursor_put_u16(&c, (uint16_t)len);
    cursor_put_bytes(&c, span_of(packet, len));
    cursor_put_bytes(&c, span_of(packet, len));
    assert_int_equal(c.err, ERR_OK);
    assert_string_equal(read_packet(span_of(twice, c.at), NULL), "u[too_large]");
    len = compress(span_of(zeros, WIRE_PACKET_MAX + 1), packet, sizeof(packet));
    assert_string_equal(read_packet(span_of(packet, len), NULL), "[too_large]");
    /* A packet over 64 KiB is none. */
    assert_string_equal(read_packet(span_of(zeros, sizeof(zeros)), NULL), "[too_large]");
    assert_string_equal(read_packet(span_of(zeros, WIRE_PACKET_MAX), NULL), "u");
}

/* Cut at any byte: no message beyond the cut, and never a byte read beyond it. */
static void cut(void **state)
{
    (void)state;
    static const char *const rows[] = {GOLDEN_CRC_COMPOUND, GOLDEN_CRC_COMPRESSED,
                                       GOLDEN_COMPRESSED, GOLDEN_SEALED_JOIN};
    struct wire_keyring ring = golden_ring();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t whole = strlen(rows[i]) / 2;
        for (size_t len = 1; len < whole; len++) {
            struct span bytes = golden_bytes(rows[i]);
            char *part = malloc(len);
            assert_non_null(part);
            memcpy(part, bytes.ptr, len);
            const char *said = read_packet(span_of(part, len), i == 3 ? &ring : NULL);
            assert_int_equal(said[0], '[');
            free(part);
            golden_free(bytes);
        }
    }
    /* A compound keeps the parts before the cut. */
    struct span bytes = golden_bytes(GOLDEN_CRC_COMPOUND);
    for (size_t len = 11; len < bytes.len; len++) {
        const char *said = read_packet(span_of(bytes.ptr + 5, len - 5), NULL);
        assert_string_equal(said, len < 11 + 77 ? "[truncated]" : "A[truncated]");
    }
    golden_free(bytes);
}

static const uint8_t nonce[WIRE_NONCE_BYTES] = {7};

static struct span finish(const struct wire_pack *p, bool crc, const struct wire_keyring *ring)
{
    static uint8_t room[WIRE_PACKET_SEND_MAX];
    struct cursor c;
    cursor_write(&c, room, sizeof(room));
    wire_pack_finish(p, crc, ring, nonce, &c);
    assert_int_equal(c.err, ERR_OK);
    return span_of(room, c.at);
}

static void packs(void **state)
{
    (void)state;
    struct wire_keyring ring = golden_ring();
    struct wire_pack p;
    struct span alive = golden_bytes(GOLDEN_ALIVE), other = golden_bytes(GOLDEN_ALIVE_N2);
    wire_pack_init(&p, false);
    assert_true(wire_pack_add(&p, alive));
    assert_true(golden_equal(finish(&p, false, NULL), GOLDEN_ALIVE)); /* alone: as it is */
    assert_true(wire_pack_add(&p, other));
    assert_true(golden_equal(finish(&p, true, NULL), GOLDEN_CRC_COMPOUND));
    assert_string_equal(read_packet(finish(&p, false, NULL), NULL), "AA");
    wire_pack_init(&p, true);
    assert_true(wire_pack_add(&p, alive));
    struct wire_message m = {.type = WIRE_NACK, .nack = {253}};
    assert_true(wire_pack_add_message(&p, &m));
    assert_string_equal(read_packet(finish(&p, true, &ring), &ring), "An");
    assert_string_equal(read_packet(finish(&p, false, &ring), &ring), "An");
    golden_free(alive);
    golden_free(other);
    /* The golden packet, sealed under its nonce. */
    struct span ping = golden_bytes(GOLDEN_PING), sealed = golden_bytes(GOLDEN_SEALED_PING);
    uint8_t room[128];
    struct cursor c;
    cursor_write(&c, room, sizeof(room));
    wire_packet_put(ping, false, &ring, (const uint8_t *)sealed.ptr + 1, &c);
    assert_true(span_equal(span_of(room, c.at), sealed));
    for (size_t len = 0; len < sealed.len; len++) {
        cursor_write(&c, room, len);
        wire_packet_put(ping, false, &ring, nonce, &c);
        assert_int_equal(c.err, ERR_LIMIT);
        assert_int_equal(c.at, 0);
    }
    golden_free(ping);
    golden_free(sealed);
}

static void budget(void **state)
{
    (void)state;
    static char zeros[WIRE_PACKET_BUDGET];
    struct wire_keyring ring = golden_ring();
    struct wire_pack p;
    for (int sealed = 0; sealed < 2; sealed++) {
        size_t most = 1400 - 2 - 2 - (sealed ? 29 : 0); /* gossip.md A3 */
        wire_pack_init(&p, sealed);
        assert_int_equal(wire_pack_left(&p), most);
        assert_false(wire_pack_add(&p, span_of(zeros, most + 1)));
        assert_true(wire_pack_add(&p, span_of(zeros, most)));
        assert_int_equal(wire_pack_left(&p), 0);
        assert_false(wire_pack_add(&p, span_of(zeros, 1)));
        assert_false(wire_pack_add(&p, span_of(zeros, 0)));
        /* Filled by parts, the packet is as long as the budget, and its CRC. */
        wire_pack_init(&p, sealed);
        while (wire_pack_add(&p, span_of(zeros, 9)))
            ;
        while (wire_pack_left(&p) > 0)
            assert_true(wire_pack_add(&p, span_of(zeros, wire_pack_left(&p))));
        size_t len = finish(&p, true, sealed ? &ring : NULL).len;
        assert_true(len <= 1400 + 5 && len > 1400 + 5 - 3);
    }
    /* No more than 255 parts. */
    wire_pack_init(&p, false);
    for (int i = 0; i < WIRE_PARTS_MAX; i++)
        assert_true(wire_pack_add(&p, SPAN("\x08")));
    assert_int_equal(wire_pack_left(&p), 0);
    assert_false(wire_pack_add(&p, SPAN("\x08")));
    assert_int_equal(strlen(read_packet(finish(&p, false, NULL), NULL)), 255);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden), cmocka_unit_test(wrong_mode),
        cmocka_unit_test(parts),  cmocka_unit_test(as_deep_as_may_be),
        cmocka_unit_test(bombs),  cmocka_unit_test(cut),
        cmocka_unit_test(packs),  cmocka_unit_test(budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
