#include "cache/response.h"

#include <stdlib.h>

#include "base/http/date.h"
#include "cache/memory/epoch.h"
#include "cache/policy/encoding.h"
#include "cache/policy/vary.h"

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static enum err read_tags(const struct cache_response_ask *ask, const struct http_response *r,
                          struct memory_epoch *e, struct arena *a, struct cache_response *out)
{
    struct policy_tags tags = {.count = 0};
    enum err got = policy_tags(&r->fields, &ask->site->tags, a, &tags);
    if (got != ERR_OK)
        return got;
    for (uint32_t i = 0; i < tags.count && i < MEMORY_TAGS_MAX; i++)
        out->tags[out->tag_count++] = memory_epoch_tag(e, tags.at[i], tags.groups >> i & 1);
    qsort(out->tags, out->tag_count, sizeof(out->tags[0]), compare);
    return ERR_OK;
}

static bool is_tag_field(const struct conf_site *site, struct span name)
{
    for (uint32_t i = 0; i < site->tags.count; i++)
        if (span_equal_nocase(span_text(site->tags.at[i]), name))
            return true;
    return false;
}

bool cache_response_hides(const struct conf_site *site, const struct http_field *f)
{
    if (f->id == HTTP_NAME_CDN_CACHE_CONTROL || f->id == HTTP_NAME_SURROGATE_CONTROL)
        return true;
    return !site->send_tags && is_tag_field(site, f->name);
}

static bool add(struct http_fields *to, struct arena *a, const struct http_field *f)
{
    return http_fields_add(to, a, f->name, f->value);
}

static bool add_date(struct http_fields *to, struct arena *a, int64_t now_s)
{
    char *text = arena_alloc(a, HTTP_DATE_BYTES);
    if (!text)
        return false;
    http_date_print(now_s, text);
    return http_fields_add_named(to, a, HTTP_NAME_DATE, span_of(text, HTTP_DATE_BYTES));
}

struct sorting {
    const struct conf_site *site;
    bool plain, strip_cookies;
    int64_t now_s;
};

static bool is_left_out(const struct sorting *s, const struct policy_control *control,
                        const struct http_field *f)
{
    if (s->plain)
        return false;
    return f->id == HTTP_NAME_AGE || f->id == HTTP_NAME_CACHE_STATUS ||
           (s->strip_cookies && f->id == HTTP_NAME_SET_COOKIE) ||
           policy_control_hides(control, f->name);
}

static bool sort_fields(const struct sorting *s, const struct http_response *r, struct arena *a,
                        struct cache_response *out)
{
    for (uint32_t i = 0; i < r->fields.count; i++) {
        const struct http_field *f = &r->fields.at[i];
        if (is_left_out(s, &out->control, f))
            continue;
        if (!add(cache_response_hides(s->site, f) ? &out->hidden : &out->sent, a, f))
            return false;
    }
    return http_fields_find(&out->sent, HTTP_NAME_DATE) || add_date(&out->sent, a, s->now_s);
}

/* Could another client get another encoding of it? */
static bool varies(const struct cache_response_ask *ask, const struct http_response *r)
{
    if (ask->varied || policy_encoding_of(&r->fields) != POLICY_IDENTITY)
        return true;
    return ask->variants && (ask->variants->encode_zstd || ask->variants->encode_gzip) &&
           policy_encoding_may_change(r->status, &r->fields) &&
           policy_encoding_is_worth(ask->variants, &r->fields, r->body_bytes);
}

bool cache_response_read(const struct cache_response_ask *ask, const struct http_response *r,
                         struct memory_epoch *e, struct arena *a, struct cache_response *out)
{
    *out = (struct cache_response){.verdict = POLICY_STORE_YES};
    policy_control_response(r, &ask->route->ttl, ask->requested_at_s, ask->now_s, a,
                            &out->facts, &out->control);
    struct policy_storable_ask storable = {
        .request = ask->request,
        .response = r,
        .control = &out->control,
        .facts = &out->facts,
        .set_cookie = ask->site->set_cookie,
        .grace_s = ask->route->ttl.grace_s,
    };
    struct sorting sorting = {.site = ask->site, .now_s = ask->now_s};
    out->verdict = policy_storable_check(&storable, &sorting.strip_cookies);
    if (out->verdict == POLICY_STORE_YES && read_tags(ask, r, e, a, out) != ERR_OK)
        out->verdict = POLICY_STORE_TAGS;
    if (out->verdict == POLICY_STORE_YES &&
        policy_vary_names(&r->fields, a, &out->vary_names) != ERR_OK)
        return false;
    return sort_fields(&sorting, r, a, out) &&
           (out->verdict != POLICY_STORE_YES || !varies(ask, r) ||
            policy_encoding_vary(&out->sent, a));
}

bool cache_response_plain(const struct cache_response_ask *ask, const struct http_response *r,
                          struct arena *a, struct cache_response *out)
{
    *out = (struct cache_response){.verdict = POLICY_STORE_NO_STORE};
    struct sorting sorting = {.site = ask->site, .plain = true, .now_s = ask->now_s};
    return sort_fields(&sorting, r, a, out);
}
