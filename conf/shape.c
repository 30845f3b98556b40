#include "conf/shape.h"

#include <stdlib.h>

#include "base/http/fields.h"

#define NAME_MAX_BYTES 64
#define HOST_MAX_BYTES 253
#define LABEL_MAX_BYTES 63

static bool alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_one_of(char c, const char *set)
{
    return c && strchr(set, c);
}

static bool printable(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return false;
    return true;
}

const char *conf_shape_any(struct span text)
{
    if (text.len == 0)
        return "is empty";
    return printable(text) ? NULL : "has a control character";
}

const char *conf_shape_name(struct span text)
{
    if (text.len == 0)
        return "is empty";
    if (text.len > NAME_MAX_BYTES)
        return "is longer than 64 bytes";
    for (size_t i = 0; i < text.len; i++)
        if (!alphanumeric(text.ptr[i]) && !is_one_of(text.ptr[i], "_.-"))
            return "is no name: only letters, digits, \"_\", \".\" and \"-\"";
    return NULL;
}

static const char *label(struct span text)
{
    if (text.len == 0)
        return "is no host name: two dots, or one at an end";
    if (text.len > LABEL_MAX_BYTES)
        return "is no host name: a part is longer than 63 bytes";
    if (text.ptr[0] == '-' || text.ptr[text.len - 1] == '-')
        return "is no host name: a part starts or ends with \"-\"";
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] >= 0x80)
            return "is no host name: write international names in their xn-- form";
        if (text.ptr[i] == ':')
            return "is no host name: write it without scheme and port";
        if (text.ptr[i] == '*')
            return "is no host name: \"*\" stands alone or before the first dot";
        if (!alphanumeric(text.ptr[i]) && !is_one_of(text.ptr[i], "_-"))
            return "is no host name";
    }
    return NULL;
}

const char *conf_shape_host(struct span text)
{
    struct addr address;
    struct span part, rest = text;
    if (text.len == 0)
        return "is empty";
    if (addr_parse(text, &address) == ERR_OK)
        return NULL;
    if (text.len > HOST_MAX_BYTES)
        return "is no host name: longer than 253 bytes";
    bool numeric = true; /* the last label: RFC 3696 2, an address that did not parse */
    while (span_split(&rest, '.', &part)) {
        const char *wrong = label(part);
        if (wrong)
            return wrong;
        uint64_t number;
        numeric = span_to_u64(part, &number);
    }
    return numeric ? "is no address" : NULL;
}

const char *conf_shape_host_pattern(struct span text)
{
    if (span_equal(text, SPAN("*")))
        return NULL;
    if (span_starts(text, SPAN("*.")))
        text = span_from(text, 2);
    if (span_starts(text, SPAN("[")) && span_ends(text, SPAN("]")))
        return "is an address in brackets: write it without";
    return conf_shape_host(text);
}

const char *conf_shape_address(struct span text)
{
    static const struct addr any = {0};
    struct addr address;
    if (addr_parse(text, &address) != ERR_OK)
        return "is no IP address";
    return memcmp(address.ip, any.ip, sizeof any.ip) == 0 ? "is no address of a machine" : NULL;
}

#define DEGREES_MAX_BYTES 32

bool conf_shape_to_degrees(struct span text, double *out)
{
    char copy[DEGREES_MAX_BYTES], *end;
    size_t digits = 0;
    for (size_t i = 0; i < text.len; i++) {
        bool digit = text.ptr[i] >= '0' && text.ptr[i] <= '9';
        digits += digit;
        if (!digit && text.ptr[i] != '.' && !(i == 0 && is_one_of(text.ptr[i], "+-")))
            return false; /* strtod takes more: 0x, inf, 1e3 */
    }
    if (!digits || span_copy(text, copy, sizeof copy) != ERR_OK)
        return false;
    double value = strtod(copy, &end);
    if (*end || value < -180 || value > 180)
        return false;
    *out = value;
    return true;
}

const char *conf_shape_degrees(struct span text)
{
    double value;
    return conf_shape_to_degrees(text, &value) ? NULL : "is no number of degrees, -180 to 180";
}

const char *conf_shape_path_pattern(struct span text)
{
    size_t star;
    if (!span_starts(text, SPAN("/")))
        return "is no path: it starts with \"/\"";
    if (span_find(text, '*', &star) && star + 1 != text.len)
        return "is no path: \"*\" may stand only at its end";
    for (size_t i = 0; i < text.len; i++) {
        if (is_one_of(text.ptr[i], "?#"))
            return "is no path: it has no query and no fragment";
        if ((unsigned char)text.ptr[i] <= 0x20 || (unsigned char)text.ptr[i] >= 0x7f ||
            text.ptr[i] == '\\')
            return "is no path: write it as it stands in a URL, with %XX";
    }
    return NULL;
}

const char *conf_shape_token(struct span text)
{
    return http_is_token(text) ? NULL : "is no token (RFC 9110 5.6.2)";
}

const char *conf_shape_field_pattern(struct span text)
{
    /* '*' is a token character */
    return http_is_token(text) ? NULL : "is no field name";
}

const char *conf_shape_type_pattern(struct span text)
{
    /* RFC 9110 8.3.1; '*' is a token character */
    struct span type, subtype = text;
    size_t at;
    if (span_find(text, ';', &at))
        return "is no media type: write it without parameters";
    if (!span_split(&subtype, '/', &type) || !http_is_token(type) || !http_is_token(subtype))
        return "is no media type: write type/subtype, with \"*\" for any text";
    return NULL;
}

const char *conf_shape_parameter(struct span text)
{
    if (text.len == 0)
        return "is empty";
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] <= 0x20 || (unsigned char)text.ptr[i] >= 0x7f ||
            is_one_of(text.ptr[i], "&=#?"))
            return "is no parameter name: write it as it stands in a URL";
    return NULL;
}

const char *conf_shape_added_name(struct span text)
{
    /* These say how a message ends, where it goes, or how often it was here. */
    static const char *const ours[] = {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "proxy-connection",
        "via",
        "cdn-loop",
        "range",
        "if-match",
        "if-none-match",
    };
    if (!http_is_token(text))
        return "is no field name";
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (span_equal_nocase(text, span_text(ours[i])))
            return "is a field that perigee itself sets";
    return NULL;
}

const char *conf_shape_added_value(struct span text)
{
    return http_is_field_value(text) ? NULL : "has a control character";
}

/* "host", "host:port", "[v6]" or "[v6]:port": host without brackets, port 0 when absent. */
static const char *split_authority(struct span text, struct span *host, uint64_t *port)
{
    struct span rest;
    size_t at;
    if (span_starts(text, SPAN("["))) {
        if (!span_find(text, ']', &at))
            return "has \"[\" without \"]\"";
        *host = span_from(span_until(text, at), 1);
        struct addr address;
        if (addr_parse(*host, &address) != ERR_OK)
            return "has no IPv6 address in the brackets";
        rest = span_from(text, at + 1);
    } else {
        at = span_find(text, ':', &at) ? at : text.len;
        *host = span_until(text, at);
        rest = span_from(text, at);
        size_t second;
        if (rest.len && span_find(span_from(rest, 1), ':', &second))
            return "has an IPv6 address without brackets";
        if (conf_shape_host(*host))
            return "has no good host name";
    }
    *port = 0;
    if (rest.len == 0)
        return NULL;
    if (rest.ptr[0] != ':' || !span_to_u64(span_from(rest, 1), port) || *port < 1 ||
        *port > 65535)
        return "has no good port (1 to 65535)";
    return NULL;
}

const char *conf_shape_split_seed(struct span text, struct span *host, uint16_t *port)
{
    uint64_t number;
    struct addr address;
    if (addr_parse(text, &address) == ERR_OK && address.family == ADDR_V6)
        return "is an IPv6 address without brackets";
    const char *wrong = split_authority(text, host, &number);
    if (!wrong)
        *port = number ? (uint16_t)number : CONF_SHAPE_SEED_PORT;
    return wrong;
}

const char *conf_shape_seed(struct span text)
{
    struct span host;
    uint16_t port;
    return conf_shape_split_seed(text, &host, &port);
}

static struct span lowered(struct arena *arena, struct span text)
{
    struct span copy;
    char *room = arena_alloc(arena, text.len + 1);
    if (!room)
        return span_of(NULL, 0);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        room[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    room[text.len] = '\0';
    copy = span_of(room, text.len);
    return copy;
}

const char *conf_shape_read_url(struct arena *arena, struct span text, void *server)
{
    struct conf_origin_server *s = server;
    struct span authority = text, host, host_text, authority_text;
    uint64_t port;
    bool tls = span_starts_nocase(text, SPAN("https://"));
    if (!tls && !span_starts_nocase(text, SPAN("http://")))
        return "is no URL: write http://host or https://host";
    authority = span_from(text, tls ? 8 : 7);
    if (span_ends(authority, SPAN("/")))
        authority = span_until(authority, authority.len - 1);
    for (size_t i = 0; i < authority.len; i++) {
        if (is_one_of(authority.ptr[i], "/?#"))
            return "has a path: a server is only scheme, host and port";
        if (authority.ptr[i] == '@')
            return "has a user name, which is not supported";
    }
    const char *wrong = split_authority(authority, &host, &port);
    if (wrong)
        return wrong;
    uint16_t usual = tls ? 443 : 80;
    bool brackets = authority.ptr[0] == '[';
    host_text = lowered(arena, host);
    bool kept = host_text.ptr != NULL;
    if (port && port != usual)
        kept = kept && arena_printf(arena, &authority_text, brackets ? "[%s]:%u" : "%s:%u",
                                    host_text.ptr, (unsigned)port);
    else
        kept = kept &&
               arena_printf(arena, &authority_text, brackets ? "[%s]" : "%s", host_text.ptr);
    if (!kept)
        return "takes too much memory";
    s->tls = tls;
    s->host = host_text.ptr;
    s->port = port ? (uint16_t)port : usual;
    s->authority = authority_text.ptr;
    return NULL;
}

const char *conf_shape_read_origin_host(struct arena *arena, struct span text, void *origin)
{
    struct conf_origin *o = origin;
    struct span host;
    uint64_t port;
    if (span_equal(text, SPAN("pass"))) {
        o->host = CONF_HOST_PASS;
        return NULL;
    }
    if (span_equal(text, SPAN("origin"))) {
        o->host = CONF_HOST_ORIGIN;
        return NULL;
    }
    const char *wrong = split_authority(text, &host, &port);
    if (wrong)
        return wrong;
    struct span name = lowered(arena, text);
    if (!name.ptr)
        return "takes too much memory";
    o->host = CONF_HOST_NAME;
    o->host_name = name.ptr;
    return NULL;
}
