/* cluster/cluster.h - the front door of gossip: who is in the cluster, how they are, what they
 * tell each other.
 *
 * The swim (cluster/swim.h) with Serf's layer above it (cluster/serf.h) and what Perigee adds:
 * tags with a meaning, health events, an eager push of events named "perigee" or "perigee/...".
 * Sans-I/O; the same calls give the same outputs when nothing is encrypted.
 *
 * Who calls what:
 *   1. create; then _join for each seed. To whom and how often is the caller's matter.
 *   2. Input: _packet, _stream_*, and _tick when the time of _deadline_us has come.
 *   3. After any call: _next until it says false, do what it says (struct cluster_swim_output),
 *      then ask _deadline_us again.
 * News is told by the functions of struct cluster_news from within these calls. They may call
 * anything here but _packet, _stream_*, _tick, _next and _destroy.
 *
 * Units:  *_us of one monotonic clock.
 * Thread: control.
 * Owns:   copies of all it was given but for user pointers. Spans and nodes in news and walks
 *         are borrowed until the function returns.
 * Limits: those of swim.h and serf.h; CLUSTER_EVENT_BYTES for events of ours,
 *         CLUSTER_QUERY_BYTES for queries and answers; CLUSTER_QUERIES_MAX of ours under way.
 * Errors: ERR_LIMIT, ERR_REFUSED, ERR_NOT_FOUND.
 */
#pragma once

#include "cluster/health.h"
#include "cluster/serf.h"
#include "cluster/tags.h"

struct cluster;

struct cluster_node {
    struct span name; /* in gossip; of a Perigee node its id */
    struct addr addr; /* gossip */
    enum cluster_status status;
    bool suspect; /* alive, but did not answer of late */
    bool me;
    bool has_health;
    struct cluster_health health; /* drain: the last word of tags and health events */
    struct cluster_tags tags;     /* tags.id empty: a stock Serf agent */
    int64_t since_us;             /* of `status` */
    int64_t rtt_us;               /* estimated from coordinates; -1: unknown */
    int64_t rtt_own_us;           /* smoothed over own probes; -1: none answered yet */
    uint32_t incarnation;
    uint8_t vsn[CLUSTER_VSN_BYTES];
};

struct cluster_news {
    void *user; /* given to each; any function may be NULL */
    void (*changed)(void *user, enum cluster_change change, const struct cluster_node *node);
    void (*health)(void *user, const struct cluster_node *node);
    /* A user event of somebody else, once. Health events are not told here. */
    void (*event)(void *user, const struct cluster_event *event);
    /* Somebody asks; answer with cluster_answer now or until its deadline. Internal queries
     * (_serf_...) are answered by Serf's layer. */
    void (*query)(void *user, const struct cluster_question *question);
    void (*conflict)(void *user, enum cluster_conflict what, const struct addr *other);
    /* An operator rotated keys (serf keys): to be kept by the caller. */
    void (*keyring)(void *user, const struct wire_keyring *ring);
    /* A _join is over: as cluster_swim_upper.pulled. */
    void (*join_done)(void *user, const struct addr *seed, enum err result);
};

struct cluster_conf {
    struct span name;         /* node.id */
    struct addr addr;         /* as told to others: cluster.advertise, else what is bound */
    struct cluster_tags tags; /* tags.id is set to `name` when empty */
    struct cluster_swim_profile profile;
    struct wire_keyring keyring; /* empty: plain text */
    uint64_t seed;               /* secret where outsiders may choose names */
    uint32_t members_max;        /* 0: CLUSTER_SWIM_MEMBERS_MAX */
    bool lifeguard;
    bool replay;            /* events from before the first _join are news, too */
    uint32_t health_budget; /* bytes per second that health events of all nodes together may
                             * cost each node; 0: CLUSTER_HEALTH_BUDGET */
};
#define CLUSTER_HEALTH_BUDGET 8192u

/* NULL: name or address are not usable. */
struct cluster *cluster_create(const struct cluster_conf *conf, const struct cluster_news *news,
                               int64_t now_us);
void cluster_destroy(struct cluster *c);

/* Input and output, as in swim.h. */
void cluster_packet(struct cluster *c, const struct addr *from, struct span bytes,
                    int64_t now_us);
uint32_t cluster_stream_accept(struct cluster *c, int64_t now_us);
void cluster_stream_bytes(struct cluster *c, uint32_t stream, struct span bytes,
                          int64_t now_us);
void cluster_stream_closed(struct cluster *c, uint32_t stream, int64_t now_us);
void cluster_tick(struct cluster *c, int64_t now_us);
int64_t cluster_deadline_us(const struct cluster *c);
bool cluster_next(struct cluster *c, struct cluster_swim_output *out);

/* Wishes. */
void cluster_join(struct cluster *c, const struct addr *seed, int64_t now_us);
/* Says that it goes (first Serf's intent, then the swim's word); it still answers. */
void cluster_leave(struct cluster *c, int64_t now_us);
bool cluster_leave_told(
    const struct cluster *c); /* after _leave: others know, so far as can be */
/* ERR_LIMIT: over CLUSTER_EVENT_BYTES encoded. out_ltime may be NULL. */
NODISCARD enum err cluster_fire(struct cluster *c, struct span name, struct span payload,
                                bool coalesce, int64_t now_us, uint64_t *out_ltime);
/* ERR_LIMIT: too long, or CLUSTER_QUERIES_MAX under way. */
NODISCARD enum err cluster_query(struct cluster *c, const struct cluster_ask *ask,
                                 int64_t now_us);
/* ERR_NOT_FOUND: answered already, or too late; ERR_LIMIT: too long. */
NODISCARD enum err cluster_answer(struct cluster *c, uint32_t question, struct span payload,
                                  int64_t now_us);
/* Load is told when it changed by CLUSTER_HEALTH_STEP and the budget allows, drain and shed
 * when they changed, drain at once (in the tags, too). The last value wins. */
void cluster_set_health(struct cluster *c, const struct cluster_health *health, int64_t now_us);
#define CLUSTER_HEALTH_STEP 10 /* percent */
void cluster_set_tags(struct cluster *c, const struct cluster_tags *tags, int64_t now_us);
/* A failed node will not come back: all forget it. ERR_NOT_FOUND; ERR_REFUSED: it is alive. */
NODISCARD enum err cluster_forget(struct cluster *c, struct span name, int64_t now_us);

/* The view. `each` returns false to stop, and calls nothing here. In no order. */
void cluster_nodes_walk(const struct cluster *c,
                        bool (*each)(void *user, const struct cluster_node *node), void *user);
bool cluster_node_find(const struct cluster *c, struct span name, struct cluster_node *out);
void cluster_me(const struct cluster *c, struct cluster_node *out);
/* Another number whenever a node's address, status, tags, drain or shed may be other than
 * before. Not told: loads, times, suspicions. */
uint64_t cluster_view(const struct cluster *c);
const struct wire_keyring *cluster_keyring(const struct cluster *c);
bool cluster_conflict_lost(
    const struct cluster *c); /* another node has this name: no service */

struct cluster_counters {
    struct cluster_swim_counters swim;
    struct cluster_serf_counters serf;
    uint64_t health_told, health_held; /* held: by the budget */
    uint64_t health_in, health_refused;
    uint32_t swim_health; /* Lifeguard's score, 0 best */
    uint32_t nodes[CLUSTER_STATUSES];
    uint32_t queue_swim; /* broadcasts that wait there; those of Serf's layer: */
    struct cluster_serf_gauges serf_gauges;
};
void cluster_counters(const struct cluster *c, struct cluster_counters *out);
