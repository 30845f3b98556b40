/* node/front/admit.h - ADMIT and ROUTE: may this request be served, by which site and route?
 *
 * Request hygiene (methods, target, authority), the redirect to https, the site by host, the
 * route by path and method, `allow`, loops (RFC 8586). The target is normalised on the way:
 * what comes out is both what the key holds and what the origin receives.
 *
 * Thread: any. Owns: nothing; new text lies in the arena.
 */
#pragma once

#include "base/http/uri.h"
#include "cache/policy/key.h"
#include "node/front/client.h"

struct front_admit {
    const struct setup *setup;
    const struct front_client *client;
    struct addr address;          /* that counts as the client's */
    struct http_request *request; /* scheme and authority as believed; target: normalised */
    struct arena *arena;
};

enum front_admitted {
    FRONT_ADMIT_SERVE,  /* key is made */
    FRONT_ADMIT_ANSWER, /* status, with one field when id is not OTHER */
    FRONT_ADMIT_PURGE,  /* PURGE on `site` */
    FRONT_ADMIT_LOOP,   /* it has been here before: 508 */
};
struct front_admission {
    enum front_admitted verdict;
    unsigned status;
    enum http_name id;
    struct span value;
    const char *why;                /* for the log; NULL: a matter of course */
    bool bad;                       /* no proper request: counted as such */
    const struct conf_site *site;   /* once known */
    const struct conf_route *route; /* likewise */
    struct policy_key key;
};
void front_admit(const struct front_admit *a, struct front_admission *out);
