#include "base/http/framing.h"

#include "base/http/claims.h"

#define OPTIONS_MAX 64 /* of one Connection line */

static enum err fail(struct http_fault *fault, uint16_t status, const char *reason)
{
    *fault = (struct http_fault){status, reason};
    return ERR_SYNTAX;
}

void http_framing_begin(struct http_framing *f)
{
    *f = (struct http_framing){.length = HTTP_LENGTH_UNKNOWN};
}

/* RFC 9112 6.3: digits only, once only. 19 of them may still be over 2^63. */
static enum err read_length(struct http_framing *f, struct span value, struct http_fault *fault)
{
    uint64_t length;
    if (f->length != HTTP_LENGTH_UNKNOWN)
        return fail(fault, 400, "several content-length");
    if (value.len == 0 || value.len > 19 || !span_to_u64(value, &length) || length > INT64_MAX)
        return fail(fault, 400, "malformed content-length");
    f->length = (int64_t)length;
    return ERR_OK;
}

/* RFC 9112 6.1, 7: one coding is known, and only it may come last. */
static enum err read_coding(struct http_framing *f, struct span value, struct http_fault *fault)
{
    struct http_list l;
    struct span member, last = {NULL, 0};
    uint32_t members = 0, chunked = 0;
    bool tokens = true;
    if (f->chunked)
        return fail(fault, 400, "several transfer-encoding");
    if (span_equal_nocase(value, SPAN("chunked"))) {
        f->chunked = true;
        return ERR_OK;
    }
    http_list_begin_value(&l, value);
    while (http_list_next(&l, &member)) {
        members++;
        chunked += span_equal_nocase(member, SPAN("chunked"));
        tokens = tokens && http_is_token(member);
        last = member;
    }
    if (members > 1 && chunked == 1 && tokens && span_equal_nocase(last, SPAN("chunked")))
        return fail(fault, 501, "unknown transfer coding");
    return fail(fault, 400, "malformed transfer-encoding");
}

static enum err read_connection(struct http_framing *f, struct span value,
                                struct http_fault *fault)
{
    struct http_list l;
    struct span option;
    uint32_t options = 0;
    if (f->connections == HTTP_FRAMING_CONNECTIONS_MAX)
        return fail(fault, 400, "too many connection lines");
    f->connection[f->connections++] = value;
    http_list_begin_value(&l, value);
    while (http_list_next(&l, &option)) {
        if (++options > OPTIONS_MAX)
            return fail(fault, 400, "too many connection options");
        if (span_equal_nocase(option, SPAN("close")))
            f->close = true;
        else if (span_equal_nocase(option, SPAN("keep-alive")))
            f->keep_alive = true;
        else
            f->named = true;
    }
    return ERR_OK;
}

static enum err read_expect(struct http_framing *f, struct span value, struct http_fault *fault)
{
    if (!span_equal_nocase(value, SPAN("100-continue")))
        return fail(fault, 417, "unknown expectation");
    f->expect_continue = true;
    return ERR_OK;
}

enum err http_framing_weigh(struct http_framing *f, enum http_head_kind kind,
                            const struct http_field *field, bool *out_keep,
                            struct http_fault *fault)
{
    bool request = kind == HTTP_HEAD_REQUEST;
    struct http_list l;
    struct span coding;
    *out_keep = true;
    if (kind == HTTP_HEAD_TRAILERS)
        return http_name_is_head_only(field->name) ? fail(fault, 400, "forbidden trailer")
                                                   : ERR_OK;
    switch (field->id) {
    case HTTP_NAME_CONTENT_LENGTH:
        *out_keep = false;
        return read_length(f, field->value, fault);
    case HTTP_NAME_TRANSFER_ENCODING:
        *out_keep = false;
        return read_coding(f, field->value, fault);
    case HTTP_NAME_CONNECTION:
        *out_keep = false;
        return read_connection(f, field->value, fault);
    case HTTP_NAME_HOST:
        *out_keep = !request;
        f->host = field->value;
        f->hosts++;
        return ERR_OK;
    case HTTP_NAME_EXPECT:
        *out_keep = !request;
        return request ? read_expect(f, field->value, fault) : ERR_OK;
    case HTTP_NAME_TE:
        http_list_begin_value(&l, field->value);
        while (http_list_next(&l, &coding))
            f->te_trailers |= span_equal_nocase(coding, SPAN("trailers"));
        return ERR_OK;
    case HTTP_NAME_UPGRADE:
        f->upgrade = true;
        return ERR_OK;
    default:
        return ERR_OK;
    }
}

enum err http_framing_check(const struct http_framing *f, enum http_version version,
                            struct http_fault *fault)
{
    if (f->chunked && f->length != HTTP_LENGTH_UNKNOWN)
        return fail(fault, 400, "content-length with transfer-encoding");
    if (f->chunked && version == HTTP_1_0) /* RFC 9112 6.1 */
        return fail(fault, 400, "transfer-encoding in HTTP/1.0");
    return ERR_OK;
}

bool http_framing_keeps_alive(const struct http_framing *f, enum http_version version)
{
    return !f->close && (version == HTTP_1_1 || f->keep_alive);
}
