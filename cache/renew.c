#include "cache/renew.h"

#include <stdlib.h>

#include "base/counter.h"
#include "cache/core.h"
#include "cache/memory/deposit.h"
#include "cache/memory/fill.h"
#include "cache/memory/form.h"
#include "cache/memory/object.h"
#include "cache/policy/encoding.h"
#include "cache/policy/validate.h"
#include "cache/response.h"
#include "cache/variant.h"

#define MERGE_ARENA_BYTES ((size_t)512 * 1024)

enum memory_purged cache_renew_purged(const struct cache_intake *i,
                                      const struct memory_object *o, uint64_t fill_no)
{
    struct memory_names n = cache_names(i->key, i->site);
    n.tags = o->tag_hash;
    n.tag_count = o->tag_count;
    return memory_epoch_check(i->cache->tier.epoch, &n, fill_no, NULL);
}

bool cache_renew_is_dead(const struct cache_intake *i)
{
    return cache_renew_purged(i, i->validating, i->validating->fill_no) == MEMORY_PURGED_HARD;
}

bool cache_renew_was_fresh(const struct cache_intake *i)
{
    const struct memory_object *o = i->validating;
    const struct policy_wish none = POLICY_WISH_NONE;
    return o && !atomic_load_explicit(&o->soft_purged, memory_order_relaxed) &&
           !cache_is_doubted(&i->cache->tier, o->fill_no) &&
           cache_renew_purged(i, o, o->fill_no) == MEMORY_PURGED_NOT &&
           policy_freshness_reuse(&o->facts, &none, i->requested_at_s) == POLICY_REUSE_FRESH;
}

bool cache_renew_keeps(const struct cache_intake *i, enum policy_storable why)
{
    return why == POLICY_STORE_METHOD || why == POLICY_STORE_BODY ||
           http_fields_find(&i->request->fields, HTTP_NAME_AUTHORIZATION) ||
           cache_renew_was_fresh(i);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* A 304 may name more tags; those of before stay, so that no purge misses the body. False: they
 * are more than an object may have. */
static bool join_tags(const struct memory_object *old, struct cache_response *kept)
{
    for (uint16_t k = 0; k < old->tag_count; k++) {
        bool known = false;
        for (uint32_t n = 0; n < kept->tag_count; n++) {
            if ((kept->tags[n] ^ old->tag_hash[k]) & ~MEMORY_EPOCH_GROUP)
                continue;
            kept->tags[n] |= old->tag_hash[k]; /* a group stays one */
            known = true;
        }
        if (known)
            continue;
        if (kept->tag_count == MEMORY_TAGS_MAX)
            return false;
        kept->tags[kept->tag_count++] = old->tag_hash[k];
    }
    qsort(kept->tags, kept->tag_count, sizeof(kept->tags[0]), compare);
    return true;
}

/* The object under the fields of `news`. NULL: no memory. */
static struct memory_object *merge(struct cache_intake *i, struct memory_object *old,
                                   const struct http_response *news, int64_t now_s,
                                   struct arena *a, enum policy_storable *out_verdict)
{
    struct http_fields fields = {0};
    if (!policy_validate_merge(&old->kept, &news->fields, now_s, a, &fields))
        return NULL;
    struct http_request get = *i->request;
    get.method = HTTP_GET; /* whatever asked, the object is one of a GET */
    struct cache_response_ask ask = {
        .request = &get,
        .site = i->site,
        .route = i->route,
        .variants = i->variants,
        .requested_at_s = i->requested_at_s,
        .now_s = now_s,
        .varied = policy_encoding_varies(&old->kept),
    };
    struct http_response whole = {
        .status = old->status, .fields = fields, .body_bytes = old->body_bytes};
    struct cache_response kept;
    if (!cache_response_read(&ask, &whole, i->cache->tier.epoch, a, &kept))
        return NULL;
    if (kept.verdict == POLICY_STORE_YES && !join_tags(old, &kept))
        kept.verdict = POLICY_STORE_TAGS;
    *out_verdict = kept.verdict;
    struct http_fields hidden;
    struct memory_seed seed;
    memory_object_seed(old, &hidden, &seed);
    seed.facts = kept.facts;
    seed.fields = &kept.sent;
    seed.hidden = &kept.hidden;
    seed.tag_hash = kept.tags;
    seed.tag_count = (uint16_t)kept.tag_count;
    seed.fill_no = atomic_load_explicit(&i->fill->fill_no, memory_order_relaxed);
    seed.stored = seed.stored && kept.verdict == POLICY_STORE_YES;
    seed.soft_purged = false;
    seed.body_of = old;
    seed.form_count = 0;
    /* Without memory for the forms, or when they may not be (no-transform), goes on without. */
    if (policy_encoding_may_change(seed.status, seed.fields))
        (void)memory_form_renew(&i->cache->tier, old, &seed);
    struct memory_object *o = memory_object_create(&i->cache->tier, &seed);
    memory_form_drop_all(&seed);
    return o;
}

/* The stored object may not be used: everybody starts afresh. */
static enum cache_take start_again(struct cache_intake *i)
{
    memory_deposit_restore(i->fill, false);
    memory_fill_answer(i->fill, MEMORY_HEAD_AGAIN, NULL, 0);
    return CACHE_TAKE_DONE;
}

enum cache_take cache_renew_by_304(struct cache_intake *i, const struct http_response *r,
                                   int64_t now_s)
{
    struct memory_object *old = i->validating;
    if (!policy_validate_matches(&old->block.fields, &r->fields) || cache_renew_is_dead(i))
        return start_again(i);
    struct arena a;
    arena_init(&a, MERGE_ARENA_BYTES);
    enum policy_storable verdict = POLICY_STORE_YES;
    struct memory_object *o = merge(i, old, r, now_s, &a, &verdict);
    arena_fini(&a);
    if (!o)
        return start_again(i);
    counter_add(COUNTER_CACHE_REVALIDATED, 1);
    memory_fill_show(i->fill, o);
    enum memory_purged is = cache_renew_purged(i, o, o->fill_no);
    if (is == MEMORY_PURGED_SOFT)
        atomic_store_explicit(&o->soft_purged, true, memory_order_relaxed);
    if (verdict == POLICY_STORE_TAGS)
        counter_add(COUNTER_CACHE_NOT_STORED_TAGS, 1);
    bool shared = verdict == POLICY_STORE_YES;
    if (shared && is != MEMORY_PURGED_HARD)
        memory_deposit_merged(i->fill, old, o);
    else
        memory_deposit_restore(i->fill, !shared && cache_renew_keeps(i, verdict));
    if (shared && is == MEMORY_PURGED_NOT)
        memory_fill_answer(i->fill, MEMORY_HEAD_READY, o, 0);
    else
        memory_fill_answer_leader(i->fill, o, shared ? MEMORY_HEAD_AGAIN : MEMORY_HEAD_ALONE);
    memory_object_drop(o);
    return CACHE_TAKE_DONE;
}

/* A soft purge makes the youngest object stale: then somebody must allow stale answers at all,
 * and the client's own word does not count against the operator's. */
static bool may_serve_stale(const struct cache_intake *i, int64_t now_s)
{
    const struct memory_object *old = i->validating;
    const struct policy_facts *f = &old->facts;
    int64_t grace_s = i->route->ttl.grace_s;
    struct policy_wish wish = POLICY_WISH_NONE;
    bool soft = atomic_load_explicit(&old->soft_purged, memory_order_relaxed) ||
                cache_is_doubted(&i->cache->tier, old->fill_no) ||
                cache_renew_purged(i, old, old->fill_no) != MEMORY_PURGED_NOT;
    if (soft && f->stale_error_s <= 0 && f->stale_refresh_s <= 0 &&
        (grace_s <= 0 || f->windows_only))
        return false;
    if (!soft)
        policy_control_request(&i->request->fields, &wish);
    return policy_freshness_stale_if_error(f, &wish, grace_s, now_s);
}

bool cache_renew_serve_stale(struct cache_intake *i, int64_t now_s)
{
    struct memory_object *old = i->validating;
    if (!old)
        return false;
    memory_fill_show(i->fill, old); /* it is stale: from here on nobody joins */
    if (cache_renew_is_dead(i))
        return false;
    bool allowed = may_serve_stale(i, now_s);
    if (!allowed && !i->fill->background)
        return false;
    memory_deposit_restore(i->fill, true);
    memory_fill_answer(i->fill, allowed ? MEMORY_HEAD_STALE : MEMORY_HEAD_AGAIN,
                       allowed ? old : NULL, 0);
    return true;
}

/* The object that a HEAD speaks about, when it is in RAM and nobody fetches it; held. */
static struct memory_object *find(struct cache_intake *i, struct arena *a)
{
    struct memory_tier *t = &i->cache->tier;
    struct memory_object *o = NULL;
    struct memory_place p;
    struct memory_vary known = {0};
    struct span vary = {0};
    memory_place_open(t->index, memory_index_key(t, i->key->text, vary), &p);
    if (memory_place_kind(&p) == MEMORY_VARY)
        known = memory_place_vary(&p);
    else if (memory_place_kind(&p) == MEMORY_OBJECT)
        o = memory_object_hold(memory_place_object(&p));
    memory_place_close(&p);
    if (!known.names.len || cache_variant_key(&known, &i->request->fields, a, &vary) != ERR_OK)
        return o;
    memory_place_open(t->index, memory_index_key(t, i->key->text, vary), &p);
    if (memory_place_kind(&p) == MEMORY_OBJECT)
        o = memory_object_hold(memory_place_object(&p));
    memory_place_close(&p);
    return o;
}

void cache_renew_by_head(struct cache_intake *i, const struct http_response *head,
                         int64_t now_s)
{
    struct arena a;
    arena_init(&a, MERGE_ARENA_BYTES);
    struct memory_object *old = find(i, &a), *o = NULL;
    enum policy_storable verdict = POLICY_STORE_YES;
    if (old && cache_renew_purged(i, old, old->fill_no) == MEMORY_PURGED_NOT) {
        switch (policy_validate_head(&old->block.fields, old->body_bytes, head)) {
        case POLICY_HEAD_UPDATES:
            o = merge(i, old, head, now_s, &a, &verdict);
            break;
        case POLICY_HEAD_OUTDATES:
            atomic_store_explicit(&old->soft_purged, true, memory_order_relaxed);
            break;
        case POLICY_HEAD_NOTHING:
            break;
        }
    }
    if (o && verdict == POLICY_STORE_YES)
        memory_deposit_merged(NULL, old, o);
    memory_object_drop(o);
    memory_object_drop(old);
    arena_fini(&a);
}
