#include "cluster/suspicion.h"

#include <math.h>

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t cluster_suspicion_min_us(const struct cluster_suspicion_rule *rule, uint32_t members)
{
    double scale = fmax(1.0, log10(fmax(1.0, members)));
    return (int64_t)rule->mult * (int64_t)(scale * 1000) * rule->probe_interval_us / 1000;
}

void cluster_suspicion_start(struct cluster_suspicion *s,
                             const struct cluster_suspicion_rule *rule, uint32_t members,
                             uint64_t accuser, int64_t now_us)
{
    /* Two short of the multiple: the probe intervals that it takes others to notice, too. */
    uint32_t wanted = rule->confirm && rule->mult > 2 ? rule->mult - 2 : 0;
    wanted = (uint32_t)least(wanted, CLUSTER_SUSPICION_CONFIRM);
    /* The suspect and this node do not confirm. */
    if (members < wanted + 2)
        wanted = 0;
    int64_t min_us = cluster_suspicion_min_us(rule, members);
    *s = (struct cluster_suspicion){
        .from_us = now_us,
        .min_us = min_us,
        .max_us = min_us * rule->max_mult,
        .wanted = wanted,
        .accusers = {accuser},
    };
}

bool cluster_suspicion_confirm(struct cluster_suspicion *s, uint64_t accuser)
{
    if (s->confirmed >= s->wanted)
        return false;
    for (uint32_t i = 0; i <= s->confirmed; i++)
        if (s->accusers[i] == accuser)
            return false;
    s->accusers[++s->confirmed] = accuser;
    return true;
}

int64_t cluster_suspicion_deadline_us(const struct cluster_suspicion *s)
{
    if (s->wanted == 0)
        return s->from_us + s->min_us;
    double part = log(s->confirmed + 1.0) / log(s->wanted + 1.0);
    double left_us = (double)s->max_us - part * (double)(s->max_us - s->min_us);
    int64_t whole_us = (int64_t)floor(left_us / 1000) * 1000;
    return s->from_us + (whole_us > s->min_us ? whole_us : s->min_us);
}
