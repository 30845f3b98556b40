#include "cluster/owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/hash.h"

#define KEYS 20000u

static void fill(struct cluster_candidate *c, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        c[i] = (struct cluster_candidate){.id_hash = hash_mix(i + 1), .capacity = 1};
}

static uint32_t owner_of(const struct cluster_candidate *c, uint32_t count, uint32_t key)
{
    uint32_t out = UINT32_MAX;
    assert_int_equal(cluster_owner_order(c, count, hash_mix(key), 1, &out), 1);
    return out;
}

static void the_order_is_the_same_whatever_the_view(void **state)
{
    struct cluster_candidate c[5], turned[5];
    uint32_t a[5], b[5];
    (void)state;
    fill(c, 5);
    for (uint32_t i = 0; i < 5; i++)
        turned[i] = c[4 - i];
    for (uint32_t key = 0; key < 500; key++) {
        assert_int_equal(cluster_owner_order(c, 5, key, 5, a), 5);
        assert_int_equal(cluster_owner_order(turned, 5, key, 5, b), 5);
        for (uint32_t i = 0; i < 5; i++)
            assert_int_equal(a[i], 4 - b[i]);
    }
}

static void shares_follow_capacity(void **state)
{
    struct cluster_candidate c[4];
    uint32_t keys[4] = {0};
    (void)state;
    fill(c, 4);
    c[2].capacity = 2;
    c[3].capacity = 0; /* nonsense counts as 1 */
    for (uint32_t key = 0; key < KEYS; key++)
        keys[owner_of(c, 4, key)]++;
    for (uint32_t i = 0; i < 4; i++)
        assert_in_range(keys[i], KEYS / 5 * (i == 2 ? 2 : 1) * 93 / 100,
                        KEYS / 5 * (i == 2 ? 2 : 1) * 107 / 100);
}

static void only_the_keys_of_who_goes_move(void **state)
{
    struct cluster_candidate c[6];
    uint32_t next[2], moved = 0;
    (void)state;
    fill(c, 6);
    for (uint32_t key = 0; key < KEYS; key++) {
        assert_int_equal(cluster_owner_order(c, 6, hash_mix(key), 2, next), 2);
        uint32_t without = owner_of(c, 5, key);
        assert_int_equal(without, next[0] == 5 ? next[1] : next[0]);
        moved += next[0] == 5;
    }
    assert_in_range(moved, KEYS / 6 * 93 / 100, KEYS / 6 * 107 / 100);
}

static void the_overloaded_are_passed_over(void **state)
{
    static const struct {
        struct cluster_candidate first;
        bool passed_over;
        const char *why;
    } cases[] = {
        {{.open = 0}, false, "idle"},
        {{.open = CLUSTER_OWNER_BOUND_MIN - 1}, false, "little load moves nothing"},
        {{.open = CLUSTER_OWNER_BOUND_MIN}, true, "above the mean's bound"},
        {{.open = 1000, .me = true}, false, "itself"},
        {{.load = CLUSTER_OWNER_LOAD_MAX}, true, "says that it is full"},
        {{.load = CLUSTER_OWNER_LOAD_MAX - 1}, false, "says that it is not"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cluster_candidate c[3];
        uint32_t before[3], after[3];
        fill(c, 3);
        assert_int_equal(cluster_owner_order(c, 3, 99, 3, before), 3);
        struct cluster_candidate *first = &c[before[0]];
        first->open = cases[i].first.open;
        first->load = cases[i].first.load;
        first->me = cases[i].first.me;
        assert_int_equal(cluster_owner_order(c, 3, 99, 3, after), 3);
        if (after[cases[i].passed_over ? 2 : 0] != before[0])
            fail_msg("%s", cases[i].why);
        if (cases[i].passed_over && after[0] != before[1])
            fail_msg("%s: not the next one", cases[i].why);
    }
}

static void evenly_loaded_nobody_is_passed_over(void **state)
{
    struct cluster_candidate c[3];
    (void)state;
    fill(c, 3);
    for (uint32_t key = 0; key < 100; key++) {
        uint32_t before = owner_of(c, 3, key);
        for (uint32_t i = 0; i < 3; i++)
            c[i].open = 500;
        assert_int_equal(owner_of(c, 3, key), before);
        for (uint32_t i = 0; i < 3; i++)
            c[i].open = 0;
    }
}

static void few_and_many(void **state)
{
    struct cluster_candidate c[100];
    uint32_t out[100];
    (void)state;
    fill(c, 100);
    assert_int_equal(cluster_owner_order(c, 0, 1, 3, out), 0);
    assert_int_equal(cluster_owner_order(c, 1, 1, 3, out), 1);
    assert_int_equal(cluster_owner_order(c, 100, 1, 0, out), 0);
    assert_int_equal(cluster_owner_order(c, 100, 1, 100, out), CLUSTER_OWNER_ORDER_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_is_the_same_whatever_the_view),
        cmocka_unit_test(shares_follow_capacity),
        cmocka_unit_test(only_the_keys_of_who_goes_move),
        cmocka_unit_test(the_overloaded_are_passed_over),
        cmocka_unit_test(evenly_loaded_nobody_is_passed_over),
        cmocka_unit_test(few_and_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
