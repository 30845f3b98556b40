#include "node/front/session_h1.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/counter.h"
#include "base/http/h1.h"

#define DRAIN_BYTES (64 * 1024) /* of a body that nobody wants, to keep the connection */
#define END_BYTES 64            /* the last chunk, without trailers */
#define BODY_ROOM_LEAST 1024    /* with less room, a head goes alone */

/* The request: none > head > body > whole > none ... A request without body passes `body`. */
enum asked {
    ASKED_NONE, /* between requests */
    ASKED_HEAD, /* some of a head has come; an exchange lends its arena */
    ASKED_BODY, /* the exchange has begun */
    ASKED_WHOLE,
};
/* The answer: none > known > begun > written > none ... */
enum answer {
    ANSWER_NONE,
    ANSWER_KNOWN, /* the exchange has told its head */
    ANSWER_BEGUN, /* its head is written */
    ANSWER_WRITTEN,
};

struct h1 {
    struct front_session *session;
    struct http_h1 *core;
    struct front_exchange *exchange; /* from a request's first byte to its answer's last */
    enum asked asked;
    enum answer answer;
    const struct http_response *response; /* the exchange's */
    bool response_body;
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
    struct buf body;    /* of the request: came, not yet taken by the exchange */
    struct buf early;   /* to send: interim heads, and what was too large for the scratch */
    size_t early_given; /* by the last output */
    size_t lent;        /* of the exchange's bytes, by the last output */
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
    c->answer = ANSWER_NONE;
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
    if (c->answer == ANSWER_NONE && http_h1_write_interim(c->core, r, &c->early) == ERR_OK)
        io_stream_kick(c->session->stream);
}

static void on_head(void *user, const struct http_response *r, bool body)
{
    struct h1 *c = user;
    must(c->answer == ANSWER_NONE);
    c->answer = ANSWER_KNOWN;
    c->response = r;
    c->response_body = body;
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
    if (!c->continue_due || c->answer != ANSWER_NONE)
        return;
    c->continue_due = false;
    on_interim(c, &go_on);
}

static void on_body_wanted(void *user)
{
    struct h1 *c = user;
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
    if (c->answer != ANSWER_NONE) {
        if (wants_body(c))
            cut(c);
        return;
    }
    if (c->asked != ASKED_HEAD) {
        front_exchange_end(c->exchange, false);
        c->exchange = front_exchange_open(c->session->front, &functions, c);
    }
    if (!c->exchange) {
        cut(c);
        return;
    }
    c->asked = ASKED_WHOLE;
    buf_release(&c->body);
    io_timer_set(&c->session->timer, 0);
    front_exchange_refuse(c->exchange, &c->session->client, NULL, &c->exchange->arena, status,
                          why);
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
    } else if (c->answer != ANSWER_NONE && c->has_body) {
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
    if (c->answer != ANSWER_NONE && !wants_body(c))
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
    if (c->answer == ANSWER_NONE)
        io_timer_set(&c->session->timer, 0);
    if (!c->dropping)
        front_exchange_body_end(c->exchange, trailers->count > 0 ? trailers : NULL);
}

static void got_fault(struct h1 *c, struct http_fault fault)
{
    counter_add(COUNTER_BAD_REQUESTS, 1);
    fail(c, fault.status, fault.reason);
}

/* Nothing more comes. */
static void got_eof(struct h1 *c)
{
    struct http_h1_event e;
    if (c->asked == ASKED_HEAD) {
        (void)http_h1_eof(c->core, &e);
        if (e.kind == HTTP_H1_FAULT)
            got_fault(c, e.fault);
        else
            finish(c);
    } else if (c->asked == ASKED_BODY) {
        c->last = true;
        if (c->answer == ANSWER_NONE || wants_body(c))
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
        return http_h1_body_done(c->core) || c->dropping || c->answer != ANSWER_NONE ||
               wants_body(c);
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
        got_fault(c, e.fault);
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
    } else if (c->answer != ANSWER_NONE) {
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
    c->response = NULL;
    judge_rest(c);
    if (c->asked == ASKED_WHOLE || c->last) {
        turn(c);
    } else {
        wait_idle(c);
        read_on(c); /* perhaps only the body's end was not looked at */
    }
}

/* What the last output gave was taken. */
static void settle(struct h1 *c)
{
    if (c->early_given > 0) {
        buf_consume(&c->early, c->early_given);
        c->early_given = 0;
        if (buf_len(&c->early) == 0)
            buf_release(&c->early);
    }
    if (c->lent > 0) {
        front_exchange_consume(c->exchange, c->lent);
        c->lent = 0;
    }
    if (c->answer == ANSWER_WRITTEN && c->exchange && buf_len(&c->early) == 0)
        end_answer(c);
}

static bool put_head(struct h1 *c, struct buf *text)
{
    judge_rest(c);
    bool close = c->last || c->eof || c->session->front->draining;
    enum err e = http_h1_write_response(c->core, c->response, close, text);
    if (e == ERR_LIMIT)
        e = http_h1_write_response(c->core, c->response, close, &c->early);
    c->answer = ANSWER_BEGUN;
    return e == ERR_OK;
}

static bool put_end(struct h1 *c, struct buf *text)
{
    const struct http_fields *trailers = front_exchange_trailers(c->exchange);
    size_t to = text->to;
    enum err e = http_h1_body_end(c->core, trailers, text);
    if (e == ERR_LIMIT) {
        text->to = to;
        e = http_h1_body_end(c->core, trailers, &c->early);
    }
    c->answer = ANSWER_WRITTEN;
    return e == ERR_OK;
}

/* Some of the body, its frame in `text` before and behind, and the end when that is known.
 * False: the answer is broken. *out_before: how much of `text` goes before the body. */
static bool put_body(struct h1 *c, struct buf *text, struct span *out_body, size_t *out_before)
{
    int64_t left = http_h1_body_left(c->core);
    size_t room = text->room - text->to;
    enum err e = ERR_CLOSED;
    struct span body = {0};
    *out_before = buf_len(text);
    if (room < BODY_ROOM_LEAST)
        return true;
    room -= HTTP_H1_PREFIX_MAX + END_BYTES;
    if (c->response_body && left != 0)
        e = front_exchange_peek(c->exchange, &body);
    if (e == ERR_AGAIN)
        return true;
    if (e == ERR_CLOSED)
        return put_end(c, text);
    if (e != ERR_OK)
        return false;
    if (body.len > room)
        body.len = room;
    if (left != HTTP_LENGTH_UNKNOWN && (int64_t)body.len > left)
        return false; /* more than was declared */
    char *prefix = buf_reserve(text, HTTP_H1_PREFIX_MAX);
    buf_grew(text, http_h1_body_prefix(c->core, body.len, prefix));
    c->lent = body.len;
    *out_body = body;
    *out_before = buf_len(text);
    return left != (int64_t)body.len || put_end(c, text);
}

/* Head, body and end as far as they are there and fit: a small answer is one piece. */
static size_t put_answer(struct h1 *c, struct span *out, char *scratch, size_t room)
{
    struct buf text;
    struct span body = {0};
    size_t before = 0, count = 0;
    buf_borrow(&text, scratch, room);
    bool good = c->answer != ANSWER_KNOWN || put_head(c, &text);
    if (good && buf_len(&c->early) == 0)
        good = put_body(c, &text, &body, &before);
    if (!good) {
        cut(c); /* and be seen to: an answer until close has no other sign of its end */
        return 0;
    }
    struct span all = buf_span(&text);
    if (before > 0)
        out[count++] = span_until(all, before);
    if (body.len > 0)
        out[count++] = body;
    if (before < all.len)
        out[count++] = span_from(all, before);
    return count;
}

static size_t put_early(struct h1 *c, struct span *out, size_t room)
{
    struct span all = buf_span(&c->early);
    c->early_given = all.len < room ? all.len : room;
    out[0] = span_until(all, c->early_given);
    return 1;
}

static size_t output(struct front_session *s, struct span *out, size_t max, char *scratch,
                     size_t room)
{
    struct h1 *c = s->state;
    size_t count = 0;
    must(max >= 3);
    settle(c);
    if (buf_len(&c->early) > 0)
        count = put_early(c, out, room);
    else if (c->answer == ANSWER_KNOWN || c->answer == ANSWER_BEGUN)
        count = put_answer(c, out, scratch, room);
    if (count == 0 && buf_len(&c->early) > 0 && !c->finishing)
        count = put_early(c, out, room); /* a head that the scratch did not hold */
    if (count > 0)
        wait_idle(c);
    return count;
}

/* ---- times, ends */

static void body_timeout(struct h1 *c)
{
    if (!may_read(c))
        return; /* it is not the client's turn */
    if (c->answer == ANSWER_NONE)
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
    if (c->asked == ASKED_NONE && !c->finishing)
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
    buf_init(&c->early, 0);
    s->state = c;
}

static void close(struct front_session *s)
{
    struct h1 *c = s->state;
    front_exchange_end(c->exchange, false);
    http_h1_destroy(c->core);
    buf_fini(&c->body);
    buf_fini(&c->early);
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
