#include "base/http/claims.h"

#include "base/http/fields.h"

#define TEXT(literal)                                                                          \
    {                                                                                          \
        (literal), sizeof(literal) - 1                                                         \
    }                      /* SPAN for static tables */
#define NAME_BYTES_MAX 32u /* longer names are none of those here, but by how they begin */

/* What any name could be meant as; `text` has room for it. */
static struct span fold(struct span name, char text[NAME_BYTES_MAX])
{
    size_t len = name.len < NAME_BYTES_MAX ? name.len : NAME_BYTES_MAX;
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(name.ptr[i] == '_' ? '-' : name.ptr[i]);
    return span_of(text, len);
}

static bool is_among(struct span name, const struct span *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (span_equal(name, list[i]))
            return true;
    return false;
}

static bool is_claim(struct span name)
{
    static const struct span names[] = {
        TEXT("cf-connecting-ip"),
        TEXT("client-ip"),
        TEXT("fastly-client-ip"),
        TEXT("forwarded"),
        TEXT("front-end-https"),
        TEXT("true-client-ip"),
        TEXT("x-client-ip"),
        TEXT("x-cluster-client-ip"),
        TEXT("x-host"),
        TEXT("x-http-host-override"),
        TEXT("x-http-method"),
        TEXT("x-http-method-override"),
        TEXT("x-method-override"),
        TEXT("x-original-host"),
        TEXT("x-original-url"),
        TEXT("x-real-ip"),
        TEXT("x-rewrite-url"),
    };
    return span_starts(name, SPAN("x-forwarded")) || is_among(name, names, ARRAY_LEN(names));
}

bool http_name_is_claim(struct span name)
{
    char text[NAME_BYTES_MAX];
    return is_claim(fold(name, text));
}

bool http_name_is_head_only(struct span name)
{
    static const struct span others[] = {TEXT("max-forwards"), TEXT("www-authenticate")};
    char text[NAME_BYTES_MAX];
    name = fold(name, text);
    switch (http_name_find(name)) {
    case HTTP_NAME_AUTHORIZATION:
    case HTTP_NAME_CACHE_CONTROL:
    case HTTP_NAME_CDN_LOOP:
    case HTTP_NAME_CONNECTION:
    case HTTP_NAME_CONTENT_ENCODING:
    case HTTP_NAME_CONTENT_LENGTH:
    case HTTP_NAME_CONTENT_RANGE:
    case HTTP_NAME_CONTENT_TYPE:
    case HTTP_NAME_COOKIE:
    case HTTP_NAME_EXPECT:
    case HTTP_NAME_HOST:
    case HTTP_NAME_IF_MATCH:
    case HTTP_NAME_IF_MODIFIED_SINCE:
    case HTTP_NAME_IF_NONE_MATCH:
    case HTTP_NAME_IF_RANGE:
    case HTTP_NAME_IF_UNMODIFIED_SINCE:
    case HTTP_NAME_KEEP_ALIVE:
    case HTTP_NAME_PRAGMA:
    case HTTP_NAME_PROXY_AUTHENTICATE:
    case HTTP_NAME_PROXY_AUTHENTICATION_INFO:
    case HTTP_NAME_PROXY_AUTHORIZATION:
    case HTTP_NAME_PROXY_CONNECTION:
    case HTTP_NAME_RANGE:
    case HTTP_NAME_SET_COOKIE:
    case HTTP_NAME_TE:
    case HTTP_NAME_TRAILER:
    case HTTP_NAME_TRANSFER_ENCODING:
    case HTTP_NAME_UPGRADE:
    case HTTP_NAME_VARY:
        return true;
    default:
        return is_claim(name) || is_among(name, others, ARRAY_LEN(others));
    }
}
