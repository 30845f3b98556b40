#include "node/front/form.h"

#include "cache/memory/object.h"

static enum front_form_verdict recode(struct front_form *f, struct memory_reader *reader,
                                      bool head_only, struct arena *a)
{
    const struct memory_object *o = f->chosen.object;
    enum policy_encoding from = (enum policy_encoding)o->encoding, to = f->chosen.is.encoding;
    if (!head_only)
        f->recode = memory_recode_create(reader, from, to);
    if (!f->recode && !head_only && f->chosen.is.how == POLICY_FORM_DECODE)
        return FRONT_FORM_BUSY;
    if (!f->recode && !head_only) { /* as it is, then */
        f->chosen.is.how = POLICY_FORM_BASE;
        f->chosen.is.encoding = from;
        return FRONT_FORM_READY;
    }
    return policy_encoding_fields(&o->block.fields, to, a, &f->fields) ? FRONT_FORM_READY
                                                                       : FRONT_FORM_NO_ROOM;
}

/* Do we ask origins for encodings? If not, one more fetch would bring the same. */
static bool asks_encoded(const struct conf_variants *v)
{
    return v->fetch_gzip || v->fetch_zstd || v->fetch_br;
}

/* Its own fetch, for identity alone, has just brought it. */
static bool is_forced(const struct cache_ask *ask, const struct memory_reader *reader,
                      bool first)
{
    return first && reader->fill && !asks_encoded(ask->variants);
}

enum front_form_verdict front_form_choose(struct cache *c, const struct cache_ask *ask,
                                          struct memory_reader *reader, bool first,
                                          struct arena *a, struct front_form *out)
{
    struct memory_object *base = reader->object;
    enum front_form_verdict is = FRONT_FORM_READY;
    *out = (struct front_form){.base = base};
    if (!cache_form_suits(ask, base) && !is_forced(ask, reader, first))
        return FRONT_FORM_UNSUITED;
    cache_form_choose(c, ask, base, reader->fill, first, &out->chosen);
    switch (out->chosen.is.how) {
    case POLICY_FORM_BASE:
        break;
    case POLICY_FORM_MADE:
        memory_object_hold(base);
        out->turned = true;
        memory_reader_turn(reader, out->chosen.object);
        break;
    case POLICY_FORM_ENCODE:
    case POLICY_FORM_DECODE:
        is = recode(out, reader, ask->request->method == HTTP_HEAD, a);
        break;
    }
    return is == FRONT_FORM_BUSY && asks_encoded(ask->variants) ? FRONT_FORM_UNSUITED : is;
}

void front_form_fini(struct front_form *f, const struct memory_recode *taken)
{
    if (f->recode != taken)
        memory_recode_destroy(f->recode);
    f->recode = NULL;
    if (f->turned)
        memory_object_drop(f->base);
    f->turned = false;
}
