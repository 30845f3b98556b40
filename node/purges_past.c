#include "node/purges_past.h"

uint64_t purges_past_note(struct purges_past *p, int64_t now_us, uint64_t number)
{
    int64_t second = now_us / 1000000;
    for (unsigned i = 0; !p->from && i < PURGES_PAST_S; i++)
        p->numbers[i] = number;
    if (p->from && second == p->second)
        return p->from;
    uint64_t *then = &p->numbers[second % PURGES_PAST_S];
    p->from = *then;
    *then = number;
    p->second = second;
    return p->from;
}
