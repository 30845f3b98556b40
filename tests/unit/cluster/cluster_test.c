#include "tests/unit/cluster/cluster_bed.h"

static struct net net;

static void a_node_alone(void **state)
{
    (void)state;
    struct cluster_node me;
    net_open(&net, 1);
    net_run(&net, 120 * SECOND);
    cluster_me(net_cluster(&net, 'a'), &me);
    assert_true(me.me && me.status == CLUSTER_STATUS_ALIVE && !me.has_health);
    assert_true(span_equal(me.tags.id, SPAN("a")) && span_equal(me.tags.region, SPAN("eu")));
    assert_int_equal(net.packets, 0);
    assert_string_equal(net_news(&net, 'a'), "");
    net_close(&net);
}

static void three_meet(void **state)
{
    (void)state;
    struct addr seed = addr_of('a');
    net_open(&net, 3);
    cluster_join(net_cluster(&net, 'b'), &seed, net.now_us);
    net_run(&net, 100 * MS);
    assert_string_equal(net_news(&net, 'a'), "+b ");
    assert_string_equal(net_news(&net, 'b'), "+a join:a:ok ");
    cluster_join(net_cluster(&net, 'c'), &seed, net.now_us);
    net_run(&net, SECOND);
    assert_string_equal(net_news(&net, 'a'), "+c ");
    assert_string_equal(net_news(&net, 'b'), "+c ");
    net_run(&net, 60 * SECOND);
    for (char n = 'a'; n <= 'c'; n++) {
        struct cluster_counters c;
        struct cluster_node other;
        assert_true(
            cluster_node_find(net_cluster(&net, n), n == 'a' ? SPAN("b") : SPAN("a"), &other));
        assert_int_equal(other.rtt_own_us, 2 * NET_DELAY_US);
        assert_in_range(other.rtt_us, NET_DELAY_US, 4 * NET_DELAY_US);
        cluster_counters(net_cluster(&net, n), &c);
        assert_int_equal(c.nodes[CLUSTER_STATUS_ALIVE], 3);
        assert_int_equal(c.serf.refused_syntax + c.serf.refused_coordinate, 0);
        assert_int_equal(c.serf_gauges.queue_intents, 0);
        assert_int_equal(c.swim.suspected, 0);
    }
    net_close(&net);
}

static void leaves_and_fails(void **state)
{
    (void)state;
    net_open(&net, 3);
    net_join_all(&net, 3);
    assert_false(cluster_leave_told(net_cluster(&net, 'b')));
    cluster_leave(net_cluster(&net, 'b'), net.now_us);
    net_run(&net, 5 * SECOND);
    assert_true(cluster_leave_told(net_cluster(&net, 'b')));
    assert_string_equal(net_news(&net, 'a'), "<b ");
    assert_string_equal(net_news(&net, 'c'), "<b ");
    struct cluster_node c = {.suspect = true};
    assert_true(cluster_node_find(net_cluster(&net, 'a'), SPAN("c"), &c) && !c.suspect);
    net_stop(&net, 'b');
    net_stop(&net, 'c');
    while (!c.suspect && c.status == CLUSTER_STATUS_ALIVE) {
        net_run(&net, 10 * MS);
        assert_true(cluster_node_find(net_cluster(&net, 'a'), SPAN("c"), &c));
    }
    assert_true(c.suspect && c.status == CLUSTER_STATUS_ALIVE);
    net_until(&net, 'a', "c", "failed", 20 * SECOND);
    net_run(&net, 120 * SECOND); /* the swim forgot both long ago */
    assert_string_equal(net_view(&net, 'a', "b"), "b left");
    assert_string_equal(net_news(&net, 'a'), "-c ");
    net_close(&net);
}

/* Who joins hears what was fired before only when asked to; how nodes are it hears always. */
static void events_from_before(void **state)
{
    (void)state;
    struct addr seed = addr_of('a');
    struct cluster_health health = {.load = 44};
    net_open(&net, 2);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(cluster_fire(net_cluster(&net, 'a'), SPAN("purge"),
                                      span_of(&"xyz"[i], 1), i == 1, net.now_us, NULL),
                         ERR_OK);
    cluster_set_health(net_cluster(&net, 'a'), &health, net.now_us);
    struct cluster_conf conf = net_conf('c');
    conf.replay = true;
    net_start(&net, 'c', &conf);
    cluster_join(net_cluster(&net, 'b'), &seed, net.now_us);
    cluster_join(net_cluster(&net, 'c'), &seed, net.now_us);
    net_run(&net, 40 * SECOND);
    assert_string_equal(net_news(&net, 'b'), "+a health:a:44/0/0 join:a:ok +c ");
    assert_string_equal(net_news(&net, 'c'),
                        "+a +b event:purge=x@1r event:purge=y@2r event:purge=z@3r "
                        "health:a:44/0/0 join:a:ok ");
    assert_string_equal(net_news(&net, 'a'), "+b +c ");
    /* What comes next is news to all, also to whoever did not want the old. */
    assert_int_equal(cluster_fire(net_cluster(&net, 'c'), SPAN("purge"), SPAN("new"), false,
                                  net.now_us, NULL),
                     ERR_OK);
    net_run(&net, 2 * SECOND);
    assert_string_equal(net_news(&net, 'b'), "event:purge=new@5 ");
    net_close(&net);
}

/* --- who is gone --- */

static void tombstones_last_a_day(void **state)
{
    (void)state;
    net_open(&net, 3);
    net_join_all(&net, 3);
    cluster_leave(net_cluster(&net, 'b'), net.now_us);
    net_run(&net, 5 * SECOND);
    net_stop(&net, 'b');
    net_stop(&net, 'c');
    net_until(&net, 'a', "c", "failed", 20 * SECOND);
    net_forget_news(&net);
    /* Nobody is there: long steps, as a machine that sleeps. */
    for (unsigned minute = 0; minute < 24 * 60 - 1; minute++) {
        net.now_us += 60 * SECOND;
        net_run(&net, MS);
    }
    assert_string_equal(net_view(&net, 'a', "b"), "b left");
    assert_string_equal(net_view(&net, 'a', "c"), "c failed");
    for (unsigned minute = 0; minute < 4; minute++) {
        net.now_us += 60 * SECOND;
        net_run(&net, MS);
    }
    assert_string_equal(net_view(&net, 'a', "b"), "no b");
    assert_string_equal(net_view(&net, 'a', "c"), "no c");
    struct cluster_counters c;
    cluster_counters(net_cluster(&net, 'a'), &c);
    assert_int_equal(c.serf.reaped, 2);
    assert_in_range(c.serf.reconnects, 1000, 3000); /* each turn: one of one failed */
    net_close(&net);
}

static char away;

static bool cut_away(const struct net *n, enum net_kind kind, char from, char to)
{
    (void)n, (void)kind;
    return from == away || to == away;
}

/* Long after all forgot it in the swim: the reconnect finds it. */
static void a_partition_heals(void **state)
{
    (void)state;
    net_open(&net, 3);
    net_join_all(&net, 3);
    net.cut = cut_away;
    away = 'c';
    net_until(&net, 'a', "c", "failed", 30 * SECOND);
    net_run(&net, 600 * SECOND);
    assert_string_equal(net_view(&net, 'c', "a"), "a failed");
    net.cut = NULL;
    net_until(&net, 'a', "c", "alive", 120 * SECOND);
    net_until(&net, 'c', "b", "alive", 5 * SECOND);
    net_close(&net);
}

static void forgotten_by_all(void **state)
{
    (void)state;
    net_open(&net, 4);
    net_join_all(&net, 4);
    assert_int_equal(cluster_forget(net_cluster(&net, 'a'), SPAN("d"), net.now_us),
                     ERR_REFUSED);
    assert_int_equal(cluster_forget(net_cluster(&net, 'a'), SPAN("a"), net.now_us),
                     ERR_REFUSED);
    assert_int_equal(cluster_forget(net_cluster(&net, 'a'), SPAN("z"), net.now_us),
                     ERR_NOT_FOUND);
    assert_int_equal(cluster_forget(net_cluster(&net, 'a'), SPAN(""), net.now_us),
                     ERR_NOT_FOUND);
    net_stop(&net, 'd');
    for (char n = 'a'; n <= 'c'; n++)
        net_until(&net, n, "d", "failed", 30 * SECOND);
    net_forget_news(&net);
    assert_int_equal(cluster_forget(net_cluster(&net, 'a'), SPAN("d"), net.now_us), ERR_OK);
    assert_string_equal(net_news(&net, 'a'), "<d xd ");
    net_run(&net, 3 * SECOND);
    assert_string_equal(net_news(&net, 'b'), "<d xd ");
    assert_string_equal(net_news(&net, 'c'), "<d xd ");
    net_run(&net, 120 * SECOND); /* push/pulls bring nobody back */
    for (char n = 'a'; n <= 'c'; n++)
        assert_string_equal(net_view(&net, n, "d"), "no d");
    /* It may come back as itself. */
    struct cluster_conf conf = net_conf('d');
    struct addr seed = addr_of('b');
    net_start(&net, 'd', &conf);
    cluster_join(net_cluster(&net, 'd'), &seed, net.now_us);
    for (char n = 'a'; n <= 'c'; n++)
        net_until(&net, n, "d", "alive", 10 * SECOND);
    net_close(&net);
}

static void forget_within_the_news(struct net_node *n, enum cluster_change change,
                                   const struct cluster_node *node)
{
    if (change == CLUSTER_FAILED || change == CLUSTER_LEFT_NODE)
        (void)!cluster_forget(n->cluster, node->name, 0);
}

/* Whoever hears the news may act on it at once. */
static void news_may_call(void **state)
{
    (void)state;
    net_open(&net, 3);
    net_join_all(&net, 3);
    net_node(&net, 'a')->on_change = forget_within_the_news;
    net_stop(&net, 'c');
    net_run(&net, 30 * SECOND);
    assert_string_equal(net_news(&net, 'a'), "-c <c xc ");
    assert_string_equal(net_view(&net, 'a', "c"), "no c");
    assert_string_equal(net_view(&net, 'b', "c"), "no c");
    net_close(&net);
}

/* --- intents --- */

static void a_leave_in_its_name_is_refuted(void **state)
{
    (void)state;
    struct wire_serf_message leave = {.type = WIRE_SERF_LEAVE,
                                      .leave = {.ltime = 50, .node = SPAN("b")}};
    net_open(&net, 3);
    net_join_all(&net, 3);
    net_say(&net, 'a', 'z', &leave);
    net_run(&net, 10 * MS); /* a heard it */
    assert_string_equal(net_view(&net, 'a', "b"), "b leaving");
    for (char n = 'a'; n <= 'c'; n++)
        net_until(&net, n, "b", "alive", 5 * SECOND);
    net_run(&net, 5 * SECOND);
    struct cluster_counters c;
    cluster_counters(net_cluster(&net, 'b'), &c);
    assert_int_equal(c.serf_gauges.ltime, 52); /* it answered at 51 */
    net_stop(&net, 'b');
    net_until(&net, 'a', "b", "failed", 30 * SECOND); /* not left */
    net_close(&net);
}

static void an_intent_may_come_first(void **state)
{
    (void)state;
    struct wire_serf_message leave = {.type = WIRE_SERF_LEAVE,
                                      .leave = {.ltime = 9, .node = SPAN("b")}};
    struct addr seed = addr_of('a');
    net_open(&net, 2);
    net_say(&net, 'a', 'z', &leave);
    net_run(&net, SECOND);
    net.cut = cut_away;
    away = 'z';
    cluster_join(net_cluster(&net, 'b'), &seed, net.now_us);
    net_run(&net, 5 * MS);
    assert_string_equal(net_view(&net, 'a', "b"), "b leaving");
    net_until(&net, 'a', "b", "alive", 5 * SECOND); /* b heard of it and says that it stays */
    net_close(&net);
}

/* Two seeds, and a cut: whoever was in the cluster before is told what it missed. */
static void a_later_join_replays(void **state)
{
    (void)state;
    struct addr a = addr_of('a'), self = addr_of('c');
    net_open(&net, 3);
    assert_int_equal(
        cluster_fire(net_cluster(&net, 'a'), SPAN("old"), SPAN(""), false, net.now_us, NULL),
        ERR_OK);
    cluster_join(net_cluster(&net, 'b'), &a, net.now_us);
    cluster_join(net_cluster(&net, 'c'), &self, net.now_us); /* finds nobody but itself */
    net_run(&net, SECOND);
    cluster_join(net_cluster(&net, 'c'), &a, net.now_us);
    net_run(&net, 10 * SECOND);
    assert_string_equal(net_news(&net, 'c'), "join:c:ok +a +b join:a:ok ");
    net.cut = cut_away;
    away = 'c';
    net_until(&net, 'c', "a", "failed", 30 * SECOND);
    assert_int_equal(
        cluster_fire(net_cluster(&net, 'a'), SPAN("missed"), SPAN(""), false, net.now_us, NULL),
        ERR_OK);
    net_run(&net, 10 * SECOND);
    net.cut = NULL;
    net_forget_news(&net);
    cluster_join(net_cluster(&net, 'c'), &a, net.now_us);
    net_run(&net, SECOND);
    assert_non_null(strstr(net_news(&net, 'c'), "event:missed=@2r "));
    net_close(&net);
}

/* --- health --- */

static void health_is_told_within_its_budget(void **state)
{
    (void)state;
    struct cluster_health h = {.load = 30};
    struct cluster_node n;
    net_open(&net, 3);
    net_join_all(&net, 3);
    struct cluster *a = net_cluster(&net, 'a');
    cluster_set_health(a, &h, net.now_us);
    net_run(&net, 100 * MS); /* pushed at once */
    assert_string_equal(net_news(&net, 'b'), "health:a:30/0/0 ");
    assert_string_equal(net_news(&net, 'c'), "health:a:30/0/0 ");
    assert_true(cluster_node_find(net_cluster(&net, 'b'), SPAN("a"), &n));
    assert_true(n.has_health && n.health.load == 30);
    h.load = 39; /* no step */
    cluster_set_health(a, &h, net.now_us);
    net_run(&net, 60 * SECOND);
    assert_string_equal(net_news(&net, 'b'), "");
    /* Ten changes a second for a minute: the budget bounds what is told, the last word wins. */
    struct cluster_counters before, after;
    cluster_counters(a, &before);
    for (unsigned i = 0; i < 600; i++) {
        h.load = i % 2 ? 90 : 50;
        cluster_set_health(a, &h, net.now_us);
        net_run(&net, 100 * MS);
    }
    net_run(&net, 30 * SECOND);
    cluster_counters(a, &after);
    uint64_t told = after.health_told - before.health_told;
    /* 8,192 B/s by 3 nodes; an event of 78 B goes out 8 times */
    assert_in_range(told, 60 * 8192 / 3 / 1000, 60 * 8192 / 3 / 500);
    assert_true(after.health_held > before.health_held);
    assert_true(cluster_node_find(net_cluster(&net, 'c'), SPAN("a"), &n));
    assert_int_equal(n.health.load, 90);
    net_close(&net);
}

static void a_drain_is_told_at_once(void **state)
{
    (void)state;
    struct cluster_health h = {.load = 1};
    struct cluster_node n;
    struct cluster_conf conf = net_conf('a');
    conf.health_budget = 1; /* so good as nothing */
    net_open(&net, 0);
    net_start(&net, 'a', &conf);
    conf = net_conf('b');
    net_start(&net, 'b', &conf);
    net_join_all(&net, 2);
    struct cluster *a = net_cluster(&net, 'a');
    cluster_set_health(a, &h, net.now_us);
    net_run(&net, 10 * SECOND);
    assert_string_equal(net_news(&net, 'b'), ""); /* held */
    h.drain = true;
    cluster_set_health(a, &h, net.now_us);
    net_run(&net, SECOND);
    assert_string_equal(net_news(&net, 'b'), "~a "); /* by tags, at least */
    assert_true(cluster_node_find(net_cluster(&net, 'b'), SPAN("a"), &n));
    assert_true(n.health.drain && n.tags.drain);
    cluster_me(a, &n);
    assert_true(n.health.drain && n.tags.drain);
    struct cluster_tags tags = conf.tags; /* a reload does not end it */
    tags.region = SPAN("us");
    cluster_set_tags(a, &tags, net.now_us);
    net_run(&net, SECOND);
    assert_true(cluster_node_find(net_cluster(&net, 'b'), SPAN("a"), &n));
    assert_true(n.tags.drain && span_equal(n.tags.region, SPAN("us")));
    h.drain = false;
    cluster_set_health(a, &h, net.now_us);
    net_run(&net, SECOND);
    assert_true(cluster_node_find(net_cluster(&net, 'b'), SPAN("a"), &n));
    assert_true(!n.health.drain && !n.tags.drain);
    net_close(&net);
}

static void the_view_changes_but_for_loads(void **state)
{
    (void)state;
    struct cluster_health h = {.load = 10};
    net_open(&net, 3);
    struct cluster *a = net_cluster(&net, 'a'), *b = net_cluster(&net, 'b');
    uint64_t alone = cluster_view(a);
    net_join_all(&net, 3);
    assert_int_not_equal(cluster_view(a), alone);
    cluster_set_health(b, &h, net.now_us);
    net_run(&net, SECOND);
    uint64_t there = cluster_view(a), here = cluster_view(b);
    for (unsigned i = 0; i < 5; i++) {
        h.load += 15;
        cluster_set_health(b, &h, net.now_us);
        net_run(&net, SECOND);
    }
    assert_true(cluster_view(a) == there && cluster_view(b) == here);
    h.shed = true;
    cluster_set_health(b, &h, net.now_us);
    net_run(&net, SECOND);
    assert_true(cluster_view(a) != there && cluster_view(b) != here);
    there = cluster_view(a);
    h.drain = true;
    cluster_set_health(b, &h, net.now_us);
    net_run(&net, SECOND);
    assert_int_not_equal(cluster_view(a), there);
    /* a leave that was heard, before it is done */
    there = cluster_view(a);
    struct cluster_node n;
    cluster_leave(b, net.now_us);
    do {
        net_run(&net, MS);
        assert_true(cluster_node_find(a, SPAN("b"), &n));
    } while (n.status == CLUSTER_STATUS_ALIVE);
    assert_int_equal(n.status, CLUSTER_STATUS_LEAVING);
    assert_int_not_equal(cluster_view(a), there);
    there = cluster_view(a);
    net_stop(&net, 'c');
    net_until(&net, 'a', "c", "failed", 60 * SECOND);
    assert_int_not_equal(cluster_view(a), there);
    net_close(&net);
}

static void a_drain_overtakes_the_budget(void **state)
{
    (void)state;
    struct cluster_health h = {.load = 1};
    net_open(&net, 2);
    net_join_all(&net, 2);
    struct cluster *a = net_cluster(&net, 'a');
    cluster_set_health(a, &h, net.now_us);
    net_run(&net, SECOND);
    net_forget_news(&net);
    for (unsigned i = 0; i < 6; i++) { /* more than the burst */
        h.drain = !h.drain;
        cluster_set_health(a, &h, net.now_us);
        net_run(&net, 5 * MS);
    }
    static const char all[] = "health:a:1/0/1 health:a:1/0/0 health:a:1/0/1 health:a:1/0/0 "
                              "health:a:1/0/1 health:a:1/0/0 ";
    struct text events = {.len = 0};
    struct span rest = span_text(net_news(&net, 'b')), w;
    while ((w = word(&rest)).len > 0)
        if (w.ptr[0] == 'h')
            text_add(&events, "%.*s ", SPAN_ARG(w));
    assert_string_equal(events.at, all);
    net_close(&net);
}

/* The newest word of a node counts, whoever brings it; words about nobody do not. */
static void health_from_strangers(void **state)
{
    (void)state;
    static const struct {
        const char *why, *payload;
        uint64_t ltime;
        const char *news;
        uint64_t refused;
    } rows[] = {
        {"somebody's word", "b load=20", 40, "health:b:20/0/0 ", 0},
        {"a newer one", "b load=30 shed=5", 41, "health:b:30/5/0 ", 0},
        {"an older one came late", "b load=90", 39, "", 0},
        {"about nobody", "q load=90", 42, "", 1},
        {"about the hearer", "a load=90", 43, "", 2},
        {"no word", "b load=900", 44, "", 3},
        {"nothing", "", 45, "", 4},
    };
    net_open(&net, 2);
    net_join_all(&net, 2);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_serf_message m = {.type = WIRE_SERF_EVENT,
                                      .event = {.ltime = rows[i].ltime,
                                                .name = SPAN(CLUSTER_HEALTH_EVENT),
                                                .payload = span_text(rows[i].payload)}};
        struct cluster_counters c;
        net_say(&net, 'a', 'z', &m);
        net_run(&net, 10 * MS);
        cluster_counters(net_cluster(&net, 'a'), &c);
        const char *news = net_news(&net, 'a');
        if (strcmp(news, rows[i].news) != 0 || c.health_refused != rows[i].refused)
            fail_msg("%s: %s", rows[i].why, news);
    }
    net_close(&net);
}

/* --- events --- */

static void events_spread(void **state)
{
    (void)state;
    uint64_t ltime = 0;
    char big[1000];
    memset(big, 'x', sizeof(big));
    net_open(&net, 12);
    net_join_all(&net, 12);
    struct cluster *a = net_cluster(&net, 'a');
    assert_int_equal(cluster_fire(a, SPAN("perigee/x"), SPAN("1"), false, net.now_us, &ltime),
                     ERR_OK);
    assert_int_equal(ltime, 1);
    net_run(&net, 5 * NET_DELAY_US); /* the push alone: 4, 16 */
    unsigned heard = 0;
    for (char n = 'b'; n <= 'l'; n++)
        heard += strcmp(net_news(&net, n), "event:perigee/x=1@1 ") == 0;
    assert_true(heard >= 10);
    assert_int_equal(cluster_fire(a, SPAN("deploy"), SPAN("2"), true, net.now_us, &ltime),
                     ERR_OK);
    assert_int_equal(ltime, 2);
    net_run(&net, 5 * NET_DELAY_US);
    struct cluster_counters c;
    cluster_counters(a, &c);
    assert_int_equal(c.serf.events_pushed, 4); /* of the first alone */
    assert_int_equal(c.serf_gauges.queue_events, 2);
    net_run(&net, 5 * SECOND);
    for (char n = 'b'; n <= 'l'; n++)
        assert_true(strstr(net_news(&net, n), "event:deploy=2@2") != NULL);
    assert_string_equal(net_news(&net, 'a'), ""); /* its own are no news */
    cluster_counters(a, &c);
    assert_int_equal(c.serf_gauges.queue_events, 0);
    /* 1,000 bytes encoded: type, map, names and numbers take 31 */
    assert_int_equal(cluster_fire(a, SPAN("n"), span_of(big, 969), false, net.now_us, NULL),
                     ERR_OK);
    assert_int_equal(cluster_fire(a, SPAN("n"), span_of(big, 970), false, net.now_us, NULL),
                     ERR_LIMIT);
    net_run(&net, 5 * SECOND);
    assert_int_equal(net_node(&net, 'l')->events, 3);
    net_close(&net);
}

static uint64_t run_of(uint64_t seed)
{
    net_open(&net, 0);
    for (char n = 'a'; n <= 'e'; n++) {
        struct cluster_conf conf = net_conf(n);
        conf.seed = seed + (uint64_t)n;
        net_start(&net, n, &conf);
    }
    net_join_all(&net, 5);
    struct cluster_health h = {.load = 50};
    cluster_set_health(net_cluster(&net, 'c'), &h, net.now_us);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(cluster_fire(net_cluster(&net, 'b'), SPAN("perigee/x"),
                                      span_of(&i, sizeof(i)), false, net.now_us, NULL),
                         ERR_OK);
    net_run(&net, 5 * SECOND);
    net_stop(&net, 'e');
    net_run(&net, 90 * SECOND);
    uint64_t hash = net.sent_hash;
    net_close(&net);
    return hash;
}

static void the_same_seed_the_same_run(void **state)
{
    (void)state;
    uint64_t first = run_of(1);
    assert_true(first == run_of(1));
    assert_true(first != run_of(2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_alone),
        cmocka_unit_test(three_meet),
        cmocka_unit_test(leaves_and_fails),
        cmocka_unit_test(events_from_before),
        cmocka_unit_test(tombstones_last_a_day),
        cmocka_unit_test(a_partition_heals),
        cmocka_unit_test(forgotten_by_all),
        cmocka_unit_test(news_may_call),
        cmocka_unit_test(a_leave_in_its_name_is_refuted),
        cmocka_unit_test(an_intent_may_come_first),
        cmocka_unit_test(a_later_join_replays),
        cmocka_unit_test(health_is_told_within_its_budget),
        cmocka_unit_test(a_drain_is_told_at_once),
        cmocka_unit_test(the_view_changes_but_for_loads),
        cmocka_unit_test(a_drain_overtakes_the_budget),
        cmocka_unit_test(health_from_strangers),
        cmocka_unit_test(events_spread),
        cmocka_unit_test(the_same_seed_the_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
