#include "cluster/wire/fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/cluster/wire/golden.h"

struct all {
    bool b;
    uint8_t u8;
    uint16_t u16, left_out;
    uint32_t u32;
    uint64_t u64;
    int64_t i64;
    double d;
    struct span text, bytes, value;
    struct addr ip;
    uint8_t vsn[WIRE_VSN_BYTES];
};
static const struct wire_field fields[] = {
    {"B", offsetof(struct all, b), WIRE_BOOL, false},
    {"Bytes", offsetof(struct all, bytes), WIRE_BYTES, false},
    {"D", offsetof(struct all, d), WIRE_DOUBLE, false},
    {"I64", offsetof(struct all, i64), WIRE_I64, false},
    {"Ip", offsetof(struct all, ip), WIRE_IP, false},
    {"Left", offsetof(struct all, left_out), WIRE_U16, true},
    {"Text", offsetof(struct all, text), WIRE_TEXT, false},
    {"U16", offsetof(struct all, u16), WIRE_U16, false},
    {"U32", offsetof(struct all, u32), WIRE_U32, false},
    {"U64", offsetof(struct all, u64), WIRE_U64, false},
    {"U8", offsetof(struct all, u8), WIRE_U8, false},
    {"Value", offsetof(struct all, value), WIRE_VALUE, false},
    {"Vsn", offsetof(struct all, vsn), WIRE_VSN, false},
};

static enum err read_all(const char *hex, struct all *out)
{
    struct cursor c;
    struct span bytes = golden_bytes(hex);
    memset(out, 0, sizeof(*out));
    cursor_read(&c, bytes);
    wire_fields_get(&c, fields, ARRAY_LEN(fields), out);
    golden_free(bytes); /* spans of *out are not looked at */
    return c.err;
}

static void both_ways(void **state)
{
    (void)state;
    static const struct all zero;
    struct all in = {true,
                     255,
                     65535,
                     7,
                     UINT32_MAX,
                     UINT64_MAX,
                     INT64_MIN,
                     -1.5,
                     SPAN("t"),
                     SPAN("b"),
                     SPAN("\x91\x01"),
                     {.family = ADDR_V4, .ip = {1, 2, 3, 4}},
                     {1, 5, 2, 2, 5, 5}};
    const struct all *rows[] = {&in, &zero};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t room[256], again[256];
        struct all out;
        struct cursor c, d;
        memset(&out, 0, sizeof(out));
        cursor_write(&c, room, sizeof(room));
        wire_fields_put(&c, fields, ARRAY_LEN(fields), rows[i]);
        assert_int_equal(c.err, ERR_OK);
        cursor_read(&d, span_of(room, c.at));
        wire_fields_get(&d, fields, ARRAY_LEN(fields), &out);
        assert_int_equal(d.err, ERR_OK);
        assert_int_equal(cursor_left(&d), 0);
        assert_true(out.b == rows[i]->b && out.u8 == rows[i]->u8 && out.u16 == rows[i]->u16);
        assert_true(out.u32 == rows[i]->u32 && out.u64 == rows[i]->u64);
        assert_true(out.i64 == rows[i]->i64 && out.left_out == rows[i]->left_out);
        assert_true(out.d >= rows[i]->d && out.d <= rows[i]->d);
        assert_true(span_equal(out.text, rows[i]->text));
        assert_true(span_equal(out.bytes, rows[i]->bytes));
        assert_true(addr_equal(&out.ip, &rows[i]->ip));
        assert_memory_equal(out.vsn, rows[i]->vsn, WIRE_VSN_BYTES);
        cursor_write(&d, again, sizeof(again));
        wire_fields_put(&d, fields, ARRAY_LEN(fields), &out);
        assert_true(span_equal(span_of(again, d.at), span_of(room, c.at)));
        /* One byte less of room is told. */
        cursor_write(&d, again, c.at - 1);
        wire_fields_put(&d, fields, ARRAY_LEN(fields), &out);
        assert_int_equal(d.err, ERR_LIMIT);
    }
}

static void written_empty(void **state)
{
    (void)state;
    static const struct all zero;
    uint8_t room[256];
    struct cursor c;
    cursor_write(&c, room, sizeof(room));
    wire_fields_put(&c, fields, 2, &zero);
    assert_true(golden_equal(span_of(room, c.at), "82a142c2a54279746573c0"));
    cursor_write(&c, room, sizeof(room));
    wire_fields_put(&c, fields + 4, 3, &zero); /* Left is left out, text is not nil */
    assert_true(golden_equal(span_of(room, c.at), "82a24970c0a454657874a0"));
}

static void addresses(void **state)
{
    (void)state;
    struct all out;
    assert_int_equal(read_all("81a24970a401020304", &out), ERR_OK);
    assert_int_equal(out.ip.family, ADDR_V4);
    /* IPv4 in IPv6 is IPv4. */
    assert_int_equal(read_all("81a24970b000000000000000000000ffff01020304", &out), ERR_OK);
    assert_int_equal(out.ip.family, ADDR_V4);
    assert_memory_equal(out.ip.ip, "\1\2\3\4", 4);
    assert_int_equal(read_all("81a24970b020010db8000000000000000000000001", &out), ERR_OK);
    assert_int_equal(out.ip.family, ADDR_V6);
    assert_int_equal(out.ip.ip[15], 1);
    assert_int_equal(read_all("81a24970a0", &out), ERR_OK);
    assert_int_equal(out.ip.family, ADDR_NONE);
    assert_int_equal(read_all("81a24970a50102030405", &out), ERR_SYNTAX);
}

static void reads(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum err err;
        const char *why;
    } rows[] = {
        {"c0", ERR_OK, "nil has no fields"},
        {"80", ERR_OK, "none has none"},
        {"81a158c0", ERR_OK, "an unknown key"},
        {"82a15893010203a24238c3", ERR_OK, "two, one with an array"},
        {"81a162c3", ERR_OK, "the case of a key counts: unknown"},
        {"81a142a0", ERR_SYNTAX, "a text for a bool"},
        {"81a25538cd0100", ERR_LIMIT, "256 for a u8"},
        {"81a3553136ce00010000", ERR_LIMIT, "65536 for a u16"},
        {"81a3553332cf0000000100000000", ERR_LIMIT, "2^32 for a u32"},
        {"81a25538ff", ERR_LIMIT, "negative for a u8"},
        {"81a356736ea0", ERR_OK, "no version"},
        {"81a356736ea50102030405", ERR_SYNTAX, "five bytes of version"},
        {"81a356736ea701020304050607", ERR_SYNTAX, "seven"},
        {"8101c0", ERR_SYNTAX, "a number for a key"},
        {"90", ERR_SYNTAX, "an array for a map"},
        {"8fa142c3", ERR_AGAIN, "more pairs than bytes"},
        {"dfffffffffa142c3", ERR_AGAIN, "many more"},
        {"81a5564c75", ERR_AGAIN, "ends inside a key"},
        {"81a556616c756591919191919191919190", ERR_LIMIT, "a value that is too deep"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct all out;
        if (read_all(rows[i].hex, &out) != rows[i].err)
            fail_msg("%s: %s", rows[i].hex, rows[i].why);
    }
    struct all out;
    assert_int_equal(read_all("82a142c3a142c2", &out), ERR_OK);
    assert_false(out.b); /* of two, the last counts */
    assert_int_equal(read_all("84a25538"
                              "07"
                              "a158c0"
                              "a142c3"
                              "a3553136"
                              "09",
                              &out),
                     ERR_OK);
    assert_true(out.u8 == 7 && out.b && out.u16 == 9); /* in any order */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways),
        cmocka_unit_test(written_empty),
        cmocka_unit_test(addresses),
        cmocka_unit_test(reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
