/* tests/fuzz/base/http/fields_fuzz.c - field lists and dates from anybody's text.
 *
 * Each line of the input is a field, its name up to the first colon.
 */
#include <stdint.h>

#include "base/http/date.h"
#include "base/http/fields.h"

static void check_date(struct span value)
{
    int64_t at_s, again_s;
    char text[HTTP_DATE_BYTES];
    if (http_date_parse(value, 1767225600, &at_s) != ERR_OK)
        return;
    must(value.len >= 24 && value.len <= 33);
    http_date_print(at_s, text);
    if (at_s < INT64_C(253402300800)) /* a leap second may end year 9999 */
        must(http_date_parse(span_of(text, sizeof text), 0, &again_s) == ERR_OK &&
             again_s == at_s);
}

static void check_list(struct http_list *l)
{
    struct span member, token;
    unsigned thousandths;
    while (http_list_next(l, &member)) {
        must(member.len > 0 && span_trim(member).len == member.len);
        if (http_quality(member, &token, &thousandths))
            must(thousandths <= 1000 && token.len > 0 && token.len <= member.len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of(data, size), line, joined;
    struct http_fields fields = {0};
    struct http_list list;
    struct arena arena;
    size_t colon;
    if (size > 1 << 14)
        return 0;
    arena_init(&arena, 1 << 22);
    while (rest.len > 0 && span_split(&rest, '\n', &line) && fields.count < 200) {
        if (!span_find(line, ':', &colon))
            continue;
        struct span value = span_trim(span_from(line, colon + 1));
        must(http_fields_add(&fields, &arena, span_until(line, colon), value));
        check_date(value);
        http_list_begin_value(&list, value);
        check_list(&list);
        size_t valid = http_field_value_length(value);
        must(valid <= value.len && http_is_field_value(span_until(value, valid)));
        must(valid == value.len || !http_is_field_value(span_until(value, valid + 1)));
    }
    for (enum http_name id = HTTP_NAME_OTHER + 1; id < HTTP_NAME_COUNT; id++) {
        http_list_begin(&list, &fields, id);
        check_list(&list);
        must(http_fields_join(&fields, id, &arena, &joined));
        must(joined.len == 0 || http_fields_find(&fields, id));
    }
    http_fields_remove_hop_by_hop(&fields);
    must(!http_fields_find(&fields, HTTP_NAME_CONNECTION));
    must(!http_fields_find(&fields, HTTP_NAME_TE));
    arena_fini(&arena);
    return 0;
}
