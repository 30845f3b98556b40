/* cache/memory/fill.h - an object on its way in: one writer, many readers.
 *
 * The writer is a fetch (through intake) or a load from the store. First the head is answered,
 * to the reader that leads and to those that wait: the body follows, or look again, or the
 * failure. Then bytes are appended: into the object's own memory when the length is declared
 * and small, else into slabs. Slabs behind a window are let go once they are on disk; readers
 * behind them read on from there. Without a disk the slowest reader holds the writer back, and
 * one that stands still for MEMORY_STALL_MS is cut. A private fill has one reader, is never in
 * the index, and is held back earlier.
 *
 * Thread: the writer's functions by one thread at a time; hold, drop and the questions by any.
 *         A mutex per fill protects readers, answers and slabs; `length` is released last.
 * Owns: head and `under` (counted), slabs.
 * Limits: the windows; MEMORY_INTERIM_BYTES of interim responses (more are dropped).
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/letter.h"
#include "cache/memory/index.h"
#include "cache/memory/reader.h"
#include "cache/store/store.h"

#define MEMORY_WINDOW_BYTES (UINT64_C(2) << 20)
#define MEMORY_WINDOW_PRIVATE_BYTES (UINT64_C(256) << 10)
#define MEMORY_STALL_MS INT64_C(10000)
#define MEMORY_INTERIM_BYTES ((size_t)65536)

struct memory_deposit;
struct memory_slab;

enum memory_fill_kind { MEMORY_FILL_SHARED, MEMORY_FILL_PRIVATE, MEMORY_FILL_LOAD };

/* Whom the writer's letter goes to: "room again", or "nobody reads any more". */
struct memory_writer {
    struct letter *letter;
    void (*open)(struct letter *l);
    struct letter_mailbox *mailbox;
};

struct memory_fill {
    atomic_uint holders;
    struct memory_tier *tier;
    enum memory_fill_kind kind;
    struct hash128 key;          /* where it is in the index; by the writer */
    struct memory_object *under; /* held: what it may replace, or give back */
    struct memory_disk under_disk;
    atomic_ullong fill_no;              /* 0: not sent yet */
    struct memory_object *_Atomic head; /* held, once known; changes at the fill's place only */
    atomic_ullong length;               /* bytes that arrived */
    atomic_bool closed;         /* nobody may join any more: its first bytes are gone, or
                                   it is given up */
    bool background;            /* nobody need wait for it */
    bool elsewhere;             /* another node keeps it, too; by the writer */
    struct memory_fill *source; /* held: a door, whose readers read from there (see door) */
    struct memory_fill *door;   /* held: stands in the index for this one; by the writer */

    pthread_mutex_t lock;                            /* protects the rest */
    enum memory_head to_leader, to_waiters, to_door; /* to_door: who came by the door */
    struct memory_object *answer;                    /* held: the object of READY or STALE */
    bool answer_whole; /* the answer is complete in itself, no bytes come */
    bool ended, led, given_up;
    unsigned failure;
    struct arena arena; /* of interims and trailers */
    struct memory_interim *interims;
    struct http_fields *trailers;
    char *in_place; /* where the body is written, when in the object's memory */
    struct memory_slab *first, *last;
    uint64_t begin;     /* offset of the first slab */
    uint64_t committed; /* bytes of the body that are on disk */
    bool storing;       /* slabs go to the store as they fill */
    unsigned puts;      /* of them under way */
    struct store_body body;
    bool put_once; /* parts of the body may be on disk */
    struct memory_reader *readers;
    uint32_t reader_count;
    struct memory_writer writer;
    bool writer_waits, writer_posted, stalled;
    struct memory_fill *stalled_next; /* under the list's own lock */
};

/* A second way in: when Vary moves a fill to a variant's key, those who came by the primary key
 * hear AGAIN, whenever they come, and those who come by the door read on. */
NODISCARD bool memory_fill_add_door(struct memory_fill *f, struct hash128 key);
void memory_fill_close_door(
    struct memory_fill *f); /* when it is out of the index, or will be */
/* What stands in the index for it; where its bytes are. */
static inline struct memory_fill *memory_fill_entry(struct memory_fill *f)
{
    return f->door ? f->door : f;
}
static inline struct memory_fill *memory_fill_source(struct memory_fill *f)
{
    return f->source ? f->source : f;
}

/* One holder. NULL: no memory. `under` (may be NULL) is held. */
struct memory_fill *memory_fill_create(struct memory_tier *t, enum memory_fill_kind kind,
                                       struct hash128 key, struct memory_object *under,
                                       const struct memory_disk *under_disk);
struct memory_fill *memory_fill_hold(struct memory_fill *f);
void memory_fill_drop(struct memory_fill *f); /* NULL ok */

/* --- the writer --- */

void memory_fill_set_writer(struct memory_fill *f, const struct memory_writer *w);
/* The letter was opened. / No letter any more; true: one is still under way. */
void memory_fill_writer_opened(struct memory_fill *f);
bool memory_fill_writer_leave(struct memory_fill *f);
void memory_fill_interim(struct memory_fill *f, const struct http_response *r);
/* Shows the head to lookups, at the fill's place in the index. Whoever looks a purged fill up
 * before has joined it by then, and a check of the epoch after this sees the purge: so first
 * this, then the check, then the answer. */
void memory_fill_show(struct memory_fill *f, struct memory_object *o);
/* The head, with a body to come. READY, AGAIN or ALONE for those who wait, and for those who
 * came by the door. The object's body memory, when it has some, is where the body is written.
 * `store`: slabs may go to the store. */
void memory_fill_head(struct memory_fill *f, struct memory_object *o, enum memory_head waiters,
                      enum memory_head by_door, bool store);
/* The only answer there will be: READY or STALE with a whole object, AGAIN, FAILED. */
void memory_fill_answer(struct memory_fill *f, enum memory_head answer, struct memory_object *o,
                        unsigned failure);
/* Likewise READY for the leader, and AGAIN or ALONE for all others: they may have come after a
 * purge, or it is nobody else's. */
void memory_fill_answer_leader(struct memory_fill *f, struct memory_object *o,
                               enum memory_head others);
/* ERR_AGAIN: taken; stop until the letter comes. ERR_CLOSED: nobody wants more. */
NODISCARD enum err memory_fill_append(struct memory_fill *f, struct span bytes);
void memory_fill_end(struct memory_fill *f, const struct http_fields *trailers);
void memory_fill_fail(struct memory_fill *f, unsigned failure);
/* Does it pay to go on? No is final: nobody may join from then on, and who is about to open a
 * reader hears AGAIN. The writer must fail it. */
bool memory_fill_wanted(struct memory_fill *f);

/* --- anyone --- */

bool memory_fill_has_ended(struct memory_fill *f);
/* The body, copied from the slabs: after the end. False: some of them are gone. */
bool memory_fill_copy(struct memory_fill *f, char *out);
/* The last slab with the record, after the end: deposit.h. False: it was given up. */
bool memory_fill_last_put(struct memory_fill *f, struct memory_deposit *d);
/* Likewise for a body that is in the object as a whole. */
bool memory_fill_whole_put(struct memory_fill *f, struct memory_deposit *d);
void memory_fill_last_done(struct memory_fill *f, bool ok);
/* The body turned out to be a large one: its slabs go to the store from here on. */
void memory_fill_store(struct memory_fill *f);
/* Gives up storing; the parts on disk go when nobody reads them any more. */
void memory_fill_unstore(struct memory_fill *f);

/* --- readers (reader.c), with the lock held --- */

void memory_fill_add_reader(struct memory_fill *f, struct memory_reader *r);
void memory_fill_remove_reader(struct memory_fill *f, struct memory_reader *r);
void memory_fill_progress(struct memory_fill *f, struct memory_reader *r);
/* The slab with that byte, counted; NULL: none here. */
struct memory_slab *memory_fill_slab(struct memory_fill *f, uint64_t at);

struct memory_interim {
    struct memory_interim *next;
    struct http_response response;
};

/* Once in a while, by the tick: cuts readers that hold a fill up. */
void memory_fill_check_stalled(struct memory_tier *t);
void memory_fill_wake_reader(struct memory_reader *r); /* reader.c's; with the lock held */
