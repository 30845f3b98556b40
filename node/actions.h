/* node/actions.h - admin/actions.h, done: what admin may ask of this node.
 *
 * Thread: control. `node` is a struct node.
 */
#pragma once

#include "admin/actions.h"

extern const struct admin_actions node_actions;
