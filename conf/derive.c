#include "conf/derive.h"

#include <stdlib.h>
#include <unistd.h>

#include "conf/shape.h"

#define DRAIN_SERVING_MS 60000 /* others have to hear that this node goes: DNS, its peers */

static bool derive_node(struct conf *c)
{
    char name[256] = "";
    struct span id;
    if (*c->node.id)
        return true;
    if (gethostname(name, sizeof name - 1) != 0 || conf_shape_name(span_text(name)))
        memcpy(name, "node", sizeof "node");
    if (!arena_printf(&c->arena, &id, "%s", name))
        return false;
    c->node.id = id.ptr;
    return true;
}

/* What is wrong was told when it was read; here it is left out. */
static bool derive_told(struct conf *c)
{
    struct conf_node *n = &c->node;
    n->addresses = arena_zalloc(&c->arena, (n->address_text.count + 1) * sizeof *n->addresses);
    for (uint32_t i = 0; n->addresses && i < n->address_text.count; i++)
        n->address_count += addr_parse(span_text(n->address_text.at[i]),
                                       &n->addresses[n->address_count]) == ERR_OK;
    n->has_place = n->place_text.count == 2 &&
                   conf_shape_to_degrees(span_text(n->place_text.at[0]), &n->latitude) &&
                   conf_shape_to_degrees(span_text(n->place_text.at[1]), &n->longitude);
    return n->addresses != NULL;
}

static bool derive_cluster(struct conf *c)
{
    struct conf_cluster *k = &c->cluster;
    k->join = arena_zalloc(&c->arena, (k->join_text.count + 1) * sizeof *k->join);
    for (uint32_t i = 0; k->join && i < k->join_text.count; i++) {
        struct conf_seed *seed = &k->join[k->join_count];
        struct span host, kept;
        if (conf_shape_split_seed(span_text(k->join_text.at[i]), &host, &seed->port))
            continue;
        if (!arena_printf(&c->arena, &kept, "%.*s", SPAN_ARG(host)))
            return false;
        seed->host = kept.ptr;
        k->join_count++;
    }
    if (c->limits.drain_ms == UINT32_MAX) /* not given */
        c->limits.drain_ms = k->on && c->listener_count ? DRAIN_SERVING_MS : 0;
    return k->join != NULL;
}

static bool derive_cache(struct conf *c)
{
    struct conf_cache *cache = &c->cache;
    struct span path;
    cache->object_max_derived = !cache->object_max_bytes;
    cache->path_derived = !*cache->path;
    if (cache->object_max_derived) {
        uint64_t half = (cache->disk_bytes ? cache->disk_bytes : cache->memory_bytes) / 2;
        cache->object_max_bytes = half < CONF_DERIVE_OBJECT_MAX ? half : CONF_DERIVE_OBJECT_MAX;
    }
    if (!cache->path_derived)
        return true;
    if (!arena_printf(&c->arena, &path, "%s/cache", c->node.data_dir))
        return false;
    cache->path = path.ptr;
    return true;
}

static bool derive_listener(struct conf *c, struct conf_listener *l)
{
    char text[ADDR_TEXT_MAX];
    struct span name;
    if (!l->h1 && !l->h2) {
        l->h1 = true;
        l->h2 = l->tls;
    }
    if (*l->name)
        return true;
    if (!arena_printf(&c->arena, &name, "%s", addr_print(&l->address, true, text)))
        return false;
    l->name = name.ptr;
    return true;
}

static bool ttl_is_given(const struct conf_ttl *t)
{
    return t->default_s >= 0 || t->force_s >= 0 || t->negative_s >= 0 || t->grace_s >= 0;
}

static int compare_names(const void *a, const void *b)
{
    const struct conf_origin *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* The origins by name: a file may have thousands of routes. */
static const struct conf_origin **sort_origins(const struct conf *c)
{
    const struct conf_origin **sorted = must_alloc((c->origin_count + 1) * sizeof *sorted);
    for (uint32_t i = 0; i < c->origin_count; i++)
        sorted[i] = &c->origins[i];
    qsort(sorted, c->origin_count, sizeof *sorted, compare_names);
    return sorted;
}

static void derive_route(struct conf *c, const struct conf_origin **sorted,
                         const struct conf_site *site, struct conf_route *r)
{
    if (!ttl_is_given(&r->ttl))
        r->ttl = site->ttl;
    r->origin_index = CONF_DERIVE_NO_ORIGIN;
    if (r->respond_status)
        return;
    if (!*r->origin && c->origin_count == 1)
        r->origin = c->origins[0].name;
    struct conf_origin wanted = {.name = r->origin};
    const struct conf_origin *key = &wanted;
    const struct conf_origin **found =
        bsearch(&key, sorted, c->origin_count, sizeof *sorted, compare_names);
    if (found)
        r->origin_index = (uint32_t)(*found - c->origins);
}

static bool derive_site(struct conf *c, const struct conf_origin **sorted, struct conf_site *s)
{
    if (!*s->name && s->hosts.count)
        s->name = s->hosts.at[0];
    if (!s->route_count) {
        s->routes = arena_zalloc(&c->arena, sizeof *s->routes);
        if (!s->routes)
            return false;
        s->route_count = 1;
        s->routes[0] = (struct conf_route){.path = "/*",
                                           .origin = "",
                                           .cache = true,
                                           .peers = true,
                                           .ttl = s->ttl,
                                           .place = s->place};
    }
    for (uint32_t i = 0; i < s->route_count; i++)
        derive_route(c, sorted, s, &s->routes[i]);
    return true;
}

bool conf_derive(struct conf *c)
{
    bool good = derive_node(c) && derive_told(c) && derive_cluster(c) && derive_cache(c);
    for (uint32_t i = 0; i < c->listener_count; i++)
        good = good && derive_listener(c, &c->listeners[i]);
    for (uint32_t i = 0; i < c->origin_count; i++)
        if (!c->origins[i].host_name)
            c->origins[i].host_name = "";
    const struct conf_origin **sorted = sort_origins(c);
    for (uint32_t i = 0; i < c->site_count; i++)
        good = good && derive_site(c, sorted, &c->sites[i]);
    free(sorted);
    c->purge_log_keep_s = c->cluster.on ? c->cluster.purge_keep_s : UINT64_C(7) * 86400;
    c->purge_log_max_bytes = c->cluster.on ? c->cluster.purge_max_bytes : UINT64_C(64) << 20;
    return good;
}
