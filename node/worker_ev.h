/* node/worker_ev.h - a worker thread and all that it owns.
 *
 * A loop with its resolver, its connections to origins, its front and its listeners. Control
 * tells it by letters what to do: take a setup, announce the end, stop listening, end.
 *
 * Thread: control calls all of this; a worker answers by letters to control's mailbox.
 * Owns: the sockets it was given; a count on its setup.
 */
#pragma once

#include "node/front/access_log.h"
#include "node/front/front.h"

struct node_worker;
struct node_worker_conf {
    uint32_t index;
    struct cache *cache;
    const struct front_desk *desk;
    struct cluster_recent *recent; /* NULL: no cluster */
    struct letter_mailbox *home;   /* control's */
    void (*ended)(void *user);     /* in control: the thread is about to end */
    void *user;
};
struct node_worker *node_worker_create(const struct node_worker_conf *conf); /* no thread yet */
NODISCARD enum err node_worker_start(struct node_worker *w); /* ERR_SYS, logged */

/* A setup for one worker, after its start; one after the other. */
struct node_handover_gate { /* one of setup->listeners */
    uint64_t port;          /* node/ports.h: its id */
    int fd;                 /* owned; -1: the worker has it already */
};
struct node_handover {
    struct letter letter;
    struct node_worker *worker;
    struct setup *setup; /* held for the worker */
    uint32_t connections_max;
    struct front_log_sink *log;             /* NULL: no access log */
    void (*taken)(struct node_handover *h); /* in control; frees it */
    void *user;
    struct node_handover_gate gates[];
};
/* What the new setup does not listen on any more is closed, after the last of its queue was
 * accepted. */
void node_worker_take(struct node_worker *w, struct node_handover *h);

/* Other nodes as they are from now on; both are counted. */
void node_worker_meet(struct node_worker *w, struct origin_peers *peers,
                      struct front_vector *vector);

/* The steps of node/drain.h; each once at most, in this order. */
void node_worker_announce(struct node_worker *w);
void node_worker_finish(struct node_worker *w); /* stops listening */
void node_worker_cut(struct node_worker *w);    /* then `ended` comes */

bool node_worker_is_idle(const struct node_worker *w); /* finished, and no connection is left */
/* Waits for the thread when it was started; after `ended`. NULL ok. */
void node_worker_join(struct node_worker *w);
/* After node_worker_join, and after the cache was closed: its letters may come until then. */
void node_worker_destroy(struct node_worker *w);
