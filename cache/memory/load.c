#include "cache/memory/load.h"

#include <stdlib.h>

#include "base/arena.h"
#include "cache/memory/deposit.h"
#include "cache/memory/evict.h"
#include "cache/memory/fill.h"
#include "cache/memory/form.h"
#include "cache/memory/tier.h"

#define FIRST_BYTES ((size_t)16384) /* when nothing is known about the size */
#define HEAD_ARENA_BYTES ((size_t)1 << 20)

struct load {
    struct store_load load;
    struct store_read read;
    struct store_check check;
    struct memory_fill *fill;     /* held */
    struct memory_object *object; /* held: without forms until all have come */
    char *texts, *first;
    unsigned rep;                             /* which of the record's is read now */
    char *form_body;                          /* of that one; rep[0] is read into the object */
    size_t got;                               /* of it */
    struct memory_object *form[MEMORY_FORMS]; /* held */
    uint8_t form_count;
    bool left_out; /* a form that cannot be had: the record shall not name it any more */
};

static void finish(struct load *l)
{
    memory_fill_answer(l->fill, MEMORY_HEAD_AGAIN, NULL, 0);
    struct memory_tier *t = l->fill->tier;
    memory_fill_drop(l->fill);
    memory_object_drop(l->object);
    while (l->form_count)
        memory_object_drop(l->form[--l->form_count]);
    free(l->form_body);
    store_check_fini(&l->check);
    free(l->load.memory);
    free(l->texts);
    free(l->first);
    free(l);
    memory_evict(t);
}

static bool is_mine(const struct load *l, const struct memory_place *p)
{
    return memory_place_kind(p) == MEMORY_FILL && memory_place_fill(p) == l->fill;
}

static void not_there(struct load *l, enum err e)
{
    struct memory_tier *t = l->fill->tier;
    struct memory_place p;
    memory_place_open(t->index, l->fill->key, &p);
    if (is_mine(l, &p) && atomic_load_explicit(&t->scanning, memory_order_relaxed))
        memory_place_set_absent(&p);
    else if (is_mine(l, &p))
        memory_place_remove(&p);
    memory_place_close(&p);
    if (e == ERR_CORRUPT && l->fill->under_disk.body_id)
        memory_deposit_remove(t, l->fill->key, l->fill->under_disk.body_id);
    finish(l);
}

static void publish(struct load *l)
{
    struct memory_object *o = l->object;
    atomic_store_explicit(&o->on_disk, true, memory_order_release);
    struct memory_place p;
    memory_place_open(o->tier->index, l->fill->key, &p);
    if (is_mine(l, &p)) {
        memory_place_set_object(&p, o);
        memory_place_used(&p);
        if (l->left_out)
            memory_deposit_rewrite(o, NULL);
    }
    memory_place_close(&p);
    finish(l);
}

/* --- forms --- */

/* The object with what came of its forms. Not at once, because the memory of a larger body
 * stays that of the first version, which would hold its forms for as long. */
static void join_forms(struct load *l)
{
    struct http_fields hidden;
    struct memory_seed seed;
    if (!l->form_count)
        return;
    memory_object_seed(l->object, &hidden, &seed);
    seed.body_of = l->object;
    memcpy(seed.form, l->form, sizeof(seed.form));
    seed.form_count = l->form_count;
    struct memory_object *o = memory_object_create(l->object->tier, &seed);
    l->left_out = l->left_out || !o;
    if (!o)
        return;
    memory_object_drop(l->object);
    l->object = o;
}

/* Such as are made here, one of each; others are not met by anybody. */
static bool is_form(const struct load *l, const struct store_rep *rep)
{
    bool known = rep->encoding == l->object->encoding;
    for (uint8_t i = 0; i < l->form_count; i++)
        known = known || l->form[i]->encoding == rep->encoding;
    return !known && rep->flags & STORE_REP_DERIVED && rep->bytes &&
           (POLICY_BIT(rep->encoding) & (POLICY_MAKEABLE | POLICY_BIT(POLICY_IDENTITY)));
}

static void form_came(struct load *l)
{
    const struct store_rep *rep = &l->load.record.rep[l->rep];
    struct http_fields hidden;
    struct memory_seed seed;
    memory_object_seed(l->object, &hidden, &seed);
    struct memory_form_body body = {
        .encoding = (enum policy_encoding)rep->encoding,
        .best = rep->flags & STORE_REP_BEST,
        .bytes = rep->bytes,
        .in_memory = span_of(l->form_body, l->form_body ? (size_t)rep->bytes : 0),
        .body_id = rep->body_id,
        .xxh3 = rep->xxh3,
        .on_disk = true,
    };
    struct memory_object *form = memory_form_create(l->fill->tier, &seed, &body);
    if (form)
        l->form[l->form_count++] = form;
    else
        l->left_out = true;
}

static void read_more(struct load *l);

/* rep[l->rep] is done with: on to the next form. */
static void read_next(struct load *l)
{
    const struct store_record *r = &l->load.record;
    /* Those of an object known to have none are about to be deleted. */
    bool may = !l->fill->under_disk.body_id || l->fill->under_disk.forms;
    free(l->form_body);
    l->form_body = NULL;
    l->got = 0;
    while (may && ++l->rep < r->rep_count) {
        const struct store_rep *rep = &r->rep[l->rep];
        if (!is_form(l, rep)) {
            l->left_out = true;
            continue;
        }
        if (rep->bytes > MEMORY_BODY_MAX) {
            form_came(l);
            continue;
        }
        store_check_fini(&l->check);
        l->form_body = malloc((size_t)rep->bytes);
        if (l->form_body) {
            read_more(l);
            return;
        }
        l->left_out = true;
    }
    join_forms(l);
    publish(l);
}

/* --- bodies --- */

static void cannot_read(struct load *l, enum err e)
{
    if (l->rep == 0) {
        not_there(l, e);
        return;
    }
    l->left_out = true;
    read_next(l);
}

static void more_came(struct store_job *job)
{
    struct load *l = CONTAINER_OF(job, struct load, read.job);
    if (job->err != ERR_OK || l->read.got == 0) {
        cannot_read(l, job->err == ERR_OK ? ERR_CORRUPT : job->err);
        return;
    }
    l->got += l->read.got;
    read_more(l);
}

static void read_more(struct load *l)
{
    const struct store_rep *rep = &l->load.record.rep[l->rep];
    size_t bytes = l->rep ? (size_t)rep->bytes : l->object->body.len;
    if (l->got == bytes) {
        if (l->rep)
            form_came(l);
        read_next(l);
        return;
    }
    l->read = (struct store_read){
        .job.done = more_came,
        .rep = *rep,
        .at = l->got,
        .out = (l->rep ? l->form_body : memory_object_body_room(l->object)) + l->got,
        .room = bytes - l->got < STORE_SLICE_MAX ? bytes - l->got : STORE_SLICE_MAX,
        .check = l->load.check,
    };
    if (store_read(l->fill->tier->store, &l->read) != ERR_OK)
        cannot_read(l, ERR_CLOSED);
}

static enum err make_object(struct load *l, struct arena *a)
{
    const struct store_record *r = &l->load.record;
    struct http_fields sent = {0}, hidden = {0};
    if (r->rep_count == 0 || !memory_object_parse_head(r->head, a, &sent, &hidden))
        return ERR_CORRUPT;
    bool small = r->rep[0].bytes <= MEMORY_BODY_MAX;
    struct memory_seed seed = {
        .key = l->fill->key,
        .key_text = r->key,
        .vary_text = r->vary,
        .facts = r->facts,
        .status = r->status,
        .fields = &sent,
        .hidden = &hidden,
        .body_bytes = (int64_t)r->rep[0].bytes,
        .body_room = small ? (size_t)r->rep[0].bytes : 0,
        .body_id = r->rep[0].body_id,
        .body_xxh3 = r->rep[0].xxh3,
        .fill_no = r->fill_no,
        .tag_hash = r->tag_hash,
        .tag_count = r->tag_count,
        .stored = true,
        .soft_purged = r->flags & STORE_RECORD_STALE,
        .encoding = (uint8_t)policy_encoding_of(&sent),
        .marks = (uint8_t)((r->flags & STORE_RECORD_DENSE ? MEMORY_MARK_DENSE : 0) |
                           (r->flags & STORE_RECORD_BROKEN ? MEMORY_MARK_BROKEN : 0)),
    };
    l->object = memory_object_create(l->fill->tier, &seed);
    return l->object ? ERR_OK : ERR_SYS;
}

static void vary_came(struct load *l)
{
    struct memory_tier *t = l->fill->tier;
    struct memory_vary vary = memory_vary_of(l->load.record.vary, l->load.record.variants);
    bool known = memory_index_vary_known(t->index, vary.names);
    struct memory_place p;
    memory_place_open(t->index, l->fill->key, &p);
    if (is_mine(l, &p) && known)
        memory_place_set_vary(&p, &vary);
    else if (is_mine(l, &p))
        memory_place_set_absent(&p);
    memory_place_close(&p);
    finish(l);
}

static void came(struct store_job *job)
{
    struct load *l = CONTAINER_OF(job, struct load, load.job);
    if (job->err != ERR_OK) {
        not_there(l, job->err);
        return;
    }
    if (l->load.record.kind == STORE_VARY) {
        vary_came(l);
        return;
    }
    struct arena a;
    arena_init(&a, HEAD_ARENA_BYTES);
    enum err e = make_object(l, &a);
    arena_fini(&a);
    if (e != ERR_OK) {
        not_there(l, e);
        return;
    }
    l->got = l->load.got < l->object->body.len ? l->load.got : l->object->body.len;
    if (l->got)
        memcpy(memory_object_body_room(l->object), l->first, l->got);
    read_more(l);
}

void memory_load_start(struct memory_fill *f, struct span primary, struct span vary)
{
    struct memory_tier *t = f->tier;
    struct load *l = must_alloc(sizeof(*l));
    l->fill = memory_fill_hold(f);
    f->background = true;
    l->texts = must_alloc(primary.len + vary.len + 1);
    memcpy(l->texts, primary.ptr, primary.len);
    if (vary.len)
        memcpy(l->texts + primary.len, vary.ptr, vary.len);
    size_t room = f->under_disk.pages * (size_t)store_chunk_bytes(t->store);
    if (room == 0)
        room = FIRST_BYTES;
    if (room > STORE_SLICE_MAX)
        room = room > MEMORY_BODY_MAX * 2 ? 1 : STORE_SLICE_MAX;
    l->first = malloc(room);
    l->load = (struct store_load){
        .job.done = came,
        .key = f->key,
        .primary = span_of(l->texts, primary.len),
        .vary = span_of(l->texts + primary.len, vary.len),
        .out = l->first,
        .room = l->first ? room : 0,
        .check = t->verify ? &l->check : NULL,
    };
    if (store_load(t->store, &l->load) != ERR_OK)
        not_there(l, ERR_CLOSED);
}
