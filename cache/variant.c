#include "cache/variant.h"

#include "base/counter.h"
#include "cache/core.h"
#include "cache/memory/deposit.h"
#include "cache/memory/fill.h"
#include "cache/policy/vary.h"

/* Both are sorted, each name once; so is the union. False: too many, or no room. */
static bool unite(struct span x, struct span y, struct arena *a, struct span *out)
{
    if (span_equal(x, y) || y.len == 0 || x.len == 0) {
        *out = x.len ? x : y;
        return true;
    }
    char *text = arena_alloc(a, x.len + y.len + 2), *at = text;
    struct span px, py;
    bool more_x = span_split(&x, ',', &px), more_y = span_split(&y, ',', &py);
    unsigned count = 0;
    while (text && (more_x || more_y)) {
        int order = !more_y ? -1 : !more_x ? 1 : span_compare(px, py);
        struct span next = order <= 0 ? px : py;
        if (++count > POLICY_VARY_NAMES)
            return false;
        if (at != text)
            *at++ = ',';
        memcpy(at, next.ptr, next.len);
        at += next.len;
        if (order <= 0)
            more_x = span_split(&x, ',', &px);
        if (order >= 0)
            more_y = span_split(&y, ',', &py);
    }
    if (!text)
        return false;
    *out = span_of(text, (size_t)(at - text));
    return true;
}

/* Puts the names into the primary key's place. False: the fill is nowhere any more, or there
 * are too many variants. */
static bool name_primary(struct cache_intake *i, struct span names, struct arena *a,
                         bool new_variant, int64_t now_s, struct span *out_names)
{
    struct memory_fill *f = i->fill;
    struct memory_place p;
    struct span known = {0};
    uint32_t variants = 0;
    struct hash128 primary = memory_index_key(f->tier, i->key->text, (struct span){0});
    memory_place_open(f->tier->index, primary, &p);
    bool is_vary = memory_place_kind(&p) == MEMORY_VARY;
    if (is_vary)
        known = memory_place_vary(&p, &variants);
    bool ok = unite(known, names, a, out_names) &&
              memory_index_vary_known(f->tier->index, *out_names);
    bool full = ok && new_variant && variants >= CACHE_VARIANTS_MAX &&
                memory_place_vary_is_full(&p, now_s);
    if (variants >= CACHE_VARIANTS_MAX && !full)
        variants = 0;
    if (ok && !full && (!is_vary || new_variant || !span_equal(known, *out_names)))
        memory_place_set_vary(&p, *out_names, variants + new_variant);
    memory_place_close(&p);
    if (full)
        counter_add(COUNTER_CACHE_VARIANTS_CAPPED, 1);
    if (ok && !full && !span_equal(known, *out_names))
        memory_deposit_vary(f->tier, primary, i->key->text, *out_names, variants + 1);
    return ok && !full;
}

enum cache_variant cache_variant_place(struct cache_intake *i, struct span names,
                                       struct arena *a, int64_t now_s, struct span *out_vary)
{
    struct memory_fill *f = i->fill;
    struct memory_tier *t = f->tier;
    struct span text = i->key->text, all = names;
    struct hash128 primary = memory_index_key(t, text, (struct span){0});
    bool at_primary = hash128_equal(f->key, primary);
    if (at_primary && names.len == 0)
        return CACHE_VARIANT_SAME;
    /* A fill that began at a variant's key: is it the key that all names give? */
    struct memory_place p;
    memory_place_open(t->index, f->key, &p);
    bool registered = memory_place_kind(&p) == MEMORY_FILL && memory_place_fill(&p) == f;
    memory_place_close(&p);
    if (!registered)
        return CACHE_VARIANT_REFUSED;
    bool fresh = !f->under && !f->under_disk.body_id;
    if (!name_primary(i, names, a, fresh || at_primary, now_s, &all))
        return CACHE_VARIANT_REFUSED;
    if (policy_vary_key(all, &i->request->fields, a, out_vary) != ERR_OK)
        return CACHE_VARIANT_REFUSED;
    struct hash128 key = memory_index_key(t, text, *out_vary);
    if (hash128_equal(key, f->key))
        return CACHE_VARIANT_SAME;
    if (!at_primary)
        memory_deposit_restore(f, true);
    if (!memory_fill_add_door(f, key))
        return CACHE_VARIANT_REFUSED;
    memory_place_open(t->index, key, &p);
    memory_place_set_fill(&p, f->door);
    memory_place_close(&p);
    return CACHE_VARIANT_MOVED;
}
