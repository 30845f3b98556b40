#include "node/change.h"

#include "base/hash.h"

static void must_stay(bool same, const char *setting, struct conf_place place,
                      struct conf_faults *faults)
{
    if (!same)
        conf_fault_add(faults, place, "%s: cannot be changed by a reload; restart", setting);
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* What is told of a node, whom it joins and which events count may change. */
static void check_cluster(const struct conf_cluster *k, const struct conf_cluster *l,
                          const struct conf_fixed_places *at, struct conf_faults *faults)
{
    must_stay(k->on == l->on, "cluster", at->cluster, faults);
    if (!k->on || !l->on)
        return;
    must_stay(addr_equal(&k->listen, &l->listen), "cluster.listen", at->cluster_listen, faults);
    must_stay(addr_equal(&k->advertise, &l->advertise), "cluster.advertise",
              at->cluster_advertise, faults);
    must_stay(k->profile == l->profile, "cluster.profile", at->cluster_profile, faults);
    must_stay(k->purge_max_bytes == l->purge_max_bytes, "cluster.purge_log.max",
              at->cluster_purge_max, faults);
    must_stay(same_text(k->secret_file, l->secret_file), "cluster.secret_file",
              at->cluster_secret, faults);
    must_stay(same_text(k->gossip_key_file, l->gossip_key_file), "cluster.gossip_key_file",
              at->cluster_gossip_key, faults);
}

void node_change_check(const struct conf *now, const struct conf *next,
                       struct conf_faults *faults)
{
    const struct conf_node *n = &now->node, *m = &next->node;
    const struct conf_cache *c = &now->cache, *d = &next->cache;
    const struct conf_fixed_places *at = &next->places;
    must_stay(same_text(n->id, m->id), "node.id", at->id, faults);
    must_stay(n->workers == m->workers, "node.workers", at->workers, faults);
    must_stay(same_text(n->user, m->user), "node.user", at->user, faults);
    must_stay(same_text(n->data_dir, m->data_dir), "node.data_dir", at->data_dir, faults);
    must_stay(c->memory_bytes == d->memory_bytes, "cache.memory", at->memory, faults);
    must_stay(c->disk_bytes == d->disk_bytes, "cache.disk.size", at->disk_size, faults);
    /* What follows from another setting changed with that one, which is named. */
    must_stay(c->object_max_bytes == d->object_max_bytes ||
                  (c->object_max_derived && d->object_max_derived),
              "cache.disk.object_max", at->object_max, faults);
    must_stay(c->max_objects == d->max_objects, "cache.disk.max_objects", at->max_objects,
              faults);
    must_stay(c->verify_full == d->verify_full, "cache.disk.verify", at->verify, faults);
    must_stay(same_text(c->path, d->path) || (c->path_derived && d->path_derived),
              "cache.disk.path", at->path, faults);
    must_stay(now->admin.on == next->admin.on &&
                  (!now->admin.on || addr_equal(&now->admin.address, &next->admin.address)),
              "admin.listen", at->admin, faults);
    check_cluster(&now->cluster, &next->cluster, at, faults);
}

static bool same_texts(const struct conf_texts *a, const struct conf_texts *b)
{
    bool same = a->count == b->count;
    for (uint32_t i = 0; same && i < a->count; i++)
        same = same_text(a->at[i], b->at[i]);
    return same;
}

bool node_change_renames(const struct conf *now, const struct conf *next)
{
    bool same = now->site_count == next->site_count;
    for (uint32_t i = 0; same && i < now->site_count; i++) {
        const struct conf_site *s = &now->sites[i], *t = &next->sites[i];
        const struct conf_cache_key *k = &s->cache_key, *l = &t->cache_key;
        same = same_text(s->name, t->name) && same_texts(&s->hosts, &t->hosts) &&
               k->sort_query == l->sort_query && same_texts(&k->drop_query, &l->drop_query) &&
               same_texts(&k->keep_query, &l->keep_query) &&
               same_texts(&k->cookies, &l->cookies) && same_texts(&k->headers, &l->headers);
    }
    return !same;
}

static void put_text(struct hash_stream *h, const char *text)
{
    hash_stream_add(h, span_of(text, strlen(text) + 1));
}

uint64_t node_change_sites(const struct conf *c)
{
    struct hash_stream *h = hash_stream_create();
    for (uint32_t i = 0; i < c->site_count; i++) {
        put_text(h, c->sites[i].name);
        for (uint32_t k = 0; k < c->sites[i].hosts.count; k++)
            put_text(h, c->sites[i].hosts.at[k]);
        put_text(h, "");
    }
    uint64_t digest = hash_stream_value(h);
    hash_stream_destroy(h);
    return digest ? digest : 1;
}

static const struct conf_site *site_named(const struct conf *c, struct span name)
{
    for (uint32_t i = 0; i < c->site_count; i++)
        if (span_equal(span_text(c->sites[i].name), name))
            return &c->sites[i];
    return NULL;
}

static bool has_pattern(const struct conf_site *s)
{
    bool has = false;
    for (uint32_t i = 0; i < s->hosts.count; i++)
        has = has || s->hosts.at[i][0] == '*';
    return has;
}

bool node_change_moves(const struct conf *now, const struct conf *next, struct span site)
{
    const struct conf_site *s = site_named(now, site), *t = site_named(next, site);
    if (!s)
        return false;
    /* A host of a pattern is that of a site that names it better. */
    return !t || !same_texts(&s->hosts, &t->hosts) ||
           (has_pattern(s) && node_change_sites(now) != node_change_sites(next));
}
