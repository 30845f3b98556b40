/* node/purges_core.h - the inside of node/purges.h, for node/purges*.c alone.
 *
 * purges.c: cache, log and their life; counting. purges_sync.c: the cluster's side.
 *
 * Thread: control.
 */
#pragma once

#include "cluster/purge_sync.h"
#include "node/io/loop_ev.h"
#include "node/purges.h"
#include "node/purges_past.h"

#define NODE_PURGES_CONFS 8u /* setups that workers are leaving, and the one in force */

struct purges_waiting { /* for the cluster: a request of admin's */
    struct purges_waiting *next, **prev;
    admin_purge_answered *answered;
    struct admin *admin;
    uint64_t admin_ticket, ticket; /* theirs; the machine's */
    struct cluster_purge_id id;
};
struct purges_queued; /* what is to be told when no call into the machine runs */

struct node_purges {
    struct node_purges_conf conf; /* without its `conf` */
    struct cluster_purge_log *log;
    struct cluster_purge_disk *disk; /* NULL: it could not be opened */
    struct cluster_purge_disk_opened without;
    struct cluster_recent *recent;
    struct cluster_sync *sync;
    struct cache *cache;
    struct letter_crew *counters;
    char *node_id; /* borrowed by the log */
    bool clustered;
    int64_t now_s;
    uint64_t sites;      /* as node_change_sites, of the configuration in force */
    uint64_t widened_no; /* until this is swept, purges count that were made under others */
    uint64_t held_no;    /* the sweep does not see to it: a start must; 0: none */
    struct purges_past past;
    int64_t seen_us; /* when this process last ran, by a clock that never stops */

    struct purges_waiting *waiting;
    uint64_t next_ticket;
    struct io_task write; /* to do before the loop sleeps */
    struct purges_queued *queue, **queue_end;
    bool settling;
    uint64_t vector_serial; /* as told to peers.vector */
};

/* Puts `p` in effect under `no` for every configuration in force. ERR_LIMIT: not under the
 * first one. */
NODISCARD enum err purges_effect(struct node_purges *p, const struct purge *purge, uint64_t no);
void purges_sync_open(struct node_purges *p, const struct conf *conf);
void purges_sync_close(struct node_purges *p);
void purges_sync_tick(struct node_purges *p);
/* For the log. */
void purges_sync_log_answered(void *user, uint64_t ticket, enum err err);
void purges_sync_written(void *user);
/* In effect under `no`; `w` (NULL: nobody waits) is taken with ERR_OK. */
NODISCARD enum err purges_sync_accept(struct node_purges *p, const struct purge *purge,
                                      uint64_t no, struct purges_waiting *w);
/* After calls into the machine: tells what it said, sends what it wants sent, writes. */
void purges_settle(struct node_purges *p);
int64_t purges_now_us(void);
/* The same, before anything is said to the machine: did this process stand still? */
int64_t purges_wake(struct node_purges *p);
