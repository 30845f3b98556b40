/* node/change.h - what a new configuration changes, seen from the one in force.
 *
 * Pure. Thread: any.
 */
#pragma once

#include "conf/conf.h"

/* Faults for what only a restart can change: threads, user, folders, sizes of the cache, the
 * admin listener's address. */
void node_change_check(const struct conf *now, const struct conf *next,
                       struct conf_faults *faults);
/* May one request be another object's under `next`? Then purges must be named anew. */
bool node_change_renames(const struct conf *now, const struct conf *next);
/* Which hosts are of which site, in short; never 0. */
uint64_t node_change_sites(const struct conf *c);
/* May a host that is this site's now be of another, or of none, under `next`? */
bool node_change_moves(const struct conf *now, const struct conf *next, struct span site);
