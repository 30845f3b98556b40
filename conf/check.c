#include "conf/check.h"

#include <stdlib.h>

#include "conf/derive.h"
#include "conf/suggest.h"
#include "conf/units.h"

#define DISK_MIN_BYTES (UINT64_C(16) << 20)

struct check {
    const struct conf *c;
    const struct conf_value *root;
    struct conf_faults *faults;
};

/* Words that must differ, each with its place. */
struct word {
    const char *text;
    struct conf_place place;
    bool derived; /* from something that is compared itself */
};

static int compare_words(const void *a, const void *b)
{
    const struct word *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    if (order)
        return order;
    if (x->place.line != y->place.line)
        return x->place.line < y->place.line ? -1 : 1;
    return x->place.column < y->place.column ? -1 : x->place.column > y->place.column;
}

static void check_distinct(struct check *k, struct word *words, size_t count, const char *what)
{
    if (count)
        qsort(words, count, sizeof *words, compare_words);
    for (size_t i = 1, first = 0; i < count; i++) {
        if (strcmp(words[i].text, words[first].text) != 0)
            first = i;
        else if (*words[i].text && !(words[i].derived && words[first].derived))
            conf_fault_add(k->faults, words[i].place, "%s \"%s\" is taken on line %d", what,
                           words[i].text, words[first].place.line);
    }
}

/* ":80" takes every address of its port, "0.0.0.0:80" every IPv4 one; a single address beside
 * them is the more exact one and gets its own connections. */
static bool addresses_clash(const struct addr *a, const struct addr *b)
{
    static const struct addr any = {0};
    bool any_a = memcmp(a->ip, any.ip, sizeof any.ip) == 0;
    bool any_b = memcmp(b->ip, any.ip, sizeof any.ip) == 0;
    if (a->family == ADDR_NONE || b->family == ADDR_NONE || a->port != b->port)
        return false;
    return addr_equal(a, b) || (any_a && any_b);
}

/* What a node that serves must have. Without any of it, it is a member and nothing more. */
static void check_served(struct check *k)
{
    static const char *const keys[] = {"listeners", "origins", "sites"};
    bool any = !k->c->cluster.on;
    if (k->root->kind != CONF_VALUE_MAP)
        return;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        any = any || conf_parse_has(k->root, "%s", keys[i]);
    for (size_t i = 0; any && i < ARRAY_LEN(keys); i++)
        if (!conf_parse_has(k->root, "%s", keys[i]))
            conf_fault_add(k->faults, k->root->place, "\"%s\" is missing", keys[i]);
}

static void check_listener(struct check *k, uint32_t i)
{
    const struct conf_listener *l = &k->c->listeners[i];
    if (l->h2 && !l->tls)
        conf_fault_add(k->faults, conf_parse_place(k->root, "listeners[%u].protocols", i),
                       "h2 needs \"tls\"");
    if (l->redirect_https && l->tls)
        conf_fault_add(k->faults, conf_parse_place(k->root, "listeners[%u].redirect_https", i),
                       "\"redirect_https\" on a listener with \"tls\" would go in circles");
    for (uint32_t j = 0; j < i; j++)
        if (addresses_clash(&l->address, &k->c->listeners[j].address)) {
            conf_fault_add(k->faults, conf_parse_place(k->root, "listeners[%u].address", i),
                           "the address is taken by the listener on line %d",
                           k->c->listeners[j].place.line);
            break;
        }
    if (k->c->admin.on && addresses_clash(&l->address, &k->c->admin.address))
        conf_fault_add(k->faults, conf_parse_place(k->root, "listeners[%u].address", i),
                       "the address is taken by \"admin\"");
}

static void check_listeners(struct check *k)
{
    struct word *words = must_alloc((k->c->listener_count + 1) * sizeof *words);
    for (uint32_t i = 0; i < k->c->listener_count; i++) {
        const struct conf_listener *l = &k->c->listeners[i];
        check_listener(k, i);
        words[i] = (struct word){l->name, conf_parse_place(k->root, "listeners[%u].name", i),
                                 strchr(l->name, ':') != NULL};
    }
    check_distinct(k, words, k->c->listener_count, "the name");
    free(words);
}

static bool is_any(const struct addr *a)
{
    static const struct addr any = {0};
    return a->family != ADDR_NONE && memcmp(a->ip, any.ip, sizeof any.ip) == 0;
}

static void check_free(struct check *k, const struct addr *a, struct conf_place place)
{
    for (uint32_t i = 0; i < k->c->listener_count; i++)
        if (addresses_clash(a, &k->c->listeners[i].address)) {
            conf_fault_add(k->faults, place, "the address is taken by the listener on line %d",
                           k->c->listeners[i].place.line);
            return;
        }
    if (k->c->admin.on && addresses_clash(a, &k->c->admin.address))
        conf_fault_add(k->faults, place, "the address is taken by \"admin\"");
}

static void check_told(struct check *k, const struct addr *a, const char *key)
{
    if (is_any(a))
        conf_fault_add(k->faults, conf_parse_place(k->root, "cluster.%s", key),
                       "\"%s\" is what others dial: it needs an address, not only a port", key);
}

static void check_node(struct check *k)
{
    const struct conf_node *n = &k->c->node;
    struct conf_place place = conf_parse_place(k->root, "node.place");
    if (n->place_text.count && n->place_text.count != 2)
        conf_fault_add(k->faults, place, "\"place\" is latitude and longitude, two numbers");
    else if (n->has_place && (n->latitude < -90 || n->latitude > 90))
        conf_fault_add(k->faults, place, "\"place\": the latitude is -90 to 90");
}

static void check_cluster(struct check *k)
{
    const struct conf_cluster *c = &k->c->cluster;
    if (!c->on)
        return;
    check_free(k, &c->listen, conf_parse_place(k->root, "cluster.listen"));
    check_free(k, &c->peer_listen, conf_parse_place(k->root, "cluster.peer_listen"));
    if (addresses_clash(&c->listen, &c->peer_listen))
        conf_fault_add(k->faults, conf_parse_place(k->root, "cluster.peer_listen"),
                       "the address is taken by \"listen\"");
    check_told(k, &c->advertise, "advertise");
    check_told(k, &c->peer_advertise, "peer_advertise");
    if (c->peer_listen.family != ADDR_NONE && !*c->secret_file)
        conf_fault_warn(k->faults, conf_parse_place(k->root, "cluster.peer_listen"),
                        "without \"secret_file\" nothing listens there");
    if (!*c->secret_file && !*c->gossip_key_file && !addr_is_loopback(&c->listen))
        conf_fault_warn(k->faults, c->place,
                        "gossip is in the clear, and whoever reaches it may join: give "
                        "\"secret_file\"");
}

static void check_cache(struct check *k)
{
    const struct conf_cache *cache = &k->c->cache;
    uint64_t room = cache->disk_bytes ? cache->disk_bytes : cache->memory_bytes;
    char text[CONF_UNITS_TEXT_MAX];
    if (cache->disk_bytes && cache->disk_bytes < DISK_MIN_BYTES)
        conf_fault_add(k->faults, conf_parse_place(k->root, "cache.disk.size"),
                       "\"size\" is 0B (memory alone) or at least 16MiB");
    else if (cache->object_max_bytes > room)
        conf_fault_add(k->faults, conf_parse_place(k->root, "cache.disk.object_max"),
                       "\"object_max\" is larger than \"%s\" (%s)",
                       cache->disk_bytes ? "size" : "memory",
                       conf_units_print(CONF_UNIT_BYTES, room, text));
}

static void check_variants(struct check *k)
{
    const struct conf_variants *v = &k->c->cache.variants;
    bool has_min = conf_parse_has(k->root, "cache.variants.min");
    char low[CONF_UNITS_TEXT_MAX], high[CONF_UNITS_TEXT_MAX];
    if (v->min_bytes > v->max_bytes)
        conf_fault_add(k->faults,
                       conf_parse_place(k->root, "cache.variants.%s", has_min ? "min" : "max"),
                       "\"min\" (%s) is larger than \"max\" (%s)",
                       conf_units_print(CONF_UNIT_BYTES, v->min_bytes, low),
                       conf_units_print(CONF_UNIT_BYTES, v->max_bytes, high));
}

static bool site_exists(const struct conf *c, const char *name)
{
    for (uint32_t i = 0; i < c->site_count; i++)
        if (strcmp(c->sites[i].name, name) == 0)
            return true;
    return false;
}

static void check_admin(struct check *k)
{
    const struct conf_admin *a = &k->c->admin;
    if (!a->on)
        return;
    struct conf_place place = conf_parse_place(k->root, "admin.listen");
    bool outside = a->address.family != ADDR_NONE && !addr_is_loopback(&a->address);
    bool has_tokens = a->token_count > 0, has_tls = *a->cert != '\0';
    if (outside && !has_tokens)
        conf_fault_add(k->faults, place, "\"admin\" off loopback needs \"tokens\"");
    if (outside && !has_tls)
        conf_fault_add(k->faults, place, "\"admin\" off loopback needs \"tls\"");
    struct word *words = must_alloc((a->token_count + 1) * sizeof *words);
    for (uint32_t i = 0; i < a->token_count; i++) {
        const struct conf_token *t = &a->tokens[i];
        words[i] = (struct word){t->name, conf_parse_place(k->root, "admin.tokens[%u].name", i),
                                 false};
        for (uint32_t j = 0; j < t->sites.count; j++)
            if (*t->sites.at[j] && !site_exists(k->c, t->sites.at[j]))
                conf_fault_add(k->faults,
                               conf_parse_place(k->root, "admin.tokens[%u].sites[%u]", i, j),
                               "there is no site \"%s\"", t->sites.at[j]);
    }
    check_distinct(k, words, a->token_count, "the name");
    free(words);
}

static void check_limits(struct check *k)
{
    const struct conf_limits *l = &k->c->limits;
    if (l->field_one_bytes > l->field_all_bytes)
        conf_fault_add(k->faults, conf_parse_place(k->root, "limits.fields.one"),
                       "\"one\" field is allowed more than \"all\" together");
}

static void unknown_origin(struct check *k, const char *name, struct conf_place place)
{
    struct conf_suggest near;
    conf_suggest_init(&near, span_text(name));
    for (uint32_t i = 0; i < k->c->origin_count; i++)
        conf_suggest_offer(&near, span_text(k->c->origins[i].name));
    if (near.best.len)
        conf_fault_add(k->faults, place, "there is no origin \"%s\", did you mean \"%.*s\"?",
                       name, SPAN_ARG(near.best));
    else
        conf_fault_add(k->faults, place, "there is no origin \"%s\"", name);
}

static void check_route(struct check *k, uint32_t site, uint32_t i, bool *used)
{
    const struct conf_route *r = &k->c->sites[site].routes[i];
    struct conf_place place = conf_parse_place(k->root, "sites[%u].routes[%u].origin", site, i);
    bool written = r->place.line != place.line || r->place.column != place.column;
    if (r->origin_index != CONF_DERIVE_NO_ORIGIN)
        used[r->origin_index] = true;
    else if (r->respond_status && *r->origin)
        conf_fault_add(k->faults, place, "a route has \"origin\" or \"respond\", not both");
    else if (r->respond_status || !k->c->origin_count)
        return;
    else if (*r->origin)
        unknown_origin(k, r->origin, place);
    else if (!written && conf_parse_has(k->root, "sites[%u].routes[%u].respond", site, i))
        return; /* a faulty one, told already */
    else if (!written)
        conf_fault_add(k->faults, place,
                       "\"origin\" is missing, and there are %u to choose from",
                       k->c->origin_count);
}

/* The first route that matches wins, so nothing comes after one that takes everything. */
static void check_reach(struct check *k, const struct conf_site *s)
{
    for (uint32_t i = 0; i + 1 < s->route_count; i++)
        if (strcmp(s->routes[i].path, "/*") == 0 && s->routes[i].methods.count == 0) {
            conf_fault_warn(k->faults, s->routes[i + 1].place,
                            "never reached: the route on line %d takes every request",
                            s->routes[i].place.line);
            return;
        }
}

static void check_names(struct check *k)
{
    const struct conf *c = k->c;
    size_t host_count = 0, n = 0;
    for (uint32_t i = 0; i < c->site_count; i++)
        host_count += c->sites[i].hosts.count;
    struct word *hosts = must_alloc((host_count + 1) * sizeof *hosts);
    struct word *names = must_alloc((c->site_count + 1) * sizeof *names);
    for (uint32_t i = 0; i < c->site_count; i++) {
        const struct conf_site *s = &c->sites[i];
        for (uint32_t j = 0; j < s->hosts.count; j++)
            hosts[n++] = (struct word){
                s->hosts.at[j], conf_parse_place(k->root, "sites[%u].hosts[%u]", i, j), false};
        names[i] = (struct word){s->name, conf_parse_place(k->root, "sites[%u].name", i),
                                 s->hosts.count && s->name == s->hosts.at[0]};
    }
    check_distinct(k, hosts, n, "the host");
    check_distinct(k, names, c->site_count, "the name");
    free(hosts);
    free(names);
}

static void check_sites(struct check *k, bool *used)
{
    check_names(k);
    for (uint32_t i = 0; i < k->c->site_count; i++) {
        const struct conf_site *s = &k->c->sites[i];
        if (s->cache_key.drop_query.count && s->cache_key.keep_query.count)
            conf_fault_add(k->faults,
                           conf_parse_place(k->root, "sites[%u].cache_key.query.keep", i),
                           "\"keep\" and \"drop\" do not go together");
        for (uint32_t j = 0; j < s->route_count; j++)
            check_route(k, i, j, used);
        if (k->faults->errors == 0) /* a faulty "match" stands for every request */
            check_reach(k, s);
    }
}

static void check_origins(struct check *k, const bool *used)
{
    for (uint32_t i = 0; i < k->c->origin_count; i++) {
        const struct conf_origin *o = &k->c->origins[i];
        if (!used[i] && k->faults->errors == 0)
            conf_fault_warn(k->faults, o->place, "no route uses the origin \"%s\"", o->name);
        if (!o->verify)
            conf_fault_warn(k->faults, conf_parse_place(k->root, "origins[%u].tls.verify", i),
                            "certificates of \"%s\" are not checked", o->name);
    }
}

void conf_check(const struct conf *c, const struct conf_value *root, struct conf_faults *faults)
{
    struct check k = {c, root, faults};
    bool *used = must_alloc((c->origin_count + 1) * sizeof *used);
    check_served(&k);
    check_node(&k);
    check_listeners(&k);
    check_cluster(&k);
    check_cache(&k);
    check_variants(&k);
    check_admin(&k);
    check_limits(&k);
    check_sites(&k, used);
    check_origins(&k, used);
    free(used);
}
