/* base/http/h2.h - an HTTP/2 connection, either end, sans-I/O (door to nghttp2).
 *
 * RFC 9113. nghttp2 pushes by callback, so this core delivers through a struct of functions.
 * DATA or HEADERS on an odd stream id at or below the highest seen, whose stream is gone or
 * closed and which we did not reset ourselves, ends the session with STREAM_CLOSED. Flow
 * control is credited as the consumer drains: http_h2_consumed. One "cost" per connection is
 * charged for resets, empty frames, settings, pings, priority, tiny frames, split and
 * oversized heads; over the limit the session ends with ENHANCE_YOUR_CALM.
 *
 * Only valid requests reach `request`. Against RFC 9113 8 the stream is reset with
 * PROTOCOL_ERROR; what HTTP itself forbids (target, authority, sizes) is answered here with an
 * empty 400, 414, 431 or 501 and told to `refused`. Priorities of RFC 7540 are declined
 * (SETTINGS_NO_RFC7540_PRIORITIES); nghttp2 follows the Priority field of RFC 9218.
 * An answer that ends before the request's body does cuts it with RST_STREAM(NO_ERROR).
 *
 * Thread: one owner. The functions may call back into this session except destroy, feed and
 * output.
 * Owns: the nghttp2 session, a header arena per open stream (until stream_close), reused.
 * Limits: struct http_h2_conf. Outgoing bodies are pulled by read_body.
 */
#pragma once

#include "base/buf.h"
#include "base/http/h1.h"
#include "base/http/message.h"

struct http_h2_conf {
    uint32_t streams_max;     /* concurrent, announced: 128 */
    uint32_t window_bytes;    /* per stream, announced: 256 KiB; the connection's is 1 MiB */
    uint32_t fields_bytes;    /* all fields of one head: 32 KiB; over it 431 or reset */
    uint32_t field_count;     /* 100 */
    uint32_t cost_per_10s;    /* budget of cheap abuse; 0 = default 2000 */
    uint32_t line_bytes;      /* :path; over it 414; 0 = default 8 KiB */
    uint32_t field_bytes;     /* one field; 0 = default 8 KiB */
    uint32_t tag_field_bytes; /* a response's tag field, as in http_h1_limits; 0 = 64 KiB */
    uint32_t arena_bytes;     /* cap of a stream's arena; 0 = default 256 KiB */
};
extern const struct http_h2_conf http_h2_conf_default;

struct http_h2_functions {
    /* A whole head. server: request; client: response (interim too). `arena` lives as long as
     * the stream. `ended`: no body follows, and body_end is not called. */
    void (*request)(void *user, int32_t stream, struct http_request *r, struct arena *arena,
                    bool ended);
    void (*response)(void *user, int32_t stream, struct http_response *r, struct arena *arena,
                     bool ended);
    void (*body)(void *user, int32_t stream, struct span bytes); /* credit with _consumed */
    void (*trailers)(void *user, int32_t stream, const struct http_fields *f);
    void (*body_end)(void *user, int32_t stream);
    /* The stream is over, by END_STREAM both ways, RST_STREAM or the session's end; error is
     * the RFC 9113 7 code. The last word about it; body bytes not yet credited are credited
     * to the connection. Only for streams that the caller knows: `request` was called, or
     * http_h2_request gave the number. */
    void (*stream_close)(void *user, int32_t stream, uint32_t error);
    /* Gives the next outgoing body bytes: copies at most `room` into `out`. ERR_OK with
     * *out_len > 0; ERR_AGAIN: none now, http_h2_body_ready will tell; ERR_CLOSED with
     * *out_len >= 0: these are the last; others: reset the stream (INTERNAL_ERROR). */
    enum err (*read_body)(void *user, int32_t stream, char *out, size_t room, size_t *out_len,
                          struct http_fields *out_trailers);
    /* server, may be NULL: a request that was answered with `status` here and never shown. */
    void (*refused)(void *user, int32_t stream, unsigned status, const char *reason);
};

struct http_h2;
struct http_h2 *http_h2_create(enum http_role role, const struct http_h2_conf *conf,
                               const struct http_h2_functions *functions, void *user);
void http_h2_destroy(struct http_h2 *h); /* calls stream_close for what is open */

/* Bytes in: takes all of them. ERR_CLOSED or ERR_SYNTAX: send what http_h2_output still has,
 * then close. now_ms drives the cost budget. */
NODISCARD enum err http_h2_feed(struct http_h2 *h, struct span bytes, int64_t now_ms);
/* Frames out: fills at most `room` (>= HTTP_H2_OUTPUT_MIN) bytes of `out`, whole frames; 0 =
 * nothing now. Read_body writes straight into `out`. */
#define HTTP_H2_OUTPUT_MIN (17 * 1024)
size_t http_h2_output(struct http_h2 *h, char *out, size_t room);
bool http_h2_wants_output(const struct http_h2 *h);
bool http_h2_is_done(const struct http_h2 *h);     /* neither wants to read nor to write */
uint32_t http_h2_streams(const struct http_h2 *h); /* open now */
bool http_h2_in_head(const struct http_h2 *h);     /* some but not all of a head has come */
void http_h2_trim(struct http_h2 *h); /* gives reusable memory back: for idle connections */

/* The caller's own word about a stream; NULL until set, and for streams that are gone. Still
 * there in stream_close. */
void http_h2_set_user(struct http_h2 *h, int32_t stream, void *user);
void *http_h2_user(const struct http_h2 *h, int32_t stream);

/* server: the head of the answer. `body` says that read_body will be asked. */
NODISCARD enum err http_h2_respond(struct http_h2 *h, int32_t stream,
                                   const struct http_response *r, bool body);
NODISCARD enum err http_h2_interim(struct http_h2 *h, int32_t stream,
                                   const struct http_response *r);
/* client: a new stream; ERR_LIMIT when the other side's stream limit is reached (its
 * announced one and conf's), ERR_CLOSED when it takes no more requests (GOAWAY, the end). */
NODISCARD enum err http_h2_request(struct http_h2 *h, const struct http_request *r, bool body,
                                   int32_t *out_stream);
bool http_h2_may_request(const struct http_h2 *h);          /* client: would it be taken now? */
void http_h2_body_ready(struct http_h2 *h, int32_t stream); /* read_body has more, or an end */
void http_h2_consumed(struct http_h2 *h, int32_t stream, size_t bytes); /* flow control */
void http_h2_reset(struct http_h2 *h, int32_t stream, uint32_t error);
/* Graceful: no new streams, finish the open ones. A server says so twice, a round trip apart
 * (RFC 9113 6.8), so that no request in flight is lost; then http_h2_is_done turns true. */
void http_h2_goaway(struct http_h2 *h);
/* GOAWAY with error, then done; `reason` is static. */
void http_h2_end(struct http_h2 *h, uint32_t error, const char *reason);
uint32_t http_h2_end_code(const struct http_h2 *h);      /* of our GOAWAY; NO_ERROR: none */
const char *http_h2_end_reason(const struct http_h2 *h); /* for one log line; NULL: none */

#define HTTP_H2_NO_ERROR 0u
#define HTTP_H2_PROTOCOL_ERROR 1u
#define HTTP_H2_INTERNAL_ERROR 2u
#define HTTP_H2_STREAM_CLOSED 5u
#define HTTP_H2_REFUSED_STREAM 7u
#define HTTP_H2_CANCEL 8u
#define HTTP_H2_ENHANCE_YOUR_CALM 11u
