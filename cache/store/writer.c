#include "cache/store/inside.h"

#include <time.h>

#include "base/counter.h"
#include "base/log.h"

#define WAIT_MS 50              /* for company in a small batch */
#define WAIT_BYTES (256u << 10) /* no longer small */
#define ORDER_BYTES 512         /* what a waiting put counts beside its pieces */
#define RETRY_MAX_MS 300000
#define FINISH_RUNS 100 /* more than the victims of one asking need */

static void set_state(struct store *s, enum store_state state)
{
    if (atomic_exchange(&s->state, (int)state) == (int)state)
        return;
    if (s->conf.changed)
        s->conf.changed(s->conf.context, state);
}

static void open_done(struct letter *l)
{
    struct store_job *job = CONTAINER_OF(l, struct store_job, letter);
    job->done(job);
}

void store_writer_send_home(struct store_job *job)
{
    if (job->home)
        letter_post(job->home, &job->letter, open_done);
    else
        job->done(job);
}

static uint64_t queue_share(const struct store_job *job)
{
    return job->verb == STORE_VERB_PUT
               ? ((const struct store_put *)(const void *)job)->bytes + ORDER_BYTES
               : 0;
}

void store_writer_end(struct store_commit *c, struct store_job *job)
{
    struct store *s = CONTAINER_OF(c, struct store, commit);
    atomic_fetch_sub(&s->queue_bytes, queue_share(job));
    atomic_fetch_sub(&s->queue_jobs, 1);
    store_writer_send_home(job);
}

bool store_writer_reopen(struct store_commit *c, bool wipe)
{
    struct store *s = CONTAINER_OF(c, struct store, commit);
    store_slice_shut(&s->slices);
    enum err err = store_guard_reopen(&s->guard, wipe);
    if (err != ERR_OK && !wipe) {
        wipe = true;
        err = store_guard_reopen(&s->guard, true);
    }
    store_slice_open(&s->slices);
    if (err == ERR_OK)
        err = store_commit_ready(c, wipe ? STORE_READY_EMPTIED : STORE_READY_SAME);
    if (err == ERR_OK) {
        atomic_store(&s->chunk_bytes, lmdb_value_max(s->guard.env));
        atomic_store(&s->page_bytes, lmdb_page_bytes(s->guard.env));
    }
    if (wipe)
        set_state(s, STORE_REOPENING);
    if (err == ERR_OK) {
        s->retry_ms = STORE_RETRY_MIN_MS;
        log_line(LOG_WARN, "store_reopened", "path=%s emptied=%s", s->guard.path,
                 wipe ? "yes" : "no");
        set_state(s, STORE_ON);
        return true;
    }
    log_line(LOG_ERROR, "store_off", "path=%s why=\"%s\" retry_ms=%lld", s->guard.path,
             err_text(err), (long long)s->retry_ms);
    atomic_store(&s->retry_at_ms, store_slice_clock_ms() + s->retry_ms);
    s->retry_ms = s->retry_ms * 2 < RETRY_MAX_MS ? s->retry_ms * 2 : RETRY_MAX_MS;
    set_state(s, STORE_OFF);
    return false;
}

static void take_waiting(struct store *s)
{
    struct letter *l;
    while (!store_commit_full(&s->commit) && letter_crew_take(s->writer, &l, 1)) {
        if (l == &s->chore) {
            atomic_store(&s->chore_out, false); /* each run does a chore as well */
            continue;
        }
        if (l == &s->tick) {
            l->open(l);
            continue;
        }
        store_commit_add(&s->commit, CONTAINER_OF(l, struct store_job, letter));
    }
}

static bool urgent(const struct store *s)
{
    return atomic_load(&s->queue_bytes) >= WAIT_BYTES || atomic_load(&s->stopping) ||
           atomic_load(&s->queue_jobs) >= STORE_BATCH_ORDERS;
}

/* Small batches wait for company, up to 50 ms. */
static void gather(struct store *s)
{
    struct timespec until;
    take_waiting(s);
    if (!s->conf.threads)
        return;
    must(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_nsec += WAIT_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    must(pthread_mutex_lock(&s->urge_lock) == 0);
    atomic_store(&s->waiting, true);
    int code = 0;
    while (code == 0 && !urgent(s))
        code = pthread_cond_timedwait(&s->urge, &s->urge_lock, &until);
    atomic_store(&s->waiting, false);
    must(pthread_mutex_unlock(&s->urge_lock) == 0);
    take_waiting(s);
}

static void open_chore(struct letter *l);

void store_writer_chores(struct store *s)
{
    if (store_commit_busy(&s->commit) && !atomic_load(&s->stopping) &&
        !atomic_exchange(&s->chore_out, true))
        letter_crew_post(s->writer, &s->chore, open_chore);
}

static void run_batch(struct store *s)
{
    store_commit_run(&s->commit);
    store_writer_chores(s);
}

static void open_chore(struct letter *l)
{
    struct store *s = CONTAINER_OF(l, struct store, chore);
    atomic_store(&s->chore_out, false);
    take_waiting(s);
    run_batch(s);
}

static void open_order(struct letter *l)
{
    struct store_job *job = CONTAINER_OF(l, struct store_job, letter);
    struct store *s = job->store;
    store_commit_add(&s->commit, job);
    gather(s);
    run_batch(s);
}

static void open_tick(struct letter *l)
{
    struct store *s = CONTAINER_OF(l, struct store, tick);
    atomic_store(&s->tick_out, false);
    if (!s->guard.env) {
        if (store_slice_clock_ms() >= atomic_load(&s->retry_at_ms))
            (void)store_writer_reopen(&s->commit, true);
        return;
    }
    lmdb_reader_check(s->guard.env);
    store_commit_tick(&s->commit);
}

static void urge(struct store *s)
{
    must(pthread_mutex_lock(&s->urge_lock) == 0);
    must(pthread_cond_signal(&s->urge) == 0);
    must(pthread_mutex_unlock(&s->urge_lock) == 0);
}

void store_writer_post(struct store *s, struct store_job *job)
{
    atomic_fetch_add(&s->queue_bytes, queue_share(job));
    atomic_fetch_add(&s->queue_jobs, 1);
    letter_crew_post(s->writer, &job->letter, open_order);
    if (atomic_load(&s->waiting) && urgent(s))
        urge(s);
}

void store_writer_tick(struct store *s)
{
    if (!atomic_exchange(&s->tick_out, true))
        letter_crew_post(s->writer, &s->tick, open_tick);
}

void store_writer_finish(struct store *s)
{
    atomic_store(&s->stopping, true);
    urge(s);
    letter_crew_destroy(s->writer);
    s->writer = NULL;
    /* What the index gave up is in no snapshot of it; bodies are known by pending records. */
    for (unsigned i = 0; i < FINISH_RUNS && s->guard.env && s->commit.victim_count > 0; i++)
        store_commit_run(&s->commit);
}
