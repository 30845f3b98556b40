#include "node/io/link_ev.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>

#include "node/io/certs.h"
#include "node/io/listen_ev.h"
#include "node/io/stream_ev.h"
#include "tests/unit/node/io/fixture.h"

/* A server in a thread that follows a script, one character a step:
 *   a  accept (closing the last one)     r  read a request's head
 *   w  write the text                    b  write the text byte by byte
 *   d  the same, slowly
 *   n  read as many bytes as the text says
 *   e  expect the end                    x  reset
 *   k  wait until the test has got its answer */
struct step {
    char what;
    const char *text;
};
#define STEPS_MAX 16

struct server {
    int listener;
    struct addr address;
    pthread_t thread;
    const struct step *steps;
    char heads[4096]; /* all that was read as heads */
    atomic_int ended; /* requests that the test saw end */
    atomic_int waits; /* steps begun that wait for the test: a, r, e */
    int failed;       /* a step that did not find what it expected */
};

static void read_head(struct server *s, int fd)
{
    size_t at = strlen(s->heads);
    while (at + 1 < sizeof(s->heads) && read(fd, s->heads + at, 1) == 1) {
        s->heads[++at] = 0;
        if (at >= 4 && strcmp(s->heads + at - 4, "\r\n\r\n") == 0)
            return;
    }
    s->failed = 1;
}

static void read_bytes(struct server *s, int fd, long count)
{
    char some[65536];
    while (count > 0) {
        ssize_t n = read(fd, some, count < 65536 ? (size_t)count : 65536);
        if (n <= 0) {
            s->failed = 2;
            return;
        }
        count -= n;
    }
}

static void write_text(int fd, const char *text, size_t piece, useconds_t pause_us)
{
    for (size_t len = strlen(text); len > 0;) {
        ssize_t n = send(fd, text, len < piece ? len : piece, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
        usleep(pause_us);
    }
}

static void *serve(void *arg)
{
    struct server *s = arg;
    int fd = -1, wait_for = 0;
    for (const struct step *at = s->steps; at->what; at++) {
        static _Thread_local char some[65536];
        struct linger now = {.l_onoff = 1};
        if (strchr("are", at->what))
            atomic_fetch_add(&s->waits, 1);
        switch (at->what) {
        case 'a':
            if (fd >= 0)
                close(fd);
            fd = accept(s->listener, NULL, NULL);
            break;
        case 'r':
            read_head(s, fd);
            break;
        case 'n':
            read_bytes(s, fd, strtol(at->text, NULL, 10));
            break;
        case 'w':
            write_text(fd, at->text, SIZE_MAX, 0);
            break;
        case 'b':
            write_text(fd, at->text, 1, 0);
            break;
        case 'd':
            write_text(fd, at->text, 1, 10000);
            break;
        case 'e':
            while (recv(fd, some, sizeof(some), 0) > 0) /* what is still on its way */
                ;
            break;
        case 'x':
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
            close(fd);
            fd = -1;
            break;
        case 'k':
            for (wait_for++; atomic_load(&s->ended) < wait_for;)
                usleep(500); /* bounded by the watchdog of the loop */
            break;
        default:
            abort();
        }
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

static void server_start(struct server *s, const struct step *steps)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    *s = (struct server){.listener = socket(AF_INET, SOCK_STREAM, 0), .steps = steps};
    assert_int_equal(bind(s->listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(s->listener, 8), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&sa, &len), 0);
    assert_int_equal(addr_from_sockaddr((struct sockaddr *)&sa, &s->address), ERR_OK);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
    pthread_join(s->thread, NULL);
    close(s->listener);
    assert_int_equal(s->failed, 0);
}

/* ---- one request and what came of it */

struct asked {
    struct io_link *link;
    struct server *server;
    unsigned sending, responses, interims, ended, rooms, trailers;
    uint16_t status;
    char body[8192];
    size_t body_bytes;
    enum io_link_failure why;
    bool reused, answered;
    size_t upload; /* bytes still to give */
    bool stall;    /* gives no more of them */
    size_t upload_at_sending;
    bool end_at_sending;
    bool cancel_at_response, pause_at_body;
    struct io_timer resume;
};

static struct fixture_loop f;
static struct io_resolver *resolver;
static struct io_links *links;

static void give(struct asked *a)
{
    static const char zeros[65536];
    while (a->upload > 0) {
        size_t n = a->upload < sizeof(zeros) ? a->upload : sizeof(zeros);
        size_t took = io_link_body(a->link, span_of(zeros, n));
        a->upload -= took;
        if (took < n)
            return;
    }
    if (!a->stall)
        io_link_body_end(a->link, NULL);
}

static void on_sending(void *user)
{
    struct asked *a = user;
    a->sending++;
    if (a->upload_at_sending > 0) {
        a->upload = a->upload_at_sending;
        a->stall = !a->end_at_sending;
        give(a);
    }
}

static void on_response(void *user, struct http_response *r, struct arena *arena)
{
    struct asked *a = user;
    (void)arena;
    if (r->status < 200) {
        a->interims++;
        return;
    }
    a->responses++;
    a->status = r->status;
    if (a->cancel_at_response) {
        io_link_cancel(a->link);
        atomic_fetch_add(&a->server->ended, 1);
        io_loop_stop(f.loop);
    }
}

static void on_resume(struct io_timer *t)
{
    struct asked *a = CONTAINER_OF(t, struct asked, resume);
    io_link_resume(a->link);
}

static void on_body(void *user, struct span bytes)
{
    struct asked *a = user;
    for (size_t i = 0; i < bytes.len; i++)
        if (a->body_bytes + i < sizeof(a->body) - 1)
            a->body[a->body_bytes + i] = bytes.ptr[i];
    a->body_bytes += bytes.len;
    if (a->pause_at_body) {
        a->pause_at_body = false;
        io_link_pause(a->link);
        io_timer_init(&a->resume, f.loop, on_resume);
        io_timer_set(&a->resume, f.loop->now_ms + 60);
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
    if (a->server)
        atomic_fetch_add(&a->server->ended, 1);
    io_loop_stop(f.loop);
}

static const struct io_link_functions functions = {on_sending, on_response, on_body,
                                                   on_body_room, on_ended};

static struct io_link_target target_of(const struct server *s)
{
    return (struct io_link_target){
        .host = SPAN("127.0.0.1"),
        .port = s ? s->address.port : 0,
        .connect_ms = 2000,
        .first_byte_ms = 10000,
        .idle_ms = 10000,
        .keepalive_ms = 5000,
    };
}

static void stop_loop(struct io_timer *t)
{
    io_loop_stop(t->loop);
}

/* A turn or two of the loop: reads the clock, closes what is to be closed. */
static void turn(void)
{
    struct io_timer t;
    io_timer_init(&t, f.loop, stop_loop);
    io_timer_set(&t, f.loop->now_ms + 1);
    fixture_loop_run(&f);
    io_timer_stop(&t);
}

static void start(struct asked *a, const struct io_link_target *t, bool head,
                  int64_t body_bytes)
{
    struct http_request r = {
        .method = body_bytes ? HTTP_POST
                  : head     ? HTTP_HEAD
                             : HTTP_GET,
        .version = HTTP_1_1,
        .method_text = body_bytes ? SPAN("POST")
                       : head     ? SPAN("HEAD")
                                  : SPAN("GET"),
        .scheme = SPAN("http"),
        .authority = SPAN("origin.example"),
        .target = SPAN("/x"),
        .body_bytes = body_bytes,
    };
    turn();
    a->link = io_link_start(links, t, &r, &functions, a);
    assert_non_null(a->link);
    assert_int_equal(a->sending + a->ended, 0); /* nothing from inside */
    if (body_bytes)
        give(a);
}

static void run(struct asked *a, struct server *s, bool quick)
{
    struct io_link_target t = target_of(s);
    if (quick)
        t.first_byte_ms = t.idle_ms = 150;
    a->server = s;
    start(a, &t, false, 0);
    fixture_loop_run(&f);
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct step steps[STEPS_MAX];
        enum io_link_failure end;
        bool answered;
        unsigned interims, trailers;
        uint16_t status;
        const char *body;
    } rows[] = {
        {"a counted body",
         {{'a', 0}, {'r', 0}, {'w', OK_HEAD "hello"}},
         IO_LINK_OK,
         true,
         0,
         0,
         200,
         "hello"},
        {"byte by byte",
         {{'a', 0}, {'r', 0}, {'b', OK_HEAD "hello"}},
         IO_LINK_OK,
         true,
         0,
         0,
         200,
         "hello"},
        {"chunks and trailers",
         {{'a', 0},
          {'r', 0},
          {'w', "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                "chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n"
                "X-Sum: 1\r\n\r\n"}},
         IO_LINK_OK,
         true,
         0,
         1,
         200,
         "hello"},
        {"until close",
         {{'a', 0}, {'r', 0}, {'w', "HTTP/1.1 200 OK\r\n\r\nhello"}},
         IO_LINK_OK,
         true,
         0,
         0,
         200,
         "hello"},
        {"interim answers",
         {{'a', 0},
          {'r', 0},
          {'w', "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: "
                "</a>\r\n\r\n"},
          {'w', OK_HEAD "hello"}},
         IO_LINK_OK,
         true,
         2,
         0,
         200,
         "hello"},
        {"closed before a byte", {{'a', 0}, {'r', 0}}, IO_LINK_CLOSED, false, 0, 0, 0, ""},
        {"reset before a byte",
         {{'a', 0}, {'r', 0}, {'x', 0}},
         IO_LINK_CLOSED,
         false,
         0,
         0,
         0,
         ""},
        {"closed within the head",
         {{'a', 0}, {'r', 0}, {'w', "HTTP/1.1 200 OK\r\nConte"}},
         IO_LINK_CLOSED,
         true,
         0,
         0,
         0,
         ""},
        {"closed after an interim answer only",
         {{'a', 0}, {'r', 0}, {'w', "HTTP/1.1 103 Early Hints\r\n\r\n"}},
         IO_LINK_CLOSED,
         true,
         1,
         0,
         0,
         ""},
        {"closed within a counted body",
         {{'a', 0}, {'r', 0}, {'w', OK_HEAD "hel"}},
         IO_LINK_CUT,
         true,
         0,
         0,
         200,
         "hel"},
        {"closed within chunks",
         {{'a', 0},
          {'r', 0},
          {'w', "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n"}},
         IO_LINK_CUT,
         true,
         0,
         0,
         200,
         "hel"},
        {"reset within the body",
         {{'a', 0}, {'r', 0}, {'w', "HTTP/1.1 200 OK\r\n\r\nhello"}, {'x', 0}},
         IO_LINK_CUT,
         true,
         0,
         0,
         200,
         NULL},
        {"garbage",
         {{'a', 0}, {'r', 0}, {'w', "SSH-2.0-OpenSSH\r\n\r\n"}, {'e', 0}},
         IO_LINK_PROTOCOL,
         true,
         0,
         0,
         0,
         ""},
        {"two content lengths",
         {{'a', 0},
          {'r', 0},
          {'w', "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: "
                "6\r\n\r\nhello"},
          {'e', 0}},
         IO_LINK_PROTOCOL,
         true,
         0,
         0,
         0,
         ""},
        {"silence",
         {{'a', 0}, {'r', 0}, {'e', 0}},
         IO_LINK_FIRST_BYTE_TIMEOUT,
         false,
         0,
         0,
         0,
         ""},
        {"a head that drips",
         {{'a', 0}, {'r', 0}, {'d', OK_HEAD "hello"}, {'e', 0}},
         IO_LINK_FIRST_BYTE_TIMEOUT,
         true,
         0,
         0,
         0,
         ""},
        {"silence after an interim answer",
         {{'a', 0}, {'r', 0}, {'w', "HTTP/1.1 103 Early Hints\r\n\r\n"}, {'e', 0}},
         IO_LINK_FIRST_BYTE_TIMEOUT,
         true,
         1,
         0,
         0,
         ""},
        {"silence within the body",
         {{'a', 0}, {'r', 0}, {'w', OK_HEAD "hel"}, {'e', 0}},
         IO_LINK_IDLE_TIMEOUT,
         true,
         0,
         0,
         200,
         "hel"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct server s;
        struct asked a = {0};
        server_start(&s, rows[i].steps);
        run(&a, &s,
            rows[i].end == IO_LINK_FIRST_BYTE_TIMEOUT || rows[i].end == IO_LINK_IDLE_TIMEOUT);
        if (a.why != rows[i].end || a.answered != rows[i].answered || a.reused ||
            a.status != rows[i].status || a.interims != rows[i].interims ||
            a.trailers != rows[i].trailers || a.sending != 1 ||
            (rows[i].body && strcmp(a.body, rows[i].body) != 0))
            fail_msg("%s: end %u answered %d status %u body '%s'", rows[i].why, a.why,
                     a.answered, a.status, a.body);
        io_links_drop_idle(links);
        turn();
        server_stop(&s);
    }
}

/* The second of two requests: on the first one's connection, or not. */
static void test_reuse(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct step steps[STEPS_MAX];
        enum io_link_failure end;
        bool reused, answered, fresh;
        uint32_t keepalive_ms;
    } rows[] = {
        {"kept and used again",
         {{'a', 0},
          {'r', 0},
          {'w', OK_HEAD "hello"},
          {'k', 0},
          {'r', 0},
          {'w', OK_HEAD "again"}},
         IO_LINK_OK,
         true,
         true,
         false,
         5000},
        {"a fresh one was asked for",
         {{'a', 0},
          {'r', 0},
          {'w', OK_HEAD "hello"},
          {'a', 0},
          {'r', 0},
          {'w', OK_HEAD "again"}},
         IO_LINK_OK,
         false,
         true,
         true,
         5000},
        {"the server said close",
         {{'a', 0},
          {'r', 0},
          {'w', "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
          {'a', 0},
          {'r', 0},
          {'w', OK_HEAD "again"}},
         IO_LINK_OK,
         false,
         true,
         false,
         5000},
        {"HTTP/1.0 does not stay",
         {{'a', 0},
          {'r', 0},
          {'w', "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"},
          {'a', 0},
          {'r', 0},
          {'w', OK_HEAD "again"}},
         IO_LINK_OK,
         false,
         true,
         false,
         5000},
        {"more bytes than the answer has",
         {{'a', 0},
          {'r', 0},
          {'w', OK_HEAD "helloHTTP/1.1 200 OK\r\n\r\n"},
          {'a', 0},
          {'r', 0},
          {'w', OK_HEAD "again"}},
         IO_LINK_OK,
         false,
         true,
         false,
         5000},
        {"bytes while it was idle",
         {{'a', 0},
          {'r', 0},
          {'w', OK_HEAD "hello"},
          {'k', 0},
          {'w', OK_HEAD "trick"},
          {'a', 0},
          {'r', 0},
          {'w', OK_HEAD "again"}},
         IO_LINK_OK,
         false,
         true,
         false,
         5000},
        {"closed while it was idle",
         {{'a', 0},
          {'r', 0},
          {'w', OK_HEAD "hello"},
          {'k', 0},
          {'a', 0},
          {'r', 0},
          {'w', OK_HEAD "again"}},
         IO_LINK_OK,
         false,
         true,
         false,
         5000},
        {"closed on the second request: may be tried again",
         {{'a', 0}, {'r', 0}, {'w', OK_HEAD "hello"}, {'k', 0}, {'r', 0}},
         IO_LINK_CLOSED,
         true,
         false,
         false,
         5000},
        {"kept no longer than told",
         {{'a', 0},
          {'r', 0},
          {'w', OK_HEAD "hello"},
          {'e', 0},
          {'a', 0},
          {'r', 0},
          {'w', OK_HEAD "again"}},
         IO_LINK_OK,
         false,
         true,
         false,
         20},
        {"never kept",
         {{'a', 0},
          {'r', 0},
          {'w', OK_HEAD "hello"},
          {'e', 0},
          {'a', 0},
          {'r', 0},
          {'w', OK_HEAD "again"}},
         IO_LINK_OK,
         false,
         true,
         false,
         0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct server s;
        struct asked first = {.server = &s}, second = {.server = &s};
        server_start(&s, rows[i].steps);
        struct io_link_target t = target_of(&s);
        t.keepalive_ms = rows[i].keepalive_ms;
        start(&first, &t, false, 0);
        fixture_loop_run(&f);
        assert_int_equal(first.why, IO_LINK_OK);
        /* What the server does meanwhile arrives: it waits for the second request. */
        while (atomic_load(&s.waits) < (t.keepalive_ms < 5000 ? 4 : 3))
            turn();
        turn();
        t.fresh = rows[i].fresh;
        start(&second, &t, false, 0);
        fixture_loop_run(&f);
        if (second.why != rows[i].end || second.reused != rows[i].reused ||
            second.answered != rows[i].answered)
            fail_msg("%s: end %u reused %d answered %d", rows[i].why, second.why, second.reused,
                     second.answered);
        io_links_drop_idle(links);
        turn();
        server_stop(&s);
    }
}

static void test_uploads(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct step steps[STEPS_MAX];
        size_t upload;
        int64_t declared;
        bool stall;
        enum io_link_failure end;
        uint16_t status;
    } rows[] = {
        {"counted, larger than the queue",
         {{'a', 0}, {'r', 0}, {'n', "3000000"}, {'w', OK_HEAD "hello"}},
         3000000,
         3000000,
         false,
         IO_LINK_OK,
         200},
        {"chunked",
         {{'a', 0}, {'r', 0}, {'n', "300000"}, {'w', OK_HEAD "hello"}},
         300000,
         HTTP_LENGTH_UNKNOWN,
         false,
         IO_LINK_OK,
         200},
        {"refused early, then closed",
         {{'a', 0},
          {'r', 0},
          {'w', "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge"},
          {'e', 0}},
         3000000,
         3000000,
         false,
         IO_LINK_OK,
         413},
        {"refused early and reset: the answer is not lost",
         {{'a', 0},
          {'r', 0},
          {'w', "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge"}},
         300000,
         300000,
         true,
         IO_LINK_OK,
         413},
        {"shorter than declared is cut",
         {{'a', 0}, {'e', 0}},
         1000,
         2000,
         false,
         IO_LINK_CUT,
         0},
        {"the server reads nothing",
         {{'a', 0}, {'k', 0}},
         30000000,
         30000000,
         false,
         IO_LINK_FIRST_BYTE_TIMEOUT,
         0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct server s;
        struct asked a = {.server = &s, .upload = rows[i].upload, .stall = rows[i].stall};
        server_start(&s, rows[i].steps);
        struct io_link_target t = target_of(&s);
        if (rows[i].end == IO_LINK_FIRST_BYTE_TIMEOUT)
            t.first_byte_ms = 150;
        start(&a, &t, false, rows[i].declared);
        fixture_loop_run(&f);
        if (a.why != rows[i].end || a.status != rows[i].status)
            fail_msg("%s: end %u status %u", rows[i].why, a.why, a.status);
        if (rows[i].upload > IO_LINK_BODY_BYTES && a.status == 200)
            assert_true(a.rooms > 0);
        io_links_drop_idle(links);
        turn();
        server_stop(&s);
    }
}

/* When all that was given is out, nothing but the end is left to send: "\r\n0\r\n\r\n", whose
 * first line end looks like a head's. */
static void test_upload_that_ends_later(void **state)
{
    (void)state;
    static const struct step steps[] = {{'a', 0}, {'r', 0},   {'n', "1005"},
                                        {'r', 0}, {'n', "5"}, {'w', OK_HEAD "hello"},
                                        {0, 0}};
    struct server s;
    struct asked a = {.server = &s, .upload = 1000, .stall = true};
    server_start(&s, steps);
    struct io_link_target t = target_of(&s);
    t.first_byte_ms = 2000;
    start(&a, &t, false, HTTP_LENGTH_UNKNOWN);
    while (atomic_load(&s.waits) < 3)
        turn();
    turn();
    io_link_body_end(a.link, NULL);
    fixture_loop_run(&f);
    assert_int_equal(a.why, IO_LINK_OK);
    assert_int_equal(a.status, 200);
    io_links_drop_idle(links);
    turn();
    server_stop(&s);
}

/* A body that comes in parts over time, whose end is all that is left to say. */
static void test_upload_in_parts(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int64_t declared;
        const char *first, *rest; /* octets of body with framing, and of its end */
        bool at_sending, end_at_once;
    } rows[] = {
        {"chunked, the end later", HTTP_LENGTH_UNKNOWN, "13", "7", false, false},
        {"chunked, when the head leaves", HTTP_LENGTH_UNKNOWN, "13", "7", true, false},
        {"chunked, all when the head leaves", HTTP_LENGTH_UNKNOWN, "13", "7", true, true},
        {"chunked, all before", HTTP_LENGTH_UNKNOWN, "13", "7", false, true},
        {"counted, all when the head leaves", 10, "10", "0", true, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct step steps[] = {{'a', 0},
                                     {'r', 0},
                                     {'n', rows[i].first},
                                     {'n', rows[i].rest},
                                     {'w', OK_HEAD "hello"},
                                     {0, 0}};
        struct server s;
        struct asked a = {.server = &s,
                          .upload = rows[i].at_sending ? 0 : 10,
                          .stall = rows[i].at_sending || !rows[i].end_at_once,
                          .upload_at_sending = rows[i].at_sending ? 10 : 0,
                          .end_at_sending = rows[i].at_sending && rows[i].end_at_once};
        server_start(&s, steps);
        struct io_link_target t = target_of(&s);
        start(&a, &t, false, rows[i].declared);
        for (int j = 0; j < 10; j++)
            turn();
        if (!rows[i].end_at_once)
            io_link_body_end(a.link, NULL);
        if (!a.ended)
            fixture_loop_run(&f);
        if (a.why != IO_LINK_OK || a.status != 200)
            fail_msg("%s: end %u status %u", rows[i].why, a.why, a.status);
        io_links_drop_idle(links);
        turn();
        server_stop(&s);
        assert_true(strncmp(s.heads, "POST /x HTTP/1.1\r\n", 18) == 0);
    }
}

static void test_pause(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {'a', 0},
        {'r', 0},
        {'w', "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"},
        {'w', "again"},
        {0, 0}};
    struct server s;
    struct asked a = {.pause_at_body = true};
    server_start(&s, steps);
    int64_t from_ms = f.loop->now_ms;
    run(&a, &s, false);
    assert_string_equal(a.body, "helloagain");
    assert_int_equal(a.why, IO_LINK_OK);
    assert_true(f.loop->now_ms - from_ms >= 0);
    io_timer_stop(&a.resume);
    io_links_drop_idle(links);
    server_stop(&s);
}

static void test_cancel(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {'a', 0}, {'r', 0}, {'w', OK_HEAD "hello"}, {'e', 0}, {0, 0}};
    struct server s;
    struct asked a = {.cancel_at_response = true}, b = {0};
    server_start(&s, steps);
    run(&a, &s, false);
    assert_int_equal(a.responses, 1);
    assert_int_equal(a.ended, 0);
    server_stop(&s);
    /* Before anything happened. */
    struct io_link_target t = target_of(&s);
    start(&b, &t, false, 0);
    io_link_cancel(b.link);
    io_link_cancel(NULL);
    turn();
    assert_int_equal(b.ended, 0);
}

static void test_connecting(void **state)
{
    (void)state;
    struct server s;
    static const struct step steps[] = {{'a', 0}, {0, 0}};
    server_start(&s, steps);
    struct io_link_target t = target_of(&s);
    struct asked a = {0}, b = {0}, c = {0};
    /* Nobody listens. */
    t.port = 1;
    start(&a, &t, false, 0);
    fixture_loop_run(&f);
    assert_int_equal(a.why, IO_LINK_CONNECT);
    assert_false(a.answered || a.reused);
    assert_int_equal(a.sending, 0);
    /* A name that is none. */
    t = target_of(&s);
    t.host = SPAN("..");
    start(&b, &t, false, 0);
    fixture_loop_run(&f);
    assert_int_equal(b.why, IO_LINK_DNS);
    /* The server does not speak TLS. */
    struct conf_faults faults = {0};
    t = target_of(&s);
    t.tls = io_tls_client_create("", false, (struct conf_place){0}, &faults);
    start(&c, &t, false, 0);
    fixture_loop_run(&f);
    assert_int_equal(c.why, IO_LINK_TLS);
    io_tls_context_drop(t.tls);
    server_stop(&s);
}

/* localhost: ::1, where nobody listens on this port, then 127.0.0.1. */
static void test_next_address(void **state)
{
    (void)state;
    static const struct step steps[] = {{'a', 0}, {'r', 0}, {'w', OK_HEAD "hello"}, {0, 0}};
    struct server s;
    struct asked a = {0};
    server_start(&s, steps);
    struct io_link_target t = target_of(&s);
    t.host = SPAN("localhost");
    start(&a, &t, false, 0);
    fixture_loop_run(&f);
    assert_int_equal(a.why, IO_LINK_OK);
    assert_non_null(strstr(s.heads, "origin.example"));
    io_links_drop_idle(links);
    server_stop(&s);
}

/* ---- TLS: the server is a stream in the same loop */

struct tls_server {
    struct io_stream *stream;
    const char *reply; /* to the input that came */
    bool asked, finish;
};

static void tls_ready(void *core)
{
    (void)core;
}

static size_t tls_input(void *core, struct span bytes)
{
    struct tls_server *s = core;
    s->asked = true;
    return bytes.len;
}

static void tls_input_end(void *core)
{
    (void)core;
}

static size_t tls_output(void *core, struct span *out, size_t max, char *scratch, size_t room)
{
    struct tls_server *s = core;
    (void)max, (void)scratch, (void)room;
    if (!s->asked)
        return 0;
    s->asked = false;
    if (s->finish)
        io_stream_finish(s->stream);
    out[0] = span_text(s->reply);
    return 1;
}

static void tls_closed(void *core, enum err why)
{
    struct tls_server *s = core;
    (void)why;
    io_stream_destroy(s->stream);
    s->stream = NULL;
}

static const struct io_stream_core tls_functions = {
    .ready = tls_ready,
    .input = tls_input,
    .input_end = tls_input_end,
    .output = tls_output,
    .closed = tls_closed,
};
static struct io_tls_context *server_tls, *client_tls;

struct tls_accept {
    struct tls_server server;
    unsigned count;
};

static void tls_accepted(void *user, int fd, const struct addr *peer)
{
    struct tls_accept *a = user;
    (void)peer;
    a->count++;
    io_stream_destroy(a->server.stream);
    a->server.stream = io_stream_accept(f.loop, fd, server_tls, &tls_functions, &a->server);
}

static void test_tls(void **state)
{
    (void)state;
    static const struct {
        const char *why, *name, *reply;
        bool finish, cut;
        enum io_link_failure first, second;
        bool reused;
    } rows[] = {
        {"kept and used again", "a.example", OK_HEAD "hello", false, false, IO_LINK_OK,
         IO_LINK_OK, true},
        {"ends by close_notify", "a.example", "HTTP/1.1 200 OK\r\n\r\nhello", true, false,
         IO_LINK_OK, IO_LINK_OK, false},
        {"ends without it: cut", "a.example", "HTTP/1.1 200 OK\r\n\r\nhello", false, true,
         IO_LINK_CUT, IO_LINK_CUT, false},
        {"not its name", "b.example", OK_HEAD "hello", false, false, IO_LINK_TLS, IO_LINK_TLS,
         false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_accept at = {.server = {.reply = rows[i].reply, .finish = rows[i].finish}};
        struct addr any = {.family = ADDR_V4, .ip = {127, 0, 0, 1}};
        struct conf_faults faults = {0};
        struct sockaddr_in sa;
        socklen_t len = sizeof(sa);
        int fd;
        assert_int_equal(io_listen_bind(&any, (struct conf_place){0}, "x", &faults, &fd),
                         ERR_OK);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
        struct io_listener *l = io_listen_start(f.loop, fd, tls_accepted, &at);
        struct io_link_target t = target_of(NULL);
        t.port = ntohs(sa.sin_port);
        t.tls = client_tls;
        t.server_name = span_text(rows[i].name);
        struct asked a[2] = {0};
        for (int n = 0; n < 2; n++) {
            start(&a[n], &t, false, 0);
            if (rows[i].cut) { /* until the body came; then FIN without close_notify */
                while (a[n].body_bytes == 0)
                    turn();
                io_stream_destroy(at.server.stream);
                at.server.stream = NULL;
            }
            fixture_loop_run(&f);
        }
        if (a[0].why != rows[i].first || a[1].why != rows[i].second ||
            a[1].reused != rows[i].reused || at.count != (rows[i].reused ? 1 : 2))
            fail_msg("%s: %u %u %d", rows[i].why, a[0].why, a[1].why, a[1].reused);
        io_links_drop_idle(links);
        turn();
        io_stream_destroy(at.server.stream);
        io_listen_stop(l);
        close(fd);
    }
}

static int make(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    fixture_certificate("a", "a", "DNS:a.example", NULL);
    struct conf_certificate one = {.cert = fixture_path("a.crt"), .key = fixture_path("a.key")};
    struct conf_listener web = {.name = "web", .tls = true, .h1 = true, .tls_min = 12};
    struct conf_faults faults = {0};
    struct io_certs *certs = io_certs_create(&one, 1, &faults);
    assert_non_null(certs);
    server_tls = io_tls_server_create(&web, certs, NULL, &faults);
    io_certs_drop(certs);
    client_tls = io_tls_client_create(fixture_path("a.crt"), true, one.place, &faults);
    assert_true(server_tls && client_tls);
    fixture_loop_init(&f);
    resolver = io_resolver_create(f.loop);
    io_resolver_use(resolver, "127.0.0.1:1", 50);
    links = io_links_create(f.loop, resolver);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    io_links_destroy(links);
    io_resolver_destroy(resolver);
    fixture_loop_fini(&f);
    io_tls_context_drop(server_tls);
    io_tls_context_drop(client_tls);
    fixture_clean();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),         cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_uploads),         cmocka_unit_test(test_upload_that_ends_later),
        cmocka_unit_test(test_upload_in_parts), cmocka_unit_test(test_pause),
        cmocka_unit_test(test_cancel),          cmocka_unit_test(test_connecting),
        cmocka_unit_test(test_next_address),    cmocka_unit_test(test_tls),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
