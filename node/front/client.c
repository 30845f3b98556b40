#include "node/front/client.h"

#include "base/http/uri.h"

#define HOPS_MAX 64 /* proxies of ours in a row */

bool front_client_is_proxy(const struct front_client *c)
{
    if (c->node)
        return true;
    return c->listener && c->listener->trusted_proxies &&
           cidr_holds(c->listener->trusted_proxies, &c->peer);
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80"; without
 * scope, which would be looked up among our interfaces. The port is dropped. */
static bool parse(struct span text, struct addr *out)
{
    size_t at;
    if (span_find(text, '%', &at))
        return false;
    if (span_starts(text, SPAN("[")) && span_ends(text, SPAN("]"))) {
        text = span_of(text.ptr + 1, text.len - 2);
        return span_find(text, ':', &at) && addr_parse(text, out) == ERR_OK;
    }
    if (addr_parse(text, out) != ERR_OK && addr_parse_with_port(text, out) != ERR_OK)
        return false;
    out->port = 0;
    return !span_starts(text, SPAN(":")) || span_starts(text, SPAN("::"));
}

/* The last member of a list; *rest is cut to what stands before it. */
static struct span cut_last(struct span *rest)
{
    size_t comma;
    struct span member = *rest;
    if (span_rfind(*rest, ',', &comma)) {
        member = span_from(*rest, comma + 1);
        *rest = span_until(*rest, comma);
    } else {
        *rest = span_of(NULL, 0);
    }
    return span_trim(member);
}

/* Goes through one line from the right. True: *found is the answer. */
static bool search(const struct cidr *trusted, struct span line, unsigned *hops,
                   const struct addr *peer, struct addr *found)
{
    while (line.len > 0) {
        struct span member = cut_last(&line);
        if (member.len == 0)
            continue;
        if (!parse(member, found)) {
            *found = *peer;
            return true;
        }
        if (!cidr_holds(trusted, found) || ++*hops == HOPS_MAX)
            return true;
    }
    return false;
}

struct addr front_client_address(const struct front_client *c, const struct http_fields *f)
{
    struct addr found = c->peer;
    unsigned hops = 0;
    if (!front_client_is_proxy(c))
        return c->peer;
    if (c->node) { /* it has said last what it saw */
        const struct http_field *last = NULL;
        for (uint32_t i = 0; i < f->count; i++)
            if (f->at[i].id == HTTP_NAME_X_FORWARDED_FOR)
                last = &f->at[i];
        struct span line = last ? last->value : (struct span){0};
        return parse(cut_last(&line), &found) ? found : c->peer;
    }
    for (uint32_t i = f->count; i-- > 0;) {
        if (f->at[i].id == HTTP_NAME_X_FORWARDED_FOR &&
            search(c->listener->trusted_proxies, f->at[i].value, &hops, &c->peer, &found))
            break;
    }
    return found;
}

/* What the trusted proxy says by this field; empty when nothing, or not with one voice: of
 * several lines some may be the client's. */
static struct span word_of(const struct front_client *c, const struct http_fields *f,
                           enum http_name id)
{
    if (!front_client_is_proxy(c) || http_fields_count(f, id) != 1)
        return (struct span){0};
    return http_fields_find(f, id)->value;
}

struct span front_client_scheme(const struct front_client *c, const struct http_fields *f)
{
    struct span word = word_of(c, f, HTTP_NAME_X_FORWARDED_PROTO);
    if (span_equal_nocase(word, SPAN("https")))
        return SPAN("https");
    if (span_equal_nocase(word, SPAN("http")))
        return SPAN("http");
    return c->tls ? SPAN("https") : SPAN("http");
}

struct span front_client_authority(const struct front_client *c, const struct http_request *r,
                                   struct arena *a)
{
    struct span word = word_of(c, &r->fields, HTTP_NAME_X_FORWARDED_HOST), host, out;
    uint16_t port;
    if (!word.len || http_uri_parse_authority(word, a, &host, &port) != ERR_OK || !host.len)
        return r->authority;
    if (!port)
        return host;
    return arena_printf(a, &out, "%.*s:%u", SPAN_ARG(host), port) ? out : r->authority;
}
