#include "admin/repeat.h"

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

struct admin_repeat *admin_repeat_keep(struct admin_repeats *r, const struct admin_repeat *made)
{
    struct admin_repeat *place = &r->at[r->next];
    r->next = (r->next + 1) % ADMIN_REPEATS;
    *place = *made;
    return place;
}
