#include "base/http/message.h"

static const struct span methods[] = {
    [HTTP_GET] = {"GET", 3},     [HTTP_HEAD] = {"HEAD", 4},     [HTTP_POST] = {"POST", 4},
    [HTTP_PUT] = {"PUT", 3},     [HTTP_DELETE] = {"DELETE", 6}, [HTTP_OPTIONS] = {"OPTIONS", 7},
    [HTTP_PATCH] = {"PATCH", 5}, [HTTP_TRACE] = {"TRACE", 5},   [HTTP_CONNECT] = {"CONNECT", 7},
    [HTTP_PURGE] = {"PURGE", 5},
};

enum http_method http_method_find(struct span text)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (span_equal(methods[i], text))
            return (enum http_method)i;
    }
    return HTTP_METHOD_OTHER;
}

struct span http_method_text(enum http_method m)
{
    return (size_t)m < ARRAY_LEN(methods) ? methods[m] : span_of(NULL, 0);
}

bool http_method_is_safe(enum http_method m)
{
    return m == HTTP_GET || m == HTTP_HEAD || m == HTTP_OPTIONS || m == HTTP_TRACE;
}

bool http_method_is_idempotent(enum http_method m)
{
    return http_method_is_safe(m) || m == HTTP_PUT || m == HTTP_DELETE;
}

static const struct span status_texts[] = {
    [100] = {"Continue", 8},
    [101] = {"Switching Protocols", 19},
    [102] = {"Processing", 10},
    [103] = {"Early Hints", 11},
    [200] = {"OK", 2},
    [201] = {"Created", 7},
    [202] = {"Accepted", 8},
    [203] = {"Non-Authoritative Information", 29},
    [204] = {"No Content", 10},
    [205] = {"Reset Content", 13},
    [206] = {"Partial Content", 15},
    [300] = {"Multiple Choices", 16},
    [301] = {"Moved Permanently", 17},
    [302] = {"Found", 5},
    [303] = {"See Other", 9},
    [304] = {"Not Modified", 12},
    [307] = {"Temporary Redirect", 18},
    [308] = {"Permanent Redirect", 18},
    [400] = {"Bad Request", 11},
    [401] = {"Unauthorized", 12},
    [402] = {"Payment Required", 16},
    [403] = {"Forbidden", 9},
    [404] = {"Not Found", 9},
    [405] = {"Method Not Allowed", 18},
    [406] = {"Not Acceptable", 14},
    [407] = {"Proxy Authentication Required", 29},
    [408] = {"Request Timeout", 15},
    [409] = {"Conflict", 8},
    [410] = {"Gone", 4},
    [411] = {"Length Required", 15},
    [412] = {"Precondition Failed", 19},
    [413] = {"Content Too Large", 17},
    [414] = {"URI Too Long", 12},
    [415] = {"Unsupported Media Type", 22},
    [416] = {"Range Not Satisfiable", 21},
    [417] = {"Expectation Failed", 18},
    [421] = {"Misdirected Request", 19},
    [422] = {"Unprocessable Content", 21},
    [425] = {"Too Early", 9},
    [426] = {"Upgrade Required", 16},
    [428] = {"Precondition Required", 21},
    [429] = {"Too Many Requests", 17},
    [431] = {"Request Header Fields Too Large", 31},
    [451] = {"Unavailable For Legal Reasons", 29},
    [500] = {"Internal Server Error", 21},
    [501] = {"Not Implemented", 15},
    [502] = {"Bad Gateway", 11},
    [503] = {"Service Unavailable", 19},
    [504] = {"Gateway Timeout", 15},
    [505] = {"HTTP Version Not Supported", 26},
    [508] = {"Loop Detected", 13},
};

struct span http_status_text(unsigned status)
{
    return status < ARRAY_LEN(status_texts) ? status_texts[status] : span_of(NULL, 0);
}

bool http_status_is_bodyless(unsigned status)
{
    return status < 200 || status == 204 || status == 304;
}

bool http_answer(struct http_response *out, struct arena *a, unsigned status,
                 struct span *out_body)
{
    struct http_response r = {.status = (uint16_t)status, .version = HTTP_1_1};
    struct span text = http_status_text(status);
    struct span body = {NULL, 0};
    must(status >= 100 && status <= 999);
    if (!http_fields_add_named(&r.fields, a, HTTP_NAME_CACHE_CONTROL, SPAN("no-store")))
        return false;
    if (http_status_is_bodyless(status)) {
        r.body_absent = true;
    } else {
        if (!arena_printf(a, &body, "%u%s%.*s\n", status, text.len > 0 ? " " : "",
                          SPAN_ARG(text)) ||
            !http_fields_add_named(&r.fields, a, HTTP_NAME_CONTENT_TYPE, SPAN("text/plain")))
            return false;
        r.body_bytes = (int64_t)body.len;
        r.length_declared = true;
    }
    *out = r;
    *out_body = body;
    return true;
}
