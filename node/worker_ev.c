#include "node/worker_ev.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/crypto.h"
#include "base/log.h"
#include "node/front/session.h"
#include "node/io/listen_ev.h"

#define TICK_MS 1000
#define TICK_ENDING_MS 20

struct gate { /* a listening socket */
    struct gate *next;
    struct node_worker *worker;
    struct io_listener *listener;
    const struct setup_listener *setup; /* in the worker's setup */
    uint64_t port;
    int fd;
    bool wanted; /* by the setup that is being taken */
};

struct node_worker {
    struct node_worker_conf conf;
    struct front front;
    struct io_resolver *resolver;
    struct gate *gates;
    struct io_timer tick;
    bool announced, shut, cut; /* shut: listens no more */
    struct letter announce, finish, end, bye;
    atomic_uint connections;
    atomic_bool finished;
    pthread_t thread;
    bool started;
};

static void publish(struct node_worker *w)
{
    atomic_store_explicit(&w->connections, w->front.session_count, memory_order_release);
}

/* --- listening --- */

static void accepted(void *user, int fd, const struct addr *peer)
{
    struct gate *g = user;
    front_session_accept(&g->worker->front, fd, peer, g->setup);
}

static void open_gate(struct node_worker *w, const struct node_handover_gate *from,
                      const struct setup_listener *setup)
{
    struct gate *g = must_alloc(sizeof *g);
    *g = (struct gate){.next = w->gates,
                       .worker = w,
                       .setup = setup,
                       .port = from->port,
                       .fd = from->fd,
                       .wanted = true};
    w->gates = g;
    g->listener = io_listen_start(w->front.loop, g->fd, accepted, g);
}

/* Who is in the queue was told by the kernel that it is connected: served, not reset. */
static void empty_queue(struct gate *g)
{
    struct sockaddr_storage sa;
    struct addr peer;
    socklen_t len = sizeof sa;
    int fd;
    while ((fd = accept4(g->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC)) >=
           0) {
        if (addr_from_sockaddr((struct sockaddr *)&sa, &peer) != ERR_OK)
            peer = (struct addr){.family = ADDR_NONE};
        accepted(g, fd, &peer);
        len = sizeof sa;
    }
}

static void close_gates(struct node_worker *w, bool all)
{
    for (struct gate **link = &w->gates; *link;) {
        struct gate *g = *link;
        if (g->wanted && !all) {
            link = &g->next;
            continue;
        }
        *link = g->next;
        io_listen_stop(g->listener);
        empty_queue(g);
        close(g->fd);
        free(g);
    }
}

/* --- a setup --- */

static struct gate *find_gate(struct node_worker *w, uint64_t port)
{
    struct gate *g = w->gates;
    while (g && g->port != port)
        g = g->next;
    return g;
}

static void take_gates(struct node_worker *w, const struct node_handover *h)
{
    for (uint32_t i = 0; i < h->setup->listener_count; i++) {
        struct gate *g = find_gate(w, h->gates[i].port);
        if (g)
            g->setup = &h->setup->listeners[i];
        else if (!w->shut)
            open_gate(w, &h->gates[i], &h->setup->listeners[i]);
        else if (h->gates[i].fd >= 0)
            close(h->gates[i].fd);
    }
}

static void take_limits(struct io_links *links, const struct conf_limits *c)
{
    struct http_h1_limits limits = http_h1_limits_default;
    limits.tag_field_bytes = c->field_tags_bytes;
    io_links_limit(links, &limits);
}

static void take_log(struct front *f, struct front_log_sink *sink)
{
    if (sink && !f->log) {
        f->log = front_log_create(sink);
    } else if (!sink && f->log) {
        struct front_log *log = f->log;
        f->log = NULL;
        front_log_destroy(log);
    }
}

static void taken(struct letter *l)
{
    struct node_handover *h = CONTAINER_OF(l, struct node_handover, letter);
    h->taken(h);
}

static void take(struct letter *l)
{
    struct node_handover *h = CONTAINER_OF(l, struct node_handover, letter);
    struct node_worker *w = h->worker;
    struct setup *old = w->front.setup;
    /* Those that leave first, while their clients' setup is still the front's. */
    for (struct gate *g = w->gates; g; g = g->next) {
        g->wanted = false;
        for (uint32_t i = 0; i < h->setup->listener_count; i++)
            g->wanted = g->wanted || h->gates[i].port == g->port;
    }
    close_gates(w, false);
    w->front.setup = h->setup;
    w->front.connections_max = h->connections_max;
    take_log(&w->front, h->log);
    take_limits(w->front.links, &h->setup->conf->limits);
    if (old)
        io_links_drop_idle(w->front.links);
    take_gates(w, h);
    setup_drop(old);
    letter_post(w->conf.home, l, taken);
}

void node_worker_take(struct node_worker *w, struct node_handover *h)
{
    h->worker = w;
    letter_post(&w->front.loop->mailbox, &h->letter, take);
}

/* --- other nodes --- */

struct meeting {
    struct letter letter;
    struct node_worker *worker;
    struct origin_peers *peers;
    struct front_vector *vector;
};

static void meet(struct letter *l)
{
    struct meeting *m = CONTAINER_OF(l, struct meeting, letter);
    struct front *f = &m->worker->front;
    origin_peers_drop(f->peers);
    front_vector_drop(f->vector);
    f->peers = m->peers;
    f->vector = m->vector;
    free(m);
}

void node_worker_meet(struct node_worker *w, struct origin_peers *peers,
                      struct front_vector *vector)
{
    struct meeting *m = must_alloc(sizeof *m);
    *m = (struct meeting){.worker = w, .peers = origin_peers_hold(peers), .vector = vector};
    if (vector)
        snapshot_hold(&vector->snapshot);
    letter_post(&w->front.loop->mailbox, &m->letter, meet);
}

/* --- the end --- */

static void announce(struct letter *l)
{
    struct node_worker *w = CONTAINER_OF(l, struct node_worker, announce);
    w->announced = true;
    front_session_drain(&w->front);
    publish(w);
    io_timer_set(&w->tick, w->front.loop->now_ms + TICK_ENDING_MS);
}

static void finish(struct letter *l)
{
    struct node_worker *w = CONTAINER_OF(l, struct node_worker, finish);
    w->shut = true;
    close_gates(w, true); /* its last clients are new: they get a moment for their request */
    front_session_drain(&w->front);
    publish(w);
    atomic_store_explicit(&w->finished, true, memory_order_release);
}

static void say_bye(struct letter *l)
{
    struct node_worker *w = CONTAINER_OF(l, struct node_worker, bye);
    w->conf.ended(w->conf.user);
}

static void end_when_empty(struct node_worker *w)
{
    if (w->cut && front_is_empty(&w->front))
        io_loop_stop(w->front.loop);
}

static void cut(struct letter *l)
{
    struct node_worker *w = CONTAINER_OF(l, struct node_worker, end);
    w->announced = w->shut = w->cut = true;
    close_gates(w, true);
    front_session_close_all(&w->front);
    origin_fetch_cancel_all(&w->front.fetches);
    publish(w);
    io_timer_set(&w->tick, w->front.loop->now_ms + TICK_ENDING_MS);
    end_when_empty(w);
}

static void tick(struct io_timer *t)
{
    struct node_worker *w = CONTAINER_OF(t, struct node_worker, tick);
    int64_t every_ms = w->announced ? TICK_ENDING_MS : TICK_MS;
    front_log_flush(w->front.log);
    publish(w);
    end_when_empty(w);
    io_timer_set(t, w->front.loop->now_ms + every_ms);
}

void node_worker_announce(struct node_worker *w)
{
    letter_post(&w->front.loop->mailbox, &w->announce, announce);
}

void node_worker_finish(struct node_worker *w)
{
    letter_post(&w->front.loop->mailbox, &w->finish, finish);
}

void node_worker_cut(struct node_worker *w)
{
    letter_post(&w->front.loop->mailbox, &w->end, cut);
}

/* --- the thread --- */

struct node_worker *node_worker_create(const struct node_worker_conf *conf)
{
    struct node_worker *w = must_alloc(sizeof *w);
    w->conf = *conf;
    w->front.loop = io_loop_create();
    w->resolver = io_resolver_create(w->front.loop);
    w->front.links = io_links_create(w->front.loop, w->resolver);
    w->front.cache = conf->cache;
    w->front.desk = conf->desk;
    w->front.recent = conf->recent;
    w->front.request_id = crypto_random_u64();
    io_timer_init(&w->tick, w->front.loop, tick);
    return w;
}

static void *work(void *arg)
{
    struct node_worker *w = arg;
    char name[16];
    snprintf(name, sizeof name, "worker-%u", w->conf.index);
    (void)pthread_setname_np(pthread_self(), name);
    counter_thread_init();
    io_timer_set(&w->tick, w->front.loop->now_ms + TICK_MS);
    io_loop_run(w->front.loop);
    io_timer_stop(&w->tick);
    letter_post(w->conf.home, &w->bye, say_bye);
    return NULL;
}

enum err node_worker_start(struct node_worker *w)
{
    /* Signals are control's, but for those that a fault raises in the thread itself. */
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    sigset_t most, before;
    sigfillset(&most);
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        sigdelset(&most, own[i]);
    must(pthread_sigmask(SIG_SETMASK, &most, &before) == 0);
    int why = pthread_create(&w->thread, NULL, work, w);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    w->started = why == 0;
    if (why)
        log_line(LOG_ERROR, "worker_not_started", "why=\"%s\"", strerror(why));
    return why ? ERR_SYS : ERR_OK;
}

bool node_worker_is_idle(const struct node_worker *w)
{
    return atomic_load_explicit(&w->finished, memory_order_acquire) &&
           atomic_load_explicit(&w->connections, memory_order_acquire) == 0;
}

void node_worker_join(struct node_worker *w)
{
    if (!w)
        return;
    if (w->started)
        must(pthread_join(w->thread, NULL) == 0);
    w->started = false;
    front_log_destroy(w->front.log);
    w->front.log = NULL;
}

void node_worker_destroy(struct node_worker *w)
{
    if (!w)
        return;
    /* What readers that left were to get from disk. */
    (void)letter_open_all(&w->front.loop->mailbox);
    io_links_destroy(w->front.links);
    io_resolver_destroy(w->resolver);
    front_fini(&w->front);
    setup_drop(w->front.setup);
    io_loop_destroy(w->front.loop);
    free(w);
}
