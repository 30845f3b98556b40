#include "node/setup/site.h"

#include <stdlib.h>

#include "base/crypto.h"
#include "base/hash.h"
#include "cache/policy/key.h"

#define HOST_MAX POLICY_KEY_HOST_MAX
#define LABELS_MAX (HOST_MAX / 2 + 1)

/* An exact host, or what follows the '*' of "*.x" with its dot. */
struct slot {
    struct span host; /* lower case, owned */
    const struct conf_site *site;
};

struct route {
    struct span path;
    const struct conf_route *conf;
    bool prefix; /* `path` is what stands before the '*' */
};

struct setup_sites {
    struct hash_key key;
    struct slot *slots; /* open addressing, at most half full */
    size_t mask;
    const struct conf_site *fallback; /* "*" */
    bool wildcards;
    const struct conf *conf;
    struct route **routes; /* by site */
};

static struct slot *probe(const struct setup_sites *s, struct span host)
{
    size_t at = (size_t)hash_sip64(&s->key, host) & s->mask;
    while (s->slots[at].site && !span_equal(s->slots[at].host, host))
        at = (at + 1) & s->mask;
    return &s->slots[at];
}

static char to_lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* As it is compared: lower case, without the dot at the end, "*.x" as ".x". */
static size_t host_key(const char *host, char out[HOST_MAX + 1])
{
    size_t len = strlen(host);
    if (len > 2 && host[0] == '*' && host[1] == '.') {
        host++;
        len--;
    }
    if (len > 1 && host[len - 1] == '.')
        len--;
    if (len > HOST_MAX)
        len = HOST_MAX;
    for (size_t i = 0; i < len; i++)
        out[i] = to_lower(host[i]);
    return len;
}

static void add_host(struct setup_sites *s, const char *host, const struct conf_site *site)
{
    char key[HOST_MAX + 1];
    if (strcmp(host, "*") == 0) {
        s->fallback = site;
        return;
    }
    size_t len = host_key(host, key);
    struct slot *slot = probe(s, span_of(key, len));
    if (slot->site)
        return;
    slot->host = span_of(span_dup(span_of(key, len)), len);
    slot->site = site;
    s->wildcards = s->wildcards || key[0] == '.';
}

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

static struct setup_sites *create_empty(const struct conf *conf)
{
    struct setup_sites *s = must_alloc(sizeof *s);
    size_t hosts = 0, slots = 8;
    for (uint32_t i = 0; i < conf->site_count; i++)
        hosts += conf->sites[i].hosts.count;
    while (slots < hosts * 2 + 1)
        slots *= 2;
    crypto_random(&s->key, sizeof s->key);
    s->slots = must_alloc(slots * sizeof *s->slots);
    s->mask = slots - 1;
    s->conf = conf;
    return s;
}

struct setup_sites *setup_sites_create(const struct conf *conf)
{
    struct setup_sites *s = create_empty(conf);
    s->routes = must_alloc((conf->site_count + 1) * sizeof(struct route *));
    for (uint32_t i = 0; i < conf->site_count; i++) {
        const struct conf_site *site = &conf->sites[i];
        for (uint32_t k = 0; k < site->hosts.count; k++)
            add_host(s, site->hosts.at[k], site);
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
    for (size_t i = 0; i <= s->mask; i++)
        free((void *)(uintptr_t)s->slots[i].host.ptr);
    for (uint32_t i = 0; s->routes && i < s->conf->site_count; i++)
        free(s->routes[i]);
    free(s->routes);
    free(s->slots);
    free(s);
}

static const struct conf_site *find_site(const struct setup_sites *s, struct span host)
{
    if (host.len > 1 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (host.len == 0 || host.len > HOST_MAX)
        return s->fallback;
    const struct slot *slot = host.ptr[0] == '.' ? NULL : probe(s, host);
    if (slot && slot->site)
        return slot->site;
    size_t dot;
    struct span rest = host;
    for (int i = 0; s->wildcards && i < LABELS_MAX && span_find(span_from(rest, 1), '.', &dot);
         i++) {
        rest = span_from(rest, dot + 1);
        slot = probe(s, rest);
        if (slot->site)
            return slot->site;
        if (rest.len <= 1)
            break;
    }
    return s->fallback;
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
    struct setup_match m = {.site = find_site(s, host)};
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
