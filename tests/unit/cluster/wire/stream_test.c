#include "cluster/wire/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cluster/wire/lzw.h"
#include "cluster/wire/serf.h"
#include "tests/unit/cluster/wire/golden.h"

#define CAP (1u << 20)

static const uint8_t nonce[WIRE_NONCE_BYTES] = {9};

static struct wire_keyring golden_ring(void)
{
    struct wire_keyring ring = {.count = 0};
    struct span key = golden_bytes(GOLDEN_KEY);
    assert_int_equal(wire_keyring_install(&ring, key), ERR_OK);
    golden_free(key);
    return ring;
}

/* Feeds at most `piece` bytes at a time, each from memory of its own. */
static enum wire_stream_status feed(struct wire_stream *s, struct span bytes, size_t piece)
{
    enum wire_stream_status status = WIRE_STREAM_MORE;
    for (size_t at = 0; at < bytes.len; at += piece) {
        size_t len = bytes.len - at < piece ? bytes.len - at : piece;
        char *copy = malloc(len);
        assert_non_null(copy);
        memcpy(copy, bytes.ptr + at, len);
        status = wire_stream_feed(s, span_of(copy, len));
        free(copy);
        if (at + len < bytes.len && status != WIRE_STREAM_MORE)
            return status;
    }
    return status;
}

static enum wire_stream_status feed_hex(struct wire_stream *s, const char *hex, size_t piece)
{
    struct span bytes = golden_bytes(hex);
    enum wire_stream_status status = feed(s, bytes, piece);
    golden_free(bytes);
    return status;
}

/* What one side's bytes are: the type of the message, or the fault below 0. */
static int read_hex(enum wire_role role, const struct wire_keyring *ring, const char *hex,
                    size_t piece)
{
    struct wire_stream s;
    wire_stream_init(&s, role, ring, CAP);
    enum wire_stream_status status = feed_hex(&s, hex, piece);
    int got = status == WIRE_STREAM_MESSAGE ? (int)s.message.type : -(int)s.fault;
    assert_true(status != WIRE_STREAM_MORE);
    assert_int_equal(wire_stream_feed(&s, SPAN("later")), status); /* dropped */
    wire_stream_fini(&s);
    return got;
}

/* The push/pull that a real agent sent to join: one node with its tags, and Serf's state. */
static void check_captured(const struct wire_stream *s)
{
    struct wire_push_pull p = s->push_pull;
    struct wire_node node;
    struct wire_serf_message m;
    struct wire_serf_tags t;
    struct wire_serf_tag tag;
    assert_int_equal(s->message.type, WIRE_PUSH_PULL);
    assert_true(p.join);
    assert_int_equal(p.nodes_left, 1);
    assert_true(wire_push_pull_next(&p, &node));
    assert_true(span_equal(node.name, SPAN("n1")));
    assert_int_equal(node.state, WIRE_NODE_ALIVE);
    assert_int_equal(node.incarnation, 1);
    assert_int_equal(node.addr.port, 7946);
    assert_memory_equal(node.addr.ip, "\x7f\0\0\2", 4);
    assert_memory_equal(node.vsn, "\1\5\2\2\5\5", WIRE_VSN_BYTES);
    wire_serf_tags_begin(&t, node.meta);
    assert_true(wire_serf_tags_next(&t, &tag) && wire_serf_tags_next(&t, &tag));
    assert_false(wire_serf_tags_next(&t, &tag));
    assert_false(wire_push_pull_next(&p, &node));
    assert_int_equal(wire_serf_get(p.user_state, &m), WIRE_FAULT_NONE);
    assert_int_equal(m.type, WIRE_SERF_PUSH_PULL);
    assert_true(m.push_pull.event_ltime >= 1);
}

static void captured(void **state)
{
    (void)state;
    struct wire_keyring ring = golden_ring();
    static const size_t pieces[] = {1, 2, 3, 7, 100, 100000};
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        struct wire_stream s;
        wire_stream_init(&s, WIRE_ACCEPTOR, NULL, CAP);
        assert_int_equal(feed_hex(&s, GOLDEN_STREAM_PUSH_PULL, pieces[i]), WIRE_STREAM_MESSAGE);
        check_captured(&s);
        wire_stream_fini(&s);
        wire_stream_init(&s, WIRE_ACCEPTOR, &ring, CAP);
        assert_int_equal(feed_hex(&s, GOLDEN_STREAM_SEALED, pieces[i]), WIRE_STREAM_MESSAGE);
        check_captured(&s);
        wire_stream_fini(&s);
        assert_int_equal(read_hex(WIRE_ACCEPTOR, NULL, GOLDEN_STREAM_PING, pieces[i]),
                         WIRE_PING);
        assert_int_equal(read_hex(WIRE_DIALLER, NULL, GOLDEN_ACK, pieces[i]), WIRE_ACK);
    }
}

/* The header and nodes of gossip.md A5, with a state of its length. */
static struct span golden_push_pull(void)
{
    struct buf b;
    buf_init(&b, 0);
    struct span head = golden_bytes(GOLDEN_PUSH_PULL_HEAD);
    struct span node = golden_bytes(GOLDEN_PUSH_PULL_NODE);
    assert_int_equal(buf_append(&b, head), ERR_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(buf_append(&b, node), ERR_OK);
    char state[0x2ce];
    memset(state, 's', sizeof(state));
    assert_int_equal(buf_append(&b, span_of(state, sizeof(state))), ERR_OK);
    golden_free(head);
    golden_free(node);
    return span_of(b.mem, b.to);
}

static void plain_end_is_parsed(void **state)
{
    (void)state;
    struct span bytes = golden_push_pull();
    for (size_t piece = 1; piece < 200; piece += 13) {
        struct wire_stream s;
        struct wire_node node;
        wire_stream_init(&s, WIRE_DIALLER, NULL, CAP);
        assert_int_equal(feed(&s, bytes, piece), WIRE_STREAM_MESSAGE);
        assert_false(s.push_pull.join);
        assert_int_equal(s.push_pull.user_state.len, 0x2ce);
        for (int i = 0; i < 4; i++) {
            assert_true(wire_push_pull_next(&s.push_pull, &node));
            assert_true(span_equal(node.name, SPAN("n3")));
        }
        assert_false(wire_push_pull_next(&s.push_pull, &node));
        wire_stream_fini(&s);
    }
    /* Cut anywhere: more is needed, and when no more comes it is truncated. */
    for (size_t len = 0; len < bytes.len; len++) {
        struct wire_stream s;
        wire_stream_init(&s, WIRE_DIALLER, NULL, CAP);
        assert_int_equal(feed(&s, span_until(bytes, len), 1000), WIRE_STREAM_MORE);
        assert_int_equal(wire_stream_feed_end(&s), WIRE_STREAM_FAULT);
        assert_int_equal(s.fault, len ? WIRE_FAULT_TRUNCATED : WIRE_FAULT_EMPTY);
        wire_stream_fini(&s);
    }
    golden_free(bytes);
}

static void cut_anywhere(void **state)
{
    (void)state;
    struct wire_keyring ring = golden_ring();
    static const char *const rows[] = {GOLDEN_STREAM_PUSH_PULL, GOLDEN_STREAM_PING,
                                       GOLDEN_STREAM_SEALED};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct span bytes = golden_bytes(rows[i]);
        for (size_t len = 1; len < bytes.len; len++) {
            struct wire_stream s;
            wire_stream_init(&s, WIRE_ACCEPTOR, i == 2 ? &ring : NULL, CAP);
            assert_int_equal(feed(&s, span_until(bytes, len), 1000), WIRE_STREAM_MORE);
            assert_int_equal(wire_stream_feed_end(&s), WIRE_STREAM_FAULT);
            assert_int_equal(s.fault, WIRE_FAULT_TRUNCATED);
            wire_stream_fini(&s);
        }
        golden_free(bytes);
    }
}

static void refused(void **state)
{
    (void)state;
    struct wire_keyring ring = golden_ring();
    static const struct {
        enum wire_role role;
        bool keys;
        const char *hex;
        int got; /* type, or the fault below 0 */
        const char *why;
    } rows[] = {
        {WIRE_ACCEPTOR, false, GOLDEN_PING, WIRE_PING, "a plain ping"},
        {WIRE_ACCEPTOR, false, "0881aa557365724d73674c656e03616263", WIRE_USER, "user"},
        {WIRE_DIALLER, false, "0d81a54572726f72a26e6f", WIRE_ERROR, "an error"},
        {WIRE_ACCEPTOR, true, GOLDEN_PING, -WIRE_FAULT_PLAIN_REFUSED, "plain"},
        {WIRE_ACCEPTOR, true, GOLDEN_STREAM_PING, -WIRE_FAULT_PLAIN_REFUSED, "compressed"},
        {WIRE_ACCEPTOR, true, GOLDEN_SEALED_PING, -WIRE_FAULT_PLAIN_REFUSED, "no frame"},
        {WIRE_ACCEPTOR, false, GOLDEN_STREAM_SEALED, -WIRE_FAULT_DECRYPT, "no keys"},
        {WIRE_ACCEPTOR, true, "0a0000001d", -WIRE_FAULT_DECRYPT, "a blob of nothing"},
        {WIRE_ACCEPTOR, true, "0a00000000", -WIRE_FAULT_DECRYPT, "no blob"},
        {WIRE_ACCEPTOR, true, "0affffffff", -WIRE_FAULT_TOO_LARGE, "4 GiB"},
        {WIRE_ACCEPTOR, true, "0a00100001", -WIRE_FAULT_TOO_LARGE, "one over the cap"},
        {WIRE_ACCEPTOR, false, GOLDEN_ACK, -WIRE_FAULT_MISPLACED, "an ack for an acceptor"},
        {WIRE_DIALLER, false, GOLDEN_PING, -WIRE_FAULT_MISPLACED, "a ping for a dialler"},
        {WIRE_DIALLER, false, "0881aa557365724d73674c656e00", -WIRE_FAULT_MISPLACED, "user"},
        {WIRE_ACCEPTOR, false, GOLDEN_CRC_COMPOUND, -WIRE_FAULT_MISPLACED, "a CRC"},
        {WIRE_ACCEPTOR, false, GOLDEN_ALIVE, -WIRE_FAULT_MISPLACED, "an alive"},
        {WIRE_ACCEPTOR, false, "0e", -WIRE_FAULT_UNKNOWN, "type 14"},
        {WIRE_ACCEPTOR, false, "f40161", -WIRE_FAULT_LABEL, "a label"},
        {WIRE_ACCEPTOR, true, "f40161", -WIRE_FAULT_LABEL, "a label before a frame"},
        {WIRE_ACCEPTOR, false, "0690", -WIRE_FAULT_SYNTAX, "an array"},
        {WIRE_ACCEPTOR, false, "0681a54e6f646573ff", -WIRE_FAULT_TOO_LARGE, "-1 nodes"},
        {WIRE_ACCEPTOR, false, "0681a54e6f646573ce000f4241", -WIRE_FAULT_TOO_LARGE, "1000001"},
        {WIRE_ACCEPTOR, false, "0681ac5573657253746174654c656ece00100001",
         -WIRE_FAULT_TOO_LARGE, "a state over the cap"},
        {WIRE_ACCEPTOR, false, "0681a54e6f6465730181a5537461746504", -WIRE_FAULT_SYNTAX,
         "state 4"},
        {WIRE_ACCEPTOR, false, "0681a54e6f6465730181a356736ea101", -WIRE_FAULT_SYNTAX,
         "a version of one byte"},
        {WIRE_ACCEPTOR, false, "0681a54e6f64657302c080", WIRE_PUSH_PULL, "two empty nodes"},
        {WIRE_ACCEPTOR, false, "0680", WIRE_PUSH_PULL, "no nodes"},
        {WIRE_ACCEPTOR, false, "0881aa557365724d73674c656ece00100001", -WIRE_FAULT_TOO_LARGE,
         "a user message over the cap"},
        {WIRE_ACCEPTOR, false, "0982a4416c676f01", -WIRE_FAULT_COMPRESSION, "an algorithm"},
        {WIRE_ACCEPTOR, false, "0982a4416c676f00a3427566ce", -WIRE_FAULT_SYNTAX, "a number"},
        {WIRE_ACCEPTOR, false, "0982a4416c676f00a3427566c6ffffffff", -WIRE_FAULT_TOO_LARGE,
         "4 GiB"},
        {WIRE_ACCEPTOR, false, "0982a4416c676f00a3427566a0", -WIRE_FAULT_COMPRESSION, "none"},
        {WIRE_ACCEPTOR, false, "0982a4416c676f00a3427566a20101", -WIRE_FAULT_EMPTY, "nothing"},
        {WIRE_ACCEPTOR, false, "0982a4416c676f00a3427566a3090202", -WIRE_FAULT_NESTED,
         "compressed twice"},
        {WIRE_ACCEPTOR, false, "0982a4416c676f00a3427566a30a0202", -WIRE_FAULT_MISPLACED,
         "a frame in it"},
        {WIRE_ACCEPTOR, false, "0982a4416c676f00a3427566a3060202", -WIRE_FAULT_TRUNCATED,
         "a message that ends in it"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int got = read_hex(rows[i].role, rows[i].keys ? &ring : NULL, rows[i].hex, 1);
        if (got != rows[i].got)
            fail_msg("%s: %s: %d", rows[i].hex, rows[i].why, got);
    }
}

/* A map without an end may not be looked at again and again. */
static void items_are_bounded(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "06"
        "df00ffffff",
        "0681a54e6f64657301"
        "df00ffffff",
        "00"
        "df00ffffff",
        "08"
        "df00ffffff",
        "09"
        "df00ffffff",
    };
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        struct wire_stream s;
        size_t fed = 0;
        wire_stream_init(&s, WIRE_ACCEPTOR, NULL, CAP);
        (void)feed_hex(&s, heads[i], 100);
        while (wire_stream_feed(&s, SPAN("\x01\x01\x01\x01\x01\x01\x01\x01")) ==
               WIRE_STREAM_MORE)
            fed += 8;
        assert_int_equal(s.fault, WIRE_FAULT_TOO_LARGE);
        assert_true(fed <= WIRE_ITEM_MAX);
        wire_stream_fini(&s);
    }
}

/* Memory follows what came: a frame that tells 1 MiB and sends little holds little. */
static void told_is_not_taken(void **state)
{
    (void)state;
    struct wire_keyring ring = golden_ring();
    struct wire_stream s;
    wire_stream_init(&s, WIRE_ACCEPTOR, &ring, CAP);
    assert_int_equal(feed_hex(&s,
                              "0a00100000"
                              "01",
                              100),
                     WIRE_STREAM_MORE);
    assert_true(s.came.room <= 1024 && s.plain.room == 0);
    wire_stream_fini(&s);
    wire_stream_init(&s, WIRE_ACCEPTOR, NULL, CAP);
    assert_int_equal(feed_hex(&s, "0681ac5573657253746174654c656ece00100000", 100),
                     WIRE_STREAM_MORE);
    assert_true(s.came.room <= 1024);
    /* And no more than the cap. */
    static char chunk[65536];
    enum wire_stream_status status = WIRE_STREAM_MORE;
    for (size_t fed = 0; fed < CAP && status == WIRE_STREAM_MORE; fed += sizeof(chunk))
        status = wire_stream_feed(&s, span_of(chunk, sizeof(chunk)));
    assert_int_equal(status, WIRE_STREAM_FAULT);
    assert_int_equal(s.fault, WIRE_FAULT_TOO_LARGE);
    assert_int_equal(s.came.room, 0);
    wire_stream_fini(&s);
}

static void decompression_is_capped(void **state)
{
    (void)state;
    static char zeros[2 * CAP];
    struct buf lzw, message;
    buf_init(&lzw, 0);
    buf_init(&message, 0);
    assert_int_equal(wire_lzw_encode(span_of(zeros, sizeof(zeros)), &lzw), ERR_OK);
    uint8_t head[32];
    struct cursor c;
    cursor_write(&c, head, sizeof(head));
    cursor_put_bytes(&c, SPAN("\x09\x81\xa3"
                              "Buf\xda"));
    cursor_put_u16(&c, (uint16_t)buf_len(&lzw));
    assert_int_equal(buf_append(&message, span_of(head, c.at)), ERR_OK);
    assert_int_equal(buf_append(&message, buf_span(&lzw)), ERR_OK);
    struct wire_stream s;
    wire_stream_init(&s, WIRE_ACCEPTOR, NULL, CAP);
    assert_int_equal(wire_stream_feed(&s, buf_span(&message)), WIRE_STREAM_FAULT);
    assert_int_equal(s.fault, WIRE_FAULT_TOO_LARGE);
    assert_int_equal(s.inflated.room, 0);
    wire_stream_fini(&s);
    buf_fini(&lzw);
    buf_fini(&message);
}

static void written_golden(void **state)
{
    (void)state;
    struct buf b;
    const struct wire_node n3 = {
        .name = SPAN("n3"),
        .addr = {.family = ADDR_V4, .ip = {127, 0, 0, 3}, .port = 7946},
        .incarnation = 1,
        .meta = SPAN("\xff\x82\xa4role\xa4"
                     "edge\xa2"
                     "dc\xa3"
                     "eu3"),
        .vsn = {1, 5, 2, 2, 5, 5}};
    buf_init(&b, 1000);
    assert_int_equal(wire_push_pull_put(&b, false, 4, 0x2ce), ERR_OK);
    assert_true(golden_equal(buf_span(&b), GOLDEN_PUSH_PULL_HEAD));
    buf_clear(&b);
    assert_int_equal(wire_push_pull_put_node(&b, &n3), ERR_OK);
    assert_true(golden_equal(buf_span(&b), GOLDEN_PUSH_PULL_NODE));
    buf_fini(&b);
    buf_init(&b, 20);
    assert_int_equal(wire_push_pull_put(&b, false, 4, 0x2ce), ERR_LIMIT);
    assert_int_equal(wire_push_pull_put_node(&b, &n3), ERR_LIMIT);
    assert_int_equal(wire_push_pull_put(&b, false, 4, (size_t)WIRE_STREAM_MAX + 1), ERR_LIMIT);
    buf_fini(&b);
    struct wire_stream s;
    wire_stream_init(&s, WIRE_ACCEPTOR, NULL, CAP);
    struct wire_message ack = {.type = WIRE_ACK, .ack = {277, {NULL, 0}}};
    assert_int_equal(wire_stream_say_message(&s, &ack, nonce), ERR_OK);
    assert_true(golden_equal(wire_stream_output(&s), GOLDEN_ACK));
    wire_stream_fini(&s);
}

/* One side's output is the other's input, plain and sealed. */
static void both_sides(void **state)
{
    (void)state;
    struct wire_keyring ring = golden_ring();
    const struct wire_keyring *rings[] = {NULL, &ring};
    for (size_t i = 0; i < ARRAY_LEN(rings); i++) {
        struct wire_stream a, b;
        struct span bytes = golden_push_pull();
        wire_stream_init(&a, WIRE_DIALLER, rings[i], CAP);
        wire_stream_init(&b, WIRE_ACCEPTOR, rings[i], CAP);
        assert_int_equal(wire_stream_say(&a, bytes, nonce), ERR_OK);
        golden_free(bytes);
        while (wire_stream_output(&a).len > 0) { /* ten bytes at a time */
            struct span out = wire_stream_output(&a);
            out.len = out.len < 10 ? out.len : 10;
            (void)wire_stream_feed(&b, out);
            wire_stream_sent(&a, out.len);
        }
        assert_int_equal(b.status, WIRE_STREAM_MESSAGE);
        assert_int_equal(b.push_pull.nodes_left, 4);
        assert_int_equal(b.push_pull.user_state.len, 0x2ce);
        struct wire_message no = {.type = WIRE_ERROR, .error = SPAN("no")};
        assert_int_equal(wire_stream_say_message(&b, &no, nonce), ERR_OK);
        assert_int_equal(wire_stream_feed(&a, wire_stream_output(&b)), WIRE_STREAM_MESSAGE);
        assert_true(a.message.type == WIRE_ERROR && span_equal(a.message.error, SPAN("no")));
        wire_stream_fini(&a);
        wire_stream_fini(&b);
        /* A user message tells its length. */
        wire_stream_init(&a, WIRE_DIALLER, rings[i], CAP);
        wire_stream_init(&b, WIRE_ACCEPTOR, rings[i], CAP);
        struct wire_message user = {.type = WIRE_USER, .user = SPAN("abc")};
        assert_int_equal(wire_stream_say_message(&a, &user, nonce), ERR_OK);
        assert_int_equal(wire_stream_feed(&b, wire_stream_output(&a)), WIRE_STREAM_MESSAGE);
        assert_true(b.message.type == WIRE_USER && span_equal(b.message.user, SPAN("abc")));
        wire_stream_fini(&a);
        wire_stream_fini(&b);
    }
}

/* What was sealed for one length of frame, or changed on its way, is refused. */
static void forged(void **state)
{
    (void)state;
    struct wire_keyring ring = golden_ring();
    struct span bytes = golden_bytes(GOLDEN_STREAM_SEALED);
    for (size_t i = 5; i < bytes.len; i++) {
        char *copy = malloc(bytes.len);
        assert_non_null(copy);
        memcpy(copy, bytes.ptr, bytes.len);
        copy[i] ^= 4;
        struct wire_stream s;
        wire_stream_init(&s, WIRE_ACCEPTOR, &ring, CAP);
        assert_int_equal(wire_stream_feed(&s, span_of(copy, bytes.len)), WIRE_STREAM_FAULT);
        assert_int_equal(s.fault, WIRE_FAULT_DECRYPT);
        wire_stream_fini(&s);
        free(copy);
    }
    golden_free(bytes);
    /* The head is authenticated: a packet's blob in a frame is none. */
    assert_int_equal(read_hex(WIRE_ACCEPTOR, &ring, "0a0000005a" GOLDEN_SEALED_PING, 100),
                     -WIRE_FAULT_DECRYPT);
}

static void say_is_bounded(void **state)
{
    (void)state;
    static char zeros[CAP + 1];
    struct wire_keyring ring = golden_ring();
    struct wire_stream s;
    wire_stream_init(&s, WIRE_DIALLER, &ring, CAP);
    assert_int_equal(wire_stream_say(&s, span_of(zeros, CAP - 28), nonce), ERR_LIMIT);
    assert_int_equal(wire_stream_say(&s, span_of(zeros, CAP - 29), nonce), ERR_OK);
    wire_stream_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(captured),
        cmocka_unit_test(plain_end_is_parsed),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(refused),
        cmocka_unit_test(items_are_bounded),
        cmocka_unit_test(told_is_not_taken),
        cmocka_unit_test(decompression_is_capped),
        cmocka_unit_test(written_golden),
        cmocka_unit_test(both_sides),
        cmocka_unit_test(forged),
        cmocka_unit_test(say_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
