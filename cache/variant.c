#include "cache/variant.h"

#include "base/counter.h"
#include "base/crypto.h"
#include "cache/core.h"
#include "cache/memory/deposit.h"
#include "cache/memory/fill.h"
#include "cache/policy/vary.h"

#define SERIES_DIGITS 6u

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

enum err cache_variant_key(const struct memory_vary *v, const struct http_fields *request,
                           struct arena *a, struct span *out)
{
    struct span values;
    enum err e = policy_vary_key(v->names, request, a, &values);
    *out = values;
    if (e != ERR_OK || !v->series)
        return e;
    char *text = arena_alloc(a, values.len + SERIES_DIGITS), *at = text;
    if (!text)
        return ERR_LIMIT;
    if (values.len)
        memcpy(at, values.ptr, values.len);
    at += values.len;
    for (unsigned k = SERIES_DIGITS; k > 0; k--)
        *at++ = "0123456789abcdef"[v->series >> (k - 1) * 4 & 15];
    *out = span_of(text, values.len + SERIES_DIGITS);
    return ERR_OK;
}

struct span cache_variant_values(struct span key)
{
    while (key.len && key.ptr[key.len - 1] != '\n')
        key.len--;
    return key;
}

static uint32_t draw_series(void)
{
    uint32_t series = (uint32_t)(crypto_random_u64() >> 40);
    return series ? series : 1;
}

/* Puts the names into the primary key's place. False: the fill is nowhere any more, or there
 * are too many variants. */
static bool name_primary(struct cache_intake *i, struct span names, struct arena *a,
                         bool new_variant, int64_t now_s, struct memory_vary *out)
{
    struct memory_fill *f = i->fill;
    struct memory_place p;
    struct memory_vary known = {.series = draw_series()};
    struct hash128 primary = memory_index_key(f->tier, i->key->text, (struct span){0});
    memory_place_open(f->tier->index, primary, &p);
    bool is_vary = memory_place_kind(&p) == MEMORY_VARY;
    if (is_vary)
        known = memory_place_vary(&p);
    *out = known;
    bool ok = unite(known.names, names, a, &out->names) && out->names.len > 0 &&
              memory_index_vary_known(f->tier->index, out->names);
    bool full = ok && new_variant && known.variants >= CACHE_VARIANTS_MAX &&
                memory_place_vary_is_full(&p, now_s);
    if (known.variants >= CACHE_VARIANTS_MAX && !full)
        out->variants = 0;
    out->variants += new_variant;
    bool grown = !span_equal(known.names, out->names);
    if (ok && !full && (!is_vary || new_variant || grown))
        memory_place_set_vary(&p, out);
    memory_place_close(&p);
    if (full)
        counter_add(COUNTER_CACHE_VARIANTS_CAPPED, 1);
    if (ok && !full && (!is_vary || grown))
        memory_deposit_vary(f->tier, primary, i->key->text, out);
    return ok && !full;
}

enum cache_variant cache_variant_place(struct cache_intake *i, struct span names,
                                       struct arena *a, int64_t now_s, struct span *out_vary)
{
    struct memory_fill *f = i->fill;
    struct memory_tier *t = f->tier;
    struct span text = i->key->text;
    struct memory_vary all;
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
    if (cache_variant_key(&all, &i->request->fields, a, out_vary) != ERR_OK)
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
