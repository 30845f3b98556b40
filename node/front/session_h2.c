#include "node/front/session_h2.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/counter.h"
#include "base/http/h2.h"
#include "base/log.h"

#define ARENA_BYTES (128 * 1024) /* of a stream, beside its head in a few forms */
#define PEER_STREAMS 128         /* node/io/link_ev.h counts on 100 */
#define NOTICE_MS 1000           /* a client that is to leave and idle gets this long for it */

struct h2;

struct stream {
    struct stream *next, **prev;
    struct h2 *connection;
    struct front_exchange *exchange;
    struct buf body; /* of the request: came, not yet taken by the exchange nor credited */
    struct http_fields trailers;
    int64_t moved_at_ms; /* when bytes of it last went either way */
    int64_t left;        /* of the answer as declared; HTTP_LENGTH_UNKNOWN */
    int32_t id;
    bool inside;       /* in offer: call-backs need not begin another one */
    bool continue_due; /* the client waits for 100 Continue before it sends the body */
    bool dropping;     /* nobody wants the request's body */
    bool ended;        /* the request is whole */
    bool end_told;     /* and the exchange knows */
    bool answered;     /* the exchange gave the head */
    bool sending;      /* there is more of the answer's body to give */
    bool waiting;      /* for the exchange, which has none now */
};

struct h2 {
    struct front_session *session;
    struct http_h2 *core;
    struct stream *streams;
    int64_t idle_at_ms; /* since when no stream is open */
    int64_t head_at_ms; /* when the head that arrives began; 0: none does */
    int64_t sent_at_ms; /* when body bytes last went out */
    int64_t told_at_ms; /* when the client was told to leave; 0: it was not */
    bool served;        /* there was a request */
    bool finishing;
};

static int64_t now_ms(const struct h2 *c)
{
    return front_session_now_ms(c->session);
}

static uint32_t idle_ms(const struct h2 *c)
{
    return front_session_limits(c->session)->body_idle_ms;
}

static void finish(struct h2 *c)
{
    if (c->finishing)
        return;
    c->finishing = true;
    io_stream_finish(c->session->stream);
    front_session_wait(c->session, idle_ms(c));
}

static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
    return a_ms == 0 || (b_ms != 0 && b_ms < a_ms) ? b_ms : a_ms;
}

/* When a connection without streams ends. Who is told to leave usually does so by himself, and
 * a client that sleeps must not hold up a stop. */
static int64_t idle_until_ms(const struct h2 *c)
{
    const struct conf_limits *l = front_session_limits(c->session);
    int64_t until_ms = c->idle_at_ms + (c->served ? l->keepalive_ms : l->header_ms);
    int64_t from_ms = c->told_at_ms > c->idle_at_ms ? c->told_at_ms : c->idle_at_ms;
    return earlier(until_ms, c->told_at_ms ? from_ms + NOTICE_MS : 0);
}

/* Something moved on the stream; the next time is the client's to move. */
static void moved(struct stream *st)
{
    st->moved_at_ms = now_ms(st->connection);
    front_session_wait_at_most(st->connection->session, idle_ms(st->connection));
}

/* ---- the request's body */

static bool wants_body(const struct stream *st)
{
    return !st->dropping && front_exchange_wants_body(st->exchange);
}

static void credit(struct stream *st, size_t bytes)
{
    if (bytes > 0)
        http_h2_consumed(st->connection->core, st->id, bytes);
}

static void say_continue(struct stream *st)
{
    static const struct http_response go_on = {.status = 100};
    if (!st->continue_due || st->answered)
        return;
    st->continue_due = false;
    if (http_h2_interim(st->connection->core, st->id, &go_on) == ERR_OK)
        io_stream_kick(st->connection->session->stream);
}

/* How many of these the exchange took, or nobody wants. */
static size_t give(struct stream *st, struct span bytes)
{
    if (st->answered && !wants_body(st))
        st->dropping = true;
    if (st->dropping)
        return bytes.len;
    return wants_body(st) ? front_exchange_body(st->exchange, bytes) : 0;
}

/* What waits for an exchange that does not want it any more. */
static void drop(struct stream *st)
{
    st->dropping = true;
    credit(st, buf_len(&st->body));
    buf_release(&st->body);
}

/* Gives what is there, then the end. */
static void offer(struct stream *st)
{
    if (st->inside)
        return;
    st->inside = true;
    if (buf_len(&st->body) > 0) {
        size_t took = give(st, buf_span(&st->body));
        buf_consume(&st->body, took);
        credit(st, took);
    }
    if (buf_len(&st->body) == 0) {
        buf_release(&st->body);
        if (st->ended && !st->end_told && !st->dropping) {
            st->end_told = true;
            front_exchange_body_end(st->exchange, st->trailers.count ? &st->trailers : NULL);
        }
    }
    st->inside = false;
}

/* ---- what exchanges tell */

static void on_interim(void *user, const struct http_response *r)
{
    struct stream *st = user;
    if (!st->answered && http_h2_interim(st->connection->core, st->id, r) == ERR_OK)
        io_stream_kick(st->connection->session->stream);
}

static void on_head(void *user, const struct http_response *r, bool body)
{
    struct stream *st = user;
    struct http_h2 *core = st->connection->core;
    must(!st->answered);
    st->answered = true;
    st->sending = body && !r->body_absent && !http_status_is_bodyless(r->status);
    st->left = r->body_bytes;
    enum err e = http_h2_respond(core, st->id, r, st->sending);
    if (e != ERR_OK && e != ERR_CLOSED) /* closed: the stream is about to go */
        http_h2_reset(core, st->id, HTTP_H2_INTERNAL_ERROR);
    if (!wants_body(st))
        drop(st);
    moved(st);
    io_stream_kick(st->connection->session->stream);
}

static void on_body_ready(void *user)
{
    struct stream *st = user;
    st->waiting = false;
    moved(st);
    http_h2_body_ready(st->connection->core, st->id);
    io_stream_kick(st->connection->session->stream);
}

static void on_body_wanted(void *user)
{
    struct stream *st = user;
    if (wants_body(st)) /* else it is to be drained */
        say_continue(st);
    moved(st);
    offer(st);
    io_stream_kick(st->connection->session->stream); /* credit */
}

static const struct front_exchange_functions exchange_functions = {
    .interim = on_interim,
    .head = on_head,
    .body_ready = on_body_ready,
    .body_wanted = on_body_wanted,
};

/* ---- what the core tells */

static void on_request(void *user, int32_t id, struct http_request *read, struct arena *arena,
                       bool ended)
{
    struct h2 *c = user;
    struct stream *st = arena_zalloc(arena, sizeof(*st));
    struct http_request *r = arena_alloc(arena, sizeof(*r));
    if (st && r)
        st->exchange = front_exchange_open(c->session->front, &exchange_functions, st);
    if (!st || !r || !st->exchange) {
        http_h2_reset(c->core, id, HTTP_H2_REFUSED_STREAM);
        return;
    }
    http_h2_set_user(c->core, id, st);
    buf_init(&st->body, 0); /* bounded by the window */
    st->connection = c;
    st->id = id;
    st->prev = &c->streams;
    st->next = c->streams;
    if (st->next)
        st->next->prev = &st->next;
    c->streams = st;
    c->served = true;

    *r = *read;
    r->scheme = c->session->client.tls ? SPAN("https") : SPAN("http");
    st->ended = st->end_told = ended;
    st->continue_due = r->expect_continue && !ended;
    moved(st);
    st->inside = true;
    front_exchange_begin(st->exchange, &c->session->client, r, arena, !ended);
    st->inside = false;
    if (!ended && wants_body(st))
        say_continue(st);
}

static void on_body(void *user, int32_t id, struct span bytes)
{
    struct h2 *c = user;
    struct stream *st = http_h2_user(c->core, id);
    must(st); /* one that was refused is not heard of any more */
    st->continue_due = false;
    moved(st);
    size_t took = 0;
    if (buf_len(&st->body) == 0) {
        st->inside = true;
        took = give(st, bytes);
        st->inside = false;
        credit(st, took);
    }
    if (took < bytes.len && buf_append(&st->body, span_from(bytes, took)) != ERR_OK)
        http_h2_reset(c->core, id, HTTP_H2_INTERNAL_ERROR);
    else if (took > 0 && took < bytes.len)
        offer(st); /* there may be room again since */
}

static void on_trailers(void *user, int32_t id, const struct http_fields *f)
{
    struct h2 *c = user;
    struct stream *st = http_h2_user(c->core, id);
    must(st);
    st->trailers = *f;
}

static void on_body_end(void *user, int32_t id)
{
    struct h2 *c = user;
    struct stream *st = http_h2_user(c->core, id);
    must(st);
    st->ended = true;
    offer(st);
}

static void on_stream_close(void *user, int32_t id, uint32_t error)
{
    struct h2 *c = user;
    struct stream *st = http_h2_user(c->core, id);
    if (!st)
        return;
    bool whole = st->answered && !st->sending && error == HTTP_H2_NO_ERROR;
    front_exchange_end(st->exchange, whole);
    buf_fini(&st->body);
    if (st->next)
        st->next->prev = st->prev;
    *st->prev = st->next;
    if (c->streams)
        return;
    c->idle_at_ms = now_ms(c);
    front_session_wait_at_most(c->session, (uint32_t)(idle_until_ms(c) - now_ms(c)));
}

static enum err on_read_body(void *user, int32_t id, char *out, size_t room, size_t *out_len,
                             struct http_fields *out_trailers)
{
    struct h2 *c = user;
    struct stream *st = http_h2_user(c->core, id);
    size_t len = 0;
    struct span bytes;
    enum err e;
    must(st);
    while ((e = front_exchange_peek(st->exchange, &bytes)) == ERR_OK && len < room) {
        size_t n = bytes.len < room - len ? bytes.len : room - len;
        if (st->left != HTTP_LENGTH_UNKNOWN && (int64_t)n > st->left)
            return ERR_CORRUPT; /* more than was declared */
        memcpy(out + len, bytes.ptr, n);
        front_exchange_consume(st->exchange, n);
        len += n;
        if (st->left != HTTP_LENGTH_UNKNOWN)
            st->left -= (int64_t)n;
    }
    if (len > 0) {
        c->sent_at_ms = now_ms(c);
        moved(st);
    }
    st->waiting = e == ERR_AGAIN;
    *out_len = len;
    if (e == ERR_CLOSED) {
        const struct http_fields *trailers = front_exchange_trailers(st->exchange);
        if (st->left > 0)
            return ERR_CORRUPT; /* less than was declared */
        if (trailers)
            *out_trailers = *trailers;
        st->sending = false;
    }
    return e == ERR_AGAIN && len > 0 ? ERR_OK : e;
}

static void on_refused(void *user, int32_t id, unsigned status, const char *reason)
{
    static struct log_limit limit;
    struct h2 *c = user;
    char text[ADDR_TEXT_MAX];
    (void)id;
    c->served = true;
    counter_add(COUNTER_BAD_REQUESTS, 1);
    counter_add(status < 500 ? COUNTER_RESPONSES_4XX : COUNTER_RESPONSES_5XX, 1);
    log_limited(&limit, 60, LOG_INFO, "bad_request", "client=%s status=%u reason=%s",
                addr_print(&c->session->client.peer, false, text), status,
                log_quote(span_text(reason), (char[128]){0}, 128));
}

static const struct http_h2_functions core_functions = {
    .request = on_request,
    .body = on_body,
    .trailers = on_trailers,
    .body_end = on_body_end,
    .stream_close = on_stream_close,
    .read_body = on_read_body,
    .refused = on_refused,
};

/* ---- input and output */

static size_t input(struct front_session *s, struct span bytes)
{
    struct h2 *c = s->state;
    enum err e = http_h2_feed(c->core, bytes, now_ms(c));
    if (!http_h2_in_head(c->core)) {
        c->head_at_ms = 0;
    } else if (c->head_at_ms == 0) {
        c->head_at_ms = now_ms(c);
        front_session_wait_at_most(s, front_session_limits(s)->header_ms);
    }
    if (e != ERR_OK)
        finish(c);
    return bytes.len;
}

/* Without acknowledgements and credit nothing goes on: the client has left. */
static void input_end(struct front_session *s)
{
    finish(s->state);
}

static size_t output(struct front_session *s, struct span *out, size_t max, char *scratch,
                     size_t room)
{
    struct h2 *c = s->state;
    size_t bytes = http_h2_output(c->core, scratch, room);
    must(max >= 1);
    if (bytes == 0) {
        if (http_h2_is_done(c->core))
            finish(c);
        return 0;
    }
    front_session_wait_at_most(s, idle_ms(c));
    out[0] = span_of(scratch, bytes);
    return 1;
}

/* ---- times, ends */

/* Is it the client who must move next? */
static bool is_clients_turn(const struct stream *st)
{
    if (st->sending && st->answered && !st->waiting)
        return true; /* it gives no window */
    return !st->ended && buf_len(&st->body) == 0 && (st->dropping || wants_body(st));
}

/* Ends streams that the client neither feeds nor lets flow. Returns when to look again; 0: the
 * exchanges have to move first. */
static int64_t look_at_streams(struct h2 *c)
{
    int64_t due_ms = 0, now = now_ms(c);
    struct stream *next;
    bool moving = now - c->sent_at_ms < idle_ms(c);
    for (struct stream *st = c->streams; st; st = next) {
        next = st->next;
        if (!is_clients_turn(st))
            continue;
        if (now - st->moved_at_ms < idle_ms(c)) {
            due_ms = earlier(due_ms, st->moved_at_ms + idle_ms(c));
        } else if (st->sending && !moving) {
            http_h2_end(c->core, HTTP_H2_ENHANCE_YOUR_CALM, "the client takes nothing");
            finish(c);
            return 0;
        } else {
            http_h2_reset(c->core, st->id, HTTP_H2_CANCEL);
        }
    }
    return due_ms;
}

/* No stream is open. Returns when to look again. */
static int64_t look_at_idle(struct h2 *c)
{
    int64_t due_ms = idle_until_ms(c);
    http_h2_trim(c->core);
    if (now_ms(c) < due_ms)
        return due_ms;
    http_h2_end(c->core, HTTP_H2_NO_ERROR, c->told_at_ms ? "stopping" : "idle");
    finish(c);
    return 0;
}

static void timeout(struct front_session *s)
{
    struct h2 *c = s->state;
    const struct conf_limits *l = front_session_limits(s);
    enum front_taking taking = front_session_taking(s);
    if (taking == FRONT_STALLED)
        io_stream_cut(s->stream);
    /* No stream is to blame while the socket is full. On a busy connection it often is: so it
     * is looked at again soon, lest a stream that nobody reads outlives its time over and over.
     */
    if (taking == FRONT_TAKING)
        front_session_wait_at_most(s, idle_ms(c) / 8 + 1);
    if (taking != FRONT_TAKEN || c->finishing)
        return;
    int64_t head_due_ms = c->head_at_ms ? c->head_at_ms + l->header_ms : 0;
    if (head_due_ms && now_ms(c) >= head_due_ms) {
        http_h2_end(c->core, HTTP_H2_ENHANCE_YOUR_CALM, "a head took too long");
        finish(c);
        return;
    }
    int64_t due_ms = c->streams ? look_at_streams(c) : look_at_idle(c);
    if (c->finishing)
        return;
    io_timer_set(&s->timer, earlier(due_ms, head_due_ms));
    io_stream_kick(s->stream);
}

static void tell_to_leave(struct h2 *c)
{
    if (c->told_at_ms == 0)
        c->told_at_ms = now_ms(c);
    http_h2_goaway(c->core);
    front_session_wait_at_most(c->session, NOTICE_MS);
}

static void drain(struct front_session *s)
{
    tell_to_leave(s->state);
    io_stream_kick(s->stream);
}

static void open(struct front_session *s)
{
    const struct conf_limits *l = front_session_limits(s);
    struct http_h2_conf conf = {
        .streams_max = l->h2_streams,
        .fields_bytes = l->field_all_bytes,
        .field_count = l->field_count,
        .line_bytes = l->field_line_bytes,
        .field_bytes = l->field_one_bytes,
        .tag_field_bytes = l->field_tags_bytes,
        .arena_bytes = ARENA_BYTES + 4 * l->field_all_bytes,
    };
    if (s->client.node)
        conf.streams_max = PEER_STREAMS;
    struct h2 *c = must_alloc(sizeof(*c));
    c->session = s;
    c->core = http_h2_create(HTTP_SERVER, &conf, &core_functions, c);
    c->idle_at_ms = s->accepted_at_ms;
    s->state = c;
    if (s->front->draining)
        tell_to_leave(c);
}

static void log_end(const struct h2 *c)
{
    static struct log_limit limit;
    uint32_t code = http_h2_end_code(c->core);
    const char *reason = http_h2_end_reason(c->core);
    char text[ADDR_TEXT_MAX];
    if (code == HTTP_H2_NO_ERROR || !reason)
        return;
    if (code == HTTP_H2_ENHANCE_YOUR_CALM)
        counter_add(COUNTER_H2_CALM, 1);
    log_limited(&limit, 60, LOG_INFO, "h2_end", "client=%s error=%u reason=%s",
                addr_print(&c->session->client.peer, false, text), code,
                log_quote(span_text(reason), (char[128]){0}, 128));
}

static void close(struct front_session *s)
{
    struct h2 *c = s->state;
    log_end(c);
    http_h2_destroy(c->core); /* ends the streams, and with them their exchanges */
    free(c);
}

const struct front_protocol front_session_h2 = {
    .open = open,
    .input = input,
    .input_end = input_end,
    .output = output,
    .timeout = timeout,
    .drain = drain,
    .close = close,
};
