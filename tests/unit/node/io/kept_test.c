#include "node/io/kept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void test_newest_first(void **state)
{
    (void)state;
    struct io_kept *k = io_kept_create();
    struct io_kept_item item[4] = {0};
    assert_null(io_kept_take(k, SPAN("a")));
    for (int i = 0; i < 3; i++)
        assert_null(io_kept_put(k, SPAN("a"), &item[i]));
    assert_null(io_kept_put(k, SPAN("b"), &item[3]));
    io_kept_remove(&item[1]); /* from the middle */
    io_kept_remove(&item[1]);
    assert_ptr_equal(io_kept_take(k, SPAN("a")), &item[2]);
    assert_ptr_equal(io_kept_take(k, SPAN("a")), &item[0]);
    assert_null(io_kept_take(k, SPAN("a")));
    assert_ptr_equal(io_kept_any(k), &item[3]);
    io_kept_remove(&item[3]);
    assert_null(io_kept_any(k));
    io_kept_destroy(k);
}

static void test_bound(void **state)
{
    (void)state;
    struct io_kept *k = io_kept_create();
    struct io_kept_item item[IO_KEPT_MAX + 2] = {0};
    for (unsigned i = 0; i < IO_KEPT_MAX; i++)
        assert_null(io_kept_put(k, SPAN("a"), &item[i]));
    assert_null(io_kept_put(k, SPAN("other"), &item[IO_KEPT_MAX + 1]));
    assert_ptr_equal(io_kept_put(k, SPAN("a"), &item[IO_KEPT_MAX]), &item[0]);
    assert_null(item[0].pool);
    struct io_kept_item *i;
    unsigned count = 0;
    while ((i = io_kept_any(k))) {
        io_kept_remove(i);
        count++;
    }
    assert_int_equal(count, IO_KEPT_MAX + 1);
    io_kept_destroy(k);
    io_kept_destroy(NULL);
}

/* Many keys share buckets. */
static void test_many_keys(void **state)
{
    (void)state;
    struct io_kept *k = io_kept_create();
    struct io_kept_item item[300] = {0};
    char key[16];
    for (int i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        assert_null(io_kept_put(k, span_text(key), &item[i]));
    }
    for (int i = 299; i >= 0; i--) {
        snprintf(key, sizeof(key), "k%d", i);
        assert_ptr_equal(io_kept_take(k, span_text(key)), &item[i]);
    }
    assert_null(io_kept_any(k));
    io_kept_destroy(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newest_first),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_many_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
