#include "node/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static uint8_t after(struct node_load *l, int64_t now_ms, uint64_t cpu_us, uint32_t cpus,
                     uint64_t connections, uint64_t connections_max)
{
    return node_load_percent(
        l, &(struct node_load_seen){now_ms, cpu_us, cpus, connections, connections_max});
}

static void test_connections(void **state)
{
    (void)state;
    struct node_load l = {0};
    assert_int_equal(after(&l, 1000, 0, 2, 0, 200), 0);
    assert_int_equal(after(&l, 2000, 0, 2, 50, 200), 25);
    assert_int_equal(after(&l, 3000, 0, 2, 500, 200), 100);
    assert_int_equal(after(&l, 4000, 0, 2, 5, 0), 0); /* no limit known */
}

/* Two CPUs, both busy: it takes a while to be believed, and a while to be forgotten. */
static void test_cpus(void **state)
{
    (void)state;
    struct node_load l = {0};
    uint64_t used_us = 5000000;
    int64_t now_ms = 100000;
    uint8_t percent = after(&l, now_ms, used_us, 2, 0, 1);
    assert_int_equal(percent, 0); /* what was before is not known */
    percent = after(&l, now_ms += 1000, used_us += 2000000, 2, 0, 1);
    assert_int_equal(percent, 10);
    for (int i = 0; i < 40; i++)
        percent = after(&l, now_ms += 1000, used_us += 2000000, 2, 0, 1);
    assert_true(percent >= 98);
    assert_int_equal(after(&l, now_ms += 1000, used_us, 2, 100, 100), 100); /* the fuller */
    for (int i = 0; i < 40; i++)
        percent = after(&l, now_ms += 1000, used_us, 2, 0, 1);
    assert_true(percent <= 2);
    /* A long sleep, a clock that stands, figures that fall: nothing odd. */
    percent = after(&l, now_ms += 3600000, used_us += 3600000000, 2, 0, 1);
    assert_int_equal(percent, 50);
    assert_int_equal(after(&l, now_ms, used_us + 1, 2, 0, 1), 50);
    assert_int_equal(after(&l, now_ms + 1000, 0, 2, 0, 1), 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections),
        cmocka_unit_test(test_cpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
