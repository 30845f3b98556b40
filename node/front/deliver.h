/* node/front/deliver.h - the body of an answer: all of it, ranges, or a text of our own.
 *
 * Walks what was planned (cache/policy/answer.h): the reader's bytes, or several ranges of
 * them with multipart heads between, or bytes that lie in memory.
 *
 * Thread: its loop's. Owns: nothing; texts lie in the arena.
 */
#pragma once

#include "cache/memory/reader.h"
#include "cache/policy/range.h"

struct front_deliver {
    struct memory_reader *reader; /* NULL: only `text` */
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
NODISCARD enum err front_deliver_peek(struct front_deliver *d, struct span *out);
void front_deliver_consume(struct front_deliver *d, size_t bytes);
