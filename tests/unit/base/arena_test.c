#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void pointers_are_aligned_and_apart(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 64 * 1024);
    char *before = NULL;
    for (size_t bytes = 0; bytes < 300; bytes++) {
        char *ptr = arena_alloc(&a, bytes);
        assert_non_null(ptr);
        assert_int_equal((uintptr_t)ptr % 8, 0);
        assert_ptr_not_equal(ptr, before);
        memset(ptr, (int)bytes, bytes);
        before = ptr;
    }
    arena_fini(&a);
}

static void the_cap_holds(void **state)
{
    (void)state;
    static const size_t caps[] = {0, 7, 8, 100, 4096, 4104, 5000, 64 * 1024, 1024 * 1024};
    static const size_t sizes[] = {1, 24, 1000, 5000};
    for (size_t c = 0; c < ARRAY_LEN(caps); c++) {
        for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
            struct arena a;
            size_t given = 0;
            arena_init(&a, caps[c]);
            for (void *ptr; (ptr = arena_alloc(&a, sizes[s])); given += sizes[s])
                memset(ptr, 1, sizes[s]);
            assert_true(given <= caps[c]);
            assert_true(a.used_bytes <= caps[c]);
            /* Small pieces use nearly all of it. */
            if (sizes[s] == 24 && caps[c] >= 4096)
                assert_true(given >= caps[c] / 8 * 7);
            arena_fini(&a);
        }
    }
    struct arena a;
    arena_init(&a, 4096);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 6));
    assert_null(arena_alloc(&a, 4097));
    assert_non_null(arena_alloc(&a, 4096));
    assert_null(arena_alloc(&a, 1));
    arena_fini(&a);
}

static void reset_keeps_the_first_block(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024 * 1024);
    char *first = arena_alloc(&a, 100);
    for (int i = 0; i < 100; i++)
        assert_non_null(arena_alloc(&a, 5000));
    arena_reset(&a);
    assert_ptr_equal(arena_alloc(&a, 100), first);
    assert_int_equal(a.used_bytes, 4096);
    arena_fini(&a);
    assert_null(a.first);
    arena_reset(&a);
    arena_fini(&a);
}

static void a_large_piece_leaves_the_block_in_use(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024 * 1024);
    char *first = arena_alloc(&a, 8);
    char *large = arena_alloc(&a, 100000);
    memset(large, 1, 100000);
    assert_ptr_equal(arena_alloc(&a, 8), first + 8);
    arena_fini(&a);
}

static void copies_and_prints(void **state)
{
    (void)state;
    struct arena a;
    struct span s;
    arena_init(&a, 6000);
    assert_true(arena_copy(&a, span_of(NULL, 0), &s));
    assert_non_null(s.ptr);
    assert_true(arena_copy(&a, SPAN("hello"), &s));
    assert_true(span_equal(s, SPAN("hello")));
    assert_true(arena_printf(&a, &s, "%d-%s", 12, "x"));
    assert_true(span_equal(s, SPAN("12-x")));
    assert_int_equal(s.ptr[s.len], 0);
    while (a.end - a.at > 8)
        assert_non_null(arena_alloc(&a, 8));
    assert_true(arena_printf(&a, &s, "%s", "seven..")); /* with its NUL exactly what is left */
    assert_true(a.at == a.end);
    assert_true(arena_printf(&a, &s, "%s", "eight...")); /* a new block */
    assert_true(span_equal(s, SPAN("eight...")));
    assert_false(arena_printf(&a, &s, "%6000d", 1));
    unsigned char *zeros = arena_zalloc(&a, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zeros[i], 0);
    arena_fini(&a);
}

static void printing_is_the_first_thing(void **state)
{
    (void)state;
    struct arena a;
    struct span s;
    arena_init(&a, 6000);
    assert_true(arena_printf(&a, &s, "%s", ""));
    assert_int_equal(s.len, 0);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pointers_are_aligned_and_apart),
        cmocka_unit_test(the_cap_holds),
        cmocka_unit_test(reset_keeps_the_first_block),
        cmocka_unit_test(a_large_piece_leaves_the_block_in_use),
        cmocka_unit_test(copies_and_prints),
        cmocka_unit_test(printing_is_the_first_thing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
