#include "cluster/intent.h"

#include <stdlib.h>

#include "base/err.h"

void cluster_intents_fini(struct cluster_intents *t)
{
    free(t->intent);
    *t = (struct cluster_intents){.count = 0};
}

static struct cluster_intent *find(struct cluster_intents *t, uint64_t id)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->intent[i].id == id)
            return &t->intent[i];
    return NULL;
}

static struct cluster_intent *make_room(struct cluster_intents *t)
{
    if (t->count < CLUSTER_INTENTS_MAX) {
        if (t->count == t->room) {
            t->room = t->room ? t->room * 2 : 8;
            t->intent = must_realloc(t->intent, t->room * sizeof(*t->intent));
        }
        return &t->intent[t->count++];
    }
    struct cluster_intent *oldest = &t->intent[0];
    for (uint32_t i = 1; i < t->count; i++)
        if (t->intent[i].at_us < oldest->at_us)
            oldest = &t->intent[i];
    return oldest;
}

bool cluster_intents_keep(struct cluster_intents *t, uint64_t id, uint64_t ltime, bool leave,
                          int64_t now_us)
{
    struct cluster_intent *known = find(t, id);
    bool fresh = known && now_us - known->at_us <= CLUSTER_INTENT_KEPT_US;
    if (fresh && ltime <= known->ltime)
        return false;
    if (!known)
        known = make_room(t);
    *known = (struct cluster_intent){.id = id, .ltime = ltime, .at_us = now_us, .leave = leave};
    return true;
}

bool cluster_intents_take(struct cluster_intents *t, uint64_t id, int64_t now_us,
                          struct cluster_intent *out)
{
    struct cluster_intent *known = find(t, id);
    if (!known)
        return false;
    *out = *known;
    *known = t->intent[--t->count];
    return now_us - out->at_us <= CLUSTER_INTENT_KEPT_US;
}
