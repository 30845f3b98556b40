#include "node/origin/fetch.h"

#include <stdlib.h>

#include "base/counter.h"
#include "base/crypto.h"
#include "base/log.h"
#include "cluster/purge_recent.h"
#include "node/origin/balance.h"
#include "node/origin/errand.h"
#include "node/origin/failure.h"
#include "node/origin/resume.h"

#define STATUS_REFUSING 300 /* from here on io_link drops the request's body */
#define LOG_PER_MINUTE 60
#define VECTOR_BYTES_MAX 6144 /* of a peer, decoded: 384 streams */

/* ASKING > FILLING > DRAINING > OVER; each may be left out but the last. While FILLING a link
 * that is lost may be followed by another one for the rest. */
enum phase {
    ASKING,   /* no final head yet: attempts may follow one another */
    FILLING,  /* the body goes to the intake */
    DRAINING, /* the intake has all it wants; a short rest is read to keep the connection */
    OVER,     /* only the intake's letter is waited for */
};

struct origin_fetch {
    struct origin_fetch *next, **prev;
    struct origin_fetches *fetches;
    struct io_loop *loop;
    struct io_links *links;
    enum phase phase;
    struct cache_intake intake;

    struct origin_errand errand;
    struct origin_fetch_watcher watcher;
    bool watched;
    struct io_task attempt_task, left_task;

    /* The attempt. */
    struct io_link *link;
    struct origin_server *server; /* in flight while there is a link; or */
    struct origin_peer *peer;     /* open there while there is one */
    struct origin_fetch_peers peers;
    uint32_t peer_next;
    struct io_timer sign; /* a peer's first sign is due */
    uint64_t tried;
    uint32_t turn, retries;
    bool again; /* the same server, over a fresh connection */
    bool sent;

    /* The request's body. */
    bool has_body, body_over, body_taken;
    struct http_fields trailers;

    int64_t body_left; /* of the response, as declared; HTTP_LENGTH_UNKNOWN */
    struct origin_resume resume;
    bool resuming; /* a peer's body was cut: the rest is the origin's */
    size_t drained;
    int64_t began_ms;
    struct origin_fetch_figures figures;
};

static const struct io_link_functions link_functions;
static void on_attempt(struct io_task *t);

/* ---- endings */

static void destroy(struct origin_fetch *f)
{
    if (f->next)
        f->next->prev = f->prev;
    *f->prev = f->next;
    f->fetches->count--;
    io_timer_stop(&f->sign);
    for (uint32_t i = 0; i < f->peers.count; i++)
        origin_peer_drop(f->peers.at[i]);
    origin_errand_fini(&f->errand);
    free(f);
}

static void tell_left(struct origin_fetch *f)
{
    io_task_cancel(&f->left_task);
    if (!f->watched)
        return;
    f->watched = false;
    f->watcher.left(f->watcher.user);
}

/* The intake has heard how it ended. f is gone, or soon will be. */
static void finish(struct origin_fetch *f)
{
    must(!f->link && f->phase != OVER);
    f->phase = OVER;
    io_task_cancel(&f->attempt_task);
    tell_left(f);
    if (cache_intake_fini(&f->intake))
        destroy(f);
}

static void drop_server(struct origin_fetch *f)
{
    f->link = NULL;
    io_timer_set(&f->sign, 0);
    if (f->peer)
        atomic_fetch_sub_explicit(&f->peer->open, 1, memory_order_relaxed);
    else
        atomic_fetch_sub_explicit(&f->server->in_flight, 1, memory_order_relaxed);
}

static void drop_link(struct origin_fetch *f)
{
    if (!f->link)
        return;
    io_link_cancel(f->link);
    drop_server(f);
}

static void fail(struct origin_fetch *f, enum cache_failure why)
{
    drop_link(f);
    cache_intake_fail(&f->intake, why, f->loop->now_s);
    finish(f);
}

/* ---- the watcher */

static void on_left(struct io_task *t)
{
    tell_left(CONTAINER_OF(t, struct origin_fetch, left_task));
}

static bool needs_body(const struct origin_fetch *f)
{
    return f->has_body && !f->body_over &&
           (f->phase == ASKING || (f->phase == FILLING && f->figures.status < STATUS_REFUSING));
}

/* From a task: whoever is told need not think of who is above it. */
static void leave_if_done(struct origin_fetch *f)
{
    if (f->watched && f->phase != ASKING && !needs_body(f))
        io_loop_soon(f->loop, &f->left_task, on_left);
}

/* May end the fetch: the last thing to do. */
static void ask_for_body(struct origin_fetch *f)
{
    if (f->watched && needs_body(f))
        f->watcher.body_room(f->watcher.user);
}

/* ---- failures */

static void note_peer(struct origin_fetch *f, enum counter counter, const char *why)
{
    static struct log_limit limit;
    counter_add(counter, 1);
    if (why)
        log_limited(&limit, LOG_PER_MINUTE, LOG_WARN, "peer_error", "peer=%s why=%s",
                    f->peer->id, why);
}

static void note_error(struct origin_fetch *f, enum io_link_failure why)
{
    static struct log_limit limit;
    char name[256];
    if (f->peer) {
        note_peer(f, COUNTER_PEER_FETCHES_FAILED, origin_failure_text(why));
        return;
    }
    counter_add(COUNTER_ORIGIN_ERRORS, 1);
    if (origin_failure_of(why, false) == CACHE_FAILURE_TIMEOUT)
        counter_add(COUNTER_ORIGIN_TIMEOUTS, 1);
    atomic_fetch_add_explicit(&f->server->errors, 1, memory_order_relaxed);
    log_limited(&limit, LOG_PER_MINUTE, LOG_WARN, "origin_error", "origin=%s server=%s why=%s",
                log_quote(span_text(f->errand.origin->conf.name), name, sizeof(name)),
                f->server->conf->authority, origin_failure_text(why));
}

/* ---- attempts */

/* False: every server was tried, or there is none. */
static bool pick(struct origin_fetch *f)
{
    uint32_t at;
    if (!origin_balance_pick(f->errand.origin->conf.server_count, f->turn, f->tried, &at))
        return false;
    f->tried |= UINT64_C(1) << at;
    f->server = &f->errand.origin->servers[at];
    return true;
}

static bool has_other(const struct origin_fetch *f)
{
    uint32_t at;
    return origin_balance_pick(f->errand.origin->conf.server_count, f->turn, f->tried, &at);
}

/* The request for this server, in memory that lasts until it is bytes. */
static bool make_request(struct origin_fetch *f, struct arena *a, struct http_request *out)
{
    *out = f->errand.request;
    if (!f->has_body)
        out->body_bytes = 0;
    return origin_errand_copy_list(&f->errand.request.fields, a, &out->fields) &&
           cache_intake_request_fields(&f->intake, &out->fields, a) &&
           (!f->resuming || origin_resume_ask(&f->resume, &out->fields, a)) &&
           f->errand.functions->outgoing(f->errand.copy, f->server->conf, out, a);
}

static struct io_link *start_link(struct origin_fetch *f, const struct http_request *r)
{
    const struct conf_origin_server *c = f->server->conf;
    struct io_link_target target = {
        .host = span_text(c->host),
        .port = c->port,
        .tls = c->tls ? f->errand.origin->tls : NULL,
        .server_name = span_text(c->host),
        /* Who may not ask twice cannot bear a kept connection that turns out to be closed:
         * neither what is not idempotent, nor a body that is given once. */
        .fresh = f->again || f->resuming || f->has_body ||
                 !http_method_is_idempotent(f->errand.request.method),
        .connect_ms = f->errand.limits->origin_connect_ms,
        .first_byte_ms = f->errand.limits->origin_first_byte_ms,
        .idle_ms = f->errand.limits->origin_idle_ms,
        .keepalive_ms = f->errand.limits->origin_keepalive_ms,
    };
    return io_link_start(f->links, &target, r, &link_functions, f);
}

static void ask_origin(struct origin_fetch *f)
{
    struct http_request r;
    struct arena a;
    f->peer = NULL;
    if (!f->again && !pick(f)) {
        fail(f, f->resuming ? CACHE_FAILURE_INCOMPLETE : CACHE_FAILURE_UNAVAILABLE);
        return;
    }
    f->sent = false;
    arena_init(&a, f->errand.arena.cap_bytes);
    f->link = make_request(f, &a, &r) ? start_link(f, &r) : NULL;
    arena_fini(&a);
    if (!f->link) {
        fail(f, CACHE_FAILURE_UNAVAILABLE);
        return;
    }
    f->figures.attempts++;
    f->figures.server = f->server->conf->authority;
    counter_add(COUNTER_ORIGIN_REQUESTS, 1);
    atomic_fetch_add_explicit(&f->server->requests, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&f->server->in_flight, 1, memory_order_relaxed);
}

/* ---- other nodes */

static struct io_link *link_to_peer(struct origin_fetch *f)
{
    struct http_request r = f->errand.request;
    struct io_link *link = NULL;
    struct arena a;
    const struct io_link_target target = {.host = span_text(f->peer->address),
                                          .port = f->peer->port,
                                          .tls = f->peers.tls,
                                          .server_name = span_text(f->peer->id),
                                          .h2 = true,
                                          .fresh = f->again,
                                          .connect_ms = ORIGIN_PEERS_CONNECT_MS,
                                          .first_byte_ms = ORIGIN_PEERS_SILENCE_MS,
                                          .idle_ms = f->errand.limits->origin_idle_ms,
                                          .keepalive_ms =
                                              f->errand.limits->origin_keepalive_ms};
    r.body_bytes = 0;
    arena_init(&a, f->errand.arena.cap_bytes);
    if (origin_errand_copy_list(&f->errand.request.fields, &a, &r.fields) &&
        cache_intake_request_fields(&f->intake, &r.fields, &a) &&
        f->errand.functions->to_peer(f->errand.copy, f->peers.hops + 1, &r, &a))
        link = io_link_start(f->links, &target, &r, &link_functions, f);
    arena_fini(&a);
    return link;
}

static void ask_peer(struct origin_fetch *f)
{
    if (!f->again)
        f->peer = f->peers.at[f->peer_next++];
    f->sent = false;
    f->link = link_to_peer(f);
    if (!f->link) {
        f->again = false;
        io_loop_soon(f->loop, &f->attempt_task, on_attempt);
        return;
    }
    atomic_fetch_add_explicit(&f->peer->open, 1, memory_order_relaxed);
    io_timer_set(&f->sign, f->loop->now_ms + ORIGIN_PEERS_SIGN_MS);
}

static void on_attempt(struct io_task *t)
{
    struct origin_fetch *f = CONTAINER_OF(t, struct origin_fetch, attempt_task);
    if (!f->resuming && (f->again ? f->peer != NULL : f->peer_next < f->peers.count))
        ask_peer(f);
    else
        ask_origin(f);
}

static void peer_failed(struct origin_fetch *f, const char *why)
{
    note_peer(f, COUNTER_PEER_FETCHES_FAILED, why);
    origin_peer_was_silent(f->peer, f->loop->now_ms);
    io_loop_soon(f->loop, &f->attempt_task, on_attempt);
}

static void on_no_sign(struct io_timer *t)
{
    struct origin_fetch *f = CONTAINER_OF(t, struct origin_fetch, sign);
    drop_link(f);
    peer_failed(f, "no_sign");
}

/* It ended without a head. */
static void peer_ended(struct origin_fetch *f, enum io_link_failure why, bool reused,
                       bool answered)
{
    bool closed_meanwhile = reused && !answered && why == IO_LINK_CLOSED && !f->again;
    f->again = closed_meanwhile;
    if (closed_meanwhile)
        io_loop_soon(f->loop, &f->attempt_task, on_attempt);
    else
        peer_failed(f, origin_failure_text(why));
}

/* What it says is no answer, or may be too old: nobody else of the kind is asked. */
static void refuse_peer(struct origin_fetch *f, const char *why)
{
    note_peer(f, COUNTER_PEER_FETCHES_REFUSED, why);
    drop_link(f);
    f->figures.status = 0;
    f->figures.first_byte_ms = -1;
    f->peer_next = f->peers.count;
    io_loop_soon(f->loop, &f->attempt_task, on_attempt);
}

/* Takes the vector out of the head. False: there is none. */
static bool read_vector(struct origin_fetch *f, struct http_response *r, uint64_t *out_oldest)
{
    uint8_t vector[VECTOR_BYTES_MAX];
    size_t len;
    const struct http_field *field =
        http_fields_find_text(&r->fields, SPAN(ORIGIN_PEER_VECTOR));
    if (!field || crypto_base64_decode(field->value, vector, sizeof vector, &len) != ERR_OK)
        return false;
    *out_oldest =
        cluster_recent_oldest_unknown_to(f->peers.recent, span_of(vector, len), io_loop_us());
    http_fields_remove_text(&r->fields, SPAN(ORIGIN_PEER_VECTOR));
    return true;
}

static void take_response(struct origin_fetch *f, const struct http_response *r);

static void on_peer_response(struct origin_fetch *f, struct http_response *r, struct arena *a)
{
    uint64_t oldest;
    if (!read_vector(f, r, &oldest) || !f->errand.functions->from_peer(f->errand.copy, r, a)) {
        refuse_peer(f, "no_answer");
        return;
    }
    cache_intake_from_peer(&f->intake, oldest);
    take_response(f, r);
}

/* ---- an attempt's end */

/* An attempt ended without a head. */
static void try_again(struct origin_fetch *f, enum io_link_failure why, bool reused,
                      bool answered)
{
    struct origin_attempt a = {
        .idempotent = http_method_is_idempotent(f->errand.request.method),
        .body_taken = f->body_taken,
        .sent = f->sent,
        .answered = answered,
        .reused = reused && why == IO_LINK_CLOSED,
        .retries = f->retries,
        .retry_max = f->errand.origin->conf.retry_max,
        .other_server = has_other(f),
    };
    enum origin_next next = origin_balance_next(&a);
    f->again = next == ORIGIN_NEXT_SAME_FRESH;
    if (!f->again)
        note_error(f, why);
    if (next == ORIGIN_NEXT_FAIL) {
        fail(f, origin_failure_of(why, false));
        return;
    }
    if (next == ORIGIN_NEXT_OTHER) {
        f->retries++;
        counter_add(COUNTER_ORIGIN_RETRIES, 1);
    }
    io_loop_soon(f->loop, &f->attempt_task, on_attempt);
}

/* ---- what the link says */

static void on_sending(void *user)
{
    struct origin_fetch *f = user;
    f->sent = true;
    if (!f->resuming) /* the rest is as old as the beginning */
        cache_intake_sent(&f->intake, f->loop->now_s);
    if (f->has_body && f->body_over) /* an empty one, ended before there was a link */
        io_link_body_end(f->link, &f->trailers);
    else
        ask_for_body(f);
}

/* Bytes that are HTTP, and no answer that we can pass on. */
static void refuse(struct origin_fetch *f)
{
    note_error(f, IO_LINK_PROTOCOL);
    fail(f, CACHE_FAILURE_PROTOCOL);
}

/* The intake wants no more. */
static void drain(struct origin_fetch *f)
{
    bool half_sent = f->has_body && !f->body_over; /* the connection cannot be kept */
    f->phase = DRAINING;
    if (half_sent || f->body_left > ORIGIN_FETCH_DRAIN_BYTES) {
        drop_link(f);
        finish(f);
        return;
    }
    io_link_resume(f->link);
    leave_if_done(f);
}

static void take_interim(struct origin_fetch *f, struct http_response *r, struct arena *a)
{
    if (r->status == 101) { /* nobody asked for another protocol */
        refuse(f);
        return;
    }
    /* RFC 9110 10.1.1: 100 is between the origin and us; the client has had its own. */
    bool passed_on =
        f->peer ? r->status != 102 && f->errand.functions->from_peer(f->errand.copy, r, a)
                : f->errand.functions->incoming(f->errand.copy, f->server->conf, r, a);
    if (r->status != 100 && passed_on)
        cache_intake_interim(&f->intake, r);
}

static void take_response(struct origin_fetch *f, const struct http_response *r)
{
    enum cache_take take = cache_intake_response(&f->intake, r, f->loop->now_s);
    if (take == CACHE_TAKE_REFUSED) {
        refuse_peer(f, NULL); /* a purge is on its way to it */
        return;
    }
    if (f->peer) {
        counter_add(COUNTER_PEER_FETCHES_TAKEN, 1);
        must(span_copy(span_text(f->peer->id), f->figures.peer, sizeof(f->figures.peer)) ==
             ERR_OK);
        origin_resume_begin(&f->resume, r, f->loop->now_s, &f->errand.arena);
    }
    f->phase = FILLING;
    if (take == CACHE_TAKE_DONE)
        drain(f);
    else
        leave_if_done(f);
}

/* As after any attempt that failed: `retry.max` of them, each at another server. */
static bool count_retry(struct origin_fetch *f)
{
    if (f->retries >= f->errand.origin->conf.retry_max || !has_other(f))
        return false;
    f->retries++;
    counter_add(COUNTER_ORIGIN_RETRIES, 1);
    return true;
}

/* True: the origin is asked for what is missing. */
static bool resume(struct origin_fetch *f)
{
    if (!origin_resume_may(&f->resume) || !cache_intake_wanted(&f->intake) ||
        (f->resuming && !count_retry(f)))
        return false;
    f->resuming = true;
    f->again = false;
    counter_add(COUNTER_PEER_FETCHES_RESUMED, f->peer != NULL);
    io_loop_soon(f->loop, &f->attempt_task, on_attempt);
    return true;
}

/* Of an origin that was asked for the rest. */
static void take_rest(struct origin_fetch *f, const struct http_response *r)
{
    if (r->status < 200 && r->status != 101)
        return;
    if (origin_resume_fits(&f->resume, r)) {
        f->body_left = r->body_bytes;
        return;
    }
    drop_link(f);
    if (!resume(f))
        fail(f, CACHE_FAILURE_INCOMPLETE);
}

static void on_response(void *user, struct http_response *r, struct arena *a)
{
    struct origin_fetch *f = user;
    if (f->resuming) {
        take_rest(f, r);
        return;
    }
    if (f->peer) {
        io_timer_set(&f->sign, 0);
        origin_peer_answered(f->peer);
    }
    if (r->status < 200) {
        take_interim(f, r, a);
        return;
    }
    f->figures.status = r->status;
    f->figures.first_byte_ms = f->loop->now_ms - f->began_ms;
    f->body_left = r->body_absent ? 0 : r->body_bytes;
    if (f->peer) {
        on_peer_response(f, r, a);
        return;
    }
    if (!f->errand.functions->incoming(f->errand.copy, f->server->conf, r, a)) {
        refuse(f);
        return;
    }
    take_response(f, r);
}

static void on_body(void *user, struct span bytes)
{
    struct origin_fetch *f = user;
    if (!f->peer)
        counter_add(COUNTER_ORIGIN_BYTES, bytes.len);
    if (f->body_left != HTTP_LENGTH_UNKNOWN)
        f->body_left -= (int64_t)bytes.len;
    if (f->phase == DRAINING) {
        f->drained += bytes.len;
        if (f->drained > ORIGIN_FETCH_DRAIN_BYTES) {
            drop_link(f);
            finish(f);
        }
        return;
    }
    if (f->resuming && !origin_resume_holds(&f->resume, bytes.len)) {
        note_error(f, IO_LINK_PROTOCOL);
        fail(f, CACHE_FAILURE_INCOMPLETE);
        return;
    }
    enum err e = cache_intake_body(&f->intake, origin_resume_take(&f->resume, bytes));
    if (e == ERR_AGAIN)
        io_link_pause(f->link);
    else if (e != ERR_OK)
        drain(f);
}

static void on_body_room(void *user)
{
    ask_for_body(user);
}

/* False: somebody else is asked for the rest. */
static bool end_body(struct origin_fetch *f, enum io_link_failure why,
                     const struct http_fields *trailers)
{
    bool from_peer = f->peer || f->resuming, over = origin_resume_is_over(&f->resume);
    if (why != IO_LINK_OK)
        note_error(f, why);
    if (why == IO_LINK_OK ? !f->resuming || over : from_peer && over) {
        cache_intake_end(&f->intake, why == IO_LINK_OK ? trailers : NULL);
        return true;
    }
    if (resume(f))
        return false;
    cache_intake_fail(&f->intake, origin_failure_of(why, true), f->loop->now_s);
    return true;
}

static void on_ended(void *user, enum io_link_failure why, bool reused, bool answered,
                     const struct http_fields *trailers)
{
    struct origin_fetch *f = user;
    drop_server(f);
    switch (f->phase) {
    case ASKING:
        if (f->peer)
            peer_ended(f, why, reused, answered);
        else
            try_again(f, why, reused, answered);
        return;
    case FILLING:
        if (end_body(f, why, trailers))
            break;
        return;
    case DRAINING: /* nobody minds how */
    case OVER:
        break;
    }
    finish(f);
}

static const struct io_link_functions link_functions = {
    .sending = on_sending,
    .response = on_response,
    .body = on_body,
    .body_room = on_body_room,
    .ended = on_ended,
};

/* ---- what the intake says */

/* Room again, or nobody reads any more; or the last letter. */
static void on_room(struct cache_intake *i)
{
    struct origin_fetch *f = CONTAINER_OF(i, struct origin_fetch, intake);
    if (f->phase == OVER)
        destroy(f);
    else if (!cache_intake_wanted(i))
        fail(f, CACHE_FAILURE_CANCELLED);
    else if (f->link)
        io_link_resume(f->link);
}

/* ---- for the exchange */

static struct origin_fetch *create(const struct origin_fetch_start *s)
{
    struct origin_fetch *f = must_alloc(sizeof(*f));
    f->fetches = s->fetches;
    f->loop = s->loop;
    f->links = s->links;
    f->turn = atomic_fetch_add_explicit(&s->origin->next, 1, memory_order_relaxed);
    f->has_body = s->has_body && s->ask->request->body_bytes != 0;
    f->began_ms = s->loop->now_ms;
    io_timer_init(&f->sign, s->loop, on_no_sign);
    if (s->peers)
        f->peers = *s->peers;
    f->figures = (struct origin_fetch_figures){.server = "", .first_byte_ms = -1};
    f->prev = &s->fetches->first;
    f->next = s->fetches->first;
    if (f->next)
        f->next->prev = &f->next;
    s->fetches->first = f;
    s->fetches->count++;
    return f;
}

struct origin_fetch *origin_fetch_begin(const struct origin_fetch_start *s)
{
    struct origin_fetch *f = create(s);
    bool good = origin_errand_init(&f->errand, s);
    /* Without copies the caller's own will do: it fails before this returns. */
    cache_intake_begin(&f->intake, s->cache, s->answer, good ? &f->errand.ask : s->ask,
                       &s->loop->mailbox, on_room);
    if (!good) {
        fail(f, CACHE_FAILURE_UNAVAILABLE);
        return NULL;
    }
    if (s->watcher) {
        f->watcher = *s->watcher;
        f->watched = true;
    }
    io_loop_soon(f->loop, &f->attempt_task, on_attempt);
    return f;
}

size_t origin_fetch_body(struct origin_fetch *f, struct span bytes)
{
    if (!needs_body(f))
        return bytes.len;
    if (!f->link || !f->sent) /* body_room comes when the head leaves */
        return 0;
    size_t taken = io_link_body(f->link, bytes);
    f->body_taken = f->body_taken || taken > 0;
    return taken;
}

void origin_fetch_body_end(struct origin_fetch *f, const struct http_fields *trailers)
{
    if (!f->has_body || f->body_over)
        return;
    f->body_over = true;
    if (f->link && f->sent)
        io_link_body_end(f->link, trailers);
    else if (trailers) /* without them when there is no room */
        (void)origin_errand_copy_fields(trailers, &f->errand.arena, &f->trailers);
    leave_if_done(f);
}

void origin_fetch_figures(const struct origin_fetch *f, struct origin_fetch_figures *out)
{
    *out = f->figures;
}

void origin_fetch_leave(struct origin_fetch *f)
{
    f->watched = false;
    if (needs_body(f))
        fail(f, CACHE_FAILURE_CANCELLED);
}

void origin_fetch_cancel_all(struct origin_fetches *fetches)
{
    for (struct origin_fetch *f = fetches->first; f;) {
        if (f->phase == OVER) {
            f = f->next;
            continue;
        }
        fail(f, CACHE_FAILURE_CANCELLED);
        f = fetches->first; /* who was told may have let others go */
    }
}
