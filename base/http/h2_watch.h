/* base/http/h2_watch.h - frame heads as they come in, read beside nghttp2 and priced.
 *
 * Nghttp2 swallows DATA on streams that are gone, and frames of unknown types, without a word;
 * so the heads are read here first. Also: which streams did we reset ourselves, so that what
 * was in flight for them is held against nobody (RFC 9113 5.1, closed).
 *
 * Thread: one owner. Owns: nothing.
 * Limits: HTTP_H2_RESETS_REMEMBERED numbers; older ones get the benefit of the doubt.
 */
#pragma once

#include "base/http/h2_cost.h"
#include "base/span.h"

#define HTTP_H2_FRAME_HEAD 9
#define HTTP_H2_RESETS_REMEMBERED 64

enum http_h2_frame_type {
    HTTP_H2_DATA,
    HTTP_H2_HEADERS,
    HTTP_H2_PRIORITY,
    HTTP_H2_RST_STREAM,
    HTTP_H2_SETTINGS,
    HTTP_H2_PUSH_PROMISE,
    HTTP_H2_PING,
    HTTP_H2_GOAWAY,
    HTTP_H2_WINDOW_UPDATE,
    HTTP_H2_CONTINUATION,
};

struct http_h2_frame {
    uint32_t length;
    uint8_t type, flags;
    int32_t stream;
};

struct http_h2_watch {
    struct http_h2_cost cost;
    bool server;
    size_t block_bytes, block_bytes_max; /* of the head that arrives, compressed */
    uint8_t head[HTTP_H2_FRAME_HEAD], head_have;
    uint32_t skip; /* octets until the next frame's head: payload, preface */
    int32_t resets[HTTP_H2_RESETS_REMEMBERED];
    uint32_t reset_at;
    int32_t reset_forgotten; /* numbers up to here may have been reset by us */
};

/* `skip`: octets before the first frame. */
void http_h2_watch_init(struct http_h2_watch *w, bool server, uint32_t cost_per_10s,
                        size_t block_bytes_max, uint32_t skip);
/* Walks on from *at; true when a frame's head is complete, *at is then just behind it. */
bool http_h2_watch_next(struct http_h2_watch *w, struct span bytes, size_t *at,
                        struct http_h2_frame *out);
/* Charges for the frame; over the budget the reason, else NULL. */
const char *http_h2_watch_price(struct http_h2_watch *w, const struct http_h2_frame *f);
void http_h2_watch_reset_sent(struct http_h2_watch *w, int32_t stream);
bool http_h2_watch_was_reset(const struct http_h2_watch *w, int32_t stream);
