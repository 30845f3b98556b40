#include "base/snapshot.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static atomic_int destroyed;

static void note_end(struct snapshot *s)
{
    (void)s;
    atomic_fetch_add(&destroyed, 1);
}

static void *hold_and_drop(void *arg)
{
    struct snapshot *s = arg;
    for (int i = 0; i < 10000; i++) {
        snapshot_hold(s);
        snapshot_drop(s);
    }
    snapshot_drop(s);
    return NULL;
}

static void the_last_one_frees_it_once(void **state)
{
    (void)state;
    struct snapshot s;
    pthread_t threads[3];
    snapshot_init(&s, note_end);
    for (int i = 0; i < 3; i++) {
        snapshot_hold(&s);
        assert_int_equal(pthread_create(&threads[i], NULL, hold_and_drop, &s), 0);
    }
    assert_int_equal(destroyed, 0);
    snapshot_drop(&s);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(destroyed, 1);
    snapshot_drop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_last_one_frees_it_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
