/* cache/store/guard.h - is the folder ours, and may we trust what is in it?
 *
 * flock on LOCK: LMDB's own reader table goes by process id, and two containers on one volume
 * may both be process 1. `opening` counts starts in a row that died while scanning: the third
 * such start was the last with these contents. `broken` is written by the SIGBUS handler for
 * addresses inside the map (a read error, or a file cut short) and when LMDB finds a page that
 * cannot be: the next start is empty. So is one whose file is damaged, of another version or
 * another format.
 *
 * The database "sys": format, secret, store_id, boot_no, log_id, next_body_id, and
 * "pending"+body_id for each body that no record names.
 *
 * Thread: open, scanned and close by one; the rest by the store's writer, alone with the
 * environment.
 * Errors: ERR_REFUSED (locked by another), ERR_SYS, ERR_LIB; all logged here.
 */
#pragma once

#include "base/hash.h"
#include "base/lmdb.h"

#define STORE_GUARD_STARTS 3

struct store_guard {
    char *path;
    uint64_t map_bytes;
    int folder_fd, lock_fd, broken_fd;
    bool opening; /* the marker is out */

    struct lmdb *env; /* NULL: closed */
    struct lmdb_db meta, body, sys;
    /* what sys holds */
    struct hash_key secret;
    uint64_t store_id, boot_no, next_body_id;
    uint8_t log_id[16];
    uint64_t found_txnid; /* before anything was written */
};

NODISCARD enum err store_guard_open(struct store_guard *g, const char *path,
                                    uint64_t map_bytes);
void store_guard_scanned(struct store_guard *g);
/* For threads that touch the map: crews begin with all signals blocked, and a blocked SIGBUS
 * kills without the handler. */
void store_guard_hear_bus(void);
/* Stores boot_no and log_id; synced. */
NODISCARD enum err store_guard_set_numbers(struct store_guard *g, uint64_t boot_no,
                                           const uint8_t log_id[16]);
/* Closes the environment and opens it again, empty with `wipe`; the numbers above stay. No
 * transaction may be open. Failed: env is NULL, and this may be called again. */
NODISCARD enum err store_guard_reopen(struct store_guard *g, bool wipe);
void store_guard_close(struct store_guard *g); /* zeroed ok; removes the marker */

/* The key of a body's pending record. */
struct store_guard_pending {
    uint8_t bytes[15];
};
struct store_guard_pending store_guard_pending_key(uint64_t body_id);
/* The body of a pending key; 0: it is none. */
uint64_t store_guard_pending_body(struct span key);
/* Big-endian numbers, as sys and meta keys hold them. */
void store_guard_put_u64(uint8_t out[8], uint64_t v);
uint64_t store_guard_get_u64(const void *bytes);
