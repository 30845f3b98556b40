#include "cache/policy/tags.h"

#include "base/http/structured.h"
#include "base/purge.h"

_Static_assert(POLICY_TAGS_MAX <= 64, "a bit each");

static enum err add_once(struct policy_tags *tags, struct span tag, bool group)
{
    if (!tag.len)
        return ERR_OK;
    if (tag.len > PURGE_SELECTOR_MAX) /* no purge could name it */
        return ERR_LIMIT;
    uint32_t i = 0;
    while (i < tags->count && !span_equal(tags->at[i], tag))
        i++;
    if (i == POLICY_TAGS_MAX)
        return ERR_LIMIT;
    tags->at[i] = tag;
    tags->count = i < tags->count ? tags->count : i + 1;
    tags->groups |= (uint64_t)group << i;
    return ERR_OK;
}

static bool is_between(char c, enum http_name id)
{
    bool space = c == ' ' || c == '\t';
    switch ((int)id) {
    case HTTP_NAME_SURROGATE_KEY:
    case HTTP_NAME_XKEY:
        return space;
    case HTTP_NAME_CACHE_TAG:
    case HTTP_NAME_X_MAGENTO_TAGS:
        return c == ',';
    default:
        return space || c == ',';
    }
}

static enum err take_line(const struct http_field *field, struct policy_tags *tags)
{
    struct span rest = field->value;
    while (rest.len) {
        size_t at = 0;
        while (at < rest.len && !is_between(rest.ptr[at], (enum http_name)field->id))
            at++;
        enum err err = add_once(tags, span_trim(span_until(rest, at)), false);
        if (err)
            return err;
        rest = span_from(rest, at < rest.len ? at + 1 : at);
    }
    return ERR_OK;
}

/* RFC 9875 2, 3: strings; their parameters mean nothing here. */
enum err policy_tags_groups(struct span value, struct arena *a, struct policy_tags *tags)
{
    struct http_sf_members list;
    if (http_sf_list(value, a, &list) != ERR_OK)
        return ERR_OK;
    for (uint32_t i = 0; i < list.count; i++)
        if (list.at[i].is_inner_list || list.at[i].item.kind != HTTP_SF_STRING)
            return ERR_OK;
    for (uint32_t i = 0; i < list.count; i++) {
        enum err err = add_once(tags, list.at[i].item.text, true);
        if (err)
            return err;
    }
    return ERR_OK;
}

static enum err take_groups(const struct http_fields *f, struct arena *a,
                            struct policy_tags *tags)
{
    struct span joined;
    if (!http_fields_join(f, HTTP_NAME_CACHE_GROUPS, a, &joined))
        return ERR_LIMIT;
    return policy_tags_groups(joined, a, tags);
}

static bool is_configured(const struct conf_texts *names, struct span name)
{
    for (uint32_t i = 0; i < names->count; i++)
        if (span_equal_nocase(span_text(names->at[i]), name))
            return true;
    return false;
}

enum err policy_tags(const struct http_fields *f, const struct conf_texts *names,
                     struct arena *a, struct policy_tags *out)
{
    size_t bytes = 0;
    bool groups = false;
    out->count = 0;
    out->groups = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        const struct http_field *field = &f->at[i];
        if (!is_configured(names, field->name))
            continue;
        bytes += field->value.len;
        if (bytes > POLICY_TAGS_BYTES)
            return ERR_LIMIT;
        enum err err = ERR_OK;
        if (field->id == HTTP_NAME_CACHE_GROUPS)
            groups = true;
        else
            err = take_line(field, out);
        if (err)
            return err;
    }
    return groups ? take_groups(f, a, out) : ERR_OK;
}
