/* tests/unit/cluster/purge_sync_bed.h - a few purge machines, real logs, and a post that a test
 * holds in its hand.
 *
 * Nothing moves by itself: requests and answers lie in `post` until a test delivers, refuses or
 * drops them; a disk writes when told. Nodes are "a", "b", ... The clock is `now_us`.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "cluster/purge_sync.h"
#include "cluster/purge_wire.h"
#include "tests/purge_sim/disk.h"

#define SECOND INT64_C(1000000)
#define NODES 5
#define POST 4096
#define TICKETS 64

struct node {
    char id[2];
    struct disk disk;
    struct cluster_purge_log *log;
    struct cluster_recent *recent;
    struct cluster_sync *sync;
    unsigned starts;
    uint64_t counter;
    /* what it was told */
    unsigned stages[TICKETS]; /* bits of 1 << stage, by ticket */
    unsigned applied, distrusts, hard_distrusts, hints, cautions;
    bool cautious, apply_refuses;
    char last_applied[64];
    char hint[CLUSTER_PURGE_HINT_MAX];
    size_t hint_len;
};
struct parcel {
    bool used, answer;
    bool handed;     /* the request was heard; its answer waits for a disk */
    char from, to;   /* of this one; an answer goes to the asker */
    uint64_t number; /* the asker's */
    enum purge_wire_kind kind;
    char *body;
    size_t len;
};

static struct node nodes[NODES];
static struct parcel post[POST];
static int64_t now_us;
static bool cut[NODES][NODES];

static inline struct node *node_of(char letter)
{
    return &nodes[letter - 'a'];
}

static inline int64_t now_s(void)
{
    return 1700000000 + now_us / SECOND;
}

/* --- news --- */

static inline bool news_apply(void *user, const struct purge *p,
                              void (*numbered)(void *sync, uint64_t no), void *sync,
                              uint64_t *out_apply_no)
{
    struct node *n = user;
    if (n->apply_refuses)
        return false;
    *out_apply_no = ++n->counter;
    numbered(sync, n->counter);
    n->applied++;
    (void)snprintf(n->last_applied, sizeof n->last_applied, "%s %.*s", purge_kind_text(p->kind),
                   (int)(p->selector.len < 40 ? p->selector.len : 40),
                   p->selector.len ? p->selector.ptr : "");
    return true;
}

static inline void news_stage(void *user, uint64_t ticket, enum cluster_sync_stage stage)
{
    struct node *n = user;
    unsigned bit = 1u << stage;
    assert_true(ticket < TICKETS);
    assert_true(bit > n->stages[ticket]); /* each once, rising */
    assert_false(n->stages[ticket] & 1u << CLUSTER_SYNC_EVERYWHERE);
    n->stages[ticket] |= bit;
}

static inline uint64_t news_distrust(void *user, bool hard)
{
    struct node *n = user;
    n->distrusts++;
    n->hard_distrusts += hard;
    return ++n->counter;
}

static inline void news_caution(void *user, bool on, const char *why)
{
    struct node *n = user;
    assert_non_null(why);
    assert_int_not_equal(on, n->cautious);
    n->cautious = on;
    n->cautions += on;
}

static inline void news_hint(void *user, struct span payload)
{
    struct node *n = user;
    assert_true(payload.len <= CLUSTER_PURGE_HINT_MAX);
    memcpy(n->hint, payload.ptr, payload.len);
    n->hint_len = payload.len;
    n->hints++;
}

static inline bool has_stage(char at, uint64_t ticket, enum cluster_sync_stage stage)
{
    return (node_of(at)->stages[ticket] & 1u << stage) != 0;
}

/* --- the post --- */

static inline struct parcel *post_free(void)
{
    for (unsigned i = 0; i < POST; i++) {
        if (!post[i].used)
            return &post[i];
    }
    fail_msg("the post is full");
    return NULL;
}

static inline void put_body(struct parcel *p, struct span body)
{
    p->body = malloc(body.len + 1);
    p->len = body.len;
    if (body.len)
        memcpy(p->body, body.ptr, body.len);
}

/* What it says goes into the post. An answer takes the place of its request. */
static inline void collect(char letter)
{
    struct node *n = node_of(letter);
    struct cluster_sync_output out;
    while (cluster_sync_next(n->sync, &out)) {
        if (out.kind == CLUSTER_SYNC_ANSWER) {
            struct parcel *p = &post[out.number];
            assert_true(p->used && !p->answer && p->to == letter);
            char asker = p->from;
            free(p->body);
            p->answer = true;
            p->handed = false;
            p->from = letter;
            p->to = asker;
            put_body(p, out.body);
            continue;
        }
        struct purge_wire_request q;
        struct parcel *p = post_free();
        assert_int_equal(purge_wire_read_request(out.body, &q), ERR_OK);
        assert_true(out.body.len <= 2 * CLUSTER_SYNC_BYTES && out.deadline_ms > 0);
        *p = (struct parcel){.used = true,
                             .from = letter,
                             .to = out.id.ptr[0],
                             .number = out.number,
                             .kind = q.kind};
        put_body(p, out.body);
    }
}

static inline void collect_all(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        if (nodes[i].sync)
            collect((char)('a' + i));
    }
}

static inline void parcel_done(struct parcel *p)
{
    must(p != NULL);
    free(p->body);
    *p = (struct parcel){.used = false};
}

/* The number of one that must be there; it is done. */
static inline uint64_t parcel_taken(struct parcel *p)
{
    must(p != NULL);
    uint64_t number = p->number;
    parcel_done(p);
    return number;
}

/* The answer of an answer-less request: it failed. */
static inline void refuse(struct parcel *p, enum err err)
{
    char asker = p->answer ? p->to : p->from;
    uint64_t number = p->number;
    parcel_done(p);
    if (node_of(asker)->sync)
        cluster_sync_answered(node_of(asker)->sync, number, err, SPAN(""), now_us, now_s());
}

static inline void deliver(struct parcel *p)
{
    struct node *to = p->to >= 'a' && p->to < 'a' + NODES ? node_of(p->to) : NULL;
    if (!to || !to->sync || cut[p->from - 'a'][p->to - 'a']) {
        refuse(p, ERR_TIMEOUT);
    } else if (p->answer) {
        struct parcel copy = *p;
        *p = (struct parcel){.used = false};
        cluster_sync_answered(to->sync, copy.number, ERR_OK, span_of(copy.body, copy.len),
                              now_us, now_s());
        free(copy.body);
        collect(copy.to);
    } else {
        p->handed = true;
        cluster_sync_asked(to->sync, span_of(&p->from, 1), (uint64_t)(p - post),
                           span_of(p->body, p->len), now_us, now_s());
        collect(p->to);
    }
}

/* Finds one: of this direction (0: any) and kind (0: any), request or answer. */
static inline struct parcel *find_parcel(char from, char to, unsigned kind, bool answer)
{
    for (unsigned i = 0; i < POST; i++) {
        struct parcel *p = &post[i];
        if (p->used && p->answer == answer && (!from || p->from == from) &&
            (!to || p->to == to) && (!kind || p->kind == kind))
            return p;
    }
    return NULL;
}

static inline unsigned count_parcels(char from, char to, unsigned kind, bool answer)
{
    unsigned count = 0;
    for (unsigned i = 0; i < POST; i++) {
        const struct parcel *p = &post[i];
        count += p->used && p->answer == answer && (!from || p->from == from) &&
                 (!to || p->to == to) && (!kind || p->kind == kind);
    }
    return count;
}

/* --- disks --- */

static inline void write_disk(char letter, enum err err)
{
    struct node *n = node_of(letter);
    while (disk_take(&n->disk, n->log, now_s())) {
        if (err == ERR_OK)
            disk_commit(&n->disk);
        disk_told(&n->disk, n->log, err);
        cluster_sync_synced(n->sync, now_us);
        if (err != ERR_OK)
            break;
    }
    collect(letter);
}

/* Everything that can move does, disks too, until nothing does. */
static inline void settle(void)
{
    for (unsigned round = 0; round < 2000; round++) {
        bool moved = false;
        collect_all();
        for (unsigned i = 0; i < POST; i++) {
            if (!post[i].used || post[i].handed)
                continue;
            deliver(&post[i]);
            collect_all();
            moved = true;
        }
        for (unsigned i = 0; i < NODES; i++) {
            if (nodes[i].sync)
                write_disk((char)('a' + i), ERR_OK);
        }
        if (!moved && !find_parcel(0, 0, 0, true))
            return;
    }
    fail_msg("it never comes to rest");
}

static inline void tick_all(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        if (nodes[i].sync)
            cluster_sync_tick(nodes[i].sync, now_us, now_s());
    }
}

/* Time passes in steps of 50 ms, everything moves. */
static inline void pass(int64_t for_us)
{
    for (int64_t until_us = now_us + for_us; now_us < until_us;) {
        now_us += SECOND / 20;
        tick_all();
        settle();
    }
}

/* --- life --- */

static inline void log_answered(void *user, uint64_t ticket, enum err err)
{
    struct node *n = user;
    cluster_sync_log_answered(n->sync, ticket, err);
}

static inline void no_replay(void *user, const struct cluster_purge_record *r)
{
    (void)user;
    (void)r;
}

static inline void start_as(char letter, bool clustered, bool accept_events,
                            uint32_t record_max)
{
    static const struct cluster_sync_news news = {.apply = news_apply,
                                                  .stage = news_stage,
                                                  .distrust = news_distrust,
                                                  .caution = news_caution,
                                                  .hint = news_hint};
    struct node *n = node_of(letter);
    struct cluster_sync_news mine = news;
    mine.user = n;
    n->id[0] = letter;
    n->starts++;
    n->counter = (uint64_t)n->starts << 40;
    n->cautious = false;
    n->log = cluster_purge_log_create(
        &(struct cluster_purge_log_conf){.node = n->id,
                                         .keep_s = 86400,
                                         .stream_id = (uint64_t)letter << 8 | n->starts,
                                         .record_max = record_max,
                                         .answered = log_answered,
                                         .user = n});
    disk_load(&n->disk, n->log, no_replay, NULL);
    n->recent = cluster_recent_create();
    n->sync = cluster_sync_create(&(struct cluster_sync_conf){.id = span_text(n->id),
                                                              .log = n->log,
                                                              .recent = n->recent,
                                                              .news = &mine,
                                                              .seed = (uint64_t)letter,
                                                              .clustered = clustered,
                                                              .accept_events = accept_events},
                                  now_us);
    cluster_sync_begin(n->sync, now_us);
}

static inline void start(char letter)
{
    start_as(letter, true, true, 0);
}

static inline void stop(char letter)
{
    struct node *n = node_of(letter);
    cluster_sync_destroy(n->sync);
    cluster_purge_log_destroy(n->log);
    cluster_recent_destroy(n->recent);
    n->sync = NULL;
    n->log = NULL;
    n->recent = NULL;
    n->disk.out = false;
}

static inline void see(char at, char other, enum cluster_sync_state state)
{
    cluster_sync_member(node_of(at)->sync, span_of(&other, 1), state, true, now_us);
}

static inline void meet(char a, char b)
{
    see(a, b, CLUSTER_SYNC_LIVE);
    see(b, a, CLUSTER_SYNC_LIVE);
}

static inline void both_lose(char a, char b)
{
    see(a, b, CLUSTER_SYNC_FAILED);
    see(b, a, CLUSTER_SYNC_FAILED);
}

static inline void cut_off(char a, char b, bool on)
{
    cut[a - 'a'][b - 'a'] = cut[b - 'a'][a - 'a'] = on;
}

/* The first `count` nodes, which know each other and are at rest. */
static inline void cluster_of(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        start((char)('a' + i));
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = i + 1; k < count; k++)
            meet((char)('a' + i), (char)('a' + k));
    }
    settle();
    for (unsigned i = 0; i < count; i++)
        assert_false(nodes[i].cautious);
}

static inline int begin(void **state)
{
    (void)state;
    memset(nodes, 0, sizeof nodes);
    memset(post, 0, sizeof post);
    memset(cut, 0, sizeof cut);
    now_us = 100 * SECOND;
    return 0;
}

static inline int end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NODES; i++) {
        if (nodes[i].sync)
            stop((char)('a' + i));
        disk_fini(&nodes[i].disk);
    }
    for (unsigned i = 0; i < POST; i++)
        free(post[i].body);
    return 0;
}

/* --- purges --- */

static inline struct cluster_purge_id accept_purge(char at, const struct purge *p,
                                                   uint64_t dedup, uint64_t ticket)
{
    struct node *n = node_of(at);
    struct cluster_purge_id id = {0};
    uint64_t no = ++n->counter;
    cluster_recent_add_unnumbered(n->recent, no, no, now_us);
    assert_int_equal(cluster_sync_accept(n->sync, p, no, dedup, now_us, now_s(), ticket, &id),
                     ERR_OK);
    return id;
}

static inline struct cluster_purge_id purge_tag(char at, const char *tag, uint64_t ticket)
{
    struct purge p = {PURGE_TAG, PURGE_HARD, span_text(tag), SPAN("")};
    return accept_purge(at, &p, 0, ticket);
}

static inline uint64_t synced(char at, uint64_t stream)
{
    return cluster_purge_log_synced(node_of(at)->log, stream);
}

static inline struct cluster_sync_figures figures(char at)
{
    struct cluster_sync_figures f;
    cluster_sync_figures(node_of(at)->sync, &f);
    return f;
}
