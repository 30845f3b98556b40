/* cluster/serf.h - Serf's layer above the swim: intents, events, queries, who left or failed.
 *
 * As Serf 0.9 speaks it (docs: gossip.md A7, A8). It owns the swim below it; the front door
 * (cluster/cluster.h) passes input and output through. Departures from Serf, all local:
 * Lamport times that jump by more than CLUSTER_LTIME_JUMP are not believed; a vote about a
 * name that nobody answers is lost by nobody, and won when all know its other holder for gone;
 * expressions in filters are those of pattern.h; a member that says itself that it leaves has
 * left, also when its intent was lost.
 *
 * Units:  *_us of one monotonic clock, as in swim.h; ltime: Lamport time.
 * Thread: control.
 * Owns:   copies of all it was given; what news borrows lives until the function returns.
 * Limits: CLUSTER_* below. A flood drops the oldest events and queries first.
 * Errors: ERR_LIMIT, ERR_REFUSED, ERR_NOT_FOUND.
 */
#pragma once

#include "cluster/event.h"
#include "cluster/intent.h"
#include "cluster/roster.h"
#include "cluster/wire/keyring.h"
#include "cluster/wire/serf.h"

#define CLUSTER_EVENT_BYTES 1000u    /* of ours, encoded: always fits a packet */
#define CLUSTER_EVENT_BYTES_IN 9216u /* of others; Serf's own cap */
#define CLUSTER_QUERY_BYTES 1024u    /* a query, an answer, encoded */
#define CLUSTER_QUERIES_MAX 32u      /* ours, under way */
#define CLUSTER_QUESTIONS_MAX 64u    /* of others, not yet answered */
#define CLUSTER_QUERY_FILTERS 8u
#define CLUSTER_QUERY_RELAYS 5u    /* copies of an answer, at most */
#define CLUSTER_ANSWERS_PER_S 256u /* answers and relayed messages together */
#define CLUSTER_RECONNECT_US (30 * INT64_C(1000000))
#define CLUSTER_TOMBSTONE_US (24 * 3600 * INT64_C(1000000))
#define CLUSTER_EAGER_PEERS 4u

enum cluster_change {
    CLUSTER_JOINED,    /* is alive, was not */
    CLUSTER_LEFT_NODE, /* said that it goes */
    CLUSTER_FAILED,    /* others found it dead */
    CLUSTER_UPDATED,   /* other tags or another address */
    CLUSTER_FORGOTTEN, /* not listed any more: for long gone, or an operator said so */
};

struct cluster_event { /* somebody's user event */
    struct span name, payload;
    uint64_t ltime;
    bool coalesce; /* false when it came by push/pull */
    bool replayed; /* it came by push/pull: may be old */
};

struct cluster_question { /* somebody's query */
    uint32_t number;      /* for the answer; 0: too many wait, it cannot be answered */
    struct span name, payload, from;
    uint64_t ltime;
    int64_t deadline_us;
};

struct cluster_filter { /* a tag's value must match an expression (pattern.h) */
    struct span tag, expression;
};
struct cluster_ask { /* a query of ours; this node answers it first, from within the call */
    struct span name, payload;
    const struct span *nodes; /* only these; count 0: all */
    uint32_t node_count;
    const struct cluster_filter *filters; /* all must match */
    uint32_t filter_count;
    bool ack;           /* tell who got it */
    uint8_t relays;     /* <= CLUSTER_QUERY_RELAYS */
    int64_t timeout_us; /* 0: as long as the cluster's size asks for */
    void *user;         /* given to each function below; these may be NULL */
    void (*acked)(void *user, struct span from);
    void (*answered)(void *user, struct span from, struct span payload);
    void (*over)(void *user); /* time is up, or the node is destroyed; the last call */
};

enum cluster_conflict {
    CLUSTER_CONFLICT_OTHERS, /* two other nodes share a name */
    CLUSTER_CONFLICT_SEEN,   /* somebody has this node's name: a vote begins */
    CLUSTER_CONFLICT_WON,
    CLUSTER_CONFLICT_LOST,      /* this node must not serve under its name */
    CLUSTER_CONFLICT_UNDECIDED, /* nobody answered */
};

struct cluster_serf_counters {
    uint64_t events_in, events_fired, events_duplicate, events_old, events_dropped;
    uint64_t events_pushed; /* packets of the eager push */
    uint64_t queries_in, queries_asked, queries_duplicate, queries_old, queries_dropped;
    uint64_t answers_in, answers_out, answers_late,
        answers_held; /* held: CLUSTER_ANSWERS_PER_S */
    uint64_t relayed;
    uint64_t intents_in, intents_old, intents_dropped;
    uint64_t refused_ltime; /* jumped too far */
    uint64_t refused_syntax, refused_coordinate;
    uint64_t reconnects, reaped, conflicts, key_changes;
};

struct cluster_serf_news {
    void *user; /* given to each; any function may be NULL */
    void (*changed)(void *user, enum cluster_change change, struct cluster_entry *entry);
    void (*event)(void *user, const struct cluster_event *event);
    void (*query)(void *user, const struct cluster_question *question);
    void (*conflict)(void *user, enum cluster_conflict what, const struct addr *other);
    void (*keyring)(void *user, const struct wire_keyring *ring);
    void (*join_done)(void *user, const struct addr *seed, enum err result);
};

struct cluster_serf_conf {
    struct span name, meta;
    struct addr addr;
    struct cluster_swim_profile profile;
    struct wire_keyring keyring; /* empty: plain text */
    uint64_t seed;
    uint32_t members_max; /* 0: CLUSTER_SWIM_MEMBERS_MAX */
    bool lifeguard;
    bool replay; /* events from before the first _join are news, too */
};

struct cluster_serf;

/* NULL: name, meta or address are not usable. The functions of `news` may call anything here
 * but _enter, _tick, _destroy; the swim below is for input and output only. */
struct cluster_serf *cluster_serf_create(const struct cluster_serf_conf *conf,
                                         const struct cluster_serf_news *news, int64_t now_us);
void cluster_serf_destroy(struct cluster_serf *s);

/* The swim below, at a time: call its _packet, _stream_* and _next on it. */
struct cluster_swim *cluster_serf_enter(struct cluster_serf *s, int64_t now_us);
const struct cluster_swim *cluster_serf_swim(const struct cluster_serf *s);
void cluster_serf_tick(struct cluster_serf *s, int64_t now_us); /* the swim's, too */
int64_t cluster_serf_deadline_us(const struct cluster_serf *s); /* the swim's, too */

void cluster_serf_join(struct cluster_serf *s, const struct addr *seed, int64_t now_us);
void cluster_serf_leave(struct cluster_serf *s, int64_t now_us);
bool cluster_serf_leave_told(const struct cluster_serf *s);
void cluster_serf_set_meta(struct cluster_serf *s, struct span meta, int64_t now_us);
/* An event named "perigee" or "perigee/..." also goes to CLUSTER_EAGER_PEERS members at once,
 * from here and from whoever gets it for the first time. */
NODISCARD enum err cluster_serf_fire(struct cluster_serf *s, struct span name,
                                     struct span payload, bool coalesce, int64_t now_us,
                                     uint64_t *out_ltime);
NODISCARD enum err cluster_serf_ask(struct cluster_serf *s, const struct cluster_ask *ask,
                                    int64_t now_us);
NODISCARD enum err cluster_serf_answer(struct cluster_serf *s, uint32_t question,
                                       struct span payload, int64_t now_us);
NODISCARD enum err cluster_serf_forget(struct cluster_serf *s, struct span name,
                                       int64_t now_us);

const struct cluster_roster *cluster_serf_roster(const struct cluster_serf *s);
int64_t cluster_serf_rtt_us(const struct cluster_serf *s,
                            const struct cluster_entry *e); /* by coordinates; -1: unknown */
struct wire_keyring *cluster_serf_keyring(struct cluster_serf *s);
bool cluster_serf_conflict_lost(const struct cluster_serf *s);

struct cluster_serf_gauges {
    uint32_t queue_intents, queue_queries, queue_events;
    uint64_t queue_dropped; /* messages that found no place in their queue */
    uint64_t ltime, event_ltime, query_ltime;
};
const struct cluster_serf_counters *cluster_serf_counters(const struct cluster_serf *s);
void cluster_serf_gauges(const struct cluster_serf *s, struct cluster_serf_gauges *out);
