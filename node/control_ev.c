#include "node/control_ev.h"

#include <ev.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "cache/cache.h"
#include "node/actions.h"
#include "node/crowd.h"
#include "node/desk.h"
#include "node/front/session.h"
#include "node/io/listen_ev.h"
#include "node/reload.h"
#include "node/worker_ev.h"

#define TICK_MS 100
#define TICK_STOPPING_MS 10
#define SECOND_MS 1000
#define ADMIN_CONNECTIONS 1024

struct control {
    struct node *node;
    ev_signal hangup, terminate, interrupt;
    struct io_timer tick;
    int64_t housekeeping_ms, second_ms; /* when each was done last */
    bool told_ready;
};

/* --- the end --- */

static void begin_announce(struct node *n)
{
    n->drain.serve_ms = n->setup->conf->limits.drain_ms;
    node_member_drain(n->member);
    front_session_drain(&n->front);
    for (uint32_t i = 0; i < n->workers_started; i++)
        node_worker_announce(n->workers[i]);
}

static void begin_finish(struct node *n)
{
    front_session_drain(&n->front); /* who came meanwhile */
    for (uint32_t i = 0; i < n->workers_started; i++)
        node_worker_finish(n->workers[i]);
}

static void begin_cut(struct node *n)
{
    io_listen_stop(n->admin_listener);
    n->admin_listener = NULL;
    node_desk_refuse(n);
    front_session_close_all(&n->front);
    for (uint32_t i = 0; i < n->workers_started; i++)
        node_worker_cut(n->workers[i]);
}

/* A thread hangs in something that does not come back, like a dead disk. What was promised is
 * synced, and the disk's formats bear the end of a process at any moment. */
static void give_up(struct node *n)
{
    log_line(LOG_ERROR, "stop_stuck", "workers_left=%u", n->workers_started - n->workers_ended);
    _exit(1);
}

static void see(const struct node *n, struct node_drain_seen *out)
{
    *out = (struct node_drain_seen){.now_ms = n->loop->now_ms,
                                    .asked = n->stop_asked,
                                    .hurry = n->stop_hurry,
                                    .idle = front_is_empty(&n->front),
                                    .ended = n->workers_ended == n->workers_started &&
                                             front_is_empty(&n->front)};
    for (uint32_t i = 0; i < n->workers_started; i++)
        out->idle = out->idle && node_worker_is_idle(n->workers[i]);
}

static void step(struct node *n)
{
    struct node_drain_seen seen;
    for (;;) {
        see(n, &seen);
        /* The goodbye comes last: until then others know that it is here, and drains. */
        if (n->drain.step == NODE_CUTTING && seen.ended)
            seen.ended = node_member_leave(n->member, seen.now_ms);
        enum node_drain_step next = node_drain_next(&n->drain, &seen);
        if (next == n->drain.step)
            return;
        if (next == NODE_ANNOUNCED)
            begin_announce(n);
        node_drain_go(&n->drain, next, n->loop->now_ms);
        log_line(LOG_INFO, "stop", "step=%s", node_drain_text(next));
        if (next == NODE_FINISHING)
            begin_finish(n);
        else if (next == NODE_CUTTING)
            begin_cut(n);
        else if (next == NODE_OVER)
            io_loop_stop(n->loop);
        else if (next == NODE_STUCK)
            give_up(n);
    }
}

/* --- signals --- */

static void on_hangup(struct ev_loop *ev, ev_signal *w, int revents)
{
    (void)ev, (void)revents;
    node_reload_begin(((struct control *)w->data)->node);
}

static void stop(struct control *c, bool hurry)
{
    struct node *n = c->node;
    n->stop_hurry = n->stop_hurry || hurry;
    n->stop_asked = true;
    step(n);
    io_timer_set(&c->tick, n->loop->now_ms + TICK_STOPPING_MS);
}

static void on_terminate(struct ev_loop *ev, ev_signal *w, int revents)
{
    (void)ev, (void)revents;
    struct control *c = w->data;
    stop(c, c->node->stop_asked);
}

static void on_interrupt(struct ev_loop *ev, ev_signal *w, int revents)
{
    (void)ev, (void)revents;
    stop(w->data, true);
}

static void watch(struct control *c, ev_signal *w, int number,
                  void (*heard)(struct ev_loop *ev, ev_signal *w, int revents))
{
    ev_signal_init(w, heard, number);
    w->data = c;
    ev_signal_start(c->node->loop->ev, w);
}

static void mask_signals(int how)
{
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGHUP);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    must(pthread_sigmask(how, &ours, NULL) == 0);
}

void node_control_hold_signals(void)
{
    mask_signals(SIG_BLOCK);
}

/* --- ticks --- */

static void tell_ready(struct control *c)
{
    struct node *n = c->node;
    const struct conf *conf = n->setup->conf;
    char admin[ADDR_TEXT_MAX] = "off";
    if (c->told_ready || !n->serving)
        return;
    c->told_ready = true;
    if (conf->admin.on)
        (void)addr_print(&conf->admin.address, true, admin);
    log_line(LOG_INFO, "ready", "node=%s pid=%d workers=%u listeners=%u admin=%s version=%s",
             conf->node.id, (int)getpid(), n->worker_count, conf->listener_count, admin,
             PERIGEE_VERSION);
}

static uint64_t cpu_used_us(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0)
        return 0;
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void tell_load(struct node *n, int64_t now_ms)
{
    struct admin_figures f = {0};
    if (!n->member)
        return;
    node_actions.figures(n, &f);
    uint64_t used_us = cpu_used_us();
    const struct node_load_seen seen = {
        .now_ms = now_ms,
        /* what the encoders use is what nobody else wants */
        .cpu_us = used_us > f.encoder_cpu_us ? used_us - f.encoder_cpu_us : 0,
        .cpus = n->worker_count,
        .connections = f.connections,
        .connections_max = n->setup->conf->limits.connections};
    node_member_tick(n->member, node_load_percent(&n->load, &seen), now_ms);
}

static void on_tick(struct io_timer *t)
{
    struct control *c = CONTAINER_OF(t, struct control, tick);
    struct node *n = c->node;
    int64_t now_ms = n->loop->now_ms;
    if (now_ms - c->housekeeping_ms >= TICK_MS) {
        c->housekeeping_ms = now_ms;
        node_purges_tick(n->purges,
                         n->loop->now_s); /* before the cache trusts the time again */
        node_crowd_tick(n);
        cache_tick(n->cache, now_ms, n->loop->now_s);
        admin_tick(n->admin, now_ms);
    }
    if (now_ms - c->second_ms >= SECOND_MS) {
        c->second_ms = now_ms;
        tell_load(n, now_ms);
    }
    step(n);
    bool waits = n->drain.step != NODE_SERVING || !c->told_ready;
    tell_ready(c);
    io_timer_set(t, now_ms + (waits ? TICK_STOPPING_MS : TICK_MS));
}

static void accepted(void *user, int fd, const struct addr *peer)
{
    struct node *n = user;
    front_session_accept(&n->front, fd, peer, NULL);
}

void node_control_run(struct node *n)
{
    struct control c = {.node = n};
    n->front.connections_max = ADMIN_CONNECTIONS;
    watch(&c, &c.hangup, SIGHUP, on_hangup);
    watch(&c, &c.terminate, SIGTERM, on_terminate);
    watch(&c, &c.interrupt, SIGINT, on_interrupt);
    mask_signals(SIG_UNBLOCK);
    io_timer_init(&c.tick, n->loop, on_tick);
    io_timer_set(&c.tick, n->loop->now_ms + TICK_STOPPING_MS);
    if (n->admin_fd >= 0)
        n->admin_listener = io_listen_start(n->loop, n->admin_fd, accepted, n);
    io_loop_run(n->loop);
    io_timer_stop(&c.tick);
    node_control_hold_signals();
    ev_signal_stop(n->loop->ev, &c.hangup);
    ev_signal_stop(n->loop->ev, &c.terminate);
    ev_signal_stop(n->loop->ev, &c.interrupt);
}
