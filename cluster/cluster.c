#include "cluster/cluster.h"

#include <stdlib.h>

#define EVENT_OVERHEAD                                                                         \
    48u         /* bytes of a health event beside its text, with its packet's part             \
                 */
#define BURST 4 /* health events that may be saved up */

struct cluster {
    struct cluster_serf *serf;
    struct cluster_news news;
    int64_t now_us;
    uint64_t view; /* counted up by what cluster_view tells of beside statuses */

    struct cluster_tags tags; /* texts in the rooms below */
    char id[CLUSTER_TAGS_ID_MAX], region[CLUSTER_TAGS_REGION_MAX],
        version[CLUSTER_TAGS_VERSION_MAX];

    struct cluster_health health, told; /* this node's, and what others were told */
    bool has_health, has_told, held;
    double budget, saved; /* bytes a second for all; bytes this node may spend */
    int64_t saved_at_us, health_at_us;
    uint64_t health_told, health_held, health_in, health_refused;
};

static struct cluster_swim *enter(struct cluster *c, int64_t now_us)
{
    c->now_us = now_us > c->now_us ? now_us : c->now_us;
    return cluster_serf_enter(c->serf, c->now_us);
}

/* --- nodes --- */

static bool is_me(const struct cluster *c, const struct cluster_entry *e)
{
    return span_equal(cluster_entry_name(e),
                      cluster_member_name(cluster_swim_me(cluster_serf_swim(c->serf))));
}

static void make_node(const struct cluster *c, const struct cluster_entry *e,
                      struct cluster_node *out)
{
    *out = (struct cluster_node){
        .name = cluster_entry_name(e),
        .addr = *cluster_entry_addr(e),
        .status = e->status,
        .suspect = e->member && e->member->state == CLUSTER_SUSPECT,
        .me = is_me(c, e),
        .has_health = e->has_health,
        .health = e->health,
        .since_us = e->since_us,
        .rtt_us = cluster_serf_rtt_us(c->serf, e),
        .rtt_own_us = e->rtt_own_us,
    };
    cluster_tags_get(cluster_entry_meta(e), &out->tags);
    if (out->me) {
        out->has_health = c->has_health;
        out->health = c->health;
    } else if (!e->has_health) {
        out->health = (struct cluster_health){.drain = out->tags.drain};
    }
    if (!e->member)
        return;
    out->incarnation = e->member->incarnation;
    memcpy(out->vsn, e->member->vsn, sizeof(out->vsn));
}

void cluster_nodes_walk(const struct cluster *c,
                        bool (*each)(void *user, const struct cluster_node *node), void *user)
{
    const struct cluster_roster *roster = cluster_serf_roster(c->serf);
    struct cluster_node node;
    for (uint32_t i = 0; i < cluster_roster_count(roster); i++) {
        make_node(c, cluster_roster_at(roster, i), &node);
        if (!each(user, &node))
            return;
    }
}

static struct cluster_entry *find(const struct cluster *c, struct span name)
{
    const struct cluster_swim *swim = cluster_serf_swim(c->serf);
    return cluster_roster_find(cluster_serf_roster(c->serf),
                               cluster_members_id(cluster_swim_members(swim), name), name);
}

bool cluster_node_find(const struct cluster *c, struct span name, struct cluster_node *out)
{
    const struct cluster_entry *e = find(c, name);
    if (e)
        make_node(c, e, out);
    return e;
}

void cluster_me(const struct cluster *c, struct cluster_node *out)
{
    must(cluster_node_find(c, cluster_member_name(cluster_swim_me(cluster_serf_swim(c->serf))),
                           out));
}

/* --- what others tell --- */

static void changed(void *user, enum cluster_change change, struct cluster_entry *e)
{
    struct cluster *c = user;
    struct cluster_node node;
    if (change == CLUSTER_UPDATED && e->has_health) {
        /* Tags are repaired when they are lost, events are not: their word counts. */
        struct cluster_tags tags;
        cluster_tags_get(cluster_entry_meta(e), &tags);
        e->health.drain = tags.drain;
    }
    c->view++;
    if (!c->news.changed)
        return;
    make_node(c, e, &node);
    c->news.changed(c->news.user, change, &node);
}

static bool differ_in_more_than_load(const struct cluster_health *a,
                                     const struct cluster_health *b)
{
    return a->drain != b->drain || a->shed != b->shed;
}

static void hear_health(struct cluster *c, const struct cluster_event *event)
{
    char room[CLUSTER_HEALTH_TEXT_MAX];
    struct cluster_health health;
    struct cluster_node node;
    struct span name;
    struct cluster_entry *e = NULL;
    c->health_in++;
    if (cluster_health_get(event->payload, room, &name, &health) == ERR_OK)
        e = find(c, name);
    if (!e || cluster_entry_gone(e) || is_me(c, e)) {
        c->health_refused++;
        return;
    }
    if (e->has_health && event->ltime <= e->health_ltime)
        return; /* a newer one overtook it */
    c->view += !e->has_health || differ_in_more_than_load(&e->health, &health);
    e->has_health = true;
    e->health = health;
    e->health_ltime = event->ltime;
    if (!c->news.health)
        return;
    make_node(c, e, &node);
    c->news.health(c->news.user, &node);
}

static void hear_event(void *user, const struct cluster_event *event)
{
    struct cluster *c = user;
    if (span_equal(event->name, SPAN(CLUSTER_HEALTH_EVENT)))
        hear_health(c, event);
    else if (c->news.event)
        c->news.event(c->news.user, event);
}

static void hear_query(void *user, const struct cluster_question *question)
{
    struct cluster *c = user;
    c->news.query(c->news.user, question);
}

static void hear_conflict(void *user, enum cluster_conflict what, const struct addr *other)
{
    struct cluster *c = user;
    if (c->news.conflict)
        c->news.conflict(c->news.user, what, other);
}

static void hear_keyring(void *user, const struct wire_keyring *ring)
{
    struct cluster *c = user;
    if (c->news.keyring)
        c->news.keyring(c->news.user, ring);
}

static void join_done(void *user, const struct addr *seed, enum err result)
{
    struct cluster *c = user;
    if (c->news.join_done)
        c->news.join_done(c->news.user, seed, result);
}

/* --- what this node tells --- */

static struct span copy_text(struct span text, char *room, size_t bytes)
{
    size_t len = text.len < bytes ? text.len : bytes;
    if (len > 0)
        memmove(room, text.ptr, len);
    return span_of(room, len);
}

static void keep_tags(struct cluster *c, const struct cluster_tags *tags, struct span name)
{
    struct span id = tags->id.len > 0 ? tags->id : name;
    c->tags = *tags;
    c->tags.id = copy_text(id, c->id, sizeof(c->id));
    c->tags.region = copy_text(tags->region, c->region, sizeof(c->region));
    c->tags.version = copy_text(tags->version, c->version, sizeof(c->version));
}

static void tell_tags(struct cluster *c)
{
    char room[CLUSTER_TAGS_BYTES_MAX];
    struct cluster_tags tags = c->tags;
    tags.drain = tags.drain || c->health.drain;
    struct span meta = cluster_tags_put(&tags, room);
    const struct cluster_member *me = cluster_swim_me(cluster_serf_swim(c->serf));
    if (!span_equal(meta, cluster_member_meta(me)))
        cluster_serf_set_meta(c->serf, meta, c->now_us);
}

/* What telling costs each node, over all the times that it is passed on. */
static double health_cost(const struct cluster *c, struct span text)
{
    uint32_t sends =
        cluster_swim_broadcast_limit(cluster_serf_swim(c->serf)) + CLUSTER_EAGER_PEERS;
    return (double)((text.len + EVENT_OVERHEAD) * sends);
}

/* This node's part of the budget, in bytes per second. */
static double health_rate(const struct cluster *c)
{
    uint32_t nodes =
        cluster_roster_count_of(cluster_serf_roster(c->serf), CLUSTER_STATUS_ALIVE);
    return c->budget / (nodes > 0 ? nodes : 1);
}

static bool health_differs(const struct cluster *c)
{
    int step = (int)c->health.load - (int)c->told.load;
    return c->has_health &&
           (!c->has_told || step >= CLUSTER_HEALTH_STEP || step <= -CLUSTER_HEALTH_STEP ||
            c->health.shed != c->told.shed || c->health.drain != c->told.drain);
}

/* Tells how this node is, now or when the budget allows. */
static void tell_health(struct cluster *c)
{
    char room[CLUSTER_HEALTH_TEXT_MAX];
    c->health_at_us = INT64_MAX;
    if (!health_differs(c)) {
        c->held = false;
        return;
    }
    struct span name = cluster_member_name(cluster_swim_me(cluster_serf_swim(c->serf)));
    struct span text = cluster_health_put(name, &c->health, room);
    double cost = health_cost(c, text), rate = health_rate(c);
    c->saved += rate * (double)(c->now_us - c->saved_at_us) / 1e6;
    c->saved_at_us = c->now_us;
    if (c->saved > cost * BURST)
        c->saved = cost * BURST;
    bool urgent = c->has_told && c->health.drain != c->told.drain;
    if (c->saved < cost && !urgent) {
        c->health_held += !c->held;
        c->held = true;
        c->health_at_us = c->now_us + (int64_t)((cost - c->saved) / rate * 1e6) + 1000;
        return;
    }
    c->saved -= cost;
    if (c->saved < -cost * BURST)
        c->saved = -cost * BURST;
    c->told = c->health;
    c->has_told = true;
    c->held = false;
    if (cluster_serf_fire(c->serf, SPAN(CLUSTER_HEALTH_EVENT), text, false, c->now_us, NULL) ==
        ERR_OK)
        c->health_told++;
}

void cluster_set_health(struct cluster *c, const struct cluster_health *health, int64_t now_us)
{
    enter(c, now_us);
    c->view += !c->has_health || differ_in_more_than_load(&c->health, health);
    c->health = *health;
    c->has_health = true;
    tell_tags(c);
    tell_health(c);
}

void cluster_set_tags(struct cluster *c, const struct cluster_tags *tags, int64_t now_us)
{
    enter(c, now_us);
    keep_tags(c, tags, cluster_member_name(cluster_swim_me(cluster_serf_swim(c->serf))));
    c->view++;
    tell_tags(c);
}

/* --- its life --- */

static struct cluster_serf *make_serf(struct cluster *c, const struct cluster_conf *conf)
{
    char room[CLUSTER_TAGS_BYTES_MAX];
    const struct cluster_serf_conf below = {
        .name = conf->name,
        .meta = cluster_tags_put(&c->tags, room),
        .addr = conf->addr,
        .profile = conf->profile,
        .keyring = conf->keyring,
        .seed = conf->seed,
        .members_max = conf->members_max,
        .lifeguard = conf->lifeguard,
        .replay = conf->replay,
    };
    const struct cluster_serf_news news = {
        .user = c,
        .changed = changed,
        .event = hear_event,
        .query = c->news.query ? hear_query : NULL,
        .conflict = hear_conflict,
        .keyring = hear_keyring,
        .join_done = join_done,
    };
    return cluster_serf_create(&below, &news, c->now_us);
}

struct cluster *cluster_create(const struct cluster_conf *conf, const struct cluster_news *news,
                               int64_t now_us)
{
    struct cluster *c = must_alloc(sizeof(*c));
    c->news = *news;
    c->now_us = c->saved_at_us = now_us;
    c->health_at_us = INT64_MAX;
    c->budget = conf->health_budget ? conf->health_budget : CLUSTER_HEALTH_BUDGET;
    c->saved = c->budget; /* the first word is not held up */
    keep_tags(c, &conf->tags, conf->name);
    c->serf = make_serf(c, conf);
    if (!c->serf) {
        free(c);
        return NULL;
    }
    return c;
}

void cluster_destroy(struct cluster *c)
{
    if (!c)
        return;
    cluster_serf_destroy(c->serf);
    free(c);
}

void cluster_packet(struct cluster *c, const struct addr *from, struct span bytes,
                    int64_t now_us)
{
    struct cluster_swim *swim = enter(c, now_us);
    cluster_swim_packet(swim, from, bytes, c->now_us);
}

uint32_t cluster_stream_accept(struct cluster *c, int64_t now_us)
{
    struct cluster_swim *swim = enter(c, now_us);
    return cluster_swim_stream_accept(swim, c->now_us);
}

void cluster_stream_bytes(struct cluster *c, uint32_t stream, struct span bytes, int64_t now_us)
{
    struct cluster_swim *swim = enter(c, now_us);
    cluster_swim_stream_bytes(swim, stream, bytes, c->now_us);
}

void cluster_stream_closed(struct cluster *c, uint32_t stream, int64_t now_us)
{
    struct cluster_swim *swim = enter(c, now_us);
    cluster_swim_stream_closed(swim, stream, c->now_us);
}

void cluster_tick(struct cluster *c, int64_t now_us)
{
    enter(c, now_us);
    cluster_serf_tick(c->serf, c->now_us);
    if (c->now_us >= c->health_at_us)
        tell_health(c);
}

int64_t cluster_deadline_us(const struct cluster *c)
{
    int64_t at_us = cluster_serf_deadline_us(c->serf);
    return at_us < c->health_at_us ? at_us : c->health_at_us;
}

bool cluster_next(struct cluster *c, struct cluster_swim_output *out)
{
    return cluster_swim_next(enter(c, c->now_us), out);
}

void cluster_join(struct cluster *c, const struct addr *seed, int64_t now_us)
{
    enter(c, now_us);
    cluster_serf_join(c->serf, seed, c->now_us);
}

void cluster_leave(struct cluster *c, int64_t now_us)
{
    enter(c, now_us);
    cluster_serf_leave(c->serf, c->now_us);
}

bool cluster_leave_told(const struct cluster *c)
{
    return cluster_serf_leave_told(c->serf);
}

enum err cluster_fire(struct cluster *c, struct span name, struct span payload, bool coalesce,
                      int64_t now_us, uint64_t *out_ltime)
{
    enter(c, now_us);
    return cluster_serf_fire(c->serf, name, payload, coalesce, c->now_us, out_ltime);
}

enum err cluster_query(struct cluster *c, const struct cluster_ask *ask, int64_t now_us)
{
    enter(c, now_us);
    return cluster_serf_ask(c->serf, ask, c->now_us);
}

enum err cluster_answer(struct cluster *c, uint32_t question, struct span payload,
                        int64_t now_us)
{
    enter(c, now_us);
    return cluster_serf_answer(c->serf, question, payload, c->now_us);
}

enum err cluster_forget(struct cluster *c, struct span name, int64_t now_us)
{
    enter(c, now_us);
    return cluster_serf_forget(c->serf, name, c->now_us);
}

uint64_t cluster_view(const struct cluster *c)
{
    return c->view + cluster_roster_changes(cluster_serf_roster(c->serf));
}

const struct wire_keyring *cluster_keyring(const struct cluster *c)
{
    return cluster_serf_keyring(c->serf);
}

bool cluster_conflict_lost(const struct cluster *c)
{
    return cluster_serf_conflict_lost(c->serf);
}

void cluster_counters(const struct cluster *c, struct cluster_counters *out)
{
    const struct cluster_swim *swim = cluster_serf_swim(c->serf);
    *out = (struct cluster_counters){
        .swim = *cluster_swim_counters(swim),
        .serf = *cluster_serf_counters(c->serf),
        .health_told = c->health_told,
        .health_held = c->health_held,
        .health_in = c->health_in,
        .health_refused = c->health_refused,
        .swim_health = cluster_swim_health(swim),
        .queue_swim = cluster_swim_broadcasts_waiting(swim),
    };
    cluster_serf_gauges(c->serf, &out->serf_gauges);
    for (unsigned status = 0; status < CLUSTER_STATUSES; status++)
        out->nodes[status] =
            cluster_roster_count_of(cluster_serf_roster(c->serf), (enum cluster_status)status);
}
