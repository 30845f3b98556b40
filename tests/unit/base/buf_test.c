#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void keeps_order_over_growth(void **state)
{
    (void)state;
    struct buf b;
    uint8_t in = 0, out = 0;
    buf_init(&b, 0);
    for (unsigned step = 0; step < 5000; step++) {
        char bytes[97];
        size_t len = step * 7 % sizeof(bytes);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)in++;
        assert_int_equal(buf_append(&b, span_of(bytes, len)), ERR_OK);
        size_t eat = step * 13 % 61;
        eat = eat < buf_len(&b) ? eat : buf_len(&b);
        for (size_t i = 0; i < eat; i++) {
            if ((uint8_t)buf_span(&b).ptr[i] != out++)
                fail_msg("step %u", step);
        }
        buf_consume(&b, eat);
    }
    buf_fini(&b);
}

static void a_steady_queue_stays_small(void **state)
{
    (void)state;
    struct buf b;
    char bytes[300] = {0};
    buf_init(&b, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(buf_append(&b, span_of(bytes, sizeof(bytes))), ERR_OK);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(buf_append(&b, span_of(bytes, sizeof(bytes))), ERR_OK);
        buf_consume(&b, sizeof(bytes));
    }
    assert_int_equal(buf_len(&b), 900);
    assert_true(b.room <= 8192);
    buf_fini(&b);
}

static void the_cap_holds(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    assert_int_equal(buf_append(&b, SPAN("12345678")), ERR_OK);
    assert_int_equal(buf_append(&b, SPAN("abc")), ERR_LIMIT);
    assert_int_equal(buf_len(&b), 8); /* all of it or nothing */
    assert_int_equal(buf_printf(&b, "%d", 123), ERR_LIMIT);
    assert_int_equal(buf_printf(&b, "%d", 12), ERR_OK);
    assert_null(buf_reserve(&b, 1));
    assert_null(buf_reserve(&b, SIZE_MAX));
    buf_consume(&b, 1);
    assert_non_null(buf_reserve(&b, 1));
    assert_true(span_equal(buf_span(&b), SPAN("234567812")));
    buf_fini(&b);
    buf_init(&b, 0);
    assert_null(buf_reserve(&b, SIZE_MAX));
    buf_fini(&b);
}

static void reserve_then_grew(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    char *room = buf_reserve(&b, 1000);
    memset(room, 'x', 1000);
    buf_grew(&b, 3);
    assert_true(span_equal(buf_span(&b), SPAN("xxx")));
    const char *mem = b.mem;
    buf_consume(&b, 3);
    assert_ptr_equal(b.mem, mem);
    buf_clear(&b);
    buf_release(&b);
    assert_null(b.mem);
    assert_int_equal(buf_span(&b).len, 0);
    buf_fini(&b);
}

static void printf_grows(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(buf_printf(&b, "%s", ""), ERR_OK);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_printf(&b, "%03d,", i), ERR_OK);
    assert_int_equal(buf_len(&b), 4000);
    assert_true(span_ends(buf_span(&b), SPAN("998,999,")));
    assert_int_equal(buf_printf(&b, "%9000d", 1), ERR_OK);
    assert_int_equal(buf_len(&b), 13000);
    buf_fini(&b);
}

static void borrowed_memory_is_all(void **state)
{
    (void)state;
    char mem[8];
    struct buf b;
    buf_borrow(&b, mem, sizeof(mem));
    assert_int_equal(buf_append(&b, SPAN("12345")), ERR_OK);
    assert_int_equal(buf_append(&b, SPAN("6789")), ERR_LIMIT);
    assert_int_equal(buf_printf(&b, "%s", "678"), ERR_LIMIT); /* its NUL does not fit */
    assert_int_equal(buf_printf(&b, "%s", "67"), ERR_OK);
    assert_int_equal(buf_append(&b, SPAN("8")), ERR_OK);
    assert_null(buf_reserve(&b, 1));
    assert_ptr_equal(buf_span(&b).ptr, mem);
    buf_consume(&b, 5);
    assert_null(buf_reserve(&b, 6));
    buf_release(&b);
    assert_int_equal(buf_len(&b), 0);
    assert_ptr_equal(buf_reserve(&b, 8), mem);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_order_over_growth),
        cmocka_unit_test(a_steady_queue_stays_small),
        cmocka_unit_test(the_cap_holds),
        cmocka_unit_test(reserve_then_grew),
        cmocka_unit_test(printf_grows),
        cmocka_unit_test(borrowed_memory_is_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
