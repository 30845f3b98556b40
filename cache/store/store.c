#include "cache/store/store.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/log.h"
#include "cache/store/inside.h"

#define READERS_DEFAULT 2

static void thread_begin(void *context)
{
    (void)context;
    store_guard_hear_bus();
}

static void start(struct store *s)
{
    pthread_condattr_t attr;
    must(pthread_mutex_init(&s->urge_lock, NULL) == 0);
    must(pthread_condattr_init(&attr) == 0);
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    must(pthread_cond_init(&s->urge, &attr) == 0);
    (void)pthread_condattr_destroy(&attr);
    unsigned readers = s->conf.readers ? s->conf.readers : READERS_DEFAULT;
    s->writer = letter_crew_create(&(struct letter_crew_conf){
        .name = "store-write", .threads = s->conf.threads, .thread_begin = thread_begin});
    s->readers =
        letter_crew_create(&(struct letter_crew_conf){.name = "store-read",
                                                      .threads = s->conf.threads ? readers : 0,
                                                      .thread_begin = thread_begin});
}

/* Damage that was not seen before the first walk over a part of the contents. */
static enum err start_empty(struct store *s)
{
    log_line(LOG_ERROR, "store_wiped", "path=%s why=\"damaged\"", s->guard.path);
    store_slice_shut(&s->slices);
    enum err err = store_guard_reopen(&s->guard, true);
    store_slice_open(&s->slices);
    if (err == ERR_OK)
        err = store_commit_ready(&s->commit, STORE_READY_EMPTIED);
    s->found = (struct store_stamp){s->guard.store_id, s->guard.found_txnid};
    return err;
}

enum err store_open(const struct store_conf *conf, struct store **out)
{
    if (conf->map_bytes < STORE_MAP_MIN)
        return ERR_LIMIT;
    struct store *s = must_alloc(sizeof *s);
    s->conf = *conf;
    s->retry_ms = STORE_RETRY_MIN_MS;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    enum err err = store_guard_open(&s->guard, conf->path, conf->map_bytes / page * page);
    if (err != ERR_OK) {
        free(s);
        return err;
    }
    s->conf.path = s->guard.path;
    s->found = (struct store_stamp){s->guard.store_id, s->guard.found_txnid};
    atomic_store(&s->chunk_bytes, lmdb_value_max(s->guard.env));
    atomic_store(&s->page_bytes, lmdb_page_bytes(s->guard.env));
    store_slice_init(&s->slices, &s->guard);
    s->commit.guard = &s->guard;
    s->commit.slices = &s->slices;
    s->commit.choose = conf->choose;
    s->commit.context = conf->context;
    s->commit.reopen = store_writer_reopen;
    s->commit.end = store_writer_end;
    store_commit_init(&s->commit);
    start(s);
    err = store_commit_ready(&s->commit, STORE_READY_START);
    if (err == ERR_CORRUPT)
        err = start_empty(s);
    if (err != ERR_OK) {
        store_close(s);
        return err;
    }
    store_writer_chores(s);
    *out = s;
    return ERR_OK;
}

void store_stop(struct store *s)
{
    if (s->writer)
        store_writer_finish(s);
}

void store_stop_reading(struct store *s)
{
    letter_crew_destroy(s->readers);
    s->readers = NULL;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    store_stop(s);
    store_stop_reading(s);
    store_slice_fini(&s->slices);
    store_commit_fini(&s->commit);
    store_guard_close(&s->guard);
    (void)pthread_cond_destroy(&s->urge);
    (void)pthread_mutex_destroy(&s->urge_lock);
    free(s);
}

unsigned store_run(struct store *s)
{
    unsigned all = 0, n;
    do {
        n = s->writer ? letter_crew_run_all(s->writer) : 0;
        n += s->readers ? letter_crew_run_all(s->readers) : 0;
        all += n;
    } while (n > 0);
    return all;
}

void store_tick(struct store *s, int64_t now_ms)
{
    (void)now_ms;
    if (!atomic_load(&s->stopping))
        store_writer_tick(s);
}

struct store_stamp store_stamp_found(const struct store *s)
{
    return s->found;
}

struct store_stamp store_stamp_now(const struct store *s)
{
    return (struct store_stamp){s->guard.store_id, s->guard.env ? lmdb_txnid(s->guard.env) : 0};
}

const char *store_path(const struct store *s)
{
    return s->guard.path;
}

void store_scanned(struct store *s)
{
    store_guard_scanned(&s->guard);
}

const struct hash_key *store_secret(const struct store *s)
{
    return &s->guard.secret;
}

#define KEY_TEXT_SHORT 1024

struct hash128 store_key(const struct hash_key *secret, struct span primary, struct span vary)
{
    char room[KEY_TEXT_SHORT];
    size_t len = primary.len + 1 + vary.len;
    char *text = len <= sizeof room ? room : must_alloc(len);
    if (primary.len > 0)
        memcpy(text, primary.ptr, primary.len);
    text[primary.len] = 0;
    if (vary.len > 0)
        memcpy(text + primary.len + 1, vary.ptr, vary.len);
    struct hash128 h = hash_sip128(secret, span_of(text, len));
    if (text != room)
        free(text);
    return h;
}

struct store_numbers store_numbers(const struct store *s)
{
    struct store_numbers n = {.boot_no = s->guard.boot_no};
    memcpy(n.log_id, s->guard.log_id, sizeof n.log_id);
    return n;
}

enum err store_set_numbers(struct store *s, const struct store_numbers *n)
{
    return store_guard_set_numbers(&s->guard, n->boot_no, n->log_id);
}

static enum err post(struct store *s, struct store_job *job, enum store_verb verb)
{
    bool reads = verb == STORE_VERB_READ || verb == STORE_VERB_LOAD;
    if (atomic_load(&s->state) != STORE_ON ||
        (reads ? s->readers == NULL : atomic_load(&s->stopping)))
        return ERR_CLOSED;
    job->store = s;
    job->verb = (uint8_t)verb;
    job->err = ERR_OK;
    if (reads)
        store_reader_post(s, job);
    else
        store_writer_post(s, job);
    return ERR_OK;
}

void store_body_begin(struct store *s, struct store_body *b)
{
    store_body_begin_as(s, b, store_body_id(s));
}

void store_body_begin_as(struct store *s, struct store_body *b, uint64_t body_id)
{
    *b = (struct store_body){.body_id = body_id, .era = atomic_load(&s->commit.era)};
}

void store_body_fini(struct store_body *b)
{
    hash_stream_destroy(b->hash);
    b->hash = NULL;
}

uint64_t store_body_id(struct store *s)
{
    return atomic_fetch_add(&s->commit.next_id, 1);
}

bool store_has_room(const struct store *s, uint64_t bytes)
{
    return atomic_load(&s->queue_bytes) + bytes <= STORE_QUEUE_MAX;
}

enum err store_put(struct store *s, struct store_put *p)
{
    p->job.verb = STORE_VERB_PUT;
    p->bytes = store_order_bytes(&p->job);
    if (p->bytes > STORE_PIECE_MAX)
        return ERR_LIMIT;
    if (!store_has_room(s, p->bytes)) {
        atomic_fetch_add(&s->busy, 1);
        counter_add(COUNTER_CACHE_NOT_STORED_BUSY, 1);
        return ERR_LIMIT;
    }
    return post(s, &p->job, STORE_VERB_PUT);
}

enum err store_rewrite(struct store *s, struct store_rewrite *r)
{
    return post(s, &r->job, STORE_VERB_REWRITE);
}

enum err store_remove(struct store *s, struct store_remove *r)
{
    return post(s, &r->job, STORE_VERB_REMOVE);
}

enum err store_drop(struct store *s, struct store_drop *d)
{
    return post(s, &d->job, STORE_VERB_DROP);
}

enum err store_read(struct store *s, struct store_read *r)
{
    return post(s, &r->job, STORE_VERB_READ);
}

enum err store_load(struct store *s, struct store_load *l)
{
    return post(s, &l->job, STORE_VERB_LOAD);
}

static void free_remove(struct store_job *job)
{
    free(CONTAINER_OF(job, struct store_remove, job));
}

void store_remove_damaged(struct store *s, struct hash128 key)
{
    struct store_remove *r = calloc(1, sizeof *r);
    if (!r)
        return;
    r->job.done = free_remove;
    r->key = key;
    if (post(s, &r->job, STORE_VERB_REMOVE_DAMAGED) != ERR_OK)
        free(r);
}

uint32_t store_chunk_bytes(const struct store *s)
{
    return atomic_load(&s->chunk_bytes);
}

bool store_too_long(const struct store *s, uint64_t bytes)
{
    return bytes > (uint64_t)STORE_BODY_MAX * store_chunk_bytes(s);
}

uint32_t store_pages(const struct store *s, uint64_t body_bytes)
{
    uint64_t pages = body_bytes / store_chunk_bytes(s) + 1;
    return pages < UINT32_MAX ? (uint32_t)pages : UINT32_MAX;
}

static void page_figures(struct store *s, struct store_figures *out)
{
    enum err err;
    struct lmdb_pages p;
    struct lmdb_shape shape;
    const struct lmdb_db dbs[] = {s->guard.meta, s->guard.body, s->guard.sys};
    struct store_slot *slot = store_slice_begin(&s->slices, &err);
    if (!slot)
        return;
    lmdb_shape(&slot->txn, s->guard.meta, &shape);
    if (lmdb_pages(s->guard.env, &slot->txn, dbs, ARRAY_LEN(dbs), &p) == ERR_OK) {
        out->pages_used = p.used;
        out->pages_last = p.last;
        out->pages_max = p.max;
        out->objects = shape.entries;
    }
    store_slice_end(&s->slices, slot);
}

void store_figures(struct store *s, struct store_figures *out)
{
    struct store_commit_figures *f = &s->commit.figures;
    *out = (struct store_figures){
        .state = (enum store_state)atomic_load(&s->state),
        .page_bytes = atomic_load(&s->page_bytes),
        .queue_bytes = atomic_load(&s->queue_bytes),
        .oldest_reader_ms = store_slice_oldest_ms(&s->slices),
        .last_batch_ms = atomic_load(&f->last_batch_ms),
        .commits = atomic_load(&f->commits),
        .stored = atomic_load(&f->stored),
        .stored_bytes = atomic_load(&f->stored_bytes),
        .not_stored = atomic_load(&f->not_stored) + atomic_load(&s->busy),
        .evicted = atomic_load(&f->evicted),
        .map_full = atomic_load(&f->map_full),
        .errors = atomic_load(&f->errors),
        .corrupt = atomic_load(&s->corrupt),
        .freed_most = atomic_load(&f->freed_most),
        .deleting = atomic_load(&f->deleting),
    };
    page_figures(s, out);
}
