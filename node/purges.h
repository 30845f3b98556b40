/* node/purges.h - a purge's way: into the cache at once, into the log, and back when synced.
 *
 * Design: docs/purge.md. The cache puts a purge in effect, the log makes it last; neither knows
 * the other. In the order of a start: node_purges_open, cache_open with node_purges_opened's
 * numbers, node_purges_join before the first request.
 *
 * Without its log a node cannot keep the promise that a purge outlives a restart: while it
 * fails, purges are in effect all the same and answered 503, and the log is tried again. One
 * that cannot even be opened (a full disk) is off until a restart; nothing that was stored
 * before this start is trusted then. A log that another process has refuses the start.
 *
 * Thread: control; counting runs in a thread of its own.
 * Owns: log, disk, what waits for an answer. Call-backs come until node_purges_close returns.
 */
#pragma once

#include "admin/actions.h"
#include "base/letter.h"
#include "cluster/purge_disk.h"

struct cache;
struct setup;

struct node_purges;
/* `home` is control's mailbox. Failures were logged. */
NODISCARD enum err node_purges_open(const struct conf *conf, struct letter_mailbox *home,
                                    struct node_purges **out);
const struct cluster_purge_disk_opened *node_purges_opened(const struct node_purges *p);
/* Both then have the larger boot number, and the cache every purge of the log; else it trusts
 * nothing from before. Failures are logged. */
void node_purges_join(struct node_purges *p, struct cache *cache, const struct conf *conf);
/* Sites and keys are others now: purges must name what they meant under these, too. Before the
 * first look-up under `conf`. */
void node_purges_rename(struct node_purges *p, const struct conf *conf);

/* As admin/actions.h says. `confs`: the one in force, then those that workers may still have.
 */
void node_purges_apply(struct node_purges *p, const struct conf *const *confs,
                       uint32_t conf_count, const struct purge *purges, uint32_t count,
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
void node_purges_figures(const struct node_purges *p, struct admin_figures *out);

/* Before the first purge, and about once a second. */
void node_purges_tick(struct node_purges *p, int64_t now_s);
/* Counts end, what waits is written and answered. From outside a letter. NULL ok. */
void node_purges_close(struct node_purges *p);
