/* node/origin/peers.h - which other nodes may answer a miss, and in which order to ask them.
 *
 * A key's fetches go through its owner in this node's region (cluster/owner.h), and with a
 * shield region from there through the key's owner in that one: two hops at most, then the
 * origin. Control makes a snapshot when gossip tells something new; workers hold it. What
 * changes all the time (load, requests open there, a silence) is in the peer itself and
 * outlives snapshots.
 *
 * A peer that does not answer is left alone for ORIGIN_PEERS_REST_MS, after which one request
 * tries it again.
 *
 * Units: *_ms monotonic. Thread: any; counts are relaxed atomics.
 */
#pragma once

#include <stdatomic.h>

#include "base/addr.h"
#include "base/snapshot.h"
#include "base/span.h"

#define ORIGIN_PEERS_ASKED_MAX 2u /* of a region, for one request */
#define ORIGIN_PEERS_HOPS_MAX 2u
#define ORIGIN_PEERS_CONNECT_MS 500
#define ORIGIN_PEERS_SIGN_MS 1000    /* until its first sign, an interim answer too */
#define ORIGIN_PEERS_AGAIN_MS 1000   /* it repeats such signs while it waits itself */
#define ORIGIN_PEERS_SILENCE_MS 3000 /* between two of them, until its head */
#define ORIGIN_PEERS_REST_MS 5000

struct origin_peer { /* counted; immutable but for the atomics */
    struct snapshot snapshot;
    char *id;
    char address[ADDR_TEXT_MAX]; /* to dial, as text */
    uint16_t port;
    uint64_t id_hash;
    double capacity;
    bool me, near, shield;       /* near: in this node's region; shield: in the shield region */
    atomic_uint open;            /* requests that this node has there */
    atomic_uint load;            /* percent, as it says */
    atomic_llong rests_until_ms; /* it was silent */
};
struct origin_peer_told { /* of one live node that takes requests */
    struct span id;
    struct addr address;
    double capacity;
    uint8_t load;
    bool me, near, shield;
};

struct origin_peers {
    struct snapshot snapshot;
    uint32_t count;
    struct origin_peer *at[];
};
/* Peers of `old` (NULL: none) that are still the same are taken over. Owned. */
struct origin_peers *origin_peers_create(const struct origin_peers *old,
                                         const struct origin_peer_told *told, uint32_t count);
void origin_peers_drop(struct origin_peers *p);                 /* NULL ok */
struct origin_peers *origin_peers_hold(struct origin_peers *p); /* NULL ok */
/* They are the same as told, but for what changes all the time. */
void origin_peers_note(struct origin_peers *p, const struct origin_peer_told *told,
                       uint32_t count);
/* Would create make the same again? */
bool origin_peers_are(const struct origin_peers *p, const struct origin_peer_told *told,
                      uint32_t count);

/* Whom to ask for a key before the origin; `hops` were made already. Writes counted peers
 * (origin_peer_drop), the owner first; at most ORIGIN_PEERS_ASKED_MAX. 0: the origin. */
uint32_t origin_peers_choose(struct origin_peers *p, struct span key, unsigned hops,
                             int64_t now_ms, struct origin_peer **out);
void origin_peer_drop(struct origin_peer *p);
void origin_peer_was_silent(struct origin_peer *p, int64_t now_ms);
void origin_peer_answered(struct origin_peer *p);
