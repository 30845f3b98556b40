/* node/reload.h - a new setup beside the old one: swap or keep.
 *
 * SIGHUP builds in a thread of its own; POST /v1/reload, whose answer says how it went, builds
 * in control. Then: bind what is new, open the access log again, read the tokens, swap, hand
 * over to the workers. Any fault: the old one stays in force, and every line of the list is
 * logged. A reload reads and binds with the rights that are left (node/rights.h).
 *
 * Thread: control. Owns: see struct node_reload.
 * Limits: NODE_RELOAD_SWAPS setups on their way to the workers.
 */
#pragma once

#include "node/node.h"

#define NODE_RELOAD_SWAPS 7

void node_reload_open(struct node *n);  /* the builder's thread */
void node_reload_close(struct node *n); /* waits for it; from outside a letter */
void node_reload_begin(struct node *n); /* SIGHUP */
NODISCARD enum err node_reload_now(struct node *n, struct conf_faults *faults);
/* n->setup, which is new, to every worker. `leaving` (taken, NULL at start) and `log` (taken,
 * NULL: none) are let go when all have it. */
void node_reload_hand_over(struct node *n, struct setup *leaving, struct front_log_sink *log);
