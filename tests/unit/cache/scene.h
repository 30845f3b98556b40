/* tests/unit/cache/scene.h - clients and origins of a cache, driven step by step.
 *
 * A client asks, looks the answer up as an exchange does and reads; a fetch is an intake that
 * the test feeds. One mailbox stands for the loop; `turn` opens what came.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/http/uri.h"
#include "cache/cache.h"
#include "cache/core.h"
#include "cache/intake.h"
#include "cache/lookup.h"
#include "cache/memory/object.h"
#include "cache/memory/reader.h"
#include "tests/unit/cache/policy/lines.h"

#define NOW INT64_C(1000000)

struct scene {
    struct cache *cache;
    struct letter_mailbox mailbox;
    struct conf_cache conf_cache;
    struct conf_site site;
    struct conf_route route;
    struct conf conf;
    int64_t now_s;
    const char *path;
    int wake_fd; /* other threads post to the mailbox, too */
};

static const char *scene_host[] = {"*"};
static const char *scene_tags[] = {"surrogate-key", "xkey"};

static inline void scene_wake(void *loop)
{
    struct scene *s = loop;
    uint64_t one = 1;
    assert_int_equal(write(s->wake_fd, &one, sizeof(one)), sizeof(one));
}

static inline void scene_open_again(struct scene *s)
{
    struct cache_conf conf = {.cache = &s->conf_cache, .path = s->path, .reader_threads = 2};
    assert_int_equal(cache_open(&conf, &s->cache), ERR_OK);
}

/* RAM only without a path. */
static inline void scene_open(struct scene *s, const char *path, uint64_t memory_bytes)
{
    *s = (struct scene){
        .conf_cache = {.memory_bytes = memory_bytes,
                       .disk_bytes = path ? (uint64_t)64 << 20 : 0,
                       .object_max_bytes = (uint64_t)1 << 30,
                       .max_objects = 1000,
                       .verify_full = true},
        .site = {.name = "s", .hosts = {scene_host, 1}, .tags = {scene_tags, 2}},
        .route = {.cache = true, .ttl = {-1, -1, -1, 0}},
        .now_s = NOW,
        .path = path ? path : "",
    };
    s->conf.sites = &s->site;
    s->conf.site_count = 1;
    s->wake_fd = eventfd(0, EFD_NONBLOCK);
    assert_true(s->wake_fd >= 0);
    letter_mailbox_init(&s->mailbox, scene_wake, s);
    scene_open_again(s);
    cache_tick(s->cache, 1000, NOW);
}

static inline void scene_close(struct scene *s)
{
    (void)letter_open_all(&s->mailbox);
    cache_close(s->cache);
    s->cache = NULL;
    (void)letter_open_all(&s->mailbox);
    close(s->wake_fd);
}

static inline void turn(struct scene *s)
{
    (void)letter_open_all(&s->mailbox);
}

/* Opens what other threads post, until the condition holds; 20 s at most. */
#define SCENE_UNTIL(s, condition)                                                              \
    do {                                                                                       \
        for (int tries_ = 0; !(condition); tries_++) {                                         \
            struct pollfd p_ = {.fd = (s)->wake_fd, .events = POLLIN};                         \
            uint64_t n_;                                                                       \
            if (tries_ > 4000)                                                                 \
                fail_msg("%s:%d: never: %s", __FILE__, __LINE__, #condition);                  \
            (void)poll(&p_, 1, 5);                                                             \
            (void)!read((s)->wake_fd, &n_, sizeof(n_));                                        \
            turn(s);                                                                           \
        }                                                                                      \
    } while (0)

/* One client with its request, its answer and its reader. */
struct client {
    struct scene *scene;
    struct arena arena;
    struct http_request request;
    struct policy_key key;
    struct cache_ask ask;
    struct cache_answer answer;
    struct memory_reader reader;
    struct cache_intake intake;
    unsigned woken, room;
    bool reading, fetching, closed;
};

static inline void client_woken(struct memory_reader *r)
{
    struct client *c = CONTAINER_OF(r, struct client, reader);
    c->woken++;
}

static inline void client_room(struct cache_intake *i)
{
    CONTAINER_OF(i, struct client, intake)->room++;
}

static inline void client_lookup(struct client *c)
{
    cache_lookup(c->scene->cache, &c->ask, &c->answer);
}

/* Asks for "/path" with header lines; `method` GET unless said. */
static inline struct client *client_ask(struct scene *s, enum http_method method,
                                        const char *target, const char *headers)
{
    struct client *c = must_alloc(sizeof(*c));
    struct http_uri uri;
    c->scene = s;
    arena_init(&c->arena, 1 << 20);
    c->request = (struct http_request){.method = method,
                                       .scheme = SPAN("http"),
                                       .authority = SPAN("h.x"),
                                       .target = span_text(target),
                                       .fields = lines(&c->arena, headers)};
    assert_int_equal(http_uri_parse_target(c->request.target, &c->arena, &uri), ERR_OK);
    assert_int_equal(policy_key_make(&c->request, &uri, &s->site.cache_key, &c->arena, &c->key),
                     ERR_OK);
    c->ask = (struct cache_ask){.request = &c->request,
                                .key = &c->key,
                                .site = &s->site,
                                .route = &s->route,
                                .now_s = s->now_s};
    client_lookup(c);
    return c;
}

static inline void client_open(struct client *c)
{
    struct scene *s = c->scene;
    c->reading = true;
    if (c->answer.verdict == CACHE_HIT || c->answer.verdict == CACHE_STALE)
        memory_reader_open_object(&c->reader, s->cache, c->answer.object, &s->mailbox,
                                  client_woken);
    else if (c->answer.verdict == CACHE_JOIN)
        memory_reader_open_fill(&c->reader, s->cache, c->answer.fill, &s->mailbox,
                                client_woken);
    else
        memory_reader_open_leader(&c->reader, s->cache, c->answer.fill, &s->mailbox,
                                  client_woken);
}

/* Takes the fetch over. The reader, if there is to be one, is opened before. */
static inline void client_fetch(struct client *c)
{
    assert_non_null(c->answer.fill);
    c->fetching = true;
    cache_intake_begin(&c->intake, c->scene->cache, &c->answer, &c->ask, &c->scene->mailbox,
                       client_room);
    struct http_fields copy = {0};
    for (uint32_t i = 0; i < c->request.fields.count; i++)
        assert_true(http_fields_add(&copy, &c->arena, c->request.fields.at[i].name,
                                    c->request.fields.at[i].value));
    assert_true(cache_intake_request_fields(&c->intake, &copy, &c->arena));
    cache_intake_sent(&c->intake, c->scene->now_s);
}

static inline enum cache_take client_respond(struct client *c, unsigned status,
                                             const char *headers, int64_t body_bytes)
{
    struct http_response r = {.status = (uint16_t)status,
                              .version = HTTP_1_1,
                              .fields = lines(&c->arena, headers),
                              .body_bytes = body_bytes,
                              .body_absent = c->request.method == HTTP_HEAD ||
                                             http_status_is_bodyless(status),
                              .length_declared = body_bytes >= 0};
    return cache_intake_response(&c->intake, &r, c->scene->now_s);
}

static inline void client_body(struct client *c, const char *text)
{
    assert_int_equal(cache_intake_body(&c->intake, span_text(text)), ERR_OK);
}

/* Lets the fetch go when it has ended. */
static inline void client_fetched(struct client *c)
{
    if (!cache_intake_fini(&c->intake))
        turn(c->scene);
    c->fetching = false;
}

static inline void client_respond_all(struct client *c, unsigned status, const char *headers,
                                      const char *body)
{
    if (client_respond(c, status, headers, (int64_t)strlen(body)) == CACHE_TAKE_BODY) {
        client_body(c, body);
        cache_intake_end(&c->intake, NULL);
    }
    client_fetched(c);
}

/* All that the reader can give now; *out_end: how it ended (ERR_AGAIN: more may come). */
static inline struct span client_read(struct client *c, enum err *out_end)
{
    struct span all = {0}, piece;
    while ((*out_end = memory_reader_peek(&c->reader, &piece)) == ERR_OK) {
        assert_true(arena_printf(&c->arena, &all, "%.*s%.*s", SPAN_ARG(all), SPAN_ARG(piece)));
        memory_reader_consume(&c->reader, piece.len);
    }
    return all;
}

static inline void client_close_reader(struct client *c)
{
    if (c->reading && !memory_reader_close(&c->reader))
        turn(c->scene);
    c->reading = false;
}

static inline void client_destroy(struct client *c)
{
    client_close_reader(c);
    if (c->fetching)
        client_fetched(c);
    cache_answer_fini(&c->answer);
    arena_fini(&c->arena);
    free(c);
}

/* Fills /target from the origin with that response, for later. */
static inline void scene_store(struct scene *s, const char *target, const char *request,
                               const char *response, const char *body)
{
    struct client *c = client_ask(s, HTTP_GET, target, request);
    if (c->answer.verdict != CACHE_LEAD)
        fail_msg("%s: not led but %d", target, c->answer.verdict);
    client_open(c);
    client_fetch(c);
    client_respond_all(c, 200, response, body);
    client_destroy(c);
}

/* The verdict for a request now; nothing is fetched. */
static inline enum cache_verdict scene_verdict(struct scene *s, enum http_method method,
                                               const char *target, const char *headers)
{
    struct client *c = client_ask(s, method, target, headers);
    enum cache_verdict v = c->answer.verdict;
    client_destroy(c);
    return v;
}

static inline void scene_purge(struct scene *s, enum purge_kind kind, enum purge_mode mode,
                               const char *selector)
{
    struct purge p = {.kind = kind, .mode = mode, .selector = span_text(selector)};
    assert_int_equal(cache_purge(s->cache, &p, cache_apply_no_next(s->cache), &s->conf),
                     ERR_OK);
}

#define ASSERT_READS(c, text)                                                                  \
    do {                                                                                       \
        enum err end_;                                                                         \
        struct span got_ = client_read(c, &end_);                                              \
        if (end_ != ERR_CLOSED || !span_equal(got_, span_text(text)))                          \
            fail_msg("%s:%d: read %.*s, %s", __FILE__, __LINE__, SPAN_ARG(got_),               \
                     err_text(end_));                                                          \
    } while (0)
