#include "node/setup/setup.h"

#include <stdlib.h>

#include "node/io/certs.h"

#define HTTPS_PORT 443

static void destroy(struct snapshot *snapshot)
{
    struct setup *s = CONTAINER_OF(snapshot, struct setup, snapshot);
    for (uint32_t i = 0; i < s->listener_count; i++) {
        io_tls_context_drop(s->listeners[i].tls);
        cidr_destroy(s->listeners[i].trusted_proxies);
    }
    for (uint32_t i = 0; i < s->conf->origin_count; i++)
        origin_drop(s->origins[i]);
    io_tls_context_drop(s->admin_tls);
    io_tls_context_drop(s->peer_server);
    io_tls_context_drop(s->peer_client);
    io_secrets_drop(s->secrets);
    setup_sites_destroy(s->sites);
    free(s->listeners);
    free(s->origins);
    conf_destroy(s->conf);
    free(s);
}

/* ---- origins */

static struct origin *find_same(const struct setup *old, const struct conf_origin *c)
{
    for (uint32_t i = 0; old && i < old->conf->origin_count; i++)
        if (strcmp(old->origins[i]->conf.name, c->name) == 0)
            return origin_is_same(old->origins[i], c) ? old->origins[i] : NULL;
    return NULL;
}

static void make_origins(struct setup *s, const struct setup *old, struct conf_faults *faults)
{
    for (uint32_t i = 0; i < s->conf->origin_count; i++) {
        const struct conf_origin *c = &s->conf->origins[i];
        struct origin *same = find_same(old, c);
        s->origins[i] = same ? origin_hold(same) : origin_create(c, faults);
    }
}

/* ---- listeners */

/* Always made anew: the files may have changed under the same names. */
static struct io_tls_context *make_tls(const struct conf_listener *l,
                                       struct io_secrets *secrets, struct conf_faults *faults)
{
    if (l->certificate_count == 0) {
        conf_fault_add(faults, l->place, "\"tls\" without a certificate");
        return NULL;
    }
    struct io_certs *certs = io_certs_create(l->certificates, l->certificate_count, faults);
    if (!certs)
        return NULL;
    struct io_tls_context *tls =
        io_tls_server_create(l, certs, l->tickets_cluster ? secrets : NULL, faults);
    io_certs_drop(certs);
    return tls;
}

/* Where a redirect to https leads: the first listener that speaks it. */
static uint16_t find_https_port(const struct conf *c)
{
    for (uint32_t i = 0; i < c->listener_count; i++)
        if (c->listeners[i].tls)
            return c->listeners[i].address.port;
    return HTTPS_PORT;
}

static void make_listeners(struct setup *s, struct conf_faults *faults)
{
    uint16_t https_port = find_https_port(s->conf);
    for (uint32_t i = 0; i < s->conf->listener_count; i++) {
        const struct conf_listener *c = &s->conf->listeners[i];
        struct setup_listener *l = &s->listeners[i];
        l->conf = c;
        l->https_port = https_port;
        if (c->tls)
            l->tls = make_tls(c, s->secrets, faults);
        if (c->trusted_proxy_count > 0)
            l->trusted_proxies = cidr_create_set(c->trusted_proxies, c->trusted_proxy_count);
    }
    s->listener_count = s->conf->listener_count;
}

/* Kept over a reload that leaves the secrets alone, and with them the connections. */
static void make_peers(struct setup *s, const struct setup *old)
{
    const char *id = s->conf->node.id;
    if (!s->conf->cluster.on || !s->secrets)
        return;
    if (old && old->peer_server && io_secrets_equal(old->secrets, s->secrets)) {
        s->peer_server = io_tls_context_hold(old->peer_server);
        s->peer_client = io_tls_context_hold(old->peer_client);
        return;
    }
    s->peer_server = io_tls_peer_server_create(s->secrets, id);
    s->peer_client = io_tls_peer_client_create(s->secrets, id);
}

static void make_peer_listener(struct setup *s)
{
    if (!conf_cluster_has_peer_port(&s->conf->cluster) || !s->peer_server)
        return;
    s->peer_listener = (struct conf_listener){.name = "peer_listen",
                                              .address = s->conf->cluster.peer_listen,
                                              .tls = true,
                                              .h2 = true,
                                              .tls_min = 13};
    s->listeners[s->listener_count++] = (struct setup_listener){
        .conf = &s->peer_listener, .is_peer = true, .tls = io_tls_context_hold(s->peer_server)};
}

struct setup *setup_create(struct conf *conf, struct io_secrets *secrets,
                           const struct setup *old, int64_t now_s, struct conf_faults *faults)
{
    uint32_t before = faults->errors;
    struct setup *s = must_alloc(sizeof(*s));
    snapshot_init(&s->snapshot, destroy);
    s->conf = conf;
    s->secrets = io_secrets_hold(secrets);
    s->serial = old ? old->serial + 1 : 1;
    s->loaded_at_s = now_s;
    s->origins = must_alloc((conf->origin_count + 1) * sizeof(struct origin *));
    s->listeners = must_alloc((conf->listener_count + 1) * sizeof(*s->listeners));
    s->sites = setup_sites_create(conf);
    make_origins(s, old, faults);
    make_listeners(s, faults);
    if (conf->admin.on && *conf->admin.cert)
        s->admin_tls = io_tls_admin_create(&conf->admin, faults);
    make_peers(s, old);
    make_peer_listener(s);
    conf_faults_sort(faults);
    if (faults->errors == before)
        return s;
    setup_drop(s);
    return NULL;
}

struct setup *setup_hold(struct setup *s)
{
    snapshot_hold(&s->snapshot);
    return s;
}

void setup_drop(struct setup *s)
{
    if (s)
        snapshot_drop(&s->snapshot);
}
