/* tests/unit/base/http/h1_talk.h - runs octets through an HTTP/1 connection and writes down
 * what they meant, for the tests of h1.c.
 *
 * A server answers each whole request with an empty 200 and turns; a client has asked `asked`.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "base/http/h1.h"

struct talk {
    struct http_h1 *h;
    struct arena arena;
    struct buf sent;
    struct buf text;
    bool over; /* a fault, or a server that must close */
    bool faulted;
    bool in_body; /* neighbouring pieces of body are written as one */
};

static inline void talk_begin(struct talk *t, enum http_role role, enum http_method asked,
                              const struct http_h1_limits *limits)
{
    *t = (struct talk){.h = http_h1_create(role, limits)};
    arena_init(&t->arena, 1 << 20);
    buf_init(&t->sent, 0);
    buf_init(&t->text, 0);
    if (role == HTTP_CLIENT) {
        struct http_request r = {.method = asked, .target = SPAN("/"), .authority = SPAN("a")};
        must(http_h1_write_request(t->h, &r, false, &t->sent) == ERR_OK);
        must(http_h1_body_end(t->h, NULL, &t->sent) == ERR_OK);
    }
}

static inline void talk_end(struct talk *t)
{
    http_h1_destroy(t->h);
    arena_fini(&t->arena);
    buf_fini(&t->sent);
    buf_fini(&t->text);
}

#define TALK_PRINT(t, ...) must(buf_printf(&(t)->text, __VA_ARGS__) == ERR_OK)

static inline void talk_fields(struct talk *t, const struct http_fields *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        must(f->at[i].id == http_name_find(f->at[i].name));
        TALK_PRINT(t, " %.*s=%.*s", SPAN_ARG(f->at[i].name), SPAN_ARG(f->at[i].value));
    }
}

/* "[GET a /x 1.1 len=0 ka continue upgrade te a=b]" */
static inline void talk_request(struct talk *t, const struct http_request *r)
{
    TALK_PRINT(t, "[%.*s %.*s%s%.*s %.*s 1.%d", SPAN_ARG(r->method_text), SPAN_ARG(r->scheme),
               r->scheme.len > 0 ? "://" : "", SPAN_ARG(r->authority), SPAN_ARG(r->target),
               r->version - HTTP_1_0);
    if (r->body_bytes != 0)
        TALK_PRINT(t, " len=%lld", (long long)r->body_bytes);
    TALK_PRINT(t, "%s%s%s%s", r->keep_alive ? "" : " last",
               r->expect_continue ? " continue" : "", r->upgrade ? " upgrade" : "",
               r->has_trailer_support ? " te" : "");
    talk_fields(t, &r->fields);
    TALK_PRINT(t, "]");
}

/* "[200 1.1 len=5 a=b]" */
static inline void talk_response(struct talk *t, const struct http_response *r)
{
    TALK_PRINT(t, "[%u 1.%d", r->status, r->version - HTTP_1_0);
    if (r->length_declared)
        TALK_PRINT(t, " declared=%lld", (long long)r->body_bytes);
    else if (r->body_bytes != 0)
        TALK_PRINT(t, " len=%lld", (long long)r->body_bytes);
    TALK_PRINT(t, "%s%s", r->body_absent ? " nobody" : "", r->keep_alive ? "" : " last");
    talk_fields(t, &r->fields);
    TALK_PRINT(t, "]");
}

static inline void talk_turn(struct talk *t)
{
    struct http_response r = {.status = 200, .length_declared = true};
    must(http_h1_write_response(t->h, &r, false, &t->sent) == ERR_OK);
    must(http_h1_body_end(t->h, NULL, &t->sent) == ERR_OK);
    t->over = !http_h1_reusable(t->h);
    if (!t->over)
        http_h1_turn(t->h);
}

/* Writes one event down; false when the connection wants more octets or is over. */
static inline bool talk_event(struct talk *t, bool server, const struct http_h1_event *e)
{
    if (t->in_body && e->kind != HTTP_H1_BODY && e->kind != HTTP_H1_MORE) {
        TALK_PRINT(t, ")");
        t->in_body = false;
    }
    switch (e->kind) {
    case HTTP_H1_MORE:
        return false;
    case HTTP_H1_REQUEST:
        talk_request(t, &e->request);
        break;
    case HTTP_H1_RESPONSE:
        talk_response(t, &e->response);
        break;
    case HTTP_H1_BODY:
        must(e->body.len > 0);
        if (!t->in_body)
            TALK_PRINT(t, "(");
        must(buf_append(&t->text, e->body) == ERR_OK); /* may hold NUL */
        t->in_body = true;
        break;
    case HTTP_H1_END:
        must(http_h1_body_done(t->h));
        TALK_PRINT(t, ".");
        talk_fields(t, &e->trailers);
        if (server)
            talk_turn(t);
        break;
    case HTTP_H1_FAULT:
        TALK_PRINT(t, "!%u %s", e->fault.status, e->fault.reason);
        t->over = t->faulted = true;
        break;
    }
    return !t->over;
}

static inline void talk_feed(struct talk *t, bool server, struct span bytes)
{
    struct http_h1_event e;
    if (t->over || bytes.len == 0)
        return;
    /* a copy of its own, so that the address sanitizer sees one octet too far */
    char *copy = malloc(bytes.len);
    must(copy);
    memcpy(copy, bytes.ptr, bytes.len);
    http_h1_feed(t->h, span_of(copy, bytes.len));
    do {
        http_h1_next(t->h, &t->arena, &e);
    } while (talk_event(t, server, &e));
    must(t->over || http_h1_unused(t->h) == 0);
    http_h1_drop_feed(t->h);
    free(copy);
}

static inline void talk_eof(struct talk *t, bool server)
{
    struct http_h1_event e;
    if (t->over)
        return;
    http_h1_eof(t->h, &e);
    talk_event(t, server, &e);
}
