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
    net_stop(&net, 'b');
    net_stop(&net, 'c');
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_alone),
        cmocka_unit_test(three_meet),
        cmocka_unit_test(leaves_and_fails),
        cmocka_unit_test(events_from_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
