/* node/io/resolve_ev.h - names to addresses (door to c-ares).
 *
 * One per loop. Answers are cached by their TTL (at least 1 s, at most 1 h); when a refresh
 * fails the last good answer is used on, at once, while the name is asked again behind it every
 * 5 s; a name that never resolved is asked again after 5 s at most. /etc/hosts is respected.
 * Addresses resolve at once. A server that does not answer is asked twice, 4.5 s in all.
 *
 * Thread: its loop's. Limits: 16 addresses a name, 4096 names.
 */
#pragma once

#include "base/addr.h"
#include "node/io/loop_ev.h"

struct io_resolver;
struct io_resolver *io_resolver_create(struct io_loop *l);
void io_resolver_destroy(struct io_resolver *r); /* nobody may wait; NULL ok */
/* For tests: other servers ("127.0.0.1:5353"), and how long one is waited for. */
void io_resolver_use(struct io_resolver *r, const char *servers, int timeout_ms);

struct io_resolve_wait {
    struct io_resolve_wait *next, **prev;
    void (*resolved)(struct io_resolve_wait *w, enum err e, const struct addr *addrs,
                     unsigned count); /* ports are 0 */
};
/* Calls `resolved` from inside when the answer is known (returns true), else later. */
/* A waiter need not be initialised; `resolved` may start other resolutions, not destroy r. */
bool io_resolve(struct io_resolver *r, struct span host, struct io_resolve_wait *w,
                void (*resolved)(struct io_resolve_wait *w, enum err e,
                                 const struct addr *addrs, unsigned count));
void io_resolve_cancel(struct io_resolve_wait *w); /* not waiting: nothing */
