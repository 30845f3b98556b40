#include "cache/memory/sweep.h"

#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "cache/memory/deposit.h"
#include "cache/memory/epoch.h"
#include "cache/memory/fill.h"
#include "cache/memory/index.h"
#include "cache/memory/object.h"
#include "cache/memory/pin.h"
#include "cache/memory/tier.h"
#include "cache/policy/hosts.h"

#define RAM_STEP 2000u  /* entries under one lock at most */
#define WALK_STEP 2000u /* records in one read transaction */
#define ORDERS_MAX 512u /* of a pass at the store at once */
#define NAMES_BYTES ((size_t)128 * 1024)
#define NAP_NS 5000000L

struct memory_sweep {
    struct memory_tier *tier;
    struct letter_crew *crew;
    struct letter letter;
    atomic_bool under_way, stop;
    atomic_uint orders; /* at the store */
    int64_t next_ms;    /* by the tick */
    struct memory_sweep_confs confs;
    const struct conf *conf; /* held for the pass; NULL: none */
    uint64_t renames;        /* then; a reload may come before the thread gets to run */
};

static void pass_letter(struct letter *l)
{
    struct memory_sweep *s = CONTAINER_OF(l, struct memory_sweep, letter);
    (void)memory_sweep_pass(s, s->conf, s->renames);
    atomic_store(&s->under_way, false);
}

struct memory_sweep *memory_sweep_create(struct memory_tier *t,
                                         const struct memory_sweep_confs *confs)
{
    struct memory_sweep *s = must_alloc(sizeof(*s));
    s->tier = t;
    s->confs = *confs;
    struct letter_crew_conf conf = {.name = "sweep", .threads = 1, .idle = true};
    s->crew = letter_crew_create(&conf);
    return s;
}

static void nap(void)
{
    struct timespec t = {.tv_nsec = NAP_NS};
    nanosleep(&t, NULL);
}

/* Waits until at most `left` orders are at the store. */
static void wait_orders(struct memory_sweep *s, unsigned left)
{
    while (atomic_load(&s->orders) > left)
        nap();
}

static void drop_conf(struct memory_sweep *s)
{
    if (s->conf)
        s->confs.drop(s->confs.user);
    s->conf = NULL;
}

void memory_sweep_destroy(struct memory_sweep *s)
{
    if (!s)
        return;
    atomic_store(&s->stop, true);
    letter_crew_destroy(s->crew);
    wait_orders(s, 0);
    drop_conf(s);
    free(s);
}

void memory_sweep_tick(struct memory_sweep *s, int64_t now_ms)
{
    struct memory_epoch_figures f;
    if (atomic_load(&s->under_way))
        return;
    drop_conf(s);
    if (now_ms < s->next_ms)
        return;
    s->next_ms = now_ms + MEMORY_SWEEP_MS;
    memory_epoch_figures(s->tier->epoch, &f);
    if (f.names + f.prefixes == 0 ||
        atomic_load_explicit(&s->tier->scanning, memory_order_relaxed))
        return;
    s->renames = memory_epoch_renames(s->tier->epoch);
    if (s->confs.hold && f.scoped)
        s->conf = s->confs.hold(s->confs.user);
    if (!s->conf && f.names + f.prefixes <= f.scoped)
        return;
    atomic_store(&s->under_way, true);
    letter_crew_post(s->crew, &s->letter, pass_letter);
}

/* --- orders to the store, counted --- */

struct removal {
    struct store_remove remove;
    struct memory_sweep *sweep;
};

static void removed(struct store_job *job)
{
    struct removal *r = CONTAINER_OF(job, struct removal, remove.job);
    for (unsigned i = 0; job->err == ERR_OK && i < r->remove.replaced_count; i++)
        memory_pin_doom(r->sweep->tier->pins, r->remove.replaced[i]);
    atomic_fetch_sub(&r->sweep->orders, 1);
    free(r);
}

static void order_removal(struct memory_sweep *s, struct hash128 key, uint64_t body_id)
{
    if (!s->tier->store)
        return;
    struct removal *r = must_alloc(sizeof(*r));
    r->sweep = s;
    r->remove.job.done = removed;
    r->remove.key = key;
    r->remove.body_id = body_id;
    r->remove.keep_bodies = true;
    atomic_fetch_add(&s->orders, 1);
    if (store_remove(s->tier->store, &r->remove) == ERR_OK)
        return;
    atomic_fetch_sub(&s->orders, 1);
    free(r);
}

struct mark {
    struct store_rewrite rewrite;
    struct store_record record;
    struct memory_sweep *sweep;
    char text[];
};

static void marked(struct store_job *job)
{
    struct mark *m = CONTAINER_OF(job, struct mark, rewrite.job);
    for (unsigned i = 0; job->err == ERR_OK && i < m->rewrite.replaced_count; i++)
        memory_pin_doom(m->sweep->tier->pins, m->rewrite.replaced[i]);
    atomic_fetch_sub(&m->sweep->orders, 1);
    free(m);
}

static char *copy(char *at, struct span *s)
{
    if (s->len)
        memcpy(at, s->ptr, s->len);
    s->ptr = at;
    return at + s->len;
}

static void order_mark(struct memory_sweep *s, struct hash128 key, const struct store_record *r)
{
    struct mark *m = must_alloc(sizeof(*m) + r->key.len + r->vary.len + r->head.len);
    m->sweep = s;
    m->record = *r;
    (void)copy(copy(copy(m->text, &m->record.key), &m->record.vary), &m->record.head);
    m->record.flags |= STORE_RECORD_STALE;
    m->rewrite.job.done = marked;
    m->rewrite.key = key;
    m->rewrite.made_from = r->rep[0].body_id;
    m->rewrite.record = &m->record;
    atomic_fetch_add(&s->orders, 1);
    if (store_rewrite(s->tier->store, &m->rewrite) == ERR_OK)
        return;
    atomic_fetch_sub(&s->orders, 1);
    free(m);
}

/* --- RAM --- */

struct ram_pass {
    struct memory_sweep *sweep;
    const struct policy_hosts *hosts;
    struct arena arena;
    struct memory_object *dead[RAM_STEP]; /* held */
    unsigned dead_count;
    uint64_t no;
    bool older_fills;
};

/* `hosts` NULL: not known. */
static struct span site_of(const struct policy_hosts *hosts, struct span host)
{
    const struct conf_site *site = hosts ? policy_hosts_site(hosts, host) : NULL;
    return site ? span_text(site->name) : (struct span){0};
}

static enum memory_purged judge(struct memory_sweep *s, const struct policy_hosts *hosts,
                                struct arena *a, struct span key_text, const uint64_t *tags,
                                uint32_t tag_count, uint64_t fill_no)
{
    struct memory_names n;
    arena_reset(a);
    if (!memory_object_names(key_text, a, &n))
        return MEMORY_PURGED_NOT;
    n.site = site_of(hosts, n.host);
    n.tags = tags;
    n.tag_count = tag_count;
    n.without_all = true;
    return memory_epoch_check(s->tier->epoch, &n, fill_no, NULL);
}

static void see_ram(void *context, const struct memory_seen *seen)
{
    struct ram_pass *p = context;
    if (seen->kind == MEMORY_FILL) {
        uint64_t no = atomic_load_explicit(&memory_fill_source(seen->fill)->fill_no,
                                           memory_order_acquire);
        p->older_fills = p->older_fills || (no && no < p->no);
    }
    if (seen->kind != MEMORY_OBJECT)
        return;
    struct memory_object *o = seen->object;
    switch (judge(p->sweep, p->hosts, &p->arena, o->key_text, o->tag_hash, o->tag_count,
                  o->fill_no)) {
    case MEMORY_PURGED_NOT:
        break;
    case MEMORY_PURGED_SOFT: /* its record, if there is one, is marked as the disk is swept */
        atomic_store_explicit(&o->soft_purged, true, memory_order_relaxed);
        break;
    case MEMORY_PURGED_HARD:
        p->dead[p->dead_count++] = memory_object_hold(o);
        break;
    }
}

static void let_go(struct memory_sweep *s, struct memory_object *o)
{
    struct memory_place p;
    memory_place_open(s->tier->index, o->key, &p);
    /* Or a version with other forms; a merged 304 is newer than the purge. */
    if (memory_place_kind(&p) == MEMORY_OBJECT &&
        memory_object_same_body(memory_place_object(&p), o) &&
        memory_place_object(&p)->fill_no == o->fill_no)
        memory_place_remove(&p);
    memory_place_close(&p);
    if (o->body_id)
        order_removal(s, o->key, o->body_id);
    memory_object_drop(o);
}

/* False: stopped. *out_older: fills from before `no` are under way. */
static bool sweep_ram(struct memory_sweep *s, const struct policy_hosts *hosts, uint64_t no,
                      bool *out_older)
{
    struct ram_pass *p = must_alloc(sizeof(*p));
    struct memory_walk w = {0, 0};
    p->sweep = s;
    p->hosts = hosts;
    p->no = no;
    arena_init(&p->arena, NAMES_BYTES);
    bool more = true;
    while (more && !atomic_load(&s->stop)) {
        more = memory_index_walk(s->tier->index, &w, RAM_STEP, see_ram, p);
        while (p->dead_count)
            let_go(s, p->dead[--p->dead_count]);
        wait_orders(s, ORDERS_MAX);
    }
    *out_older = p->older_fills;
    arena_fini(&p->arena);
    free(p);
    return !more;
}

/* --- disk --- */

struct disk_pass {
    struct memory_sweep *sweep;
    const struct policy_hosts *hosts;
    struct arena arena;
};

static void see_record(void *context, struct hash128 key, const struct store_record *r)
{
    struct disk_pass *d = context;
    struct memory_sweep *s = d->sweep;
    if (r->kind != STORE_OBJECT || r->rep_count == 0)
        return;
    enum memory_purged is =
        judge(s, d->hosts, &d->arena, r->key, r->tag_hash, r->tag_count, r->fill_no);
    if (is == MEMORY_PURGED_NOT ||
        (is == MEMORY_PURGED_SOFT && (r->flags & STORE_RECORD_STALE)))
        return;
    struct memory_place p;
    memory_place_open(s->tier->index, key, &p);
    enum memory_kind kind = memory_place_kind(&p);
    /* What RAM has of it may be newer than the record; a fill replaces it. */
    bool newer = kind == MEMORY_FILL ||
                 (kind == MEMORY_OBJECT && memory_place_object(&p)->fill_no > r->fill_no);
    if (!newer && is == MEMORY_PURGED_HARD && kind == MEMORY_DISK &&
        memory_place_disk(&p).body_id == r->rep[0].body_id)
        memory_place_remove(&p);
    /* And it knows which forms there are. */
    bool in_ram = kind == MEMORY_OBJECT && !newer && is == MEMORY_PURGED_SOFT &&
                  memory_place_disk(&p).body_id == r->rep[0].body_id;
    if (in_ram) {
        struct memory_object *o = memory_place_object(&p);
        atomic_store_explicit(&o->soft_purged, true, memory_order_relaxed);
        memory_deposit_rewrite(o, &s->orders);
    }
    memory_place_close(&p);
    if (!newer && is == MEMORY_PURGED_HARD)
        order_removal(s, key, r->rep[0].body_id);
    else if (!newer && !in_ram)
        order_mark(s, key, r);
    wait_orders(s, ORDERS_MAX);
}

static bool sweep_disk(struct memory_sweep *s, const struct policy_hosts *hosts)
{
    if (!s->tier->store)
        return true;
    struct disk_pass d = {.sweep = s, .hosts = hosts};
    struct store_walk w = {.last = {UINT64_MAX, UINT64_MAX}};
    arena_init(&d.arena, NAMES_BYTES);
    enum err e = ERR_OK;
    while (e == ERR_OK && !atomic_load(&s->stop))
        e = store_walk(s->tier->store, &w, WALK_STEP, see_record, &d);
    arena_fini(&d.arena);
    return e == ERR_CLOSED;
}

/* False: stopped, or a fill from before `no` is under way still. */
static bool look_at_all(struct memory_sweep *s, const struct policy_hosts *hosts, uint64_t no)
{
    bool older = false, now_older = false;
    if (!sweep_ram(s, hosts, no, &older) || !sweep_disk(s, hosts))
        return false;
    wait_orders(s, 0);
    /* Again, for what began before and has not ended yet. */
    if (!sweep_ram(s, hosts, no, &now_older) || now_older)
        return false;
    wait_orders(s, 0);
    return true;
}

bool memory_sweep_pass(struct memory_sweep *s, const struct conf *conf, uint64_t renames)
{
    uint64_t no = memory_epoch_now(s->tier->epoch);
    struct policy_hosts *hosts = conf ? policy_hosts_create(conf) : NULL;
    bool all = look_at_all(s, hosts, no);
    policy_hosts_destroy(hosts);
    return all && memory_epoch_forget(s->tier->epoch, no, renames, conf != NULL) > 0;
}

/* --- counting --- */

struct counting {
    struct memory_tier *tier;
    struct memory_purge *const *purges;
    uint32_t purge_count;
    struct policy_hosts *hosts;
    struct arena arena;
    uint64_t count;
};

static bool is_named(const struct counting *c, const struct memory_names *n)
{
    for (uint32_t i = 0; i < c->purge_count; i++)
        if (memory_epoch_matches(c->tier->epoch, c->purges[i], n))
            return true;
    return false;
}

/* What a hard purge has taken already is nobody's any more, though its bytes may still be
 * there.
 */
static void count_one(struct counting *c, struct span key_text, const uint64_t *tags,
                      uint32_t tag_count, uint64_t fill_no)
{
    struct memory_names n;
    arena_reset(&c->arena);
    if (!memory_object_names(key_text, &c->arena, &n))
        return;
    n.site = site_of(c->hosts, n.host);
    n.tags = tags;
    n.tag_count = tag_count;
    c->count += is_named(c, &n) &&
                memory_epoch_check(c->tier->epoch, &n, fill_no, NULL) != MEMORY_PURGED_HARD;
}

static void count_seen(void *context, const struct memory_seen *seen)
{
    const struct memory_object *o = seen->object;
    if (seen->kind == MEMORY_OBJECT)
        count_one(context, o->key_text, o->tag_hash, o->tag_count, o->fill_no);
}

static void count_record(void *context, struct hash128 key, const struct store_record *r)
{
    struct counting *c = context;
    struct memory_place p;
    memory_place_open(c->tier->index, key, &p);
    bool in_ram = memory_place_kind(&p) == MEMORY_OBJECT;
    memory_place_close(&p);
    if (!in_ram && r->kind == STORE_OBJECT)
        count_one(c, r->key, r->tag_hash, r->tag_count, r->fill_no);
}

uint64_t memory_sweep_count(struct memory_tier *t, struct memory_purge *const *purges,
                            uint32_t purge_count, const struct conf *conf)
{
    struct counting c = {.tier = t,
                         .purges = purges,
                         .purge_count = purge_count,
                         .hosts = policy_hosts_create(conf)};
    struct memory_walk ram = {0, 0};
    struct store_walk disk = {.last = {UINT64_MAX, UINT64_MAX}};
    arena_init(&c.arena, NAMES_BYTES);
    while (memory_index_walk(t->index, &ram, RAM_STEP, count_seen, &c)) {
    }
    while (t->store && store_walk(t->store, &disk, WALK_STEP, count_record, &c) == ERR_OK) {
    }
    arena_fini(&c.arena);
    policy_hosts_destroy(c.hosts);
    return c.count;
}
