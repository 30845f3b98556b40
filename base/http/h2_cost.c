#include "base/http/h2_cost.h"

#define PERIOD_MS 10000
#define UPDATES_EACH 4    /* stream and connection, twice: some send one per half frame */
#define UPDATES_FIRST 100 /* before anything was sent */
#define UPDATES_MAX 100000
#define TINY_EACH 2 /* the ends of two windows, the stream's and the connection's */
#define TINY_MAX 1000

void http_h2_cost_init(struct http_h2_cost *c, uint32_t budget)
{
    *c = (struct http_h2_cost){.budget = budget, .window_updates = UPDATES_FIRST, .now_ms = -1};
}

void http_h2_cost_tick(struct http_h2_cost *c, int64_t now_ms)
{
    if (c->now_ms < 0)
        c->now_ms = now_ms;
    if (now_ms <= c->now_ms)
        return;
    /* in whole points, so that many short ticks give back as much as one long one */
    int64_t points = (now_ms - c->now_ms) * c->budget / PERIOD_MS;
    if (points == 0)
        return;
    c->now_ms = points >= c->spent ? now_ms : c->now_ms + points * PERIOD_MS / c->budget;
    c->spent = points >= c->spent ? 0 : c->spent - points;
}

bool http_h2_cost_charge(struct http_h2_cost *c, uint32_t points)
{
    c->spent += points;
    return c->spent <= c->budget;
}

static void explain(uint32_t *count, uint32_t each, uint32_t max)
{
    if (*count < max)
        *count += each;
}

void http_h2_cost_request(struct http_h2_cost *c)
{
    explain(&c->window_updates, UPDATES_EACH, UPDATES_MAX);
}

bool http_h2_cost_data(struct http_h2_cost *c, size_t bytes, bool cut)
{
    explain(&c->window_updates, UPDATES_EACH, UPDATES_MAX);
    if (bytes >= HTTP_H2_TINY_DATA)
        explain(&c->tiny_data, TINY_EACH, TINY_MAX);
    else if (cut && c->tiny_data)
        c->tiny_data--;
    else if (cut)
        return http_h2_cost_charge(c, HTTP_H2_PRICE_TINY_DATA);
    return true;
}

bool http_h2_cost_window_update(struct http_h2_cost *c)
{
    if (c->window_updates) {
        c->window_updates--;
        return true;
    }
    return http_h2_cost_charge(c, HTTP_H2_PRICE_WINDOW_UPDATE);
}
