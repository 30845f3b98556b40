#include "base/http/h1.h"

#include <stdlib.h>

#include "base/http/chunked.h"
#include "base/http/head_write.h"

#define INTERIM_MAX 16 /* 1xx before one answer */

const struct http_h1_limits http_h1_limits_default = {
    .line_bytes = 8192,
    .field_bytes = 8192,
    .tag_field_bytes = 65536,
    .fields_bytes = 32768,
    .field_count = 100,
    .chunk_extension_bytes = 256,
};

/* The incoming message:
 *
 *   HEAD > LENGTH | CHUNKED | CLOSE | END        (after an interim answer: HEAD again)
 *   CHUNKED > TRAILERS
 *   LENGTH | TRAILERS | CLOSE > END > DONE > HEAD (http_h1_turn, http_h1_write_request)
 *   all > FAULT
 */
enum in_state {
    IN_HEAD,
    IN_LENGTH, /* `left` octets of body */
    IN_CHUNKED,
    IN_TRAILERS,
    IN_CLOSE, /* body until the other side closes */
    IN_END,   /* whole, not yet told */
    IN_DONE,  /* between messages: a server waits for its answer, a client for a request */
    IN_FAULT,
};

enum out_state {
    OUT_NONE, /* no head written yet */
    OUT_LENGTH,
    OUT_CHUNKED,
    OUT_CLOSE,
    OUT_DONE,
};

struct http_h1 {
    struct http_h1_limits limits;
    enum http_role role;
    enum in_state in;
    enum out_state out;
    bool keep_alive; /* the message read allows another */
    bool closing;    /* we said close, or must */
    bool chunk_sent; /* the next chunk begins with the CR LF of the one before */
    uint8_t interims;
    enum http_method method;   /* of the request in work */
    enum http_version version; /* of the client in work */
    uint64_t left;             /* of the incoming body */
    struct http_chunked chunked;
    uint64_t out_left; /* of the declared outgoing body */
    struct span feed;
    struct buf queue; /* the part of a head that has come; empty between messages */
    struct http_head_reader head;
    struct http_fault fault;
};

static enum http_head_kind head_kind(const struct http_h1 *h)
{
    return h->role == HTTP_SERVER ? HTTP_HEAD_REQUEST : HTTP_HEAD_RESPONSE;
}

static void expect_head(struct http_h1 *h)
{
    h->in = IN_HEAD;
    http_head_begin(&h->head, head_kind(h), &h->limits);
}

struct http_h1 *http_h1_create(enum http_role role, const struct http_h1_limits *limits)
{
    struct http_h1 *h = must_alloc(sizeof *h);
    h->role = role;
    h->limits = limits ? *limits : http_h1_limits_default;
    h->method = HTTP_GET;
    h->version = HTTP_1_1;
    buf_init(&h->queue, 0); /* bounded by the scan, which refuses what is too long */
    if (role == HTTP_SERVER)
        expect_head(h);
    else
        h->in = IN_DONE;
    return h;
}

void http_h1_destroy(struct http_h1 *h)
{
    if (!h)
        return;
    buf_fini(&h->queue);
    free(h);
}

void http_h1_feed(struct http_h1 *h, struct span bytes)
{
    must(h->feed.len == 0);
    h->feed = bytes;
}

size_t http_h1_unused(const struct http_h1 *h)
{
    return h->feed.len;
}

void http_h1_drop_feed(struct http_h1 *h)
{
    h->feed = span_of(NULL, 0);
}

static enum http_h1_event_kind report(struct http_h1_event *out, enum http_h1_event_kind kind)
{
    out->kind = kind;
    return kind;
}

static enum http_h1_event_kind fail(struct http_h1 *h, struct http_fault fault,
                                    struct http_h1_event *out)
{
    if (h->role == HTTP_CLIENT)
        fault.status = 502;
    h->in = IN_FAULT;
    h->closing = true;
    h->fault = fault;
    buf_release(&h->queue);
    out->fault = fault;
    return report(out, HTTP_H1_FAULT);
}

static enum http_h1_event_kind fail_400(struct http_h1 *h, const char *reason,
                                        struct http_h1_event *out)
{
    return fail(h, (struct http_fault){400, reason}, out);
}

/* ---- heads ---- */

static enum err out_of_room(struct http_h1 *h)
{
    h->head.fault = (struct http_fault){431, "no room for the head"};
    return ERR_LIMIT;
}

/* Finds a whole head or trailer section in the feed, or gathers it in the queue. ERR_OK: it is
 * *out_head, which lives until release_head. */
static enum err gather(struct http_h1 *h, struct span *out_head)
{
    size_t bytes;
    enum err e = ERR_AGAIN;
    if (buf_len(&h->queue) == 0 && h->feed.len > 0) {
        struct span feed = h->feed;
        e = http_head_scan(&h->head, feed, &bytes);
        if (e == ERR_AGAIN && buf_append(&h->queue, feed) != ERR_OK)
            return out_of_room(h);
        if (e == ERR_OK)
            *out_head = span_until(feed, bytes);
        h->feed = span_from(feed, e == ERR_OK ? bytes : feed.len);
        return e;
    }
    while (e == ERR_AGAIN && h->feed.len > 0) {
        /* Line by line, so that nothing behind the head gets into the queue. */
        const char *lf = memchr(h->feed.ptr, '\n', h->feed.len);
        size_t part = lf ? (size_t)(lf - h->feed.ptr) + 1 : h->feed.len;
        if (buf_append(&h->queue, span_until(h->feed, part)) != ERR_OK)
            return out_of_room(h);
        h->feed = span_from(h->feed, part);
        e = http_head_scan(&h->head, buf_span(&h->queue), &bytes);
    }
    if (e == ERR_OK)
        *out_head = span_until(buf_span(&h->queue), bytes);
    return e;
}

static void release_head(struct http_h1 *h)
{
    if (h->queue.mem)
        buf_release(&h->queue);
}

static void begin_body(struct http_h1 *h, int64_t bytes, bool chunked)
{
    h->left = 0;
    if (chunked) {
        http_chunked_begin(&h->chunked);
        h->in = IN_CHUNKED;
    } else if (bytes == HTTP_LENGTH_UNKNOWN) {
        h->in = IN_CLOSE;
    } else {
        h->left = (uint64_t)bytes;
        h->in = bytes > 0 ? IN_LENGTH : IN_END;
    }
}

static enum err read_request(struct http_h1 *h, struct span head, struct arena *a,
                             struct http_h1_event *out)
{
    struct http_request *r = &out->request;
    enum err e = http_head_read_request(&h->head, head, a, r);
    if (e != ERR_OK)
        return e;
    h->method = r->method;
    h->version = r->version;
    h->keep_alive = r->keep_alive;
    begin_body(h, r->body_bytes, h->head.chunked);
    return ERR_OK;
}

static enum err read_response(struct http_h1 *h, struct span head, struct arena *a,
                              struct http_h1_event *out)
{
    struct http_response *r = &out->response;
    enum err e = http_head_read_response(&h->head, head, h->method, a, r);
    if (e != ERR_OK)
        return e;
    if (r->status < 200) {
        if (r->status == 101 || ++h->interims > INTERIM_MAX) {
            h->head.fault = (struct http_fault){
                502, r->status == 101 ? "101 without Upgrade" : "too many interim answers"};
            return ERR_SYNTAX;
        }
        h->closing = h->closing || !r->keep_alive; /* a body or a close where none can be */
        expect_head(h);
        return ERR_OK;
    }
    h->keep_alive = r->keep_alive;
    begin_body(h, r->body_absent ? 0 : r->body_bytes, h->head.chunked && !r->body_absent);
    return ERR_OK;
}

static enum http_h1_event_kind next_head(struct http_h1 *h, struct arena *a,
                                         struct http_h1_event *out)
{
    bool server = h->role == HTTP_SERVER;
    struct span head;
    enum err e = gather(h, &head);
    if (e == ERR_AGAIN)
        return report(out, HTTP_H1_MORE);
    if (e == ERR_OK)
        e = server ? read_request(h, head, a, out) : read_response(h, head, a, out);
    if (e != ERR_OK)
        return fail(h, h->head.fault, out);
    release_head(h);
    return report(out, server ? HTTP_H1_REQUEST : HTTP_H1_RESPONSE);
}

static enum http_h1_event_kind end(struct http_h1 *h, struct http_h1_event *out)
{
    h->in = IN_DONE;
    return report(out, HTTP_H1_END);
}

static enum http_h1_event_kind next_trailers(struct http_h1 *h, struct arena *a,
                                             struct http_h1_event *out)
{
    struct span head;
    enum err e = gather(h, &head);
    if (e == ERR_AGAIN)
        return report(out, HTTP_H1_MORE);
    if (e == ERR_OK)
        e = http_head_read_trailers(&h->head, head, a, &out->trailers);
    if (e != ERR_OK)
        return fail(h, h->head.fault, out);
    release_head(h);
    return end(h, out);
}

/* ---- bodies ---- */

static enum http_h1_event_kind give_body(struct http_h1 *h, size_t bytes,
                                         struct http_h1_event *out)
{
    out->body = span_until(h->feed, bytes);
    h->feed = span_from(h->feed, bytes);
    return report(out, HTTP_H1_BODY);
}

static enum http_h1_event_kind next_counted(struct http_h1 *h, struct http_h1_event *out)
{
    size_t bytes = h->left < h->feed.len ? (size_t)h->left : h->feed.len;
    if (bytes == 0)
        return report(out, HTTP_H1_MORE);
    h->left -= bytes;
    if (h->left == 0)
        h->in = IN_END;
    return give_body(h, bytes, out);
}

static enum http_h1_event_kind next_chunked(struct http_h1 *h, struct arena *a,
                                            struct http_h1_event *out)
{
    struct http_chunked *c = &h->chunked;
    const char *reason = http_chunked_skip(c, h->limits.chunk_extension_bytes, &h->feed);
    if (reason)
        return fail_400(h, reason, out);
    if (c->state == HTTP_CHUNKED_LAST) {
        h->in = IN_TRAILERS;
        http_head_begin(&h->head, HTTP_HEAD_TRAILERS, &h->limits);
        return next_trailers(h, a, out);
    }
    if (h->feed.len == 0)
        return report(out, HTTP_H1_MORE);
    size_t bytes = c->left < h->feed.len ? (size_t)c->left : h->feed.len;
    http_chunked_took(c, bytes);
    return give_body(h, bytes, out);
}

enum http_h1_event_kind http_h1_next(struct http_h1 *h, struct arena *a,
                                     struct http_h1_event *out)
{
    switch (h->in) {
    case IN_HEAD:
        return next_head(h, a, out);
    case IN_LENGTH:
        return next_counted(h, out);
    case IN_CHUNKED:
        return next_chunked(h, a, out);
    case IN_CLOSE:
        return h->feed.len > 0 ? give_body(h, h->feed.len, out) : report(out, HTTP_H1_MORE);
    case IN_TRAILERS:
        return next_trailers(h, a, out);
    case IN_END:
        out->trailers = (struct http_fields){0};
        return end(h, out);
    case IN_FAULT:
        return fail(h, h->fault, out);
    case IN_DONE:
        if (h->role == HTTP_CLIENT && h->feed.len > 0)
            return fail_400(h, "octets without a request", out);
        return report(out, HTTP_H1_MORE);
    }
    must(false);
    return HTTP_H1_FAULT;
}

enum http_h1_event_kind http_h1_eof(struct http_h1 *h, struct http_h1_event *out)
{
    must(h->in != IN_CLOSE || h->feed.len == 0); /* or the body would be cut */
    if (h->in == IN_CLOSE || h->in == IN_END) {
        out->trailers = (struct http_fields){0};
        h->keep_alive = false;
        return end(h, out);
    }
    if (h->in == IN_FAULT)
        return fail(h, h->fault, out);
    h->closing = true;
    if (h->in == IN_DONE || (h->role == HTTP_SERVER && http_h1_is_idle(h)))
        return report(out, HTTP_H1_MORE);
    if (h->in == IN_HEAD && buf_len(&h->queue) == 0)
        return fail_400(h, "closed before the answer", out);
    return fail_400(h, "closed within a message", out);
}

void http_h1_turn(struct http_h1 *h)
{
    must(h->role == HTTP_SERVER && http_h1_body_done(h) && h->out == OUT_DONE);
    h->out = OUT_NONE;
    h->method = HTTP_GET; /* a HEAD before says nothing about an answer to half a head */
    expect_head(h);
}

/* An empty line that may come before a request is nothing yet. */
static bool head_has_begun(const struct http_h1 *h)
{
    return buf_len(&h->queue) > h->head.begin;
}

bool http_h1_is_idle(const struct http_h1 *h)
{
    if (h->feed.len > 0)
        return false;
    if (h->role == HTTP_CLIENT)
        return h->in == IN_DONE && h->out != OUT_LENGTH && h->out != OUT_CHUNKED;
    return h->in == IN_HEAD && h->out == OUT_NONE && !head_has_begun(h);
}

bool http_h1_body_done(const struct http_h1 *h)
{
    return h->in == IN_END || h->in == IN_DONE;
}

bool http_h1_reusable(const struct http_h1 *h)
{
    if (h->closing || !h->keep_alive || !http_h1_body_done(h) || h->out != OUT_DONE)
        return false;
    return h->role == HTTP_SERVER || (h->in == IN_DONE && h->feed.len == 0);
}

/* ---- out ---- */

static void begin_out(struct http_h1 *h, const struct http_head_write *how, bool body)
{
    h->chunk_sent = false;
    h->out_left = body && how->length > 0 ? (uint64_t)how->length : 0;
    if (!body)
        h->out = OUT_LENGTH; /* of none */
    else
        h->out = how->chunked                         ? OUT_CHUNKED
                 : how->length == HTTP_LENGTH_UNKNOWN ? OUT_CLOSE
                                                      : OUT_LENGTH;
}

enum err http_h1_write_request(struct http_h1 *h, const struct http_request *r, bool close,
                               struct buf *out)
{
    struct http_head_write how = {
        .length = HTTP_LENGTH_UNKNOWN,
        .close = close,
        .te_trailers = r->has_trailer_support,
    };
    must(h->role == HTTP_CLIENT && h->in == IN_DONE && !h->closing);
    must(h->out == OUT_NONE || h->out == OUT_DONE);
    bool expects_body =
        r->method == HTTP_POST || r->method == HTTP_PUT || r->method == HTTP_PATCH;
    if (r->body_bytes == HTTP_LENGTH_UNKNOWN)
        how.chunked = true;
    else if (r->body_bytes > 0 || expects_body) /* RFC 9110 8.6 */
        how.length = r->body_bytes;
    enum err e = http_head_write_request(r, &how, out);
    if (e != ERR_OK)
        return e;
    h->method = r->method;
    h->closing = close;
    h->interims = 0;
    begin_out(h, &how, r->body_bytes != 0);
    expect_head(h);
    return ERR_OK;
}

enum err http_h1_write_response(struct http_h1 *h, const struct http_response *r, bool close,
                                struct buf *out)
{
    struct http_head_write how = {.length = HTTP_LENGTH_UNKNOWN};
    bool fault = h->in == IN_FAULT, old = h->version == HTTP_1_0;
    bool body = !http_status_is_bodyless(r->status) && !r->body_absent &&
                (fault || h->method != HTTP_HEAD);
    must(h->role == HTTP_SERVER && h->out == OUT_NONE && r->status >= 200);
    if (r->status == 204)
        how.length = HTTP_LENGTH_UNKNOWN; /* RFC 9110 8.6 */
    else if (body || r->length_declared)
        how.length = r->body_bytes;
    how.chunked = body && how.length == HTTP_LENGTH_UNKNOWN && !old;
    bool until_close = body && how.length == HTTP_LENGTH_UNKNOWN && old;
    how.close = close || h->closing || until_close || fault || !h->keep_alive;
    how.keep_alive = old;
    enum err e = http_head_write_response(r, &how, out);
    if (e != ERR_OK)
        return e;
    h->closing = how.close;
    begin_out(h, &how, body);
    return ERR_OK;
}

enum err http_h1_write_interim(struct http_h1 *h, const struct http_response *r,
                               struct buf *out)
{
    struct http_head_write how = {.length = HTTP_LENGTH_UNKNOWN};
    must(h->role == HTTP_SERVER && h->out == OUT_NONE && r->status < 200);
    if (h->version == HTTP_1_0) /* RFC 9110 15.2 */
        return ERR_OK;
    return http_head_write_response(r, &how, out);
}

size_t http_h1_body_prefix(struct http_h1 *h, size_t bytes, char out[HTTP_H1_PREFIX_MAX])
{
    static const char digits[] = "0123456789abcdef";
    if (bytes == 0)
        return 0;
    must(h->out == OUT_CHUNKED || h->out == OUT_CLOSE ||
         (h->out == OUT_LENGTH && bytes <= h->out_left));
    if (h->out == OUT_LENGTH)
        h->out_left -= bytes;
    if (h->out != OUT_CHUNKED)
        return 0;
    size_t at = 0, shift = 60;
    if (h->chunk_sent) {
        out[at++] = '\r';
        out[at++] = '\n';
    }
    while (bytes >> shift == 0)
        shift -= 4;
    for (;; shift -= 4) {
        out[at++] = digits[bytes >> shift & 15];
        if (shift == 0)
            break;
    }
    out[at++] = '\r';
    out[at++] = '\n';
    h->chunk_sent = true;
    return at;
}

int64_t http_h1_body_left(const struct http_h1 *h)
{
    if (h->out == OUT_CHUNKED || h->out == OUT_CLOSE)
        return HTTP_LENGTH_UNKNOWN;
    return h->out == OUT_LENGTH ? (int64_t)h->out_left : 0;
}

enum err http_h1_body_end(struct http_h1 *h, const struct http_fields *trailers,
                          struct buf *out)
{
    static const struct http_fields none;
    must(h->out != OUT_NONE);
    if (h->out == OUT_LENGTH && h->out_left > 0) {
        h->closing = true;
        return ERR_SYNTAX;
    }
    if (h->out == OUT_CHUNKED) {
        enum err e = buf_append(out, h->chunk_sent ? SPAN("\r\n0\r\n") : SPAN("0\r\n"));
        if (e == ERR_OK)
            e = http_head_write_trailers(trailers ? trailers : &none, out);
        if (e != ERR_OK)
            return e;
    }
    h->out = OUT_DONE;
    return ERR_OK;
}
