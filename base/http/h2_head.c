#include "base/http/h2_head.h"

#include "base/http/claims.h"
#include "base/http/uri.h"

#define FIELD_OVERHEAD 32 /* RFC 9113 6.5.2 */

void http_h2_head_init(struct http_h2_head *h, enum http_h2_head_kind kind, struct arena *a,
                       const struct http_h1_limits *limits)
{
    *h = (struct http_h2_head){
        .kind = kind, .arena = a, .limits = limits, .length = HTTP_LENGTH_UNKNOWN};
}

static void set_fault(struct http_h2_head *h, uint16_t status, const char *reason)
{
    if (!h->fault.status)
        h->fault = (struct http_fault){status, reason};
}

static bool is_tag_field(enum http_name id)
{
    return id == HTTP_NAME_SURROGATE_KEY || id == HTTP_NAME_CACHE_TAG || id == HTTP_NAME_XKEY ||
           id == HTTP_NAME_X_MAGENTO_TAGS || id == HTTP_NAME_CACHE_GROUPS;
}

/* Counts the field; false when it is one too many or too large. */
static bool fits(struct http_h2_head *h, enum http_name id, struct span name, struct span value)
{
    const struct http_h1_limits *l = h->limits;
    size_t bytes = name.len + value.len;
    if (name.len && name.ptr[0] == ':') {
        if (value.len > l->line_bytes) {
            set_fault(h, 414, "target too long");
            return false;
        }
    } else if (h->kind == HTTP_H2_HEAD_RESPONSE && is_tag_field(id)) {
        if (bytes > l->tag_field_bytes)
            set_fault(h, 431, "tag field too long");
        if (++h->count > l->field_count)
            set_fault(h, 431, "too many fields");
        return !h->fault.status; /* tag fields have a limit of their own */
    } else {
        if (bytes > l->field_bytes)
            set_fault(h, 431, "field too long");
        if (++h->count > l->field_count)
            set_fault(h, 431, "too many fields");
    }
    if (bytes + FIELD_OVERHEAD > l->fields_bytes - h->bytes)
        set_fault(h, 431, "fields too long");
    else
        h->bytes += (uint32_t)(bytes + FIELD_OVERHEAD);
    return !h->fault.status;
}

static bool keep(struct http_h2_head *h, struct span value, struct span *out)
{
    if (arena_copy(h->arena, value, out))
        return true;
    set_fault(h, 431, "request memory full");
    return false;
}

static void add_pseudo(struct http_h2_head *h, struct span name, struct span value)
{
    if (span_equal(name, SPAN(":path"))) {
        (void)keep(h, value, &h->path);
    } else if (span_equal(name, SPAN(":authority"))) {
        h->has_authority = true;
        (void)keep(h, value, &h->authority);
    } else if (span_equal(name, SPAN(":method"))) {
        (void)keep(h, value, &h->method);
    } else if (span_equal(name, SPAN(":scheme"))) {
        (void)keep(h, value, &h->scheme);
    } else if (span_equal(name, SPAN(":status"))) {
        (void)keep(h, value, &h->status);
    } else {
        set_fault(h, 400, "unknown pseudo field");
    }
}

/* Fields that the readers take out (message.h); true when the field is dealt with. */
static bool take_out(struct http_h2_head *h, enum http_name id, struct span value)
{
    uint64_t length;
    switch (id) {
    case HTTP_NAME_HOST:
        if (h->kind != HTTP_H2_HEAD_REQUEST)
            return false;
        if (h->has_host)
            set_fault(h, 400, "two host fields");
        h->has_host = true;
        (void)keep(h, value, &h->host);
        return true;
    case HTTP_NAME_CONTENT_LENGTH:
        if (h->length != HTTP_LENGTH_UNKNOWN || value.len > 19 ||
            !span_to_u64(value, &length) || length > INT64_MAX)
            set_fault(h, 400, "bad content-length");
        else
            h->length = (int64_t)length;
        return true;
    case HTTP_NAME_EXPECT:
        h->expect_continue = span_equal_nocase(value, SPAN("100-continue"));
        return h->expect_continue;
    case HTTP_NAME_TE: /* RFC 9113 8.2.2: nothing but "trailers" may be there */
        h->te_trailers = true;
        return true;
    default:
        return false;
    }
}

/* Framing and the connection's own: such trailers are malformed (RFC 9113 8.2.2), and no
 * mistake. */
static bool is_forbidden_trailer(enum http_name id)
{
    switch (id) {
    case HTTP_NAME_CONNECTION:
    case HTTP_NAME_CONTENT_LENGTH:
    case HTTP_NAME_EXPECT:
    case HTTP_NAME_HOST:
    case HTTP_NAME_KEEP_ALIVE:
    case HTTP_NAME_PROXY_CONNECTION:
    case HTTP_NAME_TE:
    case HTTP_NAME_TRAILER:
    case HTTP_NAME_TRANSFER_ENCODING:
    case HTTP_NAME_UPGRADE:
        return true;
    default:
        return false;
    }
}

void http_h2_head_add(struct http_h2_head *h, struct span name, struct span value)
{
    enum http_name id = http_name_find(name);
    if (h->fault.status || !fits(h, id, name, value)) {
        h->dropped++;
        return;
    }
    if (name.len && name.ptr[0] == ':') {
        add_pseudo(h, name, value);
        return;
    }
    if (h->kind == HTTP_H2_HEAD_TRAILERS) {
        if (is_forbidden_trailer(id)) {
            set_fault(h, 400, "forbidden trailer");
            return;
        }
        if (http_name_is_head_only(name))
            return; /* so that nobody behind us merges it into the head */
    } else if (take_out(h, id, value)) {
        return;
    }
    if (id == HTTP_NAME_COOKIE)
        h->crumbs++;
    struct span kept, kept_name;
    if (!keep(h, value, &kept))
        return;
    bool added;
    if (id != HTTP_NAME_OTHER)
        added = http_fields_add_named(&h->fields, h->arena, id, kept);
    else
        added =
            keep(h, name, &kept_name) && http_fields_add(&h->fields, h->arena, kept_name, kept);
    if (!added)
        set_fault(h, 431, "request memory full");
}

/* RFC 9113 8.2.3: crumbs become one field before anything that is not HTTP/2 sees them. */
static bool join_crumbs(struct http_h2_head *h)
{
    size_t len = 0;
    for (uint32_t i = 0; i < h->fields.count; i++)
        if (h->fields.at[i].id == HTTP_NAME_COOKIE)
            len += h->fields.at[i].value.len + 2;
    char *text = arena_alloc(h->arena, len);
    if (!text)
        return false;
    size_t at = 0;
    for (uint32_t i = 0; i < h->fields.count; i++) {
        const struct http_field *f = &h->fields.at[i];
        if (f->id != HTTP_NAME_COOKIE)
            continue;
        if (at) {
            text[at++] = ';';
            text[at++] = ' ';
        }
        memcpy(text + at, f->value.ptr, f->value.len);
        at += f->value.len;
    }
    http_fields_remove(&h->fields, HTTP_NAME_COOKIE);
    return http_fields_add_named(&h->fields, h->arena, HTTP_NAME_COOKIE, span_of(text, at));
}

/* Octets that RFC 3986 has no place for, and %00: refused before anything reads the target. */
static bool target_is_clean(struct span t)
{
    for (size_t i = 0; i < t.len; i++) {
        unsigned char c = (unsigned char)t.ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '#' || c == '\\')
            return false;
        if (c == '%' && t.len - i >= 3 && t.ptr[i + 1] == '0' && t.ptr[i + 2] == '0')
            return false;
    }
    return true;
}

/* RFC 9113 8.3.1: both name the same entity once normalised, or the request is malformed. */
static bool host_agrees(struct http_h2_head *h, struct span host, uint16_t port,
                        uint16_t port_default)
{
    struct span other;
    uint16_t other_port;
    if (span_equal(h->host, h->authority))
        return true;
    if (http_uri_parse_authority(h->host, h->arena, &other, &other_port))
        return false;
    return span_equal(host, other) &&
           (port ? port : port_default) == (other_port ? other_port : port_default);
}

static enum err check_authority(struct http_h2_head *h, struct http_h2_authority *known,
                                struct span *out)
{
    if (!h->has_authority) {
        h->authority = h->host;
        h->has_host = false;
    }
    bool is_known =
        h->authority.len && span_equal(h->authority, span_of(known->text, known->len));
    if (is_known && (!h->has_host || span_equal(h->host, h->authority))) {
        *out = h->authority;
        return ERR_OK;
    }
    struct span host;
    uint16_t port, port_default = span_equal(h->scheme, SPAN("http")) ? 80 : 443;
    enum err err = http_uri_parse_authority(h->authority, h->arena, &host, &port);
    if (err) {
        set_fault(h, 400, "bad authority");
        return err;
    }
    if (h->has_host && !host_agrees(h, host, port, port_default)) {
        set_fault(h, 400, "host and authority differ");
        return ERR_SYNTAX;
    }
    *out = host;
    if (port && !arena_printf(h->arena, out, "%.*s:%u", SPAN_ARG(host), port)) {
        set_fault(h, 431, "request memory full");
        return ERR_LIMIT;
    }
    if (out->len <= sizeof known->text) {
        known->len = (uint8_t)out->len;
        memcpy(known->text, out->ptr, out->len);
    }
    return ERR_OK;
}

static enum err fault_err(const struct http_h2_head *h)
{
    if (h->fault.status == 501)
        return ERR_REFUSED;
    return h->fault.status == 400 ? ERR_SYNTAX : ERR_LIMIT;
}

enum err http_h2_head_request(struct http_h2_head *h, bool ended,
                              struct http_h2_authority *known, struct http_request *out)
{
    *out = (struct http_request){.method = http_method_find(h->method),
                                 .version = HTTP_2,
                                 .method_text = h->method,
                                 .target = h->path,
                                 .body_bytes = ended ? 0 : h->length,
                                 .expect_continue = h->expect_continue && !ended,
                                 .keep_alive = true,
                                 .has_trailer_support = h->te_trailers};
    if (!h->fault.status && out->method == HTTP_CONNECT)
        set_fault(h, 501, "connect");
    if (h->fault.status)
        return fault_err(h);
    if (span_equal_nocase(h->scheme, SPAN("https")))
        out->scheme = SPAN("https");
    else if (span_equal_nocase(h->scheme, SPAN("http")))
        out->scheme = SPAN("http");
    else
        set_fault(h, 400, "scheme is neither http nor https");
    h->scheme = out->scheme;
    bool star = out->method == HTTP_OPTIONS && span_equal(h->path, SPAN("*"));
    if (!star && (!h->path.len || h->path.ptr[0] != '/'))
        set_fault(h, 400, "target is not a path");
    if (!target_is_clean(h->path))
        set_fault(h, 400, "octet not allowed in the target");
    if (!h->fault.status)
        (void)check_authority(h, known, &out->authority);
    if (!h->fault.status && h->crumbs > 1 && !join_crumbs(h))
        set_fault(h, 431, "request memory full");
    if (h->fault.status)
        return fault_err(h);
    out->fields = h->fields;
    return ERR_OK;
}

enum err http_h2_head_response(struct http_h2_head *h, bool ended, bool head_only,
                               struct http_response *out)
{
    uint64_t status = 0;
    if (h->fault.status)
        return fault_err(h);
    if (h->status.len != 3 || !span_to_u64(h->status, &status) || status < 100)
        return ERR_SYNTAX;
    *out = (struct http_response){.status = (uint16_t)status,
                                  .version = HTTP_2,
                                  .fields = h->fields,
                                  .body_bytes = h->length,
                                  .body_absent =
                                      head_only || http_status_is_bodyless((unsigned)status),
                                  .length_declared = h->length != HTTP_LENGTH_UNKNOWN,
                                  .keep_alive = true};
    if (ended && !out->length_declared)
        out->body_bytes = 0;
    return ERR_OK;
}

enum err http_h2_head_trailers(struct http_h2_head *h, struct http_fields *out)
{
    if (h->fault.status)
        return fault_err(h);
    *out = h->fields;
    return ERR_OK;
}
