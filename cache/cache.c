#include "cache/cache.h"

#include <sched.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "base/log.h"
#include "cache/core.h"
#include "cache/memory/encoder.h"
#include "cache/memory/evict.h"
#include "cache/memory/fill.h"
#include "cache/memory/index.h"
#include "cache/memory/object.h"
#include "cache/memory/pin.h"
#include "cache/memory/sweep.h"
#include "cache/memory/warm.h"
#include "cache/policy/key.h"

#define PURGE_ARENA_BYTES ((size_t)1 << 20)
#define STORE_TICK_MS 1000
#define ENCODERS 2u /* threads; one on a machine of up to two CPUs */

static void store_changed(void *context, enum store_state state)
{
    struct memory_tier *t = context;
    atomic_store_explicit(&t->store_on, state == STORE_ON, memory_order_relaxed);
    if (state == STORE_REOPENING)
        memory_index_disk_gone(t->index);
}

static enum err open_store(struct cache *c, const struct cache_conf *conf)
{
    if (!conf->path || !conf->path[0] || conf->cache->disk_bytes < STORE_MAP_MIN)
        return ERR_OK;
    struct store_conf store = {
        .path = conf->path,
        .map_bytes = conf->cache->disk_bytes,
        .verify = conf->cache->verify_full,
        .readers = conf->reader_threads,
        .threads = true,
        .choose = memory_evict_choose,
        .changed = store_changed,
        .context = &c->tier,
    };
    enum err e = store_open(&store, &c->tier.store);
    if (e == ERR_REFUSED)
        return e;
    if (e != ERR_OK) {
        c->tier.store = NULL;
        log_line(LOG_ERROR, "cache_disk_off", "reason=%s", err_text(e));
    }
    return ERR_OK;
}

/* The number of this start, above all that were ever used; and may what is on disk be trusted?
 */
static bool open_numbers(struct cache *c, const struct cache_conf *conf)
{
    struct store_numbers now = {.boot_no = conf->purge_boot_no};
    if (conf->purge_log_id.len == sizeof(now.log_id))
        memcpy(now.log_id, conf->purge_log_id.ptr, sizeof(now.log_id));
    bool same = true;
    if (c->tier.store) {
        struct store_numbers old = store_numbers(c->tier.store);
        /* One that was never opened before holds nothing to distrust. */
        same = old.boot_no == 0 || memcmp(old.log_id, now.log_id, sizeof(now.log_id)) == 0;
        if (old.boot_no > now.boot_no)
            now.boot_no = old.boot_no;
    }
    now.boot_no++;
    if (c->tier.store && store_set_numbers(c->tier.store, &now) != ERR_OK) {
        log_line(LOG_ERROR, "cache_disk_off", "reason=numbers_not_written");
        store_close(c->tier.store);
        c->tier.store = NULL;
    }
    c->boot_no = now.boot_no;
    return same;
}

static void open_tier(struct cache *c, const struct cache_conf *conf, bool trusted)
{
    struct memory_tier *t = &c->tier;
    if (t->store)
        t->secret = *store_secret(t->store);
    else
        crypto_random(&t->secret, sizeof(t->secret));
    t->memory_max_bytes = conf->cache->memory_bytes;
    t->object_max_bytes = conf->cache->object_max_bytes;
    t->max_objects = conf->cache->max_objects;
    t->verify = conf->cache->verify_full;
    t->epoch = memory_epoch_create(&t->secret, c->boot_no);
    t->pins = memory_pin_create(t->store, t->memory_max_bytes / 4096);
    atomic_store_explicit(&t->store_on, t->store != NULL, memory_order_relaxed);
    if (!trusted) {
        /* Purges may have been missed: nothing that older starts stored is fresh. */
        struct memory_purge all = {.kind = PURGE_ALL, .mode = PURGE_SOFT};
        struct store_figures f = {.objects = 0};
        memory_epoch_apply(t->epoch, &all, c->boot_no << 40);
        if (t->store)
            store_figures(t->store, &f);
        if (f.objects > 0) /* a first start has nothing to distrust */
            log_line(LOG_WARN, "cache_distrusted", "reason=other_purge_log");
    }
}

/* In the affinity mask. */
static unsigned cpus(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > 1 ? (unsigned)count : 1;
}

void cache_set_variants(struct cache *c, const struct conf_variants *conf)
{
    if (conf->cpu_percent)
        memory_encoder_set_budget(c->tier.encoder, conf->cpu_percent * cpus());
}

enum err cache_open(const struct cache_conf *conf, struct cache **out)
{
    struct cache *c = must_alloc(sizeof(*c));
    c->control = conf->control;
    c->invalidated = conf->invalidated;
    c->user = conf->user;
    pthread_mutex_init(&c->tier.stalled_lock, NULL);
    arena_init(&c->purge_arena, PURGE_ARENA_BYTES);
    /* First, because a store that is emptied while it opens says so. */
    c->tier.index = memory_index_create(&c->tier);
    enum err e = open_store(c, conf);
    if (e != ERR_OK) {
        memory_index_destroy(c->tier.index);
        pthread_mutex_destroy(&c->tier.stalled_lock);
        free(c);
        return e;
    }
    bool trusted = open_numbers(c, conf);
    open_tier(c, conf, trusted);
#ifdef PERIGEE_FAULTS
    const char *fault = getenv("PERIGEE_PLANT_FAULT");
    c->tier.no_join_fence = fault && strcmp(fault, "join-fence") == 0;
#endif
    if (c->tier.store && !memory_warm_read(&c->tier))
        c->warm = memory_warm_start(&c->tier);
    c->sweep = memory_sweep_create(&c->tier, &conf->confs);
    c->tier.encoder = memory_encoder_create(&c->tier, cpus() > 2 ? ENCODERS : 1);
    cache_set_variants(c, &conf->cache->variants);
    *out = c;
    return ERR_OK;
}

static void let_stalled_go(struct memory_tier *t)
{
    for (struct memory_fill *next; t->stalled; t->stalled = next) {
        next = t->stalled->stalled_next;
        memory_fill_drop(t->stalled);
    }
}

void cache_close(struct cache *c)
{
    if (!c)
        return;
    struct memory_tier *t = &c->tier;
    memory_sweep_destroy(c->sweep);
    memory_encoder_destroy(t->encoder); /* what it has at the store ends before that stops */
    t->encoder = NULL;
    memory_warm_stop(c->warm);
    let_stalled_go(t);
    if (t->store) {
        store_stop_reading(t->store); /* loads under way end in the index */
        store_stop(t->store);
        atomic_store_explicit(&t->store_on, false, memory_order_relaxed);
        memory_warm_write(t);
    }
    memory_index_destroy(t->index);
    memory_pin_destroy(t->pins);
    memory_epoch_destroy(t->epoch);
    store_close(t->store);
    pthread_mutex_destroy(&t->stalled_lock);
    arena_fini(&c->purge_arena);
    free(c);
}

uint64_t cache_boot_no(const struct cache *c)
{
    return c->boot_no;
}

uint64_t cache_apply_no_next(struct cache *c)
{
    return memory_epoch_reserve(c->tier.epoch);
}

uint64_t cache_apply_no_step(struct cache *c)
{
    return memory_epoch_step(c->tier.epoch);
}

struct memory_purge *cache_purge_read(const struct purge *p, const struct conf *conf,
                                      struct arena *a, enum err *out_err)
{
    struct span *names = NULL;
    uint32_t count = 0;
    struct memory_purge *named = arena_zalloc(a, sizeof *named);
    *out_err = named ? policy_key_purge(p, conf, a, &names, &count) : ERR_LIMIT;
    if (*out_err != ERR_OK)
        return NULL;
    *named = (struct memory_purge){
        .kind = p->kind, .mode = p->mode, .site = p->site, .names = names, .name_count = count};
    return named;
}

void cache_purge_ahead(struct cache *c, const struct purge *p, const struct conf *conf,
                       struct arena *a)
{
    enum err e;
    struct memory_purge *named = cache_purge_read(p, conf, a, &e);
    if (named)
        (void)memory_epoch_apply_now(c->tier.epoch, named);
}

void cache_purge_apply(struct cache *c, const struct memory_purge *named, uint64_t apply_no)
{
    memory_epoch_apply(c->tier.epoch, named, apply_no);
}

enum err cache_purge(struct cache *c, const struct purge *p, uint64_t apply_no,
                     const struct conf *conf)
{
    enum err e;
    struct memory_purge *named = cache_purge_read(p, conf, &c->purge_arena, &e);
    if (named)
        cache_purge_apply(c, named, apply_no);
    else
        memory_epoch_skip(c->tier.epoch, apply_no);
    arena_reset(&c->purge_arena);
    return e;
}

enum err cache_purge_numbered(struct cache *c, const struct purge *p, const struct conf *conf,
                              void (*numbered)(void *user, uint64_t apply_no), void *user,
                              uint64_t *out_apply_no)
{
    uint64_t no = cache_apply_no_next(c);
    numbered(user, no);
    *out_apply_no = no;
    return cache_purge(c, p, no, conf);
}

void cache_rename(struct cache *c)
{
    memory_epoch_rename(c->tier.epoch);
}

void cache_keep_purges(struct cache *c, uint64_t from)
{
    memory_epoch_keep(c->tier.epoch, from);
}

void cache_set_caution(struct cache *c, bool on)
{
    /* A number of its own, so that what is sent from now on is not taken for older. */
    uint64_t below = on ? memory_epoch_step(c->tier.epoch) : 0;
    atomic_store_explicit(&c->tier.doubted_below, below, memory_order_release);
}

void cache_watch(struct cache *c, int64_t max_ms)
{
    atomic_store_explicit(&c->tier.watch_ms, max_ms, memory_order_relaxed);
}

uint64_t cache_purges_swept(const struct cache *c)
{
    return memory_epoch_swept(c->tier.epoch);
}

uint64_t cache_purge_count(struct cache *c, const struct purge *purges, uint32_t purge_count,
                           const struct conf *conf)
{
    struct arena a;
    enum err e;
    uint32_t known = 0;
    struct memory_purge **named = must_alloc((purge_count + 1) * sizeof(struct memory_purge *));
    arena_init(&a, purge_count * PURGE_ARENA_BYTES);
    for (uint32_t i = 0; i < purge_count; i++) {
        named[known] = cache_purge_read(&purges[i], conf, &a, &e);
        known += named[known] != NULL;
    }
    uint64_t count = known ? memory_sweep_count(&c->tier, named, known, conf) : 0;
    arena_fini(&a);
    free(named);
    return count;
}

void cache_tick(struct cache *c, int64_t now_ms, int64_t now_s)
{
    struct memory_tier *t = &c->tier;
    atomic_store_explicit(&t->now_ms, now_ms, memory_order_release);
    atomic_store_explicit(&t->now_s, now_s, memory_order_relaxed);
    memory_fill_check_stalled(t);
    memory_sweep_tick(c->sweep, now_ms);
    if (t->store && now_ms - c->store_tick_ms >= STORE_TICK_MS) {
        c->store_tick_ms = now_ms;
        store_tick(t->store, now_ms);
    }
}

void cache_figures(struct cache *c, struct cache_figures *out)
{
    struct memory_tier *t = &c->tier;
    struct memory_epoch_figures epoch;
    struct memory_encoder_figures encoder;
    memory_epoch_figures(t->epoch, &epoch);
    memory_encoder_figures(t->encoder, &encoder);
    *out = (struct cache_figures){
        .objects = memory_index_count(t->index),
        .objects_in_memory = atomic_load_explicit(&t->resident, memory_order_relaxed),
        .memory_bytes = atomic_load_explicit(&t->memory_bytes, memory_order_relaxed),
        .memory_max_bytes = t->memory_max_bytes,
        .fills = atomic_load_explicit(&t->fills, memory_order_relaxed),
        .purge_names = epoch.names + epoch.prefixes,
        .apply_no = epoch.apply_no,
        .encoder_waiting = encoder.waiting,
        .encoder_cpu_us = encoder.cpu_us,
        .disk_on = t->store && atomic_load_explicit(&t->store_on, memory_order_relaxed),
        .scanning = atomic_load_explicit(&t->scanning, memory_order_relaxed),
    };
    if (!t->store)
        return;
    struct store_figures s;
    store_figures(t->store, &s);
    out->disk_pages_used = s.pages_used;
    out->disk_pages_last = s.pages_last;
    out->disk_pages_max = s.pages_max;
    out->disk_page_bytes = s.page_bytes;
    out->queue_bytes = s.queue_bytes;
    out->oldest_reader_ms = s.oldest_reader_ms;
    out->last_batch_ms = s.last_batch_ms;
}
