/* cluster/purge_sync.h - the purge promise across nodes: spreading, confirming, catching up.
 *
 * Sans-I/O, over cluster/purge_log.h. Design: docs/purge.md. It is a machine: what others say,
 * what gossip says and the time go in; what to send, and what became of purges, come out.
 *
 * What it does:
 *   - A purge accepted here is sent at once to every live member (more than
 *     CLUSTER_SYNC_DIRECT of them: to CLUSTER_SYNC_SPREAD random ones, each of whom does the
 *     same at first receipt), and hinted by a Serf event. Its answer waits for the disk of the
 *     receiver and carries the receiver's synced vector and, when they differ, its members.
 *   - Every second (+-20 %) it compares vectors with one random live member, and at once with
 *     one that came (back), on a gap, or at a start; what is missing is pulled in order.
 *   - It knows of each member how far it has synced each stream that it was told about, and
 *     from that which purges of ours are everywhere. Members that failed count, those that left
 *     do not (docs/purge.md, "A member"). Who was forgotten, or is new, counts as soon as this
 *     node hears of it, or from it; it is cautious until then.
 *   - A node that was away itself is cautious, and calls no purge of its own settled, until it
 *     has compared with every member that is alive then, or all have been silent for
 *     CLUSTER_SYNC_ALONE_US.
 *   - What lies below every reachable member's floor is not pulled but distrusted: the safe
 *     fallback.
 *   - Of typed events (`serf event purge`) each node applies its own; after up to
 *     CLUSTER_SYNC_ADOPT_US the first makes a record of it, found again by its dedup id.
 *
 * Who calls what:
 *   1. create with a loaded log (purge_log.h), then _begin: cautious when there is a cluster.
 *   2. Input: _member at each change, _accept, _asked, _answered, _synced (from the log's
 *      answers or after a batch), _event, _seeds_silent, _stalled, _tick when _deadline_us has
 *      come. The log's own `answered` call-back must lead to _log_answered.
 *   3. After any call: _next until it says false, then ask for _deadline_us again; and pump the
 *      disk.
 * News come from within these calls; they may call nothing here but questions.
 *
 * Trust: peers are authenticated nodes of the cluster. What they send is checked as bytes; a
 * peer that lies about its vector harms what it answers itself (the promise counts it in).
 * A peer that is silent, slow or sends nonsense is left alone for a while, longer each time.
 *
 * Units:  *_us of one monotonic clock; *_s wall seconds, for display and retention alone.
 * Thread: control. Owns: copies of all it was given; the log is borrowed.
 * Limits: CLUSTER_SYNC_MEMBERS known ids; one comparison (with its pulls) and
 *         CLUSTER_SYNC_PUSHES pushes under way with a member; CLUSTER_SYNC_WAITING purges that
 *         wait for members; requests of CLUSTER_SYNC_BYTES; CLUSTER_SYNC_HINTS_A_SECOND hints
 *         sent (more purges than that are pushed alone).
 * Errors: as said.
 */
#pragma once

#include "cluster/purge_log.h"
#include "cluster/purge_recent.h"
#include "cluster/vector.h"

#define CLUSTER_SYNC_DIRECT 200u
#define CLUSTER_SYNC_SPREAD 4u
#define CLUSTER_SYNC_ALONE_US (5 * INT64_C(1000000))
#define CLUSTER_SYNC_CAUTION_US (2 * INT64_C(1000000)) /* for a peer that comes back */
#define CLUSTER_SYNC_STALL_US (2 * INT64_C(1000000))   /* an own absence */
#define CLUSTER_SYNC_ADOPT_US INT64_C(500000)
#define CLUSTER_SYNC_PUSHES 8u
#define CLUSTER_SYNC_HINTS_A_SECOND 50u
#define CLUSTER_SYNC_INVALIDATIONS_A_SECOND 25u /* of these hints */
#define CLUSTER_SYNC_MEMBERS 16384u
#define CLUSTER_SYNC_WAITING 65536u
#define CLUSTER_SYNC_BYTES ((size_t)512 << 10)
#define CLUSTER_SYNC_DEADLINE_MS 10000u /* of a request of ours */

struct cluster_sync;

enum cluster_sync_state { /* of a member, as gossip has it */
                          CLUSTER_SYNC_LIVE,
                          CLUSTER_SYNC_FAILED,
                          CLUSTER_SYNC_LEFT,
};
enum cluster_sync_stage {                          /* of a purge that was accepted here */
                          CLUSTER_SYNC_HERE,       /* synced on this disk; others have not all
                                                      confirmed */
                          CLUSTER_SYNC_SETTLED,    /* all that can be reached have confirmed;
                                                      others cannot be */
                          CLUSTER_SYNC_EVERYWHERE, /* the promise: 200. The last stage */
                          CLUSTER_SYNC_NOT_HERE, /* the disk refused it: 503. The last stage */
};
enum cluster_sync_confirmed {
    CLUSTER_SYNC_APPLIED, /* and synced */
    CLUSTER_SYNC_PENDING,
    CLUSTER_SYNC_UNREACHABLE,
};

struct cluster_sync_news {
    void *user; /* given to each */
    /* Somebody else's purge: takes a number, calls `numbered` with it (cluster_recent_add must
     * come before the effect), and puts it in effect before this returns. False: it cannot
     * now; it will come again. */
    bool (*apply)(void *user, const struct purge *p, void (*numbered)(void *sync, uint64_t no),
                  void *sync, uint64_t *out_apply_no);
    /* Each stage at most once per ticket, in rising order; HERE may be left out. */
    void (*stage)(void *user, uint64_t ticket, enum cluster_sync_stage stage);
    /* Everything stored is revalidated once (hard false), or was from before this node was
     * forgotten and must not be used at all (hard true). Returns its number. */
    uint64_t (*distrust)(void *user, bool hard);
    /* What was stored before this moment is revalidated before it is used, until it is off. */
    void (*caution)(void *user, bool on, const char *why);
    /* To be fired as a Serf user event CLUSTER_SYNC_EVENT, without coalescing. */
    void (*hint)(void *user, struct span payload);
};
#define CLUSTER_SYNC_EVENT "perigee"
#define CLUSTER_SYNC_TYPED "purge"

struct cluster_sync_conf {
    struct span id; /* node.id */
    struct cluster_purge_log *log;
    struct cluster_recent *recent;
    const struct cluster_sync_news *news; /* copied */
    uint64_t seed;
    bool clustered;     /* false: a cluster of one; nothing is sent, never cautious */
    bool accept_events; /* cluster.serf_events */
};
struct cluster_sync *cluster_sync_create(const struct cluster_sync_conf *conf, int64_t now_us);
void cluster_sync_destroy(struct cluster_sync *s); /* NULL ok */
void cluster_sync_begin(struct cluster_sync *s, int64_t now_us);
void cluster_sync_set_events(struct cluster_sync *s, bool accept); /* a reload */

/* A purge that is in effect here under `apply_no`; before that it was told to `recent` without
 * a number, its token being `apply_no`, which gets its number here. As
 * cluster_purge_log_accept; with a ticket, stages follow, none from within this call. */
NODISCARD enum err cluster_sync_accept(struct cluster_sync *s, const struct purge *p,
                                       uint64_t apply_no, uint64_t dedup, int64_t now_us,
                                       int64_t now_s, uint64_t ticket,
                                       struct cluster_purge_id *out_id);
/* For the log's `answered`, whose tickets are this machine's. */
void cluster_sync_log_answered(struct cluster_sync *s, uint64_t ticket, enum err err);
/* The log has synced something. */
void cluster_sync_synced(struct cluster_sync *s, int64_t now_us);
/* Nobody waits for these stages any more. */
void cluster_sync_forget_ticket(struct cluster_sync *s, uint64_t ticket);

/* An un-logged hint to all live members: an unsafe method or a cache group invalidated these
 * here (docs/purge.md). Sent at most once per name and second. */
void cluster_sync_invalidated(struct cluster_sync *s, const struct purge *p, int64_t now_us);

/* What gossip says. Only Perigee nodes (tags.id), not this one. `peer`: it can be dialled. */
void cluster_sync_member(struct cluster_sync *s, struct span id, enum cluster_sync_state state,
                         bool peer, int64_t now_us);
/* Every seed has failed to answer, and nobody else is known to be alive. */
void cluster_sync_seeds_silent(struct cluster_sync *s, bool silent, int64_t now_us);
/* The loop stood still for so long (a thawed machine). */
void cluster_sync_stalled(struct cluster_sync *s, int64_t for_us, int64_t now_us);
/* A user event: CLUSTER_SYNC_EVENT (a hint) or CLUSTER_SYNC_TYPED; others do nothing. */
void cluster_sync_event(struct cluster_sync *s, struct span name, struct span payload,
                        uint64_t ltime, bool replayed, int64_t now_us, int64_t now_s);
/* The operator's word: this member does not come back with its cache. ERR_NOT_FOUND;
 * ERR_REFUSED: it is alive. */
NODISCARD enum err cluster_sync_forget(struct cluster_sync *s, struct span id, int64_t now_us);

/* Requests between nodes: bytes of cluster/purge_wire.h. */
void cluster_sync_asked(struct cluster_sync *s, struct span from, uint64_t number,
                        struct span body, int64_t now_us, int64_t now_s);
void cluster_sync_answered(struct cluster_sync *s, uint64_t number, enum err err,
                           struct span body, int64_t now_us, int64_t now_s);
enum cluster_sync_output_kind {
    CLUSTER_SYNC_SEND,   /* a request to `id`; the answer comes by _answered(number) */
    CLUSTER_SYNC_ANSWER, /* to the request that came as _asked(number) */
};
struct cluster_sync_output {
    enum cluster_sync_output_kind kind;
    struct span id; /* SEND: to whom */
    uint64_t number;
    struct span body;     /* borrowed until the next call */
    uint32_t deadline_ms; /* SEND */
};
bool cluster_sync_next(struct cluster_sync *s, struct cluster_sync_output *out);
void cluster_sync_tick(struct cluster_sync *s, int64_t now_us, int64_t now_s);
int64_t cluster_sync_deadline_us(const struct cluster_sync *s);

/* --- questions --- */

/* Every member that counts for a purge of ours or of somebody else, as far as is known here:
 * this node first. ERR_NOT_FOUND: the log does not know this purge. */
NODISCARD enum err cluster_sync_confirmations(
    const struct cluster_sync *s, struct cluster_purge_id id,
    void (*tell)(void *user, struct span id, enum cluster_sync_confirmed state), void *user);
bool cluster_sync_is_cautious(const struct cluster_sync *s); /* status: log_behind */
/* Its version vector, synced only, as bytes for answers to peers; changes with _serial. */
uint64_t cluster_sync_vector(struct cluster_sync *s, struct buf *out);

struct cluster_sync_figures {
    uint64_t members, unreachable, waiting;
    uint64_t pushed, push_failed, received, pulled, hints_in, hints_out, typed, adopted;
    uint64_t exchanges, exchanges_failed, fallbacks, refused; /* refused: nonsense from peers */
    uint64_t cautions, invalidations_in, invalidations_out;
    uint64_t invalidations_untold; /* more than may be told: others find out by age */
    bool cautious;
};
void cluster_sync_figures(const struct cluster_sync *s, struct cluster_sync_figures *out);
