#include "base/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void write_all(struct cursor *c)
{
    cursor_put_u8(c, 0xab);
    cursor_put_u16(c, 0x0102);
    cursor_put_u32(c, 0x03040506);
    cursor_put_u64(c, UINT64_C(0x0708090a0b0c0d0e));
    cursor_put_counted16(c, SPAN("hey"));
    cursor_put_bytes(c, SPAN("z"));
    cursor_put_counted16(c, span_of(NULL, 0));
}
#define ALL_BYTES 23

static void what_was_written_is_read(void **state)
{
    (void)state;
    uint8_t room[ALL_BYTES];
    struct cursor c;
    cursor_write(&c, room, sizeof(room));
    write_all(&c);
    assert_int_equal(c.err, ERR_OK);
    assert_int_equal(cursor_left(&c), 0);
    assert_int_equal(room[1], 1); /* big endian */
    cursor_read(&c, span_of(room, sizeof(room)));
    assert_int_equal(cursor_get_u8(&c), 0xab);
    assert_int_equal(cursor_get_u16(&c), 0x0102);
    assert_int_equal(cursor_get_u32(&c), 0x03040506);
    assert_int_equal(cursor_get_u64(&c), UINT64_C(0x0708090a0b0c0d0e));
    assert_true(span_equal(cursor_get_counted16(&c), SPAN("hey")));
    assert_true(span_equal(cursor_get_bytes(&c, 1), SPAN("z")));
    assert_int_equal(cursor_get_counted16(&c).len, 0);
    assert_int_equal(c.err, ERR_OK);
    assert_int_equal(cursor_left(&c), 0);
}

static void every_cut_is_an_error_that_sticks(void **state)
{
    (void)state;
    for (size_t len = 0; len < ALL_BYTES; len++) {
        uint8_t room[ALL_BYTES] = {0};
        struct cursor c;
        cursor_write(&c, room, len);
        write_all(&c);
        assert_int_equal(c.err, ERR_LIMIT);
        for (size_t i = len; i < ALL_BYTES; i++)
            assert_int_equal(room[i], 0);
        memset(room, 0xff, sizeof(room));
        cursor_read(&c, span_of(room, len));
        (void)cursor_get_bytes(&c, 16);
        (void)cursor_get_u64(&c);
        assert_int_equal(c.err, ERR_SYNTAX);
        assert_int_equal(cursor_get_u8(&c), 0);
        assert_int_equal(cursor_get_bytes(&c, 1).len, 0);
        assert_int_equal(cursor_get_counted16(&c).len, 0);
    }
}

static void a_counted_span_is_at_most_64_kib(void **state)
{
    (void)state;
    static uint8_t room[70000], bytes[65536];
    struct cursor c;
    cursor_write(&c, room, sizeof(room));
    cursor_put_counted16(&c, span_of(bytes, sizeof(bytes)));
    assert_int_equal(c.err, ERR_LIMIT);
    assert_int_equal(c.at, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(every_cut_is_an_error_that_sticks),
        cmocka_unit_test(a_counted_span_is_at_most_64_kib),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
