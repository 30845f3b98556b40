#include "cluster/purge_recent.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cluster/random.h"

#define SECOND INT64_C(1000000)

static struct cluster_recent *r;

static int begin(void **state)
{
    (void)state;
    r = cluster_recent_create();
    return 0;
}

static int end(void **state)
{
    (void)state;
    cluster_recent_destroy(r);
    return 0;
}

static void add(uint64_t stream, uint64_t seq, uint64_t apply_no)
{
    cluster_recent_add(r, (struct cluster_purge_id){stream, seq}, apply_no);
}

static uint64_t ask_vector(const struct cluster_vector *v, int64_t now_us)
{
    struct buf b;
    buf_init(&b, 0);
    cluster_vector_put(v, &b);
    uint64_t no = cluster_recent_oldest_unknown_to(r, buf_span(&b), now_us);
    buf_fini(&b);
    return no;
}

/* Of two streams. */
static uint64_t ask(uint64_t seq1, uint64_t seq2, int64_t now_us)
{
    struct cluster_vector v = {0};
    assert_int_equal(cluster_vector_raise(&v, 1, seq1), ERR_OK);
    assert_int_equal(cluster_vector_raise(&v, 2, seq2), ERR_OK);
    uint64_t no = ask_vector(&v, now_us);
    cluster_vector_fini(&v);
    return no;
}

static void the_lowest_that_is_not_covered(void **state)
{
    (void)state;
    assert_int_equal(ask(0, 0, 0), CLUSTER_RECENT_ALL);
    add(1, 1, 10);
    add(2, 1, 11);
    add(1, 3, 12); /* out of order */
    add(2, 2, 13);
    add(1, 2, 14);
    static const struct {
        uint64_t seq1, seq2, no;
    } cases[] = {
        {0, 0, 10}, {1, 0, 11}, {0, 1, 10}, {1, 1, 12}, {2, 1, 12},
        {3, 1, 13}, {3, 0, 11}, {2, 2, 12}, {3, 2, 0},  {9, 9, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (ask(cases[i].seq1, cases[i].seq2, 0) != cases[i].no)
            fail_msg("case %zu", i);
    }
}

static void nonsense_is_unknown(void **state)
{
    (void)state;
    static const char zeros[32];
    assert_true(cluster_recent_oldest_unknown_to(r, SPAN("x"), 0) == CLUSTER_RECENT_UNKNOWN);
    assert_true(cluster_recent_oldest_unknown_to(r, span_of(zeros, 16), 0) ==
                CLUSTER_RECENT_UNKNOWN);
    assert_int_equal(cluster_recent_oldest_unknown_to(r, SPAN(""), 0), CLUSTER_RECENT_ALL);
}

static void what_lies_further_back_must_be_covered(void **state)
{
    (void)state;
    struct cluster_vector v = {0};
    assert_int_equal(cluster_vector_raise(&v, 1, 5), ERR_OK);
    cluster_recent_begin(r, &v);
    cluster_vector_fini(&v);
    assert_true(ask(4, 0, 0) == CLUSTER_RECENT_UNKNOWN);
    assert_int_equal(ask(5, 0, 0), CLUSTER_RECENT_ALL);
    for (uint64_t i = 1; i <= CLUSTER_RECENT; i++)
        add(2, i, 100 + i);
    assert_int_equal(ask(5, 0, 0), 101); /* all are remembered */
    add(1, 6, 999999);
    assert_true(ask(5, 0, 0) == CLUSTER_RECENT_UNKNOWN); /* (2, 1) is not any more */
    assert_int_equal(ask(5, 1, 0), 102);
    assert_int_equal(ask(5, CLUSTER_RECENT, 0), 999999);
    assert_int_equal(ask(6, CLUSTER_RECENT, 0), CLUSTER_RECENT_ALL);
}

static void without_a_number_for_a_time(void **state)
{
    (void)state;
    add(1, 1, 50);
    cluster_recent_add_unnumbered(r, 7, 40, 0);
    cluster_recent_add_unnumbered(r, 0, 60, SECOND); /* an invalidation: never gets one */
    assert_int_equal(ask(1, 0, SECOND), 40);
    assert_int_equal(cluster_recent_oldest_unnumbered(r, SECOND), 40);
    cluster_recent_numbered(r, 8);
    cluster_recent_numbered(r, 0);
    assert_int_equal(ask(1, 0, SECOND), 40);
    add(1, 2, 70);
    cluster_recent_numbered(r, 7);
    assert_int_equal(ask(1, 0, SECOND), 60);
    assert_int_equal(ask(2, 0, SECOND), 60);
    int64_t later = SECOND + CLUSTER_RECENT_UNNUMBERED_US;
    assert_int_equal(ask(2, 0, later - 1), 60);
    later += SECOND; /* at most */
    assert_int_equal(ask(2, 0, later), CLUSTER_RECENT_ALL);
    assert_int_equal(cluster_recent_oldest_unnumbered(r, later), 0);
}

/* Clients may make any number of them: nothing becomes unknown by that. */
static void invalidations_without_end(void **state)
{
    (void)state;
    add(1, 1, 50);
    int64_t now_us = 7 * SECOND;
    for (uint64_t i = 0; i < 20ull * CLUSTER_RECENT_UNNUMBERED; i++, now_us += 250) {
        cluster_recent_add_unnumbered(r, 0, 1000 + i, now_us);
        cluster_recent_add_unnumbered(r, 0, 1000 + i / 2, now_us); /* in any order */
        if (i % 1000)
            continue;
        uint64_t lowest = ask(1, 0, now_us);
        assert_true(lowest >= 1000 && lowest <= 1000 + i / 2);
        /* Not much older than it has to be: 11 s, of 4,000 a second each. */
        assert_true(lowest + 11 * 4000 + 4000 >= 1000 + i / 2);
        assert_int_equal(ask(0, 0, now_us), 50);
    }
    assert_int_equal(ask(1, 0, now_us + CLUSTER_RECENT_UNNUMBERED_US + SECOND),
                     CLUSTER_RECENT_ALL);
}

static void too_many_without_a_number_make_all_unknown(void **state)
{
    (void)state;
    for (uint64_t i = 0; i <= CLUSTER_RECENT_UNNUMBERED; i++)
        cluster_recent_add_unnumbered(r, 1 + i, 10 + i, (int64_t)i);
    int64_t until = CLUSTER_RECENT_UNNUMBERED_US; /* of the one that had to give way */
    assert_true(ask(0, 0, until - 1) == CLUSTER_RECENT_UNKNOWN);
    assert_int_equal(cluster_recent_oldest_unnumbered(r, until - 1), 1);
    assert_int_equal(ask(0, 0, until), 11);
}

/* Against the plain way: all that were added, looked at one by one. */
static void as_looking_at_all_says(void **state)
{
    (void)state;
    struct cluster_random pcg;
    cluster_random_seed(&pcg, 11);
    enum { STREAMS = 5, COUNT = 3000 };
    static struct cluster_purge_id added[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        added[i].stream = 1 + cluster_random_below(&pcg, STREAMS);
        added[i].seq = 1 + i / 8 + cluster_random_below(&pcg, 20);
        add(added[i].stream, added[i].seq, i + 1);
        if (i % 10)
            continue;
        struct cluster_vector v = {0};
        for (uint64_t s = 1; s <= STREAMS; s++)
            assert_int_equal(
                cluster_vector_raise(&v, s, i / 8 + cluster_random_below(&pcg, 25)), ERR_OK);
        uint64_t plain = 0;
        for (unsigned k = i + 1; k > 0; k--) {
            if (added[k - 1].seq > cluster_vector_get(&v, added[k - 1].stream))
                plain = k;
        }
        assert_int_equal(ask_vector(&v, 0), plain);
        cluster_vector_fini(&v);
    }
}

static _Atomic bool stop;
static void *reader(void *context)
{
    while (!stop) {
        uint64_t no = cluster_recent_oldest_unknown_to(r, SPAN(""), 0);
        if (no != 0 && no != 1 && no != CLUSTER_RECENT_UNKNOWN)
            *(unsigned *)context += 1;
    }
    return NULL;
}

static void workers_ask_while_control_writes(void **state)
{
    (void)state;
    pthread_t threads[2];
    unsigned wrong[2] = {0};
    stop = false;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, &wrong[i]), 0);
    for (uint64_t i = 1; i < 2000; i++)
        add(1 + i % 7, i, i);
    stop = true;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(wrong[0] == 0 && wrong[1] == 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(the_lowest_that_is_not_covered),
        TEST(nonsense_is_unknown),
        TEST(what_lies_further_back_must_be_covered),
        TEST(without_a_number_for_a_time),
        TEST(invalidations_without_end),
        TEST(too_many_without_a_number_make_all_unknown),
        TEST(as_looking_at_all_says),
        TEST(workers_ask_while_control_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
