/* tests/unit/cluster/cluster_bed.h - a few nodes wired together, with a virtual clock.
 *
 * Nodes "a", "b", ... at the addresses of swim_talk.h. Packets and streams take NET_DELAY_US;
 * `cut` may drop them. What happens to a node is told as words (net_news). Packets to
 * addresses of nobody are kept in `strange`: what a stranger would hear.
 */
#pragma once

#include "cluster/cluster.h"
#include "tests/unit/cluster/swim_talk.h"

#define NET_NODES 12
#define NET_DELAY_US MS
#define NET_FLIGHTS 8192

enum net_kind { NET_PACKET, NET_OPEN, NET_BYTES, NET_END };

struct net_flight {
    int64_t due_us;
    uint64_t order;
    enum net_kind kind;
    char from, to;
    uint32_t stream;   /* the sender's number */
    struct span bytes; /* owned */
};
struct net_line { /* two ends of a stream */
    char node[2];
    uint32_t stream[2];
};
struct net_node {
    struct cluster *cluster;
    char letter;
    struct text news;
    uint64_t events;          /* that were told */
    int64_t event_at_us;      /* of the last one */
    uint32_t question;        /* the last one */
    bool answers;             /* questions are answered at once, with the node's letter */
    struct wire_keyring ring; /* as told */
    void (*on_change)(struct net_node *n, enum cluster_change change,
                      const struct cluster_node *node);
};
struct net {
    struct net_node node[NET_NODES];
    struct net_flight flight[NET_FLIGHTS];
    unsigned flights;
    struct net_line line[256];
    unsigned lines;
    int64_t now_us;
    uint64_t orders, sent_hash, packets;
    bool (*cut)(const struct net *net, enum net_kind kind, char from, char to);
    uint8_t strange[256][CLUSTER_SWIM_PACKET_MAX + 8]; /* packets to nobody's address */
    size_t strange_bytes[256];
    unsigned strangers;
};

static inline struct net_node *net_node(struct net *net, char letter)
{
    return &net->node[letter - 'a'];
}

static inline struct cluster *net_cluster(struct net *net, char letter)
{
    return net_node(net, letter)->cluster;
}

/* --- news as words --- */

static inline void net_changed(void *user, enum cluster_change change,
                               const struct cluster_node *node)
{
    static const char *const signs[] = {
        [CLUSTER_JOINED] = "+",  [CLUSTER_LEFT_NODE] = "<", [CLUSTER_FAILED] = "-",
        [CLUSTER_UPDATED] = "~", [CLUSTER_FORGOTTEN] = "x",
    };
    struct net_node *n = user;
    text_add(&n->news, "%s%.*s ", signs[change], SPAN_ARG(node->name));
    if (n->on_change)
        n->on_change(n, change, node);
}

static inline void net_health(void *user, const struct cluster_node *node)
{
    struct net_node *n = user;
    text_add(&n->news, "health:%.*s:%u/%u/%d ", SPAN_ARG(node->name), node->health.load,
             node->health.shed, node->health.drain);
}

static inline void net_event(void *user, const struct cluster_event *e)
{
    struct net_node *n = user;
    n->events++;
    if (n->news.len < sizeof(n->news.at) - 512)
        text_add(&n->news, "event:%.*s=%.*s@%llu%s%s ", SPAN_ARG(e->name),
                 (int)(e->payload.len < 40 ? e->payload.len : 40),
                 e->payload.ptr ? e->payload.ptr : "", (unsigned long long)e->ltime,
                 e->coalesce ? "cc" : "", e->replayed ? "r" : "");
}

static inline void net_query(void *user, const struct cluster_question *q)
{
    struct net_node *n = user;
    n->question = q->number;
    text_add(&n->news, "ask:%.*s=%.*s<%.*s ", SPAN_ARG(q->name), SPAN_ARG(q->payload),
             SPAN_ARG(q->from));
    if (n->answers)
        assert_int_equal(cluster_answer(n->cluster, q->number, span_of(&n->letter, 1), 0),
                         ERR_OK);
}

static inline void net_conflict(void *user, enum cluster_conflict what,
                                const struct addr *other)
{
    static const char *const texts[] = {
        [CLUSTER_CONFLICT_OTHERS] = "others",
        [CLUSTER_CONFLICT_SEEN] = "seen",
        [CLUSTER_CONFLICT_WON] = "won",
        [CLUSTER_CONFLICT_LOST] = "lost",
        [CLUSTER_CONFLICT_UNDECIDED] = "undecided",
    };
    struct net_node *n = user;
    text_add(&n->news, "conflict:%s:%c ", texts[what], letter_of(other));
}

static inline void net_keyring(void *user, const struct wire_keyring *ring)
{
    struct net_node *n = user;
    n->ring = *ring;
    text_add(&n->news, "keys:%u ", ring->count);
}

static inline void net_join_done(void *user, const struct addr *seed, enum err result)
{
    struct net_node *n = user;
    text_add(&n->news, "join:%c:%s ", letter_of(seed), err_text(result));
}

/* What a node heard since the last look. */
static inline const char *net_news(struct net *net, char letter)
{
    static struct text out;
    struct net_node *n = net_node(net, letter);
    out = n->news;
    out.at[out.len] = 0;
    n->news.len = 0;
    return out.at;
}

/* --- nodes --- */

static inline struct cluster_conf net_conf(char letter)
{
    static char names[NET_NODES];
    names[letter - 'a'] = letter;
    return (struct cluster_conf){
        .name = span_of(&names[letter - 'a'], 1),
        .addr = addr_of(letter),
        .tags = {.region = SPAN("eu"), .version = SPAN("1.0"), .capacity = 1},
        .profile = cluster_swim_lan,
        .seed = (uint64_t)letter,
        .lifeguard = true,
    };
}

static inline void net_start(struct net *net, char letter, const struct cluster_conf *conf)
{
    struct net_node *n = net_node(net, letter);
    const struct cluster_news news = {
        .user = n,
        .changed = net_changed,
        .health = net_health,
        .event = net_event,
        .query = net_query,
        .conflict = net_conflict,
        .keyring = net_keyring,
        .join_done = net_join_done,
    };
    memset(n, 0, sizeof(*n));
    n->letter = letter;
    n->cluster = cluster_create(conf, &news, net->now_us);
    assert_non_null(n->cluster);
    assert_int_equal(n->news.len, 0);
}

static inline void net_open(struct net *net, unsigned nodes)
{
    memset(net, 0, sizeof(*net));
    net->now_us = 1000 * SECOND;
    for (unsigned i = 0; i < nodes; i++) {
        struct cluster_conf conf = net_conf((char)('a' + i));
        net_start(net, (char)('a' + i), &conf);
    }
}

static inline void net_stop(struct net *net, char letter)
{
    cluster_destroy(net_cluster(net, letter));
    net_node(net, letter)->cluster = NULL;
    for (unsigned i = net->lines; i > 0; i--)
        if (net->line[i - 1].node[0] == letter || net->line[i - 1].node[1] == letter)
            net->line[i - 1] = net->line[--net->lines];
}

static inline void net_close(struct net *net)
{
    for (unsigned i = 0; i < NET_NODES; i++)
        cluster_destroy(net->node[i].cluster);
    for (unsigned i = 0; i < net->flights; i++)
        free((void *)(uintptr_t)net->flight[i].bytes.ptr);
}

/* --- the network --- */

static inline char net_letter(struct net *net, const struct addr *to)
{
    for (unsigned i = 0; i < NET_NODES; i++) {
        struct addr at = addr_of((char)('a' + i));
        if (addr_equal(&at, to))
            return (char)('a' + i);
    }
    (void)net;
    return '?';
}

static inline void net_fly(struct net *net, enum net_kind kind, char from, char to,
                           uint32_t stream, struct span bytes)
{
    if (net->cut && net->cut(net, kind, from, to))
        return;
    assert_true(net->flights < NET_FLIGHTS);
    net->flight[net->flights++] = (struct net_flight){
        .due_us = net->now_us + NET_DELAY_US,
        .order = net->orders++,
        .kind = kind,
        .from = from,
        .to = to,
        .stream = stream,
        .bytes =
            span_of(memcpy(must_alloc(bytes.len + 1), bytes.len ? bytes.ptr : "", bytes.len),
                    bytes.len),
    };
}

static inline struct net_line *net_line_of(struct net *net, char node, uint32_t stream,
                                           unsigned *end)
{
    for (unsigned i = 0; i < net->lines; i++)
        for (*end = 0; *end < 2; (*end)++)
            if (net->line[i].node[*end] == node && net->line[i].stream[*end] == stream)
                return &net->line[i];
    return NULL;
}

static inline void net_keep_strange(struct net *net, struct span bytes)
{
    if (net->strangers == ARRAY_LEN(net->strange))
        return;
    memcpy(net->strange[net->strangers], bytes.ptr, bytes.len);
    net->strange_bytes[net->strangers++] = bytes.len;
}

static inline void net_output(struct net *net, char from, const struct cluster_swim_output *o)
{
    unsigned end = 0;
    struct net_line *line = net_line_of(net, from, o->stream, &end);
    net->sent_hash = hash_mix(net->sent_hash ^ hash_xxh3(o->bytes) ^ (uint64_t)o->what);
    switch (o->what) {
    case CLUSTER_SWIM_SEND:
        net->packets++;
        if (net_letter(net, &o->to) == '?')
            net_keep_strange(net, o->bytes);
        else
            net_fly(net, NET_PACKET, from, net_letter(net, &o->to), 0, o->bytes);
        break;
    case CLUSTER_SWIM_STREAM_OPEN:
        net_fly(net, NET_OPEN, from, net_letter(net, &o->to), o->stream, o->bytes);
        break;
    case CLUSTER_SWIM_STREAM_WRITE:
        if (line)
            net_fly(net, NET_BYTES, from, line->node[!end], o->stream, o->bytes);
        break;
    case CLUSTER_SWIM_STREAM_CLOSE:
        if (line)
            net_fly(net, NET_END, from, line->node[!end], o->stream, o->bytes);
        break;
    }
}

static inline void net_drain(struct net *net)
{
    for (unsigned i = 0; i < NET_NODES; i++) {
        struct cluster_swim_output o;
        while (net->node[i].cluster && cluster_next(net->node[i].cluster, &o))
            net_output(net, (char)('a' + i), &o);
    }
}

static inline void net_land_stream(struct net *net, const struct net_flight *f,
                                   struct cluster *to)
{
    unsigned end;
    struct net_line *line = net_line_of(net, f->from, f->stream, &end);
    if (f->kind == NET_OPEN) {
        uint32_t number = cluster_stream_accept(to, net->now_us);
        assert_true(number != 0 && net->lines < ARRAY_LEN(net->line));
        net->line[net->lines++] = (struct net_line){{f->from, f->to}, {f->stream, number}};
        cluster_stream_bytes(to, number, f->bytes, net->now_us);
    } else if (line && f->kind == NET_BYTES) {
        cluster_stream_bytes(to, line->stream[!end], f->bytes, net->now_us);
    } else if (line) {
        cluster_stream_closed(to, line->stream[!end], net->now_us);
        *line = net->line[--net->lines];
    }
}

static inline void net_land(struct net *net, const struct net_flight *f)
{
    struct cluster *to = f->to == '?' ? NULL : net_cluster(net, f->to);
    struct addr from = addr_of(f->from);
    if (to && f->kind == NET_PACKET)
        cluster_packet(to, &from, f->bytes, net->now_us);
    else if (to)
        net_land_stream(net, f, to);
    else if (f->kind == NET_OPEN && net_cluster(net, f->from))
        cluster_stream_closed(net_cluster(net, f->from), f->stream, net->now_us);
}

static inline int net_next_flight(const struct net *net)
{
    int best = -1;
    for (unsigned i = 0; i < net->flights; i++) {
        const struct net_flight *f = &net->flight[i];
        const struct net_flight *o = best >= 0 ? &net->flight[best] : NULL;
        if (!o || f->due_us < o->due_us || (f->due_us == o->due_us && f->order < o->order))
            best = (int)i;
    }
    return best;
}

static inline int net_next_timer(const struct net *net, int64_t *out_due_us)
{
    int best = -1;
    for (unsigned i = 0; i < NET_NODES; i++) {
        if (!net->node[i].cluster)
            continue;
        int64_t due_us = cluster_deadline_us(net->node[i].cluster);
        if (best < 0 || due_us < *out_due_us) {
            *out_due_us = due_us;
            best = (int)i;
        }
    }
    return best;
}

static inline void net_run(struct net *net, int64_t us)
{
    int64_t until_us = net->now_us + us;
    for (;;) {
        int64_t timer_us = INT64_MAX;
        net_drain(net);
        int timer = net_next_timer(net, &timer_us);
        int flight = net_next_flight(net);
        int64_t flight_us = flight >= 0 ? net->flight[flight].due_us : INT64_MAX;
        int64_t due_us = flight_us < timer_us ? flight_us : timer_us;
        if (due_us > until_us)
            break;
        if (due_us > net->now_us)
            net->now_us = due_us;
        if (flight_us <= timer_us) {
            struct net_flight f = net->flight[flight];
            net->flight[flight] = net->flight[--net->flights];
            net_land(net, &f);
            free((void *)(uintptr_t)f.bytes.ptr);
        } else {
            cluster_tick(net->node[timer].cluster, net->now_us);
        }
    }
    net->now_us = until_us;
}

/* "b alive", "b failed", ... or "no b". */
static inline const char *net_view(struct net *net, char node, const char *name)
{
    static char text[200];
    struct cluster_node found;
    if (cluster_node_find(net_cluster(net, node), span_text(name), &found))
        snprintf(text, sizeof(text), "%s %s", name, cluster_status_text(found.status));
    else
        snprintf(text, sizeof(text), "no %s", name);
    return text;
}

/* Runs until a node sees this, for at most `us`. */
static inline void net_until(struct net *net, char node, const char *name, const char *status,
                             int64_t us)
{
    char wanted[200];
    int64_t from_us = net->now_us;
    snprintf(wanted, sizeof(wanted), "%s %s", name, status);
    while (strcmp(net_view(net, node, name), wanted) != 0) {
        if (net->now_us - from_us >= us)
            fail_msg("%c sees %s, not %s", node, net_view(net, node, name), wanted);
        net_run(net, 10 * MS);
    }
}

static inline void net_forget_news(struct net *net)
{
    for (unsigned i = 0; i < NET_NODES; i++)
        net->node[i].news.len = 0;
}

/* Everybody joins a, and all is told. */
static inline void net_join_all(struct net *net, unsigned nodes)
{
    struct addr seed = addr_of('a');
    for (unsigned i = 1; i < nodes; i++)
        cluster_join(net->node[i].cluster, &seed, net->now_us);
    net_run(net, 6 * SECOND);
    net_forget_news(net);
}

/* --- a stranger's words --- */

/* A Serf message in a packet of its own. */
static inline void net_say(struct net *net, char to, char from,
                           const struct wire_serf_message *m)
{
    static uint8_t room[16384];
    struct addr addr = addr_of(from);
    struct cursor c;
    cursor_write(&c, room, sizeof(room));
    wire_serf_put_user(&c, m);
    assert_int_equal(c.err, ERR_OK);
    cluster_packet(net_cluster(net, to), &addr, span_of(room, c.at), net->now_us);
}

/* Does a part of any packet that went to strangers consist of exactly these bytes? */
static inline unsigned net_strange_with(struct net *net, struct span part)
{
    unsigned found = 0;
    for (unsigned i = 0; i < net->strangers; i++)
        found += span_contains(span_of(net->strange[i], net->strange_bytes[i]), part);
    return found;
}
