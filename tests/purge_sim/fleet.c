#include "tests/purge_sim/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/purge_wire.h"
#include "tests/purge_sim/gossip.h"

enum kind { ASKED = 32, ANSWERED, DEADLINE, TIMER, DISK, GOSSIP, EVENT, PEER_READ, PEER_CAME };

#define GOSSIP_EVERY_US (200 * MS)
#define HEARD_OF_US (2000 * MS)
#define STEP_US (5 * MS) /* of the two clocks, one after the other */

struct rpc {
    struct rpc *next; /* of the world */
    uint32_t from, to, from_start, to_start;
    uint64_t number; /* the asker's */
    char *body;
    size_t len;
    bool done;
};
struct fetch { /* from a peer's cache */
    uint32_t from_start, name;
    uint64_t fill_no, version;
    bool has;
    struct buf vector;
};

static void violation(struct fleet *w, const struct node *n, const char *what)
{
    if (w->violations++ < 5)
        fprintf(stderr, "violation: seed %llu at %.3f s, node %u: %s\n",
                (unsigned long long)w->conf.seed, (double)w->now_us / 1e6, n->index, what);
}

static uint32_t below(struct fleet *w, uint32_t bound)
{
    return cluster_random_below(&w->pcg, bound);
}

static int64_t between(struct fleet *w, int64_t min, int64_t max)
{
    return min + (max > min ? (int64_t)below(w, (uint32_t)(max - min)) : 0);
}

static bool reaches(const struct fleet *w, uint32_t from, uint32_t to)
{
    const struct node *n = &w->nodes[to];
    return n->up && !w->cut[from * w->conf.nodes + to];
}

static int64_t delay(struct fleet *w)
{
    int64_t d = between(w, w->conf.delay_min_us, w->conf.delay_max_us), again = 200 * MS;
    while (below(w, 100) < w->conf.loss_percent) { /* sent again */
        d += again;
        again *= 2;
    }
    return d;
}

static void add(struct fleet *w, uint8_t kind, uint32_t node, int64_t at_us, void *what)
{
    (void)agenda_add(&w->agenda,
                     (struct event){.at_us = at_us, .kind = kind, .node = node, .bytes = what});
}

static int64_t wall_s(const struct fleet *w)
{
    return 1700000000 + w->now_us / SECOND;
}

/* --- a node's cache --- */

static uint32_t name_of(const struct purge *p)
{
    uint64_t name = NAMES;
    if (p->kind == PURGE_TAG)
        must(span_to_u64(span_from(p->selector, 1), &name) && name < NAMES);
    if (p->kind == PURGE_PATH)
        must(span_to_u64(span_from(p->selector, 2), &name) && name < NAMES);
    return (uint32_t)name;
}

static void put_in_effect(struct node *n, const struct purge *p, uint64_t no)
{
    uint32_t name = name_of(p);
    uint64_t *slot = name < NAMES ? &n->hard_no[name] : &n->all_no;
    if (*slot < no)
        *slot = no;
}

static void replay(void *user, const struct cluster_purge_record *r)
{
    struct node *n = user;
    if (r->apply_no)
        put_in_effect(n, &r->purge, r->apply_no);
}

static bool is_fresh(const struct node *n, uint32_t name)
{
    const struct page *p = &n->pages[name];
    return p->there && p->fill_no >= n->hard_no[name] && p->fill_no >= n->all_no &&
           !(n->cautious && p->fill_no < n->caution_no);
}

/* --- news --- */

static bool news_apply(void *user, const struct purge *p,
                       void (*numbered)(void *sync, uint64_t no), void *sync,
                       uint64_t *out_apply_no)
{
    struct node *n = user;
    uint64_t no = ++n->counter;
    numbered(sync, no);
    put_in_effect(n, p, no);
    *out_apply_no = no;
    return true;
}

static void news_stage(void *user, uint64_t ticket, enum cluster_sync_stage stage)
{
    struct node *n = user;
    struct fleet *w = n->fleet;
    struct purge_story *p = &w->stories[ticket - 1];
    if (stage == CLUSTER_SYNC_NOT_HERE)
        w->not_here++;
    if (stage != CLUSTER_SYNC_EVERYWHERE)
        return;
    w->everywhere++;
    p->done_us = w->last_everywhere_us = w->now_us;
    for (uint32_t i = 0; i < w->conf.nodes; i++) {
        const struct node *other = &w->nodes[i];
        bool counts = !other->forgotten &&
                      (!other->came_back || (n->views[i].heard_us > other->started_us &&
                                             w->now_us >= n->views[i].heard_us + HEARD_OF_US));
        if (counts && disk_synced(&other->disk, p->id.stream) < p->id.seq)
            violation(w, n, "called everywhere what is not on every disk");
    }
    for (uint32_t i = 0; i < NAMES; i++) {
        /* The versions that all names had when an `all` was accepted are not kept: its own. */
        if (p->name == i && w->acked[i] < p->version)
            w->acked[i] = p->version;
    }
}

static uint64_t news_distrust(void *user, bool hard)
{
    struct node *n = user;
    (void)hard;
    n->all_no = ++n->counter;
    return n->all_no;
}

static void news_caution(void *user, bool on, const char *why)
{
    struct node *n = user;
    (void)why;
    n->cautious = on;
    n->forgotten = n->forgotten && on;
    if (on)
        n->caution_no = ++n->counter;
}

struct event_bytes {
    bool typed;
    uint64_t ltime;
    size_t len;
    char bytes[CLUSTER_PURGE_HINT_MAX];
};

static void spread_event(struct fleet *w, uint32_t from, bool typed, uint64_t ltime,
                         struct span payload)
{
    for (uint32_t to = 0; to < w->conf.nodes; to++) {
        if (to == from || below(w, 100) < 10 || (from < w->conf.nodes && !reaches(w, from, to)))
            continue;
        struct event_bytes *e = must_alloc(sizeof *e);
        e->typed = typed;
        e->ltime = ltime;
        e->len = payload.len;
        memcpy(e->bytes, payload.ptr, payload.len);
        add(w, EVENT, to, w->now_us + between(w, 20 * MS, 600 * MS), e);
    }
}

struct firing {
    struct firing *next;
    uint32_t from;
    bool typed;
    size_t len;
    char bytes[CLUSTER_PURGE_HINT_MAX];
};

/* In the next step: gossip may be what led to it. */
static void fire_soon(struct fleet *w, uint32_t from, bool typed, struct span payload)
{
    struct firing *f = must_alloc(sizeof *f);
    f->from = from;
    f->typed = typed;
    f->len = payload.len;
    memcpy(f->bytes, payload.ptr, payload.len);
    f->next = w->to_fire;
    w->to_fire = f;
}

static void fire_all(struct fleet *w, bool drop)
{
    for (struct firing *f; (f = w->to_fire);) {
        w->to_fire = f->next;
        if (!drop && w->nodes[f->from].up && !w->nodes[f->from].frozen)
            gossip_fire(w->gossip, f->from,
                        f->typed ? SPAN(CLUSTER_SYNC_TYPED) : SPAN(CLUSTER_SYNC_EVENT),
                        span_of(f->bytes, f->len));
        free(f);
    }
}

static void news_hint(void *user, struct span payload)
{
    struct node *n = user;
    if (n->fleet->gossip) {
        fire_soon(n->fleet, n->index, false, payload);
        return;
    }
    spread_event(n->fleet, n->index, false, 0, payload);
}

/* --- a node's outputs --- */

static void check_vector(struct node *n, struct span vector)
{
    struct cluster_vector v = {0};
    must(cluster_vector_read(vector, &v) == ERR_OK);
    for (uint32_t i = 0; i < v.count; i++) {
        if (v.rows[i].seq > disk_synced(&n->disk, v.rows[i].stream))
            violation(n->fleet, n, "told a vector that is not on its disk");
    }
    cluster_vector_fini(&v);
}

static struct rpc *rpc_create(struct fleet *w, const struct node *n, uint32_t to,
                              const struct cluster_sync_output *out)
{
    struct rpc *r = must_alloc(sizeof *r);
    r->from = n->index;
    r->from_start = n->starts;
    r->to = to;
    r->number = out->number;
    r->len = out->body.len;
    r->body = must_alloc(r->len + 1);
    memcpy(r->body, out->body.ptr, r->len);
    r->next = w->rpcs;
    w->rpcs = r;
    return r;
}

static void send_request(struct node *n, const struct cluster_sync_output *out)
{
    struct fleet *w = n->fleet;
    uint64_t to;
    struct purge_wire_request q;
    must(span_to_u64(span_from(out->id, 1), &to));
    must(purge_wire_read_request(out->body, &q) == ERR_OK);
    check_vector(n, q.vector);
    struct rpc *r = rpc_create(w, n, (uint32_t)to, out);
    add(w, DEADLINE, n->index, w->now_us + out->deadline_ms * MS, r);
    if (reaches(w, n->index, r->to))
        add(w, ASKED, r->to, w->now_us + delay(w), r);
}

static void send_answer(struct node *n, const struct cluster_sync_output *out)
{
    struct fleet *w = n->fleet;
    struct rpc *r = (struct rpc *)(uintptr_t)out->number;
    r->len = out->body.len;
    free(r->body);
    r->body = must_alloc(r->len + 1);
    if (r->len)
        memcpy(r->body, out->body.ptr, r->len);
    if (reaches(w, n->index, r->from))
        add(w, ANSWERED, r->from, w->now_us + delay(w), r);
}

static void settle(struct node *n)
{
    struct fleet *w = n->fleet;
    struct cluster_sync_output out;
    if (!n->up)
        return;
    while (cluster_sync_next(n->sync, &out)) {
        if (out.kind == CLUSTER_SYNC_SEND)
            send_request(n, &out);
        else
            send_answer(n, &out);
    }
    if (disk_take(&n->disk, n->log, wall_s(w)))
        add(w, DISK, n->index, w->now_us + between(w, 200, 4 * MS),
            (void *)(uintptr_t)n->starts);
    int64_t at = cluster_sync_deadline_us(n->sync);
    if (at < w->now_us + 1)
        at = w->now_us + 1;
    if (at < n->timer_us) {
        n->timer_us = at;
        add(w, TIMER, n->index, at, (void *)(uintptr_t)n->starts);
    }
}

/* --- life --- */

static void log_answered(void *user, uint64_t ticket, enum err err)
{
    struct node *n = user;
    cluster_sync_log_answered(n->sync, ticket, err);
}

void fleet_start(struct fleet *w, uint32_t index)
{
    static const struct cluster_sync_news news = {.apply = news_apply,
                                                  .stage = news_stage,
                                                  .distrust = news_distrust,
                                                  .caution = news_caution,
                                                  .hint = news_hint};
    struct node *n = &w->nodes[index];
    struct cluster_sync_news mine = news;
    mine.user = n;
    must(!n->up);
    n->up = true;
    n->frozen = false;
    n->starts++;
    n->came_back = n->forgotten;
    n->started_us = w->now_us;
    n->disk_bad_until_us = 0;
    n->counter = ++n->disk.boot_no << 40;
    memset(n->hard_no, 0, sizeof n->hard_no);
    n->all_no = 0;
    n->cautious = false;
    n->log = cluster_purge_log_create(
        &(struct cluster_purge_log_conf){.node = n->id,
                                         .keep_s = 86400,
                                         .stream_id = (uint64_t)(index + 1) << 32 | n->starts,
                                         .hash_key = {w->conf.seed, index},
                                         .answered = log_answered,
                                         .user = n});
    disk_load(&n->disk, n->log, replay, n);
    n->recent = cluster_recent_create();
    n->sync = cluster_sync_create(&(struct cluster_sync_conf){.id = span_text(n->id),
                                                              .log = n->log,
                                                              .recent = n->recent,
                                                              .news = &mine,
                                                              .seed = w->conf.seed + index,
                                                              .clustered = true,
                                                              .accept_events = true},
                                  w->now_us);
    n->timer_us = INT64_MAX;
    cluster_sync_begin(n->sync, w->now_us);
    for (uint32_t i = 0; i < w->conf.nodes; i++) {
        struct view *v = w->conf.gossip != GOSSIP_NONE ? &n->views[i] : NULL;
        if (v)
            *v = (struct view){.told = CLUSTER_SYNC_FAILED, .is = CLUSTER_SYNC_FAILED};
        else if (i != index)
            cluster_sync_member(n->sync, span_text(w->nodes[i].id), CLUSTER_SYNC_LIVE, true,
                                w->now_us);
    }
    if (w->conf.gossip != GOSSIP_NONE)
        cluster_sync_seeds_silent(n->sync, true, w->now_us);
    if (w->conf.gossip == GOSSIP_RUN)
        gossip_start(w->gossip, index);
    if (w->conf.gossip == GOSSIP_TOLD) {
        add(w, GOSSIP, index, w->now_us + between(w, 1, GOSSIP_EVERY_US),
            (void *)(uintptr_t)n->starts);
    }
    settle(n);
}

static void end_process(struct node *n)
{
    n->up = false;
    cluster_sync_destroy(n->sync);
    cluster_purge_log_destroy(n->log);
    cluster_recent_destroy(n->recent);
    n->sync = NULL;
    n->log = NULL;
    n->recent = NULL;
}

void fleet_crash(struct fleet *w, uint32_t index)
{
    struct node *n = &w->nodes[index];
    if (!n->up)
        return;
    if (n->disk.out && below(w, 2) && n->disk_bad_until_us <= w->now_us)
        disk_commit(&n->disk); /* it was written, but nobody was told */
    end_process(n);
    if (w->gossip)
        gossip_crash(w->gossip, index);
}

void fleet_freeze(struct fleet *w, uint32_t index)
{
    struct node *n = &w->nodes[index];
    n->frozen = n->up;
    n->frozen_since_us = w->now_us;
}

void fleet_thaw(struct fleet *w, uint32_t index)
{
    struct node *n = &w->nodes[index];
    if (!n->frozen)
        return;
    n->frozen = false;
    if (!n->up)
        return;
    cluster_sync_stalled(n->sync, w->now_us - n->frozen_since_us, w->now_us);
    settle(n);
}

void fleet_cut(struct fleet *w, uint32_t from, uint32_t to, bool cut)
{
    w->cut[from * w->conf.nodes + to] = cut;
    if (w->gossip)
        gossip_cut(w->gossip, from, to, cut);
}

/* --- gossip that is run --- */

static void hear_member(void *user, uint32_t at, uint32_t about, bool alive)
{
    struct fleet *w = user;
    struct node *n = &w->nodes[at];
    bool any = false;
    if (!n->up || at == about)
        return;
    n->views[about].told = alive ? CLUSTER_SYNC_LIVE : CLUSTER_SYNC_FAILED;
    if (alive && n->views[about].heard_us <= w->nodes[about].started_us)
        n->views[about].heard_us = w->now_us;
    for (uint32_t i = 0; i < w->conf.nodes; i++)
        any = any || (i != at && n->views[i].told == CLUSTER_SYNC_LIVE);
    cluster_sync_seeds_silent(n->sync, !any, w->now_us);
    cluster_sync_member(n->sync, span_text(w->nodes[about].id),
                        (enum cluster_sync_state)n->views[about].told, true, w->now_us);
    settle(n);
}

static void hear_event(void *user, uint32_t at, struct span name, struct span payload,
                       uint64_t ltime, bool replayed)
{
    struct fleet *w = user;
    struct node *n = &w->nodes[at];
    if (!n->up)
        return;
    cluster_sync_event(n->sync, name, payload, ltime, replayed, w->now_us, wall_s(w));
    settle(n);
}

void fleet_open(struct fleet *w, const struct fleet_conf *conf)
{
    *w = (struct fleet){.conf = *conf};
    cluster_random_seed(&w->pcg, conf->seed);
    w->nodes = must_alloc(conf->nodes * sizeof *w->nodes);
    w->cut = must_alloc((size_t)conf->nodes * conf->nodes);
    for (uint32_t i = 0; i < conf->nodes; i++) {
        struct node *n = &w->nodes[i];
        n->fleet = w;
        n->index = i;
        (void)snprintf(n->id, sizeof n->id, "n%u", i);
        if (conf->gossip != GOSSIP_NONE)
            n->views = must_alloc(conf->nodes * sizeof *n->views);
    }
    if (conf->gossip == GOSSIP_RUN)
        w->gossip = gossip_create(
            &(struct gossip_conf){conf->nodes, conf->loss_percent, conf->seed,
                                  conf->delay_min_us, conf->delay_max_us},
            &(struct gossip_news){.user = w, .member = hear_member, .event = hear_event});
    for (uint32_t i = 0; i < conf->nodes; i++)
        fleet_start(w, i);
}

void fleet_close(struct fleet *w)
{
    gossip_destroy(w->gossip);
    fire_all(w, true);
    for (uint32_t i = 0; i < w->conf.nodes; i++) {
        struct node *n = &w->nodes[i];
        if (n->up)
            end_process(n);
        disk_fini(&n->disk);
        free(n->views);
    }
    while (w->agenda.count > 0) {
        struct event e = agenda_take(&w->agenda);
        if (e.kind == EVENT)
            free(e.bytes);
        if (e.kind == PEER_READ || e.kind == PEER_CAME) {
            buf_fini(&((struct fetch *)(void *)e.bytes)->vector);
            free(e.bytes);
        }
    }
    for (struct rpc *next; w->rpcs; w->rpcs = next) {
        next = w->rpcs->next;
        free(w->rpcs->body);
        free(w->rpcs);
    }
    agenda_fini(&w->agenda);
    free(w->stories);
    free(w->cut);
    free(w->nodes);
}

/* --- what people do --- */

void fleet_purge(struct fleet *w, uint32_t index, uint32_t name, bool soft)
{
    struct node *n = &w->nodes[index];
    char text[16];
    struct purge p = {.kind = PURGE_ALL, .mode = soft ? PURGE_SOFT : PURGE_HARD};
    if (!n->up || n->frozen)
        return;
    (void)snprintf(text, sizeof text, "t%u", name);
    if (name < NAMES) {
        p.kind = PURGE_TAG;
        p.selector = span_text(text);
        w->version[name]++;
    }
    if (w->story_count == w->story_room) {
        w->story_room = w->story_room ? w->story_room * 2 : 256;
        w->stories = must_realloc(w->stories, w->story_room * sizeof *w->stories);
    }
    uint64_t ticket = ++w->story_count, no = ++n->counter;
    struct purge_story *story = &w->stories[ticket - 1];
    *story = (struct purge_story){.name = name,
                                  .version = name < NAMES ? w->version[name] : 0,
                                  .at = index,
                                  .at_us = w->now_us,
                                  .done_us = -1};
    w->purges++;
    cluster_recent_add_unnumbered(n->recent, no, no, w->now_us);
    put_in_effect(n, &p, no);
    if (cluster_sync_accept(n->sync, &p, no, 0, w->now_us, wall_s(w), ticket, &story->id) !=
        ERR_OK)
        w->not_here++;
    settle(n);
}

void fleet_typed(struct fleet *w, uint32_t name)
{
    char text[16];
    (void)snprintf(text, sizeof text, "/t%u", name);
    w->version[name]++;
    if (w->gossip) {
        fire_soon(w, below(w, w->conf.nodes), true, span_text(text));
        return;
    }
    spread_event(w, w->conf.nodes, true, w->version[name], span_text(text));
}

static void fetch_from_origin(struct node *n, uint32_t name)
{
    n->pages[name] = (struct page){true, n->fleet->version[name], n->counter};
}

void fleet_get(struct fleet *w, uint32_t index, uint32_t name)
{
    struct node *n = &w->nodes[index];
    if (!n->up || n->frozen)
        return;
    w->served++;
    if (is_fresh(n, name)) {
        w->hits++;
        if (n->pages[name].version < w->acked[name] && !n->forgotten)
            violation(w, n, "served what was purged everywhere");
        return;
    }
    uint32_t peer = below(w, w->conf.nodes);
    if (peer == index || below(w, 2) || n->cautious) {
        fetch_from_origin(n, name);
        return;
    }
    struct fetch *f = must_alloc(sizeof *f);
    *f = (struct fetch){.from_start = n->starts, .name = name, .fill_no = n->counter};
    buf_init(&f->vector, 0);
    (void)agenda_add(&w->agenda, (struct event){.at_us = w->now_us + delay(w),
                                                .kind = PEER_READ,
                                                .node = peer,
                                                .from = index,
                                                .bytes = (char *)f});
}

static void peer_reads(struct fleet *w, struct node *peer, uint32_t asker, struct fetch *f)
{
    f->has = peer->up && !peer->frozen && is_fresh(peer, f->name);
    if (f->has) {
        f->version = peer->pages[f->name].version;
        (void)cluster_sync_vector(peer->sync, &f->vector);
    }
    add(w, PEER_CAME, asker, w->now_us + delay(w), f);
}

/* The requester's rule (docs/purge.md, "Peer answers"). */
static void peer_came(struct fleet *w, struct node *n, struct fetch *f)
{
    if (f->has && n->up && n->starts == f->from_start) {
        uint64_t unknown =
            cluster_recent_oldest_unknown_to(n->recent, buf_span(&f->vector), w->now_us);
        bool named = n->hard_no[f->name] >= unknown || n->all_no >= unknown;
        bool taken =
            unknown == CLUSTER_RECENT_ALL || (unknown != CLUSTER_RECENT_UNKNOWN && !named);
        w->from_peers += taken;
        w->peers_refused += !taken;
        if (taken)
            n->pages[f->name] = (struct page){true, f->version, f->fill_no};
    }
    buf_fini(&f->vector);
    free(f);
}

/* --- gossip --- */

static void look_at(struct fleet *w, struct node *n, uint32_t other)
{
    struct view *v = &n->views[other];
    bool both =
        reaches(w, n->index, other) && reaches(w, other, n->index) && !w->nodes[other].frozen;
    uint8_t is = both ? CLUSTER_SYNC_LIVE : CLUSTER_SYNC_FAILED;
    if (v->is != is) {
        v->is = is;
        v->change_us = w->now_us + (is == CLUSTER_SYNC_LIVE ? between(w, 100 * MS, SECOND)
                                                            : between(w, SECOND, 3 * SECOND));
    }
    if (v->told == is || v->change_us > w->now_us)
        return;
    v->told = is;
    cluster_sync_member(n->sync, span_text(w->nodes[other].id), (enum cluster_sync_state)is,
                        true, w->now_us);
}

static void gossip(struct fleet *w, struct node *n)
{
    bool any = false;
    for (uint32_t i = 0; i < w->conf.nodes; i++) {
        if (i == n->index)
            continue;
        look_at(w, n, i);
        any = any || n->views[i].is == CLUSTER_SYNC_LIVE;
    }
    cluster_sync_seeds_silent(n->sync, !any, w->now_us);
    settle(n);
    add(w, GOSSIP, n->index, w->now_us + GOSSIP_EVERY_US, (void *)(uintptr_t)n->starts);
}

/* --- time --- */

static void answered(struct fleet *w, struct node *n, struct rpc *r, enum err err)
{
    if (r->done)
        return;
    r->done = true;
    if (!n->up || n->starts != r->from_start)
        return;
    cluster_sync_answered(n->sync, r->number, err, span_of(r->body, err ? 0 : r->len),
                          w->now_us, wall_s(w));
    settle(n);
}

static void disk_ends(struct fleet *w, struct node *n)
{
    bool bad = n->disk_bad_until_us > w->now_us;
    if (!bad)
        disk_commit(&n->disk);
    disk_told(&n->disk, n->log, bad ? n->disk_err : ERR_OK);
    cluster_sync_synced(n->sync, w->now_us);
    settle(n);
}

static bool is_of_this_start(const struct node *n, const struct event *e)
{
    return n->up && (uintptr_t)(void *)e->bytes == n->starts;
}

static void happen(struct fleet *w, struct event *e)
{
    struct node *n = &w->nodes[e->node];
    if (n->frozen && n->up && e->kind != DEADLINE && e->kind != PEER_READ) {
        e->at_us = w->now_us + 10 * MS; /* nothing moves there */
        agenda_put_back(&w->agenda, *e);
        return;
    }
    switch (e->kind) {
    case ASKED: {
        struct rpc *r = (struct rpc *)(void *)e->bytes;
        if (!n->up || r->done)
            break;
        cluster_sync_asked(n->sync, span_text(w->nodes[r->from].id), (uint64_t)(uintptr_t)r,
                           span_of(r->body, r->len), w->now_us, wall_s(w));
        settle(n);
        break;
    }
    case ANSWERED:
        answered(w, n, (struct rpc *)(void *)e->bytes, ERR_OK);
        break;
    case DEADLINE:
        answered(w, n, (struct rpc *)(void *)e->bytes, ERR_TIMEOUT);
        break;
    case TIMER:
        if (!is_of_this_start(n, e) || n->timer_us > e->at_us)
            break;
        n->timer_us = INT64_MAX;
        cluster_sync_tick(n->sync, w->now_us, wall_s(w));
        settle(n);
        break;
    case DISK:
        if (is_of_this_start(n, e))
            disk_ends(w, n);
        break;
    case GOSSIP:
        if (is_of_this_start(n, e))
            gossip(w, n);
        break;
    case EVENT: {
        struct event_bytes *x = (struct event_bytes *)(void *)e->bytes;
        if (n->up) {
            cluster_sync_event(
                n->sync, x->typed ? SPAN(CLUSTER_SYNC_TYPED) : SPAN(CLUSTER_SYNC_EVENT),
                span_of(x->bytes, x->len), x->ltime, false, w->now_us, wall_s(w));
            settle(n);
        }
        free(x);
        break;
    }
    case PEER_READ:
        peer_reads(w, n, e->from, (struct fetch *)(void *)e->bytes);
        break;
    default:
        peer_came(w, n, (struct fetch *)(void *)e->bytes);
    }
}

static void run_gossip(struct fleet *w, int64_t for_us)
{
    fire_all(w, false);
    for (uint32_t i = 0; i < w->conf.nodes; i++) {
        if (w->nodes[i].frozen)
            gossip_hold(w->gossip, i, for_us);
    }
    gossip_run(w->gossip, for_us);
}

static void run_agenda(struct fleet *w, int64_t until)
{
    while (w->agenda.count > 0 && w->agenda.heap[0].at_us <= until) {
        struct event e = agenda_take(&w->agenda);
        if (e.at_us > w->now_us)
            w->now_us = e.at_us;
        happen(w, &e);
    }
    w->now_us = until;
}

void fleet_run(struct fleet *w, int64_t for_us)
{
    for (int64_t until = w->now_us + for_us; w->now_us < until;) {
        int64_t step_us = until - w->now_us;
        if (w->gossip && step_us > STEP_US)
            step_us = STEP_US;
        if (w->gossip)
            run_gossip(w, step_us);
        run_agenda(w, w->now_us + step_us);
    }
}

/* --- how things stand --- */

bool fleet_is_equal(struct fleet *w)
{
    struct cluster_vector first = {0}, v = {0};
    bool equal = true, any = false;
    for (uint32_t i = 0; i < w->conf.nodes; i++) {
        if (!w->nodes[i].up)
            continue;
        cluster_purge_log_vector(w->nodes[i].log, any ? &v : &first);
        equal = equal && (!any || cluster_vector_equal(&first, &v));
        any = true;
    }
    cluster_vector_fini(&first);
    cluster_vector_fini(&v);
    return equal;
}

bool fleet_is_whole(struct fleet *w)
{
    for (uint32_t i = 0; i < w->conf.nodes; i++) {
        const struct node *n = &w->nodes[i];
        for (uint32_t k = 0; n->up && k < w->story_count; k++) {
            const struct purge_story *p = &w->stories[k];
            bool durable =
                p->id.stream && disk_synced(&w->nodes[p->at].disk, p->id.stream) >= p->id.seq;
            if (!durable || p->name >= NAMES || !is_fresh(n, p->name))
                continue;
            if (n->pages[p->name].version < p->version)
                return false;
        }
    }
    return true;
}
