/* node/front/front.h - what one loop lends to the sessions and exchanges on it.
 *
 * A worker has one, and control has one for the admin listener (without links and cache).
 *
 * Thread: its loop's. Owns: counts as said; filled in by node/worker_ev.c and control_ev.c.
 */
#pragma once

#include "cache/policy/encoding.h"
#include "node/io/link_ev.h"
#include "node/origin/fetch.h"
#include "node/setup/setup.h"

struct cache;
struct cluster_recent;
struct front_desk;
struct front_exchange;
struct front_log;
struct front_session;

struct front {
    struct io_loop *loop;
    struct io_links *links; /* NULL in control */
    struct cache *cache;    /* NULL in control */
    struct setup *setup;   /* held; new exchanges begin under it; swapped by the loop's owner */
    struct front_log *log; /* NULL: no access log */
    const struct front_desk *desk; /* where control answers (ask.h) */
    struct origin_peers *peers;  /* held; NULL: no other nodes; swapped by control's letters */
    struct front_vector *vector; /* likewise: what this node tells others with answers */
    struct cluster_recent *recent; /* purges that others may not know; NULL: no cluster */
    uint64_t recode_turn; /* the loop's, of recode_us: spent on bodies that are encoded or
                           * decoded as they are sent */
    int64_t recode_us;
    struct policy_accept_memo accept_memo; /* of this loop's last Accept-Encoding */
    uint64_t request_id;                   /* the next one; random at start, counted up */
    uint32_t connections_max; /* of this loop; over it new ones are closed at once */
    bool draining;            /* answers carry Connection: close, new connections too */

    struct origin_fetches fetches;
    struct front_session *sessions; /* all of this loop */
    uint32_t session_count;
    struct letter_stack asks;              /* for control, when this turn is over */
    struct io_task asks_task;              /* that */
    uint32_t asks_out;                     /* asks that control has not sent home yet */
    struct front_exchange *idle_exchanges; /* kept for reuse */
    uint32_t idle_count;
    uint32_t exchange_count; /* in use, also those that only wait for a letter */
};

/* This node's version vector of purges, as its answers to other nodes carry it; what it covers
 * was in effect before it was published. */
struct front_vector {
    struct snapshot snapshot;
    size_t len;
    char base64[];
};
struct front_vector *front_vector_create(struct span bytes); /* owned; NULL: too long to tell */
void front_vector_drop(struct front_vector *v);              /* NULL ok */

/* No session, fetch, ask or letter is left: its loop may end. */
bool front_is_empty(const struct front *f);
void front_fini(struct front *f); /* empty; frees what was kept for reuse */
