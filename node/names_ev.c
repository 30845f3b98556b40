#include "node/names_ev.h"

#include <stdlib.h>

#include "node/io/loop_ev.h"
#include "node/io/resolve_ev.h"

struct checking;
struct name {
    struct io_resolve_wait wait;
    struct checking *checking;
    const char *host;
    struct conf_place place;
    bool answered, good;
};
struct checking {
    struct io_loop *loop;
    struct io_timer late;
    uint32_t waiting;
};

static void resolved(struct io_resolve_wait *w, enum err e, const struct addr *addrs,
                     unsigned count)
{
    struct name *n = CONTAINER_OF(w, struct name, wait);
    (void)addrs;
    n->answered = true;
    n->good = e == ERR_OK && count > 0;
    if (--n->checking->waiting == 0)
        io_loop_stop(n->checking->loop);
}

static void too_late(struct io_timer *t)
{
    io_loop_stop(CONTAINER_OF(t, struct checking, late)->loop);
}

static struct name *list_names(const struct conf *conf, struct checking *c, uint32_t *out_count)
{
    uint32_t count = conf->cluster.join_count;
    for (uint32_t i = 0; i < conf->origin_count; i++)
        count += conf->origins[i].server_count;
    struct name *list = must_alloc((count + 1) * sizeof *list), *at = list;
    for (uint32_t i = 0; i < conf->origin_count; i++)
        for (uint32_t k = 0; k < conf->origins[i].server_count; k++) {
            const struct conf_origin_server *s = &conf->origins[i].servers[k];
            *at++ = (struct name){.checking = c, .host = s->host, .place = s->place};
        }
    for (uint32_t i = 0; i < conf->cluster.join_count; i++)
        *at++ = (struct name){.checking = c,
                              .host = conf->cluster.join[i].host,
                              .place = conf->cluster.join_place};
    *out_count = count;
    return list;
}

void node_names_check(const struct conf *conf, struct conf_faults *faults)
{
    struct checking c = {.loop = io_loop_create()};
    struct io_resolver *resolver = io_resolver_create(c.loop);
    uint32_t count;
    struct name *list = list_names(conf, &c, &count);
    c.waiting = count + 1; /* one is ours until all are asked */
    for (uint32_t i = 0; i < count; i++)
        (void)io_resolve(resolver, span_text(list[i].host), &list[i].wait, resolved);
    if (--c.waiting > 0) {
        io_timer_init(&c.late, c.loop, too_late);
        io_timer_set(&c.late, c.loop->now_ms + NODE_NAMES_WAIT_MS);
        io_loop_run(c.loop);
        io_timer_stop(&c.late);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!list[i].answered)
            io_resolve_cancel(&list[i].wait);
        if (!list[i].good)
            conf_fault_warn(faults, list[i].place, "\"%s\" does not resolve", list[i].host);
    }
    free(list);
    io_resolver_destroy(resolver);
    io_loop_destroy(c.loop);
}
