/* base/http/uri.h - a target, parsed and normalised.
 *
 * RFC 3986, 9110 4. Normalisation: percent-encoded unreserved characters are decoded, other
 * escapes upper-cased, dot segments removed (also when written as %2e), the rest kept. Encoded
 * slashes stay encoded. Refused: fragments, backslashes, raw non-ASCII and control octets,
 * bad escapes, %00, and dot segments that only a later decoder would see ("..%2F", "..;x"): by
 * them a client could reach past a route's rules. The normalised path is the cache key and what
 * the origin receives.
 *
 * Thread: any. Owns: nothing; new text goes into the arena.
 * Errors: ERR_SYNTAX, ERR_LIMIT (arena full).
 */
#pragma once

#include "base/arena.h"

struct http_uri {
    struct span scheme; /* lower case; empty in origin form */
    struct span host;   /* lower case, no brackets taken off, no port; empty in origin form */
    uint16_t port;      /* 0 = not written */
    struct span path;   /* normalised, begins with '/' */
    struct span query;  /* without '?', normalised escapes */
    bool has_query;     /* "/a?" differs from "/a" */
};

/* "/path?query" */
NODISCARD enum err http_uri_parse_target(struct span target, struct arena *a,
                                         struct http_uri *out);
/* "http://host[:port]/path?query" or https; userinfo refused. */
NODISCARD enum err http_uri_parse_absolute(struct span text, struct arena *a,
                                           struct http_uri *out);
/* host[:port] of a Host field or :authority; lower-cased in the arena, without the dot that may
 * end a name. IPv6 in brackets. */
NODISCARD enum err http_uri_parse_authority(struct span text, struct arena *a,
                                            struct span *out_host, uint16_t *out_port);
/* A reference (Location, Content-Location) against a base, RFC 3986 5.2. */
NODISCARD enum err http_uri_resolve(const struct http_uri *base, struct span reference,
                                    struct arena *a, struct http_uri *out);
