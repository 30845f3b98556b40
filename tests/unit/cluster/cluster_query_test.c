#include "tests/unit/cluster/cluster_bed.h"

static struct net net;

/* --- asking --- */

struct asking {
    struct text heard;
    unsigned acks, answers, overs;
};

static void got_ack(void *user, struct span from)
{
    struct asking *a = user;
    a->acks++;
    text_add(&a->heard, "ack:%.*s ", SPAN_ARG(from));
}

static void got_answer(void *user, struct span from, struct span payload)
{
    struct asking *a = user;
    a->answers++;
    text_add(&a->heard, "%.*s=%.*s ", SPAN_ARG(from), SPAN_ARG(payload));
}

static void is_over(void *user)
{
    struct asking *a = user;
    a->overs++;
}

static struct cluster_ask ask_of(struct asking *a, const char *name)
{
    memset(a, 0, sizeof(*a));
    return (struct cluster_ask){.name = span_text(name),
                                .payload = SPAN("?"),
                                .user = a,
                                .acked = got_ack,
                                .answered = got_answer,
                                .over = is_over};
}

static void all_answer(void **state)
{
    (void)state;
    struct asking a;
    struct cluster_ask ask = ask_of(&a, "load");
    ask.ack = true;
    net_open(&net, 4);
    net_join_all(&net, 4);
    for (unsigned i = 0; i < 4; i++)
        net.node[i].answers = true;
    assert_int_equal(cluster_query(net_cluster(&net, 'b'), &ask, net.now_us), ERR_OK);
    a.heard.at[a.heard.len] = 0;
    assert_string_equal(a.heard.at, "ack:b b=b "); /* itself, at once */
    net_run(&net, 3199 * MS);                      /* 200 ms * 16 * 1 */
    assert_int_equal(a.acks, 4);
    assert_int_equal(a.answers, 4);
    assert_int_equal(a.overs, 0);
    for (char n = 'a'; n <= 'd'; n++)
        assert_string_equal(net_news(&net, n), "ask:load=?<b ");
    net_run(&net, MS);
    assert_int_equal(a.overs, 1);
    net_run(&net, 10 * SECOND);
    assert_int_equal(a.overs, 1);
    assert_int_equal(a.answers, 4);
    net_close(&net);
}

static void an_answer_may_come_later(void **state)
{
    (void)state;
    struct asking a;
    struct cluster_ask ask = ask_of(&a, "load");
    char big[1024] = {0};
    ask.timeout_us = 5 * SECOND;
    net_open(&net, 3);
    net_join_all(&net, 3);
    assert_int_equal(cluster_query(net_cluster(&net, 'a'), &ask, net.now_us), ERR_OK);
    net_run(&net, 2 * SECOND);
    uint32_t b = net_node(&net, 'b')->question, c = net_node(&net, 'c')->question;
    assert_true(b != 0 && c != 0);
    struct cluster *node = net_cluster(&net, 'b');
    assert_int_equal(cluster_answer(node, b, span_of(big, sizeof(big)), net.now_us), ERR_LIMIT);
    assert_int_equal(cluster_answer(node, b, SPAN("late"), net.now_us), ERR_OK);
    assert_int_equal(cluster_answer(node, b, SPAN("twice"), net.now_us), ERR_NOT_FOUND);
    assert_int_equal(cluster_answer(node, b + 1, SPAN("x"), net.now_us), ERR_NOT_FOUND);
    assert_int_equal(cluster_answer(node, 0, SPAN("x"), net.now_us), ERR_NOT_FOUND);
    net_run(&net, 4 * SECOND);
    assert_int_equal(cluster_answer(net_cluster(&net, 'c'), c, SPAN("x"), net.now_us),
                     ERR_NOT_FOUND);
    a.heard.at[a.heard.len] = 0;
    assert_string_equal(a.heard.at, "b=late ");
    assert_true(a.overs == 1 && a.acks == 0);
    net_close(&net);
}

static void filters(void **state)
{
    (void)state;
    static const struct span names[] = {{"c", 1}, {"q", 1}, {"a", 1}};
    static const struct {
        const char *why;
        uint32_t nodes;
        struct cluster_filter filter[2];
        uint32_t count;
        const char *asked; /* who is */
    } rows[] = {
        {"nothing asked for", 0, {{{0}, {0}}}, 0, "abcd"},
        {"two names, and one of nobody", 3, {{{0}, {0}}}, 0, "ac"},
        {"one name", 1, {{{0}, {0}}}, 0, "c"},
        {"a tag", 0, {{{"region", 6}, {"^eu$", 4}}}, 1, "ab"},
        {"anywhere in the value", 0, {{{"region", 6}, {"u", 1}}}, 1, "abc"},
        {"a tag that nobody has", 0, {{{"rack", 4}, {"^$", 2}}}, 1, "abcd"},
        {"none has it", 0, {{{"rack", 4}, {".", 1}}}, 1, ""},
        {"both must match", 0, {{{"region", 6}, {"u", 1}}, {{"id", 2}, {"[bc]", 4}}}, 2, "bc"},
        {"names, too", 1, {{{"region", 6}, {"u", 1}}, {{"id", 2}, {"[bc]", 4}}}, 2, "c"},
        {"an expression that cannot be read", 0, {{{"region", 6}, {"(", 1}}}, 1, ""},
    };
    net_open(&net, 0);
    for (char n = 'a'; n <= 'd'; n++) {
        struct cluster_conf conf = net_conf(n);
        conf.tags.region = n == 'c' ? SPAN("us") : n == 'd' ? SPAN("x") : SPAN("eu");
        net_start(&net, n, &conf);
    }
    net_join_all(&net, 4);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct asking a;
        char asked[8] = "";
        struct cluster_ask ask = ask_of(&a, "load");
        ask.nodes = names;
        ask.node_count = rows[i].nodes;
        ask.filters = rows[i].filter;
        ask.filter_count = rows[i].count;
        assert_int_equal(cluster_query(net_cluster(&net, 'd'), &ask, net.now_us), ERR_OK);
        net_run(&net, 4 * SECOND);
        for (char n = 'a'; n <= 'd'; n++)
            if (*net_news(&net, n))
                asked[strlen(asked)] = n;
        if (strcmp(asked, rows[i].asked) != 0)
            fail_msg("%s: %s", rows[i].why, asked);
    }
    net_close(&net);
}

static void what_cannot_be_asked(void **state)
{
    (void)state;
    struct asking a;
    char big[1024] = {0};
    struct cluster_filter filter[CLUSTER_QUERY_FILTERS + 1];
    struct span names[200];
    for (unsigned i = 0; i < ARRAY_LEN(filter); i++)
        filter[i] = (struct cluster_filter){SPAN("id"), SPAN(".")};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        names[i] = SPAN("a-long-name");
    net_open(&net, 1);
    struct cluster *c = net_cluster(&net, 'a');
    struct cluster_ask ask = ask_of(&a, "load");
    ask.payload = span_of(big, sizeof(big));
    assert_int_equal(cluster_query(c, &ask, net.now_us), ERR_LIMIT);
    ask = ask_of(&a, "load");
    ask.filters = filter;
    ask.filter_count = ARRAY_LEN(filter);
    assert_int_equal(cluster_query(c, &ask, net.now_us), ERR_LIMIT);
    ask.filter_count--;
    assert_int_equal(cluster_query(c, &ask, net.now_us), ERR_OK);
    ask.filter_count = 0;
    ask.nodes = names;
    ask.node_count = ARRAY_LEN(names);
    assert_int_equal(cluster_query(c, &ask, net.now_us), ERR_LIMIT);
    ask.node_count = 0;
    ask.relays = CLUSTER_QUERY_RELAYS + 1;
    assert_int_equal(cluster_query(c, &ask, net.now_us), ERR_LIMIT);
    ask.relays = 0;
    for (unsigned i = 1; i < CLUSTER_QUERIES_MAX; i++)
        assert_int_equal(cluster_query(c, &ask, net.now_us), ERR_OK);
    assert_int_equal(cluster_query(c, &ask, net.now_us), ERR_LIMIT);
    net_close(&net); /* tells all that it is over */
    assert_int_equal(a.overs, CLUSTER_QUERIES_MAX);
}

static bool cut_a_b(const struct net *n, enum net_kind kind, char from, char to)
{
    (void)n;
    return kind == NET_PACKET && from == 'b' && to == 'a';
}

/* The straight way is closed: a third node carries the answer. */
static void answers_by_way_of_others(void **state)
{
    (void)state;
    struct asking a;
    struct cluster_ask ask = ask_of(&a, "load");
    net_open(&net, 3);
    net_join_all(&net, 3);
    net_node(&net, 'b')->answers = true;
    net.cut = cut_a_b;
    for (unsigned relays = 0; relays <= 2; relays += 2) {
        ask = ask_of(&a, "load");
        ask.relays = (uint8_t)relays;
        assert_int_equal(cluster_query(net_cluster(&net, 'a'), &ask, net.now_us), ERR_OK);
        net_run(&net, 4 * SECOND);
        assert_int_equal(a.answers, relays ? 1 : 0);
    }
    struct cluster_counters c;
    cluster_counters(net_cluster(&net, 'c'), &c);
    assert_in_range(c.serf.relayed, 1, 2);
    net_close(&net);
}

/* --- names --- */

static void two_with_one_name(void **state)
{
    (void)state;
    struct addr seed = addr_of('a');
    net_open(&net, 4);
    net_join_all(&net, 4);
    struct cluster_conf conf = net_conf('e');
    conf.name = SPAN("d"); /* whose name everybody knows */
    net_start(&net, 'e', &conf);
    cluster_join(net_cluster(&net, 'e'), &seed, net.now_us);
    net_run(&net, 10 * SECOND);
    const char *news = net_news(&net, 'e');
    assert_non_null(strstr(news, "conflict:seen:d "));
    assert_non_null(strstr(news, "conflict:lost:d "));
    assert_true(cluster_conflict_lost(net_cluster(&net, 'e')));
    assert_null(strstr(net_news(&net, 'd'), "lost")); /* it may have heard nothing of it */
    assert_false(cluster_conflict_lost(net_cluster(&net, 'd')));
    assert_non_null(strstr(net_news(&net, 'a'), "conflict:others:e "));
    assert_string_equal(net_view(&net, 'a', "d"), "d alive");
    /* The other one goes; this one asks again, and is who it says. */
    net_stop(&net, 'd');
    net_until(&net, 'a', "d", "failed", 30 * SECOND);
    assert_true(cluster_conflict_lost(net_cluster(&net, 'e')));
    net_run(&net, 14 * SECOND); /* it waits 10 s, and a vote takes 3.2 s */
    assert_non_null(strstr(net_news(&net, 'e'), "conflict:won:d "));
    assert_false(cluster_conflict_lost(net_cluster(&net, 'e')));
    assert_string_equal(net_view(&net, 'a', "d"), "d alive"); /* at its new address */
    net_run(&net, 120 * SECOND);
    assert_false(cluster_conflict_lost(net_cluster(&net, 'e')));
    net_close(&net);
}

/* It hears of the other all the time, and still votes only now and then. */
static void votes_are_rare(void **state)
{
    (void)state;
    struct addr seed = addr_of('a');
    net_open(&net, 3);
    net_join_all(&net, 3);
    struct cluster_conf conf = net_conf('e');
    conf.name = SPAN("c");
    net_start(&net, 'e', &conf);
    for (unsigned i = 0; i < 200; i++) {
        cluster_join(net_cluster(&net, 'e'), &seed, net.now_us);
        net_run(&net, SECOND);
    }
    struct cluster_counters c;
    cluster_counters(net_cluster(&net, 'e'), &c);
    assert_in_range(c.serf.conflicts, 200, 1000);
    assert_in_range(c.serf.queries_asked, 14, 16); /* every 10 s and what a vote takes */
    net_close(&net);
}

/* Nobody else is there to say who is right: loud, and undecided. */
static void two_alone_with_one_name(void **state)
{
    (void)state;
    struct addr seed = addr_of('a');
    net_open(&net, 1);
    struct cluster_conf conf = net_conf('b');
    conf.name = SPAN("a");
    net_start(&net, 'b', &conf);
    cluster_join(net_cluster(&net, 'b'), &seed, net.now_us);
    net_run(&net, 10 * SECOND);
    assert_non_null(strstr(net_news(&net, 'a'), "conflict:undecided:b "));
    assert_non_null(strstr(net_news(&net, 'b'), "conflict:undecided:a "));
    assert_false(cluster_conflict_lost(net_cluster(&net, 'a')));
    net_close(&net);
}

/* --- keys --- */

static void open_sealed(unsigned nodes, struct span key)
{
    net_open(&net, 0);
    for (char n = 'a'; n < (char)('a' + nodes); n++) {
        struct cluster_conf conf = net_conf(n);
        assert_int_equal(wire_keyring_install(&conf.keyring, key), ERR_OK);
        net_start(&net, n, &conf);
    }
    net_join_all(&net, nodes);
}

/* What `serf keys` sends; how many nodes say that it is done. */
static unsigned done_by;
static struct text keys_told;

static void key_answer(void *user, struct span from, struct span payload)
{
    struct wire_serf_message m;
    struct wire_msgpack_walk walk;
    struct span key;
    (void)user;
    assert_int_equal(wire_serf_get(payload, &m), WIRE_FAULT_NONE);
    assert_int_equal(m.type, WIRE_SERF_KEY_RESPONSE);
    done_by += m.key_response.result;
    text_add(&keys_told, "%.*s:%.*s[", SPAN_ARG(from), SPAN_ARG(m.key_response.message));
    wire_msgpack_walk_array(&walk, m.key_response.keys);
    while (wire_msgpack_walk_raw(&walk, &key))
        text_add(&keys_told, "%.*s,", SPAN_ARG(key));
    text_add(&keys_told, "]%.*s ", SPAN_ARG(m.key_response.primary_key));
}

static unsigned keys(char node, const char *name, struct span key)
{
    uint8_t room[100];
    struct cursor c;
    const struct wire_serf_message m = {.type = WIRE_SERF_KEY_REQUEST,
                                        .key_request = {.key = key}};
    cursor_write(&c, room, sizeof(room));
    wire_serf_put(&c, &m);
    const struct cluster_ask ask = {
        .name = span_text(name), .payload = span_of(room, c.at), .answered = key_answer};
    done_by = 0;
    keys_told.len = 0;
    assert_int_equal(cluster_query(net_cluster(&net, node), &ask, net.now_us), ERR_OK);
    net_run(&net, 4 * SECOND);
    keys_told.at[keys_told.len] = 0;
    return done_by;
}

static void keys_are_rotated(void **state)
{
    (void)state;
    struct span old = SPAN("0123456789abcdef"), new = SPAN("fedcba9876543210fedcba9876543210");
    open_sealed(3, old);
    assert_int_equal(keys('a', "_serf_install-key", new), 3);
    for (char n = 'a'; n <= 'c'; n++) {
        assert_string_equal(net_news(&net, n), "keys:2 ");
        assert_true(span_equal(wire_key_span(&net_node(&net, n)->ring.keys[0]), old));
    }
    assert_int_equal(keys('a', "_serf_install-key", new), 3);
    assert_string_equal(net_news(&net, 'b'), ""); /* nothing new */
    assert_int_equal(keys('b', "_serf_use-key", new), 3);
    assert_int_equal(keys('c', "_serf_remove-key", old), 3);
    for (char n = 'a'; n <= 'c'; n++) {
        assert_string_equal(net_news(&net, n), "keys:2 keys:1 ");
        const struct wire_keyring *ring = cluster_keyring(net_cluster(&net, n));
        assert_true(ring->count == 1 && span_equal(wire_key_span(&ring->keys[0]), new));
    }
    assert_int_equal(keys('a', "_serf_list-keys", span_of(NULL, 0)), 3);
    assert_non_null(
        strstr(keys_told.at, "b:[ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=,]ZmVkY2JhOTg3N"));
    struct cluster_counters c;
    cluster_counters(net_cluster(&net, 'b'), &c);
    assert_int_equal(c.serf.key_changes, 3);
    net_run(&net, 60 * SECOND); /* still together */
    assert_string_equal(net_news(&net, 'a'), "");
    net_close(&net);
}

static void keys_that_are_refused(void **state)
{
    (void)state;
    struct span old = SPAN("0123456789abcdef");
    open_sealed(2, old);
    assert_int_equal(keys('a', "_serf_install-key", SPAN("short")), 0);
    assert_non_null(strstr(keys_told.at, "16, 24 or 32 bytes"));
    assert_int_equal(keys('a', "_serf_use-key", SPAN("fedcba9876543210")), 0);
    assert_non_null(strstr(keys_told.at, "b:requested key is not in the keyring"));
    assert_int_equal(keys('a', "_serf_remove-key", old), 0);
    char key[16] = "0000000000000000";
    for (unsigned i = 1; i < WIRE_KEYS_MAX; i++) {
        key[0] = (char)('a' + i);
        assert_int_equal(keys('a', "_serf_install-key", span_of(key, 16)), 2);
    }
    key[0] = 'z';
    assert_int_equal(keys('a', "_serf_install-key", span_of(key, 16)), 0);
    assert_non_null(strstr(keys_told.at, "full"));
    assert_int_equal(keys('a', "_serf_list-keys", span_of(NULL, 0)), 2); /* all fit */
    net_forget_news(&net);
    const struct cluster_ask junk = {
        .name = SPAN("_serf_install-key"), .payload = SPAN("junk"), .answered = key_answer};
    done_by = 0;
    assert_int_equal(cluster_query(net_cluster(&net, 'a'), &junk, net.now_us), ERR_OK);
    net_run(&net, 4 * SECOND);
    assert_int_equal(done_by, 0);
    assert_string_equal(net_news(&net, 'b'), "");
    net_close(&net);
    net_open(&net, 2); /* in the clear */
    net_join_all(&net, 2);
    assert_int_equal(keys('a', "_serf_install-key", old), 0);
    assert_non_null(strstr(keys_told.at, "encryption not enabled"));
    assert_int_equal(keys('a', "_serf_list-keys", span_of(NULL, 0)), 0);
    net_close(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_answer),
        cmocka_unit_test(an_answer_may_come_later),
        cmocka_unit_test(filters),
        cmocka_unit_test(what_cannot_be_asked),
        cmocka_unit_test(answers_by_way_of_others),
        cmocka_unit_test(two_with_one_name),
        cmocka_unit_test(votes_are_rare),
        cmocka_unit_test(two_alone_with_one_name),
        cmocka_unit_test(keys_are_rotated),
        cmocka_unit_test(keys_that_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
