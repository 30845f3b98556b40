/* admin/doors.h - purges that come in another shape than our own API.
 *
 * PURGE on a data listener (Varnish, Squid, nginx, WordPress, FOSHttpCache): the URL asked for,
 * or the tags that a Surrogate-Key or xkey field on it names, of that site.
 * "Fastly-Soft-Purge: 1" or "X-Purge-Mode: soft" makes it soft; with other words than 0 and
 * hard, or with both, it is refused. From an address in the site's purge_from, or with a token.
 *
 * Thread: control; _read any.
 */
#pragma once

#include "admin/call.h"

/* The purges that a PURGE with these fields names, at most POLICY_TAGS_MAX. NULL, or what is
 * wrong. */
const char *admin_doors_read(const struct http_fields *f, struct span url,
                             const struct conf_site *site, struct arena *a, struct purge *out,
                             uint32_t *out_count);
void admin_doors_purge(const struct admin_core *core, const struct admin_call *c,
                       struct span url, const struct conf_site *site, bool may_purge);
