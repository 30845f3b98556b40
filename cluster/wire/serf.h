/* cluster/wire/serf.h - Serf messages to and from bytes: the bodies of user messages.
 *
 * A message is a type byte and a msgpack map, canonical when written. Tags, coordinates and
 * the state that a push/pull carries are here, too.
 *
 * Units:  ltime: Lamport time; *_ns nanoseconds; coordinates seconds.
 * Thread: any. Owns nothing: spans read are borrowed from the input.
 * Limits: bounded by the input's bytes.
 */
#pragma once

#include "cluster/wire/message.h"

enum wire_serf_type {
    WIRE_SERF_LEAVE = 0,
    WIRE_SERF_JOIN = 1,
    WIRE_SERF_PUSH_PULL = 2,
    WIRE_SERF_EVENT = 3,
    WIRE_SERF_QUERY = 4,
    WIRE_SERF_RESPONSE = 5,
    WIRE_SERF_CONFLICT = 6,
    WIRE_SERF_KEY_REQUEST = 7,
    WIRE_SERF_KEY_RESPONSE = 8,
    WIRE_SERF_RELAY = 9,
};
#define WIRE_SERF_QUERY_ACK 1u /* query flags */
#define WIRE_SERF_QUERY_NO_BROADCAST 2u
#define WIRE_SERF_RESPONSE_ACK 1u /* response flags */

struct wire_serf_leave {
    uint64_t ltime;
    struct span node;
    bool prune;
};
struct wire_serf_join {
    uint64_t ltime;
    struct span node;
};
struct wire_serf_event {
    uint64_t ltime;
    struct span name;
    struct span payload; /* NULL ptr: nil */
    bool coalesce;       /* lost in a push/pull */
};
struct wire_serf_query {
    uint64_t ltime;
    uint32_t id;
    uint32_t flags;
    struct addr addr; /* where answers go */
    struct span source_node;
    struct span filters; /* msgpack array: wire_serf_filter_next; empty: nil */
    struct span name;
    struct span payload;
    int64_t timeout_ns;
    uint8_t relay_factor;
};
struct wire_serf_response {
    uint64_t ltime;
    uint32_t id;
    uint32_t flags;
    struct span from;
    struct span payload;
};
enum wire_serf_status {
    WIRE_SERF_STATUS_NONE,
    WIRE_SERF_STATUS_ALIVE,
    WIRE_SERF_STATUS_LEAVING,
    WIRE_SERF_STATUS_LEFT,
    WIRE_SERF_STATUS_FAILED,
};
struct wire_serf_member { /* the answer to _serf_conflict */
    struct span name;
    struct addr addr;
    struct span tags; /* msgpack map of text to text: wire_msgpack_walk_map */
    uint8_t status;   /* enum wire_serf_status */
    uint8_t protocol_min, protocol_max, protocol_current;
    uint8_t delegate_min, delegate_max, delegate_current;
};
struct wire_serf_key_request {
    struct span key; /* raw bytes; nil for list-keys */
};
struct wire_serf_key_response {
    bool result;
    struct span message;
    struct span keys; /* msgpack array of base64 texts: wire_msgpack_walk_array */
    struct span primary_key;
};
struct wire_serf_relay {
    struct addr dest;
    struct span dest_name;
    struct span message; /* a whole Serf message, to be sent on as a user message */
};
struct wire_serf_push_pull { /* as read; walk it with the functions below */
    uint64_t ltime, event_ltime, query_ltime;
    struct span left_members;  /* wire_msgpack_walk_array, _walk_raw */
    struct span status_ltimes; /* wire_msgpack_walk_map, _walk_number */
    struct span events;        /* wire_serf_events_begin */
};

struct wire_serf_message {
    enum wire_serf_type type;
    union {
        struct wire_serf_leave leave;
        struct wire_serf_join join;
        struct wire_serf_push_pull push_pull;
        struct wire_serf_event event;
        struct wire_serf_query query;
        struct wire_serf_response response;
        struct wire_serf_member conflict;
        struct wire_serf_key_request key_request;
        struct wire_serf_key_response key_response;
        struct wire_serf_relay relay;
    };
};

/* `bytes` begin with the Serf type, as in wire_message.user. */
NODISCARD enum wire_fault wire_serf_get(struct span bytes, struct wire_serf_message *out);
/* Not for WIRE_SERF_PUSH_PULL: see wire_serf_state_put. */
void wire_serf_put(struct cursor *c, const struct wire_serf_message *m);
/* The same with memberlist's type byte before it: ready for wire_pack_add. */
void wire_serf_put_user(struct cursor *c, const struct wire_serf_message *m);

/* The events of a push/pull, flat. */
struct wire_serf_events {
    struct wire_msgpack_walk slots; /* one per ltime */
    struct wire_msgpack_walk slot;  /* what is left of the current one */
    uint64_t ltime;
};
void wire_serf_events_begin(struct wire_serf_events *e, const struct wire_serf_push_pull *p);
bool wire_serf_events_next(struct wire_serf_events *e, struct wire_serf_event *out);

/* The state that we send in a push/pull. Events of one ltime stand beside each other. */
struct wire_serf_known {
    struct span node;
    uint64_t ltime;
};
struct wire_serf_state {
    uint64_t ltime, event_ltime, query_ltime;
    const struct wire_serf_known *status; /* every node, also those that left */
    size_t status_count;
    const struct span *left;
    size_t left_count;
    const struct wire_serf_event *events;
    size_t event_count;
};
size_t wire_serf_state_bound(const struct wire_serf_state *s); /* room that suffices */
void wire_serf_state_put(struct cursor *c, const struct wire_serf_state *s);

/* A query's filters: a list of node names, or an expression on one tag. */
struct wire_serf_filter {
    bool by_tag;
    struct span nodes; /* !by_tag: msgpack array of names: wire_msgpack_walk_array */
    struct span tag, expr;
};
/* `filters` after wire_msgpack_walk_array(filters, query.filters). False at the end or at a
 * fault (filters->in.err): then the query matches nobody. */
bool wire_serf_filter_next(struct wire_msgpack_walk *filters, struct wire_serf_filter *out);

/* Tags live in alive.meta: ff and a map of text to text. Without ff all of it is the value of
 * the tag "role", as old agents told. */
struct wire_serf_tags {
    struct wire_msgpack_walk walk;
    struct span role;
};
struct wire_serf_tag {
    struct span name, value;
};
void wire_serf_tags_begin(struct wire_serf_tags *t, struct span meta);
bool wire_serf_tags_next(struct wire_serf_tags *t, struct wire_serf_tag *out);
/* In the order given; ERR_LIMIT in `c` over its room (give it WIRE_META_MAX bytes). */
void wire_serf_tags_put(struct cursor *c, const struct wire_serf_tag *tags, size_t count);

/* The Vivaldi coordinate in the payload of an ack. Serf writes doubles; written here are
 * floats, which it reads as well: a third less of what a node sends while nothing happens, and
 * to 10 ns the same. */
#define WIRE_SERF_DIMENSIONS 8
struct wire_serf_coordinate {
    double adjustment, error, height; /* error has no unit */
    double vec[WIRE_SERF_DIMENSIONS];
};
NODISCARD enum wire_fault wire_serf_coordinate_get(struct span payload,
                                                   struct wire_serf_coordinate *out);
void wire_serf_coordinate_put(struct cursor *c, const struct wire_serf_coordinate *v);
