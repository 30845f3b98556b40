/* admin/purge.h - POST /v1/purge; waits for the acknowledgement.
 *
 * One call names up to ADMIN_PURGE_SELECTORS selectors of one type. It is in effect as soon as
 * the node has it, and answered 200 when it is on disk here and with every member of the
 * cluster; 202 when it is on disk here, and those that can be reached have it or `wait` is
 * over; 503 when it could not be made durable in time. An Idempotency-Key makes a repeated call
 * tell how far the first one has come since. The id told is "<stream, hex>:<seq>" of the last
 * record.
 *
 * Thread: control. Owns: what waits.
 * Limits: ADMIN_PENDING_MAX waiting calls (then: in effect, answered 503 at once);
 *         admin/repeat.h; conf's purge_rate per token.
 */
#pragma once

#include "admin/call.h"

#define ADMIN_PURGE_SELECTORS 256

struct admin_purges *admin_purge_create(void);
void admin_purge_destroy(struct admin_purges *p); /* NULL ok */
/* The rates per token begin anew: tokens may be others now. */
void admin_purge_reload(struct admin_purges *p, const struct conf_admin *conf);

/* The endpoint. */
void admin_purge_post(const struct admin_core *core, const struct admin_call *c);
/* The same for a door of another shape (admin/doors.h): checked, allowed purges. */
void admin_purge_submit(const struct admin_core *core, const struct admin_call *c,
                        const struct purge *purges, uint32_t count);
/* May the caller purge that? Answers the fault itself when not. */
bool admin_purge_allowed(const struct admin_core *core, const struct admin_call *c,
                         const struct purge *purges, uint32_t count);

/* "id":..., "nodes":{...} as all answers about purges carry them. */
void admin_purge_write_id(struct admin_writer *w, uint64_t stream, uint64_t seq);
/* `synced`: here, for when the node knows nothing of its confirmations. */
void admin_purge_write_nodes(struct admin_writer *w, const struct admin_core *core,
                             uint64_t stream, uint64_t seq, bool synced);

/* From node, through admin/actions.h. */
void admin_purge_done(const struct admin_core *core, uint64_t ticket,
                      const struct admin_purge_done *done);
void admin_purge_count_done(const struct admin_core *core, uint64_t ticket, uint64_t objects);
void admin_purge_forget(const struct admin_core *core, void *user);
void admin_purge_tick(const struct admin_core *core, int64_t now_ms);
