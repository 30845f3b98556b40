/* cache/policy/storable.h - may this response be stored, for anyone to use?
 *
 * RFC 9111 3, 3.1, 3.5, 4.1, 5.2.2.3 (must-understand), for a shared cache. What is not
 * stored is not shared with waiters either. 206 is not stored; a POST's answer neither.
 *
 * Thread: any. Errors: none.
 */
#pragma once

#include "cache/policy/control.h"

enum policy_storable {
    POLICY_STORE_YES,
    POLICY_STORE_METHOD,   /* only GET (a HEAD is fetched with GET) */
    POLICY_STORE_BODY,     /* the request has a body (fat GET) */
    POLICY_STORE_STATUS,   /* interim, 206, 304, unknown under must-understand */
    POLICY_STORE_NO_STORE, /* response or request */
    POLICY_STORE_PRIVATE,
    POLICY_STORE_AUTHORIZATION, /* without public, s-maxage or must-revalidate */
    POLICY_STORE_SET_COOKIE,
    POLICY_STORE_VARY,     /* "*", or more names than the cap */
    POLICY_STORE_PARTIAL,  /* Content-Range on what is no 206 */
    POLICY_STORE_LIFETIME, /* neither fresh for a moment nor of use with a validator */
    POLICY_STORE_URL,      /* too long for a purge to name it */
    POLICY_STORE_TAGS,     /* too many or too large (policy/tags.h; told by the caller) */
};

struct policy_storable_ask {
    const struct http_request *request;
    const struct http_response *response;
    const struct policy_control *control;
    const struct policy_facts *facts;
    enum conf_set_cookie set_cookie;
    int64_t grace_s; /* the site's */
};

/* *out_strip_cookies: keep it without its Set-Cookie fields. */
enum policy_storable policy_storable_check(const struct policy_storable_ask *ask,
                                           bool *out_strip_cookies);
