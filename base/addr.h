/* base/addr.h - IP address, port and prefix: parse, print, compare.
 *
 * IPv4-mapped IPv6 addresses are kept as IPv4 (addr_from_sockaddr and addr_parse map them).
 * Thread: any. Errors: ERR_SYNTAX, ERR_REFUSED.
 */
#pragma once

#include <sys/socket.h>

#include "base/span.h"

enum addr_family { ADDR_NONE, ADDR_V4, ADDR_V6 };

struct addr {
    uint8_t family;    /* enum addr_family */
    uint8_t ip[16];    /* network order; an IPv4 address uses the first 4 */
    uint16_t port;     /* host order; 0 = none */
    uint32_t scope_id; /* link-local IPv6 */
};
struct addr_prefix {
    struct addr addr; /* host bits are zero */
    uint8_t bits;
};

#define ADDR_TEXT_MAX 72 /* longest text with port and NUL */

NODISCARD enum err addr_parse(struct span text, struct addr *out); /* an address alone */
/* "1.2.3.4:80", "[::1]:80", ":80" (the any address of IPv6, dual stack). Port required, not 0.
 */
NODISCARD enum err addr_parse_with_port(struct span text, struct addr *out);
/* a/n or a. ERR_REFUSED when host bits are set: 10.1.2.3/8 may be meant in two ways. */
NODISCARD enum err addr_prefix_parse(struct span text, struct addr_prefix *out);
bool addr_prefix_holds(const struct addr_prefix *p, const struct addr *a);
bool addr_equal(const struct addr *a, const struct addr *b); /* address and port */
bool addr_is_loopback(const struct addr *a);
NODISCARD enum err addr_from_sockaddr(const struct sockaddr *sa, struct addr *out);
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out);
/* Writes text with a NUL ("-" for none); returns out. With port when `with_port`; v6 then in
 * brackets. */
const char *addr_print(const struct addr *a, bool with_port, char out[ADDR_TEXT_MAX]);
