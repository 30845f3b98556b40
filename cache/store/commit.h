/* cache/store/commit.h - one batch of the writer, and the ladder for a full map.
 *
 * A batch is applied in one transaction or, where that would be too large, in several: at most
 * 8 MiB (2 MiB once the file has reached the map's end), 512 orders and 480 freed pages, the
 * three bounds under which LMDB allocates single pages only. Before orders that need room, the
 * transaction deletes what the index gives up, until used pages stay below 90 % of the map, or
 * of what the file can become on a disk that has less room.
 *
 * The ladder, when a transaction fails: a full map waits up to 1 s for those who read, since
 * what they hold cannot be used again; then eviction down to 85 %, two commits for the freed
 * pages to become usable, and a quarter of the batch. The third failure in a row, or a damaged
 * file, empties the store; an environment that failed inside a commit is reopened. Either way,
 * and when somebody reads on, the rest of the batch is "not stored".
 *
 * Thread: the writer; figures by any.
 * Limits: STORE_BATCH_ORDERS in a batch, STORE_VICTIMS asked for at a time.
 */
#pragma once

#include "cache/store/order.h"
#include "cache/store/slice.h"

#define STORE_BATCH_BYTES (8u << 20)
#define STORE_BATCH_BYTES_FULL (2u << 20)
#define STORE_BATCH_ORDERS 512
#define STORE_FREED_MAX 480
#define STORE_VICTIMS 128

struct store_commit_figures {
    atomic_ullong commits, stored, stored_bytes, not_stored, evicted, map_full, errors;
    atomic_ullong freed_most, last_batch_ms, deleting;
};

struct store_commit {
    struct store_guard *guard;
    struct store_slices *slices;
    unsigned (*choose)(void *context, struct store_victim *out, unsigned max, uint64_t pages);
    void *context;
    /* Replaces the environment (empty with `wipe`) and calls store_commit_ready. */
    bool (*reopen)(struct store_commit *c, bool wipe);
    /* Sends an order home. */
    void (*end)(struct store_commit *c, struct store_job *job);

    struct store_job *job[STORE_BATCH_ORDERS]; /* the batch */
    unsigned count;
    uint64_t bytes;
    struct store_victim victim[STORE_VICTIMS]; /* given up by the index, still on disk */
    unsigned victim_count;
    uint64_t victim_below_id; /* forms with such a body id were there when they were chosen */
    bool nothing_to_choose;   /* at the last asking */
    struct store_gone gone;
    atomic_ullong next_id, era;
    uint64_t stored_id;      /* next_id as in sys: all ids on disk are below it */
    uint64_t tail;           /* no chunk key is above it */
    uint64_t ceiling_pages;  /* the file could not grow beyond; 0: nothing is known */
    uint64_t room_pages;     /* what the file may have now */
    unsigned failures;       /* in a row */
    uint64_t cost_scale;     /* pages really freed per 1000 estimated */
    uint64_t reader_wait_ms; /* how long a full map waits for those who read */
    uint8_t *far, *chunk;
    struct store_commit_figures figures;
};

void store_commit_init(struct store_commit *c);
void store_commit_fini(struct store_commit *c);
/* The environment is new: `emptied`, or as found at start (bodies without record are queued
 * for deletion), or the same as before. */
enum store_commit_ready { STORE_READY_START, STORE_READY_EMPTIED, STORE_READY_SAME };
NODISCARD enum err store_commit_ready(struct store_commit *c, enum store_commit_ready how);
/* There must be room: count < STORE_BATCH_ORDERS. */
void store_commit_add(struct store_commit *c, struct store_job *job);
bool store_commit_full(const struct store_commit *c);
/* Commits the batch and ends its orders; without orders: one step of deleting. */
void store_commit_run(struct store_commit *c);
bool store_commit_busy(const struct store_commit *c); /* is there more to delete? */
/* Looks whether a full disk has room again. */
void store_commit_tick(struct store_commit *c);
/* Pure: how many pages the file may have, of the map's, on a disk of that size with so many
 * bytes free; some are left to others. */
uint64_t store_commit_room_pages(const struct lmdb_pages *p, uint64_t disk_bytes,
                                 uint64_t free_bytes);
