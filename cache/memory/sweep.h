/* cache/memory/sweep.h - takes purged objects away behind the purge, and their names.
 *
 * A purge takes effect in the table; this gives the bytes back. One pass looks at every object,
 * in RAM and on disk: hard-purged ones leave, soft-purged ones are marked in their record.
 * Names that were purged before the pass began then leave the table, once what the pass ordered
 * is on disk and no fill older than its beginning is under way (docs/purge.md, Fences: what
 * enters the index later was checked as it did). Purges of everything stay: they cost nothing
 * there.
 *
 * Thread: tick by control; the pass runs in a thread of its own, SCHED_IDLE.
 * Limits: one pass at a time, MEMORY_SWEEP_MS apart. What was purged for one site is swept
 *         under the configuration in force; without one it is left to lookups and eviction.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct conf;
struct memory_purge;
struct memory_sweep;
struct memory_tier;

#define MEMORY_SWEEP_MS INT64_C(10000)

/* By which an object's site is known; without `hold` it is not. Control. */
struct memory_sweep_confs {
    /* The only configuration in force; NULL: there are more at the moment. One at a time. */
    const struct conf *(*hold)(void *user);
    void (*drop)(void *user);
    void *user;
};
struct memory_sweep *memory_sweep_create(struct memory_tier *t,
                                         const struct memory_sweep_confs *confs);
void memory_sweep_destroy(struct memory_sweep *s); /* ends the pass; NULL ok */
void memory_sweep_tick(struct memory_sweep *s, int64_t now_ms);
/* One whole pass, here and now: true: names left. For the thread, and for tests. `conf`: NULL:
 * an object's site is not known. `renames`: memory_epoch_renames when `conf` was in force. */
bool memory_sweep_pass(struct memory_sweep *s, const struct conf *conf, uint64_t renames);
/* How many known objects the purges name, each once, without those that are hard-purged
 * already. Reads all of them; may take long. */
uint64_t memory_sweep_count(struct memory_tier *t, struct memory_purge *const *purges,
                            uint32_t purge_count, const struct conf *conf);
