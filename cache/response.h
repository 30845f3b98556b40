/* cache/response.h - a response as it will be kept: its fields sorted, its facts, may it be.
 *
 * Fields not to be kept are left out (Age and Cache-Status, those that a qualified directive
 * names, Set-Cookie where the site strips it); Vary names Accept-Encoding where a client's own
 * decides about the encoding that it gets; those needed again with a later 304 but not for
 * clients (tags, targeted cache control) go to a list of their own. A missing Date is added.
 *
 * Thread: any. Owns: nothing; lists and tags lie in the arena, values are borrowed.
 */
#pragma once

#include "cache/lookup.h"
#include "cache/memory/object.h"
#include "cache/policy/storable.h"
#include "cache/policy/tags.h"

struct memory_epoch;

struct cache_response {
    struct policy_facts facts;
    struct policy_control control;
    enum policy_storable verdict;
    struct http_fields sent, hidden;
    uint64_t tags[MEMORY_TAGS_MAX]; /* sorted */
    uint32_t tag_count;
    struct span vary_names; /* empty: none */
};

struct cache_response_ask {
    const struct http_request *request;
    const struct conf_site *site;
    const struct conf_route *route;
    const struct conf_variants *variants; /* NULL: no encodings are made */
    int64_t requested_at_s, now_s;
    bool varied; /* Vary named Accept-Encoding before: it goes on to, whatever a 304 says */
};

/* Is the field not for clients, in interim responses and trailers either? */
bool cache_response_hides(const struct conf_site *site, const struct http_field *f);
/* False: arena full. */
bool cache_response_read(const struct cache_response_ask *ask, const struct http_response *r,
                         struct memory_epoch *e, struct arena *a, struct cache_response *out);
/* As it is, for one reader only: nothing is judged, Age and Cache-Status stay. */
bool cache_response_plain(const struct cache_response_ask *ask, const struct http_response *r,
                          struct arena *a, struct cache_response *out);
