/* tests/unit/base/http/h2_raw.h - HTTP/2 frames by hand, and both ends' events written down.
 *
 * A peer that breaks the rules cannot be had from a library: heads are HPACK literals without
 * indexing, everything else is bytes.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/http/h2.h"

enum {
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION
};
#define END_STREAM 1u
#define ACK 1u
#define END_HEADERS 4u
#define PADDED 8u

struct bytes {
    size_t len;
    uint8_t at[1 << 20];
};

static inline void put(struct bytes *b, const void *from, size_t len)
{
    must(len <= sizeof b->at - b->len);
    memcpy(b->at + b->len, from, len);
    b->len += len;
}

static inline void put_frame(struct bytes *b, unsigned type, unsigned flags, uint32_t stream,
                             const void *payload, size_t len)
{
    uint8_t head[9] = {(uint8_t)(len >> 16),    (uint8_t)(len >> 8),    (uint8_t)len,
                       (uint8_t)type,           (uint8_t)flags,         (uint8_t)(stream >> 24),
                       (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    put(b, head, sizeof head);
    put(b, payload, len);
}

static inline void put_u32_frame(struct bytes *b, unsigned type, uint32_t stream,
                                 uint32_t value)
{
    uint8_t payload[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                          (uint8_t)value};
    put_frame(b, type, 0, stream, payload, sizeof payload);
}

static inline void put_preface(struct bytes *b)
{
    put(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    put_frame(b, SETTINGS, 0, 0, "", 0);
}

/* RFC 7541 5.1 with a 7-bit prefix */
static inline void put_int7(struct bytes *b, size_t n)
{
    uint8_t c;
    if (n < 127) {
        c = (uint8_t)n;
        put(b, &c, 1);
        return;
    }
    put(b, "\x7f", 1);
    for (n -= 127; n >= 128; n >>= 7) {
        c = (uint8_t)(n | 128);
        put(b, &c, 1);
    }
    c = (uint8_t)n;
    put(b, &c, 1);
}

static inline void put_literal(struct bytes *b, const char *name, const char *value, size_t len)
{
    put(b, "", 1);
    put_int7(b, strlen(name));
    put(b, name, strlen(name));
    put_int7(b, len);
    put(b, value, len);
}

/* "name: value\n" lines; a pseudo field's name keeps its leading colon. */
static inline void put_lines(struct bytes *b, const char *lines)
{
    while (*lines) {
        const char *end = strchr(lines, '\n'), *colon = strstr(lines + 1, ": ");
        char name[64] = {0};
        must(end && colon && colon < end && (size_t)(colon - lines) < sizeof name);
        memcpy(name, lines, (size_t)(colon - lines));
        put_literal(b, name, colon + 2, (size_t)(end - colon - 2));
        lines = end + 1;
    }
}

static inline void put_head(struct bytes *b, uint32_t stream, unsigned flags, const char *lines)
{
    static struct bytes block;
    block.len = 0;
    put_lines(&block, lines);
    put_frame(b, HEADERS, flags, stream, block.at, block.len);
}

#define GET_LINES ":method: GET\n:scheme: https\n:path: /\n:authority: a.example\n"

/* One end, with all that its core told, as text. */
struct end {
    struct http_h2 *h;
    char log[1 << 16];
    size_t log_len;
    struct http_h2_functions functions;
    bool auto_answer;  /* server: 200 when the request is whole */
    bool answer_early; /* server: 200 when its head is there */
    bool hold_credit;
    size_t held; /* body bytes not credited */
    unsigned requests, closes, refused_status;
    uint32_t close_error;
    int32_t last_stream;
    size_t body_to_send, body_step; /* per stream; per read_body */
    size_t sent[4096];              /* by stream id / 2 */
    size_t body_got;                /* on all streams */
    bool body_stalls;
    enum err body_err;
    struct http_fields trailers_to_send;
    struct http_fields response_fields; /* of the auto answer */
};

static inline void note(struct end *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
static inline void note(struct end *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->log + e->log_len, sizeof e->log - e->log_len, fmt, ap);
    va_end(ap);
    must(n >= 0 && (size_t)n < sizeof e->log - e->log_len);
    e->log_len += (size_t)n;
}

static inline void note_fields(struct end *e, const struct http_fields *f)
{
    for (uint32_t i = 0; i < f->count; i++)
        note(e, " %.*s=%.*s", SPAN_ARG(f->at[i].name), SPAN_ARG(f->at[i].value));
}

static inline void answer(struct end *e, int32_t id)
{
    struct http_response r = {.status = 200, .fields = e->response_fields};
    must(!http_h2_respond(e->h, id, &r, e->body_to_send > 0));
}

static inline void end_request(void *user, int32_t id, struct http_request *r, struct arena *a,
                               bool ended)
{
    struct end *e = user;
    e->requests++;
    e->last_stream = id;
    must(a && arena_alloc(a, 16));
    note(e, "request %d %.*s %.*s://%.*s %.*s body=%lld%s%s%s", id, SPAN_ARG(r->method_text),
         SPAN_ARG(r->scheme), SPAN_ARG(r->authority), SPAN_ARG(r->target),
         (long long)r->body_bytes, ended ? " ended" : "", r->expect_continue ? " expect" : "",
         r->has_trailer_support ? " te" : "");
    note_fields(e, &r->fields);
    note(e, "\n");
    if (e->answer_early || (e->auto_answer && ended))
        answer(e, id);
}

static inline void end_response(void *user, int32_t id, struct http_response *r,
                                struct arena *a, bool ended)
{
    struct end *e = user;
    must(a);
    note(e, "response %d %u body=%lld%s%s%s", id, r->status, (long long)r->body_bytes,
         r->length_declared ? " declared" : "", r->body_absent ? " absent" : "",
         ended ? " ended" : "");
    note_fields(e, &r->fields);
    note(e, "\n");
}

static inline void end_body(void *user, int32_t id, struct span bytes)
{
    struct end *e = user;
    for (size_t i = 0; i < bytes.len; i++)
        assert_int_equal(bytes.ptr[i], (char)id);
    e->body_got += bytes.len;
    if (e->hold_credit)
        e->held += bytes.len;
    else
        http_h2_consumed(e->h, id, bytes.len);
}

static inline void end_trailers(void *user, int32_t id, const struct http_fields *f)
{
    struct end *e = user;
    note(e, "trailers %d", id);
    note_fields(e, f);
    note(e, "\n");
}

static inline void end_body_end(void *user, int32_t id)
{
    struct end *e = user;
    note(e, "end %d\n", id);
    if (e->auto_answer)
        answer(e, id);
}

static inline void end_close(void *user, int32_t id, uint32_t error)
{
    struct end *e = user;
    e->closes++;
    e->close_error = error;
    note(e, "close %d %u\n", id, error);
    must(http_h2_respond(e->h, id, &(struct http_response){.status = 200}, false) ==
         ERR_CLOSED);
}

/* Every stream sends body_to_send bytes of its own number. */
static inline enum err end_read(void *user, int32_t id, char *out, size_t room, size_t *out_len,
                                struct http_fields *out_trailers)
{
    struct end *e = user;
    if (e->body_stalls)
        return ERR_AGAIN;
    if (e->body_err)
        return e->body_err;
    size_t *sent = &e->sent[id / 2 % 4096];
    size_t left = e->body_to_send - *sent, n = left < room ? left : room;
    if (e->body_step && n > e->body_step)
        n = e->body_step;
    memset(out, (char)id, n);
    *sent += n;
    *out_len = n;
    *out_trailers = e->trailers_to_send;
    return *sent == e->body_to_send ? ERR_CLOSED : ERR_OK;
}

static inline void end_refused(void *user, int32_t id, unsigned status, const char *reason)
{
    struct end *e = user;
    e->refused_status = status;
    note(e, "refused %d %u %s\n", id, status, reason);
}

static inline struct end *end_create(enum http_role role, const struct http_h2_conf *conf)
{
    struct end *e = calloc(1, sizeof *e);
    must(e);
    e->functions = (struct http_h2_functions){.request = end_request,
                                              .response = end_response,
                                              .body = end_body,
                                              .trailers = end_trailers,
                                              .body_end = end_body_end,
                                              .stream_close = end_close,
                                              .read_body = end_read,
                                              .refused = end_refused};
    e->h = http_h2_create(role, conf, &e->functions, e);
    return e;
}

static inline void end_destroy(struct end *e)
{
    if (!e)
        return;
    http_h2_destroy(e->h);
    free(e);
}

/* Everything an end wants to say now, through a buffer of the smallest size. */
static inline size_t end_output(struct end *e, struct bytes *out)
{
    static char room[HTTP_H2_OUTPUT_MIN];
    size_t n, all = 0;
    while ((n = http_h2_output(e->h, room, sizeof room))) {
        assert_true(n <= sizeof room);
        put(out, room, n);
        all += n;
    }
    return all;
}

/* The last frame of a type in what was sent, or NULL; *out_count says how many. */
static inline const uint8_t *last_frame(const struct bytes *b, size_t from, unsigned type,
                                        unsigned *out_count)
{
    const uint8_t *found = NULL;
    *out_count = 0;
    for (size_t at = from; at + 9 <= b->len;) {
        size_t len = (size_t)b->at[at] << 16 | (size_t)b->at[at + 1] << 8 | b->at[at + 2];
        assert_true(at + 9 + len <= b->len); /* whole frames only */
        if (b->at[at + 3] == type) {
            found = b->at + at;
            (*out_count)++;
        }
        at += 9 + len;
    }
    return found;
}

static inline uint32_t frame_u32(const uint8_t *frame, size_t at)
{
    const uint8_t *p = frame + 9 + at;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint32_t frame_stream(const uint8_t *frame)
{
    return (uint32_t)frame[5] << 24 | (uint32_t)frame[6] << 16 | (uint32_t)frame[7] << 8 |
           frame[8];
}
