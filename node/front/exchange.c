#include "node/front/exchange.h"

#include "base/counter.h"
#include "base/hash.h"
#include "cache/memory/object.h"
#include "node/front/admit.h"
#include "node/front/ask.h"
#include "node/front/compose.h"
#include "node/front/exchange_log.h"
#include "node/front/form.h"
#include "node/front/forward.h"
#include "node/front/outcome.h"
#include "node/front/pool.h"

#define LOOKUPS_MAX 8u
#define RECODE_TURN_US INT64_C(2000)

static void look(struct front_exchange *x);

/* -- heads -- */

static int64_t origin_us(const struct front_exchange *x)
{
    return x->origin.first_byte_ms < 0 ? -1 : x->origin.first_byte_ms * 1000;
}

static struct front_compose compose_of(struct front_exchange *x)
{
    struct front_compose c = {
        .request = x->request,
        .arena = x->memory,
        .date = x->front->loop->date,
        .age_s = -1,
    };
    if (x->fetch)
        origin_fetch_figures(x->fetch, &x->origin);
    if (x->site && x->site->server_timing && !x->client->node) {
        c.timing = true;
        c.total_us = io_loop_us() - x->began_us;
        c.origin_us = origin_us(x);
    }
    return c;
}

static void give_head(struct front_exchange *x)
{
    struct http_response *r = &x->response;
    must(!x->head_sent);
    x->state = FRONT_DELIVER;
    x->head_sent = true;
    x->head_us = io_loop_us();
    unsigned class = r->status < 600 ? r->status / 100 : 5; /* RFC 9110 15 */
    if (!x->client->node)
        counter_add(COUNTER_RESPONSES_1XX + (enum counter)(class - 1), 1);
    x->functions->head(x->user, r, !x->deliver.nothing);
}

/* Even the arena is full: the barest answer that there is. */
static void give_bare(struct front_exchange *x, unsigned status)
{
    x->response = (struct http_response){
        .status = (uint16_t)status, .version = HTTP_1_1, .length_declared = true};
    if (x->request && x->request->method == HTTP_HEAD)
        x->response.body_absent = true;
    front_deliver_nothing(&x->deliver);
    give_head(x);
}

/* An answer of our own, with at most one field more. */
static void answer_with(struct front_exchange *x, unsigned status, enum http_name id,
                        struct span value)
{
    struct front_compose c = compose_of(x);
    if (!front_compose_own(&c, status, &x->response, &x->deliver) ||
        (id != HTTP_NAME_OTHER && !front_compose_add(&x->response, x->memory, id, value)))
        give_bare(x, status);
    else
        give_head(x);
}

static void answer(struct front_exchange *x, unsigned status, const char *why)
{
    x->fault = why;
    answer_with(x, status, HTTP_NAME_OTHER, (struct span){0});
}

static struct front_outcome outcome_of(const struct front_exchange *x)
{
    return (struct front_outcome){
        .verdict = x->verdict,
        .forward = x->forward,
        .from_disk = x->from_disk,
        .origin_status = x->origin.status,
    };
}

static void answer_failure(struct front_exchange *x, enum cache_failure why)
{
    struct front_compose c = compose_of(x);
    unsigned status = front_rewrite_failure_status(why);
    if (x->lookups > 0) {
        struct front_outcome o = outcome_of(x);
        front_outcome_status(&o, &c.cache);
        c.cache_said = true;
        x->cache_word = front_outcome_word(&o);
    }
    c.failure = why;
    x->fault = "origin";
    if (front_compose_own(&c, status, &x->response, &x->deliver))
        give_head(x);
    else
        give_bare(x, status);
}

/* -- DELIVER: from the reader's object -- */

static void look_again(struct front_exchange *x, bool alone);

/* False: the answer was given otherwise, or will be. */
static bool choose_form(struct front_exchange *x, struct front_form *out)
{
    *out = (struct front_form){.base = x->reader.object};
    if (x->verdict == CACHE_PASS)
        return true;
    switch (front_form_choose(x->front->cache, &x->ask, &x->reader, x->verdict == CACHE_LEAD,
                              x->memory, out)) {
    case FRONT_FORM_READY:
        return true;
    case FRONT_FORM_UNSUITED:
        x->ask.plain = true;
        look_again(x, true);
        return false;
    case FRONT_FORM_BUSY:
        answer(x, 503, "too many bodies are decoded at once");
        return false;
    case FRONT_FORM_NO_ROOM:
        break;
    }
    front_form_fini(out, NULL);
    answer(x, 500, "the answer's head is too large");
    return false;
}

static void deliver(struct front_exchange *x, bool origin_failed)
{
    struct front_form form;
    if (!choose_form(x, &form))
        return;
    const struct memory_object *object = x->reader.object;
    const struct policy_facts *facts = &object->facts;
    struct front_compose c = compose_of(x);
    struct front_outcome o = outcome_of(x);
    o.has_object = true;
    o.origin_failed = origin_failed;
    o.stored = object->stored;
    o.status = object->status;
    o.fresh_left_s = policy_freshness_left_s(facts, x->ask.now_s);
    front_outcome_status(&o, &c.cache);
    c.cache_said = !x->client->node;
    c.vector = origin_failed ? NULL : x->vector; /* then it should ask the origin itself */
    x->cache_word = front_outcome_word(&o);
    if (x->verdict != CACHE_PASS) {
        /* An age that the origin told goes on with a first answer, too. */
        if (front_outcome_is_reuse(&o) || facts->age_s > 0)
            c.age_s = policy_freshness_age_s(facts, x->front->loop->now_s);
        c.plan = true;
        c.form = &form;
        c.random = hash_mix(x->id);
    }
    bool ok = front_compose_stored(&c, object, &x->reader, &x->response, &x->deliver);
    front_form_fini(&form, x->deliver.recode);
    if (ok)
        give_head(x);
    else
        answer(x, 500, "the answer's head is too large");
}

/* -- reading -- */

static void woken(struct memory_reader *r);

/* The reader lets go; false: not before its letter came, and `woken` goes on from there. */
static bool stop_reading(struct front_exchange *x)
{
    if (!x->reading)
        return true;
    x->reading = false;
    return memory_reader_close(&x->reader);
}

/* It runs on for those who can use it. */
static void leave_fetch(struct front_exchange *x)
{
    if (!x->fetch)
        return;
    origin_fetch_figures(x->fetch, &x->origin);
    origin_fetch_leave(x->fetch);
    x->fetch = NULL;
}

static void look_again(struct front_exchange *x, bool alone)
{
    x->ask.alone = x->ask.alone || alone || x->lookups >= LOOKUPS_MAX;
    leave_fetch(x);
    x->relook = true;
    if (stop_reading(x))
        look(x);
}

static void give_interims(struct front_exchange *x)
{
    const struct http_response *r;
    while ((r = memory_reader_interim(&x->reader))) {
        counter_add(COUNTER_RESPONSES_1XX, 1);
        x->functions->interim(x->user, r);
    }
}

/* Another node hears at once, and again and again, that this one is at it: it waits for an
 * origin, and not for a node that may be gone (origin/peers.h). */
static void give_sign(struct front_exchange *x)
{
    static const struct http_response processing = {.status = 102};
    int64_t now_ms = x->front->loop->now_ms;
    if (!x->vector || x->sign.due_ms > now_ms)
        return;
    x->functions->interim(x->user, &processing);
    io_timer_set(&x->sign, now_ms + ORIGIN_PEERS_AGAIN_MS);
}

static void on_sign_due(struct io_timer *t)
{
    struct front_exchange *x = CONTAINER_OF(t, struct front_exchange, sign);
    if (x->state == FRONT_WAIT)
        give_sign(x);
}

static void wait_head(struct front_exchange *x)
{
    x->state = FRONT_WAIT;
    give_interims(x);
    enum memory_head head = memory_reader_head(&x->reader);
    if (head == MEMORY_HEAD_WAIT) {
        give_sign(x);
        return;
    }
    give_interims(x);
    switch (head) {
    case MEMORY_HEAD_WAIT:
        break;
    case MEMORY_HEAD_READY:
        deliver(x, false);
        break;
    case MEMORY_HEAD_STALE:
        deliver(x, true);
        break;
    case MEMORY_HEAD_AGAIN:
        look_again(x, false);
        break;
    case MEMORY_HEAD_ALONE:
        look_again(x, true);
        break;
    case MEMORY_HEAD_FAILED:
        answer_failure(x, (enum cache_failure)memory_reader_failure(&x->reader));
        break;
    }
}

static void woken(struct memory_reader *r)
{
    struct front_exchange *x = CONTAINER_OF(r, struct front_exchange, reader);
    if (r->closed) {
        if (x->state == FRONT_ENDED)
            front_exchange_give_back(x);
        else if (x->relook && x->head_sent) /* the request failed meanwhile */
            x->relook = false;
        else if (x->relook)
            look(x);
    } else if (x->state == FRONT_WAIT) {
        wait_head(x);
    } else if (x->state == FRONT_DELIVER) {
        x->functions->body_ready(x->user);
    }
}

/* -- FETCH -- */

static void body_room(void *user)
{
    struct front_exchange *x = user;
    x->functions->body_wanted(x->user);
}

static void fetch_left(void *user)
{
    struct front_exchange *x = user;
    origin_fetch_figures(x->fetch, &x->origin);
    x->fetch = NULL;
    if (x->has_body && !x->body_over)
        x->functions->body_wanted(x->user); /* to be drained */
}

static void forward(struct front_exchange *x, struct cache_answer *a, bool background)
{
    x->watcher = (struct origin_fetch_watcher){body_room, fetch_left, x};
    struct front_forward f = {
        .front = x->front,
        .setup = x->setup,
        .rewrite = &x->rewrite,
        .ask = &x->ask,
        .answer = a,
        .origin = x->route->origin_index,
        .hops = x->hops,
        .has_body = x->has_body && !background,
        .watcher = background ? NULL : &x->watcher,
    };
    struct origin_fetch *fetch = front_forward_begin(&f);
    if (!background)
        x->fetch = fetch;
}

/* -- LOOKUP -- */

static void read_object(struct front_exchange *x, struct memory_object *o)
{
    memory_reader_open_object(&x->reader, x->front->cache, o, &x->front->loop->mailbox, woken);
    x->reading = true;
}

static void read_fill(struct front_exchange *x, struct memory_fill *f, bool leads)
{
    struct letter_mailbox *home = &x->front->loop->mailbox;
    if (leads)
        memory_reader_open_leader(&x->reader, x->front->cache, f, home, woken);
    else
        memory_reader_open_fill(&x->reader, x->front->cache, f, home, woken);
    x->reading = true;
}

static void unavailable(struct front_exchange *x)
{
    if (x->forward == CACHE_FORWARD_NONE)
        answer(x, 504, "only-if-cached"); /* RFC 9111 5.2.1.7 */
    else
        answer_failure(x, CACHE_FAILURE_UNAVAILABLE);
}

static void look(struct front_exchange *x)
{
    struct cache_answer a;
    x->relook = false;
    x->lookups++;
    x->ask.now_s = x->front->loop->now_s;
    x->ask.now_ms = x->front->loop->now_ms;
    cache_lookup(x->front->cache, &x->ask, &a);
    x->verdict = a.verdict;
    x->forward = a.forward;
    x->from_disk = a.from_disk;
    switch (a.verdict) {
    case CACHE_HIT:
        read_object(x, a.object);
        break;
    case CACHE_STALE:
        read_object(x, a.object);
        if (a.fill)
            forward(x, &a, true);
        break;
    case CACHE_JOIN:
        read_fill(x, a.fill, false);
        break;
    case CACHE_LEAD:
    case CACHE_PASS:
        read_fill(x, a.fill, true);
        forward(x, &a, false);
        break;
    case CACHE_UNAVAILABLE:
        break;
    }
    cache_answer_fini(&a);
    switch (x->verdict) {
    case CACHE_HIT:
    case CACHE_STALE:
        deliver(x, false);
        break;
    case CACHE_JOIN:
    case CACHE_LEAD:
    case CACHE_PASS:
        wait_head(x);
        break;
    case CACHE_UNAVAILABLE:
        unavailable(x);
        break;
    }
}

/* -- ASK: what control answers -- */

static void control_answered(void *user, struct front_ask *a)
{
    struct front_exchange *x = user;
    x->asked = a; /* its bytes are sent from where they are */
    x->ask_out = NULL;
    struct front_compose c = compose_of(x);
    if (front_compose_said(&c, &a->answer, &x->response, &x->deliver))
        give_head(x);
    else
        give_bare(x, a->answer.status);
}

static void ask_control(struct front_exchange *x)
{
    bool admin = x->client->admin;
    const char *node = x->client->node;
    struct front_ask_what what = {
        .request = x->request,
        .body = buf_span(&x->collected),
        .client = x->address,
        .local = admin && x->setup->conf->admin.on &&
                 addr_is_loopback(&x->setup->conf->admin.address),
        .is_purge = !admin && !node,
        .node_id = node,
        .setup = x->setup,
        .site = x->site,
    };
    if (what.is_purge) {
        what.may_purge = setup_site_may_purge(x->site, &x->address);
        if (!arena_printf(x->memory, &what.url, "%.*s://%.*s%.*s", SPAN_ARG(x->request->scheme),
                          SPAN_ARG(x->request->authority), SPAN_ARG(x->request->target))) {
            answer(x, 500, "memory");
            return;
        }
        front_ask_purge_ahead(x->front, &what, x->memory);
    }
    x->state = FRONT_ASKED;
    x->ask_out = front_ask_send(x->front, &what, control_answered, x);
    buf_fini(&x->collected);
    if (!x->ask_out)
        answer(x, 503, "memory");
}

static void collect(struct front_exchange *x)
{
    x->state = FRONT_COLLECT;
    buf_init(&x->collected, ADMIN_BODY_MAX);
    if (x->request->body_bytes > (int64_t)ADMIN_BODY_MAX)
        answer(x, 413, "the body is too large");
    else if (x->has_body)
        x->functions->body_wanted(x->user);
    else
        ask_control(x);
}

/* -- ADMIT and ROUTE -- */

static void serve(struct front_exchange *x)
{
    x->request->scheme = front_client_scheme(x->client, &x->request->fields);
    x->request->authority = front_client_authority(x->client, x->request, x->memory);
    struct front_admit a = {x->setup, x->client, x->address, x->request, x->memory};
    struct front_admission said;
    front_admit(&a, &said);
    x->site = said.site;
    x->route = said.route;
    if (said.bad)
        counter_add(COUNTER_BAD_REQUESTS, 1);
    switch (said.verdict) {
    case FRONT_ADMIT_ANSWER:
        x->fault = said.why;
        answer_with(x, said.status, said.id, said.value);
        return;
    case FRONT_ADMIT_PURGE:
        collect(x);
        return;
    case FRONT_ADMIT_LOOP:
        answer_failure(x, CACHE_FAILURE_LOOP);
        return;
    case FRONT_ADMIT_SERVE:
        break;
    }
    x->key = said.key;
    x->rewrite = (struct front_rewrite){
        .conf = x->setup->conf,
        .site = x->site,
        .origin = &x->setup->conf->origins[x->route->origin_index],
        .client = x->address,
        .client_tls = span_equal(x->request->scheme, SPAN("https")),
        .client_is_proxy = front_client_is_proxy(x->client),
        .client_is_node = x->client->node != NULL,
        .authority = x->request->authority,
        .request_id = x->id,
    };
    x->ask = (struct cache_ask){
        .request = x->request,
        .key = &x->key,
        .site = x->site,
        .route = x->route,
        .variants = &x->setup->conf->cache.variants,
        .memo = &x->front->accept_memo,
    };
    look(x);
}

/* How often the request went from node to node; 0: it does not say. */
static unsigned hops_of(const struct http_request *r)
{
    const struct http_field *f = http_fields_find_text(&r->fields, SPAN(ORIGIN_PEER_HOPS));
    uint64_t hops;
    return f && span_to_u64(f->value, &hops) && hops <= ORIGIN_PEERS_HOPS_MAX ? (unsigned)hops
                                                                              : 0;
}

/* Another node's request: for control, or a miss of its own. */
static void serve_node(struct front_exchange *x)
{
    enum http_method method = x->request->method;
    bool control =
        method == HTTP_POST && span_starts(x->request->target, SPAN(FRONT_PEER_PATH));
    counter_add(control ? COUNTER_PEER_REQUESTS_CONTROL : COUNTER_PEER_REQUESTS_OBJECT, 1);
    if (control) {
        collect(x);
        return;
    }
    x->hops = hops_of(x->request);
    if (x->hops == 0 || (method != HTTP_GET && method != HTTP_HEAD)) {
        answer(x, 404, "not between nodes");
        return;
    }
    if (!x->front->vector) {
        answer(x, 503, "no vector");
        return;
    }
    x->vector = x->front->vector; /* of before the look-up */
    snapshot_hold(&x->vector->snapshot);
    io_timer_init(&x->sign, x->front->loop, on_sign_due);
    serve(x);
}

static void begin(struct front_exchange *x, const struct front_client *c,
                  struct http_request *r, struct arena *memory)
{
    x->client = c;
    x->request = r;
    x->memory = memory;
    x->setup = setup_hold(x->front->setup);
    x->began_us = io_loop_us();
    x->id = x->front->request_id++;
    x->address = r ? front_client_address(c, &r->fields) : c->peer;
    x->raw_target = r ? r->target : (struct span){0};
}

void front_exchange_begin(struct front_exchange *x, const struct front_client *c,
                          struct http_request *r, struct arena *memory, bool has_body)
{
    begin(x, c, r, memory);
    x->has_body = has_body;
    if (!c->node)
        counter_add(r->version == HTTP_2 ? COUNTER_REQUESTS_H2 : COUNTER_REQUESTS_H1, 1);
    if (c->admin)
        collect(x);
    else if (c->node)
        serve_node(x);
    else
        serve(x);
}

void front_exchange_refuse(struct front_exchange *x, const struct front_client *c,
                           struct http_request *r, struct arena *memory, unsigned status,
                           const char *why)
{
    begin(x, c, r, memory);
    counter_add(COUNTER_BAD_REQUESTS, 1);
    answer(x, status, why);
}

void front_exchange_fail(struct front_exchange *x, unsigned status, const char *why)
{
    must(!x->head_sent);
    leave_fetch(x);
    counter_add(COUNTER_BAD_REQUESTS, 1);
    answer(x, status, why); /* a reader waits on, unheard, until the end */
}

/* -- bodies -- */

bool front_exchange_wants_body(const struct front_exchange *x)
{
    return x->has_body && !x->body_over && (x->state == FRONT_COLLECT || x->fetch);
}

size_t front_exchange_body(struct front_exchange *x, struct span bytes)
{
    size_t taken = bytes.len;
    if (x->state == FRONT_COLLECT) {
        if (buf_append(&x->collected, bytes) != ERR_OK)
            answer(x, 413, "the body is too large");
    } else if (x->fetch) {
        taken = origin_fetch_body(x->fetch, bytes);
    }
    x->bytes_in += taken;
    return taken;
}

void front_exchange_body_end(struct front_exchange *x, const struct http_fields *trailers)
{
    x->body_over = true;
    if (x->state == FRONT_COLLECT)
        ask_control(x);
    else if (x->fetch)
        origin_fetch_body_end(x->fetch, trailers);
}

static void on_recode_turn(struct io_task *t)
{
    struct front_exchange *x = CONTAINER_OF(t, struct front_exchange, recode_task);
    x->functions->body_ready(x->user);
}

/* All bodies that are encoded or decoded as they are sent have one share of each turn, so that
 * many of them hold up nobody's hit; what is over it goes on in the next. */
enum err front_exchange_peek(struct front_exchange *x, struct span *out)
{
    struct front *f = x->front;
    if (!x->deliver.recode)
        return front_deliver_peek(&x->deliver, out);
    if (f->recode_turn != f->loop->turn) {
        f->recode_turn = f->loop->turn;
        f->recode_us = 0;
    }
    if (f->recode_us >= RECODE_TURN_US) {
        io_loop_later(f->loop, &x->recode_task, on_recode_turn);
        return ERR_AGAIN;
    }
    int64_t began_us = io_loop_us();
    enum err e = front_deliver_peek(&x->deliver, out);
    f->recode_us += io_loop_us() - began_us;
    return e;
}

void front_exchange_consume(struct front_exchange *x, size_t bytes)
{
    front_deliver_consume(&x->deliver, bytes);
    x->bytes_out += bytes;
}

const struct http_fields *front_exchange_trailers(const struct front_exchange *x)
{
    const struct front_deliver *d = &x->deliver;
    /* They may be digests of the bytes as they came. */
    return d->reader && !d->many && !d->recode ? memory_reader_trailers(d->reader) : NULL;
}

/* -- LOG -- */

void front_exchange_end(struct front_exchange *x, bool whole)
{
    if (!x)
        return;
    if (x->setup) {
        leave_fetch(x);
        if (!x->client->node) {
            counter_add(COUNTER_BYTES_IN, x->bytes_in);
            counter_add(COUNTER_BYTES_OUT, x->bytes_out);
        }
        if (x->vector)
            io_timer_stop(&x->sign);
        front_vector_drop(x->vector);
        x->vector = NULL;
        if (x->front->log && !x->client->admin && !x->client->node)
            front_exchange_log(x, whole);
        if (x->ask_out)
            front_ask_forget(x->ask_out);
        front_ask_destroy(x->asked);
        buf_fini(&x->collected);
        io_task_cancel(&x->recode_task);
        front_deliver_fini(&x->deliver);
        setup_drop(x->setup);
        x->setup = NULL;
    }
    bool waits = x->relook; /* the reader is closed, its letter is on its way */
    x->relook = false;
    x->state = FRONT_ENDED;
    if (stop_reading(x) && !waits)
        front_exchange_give_back(x);
}
