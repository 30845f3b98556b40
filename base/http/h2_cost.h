/* base/http/h2_cost.h - the budget of cheap abuse of one HTTP/2 connection.
 *
 * Frames that cost their sender nothing and us something are charged here (RFC 9113 10.5).
 * What is spent comes back evenly: the whole budget in 10 s. WINDOW_UPDATE is free as long as
 * there are not more of them than requests and DATA frames would explain, and so are DATA
 * frames that a window cut short: streams that share windows leave such ends between others.
 *
 * Units: charges are points of `budget`, 2000 by default. Thread: one owner.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What each thing costs, and with 2000 points how many are too many at once. */
enum http_h2_price {
    HTTP_H2_PRICE_RESET = 10,     /* 200: a client's RST_STREAM, or one it made us send */
    HTTP_H2_PRICE_REFUSED = 1,    /* 2000; a stream over the limit, which may be unknown yet */
    HTTP_H2_PRICE_SETTINGS = 20,  /* 100; may make us resize tables and windows */
    HTTP_H2_PRICE_PING = 2,       /* 1000 */
    HTTP_H2_PRICE_OTHER = 1,      /* 2000; PRIORITY, unknown types, acknowledgements */
    HTTP_H2_PRICE_EMPTY_DATA = 5, /* 400; no content and not the last */
    HTTP_H2_PRICE_SPLIT_HEAD = 5, /* 400 CONTINUATION frames under 4 KiB */
    HTTP_H2_PRICE_CONTINUATION = 1,  /* others */
    HTTP_H2_PRICE_DROPPED_FIELD = 1, /* a field past the limits: HPACK bombs */
    HTTP_H2_PRICE_TINY_DATA = 1,     /* cut by a window under 256 bytes, unexplained */
    HTTP_H2_PRICE_WINDOW_UPDATE = 1, /* beyond what is explained */
};

struct http_h2_cost {
    uint32_t budget;
    uint32_t window_updates, tiny_data; /* explained ones not yet seen */
    int64_t spent;                      /* points */
    int64_t now_ms;                     /* -1: no tick yet */
};

void http_h2_cost_init(struct http_h2_cost *c, uint32_t budget);
void http_h2_cost_tick(struct http_h2_cost *c, int64_t now_ms);
/* False: the budget is spent. */
bool http_h2_cost_charge(struct http_h2_cost *c, uint32_t points);
/* A request came: a client may answer with this many updates. */
void http_h2_cost_request(struct http_h2_cost *c);
bool http_h2_cost_window_update(struct http_h2_cost *c);
/* A DATA frame goes out. `cut`: a window, no end of what there was, made it as short as it is.
 * One of HTTP_H2_TINY_DATA bytes explains two that are shorter. */
#define HTTP_H2_TINY_DATA 256
bool http_h2_cost_data(struct http_h2_cost *c, size_t bytes, bool cut);
