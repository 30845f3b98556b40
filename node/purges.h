/* node/purges.h - a purge's way: into the cache at once, into the log, and back when synced.
 *
 * Design: docs/purge.md. The cache puts a purge in effect, the log makes it last; neither knows
 * the other. In a cluster cluster/purge_sync.h spreads it and knows who has it; this is where
 * that machine meets the cache, admin, gossip and the connections to other nodes. In the order
 * of a start: node_purges_open, cache_open with node_purges_opened's numbers, node_purges_join
 * before the first request, then members and events as gossip tells them.
 *
 * What was purged for one site and not swept yet (cache/memory/sweep.h) names an object by the
 * site that it was of. When that may be another now, after a reload or a start, the purge is
 * put in effect for every site: its objects cannot be told from others any more.
 *
 * Without its log a node cannot keep the promise that a purge outlives a restart: while it
 * fails, purges are in effect all the same and answered 503, and the log is tried again. One
 * that cannot even be opened (a full disk) is off until a restart; nothing that was stored
 * before this start is trusted then. A log that another process has refuses the start.
 *
 * Thread: control; counting runs in a thread of its own.
 * Owns: log, disk, machine, what waits for an answer. Call-backs come until node_purges_close
 *       returns; `peers` functions are called from inside any call here.
 */
#pragma once

#include "admin/actions.h"
#include "base/letter.h"
#include "cluster/purge_disk.h"
#include "cluster/purge_sync.h"

struct cache;
struct io_loop;
struct setup;

struct node_purges_peers { /* how others are reached; not called without a cluster */
    /* As node_peers_send (node/peers_ev.h): false, or later node_purges_answered. */
    bool (*send)(void *user, struct span id, uint64_t number, struct span body,
                 uint32_t deadline_ms);
    void (*answer)(void *user, uint64_t number, struct span body);
    void (*hint)(void *user, struct span payload); /* a user event CLUSTER_SYNC_EVENT */
    /* node_purges_vector is another one: before anybody is told that it is. */
    void (*vector)(void *user);
};
struct node_purges_conf {
    const struct conf *conf;     /* borrowed for node_purges_open */
    struct letter_mailbox *home; /* control's */
    struct io_loop
        *loop; /* control's, too: one batch for what one turn brings. NULL: at once */
    /* Every configuration that look-ups use at this moment, the one in force first; at most
     * `max`. A purge is named under all of them. */
    uint32_t (*confs)(void *user, const struct conf **out, uint32_t max);
    struct node_purges_peers peers;
    void *user;
};
struct node_purges;
/* Failures were logged. */
NODISCARD enum err node_purges_open(const struct node_purges_conf *conf,
                                    struct node_purges **out);
const struct cluster_purge_disk_opened *node_purges_opened(const struct node_purges *p);
/* Both then have the larger boot number, and the cache every purge of the log; else it trusts
 * nothing from before. Failures are logged. */
void node_purges_join(struct node_purges *p, struct cache *cache, const struct conf *conf);
/* Sites and keys are others now: purges must name what they meant under these, too. Before the
 * first look-up under `next`. */
void node_purges_rename(struct node_purges *p, const struct conf *now, const struct conf *next);

/* As admin/actions.h says. */
void node_purges_apply(struct node_purges *p, const struct purge *purges, uint32_t count,
                       admin_purge_answered *answered, struct admin *a, uint64_t ticket);
void node_purges_leave(struct node_purges *p, uint64_t ticket);
void node_purges_count(struct node_purges *p, struct setup *setup, const struct purge *purges,
                       uint32_t count, admin_purge_counted *counted, struct admin *a,
                       uint64_t ticket);
enum err node_purges_find(struct node_purges *p, uint64_t stream, uint64_t seq,
                          void (*tell)(void *user, const struct admin_purge_record *r),
                          void *user);
enum err node_purges_confirmations(struct node_purges *p, uint64_t stream, uint64_t seq,
                                   void (*tell)(void *user, struct span id,
                                                enum admin_purge_confirmed state),
                                   void *user);
void node_purges_list(struct node_purges *p, int64_t since_s, uint32_t limit,
                      void (*tell)(void *user, const struct admin_purge_record *r), void *user);
void node_purges_cluster_figures(const struct node_purges *p, struct cluster_sync_figures *out);
void node_purges_figures(const struct node_purges *p, struct admin_figures *out);

/* --- the cluster ---
 *
 * Each of these, and the tick, first sees whether this process stood still since the last one
 * (SIGSTOP, a machine that slept): then what was stored is not trusted until others were asked.
 * The caches' own look-ups see it before control does (cache_watch). */

/* As gossip has it; only Perigee nodes, not this one. `peer`: it can be asked. */
void node_purges_member(struct node_purges *p, struct span id, enum cluster_sync_state state,
                        bool peer);
/* Nobody else is known to be alive, and no seed answers. */
void node_purges_seeds_silent(struct node_purges *p, bool silent);
void node_purges_event(struct node_purges *p, struct span name, struct span payload,
                       uint64_t ltime, bool replayed);
/* An unsafe method or a cache group invalidated what is stored here: others hear of it. */
void node_purges_invalidated(struct node_purges *p, const struct purge *purge);
/* Requests between nodes (node/peers_ev.h). */
void node_purges_asked(struct node_purges *p, struct span from, uint64_t number,
                       struct span body);
void node_purges_answered(struct node_purges *p, uint64_t number, enum err err,
                          struct span body);
/* ERR_NOT_FOUND; ERR_REFUSED: it is alive. */
NODISCARD enum err node_purges_forget(struct node_purges *p, struct span id);
/* For answers that other nodes give and get (cluster/purge_recent.h: any thread). */
struct cluster_recent *node_purges_recent(struct node_purges *p);
uint64_t node_purges_vector(struct node_purges *p, struct buf *out); /* _serial changes it */

/* Other settings of the log and of events are in force. */
void node_purges_reload(struct node_purges *p, const struct conf *conf);

/* Before the first purge, and ten times a second. */
void node_purges_tick(struct node_purges *p, int64_t now_s);
/* Counts end, what waits is written and answered. From outside a letter. NULL ok. */
void node_purges_close(struct node_purges *p);
