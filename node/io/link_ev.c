#include "node/io/link_ev.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/io/kept.h"
#include "node/io/link_core.h"

_Static_assert(IO_LINK_IDLE_MAX == IO_KEPT_MAX, "one bound, two names");

/* ---- one request */

static bool make_key(const struct io_link_target *t, struct io_link_key *out)
{
    struct span name = t->server_name.len ? t->server_name : t->host;
    int n = snprintf(out->text, sizeof(out->text), "%.*s|%u|%p|%.*s", SPAN_ARG(t->host),
                     t->port, (void *)t->tls, SPAN_ARG(name));
    if (n <= 0 || (size_t)n >= sizeof(out->text))
        return false;
    out->len = (size_t)n;
    return span_copy(name, out->server_name, sizeof(out->server_name)) == ERR_OK;
}

struct io_link *io_link_start(struct io_links *p, const struct io_link_target *target,
                              const struct http_request *request,
                              const struct io_link_functions *functions, void *user)
{
    struct io_link_key key;
    if (!make_key(target, &key))
        return NULL;
    return target->h2 ? io_link_h2_start(p, &key, target, request, functions, user)
                      : io_link_h1_start(p, &key, target, request, functions, user);
}

size_t io_link_body(struct io_link *l, struct span bytes)
{
    return l->protocol->body(l, bytes);
}

void io_link_body_end(struct io_link *l, const struct http_fields *trailers)
{
    l->protocol->body_end(l, trailers);
}

void io_link_pause(struct io_link *l)
{
    l->protocol->pause(l);
}

void io_link_resume(struct io_link *l)
{
    l->protocol->resume(l);
}

void io_link_cancel(struct io_link *l)
{
    if (l)
        l->protocol->cancel(l);
}

/* ---- the pool */

struct io_links *io_links_create(struct io_loop *l, struct io_resolver *r)
{
    struct io_links *p = must_alloc(sizeof(*p));
    p->loop = l;
    p->resolver = r;
    p->kept = io_kept_create();
    p->limits = http_h1_limits_default;
    return p;
}

void io_links_limit(struct io_links *p, const struct http_h1_limits *limits)
{
    p->limits = *limits;
}

void io_links_drop_idle(struct io_links *p)
{
    io_link_h1_drop_idle(p);
    io_link_h2_drop_idle(p);
}

void io_links_destroy(struct io_links *p)
{
    if (!p)
        return;
    io_link_h1_destroy(p);
    io_link_h2_destroy(p);
    io_kept_destroy(p->kept);
    free(p);
}
