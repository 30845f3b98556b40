/* node/io/stream_ev.h - THE pump: a socket and the core that speaks on it.
 *
 * Reads once per event into the loop's scratch, through TLS when there is one, and offers the
 * bytes to the core; then asks the core for output until it has none or a slab is full, and
 * writes with one send. One BIO for all connections, the records of a turn in one send, 48 KiB
 * slabs: measured faster than larger ones. After four slabs in a row others get a turn.
 *
 * The core never touches the socket: it says what it has (output), when it has more
 * (io_stream_kick), when it wants no input (io_stream_pause), and when it is done
 * (io_stream_finish). What output gave counts as sent; what the socket did not take waits in
 * the stream's own queue, at most one slab.
 *
 * Thread: its loop's. Owns: descriptor, TLS object, leftovers.
 * Errors: told once by `closed`; the stream must then be destroyed by its owner (also from
 * inside `closed`, and only from there or outside any stream callback).
 */
#pragma once

#include "base/addr.h"
#include "base/span.h"
#include "node/io/loop_ev.h"

struct io_tls_context;

#define IO_STREAM_ROOM_MIN (17 * 1024)

struct io_stream_core {
    /* TLS is ready, or for clear text at once (a client's: connected). */
    void (*ready)(void *core);
    /* Takes bytes; returns how many. Fewer than given means: paused; the rest is offered again
     * after io_stream_resume. */
    size_t (*input)(void *core, struct span bytes);
    /* The other side will send no more (FIN or close_notify). */
    void (*input_end)(void *core);
    /* The next output: at most `max` spans of at most `room` bytes together, borrowed until the
     * next call into the core. Returns how many spans; 0 = nothing now. `scratch` (room bytes,
     * the loop's) may be used to gather. Give all that there is: each call becomes a TLS record
     * of its own. `room` is at least IO_STREAM_ROOM_MIN. */
    size_t (*output)(void *core, struct span *out, size_t max, char *scratch, size_t room);
    /* All output so far has left this process, after it had to wait (slow reader tracking);
     * may be NULL. */
    void (*drained)(void *core);
    /* Over: ERR_CLOSED after io_stream_finish, or the other side reset, ERR_TIMEOUT, ERR_SYS,
     * ERR_LIB (TLS), ERR_REFUSED (connect). */
    void (*closed)(void *core, enum err why);
};

struct io_stream;
/* Takes the descriptor (non-blocking; TCP_NODELAY is set here). tls NULL: clear text. NULL: out
 * of memory, the descriptor is closed. */
struct io_stream *io_stream_accept(struct io_loop *l, int fd, struct io_tls_context *tls,
                                   const struct io_stream_core *functions, void *core);
/* Connects; `server_name` for SNI and verification (NULL with clear text). Failures come
 * through `closed`, never from inside this call. NULL: no descriptor (ERR_SYS logged). */
struct io_stream *io_stream_connect(struct io_loop *l, const struct addr *to,
                                    struct io_tls_context *tls, const char *server_name,
                                    const struct io_stream_core *functions, void *core);
void io_stream_destroy(struct io_stream *s); /* closes at once; NULL ok */
/* Ends it from inside any callback: no more calls but `closed` (ERR_CLOSED), in this turn. */
void io_stream_abort(struct io_stream *s);
/* As abort, and the other side sees a reset: what it has got is not the whole. */
void io_stream_cut(struct io_stream *s);

void io_stream_kick(struct io_stream *s);  /* output has more: asked in this or the next turn */
void io_stream_pause(struct io_stream *s); /* no more input, please */
void io_stream_resume(struct io_stream *s); /* kept bytes are offered again, from the loop */
/* Send what output still has, then close_notify and close in order, lingering at most 1 s for
 * the other side (so that a reset does not eat the last answer). `closed` follows. */
void io_stream_finish(struct io_stream *s);

struct io_loop *io_stream_loop(const struct io_stream *s);
bool io_stream_is_tls(const struct io_stream *s);
bool io_stream_is_h2(const struct io_stream *s); /* ALPN chose h2 */
/* Once ready: the other node, when TLS is that between nodes (io/tls_peer.h); else NULL. */
const char *io_stream_peer_id(const struct io_stream *s);
const char *io_stream_tls_version(const struct io_stream *s); /* "TLSv1.3"; "" = clear */
bool io_stream_has_leftover(const struct io_stream *s);       /* the socket did not take all */
/* Bytes that the other side has not taken yet, as far as this system knows. A system call. */
size_t io_stream_backlog(const struct io_stream *s);
/* The verification error of a failed client handshake, for the log; "" = none. */
const char *io_stream_tls_error(const struct io_stream *s);
