#include "tests/unit/cluster/swim_talk.h"

/* "#" in words is the number of the last ping. */
static void hear(struct bench *b, const char *type, char from)
{
    char words[40];
    snprintf(words, sizeof(words), "%s %u pay", type, b->seq_no);
    bench_hear(b, words, from);
}

static void open_with(struct bench *b, const char *const *members)
{
    struct cluster_swim_conf conf = bench_conf();
    bench_open(b, &conf);
    for (unsigned i = 0; members[i]; i++)
        bench_meet(b, members[i]);
}

static void answered(void **state)
{
    (void)state;
    struct bench b;
    open_with(&b, (const char *const[]){"alive b 1", NULL});
    bench_hear(&b, "alive a 5", 'b'); /* refuted: health 1 */
    bench_flush(&b);
    assert_int_equal(cluster_swim_health(b.swim), 1);
    assert_string_equal(bench_wait(&b), "b: ping b\n");
    b.now_us += 20 * MS;
    hear(&b, "ack", 'b');
    assert_string_equal(bench_news(&b), "rtt:b:20:pay ");
    assert_int_equal(cluster_swim_health(b.swim), 0);
    hear(&b, "ack", 'b'); /* twice */
    assert_string_equal(bench_news(&b), "");
    assert_int_equal(cluster_swim_counters(b.swim)->dropped_unknown, 1);
    int64_t asked_us = b.now_us - 20 * MS;
    assert_string_equal(bench_wait(&b), "b: ping b\n");
    assert_int_equal(b.now_us - asked_us, SECOND);
    bench_close(&b);
}

static void asks_others_then_suspects(void **state)
{
    (void)state;
    struct bench b;
    open_with(&b, (const char *const[]){"alive b 1", NULL});
    bench_wait(&b);
    int64_t asked_us = b.now_us;
    assert_string_equal(bench_wait(&b), "open b ping\n");
    assert_int_equal(b.now_us - asked_us, 500 * MS);
    const char *said = bench_wait(&b); /* the stream is given up as the probe fails */
    assert_int_equal(b.now_us - asked_us, SECOND);
    assert_memory_equal(said, "close\n", 6);
    assert_string_equal(bench_view(&b, "b"), "b suspect 1");
    assert_int_equal(cluster_swim_health(b.swim), 1); /* nobody could have sent a nack */
    assert_int_equal(cluster_swim_counters(b.swim)->probes_failed, 1);
    bench_close(&b);
}

/* What a probe of b that fails costs, by who helps and which nacks come. */
static void nacks_and_health(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *members[6];
        const char *asked; /* in any order */
        unsigned nacks, health;
    } rows[] = {
        {"no helper", {"alive b 1", NULL}, "", 0, 1},
        {"one helper, no nack", {"alive b 1", "alive c 1", NULL}, "c: iping b\n", 0, 1},
        {"one helper, nack", {"alive b 1", "alive c 1", NULL}, "c: iping b\n", 1, 0},
        {"one that knows no nacks",
         {"alive b 1", "alive c 1 vsn=1.3.2.2.5.5", NULL},
         "c: iping b quiet\n",
         0,
         1},
        {"its nack does not count",
         {"alive b 1", "alive c 1 vsn=1.3.2.2.5.5", NULL},
         "c: iping b quiet\n",
         1,
         1},
        {"three helpers, one nack",
         {"alive b 1", "alive c 1", "alive d 1", "alive e 1", NULL},
         "c: iping b\nd: iping b\ne: iping b\n",
         1,
         2},
        {"three helpers, all nacks and more",
         {"alive b 1", "alive c 1", "alive d 1", "alive e 1", NULL},
         "c: iping b\nd: iping b\ne: iping b\n",
         5,
         0},
        {"two of three know nacks, none comes",
         {"alive b 1", "alive c 1", "alive d 1 vsn=1.3.2.2.5.5", "alive e 1", NULL},
         "c: iping b\nd: iping b quiet\ne: iping b\n",
         0,
         2},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b;
        open_with(&b, rows[i].members);
        while (strcmp(bench_wait(&b), "b: ping b\n") != 0)
            hear(&b, "ack", 'b'); /* it was another's turn */
        int64_t asked_us = b.now_us;
        const char *said = bench_wait(&b);
        assert_int_equal(b.now_us - asked_us, 500 * MS);
        assert_int_equal(strlen(said), strlen(rows[i].asked) + strlen("open b ping\n"));
        struct span rest = span_text(rows[i].asked), line;
        while (rest.len > 0 && span_split(&rest, '\n', &line))
            if (!span_contains(span_text(said), line))
                fail_msg("%s: said %s", rows[i].why, said);
        for (unsigned n = 0; n < rows[i].nacks; n++)
            hear(&b, "nack", 'c');
        assert_string_equal(bench_view(&b, "b"), "b alive 1");
        bench_run_to(&b, asked_us + SECOND, NULL);
        assert_string_equal(bench_view(&b, "b"), "b suspect 1");
        if (cluster_swim_health(b.swim) != rows[i].health)
            fail_msg("%s: health %u", rows[i].why, cluster_swim_health(b.swim));
        bench_close(&b);
    }
}

static void too_many_nacks_are_no_health(void **state)
{
    (void)state;
    struct bench b;
    open_with(&b, (const char *const[]){"alive b 1", "alive c 1", NULL});
    for (unsigned i = 3; i < 9; i += 2) {
        char words[20];
        snprintf(words, sizeof(words), "alive a %u", i);
        bench_hear(&b, words, 'c');
    }
    bench_flush(&b);
    assert_int_equal(cluster_swim_health(b.swim), 3);
    const char *said = bench_wait(&b);
    while (!strstr(said, "iping"))
        said = bench_wait(&b);
    for (unsigned i = 0; i < 5; i++)
        hear(&b, "nack", 'c');
    while (cluster_swim_counters(b.swim)->probes_failed == 0)
        bench_wait(&b);
    assert_int_equal(cluster_swim_health(b.swim), 3);
    bench_close(&b);
}

static void saved_by_a_detour(void **state)
{
    (void)state;
    struct bench b;
    open_with(&b, (const char *const[]){"alive b 1", "alive c 1", NULL});
    while (strcmp(bench_wait(&b), "b: ping b\n") != 0)
        hear(&b, "ack", 'b');
    (void)bench_news(&b);
    (void)bench_wait(&b);
    bench_run_to(&b, b.now_us + 499 * MS, NULL);
    hear(&b, "ack", 'c');
    assert_string_equal(bench_news(&b), ""); /* no round trip time by a detour */
    bench_run_to(&b, b.now_us + 300 * MS, NULL);
    assert_string_equal(bench_view(&b, "b"), "b alive 1");
    assert_int_equal(cluster_swim_counters(b.swim)->probes_failed, 0);
    bench_close(&b);
}

static void saved_by_a_stream(void **state)
{
    (void)state;
    static const struct {
        const char *why, *target;
        bool opened;
        int32_t wrong; /* added to the number in the ack */
        const char *view;
    } rows[] = {
        {"an ack by stream", "alive b 1", true, 0, "b alive 1"},
        {"of another number", "alive b 1", true, 1, "b suspect 1"},
        {"a protocol without it", "alive b 1 vsn=1.2.2.2.5.5", false, 0, "b suspect 1"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b;
        char ack[40];
        open_with(&b, (const char *const[]){rows[i].target, NULL});
        bench_wait(&b);
        int64_t asked_us = b.now_us;
        bench_run_to(&b, asked_us + 500 * MS, NULL);
        assert_int_equal(cluster_swim_counters(b.swim)->streams_out, rows[i].opened);
        if (rows[i].opened) {
            snprintf(ack, sizeof(ack), "ack %u", b.seq_no + (uint32_t)rows[i].wrong);
            bench_answer(&b, ack);
            assert_string_equal(bench_outputs(&b), "close\n");
        }
        bench_run_to(&b, asked_us + SECOND, NULL);
        if (strcmp(bench_view(&b, "b"), rows[i].view) != 0)
            fail_msg("%s: %s", rows[i].why, bench_view(&b, "b"));
        assert_int_equal(cluster_swim_counters(b.swim)->probes_by_stream, i == 0);
        bench_close(&b);
    }
}

static void bad_health_takes_time(void **state)
{
    (void)state;
    struct bench b;
    open_with(&b, (const char *const[]){"alive b 1", NULL});
    bench_hear(&b, "alive a 5", 'b');
    bench_hear(&b, "alive a 7", 'b');
    bench_flush(&b);
    assert_int_equal(cluster_swim_health(b.swim), 2);
    assert_string_equal(bench_wait(&b), "b: ping b\n");
    int64_t asked_us = b.now_us;
    bench_run_to(&b, asked_us + 3 * SECOND - 1, NULL);
    assert_string_equal(bench_view(&b, "b"), "b alive 1");
    bench_run_to(&b, asked_us + 3 * SECOND, NULL);
    assert_string_equal(bench_view(&b, "b"), "b suspect 1");
    assert_int_equal(cluster_swim_counters(b.swim)->probes, 2); /* the next one at once */
    bench_close(&b);
}

static void a_suspect_hears_it_with_the_ping(void **state)
{
    (void)state;
    for (unsigned lifeguard = 0; lifeguard < 2; lifeguard++) {
        struct bench b;
        struct cluster_swim_conf conf = bench_conf();
        conf.lifeguard = lifeguard;
        bench_open(&b, &conf);
        bench_hear(&b, "alive b 4", 'b');
        bench_flush(&b);
        bench_hear(&b, "suspect b 4 z", 'z');
        struct cluster_swim_output o = {0};
        struct text said = {.len = 0};
        while (cluster_swim_counters(b.swim)->probes == 0) {
            (void)bench_outputs(&b);
            b.now_us = cluster_swim_deadline_us(b.swim);
            cluster_swim_tick(b.swim, b.now_us);
        }
        assert_true(cluster_swim_next(b.swim, &o));
        describe_output(&b, &said, &o);
        assert_int_equal(span_equal(span_text(said.at), SPAN("b: ping b + suspect b 4 a\n")),
                         lifeguard);
        assert_int_equal((uint8_t)o.bytes.ptr[0] == WIRE_CRC, lifeguard);
        bench_close(&b);
    }
}

static void the_gone_are_not_probed(void **state)
{
    (void)state;
    struct bench b;
    open_with(&b, (const char *const[]){"alive b 1", "alive c 1", "alive d 1", NULL});
    bench_meet(&b, "dead c 1 c");
    bench_meet(&b, "dead d 1 b");
    unsigned probes = 0;
    for (int64_t end_us = b.now_us + 20 * SECOND; b.now_us < end_us;) {
        const char *said = bench_wait(&b);
        if (span_starts(span_text(said), SPAN("open")))
            continue; /* a push/pull */
        if (strstr(said, "b: ping b")) {
            probes++;
            hear(&b, "ack", 'b');
        }
        assert_null(strstr(said, "ping c"));
        assert_null(strstr(said, "ping d"));
    }
    assert_in_range(probes, 19, 21);
    bench_close(&b);
}

static void pings_are_answered(void **state)
{
    (void)state;
    static const struct {
        const char *why, *ping, *said;
    } rows[] = {
        {"to the address that was told", "ping a 7 y", "y: ack 7 vivaldi\n"},
        {"else to where it came from", "ping a 7", "x: ack 7 vivaldi\n"},
        {"for nobody in particular", "ping  7 y", "y: ack 7 vivaldi\n"},
        {"for who had the address before", "ping b 7 y", ""},
    };
    struct bench b;
    open_with(&b, (const char *const[]){"alive b 1", NULL});
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        bench_hear(&b, rows[i].ping, 'x');
        const char *said = bench_outputs(&b);
        if (strcmp(said, rows[i].said) != 0)
            fail_msg("%s: %s", rows[i].why, said);
    }
    bench_close(&b);
}

/* A packet full of questions, with somebody else's address on it. */
static void a_packet_is_answered_once(void **state)
{
    (void)state;
    static const struct {
        const char *why, *word[3], *said;
        unsigned refused;
    } rows[] = {
        {"pings", {"ping a 7 y", "ping a 8 y", "ping a 9 y"}, "y: ack 7 vivaldi\n", 2},
        {"for others, too", {"iping c 7 b", "iping c 8 b", "ping a 9 y"}, "c: ping c\n", 2},
        {"beside other news",
         {"suspect b 0 c", "ping a 7 y", "ping a 8 y"},
         "y: ack 7 vivaldi\n",
         1},
        {"what was refuted",
         {"suspect a 0 c", "dead a 0 c", "suspect a 0 b"},
         "x: alive a 1\n",
         0},
    };
    struct bench b;
    open_with(&b, (const char *const[]){"alive b 1", "alive c 1", NULL});
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_pack pack;
        uint8_t room[WIRE_PACKET_SEND_MAX];
        const uint8_t nonce[WIRE_NONCE_BYTES] = {0};
        struct cursor c;
        struct addr from = addr_of('x');
        wire_pack_init(&pack, false);
        for (unsigned w = 0; w < 3; w++) {
            struct wire_message m = message_of(rows[i].word[w]);
            assert_true(wire_pack_add_message(&pack, &m));
        }
        cursor_write(&c, room, sizeof(room));
        wire_pack_finish(&pack, false, NULL, nonce, &c);
        uint64_t refused = cluster_swim_counters(b.swim)->dropped_refused;
        cluster_swim_packet(b.swim, &from, span_of(room, c.at), b.now_us);
        const char *said = bench_outputs(&b);
        if (strcmp(said, rows[i].said) != 0)
            fail_msg("%s: %s", rows[i].why, said);
        refused = cluster_swim_counters(b.swim)->dropped_refused - refused;
        assert_int_equal(refused, rows[i].refused);
    }
    bench_close(&b);
}

static void probes_for_others(void **state)
{
    (void)state;
    struct bench b;
    open_with(&b, (const char *const[]){"alive b 1", "alive c 1", NULL});
    /* Answered: the ack goes on, without its payload. */
    bench_hear(&b, "iping c 70 b", 'b');
    assert_string_equal(bench_outputs(&b), "c: ping c\n");
    assert_int_not_equal(b.seq_no, 70);
    hear(&b, "ack", 'c');
    assert_string_equal(bench_outputs(&b), "b: ack 70 \n");
    hear(&b, "ack", 'c');
    assert_string_equal(bench_outputs(&b), "");
    /* Not answered: a nack after this node's own time-out, and no ack any more. */
    struct text said = {.len = 0};
    bench_hear(&b, "iping c 71 b", 'b');
    bench_hear(&b, "iping c 72 b quiet", 'b');
    (void)bench_outputs(&b);
    uint32_t last = b.seq_no;
    int64_t asked_us = b.now_us;
    bench_run_to(&b, asked_us + 500 * MS - 1, &said);
    assert_null(strstr(said.at, "ack 7"));
    bench_run_to(&b, asked_us + 500 * MS, &said);
    assert_non_null(strstr(said.at, "b: nack 71\n"));
    assert_null(strstr(said.at, "nack 72"));
    b.seq_no = last;
    (void)bench_outputs(&b);
    hear(&b, "ack", 'c');
    assert_string_equal(bench_outputs(&b), "");
    /* A stranger is probed, too: who asks may know more. */
    bench_hear(&b, "iping x 73 b", 'b');
    assert_string_equal(bench_outputs(&b), "x: ping x\n");
    bench_close(&b);
}

static void probes_for_others_are_bounded(void **state)
{
    (void)state;
    struct bench b;
    open_with(&b, (const char *const[]){"alive b 1", NULL});
    for (unsigned i = 0; i < CLUSTER_SWIM_RELAYS + 10; i++)
        bench_hear(&b, "iping c 70 b", 'b');
    assert_int_equal(cluster_swim_counters(b.swim)->dropped_relay, 10);
    (void)bench_outputs(&b);
    bench_run_to(&b, b.now_us + 500 * MS, NULL);
    assert_int_equal(cluster_swim_counters(b.swim)->nacks_out, CLUSTER_SWIM_RELAYS);
    bench_hear(&b, "iping c 70 b", 'b');
    assert_int_equal(cluster_swim_counters(b.swim)->dropped_relay, 10);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answered),
        cmocka_unit_test(asks_others_then_suspects),
        cmocka_unit_test(nacks_and_health),
        cmocka_unit_test(too_many_nacks_are_no_health),
        cmocka_unit_test(saved_by_a_detour),
        cmocka_unit_test(saved_by_a_stream),
        cmocka_unit_test(bad_health_takes_time),
        cmocka_unit_test(a_suspect_hears_it_with_the_ping),
        cmocka_unit_test(the_gone_are_not_probed),
        cmocka_unit_test(pings_are_answered),
        cmocka_unit_test(a_packet_is_answered_once),
        cmocka_unit_test(probes_for_others),
        cmocka_unit_test(probes_for_others_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
