#include "node/crowd.h"

#include <stdlib.h>

#include "node/io/loop_ev.h"
#include "node/worker_ev.h"

#define LOADS_MS 1000 /* how often they are noted */

struct looking { /* over the members */
    const struct conf *conf;
    struct origin_peer_told *told;
    uint32_t count, room;
};

static bool may_be_asked(const struct cluster_node *n)
{
    if (n->status != CLUSTER_STATUS_ALIVE || !span_equal(n->tags.id, n->name) ||
        n->tags.drain || (n->has_health && n->health.drain))
        return false;
    return n->me || n->tags.peer.family != ADDR_NONE;
}

static bool see(void *user, const struct cluster_node *n)
{
    struct looking *l = user;
    struct span shield = span_text(l->conf->cluster.shield);
    if (!may_be_asked(n))
        return true;
    if (l->count == l->room) {
        l->room = l->room ? 2 * l->room : 16;
        l->told = realloc(l->told, l->room * sizeof *l->told);
        must(l->told);
    }
    l->told[l->count++] = (struct origin_peer_told){
        .id = n->name,
        .address = n->tags.peer,
        .capacity = n->tags.capacity,
        .load = n->has_health ? n->health.load : 0,
        .me = n->me,
        .near = span_equal(n->tags.region, span_text(l->conf->node.region)),
        .shield = shield.len && span_equal(n->tags.region, shield)};
    return true;
}

static int by_id(const void *a_, const void *b_)
{
    const struct origin_peer_told *a = a_, *b = b_;
    size_t len = a->id.len < b->id.len ? a->id.len : b->id.len;
    int order = memcmp(a->id.ptr, b->id.ptr, len);
    return order ? order : (a->id.len > b->id.len) - (a->id.len < b->id.len);
}

/* True: others than before. */
static bool look_around(struct node *n)
{
    struct looking l = {.conf = n->setup->conf};
    cluster_nodes_walk(node_member_core(n->member), see, &l);
    if (l.count)
        qsort(l.told, l.count, sizeof *l.told, by_id);
    bool changed = !origin_peers_are(n->crowd.peers, l.told, l.count);
    if (changed) {
        struct origin_peers *old = n->crowd.peers;
        n->crowd.peers = origin_peers_create(old, l.told, l.count);
        origin_peers_drop(old);
    } else {
        origin_peers_note(n->crowd.peers, l.told, l.count);
    }
    free(l.told);
    return changed;
}

static bool read_vector(struct node *n)
{
    struct buf bytes;
    buf_init(&bytes, 0);
    uint64_t serial = node_purges_vector(n->purges, &bytes);
    bool changed = !n->crowd.told || serial != n->crowd.vector_serial;
    if (changed) {
        front_vector_drop(n->crowd.vector);
        n->crowd.vector = front_vector_create(buf_span(&bytes));
        n->crowd.vector_serial = serial;
    }
    buf_fini(&bytes);
    return changed;
}

static void tell(struct node *n)
{
    n->crowd.told = true;
    for (uint32_t i = 0; i < n->workers_started; i++)
        node_worker_meet(n->workers[i], n->crowd.peers, n->crowd.vector);
}

/* A walk over thousands of members is not for every tick. */
static bool is_time(struct node *n)
{
    uint64_t view = cluster_view(node_member_core(n->member));
    if (n->crowd.told && view == n->crowd.view && n->setup == n->crowd.setup &&
        n->loop->now_ms - n->crowd.looked_ms < LOADS_MS)
        return false;
    n->crowd.view = view;
    n->crowd.setup = n->setup;
    n->crowd.looked_ms = n->loop->now_ms;
    return true;
}

void node_crowd_tick(struct node *n)
{
    if (!n->member || !n->workers_started)
        return;
    bool peers = is_time(n) && look_around(n), vector = read_vector(n);
    if (peers || vector || !n->crowd.told)
        tell(n);
}

void node_crowd_vector(void *node)
{
    struct node *n = node;
    if (n->member && n->crowd.told && read_vector(n))
        tell(n);
}

void node_crowd_close(struct node *n)
{
    origin_peers_drop(n->crowd.peers);
    front_vector_drop(n->crowd.vector);
    n->crowd = (struct node_crowd){0};
}
