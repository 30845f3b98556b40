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

static bool own(void *copy, const struct http_request *copied_request, struct arena *a)
{
    struct front_rewrite *w = copy;
    (void)a;
    w->authority = copied_request->authority;
    return true;
}

struct origin_fetch *front_forward_begin(const struct front_forward *f)
{
    static const struct origin_fetch_functions functions = {outgoing, incoming};
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
    };
    return origin_fetch_begin(&s);
}
