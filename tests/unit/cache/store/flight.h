/* tests/unit/cache/store/flight.h - a put under way: one of several that a thread has out.
 *
 * An object goes in parts of about 1 MiB. What it replaced is dropped when it has landed, and
 * what came of it when it has not.
 */
#pragma once

#include "bed.h"

struct flight {
    struct bed *bed;
    struct bed_object object;
    size_t step;
    bool bare; /* without its record: a body that no record names yet */
    bool under_way;
    enum err err;
    /* Runs in the thread that began it, in bed_wait at the latest. The object is there. */
    void (*landed)(struct flight *f);
    void *context;
};

static inline void flight_free_drop(struct store_job *job)
{
    free(CONTAINER_OF(job, struct store_drop, job));
}

static inline void flight_drop(struct bed *b, uint64_t body_id)
{
    struct store_drop *d = must_alloc(sizeof *d);
    d->job.done = flight_free_drop;
    d->body_id = body_id;
    if (store_drop(b->store, d) != ERR_OK)
        free(d);
}

static inline void flight_land(struct flight *f, enum err err)
{
    struct store_put *p = &f->object.put;
    f->err = err;
    f->under_way = false;
    if (err != ERR_OK && p->at > 0)
        flight_drop(f->bed, f->object.store_body.body_id);
    for (unsigned i = 0; err == ERR_OK && i < p->replaced_count; i++)
        flight_drop(f->bed, p->replaced[i]);
    f->landed(f);
    bed_object_fini(&f->object);
}

static inline void flight_post(struct flight *f, uint64_t at)
{
    struct bed_object *o = &f->object;
    bool last = o->bytes - at <= f->step;
    o->piece = span_of(o->body + at, last ? o->bytes - at : f->step);
    o->put.at = at;
    o->put.record = last && !f->bare ? &o->record : NULL;
    enum err err = store_put(f->bed->store, &o->put);
    if (err != ERR_OK)
        flight_land(f, err);
}

static inline void flight_part_done(struct store_job *job)
{
    struct flight *f = CONTAINER_OF(job, struct flight, object.put.job);
    uint64_t next = f->object.put.at + f->step;
    if (job->err != ERR_OK || next >= f->object.bytes)
        flight_land(f, job->err);
    else
        flight_post(f, next);
}

static inline size_t flight_step(const struct bed *b)
{
    size_t chunk = store_chunk_bytes(b->store);
    return STORE_PIECE_MAX / chunk * chunk;
}

/* bed, landed and context are set; the object may be changed before flight_begin. */
static inline void flight_init(struct flight *f, uint64_t number, uint64_t seed, size_t bytes)
{
    must(!f->under_way);
    f->step = flight_step(f->bed);
    bed_object_init(f->bed, &f->object, number, seed, bytes);
    f->object.put.job.done = flight_part_done;
}

static inline void flight_begin(struct flight *f)
{
    f->under_way = true;
    flight_post(f, 0);
}
