#include "conf/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ARENA_BYTES (64 << 20)

/* The tree in one line: texts bare, [lists], {maps}, each with its "@line:col". */
static void show(const struct conf_value *v, char *out, size_t room)
{
    size_t used = strlen(out);
    char close = v->kind == CONF_VALUE_MAP ? '}' : ']';
    if (v->kind == CONF_VALUE_TEXT) {
        snprintf(out + used, room - used, "%s@%d:%d", v->nothing ? "~" : v->text.ptr,
                 v->place.line, v->place.column);
        return;
    }
    snprintf(out + used, room - used, "%c", v->kind == CONF_VALUE_MAP ? '{' : '[');
    for (uint32_t i = 0; i < v->count; i++) {
        used = strlen(out);
        snprintf(out + used, room - used, "%s%s%s", i ? " " : "", v->entries[i].key.ptr,
                 v->kind == CONF_VALUE_MAP ? ":" : "");
        show(v->entries[i].value, out, room);
    }
    used = strlen(out);
    snprintf(out + used, room - used, "%c", close);
}

static void test_trees(void **state)
{
    static const struct {
        const char *yaml, *tree, *why;
    } rows[] = {
        {"a: 1", "{a:1@1:4}", "a map"},
        {"a: NO\nb: 007\nc: null", "{a:NO@1:4 b:007@2:4 c:null@3:4}", "every scalar is a text"},
        {"a:\nb: ''", "{a:~@1:1 b:@2:4}", "nothing written is not the empty text"},
        {"- x\n- [y, 'z']", "[x@1:3 [y@2:4 z@2:7]]", "a quoted text is placed at its quote"},
        {"a: {b: \"c\"}", "{a:{b:c@1:8}}", "flow maps"},
        {"a: |\n  x\n  y\n", "{a:x\ny\n@2:1}", "block texts are placed at their content"},
        {"\xc3\xa4: {b: x}", "{\xc3\xa4:{b:x@1:8}}", "columns count characters"},
        {"a: &x [1]\nb: *x", "{a:[1@1:8] b:[1@1:8]}", "an alias is its anchor's value"},
        {"a: &x 1\nb: &x 2\nc: *x", "{a:1@1:7 b:2@2:7 c:2@2:7}", "the latest anchor counts"},
        {"a: ${PG_A}", "{a:k: v # [x]@1:4}", "the environment never becomes syntax"},
        {"${PG_A}: 1", "{${PG_A}:1@1:10}", "keys are as written"},
        {"# c\n---\na: 1\n...\n", "{a:1@3:4}", "comments and document marks"},
    };
    (void)state;
    setenv("PG_A", "k: v # [x]", 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct conf_faults faults = {0};
        struct arena arena;
        char tree[512] = "";
        arena_init(&arena, ARENA_BYTES);
        struct conf_value *v = conf_parse(&arena, span_text(rows[i].yaml), &faults);
        if (v)
            show(v, tree, sizeof tree);
        if (faults.count || strcmp(tree, rows[i].tree) != 0)
            fail_msg("%s: %s: got %s", rows[i].yaml, rows[i].why,
                     faults.count ? faults.at[0].message : tree);
        arena_fini(&arena);
        conf_faults_fini(&faults);
    }
}

static void expect(struct span yaml, int line, int column, const char *message, const char *why)
{
    struct conf_faults faults = {0};
    struct arena arena;
    arena_init(&arena, ARENA_BYTES);
    struct conf_value *v = conf_parse(&arena, yaml, &faults);
    if (v || faults.count != 1)
        fail_msg("%s: %u faults", why, faults.count);
    if (faults.at[0].line != line || faults.at[0].column != column ||
        strcmp(faults.at[0].message, message) != 0)
        fail_msg("%s: got %d:%d: %s", why, faults.at[0].line, faults.at[0].column,
                 faults.at[0].message);
    arena_fini(&arena);
    conf_faults_fini(&faults);
}

static void test_refused(void **state)
{
    static const struct {
        const char *yaml;
        int line, column;
        const char *message, *why;
    } rows[] = {
        {"", 1, 1, "the file is empty", "empty"},
        {"# a comment\n", 1, 1, "the file is empty", "only a comment"},
        {"a: 1\n---\nb: 2\n", 1, 1, "more than one YAML document", "two documents"},
        {"a: !!int 1", 1, 10, "tags (!) are not supported", "a tag on a text"},
        {"a: !x [1]", 1, 7, "tags (!) are not supported", "a tag on a list"},
        {"a: !x {b: 1}", 1, 7, "tags (!) are not supported", "a tag on a map"},
        {"a: *x", 1, 4, "an alias without its anchor", "no such anchor"},
        {"a: &x [*x]", 1, 8, "an alias inside its own anchor", "a circle"},
        {"a: &x 1\n<<: 2", 2, 1, "merge keys (<<) are not supported", "a merge key"},
        {"? [a]\n: 1", 1, 3, "a key must be a plain text", "a list as a key"},
        {"a: \"x\\0y\"", 1, 4, "a text with a NUL byte", "an escaped NUL"},
        {"a: 1\nb: \xff", 2, 4, "a byte that is no UTF-8 text", "a lone 0xff"},
        {"\xed\xa0\x80", 1, 1, "a byte that is no UTF-8 text", "a surrogate"},
        {"\xc0\x80", 1, 1, "a byte that is no UTF-8 text", "an overlong form"},
        {"\xf4\x90\x80\x80", 1, 1, "a byte that is no UTF-8 text", "above U+10FFFF"},
        {"\xe2\x82", 1, 1, "a byte that is no UTF-8 text", "cut short"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        expect(span_text(rows[i].yaml), rows[i].line, rows[i].column, rows[i].message,
               rows[i].why);
    expect(SPAN("a: \0"), 1, 4, "a byte that is no UTF-8 text", "a NUL byte");
}

/* The message is the library's, so only its place is pinned. */
static void test_syntax(void **state)
{
    static const struct {
        const char *yaml;
        int line, column;
    } rows[] = {
        {"a: [1, 2", 2, 1},     {"a:\n\tb: 1", 2, 1},  {"a: b: c", 1, 5},
        {"a: 1\nb: \"x", 2, 5}, {"a: 1\n b: 2", 1, 4},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct conf_faults faults = {0};
        struct arena arena;
        arena_init(&arena, ARENA_BYTES);
        assert_null(conf_parse(&arena, span_text(rows[i].yaml), &faults));
        assert_int_equal(faults.count, 1);
        if (strncmp(faults.at[0].message, "YAML: ", 6) != 0 ||
            faults.at[0].line != rows[i].line || faults.at[0].column != rows[i].column)
            fail_msg("%s: got %d:%d: %s", rows[i].yaml, faults.at[0].line, faults.at[0].column,
                     faults.at[0].message);
        arena_fini(&arena);
        conf_faults_fini(&faults);
    }
}

/* Repeats a piece between a head and a tail; owned. */
static struct span repeat(const char *head, const char *piece, size_t times, const char *tail)
{
    size_t len = strlen(piece);
    char *text = must_alloc(strlen(head) + len * times + strlen(tail) + 1);
    char *at = stpcpy(text, head);
    for (size_t i = 0; i < times; i++)
        at = stpcpy(at, piece);
    stpcpy(at, tail);
    return span_text(text);
}

static void test_limits(void **state)
{
    (void)state;
    static const struct {
        const char *head, *piece;
        size_t times;
        const char *tail;
        int line, column;
        const char *message, *why;
    } rows[] = {
        {"", "[", 33, "", 1, 33, "nested deeper than 32 levels", "one level too many"},
        {"[", "a,", 100000, "]", 1, 200000, "more than 100000 values", "one value too many"},
        {"", "- &a x\n", 1001, "", 1001, 6, "more than 1000 anchors", "one anchor too many"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct span yaml = repeat(rows[i].head, rows[i].piece, rows[i].times, rows[i].tail);
        expect(yaml, rows[i].line, rows[i].column, rows[i].message, rows[i].why);
        free((void *)(uintptr_t)yaml.ptr);
    }
}

/* 300 bytes that would be 10^9 values, and an alias often enough to cost time. */
static void test_alias_bombs(void **state)
{
    char bomb[1024] = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
    (void)state;
    for (int i = 1; i < 9; i++) {
        size_t used = strlen(bomb);
        snprintf(bomb + used, sizeof bomb - used,
                 "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1,
                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    }
    expect(span_text(bomb), 5, 9, "more than 100000 values once aliases are followed", "bomb");
    struct span many = repeat("- &a x\n- [", "*a,", 100001, "]");
    expect(many, 2, 299995, "more than 100000 values", "many aliases");
    free((void *)(uintptr_t)many.ptr);
}

static void test_places(void **state)
{
    struct conf_faults faults = {0};
    struct arena arena;
    (void)state;
    arena_init(&arena, ARENA_BYTES);
    struct conf_value *root =
        conf_parse(&arena, SPAN("a:\n  - b: [x, y]\n  - c: 1\n"), &faults);
    assert_non_null(root);
    static const struct {
        const char *path;
        int line, column;
        bool there;
    } rows[] = {
        {"a[0].b[1]", 2, 12, true}, {"a[0].b[7]", 2, 8, false}, {"a[1].c", 3, 8, true},
        {"a[1].b", 3, 5, false},    {"z.y", 1, 1, false},       {"a[1].c.d", 3, 8, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct conf_place place = conf_parse_place(root, "%s", rows[i].path);
        assert_int_equal(place.line, rows[i].line);
        assert_int_equal(place.column, rows[i].column);
        assert_int_equal(conf_parse_has(root, "%s", rows[i].path), rows[i].there);
    }
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees),       cmocka_unit_test(test_refused),
        cmocka_unit_test(test_syntax),      cmocka_unit_test(test_limits),
        cmocka_unit_test(test_alias_bombs), cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
