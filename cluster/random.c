#include "cluster/random.h"

#include "base/err.h"

#define STEP UINT64_C(6364136223846793005)
#define STREAM UINT64_C(1442695040888963407)

void cluster_random_seed(struct cluster_random *r, uint64_t seed)
{
    r->state = STREAM + seed;
    (void)cluster_random_u32(r);
}

uint32_t cluster_random_u32(struct cluster_random *r)
{
    uint64_t old = r->state;
    r->state = old * STEP + STREAM;
    uint32_t shifted = (uint32_t)(((old >> 18) ^ old) >> 27);
    unsigned turn = (unsigned)(old >> 59);
    return shifted >> turn | shifted << (-turn & 31);
}

uint32_t cluster_random_below(struct cluster_random *r, uint32_t bound)
{
    must(bound > 0);
    /* The lowest 2^32 mod bound numbers would make some answers likelier. */
    uint32_t least = -bound % bound;
    uint32_t value;
    do
        value = cluster_random_u32(r);
    while (value < least);
    return value % bound;
}
