/* admin/repeat.h - Idempotency-Keys, and what became of their calls.
 *
 * A caller that did not hear the answer repeats the call with the same key and gets the first
 * one's answer. Keys are per token; only digests are kept.
 *
 * Thread: control. Owns: nothing.
 * Limits: ADMIN_REPEATS keys, each for ADMIN_REPEAT_KEEP_MS; when all are taken, the oldest of
 *         the caller who has most goes first.
 */
#pragma once

#include "admin/actions.h"

#define ADMIN_REPEATS 1024
#define ADMIN_REPEAT_KEEP_MS 600000
#define ADMIN_REPEAT_KEY_BYTES 255

struct admin_repeat {
    uint8_t key[32], body[32];
    uint64_t caller;
    uint64_t ticket; /* whose end is waited for */
    int64_t at_ms;
    bool used, finished;
    struct admin_purge_done done; /* when finished */
    enum purge_mode mode;
    uint32_t selectors;
};

struct admin_repeats {
    struct admin_repeat at[ADMIN_REPEATS];
};

/* False: the key is empty or too long. */
bool admin_repeat_make(struct span caller, struct span key, struct span body, int64_t now_ms,
                       struct admin_repeat *out);
const struct admin_repeat *admin_repeat_find(const struct admin_repeats *r,
                                             const struct admin_repeat *like, int64_t now_ms);
bool admin_repeat_same_body(const struct admin_repeat *a, const struct admin_repeat *b);
/* Copies it into a place which may be given to another later: compare the ticket before writing
 * to it. */
struct admin_repeat *admin_repeat_keep(struct admin_repeats *r,
                                       const struct admin_repeat *made);
