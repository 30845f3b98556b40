/* node/drain.h - which step of stopping comes next.
 *
 *   SERVING -> ANNOUNCED -> FINISHING -> CUTTING -> OVER
 *      |           |                      ^   |
 *      +-----------+---- in a hurry ------+   +-> STUCK
 *
 * ANNOUNCED: health says 503, answers carry Connection: close or GOAWAY, new connections are
 * still served: load balancers notice. FINISHING: listening ends, what runs is finished.
 * CUTTING: whatever is left is closed; the threads end. STUCK: one of them does not.
 *
 * Pure. Units: *_ms monotonic. Thread: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What runs gets this long, or limits.drain when longer. Container engines kill 10 s after they
 * asked, and closing takes a moment. */
#define NODE_DRAIN_FINISH_MS 8000
#define NODE_DRAIN_CUT_MS 10000 /* a thread that has not ended by then never will */

enum node_drain_step {
    NODE_SERVING,
    NODE_ANNOUNCED,
    NODE_FINISHING,
    NODE_CUTTING,
    NODE_OVER,
    NODE_STUCK,
};
struct node_drain { /* zeroed: serving */
    enum node_drain_step step;
    int64_t since_ms;  /* when the step began */
    uint32_t serve_ms; /* limits.drain, as it was when the stop was asked for */
};
struct node_drain_seen {
    int64_t now_ms;
    bool asked; /* to stop */
    bool hurry; /* without waiting for anything */
    bool idle;  /* no connection is left, and none can come */
    bool ended; /* no thread is left */
};

enum node_drain_step node_drain_next(const struct node_drain *d,
                                     const struct node_drain_seen *s);
/* Goes there; from and to must be an arrow of the drawing. */
void node_drain_go(struct node_drain *d, enum node_drain_step to, int64_t now_ms);
const char *node_drain_text(enum node_drain_step step);
