#include "cache/memory/epoch.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "base/counter.h"

#define SLOTS_FIRST 1024u

struct slot {
    atomic_ullong name; /* 0: free */
    atomic_ullong hard, soft;
    bool scoped; /* the writers': a name for one site */
};
struct table {
    uint32_t size, used; /* a power of two; used: by the writers */
    struct slot slots[];
};
struct prefix {
    char *text; /* owned, under prefix_lock */
    size_t len;
    uint64_t site, hard, soft;
};

struct memory_epoch {
    struct hash_key key;
    struct table *_Atomic table;
    atomic_uint readers;      /* who may hold a table; at 0 a table grown out of is freed */
    atomic_ullong version;    /* one more with every purge: what a memo compares */
    atomic_ullong fill_clock; /* the fill_no to give */
    atomic_ullong all_hard, all_soft;
    atomic_uint scoped; /* names and prefixes for one site: 0 saves their probes */
    atomic_uint prefix_count;
    pthread_mutex_t prefix_lock; /* protects prefixes; after write_lock */
    struct prefix prefixes[MEMORY_EPOCH_PREFIXES];
    pthread_mutex_t write_lock; /* protects all below, and writing all above */
    uint64_t counter;           /* the highest number given */
    uint64_t reserved[MEMORY_EPOCH_RESERVED];
    uint32_t reserved_count;
    atomic_uint names;
    atomic_ullong renames;
    atomic_ullong swept;     /* as memory_epoch_swept */
    uint64_t widened_no;     /* the lowest name that became one of everything; 0: none */
    atomic_ullong forgotten; /* names up to this number may have left */
    uint64_t keep;           /* names from this number on stay; 0: none */
};

static struct table *create_table(uint32_t size)
{
    struct table *t = must_alloc(sizeof(*t) + size * sizeof(struct slot));
    t->size = size;
    return t;
}

struct memory_epoch *memory_epoch_create(const struct hash_key *key, uint64_t boot_no)
{
    struct memory_epoch *e = must_alloc(sizeof(*e));
    e->key = *key;
    atomic_init(&e->table, create_table(SLOTS_FIRST));
    atomic_init(&e->version, 1);
    e->counter = boot_no << 40;
    atomic_init(&e->fill_clock, e->counter);
    pthread_mutex_init(&e->prefix_lock, NULL);
    pthread_mutex_init(&e->write_lock, NULL);
    return e;
}

void memory_epoch_destroy(struct memory_epoch *e)
{
    if (!e)
        return;
    free(atomic_load(&e->table));
    for (uint32_t i = 0; i < MEMORY_EPOCH_PREFIXES; i++)
        free(e->prefixes[i].text);
    pthread_mutex_destroy(&e->prefix_lock);
    pthread_mutex_destroy(&e->write_lock);
    free(e);
}

/* Names: a keyed hash of the text, then kind and site mixed in, so that one hashing of the
 * text serves both the purge for all sites and the one for a site. */
static uint64_t name_of(enum purge_kind kind, uint64_t site, uint64_t text)
{
    uint64_t h = hash_mix(text + (uint64_t)kind * UINT64_C(0x9e3779b97f4a7c15));
    if (site)
        h = hash_mix(h ^ site);
    return h ? h : 1;
}

static uint64_t text_of(const struct memory_epoch *e, struct span text)
{
    return hash_sip64(&e->key, text);
}

uint64_t memory_epoch_tag(const struct memory_epoch *e, struct span tag, bool group)
{
    return (text_of(e, tag) & ~MEMORY_EPOCH_GROUP) | (group ? MEMORY_EPOCH_GROUP : 0);
}

static uint64_t group_of(uint64_t host, uint64_t tag)
{
    return hash_mix(host) ^ (tag | MEMORY_EPOCH_GROUP);
}

/* Of a name in a purge. */
static uint64_t named_of(const struct memory_epoch *e, enum purge_kind kind, struct span name)
{
    size_t at;
    if (kind == PURGE_TAG)
        return memory_epoch_tag(e, name, false);
    if (kind == PURGE_GROUP && span_find(name, ' ', &at))
        return group_of(text_of(e, span_until(name, at)),
                        memory_epoch_tag(e, span_from(name, at + 1), true));
    return text_of(e, name);
}

static uint64_t site_of(const struct memory_epoch *e, struct span site)
{
    if (site.len == 0)
        return 0;
    uint64_t h = text_of(e, site);
    return h ? h : 1;
}

/* --- reading --- */

static enum memory_purged judge(uint64_t hard, uint64_t soft, uint64_t fill_no,
                                enum memory_purged worst)
{
    if (hard > fill_no)
        return MEMORY_PURGED_HARD;
    return soft > fill_no ? MEMORY_PURGED_SOFT : worst;
}

static enum memory_purged probe(const struct table *t, uint64_t name, uint64_t fill_no,
                                enum memory_purged worst)
{
    if (worst == MEMORY_PURGED_HARD)
        return worst;
    for (uint32_t i = (uint32_t)name & (t->size - 1);; i = (i + 1) & (t->size - 1)) {
        uint64_t at = atomic_load_explicit(&t->slots[i].name, memory_order_acquire);
        if (at == 0)
            return worst;
        if (at == name)
            return judge(atomic_load_explicit(&t->slots[i].hard, memory_order_acquire),
                         atomic_load_explicit(&t->slots[i].soft, memory_order_acquire), fill_no,
                         worst);
    }
}

struct asking {
    const struct table *table;
    uint64_t site, fill_no;
    enum memory_purged worst;
};

static void ask(struct asking *a, enum purge_kind kind, uint64_t text)
{
    a->worst = probe(a->table, name_of(kind, 0, text), a->fill_no, a->worst);
    if (a->site)
        a->worst = probe(a->table, name_of(kind, a->site, text), a->fill_no, a->worst);
}

static void ask_directories(const struct memory_epoch *e, const struct memory_names *n,
                            struct asking *a)
{
    unsigned count = 0;
    for (size_t i = 0; i < n->url.len && count < MEMORY_EPOCH_DIRS; i++) {
        if (n->url.ptr[i] == '?')
            return;
        if (n->url.ptr[i] != '/')
            continue;
        count++;
        ask(a, PURGE_PREFIX, text_of(e, span_until(n->url, i + 1)));
    }
}

static void ask_prefixes(struct memory_epoch *e, const struct memory_names *n, struct asking *a)
{
    pthread_mutex_lock(&e->prefix_lock);
    for (uint32_t i = 0; i < MEMORY_EPOCH_PREFIXES; i++) {
        const struct prefix *p = &e->prefixes[i];
        if (p->text && (p->site == 0 || p->site == a->site) &&
            span_starts(n->url, span_of(p->text, p->len)))
            a->worst = a->worst == MEMORY_PURGED_HARD
                           ? a->worst
                           : judge(p->hard, p->soft, a->fill_no, a->worst);
    }
    pthread_mutex_unlock(&e->prefix_lock);
}

static void ask_names(struct memory_epoch *e, const struct memory_names *n, struct asking *a)
{
    /* With writers: they swap the table first and then look for readers, so either they see
     * this one or it sees the new table. */
    atomic_fetch_add(&e->readers, 1);
    a->table = atomic_load(&e->table);
    ask(a, PURGE_URL, text_of(e, n->url));
    ask(a, PURGE_PATH, text_of(e, n->path_query));
    uint64_t host = text_of(e, n->host);
    ask(a, PURGE_HOST, host);
    if (a->site)
        ask(a, PURGE_ALL, 0);
    ask_directories(e, n, a);
    for (uint32_t i = 0; i < n->tag_count; i++) {
        ask(a, PURGE_TAG, n->tags[i] & ~MEMORY_EPOCH_GROUP);
        if (n->tags[i] & MEMORY_EPOCH_GROUP)
            ask(a, PURGE_GROUP, group_of(host, n->tags[i]));
    }
    atomic_fetch_sub(&e->readers, 1);
}

enum memory_purged memory_epoch_check(struct memory_epoch *e, const struct memory_names *n,
                                      uint64_t fill_no, atomic_ullong *memo)
{
    uint64_t version = atomic_load_explicit(&e->version, memory_order_acquire);
    if (memo && atomic_load_explicit(memo, memory_order_relaxed) == version)
        return MEMORY_PURGED_NOT;
    struct asking a = {.fill_no = fill_no, .worst = MEMORY_PURGED_NOT};
    if (!n->without_all)
        a.worst = judge(atomic_load_explicit(&e->all_hard, memory_order_acquire),
                        atomic_load_explicit(&e->all_soft, memory_order_acquire), fill_no,
                        MEMORY_PURGED_NOT);
    if (atomic_load_explicit(&e->scoped, memory_order_acquire))
        a.site = site_of(e, n->site);
    if (atomic_load_explicit(&e->names, memory_order_acquire))
        ask_names(e, n, &a);
    if (atomic_load_explicit(&e->prefix_count, memory_order_acquire))
        ask_prefixes(e, n, &a);
    if (memo && a.worst == MEMORY_PURGED_NOT)
        atomic_store_explicit(memo, version, memory_order_relaxed);
    return a.worst;
}

uint64_t memory_epoch_now(const struct memory_epoch *e)
{
    return atomic_load_explicit(&e->fill_clock, memory_order_acquire);
}

/* --- writing --- */

static void raise_to(atomic_ullong *at, uint64_t no)
{
    if (atomic_load_explicit(at, memory_order_relaxed) < no)
        atomic_store_explicit(at, no, memory_order_release);
}

/* Twice the size, or only without the forgotten names when these are most of it. */
static void grow(struct memory_epoch *e)
{
    struct table *old = atomic_load_explicit(&e->table, memory_order_relaxed);
    uint32_t names = atomic_load_explicit(&e->names, memory_order_relaxed);
    struct table *t = create_table(names * 4 < old->size ? old->size : old->size * 2);
    for (uint32_t i = 0; i < old->size; i++) {
        struct slot *from = &old->slots[i];
        uint64_t name = atomic_load_explicit(&from->name, memory_order_relaxed);
        uint64_t hard = atomic_load_explicit(&from->hard, memory_order_relaxed);
        uint64_t soft = atomic_load_explicit(&from->soft, memory_order_relaxed);
        if (name == 0 || (hard == 0 && soft == 0))
            continue;
        uint32_t k = (uint32_t)name & (t->size - 1);
        while (atomic_load_explicit(&t->slots[k].name, memory_order_relaxed))
            k = (k + 1) & (t->size - 1);
        atomic_init(&t->slots[k].name, name);
        atomic_init(&t->slots[k].hard, hard);
        atomic_init(&t->slots[k].soft, soft);
        t->slots[k].scoped = from->scoped;
        t->used++;
    }
    atomic_store(&e->table, t);
    while (atomic_load(&e->readers)) /* a microsecond each */
        sched_yield();
    free(old);
}

/* The name's slot: its own, else a forgotten one on its way, else a fresh one. A forgotten one
 * changes its name under the eyes of readers: whoever looks for the old name may see the new
 * numbers, which costs a fetch and is never wrong. */
static struct slot *find_slot(struct memory_epoch *e, uint64_t name)
{
    struct table *t = atomic_load_explicit(&e->table, memory_order_relaxed);
    uint32_t names = atomic_load_explicit(&e->names, memory_order_relaxed);
    if (t->used * 2 >= t->size && (t->size < MEMORY_EPOCH_NAMES * 2 || names * 4 < t->size)) {
        grow(e);
        t = atomic_load_explicit(&e->table, memory_order_relaxed);
    }
    struct slot *forgotten = NULL;
    for (uint32_t i = (uint32_t)name & (t->size - 1);; i = (i + 1) & (t->size - 1)) {
        struct slot *s = &t->slots[i];
        uint64_t at = atomic_load_explicit(&s->name, memory_order_relaxed);
        if (at == name)
            return s;
        if (at && !forgotten && !atomic_load_explicit(&s->hard, memory_order_relaxed) &&
            !atomic_load_explicit(&s->soft, memory_order_relaxed))
            forgotten = s;
        if (at)
            continue;
        if (forgotten)
            return forgotten;
        if (t->used >= MEMORY_EPOCH_NAMES)
            return NULL;
        t->used++;
        return s;
    }
}

/* What is wider than it was meant is as hard: a hard purge is a promise about what it names. */
static void widen_to_all(struct memory_epoch *e, enum purge_mode mode, uint64_t no)
{
    counter_add(COUNTER_PURGE_WIDENED, 1);
    raise_to(mode == PURGE_HARD ? &e->all_hard : &e->all_soft, no);
    /* No sweep looks at that: what the name meant is there still. */
    e->widened_no = e->widened_no && e->widened_no < no ? e->widened_no : no;
}

static void put_name(struct memory_epoch *e, uint64_t name, bool scoped, enum purge_mode mode,
                     uint64_t no)
{
    struct slot *s = find_slot(e, name);
    if (!s) {
        widen_to_all(e, mode, no);
        return;
    }
    if (!atomic_load_explicit(&s->hard, memory_order_relaxed) &&
        !atomic_load_explicit(&s->soft, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&e->names, 1, memory_order_release);
        atomic_fetch_add_explicit(&e->scoped, scoped, memory_order_release);
        s->scoped = scoped;
    }
    raise_to(mode == PURGE_HARD ? &s->hard : &s->soft, no);
    atomic_store_explicit(&s->name, name, memory_order_release);
}

/* The deepest one that holds all that the prefix names. */
static struct span directory_of(struct span prefix)
{
    size_t end = 0;
    for (size_t i = 0; i < prefix.len && prefix.ptr[i] != '?'; i++)
        end = prefix.ptr[i] == '/' ? i + 1 : end;
    return span_until(prefix, end);
}

/* A directory deeper than lookups probe is purged by the last one that they do. */
static struct span cut_depth(struct span text)
{
    unsigned count = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '/' || ++count < MEMORY_EPOCH_DIRS)
            continue;
        if (i + 1 < text.len)
            counter_add(COUNTER_PURGE_WIDENED, 1);
        return span_until(text, i + 1);
    }
    return text;
}

static void put_prefix(struct memory_epoch *e, struct span text, uint64_t site,
                       enum purge_mode mode, uint64_t no)
{
    pthread_mutex_lock(&e->prefix_lock);
    struct prefix *room = NULL;
    for (uint32_t i = 0; i < MEMORY_EPOCH_PREFIXES; i++) {
        struct prefix *p = &e->prefixes[i];
        if (!p->text) {
            room = room ? room : p;
        } else if (p->site == site && span_equal(span_of(p->text, p->len), text)) {
            room = p;
            break;
        }
    }
    if (room && !room->text) {
        *room =
            (struct prefix){.text = must_alloc(text.len + 1), .len = text.len, .site = site};
        memcpy(room->text, text.ptr, text.len);
        atomic_fetch_add_explicit(&e->prefix_count, 1, memory_order_release);
        atomic_fetch_add_explicit(&e->scoped, site != 0, memory_order_release);
    }
    if (room && mode == PURGE_HARD)
        room->hard = room->hard > no ? room->hard : no;
    else if (room)
        room->soft = room->soft > no ? room->soft : no;
    pthread_mutex_unlock(&e->prefix_lock);
    if (!room) {
        counter_add(COUNTER_PURGE_WIDENED, 1);
        put_name(e, name_of(PURGE_PREFIX, site, text_of(e, cut_depth(directory_of(text)))),
                 site != 0, mode, no);
    }
}

static bool is_directory(struct span text)
{
    size_t at;
    return text.len && text.ptr[text.len - 1] == '/' && !span_find(text, '?', &at);
}

static void put(struct memory_epoch *e, const struct memory_purge *p, uint64_t no)
{
    uint64_t site = site_of(e, p->site);
    if (p->kind == PURGE_ALL) {
        if (site)
            put_name(e, name_of(PURGE_ALL, site, 0), true, p->mode, no);
        else
            raise_to(p->mode == PURGE_HARD ? &e->all_hard : &e->all_soft, no);
        return;
    }
    for (uint32_t i = 0; i < p->name_count; i++) {
        struct span text = p->names[i];
        if (p->kind == PURGE_PREFIX && !is_directory(text)) {
            put_prefix(e, text, site, p->mode, no);
            continue;
        }
        if (p->kind == PURGE_PREFIX)
            text = cut_depth(text);
        put_name(e, name_of(p->kind, site, named_of(e, p->kind, text)), site != 0, p->mode, no);
    }
}

static void unreserve(struct memory_epoch *e, uint64_t no)
{
    for (uint32_t i = 0; i < e->reserved_count; i++)
        if (e->reserved[i] == no) {
            e->reserved[i] = e->reserved[--e->reserved_count];
            return;
        }
}

static void publish(struct memory_epoch *e)
{
    uint64_t clock = e->counter;
    for (uint32_t i = 0; i < e->reserved_count; i++)
        if (e->reserved[i] - 1 < clock)
            clock = e->reserved[i] - 1;
    atomic_fetch_add_explicit(&e->version, 1, memory_order_release);
    atomic_store_explicit(&e->fill_clock, clock, memory_order_release);
}

uint64_t memory_epoch_reserve(struct memory_epoch *e)
{
    pthread_mutex_lock(&e->write_lock);
    uint64_t no = ++e->counter;
    if (e->reserved_count == MEMORY_EPOCH_RESERVED) { /* the lowest was given up */
        uint32_t low = 0;
        for (uint32_t i = 1; i < e->reserved_count; i++)
            low = e->reserved[i] < e->reserved[low] ? i : low;
        e->reserved[low] = e->reserved[--e->reserved_count];
    }
    e->reserved[e->reserved_count++] = no;
    pthread_mutex_unlock(&e->write_lock);
    return no;
}

void memory_epoch_apply(struct memory_epoch *e, const struct memory_purge *p, uint64_t apply_no)
{
    pthread_mutex_lock(&e->write_lock);
    put(e, p, apply_no);
    if (apply_no > e->counter)
        e->counter = apply_no;
    unreserve(e, apply_no);
    publish(e);
    pthread_mutex_unlock(&e->write_lock);
}

void memory_epoch_skip(struct memory_epoch *e, uint64_t apply_no)
{
    pthread_mutex_lock(&e->write_lock);
    unreserve(e, apply_no);
    publish(e);
    pthread_mutex_unlock(&e->write_lock);
}

uint64_t memory_epoch_apply_now(struct memory_epoch *e, const struct memory_purge *p)
{
    pthread_mutex_lock(&e->write_lock);
    uint64_t no = ++e->counter;
    put(e, p, no);
    publish(e);
    pthread_mutex_unlock(&e->write_lock);
    return no;
}

uint64_t memory_epoch_step(struct memory_epoch *e)
{
    pthread_mutex_lock(&e->write_lock);
    uint64_t no = ++e->counter;
    publish(e);
    pthread_mutex_unlock(&e->write_lock);
    return no;
}

static bool forget(atomic_ullong *at, uint64_t no)
{
    uint64_t is = atomic_load_explicit(at, memory_order_relaxed);
    if (is > no)
        return false;
    /* Released: who finds the name gone finds `forgotten` raised. */
    atomic_store_explicit(at, 0, memory_order_release);
    return is != 0;
}

static uint64_t lower(uint64_t lowest, uint64_t no)
{
    return no && no < lowest ? no : lowest;
}

static uint64_t lower_slot(uint64_t lowest, const struct slot *s)
{
    lowest = lower(lowest, atomic_load_explicit(&s->hard, memory_order_relaxed));
    return lower(lowest, atomic_load_explicit(&s->soft, memory_order_relaxed));
}

/* *lowest: the lowest number of what stays, if it is lower. */
static unsigned forget_names(struct memory_epoch *e, uint64_t no, bool sites, uint64_t *lowest)
{
    struct table *t = atomic_load_explicit(&e->table, memory_order_relaxed);
    unsigned count = 0, scoped = 0;
    for (uint32_t i = 0; i < t->size; i++) {
        struct slot *s = &t->slots[i];
        bool may = !s->scoped || sites;
        bool hard = may && forget(&s->hard, no);
        bool soft = may && forget(&s->soft, no);
        if ((hard || soft) && !atomic_load_explicit(&s->hard, memory_order_relaxed) &&
            !atomic_load_explicit(&s->soft, memory_order_relaxed)) {
            count++;
            scoped += s->scoped;
        }
        *lowest = lower_slot(*lowest, s);
    }
    atomic_fetch_sub_explicit(&e->names, count, memory_order_release);
    atomic_fetch_sub_explicit(&e->scoped, scoped, memory_order_release);
    return count;
}

static unsigned forget_prefixes(struct memory_epoch *e, uint64_t no, bool sites,
                                uint64_t *lowest)
{
    unsigned count = 0;
    pthread_mutex_lock(&e->prefix_lock);
    for (uint32_t i = 0; i < MEMORY_EPOCH_PREFIXES; i++) {
        struct prefix *p = &e->prefixes[i];
        bool may = !p->site || sites;
        if (p->text && may && p->hard <= no && p->soft <= no) {
            atomic_fetch_sub_explicit(&e->scoped, p->site != 0, memory_order_release);
            free(p->text);
            *p = (struct prefix){0};
            atomic_fetch_sub_explicit(&e->prefix_count, 1, memory_order_release);
            count++;
        }
        *lowest = lower(lower(*lowest, p->hard), p->soft);
    }
    pthread_mutex_unlock(&e->prefix_lock);
    return count;
}

void memory_epoch_rename(struct memory_epoch *e)
{
    pthread_mutex_lock(&e->write_lock);
    atomic_fetch_add_explicit(&e->renames, 1, memory_order_release);
    pthread_mutex_unlock(&e->write_lock);
}

uint64_t memory_epoch_renames(const struct memory_epoch *e)
{
    return atomic_load_explicit(&e->renames, memory_order_acquire);
}

unsigned memory_epoch_forget(struct memory_epoch *e, uint64_t no, uint64_t renames, bool sites)
{
    pthread_mutex_lock(&e->write_lock);
    if (renames != memory_epoch_renames(e)) {
        pthread_mutex_unlock(&e->write_lock);
        return 0;
    }
    if (e->keep && e->keep <= no)
        no = e->keep - 1;
    raise_to(&e->forgotten, no);
    uint64_t lowest = lower(no + 1, e->widened_no);
    unsigned count =
        forget_names(e, no, sites, &lowest) + forget_prefixes(e, no, sites, &lowest);
    raise_to(&e->swept, lowest - 1);
    pthread_mutex_unlock(&e->write_lock);
    return count;
}

uint64_t memory_epoch_swept(const struct memory_epoch *e)
{
    return atomic_load_explicit(&e->swept, memory_order_relaxed);
}

void memory_epoch_keep(struct memory_epoch *e, uint64_t from)
{
    pthread_mutex_lock(&e->write_lock);
    e->keep = from;
    pthread_mutex_unlock(&e->write_lock);
}

uint64_t memory_epoch_forgotten(const struct memory_epoch *e)
{
    return atomic_load_explicit(&e->forgotten, memory_order_acquire);
}

void memory_epoch_figures(const struct memory_epoch *e, struct memory_epoch_figures *out)
{
    *out = (struct memory_epoch_figures){
        .names = atomic_load_explicit(&e->names, memory_order_relaxed),
        .prefixes = atomic_load_explicit(&e->prefix_count, memory_order_relaxed),
        .scoped = atomic_load_explicit(&e->scoped, memory_order_relaxed),
        .apply_no = memory_epoch_now(e),
    };
}

static bool bears(const struct memory_epoch *e, const struct memory_names *n,
                  enum purge_kind kind, struct span name)
{
    uint64_t named = named_of(e, kind, name), host = text_of(e, n->host);
    for (uint32_t i = 0; i < n->tag_count; i++) {
        bool group = n->tags[i] & MEMORY_EPOCH_GROUP;
        if (kind == PURGE_TAG ? (n->tags[i] & ~MEMORY_EPOCH_GROUP) == named
                              : group && group_of(host, n->tags[i]) == named)
            return true;
    }
    return false;
}

bool memory_epoch_matches(const struct memory_epoch *e, const struct memory_purge *p,
                          const struct memory_names *n)
{
    if (p->site.len && !span_equal(p->site, n->site))
        return false;
    if (p->kind == PURGE_ALL)
        return true;
    for (uint32_t i = 0; i < p->name_count; i++) {
        struct span text = p->names[i];
        if ((p->kind == PURGE_URL && span_equal(text, n->url)) ||
            (p->kind == PURGE_PATH && span_equal(text, n->path_query)) ||
            (p->kind == PURGE_HOST && span_equal(text, n->host)) ||
            (p->kind == PURGE_PREFIX && span_starts(n->url, text)) ||
            ((p->kind == PURGE_TAG || p->kind == PURGE_GROUP) && bears(e, n, p->kind, text)))
            return true;
    }
    return false;
}
