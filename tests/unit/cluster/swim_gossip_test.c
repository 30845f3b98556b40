#include "tests/unit/cluster/swim_bed.h"

static struct bed bed;

/* How many lines of `said` go to `to` and hold `part`. */
static unsigned lines_with(const char *said, char to, const char *part)
{
    unsigned count = 0;
    struct span rest = span_text(said), line;
    while (rest.len > 0 && span_split(&rest, '\n', &line))
        count += line.len > 0 && line.ptr[0] == to && span_contains(line, span_text(part));
    return count;
}

static void open_with(struct bench *b, const char *members)
{
    struct cluster_swim_conf conf = bench_conf();
    conf.profile.probe_interval_us = 3600 * SECOND; /* gossip alone */
    bench_open(b, &conf);
    for (; *members; members++) {
        char words[20];
        snprintf(words, sizeof(words), "alive %c 1", *members);
        bench_meet(b, words);
    }
}

/* Six peers, three at a time: all six in two ticks, until the message was sent often enough. */
static void goes_around(void **state)
{
    (void)state;
    struct bench b;
    open_with(&b, "bcdefg");
    cluster_swim_set_meta(b.swim, SPAN("x"), b.now_us);
    unsigned total = 0;
    for (unsigned round = 0; round < 3; round++) {
        struct text said = {.len = 0};
        unsigned now = 0;
        bench_run_to(&b, b.now_us + 400 * MS, &said);
        for (char n = 'b'; n <= 'g'; n++) {
            unsigned lines = lines_with(said.at, n, "alive a 2 meta=x");
            assert_true(lines <= 1);
            now += lines;
        }
        total += now;
        assert_int_equal(now, round == 0 ? 4 : 0); /* 4 * ceil(log10(7 + 1)) */
    }
    assert_int_equal(total, 4);
    bench_close(&b);
}

/* Serf lost events whose few sends all went to a node that had just died. */
static void sends_to_the_dead_do_not_count(void **state)
{
    (void)state;
    static const struct {
        const char *why, *fate;
        bool hears;
    } rows[] = {
        {"suspect", "suspect c 1 b", true},
        {"dead", "dead c 1 b", true},
        {"left", "dead c 1 c", false},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b;
        struct text said = {.len = 0};
        open_with(&b, "bc");
        bench_meet(&b, rows[i].fate);
        cluster_swim_set_meta(b.swim, SPAN("x"), b.now_us);
        bench_run_to(&b, b.now_us + 3 * SECOND, &said);
        if (lines_with(said.at, 'b', "alive a 2") != 4)
            fail_msg("%s: b heard %u", rows[i].why, lines_with(said.at, 'b', "alive a 2"));
        if ((lines_with(said.at, 'c', "alive a 2") > 0) != rows[i].hears)
            fail_msg("%s: c heard %u", rows[i].why, lines_with(said.at, 'c', "alive a 2"));
        bench_close(&b);
    }
}

/* Whoever asks in a member's name, from elsewhere, takes no news away from it. */
static void sends_elsewhere_do_not_count(void **state)
{
    (void)state;
    struct bench b;
    struct text said = {.len = 0};
    const struct wire_message ping = {
        .type = WIRE_PING,
        .ping = {.node = SPAN("a"), .source_addr = addr_of('y'), .source_node = SPAN("b")}};
    struct addr from = addr_of('y');
    uint8_t bytes[200];
    struct cursor c;
    cursor_write(&c, bytes, sizeof(bytes));
    wire_message_put(&c, &ping);
    open_with(&b, "b");
    cluster_swim_set_meta(b.swim, SPAN("x"), b.now_us);
    for (unsigned i = 0; i < 50; i++)
        cluster_swim_packet(b.swim, &from, span_of(bytes, c.at), b.now_us);
    assert_int_equal(lines_with(bench_outputs(&b), 'y', "alive a 2 meta=x"), 50);
    bench_run_to(&b, b.now_us + SECOND, &said);
    assert_int_equal(lines_with(said.at, 'b', "alive a 2 meta=x"), 4);
    bench_close(&b);
}

static void nobody_well_to_hear_it(void **state)
{
    (void)state;
    struct bench b;
    struct text said = {.len = 0};
    open_with(&b, "c");
    bench_hear(&b, "dead c 1 b", 'b');
    bench_run_to(&b, b.now_us + 30 * SECOND, &said);
    unsigned heard = lines_with(said.at, 'c', "dead c 1 b");
    assert_in_range(heard, 140, 151); /* each tick, for as long as the dead hear gossip */
    said = (struct text){.len = 0};
    bench_run_to(&b, b.now_us + 10 * SECOND, &said);
    assert_int_equal(lines_with(said.at, 'c', ""), 0);
    bench_hear(&b, "alive d 1", 'd');
    bench_run_to(&b, b.now_us + SECOND, &said);
    assert_int_equal(lines_with(said.at, 'd', "dead c 1 b"), 4);
    bench_close(&b);
}

static void a_checksum_for_those_who_know_it(void **state)
{
    (void)state;
    struct bench b;
    open_with(&b, "");
    bench_meet(&b, "alive b 1 vsn=1.5.2.2.5.5");
    bench_meet(&b, "alive c 1 vsn=1.4.2.2.5.5");
    cluster_swim_set_meta(b.swim, SPAN("x"), b.now_us);
    unsigned seen[2] = {0};
    for (unsigned i = 0; i < 20; i++) {
        struct cluster_swim_output o;
        b.now_us = cluster_swim_deadline_us(b.swim);
        cluster_swim_tick(b.swim, b.now_us);
        while (cluster_swim_next(b.swim, &o)) {
            bool crc = (uint8_t)o.bytes.ptr[0] == WIRE_CRC;
            assert_int_equal(crc, letter_of(&o.to) == 'b');
            seen[crc]++;
        }
    }
    assert_true(seen[0] > 0 && seen[1] > 0);
    bench_close(&b);
}

static void the_layer_above_rides_along(void **state)
{
    (void)state;
    static char large[1400];
    struct bench b;
    open_with(&b, "b");
    b.user_broadcast = SPAN("event");
    bench_hear(&b, "alive c 1", 'b');
    assert_string_equal(bench_queued(&b), "alive c 1 + user event\n");
    b.user_broadcast = SPAN("");
    (void)bench_queued(&b);
    /* With the ack, and two bytes of length for each of the two parts. */
    memset(large, 'l', sizeof(large));
    size_t ack = 0;
    for (size_t len = 1300; len < sizeof(large); len++) {
        b.user_broadcast = span_of(large, len);
        bench_flush(&b);
        bench_hear(&b, "ping a 1 y", 'y');
        struct cluster_swim_output o;
        assert_true(cluster_swim_next(b.swim, &o));
        assert_true(o.bytes.len <= CLUSTER_SWIM_PACKET_MAX);
        if (o.bytes.len > 1300)
            ack = o.bytes.len - len;
        else
            assert_true(len + ack + 1 > CLUSTER_SWIM_PACKET_MAX);
        (void)bench_outputs(&b);
    }
    assert_true(ack > 0);
    bench_close(&b);
}

static void packets_keep_their_size(void **state)
{
    (void)state;
    struct bench b;
    char meta[200];
    open_with(&b, "z");
    memset(meta, 'm', sizeof(meta));
    for (char n = 'b'; n < 'y'; n++) {
        char words[300];
        snprintf(words, sizeof(words), "alive %c 1 meta=%.*s", n, (n - 'a') * 8, meta);
        bench_hear(&b, words, 'z');
    }
    unsigned packets = 0;
    while (cluster_swim_broadcasts_waiting(b.swim) > 0) {
        struct cluster_swim_output o;
        b.now_us = cluster_swim_deadline_us(b.swim);
        cluster_swim_tick(b.swim, b.now_us);
        for (; cluster_swim_next(b.swim, &o); packets++)
            assert_true(o.bytes.len <= CLUSTER_SWIM_PACKET_MAX + 5); /* the checksum */
    }
    assert_in_range(packets, 20, 60);
    bench_close(&b);
}

static void straight_to_an_address(void **state)
{
    (void)state;
    static char large[1400];
    struct bench b;
    struct addr to = addr_of('q');
    open_with(&b, "b");
    memset(large, 'l', sizeof(large));
    assert_int_equal(cluster_swim_send(b.swim, &to, SPAN("hello"), b.now_us), ERR_OK);
    assert_string_equal(bench_outputs(&b), "q: user hello\n");
    for (size_t len = 1380; len < 1400; len++) {
        enum err err = cluster_swim_send(b.swim, &to, span_of(large, len), b.now_us);
        assert_int_equal(err, len <= 1395 ? ERR_OK : ERR_LIMIT);
    }
    bench_close(&b);
}

/* User messages wait for the tick; a ping behind a flood of them is answered at once. */
static void a_flood_of_user_messages(void **state)
{
    (void)state;
    struct bench b;
    open_with(&b, "b");
    for (unsigned i = 0; i < CLUSTER_SWIM_INBOX + 100; i++) {
        char words[40];
        snprintf(words, sizeof(words), "user %u", i);
        bench_hear(&b, words, 'b');
    }
    bench_hear(&b, "ping a 1 b", 'b');
    assert_memory_equal(bench_outputs(&b), "b: ack 1 vivaldi", 16);
    assert_int_equal(b.users, 0);
    assert_int_equal(cluster_swim_counters(b.swim)->dropped_inbox, 100);
    unsigned ticks = 0;
    for (; cluster_swim_deadline_us(b.swim) <= b.now_us; ticks++)
        cluster_swim_tick(b.swim, b.now_us);
    assert_int_equal(ticks, CLUSTER_SWIM_INBOX / CLUSTER_SWIM_INBOX_TICK);
    assert_int_equal(b.users, CLUSTER_SWIM_INBOX);
    assert_memory_equal(bench_news(&b), "'100'@b '101'@b ", 16); /* the oldest gave way */
    bench_close(&b);
}

static void a_flood_of_large_user_messages(void **state)
{
    (void)state;
    struct bench b;
    open_with(&b, "b");
    static char bytes[60000];
    struct addr from = addr_of('b');
    bytes[0] = WIRE_USER;
    memset(bytes + 1, 'u', sizeof(bytes) - 1);
    for (unsigned i = 0; i < 100; i++)
        cluster_swim_packet(b.swim, &from, span_of(bytes, sizeof(bytes)), b.now_us);
    unsigned kept = CLUSTER_SWIM_INBOX_BYTES / (sizeof(bytes) - 1);
    assert_int_equal(cluster_swim_counters(b.swim)->dropped_inbox, 100 - kept);
    bench_close(&b);
}

/* Who floods with pings gets answers up to a bound, until the shell took them. */
static void outputs_are_bounded(void **state)
{
    (void)state;
    struct bench b;
    open_with(&b, "b");
    for (unsigned i = 0; i < CLUSTER_SWIM_OUTBOX + 7; i++)
        bench_hear(&b, "ping a 1 b", 'b');
    assert_int_equal(cluster_swim_counters(b.swim)->dropped_output, 7);
    struct cluster_swim_output o;
    unsigned outputs = 0;
    for (; cluster_swim_next(b.swim, &o); outputs++)
        assert_int_equal(o.what, CLUSTER_SWIM_SEND);
    assert_int_equal(outputs, CLUSTER_SWIM_OUTBOX);
    bench_hear(&b, "ping a 1 b", 'b');
    assert_int_equal(cluster_swim_counters(b.swim)->dropped_output, 7);
    bench_close(&b);
}

/* c is dead, and nobody knows it yet: all that is told arrives at b. */
static bool to_the_dead(const struct bed *b, enum bed_kind kind, char from, char to,
                        struct span bytes)
{
    (void)b, (void)from, (void)bytes;
    return kind == BED_PACKET && to == 'c';
}

static void nothing_is_lost_beside_a_dead_node(void **state)
{
    (void)state;
    bed_open(&bed, 3);
    bed_join_all(&bed, 3);
    bed.cut = to_the_dead; /* nobody knows yet that c is dead */
    for (unsigned i = 0; i < 100; i++) {
        cluster_swim_set_meta(bed.node[0].swim, SPAN("m"), bed.now_us);
        bed_run(&bed, 250 * MS);
    }
    bed_run(&bed, SECOND);
    assert_string_equal(bed_view(&bed, 'b', "a"), "a alive 101");
    bed_close(&bed);
}

/* Bytes of anybody: counted by their reason, without any effect on what is known. */
static void hostile_packets(void **state)
{
    (void)state;
    static const struct {
        const char *why, *bytes;
        size_t len;
        enum wire_fault fault;
    } rows[] = {
        {"nothing", "", 0, WIRE_FAULT_EMPTY},
        {"an unknown type", "\x63zz", 3, WIRE_FAULT_UNKNOWN},
        {"a label", "\xf4\x01x", 3, WIRE_FAULT_LABEL},
        {"a push/pull", "\x06\x80", 2, WIRE_FAULT_MISPLACED},
        {"an alive cut short", "\x04\x86\xa4", 3, WIRE_FAULT_TRUNCATED},
        {"no map", "\x04\x93\x01\x02\x03", 5, WIRE_FAULT_SYNTAX},
        {"a wrong checksum", "\x0c\x00\x00\x00\x00\x08x", 7, WIRE_FAULT_CRC},
    };
    struct bench b;
    struct addr from = addr_of('x');
    open_with(&b, "b");
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        const struct cluster_swim_counters *c = cluster_swim_counters(b.swim);
        uint64_t before = c->faults[rows[i].fault];
        cluster_swim_packet(b.swim, &from, span_of(rows[i].bytes, rows[i].len), b.now_us);
        if (c->faults[rows[i].fault] != before + 1)
            fail_msg("%s", rows[i].why);
    }
    bench_hear(&b, "ack 99", 'x');
    bench_hear(&b, "nack 99", 'x');
    assert_int_equal(cluster_swim_counters(b.swim)->dropped_unknown, 2);
    assert_string_equal(bench_news(&b), "");
    assert_string_equal(bench_outputs(&b), "");
    assert_int_equal(cluster_members_count(cluster_swim_members(b.swim)), 2);
    bench_close(&b);
}

/* Any bit of a good packet turned over: no crash, whatever it means then. */
static void damaged_packets(void **state)
{
    (void)state;
    static const char *const words[] = {"alive b 7 meta=mm", "suspect b 3 z", "dead b 3 b",
                                        "ping a 5 b",        "iping b 5 z",   "ack 5 pay"};
    struct addr from = addr_of('z');
    for (unsigned w = 0; w < ARRAY_LEN(words); w++) {
        struct bench b;
        uint8_t bytes[WIRE_PACKET_BUDGET];
        struct cursor c;
        struct wire_message m = message_of(words[w]);
        open_with(&b, "bz");
        cursor_write(&c, bytes, sizeof(bytes));
        wire_message_put(&c, &m);
        for (size_t bit = 0; bit < c.at * 8; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            cluster_swim_packet(b.swim, &from, span_of(bytes, c.at), b.now_us);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            cluster_swim_packet(b.swim, &from, span_of(bytes, bit / 8), b.now_us);
        }
        bench_run_to(&b, b.now_us + 5 * SECOND, &(struct text){.len = 0});
        assert_int_equal(cluster_swim_me(b.swim)->state, CLUSTER_ALIVE);
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_around),
        cmocka_unit_test(sends_to_the_dead_do_not_count),
        cmocka_unit_test(sends_elsewhere_do_not_count),
        cmocka_unit_test(nobody_well_to_hear_it),
        cmocka_unit_test(a_checksum_for_those_who_know_it),
        cmocka_unit_test(the_layer_above_rides_along),
        cmocka_unit_test(packets_keep_their_size),
        cmocka_unit_test(straight_to_an_address),
        cmocka_unit_test(a_flood_of_user_messages),
        cmocka_unit_test(a_flood_of_large_user_messages),
        cmocka_unit_test(outputs_are_bounded),
        cmocka_unit_test(nothing_is_lost_beside_a_dead_node),
        cmocka_unit_test(hostile_packets),
        cmocka_unit_test(damaged_packets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
