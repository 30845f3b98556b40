#include "cluster/purge_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Records of other nodes in the log: order, gaps, covers, floors, members. */

#define OWN 77u
#define OTHER 5u

static struct cluster_purge_log *l;
static struct cluster_purge_batch batch;
static uint64_t number;
static unsigned answered_ok, answered_err;

static void note_answer(void *user, uint64_t ticket, enum err err)
{
    (void)user;
    (void)ticket;
    *(err == ERR_OK ? &answered_ok : &answered_err) += 1;
}

static int begin(void **state)
{
    (void)state;
    number = 0;
    answered_ok = answered_err = 0;
    l = cluster_purge_log_create(&(struct cluster_purge_log_conf){.node = "fra1",
                                                                  .keep_s = 1000,
                                                                  .stream_id = OWN,
                                                                  .record_max = 500,
                                                                  .answered = note_answer});
    cluster_purge_log_loaded(l, (struct cluster_purge_floors){0}, 0, 1 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    cluster_purge_log_destroy(l);
    return 0;
}

static enum err receive_tag(uint64_t stream, uint64_t seq, const char *tag, uint64_t dedup)
{
    struct cluster_purge_record r = {
        .stream = stream,
        .seq = seq,
        .apply_no = ++number,
        .dedup = dedup,
        .accepted_at_s = 1000,
        .node = SPAN("ams1"),
        .purge = {PURGE_TAG, PURGE_HARD, span_text(tag), SPAN("")}};
    return cluster_purge_log_receive(l, &r, 1);
}

static void receive(uint64_t seq, const char *tag)
{
    assert_int_equal(receive_tag(OTHER, seq, tag, 0), ERR_OK);
}

static void write_all(void)
{
    while (cluster_purge_log_take(l, 1000, &batch))
        cluster_purge_log_written(l, &batch, ERR_OK, 8192);
}

static enum cluster_purge_state state_of(uint64_t seq)
{
    return cluster_purge_log_state(l, (struct cluster_purge_id){OTHER, seq});
}

static uint64_t in_vector(uint64_t stream)
{
    struct cluster_vector v = {0};
    cluster_purge_log_vector(l, &v);
    uint64_t seq = cluster_vector_get(&v, stream);
    cluster_vector_fini(&v);
    assert_int_equal(seq, cluster_purge_log_synced(l, stream));
    return seq;
}

static void only_what_is_synced_without_a_gap_is_told(void **state)
{
    static const struct {
        unsigned seq, synced;
    } steps[] = {{1, 1}, {3, 1}, {5, 1}, {2, 3}, {4, 5}, {7, 5}, {6, 7}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        char tag[16];
        uint64_t serial = cluster_purge_log_serial(l), before = in_vector(OTHER);
        snprintf(tag, sizeof(tag), "t%u", steps[i].seq);
        assert_false(cluster_purge_log_has(l, (struct cluster_purge_id){OTHER, steps[i].seq}));
        receive(steps[i].seq, tag);
        assert_true(cluster_purge_log_has(l, (struct cluster_purge_id){OTHER, steps[i].seq}));
        assert_int_equal(in_vector(OTHER), before); /* pending counts for nothing */
        assert_true(cluster_purge_log_take(l, 1000, &batch));
        cluster_purge_log_written(l, &batch, ERR_SYS, 0);
        assert_int_equal(in_vector(OTHER), before);
        assert_int_equal(cluster_purge_log_serial(l), serial);
        assert_true(cluster_purge_log_take(l, 1001, &batch));
        cluster_purge_log_written(l, &batch, ERR_OK, 8192);
        assert_int_equal(in_vector(OTHER), steps[i].synced);
        assert_int_equal(cluster_purge_log_serial(l) != serial, steps[i].synced != before);
        assert_int_equal(state_of(steps[i].seq), CLUSTER_PURGE_SYNCED);
    }
    assert_int_equal(answered_err, ARRAY_LEN(steps));
    assert_int_equal(answered_ok, 0); /* each was told once */
}

static void one_batch_closes_a_gap_in_any_order(void **state)
{
    (void)state;
    receive(3, "c");
    receive(1, "a");
    receive(2, "b");
    assert_true(cluster_purge_log_take(l, 1000, &batch));
    assert_true(batch.count == 3 && batch.stream_count == 1 &&
                batch.streams[0].synced_seq == 3);
    cluster_purge_log_written(l, &batch, ERR_OK, 8192);
    assert_int_equal(answered_ok, 3);
}

static void one_that_is_here_is_not_written_again(void **state)
{
    (void)state;
    receive(1, "a");
    receive(1, "a");
    assert_true(cluster_purge_log_take(l, 1000, &batch));
    assert_int_equal(batch.records[1]->kind, CLUSTER_PURGE_ANSWER);
    cluster_purge_log_written(l, &batch, ERR_OK, 8192);
    receive(1, "a");
    write_all();
    assert_int_equal(answered_ok, 3);
}

static void what_is_ahead_makes_nothing_needless(void **state)
{
    (void)state;
    receive(1, "a");
    receive(3, "a"); /* 2 is missing: who pulls up to 1 needs the first */
    write_all();
    assert_int_equal(state_of(1), CLUSTER_PURGE_SYNCED);
    receive(2, "b");
    write_all();
    assert_int_equal(in_vector(OTHER), 3);
    receive(4, "a");
    write_all();
    assert_int_equal(state_of(3), CLUSTER_PURGE_SUPERSEDED);
    assert_int_equal(state_of(4), CLUSTER_PURGE_SYNCED);
    assert_int_equal(in_vector(OTHER), 4);
}

static void streams_make_nothing_of_each_other_needless(void **state)
{
    struct purge p = {PURGE_TAG, PURGE_HARD, SPAN("a"), SPAN("")};
    struct cluster_purge_id id;
    (void)state;
    receive(1, "a");
    assert_int_equal(receive_tag(6, 1, "a", 0), ERR_OK);
    assert_int_equal(cluster_purge_log_accept(l, &p, ++number, 0, 1000, 0, &id), ERR_OK);
    p = (struct purge){.kind = PURGE_ALL, .mode = PURGE_HARD};
    assert_int_equal(cluster_purge_log_accept(l, &p, ++number, 0, 1000, 0, &id), ERR_OK);
    write_all();
    assert_int_equal(state_of(1), CLUSTER_PURGE_SYNCED);
    assert_int_equal(in_vector(6), 1);
    assert_int_equal(in_vector(OWN), 2);
    assert_int_equal(cluster_purge_log_own_stream(l), OWN);
}

static void a_cover_counts_behind_what_came_before_it(void **state)
{
    (void)state;
    receive(4, "d"); /* 1 to 3 and 5 were superseded by 4 and 6 at the sender */
    receive(6, "f");
    cluster_purge_log_cover(l, OTHER, 6);
    assert_int_equal(in_vector(OTHER), 0);
    receive(8, "h");
    assert_true(cluster_purge_log_take(l, 1000, &batch));
    assert_int_equal(batch.streams[0].synced_seq, 6);
    cluster_purge_log_written(l, &batch, ERR_SYS, 0);
    assert_int_equal(in_vector(OTHER), 0);
    assert_true(cluster_purge_log_take(l, 1001, &batch)); /* the cover was not lost */
    assert_int_equal(batch.streams[0].synced_seq, 6);
    cluster_purge_log_written(l, &batch, ERR_OK, 8192);
    assert_int_equal(state_of(5), CLUSTER_PURGE_SUPERSEDED);
    assert_int_equal(state_of(7), CLUSTER_PURGE_UNKNOWN);
    receive(7, "g");
    write_all();
    assert_int_equal(in_vector(OTHER), 8);
    cluster_purge_log_cover(l, OTHER, 8); /* says nothing new */
    assert_false(cluster_purge_log_take(l, 1002, &batch));
    cluster_purge_log_cover(l, 9, 3); /* a stream of which nothing is left */
    write_all();
    assert_int_equal(in_vector(9), 3);
}

static void more_than_a_batch_is_covered_by_the_last(void **state)
{
    (void)state;
    const uint64_t last = 2 * CLUSTER_PURGE_BATCH + 88;
    for (uint64_t seq = 2; seq <= last; seq += 2) {
        char tag[24];
        snprintf(tag, sizeof(tag), "t%llu", (unsigned long long)seq);
        receive(seq, tag);
    }
    cluster_purge_log_cover(l, OTHER, last + 1);
    assert_true(cluster_purge_log_take(l, 1000, &batch));
    assert_int_equal(batch.count, CLUSTER_PURGE_BATCH);
    cluster_purge_log_written(l, &batch, ERR_OK, 8192);
    assert_int_equal(in_vector(OTHER), 0);
    write_all();
    assert_int_equal(in_vector(OTHER), last + 1);
}

static void the_fallback_raises_floor_row_and_vector_together(void **state)
{
    (void)state;
    for (int hard = 0; hard < 2; hard++) {
        uint64_t stream = 10u + (unsigned)hard;
        cluster_purge_log_fall_back(l, stream, 30, 500, hard);
        assert_true(cluster_purge_log_take(l, 1000, &batch));
        assert_true(batch.floors_changed);
        assert_int_equal(hard ? batch.floors.hard : batch.floors.soft, 500);
        assert_true(batch.streams[0].synced_seq == 30 && batch.streams[0].floor_seq == 30);
        cluster_purge_log_written(l, &batch, ERR_SYS, 0);
        assert_int_equal(in_vector(stream), 0);
        assert_true(cluster_purge_log_take(l, 1001, &batch));
        cluster_purge_log_written(l, &batch, ERR_OK, 8192);
        assert_int_equal(in_vector(stream), 30);
        assert_int_equal(cluster_purge_log_floor(l, stream), 30);
    }
}

static void nobody_writes_into_our_stream(void **state)
{
    struct purge p = {PURGE_TAG, PURGE_HARD, SPAN("a"), SPAN("")};
    struct cluster_purge_id id;
    (void)state;
    assert_int_equal(receive_tag(OWN, 1, "x", 0), ERR_REFUSED); /* also before it began */
    assert_int_equal(receive_tag(0, 1, "x", 0), ERR_REFUSED);
    assert_int_equal(receive_tag(3, 0, "x", 0), ERR_REFUSED);
    cluster_purge_log_cover(l, OWN, 100);
    cluster_purge_log_fall_back(l, OWN, 100, 9, false); /* distrusts, claims nothing */
    write_all();
    assert_int_equal(in_vector(OWN), 0);
    assert_int_equal(cluster_purge_log_accept(l, &p, ++number, 0, 1000, 0, &id), ERR_OK);
    assert_int_equal(id.seq, 1);
    write_all();
    assert_int_equal(in_vector(OWN), 1);
}

static void what_cannot_be_dropped_is_bounded(void **state)
{
    unsigned taken = 0;
    enum err err = ERR_OK;
    (void)state;
    for (uint64_t seq = 2; err == ERR_OK && taken < 200000; seq += 2) {
        char tag[24];
        snprintf(tag, sizeof(tag), "t%llu", (unsigned long long)seq);
        err = receive_tag(OTHER, seq, tag, 0); /* 1 never comes */
        taken += err == ERR_OK;
        if (taken % 1000 == 0)
            write_all();
    }
    assert_int_equal(err, ERR_LIMIT);
    assert_in_range(taken, 500, 70000);
    assert_int_equal(in_vector(OTHER), 0);
}

static void a_dedup_id_is_known_from_others_too(void **state)
{
    struct purge p = {PURGE_TAG, PURGE_HARD, SPAN("a"), SPAN("")};
    struct cluster_purge_id id;
    (void)state;
    assert_false(cluster_purge_log_knows(l, 42, NULL));
    assert_int_equal(receive_tag(OTHER, 1, "a", 42), ERR_OK);
    assert_true(cluster_purge_log_knows(l, 42, NULL));
    assert_int_equal(cluster_purge_log_accept(l, &p, ++number, 42, 1000, 1, &id), ERR_OK);
    assert_true(id.stream == OTHER && id.seq == 1);
    write_all();
    assert_int_equal(answered_ok, 2);
}

static unsigned told, odd, gone;
static void count_member(void *user, const struct cluster_purge_member *m)
{
    (void)user;
    told++;
    odd += m->generation % 2;
    gone += m->left;
}

static void members_are_kept(void **state)
{
    (void)state;
    struct cluster_purge_member m = {.id = SPAN("ams1")};
    assert_int_equal(cluster_purge_log_set_member(l, &m), ERR_OK);
    m.generation = 3;
    assert_int_equal(cluster_purge_log_set_member(l, &m), ERR_OK);
    m = (struct cluster_purge_member){.id = SPAN("par1"), .left = true};
    assert_int_equal(cluster_purge_log_set_member(l, &m), ERR_OK);
    m.id = SPAN("");
    assert_int_equal(cluster_purge_log_set_member(l, &m), ERR_LIMIT);
    told = odd = gone = 0;
    cluster_purge_log_members(l, count_member, NULL);
    assert_true(told == 2 && odd == 1 && gone == 1);
    assert_true(cluster_purge_log_take(l, 1000, &batch));
    assert_true(batch.count == 3 && batch.records[2]->kind == CLUSTER_PURGE_MEMBER);
    cluster_purge_log_written(l, &batch, ERR_SYS, 0);
    assert_false(cluster_purge_log_take(l, 1000, &batch)); /* nobody waits: in a second */
    assert_true(cluster_purge_log_take(l, 1001, &batch));
    assert_int_equal(batch.count, 3);
    cluster_purge_log_written(l, &batch, ERR_OK, 8192);
    for (unsigned i = 2; i < CLUSTER_PURGE_MEMBERS; i++) {
        char id[16];
        snprintf(id, sizeof(id), "n%u", i);
        m.id = span_text(id);
        assert_int_equal(cluster_purge_log_set_member(l, &m), ERR_OK);
    }
    m.id = SPAN("one more");
    assert_int_equal(cluster_purge_log_set_member(l, &m), ERR_LIMIT);
}

static void a_lost_row_begins_again_over_what_is_here(void **state)
{
    static const uint64_t seqs[] = {1, 2, 4};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(seqs); i++) {
        struct cluster_purge_record r = {.stream = OTHER,
                                         .seq = seqs[i],
                                         .apply_no = i + 1,
                                         .purge = {PURGE_TAG, PURGE_HARD, SPAN("a"), SPAN("")}};
        cluster_purge_log_load(l, &r);
    }
    cluster_purge_log_loaded(l, (struct cluster_purge_floors){0}, 0, 1 << 20);
    assert_int_equal(in_vector(OTHER), 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(only_what_is_synced_without_a_gap_is_told),
        TEST(one_batch_closes_a_gap_in_any_order),
        TEST(one_that_is_here_is_not_written_again),
        TEST(what_is_ahead_makes_nothing_needless),
        TEST(streams_make_nothing_of_each_other_needless),
        TEST(a_cover_counts_behind_what_came_before_it),
        TEST(more_than_a_batch_is_covered_by_the_last),
        TEST(the_fallback_raises_floor_row_and_vector_together),
        TEST(nobody_writes_into_our_stream),
        TEST(what_cannot_be_dropped_is_bounded),
        TEST(a_dedup_id_is_known_from_others_too),
        TEST(members_are_kept),
        TEST(a_lost_row_begins_again_over_what_is_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
