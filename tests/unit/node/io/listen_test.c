#include "node/io/listen_ev.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include "tests/unit/node/io/fixture.h"

static const struct addr any_port = {.family = ADDR_V4, .ip = {127, 0, 0, 1}};

static struct addr address_of(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    struct addr a;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    assert_int_equal(addr_from_sockaddr((struct sockaddr *)&sa, &a), ERR_OK);
    return a;
}

static int connect_to(const struct addr *a)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(a, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
    return fd;
}

static struct io_listener *listener;
static unsigned accepted_count;

static void on_accepted(void *user, int fd, const struct addr *peer)
{
    struct fixture_loop *f = user;
    assert_true(addr_is_loopback(peer) && peer->port > 0);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    close(fd);
    if (++accepted_count == 2) {
        io_listen_stop(listener); /* from inside */
        listener = NULL;
        io_loop_stop(f->loop);
    }
}

static void test_accept_and_busy(void **state)
{
    (void)state;
    struct fixture_loop f;
    struct conf_faults faults = {0};
    struct conf_place place = {.line = 3, .column = 9};
    int one, two;
    fixture_loop_init(&f);
    assert_int_equal(io_listen_bind(&any_port, place, "listeners[web]", &faults, &one), ERR_OK);
    struct addr at = address_of(one);
    assert_int_equal(io_listen_bind(&at, place, "listeners[web]", &faults, &two), ERR_OK);
    assert_int_equal(io_listen_probe(&at, place, "listeners[web]", &faults), ERR_SYS);
    assert_int_equal(faults.errors, 1);
    assert_non_null(
        strstr(faults.at[0].message, "listeners[web]: cannot listen on 127.0.0.1:"));
    assert_non_null(strstr(faults.at[0].message, ": address already in use"));
    assert_int_equal(faults.at[0].line, 3);
    close(two);

    listener = io_listen_start(f.loop, one, on_accepted, &f);
    int a = connect_to(&at), b = connect_to(&at);
    fixture_loop_run(&f);
    assert_int_equal(accepted_count, 2);
    close(a);
    close(b);
    close(one);
    assert_int_equal(io_listen_probe(&at, place, "listeners[web]", &faults), ERR_OK);
    conf_faults_fini(&faults);
    fixture_loop_fini(&f);
}

/* Without descriptors it rests; then the connection that waited is taken. */
static void test_no_descriptors(void **state)
{
    (void)state;
    struct fixture_loop f;
    struct conf_faults faults = {0};
    struct rlimit old, none;
    int fd;
    fixture_loop_init(&f);
    accepted_count = 1;
    assert_int_equal(io_listen_bind(&any_port, (struct conf_place){0}, "x", &faults, &fd),
                     ERR_OK);
    struct addr at = address_of(fd);
    listener = io_listen_start(f.loop, fd, on_accepted, &f);
    int client = connect_to(&at);
    getrlimit(RLIMIT_NOFILE, &old);
    none = old;
    none.rlim_cur = (rlim_t)client + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int64_t from_ms = f.loop->now_ms;
    /* The limit comes back while it rests. */
    io_timer_set(&f.watchdog, from_ms + 20);
    io_loop_run(f.loop);
    assert_true(f.late);
    f.late = false;
    assert_int_equal(accepted_count, 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    fixture_loop_run(&f);
    assert_int_equal(accepted_count, 2);
    assert_true(f.loop->now_ms - from_ms >= 100);
    close(client);
    close(fd);
    fixture_loop_fini(&f);
}

/* ":0": both families on one socket. */
static void test_dual_stack(void **state)
{
    (void)state;
    struct conf_faults faults = {0};
    struct addr any = {.family = ADDR_V6}, v4 = any_port;
    int fd;
    assert_int_equal(io_listen_bind(&any, (struct conf_place){0}, "x", &faults, &fd), ERR_OK);
    v4.port = address_of(fd).port;
    int client = connect_to(&v4);
    close(client);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept_and_busy),
        cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_dual_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
