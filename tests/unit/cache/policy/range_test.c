#include "tests/unit/cache/policy/lines.h"

#include "cache/policy/range.h"

#define MAX_TEXT "18446744073709551615"
#define OVER_TEXT "99999999999999999999999999"

static const struct {
    const char *why, *value;
    uint64_t length;
    enum policy_range_verdict want;
    const char *ranges; /* "from-to,..." with `to` past the end */
} rows[] = {
    {"one", "bytes=0-9", 100, POLICY_RANGE_SOME, "0-10"},
    {"one byte", "bytes=5-5", 100, POLICY_RANGE_SOME, "5-6"},
    {"open", "bytes=90-", 100, POLICY_RANGE_SOME, "90-100"},
    {"all of it is a range too", "bytes=0-", 100, POLICY_RANGE_SOME, "0-100"},
    {"the last byte", "bytes=99-99", 100, POLICY_RANGE_SOME, "99-100"},
    {"cut at the end", "bytes=90-1000", 100, POLICY_RANGE_SOME, "90-100"},
    {"ends on the last byte", "bytes=90-99", 100, POLICY_RANGE_SOME, "90-100"},
    {"suffix", "bytes=-10", 100, POLICY_RANGE_SOME, "90-100"},
    {"suffix as long as the body", "bytes=-100", 100, POLICY_RANGE_SOME, "0-100"},
    {"suffix longer than the body", "bytes=-101", 100, POLICY_RANGE_SOME, "0-100"},
    {"suffix of nothing", "bytes=-0", 100, POLICY_RANGE_UNSATISFIABLE, ""},
    {"begins at the end", "bytes=100-", 100, POLICY_RANGE_UNSATISFIABLE, ""},
    {"begins behind it", "bytes=200-300", 100, POLICY_RANGE_UNSATISFIABLE, ""},
    {"an empty body has no parts", "bytes=0-", 0, POLICY_RANGE_ALL, ""},
    {"an empty body, suffix", "bytes=-5", 0, POLICY_RANGE_ALL, ""},
    {"unit in any case", "BYTES=0-9", 100, POLICY_RANGE_SOME, "0-10"},
    {"another unit", "lines=0-9", 100, POLICY_RANGE_ALL, ""},
    {"no unit", "0-9", 100, POLICY_RANGE_ALL, ""},
    {"nothing named", "bytes=", 100, POLICY_RANGE_ALL, ""},
    {"only commas", "bytes=,,", 100, POLICY_RANGE_ALL, ""},
    {"empty members are skipped", "bytes=,0-9,,", 100, POLICY_RANGE_SOME, "0-10"},
    {"white space around members", "bytes= 0-9 ,\t20-29 ", 100, POLICY_RANGE_SOME,
     "0-10,20-30"},
    {"white space inside", "bytes=0 -9", 100, POLICY_RANGE_ALL, ""},
    {"backwards", "bytes=9-0", 100, POLICY_RANGE_ALL, ""},
    {"backwards behind the end", "bytes=300-200", 100, POLICY_RANGE_ALL, ""},
    {"one bad member spoils all", "bytes=0-9,x", 100, POLICY_RANGE_ALL, ""},
    {"no number", "bytes=-", 100, POLICY_RANGE_ALL, ""},
    {"sign", "bytes=+1-5", 100, POLICY_RANGE_ALL, ""},
    {"two dashes", "bytes=1--5", 100, POLICY_RANGE_ALL, ""},
    {"largest number", "bytes=0-" MAX_TEXT, 100, POLICY_RANGE_SOME, "0-100"},
    {"past 64 bits", "bytes=1-" OVER_TEXT, 100, POLICY_RANGE_SOME, "1-100"},
    {"begins past 64 bits", "bytes=" OVER_TEXT "-", 100, POLICY_RANGE_UNSATISFIABLE, ""},
    {"suffix past 64 bits", "bytes=-" OVER_TEXT, 100, POLICY_RANGE_SOME, "0-100"},
    {"several keep their order", "bytes=50-59,0-9", 100, POLICY_RANGE_SOME, "50-60,0-10"},
    {"what misses is left out", "bytes=0-9,200-300", 100, POLICY_RANGE_SOME, "0-10"},
    {"overlap is merged", "bytes=0-9,5-19", 100, POLICY_RANGE_SOME, "0-20"},
    {"neighbours are merged", "bytes=0-9,10-19", 100, POLICY_RANGE_SOME, "0-20"},
    {"one byte between keeps them apart", "bytes=0-9,11-19", 100, POLICY_RANGE_SOME,
     "0-10,11-20"},
    {"neighbours, later one first", "bytes=10-19,0-9", 100, POLICY_RANGE_SOME, "0-20"},
    {"inside another", "bytes=0-99,20-29", 100, POLICY_RANGE_SOME, "0-100"},
    {"grown until it reaches a third", "bytes=0-9,20-29,9-20", 100, POLICY_RANGE_SOME, "0-30"},
    {"the same many times", "bytes=0-,0-,0-,0-,0-,0-,0-,0-", 100, POLICY_RANGE_SOME, "0-100"},
    {"as many as the cap",
     "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,"
     "22-22,24-24,26-26,28-28,30-30",
     100, POLICY_RANGE_SOME,
     "0-1,2-3,4-5,6-7,8-9,10-11,12-13,14-15,16-17,18-19,20-21,22-23,24-25,26-27,28-29,30-31"},
    {"one more than the cap",
     "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,"
     "22-22,24-24,26-26,28-28,30-30,32-32",
     100, POLICY_RANGE_ALL, ""},
    {"misses count for the cap",
     "bytes=0-0,900-,900-,900-,900-,900-,900-,900-,900-,900-,900-,"
     "900-,900-,900-,900-,900-,900-",
     100, POLICY_RANGE_ALL, ""},
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct policy_ranges ranges = {.count = 0};
        struct arena arena;
        struct span text = {0};
        arena_init(&arena, 16384);
        enum policy_range_verdict got =
            policy_range_parse(span_text(rows[i].value), rows[i].length, &ranges);
        if (got != rows[i].want)
            fail_msg("%s: got %d", rows[i].why, got);
        for (uint32_t k = 0; k < ranges.count; k++)
            assert_true(arena_printf(&arena, &text, "%.*s%s%llu-%llu", SPAN_ARG(text),
                                     k ? "," : "", (unsigned long long)ranges.at[k].from,
                                     (unsigned long long)ranges.at[k].to));
        ASSERT_SPAN(rows[i].why, text, span_text(rows[i].ranges));
        arena_fini(&arena);
    }
}

/* The announced length is the length of what is sent, for each shape of body. */
static void test_multipart(void **state)
{
    (void)state;
    static const struct {
        const char *value, *type;
        uint64_t length;
    } bodies[] = {
        {"bytes=0-0,2-2", "text/plain", 3},
        {"bytes=0-8,10-99,1000-1999", "", 123456},
        {"bytes=9-9,99-99,999-999,9999-9999,-1", "a/b", 100001},
        {"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-"
         "28,"
         "30-30",
         "image/svg+xml; charset=utf-8", UINT64_MAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct policy_ranges ranges;
        struct policy_multipart m;
        struct arena arena;
        struct span part;
        uint64_t sum = 0;
        arena_init(&arena, 65536);
        assert_int_equal(
            policy_range_parse(span_text(bodies[i].value), bodies[i].length, &ranges),
            POLICY_RANGE_SOME);
        policy_range_multipart(&m, &ranges, span_text(bodies[i].type), bodies[i].length, 7);
        for (uint32_t k = 0; k <= ranges.count; k++) {
            assert_true(policy_range_part(&m, k, &arena, &part));
            sum += part.len + (k < ranges.count ? ranges.at[k].to - ranges.at[k].from : 0);
        }
        assert_true(sum == policy_range_multipart_bytes(&m));
        arena_fini(&arena);
    }
}

static void test_texts(void **state)
{
    (void)state;
    struct policy_ranges ranges;
    struct policy_multipart m;
    struct arena arena;
    struct span text;
    arena_init(&arena, 4096);
    assert_int_equal(policy_range_parse(SPAN("bytes=0-4,10-12"), 20, &ranges),
                     POLICY_RANGE_SOME);
    policy_range_multipart(&m, &ranges, SPAN("text/plain"), 20, UINT64_C(0xabc));
    assert_true(policy_range_part(&m, 0, &arena, &text));
    ASSERT_SPAN("first part", text,
                SPAN("--perigee-0000000000000abc\r\nContent-Type: text/plain\r\n"
                     "Content-Range: bytes 0-4/20\r\n\r\n"));
    assert_true(policy_range_part(&m, 1, &arena, &text));
    ASSERT_SPAN("second part", text,
                SPAN("\r\n--perigee-0000000000000abc\r\nContent-Type: text/plain\r\n"
                     "Content-Range: bytes 10-12/20\r\n\r\n"));
    assert_true(policy_range_part(&m, 2, &arena, &text));
    ASSERT_SPAN("end", text, SPAN("\r\n--perigee-0000000000000abc--\r\n"));
    assert_true(policy_range_multipart_type(&m, &arena, &text));
    ASSERT_SPAN("type", text, SPAN("multipart/byteranges; boundary=perigee-0000000000000abc"));
    assert_true(policy_range_content_range(&ranges.at[1], 20, &arena, &text));
    ASSERT_SPAN("content-range", text, SPAN("bytes 10-12/20"));
    assert_true(policy_range_content_range(NULL, 20, &arena, &text));
    ASSERT_SPAN("416", text, SPAN("bytes */20"));
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_multipart),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
