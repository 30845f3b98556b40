/* node/control_ev.h - the control thread: signals, ticks, the admin listener, the end.
 *
 * SIGHUP: reload. SIGTERM: drain, then stop; a second one, or SIGINT: stop without waiting.
 * Every 100 ms the cache and admin are ticked, each second the purge log.
 *
 * Thread: main.
 */
#pragma once

#include "node/node.h"

/* From now on the signals above wait until node_control_run hears them: neither opening nor
 * closing the disks is cut short by one. */
void node_control_hold_signals(void);
/* Until the node has stopped: its workers have ended, and every ask was answered. Signals are
 * held again. */
void node_control_run(struct node *n);
