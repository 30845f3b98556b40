#include "tests/unit/cache/policy/lines.h"

#include "cache/policy/etag.h"

static const struct {
    const char *why, *value, *want; /* one tag a line */
} list_rows[] = {
    {"none", "", ""},
    {"commas alone", " ,\t, ", ""},
    {"one", "\"a\"", "\"a\"\n"},
    {"several, no spaces", "\"a\",W/\"b\",\"\"", "\"a\"\nW/\"b\"\n\"\"\n"},
    {"empty members", ", \"a\" ,, \"b\",", "\"a\"\n\"b\"\n"},
    {"a comma inside", "\"a,b\", \"c\"", "\"a,b\"\n\"c\"\n"},
    {"a backslash escapes nothing", "\"a\\\", \"c\"", "\"a\\\"\n\"c\"\n"},
    {"unquoted", "a b , c", "a b\nc\n"},
    {"an open quote ends at the comma", "\"a, b", "\"a\nb\n"},
    {"nothing after the weakness", "W/, W/", "W/\nW/\n"},
    {"no comma between", "\"a\"\"b\"", "\"a\"\n\"b\"\n"},
    {"star", "*", "*\n"},
};

static void test_lists(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(list_rows); i++) {
        struct arena arena;
        arena_init(&arena, 65536);
        struct span rest = span_text(list_rows[i].value), etag, got = {0};
        while (policy_etag_next(&rest, &etag))
            assert_true(
                arena_printf(&arena, &got, "%.*s%.*s\n", SPAN_ARG(got), SPAN_ARG(etag)));
        ASSERT_SPAN(list_rows[i].why, got, span_text(list_rows[i].want));
        arena_fini(&arena);
    }
}

static const struct {
    const char *etag, *want; /* NULL: none */
} opaque_rows[] = {
    {"\"a\"", "a"}, {"W/\"a\"", "a"}, {"\"\"", ""},      {"\"a b\"", "a b"}, {"", NULL},
    {"a", NULL},    {"\"", NULL},     {"\"a", NULL},     {"a\"", NULL},      {"W/", NULL},
    {"W/a", NULL},  {"W/\"", NULL},   {"w/\"a\"", NULL}, {"\"a\"b\"", NULL}, {"\"a\"b", NULL},
};

static void test_opaque(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(opaque_rows); i++) {
        struct span opaque = SPAN("untouched");
        bool is = policy_etag_opaque(span_text(opaque_rows[i].etag), &opaque);
        if (is != (opaque_rows[i].want != NULL))
            fail_msg("%s: %d", opaque_rows[i].etag, is);
        ASSERT_SPAN(opaque_rows[i].etag, opaque,
                    is ? span_text(opaque_rows[i].want) : SPAN("untouched"));
    }
}

static const struct {
    const char *a, *b;
    bool weak, strong;
} equal_rows[] = {
    /* the table of 8.8.3.2 first */
    {"W/\"1\"", "W/\"1\"", true, false}, {"W/\"1\"", "W/\"2\"", false, false},
    {"W/\"1\"", "\"1\"", true, false},   {"\"1\"", "W/\"1\"", true, false},
    {"\"1\"", "\"1\"", true, true},      {"\"1\"", "\"2\"", false, false},
    {"w/\"1\"", "\"1\"", false, false},  {"", "", false, false},
    {"W/", "W/", false, false},          {"a", "a", true, true},
};

static void test_equal(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(equal_rows); i++) {
        struct span a = span_text(equal_rows[i].a), b = span_text(equal_rows[i].b);
        if (policy_etag_weak_equal(a, b) != equal_rows[i].weak ||
            policy_etag_strong_equal(a, b) != equal_rows[i].strong)
            fail_msg("%s %s", equal_rows[i].a, equal_rows[i].b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_opaque),
        cmocka_unit_test(test_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
