/* node/front/client.h - who asks: one connection's other side, as exchanges see it.
 *
 * Thread: any. Owns: nothing.
 */
#pragma once

#include "base/http/message.h"
#include "node/setup/setup.h"

struct front_client {                      /* lives in the session */
    struct addr peer;                      /* of the socket */
    bool tls, admin;                       /* admin: it came by the admin listener */
    const char *node;                      /* another node's id, proven; NULL: not one */
    const char *tls_version;               /* "" = clear text */
    const struct setup_listener *listener; /* in a setup that the session holds; NULL: admin */
};

/* The address that counts as the client's for this request: the peer's, unless it is one of the
 * listener's trusted proxies; then the rightmost address of X-Forwarded-For that is no trusted
 * proxy (the leftmost when all are, the peer when what stands there is no address). */
bool front_client_is_proxy(const struct front_client *c); /* another node is one, too */
struct addr front_client_address(const struct front_client *c, const struct http_fields *f);
/* The scheme and the authority that the client asked by: the connection's and the request's
 * own, unless a trusted proxy says another by one X-Forwarded-Proto ("http" or "https") or one
 * X-Forwarded-Host (host[:port], no list); lower case, new text in the arena. They lead to the
 * site and into the cache key: the origin hears of them. */
struct span front_client_scheme(const struct front_client *c, const struct http_fields *f);
struct span front_client_authority(const struct front_client *c, const struct http_request *r,
                                   struct arena *a);
