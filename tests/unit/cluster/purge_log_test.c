#include "cluster/purge_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define STREAM 77u
#define DAY 86400
#define KEPT (2 * CLUSTER_PURGE_BATCH - 48)

static struct {
    unsigned count;
    uint64_t ticket[2 * CLUSTER_PURGE_BATCH];
    enum err err[2 * CLUSTER_PURGE_BATCH];
    struct cluster_purge_log *accept_in; /* one more purge from within an answer */
} answers;

static struct cluster_purge_log *l;
static struct cluster_purge_batch batch;
static uint64_t number;

static struct cluster_purge_id accept_at(enum purge_kind kind, enum purge_mode mode,
                                         const char *selector, uint64_t ticket, int64_t now_s)
{
    struct purge p = {kind, mode, span_text(selector), SPAN("")};
    struct cluster_purge_id id = {0};
    assert_int_equal(cluster_purge_log_accept(l, &p, ++number, 0, now_s, ticket, &id), ERR_OK);
    return id;
}

static struct cluster_purge_id accept_tag(const char *tag, uint64_t ticket)
{
    return accept_at(PURGE_TAG, PURGE_HARD, tag, ticket, 1000);
}

static void note_answer(void *user, uint64_t ticket, enum err err)
{
    (void)user;
    answers.ticket[answers.count] = ticket;
    answers.err[answers.count++] = err;
    if (answers.accept_in) {
        answers.accept_in = NULL;
        (void)accept_tag("from within", 0);
        assert_false(cluster_purge_log_take(l, 1000, &(struct cluster_purge_batch){0}));
    }
}

static int begin(void **state)
{
    (void)state;
    answers.count = 0;
    answers.accept_in = NULL;
    number = 0;
    l = cluster_purge_log_create(&(struct cluster_purge_log_conf){.node = "fra1",
                                                                  .keep_s = 7 * DAY,
                                                                  .stream_id = STREAM,
                                                                  .record_max = KEPT,
                                                                  .answered = note_answer});
    cluster_purge_log_loaded(l, (struct cluster_purge_floors){0}, 0, 1 << 24);
    return 0;
}

static int end(void **state)
{
    (void)state;
    cluster_purge_log_destroy(l);
    return 0;
}

static void write_now(enum err err, int64_t now_s)
{
    assert_true(cluster_purge_log_take(l, now_s, &batch));
    cluster_purge_log_written(l, &batch, err, 8192);
}

static struct cluster_purge_log_figures figures(void)
{
    struct cluster_purge_log_figures f;
    cluster_purge_log_figures(l, &f);
    return f;
}

static void answers_come_after_the_sync_in_order(void **state)
{
    (void)state;
    assert_false(cluster_purge_log_take(l, 1000, &batch));
    struct cluster_purge_id a = accept_tag("a", 1), b = accept_tag("b", 0), c;
    assert_true(a.stream == STREAM && a.seq == 1 && b.seq == 2);
    assert_int_equal(cluster_purge_log_state(l, b), CLUSTER_PURGE_PENDING_HERE);
    assert_true(cluster_purge_log_take(l, 1000, &batch));
    c = accept_tag("c", 3); /* arrives meanwhile: the next batch */
    assert_int_equal(batch.count, 2);
    assert_int_equal(batch.stream_count, 1);
    assert_true(batch.streams[0].id == STREAM && batch.streams[0].synced_seq == 2);
    assert_false(cluster_purge_log_take(l, 1000, &batch)); /* one at a time */
    assert_int_equal(answers.count, 0);
    cluster_purge_log_written(l, &batch, ERR_OK, 8192);
    assert_int_equal(answers.count, 1);
    assert_int_equal(cluster_purge_log_state(l, b), CLUSTER_PURGE_SYNCED);
    assert_int_equal(cluster_purge_log_state(l, c), CLUSTER_PURGE_PENDING_HERE);
    answers.accept_in = l;
    write_now(ERR_OK, 1000);
    assert_true(answers.count == 2 && answers.ticket[1] == 3 && answers.err[1] == ERR_OK);
    assert_int_equal(figures().pending, 1);
    write_now(ERR_OK, 1000);
    assert_false(cluster_purge_log_take(l, 1000, &batch));
    assert_int_equal(cluster_purge_log_state(l, (struct cluster_purge_id){STREAM, 5}),
                     CLUSTER_PURGE_UNKNOWN);
    assert_int_equal(cluster_purge_log_state(l, (struct cluster_purge_id){1, 1}),
                     CLUSTER_PURGE_UNKNOWN);
}

static void a_failing_disk_answers_all_and_loses_nothing(void **state)
{
    (void)state;
    /* more than a batch: those behind are told too */
    const unsigned count = CLUSTER_PURGE_BATCH + 44;
    for (unsigned i = 0; i < count; i++) {
        char tag[16];
        snprintf(tag, sizeof(tag), "t%u", i);
        (void)accept_tag(tag, i + 1);
    }
    answers.accept_in = l;
    assert_true(cluster_purge_log_take(l, 1000, &batch));
    assert_int_equal(batch.count, CLUSTER_PURGE_BATCH);
    cluster_purge_log_written(l, &batch, ERR_SYS, 0);
    assert_int_equal(answers.count, count);
    for (unsigned i = 0; i < count; i++)
        assert_true(answers.ticket[i] == i + 1 && answers.err[i] == ERR_SYS);
    assert_false(figures().ok);
    /* The one from within an answer has not been told anything: tried at once. */
    write_now(ERR_SYS, 1000);
    assert_false(cluster_purge_log_take(l, 1000, &batch)); /* all told: not before a second */
    (void)accept_tag("new", 999);
    write_now(ERR_SYS, 1000);
    assert_int_equal(answers.count, count + 1);
    write_now(ERR_OK, 1001); /* it recovered */
    write_now(ERR_OK, 1001);
    assert_true(figures().ok);
    assert_int_equal(figures().pending, 0);
    assert_int_equal(answers.count, count + 1); /* nobody is told twice */
    assert_int_equal(cluster_purge_log_state(l, (struct cluster_purge_id){STREAM, count + 2}),
                     CLUSTER_PURGE_SYNCED);
}

static void a_full_map_asks_for_less_at_a_time(void **state)
{
    (void)state;
    char tag[16];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(tag, sizeof(tag), "t%u", i);
        (void)accept_tag(tag, i + 1);
    }
    static const unsigned counts[] = {100, 50, 25, 12, 6, 3, 1};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        assert_true(cluster_purge_log_take(l, 1000, &batch));
        assert_int_equal(batch.count, counts[i]);
        assert_int_equal(cluster_purge_batch_is_smallest(&batch), counts[i] == 1);
        cluster_purge_log_again(l, &batch);
        assert_true(figures().ok);
        assert_int_equal(figures().pending, 100);
        assert_int_equal(answers.count, 0); /* nobody is told before it is settled */
    }
    unsigned took = 0, at_once = 1;
    while (took < 100) { /* and larger ones again, as they go well */
        assert_true(cluster_purge_log_take(l, 1000, &batch));
        assert_int_equal(batch.count, at_once < 100 - took ? at_once : 100 - took);
        took += batch.count;
        at_once *= 2;
        cluster_purge_log_written(l, &batch, ERR_OK, 8192);
    }
    assert_int_equal(answers.count, 100);
    for (unsigned i = 0; i < 100; i++)
        assert_true(answers.ticket[i] == i + 1 && answers.err[i] == ERR_OK);
}

static void what_waits_is_bounded(void **state)
{
    (void)state;
    static char big[PURGE_SELECTOR_MAX];
    memset(big, 'x', sizeof(big));
    struct purge p = {PURGE_TAG, PURGE_HARD, span_of(big, sizeof(big)), SPAN("")};
    struct cluster_purge_id id;
    unsigned count = 0;
    while (cluster_purge_log_accept(l, &p, ++number, 0, 1000, 0, &id) == ERR_OK)
        count++;
    assert_in_range(count, 3500, 4200); /* 32 MiB of 8 KiB */
    write_now(ERR_OK, 1000);
    assert_int_equal(cluster_purge_log_accept(l, &p, ++number, 0, 1000, 0, &id), ERR_OK);
    assert_int_equal(id.seq, count + 1); /* the refused ones took no seq */
}

static void a_dedup_id_writes_once(void **state)
{
    (void)state;
    struct purge p = {PURGE_TAG, PURGE_HARD, SPAN("a"), SPAN("")};
    struct cluster_purge_id first, again;
    assert_int_equal(cluster_purge_log_accept(l, &p, 1, 42, 1000, 1, &first), ERR_OK);
    assert_int_equal(cluster_purge_log_accept(l, &p, 2, 42, 1000, 2, &again), ERR_OK);
    assert_true(again.stream == first.stream && again.seq == first.seq);
    write_now(ERR_SYS, 1000); /* the one that only waits is told, and gone */
    assert_int_equal(answers.count, 2);
    assert_int_equal(figures().pending, 1);
    write_now(ERR_OK, 1001);
    assert_int_equal(cluster_purge_log_accept(l, &p, 3, 42, 1000, 3, &again), ERR_OK);
    assert_int_equal(again.seq, 1);
    write_now(ERR_OK, 1001);
    assert_true(answers.count == 3 && answers.ticket[2] == 3 && answers.err[2] == ERR_OK);
    assert_int_equal(figures().records, 1);
}

static void a_later_one_supersedes(void **state)
{
    (void)state;
    static const struct {
        enum purge_kind kind1, kind2;
        enum purge_mode mode1, mode2;
        const char *selector1, *selector2;
        bool dropped;
        const char *why;
    } rows[] = {
        {PURGE_TAG, PURGE_TAG, PURGE_HARD, PURGE_HARD, "a", "a", true, "the same"},
        {PURGE_TAG, PURGE_TAG, PURGE_SOFT, PURGE_HARD, "a", "a", true, "harder"},
        {PURGE_TAG, PURGE_TAG, PURGE_SOFT, PURGE_SOFT, "a", "a", true, "both soft"},
        {PURGE_TAG, PURGE_TAG, PURGE_HARD, PURGE_SOFT, "a", "a", false, "softer"},
        {PURGE_TAG, PURGE_TAG, PURGE_HARD, PURGE_HARD, "a", "b", false, "another selector"},
        {PURGE_HOST, PURGE_TAG, PURGE_HARD, PURGE_HARD, "a", "a", false, "another kind"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int together = 0; together < 2; together++) {
            (void)end(NULL);
            (void)begin(NULL);
            struct cluster_purge_id a =
                accept_at(rows[i].kind1, rows[i].mode1, rows[i].selector1, 1, 1000);
            if (!together)
                write_now(ERR_OK, 1000);
            (void)accept_at(rows[i].kind2, rows[i].mode2, rows[i].selector2, 2, 1000);
            assert_true(cluster_purge_log_take(l, 1000, &batch));
            if (batch.drop_count != rows[i].dropped)
                fail_msg("%s, together %d", rows[i].why, together);
            /* Not before the later one is synced. */
            cluster_purge_log_written(l, &batch, ERR_SYS, 0);
            assert_int_not_equal(cluster_purge_log_state(l, a), CLUSTER_PURGE_SUPERSEDED);
            write_now(ERR_OK, 1001);
            assert_int_equal(cluster_purge_log_state(l, a),
                             rows[i].dropped ? CLUSTER_PURGE_SUPERSEDED : CLUSTER_PURGE_SYNCED);
            assert_int_equal(figures().superseded, rows[i].dropped);
        }
    }
}

static void another_site_is_another_key(void **state)
{
    (void)state;
    struct cluster_purge_id id;
    struct purge p = {PURGE_TAG, PURGE_HARD, SPAN("a"), SPAN("")};
    assert_int_equal(cluster_purge_log_accept(l, &p, 1, 0, 1000, 0, &id), ERR_OK);
    p.site = SPAN("www");
    assert_int_equal(cluster_purge_log_accept(l, &p, 2, 0, 1000, 0, &id), ERR_OK);
    p = (struct purge){PURGE_ALL, PURGE_HARD, SPAN(""), SPAN("www")};
    assert_int_equal(cluster_purge_log_accept(l, &p, 3, 0, 1000, 0, &id), ERR_OK);
    write_now(ERR_OK, 1000);
    assert_false(cluster_purge_log_take(l, 1000, &batch));
    assert_int_equal(figures().records, 3);
}

static void other_streams_are_left_alone(void **state)
{
    (void)state;
    (void)end(NULL);
    (void)begin(NULL);
    struct cluster_purge_record old = {.stream = 5,
                                       .seq = 9,
                                       .apply_no = 1,
                                       .purge = {PURGE_TAG, PURGE_HARD, SPAN("a"), SPAN("")}};
    cluster_purge_log_load_stream(l, &(struct cluster_purge_stream){5, 9, 0, 0});
    cluster_purge_log_load(l, &old);
    cluster_purge_log_loaded(l, (struct cluster_purge_floors){0}, 0, 1 << 20);
    number = 10;
    (void)accept_tag("a", 0);
    (void)accept_at(PURGE_ALL, PURGE_HARD, "", 0, 1000);
    while (cluster_purge_log_take(l, 1000, &batch))
        cluster_purge_log_written(l, &batch, ERR_OK, 8192);
    assert_int_equal(cluster_purge_log_state(l, (struct cluster_purge_id){5, 9}),
                     CLUSTER_PURGE_SYNCED);
    assert_int_equal(cluster_purge_log_state(l, (struct cluster_purge_id){STREAM, 1}),
                     CLUSTER_PURGE_SUPERSEDED);
    assert_int_equal(figures().streams, 2);
}

static void a_stream_id_that_is_taken_is_not_used(void **state)
{
    (void)state;
    cluster_purge_log_load_stream(l, &(struct cluster_purge_stream){STREAM, 9, 0, 0});
    cluster_purge_log_loaded(l, (struct cluster_purge_floors){0}, 0, 1 << 20);
    assert_int_not_equal(accept_tag("a", 0).stream, STREAM);
}

static void all_makes_older_ones_needless(void **state)
{
    (void)state;
    char tag[16];
    for (unsigned i = 0; i < KEPT - 100; i++) {
        snprintf(tag, sizeof(tag), "t%u", i);
        (void)accept_at(PURGE_TAG, i % 2 ? PURGE_HARD : PURGE_SOFT, tag, 0, 1000);
    }
    (void)accept_at(PURGE_ALL, PURGE_SOFT, "", 0, 1000);
    (void)accept_tag("after", 0);
    unsigned batches = 0;
    for (; cluster_purge_log_take(l, 1000, &batch); batches++) {
        assert_true(batch.drop_count <= 2 * CLUSTER_PURGE_BATCH);
        cluster_purge_log_written(l, &batch, ERR_OK, 8192);
    }
    assert_in_range(batches, 3, 6);
    assert_int_equal(figures().records,
                     (KEPT - 100) / 2 + 2); /* hard ones, the all, the one after */
    (void)accept_at(PURGE_ALL, PURGE_HARD, "", 0, 1000);
    while (cluster_purge_log_take(l, 1000, &batch))
        cluster_purge_log_written(l, &batch, ERR_OK, 8192);
    assert_int_equal(figures().records, 1);
}

/* And written. */
static void swept(uint64_t no)
{
    cluster_purge_log_swept(l, (struct cluster_purge_swept){no, 7});
    write_now(ERR_OK, 1000);
    assert_true(batch.swept_changed && batch.swept.apply_no == no && batch.swept.sites == 7);
}

static void age_waits_for_the_sweep(void **state)
{
    (void)state;
    struct cluster_purge_id a = accept_at(PURGE_TAG, PURGE_HARD, "a", 0, 1000), b;
    b = accept_at(PURGE_TAG, PURGE_HARD, "b", 0, 2000);
    write_now(ERR_OK, 2000);
    assert_false(cluster_purge_log_take(l, 1001 + 7 * DAY, &batch)); /* not swept */
    swept(2);
    assert_false(cluster_purge_log_take(l, 1000 + 7 * DAY, &batch)); /* not old enough */
    assert_true(cluster_purge_log_take(l, 1001 + 7 * DAY, &batch));
    assert_int_equal(batch.drop_count, 1);
    assert_true(batch.stream_count == 1 && batch.streams[0].floor_seq == 1);
    assert_false(batch.floors_changed);
    cluster_purge_log_written(l, &batch, ERR_OK, 8192);
    assert_int_equal(cluster_purge_log_state(l, a), CLUSTER_PURGE_SUPERSEDED);
    assert_int_equal(cluster_purge_log_state(l, b), CLUSTER_PURGE_SYNCED);
    assert_int_equal(figures().expired, 1);
}

/* What everything was purged by stays, and what lies behind it goes. */
static void age_passes_a_purge_of_everything(void **state)
{
    (void)state;
    struct cluster_purge_id all = accept_at(PURGE_ALL, PURGE_SOFT, "", 0, 1000), a;
    a = accept_at(PURGE_TAG, PURGE_HARD, "a", 0, 1000);
    write_now(ERR_OK, 1000);
    swept(2);
    assert_true(cluster_purge_log_take(l, 1001 + 7 * DAY, &batch));
    assert_int_equal(batch.drop_count, 1);
    assert_false(batch.floors_changed);
    cluster_purge_log_written(l, &batch, ERR_OK, 8192);
    assert_int_equal(cluster_purge_log_state(l, all), CLUSTER_PURGE_SYNCED);
    assert_int_equal(cluster_purge_log_state(l, a), CLUSTER_PURGE_SUPERSEDED);
    assert_false(cluster_purge_log_take(l, 1001 + 7 * DAY, &batch));
}

static void note_pending(void *user, const struct cluster_purge_record *r)
{
    *(unsigned *)user += r->purge.kind == PURGE_TAG;
}

/* However old: another node may have taken them long ago. */
static void what_waits_is_told(void **state)
{
    (void)state;
    unsigned told = 0;
    (void)accept_at(PURGE_TAG, PURGE_HARD, "a", 0, 1);
    (void)accept_at(PURGE_TAG, PURGE_HARD, "b", 0, 1000 * DAY);
    cluster_purge_log_pending(l, note_pending, &told);
    assert_int_equal(told, 2);
    write_now(ERR_OK, 1000);
    cluster_purge_log_pending(l, note_pending, &told);
    assert_int_equal(told, 2);
}

/* One batch for each change, until it is on disk; a lower number is none. */
static void how_far_the_sweep_came_is_written(void **state)
{
    (void)state;
    swept(5);
    cluster_purge_log_swept(l, (struct cluster_purge_swept){4, 7});
    assert_false(cluster_purge_log_take(l, 1000, &batch));
    cluster_purge_log_swept(l, (struct cluster_purge_swept){4, 0});
    assert_true(cluster_purge_log_take(l, 1001, &batch));
    assert_true(batch.swept.apply_no == 5 && batch.swept.sites == 0);
    cluster_purge_log_written(l, &batch, ERR_SYS, 8192);
    assert_true(cluster_purge_log_take(l, 1002, &batch));
    cluster_purge_log_written(l, &batch, ERR_OK, 8192);
    assert_false(cluster_purge_log_take(l, 1002, &batch));
}

static void too_many_raise_the_floor(void **state)
{
    (void)state;
    char tag[16];
    for (unsigned i = 0; i < KEPT + 100; i++) {
        snprintf(tag, sizeof(tag), "t%u", i);
        (void)accept_at(PURGE_TAG, i == 20 ? PURGE_SOFT : PURGE_HARD, tag, 0, 1000);
    }
    swept(10);
    while (cluster_purge_log_take(l, 1000, &batch))
        cluster_purge_log_written(l, &batch, ERR_OK, 8192);
    (void)accept_tag("one more", 0);
    assert_true(cluster_purge_log_take(l, 1000, &batch));
    uint64_t floor = batch.floors.hard;
    assert_in_range(figures().records, KEPT, KEPT + 1);
    cluster_purge_log_written(l, &batch, ERR_OK, 8192);
    /* What was dropped unswept is below the floor; nothing that is kept needs it. */
    struct cluster_purge_id kept = {STREAM, floor + 1}, gone = {STREAM, floor};
    assert_true(floor > 10);
    assert_int_equal(batch.floors.soft, floor > 21 ? 21 : 0);
    assert_int_equal(cluster_purge_log_state(l, gone), CLUSTER_PURGE_SUPERSEDED);
    assert_int_equal(cluster_purge_log_state(l, kept), CLUSTER_PURGE_SYNCED);
    assert_true(figures().displaced > 0);
}

static void a_full_file_makes_room(void **state)
{
    (void)state;
    char tag[16];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(tag, sizeof(tag), "t%u", i);
        (void)accept_tag(tag, 0);
    }
    write_now(ERR_OK, 1000);
    (void)accept_tag("next", 1);
    assert_true(cluster_purge_log_take(l, 1000, &batch));
    assert_int_equal(batch.drop_count, 0);
    cluster_purge_log_written(l, &batch, ERR_LIMIT, 0); /* the map is full */
    assert_true(answers.count == 1 && answers.err[0] == ERR_LIMIT);
    assert_true(cluster_purge_log_take(l, 1001, &batch));
    assert_true(batch.drop_count >= 16 && batch.floors_changed);
    cluster_purge_log_written(l, &batch, ERR_SYS, 0); /* a failure undoes all of it */
    assert_int_equal(figures().records, 101);
    assert_true(cluster_purge_log_take(l, 1002, &batch));
    assert_true(batch.drop_count >= 16 && batch.floors.hard >= 16);
    cluster_purge_log_written(l, &batch, ERR_OK, 1 << 19);
    (void)accept_tag("last", 0);
    assert_true(cluster_purge_log_take(l, 1002, &batch));
    assert_int_equal(batch.drop_count, 0); /* half full: enough room again */
    cluster_purge_log_written(l, &batch, ERR_OK, 1 << 19);
}

static unsigned listed;
static void count_listed(void *user, const struct cluster_purge_record *r, bool synced)
{
    (void)user;
    assert_false(synced);
    assert_int_equal(r->seq, listed + 2);
    assert_true(span_equal(r->node, SPAN("fra1")));
    listed++;
}

static void pending_ones_are_found_and_listed(void **state)
{
    (void)state;
    struct cluster_purge_record r;
    bool synced;
    (void)accept_at(PURGE_TAG, PURGE_HARD, "a", 0, 1000);
    (void)accept_at(PURGE_URL, PURGE_SOFT, "http://h/x", 0, 1001);
    (void)accept_at(PURGE_TAG, PURGE_HARD, "c", 0, 1002);
    (void)accept_at(PURGE_TAG, PURGE_HARD, "d", 0, 1003);
    struct cluster_purge_id id = {STREAM, 2};
    assert_int_equal(cluster_purge_log_find(l, id, &r, &synced), ERR_OK);
    assert_true(!synced && r.purge.kind == PURGE_URL && r.purge.mode == PURGE_SOFT &&
                span_equal(r.purge.selector, SPAN("http://h/x")) && r.apply_no == 2);
    id.seq = 5;
    assert_int_equal(cluster_purge_log_find(l, id, &r, &synced), ERR_NOT_FOUND);
    listed = 0;
    assert_int_equal(cluster_purge_log_list(l, 1001, 2, count_listed, NULL), 2);
    assert_int_equal(listed, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_come_after_the_sync_in_order, begin, end),
        cmocka_unit_test_setup_teardown(a_failing_disk_answers_all_and_loses_nothing, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_full_map_asks_for_less_at_a_time, begin, end),
        cmocka_unit_test_setup_teardown(what_waits_is_bounded, begin, end),
        cmocka_unit_test_setup_teardown(a_dedup_id_writes_once, begin, end),
        cmocka_unit_test_setup_teardown(a_later_one_supersedes, begin, end),
        cmocka_unit_test_setup_teardown(another_site_is_another_key, begin, end),
        cmocka_unit_test_setup_teardown(other_streams_are_left_alone, begin, end),
        cmocka_unit_test_setup_teardown(a_stream_id_that_is_taken_is_not_used, begin, end),
        cmocka_unit_test_setup_teardown(all_makes_older_ones_needless, begin, end),
        cmocka_unit_test_setup_teardown(age_waits_for_the_sweep, begin, end),
        cmocka_unit_test_setup_teardown(age_passes_a_purge_of_everything, begin, end),
        cmocka_unit_test_setup_teardown(how_far_the_sweep_came_is_written, begin, end),
        cmocka_unit_test_setup_teardown(what_waits_is_told, begin, end),
        cmocka_unit_test_setup_teardown(too_many_raise_the_floor, begin, end),
        cmocka_unit_test_setup_teardown(a_full_file_makes_room, begin, end),
        cmocka_unit_test_setup_teardown(pending_ones_are_found_and_listed, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
