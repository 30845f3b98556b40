/* Against a scripted server in a thread: reads a request, says its line, closes. */
#include "node/ask_node_ev.h"

#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

struct server {
    int listener;
    uint16_t port;
    const char *answer; /* NULL: none, and the connection stays until the client goes */
    char heard[4096];   /* the beginning */
    size_t got, want;   /* octets; want: before it answers */
    pthread_t thread;
};

static void *serve(void *arg)
{
    struct server *s = arg;
    int fd = accept(s->listener, NULL, NULL);
    if (fd < 0)
        return NULL;
    const char *end = NULL; /* of the head */
    while (!end || s->got < (size_t)(end - s->heard) + 4 + s->want) {
        char bytes[16384];
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            break;
        size_t room = s->got < sizeof s->heard ? sizeof s->heard - 1 - s->got : 0;
        memcpy(s->heard + (room ? s->got : 0), bytes, (size_t)n < room ? (size_t)n : room);
        s->got += (size_t)n;
        end = strstr(s->heard, "\r\n\r\n");
    }
    if (s->answer)
        (void)!send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL);
    else
        while (recv(fd, &(char){0}, 1, 0) > 0)
            ;
    close(fd);
    return NULL;
}

static void server_open(struct server *s)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&sa, &len), 0);
    s->port = ntohs(sa.sin_port);
}

static void server_start(struct server *s)
{
    server_open(s);
    assert_int_equal(listen(s->listener, 1), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_end(struct server *s)
{
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    close(s->listener);
}

static enum err ask(uint16_t port, const char *token, struct span body, uint32_t timeout_ms,
                    struct cli_reply *out)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
    struct cli_question q = {.admin_url = span_text(url),
                             .token = span_text(token),
                             .method = body.len ? "POST" : "GET",
                             .target = SPAN("/v1/status?x=1"),
                             .body = body,
                             .timeout_ms = timeout_ms};
    *out = (struct cli_reply){0};
    buf_init(&out->body, 0);
    return node_ask(NULL, &q, out);
}

static void test_answers(void **state)
{
    static const struct {
        const char *why, *answer;
        enum err err;
        unsigned status;
        const char *body, *fault;
    } rows[] = {
        {"an answer", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", ERR_OK, 200, "{}", ""},
        {"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
         ERR_OK, 200, "{}", ""},
        {"a refusal is an answer", "HTTP/1.1 503 No\r\nContent-Length: 1\r\n\r\nx", ERR_OK, 503,
         "x", ""},
        {"an interim one before it",
         "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ERR_OK,
         200, "", ""},
        {"until the end of the connection", "HTTP/1.1 200 OK\r\n\r\nabc", ERR_OK, 200, "abc",
         ""},
        {"cut", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", ERR_CLOSED, 0, NULL,
         "ended before"},
        {"nothing", "", ERR_CLOSED, 0, NULL, "ended before"},
        {"no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", ERR_CLOSED, 0, NULL, "does not speak HTTP"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct server s = {.answer = rows[i].answer};
        struct cli_reply r;
        server_start(&s);
        enum err err = ask(s.port, "", (struct span){0}, 30000, &r);
        if (err != rows[i].err || (err == ERR_OK && r.status != rows[i].status))
            fail_msg("%s: %s, status %u: %s", rows[i].why, err_text(err), r.status, r.fault);
        if (rows[i].body && !span_equal(buf_span(&r.body), span_text(rows[i].body)))
            fail_msg("%s: %.*s", rows[i].why, SPAN_ARG(buf_span(&r.body)));
        if (*rows[i].fault && !strstr(r.fault, rows[i].fault))
            fail_msg("%s: %s", rows[i].why, r.fault);
        buf_fini(&r.body);
        server_end(&s);
    }
}

static void test_what_is_asked(void **state)
{
    (void)state;
    static const char body[] = "{\"type\":\"all\"}";
    struct server s = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
    struct cli_reply r;
    char host[64];
    s.want = sizeof body - 1;
    server_start(&s);
    assert_int_equal(ask(s.port, "sesame", span_text(body), 30000, &r), ERR_OK);
    server_end(&s);
    assert_true(strncmp(s.heard, "POST /v1/status?x=1 HTTP/1.1\r\n", 30) == 0);
    snprintf(host, sizeof host, "127.0.0.1:%u\r\n", s.port);
    assert_non_null(strstr(s.heard, host));
    assert_non_null(strcasestr(s.heard, "authorization: Bearer sesame\r\n"));
    assert_non_null(strcasestr(s.heard, "content-length: 14\r\n"));
    assert_non_null(strcasestr(s.heard, "content-type: application/json\r\n"));
    buf_fini(&r.body);
}

/* More than a link takes at once. */
static void test_long_body(void **state)
{
    (void)state;
    size_t len = (size_t)2 << 20;
    char *body = malloc(len);
    struct server s = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", .want = len};
    struct cli_reply r;
    assert_non_null(body);
    memset(body, 'x', len);
    server_start(&s);
    assert_int_equal(ask(s.port, "", span_of(body, len), 30000, &r), ERR_OK);
    assert_int_equal(r.status, 200);
    server_end(&s);
    assert_true(s.got > len);
    buf_fini(&r.body);
    free(body);
}

static void test_no_answer(void **state)
{
    (void)state;
    struct server s = {.answer = NULL}, closed = {0};
    struct cli_reply r;
    server_start(&s);
    assert_int_equal(ask(s.port, "", (struct span){0}, 300, &r), ERR_TIMEOUT);
    assert_non_null(strstr(r.fault, "within 1 s"));
    server_end(&s);
    server_open(&closed); /* bound, so that nobody else is there; not listening */
    assert_int_equal(ask(closed.port, "", (struct span){0}, 30000, &r), ERR_CLOSED);
    assert_non_null(strstr(r.fault, "nobody listens"));
    close(closed.listener);
}

static void test_urls(void **state)
{
    static const struct {
        const char *url, *ca, *fault;
    } rows[] = {
        {"http://127.0.0.1:1/x", NULL, "http[s]://host[:port]"},
        {"http://127.0.0.1:1?x", NULL, "http[s]://host[:port]"},
        {"http://a b", NULL, "http[s]://host[:port]"},
        {"http://", NULL, "http[s]://host[:port]"},
        {"http://user@127.0.0.1:1", NULL, "http[s]://host[:port]"},
        {"https://127.0.0.1:1", "/nowhere/ca.pem", "/nowhere/ca.pem"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cli_question q = {.admin_url = span_text(rows[i].url),
                                 .ca = rows[i].ca,
                                 .method = "GET",
                                 .target = SPAN("/"),
                                 .timeout_ms = 30000};
        struct cli_reply r = {0};
        buf_init(&r.body, 0);
        if (node_ask(NULL, &q, &r) == ERR_OK || !strstr(r.fault, rows[i].fault))
            fail_msg("%s: %s", rows[i].url, r.fault);
        buf_fini(&r.body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers), cmocka_unit_test(test_what_is_asked),
        cmocka_unit_test(test_long_body), cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_urls)};
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
