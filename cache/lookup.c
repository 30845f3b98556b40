#include "cache/lookup.h"

#include "base/counter.h"
#include "cache/core.h"
#include "cache/form.h"
#include "cache/memory/deposit.h"
#include "cache/memory/fill.h"
#include "cache/memory/load.h"
#include "cache/memory/object.h"
#include "cache/policy/control.h"
#include "cache/variant.h"

#define STACK_BYTES 2048 /* of the secondary key; longer ones take from the heap */
#define VARY_ARENA_BYTES ((size_t)256 * 1024)

/* One question, while it is answered. */
struct looking {
    struct memory_tier *tier;
    const struct cache_ask *ask;
    struct cache_answer *out;
    struct policy_wish wish;
    struct memory_names names;
    struct span vary;           /* the secondary key; empty at the primary key */
    bool loads;                 /* out->fill is a load to be started when the place is closed */
    struct memory_object *dead; /* held: hard-purged, to be taken off the disk */
};

static void answer(struct looking *l, enum cache_verdict verdict, enum cache_forward forward)
{
    l->out->verdict = verdict;
    l->out->forward = forward;
}

static void give_object(struct looking *l, struct memory_object *o)
{
    l->out->object = memory_object_hold(o);
    l->out->age_s = policy_freshness_age_s(&o->facts, l->ask->now_s);
    l->out->fresh_left_s = policy_freshness_left_s(&o->facts, l->ask->now_s);
}

/* A private fill; without memory for one, 504 stands for it. */
static void pass(struct looking *l, enum cache_forward forward)
{
    if (l->wish.only_if_cached) {
        answer(l, CACHE_UNAVAILABLE, CACHE_FORWARD_NONE);
        return;
    }
    l->out->fill =
        memory_fill_create(l->tier, MEMORY_FILL_PRIVATE, (struct hash128){0, 0}, NULL, NULL);
    answer(l, l->out->fill ? CACHE_PASS : CACHE_UNAVAILABLE, forward);
}

/* --- objects --- */

static enum memory_purged purged(struct looking *l, struct memory_object *o)
{
    struct memory_names n = l->names;
    n.tags = o->tag_hash;
    n.tag_count = o->tag_count;
    enum memory_purged p = memory_epoch_check(l->tier->epoch, &n, o->fill_no, &o->checked_no);
    if (p == MEMORY_PURGED_SOFT)
        atomic_store_explicit(&o->soft_purged, true, memory_order_relaxed);
    else if (p == MEMORY_PURGED_NOT &&
             atomic_load_explicit(&o->soft_purged, memory_order_relaxed))
        p = MEMORY_PURGED_SOFT;
    if (p == MEMORY_PURGED_NOT &&
        (cache_is_doubted(l->tier, o->fill_no) || cache_is_asleep(l->tier, l->ask->now_ms)))
        p = MEMORY_PURGED_SOFT;
    return p;
}

static bool is_same(const struct looking *l, const struct memory_object *o)
{
    return span_equal(o->key_text, l->ask->key->text) && span_equal(o->vary_text, l->vary);
}

static enum policy_reuse reuse(const struct looking *l, const struct memory_object *o,
                               enum memory_purged p, const struct policy_wish *wish)
{
    return p == MEMORY_PURGED_SOFT
               ? policy_freshness_reuse_purged(&o->facts, wish, l->ask->now_s)
               : policy_freshness_reuse(&o->facts, wish, l->ask->now_s);
}

static enum cache_forward why_validate(const struct looking *l, const struct memory_object *o,
                                       enum memory_purged p)
{
    const struct policy_wish none = POLICY_WISH_NONE;
    return reuse(l, o, p, &none) == POLICY_REUSE_VALIDATE ? CACHE_FORWARD_STALE
                                                          : CACHE_FORWARD_REQUEST;
}

/* Nothing of what is stored can be given to this client: a fetch of its own. */
static void pass_plain(struct looking *l)
{
    l->out->plain = true;
    pass(l, CACHE_FORWARD_VARY_MISS);
}

/* --- fetches --- */

/* May this request wait for a fetch that somebody else began? Not when a purge that it comes
 * after is newer than that fetch, nor when what arrives would have to be validated again. */
static bool may_join(struct looking *l, struct memory_fill *entry)
{
    struct memory_fill *f = memory_fill_source(entry);
    uint64_t fill_no = atomic_load_explicit(&f->fill_no, memory_order_acquire);
    struct memory_object *head = atomic_load_explicit(&f->head, memory_order_acquire);
    if (atomic_load_explicit(&f->closed, memory_order_acquire))
        return false;
    struct memory_names n = l->names;
    /* Until there is a head, a fetch that asks about an object may bring that one back. */
    const struct memory_object *tagged = head ? head : f->under;
    if (tagged) {
        n.tags = tagged->tag_hash;
        n.tag_count = tagged->tag_count;
    }
    if (head) {
        const struct policy_wish none = POLICY_WISH_NONE;
        if (policy_freshness_reuse(&head->facts, &none, l->ask->now_s) != POLICY_REUSE_FRESH)
            return false;
    }
    if (fill_no == 0 || l->tier->no_join_fence)
        return true; /* it will be sent after this moment */
    if (cache_is_doubted(l->tier, fill_no) || cache_is_asleep(l->tier, l->ask->now_ms))
        return false;
    return memory_epoch_check(l->tier->epoch, &n, fill_no, NULL) == MEMORY_PURGED_NOT;
}

/* Registers a fetch of our own. `under`: what it may validate. */
static bool lead(struct looking *l, struct memory_place *p, struct memory_object *under,
                 const struct memory_disk *disk)
{
    struct memory_fill *f =
        memory_fill_create(l->tier, MEMORY_FILL_SHARED, p->key, under, disk);
    if (!f)
        return false;
    l->out->fill = f;
    memory_place_set_fill(p, f);
    return true;
}

/* Nothing usable without the origin. */
static void forward(struct looking *l, struct memory_place *p, struct memory_object *under,
                    const struct memory_disk *disk, enum cache_forward why)
{
    if (l->wish.only_if_cached) {
        answer(l, CACHE_UNAVAILABLE, CACHE_FORWARD_NONE);
        return;
    }
    if ((l->ask->request->method == HTTP_HEAD && under) || l->wish.no_store) {
        /* A HEAD's answer speaks about what is stored (RFC 9111 4.3.5); a request that may not
         * be stored leaves nothing to share. */
        pass(l, why);
        return;
    }
    if (under)
        give_object(l, under);
    if (lead(l, p, under, disk))
        answer(l, CACHE_LEAD, why);
    else
        answer(l, CACHE_UNAVAILABLE, why);
}

static enum cache_forward miss(const struct looking *l)
{
    return l->vary.len ? CACHE_FORWARD_VARY_MISS : CACHE_FORWARD_URI_MISS;
}

static void load(struct looking *l, struct memory_place *p, const struct memory_disk *disk)
{
    struct memory_fill *f = memory_fill_create(l->tier, MEMORY_FILL_LOAD, p->key, NULL, disk);
    if (!f) {
        pass(l, miss(l));
        return;
    }
    l->out->fill = f;
    l->out->from_disk = l->loads = true;
    memory_place_set_fill(p, f);
    answer(l, CACHE_JOIN, CACHE_FORWARD_NONE);
}

/* --- what is at the place --- */

/* An object in RAM; `fill`: the fetch under way over it, or NULL. False: of no use any more. */
static bool judge(struct looking *l, struct memory_place *p, struct memory_object *o,
                  struct memory_fill *fill)
{
    enum memory_purged is = is_same(l, o) ? purged(l, o) : MEMORY_PURGED_HARD;
    if (is == MEMORY_PURGED_HARD)
        return false;
    enum policy_reuse reused = reuse(l, o, is, &l->wish);
    if (reused != POLICY_REUSE_VALIDATE && !cache_form_suits(l->ask, o)) {
        pass_plain(l);
        return true;
    }
    switch (reused) {
    case POLICY_REUSE_FRESH:
        give_object(l, o);
        if (!fill)
            memory_place_used(p);
        atomic_fetch_add_explicit(&o->hits, 1, memory_order_relaxed);
        memory_deposit_used(o);
        answer(l, CACHE_HIT, CACHE_FORWARD_NONE);
        return true;
    case POLICY_REUSE_REFRESH:
        give_object(l, o);
        atomic_fetch_add_explicit(&o->hits, 1, memory_order_relaxed);
        memory_deposit_used(o);
        answer(l, CACHE_STALE, CACHE_FORWARD_STALE);
        if ((!fill || !may_join(l, fill)) && l->ask->request->method == HTTP_GET &&
            !l->wish.only_if_cached)
            (void)lead(l, p, o, NULL);
        return true;
    case POLICY_REUSE_VALIDATE:
        break;
    }
    enum cache_forward why = why_validate(l, o, is);
    if (fill && !l->wish.only_if_cached && may_join(l, fill)) {
        l->out->fill = memory_fill_hold(fill);
        answer(l, CACHE_JOIN, why);
        return true;
    }
    forward(l, p, o, NULL, why);
    return true;
}

static void at_fill(struct looking *l, struct memory_place *p)
{
    struct memory_fill *f = memory_place_fill(p);
    if (f->kind == MEMORY_FILL_LOAD) {
        l->out->fill = memory_fill_hold(f);
        l->out->from_disk = true;
        answer(l, CACHE_JOIN, CACHE_FORWARD_NONE);
        return;
    }
    if (f->under && judge(l, p, f->under, f))
        return;
    if (!l->wish.only_if_cached && may_join(l, f)) {
        l->out->fill = memory_fill_hold(f);
        answer(l, CACHE_JOIN, miss(l));
        return;
    }
    /* The new fetch takes the old one's place; what lies on disk stays known through it. */
    struct memory_disk disk = f->under_disk;
    forward(l, p, NULL, &disk, miss(l));
}

static void at_object(struct looking *l, struct memory_place *p)
{
    struct memory_object *o = memory_place_object(p);
    if (judge(l, p, o, NULL))
        return;
    if (is_same(l, o))
        l->dead = memory_object_hold(o);
    memory_place_remove(p);
    forward(l, p, NULL, NULL, miss(l));
}

static bool may_load(const struct looking *l)
{
    const struct memory_tier *t = l->tier;
    return t->store && atomic_load_explicit(&t->store_on, memory_order_relaxed);
}

static void at_nothing(struct looking *l, struct memory_place *p)
{
    const struct memory_disk unknown = {0};
    if (may_load(l) && atomic_load_explicit(&l->tier->scanning, memory_order_relaxed))
        load(l, p, &unknown);
    else
        forward(l, p, NULL, NULL, miss(l));
}

/* False: the names of Vary are there. */
static bool look_at(struct looking *l, struct memory_place *p, struct memory_vary *out)
{
    struct memory_disk disk;
    switch (memory_place_kind(p)) {
    case MEMORY_NOTHING:
        at_nothing(l, p);
        return true;
    case MEMORY_OBJECT:
        at_object(l, p);
        return true;
    case MEMORY_DISK:
        disk = memory_place_disk(p);
        if (may_load(l))
            load(l, p, &disk);
        else
            forward(l, p, NULL, NULL, miss(l));
        return true;
    case MEMORY_FILL:
        at_fill(l, p);
        return true;
    case MEMORY_PRIVATE:
        if (l->ask->now_s < memory_place_private_until_s(p))
            pass(l, CACHE_FORWARD_MISS);
        else
            forward(l, p, NULL, NULL, miss(l));
        return true;
    case MEMORY_VARY:
        if (l->vary.len) { /* a secondary key has none: a collision */
            forward(l, p, NULL, NULL, miss(l));
            return true;
        }
        *out = memory_place_vary(p);
        memory_place_used(p);
        return false;
    case MEMORY_ABSENT:
        break;
    }
    forward(l, p, NULL, NULL, miss(l));
    return true;
}

static void finish_place(struct looking *l, struct memory_place *p)
{
    memory_place_close(p);
    if (l->loads)
        memory_load_start(l->out->fill, l->ask->key->text, l->vary);
    if (l->dead)
        memory_deposit_forget(l->dead);
    memory_object_drop(l->dead);
}

static void look(struct looking *l)
{
    struct memory_index *x = l->tier->index;
    struct memory_place p;
    struct memory_vary vary;
    memory_place_open(x, memory_index_key(l->tier, l->ask->key->text, (struct span){0}), &p);
    if (look_at(l, &p, &vary)) {
        finish_place(l, &p);
        return;
    }
    memory_place_close(&p); /* the names are never freed */
    char room[STACK_BYTES] __attribute__((aligned(8)));
    struct arena a = {.at = room, .end = room + sizeof(room), .cap_bytes = VARY_ARENA_BYTES};
    if (cache_variant_key(&vary, &l->ask->request->fields, &a, &l->vary) != ERR_OK) {
        pass(l, CACHE_FORWARD_VARY_MISS);
    } else {
        memory_place_open(x, memory_index_key(l->tier, l->ask->key->text, l->vary), &p);
        (void)look_at(l, &p, &vary);
        finish_place(l, &p);
    }
    arena_fini(&a);
    ARENA_SHOW(room, sizeof(room));
}

static void count(const struct cache_answer *a)
{
    static const enum counter counters[] = {
        [CACHE_HIT] = COUNTER_CACHE_HIT,     [CACHE_STALE] = COUNTER_CACHE_STALE,
        [CACHE_JOIN] = COUNTER_CACHE_JOINED, [CACHE_LEAD] = COUNTER_CACHE_MISS,
        [CACHE_PASS] = COUNTER_CACHE_PASS,
    };
    if (a->from_disk)
        counter_add(COUNTER_CACHE_DISK_HIT, 1);
    else if (a->verdict != CACHE_UNAVAILABLE)
        counter_add(counters[a->verdict], 1);
}

void cache_lookup(struct cache *c, const struct cache_ask *ask, struct cache_answer *out)
{
    struct looking l = {
        .tier = &c->tier,
        .ask = ask,
        .out = out,
        .names = cache_names(ask->key, ask->site),
    };
    *out = (struct cache_answer){0};
    policy_control_request(&ask->request->fields, &l.wish);
    if (ask->request->method != HTTP_GET && ask->request->method != HTTP_HEAD) {
        l.wish.only_if_cached = false;
        pass(&l, CACHE_FORWARD_METHOD);
    } else if (!ask->route->cache || ask->request->body_bytes != 0) {
        pass(&l, CACHE_FORWARD_BYPASS);
    } else if (ask->alone && ask->plain) {
        pass_plain(&l);
    } else if (ask->alone) {
        pass(&l, CACHE_FORWARD_MISS);
    } else {
        look(&l);
    }
    count(out);
}

void cache_answer_fini(struct cache_answer *a)
{
    struct memory_fill *f = a->fill;
    bool ours = f && (a->verdict == CACHE_LEAD || a->verdict == CACHE_STALE);
    if (ours && !memory_fill_has_ended(f)) {
        /* Nobody took it over: who joined must not wait for ever. */
        memory_deposit_restore(f, true);
        memory_fill_answer(f, MEMORY_HEAD_AGAIN, NULL, 0);
    }
    memory_fill_drop(f);
    memory_object_drop(a->object);
    *a = (struct cache_answer){0};
}
