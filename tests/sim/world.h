/* tests/sim/world.h - many nodes, as cluster/cluster.h makes them, and a virtual clock.
 *
 * The same seed gives the same events, whose hash can be compared. What the network does to
 * packets is net.h's; streams are delayed by what they lose. Each node's own clock may run too
 * fast or too slow. Nodes may be paused (as by SIGSTOP), crashed, started again at the same
 * address or at another.
 *
 * Units: *_us of the virtual clock; *_ppm parts per million.
 * Owns:  all nodes.
 * Limits: WORLD_SOCKET packets wait for a paused node, as in a socket's buffer; WORLD_HOMES
 *         addresses of one node.
 */
#pragma once

#include "cluster/cluster.h"
#include "tests/sim/net.h"

#define WORLD_SOCKET 4096u
#define WORLD_HOMES 100u

struct world_conf {
    uint32_t nodes;
    uint64_t seed;
    struct cluster_swim_profile profile;
    bool lifeguard;
    bool sealed; /* encrypted; then the hash takes packets by their lengths, not their bytes */
    struct net_conf net;
    uint32_t drift_ppm;     /* clocks are off by so much at most */
    int64_t join_within_us; /* nodes start and join node 0 at random times */
};

/* What node `at` was told. */
struct world_news {
    void *user;
    void (*changed)(void *user, uint32_t at, enum cluster_change change, uint32_t about);
    void (*event)(void *user, uint32_t at, const struct cluster_event *event);
};

struct world;

struct world *world_create(const struct world_conf *conf, const struct world_news *news);
void world_destroy(struct world *w);
void world_run(struct world *w, int64_t us);
int64_t world_now_us(const struct world *w);
uint64_t world_hash(const struct world *w); /* of all that happened so far */
uint64_t world_events(const struct world *w);

/* timers_run: only what it sends and hears is held up, as in an agent whose threads for that
 * are starved (so Lifeguard's authors did it); else it is stopped altogether. */
void world_pause(struct world *w, uint32_t node, int64_t us, bool timers_run);
bool world_paused(const struct world *w, uint32_t node);
void world_crash(struct world *w, uint32_t node); /* its machine is gone, too: no refusals */
/* After a crash; it joins a node that is up. moved: its address is another one. */
void world_restart(struct world *w, uint32_t node, bool moved);
void world_join(struct world *w, uint32_t node, uint32_t seed); /* node is up */
bool world_crashed(const struct world *w, uint32_t node);
struct net *world_net(struct world *w);
NODISCARD enum err world_fire(struct world *w, uint32_t node, struct span name,
                              struct span payload);
/* NULL: not (or no more) up. */
const struct cluster *world_cluster(const struct world *w, uint32_t node);
struct addr world_addr(const struct world *w, uint32_t node);

/* How many nodes see all others of their group that are up, and nobody else (suspects are in)?
 */
uint32_t world_agree(const struct world *w);

struct world_counters {
    struct cluster_swim_counters swim;
    struct cluster_serf_counters serf;
};
struct world_counters world_counters(const struct world *w); /* of all that are up, summed */
