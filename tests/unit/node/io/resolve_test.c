#include "node/io/resolve_ev.h"

#include <netinet/in.h>
#include <stdatomic.h>

#include "tests/unit/node/io/fixture.h"

/* A name server in a thread: answers by the first label of the question. */
struct name_server {
    int fd;
    pthread_t thread;
    atomic_int asked, asked_flaky;
    char address[64];
};

static size_t put_u16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
    return 2;
}

/* name: a pointer to the question (0xc00c) or to an earlier record's data. */
static size_t put_record(uint8_t *p, unsigned name, unsigned type, unsigned ttl,
                         const void *data, size_t len)
{
    size_t at = put_u16(p, name);
    at += put_u16(p + at, type);
    at += put_u16(p + at, 1);
    at += put_u16(p + at, 0);
    at += put_u16(p + at, ttl);
    at += put_u16(p + at, (unsigned)len);
    memcpy(p + at, data, len);
    return at + len;
}

static void *serve(void *arg)
{
    struct name_server *s = arg;
    uint8_t p[1024];
    struct sockaddr_in from;
    for (;;) {
        socklen_t len = sizeof(from);
        ssize_t got = recvfrom(s->fd, p, 512, 0, (struct sockaddr *)&from, &len);
        if (got < 12 || p[12] == 4) { /* "stop" */
            if (got >= 17 && memcmp(p + 13, "stop", 4) == 0)
                return NULL;
            if (got < 12)
                continue;
        }
        size_t end = 12;
        while (p[end])
            end += p[end] + 1u;
        unsigned type = (unsigned)p[end + 1] << 8 | p[end + 2], answers = 0, rcode = 0;
        end += 5;
        const char *label = (const char *)p + 13;
        size_t at = end;
        atomic_fetch_add(&s->asked, 1);
        if (strncmp(label, "silent", 6) == 0)
            continue;
        if (strncmp(label, "gone", 4) == 0) {
            rcode = 3;
        } else if (strncmp(label, "flaky", 5) == 0 && type == 1 &&
                   atomic_fetch_add(&s->asked_flaky, 1) > 0) {
            rcode = 2;
        } else if (type == 1 && strncmp(label, "alias", 5) == 0) {
            at += put_record(p + at, 0xc00c, 5, 1,
                             "\x04real\x07"
                             "example",
                             14);
            at += put_record(p + at, (unsigned)(0xc000 | (at - 14)), 1, 60, "\x7f\0\0\x02", 4);
            answers = 2;
        } else if (type == 1) {
            for (; answers < (strncmp(label, "many", 4) == 0 ? 20 : 1); answers++) {
                uint8_t ip[4] = {127, 0, 0, (uint8_t)(1 + answers)};
                at += put_record(p + at, 0xc00c, 1, strncmp(label, "long", 4) ? 1 : 60, ip, 4);
            }
        }
        put_u16(p + 2, 0x8180 | rcode);
        put_u16(p + 6, answers);
        put_u16(p + 8, 0);
        put_u16(p + 10, 0);
        sendto(s->fd, p, at, 0, (struct sockaddr *)&from, len);
    }
}

static void server_start(struct name_server *s)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    *s = (struct name_server){.fd = socket(AF_INET, SOCK_DGRAM, 0)};
    assert_int_equal(bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&sa, &len), 0);
    snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", ntohs(sa.sin_port));
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct name_server *s)
{
    struct sockaddr_in sa;
    socklen_t len = sizeof(sa);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&sa, &len), 0);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    static const char stop[] = "............\x04stop";
    sendto(fd, stop, sizeof(stop), 0, (struct sockaddr *)&sa, len);
    close(fd);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

struct asked {
    struct io_resolve_wait wait;
    struct io_loop *loop;
    unsigned *open; /* the loop stops at 0 */
    enum err err;
    unsigned count, told;
    struct addr addrs[16];
};

static void on_resolved(struct io_resolve_wait *w, enum err e, const struct addr *addrs,
                        unsigned count)
{
    struct asked *a = CONTAINER_OF(w, struct asked, wait);
    a->told++;
    a->err = e;
    a->count = count;
    if (count)
        memcpy(a->addrs, addrs, count * sizeof(*addrs));
    if (a->open && --*a->open == 0)
        io_loop_stop(a->loop);
}

static struct fixture_loop f;
static struct io_resolver *resolver;
static struct name_server server;

static struct asked ask(const char *name)
{
    unsigned open = 1;
    struct asked a = {.loop = f.loop};
    if (!io_resolve(resolver, span_text(name), &a.wait, on_resolved)) {
        a.open = &open;
        fixture_loop_run(&f);
    }
    assert_int_equal(a.told, 1);
    return a;
}

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *why, *name;
        enum err err;
        unsigned count;
        uint8_t last; /* octet of the first address */
    } rows[] = {
        {"an address needs no server", "192.0.2.9", ERR_OK, 1, 9},
        {"IPv6 address", "::1", ERR_OK, 1, 0},
        {"A", "long.example", ERR_OK, 1, 1},
        {"case does not matter", "LONG.example", ERR_OK, 1, 1},
        {"CNAME", "alias.example", ERR_OK, 1, 2},
        {"no more than 16", "many.example", ERR_OK, 16, 1},
        {"NXDOMAIN", "gone.example", ERR_NOT_FOUND, 0, 0},
        {"silence", "silent.example", ERR_TIMEOUT, 0, 0},
        {"no name", "", ERR_LIMIT, 0, 0},
        {"the hosts file", "localhost", ERR_OK, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct asked a = ask(rows[i].name);
        if (a.err != rows[i].err || (rows[i].count && a.count != rows[i].count) ||
            (rows[i].last && a.addrs[0].ip[3] != rows[i].last))
            fail_msg("%s: %s %u", rows[i].why, err_text(a.err), a.count);
    }
}

static void pass_ms(int64_t ms)
{
    int64_t until_ms = f.loop->now_ms + ms;
    while (f.loop->now_ms < until_ms) {
        io_timer_set(&f.watchdog, until_ms);
        io_loop_run(f.loop);
    }
    f.late = false;
}

static void test_cached_by_ttl(void **state)
{
    (void)state;
    ask("long.example");
    ask("short.example");
    ask("gone.example");
    int before = atomic_load(&server.asked);
    int64_t asked_at_ms = f.loop->now_ms;
    ask("long.example");
    ask("short.example");
    ask("gone.example");                    /* a failure is remembered, too */
    if (f.loop->now_ms - asked_at_ms < 500) /* else this machine let a second pass */
        assert_int_equal(atomic_load(&server.asked), before);
    before = atomic_load(&server.asked);
    pass_ms(1100);
    ask("long.example");
    ask("gone.example");
    assert_int_equal(atomic_load(&server.asked), before);
    ask("short.example");
    assert_true(atomic_load(&server.asked) > before);
}

static void test_last_good_answer(void **state)
{
    (void)state;
    assert_int_equal(ask("flaky.example").err, ERR_OK);
    pass_ms(1100);
    struct asked a = ask("flaky.example"); /* the server fails now */
    assert_int_equal(a.err, ERR_OK);
    assert_int_equal(a.count, 1);
    assert_true(atomic_load(&server.asked_flaky) > 1);
    int before = atomic_load(&server.asked_flaky);
    assert_int_equal(ask("flaky.example").err, ERR_OK);
    assert_int_equal(atomic_load(&server.asked_flaky), before); /* not asked for 5 s */
}

/* Ten that wait for one name make one question; one that leaves is not told. */
static void test_waiting_together(void **state)
{
    (void)state;
    struct asked a[10];
    unsigned open = 9;
    int before = atomic_load(&server.asked);
    for (size_t i = 0; i < 10; i++) {
        a[i] = (struct asked){.loop = f.loop, .open = &open};
        assert_false(io_resolve(resolver, SPAN("together.example"), &a[i].wait, on_resolved));
    }
    io_resolve_cancel(&a[4].wait);
    io_resolve_cancel(&a[4].wait);
    fixture_loop_run(&f);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(a[i].told, i != 4);
    assert_int_equal(atomic_load(&server.asked) - before, 2); /* A and AAAA */
}

static int make(void **state)
{
    (void)state;
    server_start(&server);
    fixture_loop_init(&f);
    resolver = io_resolver_create(f.loop);
    io_resolver_use(resolver, server.address, 500);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    /* A question in flight ends with the resolver. */
    struct asked a = {.loop = f.loop};
    assert_false(io_resolve(resolver, SPAN("silent.of.old"), &a.wait, on_resolved));
    io_resolve_cancel(&a.wait);
    io_resolver_destroy(resolver);
    assert_int_equal(a.told, 0);
    fixture_loop_fini(&f);
    server_stop(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_cached_by_ttl),
        cmocka_unit_test(test_last_good_answer),
        cmocka_unit_test(test_waiting_together),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
