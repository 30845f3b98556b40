#include "node/ports.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/io/listen_ev.h"

#define NAME_BYTES 128

static const struct node_port *find(const struct node_ports *p, const struct addr *address)
{
    for (uint32_t i = 0; p && i < p->count; i++)
        if (addr_equal(&p->at[i].address, address))
            return &p->at[i];
    return NULL;
}

/* Ours already, perhaps under another address? Then a probe would only meet ourselves. */
static bool holds_port(const struct node_ports *p, uint16_t port)
{
    for (uint32_t i = 0; p && i < p->count; i++)
        if (p->at[i].address.port == port)
            return true;
    return false;
}

static uint32_t count_of(const struct conf *conf)
{
    return conf->listener_count + conf_cluster_has_peer_port(&conf->cluster);
}

/* As conf->listeners, then the port for other nodes. */
static struct conf_listener listener_at(const struct conf *conf, uint32_t i)
{
    if (i < conf->listener_count)
        return conf->listeners[i];
    return (struct conf_listener){.address = conf->cluster.peer_listen,
                                  .place = conf->cluster.listen_place};
}

static const char *name_of(const struct conf_listener *l, char out[NAME_BYTES])
{
    if (!l->name)
        return "cluster.peer_listen";
    snprintf(out, NAME_BYTES, "listeners[%.64s]", l->name);
    return out;
}

/* All of them before the first is bound: a single address beside ":80" is bound together with
 * it, but a probe of it would fail then. */
static bool probe_all(const struct node_ports *old, const struct conf *conf, bool admin,
                      struct conf_faults *faults)
{
    char name[NAME_BYTES];
    bool good = true;
    for (uint32_t i = 0; i < count_of(conf); i++) {
        const struct conf_listener l = listener_at(conf, i);
        if (!find(old, &l.address) && !holds_port(old, l.address.port) &&
            io_listen_probe(&l.address, l.place, name_of(&l, name), faults) != ERR_OK)
            good = false;
    }
    if (admin && conf->admin.on &&
        io_listen_probe(&conf->admin.address, conf->admin.place, "admin", faults) != ERR_OK)
        good = false;
    return good;
}

static bool bind_one(struct node_port *p, const struct conf_listener *l, uint32_t workers,
                     struct conf_faults *faults)
{
    char name[NAME_BYTES];
    p->fds = must_alloc(workers * sizeof *p->fds);
    for (uint32_t w = 0; w < workers; w++)
        p->fds[w] = -1;
    for (uint32_t w = 0; w < workers; w++)
        if (io_listen_bind(&l->address, l->place, name_of(l, name), faults, &p->fds[w]) !=
            ERR_OK)
            return false;
    return true;
}

static bool bind_all(struct node_ports *p, const struct node_ports *old,
                     const struct conf *conf, struct conf_faults *faults)
{
    bool good = true;
    for (uint32_t i = 0; i < count_of(conf); i++) {
        const struct conf_listener l = listener_at(conf, i);
        const struct node_port *same = find(old, &l.address);
        struct node_port *port = &p->at[p->count++];
        *port = (struct node_port){.id = same ? same->id : p->next_id++, .address = l.address};
        good = (same || bind_one(port, &l, p->workers, faults)) && good;
    }
    return good;
}

struct node_ports *node_ports_open(const struct node_ports *old, const struct conf *conf,
                                   uint32_t workers, int *out_admin_fd,
                                   struct conf_faults *faults)
{
    int admin_fd = -1;
    if (!probe_all(old, conf, out_admin_fd != NULL, faults))
        return NULL;
    struct node_ports *p = must_alloc(sizeof *p);
    p->at = must_alloc((count_of(conf) + 1) * sizeof *p->at);
    p->workers = workers;
    p->next_id = old ? old->next_id : 1;
    bool good = bind_all(p, old, conf, faults);
    if (out_admin_fd && conf->admin.on &&
        io_listen_bind(&conf->admin.address, conf->admin.place, "admin", faults, &admin_fd) !=
            ERR_OK)
        good = false;
    if (!good) {
        if (admin_fd >= 0)
            close(admin_fd);
        node_ports_close(p);
        return NULL;
    }
    if (out_admin_fd)
        *out_admin_fd = admin_fd;
    return p;
}

int node_ports_take(struct node_ports *p, uint32_t listener, uint32_t worker)
{
    must(listener < p->count && worker < p->workers);
    int *fds = p->at[listener].fds;
    if (!fds)
        return -1;
    int fd = fds[worker];
    fds[worker] = -1;
    return fd;
}

void node_ports_close(struct node_ports *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; i < p->count; i++) {
        for (uint32_t w = 0; p->at[i].fds && w < p->workers; w++)
            if (p->at[i].fds[w] >= 0)
                close(p->at[i].fds[w]);
        free(p->at[i].fds);
    }
    free(p->at);
    free(p);
}
