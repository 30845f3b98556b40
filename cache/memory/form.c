#include "cache/memory/form.h"

#include "base/arena.h"
#include "cache/memory/deposit.h"
#include "cache/memory/evict.h"
#include "cache/memory/fill.h"
#include "cache/memory/index.h"
#include "cache/memory/pin.h"
#include "cache/memory/tier.h"

#define FIELDS_BYTES ((size_t)512 * 1024)
#define TRIES 64u /* each fails only because somebody else came first */

struct memory_object *memory_form_create(struct memory_tier *t, const struct memory_seed *base,
                                         const struct memory_form_body *body)
{
    struct http_fields fields = {0};
    struct memory_object *form = NULL;
    struct arena a;
    struct memory_seed seed = {
        .key = base->key,
        .key_text = base->key_text,
        .vary_text = base->vary_text,
        .facts = base->facts,
        .status = base->status,
        .fields = &fields,
        .body_bytes = (int64_t)body->bytes,
        .body_room = body->in_memory.len,
        .body_id = body->body_id,
        .body_xxh3 = body->xxh3,
        .fill_no = base->fill_no,
        .tag_hash = base->tag_hash,
        .tag_count = base->tag_count,
        .stored = base->stored,
        .soft_purged = base->soft_purged,
        .body_of = body->of,
        .encoding = (uint8_t)body->encoding,
        .derived = true,
        .best = body->best,
        .base_body_id = base->body_id,
    };
    arena_init(&a, FIELDS_BYTES);
    if (policy_encoding_fields(base->fields, body->encoding, &a, &fields))
        form = memory_object_create(t, &seed);
    arena_fini(&a);
    if (form && body->in_memory.len)
        memcpy(memory_object_body_room(form), body->in_memory.ptr, body->in_memory.len);
    if (form)
        atomic_store_explicit(&form->on_disk, body->on_disk, memory_order_release);
    return form;
}

void memory_form_drop_all(struct memory_seed *seed)
{
    while (seed->form_count)
        memory_object_drop(seed->form[--seed->form_count]);
}

bool memory_form_renew(struct memory_tier *t, const struct memory_object *old,
                       struct memory_seed *seed)
{
    seed->form_count = 0;
    for (uint8_t i = 0; i < old->form_count; i++) {
        struct memory_object *from = old->form[i];
        struct memory_form_body body = {
            .encoding = (enum policy_encoding)from->encoding,
            .best = from->best,
            .bytes = from->body_bytes > 0 ? (uint64_t)from->body_bytes : 0,
            .of = from,
            .body_id = from->body_id,
            .xxh3 = atomic_load_explicit(&from->body_xxh3, memory_order_acquire),
            .on_disk = atomic_load_explicit(&from->on_disk, memory_order_acquire),
        };
        struct memory_object *form = memory_form_create(t, seed, &body);
        if (!form) {
            memory_form_drop_all(seed);
            return false;
        }
        atomic_store_explicit(&form->given,
                              atomic_load_explicit(&from->given, memory_order_relaxed),
                              memory_order_relaxed);
        seed->form[seed->form_count++] = form;
    }
    return true;
}

/* --- what is stored now --- */

/* Is the object at the place, or under the fetch there, one of that body? NULL: no. */
static struct memory_object *at_place(const struct memory_place *p,
                                      const struct memory_object *base)
{
    struct memory_object *o = NULL;
    if (memory_place_kind(p) == MEMORY_OBJECT)
        o = memory_place_object(p);
    else if (memory_place_kind(p) == MEMORY_FILL)
        o = memory_place_fill(p)->under;
    return o && memory_object_same_body(o, base) ? o : NULL;
}

static bool fetch_over(const struct memory_place *p, const struct memory_object *base)
{
    if (memory_place_kind(p) != MEMORY_FILL)
        return false;
    uint64_t body_id = memory_place_fill(p)->under_disk.body_id;
    return at_place(p, base) || (body_id && body_id == base->body_id);
}

/* The version that is in the index; held. NULL: *out says why. */
static struct memory_object *look(struct memory_object *base, enum memory_form_added *out)
{
    struct memory_place p;
    memory_place_open(base->tier->index, base->key, &p);
    struct memory_object *o = NULL;
    *out = fetch_over(&p, base) ? MEMORY_FORM_LATER : MEMORY_FORM_GONE;
    if (memory_place_kind(&p) == MEMORY_OBJECT)
        o = at_place(&p, base);
    if (o)
        memory_object_hold(o);
    memory_place_close(&p);
    return o;
}

/* `cur` with those of its forms that stay, and `more` (may be NULL). NULL: no memory. */
static struct memory_object *
version(struct memory_object *cur,
        bool (*stays)(const struct memory_object *form, const struct memory_object *than),
        const struct memory_object *than, struct memory_object *more)
{
    struct http_fields hidden;
    struct memory_seed seed;
    memory_object_seed(cur, &hidden, &seed);
    seed.body_of = cur;
    seed.form_count = 0;
    for (uint8_t i = 0; i < cur->form_count; i++)
        if (stays(cur->form[i], than))
            seed.form[seed.form_count++] = cur->form[i];
    if (more && seed.form_count == MEMORY_FORMS)
        return NULL;
    if (more)
        seed.form[seed.form_count++] = more;
    return memory_object_create(cur->tier, &seed);
}

/* --- one more --- */

static bool is_other_encoding(const struct memory_object *form,
                              const struct memory_object *than)
{
    return form->encoding != than->encoding;
}

static bool is_on_disk(const struct memory_object *o)
{
    return o->body_id && atomic_load_explicit(&o->on_disk, memory_order_acquire);
}

static bool replaces_on_disk(const struct memory_object *cur, const struct memory_object *form)
{
    for (uint8_t i = 0; i < cur->form_count; i++)
        if (!is_other_encoding(cur->form[i], form) && is_on_disk(cur->form[i]))
            return true;
    return false;
}

/* False: `cur` is not in its place any more. */
static bool put_form(struct memory_object *cur, const struct memory_form_body *body,
                     enum memory_form_added *out)
{
    struct http_fields hidden;
    struct memory_seed seed;
    memory_object_seed(cur, &hidden, &seed);
    struct memory_object *form = memory_form_create(cur->tier, &seed, body), *o = NULL;
    if (form)
        o = version(cur, is_other_encoding, form, form);
    bool done = true;
    *out = MEMORY_FORM_GONE;
    if (o) {
        bool rewrite = is_on_disk(form) || replaces_on_disk(cur, form);
        done = memory_deposit_version(cur, o, is_on_disk(form) ? form : NULL, rewrite);
        *out = MEMORY_FORM_ADDED;
    }
    memory_object_drop(o);
    memory_object_drop(form);
    return done;
}

enum memory_form_added memory_form_add(struct memory_object *base,
                                       const struct memory_form_body *body)
{
    enum memory_form_added is = MEMORY_FORM_LATER;
    struct memory_tier *t = base->tier;
    bool done = false;
    for (unsigned i = 0; i < TRIES && !done; i++) {
        struct memory_object *cur = look(base, &is);
        if (!cur)
            return is;
        struct memory_form_body now = *body;
        if (body->on_disk && !is_on_disk(cur)) {
            /* Its base never came to disk, or is there no more: no record will name it. */
            now.body_id = now.xxh3 = 0;
            now.on_disk = false;
        }
        /* A 304 may have brought no-transform. */
        bool none = (!now.on_disk && !now.in_memory.len && !now.of) ||
                    !policy_encoding_may_change(cur->status, &cur->block.fields);
        done = none || put_form(cur, &now, &is);
        memory_object_drop(cur);
        if (none)
            return MEMORY_FORM_GONE;
        if (done && is == MEMORY_FORM_ADDED && body->on_disk && !now.on_disk)
            memory_pin_doom(t->pins, body->body_id);
    }
    memory_evict(t);
    return done ? is : MEMORY_FORM_LATER;
}

/* --- one fewer, or none --- */

static bool is_another(const struct memory_object *form, const struct memory_object *than)
{
    return !memory_object_same_body(form, than);
}

static bool is_none(const struct memory_object *form, const struct memory_object *than)
{
    (void)form;
    (void)than;
    return false;
}

void memory_form_forget(struct memory_object *form)
{
    bool done = false;
    for (unsigned i = 0; i < TRIES && !done; i++) {
        struct memory_place p;
        struct memory_object *cur = NULL, *o = NULL;
        bool has = false;
        memory_place_open(form->tier->index, form->key, &p);
        if (memory_place_kind(&p) == MEMORY_OBJECT)
            cur = memory_object_hold(memory_place_object(&p));
        memory_place_close(&p);
        for (uint8_t k = 0; cur && k < cur->form_count; k++)
            has = has || !is_another(cur->form[k], form);
        if (has)
            o = version(cur, is_another, form, NULL);
        done = !o || memory_deposit_version(cur, o, NULL, is_on_disk(form));
        memory_object_drop(o);
        memory_object_drop(cur);
    }
}

bool memory_form_forget_all(struct memory_object *base)
{
    struct memory_object *o = version(base, is_none, NULL, NULL);
    bool done = o && memory_deposit_version(base, o, NULL, true);
    memory_object_drop(o);
    return done;
}

void memory_form_mark(struct memory_object *base, uint8_t marks)
{
    struct memory_place p;
    memory_place_open(base->tier->index, base->key, &p);
    struct memory_object *o = at_place(&p, base);
    unsigned before = o ? atomic_fetch_or_explicit(&o->marks, marks, memory_order_relaxed) : 0;
    if (o && (before & marks) != marks)
        memory_deposit_rewrite(o, NULL);
    atomic_fetch_or_explicit(&base->marks, marks, memory_order_relaxed);
    memory_place_close(&p);
}
