#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>

#define SECOND INT64_C(1000000)
#define RESEND_US INT64_C(200000) /* a stream's segment that was lost comes so much later */
#define CONNECT_AGAIN_US SECOND
#define RECONNECT_US (30 * SECOND) /* Serf's */
#define PPM 1000000u

enum kind { TIMER, START, RECONNECT, PACKET, CONNECT, BYTES, END };

/* One direction of a stream; both sides have a number, 0 when it is over there. */
struct pipe {
    uint32_t node[2], number[2];
    int64_t last_us[2]; /* nothing overtakes on the way to that side */
    unsigned holders;   /* events and lists that point here */
};

struct event {
    int64_t at_us;
    uint64_t order;
    enum kind kind;
    uint32_t node, from;
    struct pipe *pipe;
    char *bytes;
    size_t len;
};

struct node {
    struct world *world;
    struct cluster_swim *swim;
    char name[16];
    uint32_t group;
    int64_t paused_until_us, timer_us; /* timer_us: of the earliest event in the heap */
    uint32_t waiting;                  /* packets, while paused */
    bool crashed, timers_run;          /* timers_run: though paused */
    struct pipe **pipe;
    unsigned pipes;
    uint32_t *failed; /* whom to look for, as Serf does; they are gone from the swim's view */
    uint32_t faileds;
};

struct world {
    struct world_conf conf;
    struct world_news news;
    struct node *node;
    struct event *heap;
    size_t events, room;
    int64_t now_us;
    uint64_t orders, hash, happened;
    struct cluster_random random;
};

/* --- the heap --- */

static bool earlier(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void push_kept(struct world *w, struct event e)
{
    if (w->events == w->room) {
        w->room = w->room ? w->room * 2 : 1024;
        w->heap = must_realloc(w->heap, w->room * sizeof(e));
    }
    size_t i = w->events++;
    for (; i > 0 && earlier(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = e;
}

static void push(struct world *w, struct event e)
{
    e.order = w->orders++;
    push_kept(w, e);
}

static struct event pop(struct world *w)
{
    struct event first = w->heap[0];
    struct event e = w->heap[--w->events];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->events; i = child) {
        if (child + 1 < w->events && earlier(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!earlier(&w->heap[child], &e))
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = e;
    return first;
}

/* --- the network --- */

static struct addr addr_of(uint32_t node)
{
    return (struct addr){
        .family = ADDR_V4,
        .ip = {10, (uint8_t)(node >> 16), (uint8_t)(node >> 8), (uint8_t)node},
        .port = 7946,
    };
}

static uint32_t node_of(const struct addr *a)
{
    return (uint32_t)a->ip[1] << 16 | (uint32_t)a->ip[2] << 8 | a->ip[3];
}

static bool chance(struct world *w, uint32_t ppm)
{
    return ppm > 0 && cluster_random_below(&w->random, PPM) < ppm;
}

/* When something sent now arrives; what a blocked node sends leaves when it goes on. */
static int64_t arrival_us(struct world *w, uint32_t from)
{
    uint32_t spread = (uint32_t)(w->conf.delay_max_us - w->conf.delay_min_us) + 1;
    int64_t delay_us = w->conf.delay_min_us + cluster_random_below(&w->random, spread);
    int64_t leaves_us = w->node[from].paused_until_us;
    return delay_us + (leaves_us > w->now_us ? leaves_us : w->now_us);
}

static bool connected(const struct world *w, uint32_t a, uint32_t b)
{
    return a < w->conf.nodes && b < w->conf.nodes && w->node[a].group == w->node[b].group;
}

static char *copy(struct span bytes)
{
    return span_dup(bytes);
}

static void send_packet(struct world *w, uint32_t from, const struct cluster_swim_output *o)
{
    uint32_t to = node_of(&o->to);
    for (unsigned copies = 1 + chance(w, w->conf.double_ppm); copies > 0; copies--) {
        if (!connected(w, from, to) || chance(w, w->conf.loss_ppm))
            continue;
        push(w, (struct event){.at_us = arrival_us(w, from),
                               .kind = PACKET,
                               .node = to,
                               .from = from,
                               .bytes = copy(o->bytes),
                               .len = o->bytes.len});
    }
}

static void release(struct pipe *p)
{
    if (--p->holders == 0)
        free(p);
}

static void keep_pipe(struct node *n, struct pipe *p)
{
    n->pipe = must_realloc(n->pipe, (n->pipes + 1) * sizeof(struct pipe *));
    n->pipe[n->pipes++] = p;
    p->holders++;
}

static struct pipe *find_pipe(const struct world *w, uint32_t node, uint32_t number,
                              unsigned *side)
{
    const struct node *n = &w->node[node];
    for (unsigned i = 0; i < n->pipes; i++)
        for (*side = 0; *side < 2; (*side)++)
            if (n->pipe[i]->node[*side] == node && n->pipe[i]->number[*side] == number)
                return n->pipe[i];
    return NULL;
}

/* The stream is over on this side. */
static void drop_pipe(struct world *w, struct pipe *p, unsigned side)
{
    struct node *n = &w->node[p->node[side]];
    p->number[side] = 0;
    for (unsigned i = 0; i < n->pipes; i++) {
        if (n->pipe[i] == p) {
            n->pipe[i] = n->pipe[--n->pipes];
            release(p);
            return;
        }
    }
}

/* To the other side of a stream. What is cut off never arrives; what is lost comes later. */
static void send_along(struct world *w, enum kind kind, struct pipe *p, unsigned to,
                       struct span bytes)
{
    int64_t at_us = arrival_us(w, p->node[!to]);
    if (!connected(w, p->node[0], p->node[1]))
        return;
    while (chance(w, w->conf.loss_ppm))
        at_us += kind == CONNECT ? CONNECT_AGAIN_US : RESEND_US;
    if (at_us < p->last_us[to])
        at_us = p->last_us[to];
    p->last_us[to] = at_us;
    p->holders++;
    push(w, (struct event){.at_us = at_us,
                           .kind = kind,
                           .node = p->node[to],
                           .from = p->node[!to],
                           .pipe = p,
                           .bytes = copy(bytes),
                           .len = bytes.len});
}

static void open_pipe(struct world *w, uint32_t from, const struct cluster_swim_output *o)
{
    struct pipe *p = must_alloc(sizeof(*p));
    *p = (struct pipe){.node = {from, node_of(&o->to)}, .number = {o->stream, 0}};
    keep_pipe(&w->node[from], p);
    send_along(w, CONNECT, p, 1, o->bytes);
}

static void drain(struct world *w, uint32_t node)
{
    struct cluster_swim_output o;
    unsigned side;
    while (cluster_swim_next(w->node[node].swim, &o)) {
        struct pipe *p = NULL;
        switch (o.what) {
        case CLUSTER_SWIM_SEND:
            send_packet(w, node, &o);
            break;
        case CLUSTER_SWIM_STREAM_OPEN:
            open_pipe(w, node, &o);
            break;
        case CLUSTER_SWIM_STREAM_WRITE:
            if ((p = find_pipe(w, node, o.stream, &side)))
                send_along(w, BYTES, p, !side, o.bytes);
            break;
        case CLUSTER_SWIM_STREAM_CLOSE:
            if ((p = find_pipe(w, node, o.stream, &side))) {
                send_along(w, END, p, !side, o.bytes);
                drop_pipe(w, p, side);
            }
            break;
        }
    }
}

/* --- what happens --- */

static uint32_t index_of(const struct cluster_member *m)
{
    uint64_t i = 0;
    must(span_to_u64(span_from(cluster_member_name(m), 1), &i));
    return (uint32_t)i;
}

static void hear_failed(void *user, const struct cluster_member *m)
{
    struct node *n = user;
    struct world *w = n->world;
    n->failed = must_realloc(n->failed, (n->faileds + 1) * sizeof(*n->failed));
    n->failed[n->faileds++] = index_of(m);
    if (w->news.failed)
        w->news.failed(w->news.user, (uint32_t)(n - w->node), index_of(m));
}

static void hear_joined(void *user, const struct cluster_member *m)
{
    struct node *n = user;
    struct world *w = n->world;
    uint32_t about = index_of(m);
    for (uint32_t i = n->faileds; i > 0; i--)
        if (n->failed[i - 1] == about)
            n->failed[i - 1] = n->failed[--n->faileds];
    if (w->news.joined)
        w->news.joined(w->news.user, (uint32_t)(n - w->node), about);
}

/* A seed that did not answer is asked again. */
static void hear_pulled(void *user, const struct addr *peer, bool join, enum err result)
{
    struct node *n = user;
    if (join && result != ERR_OK && cluster_members_count(cluster_swim_members(n->swim)) == 1)
        cluster_swim_join(n->swim, peer, n->world->now_us);
}

static void start(struct world *w, uint32_t node)
{
    struct node *n = &w->node[node];
    struct cluster_swim_conf conf = {
        .name = span_text(n->name),
        .meta = SPAN("\xff\x82\xa4role\xa4"
                     "edge\xa2"
                     "dc\xa3"
                     "eu3"),
        .addr = addr_of(node),
        .vsn = {1, 5, 2, 2, 5, 5},
        .profile = w->conf.profile,
        .seed = hash_mix(w->conf.seed * PPM + node + 1),
        .lifeguard = w->conf.lifeguard,
    };
    struct cluster_swim_upper upper = {
        .user = n, .failed = hear_failed, .joined = hear_joined, .pulled = hear_pulled};
    n->swim = cluster_swim_create(&conf, &upper, w->now_us);
    must(n->swim);
    struct addr seed = addr_of(0);
    if (node > 0)
        cluster_swim_join(n->swim, &seed, w->now_us);
    int64_t first_us = cluster_random_below(&w->random, (uint32_t)RECONNECT_US);
    push(w, (struct event){.at_us = w->now_us + first_us, .kind = RECONNECT, .node = node});
}

/* Somebody who failed, with the chance of failed : alive, so that all together do not ask more
 * when many failed. */
static void reconnect(struct world *w, uint32_t node)
{
    struct node *n = &w->node[node];
    uint32_t known = cluster_members_count(cluster_swim_members(n->swim));
    push(w, (struct event){.at_us = w->now_us + RECONNECT_US, .kind = RECONNECT, .node = node});
    if (n->faileds == 0 || cluster_random_below(&w->random, known) >= n->faileds)
        return;
    struct addr peer = addr_of(n->failed[cluster_random_below(&w->random, n->faileds)]);
    cluster_swim_join(n->swim, &peer, w->now_us);
}

static void connect_pipe(struct world *w, const struct event *e)
{
    struct pipe *p = e->pipe;
    struct node *n = &w->node[e->node];
    p->number[1] = cluster_swim_stream_accept(n->swim, w->now_us);
    if (p->number[1] == 0) {
        send_along(w, END, p, 0, (struct span){0});
        return;
    }
    keep_pipe(n, p);
    cluster_swim_stream_bytes(n->swim, p->number[1], span_of(e->bytes, e->len), w->now_us);
}

static void end_pipe(struct world *w, const struct event *e)
{
    unsigned side = e->pipe->node[1] == e->node;
    uint32_t number = e->pipe->number[side];
    if (number == 0)
        return;
    drop_pipe(w, e->pipe, side);
    cluster_swim_stream_closed(w->node[e->node].swim, number, w->now_us);
}

static void happen(struct world *w, const struct event *e)
{
    struct node *n = &w->node[e->node];
    struct addr from = addr_of(e->from);
    switch (e->kind) {
    case TIMER:
        if (cluster_swim_deadline_us(n->swim) <= w->now_us)
            cluster_swim_tick(n->swim, w->now_us);
        break;
    case START:
        start(w, e->node);
        break;
    case RECONNECT:
        reconnect(w, e->node);
        break;
    case PACKET:
        cluster_swim_packet(n->swim, &from, span_of(e->bytes, e->len), w->now_us);
        break;
    case CONNECT:
        connect_pipe(w, e);
        break;
    case BYTES:
        if (e->pipe->number[e->pipe->node[1] == e->node])
            cluster_swim_stream_bytes(n->swim, e->pipe->number[e->pipe->node[1] == e->node],
                                      span_of(e->bytes, e->len), w->now_us);
        break;
    case END:
        end_pipe(w, e);
        break;
    }
}

static void note(struct world *w, const struct event *e)
{
    w->happened++;
    w->hash = hash_mix(w->hash ^ (uint64_t)e->at_us) + e->node * 8 + (uint64_t)e->kind;
    if (e->len > 0)
        w->hash ^= hash_xxh3(span_of(e->bytes, e->len));
}

static void set_timer(struct world *w, uint32_t node)
{
    struct node *n = &w->node[node];
    int64_t due_us = cluster_swim_deadline_us(n->swim);
    if (due_us >= n->timer_us)
        return;
    n->timer_us = due_us;
    push(w, (struct event){.at_us = due_us, .kind = TIMER, .node = node});
}

static void discard(struct event *e)
{
    free(e->bytes);
    if (e->pipe)
        release(e->pipe);
}

/* Does it have to wait until the node goes on? */
static bool held(const struct world *w, const struct event *e)
{
    const struct node *n = &w->node[e->node];
    bool timer = e->kind == TIMER || e->kind == RECONNECT;
    return n->paused_until_us > w->now_us && !(n->timers_run && timer);
}

/* A paused node gets it when it goes on; its socket holds only so many packets. */
static bool put_off(struct world *w, const struct event *e)
{
    struct node *n = &w->node[e->node];
    if (!held(w, e) || (e->kind == PACKET && n->waiting >= WORLD_SOCKET))
        return false;
    struct event later = *e;
    later.at_us = n->paused_until_us;
    n->waiting += e->kind == PACKET;
    push_kept(w, later);
    return true;
}

static void step(struct world *w)
{
    struct event e = pop(w);
    struct node *n = &w->node[e.node];
    w->now_us = e.at_us;
    bool paused = held(w, &e);
    if (put_off(w, &e))
        return;
    if (e.kind == TIMER)
        n->timer_us = INT64_MAX;
    if (!paused && !n->crashed && (n->swim || e.kind == START)) {
        if (n->paused_until_us <= w->now_us)
            n->waiting = 0;
        note(w, &e);
        happen(w, &e);
        drain(w, e.node);
        set_timer(w, e.node);
    }
    discard(&e);
}

/* --- from outside --- */

struct world *world_create(const struct world_conf *conf, const struct world_news *news)
{
    struct world *w = must_alloc(sizeof(*w));
    w->conf = *conf;
    w->news = *news;
    w->now_us = 1000 * SECOND;
    w->node = must_alloc(conf->nodes * sizeof(*w->node));
    cluster_random_seed(&w->random, conf->seed);
    for (uint32_t i = 0; i < conf->nodes; i++) {
        struct node *n = &w->node[i];
        n->world = w;
        n->timer_us = INT64_MAX;
        snprintf(n->name, sizeof(n->name), "n%u", i);
        int64_t in_us = i == 0 || conf->join_within_us == 0
                            ? 0
                            : cluster_random_below(&w->random, (uint32_t)conf->join_within_us);
        push(w, (struct event){.at_us = w->now_us + in_us, .kind = START, .node = i});
    }
    return w;
}

void world_destroy(struct world *w)
{
    for (size_t i = 0; i < w->events; i++)
        discard(&w->heap[i]);
    for (uint32_t i = 0; i < w->conf.nodes; i++) {
        for (unsigned p = 0; p < w->node[i].pipes; p++)
            release(w->node[i].pipe[p]);
        free(w->node[i].pipe);
        free(w->node[i].failed);
        cluster_swim_destroy(w->node[i].swim);
    }
    free(w->heap);
    free(w->node);
    free(w);
}

void world_run(struct world *w, int64_t us)
{
    int64_t until_us = w->now_us + us;
    while (w->events > 0 && w->heap[0].at_us <= until_us)
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
        drop_pipe(w, n->pipe[0], n->pipe[0]->node[1] == node);
    cluster_swim_destroy(n->swim);
    n->swim = NULL;
}

bool world_crashed(const struct world *w, uint32_t node)
{
    return w->node[node].crashed;
}

void world_group(struct world *w, uint32_t node, uint32_t group)
{
    w->node[node].group = group;
}

struct cluster_swim *world_swim(struct world *w, uint32_t node)
{
    return w->node[node].swim;
}

static bool sees_all(const struct world *w, uint32_t node, uint32_t up)
{
    const struct cluster_members *t = cluster_swim_members(w->node[node].swim);
    uint32_t in = 0;
    for (uint32_t i = 0; i < cluster_members_count(t); i++) {
        const struct cluster_member *m = cluster_members_at(t, i);
        if (cluster_member_gone(m))
            continue;
        if (!w->node[index_of(m)].swim)
            return false;
        in++;
    }
    return in == up;
}

uint32_t world_agree(const struct world *w)
{
    uint32_t up = 0, agree = 0;
    for (uint32_t i = 0; i < w->conf.nodes; i++)
        up += w->node[i].swim != NULL;
    for (uint32_t i = 0; i < w->conf.nodes; i++)
        agree += w->node[i].swim && sees_all(w, i, up);
    return agree;
}

struct cluster_swim_counters world_counters(const struct world *w)
{
    struct cluster_swim_counters sum;
    uint64_t *to = (uint64_t *)(void *)&sum;
    memset(&sum, 0, sizeof(sum));
    for (uint32_t i = 0; i < w->conf.nodes; i++) {
        if (!w->node[i].swim)
            continue;
        const uint64_t *from =
            (const uint64_t *)(const void *)cluster_swim_counters(w->node[i].swim);
        for (size_t k = 0; k < sizeof(sum) / sizeof(*to); k++)
            to[k] += from[k];
    }
    return sum;
}
