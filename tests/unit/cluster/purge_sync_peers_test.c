#include "tests/unit/cluster/purge_sync_bed.h"

/* What a peer's fault, an absence and Serf's events may do, and what not. */

/* --- caution --- */

static void a_start_is_cautious_until_all_were_compared_with(void **state)
{
    (void)state;
    cluster_of(3);
    stop('c');
    see('a', 'c', CLUSTER_SYNC_FAILED);
    see('b', 'c', CLUSTER_SYNC_FAILED);
    (void)purge_tag('a', "x", 0);
    settle();
    start('c');
    assert_true(nodes[2].cautious);
    see('c', 'a', CLUSTER_SYNC_LIVE);
    see('c', 'b', CLUSTER_SYNC_LIVE);
    collect('c');
    deliver(find_parcel('c', 'b', PURGE_WIRE_EXCHANGE, false));
    deliver(find_parcel('b', 'c', PURGE_WIRE_EXCHANGE, true));
    assert_true(nodes[2].cautious);
    deliver(find_parcel('c', 'b', PURGE_WIRE_PULL, false));
    deliver(find_parcel('b', 'c', PURGE_WIRE_PULL, true));
    assert_int_equal(nodes[2].applied, 1);
    assert_true(nodes[2].cautious); /* a has not answered */
    settle();
    assert_false(nodes[2].cautious);
    assert_int_equal(nodes[2].cautions, 2); /* of its two starts */
}

static void nothing_is_everywhere_while_it_is_away(void **state)
{
    (void)state;
    start('a'); /* it may not know yet whom there is to wait for */
    (void)purge_tag('a', "x", 1);
    write_disk('a', ERR_OK);
    assert_int_equal(nodes[0].stages[1], 1u << CLUSTER_SYNC_HERE);
    cluster_sync_seeds_silent(nodes[0].sync, true, now_us);
    pass(4 * SECOND);
    assert_true(nodes[0].cautious);
    assert_int_equal(nodes[0].stages[1], 1u << CLUSTER_SYNC_HERE);
    pass(2 * SECOND);
    assert_false(nodes[0].cautious);
    assert_true(has_stage('a', 1, CLUSTER_SYNC_EVERYWHERE));
}

static void nobody_is_waited_for_for_ever(void **state)
{
    (void)state;
    cluster_of(3);
    stop('a');
    start('a');
    cut_off('a', 'b', true);
    cut_off('a', 'c', true);
    see('a', 'b', CLUSTER_SYNC_LIVE); /* gossip works, nothing else does */
    see('a', 'c', CLUSTER_SYNC_LIVE);
    pass(4 * SECOND);
    assert_true(nodes[0].cautious);
    pass(2 * SECOND);
    assert_false(nodes[0].cautious);
}

static void a_closed_port_costs_the_others_nothing(void **state)
{
    (void)state;
    cluster_of(3);
    stop('a');
    start('a');
    cut_off('a', 'c', true);
    see('a', 'b', CLUSTER_SYNC_LIVE);
    see('a', 'c', CLUSTER_SYNC_LIVE);
    settle();
    assert_false(nodes[0].cautious);     /* refused at once: passed over at once */
    for (unsigned i = 0; i < 100; i++) { /* and it flaps */
        pass(SECOND);
        see('a', 'c', i % 2 ? CLUSTER_SYNC_LIVE : CLUSTER_SYNC_FAILED);
    }
    assert_in_range(nodes[0].cautions, 2, 3); /* its starts; at most one for c */
    assert_false(nodes[0].cautious);
}

static void a_stall_is_an_absence(void **state)
{
    (void)state;
    cluster_of(2);
    cluster_sync_stalled(nodes[0].sync, SECOND, now_us);
    assert_false(nodes[0].cautious);
    now_us += 2 * SECOND;
    cluster_sync_stalled(nodes[0].sync, 2 * SECOND, now_us);
    assert_true(nodes[0].cautious);
    settle();
    assert_false(nodes[0].cautious);
}

static void a_returning_peer_causes_caution_for_two_seconds(void **state)
{
    (void)state;
    cluster_of(2);
    both_lose('a', 'b');
    now_us += 3 * SECOND;
    (void)purge_tag('b', "x", 0);
    write_disk('b', ERR_OK);
    see('a', 'b', CLUSTER_SYNC_LIVE);
    assert_true(nodes[0].cautious);
    assert_int_equal(cluster_sync_deadline_us(nodes[0].sync) <= now_us + 2 * SECOND, true);
    settle(); /* it answers */
    assert_int_equal(nodes[0].applied, 1);
    assert_false(nodes[0].cautious);
    see('a', 'b', CLUSTER_SYNC_FAILED); /* again, within a minute */
    see('a', 'b', CLUSTER_SYNC_LIVE);
    assert_false(nodes[0].cautious);
    settle();
    now_us += 61 * SECOND;
    see('a', 'b', CLUSTER_SYNC_FAILED);
    see('a', 'b', CLUSTER_SYNC_LIVE);
    assert_true(nodes[0].cautious);
    collect('a');
    now_us += 2 * SECOND; /* it accepts and says nothing */
    cluster_sync_tick(nodes[0].sync, now_us, now_s());
    assert_false(nodes[0].cautious);
    now_us += 61 * SECOND;
    see('a', 'b', CLUSTER_SYNC_FAILED);
    see('a', 'b', CLUSTER_SYNC_LIVE);
    assert_false(nodes[0].cautious); /* it was in vain */
    settle();
    now_us += 61 * SECOND;
    see('a', 'b', CLUSTER_SYNC_FAILED);
    see('a', 'b', CLUSTER_SYNC_LIVE);
    assert_true(nodes[0].cautious); /* it has answered since */
}

static void a_newcomer_is_no_returning_peer(void **state)
{
    (void)state;
    cluster_of(2);
    start('c');
    meet('a', 'c');
    assert_false(nodes[0].cautious);
    settle();
}

/* --- peers at fault --- */

static void a_silent_peer_is_asked_less_and_less(void **state)
{
    int64_t last_us = 0, gap_us = 0, longest_us = 0;
    (void)state;
    cluster_of(2);
    cut_off('a', 'b', true);
    unsigned asked = 0;
    for (unsigned i = 0; i < 4000; i++) {
        now_us += SECOND / 20;
        cluster_sync_tick(nodes[0].sync, now_us, now_s());
        collect('a');
        for (struct parcel *p; (p = find_parcel('a', 0, 0, false)); asked++) {
            gap_us = last_us ? now_us - last_us : 0;
            last_us = now_us;
            longest_us = gap_us > longest_us ? gap_us : longest_us;
            refuse(p, ERR_TIMEOUT);
            collect('a');
        }
    }
    assert_in_range(asked, 8, 20); /* of 200 seconds */
    assert_in_range(longest_us, 25 * SECOND, 35 * SECOND);
    assert_int_equal(figures('a').unreachable, 1);
    cut_off('a', 'b', false); /* it asks us: so it lives */
    cluster_sync_tick(nodes[1].sync, now_us, now_s());
    (void)purge_tag('a', "x", 1);
    pass(4 * SECOND);
    assert_true(has_stage('a', 1, CLUSTER_SYNC_EVERYWHERE));
    assert_int_equal(figures('a').unreachable, 0);
}

static void nonsense_is_refused_and_harms_nothing(void **state)
{
    static const char *bodies[] = {"", "x", "\1\1\0", "\2\0\0\0\0\0\0\0\0\0\0\0\0\0",
                                   "\1\0\0\0\0\0\0\0\0\0\377\377\377\377"};
    (void)state;
    cluster_of(3);
    uint64_t before = figures('a').refused;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct span body = span_of(bodies[i], i < 3 ? strlen(bodies[i]) : 14);
        struct cluster_sync_output out;
        collect('a');
        cluster_sync_asked(nodes[0].sync, SPAN("b"), POST - 1, body, now_us, now_s());
        assert_true(cluster_sync_next(nodes[0].sync, &out));
        assert_true(out.kind == CLUSTER_SYNC_ANSWER && out.body.len == 0);
        now_us += 2 * SECOND; /* and as an answer */
        cluster_sync_tick(nodes[0].sync, now_us, now_s());
        collect('a');
        for (struct parcel *p; (p = find_parcel('a', 0, 0, false));) {
            uint64_t number = p->number;
            parcel_done(p);
            cluster_sync_answered(nodes[0].sync, number, ERR_OK, body, now_us, now_s());
            collect('a');
        }
    }
    assert_true(figures('a').refused >= before + 2 * ARRAY_LEN(bodies) - 2);
    assert_false(nodes[0].cautious);
    assert_int_equal(nodes[0].distrusts, 0);
    see('a', 'b', CLUSTER_SYNC_FAILED);
    see('a', 'c', CLUSTER_SYNC_FAILED);
    meet('a', 'b');
    meet('a', 'c');
    (void)purge_tag('a', "x", 1);
    pass(4 * SECOND);
    assert_true(has_stage('a', 1, CLUSTER_SYNC_EVERYWHERE));
}

static void answer_exchange(char at, char as, struct cluster_vector *v)
{
    struct buf vector, body;
    uint64_t number = parcel_taken(find_parcel(at, as, PURGE_WIRE_EXCHANGE, false));
    buf_init(&vector, 0);
    buf_init(&body, 0);
    cluster_vector_put(v, &vector);
    purge_wire_put_answer(&body, &(struct purge_wire_answer){.vector = buf_span(&vector)},
                          PURGE_WIRE_EXCHANGE);
    cluster_sync_answered(node_of(at)->sync, number, ERR_OK, buf_span(&body), now_us, now_s());
    collect(at);
    buf_fini(&vector);
    buf_fini(&body);
}

/* It says that it has what nobody has, and gives nothing. */
static void a_lie_about_the_vector_harms_nobody_else(void **state)
{
    struct cluster_vector v = {0};
    (void)state;
    start('a');
    see('a', 'b', CLUSTER_SYNC_LIVE);
    collect('a');
    assert_int_equal(cluster_vector_raise(&v, 1234, 99), ERR_OK);
    answer_exchange('a', 'b', &v);
    uint64_t number = parcel_taken(find_parcel('a', 'b', PURGE_WIRE_PULL, false));
    struct buf body;
    buf_init(&body, 0);
    purge_wire_put_answer(&body, &(struct purge_wire_answer){0}, PURGE_WIRE_PULL);
    cluster_sync_answered(nodes[0].sync, number, ERR_OK, buf_span(&body), now_us, now_s());
    collect('a');
    assert_false(nodes[0].cautious); /* it is not waited for */
    assert_int_equal(synced('a', 1234), 0);
    buf_fini(&body);
    cluster_vector_fini(&v);
    unsigned asked = 0;
    for (unsigned i = 0; i < 40; i++) { /* nor asked again and again */
        now_us += SECOND / 20;
        cluster_sync_tick(nodes[0].sync, now_us, now_s());
        collect('a');
        for (struct parcel *p; (p = find_parcel('a', 0, 0, false)); asked++)
            refuse(p, ERR_TIMEOUT);
    }
    assert_in_range(asked, 1, 6);
}

/* It says that a stream goes far beyond what it gives of it. Were that believed, what its owner
 * sends later would pass for old. */
static void a_stream_ends_with_a_record(void **state)
{
    const struct purge tag = {.kind = PURGE_TAG, .mode = PURGE_HARD, .selector = SPAN("x")};
    static const struct {
        uint64_t seq, through, floor, wanted; /* of its one record, 0: none */
    } rows[] = {
        {0, 99, 0, 0}, {7, 99, 0, 0},   {99, 99, 0, 99}, {7, 7, 0, 7},
        {0, 0, 0, 0},  {0, 99, 99, 99}, {7, 99, 50, 50}, {98, 99, 50, 50},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster_vector v = {0};
        struct buf body;
        begin(NULL);
        start('a');
        see('a', 'b', CLUSTER_SYNC_LIVE);
        collect('a');
        assert_int_equal(cluster_vector_raise(&v, 1234, 99), ERR_OK);
        answer_exchange('a', 'b', &v);
        uint64_t number = parcel_taken(find_parcel('a', 'b', PURGE_WIRE_PULL, false));
        buf_init(&body, 0);
        purge_wire_put_answer(
            &body,
            &(struct purge_wire_answer){.through = rows[i].through, .floor = rows[i].floor},
            PURGE_WIRE_PULL);
        if (rows[i].seq)
            purge_wire_put_record(&body, &(struct cluster_purge_record){.stream = 1234,
                                                                        .seq = rows[i].seq,
                                                                        .node = SPAN("b"),
                                                                        .purge = tag});
        cluster_sync_answered(nodes[0].sync, number, ERR_OK, buf_span(&body), now_us, now_s());
        settle();
        if (synced('a', 1234) != rows[i].wanted)
            fail_msg("row %u: through %llu", i, (unsigned long long)synced('a', 1234));
        buf_fini(&body);
        cluster_vector_fini(&v);
        end(NULL);
    }
    begin(NULL);
}

/* --- Serf's events --- */

static void event(char at, const char *name, struct span payload, uint64_t ltime, bool replayed)
{
    cluster_sync_event(node_of(at)->sync, span_text(name), payload, ltime, replayed, now_us,
                       now_s());
}

static struct span hint_of(char at)
{
    return span_of(node_of(at)->hint, node_of(at)->hint_len);
}

static void a_hint_is_in_effect_and_no_record(void **state)
{
    (void)state;
    cluster_of(2);
    struct cluster_purge_id id = purge_tag('a', "x", 0);
    assert_int_equal(nodes[0].hints, 1);
    event('b', "perigee", hint_of('a'), 5, false);
    assert_int_equal(nodes[1].applied, 1);
    assert_string_equal(nodes[1].last_applied, "tag x");
    assert_false(cluster_purge_log_has(nodes[1].log, id));
    assert_int_equal(synced('b', id.stream), 0);
    assert_true(cluster_recent_oldest_unnumbered(nodes[1].recent, now_us) > 0);
    event('a', "perigee", hint_of('a'), 5, false); /* one's own */
    assert_int_equal(nodes[0].applied, 0);
    settle();
    assert_true(cluster_purge_log_has(nodes[1].log, id));
    assert_int_equal(nodes[1].applied, 2); /* a hint is never taken for the record */
    assert_int_equal(cluster_recent_oldest_unnumbered(nodes[1].recent, now_us), 0);
    event('b', "perigee", hint_of('a'), 6, false);
    assert_int_equal(nodes[1].applied, 2);
}

static void a_hint_whose_push_was_lost_is_pulled(void **state)
{
    (void)state;
    cluster_of(2);
    struct cluster_purge_id id = purge_tag('a', "x", 0);
    write_disk('a', ERR_OK);
    parcel_done(find_parcel('a', 'b', PURGE_WIRE_PUSH, false));
    cluster_sync_set_events(nodes[1].sync, false); /* the door is shut: it is pulled all the
                                                      same */
    event('b', "perigee", hint_of('a'), 5, false);
    assert_int_equal(nodes[1].applied, 0);
    now_us += SECOND / 4;
    cluster_sync_tick(nodes[1].sync, now_us, now_s());
    settle();
    assert_int_equal(synced('b', id.stream), 1);
    assert_int_equal(nodes[1].applied, 1);
}

static void hints_are_bounded(void **state)
{
    (void)state;
    cluster_of(2);
    for (unsigned i = 0; i < 200; i++)
        (void)purge_tag('a', "x", 0);
    assert_int_equal(nodes[0].hints, CLUSTER_SYNC_HINTS_A_SECOND);
    now_us += SECOND;
    nodes[0].hints = 0;
    for (unsigned i = 0; i < 200; i++) { /* of what clients change, half as many */
        char url[40];
        (void)snprintf(url, sizeof url, "http://a.test/%u", i);
        cluster_sync_invalidated(
            nodes[0].sync, &(struct purge){PURGE_URL, PURGE_HARD, span_text(url), SPAN("")},
            now_us);
    }
    assert_int_equal(nodes[0].hints, CLUSTER_SYNC_INVALIDATIONS_A_SECOND);
    assert_int_equal(figures('a').invalidations_untold,
                     200 - CLUSTER_SYNC_INVALIDATIONS_A_SECOND);
    for (unsigned i = 0; i < 200; i++)
        (void)purge_tag('a', "y", 0);
    assert_int_equal(nodes[0].hints, CLUSTER_SYNC_HINTS_A_SECOND);
    {
        static char text[2000];
        memset(text, 'x', sizeof text);
        struct purge p = {PURGE_TAG, PURGE_HARD, span_of(text, sizeof text), SPAN("")};
        now_us += 2 * SECOND;
        (void)accept_purge('a', &p, 0, 0);
    }
    struct purge_wire_hint h;
    assert_int_equal(purge_wire_read_hint(hint_of('a'), &h), ERR_OK);
    assert_false(h.has_purge); /* too long: what it is called alone */
    {
        static char text[1200]; /* and what has no record is not told */
        memset(text, 'x', sizeof text);
        struct purge p = {PURGE_GROUP, PURGE_HARD, span_of(text, sizeof text), SPAN("")};
        unsigned hints = nodes[0].hints;
        uint64_t untold = figures('a').invalidations_untold;
        cluster_sync_invalidated(nodes[0].sync, &p, now_us);
        assert_int_equal(nodes[0].hints, hints);
        assert_int_equal(figures('a').invalidations_untold, untold + 1);
    }
    settle();
}

static void invalidations_are_told_once_a_second(void **state)
{
    struct purge p = {PURGE_URL, PURGE_SOFT, SPAN("http://a.test/x"), SPAN("")};
    (void)state;
    cluster_of(2);
    cluster_sync_invalidated(nodes[0].sync, &p, now_us);
    cluster_sync_invalidated(nodes[0].sync, &p, now_us);
    assert_int_equal(nodes[0].hints, 1);
    event('a', "perigee", hint_of('a'), 5, false); /* its own comes back */
    assert_int_equal(nodes[0].applied, 0);
    event('b', "perigee", hint_of('a'), 5, false);
    assert_int_equal(nodes[1].applied, 1);
    assert_int_equal(figures('b').invalidations_in, 1);
    settle();
    assert_int_equal(count_parcels(0, 0, 0, false), 0); /* nothing is pulled */
    now_us += SECOND;
    cluster_sync_invalidated(nodes[0].sync, &p, now_us);
    assert_int_equal(nodes[0].hints, 2);
    cluster_sync_set_events(nodes[1].sync, false);
    event('b', "perigee", hint_of('a'), 6, false);
    assert_int_equal(nodes[1].applied, 1);
    event('b', "perigee", SPAN("nonsense"), 7, false);
    event('b', "deploy", SPAN("/x"), 8, false);
    assert_int_equal(nodes[1].applied, 1);
    assert_int_equal(figures('b').refused, 1);
}

static uint64_t records_everywhere(char at)
{
    struct cluster_purge_log_figures f;
    cluster_purge_log_figures(node_of(at)->log, &f);
    return f.records;
}

static void what_was_typed_becomes_one_record(void **state)
{
    (void)state;
    cluster_of(3);
    for (char at = 'a'; at <= 'c'; at++)
        event(at, "purge", SPAN("/index.html"), 77, false);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(nodes[i].applied, 1);
        assert_string_equal(nodes[i].last_applied, "path /index.html");
    }
    pass(2 * SECOND);
    unsigned adopted = 0;
    for (char at = 'a'; at <= 'c'; at++) {
        adopted += (unsigned)figures(at).adopted;
        assert_int_equal(records_everywhere(at), 1);
        assert_int_equal(cluster_recent_oldest_unnumbered(node_of(at)->recent, now_us), 0);
    }
    assert_int_equal(adopted, 1);
    /* Heard again, also by one that was not there. */
    unsigned applied = nodes[0].applied;
    event('a', "purge", SPAN("/index.html"), 77, true);
    assert_int_equal(nodes[0].applied, applied);
    start('d');
    event('d', "purge", SPAN("/index.html"), 77, true);
    assert_int_equal(nodes[3].applied, 1);
    meet('a', 'd');
    pass(2 * SECOND);
    assert_int_equal(records_everywhere('a'), 1);
    event('a', "purge", SPAN("/index.html"), 78, false); /* typed once more */
    pass(2 * SECOND);
    assert_int_equal(figures('a').adopted + figures('b').adopted + figures('c').adopted, 2);
}

/* After all have been away the clock of events begins anew: what is typed then may have the
 * number of what was typed before, whose record is still there. */
static void typed_again_after_a_restart(void **state)
{
    (void)state;
    cluster_of(2);
    for (unsigned round = 1; round <= 3; round++) {
        for (char at = 'a'; at <= 'b'; at++)
            event(at, "purge", SPAN("/index.html"), 2, false);
        assert_true(nodes[0].applied > 0 && nodes[1].applied > 0);
        pass(2 * SECOND);
        assert_int_equal(figures('a').adopted + figures('b').adopted, 1);
        assert_int_equal(records_everywhere('a'), round);
        unsigned applied = nodes[0].applied;
        event('a', "purge", SPAN("/index.html"), 2, false); /* heard twice */
        assert_int_equal(nodes[0].applied, applied);
        for (char at = 'a'; at <= 'b'; at++)
            stop(at);
        for (char at = 'a'; at <= 'b'; at++) {
            start(at);
            node_of(at)->applied = 0;
            event(at, "purge", SPAN("/index.html"), 2, true); /* the old one, told again */
            assert_int_equal(node_of(at)->applied, 0);
        }
        meet('a', 'b');
        settle();
    }
}

static void the_door_can_be_shut(void **state)
{
    (void)state;
    cluster_of(2);
    cluster_sync_set_events(nodes[0].sync, false);
    event('a', "purge", SPAN("/x"), 9, false);
    assert_int_equal(nodes[0].applied, 0);
    event('b', "purge", SPAN("not a url"), 10, false);
    assert_int_equal(nodes[1].applied, 0);
    event('b', "purge", SPAN("/x"), 9, false);
    pass(2 * SECOND); /* one that another took in is a purge as any */
    assert_int_equal(nodes[0].applied, 1);
}

/* --- many --- */

static void in_a_crowd_a_few_are_told(void **state)
{
    (void)state;
    start('a');
    for (unsigned i = 0; i < CLUSTER_SYNC_DIRECT + 50; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "n%u", i);
        cluster_sync_member(nodes[0].sync, span_text(id), CLUSTER_SYNC_LIVE, true, now_us);
    }
    struct cluster_sync_output out;
    while (cluster_sync_next(nodes[0].sync, &out)) /* comparisons */
        ;
    (void)purge_tag('a', "x", 0);
    unsigned pushes = 0;
    while (cluster_sync_next(nodes[0].sync, &out)) {
        struct purge_wire_request q;
        assert_int_equal(purge_wire_read_request(out.body, &q), ERR_OK);
        if (q.kind != PURGE_WIRE_PUSH)
            continue;
        assert_true(q.flags & PURGE_WIRE_SPREAD);
        pushes++;
    }
    assert_in_range(pushes, 1, CLUSTER_SYNC_SPREAD);
    /* One that is passed on is passed on here at its first receipt alone. */
    struct cluster_purge_record r = {.stream = 4711,
                                     .seq = 1,
                                     .accepted_at_s = now_s(),
                                     .node = SPAN("n7"),
                                     .purge = {PURGE_ALL, PURGE_HARD, SPAN(""), SPAN("")}};
    for (unsigned round = 0; round < 2; round++) {
        struct buf b;
        buf_init(&b, 0);
        purge_wire_put_request(&b, &(struct purge_wire_request){.kind = PURGE_WIRE_PUSH,
                                                                .flags = PURGE_WIRE_SPREAD});
        purge_wire_put_record(&b, &r);
        cluster_sync_asked(nodes[0].sync, SPAN("n3"), 1, buf_span(&b), now_us, now_s());
        buf_fini(&b);
        unsigned passed = 0;
        while (cluster_sync_next(nodes[0].sync, &out)) {
            struct purge_wire_request q;
            if (out.kind == CLUSTER_SYNC_SEND &&
                purge_wire_read_request(out.body, &q) == ERR_OK)
                passed += q.kind == PURGE_WIRE_PUSH;
        }
        if (round == 0)
            assert_in_range(passed, 1, CLUSTER_SYNC_SPREAD);
        else
            assert_int_equal(passed, 0);
    }
}

/* It restarted so fast that gossip saw nothing: connections failed, and that was long ago. */
static void who_asks_again_is_waited_for_again(void **state)
{
    (void)state;
    cluster_of(2);
    stop('b');
    (void)purge_tag('a', "x", 1);
    pass(12 * SECOND); /* left alone for longer and longer */
    assert_true(has_stage('a', 1, CLUSTER_SYNC_SETTLED));
    assert_int_equal(figures('a').unreachable, 1);
    start('b');
    see('b', 'a', CLUSTER_SYNC_LIVE);
    settle();
    assert_int_equal(figures('a').unreachable, 0);
    (void)purge_tag('a', "y", 2);
    settle();
    assert_true(has_stage('a', 2, CLUSTER_SYNC_EVERYWHERE));
    assert_false(has_stage('a', 2, CLUSTER_SYNC_SETTLED));
}

/* b can ask a, but not be asked. */
static void who_asks_but_does_not_answer_is_waited_for_once(void **state)
{
    (void)state;
    cluster_of(2);
    cut['a' - 'a']['b' - 'a'] = true;
    (void)purge_tag('a', "x", 1);
    pass(SECOND);
    assert_true(has_stage('a', 1, CLUSTER_SYNC_SETTLED));
    pass(20 * SECOND);
    assert_int_equal(figures('a').unreachable, 1);
    (void)purge_tag('a', "y", 2);
    write_disk('a', ERR_OK);
    assert_true(has_stage('a', 2, CLUSTER_SYNC_SETTLED)); /* at once */
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(a_start_is_cautious_until_all_were_compared_with),
        ROW(nothing_is_everywhere_while_it_is_away),
        ROW(nobody_is_waited_for_for_ever),
        ROW(a_closed_port_costs_the_others_nothing),
        ROW(a_stall_is_an_absence),
        ROW(a_returning_peer_causes_caution_for_two_seconds),
        ROW(a_newcomer_is_no_returning_peer),
        ROW(a_silent_peer_is_asked_less_and_less),
        ROW(nonsense_is_refused_and_harms_nothing),
        ROW(a_lie_about_the_vector_harms_nobody_else),
        ROW(a_stream_ends_with_a_record),
        ROW(a_hint_is_in_effect_and_no_record),
        ROW(a_hint_whose_push_was_lost_is_pulled),
        ROW(hints_are_bounded),
        ROW(invalidations_are_told_once_a_second),
        ROW(what_was_typed_becomes_one_record),
        ROW(typed_again_after_a_restart),
        ROW(the_door_can_be_shut),
        ROW(in_a_crowd_a_few_are_told),
        ROW(who_asks_again_is_waited_for_again),
        ROW(who_asks_but_does_not_answer_is_waited_for_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
