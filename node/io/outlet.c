#include "node/io/outlet.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "node/io/tls.h"

#define SWAP_BYTES 16384 /* a rest over this keeps the slab */
#define REST_MAX_BYTES (256 * 1024)

/* Every rest is charged to the loop while it is kept. */
static void keep(struct io_outlet *o, char *rest, size_t from, size_t to, size_t bytes)
{
    o->rest = rest;
    o->from = from;
    o->to = to;
    o->bytes = bytes;
    o->loop->rest_bytes += bytes;
}

static void drop_rest(struct io_outlet *o)
{
    o->loop->rest_bytes -= o->bytes;
    if (o->is_slab)
        io_loop_slab_give(o->loop, o->rest);
    else
        free(o->rest);
    o->rest = NULL;
    o->from = o->to = 0;
    o->is_slab = false;
}

void io_outlet_fini(struct io_outlet *o)
{
    if (o->rest)
        drop_rest(o);
}

/* *out_sent may be 0: not writable now. */
static enum err send_some(struct io_outlet *o, struct iovec *at, size_t count, size_t *out_sent)
{
    struct msghdr m = {.msg_iov = at, .msg_iovlen = count};
    ssize_t n;
    do {
        n = count == 1 ? send(o->fd, at->iov_base, at->iov_len, MSG_NOSIGNAL)
                       : sendmsg(o->fd, &m, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN && errno != ENOBUFS)
        return ERR_CLOSED;
    *out_sent = n > 0 ? (size_t)n : 0;
    return ERR_OK;
}

/* Appends to the rest: rare, since cores are not asked while one waits. */
static enum err add_rest(struct io_outlet *o, struct span bytes)
{
    size_t have = o->to - o->from;
    if (have + bytes.len > REST_MAX_BYTES)
        return ERR_LIMIT;
    char *mem = malloc(have + bytes.len);
    if (!mem)
        return ERR_SYS;
    if (have > 0)
        memcpy(mem, o->rest + o->from, have);
    memcpy(mem + have, bytes.ptr, bytes.len);
    if (o->rest)
        drop_rest(o);
    keep(o, mem, 0, have + bytes.len, have + bytes.len);
    return ERR_AGAIN;
}

static enum err keep_slab(struct io_outlet *o, size_t sent, size_t len)
{
    char *fresh = io_loop_slab_take(o->loop);
    if (!fresh)
        return ERR_SYS;
    keep(o, o->loop->scratch->out, sent, len, IO_OUTPUT_BYTES);
    o->is_slab = true;
    o->loop->output = o->loop->scratch->out = fresh;
    return ERR_AGAIN;
}

enum err io_outlet_flush(struct io_outlet *o)
{
    struct io_tls_scratch *x = o->loop->scratch;
    size_t len = x->out_len, sent = 0;
    x->out_len = 0;
    if (len == 0)
        return o->rest ? ERR_AGAIN : ERR_OK;
    if (o->rest)
        return add_rest(o, span_of(x->out, len));
    struct iovec all = {.iov_base = x->out, .iov_len = len};
    enum err e = send_some(o, &all, 1, &sent);
    if (e != ERR_OK || sent == len)
        return e;
    if (len - sent > SWAP_BYTES && !io_outlet_is_crowded(o->loop))
        return keep_slab(o, sent, len);
    return add_rest(o, span_of(x->out + sent, len - sent));
}

enum err io_outlet_send(struct io_outlet *o, const struct span *spans, size_t count)
{
    struct io_tls_scratch *x = o->loop->scratch;
    struct iovec all[IO_OUTLET_SPANS_MAX + 1];
    size_t used = 0, at = 0, sent = 0, total = x->out_len;
    must(!o->rest && count <= IO_OUTLET_SPANS_MAX);
    if (x->out_len > 0)
        all[used++] = (struct iovec){.iov_base = x->out, .iov_len = x->out_len};
    x->out_len = 0;
    for (size_t i = 0; i < count; i++) {
        total += spans[i].len;
        if (spans[i].len > 0)
            all[used++] = (struct iovec){.iov_base = (void *)(uintptr_t)spans[i].ptr,
                                         .iov_len = spans[i].len};
    }
    enum err e = send_some(o, all, used, &sent);
    if (e != ERR_OK || sent == total)
        return e;
    char *mem = malloc(total - sent);
    if (!mem)
        return ERR_SYS;
    for (size_t i = 0; i < used; i++) {
        size_t skip = sent < all[i].iov_len ? sent : all[i].iov_len;
        memcpy(mem + at, (char *)all[i].iov_base + skip, all[i].iov_len - skip);
        at += all[i].iov_len - skip;
        sent -= skip;
    }
    keep(o, mem, 0, at, at);
    return ERR_AGAIN;
}

enum err io_outlet_send_rest(struct io_outlet *o)
{
    size_t sent = 0;
    if (!o->rest)
        return ERR_OK;
    struct iovec rest = {.iov_base = o->rest + o->from, .iov_len = o->to - o->from};
    enum err e = send_some(o, &rest, 1, &sent);
    o->from += sent;
    if (e == ERR_OK && o->from < o->to)
        return ERR_AGAIN;
    drop_rest(o);
    return e;
}
