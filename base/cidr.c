#include "base/cidr.h"

#include <endian.h>
#include <stdlib.h>

#define DEPTH_MAX 129 /* prefixes of one family around one address: 0..128 bits */

/* An address as a number: IPv4 in the upper 32 bits of hi. */
struct number {
    uint64_t hi, lo;
};
struct range { /* from here up to the next range */
    struct number start;
    uint32_t value;
    bool held;
};
struct family {
    struct range *ranges;
    size_t count;
};
struct cidr {
    struct family v4, v6;
};

static struct number number_of(const struct addr *a)
{
    uint64_t halves[2] = {0, 0};
    memcpy(halves, a->ip, a->family == ADDR_V4 ? 4 : 16);
    return (struct number){be64toh(halves[0]), be64toh(halves[1])};
}

static int compare(struct number a, struct number b)
{
    if (a.hi != b.hi)
        return a.hi < b.hi ? -1 : 1;
    return (a.lo > b.lo) - (a.lo < b.lo);
}

/* The first number after the prefix; false when it ends with the last address. */
static bool after(const struct addr_prefix *p, struct number *out)
{
    struct number n = number_of(&p->addr);
    if (p->bits == 0)
        return false;
    if (p->bits <= 64) {
        uint64_t step = UINT64_C(1) << (64 - p->bits);
        out->lo = 0;
        out->hi = n.hi + step;
        return out->hi != 0;
    }
    uint64_t step = UINT64_C(1) << (128 - p->bits);
    out->lo = n.lo + step;
    out->hi = n.hi + (out->lo == 0);
    return out->lo != 0 || out->hi != 0;
}

/* By first address, the wider prefix first, then in the order of the list. */
static int by_start(const void *a, const void *b)
{
    const struct cidr_entry *x = *(const struct cidr_entry *const *)a;
    const struct cidr_entry *y = *(const struct cidr_entry *const *)b;
    int order = compare(number_of(&x->prefix.addr), number_of(&y->prefix.addr));
    if (order)
        return order;
    if (x->prefix.bits != y->prefix.bits)
        return x->prefix.bits < y->prefix.bits ? -1 : 1;
    return (x > y) - (x < y);
}

/* From `start` on it is `value`, or nothing. What began at the same place is written over. */
static void put(struct family *f, struct number start, bool held, uint32_t value)
{
    if (f->count && compare(f->ranges[f->count - 1].start, start) == 0)
        f->count--;
    f->ranges[f->count++] = (struct range){.start = start, .value = value, .held = held};
}

/* Ends the open prefixes that end at or before `limit` (NULL: all); what is around them goes
 * on. */
static void close_until(struct family *f, const struct cidr_entry **open, size_t *depth,
                        const struct number *limit)
{
    struct number end;
    while (*depth) {
        bool ends = after(&open[*depth - 1]->prefix, &end);
        if (limit && (!ends || compare(end, *limit) > 0))
            return;
        --*depth;
        if (ends && *depth)
            put(f, end, true, open[*depth - 1]->value);
        else if (ends)
            put(f, end, false, 0);
    }
}

static void build(struct family *f, const struct cidr_entry *list, size_t count, uint8_t which)
{
    const struct cidr_entry **sorted = must_alloc(count * sizeof(struct cidr_entry *));
    const struct cidr_entry *open[DEPTH_MAX];
    size_t kept = 0, depth = 0;
    for (size_t i = 0; i < count; i++) {
        if (list[i].prefix.addr.family == which)
            sorted[kept++] = &list[i];
    }
    qsort(sorted, kept, sizeof(struct cidr_entry *), by_start);
    f->ranges = must_alloc((2 * kept + 1) * sizeof(*f->ranges));
    for (size_t i = 0; i < kept; i++) {
        struct number start = number_of(&sorted[i]->prefix.addr);
        close_until(f, open, &depth, &start);
        if (depth && open[depth - 1]->prefix.bits == sorted[i]->prefix.bits)
            depth--; /* the same prefix again */
        put(f, start, true, sorted[i]->value);
        must(depth < DEPTH_MAX);
        open[depth++] = sorted[i];
    }
    close_until(f, open, &depth, NULL);
    free(sorted);
}

struct cidr *cidr_create(const struct cidr_entry *list, size_t count)
{
    struct cidr *c = must_alloc(sizeof(*c));
    build(&c->v4, list, count, ADDR_V4);
    build(&c->v6, list, count, ADDR_V6);
    return c;
}

struct cidr *cidr_create_set(const struct addr_prefix *list, size_t count)
{
    struct cidr_entry *entries = must_alloc(count * sizeof(*entries));
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct cidr_entry){.prefix = list[i], .value = (uint32_t)i};
    struct cidr *c = cidr_create(entries, count);
    free(entries);
    return c;
}

void cidr_destroy(struct cidr *c)
{
    if (!c)
        return;
    free(c->v4.ranges);
    free(c->v6.ranges);
    free(c);
}

bool cidr_find(const struct cidr *c, const struct addr *a, uint32_t *out_value)
{
    if (a->family == ADDR_NONE)
        return false;
    const struct family *f = a->family == ADDR_V4 ? &c->v4 : &c->v6;
    struct number n = number_of(a);
    size_t low = 0, high = f->count; /* the last range that starts at or before n */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(f->ranges[middle].start, n) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || !f->ranges[low - 1].held)
        return false;
    *out_value = f->ranges[low - 1].value;
    return true;
}

bool cidr_holds(const struct cidr *c, const struct addr *a)
{
    uint32_t value;
    return cidr_find(c, a, &value);
}
