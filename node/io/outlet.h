/* node/io/outlet.h - bytes into a socket, with what it did not take yet.
 *
 * For io/stream_ev.c. Bytes come from the loop's output (loop->scratch->out) or straight from
 * a core's spans; what the socket does not take becomes the outlet's own. A large rest keeps
 * the loop's slab itself, and the loop takes another one, so that it is not copied.
 *
 * Thread: its loop's. Owns: the rest, not the descriptor.
 * Limits: a rest of one slab; records that TLS itself adds (KeyUpdate floods) up to 256 KiB.
 * Errors: OK: nothing waits. AGAIN: a rest waits until the socket is writable. CLOSED: the
 * other side is gone. LIMIT, SYS. After the last three the bytes are dropped.
 */
#pragma once

#include "base/span.h"
#include "node/io/loop_ev.h"

#define IO_OUTLET_SPANS_MAX 16

struct io_outlet {
    struct io_loop *loop;
    int fd;
    char *rest; /* NULL: nothing waits */
    size_t from, to;
    bool is_slab;
    size_t bytes; /* of memory, charged to the loop */
};

/* Many slow readers: the loop's streams keep so much already that each should ask its core for
 * less at a time, so that memory stays with the number of connections at about 17 KiB each. */
#define IO_OUTLET_CROWDED_BYTES ((size_t)2 << 20)
static inline bool io_outlet_is_crowded(const struct io_loop *l)
{
    return l->rest_bytes > IO_OUTLET_CROWDED_BYTES;
}

void io_outlet_fini(struct io_outlet *o);
NODISCARD enum err io_outlet_flush(struct io_outlet *o); /* the loop's output; empties it */
/* The loop's output and these after it, in one call. No rest may wait. */
NODISCARD enum err io_outlet_send(struct io_outlet *o, const struct span *spans, size_t count);
NODISCARD enum err io_outlet_send_rest(struct io_outlet *o);
