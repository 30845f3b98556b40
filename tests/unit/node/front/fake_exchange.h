/* tests/unit/node/front/fake_exchange.h - exchanges that do as a test says, under real
 * sessions.
 *
 * Takes the place of node/front/exchange.c and pool.c. What sessions ask of it is written down
 * in fake.log; the answer is in fake, given at once or when the test says so.
 */
#pragma once

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/front/session_core.h"
#include "tests/unit/node/io/fixture.h"

#define FAKE_PIECES 8

static struct fake {
    char log[1 << 16];
    size_t log_len;
    unsigned open, opened; /* exchanges now, and ever */
    /* The answer. */
    bool answer_later, answer_at_end; /* of a body that is wanted; else in begin */
    struct http_response response;
    struct span pieces[FAKE_PIECES]; /* of its body; ptr NULL: AGAIN until fake_ready */
    enum err end;                    /* after the pieces; OK stands for CLOSED */
    bool no_memory;                  /* open fails */
    const struct http_fields *trailers;
    /* The request's body. */
    bool wants;          /* it is taken ... */
    size_t take_max;     /* ... as far as this, until fake_more */
    struct buf received; /* all exchanges' bodies */
    /* The newest exchange. */
    struct front_exchange *x;
    struct front_session **close_inside;
} fake;

struct fake_exchange {
    struct front_exchange x;
    size_t piece, at;
    size_t took;
    bool ready;
    bool wants, answered, begun, over;
};

static void fake_note(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void fake_note(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(fake.log + fake.log_len, sizeof(fake.log) - fake.log_len, fmt, ap);
    va_end(ap);
    must(n >= 0 && (size_t)n < sizeof(fake.log) - fake.log_len);
    fake.log_len += (size_t)n;
}

static struct fake_exchange *fake_of(const struct front_exchange *x)
{
    return (struct fake_exchange *)(uintptr_t)x;
}

static void fake_answer(void)
{
    struct front_exchange *x = fake.x;
    struct fake_exchange *f = fake_of(x);
    must(!f->answered);
    f->answered = true;
    f->wants = f->wants && fake.response.status < 300;
    x->response = fake.response;
    x->functions->head(x->user, &x->response, !x->response.body_absent);
}

__attribute__((unused)) static void fake_more(size_t bytes) /* there is room for these */
{
    fake_of(fake.x)->took = 0;
    fake.take_max = bytes;
    fake.x->functions->body_wanted(fake.x->user);
}

__attribute__((unused)) static void fake_want(void) /* it was not wanted until now */
{
    fake_of(fake.x)->wants = true;
    fake.x->functions->body_wanted(fake.x->user);
}

__attribute__((unused)) static void fake_ready(void)
{
    fake_of(fake.x)->ready = true;
    fake.x->functions->body_ready(fake.x->user);
}

/* ---- what sessions call */

struct front_exchange *front_exchange_open(struct front *front,
                                           const struct front_exchange_functions *functions,
                                           void *user)
{
    if (fake.no_memory)
        return NULL;
    struct fake_exchange *f = must_alloc(sizeof(*f));
    f->x = (struct front_exchange){.front = front, .functions = functions, .user = user};
    arena_init(&f->x.arena, 1 << 18);
    front->exchange_count++;
    fake.open++;
    fake.opened++;
    fake.x = &f->x;
    return &f->x;
}

static void fake_begin(struct front_exchange *x, const struct front_client *c,
                       struct http_request *r, struct arena *memory)
{
    must(c && memory && !fake_of(x)->begun);
    fake_of(x)->begun = true;
    x->request = r;
    x->memory = memory;
}

void front_exchange_begin(struct front_exchange *x, const struct front_client *c,
                          struct http_request *r, struct arena *memory, bool has_body)
{
    fake_begin(x, c, r, memory);
    x->has_body = has_body;
    fake_of(x)->wants = has_body && fake.wants;
    fake_note("[%.*s %.*s://%.*s%.*s%s", SPAN_ARG(r->method_text), SPAN_ARG(r->scheme),
              SPAN_ARG(r->authority), SPAN_ARG(r->target), has_body ? " body" : "");
    if (fake_of(x)->wants)
        x->functions->body_wanted(x->user);
    if (!fake.answer_later && !(fake.answer_at_end && fake_of(x)->wants))
        fake_answer();
}

static void fake_refuse(struct front_exchange *x, unsigned status)
{
    static const char text[] = "refused\n";
    fake_of(x)->answered = true;
    x->response = (struct http_response){
        .status = (uint16_t)status, .body_bytes = sizeof(text) - 1, .length_declared = true};
    fake.pieces[0] = span_text(text);
    fake.pieces[1] = SPAN("");
    fake.end = ERR_OK;
    x->functions->head(x->user, &x->response, true);
}

void front_exchange_refuse(struct front_exchange *x, const struct front_client *c,
                           struct http_request *r, struct arena *memory, unsigned status,
                           const char *why)
{
    fake_begin(x, c, r, memory);
    fake_note("[refuse %u %s", status, why);
    fake_refuse(x, status);
}

void front_exchange_fail(struct front_exchange *x, unsigned status, const char *why)
{
    must(fake_of(x)->begun && !fake_of(x)->answered);
    fake_note(" fail %u %s", status, why);
    fake_of(x)->wants = false;
    fake_refuse(x, status);
}

bool front_exchange_wants_body(const struct front_exchange *x)
{
    return fake_of(x)->wants && !fake_of(x)->over;
}

size_t front_exchange_body(struct front_exchange *x, struct span bytes)
{
    struct fake_exchange *f = fake_of(x);
    must(f->wants && !f->over);
    size_t n = bytes.len;
    if (fake.take_max && n > fake.take_max - f->took)
        n = fake.take_max - f->took;
    f->took += n;
    must(buf_append(&fake.received, span_until(bytes, n)) == ERR_OK);
    return n;
}

void front_exchange_body_end(struct front_exchange *x, const struct http_fields *trailers)
{
    must(x->has_body && !fake_of(x)->over);
    fake_of(x)->over = true;
    fake_note(" end");
    for (uint32_t i = 0; trailers && i < trailers->count; i++)
        fake_note(" %.*s=%.*s", SPAN_ARG(trailers->at[i].name),
                  SPAN_ARG(trailers->at[i].value));
    if (fake.answer_at_end && !fake_of(x)->answered)
        fake_answer();
}

enum err front_exchange_peek(struct front_exchange *x, struct span *out)
{
    struct fake_exchange *f = fake_of(x);
    must(f->answered);
    for (;; f->piece++, f->at = 0) {
        if (f->piece == FAKE_PIECES ||
            (fake.pieces[f->piece].ptr && !fake.pieces[f->piece].len))
            return fake.end ? fake.end : ERR_CLOSED;
        if (!fake.pieces[f->piece].ptr) {
            if (!f->ready)
                return ERR_AGAIN;
            f->ready = false;
        } else if (f->at < fake.pieces[f->piece].len) {
            *out = span_from(fake.pieces[f->piece], f->at);
            return ERR_OK;
        }
    }
}

void front_exchange_consume(struct front_exchange *x, size_t bytes)
{
    must(bytes <= fake.pieces[fake_of(x)->piece].len - fake_of(x)->at);
    fake_of(x)->at += bytes;
}

const struct http_fields *front_exchange_trailers(const struct front_exchange *x)
{
    (void)x;
    return fake.trailers;
}

void front_exchange_end(struct front_exchange *x, bool whole)
{
    if (!x)
        return;
    if (fake_of(x)->begun)
        fake_note(" %s]", whole ? "whole" : "cut");
    fake.open--;
    x->front->exchange_count--;
    if (fake.x == x)
        fake.x = NULL;
    arena_fini(&x->arena);
    free(x);
}

/* ---- a front of one loop */

struct world {
    struct fixture_loop f;
    struct front front;
    struct conf conf;
    struct setup setup;
    struct setup_listener listener;
    struct conf_listener listener_conf;
};

static void world_init(struct world *w)
{
    memset(w, 0, sizeof(*w));
    fixture_loop_init(&w->f);
    fake = (struct fake){.response = {.status = 200, .body_bytes = 2, .length_declared = true},
                         .pieces = {SPAN("ok"), SPAN("")},
                         .wants = true};
    buf_init(&fake.received, 0);
    snapshot_init(&w->setup.snapshot, NULL);
    w->setup.conf = &w->conf;
    w->conf.limits = (struct conf_limits){.field_line_bytes = 8192,
                                          .field_one_bytes = 8192,
                                          .field_all_bytes = 32768,
                                          .field_count = 100,
                                          .field_tags_bytes = 65536,
                                          .h2_streams = 128,
                                          .header_ms = 20000,
                                          .body_idle_ms = 20000,
                                          .keepalive_ms = 20000};
    w->listener_conf.h1 = true;
    w->listener.conf = &w->listener_conf;
    w->front = (struct front){.loop = w->f.loop, .setup = &w->setup, .connections_max = 10};
}

static void world_fini(struct world *w)
{
    front_session_close_all(&w->front);
    assert_int_equal(w->front.session_count, 0);
    assert_int_equal(w->front.exchange_count, 0);
    assert_int_equal(atomic_load(&w->setup.snapshot.holders), 1);
    buf_fini(&fake.received);
    fixture_loop_fini(&w->f);
}

static void world_stop(struct io_timer *t)
{
    io_loop_stop(t->loop);
}

/* Lets the loop work for a moment. */
static void world_turn(struct world *w)
{
    struct io_timer t;
    io_timer_init(&t, w->f.loop, world_stop);
    io_timer_set(&t, w->f.loop->now_ms + 1);
    io_loop_run(w->f.loop);
    io_timer_stop(&t);
}

static int64_t world_deadline(const struct world *w)
{
    return w->f.loop->now_ms + 20000;
}
/* Turns until `condition`. */
#define WORLD_UNTIL(w, condition)                                                              \
    do {                                                                                       \
        for (int64_t late_ = world_deadline(w); !(condition); world_turn(w))                   \
            if ((w)->f.loop->now_ms > late_)                                                   \
                fail_msg("never came: %s; log %s", #condition, fake.log);                      \
    } while (0)
