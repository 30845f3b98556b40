#include "cache/memory/encoder.h"

#include <stdlib.h>
#include <time.h>

#include "base/counter.h"
#include "cache/memory/job.h"
#include "cache/memory/tier.h"

/* What waits keeps its objects in RAM: at most this share of all. */
#define HELD_SHARE 8
#define MS_NS INT64_C(1000000)

struct memory_shift {
    struct letter letter;
    struct memory_encoder *encoder;
};

static int64_t now_ms(void)
{
    return memory_job_clock_ns(CLOCK_MONOTONIC) / MS_NS;
}

/* --- lines --- */

static void append(struct memory_line *l, struct memory_job *j)
{
    j->next = NULL;
    if (l->last)
        l->last->next = j;
    else
        l->first = j;
    l->last = j;
}

static struct memory_job *pop(struct memory_line *l)
{
    struct memory_job *j = l->first;
    l->first = j->next;
    if (!l->first)
        l->last = NULL;
    return j;
}

static struct memory_job **bucket_of(const struct memory_job *j)
{
    uint64_t hash = j->base->key.lo + (uint64_t)j->to; /* keys are even */
    return &j->encoder->bucket[hash % MEMORY_JOB_BUCKETS];
}

static bool is_twin(const struct memory_job *a, const struct memory_job *b)
{
    return a->to == b->to && !a->form == !b->form &&
           hash128_equal(a->base->key, b->base->key) &&
           memory_object_same_body(a->base, b->base);
}

/* False: the same is under way, and has taken it. */
static bool enter(struct memory_job *j)
{
    struct memory_job **bucket = bucket_of(j);
    for (struct memory_job *i = *bucket; i; i = i->chain)
        if (is_twin(i, j)) {
            j->next = i->twins;
            i->twins = j;
            return false;
        }
    j->chain = *bucket;
    *bucket = j;
    j->known = true;
    return true;
}

void memory_encoder_forget(struct memory_job *j)
{
    pthread_mutex_lock(&j->encoder->lock);
    struct memory_job **at = bucket_of(j);
    while (j->known && *at != j)
        at = &(*at)->chain;
    if (j->known)
        *at = j->chain;
    j->known = false;
    pthread_mutex_unlock(&j->encoder->lock);
}

/* In whichever thread opens the box, with the lock held. */
void memory_encoder_arrived(struct letter *l)
{
    struct memory_job *j = CONTAINER_OF(l, struct memory_job, letter);
    if (!j->known && !enter(j))
        return;
    enum memory_line_no is = j->phase == MEMORY_ADD ? MEMORY_LINE_READY
                             : j->form              ? MEMORY_LINE_HOT
                                                    : MEMORY_LINE_FIRST;
    append(&j->encoder->line[is], j);
}

static void wake(void *encoder)
{
    (void)sem_post(&((struct memory_encoder *)encoder)->news);
}

void memory_encoder_line_up(struct memory_job *j, enum memory_line_no line, int64_t ms)
{
    struct memory_encoder *e = j->encoder;
    pthread_mutex_lock(&e->lock);
    j->due_ms = now_ms() + ms;
    append(&e->line[line], j);
    pthread_mutex_unlock(&e->lock);
    if (e->threads > 1) /* another one may sleep longer than that */
        wake(e);
}

static bool is_due(const struct memory_encoder *e, enum memory_line_no line, int64_t now)
{
    const struct memory_job *j = e->line[line].first;
    if (!j)
        return false;
    switch (line) {
    case MEMORY_LINE_SOON:
    case MEMORY_LINE_COOLING:
        return j->due_ms <= now;
    case MEMORY_LINE_FIRST:
    case MEMORY_LINE_HOT:
        return atomic_load(&e->parked_bytes) <= MEMORY_PARKED_BYTES;
    case MEMORY_LINE_READY:
    case MEMORY_LINES:
        break;
    }
    return true;
}

/* With the lock held. NULL: nothing can be done now; *out_due_ms: but then, or -1. */
static struct memory_job *next_job(struct memory_encoder *e, int64_t *out_due_ms)
{
    int64_t now = now_ms();
    *out_due_ms = -1;
    (void)letter_open_all(&e->box);
    for (enum memory_line_no i = MEMORY_LINE_READY; i < MEMORY_LINES; i++)
        if (is_due(e, i, now))
            return pop(&e->line[i]);
    for (enum memory_line_no i = MEMORY_LINE_READY; i < MEMORY_LINES; i++) {
        const struct memory_job *j = e->line[i].first;
        if (j && (i == MEMORY_LINE_SOON || i == MEMORY_LINE_COOLING) &&
            (*out_due_ms < 0 || j->due_ms < *out_due_ms))
            *out_due_ms = j->due_ms;
    }
    return NULL;
}

static bool waits(const struct memory_encoder *e)
{
    return e->line[MEMORY_LINE_READY].first || e->line[MEMORY_LINE_FIRST].first ||
           e->line[MEMORY_LINE_HOT].first;
}

/* --- threads --- */

static void wait_for_news(struct memory_encoder *e, int64_t due_ms)
{
    struct timespec until = {.tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * MS_NS};
    if (due_ms < 0)
        (void)sem_wait(&e->news);
    else
        (void)sem_clockwait(&e->news, CLOCK_MONOTONIC, &until);
}

static void work(struct letter *l)
{
    struct memory_encoder *e = CONTAINER_OF(l, struct memory_shift, letter)->encoder;
    while (!atomic_load(&e->stop)) {
        int64_t due_ms;
        pthread_mutex_lock(&e->lock);
        struct memory_job *j = next_job(e, &due_ms);
        bool more = j && e->threads > 1 && waits(e);
        pthread_mutex_unlock(&e->lock);
        if (more) /* the box wakes only one */
            wake(e);
        if (j)
            memory_job_run(j);
        else
            wait_for_news(e, due_ms);
    }
}

unsigned memory_encoder_run(struct memory_encoder *e)
{
    struct memory_job *j;
    int64_t due_ms;
    unsigned count = 0;
    must(e->threads == 0);
    for (; (j = next_job(e, &due_ms)); count++)
        memory_job_run(j);
    return count;
}

struct memory_encoder *memory_encoder_create(struct memory_tier *t, unsigned threads)
{
    struct memory_encoder *e = must_alloc(sizeof(*e));
    e->tier = t;
    e->threads = threads;
    letter_mailbox_init(&e->box, wake, e);
    must(sem_init(&e->news, 0, 0) == 0);
    must(pthread_mutex_init(&e->lock, NULL) == 0);
    atomic_init(&e->percent, 100);
    memory_budget_init(&e->budget, 100, memory_job_clock_ns(CLOCK_MONOTONIC));
    e->crew = letter_crew_create(
        &(struct letter_crew_conf){.name = "encoder", .threads = threads, .idle = true});
    e->shifts = must_alloc((threads + 1) * sizeof(*e->shifts));
    for (unsigned i = 0; i < threads; i++) {
        e->shifts[i].encoder = e;
        letter_crew_post(e->crew, &e->shifts[i].letter, work);
    }
    return e;
}

void memory_encoder_destroy(struct memory_encoder *e)
{
    if (!e)
        return;
    atomic_store(&e->stop, true);
    for (unsigned i = 0; i < e->threads; i++)
        wake(e);
    letter_crew_destroy(e->crew);
    while (atomic_load(&e->at_store)) {
        const struct timespec t = {.tv_nsec = MS_NS};
        (void)nanosleep(&t, NULL);
    }
    (void)letter_open_all(&e->box);
    for (enum memory_line_no i = MEMORY_LINE_READY; i < MEMORY_LINES; i++)
        while (e->line[i].first) {
            struct memory_job *j = pop(&e->line[i]);
            memory_job_give_up(j);
        }
    must(atomic_load(&e->jobs) == 0);
    (void)sem_destroy(&e->news);
    (void)pthread_mutex_destroy(&e->lock);
    free(e->shifts);
    free(e);
}

void memory_encoder_set_budget(struct memory_encoder *e, unsigned percent)
{
    atomic_store(&e->percent, percent ? percent : 1);
}

void memory_encoder_figures(struct memory_encoder *e, struct memory_encoder_figures *out)
{
    out->waiting = atomic_load(&e->jobs);
    out->cpu_us = atomic_load(&e->cpu_ns) / 1000;
}

/* --- asking --- */

static bool has_place(struct memory_encoder *e, size_t bytes)
{
    uint64_t held = atomic_fetch_add(&e->held_bytes, bytes);
    bool few = atomic_fetch_add(&e->jobs, 1) < MEMORY_ENCODER_QUEUE;
    if (few && (held == 0 || held + bytes <= e->tier->memory_max_bytes / HELD_SHARE))
        return true;
    atomic_fetch_sub(&e->held_bytes, bytes);
    atomic_fetch_sub(&e->jobs, 1);
    return false;
}

static void post(struct memory_encoder *e, struct memory_object *base,
                 struct memory_object *form, enum policy_encoding to)
{
    size_t bytes = base->bytes + (form ? form->bytes : 0);
    bool place = has_place(e, bytes);
    struct memory_job *j = place ? calloc(1, sizeof(*j)) : NULL;
    if (!j) {
        if (place) {
            atomic_fetch_sub(&e->held_bytes, bytes);
            atomic_fetch_sub(&e->jobs, 1);
        }
        memory_job_may_ask_again(base, form, POLICY_BIT(to));
        counter_add(COUNTER_ENCODER_DROPPED, 1);
        return;
    }
    j->encoder = e;
    j->base = memory_object_hold(base);
    j->form = form ? memory_object_hold(form) : NULL;
    j->to = to;
    j->held_bytes = bytes;
    letter_post(&e->box, &j->letter, memory_encoder_arrived);
}

/* What can be made of it at all. */
static uint8_t makeable(const struct memory_object *o)
{
    uint8_t all = POLICY_MAKEABLE | POLICY_BIT(POLICY_IDENTITY);
    if (o->derived || o->body_bytes <= 0 || !(POLICY_BIT(o->encoding) & all))
        return 0;
    for (enum policy_encoding i = POLICY_IDENTITY; i < POLICY_ENCODINGS; i++)
        if (i == o->encoding || memory_job_is_hopeless(o, i) ||
            memory_job_has_form(o, i, false))
            all &= (uint8_t)~POLICY_BIT(i);
    return all;
}

void memory_encoder_ask(struct memory_encoder *e, struct memory_object *base, uint8_t bits)
{
    bits &= (uint8_t)~atomic_load_explicit(&base->asked, memory_order_relaxed);
    if (!bits)
        return;
    bits &= makeable(base);
    bits &= (uint8_t)~atomic_fetch_or_explicit(&base->asked, bits, memory_order_relaxed);
    for (enum policy_encoding i = POLICY_IDENTITY; i < POLICY_ENCODINGS; i++)
        if (bits & POLICY_BIT(i))
            post(e, base, NULL, i);
}

void memory_encoder_used(struct memory_encoder *e, struct memory_object *base,
                         struct memory_object *form)
{
    unsigned given = 1 + atomic_fetch_add_explicit(&form->given, 1, memory_order_relaxed);
    uint8_t bit = POLICY_BIT(form->encoding);
    if (given % MEMORY_ENCODER_HOT || form->best || !(bit & POLICY_MAKEABLE) ||
        base->body_bytes > MEMORY_BEST_MAX ||
        atomic_fetch_or_explicit(&form->asked, bit, memory_order_relaxed) & bit)
        return;
    post(e, base, form, (enum policy_encoding)form->encoding);
}
