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
        struct policy_stored stored = {rows[i].status, &fields, rows[i].body_bytes};
        struct policy_answer answer;
        policy_answer_plan(&request, &stored, &answer);
        if (answer.kind != rows[i].want)
            fail_msg("%s: got %d", rows[i].why, answer.kind);
        bool ranges = answer.kind == POLICY_ANSWER_RANGE || answer.kind == POLICY_ANSWER_RANGES;
        if (ranges != (answer.ranges.count > 0))
            fail_msg("%s: %u ranges", rows[i].why, answer.ranges.count);
        arena_fini(&arena);
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
    assert_true(policy_answer_fields_304(&stored, &arena, &out));
    ASSERT_SPAN("with a tag", unlines(&arena, &out),
                SPAN("etag: \"a\"\ndate: " LM "\nvary: a\nvary: b\ncache-control: max-age=1\n"
                     "expires: 0\ncontent-location: /x\n"));
    stored = lines(&arena, "last-modified: " LM "\ncontent-length: 5");
    out = (struct http_fields){0};
    assert_true(policy_answer_fields_304(&stored, &arena, &out));
    ASSERT_SPAN("without", unlines(&arena, &out), SPAN("last-modified: " LM "\n"));
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_fields_304),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
