/* node/setup/site.h - host, path, method to site and route.
 *
 * Exact host names, then the longest "*.x" that covers the host (x itself is not covered),
 * then "*". A host that no site serves is answered 421 (RFC 9110 15.5.20): this node is not
 * responsible for it. Inside a site the first route that matches path and method wins; none:
 * 404. Ports do not matter, nor does a dot at the host's end. A '*' at a path pattern's end
 * stands for any octets, also none; case counts. %2F in a path matches as '/', since origins
 * decode it: a rule for `/admin/...` holds for /admin%2Fx too, and, since origins merge slashes
 * and cut parameters off, for //admin/x and /admin;v=1/x. A route for GET takes HEAD.
 *
 * Thread: read-only once made. Owns: itself; conf is borrowed. conf has refused hosts that
 * stand twice and a '*' elsewhere in a path.
 */
#pragma once

#include "base/addr.h"
#include "base/http/message.h"
#include "conf/conf.h"

struct setup_sites;
struct setup_sites *setup_sites_create(const struct conf *conf);
void setup_sites_destroy(struct setup_sites *s); /* NULL ok */

struct setup_match {
    const struct conf_site *site;   /* NULL: no such host */
    const struct conf_route *route; /* NULL: no route matches */
};
/* `host` lower case without port, `path` normalised without query. */
struct setup_match setup_sites_find(const struct setup_sites *s, struct span host,
                                    struct span path, struct span method);
/* May this client use the route (`allow`)? */
bool setup_route_allows(const struct conf_route *r, const struct addr *client);
/* May this client purge by the PURGE method without a token? */
bool setup_site_may_purge(const struct conf_site *site, const struct addr *client);
