/* tests/fuzz/base/http/structured_fuzz.c - structured fields from anybody's text.
 *
 * The input is read as a list and as a dictionary.
 */
#include <stdint.h>

#include "base/http/structured.h"

static void check(const struct http_sf_members *m, bool keys)
{
    must(m->count <= HTTP_SF_MEMBERS);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct http_sf_member *member = &m->at[i];
        must(!keys || member->key.len > 0);
        for (uint32_t j = 0; keys && j < i && j < 8; j++)
            must(!span_equal(member->key, m->at[j].key));
        if (member->is_inner_list)
            continue;
        switch (member->item.kind) {
        case HTTP_SF_INTEGER:
        case HTTP_SF_DATE:
            must(member->item.integer <= INT64_C(999999999999999) &&
                 member->item.integer >= -INT64_C(999999999999999));
            break;
        case HTTP_SF_TOKEN:
            must(member->item.text.len > 0);
            break;
        case HTTP_SF_STRING:
        case HTTP_SF_DISPLAY:
        case HTTP_SF_BYTES:
            for (size_t at = 0; at < member->item.text.len; at++)
                must(member->item.kind == HTTP_SF_DISPLAY || member->item.text.ptr[at] >= ' ');
            break;
        case HTTP_SF_DECIMAL:
        case HTTP_SF_BOOLEAN:
            break;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of(data, size);
    struct http_sf_members members;
    struct arena arena;
    if (size > 1 << 14)
        return 0;
    arena_init(&arena, 1 << 20);
    if (http_sf_list(text, &arena, &members) == ERR_OK)
        check(&members, false);
    if (http_sf_dictionary(text, &arena, &members) == ERR_OK)
        check(&members, true);
    arena_fini(&arena);
    return 0;
}
