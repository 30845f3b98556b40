#include "cache/intake.h"

#include <stdlib.h>

#include "base/counter.h"
#include "cache/core.h"
#include "cache/form.h"
#include "cache/memory/deposit.h"
#include "cache/memory/fill.h"
#include "cache/memory/object.h"
#include "cache/peer.h"
#include "cache/policy/encoding.h"
#include "cache/policy/invalidate.h"
#include "cache/policy/validate.h"
#include "cache/renew.h"
#include "cache/response.h"
#include "cache/variant.h"

#define DETAIL_ARENA_BYTES ((size_t)512 * 1024)
#define PRIVATE_ROOM_BYTES INT64_C(65536) /* a private body up to this lies in its object */

struct detail {
    struct arena arena;
    struct memory_object *object; /* held: the one that arrives */
    int64_t declared;             /* body bytes; HTTP_LENGTH_UNKNOWN */
    uint64_t got;
    bool shared, storing, over;
};

static struct memory_tier *tier_of(const struct cache_intake *i)
{
    return &i->cache->tier;
}

static void letter_opened(struct letter *l)
{
    struct cache_intake *i = CONTAINER_OF(l, struct cache_intake, letter);
    if (i->fill)
        memory_fill_writer_opened(i->fill);
    i->posted = false;
    i->room(i);
}

void cache_intake_begin(struct cache_intake *i, struct cache *c, struct cache_answer *answer,
                        const struct cache_ask *ask, struct letter_mailbox *mailbox,
                        void (*room)(struct cache_intake *i))
{
    must(answer->fill);
    *i = (struct cache_intake){
        .cache = c,
        .fill = answer->fill,
        .request = ask->request,
        .key = ask->key,
        .site = ask->site,
        .route = ask->route,
        .variants = ask->variants,
        .mailbox = mailbox,
        .room = room,
        .requested_at_s = ask->now_s,
        .pass = answer->verdict == CACHE_PASS,
        .plain = answer->plain,
    };
    struct detail *d = must_alloc(sizeof(*d));
    arena_init(&d->arena, DETAIL_ARENA_BYTES);
    i->detail = d;
    answer->fill = NULL;
    if (answer->verdict == CACHE_STALE) {
        i->validating = memory_object_hold(answer->object);
        i->fill->background = true;
    } else {
        i->validating = answer->object;
        answer->object = NULL;
    }
    struct memory_writer w = {&i->letter, letter_opened, mailbox};
    memory_fill_set_writer(i->fill, &w);
}

bool cache_intake_request_fields(struct cache_intake *i, struct http_fields *fields,
                                 struct arena *a)
{
    static const struct http_fields none;
    if (i->pass && i->plain)
        return policy_encoding_ask(fields, NULL, a);
    if (i->pass) {
        /* A HEAD's answer is compared with what is stored, so it is asked as that was. */
        bool head = i->request->method == HTTP_HEAD && i->route->cache;
        return policy_encoding_map_back(fields, a) &&
               (!head || policy_encoding_ask(fields, i->variants, a));
    }
    /* The whole object is wanted, whatever this client asked of it. A hard purge takes the
     * validators, too. */
    if (i->validating && cache_renew_is_dead(i)) {
        memory_object_drop(i->validating);
        i->validating = NULL;
    }
    return policy_validate_ask(i->validating ? &i->validating->block.fields : &none, fields,
                               a) &&
           policy_encoding_ask(fields, i->variants, a);
}

void cache_intake_sent(struct cache_intake *i, int64_t now_s)
{
    i->requested_at_s = now_s;
    i->from_peer = false;
    atomic_store_explicit(&i->fill->fill_no, memory_epoch_now(tier_of(i)->epoch),
                          memory_order_release);
}

void cache_intake_from_peer(struct cache_intake *i, uint64_t oldest_unknown)
{
    i->from_peer = true;
    i->oldest_unknown = oldest_unknown;
}

/* What clients may see of them. False: no room, they see nothing. */
static bool leave_out_hidden(const struct conf_site *site, const struct http_fields *from,
                             struct arena *a, struct http_fields *out)
{
    *out = (struct http_fields){0};
    for (uint32_t k = 0; k < from->count; k++) {
        const struct http_field *f = &from->at[k];
        if (!cache_response_hides(site, f) && !http_fields_add(out, a, f->name, f->value))
            return false;
    }
    return true;
}

void cache_intake_interim(struct cache_intake *i, const struct http_response *r)
{
    struct http_response sent = *r;
    struct arena a;
    arena_init(&a, DETAIL_ARENA_BYTES);
    if (leave_out_hidden(i->site, &r->fields, &a, &sent.fields))
        memory_fill_interim(i->fill, &sent);
    arena_fini(&a);
}

/* --- the head --- */

static struct cache_response_ask ask_of(const struct cache_intake *i, int64_t now_s)
{
    return (struct cache_response_ask){
        .request = i->request,
        .site = i->site,
        .route = i->route,
        .variants = i->variants,
        .requested_at_s = i->requested_at_s,
        .now_s = now_s,
    };
}

static enum cache_take fail_head(struct cache_intake *i, enum cache_failure why, int64_t now_s)
{
    cache_intake_fail(i, why, now_s);
    return CACHE_TAKE_DONE;
}

static int64_t declared_of(const struct http_response *r)
{
    return r->body_absent || http_status_is_bodyless(r->status) ? 0 : r->body_bytes;
}

static struct memory_object *create(struct cache_intake *i, const struct http_response *r,
                                    const struct cache_response *kept, struct span vary,
                                    int64_t room_max)
{
    struct detail *d = i->detail;
    d->declared = declared_of(r);
    bool in_place = d->declared > 0 && d->declared <= room_max;
    struct memory_seed seed = {
        .key = memory_fill_entry(i->fill)->key,
        .key_text = i->key->text,
        .vary_text = vary,
        .facts = kept->facts,
        .status = r->status,
        .fields = &kept->sent,
        .hidden = &kept->hidden,
        .body_bytes = r->body_bytes,
        .body_room = in_place ? (size_t)d->declared : 0,
        .body_id = d->shared ? i->fill->body.body_id : 0,
        .fill_no = atomic_load_explicit(&i->fill->fill_no, memory_order_relaxed),
        .tag_hash = kept->tags,
        .tag_count = (uint16_t)kept->tag_count,
        .stored = d->storing || (d->shared && d->declared <= room_max),
        .encoding = (uint8_t)policy_encoding_of(&kept->sent),
    };
    return memory_object_create(tier_of(i), &seed);
}

/* For the one who asked alone. */
static enum cache_take give_private(struct cache_intake *i, const struct http_response *r,
                                    int64_t now_s)
{
    struct detail *d = i->detail;
    struct cache_response_ask ask = ask_of(i, now_s);
    struct cache_response plain;
    d->shared = d->storing = false;
    if (!cache_response_plain(&ask, r, &d->arena, &plain) ||
        (i->pass && r->status == 304 &&
         !policy_encoding_map_forth(&i->request->fields, &plain.sent, &d->arena)))
        return fail_head(i, CACHE_FAILURE_PROTOCOL, now_s);
    plain.facts.received_at_s = plain.facts.date_at_s = plain.facts.requested_at_s = now_s;
    plain.facts.max_age_s = plain.facts.expires_at_s = plain.facts.modified_at_s = POLICY_NONE;
    d->object = create(i, r, &plain, (struct span){0}, PRIVATE_ROOM_BYTES);
    if (!d->object)
        return fail_head(i, CACHE_FAILURE_UNAVAILABLE, now_s);
    memory_fill_head(i->fill, d->object, MEMORY_HEAD_ALONE, MEMORY_HEAD_ALONE, false);
    i->head_given = true;
    return CACHE_TAKE_BODY;
}

/* The key of another URL of the same origin, asked for as this one is: the request's key with
 * its path and query in place. */
static bool key_of(const struct cache_intake *i, struct span url, struct arena *a,
                   struct span *out)
{
    const struct policy_key *key = i->key;
    struct span rest = key->text, origin, path_query = span_from(url, key->host.len);
    must(span_split(&rest, '|', &origin) && span_split(&rest, '|', &origin));
    origin = span_until(key->text, (size_t)(rest.ptr - key->text.ptr));
    rest = span_from(rest, key->path_query.len);
    return arena_printf(a, out, "%.*s%.*s%.*s", SPAN_ARG(origin), SPAN_ARG(path_query),
                        SPAN_ARG(rest));
}

/* An invalidation is not logged: what it names leaves the store, or a start that comes before
 * the sweep would find it as it was (docs/purge.md). Of variants the names go, which alone lead
 * to them (variant.h); also when only the disk knows them. The sweep gives their bytes back. */
static void forget(struct cache_intake *i, struct span url)
{
    struct detail *d = i->detail;
    struct memory_tier *t = tier_of(i);
    struct memory_object *o = NULL;
    struct memory_disk disk = {0};
    struct memory_place p;
    struct span text;
    if (!key_of(i, url, &d->arena, &text))
        return;
    struct hash128 key = memory_index_key(t, text, (struct span){0});
    memory_place_open(t->index, key, &p);
    enum memory_kind kind = memory_place_kind(&p);
    if (kind == MEMORY_OBJECT) {
        o = memory_object_hold(memory_place_object(&p));
    } else if (kind == MEMORY_FILL) { /* it goes on; what lies under it goes */
        const struct memory_fill *f = memory_place_fill(&p);
        o = f->under ? memory_object_hold(f->under) : NULL;
        disk = f->under_disk;
    } else {
        disk = memory_place_disk(&p);
        if (kind == MEMORY_DISK || kind == MEMORY_VARY)
            memory_place_remove(&p);
    }
    memory_place_close(&p);
    if (o)
        memory_deposit_forget(o);
    else
        memory_deposit_remove(t, key, disk.body_id);
    memory_object_drop(o);
}

static void tell_invalidated(struct cache_intake *i, enum purge_kind kind, struct span name,
                             uint64_t apply_no)
{
    struct detail *d = i->detail;
    struct purge p = {.kind = kind, .mode = PURGE_HARD, .selector = name};
    if (kind == PURGE_URL &&
        !arena_printf(&d->arena, &p.selector, "http://%.*s", SPAN_ARG(name)))
        return;
    if (i->cache->invalidated)
        i->cache->invalidated(i->cache->user, &p, apply_no);
}

static void invalidate_groups(struct cache_intake *i, const struct policy_tags *groups)
{
    struct detail *d = i->detail;
    struct span names[POLICY_TAGS_MAX] = {0};
    struct memory_purge p = {.kind = PURGE_GROUP, .mode = PURGE_HARD, .names = names};
    while (p.name_count < groups->count &&
           arena_printf(&d->arena, &names[p.name_count], "%.*s %.*s", SPAN_ARG(i->key->host),
                        SPAN_ARG(groups->at[p.name_count])))
        p.name_count++;
    if (p.name_count == 0)
        return;
    uint64_t no = memory_epoch_apply_now(tier_of(i)->epoch, &p);
    for (uint32_t k = 0; k < p.name_count; k++)
        tell_invalidated(i, PURGE_GROUP, names[k], no);
}

static void invalidate(struct cache_intake *i, const struct http_response *r)
{
    struct detail *d = i->detail;
    struct policy_invalidated gone;
    policy_invalidate(i->request, i->key, r, &i->site->cache_key, &d->arena, &gone);
    if (gone.count == 0)
        return;
    struct memory_purge p = {
        .kind = PURGE_URL, .mode = PURGE_HARD, .names = gone.url, .name_count = gone.count};
    uint64_t no = memory_epoch_apply_now(tier_of(i)->epoch, &p);
    for (uint32_t k = 0; k < gone.count; k++) {
        forget(i, gone.url[k]);
        tell_invalidated(i, PURGE_URL, gone.url[k], no);
    }
    invalidate_groups(i, &gone.groups);
}

static enum cache_take pass(struct cache_intake *i, const struct http_response *r,
                            int64_t now_s)
{
    if (i->request->method == HTTP_HEAD && i->route->cache)
        cache_renew_by_head(i, r, now_s);
    invalidate(i, r);
    return give_private(i, r, now_s);
}

/* The key's answers are private, for a while; what was stored is outdated. */
static void remember_private(struct memory_fill *f, int64_t now_s)
{
    struct memory_place p;
    memory_place_open(f->tier->index, f->key, &p);
    bool is = memory_place_kind(&p) == MEMORY_FILL && memory_place_fill(&p) == f;
    if (is)
        memory_place_set_private(&p, now_s + CACHE_PRIVATE_S);
    memory_place_close(&p);
    if (is && f->under_disk.body_id)
        memory_deposit_remove(f->tier, f->key, f->under_disk.body_id);
    if (is && f->under)
        memory_deposit_forget(f->under);
}

static enum cache_take refuse(struct cache_intake *i, const struct http_response *r,
                              enum policy_storable why, int64_t now_s)
{
    if (why == POLICY_STORE_TAGS)
        counter_add(COUNTER_CACHE_NOT_STORED_TAGS, 1);
    if (why == POLICY_STORE_URL)
        counter_add(COUNTER_CACHE_NOT_STORED_URL, 1);
    /* Nor does an error say anything about what is stored. */
    if (r->status >= 500 || cache_renew_keeps(i, why))
        memory_deposit_restore(i->fill, true);
    else
        remember_private(i->fill, now_s);
    return give_private(i, r, now_s);
}

/* May it go to disk, as far as is known? */
static bool fits_disk(struct cache_intake *i, int64_t declared)
{
    struct memory_tier *t = tier_of(i);
    uint64_t bytes = declared > 0 ? (uint64_t)declared : 0;
    return t->store && atomic_load_explicit(&t->store_on, memory_order_relaxed) &&
           bytes <= t->object_max_bytes && !store_too_long(t->store, bytes);
}

static enum cache_take take_shared(struct cache_intake *i, const struct http_response *r,
                                   const struct cache_response *kept, int64_t now_s)
{
    struct detail *d = i->detail;
    struct span vary = {0};
    enum memory_head waiters = MEMORY_HEAD_READY, by_door = MEMORY_HEAD_READY;
    switch (cache_variant_place(i, kept->vary_names, &d->arena, now_s, &vary)) {
    case CACHE_VARIANT_SAME:
        break;
    case CACHE_VARIANT_MOVED:
        waiters = MEMORY_HEAD_AGAIN;
        break;
    case CACHE_VARIANT_REFUSED:
        memory_deposit_restore(i->fill, cache_renew_was_fresh(i));
        return give_private(i, r, now_s);
    }
    struct memory_tier *t = tier_of(i);
    int64_t declared = declared_of(r);
    bool large = declared > (int64_t)MEMORY_BODY_MAX;
    d->shared = true;
    d->storing = large && fits_disk(i, declared);
    if (t->store)
        store_body_begin(t->store, &i->fill->body);
    d->object = create(i, r, kept, vary, (int64_t)MEMORY_BODY_MAX);
    if (!d->object)
        return fail_head(i, CACHE_FAILURE_UNAVAILABLE, now_s);
    memory_fill_show(i->fill, d->object);
    /* Born stale: those who wait may have come after the purge. */
    if (cache_renew_purged(i, d->object, d->object->fill_no) != MEMORY_PURGED_NOT)
        waiters = by_door = MEMORY_HEAD_AGAIN;
    memory_fill_head(i->fill, d->object, waiters, by_door, d->storing);
    i->head_given = true;
    return CACHE_TAKE_BODY;
}

static enum cache_take respond(struct cache_intake *i, const struct http_response *r,
                               int64_t now_s)
{
    struct detail *d = i->detail;
    if (i->pass)
        return pass(i, r, now_s);
    if (r->status == 304) {
        if (i->validating)
            return cache_renew_by_304(i, r, now_s);
        return fail_head(i, CACHE_FAILURE_PROTOCOL, now_s);
    }
    bool error = r->status == 500 || (r->status >= 502 && r->status <= 504);
    if (error && cache_renew_serve_stale(i, now_s))
        return CACHE_TAKE_DONE;
    struct cache_response kept;
    struct cache_response_ask ask = ask_of(i, now_s);
    if (!cache_response_read(&ask, r, tier_of(i)->epoch, &d->arena, &kept))
        return fail_head(i, CACHE_FAILURE_PROTOCOL, now_s);
    /* A request made to be refused must not take away what others are served. */
    bool refused = r->status >= 400 && r->status <= 499;
    if (kept.verdict != POLICY_STORE_YES || (refused && cache_renew_was_fresh(i)))
        return refuse(i, r, kept.verdict, now_s);
    return take_shared(i, r, &kept, now_s);
}

enum cache_take cache_intake_response(struct cache_intake *i, const struct http_response *r,
                                      int64_t now_s)
{
    struct detail *d = i->detail;
    must(!i->began && !d->over);
    if (i->from_peer && !cache_peer_may_be_taken(i, r))
        return CACHE_TAKE_REFUSED;
    i->fill->elsewhere = i->from_peer;
    i->began = true;
    enum cache_take take = respond(i, r, now_s);
    d->over = d->over || take == CACHE_TAKE_DONE;
    return take;
}

/* --- the body --- */

static void body_failed(struct cache_intake *i, enum cache_failure why)
{
    struct detail *d = i->detail;
    d->over = true;
    memory_fill_fail(i->fill, why);
    if (d->shared)
        memory_deposit_restore(i->fill, true);
}

enum err cache_intake_body(struct cache_intake *i, struct span bytes)
{
    struct detail *d = i->detail;
    must(i->head_given);
    if (d->over)
        return ERR_CLOSED;
    if (bytes.len == 0)
        return ERR_OK;
    d->got += bytes.len;
    if (d->declared != HTTP_LENGTH_UNKNOWN && d->got > (uint64_t)d->declared) {
        body_failed(i, CACHE_FAILURE_PROTOCOL);
        return ERR_CLOSED;
    }
    /* Before they are in: of what is not stored, the fill lets the first bytes go. */
    if (d->shared && d->declared == HTTP_LENGTH_UNKNOWN && d->got > MEMORY_BODY_MAX) {
        bool fits = fits_disk(i, (int64_t)d->got);
        if (fits && !d->storing)
            memory_fill_store(i->fill);
        else if (!fits && d->storing)
            memory_fill_unstore(i->fill);
        d->storing = fits;
    }
    enum err e = memory_fill_append(i->fill, bytes);
    if (e != ERR_CLOSED && !memory_fill_wanted(i->fill))
        e = ERR_CLOSED;
    if (e == ERR_CLOSED)
        body_failed(i, CACHE_FAILURE_CANCELLED);
    return e;
}

/* The object with its length known, and its body in one piece when that is small. */
static struct memory_object *measured(struct cache_intake *i)
{
    struct detail *d = i->detail;
    if (d->declared != HTTP_LENGTH_UNKNOWN)
        return memory_object_hold(d->object);
    struct http_fields hidden;
    struct memory_seed seed;
    memory_object_seed(d->object, &hidden, &seed);
    seed.body_bytes = (int64_t)d->got;
    seed.body_room = d->got <= MEMORY_BODY_MAX ? (size_t)d->got : 0;
    struct memory_object *o = memory_object_create(tier_of(i), &seed);
    if (o && seed.body_room && !memory_fill_copy(i->fill, memory_object_body_room(o))) {
        memory_object_drop(o);
        return NULL;
    }
    return o;
}

void cache_intake_end(struct cache_intake *i, const struct http_fields *trailers)
{
    struct detail *d = i->detail;
    if (d->over || !i->head_given)
        return;
    if (d->declared != HTTP_LENGTH_UNKNOWN && d->got != (uint64_t)d->declared) {
        body_failed(i, CACHE_FAILURE_INCOMPLETE);
        return;
    }
    d->over = true;
    struct memory_object *o = d->shared ? measured(i) : NULL;
    struct http_fields sent;
    bool any = trailers && leave_out_hidden(i->site, trailers, &d->arena, &sent);
    memory_fill_end(i->fill, any ? &sent : NULL);
    if (!d->shared)
        return;
    if (!o) {
        memory_fill_unstore(i->fill);
        memory_deposit_restore(i->fill, false);
        return;
    }
    struct memory_names names = cache_names(i->key, i->site);
    names.tags = o->tag_hash;
    names.tag_count = o->tag_count;
    if (memory_deposit_fill(i->fill, o, &names)) {
        struct cache_ask ask = {.request = i->request, .variants = i->variants};
        cache_form_stored(i->cache, &ask, o);
    }
    memory_object_drop(o);
}

void cache_intake_fail(struct cache_intake *i, enum cache_failure why, int64_t now_s)
{
    struct detail *d = i->detail;
    if (d->over)
        return;
    if (i->head_given) {
        body_failed(i, why);
        return;
    }
    d->over = true;
    if (!i->pass && why != CACHE_FAILURE_CANCELLED && cache_renew_serve_stale(i, now_s))
        return;
    if (!i->pass)
        memory_deposit_restore(i->fill, true);
    memory_fill_answer(i->fill, MEMORY_HEAD_FAILED, NULL, why);
}

bool cache_intake_wanted(const struct cache_intake *i)
{
    return memory_fill_wanted(i->fill);
}

bool cache_intake_fini(struct cache_intake *i)
{
    struct detail *d = i->detail;
    if (!d)
        return !i->posted;
    if (!d->over)
        cache_intake_fail(i, CACHE_FAILURE_CANCELLED, i->requested_at_s);
    i->posted = memory_fill_writer_leave(i->fill);
    memory_fill_drop(i->fill);
    memory_object_drop(i->validating);
    memory_object_drop(d->object);
    arena_fini(&d->arena);
    free(d);
    i->detail = NULL;
    i->fill = NULL;
    i->validating = NULL;
    return !i->posted;
}
