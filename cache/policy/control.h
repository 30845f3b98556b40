/* cache/policy/control.h - Cache-Control, Expires, Age and targeted fields to facts and wish.
 *
 * RFC 9111 4.2.1, 5.1-5.4; RFC 9213 (CDN-Cache-Control, then Surrogate-Control: a valid,
 * non-empty structured dictionary replaces Cache-Control and Expires as a whole; an invalid
 * one is ignored as a whole). Names in any case, quoted arguments, the first of duplicates,
 * the most restrictive of conflicting ones. A bad delta-seconds value counts as 0. What a site
 * configures (ttl) is applied here too: `force` outranks the origin, `default` and `negative`
 * stand in where it gave no explicit freshness.
 *
 * Thread: any. Owns: nothing; names are borrowed from the fields. No allocation but in the
 * arena, for a targeted field.
 * Limits: POLICY_CONTROL_NAMES field names in qualified directives; more, or no field names,
 * count as the unqualified form.
 */
#pragma once

#include "base/http/message.h"
#include "cache/policy/freshness.h"
#include "conf/conf.h"

#define POLICY_CONTROL_NAMES 16

struct policy_control {
    bool no_store, is_private, is_public, must_understand, no_transform;
    bool must_revalidate, shared_max_age; /* s-maxage */
    bool targeted;                        /* a targeted field decided */
    bool lifetime; /* explicit: max-age, s-maxage, Expires, or the site's ttl */
    bool forced;   /* by the site's ttl.force: no_store and the like are off */
    /* Named by private="..." or no-cache="...": not to be kept (a reuse could not send them
     * without asking first). As written; compare without case. */
    struct span hidden[POLICY_CONTROL_NAMES];
    uint32_t hidden_count;
};

/* `r` may be a response, or a stored one after a 304 was merged. `ttl`: the route's. */
void policy_control_response(const struct http_response *r, const struct conf_ttl *ttl,
                             int64_t requested_at_s, int64_t received_at_s, struct arena *a,
                             struct policy_facts *out_facts, struct policy_control *out);
/* max-age=0 sets no_cache; max-stale without a value is POLICY_SECONDS_MAX; Pragma: no-cache
 * counts when there is no Cache-Control. Runs on every hit. */
void policy_control_request(const struct http_fields *f, struct policy_wish *out);
/* Is the field one of those to be left out of the stored response? */
bool policy_control_hides(const struct policy_control *c, struct span name);
/* Statuses that may be kept without explicit freshness (RFC 9110 15.1). */
bool policy_control_is_heuristic(unsigned status);
