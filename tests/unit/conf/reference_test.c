#include "conf/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define PAGE_MAX_BYTES (1 << 20)

/* docs/configuration.md is what the table says; `perigee config reference` makes it anew. */
static void test_page_is_current(void **state)
{
    (void)state;
    const char *root = getenv("PERIGEE_SOURCE");
    char path[4096], *page = NULL;
    size_t size;
    assert_non_null(root); /* ctest sets it */
    FILE *out = open_memstream(&page, &size);
    conf_reference_print(out);
    fclose(out);

    snprintf(path, sizeof path, "%s/docs/configuration.md", root);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *kept = calloc(1, PAGE_MAX_BYTES);
    assert_non_null(kept);
    size_t got = fread(kept, 1, PAGE_MAX_BYTES - 1, file);
    fclose(file);
    if (got != size || memcmp(kept, page, size) != 0)
        fail_msg("docs/configuration.md is old: perigee config reference >%s", path);
    free(kept);
    free(page);
}

/* Every setting is explained, and has a default or a reason for having none. */
static void check_section(const struct conf_section *section)
{
    assert_true(section->count <= 64); /* read.c counts them in a word */
    for (size_t i = 0; i < section->count; i++) {
        const struct conf_setting *s = &section->settings[i];
        if (!s->help || !*s->help)
            fail_msg("%s has no help", s->key);
        if (s->required && (s->fallback || s->derived))
            fail_msg("%s is required and has a default", s->key);
        if ((s->kind == CONF_TEXT || s->kind == CONF_TEXTS) && !(s->shape && s->wrong))
            fail_msg("%s has no shape", s->key);
        if (s->kind == CONF_NUMBER && s->min >= s->max)
            fail_msg("%s has no range", s->key);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(s->key, section->settings[j].key);
        if (s->inside)
            check_section(s->inside);
    }
}

static void test_table_is_whole(void **state)
{
    (void)state;
    check_section(&conf_schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_is_current),
        cmocka_unit_test(test_table_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
