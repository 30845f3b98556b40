#include "node/front/rewrite.h"

#include "base/http/claims.h"
#include "node/origin/fetch.h"

#define NAME "perigee"
#define TEXT(literal)                                                                          \
    {                                                                                          \
        (literal), sizeof(literal) - 1                                                         \
    }                 /* SPAN for static tables */
#define VALUE_MAX 160 /* longest Cache-Status or Server-Timing without its detail */

/* -- towards the origin -- */

/* What a trusted proxy may say: those that we continue, or have made part of the key. */
static bool is_believed(uint16_t id)
{
    switch (id) {
    case HTTP_NAME_FORWARDED:
    case HTTP_NAME_X_FORWARDED_FOR:
    case HTTP_NAME_X_FORWARDED_HOST:
    case HTTP_NAME_X_FORWARDED_PORT:
    case HTTP_NAME_X_FORWARDED_PROTO:
    case HTTP_NAME_X_REQUEST_ID:
        return true;
    default:
        return false;
    }
}

/* Names with '_' go always: CGI and its like would take X_Forwarded_Host for X-Forwarded-Host,
 * Content_Length for our framing. Inputs that origins act upon and no cache key holds are not
 * passed on, but for what is believed of a trusted proxy. */
static bool may_pass(const struct front_rewrite *w, const struct http_field *f)
{
    size_t at;
    if (span_find(f->name, '_', &at))
        return false;
    if (is_believed(f->id))
        return w->client_is_proxy;
    return !http_name_is_claim(f->name);
}

static void drop_unkeyed(const struct front_rewrite *w, struct http_fields *f)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < f->count; i++)
        if (may_pass(w, &f->at[i]))
            f->at[kept++] = f->at[i];
    f->count = kept;
}

/* Puts `member` behind what stands there, in one line. */
static bool append_member(struct http_fields *f, struct arena *a, enum http_name id,
                          struct span member)
{
    struct span before;
    if (!http_fields_join(f, id, a, &before))
        return false;
    if (before.len &&
        !arena_printf(a, &member, "%.*s, %.*s", SPAN_ARG(before), SPAN_ARG(member)))
        return false;
    http_fields_remove(f, id);
    return http_fields_add_named(f, a, id, member);
}

static bool add_if_absent(struct http_fields *f, struct arena *a, enum http_name id,
                          struct span value)
{
    return http_fields_find(f, id) || http_fields_add_named(f, a, id, value);
}

static bool add_forwarded(const struct front_rewrite *w, struct http_fields *f, struct arena *a)
{
    char text[ADDR_TEXT_MAX];
    struct span client, id, node;
    addr_print(&w->client, false, text);
    /* What was believed is in `w`; other values would be unkeyed. */
    http_fields_remove(f, HTTP_NAME_X_FORWARDED_PROTO);
    http_fields_remove(f, HTTP_NAME_X_FORWARDED_HOST);
    if (!arena_copy(a, span_text(text), &client) ||
        (!w->client_is_node && !append_member(f, a, HTTP_NAME_X_FORWARDED_FOR, client)) ||
        !http_fields_add_named(f, a, HTTP_NAME_X_FORWARDED_PROTO,
                               w->client_tls ? SPAN("https") : SPAN("http")) ||
        !http_fields_add_named(f, a, HTTP_NAME_X_FORWARDED_HOST, w->authority))
        return false;
    /* RFC 7239 4: only continued, since X-Forwarded-* says it already */
    bool v6 = w->client.family == ADDR_V6;
    if (!w->client_is_node && http_fields_find(f, HTTP_NAME_FORWARDED) &&
        (!arena_printf(a, &node, v6 ? "for=\"[%s]\"" : "for=%s", text) ||
         !append_member(f, a, HTTP_NAME_FORWARDED, node)))
        return false;
    return arena_printf(a, &id, "%016llx", (unsigned long long)w->request_id) &&
           add_if_absent(f, a, HTTP_NAME_X_REQUEST_ID, id);
}

static bool add_via(struct http_fields *f, struct arena *a, enum http_version version)
{
    struct span via = SPAN("1.1 " NAME);
    if (version == HTTP_1_0)
        via = SPAN("1.0 " NAME);
    else if (version == HTTP_2)
        via = SPAN("2.0 " NAME);
    return append_member(f, a, HTTP_NAME_VIA, via);
}

/* RFC 8586 2: the same pseudonym for all nodes, told apart by a parameter. */
static bool add_cdn_loop(struct http_fields *f, struct arena *a, const char *node_id)
{
    struct span member;
    bool token = http_is_token(span_text(node_id));
    return arena_printf(a, &member, token ? NAME ";node=%s" : NAME ";node=\"%s\"", node_id) &&
           append_member(f, a, HTTP_NAME_CDN_LOOP, member);
}

static bool lower(struct arena *a, const char *text, struct span *out)
{
    size_t len = strlen(text);
    char *to = arena_alloc(a, len);
    if (!to)
        return false;
    for (size_t i = 0; i < len; i++)
        to[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
    *out = span_of(to, len);
    return true;
}

static bool add_configured(const struct conf_origin *o, struct http_fields *f, struct arena *a)
{
    struct span name;
    for (uint32_t i = 0; i < o->add_count; i++) {
        if (!lower(a, o->add[i].name, &name))
            return false;
        http_fields_remove_text(f, name); /* the client's own would be believed beside ours */
    }
    for (uint32_t i = 0; i < o->add_count; i++)
        if (!lower(a, o->add[i].name, &name) ||
            !http_fields_add(f, a, name, span_text(o->add[i].value)))
            return false;
    return true;
}

static void clean(const struct front_rewrite *w, struct http_request *r)
{
    struct http_fields *f = &r->fields;
    http_fields_remove_hop_by_hop(f);
    http_fields_remove(f, HTTP_NAME_TE);
    http_fields_remove(f, HTTP_NAME_EXPECT);
    http_fields_remove_text(f, SPAN(ORIGIN_PEER_HOPS));
    r->has_trailer_support = r->expect_continue = r->upgrade = false;
    drop_unkeyed(w, f);
}

bool front_rewrite_to_peer(const struct front_rewrite *w, unsigned hops, struct http_request *r,
                           struct arena *a)
{
    struct http_fields *f = &r->fields;
    struct span count;
    clean(w, r);
    r->scheme = w->client_tls ? SPAN("https") : SPAN("http");
    r->authority = w->authority;
    return arena_printf(a, &count, "%u", hops) && add_forwarded(w, f, a) &&
           add_cdn_loop(f, a, w->conf->node.id) &&
           http_fields_add(f, a, SPAN(ORIGIN_PEER_HOPS), count);
}

void front_rewrite_from_peer(struct http_response *r)
{
    http_fields_remove_hop_by_hop(&r->fields);
}

bool front_rewrite_outgoing(const struct front_rewrite *w,
                            const struct conf_origin_server *server, struct http_request *r,
                            struct arena *a)
{
    struct http_fields *f = &r->fields;
    clean(w, r);
    r->scheme = server->tls ? SPAN("https") : SPAN("http");
    switch (w->origin->host) {
    case CONF_HOST_PASS:
        r->authority = w->authority;
        break;
    case CONF_HOST_ORIGIN:
        r->authority = span_text(server->authority);
        break;
    case CONF_HOST_NAME:
        r->authority = span_text(w->origin->host_name);
        break;
    }
    return add_forwarded(w, f, a) && add_via(f, a, r->version) &&
           add_cdn_loop(f, a, w->conf->node.id) && add_configured(w->origin, f, a);
}

/* Is `parameter` node=<id>, as a token or a quoted string? */
static bool names_node(struct span parameter, struct span id)
{
    size_t equals;
    parameter = span_trim(parameter);
    if (!span_find(parameter, '=', &equals) ||
        !span_equal_nocase(span_until(parameter, equals), SPAN("node")))
        return false;
    struct span value = span_from(parameter, equals + 1);
    if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
        value = span_of(value.ptr + 1, value.len - 2);
    return span_equal(value, id);
}

bool front_rewrite_is_loop(const struct http_fields *f, const char *node_id)
{
    struct http_list list;
    struct span member, part, id = span_text(node_id);
    http_list_begin(&list, f, HTTP_NAME_CDN_LOOP);
    while (http_list_next(&list, &member)) {
        if (!span_split(&member, ';', &part) || !span_equal_nocase(span_trim(part), SPAN(NAME)))
            continue;
        while (span_split(&member, ';', &part))
            if (names_node(part, id))
                return true;
    }
    return false;
}

/* -- from the origin -- */

static void hide(const struct conf_texts *patterns, struct http_fields *f)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        bool hidden = false;
        for (uint32_t k = 0; k < patterns->count && !hidden; k++)
            hidden = span_glob(f->at[i].name, span_text(patterns->at[k]));
        if (!hidden)
            f->at[kept++] = f->at[i];
    }
    f->count = kept;
}

struct place { /* host and port as written in a URL */
    struct span host;
    uint64_t port; /* 0: not written */
};

static struct place place_of(struct span authority)
{
    struct place p = {.host = authority};
    size_t colon, bracket;
    bool v6 = authority.len && authority.ptr[0] == '[';
    if (!span_rfind(authority, ':', &colon) ||
        (v6 && (!span_rfind(authority, ']', &bracket) || bracket > colon)))
        return p;
    if (span_to_u64(span_from(authority, colon + 1), &p.port))
        p.host = span_until(authority, colon);
    return p;
}

/* server->host stands without brackets */
static bool is_server_host(struct span host, const struct conf_origin_server *server)
{
    if (host.len >= 2 && host.ptr[0] == '[')
        host = span_of(host.ptr + 1, host.len - 2);
    return span_equal_nocase(host, span_text(server->host));
}

/* Does a URL's authority mean the origin itself, under the name it was asked by? */
static bool is_origins(const struct front_rewrite *w, const struct conf_origin_server *server,
                       struct span authority, uint64_t port_default)
{
    struct place p = place_of(authority);
    uint64_t port = p.port ? p.port : port_default;
    if (is_server_host(p.host, server) && port == server->port)
        return true;
    if (w->origin->host != CONF_HOST_NAME)
        return false;
    struct place named = place_of(span_text(w->origin->host_name));
    return span_equal_nocase(p.host, named.host) &&
           (port == port_default || port == named.port || port == server->port);
}

/* "http://origin:8080/x" to "https://www.example.com/x"; `*out` is the value itself when it
 * does not point at the origin. */
static bool rewrite_url(const struct front_rewrite *w, const struct conf_origin_server *server,
                        struct span value, struct arena *a, struct span *out)
{
    *out = value;
    struct span rest;
    uint64_t port_default = server->tls ? 443 : 80;
    if (span_starts_nocase(value, SPAN("http://"))) {
        rest = span_from(value, 7);
        port_default = 80;
    } else if (span_starts_nocase(value, SPAN("https://"))) {
        rest = span_from(value, 8);
        port_default = 443;
    } else if (span_starts(value, SPAN("//"))) {
        rest = span_from(value, 2);
    } else {
        return true; /* relative to the target, which is the client's */
    }
    size_t end = 0;
    while (end < rest.len && !strchr("/?#\\", rest.ptr[end]))
        end++;
    if (!is_origins(w, server, span_until(rest, end), port_default))
        return true;
    rest = span_from(rest, end);
    return arena_printf(a, out, "%s://%.*s%.*s", w->client_tls ? "https" : "http",
                        SPAN_ARG(w->authority), SPAN_ARG(rest));
}

/* "5; url=http://origin/" (HTML, pragma directives) */
static bool rewrite_refresh(const struct front_rewrite *w,
                            const struct conf_origin_server *server, struct span value,
                            struct arena *a, struct span *out)
{
    struct span url;
    size_t at = 0;
    *out = value;
    while (at < value.len && value.ptr[at] != ';' && value.ptr[at] != ',')
        at++;
    while (at < value.len && strchr(";, \t", value.ptr[at]))
        at++;
    if (span_starts_nocase(span_from(value, at), SPAN("url=")))
        at += 4;
    if (at < value.len && (value.ptr[at] == '"' || value.ptr[at] == '\''))
        at++;
    struct span target = span_from(value, at);
    if (!rewrite_url(w, server, target, a, &url))
        return false;
    if (url.ptr == target.ptr)
        return true;
    return arena_printf(a, out, "%.*s%.*s", SPAN_ARG(span_until(value, at)), SPAN_ARG(url));
}

/* Set-Cookie: x=y; Domain=origin -> the client's host; a browser would refuse the origin's. */
static bool rewrite_cookie(const struct front_rewrite *w,
                           const struct conf_origin_server *server, struct span value,
                           struct arena *a, struct span *out)
{
    struct span rest = value, part;
    *out = value;
    while (span_split(&rest, ';', &part)) {
        size_t from = (size_t)(part.ptr - value.ptr), equals;
        if (!span_find(part, '=', &equals) ||
            !span_equal_nocase(span_trim(span_until(part, equals)), SPAN("domain")))
            continue;
        struct span domain = span_trim(span_from(part, equals + 1));
        if (domain.len && domain.ptr[0] == '.')
            domain = span_from(domain, 1);
        if (!is_origins(w, server, domain, server->port))
            continue;
        struct span host = place_of(w->authority).host;
        return arena_printf(a, out, "%.*s=%.*s%.*s", SPAN_ARG(span_until(value, from + equals)),
                            SPAN_ARG(host), SPAN_ARG(span_from(value, from + part.len)));
    }
    return true;
}

static bool rewrite_references(const struct front_rewrite *w,
                               const struct conf_origin_server *server, struct http_fields *f,
                               struct arena *a)
{
    for (uint32_t i = 0; i < f->count; i++) {
        struct http_field *field = &f->at[i];
        bool ok = true;
        if (field->id == HTTP_NAME_LOCATION || field->id == HTTP_NAME_CONTENT_LOCATION)
            ok = rewrite_url(w, server, field->value, a, &field->value);
        else if (field->id == HTTP_NAME_SET_COOKIE)
            ok = rewrite_cookie(w, server, field->value, a, &field->value);
        else if (span_equal(field->name, SPAN("refresh")))
            ok = rewrite_refresh(w, server, field->value, a, &field->value);
        if (!ok)
            return false;
    }
    return true;
}

bool front_rewrite_incoming(const struct front_rewrite *w,
                            const struct conf_origin_server *server, struct http_response *r,
                            struct arena *a)
{
    http_fields_remove_hop_by_hop(&r->fields);
    http_fields_remove_text(&r->fields, SPAN(ORIGIN_PEER_VECTOR)); /* a node's word alone */
    hide(&w->origin->hide, &r->fields);
    if (w->origin->host != CONF_HOST_PASS && !rewrite_references(w, server, &r->fields, a))
        return false;
    return add_via(&r->fields, a, r->version);
}

/* -- what we say about ourselves -- */

static struct span forward_text(enum cache_forward forward)
{
    switch (forward) {
    case CACHE_FORWARD_NONE:
        break;
    case CACHE_FORWARD_BYPASS:
        return SPAN("; fwd=bypass");
    case CACHE_FORWARD_METHOD:
        return SPAN("; fwd=method");
    case CACHE_FORWARD_URI_MISS:
        return SPAN("; fwd=uri-miss");
    case CACHE_FORWARD_VARY_MISS:
        return SPAN("; fwd=vary-miss");
    case CACHE_FORWARD_REQUEST:
        return SPAN("; fwd=request");
    case CACHE_FORWARD_STALE:
        return SPAN("; fwd=stale");
    case CACHE_FORWARD_MISS:
        return SPAN("; fwd=miss");
    }
    return SPAN("");
}

static char *put(char *at, struct span text)
{
    memcpy(at, text.ptr, text.len);
    return at + text.len;
}

static char *put_i64(char *at, int64_t value)
{
    char digits[20];
    size_t n = 0;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    if (value < 0)
        *at++ = '-';
    do
        digits[n++] = (char)('0' + left % 10);
    while (left /= 10);
    while (n)
        *at++ = digits[--n];
    return at;
}

/* Written by hand, not printed: every hit has one. */
bool front_rewrite_cache_status(const struct front_cache_status *s, struct arena *a,
                                struct span *out)
{
    struct span detail = span_text(s->detail);
    char *text = arena_alloc(a, VALUE_MAX + detail.len), *at = text;
    if (!text)
        return false;
    at = put(at, SPAN(NAME));
    if (s->hit) { /* RFC 9211 2.2: never together with fwd */
        at = put(at, SPAN("; hit"));
    } else {
        at = put(at, forward_text(s->forward));
        if (s->fwd_status) {
            at = put(at, SPAN("; fwd-status="));
            at = put_i64(at, s->fwd_status);
        }
    }
    if (s->ttl_known) {
        at = put(at, SPAN("; ttl="));
        at = put_i64(at, s->ttl_s);
    }
    if (s->stored && !s->hit)
        at = put(at, SPAN("; stored"));
    if (s->collapsed && !s->hit)
        at = put(at, SPAN("; collapsed"));
    if (detail.len) {
        at = put(at, SPAN("; detail="));
        at = put(at, detail);
    }
    *out = span_of(text, (size_t)(at - text));
    return true;
}

static char *put_ms(char *at, int64_t us)
{
    at = put_i64(at, us / 1000);
    *at++ = '.';
    *at++ = (char)('0' + us / 100 % 10);
    *at++ = (char)('0' + us / 10 % 10);
    return at;
}

bool front_rewrite_server_timing(const struct front_cache_status *s, int64_t total_us,
                                 int64_t origin_us, struct arena *a, struct span *out)
{
    char *text = arena_alloc(a, VALUE_MAX), *at = text;
    if (!text)
        return false;
    at = put(at, s->hit ? SPAN("cache;desc=hit") : SPAN("cache;desc=miss"));
    at = put(at, SPAN(", total;dur="));
    at = put_ms(at, total_us < 0 ? 0 : total_us);
    if (origin_us >= 0) {
        at = put(at, SPAN(", origin;dur="));
        at = put_ms(at, origin_us);
    }
    *out = span_of(text, (size_t)(at - text));
    return true;
}

/* RFC 9209 2.3, with the statuses that it recommends; loops are RFC 5842's 508. */
static const struct {
    struct span text;
    unsigned status;
} failures[] = {
    [CACHE_FAILURE_NONE] = {TEXT(""), 502},
    [CACHE_FAILURE_REFUSED] = {TEXT(NAME "; error=connection_refused"), 502},
    [CACHE_FAILURE_TIMEOUT] = {TEXT(NAME "; error=http_response_timeout"), 504},
    [CACHE_FAILURE_DNS] = {TEXT(NAME "; error=dns_error"), 502},
    [CACHE_FAILURE_TLS] = {TEXT(NAME "; error=tls_protocol_error"), 502},
    [CACHE_FAILURE_PROTOCOL] = {TEXT(NAME "; error=http_protocol_error"), 502},
    [CACHE_FAILURE_INCOMPLETE] = {TEXT(NAME "; error=http_response_incomplete"), 502},
    [CACHE_FAILURE_LOOP] = {TEXT(NAME "; error=proxy_loop_detected"), 508},
    [CACHE_FAILURE_CANCELLED] = {TEXT(""), 503},
    [CACHE_FAILURE_UNAVAILABLE] = {TEXT(NAME "; error=destination_unavailable"), 503},
};

struct span front_rewrite_proxy_status(enum cache_failure why)
{
    must((size_t)why < ARRAY_LEN(failures));
    return failures[why].text;
}

unsigned front_rewrite_failure_status(enum cache_failure why)
{
    must((size_t)why < ARRAY_LEN(failures));
    return failures[why].status;
}
