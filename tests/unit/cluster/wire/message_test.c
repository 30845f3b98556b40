#include "cluster/wire/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/cluster/wire/golden.h"

/* The bytes of *m are the golden ones. */
static void check_written(const struct wire_message *m, const char *hex)
{
    uint8_t room[256];
    struct cursor c;
    cursor_write(&c, room, sizeof(room));
    wire_message_put(&c, m);
    assert_int_equal(c.err, ERR_OK);
    assert_true(golden_equal(span_of(room, c.at), hex));
}

static const struct addr n3 = {.family = ADDR_V4, .ip = {127, 0, 0, 3}, .port = 7946};
static const struct addr c1 = {.family = ADDR_V4, .ip = {127, 0, 0, 9}, .port = 7946};

static void written(void **state)
{
    (void)state;
    struct wire_message m = {.type = WIRE_PING, .ping = {1, SPAN("n2"), n3, SPAN("n3")}};
    check_written(&m, GOLDEN_PING);
    m = (struct wire_message){.type = WIRE_NACK, .nack = {253}};
    check_written(&m, GOLDEN_NACK);
    m = (struct wire_message){.type = WIRE_ACK, .ack = {277, {NULL, 0}}};
    check_written(&m, GOLDEN_ACK);
    m = (struct wire_message){.type = WIRE_INDIRECT_PING,
                              .indirect_ping = {253, SPAN("c1"), c1, true, n3, SPAN("n3")}};
    check_written(&m, GOLDEN_INDIRECT_PING);
    m = (struct wire_message){.type = WIRE_SUSPECT, .suspect = {2, SPAN("c1"), SPAN("n3")}};
    check_written(&m, GOLDEN_SUSPECT);
    m = (struct wire_message){.type = WIRE_DEAD, .dead = {1, SPAN("c1"), SPAN("c1")}};
    check_written(&m, GOLDEN_DEAD);
    m = (struct wire_message){.type = WIRE_ALIVE,
                              .alive = {1,
                                        SPAN("n3"),
                                        n3,
                                        SPAN("\xff\x82\xa4role\xa4"
                                             "edge\xa2"
                                             "dc\xa3"
                                             "eu3"),
                                        {1, 5, 2, 2, 5, 5}}};
    check_written(&m, GOLDEN_ALIVE);
    /* A ping without a source, and the two that no golden bytes show. */
    m = (struct wire_message){.type = WIRE_PING, .ping = {.seq_no = 5, .node = SPAN("n2")}};
    check_written(&m, "0082a44e6f6465a26e32a55365714e6f05");
    m = (struct wire_message){.type = WIRE_USER, .user = SPAN("xy")};
    check_written(&m, "087879");
    m = (struct wire_message){.type = WIRE_ERROR, .error = SPAN("no")};
    check_written(&m, "0d81a54572726f72a26e6f");
}

static void no_room(void **state)
{
    (void)state;
    uint8_t room[8];
    struct cursor c;
    struct wire_message m = {.type = WIRE_NACK, .nack = {253}};
    cursor_write(&c, room, sizeof(room));
    wire_message_put(&c, &m);
    assert_int_equal(c.err, ERR_LIMIT);
}

/* Every golden message is read, and written again to the same bytes; cut anywhere it is
 * truncated. */
static void golden(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum wire_type type;
    } rows[] = {
        {GOLDEN_PING, WIRE_PING},       {GOLDEN_NACK, WIRE_NACK},
        {GOLDEN_ACK, WIRE_ACK},         {GOLDEN_INDIRECT_PING, WIRE_INDIRECT_PING},
        {GOLDEN_SUSPECT, WIRE_SUSPECT}, {GOLDEN_DEAD, WIRE_DEAD},
        {GOLDEN_ALIVE, WIRE_ALIVE},     {"0d81a54572726f72a26e6f", WIRE_ERROR},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_message m;
        struct span bytes = golden_bytes(rows[i].hex);
        assert_int_equal(wire_message_get(bytes, &m), WIRE_FAULT_NONE);
        assert_int_equal(m.type, rows[i].type);
        check_written(&m, rows[i].hex);
        for (size_t len = 0; len < bytes.len; len++) {
            char *cut = malloc(len ? len : 1);
            assert_non_null(cut);
            memcpy(cut, bytes.ptr, len);
            assert_int_equal(wire_message_get(span_of(cut, len), &m),
                             len ? WIRE_FAULT_TRUNCATED : WIRE_FAULT_EMPTY);
            free(cut);
        }
        golden_free(bytes);
    }
}

static void read_fields(void **state)
{
    (void)state;
    struct wire_message m;
    struct span bytes = golden_bytes(GOLDEN_INDIRECT_PING);
    assert_int_equal(wire_message_get(bytes, &m), WIRE_FAULT_NONE);
    assert_int_equal(m.indirect_ping.seq_no, 253);
    assert_true(span_equal(m.indirect_ping.node, SPAN("c1")));
    assert_true(addr_equal(&m.indirect_ping.target, &c1));
    assert_true(m.indirect_ping.nack);
    assert_true(addr_equal(&m.indirect_ping.source_addr, &n3));
    assert_true(span_equal(m.indirect_ping.source_node, SPAN("n3")));
    golden_free(bytes);
    bytes = golden_bytes(GOLDEN_ALIVE);
    assert_int_equal(wire_message_get(bytes, &m), WIRE_FAULT_NONE);
    assert_true(addr_equal(&m.alive.addr, &n3));
    assert_int_equal(m.alive.meta.len, 19);
    assert_memory_equal(m.alive.vsn, "\1\5\2\2\5\5", WIRE_VSN_BYTES);
    golden_free(bytes);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum wire_fault fault;
        const char *why;
    } rows[] = {
        {"06", WIRE_FAULT_MISPLACED, "push/pull"},
        {"0701", WIRE_FAULT_MISPLACED, "compound"},
        {"09", WIRE_FAULT_MISPLACED, "compress"},
        {"0a", WIRE_FAULT_MISPLACED, "encrypt"},
        {"0c", WIRE_FAULT_MISPLACED, "CRC"},
        {"0e80", WIRE_FAULT_UNKNOWN, "14"},
        {"ff80", WIRE_FAULT_UNKNOWN, "255"},
        {"f40161", WIRE_FAULT_LABEL, "a label"},
        {"f400", WIRE_FAULT_LABEL, "an empty one"},
        {"0290", WIRE_FAULT_SYNTAX, "an array"},
        {"0281a55365714e6fff", WIRE_FAULT_TOO_LARGE, "a negative number"},
        {"0281a55365714e6fcf0000000100000000", WIRE_FAULT_TOO_LARGE, "2^32"},
        {"028fa55365714e6f01", WIRE_FAULT_TRUNCATED, "fifteen pairs, one there"},
        {"0281a14191919191919191919190", WIRE_FAULT_TOO_LARGE, "too deep"},
        {"0481a44e6f6465dbffffffff", WIRE_FAULT_TRUNCATED, "a name of 4 GiB"},
        {"0480", WIRE_FAULT_NONE, "nothing told is zero"},
        {"04c0", WIRE_FAULT_NONE, "nil, too"},
        {"0281a55365714e6f01ff", WIRE_FAULT_NONE, "a byte after it"},
        {"08", WIRE_FAULT_NONE, "a user message of nothing"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_message m;
        struct span bytes = golden_bytes(rows[i].hex);
        if (wire_message_get(bytes, &m) != rows[i].fault)
            fail_msg("%s: %s", rows[i].hex, rows[i].why);
        golden_free(bytes);
    }
}

/* An alive of this many bytes of meta and name. */
static enum wire_fault read_alive(size_t meta, size_t name)
{
    static char room[2048], letters[1024];
    struct cursor c;
    struct wire_message m = {.type = WIRE_ALIVE};
    m.alive.meta = span_of(letters, meta);
    m.alive.node = span_of(letters, name);
    cursor_write(&c, room, sizeof(room));
    wire_message_put(&c, &m);
    assert_int_equal(c.err, ERR_OK);
    return wire_message_get(span_of(room, c.at), &m);
}

static void alive_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(read_alive(WIRE_META_MAX, WIRE_NAME_MAX), WIRE_FAULT_NONE);
    assert_int_equal(read_alive(WIRE_META_MAX + 1, 1), WIRE_FAULT_TOO_LARGE);
    assert_int_equal(read_alive(1, WIRE_NAME_MAX + 1), WIRE_FAULT_TOO_LARGE);
}

static void compressed(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum wire_fault fault;
        size_t at, len;
        const char *why;
    } rows[] = {
        {"0982a4416c676f00a3427566da0003616263", WIRE_FAULT_NONE, 15, 3, "usual"},
        {"0982a4416c676f00a3427566da0003", WIRE_FAULT_NONE, 15, 3, "without the bytes"},
        {"0982a4416c676f01a3427566a161", WIRE_FAULT_COMPRESSION, 0, 0, "another algorithm"},
        {"0981a4416c676f00", WIRE_FAULT_COMPRESSION, 0, 0, "no bytes told"},
        {"0983a15801a4416c676f00a3427566a161", WIRE_FAULT_NONE, 16, 1, "an unknown key"},
        {"0981a342756690", WIRE_FAULT_SYNTAX, 0, 0, "an array"},
        {"0982a4416c676f00a3427566da00", WIRE_FAULT_TRUNCATED, 0, 0, "half a length"},
        {"09", WIRE_FAULT_TRUNCATED, 0, 0, "nothing"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t at = 0, len = 0;
        struct span bytes = golden_bytes(rows[i].hex);
        if (wire_message_compressed(bytes, &at, &len) != rows[i].fault || at != rows[i].at ||
            len != rows[i].len)
            fail_msg("%s: %s", rows[i].hex, rows[i].why);
        golden_free(bytes);
    }
}

static void fault_texts(void **state)
{
    (void)state;
    for (int i = 0; i < WIRE_FAULTS; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(wire_fault_text((enum wire_fault)i),
                                    wire_fault_text((enum wire_fault)k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written),    cmocka_unit_test(no_room),
        cmocka_unit_test(golden),     cmocka_unit_test(read_fields),
        cmocka_unit_test(refused),    cmocka_unit_test(alive_is_bounded),
        cmocka_unit_test(compressed), cmocka_unit_test(fault_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
