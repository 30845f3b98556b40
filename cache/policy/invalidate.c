#include "cache/policy/invalidate.h"

static void add_once(struct policy_invalidated *out, struct span url)
{
    for (uint32_t i = 0; i < out->count; i++)
        if (span_equal(out->url[i], url))
            return;
    must(out->count < POLICY_INVALIDATE_MAX);
    out->url[out->count++] = url;
}

static uint16_t port_of(const struct http_uri *uri)
{
    if (uri->port)
        return uri->port;
    return span_equal(uri->scheme, SPAN("https")) ? 443 : 80;
}

static void add_reference(const struct http_uri *base, const struct http_field *field,
                          const struct conf_cache_key *conf, struct arena *a,
                          struct policy_invalidated *out)
{
    struct http_uri uri;
    struct span url;
    if (!field || http_uri_resolve(base, field->value, a, &uri) != ERR_OK)
        return;
    /* Another origin's names are not this one's to spoil (RFC 9111 4.4). */
    if (!span_equal(uri.scheme, base->scheme) || !span_equal(uri.host, base->host) ||
        port_of(&uri) != base->port)
        return;
    if (policy_key_url(&uri, conf, a, &url) == ERR_OK)
        add_once(out, url);
}

void policy_invalidate(const struct http_request *r, const struct policy_key *key,
                       const struct http_response *answer, const struct conf_cache_key *conf,
                       struct arena *a, struct policy_invalidated *out)
{
    struct span groups;
    out->count = out->groups.count = 0;
    out->groups.groups = 0;
    if (http_method_is_safe(r->method) || answer->status < 200 || answer->status > 399)
        return;
    add_once(out, key->url);
    struct http_uri base = {
        .scheme = r->scheme, .host = key->host, .port = key->port, .path = key->path};
    add_reference(&base, http_fields_find(&answer->fields, HTTP_NAME_LOCATION), conf, a, out);
    add_reference(&base, http_fields_find(&answer->fields, HTTP_NAME_CONTENT_LOCATION), conf, a,
                  out);
    /* Over the limit, those that fit; without it in a wrong one, none. */
    if (http_fields_join_text(&answer->fields, SPAN("cache-group-invalidation"), a, &groups) &&
        groups.len)
        (void)!policy_tags_groups(groups, a, &out->groups);
}
