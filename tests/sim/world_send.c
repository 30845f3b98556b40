#include "tests/sim/world_core.h"

#include <stdlib.h>

#define RESEND_US INT64_C(200000) /* a stream's segment that was lost comes so much later */
#define CONNECT_AGAIN_US WORLD_SECOND
#define TRIES 32u /* then it is lost for good */

struct addr world_addr_of(uint32_t node, uint8_t home)
{
    return (struct addr){
        .family = ADDR_V4,
        .ip = {(uint8_t)(10 + home), (uint8_t)(node >> 16), (uint8_t)(node >> 8),
               (uint8_t)node},
        .port = 7946,
    };
}

static uint32_t node_of(const struct addr *a)
{
    return (uint32_t)a->ip[1] << 16 | (uint32_t)a->ip[2] << 8 | a->ip[3];
}

static uint8_t home_of(const struct addr *a)
{
    return (uint8_t)(a->ip[0] - 10);
}

/* When something sent now arrives; what a blocked node sends leaves when it goes on. */
static int64_t arrival_us(struct world *w, uint32_t from, uint32_t to)
{
    int64_t leaves_us = w->node[from].paused_until_us;
    return net_delay_us(w->net, from, to) + (leaves_us > w->now_us ? leaves_us : w->now_us);
}

static void send_packet(struct world *w, uint32_t from, const struct cluster_swim_output *o)
{
    uint32_t to = node_of(&o->to);
    if (!net_reaches(w->net, from, to))
        return;
    for (unsigned copies = 1 + net_doubles(w->net); copies > 0; copies--) {
        if (net_loses(w->net, from, to, w->now_us))
            continue;
        agenda_add(&w->agenda, (struct event){.at_us = arrival_us(w, from, to),
                                              .kind = EVENT_PACKET,
                                              .node = to,
                                              .home = home_of(&o->to),
                                              .from = from,
                                              .from_home = w->node[from].home,
                                              .bytes = span_dup(o->bytes),
                                              .len = (uint32_t)o->bytes.len});
    }
}

void world_pipe_release(struct pipe *p)
{
    if (--p->holders == 0)
        free(p);
}

void world_pipe_keep(struct node *n, struct pipe *p)
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
void world_pipe_drop(struct world *w, struct pipe *p, unsigned side)
{
    struct node *n = &w->node[p->node[side]];
    p->number[side] = 0;
    for (unsigned i = 0; i < n->pipes; i++) {
        if (n->pipe[i] == p) {
            n->pipe[i] = n->pipe[--n->pipes];
            world_pipe_release(p);
            return;
        }
    }
}

/* To the other side of a stream. What is cut off never arrives, and one direction does not work
 * without the other; what is lost comes later. */
void world_pipe_send(struct world *w, struct event e, unsigned to, struct span bytes)
{
    struct pipe *p = e.pipe;
    uint32_t from = p->node[!to];
    e.node = p->node[to];
    if (!net_reaches(w->net, from, e.node) || !net_reaches(w->net, e.node, from))
        return;
    e.at_us = arrival_us(w, from, e.node);
    for (unsigned tries = 0; net_loses(w->net, from, e.node, e.at_us); tries++) {
        if (tries == TRIES)
            return;
        e.at_us += e.kind == EVENT_CONNECT ? CONNECT_AGAIN_US : RESEND_US;
    }
    if (e.at_us < p->last_us[to])
        e.at_us = p->last_us[to];
    p->last_us[to] = e.at_us;
    p->holders++;
    e.bytes = span_dup(bytes);
    e.len = (uint32_t)bytes.len;
    agenda_add(&w->agenda, e);
}

static void open_pipe(struct world *w, uint32_t from, const struct cluster_swim_output *o)
{
    struct pipe *p = must_alloc(sizeof(*p));
    *p = (struct pipe){.node = {from, node_of(&o->to)}, .number = {o->stream, 0}};
    world_pipe_keep(&w->node[from], p);
    world_pipe_send(w,
                    (struct event){.kind = EVENT_CONNECT, .pipe = p, .home = home_of(&o->to)},
                    1, o->bytes);
}

void world_send_all(struct world *w, uint32_t node)
{
    struct cluster_swim_output o;
    unsigned side;
    while (cluster_next(w->node[node].cluster, &o)) {
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
                world_pipe_send(w, (struct event){.kind = EVENT_BYTES, .pipe = p}, !side,
                                o.bytes);
            break;
        case CLUSTER_SWIM_STREAM_CLOSE:
            if ((p = find_pipe(w, node, o.stream, &side))) {
                world_pipe_send(w, (struct event){.kind = EVENT_END, .pipe = p}, !side,
                                o.bytes);
                world_pipe_drop(w, p, side);
            }
            break;
        }
    }
}
