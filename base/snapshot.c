#include "base/snapshot.h"

void snapshot_init(struct snapshot *s, void (*destroy)(struct snapshot *s))
{
    atomic_init(&s->holders, 1);
    s->destroy = destroy;
}

void snapshot_hold(struct snapshot *s)
{
    int before = atomic_fetch_add_explicit(&s->holders, 1, memory_order_relaxed);
    must(before > 0);
}

void snapshot_drop(struct snapshot *s)
{
    if (!s)
        return;
    /* acq_rel: what every holder did with the value happens before its end. */
    int before = atomic_fetch_sub_explicit(&s->holders, 1, memory_order_acq_rel);
    must(before > 0);
    if (before == 1)
        s->destroy(s);
}
