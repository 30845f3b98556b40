/* admin/call.h - one request to the admin API while it is answered.
 *
 * What every endpoint is given, and the ways to answer. An endpoint answers exactly once, or
 * hands `answered` and `user` to what will (admin/purge.h).
 *
 * Thread: control. Owns: nothing; all lives until the endpoint returns.
 */
#pragma once

#include "admin/actions.h"
#include "admin/admin.h"
#include "admin/auth.h"
#include "admin/json.h"
#include "base/http/uri.h"

struct admin_purges;

struct admin_core {
    struct admin *admin;
    const struct conf *conf;
    const struct admin_actions *actions;
    void *node;
    struct admin_auth *auth;
    struct admin_purges *purges;
};

const struct admin_core *admin_core_of(const struct admin *a); /* admin/admin.c */

struct admin_call {
    const struct admin_request *request;
    struct admin_caller caller;
    struct arena *arena;
    struct http_uri target; /* path and query */
    struct span rest;       /* of the path, behind the endpoint's own */
    admin_answered *answered;
    void *user;
};

/* A JSON answer; adds the line end. */
void admin_call_json(const struct admin_call *c, unsigned status, struct buf *json);
/* {"error":"..."} */
void admin_call_fault(const struct admin_call *c, unsigned status, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* The same, with one field of its own; its name in lower case. */
void admin_call_fault_field(const struct admin_call *c, unsigned status, const char *name,
                            const char *value, const char *text);
/* A parameter of the query, percent-decoded in the arena ('+' stays). False: absent, malformed,
 * or the arena is full. */
bool admin_call_parameter(const struct admin_call *c, const char *name, struct span *out);
/* Percent-decoded in the arena. False: malformed, or the arena is full. */
bool admin_call_decode(const struct admin_call *c, struct span text, struct span *out);
/* "2s", "500ms", "5m", "1h", "7d". */
bool admin_call_duration(struct span text, int64_t *out_ms);
