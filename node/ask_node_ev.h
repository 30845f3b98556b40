/* node/ask_node_ev.h - one request of a sub-command to a node's admin API.
 *
 * A cli_ask (admin/cli/cli.h) over a link on a loop of its own.
 *
 * Thread: the process's only one. Limits: ASK_NODE_BODY_MAX bytes of answer.
 */
#pragma once

#include "admin/cli/cli.h"

#define ASK_NODE_BODY_MAX ((size_t)64 << 20)

enum err node_ask(void *user, const struct cli_question *q, struct cli_reply *out);
