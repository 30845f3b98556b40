#include "admin/repeat.h"

#include <stdlib.h>

#include "base/crypto.h"

bool admin_repeat_make(struct span caller, struct span key, struct span body, int64_t now_ms,
                       struct admin_repeat *out)
{
    uint8_t both[64];
    struct admin_repeat made = {.used = true, .at_ms = now_ms};
    if (!key.len || key.len > ADMIN_REPEAT_KEY_BYTES)
        return false;
    must(crypto_sha256(caller, both) == ERR_OK && crypto_sha256(key, both + 32) == ERR_OK);
    must(crypto_sha256(span_of(both, sizeof both), made.key) == ERR_OK);
    must(crypto_sha256(body, made.body) == ERR_OK);
    memcpy(&made.caller, both, sizeof made.caller);
    *out = made;
    return true;
}

const struct admin_repeat *admin_repeat_find(const struct admin_repeats *r,
                                             const struct admin_repeat *like, int64_t now_ms)
{
    for (uint32_t i = 0; i < ADMIN_REPEATS; i++) {
        const struct admin_repeat *kept = &r->at[i];
        if (kept->used && now_ms - kept->at_ms < ADMIN_REPEAT_KEEP_MS &&
            memcmp(kept->key, like->key, sizeof like->key) == 0)
            return kept;
    }
    return NULL;
}

bool admin_repeat_same_body(const struct admin_repeat *a, const struct admin_repeat *b)
{
    return memcmp(a->body, b->body, sizeof a->body) == 0;
}

static bool is_over(const struct admin_repeat *r, int64_t now_ms)
{
    return !r->used || now_ms - r->at_ms >= ADMIN_REPEAT_KEEP_MS;
}

static int by_number(const void *a_, const void *b_)
{
    const uint64_t *a = a_, *b = b_;
    return (*a > *b) - (*a < *b);
}

static uint64_t who_has_most(const struct admin_repeats *r)
{
    uint64_t callers[ADMIN_REPEATS], most = r->at[0].caller;
    for (uint32_t i = 0; i < ADMIN_REPEATS; i++)
        callers[i] = r->at[i].caller;
    qsort(callers, ADMIN_REPEATS, sizeof *callers, by_number);
    for (uint32_t i = 0, longest = 0, run = 1; i < ADMIN_REPEATS; i++, run++) {
        if (i > 0 && callers[i] != callers[i - 1])
            run = 1;
        if (run > longest) {
            longest = run;
            most = callers[i];
        }
    }
    return most;
}

static struct admin_repeat *find_surplus(struct admin_repeats *r)
{
    uint64_t most = who_has_most(r);
    struct admin_repeat *oldest = NULL;
    for (uint32_t i = 0; i < ADMIN_REPEATS; i++)
        if (r->at[i].caller == most && (!oldest || r->at[i].at_ms < oldest->at_ms))
            oldest = &r->at[i];
    return oldest;
}

struct admin_repeat *admin_repeat_keep(struct admin_repeats *r, const struct admin_repeat *made)
{
    struct admin_repeat *place = NULL;
    for (uint32_t i = 0; !place && i < ADMIN_REPEATS; i++)
        if (is_over(&r->at[i], made->at_ms))
            place = &r->at[i];
    if (!place)
        place = find_surplus(r);
    *place = *made;
    return place;
}
