/* cluster/swim_core.h - the inside of the swim, for the files swim*.c alone.
 *
 * swim.c takes what comes in and keeps the time; swim_rules.c believes or refutes;
 * swim_probe.c asks whether others live; swim_gossip.c makes packets; swim_stream.c holds
 * conversations and merges views. Nothing in here reads a clock: `now_us` in the struct is the
 * swim's own time, which stalls do not move.
 */
#pragma once

#include "cluster/broadcast.h"
#include "cluster/inbox.h"
#include "cluster/outbox.h"
#include "cluster/suspicion.h"
#include "cluster/swim.h"
#include "cluster/wire/packet.h"
#include "cluster/wire/stream.h"

#define CLUSTER_NEVER_US INT64_MAX

/* The one probe that this node has under way. */
struct cluster_probe {
    struct cluster_member *target; /* NULL: none */
    uint32_t seq_no, incarnation;  /* incarnation: of the target, when asked */
    int64_t sent_us, indirect_at_us, deadline_us;
    bool indirect; /* others were asked to try, too */
    uint32_t nacks_wanted, nacks;
};

/* A probe on behalf of another. */
struct cluster_relay {
    uint32_t seq_no, their_seq_no;
    struct addr asker;
    struct cluster_member *member; /* the asker, when it is known */
    int64_t deadline_us;
    bool nack; /* wanted */
};

enum cluster_talk { CLUSTER_TALK_ACCEPTED, CLUSTER_TALK_PING, CLUSTER_TALK_PULL };

struct cluster_stream {
    uint32_t number;
    enum cluster_talk talk;
    bool join; /* CLUSTER_TALK_PULL: because upper wished it */
    struct addr peer;
    uint32_t seq_no; /* CLUSTER_TALK_PING */
    int64_t deadline_us;
    size_t held; /* bytes that came */
    struct wire_stream wire;
};

struct cluster_swim {
    struct cluster_swim_profile profile;
    struct cluster_swim_upper upper;
    const struct wire_keyring *keyring;
    bool lifeguard, leaving;

    int64_t clock_us, now_us; /* the caller's time, and ours without stalls */
    int64_t gossip_at_us, probe_at_us, push_pull_at_us;
    int64_t suspicion_at_us; /* no suspicion ends before; may be too early */
    int64_t silence_at_us;   /* no sign of life of anybody until then: ask somebody */

    const struct addr *heard_from; /* of the packet under way, until it was answered */

    struct cluster_random random;
    struct cluster_members *members;
    struct cluster_member *me;
    struct cluster_broadcast *broadcasts;
    uint32_t health, seq_no;
    struct cluster_probe probe;
    struct cluster_relay relay[CLUSTER_SWIM_RELAYS]; /* by deadline */
    uint32_t relays;
    struct cluster_stream *stream[CLUSTER_SWIM_STREAMS];
    uint32_t streams, streams_accepted, stream_number;
    size_t streams_held;

    struct cluster_inbox inbox;
    struct cluster_outbox outbox;
    struct cluster_swim_counters counters;
    struct wire_scratch *scratch;
};

/* swim.c */
void cluster_swim_advance(struct cluster_swim *s, int64_t clock_us); /* first thing in a call */
void cluster_swim_heard(struct cluster_swim *s);
void cluster_swim_keep_user(struct cluster_swim *s, const struct addr *from, struct span bytes);
/* The tick after `at_us`, by whole intervals, that is not over yet. */
int64_t cluster_swim_next_tick_us(const struct cluster_swim *s, int64_t at_us,
                                  int64_t interval_us);

/* swim_rules.c: what others say about a member, and what becomes of it. */
void cluster_swim_alive(struct cluster_swim *s, const struct cluster_swim_claim *claim);
void cluster_swim_suspect(struct cluster_swim *s, const struct wire_suspect *claim);
void cluster_swim_dead(struct cluster_swim *s, const struct wire_dead *claim);
bool cluster_swim_vsn_good(const uint8_t *vsn);
void cluster_swim_tell_me(struct cluster_swim *s);         /* queues that this node is alive */
void cluster_swim_expire(struct cluster_swim *s);          /* suspects whose time is over */
void cluster_swim_reap(struct cluster_swim *s);            /* forgets who was gone for long */
void cluster_swim_feel(struct cluster_swim *s, int delta); /* health score */

/* swim_probe.c */
void cluster_swim_probe_tick(struct cluster_swim *s);
void cluster_swim_relay_tick(struct cluster_swim *s);
int64_t cluster_swim_probe_deadline_us(const struct cluster_swim *s);
void cluster_swim_probe_forget(struct cluster_swim *s); /* without a verdict */
void cluster_swim_forget_member(struct cluster_swim *s, const struct cluster_member *m);
void cluster_swim_ping(struct cluster_swim *s, const struct wire_ping *p,
                       const struct addr *from);
void cluster_swim_indirect_ping(struct cluster_swim *s, const struct wire_indirect_ping *p,
                                const struct addr *from);
void cluster_swim_ack(struct cluster_swim *s, const struct wire_ack *a);
void cluster_swim_nack(struct cluster_swim *s, const struct wire_nack *n);
/* The target of a probe answered by stream. */
void cluster_swim_probe_by_stream(struct cluster_swim *s, uint32_t seq_no);

/* swim_gossip.c */
/* Queues a message for everybody; it replaces what was queued about the same member. */
void cluster_swim_spread(struct cluster_swim *s, uint64_t subject,
                         const struct wire_message *m);
/* Sends a message with as much gossip as fits. `peer` NULL: somebody unknown. */
void cluster_swim_say(struct cluster_swim *s, const struct addr *to,
                      const struct cluster_member *peer, const struct wire_message *m);
void cluster_swim_finish(struct cluster_swim *s, const struct wire_pack *pack, bool crc,
                         const struct addr *to);
void cluster_swim_gossip_tick(struct cluster_swim *s);

/* swim_stream.c */
void cluster_swim_pull(struct cluster_swim *s, const struct addr *peer, bool join);
uint32_t cluster_swim_pulls(const struct cluster_swim *s); /* that this node has under way */
void cluster_swim_pull_somebody(struct cluster_swim *s);   /* alive, or who may be */
void cluster_swim_push_pull_tick(struct cluster_swim *s);
void cluster_swim_stream_ping(struct cluster_swim *s, const struct cluster_member *m,
                              const struct wire_ping *p, int64_t deadline_us);
void cluster_swim_stream_tick(struct cluster_swim *s);
int64_t cluster_swim_stream_deadline_us(const struct cluster_swim *s);
void cluster_swim_stream_fini(struct cluster_swim *s);
int64_t cluster_swim_push_pull_interval_us(const struct cluster_swim *s);
