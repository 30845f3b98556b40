/* cache/store/store.h - the disk tier: open, put, load, remove, walk.
 *
 * Objects in one LMDB environment: a meta record by key, bodies in chunks of one page by
 * body_id. It knows nobody above: every order is a job that the caller owns, and its outcome
 * comes home by letter. One writer thread commits in groups: what waits, at most 8 MiB (2 MiB
 * once the file has reached the map's end) or 512 objects; less than 256 KiB wait up to 50 ms
 * for company. Synced (LMDB's default mode), so that "done" means on disk. A transaction frees
 * at most 480 pages. A few reader threads copy out under short transactions. A record is
 * visible only when all chunks of its body are. body_ids are never used twice: a read gets the
 * right bytes or ERR_NOT_FOUND.
 *
 *   whole object   store_body_begin, one store_put with record and pieces (<= STORE_PIECE_MAX)
 *   stream         store_body_begin, store_put without record per slab, in order; the last one
 *                  with the record (pieces or none). Or store_drop of the unfinished body.
 *   one encoding   store_puts of its body without record, then a store_rewrite that lists it
 *   more
 *   eviction       choose() is called by the writer when pages run short
 *   purge sweep    store_walk, then store_remove or store_rewrite
 *
 * Full disk, full map, failing writes: jobs end with an error ("not stored"); the third failure
 * in a row empties the store and reopens it; a store that cannot be opened is tried again from
 * store_tick, 1 s to 5 min apart. `changed` tells when everything on disk is gone.
 *
 * Thread: all functions by any thread. `done` runs in the loop of `home`, or in a store thread
 * when home is NULL: then it must be short. choose and changed run in the writer's thread.
 * Jobs, and what they point to, belong to the store until done.
 * Limits: STORE_QUEUE_MAX bytes of waiting puts; STORE_BODY_MAX chunks a body.
 * Errors: in job.err. ERR_CLOSED: the store is off or stopping. ERR_LIMIT: queue or map full,
 * or a bound. ERR_SYS: disk. ERR_CORRUPT: stored bytes are not what was written.
 */
#pragma once

#include "base/letter.h"
#include "cache/store/record.h"

#define STORE_QUEUE_MAX (64u << 20)
#define STORE_PIECE_MAX (1u << 20)   /* bytes of one put */
#define STORE_SLICE_MAX (256u << 10) /* bytes of one read */
#define STORE_BODY_MAX (1u << 22)    /* chunks; 17,112,760,320 bytes with 4 KiB pages */

struct store;

struct store_victim {
    struct hash128 key;
    uint64_t body_id; /* of rep[0] */
    uint32_t pages;   /* what the caller thinks it takes; 0: unknown */
    bool forms_only;  /* the object stays, without what was made of it (rep[1] and on) */
};
enum store_state { STORE_ON, STORE_REOPENING, STORE_OFF };

struct store_conf {
    const char *path;   /* the store's folder; made when missing */
    uint64_t map_bytes; /* at least STORE_MAP_MIN */
    bool verify;        /* xxh3 of whole bodies as they are read (store_check) */
    unsigned readers;   /* threads; 0 with `threads`: 2 */
    bool threads;       /* false: jobs run in store_run (tests) */
    /* Objects to give up, about `pages` of them or more, at most `max`: each already out of
     * the index and not pinned. 0: nothing to give. May be NULL. */
    unsigned (*choose)(void *context, struct store_victim *out, unsigned max, uint64_t pages);
    /* The store was emptied (STORE_REOPENING; what the index knows on disk is gone), works
     * again (STORE_ON) or gave up for now (STORE_OFF). May be NULL. */
    void (*changed)(void *context, enum store_state state);
    void *context;
};
#define STORE_MAP_MIN (8u << 20)

/* ERR_REFUSED: another process, or another store of this one, holds the folder (logged).
 * ERR_SYS, ERR_LIB: cannot be used (logged). Wipes what is damaged or of another format, and
 * starts empty. */
NODISCARD enum err store_open(const struct store_conf *conf, struct store **out);
/* Takes no more jobs, ends all that wait, syncs. Call from outside the store's threads and
 * before letters can no longer be opened. Afterwards nothing is written: the place for an
 * index snapshot, which is valid while store_stamp at the next open is equal. */
void store_stop(struct store *s);
/* Before store_stop, when nobody else asks any more: takes no more reads, ends those that wait.
 * Their `done` has returned, or is a letter at home: nothing here calls into what its caller
 * is about to take apart. */
void store_stop_reading(struct store *s);
void store_close(struct store *s);   /* stops, too; NULL ok */
unsigned store_run(struct store *s); /* without threads: runs what waits; how many letters */
/* About every second, by one thread: reader slots, reopening. */
void store_tick(struct store *s, int64_t now_ms);

/* The state of the contents: of the file as found by store_open, or after store_stop. Equal
 * stamps mean equal contents. */
struct store_stamp {
    uint64_t store_id, txnid;
};
struct store_stamp store_stamp_found(const struct store *s);
struct store_stamp store_stamp_now(const struct store *s);
const char *store_path(const struct store *s);
/* The index is complete: the start did not die while scanning. Else the third start in a row
 * that died there empties the store. */
void store_scanned(struct store *s);

/* Drawn when the folder was first used; keys and tag hashes that are stored use it. */
const struct hash_key *store_secret(const struct store *s);
/* The key of a record: SipHash-2-4-128 of primary '\0' vary. Any length. */
struct hash128 store_key(const struct hash_key *secret, struct span primary, struct span vary);
/* Numbers of docs/purge.md kept beside the objects; zeros when nothing was stored. */
struct store_numbers {
    uint64_t boot_no;
    uint8_t log_id[16];
};
struct store_numbers store_numbers(const struct store *s);
/* Synced when it returns. At start, before the first job. */
NODISCARD enum err store_set_numbers(struct store *s, const struct store_numbers *n);

/* One order. Embedded in what it is about; may be used again after done. */
struct store_job {
    struct letter letter; /* the store's */
    struct letter_mailbox *home;
    void (*done)(struct store_job *job);
    enum err err;        /* the outcome */
    struct store *store; /* private */
    uint8_t verb;        /* private */
};

/* A body on its way in. Belongs to the caller, who lets the store alone touch it between
 * begin and the end of its last job. */
struct store_body {
    uint64_t body_id; /* read it freely */
    uint64_t bytes;   /* with `xxh3`: of all puts that are done */
    uint64_t xxh3;
    struct hash_stream *hash; /* private, as the rest */
    uint64_t era;
    bool failed, pending;
};
void store_body_begin(struct store *s, struct store_body *b); /* draws a body_id; no I/O */
void store_body_fini(struct store_body *b); /* after its last job; zeroed ok */
/* Of a body whose id was drawn before, and that no put was made of. */
void store_body_begin_as(struct store *s, struct store_body *b, uint64_t body_id);
uint64_t store_body_id(struct store *s); /* draws one alone */

struct store_put {
    struct store_job job;
    struct store_body *body;
    uint64_t at; /* offset of the first piece: what was put before. Every put of a body but the
                  * last holds a whole number of chunks (store_chunk_bytes) */
    const struct span *piece;
    unsigned piece_count;
    /* NULL: more will come. Else the object is complete: bytes and xxh3 of the rep whose
     * body_id is the body's are filled in by the writer. body NULL: a record alone
     * (STORE_VARY). */
    const struct store_record *record;
    struct hash128 key;
    /* When done with ERR_OK: bodies that this key had and has no more. Their chunks are kept
     * until store_drop, because somebody may read them (a restart drops them by itself). */
    uint64_t replaced[STORE_REPS + 1];
    unsigned replaced_count;
    uint64_t bytes; /* private */
};
/* ERR_OK: posted. ERR_LIMIT: the queue is full, ERR_CLOSED: off; then done is not called and
 * the body cannot be completed any more (drop it when it has parts on disk). */
NODISCARD enum err store_put(struct store *s, struct store_put *p);
/* Has the queue room for a put of so many bytes now? */
bool store_has_room(const struct store *s, uint64_t bytes);
uint32_t store_chunk_bytes(const struct store *s); /* 4080 with 4 KiB pages */
/* Is a body of that length too long to be stored? */
bool store_too_long(const struct store *s, uint64_t bytes);
/* Pages that an object of that length will take, about. */
uint32_t store_pages(const struct store *s, uint64_t body_bytes);

/* Writes a record anew: a merged 304, a mark, one encoding more or fewer. Dropped with
 * ERR_NOT_FOUND unless rep[0] stored under `key` still has the body_id `made_from`. */
struct store_rewrite {
    struct store_job job;
    struct hash128 key;
    uint64_t made_from;
    const struct store_record *record;
    uint64_t replaced[STORE_REPS + 1]; /* as of a put */
    unsigned replaced_count;
};
NODISCARD enum err store_rewrite(struct store *s, struct store_rewrite *r); /* ERR_CLOSED */

/* Takes a record away if its rep[0] has `body_id` (ERR_NOT_FOUND otherwise); body_id 0: a
 * STORE_VARY record. Bodies go too, unless `keep_bodies`: then they are told in `replaced`,
 * for store_drop when nobody reads them any more. */
struct store_remove {
    struct store_job job;
    struct hash128 key;
    uint64_t body_id;
    bool keep_bodies;
    uint64_t replaced[STORE_REPS + 1];
    unsigned replaced_count;
};
NODISCARD enum err store_remove(struct store *s, struct store_remove *r); /* ERR_CLOSED */

/* Deletes the chunks of a body that no record names (any more): unfinished or replaced. */
struct store_drop {
    struct store_job job;
    uint64_t body_id;
};
/* After the last put of that body is done. ERR_CLOSED: done is not called; a restart drops it.
 */
NODISCARD enum err store_drop(struct store *s, struct store_drop *d);

/* Verifies a body read from 0 to its end in order; otherwise gives up silently. Zeroed. */
struct store_check {
    uint64_t next;
    struct hash_stream *hash;
    bool off;
};
void store_check_fini(struct store_check *c);

/* Copies a slice of a body: min(room, bytes - at) bytes. ERR_NOT_FOUND: the body is gone.
 * ERR_CORRUPT: chunks are damaged or, on the last slice, the xxh3 of the body is wrong. */
struct store_read {
    struct store_job job;
    struct store_rep rep; /* body_id, bytes, xxh3 */
    uint64_t at;
    char *out;
    size_t room; /* up to STORE_SLICE_MAX is used */
    size_t got;
    struct store_check *check; /* NULL: not verified */
};
NODISCARD enum err store_read(struct store *s, struct store_read *r); /* ERR_CLOSED */

/* Looks a key up; works while the scan runs. ERR_NOT_FOUND: no such record, or another's (its
 * key or vary text differs: a collision of hashes is a miss). With `out`: the first slice of
 * rep[0]'s body, too (ERR_NOT_FOUND of that: got stays 0). */
struct store_load {
    struct store_job job;
    struct hash128 key;
    struct span primary, vary; /* compared; primary empty: not compared */
    char *out;
    size_t room, got;
    struct store_check *check;
    struct store_record record; /* spans lie in `memory` */
    void *memory;               /* owned by the caller, free(); NULL unless ERR_OK */
};
NODISCARD enum err store_load(struct store *s, struct store_load *l); /* ERR_CLOSED */

/* All records with from <= key < to, in key order (keys are even: split the range for several
 * threads). Blocks; not for a loop's thread. Each step copies up to `max` records out in one
 * short transaction, then calls `visit` for each outside of it, so that visit may take its
 * time. Damaged records are removed and counted. ERR_OK: more may follow; ERR_CLOSED: the end;
 * ERR_SYS ...: failed. */
struct store_walk {
    struct hash128 next; /* set to the first key, zero = all */
    struct hash128 last; /* inclusive; all ones = to the end */
    uint64_t seen, damaged;
};
#define STORE_WALK_SLICE 5000
typedef void store_visit(void *context, struct hash128 key, const struct store_record *r);
NODISCARD enum err store_walk(struct store *s, struct store_walk *w, unsigned max,
                              store_visit *visit, void *context);

struct store_figures {
    enum store_state state;
    uint64_t pages_used, pages_last, pages_max; /* max: of the map as configured */
    uint32_t page_bytes;
    uint64_t objects; /* records */
    uint64_t queue_bytes;
    uint64_t oldest_reader_ms, last_batch_ms;
    uint64_t commits, stored, stored_bytes, not_stored, evicted, map_full, errors, corrupt;
    uint64_t freed_most; /* pages, by one transaction */
    uint64_t deleting;   /* bodies whose chunks still go */
};
void store_figures(struct store *s, struct store_figures *out);
