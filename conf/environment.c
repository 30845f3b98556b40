#include "conf/environment.h"

#include <stdlib.h>

#include "base/buf.h"

static bool name_char(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

static bool is_name(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!name_char(s.ptr[i], i == 0))
            return false;
    return s.len > 0;
}

/* What stands between the braces; false: told. */
static bool look_up(struct span inside, struct conf_place place, struct conf_faults *faults,
                    struct span *out)
{
    struct span name = inside;
    bool has_default = false;
    size_t colon;
    if (span_find(inside, ':', &colon)) {
        name = span_until(inside, colon);
        has_default = span_starts(span_from(inside, colon), SPAN(":-"));
    }
    char text[128];
    if (!is_name(name) || (name.len != inside.len && !has_default) ||
        span_copy(name, text, sizeof text) != ERR_OK) {
        conf_fault_add(faults, place, "\"${%.*s}\" is not ${NAME} or ${NAME:-default}",
                       SPAN_ARG(inside));
        return false;
    }
    const char *value = getenv(text);
    if (has_default && (!value || !*value)) {
        *out = span_from(inside, name.len + 2);
        return true;
    }
    if (!value) {
        conf_fault_add(faults, place, "the environment has no %s", text);
        return false;
    }
    *out = span_text(value);
    return true;
}

/* Moves one piece of `rest` to the end of `text`. */
static bool step(struct buf *text, struct span *rest, struct conf_place place,
                 struct conf_faults *faults)
{
    struct span piece = *rest;
    size_t used = rest->len, dollar, brace;
    if (span_starts(*rest, SPAN("$${"))) {
        piece = SPAN("${");
        used = 3;
    } else if (span_starts(*rest, SPAN("${"))) {
        if (!span_find(*rest, '}', &brace)) {
            conf_fault_add(faults, place, "\"${\" without \"}\" (a literal one is \"$${\")");
            return false;
        }
        used = brace + 1;
        if (!look_up(span_from(span_until(*rest, brace), 2), place, faults, &piece))
            return false;
    } else if (span_find(span_from(*rest, 1), '$', &dollar)) {
        used = dollar + 1;
        piece = span_until(*rest, used);
    }
    *rest = span_from(*rest, used);
    if (buf_append(text, piece) == ERR_OK)
        return true;
    conf_fault_add(faults, place, "longer than %d KiB with the environment's values",
                   CONF_ENVIRONMENT_TEXT_MAX / 1024);
    return false;
}

bool conf_environment_expand(struct arena *arena, struct span text, struct conf_place place,
                             struct conf_faults *faults, struct span *out)
{
    struct buf expanded;
    buf_init(&expanded, CONF_ENVIRONMENT_TEXT_MAX);
    bool good = true;
    while (good && text.len)
        good = step(&expanded, &text, place, faults);
    if (good && !arena_printf(arena, out, "%.*s", SPAN_ARG(buf_span(&expanded)))) {
        conf_fault_add(faults, place, "the environment's values make the file too large");
        good = false;
    }
    buf_fini(&expanded);
    return good;
}
