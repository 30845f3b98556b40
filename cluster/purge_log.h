/* cluster/purge_log.h - the rules of the purge log: what is pending, synced, kept, dropped.
 *
 * Sans-I/O. Design: docs/purge.md. A lone node is a cluster of one: records carry stream and
 * seq, and a version vector over synced records only, though nobody asks for it yet.
 *
 * Who calls what, in this order:
 *   1. cluster_purge_log_create; cluster_purge_disk_open fills it (load, loaded), so that
 *      streams and numbers of earlier starts are known; cluster_purge_disk_replay gives node
 *      the stored records with their stored numbers.
 *   2. For each purge: node takes an apply_no, puts the purge in effect in memory, then calls
 *      cluster_purge_log_accept with that number, then (once for a whole request, or before
 *      its loop sleeps) cluster_purge_disk_pump.
 *   3. The disk takes a batch (cluster_purge_log_take), writes it in its own thread, and gives
 *      the outcome back in control (cluster_purge_log_written), which calls `answered` for each
 *      record with a ticket, in order. ERR_OK: it and all before it in this log are synced.
 *      Another error: not durable (503), told to everything that waits; it stays in
 *      effect, is tried again with the next batch, and is synced silently when the disk
 *      recovers.
 *   4. cluster_purge_log_swept, when the cache's sweep has made a number needless.
 *
 * Streams: the id is drawn by who creates the log, becomes this start's stream with the first
 * purge accepted here, and is written in the transaction of that purge: no seq of it is told to
 * anybody before it is on disk. A new start takes a new stream, so that no seq is used twice.
 *
 * Dropped are: a record whose key (kind, selector, site) a later one of the same stream has
 * again, at least as hard, in the transaction that syncs the later one; all that an `all` (of
 * every site) in the same stream makes needless; what is older than keep_s and swept; and the
 * oldest ones when the file is 3/4 full or there are too many. When such an oldest one was not
 * swept yet, a floor is raised in the same transaction: replay then begins with a purge of
 * everything at that number, so that no dropped purge is undone by a restart.
 *
 * Thread: control. Owns: pending records until they are synced.
 * Limits: CLUSTER_PURGE_PENDING records and CLUSTER_PURGE_PENDING_BYTES that wait for the disk;
 *         CLUSTER_PURGE_RECORDS kept (64 B of memory each; their text stays on disk); a row of
 *         32 B for each start that took a purge.
 * Errors: ERR_LIMIT.
 */
#pragma once

#include "base/hash.h"
#include "cluster/purge_record.h"
#include "cluster/vector.h"

/* In one transaction: so many, and no more of their bytes than this part of the file. */
#define CLUSTER_PURGE_BATCH 1024
#define CLUSTER_PURGE_BATCH_PART 16
#define CLUSTER_PURGE_PENDING 65536u
#define CLUSTER_PURGE_PENDING_BYTES ((size_t)32 << 20)
#define CLUSTER_PURGE_RECORDS (1u << 20)

struct cluster_purge_log;
struct cluster_purge_log_conf {
    const char *node;         /* this node's id; borrowed */
    int64_t keep_s;           /* purge_log.keep */
    uint64_t stream_id;       /* random, for this start; not 0 */
    struct hash_key hash_key; /* random */
    uint32_t record_max;      /* 0: CLUSTER_PURGE_RECORDS */
    /* Control's thread, from cluster_purge_log_written; may accept further purges. May be
     * NULL. */
    void (*answered)(void *user, uint64_t ticket, enum err err);
    void *user;
};
struct cluster_purge_log *cluster_purge_log_create(const struct cluster_purge_log_conf *conf);
void cluster_purge_log_destroy(struct cluster_purge_log *l); /* after the disk; NULL ok */
void cluster_purge_log_keep(struct cluster_purge_log *l, int64_t keep_s); /* a reload */

/* `p` passed purge_check and is copied; numbers rise from call to call. `ticket` 0: no answer
 * wanted. With a dedup id that is known already nothing is written: *out_id is that record's;
 * the answer comes with the next batch all the same. ERR_LIMIT: too much waits for the disk;
 * the purge is not in the log and stays in effect only in memory (503). */
NODISCARD enum err cluster_purge_log_accept(struct cluster_purge_log *l, const struct purge *p,
                                            uint64_t apply_no, uint64_t dedup, int64_t now_s,
                                            uint64_t ticket, struct cluster_purge_id *out_id);
/* --- records of other nodes, and of this node's earlier logs --- */

/* Was it taken in: synced, on its way to the disk, or superseded since? */
bool cluster_purge_log_has(const struct cluster_purge_log *l, struct cluster_purge_id id);
struct cluster_purge_known {
    struct cluster_purge_id id;
    bool from_before; /* an earlier start of this node had it already */
};
/* Is there a record with this dedup id? `out` may be NULL. */
bool cluster_purge_log_knows(const struct cluster_purge_log *l, uint64_t dedup,
                             struct cluster_purge_known *out);
/* In effect here under r->apply_no already; copied. In any order within a stream; the stream's
 * synced_seq rises over what is without a gap. One that this log `has` is not written again,
 * its ticket answered with the next batch. ERR_LIMIT: too much waits, nothing was taken, it
 * will have to come again. ERR_REFUSED: it says that it is of this start's own stream. */
NODISCARD enum err cluster_purge_log_receive(struct cluster_purge_log *l,
                                             const struct cluster_purge_record *r,
                                             uint64_t ticket);
/* What is missing of `stream` up to `through` was superseded by what is here or was received
 * before this call: the stream's synced_seq rises to it with the batch that writes that. */
void cluster_purge_log_cover(struct cluster_purge_log *l, uint64_t stream, uint64_t through);
/* The safe fallback: what `stream` (0: none) held up to `through` is gone. Everything was
 * distrusted under `apply_no`; the floor and the row are written in one transaction. */
void cluster_purge_log_fall_back(struct cluster_purge_log *l, uint64_t stream, uint64_t through,
                                 uint64_t apply_no, bool hard);
/* Only what is synced. *_serial changes whenever it does. */
void cluster_purge_log_vector(const struct cluster_purge_log *l, struct cluster_vector *out);
uint64_t cluster_purge_log_serial(const struct cluster_purge_log *l);
uint64_t cluster_purge_log_synced(const struct cluster_purge_log *l, uint64_t stream);
uint64_t cluster_purge_log_floor(const struct cluster_purge_log *l, uint64_t stream);
uint64_t cluster_purge_log_own_stream(const struct cluster_purge_log *l); /* 0: none yet */
/* Synced records of `stream` above `after`, by rising seq, as long as `tell` says true (it may
 * refuse one: that is not counted). *out_through: so far all that is left of the stream was
 * told; the stream's synced_seq when nothing more is there. ERR_NOT_FOUND: no such stream here;
 * ERR_CORRUPT, ERR_SYS. */
NODISCARD enum err
cluster_purge_log_read(struct cluster_purge_log *l, uint64_t stream, uint64_t after,
                       bool (*tell)(void *user, const struct cluster_purge_record *r),
                       void *user, uint64_t *out_through);

/* Whose confirmation counts (docs/purge.md, "A member"): kept in the log's environment. */
struct cluster_purge_member {
    struct span id;
    uint32_t generation; /* even: counts; odd: forgotten. The higher one is the later word */
    bool left;           /* said that it goes: does not count until it is seen again */
};
/* Written with the next batch. ERR_LIMIT: CLUSTER_PURGE_MEMBERS. */
NODISCARD enum err cluster_purge_log_set_member(struct cluster_purge_log *l,
                                                const struct cluster_purge_member *m);
void cluster_purge_log_members(const struct cluster_purge_log *l,
                               void (*each)(void *user, const struct cluster_purge_member *m),
                               void *user);
#define CLUSTER_PURGE_MEMBERS 16384u

/* How far the cache's sweep has come, kept beside the records. */
struct cluster_purge_swept {
    uint64_t apply_no; /* no object that a purge up to it names is left anywhere, but for those
                        * of everything, whose names stay */
    uint64_t sites;    /* the caller's digest of the sites under which every purge above it
                        * was made; 0: not of one alone */
};
/* Written with the next batch; a lower number does nothing. */
void cluster_purge_log_swept(struct cluster_purge_log *l, struct cluster_purge_swept swept);
struct cluster_purge_swept cluster_purge_log_swept_now(const struct cluster_purge_log *l);

/* All records that wait for the disk, in order; borrowed until `tell` returns. */
void cluster_purge_log_pending(const struct cluster_purge_log *l,
                               void (*tell)(void *user, const struct cluster_purge_record *r),
                               void *user);

enum cluster_purge_state {
    CLUSTER_PURGE_UNKNOWN, /* never seen, or longer ago than we keep */
    CLUSTER_PURGE_PENDING_HERE,
    CLUSTER_PURGE_SYNCED,
    CLUSTER_PURGE_SUPERSEDED, /* was synced; a later purge did its work, or it was dropped */
};
enum cluster_purge_state cluster_purge_log_state(const struct cluster_purge_log *l,
                                                 struct cluster_purge_id id);
/* With the record's text, borrowed until the next call into log or disk. ERR_NOT_FOUND;
 * ERR_CORRUPT or ERR_SYS when it cannot be read back. */
NODISCARD enum err cluster_purge_log_find(struct cluster_purge_log *l,
                                          struct cluster_purge_id id,
                                          struct cluster_purge_record *out, bool *out_synced);
/* Records accepted at or after `since_s` in the order they were applied here, at most `limit`.
 * Returns how many were told. Each is borrowed until `tell` returns. */
unsigned cluster_purge_log_list(struct cluster_purge_log *l, int64_t since_s, unsigned limit,
                                void (*tell)(void *user, const struct cluster_purge_record *r,
                                             bool synced),
                                void *user);
struct cluster_purge_log_figures {
    uint64_t records, pending, streams;      /* pending ones are among the records */
    uint64_t used_bytes, max_bytes;          /* of the file */
    uint64_t superseded, expired, displaced; /* dropped since the start, by why */
    bool ok;                                 /* the last write was synced */
};
void cluster_purge_log_figures(const struct cluster_purge_log *l,
                               struct cluster_purge_log_figures *out);

/* --- for cluster/purge_disk.c (and the simulator's disk) --- */

struct cluster_purge_stream { /* as stored, one row each */
    uint64_t id;
    uint64_t synced_seq; /* highest contiguous one */
    uint64_t floor_seq;  /* at or below it records may be gone for good */
    int64_t last_at_s;
};
struct cluster_purge_floors { /* replay begins with `all` at these numbers; 0 = none */
    uint64_t hard, soft;
};
enum cluster_purge_pending_kind {
    CLUSTER_PURGE_ANSWER,    /* waits behind others; nothing is written */
    CLUSTER_PURGE_RECORD,    /* `id` is its own */
    CLUSTER_PURGE_COVER,     /* up to `id` */
    CLUSTER_PURGE_FALL_BACK, /* up to `id`, under apply_no */
    CLUSTER_PURGE_MEMBER,    /* `value` as cluster/purge_rows.h has it */
};
struct cluster_purge_pending { /* on its way to the disk */
    struct cluster_purge_pending *next;
    enum cluster_purge_pending_kind kind;
    struct cluster_purge_id id;
    uint64_t ticket;
    uint64_t supersedes; /* seq in its stream; 0 = none */
    uint64_t apply_no;   /* FALL_BACK */
    bool hard;           /* FALL_BACK */
    bool answered;
    uint32_t bytes;
    uint8_t value[]; /* RECORD, MEMBER: as encoded */
};
struct cluster_purge_batch {
    /* The oldest that wait. Not a list: control appends behind the last of them meanwhile. */
    const struct cluster_purge_pending *records[CLUSTER_PURGE_BATCH];
    unsigned count;
    struct cluster_purge_id drops[2 * CLUSTER_PURGE_BATCH];
    unsigned drop_count;
    struct cluster_purge_stream streams[2 * CLUSTER_PURGE_BATCH + 1]; /* rows to write */
    unsigned stream_count;
    struct cluster_purge_floors floors;
    bool floors_changed, swept_changed;
    struct cluster_purge_swept swept;
    int64_t now_s;
};
/* At open: rows first, then records and members in any order, then loaded. A row that comes
 * again only raises the floor. */
void cluster_purge_log_load_stream(struct cluster_purge_log *l,
                                   const struct cluster_purge_stream *row);
void cluster_purge_log_load(struct cluster_purge_log *l, const struct cluster_purge_record *r);
void cluster_purge_log_load_member(struct cluster_purge_log *l,
                                   const struct cluster_purge_member *m);
struct cluster_purge_floors cluster_purge_log_floors(const struct cluster_purge_log *l);
void cluster_purge_log_load_floors(struct cluster_purge_log *l,
                                   struct cluster_purge_floors floors);
void cluster_purge_log_load_swept(struct cluster_purge_log *l,
                                  struct cluster_purge_swept swept);
void cluster_purge_log_loaded(struct cluster_purge_log *l, struct cluster_purge_floors floors,
                              uint64_t used_bytes, uint64_t max_bytes);
void cluster_purge_log_unload(struct cluster_purge_log *l); /* what was loaded proved damaged */
/* How synced records are read back, from the disk's own newest state, which may be a batch
 * ahead of what this log was told. */
struct cluster_purge_reader {
    /* One; the text is borrowed until the next call. */
    enum err (*one)(void *disk, struct cluster_purge_id id, struct cluster_purge_record *out);
    /* As cluster_purge_log_read; records above the row's synced_seq are not told. */
    enum err (*range)(void *disk, uint64_t stream, uint64_t after,
                      bool (*tell)(void *user, const struct cluster_purge_record *r),
                      void *user, uint64_t *out_through);
};
void cluster_purge_log_set_reader(struct cluster_purge_log *l,
                                  const struct cluster_purge_reader *reader, void *disk);
/* The next thing to do, if any; then no other until it was written. After a failure there is
 * one only when a record has not been answered yet, or once a second. Everything in *out lives
 * until cluster_purge_log_written. */
bool cluster_purge_log_take(struct cluster_purge_log *l, int64_t now_s,
                            struct cluster_purge_batch *out);
void cluster_purge_log_written(struct cluster_purge_log *l, const struct cluster_purge_batch *b,
                               enum err err, uint64_t used_bytes);
/* Instead of _written with ERR_LIMIT: nothing of the batch counts, nobody is told, and the next
 * one is half as large. What it writes and drops may lie on a page each, which are copied
 * before any is freed: a smaller one finds room where a larger does not. */
void cluster_purge_log_again(struct cluster_purge_log *l, const struct cluster_purge_batch *b);
bool cluster_purge_batch_is_smallest(const struct cluster_purge_batch *b);
