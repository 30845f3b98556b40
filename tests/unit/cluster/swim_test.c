#include "tests/unit/cluster/swim_bed.h"

static struct bed bed;

/* --- cuts --- */

static char muted; /* neither sends nor hears, by packet or stream */

static bool cut_muted(const struct bed *b, enum bed_kind kind, char from, char to,
                      struct span bytes)
{
    (void)b, (void)kind, (void)bytes;
    return from == muted || to == muted;
}

static bool cut_packets_a_b(const struct bed *b, enum bed_kind kind, char from, char to,
                            struct span bytes)
{
    (void)b, (void)bytes;
    return kind == BED_PACKET && ((from == 'a' && to == 'b') || (from == 'b' && to == 'a'));
}

static bool cut_all_a_b(const struct bed *b, enum bed_kind kind, char from, char to,
                        struct span bytes)
{
    (void)b, (void)kind, (void)bytes;
    return (from == 'a' && to == 'b') || (from == 'b' && to == 'a');
}

static void joins_by_push_pull(void **state)
{
    (void)state;
    struct addr seed = addr_of('a');
    bed_open(&bed, 3);
    cluster_swim_join(bed.node[1].swim, &seed, bed.now_us);
    bed_run(&bed, 2 * MS); /* there and back */
    assert_string_equal(bed_news(&bed, 'a'), "+b state:joining:1 ");
    assert_string_equal(bed_news(&bed, 'b'), "+a state:joining:1 join:a:ok ");
    cluster_swim_join(bed.node[2].swim, &seed, bed.now_us);
    bed_run(&bed, 2 * MS);
    assert_string_equal(bed_news(&bed, 'c'), "+a +b state:joining:1 join:a:ok ");
    assert_string_equal(bed_news(&bed, 'a'), "+c state:joining:1 ");
    bed_until(&bed, 'b', "c alive 1", SECOND); /* by gossip */
    bed_run(&bed, 120 * SECOND);
    for (char n = 'a'; n <= 'c'; n++) {
        const struct cluster_swim_counters *c = cluster_swim_counters(bed_node(&bed, n)->swim);
        assert_int_equal(c->suspected, 0);
        assert_int_equal(c->failed, 0);
        assert_int_equal(c->probes_failed, 0);
        assert_in_range(c->probes, 118, 121);
        assert_in_range(c->push_pulls, 3, 5);
        assert_int_equal(c->silences, 0);
        assert_int_equal(c->stalls, 0);
        assert_int_equal(cluster_swim_broadcasts_waiting(bed_node(&bed, n)->swim), 0);
    }
    bed_close(&bed);
}

static void nobody_at_the_seed(void **state)
{
    (void)state;
    struct addr seed = addr_of('h');
    bed_open(&bed, 1);
    cluster_swim_join(bed.node[0].swim, &seed, bed.now_us);
    bed_run(&bed, SECOND);
    assert_string_equal(bed_news(&bed, 'a'), "join:h:closed ");
    bed.cut = cut_muted;
    muted = 'h';
    cluster_swim_join(bed.node[0].swim, &seed, bed.now_us);
    bed_run(&bed, 10 * SECOND - 1);
    assert_string_equal(bed_news(&bed, 'a'), "");
    bed_run(&bed, 1);
    assert_string_equal(bed_news(&bed, 'a'), "join:h:timeout ");
    assert_int_equal(cluster_swim_counters(bed.node[0].swim)->push_pulls_failed, 2);
    bed_close(&bed);
}

/* Nobody can be asked: the first probe that fails, then the shortest suspicion. */
static void a_death_among_three(void **state)
{
    (void)state;
    bed_open(&bed, 3);
    bed_join_all(&bed, 3);
    bed_stop(&bed, 'c');
    int64_t suspect_us = bed_until(&bed, 'a', "c suspect 1", 4 * SECOND);
    int64_t dead_us = bed_until(&bed, 'a', "c dead 1", 5 * SECOND);
    assert_in_range(suspect_us, 0, 3 * SECOND);
    assert_in_range(dead_us, 3800 * MS, 4010 * MS);
    bed_until(&bed, 'b', "c dead 1", 500 * MS);
    assert_string_equal(bed_news(&bed, 'a'), "-c ");
    assert_string_equal(bed_news(&bed, 'b'), "-c ");
    /* It is forgotten 30 s later, at the end of a round of probes. */
    bed_until(&bed, 'a', "no c", 36 * SECOND);
    assert_string_equal(bed_news(&bed, 'a'), "");
    bed_close(&bed);
}

/* Two more accuse it: the longest time shrinks to the shortest. */
static void a_death_among_five(void **state)
{
    (void)state;
    bed_open(&bed, 5);
    bed_join_all(&bed, 5);
    bed_stop(&bed, 'e');
    int64_t first_us = bed_until(&bed, 'a', "e suspect 1", 8 * SECOND);
    int64_t dead_us = bed_until(&bed, 'a', "e dead 1", 12 * SECOND);
    assert_in_range(first_us, 0, 5 * SECOND);
    assert_in_range(dead_us, 3500 * MS, 11500 * MS);
    for (char n = 'a'; n <= 'd'; n++)
        bed_until(&bed, n, "e dead 1", SECOND);
    bed_close(&bed);
}

static void a_suspect_refutes(void **state)
{
    (void)state;
    bed_open(&bed, 3);
    bed_join_all(&bed, 3);
    bed.cut = cut_muted;
    muted = 'c';
    bed_until(&bed, 'a', "c suspect 1", 5 * SECOND);
    muted = 0;
    bed_until(&bed, 'a', "c alive 2", 2 * SECOND);
    bed_until(&bed, 'b', "c alive 2", 2 * SECOND);
    assert_string_equal(bed_news(&bed, 'a'), "");
    assert_string_equal(bed_news(&bed, 'b'), "");
    assert_int_equal(cluster_swim_counters(bed.node[2].swim)->refuted, 1);
    bed_close(&bed);
}

/* With packets cut between two of three, the third helps. */
static void one_bad_link(void **state)
{
    (void)state;
    bed_open(&bed, 3);
    bed_join_all(&bed, 3);
    bed.cut = cut_all_a_b;
    bed_run(&bed, 120 * SECOND);
    assert_string_equal(bed_view(&bed, 'a', "b"), "b alive 1");
    assert_string_equal(bed_view(&bed, 'b', "a"), "a alive 1");
    assert_true(cluster_swim_counters(bed.node[0].swim)->probes_indirect > 50);
    assert_true(cluster_swim_counters(bed.node[2].swim)->relayed > 100);
    assert_int_equal(cluster_swim_counters(bed.node[0].swim)->probes_failed, 0);
    bed_close(&bed);
}

/* And with only two, the stream. */
static void packets_lost_streams_not(void **state)
{
    (void)state;
    bed_open(&bed, 2);
    bed_join_all(&bed, 2);
    bed.cut = cut_packets_a_b;
    bed_run(&bed, 60 * SECOND);
    assert_string_equal(bed_view(&bed, 'a', "b"), "b alive 1");
    assert_true(cluster_swim_counters(bed.node[0].swim)->probes_by_stream > 50);
    bed_close(&bed);
}

/* Muted for long enough to be dead; its own view of the others dies as well. Silence makes it
 * ask: it is back within seconds, not at the next push/pull. */
static void back_after_a_mute(void **state)
{
    (void)state;
    bed_open(&bed, 4);
    bed_join_all(&bed, 4);
    bed.cut = cut_muted;
    muted = 'd';
    bed_until(&bed, 'a', "d dead 1", 30 * SECOND);
    bed_run(&bed, 3 * SECOND);
    muted = 0;
    int64_t back_us = bed_until(&bed, 'a', "d alive 2", 4500 * MS);
    bed_until(&bed, 'b', "d alive 2", SECOND);
    bed_until(&bed, 'c', "d alive 2", SECOND);
    assert_true(back_us < 4 * SECOND);
    assert_true(cluster_swim_counters(bed.node[3].swim)->silences > 0);
    bed_run(&bed, 15 * SECOND);
    for (char n = 'a'; n <= 'c'; n++) {
        char alive[20];
        const struct cluster_member *m = bench_member(bed_node(&bed, 'd'), (char[]){n, 0});
        snprintf(alive, sizeof(alive), "d sees %c", n);
        if (!m || m->state != CLUSTER_ALIVE)
            fail_msg("%s: %s", alive, bed_view(&bed, 'd', (char[]){n, 0}));
    }
    bed_close(&bed);
}

/* A node that was stopped (SIGSTOP) accuses nobody when it wakes up, and asks at once. */
static void a_stalled_node(void **state)
{
    (void)state;
    for (int64_t ms = 400; ms <= 60000; ms *= 2) {
        bed_open(&bed, 4);
        bed_join_all(&bed, 4);
        bed.paused[3] = true;
        bed_run(&bed, ms * MS);
        bed.paused[3] = false;
        bed_run(&bed, 3 * SECOND);
        const struct cluster_swim_counters *c = cluster_swim_counters(bed.node[3].swim);
        assert_int_equal(c->stalls, ms > 2000);
        assert_int_equal(c->failed, 0);
        assert_int_equal(c->suspected, 0);
        for (char n = 'a'; n <= 'd'; n++)
            for (char o = 'a'; o <= 'd'; o++)
                if (bench_member(bed_node(&bed, n), (char[]){o, 0})->state != CLUSTER_ALIVE)
                    fail_msg("%lld ms: %c sees %s", (long long)ms, n,
                             bed_view(&bed, n, (char[]){o, 0}));
        bed_close(&bed);
    }
}

/* What a stall does, seen from inside: no time passes for the suspect nor for the probe under
 * way, somebody is asked at once, whatever else was heard, and ticks that were missed stay so.
 */
static void a_stall_from_inside(void **state)
{
    (void)state;
    for (unsigned lifeguard = 0; lifeguard < 2; lifeguard++) {
        struct bench b;
        struct text said = {.len = 0};
        struct cluster_swim_conf conf = bench_conf();
        conf.lifeguard = lifeguard;
        bench_open(&b, &conf);
        bench_meet(&b, "alive b 1");
        bench_meet(&b, "alive c 1");
        while (cluster_swim_counters(b.swim)->probes == 0)
            (void)bench_wait(&b);
        bench_hear(&b, "suspect b 1 c", 'c');
        b.now_us += 60 * SECOND;
        bench_hear(&b, "user hello", 'c'); /* read first */
        cluster_swim_tick(b.swim, b.now_us);
        assert_int_equal(cluster_swim_counters(b.swim)->stalls, 1);
        assert_string_equal(bench_view(&b, "b"), lifeguard ? "b suspect 1" : "b dead 1");
        assert_int_equal(cluster_swim_counters(b.swim)->probes_failed, !lifeguard);
        assert_int_equal(cluster_swim_counters(b.swim)->silences, 1);
        bench_run_to(&b, b.now_us, &said);
        assert_non_null(strstr(said.at, "open "));
        assert_true(cluster_swim_deadline_us(b.swim) > b.now_us);
        if (lifeguard) {
            char words[20];
            snprintf(words, sizeof(words), "ack %u", b.seq_no);
            bench_hear(&b, words, 'c'); /* a round trip of 60 s is none */
            assert_null(strstr(bench_news(&b), "rtt"));
            bench_run_to(&b, b.now_us + 3900 * MS, &said);
            assert_string_equal(bench_view(&b, "b"), "b suspect 1");
        }
        bench_close(&b);
    }
}

static void late_ticks_are_not_made_up_for(void **state)
{
    (void)state;
    struct bench b;
    struct cluster_swim_conf conf = bench_conf();
    bench_open(&b, &conf);
    bench_run_to(&b, SECOND, NULL);
    b.now_us += 1700 * MS;
    cluster_swim_tick(b.swim, b.now_us);
    assert_int_equal(cluster_swim_counters(b.swim)->stalls, 0);
    assert_in_range(cluster_swim_deadline_us(b.swim), b.now_us + 1, b.now_us + 200 * MS);
    cluster_swim_tick(b.swim, b.now_us - SECOND); /* a clock that goes back stands still */
    assert_in_range(cluster_swim_deadline_us(b.swim), b.now_us + 1, b.now_us + 200 * MS);
    bench_close(&b);
}

static void leaves(void **state)
{
    (void)state;
    bed_open(&bed, 3);
    bed_join_all(&bed, 3);
    cluster_swim_leave(bed.node[2].swim, bed.now_us);
    assert_false(cluster_swim_leave_told(bed.node[2].swim));
    int64_t told_us = bed.now_us;
    while (!cluster_swim_leave_told(bed.node[2].swim)) {
        assert_true(bed.now_us - told_us < SECOND);
        bed_run(&bed, 10 * MS);
    }
    bed_run(&bed, 2 * MS);
    bed_stop(&bed, 'c');
    assert_string_equal(bed_news(&bed, 'a'), "<c ");
    assert_string_equal(bed_news(&bed, 'b'), "<c ");
    bed_run(&bed, 10 * SECOND);
    assert_string_equal(bed_news(&bed, 'a'), "");
    /* It comes back elsewhere, at once. */
    struct cluster_swim_conf conf = bed_conf('c');
    conf.addr = addr_of('g');
    conf.seed = 99;
    bed_start(&bed, 'g', &conf);
    struct addr seed = addr_of('a');
    cluster_swim_join(bed_node(&bed, 'g')->swim, &seed, bed.now_us);
    /* a answered "c left 1" to it, which it refuted. */
    bed_until(&bed, 'a', "c alive 2", SECOND);
    bed_until(&bed, 'b', "c alive 2", SECOND);
    assert_int_equal(letter_of(&bench_member(&bed.node[1], "c")->addr), 'g');
    bed_run(&bed, 5 * SECOND);
    assert_string_equal(bed_news(&bed, 'a'), "+c state:joining:1 ");
    bed_close(&bed);
}

/* Killed and back at once with incarnation 1 and other tags: nobody saw it go. */
static void restarts(void **state)
{
    (void)state;
    bed_open(&bed, 3);
    bed_join_all(&bed, 3);
    for (unsigned i = 0; i < 3; i++) /* its number is above that of a new start */
        cluster_swim_set_meta(bed.node[2].swim, SPAN("old"), bed.now_us);
    bed_until(&bed, 'b', "c alive 4", SECOND);
    bed_stop(&bed, 'c');
    (void)bed_news(&bed, 'b');
    struct cluster_swim_conf conf = bed_conf('c');
    conf.meta = SPAN("new");
    bed_start(&bed, 'c', &conf);
    struct addr seed = addr_of('a');
    cluster_swim_join(bed.node[2].swim, &seed, bed.now_us);
    bed_until(&bed, 'a', "c alive 5", SECOND);
    bed_until(&bed, 'b', "c alive 5", SECOND);
    assert_string_equal(bed_news(&bed, 'b'), "~c ");
    assert_true(span_equal(cluster_member_meta(bench_member(&bed.node[1], "c")), SPAN("new")));
    /* Killed, found dead, back at the same address. */
    bed_stop(&bed, 'c');
    bed_until(&bed, 'a', "c dead 5", 10 * SECOND);
    bed_until(&bed, 'b', "c dead 5", SECOND);
    bed_start(&bed, 'c', &conf);
    cluster_swim_join(bed.node[2].swim, &seed, bed.now_us);
    bed_until(&bed, 'a', "c alive 6", 2 * SECOND);
    bed_until(&bed, 'b', "c alive 6", 2 * SECOND);
    bed_close(&bed);
}

/* Killed, and back at another address: refused until it was dead for 10 s. */
static void moves_after_a_crash(void **state)
{
    (void)state;
    bed_open(&bed, 3);
    bed_join_all(&bed, 3);
    bed_stop(&bed, 'c');
    struct cluster_swim_conf conf = bed_conf('c');
    conf.addr = addr_of('g');
    bed_start(&bed, 'g', &conf);
    struct addr seed = addr_of('a');
    struct cluster_swim *moved = bed_node(&bed, 'g')->swim;
    cluster_swim_join(moved, &seed, bed.now_us);
    bed_run(&bed, SECOND);
    assert_non_null(strstr(bed_news(&bed, 'a'), "!c@g"));
    bed_until(&bed, 'a', "c dead 1", 10 * SECOND);
    bed_run(&bed, 9 * SECOND);
    cluster_swim_join(moved, &seed, bed.now_us);
    bed_run(&bed, 100 * MS);
    assert_string_equal(bed_view(&bed, 'a', "c"), "c dead 1");
    bed_run(&bed, 1500 * MS);
    cluster_swim_join(moved, &seed, bed.now_us);
    bed_run(&bed, 2 * SECOND);
    for (char n = 'a'; n <= 'b'; n++) {
        const struct cluster_member *m = bench_member(bed_node(&bed, n), "c");
        assert_int_equal(m->state, CLUSTER_ALIVE);
        assert_int_equal(letter_of(&m->addr), 'g');
    }
    bed_run(&bed, 60 * SECOND);
    assert_int_equal(bench_member(&bed.node[0], "c")->state, CLUSTER_ALIVE);
    bed_close(&bed);
}

static bool lose_a_third(const struct bed *b, enum bed_kind kind, char from, char to,
                         struct span bytes)
{
    (void)from, (void)to, (void)bytes;
    return kind == BED_PACKET && hash_mix(b->orders * 3 + (uint64_t)b->now_us) % 3 == 0;
}

/* Joins, losses, a pause, a death, a leave: twice the same bytes; another seed, others. */
static uint64_t a_story(uint64_t seed)
{
    bed_open(&bed, 0);
    for (char n = 'a'; n <= 'f'; n++) {
        struct cluster_swim_conf conf = bed_conf(n);
        conf.seed += seed;
        bed_start(&bed, n, &conf);
    }
    bed_join_all(&bed, 6);
    bed.cut = lose_a_third;
    bed.paused[1] = true;
    bed_run(&bed, 9 * SECOND);
    bed.paused[1] = false;
    bed_run(&bed, 5 * SECOND);
    bed_stop(&bed, 'd');
    cluster_swim_leave(bed.node[4].swim, bed.now_us);
    bed_run(&bed, 60 * SECOND);
    uint64_t hash = bed.sent_hash;
    bed_close(&bed);
    return hash;
}

static void the_same_again(void **state)
{
    (void)state;
    uint64_t first = a_story(1);
    assert_int_equal(a_story(1), first);
    assert_int_not_equal(a_story(2), first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins_by_push_pull),
        cmocka_unit_test(nobody_at_the_seed),
        cmocka_unit_test(a_death_among_three),
        cmocka_unit_test(a_death_among_five),
        cmocka_unit_test(a_suspect_refutes),
        cmocka_unit_test(one_bad_link),
        cmocka_unit_test(packets_lost_streams_not),
        cmocka_unit_test(back_after_a_mute),
        cmocka_unit_test(a_stalled_node),
        cmocka_unit_test(a_stall_from_inside),
        cmocka_unit_test(late_ticks_are_not_made_up_for),
        cmocka_unit_test(leaves),
        cmocka_unit_test(restarts),
        cmocka_unit_test(moves_after_a_crash),
        cmocka_unit_test(the_same_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
