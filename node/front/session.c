#include "node/front/session.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/log.h"
#include "node/front/session_h1.h"
#include "node/front/session_h2.h"

#define PEERS_MAX 1024u /* connections of other nodes beyond those that clients may have */

static bool is_of_node(const struct setup_listener *l)
{
    return l && l->is_peer;
}

/* ---- timers */

void front_session_wait(struct front_session *s, uint32_t wait_ms)
{
    io_timer_set(&s->timer, front_session_now_ms(s) + wait_ms);
}

void front_session_wait_at_most(struct front_session *s, uint32_t wait_ms)
{
    int64_t due_ms = front_session_now_ms(s) + wait_ms;
    if (s->timer.due_ms == 0 || due_ms < s->timer.due_ms)
        io_timer_set(&s->timer, due_ms);
}

enum front_taking front_session_taking(struct front_session *s)
{
    int64_t now_ms = front_session_now_ms(s);
    size_t waits_bytes = io_stream_backlog(s->stream);
    if (!io_stream_has_leftover(s->stream)) {
        s->untaken_bytes = 0;
        return FRONT_TAKEN;
    }
    if (waits_bytes < s->untaken_bytes || s->untaken_bytes == 0)
        s->taken_at_ms = now_ms;
    s->untaken_bytes = waits_bytes;
    uint32_t idle_ms = front_session_limits(s)->body_idle_ms;
    if (now_ms - s->taken_at_ms >= idle_ms)
        return FRONT_STALLED;
    front_session_wait_at_most(s, idle_ms);
    return FRONT_TAKING;
}

static void on_timer(struct io_timer *t)
{
    struct front_session *s = CONTAINER_OF(t, struct front_session, timer);
    if (s->protocol)
        s->protocol->timeout(s);
    else
        io_stream_abort(s->stream); /* a handshake that takes too long */
}

/* ---- the stream's core */

static void destroy(struct front_session *s)
{
    bool of_node = is_of_node(s->client.listener); /* in the setup */
    if (s->protocol)
        s->protocol->close(s);
    io_timer_stop(&s->timer);
    io_stream_destroy(s->stream);
    setup_drop(s->setup);
    if (s->next)
        s->next->prev = s->prev;
    *s->prev = s->next;
    s->front->session_count--;
    counter_add(of_node ? COUNTER_PEER_CONNECTIONS_CLOSED : COUNTER_CONNECTIONS_CLOSED, 1);
    free(s);
}

static void on_ready(void *core)
{
    struct front_session *s = core;
    const struct setup_listener *l = s->client.listener;
    bool h2 = io_stream_is_h2(s->stream);
    s->client.node = l && l->is_peer ? io_stream_peer_id(s->stream) : NULL;
    if (l && l->is_peer && !s->client.node) { /* cannot be: its TLS knows no other */
        io_stream_abort(s->stream);
        return;
    }
    if (!h2 && l && !l->conf->h1) { /* a client that names no protocol on a listener for h2 */
        io_stream_abort(s->stream);
        return;
    }
    s->client.tls_version = io_stream_tls_version(s->stream);
    s->protocol = h2 ? &front_session_h2 : &front_session_h1;
    s->protocol->open(s);
}

static size_t on_input(void *core, struct span bytes)
{
    struct front_session *s = core;
    return s->protocol->input(s, bytes);
}

static void on_input_end(void *core)
{
    struct front_session *s = core;
    s->protocol->input_end(s);
}

static size_t on_output(void *core, struct span *out, size_t max, char *scratch, size_t room)
{
    struct front_session *s = core;
    size_t count = s->protocol->output(s, out, max, scratch, room);
    if (count > 0) /* is only asked for when all before was taken */
        s->untaken_bytes = 0;
    return count;
}

static void on_closed(void *core, enum err why)
{
    (void)why;
    destroy(core);
}

static const struct io_stream_core core = {
    .ready = on_ready,
    .input = on_input,
    .input_end = on_input_end,
    .output = on_output,
    .closed = on_closed,
};

/* ---- for the loop's owner */

static void refuse(struct front *f, int fd, const struct addr *peer,
                   const struct setup_listener *listener)
{
    static struct log_limit limit;
    char text[ADDR_TEXT_MAX];
    close(fd);
    counter_add(is_of_node(listener) ? COUNTER_PEER_CONNECTIONS_REFUSED
                                     : COUNTER_CONNECTIONS_REFUSED,
                1);
    log_limited(&limit, 6, LOG_WARN, "connection_refused", "client=%s open=%u",
                addr_print(peer, false, text), f->session_count);
}

static struct io_tls_context *tls_of(const struct front *f,
                                     const struct setup_listener *listener)
{
    return listener ? listener->tls : f->setup->admin_tls;
}

void front_session_accept(struct front *f, int fd, const struct addr *peer,
                          const struct setup_listener *listener)
{
    /* However many clients there are, other nodes' purges get in. */
    uint32_t max = f->connections_max + (is_of_node(listener) ? PEERS_MAX : 0);
    if (f->session_count >= max) {
        refuse(f, fd, peer, listener);
        return;
    }
    struct io_tls_context *tls = tls_of(f, listener);
    struct front_session *s = must_alloc(sizeof(*s));
    s->stream = io_stream_accept(f->loop, fd, tls, &core, s);
    if (!s->stream) {
        free(s);
        counter_add(COUNTER_CONNECTIONS_REFUSED, 1);
        return;
    }
    counter_add(is_of_node(listener) ? COUNTER_PEER_CONNECTIONS : COUNTER_CONNECTIONS, 1);
    s->front = f;
    s->setup = setup_hold(f->setup);
    s->client = (struct front_client){.peer = *peer,
                                      .tls = tls != NULL,
                                      .admin = !listener,
                                      .tls_version = "",
                                      .listener = listener};
    s->accepted_at_ms = front_session_now_ms(s);
    s->next = f->sessions;
    s->prev = &f->sessions;
    if (s->next)
        s->next->prev = &s->next;
    f->sessions = s;
    f->session_count++;
    io_timer_init(&s->timer, f->loop, on_timer);
    front_session_wait(s, front_session_limits(s)->header_ms);
}

void front_session_drain(struct front *f)
{
    f->draining = true;
    for (struct front_session *s = f->sessions; s; s = s->next)
        if (s->protocol) /* a handshake is followed by a request, and that by the end */
            s->protocol->drain(s);
}

void front_session_close_all(struct front *f)
{
    while (f->sessions)
        destroy(f->sessions);
}
