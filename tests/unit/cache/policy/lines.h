/* tests/unit/cache/policy/lines.h - messages for table rows, from header text.
 *
 * "name: value\nname: value" with names in any case. Static so that each test program has it.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/http/message.h"

static inline struct http_fields lines(struct arena *a, const char *text)
{
    struct http_fields fields = {0};
    struct span rest = span_text(text), line;
    while (rest.len && span_split(&rest, '\n', &line)) {
        size_t at;
        if (!span_find(line, ':', &at))
            fail_msg("no colon in: %.*s", SPAN_ARG(line));
        char *name = arena_alloc(a, at + 1);
        for (size_t i = 0; i < at; i++)
            name[i] = (char)(line.ptr[i] >= 'A' && line.ptr[i] <= 'Z' ? line.ptr[i] + 32
                                                                      : line.ptr[i]);
        assert_true(
            http_fields_add(&fields, a, span_of(name, at), span_trim(span_from(line, at + 1))));
    }
    return fields;
}

/* The fields as one text again, for comparing. */
static inline struct span unlines(struct arena *a, const struct http_fields *f)
{
    struct span text = {0};
    for (uint32_t i = 0; i < f->count; i++)
        assert_true(arena_printf(a, &text, "%.*s%.*s: %.*s\n", SPAN_ARG(text),
                                 SPAN_ARG(f->at[i].name), SPAN_ARG(f->at[i].value)));
    return text;
}

#define ASSERT_SPAN(why, got, want)                                                            \
    do {                                                                                       \
        struct span got_ = (got), want_ = (want);                                              \
        if (!span_equal(got_, want_))                                                          \
            fail_msg("%s: got \"%.*s\", want \"%.*s\"", (why), SPAN_ARG(got_),                 \
                     SPAN_ARG(want_));                                                         \
    } while (0)
