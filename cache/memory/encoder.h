/* cache/memory/encoder.h - makes an object's missing forms, once per body.
 *
 * A crew of SCHED_IDLE threads with a queue of objects and encodings. What is asked for first
 * is made at a middle level; a form that was given MEMORY_ENCODER_HOT times is made anew at the
 * highest when nothing else waits, unless it is a large one. Both within a budget of CPU time.
 * Bodies up to MEMORY_BODY_MAX are made in RAM, larger ones stream from the store into it.
 * Nothing half-made is kept.
 *
 * A body that does not get 5 % smaller is not kept, and marked dense: it is not tried again, in
 * any encoding, also not after a restart. The first 128 KiB of a larger one decide early.
 * Undecodable bodies are marked likewise.
 *
 * Thread: ask by any (never blocks); the rest as cache.c.
 * Limits: MEMORY_ENCODER_QUEUE forms wait, of objects that take an eighth of the RAM tier; more
 * are dropped, counted, and asked for again by a later hit. Forms up to 2 MiB get better.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cache/policy/encoding.h"

struct memory_encoder;
struct memory_object;
struct memory_tier;

#define MEMORY_ENCODER_QUEUE 4096u
#define MEMORY_ENCODER_HOT 4u

/* threads 0: jobs run in memory_encoder_run (tests). */
struct memory_encoder *memory_encoder_create(struct memory_tier *t, unsigned threads);
void memory_encoder_destroy(
    struct memory_encoder *e); /* breaks off what is under way; NULL ok */
/* Percent of one CPU, 1..100 times the number of CPUs. */
void memory_encoder_set_budget(struct memory_encoder *e, unsigned percent);
/* `bits` (POLICY_BIT) of forms that clients would have taken of this base, whose body is whole
 * by now. Costs an atomic load when they were asked for already. */
void memory_encoder_ask(struct memory_encoder *e, struct memory_object *base, uint8_t bits);
/* A form of `base` was given once more; counts it. */
void memory_encoder_used(struct memory_encoder *e, struct memory_object *base,
                         struct memory_object *form);
unsigned memory_encoder_run(struct memory_encoder *e); /* how many jobs */

struct memory_encoder_figures {
    uint64_t waiting, cpu_us;
};
void memory_encoder_figures(struct memory_encoder *e, struct memory_encoder_figures *out);
