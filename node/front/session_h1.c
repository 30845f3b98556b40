#include "node/front/session_h1.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/http/h1.h"
#include "node/front/answer_h1.h"

#define DRAIN_FIRST_MS 1000 /* for the first request, when connections are to end */
#define DRAIN_BYTES 65536   /* of a body that nobody wants, to keep the connection */

/* The request: none > head > body > whole > none ... A request without body passes `body`. */
enum asked {
    ASKED_NONE, /* between requests */
    ASKED_HEAD, /* some of a head has come; an exchange lends its arena */
    ASKED_BODY, /* the exchange has begun */
    ASKED_WHOLE,
};
struct h1 {
    struct front_session *session;
    struct http_h1 *core;
    struct front_exchange *exchange; /* from a request's first byte to its answer's last */
    enum asked asked;
    struct front_answer_h1 answer;
    bool has_body;     /* the request */
    bool dropping;     /* nobody wants the request's body: what comes is thrown away */
    bool continue_due; /* the client waits for 100 Continue before it sends the body */
    bool inside;       /* in read_on, which looks at what call-backs changed by itself */
    bool wanted;       /* body_wanted came meanwhile */
    bool held;         /* the stream keeps bytes that were not taken */
    bool in_time;      /* the timer runs for the head that arrives */
    bool eof;          /* the client will send no more */
    bool last;         /* no request is read any more */
    bool finishing;    /* the stream was told so, or cut */
    int64_t body_left; /* of the request, as declared; HTTP_LENGTH_UNKNOWN: chunked */
    size_t dropped;
    struct buf body; /* of the request: came, not yet taken by the exchange */
};

static void read_on(struct h1 *c);

static bool wants_body(const struct h1 *c)
{
    return c->exchange && !c->dropping && front_exchange_wants_body(c->exchange);
}

static void wait_idle(struct h1 *c)
{
    front_session_wait(c->session, front_session_limits(c->session)->body_idle_ms);
}

/* ---- the ends of a connection */

static void finish(struct h1 *c)
{
    c->last = c->finishing = true;
    io_stream_finish(c->session->stream);
    wait_idle(c); /* for a client that does not take what is left */
}

static void cut(struct h1 *c)
{
    c->last = c->finishing = true;
    io_stream_cut(c->session->stream);
}

static void resume(struct h1 *c)
{
    if (c->held && !c->inside) {
        c->held = false;
        io_stream_resume(c->session->stream);
    }
}

/* Request and answer are over: the next request, or the end. */
static void turn(struct h1 *c)
{
    if (c->last || c->eof || c->session->front->draining || !http_h1_reusable(c->core)) {
        finish(c);
        return;
    }
    http_h1_turn(c->core);
    c->asked = ASKED_NONE;
    c->answer.state = FRONT_ANSWER_NONE;
    c->dropping = c->continue_due = c->in_time = false;
    c->dropped = 0;
    front_session_wait(c->session, front_session_limits(c->session)->keepalive_ms);
    resume(c);
}

/* The answer's head is about to be written, or all is out: what of the rest of the request? */
static void judge_rest(struct h1 *c)
{
    if (c->asked != ASKED_BODY || wants_body(c))
        return;
    c->dropping = true;
    buf_release(&c->body);
    /* RFC 9110 10.1.1: who waits for 100 may send the body all the same, or never. */
    if (c->eof || c->continue_due || c->body_left == HTTP_LENGTH_UNKNOWN ||
        c->body_left > DRAIN_BYTES)
        c->last = true;
    else
        resume(c);
}

/* ---- what exchanges tell */

static void on_interim(void *user, const struct http_response *r)
{
    struct h1 *c = user;
    if (front_answer_h1_interim(&c->answer, c->core, r))
        io_stream_kick(c->session->stream);
}

static void on_head(void *user, const struct http_response *r, bool body)
{
    struct h1 *c = user;
    front_answer_h1_know(&c->answer, r, body);
    io_stream_kick(c->session->stream);
}

static void on_body_ready(void *user)
{
    struct h1 *c = user;
    io_stream_kick(c->session->stream);
}

static void say_continue(struct h1 *c)
{
    static const struct http_response go_on = {.status = 100};
    if (!c->continue_due || c->answer.state != FRONT_ANSWER_NONE)
        return;
    c->continue_due = false;
    on_interim(c, &go_on);
}

static void on_body_wanted(void *user)
{
    struct h1 *c = user;
    if (wants_body(c)) /* else it is to be drained */
        say_continue(c);
    c->wanted = true;
    if (c->inside || c->finishing)
        return;
    wait_idle(c);
    read_on(c);
    resume(c);
}

static const struct front_exchange_functions functions = {
    .interim = on_interim,
    .head = on_head,
    .body_ready = on_body_ready,
    .body_wanted = on_body_wanted,
};

/* Answers `status` instead of what the request asked for, and closes; when an answer is under
 * way already, that is the last one, or cut if it depends on the request. */
static void fail(struct h1 *c, unsigned status, const char *why)
{
    c->last = true;
    if (c->answer.state != FRONT_ANSWER_NONE) {
        if (wants_body(c))
            cut(c);
        return;
    }
    if (!c->exchange) {
        cut(c);
        return;
    }
    bool begun = c->asked != ASKED_HEAD;
    c->asked = ASKED_WHOLE;
    buf_release(&c->body);
    io_timer_set(&c->session->timer, 0);
    if (begun)
        front_exchange_fail(c->exchange, status, why);
    else
        front_exchange_refuse(c->exchange, &c->session->client, NULL, &c->exchange->arena,
                              status, why);
}

/* ---- input */

static void got_request(struct h1 *c, const struct http_request *read)
{
    struct front_exchange *x = c->exchange;
    struct http_request *r = arena_alloc(&x->arena, sizeof(*r));
    if (!r) {
        fail(c, 431, "no room for the request");
        return;
    }
    *r = *read;
    r->scheme = c->session->client.tls ? SPAN("https") : SPAN("http");
    c->asked = ASKED_BODY;
    c->has_body = r->body_bytes != 0;
    c->body_left = r->body_bytes;
    c->continue_due = c->has_body && r->expect_continue && r->version == HTTP_1_1;
    front_exchange_begin(x, &c->session->client, r, &x->arena, c->has_body);
    if (wants_body(c)) {
        say_continue(c);
        wait_idle(c);
    } else if (c->answer.state != FRONT_ANSWER_NONE && c->has_body) {
        wait_idle(c);
    } else {
        io_timer_set(&c->session->timer, 0);
    }
}

static void got_body(struct h1 *c, struct span bytes)
{
    c->continue_due = false;
    if (c->body_left != HTTP_LENGTH_UNKNOWN)
        c->body_left -= (int64_t)bytes.len;
    wait_idle(c);
    if (c->answer.state != FRONT_ANSWER_NONE && !wants_body(c))
        c->dropping = true;
    if (c->dropping) {
        c->dropped += bytes.len;
        if (c->dropped > DRAIN_BYTES)
            c->last = true;
        return;
    }
    size_t took = front_exchange_body(c->exchange, bytes);
    if (took == bytes.len)
        return;
    io_timer_set(&c->session->timer, 0); /* it is not the client's turn */
    if (buf_append(&c->body, span_from(bytes, took)) != ERR_OK)
        cut(c);
}

static void got_end(struct h1 *c, const struct http_fields *trailers)
{
    c->asked = ASKED_WHOLE;
    c->continue_due = false;
    if (!c->exchange) {
        turn(c); /* the answer is out; what was drained ends here */
        return;
    }
    if (!c->has_body)
        return;
    if (c->answer.state == FRONT_ANSWER_NONE)
        io_timer_set(&c->session->timer, 0);
    if (!c->dropping)
        front_exchange_body_end(c->exchange, trailers->count > 0 ? trailers : NULL);
}

/* Nothing more comes. */
static void got_eof(struct h1 *c)
{
    struct http_h1_event e;
    if (c->asked == ASKED_HEAD) {
        (void)http_h1_eof(c->core, &e);
        if (e.kind == HTTP_H1_FAULT)
            fail(c, e.fault.status, e.fault.reason);
        else
            finish(c);
    } else if (c->asked == ASKED_BODY) {
        c->last = true;
        if (c->answer.state == FRONT_ANSWER_NONE || wants_body(c))
            cut(c); /* the client has gone away */
        else if (!c->exchange)
            finish(c);
    }
}

/* May the next thing be read? */
static bool may_read(const struct h1 *c)
{
    if (c->last)
        return false;
    switch (c->asked) {
    case ASKED_NONE:
        return http_h1_unused(c->core) > 0;
    case ASKED_HEAD:
        return true;
    case ASKED_BODY:
        if (buf_len(&c->body) > 0)
            return false;
        return http_h1_body_done(c->core) || c->dropping ||
               c->answer.state != FRONT_ANSWER_NONE || wants_body(c);
    case ASKED_WHOLE:
        return false;
    }
    must(false);
    return false;
}

/* Reads one thing; false: nothing whole is left. */
static bool read_one(struct h1 *c)
{
    struct http_h1_event e;
    if (c->asked == ASKED_NONE) {
        c->exchange = front_exchange_open(c->session->front, &functions, c);
        if (!c->exchange) {
            cut(c);
            return false;
        }
        c->asked = ASKED_HEAD;
    }
    /* Without exchange a declared body is drained, which needs no memory. */
    switch (http_h1_next(c->core, c->exchange ? &c->exchange->arena : NULL, &e)) {
    case HTTP_H1_MORE:
        if (c->eof)
            got_eof(c);
        return false;
    case HTTP_H1_REQUEST:
        got_request(c, &e.request);
        return true;
    case HTTP_H1_BODY:
        got_body(c, e.body);
        return true;
    case HTTP_H1_END:
        got_end(c, &e.trailers);
        return true;
    case HTTP_H1_FAULT:
        fail(c, e.fault.status, e.fault.reason);
        return false;
    case HTTP_H1_RESPONSE:
        break;
    }
    must(false);
    return false;
}

/* What came of the body and was not taken yet. */
static void give_kept(struct h1 *c)
{
    if (buf_len(&c->body) == 0)
        return;
    if (wants_body(c)) {
        buf_consume(&c->body, front_exchange_body(c->exchange, buf_span(&c->body)));
    } else if (c->answer.state != FRONT_ANSWER_NONE) {
        c->dropping = true;
        buf_clear(&c->body);
    }
    if (buf_len(&c->body) == 0)
        buf_release(&c->body);
    else
        io_timer_set(&c->session->timer, 0);
}

static void read_on(struct h1 *c)
{
    c->inside = true;
    do {
        c->wanted = false;
        give_kept(c);
        while (may_read(c) && read_one(c))
            ;
    } while (c->wanted && buf_len(&c->body) > 0);
    c->inside = false;
    if (c->last && !c->exchange && !c->finishing)
        finish(c);
}

/* After input: the time of a head begins with its first byte. */
static void time_head(struct h1 *c)
{
    if (c->asked != ASKED_HEAD)
        return;
    if (http_h1_is_idle(c->core)) { /* only the empty line that may precede a request */
        front_exchange_end(c->exchange, false);
        c->exchange = NULL;
        c->asked = ASKED_NONE;
    } else if (!c->in_time) {
        c->in_time = true;
        front_session_wait(c->session, front_session_limits(c->session)->header_ms);
    }
}

static size_t input(struct front_session *s, struct span bytes)
{
    struct h1 *c = s->state;
    http_h1_feed(c->core, bytes);
    read_on(c);
    size_t unused = http_h1_unused(c->core);
    http_h1_drop_feed(c->core);
    c->held = unused > 0;
    time_head(c);
    return bytes.len - unused;
}

static void input_end(struct front_session *s)
{
    struct h1 *c = s->state;
    c->eof = true;
    if (c->asked == ASKED_NONE)
        finish(c);
    else
        read_on(c); /* finds that nothing more comes; an answer in work is still given */
}

/* ---- output */

static void end_answer(struct h1 *c)
{
    front_exchange_end(c->exchange, true);
    c->exchange = NULL;
    judge_rest(c);
    if (c->asked == ASKED_WHOLE || c->last) {
        turn(c);
    } else {
        wait_idle(c);
        read_on(c); /* perhaps only the body's end was not looked at */
    }
}

static size_t output(struct front_session *s, struct span *out, size_t max, char *scratch,
                     size_t room)
{
    struct h1 *c = s->state;
    size_t count = 0;
    must(max >= FRONT_ANSWER_H1_SPANS);
    if (front_answer_h1_settle(&c->answer, c->exchange))
        end_answer(c);
    if (c->finishing)
        return 0;
    if (c->answer.state == FRONT_ANSWER_KNOWN)
        judge_rest(c);
    bool close = c->last || c->eof || s->front->draining;
    if (front_answer_h1_output(&c->answer, c->core, c->exchange, close, out, scratch, room,
                               &count) != ERR_OK) {
        cut(c); /* and be seen to: an answer until close has no other sign of its end */
        return 0;
    }
    if (count > 0)
        wait_idle(c);
    else if (front_answer_h1_settle(&c->answer, c->exchange))
        end_answer(c); /* until close: its end has no bytes */
    return count;
}

/* ---- times, ends */

static void body_timeout(struct h1 *c)
{
    if (!may_read(c))
        return; /* it is not the client's turn */
    if (c->answer.state == FRONT_ANSWER_NONE)
        fail(c, 408, "the body stopped");
    else if (!c->exchange)
        finish(c);
    else if (wants_body(c))
        cut(c);
    else
        c->last = true; /* the answer goes on */
}

static void timeout(struct front_session *s)
{
    struct h1 *c = s->state;
    enum front_taking taking = front_session_taking(s);
    if (taking == FRONT_STALLED)
        cut(c);
    if (taking != FRONT_TAKEN || c->finishing)
        return;
    switch (c->asked) {
    case ASKED_NONE:
        finish(c);
        return;
    case ASKED_HEAD:
        fail(c, 408, "the head took too long");
        return;
    case ASKED_BODY:
        body_timeout(c);
        return;
    case ASKED_WHOLE:
        return;
    }
}

static void drain(struct front_session *s)
{
    struct h1 *c = s->state;
    if (c->asked != ASKED_NONE || c->finishing)
        return;
    /* The first request of a new connection is on its way; a kept one may end at any time. */
    if (c->in_time)
        front_session_wait_at_most(s, DRAIN_FIRST_MS);
    else
        finish(c);
}

static void open(struct front_session *s)
{
    const struct conf_limits *l = front_session_limits(s);
    struct http_h1_limits limits = {
        .line_bytes = l->field_line_bytes,
        .field_bytes = l->field_one_bytes,
        .tag_field_bytes = l->field_tags_bytes,
        .fields_bytes = l->field_all_bytes,
        .field_count = l->field_count,
        .chunk_extension_bytes = http_h1_limits_default.chunk_extension_bytes,
    };
    struct h1 *c = must_alloc(sizeof(*c));
    c->session = s;
    c->core = http_h1_create(HTTP_SERVER, &limits);
    c->in_time = true; /* since accept */
    buf_init(&c->body, 0);
    front_answer_h1_init(&c->answer);
    s->state = c;
}

static void close(struct front_session *s)
{
    struct h1 *c = s->state;
    front_exchange_end(c->exchange, false);
    http_h1_destroy(c->core);
    buf_fini(&c->body);
    front_answer_h1_fini(&c->answer);
    free(c);
}

const struct front_protocol front_session_h1 = {
    .open = open,
    .input = input,
    .input_end = input_end,
    .output = output,
    .timeout = timeout,
    .drain = drain,
    .close = close,
};
