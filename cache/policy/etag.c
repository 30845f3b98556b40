#include "cache/policy/etag.h"

bool policy_etag_is_weak(struct span etag)
{
    return span_starts(etag, SPAN("W/"));
}

/* Not base's list walk: in an entity tag a backslash escapes nothing (8.8.3). */
bool policy_etag_next(struct span *rest, struct span *out)
{
    while (rest->len && (rest->ptr[0] == ',' || rest->ptr[0] == ' ' || rest->ptr[0] == '\t'))
        *rest = span_from(*rest, 1);
    if (!rest->len)
        return false;
    size_t at = policy_etag_is_weak(*rest) ? 2 : 0, end;
    if (at < rest->len && rest->ptr[at] == '"' &&
        span_find(span_from(*rest, at + 1), '"', &end))
        at += end + 2;
    else if (!span_find(*rest, ',', &at))
        at = rest->len;
    *out = span_trim(span_until(*rest, at));
    *rest = span_from(*rest, at);
    return true;
}

static struct span without_weakness(struct span etag)
{
    return policy_etag_is_weak(etag) ? span_from(etag, 2) : etag;
}

bool policy_etag_opaque(struct span etag, struct span *out)
{
    size_t end;
    etag = without_weakness(etag);
    if (!span_starts(etag, SPAN("\"")) || !span_find(span_from(etag, 1), '"', &end) ||
        end + 2 != etag.len)
        return false;
    *out = span_of(etag.ptr + 1, end);
    return true;
}

bool policy_etag_weak_equal(struct span a, struct span b)
{
    a = without_weakness(a);
    b = without_weakness(b);
    return a.len && span_equal(a, b);
}

bool policy_etag_strong_equal(struct span a, struct span b)
{
    return a.len && !policy_etag_is_weak(a) && span_equal(a, b);
}
