#include "cluster/wire/msgpack.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/cluster/wire/golden.h"

static void uints(void **state)
{
    (void)state;
    static const struct {
        uint64_t v;
        const char *hex;
    } rows[] = {
        {0, "00"},
        {127, "7f"},
        {128, "cc80"},
        {255, "ccff"},
        {256, "cd0100"},
        {7946, "cd1f0a"},
        {65535, "cdffff"},
        {65536, "ce00010000"},
        {2000000000, "ce77359400"},
        {UINT32_MAX, "ceffffffff"},
        {UINT64_C(1) << 32, "cf0000000100000000"},
        {UINT64_MAX, "cfffffffffffffffff"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t room[16];
        struct cursor c;
        cursor_write(&c, room, sizeof(room));
        wire_msgpack_put_uint(&c, rows[i].v);
        assert_true(golden_equal(span_of(room, c.at), rows[i].hex));
        cursor_read(&c, span_of(room, c.at));
        assert_true(wire_msgpack_get_uint(&c, rows[i].v) == rows[i].v);
        assert_int_equal(c.err, ERR_OK);
        assert_int_equal(cursor_left(&c), 0);
        if (rows[i].v == 0)
            continue;
        c.at = 0;
        assert_true(wire_msgpack_get_uint(&c, rows[i].v - 1) == 0);
        assert_int_equal(c.err, ERR_LIMIT);
    }
}

static void ints(void **state)
{
    (void)state;
    static const struct {
        int64_t v;
        const char *hex;
    } rows[] = {
        {5, "05"},
        {-1, "ff"},
        {-32, "e0"},
        {-33, "d0df"},
        {-128, "d080"},
        {-129, "d1ff7f"},
        {-32768, "d18000"},
        {-32769, "d2ffff7fff"},
        {INT32_MIN, "d280000000"},
        {INT64_C(-2147483649), "d3ffffffff7fffffff"},
        {INT64_MIN, "d38000000000000000"},
        {INT64_MAX, "cf7fffffffffffffff"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t room[16];
        struct cursor c;
        cursor_write(&c, room, sizeof(room));
        wire_msgpack_put_int(&c, rows[i].v);
        assert_true(golden_equal(span_of(room, c.at), rows[i].hex));
        cursor_read(&c, span_of(room, c.at));
        assert_true(wire_msgpack_get_int(&c) == rows[i].v);
        assert_int_equal(c.err, ERR_OK);
        c.at = 0;
        (void)wire_msgpack_get_uint(&c, UINT64_MAX);
        assert_int_equal(c.err, rows[i].v < 0 ? ERR_LIMIT : ERR_OK);
    }
}

static void floats(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *hex, *why;
        double read;
    } rows[] = {
        {0, "ca00000000", "nothing", 0},
        {-1.5, "cabfc00000", "exact", -1.5},
        {0.1, "ca3dcccccd", "the nearest", 0.100000001490116},
        {1e300, "ca7f7fffff", "too large: the largest, not infinity", 3.4028234663852886e38},
        {-1e300, "caff7fffff", "and the least", -3.4028234663852886e38},
        {1e-300, "ca00000000", "too small", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t room[16];
        struct cursor c;
        cursor_write(&c, room, sizeof(room));
        wire_msgpack_put_float(&c, rows[i].v);
        if (!golden_equal(span_of(room, c.at), rows[i].hex))
            fail_msg("%s", rows[i].why);
        cursor_read(&c, span_of(room, c.at));
        double off = fabs(wire_msgpack_get_double(&c) - rows[i].read);
        assert_true(off <= fabs(rows[i].read) / 1e9);
    }
}

/* One reading of each kind; the cursor's error and what is left of the bytes. */
static void leniency(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        char kind; /* u, i, d, b, r, a, m, s(kip), h(ead) */
        enum err err;
        uint64_t wanted; /* of r: the length */
        const char *why;
    } rows[] = {
        {"c0", 'u', ERR_OK, 0, "nil is zero"},
        {"d07f", 'u', ERR_OK, 127, "a signed form that is positive"},
        {"cf0000000000000001", 'u', ERR_OK, 1, "wider than needed"},
        {"d0ff", 'u', ERR_LIMIT, 0, "negative"},
        {"a131", 'u', ERR_SYNTAX, 0, "text is no number"},
        {"cd1f", 'u', ERR_AGAIN, 0, "ends inside"},
        {"", 'u', ERR_AGAIN, 0, "nothing"},
        {"cf8000000000000000", 'i', ERR_LIMIT, 0, "over the signed range"},
        {"c3", 'i', ERR_SYNTAX, 0, "true is no number"},
        {"ca3fc00000", 'd', ERR_OK, 3, "a float, 1.5"},
        {"cb3ff8000000000000", 'd', ERR_OK, 3, "a double, 1.5"},
        {"c0", 'd', ERR_OK, 0, "nil is zero"},
        {"cb7ff0000000000000", 'd', ERR_SYNTAX, 0, "infinity"},
        {"ca7fc00000", 'd', ERR_SYNTAX, 0, "not a number"},
        {"01", 'd', ERR_SYNTAX, 0, "an integer"},
        {"cb3ff80000000000", 'd', ERR_AGAIN, 0, "ends inside"},
        {"c3", 'b', ERR_OK, 1, "true"},
        {"c2", 'b', ERR_OK, 0, "false"},
        {"c0", 'b', ERR_OK, 0, "nil is false"},
        {"01", 'b', ERR_SYNTAX, 0, "a number"},
        {"a26162", 'r', ERR_OK, 2, "fixraw"},
        {"d9026162", 'r', ERR_OK, 2, "str8"},
        {"da00026162", 'r', ERR_OK, 2, "raw16"},
        {"db000000026162", 'r', ERR_OK, 2, "raw32"},
        {"c4026162", 'r', ERR_OK, 2, "bin8"},
        {"c500026162", 'r', ERR_OK, 2, "bin16"},
        {"c6000000026162", 'r', ERR_OK, 2, "bin32"},
        {"a361", 'r', ERR_AGAIN, 0, "longer than what is left"},
        {"dbffffffff61", 'r', ERR_AGAIN, 0, "much longer"},
        {"c701ff61", 'r', ERR_SYNTAX, 0, "an extension is no raw"},
        {"90", 'r', ERR_SYNTAX, 0, "an array is no raw"},
        {"dbffffffff", 'h', ERR_OK, 0xffffffff, "the head alone"},
        {"c0", 'h', ERR_OK, 0, "nil has no bytes"},
        {"80", 'h', ERR_SYNTAX, 0, "a map is no raw"},
        {"920102", 'a', ERR_OK, 2, "fixarray"},
        {"dc00020102", 'a', ERR_OK, 2, "array16"},
        {"dd000000020102", 'a', ERR_OK, 2, "array32"},
        {"c0", 'a', ERR_OK, 0, "nil is empty"},
        {"9101", 'm', ERR_SYNTAX, 0, "an array is no map"},
        {"9301", 'a', ERR_AGAIN, 0, "more items than bytes"},
        {"ddffffffff01", 'a', ERR_AGAIN, 0, "many more"},
        {"8101c0", 'm', ERR_OK, 1, "fixmap"},
        {"de000101c0", 'm', ERR_OK, 1, "map16"},
        {"df0000000101c0", 'm', ERR_OK, 1, "map32"},
        {"8101", 'm', ERR_AGAIN, 0, "half a pair"},
        {"dfffffffff01c0", 'm', ERR_AGAIN, 0, "many more pairs than bytes"},
        {"7f", 's', ERR_OK, 0, "skip: fixint"},
        {"e0", 's', ERR_OK, 0, "negative fixint"},
        {"c3", 's', ERR_OK, 0, "bool"},
        {"cc01", 's', ERR_OK, 0, "u8"},
        {"cd0101", 's', ERR_OK, 0, "u16"},
        {"ce01010101", 's', ERR_OK, 0, "u32"},
        {"cf0101010101010101", 's', ERR_OK, 0, "u64"},
        {"d001", 's', ERR_OK, 0, "i8"},
        {"d30101010101010101", 's', ERR_OK, 0, "i64"},
        {"ca01010101", 's', ERR_OK, 0, "float"},
        {"cb0101010101010101", 's', ERR_OK, 0, "double, of any value"},
        {"c7026d6162", 's', ERR_OK, 0, "ext8"},
        {"c80001016d", 's', ERR_OK, 0, "ext16"},
        {"c900000001016d", 's', ERR_OK, 0, "ext32"},
        {"d46d61", 's', ERR_OK, 0, "fixext1"},
        {"d86d01010101010101010101010101010101", 's', ERR_OK, 0, "fixext16"},
        {"c1", 's', ERR_SYNTAX, 0, "never used"},
        {"82a16182a16201a163c0a16493010203", 's', ERR_OK, 0, "nested maps and arrays"},
        {"82a16182a16201a163c0a164930102", 's', ERR_AGAIN, 0, "ends inside a nest"},
        {"91919191919191919190", 's', ERR_LIMIT, 0, "too deep"},
        {"919191919191919190", 's', ERR_OK, 0, "as deep as may be"},
        {"9190", 's', ERR_OK, 0, "an empty array inside"},
        {"dfffffffff0101", 's', ERR_AGAIN, 0, "a map that cannot be"},
        {"df800000010101", 's', ERR_AGAIN, 0, "2^31 + 1 pairs: twice that is 2 in 32 bits"},
        {"ddffffffff0101", 's', ERR_AGAIN, 0, "an array that cannot be"},
        {"c6ffffffff61", 's', ERR_AGAIN, 0, "bytes that are not there"},
        {"c9ffffffff61", 's', ERR_AGAIN, 0, "an extension that is not there"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cursor c;
        struct span bytes = golden_bytes(rows[i].hex);
        uint64_t got = 0;
        bool all = strchr("amh", rows[i].kind) == NULL;
        cursor_read(&c, bytes);
        switch (rows[i].kind) {
        case 'u':
            got = wire_msgpack_get_uint(&c, UINT64_MAX);
            break;
        case 'i':
            got = (uint64_t)wire_msgpack_get_int(&c);
            break;
        case 'd':
            got = (uint64_t)(2 * wire_msgpack_get_double(&c));
            break;
        case 'b':
            got = wire_msgpack_get_bool(&c);
            break;
        case 'r':
            got = wire_msgpack_get_raw(&c).len;
            break;
        case 'h':
            got = wire_msgpack_get_raw_head(&c);
            break;
        case 'a':
            got = wire_msgpack_get_array(&c);
            break;
        case 'm':
            got = wire_msgpack_get_map(&c);
            break;
        case 's':
            wire_msgpack_skip(&c);
            break;
        }
        if (c.err != rows[i].err || got != rows[i].wanted ||
            (all && c.err == ERR_OK && cursor_left(&c) > 0))
            fail_msg("%s as %c: %s", rows[i].hex, rows[i].kind, rows[i].why);
        golden_free(bytes);
    }
}

/* Empty and nil are two things, though both have no bytes. */
static void empty_is_not_nil(void **state)
{
    (void)state;
    struct cursor c;
    cursor_read(&c, SPAN("\xa0\xc0\xc4"));
    assert_non_null(wire_msgpack_get_raw(&c).ptr);
    assert_null(wire_msgpack_get_raw(&c).ptr);
    assert_int_equal(c.err, ERR_OK);
    assert_null(wire_msgpack_get_raw(&c).ptr);
    assert_int_equal(c.err, ERR_AGAIN);
    /* The first error sticks, and nothing more is given. */
    c.at = 0;
    assert_null(wire_msgpack_get_raw(&c).ptr);
    assert_int_equal(wire_msgpack_get_uint(&c, 9), 0);
    assert_int_equal(c.err, ERR_AGAIN);
    assert_int_equal(c.at, 0);
}

static void lengths_written(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        const char *raw, *array, *map;
    } rows[] = {
        {0, "a0", "90", "80"},
        {15, "af", "9f", "8f"},
        {16, "b0", "dc0010", "de0010"},
        {31, "bf", "dc001f", "de001f"},
        {32, "da0020", "dc0020", "de0020"},
        {130, "da0082", "dc0082", "de0082"},
        {65535, "daffff", "dcffff", "deffff"},
        {65536, "db00010000", "dd00010000", "df00010000"},
    };
    static char zeros[65536], room[65536 + 5];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cursor c;
        cursor_write(&c, room, sizeof(room));
        wire_msgpack_put_raw(&c, span_of(zeros, rows[i].len));
        assert_int_equal(c.err, ERR_OK);
        assert_true(golden_equal(span_of(room, c.at - rows[i].len), rows[i].raw));
        cursor_write(&c, room, sizeof(room));
        wire_msgpack_put_array(&c, rows[i].len);
        assert_true(golden_equal(span_of(room, c.at), rows[i].array));
        cursor_write(&c, room, sizeof(room));
        wire_msgpack_put_map(&c, rows[i].len);
        assert_true(golden_equal(span_of(room, c.at), rows[i].map));
    }
}

static void walks(void **state)
{
    (void)state;
    struct wire_msgpack_walk w;
    struct span a, b;
    uint64_t n;
    wire_msgpack_walk_array(&w, SPAN("\x93\xa1x\xc0\xa1z"));
    assert_true(wire_msgpack_walk_raw(&w, &a) && span_equal(a, SPAN("x")));
    assert_true(wire_msgpack_walk_raw(&w, &a) && !a.ptr);
    assert_true(wire_msgpack_walk_value(&w, &a) && span_equal(a, SPAN("\xa1z")));
    assert_false(wire_msgpack_walk_raw(&w, &a));
    assert_int_equal(w.in.err, ERR_OK);
    wire_msgpack_walk_map(&w, SPAN("\x81\xa1k\xa1v"));
    assert_true(wire_msgpack_walk_pair(&w, &a, &b));
    assert_true(span_equal(a, SPAN("k")) && span_equal(b, SPAN("v")));
    assert_false(wire_msgpack_walk_pair(&w, &a, &b));
    wire_msgpack_walk_map(&w, SPAN("\x81\xa1k\xcc\xc8"));
    assert_true(wire_msgpack_walk_number(&w, &a, &n) && n == 200);
    assert_false(wire_msgpack_walk_number(&w, &a, &n));
    assert_int_equal(w.in.err, ERR_OK);
    /* Nothing, and nil, are empty; another kind is an error. */
    wire_msgpack_walk_array(&w, span_of(NULL, 0));
    assert_false(wire_msgpack_walk_value(&w, &a));
    wire_msgpack_walk_map(&w, SPAN("\xc0"));
    assert_false(wire_msgpack_walk_pair(&w, &a, &b));
    assert_int_equal(w.in.err, ERR_OK);
    wire_msgpack_walk_map(&w, SPAN("\x91\x01"));
    assert_false(wire_msgpack_walk_pair(&w, &a, &b));
    assert_int_equal(w.in.err, ERR_SYNTAX);
    wire_msgpack_walk_map(&w, SPAN("\x81\xa1k\x91\x01"));
    assert_false(wire_msgpack_walk_number(&w, &a, &n));
    assert_int_equal(w.in.err, ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uints),
        cmocka_unit_test(ints),
        cmocka_unit_test(floats),
        cmocka_unit_test(leniency),
        cmocka_unit_test(empty_is_not_nil),
        cmocka_unit_test(lengths_written),
        cmocka_unit_test(walks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
