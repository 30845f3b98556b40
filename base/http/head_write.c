#include "base/http/head_write.h"

#define FRAMING_BYTES_MAX 128 /* the lines that put_framing may write, and the empty one */
#define START_BYTES_MAX 64    /* a start line without method, target, host or reason */

static char *put(char *to, struct span s)
{
    if (s.len > 0)
        memcpy(to, s.ptr, s.len);
    return to + s.len;
}

static char *put_number(char *to, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return put(to, span_of(digits + at, sizeof digits - at));
}

static bool is_framing(uint16_t id)
{
    return id == HTTP_NAME_CONNECTION || id == HTTP_NAME_CONTENT_LENGTH ||
           id == HTTP_NAME_HOST || id == HTTP_NAME_TRANSFER_ENCODING;
}

/* The octets of the lines; false when a value would break them. */
static bool measure(const struct http_fields *fields, size_t *bytes)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];
        *bytes += field->name.len + field->value.len + 4;
        if (!http_is_field_value(field->value))
            return false;
    }
    return true;
}

static char *put_fields(char *to, const struct http_fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];
        if (is_framing(field->id))
            continue;
        to = put(to, field->name);
        *to++ = ':';
        *to++ = ' ';
        to = put(to, field->value);
        *to++ = '\r';
        *to++ = '\n';
    }
    return to;
}

/* Framing and connection, then the empty line. */
static char *put_framing(char *to, const struct http_head_write *how)
{
    if (how->length != HTTP_LENGTH_UNKNOWN) {
        to = put(to, SPAN("content-length: "));
        to = put_number(to, (uint64_t)how->length);
        to = put(to, SPAN("\r\n"));
    }
    if (how->chunked)
        to = put(to, SPAN("transfer-encoding: chunked\r\n"));
    if (how->te_trailers) { /* RFC 9110 10.1.4: named in Connection */
        to = put(to, SPAN("te: trailers\r\nconnection: te"));
        to = put(to, how->close ? SPAN(", close\r\n") : SPAN("\r\n"));
    } else if (how->close) {
        to = put(to, SPAN("connection: close\r\n"));
    } else if (how->keep_alive) {
        to = put(to, SPAN("connection: keep-alive\r\n"));
    }
    return put(to, SPAN("\r\n"));
}

static void finish(struct buf *out, const char *begin, const char *end, size_t reserved)
{
    must((size_t)(end - begin) <= reserved);
    buf_grew(out, (size_t)(end - begin));
}

enum err http_head_write_request(const struct http_request *r,
                                 const struct http_head_write *how, struct buf *out)
{
    struct span method = r->method_text.len > 0 ? r->method_text : http_method_text(r->method);
    size_t bytes =
        FRAMING_BYTES_MAX + START_BYTES_MAX + method.len + r->target.len + r->authority.len;
    must(method.len > 0 && r->target.len > 0);
    if (!measure(&r->fields, &bytes))
        return ERR_SYNTAX;
    char *begin = buf_reserve(out, bytes);
    if (!begin)
        return ERR_LIMIT;
    char *to = put(begin, method);
    *to++ = ' ';
    to = put(to, r->target);
    to = put(to, SPAN(" HTTP/1.1\r\nhost: "));
    to = put(to, r->authority);
    to = put(to, SPAN("\r\n"));
    to = put_fields(to, &r->fields);
    finish(out, begin, put_framing(to, how), bytes);
    return ERR_OK;
}

enum err http_head_write_response(const struct http_response *r,
                                  const struct http_head_write *how, struct buf *out)
{
    struct span reason = http_status_text(r->status);
    struct span lines = r->block ? r->block->lines : span_of(NULL, 0);
    size_t bytes = FRAMING_BYTES_MAX + START_BYTES_MAX + reason.len + lines.len;
    must(r->status >= 100 && r->status <= 999);
    if (!measure(&r->fields, &bytes))
        return ERR_SYNTAX;
    char *begin = buf_reserve(out, bytes);
    if (!begin)
        return ERR_LIMIT;
    char *to = put(begin, SPAN("HTTP/1.1 "));
    to = put_number(to, r->status);
    *to++ = ' ';
    to = put(to, reason);
    to = put(to, SPAN("\r\n"));
    to = put(to, lines);
    to = put_fields(to, &r->fields);
    finish(out, begin, put_framing(to, how), bytes);
    return ERR_OK;
}

enum err http_head_write_trailers(const struct http_fields *fields, struct buf *out)
{
    size_t bytes = 2;
    if (!measure(fields, &bytes))
        return ERR_SYNTAX;
    char *begin = buf_reserve(out, bytes);
    if (!begin)
        return ERR_LIMIT;
    char *to = put(put_fields(begin, fields), SPAN("\r\n"));
    finish(out, begin, to, bytes);
    return ERR_OK;
}
