#include "tests/unit/cache/policy/lines.h"

#include "cache/policy/vary.h"

static const struct {
    const char *why, *response, *want; /* NULL: refused */
} name_rows[] = {
    {"none", "a: b", ""},
    {"empty", "vary: ", ""},
    {"one", "vary: Foo", "foo"},
    {"sorted, lower case", "vary: Foo, Accept-Language", "accept-language,foo"},
    {"each once", "vary: foo, FOO\nvary: Foo", "foo"},
    {"several lines, empty members", "vary: , b,\nvary: \nvary: a", "a,b"},
    {"encodings make no variants", "vary: Accept-Encoding", ""},
    {"in any case and line", "vary: b, ACCEPT-encoding\nvary: accept-encoding, a", "a,b"},
    {"a longer name does", "vary: accept-encoding-x", "accept-encoding-x"},
    {"star beside it", "vary: Accept-Encoding, *", NULL},
    {"it does not count for the cap", "vary: a,b,c,d,e,f,g,h,accept-encoding,i,j,k,l,m,n,o,p",
     "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p"},
    {"star", "vary: *", NULL},
    {"star in a second line", "vary: a\nvary: b, *", NULL},
    {"star without end", "vary: a,*,b", NULL},
    {"no field name", "vary: a b", NULL},
    {"as many as the cap", "vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p",
     "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p"},
    {"duplicates do not count", "vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,a,b,C",
     "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p"},
    {"one more than the cap", "vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", NULL},
};

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(name_rows); i++) {
        struct arena arena;
        struct span names = {0};
        arena_init(&arena, 65536);
        struct http_fields f = lines(&arena, name_rows[i].response);
        enum err err = policy_vary_names(&f, &arena, &names);
        if (err != (name_rows[i].want ? ERR_OK : ERR_REFUSED) ||
            policy_vary_refuses(&f) != !name_rows[i].want)
            fail_msg("%s: %d", name_rows[i].why, err);
        if (!err)
            ASSERT_SPAN(name_rows[i].why, names, span_text(name_rows[i].want));
        arena_fini(&arena);
    }
}

static const struct {
    const char *why, *names, *a, *b;
    bool want_equal;
} key_rows[] = {
    {"no names: all alike", "", "foo: 1", "foo: 2", true},
    {"same", "foo", "foo: 1", "foo: 1", true},
    {"differs", "foo", "foo: 1", "foo: 2", false},
    {"others do not count", "foo", "foo: 1\nbar: 1", "foo: 1\nbar: 2", true},
    {"absent and present", "foo", "", "foo: 1", false},
    {"absent and empty", "foo", "", "foo: ", false},
    {"both absent", "foo", "", "bar: 1", true},
    {"case counts", "foo", "foo: a", "foo: A", false},
    {"white space around commas", "foo", "foo: 1,2", "foo: 1 ,  2", true},
    {"white space inside", "foo", "foo: 1 2", "foo: 1  2", false},
    {"lines are joined", "foo", "foo: 1, 2", "foo: 1\nfoo: 2", true},
    {"empty members", "foo", "foo: 1,,2,", "foo: 1,2", true},
    {"order counts", "foo", "foo: 1,2", "foo: 2,1", false},
    {"quotes are left alone", "foo", "foo: \"1,2\"", "foo: \"1, 2\"", false},
    {"two names", "bar,foo", "foo: 1\nbar: 2", "bar: 2\nfoo: 1", true},
    {"swapped values", "bar,foo", "foo: 1\nbar: 2", "foo: 2\nbar: 1", false},
    {"one of two absent", "bar,foo", "foo: 1", "bar: 1", false},
    {"language in any case", "accept-language", "accept-language: de-DE",
     "accept-language: DE-de", true},
    {"language order, equal weights", "accept-language", "accept-language: en, de",
     "accept-language: de,en", true},
    {"language order, told by q", "accept-language", "accept-language: en, de;q=0.5",
     "accept-language: de;q=0.5, en", true},
    {"q written another way", "accept-language", "accept-language: de;q=0.50",
     "accept-language: de; q=0.5", true},
    {"other weights", "accept-language", "accept-language: en, de;q=0.5",
     "accept-language: en;q=0.5, de", false},
    {"the weight itself", "accept-language", "accept-language: en, de;q=0.5",
     "accept-language: en, de;q=0.4", false},
    {"q=1 is none", "accept-language", "accept-language: de;q=1.0", "accept-language: de",
     true},
    {"malformed q is compared as written", "accept-language", "accept-language: en, de;q=x",
     "accept-language: de;q=x, en", false},
};

static void test_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(key_rows); i++) {
        struct arena arena;
        struct span a, b;
        arena_init(&arena, 65536);
        struct http_fields fa = lines(&arena, key_rows[i].a), fb = lines(&arena, key_rows[i].b);
        assert_int_equal(policy_vary_key(span_text(key_rows[i].names), &fa, &arena, &a),
                         ERR_OK);
        assert_int_equal(policy_vary_key(span_text(key_rows[i].names), &fb, &arena, &b),
                         ERR_OK);
        if (span_equal(a, b) != key_rows[i].want_equal)
            fail_msg("%s: \"%.*s\" \"%.*s\"", key_rows[i].why, SPAN_ARG(a), SPAN_ARG(b));
        arena_fini(&arena);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct arena arena, small;
    struct span a, b, text = SPAN("accept-language: ");
    arena_init(&arena, 65536);
    arena_init(&small, 1);
    /* a list too long to sort is compared as written */
    for (int i = 0; i < 33; i++)
        assert_true(arena_printf(&arena, &text, "%.*sl%d,", SPAN_ARG(text), i));
    assert_true(arena_printf(&arena, &text, "%.*s%c", SPAN_ARG(text), 0));
    struct http_fields f = lines(&arena, text.ptr);
    assert_int_equal(policy_vary_key(SPAN("accept-language"), &f, &arena, &a), ERR_OK);
    assert_true(span_starts(a, SPAN("accept-language:l0,l1,l2,l3")));
    assert_int_equal(policy_vary_key(SPAN("accept-language"), &f, &small, &b), ERR_LIMIT);
    f = lines(&arena, "vary: a");
    assert_int_equal(policy_vary_names(&f, &small, &b), ERR_LIMIT);
    arena_fini(&small);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
