/* cache/memory/reader.h - one client's place in an object: RAM, arriving, or on disk.
 *
 * Embedded in an exchange. Opened on an object or on a fill; gives the head when there is one,
 * then the body bytes between two offsets, from whatever holds them: RAM, the fill's slabs,
 * or slices of 256 KiB that a store reader copies out. Pull only: nothing is pushed at a slow
 * client, and a reader that falls behind a fill's window reads on from the store.
 *
 * Thread: its worker. `wake` is posted to the mailbox when a head, an interim response, bytes
 * or an end came after ERR_AGAIN or MEMORY_HEAD_WAIT was answered; at most once until asked
 * again. Never called from inside a reader function.
 * Owns: counts on the object and the fill, a pin on the body.
 */
#pragma once

#include "base/letter.h"
#include "base/http/message.h"

struct cache;
struct memory_fill;
struct memory_object;

enum memory_head {
    MEMORY_HEAD_WAIT,
    MEMORY_HEAD_READY,  /* r->object is set; the body follows */
    MEMORY_HEAD_AGAIN,  /* now in the cache, or not for you: look up again */
    MEMORY_HEAD_ALONE,  /* not shareable: look up again with ask.alone */
    MEMORY_HEAD_STALE,  /* the fetch failed; serve r->object, which is stale, instead */
    MEMORY_HEAD_FAILED, /* memory_reader_failure says why */
};

struct memory_reader {
    struct letter wake;
    struct letter_mailbox *mailbox;
    void (*woken)(struct memory_reader *r);
    struct cache *cache;
    struct memory_object *object;       /* held, once the head is ready */
    struct memory_fill *fill;           /* held; NULL for a finished object */
    uint64_t at, end;                   /* the next offset; one past the last wanted */
    struct memory_slice *slice;         /* a disk slice being read or held; opaque */
    struct memory_reader *next, **prev; /* in the fill's list, under its lock */
    uint32_t interims_given;
    bool waiting, posted, closed;
    /* For cache/ only. */
    struct memory_slab *slab; /* held: of the fill, while its bytes are lent */
    uint64_t seen_at;         /* the place it told the fill, under its lock */
    int64_t moved_at_ms;
    bool leads, by_door, cut;
    bool too_late; /* the fill was given up before this one came */
};

/* `woken` runs in the mailbox's loop. The object or fill is counted by the reader. */
void memory_reader_open_object(struct memory_reader *r, struct cache *c,
                               struct memory_object *o, struct letter_mailbox *mailbox,
                               void (*woken)(struct memory_reader *r));
void memory_reader_open_fill(struct memory_reader *r, struct cache *c, struct memory_fill *f,
                             struct letter_mailbox *mailbox,
                             void (*woken)(struct memory_reader *r));
/* As open_fill, for the request that was answered LEAD or PASS: it gets the response also when
 * nobody else may have it (others hear ALONE then, and so would it, opened as they are). */
void memory_reader_open_leader(struct memory_reader *r, struct cache *c, struct memory_fill *f,
                               struct letter_mailbox *mailbox,
                               void (*woken)(struct memory_reader *r));
enum memory_head memory_reader_head(struct memory_reader *r);
/* Of an object that is complete, before the first peek: reads this form of it from here on. */
void memory_reader_turn(struct memory_reader *r, struct memory_object *form);
/* The next interim response that arrived before the head; NULL: none (now). Borrowed until the
 * reader closes. */
const struct http_response *memory_reader_interim(struct memory_reader *r);
/* Only [from, to) of the body; to = UINT64_MAX: to its end. Before the first peek, or after
 * ERR_CLOSED for a further range that lies behind (multipart). */
void memory_reader_range(struct memory_reader *r, uint64_t from, uint64_t to);
/* Bytes at the reader's place, borrowed until consume, close or the next peek.
 * ERR_OK: *out is not empty. ERR_AGAIN: will be woken. ERR_CLOSED: all was given.
 * ERR_CORRUPT, ERR_SYS, ERR_TIMEOUT: the rest cannot be had; cut the answer. */
NODISCARD enum err memory_reader_peek(struct memory_reader *r, struct span *out);
void memory_reader_consume(struct memory_reader *r, size_t bytes);
/* Trailers that came with the body's end; NULL: none. */
const struct http_fields *memory_reader_trailers(const struct memory_reader *r);
unsigned memory_reader_failure(const struct memory_reader *r); /* enum cache_failure */
/* Lets go. The struct may be freed at once unless it returns false: then `wake` is still under
 * way and `woken` will be called once more, with r->closed set, when it may be freed. */
bool memory_reader_close(struct memory_reader *r);
