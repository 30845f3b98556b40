/* cluster/owner.h - through which node does a key's fetch go?
 *
 * Rendezvous hashing (highest random weight) over the nodes that can own: each key has its own
 * order of nodes, weighted by capacity; a node that goes or comes moves only its own keys.
 * Nodes with the same view say the same. A node that is overloaded, by what it told itself or
 * by what this one has open at it, is passed over for the next (bounded load): at most
 * CLUSTER_OWNER_BOUND_PERCENT of the mean per capacity, but never below
 * CLUSTER_OWNER_BOUND_MIN open requests, so that little load moves nothing.
 *
 * Pure. Thread: any. Owns: nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CLUSTER_OWNER_BOUND_PERCENT 125u
#define CLUSTER_OWNER_BOUND_MIN 64u
#define CLUSTER_OWNER_LOAD_MAX 95u /* percent, as told in gossip */
#define CLUSTER_OWNER_ORDER_MAX 16u

struct cluster_candidate {
    uint64_t id_hash; /* the same on every node: unkeyed, of the id */
    double capacity;
    uint32_t open; /* requests that this node has there now */
    uint8_t load;  /* percent */
    bool me;
};

/* Writes up to `max` indices, the owner first, then who comes next when it fails. Those passed
 * over come last. Returns how many, at most
 * CLUSTER_OWNER_ORDER_MAX. `key_hash`: the same on every node. */
uint32_t cluster_owner_order(const struct cluster_candidate *c, uint32_t count,
                             uint64_t key_hash, uint32_t max, uint32_t *out);
