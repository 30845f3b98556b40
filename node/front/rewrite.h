/* node/front/rewrite.h - fields passing through: forwarded, hidden, Via, Cache-Status.
 *
 * Pure functions over field lists. What depends on no client is done once, when a response
 * comes in (front_rewrite_incoming, before the cache sees it), so that a hit formats only Age,
 * Cache-Status and what the client's connection needs.
 *
 * RFC 9110 7.6 (hop-by-hop, Via), 8586 (CDN-Loop), 7239 (Forwarded), 9211 (Cache-Status),
 * 9209 (Proxy-Status).
 *
 * Thread: any. Owns: nothing; new text goes into the arena, shorter texts are static.
 * Errors: false = the arena is full.
 */
#pragma once

#include "base/addr.h"
#include "base/http/message.h"
#include "cache/intake.h"
#include "conf/conf.h"

/* What rewriting must know about a request and its way; plain data, copied with a fetch. The
 * pointers are into the setup that the fetch holds. */
struct front_rewrite {
    const struct conf *conf;
    const struct conf_site *site;
    const struct conf_origin *origin;
    struct addr client;    /* without port in the fields */
    bool client_tls;       /* the client's scheme is https (front_client_scheme) */
    bool client_is_proxy;  /* a trusted proxy, or another node */
    bool client_is_node;   /* which has said already by whom it was asked */
    struct span authority; /* host[:port] that the client asked for; lives with the fetch */
    uint64_t request_id;
};

/* The request towards `server`, from a copy of the client's fields: hop-by-hop, TE, Expect,
 * names with '_' (many origins read it as '-') and unkeyed inputs out; X-Forwarded-For, -Proto,
 * -Host, X-Request-ID, Via, CDN-Loop and `add:` in; authority by `host:`; scheme by the server.
 * The target is normalised already. What a trusted proxy says of the client is kept and
 * continued. */
bool front_rewrite_outgoing(const struct front_rewrite *w,
                            const struct conf_origin_server *server, struct http_request *r,
                            struct arena *a);
/* The same towards another node, which goes on with it as this one would, but for the fields
 * that are the origin's own business: it gets the client's scheme and authority. `hops`: to be
 * told. */
bool front_rewrite_to_peer(const struct front_rewrite *w, unsigned hops, struct http_request *r,
                           struct arena *a);
/* A response of another node: it is stored there as it would be here. */
void front_rewrite_from_peer(struct http_response *r);
/* Has this request been through this node before (CDN-Loop names it)? Answered 508. */
bool front_rewrite_is_loop(const struct http_fields *f, const char *node_id);
/* A response from `server`, before cache and client: hop-by-hop and `hide:` out, Via in; with
 * host: origin or a name, Location and Content-Location (and the host of Refresh and of a
 * Set-Cookie's Domain) that point at the origin become the client's scheme and authority. Tag
 * fields and CDN-Cache-Control stay in: the cache reads them. */
bool front_rewrite_incoming(const struct front_rewrite *w,
                            const struct conf_origin_server *server, struct http_response *r,
                            struct arena *a);

struct front_cache_status {
    bool hit, stored, collapsed;
    enum cache_forward forward;
    unsigned fwd_status; /* of the origin's answer when it differs from ours; 0 = not said */
    int64_t ttl_s;       /* left; with a hit */
    bool ttl_known;
    const char *detail; /* token; NULL = none */
};
/* "perigee; hit; ttl=59", "perigee; fwd=uri-miss; stored", ... borrowed from the arena. */
bool front_rewrite_cache_status(const struct front_cache_status *s, struct arena *a,
                                struct span *out);
/* "cache;desc=hit, total;dur=1.25, origin;dur=1.10" for Server-Timing, times in us; origin_us
 * -1: no origin was asked. */
bool front_rewrite_server_timing(const struct front_cache_status *s, int64_t total_us,
                                 int64_t origin_us, struct arena *a, struct span *out);
/* "perigee; error=connection_refused", ... static. Empty: no such failure. */
struct span front_rewrite_proxy_status(enum cache_failure why);
unsigned front_rewrite_failure_status(enum cache_failure why); /* 502, 503, 504, 508 */
