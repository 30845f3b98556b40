/* base/lmdb.h - an LMDB transaction whose first error sticks (door to lmdb).
 *
 * An environment is opened by one process, once. Never WRITEMAP, DUPSORT or NOSYNC: a commit
 * that returned ERR_OK is on disk. Reader slots belong to transactions, not to threads
 * (NOTLS). After an error every function of a transaction does nothing and answers "absent";
 * lmdb_commit, or lmdb_abort and `err`, tell it once at the end.
 *
 * Thread: an environment by any; a transaction by one at a time. One write transaction at a
 * time in the environment, the next lmdb_begin waits for it.
 * Owns: spans from get, cursor and put_new are borrowed until the transaction ends (of a write
 * transaction: until its next write).
 * Limits: a value of at most lmdb_value_max() bytes stays in one page of its own; the callers
 * never write a longer one (multi-page values end in a full map with free pages left).
 * A file that is shorter than its pages is damaged: reading beyond its end would be SIGBUS.
 *
 * Errors: ERR_LIMIT (map, transaction or reader table full), ERR_SYS (the system: EIO, ENOSPC,
 * EACCES, ...), ERR_CORRUPT (the file is damaged, of another version, or not LMDB), ERR_CLOSED
 * (the environment failed half way into a commit and must be reopened), ERR_LIB (the rest).
 */
#pragma once

#include <sys/types.h>

#include "base/span.h"

struct MDB_env;
struct MDB_txn;
struct MDB_cursor;

struct lmdb;
struct lmdb_conf {
    const char *path;   /* a folder that exists */
    uint64_t map_bytes; /* a multiple of the page size; also the largest the file gets */
    unsigned dbs;       /* how many named databases */
    unsigned readers;   /* 0: 126 */
    mode_t mode;        /* 0: 0600 */
    bool no_readahead;  /* random reads of more than the memory holds */
    bool preallocate;   /* reserve the whole file now; ERR_SYS when the disk lacks the room */
    /* The library found the file damaged where it cannot go on, and is about to abort the
     * process: to leave a mark for the next start. May be NULL; any thread. */
    void (*damaged)(void *context);
    void *context;
};
NODISCARD enum err lmdb_open(const struct lmdb_conf *conf, struct lmdb **out);
void lmdb_close(struct lmdb *env); /* no transaction may be open; NULL ok */
/* What the library said at the last lmdb_open that failed in this thread, or to this
 * transaction; static text. */
const char *lmdb_open_text(void);

struct lmdb_db {
    unsigned id;
};
/* Opens or makes a named database; keys are u64 in native order with `integer_keys`. Before
 * any other transaction is open. */
NODISCARD enum err lmdb_db_open(struct lmdb *env, const char *name, bool integer_keys,
                                struct lmdb_db *out);

struct lmdb_txn {
    struct lmdb *env;
    struct MDB_txn *handle;
    enum err err;
    int code; /* the library's, for the log */
    bool write;
};
void lmdb_begin(struct lmdb_txn *t, struct lmdb *env, bool write);
NODISCARD enum err lmdb_commit(struct lmdb_txn *t); /* ends it in any case */
void lmdb_abort(struct lmdb_txn *t);                /* ends it; keeps err; ended or zeroed ok */
/* A read transaction between two uses: reset lets its pages go, renew sees the newest state. */
void lmdb_reset(struct lmdb_txn *t);
void lmdb_renew(struct lmdb_txn *t); /* clears an earlier error */
const char *lmdb_error_text(const struct lmdb_txn *t);

bool lmdb_get(struct lmdb_txn *t, struct lmdb_db db, struct span key, struct span *out_value);
void lmdb_put(struct lmdb_txn *t, struct lmdb_db db, struct span key, struct span value);
/* Key order: `key` must be above all present. Fills pages to the end. */
void lmdb_append(struct lmdb_txn *t, struct lmdb_db db, struct span key, struct span value);
/* False when the key is present (its value in *out_present) or on error. */
bool lmdb_put_new(struct lmdb_txn *t, struct lmdb_db db, struct span key, struct span value,
                  struct span *out_present);
bool lmdb_del(struct lmdb_txn *t, struct lmdb_db db, struct span key); /* was it there? */

struct lmdb_cursor {
    struct lmdb_txn *txn;
    struct MDB_cursor *handle;
    struct span key, value; /* where it stands */
};
void lmdb_cursor_open(struct lmdb_cursor *c, struct lmdb_txn *t, struct lmdb_db db);
void lmdb_cursor_close(struct lmdb_cursor *c);                 /* before the transaction ends */
bool lmdb_cursor_seek(struct lmdb_cursor *c, struct span key); /* the first at or above it */
bool lmdb_cursor_find(struct lmdb_cursor *c, struct span key); /* exactly it */
bool lmdb_cursor_last(struct lmdb_cursor *c);
bool lmdb_cursor_next(struct lmdb_cursor *c); /* the first one when it stands nowhere */
void lmdb_cursor_del(struct lmdb_cursor *c);  /* where it stands; next gives the one after */

struct lmdb_pages {
    uint64_t used; /* hold data of the databases given, or of the free list */
    uint64_t last; /* of the file so far */
    uint64_t max;  /* of the map */
    uint32_t page_bytes;
};
/* `t` may be NULL: as of the newest commit. */
NODISCARD enum err lmdb_pages(struct lmdb *env, struct lmdb_txn *t, const struct lmdb_db *dbs,
                              unsigned count, struct lmdb_pages *out);
struct lmdb_shape {
    uint64_t entries, leaves, branches, overflows;
    unsigned depth;
};
void lmdb_shape(struct lmdb_txn *t, struct lmdb_db db, struct lmdb_shape *out);
/* How many pages the transaction of that number gave free; 0 when unknown or reused. More than
 * 509 make the free list's own record span pages. `t` reads. */
uint64_t lmdb_freed_by(struct lmdb_txn *t, uint64_t txnid);
uint32_t lmdb_page_bytes(const struct lmdb *env);
uint64_t lmdb_txnid(const struct lmdb *env); /* of the newest commit */
void lmdb_reader_check(struct lmdb *env);    /* frees the slots of dead processes */
/* Where the map lies in memory, for a SIGBUS handler. False: not found. */
bool lmdb_map_range(struct lmdb *env, const void **out_from, size_t *out_len);
/* The largest value that takes one page: page size - 16. */
static inline uint32_t lmdb_value_max(const struct lmdb *env)
{
    return lmdb_page_bytes(env) - 16;
}
