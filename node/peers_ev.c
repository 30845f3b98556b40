#include "node/peers_ev.h"

#include <stdlib.h>

#include "base/crypto.h"
#include "base/hash.h"
#include "node/front/ask.h"
#include "node/io/link_ev.h"
#include "node/io/resolve_ev.h"

#define BUCKETS 256u
#define CONNECT_MS 3000
#define KEEPALIVE_MS 600000 /* the other side's patience counts, not ours */
#define ADDRESS_BYTES ADDR_TEXT_MAX

/* What is open with one node; gone with the last of it. */
struct partner {
    struct partner *next;
    uint32_t sends, asks;
    size_t ask_bytes;
    size_t id_len;
    char id[IO_TLS_PEER_ID_MAX];
};

struct send {
    struct send *next, **prev;
    struct node_peers *peers;
    struct partner *partner;
    struct io_link *link;
    struct io_timer deadline;
    uint64_t number;
    struct buf body, answer;
    size_t given; /* of the body */
    uint16_t port;
    uint16_t status;
    bool again; /* once more over a connection of its own */
    bool too_large;
    char address[ADDRESS_BYTES];
};

struct ask {
    struct ask *next; /* in its bucket */
    struct node_peers *peers;
    struct partner *partner;
    struct front_ask *front;
    struct io_timer patience;
    uint64_t number;
};

struct node_peers {
    struct io_loop *loop;
    struct io_tls_context *tls; /* held; NULL */
    const struct node_peers_functions *functions;
    void *user;
    struct io_resolver *resolver;
    struct io_links *links;
    struct hash_key key;
    struct partner *partners[BUCKETS];
    struct send *sends;
    struct ask *asks[BUCKETS];
    uint64_t next_ask;
    struct node_peers_figures figures;
};

static const struct io_link_functions link_functions;

/* --- partners --- */

static struct partner **partner_place(struct node_peers *p, struct span id)
{
    struct partner **at = &p->partners[hash_sip64(&p->key, id) % BUCKETS];
    while (*at && !span_equal(span_of((*at)->id, (*at)->id_len), id))
        at = &(*at)->next;
    return at;
}

/* NULL: no node's name. */
static struct partner *partner_take(struct node_peers *p, struct span id)
{
    struct partner **at = partner_place(p, id);
    if (*at)
        return *at;
    if (id.len == 0 || id.len > IO_TLS_PEER_ID_MAX)
        return NULL;
    struct partner *n = must_alloc(sizeof *n);
    n->id_len = id.len;
    memcpy(n->id, id.ptr, id.len);
    *at = n;
    return n;
}

static void partner_rest(struct node_peers *p, struct partner *n)
{
    if (n->sends || n->asks)
        return;
    struct partner **at = partner_place(p, span_of(n->id, n->id_len));
    *at = n->next;
    free(n);
}

/* --- sending --- */

static void send_free(struct send *s)
{
    struct node_peers *p = s->peers;
    io_timer_stop(&s->deadline);
    s->partner->sends--;
    p->figures.sends_open--;
    partner_rest(p, s->partner);
    if (s->next)
        s->next->prev = s->prev;
    *s->prev = s->next;
    buf_fini(&s->body);
    buf_fini(&s->answer);
    free(s);
}

static void send_end(struct send *s, enum err result)
{
    struct node_peers *p = s->peers;
    io_timer_stop(&s->deadline);
    p->functions->answered(p->user, s->number, result,
                           result == ERR_OK ? buf_span(&s->answer) : (struct span){0});
    send_free(s);
}

/* False: not even begun. */
static bool send_start(struct send *s, bool fresh)
{
    struct node_peers *p = s->peers;
    const struct io_link_target target = {.host = span_text(s->address),
                                          .port = s->port,
                                          .tls = p->tls,
                                          .server_name =
                                              span_of(s->partner->id, s->partner->id_len),
                                          .h2 = true,
                                          .fresh = fresh,
                                          .connect_ms = CONNECT_MS,
                                          .keepalive_ms = KEEPALIVE_MS};
    const struct http_request request = {.method = HTTP_POST,
                                         .version = HTTP_2,
                                         .method_text = SPAN("POST"),
                                         .scheme = SPAN("https"),
                                         .authority = target.server_name,
                                         .target = SPAN(NODE_PEERS_PATH),
                                         .body_bytes = (int64_t)buf_len(&s->body)};
    s->given = 0;
    s->status = 0;
    s->link = io_link_start(p->links, &target, &request, &link_functions, s);
    return s->link != NULL;
}

static void give(struct send *s)
{
    struct span rest = span_from(buf_span(&s->body), s->given);
    size_t took = rest.len ? io_link_body(s->link, rest) : 0;
    s->given += took;
    if (rest.len && took == rest.len)
        io_link_body_end(s->link, NULL);
}

static void on_sending(void *user)
{
    (void)user;
}

static void on_response(void *user, struct http_response *r, struct arena *arena)
{
    struct send *s = user;
    (void)arena;
    s->status = r->status;
}

static void on_body(void *user, struct span bytes)
{
    struct send *s = user;
    if (s->status != 200 || s->too_large)
        return;
    if (buf_append(&s->answer, bytes) != ERR_OK)
        s->too_large = true;
}

static void on_body_room(void *user)
{
    give(user);
}

static enum err result_of(const struct send *s, enum io_link_failure why)
{
    if (why == IO_LINK_OK) {
        if (s->status != 200)
            return ERR_REFUSED;
        return s->too_large ? ERR_LIMIT : ERR_OK;
    }
    return why == IO_LINK_CONNECT_TIMEOUT ? ERR_TIMEOUT : ERR_CLOSED;
}

static void on_ended(void *user, enum io_link_failure why, bool reused, bool answered,
                     const struct http_fields *trailers)
{
    struct send *s = user;
    (void)trailers;
    s->link = NULL;
    /* A kept connection that the other side had closed meanwhile; what is said twice is heard
     * once (cluster/purge_sync.h). */
    if (why == IO_LINK_CLOSED && reused && !answered && !s->again) {
        s->again = true;
        if (send_start(s, true)) {
            give(s);
            return;
        }
    }
    send_end(s, result_of(s, why));
}

static const struct io_link_functions link_functions = {
    .sending = on_sending,
    .response = on_response,
    .body = on_body,
    .body_room = on_body_room,
    .ended = on_ended,
};

static void on_deadline(struct io_timer *t)
{
    struct send *s = CONTAINER_OF(t, struct send, deadline);
    io_link_cancel(s->link);
    s->link = NULL;
    send_end(s, ERR_TIMEOUT);
}

bool node_peers_send(struct node_peers *p, struct span id, const struct addr *to,
                     uint64_t number, struct span body, uint32_t deadline_ms)
{
    if (!p || !p->tls || body.len == 0 || body.len > NODE_PEERS_BODY_MAX)
        return false;
    struct partner *n = partner_take(p, id);
    if (!n)
        return false;
    if (n->sends >= NODE_PEERS_SENDS)
        return false;
    struct send *s = must_alloc(sizeof *s);
    *s = (struct send){.peers = p, .partner = n, .number = number, .port = to->port};
    buf_init(&s->body, 0);
    buf_init(&s->answer, NODE_PEERS_ANSWER_MAX);
    io_timer_init(&s->deadline, p->loop, on_deadline);
    (void)addr_print(to, false, s->address);
    n->sends++;
    p->figures.sends_open++;
    s->prev = &p->sends;
    s->next = p->sends;
    if (s->next)
        s->next->prev = &s->next;
    p->sends = s;
    if (buf_append(&s->body, body) != ERR_OK || !send_start(s, false)) {
        send_free(s);
        return false;
    }
    io_timer_set(&s->deadline, p->loop->now_ms + deadline_ms);
    give(s);
    return true;
}

/* --- being asked --- */

static void reply(struct front_ask *a, uint16_t status, struct span body)
{
    const struct admin_answer answer = {
        .status = status, .content_type = SPAN("application/octet-stream"), .body = body};
    front_ask_answer(a, &answer);
}

static struct ask **ask_place(struct node_peers *p, uint64_t number)
{
    struct ask **at = &p->asks[number % BUCKETS];
    while (*at && (*at)->number != number)
        at = &(*at)->next;
    return at;
}

static void ask_end(struct node_peers *p, struct ask **at, uint16_t status, struct span body)
{
    struct ask *k = *at;
    *at = k->next;
    io_timer_stop(&k->patience);
    k->partner->asks--;
    k->partner->ask_bytes -= k->front->body.len;
    partner_rest(p, k->partner);
    p->figures.asks_open--;
    reply(k->front, status, body);
    free(k);
}

static void on_patience(struct io_timer *t)
{
    struct ask *k = CONTAINER_OF(t, struct ask, patience);
    ask_end(k->peers, ask_place(k->peers, k->number), 503, (struct span){0});
}

void node_peers_asked(struct node_peers *p, struct front_ask *a)
{
    if (!p || !span_equal(a->request.target, SPAN(NODE_PEERS_PATH))) {
        reply(a, p ? 404 : 503, (struct span){0});
        return;
    }
    struct partner *n = partner_take(p, a->node_id);
    must(n); /* TLS knows what an id is */
    if (n->asks >= NODE_PEERS_ASKS || n->ask_bytes + a->body.len > NODE_PEERS_ASK_BYTES) {
        reply(a, 429, (struct span){0});
        return;
    }
    struct ask *k = must_alloc(sizeof *k);
    *k = (struct ask){.peers = p, .partner = n, .front = a, .number = p->next_ask++};
    n->asks++;
    n->ask_bytes += a->body.len;
    p->figures.asks_open++;
    k->next = p->asks[k->number % BUCKETS];
    p->asks[k->number % BUCKETS] = k;
    io_timer_init(&k->patience, p->loop, on_patience);
    io_timer_set(&k->patience, p->loop->now_ms + NODE_PEERS_ANSWER_MS);
    p->functions->asked(p->user, a->node_id, k->number, a->body);
}

void node_peers_answer(struct node_peers *p, uint64_t number, struct span body)
{
    struct ask **at = p ? ask_place(p, number) : NULL;
    if (at && *at)
        ask_end(p, at, 200, body);
}

/* --- its life --- */

struct node_peers *node_peers_open(const struct node_peers_conf *conf)
{
    struct node_peers *p = must_alloc(sizeof *p);
    *p = (struct node_peers){.loop = conf->loop,
                             .functions = conf->functions,
                             .user = conf->user,
                             .tls = conf->tls ? io_tls_context_hold(conf->tls) : NULL,
                             .resolver = io_resolver_create(conf->loop),
                             .next_ask = 1};
    crypto_random(&p->key, sizeof p->key);
    p->links = io_links_create(conf->loop, p->resolver);
    return p;
}

void node_peers_close(struct node_peers *p)
{
    if (!p)
        return;
    while (p->sends) {
        io_link_cancel(p->sends->link);
        send_free(p->sends);
    }
    for (unsigned i = 0; i < BUCKETS; i++)
        while (p->asks[i])
            ask_end(p, &p->asks[i], 503, (struct span){0});
    io_links_destroy(p->links);
    io_resolver_destroy(p->resolver);
    io_tls_context_drop(p->tls);
    free(p);
}

void node_peers_set_tls(struct node_peers *p, struct io_tls_context *tls)
{
    if (!p || p->tls == tls)
        return;
    io_tls_context_drop(p->tls);
    p->tls = tls ? io_tls_context_hold(tls) : NULL;
    io_links_drop_idle(p->links);
}

void node_peers_figures(const struct node_peers *p, struct node_peers_figures *out)
{
    *out = p ? p->figures : (struct node_peers_figures){0};
}
