#include "base/http/h2_core.h"

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http_h2 *h = user;
    struct http_h2_stream *s;
    enum http_h2_head_kind kind;
    (void)ng;
    if (h->role == HTTP_SERVER && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        s = http_h2_stream_open(h, frame->hd.stream_id);
        kind = HTTP_H2_HEAD_REQUEST;
    } else {
        s = http_h2_stream_find(h, frame->hd.stream_id);
        if (!s)
            return 0;
        kind = s->head_done ? HTTP_H2_HEAD_TRAILERS : HTTP_H2_HEAD_RESPONSE;
    }
    http_h2_head_init(&s->head, kind, &s->arena, &h->limits);
    h->heading = s;
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct http_h2 *h = user;
    struct http_h2_stream *s = h->heading;
    (void)ng;
    (void)flags;
    if (!s || s->id != frame->hd.stream_id || s->deaf)
        return 0;
    uint32_t dropped = s->head.dropped;
    http_h2_head_add(&s->head, span_of(name, name_len), span_of(value, value_len));
    if (s->head.dropped != dropped)
        return http_h2_charge(h, HTTP_H2_PRICE_DROPPED_FIELD, "head far over the limits");
    return 0;
}

/* nghttp2 would drop a malformed regular field in silence; RFC 9113 8.2.1 wants the request
 * refused. */
static int on_invalid_header(nghttp2_session *ng, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *user)
{
    (void)ng, (void)frame, (void)name, (void)name_len, (void)value, (void)value_len;
    (void)flags, (void)user;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* nghttp2 refuses the frame's stream; a later frame for it is no fault of the client's. */
static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int error,
                            void *user)
{
    struct http_h2 *h = user;
    (void)ng;
    (void)error;
    if (h->role == HTTP_SERVER && frame->hd.stream_id)
        http_h2_watch_reset_sent(&h->watch, frame->hd.stream_id);
    return 0;
}

static void end_remote(struct http_h2 *h, struct http_h2_stream *s)
{
    s->remote_ended = true;
    if (!s->deaf)
        h->functions->body_end(h->user, s->id);
}

static void got_trailers(struct http_h2 *h, struct http_h2_stream *s)
{
    struct http_fields trailers;
    if (http_h2_head_trailers(&s->head, &trailers)) {
        http_h2_stream_reset(h, s, HTTP_H2_PROTOCOL_ERROR);
        return;
    }
    if (trailers.count)
        h->functions->trailers(h->user, s->id, &trailers);
    end_remote(h, s); /* nghttp2 insists on END_STREAM (RFC 9113 8.1) */
}

static void got_request(struct http_h2 *h, struct http_h2_stream *s, bool ended)
{
    struct http_request r;
    s->head_done = true;
    s->remote_ended = ended;
    if (http_h2_head_request(&s->head, ended, &h->authority, &r)) {
        http_h2_send_refusal(h, s);
        return;
    }
    s->told = true;
    h->functions->request(h->user, s->id, &r, &s->arena, ended);
}

static void got_response(struct http_h2 *h, struct http_h2_stream *s, bool ended)
{
    struct http_response r;
    if (http_h2_head_response(&s->head, ended, s->head_only, &r)) {
        http_h2_stream_reset(h, s, HTTP_H2_PROTOCOL_ERROR);
        return;
    }
    s->head_done = r.status >= 200;
    s->remote_ended = ended;
    h->functions->response(h->user, s->id, &r, &s->arena, ended);
}

static int got_data(struct http_h2 *h, const nghttp2_frame *frame)
{
    bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct http_h2_stream *s = http_h2_stream_find(h, frame->hd.stream_id);
    if (s && ended)
        end_remote(h, s);
    if (!ended && frame->hd.length && frame->hd.length == frame->data.padlen)
        return http_h2_charge(h, HTTP_H2_PRICE_EMPTY_DATA, "too many empty data frames");
    return 0;
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http_h2 *h = user;
    struct http_h2_stream *s;
    bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
        return got_data(h, frame);
    case NGHTTP2_HEADERS:
        s = h->heading;
        h->heading = NULL;
        if (!s || s->id != frame->hd.stream_id || s->deaf)
            return 0;
        if (s->head.kind == HTTP_H2_HEAD_TRAILERS)
            got_trailers(h, s);
        else if (s->head.kind == HTTP_H2_HEAD_REQUEST)
            got_request(h, s, ended);
        else
            got_response(h, s, ended);
        return 0;
    case NGHTTP2_PING:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK) || !h->draining)
            return 0;
        /* a round trip after the notice: what came until now is what we serve */
        if (h->goaway_last == INT32_MAX) {
            h->goaway_last = nghttp2_session_get_last_proc_stream_id(ng);
            (void)nghttp2_submit_goaway(ng, NGHTTP2_FLAG_NONE, h->goaway_last, NGHTTP2_NO_ERROR,
                                        NULL, 0);
        }
        return 0;
    default:
        return 0;
    }
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *bytes,
                         size_t len, void *user)
{
    struct http_h2 *h = user;
    struct http_h2_stream *s = http_h2_stream_find(h, id);
    (void)flags;
    if (!s || s->deaf) {
        (void)nghttp2_session_consume_connection(ng, len);
        return 0;
    }
    s->uncredited += len;
    h->functions->body(h->user, id, span_of(bytes, len));
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error, void *user)
{
    struct http_h2 *h = user;
    struct http_h2_stream *s = http_h2_stream_find(h, id);
    (void)ng;
    if (s)
        http_h2_stream_close(h, s, error);
    return 0;
}

void http_h2_receive_register(nghttp2_session_callbacks *c)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(c, on_invalid_header);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
}
