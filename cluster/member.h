/* cluster/member.h - the table of members: who is in, where, in which state, since when.
 *
 * Members are found by name (a keyed table, since outsiders choose names) or by index in no
 * order. A ring hands them out one by one, each once a round: shuffled anew when it wraps; a
 * new member enters at a random place, so that the time until its first turn is bounded on
 * average. The table has two rings: one for probes, one for gossip.
 *
 * Thread: control. Owns: the members; a pointer lives until that member is dropped, its text
 *         until its meta changes.
 * Limits: CLUSTER_NAME_MAX, CLUSTER_META_MAX; members at most as told at creation.
 *         A member takes about 140 B and its name and meta.
 * Errors: ERR_LIMIT.
 */
#pragma once

#include "base/addr.h"
#include "base/hash.h"
#include "cluster/random.h"
#include "cluster/wire/message.h"

#define CLUSTER_NAME_MAX 128 /* as Serf's */
#define CLUSTER_META_MAX WIRE_META_MAX
#define CLUSTER_VSN_BYTES WIRE_VSN_BYTES /* pmin pmax pcur dmin dmax dcur */

/* As the numbers of a push/pull. */
enum cluster_state { CLUSTER_ALIVE, CLUSTER_SUSPECT, CLUSTER_DEAD, CLUSTER_LEFT };

struct cluster_suspicion;

struct cluster_member {
    uint64_t id; /* keyed hash of the name */
    struct addr addr;
    uint32_t incarnation;
    uint8_t vsn[CLUSTER_VSN_BYTES];
    uint8_t state; /* enum cluster_state */
    uint8_t name_bytes;
    uint16_t meta_bytes;
    uint32_t at[3];                      /* its places in the table's arrays */
    int64_t since_us;                    /* of `state`, in the time of the swim */
    char *text;                          /* name, then meta */
    struct cluster_suspicion *suspicion; /* while CLUSTER_SUSPECT; else NULL */
};

struct cluster_members;

enum cluster_ring { CLUSTER_RING_PROBE, CLUSTER_RING_GOSSIP };

static inline struct span cluster_member_name(const struct cluster_member *m)
{
    return span_of(m->text, m->name_bytes);
}

static inline struct span cluster_member_meta(const struct cluster_member *m)
{
    return span_of(m->text + m->name_bytes, m->meta_bytes);
}

static inline bool cluster_member_gone(const struct cluster_member *m)
{
    return m->state == CLUSTER_DEAD || m->state == CLUSTER_LEFT;
}

const char *cluster_state_text(enum cluster_state state); /* "alive", "suspect", ... */

struct cluster_members *cluster_members_create(uint32_t members_max, struct hash_key key);
void cluster_members_destroy(struct cluster_members *t);
uint32_t cluster_members_count(const struct cluster_members *t);
/* index < count; the order changes when members are added or dropped. */
struct cluster_member *cluster_members_at(const struct cluster_members *t, uint32_t index);
uint64_t cluster_members_id(const struct cluster_members *t, struct span name); /* of anybody */
struct cluster_member *cluster_members_find(const struct cluster_members *t, struct span name);
/* Adds a member that is dead, without address and meta; its name must not be in the table.
 * ERR_LIMIT: table full, name empty or too long. */
NODISCARD enum err cluster_members_add(struct cluster_members *t, struct span name,
                                       struct cluster_random *random,
                                       struct cluster_member **out_member);
void cluster_members_drop(struct cluster_members *t, struct cluster_member *m);
/* meta.len <= CLUSTER_META_MAX. */
void cluster_member_set_meta(struct cluster_member *m, struct span meta);
/* The next of the ring's round; NULL: the round is over and the ring shuffled for the next. */
struct cluster_member *cluster_members_turn(struct cluster_members *t, enum cluster_ring ring,
                                            struct cluster_random *random);
/* Up to `max` different members that `fits` accepts, at random; returns how many. */
uint32_t cluster_members_pick(const struct cluster_members *t, struct cluster_random *random,
                              bool (*fits)(const void *user, const struct cluster_member *m),
                              const void *user, struct cluster_member **out, uint32_t max);
