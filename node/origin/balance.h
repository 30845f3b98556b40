/* node/origin/balance.h - which server next?
 *
 * Round robin over an origin's servers; the ones tried for this request are passed over.
 *
 * Thread: any. Limits: the first ORIGIN_SERVERS_MAX servers of an origin.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ORIGIN_SERVERS_MAX 64

/* `turn`: a number that rises with each request; `tried`: bit i = server i was tried. False:
 * all were. */
bool origin_balance_pick(uint32_t servers, uint32_t turn, uint64_t tried, uint32_t *out_server);

struct origin_attempt {          /* how an attempt ended without a usable response */
    bool idempotent;             /* the request's method */
    bool body_taken;             /* bytes of the request's body have been handed to it */
    bool sent;                   /* the head may have left */
    bool answered;               /* at least one byte of an answer came */
    bool reused;                 /* over a kept connection that the server had closed */
    uint32_t retries, retry_max; /* on other servers, so far and at most */
    bool other_server;           /* there is one not tried yet */
};
enum origin_next { ORIGIN_NEXT_FAIL, ORIGIN_NEXT_SAME_FRESH, ORIGIN_NEXT_OTHER };
/* RFC 9110 9.2.2, 9112 9.3.1: what may be tried after it. */
enum origin_next origin_balance_next(const struct origin_attempt *a);
