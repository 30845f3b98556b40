#include "base/http/structured.h"

/* The rest of the input; the first error sticks, and ends it. */
struct reader {
    struct span rest;
    struct arena *arena;
    enum err err;
};

static void fail(struct reader *r, enum err err)
{
    if (!r->err)
        r->err = err;
    r->rest = (struct span){0};
}

/* 0 at the end: no structured field holds a NUL. */
static char peek(const struct reader *r)
{
    if (r->rest.len)
        return r->rest.ptr[0];
    return '\0';
}

static void skip(struct reader *r, size_t bytes)
{
    r->rest = span_from(r->rest, bytes);
}

static bool take(struct reader *r, char c)
{
    if (peek(r) != c)
        return false;
    skip(r, 1);
    return true;
}

static void skip_sp(struct reader *r)
{
    while (take(r, ' ')) {
    }
}

static void skip_ows(struct reader *r)
{
    while (take(r, ' ') || take(r, '\t')) {
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_alpha(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool is_in(char c, const char *set)
{
    return c && strchr(set, c);
}

static bool is_key(char c)
{
    return is_lower(c) || is_digit(c) || is_in(c, "_-.*");
}

static bool is_token(char c)
{
    return is_alpha(c) || is_digit(c) || is_in(c, "!#$%&'*+-.^_`|~:/");
}

static bool is_base64(char c)
{
    return is_alpha(c) || is_digit(c) || is_in(c, "+/=");
}

static struct span take_while(struct reader *r, bool (*wanted)(char c))
{
    size_t len = 0;
    while (len < r->rest.len && wanted(r->rest.ptr[len]))
        len++;
    struct span taken = span_until(r->rest, len);
    skip(r, len);
    return taken;
}

static int64_t to_number(struct span digits)
{
    int64_t value = 0;
    for (size_t i = 0; i < digits.len; i++)
        value = value * 10 + (digits.ptr[i] - '0');
    return value;
}

/* 4.2.4 */
static void read_number(struct reader *r, struct http_sf_item *out)
{
    bool negative = take(r, '-');
    struct span whole = take_while(r, is_digit);
    if (!whole.len || whole.len > 15) {
        fail(r, ERR_SYNTAX);
        return;
    }
    out->kind = HTTP_SF_INTEGER;
    out->integer = to_number(whole);
    if (take(r, '.')) {
        struct span fraction = take_while(r, is_digit);
        if (whole.len > 12 || !fraction.len || fraction.len > 3) {
            fail(r, ERR_SYNTAX);
            return;
        }
        static const int64_t scale[] = {0, 100, 10, 1};
        out->kind = HTTP_SF_DECIMAL;
        out->integer = out->integer * 1000 + to_number(fraction) * scale[fraction.len];
    }
    if (negative)
        out->integer = -out->integer;
}

/* 4.2.5; the text is copied only when something is escaped in it. */
static void read_string(struct reader *r, struct http_sf_item *out)
{
    size_t len = 0, escapes = 0;
    skip(r, 1);
    for (; len < r->rest.len && r->rest.ptr[len] != '"'; len++) {
        char c = r->rest.ptr[len];
        if (c < 0x20 || c > 0x7e)
            break;
        if (c != '\\')
            continue;
        len++;
        escapes++;
        if (len == r->rest.len || !is_in(r->rest.ptr[len], "\"\\"))
            break;
    }
    if (len >= r->rest.len || r->rest.ptr[len] != '"') {
        fail(r, ERR_SYNTAX);
        return;
    }
    out->kind = HTTP_SF_STRING;
    out->text = span_until(r->rest, len);
    if (escapes) {
        char *text = arena_alloc(r->arena, len);
        size_t at = 0;
        if (!text) {
            fail(r, ERR_LIMIT);
            return;
        }
        for (size_t i = 0; i < len; i++)
            text[at++] = r->rest.ptr[r->rest.ptr[i] == '\\' ? ++i : i];
        out->text = span_of(text, at);
    }
    skip(r, len + 1);
}

static int hex_digit(char c) /* lower case only (4.2.10); -1: none */
{
    if (is_digit(c))
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing over U+10FFFF. */
static bool is_utf8(struct span s)
{
    size_t i = 0;
    while (i < s.len) {
        uint8_t lead = (uint8_t)s.ptr[i++];
        unsigned more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
        uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        if ((lead >= 0x80 && lead < 0xc2) || lead > 0xf4)
            return false;
        for (; more; more--, i++, low = 0x80, high = 0xbf)
            if (i == s.len || (uint8_t)s.ptr[i] < low || (uint8_t)s.ptr[i] > high)
                return false;
    }
    return true;
}

/* 4.2.10 */
static void read_display(struct reader *r, struct http_sf_item *out)
{
    char *text = arena_alloc(r->arena, r->rest.len + 1);
    size_t at = 0;
    if (!text) {
        fail(r, ERR_LIMIT);
        return;
    }
    skip(r, 1);
    bool ok = take(r, '"');
    while (ok && r->rest.len && peek(r) != '"') {
        char c = peek(r);
        skip(r, 1);
        ok = c >= 0x20 && c <= 0x7e;
        if (c == '%') {
            int high = r->rest.len > 1 ? hex_digit(r->rest.ptr[0]) : -1;
            int low = r->rest.len > 1 ? hex_digit(r->rest.ptr[1]) : -1;
            ok = high >= 0 && low >= 0;
            if (!ok)
                break;
            c = (char)(high * 16 + low);
            skip(r, 2);
        }
        text[at++] = c;
    }
    if (!ok || !take(r, '"') || !is_utf8(span_of(text, at))) {
        fail(r, ERR_SYNTAX);
        return;
    }
    out->kind = HTTP_SF_DISPLAY;
    out->text = span_of(text, at);
}

/* 4.2.7 */
static void read_bytes(struct reader *r, struct http_sf_item *out)
{
    skip(r, 1);
    out->kind = HTTP_SF_BYTES;
    out->text = take_while(r, is_base64);
    if (!take(r, ':'))
        fail(r, ERR_SYNTAX);
}

static void read_boolean(struct reader *r, struct http_sf_item *out)
{
    skip(r, 1);
    out->kind = HTTP_SF_BOOLEAN;
    out->boolean = peek(r) == '1';
    if (!take(r, '1') && !take(r, '0'))
        fail(r, ERR_SYNTAX);
}

static void read_date(struct reader *r, struct http_sf_item *out)
{
    skip(r, 1);
    read_number(r, out);
    if (out->kind != HTTP_SF_INTEGER)
        fail(r, ERR_SYNTAX);
    out->kind = HTTP_SF_DATE;
}

static void read_bare_item(struct reader *r, struct http_sf_item *out)
{
    char c = peek(r);
    *out = (struct http_sf_item){.kind = HTTP_SF_TOKEN};
    if (c == '-' || is_digit(c))
        read_number(r, out);
    else if (c == '"')
        read_string(r, out);
    else if (c == ':')
        read_bytes(r, out);
    else if (c == '?')
        read_boolean(r, out);
    else if (c == '@')
        read_date(r, out);
    else if (c == '%')
        read_display(r, out);
    else if (c == '*' || is_alpha(c))
        out->text = take_while(r, is_token);
    else
        fail(r, ERR_SYNTAX);
}

static struct span read_key(struct reader *r)
{
    char c = peek(r);
    if (c != '*' && !is_lower(c)) {
        fail(r, ERR_SYNTAX);
        return (struct span){0};
    }
    return take_while(r, is_key);
}

static void read_parameters(struct reader *r)
{
    struct http_sf_item unused;
    while (take(r, ';')) {
        skip_sp(r);
        read_key(r);
        if (take(r, '='))
            read_bare_item(r, &unused);
    }
}

static void read_inner_list(struct reader *r)
{
    struct http_sf_item unused;
    skip(r, 1);
    for (;;) {
        skip_sp(r);
        if (take(r, ')') || r->err)
            return;
        read_bare_item(r, &unused);
        read_parameters(r);
        if (peek(r) != ' ' && peek(r) != ')')
            fail(r, ERR_SYNTAX);
    }
}

static void read_value(struct reader *r, struct http_sf_member *out)
{
    out->is_inner_list = peek(r) == '(';
    if (out->is_inner_list)
        read_inner_list(r);
    else
        read_bare_item(r, &out->item);
    read_parameters(r);
}

static void read_member(struct reader *r, bool keys, struct http_sf_member *out)
{
    *out = (struct http_sf_member){0};
    if (keys) {
        out->key = read_key(r);
        if (!take(r, '=')) { /* a key alone is true */
            out->item.kind = HTTP_SF_BOOLEAN;
            out->item.boolean = true;
            read_parameters(r);
            return;
        }
    }
    read_value(r, out);
}

static void place(struct http_sf_members *m, bool keys, const struct http_sf_member *member)
{
    uint32_t i = 0;
    while (i < m->count && !(keys && span_equal(m->at[i].key, member->key)))
        i++;
    m->at[i] = *member;
    if (i == m->count)
        m->count++;
}

static enum err read_members(struct span value, bool keys, struct arena *a,
                             struct http_sf_members *out)
{
    struct reader r = {.rest = value, .arena = a};
    struct http_sf_members members = {0};
    size_t room = 1;
    for (size_t i = 0; i < value.len; i++)
        room += value.ptr[i] == ',';
    room = room < HTTP_SF_MEMBERS ? room : HTTP_SF_MEMBERS;
    skip_sp(&r);
    if (!r.rest.len) {
        *out = members;
        return ERR_OK;
    }
    members.at = arena_alloc(a, room * sizeof *members.at);
    if (!members.at)
        return ERR_LIMIT;
    for (uint32_t seen = 0;; seen++) {
        struct http_sf_member member;
        if (seen == HTTP_SF_MEMBERS)
            return ERR_LIMIT;
        read_member(&r, keys, &member);
        if (r.err)
            return r.err;
        place(&members, keys, &member);
        skip_ows(&r);
        if (!r.rest.len)
            break;
        if (!take(&r, ','))
            return ERR_SYNTAX;
        skip_ows(&r);
        if (!r.rest.len) /* a comma at the end */
            return ERR_SYNTAX;
    }
    *out = members;
    return ERR_OK;
}

enum err http_sf_list(struct span value, struct arena *a, struct http_sf_members *out)
{
    return read_members(value, false, a, out);
}

enum err http_sf_dictionary(struct span value, struct arena *a, struct http_sf_members *out)
{
    return read_members(value, true, a, out);
}
