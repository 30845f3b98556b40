/* tests/sim/world.h - many swims, a virtual clock and a bad network between them.
 *
 * An event heap by (time, order): the same seed gives the same events, whose hash can be
 * compared. Packets get lost, delayed (and so reordered) and doubled; streams are delayed by
 * what they lose. Each node looks for those who failed, as Serf does. Nodes may be cut off in
 * groups, paused (as by SIGSTOP) and crashed.
 *
 * Units: *_us of the virtual clock; *_ppm parts per million.
 * Owns:  all nodes.
 * Limits: WORLD_SOCKET packets wait for a paused node, as in a socket's buffer.
 */
#pragma once

#include "cluster/swim.h"

#define WORLD_SOCKET 4096u

struct world_conf {
    uint32_t nodes;
    uint64_t seed;
    struct cluster_swim_profile profile;
    bool lifeguard;
    uint32_t loss_ppm, double_ppm;
    int64_t delay_min_us, delay_max_us; /* one way, uniform */
    int64_t join_within_us;             /* nodes start and join node 0 at random times */
};

/* What is said about node `about` at node `at`. */
struct world_news {
    void *user;
    void (*failed)(void *user, uint32_t at, uint32_t about);
    void (*joined)(void *user, uint32_t at, uint32_t about);
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
bool world_crashed(const struct world *w, uint32_t node);
void world_group(struct world *w, uint32_t node, uint32_t group); /* only equals talk */
struct cluster_swim *world_swim(struct world *w, uint32_t node); /* NULL: not (or no more) up */
/* How many nodes are up and see all others that are up, and nobody else (suspects are in)? */
uint32_t world_agree(const struct world *w);
struct cluster_swim_counters world_counters(const struct world *w); /* their sum */
