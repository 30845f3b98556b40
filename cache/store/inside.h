/* cache/store/inside.h - struct store, for store.c, writer.c and reader.c alone.
 *
 * Locks: urge_lock, taken alone; see also slice.h.
 */
#pragma once

#include <pthread.h>

#include "cache/store/commit.h"
#include "cache/store/guard.h"
#include "cache/store/slice.h"

struct store {
    struct store_conf conf;
    struct store_guard guard;
    struct store_slices slices;
    struct store_commit commit;
    struct letter_crew *writer, *readers;
    struct store_stamp found;
    atomic_int state; /* enum store_state */
    atomic_uint chunk_bytes, page_bytes;
    atomic_bool stopping;
    atomic_ullong queue_bytes, queue_jobs; /* posted to the writer and not ended */
    atomic_ullong corrupt, busy;

    /* Wakes the writer out of its wait for company. */
    pthread_mutex_t urge_lock;
    pthread_cond_t urge;
    atomic_bool waiting;

    /* Letters of the store's own to its writer; out: posted and not opened yet. */
    struct letter chore, tick;
    atomic_bool chore_out, tick_out;
    atomic_llong retry_at_ms; /* with STORE_OFF */
    int64_t retry_ms;
};

/* writer.c */
#define STORE_RETRY_MIN_MS 1000
void store_writer_post(struct store *s, struct store_job *job);
void store_writer_tick(struct store *s);
void store_writer_chores(struct store *s); /* goes on deleting, if there is something */
/* The last run: nothing that the index gave up may stay. */
void store_writer_finish(struct store *s);
bool store_writer_reopen(struct store_commit *c, bool wipe);
void store_writer_end(struct store_commit *c, struct store_job *job);
void store_writer_send_home(struct store_job *job);

/* reader.c */
void store_reader_post(struct store *s, struct store_job *job);

/* store.c */
void store_remove_damaged(struct store *s, struct hash128 key);
