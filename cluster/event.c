#include "cluster/event.h"

#include <stdlib.h>

/* --- what both have --- */

/* Is a time older than what can be told apart? A full turn of the slots is. */
static bool too_old(const struct cluster_clock *clock, uint64_t ltime)
{
    return clock->now > CLUSTER_LTIME_SLOTS && ltime < clock->now - CLUSTER_LTIME_SLOTS;
}

/* --- events --- */

struct kept {
    uint32_t name_bytes, payload_bytes;
    bool nil, coalesce; /* nil: without a payload */
    char *bytes;        /* name, then payload */
};

struct event_slot {
    uint64_t ltime;
    uint32_t count, room;
    struct kept *event;
};

struct cluster_events {
    struct cluster_clock clock;
    uint64_t min_ltime;
    uint32_t count;
    size_t bytes;
    struct event_slot slot[CLUSTER_LTIME_SLOTS];
};

struct cluster_events *cluster_events_create(void)
{
    struct cluster_events *e = must_alloc(sizeof(*e));
    e->clock.now = 1;
    return e;
}

static size_t cost_of(size_t name_bytes, size_t payload_bytes)
{
    return CLUSTER_EVENT_COST + name_bytes + payload_bytes;
}

static void empty_slot(struct cluster_events *e, struct event_slot *slot)
{
    for (uint32_t i = 0; i < slot->count; i++) {
        e->bytes -= cost_of(slot->event[i].name_bytes, slot->event[i].payload_bytes);
        free(slot->event[i].bytes);
    }
    e->count -= slot->count;
    free(slot->event);
    *slot = (struct event_slot){.ltime = 0};
}

void cluster_events_destroy(struct cluster_events *e)
{
    if (!e)
        return;
    for (uint32_t i = 0; i < CLUSTER_LTIME_SLOTS; i++)
        empty_slot(e, &e->slot[i]);
    free(e);
}

struct cluster_clock *cluster_events_clock(struct cluster_events *e)
{
    return &e->clock;
}

uint64_t cluster_events_now(const struct cluster_events *e)
{
    return e->clock.now;
}

static struct wire_serf_event as_event(const struct event_slot *slot, const struct kept *k)
{
    return (struct wire_serf_event){
        .ltime = slot->ltime,
        .name = span_of(k->bytes, k->name_bytes),
        .payload = span_of(k->nil ? NULL : k->bytes + k->name_bytes, k->payload_bytes),
        .coalesce = k->coalesce,
    };
}

static bool holds(const struct event_slot *slot, const struct wire_serf_event *event)
{
    for (uint32_t i = 0; i < slot->count; i++) {
        struct wire_serf_event known = as_event(slot, &slot->event[i]);
        if (span_equal(known.name, event->name) && span_equal(known.payload, event->payload))
            return true;
    }
    return false;
}

static void keep(struct cluster_events *e, struct event_slot *slot,
                 const struct wire_serf_event *event)
{
    if (slot->count == slot->room) {
        slot->room = slot->room ? slot->room * 2 : 1;
        slot->event = must_realloc(slot->event, slot->room * sizeof(*slot->event));
    }
    struct kept *k = &slot->event[slot->count++];
    *k = (struct kept){.name_bytes = (uint32_t)event->name.len,
                       .payload_bytes = (uint32_t)event->payload.len,
                       .nil = !event->payload.ptr,
                       .coalesce = event->coalesce,
                       .bytes = must_alloc(event->name.len + event->payload.len + 1)};
    if (event->name.len > 0)
        memcpy(k->bytes, event->name.ptr, event->name.len);
    if (event->payload.len > 0)
        memcpy(k->bytes + event->name.len, event->payload.ptr, event->payload.len);
    e->count++;
    e->bytes += cost_of(event->name.len, event->payload.len);
}

static struct event_slot *oldest_slot(struct cluster_events *e)
{
    struct event_slot *oldest = NULL;
    for (uint32_t i = 0; i < CLUSTER_LTIME_SLOTS; i++) {
        struct event_slot *slot = &e->slot[i];
        if (slot->count > 0 && (!oldest || slot->ltime < oldest->ltime))
            oldest = slot;
    }
    return oldest;
}

/* The oldest go, all of one ltime at once; false: this one is older than all the others. */
static bool make_room(struct cluster_events *e, const struct wire_serf_event *event)
{
    size_t cost = cost_of(event->name.len, event->payload.len);
    if (cost > CLUSTER_EVENTS_BYTES)
        return false;
    while (e->bytes + cost > CLUSTER_EVENTS_BYTES) {
        struct event_slot *slot = oldest_slot(e);
        if (slot->ltime >= event->ltime)
            return false;
        e->min_ltime = slot->ltime + 1; /* it was not lower: this is the oldest */
        empty_slot(e, slot);
    }
    return true;
}

enum cluster_heard cluster_events_hear(struct cluster_events *e,
                                       const struct wire_serf_event *event)
{
    if (!cluster_clock_witness(&e->clock, event->ltime))
        return CLUSTER_HEARD_REFUSED;
    if (event->ltime < e->min_ltime || too_old(&e->clock, event->ltime))
        return CLUSTER_HEARD_OLD;
    struct event_slot *slot = &e->slot[event->ltime % CLUSTER_LTIME_SLOTS];
    if (slot->count > 0 && slot->ltime > event->ltime)
        return CLUSTER_HEARD_OLD;
    if (slot->ltime != event->ltime)
        empty_slot(e, slot);
    if (holds(slot, event))
        return CLUSTER_HEARD_DUPLICATE;
    if (slot->count == CLUSTER_EVENTS_SLOT || !make_room(e, event))
        return CLUSTER_HEARD_DROPPED;
    slot->ltime = event->ltime;
    keep(e, slot, event);
    return CLUSTER_HEARD_NEWS;
}

size_t cluster_events_list(const struct cluster_events *e, struct wire_serf_event **out)
{
    size_t count = 0;
    *out = must_alloc((e->count + 1) * sizeof(**out));
    for (uint32_t s = 0; s < CLUSTER_LTIME_SLOTS; s++)
        for (uint32_t i = 0; i < e->slot[s].count; i++)
            (*out)[count++] = as_event(&e->slot[s], &e->slot[s].event[i]);
    return count;
}

size_t cluster_events_bytes(const struct cluster_events *e)
{
    return e->bytes;
}

/* --- queries --- */

struct query_slot {
    uint64_t ltime;
    uint32_t count;
    uint32_t *id; /* CLUSTER_QUERIES_SLOT of them; NULL: none yet */
};

struct cluster_queries {
    struct cluster_clock clock;
    struct query_slot slot[CLUSTER_LTIME_SLOTS];
};

struct cluster_queries *cluster_queries_create(void)
{
    struct cluster_queries *q = must_alloc(sizeof(*q));
    q->clock.now = 1;
    return q;
}

void cluster_queries_destroy(struct cluster_queries *q)
{
    if (!q)
        return;
    for (uint32_t i = 0; i < CLUSTER_LTIME_SLOTS; i++)
        free(q->slot[i].id);
    free(q);
}

struct cluster_clock *cluster_queries_clock(struct cluster_queries *q)
{
    return &q->clock;
}

uint64_t cluster_queries_now(const struct cluster_queries *q)
{
    return q->clock.now;
}

enum cluster_heard cluster_queries_hear(struct cluster_queries *q, uint64_t ltime, uint32_t id)
{
    if (!cluster_clock_witness(&q->clock, ltime))
        return CLUSTER_HEARD_REFUSED;
    if (too_old(&q->clock, ltime))
        return CLUSTER_HEARD_OLD;
    struct query_slot *slot = &q->slot[ltime % CLUSTER_LTIME_SLOTS];
    if (slot->count > 0 && slot->ltime > ltime)
        return CLUSTER_HEARD_OLD;
    if (slot->ltime != ltime)
        slot->count = 0;
    for (uint32_t i = 0; i < slot->count; i++)
        if (slot->id[i] == id)
            return CLUSTER_HEARD_DUPLICATE;
    if (slot->count == CLUSTER_QUERIES_SLOT)
        return CLUSTER_HEARD_DROPPED;
    /* As long as they last: few times have more than one or two. */
    if ((slot->count & (slot->count - 1)) == 0)
        slot->id = must_realloc(slot->id, (slot->count ? slot->count * 2 : 1) * sizeof(id));
    slot->ltime = ltime;
    slot->id[slot->count++] = id;
    return CLUSTER_HEARD_NEWS;
}
