/* cache/policy/freshness.h - may this stored response be reused now?
 *
 * RFC 9111 section 4.2 (freshness) and 5.2.1 (what the client asked), RFC 5861
 * (stale-while-revalidate, stale-if-error), for a shared cache. Pure: no clock, I/O, memory or
 * globals. cache/policy/control.h turns headers into these structs; callers pass `now`.
 *
 * Units:  *_at_s wall seconds since 1970; *_s durations, 0..2^31 (section 1.2.2),
 *         so sums cannot overflow. POLICY_NONE: the header or directive is absent.
 * Thread: any. Errors: none, every input has an answer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define POLICY_NONE INT64_C(-1)
#define POLICY_SECONDS_MAX (INT64_C(1) << 31) /* delta-seconds saturate here */

struct policy_facts {        /* kept by the store beside each body */
    int64_t requested_at_s;  /* when we asked the origin */
    int64_t received_at_s;   /* when its response header arrived */
    int64_t date_at_s;       /* Date; received_at_s when absent */
    int64_t expires_at_s;    /* Expires; 0 (the past) when invalid */
    int64_t modified_at_s;   /* Last-Modified, where 4.2.2 allows a guess */
    int64_t age_s;           /* Age; 0 when absent */
    int64_t max_age_s;       /* s-maxage, else max-age; or the site's ttl */
    int64_t stale_refresh_s; /* stale-while-revalidate, when the origin sent it itself */
    int64_t stale_error_s;   /* stale-if-error, likewise */
    bool no_cache;           /* validate on every use */
    bool no_stale;           /* must-revalidate or proxy-revalidate; s-maxage unless the origin
                              * also sent a stale-* directive (RFC 5861) */
    bool windows_only;       /* s-maxage with a stale-* directive: stale inside that window,
                              * never by the client's max-stale or the site's grace */
};

struct policy_wish { /* the client's Cache-Control */
    int64_t max_age_s, min_fresh_s, max_stale_s, stale_error_s;
    bool no_cache, no_store, only_if_cached;
};
#define POLICY_WISH_NONE                                                                       \
    ((struct policy_wish){.max_age_s = POLICY_NONE,                                            \
                          .min_fresh_s = POLICY_NONE,                                          \
                          .max_stale_s = POLICY_NONE,                                          \
                          .stale_error_s = POLICY_NONE})

enum policy_reuse {
    POLICY_REUSE_FRESH,    /* serve as it is */
    POLICY_REUSE_REFRESH,  /* serve it stale, validate in the background */
    POLICY_REUSE_VALIDATE, /* ask the origin first */
};

int64_t policy_freshness_age_s(const struct policy_facts *f, int64_t now_s);
int64_t policy_freshness_lifetime_s(const struct policy_facts *f);
int64_t policy_freshness_left_s(const struct policy_facts *f, int64_t now_s); /* < 0: stale */
enum policy_reuse policy_freshness_reuse(const struct policy_facts *f,
                                         const struct policy_wish *w, int64_t now_s);
/* Of an object that a soft purge names: it counts as stale, however young it is. */
enum policy_reuse policy_freshness_reuse_purged(const struct policy_facts *f,
                                                const struct policy_wish *w, int64_t now_s);
/* Asked after the fetch failed or answered 500, 502, 503 or 504: may the stale object be
 * served instead? `grace_s` is the site's. */
bool policy_freshness_stale_if_error(const struct policy_facts *f, const struct policy_wish *w,
                                     int64_t grace_s, int64_t now_s);
/* From when on is the object of no use without its validators: neither fresh nor servable
 * stale? For eviction. */
int64_t policy_freshness_dead_at_s(const struct policy_facts *f, int64_t grace_s);
