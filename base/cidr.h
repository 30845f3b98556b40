/* base/cidr.h - a longest-prefix table over addresses.
 *
 * Made once from a list and never changed: nested prefixes are flattened into sorted ranges,
 * so that a look-up is one binary search. Ports are not looked at; an IPv4 address is found
 * under IPv4 prefixes only (addr.h maps the mapped ones).
 *
 * Thread: any (read-only).
 * Owns: its ranges; the list given is borrowed for the call.
 * Limits: 2 * count + 1 ranges of 24 B per family.
 */
#pragma once

#include "base/addr.h"

struct cidr;
struct cidr_entry {
    struct addr_prefix prefix;
    uint32_t value;
};

/* Of two equal prefixes the later wins. Owned; an empty list is a table that holds nothing. */
struct cidr *cidr_create(const struct cidr_entry *list, size_t count);
/* For lists that only ask "is it in?"; the values are the indices. */
struct cidr *cidr_create_set(const struct addr_prefix *list, size_t count);
void cidr_destroy(struct cidr *c);
/* The value of the longest prefix that holds `a`. */
bool cidr_find(const struct cidr *c, const struct addr *a, uint32_t *out_value);
bool cidr_holds(const struct cidr *c, const struct addr *a);
