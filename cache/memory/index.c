#include "cache/memory/index.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "cache/memory/fill.h"
#include "cache/memory/object.h"
#include "cache/memory/shard.h"
#include "cache/memory/tier.h"
#include "cache/store/store.h"

struct vary_names {
    size_t len;
    char text[];
};

struct memory_index {
    struct memory_tier *tier;
    struct memory_shard shards[MEMORY_SHARDS];
    atomic_ullong objects;     /* entries that are an object, in RAM or on disk */
    atomic_ullong entries;     /* all of them */
    pthread_mutex_t vary_lock; /* protects adding to vary; a leaf */
    struct vary_names *_Atomic vary[MEMORY_VARY_NAMES]; /* never removed */
    atomic_uint vary_count;
};

struct memory_index *memory_index_create(struct memory_tier *t)
{
    struct memory_index *x = must_alloc(sizeof(*x));
    x->tier = t;
    pthread_mutex_init(&x->vary_lock, NULL);
    for (uint32_t i = 0; i < MEMORY_SHARDS; i++)
        memory_shard_init(&x->shards[i]);
    return x;
}

static void displace(struct memory_place *p);

void memory_index_destroy(struct memory_index *x)
{
    if (!x)
        return;
    for (uint32_t i = 0; i < MEMORY_SHARDS; i++) {
        struct memory_shard *s = &x->shards[i];
        for (uint32_t k = 0; k < s->made; k++) {
            struct memory_place p = {.index = x, .shard = s, .entry = memory_shard_at(s, k)};
            pthread_mutex_lock(&s->lock);
            displace(&p);
            memory_place_close(&p);
        }
        memory_shard_fini(s);
    }
    for (uint32_t i = 0; i < x->vary_count; i++)
        free(x->vary[i]);
    pthread_mutex_destroy(&x->vary_lock);
    free(x);
}

struct hash128 memory_index_key(const struct memory_tier *t, struct span primary,
                                struct span vary)
{
    return store_key(&t->secret, primary, vary);
}

struct memory_shard *memory_index_shard(struct memory_index *x, uint32_t number)
{
    return &x->shards[number % MEMORY_SHARDS];
}

/* --- places --- */

static uint32_t minutes(int64_t at_s)
{
    return at_s <= 0 ? MEMORY_NOT_DEAD : (uint32_t)(at_s / 60 + 1);
}

void memory_place_open(struct memory_index *x, struct hash128 key, struct memory_place *p)
{
    p->index = x;
    p->key = key;
    p->object_count = p->fill_count = 0;
    p->shard = &x->shards[key.hi % MEMORY_SHARDS];
    pthread_mutex_lock(&p->shard->lock);
    p->entry = memory_shard_find(p->shard, key);
}

void memory_place_close(struct memory_place *p)
{
    pthread_mutex_unlock(&p->shard->lock);
    for (unsigned i = 0; i < p->object_count; i++)
        memory_object_drop(p->objects[i]);
    for (unsigned i = 0; i < p->fill_count; i++)
        memory_fill_drop(p->fills[i]);
    p->object_count = p->fill_count = 0;
}

enum memory_kind memory_place_kind(const struct memory_place *p)
{
    return p->entry ? (enum memory_kind)p->entry->kind : MEMORY_NOTHING;
}

struct memory_object *memory_place_object(const struct memory_place *p)
{
    must(memory_place_kind(p) == MEMORY_OBJECT);
    return memory_entry_pointer(p->entry);
}

struct memory_fill *memory_place_fill(const struct memory_place *p)
{
    must(memory_place_kind(p) == MEMORY_FILL);
    return memory_entry_pointer(p->entry);
}

static struct memory_disk disk_of(const struct memory_entry *e)
{
    struct memory_disk d = {
        .pages = e->pages, .dead_at_s = (int64_t)e->dead_min * 60, .forms = e->forms};
    if (e->kind == MEMORY_DISK)
        d.body_id = e->value;
    else if (e->kind == MEMORY_OBJECT && e->on_disk)
        d.body_id = ((struct memory_object *)memory_entry_pointer(e))->body_id;
    return d;
}

struct memory_disk memory_place_disk(const struct memory_place *p)
{
    return p->entry ? disk_of(p->entry) : (struct memory_disk){0};
}

static struct memory_vary vary_of(const struct memory_entry *e)
{
    const struct vary_names *names = memory_entry_pointer(e);
    return memory_vary_of(span_of(names->text, names->len), e->pages);
}

struct memory_vary memory_place_vary(const struct memory_place *p)
{
    must(memory_place_kind(p) == MEMORY_VARY);
    return vary_of(p->entry);
}

bool memory_place_vary_is_full(struct memory_place *p, int64_t now_s)
{
    uint32_t now_min = minutes(now_s);
    if (p->entry->dead_min == 0)
        p->entry->dead_min = now_min + 1;
    return now_min <= p->entry->dead_min;
}

int64_t memory_place_private_until_s(const struct memory_place *p)
{
    must(memory_place_kind(p) == MEMORY_PRIVATE);
    return (int64_t)p->entry->value;
}

void memory_place_used(struct memory_place *p)
{
    if (p->entry->used < 3)
        p->entry->used++;
    if (p->entry->kind == MEMORY_OBJECT)
        memory_place_object(p)->visited = 1;
}

static bool counts(const struct memory_entry *e)
{
    return e->kind == MEMORY_OBJECT || e->kind == MEMORY_DISK;
}

/* Takes what is in the entry out of lists and counts; the entry stays. */
static void displace(struct memory_place *p)
{
    struct memory_entry *e = p->entry;
    if (counts(e))
        atomic_fetch_sub_explicit(&p->index->objects, 1, memory_order_relaxed);
    if (e->kind == MEMORY_OBJECT) {
        struct memory_object *o = memory_entry_pointer(e);
        memory_shard_unlink(p->shard, o);
        atomic_fetch_sub_explicit(&p->index->tier->resident, 1, memory_order_relaxed);
        must(p->object_count < MEMORY_PLACE_DROPS);
        p->objects[p->object_count++] = o;
    } else if (e->kind == MEMORY_FILL) {
        must(p->fill_count < MEMORY_PLACE_DROPS);
        p->fills[p->fill_count++] = memory_entry_pointer(e);
    }
    e->kind = MEMORY_NOTHING;
    e->on_disk = e->forms = 0;
    e->pages = e->dead_min = 0;
}

static struct memory_entry *clear(struct memory_place *p)
{
    if (p->entry) {
        displace(p);
        return p->entry;
    }
    atomic_fetch_add_explicit(&p->index->entries, 1, memory_order_relaxed);
    p->entry = memory_shard_insert(p->shard, p->key);
    return p->entry;
}

static void set(struct memory_entry *e, enum memory_kind kind, uint64_t value)
{
    must(value < UINT64_C(1) << 48);
    e->kind = (uint64_t)kind & 7;
    e->value = value & ((UINT64_C(1) << 48) - 1);
}

static bool is_on_disk(const struct memory_object *o)
{
    return o->body_id && atomic_load_explicit(&o->on_disk, memory_order_acquire);
}

uint32_t memory_index_pages(const struct memory_tier *t, const struct memory_object *o)
{
    return is_on_disk(o) && o->body_bytes > 0 ? store_pages(t->store, (uint64_t)o->body_bytes)
                                              : 0;
}

struct memory_disk memory_index_disk(const struct memory_tier *t, const struct memory_object *o)
{
    struct memory_disk d = {
        .body_id = is_on_disk(o) ? o->body_id : 0,
        .pages = memory_index_pages(t, o),
        .dead_at_s = policy_freshness_dead_at_s(&o->facts, 0),
    };
    for (uint8_t i = 0; d.body_id && i < o->form_count; i++) {
        if (!is_on_disk(o->form[i]))
            continue;
        d.forms = true;
        d.pages += memory_index_pages(t, o->form[i]);
    }
    return d;
}

static void describe(const struct memory_place *p, struct memory_entry *e)
{
    struct memory_disk disk = memory_index_disk(p->index->tier, memory_entry_pointer(e));
    e->on_disk = disk.body_id != 0;
    e->forms = disk.forms;
    e->pages = disk.pages;
    e->dead_min = minutes(disk.dead_at_s);
}

void memory_place_set_object(struct memory_place *p, struct memory_object *o)
{
    struct memory_entry *e = clear(p);
    set(e, MEMORY_OBJECT, (uintptr_t)memory_object_hold(o));
    describe(p, e);
    memory_shard_link(p->shard, o);
    atomic_fetch_add_explicit(&p->index->tier->resident, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->index->objects, 1, memory_order_relaxed);
}

void memory_place_set_disk(struct memory_place *p, const struct memory_disk *disk)
{
    struct memory_entry *e = clear(p);
    set(e, MEMORY_DISK, disk->body_id);
    e->on_disk = 1;
    e->forms = disk->forms;
    e->pages = disk->pages;
    e->dead_min = minutes(disk->dead_at_s);
    atomic_fetch_add_explicit(&p->index->objects, 1, memory_order_relaxed);
}

void memory_place_set_fill(struct memory_place *p, struct memory_fill *f)
{
    set(clear(p), MEMORY_FILL, (uintptr_t)memory_fill_hold(f));
}

static struct vary_names *intern(struct memory_index *x, struct span names)
{
    uint32_t count = atomic_load_explicit(&x->vary_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++)
        if (span_equal(span_of(x->vary[i]->text, x->vary[i]->len), names))
            return x->vary[i];
    pthread_mutex_lock(&x->vary_lock);
    struct vary_names *found = NULL;
    uint32_t now = atomic_load_explicit(&x->vary_count, memory_order_acquire);
    for (uint32_t i = count; i < now && !found; i++)
        if (span_equal(span_of(x->vary[i]->text, x->vary[i]->len), names))
            found = x->vary[i];
    if (!found && now < MEMORY_VARY_NAMES) {
        found = must_alloc(sizeof(*found) + names.len + 1);
        found->len = names.len;
        memcpy(found->text, names.ptr, names.len);
        x->vary[now] = found;
        atomic_store_explicit(&x->vary_count, now + 1, memory_order_release);
    }
    pthread_mutex_unlock(&x->vary_lock);
    return found;
}

bool memory_index_vary_known(struct memory_index *x, struct span names)
{
    return intern(x, names);
}

void memory_place_set_vary(struct memory_place *p, const struct memory_vary *v)
{
    struct vary_names *known = intern(p->index, v->names);
    uint32_t mark = memory_vary_mark(v);
    must(known);
    struct memory_entry *e = clear(p);
    set(e, MEMORY_VARY, (uintptr_t)known);
    e->pages = mark;
}

void memory_place_set_private(struct memory_place *p, int64_t until_s)
{
    set(clear(p), MEMORY_PRIVATE, until_s < 0 ? 0 : (uint64_t)until_s);
}

void memory_place_set_absent(struct memory_place *p)
{
    set(clear(p), MEMORY_ABSENT, 0);
}

void memory_place_stored(struct memory_place *p)
{
    if (memory_place_kind(p) == MEMORY_OBJECT)
        describe(p, p->entry);
}

void memory_place_remove(struct memory_place *p)
{
    if (!p->entry)
        return;
    displace(p);
    memory_shard_remove(p->shard, p->entry);
    atomic_fetch_sub_explicit(&p->index->entries, 1, memory_order_relaxed);
    p->entry = NULL;
}

/* --- all of them --- */

bool memory_index_walk(struct memory_index *x, struct memory_walk *w, unsigned max,
                       void (*see)(void *context, const struct memory_seen *s), void *context)
{
    while (w->shard < MEMORY_SHARDS) {
        struct memory_shard *s = &x->shards[w->shard];
        pthread_mutex_lock(&s->lock);
        while (max && w->at < s->made) {
            const struct memory_entry *e = memory_shard_at(s, w->at++);
            max--;
            if (e->kind == MEMORY_NOTHING)
                continue;
            struct memory_seen seen = {.key = e->key, .kind = (enum memory_kind)e->kind};
            if (e->kind == MEMORY_OBJECT)
                seen.object = memory_entry_pointer(e);
            if (e->kind == MEMORY_FILL)
                seen.fill = memory_entry_pointer(e);
            if (counts(e))
                seen.disk = disk_of(e);
            if (e->kind == MEMORY_VARY)
                seen.vary = vary_of(e);
            see(context, &seen);
        }
        bool more = w->at < s->made;
        pthread_mutex_unlock(&s->lock);
        if (more)
            return true;
        w->shard++;
        w->at = 0;
    }
    return false;
}

void memory_index_disk_gone(struct memory_index *x)
{
    for (uint32_t i = 0; i < MEMORY_SHARDS; i++) {
        struct memory_shard *s = &x->shards[i];
        pthread_mutex_lock(&s->lock);
        for (uint32_t k = 0; k < s->made; k++) {
            struct memory_place p = {.index = x, .shard = s, .entry = memory_shard_at(s, k)};
            if (p.entry->kind == MEMORY_DISK) {
                memory_place_remove(&p);
            } else if (p.entry->kind == MEMORY_OBJECT) {
                struct memory_object *o = memory_entry_pointer(p.entry);
                atomic_store_explicit(&o->on_disk, false, memory_order_release);
                for (uint8_t f = 0; f < o->form_count; f++)
                    atomic_store_explicit(&o->form[f]->on_disk, false, memory_order_release);
                p.entry->on_disk = p.entry->forms = 0;
            }
        }
        pthread_mutex_unlock(&s->lock);
    }
}

uint64_t memory_index_count(const struct memory_index *x)
{
    return atomic_load_explicit(&x->objects, memory_order_relaxed);
}

uint64_t memory_index_entries(const struct memory_index *x)
{
    return atomic_load_explicit(&x->entries, memory_order_relaxed);
}
