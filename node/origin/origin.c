#include "node/origin/origin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "node/io/tls.h"

#define COPY_BYTES_MAX ((size_t)64 << 20) /* as much as a configuration may take */
#define CA_BYTES_MAX ((size_t)16 << 20)

/* ---- a copy of the configuration: reloads outlive it */

static const char *copy_text(struct arena *a, const char *text)
{
    struct span copy;
    must(arena_printf(a, &copy, "%s", text ? text : ""));
    return copy.ptr;
}

static void copy_texts(struct arena *a, const struct conf_texts *from, struct conf_texts *to)
{
    to->count = from->count;
    to->at = arena_zalloc(a, from->count * sizeof(const char *));
    must(to->at);
    for (uint32_t i = 0; i < from->count; i++)
        to->at[i] = copy_text(a, from->at[i]);
}

static void copy_conf(struct arena *a, const struct conf_origin *from, struct conf_origin *to)
{
    *to = *from;
    to->name = copy_text(a, from->name);
    to->host_name = copy_text(a, from->host_name);
    to->ca = copy_text(a, from->ca);
    copy_texts(a, &from->hide, &to->hide);
    to->add = arena_zalloc(a, from->add_count * sizeof(*to->add));
    to->servers = arena_zalloc(a, from->server_count * sizeof(*to->servers));
    must(to->add && to->servers);
    for (uint32_t i = 0; i < from->add_count; i++) {
        to->add[i].name = copy_text(a, from->add[i].name);
        to->add[i].value = copy_text(a, from->add[i].value);
    }
    for (uint32_t i = 0; i < from->server_count; i++) {
        to->servers[i] = from->servers[i];
        to->servers[i].host = copy_text(a, from->servers[i].host);
        to->servers[i].authority = copy_text(a, from->servers[i].authority);
    }
}

/* ---- TLS */

static bool needs_tls(const struct conf_origin *c)
{
    for (uint32_t i = 0; i < c->server_count; i++)
        if (c->servers[i].tls)
            return true;
    return false;
}

/* Is there a file whose content counts? */
static bool has_ca(const struct conf_origin *c)
{
    return c->verify && c->ca && *c->ca && needs_tls(c);
}

/* False: it cannot be read as a whole; errno says why. */
static bool sum_file(const char *path, uint8_t out[32])
{
    struct buf text;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    buf_init(&text, 0);
    ssize_t got = 1;
    while (got > 0 && buf_len(&text) < CA_BYTES_MAX) {
        char *room = buf_reserve(&text, 65536);
        must(room);
        got = read(fd, room, 65536);
        if (got > 0)
            buf_grew(&text, (size_t)got);
    }
    int why = got > 0 ? EFBIG : errno;
    bool good = got == 0 && crypto_sha256(buf_span(&text), out) == ERR_OK;
    buf_fini(&text);
    close(fd);
    errno = why;
    return good;
}

/* ---- the origin */

static void destroy(struct origin *o)
{
    io_tls_context_drop(o->tls);
    arena_fini(&o->arena);
    free(o->servers);
    free(o);
}

/* The sum comes first: a file that changes between the two is then another one at the next
 * reload. */
static bool make_tls(struct origin *o, struct conf_faults *faults)
{
    const struct conf_origin *c = &o->conf;
    if (!needs_tls(c))
        return true;
    if (has_ca(c) && !sum_file(c->ca, o->ca_sum)) {
        conf_fault_add(faults, c->place, "cannot read certificate authorities from %s: %s",
                       c->ca, strerror(errno));
        return false;
    }
    o->tls = io_tls_client_create(c->ca, c->verify, c->place, faults);
    return o->tls != NULL;
}

struct origin *origin_create(const struct conf_origin *c, struct conf_faults *faults)
{
    struct origin *o = must_alloc(sizeof(*o));
    atomic_init(&o->holders, 1);
    atomic_init(&o->next, 0);
    arena_init(&o->arena, COPY_BYTES_MAX);
    copy_conf(&o->arena, c, &o->conf);
    o->servers = must_alloc((c->server_count + 1) * sizeof(*o->servers));
    for (uint32_t i = 0; i < c->server_count; i++) {
        struct origin_server *s = &o->servers[i];
        s->conf = &o->conf.servers[i];
        atomic_init(&s->requests, 0);
        atomic_init(&s->errors, 0);
        atomic_init(&s->in_flight, 0);
    }
    if (make_tls(o, faults))
        return o;
    destroy(o);
    return NULL;
}

struct origin *origin_hold(struct origin *o)
{
    unsigned before = atomic_fetch_add_explicit(&o->holders, 1, memory_order_relaxed);
    must(before > 0);
    return o;
}

void origin_drop(struct origin *o)
{
    if (!o)
        return;
    /* acq_rel: what every holder did with it happens before its end. */
    unsigned before = atomic_fetch_sub_explicit(&o->holders, 1, memory_order_acq_rel);
    must(before > 0);
    if (before == 1)
        destroy(o);
}

/* ---- did anything change? */

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_texts(const struct conf_texts *a, const struct conf_texts *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!same_text(a->at[i], b->at[i]))
            return false;
    return true;
}

static bool same_added(const struct conf_origin *a, const struct conf_origin *b)
{
    if (a->add_count != b->add_count)
        return false;
    for (uint32_t i = 0; i < a->add_count; i++)
        if (!same_text(a->add[i].name, b->add[i].name) ||
            !same_text(a->add[i].value, b->add[i].value))
            return false;
    return true;
}

static bool same_servers(const struct conf_origin *a, const struct conf_origin *b)
{
    if (a->server_count != b->server_count)
        return false;
    for (uint32_t i = 0; i < a->server_count; i++) {
        const struct conf_origin_server *x = &a->servers[i], *y = &b->servers[i];
        if (x->tls != y->tls || x->port != y->port || !same_text(x->host, y->host) ||
            !same_text(x->authority, y->authority))
            return false;
    }
    return true;
}

/* An unreadable file is no reason to keep the old origin: origin_create shall tell. */
static bool same_ca(const struct origin *o, const struct conf_origin *c)
{
    uint8_t sum[32];
    if (!same_text(o->conf.ca, c->ca))
        return false;
    return !has_ca(c) || (sum_file(c->ca, sum) && memcmp(sum, o->ca_sum, sizeof(sum)) == 0);
}

bool origin_is_same(const struct origin *o, const struct conf_origin *c)
{
    const struct conf_origin *mine = &o->conf;
    return same_text(mine->name, c->name) && mine->host == c->host &&
           same_text(mine->host_name, c->host_name) && mine->verify == c->verify &&
           mine->retry_max == c->retry_max && same_texts(&mine->hide, &c->hide) &&
           same_added(mine, c) && same_servers(mine, c) && same_ca(o, c);
}
