#include "node/io/link_ev.h"
#include "tests/unit/node/io/fake_node.h"

static struct fixture_loop f;
static struct io_resolver *resolver;
static struct io_links *links;
static struct io_tls_context *client_tls;
static struct fake_node server;
static unsigned waiting; /* requests that have not ended */

/* ---- this one */

struct asked {
    struct io_link *link;
    unsigned sending, responses, interims, ended, rooms;
    uint32_t trailers;
    uint16_t status;
    size_t body_bytes;
    enum io_link_failure why;
    bool reused, answered;
    size_t upload, uploaded;
    bool pause_once, cancel_at_body, cancel_at_response, cancel_at_sending;
    struct io_timer timer;
    const struct http_response *head;
    struct http_response kept;
};

static void gone(void)
{
    if (--waiting == 0)
        io_loop_stop(f.loop);
}

static void give(struct asked *a)
{
    static const char zeros[65536];
    while (a->upload > 0) {
        size_t n = a->upload < sizeof(zeros) ? a->upload : sizeof(zeros);
        size_t took = io_link_body(a->link, span_of(zeros, n));
        a->upload -= took;
        a->uploaded += took;
        if (took < n)
            return;
    }
    io_link_body_end(a->link, NULL);
}

static void on_sending(void *user)
{
    struct asked *a = user;
    a->sending++;
    if (a->cancel_at_sending) {
        io_link_cancel(a->link);
        gone();
    }
}

static void on_response(void *user, struct http_response *r, struct arena *arena)
{
    struct asked *a = user;
    (void)arena;
    assert_int_equal(a->sending, 1);
    if (r->status < 200) {
        a->interims++;
        return;
    }
    a->responses++;
    a->status = r->status;
    a->kept = *r;
    if (a->cancel_at_response) {
        io_link_cancel(a->link);
        gone();
    }
}

static void on_resume(struct io_timer *t)
{
    struct asked *a = CONTAINER_OF(t, struct asked, timer);
    assert_int_equal(a->ended, 0); /* not while it is paused */
    io_link_resume(a->link);
}

static void on_body(void *user, struct span bytes)
{
    struct asked *a = user;
    a->body_bytes += bytes.len;
    if (a->cancel_at_body) {
        io_link_cancel(a->link);
        gone();
        return;
    }
    if (a->pause_once) {
        a->pause_once = false;
        io_link_pause(a->link);
        io_timer_init(&a->timer, f.loop, on_resume);
        io_timer_set(&a->timer, f.loop->now_ms + 150);
    }
}

static void on_body_room(void *user)
{
    struct asked *a = user;
    a->rooms++;
    give(a);
}

static void on_ended(void *user, enum io_link_failure why, bool reused, bool answered,
                     const struct http_fields *trailers)
{
    struct asked *a = user;
    a->ended++;
    a->why = why;
    a->reused = reused;
    a->answered = answered;
    a->trailers = trailers ? trailers->count : 0;
    if (a->responses) /* fields live until now */
        for (uint32_t i = 0; i < a->kept.fields.count; i++)
            assert_true(a->kept.fields.at[i].name.len > 0 &&
                        a->kept.fields.at[i].name.ptr[0] >= 'a');
    gone();
}

static const struct io_link_functions functions = {on_sending, on_response, on_body,
                                                   on_body_room, on_ended};

static struct io_link_target target_of(const struct fake_node *s)
{
    return (struct io_link_target){
        .host = SPAN("127.0.0.1"),
        .port = s->address.port,
        .tls = client_tls,
        .server_name = SPAN("node-b"),
        .h2 = true,
        .connect_ms = 5000,
        .first_byte_ms = 10000,
        .idle_ms = 10000,
        .keepalive_ms = 5000,
    };
}

static void start(struct asked *a, const struct io_link_target *t, const char *path,
                  int64_t body_bytes)
{
    struct http_request r = {
        .method = body_bytes ? HTTP_POST : HTTP_GET,
        .version = HTTP_2,
        .method_text = body_bytes ? SPAN("POST") : SPAN("GET"),
        .scheme = SPAN("https"),
        .authority = SPAN("node-b"),
        .target = span_text(path),
        .body_bytes = body_bytes,
    };
    waiting++;
    a->link = io_link_start(links, t, &r, &functions, a);
    assert_non_null(a->link);
    assert_int_equal(a->sending + a->ended, 0); /* nothing from inside */
}

static void run(struct asked *a, const struct io_link_target *t, const char *path)
{
    start(a, t, path, 0);
    fixture_loop_run(&f);
    assert_int_equal(waiting, 0);
}

static void stop_loop(struct io_timer *t)
{
    io_loop_stop(t->loop);
}

static void pass(int64_t ms)
{
    struct io_timer t;
    io_timer_init(&t, f.loop, stop_loop);
    io_timer_set(&t, f.loop->now_ms + ms);
    fixture_loop_run(&f);
    io_timer_stop(&t);
}

static unsigned open_visits(void)
{
    unsigned count = 0;
    for (struct fake_visit *v = server.visits; v; v = v->next)
        count += !v->closed;
    return count;
}

/* Until the other side sees `count` connections; the fixture's watchdog bounds it. */
static void pass_until_open(unsigned count)
{
    for (int i = 0; i < 500 && open_visits() != count; i++)
        pass(10);
    assert_int_equal(open_visits(), count);
}

static int setup(void **state)
{
    (void)state;
    struct io_secrets *secrets = secrets_of(7);
    fixture_loop_init(&f);
    resolver = io_resolver_create(f.loop);
    links = io_links_create(f.loop, resolver);
    client_tls = io_tls_peer_client_create(secrets, "node-a");
    io_secrets_drop(secrets);
    fake_node_start(&server, f.loop, "node-b", 7);
    waiting = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    io_links_destroy(links);
    pass(1);
    fake_node_stop(&server);
    io_tls_context_drop(client_tls);
    io_resolver_destroy(resolver);
    fixture_loop_fini(&f);
    return 0;
}

static void test_many_share_a_connection(void **state)
{
    (void)state;
    struct io_link_target t = target_of(&server);
    struct asked a[40] = {0};
    for (int i = 0; i < 40; i++)
        start(&a[i], &t, i % 4 ? "/x" : "/big", 0);
    fixture_loop_run(&f);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(a[i].why, IO_LINK_OK);
        assert_int_equal(a[i].status, 200);
        assert_int_equal(a[i].body_bytes, i % 4 ? 5 : 3 << 20);
        assert_int_equal(a[i].ended, 1);
    }
    assert_int_equal(server.accepted, 1);
    assert_string_equal(server.last_peer, "node-a");
    struct asked b = {0};
    run(&b, &t, "/x");
    assert_true(b.reused);
    assert_int_equal(server.accepted, 1);
}

static void test_more_than_its_streams_take_another(void **state)
{
    (void)state;
    struct io_link_target t = target_of(&server);
    static struct asked a[250];
    memset(a, 0, sizeof(a));
    server.streams_max = 100;
    struct asked first = {0};
    run(&first, &t, "/x"); /* its settings are known now */
    for (int i = 0; i < 250; i++)
        start(&a[i], &t, "/x", 0);
    fixture_loop_run(&f);
    for (int i = 0; i < 250; i++)
        assert_int_equal(a[i].why, IO_LINK_OK);
    assert_true(server.accepted == 3);
}

static void test_answers_of_all_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum io_link_failure why;
        uint16_t status;
        size_t bytes;
        unsigned interims;
        uint32_t trailers;
        bool answered;
    } rows[] = {
        {"/x", IO_LINK_OK, 200, 5, 0, 0, true},
        {"/trailers", IO_LINK_OK, 200, 5, 1, 1, true},
        {"/no", IO_LINK_OK, 413, 0, 0, 0, true},
        {"/reset", IO_LINK_CLOSED, 0, 0, 0, 0, false},
        {"/cut", IO_LINK_CUT, 200, 5, 0, 0, true},
        {"/close", IO_LINK_CLOSED, 0, 0, 0, 0, false},
        {"/silent", IO_LINK_FIRST_BYTE_TIMEOUT, 0, 0, 0, 0, false},
        {"/stuck", IO_LINK_IDLE_TIMEOUT, 200, 0, 0, 0, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct io_link_target t = target_of(&server);
        struct asked a = {0};
        if (rows[i].why == IO_LINK_FIRST_BYTE_TIMEOUT || rows[i].why == IO_LINK_IDLE_TIMEOUT)
            t.first_byte_ms = t.idle_ms = 200;
        run(&a, &t, rows[i].path);
        if (rows[i].why != a.why || rows[i].status != a.status)
            fail_msg("%s: %d, status %u", rows[i].path, a.why, a.status);
        assert_int_equal(a.interims, rows[i].interims);
        assert_int_equal(a.trailers, rows[i].trailers);
        assert_int_equal(a.answered, rows[i].answered);
        if (rows[i].why == IO_LINK_OK)
            assert_int_equal(a.body_bytes, rows[i].bytes);
    }
}

static void test_bodies(void **state)
{
    (void)state;
    struct io_link_target t = target_of(&server);
    struct asked counted = {.upload = 1 << 20}, unknown = {.upload = 900000};
    start(&counted, &t, "/echo", 1 << 20);
    give(&counted);
    start(&unknown, &t, "/echo", HTTP_LENGTH_UNKNOWN);
    give(&unknown);
    fixture_loop_run(&f);
    assert_int_equal(counted.why, IO_LINK_OK);
    assert_int_equal(counted.body_bytes, 1 << 20);
    assert_int_equal(unknown.why, IO_LINK_OK);
    assert_int_equal(unknown.body_bytes, 900000);
    assert_true(counted.rooms > 0);
    /* Refused before it was sent: the rest is dropped, and the connection goes on. */
    struct asked refused = {.upload = 100 << 20}, after = {0};
    start(&refused, &t, "/no", 100 << 20);
    give(&refused);
    fixture_loop_run(&f);
    assert_int_equal(refused.why, IO_LINK_OK);
    assert_int_equal(refused.status, 413);
    run(&after, &t, "/x");
    assert_int_equal(after.why, IO_LINK_OK);
    assert_int_equal(server.accepted, 1);
    /* Less than was declared. */
    struct asked less = {.upload = 10};
    start(&less, &t, "/echo", 20);
    give(&less);
    fixture_loop_run(&f);
    assert_int_not_equal(less.why, IO_LINK_OK);
}

static void test_paused_keeps_the_rest_and_the_end(void **state)
{
    (void)state;
    static const char *const paths[] = {"/x", "/big", "/trailers"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct io_link_target t = target_of(&server);
        struct asked a = {.pause_once = true}, other = {0};
        start(&a, &t, paths[i], 0);
        start(&other, &t, "/big", 0); /* is not held up */
        fixture_loop_run(&f);
        assert_int_equal(a.why, IO_LINK_OK);
        assert_int_equal(a.body_bytes, i == 1 ? 3 << 20 : 5);
        assert_int_equal(other.body_bytes, 3 << 20);
    }
}

static void test_cancelled_at_any_moment(void **state)
{
    (void)state;
    struct io_link_target t = target_of(&server);
    struct asked at_once = {0}, sending = {.cancel_at_sending = true},
                 head = {.cancel_at_response = true}, body = {.cancel_at_body = true},
                 whole = {0};
    start(&at_once, &t, "/x", 0);
    start(&sending, &t, "/x", 0);
    start(&head, &t, "/x", 0);
    start(&body, &t, "/big", 0);
    start(&whole, &t, "/big", 0);
    io_link_cancel(at_once.link);
    waiting--;
    fixture_loop_run(&f);
    assert_int_equal(at_once.sending + at_once.ended, 0);
    assert_int_equal(head.ended + body.ended + sending.ended, 0);
    assert_int_equal(whole.why, IO_LINK_OK);
    assert_int_equal(whole.body_bytes, 3 << 20);
    assert_int_equal(server.accepted, 1);
    /* All that waited for a connection is cancelled: nothing is left of it. */
    struct asked b = {0};
    t.fresh = true;
    start(&b, &t, "/x", 0);
    io_link_cancel(b.link);
    waiting--;
    io_links_drop_idle(links);
    pass_until_open(0);
}

static void test_without_the_secret(void **state)
{
    (void)state;
    struct io_secrets *other = secrets_of(8);
    struct io_tls_context *tls = io_tls_peer_client_create(other, "node-a");
    struct io_link_target t = target_of(&server);
    struct asked a = {0}, b = {0};
    t.tls = tls;
    run(&a, &t, "/x");
    assert_int_equal(a.why, IO_LINK_TLS);
    assert_int_equal(a.sending, 0);
    t.tls = client_tls;
    t.server_name = SPAN("node-c"); /* somebody else answers */
    run(&b, &t, "/x");
    assert_int_equal(b.why, IO_LINK_TLS);
    assert_int_equal(server.heads, 0);
    io_tls_context_drop(tls);
    io_secrets_drop(other);
}

static void test_nobody_there(void **state)
{
    (void)state;
    struct io_link_target t = target_of(&server);
    struct asked refused = {0}, nothing = {0};
    io_listen_stop(server.listener);
    close(server.fd);
    run(&refused, &t, "/x");
    assert_int_equal(refused.why, IO_LINK_CONNECT);
    /* A socket whose queue nobody empties. */
    fake_node_listen(&server);
    t.port = server.address.port;
    t.connect_ms = 200;
    run(&nothing, &t, "/x");
    assert_int_equal(nothing.why, IO_LINK_CONNECT_TIMEOUT);
    server.listener = io_listen_start(f.loop, server.fd, on_accepted, &server);
}

/* A connection whose other side fell silent is not used by the next request. */
static void test_silent_connection_is_left(void **state)
{
    (void)state;
    struct io_link_target t = target_of(&server);
    struct asked first = {0}, lost = {0}, after = {0};
    run(&first, &t, "/x");
    server.mood = FAKE_SILENT;
    t.first_byte_ms = 200;
    run(&lost, &t, "/x");
    assert_int_equal(lost.why, IO_LINK_FIRST_BYTE_TIMEOUT);
    server.mood = FAKE_BY_PATH;
    run(&after, &t, "/x");
    assert_int_equal(after.why, IO_LINK_OK);
    assert_int_equal(server.accepted, 2);
    pass_until_open(1);
}

static void test_goaway(void **state)
{
    (void)state;
    struct io_link_target t = target_of(&server);
    struct asked a = {0}, b = {0};
    server.goaway = true;
    run(&a, &t, "/x");
    assert_int_equal(a.why, IO_LINK_OK);
    pass_until_open(0);
    server.goaway = false;
    struct asked c = {0};
    run(&c, &t, "/x"); /* and one that is told while it is idle */
    for (struct fake_visit *v = server.visits; v; v = v->next)
        if (!v->closed) {
            http_h2_goaway(v->core);
            io_stream_kick(v->stream);
        }
    pass_until_open(0);
    run(&b, &t, "/x");
    assert_int_equal(b.why, IO_LINK_OK);
    assert_int_equal(server.accepted, 3);
}

static void test_kept_for_a_while(void **state)
{
    (void)state;
    struct io_link_target t = target_of(&server);
    struct asked a = {0}, b = {0}, c = {0};
    t.keepalive_ms = 150;
    run(&a, &t, "/x");
    assert_int_equal(open_visits(), 1);
    pass_until_open(0);
    t.keepalive_ms = 60000;
    run(&b, &t, "/x");
    assert_int_equal(open_visits(), 1);
    io_links_drop_idle(links);
    pass_until_open(0);
    t.fresh = true;
    run(&c, &t, "/x");
    assert_int_equal(c.why, IO_LINK_OK);
    assert_false(c.reused);
    assert_int_equal(server.accepted, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_many_share_a_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_than_its_streams_take_another, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_answers_of_all_kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bodies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paused_keeps_the_rest_and_the_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_cancelled_at_any_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_the_secret, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silent_connection_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_goaway, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept_for_a_while, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
