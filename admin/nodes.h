/* admin/nodes.h - GET /v1/nodes, DELETE /v1/nodes/{id}: who is in the cluster.
 *
 * Sorted by id. A node that works alone lists itself. Serf agents are listed beside nodes
 * ("perigee": false).
 */
#pragma once

#include "admin/call.h"

void admin_nodes_get(const struct admin_core *core, const struct admin_call *c);
/* The call's `rest` is the id of a failed node that will not come back. */
void admin_nodes_forget(const struct admin_core *core, const struct admin_call *c);
