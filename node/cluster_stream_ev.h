/* node/cluster_stream_ev.h - the gossip conversations by TCP that are open.
 *
 * The core numbers them and says when to connect, write and close; it has the time-outs. Only
 * what it has let go of is timed here: a peer that does not take its last bytes gets
 * NODE_CLUSTER_LINGER_MS.
 *
 * Thread: control. Owns: the sockets.
 * Limits: NODE_CLUSTER_STREAMS at once, NODE_CLUSTER_STREAMS_PEER of them begun from one
 *         address; over NODE_CLUSTER_STREAM_BYTES read by all of them, the one that brought
 *         most is cut: who has no key may send a lot before that shows. Over as many that they
 *         have to write, or too many streams, whoever takes longest to read its last bytes is.
 */
#pragma once

#include "cluster/cluster.h"
#include "node/io/loop_ev.h"

#define NODE_CLUSTER_STREAMS (2 * CLUSTER_SWIM_STREAMS) /* with those that linger */
#define NODE_CLUSTER_STREAMS_PEER 32
#define NODE_CLUSTER_STREAM_BYTES ((size_t)64 << 20)
#define NODE_CLUSTER_LINGER_MS 10000

struct node_cluster_stream;
struct node_cluster_streams {
    struct io_loop *loop;
    struct cluster *core;
    void (*told)(void *user); /* the core was told something: do what it wants */
    void *user;
    struct node_cluster_stream *first;
    unsigned count;
    size_t bytes; /* that they read */
};

void node_cluster_streams_init(struct node_cluster_streams *s, struct io_loop *loop,
                               struct cluster *core, void (*told)(void *user), void *user);
void node_cluster_streams_fini(struct node_cluster_streams *s);
void node_cluster_streams_tick(struct node_cluster_streams *s); /* ends what lingers */
/* Somebody connected; the descriptor is taken. */
void node_cluster_stream_accept(struct node_cluster_streams *s, int fd,
                                const struct addr *peer);
/* Any output but a datagram. The core may be told at once that it failed, without `told`. */
void node_cluster_stream_do(struct node_cluster_streams *s,
                            const struct cluster_swim_output *o);
