/* admin/explain.h - GET /v1/cache?url=: what is stored for one URL, and how it stands.
 *
 * Thread: control.
 */
#pragma once

#include "admin/call.h"

void admin_explain_cache(const struct admin_core *core, const struct admin_call *c);
