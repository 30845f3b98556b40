#include "cache/policy/answer.h"

#include "base/http/date.h"
#include "cache/policy/etag.h"

/* Stands for the clock where only two-digit years would need one; the stored Date is near. */
#define NOW_UNKNOWN_S INT64_C(1767225600) /* 2026 */

/* What the request says that decides here; NULL: absent. */
struct asked {
    const struct http_field *if_match, *if_none_match, *if_modified, *if_unmodified, *if_range,
        *range;
    uint32_t modified_lines, unmodified_lines, if_range_lines, range_lines;
};

static void note(const struct http_field *field, const struct http_field **first,
                 uint32_t *lines)
{
    if (!*first)
        *first = field;
    if (lines)
        ++*lines;
}

static void collect(const struct http_fields *f, struct asked *out)
{
    for (uint32_t i = 0; i < f->count; i++) {
        const struct http_field *field = &f->at[i];
        if (field->id == HTTP_NAME_IF_MATCH)
            note(field, &out->if_match, NULL);
        else if (field->id == HTTP_NAME_IF_NONE_MATCH)
            note(field, &out->if_none_match, NULL);
        else if (field->id == HTTP_NAME_IF_MODIFIED_SINCE)
            note(field, &out->if_modified, &out->modified_lines);
        else if (field->id == HTTP_NAME_IF_UNMODIFIED_SINCE)
            note(field, &out->if_unmodified, &out->unmodified_lines);
        else if (field->id == HTTP_NAME_IF_RANGE)
            note(field, &out->if_range, &out->if_range_lines);
        else if (field->id == HTTP_NAME_RANGE)
            note(field, &out->range, &out->range_lines);
    }
}

static struct span value_of(const struct http_fields *f, enum http_name id)
{
    const struct http_field *field = http_fields_find(f, id);
    return field ? field->value : (struct span){0};
}

static bool date_of(const struct http_fields *f, enum http_name id, int64_t *out_s)
{
    struct span text = value_of(f, id);
    return text.len && http_date_parse(text, NOW_UNKNOWN_S, out_s) == ERR_OK;
}

static bool asked_date(const struct http_field *field, uint32_t lines,
                       const struct policy_stored *s, int64_t *out_s)
{
    int64_t now_s = NOW_UNKNOWN_S;
    (void)date_of(s->fields, HTTP_NAME_DATE, &now_s);
    return field && lines == 1 && http_date_parse(field->value, now_s, out_s) == ERR_OK;
}

/* The object's: that of what was received. */
static struct span base_etag(const struct policy_stored *s)
{
    return s->base_etag.len ? s->base_etag : value_of(s->fields, HTTP_NAME_ETAG);
}

static bool any_matches(const struct http_fields *f, struct span etag)
{
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->at[i].id != HTTP_NAME_IF_MATCH)
            continue;
        struct span rest = f->at[i].value, asked;
        if (span_equal(rest, SPAN("*")))
            return true;
        while (policy_etag_next(&rest, &asked))
            if (policy_etag_strong_equal(etag, asked))
                return true;
    }
    return false;
}

/* 412? RFC 9110 13.1.1 lets a cache leave If-Match to the origin: so it is where there is no
 * strong tag to compare with. */
static bool precondition_fails(const struct http_request *r, const struct asked *asked,
                               const struct policy_stored *s)
{
    struct span etag = base_etag(s);
    int64_t asked_s, modified_s;
    if (asked->if_match)
        return etag.len && !policy_etag_is_weak(etag) && !any_matches(&r->fields, etag);
    return asked_date(asked->if_unmodified, asked->unmodified_lines, s, &asked_s) &&
           date_of(s->fields, HTTP_NAME_LAST_MODIFIED, &modified_s) && modified_s > asked_s;
}

static bool is_taken(const struct policy_accept *accept, enum policy_encoding e)
{
    return e == POLICY_ENCODING_OTHER || accept->weight[e] != POLICY_REFUSED;
}

/* The tag of another form than the one that the client would get now, in a coding that this
 * request takes: a cache behind us names the tags of all that it has. */
static bool is_other_form(struct span asked, const struct policy_stored *s, struct span *out)
{
    enum policy_encoding e;
    if (!s->accept)
        return false;
    if (policy_etag_weak_equal(s->base_etag, asked) && is_taken(s->accept, s->base))
        *out = s->base_etag;
    else if (policy_encoding_etag_is_of(asked, base_etag(s), &e) && is_taken(s->accept, e))
        *out = asked;
    else
        return false;
    return true;
}

/* *out_etag is empty when it is the form's own. */
static bool none_matches(const struct http_fields *f, const struct policy_stored *s,
                         struct span *out_etag)
{
    struct span own = value_of(s->fields, HTTP_NAME_ETAG), other = {0};
    *out_etag = other;
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->at[i].id != HTTP_NAME_IF_NONE_MATCH)
            continue;
        struct span rest = f->at[i].value, asked;
        if (span_equal(rest, SPAN("*")))
            return false;
        while (policy_etag_next(&rest, &asked)) {
            if (policy_etag_weak_equal(own, asked))
                return false;
            if (!other.len)
                (void)is_other_form(asked, s, &other);
        }
    }
    *out_etag = other;
    return !other.len;
}

static bool is_not_modified(const struct http_request *r, const struct asked *asked,
                            const struct policy_stored *s, struct span *out_etag)
{
    int64_t asked_s, modified_s;
    if (asked->if_none_match)
        return !none_matches(&r->fields, s, out_etag);
    if (!asked_date(asked->if_modified, asked->modified_lines, s, &asked_s))
        return false;
    /* RFC 9111 4.3.2: without Last-Modified, Date stands in. */
    if (!date_of(s->fields, HTTP_NAME_LAST_MODIFIED, &modified_s) &&
        !date_of(s->fields, HTTP_NAME_DATE, &modified_s))
        return false;
    return modified_s <= asked_s;
}

/* 13.1.5: does the client's part belong to these bytes? */
static bool if_range_holds(const struct asked *asked, const struct policy_stored *s)
{
    int64_t asked_s, modified_s, date_s;
    if (!asked->if_range)
        return true;
    if (asked->if_range_lines != 1)
        return false;
    struct span value = asked->if_range->value;
    if (span_starts(value, SPAN("\"")) || policy_etag_is_weak(value))
        return policy_etag_strong_equal(value, value_of(s->fields, HTTP_NAME_ETAG));
    /* A date is strong only when the origin's clock had moved on since (8.8.2.2), and when the
     * client cannot have part of the content in another encoding, which has the same date. */
    return !policy_encoding_varies(s->fields) && asked_date(asked->if_range, 1, s, &asked_s) &&
           date_of(s->fields, HTTP_NAME_LAST_MODIFIED, &modified_s) && asked_s == modified_s &&
           date_of(s->fields, HTTP_NAME_DATE, &date_s) && date_s > modified_s;
}

static void plan_range(const struct asked *asked, const struct policy_stored *s,
                       struct policy_answer *out)
{
    if (s->status != 200 || s->is_made || s->body_bytes == HTTP_LENGTH_UNKNOWN ||
        asked->range_lines != 1 || !if_range_holds(asked, s))
        return;
    switch (policy_range_parse(asked->range->value, (uint64_t)s->body_bytes, &out->ranges)) {
    case POLICY_RANGE_ALL:
        break;
    case POLICY_RANGE_SOME:
        out->kind = out->ranges.count == 1 ? POLICY_ANSWER_RANGE : POLICY_ANSWER_RANGES;
        break;
    case POLICY_RANGE_UNSATISFIABLE:
        out->kind = POLICY_ANSWER_UNSATISFIABLE;
        break;
    }
}

void policy_answer_plan(const struct http_request *r, const struct policy_stored *s,
                        struct policy_answer *out)
{
    struct asked asked = {0};
    out->kind = POLICY_ANSWER_WHOLE;
    out->ranges.count = 0;
    out->etag = (struct span){0};
    if (s->status < 200 || s->status > 299 || (r->method != HTTP_GET && r->method != HTTP_HEAD))
        return;
    collect(&r->fields, &asked);
    if ((asked.if_match || asked.if_unmodified) && precondition_fails(r, &asked, s))
        out->kind = POLICY_ANSWER_PRECONDITION_FAILED;
    else if ((asked.if_none_match || asked.if_modified) &&
             is_not_modified(r, &asked, s, &out->etag))
        out->kind = POLICY_ANSWER_NOT_MODIFIED;
    else if (asked.range && r->method == HTTP_GET)
        plan_range(&asked, s, out);
}

bool policy_answer_fields_304(const struct http_fields *stored, struct span etag,
                              struct arena *a, struct http_fields *out)
{
    bool tagged = etag.len || http_fields_find(stored, HTTP_NAME_ETAG);
    for (uint32_t i = 0; i < stored->count; i++) {
        const struct http_field *field = &stored->at[i];
        switch ((int)field->id) {
        case HTTP_NAME_CACHE_CONTROL:
        case HTTP_NAME_CONTENT_LOCATION:
        case HTTP_NAME_DATE:
        case HTTP_NAME_EXPIRES:
        case HTTP_NAME_VARY:
            break;
        case HTTP_NAME_ETAG:
            if (!etag.len)
                break;
            continue;
        case HTTP_NAME_LAST_MODIFIED:
            if (!tagged)
                break;
            continue;
        default:
            continue;
        }
        if (!http_fields_add(out, a, field->name, field->value))
            return false;
    }
    return !etag.len || http_fields_add_named(out, a, HTTP_NAME_ETAG, etag);
}
