/* tests/fuzz/cache/policy/range_fuzz.c - any Range value against any length.
 *
 * The first eight octets are the length. Checked: ranges lie inside the body, do not touch one
 * another, and the multipart body is as long as announced.
 */
#include <stdlib.h>

#include "cache/policy/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition)
        abort();
}

static void check_ranges(const struct policy_ranges *r, uint64_t length)
{
    check(r->count >= 1 && r->count <= POLICY_RANGES_MAX);
    for (uint32_t i = 0; i < r->count; i++) {
        check(r->at[i].from < r->at[i].to && r->at[i].to <= length);
        for (uint32_t k = 0; k < i; k++)
            check(r->at[k].to < r->at[i].from || r->at[i].to < r->at[k].from);
    }
}

static void check_multipart(const struct policy_ranges *r, uint64_t length)
{
    struct arena a;
    struct policy_multipart m;
    struct span text;
    uint64_t total = 0;
    arena_init(&a, 65536);
    policy_range_multipart(&m, r, SPAN("text/plain"), length, length);
    for (uint32_t i = 0; i <= r->count; i++) {
        check(policy_range_part(&m, i, &a, &text));
        total += text.len + (i < r->count ? r->at[i].to - r->at[i].from : 0);
    }
    check(total == policy_range_multipart_bytes(&m));
    arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy_ranges ranges;
    uint64_t length = 0;
    if (size < sizeof length)
        return 0;
    for (size_t i = 0; i < sizeof length; i++)
        length = length << 8 | data[i];
    /* both the raw value and one that begins as a range does */
    char value[512] = "bytes=";
    size_t rest = size - 8 < sizeof value - 6 ? size - 8 : sizeof value - 6;
    memcpy(value + 6, data + 8, rest);
    (void)policy_range_parse(span_of(data + 8, size - 8), length, &ranges);
    if (policy_range_parse(span_of(value, rest + 6), length, &ranges) != POLICY_RANGE_SOME)
        return 0;
    check_ranges(&ranges, length);
    check_multipart(&ranges, length);
    return 0;
}
