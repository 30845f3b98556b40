#include "node/cluster_ev.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define PATIENCE_MS 10000

struct scene {
    struct io_loop *loop;
    struct node_cluster *a, *b;
    struct addr at_a, at_b;
    struct io_timer late;
    unsigned joined, done;
    enum err result; /* of the last join */
};

static struct addr loopback(uint16_t port)
{
    return (struct addr){.family = ADDR_V4, .ip = {127, 0, 0, 1}, .port = port};
}

/* A port that is free by UDP and TCP: tried until one is. */
static struct node_cluster_ports bind_any(struct addr *out)
{
    struct node_cluster_ports ports = {-1, -1};
    for (uint16_t port = (uint16_t)(20000 + getpid() % 20000);; port++) {
        struct conf_faults faults = {0};
        struct conf_cluster c = {.listen = loopback(port)};
        enum err err = node_cluster_bind(&c, &ports, &faults);
        conf_faults_fini(&faults);
        *out = c.listen;
        if (err == ERR_OK)
            return ports;
    }
}

static void changed(void *user, enum cluster_change change, const struct cluster_node *node)
{
    struct scene *s = user;
    s->joined += change == CLUSTER_JOINED && !node->me;
    if (s->joined == 2)
        io_loop_stop(s->loop);
}

static void join_done(void *user, const struct addr *seed, enum err result)
{
    struct scene *s = user;
    (void)seed;
    s->done++;
    s->result = result;
    if (result != ERR_OK)
        io_loop_stop(s->loop);
}

static struct node_cluster *open_one(struct scene *s, const char *name, struct addr *out)
{
    struct node_cluster_ports ports = bind_any(out);
    const struct cluster_conf conf = {.name = span_text(name),
                                      .addr = *out,
                                      .profile = cluster_swim_local,
                                      .seed = out->port,
                                      .lifeguard = true};
    const struct cluster_news news = {.user = s, .changed = changed, .join_done = join_done};
    struct node_cluster *c = node_cluster_open(s->loop, &ports, &conf, &news);
    assert_non_null(c);
    assert_int_equal(ports.udp_fd, -1); /* taken */
    assert_int_equal(ports.tcp_fd, -1);
    return c;
}

static void too_late(struct io_timer *t)
{
    io_loop_stop(t->loop);
}

static void run(struct scene *s, int64_t wait_ms)
{
    io_timer_set(&s->late, s->loop->now_ms + wait_ms);
    io_loop_run(s->loop);
    io_timer_set(&s->late, 0);
}

static int set_up(void **state)
{
    struct scene *s = must_alloc(sizeof *s);
    s->loop = io_loop_create();
    io_timer_init(&s->late, s->loop, too_late);
    s->a = open_one(s, "a", &s->at_a);
    s->b = open_one(s, "b", &s->at_b);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;
    io_timer_stop(&s->late);
    node_cluster_close(s->a);
    node_cluster_close(s->b);
    io_loop_destroy(s->loop);
    free(s);
    return 0;
}

static void join(struct scene *s, struct node_cluster *c, const struct addr *seed)
{
    cluster_join(node_cluster_core(c), seed, io_loop_us());
    node_cluster_settle(c);
    run(s, PATIENCE_MS);
}

static void test_two_meet(void **state)
{
    struct scene *s = *state;
    struct cluster_counters counters;
    join(s, s->b, &s->at_a);
    assert_int_equal(s->joined, 2);
    cluster_counters(node_cluster_core(s->a), &counters);
    assert_int_equal(counters.nodes[CLUSTER_STATUS_ALIVE], 2);
    assert_int_equal(counters.swim.streams_in, 1);
    assert_int_equal(node_cluster_unsent(s->a), 0);
}

/* Nobody listens: said at once, not when the time-out comes. */
static void test_refused(void **state)
{
    struct scene *s = *state;
    struct addr nobody;
    struct node_cluster_ports ports = bind_any(&nobody);
    node_cluster_unbind(&ports);
    node_cluster_unbind(&ports); /* nothing more to do */
    int64_t began_ms = s->loop->now_ms;
    join(s, s->b, &nobody);
    assert_int_equal(s->done, 1);
    assert_int_equal(s->result, ERR_CLOSED);
    assert_true(s->loop->now_ms - began_ms < 1000);
    /* An address that this machine cannot even try. */
    struct addr broadcast = {.family = ADDR_V4, .ip = {255, 255, 255, 255}, .port = 1};
    join(s, s->b, &broadcast);
    assert_int_equal(s->done, 2);
    assert_int_equal(s->result, ERR_CLOSED);
}

/* Whoever floods gets its turn, and no more: a task of the same loop runs after every burst. */
struct watcher {
    struct io_task task;
    struct io_loop *loop;
    struct cluster *core;
    uint64_t seen, most;
};

static void watch(struct io_task *t)
{
    struct watcher *w = CONTAINER_OF(t, struct watcher, task);
    struct cluster_counters c;
    cluster_counters(w->core, &c);
    if (c.swim.packets_in - w->seen > w->most)
        w->most = c.swim.packets_in - w->seen;
    w->seen = c.swim.packets_in;
    io_loop_later(w->loop, t, watch);
}

static void test_flood(void **state)
{
    struct scene *s = *state;
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(&s->at_a, &sa);
    struct watcher w = {.loop = s->loop, .core = node_cluster_core(s->a)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    for (int i = 0; i < 1000; i++) /* some of them; the kernel keeps what it can */
        (void)!sendto(fd, "\x05nonsense", 9, 0, (struct sockaddr *)&sa, len);
    (void)!sendto(fd, "", 0, 0, (struct sockaddr *)&sa, len);
    close(fd);
    io_loop_later(s->loop, &w.task, watch);
    run(s, 500);
    io_task_cancel(&w.task);
    assert_true(w.seen > NODE_CLUSTER_BURST);
    assert_int_equal(w.most, NODE_CLUSTER_BURST);
}

static void test_busy(void **state)
{
    (void)state;
    struct addr taken;
    struct conf_faults faults = {0};
    struct node_cluster_ports ports = bind_any(&taken), more;
    struct conf_cluster c = {.listen = taken, .listen_place = {3, 5}};
    assert_int_equal(node_cluster_bind(&c, &more, &faults), ERR_SYS);
    close(ports.tcp_fd); /* UDP alone is taken */
    ports.tcp_fd = -1;
    assert_int_equal(node_cluster_bind(&c, &more, &faults), ERR_SYS);
    assert_int_equal(more.tcp_fd, -1);
    assert_int_equal(faults.count, 2);
    assert_int_equal(faults.at[1].line, 3);
    assert_non_null(strstr(faults.at[1].message, "by UDP"));
    conf_faults_fini(&faults);
    node_cluster_unbind(&ports);
}

static void test_advertised(void **state)
{
    (void)state;
    static const struct addr any = {0};
    struct addr told;
    struct conf_cluster c = {.listen = loopback(7946)};
    node_cluster_advertised(&c, &told);
    assert_true(addr_equal(&told, &c.listen));
    c.advertise = (struct addr){.family = ADDR_V4, .ip = {192, 0, 2, 1}, .port = 1};
    node_cluster_advertised(&c, &told);
    assert_true(addr_equal(&told, &c.advertise));
    c.advertise = any;
    c.listen = (struct addr){.family = ADDR_V4, .port = 7946};
    node_cluster_advertised(&c, &told);
    assert_int_equal(told.port, 7946);
    assert_int_equal(told.family, ADDR_V4);
    assert_memory_not_equal(told.ip, any.ip, sizeof any.ip);
    c.listen.family = ADDR_V6;
    node_cluster_advertised(&c, &told);
    assert_memory_not_equal(told.ip, any.ip, sizeof any.ip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_meet, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flood, set_up, tear_down),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_advertised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
