#include "admin/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

/* struct admin_json is jansson's value under our name. */
static json_t *theirs(const struct admin_json *v)
{
    union {
        const struct admin_json *ours;
        json_t *theirs;
    } both = {.ours = v};
    return both.theirs;
}

static struct admin_json *ours(json_t *v)
{
    union {
        struct admin_json *ours;
        json_t *theirs;
    } both = {.theirs = v};
    return both.ours;
}

struct admin_json *admin_json_parse(struct span text, char *fault, size_t fault_room)
{
    json_error_t error;
    json_t *value =
        json_loadb(text.len ? text.ptr : "", text.len, JSON_REJECT_DUPLICATES, &error);
    if (!value) {
        snprintf(fault, fault_room, "line %d, column %d: %s", error.line, error.column,
                 error.text);
        return NULL;
    }
    if (!json_is_object(value)) {
        snprintf(fault, fault_room, "not an object");
        json_decref(value);
        return NULL;
    }
    return ours(value);
}

void admin_json_free(struct admin_json *object)
{
    json_decref(theirs(object));
}

const struct admin_json *admin_json_member(const struct admin_json *object, const char *key)
{
    return ours(json_object_get(theirs(object), key));
}

const char *admin_json_unknown(const struct admin_json *object, const char *const *known,
                               size_t known_count)
{
    const char *key;
    json_t *value;
    json_object_foreach(theirs(object), key, value)
    {
        size_t i = 0;
        while (i < known_count && strcmp(known[i], key) != 0)
            i++;
        if (i == known_count)
            return key;
    }
    return NULL;
}

bool admin_json_text(const struct admin_json *v, struct span *out)
{
    if (!json_is_string(theirs(v)))
        return false;
    *out = span_of(json_string_value(theirs(v)), json_string_length(theirs(v)));
    return true;
}

bool admin_json_boolean(const struct admin_json *v, bool *out)
{
    if (!json_is_boolean(theirs(v)))
        return false;
    *out = json_is_true(theirs(v));
    return true;
}

bool admin_json_integer(const struct admin_json *v, int64_t *out)
{
    if (!json_is_integer(theirs(v)))
        return false;
    *out = json_integer_value(theirs(v));
    return true;
}

bool admin_json_list(const struct admin_json *v, size_t *out_count)
{
    if (!json_is_array(theirs(v)))
        return false;
    *out_count = json_array_size(theirs(v));
    return true;
}

const struct admin_json *admin_json_at(const struct admin_json *list, size_t i)
{
    return ours(json_array_get(theirs(list), i));
}

bool admin_json_each(const struct admin_json *object, size_t at, const char **out_key,
                     const struct admin_json **out_value)
{
    const char *key;
    json_t *value;
    size_t i = 0;
    json_object_foreach(theirs(object), key, value)
    {
        if (i++ != at)
            continue;
        *out_key = key;
        *out_value = ours(value);
        return true;
    }
    return false;
}

static void put(struct admin_writer *w, struct span bytes)
{
    must(buf_append(w->out, bytes) == ERR_OK); /* the queue has no cap */
}

/* How many octets of well-formed UTF-8 (RFC 3629) stand at the front; 0: none. NUL counts as
 * none: programs, our own among them, refuse a string that holds one. */
static size_t utf8_length(struct span s)
{
    uint8_t lead = (uint8_t)s.ptr[0];
    if (lead == 0)
        return 0;
    size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if ((lead >= 0x80 && lead < 0xc2) || lead > 0xf4 || length > s.len)
        return 0;
    for (size_t i = 1; i < length; i++, low = 0x80, high = 0xbf)
        if ((uint8_t)s.ptr[i] < low || (uint8_t)s.ptr[i] > high)
            return 0;
    return length;
}

bool admin_json_carries(struct span text)
{
    while (text.len) {
        size_t length = utf8_length(text);
        if (!length)
            return false;
        text = span_from(text, length);
    }
    return true;
}

/* How many octets at the front stand for themselves in any string. */
static size_t plain_length(struct span s)
{
    size_t length = 0;
    while (length < s.len && s.ptr[length] >= 0x20 && s.ptr[length] < 0x7f &&
           s.ptr[length] != '"' && s.ptr[length] != '\\')
        length++;
    return length;
}

/* The character at the front, which is not plain; how many octets it was. */
static size_t put_other(struct admin_writer *w, struct span s)
{
    char c = s.ptr[0], escape[7];
    size_t length = utf8_length(s);
    if (!length) {
        put(w, SPAN("\xef\xbf\xbd"));
        return 1;
    }
    if (c == '"' || c == '\\') {
        put(w, SPAN("\\"));
        put(w, span_of(&c, 1));
    } else if ((uint8_t)c < 0x20 || c == 0x7f) {
        snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(uint8_t)c);
        put(w, span_text(escape));
    } else {
        put(w, span_until(s, length));
    }
    return length;
}

static void put_string(struct admin_writer *w, struct span s)
{
    put(w, SPAN("\""));
    while (s.len) {
        size_t length = plain_length(s);
        if (length)
            put(w, span_until(s, length));
        else
            length = put_other(w, s);
        s = span_from(s, length);
    }
    put(w, SPAN("\""));
}

static void begin(struct admin_writer *w, const char *key)
{
    if (w->comma)
        put(w, SPAN(","));
    w->comma = true;
    if (!key)
        return;
    put_string(w, span_text(key));
    put(w, SPAN(":"));
}

void admin_json_open(struct admin_writer *w, const char *key, char bracket)
{
    begin(w, key);
    put(w, span_of(&bracket, 1));
    w->comma = false;
}

void admin_json_close(struct admin_writer *w, char bracket)
{
    put(w, span_of(&bracket, 1));
    w->comma = true;
}

void admin_json_put_text(struct admin_writer *w, const char *key, struct span text)
{
    begin(w, key);
    put_string(w, text);
}

void admin_json_put_json(struct admin_writer *w, struct span json)
{
    begin(w, NULL);
    put(w, json);
}

void admin_json_put_unsigned(struct admin_writer *w, const char *key, uint64_t value)
{
    begin(w, key);
    must(buf_printf(w->out, "%" PRIu64, value) == ERR_OK);
}

void admin_json_put_integer(struct admin_writer *w, const char *key, int64_t value)
{
    begin(w, key);
    must(buf_printf(w->out, "%" PRId64, value) == ERR_OK);
}

void admin_json_put_number(struct admin_writer *w, const char *key, double value)
{
    begin(w, key);
    must(buf_printf(w->out, "%.9g", value) == ERR_OK);
}

void admin_json_put_boolean(struct admin_writer *w, const char *key, bool value)
{
    begin(w, key);
    put(w, value ? SPAN("true") : SPAN("false"));
}
