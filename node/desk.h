/* node/desk.h - asks from all loops, until admin has answered them.
 *
 * Every ask is answered exactly once: by admin, or with 503 when the node ends. One that its
 * exchange forgot is answered, too; who asked is not ours to look at.
 *
 * Thread: control. Owns: the asks between handle and answer.
 * Limits: what the fronts let in; ADMIN_PENDING_MAX of them wait in admin.
 */
#pragma once

#include "node/node.h"

void node_desk_open(struct node *n);   /* n->desk, for the fronts */
void node_desk_refuse(struct node *n); /* all that wait, and from now on what comes: 503 */
