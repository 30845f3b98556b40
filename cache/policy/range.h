/* cache/policy/range.h - byte ranges: parsing, coalescing, multipart/byteranges.
 *
 * RFC 9110 14. A Range field that is malformed, of another unit or over the cap is ignored
 * (14.2 allows it): a range bomb costs one plain answer. Ranges that overlap or touch are
 * merged, so an answer never carries a byte twice.
 *
 * Units: offsets in bytes, [from, to). Thread: any.
 * Owns: nothing; part heads go into the arena.
 * Limits: POLICY_RANGES_MAX ranges as written.
 */
#pragma once

#include "base/arena.h"

#define POLICY_RANGES_MAX 16
#define POLICY_BOUNDARY_BYTES 24

struct policy_range {
    uint64_t from, to;
};
struct policy_ranges {
    struct policy_range at[POLICY_RANGES_MAX];
    uint32_t count; /* at least 1 with POLICY_RANGE_SOME */
};

enum policy_range_verdict {
    POLICY_RANGE_ALL, /* no usable range: the whole body */
    POLICY_RANGE_SOME,
    POLICY_RANGE_UNSATISFIABLE, /* 416 */
};
/* `value` of the single Range line; `length` of the whole body. */
enum policy_range_verdict policy_range_parse(struct span value, uint64_t length,
                                             struct policy_ranges *out);

/* The body of a 206 with several ranges: part 0 head, its bytes, part 1 head, ..., the end. */
struct policy_multipart {
    const struct policy_ranges *ranges;
    struct span content_type; /* of the whole; empty: none */
    uint64_t length;          /* of the whole */
    char boundary[POLICY_BOUNDARY_BYTES];
};
void policy_range_multipart(struct policy_multipart *m, const struct policy_ranges *ranges,
                            struct span content_type, uint64_t length, uint64_t random);
/* What precedes the bytes of range `part`; part == count: what ends the body. */
bool policy_range_part(const struct policy_multipart *m, uint32_t part, struct arena *a,
                       struct span *out);
uint64_t policy_range_multipart_bytes(const struct policy_multipart *m); /* Content-Length */
/* "multipart/byteranges; boundary=..." */
bool policy_range_multipart_type(const struct policy_multipart *m, struct arena *a,
                                 struct span *out);
/* "bytes 0-99/1000"; range NULL: with an asterisk in its place, for a 416. */
bool policy_range_content_range(const struct policy_range *range, uint64_t length,
                                struct arena *a, struct span *out);
