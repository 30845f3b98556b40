/* cache/store/slice.h - copies records and bodies out, each under one short read transaction.
 *
 * The transactions are kept and renewed, which costs nothing; a lock on the environment lets
 * the writer close it when nobody reads. The pages of a slice are asked for all at once before
 * the first is touched: on a cold file that is seven times faster.
 *
 * Thread: any; each copy holds one of STORE_READERS slots.
 * Locks: `env_lock` (shared while a transaction is open, exclusive while the environment is
 *        replaced), inside it `slot_lock`.
 * Errors: ERR_CLOSED (no environment), ERR_NOT_FOUND, ERR_CORRUPT, ERR_LIMIT (no slot), and
 *         those of base/lmdb.h.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "cache/store/guard.h"
#include "cache/store/store.h"

#define STORE_READERS 64

struct store_slot {
    struct lmdb_txn txn;
    atomic_llong since_ms; /* monotonic; 0: no transaction is open */
    bool used;
};
struct store_slices {
    struct store_guard *guard;
    pthread_rwlock_t env_lock;
    pthread_mutex_t slot_lock;
    struct store_slot slot[STORE_READERS];
};

void store_slice_init(struct store_slices *s, struct store_guard *guard);
void store_slice_fini(struct store_slices *s);
/* Waits until nobody reads, then keeps everybody out; old transactions are given up. */
void store_slice_shut(struct store_slices *s);
void store_slice_open(struct store_slices *s);
uint64_t store_slice_oldest_ms(const struct store_slices *s);

/* Opens a transaction: borrowed until _end. NULL: *out_err, always written, says why. */
struct store_slot *store_slice_begin(struct store_slices *s, enum err *out_err);
void store_slice_end(struct store_slices *s, struct store_slot *slot);

/* Bytes [at, at + *out_got) of a body. */
NODISCARD enum err store_slice_body(struct store_slices *s, struct lmdb_txn *t,
                                    const struct store_rep *rep, uint64_t at, char *out,
                                    size_t room, size_t *out_got);
/* The far block of a record: `bytes` of them into `out`. */
NODISCARD enum err store_slice_far(struct store_slices *s, struct lmdb_txn *t, uint64_t far_id,
                                   size_t bytes, char *out);
/* Fed with what was read at `at`; ERR_CORRUPT at the end of a body that is another. */
NODISCARD enum err store_slice_check(struct store_check *c, const struct store_rep *rep,
                                     uint64_t at, struct span bytes);
int64_t store_slice_clock_ms(void); /* monotonic, never 0 */
