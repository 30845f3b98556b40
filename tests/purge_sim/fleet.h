/* tests/purge_sim/fleet.h - nodes that purge: real logs and sync machines, everything else
 * virtual.
 *
 * A node is a purge log on a disk (disk.h), the sync machine, and a cache of NAMES pages in the
 * plainest form: for each a version and the number it was fetched under; for each name the
 * number of its last purge. Gossip is run (gossip.h), or told: a member that cannot be reached
 * is said to have failed after 1 to 3 s, and to be back 0.1 to 1 s after it can. Requests
 * between nodes take delay (and, lost, 200 ms and twice as long again); they end by their
 * deadline.
 *
 * Looked at after every step: what violates the promise is counted and said.
 *   - a page served as fresh that is older than what a purge answered 200 told of
 *   - a purge called everywhere that is not on every disk (but those of forgotten nodes, and of
 *     such as are back and were first heard of less than 2 s ago: docs/purge.md)
 *   - a vector told to anybody that is not on the teller's disk
 *
 * Units: *_us of the virtual clock. The same seed gives the same.
 */
#pragma once

#include "cluster/purge_sync.h"
#include "cluster/random.h"
#include "tests/purge_sim/disk.h"
#include "tests/sim/agenda.h"

#define NAMES 24u
#define MS INT64_C(1000)
#define SECOND (1000 * MS)

struct fleet;
struct page {
    bool there;
    uint64_t version, fill_no;
};
struct node {
    struct fleet *fleet;
    uint32_t index;
    char id[16];
    bool up, frozen;
    int64_t frozen_since_us, disk_bad_until_us;
    enum err disk_err;
    uint32_t starts;
    struct disk disk;
    struct cluster_purge_log *log;
    struct cluster_recent *recent;
    struct cluster_sync *sync;
    uint64_t counter, hard_no[NAMES], all_no;
    bool cautious;
    bool forgotten; /* by somebody, and its caution is not over since: nobody counts it */
    bool came_back; /* it had been forgotten: who has not heard of it since does not count it */
    int64_t started_us;
    uint64_t caution_no;
    struct page pages[NAMES]; /* outlive a restart, as a cache on disk does */
    int64_t timer_us;
    /* what gossip says of each, what is so, and since when it is otherwise */
    struct view {
        uint8_t told, is;            /* enum cluster_sync_state */
        int64_t change_us, heard_us; /* heard: that it lives, first since its start */
    } * views;
};

enum fleet_gossip {
    GOSSIP_NONE /* all see each other all the time */,
    GOSSIP_TOLD,
    GOSSIP_RUN
};
struct fleet_conf {
    uint32_t nodes, loss_percent;
    uint64_t seed;
    int64_t delay_min_us, delay_max_us;
    enum fleet_gossip gossip;
};
struct fleet {
    struct fleet_conf conf;
    struct cluster_random pcg;
    struct agenda agenda;
    struct gossip *gossip;  /* GOSSIP_RUN */
    struct firing *to_fire; /* user events for it */
    int64_t now_us;
    struct node *nodes;
    uint8_t *cut; /* [from * nodes + to] */
    uint64_t version[NAMES], acked[NAMES];
    struct rpc *rpcs;
    uint64_t purges, everywhere, not_here, served, hits, violations;
    uint64_t from_peers, peers_refused;
    int64_t last_everywhere_us;
    struct purge_story *stories;
    uint32_t story_count, story_room;
};
struct purge_story {
    uint32_t name;
    uint64_t version;
    struct cluster_purge_id id;
    uint32_t at; /* node */
    int64_t at_us, done_us;
};

void fleet_open(struct fleet *w, const struct fleet_conf *conf);
void fleet_close(struct fleet *w);
void fleet_start(struct fleet *w, uint32_t node);
void fleet_crash(struct fleet *w, uint32_t node);
void fleet_freeze(struct fleet *w, uint32_t node);
void fleet_thaw(struct fleet *w, uint32_t node);
void fleet_cut(struct fleet *w, uint32_t from, uint32_t to, bool cut);
/* The page changes at the origin, then its purge is accepted there. name NAMES: all of them. */
void fleet_purge(struct fleet *w, uint32_t node, uint32_t name, bool soft);
void fleet_get(struct fleet *w, uint32_t node, uint32_t name);
void fleet_typed(struct fleet *w, uint32_t name); /* serf event purge, to all that are up */
void fleet_run(struct fleet *w, int64_t for_us);
/* Same vectors on all that are up. */
bool fleet_is_equal(struct fleet *w);
/* Every durable purge is in effect on every node that is up. */
bool fleet_is_whole(struct fleet *w);
