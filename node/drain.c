#include "node/drain.h"

#include "base/err.h"

#define TO(step) (1u << (step))

static const struct {
    const char *name;
    unsigned next; /* allowed */
} steps[] = {
    [NODE_SERVING] = {"serving", TO(NODE_ANNOUNCED) | TO(NODE_CUTTING)},
    [NODE_ANNOUNCED] = {"announced", TO(NODE_FINISHING) | TO(NODE_CUTTING)},
    [NODE_FINISHING] = {"finishing", TO(NODE_CUTTING)},
    [NODE_CUTTING] = {"cutting", TO(NODE_OVER) | TO(NODE_STUCK)},
    [NODE_OVER] = {"over", 0},
    [NODE_STUCK] = {"stuck", 0},
};

static int64_t finish_ms(const struct node_drain *d)
{
    return d->serve_ms > NODE_DRAIN_FINISH_MS ? d->serve_ms : NODE_DRAIN_FINISH_MS;
}

enum node_drain_step node_drain_next(const struct node_drain *d,
                                     const struct node_drain_seen *s)
{
    int64_t passed_ms = s->now_ms - d->since_ms;
    switch (d->step) {
    case NODE_SERVING:
        if (s->hurry)
            return NODE_CUTTING;
        return s->asked ? NODE_ANNOUNCED : NODE_SERVING;
    case NODE_ANNOUNCED:
        if (s->hurry)
            return NODE_CUTTING;
        return passed_ms >= d->serve_ms ? NODE_FINISHING : NODE_ANNOUNCED;
    case NODE_FINISHING:
        return s->hurry || s->idle || passed_ms >= finish_ms(d) ? NODE_CUTTING : NODE_FINISHING;
    case NODE_CUTTING:
        if (s->ended)
            return NODE_OVER;
        return passed_ms >= NODE_DRAIN_CUT_MS ? NODE_STUCK : NODE_CUTTING;
    case NODE_OVER:
    case NODE_STUCK:
        break;
    }
    return d->step;
}

void node_drain_go(struct node_drain *d, enum node_drain_step to, int64_t now_ms)
{
    must(steps[d->step].next & TO(to));
    d->step = to;
    d->since_ms = now_ms;
}

const char *node_drain_text(enum node_drain_step step)
{
    return steps[step].name;
}
