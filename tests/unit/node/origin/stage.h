/* tests/unit/node/origin/stage.h - a loop, a cache in RAM and an origin whose servers the test
 * plays itself, step by step over real sockets.
 */
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <time.h>

#include "node/origin/fetch.h"
#include "tests/unit/cache/scene.h"
#include "tests/unit/node/io/fixture.h"

#define SERVERS 3

/* A listening socket, and the one connection that is spoken with. */
struct server {
    int listener, fd;
    uint16_t port;
    unsigned accepted;
    char got[65536];
    size_t got_len;
};

static struct fixture_loop loop;
static struct scene scene;
static struct io_resolver *resolver;
static struct io_links *links;
static struct origin_fetches fetches;
static struct conf_limits limits;
static struct server servers[SERVERS];
static struct origin *origin;
static struct snapshot *setup;
static unsigned setups_gone;
static const char *names[SERVERS]; /* of servers that are not asked for by address */

/* ---- time */

static void stop_loop(struct io_timer *t)
{
    io_loop_stop(t->loop);
}

/* A turn or two of the loop; the readers' letters are opened, too. */
static void loop_turn(void)
{
    struct io_timer t;
    io_timer_init(&t, loop.loop, stop_loop);
    io_timer_set(&t, loop.loop->now_ms + 1);
    fixture_loop_run(&loop);
    io_timer_stop(&t);
    turn(&scene);
}

static inline int64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

#define UNTIL(condition)                                                                       \
    do {                                                                                       \
        int64_t until_ms_ = clock_ms() + 20000;                                                \
        while (!(condition)) {                                                                 \
            if (clock_ms() > until_ms_)                                                        \
                fail_msg("%s:%d: never: %s", __FILE__, __LINE__, #condition);                  \
            loop_turn();                                                                       \
        }                                                                                      \
    } while (0)

/* ---- servers */

static void server_bind(struct server *s, bool listening)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    *s = (struct server){.fd = -1};
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
    if (listening) /* else it refuses */
        assert_int_equal(listen(s->listener, 8), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&sa, &len), 0);
    s->port = ntohs(sa.sin_port);
}

static void server_hang_up(struct server *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    s->got_len = 0;
}

static void server_close(struct server *s)
{
    server_hang_up(s);
    close(s->listener);
    s->listener = -1;
}

static bool try_accept(struct server *s)
{
    s->fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (s->fd >= 0)
        s->accepted++;
    return s->fd >= 0;
}

static void server_accept(struct server *s)
{
    server_hang_up(s);
    UNTIL(try_accept(s));
}

/* Reads what came; false: the other side has closed. */
static bool server_read(struct server *s)
{
    for (;;) {
        size_t room = sizeof(s->got) - 1 - s->got_len;
        ssize_t n = recv(s->fd, s->got + s->got_len, room, 0);
        if (room == 0 || (n < 0 && errno == EAGAIN))
            return true;
        if (n <= 0)
            return false;
        s->got_len += (size_t)n;
        s->got[s->got_len] = 0;
    }
}

static bool has_head(struct server *s)
{
    (void)server_read(s);
    return s->got_len > 0 && strstr(s->got, "\r\n\r\n");
}

/* Accepts and reads a head. */
static void server_asked(struct server *s)
{
    server_accept(s);
    UNTIL(has_head(s));
}

static inline bool server_holds(struct server *s, const char *text)
{
    return s->got_len > 0 && strstr(s->got, text);
}

static bool try_send(struct server *s, struct span *rest)
{
    ssize_t n = send(s->fd, rest->ptr, rest->len, MSG_NOSIGNAL);
    if (n > 0)
        *rest = span_from(*rest, (size_t)n);
    return rest->len == 0;
}

static void server_say(struct server *s, const char *text)
{
    struct span rest = span_text(text);
    UNTIL(try_send(s, &rest));
}

/* The connection is closed by the other side. */
static inline void server_left(struct server *s)
{
    bool open = true;
    UNTIL(!(open = open && (s->got_len = 0, server_read(s))));
}

/* ---- one who asks */

struct asked {
    struct client *client;
    struct origin_fetch *fetch; /* NULL: not attached any more */
    struct origin_fetch_watcher watcher;
    struct origin_fetch_figures figures;
    unsigned rooms, lefts;
    bool hides_body;  /* the request has one, and it does not come */
    bool claims_body; /* the other way round */
    const struct http_fields *trailers;
    size_t upload, given; /* bytes of the request's body still to give; given */
    bool upload_ends;     /* gives the end, too, when all was taken */
    bool leave_in_room;
    const struct origin_fetch_peers *peers; /* to be asked first */
};

/* What an owner copies with a fetch. */
struct copied {
    struct span text; /* borrowed from the exchange, until `own` */
    const char *bad;  /* a field value to send; NULL: none */
    unsigned *calls;
};

static bool stage_own(void *copy, const struct http_request *r, struct arena *a)
{
    struct copied *c = copy;
    (void)r;
    return c->text.len < 1000 && arena_copy(a, c->text, &c->text);
}

static bool stage_outgoing(void *copy, const struct conf_origin_server *server,
                           struct http_request *r, struct arena *a)
{
    struct copied *c = copy;
    ++*c->calls;
    r->authority = span_text(server->authority);
    if (c->bad && !*c->bad)
        return false;
    return http_fields_add(&r->fields, a, SPAN("x-out"), c->bad ? span_text(c->bad) : c->text);
}

static bool stage_incoming(void *copy, const struct conf_origin_server *server,
                           struct http_response *r, struct arena *a)
{
    (void)copy, (void)server;
    return !http_fields_find_text(&r->fields, SPAN("x-too-long")) &&
           http_fields_add(&r->fields, a, SPAN("x-in"), SPAN("1"));
}

static bool stage_to_peer(void *copy, unsigned hops, struct http_request *r, struct arena *a)
{
    struct copied *c = copy;
    struct span text;
    ++*c->calls;
    r->method_text = http_method_text(r->method);
    r->scheme = SPAN("https");
    r->authority = SPAN("a.example");
    return arena_printf(a, &text, "%u", hops) &&
           http_fields_add(&r->fields, a, SPAN(ORIGIN_PEER_HOPS), text);
}

static bool stage_from_peer(void *copy, struct http_response *r, struct arena *a)
{
    (void)copy;
    return http_fields_add(&r->fields, a, SPAN("x-from-peer"), SPAN("1"));
}

static const struct origin_fetch_functions stage_functions = {stage_outgoing, stage_incoming,
                                                              stage_to_peer, stage_from_peer};

static void asked_give(struct asked *a)
{
    static const char zeros[65536];
    while (a->fetch && a->upload > 0) {
        size_t n = a->upload < sizeof(zeros) ? a->upload : sizeof(zeros);
        size_t taken = origin_fetch_body(a->fetch, span_of(zeros, n));
        a->upload -= taken;
        a->given += taken;
        if (taken < n)
            return;
    }
    if (a->fetch && a->upload_ends) {
        a->upload_ends = false;
        origin_fetch_body_end(a->fetch, a->trailers);
    }
}

static void asked_room(void *user)
{
    struct asked *a = user;
    a->rooms++;
    if (a->leave_in_room) {
        origin_fetch_leave(a->fetch);
        a->fetch = NULL;
        return;
    }
    asked_give(a);
}

static void asked_left(void *user)
{
    struct asked *a = user;
    a->lefts++;
    origin_fetch_figures(a->fetch, &a->figures);
    a->fetch = NULL;
}

static unsigned outgoing_calls;

/* Fetches into the fill that the look-up gave. body_bytes != 0: a body of that length comes. */
static void asked_begin_with(struct asked *a, struct copied copied, int64_t body_bytes)
{
    struct client *c = a->client;
    c->request.body_bytes = body_bytes;
    c->request.version = HTTP_1_1;
    copied.calls = &outgoing_calls;
    a->watcher = (struct origin_fetch_watcher){asked_room, asked_left, a};
    struct origin_fetch_start s = {
        .loop = loop.loop,
        .links = links,
        .fetches = &fetches,
        .cache = scene.cache,
        .answer = &c->answer,
        .ask = &c->ask,
        .origin = origin,
        .setup = setup,
        .limits = &limits,
        .functions = &stage_functions,
        .copied = &copied,
        .copy_bytes = sizeof(copied),
        .own = stage_own,
        .has_body = (body_bytes != 0 && !a->hides_body) || a->claims_body,
        .watcher = &a->watcher,
        .peers = a->peers,
    };
    a->fetch = origin_fetch_begin(&s);
    assert_int_equal(a->rooms + a->lefts, 0); /* nothing from inside */
    assert_null(c->answer.fill);
}

static void asked_begin(struct asked *a, int64_t body_bytes)
{
    char text[] = "own";
    asked_begin_with(a, (struct copied){.text = span_of(text, 3)}, body_bytes);
    memset(text, 'x', 3);
}

/* A look-up that must be answered so, and its reader. */
static void asked_open(struct asked *a, enum http_method method, const char *target,
                       enum cache_verdict verdict)
{
    *a = (struct asked){.client = client_ask(&scene, method, target, "accept: */*")};
    assert_int_equal(a->client->answer.verdict, verdict);
    client_open(a->client);
}

/* How the head of the answer ended. Asked once: it is told once. */
static enum memory_head asked_head(struct asked *a)
{
    enum memory_head head;
    UNTIL((head = memory_reader_head(&a->client->reader)) != MEMORY_HEAD_WAIT);
    return head;
}

/* Reads the body to its end. */
static inline enum err asked_read(struct asked *a, size_t *out_bytes)
{
    struct span piece;
    enum err e = ERR_AGAIN;
    *out_bytes = 0;
    while (e == ERR_AGAIN || e == ERR_OK) {
        e = memory_reader_peek(&a->client->reader, &piece);
        if (e == ERR_OK) {
            *out_bytes += piece.len;
            memory_reader_consume(&a->client->reader, piece.len);
        } else if (e == ERR_AGAIN) {
            unsigned woken = a->client->woken;
            UNTIL(a->client->woken != woken);
        }
    }
    return e;
}

/* Lets go of the fetch and the client; all is quiet afterwards. */
static void asked_close(struct asked *a)
{
    if (a->fetch)
        origin_fetch_leave(a->fetch);
    a->fetch = NULL;
    client_destroy(a->client);
    a->client = NULL;
    UNTIL(fetches.count == 0);
    for (uint32_t i = 0; i < origin->conf.server_count; i++)
        assert_int_equal(atomic_load(&origin->servers[i].in_flight), 0);
}

/* ---- the whole */

static void setup_gone(struct snapshot *s)
{
    setups_gone++;
    free(s);
}

/* An origin of the first `count` servers, which are bound. ca: by https. */
static void stage_origin_with(uint32_t count, uint32_t retry_max, const char *ca)
{
    static char authority[SERVERS][32];
    struct conf_origin_server at[SERVERS];
    struct conf_faults faults = {0};
    for (uint32_t i = 0; i < count; i++) {
        snprintf(authority[i], sizeof(authority[i]), "127.0.0.1:%u", servers[i].port);
        at[i] = (struct conf_origin_server){.host = names[i] ? names[i] : "127.0.0.1",
                                            .port = servers[i].port,
                                            .authority = authority[i],
                                            .tls = ca != NULL};
    }
    struct conf_origin conf = {.name = "app",
                               .host_name = "",
                               .verify = true,
                               .ca = ca ? ca : "",
                               .retry_max = retry_max,
                               .servers = at,
                               .server_count = count};
    origin_drop(origin);
    origin = origin_create(&conf, &faults);
    assert_non_null(origin);
}

static void stage_origin(uint32_t count, uint32_t retry_max)
{
    stage_origin_with(count, retry_max, NULL);
}

static int stage_open(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    fixture_loop_init(&loop);
    resolver = io_resolver_create(loop.loop);
    links = io_links_create(loop.loop, resolver);
    scene_open(&scene, NULL, (uint64_t)64 << 20);
    loop_turn();
    scene.now_s = loop.loop->now_s;
    cache_tick(scene.cache, 2000, scene.now_s);
    limits = (struct conf_limits){.origin_connect_ms = 5000,
                                  .origin_first_byte_ms = 60000, /* longer than UNTIL */
                                  .origin_idle_ms = 60000,
                                  .origin_keepalive_ms = 15000};
    fetches = (struct origin_fetches){0};
    memset(names, 0, sizeof(names));
    setups_gone = 0;
    setup = must_alloc(sizeof(*setup));
    snapshot_init(setup, setup_gone);
    for (unsigned i = 0; i < SERVERS; i++)
        server_bind(&servers[i], true);
    return 0;
}

static int stage_close(void **state)
{
    (void)state;
    assert_null(fetches.first);
    origin_drop(origin);
    origin = NULL;
    snapshot_drop(setup);
    assert_int_equal(setups_gone, 1); /* no fetch has kept a count */
    io_links_drop_idle(links);
    loop_turn();
    io_links_destroy(links);
    io_resolver_destroy(resolver);
    for (unsigned i = 0; i < SERVERS; i++)
        server_close(&servers[i]);
    scene_close(&scene);
    fixture_loop_fini(&loop);
    return 0;
}
