#include <stdio.h>
#include <stdlib.h>

#include "base/counter.h"
#include "base/crypto.h"
#include "base/log.h"
#include "cache/cache.h"
#include "node/change.h"
#include "node/purges_core.h"
#include "node/setup/setup.h"

#define READ_ARENA_BYTES                                                                       \
    ((size_t)256 << 20) /* of one call; selectors and sites bound it before */
#define RECENT_S 3600   /* records that a failing disk may not have yet are younger */

/* --- open --- */

static uint64_t draw_stream(void)
{
    uint64_t id;
    do
        id = crypto_random_u64();
    while (id == 0);
    return id;
}

static void begin_counter(void *context)
{
    (void)context;
    counter_thread_init();
}

enum err node_purges_open(const struct node_purges_conf *c, struct node_purges **out)
{
    const struct conf *conf = c->conf;
    char folder[4096];
    int len = snprintf(folder, sizeof folder, "%s/purge-log", conf->node.data_dir);
    if (len < 0 || (size_t)len >= sizeof folder)
        return ERR_LIMIT;
    struct node_purges *p = must_alloc(sizeof *p);
    p->conf = *c;
    p->conf.conf = NULL;
    p->node_id = span_dup(span_text(conf->node.id));
    struct cluster_purge_log_conf log = {.node = p->node_id,
                                         .keep_s = (int64_t)conf->purge_log_keep_s,
                                         .stream_id = draw_stream(),
                                         .answered = purges_sync_log_answered,
                                         .user = p};
    crypto_random(&log.hash_key, sizeof log.hash_key);
    p->log = cluster_purge_log_create(&log);
    struct cluster_purge_disk_conf disk = {.folder = folder,
                                           .max_bytes = conf->purge_log_max_bytes,
                                           .home = c->home,
                                           .threads = 1,
                                           .written = purges_sync_written,
                                           .user = p};
    purges_sync_open(p, conf);
    enum err err = cluster_purge_disk_open(&disk, p->log, &p->disk);
    if (err == ERR_REFUSED) {
        node_purges_close(p);
        return err;
    }
    if (err != ERR_OK) {
        p->without.made_anew = true;
        crypto_random(p->without.log_id, sizeof p->without.log_id);
        log_line(LOG_ERROR, "purge_log_off",
                 "effect=\"purges are answered 503; what was stored before is revalidated\"");
    }
    p->counters = letter_crew_create(&(struct letter_crew_conf){
        .name = "purge-count", .threads = 1, .thread_begin = begin_counter});
    *out = p;
    return ERR_OK;
}

const struct cluster_purge_disk_opened *node_purges_opened(const struct node_purges *p)
{
    return p->disk ? cluster_purge_disk_opened(p->disk) : &p->without;
}

struct replaying {
    struct cache *cache;
    const struct conf *conf;
    uint64_t records, not_here;
    /* What was purged for one site above this number is for all of them, */
    uint64_t swept_no, widened;
    uint64_t held_no; /* the lowest of them that became one of everything; 0: none */
    bool widens;
    const struct conf *before; /* if its hosts may be another's now; NULL: they may */
};

static bool is_to_widen(const struct replaying *r, const struct cluster_purge_record *record)
{
    struct span site = record->purge.site;
    return r->widens && site.len && record->apply_no > r->swept_no &&
           (!r->before || node_change_moves(r->before, r->conf, site));
}

static uint64_t lower(uint64_t lowest, uint64_t no)
{
    return lowest && lowest < no ? lowest : no;
}

static void replay_one(void *user, const struct cluster_purge_record *r)
{
    struct replaying *replay = user;
    struct purge purge = r->purge;
    replay->records++;
    if (is_to_widen(replay, r)) {
        purge.site = SPAN("");
        replay->widened++;
        if (purge.kind == PURGE_ALL)
            replay->held_no = lower(replay->held_no, r->apply_no);
    }
    /* What cannot be named under this configuration cannot be looked up under it either. */
    if (cache_purge(replay->cache, &purge, r->apply_no, replay->conf) != ERR_OK)
        replay->not_here++;
}

/* What the log says is not known: nothing from before is fresh. */
static void distrust(struct node_purges *p, const struct conf *conf, enum err why)
{
    static const struct purge all = {.kind = PURGE_ALL, .mode = PURGE_SOFT};
    log_line(LOG_ERROR, "purge_log_replay",
             "why=\"%s\" effect=\"the whole cache is revalidated once\"", err_text(why));
    (void)!cache_purge(p->cache, &all, cache_apply_no_next(p->cache), conf);
}

/* As long as something that was purged under other sites is not swept, a start must know. */
static void tell_swept(struct node_purges *p)
{
    uint64_t no = cache_purges_swept(p->cache);
    if (p->held_no && no >= p->held_no)
        no = p->held_no - 1;
    bool mixed = no < p->widened_no;
    cluster_purge_log_swept(p->log, (struct cluster_purge_swept){no, mixed ? 0 : p->sites});
}

static void end_replay(struct node_purges *p, struct replaying *replay, enum err err)
{
    if (err != ERR_OK) { /* what was not read is not in the table either */
        replay->held_no = lower(replay->held_no, replay->swept_no + 1);
        replay->widened++;
    }
    if (replay->held_no)
        p->held_no = lower(p->held_no, replay->held_no);
    counter_add(COUNTER_PURGE_WIDENED, replay->widened);
    if (replay->widened)
        p->widened_no = cache_apply_no_step(p->cache);
    p->sites = node_change_sites(replay->conf);
    tell_swept(p);
}

static void replay_all(struct node_purges *p, const struct conf *conf)
{
    struct cluster_purge_swept swept = cluster_purge_log_swept_now(p->log);
    struct replaying replay = {.cache = p->cache,
                               .conf = conf,
                               .swept_no = swept.apply_no,
                               .widens = swept.sites != node_change_sites(conf)};
    /* Not synced, on a full disk: whatever carries such a number on disk, the store or a
     * record of the log, tells the next start of it, too. */
    (void)!cluster_purge_disk_raise_boot(p->disk, cache_boot_no(p->cache));
    enum err err = cluster_purge_disk_replay(p->disk, replay_one, &replay);
    if (err != ERR_OK)
        distrust(p, conf, err);
    else
        log_line(LOG_INFO, "purges_replayed", "records=%llu not_here=%llu widened=%llu",
                 (unsigned long long)replay.records, (unsigned long long)replay.not_here,
                 (unsigned long long)replay.widened);
    end_replay(p, &replay, err);
}

void node_purges_join(struct node_purges *p, struct cache *cache, const struct conf *conf)
{
    p->cache = cache;
    if (p->clustered)
        cache_watch(cache, CLUSTER_SYNC_STALL_US / 1000);
    if (p->disk)
        replay_all(p, conf);
    cluster_sync_begin(p->sync, purges_now_us());
    purges_settle(p);
}

static void rename_recent(void *user, const struct cluster_purge_record *r, bool synced)
{
    if (synced)
        replay_one(user, r);
}

void node_purges_rename(struct node_purges *p, const struct conf *now, const struct conf *next)
{
    struct replaying replay = {.cache = p->cache,
                               .conf = next,
                               .swept_no = cluster_purge_log_swept_now(p->log).apply_no,
                               .widens = true,
                               .before = now};
    cache_rename(p->cache);
    enum err err =
        p->disk ? cluster_purge_disk_replay(p->disk, replay_one, &replay) : ERR_CLOSED;
    /* A replay reads the disk; what is on its way there is not old, but may say so. */
    if (err != ERR_OK)
        (void)cluster_purge_log_list(p->log, p->now_s - RECENT_S, UINT32_MAX, rename_recent,
                                     &replay);
    cluster_purge_log_pending(p->log, replay_one, &replay);
    if (err != ERR_OK)
        distrust(p, next, err);
    end_replay(p, &replay, err);
}

/* --- apply --- */

/* What each names under `conf`, in order; NULL: one of them is not possible. */
static struct memory_purge **read_all(const struct purge *purges, uint32_t count,
                                      const struct conf *conf, struct arena *a)
{
    struct memory_purge **named = arena_zalloc(a, count * sizeof(struct memory_purge *));
    for (uint32_t i = 0; named && i < count; i++) {
        enum err err = purge_check(&purges[i]);
        if (err == ERR_OK)
            named[i] = cache_purge_read(&purges[i], conf, a, &err);
        if (err != ERR_OK)
            return NULL;
    }
    return named;
}

/* Other configurations only for a moment, and they may not know the name at all. Who asked may
 * have meant a site as it was under one of them. */
static void effect_under_others(struct node_purges *p, const struct purge *purge, uint64_t no,
                                const struct conf **confs, uint32_t count)
{
    struct purge wide = *purge;
    wide.site = SPAN("");
    for (uint32_t i = 1; i < count; i++) {
        bool moved = purge->site.len && (node_change_moves(confs[i], confs[0], purge->site) ||
                                         node_change_moves(confs[0], confs[i], purge->site));
        (void)!cache_purge(p->cache, purge, no, confs[i]);
        if (!moved)
            continue;
        (void)!cache_purge(p->cache, &wide, no, confs[0]);
        counter_add(COUNTER_PURGE_WIDENED, 1);
        p->widened_no = no;
        if (wide.kind == PURGE_ALL)
            p->held_no = lower(p->held_no, no);
        tell_swept(p);
    }
}

enum err purges_effect(struct node_purges *p, const struct purge *purge, uint64_t no)
{
    const struct conf *confs[NODE_PURGES_CONFS];
    uint32_t count = p->conf.confs(p->conf.user, confs, NODE_PURGES_CONFS);
    enum err err = cache_purge(p->cache, purge, no, confs[0]);
    effect_under_others(p, purge, no, confs, count);
    return err == ERR_SYNTAX ? ERR_OK : err; /* it names nothing here */
}

/* In effect, then on its way to the disk and to others. Before it is in effect the answers of
 * other nodes are measured against it. */
static enum err apply_one(struct node_purges *p, const struct purge *purge,
                          const struct memory_purge *named, const struct conf **confs,
                          uint32_t conf_count, struct purges_waiting *w)
{
    uint64_t no = cache_apply_no_next(p->cache);
    if (p->clustered)
        cluster_recent_add_unnumbered(p->recent, no, no, purges_now_us());
    cache_purge_apply(p->cache, named, no);
    effect_under_others(p, purge, no, confs, conf_count);
    return p->disk ? purges_sync_accept(p, purge, no, w) : ERR_SYS;
}

void node_purges_apply(struct node_purges *p, const struct purge *purges, uint32_t count,
                       admin_purge_answered *answered, struct admin *a, uint64_t ticket)
{
    const struct conf *confs[NODE_PURGES_CONFS];
    struct purges_waiting *w = NULL;
    struct arena reading;
    enum err err = ERR_OK;
    uint32_t conf_count = p->conf.confs(p->conf.user, confs, NODE_PURGES_CONFS);
    (void)purges_wake(p);
    arena_init(&reading, READ_ARENA_BYTES);
    struct memory_purge **named = read_all(purges, count, confs[0], &reading);
    if (!named) {
        arena_fini(&reading);
        answered(a, ticket, &(struct admin_purge_done){.err = ERR_SYNTAX});
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        /* The last one's answer is that of all; once one is not in the log, all is not durable,
         * and the others are still put in effect. */
        if (ticket && i == count - 1 && err == ERR_OK) {
            w = must_alloc(sizeof *w);
            *w = (struct purges_waiting){
                .answered = answered, .admin = a, .admin_ticket = ticket};
        }
        enum err one = apply_one(p, &purges[i], named[i], confs, conf_count, w);
        if (one != ERR_OK)
            err = one;
    }
    arena_fini(&reading);
    if (err != ERR_OK) {
        free(w);
        if (ticket)
            answered(a, ticket, &(struct admin_purge_done){.err = err});
    }
    purges_settle(p);
}

/* --- count --- */

struct counting {
    struct letter letter;
    struct node_purges *purges;
    struct setup *setup; /* held */
    uint32_t count;
    uint64_t objects;
    admin_purge_counted *counted;
    struct admin *admin;
    uint64_t ticket;
    struct purge list[]; /* then their texts */
};

static void count_told(struct letter *l)
{
    struct counting *c = CONTAINER_OF(l, struct counting, letter);
    c->counted(c->admin, c->ticket, c->objects);
    setup_drop(c->setup);
    free(c);
}

static void count_all(struct letter *l)
{
    struct counting *c = CONTAINER_OF(l, struct counting, letter);
    c->objects = cache_purge_count(c->purges->cache, c->list, c->count, c->setup->conf);
    letter_post(c->purges->conf.home, l, count_told);
}

static char *keep(char *at, struct span *s)
{
    if (s->len)
        memcpy(at, s->ptr, s->len);
    s->ptr = at;
    return at + s->len;
}

void node_purges_count(struct node_purges *p, struct setup *setup, const struct purge *purges,
                       uint32_t count, admin_purge_counted *counted, struct admin *a,
                       uint64_t ticket)
{
    size_t texts = 0; /* admin bounds how many, and a request's body all of them */
    for (uint32_t i = 0; i < count; i++)
        texts += purges[i].selector.len + purges[i].site.len;
    struct counting *c = must_alloc(sizeof *c + count * sizeof *purges + texts);
    char *at = (char *)&c->list[count];
    c->purges = p;
    c->setup = setup_hold(setup);
    c->counted = counted;
    c->admin = a;
    c->ticket = ticket;
    for (; c->count < count; c->count++) {
        c->list[c->count] = purges[c->count];
        at = keep(keep(at, &c->list[c->count].selector), &c->list[c->count].site);
    }
    letter_crew_post(p->counters, &c->letter, count_all);
}

/* --- questions --- */

struct telling {
    void (*tell)(void *user, const struct admin_purge_record *r);
    void *user;
};

static void tell_record(void *user, const struct cluster_purge_record *r, bool synced)
{
    const struct telling *t = user;
    char node[CLUSTER_PURGE_NODE_MAX + 1];
    if (span_copy(r->node, node, sizeof node) != ERR_OK)
        node[0] = '\0';
    struct admin_purge_record out = {.stream = r->stream,
                                     .seq = r->seq,
                                     .purge = r->purge,
                                     .apply_no = r->apply_no,
                                     .accepted_at_s = r->accepted_at_s,
                                     .node = node,
                                     .synced = synced};
    t->tell(t->user, &out);
}

enum err node_purges_find(struct node_purges *p, uint64_t stream, uint64_t seq,
                          void (*tell)(void *user, const struct admin_purge_record *r),
                          void *user)
{
    struct cluster_purge_id id = {stream, seq};
    struct cluster_purge_record r;
    struct telling t = {tell, user};
    bool synced;
    if (cluster_purge_log_state(p->log, id) == CLUSTER_PURGE_SUPERSEDED) {
        struct admin_purge_record gone = {.stream = stream, .seq = seq, .synced = true};
        tell(user, &gone);
        return ERR_OK;
    }
    enum err err = cluster_purge_log_find(p->log, id, &r, &synced);
    if (err == ERR_OK)
        tell_record(&t, &r, synced);
    return err;
}

void node_purges_list(struct node_purges *p, int64_t since_s, uint32_t limit,
                      void (*tell)(void *user, const struct admin_purge_record *r), void *user)
{
    struct telling t = {tell, user};
    (void)cluster_purge_log_list(p->log, since_s, limit, tell_record, &t);
}

void node_purges_figures(const struct node_purges *p, struct admin_figures *out)
{
    struct cluster_purge_log_figures f;
    cluster_purge_log_figures(p->log, &f);
    out->purge_log_records = f.records;
    out->purge_log_bytes = f.used_bytes;
    out->purge_log_max_bytes = f.max_bytes;
    out->purge_log_ok = f.ok && p->disk;
}

void node_purges_tick(struct node_purges *p, int64_t now_s)
{
    p->now_s = now_s;
    if (!p->cache)
        return;
    tell_swept(p);
    purges_sync_tick(p);
}

void node_purges_close(struct node_purges *p)
{
    if (!p)
        return;
    letter_crew_destroy(p->counters);
    (void)letter_open_all(p->conf.home);
    cluster_purge_disk_close(p->disk); /* its last outcomes settle once more */
    io_task_cancel(&p->write);
    purges_sync_close(p);
    cluster_purge_log_destroy(p->log);
    free(p->node_id);
    free(p);
}
