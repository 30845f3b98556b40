/* cache/memory/budget.h - how much CPU time the encoders may still spend.
 *
 * A bucket of nanoseconds that fills with a share of the time that passes, up to what a second
 * brings. A step may cost more than is left: its debt is waited for before the next one.
 *
 * Units: percent of one CPU, so that 200 are two of them. Thread: under the owner's lock.
 */
#pragma once

#include <stdint.h>

struct memory_budget {
    unsigned percent;
    int64_t left_ns; /* below 0: owed */
    int64_t at_ns;   /* when that was so, monotonic */
};

/* With a full bucket. 0 percent count as 1. */
void memory_budget_init(struct memory_budget *b, unsigned percent, int64_t now_ns);
/* From now on; what is in the bucket stays, as far as it has room. */
void memory_budget_set(struct memory_budget *b, unsigned percent, int64_t now_ns);
/* Takes what a step cost. How long to wait before the next one. */
int64_t memory_budget_spend(struct memory_budget *b, int64_t used_ns, int64_t now_ns);
