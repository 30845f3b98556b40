#include "cache/policy/range.h"

#include <stdio.h>

/* Digits only; numbers too large for 64 bits mean "past any end". */
static bool parse_offset(struct span s, uint64_t *out)
{
    uint64_t value = 0;
    if (!s.len)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        unsigned digit = (unsigned)(s.ptr[i] - '0');
        value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
    }
    *out = value;
    return true;
}

enum spec { SPEC_BAD, SPEC_MISSES, SPEC_HITS };

/* One "first-last", "first-" or "-suffix" (14.1.2). */
static enum spec parse_spec(struct span spec, uint64_t length, struct policy_range *out)
{
    size_t at;
    uint64_t first, last = UINT64_MAX;
    if (!span_find(spec, '-', &at))
        return SPEC_BAD;
    struct span before = span_until(spec, at), after = span_from(spec, at + 1);
    if (!before.len) {
        if (!parse_offset(after, &last))
            return SPEC_BAD;
        if (!last || !length)
            return SPEC_MISSES;
        *out = (struct policy_range){last < length ? length - last : 0, length};
        return SPEC_HITS;
    }
    if (!parse_offset(before, &first) || (after.len && !parse_offset(after, &last)) ||
        first > last)
        return SPEC_BAD;
    if (first >= length)
        return SPEC_MISSES;
    *out = (struct policy_range){first, last < length ? last + 1 : length};
    return SPEC_HITS;
}

/* Merges ranges that overlap or touch into the earlier named one, until none do. */
static void coalesce(struct policy_ranges *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        for (uint32_t k = i + 1; k < r->count;) {
            struct policy_range *a = &r->at[i], *b = &r->at[k];
            if (a->from > b->to || b->from > a->to) {
                k++;
                continue;
            }
            a->from = a->from < b->from ? a->from : b->from;
            a->to = a->to > b->to ? a->to : b->to;
            memmove(b, b + 1, (r->count - k - 1) * sizeof *b);
            r->count--;
            k = i + 1; /* the grown one may reach others now */
        }
}

enum policy_range_verdict policy_range_parse(struct span value, uint64_t length,
                                             struct policy_ranges *out)
{
    struct policy_ranges ranges = {.count = 0};
    uint32_t seen = 0;
    struct span spec;
    if (!span_starts_nocase(value, SPAN("bytes=")))
        return POLICY_RANGE_ALL;
    struct span rest = span_from(value, 6);
    while (span_split(&rest, ',', &spec)) {
        spec = span_trim(spec);
        if (!spec.len)
            continue;
        if (++seen > POLICY_RANGES_MAX)
            return POLICY_RANGE_ALL;
        switch (parse_spec(spec, length, &ranges.at[ranges.count])) {
        case SPEC_BAD:
            return POLICY_RANGE_ALL;
        case SPEC_HITS:
            ranges.count++;
            break;
        case SPEC_MISSES:
            break;
        }
    }
    if (!seen || !length) /* nothing named; or of nothing no part can be named */
        return POLICY_RANGE_ALL;
    if (!ranges.count)
        return POLICY_RANGE_UNSATISFIABLE;
    coalesce(&ranges);
    *out = ranges;
    return POLICY_RANGE_SOME;
}

void policy_range_multipart(struct policy_multipart *m, const struct policy_ranges *ranges,
                            struct span content_type, uint64_t length, uint64_t random)
{
    char text[POLICY_BOUNDARY_BYTES + 1];
    _Static_assert(POLICY_BOUNDARY_BYTES == 8 + 16, "the prefix and 64 bits in hex");
    snprintf(text, sizeof text, "perigee-%016llx", (unsigned long long)random);
    m->ranges = ranges;
    m->content_type = content_type;
    m->length = length;
    memcpy(m->boundary, text, sizeof m->boundary);
}

bool policy_range_part(const struct policy_multipart *m, uint32_t part, struct arena *a,
                       struct span *out)
{
    const char *lead = part ? "\r\n" : "";
    if (part == m->ranges->count)
        return arena_printf(a, out, "\r\n--%.*s--\r\n", POLICY_BOUNDARY_BYTES, m->boundary);
    must(part < m->ranges->count);
    const struct policy_range *r = &m->ranges->at[part];
    return arena_printf(a, out,
                        "%s--%.*s\r\n%s%.*s%sContent-Range: bytes %llu-%llu/%llu\r\n\r\n", lead,
                        POLICY_BOUNDARY_BYTES, m->boundary,
                        m->content_type.len ? "Content-Type: " : "", SPAN_ARG(m->content_type),
                        m->content_type.len ? "\r\n" : "", (unsigned long long)r->from,
                        (unsigned long long)r->to - 1, (unsigned long long)m->length);
}

static uint64_t digits(uint64_t value)
{
    uint64_t count = 1;
    for (; value >= 10; value /= 10)
        count++;
    return count;
}

uint64_t policy_range_multipart_bytes(const struct policy_multipart *m)
{
    const uint64_t boundary = POLICY_BOUNDARY_BYTES;
    uint64_t type =
        m->content_type.len ? sizeof "Content-Type: \r\n" - 1 + m->content_type.len : 0;
    uint64_t total = sizeof "\r\n----\r\n" - 1 + boundary; /* the end */
    for (uint32_t i = 0; i < m->ranges->count; i++) {
        const struct policy_range *r = &m->ranges->at[i];
        total += (i ? 2u : 0u) + 2 + boundary + 2 + type;
        total += sizeof "Content-Range: bytes -/\r\n\r\n" - 1;
        total += digits(r->from) + digits(r->to - 1) + digits(m->length);
        total += r->to - r->from;
    }
    return total;
}

bool policy_range_multipart_type(const struct policy_multipart *m, struct arena *a,
                                 struct span *out)
{
    return arena_printf(a, out, "multipart/byteranges; boundary=%.*s", POLICY_BOUNDARY_BYTES,
                        m->boundary);
}

bool policy_range_content_range(const struct policy_range *range, uint64_t length,
                                struct arena *a, struct span *out)
{
    if (!range)
        return arena_printf(a, out, "bytes */%llu", (unsigned long long)length);
    return arena_printf(a, out, "bytes %llu-%llu/%llu", (unsigned long long)range->from,
                        (unsigned long long)range->to - 1, (unsigned long long)length);
}
