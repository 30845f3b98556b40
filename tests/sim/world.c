#include "tests/sim/world_core.h"

#include <stdio.h>
#include <stdlib.h>

#define PPM 1000000
#define SEEN_BITS 64u

/* --- clocks --- */

static int64_t own_us(const struct node *n)
{
    return n->world->now_us * (PPM + n->drift_ppm) / PPM;
}

/* When the node's clock says own_us, or just after. */
static int64_t world_us(const struct node *n, int64_t us)
{
    if (us > INT64_MAX / PPM - PPM)
        return INT64_MAX;
    return (us * PPM + PPM + n->drift_ppm - 1) / (PPM + n->drift_ppm);
}

static void set_timer(struct world *w, uint32_t node)
{
    struct node *n = &w->node[node];
    int64_t due_us = world_us(n, cluster_deadline_us(n->cluster));
    if (due_us < w->now_us)
        due_us = w->now_us;
    if (due_us >= n->timer_us)
        return;
    n->timer_us = due_us;
    n->timer = agenda_add(&w->agenda,
                          (struct event){.at_us = due_us, .kind = EVENT_TIMER, .node = node});
}

/* After every call into a node. */
static void settle(struct world *w, uint32_t node)
{
    world_send_all(w, node);
    set_timer(w, node);
}

/* --- what a node is told --- */

static uint32_t index_of(struct span name)
{
    uint64_t i = 0;
    must(span_to_u64(span_from(name, 1), &i));
    return (uint32_t)i;
}

static void hear_changed(void *user, enum cluster_change change,
                         const struct cluster_node *about)
{
    struct node *n = user;
    struct world *w = n->world;
    uint32_t i = index_of(about->name);
    uint64_t bit = UINT64_C(1) << i % SEEN_BITS;
    if (change == CLUSTER_JOINED)
        n->seen[i / SEEN_BITS] |= bit;
    else if (change != CLUSTER_UPDATED)
        n->seen[i / SEEN_BITS] &= ~bit;
    if (w->news.changed)
        w->news.changed(w->news.user, (uint32_t)(n - w->node), change, i);
}

static void hear_event(void *user, const struct cluster_event *event)
{
    struct node *n = user;
    struct world *w = n->world;
    if (w->news.event)
        w->news.event(w->news.user, (uint32_t)(n - w->node), event);
}

/* A seed that did not answer is asked again. */
static void join_done(void *user, const struct addr *seed, enum err result)
{
    struct node *n = user;
    struct cluster_counters c;
    (void)seed;
    cluster_counters(n->cluster, &c);
    if (result == ERR_OK || c.nodes[CLUSTER_STATUS_ALIVE] > 1)
        return;
    agenda_add(&n->world->agenda, (struct event){.at_us = n->world->now_us + WORLD_SECOND,
                                                 .kind = EVENT_JOIN,
                                                 .node = (uint32_t)(n - n->world->node)});
}

/* --- what happens --- */

static size_t seen_bytes(const struct world *w)
{
    return (w->conf.nodes + SEEN_BITS - 1) / SEEN_BITS * sizeof(uint64_t);
}

/* The first that is up; the node itself when it is alone. */
static uint32_t seed_of(const struct world *w, uint32_t node)
{
    for (uint32_t i = 0; i < w->conf.nodes; i++)
        if (i != node && w->node[i].cluster)
            return i;
    return node;
}

static void join(struct world *w, uint32_t node)
{
    struct node *n = &w->node[node];
    uint32_t seed = seed_of(w, node);
    struct addr peer = world_addr(w, seed);
    if (seed != node)
        cluster_join(n->cluster, &peer, own_us(n));
}

static void start(struct world *w, uint32_t node)
{
    static const uint8_t key[16] = "sixteen octets!";
    struct node *n = &w->node[node];
    struct cluster_conf conf = {
        .name = span_text(n->name),
        .addr = world_addr(w, node),
        .tags = {.region = SPAN("eu"), .version = SPAN("1.0"), .capacity = 1},
        .profile = w->conf.profile,
        .seed = hash_mix(hash_mix(w->conf.seed * PPM + node + 1) + n->starts++),
        .lifeguard = w->conf.lifeguard,
    };
    const struct cluster_news news = {
        .user = n, .changed = hear_changed, .event = hear_event, .join_done = join_done};
    if (w->conf.sealed)
        must(wire_keyring_install(&conf.keyring, span_of(key, sizeof(key))) == ERR_OK);
    memset(n->seen, 0, seen_bytes(w));
    n->crashed = false;
    n->cluster = cluster_create(&conf, &news, own_us(n));
    must(n->cluster);
    join(w, node);
}

static void connect_pipe(struct world *w, const struct event *e)
{
    struct pipe *p = e->pipe;
    struct node *n = &w->node[e->node];
    p->number[1] = cluster_stream_accept(n->cluster, own_us(n));
    if (p->number[1] == 0) {
        world_pipe_send(w, (struct event){.kind = EVENT_END, .pipe = p}, 0, (struct span){0});
        return;
    }
    world_pipe_keep(n, p);
    cluster_stream_bytes(n->cluster, p->number[1], span_of(e->bytes, e->len), own_us(n));
}

static void end_pipe(struct world *w, const struct event *e)
{
    struct node *n = &w->node[e->node];
    unsigned side = e->pipe->node[1] == e->node;
    uint32_t number = e->pipe->number[side];
    if (number == 0)
        return;
    world_pipe_drop(w, e->pipe, side);
    cluster_stream_closed(n->cluster, number, own_us(n));
}

static void hear_bytes(struct world *w, const struct event *e)
{
    struct node *n = &w->node[e->node];
    uint32_t number = e->pipe->number[e->pipe->node[1] == e->node];
    if (number != 0)
        cluster_stream_bytes(n->cluster, number, span_of(e->bytes, e->len), own_us(n));
}

static void happen(struct world *w, const struct event *e)
{
    struct node *n = &w->node[e->node];
    struct addr from = world_addr_of(e->from, e->from_home);
    switch ((enum event_kind)e->kind) {
    case EVENT_TIMER:
        cluster_tick(n->cluster, own_us(n));
        break;
    case EVENT_START:
        start(w, e->node);
        break;
    case EVENT_JOIN:
        join(w, e->node);
        break;
    case EVENT_PACKET:
        if (e->home == n->home)
            cluster_packet(n->cluster, &from, span_of(e->bytes, e->len), own_us(n));
        break;
    case EVENT_CONNECT:
        if (e->home == n->home)
            connect_pipe(w, e);
        break;
    case EVENT_BYTES:
        hear_bytes(w, e);
        break;
    case EVENT_END:
        end_pipe(w, e);
        break;
    }
}

static void note(struct world *w, const struct event *e)
{
    w->happened++;
    w->hash = hash_mix(w->hash ^ (uint64_t)e->at_us) + e->node * 8 + e->kind;
    if (w->conf.sealed) /* nonces are no part of the seed */
        w->hash ^= e->len;
    else if (e->len > 0)
        w->hash ^= hash_xxh3(span_of(e->bytes, e->len));
}

static void discard(struct event *e)
{
    free(e->bytes);
    if (e->pipe)
        world_pipe_release(e->pipe);
}

/* Does it have to wait until the node goes on? */
static bool held(const struct world *w, const struct event *e)
{
    const struct node *n = &w->node[e->node];
    return n->paused_until_us > w->now_us && !(n->timers_run && e->kind == EVENT_TIMER);
}

/* A paused node gets it when it goes on; its socket holds only so many packets. */
static bool put_off(struct world *w, const struct event *e)
{
    struct node *n = &w->node[e->node];
    if (e->kind == EVENT_PACKET && n->waiting >= WORLD_SOCKET)
        return false;
    struct event later = *e;
    later.at_us = n->paused_until_us;
    n->waiting += e->kind == EVENT_PACKET;
    agenda_put_back(&w->agenda, later);
    return true;
}

/* A timer that was set again for an earlier time rings once, not twice. */
static bool is_void(const struct world *w, const struct event *e)
{
    const struct node *n = &w->node[e->node];
    return (e->kind != EVENT_START && !n->cluster) ||
           (e->kind == EVENT_TIMER && e->order != n->timer);
}

static void step(struct world *w)
{
    struct event e = agenda_take(&w->agenda);
    struct node *n = &w->node[e.node];
    w->now_us = e.at_us;
    if (is_void(w, &e)) {
        discard(&e);
        return;
    }
    if (held(w, &e)) {
        if (!put_off(w, &e))
            discard(&e);
        return;
    }
    if (e.kind == EVENT_TIMER)
        n->timer_us = INT64_MAX;
    if (n->paused_until_us <= w->now_us)
        n->waiting = 0;
    note(w, &e);
    happen(w, &e);
    settle(w, e.node);
    discard(&e);
}

/* --- from outside --- */

static void init_node(struct world *w, uint32_t node)
{
    struct node *n = &w->node[node];
    int64_t in_us = 0;
    n->world = w;
    n->timer_us = INT64_MAX;
    n->seen = must_alloc(seen_bytes(w));
    snprintf(n->name, sizeof(n->name), "n%u", node);
    if (w->conf.drift_ppm > 0)
        n->drift_ppm = (int32_t)cluster_random_below(&w->random, 2 * w->conf.drift_ppm + 1) -
                       (int32_t)w->conf.drift_ppm;
    if (node > 0 && w->conf.join_within_us > 0)
        in_us = cluster_random_below(&w->random, (uint32_t)w->conf.join_within_us);
    agenda_add(&w->agenda,
               (struct event){.at_us = w->now_us + in_us, .kind = EVENT_START, .node = node});
}

struct world *world_create(const struct world_conf *conf, const struct world_news *news)
{
    struct world *w = must_alloc(sizeof(*w));
    w->conf = *conf;
    w->news = *news;
    w->now_us = 1000 * WORLD_SECOND;
    w->node = must_alloc(conf->nodes * sizeof(*w->node));
    w->net = net_create(&conf->net, conf->nodes, hash_mix(conf->seed));
    cluster_random_seed(&w->random, conf->seed);
    for (uint32_t i = 0; i < conf->nodes; i++)
        init_node(w, i);
    return w;
}

void world_destroy(struct world *w)
{
    for (size_t i = 0; i < w->agenda.count; i++)
        discard(&w->agenda.heap[i]);
    for (uint32_t i = 0; i < w->conf.nodes; i++) {
        struct node *n = &w->node[i];
        for (unsigned p = 0; p < n->pipes; p++)
            world_pipe_release(n->pipe[p]);
        free(n->pipe);
        cluster_destroy(n->cluster);
        free(n->seen);
    }
    agenda_fini(&w->agenda);
    net_destroy(w->net);
    free(w->node);
    free(w);
}

void world_run(struct world *w, int64_t us)
{
    int64_t until_us = w->now_us + us;
    while (w->agenda.count > 0 && w->agenda.heap[0].at_us <= until_us)
        step(w);
    w->now_us = until_us;
}

int64_t world_now_us(const struct world *w)
{
    return w->now_us;
}

uint64_t world_hash(const struct world *w)
{
    return w->hash;
}

uint64_t world_events(const struct world *w)
{
    return w->happened;
}

void world_pause(struct world *w, uint32_t node, int64_t us, bool timers_run)
{
    w->node[node].timers_run = timers_run;
    w->node[node].paused_until_us = w->now_us + us;
}

bool world_paused(const struct world *w, uint32_t node)
{
    return w->node[node].paused_until_us > w->now_us;
}

void world_crash(struct world *w, uint32_t node)
{
    struct node *n = &w->node[node];
    n->crashed = true;
    while (n->pipes > 0)
        world_pipe_drop(w, n->pipe[0], n->pipe[0]->node[1] == node);
    cluster_destroy(n->cluster);
    n->cluster = NULL;
    n->timer_us = INT64_MAX;
    n->paused_until_us = 0;
}

void world_restart(struct world *w, uint32_t node, bool moved)
{
    struct node *n = &w->node[node];
    must(!n->cluster && n->home < WORLD_HOMES);
    n->home = (uint8_t)(n->home + moved);
    start(w, node);
    settle(w, node);
}

void world_join(struct world *w, uint32_t node, uint32_t seed)
{
    struct node *n = &w->node[node];
    struct addr peer = world_addr(w, seed);
    cluster_join(n->cluster, &peer, own_us(n));
    settle(w, node);
}

bool world_crashed(const struct world *w, uint32_t node)
{
    return w->node[node].crashed;
}

struct net *world_net(struct world *w)
{
    return w->net;
}

enum err world_fire(struct world *w, uint32_t node, struct span name, struct span payload)
{
    struct node *n = &w->node[node];
    enum err err = cluster_fire(n->cluster, name, payload, false, own_us(n), NULL);
    settle(w, node);
    return err;
}

const struct cluster *world_cluster(const struct world *w, uint32_t node)
{
    return w->node[node].cluster;
}

struct addr world_addr(const struct world *w, uint32_t node)
{
    return world_addr_of(node, w->node[node].home);
}

static bool sees_all(const struct world *w, uint32_t node)
{
    const uint64_t *seen = w->node[node].seen;
    uint32_t group = net_group_of(w->net, node);
    for (uint32_t i = 0; i < w->conf.nodes; i++) {
        bool there = i != node && w->node[i].cluster && net_group_of(w->net, i) == group;
        if ((seen[i / SEEN_BITS] >> i % SEEN_BITS & 1) != there)
            return false;
    }
    return true;
}

uint32_t world_agree(const struct world *w)
{
    uint32_t agree = 0;
    for (uint32_t i = 0; i < w->conf.nodes; i++)
        agree += w->node[i].cluster && sees_all(w, i);
    return agree;
}

static void add_up(void *sum, const void *more, size_t bytes)
{
    uint64_t *to = sum;
    const uint64_t *from = more;
    for (size_t i = 0; i < bytes / sizeof(*to); i++)
        to[i] += from[i];
}

struct world_counters world_counters(const struct world *w)
{
    struct world_counters sum;
    struct cluster_counters c;
    memset(&sum, 0, sizeof(sum));
    for (uint32_t i = 0; i < w->conf.nodes; i++) {
        if (!w->node[i].cluster)
            continue;
        cluster_counters(w->node[i].cluster, &c);
        add_up(&sum.swim, &c.swim, sizeof(sum.swim));
        add_up(&sum.serf, &c.serf, sizeof(sum.serf));
    }
    return sum;
}
