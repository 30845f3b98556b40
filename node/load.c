#include "node/load.h"

#define SMOOTH_MS 10000.0 /* what is as old counts a third */

static double bounded(double share)
{
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

uint8_t node_load_percent(struct node_load *l, const struct node_load_seen *s)
{
    double passed_ms = (double)(s->now_ms - l->at_ms);
    if (l->at_ms && passed_ms > 0 && s->cpus && s->cpu_us >= l->cpu_us) {
        double used_ms = (double)(s->cpu_us - l->cpu_us) / 1000;
        double share = bounded(used_ms / passed_ms / s->cpus);
        l->cpu_share += (share - l->cpu_share) * bounded(passed_ms / SMOOTH_MS);
    }
    l->at_ms = s->now_ms;
    l->cpu_us = s->cpu_us;
    double full =
        s->connections_max ? bounded((double)s->connections / (double)s->connections_max) : 0;
    return (uint8_t)((full > l->cpu_share ? full : l->cpu_share) * 100 + 0.5);
}
