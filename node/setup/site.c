#include "node/setup/site.h"

#include <stdlib.h>

#include "cache/policy/hosts.h"

struct route {
    struct span path;
    const struct conf_route *conf;
    bool prefix; /* `path` is what stands before the '*' */
};

struct setup_sites {
    struct policy_hosts *hosts;
    const struct conf *conf;
    struct route **routes; /* by site */
};

static struct route route_of(const struct conf_route *conf)
{
    struct span path = span_text(conf->path);
    struct route r = {.path = path, .conf = conf};
    if (path.len == 0 || path.ptr[path.len - 1] == '*') { /* "": any path */
        r.prefix = true;
        r.path.len -= path.len != 0;
    }
    return r;
}

struct setup_sites *setup_sites_create(const struct conf *conf)
{
    struct setup_sites *s = must_alloc(sizeof *s);
    s->conf = conf;
    s->hosts = policy_hosts_create(conf);
    s->routes = must_alloc((conf->site_count + 1) * sizeof(struct route *));
    for (uint32_t i = 0; i < conf->site_count; i++) {
        const struct conf_site *site = &conf->sites[i];
        s->routes[i] = must_alloc((site->route_count + 1) * sizeof(struct route));
        for (uint32_t k = 0; k < site->route_count; k++)
            s->routes[i][k] = route_of(&site->routes[k]);
    }
    return s;
}

void setup_sites_destroy(struct setup_sites *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->conf->site_count; i++)
        free(s->routes[i]);
    free(s->routes);
    policy_hosts_destroy(s->hosts);
    free(s);
}

/* The next octet of a path as the pattern sees it, and how many octets it is written in. */
static char path_octet(struct span path, size_t at, size_t *out_len)
{
    *out_len = 1;
    if (path.ptr[at] == '%' && path.len - at >= 3 && path.ptr[at + 1] == '2' &&
        (path.ptr[at + 2] == 'F' || path.ptr[at + 2] == 'f')) {
        *out_len = 3;
        return '/';
    }
    return path.ptr[at];
}

/* Does the path begin with the text? *out_at: where it goes on. */
static bool begins(struct span path, struct span text, size_t *out_at)
{
    size_t at = 0, n;
    for (size_t i = 0; i < text.len; i++, at += n)
        if (at >= path.len || path_octet(path, at, &n) != text.ptr[i])
            return false;
    *out_at = at;
    return true;
}

/* The next octet as an origin may see it that merges slashes and cuts parameters off segments:
 * ";x" is passed over, of several slashes only the first counts. False: the path ends. */
static bool loose_octet(struct span path, size_t *at, bool *after_slash, char *out)
{
    size_t n;
    while (*at < path.len) {
        char c = path_octet(path, *at, &n);
        if (c == ';') {
            while (*at < path.len && path_octet(path, *at, &n) != '/')
                *at += n;
            continue;
        }
        *at += n;
        if (c == '/' && *after_slash)
            continue;
        *after_slash = c == '/';
        *out = c;
        return true;
    }
    return false;
}

static bool matches_loosely(const struct route *r, struct span path)
{
    size_t at = 0;
    bool after_slash = false;
    char c;
    for (size_t i = 0; i < r->path.len; i++)
        if (!loose_octet(path, &at, &after_slash, &c) || c != r->path.ptr[i])
            return false;
    return r->prefix || !loose_octet(path, &at, &after_slash, &c);
}

/* Either way: a rule that comes first must not be walked around by another spelling. */
static bool path_matches(const struct route *r, struct span path)
{
    size_t at;
    return (begins(path, r->path, &at) && (r->prefix || at == path.len)) ||
           matches_loosely(r, path);
}

static bool method_matches(const struct conf_route *r, struct span method)
{
    if (r->methods.count == 0)
        return true;
    bool head = span_equal(method, SPAN("HEAD"));
    for (uint32_t i = 0; i < r->methods.count; i++) {
        struct span m = span_text(r->methods.at[i]);
        if (span_equal(m, method) || (head && span_equal(m, SPAN("GET"))))
            return true;
    }
    return false;
}

struct setup_match setup_sites_find(const struct setup_sites *s, struct span host,
                                    struct span path, struct span method)
{
    struct setup_match m = {.site = policy_hosts_site(s->hosts, host)};
    if (!m.site)
        return m;
    const struct route *routes = s->routes[m.site - s->conf->sites];
    for (uint32_t i = 0; i < m.site->route_count; i++)
        if (path_matches(&routes[i], path) && method_matches(routes[i].conf, method)) {
            m.route = routes[i].conf;
            break;
        }
    return m;
}

static bool any_holds(const struct addr_prefix *at, uint32_t count, const struct addr *client)
{
    for (uint32_t i = 0; i < count; i++)
        if (addr_prefix_holds(&at[i], client))
            return true;
    return false;
}

bool setup_route_allows(const struct conf_route *r, const struct addr *client)
{
    return r->allow_count == 0 || any_holds(r->allow, r->allow_count, client);
}

bool setup_site_may_purge(const struct conf_site *site, const struct addr *client)
{
    return any_holds(site->purge_from, site->purge_from_count, client);
}
