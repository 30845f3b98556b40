#include "cache/memory/job.h"

#include <stdlib.h>
#include <time.h>

#include "base/counter.h"
#include "cache/memory/form.h"
#include "cache/memory/index.h"
#include "cache/memory/pin.h"
#include "cache/memory/tier.h"

/* Levels of the libraries. Of 1001 text files (20 MB) zstd 6, 9 and 19 made 92.9, 90.5 and
 * 84.8 % of what gzip 6 did; 9 took 0.4 s of CPU time, 19 9.5 s. From 12 on zstd takes more
 * than 17 MiB of memory for large bodies. */
#define FIRST_GZIP 6
#define FIRST_ZSTD 9
#define BEST_GZIP 9
#define BEST_ZSTD 19

#define AGAIN_MS 20    /* between two looks at what must end first */
#define DISK_MS 5000   /* waiting for the base to be on disk */
#define LATER_MS 10000 /* waiting for a fetch over the object to end */
#define COOL_MS 10000  /* after a failure; only then it can be asked for again */
#define NAP_MS 20      /* so promptly are threads told to end */
#define MS_NS INT64_C(1000000)

int64_t memory_job_clock_ns(clockid_t clock)
{
    struct timespec t;
    must(clock_gettime(clock, &t) == 0);
    return (int64_t)t.tv_sec * 1000 * MS_NS + t.tv_nsec;
}

/* --- the end of a job --- */

static void forget_made(struct memory_job *j)
{
    atomic_fetch_sub(&j->encoder->parked_bytes, j->parked_bytes);
    j->parked_bytes = 0;
    free(j->made.memory);
    j->made = (struct memory_encode_result){0};
}

static void let_go(struct memory_job *j)
{
    struct memory_encoder *e = j->encoder;
    memory_object_drop(j->base);
    memory_object_drop(j->form);
    atomic_fetch_sub(&e->held_bytes, j->held_bytes);
    atomic_fetch_sub(&e->jobs, 1);
    free(j);
}

static void end(struct memory_job *j)
{
    memory_encoder_forget(j);
    forget_made(j);
    while (j->twins) {
        struct memory_job *twin = j->twins;
        j->twins = twin->next;
        let_go(twin);
    }
    let_go(j);
}

/* Its body is nobody's. */
static void discard(struct memory_job *j)
{
    if (j->made.body_id)
        memory_pin_doom(j->encoder->tier->pins, j->made.body_id);
    forget_made(j);
}

static atomic_uchar *asked_of(struct memory_object *base, struct memory_object *form)
{
    return form ? &form->asked : &base->asked;
}

void memory_job_may_ask_again(struct memory_object *base, struct memory_object *form,
                              uint8_t bits)
{
    atomic_fetch_and_explicit(asked_of(base, form), (uint8_t)~bits, memory_order_relaxed);
}

/* It came to nothing; asking for it again shall not repeat that all the time. */
static void cool(struct memory_job *j, enum counter why)
{
    counter_add(why, 1);
    discard(j);
    j->phase = MEMORY_COOL;
    memory_encoder_line_up(j, MEMORY_LINE_COOLING, COOL_MS);
}

/* Looks again soon. False: for too long already. */
static bool wait_more(struct memory_job *j, int64_t most_ms)
{
    int64_t now = memory_job_clock_ns(CLOCK_MONOTONIC) / MS_NS;
    if (!j->until_ms)
        j->until_ms = now + most_ms;
    if (now >= j->until_ms)
        return false;
    memory_encoder_line_up(j, MEMORY_LINE_SOON, AGAIN_MS);
    return true;
}

/* --- adding --- */

static void count_made(const struct memory_job *j)
{
    static const struct {
        enum counter made, in, out;
    } counters[] = {
        [POLICY_IDENTITY] = {COUNTER_FORMS_MADE_IDENTITY, COUNTER_ENCODER_IN_IDENTITY,
                             COUNTER_ENCODER_OUT_IDENTITY},
        [POLICY_GZIP] = {COUNTER_FORMS_MADE_GZIP, COUNTER_ENCODER_IN_GZIP,
                         COUNTER_ENCODER_OUT_GZIP},
        [POLICY_ZSTD] = {COUNTER_FORMS_MADE_ZSTD, COUNTER_ENCODER_IN_ZSTD,
                         COUNTER_ENCODER_OUT_ZSTD},
    };
    counter_add(counters[j->to].made, 1);
    counter_add(counters[j->to].in, j->made.in_bytes);
    counter_add(counters[j->to].out, j->made.bytes);
}

/* The put is home: a body that is not on disk stays in RAM alone. */
static void landed(struct memory_job *j)
{
    if (j->sent && j->put.job.err == ERR_OK) {
        j->made.body_id = j->body.body_id;
        j->made.xxh3 = j->body.xxh3;
    }
    j->sent = false;
    store_body_fini(&j->body);
}

static void add(struct memory_job *j)
{
    landed(j);
    struct memory_form_body body = {
        .encoding = j->to,
        .best = j->form,
        .bytes = j->made.bytes,
        .in_memory = span_of(j->made.memory, j->made.memory ? (size_t)j->made.bytes : 0),
        .body_id = j->made.body_id,
        .xxh3 = j->made.xxh3,
        .on_disk = j->made.body_id,
    };
    switch (memory_form_add(j->base, &body)) {
    case MEMORY_FORM_ADDED:
        count_made(j);
        end(j);
        break;
    case MEMORY_FORM_LATER:
        if (atomic_load(&j->encoder->parked_bytes) > MEMORY_PARKED_BYTES ||
            !wait_more(j, LATER_MS))
            cool(j, COUNTER_ENCODER_LATE);
        break;
    case MEMORY_FORM_GONE:
        counter_add(COUNTER_ENCODER_LATE, 1);
        discard(j);
        end(j);
        break;
    }
}

static void put_came(struct store_job *job)
{
    struct memory_job *j = CONTAINER_OF(job, struct memory_job, put.job);
    struct memory_encoder *e = j->encoder;
    letter_post(&e->box, &j->letter, memory_encoder_arrived);
    atomic_fetch_sub(&e->at_store, 1); /* last: then the encoder may go */
}

/* A commit takes a while, so it is not waited for. */
static bool post_put(struct memory_job *j)
{
    struct memory_encoder *e = j->encoder;
    store_body_begin(e->tier->store, &j->body);
    j->piece = span_of(j->made.memory, (size_t)j->made.bytes);
    j->put = (struct store_put){
        .job.done = put_came, .body = &j->body, .piece = &j->piece, .piece_count = 1};
    j->sent = true;
    atomic_fetch_add(&e->at_store, 1);
    if (store_put(e->tier->store, &j->put) == ERR_OK)
        return true;
    j->sent = false;
    atomic_fetch_sub(&e->at_store, 1);
    return false;
}

/* --- making --- */

struct pace {
    struct memory_encoder *encoder;
    int64_t cpu_ns;
};

static void nap(const struct memory_encoder *e, int64_t ns)
{
    int64_t until = memory_job_clock_ns(CLOCK_MONOTONIC) + ns;
    for (int64_t left = ns; left > 0 && !atomic_load(&e->stop);
         left = until - memory_job_clock_ns(CLOCK_MONOTONIC)) {
        struct timespec t = {.tv_nsec = left < NAP_MS * MS_NS ? left : NAP_MS * MS_NS};
        (void)nanosleep(&t, NULL);
    }
}

/* After each step: pays for it. */
static bool pace(void *context, unsigned nap_ms)
{
    struct pace *p = context;
    struct memory_encoder *e = p->encoder;
    int64_t cpu = memory_job_clock_ns(CLOCK_THREAD_CPUTIME_ID), used = cpu - p->cpu_ns;
    p->cpu_ns = cpu;
    atomic_fetch_add(&e->cpu_ns, (unsigned long long)used);
    pthread_mutex_lock(&e->lock);
    int64_t now = memory_job_clock_ns(CLOCK_MONOTONIC);
    unsigned percent = atomic_load(&e->percent);
    if (percent != e->budget.percent)
        memory_budget_set(&e->budget, percent, now);
    int64_t wait = memory_budget_spend(&e->budget, used, now);
    pthread_mutex_unlock(&e->lock);
    nap(e, wait > nap_ms * MS_NS ? wait : nap_ms * MS_NS);
    return !atomic_load(&e->stop);
}

static int level(const struct memory_job *j)
{
    if (j->to == POLICY_ZSTD)
        return j->form ? BEST_ZSTD : FIRST_ZSTD;
    return j->form ? BEST_GZIP : FIRST_GZIP;
}

bool memory_job_has_form(const struct memory_object *o, enum policy_encoding to, bool best)
{
    for (unsigned i = 0; i < o->form_count; i++)
        if (o->form[i]->encoding == to && (o->form[i]->best || !best))
            return true;
    return false;
}

bool memory_job_is_hopeless(const struct memory_object *o, enum policy_encoding to)
{
    uint8_t marks = atomic_load_explicit(&o->marks, memory_order_relaxed);
    return (marks & MEMORY_MARK_BROKEN) || (to != POLICY_IDENTITY && marks & MEMORY_MARK_DENSE);
}

/* Is it still wanted? *out_on_disk: base and record are. */
static bool look(const struct memory_job *j, bool *out_on_disk)
{
    struct memory_place p;
    bool wanted = !memory_job_is_hopeless(j->base, j->to);
    *out_on_disk = atomic_load_explicit(&j->base->on_disk, memory_order_acquire);
    memory_place_open(j->encoder->tier->index, j->base->key, &p);
    enum memory_kind kind = memory_place_kind(&p);
    if (kind == MEMORY_OBJECT) {
        const struct memory_object *o = memory_place_object(&p);
        wanted = wanted && memory_object_same_body(o, j->base) &&
                 !memory_job_is_hopeless(o, j->to) && !memory_job_has_form(o, j->to, j->form);
        *out_on_disk = *out_on_disk || atomic_load_explicit(&o->on_disk, memory_order_acquire);
    } else if (kind != MEMORY_FILL) {
        wanted = false;
    }
    memory_place_close(&p);
    return wanted;
}

/* Whatever makes one of a better level look so, there is a form already. */
static void mark(struct memory_job *j, uint8_t marks, enum counter why)
{
    if (!j->form) {
        memory_form_mark(j->base, marks);
        counter_add(why, 1);
    }
    end(j);
}

static void ship(struct memory_job *j, bool to_disk)
{
    j->phase = MEMORY_ADD;
    j->until_ms = 0;
    j->parked_bytes = j->made.memory ? (size_t)j->made.bytes : 0;
    atomic_fetch_add(&j->encoder->parked_bytes, j->parked_bytes);
    if (!to_disk || j->made.body_id || !post_put(j))
        add(j);
}

static void make(struct memory_job *j)
{
    struct memory_tier *t = j->encoder->tier;
    bool on_disk;
    if (!look(j, &on_disk)) {
        end(j);
        return;
    }
    if (atomic_load(&j->encoder->parked_bytes) > MEMORY_PARKED_BYTES) {
        memory_encoder_line_up(j, MEMORY_LINE_SOON, AGAIN_MS);
        return;
    }
    bool disk = t->store && j->base->stored && j->base->body_id &&
                atomic_load_explicit(&t->store_on, memory_order_relaxed);
    if (disk && !on_disk && wait_more(j, DISK_MS))
        return;
    struct pace paced = {j->encoder, memory_job_clock_ns(CLOCK_THREAD_CPUTIME_ID)};
    struct memory_encode m = {
        .tier = t,
        .base = j->base,
        .to = j->to,
        .level = level(j),
        .most_bytes = j->form ? MEMORY_BEST_MAX : 0,
        .below_bytes = j->form ? (uint64_t)j->form->body_bytes : 0,
        .to_disk = disk && on_disk,
        .pause = pace,
        .context = &paced,
    };
    enum memory_encoded is = memory_encode_run(&m, &j->made);
    (void)pace(&paced, 0);
    switch (is) {
    case MEMORY_ENCODED:
        ship(j, m.to_disk);
        break;
    case MEMORY_ENCODED_DENSE:
        mark(j, MEMORY_MARK_DENSE, COUNTER_ENCODER_DENSE);
        break;
    case MEMORY_ENCODED_BROKEN:
        mark(j, MEMORY_MARK_BROKEN, COUNTER_ENCODER_BROKEN);
        break;
    case MEMORY_ENCODED_NO_GAIN:
    case MEMORY_ENCODED_STOPPED:
        end(j);
        break;
    case MEMORY_ENCODED_FAILED:
        cool(j, COUNTER_ENCODER_FAILED);
        break;
    }
}

void memory_job_run(struct memory_job *j)
{
    switch (j->phase) {
    case MEMORY_MAKE:
        make(j);
        break;
    case MEMORY_ADD:
        add(j);
        break;
    case MEMORY_COOL:
        memory_encoder_forget(j);
        memory_job_may_ask_again(j->base, j->form, POLICY_BIT(j->to));
        for (struct memory_job *twin = j->twins; twin; twin = twin->next)
            memory_job_may_ask_again(twin->base, twin->form, POLICY_BIT(j->to));
        end(j);
        break;
    }
}

void memory_job_give_up(struct memory_job *j)
{
    landed(j);
    discard(j);
    end(j);
}
