#include "base/counter.h"

#include <pthread.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void every_counter_is_named(void **state)
{
    (void)state;
    for (int i = 0; i < COUNTER_COUNT; i++) {
        const struct counter_info *a = counter_info((enum counter)i);
        assert_non_null(a->name);
        assert_true(strncmp(a->name, "perigee_", 8) == 0);
        assert_true(strcmp(a->name + strlen(a->name) - 6, "_total") == 0);
        assert_true(a->help && a->help[0]);
        for (int j = 0; j < i; j++) {
            const struct counter_info *b = counter_info((enum counter)j);
            if (strcmp(a->name, b->name) != 0)
                continue;
            /* One name, several labels: they stand together and share the help text. */
            assert_non_null(a->label);
            assert_non_null(b->label);
            assert_string_not_equal(a->label, b->label);
            assert_string_equal(a->help, b->help);
            assert_string_equal(counter_info((enum counter)(i - 1))->name, a->name);
        }
    }
}

static void *add_many(void *with_block)
{
    if (with_block)
        counter_thread_init();
    for (int i = 0; i < 1000; i++)
        counter_add(COUNTER_PURGES, 2);
    return NULL;
}

static void no_addition_is_lost(void **state)
{
    (void)state;
    /* More threads than blocks: the rest add to the shared one, at the same time. */
    for (int round = 0; round < 75; round++) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, add_many, i ? threads : NULL),
                             0);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
    }
    for (int round = 0; round < 10; round++) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, add_many, threads), 0);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
    }
    counter_thread_init();
    counter_add(COUNTER_PURGES, 1);
    assert_int_equal(counter_sum(COUNTER_PURGES), (300 + 40) * 2000 + 1);
    assert_int_equal(counter_sum(COUNTER_RELOADS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_counter_is_named),
        cmocka_unit_test(no_addition_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
