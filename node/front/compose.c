#include "node/front/compose.h"

#include "admin/admin.h"
#include "cache/memory/object.h"
#include "cache/policy/answer.h"
#include "node/front/form.h"
#include "node/front/front.h"

#define DATE_BYTES 29
#define NUMBER_MAX 20

static bool add_age(struct http_response *r, struct arena *a, int64_t age_s)
{
    char *text = arena_alloc(a, NUMBER_MAX), *at = text + NUMBER_MAX;
    if (!text)
        return false;
    do {
        *--at = (char)('0' + age_s % 10);
        age_s /= 10;
    } while (age_s > 0);
    return http_fields_add_named(&r->fields, a, HTTP_NAME_AGE,
                                 span_of(at, (size_t)(text + NUMBER_MAX - at)));
}

/* What every answer says about its way. */
static bool add_way(const struct front_compose *c, struct http_response *r)
{
    struct span text;
    if (c->age_s >= 0 && !add_age(r, c->arena, c->age_s))
        return false;
    if (c->cache_said) {
        if (c->cache.hit && !c->cache.ttl_known && !c->cache.detail)
            text = SPAN("perigee; hit");
        else if (!front_rewrite_cache_status(&c->cache, c->arena, &text))
            return false;
        if (!http_fields_add_named(&r->fields, c->arena, HTTP_NAME_CACHE_STATUS, text))
            return false;
    }
    if (c->failure != CACHE_FAILURE_NONE &&
        !http_fields_add_named(&r->fields, c->arena, HTTP_NAME_PROXY_STATUS,
                               front_rewrite_proxy_status(c->failure)))
        return false;
    return !c->timing ||
           (front_rewrite_server_timing(&c->cache, c->total_us, c->origin_us, c->arena,
                                        &text) &&
            http_fields_add_named(&r->fields, c->arena, HTTP_NAME_SERVER_TIMING, text));
}

static bool is_recoded(const struct front_compose *c)
{
    return c->form && front_form_is_recoded(c->form);
}

bool front_compose_add(struct http_response *r, struct arena *a, enum http_name id,
                       struct span value)
{
    return http_fields_add_named(&r->fields, a, id, value);
}

bool front_compose_own(const struct front_compose *c, unsigned status,
                       struct http_response *out, struct front_deliver *out_deliver)
{
    struct http_response r;
    struct span body;
    if (!http_answer(&r, c->arena, status, &body) ||
        !http_fields_add_named(&r.fields, c->arena, HTTP_NAME_DATE,
                               span_of(c->date, DATE_BYTES)) ||
        !add_way(c, &r))
        return false;
    if (c->request && c->request->method == HTTP_HEAD)
        r.body_absent = true;
    if (r.body_absent)
        front_deliver_nothing(out_deliver);
    else
        front_deliver_text(out_deliver, body);
    *out = r;
    return true;
}

/* `etag`: of another form, which the client has; perhaps of an object that is let go soon. */
static bool compose_304(const struct front_compose *c, const struct http_fields *fields,
                        struct span etag, struct http_response *r)
{
    r->status = 304;
    r->body_absent = true;
    return arena_copy(c->arena, etag, &etag) &&
           policy_answer_fields_304(fields, etag, c->arena, &r->fields);
}

static bool compose_416(const struct front_compose *c, const struct memory_object *o,
                        struct http_response *r, struct front_deliver *d)
{
    struct span range;
    return front_compose_own(c, 416, r, d) &&
           policy_range_content_range(NULL, (uint64_t)o->body_bytes, c->arena, &range) &&
           http_fields_add_named(&r->fields, c->arena, HTTP_NAME_CONTENT_RANGE, range);
}

static bool compose_range(const struct front_compose *c, const struct memory_object *o,
                          const struct policy_answer *answer, struct memory_reader *reader,
                          struct http_response *r, struct front_deliver *d)
{
    const struct policy_range *range = &answer->ranges.at[0];
    struct span text;
    r->status = 206;
    r->block = &o->block;
    r->body_bytes = (int64_t)(range->to - range->from);
    r->length_declared = true;
    front_deliver_range(d, reader, range);
    return policy_range_content_range(range, (uint64_t)o->body_bytes, c->arena, &text) &&
           http_fields_add_named(&r->fields, c->arena, HTTP_NAME_CONTENT_RANGE, text);
}

static bool compose_ranges(const struct front_compose *c, const struct memory_object *o,
                           const struct policy_answer *answer, struct memory_reader *reader,
                           struct http_response *r, struct front_deliver *d)
{
    const struct http_fields *stored = &o->block.fields;
    struct span type = {0}, text;
    for (uint32_t i = 0; i < stored->count; i++) {
        if (stored->at[i].id == HTTP_NAME_CONTENT_TYPE)
            type = stored->at[i].value;
        else if (!http_fields_add(&r->fields, c->arena, stored->at[i].name,
                                  stored->at[i].value))
            return false;
    }
    d->ranges = answer->ranges;
    policy_range_multipart(&d->multipart, &d->ranges, type, (uint64_t)o->body_bytes, c->random);
    front_deliver_ranges(d, reader, c->arena);
    r->status = 206;
    r->body_bytes = (int64_t)policy_range_multipart_bytes(&d->multipart);
    r->length_declared = true;
    return policy_range_multipart_type(&d->multipart, c->arena, &text) &&
           http_fields_add_named(&r->fields, c->arena, HTTP_NAME_CONTENT_TYPE, text);
}

static void compose_whole(const struct front_compose *c, const struct memory_object *o,
                          struct memory_reader *reader, struct http_response *r,
                          struct front_deliver *d)
{
    bool recoded = is_recoded(c);
    r->status = o->status;
    if (recoded)
        r->fields = c->form->fields;
    else
        r->block = &o->block;
    r->body_bytes = recoded ? HTTP_LENGTH_UNKNOWN : o->body_bytes;
    r->length_declared =
        r->body_bytes != HTTP_LENGTH_UNKNOWN && !http_status_is_bodyless(o->status);
    r->body_absent = c->request->method == HTTP_HEAD || http_status_is_bodyless(o->status);
    if (r->body_absent)
        front_deliver_nothing(d);
    else if (recoded)
        front_deliver_recoded(d, reader, c->form->recode);
    else
        front_deliver_all(d, reader);
}

static struct policy_stored stored_of(const struct front_compose *c,
                                      const struct memory_object *o)
{
    struct policy_stored s = {
        .status = o->status, .fields = &o->block.fields, .body_bytes = o->body_bytes};
    const struct front_form *form = c->form;
    if (!form)
        return s;
    s.is_made = is_recoded(c) || o->derived;
    if (is_recoded(c))
        s.fields = &form->fields;
    const struct http_field *etag = http_fields_find(&form->base->block.fields, HTTP_NAME_ETAG);
    if (etag && form->chosen.chose) {
        s.base = (enum policy_encoding)form->base->encoding;
        s.base_etag = etag->value;
        s.accept = &form->chosen.accept;
    }
    return s;
}

/* What another node stores is what this one has. */
static bool add_for_node(const struct front_compose *c, const struct memory_object *o,
                         struct http_response *r)
{
    if (!c->vector)
        return true;
    const struct http_fields hidden = memory_object_hidden(o);
    for (uint32_t i = 0; i < hidden.count; i++)
        if (!http_fields_add(&r->fields, c->arena, hidden.at[i].name, hidden.at[i].value))
            return false;
    return http_fields_add(&r->fields, c->arena, SPAN(ORIGIN_PEER_VECTOR),
                           span_of(c->vector->base64, c->vector->len));
}

bool front_compose_stored(const struct front_compose *c, const struct memory_object *o,
                          struct memory_reader *reader, struct http_response *out,
                          struct front_deliver *d)
{
    struct http_response r = {.version = HTTP_1_1};
    struct policy_answer answer = {.kind = POLICY_ANSWER_WHOLE};
    struct policy_stored stored = {.fields = &o->block.fields};
    bool ok = true;
    if (c->plan) {
        stored = stored_of(c, o);
        policy_answer_plan(c->request, &stored, &answer);
    }
    front_deliver_nothing(d);
    switch (answer.kind) {
    case POLICY_ANSWER_WHOLE:
        compose_whole(c, o, reader, &r, d);
        break;
    case POLICY_ANSWER_RANGE:
        ok = compose_range(c, o, &answer, reader, &r, d);
        break;
    case POLICY_ANSWER_RANGES:
        ok = compose_ranges(c, o, &answer, reader, &r, d);
        break;
    case POLICY_ANSWER_NOT_MODIFIED:
        ok = compose_304(c, stored.fields, answer.etag, &r);
        break;
    case POLICY_ANSWER_PRECONDITION_FAILED:
        return front_compose_own(c, 412, out, d);
    case POLICY_ANSWER_UNSATISFIABLE:
        return compose_416(c, o, out, d);
    }
    if (!ok || !add_way(c, &r) || !add_for_node(c, o, &r)) {
        front_deliver_nothing(d);
        return false;
    }
    *out = r;
    return true;
}

bool front_compose_said(const struct front_compose *c, const struct admin_answer *said,
                        struct http_response *out, struct front_deliver *d)
{
    bool bodyless = http_status_is_bodyless(said->status);
    struct http_response r = {
        .status = (uint16_t)said->status,
        .version = HTTP_1_1,
        .body_bytes = (int64_t)said->body.len,
        .length_declared = !bodyless,
        .body_absent = bodyless || c->request->method == HTTP_HEAD,
    };
    for (uint32_t i = 0; i < said->fields.count; i++)
        if (!http_fields_add(&r.fields, c->arena, said->fields.at[i].name,
                             said->fields.at[i].value))
            return false;
    if (said->content_type.len &&
        !http_fields_add_named(&r.fields, c->arena, HTTP_NAME_CONTENT_TYPE, said->content_type))
        return false;
    if (!http_fields_add_named(&r.fields, c->arena, HTTP_NAME_CACHE_CONTROL,
                               SPAN("no-store")) ||
        !http_fields_add_named(&r.fields, c->arena, HTTP_NAME_DATE,
                               span_of(c->date, DATE_BYTES)))
        return false;
    if (r.body_absent)
        front_deliver_nothing(d);
    else
        front_deliver_text(d, said->body);
    *out = r;
    return true;
}
