#include <stdlib.h>

#include "cluster/serf_core.h"

static void tell(struct cluster_serf *s, enum cluster_change change, struct cluster_entry *e)
{
    bool mine = !s->swim || e->id == cluster_serf_id(s, cluster_serf_name(s));
    if (!mine && s->news.changed)
        s->news.changed(s->news.user, change, e);
}

static void forget(struct cluster_serf *s, struct cluster_entry *e)
{
    uint64_t id = e->id;
    char name[CLUSTER_NAME_MAX];
    if (id == cluster_serf_id(s, cluster_serf_name(s))) /* gone, but still asked about itself */
        return;
    size_t bytes = e->name_bytes;
    memcpy(name, cluster_entry_name(e).ptr, bytes);
    s->counters.reaped++;
    tell(s, CLUSTER_FORGOTTEN, e);
    /* Whoever heard the news may have forgotten it already. */
    e = cluster_roster_find(s->roster, id, span_of(name, bytes));
    if (e && cluster_entry_gone(e))
        cluster_roster_drop(s->roster, e);
}

/* --- what the swim saw --- */

void cluster_serf_joined(void *user, const struct cluster_member *m)
{
    struct cluster_serf *s = user;
    struct cluster_entry *e = cluster_roster_find(s->roster, m->id, cluster_member_name(m));
    struct cluster_intent intent;
    if (e) {
        cluster_roster_set(s->roster, e, CLUSTER_STATUS_ALIVE, m, s->now_us);
        e->prune = e->has_health = false;
        e->health_ltime = 0; /* it may have begun anew */
    } else {
        e = cluster_roster_add(s->roster, m, s->now_us);
        if (!e)
            return;
        if (cluster_intents_take(&s->intents, m->id, s->now_us, &intent)) {
            e->ltime = intent.ltime;
            if (intent.leave)
                cluster_roster_set(s->roster, e, CLUSTER_STATUS_LEAVING, m, s->now_us);
        }
    }
    tell(s, CLUSTER_JOINED, e);
}

static void gone(struct cluster_serf *s, const struct cluster_member *m, bool said_so)
{
    struct cluster_entry *e = cluster_roster_find(s->roster, m->id, cluster_member_name(m));
    if (!e || cluster_entry_gone(e))
        return;
    bool left = said_so || e->status == CLUSTER_STATUS_LEAVING, prune = e->prune;
    cluster_roster_set(s->roster, e, left ? CLUSTER_STATUS_LEFT : CLUSTER_STATUS_FAILED, NULL,
                       s->now_us);
    tell(s, left ? CLUSTER_LEFT_NODE : CLUSTER_FAILED, e);
    e = cluster_roster_find(s->roster, m->id, cluster_member_name(m));
    if (prune && e && e->prune)
        forget(s, e);
}

void cluster_serf_left(void *user, const struct cluster_member *m)
{
    gone(user, m, true);
}

void cluster_serf_failed(void *user, const struct cluster_member *m)
{
    gone(user, m, false);
}

void cluster_serf_updated(void *user, const struct cluster_member *m)
{
    struct cluster_serf *s = user;
    struct cluster_entry *e = cluster_roster_find(s->roster, m->id, cluster_member_name(m));
    if (e && !cluster_entry_gone(e))
        tell(s, CLUSTER_UPDATED, e);
}

/* --- intents --- */

/* Is this intent newer than all that is known about its node? A node that nobody knows yet is
 * remembered; then *out is NULL. */
static bool newer(struct cluster_serf *s, struct span node, uint64_t ltime, bool leave,
                  struct cluster_entry **out)
{
    s->counters.intents_in++;
    if (node.len == 0 || node.len > CLUSTER_NAME_MAX) {
        s->counters.refused_syntax++;
        return false;
    }
    if (!cluster_clock_witness(&s->clock, ltime)) {
        s->counters.refused_ltime++;
        return false;
    }
    uint64_t id = cluster_serf_id(s, node);
    *out = cluster_roster_find(s->roster, id, node);
    bool news = *out ? ltime > (*out)->ltime
                     : cluster_intents_keep(&s->intents, id, ltime, leave, s->now_us);
    s->counters.intents_old += !news;
    return news;
}

bool cluster_serf_hear_leave(struct cluster_serf *s, const struct wire_serf_leave *m)
{
    struct cluster_entry *e = NULL;
    if (!newer(s, m->node, m->ltime, true, &e))
        return false;
    if (!e)
        return true;
    if (s->leaving == CLUSTER_STAYS && span_equal(m->node, cluster_serf_name(s))) {
        cluster_serf_say_join(s); /* at a newer time */
        return false;
    }
    e->ltime = m->ltime; /* also when nothing changes, or it would go round for ever */
    switch ((enum cluster_status)e->status) {
    case CLUSTER_STATUS_ALIVE:
        cluster_roster_set(s->roster, e, CLUSTER_STATUS_LEAVING, e->member, s->now_us);
        break;
    case CLUSTER_STATUS_FAILED:
        cluster_roster_set(s->roster, e, CLUSTER_STATUS_LEFT, NULL, s->now_us);
        tell(s, CLUSTER_LEFT_NODE, e);
        e = cluster_serf_entry(s, m->node);
        break;
    case CLUSTER_STATUS_LEAVING:
    case CLUSTER_STATUS_LEFT:
    case CLUSTER_STATUS_NONE:
    case CLUSTER_STATUSES:
        break;
    }
    if (!m->prune || !e)
        return true;
    if (cluster_entry_gone(e))
        forget(s, e);
    else
        e->prune = true;
    return true;
}

bool cluster_serf_hear_join(struct cluster_serf *s, const struct wire_serf_join *m)
{
    struct cluster_entry *e = NULL;
    if (!newer(s, m->node, m->ltime, false, &e))
        return false;
    if (!e)
        return true;
    e->ltime = m->ltime;
    if (e->status == CLUSTER_STATUS_LEAVING) {
        cluster_roster_set(s->roster, e, CLUSTER_STATUS_ALIVE, e->member, s->now_us);
        e->prune = false;
    }
    return true;
}

static void say(struct cluster_serf *s, struct span node, const struct wire_serf_message *m)
{
    uint8_t room[CLUSTER_NAME_MAX + 64];
    struct cursor c;
    cursor_write(&c, room, sizeof(room));
    wire_serf_put(&c, m);
    must(c.err == ERR_OK);
    cluster_serf_spread(s, CLUSTER_QUEUE_INTENTS, cluster_serf_id(s, node),
                        span_of(room, c.at));
}

void cluster_serf_say_join(struct cluster_serf *s)
{
    struct span name = cluster_serf_name(s);
    const struct wire_serf_message m = {.type = WIRE_SERF_JOIN,
                                        .join = {.ltime = s->clock.now, .node = name}};
    if (cluster_serf_hear_join(s, &m.join))
        say(s, name, &m);
}

void cluster_serf_say_leave(struct cluster_serf *s, struct span name, bool prune)
{
    const struct wire_serf_message m = {
        .type = WIRE_SERF_LEAVE,
        .leave = {.ltime = s->clock.now, .node = name, .prune = prune}};
    if (cluster_serf_hear_leave(s, &m.leave))
        say(s, name, &m);
}

enum err cluster_serf_forget(struct cluster_serf *s, struct span name, int64_t now_us)
{
    char copy[CLUSTER_NAME_MAX]; /* `name` may be the entry's own */
    cluster_serf_enter(s, now_us);
    if (name.len == 0 || name.len > sizeof(copy))
        return ERR_NOT_FOUND;
    const struct cluster_entry *e = cluster_serf_entry(s, name);
    if (!e)
        return ERR_NOT_FOUND;
    if (!cluster_entry_gone(e) || span_equal(name, cluster_serf_name(s)))
        return ERR_REFUSED;
    memcpy(copy, name.ptr, name.len);
    cluster_serf_say_leave(s, span_of(copy, name.len), true);
    return ERR_OK;
}

/* --- the state in push/pulls --- */

struct span cluster_serf_local_state(void *user, bool join)
{
    struct cluster_serf *s = user;
    uint32_t count = cluster_roster_count(s->roster), left = 0;
    struct wire_serf_known *known = must_alloc((count + 1) * sizeof(*known));
    struct span *gone_names = must_alloc((count + 1) * sizeof(*gone_names));
    struct wire_serf_event *events;
    struct cursor c;
    (void)join;
    for (uint32_t i = 0; i < count; i++) {
        const struct cluster_entry *e = cluster_roster_at(s->roster, i);
        known[i] = (struct wire_serf_known){cluster_entry_name(e), e->ltime};
        if (e->status == CLUSTER_STATUS_LEFT)
            gone_names[left++] = cluster_entry_name(e);
    }
    size_t event_count = cluster_events_list(s->events, &events);
    const struct wire_serf_state state = {
        .ltime = s->clock.now,
        .event_ltime = cluster_events_now(s->events),
        .query_ltime = cluster_queries_now(s->queries),
        .status = known,
        .status_count = count,
        .left = gone_names,
        .left_count = left,
        .events = events,
        .event_count = event_count,
    };
    size_t bound = wire_serf_state_bound(&state);
    free(s->state);
    s->state = must_alloc(bound);
    cursor_write(&c, s->state, bound);
    wire_serf_state_put(&c, &state);
    must(c.err == ERR_OK);
    free(known);
    free(gone_names);
    free(events);
    return span_of(s->state, c.at);
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The ids of those who left, sorted; owned by the caller. */
static uint64_t *get_left(struct cluster_serf *s, const struct wire_serf_push_pull *p,
                          size_t *out_count)
{
    struct wire_msgpack_walk walk;
    struct span name;
    size_t room = 16, count = 0;
    uint64_t *id = must_alloc(room * sizeof(*id));
    wire_msgpack_walk_array(&walk, p->left_members);
    while (wire_msgpack_walk_raw(&walk, &name)) {
        if (count == room) {
            room *= 2;
            id = must_realloc(id, room * sizeof(*id));
        }
        id[count++] = cluster_serf_id(s, name);
    }
    qsort(id, count, sizeof(*id), by_number);
    *out_count = count;
    return id;
}

/* Of the nodes that nobody knows here, no more than can be remembered are looked at. */
static bool worth_hearing(struct cluster_serf *s, uint64_t id, struct span name,
                          uint32_t *strangers)
{
    return cluster_roster_find(s->roster, id, name) || ++*strangers <= CLUSTER_INTENTS_MAX;
}

static void merge_intents(struct cluster_serf *s, const struct wire_serf_push_pull *p)
{
    struct wire_msgpack_walk walk;
    struct span name;
    uint64_t ltime;
    size_t count;
    uint32_t strangers = 0;
    uint64_t *left = get_left(s, p, &count);
    /* First those who left. Their leave was newer than the time that is told. */
    for (unsigned round = 0; round < 2; round++) {
        wire_msgpack_walk_map(&walk, p->status_ltimes);
        while (wire_msgpack_walk_number(&walk, &name, &ltime)) {
            uint64_t id = cluster_serf_id(s, name);
            bool has_left = bsearch(&id, left, count, sizeof(*left), by_number);
            if (has_left != (round == 0) || !worth_hearing(s, id, name, &strangers))
                continue;
            if (has_left && ltime < UINT64_MAX)
                cluster_serf_hear_leave(
                    s, &(struct wire_serf_leave){.ltime = ltime + 1, .node = name});
            if (!has_left)
                cluster_serf_hear_join(s,
                                       &(struct wire_serf_join){.ltime = ltime, .node = name});
        }
    }
    free(left);
}

static bool witness_before(struct cluster_serf *s, struct cluster_clock *clock, uint64_t ltime)
{
    bool believed = ltime == 0 || cluster_clock_witness(clock, ltime - 1);
    s->counters.refused_ltime += !believed;
    return believed;
}

static void merge_state(struct cluster_serf *s, const struct wire_serf_push_pull *p, bool join)
{
    struct wire_serf_events walk;
    struct wire_serf_event event;
    witness_before(s, &s->clock, p->ltime);
    witness_before(s, cluster_queries_clock(s->queries), p->query_ltime);
    bool believed = witness_before(s, cluster_events_clock(s->events), p->event_ltime);
    merge_intents(s, p);
    /* Later joins find a node that missed what others heard: then the old is news. */
    if (join && s->joins > 0 && !s->has_joined && !s->replay && believed &&
        p->event_ltime > s->events_from)
        s->events_from = p->event_ltime;
    wire_serf_events_begin(&walk, p);
    while (wire_serf_events_next(&walk, &event))
        cluster_serf_hear_event(s, NULL, &event, span_of(NULL, 0));
}

void cluster_serf_remote_state(void *user, struct span bytes, bool join)
{
    struct cluster_serf *s = user;
    struct wire_serf_message m;
    /* A copy: news about it may call into the swim, whose bytes end there. */
    char *copy = malloc(bytes.len + 1);
    if (!copy)
        return;
    if (bytes.len > 0)
        memcpy(copy, bytes.ptr, bytes.len);
    if (wire_serf_get(span_of(copy, bytes.len), &m) == WIRE_FAULT_NONE &&
        m.type == WIRE_SERF_PUSH_PULL)
        merge_state(s, &m.push_pull, join);
    else
        s->counters.refused_syntax++;
    free(copy);
}

/* --- those who are gone --- */

void cluster_serf_reap(struct cluster_serf *s)
{
    for (uint32_t i = cluster_roster_count(s->roster); i > 0; i--) {
        if (i > cluster_roster_count(s->roster)) /* whoever heard the news forgot some */
            continue;
        struct cluster_entry *e = cluster_roster_at(s->roster, i - 1);
        if (cluster_entry_gone(e) && s->now_us - e->since_us > CLUSTER_TOMBSTONE_US)
            forget(s, e);
    }
}

void cluster_serf_reconnect(struct cluster_serf *s)
{
    uint32_t count = cluster_roster_count(s->roster);
    uint32_t failed = cluster_roster_count_of(s->roster, CLUSTER_STATUS_FAILED);
    uint32_t alive = cluster_roster_count_of(s->roster, CLUSTER_STATUS_ALIVE);
    if (failed == 0 || s->leaving != CLUSTER_STAYS)
        return;
    if (alive > failed && cluster_random_below(&s->random, alive) >= failed)
        return;
    uint32_t from = cluster_random_below(&s->random, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct cluster_entry *e = cluster_roster_at(s->roster, (from + i) % count);
        if (e->status != CLUSTER_STATUS_FAILED)
            continue;
        struct addr seed = e->addr;
        s->counters.reconnects++;
        cluster_swim_join(s->swim, &seed, s->now_us);
        return;
    }
}
