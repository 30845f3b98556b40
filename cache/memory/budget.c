#include "cache/memory/budget.h"

#define SECOND_NS INT64_C(1000000000)

static int64_t most_ns(const struct memory_budget *b)
{
    return SECOND_NS / 100 * b->percent;
}

static void fill(struct memory_budget *b, int64_t now_ns)
{
    int64_t passed = now_ns - b->at_ns, most = most_ns(b);
    b->at_ns = now_ns;
    if (passed <= 0)
        return;
    /* After a long rest the product would not fit; it is full anyway unless much is owed. */
    if (passed > 3600 * SECOND_NS)
        passed = 3600 * SECOND_NS;
    b->left_ns += passed / 100 * b->percent;
    if (b->left_ns > most)
        b->left_ns = most;
}

void memory_budget_init(struct memory_budget *b, unsigned percent, int64_t now_ns)
{
    *b = (struct memory_budget){.percent = percent ? percent : 1, .at_ns = now_ns};
    b->left_ns = most_ns(b);
}

void memory_budget_set(struct memory_budget *b, unsigned percent, int64_t now_ns)
{
    fill(b, now_ns);
    b->percent = percent ? percent : 1;
    if (b->left_ns > most_ns(b))
        b->left_ns = most_ns(b);
}

int64_t memory_budget_spend(struct memory_budget *b, int64_t used_ns, int64_t now_ns)
{
    fill(b, now_ns);
    b->left_ns -= used_ns;
    return b->left_ns < 0 ? -b->left_ns * 100 / b->percent : 0;
}
