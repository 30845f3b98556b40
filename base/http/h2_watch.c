#include "base/http/h2_watch.h"

#define END_STREAM 0x1
#define ACK 0x1
#define SPLIT_HEAD 4096 /* CONTINUATION frames below are split on purpose */

void http_h2_watch_init(struct http_h2_watch *w, bool server, uint32_t cost_per_10s,
                        size_t block_bytes_max, uint32_t skip)
{
    *w = (struct http_h2_watch){
        .server = server, .block_bytes_max = block_bytes_max, .skip = skip};
    http_h2_cost_init(&w->cost, cost_per_10s);
}

bool http_h2_watch_next(struct http_h2_watch *w, struct span bytes, size_t *at,
                        struct http_h2_frame *out)
{
    const uint8_t *head = w->head;
    while (*at < bytes.len) {
        if (w->skip) {
            size_t n = bytes.len - *at < w->skip ? bytes.len - *at : w->skip;
            *at += n;
            w->skip -= (uint32_t)n;
            continue;
        }
        w->head[w->head_have++] = (uint8_t)bytes.ptr[(*at)++];
        if (w->head_have < HTTP_H2_FRAME_HEAD)
            continue;
        *out = (struct http_h2_frame){
            .length = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2],
            .type = head[3],
            .flags = head[4],
            .stream = (int32_t)(((uint32_t)head[5] & 0x7f) << 24 | (uint32_t)head[6] << 16 |
                                (uint32_t)head[7] << 8 | head[8]),
        };
        w->head_have = 0;
        w->skip = out->length;
        return true;
    }
    return false;
}

static const char *charge(struct http_h2_watch *w, uint32_t points, const char *reason)
{
    return http_h2_cost_charge(&w->cost, points) ? NULL : reason;
}

static const char *price_continuation(struct http_h2_watch *w, uint32_t length)
{
    w->block_bytes += length;
    if (w->block_bytes > w->block_bytes_max)
        return "endless head";
    return charge(w,
                  length < SPLIT_HEAD ? HTTP_H2_PRICE_SPLIT_HEAD : HTTP_H2_PRICE_CONTINUATION,
                  "too many continuation frames");
}

const char *http_h2_watch_price(struct http_h2_watch *w, const struct http_h2_frame *f)
{
    switch (f->type) {
    case HTTP_H2_DATA: /* with padding alone: whoever sees the padding */
        if (f->length || (f->flags & END_STREAM))
            return NULL;
        return charge(w, HTTP_H2_PRICE_EMPTY_DATA, "too many empty data frames");
    case HTTP_H2_HEADERS:
        w->block_bytes = f->length;
        http_h2_cost_request(&w->cost);
        return NULL;
    case HTTP_H2_CONTINUATION:
        return price_continuation(w, f->length);
    case HTTP_H2_RST_STREAM:
        if (!w->server) /* a server may refuse what it likes */
            return NULL;
        return charge(w, HTTP_H2_PRICE_RESET, "too many resets");
    case HTTP_H2_SETTINGS:
        return charge(w, f->flags & ACK ? HTTP_H2_PRICE_OTHER : HTTP_H2_PRICE_SETTINGS,
                      "too many settings");
    case HTTP_H2_PING:
        return charge(w, HTTP_H2_PRICE_PING, "too many pings");
    case HTTP_H2_WINDOW_UPDATE:
        return http_h2_cost_window_update(&w->cost) ? NULL : "too many window updates";
    default:
        return charge(w, HTTP_H2_PRICE_OTHER, "too many frames of no use");
    }
}

void http_h2_watch_reset_sent(struct http_h2_watch *w, int32_t stream)
{
    if (http_h2_watch_was_reset(w, stream))
        return;
    int32_t *slot = &w->resets[w->reset_at++ % HTTP_H2_RESETS_REMEMBERED];
    if (*slot > w->reset_forgotten)
        w->reset_forgotten = *slot;
    *slot = stream;
}

bool http_h2_watch_was_reset(const struct http_h2_watch *w, int32_t stream)
{
    if (stream <= w->reset_forgotten)
        return true;
    for (uint32_t i = 0; i < HTTP_H2_RESETS_REMEMBERED; i++)
        if (w->resets[i] == stream)
            return true;
    return false;
}
