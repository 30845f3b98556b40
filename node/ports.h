/* node/ports.h - the listening sockets that one configuration wants, for all workers.
 *
 * One socket per worker and address (node/io/listen_ev.h). At start they are bound before
 * rights are dropped; at a reload only what is new is bound, and an address that stays keeps
 * its sockets, which the workers have. A worker owns what it has taken.
 *
 * Thread: control. Owns: descriptors that no worker has taken.
 * Errors: each address that cannot be had is a fault with its place.
 */
#pragma once

#include "conf/conf.h"

struct node_port { /* one listener's, in the order of setup->listeners */
    uint64_t id;   /* the same as long as the sockets are */
    struct addr address;
    int *fds; /* one per worker, -1 once taken; NULL: the workers have them already */
};
struct node_ports {
    struct node_port *at;
    uint32_t count, workers;
    uint64_t next_id;
};

/* `old`: what is in force, NULL at start. `out_admin_fd` (NULL at a reload): the admin
 * listener's socket, -1 without one. NULL: faults tell, nothing stays bound. Owned. */
struct node_ports *node_ports_open(const struct node_ports *old, const struct conf *conf,
                                   uint32_t workers, int *out_admin_fd,
                                   struct conf_faults *faults);
/* The worker's socket of that listener, owned; -1: the worker has it. */
int node_ports_take(struct node_ports *p, uint32_t listener, uint32_t worker);
void node_ports_close(struct node_ports *p); /* what nobody took; NULL ok */
