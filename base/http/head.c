#include "base/http/head.h"

#include "base/http/framing.h"
#include "base/http/uri.h"

#define TAG_FIELDS_MAX 4 /* times tag_field_bytes, together */
#define SPARE_FIELDS 6   /* room for what a proxy adds, so that the array need not grow */

static enum err fail(struct http_head_reader *r, uint16_t status, const char *reason)
{
    if (r->kind == HTTP_HEAD_RESPONSE)
        status = 502;
    r->fault = (struct http_fault){status, reason};
    return status == 414 || status == 431 ? ERR_LIMIT : ERR_SYNTAX;
}

/* A fault that framing.c found, as an answer would say it. */
static enum err faulted(struct http_head_reader *r, enum err e)
{
    return e == ERR_OK ? e : fail(r, r->fault.status, r->fault.reason);
}

/* ---- finding the end ---- */

void http_head_begin(struct http_head_reader *r, enum http_head_kind kind,
                     const struct http_h1_limits *limits)
{
    *r = (struct http_head_reader){.kind = kind, .limits = limits};
}

static bool is_tag_line(struct span line)
{
    char name[16];
    size_t len = 0;
    while (len < line.len && len < sizeof name && line.ptr[len] != ':') {
        name[len] = (char)http_token_lower[(unsigned char)line.ptr[len]];
        len++;
    }
    switch (http_name_find(span_of(name, len))) {
    case HTTP_NAME_SURROGATE_KEY:
    case HTTP_NAME_CACHE_TAG:
    case HTTP_NAME_CACHE_GROUPS:
    case HTTP_NAME_X_MAGENTO_TAGS:
    case HTTP_NAME_XKEY:
        return true;
    default:
        return false;
    }
}

/* Is there room for this line, the whole or its beginning? */
static enum err check_line(struct http_head_reader *r, struct span line, bool whole)
{
    const struct http_h1_limits *l = r->limits;
    uint32_t start_lines = r->kind != HTTP_HEAD_TRAILERS;
    if (r->lines < start_lines)
        return line.len > l->line_bytes ? fail(r, 414, "start line too long") : ERR_OK;
    bool tag = r->kind == HTTP_HEAD_RESPONSE && is_tag_line(line);
    uint32_t *sum = tag ? &r->tags_bytes : &r->fields_bytes;
    uint64_t sum_max = tag ? (uint64_t)l->tag_field_bytes * TAG_FIELDS_MAX : l->fields_bytes;
    if (line.len > (tag ? l->tag_field_bytes : l->field_bytes))
        return fail(r, 431, "field too long");
    if (*sum + line.len + 2 > sum_max)
        return fail(r, 431, "fields too long");
    if (r->lines - start_lines >= l->field_count)
        return fail(r, 431, "too many fields");
    if (whole)
        *sum += (uint32_t)line.len + 2;
    return ERR_OK;
}

static enum err read_request_line(struct http_head_reader *r, struct span line,
                                  struct http_request *out);

/* The octets end within a line: what can be refused now is not waited for. */
static enum err check_rest(struct http_head_reader *r, struct span bytes)
{
    size_t from = r->seen > r->line_at ? r->seen - 1 : r->line_at;
    size_t len = bytes.len - r->line_at;
    const char *cr = len > 0 ? memchr(bytes.ptr + from, '\r', bytes.len - from) : NULL;
    r->seen = bytes.len;
    if (cr && cr + 1 < bytes.ptr + bytes.len)
        return fail(r, 400, "bare CR");
    struct span line = span_of(bytes.ptr + r->line_at, cr ? len - 1 : len);
    if (line.len > 0) {
        enum err e = check_line(r, line, false);
        if (e != ERR_OK)
            return e;
    }
    if (r->kind != HTTP_HEAD_REQUEST)
        return ERR_AGAIN;
    if (r->lines == 0 && line.len > 0 && !http_token_lower[(unsigned char)line.ptr[0]])
        return fail(r, 400, "no method");
    if (r->lines > 0 && !r->first_checked) { /* HTTP/0.9 would wait for ever */
        struct http_request ignored;
        r->first_checked = true;
        enum err e =
            read_request_line(r, span_of(bytes.ptr + r->begin, r->first_bytes), &ignored);
        if (e != ERR_OK)
            return e;
    }
    return ERR_AGAIN;
}

enum err http_head_scan(struct http_head_reader *r, struct span bytes, size_t *out_bytes)
{
    must(r->seen <= bytes.len);
    for (;;) {
        const char *lf = NULL;
        if (r->seen < bytes.len)
            lf = memchr(bytes.ptr + r->seen, '\n', bytes.len - r->seen);
        if (!lf)
            return check_rest(r, bytes);
        size_t end = (size_t)(lf - bytes.ptr);
        if (end == r->line_at || lf[-1] != '\r')
            return fail(r, 400, "bare LF");
        struct span line = span_of(bytes.ptr + r->line_at, end - 1 - r->line_at);
        r->seen = end + 1;
        if (line.len > 0) {
            enum err e = check_line(r, line, true);
            if (e != ERR_OK)
                return e;
            if (r->lines++ == 0)
                r->first_bytes = (uint32_t)line.len;
        } else if (r->lines > 0 || r->kind == HTTP_HEAD_TRAILERS) {
            *out_bytes = end + 1;
            return ERR_OK;
        } else if (r->kind == HTTP_HEAD_REQUEST && r->begin == 0) {
            r->begin = 2; /* RFC 9112 2.2: at least one is ignored */
        } else {
            return fail(r, 400, "empty line before the head");
        }
        r->line_at = end + 1;
    }
}

/* ---- start lines ---- */

enum target_octet { TARGET_BAD, TARGET_OK, TARGET_ESCAPE };

static enum target_octet target_octet(unsigned char c)
{
    if (c <= ' ' || c >= 0x7f || c == '#' || c == '\\')
        return TARGET_BAD;
    return c == '%' ? TARGET_ESCAPE : TARGET_OK;
}

static enum err read_version(struct http_head_reader *r, struct span text,
                             enum http_version *out)
{
    if (text.len != 8 || memcmp(text.ptr, "HTTP/", 5) != 0 || text.ptr[6] != '.')
        return fail(r, 400, "malformed version");
    char major = text.ptr[5], minor = text.ptr[7];
    if (major < '0' || major > '9' || minor < '0' || minor > '9')
        return fail(r, 400, "malformed version");
    if (major != '1' || minor > '1')
        return fail(r, 505, "other version");
    *out = minor == '1' ? HTTP_1_1 : HTTP_1_0;
    return ERR_OK;
}

/* Fills method, version and the target as sent. */
static enum err read_request_line(struct http_head_reader *r, struct span line,
                                  struct http_request *out)
{
    const char *p = line.ptr, *end = line.ptr + line.len;
    while (p < end && http_token_lower[(unsigned char)*p])
        p++;
    out->method_text = span_of(line.ptr, (size_t)(p - line.ptr));
    if (p == end || p == line.ptr || *p != ' ')
        return fail(r, 400, "malformed method");
    const char *target = ++p;
    for (; p < end && *p != ' '; p++) {
        enum target_octet kind = target_octet((unsigned char)*p);
        if (kind == TARGET_BAD)
            return fail(r, 400, "forbidden octet in the target");
        if (kind == TARGET_ESCAPE && end - p > 2 && p[1] == '0' && p[2] == '0')
            return fail(r, 400, "%00 in the target");
    }
    out->target = span_of(target, (size_t)(p - target));
    if (out->target.len == 0)
        return fail(r, 400, "no target");
    if (p == end)
        return fail(r, 400, "HTTP/0.9");
    p++;
    out->method = http_method_find(out->method_text);
    return read_version(r, span_of(p, (size_t)(end - p)), &out->version);
}

/* The space before the reason is due (RFC 9112 4), but its absence harms nobody. */
static enum err read_status_line(struct http_head_reader *r, struct span line,
                                 struct http_response *out)
{
    unsigned status = 0;
    if (line.len < 12 || line.ptr[8] != ' ' || (line.len > 12 && line.ptr[12] != ' '))
        return fail(r, 502, "malformed status line");
    for (size_t i = 9; i < 12; i++) {
        if (line.ptr[i] < '0' || line.ptr[i] > '9')
            return fail(r, 502, "malformed status");
        status = status * 10 + (unsigned)(line.ptr[i] - '0');
    }
    if (status < 100 || status > 599)
        return fail(r, 502, "status out of range");
    if (!http_is_field_value(span_from(line, 12)))
        return fail(r, 502, "control octet in the reason");
    out->status = (uint16_t)status;
    return read_version(r, span_until(line, 8), &out->version);
}

/* ---- fields ---- */

/* One field line at *at, which is moved behind it. The head ends in an empty line, so the
 * token ends before `end`. */
static enum err read_field(struct http_head_reader *r, char **at, const char *end,
                           struct http_field *out)
{
    char *p = *at;
    unsigned char lower;
    while ((lower = http_token_lower[(unsigned char)*p]) != 0)
        *p++ = (char)lower;
    out->name = span_of(*at, (size_t)(p - *at));
    if (*p != ':' || out->name.len == 0) {
        bool space = *p == ' ' || *p == '\t';
        if (out->name.len == 0)
            return fail(r, 400, space ? "obs-fold" : "empty field name");
        return fail(r, 400, space ? "space before the colon" : "malformed field name");
    }
    p++;
    while (*p == ' ' || *p == '\t')
        p++;
    size_t len = http_field_value_length(span_of(p, (size_t)(end - p)));
    if (p[len] != '\r' || p[len + 1] != '\n')
        return fail(r, 400, p[len] == '\r' ? "bare CR" : "control octet in a field");
    *at = p + len + 2;
    while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
        len--;
    out->value = span_of(p, len);
    out->id = (uint16_t)http_name_find(out->name);
    return ERR_OK;
}

/* All field lines from `at` to the empty line before `end`. */
static enum err read_fields(struct http_head_reader *r, char *at, const char *end,
                            struct arena *a, struct http_fields *out, struct http_framing *f)
{
    struct http_fields fields = {.room = r->lines + SPARE_FIELDS};
    fields.at = arena_alloc(a, fields.room * sizeof *fields.at);
    if (!fields.at)
        return fail(r, 431, "arena full");
    http_framing_begin(f);
    while (end - at > 2) {
        bool keep;
        struct http_field *field = &fields.at[fields.count];
        enum err e = read_field(r, &at, end, field);
        if (e == ERR_OK)
            e = faulted(r, http_framing_weigh(f, r->kind, field, &keep, &r->fault));
        if (e != ERR_OK)
            return e;
        fields.count += keep;
    }
    for (uint32_t i = 0; f->named && i < f->connections; i++)
        http_fields_remove_listed(&fields, f->connection[i]);
    r->chunked = f->chunked;
    *out = fields;
    return ERR_OK;
}

/* ---- whole heads ---- */

static char *copy_head(struct http_head_reader *r, struct span head, struct arena *a)
{
    char *copy = arena_alloc(a, head.len);
    must(head.len >= 2 && head.ptr[head.len - 1] == '\n' && head.ptr[head.len - 2] == '\r');
    if (copy)
        memcpy(copy, head.ptr, head.len);
    else
        (void)fail(r, 431, "arena full");
    return copy;
}

static void lower_in_place(struct span text)
{
    /* Part of the copied head, which is ours to change. */
    char *at = (char *)(uintptr_t)text.ptr; /* NOLINT(performance-no-int-to-ptr): drops const */
    for (size_t i = 0; i < text.len; i++) {
        if (at[i] >= 'A' && at[i] <= 'Z')
            at[i] = (char)(at[i] | 0x20);
    }
}

struct authority {
    struct span text, host;
    uint16_t port; /* 0: not written */
};

/* Checks and lower-cases host[:port]; "host:" loses its colon, "host.:080" dot and zero. */
static enum err read_authority(struct http_head_reader *r, struct span text, struct arena *a,
                               struct authority *out)
{
    lower_in_place(text);
    if (http_uri_parse_authority(text, a, &out->host, &out->port) != ERR_OK)
        return fail(r, 400, "malformed host");
    out->text = out->port == 0 ? out->host : text;
    bool odd = out->port != 0 &&
               (text.ptr[out->host.len] != ':' || text.ptr[out->host.len + 1] == '0');
    if (odd && !arena_printf(a, &out->text, "%.*s:%u", SPAN_ARG(out->host), out->port))
        return fail(r, 431, "arena full");
    return ERR_OK;
}

/* "http://host/path": sets scheme and target; *out_authority is where the host stands. */
static enum err read_absolute(struct http_head_reader *r, struct arena *a,
                              struct http_request *q, struct span *out_authority)
{
    struct span rest;
    size_t at = 0;
    if (span_starts_nocase(q->target, SPAN("http://"))) {
        q->scheme = SPAN("http");
        rest = span_from(q->target, 7);
    } else if (span_starts_nocase(q->target, SPAN("https://"))) {
        q->scheme = SPAN("https");
        rest = span_from(q->target, 8);
    } else {
        return fail(r, 400, "malformed target");
    }
    while (at < rest.len && rest.ptr[at] != '/' && rest.ptr[at] != '?')
        at++;
    *out_authority = span_until(rest, at);
    q->target = span_from(rest, at);
    if (q->target.len == 0) /* RFC 9112 3.2.4 */
        q->target = q->method == HTTP_OPTIONS ? SPAN("*") : SPAN("/");
    else if (q->target.ptr[0] == '?' &&
             !arena_printf(a, &q->target, "/%.*s", SPAN_ARG(q->target)))
        return fail(r, 431, "arena full");
    return ERR_OK;
}

static uint16_t port_or_default(uint16_t port, struct span scheme)
{
    return port != 0 ? port : scheme.len == 4 ? 80 : scheme.len == 5 ? 443 : 0;
}

/* RFC 9112 3.2: the four forms of the target, and Host. */
static enum err read_target(struct http_head_reader *r, const struct http_framing *f,
                            struct arena *a, struct http_request *q)
{
    struct authority host = {0}, named = {0};
    struct span authority = {NULL, 0};
    enum err e = ERR_OK;
    if (f->hosts > 1)
        return fail(r, 400, "several host");
    if (f->hosts == 0 && q->version == HTTP_1_1)
        return fail(r, 400, "no host");
    if (f->hosts == 1)
        e = read_authority(r, f->host, a, &host);
    if (e != ERR_OK)
        return e;
    q->authority = host.text;
    if (q->method == HTTP_CONNECT) {
        authority = q->target;
        q->target = span_of(NULL, 0);
    } else if (q->target.ptr[0] == '/' ||
               (q->method == HTTP_OPTIONS && span_equal(q->target, SPAN("*")))) {
        return ERR_OK;
    } else {
        e = read_absolute(r, a, q, &authority);
    }
    if (e == ERR_OK)
        e = read_authority(r, authority, a, &named);
    if (e != ERR_OK)
        return e;
    if (q->method == HTTP_CONNECT && named.port == 0)
        return fail(r, 400, "no port in the target");
    if (f->hosts == 1 &&
        (!span_equal(named.host, host.host) ||
         port_or_default(named.port, q->scheme) != port_or_default(host.port, q->scheme)))
        return fail(r, 400, "host differs from the target");
    q->authority = named.text;
    return ERR_OK;
}

enum err http_head_read_request(struct http_head_reader *r, struct span head, struct arena *a,
                                struct http_request *out)
{
    struct http_request q = {0};
    struct http_framing f;
    char *copy = copy_head(r, head, a);
    if (!copy)
        return ERR_LIMIT;
    char *line = copy + r->begin;
    enum err e = read_request_line(r, span_of(line, r->first_bytes), &q);
    if (e == ERR_OK)
        e = read_fields(r, line + r->first_bytes + 2, copy + head.len, a, &q.fields, &f);
    if (e == ERR_OK)
        e = faulted(r, http_framing_check(&f, q.version, &r->fault));
    if (e == ERR_OK)
        e = read_target(r, &f, a, &q);
    if (e != ERR_OK)
        return e;
    q.body_bytes = f.chunked ? HTTP_LENGTH_UNKNOWN : f.length > 0 ? f.length : 0;
    if (q.method == HTTP_CONNECT && q.body_bytes != 0) /* RFC 9110 9.3.6 */
        return fail(r, 400, "CONNECT with a body");
    q.keep_alive = http_framing_keeps_alive(&f, q.version) && q.method != HTTP_CONNECT;
    /* RFC 9110 10.1.1: ignored in HTTP/1.0, and nothing to continue without a body */
    q.expect_continue = f.expect_continue && q.version == HTTP_1_1 && q.body_bytes != 0;
    q.upgrade = f.upgrade;
    q.has_trailer_support = f.te_trailers && q.version == HTTP_1_1;
    *out = q;
    return ERR_OK;
}

enum err http_head_read_response(struct http_head_reader *r, struct span head,
                                 enum http_method asked, struct arena *a,
                                 struct http_response *out)
{
    struct http_response p = {0};
    struct http_framing f;
    char *copy = copy_head(r, head, a);
    if (!copy)
        return ERR_LIMIT;
    enum err e = read_status_line(r, span_of(copy, r->first_bytes), &p);
    if (e == ERR_OK)
        e = read_fields(r, copy + r->first_bytes + 2, copy + head.len, a, &p.fields, &f);
    if (e == ERR_OK)
        e = faulted(r, http_framing_check(&f, p.version, &r->fault));
    if (e != ERR_OK)
        return e;
    bool none = p.status < 200 || p.status == 204; /* may not announce a body either */
    p.body_absent = http_status_is_bodyless(p.status) || asked == HTTP_HEAD;
    p.keep_alive = http_framing_keeps_alive(&f, p.version);
    if (none) {
        /* A body after it would be read as the next answer: RFC 9112 6.1, 9110 8.6. */
        p.keep_alive = p.keep_alive && !f.chunked && f.length <= 0;
        r->chunked = false;
    } else if (asked == HTTP_CONNECT && p.status < 300) {
        p.body_bytes = HTTP_LENGTH_UNKNOWN; /* a tunnel: until close, whatever it says */
        p.keep_alive = false;
        r->chunked = false;
    } else {
        p.body_bytes = f.length;
        p.length_declared = f.length != HTTP_LENGTH_UNKNOWN;
        if (!p.body_absent && !p.length_declared && !f.chunked)
            p.keep_alive = false; /* until close */
    }
    *out = p;
    return ERR_OK;
}

enum err http_head_read_trailers(struct http_head_reader *r, struct span head, struct arena *a,
                                 struct http_fields *out)
{
    struct http_framing f;
    if (r->lines == 0) {
        *out = (struct http_fields){0};
        return ERR_OK;
    }
    char *copy = copy_head(r, head, a);
    if (!copy)
        return ERR_LIMIT;
    return read_fields(r, copy, copy + head.len, a, out, &f);
}
