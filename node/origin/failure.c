#include "node/origin/failure.h"

enum cache_failure origin_failure_of(enum io_link_failure why, bool after_head)
{
    switch (why) {
    case IO_LINK_CONNECT_TIMEOUT:
    case IO_LINK_FIRST_BYTE_TIMEOUT:
    case IO_LINK_IDLE_TIMEOUT:
        return CACHE_FAILURE_TIMEOUT;
    case IO_LINK_DNS:
        return after_head ? CACHE_FAILURE_INCOMPLETE : CACHE_FAILURE_DNS;
    case IO_LINK_CONNECT:
    case IO_LINK_CLOSED:
        return after_head ? CACHE_FAILURE_INCOMPLETE : CACHE_FAILURE_REFUSED;
    case IO_LINK_TLS:
        return after_head ? CACHE_FAILURE_INCOMPLETE : CACHE_FAILURE_TLS;
    case IO_LINK_OK: /* an end without a head */
    case IO_LINK_PROTOCOL:
        return after_head ? CACHE_FAILURE_INCOMPLETE : CACHE_FAILURE_PROTOCOL;
    case IO_LINK_CUT:
        break;
    }
    return CACHE_FAILURE_INCOMPLETE;
}

const char *origin_failure_text(enum io_link_failure why)
{
    static const char *const texts[] = {
        [IO_LINK_OK] = "no_answer",
        [IO_LINK_DNS] = "dns",
        [IO_LINK_CONNECT] = "refused",
        [IO_LINK_CONNECT_TIMEOUT] = "connect_timeout",
        [IO_LINK_TLS] = "tls",
        [IO_LINK_CLOSED] = "closed",
        [IO_LINK_FIRST_BYTE_TIMEOUT] = "first_byte_timeout",
        [IO_LINK_IDLE_TIMEOUT] = "idle_timeout",
        [IO_LINK_PROTOCOL] = "protocol",
        [IO_LINK_CUT] = "cut",
    };
    return texts[why];
}
