#include "tests/unit/cluster/purge_sync_bed.h"

/* Purges between nodes: when they count as everywhere, who counts, what is pulled. */

static void a_lone_node_is_everywhere(void **state)
{
    (void)state;
    start_as('a', false, true, 0);
    assert_false(nodes[0].cautious);
    (void)purge_tag('a', "x", 1);
    collect('a');
    assert_int_equal(nodes[0].stages[1], 0); /* not before the disk */
    write_disk('a', ERR_OK);
    assert_true(has_stage('a', 1, CLUSTER_SYNC_EVERYWHERE));
    assert_int_equal(count_parcels(0, 0, 0, false), 0);
    assert_int_equal(nodes[0].hints, 0);
    assert_true(cluster_sync_deadline_us(nodes[0].sync) == INT64_MAX);
}

static void everywhere_is_on_every_disk(void **state)
{
    (void)state;
    cluster_of(3);
    struct cluster_purge_id id = purge_tag('a', "x", 1);
    collect('a');
    /* Pushed at once, before the own disk has it. */
    deliver(find_parcel('a', 'b', PURGE_WIRE_PUSH, false));
    deliver(find_parcel('a', 'c', PURGE_WIRE_PUSH, false));
    assert_true(nodes[1].applied == 1 && nodes[2].applied == 1);
    assert_null(find_parcel(0, 'a', PURGE_WIRE_PUSH, true)); /* their disks have not */
    write_disk('b', ERR_OK);
    deliver(find_parcel('b', 'a', PURGE_WIRE_PUSH, true));
    write_disk('a', ERR_OK);
    assert_int_equal(nodes[0].stages[1], 1u << CLUSTER_SYNC_HERE);
    write_disk('c', ERR_OK);
    deliver(find_parcel('c', 'a', PURGE_WIRE_PUSH, true));
    assert_true(has_stage('a', 1, CLUSTER_SYNC_EVERYWHERE));
    assert_false(has_stage('a', 1, CLUSTER_SYNC_SETTLED));
    assert_true(synced('b', id.stream) == 1 && synced('c', id.stream) == 1);
}

static void the_own_disk_counts_too(void **state)
{
    (void)state;
    cluster_of(2);
    (void)purge_tag('a', "x", 1);
    collect('a');
    deliver(find_parcel('a', 'b', PURGE_WIRE_PUSH, false));
    write_disk('b', ERR_OK);
    deliver(find_parcel('b', 'a', PURGE_WIRE_PUSH, true));
    assert_int_equal(nodes[0].stages[1], 0);
    write_disk('a', ERR_OK);
    assert_true(has_stage('a', 1, CLUSTER_SYNC_EVERYWHERE));
}

static void who_could_not_take_a_push_pulls_it_soon(void **state)
{
    (void)state;
    cluster_of(5);
    for (char other = 'b'; other <= 'e'; other++)
        node_of(other)->apply_refuses = true;
    struct cluster_purge_id id = purge_tag('a', "news", 0); /* nobody waits: none is chased */
    settle();
    for (char other = 'b'; other <= 'e'; other++)
        node_of(other)->apply_refuses = false;
    now_us += SECOND;
    tick_all();
    collect_all();
    /* Not one of them by lot, but each. */
    for (char other = 'b'; other <= 'e'; other++)
        assert_non_null(find_parcel('a', other, PURGE_WIRE_EXCHANGE, false));
    settle();
    for (char other = 'b'; other <= 'e'; other++)
        assert_int_equal(synced(other, id.stream), id.seq);
}

static void a_failing_disk_confirms_nothing(void **state)
{
    (void)state;
    cluster_of(2);
    (void)purge_tag('a', "x", 1);
    collect('a');
    deliver(find_parcel('a', 'b', PURGE_WIRE_PUSH, false));
    write_disk('b', ERR_SYS);
    write_disk('a', ERR_OK);
    struct parcel *answer = find_parcel('b', 'a', PURGE_WIRE_PUSH, true);
    assert_non_null(answer); /* told at once that it waits */
    deliver(answer);
    assert_false(has_stage('a', 1, CLUSTER_SYNC_EVERYWHERE));
    pass(3 * SECOND); /* the disk recovered, and it is asked again */
    assert_true(has_stage('a', 1, CLUSTER_SYNC_EVERYWHERE));
}

static void not_here_is_the_last_word(void **state)
{
    (void)state;
    cluster_of(2);
    (void)purge_tag('a', "x", 1);
    write_disk('a', ERR_LIMIT);
    assert_int_equal(nodes[0].stages[1], 1u << CLUSTER_SYNC_NOT_HERE);
    pass(3 * SECOND);
    assert_int_equal(nodes[0].stages[1], 1u << CLUSTER_SYNC_NOT_HERE);
    assert_int_equal(nodes[1].applied, 1); /* in effect there all the same */
}

static void settled_names_who_cannot_be_reached(void **state)
{
    (void)state;
    cluster_of(3);
    cut_off('a', 'c', true);
    cut_off('b', 'c', true);
    both_lose('a', 'c');
    both_lose('b', 'c');
    struct cluster_purge_id id = purge_tag('a', "x", 1);
    settle();
    assert_true(has_stage('a', 1, CLUSTER_SYNC_SETTLED));
    pass(5 * SECOND);
    assert_false(has_stage('a', 1, CLUSTER_SYNC_EVERYWHERE));
    cut_off('a', 'c', false);
    cut_off('b', 'c', false);
    meet('a', 'c');
    meet('b', 'c');
    pass(2 * SECOND);
    assert_true(has_stage('a', 1, CLUSTER_SYNC_EVERYWHERE));
    assert_int_equal(synced('c', id.stream), 1);
}

static void nobody_waits_for_a_forgotten_ticket(void **state)
{
    (void)state;
    cluster_of(2);
    (void)purge_tag('a', "x", 1);
    (void)purge_tag('a', "y", 2);
    cluster_sync_forget_ticket(nodes[0].sync, 1);
    pass(SECOND);
    assert_int_equal(nodes[0].stages[1], 0);
    assert_true(has_stage('a', 2, CLUSTER_SYNC_EVERYWHERE));
    assert_int_equal(figures('a').waiting, 0);
}

static void a_known_dedup_id_is_everywhere_when_its_record_is(void **state)
{
    struct purge p = {PURGE_TAG, PURGE_HARD, SPAN("x"), SPAN("")};
    (void)state;
    cluster_of(2);
    struct cluster_purge_id first = accept_purge('a', &p, 42, 1);
    settle();
    struct cluster_purge_id again = accept_purge('b', &p, 42, 2);
    assert_true(again.stream == first.stream && again.seq == first.seq);
    pass(2 * SECOND);
    assert_true(has_stage('b', 2, CLUSTER_SYNC_EVERYWHERE));
    assert_int_equal(nodes[0].applied, 0); /* nothing new came */
}

struct told {
    unsigned applied, pending, unreachable;
    char first;
};
static void note_told(void *user, struct span id, enum cluster_sync_confirmed state)
{
    struct told *t = user;
    t->first = t->first ? t->first : id.ptr[0];
    t->applied += state == CLUSTER_SYNC_APPLIED;
    t->pending += state == CLUSTER_SYNC_PENDING;
    t->unreachable += state == CLUSTER_SYNC_UNREACHABLE;
}

static void confirmations_name_everybody(void **state)
{
    struct told t = {0};
    (void)state;
    cluster_of(3);
    both_lose('a', 'c');
    struct cluster_purge_id id = purge_tag('a', "x", 1);
    assert_int_equal(cluster_sync_confirmations(nodes[0].sync, id, note_told, &t), ERR_OK);
    assert_true(t.applied == 0 && t.pending == 2 && t.unreachable == 1 && t.first == 'a');
    cut_off('a', 'c', true);
    cut_off('b', 'c', true);
    settle();
    t = (struct told){0};
    assert_int_equal(cluster_sync_confirmations(nodes[0].sync, id, note_told, &t), ERR_OK);
    assert_true(t.applied == 2 && t.pending == 0 && t.unreachable == 1);
    t = (struct told){0};
    assert_int_equal(cluster_sync_confirmations(nodes[1].sync, id, note_told, &t), ERR_OK);
    assert_int_equal(t.first, 'b');
    id.seq++;
    assert_int_equal(cluster_sync_confirmations(nodes[0].sync, id, note_told, &t),
                     ERR_NOT_FOUND);
}

/* --- who counts --- */

static void acks_carry_members(void **state)
{
    (void)state;
    cluster_of(2);
    start('c');
    meet('b', 'c'); /* a has not heard of it */
    settle();
    cut_off('a', 'c', true);
    (void)purge_tag('a', "x", 1);
    settle();
    assert_int_equal(figures('a').members, 3);
    assert_false(has_stage('a', 1, CLUSTER_SYNC_EVERYWHERE));
    cut_off('a', 'c', false);
    meet('a', 'c');
    pass(2 * SECOND);
    assert_true(has_stage('a', 1, CLUSTER_SYNC_EVERYWHERE));
}

static void who_left_does_not_count_who_failed_does(void **state)
{
    (void)state;
    cluster_of(3);
    stop('c');
    see('a', 'c', CLUSTER_SYNC_LEFT);
    see('b', 'c', CLUSTER_SYNC_LEFT);
    (void)purge_tag('a', "x", 1);
    settle();
    assert_true(has_stage('a', 1, CLUSTER_SYNC_EVERYWHERE));
    start('c');
    meet('a', 'c');
    meet('b', 'c');
    settle();
    stop('c');
    see('a', 'c', CLUSTER_SYNC_FAILED);
    see('b', 'c', CLUSTER_SYNC_FAILED);
    (void)purge_tag('a', "y", 2);
    settle();
    assert_false(has_stage('a', 2, CLUSTER_SYNC_EVERYWHERE));
    assert_true(has_stage('a', 2, CLUSTER_SYNC_SETTLED));
}

static void a_restart_forgets_no_failed_member(void **state)
{
    (void)state;
    cluster_of(3);
    stop('c');
    stop('a');
    cut_off('a', 'c', true);
    start('a');
    see('a', 'b', CLUSTER_SYNC_LIVE); /* gossip never speaks of c again */
    pass(SECOND);
    (void)purge_tag('a', "x", 1);
    pass(3 * SECOND);
    assert_int_equal(figures('a').members, 3);
    assert_false(has_stage('a', 1, CLUSTER_SYNC_EVERYWHERE));
}

static void forgotten_members_return_empty(void **state)
{
    (void)state;
    cluster_of(3);
    assert_int_equal(cluster_sync_forget(nodes[0].sync, SPAN("c"), now_us), ERR_REFUSED);
    assert_int_equal(cluster_sync_forget(nodes[0].sync, SPAN("z"), now_us), ERR_NOT_FOUND);
    stop('c');
    see('a', 'c', CLUSTER_SYNC_FAILED);
    see('b', 'c', CLUSTER_SYNC_FAILED);
    (void)purge_tag('a', "x", 1);
    settle();
    assert_false(has_stage('a', 1, CLUSTER_SYNC_EVERYWHERE));
    assert_int_equal(cluster_sync_forget(nodes[0].sync, SPAN("c"), now_us), ERR_OK);
    settle();
    assert_true(has_stage('a', 1, CLUSTER_SYNC_EVERYWHERE));
    pass(3 * SECOND); /* b hears of it */
    assert_int_equal(figures('b').members, 2);
    stop('b');
    start('b'); /* and keeps it */
    assert_int_equal(figures('b').members, 2);
    start('c');
    assert_int_equal(nodes[2].hard_distrusts, 0);
    meet('a', 'c');
    meet('b', 'c');
    meet('a', 'b');
    pass(2 * SECOND);
    assert_int_equal(nodes[2].hard_distrusts, 1); /* once, by whomever it hears it */
    assert_true(nodes[2].disk.floors.hard > 0);
    assert_int_equal(figures('a').members, 3);
    pass(5 * SECOND);
    stop('c');
    start('c');
    meet('a', 'c');
    pass(2 * SECOND);
    assert_int_equal(nodes[2].hard_distrusts, 1);
    see('a', 'c', CLUSTER_SYNC_FAILED); /* it counts again, as any other */
    assert_int_equal(figures('a').members, 3);
}

static void a_node_with_our_own_id_is_none(void **state)
{
    (void)state;
    cluster_of(2);
    struct purge_wire_request q = {.kind = PURGE_WIRE_EXCHANGE};
    struct cluster_sync_output out;
    struct buf b;
    buf_init(&b, 0);
    purge_wire_put_request(&b, &q);
    cluster_sync_asked(nodes[0].sync, SPAN("a"), 7, buf_span(&b), now_us, now_s());
    assert_true(cluster_sync_next(nodes[0].sync, &out));
    assert_true(out.kind == CLUSTER_SYNC_ANSWER && out.number == 7 && out.body.len == 0);
    cluster_sync_asked(nodes[0].sync, SPAN(""), 8, buf_span(&b), now_us, now_s());
    assert_true(cluster_sync_next(nodes[0].sync, &out) && out.body.len == 0);
    buf_fini(&b);
    assert_int_equal(figures('a').members, 2);
    (void)purge_tag('a', "x", 1);
    pass(SECOND);
    assert_true(has_stage('a', 1, CLUSTER_SYNC_EVERYWHERE));
}

/* --- pulling --- */

static void purge_big(char at, unsigned count)
{
    static char text[4000];
    for (unsigned i = 0; i < count; i++) {
        memset(text, 'a' + (int)(i % 26), sizeof text);
        (void)snprintf(text, sizeof text, "%u", i);
        struct purge p = {PURGE_TAG, PURGE_HARD, span_of(text, sizeof text), SPAN("")};
        text[strlen(text)] = '-';
        (void)accept_purge(at, &p, 0, 0);
    }
}

static void the_vector_rises_with_the_last_page_alone(void **state)
{
    (void)state;
    cluster_of(2);
    stop('b');
    see('a', 'b', CLUSTER_SYNC_FAILED);
    (void)purge_tag('a', "t0", 0); /* superseded by one on the last page: the first gap */
    purge_big('a', 300);           /* 1.2 MB: three pages */
    for (unsigned i = 0; i < 300; i += 2) {
        char tag[16];
        (void)snprintf(tag, sizeof tag, "t%u", i % 4); /* most are superseded: gaps */
        (void)purge_tag('a', tag, 0);
    }
    settle();
    uint64_t stream = cluster_purge_log_own_stream(nodes[0].log);
    assert_int_equal(synced('a', stream), 451);
    start('b');
    see('b', 'a', CLUSTER_SYNC_LIVE);
    collect('b');
    deliver(find_parcel('b', 'a', PURGE_WIRE_EXCHANGE, false));
    deliver(find_parcel('a', 'b', PURGE_WIRE_EXCHANGE, true));
    collect('b');
    unsigned pages = 0;
    for (struct parcel *p; (p = find_parcel('b', 'a', PURGE_WIRE_PULL, false)); pages++) {
        deliver(p);
        assert_true(nodes[1].cautious);
        write_disk('b', ERR_OK); /* what came is on disk, and the vector knows of nothing */
        assert_int_equal(synced('b', stream), 0);
        deliver(find_parcel('a', 'b', PURGE_WIRE_PULL, true));
        collect('b');
    }
    assert_int_equal(pages, 3);
    assert_false(nodes[1].cautious);
    write_disk('b', ERR_OK);
    assert_int_equal(synced('b', stream), 451);
    assert_int_equal(nodes[1].distrusts, 0);
}

static void what_one_has_dropped_another_may_have(void **state)
{
    (void)state;
    start('a');
    start_as('b', true, true, 20); /* keeps little */
    start('c');
    meet('a', 'b');
    meet('a', 'c');
    meet('b', 'c');
    settle();
    stop('c');
    see('a', 'c', CLUSTER_SYNC_FAILED);
    see('b', 'c', CLUSTER_SYNC_FAILED);
    for (unsigned i = 0; i < 60; i++) {
        char tag[16];
        (void)snprintf(tag, sizeof tag, "t%u", i);
        (void)purge_tag('a', tag, 0);
        settle();
    }
    uint64_t stream = cluster_purge_log_own_stream(nodes[0].log);
    assert_true(cluster_purge_log_floor(nodes[1].log, stream) > 0);
    assert_int_equal(cluster_purge_log_floor(nodes[0].log, stream), 0);
    start('c');
    see('c', 'b', CLUSTER_SYNC_LIVE); /* who has not all is asked first */
    see('c', 'a', CLUSTER_SYNC_LIVE);
    pass(2 * SECOND);
    assert_int_equal(synced('c', stream), 60);
    assert_int_equal(nodes[2].distrusts, 0);
    assert_int_equal(nodes[2].applied, 60);
    assert_false(nodes[2].cautious);
}

static void what_nobody_has_is_distrusted_once(void **state)
{
    (void)state;
    start_as('a', true, true, 20);
    start_as('b', true, true, 20);
    start('c');
    meet('a', 'b');
    meet('a', 'c');
    meet('b', 'c');
    settle();
    stop('c');
    see('a', 'c', CLUSTER_SYNC_FAILED);
    see('b', 'c', CLUSTER_SYNC_FAILED);
    for (unsigned i = 0; i < 60; i++) {
        char tag[16];
        (void)snprintf(tag, sizeof tag, "t%u", i);
        (void)purge_tag('a', tag, 0);
        settle();
    }
    uint64_t stream = cluster_purge_log_own_stream(nodes[0].log);
    start('c');
    meet('c', 'a');
    meet('c', 'b');
    pass(3 * SECOND);
    assert_int_equal(synced('c', stream), 60);
    assert_in_range(nodes[2].distrusts, 1, 2); /* their floors may differ */
    assert_int_equal(nodes[2].hard_distrusts, 0);
    assert_true(nodes[2].disk.floors.soft > 0);
    assert_false(nodes[2].cautious);
    /* Who does not know what was passed over may have what it named. */
    assert_int_equal(
        cluster_recent_oldest_unknown_to(nodes[2].recent, (struct span){0}, now_us),
        CLUSTER_RECENT_UNKNOWN);
    unsigned distrusts = nodes[2].distrusts;
    pass(5 * SECOND);
    assert_int_equal(nodes[2].distrusts, distrusts);
}

static enum err cannot_read_one(void *disk, struct cluster_purge_id id,
                                struct cluster_purge_record *out)
{
    (void)disk;
    (void)id;
    (void)out;
    return ERR_SYS;
}
static enum err cannot_read(void *disk, uint64_t stream, uint64_t after,
                            bool (*tell)(void *user, const struct cluster_purge_record *r),
                            void *user, uint64_t *out_through)
{
    (void)disk;
    (void)stream;
    (void)tell;
    (void)user;
    *out_through = after;
    return ERR_SYS;
}

static void a_page_that_cannot_be_read_counts_for_nothing(void **state)
{
    (void)state;
    cluster_of(2);
    stop('b');
    see('a', 'b', CLUSTER_SYNC_FAILED);
    (void)purge_tag('a', "x", 0);
    (void)purge_tag('a', "y", 0);
    settle();
    static const struct cluster_purge_reader broken = {cannot_read_one, cannot_read};
    cluster_purge_log_set_reader(nodes[0].log, &broken, NULL);
    start('b');
    see('b', 'a', CLUSTER_SYNC_LIVE);
    settle();
    uint64_t stream = cluster_purge_log_own_stream(nodes[0].log);
    assert_int_equal(synced('b', stream), 0);
    assert_true(nodes[1].cautious);
    stop('a');
    start('a'); /* its disk is well again */
    meet('a', 'b');
    pass(3 * SECOND);
    assert_int_equal(synced('b', stream), 2);
    assert_int_equal(nodes[1].distrusts, 0);
}

static void a_gap_is_closed_at_once(void **state)
{
    (void)state;
    cluster_of(2);
    (void)purge_tag('a', "x", 0);
    collect('a');
    struct parcel *lost = find_parcel('a', 'b', PURGE_WIRE_PUSH, false);
    parcel_done(lost); /* neither arrives nor fails, for now */
    struct cluster_purge_id id = purge_tag('a', "y", 0);
    write_disk('a', ERR_OK);
    settle();
    assert_int_equal(synced('b', id.stream), 2);
    assert_int_equal(nodes[1].applied, 2);
}

static void own_streams_are_nobody_elses(void **state)
{
    (void)state;
    cluster_of(2);
    struct cluster_purge_id id = purge_tag('a', "x", 0);
    settle();
    struct cluster_purge_record r = {.stream = id.stream,
                                     .seq = 9,
                                     .accepted_at_s = INT64_MIN,
                                     .node = SPAN("b"),
                                     .purge = {PURGE_ALL, PURGE_HARD, SPAN(""), SPAN("")}};
    struct buf b;
    buf_init(&b, 0);
    purge_wire_put_request(&b, &(struct purge_wire_request){.kind = PURGE_WIRE_PUSH});
    purge_wire_put_record(&b, &r);
    cluster_sync_asked(nodes[0].sync, SPAN("b"), POST - 1, buf_span(&b), now_us, now_s());
    buf_fini(&b);
    struct cluster_sync_output out;
    while (cluster_sync_next(nodes[0].sync, &out))
        ;
    assert_int_equal(nodes[0].applied, 0);
    assert_true(figures('a').refused > 0);
    assert_int_equal(purge_tag('a', "y", 0).seq, 2);
}

static void their_clock_is_for_display(void **state)
{
    static const int64_t times[] = {INT64_MIN, -1, 0, INT64_MAX};
    (void)state;
    cluster_of(2);
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        struct cluster_purge_record r = {.stream = 99,
                                         .seq = i + 1,
                                         .accepted_at_s = times[i],
                                         .node = SPAN("b"),
                                         .purge = {PURGE_ALL, PURGE_HARD, SPAN(""), SPAN("")}};
        struct buf b;
        buf_init(&b, 0);
        purge_wire_put_request(&b, &(struct purge_wire_request){.kind = PURGE_WIRE_PUSH});
        purge_wire_put_record(&b, &r);
        cluster_sync_asked(nodes[0].sync, SPAN("b"), POST - 1, buf_span(&b), now_us, now_s());
        buf_fini(&b);
    }
    assert_int_equal(nodes[0].applied, ARRAY_LEN(times));
    bool out = disk_take(&nodes[0].disk, nodes[0].log, now_s());
    assert_true(out);
    disk_commit(&nodes[0].disk);
    disk_told(&nodes[0].disk, nodes[0].log, ERR_OK);
    struct cluster_purge_record r;
    bool is_synced;
    assert_int_equal(
        cluster_purge_log_find(nodes[0].log, (struct cluster_purge_id){99, 4}, &r, &is_synced),
        ERR_OK);
    assert_true(r.accepted_at_s <= now_s() && r.accepted_at_s >= 0);
    assert_int_equal(synced('a', 99), 4);
    struct cluster_sync_output o;
    while (cluster_sync_next(nodes[0].sync, &o))
        ;
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(a_lone_node_is_everywhere),
        ROW(everywhere_is_on_every_disk),
        ROW(the_own_disk_counts_too),
        ROW(who_could_not_take_a_push_pulls_it_soon),
        ROW(a_failing_disk_confirms_nothing),
        ROW(not_here_is_the_last_word),
        ROW(settled_names_who_cannot_be_reached),
        ROW(nobody_waits_for_a_forgotten_ticket),
        ROW(a_known_dedup_id_is_everywhere_when_its_record_is),
        ROW(confirmations_name_everybody),
        ROW(acks_carry_members),
        ROW(who_left_does_not_count_who_failed_does),
        ROW(a_restart_forgets_no_failed_member),
        ROW(forgotten_members_return_empty),
        ROW(a_node_with_our_own_id_is_none),
        ROW(the_vector_rises_with_the_last_page_alone),
        ROW(what_one_has_dropped_another_may_have),
        ROW(what_nobody_has_is_distrusted_once),
        ROW(a_page_that_cannot_be_read_counts_for_nothing),
        ROW(a_gap_is_closed_at_once),
        ROW(own_streams_are_nobody_elses),
        ROW(their_clock_is_for_display),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
