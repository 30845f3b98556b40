/* cluster/swim.h - who is in the cluster and who is gone: memberlist's rules as a machine.
 *
 * SWIM with Lifeguard, as memberlist speaks it (docs: gossip.md A3-A6): probes, indirect
 * probes, suspicion, refutation, gossip, push/pull, leave. Sans-I/O: no clock, socket or
 * global random numbers; the same calls give the same outputs, byte for byte, when nothing is
 * encrypted (nonces come from libcrypto).
 *
 * Who calls what:
 *   1. create; then _join for each seed.
 *   2. Input: _packet for each datagram, _stream_* for streams, _tick when the time of
 *      _deadline_us has come. Packets are handled at once, user messages in them in the next
 *      _tick, so that a flood of these cannot hold up an ack.
 *   3. After any call: _next until it says false, and do what it says; then ask _deadline_us.
 * News goes up by struct cluster_swim_upper, from within these calls. The functions of upper
 * may read the member table and call _send, _join, _set_meta and _leave, but not _packet,
 * _stream_*, _tick, _next or destroy.
 *
 * Streams: one request, one answer, then close. The machine numbers them; the shell connects,
 * writes, reads and closes as told, and has no time-outs of its own.
 *
 * Additions to memberlist's rules, none of which needs others to know them:
 *   - sends of broadcasts count only towards peers that are neither suspect nor dead;
 *   - a suspect is told so directly before its end, and who accuses this node of what it
 *     refuted is answered directly: gossip reaches nearly all, not all;
 *   - after silence (no packet for 3 probe intervals) and after a stall (no call for more than
 *     2, though _deadline_us is never that far) a random member is asked for all at once;
 *   - the time of a stall passes for no deadline;
 *   - a dead member's name may come back at a new address after reclaim_us.
 *
 * Units:  *_us of a monotonic clock, which must not go back (what goes back is taken as
 *         standing still).
 * Thread: control.
 * Owns:   copies of all it was given; spans in outputs and upcalls are borrowed until the
 *         next call into the machine.
 * Limits: members_max members, CLUSTER_SWIM_STREAMS streams, CLUSTER_SWIM_RELAYS probes for
 *         others, CLUSTER_SWIM_INBOX user messages and CLUSTER_SWIM_INBOX_BYTES of them wait
 *         (the oldest is dropped), CLUSTER_SWIM_OUTBOX outputs wait (new packets are dropped).
 * Errors: ERR_LIMIT, ERR_CLOSED.
 */
#pragma once

#include "cluster/member.h"
#include "cluster/wire/message.h"

#define CLUSTER_SWIM_MEMBERS_MAX 20000u
#define CLUSTER_SWIM_STREAMS 128u
#define CLUSTER_SWIM_RELAYS 256u
#define CLUSTER_SWIM_INBOX 1024u
#define CLUSTER_SWIM_INBOX_BYTES ((size_t)1 << 20)
#define CLUSTER_SWIM_INBOX_TICK 256u /* user messages given up per tick */
#define CLUSTER_SWIM_OUTBOX 4096u
#define CLUSTER_SWIM_HEALTH_MAX 7u
#define CLUSTER_SWIM_PAYLOAD_MAX 512u
#define CLUSTER_SWIM_PACKET_MAX 1400u /* of ours; others' may have 64 KiB */

struct wire_keyring;

struct cluster_swim_profile {
    int64_t gossip_interval_us, probe_interval_us, probe_timeout_us, push_pull_interval_us;
    int64_t dead_gossip_us;    /* so long the dead still hear gossip; then they are dropped */
    int64_t stream_timeout_us; /* for the whole of a stream */
    int64_t reclaim_us;        /* dead for so long: the name may have a new address */
    uint32_t gossip_peers, indirect_probes;
    uint32_t suspicion_mult, suspicion_max_mult, retransmit_mult;
};
extern const struct cluster_swim_profile cluster_swim_lan, cluster_swim_wan, cluster_swim_local;

/* What somebody says about a member, before it is believed. */
struct cluster_swim_claim {
    struct span name, meta;
    struct addr addr;
    const uint8_t *vsn; /* CLUSTER_VSN_BYTES */
    uint32_t incarnation;
};

/* The layer above. Every function may be NULL (then: nothing, or yes). `user` is upper.user. */
struct cluster_swim_upper {
    void *user;
    /* Dead, left or unknown before, alive now. Also for this node itself, in create. */
    void (*joined)(void *user, const struct cluster_member *m);
    void (*left)(void *user, const struct cluster_member *m);    /* it said so itself */
    void (*failed)(void *user, const struct cluster_member *m);  /* others found it dead */
    void (*updated)(void *user, const struct cluster_member *m); /* other meta */
    /* Somebody else uses the name of `holder` (which may be this node). */
    void (*conflict)(void *user, const struct cluster_member *holder,
                     const struct cluster_swim_claim *other);
    /* May this one be alive here? False: the claim is dropped and counted. */
    bool (*accept)(void *user, const struct cluster_swim_claim *claim);
    void (*message)(void *user, const struct addr *from, struct span bytes);
    /* As cluster_broadcast_pick, for user messages: what should go with a packet to a peer? */
    uint32_t (*broadcasts)(void *user, size_t room, size_t overhead, bool counted,
                           struct span *out, uint32_t max);
    /* For push/pull; the span lives until the next call of this function. */
    struct span (*local_state)(void *user, bool join);
    void (*remote_state)(void *user, struct span bytes, bool join);
    /* As local_state; at most CLUSTER_SWIM_PAYLOAD_MAX bytes. */
    struct span (*ack_payload)(void *user);
    /* A direct probe was answered. */
    void (*acked)(void *user, const struct cluster_member *m, int64_t rtt_us,
                  struct span payload);
    /* A push/pull that this node began is over. join: it came from _join. ERR_OK, ERR_TIMEOUT,
     * ERR_CLOSED (refused or cut), ERR_REFUSED (an error message, or versions that do not
     * agree), ERR_SYNTAX, ERR_LIMIT (too many streams). */
    void (*pulled)(void *user, const struct addr *peer, bool join, enum err result);
};

struct cluster_swim_conf {
    struct span name; /* 1..CLUSTER_NAME_MAX bytes */
    struct span meta; /* <= CLUSTER_META_MAX */
    struct addr addr; /* as told to others */
    uint8_t vsn[CLUSTER_VSN_BYTES];
    struct cluster_swim_profile profile;
    const struct wire_keyring *keyring; /* borrowed for good; NULL: plain text */
    uint64_t seed;
    uint32_t members_max; /* 0: CLUSTER_SWIM_MEMBERS_MAX; with this node */
    /* false: no health score, confirmations or buddy, nor our second and fourth addition: for
     * comparison only. */
    bool lifeguard;
};

enum cluster_swim_do {
    CLUSTER_SWIM_SEND,         /* datagram `bytes` to `to` */
    CLUSTER_SWIM_STREAM_OPEN,  /* connect stream `stream` to `to`, then write `bytes` */
    CLUSTER_SWIM_STREAM_WRITE, /* write `bytes` */
    CLUSTER_SWIM_STREAM_CLOSE, /* close it when what was to be written is */
};
struct cluster_swim_output {
    enum cluster_swim_do what;
    uint32_t stream;
    struct addr to;
    struct span bytes;
};

struct cluster_swim_counters {
    uint64_t packets_in, packets_out, bytes_in, bytes_out; /* datagrams */
    uint64_t streams_in, streams_out, stream_bytes_in, stream_bytes_out;
    uint64_t faults[WIRE_FAULTS]; /* what could not be read, packets and streams */
    uint64_t dropped_refused;     /* readable, and not believed: names, versions, addresses */
    uint64_t dropped_unknown;     /* acks and nacks of no probe, pings meant for others */
    uint64_t dropped_output, dropped_inbox, dropped_stream, dropped_relay, dropped_member;
    uint64_t probes, probes_failed, probes_indirect, probes_by_stream; /* the last: saved so */
    uint64_t relayed, nacks_in, nacks_out;
    uint64_t suspected, refuted, refuted_again, failed, left, joined, conflicts;
    uint64_t expired;         /* of the failed: by this node's own verdict, not another's */
    uint64_t asked_by_stream; /* suspects, before their end */
    uint64_t push_pulls, push_pulls_failed, push_pulls_in, silences, stalls;
    uint64_t user_in, user_out;
};

struct cluster_swim;

/* NULL: name, meta, address or versions are not usable. */
struct cluster_swim *cluster_swim_create(const struct cluster_swim_conf *conf,
                                         const struct cluster_swim_upper *upper,
                                         int64_t now_us);
void cluster_swim_destroy(struct cluster_swim *s);

/* Input. */
void cluster_swim_packet(struct cluster_swim *s, const struct addr *from, struct span bytes,
                         int64_t now_us);
/* Somebody connected: its number, or 0 when there are too many (close it). */
uint32_t cluster_swim_stream_accept(struct cluster_swim *s, int64_t now_us);
void cluster_swim_stream_bytes(struct cluster_swim *s, uint32_t stream, struct span bytes,
                               int64_t now_us);
/* It ended or failed, and cannot be written to any more: the number is void. Not after
 * CLUSTER_SWIM_STREAM_CLOSE; numbers that are void already are ignored here and above. */
void cluster_swim_stream_closed(struct cluster_swim *s, uint32_t stream, int64_t now_us);
void cluster_swim_tick(struct cluster_swim *s, int64_t now_us);
int64_t cluster_swim_deadline_us(const struct cluster_swim *s);

/* What to do next; false: nothing. */
bool cluster_swim_next(struct cluster_swim *s, struct cluster_swim_output *out);

/* Wishes. */
void cluster_swim_join(struct cluster_swim *s, const struct addr *seed, int64_t now_us);
/* meta.len <= CLUSTER_META_MAX. Told with a new incarnation, also when it is the same. */
void cluster_swim_set_meta(struct cluster_swim *s, struct span meta, int64_t now_us);
/* One user message, straight to an address. ERR_LIMIT: too long for a packet. */
NODISCARD enum err cluster_swim_send(struct cluster_swim *s, const struct addr *to,
                                     struct span bytes, int64_t now_us);
/* Tells others that this node leaves, from now on; it still answers. */
void cluster_swim_leave(struct cluster_swim *s, int64_t now_us);
/* After _leave: was that told as often as others need, or is there nobody to tell? */
bool cluster_swim_leave_told(const struct cluster_swim *s);

/* The view. */
const struct cluster_members *cluster_swim_members(const struct cluster_swim *s);
const struct cluster_member *cluster_swim_me(const struct cluster_swim *s);
uint32_t cluster_swim_health(const struct cluster_swim *s); /* 0 best .. HEALTH_MAX */
uint32_t cluster_swim_broadcasts_waiting(const struct cluster_swim *s);
/* For the queues of the layer above: how often is a broadcast to be sent now? */
uint32_t cluster_swim_broadcast_limit(const struct cluster_swim *s);
const struct cluster_swim_counters *cluster_swim_counters(const struct cluster_swim *s);
