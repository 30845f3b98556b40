/* admin/metrics.h - GET /metrics: Prometheus text.
 *
 * Counters come from base/counter's table, gauges from the node. Format: exposition format
 * 0.0.4, each name with HELP and TYPE once.
 *
 * Thread: control.
 */
#pragma once

#include "admin/call.h"

void admin_metrics_get(const struct admin_core *core, const struct admin_call *c);
