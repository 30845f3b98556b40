/* cluster/wire/stream.h - one gossip conversation over a byte stream.
 *
 * One message each way, then the stream is closed: the dialler says a push/pull, a ping or a
 * user message, the acceptor answers the first two. With a keyring both messages are sealed
 * frames, and plaintext is refused. Without one the end of a message is found by parsing it.
 *
 *   feed: MORE -> ... -> MESSAGE (message, push_pull) | FAULT (fault); what comes later is
 * dropped
 *
 * Thread: one owner.
 * Owns: its buffers. `message` and all it borrows live until wire_stream_fini.
 * Limits: `cap_bytes` (WIRE_ITEM_MAX to WIRE_STREAM_MAX) each for what came, what is unsealed
 * and what is decompressed; memory grows with bytes that came, never by a length that was told.
 *         WIRE_ITEM_MAX for a map. 1,000,000 nodes.
 */
#pragma once

#include "base/buf.h"
#include "cluster/wire/keyring.h"
#include "cluster/wire/message.h"

#define WIRE_STREAM_MAX (20u << 20)
#define WIRE_STREAM_NODES_MAX 1000000u
#define WIRE_ITEM_MAX 8192 /* one map: a node, a header, a ping */

enum wire_node_state {
    WIRE_NODE_ALIVE,
    WIRE_NODE_SUSPECT,
    WIRE_NODE_DEAD,
    WIRE_NODE_LEFT,
};
struct wire_node {
    struct span name;
    struct addr addr; /* with port */
    uint32_t incarnation;
    struct span meta;
    uint8_t state; /* enum wire_node_state; others are WIRE_FAULT_SYNTAX */
    uint8_t vsn[WIRE_VSN_BYTES];
};
struct wire_push_pull {
    bool join;
    uint32_t nodes_left; /* not yet given by wire_push_pull_next */
    struct span nodes;
    struct span user_state; /* a Serf message, wire_serf_get; may be empty */
};
bool wire_push_pull_next(struct wire_push_pull *p, struct wire_node *out);

enum wire_role { WIRE_DIALLER, WIRE_ACCEPTOR };
enum wire_stream_status { WIRE_STREAM_MORE, WIRE_STREAM_MESSAGE, WIRE_STREAM_FAULT };

struct wire_stream {
    enum wire_role role;
    const struct wire_keyring *ring; /* borrowed; NULL or empty: in the clear */
    size_t cap_bytes;
    enum wire_stream_status status;
    enum wire_fault fault;
    /* WIRE_STREAM_MESSAGE: a ping, ack, user or error; type WIRE_PUSH_PULL: in `push_pull` */
    struct wire_message message;
    struct wire_push_pull push_pull;
    /* inside */
    struct buf came, plain, inflated, out;
    bool whole;          /* nothing can be added to the message */
    bool opened;         /* the header of a push/pull was parsed, and: */
    size_t parsed;       /* bytes that need no second look */
    uint32_t nodes_left; /* behind them */
    size_t nodes_at, state_bytes;
};

void wire_stream_init(struct wire_stream *s, enum wire_role role,
                      const struct wire_keyring *ring, size_t cap_bytes);
void wire_stream_fini(struct wire_stream *s);
enum wire_stream_status wire_stream_feed(struct wire_stream *s, struct span bytes);
/* The other side ended its half: what is not whole never will be. */
enum wire_stream_status wire_stream_feed_end(struct wire_stream *s);

/* Queues a whole message, sealed when there is a ring (then the nonce is random bytes).
 * ERR_LIMIT over the cap, ERR_LIB. */
NODISCARD enum err wire_stream_say(struct wire_stream *s, struct span message,
                                   const uint8_t nonce[WIRE_NONCE_BYTES]);
NODISCARD enum err wire_stream_say_message(struct wire_stream *s, const struct wire_message *m,
                                           const uint8_t nonce[WIRE_NONCE_BYTES]);
struct span wire_stream_output(const struct wire_stream *s);
void wire_stream_sent(struct wire_stream *s, size_t bytes);

/* A push/pull for wire_stream_say, appended to `out`: this, then `nodes` times _put_node, then
 * `state_bytes` bytes of user state. ERR_LIMIT over the cap of `out`. */
NODISCARD enum err wire_push_pull_put(struct buf *out, bool join, uint32_t nodes,
                                      size_t state_bytes);
NODISCARD enum err wire_push_pull_put_node(struct buf *out, const struct wire_node *node);
