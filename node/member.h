/* node/member.h - this node as a member of the cluster: what it tells, hears and keeps.
 *
 * Between the configuration and the core (cluster/cluster.h) that node/cluster_ev.c runs: tags
 * from the file, seeds to join, news to purges and log lines, keys that an operator rotated to
 * the disk.
 *
 * Thread: control; the keeper's letter blocks elsewhere.
 * Limits: one kept ring is written at a time; the newest one wins.
 */
#pragma once

#include "base/letter.h"
#include "node/cluster_ev.h"
#include "node/keys.h"
#include "node/purges.h"

#define NODE_MEMBER_LEAVE_MS 2000 /* for telling that it goes */

struct node_member;

struct node_member_conf {
    struct io_loop *loop;
    const struct conf *conf;          /* borrowed for the call */
    struct node_cluster_ports *ports; /* taken */
    const struct node_keys *keys;     /* as the files say */
    int folder_fd;                    /* data_dir; borrowed */
    struct letter_crew *keeper;       /* borrowed: blocking letters */
    struct node_purges *purges;       /* borrowed: hears of members and events */
};

/* NULL: logged. Owned. */
struct node_member *node_member_open(const struct node_member_conf *conf);
/* Before the keeper ends: no more news. NULL ok. */
void node_member_stop(struct node_member *m);
/* When the keeper has ended. NULL ok. */
void node_member_close(struct node_member *m);
/* Another configuration is in force. NULL ok, as in all below. */
void node_member_reload(struct node_member *m, const struct conf *conf);
/* Once a second. */
void node_member_tick(struct node_member *m, uint8_t load, int64_t now_ms);
void node_member_drain(struct node_member *m); /* wants no new work from now on */
/* Says that it goes; true: told, or the time for it is up. To be asked until then. */
bool node_member_leave(struct node_member *m, int64_t now_ms);
/* May it serve? Not while another node has its name. */
bool node_member_may_serve(const struct node_member *m);

struct cluster *node_member_core(struct node_member *m); /* NULL for NULL */
void node_member_settle(struct node_member *m);          /* after calls on the core */
/* As cluster_forget, by the node's id. */
NODISCARD enum err node_member_forget(struct node_member *m, struct span id);
unsigned node_member_seeds_left(const struct node_member *m);
const char *node_member_keys_source(const struct node_member *m); /* "none": in the clear */
uint64_t node_member_unsent(const struct node_member *m);
