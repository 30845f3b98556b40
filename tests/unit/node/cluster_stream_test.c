#include "node/cluster_stream_ev.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEERS (NODE_CLUSTER_STREAMS + 1)

struct scene {
    struct io_loop *loop;
    struct cluster *core;
    struct node_cluster_streams streams;
    int peer[PEERS];
    unsigned peers;
};

static void told(void *user)
{
    (void)user;
}

static int set_up(void **state)
{
    struct scene *s = must_alloc(sizeof *s);
    const struct cluster_news news = {.user = s};
    struct cluster_conf conf = {.name = SPAN("a"), .profile = cluster_swim_lan, .seed = 1};
    assert_int_equal(addr_parse_with_port(SPAN("127.0.0.1:1"), &conf.addr), ERR_OK);
    s->loop = io_loop_create();
    s->core = cluster_create(&conf, &news, io_loop_us());
    assert_non_null(s->core);
    node_cluster_streams_init(&s->streams, s->loop, s->core, told, s);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;
    node_cluster_streams_fini(&s->streams);
    cluster_destroy(s->core);
    io_loop_destroy(s->loop);
    for (unsigned i = 0; i < s->peers; i++)
        close(s->peer[i]);
    free(s);
    return 0;
}

/* Somebody connects, each from its own address, and reads nothing of what it is written. */
static void connect_and_write(struct scene *s, struct span bytes)
{
    int pair[2];
    struct addr from = {.family = ADDR_V4, .port = 1};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    memcpy(from.ip, &s->peers, sizeof s->peers);
    s->peer[s->peers++] = pair[1];
    node_cluster_stream_accept(&s->streams, pair[0], &from);
    struct cluster_swim_output o = {
        .what = CLUSTER_SWIM_STREAM_WRITE, .stream = s->peers, .bytes = bytes};
    node_cluster_stream_do(&s->streams, &o);
    o.what = CLUSTER_SWIM_STREAM_CLOSE;
    o.bytes = (struct span){0};
    node_cluster_stream_do(&s->streams, &o);
}

static bool was_cut(const struct scene *s, unsigned peer)
{
    static char room[1 << 20];
    ssize_t got;
    do
        got = read(s->peer[peer], room, sizeof room);
    while (got > 0);
    return got == 0;
}

static void write_all_and_one(struct scene *s, unsigned all, size_t len)
{
    char *bytes = must_alloc(len);
    while (s->peers < all)
        connect_and_write(s, span_of(bytes, len));
    assert_int_equal(s->streams.count, all);
    connect_and_write(s, span_of(bytes, len));
    assert_int_equal(s->streams.count, all);
    assert_true(was_cut(s, 0));
    assert_false(was_cut(s, 1));
    assert_false(was_cut(s, all));
    free(bytes);
}

static void test_bytes_that_nobody_reads(void **state)
{
    write_all_and_one(*state, 7, (size_t)9 << 20);
}

static void test_streams_that_nobody_reads(void **state)
{
    size_t more_than_a_socket_keeps = (size_t)400 << 10;
    write_all_and_one(*state, NODE_CLUSTER_STREAMS, more_than_a_socket_keeps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bytes_that_nobody_reads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_streams_that_nobody_reads, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
