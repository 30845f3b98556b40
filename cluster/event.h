/* cluster/event.h - which user events and queries were heard already.
 *
 * Lamport times fall into CLUSTER_LTIME_SLOTS slots; what is older than the newest by more
 * than these, or below a minimum, is old. Events are remembered whole, since a push/pull
 * hands them on; of queries only their ids.
 *
 * Thread: one owner. Owns: copies of the events.
 * Limits: CLUSTER_EVENTS_SLOT events, CLUSTER_QUERIES_SLOT queries of one ltime: more are
 *         dropped. CLUSTER_EVENTS_BYTES: over it the oldest events go, and the minimum rises
 *         above them.
 */
#pragma once

#include "cluster/clock.h"
#include "cluster/wire/serf.h"

#define CLUSTER_LTIME_SLOTS 512u
#define CLUSTER_EVENTS_BYTES ((size_t)1 << 20) /* with CLUSTER_EVENT_COST each */
#define CLUSTER_EVENTS_SLOT 256u
#define CLUSTER_EVENT_COST 64u
#define CLUSTER_QUERIES_SLOT 256u

enum cluster_heard {
    CLUSTER_HEARD_NEWS,
    CLUSTER_HEARD_DUPLICATE,
    CLUSTER_HEARD_OLD,
    CLUSTER_HEARD_DROPPED, /* over a limit */
    CLUSTER_HEARD_REFUSED, /* its time is too far ahead */
};

struct cluster_events;

struct cluster_events *cluster_events_create(void);
void cluster_events_destroy(struct cluster_events *e);
struct cluster_clock *cluster_events_clock(struct cluster_events *e);
uint64_t cluster_events_now(const struct cluster_events *e);
/* Witnesses its time and remembers it, if it is news. */
enum cluster_heard cluster_events_hear(struct cluster_events *e,
                                       const struct wire_serf_event *event);
/* All that is remembered, those of one ltime beside each other; returns how many, owned by the
 * caller in *out (free); the spans live until the next event is heard. */
size_t cluster_events_list(const struct cluster_events *e, struct wire_serf_event **out);
size_t cluster_events_bytes(const struct cluster_events *e);

struct cluster_queries;

struct cluster_queries *cluster_queries_create(void);
void cluster_queries_destroy(struct cluster_queries *q);
struct cluster_clock *cluster_queries_clock(struct cluster_queries *q);
uint64_t cluster_queries_now(const struct cluster_queries *q);
enum cluster_heard cluster_queries_hear(struct cluster_queries *q, uint64_t ltime, uint32_t id);
