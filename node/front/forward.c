#include "node/front/forward.h"

static bool outgoing(void *copy, const struct conf_origin_server *server,
                     struct http_request *r, struct arena *a)
{
    return front_rewrite_outgoing(copy, server, r, a);
}

static bool incoming(void *copy, const struct conf_origin_server *server,
                     struct http_response *r, struct arena *a)
{
    return front_rewrite_incoming(copy, server, r, a);
}

static bool to_peer(void *copy, unsigned hops, struct http_request *r, struct arena *a)
{
    return front_rewrite_to_peer(copy, hops, r, a);
}

static bool from_peer(void *copy, struct http_response *r, struct arena *a)
{
    (void)copy, (void)a;
    front_rewrite_from_peer(r);
    return true;
}

/* Only what others may get, too, and without a body to give away. */
static bool may_ask_peers(const struct front_forward *f)
{
    const struct http_request *r = f->ask->request;
    return f->front->peers && f->setup->peer_client && f->ask->route->peers && !f->has_body &&
           (r->method == HTTP_GET || r->method == HTTP_HEAD) &&
           f->answer->verdict != CACHE_PASS;
}

static bool own(void *copy, const struct http_request *copied_request, struct arena *a)
{
    struct front_rewrite *w = copy;
    (void)a;
    w->authority = copied_request->authority;
    return true;
}

struct origin_fetch *front_forward_begin(const struct front_forward *f)
{
    static const struct origin_fetch_functions functions = {outgoing, incoming, to_peer,
                                                            from_peer};
    struct origin_fetch_peers peers = {
        .hops = f->hops, .tls = f->setup->peer_client, .recent = f->front->recent};
    if (may_ask_peers(f))
        peers.count = origin_peers_choose(f->front->peers, f->ask->key->text, f->hops,
                                          f->front->loop->now_ms, peers.at);
    struct origin_fetch_start s = {
        .loop = f->front->loop,
        .links = f->front->links,
        .fetches = &f->front->fetches,
        .cache = f->front->cache,
        .answer = f->answer,
        .ask = f->ask,
        .origin = f->setup->origins[f->origin],
        .setup = &f->setup->snapshot,
        .limits = &f->setup->conf->limits,
        .functions = &functions,
        .copied = f->rewrite,
        .copy_bytes = sizeof(*f->rewrite),
        .own = own,
        .has_body = f->has_body,
        .watcher = f->watcher,
        .peers = &peers,
    };
    return origin_fetch_begin(&s);
}
