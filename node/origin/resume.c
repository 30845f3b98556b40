#include "node/origin/resume.h"

#include "base/http/date.h"
#include "cache/policy/etag.h"

static struct span value_of(const struct http_response *r, enum http_name id)
{
    const struct http_field *f = http_fields_find(&r->fields, id);
    return f ? f->value : SPAN("");
}

static bool is_strong_date(const struct http_response *r, struct span modified, int64_t now_s)
{
    int64_t date_s, modified_s;
    return http_date_parse(modified, now_s, &modified_s) == ERR_OK &&
           http_date_parse(value_of(r, HTTP_NAME_DATE), now_s, &date_s) == ERR_OK &&
           date_s - modified_s >= ORIGIN_RESUME_CLOCKS_S;
}

/* Empty: none that would do. */
static struct span validator_of(const struct http_response *r, int64_t now_s, bool *out_by_date)
{
    struct span opaque, etag = value_of(r, HTTP_NAME_ETAG),
                        modified = value_of(r, HTTP_NAME_LAST_MODIFIED);
    *out_by_date = etag.len == 0;
    if (etag.len)
        return policy_etag_opaque(etag, &opaque) && !policy_etag_is_weak(etag) ? etag
                                                                               : SPAN("");
    return is_strong_date(r, modified, now_s) ? modified : SPAN("");
}

void origin_resume_begin(struct origin_resume *s, const struct http_response *r, int64_t now_s,
                         struct arena *a)
{
    *s = (struct origin_resume){.total = r->body_bytes};
    /* Only a known length tells at the end whether all of it came. */
    if (r->status != 200 || r->body_absent || r->body_bytes == HTTP_LENGTH_UNKNOWN)
        return;
    struct span validator = validator_of(r, now_s, &s->by_date);
    if (!arena_printf(a, &s->encoding, "%.*s",
                      SPAN_ARG(value_of(r, HTTP_NAME_CONTENT_ENCODING))) ||
        !arena_printf(a, &s->validator, "%.*s", SPAN_ARG(validator)))
        s->validator = SPAN("");
}

bool origin_resume_may(const struct origin_resume *s)
{
    return s->validator.len > 0;
}

bool origin_resume_is_over(const struct origin_resume *s)
{
    return s->total != HTTP_LENGTH_UNKNOWN && s->got == (uint64_t)s->total && s->skip == 0;
}

bool origin_resume_holds(const struct origin_resume *s, size_t bytes)
{
    return bytes <= s->skip + ((uint64_t)s->total - s->got);
}

struct span origin_resume_take(struct origin_resume *s, struct span bytes)
{
    size_t known = bytes.len < s->skip ? bytes.len : (size_t)s->skip;
    s->skip -= known;
    s->got += bytes.len - known;
    return span_from(bytes, known);
}

bool origin_resume_ask(const struct origin_resume *s, struct http_fields *f, struct arena *a)
{
    static const enum http_name wholes[] = {
        HTTP_NAME_IF_MATCH,          HTTP_NAME_IF_NONE_MATCH,
        HTTP_NAME_IF_MODIFIED_SINCE, HTTP_NAME_IF_UNMODIFIED_SINCE,
        HTTP_NAME_IF_RANGE,          HTTP_NAME_RANGE};
    struct span range;
    for (size_t i = 0; i < ARRAY_LEN(wholes); i++)
        http_fields_remove(f, wholes[i]);
    if (s->got == 0)
        return true;
    return arena_printf(a, &range, "bytes=%llu-", (unsigned long long)s->got) &&
           http_fields_add_named(f, a, HTTP_NAME_RANGE, range) &&
           http_fields_add_named(f, a, HTTP_NAME_IF_RANGE, s->validator);
}

/* "bytes FROM-LAST/TOTAL" from where we are to the end. */
static bool is_rest(const struct origin_resume *s, struct span value)
{
    uint64_t from, last, total;
    size_t dash, slash;
    if (!span_starts_nocase(value, SPAN("bytes ")))
        return false;
    value = span_from(value, 6);
    if (!span_find(value, '/', &slash) || !span_find(span_until(value, slash), '-', &dash))
        return false;
    return span_to_u64(span_until(value, dash), &from) &&
           span_to_u64(span_from(span_until(value, slash), dash + 1), &last) &&
           span_to_u64(span_from(value, slash + 1), &total) && from == s->got && last >= from &&
           last < UINT64_MAX && last + 1 == total && total == (uint64_t)s->total;
}

/* A 206 need not repeat Last-Modified and Content-Encoding (RFC 9110 15.3.7): there they may be
 * absent, but not others; servers exist that give each encoding the same tag. */
static bool is_same(const struct origin_resume *s, const struct http_response *r,
                    bool absent_will_do)
{
    struct span etag = value_of(r, HTTP_NAME_ETAG),
                modified = value_of(r, HTTP_NAME_LAST_MODIFIED),
                encoding = value_of(r, HTTP_NAME_CONTENT_ENCODING);
    if (!span_equal(encoding, s->encoding) && (encoding.len || !absent_will_do))
        return false;
    if (!s->by_date)
        return policy_etag_strong_equal(etag, s->validator);
    return !etag.len &&
           (span_equal(modified, s->validator) || (!modified.len && absent_will_do));
}

bool origin_resume_fits(struct origin_resume *s, const struct http_response *r)
{
    s->skip = 0;
    if (r->body_absent)
        return false;
    if (r->status == 206)
        return s->got > 0 && is_same(s, r, true) &&
               (r->body_bytes == HTTP_LENGTH_UNKNOWN ||
                (uint64_t)r->body_bytes == (uint64_t)s->total - s->got) &&
               is_rest(s, value_of(r, HTTP_NAME_CONTENT_RANGE));
    if (r->status != 200 || !is_same(s, r, false) ||
        (r->body_bytes != s->total && r->body_bytes != HTTP_LENGTH_UNKNOWN))
        return false;
    s->skip = s->got;
    return true;
}
