/* cache/store/order.h - what one order does inside a transaction of the writer.
 *
 * Nothing here begins, commits or remembers over a failure: a step that fails is thrown away
 * and its orders may be applied again, in order. What must not happen twice (hashing the body,
 * checking its sequence) is in _prepare.
 *
 * Units: cost and budget in pages that the transaction will give free, as estimated.
 * Thread: the writer.
 * Errors: of the order in job->err; of the transaction in step->txn.err.
 */
#pragma once

#include <stdatomic.h>

#include "cache/store/guard.h"
#include "cache/store/store.h"

enum store_verb {
    STORE_VERB_PUT,
    STORE_VERB_REWRITE,
    STORE_VERB_REMOVE,
    STORE_VERB_REMOVE_DAMAGED, /* a struct store_remove: only if its record does not decode */
    STORE_VERB_DROP,
    STORE_VERB_READ,
    STORE_VERB_LOAD,
};

/* Bodies whose chunks still go; each has a pending record. */
struct store_gone {
    uint64_t *body_id;
    size_t count, room;
};

struct store_step {
    struct lmdb_txn txn;
    struct store_guard *guard;
    struct store_gone *gone; /* new ones are appended */
    atomic_ullong *next_id;
    uint64_t tail; /* no chunk key is above it */
    uint64_t cost, budget;
    uint64_t era;
    uint8_t *far;   /* STORE_FAR_MAX bytes */
    uint8_t *chunk; /* one chunk */
};

void store_gone_push(struct store_gone *g, uint64_t body_id);

/* Once per order, in order. */
void store_order_prepare(struct store_job *job, uint64_t era, size_t chunk_bytes);
void store_order_apply(struct store_step *x, struct store_job *job);
/* The order will not be done: its body cannot be completed any more. */
void store_order_fail(struct store_job *job, enum err err);
/* What it takes of the map, about. */
uint64_t store_order_room_bytes(const struct store_job *job, size_t page_bytes);
uint64_t store_order_bytes(const struct store_job *job);

/* Takes a record away if it has that body (any body: 0), its bodies too. Was it there? */
bool store_order_erase(struct store_step *x, struct hash128 key, uint64_t body_id);
/* Takes the reps from rep[1] on with a body id below `below_id` out of a record that has that
 * body, and deletes their bodies. Were there any? */
bool store_order_strip(struct store_step *x, struct hash128 key, uint64_t body_id,
                       uint64_t below_id);
/* Deletes chunks while the budget lasts. True: none is left, nor the pending record. */
bool store_order_delete_body(struct store_step *x, uint64_t body_id);
