/* cache/memory/job.h - one form on its way: made, put on disk, added to its object.
 *
 * For encoder.c alone, which decides when; a job does one thing at a time and lines up for the
 * next. What was made waits at the store without a thread.
 *
 * Thread: the encoders', one per job at a time.
 * Locks: the encoder's is a leaf, and taken by no other thread: those who ask never wait for
 *        an idle one.
 * Limits: MEMORY_PARKED_BYTES of forms that are made and not added, a body more per thread.
 */
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include "base/letter.h"
#include "cache/memory/budget.h"
#include "cache/memory/encode.h"
#include "cache/memory/encoder.h"

#define MEMORY_PARKED_BYTES (UINT64_C(16) << 20)
/* Bytes, decoded: zstd's best level takes 35 MiB of memory for as much, for 8 MiB 90. */
#define MEMORY_BEST_MAX (INT64_C(2) << 20)
#define MEMORY_JOB_BUCKETS 1024u

enum memory_phase { MEMORY_MAKE, MEMORY_ADD, MEMORY_COOL };
struct memory_job {
    struct letter letter; /* to the encoder's box */
    struct memory_job *next;
    struct memory_job *chain, *twins; /* of its bucket; of the same form, asked for again */
    bool known;                       /* in its bucket */
    struct memory_encoder *encoder;
    struct memory_object *base; /* held */
    struct memory_object *form; /* held: what is to be bettered; NULL: what is missing */
    enum policy_encoding to;
    enum memory_phase phase;
    int64_t due_ms, until_ms; /* until: waiting for one thing ends; 0: not waiting yet */
    size_t held_bytes, parked_bytes;
    struct memory_encode_result made;
    bool sent; /* by this put, on its way or home again */
    struct store_body body;
    struct store_put put;
    struct span piece;
};

/* In the order in which they are served. Each is first in, first out, also by due_ms. */
enum memory_line_no {
    MEMORY_LINE_READY,   /* home from the store */
    MEMORY_LINE_SOON,    /* looks again when due */
    MEMORY_LINE_COOLING, /* likewise: what has failed */
    MEMORY_LINE_FIRST,   /* what is missing */
    MEMORY_LINE_HOT,     /* what could be better */
    MEMORY_LINES,
};
struct memory_line {
    struct memory_job *first, *last;
};

struct memory_encoder {
    struct memory_tier *tier;
    struct letter_crew *crew;
    struct memory_shift *shifts; /* a thread each, as long as the encoder lives */
    unsigned threads;
    struct letter_mailbox box; /* jobs from other threads */
    sem_t news;
    atomic_bool stop;
    atomic_uint jobs, at_store, percent;
    atomic_ullong held_bytes, parked_bytes, cpu_ns;
    pthread_mutex_t lock; /* protects the rest */
    struct memory_line line[MEMORY_LINES];
    /* All that did not end. Versions of an object do not know what others were asked for. */
    struct memory_job *bucket[MEMORY_JOB_BUCKETS];
    struct memory_budget budget;
};

/* encoder.c: its next run, due in so many ms. */
void memory_encoder_line_up(struct memory_job *j, enum memory_line_no line, int64_t ms);
void memory_encoder_arrived(struct letter *l); /* opens a letter in the box */
/* It is about to end: from here on its twins are its own. */
void memory_encoder_forget(struct memory_job *j);

void memory_job_run(struct memory_job *j);     /* the next thing; it may be gone then */
void memory_job_give_up(struct memory_job *j); /* at once, whatever it has made */
/* Can, and may, that be made of the object? */
bool memory_job_is_hopeless(const struct memory_object *o, enum policy_encoding to);
bool memory_job_has_form(const struct memory_object *o, enum policy_encoding to, bool best);
/* Asking for these forms has an effect again. */
void memory_job_may_ask_again(struct memory_object *base, struct memory_object *form,
                              uint8_t bits);
int64_t memory_job_clock_ns(clockid_t clock);
