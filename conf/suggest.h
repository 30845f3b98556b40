/* conf/suggest.h - which known word was probably meant?
 *
 * Nearest by edit distance (insert, drop, change, swap of neighbours), no case; a word counts
 * as near when a third of it, and at most 3 letters, differ.
 * Thread: any. Limits: words over CONF_SUGGEST_WORD_MAX bytes are near to nothing.
 */
#pragma once

#include "base/span.h"

#define CONF_SUGGEST_WORD_MAX 40

/* Offered words one by one; `best` stays empty when none is near. */
struct conf_suggest {
    struct span word, best;
    unsigned best_distance;
};

void conf_suggest_init(struct conf_suggest *s, struct span word);
void conf_suggest_offer(struct conf_suggest *s, struct span known); /* borrowed while s lives */
