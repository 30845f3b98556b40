#include "admin/call.h"

#include <stdarg.h>
#include <stdio.h>

static void answer_json(const struct admin_call *c, unsigned status, struct buf *json,
                        const struct http_fields *fields)
{
    must(buf_append(json, SPAN("\n")) == ERR_OK);
    struct admin_answer answer = {
        .status = status, .content_type = SPAN("application/json"), .body = buf_span(json)};
    if (fields)
        answer.fields = *fields;
    c->answered(c->user, &answer);
}

void admin_call_json(const struct admin_call *c, unsigned status, struct buf *json)
{
    answer_json(c, status, json, NULL);
}

static void answer_fault(const struct admin_call *c, unsigned status, const char *text,
                         const struct http_fields *fields)
{
    struct buf json;
    buf_init(&json, 0);
    struct admin_writer w = {.out = &json};
    admin_json_open(&w, NULL, '{');
    admin_json_put_text(&w, "error", span_text(text));
    admin_json_close(&w, '}');
    answer_json(c, status, &json, fields);
    buf_fini(&json);
}

void admin_call_fault(const struct admin_call *c, unsigned status, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    answer_fault(c, status, text, NULL);
}

void admin_call_fault_field(const struct admin_call *c, unsigned status, const char *name,
                            const char *value, const char *text)
{
    struct http_fields fields = {0};
    /* without room for it the answer still counts */
    (void)http_fields_add(&fields, c->arena, span_text(name), span_text(value));
    answer_fault(c, status, text, &fields);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode(struct span s, struct arena *a, struct span *out)
{
    char *text = arena_alloc(a, s.len + 1);
    size_t at = 0;
    if (!text)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        int value = (unsigned char)s.ptr[i];
        if (s.ptr[i] == '%') {
            int high = i + 2 < s.len ? hex(s.ptr[i + 1]) : -1;
            int low = i + 2 < s.len ? hex(s.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            value = high * 16 + low;
            i += 2;
        }
        text[at++] = (char)value;
    }
    *out = span_of(text, at);
    return true;
}

bool admin_call_parameter(const struct admin_call *c, const char *name, struct span *out)
{
    struct span rest = c->target.query, part;
    while (rest.len && span_split(&rest, '&', &part)) {
        size_t at;
        if (span_find(part, '=', &at) && span_equal(span_until(part, at), span_text(name)))
            return decode(span_from(part, at + 1), c->arena, out);
    }
    return false;
}

bool admin_call_decode(const struct admin_call *c, struct span text, struct span *out)
{
    return decode(text, c->arena, out);
}

bool admin_call_duration(struct span text, int64_t *out_ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t digits = 0;
    uint64_t value;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    if (digits > 9 || !span_to_u64(span_until(text, digits), &value))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (span_equal(span_from(text, digits), span_text(units[i].unit))) {
            *out_ms = (int64_t)(value * units[i].ms);
            return true;
        }
    return false;
}
