#include "node/cluster_stream_ev.h"

#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"

struct node_cluster_stream {
    struct node_cluster_stream *next;
    struct node_cluster_streams *all;
    int fd;
    struct addr peer; /* that connected; no family: we did */
    size_t bytes;     /* read */
    uint32_t number;  /* 0: the core has let go, or been told that it is over */
    bool writable;    /* so far as known; false while it connects */
    int64_t linger_ms;
    struct buf rest; /* what the socket has not taken */
    ev_io in, out;
};

static void end(struct node_cluster_stream *s)
{
    struct node_cluster_stream **link = &s->all->first;
    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    s->all->count--;
    s->all->bytes -= s->bytes;
    ev_io_stop(s->all->loop->ev, &s->in);
    ev_io_stop(s->all->loop->ev, &s->out);
    close(s->fd);
    buf_fini(&s->rest);
    free(s);
}

/* It is over, not by the core's word. */
static void fail(struct node_cluster_stream *s)
{
    struct cluster *core = s->all->core;
    uint32_t number = s->number;
    end(s);
    if (number)
        cluster_stream_closed(core, number, io_loop_us());
}

/* False: it is gone. */
static bool flush(struct node_cluster_stream *s)
{
    while (s->writable && buf_len(&s->rest)) {
        struct span bytes = buf_span(&s->rest);
        ssize_t sent = send(s->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (sent >= 0) {
            buf_consume(&s->rest, (size_t)sent);
        } else if (errno == EAGAIN) {
            s->writable = false;
        } else if (errno != EINTR) {
            fail(s);
            return false;
        }
    }
    if (!buf_len(&s->rest) && s->linger_ms) {
        end(s);
        return false;
    }
    if (s->writable)
        ev_io_stop(s->all->loop->ev, &s->out);
    else
        ev_io_start(s->all->loop->ev, &s->out);
    return true;
}

static void on_writable(struct ev_loop *ev, ev_io *w, int revents)
{
    (void)ev, (void)revents;
    struct node_cluster_stream *s = w->data;
    struct node_cluster_streams *all = s->all;
    s->writable = true; /* a connection that was refused says so to send */
    if (!flush(s))
        all->told(all->user);
}

/* What is read may have to be kept until it is whole, and only then shows whether it has a key.
 */
static void count_bytes(struct node_cluster_stream *s, size_t bytes)
{
    struct node_cluster_stream *most = s;
    s->bytes += bytes;
    s->all->bytes += bytes;
    if (s->all->bytes <= NODE_CLUSTER_STREAM_BYTES)
        return;
    for (struct node_cluster_stream *o = s->all->first; o; o = o->next)
        if (o->bytes > most->bytes)
            most = o;
    fail(most);
}

static void on_readable(struct ev_loop *ev, ev_io *w, int revents)
{
    (void)ev, (void)revents;
    struct node_cluster_stream *s = w->data;
    struct node_cluster_streams *all = s->all;
    char *room = all->loop->input;
    ssize_t got = recv(s->fd, room, IO_INPUT_BYTES, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        fail(s);
    } else {
        if (s->number)
            cluster_stream_bytes(all->core, s->number, span_of(room, (size_t)got),
                                 io_loop_us());
        count_bytes(s, (size_t)got);
    }
    all->told(all->user);
}

static struct node_cluster_stream *add(struct node_cluster_streams *all, int fd)
{
    int on = 1;
    struct node_cluster_stream *s = must_alloc(sizeof *s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    s->all = all;
    s->fd = fd;
    s->next = all->first;
    all->first = s;
    all->count++;
    buf_init(&s->rest, 0);
    ev_io_init(&s->in, on_readable, fd, EV_READ);
    ev_io_init(&s->out, on_writable, fd, EV_WRITE);
    s->in.data = s->out.data = s;
    return s;
}

static bool is_from(const struct node_cluster_stream *s, const struct addr *peer)
{
    return s->peer.family == peer->family && memcmp(s->peer.ip, peer->ip, sizeof peer->ip) == 0;
}

static bool has_too_many(const struct node_cluster_streams *all, const struct addr *peer)
{
    unsigned same = 0;
    for (const struct node_cluster_stream *s = all->first; s; s = s->next)
        same += is_from(s, peer);
    return same >= NODE_CLUSTER_STREAMS_PEER;
}

/* Of those that the core has let go of: who takes longest to read the rest. */
static struct node_cluster_stream *slowest(const struct node_cluster_streams *all)
{
    struct node_cluster_stream *found = NULL;
    for (struct node_cluster_stream *s = all->first; s; s = s->next)
        if (s->linger_ms && (!found || s->linger_ms <= found->linger_ms)) /* newest first */
            found = s;
    return found;
}

static size_t unsent(const struct node_cluster_streams *all)
{
    size_t bytes = 0;
    for (const struct node_cluster_stream *s = all->first; s; s = s->next)
        bytes += buf_len(&s->rest);
    return bytes;
}

/* For so many streams and bytes to write more; the slowest are cut for them. */
static bool make_room(struct node_cluster_streams *all, unsigned streams, size_t bytes)
{
    while (all->count + streams > NODE_CLUSTER_STREAMS ||
           unsent(all) + bytes > NODE_CLUSTER_STREAM_BYTES) {
        struct node_cluster_stream *s = slowest(all);
        if (!s)
            return false;
        end(s);
    }
    return true;
}

void node_cluster_stream_accept(struct node_cluster_streams *all, int fd,
                                const struct addr *peer)
{
    uint32_t number = 0;
    if (!has_too_many(all, peer) && make_room(all, 1, 0))
        number = cluster_stream_accept(all->core, io_loop_us());
    if (!number) {
        close(fd);
        return;
    }
    struct node_cluster_stream *s = add(all, fd);
    s->peer = *peer;
    s->number = number;
    s->writable = true;
    ev_io_start(all->loop->ev, &s->in);
    all->told(all->user);
}

/* -1: it cannot even begin. */
static int begin_connect(const struct addr *to)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(to, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, len) != 0 && errno != EINPROGRESS) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void open_stream(struct node_cluster_streams *all, const struct cluster_swim_output *o)
{
    int fd = make_room(all, 1, o->bytes.len) ? begin_connect(&o->to) : -1;
    if (fd < 0) {
        cluster_stream_closed(all->core, o->stream, io_loop_us());
        return;
    }
    struct node_cluster_stream *s = add(all, fd);
    s->number = o->stream;
    must(buf_append(&s->rest, o->bytes) == ERR_OK);
    ev_io_start(all->loop->ev, &s->in);
    ev_io_start(all->loop->ev, &s->out);
}

static struct node_cluster_stream *find(struct node_cluster_streams *all, uint32_t number)
{
    struct node_cluster_stream *s = all->first;
    while (s && s->number != number)
        s = s->next;
    return s;
}

void node_cluster_stream_do(struct node_cluster_streams *all,
                            const struct cluster_swim_output *o)
{
    if (o->what == CLUSTER_SWIM_STREAM_OPEN) {
        open_stream(all, o);
        return;
    }
    struct node_cluster_stream *s = find(all, o->stream);
    if (!s)
        return; /* the core was told already */
    if (o->what == CLUSTER_SWIM_STREAM_WRITE) {
        if (!make_room(all, 0, o->bytes.len)) {
            fail(s);
            return;
        }
        must(buf_append(&s->rest, o->bytes) == ERR_OK);
    } else {
        s->number = 0;
        s->linger_ms = all->loop->now_ms + NODE_CLUSTER_LINGER_MS;
    }
    (void)flush(s);
}

void node_cluster_streams_init(struct node_cluster_streams *all, struct io_loop *loop,
                               struct cluster *core, void (*told)(void *user), void *user)
{
    *all =
        (struct node_cluster_streams){.loop = loop, .core = core, .told = told, .user = user};
}

void node_cluster_streams_tick(struct node_cluster_streams *all)
{
    struct node_cluster_stream *next;
    for (struct node_cluster_stream *s = all->first; s; s = next) {
        next = s->next;
        if (s->linger_ms && s->linger_ms <= all->loop->now_ms)
            end(s);
    }
}

void node_cluster_streams_fini(struct node_cluster_streams *all)
{
    while (all->first)
        end(all->first);
}
