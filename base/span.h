/* base/span.h - borrowed bytes: compare, trim, split, to integer.
 *
 * A span owns nothing and has no NUL end. Empty spans may have a NULL ptr.
 * Thread: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

struct span {
    const char *ptr;
    size_t len;
};

/* A string literal as a span. */
#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})
/* printf("%.*s", SPAN_ARG(s)) */
#define SPAN_ARG(s) ((int)(s).len), ((s).ptr ? (s).ptr : "")

static inline struct span span_of(const void *ptr, size_t len)
{
    return (struct span){(const char *)ptr, len};
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

struct span span_text(const char *text);              /* of a C string; NULL: empty */
bool span_equal_nocase(struct span a, struct span b); /* ASCII only */
int span_compare(struct span a, struct span b);       /* as memcmp, shorter first */
bool span_starts(struct span s, struct span prefix);
bool span_ends(struct span s, struct span suffix);
bool span_starts_nocase(struct span s, struct span prefix);
bool span_find(struct span s, char c, size_t *out_at);  /* first c */
bool span_rfind(struct span s, char c, size_t *out_at); /* last c */
bool span_contains(struct span s, struct span part);
struct span span_from(struct span s, size_t at);  /* s[at..]; at <= len */
struct span span_until(struct span s, size_t at); /* s[..at]; at <= len */
struct span span_trim(struct span s);             /* without SP and HTAB at both ends */
/* Cuts the part before the first `sep` off *rest; false when *rest was NULL (all was given).
 * "a,,b" gives "a", "", "b"; "" gives one empty part. */
bool span_split(struct span *rest, char sep, struct span *out_part);
bool span_to_u64(struct span s, uint64_t *out_value); /* digits only, all of s, no overflow */
bool span_hex_to_u64(struct span s, uint64_t *out_value);
bool span_glob(struct span s, struct span pattern); /* '*' = any bytes, also none; no case */
/* Copies into `out` with a NUL end. ERR_LIMIT when len + 1 > room; ERR_SYNTAX when s holds a
 * NUL, which would cut it. For libc's edge only. */
NODISCARD enum err span_copy(struct span s, char *out, size_t room);
char *span_dup(struct span s); /* owned C string; aborts when memory is out */
