#include <stdlib.h>

#include "base/http/h2_core.h"

static struct http_h2_stream **bucket_of(struct http_h2 *h, int32_t id)
{
    return &h->buckets[((uint32_t)id >> 1) % HTTP_H2_BUCKETS];
}

struct http_h2_stream *http_h2_stream_find(const struct http_h2 *h, int32_t id)
{
    struct http_h2_stream *s = h->buckets[((uint32_t)id >> 1) % HTTP_H2_BUCKETS];
    while (s && s->id != id)
        s = s->next;
    return s;
}

struct http_h2_stream *http_h2_stream_open(struct http_h2 *h, int32_t id)
{
    struct http_h2_stream *s = h->free;
    if (s) {
        h->free = s->next;
        h->free_count--;
        size_t from = offsetof(struct http_h2_stream, user);
        memset((char *)s + from, 0, offsetof(struct http_h2_stream, head) - from);
    } else {
        s = must_alloc(sizeof *s);
        arena_init(&s->arena, h->conf.arena_bytes);
    }
    struct http_h2_stream **bucket = bucket_of(h, id);
    s->id = id;
    s->next = *bucket;
    *bucket = s;
    h->streams++;
    return s;
}

void http_h2_stream_close(struct http_h2 *h, struct http_h2_stream *s, uint32_t error)
{
    struct http_h2_stream **at = bucket_of(h, s->id);
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
    struct http_h2_stream *s;
    while ((s = h->free)) {
        h->free = s->next;
        arena_fini(&s->arena);
        free(s);
    }
    h->free_count = 0;
}

void http_h2_stream_reset(struct http_h2 *h, struct http_h2_stream *s, uint32_t error)
{
    s->deaf = true;
    (void)nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id, error);
}
