#include "node/io/outlet.h"
#include "node/io/stream_ev.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>

#include "base/buf.h"
#include "node/io/certs.h"
#include "node/io/tls.h"
#include "tests/unit/node/io/fixture.h"

#define ECHO_HIGH 65536
#define ECHO_LOW 16384

/* One end in the loop: echoes, or sends a pattern and checks that it comes back. */
struct side {
    struct io_stream *stream;
    struct side *partner; /* the loop stops when both are closed */
    struct buf queue;     /* to be echoed or said */
    size_t given;         /* of queue by the last output call */
    bool echo, held;
    size_t send_bytes, sent, received; /* pattern */
    size_t take_max;                   /* bytes taken of one input call; 0 = all */
    struct io_task again;
    bool finish_when_back, finish_at_end, finish_at_ready, abort_at_input;
    bool stop_at_input;
    unsigned ready, ended, closed, drained;
    enum err why;
    char error[128];
};

static char pattern(size_t i)
{
    return (char)(i * 31 + (i >> 9));
}

static void on_ready(void *core)
{
    struct side *d = core;
    d->ready++;
    if (d->finish_at_ready)
        io_stream_finish(d->stream);
}

static void resume(struct io_task *t)
{
    io_stream_resume(CONTAINER_OF(t, struct side, again)->stream);
}

static size_t on_input(void *core, struct span bytes)
{
    struct side *d = core;
    assert_int_equal(d->ended + d->closed, 0);
    if (d->abort_at_input) {
        io_stream_abort(d->stream);
        return 0;
    }
    size_t n = bytes.len;
    if (d->take_max && n > d->take_max) {
        n = d->take_max;
        io_loop_soon(io_stream_loop(d->stream), &d->again, resume);
    }
    if (d->echo) {
        buf_consume(&d->queue, d->given); /* what output gave counts as sent */
        d->given = 0;
        size_t room = ECHO_HIGH - buf_len(&d->queue);
        n = n < room ? n : room;
        d->held = n < bytes.len && !d->again.next;
        assert_int_equal(buf_append(&d->queue, span_until(bytes, n)), ERR_OK);
    } else {
        for (size_t i = 0; i < n; i++)
            if (bytes.ptr[i] != pattern(d->received + i))
                fail_msg("byte %zu differs", d->received + i);
    }
    d->received += n;
    if (d->finish_when_back && d->received == d->send_bytes)
        io_stream_finish(d->stream);
    if (d->stop_at_input)
        io_loop_stop(io_stream_loop(d->stream));
    return n;
}

static void on_input_end(void *core)
{
    struct side *d = core;
    d->ended++;
    if (d->finish_at_end)
        io_stream_finish(d->stream);
}

static size_t on_output(void *core, struct span *out, size_t max, char *scratch, size_t room)
{
    struct side *d = core;
    assert_true(room >= IO_STREAM_ROOM_MIN && max >= 2);
    if (d->send_bytes > d->sent) {
        size_t n = d->send_bytes - d->sent;
        n = n < room ? n : room;
        for (size_t i = 0; i < n; i++)
            scratch[i] = pattern(d->sent + i);
        d->sent += n;
        /* In two spans, so that pieces are gathered. */
        out[0] = span_of(scratch, n / 3);
        out[1] = span_of(scratch + n / 3, n - n / 3);
        return 2;
    }
    buf_consume(&d->queue, d->given);
    d->given = 0;
    if (d->held && buf_len(&d->queue) < ECHO_LOW) {
        d->held = false;
        io_stream_resume(d->stream);
    }
    if (buf_len(&d->queue) == 0)
        return 0;
    out[0] = buf_span(&d->queue);
    if (out[0].len > room)
        out[0].len = room;
    d->given = out[0].len;
    return 1;
}

static void on_drained(void *core)
{
    ((struct side *)core)->drained++;
}

static void on_closed(void *core, enum err why)
{
    struct side *d = core;
    d->closed++;
    d->why = why;
    snprintf(d->error, sizeof(d->error), "%s", io_stream_tls_error(d->stream));
    struct io_loop *l = io_stream_loop(d->stream);
    io_task_cancel(&d->again);
    io_stream_destroy(d->stream);
    d->stream = NULL;
    buf_fini(&d->queue);
    if (!d->partner || d->partner->closed)
        io_loop_stop(l);
}

static const struct io_stream_core functions = {on_ready,  on_input,   on_input_end,
                                                on_output, on_drained, on_closed};
static struct io_tls_context *server_tls, *client_tls;

static void say(struct side *d, const char *text)
{
    assert_int_equal(buf_append(&d->queue, span_text(text)), ERR_OK);
}

static void accept_on(struct fixture_loop *f, int fd, bool tls, struct side *d)
{
    d->stream = io_stream_accept(f->loop, fd, tls ? server_tls : NULL, &functions, d);
    assert_non_null(d->stream);
}

/* ---- both ends in one loop, over TCP on the loopback */

static int listen_loopback(struct addr *out)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    assert_int_equal(addr_from_sockaddr((struct sockaddr *)&sa, out), ERR_OK);
    return fd;
}

static void connect_both(struct fixture_loop *f, bool tls, const char *name, bool small,
                         struct side *server, struct side *client)
{
    struct addr at;
    int bytes = 8192, listener = listen_loopback(&at);
    server->partner = client;
    client->partner = server;
    client->stream =
        io_stream_connect(f->loop, &at, tls ? client_tls : NULL, name, &functions, client);
    assert_non_null(client->stream);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(fd >= 0);
    if (small)
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
    close(listener);
    accept_on(f, fd, tls, server);
}

static void echo(bool tls, size_t bytes, size_t take_max)
{
    struct fixture_loop f;
    fixture_loop_init(&f);
    struct side server = {.echo = true, .finish_at_end = true, .take_max = take_max};
    struct side client = {.send_bytes = bytes, .finish_when_back = true, .take_max = take_max};
    connect_both(&f, tls, "a.example", true, &server, &client);
    fixture_loop_run(&f);
    assert_int_equal(client.received, bytes);
    assert_int_equal(client.ready + server.ready, 2);
    assert_int_equal(client.closed + server.closed, 2);
    assert_int_equal(client.why, ERR_CLOSED);
    assert_int_equal(server.why, ERR_CLOSED);
    assert_int_equal(server.ended, 1);
    if (bytes > 4096 * 1024)
        assert_true(server.drained > 0);
    fixture_loop_fini(&f);
}

static void test_echo_clear(void **state)
{
    (void)state;
    echo(false, 10 << 20, 0);
}

static void test_echo_tls(void **state)
{
    (void)state;
    echo(true, 10 << 20, 0);
}

static void test_nibbles_clear(void **state)
{
    (void)state;
    echo(false, 100000, 777);
}

static void test_nibbles_tls(void **state)
{
    (void)state;
    echo(true, 100000, 777);
}

/* ---- the other end is a raw socket */

static void test_half_close(void **state)
{
    (void)state;
    struct fixture_loop f;
    fixture_loop_init(&f);
    int fd[2];
    char got[16];
    fixture_pair(fd, false);
    struct side server = {.echo = true, .finish_at_end = true};
    accept_on(&f, fd[0], false, &server);
    assert_int_equal(write(fd[1], "hello", 5), 5);
    shutdown(fd[1], SHUT_WR);
    fixture_loop_run(&f);
    assert_int_equal(read(fd[1], got, sizeof(got)), 5);
    assert_int_equal(read(fd[1], got, sizeof(got)), 0);
    assert_int_equal(server.ended, 1);
    assert_int_equal(server.why, ERR_CLOSED);
    close(fd[1]);
    fixture_loop_fini(&f);
}

static void stop_loop(struct io_timer *t)
{
    io_loop_stop(t->loop);
}

static void run_ms(struct fixture_loop *f, int64_t ms)
{
    struct io_timer t;
    io_timer_init(&t, f->loop, stop_loop);
    io_timer_set(&t, f->loop->now_ms + ms);
    fixture_loop_run(f);
    io_timer_stop(&t);
}

static void test_slow_reader(void **state)
{
    (void)state;
    struct fixture_loop f;
    fixture_loop_init(&f);
    int fd[2];
    static char got[65536];
    fixture_pair(fd, true);
    struct side server = {.send_bytes = 500000, .finish_at_end = true};
    accept_on(&f, fd[0], false, &server);
    run_ms(&f, 20);
    assert_true(io_stream_has_leftover(server.stream));
    size_t sent = server.sent, at = 0;
    assert_true(sent <= 2 * IO_SLAB_BYTES);
    run_ms(&f, 20);
    assert_int_equal(server.sent, sent); /* asked for no more while the socket is full */
    assert_int_equal(server.drained, 0);
    io_stream_finish(server.stream); /* still sends what output has */
    fcntl(fd[1], F_SETFL, O_NONBLOCK);
    while (at < 500000) {
        ssize_t n = read(fd[1], got, sizeof(got));
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(got[i], pattern(at + (size_t)i));
        if (n > 0)
            at += (size_t)n;
        run_ms(&f, 1);
    }
    assert_true(server.drained > 0);
    assert_int_equal(read(fd[1], got, 1), 0);
    close(fd[1]);
    if (!server.closed)
        fixture_loop_run(&f);
    assert_int_equal(server.why, ERR_CLOSED);
    fixture_loop_fini(&f);
}

/* Hundreds of readers that take nothing cost one small piece each, and lose no byte. */
static void test_crowd(void **state)
{
    enum { CROWD = 200 };
    (void)state;
    struct fixture_loop f;
    fixture_loop_init(&f);
    static struct side servers[CROWD];
    static char got[65536];
    int near[CROWD][2];
    for (int i = 0; i < CROWD; i++) {
        fixture_pair(near[i], true);
        servers[i] = (struct side){.send_bytes = 300000, .finish_at_end = true};
        accept_on(&f, near[i][0], false, &servers[i]);
    }
    run_ms(&f, 20);
    for (int i = 0; i < CROWD; i++)
        assert_true(io_stream_has_leftover(servers[i].stream));
    assert_true(f.loop->rest_bytes > IO_OUTLET_CROWDED_BYTES);
    assert_true(f.loop->rest_bytes <=
                IO_OUTLET_CROWDED_BYTES + IO_OUTPUT_BYTES + CROWD * IO_STREAM_ROOM_MIN);
    for (int i = 0; i < CROWD; i++) {
        io_stream_finish(servers[i].stream);
        for (size_t at = 0; at < servers[i].send_bytes;) {
            ssize_t n = recv(near[i][1], got, sizeof(got), MSG_DONTWAIT);
            for (ssize_t k = 0; k < n; k++)
                assert_int_equal(got[k], pattern(at + (size_t)k));
            if (n > 0)
                at += (size_t)n;
            else
                run_ms(&f, 1);
        }
        close(near[i][1]);
    }
    for (int i = 0; i < CROWD; i++)
        while (!servers[i].closed)
            run_ms(&f, 1);
    assert_int_equal(f.loop->rest_bytes, 0);
    fixture_loop_fini(&f);
}

/* A peer that never closes is left after the linger time. */
static void test_linger_ends(void **state)
{
    (void)state;
    struct fixture_loop f;
    fixture_loop_init(&f);
    int fd[2];
    fixture_pair(fd, false);
    struct side server = {.finish_at_ready = true};
    accept_on(&f, fd[0], false, &server);
    assert_int_equal(write(fd[1], "late", 4), 4);
    int64_t from_ms = f.loop->now_ms;
    fixture_loop_run(&f);
    assert_true(f.loop->now_ms - from_ms >= 1000 && f.loop->now_ms - from_ms < 3000);
    assert_int_equal(server.received, 0);
    assert_int_equal(server.why, ERR_CLOSED);
    close(fd[1]);
    fixture_loop_fini(&f);
}

static void test_endings(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        bool tls;
        const char *bytes; /* then the other end closes */
        enum err expected;
        unsigned ended;
    } rows[] = {
        {"bytes that are no ClientHello", true, "GET / HTTP/1.1\r\n\r\n", ERR_LIB, 0},
        {"half a ClientHello", true, "\x16\x03\x01\x02\x00\x01", ERR_CLOSED, 0},
        {"nothing at all", true, "", ERR_CLOSED, 0},
        {"clear text ends in order", false, "", ERR_CLOSED, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture_loop f;
        fixture_loop_init(&f);
        int fd[2];
        fixture_pair(fd, false);
        struct side server = {.echo = true, .finish_at_end = true};
        accept_on(&f, fd[0], rows[i].tls, &server);
        assert_int_equal(write(fd[1], rows[i].bytes, strlen(rows[i].bytes)),
                         strlen(rows[i].bytes));
        close(fd[1]);
        fixture_loop_run(&f);
        if (server.why != rows[i].expected || server.ended != rows[i].ended)
            fail_msg("%s: %s %u", rows[i].why, err_text(server.why), server.ended);
        fixture_loop_fini(&f);
    }
}

static void test_reset_while_paused(void **state)
{
    (void)state;
    struct fixture_loop f;
    fixture_loop_init(&f);
    struct addr at;
    int listener = listen_loopback(&at), client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(&at, &sa);
    assert_int_equal(connect(client, (struct sockaddr *)&sa, len), 0);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    struct side server = {0};
    accept_on(&f, fd, false, &server);
    io_stream_pause(server.stream);
    struct linger now = {.l_onoff = 1};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(client);
    fixture_loop_run(&f);
    assert_int_equal(server.why, ERR_CLOSED);
    assert_int_equal(server.ended, 0);
    close(listener);
    fixture_loop_fini(&f);
}

/* Both ends of a TCP connection; the first one does not block. */
static void tcp_pair(int fd[2])
{
    struct addr at;
    struct sockaddr_storage sa;
    int listener = listen_loopback(&at);
    fd[1] = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = addr_to_sockaddr(&at, &sa);
    assert_int_equal(connect(fd[1], (struct sockaddr *)&sa, len), 0);
    fd[0] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(fd[0] >= 0);
    close(listener);
}

static void test_cut(void **state)
{
    (void)state;
    struct fixture_loop f;
    fixture_loop_init(&f);
    int fd[2];
    char got[1000];
    tcp_pair(fd);
    struct side server = {.send_bytes = sizeof(got)};
    accept_on(&f, fd[0], false, &server);
    run_ms(&f, 5);
    assert_int_equal(recv(fd[1], got, sizeof(got), MSG_WAITALL), sizeof(got));
    io_stream_cut(server.stream); /* from outside: told in the loop */
    assert_int_equal(server.closed, 0);
    fixture_loop_run(&f);
    assert_int_equal(server.why, ERR_CLOSED);
    assert_int_equal(recv(fd[1], got, 1, 0), -1); /* no end that could be taken for one */
    assert_int_equal(errno, ECONNRESET);
    close(fd[1]);
    fixture_loop_fini(&f);
}

static void test_backlog(void **state)
{
    (void)state;
    struct fixture_loop f;
    fixture_loop_init(&f);
    static char got[65536];
    int fd[2], room = 65536;
    tcp_pair(fd);
    setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)); /* no tuning by the system */
    setsockopt(fd[1], SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    struct side server = {.send_bytes = 8000000, .finish_at_end = true};
    accept_on(&f, fd[0], false, &server);
    while (!io_stream_has_leftover(server.stream))
        run_ms(&f, 5);
    run_ms(&f, 50);
    assert_true(io_stream_backlog(server.stream) > 0);
    for (size_t at = 0; at < server.send_bytes;) {
        ssize_t n = recv(fd[1], got, sizeof(got), MSG_DONTWAIT);
        if (n > 0)
            at += (size_t)n;
        else
            run_ms(&f, 1);
    }
    while (io_stream_backlog(server.stream) > 0) /* until the last acknowledgement */
        run_ms(&f, 5);
    assert_false(io_stream_has_leftover(server.stream));
    close(fd[1]);
    fixture_loop_run(&f);
    fixture_loop_fini(&f);
}

static void test_abort_inside(void **state)
{
    (void)state;
    struct fixture_loop f;
    fixture_loop_init(&f);
    int fd[2];
    fixture_pair(fd, false);
    struct side server = {.abort_at_input = true};
    accept_on(&f, fd[0], false, &server);
    assert_int_equal(write(fd[1], "x", 1), 1);
    fixture_loop_run(&f);
    assert_int_equal(server.closed, 1);
    close(fd[1]);
    fixture_loop_fini(&f);
}

static void test_kick_from_outside(void **state)
{
    (void)state;
    struct fixture_loop f;
    fixture_loop_init(&f);
    int fd[2];
    char got[8];
    fixture_pair(fd, false);
    struct side server = {.echo = true};
    accept_on(&f, fd[0], false, &server);
    run_ms(&f, 1);
    say(&server, "more");
    io_stream_kick(server.stream);
    io_stream_kick(server.stream);
    run_ms(&f, 1);
    assert_int_equal(read(fd[1], got, sizeof(got)), 4);
    io_stream_destroy(server.stream); /* from outside: allowed at any time, without `closed` */
    buf_fini(&server.queue);
    assert_int_equal(server.closed, 0);
    assert_int_equal(read(fd[1], got, sizeof(got)), 0);
    close(fd[1]);
    fixture_loop_fini(&f);
}

static void test_connect_refused(void **state)
{
    (void)state;
    struct fixture_loop f;
    fixture_loop_init(&f);
    struct addr at;
    close(listen_loopback(&at));
    struct side client = {0};
    client.stream = io_stream_connect(f.loop, &at, NULL, NULL, &functions, &client);
    assert_int_equal(client.closed, 0);
    fixture_loop_run(&f);
    assert_int_equal(client.why, ERR_REFUSED);
    assert_int_equal(client.ready, 0);
    fixture_loop_fini(&f);
}

/* ---- TLS: the other end is OpenSSL in a thread */

enum trick { TRICK_NONE, TRICK_CUT, TRICK_KEY_UPDATE, TRICK_HALF, TRICK_BYTEWISE };
struct visit {
    const char *name; /* SNI */
    int version;      /* 0: any */
    const char *alpn; /* length-prefixed */
    SSL_SESSION *session;
    enum trick trick;
    int fd;
    bool connected, resumed;
    char cn[64];
    char echo[16];
    long alpn_len;
    SSL_SESSION *ticket; /* owned */
};

static int keep_ticket(SSL *ssl, SSL_SESSION *s)
{
    struct visit *v = SSL_get_app_data(ssl);
    SSL_SESSION_free(v->ticket);
    v->ticket = s;
    return 1;
}

static void *visit_thread(void *arg)
{
    struct visit *v = arg;
    SSL_CTX *x = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(x, keep_ticket);
    if (v->version) {
        SSL_CTX_set_min_proto_version(x, v->version);
        SSL_CTX_set_max_proto_version(x, v->version);
    }
    SSL *ssl = SSL_new(x);
    SSL_set_app_data(ssl, v);
    SSL_set_fd(ssl, v->fd);
    if (v->name)
        SSL_set_tlsext_host_name(ssl, (char *)(uintptr_t)v->name);
    if (v->alpn)
        SSL_set_alpn_protos(ssl, (const unsigned char *)v->alpn, (unsigned)strlen(v->alpn));
    if (v->session)
        SSL_set_session(ssl, v->session);
    v->connected = SSL_connect(ssl) == 1;
    if (v->connected) {
        X509 *peer = SSL_get1_peer_certificate(ssl);
        X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, v->cn,
                                  sizeof(v->cn));
        X509_free(peer);
        v->resumed = SSL_session_reused(ssl);
        const unsigned char *chosen;
        unsigned len;
        SSL_get0_alpn_selected(ssl, &chosen, &len);
        v->alpn_len = len;
        if (v->trick == TRICK_KEY_UPDATE)
            for (int i = 0; i < 3; i++)
                SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
        if (v->trick == TRICK_BYTEWISE) {
            for (int i = 0; i < 5; i++)
                SSL_write(ssl, &"hello"[i], 1);
        } else {
            SSL_write(ssl, "hello", 5);
        }
        if (v->trick != TRICK_CUT)
            SSL_shutdown(ssl);
        for (int n, at = 0; (n = SSL_read(ssl, v->echo + at, 15 - at)) > 0; at += n)
            if (v->trick == TRICK_CUT && at + n == 5)
                break;
    }
    close(v->fd);
    SSL_free(ssl);
    SSL_CTX_free(x);
    return NULL;
}

static struct side visit(struct visit *v)
{
    struct fixture_loop f;
    fixture_loop_init(&f);
    int fd[2];
    fixture_pair(fd, false);
    v->fd = fd[1];
    struct side server = {.echo = true, .finish_at_end = true};
    pthread_t t;
    accept_on(&f, fd[0], true, &server);
    assert_int_equal(pthread_create(&t, NULL, visit_thread, v), 0);
    fixture_loop_run(&f);
    pthread_join(t, NULL);
    fixture_loop_fini(&f);
    return server;
}

static void test_tls_endings(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        struct visit v = {.name = "a.example", .version = versions[i]};
        struct side s = visit(&v);
        assert_string_equal(v.echo, "hello");
        assert_int_equal(s.ended, 1); /* close_notify */
        SSL_SESSION_free(v.ticket);
        v = (struct visit){.name = "a.example", .version = versions[i], .trick = TRICK_CUT};
        s = visit(&v);
        assert_string_equal(v.echo, "hello");
        assert_int_equal(s.ended, 0); /* cut: no orderly end */
        assert_int_equal(s.why, ERR_CLOSED);
        SSL_SESSION_free(v.ticket);
        v = (struct visit){.version = versions[i], .trick = TRICK_BYTEWISE};
        visit(&v);
        assert_string_equal(v.echo, "hello");
        SSL_SESSION_free(v.ticket);
    }
    struct visit v = {
        .name = "a.example", .trick = TRICK_KEY_UPDATE, .version = TLS1_3_VERSION};
    visit(&v);
    assert_string_equal(v.echo, "hello");
    SSL_SESSION_free(v.ticket);
    v = (struct visit){.version = TLS1_1_VERSION};
    struct side s = visit(&v);
    assert_false(v.connected);
    assert_int_equal(s.why, ERR_LIB);
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *why, *name, *cn;
    } rows[] = {
        {"default", "a.example", "a"},    {"second", "B.Example", "b"},
        {"wildcard", "x.b.example", "b"}, {"unknown: default", "z.example", "a"},
        {"none: default", NULL, "a"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct visit v = {.name = rows[i].name};
        visit(&v);
        if (!v.connected || strcmp(v.cn, rows[i].cn) != 0)
            fail_msg("%s: %s", rows[i].why, v.cn);
        SSL_SESSION_free(v.ticket);
    }
}

static void test_resumption(void **state)
{
    (void)state;
    static const struct {
        const char *why, *first, *second;
        bool resumed;
    } rows[] = {
        {"same name", "a.example", "a.example", true},
        {"same name, other case", "b.example", "B.EXAMPLE", true},
        {"no name both times", NULL, NULL, true},
        {"another name", "b.example", "a.example", false},
        {"another name of the same certificate", "b.example", "x.b.example", false},
        {"name, then none", "b.example", NULL, false},
        {"none, then a name", NULL, "b.example", false},
    };
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < ARRAY_LEN(rows) * 2; i++) {
        size_t row = i / 2;
        struct visit first = {.name = rows[row].first, .version = versions[i % 2]};
        visit(&first);
        assert_non_null(first.ticket);
        struct visit second = {
            .name = rows[row].second, .version = versions[i % 2], .session = first.ticket};
        visit(&second);
        if (!second.connected || second.resumed != rows[row].resumed)
            fail_msg("%s, version %x", rows[row].why, versions[i % 2]);
        assert_string_equal(second.echo, "hello");
        SSL_SESSION_free(first.ticket);
        SSL_SESSION_free(second.ticket);
    }
}

/* After a reload the tickets of before still count, but only at the listener of that name. */
static void test_resumption_after_reload(void **state)
{
    (void)state;
    static const struct {
        const char *listener;
        bool resumed;
    } rows[] = {{"web", true}, {"other", false}};
    struct conf_certificate one = {.cert = fixture_path("b.crt"), .key = fixture_path("b.key")};
    struct io_tls_context *before = server_tls;
    struct conf_faults faults = {0};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct visit first = {.name = "b.example"};
        server_tls = before;
        visit(&first);
        struct conf_listener l = {.name = rows[i].listener, .h1 = true, .tls_min = 12};
        struct io_certs *certs = io_certs_create(&one, 1, &faults);
        server_tls = io_tls_server_create(&l, certs, NULL, &faults);
        io_certs_drop(certs);
        struct visit second = {.name = "b.example", .session = first.ticket};
        visit(&second);
        assert_true(second.connected);
        assert_int_equal(second.resumed, rows[i].resumed);
        SSL_SESSION_free(first.ticket);
        SSL_SESSION_free(second.ticket);
        io_tls_context_drop(server_tls);
    }
    server_tls = before;
}

static void test_alpn(void **state)
{
    (void)state;
    static const struct {
        const char *why, *offered;
        bool connected;
        long len;
    } rows[] = {
        {"h2 wins", "\x08http/1.1\x02h2", true, 2},
        {"http/1.1", "\x08http/1.1", true, 8},
        {"none offered", NULL, true, 0},
        {"none in common",
         "\x03"
         "ftp",
         false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct visit v = {.alpn = rows[i].offered};
        visit(&v);
        if (v.connected != rows[i].connected || v.alpn_len != rows[i].len)
            fail_msg("%s", rows[i].why);
        SSL_SESSION_free(v.ticket);
    }
}

/* ---- towards an origin */

static void test_verify(void **state)
{
    (void)state;
    static const struct {
        const char *why, *name;
        bool ready;
    } rows[] = {
        {"a name of the certificate", "a.example", true},
        {"another name", "b.example", false},
        {"its address", "127.0.0.1", true},
        {"another address", "127.0.0.2", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture_loop f;
        fixture_loop_init(&f);
        struct side server = {.echo = true, .finish_at_end = true};
        struct side client = {.send_bytes = 10, .finish_when_back = true};
        connect_both(&f, true, rows[i].name, false, &server, &client);
        fixture_loop_run(&f);
        if (client.ready != rows[i].ready)
            fail_msg("%s: %s", rows[i].why, client.error);
        assert_int_equal(client.why, rows[i].ready ? ERR_CLOSED : ERR_LIB);
        assert_int_equal(client.error[0] == 0, rows[i].ready);
        fixture_loop_fini(&f);
    }
}

static int make(void **state)
{
    (void)state;
    fixture_certificate("a", "a", "DNS:a.example,IP:127.0.0.1", NULL);
    fixture_certificate("b", "b", "DNS:b.example,DNS:*.b.example", NULL);
    struct conf_certificate list[] = {
        {.cert = fixture_path("a.crt"), .key = fixture_path("a.key")},
        {.cert = fixture_path("b.crt"), .key = fixture_path("b.key")},
    };
    struct conf_listener l = {
        .name = "web", .tls = true, .h1 = true, .h2 = true, .tls_min = 12};
    struct conf_faults faults = {0};
    struct io_certs *certs = io_certs_create(list, 2, &faults);
    assert_non_null(certs);
    server_tls = io_tls_server_create(&l, certs, NULL, &faults);
    io_certs_drop(certs);
    client_tls =
        io_tls_client_create(fixture_path("a.crt"), true, (struct conf_place){0}, &faults);
    assert_true(server_tls && client_tls);
    signal(SIGPIPE, SIG_IGN); /* of the other ends in threads */
    return 0;
}

static int clean(void **state)
{
    (void)state;
    io_tls_context_drop(server_tls);
    io_tls_context_drop(client_tls);
    fixture_clean();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_kick_from_outside),
        cmocka_unit_test(test_echo_clear),
        cmocka_unit_test(test_nibbles_clear),
        cmocka_unit_test(test_echo_tls),
        cmocka_unit_test(test_nibbles_tls),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_linger_ends),
        cmocka_unit_test(test_endings),
        cmocka_unit_test(test_reset_while_paused),
        cmocka_unit_test(test_abort_inside),
        cmocka_unit_test(test_connect_refused),
        cmocka_unit_test(test_tls_endings),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_resumption),
        cmocka_unit_test(test_resumption_after_reload),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_verify),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_backlog),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
