#include "node/actions.h"

#include "base/counter.h"
#include "base/http/uri.h"
#include "cache/cache.h"
#include "node/io/loop_ev.h"
#include "node/node.h"
#include "node/reload.h"
#include "node/spread.h"

#define URL_ARENA_BYTES ((size_t)64 * 1024)

static void purge(void *node, const struct purge *purges, uint32_t count,
                  admin_purge_answered *answered, struct admin *a, uint64_t ticket)
{
    struct node *n = node;
    node_purges_apply(n->purges, purges, count, answered, a, ticket);
}

static void purge_leave(void *node, uint64_t ticket)
{
    node_purges_leave(((struct node *)node)->purges, ticket);
}

static enum err purge_confirmations(void *node, uint64_t stream, uint64_t seq,
                                    void (*tell)(void *user, struct span id,
                                                 enum admin_purge_confirmed state),
                                    void *user)
{
    return node_purges_confirmations(((struct node *)node)->purges, stream, seq, tell, user);
}

static void purge_count(void *node, const struct purge *purges, uint32_t count,
                        admin_purge_counted *counted, struct admin *a, uint64_t ticket)
{
    struct node *n = node;
    node_purges_count(n->purges, n->setup, purges, count, counted, a, ticket);
}

static enum err purge_find(void *node, uint64_t stream, uint64_t seq,
                           void (*tell)(void *user, const struct admin_purge_record *r),
                           void *user)
{
    return node_purges_find(((struct node *)node)->purges, stream, seq, tell, user);
}

static void purge_list(void *node, int64_t since_s, uint32_t limit,
                       void (*tell)(void *user, const struct admin_purge_record *r), void *user)
{
    node_purges_list(((struct node *)node)->purges, since_s, limit, tell, user);
}

struct telling {
    void (*tell)(void *user, const struct admin_variant *v);
    void *user;
};

static void tell_variant(void *user, const struct cache_variant_info *v)
{
    const struct telling *t = user;
    struct admin_variant out = {.key = v->key,
                                .vary = v->vary,
                                .status = v->status,
                                .age_s = v->age_s,
                                .fresh_left_s = v->fresh_left_s,
                                .body_bytes = v->body_bytes,
                                .fill_no = v->fill_no,
                                .hits = v->hits,
                                .etag = v->etag,
                                .tag_count = v->tag_count,
                                .tier = v->tier,
                                .state = v->state,
                                .form_count = v->form_count};
    _Static_assert(ARRAY_LEN(v->forms) == ARRAY_LEN(out.forms), "every form is told");
    for (unsigned i = 0; i < v->form_count; i++)
        out.forms[i] = (struct admin_form){.encoding = v->forms[i].encoding,
                                           .bytes = v->forms[i].bytes,
                                           .made = v->forms[i].made,
                                           .tier = v->forms[i].tier};
    t->tell(t->user, &out);
}

static enum err cache_variants(void *node, struct span url,
                               void (*tell)(void *user, const struct admin_variant *v),
                               void *user)
{
    struct node *n = node;
    struct arena arena;
    struct http_uri uri;
    struct telling t = {tell, user};
    arena_init(&arena, URL_ARENA_BYTES);
    enum err err = http_uri_parse_absolute(url, &arena, &uri);
    arena_fini(&arena);
    if (err != ERR_OK)
        return ERR_SYNTAX;
    cache_info(n->cache, url, n->setup->conf, n->loop->now_s, tell_variant, &t);
    return ERR_OK;
}

static void figures(void *node, struct admin_figures *out)
{
    struct node *n = node;
    struct cache_figures c;
    cache_figures(n->cache, &c);
    *out = (struct admin_figures){
        .uptime_s = (n->loop->now_ms - n->began_ms) / 1000,
        .workers = n->worker_count,
        .objects = c.objects,
        .objects_in_memory = c.objects_in_memory,
        .memory_bytes = c.memory_bytes,
        .memory_max_bytes = c.memory_max_bytes,
        .disk_used_bytes = c.disk_pages_used * c.disk_page_bytes,
        .disk_max_bytes = c.disk_pages_max * c.disk_page_bytes,
        .queue_bytes = c.queue_bytes,
        .fills = c.fills,
        .oldest_reader_ms = c.oldest_reader_ms,
        .last_batch_ms = c.last_batch_ms,
        .disk_on = c.disk_on,
        .scanning = c.scanning,
        .encoder_waiting = c.encoder_waiting,
        .encoder_cpu_us = c.encoder_cpu_us,
        .purge_names = c.purge_names,
        .apply_no = c.apply_no,
        .config_loaded_at_s = n->setup->loaded_at_s,
        .config_serial = n->setup->serial,
    };
    /* Closed ones first, so that the difference never wraps. Control's own are no clients'. */
    uint64_t closed = counter_sum(COUNTER_CONNECTIONS_CLOSED) + n->front.session_count;
    uint64_t opened = counter_sum(COUNTER_CONNECTIONS);
    out->connections = opened > closed ? opened - closed : 0;
    node_purges_figures(n->purges, out);
}

static void servers(void *node, void (*tell)(void *user, const struct admin_server *s),
                    void *user)
{
    const struct setup *setup = ((struct node *)node)->setup;
    for (uint32_t i = 0; i < setup->conf->origin_count; i++) {
        const struct origin *o = setup->origins[i];
        for (uint32_t k = 0; k < o->conf.server_count; k++) {
            const struct origin_server *s = &o->servers[k];
            struct admin_server out = {
                .origin = o->conf.name,
                .server = s->conf->authority,
                .up = true, /* without health checks all are used */
                .requests = atomic_load_explicit(&s->requests, memory_order_relaxed),
                .errors = atomic_load_explicit(&s->errors, memory_order_relaxed)};
            tell(user, &out);
        }
    }
}

static bool cluster(void *node, struct admin_cluster *out)
{
    struct node *n = node;
    struct cluster *core = node_member_core(n->member);
    if (!core)
        return false;
    *out = (struct admin_cluster){.unsent = node_member_unsent(n->member),
                                  .seeds_left = node_member_seeds_left(n->member),
                                  .keys_source = node_member_keys_source(n->member),
                                  .conflict_lost = cluster_conflict_lost(core),
                                  .now_us = io_loop_us()};
    cluster_counters(core, &out->core);
    node_purges_cluster_figures(n->purges, &out->purges);
    out->purges.invalidations_untold += atomic_load(&n->untold);
    struct node_peers_figures peers;
    node_peers_figures(n->peers, &peers);
    out->sends_open = peers.sends_open;
    out->asks_open = peers.asks_open;
    return true;
}

struct walk {
    void (*tell)(void *user, const struct cluster_node *n);
    void *user;
};

static bool tell_node(void *user, const struct cluster_node *node)
{
    const struct walk *w = user;
    w->tell(w->user, node);
    return true;
}

static void nodes(void *node, void (*tell)(void *user, const struct cluster_node *n),
                  void *user)
{
    struct cluster *core = node_member_core(((struct node *)node)->member);
    struct walk w = {tell, user};
    if (core)
        cluster_nodes_walk(core, tell_node, &w);
}

static enum err forget(void *node, struct span id)
{
    return node_spread_forget(node, id);
}

static enum err reload(void *node, struct conf_faults *faults)
{
    return node_reload_now(node, faults);
}

static bool ready(void *node)
{
    const struct node *n = node;
    return n->serving && n->drain.step == NODE_SERVING && !n->stop_asked && !n->stop_hurry &&
           node_member_may_serve(n->member);
}

const struct admin_actions node_actions = {
    .purge = purge,
    .purge_leave = purge_leave,
    .purge_confirmations = purge_confirmations,
    .purge_count = purge_count,
    .purge_find = purge_find,
    .purge_list = purge_list,
    .cache_info = cache_variants,
    .figures = figures,
    .servers = servers,
    .cluster = cluster,
    .nodes = nodes,
    .forget = forget,
    .reload = reload,
    .ready = ready,
};
