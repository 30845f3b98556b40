/* cluster/purge_sync_core.h - what the files of the purge sync machine share; nobody else's.
 *
 *   purge_sync.c          its life, purges accepted here, and how far they have come
 *   purge_sync_member.c   who counts, what each has synced, what is told of members
 *   purge_sync_talk.c     requests of ours: which are sent, what their answers bring
 *   purge_sync_asked.c    requests of others, and our answers
 *   purge_sync_take.c     purges of others: in effect, into the log, acknowledged
 *   purge_sync_event.c    Serf's events: hints, invalidations, what a person typed
 *   purge_sync_caution.c  own absence and returning peers; time
 */
#pragma once

#include "cluster/purge_sync.h"
#include "cluster/purge_wire.h"
#include "cluster/random.h"

#define SYNC_NEVER INT64_MAX
#define SYNC_SECOND INT64_C(1000000)
#define SYNC_NONE UINT32_MAX
#define SYNC_BACKOFF_MIN_US (SYNC_SECOND / 2)
#define SYNC_BACKOFF_MAX_US (30 * SYNC_SECOND)
#define SYNC_QUEUE 1024u /* pushes that wait for one member; then it is compared with */
#define SYNC_RING 8192u  /* records that are being pushed */
#define SYNC_RING_BYTES ((size_t)16 << 20)
#define SYNC_TYPED 1024u
#define SYNC_ASKS 4096u
#define SYNC_COMPARES 64u /* under way at once */
#define SYNC_CHASE 16u    /* comparisons at once with those that are waited for */

struct sync_pull { /* what a member has and we do not */
    uint64_t stream, through;
};
struct sync_member {
    char *id;
    struct span id_span;
    uint32_t generation;
    bool left;
    bool known_state; /* gossip has told of it since the start */
    bool heard;       /* it asked, and gossip has not said since that it failed or left */
    enum cluster_sync_state state;
    bool peer;
    struct cluster_vector vector; /* what it has synced, as it told */
    uint64_t members_hash;        /* as it told */

    uint64_t *queue; /* positions in the ring, rising */
    uint32_t queued;
    bool behind;        /* pushes were dropped: compare */
    unsigned pushing;   /* requests under way */
    uint64_t comparing; /* number of the request under way, 0: none */
    struct sync_pull *pulls;
    uint32_t pull_count, pull_at;
    bool waits;    /* for another's pull of the same stream */
    bool borrowed; /* pulled from because another lacks it: not compared with yet */
    bool active;   /* in the list of those with something to send or a wish */

    int64_t compare_at_us; /* wish; SYNC_NEVER: none */
    int64_t compared_us;   /* the last one that was complete; INT64_MIN: none */
    int64_t tried_us;      /* the last one that ended, however */
    bool failed;           /* it did not answer the last time */
    bool knocked;          /* it has asked since it failed: asked at once, and waited for */
    bool deaf;             /* that was in vain: not again until it answers */
    unsigned failures;
    int64_t retry_us;    /* left alone until then */
    int64_t returned_us; /* when it last came back and caused caution */
    bool cautious_of;    /* since it came back */
    bool shunned;        /* the last such caution was in vain: none, until it answers */
};

enum sync_request_kind { SYNC_PUSH, SYNC_COMPARE, SYNC_PULL };
struct sync_request { /* of ours, under way */
    uint64_t number;
    enum sync_request_kind kind;
    uint32_t member;
    uint64_t stream, after;
    int64_t sent_us;
};
#define SYNC_LOWS 16u
#define SYNC_LOW_TRIED 4u
struct sync_low { /* a stream of which somebody has dropped what is missing here */
    uint64_t stream;
    int64_t until_us; /* then it is given up */
    uint32_t tried[SYNC_LOW_TRIED], count;
};
struct sync_ask { /* a push whose answer waits for our disk */
    uint64_t number;
    uint32_t left; /* records not synced yet */
    bool used, busy;
    uint64_t members_hash; /* the asker's */
};
struct sync_waiting { /* a purge of ours that somebody waits for */
    struct cluster_purge_id id;
    uint64_t ticket; /* the caller's; 0: nobody waits any more */
    bool used, logged, settled;
    uint32_t next; /* free list */
};
struct sync_record { /* in the ring, as on the wire */
    struct buf bytes;
    bool spread;
};
struct sync_typed {
    uint64_t dedup;
    int64_t at_us;
    struct purge purge; /* owned texts */
    char *text;
};
struct sync_out {
    enum cluster_sync_output_kind kind;
    uint32_t member;
    uint64_t number;
    struct buf body;
    uint32_t deadline_ms;
};
#define SYNC_WANTED 64u
struct sync_wanted { /* hinted at, and not here yet */
    struct cluster_purge_id id;
    int64_t at_us;
    unsigned asked;
};
#define SYNC_SAID 1024u
struct sync_said {
    uint64_t name;
    int64_t at_us;
};

struct cluster_sync {
    struct cluster_sync_conf conf;
    struct cluster_sync_news news;
    struct cluster_purge_log *log;
    struct cluster_recent *recent;
    char *id;
    struct cluster_random pcg;
    int64_t now_us, now_s;
    bool begun;

    struct sync_member *members; /* not this node */
    uint32_t member_count, member_room;
    uint32_t *slots, mask;                     /* open addressing by id */
    uint32_t *active, active_count;            /* of member_room */
    uint32_t live, comparing, waiting_members; /* how many members are so */
    uint32_t own_generation;
    uint64_t members_hash;

    struct cluster_vector applied; /* in effect here without a gap; at or above synced */
    struct buf vector;             /* synced, as bytes, of vector_serial */
    uint64_t vector_serial;        /* UINT64_MAX: of none yet */

    struct sync_record ring[SYNC_RING];
    uint64_t ring_first, ring_next; /* positions */
    size_t ring_bytes;

    struct sync_low lows[SYNC_LOWS];
    uint32_t low_count;
    struct sync_request *requests;
    uint32_t request_count, request_room;
    uint64_t next_number;
    struct sync_ask *asks; /* slots */
    uint32_t ask_count;
    struct sync_waiting *waiting; /* slots */
    uint32_t waiting_count, waiting_room, waiting_free;
    uint32_t waiting_used;
    bool stages_due; /* something may have come further */
    uint32_t chase_from;

    struct sync_out *outs;
    uint32_t out_first, out_count, out_room;
    struct buf out_body; /* of the one that was given out last */

    struct sync_typed typed[SYNC_TYPED];
    uint32_t typed_count;
    struct sync_wanted wanted[SYNC_WANTED];
    uint32_t wanted_count;
    struct sync_said said[SYNC_SAID];
    int64_t hints_second_us;
    unsigned hints_in_second;

    int64_t exchange_us; /* the next random comparison */
    bool cautious;       /* as told */
    bool absent;         /* own absence: not everybody compared yet */
    int64_t absent_since_us;
    bool seeds_silent;
    int64_t silent_since_us;
    int64_t peers_until_us; /* caution for returning peers */

    struct cluster_sync_figures figures;
};

/* Tickets in the log: what is answered when a record is on disk. */
#define SYNC_TICKET_ASK 1u
#define SYNC_TICKET_WAITING 2u
static inline uint64_t sync_ticket(unsigned kind, uint32_t slot)
{
    return (uint64_t)kind << 32 | slot;
}

/* --- purge_sync.c --- */
void sync_stages(struct cluster_sync *s); /* tells what has come further */
const struct buf *sync_vector(struct cluster_sync *s);
/* Into the ring, and to whom it is to be pushed; sends nothing yet. */
void sync_push_record(struct cluster_sync *s, const struct cluster_purge_record *r);

/* --- purge_sync_member.c --- */
uint32_t sync_member_find(const struct cluster_sync *s, struct span id);
/* One that was not known; kept on disk. SYNC_NONE: too many. */
uint32_t sync_member_add(struct cluster_sync *s, struct span id);
void sync_member_load(struct cluster_sync *s);
bool sync_member_counts(const struct sync_member *m);
bool sync_member_can_be_asked(const struct cluster_sync *s, const struct sync_member *m);
bool sync_member_is_reachable(const struct sync_member *m);
bool sync_member_is_live(const struct sync_member *m); /* and can be dialled */
void sync_member_activate(struct cluster_sync *s, struct sync_member *m);
uint32_t sync_member_random(struct cluster_sync *s); /* that can be asked; SYNC_NONE */
void sync_members_put(const struct cluster_sync *s, struct buf *out);
NODISCARD enum err sync_members_merge(struct cluster_sync *s, struct span list);
NODISCARD enum err sync_member_heard(struct cluster_sync *s, uint32_t member,
                                     struct span vector);

/* --- purge_sync_talk.c --- */
void sync_talk(struct cluster_sync *s); /* sends whatever is due */
/* It lives, so it may answer, too: it is asked sooner than its failures would have it. */
void sync_member_asks(struct cluster_sync *s, uint32_t member);
int64_t sync_talk_deadline_us(const struct cluster_sync *s);
/* The body of one more output. Borrowed until the next one. */
struct buf *sync_out_add(struct cluster_sync *s, enum cluster_sync_output_kind kind,
                         uint32_t member, uint64_t number, uint32_t deadline_ms);
/* Whatever it was asked is not waited for any more: it went, or came back. */
void sync_abandon(struct cluster_sync *s, uint32_t member);
void sync_compare_at(struct cluster_sync *s, uint32_t member, int64_t at_us);

/* --- purge_sync_asked.c --- */
void sync_asked_answer(struct cluster_sync *s, struct sync_ask *ask); /* a push; frees it */

/* --- purge_sync_take.c --- */
enum sync_taken { SYNC_TAKEN, SYNC_HAD, SYNC_NOT_NOW, SYNC_NONSENSE };
/* `ticket` 0 or of an ask. */
enum sync_taken sync_take(struct cluster_sync *s, const struct cluster_purge_record *r,
                          uint64_t ticket, bool spread);
void sync_fall_back(struct cluster_sync *s, uint64_t stream, uint64_t through, bool hard);
uint64_t sync_applied(const struct cluster_sync *s, uint64_t stream);

/* --- purge_sync_event.c --- */
void sync_hint(struct cluster_sync *s, const struct purge_wire_hint *h);
void sync_events_due(struct cluster_sync *s);
int64_t sync_events_deadline_us(const struct cluster_sync *s);
void sync_typed_fini(struct cluster_sync *s);
uint64_t sync_hint_token(struct cluster_purge_id id);

/* --- purge_sync_caution.c --- */
void sync_caution_begin(struct cluster_sync *s); /* own absence */
void sync_caution_returned(struct cluster_sync *s, struct sync_member *m);
void sync_caution_look(struct cluster_sync *s); /* on or off, as things stand */
int64_t sync_caution_deadline_us(const struct cluster_sync *s);
