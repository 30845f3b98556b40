/* node/origin/failure.h - how an attempt at an origin failed, in the words of others.
 *
 * Pure. Thread: any.
 */
#pragma once

#include "cache/intake.h"
#include "node/io/link_ev.h"

/* What the cache is told. `after_head`: the final head had come already. */
enum cache_failure origin_failure_of(enum io_link_failure why, bool after_head);
const char *origin_failure_text(enum io_link_failure why); /* for the log: "dns"; static */
