/* cache/info.c - what is stored for one URL: cache_info of cache.h. */
#include "cache/core.h"
#include "cache/memory/fill.h"
#include "cache/memory/index.h"
#include "cache/memory/object.h"
#include "cache/policy/encoding.h"
#include "cache/policy/key.h"
#include "cache/variant.h"

#define INFO_ARENA_BYTES ((size_t)256 * 1024)
#define INFO_VARIANTS_MAX 256u
#define INFO_STEP 4096u

struct telling {
    struct cache *cache;
    const struct conf_site *site;
    struct policy_key key;
    int64_t now_s;
    void (*tell)(void *user, const struct cache_variant_info *v);
    void *user;
    struct memory_object *found[INFO_VARIANTS_MAX]; /* held */
    unsigned found_count;
};

static const char *tier_of(const struct memory_object *o)
{
    return o->body_in_memory ? "memory" : "disk";
}

static const char *state_of(const struct telling *t, const struct memory_object *o)
{
    struct memory_names n = cache_names(&t->key, t->site);
    n.tags = o->tag_hash;
    n.tag_count = o->tag_count;
    enum memory_purged is = memory_epoch_check(t->cache->tier.epoch, &n, o->fill_no, NULL);
    if (is == MEMORY_PURGED_HARD)
        return "purged";
    bool soft = is == MEMORY_PURGED_SOFT ||
                atomic_load_explicit(&o->soft_purged, memory_order_relaxed) ||
                cache_is_doubted(&t->cache->tier, o->fill_no);
    return !soft && policy_freshness_left_s(&o->facts, t->now_s) > 0 ? "fresh" : "stale";
}

static struct cache_form_info form_of(const struct memory_object *o)
{
    return (struct cache_form_info){.encoding = policy_encoding_text(o->encoding),
                                    .bytes = o->body_bytes,
                                    .made = o->derived,
                                    .tier = tier_of(o)};
}

static void tell_object(const struct telling *t, const struct memory_object *o)
{
    const struct http_field *etag = http_fields_find(&o->block.fields, HTTP_NAME_ETAG);
    struct cache_variant_info v = {
        .key = o->key_text,
        .vary = cache_variant_values(o->vary_text),
        .status = o->status,
        .age_s = policy_freshness_age_s(&o->facts, t->now_s),
        .fresh_left_s = policy_freshness_left_s(&o->facts, t->now_s),
        .body_bytes = o->body_bytes,
        .fill_no = o->fill_no,
        .etag = etag ? etag->value : (struct span){0},
        .tag_count = o->tag_count,
        .tier = tier_of(o),
        .state = state_of(t, o),
        .hits = atomic_load_explicit(&o->hits, memory_order_relaxed),
    };
    _Static_assert(ARRAY_LEN(v.forms) == 1 + ARRAY_LEN(o->form), "every form is told");
    v.forms[v.form_count++] = form_of(o);
    for (unsigned i = 0; i < o->form_count; i++)
        v.forms[v.form_count++] = form_of(o->form[i]);
    t->tell(t->user, &v);
}

static void see_variant(void *context, const struct memory_seen *s)
{
    struct telling *t = context;
    if (s->kind == MEMORY_OBJECT && t->found_count < INFO_VARIANTS_MAX &&
        span_equal(s->object->key_text, t->key.text))
        t->found[t->found_count++] = memory_object_hold(s->object);
}

/* Variants in RAM; those on disk only are not known by name. */
static void tell_variants(struct telling *t)
{
    struct memory_walk w = {0, 0};
    while (memory_index_walk(t->cache->tier.index, &w, INFO_STEP, see_variant, t)) {
    }
    while (t->found_count) {
        struct memory_object *o = t->found[--t->found_count];
        tell_object(t, o);
        memory_object_drop(o);
    }
}

static void tell_key(struct telling *t)
{
    struct memory_tier *tier = &t->cache->tier;
    struct memory_place p;
    struct memory_object *o = NULL;
    struct memory_disk disk = {0};
    memory_place_open(tier->index, memory_index_key(tier, t->key.text, (struct span){0}), &p);
    enum memory_kind kind = memory_place_kind(&p);
    if (kind == MEMORY_OBJECT)
        o = memory_object_hold(memory_place_object(&p));
    else if (kind == MEMORY_FILL && memory_place_fill(&p)->under)
        o = memory_object_hold(memory_place_fill(&p)->under);
    else if (kind == MEMORY_DISK)
        disk = memory_place_disk(&p);
    memory_place_close(&p);
    if (o) {
        tell_object(t, o);
    } else if (disk.body_id || kind == MEMORY_FILL) {
        bool fill = kind == MEMORY_FILL;
        struct cache_variant_info v = {.key = t->key.text,
                                       .body_bytes = HTTP_LENGTH_UNKNOWN,
                                       .tier = fill ? "filling" : "disk",
                                       .state = fill ? "fresh" : "stale"};
        t->tell(t->user, &v);
    } else if (kind == MEMORY_VARY) {
        tell_variants(t);
    }
    memory_object_drop(o);
}

void cache_info(struct cache *c, struct span url, const struct conf *conf, int64_t now_s,
                void (*tell)(void *user, const struct cache_variant_info *v), void *user)
{
    static const struct span schemes[] = {{"http", 4}, {"https", 5}};
    struct arena a;
    struct http_uri uri;
    arena_init(&a, INFO_ARENA_BYTES);
    struct telling t = {.cache = c, .now_s = now_s, .tell = tell, .user = user};
    if (http_uri_parse_absolute(url, &a, &uri) == ERR_OK)
        t.site = policy_key_site(conf, uri.host);
    for (size_t i = 0; t.site && i < ARRAY_LEN(schemes); i++) {
        /* The other scheme only on its own port, as a purge of the URL would take it, too. */
        if (uri.port && !span_equal(uri.scheme, schemes[i]))
            continue;
        struct http_request get = {.method = HTTP_GET, .scheme = schemes[i]};
        if (!(uri.port
                  ? arena_printf(&a, &get.authority, "%.*s:%u", SPAN_ARG(uri.host), uri.port)
                  : arena_copy(&a, uri.host, &get.authority)))
            break;
        if (policy_key_make(&get, &uri, &t.site->cache_key, &a, &t.key) == ERR_OK)
            tell_key(&t);
    }
    arena_fini(&a);
}
