/* tests/unit/cluster/swim_talk.h - one swim on the bench, spoken to in words.
 *
 * Node "a" is under test; others are single letters, at 10.0.0.<place in the alphabet>:7946.
 * Messages are written as in: "alive b 3", "suspect b 3 c", "dead b 3 b", "ping a 7 z",
 * "iping c 7 z", "ack 7", "nack 7", "user text"; alive takes more words: "at=x" (x's address),
 * "portless", "meta=text", "vsn=1.5.2.2.5.5".
 */
#pragma once

#include "cluster/swim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cluster/wire/packet.h"
#include "cluster/wire/stream.h"

#define MS INT64_C(1000)
#define SECOND (1000 * MS)
#define GOOD_VSN                                                                               \
    {                                                                                          \
        1, 5, 2, 2, 5, 5                                                                       \
    }

struct text {
    char at[16384];
    size_t len;
};

static inline void text_add(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
static inline void text_add(struct text *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(t->at + t->len, sizeof(t->at) - t->len, fmt, args);
    va_end(args);
    assert_true(len >= 0 && t->len + (size_t)len < sizeof(t->at));
    t->len += (size_t)len;
}

static inline struct addr addr_of(char letter)
{
    return (struct addr){
        .family = ADDR_V4, .ip = {10, 0, 0, (uint8_t)(letter - 'a' + 1)}, .port = 7946};
}

static inline char letter_of(const struct addr *a)
{
    return a->family == ADDR_V4 ? (char)('a' + a->ip[3] - 1) : '?';
}

/* --- messages to and from words --- */

static inline struct span word(struct span *rest)
{
    struct span w = {0};
    (void)span_split(rest, ' ', &w);
    return w;
}

static inline uint32_t number(struct span *rest)
{
    uint64_t value = 0;
    assert_true(span_to_u64(word(rest), &value));
    return (uint32_t)value;
}

static inline void vsn_of(struct span text, uint8_t *out)
{
    struct span part;
    for (unsigned i = 0; span_split(&text, '.', &part) && i < 6; i++) {
        uint64_t v;
        assert_true(span_to_u64(part, &v));
        out[i] = (uint8_t)v;
    }
}

static inline void say_alive(struct wire_alive *a, struct span *rest)
{
    static const uint8_t vsn[] = GOOD_VSN;
    a->node = word(rest);
    a->incarnation = number(rest);
    a->addr = addr_of(a->node.len ? a->node.ptr[0] : 'a');
    memcpy(a->vsn, vsn, sizeof(vsn));
    for (struct span w; (w = word(rest)).len > 0;) {
        if (span_starts(w, SPAN("at=")))
            a->addr = addr_of(w.ptr[3]);
        else if (span_equal(w, SPAN("portless")))
            a->addr.port = 0;
        else if (span_starts(w, SPAN("meta=")))
            a->meta = span_from(w, 5);
        else if (span_starts(w, SPAN("vsn=")))
            vsn_of(span_from(w, 4), a->vsn);
        else
            fail_msg("alive: %.*s?", SPAN_ARG(w));
    }
}

static inline struct wire_message message_of(const char *words)
{
    struct wire_message m;
    struct span rest = span_text(words);
    struct span type = word(&rest);
    memset(&m, 0, sizeof(m));
    if (span_equal(type, SPAN("alive"))) {
        m.type = WIRE_ALIVE;
        say_alive(&m.alive, &rest);
    } else if (span_equal(type, SPAN("suspect"))) {
        m.type = WIRE_SUSPECT;
        m.suspect.node = word(&rest);
        m.suspect.incarnation = number(&rest);
        m.suspect.from = word(&rest);
    } else if (span_equal(type, SPAN("dead"))) {
        m.type = WIRE_DEAD;
        m.dead.node = word(&rest);
        m.dead.incarnation = number(&rest);
        m.dead.from = word(&rest);
    } else if (span_equal(type, SPAN("ping"))) {
        m.type = WIRE_PING;
        m.ping.node = word(&rest);
        m.ping.seq_no = number(&rest);
        m.ping.source_node = word(&rest);
        if (m.ping.source_node.len > 0)
            m.ping.source_addr = addr_of(m.ping.source_node.ptr[0]);
    } else if (span_equal(type, SPAN("iping"))) {
        m.type = WIRE_INDIRECT_PING;
        m.indirect_ping.node = word(&rest);
        m.indirect_ping.target = addr_of(m.indirect_ping.node.ptr[0]);
        m.indirect_ping.seq_no = number(&rest);
        m.indirect_ping.source_node = word(&rest);
        m.indirect_ping.source_addr = addr_of(m.indirect_ping.source_node.ptr[0]);
        m.indirect_ping.nack = !span_equal(word(&rest), SPAN("quiet"));
    } else if (span_equal(type, SPAN("ack"))) {
        m.type = WIRE_ACK;
        m.ack.seq_no = number(&rest);
        m.ack.payload = word(&rest);
    } else if (span_equal(type, SPAN("nack"))) {
        m.type = WIRE_NACK;
        m.nack.seq_no = number(&rest);
    } else if (span_equal(type, SPAN("user"))) {
        m.type = WIRE_USER;
        m.user = rest;
    } else {
        fail_msg("%s?", words);
    }
    return m;
}

static inline void describe(struct text *t, const struct wire_message *m)
{
    switch (m->type) {
    case WIRE_PING:
        text_add(t, "ping %.*s", SPAN_ARG(m->ping.node));
        break;
    case WIRE_INDIRECT_PING:
        text_add(t, "iping %.*s%s", SPAN_ARG(m->indirect_ping.node),
                 m->indirect_ping.nack ? "" : " quiet");
        break;
    case WIRE_ACK:
        text_add(t, "ack %u %.*s", m->ack.seq_no, SPAN_ARG(m->ack.payload));
        break;
    case WIRE_NACK:
        text_add(t, "nack %u", m->nack.seq_no);
        break;
    case WIRE_SUSPECT:
        text_add(t, "suspect %.*s %u %.*s", SPAN_ARG(m->suspect.node), m->suspect.incarnation,
                 SPAN_ARG(m->suspect.from));
        break;
    case WIRE_DEAD:
        text_add(t, "dead %.*s %u %.*s", SPAN_ARG(m->dead.node), m->dead.incarnation,
                 SPAN_ARG(m->dead.from));
        break;
    case WIRE_ALIVE:
        text_add(t, "alive %.*s %u", SPAN_ARG(m->alive.node), m->alive.incarnation);
        if (m->alive.meta.len > 0)
            text_add(t, " meta=%.*s", SPAN_ARG(m->alive.meta));
        break;
    case WIRE_USER:
        text_add(t, "user %.*s", SPAN_ARG(m->user));
        break;
    default:
        text_add(t, "type %d", (int)m->type);
    }
}

/* --- the bench --- */

struct bench {
    struct cluster_swim *swim;
    int64_t now_us;
    struct text news; /* what the layer above heard since the last look */
    bool quiet;       /* round trips and pushes/pulls are no news */
    bool refuse;      /* what `accept` answers */
    uint32_t seq_no;  /* of the last ping that went out */
    uint32_t stream;  /* that was opened last */
    uint64_t users;   /* user messages that came up */
    struct span user_broadcast;
};

#define NEWS(what, sign)                                                                       \
    static inline void hear_##what(void *user, const struct cluster_member *m)                 \
    {                                                                                          \
        struct bench *b = user;                                                                \
        text_add(&b->news, sign "%.*s ", SPAN_ARG(cluster_member_name(m)));                    \
    }
NEWS(joined, "+")
NEWS(left, "<")
NEWS(failed, "-")
NEWS(updated, "~")

static inline void hear_conflict(void *user, const struct cluster_member *holder,
                                 const struct cluster_swim_claim *other)
{
    struct bench *b = user;
    text_add(&b->news, "!%.*s@%c ", SPAN_ARG(cluster_member_name(holder)),
             letter_of(&other->addr));
}

static inline bool may_accept(void *user, const struct cluster_swim_claim *claim)
{
    struct bench *b = user;
    return !b->refuse || claim->name.ptr[0] == 'z';
}

static inline void hear_user(void *user, const struct addr *from, struct span bytes)
{
    struct bench *b = user;
    b->users++;
    text_add(&b->news, "'%.*s'@%c ", SPAN_ARG(bytes), letter_of(from));
}

static inline void hear_ack(void *user, const struct cluster_member *m, int64_t rtt_us,
                            struct span payload)
{
    struct bench *b = user;
    if (b->quiet)
        return;
    text_add(&b->news, "rtt:%.*s:%lld:%.*s ", SPAN_ARG(cluster_member_name(m)),
             (long long)(rtt_us / MS), SPAN_ARG(payload));
}

static inline void hear_pulled(void *user, const struct addr *peer, bool join, enum err result)
{
    struct bench *b = user;
    if (b->quiet && !join)
        return;
    text_add(&b->news, "%s:%c:%s ", join ? "join" : "pull", letter_of(peer), err_text(result));
}

static inline struct span give_payload(void *user)
{
    (void)user;
    return SPAN("vivaldi");
}

static inline struct span give_state(void *user, bool join)
{
    (void)user;
    return join ? SPAN("joining") : SPAN("state");
}

static inline void hear_state(void *user, struct span bytes, bool join)
{
    struct bench *b = user;
    if (b->quiet && !join)
        return;
    text_add(&b->news, "state:%.*s:%d ", SPAN_ARG(bytes), join);
}

static inline uint32_t give_broadcasts(void *user, size_t room, size_t overhead, bool counted,
                                       struct span *out, uint32_t max)
{
    struct bench *b = user;
    (void)counted;
    if (b->user_broadcast.len == 0 || max == 0 || b->user_broadcast.len + overhead > room)
        return 0;
    out[0] = b->user_broadcast;
    return 1;
}

static inline struct cluster_swim_upper bench_upper(struct bench *b)
{
    return (struct cluster_swim_upper){
        .user = b,
        .joined = hear_joined,
        .left = hear_left,
        .failed = hear_failed,
        .updated = hear_updated,
        .conflict = hear_conflict,
        .accept = may_accept,
        .message = hear_user,
        .broadcasts = give_broadcasts,
        .local_state = give_state,
        .remote_state = hear_state,
        .ack_payload = give_payload,
        .acked = hear_ack,
        .pulled = hear_pulled,
    };
}

static inline struct cluster_swim_conf bench_conf(void)
{
    return (struct cluster_swim_conf){
        .name = SPAN("a"),
        .addr = addr_of('a'),
        .vsn = GOOD_VSN,
        .profile = cluster_swim_lan,
        .seed = 1,
        .lifeguard = true,
    };
}

static inline void bench_open(struct bench *b, const struct cluster_swim_conf *conf)
{
    struct cluster_swim_upper upper = bench_upper(b);
    memset(b, 0, sizeof(*b));
    b->swim = cluster_swim_create(conf, &upper, 0);
    assert_non_null(b->swim);
    b->news.len = 0;
}

static inline void bench_close(struct bench *b)
{
    cluster_swim_destroy(b->swim);
}

/* What was heard since the last look. */
static inline const char *bench_news(struct bench *b)
{
    static struct text out;
    out = b->news;
    out.at[out.len] = 0;
    b->news.len = 0;
    return out.at;
}

static inline void describe_packet(struct bench *b, struct text *t, struct span bytes)
{
    static struct wire_scratch scratch;
    struct wire_packet p;
    struct wire_message m;
    enum wire_fault fault;
    const char *between = "";
    wire_packet_begin(&p, bytes, NULL, &scratch);
    while (wire_packet_next(&p, &m, &fault)) {
        assert_int_equal(fault, WIRE_FAULT_NONE);
        text_add(t, "%s", between);
        describe(t, &m);
        between = " + ";
        if (m.type == WIRE_PING)
            b->seq_no = m.ping.seq_no;
    }
}

static inline void describe_output(struct bench *b, struct text *t,
                                   const struct cluster_swim_output *o)
{
    switch (o->what) {
    case CLUSTER_SWIM_SEND:
        text_add(t, "%c: ", letter_of(&o->to));
        describe_packet(b, t, o->bytes);
        break;
    case CLUSTER_SWIM_STREAM_OPEN:
        text_add(t, "open %c %s", letter_of(&o->to),
                 o->bytes.ptr[0] == WIRE_PING ? "ping" : "pull");
        b->stream = o->stream;
        break;
    case CLUSTER_SWIM_STREAM_WRITE:
        text_add(t, "write %s", o->bytes.ptr[0] == WIRE_ACK ? "ack" : "pull");
        break;
    case CLUSTER_SWIM_STREAM_CLOSE:
        text_add(t, "close");
        break;
    }
    text_add(t, "\n");
}

/* The outputs since the last look, a line each: "b: ping b + alive a 1". */
static inline const char *bench_outputs(struct bench *b)
{
    static struct text t;
    struct cluster_swim_output o;
    t.len = 0;
    t.at[0] = 0;
    while (cluster_swim_next(b->swim, &o))
        describe_output(b, &t, &o);
    return t.at;
}

static inline void bench_hear(struct bench *b, const char *words, char from)
{
    uint8_t bytes[WIRE_PACKET_BUDGET];
    struct cursor c;
    struct wire_message m = message_of(words);
    struct addr addr = addr_of(from);
    cursor_write(&c, bytes, sizeof(bytes));
    wire_message_put(&c, &m);
    assert_int_equal(c.err, ERR_OK);
    cluster_swim_packet(b->swim, &addr, span_of(bytes, c.at), b->now_us);
}

/* Lets time pass up to an instant, waking the swim when it asks for it. What it says meanwhile
 * is added to `t`; NULL: forgotten. */
static inline void bench_run_to(struct bench *b, int64_t until_us, struct text *t)
{
    struct text nowhere;
    for (;;) {
        struct cluster_swim_output o;
        if (!t) {
            t = &nowhere;
            t->len = 0;
        }
        while (cluster_swim_next(b->swim, &o))
            describe_output(b, t, &o);
        if (t == &nowhere)
            t = NULL;
        int64_t due_us = cluster_swim_deadline_us(b->swim);
        if (due_us > until_us)
            break;
        assert_true(due_us >= b->now_us);
        b->now_us = due_us;
        cluster_swim_tick(b->swim, b->now_us);
    }
    b->now_us = until_us;
}

static inline const char *some_alive(const struct bench *b)
{
    static char name[2];
    const struct cluster_members *t = cluster_swim_members(b->swim);
    for (uint32_t i = 0; i < cluster_members_count(t); i++) {
        const struct cluster_member *m = cluster_members_at(t, i);
        if (m != cluster_swim_me(b->swim) && m->state == CLUSTER_ALIVE)
            name[0] = cluster_member_name(m).ptr[0];
    }
    return name;
}

/* Empties the broadcast queue: somebody alive is told all of it often enough. */
static inline void bench_flush(struct bench *b)
{
    for (unsigned i = 0; cluster_swim_broadcasts_waiting(b->swim) > 0; i++) {
        char words[20];
        assert_true(i < 100);
        snprintf(words, sizeof(words), "ping a 1 %s", some_alive(b));
        bench_hear(b, words, 'z');
    }
    (void)bench_outputs(b);
}

/* What waits to be told: all parts beside the ack of a ping of somebody unknown. */
static inline const char *bench_queued(struct bench *b)
{
    (void)bench_outputs(b);
    bench_hear(b, "ping a 1 y", 'y');
    const char *line = bench_outputs(b);
    static const char ack[] = "y: ack 1 vivaldi";
    assert_memory_equal(line, ack, sizeof(ack) - 1);
    line += sizeof(ack) - 1;
    return *line == '\n' ? line + 1 : line + 3;
}

static inline const struct cluster_member *bench_member(const struct bench *b, const char *name)
{
    return cluster_members_find(cluster_swim_members(b->swim), span_text(name));
}

/* "b suspect 3" or "no b". */
static inline const char *bench_view(const struct bench *b, const char *name)
{
    static char text[100];
    const struct cluster_member *m = bench_member(b, name);
    if (m)
        snprintf(text, sizeof(text), "%s %s %u", name, cluster_state_text(m->state),
                 m->incarnation);
    else
        snprintf(text, sizeof(text), "no %s", name);
    return text;
}

/* Lets time pass until the swim says something; what it says. */
static inline const char *bench_wait(struct bench *b)
{
    for (unsigned i = 0; i < 10000; i++) {
        const char *said = bench_outputs(b);
        if (*said)
            return said;
        b->now_us = cluster_swim_deadline_us(b->swim);
        cluster_swim_tick(b->swim, b->now_us);
    }
    fail_msg("nothing said");
    return "";
}

/* A member that is alive and of whom everybody knows. */
static inline void bench_meet(struct bench *b, const char *words)
{
    bench_hear(b, words, 'z');
    bench_flush(b);
    (void)bench_news(b);
}

/* The answer to a stream that is open, in one piece. */
static inline void bench_answer(struct bench *b, const char *words)
{
    uint8_t bytes[WIRE_PACKET_BUDGET];
    struct cursor c;
    struct wire_message m = message_of(words);
    cursor_write(&c, bytes, sizeof(bytes));
    wire_message_put(&c, &m);
    cluster_swim_stream_bytes(b->swim, b->stream, span_of(bytes, c.at), b->now_us);
}
