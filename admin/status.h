/* admin/status.h - how this node is: health, status, the purges it has taken.
 *
 * GET /v1/health (200 or 503, no token), GET /v1/status, GET /v1/purges?since=&limit=,
 * GET /v1/purges/{id}.
 *
 * Thread: control. Limits: STATUS_PURGES_MAX records an answer.
 */
#pragma once

#include "admin/call.h"

#define STATUS_PURGES_MAX 1000

void admin_status_health(const struct admin_core *core, const struct admin_call *c);
void admin_status_get(const struct admin_core *core, const struct admin_call *c);
void admin_status_purges(const struct admin_core *core, const struct admin_call *c);
void admin_status_purge(const struct admin_core *core, const struct admin_call *c);
