#include "cluster/vector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cluster/random.h"

static struct cluster_vector made(const char *text)
{
    struct cluster_vector v = {0};
    while (*text) { /* "stream:seq stream:seq" */
        char *end;
        uint64_t stream = strtoull(text, &end, 10);
        uint64_t seq = strtoull(end + 1, &end, 10);
        assert_int_equal(cluster_vector_raise(&v, stream, seq), ERR_OK);
        text = *end ? end + 1 : end;
    }
    return v;
}

static void covers_and_equals(void **state)
{
    static const struct {
        const char *a, *b;
        bool covers, equal;
    } cases[] = {
        {"", "", true, true},
        {"1:1", "", true, false},
        {"", "1:1", false, false},
        {"1:1", "1:1", true, true},
        {"1:2", "1:1", true, false},
        {"1:1", "1:2", false, false},
        {"2:9 1:3", "1:3 2:9", true, true},
        {"1:3 3:4", "2:1", false, false},
        {"1:3 2:1 3:4", "2:1 3:4", true, false},
        {"1:3 2:1", "1:3 2:1 3:1", false, false},
        {"1:3 2:1 3:1", "1:4", false, false},
        {"18446744073709551615:18446744073709551615", "18446744073709551615:1", true, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cluster_vector a = made(cases[i].a), b = made(cases[i].b);
        if (cluster_vector_covers(&a, &b) != cases[i].covers ||
            cluster_vector_equal(&a, &b) != cases[i].equal)
            fail_msg("case %zu: '%s' and '%s'", i, cases[i].a, cases[i].b);
        cluster_vector_fini(&a);
        cluster_vector_fini(&b);
    }
}

static void a_row_only_rises(void **state)
{
    struct cluster_vector v = made("7:5");
    (void)state;
    assert_int_equal(cluster_vector_raise(&v, 7, 4), ERR_OK);
    assert_int_equal(cluster_vector_get(&v, 7), 5);
    assert_int_equal(cluster_vector_raise(&v, 7, 6), ERR_OK);
    assert_int_equal(cluster_vector_get(&v, 7), 6);
    assert_int_equal(cluster_vector_raise(&v, 9, 0), ERR_OK); /* where all stand */
    assert_int_equal(v.count, 1);
    assert_int_equal(cluster_vector_get(&v, 6), 0);
    assert_int_equal(cluster_vector_get(&v, 8), 0);
    cluster_vector_fini(&v);
}

static void bytes_there_and_back(void **state)
{
    struct cluster_vector v = {0}, back = {0}, copy = {0};
    struct cluster_random pcg;
    struct buf b;
    (void)state;
    cluster_random_seed(&pcg, 3);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(cluster_vector_raise(&v, 1 + cluster_random_below(&pcg, 500),
                                              1 + cluster_random_u32(&pcg)),
                         ERR_OK);
    buf_init(&b, 0);
    cluster_vector_put(&v, &b);
    assert_int_equal(buf_len(&b), v.count * CLUSTER_VECTOR_ROW_BYTES);
    assert_int_equal(cluster_vector_read(buf_span(&b), &back), ERR_OK);
    assert_true(cluster_vector_equal(&v, &back));
    cluster_vector_copy(&copy, &back);
    assert_true(cluster_vector_equal(&v, &copy));
    cluster_vector_clear(&copy);
    buf_clear(&b);
    cluster_vector_put(&copy, &b);
    assert_int_equal(buf_len(&b), 0);
    assert_int_equal(cluster_vector_read(buf_span(&b), &back), ERR_OK);
    assert_int_equal(back.count, 0);
    buf_fini(&b);
    cluster_vector_fini(&v);
    cluster_vector_fini(&back);
    cluster_vector_fini(&copy);
}

static void nonsense_is_refused(void **state)
{
#define ROW(stream, seq) "\0\0\0\0\0\0\0" stream "\0\0\0\0\0\0\0" seq
    const struct span cases[] = {
        SPAN("\0"),
        SPAN("\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"), /* a byte short */
        SPAN(ROW("\1", "\1") "\0"),             /* a byte more */
        SPAN(ROW("\0", "\1")),                  /* no stream */
        SPAN(ROW("\1", "\0")),                  /* no seq */
        SPAN(ROW("\2", "\1") ROW("\1", "\1")),  /* falling */
        SPAN(ROW("\1", "\1") ROW("\1", "\2")),  /* twice */
        SPAN(ROW("\1", "\1") ROW("\2", "\0")),
    };
    struct cluster_vector v = made("1:1");
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(cluster_vector_read(cases[i], &v), ERR_SYNTAX);
        assert_int_equal(v.count, 0);
    }
    cluster_vector_fini(&v);
}

static void rows_are_bounded(void **state)
{
    size_t bytes = (size_t)(CLUSTER_VECTOR_ROWS + 1) * CLUSTER_VECTOR_ROW_BYTES;
    struct cluster_vector v = {0}, back = {0};
    struct buf b;
    (void)state;
    for (uint64_t i = 1; i <= CLUSTER_VECTOR_ROWS; i++)
        assert_int_equal(cluster_vector_raise(&v, i, i), ERR_OK);
    assert_int_equal(cluster_vector_raise(&v, CLUSTER_VECTOR_ROWS + 1, 1), ERR_LIMIT);
    assert_int_equal(cluster_vector_raise(&v, 5, 9), ERR_OK);
    buf_init(&b, 0);
    cluster_vector_put(&v, &b);
    assert_int_equal(cluster_vector_read(buf_span(&b), &back), ERR_OK);
    assert_true(cluster_vector_equal(&v, &back));
    char *large = calloc(1, bytes);
    assert_int_equal(cluster_vector_read(span_of(large, bytes), &back), ERR_LIMIT);
    assert_int_equal(back.count, 0);
    free(large);
    buf_fini(&b);
    cluster_vector_fini(&v);
    cluster_vector_fini(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(covers_and_equals),    cmocka_unit_test(a_row_only_rises),
        cmocka_unit_test(bytes_there_and_back), cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(rows_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
