#include "tests/unit/cluster/cluster_bed.h"
#include "tests/unit/cluster/wire/golden.h"

static struct net net;

static void say_bytes(char to, char from, struct span bytes)
{
    struct addr addr = addr_of(from);
    cluster_packet(net_cluster(&net, to), &addr, bytes, net.now_us);
}

/* A member at an address of nobody: what it is sent is kept as `strange`. */
static void add_stranger(char to, char letter)
{
    char words[40];
    uint8_t bytes[200];
    struct cursor c;
    snprintf(words, sizeof(words), "alive %c 1", letter);
    struct wire_message m = message_of(words);
    cursor_write(&c, bytes, sizeof(bytes));
    wire_message_put(&c, &m);
    say_bytes(to, letter, span_of(bytes, c.at));
}

static void open_one(const char *name)
{
    struct cluster_conf conf = net_conf('a');
    conf.name = span_text(name);
    net_open(&net, 0);
    net_start(&net, 'a', &conf);
    add_stranger('a', 'z');
}

static struct cluster_counters counters(char node)
{
    struct cluster_counters c;
    cluster_counters(net_cluster(&net, node), &c);
    return c;
}

/* --- the bytes of real agents --- */

static void an_event_as_serf_writes_it(void **state)
{
    (void)state;
    struct span golden = golden_bytes(GOLDEN_EVENT);
    open_one("n3");
    assert_int_equal(
        cluster_fire(net_cluster(&net, 'a'), SPAN("purge"), SPAN("/x"), true, net.now_us, NULL),
        ERR_OK);
    net_run(&net, SECOND);
    assert_int_equal(net_strange_with(&net, golden), 4); /* 4 * log10 of 3, rounded up */
    net_close(&net);
    open_one("n4");
    say_bytes('a', 'z', golden);
    net_run(&net, SECOND);
    assert_non_null(strstr(net_news(&net, 'a'), "event:purge=/x@1cc "));
    assert_int_equal(net_strange_with(&net, golden), 4); /* handed on as it came */
    net_close(&net);
    golden_free(golden);
}

static void a_query_as_serf_writes_it(void **state)
{
    (void)state;
    struct span query = golden_bytes(GOLDEN_QUERY), response = golden_bytes(GOLDEN_RESPONSE);
    struct span relay = golden_bytes(GOLDEN_RELAY);
    open_one("n4");
    say_bytes('a', 'z', query);
    net_run(&net, SECOND);
    assert_non_null(strstr(net_news(&net, 'a'), "ask:who=hello<n4 "));
    /* The ack straight to 127.0.0.4, and by way of z; the query to z. */
    assert_int_equal(net_strange_with(&net, response), 1);
    assert_int_equal(net_strange_with(&net, relay), 1);
    assert_int_equal(net_strange_with(&net, query), 4);
    say_bytes('a', 'z', query);
    net_run(&net, SECOND);
    assert_int_equal(net_strange_with(&net, response), 1); /* once */
    net.strangers = 0;
    say_bytes('a', 'z', relay); /* to be carried on */
    net_run(&net, 100 * MS);
    assert_int_equal(net_strange_with(&net, response), 1);
    assert_int_equal(counters('a').serf.relayed, 1);
    net_close(&net);
    golden_free(query);
    golden_free(response);
    golden_free(relay);
}

static void intents_as_serf_writes_them(void **state)
{
    (void)state;
    struct span leave = golden_bytes(GOLDEN_LEAVE), key = golden_bytes(GOLDEN_KEY);
    struct span join = golden_bytes(GOLDEN_SEALED_JOIN);
    open_one("n1");
    say_bytes('a', 'z', leave);
    say_bytes('a', 'z', leave);
    net_run(&net, SECOND);
    assert_int_equal(net_strange_with(&net, leave), 4);
    assert_int_equal(counters('a').serf.intents_old, 1);
    assert_int_equal(counters('a').serf_gauges.ltime, 5);
    net_close(&net);
    struct cluster_conf conf = net_conf('a');
    assert_int_equal(wire_keyring_install(&conf.keyring, key), ERR_OK);
    net_open(&net, 0);
    net_start(&net, 'a', &conf);
    say_bytes('a', 'z', join);
    net_run(&net, SECOND);
    assert_int_equal(counters('a').serf.intents_in, 1);
    assert_int_equal(counters('a').serf_gauges.ltime, 2);
    net_close(&net);
    golden_free(leave);
    golden_free(key);
    golden_free(join);
}

/* A real agent joins by a stream: compressed, its tags, its Serf state. */
static void an_agent_joins(void **state)
{
    (void)state;
    struct span pull = golden_bytes(GOLDEN_STREAM_PUSH_PULL);
    struct cluster_node n;
    net_open(&net, 1);
    struct cluster *a = net_cluster(&net, 'a');
    uint32_t stream = cluster_stream_accept(a, net.now_us);
    cluster_stream_bytes(a, stream, pull, net.now_us);
    struct cluster_counters c = counters('a');
    assert_int_equal(c.serf.refused_syntax, 0);
    assert_int_equal(c.nodes[CLUSTER_STATUS_ALIVE], 2);
    const char *news = net_news(&net, 'a');
    assert_int_equal(news[0], '+');
    struct span name = span_trim(span_text(news + 1));
    assert_true(cluster_node_find(a, name, &n));
    assert_true(n.tags.id.len == 0 && !n.has_health && n.rtt_us == -1);
    net_close(&net);
    golden_free(pull);
}

/* --- times --- */

static struct wire_serf_message at(enum wire_serf_type type, uint64_t ltime)
{
    struct wire_serf_message m;
    memset(&m, 0, sizeof(m));
    m.type = type;
    switch (type) {
    case WIRE_SERF_LEAVE:
        m.leave = (struct wire_serf_leave){.ltime = ltime, .node = SPAN("z")};
        break;
    case WIRE_SERF_JOIN:
        m.join = (struct wire_serf_join){.ltime = ltime, .node = SPAN("z")};
        break;
    case WIRE_SERF_EVENT:
        m.event = (struct wire_serf_event){.ltime = ltime, .name = SPAN("e")};
        break;
    default:
        m.query = (struct wire_serf_query){
            .ltime = ltime, .addr = addr_of('z'), .name = SPAN("q"), .timeout_ns = 1000000000};
    }
    return m;
}

static void no_time_is_the_end(void **state)
{
    (void)state;
    static const enum wire_serf_type types[] = {WIRE_SERF_LEAVE, WIRE_SERF_JOIN,
                                                WIRE_SERF_EVENT, WIRE_SERF_QUERY};
    static const uint64_t times[] = {UINT64_MAX, UINT64_MAX - 1, CLUSTER_LTIME_CEILING,
                                     CLUSTER_LTIME_CEILING - 1, CLUSTER_LTIME_JUMP + 2};
    open_one("a");
    for (unsigned t = 0; t < ARRAY_LEN(types); t++)
        for (unsigned i = 0; i < ARRAY_LEN(times); i++) {
            struct wire_serf_message m = at(types[t], times[i]);
            net_say(&net, 'a', 'z', &m);
        }
    net_run(&net, SECOND);
    struct cluster_counters c = counters('a');
    assert_int_equal(c.serf.refused_ltime, ARRAY_LEN(types) * ARRAY_LEN(times));
    assert_true(c.serf_gauges.ltime == 1 && c.serf_gauges.event_ltime == 1 &&
                c.serf_gauges.query_ltime == 1);
    assert_string_equal(net_view(&net, 'a', "z"), "z alive");
    assert_int_equal(c.serf_gauges.queue_events + c.serf_gauges.queue_intents +
                         c.serf_gauges.queue_queries,
                     0);
    for (unsigned t = 0; t < ARRAY_LEN(types); t++) { /* what is believed still is */
        struct wire_serf_message m = at(types[t], CLUSTER_LTIME_JUMP);
        net_say(&net, 'a', 'z', &m);
    }
    net_run(&net, 100 * MS);
    c = counters('a');
    assert_int_equal(c.serf_gauges.event_ltime, CLUSTER_LTIME_JUMP + 1);
    uint64_t ltime = 0;
    assert_int_equal(
        cluster_fire(net_cluster(&net, 'a'), SPAN("e"), SPAN("x"), false, net.now_us, &ltime),
        ERR_OK);
    assert_true(ltime == CLUSTER_LTIME_JUMP + 1);
    net_close(&net);
}

/* --- floods --- */

static void a_flood_of_events(void **state)
{
    (void)state;
    char payload[900];
    memset(payload, 'x', sizeof(payload));
    net_open(&net, 2);
    net_join_all(&net, 2);
    for (unsigned i = 0; i < 20000; i++) {
        memcpy(payload, &i, sizeof(i));
        struct wire_serf_message m = {.type = WIRE_SERF_EVENT,
                                      .event = {.ltime = 1 + i / 20,
                                                .name = SPAN("flood"),
                                                .payload = span_of(payload, sizeof(payload))}};
        net_say(&net, 'a', 'z', &m);
        if (i % 100 == 99)
            cluster_tick(net_cluster(&net, 'a'), net.now_us);
    }
    struct cluster_counters c = counters('a');
    assert_in_range(c.serf_gauges.queue_events, 1, 2048);
    assert_true(c.serf_gauges.queue_dropped > 0);
    assert_int_equal(c.serf.events_in, 20000);
    assert_int_equal(net_node(&net, 'a')->events, 20000);
    /* What is fired now is heard, before what waits: it was sent least. */
    net_node(&net, 'b')->news.len = 0;
    assert_int_equal(cluster_fire(net_cluster(&net, 'a'), SPAN("perigee/x"), SPAN("1"), false,
                                  net.now_us, NULL),
                     ERR_OK);
    net_run(&net, 10 * MS);
    assert_non_null(strstr(net_news(&net, 'b'), "event:perigee/x=1@1001"));
    net_run(&net, 30 * SECOND);
    c = counters('a');
    assert_int_equal(c.swim.suspected, 0);
    net_close(&net);
}

/* Whoever asks for answers in a stranger's name gets some, not a river. */
static void a_flood_of_queries(void **state)
{
    (void)state;
    open_one("a");
    for (unsigned i = 0; i < 1000; i++) {
        struct wire_serf_message m = at(WIRE_SERF_QUERY, 1 + i / 100);
        m.query.id = i;
        m.query.flags = WIRE_SERF_QUERY_ACK | WIRE_SERF_QUERY_NO_BROADCAST;
        m.query.relay_factor = 255;
        net_say(&net, 'a', 'y', &m);
        cluster_tick(net_cluster(&net, 'a'), net.now_us);
    }
    struct cluster_counters c = counters('a');
    assert_in_range(c.serf.answers_out, 1, CLUSTER_ANSWERS_PER_S);
    assert_true(c.serf.answers_held >= 1000 - CLUSTER_ANSWERS_PER_S);
    assert_int_equal(c.serf_gauges.queue_queries, 0);
    net_run(&net, 2 * SECOND);
    struct wire_serf_message m = at(WIRE_SERF_QUERY, 50);
    m.query.flags = WIRE_SERF_QUERY_ACK;
    net_say(&net, 'a', 'y', &m);
    net_run(&net, 10 * MS);
    assert_int_equal(counters('a').serf.answers_out, c.serf.answers_out + 1);
    net_close(&net);
}

static void many_questions_wait(void **state)
{
    (void)state;
    open_one("a");
    for (unsigned i = 0; i < 3 * CLUSTER_QUESTIONS_MAX; i++) {
        struct wire_serf_message m = at(WIRE_SERF_QUERY, 1);
        m.query.id = i;
        net_say(&net, 'a', 'y', &m);
        cluster_tick(net_cluster(&net, 'a'), net.now_us);
        assert_int_equal(net_node(&net, 'a')->question != 0, i < CLUSTER_QUESTIONS_MAX);
    }
    net_run(&net, 2 * SECOND); /* their time is over */
    struct wire_serf_message m = at(WIRE_SERF_QUERY, 2);
    net_say(&net, 'a', 'y', &m);
    net_run(&net, 10 * MS);
    assert_true(net_node(&net, 'a')->question != 0);
    m = at(WIRE_SERF_QUERY, 3);
    m.query.timeout_ns = -1; /* nobody waits */
    net_say(&net, 'a', 'y', &m);
    net_run(&net, 10 * MS);
    assert_int_equal(cluster_answer(net_cluster(&net, 'a'), net_node(&net, 'a')->question,
                                    SPAN("x"), net.now_us),
                     ERR_NOT_FOUND);
    net_close(&net);
}

static void never_answered(void *user, struct span from, struct span payload)
{
    unsigned *count = user;
    (void)from, (void)payload;
    ++*count;
}

/* The query of ours that a stranger was sent. */
static struct wire_serf_query query_sent(void)
{
    static struct wire_scratch scratch;
    struct wire_serf_message query = {.type = WIRE_SERF_LEAVE};
    for (unsigned i = 0; i < net.strangers && query.type != WIRE_SERF_QUERY; i++) {
        struct wire_packet p;
        struct wire_message m;
        enum wire_fault fault;
        wire_packet_begin(&p, span_of(net.strange[i], net.strange_bytes[i]), NULL, &scratch);
        while (query.type != WIRE_SERF_QUERY && wire_packet_next(&p, &m, &fault))
            if (fault == WIRE_FAULT_NONE && m.type == WIRE_USER)
                assert_int_equal(wire_serf_get(m.user, &query), WIRE_FAULT_NONE);
    }
    assert_int_equal(query.type, WIRE_SERF_QUERY);
    return query.query;
}

/* More names answer than there are nodes. */
static void a_flood_of_answers(void **state)
{
    (void)state;
    unsigned answers = 0;
    open_one("a");
    const struct cluster_ask ask = {
        .name = SPAN("q"), .timeout_us = SECOND, .user = &answers, .answered = never_answered};
    net.strangers = 0;
    assert_int_equal(cluster_query(net_cluster(&net, 'a'), &ask, net.now_us), ERR_OK);
    net_run(&net, 300 * MS);
    struct wire_serf_query query = query_sent();
    for (unsigned i = 0; i < 3000; i++) {
        char name[20];
        snprintf(name, sizeof(name), "n%u", i / 3);
        struct wire_serf_message m = {.type = WIRE_SERF_RESPONSE,
                                      .response = {.ltime = query.ltime + (i % 3 == 1),
                                                   .id = query.id + (i % 3 == 2),
                                                   .from = span_text(name)}};
        net_say(&net, 'a', 'y', &m);
        if (i % 100 == 0)
            cluster_tick(net_cluster(&net, 'a'), net.now_us);
    }
    net_run(&net, 10 * MS);
    assert_in_range(answers, 60, 70); /* 2 nodes and some spare; wrong numbers count for none */
    assert_int_equal(counters('a').serf.answers_late, 2000);
    net_close(&net);
}

static void a_relay_in_a_relay(void **state)
{
    (void)state;
    uint8_t inner[2048], outer[4096];
    struct cursor c;
    struct wire_serf_message m = at(WIRE_SERF_EVENT, 3);
    open_one("a");
    cursor_write(&c, inner, sizeof(inner));
    wire_serf_put(&c, &m);
    for (unsigned depth = 0; depth < 20; depth++) {
        struct wire_serf_message relay = {
            .type = WIRE_SERF_RELAY,
            .relay = {.dest = addr_of('a'), .message = span_of(inner, c.at)}};
        struct cursor next;
        cursor_write(&next, outer, sizeof(outer));
        wire_serf_put(&next, &relay);
        net_say(&net, 'a', 'y', &relay);
        assert_true(next.at <= sizeof(inner));
        memcpy(inner, outer, next.at);
        c.at = next.at;
    }
    net_run(&net, 100 * MS);
    assert_int_equal(net_node(&net, 'a')->events, 0); /* only answers are taken so */
    struct wire_serf_message nowhere = {.type = WIRE_SERF_RELAY,
                                        .relay = {.message = SPAN("x")}};
    net_say(&net, 'a', 'y', &nowhere);
    net_run(&net, 100 * MS);
    assert_int_equal(counters('a').serf.refused_syntax, 1);
    net_close(&net);
}

/* --- what is counted and dropped --- */

static void dropped_and_counted(void **state)
{
    (void)state;
    char name[200];
    memset(name, 'n', sizeof(name));
    struct span longest = span_of(name, CLUSTER_NAME_MAX), longer = span_of(name, 129);
    struct wire_serf_message event = at(WIRE_SERF_EVENT, 1), query = at(WIRE_SERF_QUERY, 1);
    open_one("a");
    for (unsigned i = 0; i < 3; i++) {
        net_say(&net, 'a', 'y', &event);
        net_say(&net, 'a', 'y', &query);
    }
    net_run(&net, 10 * MS);
    struct cluster_counters c = counters('a');
    assert_true(c.serf.events_in == 3 && c.serf.events_duplicate == 2);
    assert_true(c.serf.queries_in == 3 && c.serf.queries_duplicate == 2);
    assert_string_equal(net_news(&net, 'a'), "+z event:e=@1 ask:q=< ");
    query.query.id++; /* an answer could go nowhere */
    query.query.addr.port = 0;
    net_say(&net, 'a', 'y', &query);
    query.query.id++;
    query.query.addr = (struct addr){.family = ADDR_NONE, .port = 1};
    net_say(&net, 'a', 'y', &query);
    net_run(&net, 10 * MS);
    assert_string_equal(net_news(&net, 'a'), "");
    const struct {
        struct span node;
        uint64_t refused;
    } rows[] = {{span_of(NULL, 0), 1}, {longer, 2}, {longest, 2}};
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_serf_message leave = at(WIRE_SERF_LEAVE, 5), join = at(WIRE_SERF_JOIN, 6);
        leave.leave.node = join.join.node = rows[i].node;
        net_say(&net, 'a', 'y', i % 2 ? &leave : &join);
        net_run(&net, 10 * MS);
        assert_int_equal(counters('a').serf.refused_syntax, rows[i].refused);
    }
    assert_int_equal(counters('a').serf_gauges.queue_intents, 1);
    assert_int_equal(cluster_forget(net_cluster(&net, 'a'), longer, net.now_us), ERR_NOT_FOUND);
    net_close(&net);
}

/* Whoever asks has a name that no node can have: it is left out of what is relayed. */
static void an_asker_with_a_long_name(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'n', sizeof(name));
    struct wire_serf_message m = at(WIRE_SERF_QUERY, 1);
    m.query.flags = WIRE_SERF_QUERY_ACK;
    m.query.relay_factor = 1;
    m.query.addr = addr_of('y');
    open_one("a");
    for (unsigned len = 128; len <= 300; len += 43) {
        m.query.id = len;
        m.query.source_node = span_of(name, len);
        net.strangers = 0;
        net_say(&net, 'a', 'y', &m);
        net_run(&net, 10 * MS);
        assert_int_equal(net_strange_with(&net, SPAN("DestName\xda")), len == 128); /* raw16 */
        assert_int_equal(net_strange_with(&net, SPAN("DestName\xa0")), len != 128);
    }
    net_close(&net);
}

static void answers_after_the_time(void **state)
{
    (void)state;
    unsigned answers = 0;
    const struct cluster_ask ask = {
        .name = SPAN("q"), .timeout_us = SECOND, .user = &answers, .answered = never_answered};
    open_one("a");
    assert_int_equal(cluster_query(net_cluster(&net, 'a'), &ask, net.now_us), ERR_OK);
    int64_t asked_us = net.now_us;
    net_run(&net, 300 * MS);
    struct wire_serf_query query = query_sent();
    /* Two in one packet's time: one before, one at the deadline, which nobody has ticked yet.
     */
    struct addr y = addr_of('y');
    for (unsigned i = 0; i < 2; i++) {
        uint8_t room[100];
        struct cursor c;
        char name = (char)('p' + i);
        struct wire_serf_message m = {
            .type = WIRE_SERF_RESPONSE,
            .response = {.ltime = query.ltime, .id = query.id, .from = span_of(&name, 1)}};
        cursor_write(&c, room, sizeof(room));
        wire_serf_put_user(&c, &m);
        int64_t when_us = asked_us + SECOND - 1 + i;
        cluster_packet(net_cluster(&net, 'a'), &y, span_of(room, c.at), when_us);
        cluster_tick(net_cluster(&net, 'a'), when_us);
        assert_int_equal(answers, 1);
    }
    assert_int_equal(counters('a').serf.answers_late, 1);
    net_close(&net);
}

static void leaving_nobody_joins(void **state)
{
    (void)state;
    struct addr seed = addr_of('b');
    net_open(&net, 2);
    cluster_leave(net_cluster(&net, 'a'), net.now_us);
    assert_true(cluster_leave_told(net_cluster(&net, 'a'))); /* alone: nobody to tell */
    cluster_join(net_cluster(&net, 'a'), &seed, net.now_us);
    assert_string_equal(net_news(&net, 'a'), "join:b:limit ");
    for (unsigned i = 0; i < 40; i++)
        cluster_join(net_cluster(&net, 'b'), &(struct addr){.family = ADDR_V4, .port = 1},
                     net.now_us);
    unsigned limits = 0;
    for (struct span rest = span_text(net_news(&net, 'b')), w; (w = word(&rest)).len > 0;)
        limits += span_ends(w, SPAN(":limit")) || span_contains(w, SPAN("limit"));
    assert_int_equal(limits, 8);
    net_close(&net);
}

/* --- bytes of any kind --- */

static void changed_bytes(void **state)
{
    (void)state;
    static const char *const golden[] = {GOLDEN_EVENT, GOLDEN_QUERY, GOLDEN_RESPONSE,
                                         GOLDEN_RELAY, GOLDEN_LEAVE};
    static const uint8_t with[] = {0x00, 0x7f, 0x80, 0xc0, 0xc6, 0xcf, 0xdb, 0xdf, 0xff};
    open_one("n4");
    for (unsigned g = 0; g < ARRAY_LEN(golden); g++) {
        struct span bytes = golden_bytes(golden[g]);
        for (size_t at_byte = 1; at_byte < bytes.len; at_byte++) {
            char *changed = malloc(bytes.len);
            say_bytes('a', 'y', span_of(bytes.ptr, at_byte));
            for (unsigned w = 0; w < sizeof(with); w++) {
                memcpy(changed, bytes.ptr, bytes.len);
                changed[at_byte] = (char)with[w];
                say_bytes('a', 'y', span_of(changed, bytes.len));
            }
            free(changed);
            cluster_tick(net_cluster(&net, 'a'), net.now_us);
            net_node(&net, 'a')->news.len = 0;
        }
        golden_free(bytes);
    }
    net.strangers = 0;
    net_run(&net, 5 * SECOND);
    assert_true(counters('a').serf.refused_syntax > 500);
    net_close(&net);
}

/* A push/pull whose Serf state is not what it should be. */
static void say_state(struct span state)
{
    struct buf out;
    struct cluster *a = net_cluster(&net, 'a');
    uint32_t stream = cluster_stream_accept(a, net.now_us);
    buf_init(&out, 1 << 20);
    assert_int_equal(wire_push_pull_put(&out, true, 0, state.len), ERR_OK);
    assert_int_equal(buf_append(&out, state), ERR_OK);
    struct span bytes = buf_span(&out);
    cluster_stream_bytes(a, stream, bytes, net.now_us);
    buf_fini(&out);
    struct cluster_swim_output o;
    while (cluster_next(a, &o))
        ;
}

static void changed_states(void **state)
{
    (void)state;
    const struct wire_serf_known known[] = {{SPAN("a"), 3}, {SPAN("b"), 4}, {SPAN("z"), 5}};
    const struct span left[] = {SPAN("z"), SPAN("nobody")};
    const struct wire_serf_event events[] = {
        {.ltime = 2, .name = SPAN("e"), .payload = SPAN("1")},
        {.ltime = 2, .name = SPAN("f"), .payload = SPAN("")}};
    const struct wire_serf_state s = {.ltime = 9,
                                      .event_ltime = 3,
                                      .query_ltime = 2,
                                      .status = known,
                                      .status_count = 3,
                                      .left = left,
                                      .left_count = 2,
                                      .events = events,
                                      .event_count = 2};
    static const uint8_t with[] = {0x00, 0x7f, 0x90, 0xc0, 0xcf, 0xdd, 0xdf, 0xff};
    char bytes[512];
    struct cursor c;
    open_one("a");
    cursor_write(&c, bytes, sizeof(bytes));
    wire_serf_state_put(&c, &s);
    say_state(span_of(bytes, c.at)); /* as it is */
    assert_string_equal(net_view(&net, 'a', "z"), "z leaving");
    assert_string_equal(net_news(&net, 'a'), "+z event:e=1@2r event:f=@2r ");
    assert_int_equal(counters('a').serf_gauges.ltime, 9);
    for (size_t i = 0; i < c.at; i++) {
        say_state(span_of(bytes, i));
        char was = bytes[i];
        for (unsigned w = 0; w < sizeof(with); w++) {
            bytes[i] = (char)with[w];
            say_state(span_of(bytes, c.at));
        }
        bytes[i] = was;
        net_node(&net, 'a')->news.len = 0;
    }
    assert_true(counters('a').serf.refused_syntax > c.at);
    assert_true(counters('a').serf_gauges.ltime < CLUSTER_LTIME_CEILING);
    net_close(&net);
}

/* Its leave was newer than the time that is told with it. */
static void a_state_of_who_left(void **state)
{
    (void)state;
    const struct wire_serf_known known[] = {{SPAN("z"), 0}};
    const struct span left[] = {SPAN("z")};
    const struct wire_serf_state s = {.ltime = 1,
                                      .event_ltime = 1,
                                      .query_ltime = 1,
                                      .status = known,
                                      .status_count = 1,
                                      .left = left,
                                      .left_count = 1};
    char bytes[256];
    struct cursor c;
    open_one("a");
    cursor_write(&c, bytes, sizeof(bytes));
    wire_serf_state_put(&c, &s);
    say_state(span_of(bytes, c.at));
    assert_string_equal(net_view(&net, 'a', "z"), "z leaving");
    net_close(&net);
}

/* Ten thousand names of nobody: some are remembered for a while. */
static void a_state_of_many(void **state)
{
    (void)state;
    enum { MANY = 10000 };
    struct wire_serf_known *known = must_alloc(MANY * sizeof(*known));
    struct span *left = must_alloc(MANY * sizeof(*left));
    char(*names)[16] = must_alloc(MANY * sizeof(*names));
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), "n%u", i);
        known[i] = (struct wire_serf_known){span_text(names[i]), i};
        left[i] = span_text(names[i]);
    }
    const struct wire_serf_state s = {.ltime = MANY,
                                      .event_ltime = 1,
                                      .query_ltime = 1,
                                      .status = known,
                                      .status_count = MANY,
                                      .left = left,
                                      .left_count = MANY};
    size_t bound = wire_serf_state_bound(&s);
    char *bytes = must_alloc(bound);
    struct cursor c;
    cursor_write(&c, bytes, bound);
    wire_serf_state_put(&c, &s);
    open_one("a");
    say_state(span_of(bytes, c.at));
    struct cluster_counters k = counters('a');
    assert_int_equal(k.serf.intents_in, CLUSTER_INTENTS_MAX); /* the others are not looked at */
    assert_int_equal(k.nodes[CLUSTER_STATUS_ALIVE], 2);
    assert_int_equal(k.nodes[CLUSTER_STATUS_LEFT], 0);
    assert_int_equal(k.serf_gauges.queue_intents, 0); /* not handed on */
    net_close(&net);
    free(bytes);
    free(names);
    free(left);
    free(known);
}

/* An operator takes a node away for good that just goes: it still knows itself. */
static void pruned_while_it_leaves(void **state)
{
    (void)state;
    struct wire_serf_message leave = at(WIRE_SERF_LEAVE, 900);
    struct wire_serf_message query = at(WIRE_SERF_QUERY, 5);
    struct cluster_node me;
    for (unsigned gone = 0; gone < 2; gone++) {
        open_one("a");
        cluster_leave(net_cluster(&net, 'a'), net.now_us);
        if (gone)
            net_run(&net, 6 * SECOND);
        leave.leave = (struct wire_serf_leave){.ltime = 900, .node = SPAN("a"), .prune = true};
        net_say(&net, 'a', 'y', &leave);
        net_run(&net, 10 * SECOND);
        net_say(&net, 'a', 'y', &query);
        net_run(&net, SECOND);
        cluster_me(net_cluster(&net, 'a'), &me);
        assert_true(me.status == CLUSTER_STATUS_LEFT);
        net_close(&net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_as_serf_writes_it),
        cmocka_unit_test(a_query_as_serf_writes_it),
        cmocka_unit_test(intents_as_serf_writes_them),
        cmocka_unit_test(an_agent_joins),
        cmocka_unit_test(no_time_is_the_end),
        cmocka_unit_test(a_flood_of_events),
        cmocka_unit_test(a_flood_of_queries),
        cmocka_unit_test(many_questions_wait),
        cmocka_unit_test(a_flood_of_answers),
        cmocka_unit_test(a_relay_in_a_relay),
        cmocka_unit_test(dropped_and_counted),
        cmocka_unit_test(an_asker_with_a_long_name),
        cmocka_unit_test(answers_after_the_time),
        cmocka_unit_test(leaving_nobody_joins),
        cmocka_unit_test(changed_bytes),
        cmocka_unit_test(a_state_of_who_left),
        cmocka_unit_test(changed_states),
        cmocka_unit_test(a_state_of_many),
        cmocka_unit_test(pruned_while_it_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
