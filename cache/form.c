#include "cache/form.h"

#include "base/counter.h"
#include "cache/core.h"
#include "cache/memory/encoder.h"
#include "cache/memory/object.h"

/* What memory_object.worth remembers. */
#define LOOKED 1u
#define MAY_CHANGE 2u
#define WORTH 4u

static uint8_t marks_of(const struct memory_object *o)
{
    return atomic_load_explicit(&o->marks, memory_order_relaxed);
}

/* Looked at once per object: a reload that changes the types counts for what comes later, which
 * has the Vary that goes with it. */
static uint8_t worth_of(const struct cache_ask *ask, struct memory_object *o)
{
    uint8_t known = atomic_load_explicit(&o->worth, memory_order_relaxed);
    if (known)
        return known;
    const struct http_fields *f = &o->block.fields;
    known = LOOKED;
    if (policy_encoding_may_change(o->status, f))
        known |= MAY_CHANGE;
    if ((known & MAY_CHANGE) && ask->variants && policy_encoding_varies(f) &&
        policy_encoding_is_worth(ask->variants, f, o->body_bytes))
        known |= WORTH;
    atomic_store_explicit(&o->worth, known, memory_order_relaxed);
    return known;
}

static uint8_t encodes(const struct conf_variants *v)
{
    return (uint8_t)((v->encode_zstd ? POLICY_BIT(POLICY_ZSTD) : 0) |
                     (v->encode_gzip ? POLICY_BIT(POLICY_GZIP) : 0));
}

static struct memory_object *made_form(const struct memory_object *o, uint8_t encoding)
{
    for (unsigned i = 0; i < o->form_count; i++)
        if (o->form[i]->encoding == encoding)
            return o->form[i];
    return NULL;
}

static bool is_packed(const struct memory_object *o)
{
    return POLICY_BIT(o->encoding) & POLICY_MAKEABLE;
}

static void describe(const struct cache_ask *ask, struct memory_object *o, bool arriving,
                     bool first, struct policy_forms *out)
{
    uint8_t worth = worth_of(ask, o), marks = marks_of(o);
    bool whole = (marks & MEMORY_MARK_BROKEN) == 0;
    *out = (struct policy_forms){.base = (enum policy_encoding)o->encoding};
    for (unsigned i = 0; i < o->form_count; i++)
        out->made |= POLICY_BIT(o->form[i]->encoding);
    out->decodes = is_packed(o) && (worth & MAY_CHANGE) && whole;
    /* What is one client's alone may hold secrets, which sizes give away (BREACH). */
    uint8_t makes = 0;
    if ((worth & WORTH) && whole && o->stored && !(marks & MEMORY_MARK_DENSE))
        makes = encodes(ask->variants) & (uint8_t)~POLICY_BIT(o->encoding);
    /* An answer of unknown length ends an HTTP/1.0 connection, and looks like a cut one. */
    if (arriving && first && o->encoding == POLICY_IDENTITY &&
        ask->request->version != HTTP_1_0)
        out->quick = makes;
    if (!arriving)
        out->later = makes | (out->decodes ? POLICY_BIT(POLICY_IDENTITY) : 0);
}

/* A client that asks for parts gets them of the identity. */
static bool asks_parts(const struct http_request *r)
{
    return r->method == HTTP_GET && http_fields_find(&r->fields, HTTP_NAME_RANGE);
}

/* RFC 9111 5.2.1.6: of this client's own will, what is not encoded stays so. */
static bool asks_untransformed(const struct http_request *r)
{
    return http_list_has(&r->fields, HTTP_NAME_CACHE_CONTROL, SPAN("no-transform"));
}

/* Nothing to choose from, and nothing refused: most images, and most downloads. */
static bool is_plain(const struct cache_ask *ask, struct memory_object *o)
{
    size_t at;
    if (o->encoding != POLICY_IDENTITY || o->form_count || (worth_of(ask, o) & WORTH))
        return false;
    const struct http_field *f =
        http_fields_find(&ask->request->fields, HTTP_NAME_ACCEPT_ENCODING);
    return !f || !span_find(f->value, ';', &at);
}

static void choose(struct cache *c, const struct cache_ask *ask, struct memory_object *o,
                   bool arriving, bool first, struct cache_form *out)
{
    *out = (struct cache_form){.is.encoding = (enum policy_encoding)o->encoding, .object = o};
    if (is_plain(ask, o))
        return;
    struct policy_forms forms;
    enum policy_encoding top = POLICY_IDENTITY;
    if (ask->memo)
        top = policy_encoding_accept_again(ask->memo, &ask->request->fields, &out->accept);
    else
        policy_encoding_accept(&ask->request->fields, &out->accept);
    out->chose = true;
    bool parts = asks_parts(ask->request), as_it_is = asks_untransformed(ask->request);
    /* Nothing can be better than the best of all: most hits of forms. */
    struct memory_object *best =
        top == POLICY_IDENTITY || parts || as_it_is ? NULL : made_form(o, (uint8_t)top);
    if (best) {
        out->is = (struct policy_form){.how = POLICY_FORM_MADE, .encoding = top};
        out->object = best;
        return;
    }
    describe(ask, o, arriving, first, &forms);
    if (as_it_is)
        forms.made = forms.quick = forms.later = 0;
    policy_encoding_pick(&out->accept, &forms, parts, &out->is);
    if (out->is.wanted && c->tier.encoder)
        memory_encoder_ask(c->tier.encoder, o, out->is.wanted);
    if (out->is.how == POLICY_FORM_MADE) {
        out->object = made_form(o, (uint8_t)out->is.encoding);
        must(out->object);
    }
}

void cache_form_choose(struct cache *c, const struct cache_ask *ask, struct memory_object *o,
                       bool arriving, bool first, struct cache_form *out)
{
    choose(c, ask, o, arriving, first, out);
    if (out->is.refused)
        counter_add(COUNTER_IDENTITY_REFUSED, 1);
    /* Made better when it is hot, unless the configuration makes it no more. */
    if (out->object != o && c->tier.encoder && ask->variants &&
        (encodes(ask->variants) & POLICY_BIT(out->object->encoding)))
        memory_encoder_used(c->tier.encoder, o, out->object);
}

bool cache_form_suits(const struct cache_ask *ask, const struct memory_object *o)
{
    struct policy_accept accept;
    if (o->encoding == POLICY_IDENTITY || o->encoding == POLICY_ENCODING_OTHER)
        return true;
    policy_encoding_accept(&ask->request->fields, &accept);
    if (accept.weight[o->encoding] >= 0 || accept.weight[POLICY_IDENTITY] < 0)
        return true;
    if (is_packed(o) && !(marks_of(o) & MEMORY_MARK_BROKEN) &&
        policy_encoding_may_change(o->status, &o->block.fields))
        return true;
    for (unsigned i = 0; i < o->form_count; i++)
        if (accept.weight[o->form[i]->encoding] >= 0)
            return true;
    return false;
}

void cache_form_stored(struct cache *c, const struct cache_ask *ask, struct memory_object *o)
{
    struct cache_form form;
    choose(c, ask, o, false, false, &form); /* nothing is given */
}
