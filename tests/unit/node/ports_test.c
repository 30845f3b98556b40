#include "node/ports.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "conf/load.h"

#define WORKERS 3

static struct addr addr(const char *ip, uint16_t port)
{
    struct addr a;
    assert_int_equal(addr_parse(span_text(ip), &a), ERR_OK);
    a.port = port;
    return a;
}

/* A port that nobody has just now; of IPv4 and IPv6. */
static uint16_t free_port(void)
{
    struct addr any = addr("::", 0), bound;
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(&any, &sa);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    len = sizeof sa;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    assert_int_equal(addr_from_sockaddr((struct sockaddr *)&sa, &bound), ERR_OK);
    close(fd);
    return bound.port;
}

static bool connects(const struct addr *to)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(to, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = connect(fd, (struct sockaddr *)&sa, len) == 0;
    close(fd);
    return good;
}

static void test_bound_kept_closed(void **state)
{
    (void)state;
    struct conf_faults faults = {0};
    uint16_t one = free_port(), two = free_port();
    struct conf_listener first[] = {{.name = "a", .address = addr("127.0.0.1", one)}};
    struct conf_listener both[] = {{.name = "b", .address = addr("127.0.0.1", two)},
                                   {.name = "a", .address = addr("127.0.0.1", one)}};
    struct conf now = {.listeners = first, .listener_count = 1};
    struct conf next = {.listeners = both, .listener_count = 2};
    int admin = 7, fds[WORKERS];

    struct node_ports *p = node_ports_open(NULL, &now, WORKERS, &admin, &faults);
    assert_non_null(p);
    assert_int_equal(admin, -1);
    assert_true(connects(&first[0].address));
    for (uint32_t w = 0; w < WORKERS; w++) {
        fds[w] = node_ports_take(p, 0, w);
        assert_true(fds[w] >= 0);
    }
    assert_int_equal(node_ports_take(p, 0, 1), -1);

    struct node_ports *q = node_ports_open(p, &next, WORKERS, NULL, &faults);
    assert_non_null(q);
    assert_int_equal(q->at[1].id, p->at[0].id);
    assert_int_not_equal(q->at[0].id, p->at[0].id);
    assert_int_equal(node_ports_take(q, 1, 0), -1); /* the worker has it */
    node_ports_close(p);
    assert_true(connects(&first[0].address)); /* what was taken is not closed */
    assert_true(connects(&both[0].address));
    node_ports_close(q);
    assert_false(connects(&both[0].address)); /* what nobody took is */
    for (uint32_t w = 0; w < WORKERS; w++)
        close(fds[w]);
    conf_faults_fini(&faults);
}

static void test_every_fault_and_nothing_bound(void **state)
{
    (void)state;
    struct conf_faults faults = {0};
    uint16_t taken_port = free_port(), other = free_port();
    struct conf_listener holder = {.name = "x", .address = addr("127.0.0.1", taken_port)};
    struct conf held = {.listeners = &holder, .listener_count = 1};
    int admin = -1;
    struct node_ports *p = node_ports_open(NULL, &held, 1, &admin, &faults);
    assert_non_null(p);

    struct conf_listener list[] = {
        {.name = "free", .address = addr("127.0.0.1", other)},
        {.name = "taken", .address = addr("127.0.0.1", taken_port), .place = {3, 5}},
        {.name = "far", .address = addr("192.0.2.1", other), .place = {4, 5}},
    };
    struct conf next = {.listeners = list,
                        .listener_count = 3,
                        .admin = {.on = true, .address = addr("127.0.0.1", taken_port)}};
    assert_null(node_ports_open(NULL, &next, WORKERS, &admin, &faults));
    assert_int_equal(faults.errors, 3);
    assert_int_equal(faults.at[0].line, 3);
    assert_non_null(strstr(faults.at[0].message, "listeners[taken]"));
    assert_non_null(strstr(faults.at[1].message, "listeners[far]"));
    assert_non_null(strstr(faults.at[2].message, "admin"));
    assert_false(connects(&list[0].address));
    node_ports_close(p);
    conf_faults_fini(&faults);
}

/* ":80" and one address of that port are two listeners (conf/check.c). */
static void test_any_address_and_one_of_it(void **state)
{
    (void)state;
    struct conf_faults faults = {0};
    uint16_t port = free_port();
    struct conf_listener list[] = {{.name = "any", .address = addr("::", port)},
                                   {.name = "one", .address = addr("127.0.0.1", port)}};
    struct conf both = {.listeners = list, .listener_count = 2};
    struct conf any = {.listeners = list, .listener_count = 1};
    int admin = -1;
    struct node_ports *p = node_ports_open(NULL, &both, WORKERS, &admin, &faults);
    assert_non_null(p);
    node_ports_close(p);
    p = node_ports_open(NULL, &any, WORKERS, &admin, &faults);
    assert_non_null(p);
    struct node_ports *q = node_ports_open(p, &both, WORKERS, NULL, &faults);
    assert_non_null(q);
    node_ports_close(q);
    node_ports_close(p);
    conf_faults_fini(&faults);
}

static void test_admin(void **state)
{
    (void)state;
    struct conf_faults faults = {0};
    struct conf conf = {.admin = {.on = true, .address = addr("127.0.0.1", free_port())}};
    int admin = -1;
    struct node_ports *p = node_ports_open(NULL, &conf, WORKERS, &admin, &faults);
    assert_non_null(p);
    assert_true(admin >= 0);
    assert_true(connects(&conf.admin.address));
    close(admin);
    node_ports_close(p);
    node_ports_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bound_kept_closed),
                                       cmocka_unit_test(test_every_fault_and_nothing_bound),
                                       cmocka_unit_test(test_any_address_and_one_of_it),
                                       cmocka_unit_test(test_admin)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
