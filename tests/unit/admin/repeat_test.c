#include "admin/repeat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct admin_repeats repeats;

static int begin(void **state)
{
    (void)state;
    memset(&repeats, 0, sizeof repeats);
    return 0;
}

static struct admin_repeat make(const char *caller, unsigned number, int64_t now_ms)
{
    char key[32];
    struct admin_repeat made;
    snprintf(key, sizeof key, "k%u", number);
    assert_true(
        admin_repeat_make(span_text(caller), span_text(key), SPAN("{}"), now_ms, &made));
    return made;
}

static void keep(const char *caller, unsigned number, int64_t now_ms)
{
    struct admin_repeat made = make(caller, number, now_ms);
    (void)admin_repeat_keep(&repeats, &made);
}

static bool is_kept(const char *caller, unsigned number, int64_t now_ms)
{
    struct admin_repeat like = make(caller, number, now_ms);
    return admin_repeat_find(&repeats, &like, now_ms) != NULL;
}

static void keys_are_found_for_ten_minutes(void **state)
{
    (void)state;
    keep("t", 1, 1000);
    assert_true(is_kept("t", 1, 1000 + ADMIN_REPEAT_KEEP_MS - 1));
    assert_false(is_kept("t", 1, 1000 + ADMIN_REPEAT_KEEP_MS));
    assert_false(is_kept("t", 2, 1000));
    assert_false(is_kept("u", 1, 1000));
}

/* Who sends many loses its own oldest ones, not another's. */
static void one_token_does_not_push_out_another(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++)
        keep("few", i, 1000);
    for (unsigned i = 0; i < 5000; i++)
        keep("many", i, 2000 + i);
    for (unsigned i = 0; i < 10; i++)
        assert_true(is_kept("few", i, 8000));
    assert_true(is_kept("many", 4999, 8000));
    assert_true(is_kept("many", 5000 - (ADMIN_REPEATS - 10), 8000));
    assert_false(is_kept("many", 5000 - (ADMIN_REPEATS - 10) - 1, 8000));
    /* two that send as many share */
    for (unsigned i = 0; i < 5000; i++)
        keep("too", i, 8000 + i);
    unsigned of_many = 0, of_too = 0;
    for (unsigned i = 0; i < 5000; i++) {
        of_many += is_kept("many", i, 13000);
        of_too += is_kept("too", i, 13000);
    }
    assert_in_range(of_many, 500, 515);
    assert_in_range(of_too, 500, 515);
    assert_true(is_kept("too", 4999, 13000));
}

static void what_is_over_goes_first(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ADMIN_REPEATS / 2; i++)
        keep("a", i, 0);
    for (unsigned i = 0; i < ADMIN_REPEATS / 2; i++)
        keep("b", i, ADMIN_REPEAT_KEEP_MS);
    for (unsigned i = 0; i < ADMIN_REPEATS / 2; i++)
        keep("c", i, ADMIN_REPEAT_KEEP_MS);
    for (unsigned i = 0; i < ADMIN_REPEATS / 2; i++)
        assert_true(is_kept("b", i, ADMIN_REPEAT_KEEP_MS) &&
                    is_kept("c", i, ADMIN_REPEAT_KEEP_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(keys_are_found_for_ten_minutes, begin),
        cmocka_unit_test_setup(one_token_does_not_push_out_another, begin),
        cmocka_unit_test_setup(what_is_over_goes_first, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
