#include "cache/peer.h"

#include "cache/core.h"
#include "cache/memory/object.h"
#include "cache/policy/tags.h"
#include "cache/policy/validate.h"

#define TAGS_ARENA_BYTES ((size_t)256 * 1024)

static bool is_named(struct cache_intake *i, const uint64_t *tags, uint32_t tag_count)
{
    struct memory_names n = cache_names(i->key, i->site);
    n.tags = tags;
    n.tag_count = tag_count;
    return memory_epoch_check(i->cache->tier.epoch, &n, i->oldest_unknown - 1, NULL) !=
           MEMORY_PURGED_NOT;
}

/* False as well: there are too many to know them all. */
static bool read_tags(const struct cache_intake *i, const struct http_response *r,
                      uint64_t out[POLICY_TAGS_MAX], uint32_t *out_count)
{
    struct arena a;
    struct policy_tags tags = {.count = 0};
    arena_init(&a, TAGS_ARENA_BYTES);
    bool known = policy_tags(&r->fields, &i->site->tags, &a, &tags) == ERR_OK;
    for (uint32_t k = 0; known && k < tags.count; k++)
        out[k] = memory_epoch_tag(i->cache->tier.epoch, tags.at[k], tags.groups >> k & 1);
    arena_fini(&a);
    *out_count = tags.count;
    return known;
}

bool cache_peer_may_be_taken(struct cache_intake *i, const struct http_response *r)
{
    uint64_t tags[POLICY_TAGS_MAX];
    uint32_t count;
    const struct memory_object *asked = i->validating;
    if (r->status == 304 &&
        (!asked || !policy_validate_matches(&asked->block.fields, &r->fields)))
        return false;
    if (i->oldest_unknown == 0)
        return true;
    if (i->oldest_unknown == UINT64_MAX || !read_tags(i, r, tags, &count) ||
        is_named(i, tags, count))
        return false;
    /* A 304 keeps the tags of before. */
    if (r->status == 304 && is_named(i, asked->tag_hash, asked->tag_count))
        return false;
    return memory_epoch_forgotten(i->cache->tier.epoch) < i->oldest_unknown;
}
