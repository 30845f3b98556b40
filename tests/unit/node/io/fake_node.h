/* tests/unit/node/io/fake_node.h - another node in the test's own loop, which answers by the
 * path of a request: TLS with the cluster's secret, HTTP/2. */
#pragma once

#include <netinet/in.h>

#include "base/http/h2.h"
#include "node/io/listen_ev.h"
#include "node/io/stream_ev.h"
#include "node/io/tls_peer.h"
#include "tests/unit/node/io/fixture.h"

struct fake_visit {
    struct fake_visit *next;
    struct io_stream *stream;
    struct http_h2 *core;
    struct fake_node *server;
    bool closed;
    unsigned served;
};
struct fake_sending { /* the user of a stream */
    size_t left;
    bool trailers, echo, short_of, stuck;
    struct buf got;
};
/* How it answers everything. */
enum fake_mood {
    FAKE_BY_PATH,
    FAKE_ECHO,
    FAKE_REFUSE,
    FAKE_SILENT,
    FAKE_FLOOD, /* more than anybody takes */
    FAKE_CLOSE,
    FAKE_CLOSE_OLD, /* a connection that served already; else FAKE_ECHO */
};

struct fake_node {
    struct io_loop *loop;
    struct io_tls_context *tls;
    struct io_listener *listener;
    int fd;
    struct addr address;
    struct fake_visit *visits;
    unsigned accepted, heads, streams_max, resets;
    size_t got_bytes;
    enum fake_mood mood;
    bool signs;                /* says 102 first */
    struct http_fields fields; /* of each answer; borrowed */
    bool goaway;               /* says it after each answer */
    char last_peer[80];
};

static struct io_secrets *secrets_of(uint8_t byte)
{
    uint8_t bytes[IO_SECRET_BYTES];
    memset(bytes, byte, sizeof(bytes));
    return io_secrets_create(bytes, 1);
}

/* ---- the other node */

static void answer(struct fake_visit *v, int32_t id, struct fake_sending *s, unsigned status,
                   int64_t bytes)
{
    const struct http_response r = {.status = (uint16_t)status,
                                    .fields = v->server->fields,
                                    .body_bytes = bytes,
                                    .length_declared = bytes >= 0};
    bool body = s->left > 0 || s->trailers || s->echo || s->stuck;
    (void)!http_h2_respond(v->core, id, &r, body);
}

static void srv_request(void *user, int32_t id, struct http_request *r, struct arena *arena,
                        bool ended)
{
    struct fake_visit *v = user;
    struct fake_sending *s = arena_zalloc(arena, sizeof(*s));
    buf_init(&s->got, 0);
    v->server->heads++;
    http_h2_set_user(v->core, id, s);
    (void)ended;
    enum fake_mood mood = v->server->mood;
    if (mood == FAKE_CLOSE_OLD)
        mood = v->served ? FAKE_CLOSE : FAKE_ECHO;
    v->served++;
    if (v->server->signs)
        (void)!http_h2_interim(v->core, id, &(const struct http_response){.status = 102});
    if (mood == FAKE_SILENT || span_equal(r->target, SPAN("/silent")))
        return;
    if (mood == FAKE_FLOOD || span_equal(r->target, SPAN("/big"))) {
        s->left = mood == FAKE_FLOOD ? 20 << 20 : 3 << 20;
        answer(v, id, s, 200, (int64_t)s->left);
    } else if (span_equal(r->target, SPAN("/trailers"))) {
        const struct http_response hint = {.status = 103};
        (void)!http_h2_interim(v->core, id, &hint);
        s->trailers = true;
        s->left = 5;
        answer(v, id, s, 200, HTTP_LENGTH_UNKNOWN);
    } else if (mood == FAKE_ECHO || span_equal(r->target, SPAN("/echo"))) {
        s->echo = true;
        answer(v, id, s, 200, HTTP_LENGTH_UNKNOWN);
    } else if (mood == FAKE_REFUSE || span_equal(r->target, SPAN("/no"))) {
        answer(v, id, s, 413, 0);
    } else if (span_equal(r->target, SPAN("/reset"))) {
        http_h2_reset(v->core, id, HTTP_H2_REFUSED_STREAM);
    } else if (span_equal(r->target, SPAN("/cut"))) {
        s->left = 5;
        s->short_of = true;
        answer(v, id, s, 200, 10);
    } else if (span_equal(r->target, SPAN("/last"))) { /* all of it, and no end */
        s->left = 5;
        s->short_of = true;
        answer(v, id, s, 200, 5);
    } else if (span_equal(r->target, SPAN("/stuck"))) {
        s->stuck = true;
        answer(v, id, s, 200, 10);
    } else if (mood == FAKE_CLOSE || span_equal(r->target, SPAN("/close"))) {
        io_stream_cut(v->stream);
    } else {
        s->left = 5;
        answer(v, id, s, 200, 5);
    }
    if (v->server->goaway)
        http_h2_goaway(v->core);
}

static void srv_body(void *user, int32_t id, struct span bytes)
{
    struct fake_visit *v = user;
    struct fake_sending *s = http_h2_user(v->core, id);
    v->server->got_bytes += bytes.len;
    http_h2_consumed(v->core, id, bytes.len);
    if (s && s->echo) {
        assert_int_equal(buf_append(&s->got, bytes), ERR_OK);
        http_h2_body_ready(v->core, id);
    }
}

static void srv_body_end(void *user, int32_t id)
{
    struct fake_visit *v = user;
    struct fake_sending *s = http_h2_user(v->core, id);
    if (s)
        s->echo = false;
    http_h2_body_ready(v->core, id);
}

static void srv_trailers(void *user, int32_t id, const struct http_fields *fields)
{
    (void)user, (void)id, (void)fields;
}

static void srv_close(void *user, int32_t id, uint32_t error)
{
    struct fake_visit *v = user;
    struct fake_sending *s = http_h2_user(v->core, id);
    v->server->resets += error != 0;
    if (s)
        buf_fini(&s->got);
}

static enum err srv_read(void *user, int32_t id, char *out, size_t room, size_t *out_len,
                         struct http_fields *trailers)
{
    static char name[] = "x-sum", value[] = "1";
    static struct http_field field = {{name, 5}, {value, 1}, HTTP_NAME_OTHER};
    struct fake_visit *v = user;
    struct fake_sending *s = http_h2_user(v->core, id);
    size_t n = s->left < room ? s->left : room;
    if (buf_len(&s->got) > 0 || s->echo) {
        struct span got =
            span_until(buf_span(&s->got), buf_len(&s->got) < room ? buf_len(&s->got) : room);
        if (got.len == 0)
            return ERR_AGAIN;
        memcpy(out, got.ptr, got.len);
        *out_len = got.len;
        buf_consume(&s->got, got.len);
        return buf_len(&s->got) == 0 && !s->echo ? ERR_CLOSED : ERR_OK;
    }
    if (s->stuck)
        return ERR_AGAIN;
    if (s->short_of && s->left == 0)
        return ERR_CORRUPT;
    memset(out, 'h', n);
    s->left -= n;
    *out_len = n;
    if (s->left > 0 || s->short_of)
        return ERR_OK;
    if (s->trailers)
        *trailers = (struct http_fields){.at = &field, .count = 1, .room = 1};
    return ERR_CLOSED;
}

static void srv_refused(void *user, int32_t id, unsigned status, const char *reason)
{
    (void)user, (void)id;
    fail_msg("a request that is none: %u %s", status, reason);
}

static const struct http_h2_functions srv_functions = {
    .refused = srv_refused,
    .request = srv_request,
    .body = srv_body,
    .trailers = srv_trailers,
    .body_end = srv_body_end,
    .stream_close = srv_close,
    .read_body = srv_read,
};

static void visit_ready(void *core)
{
    struct fake_visit *v = core;
    const char *id = io_stream_peer_id(v->stream);
    assert_non_null(id);
    assert_true(io_stream_is_h2(v->stream));
    snprintf(v->server->last_peer, sizeof(v->server->last_peer), "%s", id);
}

static size_t visit_input(void *core, struct span bytes)
{
    struct fake_visit *v = core;
    if (http_h2_feed(v->core, bytes, v->server->loop->now_ms) != ERR_OK)
        io_stream_finish(v->stream);
    return bytes.len;
}

static void visit_input_end(void *core)
{
    struct fake_visit *v = core;
    io_stream_finish(v->stream);
}

static size_t visit_output(void *core, struct span *out, size_t max, char *scratch, size_t room)
{
    struct fake_visit *v = core;
    size_t n = http_h2_output(v->core, scratch, room);
    (void)max;
    out[0] = span_of(scratch, n);
    if (n == 0 && http_h2_is_done(v->core))
        io_stream_finish(v->stream);
    return n > 0;
}

static void visit_closed(void *core, enum err why)
{
    struct fake_visit *v = core;
    (void)why;
    http_h2_destroy(v->core);
    io_stream_destroy(v->stream);
    v->stream = NULL;
    v->closed = true;
}

static const struct io_stream_core visit_core = {
    .ready = visit_ready,
    .input = visit_input,
    .input_end = visit_input_end,
    .output = visit_output,
    .closed = visit_closed,
};

static void on_accepted(void *user, int fd, const struct addr *peer)
{
    struct fake_node *s = user;
    const struct http_h2_conf conf = {.streams_max = s->streams_max};
    struct fake_visit *v = calloc(1, sizeof(*v));
    (void)peer;
    s->accepted++;
    v->server = s;
    v->next = s->visits;
    s->visits = v;
    v->core = http_h2_create(HTTP_SERVER, &conf, &srv_functions, v);
    v->stream = io_stream_accept(s->loop, fd, s->tls, &visit_core, v);
    assert_non_null(v->stream);
}

static void fake_node_listen(struct fake_node *s)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(s->fd, 64), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&sa, &len), 0);
    assert_int_equal(addr_from_sockaddr((struct sockaddr *)&sa, &s->address), ERR_OK);
}

static void fake_node_start(struct fake_node *s, struct io_loop *in, const char *id,
                            uint8_t secret)
{
    struct io_secrets *secrets = secrets_of(secret);
    *s = (struct fake_node){.loop = in, .tls = io_tls_peer_server_create(secrets, id)};
    io_secrets_drop(secrets);
    fake_node_listen(s);
    s->listener = io_listen_start(in, s->fd, on_accepted, s);
}

/* The other ends of its connections are gone. */
static void fake_node_stop(struct fake_node *s)
{
    io_listen_stop(s->listener);
    close(s->fd);
    for (struct fake_visit *v = s->visits, *next; v; v = next) {
        next = v->next;
        if (!v->closed)
            visit_closed(v, ERR_CLOSED);
        free(v);
    }
    io_tls_context_drop(s->tls);
}
