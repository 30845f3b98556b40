#include "cache/memory/pin.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"
#include "cache/store/store.h"

#define SHARDS 16

struct pin {
    struct pin *next;
    uint64_t body_id;
    uint32_t holders;
    bool doomed;
};
struct shard {
    pthread_mutex_t lock;
    struct pin **buckets;
};
struct memory_pins {
    struct store *store;
    uint64_t buckets; /* a power of two, a shard */
    struct shard shards[SHARDS];
};

struct memory_pins *memory_pin_create(struct store *store, uint64_t expected)
{
    struct memory_pins *p = must_alloc(sizeof(*p));
    p->store = store;
    p->buckets = 64;
    while (p->buckets * SHARDS < expected && p->buckets < (1u << 20))
        p->buckets *= 2;
    for (unsigned i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&p->shards[i].lock, NULL);
        p->shards[i].buckets = must_alloc(p->buckets * sizeof(struct pin *));
    }
    return p;
}

void memory_pin_destroy(struct memory_pins *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i < SHARDS; i++) {
        for (uint64_t k = 0; k < p->buckets; k++)
            for (struct pin *at = p->shards[i].buckets[k], *next; at; at = next) {
                next = at->next;
                free(at);
            }
        free(p->shards[i].buckets);
        pthread_mutex_destroy(&p->shards[i].lock);
    }
    free(p);
}

/* Locks the shard. *out_shard; the link that points at the pin, or at the chain's NULL. */
static struct pin **find(struct memory_pins *p, uint64_t body_id, struct shard **out_shard)
{
    uint64_t h = hash_mix(body_id);
    struct shard *s = &p->shards[h % SHARDS];
    pthread_mutex_lock(&s->lock);
    *out_shard = s;
    struct pin **at = &s->buckets[(h / SHARDS) & (p->buckets - 1)];
    while (*at && (*at)->body_id != body_id)
        at = &(*at)->next;
    return at;
}

static void dropped(struct store_job *job)
{
    free(CONTAINER_OF(job, struct store_drop, job));
}

static void drop_body(struct memory_pins *p, uint64_t body_id)
{
    if (!p->store)
        return;
    struct store_drop *d = must_alloc(sizeof(*d));
    d->job.done = dropped;
    d->body_id = body_id;
    if (store_drop(p->store, d) != ERR_OK)
        free(d);
}

void memory_pin_hold(struct memory_pins *p, uint64_t body_id)
{
    struct shard *s;
    struct pin **at = find(p, body_id, &s);
    if (!*at) {
        *at = must_alloc(sizeof(**at));
        (*at)->body_id = body_id;
    }
    (*at)->holders++;
    pthread_mutex_unlock(&s->lock);
}

void memory_pin_release(struct memory_pins *p, uint64_t body_id)
{
    struct shard *s;
    struct pin **at = find(p, body_id, &s), *gone = NULL;
    must(*at && (*at)->holders);
    if (--(*at)->holders == 0) {
        gone = *at;
        *at = gone->next;
    }
    pthread_mutex_unlock(&s->lock);
    if (gone && gone->doomed)
        drop_body(p, body_id);
    free(gone);
}

void memory_pin_doom(struct memory_pins *p, uint64_t body_id)
{
    struct shard *s;
    struct pin **at = find(p, body_id, &s);
    bool held = *at;
    if (held)
        (*at)->doomed = true;
    pthread_mutex_unlock(&s->lock);
    if (!held)
        drop_body(p, body_id);
}

uint32_t memory_pin_holders(struct memory_pins *p, uint64_t body_id)
{
    struct shard *s;
    struct pin **at = find(p, body_id, &s);
    uint32_t holders = *at ? (*at)->holders : 0;
    pthread_mutex_unlock(&s->lock);
    return holders;
}
