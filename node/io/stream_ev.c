#include "node/io/stream_ev.h"

#include <errno.h>
#include <ev.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "node/io/outlet.h"
#include "node/io/tls.h"

#define SLABS_PER_TURN 4
#define GATHER_BYTES 4096 /* clear text up to this is copied to share a send */
#define LINGER_MS 1000

enum state {
    STREAM_STARTING,   /* `ready` (clear text) or failure is told from the loop */
    STREAM_CONNECTING, /* until the socket is writable */
    STREAM_HANDSHAKE,
    STREAM_OPEN,
    STREAM_LINGER, /* all is sent and FIN too: wait for theirs */
    STREAM_OVER,
};

/* starting > (connecting >) (handshake >) open > linger > over; over from anywhere. */
struct io_stream {
    struct io_task task; /* a turn of the pump */
    ev_io io;
    struct io_loop *loop;
    const struct io_stream_core *functions;
    void *core;
    struct io_tls *tls;
    struct buf cipher, plain; /* kept while paused: not decrypted, not taken by the core */
    struct io_outlet outlet;
    struct io_timer *linger; /* made when needed */
    enum state state;
    enum err why;  /* with STREAM_OVER */
    bool outgoing; /* we connected */
    bool inside;   /* in a callback of this stream's pump */
    bool told;     /* `closed` was called */
    bool paused;
    bool resumed;    /* within the input call that runs */
    bool kicked;     /* ask for output again */
    bool input_over; /* input_end told, or never to be */
    bool fin_seen;
    bool finishing;
    bool shut;        /* no more output; close_notify is made */
    bool send_broken; /* they reset or do not read any more; what they sent may still come */
};

static void on_event(struct ev_loop *ev, ev_io *w, int revents);
static void on_task(struct io_task *t);

/* ---- states and watching */

static void over(struct io_stream *s, enum err why)
{
    if (s->state == STREAM_OVER)
        return;
    s->state = STREAM_OVER;
    s->why = why;
    ev_io_stop(s->loop->ev, &s->io);
}

static void watch(struct io_stream *s, int add, int remove)
{
    int events = (s->io.events | add) & ~remove & (EV_READ | EV_WRITE);
    if (s->state == STREAM_OVER || (ev_is_active(&s->io) && events == (s->io.events & 3)))
        return;
    if (ev_is_active(&s->io))
        ev_io_stop(s->loop->ev, &s->io);
    ev_io_set(&s->io, s->io.fd, events);
    if (events)
        ev_io_start(s->loop->ev, &s->io);
}

static void queue(struct io_stream *s)
{
    io_loop_soon(s->loop, &s->task, on_task);
}

static bool has_kept(const struct io_stream *s)
{
    return buf_len(&s->plain) > 0 || buf_len(&s->cipher) > 0;
}

static bool can_output(const struct io_stream *s)
{
    return !s->outlet.rest && !s->shut && !s->send_broken;
}

static void enter(struct io_stream *s)
{
    must(!s->inside);
    s->inside = true;
    s->loop->scratch->out_len = 0;
}

/* The last thing of each callback; the stream may be gone afterwards. */
static void leave(struct io_stream *s)
{
    s->inside = false;
    if (s->state == STREAM_OVER && !s->told) {
        s->told = true;
        io_task_cancel(&s->task);
        s->functions->closed(s->core, s->why);
    } else if (s->state == STREAM_OPEN && s->kicked && can_output(s)) {
        queue(s);
    } else if (s->state == STREAM_OPEN && !s->paused && !s->finishing && has_kept(s)) {
        io_loop_later(s->loop, &s->task, on_task);
    }
}

/* ---- output */

/* What became of bytes that were sent. True: nothing waits. */
static bool gone(struct io_stream *s, enum err e)
{
    if (e == ERR_AGAIN) {
        watch(s, EV_WRITE, 0);
    } else if (e == ERR_CLOSED && s->outgoing && s->state == STREAM_OPEN && !s->finishing &&
               !s->fin_seen) {
        /* An answer to what we were sending may wait in the socket: read on to the end. */
        s->send_broken = true;
        watch(s, s->paused ? 0 : EV_READ, EV_WRITE);
        return true;
    } else if (e != ERR_OK) {
        over(s, e);
    }
    return e == ERR_OK;
}

static bool flush(struct io_stream *s)
{
    if (s->send_broken) {
        s->loop->scratch->out_len = 0;
        return true;
    }
    return gone(s, io_outlet_flush(&s->outlet));
}

static bool send_rest(struct io_stream *s)
{
    if (!s->outlet.rest)
        return true;
    if (!gone(s, io_outlet_send_rest(&s->outlet)))
        return false;
    if (s->functions->drained && s->state == STREAM_OPEN && !s->send_broken)
        s->functions->drained(s->core);
    return s->state != STREAM_OVER;
}

static void put(struct io_stream *s, const struct span *out, size_t count, size_t total)
{
    struct io_tls_scratch *x = s->loop->scratch;
    if (s->tls) {
        /* loop->input is free while output is asked. */
        if (io_tls_write(s->tls, out, count, s->loop->input) != ERR_OK)
            over(s, ERR_LIB);
    } else if (total > GATHER_BYTES) {
        (void)gone(s, io_outlet_send(&s->outlet, out, count));
    } else {
        for (size_t i = 0; i < count; i++) {
            if (out[i].len > 0)
                memcpy(x->out + x->out_len, out[i].ptr, out[i].len);
            x->out_len += out[i].len;
        }
    }
}

/* Asks the core until it has nothing (false) or the slab is full (true). */
static bool fill(struct io_stream *s)
{
    struct span out[IO_OUTLET_SPANS_MAX];
    size_t slab = io_outlet_is_crowded(s->loop) ? IO_STREAM_ROOM_MIN : IO_SLAB_BYTES;
    size_t used = 0;
    while (slab - used >= IO_STREAM_ROOM_MIN && !s->outlet.rest) {
        s->kicked = false;
        size_t room = slab - used, total = 0;
        size_t count =
            s->functions->output(s->core, out, IO_OUTLET_SPANS_MAX, s->loop->plain, room);
        must(count <= IO_OUTLET_SPANS_MAX);
        for (size_t i = 0; i < count; i++)
            total += out[i].len;
        must(total <= room);
        if (s->state == STREAM_OVER || (total == 0 && !s->kicked))
            return false;
        put(s, out, count, total);
        if (s->state == STREAM_OVER || s->send_broken)
            return false;
        used += total + IO_TLS_CALL_BYTES;
        if (used > slab)
            used = slab;
    }
    return true;
}

static void on_linger_end(struct io_timer *t);

static void begin_linger(struct io_stream *s)
{
    if (s->fin_seen || shutdown(s->io.fd, SHUT_WR) != 0) {
        over(s, ERR_CLOSED);
        return;
    }
    s->state = STREAM_LINGER;
    s->linger = must_alloc(sizeof(*s->linger) + sizeof(s));
    *(struct io_stream **)(void *)(s->linger + 1) = s;
    io_timer_init(s->linger, s->loop, on_linger_end);
    io_timer_set(s->linger, s->loop->now_ms + LINGER_MS);
    watch(s, EV_READ, EV_WRITE);
}

static void on_linger_end(struct io_timer *t)
{
    struct io_stream *s = *(struct io_stream **)(void *)(t + 1);
    enter(s);
    over(s, ERR_CLOSED);
    leave(s);
}

static void pump(struct io_stream *s)
{
    if (s->state != STREAM_OPEN) {
        if (send_rest(s) && flush(s) && s->state == STREAM_HANDSHAKE)
            watch(s, 0, EV_WRITE);
        return;
    }
    for (int slab = 0; slab < SLABS_PER_TURN; slab++) {
        if (!send_rest(s))
            break;
        bool more = can_output(s) && fill(s);
        if (s->state == STREAM_OVER)
            return;
        if (!more && s->finishing && !s->shut) {
            s->shut = true;
            if (s->tls)
                io_tls_shut(s->tls); /* in the same send as the last bytes */
        }
        if (!flush(s))
            return;
        if (more)
            continue;
        if (s->shut)
            begin_linger(s);
        else if (s->io.events & EV_WRITE)
            watch(s, 0, EV_WRITE);
        return;
    }
    if (s->outlet.rest || s->state != STREAM_OPEN)
        (void)flush(s);
    else
        io_loop_later(s->loop, &s->task, on_task);
}

/* ---- input */

/* Offers plain bytes; returns how many the core took. Fewer than all: paused. */
static size_t offer(struct io_stream *s, struct span bytes)
{
    size_t took = 0;
    while (took < bytes.len && !s->paused && s->state == STREAM_OPEN && !s->finishing) {
        s->resumed = false;
        size_t n = s->functions->input(s->core, span_from(bytes, took));
        must(n <= bytes.len - took);
        took += n;
        if (took < bytes.len && !s->resumed)
            s->paused = true;
        else if (n == 0)
            break; /* resumed from inside and took nothing: again from the loop */
    }
    return s->finishing ? bytes.len : took;
}

static void keep(struct io_stream *s, struct buf *b, struct span bytes)
{
    if (bytes.len > 0 && buf_append(b, bytes) != ERR_OK)
        over(s, ERR_SYS);
}

static void end_input(struct io_stream *s)
{
    if (s->input_over || s->finishing || s->state != STREAM_OPEN)
        return;
    s->input_over = true;
    s->functions->input_end(s->core);
}

static void open_stream(struct io_stream *s)
{
    s->state = STREAM_OPEN;
    s->kicked = true;
    s->functions->ready(s->core);
}

static bool handshake(struct io_stream *s)
{
    enum err e = io_tls_handshake(s->tls);
    if (e == ERR_OK)
        open_stream(s);
    else if (e != ERR_AGAIN) {
        (void)flush(s); /* the alert */
        over(s, e);
    }
    return e == ERR_OK && s->state == STREAM_OPEN;
}

/* Decrypts and offers what loop->scratch->in holds, as far as the core takes it. */
static void decrypt(struct io_stream *s)
{
    if (s->state == STREAM_HANDSHAKE && !handshake(s))
        return;
    while (!s->paused && !s->finishing && !s->input_over && s->state == STREAM_OPEN &&
           s->plain.to == s->plain.from) {
        size_t n = 0;
        enum err e = io_tls_read(s->tls, s->loop->plain, IO_INPUT_BYTES, &n);
        if (e == ERR_AGAIN)
            return;
        if (e == ERR_OK) {
            struct span bytes = span_of(s->loop->plain, n);
            keep(s, &s->plain, span_from(bytes, offer(s, bytes)));
        } else if (e == ERR_CLOSED) {
            end_input(s);
        } else {
            (void)flush(s);
            over(s, e);
        }
    }
}

static void take_cipher(struct io_stream *s, struct span bytes)
{
    s->loop->scratch->in = bytes;
    decrypt(s);
    struct span rest = s->loop->scratch->in;
    s->loop->scratch->in = (struct span){0};
    if (s->state != STREAM_OPEN || s->finishing || s->input_over)
        return;
    keep(s, &s->cipher, rest);
}

/* Offers what was kept while paused. True: nothing is kept any more. */
static bool offer_kept(struct io_stream *s)
{
    if (buf_len(&s->plain) > 0) {
        buf_consume(&s->plain, offer(s, buf_span(&s->plain)));
        if (buf_len(&s->plain) > 0)
            return false;
        buf_release(&s->plain);
    }
    if (buf_len(&s->cipher) > 0 && !s->paused) {
        struct buf kept = s->cipher;
        buf_init(&s->cipher, 0);
        take_cipher(s, buf_span(&kept));
        buf_fini(&kept);
    }
    return buf_len(&s->plain) == 0 && buf_len(&s->cipher) == 0;
}

static void on_fin(struct io_stream *s)
{
    s->fin_seen = true;
    watch(s, 0, EV_READ);
    if (!s->tls)
        end_input(s);
    else if (!s->input_over && !s->finishing)
        over(s, ERR_CLOSED); /* RFC 8446 6.1: no close_notify, so somebody cut it */
    if (s->state != STREAM_OPEN || s->send_broken)
        over(s, ERR_CLOSED);
}

static void read_some(struct io_stream *s)
{
    char *input = s->loop->input;
    if (s->state == STREAM_OPEN && !s->finishing) {
        if (!s->paused && !offer_kept(s) && !s->paused)
            return; /* leave() sees to it that they are offered again */
        if (s->paused) {
            /* Until resumed; a reset is told at once, a FIN waits behind the bytes. */
            watch(s, 0, EV_READ);
            if (recv(s->io.fd, input, 1, MSG_PEEK) < 0 && errno != EAGAIN && errno != EINTR)
                over(s, ERR_CLOSED);
            return;
        }
    }
    if (s->state == STREAM_OVER)
        return;
    ssize_t n = recv(s->io.fd, input, IO_INPUT_BYTES, 0);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            over(s, ERR_CLOSED);
        return;
    }
    if (n == 0) {
        on_fin(s);
        return;
    }
    struct span bytes = span_of(input, (size_t)n);
    if (s->state == STREAM_LINGER || s->finishing || s->input_over)
        return; /* what still comes is of no use */
    if (s->tls)
        take_cipher(s, bytes);
    else
        keep(s, &s->plain, span_from(bytes, offer(s, bytes)));
}

/* ---- turns */

static void on_connected(struct io_stream *s)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(s->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        over(s, error == ETIMEDOUT ? ERR_TIMEOUT : ERR_REFUSED);
        return;
    }
    watch(s, EV_READ, EV_WRITE);
    if (!s->tls) {
        open_stream(s);
        return;
    }
    s->state = STREAM_HANDSHAKE;
    (void)handshake(s);
}

static void on_event(struct ev_loop *ev, ev_io *w, int revents)
{
    (void)ev;
    struct io_stream *s = w->data;
    enter(s);
    if (s->state == STREAM_CONNECTING)
        on_connected(s);
    else if (revents & EV_READ)
        read_some(s);
    if (s->state != STREAM_OVER)
        pump(s);
    leave(s);
}

static void on_task(struct io_task *t)
{
    struct io_stream *s = CONTAINER_OF(t, struct io_stream, task);
    enter(s);
    if (s->state == STREAM_STARTING) {
        watch(s, EV_READ, 0);
        open_stream(s);
    }
    if (s->state == STREAM_OPEN && !s->paused && !s->finishing) {
        if (offer_kept(s) && !s->paused && !s->fin_seen)
            watch(s, EV_READ, 0);
    }
    if (s->state != STREAM_OVER)
        pump(s);
    leave(s);
}

/* ---- life */

static struct io_stream *create(struct io_loop *l, int fd,
                                const struct io_stream_core *functions, void *core)
{
    struct io_stream *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->loop = l;
    s->outlet = (struct io_outlet){.loop = l, .fd = fd};
    s->functions = functions;
    s->core = core;
    ev_io_init(&s->io, on_event, fd, 0);
    s->io.data = s;
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* not TCP: no matter */
    return s;
}

struct io_stream *io_stream_accept(struct io_loop *l, int fd, struct io_tls_context *tls,
                                   const struct io_stream_core *functions, void *core)
{
    struct io_stream *s = create(l, fd, functions, core);
    if (s && tls) {
        s->tls = io_tls_accept(tls, l->scratch);
        s->state = STREAM_HANDSHAKE;
        if (s->tls)
            watch(s, EV_READ, 0);
    } else if (s) {
        queue(s);
    }
    if (s && (!tls || s->tls))
        return s;
    free(s);
    close(fd);
    return NULL;
}

struct io_stream *io_stream_connect(struct io_loop *l, const struct addr *to,
                                    struct io_tls_context *tls, const char *server_name,
                                    const struct io_stream_core *functions, void *core)
{
    static struct log_limit limit;
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(to, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        log_limited(&limit, 6, LOG_WARN, "no_descriptor", "error=%s",
                    log_quote(span_text(strerror(errno)), (char[128]){0}, 128));
        return NULL;
    }
    struct io_stream *s = create(l, fd, functions, core);
    if (!s) {
        close(fd);
        return NULL;
    }
    s->outgoing = true;
    if (tls && !(s->tls = io_tls_connect(tls, l->scratch, server_name))) {
        over(s, ERR_LIB);
        queue(s);
    } else if (connect(fd, (struct sockaddr *)&sa, len) == 0 || errno == EINPROGRESS) {
        s->state = STREAM_CONNECTING;
        watch(s, EV_WRITE, 0);
    } else {
        over(s, ERR_REFUSED);
        queue(s);
    }
    return s;
}

void io_stream_destroy(struct io_stream *s)
{
    if (!s)
        return;
    must(!s->inside); /* only from `closed` or from outside; io_stream_abort else */
    io_task_cancel(&s->task);
    ev_io_stop(s->loop->ev, &s->io);
    close(s->io.fd);
    if (s->linger)
        io_timer_stop(s->linger);
    free(s->linger);
    io_tls_destroy(s->tls);
    io_outlet_fini(&s->outlet);
    buf_fini(&s->plain);
    buf_fini(&s->cipher);
    free(s);
}

void io_stream_abort(struct io_stream *s)
{
    over(s, ERR_CLOSED);
    if (!s->inside && !s->told)
        queue(s);
}

void io_stream_cut(struct io_stream *s)
{
    struct linger reset = {.l_onoff = 1};
    if (s->state != STREAM_OVER)
        (void)setsockopt(s->io.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    io_stream_abort(s);
}

void io_stream_kick(struct io_stream *s)
{
    s->kicked = true;
    if (!s->inside && s->state == STREAM_OPEN && can_output(s))
        queue(s);
}

void io_stream_pause(struct io_stream *s)
{
    s->paused = true;
    s->resumed = false;
}

void io_stream_resume(struct io_stream *s)
{
    s->resumed = true;
    if (!s->paused && s->inside)
        return;
    s->paused = false;
    if (s->state != STREAM_OVER)
        queue(s);
}

void io_stream_finish(struct io_stream *s)
{
    if (s->finishing || s->state == STREAM_OVER)
        return;
    s->finishing = true;
    if (s->state != STREAM_OPEN) /* nothing was said yet */
        over(s, ERR_CLOSED);
    else if (!s->fin_seen)
        watch(s, EV_READ, 0); /* and drop it: who can't send does not read the answer */
    if (!s->inside)
        queue(s);
}

struct io_loop *io_stream_loop(const struct io_stream *s)
{
    return s->loop;
}

bool io_stream_is_tls(const struct io_stream *s)
{
    return s->tls != NULL;
}

bool io_stream_is_h2(const struct io_stream *s)
{
    return s->tls && io_tls_is_h2(s->tls);
}

const char *io_stream_peer_id(const struct io_stream *s)
{
    return s->tls ? io_tls_peer_id(s->tls) : NULL;
}

const char *io_stream_tls_version(const struct io_stream *s)
{
    return s->tls ? io_tls_version(s->tls) : "";
}

bool io_stream_has_leftover(const struct io_stream *s)
{
    return s->outlet.rest != NULL;
}

size_t io_stream_backlog(const struct io_stream *s)
{
    int queued = 0;
    (void)ioctl(s->io.fd, SIOCOUTQ, &queued); /* not acknowledged; fails: 0 */
    return s->outlet.to - s->outlet.from + (queued > 0 ? (size_t)queued : 0);
}

const char *io_stream_tls_error(const struct io_stream *s)
{
    return s->tls ? io_tls_error(s->tls) : "";
}
