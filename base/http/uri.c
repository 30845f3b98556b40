#include "base/http/uri.h"

#include "base/addr.h"

#define HOST_BYTES_MAX 255

enum octet {
    OCTET_BAD,        /* control, space, '#', '\\', DEL, non-ASCII */
    OCTET_PLAIN,      /* kept as it is, and kept escaped when it is escaped */
    OCTET_UNRESERVED, /* RFC 3986 2.3: escaped or not, it is the same */
};

static enum octet octet_kind(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
        c == '-' || c == '.' || c == '_' || c == '~')
        return OCTET_UNRESERVED;
    return c <= ' ' || c >= 0x7f || c == '#' || c == '\\' ? OCTET_BAD : OCTET_PLAIN;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Checks a path or query; *out_same is false when it has to be rewritten. */
static bool check(struct span s, bool *out_same)
{
    bool same = true;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '%') {
            int high = i + 2 < s.len ? hex_value(s.ptr[i + 1]) : -1;
            int low = i + 2 < s.len ? hex_value(s.ptr[i + 2]) : -1;
            if (high < 0 || low < 0 || (high == 0 && low == 0))
                return false;
            same = false;
        } else if (c == '.' && i > 0 && s.ptr[i - 1] == '/') {
            same = false;
        } else if (octet_kind((unsigned char)c) == OCTET_BAD) {
            return false;
        }
    }
    *out_same = same;
    return true;
}

/* Decodes escapes of unreserved octets and upper-cases the others; never longer than s. */
static size_t normalise_escapes(struct span s, char *to)
{
    static const char digits[] = "0123456789ABCDEF";
    char *begin = to;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '%') {
            *to++ = s.ptr[i];
            continue;
        }
        int high = hex_value(s.ptr[i + 1]), low = hex_value(s.ptr[i + 2]);
        unsigned char c = (unsigned char)(high * 16 + low);
        i += 2;
        if (octet_kind(c) == OCTET_UNRESERVED) {
            *to++ = (char)c;
        } else {
            *to++ = '%';
            *to++ = digits[high];
            *to++ = digits[low];
        }
    }
    return (size_t)(to - begin);
}

/* How long is the slash at `at`: 1, 3 when it (or a backslash) is escaped; 0: none. */
static size_t slash_bytes(struct span path, size_t at)
{
    struct span rest = span_from(path, at);
    if (span_starts(rest, SPAN("/")))
        return 1;
    return span_starts(rest, SPAN("%2F")) || span_starts(rest, SPAN("%5C")) ? 3 : 0;
}

/* Is there a dot segment that remove_dots will not see, and that an origin may: beside an
 * escaped slash, or with a parameter ("..;x")? `path` begins with '/', escapes are normalised.
 */
static bool hides_dots(struct span path)
{
    size_t before = 1; /* the slash in front of the segment that begins at `at` */
    for (size_t at = 1; at <= path.len;) {
        size_t end = at, after = 0;
        while (end < path.len && (after = slash_bytes(path, end)) == 0)
            end++;
        size_t dots = 0, name = end - at;
        while (dots < name && dots < 3 && path.ptr[at + dots] == '.')
            dots++;
        bool bare = dots == name, parameter = dots < name && path.ptr[at + dots] == ';';
        if ((dots == 1 || dots == 2) && (parameter || (bare && (before > 1 || after > 1))))
            return true;
        before = after;
        at = end + (after ? after : 1);
    }
    return false;
}

/* RFC 3986 5.2.4 in place, for a path that begins with '/'. Returns the new length. */
static size_t remove_dots(char *path, size_t len)
{
    size_t from = 0, to = 0;
    while (from < len) {
        size_t end = from + 1; /* a segment with its slash: [from, end) */
        while (end < len && path[end] != '/')
            end++;
        size_t name = end - from - 1;
        bool one = name == 1 && path[from + 1] == '.';
        bool two = name == 2 && path[from + 1] == '.' && path[from + 2] == '.';
        if (two) {
            while (to > 0 && path[to - 1] != '/')
                to--;
            to -= to > 0;
        }
        if (!one && !two) {
            memmove(path + to, path + from, end - from);
            to += end - from;
        } else if (end == len) {
            path[to++] = '/';
        }
        from = end;
    }
    return to;
}

static enum err normalise(struct span s, bool path, struct arena *a, struct span *out)
{
    bool same;
    if (!check(s, &same))
        return ERR_SYNTAX;
    if (same) {
        *out = s;
        return ERR_OK;
    }
    char *to = arena_alloc(a, s.len);
    if (!to)
        return ERR_LIMIT;
    size_t len = normalise_escapes(s, to);
    if (path && hides_dots(span_of(to, len)))
        return ERR_SYNTAX;
    *out = span_of(to, path ? remove_dots(to, len) : len);
    return ERR_OK;
}

enum err http_uri_parse_target(struct span target, struct arena *a, struct http_uri *out)
{
    struct http_uri u = {0};
    size_t mark;
    if (target.len == 0 || target.ptr[0] != '/')
        return ERR_SYNTAX;
    u.path = target;
    u.has_query = span_find(target, '?', &mark);
    if (u.has_query) {
        u.path = span_until(target, mark);
        u.query = span_from(target, mark + 1);
    }
    enum err e = normalise(u.path, true, a, &u.path);
    if (e == ERR_OK)
        e = normalise(u.query, false, a, &u.query);
    if (e == ERR_OK)
        *out = u;
    return e;
}

/* The stored length of "https://" or "http://" at the front; 0: neither. */
static size_t scheme_bytes(struct span text, struct span *out_scheme)
{
    if (span_starts_nocase(text, SPAN("http://"))) {
        *out_scheme = SPAN("http");
        return 7;
    }
    if (span_starts_nocase(text, SPAN("https://"))) {
        *out_scheme = SPAN("https");
        return 8;
    }
    return 0;
}

/* "authority/path?query": what follows "scheme://". */
static enum err parse_after_scheme(struct span rest, struct arena *a, struct http_uri *u)
{
    size_t end = 0;
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
        end++;
    struct span target = span_from(rest, end);
    struct http_uri part;
    enum err e = http_uri_parse_authority(span_until(rest, end), a, &u->host, &u->port);
    if (e != ERR_OK)
        return e;
    if (target.len == 0 || target.ptr[0] == '?') {
        char *to = arena_alloc(a, target.len + 1);
        if (!to)
            return ERR_LIMIT;
        to[0] = '/';
        if (target.len > 0)
            memcpy(to + 1, target.ptr, target.len);
        target = span_of(to, target.len + 1);
    }
    e = http_uri_parse_target(target, a, &part);
    if (e == ERR_OK) {
        u->path = part.path;
        u->query = part.query;
        u->has_query = part.has_query;
    }
    return e;
}

enum err http_uri_parse_absolute(struct span text, struct arena *a, struct http_uri *out)
{
    struct http_uri u = {0};
    size_t begin = scheme_bytes(text, &u.scheme);
    if (begin == 0)
        return ERR_SYNTAX;
    enum err e = parse_after_scheme(span_from(text, begin), a, &u);
    if (e == ERR_OK)
        *out = u;
    return e;
}

/* "[...]": an IPv6 address; zones and IPvFuture are refused. */
static bool is_bracketed(struct span host)
{
    struct addr address;
    if (host.len < 4 || host.ptr[host.len - 1] != ']')
        return false;
    struct span inside = span_of(host.ptr + 1, host.len - 2);
    for (size_t i = 0; i < inside.len; i++) {
        if (hex_value(inside.ptr[i]) < 0 && inside.ptr[i] != ':' && inside.ptr[i] != '.')
            return false;
    }
    return memchr(inside.ptr, ':', inside.len) && addr_parse(inside, &address) == ERR_OK;
}

/* A name or IPv4 address: letters, digits, '-', '_', and dots between labels (one more dot may
 * end it). RFC 3986 would also allow sub-delims and escapes; no such name can be looked up, and
 * they have been used to make two readers disagree, so they are refused. */
static bool is_name(struct span host)
{
    char before = '.';
    if (host.len == 0 || host.len > HOST_BYTES_MAX)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        bool word = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        word = word || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!word && (c != '.' || before == '.'))
            return false;
        before = c;
    }
    return true;
}

static bool parse_port(struct span text, uint16_t *out)
{
    uint64_t port = 0;
    if (text.len == 0) {
        *out = 0; /* "host:" (RFC 3986 3.2.3) */
        return true;
    }
    if (text.len > 5 || !span_to_u64(text, &port) || port == 0 || port > 65535)
        return false;
    *out = (uint16_t)port;
    return true;
}

static bool lower_case(struct span s, struct arena *a, struct span *out)
{
    size_t i = 0;
    while (i < s.len && !(s.ptr[i] >= 'A' && s.ptr[i] <= 'Z'))
        i++;
    if (i == s.len) {
        *out = s;
        return true;
    }
    char *to = arena_alloc(a, s.len);
    if (!to)
        return false;
    for (i = 0; i < s.len; i++)
        to[i] = (char)(s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? s.ptr[i] | 0x20 : s.ptr[i]);
    *out = span_of(to, s.len);
    return true;
}

enum err http_uri_parse_authority(struct span text, struct arena *a, struct span *out_host,
                                  uint16_t *out_port)
{
    struct span host = text;
    uint16_t port = 0;
    size_t colon;
    bool bracket = text.len > 0 && text.ptr[0] == '[';
    if (span_rfind(text, ':', &colon) &&
        !(bracket && text.ptr[text.len - 1] == ']')) { /* not a colon of the address */
        host = span_until(text, colon);
        if (!parse_port(span_from(text, colon + 1), &port))
            return ERR_SYNTAX;
    }
    if (bracket ? !is_bracketed(host) : !is_name(host))
        return ERR_SYNTAX;
    if (span_ends(host, SPAN("."))) /* RFC 3986 3.2.2: the root, and the same name */
        host.len--;
    if (host.len == 0)
        return ERR_SYNTAX;
    if (!lower_case(host, a, &host))
        return ERR_LIMIT;
    *out_host = host;
    *out_port = port;
    return ERR_OK;
}

/* RFC 3986 5.2.3: the reference in place of the base path's last segment. */
static enum err resolve_relative(const struct http_uri *base, struct span reference,
                                 struct arena *a, struct http_uri *part)
{
    size_t slash = 0;
    if (!span_rfind(base->path, '/', &slash))
        return ERR_SYNTAX;
    char *to = arena_alloc(a, slash + 1 + reference.len);
    if (!to)
        return ERR_LIMIT;
    memcpy(to, base->path.ptr, slash + 1);
    memcpy(to + slash + 1, reference.ptr, reference.len);
    return http_uri_parse_target(span_of(to, slash + 1 + reference.len), a, part);
}

/* Does the reference begin with "scheme:"? (A colon before any '/' or '?'.) */
static bool has_scheme(struct span reference)
{
    for (size_t i = 0; i < reference.len; i++) {
        char c = reference.ptr[i];
        if (c == '/' || c == '?')
            return false;
        if (c == ':')
            return true;
    }
    return false;
}

enum err http_uri_resolve(const struct http_uri *base, struct span reference, struct arena *a,
                          struct http_uri *out)
{
    struct http_uri u = *base, part;
    size_t at;
    enum err e;
    if (span_find(reference, '#', &at))
        reference = span_until(reference, at);
    if (has_scheme(reference))
        return http_uri_parse_absolute(reference, a, out);
    if (span_starts(reference, SPAN("//"))) {
        e = parse_after_scheme(span_from(reference, 2), a, &u);
        if (e == ERR_OK)
            *out = u;
        return e;
    }
    part = u;
    if (reference.len == 0) {
        e = ERR_OK;
    } else if (reference.ptr[0] == '?') {
        part.has_query = true;
        e = normalise(span_from(reference, 1), false, a, &part.query);
    } else if (reference.ptr[0] == '/') {
        e = http_uri_parse_target(reference, a, &part);
    } else {
        e = resolve_relative(base, reference, a, &part);
    }
    if (e != ERR_OK)
        return e;
    u.path = part.path;
    u.query = part.query;
    u.has_query = part.has_query;
    *out = u;
    return ERR_OK;
}
