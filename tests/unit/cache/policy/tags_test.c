#include "tests/unit/cache/policy/lines.h"

#include "cache/policy/tags.h"

static const char *all_names[] = {"Surrogate-Key",  "Cache-Tag",    "xkey",
                                  "X-Magento-Tags", "Cache-Groups", "My-Tags"};
static const struct conf_texts all = {all_names, ARRAY_LEN(all_names)};

static const struct {
    const char *why, *response, *want; /* joined by '|' */
} rows[] = {
    {"none", "x: y", ""},
    {"spaces", "surrogate-key: a b  c", "a|b|c"},
    {"a comma belongs to such a tag", "surrogate-key: a,b c", "a,b|c"},
    {"commas", "cache-tag: a, b c ,,d", "a|b c|d"},
    {"xkey", "xkey: a b", "a|b"},
    {"a tab separates too", "xkey: a\tb", "a|b"},
    {"Magento", "x-magento-tags: cat_p_1,cat_p", "cat_p_1|cat_p"},
    {"several lines and fields, each once", "cache-tag: a,b\nxkey: b c\ncache-tag: c,d",
     "a|b|c|d"},
    {"case counts", "xkey: a A", "a|A"},
    {"groups", "cache-groups: \"a b\", \"c\\\"d\"", "=a b|=c\"d"},
    {"groups in two lines", "cache-groups: \"a\"\ncache-groups: \"b\"", "=a|=b"},
    {"groups with parameters", "cache-groups: \"a\";x=1", "=a"},
    {"a tag and a group", "cache-tag: a,b\ncache-groups: \"c\", \"a\"", "=a|b|=c"},
    {"a group that is no string spoils all", "cache-groups: \"a\", b", ""},
    {"an inner list too", "cache-groups: \"a\", (\"b\")", ""},
    {"groups that do not parse", "xkey: x\ncache-groups: \"a", "x"},
    {"an empty group names nothing", "cache-groups: \"\"", ""},
    {"a name of the site's own", "my-tags: a, b c", "a|b|c"},
    {"not configured", "other-tags: a", ""},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena arena;
        struct policy_tags tags;
        struct span text = {0};
        arena_init(&arena, 65536);
        struct http_fields f = lines(&arena, rows[i].response);
        assert_int_equal(policy_tags(&f, &all, &arena, &tags), ERR_OK);
        for (uint32_t k = 0; k < tags.count; k++)
            assert_true(arena_printf(&arena, &text, "%.*s%s%s%.*s", SPAN_ARG(text),
                                     k ? "|" : "", tags.groups >> k & 1 ? "=" : "",
                                     SPAN_ARG(tags.at[k])));
        ASSERT_SPAN(rows[i].why, text, span_text(rows[i].want));
        arena_fini(&arena);
    }
}

static enum err read_one(struct span value, uint32_t *out_count)
{
    struct arena arena;
    struct policy_tags tags = {.count = 0};
    struct http_fields f = {0};
    arena_init(&arena, 1u << 20);
    assert_true(http_fields_add(&f, &arena, SPAN("surrogate-key"), value));
    enum err err = policy_tags(&f, &all, &arena, &tags);
    *out_count = tags.count;
    arena_fini(&arena);
    return err;
}

static void test_limits(void **state)
{
    (void)state;
    static char text[POLICY_TAGS_BYTES + 1];
    uint32_t count;
    size_t at = 0;
    for (int i = 0; i < POLICY_TAGS_MAX + 1; i++) {
        text[at++] = (char)('0' + i);
        text[at++] = ' ';
    }
    assert_int_equal(read_one(span_of(text, at - 2), &count), ERR_OK);
    assert_int_equal(count, POLICY_TAGS_MAX);
    assert_int_equal(read_one(span_of(text, at), &count), ERR_LIMIT);

    memset(text, ' ', sizeof text);
    assert_int_equal(read_one(span_of(text, POLICY_TAGS_BYTES), &count), ERR_OK);
    assert_int_equal(read_one(span_of(text, POLICY_TAGS_BYTES + 1), &count), ERR_LIMIT);

    memset(text, 'a', sizeof text); /* longer than any purge's selector */
    assert_int_equal(read_one(span_of(text, 8192), &count), ERR_OK);
    assert_int_equal(read_one(span_of(text, 8193), &count), ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
