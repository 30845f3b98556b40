#include "node/io/kept.h"

#include <stdlib.h>

#include "base/crypto.h"
#include "base/hash.h"

#define BUCKETS 64

struct io_kept_pool { /* there while it has items */
    struct io_kept_pool *next;
    struct io_kept *kept;
    struct io_kept_item *newest, *oldest;
    uint32_t count;
    size_t key_len;
    char key[];
};

struct io_kept {
    struct hash_key hash;
    struct io_kept_pool *buckets[BUCKETS];
};

struct io_kept *io_kept_create(void)
{
    struct io_kept *k = must_alloc(sizeof(*k));
    crypto_random(&k->hash, sizeof(k->hash));
    return k;
}

void io_kept_destroy(struct io_kept *k)
{
    for (unsigned i = 0; k && i < BUCKETS; i++)
        must(!k->buckets[i]);
    free(k);
}

/* Where the pool of this key hangs, or would. */
static struct io_kept_pool **find(struct io_kept *k, struct span key)
{
    struct io_kept_pool **at = &k->buckets[hash_sip64(&k->hash, key) % BUCKETS];
    while (*at && !span_equal(span_of((*at)->key, (*at)->key_len), key))
        at = &(*at)->next;
    return at;
}

void io_kept_remove(struct io_kept_item *item)
{
    struct io_kept_pool *p = item->pool;
    if (!p)
        return;
    *(item->newer ? &item->newer->older : &p->newest) = item->older;
    *(item->older ? &item->older->newer : &p->oldest) = item->newer;
    *item = (struct io_kept_item){0};
    if (--p->count > 0)
        return;
    *find(p->kept, span_of(p->key, p->key_len)) = p->next;
    free(p);
}

struct io_kept_item *io_kept_put(struct io_kept *k, struct span key, struct io_kept_item *item)
{
    must(!item->pool);
    struct io_kept_pool **at = find(k, key), *p = *at;
    if (!p) {
        p = must_alloc(sizeof(*p) + key.len);
        p->kept = k;
        p->key_len = key.len;
        memcpy(p->key, key.ptr, key.len);
        *at = p;
    }
    *item = (struct io_kept_item){.older = p->newest, .pool = p};
    *(p->newest ? &p->newest->newer : &p->oldest) = item;
    p->newest = item;
    if (++p->count <= IO_KEPT_MAX)
        return NULL;
    struct io_kept_item *oldest = p->oldest;
    io_kept_remove(oldest);
    return oldest;
}

struct io_kept_item *io_kept_take(struct io_kept *k, struct span key)
{
    struct io_kept_pool *p = *find(k, key);
    struct io_kept_item *item = p ? p->newest : NULL;
    if (item)
        io_kept_remove(item);
    return item;
}

struct io_kept_item *io_kept_any(struct io_kept *k)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        if (k->buckets[i])
            return k->buckets[i]->newest;
    return NULL;
}
