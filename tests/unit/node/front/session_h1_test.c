/* HTTP/1.1 sessions over socket pairs, with exchanges that do as told. */
#include "tests/unit/node/front/fake_exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>

static struct world w;
static char got[1 << 20];
static size_t got_len;
static int client = -1;

static int set_up(void **state)
{
    (void)state;
    world_init(&w);
    return 0;
}

static void hang_up(void)
{
    if (client >= 0)
        close(client);
    client = -1;
}

static int tear_down(void **state)
{
    (void)state;
    hang_up();
    world_fini(&w);
    return 0;
}

/* type SOCK_SEQPACKET: what we send in one call comes in one piece. */
static void connect_by(int type)
{
    static const struct addr peer = {.family = ADDR_V4, .ip = {192, 0, 2, 1}};
    int fd[2];
    hang_up();
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd), 0);
    client = fd[1];
    got_len = 0;
    front_session_accept(&w.front, fd[0], &peer, &w.listener);
}

static void connect_now(void)
{
    connect_by(SOCK_STREAM);
}

static void say_bytes(const char *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = send(client, bytes + at, len - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return; /* closed already */
        if (n > 0)
            at += (size_t)n;
        else
            world_turn(&w);
    }
}

static void say(const char *text)
{
    say_bytes(text, strlen(text));
}

/* Reads what there is: 1 some, 0 nothing now, -1 the end, -2 a reset. */
static int hear(void)
{
    ssize_t n = recv(client, got + got_len, sizeof(got) - got_len - 1, 0);
    if (n < 0)
        return errno == EAGAIN ? 0 : -2;
    got_len += (size_t)n;
    got[got_len] = 0;
    return n > 0 ? 1 : -1;
}

static void hear_until(const char *end)
{
    size_t len = strlen(end);
    WORLD_UNTIL(&w,
                hear() >= 0 && got_len >= len && memcmp(got + got_len - len, end, len) == 0);
}

static int hear_the_end(void)
{
    int how = 0;
    WORLD_UNTIL(&w, (how = hear()) < 0);
    return how;
}

static void check(const char *why, const char *want)
{
    got[got_len] = 0;
    if (strcmp(got, want) != 0)
        fail_msg("%s:\n got %s\nwant %s\nlog %s", why, got, want, fake.log);
}

static void check_log(const char *why, const char *want)
{
    if (strcmp(fake.log, want) != 0)
        fail_msg("%s:\n log %s\nwant %s", why, fake.log, want);
}

static void forget_log(void)
{
    fake.log_len = 0;
    fake.log[0] = 0;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK_HEAD "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"
#define OK OK_HEAD "\r\nok"
#define OK_LAST OK_HEAD "connection: close\r\n\r\nok"
#define REFUSED(line)                                                                          \
    "HTTP/1.1 " line "\r\ncontent-length: 8\r\nconnection: close\r\n\r\nrefused\n"
#define POST(fields, body) "POST /p HTTP/1.1\r\nHost: a\r\n" fields "\r\n" body
#define TEN "0123456789"

/* Whole conversations: all is said at once, or octet by octet. */
static const struct talk {
    const char *why, *say, *want, *log;
    bool closes; /* the session does so; else the client, afterwards */
    unsigned status;
    bool refuses_body;
} talks[] = {
    {"a request", GET("/"), OK, .log = "[GET http://a/ whole]"},
    {"three at once", GET("/1") GET("/2") GET("/3"), OK OK OK,
     .log = "[GET http://a/1 whole][GET http://a/2 whole][GET http://a/3 whole]"},
    {"an empty line between", GET("/1") "\r\n" GET("/2"), OK OK,
     .log = "[GET http://a/1 whole][GET http://a/2 whole]"},
    {"close", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/2"), OK_LAST,
     .log = "[GET http://a/ whole]", .closes = true},
    {"HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", OK_LAST, .log = "[GET http://a/ whole]",
     .closes = true},
    {"HTTP/1.0 kept", "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n" GET("/2"),
     OK_HEAD "connection: keep-alive\r\n\r\nok" OK,
     .log = "[GET http://a/ whole][GET http://a/2 whole]"},
    {"absolute form: the connection's scheme", "GET https://b/x HTTP/1.1\r\nHost: b\r\n\r\n",
     OK, .log = "[GET http://b/x whole]"},
    {"a body", POST("Content-Length: 10\r\n", TEN) GET("/2"), OK OK,
     .log = "[POST http://a/p body end whole][GET http://a/2 whole]"},
    {"chunks and a trailer",
     POST("Transfer-Encoding: chunked\r\n", "4\r\n0123\r\n6\r\n456789\r\n0\r\nx-t: 1\r\n\r\n")
         GET("/2"),
     OK OK, .log = "[POST http://a/p body end x-t=1 whole][GET http://a/2 whole]"},
    {"an empty body is none", POST("Content-Length: 0\r\n", "") GET("/2"), OK OK,
     .log = "[POST http://a/p whole][GET http://a/2 whole]"},
    {"a body nobody wants is no request", POST("Content-Length: 10\r\n", TEN) GET("/2"),
     "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nok"
     "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nok",
     .log = "[POST http://a/p body whole][GET http://a/2 whole]", .status = 404,
     .refuses_body = true},
    {"no request", "nonsense\r\n\r\n", REFUSED("400 Bad Request"),
     .log = "[refuse 400 malformed method whole]", .closes = true},
    {"a bad second request", GET("/1") "GET /2 HTTP/1.1\r\n\r\n" GET("/3"),
     OK REFUSED("400 Bad Request"), .log = "[GET http://a/1 whole][refuse 400 no host whole]",
     .closes = true},
    {"a bad chunk", POST("Transfer-Encoding: chunked\r\n", "4\r\n0123\r\nx\r\n") GET("/2"),
     REFUSED("400 Bad Request"), .closes = true},
};

static void set_talk(const struct talk *t)
{
    forget_log();
    fake.pieces[0] = SPAN("ok");
    fake.response.status = (uint16_t)(t->status ? t->status : 200);
    fake.wants = !t->refuses_body;
    fake.answer_at_end = true;
}

static void end_talk(const struct talk *t, const char *how)
{
    char why[128];
    snprintf(why, sizeof(why), "%s, %s", t->why, how);
    WORLD_UNTIL(&w, hear() < 0 || got_len >= strlen(t->want));
    if (!t->closes) {
        world_turn(&w); /* nothing more may come */
        shutdown(client, SHUT_WR);
    }
    (void)hear_the_end();
    check(why, t->want);
    if (t->log)
        check_log(why, t->log);
    hang_up();
    WORLD_UNTIL(&w, w.front.session_count == 0);
}

static void test_talks(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(talks); i++) {
        const struct talk *t = &talks[i];
        set_talk(t);
        connect_now();
        say(t->say);
        end_talk(t, "at once");
        set_talk(t);
        connect_now();
        for (const char *c = t->say; *c; c++) {
            if (send(client, c, 1, MSG_NOSIGNAL) < 0)
                break;
            if (c[1] == '\n' || i % 2)
                world_turn(&w);
        }
        end_talk(t, "in pieces");
    }
}

/* A small hit is one send; nothing is kept of it. */
static void test_one_send(void **state)
{
    (void)state;
    static char body[1024];
    memset(body, 'b', sizeof(body));
    fake.pieces[0] = span_of(body, sizeof(body));
    fake.response.body_bytes = sizeof(body);
    connect_by(SOCK_SEQPACKET);
    say(GET("/"));
    WORLD_UNTIL(&w, hear() == 1);
    assert_int_equal(got_len, strlen("HTTP/1.1 200 OK\r\ncontent-length: 1024\r\n\r\n") + 1024);
    world_turn(&w);
    assert_int_equal(fake.open, 0);
    /* chunked, with the end known only afterwards */
    got_len = 0;
    fake.response.length_declared = false;
    fake.response.body_bytes = HTTP_LENGTH_UNKNOWN;
    fake.pieces[0] = SPAN("hello");
    say(GET("/"));
    WORLD_UNTIL(&w, hear() == 1);
    check("chunked",
          "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
}

/* While this answer is in work, the next request is not even begun. */
static void test_pipelining(void **state)
{
    (void)state;
    fake.answer_later = true;
    connect_now();
    say(GET("/1") GET("/2"));
    WORLD_UNTIL(&w, fake.open == 1);
    world_turn(&w);
    check_log("only one", "[GET http://a/1");
    fake_answer();
    WORLD_UNTIL(&w, strstr(fake.log, "/2"));
    check_log("in order", "[GET http://a/1 whole][GET http://a/2");
    shutdown(client, SHUT_WR); /* its answer is still wanted */
    world_turn(&w);
    fake_answer();
    assert_int_equal(hear_the_end(), -1);
    check("half closed", OK OK_LAST);
}

static void test_bodies_out(void **state)
{
    (void)state;
    struct http_field line = {.name = SPAN("x-sum"), .value = SPAN("1")};
    const struct http_fields trailers = {.at = &line, .count = 1};
    connect_now();
    fake.response.body_bytes = HTTP_LENGTH_UNKNOWN;
    fake.response.length_declared = false;
    fake.pieces[0] = (struct span){0};
    fake.pieces[1] = SPAN("one");
    fake.pieces[2] = (struct span){0};
    fake.pieces[3] = SPAN("twothree");
    fake.pieces[4] = SPAN("");
    fake.trailers = &trailers;
    say(GET("/"));
    hear_until("\r\n\r\n");
    world_turn(&w);
    fake_ready();
    hear_until("one");
    fake_ready();
    hear_until("x-sum: 1\r\n\r\n");
    check("chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: "
                    "chunked\r\n\r\n3\r\none\r\n8\r\ntwothree\r\n0\r\n"
                    "x-sum: 1\r\n\r\n");
    got_len = 0;
    fake.trailers = NULL;
    fake.pieces[0] = SPAN("");
    say(GET("/empty"));
    hear_until("0\r\n\r\n");
    check("no byte", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
}

/* Larger than a slab, and than what the socket takes. */
static void test_large_body(void **state)
{
    (void)state;
    static char body[600000];
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (char)(i * 7 + (i >> 8));
    for (int chunked = 0; chunked < 2; chunked++) {
        for (size_t i = 0; i < 3; i++)
            fake.pieces[i] = span_of(body + i * 200000, 200000);
        fake.pieces[3] = SPAN("");
        fake.response.length_declared = !chunked;
        fake.response.body_bytes = chunked ? HTTP_LENGTH_UNKNOWN : (int64_t)sizeof(body);
        connect_now();
        say(GET("/"));
        for (int i = 0; i < 20; i++)
            world_turn(&w);
        if (!chunked) {
            WORLD_UNTIL(&w, (hear(), got_len >= sizeof(body)) && fake.open == 0);
            assert_memory_equal(got + got_len - sizeof(body), body, sizeof(body));
        } else {
            hear_until("\r\n0\r\n\r\n");
        }
        assert_non_null(strstr(fake.log, " whole]"));
        forget_log();
    }
}

static void test_heads_out(void **state)
{
    (void)state;
    static char value[30000];
    static struct http_field lines[3];
    memset(value, 'v', sizeof(value));
    for (size_t i = 0; i < 3; i++)
        lines[i] =
            (struct http_field){.name = SPAN("x"), .value = span_of(value, sizeof(value))};
    fake.response.fields = (struct http_fields){.at = lines, .count = 3};
    connect_now();
    say(GET("/"));
    hear_until("\r\n\r\nok");
    assert_true(got_len > 90000);
    got_len = 0;
    fake.response.fields.count = 1; /* 30 kB of head, and body behind it */
    say(GET("/"));
    hear_until("\r\n\r\nok");
    got_len = 0;
    fake.response.fields.count = 0;
    say("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"); /* whatever the exchange would give */
    say(GET("/"));
    hear_until("ok");
    check("HEAD", OK_HEAD "\r\n" OK);
    got_len = 0;
    fake.response.status = 204;
    say(GET("/"));
    hear_until("\r\n\r\n");
    check("204", "HTTP/1.1 204 No Content\r\n\r\n");
}

/* What does not keep its length, or breaks, is cut. */
static void test_broken_answers(void **state)
{
    (void)state;
    static const struct {
        const char *why, *piece;
        int64_t declared;
        enum err end;
        const char *want;
    } rows[] = {
        {"too short", "abc", 5, ERR_OK, OK_HEAD},
        {"too long", "abcdef", 5, ERR_OK, ""},
        {"broken", "abc", 5, ERR_CORRUPT, OK_HEAD},
        {"broken chunks", "abc", HTTP_LENGTH_UNKNOWN, ERR_TIMEOUT, "HTTP/1.1 200"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fake.pieces[0] = span_text(rows[i].piece);
        fake.pieces[1] = SPAN("");
        fake.end = rows[i].end;
        fake.response.body_bytes = rows[i].declared;
        fake.response.length_declared = rows[i].declared >= 0;
        forget_log();
        connect_now();
        say(GET("/") GET("/2"));
        (void)hear_the_end();
        if (strstr(got, "0\r\n\r\n") || !strstr(fake.log, "[GET http://a/ cut]") ||
            strstr(fake.log, "/2"))
            fail_msg("%s: %s; log %s", rows[i].why, got, fake.log);
    }
}

static void tcp_connect(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    static const struct addr peer = {.family = ADDR_V4, .ip = {127, 0, 0, 1}};
    socklen_t len = sizeof(sa);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
    hang_up();
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int bytes = 65536; /* no more than these are on their way */
    setsockopt(client, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    assert_int_equal(connect(client, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(fcntl(client, F_SETFL, O_NONBLOCK), 0);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    close(listener);
    got_len = 0;
    front_session_accept(&w.front, fd, &peer, &w.listener);
}

static void test_until_close(void **state)
{
    (void)state;
    fake.response.length_declared = false;
    fake.response.body_bytes = HTTP_LENGTH_UNKNOWN;
    fake.pieces[0] = SPAN("abc");
    fake.pieces[1] = (struct span){0};
    fake.pieces[2] = SPAN("");
    tcp_connect();
    say("GET / HTTP/1.0\r\n\r\n");
    hear_until("abc");
    fake_ready();
    assert_int_equal(hear_the_end(), -1);
    check("until close", "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc");
    check_log("whole", "[GET http:/// whole]");
}

/* RFC 9112 6.3: the end of the connection is the only sign, so it must not look like one. */
static void test_cut_until_close(void **state)
{
    (void)state;
    fake.response.length_declared = false;
    fake.response.body_bytes = HTTP_LENGTH_UNKNOWN;
    fake.pieces[0] = SPAN("abc");
    fake.pieces[1] = (struct span){0};
    fake.pieces[2] = SPAN("");
    tcp_connect();
    say("GET / HTTP/1.0\r\n\r\n");
    hear_until("abc");
    check("until close", "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc");
    fake.end = ERR_CORRUPT;
    fake_ready();
    assert_int_equal(hear_the_end(), -2);
    check_log("cut", "[GET http:/// cut]");
}

/* ---- bodies of requests */

static void test_body_in_steps(void **state)
{
    (void)state;
    fake.answer_at_end = true;
    fake.take_max = 4;
    connect_now();
    say(POST("Content-Length: 10\r\n", TEN) GET("/2"));
    WORLD_UNTIL(&w, buf_len(&fake.received) == 4);
    world_turn(&w);
    check_log("waits", "[POST http://a/p body");
    fake_more(4);
    assert_int_equal(buf_len(&fake.received), 8);
    fake_more(4); /* and the end */
    fake.answer_at_end = false;
    hear_until("okHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    check_log("all", "[POST http://a/p body end whole][GET http://a/2 whole]");
    assert_true(span_equal(buf_span(&fake.received), SPAN(TEN)));
}

/* The exchange wants it late; until then nothing is lost and no more is read. */
static void test_body_wanted_late(void **state)
{
    (void)state;
    static char large[300000];
    memset(large, 'x', sizeof(large));
    fake.wants = false;
    fake.answer_at_end = fake.answer_later = true;
    connect_now();
    say(POST("Content-Length: 300000\r\n", ""));
    (void)send(client, large, sizeof(large), 0);
    for (int i = 0; i < 10; i++)
        world_turn(&w);
    assert_int_equal(buf_len(&fake.received), 0);
    hang_up();
    connect_now();
    forget_log();
    say(POST("Content-Length: 300000\r\n", ""));
    WORLD_UNTIL(&w, fake.opened == 2 && fake.x);
    world_turn(&w);
    fake_want();
    say_bytes(large, sizeof(large));
    hear_until("ok");
    assert_int_equal(buf_len(&fake.received), sizeof(large));
}

static void test_continue(void **state)
{
    (void)state;
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
#define EXPECTS "Expect: 100-continue\r\nContent-Length: 10\r\n"
    fake.answer_at_end = true;
    connect_now();
    say(POST(EXPECTS, ""));
    hear_until("\r\n\r\n");
    check("asked for", CONTINUE);
    say(TEN);
    hear_until("ok");
    check("answered", CONTINUE OK);
    got_len = 0;
    say(POST(EXPECTS, TEN)); /* did not wait: RFC 9110 10.1.1 lets us say it or not */
    hear_until("ok");
    assert_true(got_len >= strlen(OK) && !strcmp(got + got_len - strlen(OK), OK));
    got_len = 0;
    say("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n" TEN);
    (void)hear_the_end();
    check("not to HTTP/1.0", OK_LAST);
    /* An answer instead: the body may come or not, so the connection ends (0.CL desync). */
    fake.wants = fake.answer_at_end = false;
    connect_now();
    say(POST(EXPECTS, ""));
    hear_until("ok");
    say(GET("/2"));
    (void)hear_the_end();
    check("refused", OK_LAST);
    assert_null(strstr(fake.log, "/2"));
}

/* Up to 64 KiB that nobody wants are read to keep the connection, only where it is known how
 * much comes. */
static void test_unwanted_bodies(void **state)
{
    (void)state;
    static char large[65537];
    memset(large, 'x', sizeof(large));
    fake.wants = false;
    connect_now();
    say(POST("Content-Length: 65536\r\n", ""));
    hear_until("ok");
    check("answered before it came", OK);
    say_bytes(large, 65536);
    say(GET("/2"));
    hear_until("okHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    assert_non_null(strstr(fake.log, "/2"));

    static const char *const last[] = {POST("Content-Length: 65537\r\n", ""),
                                       POST("Transfer-Encoding: chunked\r\n", "")};
    for (size_t i = 0; i < ARRAY_LEN(last); i++) {
        connect_now();
        say(last[i]);
        hear_until("ok");
        say(GET("/3")); /* is body */
        (void)hear_the_end();
        check("last", OK_LAST);
        assert_null(strstr(fake.log, "/3"));
    }
}

/* The answer is out while the body was still wanted. */
static void test_early_answer(void **state)
{
    (void)state;
    connect_now();
    say(POST("Content-Length: 10\r\n", "01234"));
    hear_until("ok");
    say("56789" GET("/2"));
    hear_until("okHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    check_log("kept", "[POST http://a/p body whole][GET http://a/2 whole]");
    forget_log();
    got_len = 0;
    say(POST("Transfer-Encoding: chunked\r\n", "5\r\n01234\r\n"));
    (void)hear_the_end();
    check("no end in sight", OK);
    check_log("ended", "[POST http://a/p body whole]");
}

static void test_client_goes(void **state)
{
    (void)state;
    static const struct {
        const char *why, *say, *log;
        bool later;
    } rows[] = {
        {"before a byte", "", "", false},
        {"in a head", "GET / HT", "[refuse 400 closed within a message cut]", false},
        {"in a body", POST("Content-Length: 10\r\n", "012"), "[POST http://a/p body cut]",
         true},
        {"before the answer", GET("/"), "[GET http://a/ cut]", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        forget_log();
        fake.answer_later = rows[i].later;
        tcp_connect();
        world_turn(&w);
        say(rows[i].say);
        unsigned opened = fake.opened;
        if (rows[i].say[0])
            WORLD_UNTIL(&w, fake.opened > opened);
        struct linger reset = {.l_onoff = rows[i].later};
        setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        hang_up();
        WORLD_UNTIL(&w, w.front.session_count == 0);
        if (!strstr(rows[i].log, "refuse"))
            check_log(rows[i].why, rows[i].log);
        assert_int_equal(fake.open, 0);
    }
}

static void test_interim(void **state)
{
    (void)state;
    struct http_response early = {.status = 103};
    fake.answer_later = true;
    connect_now();
    say(GET("/"));
    WORLD_UNTIL(&w, fake.open == 1);
    fake.x->functions->interim(fake.x->user, &early);
    hear_until("\r\n\r\n");
    fake.x->functions->interim(fake.x->user, &early);
    fake_answer();
    fake.x->functions->interim(fake.x->user, &early); /* too late: nothing */
    hear_until("ok");
    check("interim", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" OK);
}

/* ---- times */

static void test_head_timeout(void **state)
{
    (void)state;
    w.conf.limits.header_ms = 400;
    connect_now();
    (void)hear_the_end();
    check("no byte: no answer", "");
    connect_now();
    say("GET / HTTP/1.1\r\n");
    (void)hear_the_end();
    check("half a head", REFUSED("408 Request Timeout"));
    /* The time runs from a later request's first byte, and is not renewed by each. */
    connect_now();
    say("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    hear_until("\r\n\r\n");
    int64_t until = w.f.loop->now_ms + 800;
    while (w.f.loop->now_ms < until)
        world_turn(&w);
    got_len = 0;
    int64_t from = w.f.loop->now_ms;
    WORLD_UNTIL(&w, (send(client, "G", 1, MSG_NOSIGNAL), hear()) != 0);
    assert_true(w.f.loop->now_ms - from >= 400);
    (void)hear_the_end();
    check("octet by octet, after HEAD", REFUSED("408 Request Timeout"));
}

static void test_keepalive_timeout(void **state)
{
    (void)state;
    w.conf.limits.keepalive_ms = 100;
    connect_now();
    say(GET("/"));
    (void)hear_the_end();
    check("closed in order", OK);
}

static void test_body_timeout(void **state)
{
    (void)state;
    w.conf.limits.body_idle_ms = 150;
    fake.answer_at_end = true;
    connect_now();
    say(POST("Content-Length: 10\r\n", "012"));
    (void)hear_the_end();
    check("stopped", REFUSED("408 Request Timeout"));
    check_log("stopped", "[POST http://a/p body fail 408 the body stopped whole]");
    /* It is the exchange that does not take it: no time runs. */
    forget_log();
    fake.pieces[0] = SPAN("ok");
    fake.take_max = 3;
    connect_now();
    say(POST("Content-Length: 10\r\n", "01234"));
    int64_t until = w.f.loop->now_ms + 500;
    while (w.f.loop->now_ms < until)
        world_turn(&w);
    check_log("waits", "[POST http://a/p body");
    fake_more(100);
    say("56789");
    hear_until("ok");
}

static void test_stalled_reader(void **state)
{
    (void)state;
    static char body[4000000];
    w.conf.limits.body_idle_ms = 700;
    fake.pieces[0] = span_of(body, sizeof(body));
    fake.response.body_bytes = sizeof(body);
    tcp_connect();
    say(GET("/"));
    int64_t until = w.f.loop->now_ms + 2500; /* slow, but it reads */
    int64_t read_at_ms = w.f.loop->now_ms, pause_ms = 0;
    while (w.f.loop->now_ms < until) {
        if (w.f.loop->now_ms - read_at_ms > pause_ms)
            pause_ms = w.f.loop->now_ms - read_at_ms;
        read_at_ms = w.f.loop->now_ms;
        char some[4096];
        assert_true(recv(client, some, sizeof(some), 0) > 0 || errno == EAGAIN);
        for (int i = 0; i < 10; i++)
            world_turn(&w);
    }
    if (pause_ms < 100) /* else this process stood still itself */
        assert_int_equal(w.front.session_count, 1);
    WORLD_UNTIL(&w, w.front.session_count == 0);
    check_log("stalled", "[GET http://a/ cut]");
}

/* ---- many */

static void test_limit_and_drain(void **state)
{
    (void)state;
    int first;
    w.front.connections_max = 2;
    connect_now();
    first = client;
    client = -1;
    connect_now();
    world_turn(&w);
    int second = client;
    client = -1;
    connect_now();
    assert_int_equal(hear_the_end(), -1);
    assert_int_equal(w.front.session_count, 2);
    hang_up();
    client = first;
    fake.answer_later = true;
    say(GET("/"));
    WORLD_UNTIL(&w, fake.open == 1);
    front_session_drain(&w.front);
    assert_true(w.front.draining);
    client = second;
    assert_int_equal(hear_the_end(), -1); /* idle */
    check("idle", "");
    hang_up();
    client = first;
    fake_answer();
    (void)hear_the_end();
    check("busy", OK_LAST);
    fake.answer_later = false;
    connect_now();
    say(GET("/") GET("/2"));
    (void)hear_the_end();
    check("new", OK_LAST);
}

static void test_not_spoken_here(void **state)
{
    (void)state;
    w.listener_conf.h1 = false;
    connect_now();
    say(GET("/"));
    assert_true(hear_the_end() < 0);
    check("nothing", "");
    assert_int_equal(fake.opened, 0);
}

static void test_no_memory(void **state)
{
    (void)state;
    fake.no_memory = true;
    connect_now();
    say(GET("/"));
    assert_true(hear_the_end() < 0);
    check("nothing", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_talks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_send, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pipelining, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bodies_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_body, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_heads_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_broken_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_until_close, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cut_until_close, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_body_in_steps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_body_wanted_late, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_continue, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unwanted_bodies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_early_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_interim, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_head_timeout, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keepalive_timeout, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_body_timeout, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stalled_reader, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limit_and_drain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_spoken_here, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
