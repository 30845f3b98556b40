#include "cache/policy/validate.h"

#include "base/http/date.h"
#include "cache/policy/encoding.h"
#include "cache/policy/etag.h"

static struct span value_of(const struct http_fields *f, enum http_name id)
{
    const struct http_field *field = http_fields_find(f, id);
    return field ? field->value : (struct span){0};
}

/* Last-Modified as a date; only its validity and equality count, so any "now" does. */
static bool modified_at(const struct http_fields *f, int64_t *out_s)
{
    struct span text = value_of(f, HTTP_NAME_LAST_MODIFIED);
    return text.len && http_date_parse(text, 0, out_s) == ERR_OK;
}

bool policy_validate_possible(const struct http_fields *stored)
{
    int64_t unused;
    return value_of(stored, HTTP_NAME_ETAG).len || modified_at(stored, &unused);
}

bool policy_validate_ask(const struct http_fields *stored, struct http_fields *request,
                         struct arena *a)
{
    static const enum http_name own[] = {
        HTTP_NAME_IF_MATCH,          HTTP_NAME_IF_NONE_MATCH,
        HTTP_NAME_IF_MODIFIED_SINCE, HTTP_NAME_IF_UNMODIFIED_SINCE,
        HTTP_NAME_IF_RANGE,          HTTP_NAME_RANGE,
    };
    int64_t unused;
    struct span etag = value_of(stored, HTTP_NAME_ETAG);
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        http_fields_remove(request, own[i]);
    if (etag.len && !http_fields_add_named(request, a, HTTP_NAME_IF_NONE_MATCH, etag))
        return false;
    if (!modified_at(stored, &unused))
        return true;
    return http_fields_add_named(request, a, HTTP_NAME_IF_MODIFIED_SINCE,
                                 value_of(stored, HTTP_NAME_LAST_MODIFIED));
}

static bool etags_agree(struct span stored, struct span fresh)
{
    /* 4.3.4 wants a strong validator to match a strong one. Where the stored tag is weak, the
     * opaque part decides: servers that compress weaken the tag of a 200 and send the strong
     * form of it in the 304, and that 304 answered the weak tag we had asked about. */
    return policy_etag_weak_equal(stored, fresh) &&
           (span_starts(stored, SPAN("W/")) || !span_starts(fresh, SPAN("W/")));
}

bool policy_validate_matches(const struct http_fields *stored,
                             const struct http_fields *not_modified)
{
    struct span old_etag = value_of(stored, HTTP_NAME_ETAG);
    struct span new_etag = value_of(not_modified, HTTP_NAME_ETAG);
    int64_t old_s, new_s;
    bool old_dated = modified_at(stored, &old_s), new_dated = modified_at(not_modified, &new_s);

    if (old_etag.len && new_etag.len)
        return etags_agree(old_etag, new_etag);
    if (old_dated && new_dated)
        return old_s == new_s;
    return !new_etag.len; /* a tag that the stored one never had says nothing about it */
}

/* 3.2: what describes the stored bytes, or one connection, is never taken from a 304. */
static bool is_kept(enum http_name id)
{
    switch ((int)id) {
    case HTTP_NAME_CONTENT_LENGTH:
    case HTTP_NAME_CONTENT_ENCODING:
    case HTTP_NAME_CONTENT_RANGE:
    case HTTP_NAME_TRANSFER_ENCODING:
    case HTTP_NAME_CONNECTION:
    case HTTP_NAME_KEEP_ALIVE:
    case HTTP_NAME_PROXY_CONNECTION:
    case HTTP_NAME_PROXY_AUTHENTICATE:
    case HTTP_NAME_PROXY_AUTHENTICATION_INFO:
    case HTTP_NAME_PROXY_AUTHORIZATION:
    case HTTP_NAME_TE:
    case HTTP_NAME_TRAILER:
    case HTTP_NAME_UPGRADE:
        return true;
    default:
        return false;
    }
}

static bool is_taken(const struct http_fields *stored, const struct http_field *field)
{
    if (field->id == HTTP_NAME_ETAG) /* they agree; weak stays weak */
        return !value_of(stored, HTTP_NAME_ETAG).len;
    return !is_kept((enum http_name)field->id);
}

static const struct http_field *find_same(const struct http_fields *f,
                                          const struct http_field *field)
{
    if (field->id != HTTP_NAME_OTHER)
        return http_fields_find(f, (enum http_name)field->id);
    return http_fields_find_text(f, field->name);
}

bool policy_validate_merge(const struct http_fields *stored,
                           const struct http_fields *not_modified, int64_t now_s,
                           struct arena *a, struct http_fields *out)
{
    int64_t unused;
    bool dated =
        http_date_parse(value_of(not_modified, HTTP_NAME_DATE), now_s, &unused) == ERR_OK;

    for (uint32_t i = 0; i < stored->count; i++) {
        const struct http_field *old = &stored->at[i];
        if (old->id == HTTP_NAME_DATE || old->id == HTTP_NAME_AGE)
            continue;
        const struct http_field *fresh = find_same(not_modified, old);
        if (fresh && is_taken(stored, fresh))
            continue;
        if (!http_fields_add(out, a, old->name, old->value))
            return false;
    }
    for (uint32_t i = 0; i < not_modified->count; i++) {
        const struct http_field *fresh = &not_modified->at[i];
        if ((fresh->id == HTTP_NAME_DATE && !dated) || !is_taken(stored, fresh))
            continue;
        if (!http_fields_add(out, a, fresh->name, fresh->value))
            return false;
    }
    if (dated)
        return true;
    char *date = arena_alloc(a, HTTP_DATE_BYTES);
    if (!date)
        return false;
    http_date_print(now_s, date);
    return http_fields_add_named(out, a, HTTP_NAME_DATE, span_of(date, HTTP_DATE_BYTES));
}

enum policy_head policy_validate_head(const struct http_fields *stored, int64_t stored_bytes,
                                      const struct http_response *head)
{
    struct span old_etag = value_of(stored, HTTP_NAME_ETAG);
    struct span new_etag = value_of(&head->fields, HTTP_NAME_ETAG);
    int64_t old_s, new_s;

    if (head->status != 200 || policy_encoding_of(&head->fields) != policy_encoding_of(stored))
        return POLICY_HEAD_NOTHING;
    if (new_etag.len && !(old_etag.len && etags_agree(old_etag, new_etag)))
        return POLICY_HEAD_OUTDATES;
    if (modified_at(&head->fields, &new_s) && !(modified_at(stored, &old_s) && old_s == new_s))
        return POLICY_HEAD_OUTDATES;
    if (head->length_declared && stored_bytes != HTTP_LENGTH_UNKNOWN &&
        head->body_bytes != stored_bytes)
        return POLICY_HEAD_OUTDATES;
    return POLICY_HEAD_UPDATES;
}
