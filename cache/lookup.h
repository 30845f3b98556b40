/* cache/lookup.h - LOOKUP: hit, stale, join, lead, pass or wait for disk.
 *
 * One question per request, answered under one shard lock. Every answer holds counted
 * references that cache_answer_fini lets go.
 *
 * Thread: any worker. Never blocks, never touches the disk: an object that is only on disk
 * answers JOIN of a fill that a store reader completes.
 */
#pragma once

#include "base/letter.h"
#include "base/http/message.h"
#include "cache/policy/key.h"
#include "conf/conf.h"

struct cache;
struct policy_accept_memo;
struct memory_object;
struct memory_fill;

struct cache_ask {
    const struct http_request *request;
    const struct policy_key *key;
    const struct conf_site *site;
    const struct conf_route *route;       /* its ttl counts (conf.h) */
    const struct conf_variants *variants; /* NULL: nothing is made or asked for */
    struct policy_accept_memo *memo;      /* the caller's thread's; NULL: none */
    int64_t now_s, now_ms;
    bool alone; /* do not join (a reader that was cut over, a split waiter) */
    bool plain; /* with alone: the client takes nothing of what came; ask for identity */
};

enum cache_verdict {
    CACHE_HIT,         /* answer from `object` */
    CACHE_STALE,       /* answer from `object`; when `fill` is set, also fetch into it in the
                        * background, validating `object` */
    CACHE_JOIN,        /* open a reader on `fill` and wait for its head */
    CACHE_LEAD,        /* fetch into `fill` (validating `object` when set) and read from it; a
                        * HEAD with GET */
    CACHE_PASS,        /* fetch into the private `fill`; nobody joins, nothing is stored */
    CACHE_UNAVAILABLE, /* only-if-cached and nothing usable: 504 */
};

/* Why the request went forward, in RFC 9211's words. */
enum cache_forward {
    CACHE_FORWARD_NONE,
    CACHE_FORWARD_BYPASS,
    CACHE_FORWARD_METHOD,
    CACHE_FORWARD_URI_MISS,
    CACHE_FORWARD_VARY_MISS,
    CACHE_FORWARD_REQUEST, /* the client's Cache-Control asked for it */
    CACHE_FORWARD_STALE,
    CACHE_FORWARD_MISS,
};

struct cache_answer {
    enum cache_verdict verdict;
    enum cache_forward forward;
    struct memory_object *object; /* held; NULL: none */
    struct memory_fill *fill;     /* held; NULL: none */
    bool from_disk;               /* JOIN: the fill comes from the store, not from an origin */
    bool plain; /* PASS: ask the origin for identity, whatever the client takes */
    int64_t age_s, fresh_left_s; /* of `object` at now_s */
};

void cache_lookup(struct cache *c, const struct cache_ask *ask, struct cache_answer *out);
void cache_answer_fini(struct cache_answer *a); /* drops what is held; zeroed ok */
