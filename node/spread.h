/* node/spread.h - purges between the machine (node/purges.h), connections and gossip.
 *
 * What purges want sent goes to the node's address as gossip has it (node/peers_ev.h) or out
 * as a user event; what comes back goes to purges.
 *
 * Thread: control. Owns: n->peers.
 */
#pragma once

#include "node/node.h"

/* For node_purges_conf, with the node as `user`. */
extern const struct node_purges_peers node_spread;
/* The setup in force first, then those that workers may still have. */
uint32_t node_spread_confs(void *node, const struct conf **out, uint32_t max);

/* For the cache's sweep: the setup in force, unless workers may have another (NULL). */
const struct conf *node_spread_conf_hold(void *node);
void node_spread_conf_drop(void *node);

/* For cache_conf, with the node as `user`: others hear of it, at most NODE_SPREAD_TOLD of them
 * wait for control at a time (more are in effect here alone). Any thread. */
void node_spread_invalidated(void *node, const struct purge *p, uint64_t apply_no);
#define NODE_SPREAD_TOLD 256u

void node_spread_open(struct node *n);   /* n->peers, when there is a cluster */
void node_spread_reload(struct node *n); /* another setup is in force */
/* Gossip and purges forget it, whichever knows it. ERR_NOT_FOUND: neither; ERR_REFUSED: it is
 * alive. */
NODISCARD enum err node_spread_forget(struct node *n, struct span id);
