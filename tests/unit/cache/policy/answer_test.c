#include "tests/unit/cache/policy/lines.h"

#include "cache/policy/answer.h"

#define LM "Sun, 06 Nov 1994 08:49:37 GMT"
#define LM_BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define LM_AFTER "Sun, 06 Nov 1994 08:49:38 GMT"
#define STRONG "etag: \"a\"\nlast-modified: " LM "\ndate: Mon, 07 Nov 1994 00:00:00 GMT"
#define WEAK "etag: W/\"a\"\ndate: Mon, 07 Nov 1994 00:00:00 GMT"
#define DATED "last-modified: " LM "\ndate: Mon, 07 Nov 1994 00:00:00 GMT"
#define JUST_NOW "last-modified: " LM "\ndate: " LM
#define NO_VALIDATOR "date: " LM

static const struct {
    const char *why;
    enum http_method method;
    const char *request;
    unsigned status;
    const char *stored;
    int64_t body_bytes;
    enum policy_answer_kind want;
} rows[] = {
    {"no condition", HTTP_GET, "", 200, STRONG, 100, POLICY_ANSWER_WHOLE},
    {"the tag matches", HTTP_GET, "if-none-match: \"a\"", 200, STRONG, 100,
     POLICY_ANSWER_NOT_MODIFIED},
    {"HEAD too", HTTP_HEAD, "if-none-match: \"a\"", 200, STRONG, 100,
     POLICY_ANSWER_NOT_MODIFIED},
    {"not for other methods", HTTP_POST, "if-none-match: \"a\"", 200, STRONG, 100,
     POLICY_ANSWER_WHOLE},
    {"another tag", HTTP_GET, "if-none-match: \"b\"", 200, STRONG, 100, POLICY_ANSWER_WHOLE},
    {"weak against strong", HTTP_GET, "if-none-match: W/\"a\"", 200, STRONG, 100,
     POLICY_ANSWER_NOT_MODIFIED},
    {"strong against weak", HTTP_GET, "if-none-match: \"a\"", 200, WEAK, 100,
     POLICY_ANSWER_NOT_MODIFIED},
    {"w/ in lower case is another tag", HTTP_GET, "if-none-match: w/\"a\"", 200, STRONG, 100,
     POLICY_ANSWER_WHOLE},
    {"first of a list", HTTP_GET, "if-none-match: \"a\", \"b\"", 200, STRONG, 100,
     POLICY_ANSWER_NOT_MODIFIED},
    {"last of a list without spaces", HTTP_GET, "if-none-match: \"c\",W/\"b\",\"a\"", 200,
     STRONG, 100, POLICY_ANSWER_NOT_MODIFIED},
    {"in a second line", HTTP_GET, "if-none-match: \"c\"\nif-none-match: \"a\"", 200, STRONG,
     100, POLICY_ANSWER_NOT_MODIFIED},
    {"a tag with a comma is one tag", HTTP_GET, "if-none-match: \"x,\"a\"", 200, STRONG, 100,
     POLICY_ANSWER_WHOLE},
    {"a backslash escapes nothing", HTTP_GET, "if-none-match: \"x\\\", \"a\"", 200, STRONG, 100,
     POLICY_ANSWER_NOT_MODIFIED},
    {"unquoted does not match quoted", HTTP_GET, "if-none-match: a", 200, STRONG, 100,
     POLICY_ANSWER_WHOLE},
    {"unquoted matches the origin's own", HTTP_GET, "if-none-match: b, a", 200, "etag: a", 100,
     POLICY_ANSWER_NOT_MODIFIED},
    {"an open quote", HTTP_GET, "if-none-match: \"a", 200, STRONG, 100, POLICY_ANSWER_WHOLE},
    {"star", HTTP_GET, "if-none-match: *", 200, NO_VALIDATOR, 100, POLICY_ANSWER_NOT_MODIFIED},
    {"star inside a list is no star", HTTP_GET, "if-none-match: \"b\", *", 200, STRONG, 100,
     POLICY_ANSWER_WHOLE},
    {"empty If-None-Match, no stored tag", HTTP_GET, "if-none-match: ", 200, NO_VALIDATOR, 100,
     POLICY_ANSWER_WHOLE},
    {"If-None-Match comes before If-Modified-Since", HTTP_GET,
     "if-modified-since: " LM_AFTER "\nif-none-match: \"b\"", 200, STRONG, 100,
     POLICY_ANSWER_WHOLE},
    {"and needs none of it", HTTP_GET, "if-modified-since: " LM_BEFORE "\nif-none-match: \"a\"",
     200, STRONG, 100, POLICY_ANSWER_NOT_MODIFIED},
    {"not modified since", HTTP_GET, "if-modified-since: " LM, 200, DATED, 100,
     POLICY_ANSWER_NOT_MODIFIED},
    {"a later date", HTTP_GET, "if-modified-since: " LM_AFTER, 200, DATED, 100,
     POLICY_ANSWER_NOT_MODIFIED},
    {"modified since", HTTP_GET, "if-modified-since: " LM_BEFORE, 200, DATED, 100,
     POLICY_ANSWER_WHOLE},
    {"no Last-Modified: Date stands in", HTTP_GET, "if-modified-since: " LM, 200, NO_VALIDATOR,
     100, POLICY_ANSWER_NOT_MODIFIED},
    {"Date, too late", HTTP_GET, "if-modified-since: " LM_BEFORE, 200, NO_VALIDATOR, 100,
     POLICY_ANSWER_WHOLE},
    {"neither: nothing to compare", HTTP_GET, "if-modified-since: " LM_AFTER, 200, "a: b", 100,
     POLICY_ANSWER_WHOLE},
    {"no date", HTTP_GET, "if-modified-since: yesterday", 200, DATED, 100, POLICY_ANSWER_WHOLE},
    {"two of them", HTTP_GET, "if-modified-since: " LM "\nif-modified-since: " LM, 200, DATED,
     100, POLICY_ANSWER_WHOLE},
    {"conditions are for 2xx", HTTP_GET, "if-none-match: \"a\"", 404, STRONG, 100,
     POLICY_ANSWER_WHOLE},
    {"and for all of them", HTTP_GET, "if-none-match: \"a\"", 203, STRONG, 100,
     POLICY_ANSWER_NOT_MODIFIED},
    {"to the last", HTTP_GET, "if-none-match: \"a\"", 299, STRONG, 100,
     POLICY_ANSWER_NOT_MODIFIED},
    {"300 is none", HTTP_GET, "if-none-match: \"a\"", 300, STRONG, 100, POLICY_ANSWER_WHOLE},
    {"If-Match holds", HTTP_GET, "if-match: \"b\", \"a\"", 200, STRONG, 100,
     POLICY_ANSWER_WHOLE},
    {"If-Match fails", HTTP_GET, "if-match: \"b\"", 200, STRONG, 100,
     POLICY_ANSWER_PRECONDITION_FAILED},
    {"If-Match compares strongly", HTTP_GET, "if-match: W/\"a\"", 200, STRONG, 100,
     POLICY_ANSWER_PRECONDITION_FAILED},
    {"If-Match: *", HTTP_GET, "if-match: *", 200, STRONG, 100, POLICY_ANSWER_WHOLE},
    {"If-Match without a strong tag is the origin's business", HTTP_GET, "if-match: \"a\"", 200,
     WEAK, 100, POLICY_ANSWER_WHOLE},
    {"If-Match before If-None-Match", HTTP_GET, "if-none-match: \"a\"\nif-match: \"b\"", 200,
     STRONG, 100, POLICY_ANSWER_PRECONDITION_FAILED},
    {"If-Match holds, then If-None-Match", HTTP_GET, "if-none-match: \"a\"\nif-match: \"a\"",
     200, STRONG, 100, POLICY_ANSWER_NOT_MODIFIED},
    {"unmodified since", HTTP_GET, "if-unmodified-since: " LM, 200, DATED, 100,
     POLICY_ANSWER_WHOLE},
    {"modified after that", HTTP_GET, "if-unmodified-since: " LM_BEFORE, 200, DATED, 100,
     POLICY_ANSWER_PRECONDITION_FAILED},
    {"If-Match outranks If-Unmodified-Since", HTTP_GET,
     "if-unmodified-since: " LM_BEFORE "\nif-match: \"a\"", 200, STRONG, 100,
     POLICY_ANSWER_WHOLE},
    {"unmodified, not known when", HTTP_GET, "if-unmodified-since: " LM_BEFORE, 200,
     NO_VALIDATOR, 100, POLICY_ANSWER_WHOLE},
    {"a range", HTTP_GET, "range: bytes=0-9", 200, STRONG, 100, POLICY_ANSWER_RANGE},
    {"two ranges", HTTP_GET, "range: bytes=0-9,20-29", 200, STRONG, 100, POLICY_ANSWER_RANGES},
    {"two that merge", HTTP_GET, "range: bytes=0-9,5-29", 200, STRONG, 100,
     POLICY_ANSWER_RANGE},
    {"behind the end", HTTP_GET, "range: bytes=100-", 200, STRONG, 100,
     POLICY_ANSWER_UNSATISFIABLE},
    {"malformed", HTTP_GET, "range: bytes=9-0", 200, STRONG, 100, POLICY_ANSWER_WHOLE},
    {"two Range lines", HTTP_GET, "range: bytes=0-9\nrange: bytes=0-9", 200, STRONG, 100,
     POLICY_ANSWER_WHOLE},
    {"HEAD has no ranges", HTTP_HEAD, "range: bytes=0-9", 200, STRONG, 100,
     POLICY_ANSWER_WHOLE},
    {"ranges are for 200", HTTP_GET, "range: bytes=0-9", 203, STRONG, 100, POLICY_ANSWER_WHOLE},
    {"length not known yet", HTTP_GET, "range: bytes=0-9", 200, STRONG, HTTP_LENGTH_UNKNOWN,
     POLICY_ANSWER_WHOLE},
    {"304 comes before the range", HTTP_GET, "range: bytes=0-9\nif-none-match: \"a\"", 200,
     STRONG, 100, POLICY_ANSWER_NOT_MODIFIED},
    {"412 comes before the range", HTTP_GET, "range: bytes=0-9\nif-match: \"b\"", 200, STRONG,
     100, POLICY_ANSWER_PRECONDITION_FAILED},
    {"If-Range holds", HTTP_GET, "range: bytes=0-9\nif-range: \"a\"", 200, STRONG, 100,
     POLICY_ANSWER_RANGE},
    {"If-Range fails", HTTP_GET, "range: bytes=0-9\nif-range: \"b\"", 200, STRONG, 100,
     POLICY_ANSWER_WHOLE},
    {"If-Range fails before 416", HTTP_GET, "range: bytes=100-\nif-range: \"b\"", 200, STRONG,
     100, POLICY_ANSWER_WHOLE},
    {"If-Range with a weak tag", HTTP_GET, "range: bytes=0-9\nif-range: W/\"a\"", 200, WEAK,
     100, POLICY_ANSWER_WHOLE},
    {"If-Range strong, stored weak", HTTP_GET, "range: bytes=0-9\nif-range: \"a\"", 200, WEAK,
     100, POLICY_ANSWER_WHOLE},
    {"If-Range by date", HTTP_GET, "range: bytes=0-9\nif-range: " LM, 200, DATED, 100,
     POLICY_ANSWER_RANGE},
    {"a date is not one encoding's", HTTP_GET, "range: bytes=0-9\nif-range: " LM, 200,
     DATED "\nvary: accept-encoding", 100, POLICY_ANSWER_WHOLE},
    {"a later date is another one", HTTP_GET, "range: bytes=0-9\nif-range: " LM_AFTER, 200,
     DATED, 100, POLICY_ANSWER_WHOLE},
    {"a date of the same second is weak", HTTP_GET, "range: bytes=0-9\nif-range: " LM, 200,
     JUST_NOW, 100, POLICY_ANSWER_WHOLE},
    {"two If-Range lines", HTTP_GET, "range: bytes=0-9\nif-range: \"a\"\nif-range: \"a\"", 200,
     STRONG, 100, POLICY_ANSWER_WHOLE},
};

static void test_plan(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena arena;
        arena_init(&arena, 65536);
        struct http_request request = {.method = rows[i].method,
                                       .fields = lines(&arena, rows[i].request)};
        struct http_fields fields = lines(&arena, rows[i].stored);
        struct policy_stored stored = {
            .status = rows[i].status, .fields = &fields, .body_bytes = rows[i].body_bytes};
        struct policy_answer answer;
        policy_answer_plan(&request, &stored, &answer);
        if (answer.kind != rows[i].want)
            fail_msg("%s: got %d", rows[i].why, answer.kind);
        bool ranges = answer.kind == POLICY_ANSWER_RANGE || answer.kind == POLICY_ANSWER_RANGES;
        if (ranges != (answer.ranges.count > 0))
            fail_msg("%s: %u ranges", rows[i].why, answer.ranges.count);
        if (answer.etag.len)
            fail_msg("%s: tag of another form", rows[i].why);
        arena_fini(&arena);
    }
}

#define INM "if-none-match: "
#define ZSTD "etag: W/\"a-zstd\"\nlast-modified: " LM "\ndate: Mon, 07 Nov 1994 00:00:00 GMT"
#define NO_TAG "last-modified: " LM "\ndate: Mon, 07 Nov 1994 00:00:00 GMT"
#define MADE true

static const struct {
    const char *why, *request, *accept; /* NULL: not known */
    const char *stored, *base;
    bool is_made;
    enum policy_answer_kind want;
    const char *want_etag;
} form_rows[] = {
    {"the form's own", INM "W/\"a-zstd\"", "zstd", ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_NOT_MODIFIED, ""},
    {"its own, though not taken", INM "W/\"a-zstd\"", "", ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_NOT_MODIFIED, ""},
    {"its own comes first", INM "\"a\", W/\"a-gzip\", W/\"a-zstd\"", "gzip, zstd", ZSTD,
     "\"a\"", MADE, POLICY_ANSWER_NOT_MODIFIED, ""},
    {"in another line, too", INM "\"a\"\n" INM "W/\"a-zstd\"", "zstd", ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_NOT_MODIFIED, ""},
    {"star", INM "*", "zstd", ZSTD, "\"a\"", MADE, POLICY_ANSWER_NOT_MODIFIED, ""},
    {"star after another form's", INM "\"a\"\n" INM "*", "zstd", ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_NOT_MODIFIED, ""},
    {"the base's", INM "\"a\"", "zstd", ZSTD, "\"a\"", MADE, POLICY_ANSWER_NOT_MODIFIED,
     "\"a\""},
    {"the base's, refused", INM "\"a\"", "zstd, identity;q=0", ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_WHOLE, ""},
    {"the base's, weakly, as it is stored", INM "\"b\", W/\"a\"", "zstd", ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_NOT_MODIFIED, "\"a\""},
    {"of an object with a weak tag", INM "\"a\"", "zstd", ZSTD, "W/\"a\"", MADE,
     POLICY_ANSWER_NOT_MODIFIED, "W/\"a\""},
    {"the base's, which is no tag", INM "a", "zstd", NO_TAG, "a", MADE,
     POLICY_ANSWER_NOT_MODIFIED, "a"},
    {"another form's", INM "W/\"a-gzip\"", "zstd, gzip", ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_NOT_MODIFIED, "W/\"a-gzip\""},
    {"another one's, barely taken", INM "W/\"a-gzip\"", "zstd, gzip;q=0.001", ZSTD, "\"a\"",
     MADE, POLICY_ANSWER_NOT_MODIFIED, "W/\"a-gzip\""},
    {"another one's, not taken", INM "W/\"a-gzip\"", "zstd", ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_WHOLE, ""},
    {"another one's, refused", INM "W/\"a-gzip\"", "zstd, gzip;q=0", ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_WHOLE, ""},
    {"the first that is taken", INM "W/\"a-gzip\", W/\"a-identity\", \"a\"", "zstd", ZSTD,
     "\"a\"", MADE, POLICY_ANSWER_NOT_MODIFIED, "W/\"a-identity\""},
    {"identity, of which nothing is said", INM "W/\"a-identity\"", "zstd", ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_NOT_MODIFIED, "W/\"a-identity\""},
    {"identity, refused", INM "W/\"a-identity\"", "zstd, identity;q=0", ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_WHOLE, ""},
    {"there are no forms", INM "W/\"a-gzip\", \"a\"", NULL, ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_WHOLE, ""},
    {"another object's", INM "W/\"b-gzip\", \"b\"", "gzip, zstd", ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_WHOLE, ""},
    {"a strong one is no form's of ours", INM "\"a-gzip\"", "gzip, zstd", ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_WHOLE, ""},
    {"a form's, the base is given", INM "W/\"a-gzip\"", "gzip", STRONG, "\"a\"", !MADE,
     POLICY_ANSWER_NOT_MODIFIED, "W/\"a-gzip\""},
    {"likewise, the fields tell the base's tag", INM "W/\"a-gzip\"", "gzip", STRONG, "", !MADE,
     POLICY_ANSWER_NOT_MODIFIED, "W/\"a-gzip\""},
    {"the base's, which is given", INM "W/\"a-gzip\", \"a\"", "gzip", STRONG, "\"a\"", !MADE,
     POLICY_ANSWER_NOT_MODIFIED, ""},
    {"no tag at all", INM "W/\"-gzip\"", "gzip", NO_TAG, "", MADE, POLICY_ANSWER_WHOLE, ""},
    {"If-Modified-Since as ever", "if-modified-since: " LM, "zstd", ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_NOT_MODIFIED, ""},
    {"If-Match is about the base", "if-match: \"a\"", "zstd", ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_WHOLE, ""},
    {"and fails with a form's", "if-match: W/\"a-zstd\"", "zstd", ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_PRECONDITION_FAILED, ""},
    {"but for the origin, when the base's is weak", "if-match: \"b\"", "zstd", ZSTD, "W/\"a\"",
     MADE, POLICY_ANSWER_WHOLE, ""},
    {"If-Unmodified-Since", "if-unmodified-since: " LM_BEFORE, "zstd", ZSTD, "\"a\"", MADE,
     POLICY_ANSWER_PRECONDITION_FAILED, ""},
    {"no tag of a 304 where If-Match fails", INM "\"a\"\nif-match: \"b\"", "zstd", ZSTD,
     "\"a\"", MADE, POLICY_ANSWER_PRECONDITION_FAILED, ""},
    {"a made form has no ranges", "range: bytes=0-9", "", NO_TAG, "", MADE, POLICY_ANSWER_WHOLE,
     ""},
    {"not even none", "range: bytes=100-", "", NO_TAG, "", MADE, POLICY_ANSWER_WHOLE, ""},
    {"nor by date", "range: bytes=0-9\nif-range: " LM, "", NO_TAG, "", MADE,
     POLICY_ANSWER_WHOLE, ""},
    {"the base has, beside its forms", "range: bytes=0-9\nif-range: \"a\"", "", STRONG, "\"a\"",
     !MADE, POLICY_ANSWER_RANGE, ""},
    {"a form's tag does not hold for its parts", "range: bytes=0-9\nif-range: W/\"a-gzip\"", "",
     STRONG, "\"a\"", !MADE, POLICY_ANSWER_WHOLE, ""},
};

static void test_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(form_rows); i++) {
        struct arena arena;
        arena_init(&arena, 65536);
        struct http_request request = {.method = HTTP_GET,
                                       .fields = lines(&arena, form_rows[i].request)};
        struct http_fields fields = lines(&arena, form_rows[i].stored);
        struct policy_accept accept;
        struct policy_stored stored = {.status = 200,
                                       .fields = &fields,
                                       .body_bytes = 100,
                                       .base_etag = span_text(form_rows[i].base),
                                       .is_made = form_rows[i].is_made};
        if (form_rows[i].accept) {
            assert_true(http_fields_add_named(&request.fields, &arena,
                                              HTTP_NAME_ACCEPT_ENCODING,
                                              span_text(form_rows[i].accept)));
            policy_encoding_accept(&request.fields, &accept);
            stored.accept = &accept;
        }
        struct policy_answer answer;
        policy_answer_plan(&request, &stored, &answer);
        if (answer.kind != form_rows[i].want)
            fail_msg("%s: got %d", form_rows[i].why, answer.kind);
        ASSERT_SPAN(form_rows[i].why, answer.etag, span_text(form_rows[i].want_etag));
        arena_fini(&arena);
    }
}

/* The base's tag counts when its coding is taken, or one that we do not know. */
static void test_base(void **state)
{
    (void)state;
    struct http_field asked[] = {
        {SPAN("if-none-match"), SPAN("\"a\""), HTTP_NAME_IF_NONE_MATCH},
        {SPAN("accept-encoding"), SPAN("br"), HTTP_NAME_ACCEPT_ENCODING}};
    struct http_field etag = {SPAN("etag"), SPAN("W/\"a-identity\""), HTTP_NAME_ETAG};
    struct http_request request = {.method = HTTP_GET, .fields = {asked, 2, 2}};
    struct http_fields fields = {&etag, 1, 1};
    struct policy_accept accept;
    policy_encoding_accept(&request.fields, &accept);
    for (unsigned e = 0; e <= POLICY_ENCODING_OTHER; e++) {
        struct policy_stored stored = {.status = 200,
                                       .fields = &fields,
                                       .body_bytes = 100,
                                       .base_etag = SPAN("\"a\""),
                                       .base = (enum policy_encoding)e,
                                       .accept = &accept,
                                       .is_made = true};
        struct policy_answer answer;
        policy_answer_plan(&request, &stored, &answer);
        bool want = e == POLICY_IDENTITY || e == POLICY_BROTLI || e == POLICY_ENCODING_OTHER;
        if (answer.kind != (want ? POLICY_ANSWER_NOT_MODIFIED : POLICY_ANSWER_WHOLE))
            fail_msg("base %u: %d", e, answer.kind);
    }
}

static void test_fields_304(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 65536);
    struct http_fields stored = lines(
        &arena, "content-type: text/html\netag: \"a\"\nlast-modified: " LM "\ndate: " LM
                "\nvary: a\nvary: b\ncache-control: max-age=1\nexpires: 0\nset-cookie: a=b\n"
                "content-location: /x\ncontent-encoding: gzip\nx: y");
    struct http_fields out = {0};
    assert_true(policy_answer_fields_304(&stored, (struct span){0}, &arena, &out));
    ASSERT_SPAN("with a tag", unlines(&arena, &out),
                SPAN("etag: \"a\"\ndate: " LM "\nvary: a\nvary: b\ncache-control: max-age=1\n"
                     "expires: 0\ncontent-location: /x\n"));
    stored = lines(&arena, "last-modified: " LM "\ncontent-length: 5");
    out = (struct http_fields){0};
    assert_true(policy_answer_fields_304(&stored, (struct span){0}, &arena, &out));
    ASSERT_SPAN("without", unlines(&arena, &out), SPAN("last-modified: " LM "\n"));
    out = (struct http_fields){0};
    assert_true(policy_answer_fields_304(&stored, SPAN("a"), &arena, &out));
    ASSERT_SPAN("without, another form's", unlines(&arena, &out), SPAN("etag: a\n"));
    stored = lines(&arena, "etag: W/\"a-zstd\"\nlast-modified: " LM "\nvary: a");
    out = (struct http_fields){0};
    assert_true(policy_answer_fields_304(&stored, SPAN("\"a\""), &arena, &out));
    ASSERT_SPAN("another form's", unlines(&arena, &out), SPAN("vary: a\netag: \"a\"\n"));
    struct arena full;
    struct http_fields none = {0};
    arena_init(&full, 1);
    assert_false(policy_answer_fields_304(&none, SPAN("\"a\""), &full, &none));
    arena_fini(&full);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_base),
        cmocka_unit_test(test_fields_304),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
