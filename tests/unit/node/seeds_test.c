#include "node/seeds_ev.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define JOINS_MAX 16
#define PATIENCE_MS 10000

struct scene {
    struct io_loop *loop;
    struct node_seeds *seeds;
    struct io_timer late;
    struct addr joined[JOINS_MAX];
    unsigned joins, wanted;
};

static struct addr at(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse_with_port(span_text(text), &a), ERR_OK);
    return a;
}

static void join(void *user, const struct addr *seed)
{
    struct scene *s = user;
    assert_true(s->joins < JOINS_MAX);
    s->joined[s->joins++] = *seed;
    if (s->joins >= s->wanted)
        io_loop_stop(s->loop);
}

static void too_late(struct io_timer *t)
{
    io_loop_stop(t->loop);
}

static int set_up(void **state)
{
    struct scene *s = must_alloc(sizeof *s);
    struct addr own = at("127.0.0.1:7946");
    s->loop = io_loop_create();
    s->seeds = node_seeds_create(s->loop, &own, join, s);
    io_timer_init(&s->late, s->loop, too_late);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;
    io_timer_stop(&s->late);
    node_seeds_destroy(s->seeds);
    io_loop_destroy(s->loop);
    free(s);
    return 0;
}

/* Runs until so many joins were asked for in all. */
static void run_until(struct scene *s, unsigned joins)
{
    s->wanted = joins;
    io_timer_set(&s->late, s->loop->now_ms + PATIENCE_MS);
    io_loop_run(s->loop);
    assert_int_equal(s->joins, joins);
}

static void set(struct scene *s, const struct conf_seed *seeds, uint32_t count)
{
    struct conf_seed copy[8];
    for (uint32_t i = 0; i < count; i++)
        copy[i] = seeds[i];
    node_seeds_set(s->seeds, &(struct conf_cluster){.join = copy, .join_count = count});
}

static const struct conf_seed three[] = {
    {"127.0.0.1", 7946}, {"127.0.0.2", 7946}, {"127.0.0.1", 7947}};

/* Ourselves are not asked, and are no failure. */
static void test_all_but_us(void **state)
{
    struct scene *s = *state;
    set(s, three, 3);
    run_until(s, 2);
    assert_int_equal(node_seeds_left(s->seeds), 2);
    struct addr one = at("127.0.0.2:7946"), two = at("127.0.0.1:7947");
    assert_true(addr_equal(&s->joined[0], &one) && addr_equal(&s->joined[1], &two));
    node_seeds_done(s->seeds, &one, ERR_OK);
    node_seeds_done(s->seeds, &two, ERR_OK);
    assert_int_equal(node_seeds_left(s->seeds), 0);
}

static void test_again_until_it_answers(void **state)
{
    struct scene *s = *state;
    struct addr one = at("127.0.0.2:7946");
    set(s, &three[1], 1);
    run_until(s, 1);
    int64_t began_ms = s->loop->now_ms;
    node_seeds_done(s->seeds, &one, ERR_TIMEOUT);
    run_until(s, 2);
    int64_t waited_ms = s->loop->now_ms - began_ms;
    assert_true(waited_ms >= NODE_SEEDS_FIRST_MS);
    began_ms = s->loop->now_ms;
    node_seeds_done(s->seeds, &one, ERR_CLOSED);
    run_until(s, 3);
    assert_true(s->loop->now_ms - began_ms >= 2 * NODE_SEEDS_FIRST_MS);
    node_seeds_done(s->seeds, &one, ERR_OK);
    assert_int_equal(node_seeds_left(s->seeds), 0);
    struct addr stranger = at("127.0.0.9:1");
    node_seeds_done(s->seeds, &stranger, ERR_CLOSED); /* somebody's reconnect */
    assert_int_equal(node_seeds_left(s->seeds), 0);
}

/* A reload: who stays is not asked anew, who goes is forgotten with its question. */
static void test_other_seeds(void **state)
{
    struct scene *s = *state;
    struct addr one = at("127.0.0.2:7946");
    set(s, three, 2);
    run_until(s, 1);
    node_seeds_done(s->seeds, &one, ERR_OK);
    set(s, &three[1], 2);
    run_until(s, 2);
    struct addr two = at("127.0.0.1:7947");
    assert_true(addr_equal(&s->joined[1], &two));
    set(s, NULL, 0);
    assert_int_equal(node_seeds_left(s->seeds), 0);
    node_seeds_done(s->seeds, &two, ERR_CLOSED); /* nobody's any more */
    assert_int_equal(node_seeds_left(s->seeds), 0);
}

static void test_alone(void **state)
{
    struct scene *s = *state;
    struct addr one = at("127.0.0.2:7946");
    set(s, &three[1], 1);
    run_until(s, 1);
    node_seeds_done(s->seeds, &one, ERR_OK);
    int64_t now_ms = s->loop->now_ms;
    node_seeds_tick(s->seeds, true, now_ms);
    node_seeds_tick(s->seeds, true, now_ms + NODE_SEEDS_ALONE_MS - 1);
    node_seeds_tick(s->seeds, false, now_ms + NODE_SEEDS_ALONE_MS);
    node_seeds_tick(s->seeds, true, now_ms + NODE_SEEDS_ALONE_MS + 1);
    node_seeds_tick(s->seeds, true, now_ms + 2 * NODE_SEEDS_ALONE_MS);
    assert_int_equal(node_seeds_left(s->seeds), 0);
    node_seeds_tick(s->seeds, true, now_ms + 2 * NODE_SEEDS_ALONE_MS + 1);
    assert_int_equal(node_seeds_left(s->seeds), 1);
}

/* RFC 6761 6.4: nobody has this name. */
static void test_name_that_is_none(void **state)
{
    struct scene *s = *state;
    static const struct conf_seed none = {"no-such-name.invalid", 7946};
    set(s, &none, 1);
    io_timer_set(&s->late, s->loop->now_ms + 1500);
    io_loop_run(s->loop);
    assert_int_equal(s->joins, 0);
    assert_int_equal(node_seeds_left(s->seeds), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_but_us, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_again_until_it_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_seeds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_name_that_is_none, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
