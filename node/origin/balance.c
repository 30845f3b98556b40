#include "node/origin/balance.h"

bool origin_balance_pick(uint32_t servers, uint32_t turn, uint64_t tried, uint32_t *out_server)
{
    if (servers > ORIGIN_SERVERS_MAX)
        servers = ORIGIN_SERVERS_MAX;
    for (uint32_t i = 0; i < servers; i++) {
        uint32_t at = (turn % servers + i) % servers;
        if (!(tried & UINT64_C(1) << at)) {
            *out_server = at;
            return true;
        }
    }
    return false;
}

static enum origin_next other(const struct origin_attempt *a)
{
    return a->other_server && a->retries < a->retry_max ? ORIGIN_NEXT_OTHER : ORIGIN_NEXT_FAIL;
}

enum origin_next origin_balance_next(const struct origin_attempt *a)
{
    if (a->body_taken) /* what was given away cannot be given again */
        return ORIGIN_NEXT_FAIL;
    if (a->answered) /* the server works on it, or has: what it said may be with the client */
        return ORIGIN_NEXT_FAIL;
    if (!a->sent) /* nobody has seen the request: any method */
        return other(a);
    if (!a->idempotent) /* RFC 9110 9.2.2: a proxy must not repeat it by itself */
        return ORIGIN_NEXT_FAIL;
    if (a->reused) /* RFC 9112 9.3.1: the server had tired of waiting, not failed */
        return ORIGIN_NEXT_SAME_FRESH;
    return other(a);
}
