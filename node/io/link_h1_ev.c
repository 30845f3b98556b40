#include <stdlib.h>

#include "base/counter.h"
#include "node/io/kept.h"
#include "node/io/link_core.h"
#include "node/io/stream_ev.h"

#define ADDRESSES_MAX 16
#define ARENA_BYTES (1024 * 1024) /* an answer's heads and trailers: 32 KiB, and tag fields */
#define AGE_MAX_MS 600000         /* then a name's new addresses get their turn */

/* One connection, kept over requests; of a link until that has its answer.
 *
 * (no stream: the link resolves) > connecting > ready > kept > ready ... ; dead from anywhere:
 * its stream is aborted and nothing it says counts. */
struct io_link_h1 {
    struct io_link_h1 *next, **prev;
    struct io_links *links;
    struct link *link; /* NULL: kept or dead */
    struct io_stream *stream;
    struct io_tls_context *tls;
    struct http_h1 *h1;
    struct io_kept_item kept;
    struct io_timer timer;         /* the link's deadline, or the end of being kept */
    struct buf head;               /* heads and trailers to send */
    struct buf body;               /* request body to send */
    size_t head_given, body_given; /* by the last output call */
    char prefix[HTTP_H1_PREFIX_MAX];
    int64_t ready_at_ms;
    bool ready, reused, dead;
    struct io_link_key key;
};

struct link {
    struct io_link base;
    struct io_link_h1 *connection;
    const struct io_link_functions *functions;
    void *user;
    struct arena arena;
    struct io_resolve_wait wait;
    struct io_task task; /* tells a failure that io_link_start found */
    enum io_link_failure failure;
    struct addr addrs[ADDRESSES_MAX];
    unsigned addr_count, addr_next;
    uint16_t port;
    uint32_t connect_ms, first_byte_ms, idle_ms, keepalive_ms;
    int64_t connect_until_ms; /* of all attempts; 0: no limit */
    struct http_fields trailers;
    bool has_trailers;
    bool resolving;
    bool sent;       /* the head has left */
    bool body_over;  /* io_link_body_end was called, or there is no body */
    bool body_ended; /* and all of it was given to the stream */
    bool body_short; /* than declared: the connection must be cut */
    bool body_dropped, body_wanted;
    bool answered, final; /* a byte of the answer, its final head */
    bool heard;           /* the input that runs had a head */
    bool paused;
};

static const struct io_stream_core core;
static void connect_next(struct link *l, enum io_link_failure why);

/* ---- connections */

static void connection_destroy(struct io_link_h1 *c)
{
    must(!c->link);
    io_timer_stop(&c->timer);
    io_kept_remove(&c->kept);
    io_stream_destroy(c->stream);
    io_tls_context_drop(c->tls);
    http_h1_destroy(c->h1);
    buf_fini(&c->head);
    buf_fini(&c->body);
    if (c->next)
        c->next->prev = c->prev;
    *c->prev = c->next;
    free(c);
}

/* No more of it: from inside its callbacks, too. */
static void connection_close(struct io_link_h1 *c)
{
    c->link = NULL;
    c->dead = true;
    io_kept_remove(&c->kept);
    io_timer_stop(&c->timer);
    if (c->stream)
        io_stream_abort(c->stream); /* on_closed destroys it */
    else
        connection_destroy(c);
}

static struct io_link_h1 *connection_create(struct io_links *p, const struct io_link_key *key,
                                            struct io_tls_context *tls)
{
    struct io_link_h1 *c = must_alloc(sizeof(*c));
    c->links = p;
    c->h1 = http_h1_create(HTTP_CLIENT, &p->limits);
    c->tls = tls ? io_tls_context_hold(tls) : NULL;
    buf_init(&c->body, IO_LINK_BODY_BYTES);
    buf_init(&c->head, 0);
    c->key = *key;
    c->prev = &p->h1;
    c->next = p->h1;
    if (c->next)
        c->next->prev = &c->next;
    p->h1 = c;
    return c;
}

/* What the last output gave has left the queues of this connection. */
static void settle(struct io_link_h1 *c)
{
    buf_consume(&c->head, c->head_given);
    buf_consume(&c->body, c->body_given);
    c->head_given = c->body_given = 0;
}

/* ---- deadlines */

static void set_deadline(struct link *l, uint32_t wait_ms)
{
    struct io_link_h1 *c = l->connection;
    io_timer_set(&c->timer, wait_ms ? c->links->loop->now_ms + wait_ms : 0);
}

/* After something moved. */
static void rearm(struct link *l)
{
    bool ours = !l->body_over && buf_len(&l->connection->body) == 0; /* the caller's turn */
    if (l->paused || (ours && !l->final))
        set_deadline(l, 0);
    else
        set_deadline(l, l->final ? l->idle_ms : l->first_byte_ms);
}

static void rearm_if_ready(struct link *l)
{
    if (l->connection->ready)
        rearm(l);
}

/* ---- endings */

/* The connection is kept, closed or dead by now. */
static void link_end(struct link *l, enum io_link_failure why, bool reused,
                     const struct http_fields *trailers)
{
    io_resolve_cancel(&l->wait);
    io_task_cancel(&l->task);
    l->functions->ended(l->user, why, reused, l->answered, trailers);
    arena_fini(&l->arena);
    free(l);
}

static void link_fail(struct link *l, enum io_link_failure why)
{
    struct io_link_h1 *c = l->connection;
    bool reused = c->reused;
    connection_close(c);
    link_end(l, why, reused, NULL);
}

static bool may_keep(const struct io_link_h1 *c, const struct link *l)
{
    return l->keepalive_ms > 0 && l->body_ended && buf_len(&c->head) == 0 &&
           c->links->loop->now_ms - c->ready_at_ms < AGE_MAX_MS && http_h1_reusable(c->h1);
}

static void link_complete(struct link *l, const struct http_fields *trailers)
{
    struct io_link_h1 *c = l->connection;
    bool reused = c->reused;
    settle(c);
    if (!may_keep(c, l)) {
        connection_close(c);
    } else {
        c->link = NULL;
        if (l->paused)
            io_stream_resume(c->stream); /* to see what comes while it is kept */
        buf_release(&c->head);
        buf_release(&c->body);
        io_timer_set(&c->timer, c->links->loop->now_ms + l->keepalive_ms);
        struct io_kept_item *gone =
            io_kept_put(c->links->kept, io_link_key_span(&c->key), &c->kept);
        if (gone)
            connection_close(CONTAINER_OF(gone, struct io_link_h1, kept));
    }
    link_end(l, IO_LINK_OK, reused, trailers);
}

static void cancel(struct io_link *link)
{
    struct link *l = CONTAINER_OF(link, struct link, base);
    io_resolve_cancel(&l->wait);
    io_task_cancel(&l->task);
    connection_close(l->connection);
    arena_fini(&l->arena);
    free(l);
}

static void on_timer(struct io_timer *t)
{
    struct io_link_h1 *c = CONTAINER_OF(t, struct io_link_h1, timer);
    struct link *l = c->link;
    if (!l)
        connection_close(c); /* kept for long enough */
    else if (l->resolving)
        link_fail(l, IO_LINK_DNS);
    else if (!c->ready)
        connect_next(l, IO_LINK_CONNECT_TIMEOUT);
    else
        link_fail(l, l->final ? IO_LINK_IDLE_TIMEOUT : IO_LINK_FIRST_BYTE_TIMEOUT);
}

/* ---- the stream's core */

static void on_ready(void *core_)
{
    struct io_link_h1 *c = core_;
    if (c->dead)
        return;
    c->ready = true;
    c->ready_at_ms = c->links->loop->now_ms;
    counter_add(COUNTER_ORIGIN_CONNECTIONS, 1);
    if (c->link->paused)
        io_stream_pause(c->stream);
    rearm(c->link);
}

static size_t put_head(struct io_link_h1 *c, struct link *l, struct span *out, size_t room)
{
    *out = buf_span(&c->head);
    out->len = out->len < room ? out->len : room;
    c->head_given = out->len;
    rearm(l);
    return out->len;
}

/* Gives body of the queue with its frame. */
static size_t put_body(struct io_link_h1 *c, struct span *out, size_t room)
{
    size_t count = 0, bytes = buf_len(&c->body);
    if (bytes + 2 * HTTP_H1_PREFIX_MAX > room)
        bytes = room - 2 * HTTP_H1_PREFIX_MAX;
    if (bytes > 0) {
        size_t prefix = http_h1_body_prefix(c->h1, bytes, c->prefix);
        if (prefix > 0)
            out[count++] = span_of(c->prefix, prefix);
        out[count++] = span_until(buf_span(&c->body), bytes);
        c->body_given = bytes;
    }
    return count;
}

/* Ends the message when all of its body is given. `lent`: the head's queue is with the stream,
 * so that nothing may be added to it before the next call. */
static size_t put_end(struct io_link_h1 *c, struct link *l, bool lent, struct span *out,
                      size_t room)
{
    if (c->body_given < buf_len(&c->body) || !l->body_over || l->body_ended)
        return 0;
    if (lent && http_h1_body_left(c->h1) == HTTP_LENGTH_UNKNOWN)
        return 0;
    l->body_ended = true;
    l->body_short =
        http_h1_body_end(c->h1, l->has_trailers ? &l->trailers : NULL, &c->head) != ERR_OK;
    if (lent || buf_len(&c->head) == 0)
        return 0;
    (void)put_head(c, l, out, room);
    return 1;
}

static size_t on_output(void *core_, struct span *out, size_t max, char *scratch, size_t room)
{
    struct io_link_h1 *c = core_;
    struct link *l = c->link;
    size_t count = 0;
    (void)scratch;
    must(max >= 4);
    if (!l || !c->ready)
        return 0;
    settle(c);
    if (!l->sent) {
        l->sent = true;
        l->functions->sending(l->user);
        if (c->link != l)
            return 0;
    }
    if (buf_len(&c->head) > 0) /* the request's, or what ends its body */
        room -= put_head(c, l, &out[count++], room);
    if (c->head_given < buf_len(&c->head) || l->body_ended || l->body_dropped)
        return count;
    if (l->body_wanted && buf_len(&c->body) <= IO_LINK_BODY_BYTES / 2) {
        l->body_wanted = false;
        l->functions->body_room(l->user);
        if (c->link != l)
            return 0;
    }
    bool lent = count > 0;
    if (room >= 4 * HTTP_H1_PREFIX_MAX) {
        count += put_body(c, out + count, room);
        room -= c->body_given + HTTP_H1_PREFIX_MAX;
        count += put_end(c, l, lent, out + count, room);
    }
    if (l->body_short) {
        link_fail(l, IO_LINK_CUT);
        return 0;
    }
    if (c->body_given > 0)
        rearm(l);
    return count;
}

/* False: the link is gone. */
static bool on_response(struct io_link_h1 *c, struct link *l, struct http_h1_event *e)
{
    l->heard = true;
    if (e->response.status >= 200)
        l->final = true;
    if (e->response.status >= 300 && !l->body_ended) {
        l->body_dropped = true; /* RFC 9112 9.5: who refuses the body need not get it */
        settle(c);
        buf_release(&c->body);
    }
    l->functions->response(l->user, &e->response, &l->arena);
    return c->link == l;
}

static bool on_body(struct io_link_h1 *c, struct link *l, struct span bytes)
{
    l->functions->body(l->user, bytes);
    return c->link == l;
}

/* Takes what h1 has; false: the link is gone. Stops while paused, if bytes are left that can
 * wait. */
static bool drain_h1(struct io_link_h1 *c, struct link *l)
{
    struct http_h1_event e;
    for (;;) {
        if (l->paused && http_h1_unused(c->h1) > 0)
            return true;
        switch (http_h1_next(c->h1, &l->arena, &e)) {
        case HTTP_H1_MORE:
            return true;
        case HTTP_H1_RESPONSE:
            if (!on_response(c, l, &e))
                return false;
            break;
        case HTTP_H1_BODY:
            if (!on_body(c, l, e.body))
                return false;
            break;
        case HTTP_H1_END:
            link_complete(l, e.trailers.count > 0 ? &e.trailers : NULL);
            return false;
        case HTTP_H1_REQUEST:
        case HTTP_H1_FAULT:
            link_fail(l, IO_LINK_PROTOCOL);
            return false;
        }
    }
}

static size_t on_input(void *core_, struct span bytes)
{
    struct io_link_h1 *c = core_;
    struct link *l = c->link;
    if (!l) {
        connection_close(c); /* nobody asked */
        return bytes.len;
    }
    if (!l->sent) {
        link_fail(l, IO_LINK_PROTOCOL); /* an answer before the question */
        return bytes.len;
    }
    l->answered = true;
    l->heard = false;
    http_h1_feed(c->h1, bytes);
    bool open = drain_h1(c, l);
    size_t left = http_h1_unused(c->h1);
    http_h1_drop_feed(c->h1);
    if (!open)
        return bytes.len;
    if (l->final || l->heard) /* a part of a head buys no time */
        rearm(l);
    if (left > 0)
        io_stream_pause(c->stream);
    return bytes.len - left;
}

static void on_input_end(void *core_)
{
    struct io_link_h1 *c = core_;
    struct link *l = c->link;
    struct http_h1_event e;
    if (!l) {
        connection_close(c);
        return;
    }
    if (http_h1_eof(c->h1, &e) == HTTP_H1_END)
        link_complete(l, NULL);
    else
        link_fail(l, l->final ? IO_LINK_CUT : IO_LINK_CLOSED);
}

static void on_closed(void *core_, enum err why)
{
    struct io_link_h1 *c = core_;
    struct link *l = c->link;
    io_stream_destroy(c->stream);
    c->stream = NULL;
    if (!l) {
        c->dead = true;
        connection_destroy(c);
        return;
    }
    if (c->ready)
        link_fail(l, l->final ? IO_LINK_CUT : IO_LINK_CLOSED);
    else if (why == ERR_TIMEOUT)
        connect_next(l, IO_LINK_CONNECT_TIMEOUT);
    else if (why == ERR_LIB || (why == ERR_CLOSED && c->tls))
        link_fail(l, IO_LINK_TLS);
    else
        connect_next(l, IO_LINK_CONNECT);
}

static const struct io_stream_core core = {
    .ready = on_ready,
    .input = on_input,
    .input_end = on_input_end,
    .output = on_output,
    .closed = on_closed,
};

/* ---- names and addresses */

static void tell_failure(struct io_task *t)
{
    struct link *l = CONTAINER_OF(t, struct link, task);
    link_fail(l, l->failure);
}

/* From the loop: also io_link_start comes through here. */
static void fail_soon(struct link *l, enum io_link_failure why)
{
    l->failure = why;
    io_loop_soon(l->connection->links->loop, &l->task, tell_failure);
}

/* The next address, or the end with what the last one failed of. */
static void connect_next(struct link *l, enum io_link_failure why)
{
    struct io_link_h1 *c = l->connection;
    struct io_loop *loop = c->links->loop;
    io_stream_destroy(c->stream);
    c->stream = NULL;
    while (l->addr_next < l->addr_count) {
        int64_t left_ms = l->connect_until_ms - loop->now_ms;
        if (l->connect_until_ms && left_ms <= 0)
            break;
        struct addr to = l->addrs[l->addr_next++];
        to.port = l->port;
        c->stream =
            io_stream_connect(loop, &to, c->tls, c->tls ? c->key.server_name : NULL, &core, c);
        if (!c->stream)
            continue;
        if (l->connect_until_ms)
            io_timer_set(&c->timer, l->addr_next < l->addr_count ? loop->now_ms + left_ms / 2
                                                                 : l->connect_until_ms);
        return;
    }
    fail_soon(l, why);
}

static void on_resolved(struct io_resolve_wait *w, enum err e, const struct addr *addrs,
                        unsigned count)
{
    struct link *l = CONTAINER_OF(w, struct link, wait);
    struct io_link_h1 *c = l->connection;
    l->resolving = false;
    io_timer_set(&c->timer, 0);
    if (e != ERR_OK) {
        fail_soon(l, IO_LINK_DNS);
        return;
    }
    l->addr_count = count < ADDRESSES_MAX ? count : ADDRESSES_MAX;
    memcpy(l->addrs, addrs, l->addr_count * sizeof(*addrs));
    if (l->connect_ms)
        l->connect_until_ms = c->links->loop->now_ms + l->connect_ms;
    connect_next(l, IO_LINK_CONNECT);
}

/* ---- the request's body */

static size_t give_body(struct io_link *link, struct span bytes)
{
    struct link *l = CONTAINER_OF(link, struct link, base);
    struct io_link_h1 *c = l->connection;
    must(!l->body_over);
    if (l->body_dropped)
        return bytes.len;
    settle(c);
    size_t room = IO_LINK_BODY_BYTES - buf_len(&c->body);
    size_t n = bytes.len < room ? bytes.len : room;
    if (n > 0 && buf_append(&c->body, span_until(bytes, n)) != ERR_OK)
        n = 0;
    l->body_wanted = n < bytes.len;
    if (c->ready)
        io_stream_kick(c->stream);
    return n;
}

static void end_body(struct io_link *link, const struct http_fields *trailers)
{
    struct link *l = CONTAINER_OF(link, struct link, base);
    struct io_link_h1 *c = l->connection;
    struct span name, value;
    must(!l->body_over);
    l->body_over = true;
    for (uint32_t i = 0; trailers && i < trailers->count; i++)
        if (arena_copy(&l->arena, trailers->at[i].name, &name) &&
            arena_copy(&l->arena, trailers->at[i].value, &value) &&
            http_fields_add(&l->trailers, &l->arena, name, value))
            l->has_trailers = true;
    if (c->ready && !l->body_dropped)
        io_stream_kick(c->stream);
}

static void pause_link(struct io_link *link)
{
    struct link *l = CONTAINER_OF(link, struct link, base);
    l->paused = true;
    if (l->connection->ready)
        io_stream_pause(l->connection->stream);
    rearm_if_ready(l);
}

static void resume_link(struct io_link *link)
{
    struct link *l = CONTAINER_OF(link, struct link, base);
    if (!l->paused)
        return;
    l->paused = false;
    if (l->connection->ready)
        io_stream_resume(l->connection->stream);
    rearm_if_ready(l);
}

static const struct io_link_protocol protocol = {
    .body = give_body,
    .body_end = end_body,
    .pause = pause_link,
    .resume = resume_link,
    .cancel = cancel,
};

/* ---- starting */

static struct io_link_h1 *take_kept(struct io_links *p, struct span key)
{
    struct io_kept_item *item = io_kept_take(p->kept, key);
    if (!item)
        return NULL;
    struct io_link_h1 *c = CONTAINER_OF(item, struct io_link_h1, kept);
    c->reused = true;
    return c;
}

struct io_link *io_link_h1_start(struct io_links *p, const struct io_link_key *key,
                                 const struct io_link_target *target,
                                 const struct http_request *request,
                                 const struct io_link_functions *functions, void *user)
{
    struct io_link_h1 *c = target->fresh ? NULL : take_kept(p, io_link_key_span(key));
    if (!c) {
        c = connection_create(p, key, target->tls);
        io_timer_init(&c->timer, p->loop, on_timer);
    }
    if (http_h1_write_request(c->h1, request, target->keepalive_ms == 0, &c->head) != ERR_OK) {
        connection_close(c);
        return NULL;
    }
    struct link *l = must_alloc(sizeof(*l));
    l->base.protocol = &protocol;
    l->connection = c;
    l->functions = functions;
    l->user = user;
    l->port = target->port;
    l->connect_ms = target->connect_ms;
    l->first_byte_ms = target->first_byte_ms;
    l->idle_ms = target->idle_ms;
    l->keepalive_ms = target->keepalive_ms;
    arena_init(&l->arena, ARENA_BYTES);
    if (request->body_bytes == 0) {
        l->body_over = l->body_ended = true;
        must(http_h1_body_end(c->h1, NULL, &c->head) == ERR_OK);
    }
    c->link = l;
    if (c->reused) {
        rearm(l);
        io_stream_kick(c->stream);
        return &l->base;
    }
    l->resolving = true;
    set_deadline(l, l->connect_ms);
    io_resolve(p->resolver, target->host, &l->wait, on_resolved);
    return &l->base;
}

/* ---- all connections */

void io_link_h1_drop_idle(struct io_links *p)
{
    struct io_kept_item *item;
    while ((item = io_kept_any(p->kept)))
        connection_close(CONTAINER_OF(item, struct io_link_h1, kept));
}

void io_link_h1_destroy(struct io_links *p)
{
    while (p->h1)
        connection_destroy(p->h1);
}
