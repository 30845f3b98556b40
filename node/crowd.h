/* node/crowd.h - what the workers know of other nodes: whom to ask, and what to tell them.
 *
 * Ten times a second control looks whether gossip says something new (of loads, once a second),
 * and hands every worker a snapshot of it (origin/peers.h, front/front.h). A node that drains,
 * or that cannot be asked, is not among them. The purge log's vector goes to them at once: what
 * it covers is in effect here, and who knows a purge may take only what knows it, too.
 *
 * Thread: control.
 */
#pragma once

#include "node/node.h"

void node_crowd_tick(struct node *n);
void node_crowd_vector(void *node);    /* the log's vector is another one: told at once */
void node_crowd_close(struct node *n); /* before the purges are closed */
