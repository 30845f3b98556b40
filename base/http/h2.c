/* Longer than other files since it is the only one that may see nghttp2: callbacks from it come
 * first, then what the caller asks. Heads are judged in h2_head.c, abuse counted in h2_cost.c.
 */
#include "base/http/h2.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/http/h2_head.h"
#include "base/http/h2_watch.h"

#define CONNECTION_WINDOW_BYTES (1024 * 1024)
#define BUCKETS 64  /* of the stream table; ids are sequential, so chains are short */
#define NV_STACK 72 /* larger heads take their array from the arena */
#define DATA_MAX 16384
#define ROOM_LEAST 1024 /* no DATA frame is cut smaller than this by the output's end */
#define TINY_WINDOW 256
#define REASON_MAX 64

const struct http_h2_conf http_h2_conf_default = {
    .streams_max = 128,
    .window_bytes = 256 * 1024,
    .fields_bytes = 32 * 1024,
    .field_count = 100,
    .cost_per_10s = 2000,
    .line_bytes = 8 * 1024,
    .field_bytes = 8 * 1024,
    .tag_field_bytes = 64 * 1024,
    .arena_bytes = 256 * 1024,
};

struct stream {
    struct stream *next; /* in its bucket, or in the list of free ones */
    struct arena arena;
    void *user;
    size_t uncredited; /* body bytes given to the caller and not yet consumed */
    int32_t id;
    bool told;         /* the caller knows this stream */
    bool deaf;         /* nothing of it is delivered any more: refused or reset by us */
    bool excused;      /* a RST_STREAM of ours that the other side did not provoke */
    bool head_done;    /* the final head came */
    bool head_only;    /* client: a HEAD request */
    bool remote_ended; /* END_STREAM received */
    bool local_ended;  /* END_STREAM sent */

    struct http_h2_head head; /* the one that arrives; set when it begins */
};

struct http_h2 {
    nghttp2_session *ng;
    enum http_role role;
    struct http_h2_conf conf;
    struct http_h1_limits limits;
    const struct http_h2_functions *functions;
    void *user;
    struct stream *buckets[BUCKETS];
    struct stream *free;    /* arenas reset, first block kept */
    struct stream *heading; /* the stream whose head arrives */
    struct stream *closing; /* the one that stream_close is told of */
    uint32_t streams, free_count;

    int32_t highest;     /* server: highest stream id seen */
    int32_t goaway_last; /* ids above are ignored, after GOAWAY */
    struct http_h2_watch watch;
    struct http_h2_authority authority;

    char *out; /* only inside http_h2_output */
    size_t out_len, out_room;
    bool out_full;
    const uint8_t *pending; /* a frame that did not fit; nghttp2's until its next mem_send */
    size_t pending_len;

    bool draining, ending, terminated;
    bool broken; /* not even a GOAWAY can be sent */
    uint32_t end_code;
    const char *reason;
    char reason_text[REASON_MAX];
};

static struct stream **bucket_of(struct http_h2 *h, int32_t id)
{
    return &h->buckets[((uint32_t)id >> 1) % BUCKETS];
}

static struct stream *find(const struct http_h2 *h, int32_t id)
{
    struct stream *s = h->buckets[((uint32_t)id >> 1) % BUCKETS];
    while (s && s->id != id)
        s = s->next;
    return s;
}

static struct stream *open_stream(struct http_h2 *h, int32_t id)
{
    struct stream *s = h->free;
    if (s) {
        h->free = s->next;
        h->free_count--;
        size_t from = offsetof(struct stream, user);
        memset((char *)s + from, 0, offsetof(struct stream, head) - from);
    } else {
        s = must_alloc(sizeof *s);
        arena_init(&s->arena, h->conf.arena_bytes);
    }
    struct stream **bucket = bucket_of(h, id);
    s->id = id;
    s->next = *bucket;
    *bucket = s;
    h->streams++;
    return s;
}

/* Takes it out of the table, tells the caller, keeps its memory for the next one. */
static void close_stream(struct http_h2 *h, struct stream *s, uint32_t error)
{
    struct stream **at = bucket_of(h, s->id);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    h->streams--;
    if (h->heading == s)
        h->heading = NULL;
    if (s->uncredited)
        (void)nghttp2_session_consume_connection(h->ng, s->uncredited);
    if (s->told) {
        h->closing = s;
        h->functions->stream_close(h->user, s->id, error);
        h->closing = NULL;
    }
    if (h->free_count < h->conf.streams_max) {
        arena_reset(&s->arena);
        s->next = h->free;
        h->free = s;
        h->free_count++;
    } else {
        arena_fini(&s->arena);
        free(s);
    }
}

void http_h2_trim(struct http_h2 *h)
{
    struct stream *s;
    while ((s = h->free)) {
        h->free = s->next;
        arena_fini(&s->arena);
        free(s);
    }
    h->free_count = 0;
}

/* The first reason stands. */
static void end_with(struct http_h2 *h, uint32_t code, const char *reason)
{
    if (h->ending)
        return;
    h->ending = true;
    h->end_code = code;
    h->reason = reason;
}

static void terminate_if_ending(struct http_h2 *h)
{
    if (!h->ending || h->terminated)
        return;
    h->terminated = true;
    (void)nghttp2_session_terminate_session(h->ng, h->end_code);
}

/* What a receiving callback returns: over the budget nghttp2 stops at once. */
static int charge(struct http_h2 *h, uint32_t points, const char *reason)
{
    if (http_h2_cost_charge(&h->watch.cost, points))
        return 0;
    end_with(h, HTTP_H2_ENHANCE_YOUR_CALM, reason);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static void reset_stream(struct http_h2 *h, struct stream *s, uint32_t error)
{
    s->deaf = true;
    (void)nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id, error);
}

/* Fatal codes of mem_recv and mem_send, and what the other side is told. */
static void end_by_library(struct http_h2 *h, ssize_t code)
{
    switch (code) {
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
        end_with(h, HTTP_H2_PROTOCOL_ERROR, "bad preface");
        break;
    case NGHTTP2_ERR_NOMEM:
    case NGHTTP2_ERR_CALLBACK_FAILURE:
        end_with(h, HTTP_H2_INTERNAL_ERROR, "out of memory");
        break;
    default: /* its own flood limits: acknowledgements, CONTINUATION */
        end_with(h, HTTP_H2_ENHANCE_YOUR_CALM, "flood");
        break;
    }
}

/* -- what nghttp2 received -- */

static void to_library(struct http_h2 *h, const char *bytes, size_t len)
{
    if (len == 0 || h->ending)
        return;
    ssize_t n = nghttp2_session_mem_recv(h->ng, (const uint8_t *)bytes, len);
    if (n < 0)
        end_by_library(h, n);
}

/* May a stream with this number be meant that is no more? Only DATA and HEADERS matter. */
static bool is_old_stream(const struct http_h2 *h, const struct http_h2_frame *f)
{
    return h->role == HTTP_SERVER && (f->type == HTTP_H2_DATA || f->type == HTTP_H2_HEADERS) &&
           (f->stream & 1) && f->stream <= h->highest;
}

static void got_frame_head(struct http_h2 *h, const struct http_h2_frame *f)
{
    if (is_old_stream(h, f) && !find(h, f->stream) &&
        !http_h2_watch_was_reset(&h->watch, f->stream))
        end_with(h, HTTP_H2_STREAM_CLOSED, "frame on a closed stream");
    if (f->type == HTTP_H2_HEADERS && (f->stream & 1) && f->stream > h->highest &&
        f->stream <= h->goaway_last)
        h->highest = f->stream;
    const char *abuse = http_h2_watch_price(&h->watch, f);
    if (abuse)
        end_with(h, HTTP_H2_ENHANCE_YOUR_CALM, abuse);
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http_h2 *h = user;
    struct stream *s;
    enum http_h2_head_kind kind;
    (void)ng;
    if (h->role == HTTP_SERVER && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        s = open_stream(h, frame->hd.stream_id);
        kind = HTTP_H2_HEAD_REQUEST;
    } else {
        s = find(h, frame->hd.stream_id);
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
    struct stream *s = h->heading;
    (void)ng;
    (void)flags;
    if (!s || s->id != frame->hd.stream_id || s->deaf)
        return 0;
    uint32_t dropped = s->head.dropped;
    http_h2_head_add(&s->head, span_of(name, name_len), span_of(value, value_len));
    if (s->head.dropped != dropped)
        return charge(h, HTTP_H2_PRICE_DROPPED_FIELD, "head far over the limits");
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

/* Answers here what the caller is never shown. */
static void refuse(struct http_h2 *h, struct stream *s)
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
        reset_stream(h, s, HTTP_H2_INTERNAL_ERROR);
    if (h->functions->refused)
        h->functions->refused(h->user, s->id, s->head.fault.status, s->head.fault.reason);
}

static void end_remote(struct http_h2 *h, struct stream *s)
{
    s->remote_ended = true;
    if (!s->deaf)
        h->functions->body_end(h->user, s->id);
}

static void got_trailers(struct http_h2 *h, struct stream *s)
{
    struct http_fields trailers;
    if (http_h2_head_trailers(&s->head, &trailers)) {
        reset_stream(h, s, HTTP_H2_PROTOCOL_ERROR);
        return;
    }
    if (trailers.count)
        h->functions->trailers(h->user, s->id, &trailers);
    end_remote(h, s); /* nghttp2 insists on END_STREAM (RFC 9113 8.1) */
}

static void got_request(struct http_h2 *h, struct stream *s, bool ended)
{
    struct http_request r;
    s->head_done = true;
    s->remote_ended = ended;
    if (http_h2_head_request(&s->head, ended, &h->authority, &r)) {
        refuse(h, s);
        return;
    }
    s->told = true;
    h->functions->request(h->user, s->id, &r, &s->arena, ended);
}

static void got_response(struct http_h2 *h, struct stream *s, bool ended)
{
    struct http_response r;
    if (http_h2_head_response(&s->head, ended, s->head_only, &r)) {
        reset_stream(h, s, HTTP_H2_PROTOCOL_ERROR);
        return;
    }
    s->head_done = r.status >= 200;
    s->remote_ended = ended;
    h->functions->response(h->user, s->id, &r, &s->arena, ended);
}

static int got_data(struct http_h2 *h, const nghttp2_frame *frame)
{
    bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct stream *s = find(h, frame->hd.stream_id);
    if (s && ended)
        end_remote(h, s);
    if (!ended && frame->hd.length && frame->hd.length == frame->data.padlen)
        return charge(h, HTTP_H2_PRICE_EMPTY_DATA, "too many empty data frames");
    return 0;
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http_h2 *h = user;
    struct stream *s;
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
    struct stream *s = find(h, id);
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
    struct stream *s = find(h, id);
    (void)ng;
    if (s)
        close_stream(h, s, error);
    return 0;
}

/* -- what nghttp2 sends -- */

static void after_end_stream(struct http_h2 *h, struct stream *s)
{
    s->local_ended = true;
    if (h->role != HTTP_SERVER || s->remote_ended)
        return;
    /* RFC 9113 8.1: the answer is whole, the rest of the request is of no use */
    s->excused = true;
    reset_stream(h, s, HTTP_H2_NO_ERROR);
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http_h2 *h = user;
    struct stream *s;
    (void)ng;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS:
        if (frame->hd.type == NGHTTP2_DATA)
            http_h2_cost_explain(&h->watch.cost);
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && (s = find(h, frame->hd.stream_id)))
            after_end_stream(h, s);
        return 0;
    case NGHTTP2_RST_STREAM:
        if (h->role != HTTP_SERVER)
            return 0;
        http_h2_watch_reset_sent(&h->watch, frame->hd.stream_id);
        s = find(h, frame->hd.stream_id);
        if (frame->rst_stream.error_code == NGHTTP2_REFUSED_STREAM) /* our limit may be news */
            (void)charge(h, HTTP_H2_PRICE_REFUSED, "too many streams beyond the limit");
        else if (!s || !s->excused)
            (void)charge(h, HTTP_H2_PRICE_RESET, "too many streams to be reset");
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

static enum err submit_trailers(struct http_h2 *h, struct stream *s,
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
    struct stream *s = find(h, id);
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
    } else if (len == room && room < TINY_WINDOW) {
        (void)charge(h, HTTP_H2_PRICE_TINY_WINDOW, "tiny window");
    }
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
    h->out_full = h->out_room - h->out_len < HTTP_H2_FRAME_HEAD + ROOM_LEAST;
    return h->out_full || h->ending ? NGHTTP2_ERR_PAUSE : 0;
}

/* -- the session -- */

static nghttp2_session *create_session(struct http_h2 *h)
{
    nghttp2_session_callbacks *c;
    nghttp2_option *option;
    nghttp2_session *ng = NULL;
    must(nghttp2_session_callbacks_new(&c) == 0 && nghttp2_option_new(&option) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(c, on_invalid_header);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
    nghttp2_session_callbacks_set_data_source_read_length_callback(c, on_read_length);
    nghttp2_session_callbacks_set_send_data_callback(c, on_send_data);
    nghttp2_option_set_no_auto_window_update(option, 1);
    int rv = h->role == HTTP_SERVER ? nghttp2_session_server_new2(&ng, c, h, option)
                                    : nghttp2_session_client_new2(&ng, c, h, option);
    must(rv == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(c);
    return ng;
}

static void announce(struct http_h2 *h)
{
    nghttp2_settings_entry s[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h->conf.window_bytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h->conf.fields_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h->conf.streams_max},
    };
    if (h->role == HTTP_CLIENT) {
        s[3] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
        s[1].value += h->conf.tag_field_bytes;
    }
    must(nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, s, ARRAY_LEN(s)) == 0);
    must(nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0,
                                               CONNECTION_WINDOW_BYTES) == 0);
}

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value ? value : fallback;
}

struct http_h2 *http_h2_create(enum http_role role, const struct http_h2_conf *conf,
                               const struct http_h2_functions *functions, void *user)
{
    const struct http_h2_conf *d = &http_h2_conf_default;
    struct http_h2 *h = must_alloc(sizeof *h);
    h->role = role;
    h->functions = functions;
    h->user = user;
    h->goaway_last = INT32_MAX;
    h->conf = (struct http_h2_conf){
        .streams_max = or_default(conf->streams_max, d->streams_max),
        .window_bytes = or_default(conf->window_bytes, d->window_bytes),
        .fields_bytes = or_default(conf->fields_bytes, d->fields_bytes),
        .field_count = or_default(conf->field_count, d->field_count),
        .cost_per_10s = or_default(conf->cost_per_10s, d->cost_per_10s),
        .line_bytes = or_default(conf->line_bytes, d->line_bytes),
        .field_bytes = or_default(conf->field_bytes, d->field_bytes),
        .tag_field_bytes = or_default(conf->tag_field_bytes, d->tag_field_bytes),
        .arena_bytes = or_default(conf->arena_bytes, d->arena_bytes),
    };
    h->limits = (struct http_h1_limits){
        .line_bytes = h->conf.line_bytes,
        .field_bytes = h->conf.field_bytes,
        .tag_field_bytes = h->conf.tag_field_bytes,
        .fields_bytes = h->conf.fields_bytes,
        .field_count = h->conf.field_count,
    };
    bool server = role == HTTP_SERVER;
    size_t block_max =
        4 * ((size_t)h->conf.fields_bytes + (server ? 0 : h->conf.tag_field_bytes));
    http_h2_watch_init(&h->watch, server, h->conf.cost_per_10s, block_max,
                       server ? NGHTTP2_CLIENT_MAGIC_LEN : 0);
    h->ng = create_session(h);
    announce(h);
    return h;
}

void http_h2_destroy(struct http_h2 *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (h->buckets[i])
            close_stream(h, h->buckets[i], h->ending ? h->end_code : HTTP_H2_CANCEL);
    http_h2_trim(h);
    nghttp2_session_del(h->ng);
    free(h);
}

enum err http_h2_feed(struct http_h2 *h, struct span bytes, int64_t now_ms)
{
    must(!h->out);
    if (h->terminated)
        return ERR_CLOSED;
    http_h2_cost_tick(&h->watch.cost, now_ms);
    size_t given = 0, at = 0;
    struct http_h2_frame f;
    while (!h->ending && http_h2_watch_next(&h->watch, bytes, &at, &f)) {
        if (is_old_stream(h, &f)) { /* what came before may close it: all but the head's end */
            to_library(h, bytes.ptr + given, at - 1 - given);
            given = at - 1;
        }
        got_frame_head(h, &f);
    }
    to_library(h, bytes.ptr + given, bytes.len - given);
    terminate_if_ending(h);
    if (h->ending)
        return ERR_SYNTAX;
    return nghttp2_session_want_read(h->ng) ? ERR_OK : ERR_CLOSED;
}

size_t http_h2_output(struct http_h2 *h, char *out, size_t room)
{
    must(room >= HTTP_H2_OUTPUT_MIN && !h->out);
    h->out = out;
    h->out_room = room;
    h->out_len = 0;
    for (;;) {
        if (h->pending_len > room - h->out_len)
            break;
        if (h->pending_len)
            memcpy(out + h->out_len, h->pending, h->pending_len);
        h->out_len += h->pending_len;
        h->pending_len = 0;
        if (room - h->out_len < HTTP_H2_FRAME_HEAD + ROOM_LEAST)
            break;
        terminate_if_ending(h);
        h->out_full = false;
        ssize_t n = nghttp2_session_mem_send(h->ng, &h->pending);
        if (n < 0) {
            end_by_library(h, n);
            h->broken = h->terminated;
            if (h->broken)
                break;
        } else if (n > 0) {
            h->pending_len = (size_t)n;
        } else if (h->out_full || !h->ending || h->terminated) {
            break;
        }
    }
    h->out = NULL;
    return h->out_len;
}

bool http_h2_wants_output(const struct http_h2 *h)
{
    return !h->broken && (h->pending_len || nghttp2_session_want_write(h->ng));
}

bool http_h2_is_done(const struct http_h2 *h)
{
    return h->broken || (!http_h2_wants_output(h) && !nghttp2_session_want_read(h->ng));
}

uint32_t http_h2_streams(const struct http_h2 *h)
{
    return h->streams;
}

bool http_h2_in_head(const struct http_h2 *h)
{
    return h->heading != NULL;
}

/* -- what the caller asks -- */

void http_h2_set_user(struct http_h2 *h, int32_t stream, void *user)
{
    struct stream *s = find(h, stream);
    if (s)
        s->user = user;
}

void *http_h2_user(const struct http_h2 *h, int32_t stream)
{
    struct stream *s = find(h, stream);
    if (!s && h->closing && h->closing->id == stream)
        s = h->closing;
    return s ? s->user : NULL;
}

static enum err submit_head(struct http_h2 *h, int32_t id, const struct http_response *r,
                            bool interim, bool body)
{
    struct stream *s = find(h, id);
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
    struct stream *s = open_stream(h, id);
    s->told = true;
    s->head_only = r->method == HTTP_HEAD;
    *out_stream = id;
    return ERR_OK;
}

void http_h2_body_ready(struct http_h2 *h, int32_t stream)
{
    if (find(h, stream))
        (void)nghttp2_session_resume_data(h->ng, stream);
}

void http_h2_consumed(struct http_h2 *h, int32_t stream, size_t bytes)
{
    struct stream *s = find(h, stream);
    if (!s)
        return; /* closed: credited then */
    must(bytes <= s->uncredited);
    s->uncredited -= bytes;
    if (s->deaf || s->remote_ended)
        (void)nghttp2_session_consume_connection(h->ng, bytes);
    else
        (void)nghttp2_session_consume(h->ng, stream, bytes);
}

void http_h2_reset(struct http_h2 *h, int32_t stream, uint32_t error)
{
    struct stream *s = find(h, stream);
    if (!s || s->deaf)
        return;
    s->excused = true;
    reset_stream(h, s, error);
}

void http_h2_goaway(struct http_h2 *h)
{
    if (h->draining || h->ending)
        return;
    h->draining = true;
    if (h->role == HTTP_CLIENT) {
        (void)nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
        return;
    }
    (void)nghttp2_submit_shutdown_notice(h->ng);
    (void)nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL);
}

void http_h2_end(struct http_h2 *h, uint32_t error, const char *reason)
{
    end_with(h, error, reason);
    terminate_if_ending(h);
}

uint32_t http_h2_end_code(const struct http_h2 *h)
{
    return h->end_code;
}

const char *http_h2_end_reason(const struct http_h2 *h)
{
    return h->reason;
}
