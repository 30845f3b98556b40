/* node/seeds_ev.h - whom to join: the seeds of the configuration, until each has answered.
 *
 * A seed's name is looked up anew for each try, and all its addresses are joined but our own.
 * A seed that did not answer is tried again, later and later. A node that finds itself alone
 * begins again with all of them: what is cut off for long is forgotten by the others.
 *
 * Units: *_ms monotonic. Thread: control.
 * Limits: NODE_SEEDS_MAX seeds; 16 addresses each (io/resolve_ev.h).
 */
#pragma once

#include "conf/conf.h"
#include "node/io/loop_ev.h"

#define NODE_SEEDS_MAX 64
#define NODE_SEEDS_FIRST_MS 1000 /* until the second try; doubled each time */
#define NODE_SEEDS_LAST_MS 30000
#define NODE_SEEDS_ALONE_MS 60000 /* alone for so long: all again */

struct node_seeds;
struct node_seeds *node_seeds_create(struct io_loop *loop, const struct addr *own,
                                     void (*join)(void *user, const struct addr *seed),
                                     void *user); /* owned */
void node_seeds_destroy(struct node_seeds *s);    /* NULL ok */
/* Those of a configuration, in place of all before; one that stays keeps its state. */
void node_seeds_set(struct node_seeds *s, const struct conf_cluster *c);
/* A join is over. */
void node_seeds_done(struct node_seeds *s, const struct addr *seed, enum err result);
/* Now and then: is there anybody else? */
void node_seeds_tick(struct node_seeds *s, bool alone, int64_t now_ms);
/* Has each answered, or failed to at least once? */
bool node_seeds_tried(const struct node_seeds *s);
unsigned node_seeds_left(const struct node_seeds *s); /* that have not answered */
