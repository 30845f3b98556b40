#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/http/fields.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

/* Fields from "name: value" lines. */
static struct http_fields fields_of(const char *text)
{
    struct http_fields f = {0};
    struct span rest = span_text(text), line;
    while (rest.len > 0 && span_split(&rest, '\n', &line)) {
        size_t colon;
        assert_true(span_find(line, ':', &colon));
        assert_true(http_fields_add(&f, &arena, span_until(line, colon),
                                    span_trim(span_from(line, colon + 1))));
    }
    return f;
}

static void assert_span(struct span got, const char *want, const char *why)
{
    if (!span_equal(got, span_text(want)))
        fail_msg("%s: got \"%.*s\", want \"%s\"", why, SPAN_ARG(got), want);
}

static void assert_fields(const struct http_fields *f, const char *want, const char *why)
{
    char got[2048];
    size_t len = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        assert_int_equal(f->at[i].id, http_name_find(f->at[i].name));
        int n = snprintf(got + len, sizeof got - len, "%.*s:%.*s\n", SPAN_ARG(f->at[i].name),
                         SPAN_ARG(f->at[i].value));
        len += (size_t)n;
        assert_true(len < sizeof got);
    }
    assert_span(span_of(got, len), want, why);
}

static void every_known_name_finds_itself(void **state)
{
    (void)state;
    for (int id = HTTP_NAME_OTHER + 1; id < HTTP_NAME_COUNT; id++) {
        struct span text = http_name_text((enum http_name)id);
        char changed[64];
        assert_true(text.len > 0);
        assert_int_equal(http_name_find(text), id);
        for (size_t i = 0; i < text.len; i++) {
            memcpy(changed, text.ptr, text.len);
            changed[i] = (char)(changed[i] ^ 1);
            assert_int_not_equal(http_name_find(span_of(changed, text.len)), id);
        }
    }
    assert_int_equal(http_name_find(SPAN("")), HTTP_NAME_OTHER);
    assert_int_equal(http_name_find(SPAN("x-something-that-is-very-long-indeed")),
                     HTTP_NAME_OTHER);
}

static void lookups_and_removals(void **state)
{
    (void)state;
    struct http_fields f = fields_of("via:a\nx-one:1\nvia:b\nX-Two:2\nx-one:3\n");
    assert_span(http_fields_find(&f, HTTP_NAME_VIA)->value, "a", "the first of two");
    assert_null(http_fields_find(&f, HTTP_NAME_AGE));
    assert_span(http_fields_find_text(&f, SPAN("x-ONE"))->value, "1", "by text, no case");
    assert_null(http_fields_find_text(&f, SPAN("x-on")));
    assert_int_equal(http_fields_count(&f, HTTP_NAME_VIA), 2);
    http_fields_remove_text(&f, SPAN("X-One"));
    assert_fields(&f, "via:a\nvia:b\nX-Two:2\n", "every line of the name");
    http_fields_remove(&f, HTTP_NAME_VIA);
    assert_fields(&f, "X-Two:2\n", "every line of the id");
}

static void arrays_grow_to_the_arena_cap(void **state)
{
    (void)state;
    struct arena small;
    struct http_fields f = {0};
    uint32_t count = 0;
    arena_init(&small, 16384);
    while (http_fields_add(&f, &small, SPAN("a"), SPAN("b")))
        count++;
    assert_true(count >= 64 && f.count == count);
    assert_false(http_fields_add_named(&f, &small, HTTP_NAME_AGE, SPAN("1")));
    assert_int_equal(f.count, count);
    for (uint32_t i = 0; i < count; i++)
        assert_span(f.at[i].name, "a", "kept while growing");
    arena_fini(&small);
}

static void hop_by_hop(void **state)
{
    (void)state;
    static const struct {
        const char *why, *in, *out;
    } rows[] = {
        {"nothing to do", "via:1\nx:2\n", "via:1\nx:2\n"},
        {"the fixed ones",
         "connection:close\nkeep-alive:1\nproxy-authenticate:1\nproxy-authentication-info:1\n"
         "proxy-authorization:1\nproxy-connection:1\nte:1\ntransfer-encoding:1\nupgrade:1\nx:"
         "2\n",
         "x:2\n"},
        {"named, no case", "x-a:1\nconnection:X-A, close\nx-b:2\nx-a:3\n", "x-b:2\n"},
        {"over two lines", "connection:x-a\nx-b:2\nconnection:,x-b\nx-a:3\n", ""},
        {"a name that is not there", "connection:nope\nx:1\n", "x:1\n"},
        {"names itself", "connection:connection\nx:1\n", "x:1\n"},
        {"more lines than one round takes",
         "connection:a\nconnection:b\nconnection:c\nconnection:d\nconnection:e\nconnection:f\n"
         "connection:g\nconnection:h\nconnection:i\nconnection:j\na:1\nh:1\ni:1\nj:1\nk:1\n",
         "k:1\n"},
        {"trailer and via stay", "trailer:x\nvia:y\n", "trailer:x\nvia:y\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_fields f = fields_of(rows[i].in);
        http_fields_remove_hop_by_hop(&f);
        assert_fields(&f, rows[i].out, rows[i].why);
    }
}

static void joined_values(void **state)
{
    (void)state;
    struct http_fields f = fields_of("vary:a\nx:1\nvary:\nX:2\nvary:b,c\nage:7\n");
    struct span got;
    assert_true(http_fields_join(&f, HTTP_NAME_VARY, &arena, &got));
    assert_span(got, "a, , b,c", "three lines");
    assert_true(http_fields_join(&f, HTTP_NAME_AGE, &arena, &got));
    assert_ptr_equal(got.ptr, http_fields_find(&f, HTTP_NAME_AGE)->value.ptr);
    assert_true(http_fields_join(&f, HTTP_NAME_ETAG, &arena, &got));
    assert_int_equal(got.len, 0);
    assert_true(http_fields_join_text(&f, SPAN("x"), &arena, &got));
    assert_span(got, "1, 2", "by text");
}

static void list_members(void **state)
{
    (void)state;
    static const struct {
        const char *why, *in, *out;
    } rows[] = {
        {"plain", "vary:a, b ,c\n", "a|b|c|"},
        {"empty members and white space", "vary:, a,,\t b ,\n", "a|b|"},
        {"over lines", "vary:a\nx:z\nvary:b, c\nvary:\nvary:d\n", "a|b|c|d|"},
        {"quoted comma", "vary:a=\"x,y\", b\n", "a=\"x,y\"|b|"},
        {"escaped quote", "vary:\"a\\\",b\",c\n", "\"a\\\",b\"|c|"},
        {"a quote that does not end", "vary:a,\"b,c\nvary:d\n", "a|\"b,c|d|"},
        {"a backslash at the end", "vary:a,\"b\\\nvary:d\n", "a|\"b\\|d|"},
        {"absent", "x:1\n", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_fields f = fields_of(rows[i].in);
        struct http_list l;
        struct span member;
        char got[256];
        size_t len = 0;
        http_list_begin(&l, &f, HTTP_NAME_VARY);
        while (http_list_next(&l, &member))
            len += (size_t)snprintf(got + len, sizeof got - len, "%.*s|", SPAN_ARG(member));
        assert_span(span_of(got, len), rows[i].out, rows[i].why);
    }
    struct http_fields f = fields_of("connection:Keep-Alive , x\n");
    assert_true(http_list_has(&f, HTTP_NAME_CONNECTION, SPAN("keep-alive")));
    assert_false(http_list_has(&f, HTTP_NAME_CONNECTION, SPAN("keep")));
    assert_false(http_list_has(&f, HTTP_NAME_VARY, SPAN("x")));
}

static void qualities(void **state)
{
    (void)state;
    static const struct {
        const char *why, *in, *token;
        int thousandths; /* -1: malformed */
    } rows[] = {
        {"absent is 1", "gzip", "gzip", 1000},
        {"half", "gzip;q=0.5", "gzip", 500},
        {"spaces, upper case", "gzip ; Q=0.25", "gzip", 250},
        {"zero", "br;q=0", "br", 0},
        {"zero point", "br;q=0.", "br", 0},
        {"zero in full", "br;q=0.000", "br", 0},
        {"one in full", "br;q=1.000", "br", 1000},
        {"three digits", "br;q=0.123", "br", 123},
        {"after another parameter", "text/html;level=1;q=0.4", "text/html", 400},
        {"before another parameter", "a;q=0.4;x=\";q=7\"", "a", 400},
        {"a star", "*;q=0.1", "*", 100},
        {"four digits", "br;q=0.1234", "", -1},
        {"over one", "br;q=1.001", "", -1},
        {"two", "br;q=2", "", -1},
        {"no digits", "br;q=", "", -1},
        {"negative", "br;q=-1", "", -1},
        {"no leading zero", "br;q=.5", "", -1},
        {"a word", "br;q=high", "", -1},
        {"comma for a point", "br;q=0,5", "", -1},
        {"no token", ";q=0.5", "", -1},
        {"nothing", "", "", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct span token = {NULL, 0};
        unsigned thousandths = 0;
        bool ok = http_quality(span_text(rows[i].in), &token, &thousandths);
        if (ok != (rows[i].thousandths >= 0))
            fail_msg("%s: %s", rows[i].why, ok ? "taken" : "refused");
        if (ok && (int)thousandths != rows[i].thousandths)
            fail_msg("%s: %u", rows[i].why, thousandths);
        if (ok)
            assert_span(token, rows[i].token, rows[i].why);
    }
}

static void octets_of_tokens_and_values(void **state)
{
    (void)state;
    assert_false(http_is_token(SPAN("")));
    for (unsigned c = 0; c < 256; c++) {
        char one = (char)c;
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool token = alnum || (c > 0 && c < 128 && strchr("!#$%&'*+-.^_`|~", (int)c));
        bool value = c == 9 || (c >= 32 && c != 127);
        assert_int_equal(http_is_token(span_of(&one, 1)), token);
        /* each octet at each place of the eight that are looked at together, and after */
        for (size_t at = 0; at < 19; at++) {
            char text[19];
            memset(text, 'x', sizeof text);
            text[at] = one;
            assert_int_equal(http_field_value_length(span_of(text, sizeof text)),
                             value ? sizeof text : at);
            text[18 - at] = at == 9 ? one : '\t';
            assert_int_equal(http_is_field_value(span_of(text, sizeof text)), value);
        }
    }
    assert_true(http_is_field_value(SPAN("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_known_name_finds_itself),
        cmocka_unit_test(lookups_and_removals),
        cmocka_unit_test(arrays_grow_to_the_arena_cap),
        cmocka_unit_test(hop_by_hop),
        cmocka_unit_test(joined_values),
        cmocka_unit_test(list_members),
        cmocka_unit_test(qualities),
        cmocka_unit_test(octets_of_tokens_and_values),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
