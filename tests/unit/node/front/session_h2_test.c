/* HTTP/2 sessions in clear text over socket pairs, with exchanges that do as told and the
 * client end of base/http/h2.h. */
#include "tests/unit/node/front/fake_exchange.h"

#include <errno.h>

#include "base/counter.h"
#include "base/http/h2.h"
#include "node/front/session_h2.h"

#define WINDOW_BYTES ((size_t)256 * 1024) /* of a stream, as the session announces */

static struct world w;

/* ---- a session without TLS, which session.c would not make HTTP/2 */

static void on_ready(void *core)
{
    struct front_session *s = core;
    s->protocol = &front_session_h2;
    s->protocol->open(s);
}

static size_t on_input(void *core, struct span bytes)
{
    return front_session_h2.input(core, bytes);
}

static void on_input_end(void *core)
{
    front_session_h2.input_end(core);
}

static size_t on_output(void *core, struct span *out, size_t max, char *scratch, size_t room)
{
    struct front_session *s = core;
    size_t count = front_session_h2.output(s, out, max, scratch, room);
    if (count > 0)
        s->untaken_bytes = 0;
    return count;
}

static void on_closed(void *core, enum err why)
{
    struct front_session *s = core;
    (void)why;
    front_session_h2.close(s);
    io_timer_stop(&s->timer);
    io_stream_destroy(s->stream);
    w.front.session_count--;
    w.front.sessions = NULL;
    free(s);
}

static const struct io_stream_core core = {.ready = on_ready,
                                           .input = on_input,
                                           .input_end = on_input_end,
                                           .output = on_output,
                                           .closed = on_closed};

static void on_timer(struct io_timer *t)
{
    front_session_h2.timeout(CONTAINER_OF(t, struct front_session, timer));
}

/* ---- the client */

static struct client {
    struct http_h2 *h;
    int fd;
    bool hold;  /* gives no credit */
    bool quiet; /* does not even read */
    bool over;  /* the session closed the connection */
    char log[1 << 16];
    size_t log_len;
    size_t got, sent, send_bytes, send_until;
    int32_t held_stream;
} client;

static void note(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void note(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n =
        vsnprintf(client.log + client.log_len, sizeof(client.log) - client.log_len, fmt, ap);
    va_end(ap);
    must(n >= 0 && (size_t)n < sizeof(client.log) - client.log_len);
    client.log_len += (size_t)n;
}

static void got_response(void *user, int32_t id, struct http_response *r, struct arena *a,
                         bool ended)
{
    (void)user, (void)a;
    note("[%d %u%s", id, r->status, ended ? " ended" : "");
}

static void got_body(void *user, int32_t id, struct span bytes)
{
    (void)user;
    client.got += bytes.len;
    if (!client.hold && id != client.held_stream)
        http_h2_consumed(client.h, id, bytes.len);
}

static void got_trailers(void *user, int32_t id, const struct http_fields *f)
{
    (void)user, (void)id;
    note(" %.*s=%.*s", SPAN_ARG(f->at[0].name), SPAN_ARG(f->at[0].value));
}

static void got_end(void *user, int32_t id)
{
    (void)user, (void)id;
    note(" end");
}

static void got_close(void *user, int32_t id, uint32_t error)
{
    (void)user;
    note(" %d:%u]", id, error);
}

static enum err give_body(void *user, int32_t id, char *out, size_t room, size_t *out_len,
                          struct http_fields *out_trailers)
{
    static struct http_field line;
    (void)user, (void)id;
    size_t n = client.send_until - client.sent;
    n = n < room ? n : room;
    memset(out, 'u', n);
    client.sent += n;
    *out_len = n;
    if (client.sent == client.send_bytes) {
        line = (struct http_field){.name = SPAN("x-up"), .value = SPAN("1")};
        *out_trailers = (struct http_fields){.at = &line, .count = 1};
        return ERR_CLOSED;
    }
    return n > 0 ? ERR_OK : ERR_AGAIN;
}

static const struct http_h2_functions functions = {.response = got_response,
                                                   .body = got_body,
                                                   .trailers = got_trailers,
                                                   .body_end = got_end,
                                                   .stream_close = got_close,
                                                   .read_body = give_body};

static void send_raw(const char *bytes, size_t len)
{
    for (size_t at = 0; at < len && !client.over;) {
        ssize_t n = send(client.fd, bytes + at, len - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            client.over = true;
        else if (n > 0)
            at += (size_t)n;
        else
            world_turn(&w);
    }
}

/* One round of everything. */
static void turn(void)
{
    static char room[65536];
    size_t n;
    ssize_t heard = -1;
    while (client.h && (n = http_h2_output(client.h, room, sizeof(room))) > 0)
        send_raw(room, n);
    world_turn(&w);
    while (!client.over && !client.quiet &&
           (heard = recv(client.fd, room, sizeof(room), 0)) > 0) {
        enum err e =
            client.h ? http_h2_feed(client.h, span_of(room, (size_t)heard), 1) : ERR_OK;
        must(e == ERR_OK || e == ERR_CLOSED);
    }
    if (!client.quiet && (heard == 0 || (heard < 0 && errno != EAGAIN)))
        client.over = true;
}

#define UNTIL(condition)                                                                       \
    do {                                                                                       \
        for (int64_t late_ = world_deadline(&w); !(condition); turn())                         \
            if (w.f.loop->now_ms > late_)                                                      \
                fail_msg("never came: %s; log %s; client %s", #condition, fake.log,            \
                         client.log);                                                          \
    } while (0)

static void run_ms(int64_t ms)
{
    for (int64_t until = w.f.loop->now_ms + ms; w.f.loop->now_ms < until;)
        turn();
}

static int set_up(void **state)
{
    static const struct addr peer = {.family = ADDR_V4, .ip = {192, 0, 2, 1}};
    struct front_session *s = must_alloc(sizeof(*s));
    int fd[2], bytes = 65536;
    (void)state;
    world_init(&w);
    memset(&client, 0, sizeof(client));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd), 0);
    setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    client.fd = fd[1];
    client.h = http_h2_create(HTTP_CLIENT, &http_h2_conf_default, &functions, NULL);
    *s = (struct front_session){.front = &w.front,
                                .setup = &w.setup,
                                .client = {.peer = peer, .tls = true, .listener = &w.listener}};
    s->stream = io_stream_accept(w.f.loop, fd[0], NULL, &core, s);
    s->accepted_at_ms = w.f.loop->now_ms;
    io_timer_init(&s->timer, w.f.loop, on_timer);
    w.front.sessions = s;
    w.front.session_count = 1;
    return 0;
}

static void hang_up(void)
{
    if (client.fd >= 0)
        close(client.fd);
    client.fd = -1;
    client.over = true;
}

static int tear_down(void **state)
{
    (void)state;
    hang_up();
    WORLD_UNTIL(&w, w.front.session_count == 0);
    http_h2_destroy(client.h);
    world_fini(&w);
    return 0;
}

static int32_t ask(const char *method, int64_t body_bytes)
{
    int32_t id = 0;
    struct http_request r = {.method_text = span_text(method),
                             .scheme = SPAN("http"),
                             .authority = SPAN("a.example"),
                             .target = SPAN("/x"),
                             .body_bytes = body_bytes};
    if (body_bytes > 0) {
        client.sent = 0;
        client.send_bytes = (size_t)body_bytes;
        client.send_until = client.send_bytes;
    }
    assert_int_equal(http_h2_request(client.h, &r, body_bytes != 0, &id), ERR_OK);
    return id;
}

static void check(const char *why, const char *log, const char *heard)
{
    if (log && strcmp(fake.log, log) != 0)
        fail_msg("%s:\n log %s\nwant %s\nclient %s", why, fake.log, log, client.log);
    if (heard && strcmp(client.log, heard) != 0)
        fail_msg("%s:\nclient %s\nwant %s\n log %s", why, client.log, heard, fake.log);
}

static void forget(void)
{
    fake.log_len = client.log_len = 0;
    fake.log[0] = client.log[0] = 0;
}

/* ---- */

static void test_answers(void **state)
{
    (void)state;
    struct http_field line = {.name = SPAN("x-sum"), .value = SPAN("1")};
    const struct http_fields trailers = {.at = &line, .count = 1};
    ask("GET", 0);
    UNTIL(strchr(client.log, ']'));
    check("plain", "[GET https://a.example/x whole]", "[1 200 end 1:0]");
    assert_int_equal(client.got, 2);
    forget();
    fake.response.body_absent = true;
    ask("HEAD", 0);
    UNTIL(strchr(client.log, ']'));
    check("HEAD", "[HEAD https://a.example/x whole]", "[3 200 ended 3:0]");
    forget();
    fake.response = (struct http_response){.status = 200, .body_bytes = HTTP_LENGTH_UNKNOWN};
    fake.pieces[0] = (struct span){0};
    fake.pieces[1] = SPAN("one");
    fake.pieces[2] = (struct span){0};
    fake.pieces[3] = SPAN("");
    fake.trailers = &trailers;
    ask("GET", 0);
    UNTIL(strstr(client.log, "[5"));
    fake_ready();
    UNTIL(client.got == 5);
    fake_ready();
    UNTIL(strchr(client.log, ']'));
    check("in steps", "[GET https://a.example/x whole]", "[5 200 x-sum=1 end 5:0]");
}

static void test_many(void **state)
{
    (void)state;
    static char body[100000];
    fake.pieces[0] = span_of(body, sizeof(body));
    fake.response.body_bytes = sizeof(body);
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 100; j++)
            ask("GET", 0);
        UNTIL(fake.opened == (unsigned)(i + 1) * 100 && fake.open == 0);
    }
    UNTIL(client.got == 300 * sizeof(body));
    assert_null(strstr(fake.log, "cut"));
}

static void test_broken_answers(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int64_t declared;
        enum err end;
    } rows[] = {
        {"too short", 5, ERR_OK},
        {"too long", 2, ERR_OK},
        {"broken", 5, ERR_CORRUPT},
        {"broken without length", HTTP_LENGTH_UNKNOWN, ERR_TIMEOUT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fake.pieces[0] = SPAN("abc");
        fake.end = rows[i].end;
        fake.response.body_bytes = rows[i].declared;
        fake.response.length_declared = rows[i].declared >= 0;
        forget();
        int32_t id = ask("GET", 0);
        char want[64];
        snprintf(want, sizeof(want), " %d:2]", id);
        UNTIL(strstr(client.log, want));
        check(rows[i].why, "[GET https://a.example/x cut]", NULL);
        assert_null(strstr(client.log, "end"));
    }
    assert_false(client.over);
}

/* ---- bodies of requests */

static void test_body(void **state)
{
    (void)state;
    fake.answer_at_end = true;
    ask("POST", 1000000);
    UNTIL(strchr(client.log, ']'));
    check("all", "[POST https://a.example/x body end x-up=1 whole]", "[1 200 end 1:0]");
    assert_int_equal(buf_len(&fake.received), 1000000);
}

/* What the exchange does not take stays with the client, but for one window. */
static void test_body_in_steps(void **state)
{
    (void)state;
    fake.answer_at_end = true;
    fake.take_max = 1000;
    ask("POST", 1000000);
    UNTIL(client.sent == WINDOW_BYTES);
    run_ms(50);
    assert_int_equal(buf_len(&fake.received), 1000);
    assert_int_equal(client.sent, WINDOW_BYTES);
    for (size_t took = 1000; took < 1000000; took += 99000) {
        UNTIL(buf_len(&fake.received) == took);
        fake_more(99000);
    }
    UNTIL(strchr(client.log, ']'));
    check("all", "[POST https://a.example/x body end x-up=1 whole]", "[1 200 end 1:0]");
    assert_int_equal(buf_len(&fake.received), 1000000);
}

static void test_body_wanted_late(void **state)
{
    (void)state;
    fake.wants = false;
    fake.answer_later = fake.answer_at_end = true;
    ask("POST", 1000000);
    UNTIL(client.sent == WINDOW_BYTES);
    run_ms(50);
    assert_int_equal(client.sent, WINDOW_BYTES);
    fake_want();
    UNTIL(strchr(client.log, ']'));
    assert_int_equal(buf_len(&fake.received), 1000000);
}

/* A body nobody wants is thrown away and credited, also what had come before the answer. */
static void test_unwanted_body(void **state)
{
    (void)state;
    fake.wants = false;
    fake.answer_later = true;
    fake.pieces[1] = (struct span){0};
    fake.pieces[2] = SPAN("!");
    fake.pieces[3] = SPAN("");
    fake.response.body_bytes = 3;
    fake.response.status = 404;
    ask("POST", 3000000);
    UNTIL(client.sent == WINDOW_BYTES);
    fake_answer();
    UNTIL(client.sent == 3000000);
    run_ms(20);
    fake_ready();
    UNTIL(strchr(client.log, ']'));
    check("dropped", "[POST https://a.example/x body whole]", "[1 404 end 1:0]");
    /* The answer is whole before the body: RFC 9113 8.1 */
    forget();
    fake.answer_later = false;
    fake.pieces[1] = SPAN("!");
    fake.pieces[2] = SPAN("");
    ask("POST", 3000000);
    UNTIL(strchr(client.log, ']'));
    check("cut short", "[POST https://a.example/x body whole]", "[3 404 end 3:0]");
}

static void test_continue(void **state)
{
    (void)state;
    int32_t id;
    struct http_field line = {
        .name = SPAN("expect"), .value = SPAN("100-continue"), .id = HTTP_NAME_EXPECT};
    struct http_request r = {.method_text = SPAN("POST"),
                             .scheme = SPAN("https"),
                             .authority = SPAN("a.example"),
                             .target = SPAN("/x"),
                             .fields = {.at = &line, .count = 1},
                             .body_bytes = 10};
    fake.answer_at_end = true;
    client.send_bytes = 10;
    assert_int_equal(http_h2_request(client.h, &r, true, &id), ERR_OK);
    UNTIL(strcmp(client.log, "[1 100") == 0);
    client.send_until = 10;
    http_h2_body_ready(client.h, id);
    UNTIL(strchr(client.log, ']'));
    check("went on", "[POST https://a.example/x body end x-up=1 whole]",
          "[1 100[1 200 end 1:0]");
    forget();
    fake.wants = false;
    client.sent = client.send_until = 0;
    assert_int_equal(http_h2_request(client.h, &r, true, &id), ERR_OK);
    UNTIL(strchr(client.log, ']'));
    check("answered instead", "[POST https://a.example/x body whole]", "[3 200 end 3:0]");
}

static void test_interim(void **state)
{
    (void)state;
    struct http_response early = {.status = 103};
    fake.answer_later = true;
    ask("GET", 0);
    UNTIL(fake.open == 1);
    fake.x->functions->interim(fake.x->user, &early);
    UNTIL(strstr(client.log, "103"));
    fake_answer();
    fake.x->functions->interim(fake.x->user, &early); /* too late */
    UNTIL(strchr(client.log, ']'));
    check("interim", NULL, "[1 103[1 200 end 1:0]");
}

/* ---- ends */

static void test_resets(void **state)
{
    (void)state;
    fake.answer_later = true;
    int32_t id = ask("GET", 0);
    UNTIL(fake.open == 1);
    http_h2_reset(client.h, id, HTTP_H2_CANCEL);
    UNTIL(fake.open == 0);
    check("by the client", "[GET https://a.example/x cut]", NULL);
    forget();
    fake.no_memory = true;
    id = ask("GET", 0);
    UNTIL(strchr(client.log, ']'));
    check("no memory", "", " 3:7]");
    fake.no_memory = false;
    ask("GET", 0);
    UNTIL(fake.open == 1);
    hang_up();
    UNTIL(fake.open == 0);
    check("gone", "[GET https://a.example/x cut]", NULL);
}

static void test_half_close(void **state)
{
    (void)state;
    fake.answer_later = true;
    ask("GET", 0);
    UNTIL(fake.open == 1);
    shutdown(client.fd, SHUT_WR);
    UNTIL(w.front.session_count == 0);
    check("gone", "[GET https://a.example/x cut]", NULL);
}

static void test_refused(void **state)
{
    (void)state;
    uint64_t bad = counter_sum(COUNTER_BAD_REQUESTS), four = counter_sum(COUNTER_RESPONSES_4XX);
    struct http_request r = {.method_text = SPAN("GET"),
                             .scheme = SPAN("https"),
                             .authority = SPAN("a.example"),
                             .target = SPAN("/a#b")};
    int32_t id;
    assert_int_equal(http_h2_request(client.h, &r, false, &id), ERR_OK);
    UNTIL(strchr(client.log, ']'));
    assert_int_equal(fake.opened, 0);
    assert_int_equal(counter_sum(COUNTER_BAD_REQUESTS), bad + 1);
    assert_int_equal(counter_sum(COUNTER_RESPONSES_4XX), four + 1);
}

static void test_drain(void **state)
{
    (void)state;
    fake.answer_later = true;
    ask("GET", 0);
    UNTIL(fake.open == 1);
    w.front.draining = true;
    front_session_h2.drain(w.front.sessions);
    UNTIL(!http_h2_may_request(client.h));
    assert_int_equal(w.front.session_count, 1);
    fake_answer();
    UNTIL(client.over);
    check("answered", "[GET https://a.example/x whole]", "[1 200 end 1:0]");
}

/* ---- times */

static void test_no_request(void **state)
{
    (void)state;
    w.conf.limits.header_ms = 100;
    front_session_wait(w.front.sessions, 100);
    int64_t from = w.f.loop->now_ms;
    UNTIL(client.over);
    assert_true(w.f.loop->now_ms - from >= 100);
}

static void test_keepalive(void **state)
{
    (void)state;
    w.conf.limits.keepalive_ms = 150;
    ask("GET", 0);
    UNTIL(strchr(client.log, ']'));
    int64_t from = w.f.loop->now_ms;
    UNTIL(client.over);
    assert_true(w.f.loop->now_ms - from >= 130);
    assert_false(http_h2_may_request(client.h)); /* GOAWAY came */
    assert_null(http_h2_end_reason(client.h));
}

static void test_half_a_head(void **state)
{
    (void)state;
    static const char half[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
                               "\0\0\1\1\1\0\0\0\1\x82";
    w.conf.limits.header_ms = 150;
    uint64_t calm = counter_sum(COUNTER_H2_CALM);
    http_h2_destroy(client.h);
    client.h = NULL;
    send_raw(half, sizeof(half) - 1);
    UNTIL(client.over);
    UNTIL(w.front.session_count == 0);
    assert_int_equal(counter_sum(COUNTER_H2_CALM), calm + 1);
}

static void test_body_stops(void **state)
{
    (void)state;
    w.conf.limits.body_idle_ms = 150;
    fake.answer_at_end = true;
    ask("POST", 1000);
    client.send_until = 500;
    UNTIL(strchr(client.log, ']'));
    check("stopped", "[POST https://a.example/x body cut]", " 1:8]");
    assert_false(client.over);
    /* The exchange does not take it: its own fault. */
    forget();
    fake.take_max = 1;
    ask("POST", 1000);
    run_ms(500);
    check("waits", "[POST https://a.example/x body", "");
}

/* Neither window nor word: the connection ends, and the exchange with it. */
static void test_no_window(void **state)
{
    (void)state;
    static char body[400000];
    w.conf.limits.body_idle_ms = 200;
    fake.pieces[0] = span_of(body, sizeof(body));
    fake.response.body_bytes = sizeof(body);
    client.hold = true;
    ask("GET", 0);
    UNTIL(client.over);
    UNTIL(w.front.session_count == 0);
    check("stalled", "[GET https://a.example/x cut]", NULL);
}

/* One stream that does not flow while others do is reset alone. */
static void test_one_stalled_stream(void **state)
{
    (void)state;
    static char body[400000];
    w.conf.limits.body_idle_ms = 3000; /* longer than a busy machine forgets this test */
    fake.pieces[0] = span_of(body, sizeof(body));
    fake.response.body_bytes = sizeof(body);
    client.held_stream = 1;
    ask("GET", 0);
    for (int64_t late = world_deadline(&w); !strstr(client.log, " 1:8]");) {
        if (client.over || w.f.loop->now_ms > late)
            fail_msg("over %d; log %s; client %s", client.over, fake.log, client.log);
        if (http_h2_streams(client.h) < 2)
            ask("GET", 0);
        run_ms(10);
    }
    assert_false(client.over);
    UNTIL(fake.open == 0);
}

/* The socket itself is not read. */
static void test_quiet_reader(void **state)
{
    (void)state;
    static char body[400000];
    w.conf.limits.body_idle_ms = 150;
    fake.pieces[0] = span_of(body, sizeof(body));
    fake.response.body_bytes = sizeof(body);
    ask("GET", 0);
    ask("GET", 0);
    UNTIL(fake.open == 2);
    client.quiet = true;
    UNTIL(w.front.session_count == 0);
    assert_int_equal(fake.open, 0);
}

/* Waiting for the exchange is nobody's fault. */
static void test_slow_exchange(void **state)
{
    (void)state;
    w.conf.limits.body_idle_ms = 500;
    w.conf.limits.header_ms = 500;
    w.conf.limits.keepalive_ms = 500;
    fake.response.body_bytes = 3;
    fake.pieces[0] = SPAN("a");
    fake.pieces[1] = (struct span){0};
    fake.pieces[2] = SPAN("bc");
    fake.pieces[3] = SPAN("");
    fake.answer_later = true;
    ask("GET", 0);
    run_ms(1200);
    fake_answer();
    run_ms(1200);
    fake_ready();
    UNTIL(strchr(client.log, ']'));
    check("slow", "[GET https://a.example/x whole]", "[1 200 end 1:0]");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_answers),
        TEST(test_many),
        TEST(test_broken_answers),
        TEST(test_body),
        TEST(test_body_in_steps),
        TEST(test_body_wanted_late),
        TEST(test_unwanted_body),
        TEST(test_continue),
        TEST(test_interim),
        TEST(test_resets),
        TEST(test_half_close),
        TEST(test_refused),
        TEST(test_drain),
        TEST(test_no_request),
        TEST(test_keepalive),
        TEST(test_half_a_head),
        TEST(test_body_stops),
        TEST(test_no_window),
        TEST(test_one_stalled_stream),
        TEST(test_quiet_reader),
        TEST(test_slow_exchange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
