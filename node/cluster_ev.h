/* node/cluster_ev.h - runs the cluster core: its datagrams, streams and timer.
 *
 * Takes no decision: what comes goes into the core, what the core says is done. One turn of the
 * loop reads at most NODE_CLUSTER_BURST datagrams, so that a flood cannot hold up what else
 * control does; what the kernel cannot keep meanwhile is lost, as datagrams are.
 *
 * Thread: control. Owns: the sockets and the core.
 * Errors: faults with the place of cluster.listen.
 */
#pragma once

#include "cluster/cluster.h"
#include "conf/conf.h"
#include "node/io/loop_ev.h"

#define NODE_CLUSTER_BURST 64
#define NODE_CLUSTER_RECEIVE_BYTES (2 << 20) /* asked of the kernel */

struct node_cluster_ports {
    int udp_fd, tcp_fd; /* -1: none */
};

/* Before rights are dropped. ERR_SYS: told, and nothing stays bound. */
NODISCARD enum err node_cluster_bind(const struct conf_cluster *c,
                                     struct node_cluster_ports *out,
                                     struct conf_faults *faults);
void node_cluster_unbind(struct node_cluster_ports *p); /* what nobody took */
/* The address that others should dial: as configured, or as bound, or (bound to every address)
 * where this machine's route outwards begins. */
void node_cluster_advertised(const struct conf_cluster *c, struct addr *out);

struct node_cluster;
/* Takes the ports. NULL: the core refuses `conf` (they are closed then, too). */
struct node_cluster *node_cluster_open(struct io_loop *loop, struct node_cluster_ports *ports,
                                       const struct cluster_conf *conf,
                                       const struct cluster_news *news);
void node_cluster_close(struct node_cluster *c); /* NULL ok */
struct cluster *node_cluster_core(struct node_cluster *c);
/* After calls on the core: what it wants is done before the loop sleeps. */
void node_cluster_settle(struct node_cluster *c);
uint64_t node_cluster_unsent(const struct node_cluster *c); /* datagrams the system refused */
