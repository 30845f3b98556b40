#include "cluster/serf_core.h"

/* Events that say how things are are told also from before a _join. */
static bool is_state(struct span name)
{
    return span_starts(name, SPAN("perigee/"));
}

static bool is_eager(struct span name)
{
    return is_state(name) || span_equal(name, SPAN("perigee"));
}

/* The gossip tick, not the network, is what makes a rumour slow: some hear it at once. */
static void push(struct cluster_serf *s, const struct addr *from, struct span bytes)
{
    struct cluster_member *peer[CLUSTER_EAGER_PEERS];
    uint32_t count = cluster_serf_pick(s, from, peer, CLUSTER_EAGER_PEERS);
    struct addr to[CLUSTER_EAGER_PEERS];
    for (uint32_t i = 0; i < count; i++)
        to[i] = peer[i]->addr;
    for (uint32_t i = 0; i < count; i++)
        if (cluster_swim_send(s->swim, &to[i], bytes, s->now_us) == ERR_OK)
            s->counters.events_pushed++;
}

static void spread(struct cluster_serf *s, const struct addr *from, struct span name,
                   struct span bytes)
{
    cluster_serf_spread(s, CLUSTER_QUEUE_EVENTS, 0, bytes);
    if (is_eager(name))
        push(s, from, bytes);
}

static bool is_news(struct cluster_serf *s, const struct wire_serf_event *event)
{
    switch (cluster_events_hear(s->events, event)) {
    case CLUSTER_HEARD_NEWS:
        return true;
    case CLUSTER_HEARD_DUPLICATE:
        s->counters.events_duplicate++;
        break;
    case CLUSTER_HEARD_OLD:
        s->counters.events_old++;
        break;
    case CLUSTER_HEARD_DROPPED:
        s->counters.events_dropped++;
        break;
    case CLUSTER_HEARD_REFUSED:
        s->counters.refused_ltime++;
        break;
    }
    return false;
}

void cluster_serf_hear_event(struct cluster_serf *s, const struct addr *from,
                             const struct wire_serf_event *event, struct span bytes)
{
    s->counters.events_in++;
    if (event->name.len + event->payload.len > CLUSTER_EVENT_BYTES_IN) {
        s->counters.events_dropped++;
        return;
    }
    if (!is_news(s, event))
        return;
    if (bytes.ptr)
        spread(s, from, event->name, bytes);
    if (event->ltime < s->events_from && !is_state(event->name)) {
        s->counters.events_old++;
        return;
    }
    const struct cluster_event news = {
        .name = event->name,
        .payload = event->payload,
        .ltime = event->ltime,
        .coalesce = event->coalesce,
        .replayed = !bytes.ptr,
    };
    if (s->news.event)
        s->news.event(s->news.user, &news);
}

enum err cluster_serf_fire(struct cluster_serf *s, struct span name, struct span payload,
                           bool coalesce, int64_t now_us, uint64_t *out_ltime)
{
    uint8_t room[CLUSTER_EVENT_BYTES];
    struct cursor c;
    cluster_serf_enter(s, now_us);
    const struct wire_serf_message m = {.type = WIRE_SERF_EVENT,
                                        .event = {.ltime = cluster_events_now(s->events),
                                                  .name = name,
                                                  .payload = payload,
                                                  .coalesce = coalesce}};
    cursor_write(&c, room, sizeof(room));
    wire_serf_put(&c, &m);
    /* The second: clocks that strangers pushed to their end. */
    if (c.err != ERR_OK || cluster_events_hear(s->events, &m.event) != CLUSTER_HEARD_NEWS)
        return ERR_LIMIT;
    s->counters.events_fired++;
    spread(s, NULL, name, span_of(room, c.at));
    if (out_ltime)
        *out_ltime = m.event.ltime;
    return ERR_OK;
}
