/* node/names_ev.h - do the names of origins' servers resolve? For `perigee check`.
 *
 * One that does not is a warning: it may well do where, or when, the node runs.
 *
 * Thread: any; a loop of its own. Limits: NODE_NAMES_WAIT_MS for all of them.
 */
#pragma once

#include "conf/conf.h"

#define NODE_NAMES_WAIT_MS 10000

void node_names_check(const struct conf *conf, struct conf_faults *faults);
