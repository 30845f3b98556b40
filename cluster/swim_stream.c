#include "cluster/swim_core.h"

#include <math.h>
#include <stdlib.h>

#include "base/crypto.h"

#define ACCEPTED_MAX (CLUSTER_SWIM_STREAMS * 3 / 4) /* the rest is for this node's own */
#define HELD_MAX ((size_t)64 << 20)                 /* bytes in all unfinished messages */
#define PULL_EVEN 32u /* members up to which the push/pull interval stays as it is */

static struct cluster_stream *find(const struct cluster_swim *s, uint32_t number)
{
    for (uint32_t i = 0; i < s->streams; i++)
        if (s->stream[i]->number == number)
            return s->stream[i];
    return NULL;
}

static struct cluster_stream *open_stream(struct cluster_swim *s, enum cluster_talk talk,
                                          int64_t deadline_us)
{
    bool accepted = talk == CLUSTER_TALK_ACCEPTED;
    if (s->streams == CLUSTER_SWIM_STREAMS) {
        s->counters.dropped_stream++;
        return NULL;
    }
    struct cluster_stream *st = must_alloc(sizeof(*st));
    do
        st->number = ++s->stream_number;
    while (st->number == 0 || find(s, st->number));
    st->talk = talk;
    st->deadline_us = deadline_us;
    wire_stream_init(&st->wire, accepted ? WIRE_ACCEPTOR : WIRE_DIALLER, s->keyring,
                     WIRE_STREAM_MAX);
    s->stream[s->streams++] = st;
    s->streams_accepted += accepted;
    if (accepted)
        s->counters.streams_in++;
    else
        s->counters.streams_out++;
    return st;
}

static void free_stream(struct cluster_swim *s, struct cluster_stream *st)
{
    for (uint32_t i = 0; i < s->streams; i++) {
        if (s->stream[i] == st) {
            s->stream[i] = s->stream[--s->streams];
            break;
        }
    }
    s->streams_accepted -= st->talk == CLUSTER_TALK_ACCEPTED;
    s->streams_held -= st->held;
    wire_stream_fini(&st->wire);
    free(st);
}

/* The stream is over for this side. The call may begin another one. */
static void conclude(struct cluster_swim *s, struct cluster_stream *st, enum err result)
{
    struct cluster_stream was = *st;
    free_stream(s, st);
    if (was.talk != CLUSTER_TALK_PULL)
        return;
    if (result != ERR_OK)
        s->counters.push_pulls_failed++;
    if (s->upper.pulled)
        s->upper.pulled(s->upper.user, &was.peer, was.join, result);
}

static void close_stream(struct cluster_swim *s, struct cluster_stream *st, enum err result)
{
    must(cluster_outbox_put(&s->outbox, CLUSTER_SWIM_STREAM_CLOSE, st->number, NULL,
                            (struct span){0}));
    conclude(s, st, result);
}

/* What was said into the stream, to the shell. */
static void pass_on(struct cluster_swim *s, struct cluster_stream *st,
                    enum cluster_swim_do what)
{
    struct span bytes = wire_stream_output(&st->wire);
    must(cluster_outbox_put(&s->outbox, what, st->number, &st->peer, bytes));
    s->counters.stream_bytes_out += bytes.len;
    wire_stream_sent(&st->wire, bytes.len);
}

static void make_nonce(const struct cluster_swim *s, uint8_t nonce[WIRE_NONCE_BYTES])
{
    memset(nonce, 0, WIRE_NONCE_BYTES);
    if (s->keyring && s->keyring->count > 0)
        crypto_random(nonce, WIRE_NONCE_BYTES);
}

static enum err put_members(const struct cluster_swim *s, struct buf *out)
{
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < cluster_members_count(s->members) && err == ERR_OK; i++) {
        const struct cluster_member *m = cluster_members_at(s->members, i);
        struct wire_node node = {
            .name = cluster_member_name(m),
            .addr = m->addr,
            .incarnation = m->incarnation,
            .meta = cluster_member_meta(m),
            .state = m->state,
        };
        memcpy(node.vsn, m->vsn, sizeof(node.vsn));
        err = wire_push_pull_put_node(out, &node);
    }
    return err;
}

/* All that this node knows, as its half of a push/pull. */
static enum err say_state(struct cluster_swim *s, struct cluster_stream *st, bool join)
{
    struct span state = {0};
    struct buf out;
    uint8_t nonce[WIRE_NONCE_BYTES];
    buf_init(&out, WIRE_STREAM_MAX);
    if (s->upper.local_state)
        state = s->upper.local_state(s->upper.user, join);
    enum err err = wire_push_pull_put(&out, join, cluster_members_count(s->members), state.len);
    if (err == ERR_OK)
        err = put_members(s, &out);
    if (err == ERR_OK)
        err = buf_append(&out, state);
    make_nonce(s, nonce);
    if (err == ERR_OK)
        err = wire_stream_say(&st->wire, buf_span(&out), nonce);
    buf_fini(&out);
    return err;
}

void cluster_swim_pull(struct cluster_swim *s, const struct addr *peer, bool join)
{
    struct cluster_stream *st =
        open_stream(s, CLUSTER_TALK_PULL, s->now_us + s->profile.stream_timeout_us);
    if (!st) {
        if (s->upper.pulled)
            s->upper.pulled(s->upper.user, peer, join, ERR_LIMIT);
        return;
    }
    s->counters.push_pulls++;
    st->peer = *peer;
    st->join = join;
    enum err err = say_state(s, st, join);
    if (err == ERR_OK)
        pass_on(s, st, CLUSTER_SWIM_STREAM_OPEN);
    else
        conclude(s, st, err);
}

uint32_t cluster_swim_pulls(const struct cluster_swim *s)
{
    uint32_t pulls = 0;
    for (uint32_t i = 0; i < s->streams; i++)
        pulls += s->stream[i]->talk == CLUSTER_TALK_PULL;
    return pulls;
}

void cluster_swim_stream_ping(struct cluster_swim *s, const struct cluster_member *m,
                              const struct wire_ping *p, int64_t deadline_us)
{
    uint8_t nonce[WIRE_NONCE_BYTES];
    struct cluster_stream *st = open_stream(s, CLUSTER_TALK_PING, deadline_us);
    if (!st)
        return;
    st->peer = m->addr;
    st->seq_no = p->seq_no;
    make_nonce(s, nonce);
    struct wire_message message = {.type = WIRE_PING, .ping = *p};
    if (wire_stream_say_message(&st->wire, &message, nonce) == ERR_OK)
        pass_on(s, st, CLUSTER_SWIM_STREAM_OPEN);
    else
        conclude(s, st, ERR_LIB);
}

static void merge_node(struct cluster_swim *s, const struct wire_node *n)
{
    switch ((enum wire_node_state)n->state) {
    case WIRE_NODE_ALIVE:
        cluster_swim_alive(s, &(struct cluster_swim_claim){.name = n->name,
                                                           .meta = n->meta,
                                                           .addr = n->addr,
                                                           .vsn = n->vsn,
                                                           .incarnation = n->incarnation});
        break;
    case WIRE_NODE_LEFT:
        cluster_swim_dead(s, &(struct wire_dead){.incarnation = n->incarnation,
                                                 .node = n->name,
                                                 .from = n->name});
        break;
    case WIRE_NODE_SUSPECT:
    case WIRE_NODE_DEAD:
        /* Never dead at once: it may live, and gets the time to say so. */
        cluster_swim_suspect(s, &(struct wire_suspect){.incarnation = n->incarnation,
                                                       .node = n->name,
                                                       .from = cluster_member_name(s->me)});
        break;
    }
}

static void merge(struct cluster_swim *s, struct wire_push_pull *p)
{
    struct wire_node node;
    while (wire_push_pull_next(p, &node))
        merge_node(s, &node);
    if (p->user_state.len > 0 && s->upper.remote_state)
        s->upper.remote_state(s->upper.user, p->user_state, p->join);
}

static void answer_ping(struct cluster_swim *s, struct cluster_stream *st)
{
    const struct wire_ping *p = &st->wire.message.ping;
    uint8_t nonce[WIRE_NONCE_BYTES];
    if (p->node.len > 0 && !span_equal(p->node, cluster_member_name(s->me))) {
        s->counters.dropped_unknown++;
        return;
    }
    make_nonce(s, nonce);
    struct wire_message ack = {.type = WIRE_ACK, .ack = {.seq_no = p->seq_no}};
    if (wire_stream_say_message(&st->wire, &ack, nonce) == ERR_OK)
        pass_on(s, st, CLUSTER_SWIM_STREAM_WRITE);
}

/* Somebody began a conversation and has said it all. */
static void answer(struct cluster_swim *s, struct cluster_stream *st)
{
    switch (st->wire.message.type) {
    case WIRE_PUSH_PULL:
        s->counters.push_pulls_in++;
        /* First what was known before, as memberlist does. */
        if (say_state(s, st, st->wire.push_pull.join) == ERR_OK)
            pass_on(s, st, CLUSTER_SWIM_STREAM_WRITE);
        merge(s, &st->wire.push_pull);
        break;
    case WIRE_PING:
        answer_ping(s, st);
        break;
    case WIRE_USER:
        cluster_swim_keep_user(s, &(struct addr){0}, st->wire.message.user);
        break;
    default:
        s->counters.dropped_refused++;
        break;
    }
    close_stream(s, st, ERR_OK);
}

/* The answer to a conversation that this node began. */
static void take_answer(struct cluster_swim *s, struct cluster_stream *st)
{
    enum wire_type type = st->wire.message.type;
    enum err result = ERR_REFUSED; /* an error message, or the answer to something else */
    if (st->talk == CLUSTER_TALK_PULL && type == WIRE_PUSH_PULL) {
        result = ERR_OK;
        st->wire.push_pull.join = st->join; /* whatever the other side says */
        merge(s, &st->wire.push_pull);
    } else if (st->talk == CLUSTER_TALK_PING && type == WIRE_ACK &&
               st->wire.message.ack.seq_no == st->seq_no) {
        result = ERR_OK;
        cluster_swim_probe_by_stream(s, st->seq_no);
    } else {
        s->counters.dropped_refused++;
    }
    close_stream(s, st, result);
}

static void judge(struct cluster_swim *s, struct cluster_stream *st)
{
    switch (st->wire.status) {
    case WIRE_STREAM_MORE:
        break;
    case WIRE_STREAM_MESSAGE:
        cluster_swim_heard(s);
        if (st->talk == CLUSTER_TALK_ACCEPTED)
            answer(s, st);
        else
            take_answer(s, st);
        break;
    case WIRE_STREAM_FAULT:
        s->counters.faults[st->wire.fault]++;
        close_stream(s, st, ERR_SYNTAX);
        break;
    }
}

/* Of those that others began: the one with the most unfinished bytes, or the oldest. */
static struct cluster_stream *worst_accepted(const struct cluster_swim *s, bool by_bytes)
{
    struct cluster_stream *worst = NULL;
    for (uint32_t i = 0; i < s->streams; i++) {
        struct cluster_stream *st = s->stream[i];
        if (st->talk != CLUSTER_TALK_ACCEPTED)
            continue;
        if (!worst || (by_bytes ? st->held > worst->held : st->number < worst->number))
            worst = st;
    }
    return worst;
}

/* Who is slow makes room for who comes: else a few that never end keep all others out. */
static void evict(struct cluster_swim *s, struct cluster_stream *st, enum err why)
{
    s->counters.dropped_stream++;
    close_stream(s, st, why);
}

uint32_t cluster_swim_stream_accept(struct cluster_swim *s, int64_t now_us)
{
    cluster_swim_advance(s, now_us);
    if (s->streams_accepted >= ACCEPTED_MAX)
        evict(s, worst_accepted(s, false), ERR_TIMEOUT);
    struct cluster_stream *st =
        open_stream(s, CLUSTER_TALK_ACCEPTED, s->now_us + s->profile.stream_timeout_us);
    return st ? st->number : 0;
}

void cluster_swim_stream_bytes(struct cluster_swim *s, uint32_t stream, struct span bytes,
                               int64_t now_us)
{
    cluster_swim_advance(s, now_us);
    struct cluster_stream *st = find(s, stream);
    if (!st)
        return;
    s->counters.stream_bytes_in += bytes.len;
    while (bytes.len > HELD_MAX - s->streams_held) {
        struct cluster_stream *worst = worst_accepted(s, true);
        bool own = !worst || worst == st;
        evict(s, own ? st : worst, ERR_LIMIT);
        if (own)
            return;
    }
    st->held += bytes.len;
    s->streams_held += bytes.len;
    (void)wire_stream_feed(&st->wire, bytes);
    judge(s, st);
}

void cluster_swim_stream_closed(struct cluster_swim *s, uint32_t stream, int64_t now_us)
{
    cluster_swim_advance(s, now_us);
    struct cluster_stream *st = find(s, stream);
    if (st)
        conclude(s, st, ERR_CLOSED);
}

void cluster_swim_stream_tick(struct cluster_swim *s)
{
    /* Closing one may begin another, which is never due. */
    for (uint32_t i = s->streams; i > 0; i--)
        if (i <= s->streams && s->stream[i - 1]->deadline_us <= s->now_us)
            close_stream(s, s->stream[i - 1], ERR_TIMEOUT);
}

int64_t cluster_swim_stream_deadline_us(const struct cluster_swim *s)
{
    int64_t at_us = CLUSTER_NEVER_US;
    for (uint32_t i = 0; i < s->streams; i++)
        if (s->stream[i]->deadline_us < at_us)
            at_us = s->stream[i]->deadline_us;
    return at_us;
}

void cluster_swim_stream_fini(struct cluster_swim *s)
{
    while (s->streams > 0)
        free_stream(s, s->stream[0]);
}

static bool is_alive(const void *user, const struct cluster_member *m)
{
    const struct cluster_swim *s = user;
    return m != s->me && m->state == CLUSTER_ALIVE;
}

static bool may_live(const void *user, const struct cluster_member *m)
{
    const struct cluster_swim *s = user;
    return m != s->me && m->state != CLUSTER_LEFT;
}

static struct cluster_member *
pick_one(struct cluster_swim *s, bool (*fits)(const void *, const struct cluster_member *))
{
    struct cluster_member *m;
    return cluster_members_pick(s->members, &s->random, fits, s, &m, 1) == 1 ? m : NULL;
}

void cluster_swim_pull_somebody(struct cluster_swim *s)
{
    struct cluster_member *m = pick_one(s, is_alive);
    if (!m)
        m = pick_one(s, may_live);
    if (m)
        cluster_swim_pull(s, &m->addr, false);
}

int64_t cluster_swim_push_pull_interval_us(const struct cluster_swim *s)
{
    uint32_t members = cluster_members_count(s->members);
    if (members <= PULL_EVEN)
        return s->profile.push_pull_interval_us;
    double mult = ceil(log2(members) - log2(PULL_EVEN)) + 1;
    return s->profile.push_pull_interval_us * (int64_t)mult;
}

void cluster_swim_push_pull_tick(struct cluster_swim *s)
{
    if (s->now_us < s->push_pull_at_us)
        return;
    s->push_pull_at_us = s->now_us + cluster_swim_push_pull_interval_us(s);
    struct cluster_member *m = pick_one(s, is_alive);
    if (m)
        cluster_swim_pull(s, &m->addr, false);
}
