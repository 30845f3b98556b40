#include "cache/policy/vary.h"

#include <stdlib.h>

#define MEMBERS_MAX 32 /* of one list that is sorted; longer ones are compared as written */

static int compare_spans(const void *a, const void *b)
{
    return span_compare(*(const struct span *)a, *(const struct span *)b);
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool lower_copy(struct span s, struct arena *a, struct span *out)
{
    char *text = arena_alloc(a, s.len + 1);
    if (!text)
        return false;
    for (size_t i = 0; i < s.len; i++)
        text[i] = lower(s.ptr[i]);
    *out = span_of(text, s.len);
    return true;
}

/* The distinct names that split an object, as written. Accept-Encoding does not: encodings are
 * chosen here, and origins are asked with a list of our own (encoding.h). False: refused. */
static bool collect_names(const struct http_fields *f, struct span names[POLICY_VARY_NAMES],
                          size_t *out_count)
{
    struct http_list list;
    struct span member;
    size_t count = 0;
    http_list_begin(&list, f, HTTP_NAME_VARY);
    while (http_list_next(&list, &member)) {
        size_t i = 0;
        if (span_equal(member, SPAN("*")) || !http_is_token(member))
            return false;
        if (span_equal_nocase(member, http_name_text(HTTP_NAME_ACCEPT_ENCODING)))
            continue;
        while (i < count && !span_equal_nocase(names[i], member))
            i++;
        if (i < count)
            continue;
        if (count == POLICY_VARY_NAMES)
            return false;
        names[count++] = member;
    }
    *out_count = count;
    return true;
}

bool policy_vary_refuses(const struct http_fields *response)
{
    struct span names[POLICY_VARY_NAMES];
    size_t count;
    return !collect_names(response, names, &count);
}

/* Joins members with commas into the arena. */
static bool join(const struct span *members, size_t count, struct arena *a, struct span *out)
{
    size_t bytes = count;
    for (size_t i = 0; i < count; i++)
        bytes += members[i].len;
    char *text = arena_alloc(a, bytes + 1), *at = text;
    if (!text)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (i)
            *at++ = ',';
        memcpy(at, members[i].ptr, members[i].len);
        at += members[i].len;
    }
    *out = span_of(text, (size_t)(at - text));
    return true;
}

enum err policy_vary_names(const struct http_fields *response, struct arena *a,
                           struct span *out_names)
{
    struct span names[POLICY_VARY_NAMES];
    size_t count;
    if (!collect_names(response, names, &count))
        return ERR_REFUSED;
    if (!count) {
        *out_names = (struct span){0};
        return ERR_OK;
    }
    for (size_t i = 0; i < count; i++)
        if (!lower_copy(names[i], a, &names[i]))
            return ERR_LIMIT;
    qsort(names, count, sizeof names[0], compare_spans);
    return join(names, count, a, out_names) ? ERR_OK : ERR_LIMIT;
}

/* A list without white space around commas and without empty members. */
static bool normalise_list(struct span value, struct arena *a, struct span *out)
{
    struct http_list list;
    struct span member;
    char *text = arena_alloc(a, value.len + 1), *at = text;
    if (!text)
        return false;
    http_list_begin_value(&list, value);
    while (http_list_next(&list, &member)) {
        if (at != text)
            *at++ = ',';
        memcpy(at, member.ptr, member.len);
        at += member.len;
    }
    *out = span_of(text, (size_t)(at - text));
    return true;
}

struct preference {
    struct span name; /* lower case */
    unsigned thousandths;
};

static int compare_preferences(const void *va, const void *vb)
{
    const struct preference *a = va, *b = vb;
    if (a->thousandths != b->thousandths)
        return a->thousandths < b->thousandths ? 1 : -1;
    return span_compare(a->name, b->name);
}

/* All members with their quality; false when one is malformed, there are too many, or the arena
 * is full: the list is then compared as written. */
static bool collect_preferences(struct span value, struct arena *a,
                                struct preference at[MEMBERS_MAX], size_t *out_count)
{
    struct http_list list;
    struct span member, token;
    size_t count = 0;
    http_list_begin_value(&list, value);
    while (http_list_next(&list, &member)) {
        unsigned thousandths;
        if (count == MEMBERS_MAX || !http_quality(member, &token, &thousandths) ||
            !lower_copy(token, a, &at[count].name))
            return false;
        at[count++].thousandths = thousandths;
    }
    *out_count = count;
    return true;
}

static bool normalise_language(struct span value, struct arena *a, struct span *out)
{
    struct preference at[MEMBERS_MAX];
    struct span members[MEMBERS_MAX];
    size_t count;
    if (!collect_preferences(value, a, at, &count))
        return normalise_list(value, a, out);
    qsort(at, count, sizeof at[0], compare_preferences);
    for (size_t i = 0; i < count; i++) {
        members[i] = at[i].name;
        if (at[i].thousandths != 1000 &&
            !arena_printf(a, &members[i], "%.*s;q=%u", SPAN_ARG(at[i].name), at[i].thousandths))
            return false;
    }
    return join(members, count, a, out);
}

static bool normalise(enum http_name id, struct span value, struct arena *a, struct span *out)
{
    if (id == HTTP_NAME_ACCEPT_LANGUAGE)
        return normalise_language(value, a, out);
    return normalise_list(value, a, out);
}

enum err policy_vary_key(struct span names, const struct http_fields *request, struct arena *a,
                         struct span *out_key)
{
    struct span values[POLICY_VARY_NAMES], parts[POLICY_VARY_NAMES], rest = names, name;
    size_t count = 0, bytes = 0;
    if (!names.len) {
        *out_key = (struct span){0};
        return ERR_OK;
    }
    while (count < POLICY_VARY_NAMES && span_split(&rest, ',', &name)) {
        struct span joined;
        values[count] = (struct span){0}; /* NULL: absent */
        if (http_fields_find_text(request, name)) {
            if (!http_fields_join_text(request, name, a, &joined) ||
                !normalise(http_name_find(name), joined, a, &values[count]))
                return ERR_LIMIT;
        }
        parts[count] = name;
        bytes += name.len + values[count].len + 2;
        count++;
    }
    char *text = arena_alloc(a, bytes), *at = text;
    if (!text)
        return ERR_LIMIT;
    for (size_t i = 0; i < count; i++) {
        memcpy(at, parts[i].ptr, parts[i].len);
        at += parts[i].len;
        if (values[i].ptr) {
            *at++ = ':';
            memcpy(at, values[i].ptr, values[i].len);
            at += values[i].len;
        }
        *at++ = '\n';
    }
    *out_key = span_of(text, (size_t)(at - text));
    return ERR_OK;
}
