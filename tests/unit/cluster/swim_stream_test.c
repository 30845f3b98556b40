#include "tests/unit/cluster/swim_bed.h"

#define BYTES(literal) literal, sizeof(literal) - 1

static struct bed bed;

/* A push/pull as bytes: nodes in words of `alive`, by state "alive", "suspect", "dead",
 * "left". Owned by the caller's buf. */
static void put_push_pull(struct buf *out, bool join, const char *const *nodes,
                          const char *state)
{
    uint32_t count = 0;
    while (nodes[count])
        count++;
    buf_init(out, 0);
    assert_int_equal(wire_push_pull_put(out, join, count, strlen(state)), ERR_OK);
    for (uint32_t i = 0; i < count; i++) {
        struct span rest = span_text(nodes[i]);
        struct span type = word(&rest);
        char words[100];
        snprintf(words, sizeof(words), "alive %.*s", SPAN_ARG(rest));
        struct wire_message m = message_of(words);
        struct wire_node node = {.name = m.alive.node,
                                 .addr = m.alive.addr,
                                 .incarnation = m.alive.incarnation,
                                 .meta = m.alive.meta};
        memcpy(node.vsn, m.alive.vsn, sizeof(node.vsn));
        for (uint8_t s = CLUSTER_ALIVE; s <= CLUSTER_LEFT; s++)
            if (span_equal(type, span_text(cluster_state_text(s))))
                node.state = s;
        assert_int_equal(wire_push_pull_put_node(out, &node), ERR_OK);
    }
    assert_int_equal(buf_append(out, span_text(state)), ERR_OK);
}

/* What a push/pull of the swim holds: "join b alive 1, a alive 1; state". */
static const char *read_push_pull(struct span bytes)
{
    static struct text t;
    struct wire_stream w;
    struct wire_node n;
    t.len = 0;
    wire_stream_init(&w, WIRE_ACCEPTOR, NULL, WIRE_STREAM_MAX);
    assert_int_equal(wire_stream_feed(&w, bytes), WIRE_STREAM_MESSAGE);
    assert_int_equal(w.message.type, WIRE_PUSH_PULL);
    text_add(&t, "%s", w.push_pull.join ? "join " : "");
    while (wire_push_pull_next(&w.push_pull, &n))
        text_add(&t, "%.*s %s %u, ", SPAN_ARG(n.name), cluster_state_text(n.state),
                 n.incarnation);
    text_add(&t, "%.*s", SPAN_ARG(w.push_pull.user_state));
    wire_stream_fini(&w);
    return t.at;
}

static void open_bench(struct bench *b)
{
    struct cluster_swim_conf conf = bench_conf();
    bench_open(b, &conf);
}

static struct cluster_swim_output expect(struct bench *b, enum cluster_swim_do what)
{
    struct cluster_swim_output o;
    assert_true(cluster_swim_next(b->swim, &o));
    assert_int_equal(o.what, what);
    return o;
}

static void begins_a_push_pull(void **state)
{
    (void)state;
    struct bench b;
    struct buf answer;
    struct addr seed = addr_of('q');
    open_bench(&b);
    bench_meet(&b, "alive b 3");
    bench_hear(&b, "dead b 3 b", 'b');
    (void)bench_news(&b);
    cluster_swim_join(b.swim, &seed, b.now_us);
    struct cluster_swim_output o = expect(&b, CLUSTER_SWIM_STREAM_OPEN);
    assert_int_equal(letter_of(&o.to), 'q');
    assert_string_equal(read_push_pull(o.bytes), "join a alive 1, b left 3, joining");
    uint32_t stream = o.stream;
    put_push_pull(&answer, false, (const char *const[]){"alive c 4", NULL}, "theirs");
    for (size_t i = 0; i < buf_len(&answer); i++) { /* byte by byte */
        assert_string_equal(bench_news(&b), "");
        cluster_swim_stream_bytes(b.swim, stream, span_of(buf_span(&answer).ptr + i, 1),
                                  b.now_us);
    }
    assert_string_equal(bench_news(&b), "+c state:theirs:1 join:q:ok ");
    assert_int_equal(expect(&b, CLUSTER_SWIM_STREAM_CLOSE).stream, stream);
    cluster_swim_stream_bytes(b.swim, stream, SPAN("more"), b.now_us); /* void by now */
    cluster_swim_stream_closed(b.swim, stream, b.now_us);
    assert_string_equal(bench_outputs(&b), "");
    buf_fini(&answer);
    bench_close(&b);
}

static void answers_before_it_merges(void **state)
{
    (void)state;
    struct bench b;
    struct buf theirs;
    open_bench(&b);
    put_push_pull(&theirs, true, (const char *const[]){"alive c 4", NULL}, "theirs");
    uint32_t stream = cluster_swim_stream_accept(b.swim, b.now_us);
    cluster_swim_stream_bytes(b.swim, stream, buf_span(&theirs), b.now_us);
    struct cluster_swim_output o = expect(&b, CLUSTER_SWIM_STREAM_WRITE);
    assert_int_equal(o.stream, stream);
    assert_string_equal(read_push_pull(o.bytes), "join a alive 1, joining");
    assert_int_equal(expect(&b, CLUSTER_SWIM_STREAM_CLOSE).stream, stream);
    assert_string_equal(bench_news(&b), "+c state:theirs:1 ");
    buf_fini(&theirs);
    bench_close(&b);
}

static void merges(void **state)
{
    (void)state;
    static const struct {
        const char *why, *before, *node, *view, *news;
    } rows[] = {
        {"alive", "", "alive b 3", "b alive 3", "+b "},
        {"alive and older", "alive b 4", "alive b 3", "b alive 4", ""},
        {"suspect: suspect here", "alive b 3", "suspect b 3", "b suspect 3", ""},
        {"dead: no more than suspect", "alive b 3", "dead b 3", "b suspect 3", ""},
        {"dead and older", "alive b 4", "dead b 3", "b alive 4", ""},
        {"left", "alive b 3", "left b 3", "b left 3", "<b "},
        {"an unknown one that is dead", "", "dead b 3", "no b", ""},
        {"an unknown one that left", "", "left b 3", "no b", ""},
        {"this node is dead", "", "dead a 1", "a alive 2", ""},
        {"this node is suspect", "", "suspect a 4", "a alive 5", ""},
        {"this node left", "", "left a 1", "a alive 2", ""},
        {"this node, with other meta", "", "alive a 1 meta=x", "a alive 2", ""},
        {"one with bad versions", "", "alive b 1 vsn=0.0.0.0.0.0", "no b", ""},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b;
        struct buf theirs;
        open_bench(&b);
        if (rows[i].before[0])
            bench_meet(&b, rows[i].before);
        put_push_pull(&theirs, false, (const char *const[]){rows[i].node, NULL}, "");
        uint32_t stream = cluster_swim_stream_accept(b.swim, b.now_us);
        cluster_swim_stream_bytes(b.swim, stream, buf_span(&theirs), b.now_us);
        char name[2] = {rows[i].view[1] == 'o' ? rows[i].view[3] : rows[i].view[0], 0};
        if (strcmp(bench_view(&b, name), rows[i].view) != 0)
            fail_msg("%s: %s", rows[i].why, bench_view(&b, name));
        const char *news = bench_news(&b);
        if (strcmp(news, rows[i].news) != 0)
            fail_msg("%s: news %s", rows[i].why, news);
        buf_fini(&theirs);
        bench_close(&b);
    }
}

#define PING SPAN("\x00\x81\xa5SeqNo\x07")

static void says(struct bench *b, struct span bytes)
{
    b->stream = cluster_swim_stream_accept(b->swim, b->now_us);
    assert_int_not_equal(b->stream, 0);
    cluster_swim_stream_bytes(b->swim, b->stream, bytes, b->now_us);
}

static void other_conversations(void **state)
{
    (void)state;
    static const struct {
        const char *why, *bytes;
        size_t len;
        const char *said, *news;
        int fault; /* -1: none */
    } rows[] = {
        {"a ping",
         BYTES("\0\x82\xa4Node\xa1"
               "a\xa5SeqNo\x07"),
         "write ack\nclose\n", "", -1},
        {"a ping for another",
         BYTES("\0\x82\xa4Node\xa1"
               "b\xa5SeqNo\x07"),
         "close\n", "", -1},
        {"a user message", BYTES("\x08\x81\xaaUserMsgLen\x02hi"), "close\n", "'hi'@? ", -1},
        {"half a user message", BYTES("\x08\x81\xaaUserMsgLen\x02h"), "", "", -1},
        {"an ack that nobody asked for", BYTES("\x02\x81\xa5SeqNo\x07"), "close\n", "",
         WIRE_FAULT_MISPLACED},
        {"nonsense", BYTES("GET / HTTP/1.1\r\n"), "close\n", "", WIRE_FAULT_UNKNOWN},
        {"a sealed one without keys", BYTES("\x0a\0\0\0\x20"), "close\n", "",
         WIRE_FAULT_DECRYPT},
        {"a million and one nodes", BYTES("\x06\x81\xa5Nodes\xce\0\x0f\x42\x41"), "close\n", "",
         WIRE_FAULT_TOO_LARGE},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b;
        open_bench(&b);
        says(&b, span_of(rows[i].bytes, rows[i].len));
        const char *said = bench_outputs(&b);
        if (strcmp(said, rows[i].said) != 0)
            fail_msg("%s: %s", rows[i].why, said);
        cluster_swim_tick(b.swim, b.now_us);
        const char *news = bench_news(&b);
        if (strcmp(news, rows[i].news) != 0)
            fail_msg("%s: news %s", rows[i].why, news);
        for (int f = 0; f < WIRE_FAULTS; f++)
            if (cluster_swim_counters(b.swim)->faults[f] != (f == rows[i].fault))
                fail_msg("%s: %s", rows[i].why, wire_fault_text((enum wire_fault)f));
        bench_close(&b);
    }
}

static void push_pulls_that_fail(void **state)
{
    (void)state;
    static const struct {
        const char *why, *bytes;
        size_t len;
        const char *news;
    } rows[] = {
        {"an error",
         BYTES("\x0d\x81\xa5"
               "Error\xa2no"),
         "join:q:refused "},
        {"an ack", BYTES("\x02\x81\xa5SeqNo\x07"), "join:q:refused "},
        {"nonsense", BYTES("HTTP/1.1 400 Bad"), "join:q:syntax "},
        {"closed", NULL, 0, "join:q:closed "},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b;
        struct addr seed = addr_of('q');
        open_bench(&b);
        cluster_swim_join(b.swim, &seed, b.now_us);
        assert_string_equal(bench_outputs(&b), "open q pull\n");
        if (rows[i].bytes)
            cluster_swim_stream_bytes(b.swim, b.stream, span_of(rows[i].bytes, rows[i].len),
                                      b.now_us);
        else
            cluster_swim_stream_closed(b.swim, b.stream, b.now_us);
        assert_string_equal(bench_outputs(&b), rows[i].bytes ? "close\n" : "");
        const char *news = bench_news(&b);
        if (strcmp(news, rows[i].news) != 0)
            fail_msg("%s: %s", rows[i].why, news);
        bench_close(&b);
    }
}

static void streams_are_bounded(void **state)
{
    (void)state;
    struct bench b;
    struct addr seed = addr_of('q');
    open_bench(&b);
    uint32_t first = cluster_swim_stream_accept(b.swim, b.now_us), last = first;
    for (unsigned i = 1; i < 96; i++)
        last = cluster_swim_stream_accept(b.swim, b.now_us);
    assert_int_equal(last, first + 95);
    assert_string_equal(bench_outputs(&b), "");
    /* The rest is kept for this node's own, and the oldest makes room for who comes. */
    struct cluster_swim_output o;
    last = cluster_swim_stream_accept(b.swim, b.now_us);
    assert_int_equal(last, first + 96);
    assert_true(cluster_swim_next(b.swim, &o));
    assert_true(o.what == CLUSTER_SWIM_STREAM_CLOSE && o.stream == first);
    assert_false(cluster_swim_next(b.swim, &o));
    cluster_swim_stream_bytes(b.swim, last, PING, b.now_us);
    assert_string_equal(bench_outputs(&b), "write ack\nclose\n");
    last = cluster_swim_stream_accept(b.swim, b.now_us);
    for (unsigned i = 0; i < 32; i++)
        cluster_swim_join(b.swim, &seed, b.now_us);
    assert_string_equal(bench_news(&b), "");
    cluster_swim_join(b.swim, &seed, b.now_us);
    assert_string_equal(bench_news(&b), "join:q:limit ");
    assert_int_equal(cluster_swim_counters(b.swim)->dropped_stream, 2);
    (void)bench_outputs(&b);
    bench_run_to(&b, b.now_us + 10 * SECOND, &(struct text){.len = 0});
    assert_int_not_equal(cluster_swim_stream_accept(b.swim, b.now_us), 0); /* timed out */
    bench_close(&b);
}

/* Many that begin a large message and never end it do not get all the memory. */
static void unfinished_bytes_are_bounded(void **state)
{
    (void)state;
    struct bench b;
    size_t part = (size_t)9 << 20;
    char *bytes = calloc(1, part);
    open_bench(&b);
    memcpy(bytes, "\x08\x81\xaaUserMsgLen\xce\x01\x30\x00\x00", 17);
    for (unsigned i = 0; i < 7; i++)
        says(&b, span_of(bytes, part));
    says(&b, span_of(bytes, (size_t)1 << 20)); /* 64 MiB: all that is allowed */
    assert_string_equal(bench_outputs(&b), "");
    says(&b, PING); /* one of the seven is ended for it */
    assert_string_equal(bench_outputs(&b), "close\nwrite ack\nclose\n");
    says(&b, span_of(bytes, part));
    assert_string_equal(bench_outputs(&b), "");
    assert_int_equal(cluster_swim_counters(b.swim)->dropped_stream, 1);
    bench_run_to(&b, b.now_us + 10 * SECOND, &(struct text){.len = 0});
    says(&b, span_of(bytes, part));
    assert_int_equal(cluster_swim_counters(b.swim)->dropped_stream, 1);
    free(bytes);
    bench_close(&b);
}

static void how_often(void **state)
{
    (void)state;
    static const struct {
        unsigned members, intervals;
    } rows[] = {{1, 1}, {32, 1}, {33, 2}, {64, 2}, {65, 3}, {129, 4}, {1000, 6}};
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b;
        struct cluster_swim_conf conf = bench_conf();
        conf.profile.probe_interval_us = 3600 * SECOND;
        bench_open(&b, &conf);
        for (unsigned n = 1; n < rows[i].members; n++) {
            char words[30];
            snprintf(words, sizeof(words), "alive n%u 1", n);
            bench_hear(&b, words, 'n');
        }
        uint64_t pulls = 0;
        for (unsigned s = 0; s < 4000; s++) {
            struct cluster_swim_output o;
            while (cluster_swim_next(b.swim, &o))
                if (o.what == CLUSTER_SWIM_STREAM_OPEN)
                    cluster_swim_stream_closed(b.swim, o.stream, b.now_us);
            b.now_us += SECOND;
            cluster_swim_tick(b.swim, b.now_us);
        }
        pulls = cluster_swim_counters(b.swim)->push_pulls;
        uint64_t wanted = rows[i].members > 1 ? 4000 / (30 * rows[i].intervals) : 0;
        if (pulls + 1 < wanted || pulls > wanted + 1)
            fail_msg("%u members: %u", rows[i].members, (unsigned)pulls);
        bench_close(&b);
    }
}

/* Regularly from somebody alive; from the others only when it is silent. */
static void from_whom(void **state)
{
    (void)state;
    struct bench b;
    struct text said = {.len = 0};
    struct cluster_swim_conf conf = bench_conf();
    conf.profile.push_pull_interval_us = 5 * SECOND;
    conf.profile.dead_gossip_us = 600 * SECOND;
    bench_open(&b, &conf);
    bench_meet(&b, "alive c 1");
    bench_meet(&b, "alive b 1");
    bench_meet(&b, "dead b 1 c");
    for (unsigned i = 0; i < 120; i++) {
        said = (struct text){.len = 0};
        bench_run_to(&b, b.now_us + SECOND, &said);
        bench_hear(&b, "alive c 1", 'c'); /* not silent */
        if (b.seq_no > 0) {
            char words[20];
            snprintf(words, sizeof(words), "ack %u", b.seq_no);
            bench_hear(&b, words, 'c');
        }
        assert_null(strstr(said.at, "open b"));
    }
    assert_int_equal(cluster_swim_counters(b.swim)->silences, 0);
    assert_true(cluster_swim_counters(b.swim)->push_pulls >= 20);
    /* All are dead. */
    bench_meet(&b, "alive b 2");
    bench_hear(&b, "dead c 1 b", 'b');
    bench_hear(&b, "dead b 2 c", 'b');
    said = (struct text){.len = 0};
    bench_run_to(&b, b.now_us + 10 * SECOND, &said);
    assert_non_null(strstr(said.at, "open "));
    assert_int_equal(cluster_swim_counters(b.swim)->silences, 3);
    bench_close(&b);
    /* Alone there is nobody to ask, and no silence. */
    open_bench(&b);
    bench_run_to(&b, 60 * SECOND, NULL);
    assert_int_equal(cluster_swim_counters(b.swim)->silences, 0);
    bench_close(&b);
}

/* An accusation by stream has no packet whose sender could be answered. */
static void no_answer_to_a_stream(void **state)
{
    (void)state;
    struct bench b;
    struct buf theirs;
    open_bench(&b);
    bench_hear(&b, "alive a 6", 'z');
    (void)bench_outputs(&b);
    put_push_pull(&theirs, false, (const char *const[]){"suspect a 3", NULL}, "");
    uint32_t stream = cluster_swim_stream_accept(b.swim, b.now_us);
    cluster_swim_stream_bytes(b.swim, stream, buf_span(&theirs), b.now_us);
    assert_string_equal(bench_outputs(&b), "write pull\nclose\n");
    buf_fini(&theirs);
    bench_close(&b);
}

/* All of it sealed; who has another key stays out. */
static void with_keys(void **state)
{
    (void)state;
    struct wire_keyring ring[2] = {{.count = 0}, {.count = 0}};
    struct addr seed = addr_of('a');
    memset(&bed, 0, sizeof(bed));
    assert_int_equal(wire_keyring_install(&ring[0], SPAN("0123456789abcdef")), ERR_OK);
    assert_int_equal(wire_keyring_install(&ring[1], SPAN("another key here")), ERR_OK);
    for (char n = 'a'; n <= 'd'; n++) {
        struct cluster_swim_conf conf = bed_conf(n);
        conf.keyring = n == 'd' ? NULL : &ring[n == 'c'];
        bed_start(&bed, n, &conf);
    }
    for (char n = 'b'; n <= 'd'; n++)
        cluster_swim_join(bed_node(&bed, n)->swim, &seed, bed.now_us);
    bed_run(&bed, 20 * SECOND);
    assert_string_equal(bed_view(&bed, 'a', "b"), "b alive 1");
    assert_string_equal(bed_view(&bed, 'b', "a"), "a alive 1");
    assert_string_equal(bed_view(&bed, 'a', "c"), "no c");
    assert_string_equal(bed_view(&bed, 'a', "d"), "no d");
    const struct cluster_swim_counters *c = cluster_swim_counters(bed.node[0].swim);
    assert_int_equal(c->probes_failed, 0);
    assert_int_equal(c->faults[WIRE_FAULT_DECRYPT], 1);
    assert_int_equal(c->faults[WIRE_FAULT_PLAIN_REFUSED], 1);
    /* Rotation: both install, both use, both remove. */
    for (unsigned step = 0; step < 2; step++) {
        enum err err = step ? wire_keyring_use(&ring[0], SPAN("another key here"))
                            : wire_keyring_install(&ring[0], SPAN("another key here"));
        assert_int_equal(err, ERR_OK);
        bed_run(&bed, 20 * SECOND);
        assert_int_equal(c->probes_failed, 0);
    }
    cluster_swim_join(bed_node(&bed, 'c')->swim, &seed, bed.now_us);
    bed_until(&bed, 'b', "c alive 1", SECOND);
    bed_close(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begins_a_push_pull),
        cmocka_unit_test(answers_before_it_merges),
        cmocka_unit_test(merges),
        cmocka_unit_test(other_conversations),
        cmocka_unit_test(push_pulls_that_fail),
        cmocka_unit_test(streams_are_bounded),
        cmocka_unit_test(unfinished_bytes_are_bounded),
        cmocka_unit_test(how_often),
        cmocka_unit_test(from_whom),
        cmocka_unit_test(no_answer_to_a_stream),
        cmocka_unit_test(with_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
