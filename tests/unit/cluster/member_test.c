#include "cluster/member.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define MANY 1000u

static struct cluster_random dice;

static struct span numbered(unsigned i)
{
    static char text[16];
    return span_of(text, (size_t)snprintf(text, sizeof(text), "node-%u", i));
}

static struct cluster_member *add(struct cluster_members *t, struct span name)
{
    struct cluster_member *m = NULL;
    assert_int_equal(cluster_members_add(t, name, &dice, &m), ERR_OK);
    assert_ptr_equal(cluster_members_find(t, name), m);
    return m;
}

static struct cluster_members *table(unsigned members)
{
    cluster_random_seed(&dice, 7);
    struct cluster_members *t =
        cluster_members_create(MANY, (struct hash_key){.k0 = 1, .k1 = 2});
    for (unsigned i = 0; i < members; i++)
        add(t, numbered(i));
    return t;
}

static void names_and_bounds(void **state)
{
    (void)state;
    struct cluster_members *t = cluster_members_create(2, (struct hash_key){.k0 = 1});
    struct cluster_member *m;
    char name[CLUSTER_NAME_MAX + 1];
    memset(name, 'x', sizeof(name));
    assert_null(cluster_members_find(t, SPAN("")));
    assert_int_equal(cluster_members_add(t, SPAN(""), &dice, &m), ERR_LIMIT);
    assert_int_equal(cluster_members_add(t, span_of(name, sizeof(name)), &dice, &m), ERR_LIMIT);
    m = add(t, span_of(name, CLUSTER_NAME_MAX));
    assert_int_equal(m->state, CLUSTER_DEAD);
    assert_int_equal(cluster_member_name(m).len, CLUSTER_NAME_MAX);
    assert_int_equal(cluster_member_meta(m).len, 0);
    assert_int_equal(m->id, cluster_members_id(t, span_of(name, CLUSTER_NAME_MAX)));
    add(t, SPAN("b"));
    assert_int_equal(cluster_members_add(t, SPAN("c"), &dice, &m), ERR_LIMIT);
    assert_int_equal(cluster_members_count(t), 2);
    cluster_members_drop(t, cluster_members_find(t, SPAN("b")));
    assert_null(cluster_members_find(t, SPAN("b")));
    add(t, SPAN("c"));
    cluster_members_destroy(t);
    cluster_members_destroy(NULL);
}

static void meta(void **state)
{
    (void)state;
    struct cluster_members *t = table(1);
    struct cluster_member *m = cluster_members_at(t, 0);
    char large[CLUSTER_META_MAX];
    memset(large, 'm', sizeof(large));
    cluster_member_set_meta(m, span_of(large, sizeof(large)));
    assert_int_equal(cluster_member_meta(m).len, CLUSTER_META_MAX);
    cluster_member_set_meta(m, span_until(cluster_member_meta(m), 3)); /* of itself */
    assert_true(span_equal(cluster_member_meta(m), SPAN("mmm")));
    cluster_member_set_meta(m, (struct span){0});
    assert_int_equal(cluster_member_meta(m).len, 0);
    assert_true(span_equal(cluster_member_name(m), SPAN("node-0")));
    cluster_members_destroy(t);
}

static void states_have_names(void **state)
{
    (void)state;
    assert_string_equal(cluster_state_text(CLUSTER_ALIVE), "alive");
    assert_string_equal(cluster_state_text(CLUSTER_LEFT), "left");
}

/* Random adds and drops beside a plain array. */
static void agrees_with_an_array(void **state)
{
    (void)state;
    struct cluster_members *t = table(0);
    bool present[300] = {false};
    unsigned count = 0;
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = cluster_random_below(&dice, 300);
        struct cluster_member *m = cluster_members_find(t, numbered(i));
        assert_int_equal(m != NULL, present[i]);
        if (m) {
            assert_true(span_equal(cluster_member_name(m), numbered(i)));
            cluster_members_drop(t, m);
        } else {
            add(t, numbered(i));
        }
        present[i] = !present[i];
        count += present[i] ? 1u : -1u;
        assert_int_equal(cluster_members_count(t), count);
        if (step % 7 == 0)
            (void)cluster_members_turn(t, CLUSTER_RING_PROBE, &dice);
    }
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(cluster_members_find(t, numbered(i)) != NULL, present[i]);
    cluster_members_destroy(t);
}

/* The rest of a round: how often did each member have its turn? */
static void finish_round(struct cluster_members *t, unsigned *turns)
{
    for (struct cluster_member *m; (m = cluster_members_turn(t, CLUSTER_RING_PROBE, &dice));) {
        uint64_t i;
        assert_true(span_to_u64(span_from(cluster_member_name(m), 5), &i));
        turns[i]++;
    }
}

static void each_once_a_round(void **state)
{
    (void)state;
    struct cluster_members *t = table(50);
    char order[2][50];
    for (unsigned round = 0; round < 2; round++) {
        unsigned turns[50] = {0};
        for (unsigned i = 0; i < 50; i++)
            order[round][i] = (char)cluster_members_turn(t, CLUSTER_RING_PROBE, &dice)->at[0];
        assert_null(cluster_members_turn(t, CLUSTER_RING_PROBE, &dice));
        for (unsigned i = 0; i < 50; i++)
            turns[(unsigned)order[round][i]]++;
        for (unsigned i = 0; i < 50; i++)
            assert_int_equal(turns[i], 1);
    }
    assert_memory_not_equal(order[0], order[1], 50);
    cluster_members_destroy(t);
}

/* Members that come and go in a round do not cost others their turn, nor give them two. */
static void changes_in_a_round(void **state)
{
    (void)state;
    for (unsigned had = 0; had <= 20; had++) {
        struct cluster_members *t = table(20);
        unsigned turns[41] = {0};
        unsigned first_turn_of_new = 0;
        for (unsigned i = 0; i < had; i++) {
            uint64_t n;
            struct cluster_member *m = cluster_members_turn(t, CLUSTER_RING_PROBE, &dice);
            assert_true(span_to_u64(span_from(cluster_member_name(m), 5), &n));
            turns[n]++;
        }
        for (unsigned i = 0; i < 20; i += 2)
            cluster_members_drop(t, cluster_members_find(t, numbered(i)));
        for (unsigned i = 20; i < 40; i++)
            add(t, numbered(i));
        finish_round(t, turns);
        for (unsigned i = 0; i < 20; i++)
            if (i % 2 == 1 && turns[i] != 1)
                fail_msg("after %u turns: node-%u had %u", had, i, turns[i]);
        for (unsigned i = 20; i < 40; i++)
            first_turn_of_new += turns[i];
        assert_int_equal(first_turn_of_new, 20);
        cluster_members_destroy(t);
    }
}

static void the_rings_are_apart(void **state)
{
    (void)state;
    struct cluster_members *t = table(3);
    for (unsigned i = 0; i < 3; i++)
        assert_non_null(cluster_members_turn(t, CLUSTER_RING_GOSSIP, &dice));
    assert_non_null(cluster_members_turn(t, CLUSTER_RING_PROBE, &dice));
    assert_null(cluster_members_turn(t, CLUSTER_RING_GOSSIP, &dice));
    cluster_members_destroy(t);
    t = table(0);
    assert_null(cluster_members_turn(t, CLUSTER_RING_GOSSIP, &dice));
    cluster_members_destroy(t);
}

static bool is_odd(const void *user, const struct cluster_member *m)
{
    (void)user;
    return m->at[0] % 2 == 1;
}

static bool is_the_one(const void *user, const struct cluster_member *m)
{
    return m == user;
}

static void picks(void **state)
{
    (void)state;
    struct cluster_member *out[32];
    struct cluster_members *t = table(0);
    assert_int_equal(cluster_members_pick(t, &dice, is_odd, NULL, out, 3), 0);
    cluster_members_destroy(t);
    t = table(21);
    unsigned times[21] = {0};
    for (unsigned round = 0; round < 2000; round++) {
        assert_int_equal(cluster_members_pick(t, &dice, is_odd, NULL, out, 3), 3);
        for (unsigned i = 0; i < 3; i++)
            times[out[i]->at[0]]++;
        assert_true(out[0] != out[1] && out[1] != out[2] && out[0] != out[2]);
    }
    for (unsigned i = 0; i < 21; i++) /* 600 of each odd one */
        assert_in_range(times[i], i % 2 ? 500 : 0, i % 2 ? 700 : 0);
    assert_int_equal(cluster_members_pick(t, &dice, is_odd, NULL, out, 32), 10);
    const struct cluster_member *one = cluster_members_at(t, 13);
    for (unsigned round = 0; round < 50; round++) {
        assert_int_equal(cluster_members_pick(t, &dice, is_the_one, one, out, 1), 1);
        assert_ptr_equal(out[0], one);
    }
    assert_int_equal(cluster_members_pick(t, &dice, is_odd, NULL, out, 0), 0);
    cluster_members_destroy(t);
}

/* The reference numbers of the PCG paper's code come from another stream; these pin ours. */
static void random_repeats(void **state)
{
    (void)state;
    struct cluster_random a, b;
    cluster_random_seed(&a, 42);
    cluster_random_seed(&b, 42);
    unsigned sides[6] = {0};
    for (unsigned i = 0; i < 6000; i++) {
        assert_int_equal(cluster_random_u32(&a), cluster_random_u32(&b));
        sides[cluster_random_below(&a, 6)]++;
        (void)cluster_random_below(&b, 6);
    }
    for (unsigned i = 0; i < 6; i++)
        assert_in_range(sides[i], 850, 1150);
    cluster_random_seed(&b, 43);
    assert_int_not_equal(cluster_random_u32(&a), cluster_random_u32(&b));
    assert_int_equal(cluster_random_below(&a, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_bounds),    cmocka_unit_test(meta),
        cmocka_unit_test(states_have_names),   cmocka_unit_test(agrees_with_an_array),
        cmocka_unit_test(each_once_a_round),   cmocka_unit_test(changes_in_a_round),
        cmocka_unit_test(the_rings_are_apart), cmocka_unit_test(picks),
        cmocka_unit_test(random_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
