#include "node/front/admit.h"

#include <stdio.h>

#include "node/front/rewrite.h"

#define HTTPS_PORT 443
#define ALLOWED "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

static bool say(struct front_admission *out, unsigned status, const char *why)
{
    out->verdict = FRONT_ADMIT_ANSWER;
    out->status = status;
    out->why = why;
    return false;
}

static bool say_bad(struct front_admission *out, unsigned status, const char *why)
{
    out->bad = true;
    return say(out, status, why);
}

static bool say_with(struct front_admission *out, unsigned status, enum http_name id,
                     struct span value, const char *why)
{
    out->id = id;
    out->value = value;
    return say(out, status, why);
}

/* Each step answers false when the matter is settled. */

static bool admit_method(const struct front_admit *a, struct front_admission *out)
{
    const struct http_request *r = a->request;
    if (r->method == HTTP_CONNECT || r->method == HTTP_TRACE)
        return say_with(out, 405, HTTP_NAME_ALLOW, SPAN(ALLOWED), "method");
    if (!span_equal(r->target, SPAN("*")))
        return true;
    return r->method == HTTP_OPTIONS ? say_with(out, 204, HTTP_NAME_ALLOW, SPAN(ALLOWED), NULL)
                                     : say_bad(out, 400, "target");
}

/* The authority as the key has it is what the origin gets, too: the default port goes. */
static bool name_host(const struct front_admit *a, struct http_uri *uri,
                      struct front_admission *out)
{
    struct http_request *r = a->request;
    struct span authority = uri->host;
    uint16_t usual = span_equal(r->scheme, SPAN("https")) ? 443 : 80;
    if (uri->port != 0 && uri->port != usual &&
        !arena_printf(a->arena, &authority, "%.*s:%u", SPAN_ARG(uri->host), uri->port))
        return say_bad(out, 431, "authority");
    if (!span_equal(authority, r->authority))
        r->authority = authority;
    return true;
}

static bool normalise(const struct front_admit *a, struct http_uri *uri,
                      struct front_admission *out)
{
    struct http_request *r = a->request;
    enum err e = http_uri_parse_target(r->target, a->arena, uri);
    if (e != ERR_OK)
        return say_bad(out, e == ERR_LIMIT ? 414 : 400, "target");
    struct span target = uri->path;
    if (uri->has_query && !arena_printf(a->arena, &target, "%.*s?%.*s", SPAN_ARG(uri->path),
                                        SPAN_ARG(uri->query)))
        return say_bad(out, 414, "target");
    if (!span_equal(target, r->target))
        r->target = target;
    return true;
}

static bool redirect(const struct front_admit *a, struct span host, struct front_admission *out)
{
    const struct setup_listener *l = a->client->listener;
    char port[8] = "";
    struct span location;
    if (!l->conf->redirect_https || span_equal(a->request->scheme, SPAN("https")))
        return true; /* a trusted proxy may have said https */
    if (l->https_port != HTTPS_PORT)
        snprintf(port, sizeof(port), ":%u", l->https_port);
    if (!arena_printf(a->arena, &location, "https://%.*s%s%.*s", SPAN_ARG(host), port,
                      SPAN_ARG(a->request->target)))
        return say_bad(out, 414, "target");
    return say_with(out, 308, HTTP_NAME_LOCATION, location, NULL);
}

static bool find(const struct front_admit *a, const struct http_uri *uri,
                 struct front_admission *out)
{
    struct setup_match m =
        setup_sites_find(a->setup->sites, uri->host, uri->path, a->request->method_text);
    out->site = m.site;
    out->route = m.route;
    return m.site || say(out, 421, "no site"); /* RFC 9110 15.5.20 */
}

static bool route(const struct front_admit *a, const struct http_uri *uri,
                  struct front_admission *out)
{
    struct http_request *r = a->request;
    if (r->method == HTTP_PURGE && !a->client->node) {
        out->verdict = FRONT_ADMIT_PURGE;
        return false;
    }
    if (!out->route)
        return say(out, 404, "no route");
    if (!a->client->node && !setup_route_allows(out->route, &a->address))
        return say(out, 403, "not allowed");
    if (out->route->respond_status)
        return say(out, out->route->respond_status, NULL);
    if (front_rewrite_is_loop(&r->fields, a->setup->conf->node.id)) {
        out->verdict = FRONT_ADMIT_LOOP;
        return false;
    }
    if (policy_key_make(r, uri, &out->site->cache_key, a->arena, &out->key) != ERR_OK)
        return say_bad(out, 400, "authority");
    out->verdict = FRONT_ADMIT_SERVE;
    return true;
}

void front_admit(const struct front_admit *a, struct front_admission *out)
{
    struct http_uri uri;
    struct span host;
    uint16_t port;
    *out = (struct front_admission){0};
    if (!admit_method(a, out))
        return;
    if (http_uri_parse_authority(a->request->authority, a->arena, &host, &port) != ERR_OK) {
        (void)say_bad(out, 400, "authority");
    } else if (normalise(a, &uri, out)) {
        uri.host = host;
        uri.port = port;
        if (name_host(a, &uri, out) && find(a, &uri, out) && redirect(a, host, out))
            (void)route(a, &uri, out);
    }
}
