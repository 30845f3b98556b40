#include "base/http/fields.h"

/* Every member of enum http_name, in its order. */
static const struct span texts[HTTP_NAME_COUNT] = {
    [HTTP_NAME_OTHER] = {"", 0},
    [HTTP_NAME_ACCEPT] = {"accept", 6},
    [HTTP_NAME_ACCEPT_ENCODING] = {"accept-encoding", 15},
    [HTTP_NAME_ACCEPT_LANGUAGE] = {"accept-language", 15},
    [HTTP_NAME_ACCEPT_RANGES] = {"accept-ranges", 13},
    [HTTP_NAME_AGE] = {"age", 3},
    [HTTP_NAME_ALLOW] = {"allow", 5},
    [HTTP_NAME_ALT_SVC] = {"alt-svc", 7},
    [HTTP_NAME_AUTHORIZATION] = {"authorization", 13},
    [HTTP_NAME_CACHE_CONTROL] = {"cache-control", 13},
    [HTTP_NAME_CACHE_GROUPS] = {"cache-groups", 12},
    [HTTP_NAME_CACHE_STATUS] = {"cache-status", 12},
    [HTTP_NAME_CACHE_TAG] = {"cache-tag", 9},
    [HTTP_NAME_CDN_CACHE_CONTROL] = {"cdn-cache-control", 17},
    [HTTP_NAME_CDN_LOOP] = {"cdn-loop", 8},
    [HTTP_NAME_CONNECTION] = {"connection", 10},
    [HTTP_NAME_CONTENT_DISPOSITION] = {"content-disposition", 19},
    [HTTP_NAME_CONTENT_ENCODING] = {"content-encoding", 16},
    [HTTP_NAME_CONTENT_LANGUAGE] = {"content-language", 16},
    [HTTP_NAME_CONTENT_LENGTH] = {"content-length", 14},
    [HTTP_NAME_CONTENT_LOCATION] = {"content-location", 16},
    [HTTP_NAME_CONTENT_RANGE] = {"content-range", 13},
    [HTTP_NAME_CONTENT_TYPE] = {"content-type", 12},
    [HTTP_NAME_COOKIE] = {"cookie", 6},
    [HTTP_NAME_DATE] = {"date", 4},
    [HTTP_NAME_ETAG] = {"etag", 4},
    [HTTP_NAME_EXPECT] = {"expect", 6},
    [HTTP_NAME_EXPIRES] = {"expires", 7},
    [HTTP_NAME_FORWARDED] = {"forwarded", 9},
    [HTTP_NAME_HOST] = {"host", 4},
    [HTTP_NAME_IF_MATCH] = {"if-match", 8},
    [HTTP_NAME_IF_MODIFIED_SINCE] = {"if-modified-since", 17},
    [HTTP_NAME_IF_NONE_MATCH] = {"if-none-match", 13},
    [HTTP_NAME_IF_RANGE] = {"if-range", 8},
    [HTTP_NAME_IF_UNMODIFIED_SINCE] = {"if-unmodified-since", 19},
    [HTTP_NAME_KEEP_ALIVE] = {"keep-alive", 10},
    [HTTP_NAME_LAST_MODIFIED] = {"last-modified", 13},
    [HTTP_NAME_LINK] = {"link", 4},
    [HTTP_NAME_LOCATION] = {"location", 8},
    [HTTP_NAME_PRAGMA] = {"pragma", 6},
    [HTTP_NAME_PROXY_AUTHENTICATE] = {"proxy-authenticate", 18},
    [HTTP_NAME_PROXY_AUTHENTICATION_INFO] = {"proxy-authentication-info", 25},
    [HTTP_NAME_PROXY_AUTHORIZATION] = {"proxy-authorization", 19},
    [HTTP_NAME_PROXY_CONNECTION] = {"proxy-connection", 16},
    [HTTP_NAME_PROXY_STATUS] = {"proxy-status", 12},
    [HTTP_NAME_RANGE] = {"range", 5},
    [HTTP_NAME_RETRY_AFTER] = {"retry-after", 11},
    [HTTP_NAME_SERVER] = {"server", 6},
    [HTTP_NAME_SERVER_TIMING] = {"server-timing", 13},
    [HTTP_NAME_SET_COOKIE] = {"set-cookie", 10},
    [HTTP_NAME_SURROGATE_CONTROL] = {"surrogate-control", 17},
    [HTTP_NAME_SURROGATE_KEY] = {"surrogate-key", 13},
    [HTTP_NAME_TE] = {"te", 2},
    [HTTP_NAME_TRAILER] = {"trailer", 7},
    [HTTP_NAME_TRANSFER_ENCODING] = {"transfer-encoding", 17},
    [HTTP_NAME_UPGRADE] = {"upgrade", 7},
    [HTTP_NAME_USER_AGENT] = {"user-agent", 10},
    [HTTP_NAME_VARY] = {"vary", 4},
    [HTTP_NAME_VIA] = {"via", 3},
    [HTTP_NAME_WARNING] = {"warning", 7},
    [HTTP_NAME_X_FORWARDED_FOR] = {"x-forwarded-for", 15},
    [HTTP_NAME_X_FORWARDED_HOST] = {"x-forwarded-host", 16},
    [HTTP_NAME_X_FORWARDED_PORT] = {"x-forwarded-port", 16},
    [HTTP_NAME_X_FORWARDED_PROTO] = {"x-forwarded-proto", 17},
    [HTTP_NAME_X_HTTP_METHOD_OVERRIDE] = {"x-http-method-override", 22},
    [HTTP_NAME_X_MAGENTO_TAGS] = {"x-magento-tags", 14},
    [HTTP_NAME_X_ORIGINAL_URL] = {"x-original-url", 14},
    [HTTP_NAME_X_REQUEST_ID] = {"x-request-id", 12},
    [HTTP_NAME_X_REWRITE_URL] = {"x-rewrite-url", 13},
    [HTTP_NAME_XKEY] = {"xkey", 4},
};

/* The known names of each length: at most nine to compare, and the last letter tells them
 * apart. fields_test.c checks that each name finds itself. */
#define SAME_LENGTH_MAX 9
#define NAME_BYTES_MAX 25
static const uint8_t by_length[NAME_BYTES_MAX + 1][SAME_LENGTH_MAX + 1] = {
    [2] = {HTTP_NAME_TE},
    [3] = {HTTP_NAME_AGE, HTTP_NAME_VIA},
    [4] = {HTTP_NAME_DATE, HTTP_NAME_ETAG, HTTP_NAME_HOST, HTTP_NAME_LINK, HTTP_NAME_VARY,
           HTTP_NAME_XKEY},
    [5] = {HTTP_NAME_ALLOW, HTTP_NAME_RANGE},
    [6] = {HTTP_NAME_ACCEPT, HTTP_NAME_COOKIE, HTTP_NAME_EXPECT, HTTP_NAME_PRAGMA,
           HTTP_NAME_SERVER},
    [7] = {HTTP_NAME_ALT_SVC, HTTP_NAME_EXPIRES, HTTP_NAME_TRAILER, HTTP_NAME_UPGRADE,
           HTTP_NAME_WARNING},
    [8] = {HTTP_NAME_CDN_LOOP, HTTP_NAME_IF_MATCH, HTTP_NAME_IF_RANGE, HTTP_NAME_LOCATION},
    [9] = {HTTP_NAME_CACHE_TAG, HTTP_NAME_FORWARDED},
    [10] = {HTTP_NAME_CONNECTION, HTTP_NAME_KEEP_ALIVE, HTTP_NAME_SET_COOKIE,
            HTTP_NAME_USER_AGENT},
    [11] = {HTTP_NAME_RETRY_AFTER},
    [12] = {HTTP_NAME_CACHE_GROUPS, HTTP_NAME_CACHE_STATUS, HTTP_NAME_CONTENT_TYPE,
            HTTP_NAME_PROXY_STATUS, HTTP_NAME_X_REQUEST_ID},
    [13] = {HTTP_NAME_ACCEPT_RANGES, HTTP_NAME_AUTHORIZATION, HTTP_NAME_CACHE_CONTROL,
            HTTP_NAME_CONTENT_RANGE, HTTP_NAME_IF_NONE_MATCH, HTTP_NAME_LAST_MODIFIED,
            HTTP_NAME_SERVER_TIMING, HTTP_NAME_SURROGATE_KEY, HTTP_NAME_X_REWRITE_URL},
    [14] = {HTTP_NAME_CONTENT_LENGTH, HTTP_NAME_X_MAGENTO_TAGS, HTTP_NAME_X_ORIGINAL_URL},
    [15] = {HTTP_NAME_ACCEPT_ENCODING, HTTP_NAME_ACCEPT_LANGUAGE, HTTP_NAME_X_FORWARDED_FOR},
    [16] = {HTTP_NAME_CONTENT_ENCODING, HTTP_NAME_CONTENT_LANGUAGE, HTTP_NAME_CONTENT_LOCATION,
            HTTP_NAME_PROXY_CONNECTION, HTTP_NAME_X_FORWARDED_HOST, HTTP_NAME_X_FORWARDED_PORT},
    [17] = {HTTP_NAME_CDN_CACHE_CONTROL, HTTP_NAME_IF_MODIFIED_SINCE,
            HTTP_NAME_SURROGATE_CONTROL, HTTP_NAME_TRANSFER_ENCODING,
            HTTP_NAME_X_FORWARDED_PROTO},
    [18] = {HTTP_NAME_PROXY_AUTHENTICATE},
    [19] = {HTTP_NAME_CONTENT_DISPOSITION, HTTP_NAME_IF_UNMODIFIED_SINCE,
            HTTP_NAME_PROXY_AUTHORIZATION},
    [22] = {HTTP_NAME_X_HTTP_METHOD_OVERRIDE},
    [25] = {HTTP_NAME_PROXY_AUTHENTICATION_INFO},
};

const unsigned char http_token_lower[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*',
    ['+'] = '+', ['-'] = '-', ['.'] = '.', ['0'] = '0', ['1'] = '1', ['2'] = '2',   ['3'] = '3',
    ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9',   ['A'] = 'a',
    ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g',   ['H'] = 'h',
    ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n',   ['O'] = 'o',
    ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u',   ['V'] = 'v',
    ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z', ['^'] = '^', ['_'] = '_',   ['`'] = '`',
    ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f',   ['g'] = 'g',
    ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm',   ['n'] = 'n',
    ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't',   ['u'] = 'u',
    ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z', ['|'] = '|',   ['~'] = '~',
};

struct span http_name_text(enum http_name id)
{
    must((unsigned)id < HTTP_NAME_COUNT);
    return texts[id];
}

enum http_name http_name_find(struct span name)
{
    if (name.len > NAME_BYTES_MAX || name.len == 0)
        return HTTP_NAME_OTHER;
    char last = name.ptr[name.len - 1];
    for (const uint8_t *id = by_length[name.len]; *id != HTTP_NAME_OTHER; id++) {
        const char *text = texts[*id].ptr;
        if (text[name.len - 1] == last && memcmp(text, name.ptr, name.len) == 0)
            return (enum http_name) * id;
    }
    return HTTP_NAME_OTHER;
}

#define ROOM_FIRST 16u

static bool append(struct http_fields *f, struct arena *a, struct http_field field)
{
    if (f->count == f->room) {
        uint32_t room = f->room < ROOM_FIRST ? ROOM_FIRST : f->room * 2;
        struct http_field *at = arena_alloc(a, room * sizeof *at);
        if (!at)
            return false;
        if (f->count > 0)
            memcpy(at, f->at, f->count * sizeof *at);
        f->at = at;
        f->room = room;
    }
    f->at[f->count++] = field;
    return true;
}

bool http_fields_add(struct http_fields *f, struct arena *a, struct span name,
                     struct span value)
{
    uint16_t id = (uint16_t)http_name_find(name);
    return append(f, a, (struct http_field){name, value, id});
}

bool http_fields_add_named(struct http_fields *f, struct arena *a, enum http_name id,
                           struct span value)
{
    must(id != HTTP_NAME_OTHER);
    return append(f, a, (struct http_field){http_name_text(id), value, (uint16_t)id});
}

const struct http_field *http_fields_find(const struct http_fields *f, enum http_name id)
{
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->at[i].id == id)
            return &f->at[i];
    }
    return NULL;
}

const struct http_field *http_fields_find_text(const struct http_fields *f, struct span name)
{
    for (uint32_t i = 0; i < f->count; i++) {
        if (span_equal_nocase(f->at[i].name, name))
            return &f->at[i];
    }
    return NULL;
}

uint32_t http_fields_count(const struct http_fields *f, enum http_name id)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < f->count; i++)
        count += f->at[i].id == id;
    return count;
}

void http_fields_remove(struct http_fields *f, enum http_name id)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->at[i].id != id)
            f->at[kept++] = f->at[i];
    }
    f->count = kept;
}

void http_fields_remove_text(struct http_fields *f, struct span name)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        if (!span_equal_nocase(f->at[i].name, name))
            f->at[kept++] = f->at[i];
    }
    f->count = kept;
}

void http_fields_remove_listed(struct http_fields *f, struct span list)
{
    struct http_list l;
    struct span name;
    http_list_begin_value(&l, list);
    while (http_list_next(&l, &name)) {
        if (!span_equal_nocase(name, texts[HTTP_NAME_CONNECTION]))
            http_fields_remove_text(f, name);
    }
}

static bool is_hop_by_hop(uint16_t id)
{
    switch (id) {
    case HTTP_NAME_CONNECTION:
    case HTTP_NAME_KEEP_ALIVE:
    case HTTP_NAME_PROXY_AUTHENTICATE:
    case HTTP_NAME_PROXY_AUTHENTICATION_INFO:
    case HTTP_NAME_PROXY_AUTHORIZATION:
    case HTTP_NAME_PROXY_CONNECTION:
    case HTTP_NAME_TE:
    case HTTP_NAME_TRANSFER_ENCODING:
    case HTTP_NAME_UPGRADE:
        return true;
    default:
        return false;
    }
}

#define CONNECTION_LINES 8 /* at once; one is usual */

/* Takes the connection's own fields out, but of the Connection lines only the first few, whose
 * values it gives. */
static size_t cut_hop_by_hop(struct http_fields *f, struct span listed[CONNECTION_LINES])
{
    uint32_t kept = 0;
    size_t lines = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        bool connection = f->at[i].id == HTTP_NAME_CONNECTION;
        if (connection && lines < CONNECTION_LINES)
            listed[lines++] = f->at[i].value;
        else if (connection || !is_hop_by_hop(f->at[i].id))
            f->at[kept++] = f->at[i];
    }
    f->count = kept;
    return lines;
}

void http_fields_remove_hop_by_hop(struct http_fields *f)
{
    struct span listed[CONNECTION_LINES];
    size_t lines;
    do {
        lines = cut_hop_by_hop(f, listed);
        for (size_t i = 0; i < lines; i++)
            http_fields_remove_listed(f, listed[i]);
    } while (lines == CONNECTION_LINES);
}

/* The value when there is one line; several are joined. `same` says which lines. */
static bool join(const struct http_fields *f,
                 bool (*same)(const struct http_field *, struct span), struct span name,
                 struct arena *a, struct span *out)
{
    struct span first = {NULL, 0};
    size_t lines = 0, bytes = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        if (!same(&f->at[i], name))
            continue;
        if (lines++ == 0)
            first = f->at[i].value;
        bytes += f->at[i].value.len + 2;
    }
    if (lines <= 1) {
        *out = first;
        return true;
    }
    char *to = arena_alloc(a, bytes);
    if (!to)
        return false;
    *out = span_of(to, bytes - 2);
    for (uint32_t i = 0; i < f->count; i++) {
        if (!same(&f->at[i], name))
            continue;
        struct span value = f->at[i].value;
        if (value.len > 0)
            memcpy(to, value.ptr, value.len);
        to += value.len;
        *to++ = ',';
        *to++ = ' ';
    }
    return true;
}

static bool same_pointer(const struct http_field *field, struct span name)
{
    return texts[field->id].ptr == name.ptr;
}

static bool same_text(const struct http_field *field, struct span name)
{
    return span_equal_nocase(field->name, name);
}

bool http_fields_join(const struct http_fields *f, enum http_name id, struct arena *a,
                      struct span *out)
{
    return join(f, same_pointer, http_name_text(id), a, out);
}

bool http_fields_join_text(const struct http_fields *f, struct span name, struct arena *a,
                           struct span *out)
{
    return join(f, same_text, name, a, out);
}

void http_list_begin(struct http_list *l, const struct http_fields *f, enum http_name id)
{
    *l = (struct http_list){.fields = f, .id = (uint16_t)id};
}

void http_list_begin_value(struct http_list *l, struct span value)
{
    *l = (struct http_list){.rest = value};
}

/* The end of a quoted string that begins at s[at]; s.len when it is not closed. */
static size_t quoted_end(struct span s, size_t at)
{
    for (at++; at < s.len; at++) {
        if (s.ptr[at] == '\\')
            at++;
        else if (s.ptr[at] == '"')
            return at + 1;
    }
    return s.len;
}

/* Cuts the bytes before the first `sep` outside quotes off *rest, trimmed. */
static struct span cut(struct span *rest, char sep)
{
    size_t at = 0;
    while (at < rest->len && rest->ptr[at] != sep)
        at = rest->ptr[at] == '"' ? quoted_end(*rest, at) : at + 1;
    struct span part = span_trim(span_until(*rest, at));
    *rest = span_from(*rest, at < rest->len ? at + 1 : at);
    return part;
}

bool http_list_next(struct http_list *l, struct span *out_member)
{
    for (;;) {
        while (l->rest.len > 0) {
            struct span member = cut(&l->rest, ',');
            if (member.len > 0) {
                *out_member = member;
                return true;
            }
        }
        if (!l->fields)
            return false;
        while (l->line < l->fields->count && l->fields->at[l->line].id != l->id)
            l->line++;
        if (l->line == l->fields->count)
            return false;
        l->rest = l->fields->at[l->line++].value;
    }
}

bool http_list_has(const struct http_fields *f, enum http_name id, struct span token)
{
    struct http_list l;
    struct span member;
    http_list_begin(&l, f, id);
    while (http_list_next(&l, &member)) {
        if (span_equal_nocase(member, token))
            return true;
    }
    return false;
}

/* qvalue = "0" [ "." 0*3DIGIT ] or "1" [ "." 0*3"0" ] */
static bool parse_qvalue(struct span s, unsigned *out_thousandths)
{
    if (s.len == 0 || s.len > 5 || (s.ptr[0] != '0' && s.ptr[0] != '1'))
        return false;
    if (s.len > 1 && s.ptr[1] != '.')
        return false;
    unsigned value = (unsigned)(s.ptr[0] - '0') * 1000, unit = 100;
    for (size_t i = 2; i < s.len; i++, unit /= 10) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        value += (unsigned)(s.ptr[i] - '0') * unit;
    }
    if (value > 1000)
        return false;
    *out_thousandths = value;
    return true;
}

bool http_quality(struct span member, struct span *out_token, unsigned *out_thousandths)
{
    struct span rest = member;
    unsigned quality = 1000;
    struct span token = cut(&rest, ';');
    if (token.len == 0)
        return false;
    while (rest.len > 0) {
        struct span param = cut(&rest, ';');
        if (param.len >= 2 && (param.ptr[0] | 0x20) == 'q' && param.ptr[1] == '=' &&
            !parse_qvalue(span_from(param, 2), &quality))
            return false;
    }
    *out_token = token;
    *out_thousandths = quality;
    return true;
}

bool http_is_token(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!http_token_lower[(unsigned char)s.ptr[i]])
            return false;
    }
    return s.len > 0;
}

static bool is_value_octet(unsigned char c)
{
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

size_t http_field_value_length(struct span s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    size_t at = 0;
    while (at < s.len) {
        /* Eight octets at once: is any below 0x20, or 0x7f? A hit may be a HTAB, or a borrow
         * from the octet beside it, so those eight are looked at one by one. */
        if (s.len - at >= 8) {
            uint64_t x;
            memcpy(&x, s.ptr + at, 8);
            uint64_t del = x ^ (ones * 0x7f);
            if ((((x - ones * 0x20) & ~x) | ((del - ones) & ~del)) & highs) {
                for (size_t end = at + 8; at < end; at++) {
                    if (!is_value_octet((unsigned char)s.ptr[at]))
                        return at;
                }
            } else {
                at += 8;
            }
        } else if (is_value_octet((unsigned char)s.ptr[at])) {
            at++;
        } else {
            return at;
        }
    }
    return at;
}

bool http_is_field_value(struct span s)
{
    return http_field_value_length(s) == s.len;
}
