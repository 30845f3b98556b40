/* node/peers_ev.h - control's own conversations with other nodes.
 *
 * A request is POST https://<id>/.perigee/sync with a body, sent over a kept HTTP/2 connection
 * that carries nothing but control's requests (objects travel on the workers'). What it says is
 * not looked at here: cluster/purge_sync.h.
 *
 * Sending: node_peers_send, later `answered`, exactly once. Being asked: a front has put the
 * request into an ask (node/front/ask.h); `asked` tells it, node_peers_answer ends it.
 * No call-back comes from inside node_peers_send or node_peers_answer; `asked` comes from
 * inside node_peers_asked.
 *
 * Thread: control. Owns: links and a resolver of its own; the asks it was given until answered.
 * Limits: NODE_PEERS_SENDS open towards one node, NODE_PEERS_ASKS open from one (then 429) with
 * NODE_PEERS_ASK_BYTES together; a body NODE_PEERS_BODY_MAX, an answer NODE_PEERS_ANSWER_MAX;
 * an ask waits NODE_PEERS_ANSWER_MS (then 503).
 */
#pragma once

#include "base/addr.h"
#include "base/span.h"

#define NODE_PEERS_SENDS 64u
#define NODE_PEERS_ASKS 64u
#define NODE_PEERS_ASK_BYTES ((size_t)32 << 20)
#define NODE_PEERS_BODY_MAX ((size_t)4 << 20)
#define NODE_PEERS_ANSWER_MAX ((size_t)4 << 20)
#define NODE_PEERS_ANSWER_MS 30000
#define NODE_PEERS_PATH "/.perigee/sync"

struct front_ask;
struct io_loop;
struct io_tls_context;
struct node_peers;

struct node_peers_functions {
    /* What became of a send: ERR_OK with the answer's body (borrowed for the call), else an
     * empty one: ERR_REFUSED the other side said no (busy, stopping, other software),
     * ERR_TIMEOUT the deadline passed, ERR_LIMIT its answer is too large, ERR_CLOSED it cannot
     * be reached, or the connection broke. */
    void (*answered)(void *user, uint64_t number, enum err result, struct span body);
    /* Another node asks; `from_id` is who it proved to be. Both are borrowed until the answer;
     * `number` is for node_peers_answer. */
    void (*asked)(void *user, struct span from_id, uint64_t number, struct span body);
};
struct node_peers_conf {
    struct io_loop *loop;
    struct io_tls_context *tls; /* io_tls_peer_client_create; counted; NULL: sends fail */
    const struct node_peers_functions *functions;
    void *user;
};

/* All take NULL for one that is not open: nothing is sent, asks are answered 503. */
struct node_peers *node_peers_open(const struct node_peers_conf *conf); /* owned */
/* No call-back comes any more; what is open is dropped, asks are answered 503. NULL ok. */
void node_peers_close(struct node_peers *p);
/* Other secrets are in force: for connections made from now on. */
void node_peers_set_tls(struct node_peers *p, struct io_tls_context *tls);

/* `number` is the caller's own. The body is copied. False: not sent, and `answered` will not
 * come: too many are open towards this node, the body is too large, there is no key. */
bool node_peers_send(struct node_peers *p, struct span id, const struct addr *to,
                     uint64_t number, struct span body, uint32_t deadline_ms);

/* Takes an ask with is_peer (node/desk.c). NULL: answered 503. */
void node_peers_asked(struct node_peers *p, struct front_ask *a);
/* 200 with application/octet-stream; copied. A number that is not (any more) open: nothing. */
void node_peers_answer(struct node_peers *p, uint64_t number, struct span body);

struct node_peers_figures {
    uint32_t sends_open, asks_open;
};
void node_peers_figures(const struct node_peers *p, struct node_peers_figures *out);
