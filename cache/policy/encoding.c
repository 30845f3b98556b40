#include "cache/policy/encoding.h"

#include "cache/policy/etag.h"

static const char *const texts[] = {
    [POLICY_IDENTITY] = "identity",
    [POLICY_GZIP] = "gzip",
    [POLICY_ZSTD] = "zstd",
    [POLICY_BROTLI] = "br",
    [POLICY_ENCODING_OTHER] = "other",
};

struct span policy_encoding_text(enum policy_encoding e)
{
    must((size_t)e < ARRAY_LEN(texts));
    return span_text(texts[e]);
}

static enum policy_encoding find(struct span coding)
{
    if (span_equal_nocase(coding, SPAN("x-gzip"))) /* RFC 9110 8.4.1.3 */
        return POLICY_GZIP;
    for (unsigned e = 0; e < POLICY_ENCODINGS; e++)
        if (span_equal_nocase(coding, span_text(texts[e])))
            return (enum policy_encoding)e;
    return POLICY_ENCODING_OTHER;
}

/* --- what the client takes --- */

#define UNSAID INT16_MAX

static void take_least(int16_t *weight, unsigned thousandths)
{
    int16_t said = thousandths ? (int16_t)thousandths : POLICY_REFUSED;
    if (said < *weight)
        *weight = said;
}

void policy_encoding_accept(const struct http_fields *request, struct policy_accept *out)
{
    struct http_list list;
    struct span member, coding;
    unsigned thousandths;
    int16_t star = UNSAID;
    for (unsigned e = 0; e < POLICY_ENCODINGS; e++)
        out->weight[e] = UNSAID;
    http_list_begin(&list, request, HTTP_NAME_ACCEPT_ENCODING);
    while (http_list_next(&list, &member)) {
        if (!http_quality(member, &coding, &thousandths))
            continue;
        enum policy_encoding e = find(coding);
        if (span_equal(coding, SPAN("*")))
            take_least(&star, thousandths);
        else if (e != POLICY_ENCODING_OTHER)
            take_least(&out->weight[e], thousandths);
    }
    for (unsigned e = 0; e < POLICY_ENCODINGS; e++) {
        if (out->weight[e] == UNSAID)
            out->weight[e] = star;
        if (out->weight[e] == UNSAID)
            out->weight[e] = e == POLICY_IDENTITY ? 0 : POLICY_REFUSED;
    }
}

/* The only line of Accept-Encoding; NULL: there is none, or several. */
static const struct http_field *only_line(const struct http_fields *f)
{
    const struct http_field *only = NULL;
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->at[i].id != HTTP_NAME_ACCEPT_ENCODING)
            continue;
        if (only)
            return NULL;
        only = &f->at[i];
    }
    return only;
}

enum policy_encoding policy_encoding_accept_again(struct policy_accept_memo *memo,
                                                  const struct http_fields *request,
                                                  struct policy_accept *out)
{
    static const struct policy_forms all = {
        .base = POLICY_IDENTITY, .made = POLICY_MAKEABLE | POLICY_BIT(POLICY_BROTLI)};
    const struct http_field *line = only_line(request);
    size_t len = line ? line->value.len : 0;
    if (len == 0 || len > sizeof(memo->text)) {
        policy_encoding_accept(request, out);
        return POLICY_IDENTITY;
    }
    if (len != memo->len || memcmp(memo->text, line->value.ptr, len) != 0) {
        struct policy_form top;
        memcpy(memo->text, line->value.ptr, len);
        memo->len = len;
        policy_encoding_accept(request, &memo->accept);
        policy_encoding_pick(&memo->accept, &all, false, &top);
        memo->top = top.encoding;
    }
    *out = memo->accept;
    return memo->top;
}

/* --- what is stored --- */

enum policy_encoding policy_encoding_of(const struct http_fields *response)
{
    enum policy_encoding found = POLICY_IDENTITY;
    struct http_list list;
    struct span member;
    http_list_begin(&list, response, HTTP_NAME_CONTENT_ENCODING);
    while (http_list_next(&list, &member)) {
        enum policy_encoding e = find(member);
        if (e == POLICY_IDENTITY)
            continue;
        if (found != POLICY_IDENTITY)
            return POLICY_ENCODING_OTHER;
        found = e;
    }
    return found;
}

/* In whatever field, and with an argument that it should not have, too: an origin that says it
 * anywhere means it. */
static bool forbids_transform(const struct http_fields *response)
{
    static const enum http_name fields[] = {
        HTTP_NAME_CACHE_CONTROL, HTTP_NAME_CDN_CACHE_CONTROL, HTTP_NAME_SURROGATE_CONTROL};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        struct http_list list;
        struct span member;
        size_t at;
        http_list_begin(&list, response, fields[i]);
        while (http_list_next(&list, &member)) {
            if (span_find(member, '=', &at) || span_find(member, ';', &at))
                member = span_trim(span_until(member, at));
            if (span_equal_nocase(member, SPAN("no-transform")))
                return true;
        }
    }
    return false;
}

bool policy_encoding_may_change(unsigned status, const struct http_fields *response)
{
    enum policy_encoding e = policy_encoding_of(response);
    return (e == POLICY_IDENTITY || (POLICY_BIT(e) & POLICY_MAKEABLE)) && status != 206 &&
           !http_status_is_bodyless(status) &&
           !http_fields_find(response, HTTP_NAME_CONTENT_RANGE) && !forbids_transform(response);
}

bool policy_encoding_is_worth(const struct conf_variants *conf,
                              const struct http_fields *response, int64_t body_bytes)
{
    const struct http_field *field = http_fields_find(response, HTTP_NAME_CONTENT_TYPE);
    struct span type = field ? field->value : (struct span){0};
    size_t at;
    if (span_find(type, ';', &at))
        type = span_until(type, at);
    type = span_trim(type);
    /* Each event must go out when it comes; an encoder would hold it back. */
    if (!type.len || span_equal_nocase(type, SPAN("text/event-stream")))
        return false;
    if (policy_encoding_of(response) == POLICY_IDENTITY && body_bytes != HTTP_LENGTH_UNKNOWN &&
        ((uint64_t)body_bytes < conf->min_bytes || (uint64_t)body_bytes > conf->max_bytes))
        return false;
    for (uint32_t i = 0; i < conf->types.count; i++)
        if (span_glob(type, span_text(conf->types.at[i])))
            return true;
    return false;
}

bool policy_encoding_varies(const struct http_fields *response)
{
    return http_list_has(response, HTTP_NAME_VARY, SPAN("Accept-Encoding"));
}

bool policy_encoding_vary(struct http_fields *response, struct arena *a)
{
    struct span name = SPAN("Accept-Encoding"), member;
    struct http_list list;
    size_t bytes = name.len;
    http_list_begin(&list, response, HTTP_NAME_VARY);
    while (http_list_next(&list, &member)) {
        if (span_equal(member, SPAN("*")) || span_equal_nocase(member, name))
            return true;
        bytes += member.len + 2;
    }
    char *text = arena_alloc(a, bytes), *to = text;
    if (!text)
        return false;
    http_list_begin(&list, response, HTTP_NAME_VARY);
    while (http_list_next(&list, &member)) {
        memcpy(to, member.ptr, member.len);
        memcpy(to + member.len, ", ", 2);
        to += member.len + 2;
    }
    memcpy(to, name.ptr, name.len);
    http_fields_remove(response, HTTP_NAME_VARY);
    return http_fields_add_named(response, a, HTTP_NAME_VARY, span_of(text, bytes));
}

/* --- the choice --- */

/* Where the client gets `e` from; false: nowhere. */
static bool find_source(const struct policy_forms *f, enum policy_encoding e,
                        enum policy_form_how *out)
{
    if (e == f->base)
        *out = POLICY_FORM_BASE;
    else if (f->made & POLICY_BIT(e))
        *out = POLICY_FORM_MADE;
    else if (e == POLICY_IDENTITY && f->decodes)
        *out = POLICY_FORM_DECODE;
    else if (e != POLICY_IDENTITY && (f->quick & POLICY_BIT(e)))
        *out = POLICY_FORM_ENCODE;
    else
        return false;
    return true;
}

static bool is_there(const struct policy_forms *f, enum policy_encoding e)
{
    return e == f->base || (f->made & POLICY_BIT(e));
}

/* One number that orders by weight, then "is the whole form there?", then our preference. */
static int rate(const struct policy_accept *accept, enum policy_encoding e, bool there,
                bool whole)
{
    static const uint8_t preference[POLICY_ENCODINGS] = {
        [POLICY_IDENTITY] = 0, [POLICY_GZIP] = 1, [POLICY_BROTLI] = 2, [POLICY_ZSTD] = 3};
    int weight = accept->weight[e];
    if (weight == POLICY_REFUSED)
        return POLICY_REFUSED;
    if (whole && e == POLICY_IDENTITY)
        weight = 1001; /* above all that a client can say */
    return weight * 8 + (there ? 4 : 0) + preference[e];
}

/* The best of what could be there next time, if that is better than `rating`. */
static uint8_t find_wanted(const struct policy_accept *accept, const struct policy_forms *f,
                           bool whole, int rating)
{
    uint8_t wanted = 0;
    for (unsigned i = 0; i < POLICY_ENCODINGS; i++) {
        enum policy_encoding e = (enum policy_encoding)i;
        if (!(f->later & POLICY_BIT(e)) || is_there(f, e) || (whole && e != POLICY_IDENTITY))
            continue;
        int rated = rate(accept, e, true, whole);
        if (rated > rating) {
            rating = rated;
            wanted = POLICY_BIT(e);
        }
    }
    return wanted;
}

void policy_encoding_pick(const struct policy_accept *accept, const struct policy_forms *forms,
                          bool whole, struct policy_form *out)
{
    int best = POLICY_REFUSED;
    enum policy_form_how how;
    *out = (struct policy_form){POLICY_FORM_BASE, forms->base, 0, false};
    if (find_source(forms, POLICY_IDENTITY, &how))
        *out = (struct policy_form){how, POLICY_IDENTITY, 0, false};
    for (unsigned i = 0; i < POLICY_ENCODINGS; i++) {
        enum policy_encoding e = (enum policy_encoding)i;
        if ((whole && e != POLICY_IDENTITY && e != forms->base) || !find_source(forms, e, &how))
            continue;
        int rated = rate(accept, e, is_there(forms, e), whole);
        if (rated > best) {
            best = rated;
            *out = (struct policy_form){how, e, 0, false};
        }
    }
    /* Of a coding that we do not know we cannot tell whether the client takes it. */
    out->refused = best == POLICY_REFUSED && out->encoding != POLICY_ENCODING_OTHER;
    out->wanted = find_wanted(accept, forms, whole, best);
}

/* --- what a made form says --- */

/* Of the bytes as they were received. */
static bool is_of_bytes(const struct http_field *field)
{
    static const char *const digests[] = {"content-md5", "digest", "content-digest",
                                          "repr-digest"};
    if (field->id == HTTP_NAME_ACCEPT_RANGES || field->id == HTTP_NAME_CONTENT_ENCODING)
        return true;
    for (size_t i = 0; field->id == HTTP_NAME_OTHER && i < ARRAY_LEN(digests); i++)
        if (span_equal_nocase(field->name, span_text(digests[i])))
            return true;
    return false;
}

bool policy_encoding_fields(const struct http_fields *base, enum policy_encoding to,
                            struct arena *a, struct http_fields *out)
{
    for (uint32_t i = 0; i < base->count; i++) {
        const struct http_field *field = &base->at[i];
        struct span value = field->value;
        if (is_of_bytes(field))
            continue;
        if (field->id == HTTP_NAME_ETAG) {
            if (!policy_encoding_etag(field->value, to, a, &value))
                return false;
            if (!value.len) /* two forms with one tag would be worse than one without */
                continue;
        }
        if (!http_fields_add(out, a, field->name, value))
            return false;
    }
    return to == POLICY_IDENTITY ||
           http_fields_add_named(out, a, HTTP_NAME_CONTENT_ENCODING, policy_encoding_text(to));
}

bool policy_encoding_etag(struct span base, enum policy_encoding to, struct arena *a,
                          struct span *out)
{
    struct span opaque;
    if (!policy_etag_opaque(base, &opaque)) {
        *out = (struct span){0};
        return true;
    }
    return arena_printf(a, out, "W/\"%.*s-%s\"", SPAN_ARG(opaque), texts[to]);
}

/* Is it of the kind that policy_encoding_etag makes? What stood between the quotes before? */
static bool is_made(struct span tag, struct span *out_opaque, enum policy_encoding *out)
{
    static const enum policy_encoding made[] = {POLICY_IDENTITY, POLICY_GZIP, POLICY_ZSTD};
    struct span opaque;
    if (!policy_etag_is_weak(tag) || !policy_etag_opaque(tag, &opaque))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        struct span text = span_text(texts[made[i]]);
        if (!span_ends(opaque, text))
            continue;
        struct span rest = span_until(opaque, opaque.len - text.len);
        if (!span_ends(rest, SPAN("-")))
            continue;
        *out_opaque = span_until(rest, rest.len - 1);
        *out = made[i];
        return true;
    }
    return false;
}

bool policy_encoding_etag_is_of(struct span tag, struct span base, enum policy_encoding *out)
{
    struct span opaque, before;
    enum policy_encoding e;
    if (!policy_etag_opaque(base, &opaque) || !is_made(tag, &before, &e) ||
        !span_equal(opaque, before))
        return false;
    *out = e;
    return true;
}

/* --- towards the origin --- */

bool policy_encoding_ask(struct http_fields *request, const struct conf_variants *conf,
                         struct arena *a)
{
    static const char *const lists[] = {/* zstd 4, br 2, gzip 1 */
                                        "identity", "gzip",       "br",       "br, gzip",
                                        "zstd",     "zstd, gzip", "zstd, br", "zstd, br, gzip"};
    unsigned asked = 0;
    struct policy_accept client;
    policy_encoding_accept(request, &client);
    if (conf)
        asked = conf->fetch_zstd * 4u + conf->fetch_gzip * 1u;
    if (conf && conf->fetch_br && client.weight[POLICY_BROTLI] >= 0)
        asked += 2u;
    http_fields_remove(request, HTTP_NAME_ACCEPT_ENCODING);
    return http_fields_add_named(request, a, HTTP_NAME_ACCEPT_ENCODING,
                                 span_text(lists[asked]));
}

/* In front: a client may have left the quotes of its last tag open. */
static bool join_bases(struct span *value, struct arena *a)
{
    struct span rest = *value, tag, opaque;
    enum policy_encoding e;
    size_t bytes = 0;
    while (policy_etag_next(&rest, &tag))
        if (is_made(tag, &opaque, &e))
            bytes += sizeof "W/\"\", " - 1 + opaque.len;
    if (!bytes)
        return true;
    bytes += value->len;
    char *text = arena_alloc(a, bytes), *to = text;
    if (!text)
        return false;
    for (rest = *value; policy_etag_next(&rest, &tag);) {
        if (!is_made(tag, &opaque, &e))
            continue;
        memcpy(to, "W/\"", 3);
        memcpy(to + 3, opaque.ptr, opaque.len);
        memcpy(to + 3 + opaque.len, "\", ", 3);
        to += 6 + opaque.len;
    }
    memcpy(to, value->ptr, value->len);
    *value = span_of(text, bytes);
    return true;
}

bool policy_encoding_map_back(struct http_fields *request, struct arena *a)
{
    for (uint32_t i = 0; i < request->count; i++)
        if (request->at[i].id == HTTP_NAME_IF_NONE_MATCH &&
            !join_bases(&request->at[i].value, a))
            return false;
    return true;
}

bool policy_encoding_map_forth(const struct http_fields *request, struct http_fields *response,
                               struct arena *a)
{
    struct span mine = {0};
    struct http_field *etag = NULL;
    for (uint32_t i = 0; i < response->count && !etag; i++)
        if (response->at[i].id == HTTP_NAME_ETAG)
            etag = &response->at[i];
    for (uint32_t i = 0; etag && i < request->count; i++) {
        struct span rest = request->at[i].value, tag;
        enum policy_encoding e;
        if (request->at[i].id != HTTP_NAME_IF_NONE_MATCH)
            continue;
        while (policy_etag_next(&rest, &tag)) {
            if (policy_etag_weak_equal(tag, etag->value))
                return true;
            if (!mine.len && policy_encoding_etag_is_of(tag, etag->value, &e))
                mine = tag;
        }
    }
    return !mine.len || arena_copy(a, mine, &etag->value);
}
