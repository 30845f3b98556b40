#include <stdio.h>

#include "base/http/h2_core.h"

#define NV_STACK 72 /* larger heads take their array from the arena */
#define DATA_MAX 16384

/* -- fields -- */

static size_t put_status(unsigned status, char out[4])
{
    out[0] = (char)('0' + status / 100 % 10);
    out[1] = (char)('0' + status / 10 % 10);
    out[2] = (char)('0' + status % 10);
    return 3;
}

static struct span put_length(int64_t value, char out[24])
{
    char *at = out + 24;
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    return span_of(at, (size_t)(out + 24 - at));
}

static nghttp2_nv nv_of(struct span name, struct span value)
{
    /* nghttp2 copies and only reads; its struct lacks the const */
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.ptr,
                        .value = (uint8_t *)(uintptr_t)value.ptr,
                        .namelen = name.len,
                        .valuelen = value.len};
}

/* nghttp2 frees names and values of its own copies, so the array may live on the stack. */
static nghttp2_nv *nv_room(struct arena *a, nghttp2_nv stack[NV_STACK], size_t count)
{
    return count <= NV_STACK ? stack : arena_alloc(a, count * sizeof *stack);
}

static size_t add_fields(nghttp2_nv *nv, size_t at, const struct http_fields *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        enum http_name id = (enum http_name)f->at[i].id;
        /* RFC 9113 8.2.2: a leftover would cost the whole stream */
        must(id != HTTP_NAME_CONNECTION && id != HTTP_NAME_KEEP_ALIVE &&
             id != HTTP_NAME_PROXY_CONNECTION && id != HTTP_NAME_TRANSFER_ENCODING &&
             id != HTTP_NAME_UPGRADE && id != HTTP_NAME_TE);
        nv[at++] = nv_of(f->at[i].name, f->at[i].value);
    }
    return at;
}

/* -- what nghttp2 asks for, and tells -- */

static void after_end_stream(struct http_h2 *h, struct http_h2_stream *s)
{
    s->local_ended = true;
    if (h->role != HTTP_SERVER || s->remote_ended)
        return;
    /* RFC 9113 8.1: the answer is whole, the rest of the request is of no use */
    s->excused = true;
    http_h2_stream_reset(h, s, HTTP_H2_NO_ERROR);
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http_h2 *h = user;
    struct http_h2_stream *s;
    (void)ng;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS:
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
            (s = http_h2_stream_find(h, frame->hd.stream_id)))
            after_end_stream(h, s);
        return 0;
    case NGHTTP2_RST_STREAM:
        if (h->role != HTTP_SERVER)
            return 0;
        http_h2_watch_reset_sent(&h->watch, frame->hd.stream_id);
        s = http_h2_stream_find(h, frame->hd.stream_id);
        if (frame->rst_stream.error_code == NGHTTP2_REFUSED_STREAM) /* our limit may be news */
            (void)http_h2_charge(h, HTTP_H2_PRICE_REFUSED, "too many streams beyond the limit");
        else if (!s || !s->excused)
            (void)http_h2_charge(h, HTTP_H2_PRICE_RESET, "too many streams to be reset");
        return 0;
    case NGHTTP2_GOAWAY:
        if (frame->goaway.error_code == NGHTTP2_NO_ERROR || h->reason)
            return 0;
        snprintf(h->reason_text, sizeof h->reason_text, "error %u: %.*s",
                 (unsigned)frame->goaway.error_code, (int)frame->goaway.opaque_data_len,
                 frame->goaway.opaque_data ? (const char *)frame->goaway.opaque_data : "");
        h->reason = h->reason_text;
        h->end_code = frame->goaway.error_code;
        return 0;
    default:
        return 0;
    }
}

static ssize_t on_read_length(nghttp2_session *ng, uint8_t type, int32_t id,
                              int32_t connection_window, int32_t stream_window,
                              uint32_t frame_max, void *user)
{
    const struct http_h2 *h = user;
    size_t len = h->out_room - h->out_len - HTTP_H2_FRAME_HEAD;
    (void)ng, (void)type, (void)id;
    if (len > DATA_MAX)
        len = DATA_MAX;
    if (len > frame_max)
        len = frame_max;
    if (len > (size_t)connection_window)
        len = (size_t)connection_window;
    if (len > (size_t)stream_window)
        len = (size_t)stream_window;
    return (ssize_t)len;
}

static enum err submit_trailers(struct http_h2 *h, struct http_h2_stream *s,
                                const struct http_fields *f)
{
    nghttp2_nv stack[NV_STACK], *nv = nv_room(&s->arena, stack, f->count);
    if (!nv)
        return ERR_LIMIT;
    size_t count = add_fields(nv, 0, f);
    return nghttp2_submit_trailer(h->ng, s->id, nv, count) ? ERR_LIB : ERR_OK;
}

/* Reads straight into the output, behind where on_send_data will put the frame's head. */
static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *unused, size_t room,
                       uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct http_h2 *h = user;
    struct http_h2_stream *s = http_h2_stream_find(h, id);
    struct http_fields trailers = {0};
    size_t len = 0;
    (void)ng, (void)unused, (void)source;
    if (!s)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    enum err err = h->functions->read_body(
        h->user, id, h->out + h->out_len + HTTP_H2_FRAME_HEAD, room, &len, &trailers);
    if (err == ERR_AGAIN)
        return NGHTTP2_ERR_DEFERRED;
    if (err != ERR_OK && err != ERR_CLOSED) {
        s->excused = true;
        s->deaf = true;
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    must(len <= room && (len > 0 || err == ERR_CLOSED));
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (err == ERR_CLOSED) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (trailers.count) {
            if (submit_trailers(h, s, &trailers))
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        }
    }
    if (!http_h2_cost_data(&h->watch.cost, len, err == ERR_OK && len == room))
        http_h2_end_with(h, HTTP_H2_ENHANCE_YOUR_CALM, "tiny windows");
    return (ssize_t)len;
}

static int on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *frame_head,
                        size_t len, nghttp2_data_source *source, void *user)
{
    struct http_h2 *h = user;
    (void)ng, (void)source;
    must(frame->data.padlen == 0 && HTTP_H2_FRAME_HEAD + len <= h->out_room - h->out_len);
    memcpy(h->out + h->out_len, frame_head, HTTP_H2_FRAME_HEAD);
    h->out_len += HTTP_H2_FRAME_HEAD + len;
    h->out_full = h->out_room - h->out_len < HTTP_H2_FRAME_HEAD + HTTP_H2_ROOM_LEAST;
    return h->out_full || h->ending ? NGHTTP2_ERR_PAUSE : 0;
}

void http_h2_send_register(nghttp2_session_callbacks *c)
{
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
    nghttp2_session_callbacks_set_data_source_read_length_callback(c, on_read_length);
    nghttp2_session_callbacks_set_send_data_callback(c, on_send_data);
}

/* -- heads -- */

void http_h2_send_refusal(struct http_h2 *h, struct http_h2_stream *s)
{
    char status[4];
    nghttp2_nv nv[3] = {
        nv_of(SPAN(":status"), span_of(status, put_status(s->head.fault.status, status))),
        nv_of(SPAN("content-length"), SPAN("0")),
        nv_of(SPAN("cache-control"), SPAN("no-store")),
    };
    s->deaf = true;
    s->excused = true;
    if (nghttp2_submit_response(h->ng, s->id, nv, ARRAY_LEN(nv), NULL))
        http_h2_stream_reset(h, s, HTTP_H2_INTERNAL_ERROR);
    if (h->functions->refused)
        h->functions->refused(h->user, s->id, s->head.fault.status, s->head.fault.reason);
}

static enum err submit_head(struct http_h2 *h, int32_t id, const struct http_response *r,
                            bool interim, bool body)
{
    struct http_h2_stream *s = http_h2_stream_find(h, id);
    if (!s || s->deaf)
        return ERR_CLOSED;
    char status[4], length[24];
    size_t count = 2 + r->fields.count + (r->block ? r->block->fields.count : 0);
    nghttp2_nv stack[NV_STACK], *nv = nv_room(&s->arena, stack, count);
    if (!nv)
        return ERR_LIMIT;
    size_t at = 0;
    nv[at++] = nv_of(SPAN(":status"), span_of(status, put_status(r->status, status)));
    if (r->block)
        at = add_fields(nv, at, &r->block->fields);
    at = add_fields(nv, at, &r->fields);
    if (r->length_declared && r->body_bytes >= 0) {
        nv[at++] = nv_of(SPAN("content-length"), put_length(r->body_bytes, length));
    }
    nghttp2_data_provider provider = {.read_callback = on_read};
    int rv = interim ? nghttp2_submit_headers(h->ng, NGHTTP2_FLAG_NONE, id, NULL, nv, at, NULL)
                     : nghttp2_submit_response(h->ng, id, nv, at, body ? &provider : NULL);
    return rv < 0 ? ERR_LIB : ERR_OK;
}

enum err http_h2_respond(struct http_h2 *h, int32_t stream, const struct http_response *r,
                         bool body)
{
    return submit_head(h, stream, r, false, body);
}

enum err http_h2_interim(struct http_h2 *h, int32_t stream, const struct http_response *r)
{
    return submit_head(h, stream, r, true, false);
}

static bool takes_requests(const struct http_h2 *h)
{
    return !h->ending && nghttp2_session_check_request_allowed(h->ng);
}

static bool has_stream_left(const struct http_h2 *h)
{
    return h->streams < h->conf.streams_max &&
           h->streams < nghttp2_session_get_remote_settings(
                            h->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool http_h2_may_request(const struct http_h2 *h)
{
    return takes_requests(h) && has_stream_left(h);
}

static size_t request_nv(nghttp2_nv *nv, const struct http_request *r, bool body,
                         char length[24])
{
    size_t at = 0;
    nv[at++] = nv_of(SPAN(":method"), r->method_text);
    nv[at++] = nv_of(SPAN(":scheme"), r->scheme);
    nv[at++] = nv_of(SPAN(":authority"), r->authority);
    nv[at++] = nv_of(SPAN(":path"), r->target);
    at = add_fields(nv, at, &r->fields);
    if (r->has_trailer_support)
        nv[at++] = nv_of(SPAN("te"), SPAN("trailers"));
    if (r->body_bytes > 0 || (body && r->body_bytes == 0)) {
        nv[at++] = nv_of(SPAN("content-length"), put_length(r->body_bytes, length));
    }
    return at;
}

enum err http_h2_request(struct http_h2 *h, const struct http_request *r, bool body,
                         int32_t *out_stream)
{
    must(h->role == HTTP_CLIENT);
    if (!takes_requests(h))
        return ERR_CLOSED;
    if (!has_stream_left(h))
        return ERR_LIMIT;
    struct arena spare; /* the stream has no number yet */
    char length[24];
    arena_init(&spare, h->conf.arena_bytes);
    nghttp2_nv stack[NV_STACK], *nv = nv_room(&spare, stack, r->fields.count + 6u);
    int32_t id = NGHTTP2_ERR_NOMEM;
    if (nv) {
        size_t count = request_nv(nv, r, body, length);
        nghttp2_data_provider provider = {.read_callback = on_read};
        id = nghttp2_submit_request(h->ng, NULL, nv, count, body ? &provider : NULL, NULL);
    }
    arena_fini(&spare);
    if (id < 0)
        return id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE ? ERR_CLOSED : ERR_LIB;
    struct http_h2_stream *s = http_h2_stream_open(h, id);
    s->told = true;
    s->head_only = r->method == HTTP_HEAD;
    *out_stream = id;
    return ERR_OK;
}
