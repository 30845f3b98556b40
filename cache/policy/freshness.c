#include "cache/policy/freshness.h"

#define GUESS_MAX_S INT64_C(86400) /* ours; 4.2.2 suggests only the tenth */

static int64_t floor_zero(int64_t s)
{
    return s > 0 ? s : 0;
}

int64_t policy_freshness_age_s(const struct policy_facts *f, int64_t now_s)
{
    /* 4.2.3, in its own names. Wall clocks step back, so no term goes below 0. */
    int64_t apparent_age = floor_zero(f->received_at_s - f->date_at_s);
    int64_t response_delay = floor_zero(f->received_at_s - f->requested_at_s);
    int64_t corrected_age = f->age_s + response_delay;
    int64_t resident_time = floor_zero(now_s - f->received_at_s);
    return (apparent_age > corrected_age ? apparent_age : corrected_age) + resident_time;
}

int64_t policy_freshness_lifetime_s(const struct policy_facts *f)
{
    /* 4.2.1: the first that is present wins. */
    if (f->max_age_s != POLICY_NONE)
        return f->max_age_s;
    if (f->expires_at_s != POLICY_NONE)
        return floor_zero(f->expires_at_s - f->date_at_s);
    if (f->modified_at_s == POLICY_NONE)
        return 0;
    int64_t guess = floor_zero(f->date_at_s - f->modified_at_s) / 10;
    return guess < GUESS_MAX_S ? guess : GUESS_MAX_S;
}

int64_t policy_freshness_left_s(const struct policy_facts *f, int64_t now_s)
{
    return policy_freshness_lifetime_s(f) - policy_freshness_age_s(f, now_s);
}

/* What may be done with an object that is stale since `stale_s` seconds. */
static enum policy_reuse reuse_stale(const struct policy_facts *f, const struct policy_wish *w,
                                     int64_t stale_s)
{
    if (f->no_stale) /* 4.2.4: the origin outranks the client's max-stale */
        return POLICY_REUSE_VALIDATE;
    if (!f->windows_only && stale_s <= w->max_stale_s)
        return POLICY_REUSE_FRESH;
    return stale_s <= f->stale_refresh_s ? POLICY_REUSE_REFRESH : POLICY_REUSE_VALIDATE;
}

static bool must_ask(const struct policy_facts *f, const struct policy_wish *w, int64_t age_s)
{
    return f->no_cache || w->no_cache || (w->max_age_s != POLICY_NONE && age_s > w->max_age_s);
}

enum policy_reuse policy_freshness_reuse(const struct policy_facts *f,
                                         const struct policy_wish *w, int64_t now_s)
{
    int64_t age = policy_freshness_age_s(f, now_s);
    int64_t left = policy_freshness_lifetime_s(f) - age; /* fresh while > 0 */

    if (must_ask(f, w, age))
        return POLICY_REUSE_VALIDATE;
    if (left > 0)
        return left >= w->min_fresh_s ? POLICY_REUSE_FRESH : POLICY_REUSE_VALIDATE;
    return reuse_stale(f, w, -left);
}

enum policy_reuse policy_freshness_reuse_purged(const struct policy_facts *f,
                                                const struct policy_wish *w, int64_t now_s)
{
    int64_t age = policy_freshness_age_s(f, now_s);
    int64_t left = policy_freshness_lifetime_s(f) - age;

    /* A client's max-stale says nothing about an operator's purge: no reuse without asking. */
    if (must_ask(f, w, age) || reuse_stale(f, w, floor_zero(-left)) == POLICY_REUSE_VALIDATE ||
        floor_zero(-left) > f->stale_refresh_s)
        return POLICY_REUSE_VALIDATE;
    return POLICY_REUSE_REFRESH;
}

bool policy_freshness_stale_if_error(const struct policy_facts *f, const struct policy_wish *w,
                                     int64_t grace_s, int64_t now_s)
{
    int64_t stale = floor_zero(-policy_freshness_left_s(f, now_s));

    if (f->no_cache || f->no_stale)
        return false;
    if (stale <= f->stale_error_s || stale <= f->stale_refresh_s)
        return true;
    return !f->windows_only && (stale <= grace_s || stale <= w->stale_error_s);
}

int64_t policy_freshness_dead_at_s(const struct policy_facts *f, int64_t grace_s)
{
    int64_t fresh_until = f->received_at_s + policy_freshness_left_s(f, f->received_at_s);
    int64_t window = floor_zero(f->stale_refresh_s);

    if (f->no_stale || f->no_cache)
        return fresh_until;
    if (f->stale_error_s > window)
        window = f->stale_error_s;
    if (!f->windows_only && grace_s > window)
        window = grace_s;
    return fresh_until + window;
}
