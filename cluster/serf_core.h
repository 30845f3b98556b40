/* cluster/serf_core.h - the inside of Serf's layer, for the files serf*.c alone.
 *
 * serf.c is its life: what the swim tells and asks, timers, queues; serf_member.c who is
 * there: intents, tombstones, the state in push/pulls; serf_event.c user events; serf_query.c
 * queries of others and their answers; serf_ask.c queries of ours; serf_internal.c the
 * queries that Serf answers itself; serf_conflict.c the vote about this node's name.
 */
#pragma once

#include "cluster/broadcast.h"
#include "cluster/coordinate.h"
#include "cluster/serf.h"

#define CLUSTER_SERF_JOINS 32u
#define CLUSTER_SERF_BYTES_MAX CLUSTER_EVENT_BYTES_IN /* of any message */
#define CLUSTER_SERF_NEVER_US INT64_MAX

/* In the order in which they go out. */
enum cluster_queue { CLUSTER_QUEUE_INTENTS, CLUSTER_QUEUE_QUERIES, CLUSTER_QUEUE_EVENTS };
#define CLUSTER_QUEUES 3

/* A query of somebody that may still be answered. */
struct cluster_open_question {
    uint32_t number; /* 0: free */
    uint32_t id;
    uint64_t ltime;
    struct addr to;
    int64_t deadline_us;
    uint8_t relays, asker_bytes;
    char asker[CLUSTER_NAME_MAX];
};

/* A query of ours under way. */
struct cluster_asked {
    uint64_t ltime;
    uint32_t id;
    int64_t deadline_us;
    struct cluster_ask ask; /* its functions; the spans are void */
    struct cluster_answerers {
        uint64_t *id; /* of nodes that did */
        uint32_t count, room;
    } acked, answered;
};

struct cluster_serf {
    struct cluster_serf_news news;
    struct cluster_swim *swim;
    struct wire_keyring keyring; /* the swim borrows it */
    struct cluster_random random;
    int64_t now_us, gossip_interval_us;
    bool replay, has_joined; /* has_joined: somebody, once */

    struct cluster_clock clock; /* of intents */
    struct cluster_intents intents;
    struct cluster_roster *roster;
    struct cluster_events *events;
    uint64_t events_from; /* events from before are no news: they were before a _join */
    struct cluster_queries *queries;
    struct cluster_broadcast *queue[CLUSTER_QUEUES];
    struct cluster_coordinate coordinate;

    uint32_t joins;
    struct addr join[CLUSTER_SERF_JOINS]; /* under way */
    uint32_t asks;
    struct cluster_asked *asked[CLUSTER_QUERIES_MAX];
    uint32_t questions; /* numbers given */
    struct cluster_open_question question[CLUSTER_QUESTIONS_MAX];
    int64_t answers_until_us; /* so far the answers that were sent use the budget up */

    enum { CLUSTER_STAYS, CLUSTER_TELLS, CLUSTER_GOES } leaving; /* TELLS: Serf's intent */
    int64_t leave_at_us, reconnect_at_us, reap_at_us;

    bool voting, conflict_lost;
    uint32_t votes_mine, votes_theirs, votes_gone; /* gone: for whoever had it */
    struct addr rival;
    int64_t vote_at_us;   /* no other vote before */
    int64_t revote_at_us; /* after a vote that was lost */

    char *state; /* for push/pulls */
    uint8_t payload[CLUSTER_SWIM_PAYLOAD_MAX];
    struct cluster_serf_counters counters;
};

/* serf.c */
struct span cluster_serf_name(const struct cluster_serf *s);
uint64_t cluster_serf_id(const struct cluster_serf *s, struct span name);
struct cluster_entry *cluster_serf_entry(const struct cluster_serf *s, struct span name);
/* To everybody, by gossip; what is too long for a packet is left to push/pulls. */
void cluster_serf_spread(struct cluster_serf *s, enum cluster_queue queue, uint64_t subject,
                         struct span bytes);
/* Up to `max` random members that live, without this node and `but` (may be NULL). */
uint32_t cluster_serf_pick(struct cluster_serf *s, const struct addr *but,
                           struct cluster_member **out, uint32_t max);
/* A message as if it had come from the network; bytes must not be the swim's. */
void cluster_serf_hear(struct cluster_serf *s, const struct addr *from, struct span bytes);

/* serf_member.c; true: it is news for others, too. */
bool cluster_serf_hear_leave(struct cluster_serf *s, const struct wire_serf_leave *m);
bool cluster_serf_hear_join(struct cluster_serf *s, const struct wire_serf_join *m);
void cluster_serf_say_join(struct cluster_serf *s); /* that this node is here */
void cluster_serf_say_leave(struct cluster_serf *s, struct span name, bool prune);
void cluster_serf_joined(void *user, const struct cluster_member *m);
void cluster_serf_left(void *user, const struct cluster_member *m);
void cluster_serf_failed(void *user, const struct cluster_member *m);
void cluster_serf_updated(void *user, const struct cluster_member *m);
struct span cluster_serf_local_state(void *user, bool join);
void cluster_serf_remote_state(void *user, struct span bytes, bool join);
void cluster_serf_reap(struct cluster_serf *s);
void cluster_serf_reconnect(struct cluster_serf *s);

/* serf_event.c; bytes: as it came, NULL ptr: by push/pull. */
void cluster_serf_hear_event(struct cluster_serf *s, const struct addr *from,
                             const struct wire_serf_event *event, struct span bytes);

/* serf_query.c */
void cluster_serf_hear_query(struct cluster_serf *s, const struct wire_serf_query *q,
                             struct span bytes);
void cluster_serf_relay(struct cluster_serf *s, const struct addr *from,
                        const struct wire_serf_relay *r);

/* serf_ask.c */
void cluster_serf_hear_response(struct cluster_serf *s, const struct wire_serf_response *r);
void cluster_serf_ask_tick(struct cluster_serf *s);
int64_t cluster_serf_ask_deadline_us(const struct cluster_serf *s);
void cluster_serf_ask_fini(struct cluster_serf *s);

/* serf_internal.c: the answer into `room` (CLUSTER_QUERY_BYTES); empty: none. */
struct span cluster_serf_internal(struct cluster_serf *s, struct span name, struct span payload,
                                  uint8_t *room);

/* serf_conflict.c */
void cluster_serf_conflict(void *user, const struct cluster_member *holder,
                           const struct cluster_swim_claim *other);
void cluster_serf_conflict_tick(struct cluster_serf *s);
