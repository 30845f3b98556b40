#include <stdlib.h>

#include "base/http/h2.h"
#include "node/io/link_core.h"
#include "node/io/stream_ev.h"

#define ARENA_BYTES (1024 * 1024) /* an answer's heads and trailers, twice: here and in h2 */
#define AGE_MAX_MS 600000
#define IO_LINK_H2_MAX                                                                         \
    8 /* to one target: more requests than all their streams are refused                       \
       */
#define STREAMS_MAX 128
#define COST_PER_10S 1000000 /* who answers us is known and was asked */

struct request;

/* One connection with all its requests.
 *
 * connecting > ready > retiring: takes no new requests, and goes with its last one; dead: its
 * stream is aborted and nothing it says counts. */
struct io_link_h2 {
    struct io_link_h2 *next, **prev;
    struct io_links *links;
    struct io_stream *stream;
    struct io_tls_context *tls;
    struct http_h2 *core;
    struct request *requests; /* the newest first */
    struct io_timer idle;     /* the end of being kept */
    uint32_t keepalive_ms, unsent;
    int64_t made_at_ms;
    uint64_t heard;               /* how often bytes came */
    enum io_link_failure failure; /* what its requests end of when it goes */
    bool ready, retiring, dead;
    bool carried; /* a request before */
    struct io_link_key key;
};

struct request {
    struct io_link base;
    struct request *next, **prev;
    struct io_link_h2 *connection; /* NULL: none could be had */
    struct io_loop *loop;
    const struct io_link_functions *functions;
    void *user;
    struct arena arena;
    struct io_timer timer;
    struct io_task told; /* an end that was found at the start, or what was held */
    struct io_task room;
    struct buf body; /* of the request, to send */
    struct buf held; /* of the answer, come while paused */
    struct http_fields sent_trailers, trailers;
    uint32_t connect_ms, first_byte_ms, idle_ms;
    int64_t body_left;     /* of the request as declared, or HTTP_LENGTH_UNKNOWN */
    uint64_t heard_before; /* what its connection had heard when it was sent */
    int32_t stream;
    enum io_link_failure failure;
    bool reused;
    bool sent;
    bool body_over, body_dropped, body_wanted;
    bool answered, final, paused;
    bool over; /* nothing more comes: `failure` is the last word */
};

static const struct io_stream_core core;
static const struct io_link_protocol protocol;

/* ---- connections */

static void connection_destroy(struct io_link_h2 *c)
{
    must(!c->requests);
    io_timer_stop(&c->idle);
    http_h2_destroy(c->core);
    io_stream_destroy(c->stream);
    io_tls_context_drop(c->tls);
    if (c->next)
        c->next->prev = c->prev;
    *c->prev = c->next;
    free(c);
}

/* It has no requests. From inside its callbacks, too. */
static void connection_close(struct io_link_h2 *c)
{
    must(!c->requests);
    if (c->dead)
        return;
    c->dead = true;
    io_timer_stop(&c->idle);
    if (!c->ready) {
        io_stream_abort(c->stream); /* on_closed destroys it */
        return;
    }
    http_h2_end(c->core, HTTP_H2_NO_ERROR, "done");
    io_stream_finish(c->stream);
}

static void on_idle(struct io_timer *t)
{
    connection_close(CONTAINER_OF(t, struct io_link_h2, idle));
}

/* A request has left. */
static void connection_rest(struct io_link_h2 *c)
{
    if (c->requests || c->dead)
        return;
    bool takes_more = http_h2_may_request(c->core); /* it did not say GOAWAY */
    if (c->retiring || !takes_more || !c->ready || c->keepalive_ms == 0)
        connection_close(c);
    else
        io_timer_set(&c->idle, c->links->loop->now_ms + c->keepalive_ms);
}

static bool is_usable(const struct io_link_h2 *c, const struct io_link_key *key)
{
    return !c->dead && !c->retiring && c->links->loop->now_ms - c->made_at_ms < AGE_MAX_MS &&
           c->key.len == key->len && memcmp(c->key.text, key->text, key->len) == 0 &&
           http_h2_may_request(c->core);
}

static struct io_link_h2 *find_connection(struct io_links *p, const struct io_link_key *key)
{
    struct io_link_h2 *c = p->h2;
    while (c && !is_usable(c, key))
        c = c->next;
    return c;
}

static unsigned count_connections(const struct io_links *p, const struct io_link_key *key)
{
    unsigned count = 0;
    for (const struct io_link_h2 *c = p->h2; c; c = c->next)
        count +=
            !c->dead && c->key.len == key->len && memcmp(c->key.text, key->text, key->len) == 0;
    return count;
}

/* ---- endings of requests */

static void request_leave(struct request *q)
{
    struct io_link_h2 *c = q->connection;
    if (!c)
        return;
    q->connection = NULL;
    c->unsent -= !q->sent;
    if (q->next)
        q->next->prev = q->prev;
    *q->prev = q->next;
    http_h2_set_user(c->core, q->stream, NULL);
    connection_rest(c);
}

static void request_free(struct request *q)
{
    io_timer_stop(&q->timer);
    io_task_cancel(&q->told);
    io_task_cancel(&q->room);
    buf_fini(&q->body);
    buf_fini(&q->held);
    arena_fini(&q->arena);
    free(q);
}

static void request_end(struct request *q)
{
    request_leave(q);
    q->functions->ended(q->user, q->failure, q->reused, q->answered,
                        q->failure == IO_LINK_OK && q->trailers.count ? &q->trailers : NULL);
    request_free(q);
}

/* Nothing more comes. What is held is given first, once the user wants it. */
static void request_over(struct request *q, enum io_link_failure why)
{
    if (q->over)
        return;
    q->over = true;
    q->failure = why;
    io_timer_set(&q->timer, 0);
    if (why == IO_LINK_OK && (q->paused || buf_len(&q->held)))
        request_leave(q);
    else
        request_end(q);
}

/* We want no more of it. */
static void request_fail(struct request *q, enum io_link_failure why)
{
    if (q->connection) {
        struct io_link_h2 *c = q->connection;
        http_h2_reset(c->core, q->stream, HTTP_H2_CANCEL);
        io_stream_kick(c->stream);
    }
    request_over(q, why);
}

static void fail_all(struct io_link_h2 *c, enum io_link_failure why)
{
    c->retiring = true;
    while (c->requests) {
        struct request *q = c->requests;
        request_over(q, q->final ? IO_LINK_CUT : why);
    }
}

static void cancel(struct io_link *link)
{
    struct request *q = CONTAINER_OF(link, struct request, base);
    if (q->connection) {
        http_h2_reset(q->connection->core, q->stream, HTTP_H2_CANCEL);
        io_stream_kick(q->connection->stream);
    }
    request_leave(q);
    request_free(q);
}

/* ---- deadlines */

static void set_deadline(struct request *q, uint32_t wait_ms)
{
    io_timer_set(&q->timer, wait_ms ? q->loop->now_ms + wait_ms : 0);
}

/* After something moved. */
static void rearm(struct request *q)
{
    if (q->over || !q->connection || !q->connection->ready)
        return;
    bool ours = !q->body_over && buf_len(&q->body) == 0; /* the caller's turn */
    if (q->paused || (ours && !q->final))
        set_deadline(q, 0);
    else
        set_deadline(q, q->final ? q->idle_ms : q->first_byte_ms);
}

static void on_timer(struct io_timer *t)
{
    struct request *q = CONTAINER_OF(t, struct request, timer);
    struct io_link_h2 *c = q->connection;
    if (!c->ready) {
        c->retiring = true; /* let others try anew */
        request_fail(q, IO_LINK_CONNECT_TIMEOUT);
        return;
    }
    if (c->heard == q->heard_before || !q->sent)
        c->retiring = true; /* it may be dead without our having been told */
    request_fail(q, q->final ? IO_LINK_IDLE_TIMEOUT : IO_LINK_FIRST_BYTE_TIMEOUT);
}

/* ---- what the core tells */

static bool keep_fields(struct request *q, const struct http_fields *from,
                        struct http_fields *out)
{
    *out = (struct http_fields){0};
    for (uint32_t i = 0; i < from->count; i++) {
        struct span name, value;
        if (!arena_copy(&q->arena, from->at[i].name, &name) ||
            !arena_copy(&q->arena, from->at[i].value, &value) ||
            !http_fields_add(out, &q->arena, name, value))
            return false;
    }
    return true;
}

static void complete(struct request *q)
{
    if (!q->body_over || buf_len(&q->body) > 0) /* the rest of the request is of no use */
        http_h2_reset(q->connection->core, q->stream, HTTP_H2_NO_ERROR);
    request_over(q, IO_LINK_OK);
}

static void on_response(void *user, int32_t stream, struct http_response *read,
                        struct arena *arena, bool ended)
{
    struct io_link_h2 *c = user;
    struct request *q = http_h2_user(c->core, stream);
    struct http_response r = *read;
    (void)arena; /* goes with the stream: too early for one that is paused */
    if (!q)
        return;
    q->answered = true;
    if (!keep_fields(q, &read->fields, &r.fields)) {
        request_fail(q, IO_LINK_PROTOCOL);
        return;
    }
    q->final = r.status >= 200;
    if (r.status >= 300 && !(q->body_over && buf_len(&q->body) == 0)) {
        q->body_dropped = true;
        buf_release(&q->body);
    }
    q->functions->response(q->user, &r, &q->arena);
    if (http_h2_user(c->core, stream) != q)
        return;
    rearm(q);
    if (ended)
        complete(q);
}

static void on_body(void *user, int32_t stream, struct span bytes)
{
    struct io_link_h2 *c = user;
    struct request *q = http_h2_user(c->core, stream);
    if (!q)
        return;                           /* credited when the stream closes */
    if (q->paused || buf_len(&q->held)) { /* at most a window */
        if (buf_append(&q->held, bytes) != ERR_OK)
            request_fail(q, IO_LINK_CUT);
        return;
    }
    q->functions->body(q->user, bytes);
    http_h2_consumed(c->core, stream, bytes.len);
    if (http_h2_user(c->core, stream) == q)
        rearm(q);
}

static void on_trailers(void *user, int32_t stream, const struct http_fields *f)
{
    struct io_link_h2 *c = user;
    struct request *q = http_h2_user(c->core, stream);
    if (q && !keep_fields(q, f, &q->trailers))
        request_fail(q, IO_LINK_PROTOCOL);
}

static void on_body_end(void *user, int32_t stream)
{
    struct io_link_h2 *c = user;
    struct request *q = http_h2_user(c->core, stream);
    if (q)
        complete(q);
}

static void on_stream_close(void *user, int32_t stream, uint32_t error)
{
    struct io_link_h2 *c = user;
    struct request *q = http_h2_user(c->core, stream);
    if (!q)
        return;
    enum io_link_failure why = c->failure ? c->failure : IO_LINK_CLOSED;
    if (error == HTTP_H2_PROTOCOL_ERROR)
        why = IO_LINK_PROTOCOL;
    request_over(q, q->final ? IO_LINK_CUT : why);
}

static void tell_room(struct io_task *t)
{
    struct request *q = CONTAINER_OF(t, struct request, room);
    q->functions->body_room(q->user);
}

static enum err on_read_body(void *user, int32_t stream, char *out, size_t room,
                             size_t *out_len, struct http_fields *out_trailers)
{
    struct io_link_h2 *c = user;
    struct request *q = http_h2_user(c->core, stream);
    if (!q || q->body_dropped)
        return ERR_CLOSED; /* reset before */
    size_t n = buf_len(&q->body) < room ? buf_len(&q->body) : room;
    if (q->body_left != HTTP_LENGTH_UNKNOWN && (int64_t)n > q->body_left)
        return ERR_CORRUPT; /* more than was declared */
    memcpy(out, buf_span(&q->body).ptr, n);
    buf_consume(&q->body, n);
    if (q->body_left != HTTP_LENGTH_UNKNOWN)
        q->body_left -= (int64_t)n;
    *out_len = n;
    if (n > 0)
        rearm(q);
    if (q->body_wanted && buf_len(&q->body) <= IO_LINK_BODY_BYTES / 2) {
        q->body_wanted = false;
        io_loop_soon(q->loop, &q->room, tell_room);
    }
    if (buf_len(&q->body) > 0 || !q->body_over)
        return n > 0 ? ERR_OK : ERR_AGAIN;
    if (q->body_left > 0)
        return ERR_CORRUPT; /* less */
    *out_trailers = q->sent_trailers;
    return ERR_CLOSED;
}

static const struct http_h2_functions core_functions = {
    .response = on_response,
    .body = on_body,
    .trailers = on_trailers,
    .body_end = on_body_end,
    .stream_close = on_stream_close,
    .read_body = on_read_body,
};

/* ---- the stream's core */

static void on_ready(void *core_)
{
    struct io_link_h2 *c = core_;
    if (c->dead)
        return;
    c->ready = true;
    for (struct request *q = c->requests; q; q = q->next)
        rearm(q);
}

static size_t on_input(void *core_, struct span bytes)
{
    struct io_link_h2 *c = core_;
    c->heard++;
    if (http_h2_feed(c->core, bytes, c->links->loop->now_ms) != ERR_OK && !c->dead) {
        fail_all(c, http_h2_end_code(c->core) ? IO_LINK_PROTOCOL : IO_LINK_CLOSED);
        connection_close(c);
    } else if (!c->requests && !http_h2_may_request(c->core)) {
        connection_close(c);
    }
    return bytes.len;
}

static void on_input_end(void *core_)
{
    struct io_link_h2 *c = core_;
    fail_all(c, IO_LINK_CLOSED);
    connection_close(c);
}

/* Their heads are about to leave. A user may cancel any request meanwhile. */
static void tell_sending(struct io_link_h2 *c)
{
    while (c->unsent > 0) {
        struct request *q = c->requests;
        while (q->sent)
            q = q->next;
        q->sent = true;
        q->heard_before = c->heard;
        c->unsent--;
        q->functions->sending(q->user);
    }
}

static size_t on_output(void *core_, struct span *out, size_t max, char *scratch, size_t room)
{
    struct io_link_h2 *c = core_;
    must(max >= 1);
    if (!c->ready)
        return 0;
    tell_sending(c);
    size_t bytes = http_h2_output(c->core, scratch, room);
    out[0] = span_of(scratch, bytes);
    return bytes > 0;
}

static enum io_link_failure failure_of(const struct io_link_h2 *c, enum err why)
{
    if (c->ready)
        return IO_LINK_CLOSED;
    if (why == ERR_LIB || why == ERR_CLOSED)
        return IO_LINK_TLS;
    return why == ERR_TIMEOUT ? IO_LINK_CONNECT_TIMEOUT : IO_LINK_CONNECT;
}

static void on_closed(void *core_, enum err why)
{
    struct io_link_h2 *c = core_;
    c->failure = failure_of(c, why);
    c->dead = true;
    fail_all(c, c->failure);
    connection_destroy(c);
}

static const struct io_stream_core core = {
    .ready = on_ready,
    .input = on_input,
    .input_end = on_input_end,
    .output = on_output,
    .closed = on_closed,
};

/* ---- the request's body, pauses */

static size_t give_body(struct io_link *link, struct span bytes)
{
    struct request *q = CONTAINER_OF(link, struct request, base);
    must(!q->body_over);
    if (q->body_dropped || !q->connection)
        return bytes.len;
    size_t room = IO_LINK_BODY_BYTES - buf_len(&q->body);
    size_t n = bytes.len < room ? bytes.len : room;
    if (n > 0 && buf_append(&q->body, span_until(bytes, n)) != ERR_OK)
        n = 0;
    q->body_wanted = n < bytes.len;
    http_h2_body_ready(q->connection->core, q->stream);
    io_stream_kick(q->connection->stream);
    return n;
}

static void end_body(struct io_link *link, const struct http_fields *trailers)
{
    struct request *q = CONTAINER_OF(link, struct request, base);
    must(!q->body_over);
    q->body_over = true;
    if (trailers && !keep_fields(q, trailers, &q->sent_trailers))
        q->sent_trailers = (struct http_fields){0};
    if (!q->connection || q->body_dropped)
        return;
    http_h2_body_ready(q->connection->core, q->stream);
    io_stream_kick(q->connection->stream);
    rearm(q);
}

static void pause_link(struct io_link *link)
{
    struct request *q = CONTAINER_OF(link, struct request, base);
    q->paused = true;
    rearm(q);
}

/* What was held, then the end if that has come. */
static void give_held(struct io_task *t)
{
    struct request *q = CONTAINER_OF(t, struct request, told);
    size_t bytes = buf_len(&q->held);
    if (q->paused)
        return;
    if (bytes > 0) {
        struct buf held = q->held; /* the user may cancel from inside */
        struct io_link_h2 *c = q->connection;
        int32_t stream = q->stream;
        bool over = q->over;
        buf_init(&q->held, 0);
        if (c) {
            http_h2_consumed(c->core, stream, bytes);
            io_stream_kick(c->stream);
        }
        if (over)
            io_loop_soon(q->loop, &q->told, give_held); /* cancelled with it */
        q->functions->body(q->user, buf_span(&held));
        buf_fini(&held);
        return;
    }
    if (q->over)
        request_end(q);
}

static void resume_link(struct io_link *link)
{
    struct request *q = CONTAINER_OF(link, struct request, base);
    if (!q->paused)
        return;
    q->paused = false;
    if (q->over || buf_len(&q->held))
        io_loop_soon(q->loop, &q->told, give_held);
    rearm(q);
}

static const struct io_link_protocol protocol = {
    .body = give_body,
    .body_end = end_body,
    .pause = pause_link,
    .resume = resume_link,
    .cancel = cancel,
};

/* ---- starting */

static struct io_link_h2 *connection_create(struct io_links *p, const struct io_link_key *key,
                                            const struct io_link_target *target)
{
    const struct http_h2_conf conf = {.streams_max = STREAMS_MAX,
                                      .fields_bytes = (uint32_t)p->limits.fields_bytes,
                                      .field_count = (uint32_t)p->limits.field_count,
                                      .field_bytes = (uint32_t)p->limits.field_bytes,
                                      .tag_field_bytes = (uint32_t)p->limits.tag_field_bytes,
                                      .cost_per_10s = COST_PER_10S,
                                      .arena_bytes = ARENA_BYTES};
    struct addr to;
    if (!target->tls || addr_parse(target->host, &to) != ERR_OK)
        return NULL;
    to.port = target->port;
    struct io_link_h2 *c = must_alloc(sizeof(*c));
    c->stream = io_stream_connect(p->loop, &to, target->tls, key->server_name, &core, c);
    if (!c->stream) {
        free(c);
        return NULL;
    }
    c->links = p;
    c->tls = io_tls_context_hold(target->tls);
    c->core = http_h2_create(HTTP_CLIENT, &conf, &core_functions, c);
    c->key = *key;
    c->made_at_ms = p->loop->now_ms;
    io_timer_init(&c->idle, p->loop, on_idle);
    c->prev = &p->h2;
    c->next = p->h2;
    if (c->next)
        c->next->prev = &c->next;
    p->h2 = c;
    return c;
}

static struct io_link_h2 *take_connection(struct io_links *p, const struct io_link_key *key,
                                          const struct io_link_target *target)
{
    struct io_link_h2 *c = target->fresh ? NULL : find_connection(p, key);
    if (!c && count_connections(p, key) < IO_LINK_H2_MAX)
        c = connection_create(p, key, target);
    return c;
}

static void tell_failure(struct io_task *t)
{
    request_end(CONTAINER_OF(t, struct request, told));
}

static struct request *request_create(struct io_links *p, const struct io_link_target *target,
                                      const struct http_request *request,
                                      const struct io_link_functions *functions, void *user)
{
    struct request *q = must_alloc(sizeof(*q));
    *q = (struct request){.base = {&protocol},
                          .loop = p->loop,
                          .functions = functions,
                          .user = user,
                          .connect_ms = target->connect_ms,
                          .first_byte_ms = target->first_byte_ms,
                          .idle_ms = target->idle_ms,
                          .body_left = request->body_bytes,
                          .body_over = request->body_bytes == 0};
    arena_init(&q->arena, ARENA_BYTES);
    io_timer_init(&q->timer, p->loop, on_timer);
    buf_init(&q->body, IO_LINK_BODY_BYTES);
    buf_init(&q->held, 0);
    return q;
}

static void request_join(struct request *q, struct io_link_h2 *c, uint32_t keepalive_ms)
{
    q->connection = c;
    q->reused = c->carried;
    q->prev = &c->requests;
    q->next = c->requests;
    if (q->next)
        q->next->prev = &q->next;
    c->requests = q;
    c->unsent++;
    c->carried = true;
    c->keepalive_ms = keepalive_ms;
    io_timer_set(&c->idle, 0);
    http_h2_set_user(c->core, q->stream, q);
    if (!c->ready) {
        set_deadline(q, q->connect_ms);
        return;
    }
    rearm(q);
    io_stream_kick(c->stream);
}

struct io_link *io_link_h2_start(struct io_links *p, const struct io_link_key *key,
                                 const struct io_link_target *target,
                                 const struct http_request *request,
                                 const struct io_link_functions *functions, void *user)
{
    struct io_link_h2 *c = take_connection(p, key, target);
    struct request *q = request_create(p, target, request, functions, user);
    if (!c) {
        q->over = true;
        q->failure = IO_LINK_CONNECT;
        io_loop_soon(p->loop, &q->told, tell_failure);
        return &q->base;
    }
    if (http_h2_request(c->core, request, request->body_bytes != 0, &q->stream) != ERR_OK) {
        connection_rest(c);
        request_free(q);
        return NULL;
    }
    request_join(q, c, target->keepalive_ms);
    return &q->base;
}

/* ---- all connections */

void io_link_h2_drop_idle(struct io_links *p)
{
    struct io_link_h2 *next;
    for (struct io_link_h2 *c = p->h2; c; c = next) {
        next = c->next; /* closing is told later */
        c->retiring = true;
        connection_rest(c);
    }
}

void io_link_h2_destroy(struct io_links *p)
{
    while (p->h2)
        connection_destroy(p->h2);
}
