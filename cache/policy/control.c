#include "cache/policy/control.h"

#include "base/http/date.h"
#include "base/http/structured.h"

/* The directives of one field, before they are weighed. */
struct directives {
    int64_t max_age_s, s_maxage_s, stale_refresh_s, stale_error_s;
    bool no_cache, proxy_revalidate;
    struct policy_control *control; /* takes the rest */
};

static struct directives none(struct policy_control *control)
{
    return (struct directives){
        .max_age_s = POLICY_NONE,
        .s_maxage_s = POLICY_NONE,
        .stale_refresh_s = POLICY_NONE,
        .stale_error_s = POLICY_NONE,
        .control = control,
    };
}

/* delta-seconds (1.2.2): digits alone, saturating. */
static bool parse_seconds(struct span s, int64_t *out_s)
{
    int64_t value = 0;
    if (!s.len)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        value = value * 10 + (s.ptr[i] - '0');
        if (value > POLICY_SECONDS_MAX)
            value = POLICY_SECONDS_MAX;
    }
    *out_s = value;
    return true;
}

static struct span unquote(struct span s)
{
    bool quoted = s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"';
    return quoted ? span_of(s.ptr + 1, s.len - 2) : s;
}

/* The first of duplicates counts (4.2.1); one that is no delta-seconds makes it 0: stale. */
static void take_seconds(struct span argument, int64_t *seconds_s)
{
    if (*seconds_s == POLICY_NONE && !parse_seconds(unquote(argument), seconds_s))
        *seconds_s = 0;
}

/* "name=argument" cut; *out_argument has a NULL ptr when there is no '='. */
static struct span cut_directive(struct span member, struct span *out_argument)
{
    size_t at;
    if (!span_find(member, '=', &at)) {
        *out_argument = (struct span){0};
        return member;
    }
    *out_argument = span_from(member, at + 1);
    return span_until(member, at);
}

/* The field names of a qualified directive. False: it has none that are well formed, or too
 * many; it counts as the unqualified form. */
static bool take_names(struct span argument, struct policy_control *c)
{
    uint32_t count = c->hidden_count;
    struct span rest = unquote(argument), name;
    while (span_split(&rest, ',', &name)) {
        name = span_trim(name);
        if (!name.len)
            continue;
        if (!http_is_token(name) || count == POLICY_CONTROL_NAMES)
            return false;
        c->hidden[count++] = name;
    }
    if (count == c->hidden_count)
        return false;
    c->hidden_count = count;
    return true;
}

static bool is(struct span name, const char *directive)
{
    return span_equal_nocase(name, span_text(directive));
}

/* Directives that take seconds; NULL: none of them. */
static int64_t *seconds_slot(struct directives *d, struct span name)
{
    if (is(name, "max-age"))
        return &d->max_age_s;
    if (is(name, "s-maxage"))
        return &d->s_maxage_s;
    if (is(name, "stale-while-revalidate"))
        return &d->stale_refresh_s;
    if (is(name, "stale-if-error"))
        return &d->stale_error_s;
    return NULL;
}

/* Directives that are there or not; NULL: none of them. */
static bool *flag_slot(struct directives *d, struct span name)
{
    if (is(name, "no-store"))
        return &d->control->no_store;
    if (is(name, "public"))
        return &d->control->is_public;
    if (is(name, "must-revalidate"))
        return &d->control->must_revalidate;
    if (is(name, "proxy-revalidate"))
        return &d->proxy_revalidate;
    if (is(name, "must-understand"))
        return &d->control->must_understand;
    if (is(name, "no-transform"))
        return &d->control->no_transform;
    return NULL;
}

/* The two that may be qualified by field names; NULL: neither. */
static bool *qualified_slot(struct directives *d, struct span name)
{
    if (is(name, "no-cache"))
        return &d->no_cache;
    if (is(name, "private"))
        return &d->control->is_private;
    return NULL;
}

static void take_cache_control(const struct http_fields *f, struct directives *d)
{
    struct http_list list;
    struct span member, argument;
    http_list_begin(&list, f, HTTP_NAME_CACHE_CONTROL);
    while (http_list_next(&list, &member)) {
        struct span name = cut_directive(member, &argument);
        int64_t *seconds_s = seconds_slot(d, name);
        bool *flag = flag_slot(d, name), *qualified = qualified_slot(d, name);
        if (seconds_s)
            take_seconds(argument, seconds_s);
        else if (flag)
            *flag = true;
        else if (qualified && !(argument.ptr && take_names(argument, d->control)))
            *qualified = true;
    }
}

/* One member of a targeted field; false: a type that its directive cannot have. */
static bool take_member(struct directives *d, const struct http_sf_member *m)
{
    int64_t *seconds_s = seconds_slot(d, m->key);
    bool *flag = flag_slot(d, m->key), *qualified = qualified_slot(d, m->key);
    const struct http_sf_item *item = &m->item;
    if (!seconds_s && !flag && !qualified)
        return true; /* unknown ones are ignored (RFC 9213 2.1) */
    if (m->is_inner_list)
        return false;
    if (seconds_s) {
        if (item->kind != HTTP_SF_INTEGER)
            return false;
        int64_t value = item->integer < 0 ? 0 : item->integer;
        *seconds_s = value < POLICY_SECONDS_MAX ? value : POLICY_SECONDS_MAX;
        return true;
    }
    if (qualified && item->kind == HTTP_SF_STRING) {
        *qualified = !take_names(item->text, d->control);
        return true;
    }
    if (item->kind != HTTP_SF_BOOLEAN)
        return false;
    *(flag ? flag : qualified) = item->boolean;
    return true;
}

/* A targeted field as a whole, or not at all. */
static bool take_targeted(const struct http_fields *f, enum http_name id, struct arena *a,
                          struct directives *d)
{
    struct span joined;
    struct policy_control control = *d->control;
    struct directives draft = none(&control);
    if (!http_fields_find(f, id) || !http_fields_join(f, id, a, &joined))
        return false;
    struct http_sf_members dictionary;
    if (http_sf_dictionary(joined, a, &dictionary) != ERR_OK || !dictionary.count)
        return false;
    for (uint32_t i = 0; i < dictionary.count; i++)
        if (!take_member(&draft, &dictionary.at[i]))
            return false;
    control.targeted = true;
    draft.control = d->control;
    *d = draft;
    *d->control = control;
    return true;
}

static struct span value_of(const struct http_fields *f, enum http_name id)
{
    const struct http_field *field = http_fields_find(f, id);
    return field ? field->value : (struct span){0};
}

/* 5.3: invalid, duplicated or "0": already expired. */
static int64_t read_expires(const struct http_fields *f, int64_t now_s)
{
    int64_t at_s = 0;
    uint32_t lines = http_fields_count(f, HTTP_NAME_EXPIRES);
    if (!lines)
        return POLICY_NONE;
    if (lines > 1 || http_date_parse(value_of(f, HTTP_NAME_EXPIRES), now_s, &at_s) != ERR_OK)
        return 0;
    return at_s > 0 ? at_s : 0;
}

/* 5.1: of several values the first; when it is no delta-seconds the field is ignored. */
static int64_t read_age(const struct http_fields *f)
{
    struct http_list list;
    struct span member;
    int64_t age_s = 0;
    http_list_begin(&list, f, HTTP_NAME_AGE);
    if (!http_list_next(&list, &member) || !parse_seconds(member, &age_s))
        return 0;
    return age_s;
}

static bool read_date(const struct http_fields *f, enum http_name id, int64_t now_s,
                      int64_t *out_s)
{
    return http_date_parse(value_of(f, id), now_s, out_s) == ERR_OK;
}

bool policy_control_is_heuristic(unsigned status)
{
    switch (status) {
    case 200:
    case 203:
    case 204:
    case 206:
    case 300:
    case 301:
    case 308:
    case 404:
    case 405:
    case 410:
    case 414:
    case 501:
        return true;
    default:
        return false;
    }
}

/* What a site may keep for `negative`: the resource is not there, and will not be at once. */
static bool is_negative(unsigned status)
{
    return status == 404 || status == 405 || status == 410 || status == 414 || status == 451 ||
           status == 501;
}

static void apply_ttl(const struct conf_ttl *ttl, unsigned status, struct policy_facts *f,
                      struct policy_control *c)
{
    bool plain = status < 400 && policy_control_is_heuristic(status);
    if (ttl->force_s >= 0 && plain) {
        /* Fresh for so long from now on, whatever age it came with. */
        f->max_age_s = ttl->force_s + policy_freshness_age_s(f, f->received_at_s);
        if (f->max_age_s > POLICY_SECONDS_MAX)
            f->max_age_s = POLICY_SECONDS_MAX;
        f->no_cache = c->no_store = c->is_private = c->must_understand = false;
        c->forced = c->lifetime = true;
    } else if (!c->lifetime && ttl->negative_s >= 0 && is_negative(status)) {
        f->max_age_s = ttl->negative_s;
        c->lifetime = true;
    } else if (!c->lifetime && ttl->default_s >= 0 && plain) {
        f->max_age_s = ttl->default_s;
        c->lifetime = true;
    }
}

void policy_control_response(const struct http_response *r, const struct conf_ttl *ttl,
                             int64_t requested_at_s, int64_t received_at_s, struct arena *a,
                             struct policy_facts *out_facts, struct policy_control *out)
{
    const struct http_fields *f = &r->fields;
    *out = (struct policy_control){0};
    struct directives d = none(out);
    if (!take_targeted(f, HTTP_NAME_CDN_CACHE_CONTROL, a, &d) &&
        !take_targeted(f, HTTP_NAME_SURROGATE_CONTROL, a, &d))
        take_cache_control(f, &d);

    struct policy_facts facts = {
        .requested_at_s = requested_at_s,
        .received_at_s = received_at_s,
        .date_at_s = received_at_s,
        .expires_at_s = out->targeted ? POLICY_NONE : read_expires(f, received_at_s),
        .modified_at_s = POLICY_NONE,
        .age_s = read_age(f),
        .max_age_s = d.s_maxage_s != POLICY_NONE ? d.s_maxage_s : d.max_age_s,
        .stale_refresh_s = d.stale_refresh_s,
        .stale_error_s = d.stale_error_s,
        .no_cache = d.no_cache,
    };
    bool windows = d.stale_refresh_s != POLICY_NONE || d.stale_error_s != POLICY_NONE;
    out->shared_max_age = d.s_maxage_s != POLICY_NONE;
    facts.windows_only = out->shared_max_age && windows;
    facts.no_stale =
        out->must_revalidate || d.proxy_revalidate || (out->shared_max_age && !windows);
    out->lifetime = facts.max_age_s != POLICY_NONE || facts.expires_at_s != POLICY_NONE;

    int64_t at_s;
    if (read_date(f, HTTP_NAME_DATE, received_at_s, &at_s))
        facts.date_at_s = at_s;
    apply_ttl(ttl, r->status, &facts, out);
    if (!out->lifetime && (policy_control_is_heuristic(r->status) || out->is_public) &&
        read_date(f, HTTP_NAME_LAST_MODIFIED, received_at_s, &at_s) && at_s >= 0)
        facts.modified_at_s = at_s;
    *out_facts = facts;
}

static void take_wish(struct span member, struct policy_wish *w)
{
    struct span argument, name = cut_directive(member, &argument);
    int64_t value_s;
    if (is(name, "no-cache"))
        w->no_cache = true;
    else if (is(name, "no-store"))
        w->no_store = true;
    else if (is(name, "only-if-cached"))
        w->only_if_cached = true;
    else if (is(name, "max-age"))
        take_seconds(argument, &w->max_age_s);
    else if (is(name, "max-stale") && !argument.ptr)
        w->max_stale_s = POLICY_SECONDS_MAX;
    else if (is(name, "max-stale") && parse_seconds(unquote(argument), &value_s))
        w->max_stale_s = value_s;
    else if (is(name, "min-fresh") && parse_seconds(unquote(argument), &value_s))
        w->min_fresh_s = value_s;
    else if (is(name, "stale-if-error") && parse_seconds(unquote(argument), &value_s))
        w->stale_error_s = value_s;
}

void policy_control_request(const struct http_fields *f, struct policy_wish *out)
{
    struct http_list list;
    struct span member;
    *out = POLICY_WISH_NONE;
    if (!http_fields_find(f, HTTP_NAME_CACHE_CONTROL)) {
        out->no_cache = http_list_has(f, HTTP_NAME_PRAGMA, SPAN("no-cache"));
        return;
    }
    http_list_begin(&list, f, HTTP_NAME_CACHE_CONTROL);
    while (http_list_next(&list, &member))
        take_wish(member, out);
    /* A reload: "not older than 0" would otherwise be true within the second of a fetch. */
    if (out->max_age_s == 0)
        out->no_cache = true;
}

bool policy_control_hides(const struct policy_control *c, struct span name)
{
    for (uint32_t i = 0; i < c->hidden_count; i++)
        if (span_equal_nocase(c->hidden[i], name))
            return true;
    return false;
}
