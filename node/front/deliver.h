/* node/front/deliver.h - the body of an answer: all of it, ranges, or a text of our own.
 *
 * Walks what was planned (cache/policy/answer.h): the reader's bytes, as they are or recoded,
 * or several ranges of them with multipart heads between, or bytes that lie in memory.
 *
 * Thread: its loop's. Owns: the recode, until _fini; texts lie in the arena. What makes one
 * writes over the struct: a fresh one, or one that was finished.
 */
#pragma once

#include "cache/memory/recode.h"
#include "cache/policy/range.h"

struct front_deliver {
    struct memory_reader *reader; /* NULL: only `text` */
    struct memory_recode *recode; /* on the reader; NULL: its bytes as they are */
    struct span text;             /* given first, before what the reader has next */
    struct policy_multipart multipart;
    struct policy_ranges ranges;
    uint32_t part; /* the next part's number */
    bool many, nothing;
    struct arena *arena;
};

void front_deliver_text(struct front_deliver *d, struct span text);
void front_deliver_nothing(struct front_deliver *d); /* 304, HEAD */
void front_deliver_all(struct front_deliver *d, struct memory_reader *r);
void front_deliver_range(struct front_deliver *d, struct memory_reader *r,
                         const struct policy_range *range);
/* d->multipart was made for d->ranges. */
void front_deliver_ranges(struct front_deliver *d, struct memory_reader *r, struct arena *a);
/* All of the reader's bytes, through `c`, which is taken over. */
void front_deliver_recoded(struct front_deliver *d, struct memory_reader *r,
                           struct memory_recode *c);
void front_deliver_fini(struct front_deliver *d); /* again: ok. Before the reader closes */
NODISCARD enum err front_deliver_peek(struct front_deliver *d, struct span *out);
void front_deliver_consume(struct front_deliver *d, size_t bytes);
