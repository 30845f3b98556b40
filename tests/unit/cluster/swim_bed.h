/* tests/unit/cluster/swim_bed.h - a few swims wired together, with a virtual clock.
 *
 * Nodes "a", "b", ... at the addresses of swim_talk.h. A packet takes BED_DELAY_US; a stream
 * hands over its bytes after as long. `cut` may drop packets, or streams (a dropped stream is
 * never answered, as behind a cut line).
 */
#pragma once

#include "tests/unit/cluster/swim_talk.h"

#define BED_NODES 8
#define BED_DELAY_US MS
#define BED_FLIGHTS 4096

enum bed_kind { BED_PACKET, BED_OPEN, BED_BYTES, BED_END };

struct bed_flight {
    int64_t due_us;
    uint64_t order;
    enum bed_kind kind;
    char from, to;
    uint32_t stream;   /* the sender's number */
    struct span bytes; /* owned */
};
struct bed_line { /* two ends of a stream; 0: closed there */
    char node[2];
    uint32_t stream[2];
};
struct bed {
    struct bench node[BED_NODES];
    bool up[BED_NODES], paused[BED_NODES];
    struct bed_flight flight[BED_FLIGHTS];
    unsigned flights;
    struct bed_line line[256];
    unsigned lines;
    int64_t now_us;
    uint64_t orders, sent_hash;
    bool (*cut)(const struct bed *bed, enum bed_kind kind, char from, char to,
                struct span bytes);
};

static inline struct bench *bed_node(struct bed *bed, char name)
{
    return &bed->node[name - 'a'];
}

static inline struct cluster_swim_conf bed_conf(char name)
{
    static char names[BED_NODES];
    struct cluster_swim_conf conf = bench_conf();
    names[name - 'a'] = name;
    conf.name = span_of(&names[name - 'a'], 1);
    conf.addr = addr_of(name);
    conf.seed = (uint64_t)name;
    return conf;
}

static inline void bed_start(struct bed *bed, char name, const struct cluster_swim_conf *conf)
{
    struct bench *b = bed_node(bed, name);
    struct cluster_swim_upper upper = bench_upper(b);
    memset(b, 0, sizeof(*b));
    b->swim = cluster_swim_create(conf, &upper, bed->now_us);
    assert_non_null(b->swim);
    b->news.len = 0;
    b->quiet = true;
    bed->up[name - 'a'] = true;
}

static inline void bed_open(struct bed *bed, unsigned nodes)
{
    memset(bed, 0, sizeof(*bed));
    bed->now_us = 1000 * SECOND;
    for (unsigned i = 0; i < nodes; i++) {
        struct cluster_swim_conf conf = bed_conf((char)('a' + i));
        bed_start(bed, (char)('a' + i), &conf);
    }
}

static inline void bed_stop(struct bed *bed, char name)
{
    bed->up[name - 'a'] = false;
    cluster_swim_destroy(bed_node(bed, name)->swim);
    bed_node(bed, name)->swim = NULL;
    for (unsigned i = 0; i < bed->lines; i++)
        for (unsigned end = 0; end < 2; end++)
            if (bed->line[i].node[end] == name)
                bed->line[i].stream[end] = 0;
}

static inline void bed_close(struct bed *bed)
{
    for (unsigned i = 0; i < BED_NODES; i++)
        cluster_swim_destroy(bed->node[i].swim);
    for (unsigned i = 0; i < bed->flights; i++)
        free((void *)(uintptr_t)bed->flight[i].bytes.ptr);
}

static inline void bed_fly(struct bed *bed, enum bed_kind kind, char from, char to,
                           uint32_t stream, struct span bytes)
{
    if (bed->cut && bed->cut(bed, kind, from, to, bytes))
        return;
    assert_true(bed->flights < BED_FLIGHTS);
    bed->flight[bed->flights++] = (struct bed_flight){
        .due_us = bed->now_us + BED_DELAY_US,
        .order = bed->orders++,
        .kind = kind,
        .from = from,
        .to = to,
        .stream = stream,
        .bytes = span_of(span_dup(bytes), bytes.len),
    };
}

static inline struct bed_line *bed_line_of(struct bed *bed, char node, uint32_t stream,
                                           unsigned *end)
{
    for (unsigned i = 0; i < bed->lines; i++)
        for (*end = 0; *end < 2; (*end)++)
            if (bed->line[i].node[*end] == node && bed->line[i].stream[*end] == stream)
                return &bed->line[i];
    return NULL;
}

static inline void bed_output(struct bed *bed, char from, const struct cluster_swim_output *o)
{
    unsigned end = 0;
    struct bed_line *line = bed_line_of(bed, from, o->stream, &end);
    bed->sent_hash = hash_mix(bed->sent_hash ^ hash_xxh3(o->bytes) ^ (uint64_t)o->what);
    switch (o->what) {
    case CLUSTER_SWIM_SEND:
        bed_fly(bed, BED_PACKET, from, letter_of(&o->to), 0, o->bytes);
        break;
    case CLUSTER_SWIM_STREAM_OPEN:
        bed_fly(bed, BED_OPEN, from, letter_of(&o->to), o->stream, o->bytes);
        break;
    case CLUSTER_SWIM_STREAM_WRITE:
        bed_fly(bed, BED_BYTES, from, line ? line->node[!end] : '?', o->stream, o->bytes);
        break;
    case CLUSTER_SWIM_STREAM_CLOSE:
        if (line)
            bed_fly(bed, BED_END, from, line->node[!end], o->stream, o->bytes);
        break;
    }
}

static inline void bed_drain(struct bed *bed)
{
    for (unsigned i = 0; i < BED_NODES; i++) {
        struct cluster_swim_output o;
        while (bed->up[i] && cluster_swim_next(bed->node[i].swim, &o))
            bed_output(bed, (char)('a' + i), &o);
    }
}

static inline void bed_land_open(struct bed *bed, const struct bed_flight *f)
{
    struct bench *to = bed_node(bed, f->to);
    struct bench *from = bed_node(bed, f->from);
    uint32_t number = cluster_swim_stream_accept(to->swim, bed->now_us);
    if (number == 0) {
        cluster_swim_stream_closed(from->swim, f->stream, bed->now_us);
        return;
    }
    assert_true(bed->lines < ARRAY_LEN(bed->line));
    bed->line[bed->lines++] = (struct bed_line){{f->from, f->to}, {f->stream, number}};
    cluster_swim_stream_bytes(to->swim, number, f->bytes, bed->now_us);
}

static inline void bed_land_more(struct bed *bed, const struct bed_flight *f)
{
    unsigned end;
    struct bed_line *line = bed_line_of(bed, f->from, f->stream, &end);
    struct bench *to = bed_node(bed, f->to);
    if (!line)
        return;
    if (f->kind == BED_BYTES) {
        cluster_swim_stream_bytes(to->swim, line->stream[!end], f->bytes, bed->now_us);
        return;
    }
    cluster_swim_stream_closed(to->swim, line->stream[!end], bed->now_us);
    *line = bed->line[--bed->lines];
}

static inline void bed_land(struct bed *bed, const struct bed_flight *f)
{
    struct bench *to = bed_node(bed, f->to);
    if (f->to < 'a' || f->to >= 'a' + BED_NODES || !bed->up[f->to - 'a']) {
        /* Nobody there: a stream is refused. */
        if (f->kind == BED_OPEN && bed->up[f->from - 'a'])
            cluster_swim_stream_closed(bed_node(bed, f->from)->swim, f->stream, bed->now_us);
        return;
    }
    struct addr from = addr_of(f->from);
    if (f->kind == BED_PACKET)
        cluster_swim_packet(to->swim, &from, f->bytes, bed->now_us);
    else if (f->kind == BED_OPEN)
        bed_land_open(bed, f);
    else
        bed_land_more(bed, f);
}

/* The next flight that may land: what goes to a paused node waits. -1: none. */
static inline int bed_next_flight(const struct bed *bed)
{
    int best = -1;
    for (unsigned i = 0; i < bed->flights; i++) {
        const struct bed_flight *f = &bed->flight[i];
        const struct bed_flight *o = best >= 0 ? &bed->flight[best] : NULL;
        unsigned to = (unsigned)(f->to - 'a');
        if (to < BED_NODES && bed->paused[to])
            continue;
        if (!o || f->due_us < o->due_us || (f->due_us == o->due_us && f->order < o->order))
            best = (int)i;
    }
    return best;
}

static inline int bed_next_timer(const struct bed *bed, int64_t *out_due_us)
{
    int best = -1;
    for (unsigned i = 0; i < BED_NODES; i++) {
        if (!bed->up[i] || bed->paused[i])
            continue;
        int64_t due_us = cluster_swim_deadline_us(bed->node[i].swim);
        if (best < 0 || due_us < *out_due_us) {
            *out_due_us = due_us;
            best = (int)i;
        }
    }
    return best;
}

static inline void bed_run(struct bed *bed, int64_t us)
{
    int64_t until_us = bed->now_us + us;
    for (;;) {
        int64_t timer_us = INT64_MAX;
        bed_drain(bed);
        int timer = bed_next_timer(bed, &timer_us);
        int flight = bed_next_flight(bed);
        int64_t flight_us = flight >= 0 ? bed->flight[flight].due_us : INT64_MAX;
        int64_t due_us = flight_us < timer_us ? flight_us : timer_us;
        if (due_us > until_us)
            break;
        if (due_us > bed->now_us)
            bed->now_us = due_us;
        if (flight_us <= timer_us) {
            struct bed_flight f = bed->flight[flight];
            bed->flight[flight] = bed->flight[--bed->flights];
            bed_land(bed, &f);
            free((void *)(uintptr_t)f.bytes.ptr);
        } else {
            cluster_swim_tick(bed->node[timer].swim, bed->now_us);
        }
    }
    bed->now_us = until_us;
}

static inline const char *bed_view(struct bed *bed, char node, const char *name)
{
    return bench_view(bed_node(bed, node), name);
}

static inline const char *bed_news(struct bed *bed, char node)
{
    return bench_news(bed_node(bed, node));
}

/* Runs until a node sees this, for at most `us`; how long it took. */
static inline int64_t bed_until(struct bed *bed, char node, const char *view, int64_t us)
{
    char name[2] = {view[0] == 'n' && view[1] == 'o' ? view[3] : view[0], 0};
    int64_t from_us = bed->now_us;
    while (strcmp(bed_view(bed, node, name), view) != 0) {
        if (bed->now_us - from_us >= us)
            fail_msg("%c sees %s, not %s", node, bed_view(bed, node, name), view);
        bed_run(bed, 10 * MS);
    }
    return bed->now_us - from_us;
}

/* Everybody joins a, and all is told. */
static inline void bed_join_all(struct bed *bed, unsigned nodes)
{
    struct addr seed = addr_of('a');
    for (unsigned i = 1; i < nodes; i++)
        cluster_swim_join(bed->node[i].swim, &seed, bed->now_us);
    bed_run(bed, 5 * SECOND);
    for (unsigned i = 0; i < nodes; i++)
        (void)bench_news(&bed->node[i]);
}
