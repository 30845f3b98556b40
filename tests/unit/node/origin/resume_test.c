#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "node/origin/resume.h"

#define NOW_S 1700000000
#define DATE "Tue, 14 Nov 2023 22:13:20 GMT"
#define MINUTE_BEFORE "Tue, 14 Nov 2023 22:12:20 GMT"
#define LESS_BEFORE "Tue, 14 Nov 2023 22:12:21 GMT"

static struct arena arena;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, 65536);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

/* "name: value" lines. */
static struct http_response head(unsigned status, int64_t bytes, const char *lines)
{
    struct http_response r = {.status = (uint16_t)status, .body_bytes = bytes};
    for (struct span rest = span_text(lines); rest.len;) {
        size_t stop = rest.len, colon;
        (void)span_find(rest, '\n', &stop);
        struct span line = span_until(rest, stop);
        assert_true(span_find(line, ':', &colon));
        assert_true(http_fields_add(&r.fields, &arena, span_until(line, colon),
                                    span_trim(span_from(line, colon + 1))));
        rest = span_from(rest, stop < rest.len ? stop + 1 : stop);
    }
    return r;
}

static void what_can_be_resumed(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        unsigned status;
        const char *lines;
        bool may, absent;
    } rows[] = {
        {"a strong tag", 200, "etag: \"a\"", true, false},
        {"a weak one", 200, "etag: W/\"a\"", false, false},
        {"none", 200, "x-a: 1", false, false},
        {"no tag at all", 200, "etag: a", false, false},
        {"an empty tag is one", 200, "etag: \"\"", true, false},
        {"a date of a minute ago", 200, "date: " DATE "\nlast-modified: " MINUTE_BEFORE, true,
         false},
        {"of less", 200, "date: " DATE "\nlast-modified: " LESS_BEFORE, false, false},
        {"without a Date", 200, "last-modified: " MINUTE_BEFORE, false, false},
        {"of the future", 200, "date: " MINUTE_BEFORE "\nlast-modified: " DATE, false, false},
        {"no date", 200, "date: " DATE "\nlast-modified: yesterday", false, false},
        {"beside a weak tag it does not do", 200,
         "etag: W/\"a\"\ndate: " DATE "\nlast-modified: " MINUTE_BEFORE, false, false},
        {"a part", 206, "etag: \"a\"", false, false},
        {"an error", 404, "etag: \"a\"", false, false},
        {"no body", 200, "etag: \"a\"", false, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct origin_resume s;
        struct http_response r = head(rows[i].status, 10, rows[i].lines);
        r.body_absent = rows[i].absent;
        origin_resume_begin(&s, &r, NOW_S, &arena);
        if (origin_resume_may(&s) != rows[i].may)
            fail_msg("%s", rows[i].why);
    }
    struct http_response r = head(200, HTTP_LENGTH_UNKNOWN, "etag: \"a\"");
    struct origin_resume endless;
    origin_resume_begin(&endless, &r, NOW_S, &arena);
    assert_false(origin_resume_may(&endless));
    struct origin_resume s = {0}; /* and before any head */
    assert_false(origin_resume_may(&s));
}

static void what_fits(void **state)
{
    (void)state;
    static const struct {
        const char *why, *first;
        int64_t total;
        unsigned status;
        int64_t bytes;
        const char *lines;
        bool fits;
        uint64_t skip;
    } rows[] = {
#define TAG "etag: \"a\""
#define DATED "date: " DATE "\nlast-modified: " MINUTE_BEFORE
        {"the rest", TAG, 10, 206, 6, TAG "\ncontent-range: bytes 4-9/10", true, 0},
        {"in other letters", TAG, 10, 206, 6, TAG "\ncontent-range: Bytes 4-9/10", true, 0},
        {"of another thing", TAG, 10, 206, 6, "etag: \"b\"\ncontent-range: bytes 4-9/10", false,
         0},
        {"with a weak tag", TAG, 10, 206, 6, "etag: W/\"a\"\ncontent-range: bytes 4-9/10",
         false, 0},
        {"without the tag", TAG, 10, 206, 6, "content-range: bytes 4-9/10", false, 0},
        {"from before", TAG, 10, 206, 7, TAG "\ncontent-range: bytes 3-9/10", false, 0},
        {"from behind", TAG, 10, 206, 5, TAG "\ncontent-range: bytes 5-9/10", false, 0},
        {"not to the end", TAG, 10, 206, 5, TAG "\ncontent-range: bytes 4-8/10", false, 0},
        {"over the end", TAG, 10, 206, 7, TAG "\ncontent-range: bytes 4-10/10", false, 0},
        {"backwards", TAG, 10, 206, 7, TAG "\ncontent-range: bytes 4-3/4", false, 0},
        {"another total", TAG, 10, 206, 7, TAG "\ncontent-range: bytes 4-10/11", false, 0},
        {"no total", TAG, 10, 206, 6, TAG "\ncontent-range: bytes 4-9/*", false, 0},
        {"another unit", TAG, 10, 206, 6, TAG "\ncontent-range: lines 4-9/10", false, 0},
        {"no range", TAG, 10, 206, 6, TAG, false, 0},
        {"of a length that is not the rest's", TAG, 10, 206, 7,
         TAG "\ncontent-range: bytes 4-9/10", false, 0},
        {"of no told length", TAG, 10, 206, HTTP_LENGTH_UNKNOWN,
         TAG "\ncontent-range: bytes 4-9/10", true, 0},
        {"in several parts", TAG, 10, 206, 6,
         TAG "\ncontent-type: multipart/byteranges; boundary=b", false, 0},
        {"nonsense", TAG, 10, 206, 6, TAG "\ncontent-range: bytes 4/10-9", false, 0},
        {"endless", TAG, 10, 206, 6, TAG "\ncontent-range: bytes 4-18446744073709551615/0",
         false, 0},
        {"the whole", TAG, 10, 200, 10, TAG, true, 4},
        {"the whole, of no told length", TAG, 10, 200, HTTP_LENGTH_UNKNOWN, TAG, true, 4},
        {"of another length", TAG, 10, 200, 11, TAG, false, 0},
        {"another whole", TAG, 10, 200, 10, "etag: \"b\"", false, 0},
        {"otherwise encoded", TAG, 10, 200, 10, TAG "\ncontent-encoding: br", false, 0},
        {"encoded as before", TAG "\ncontent-encoding: br", 10, 200, 10,
         TAG "\ncontent-encoding: br", true, 4},
        {"a part otherwise encoded", TAG, 10, 206, 6,
         TAG "\ncontent-encoding: br\ncontent-range: bytes 4-9/10", false, 0},
        {"a part encoded as before", TAG "\ncontent-encoding: br", 10, 206, 6,
         TAG "\ncontent-encoding: br\ncontent-range: bytes 4-9/10", true, 0},
        {"which need not say so", TAG "\ncontent-encoding: br", 10, 206, 6,
         TAG "\ncontent-range: bytes 4-9/10", true, 0},
        {"the whole has to", TAG "\ncontent-encoding: br", 10, 200, 10, TAG, false, 0},
        {"not modified", TAG, 10, 304, 0, TAG, false, 0},
        {"no such range", TAG, 10, 416, 0, TAG, false, 0},
        {"an error", TAG, 10, 500, 10, TAG, false, 0},
        {"by date, the rest", DATED, 10, 206, 6, DATED "\ncontent-range: bytes 4-9/10", true,
         0},
        {"which need not say it", DATED, 10, 206, 6, "content-range: bytes 4-9/10", true, 0},
        {"by another date", DATED, 10, 206, 6,
         "last-modified: " LESS_BEFORE "\ncontent-range: bytes 4-9/10", false, 0},
        {"by date, the whole", DATED, 10, 200, 10, DATED, true, 4},
        {"which has to", DATED, 10, 200, 10, "date: " DATE, false, 0},
        {"and has a tag now", DATED, 10, 200, 10, DATED "\n" TAG, false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct origin_resume s;
        struct http_response first = head(200, rows[i].total, rows[i].first);
        origin_resume_begin(&s, &first, NOW_S, &arena);
        assert_true(origin_resume_may(&s));
        assert_int_equal(origin_resume_take(&s, SPAN("0123")).len, 4);
        struct http_response r = head(rows[i].status, rows[i].bytes, rows[i].lines);
        if (origin_resume_fits(&s, &r) != rows[i].fits || s.skip != rows[i].skip)
            fail_msg("%s", rows[i].why);
        r.body_absent = true;
        if (origin_resume_fits(&s, &r))
            fail_msg("%s: without a body", rows[i].why);
    }
}

static void known_octets_are_skipped(void **state)
{
    (void)state;
    struct origin_resume s;
    struct http_response r = head(200, 10, TAG);
    origin_resume_begin(&s, &r, NOW_S, &arena);
    assert_int_equal(origin_resume_take(&s, SPAN("0123")).len, 4);
    assert_true(origin_resume_fits(&s, &r));
    assert_int_equal(origin_resume_take(&s, SPAN("01")).len, 0);
    struct span fresh = origin_resume_take(&s, SPAN("2345"));
    assert_true(span_equal(fresh, SPAN("45")));
    /* cut again, before all was new and after */
    assert_true(origin_resume_fits(&s, &r));
    assert_int_equal(s.skip, 6);
    assert_int_equal(origin_resume_take(&s, SPAN("0123")).len, 0);
    assert_true(origin_resume_fits(&s, &r));
    assert_int_equal(s.skip, 6);
    assert_true(origin_resume_holds(&s, 10));
    assert_false(origin_resume_holds(&s, 11));
    assert_true(span_equal(origin_resume_take(&s, SPAN("012345678")), SPAN("678")));
    assert_false(origin_resume_is_over(&s));
    assert_true(origin_resume_holds(&s, 1) && !origin_resume_holds(&s, 2));
    (void)origin_resume_take(&s, SPAN("9"));
    assert_int_equal(s.got, 10);
    assert_true(origin_resume_is_over(&s));
    assert_false(origin_resume_holds(&s, 1));
}

static void how_it_is_asked(void **state)
{
    (void)state;
    struct origin_resume s;
    struct http_response r = head(200, 10, TAG);
    struct http_request q = {.fields =
                                 head(0, 0,
                                      "host: h\nif-none-match: \"x\"\nif-match: *\n"
                                      "if-range: \"y\"\nrange: bytes=1-2\n"
                                      "if-modified-since: " DATE "\nif-unmodified-since: " DATE)
                                     .fields};
    origin_resume_begin(&s, &r, NOW_S, &arena);
    struct http_fields f = q.fields;
    assert_true(origin_resume_ask(&s, &f, &arena)); /* nothing came yet: the whole */
    assert_int_equal(f.count, 1);
    (void)origin_resume_take(&s, SPAN("0123"));
    assert_true(origin_resume_ask(&s, &f, &arena));
    assert_int_equal(f.count, 3);
    assert_true(span_equal(http_fields_find(&f, HTTP_NAME_RANGE)->value, SPAN("bytes=4-")));
    assert_true(span_equal(http_fields_find(&f, HTTP_NAME_IF_RANGE)->value, SPAN("\"a\"")));
    struct arena full;
    arena_init(&full, 1);
    assert_false(origin_resume_ask(&s, &f, &full));
    arena_fini(&full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_can_be_resumed, begin, end),
        cmocka_unit_test_setup_teardown(what_fits, begin, end),
        cmocka_unit_test_setup_teardown(known_octets_are_skipped, begin, end),
        cmocka_unit_test_setup_teardown(how_it_is_asked, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
