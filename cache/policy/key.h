/* cache/policy/key.h - request to cache key.
 *
 * GET and HEAD share it. The text is "scheme|host:port|/path?query", then one
 * " name=length:value" for each cookie and field that the site lets join it (length first, so
 * that no value can pose as another key; a path holds no raw space). Purges name objects
 * without scheme and port: `url`, so an http URL purges https too, on every port.
 *
 * Thread: any. Owns: nothing; new text goes into the arena.
 * Errors: ERR_SYNTAX (authority or selector), ERR_LIMIT (arena full).
 */
#pragma once

#include "base/http/message.h"
#include "base/http/uri.h"
#include "base/purge.h"
#include "conf/conf.h"

struct policy_key {
    struct span text; /* in full, as compared at lookup */
    struct span url;  /* "host/path?query": what purges name; the next three lie in it */
    struct span host; /* without port */
    struct span path; /* without query */
    struct span path_query;
    uint16_t port; /* never 0: the scheme's own when not written */
};

/* `target` is the request's target, parsed; with a host in it (lower case), that and its port
 * stand for the authority, which is not parsed again. */
NODISCARD enum err policy_key_make(const struct http_request *r, const struct http_uri *target,
                                   const struct conf_cache_key *conf, struct arena *a,
                                   struct policy_key *out);
/* "host/path?query" of an absolute URI under the rules of its site. */
NODISCARD enum err policy_key_url(const struct http_uri *uri, const struct conf_cache_key *conf,
                                  struct arena *a, struct span *out_url);

/* The site that serves a host: an exact name, else the longest "*.x", else "*"; NULL: none.
 * `host` is lower case, without port. */
#define POLICY_KEY_HOST_MAX 255 /* RFC 1035 2.3.4; a longer name is nobody's but "*" */
const struct conf_site *policy_key_site(const struct conf *c, struct span host);

/* A raw purge selector as names in the form of struct policy_key, under this node's sites:
 * url "host/path?query", path "/path?query" (one name per differing site), prefix
 * "host/path" cut nowhere, host "host", tag and group as they are, all: one empty name. A URL
 * whose host no site serves is normalised without site rules. */
NODISCARD enum err policy_key_purge(const struct purge *p, const struct conf *c,
                                    struct arena *a, struct span **out_names,
                                    uint32_t *out_count);
