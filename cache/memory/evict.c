#include "cache/memory/evict.h"

#include "base/counter.h"
#include "cache/memory/deposit.h"
#include "cache/memory/form.h"
#include "cache/memory/pin.h"
#include "cache/memory/shard.h"
#include "cache/memory/tier.h"

#define STEPS 64u       /* objects that one call lets go */
#define DISK_LOOKS 256u /* entries that the hand looks at under one lock */

static uint32_t next_shard(struct memory_tier *t)
{
    return atomic_fetch_add_explicit(&t->evict_shard, 1, memory_order_relaxed);
}

/* SIEVE: from old to new; what was hit stays and is marked anew. NULL: all of it was, this time
 * round (shards are small: the only one in a shard is not the least useful one of all). */
static struct memory_object *sieve(struct memory_shard *s)
{
    struct memory_object *o = s->hand ? s->hand : s->oldest;
    /* What somebody holds (a reader, a put under way) gives no memory back. */
    for (unsigned i = 0;
         o && (o->visited || atomic_load_explicit(&o->holders, memory_order_relaxed) > 1);
         i++) {
        if (i == DISK_LOOKS)
            return NULL;
        o->visited = 0;
        s->hand = o->newer;
        if (!o->newer)
            return NULL;
        o = o->newer;
    }
    return o;
}

/* What is in RAM alone goes on without its forms, and leaves when its turn comes again. */
static void leave_forms(struct memory_tier *t, struct memory_object *o)
{
    struct memory_place p;
    if (memory_form_forget_all(o))
        return;
    memory_place_open(t->index, o->key, &p);
    if (memory_place_kind(&p) == MEMORY_OBJECT && memory_place_object(&p) == o)
        memory_place_remove(&p);
    memory_place_close(&p);
}

/* Lets one object of the shard out of RAM; false: it has none. */
static bool evict_from(struct memory_tier *t, struct memory_shard *s)
{
    struct memory_place p = {.index = t->index, .shard = s};
    pthread_mutex_lock(&s->lock);
    struct memory_object *o = sieve(s), *thinner = NULL;
    if (o) {
        s->hand = o->newer;
        p.key = o->key;
        p.entry = memory_shard_find(s, o->key);
        struct memory_disk disk = memory_place_disk(&p);
        if (disk.body_id)
            memory_place_set_disk(&p, &disk);
        else if (o->form_count)
            thinner = memory_object_hold(o);
        else
            memory_place_remove(&p);
    }
    memory_place_close(&p);
    if (thinner)
        leave_forms(t, thinner);
    memory_object_drop(thinner);
    return o;
}

static void evict_memory(struct memory_tier *t)
{
    for (unsigned i = 0; i < STEPS; i++) {
        if (atomic_load_explicit(&t->memory_bytes, memory_order_relaxed) <= t->memory_max_bytes)
            return;
        unsigned tried = 0;
        while (tried < 2 * MEMORY_SHARDS &&
               !evict_from(t, memory_index_shard(t->index, next_shard(t))))
            tried++;
        if (tried == 2 * MEMORY_SHARDS)
            return; /* the rest is held by readers and fills */
        counter_add(COUNTER_CACHE_EVICTED, 1);
    }
}

/* --- disk --- */

/* 0: dead, 1: not used since the hand came by, 2: neither. */
static unsigned rank(struct memory_entry *e, uint32_t now_min)
{
    if (e->dead_min && e->dead_min < now_min)
        return 0;
    if (e->used == 0)
        return 1;
    return 2;
}

/* How often it, and in whose memory its body is, pin that one. */
static uint32_t pins_on(const struct memory_object *o, uint64_t body_id)
{
    uint32_t pins = 0;
    for (; o; o = o->body_owner)
        pins += (uint32_t)(o->body_id == body_id) + (uint32_t)(o->base_body_id == body_id);
    return pins;
}

static bool is_alone(const struct memory_object *o)
{
    const struct memory_object *owner = o->body_owner;
    return atomic_load_explicit(&o->holders, memory_order_relaxed) == 1 &&
           (!owner || atomic_load_explicit(&owner->holders, memory_order_relaxed) == 1);
}

/* Does nobody but the index hold it, a form of it, or an older version of either? */
static bool is_free_object(struct memory_tier *t, const struct memory_object *o)
{
    uint32_t pins = pins_on(o, o->body_id);
    bool alone = is_alone(o);
    for (uint8_t i = 0; alone && i < o->form_count; i++) {
        const struct memory_object *form = o->form[i];
        uint64_t id = form->body_id;
        pins += pins_on(form, o->body_id);
        alone = is_alone(form) && (!id || memory_pin_holders(t->pins, id) == pins_on(form, id));
    }
    return alone && memory_pin_holders(t->pins, o->body_id) == pins;
}

static bool is_free(struct memory_tier *t, const struct memory_place *p)
{
    if (memory_place_kind(p) == MEMORY_OBJECT)
        return p->entry->on_disk && is_free_object(t, memory_place_object(p));
    return memory_place_kind(p) == MEMORY_DISK &&
           memory_pin_holders(t->pins, memory_place_disk(p).body_id) == 0;
}

struct choosing {
    struct memory_tier *tier;
    struct store_victim *out;
    unsigned count, max, worst;
    uint64_t pages, wanted;
    uint32_t now_min;
    bool over;        /* the index holds too many entries */
    bool whole;       /* entries shall go, not bytes */
    unsigned objects; /* of `count` */
};

static bool enough(const struct choosing *c)
{
    return c->count == c->max || c->pages >= c->wanted;
}

/* What was made of an object goes first; the object stays, on disk. Dead ones go at once. */
static void give(struct choosing *c, struct memory_place *p, unsigned rank)
{
    struct memory_disk disk = memory_place_disk(p);
    struct store_victim *v = &c->out[c->count++];
    *v = (struct store_victim){.key = p->key,
                               .body_id = disk.body_id,
                               .pages = disk.pages,
                               .forms_only = rank && disk.forms && !c->whole};
    if (v->forms_only) {
        /* How they share the pages is known of what is in RAM only. */
        bool known = memory_place_kind(p) == MEMORY_OBJECT;
        disk.pages =
            known ? memory_index_pages(c->tier, memory_place_object(p)) : disk.pages / 2;
        v->pages -= disk.pages;
        disk.forms = false;
        memory_place_set_disk(p, &disk);
    } else {
        c->objects++;
        memory_place_remove(p);
    }
    c->pages += v->pages ? v->pages : 1;
}

/* A few entries of one shard, from where its hand is. */
static void choose_from(struct choosing *c, struct memory_shard *s)
{
    pthread_mutex_lock(&s->lock);
    unsigned looks = s->made < DISK_LOOKS ? s->made : DISK_LOOKS;
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < looks && !enough(c); i++) {
        struct memory_place p = {.index = c->tier->index, .shard = s};
        pthread_mutex_lock(&s->lock);
        if (s->disk_hand >= s->made)
            s->disk_hand = 0;
        struct memory_entry *e = memory_shard_at(s, s->disk_hand++);
        p.entry = e;
        p.key = e->key;
        if (e->kind == MEMORY_PRIVATE || e->kind == MEMORY_ABSENT ||
            (e->kind == MEMORY_VARY && e->used == 0 && c->over)) {
            memory_place_remove(&p); /* marks and names cost only a fetch */
        } else if (e->kind == MEMORY_VARY && e->used) {
            e->used--;
        } else if (e->kind != MEMORY_NOTHING && is_free(c->tier, &p)) {
            unsigned is = rank(e, c->now_min);
            if (is <= c->worst) {
                give(c, &p, is);
            } else if (c->worst && e->used) {
                e->used--;
            }
        }
        memory_place_close(&p);
    }
}

/* Rounds over all shards: the dead, then the unused; the used lose a mark each round. */
static unsigned choose(struct memory_tier *t, struct store_victim *out, unsigned max,
                       uint64_t pages, bool whole)
{
    int64_t now_s = atomic_load_explicit(&t->now_s, memory_order_relaxed);
    struct choosing c = {.tier = t,
                         .out = out,
                         .max = max,
                         .wanted = pages,
                         .now_min = (uint32_t)(now_s / 60),
                         .whole = whole};
    c.over = memory_index_entries(t->index) > t->max_objects;
    for (unsigned round = 0; round < 5 && !enough(&c); round++) {
        c.worst = round ? 1 : 0;
        for (unsigned i = 0; i < MEMORY_SHARDS && !enough(&c); i++)
            choose_from(&c, memory_index_shard(t->index, next_shard(t)));
    }
    counter_add(COUNTER_CACHE_EVICTED, c.objects);
    return c.count;
}

unsigned memory_evict_choose(void *tier, struct store_victim *out, unsigned max, uint64_t pages)
{
    return choose(tier, out, max, pages, false);
}

/* --- number of objects --- */

static void evict_count(struct memory_tier *t)
{
    if (memory_index_entries(t->index) <= t->max_objects)
        return;
    struct store_victim victims[16];
    unsigned n = choose(t, victims, ARRAY_LEN(victims), UINT64_MAX, true);
    for (unsigned i = 0; i < n; i++)
        memory_deposit_remove(t, victims[i].key, victims[i].body_id);
    if (n == 0) /* nothing on disk: RAM alone */
        (void)evict_from(t, memory_index_shard(t->index, next_shard(t)));
}

void memory_evict(struct memory_tier *t)
{
    evict_memory(t);
    evict_count(t);
}
