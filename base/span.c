#include "base/span.h"

#include <stdlib.h>

static unsigned char lower(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? (unsigned char)(u | 0x20) : u;
}

struct span span_text(const char *text)
{
    return span_of(text, text ? strlen(text) : 0);
}

bool span_equal_nocase(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    }
    return true;
}

int span_compare(struct span a, struct span b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
    if (order)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

bool span_starts(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_equal(span_of(s.ptr, prefix.len), prefix);
}

bool span_ends(struct span s, struct span suffix)
{
    return s.len >= suffix.len && span_equal(span_from(s, s.len - suffix.len), suffix);
}

bool span_starts_nocase(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_equal_nocase(span_of(s.ptr, prefix.len), prefix);
}

bool span_find(struct span s, char c, size_t *out_at)
{
    const char *hit = s.len ? memchr(s.ptr, c, s.len) : NULL;
    if (!hit)
        return false;
    *out_at = (size_t)(hit - s.ptr);
    return true;
}

bool span_rfind(struct span s, char c, size_t *out_at)
{
    const char *hit = s.len ? memrchr(s.ptr, c, s.len) : NULL;
    if (!hit)
        return false;
    *out_at = (size_t)(hit - s.ptr);
    return true;
}

bool span_contains(struct span s, struct span part)
{
    if (part.len == 0)
        return true;
    return s.len && memmem(s.ptr, s.len, part.ptr, part.len) != NULL;
}

struct span span_from(struct span s, size_t at)
{
    must(at <= s.len);
    return span_of(s.ptr ? s.ptr + at : NULL, s.len - at);
}

struct span span_until(struct span s, size_t at)
{
    must(at <= s.len);
    return span_of(s.ptr, at);
}

struct span span_trim(struct span s)
{
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = span_of(s.ptr + 1, s.len - 1);
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

bool span_split(struct span *rest, char sep, struct span *out_part)
{
    size_t at;
    if (!rest->ptr)
        return false;
    if (span_find(*rest, sep, &at)) {
        *out_part = span_until(*rest, at);
        *rest = span_from(*rest, at + 1);
    } else {
        *out_part = *rest;
        *rest = span_of(NULL, 0);
    }
    return true;
}

bool span_to_u64(struct span s, uint64_t *out_value)
{
    uint64_t value = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        unsigned digit = (unsigned)(s.ptr[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out_value = value;
    return true;
}

bool span_hex_to_u64(struct span s, uint64_t *out_value)
{
    uint64_t value = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = lower(s.ptr[i]);
        unsigned digit;
        if (c >= '0' && c <= '9')
            digit = c - '0';
        else if (c >= 'a' && c <= 'f')
            digit = c - 'a' + 10u;
        else
            return false;
        if (value >> 60)
            return false;
        value = value << 4 | digit;
    }
    *out_value = value;
    return true;
}

/* Only the last '*' needs a way back: whatever an earlier one took, a later one can take too.
 */
bool span_glob(struct span s, struct span pattern)
{
    size_t si = 0, pi = 0, star_s = 0, star_p = SIZE_MAX;
    while (si < s.len) {
        if (pi < pattern.len && pattern.ptr[pi] == '*') {
            star_p = pi++;
            star_s = si;
        } else if (pi < pattern.len && lower(pattern.ptr[pi]) == lower(s.ptr[si])) {
            pi++;
            si++;
        } else if (star_p != SIZE_MAX) {
            pi = star_p + 1;
            si = ++star_s;
        } else {
            return false;
        }
    }
    while (pi < pattern.len && pattern.ptr[pi] == '*')
        pi++;
    return pi == pattern.len;
}

enum err span_copy(struct span s, char *out, size_t room)
{
    if (s.len >= room)
        return ERR_LIMIT;
    if (s.len && memchr(s.ptr, 0, s.len))
        return ERR_SYNTAX;
    if (s.len)
        memcpy(out, s.ptr, s.len);
    out[s.len] = 0;
    return ERR_OK;
}

char *span_dup(struct span s)
{
    char *text = must_alloc(s.len + 1);
    if (s.len)
        memcpy(text, s.ptr, s.len);
    return text;
}
