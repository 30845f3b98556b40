#include "cache/policy/storable.h"

#include "base/purge.h"
#include "cache/policy/validate.h"
#include "cache/policy/vary.h"

/* Statuses that no stored response may have for now, and 1xx. */
static bool status_refused(unsigned status)
{
    return status < 200 || status > 599 || status == 206 || status == 304;
}

static bool method_refused(const struct http_request *r, const struct http_response *answer)
{
    if (r->method == HTTP_GET)
        return false;
    /* A HEAD that was fetched with GET brings the body along; a real HEAD's answer lacks it. */
    return r->method != HTTP_HEAD ||
           (answer->body_absent && !http_status_is_bodyless(answer->status));
}

static bool authorization_refused(const struct policy_storable_ask *ask)
{
    const struct policy_control *c = ask->control; /* RFC 9111 3.5 */
    return http_fields_find(&ask->request->fields, HTTP_NAME_AUTHORIZATION) && !c->is_public &&
           !c->shared_max_age && !c->must_revalidate;
}

static bool set_cookie_refused(const struct policy_storable_ask *ask, bool *out_strip)
{
    const struct policy_control *c = ask->control;
    if (!http_fields_find(&ask->response->fields, HTTP_NAME_SET_COOKIE) ||
        policy_control_hides(c, SPAN("set-cookie")))
        return false;
    switch (ask->set_cookie) {
    case CONF_SET_COOKIE_DEFAULT:
        return !c->is_public && !c->shared_max_age && !(c->targeted && c->lifetime);
    case CONF_SET_COOKIE_STORE:
        return false;
    case CONF_SET_COOKIE_STRIP:
        *out_strip = true;
        return false;
    case CONF_SET_COOKIE_REFUSE:
        break;
    }
    return true;
}

/* Neither servable for a moment, nor of use to ask "still the same?". */
static bool lifetime_refused(const struct policy_storable_ask *ask)
{
    const struct policy_facts *f = ask->facts;
    const struct policy_control *c = ask->control;
    if (!c->lifetime && !c->is_public && !policy_control_is_heuristic(ask->response->status))
        return true; /* RFC 9111 3, the last condition */
    if (policy_validate_possible(&ask->response->fields))
        return false;
    if (f->no_cache)
        return true;
    if (policy_freshness_left_s(f, f->received_at_s) > 0)
        return false;
    bool stale_use = f->stale_refresh_s > 0 || f->stale_error_s > 0 ||
                     (ask->grace_s > 0 && !f->windows_only);
    return !c->lifetime || f->no_stale || !stale_use;
}

static bool url_refused(const struct http_request *r)
{
    return sizeof "https://" - 1 + r->authority.len + r->target.len > PURGE_SELECTOR_MAX;
}

enum policy_storable policy_storable_check(const struct policy_storable_ask *ask,
                                           bool *out_strip_cookies)
{
    const struct policy_control *c = ask->control;
    const struct http_response *answer = ask->response;
    struct policy_wish wish;
    bool strip = false;

    if (method_refused(ask->request, answer))
        return POLICY_STORE_METHOD;
    if (ask->request->body_bytes != 0)
        return POLICY_STORE_BODY;
    if (status_refused(answer->status))
        return POLICY_STORE_STATUS;
    bool understood = http_status_text(answer->status).len > 0;
    if (c->must_understand && !understood)
        return POLICY_STORE_STATUS;
    policy_control_request(&ask->request->fields, &wish);
    /* 5.2.2.3: a cache that understands the status ignores the no-store beside it. */
    if (wish.no_store || (c->no_store && !c->must_understand))
        return POLICY_STORE_NO_STORE;
    if (c->is_private)
        return POLICY_STORE_PRIVATE;
    if (authorization_refused(ask))
        return POLICY_STORE_AUTHORIZATION;
    if (set_cookie_refused(ask, &strip))
        return POLICY_STORE_SET_COOKIE;
    if (policy_vary_refuses(&answer->fields))
        return POLICY_STORE_VARY;
    if (http_fields_find(&answer->fields, HTTP_NAME_CONTENT_RANGE))
        return POLICY_STORE_PARTIAL;
    if (lifetime_refused(ask))
        return POLICY_STORE_LIFETIME;
    if (url_refused(ask->request))
        return POLICY_STORE_URL;
    *out_strip_cookies = strip;
    return POLICY_STORE_YES;
}
