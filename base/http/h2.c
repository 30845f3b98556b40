#include "base/http/h2.h"

#include <stdlib.h>

#include "base/http/h2_core.h"

#define CONNECTION_WINDOW_BYTES (1024 * 1024)

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

/* -- the end -- */

void http_h2_end_with(struct http_h2 *h, uint32_t code, const char *reason)
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

int http_h2_charge(struct http_h2 *h, uint32_t points, const char *reason)
{
    if (http_h2_cost_charge(&h->watch.cost, points))
        return 0;
    http_h2_end_with(h, HTTP_H2_ENHANCE_YOUR_CALM, reason);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* Fatal codes of mem_recv and mem_send, and what the other side is told. */
static void end_by_library(struct http_h2 *h, ssize_t code)
{
    switch (code) {
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
        http_h2_end_with(h, HTTP_H2_PROTOCOL_ERROR, "bad preface");
        break;
    case NGHTTP2_ERR_NOMEM:
    case NGHTTP2_ERR_CALLBACK_FAILURE:
        http_h2_end_with(h, HTTP_H2_INTERNAL_ERROR, "out of memory");
        break;
    default: /* its own flood limits: acknowledgements, CONTINUATION */
        http_h2_end_with(h, HTTP_H2_ENHANCE_YOUR_CALM, "flood");
        break;
    }
}

/* -- the session -- */

static nghttp2_session *create_session(struct http_h2 *h)
{
    nghttp2_session_callbacks *c;
    nghttp2_option *option;
    nghttp2_session *ng = NULL;
    must(nghttp2_session_callbacks_new(&c) == 0 && nghttp2_option_new(&option) == 0);
    http_h2_receive_register(c);
    http_h2_send_register(c);
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
    for (size_t i = 0; i < HTTP_H2_BUCKETS; i++)
        while (h->buckets[i])
            http_h2_stream_close(h, h->buckets[i], h->ending ? h->end_code : HTTP_H2_CANCEL);
    http_h2_trim(h);
    nghttp2_session_del(h->ng);
    free(h);
}

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
    if (is_old_stream(h, f) && !http_h2_stream_find(h, f->stream) &&
        !http_h2_watch_was_reset(&h->watch, f->stream))
        http_h2_end_with(h, HTTP_H2_STREAM_CLOSED, "frame on a closed stream");
    if (f->type == HTTP_H2_HEADERS && (f->stream & 1) && f->stream > h->highest &&
        f->stream <= h->goaway_last)
        h->highest = f->stream;
    const char *abuse = http_h2_watch_price(&h->watch, f);
    if (abuse)
        http_h2_end_with(h, HTTP_H2_ENHANCE_YOUR_CALM, abuse);
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
        if (room - h->out_len < HTTP_H2_FRAME_HEAD + HTTP_H2_ROOM_LEAST)
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
    struct http_h2_stream *s = http_h2_stream_find(h, stream);
    if (s)
        s->user = user;
}

void *http_h2_user(const struct http_h2 *h, int32_t stream)
{
    struct http_h2_stream *s = http_h2_stream_find(h, stream);
    if (!s && h->closing && h->closing->id == stream)
        s = h->closing;
    return s ? s->user : NULL;
}

void http_h2_body_ready(struct http_h2 *h, int32_t stream)
{
    if (http_h2_stream_find(h, stream))
        (void)nghttp2_session_resume_data(h->ng, stream);
}

void http_h2_consumed(struct http_h2 *h, int32_t stream, size_t bytes)
{
    struct http_h2_stream *s = http_h2_stream_find(h, stream);
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
    struct http_h2_stream *s = http_h2_stream_find(h, stream);
    if (!s || s->deaf)
        return;
    s->excused = true;
    http_h2_stream_reset(h, s, error);
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
    http_h2_end_with(h, error, reason);
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
