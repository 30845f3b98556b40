#include "tests/unit/cache/policy/lines.h"

#include "cache/memory/object.h"
#include "node/front/compose.h"
#include "node/front/form.h"

#define BODY "0123456789"
#define STORED                                                                                 \
    "Content-Type: text/plain\nETag: \"v1\"\nCache-Control: max-age=60\nVia: 1.1 perigee\n"    \
    "Date: Thu, 01 Jan 1970 00:16:40 GMT"

static const struct row {
    const char *why;
    enum http_method method;
    const char *request;
    unsigned stored_status;
    int64_t stored_bytes;
    bool plan;
    unsigned status;
    int64_t bytes; /* HTTP_LENGTH_UNKNOWN: not declared */
    const char *fields, *body;
} rows[] = {
    {"whole", HTTP_GET, "", 200, 10, true, 200, 10, "", BODY},
    {"HEAD: the length, no body", HTTP_HEAD, "", 200, 10, true, 200, 10, "", ""},
    {"unknown length", HTTP_GET, "", 200, HTTP_LENGTH_UNKNOWN, true, 200, -1, "", NULL},
    {"a range while the length is unknown", HTTP_GET, "Range: bytes=0-1", 200,
     HTTP_LENGTH_UNKNOWN, true, 200, -1, "", NULL},
    {"204 has no length", HTTP_GET, "", 204, 0, true, 204, -1, "", ""},
    {"a range", HTTP_GET, "Range: bytes=2-4", 200, 10, true, 206, 3,
     "content-range: bytes 2-4/10\n", "234"},
    {"a suffix", HTTP_GET, "Range: bytes=-4", 200, 10, true, 206, 4,
     "content-range: bytes 6-9/10\n", "6789"},
    {"open", HTTP_GET, "Range: bytes=7-", 200, 10, true, 206, 3,
     "content-range: bytes 7-9/10\n", "789"},
    {"a range with HEAD is none", HTTP_HEAD, "Range: bytes=2-4", 200, 10, true, 200, 10, "",
     ""},
    {"a range of an answer that was passed", HTTP_GET, "Range: bytes=2-4", 200, 10, false, 200,
     10, "", BODY},
    {"If-Range holds", HTTP_GET, "Range: bytes=0-0\nIf-Range: \"v1\"", 200, 10, true, 206, 1,
     "content-range: bytes 0-0/10\n", "0"},
    {"If-Range does not hold", HTTP_GET, "Range: bytes=0-0\nIf-Range: \"v2\"", 200, 10, true,
     200, 10, "", BODY},
    {"not satisfiable", HTTP_GET, "Range: bytes=10-", 200, 10, true, 416, 26,
     "cache-control: no-store\ncontent-type: text/plain\n"
     "date: Thu, 01 Jan 1970 00:16:50 GMT\n"
     "content-range: bytes */10\n",
     "416 Range Not Satisfiable\n"},
    {"not modified", HTTP_GET, "If-None-Match: \"v1\"", 200, 10, true, 304, -1,
     "etag: \"v1\"\ncache-control: max-age=60\ndate: Thu, 01 Jan 1970 00:16:40 GMT\n", ""},
    {"a condition that fails", HTTP_GET, "If-Match: \"v2\"", 200, 10, true, 412, 24,
     "cache-control: no-store\ncontent-type: text/plain\n"
     "date: Thu, 01 Jan 1970 00:16:50 GMT\n",
     "412 Precondition Failed\n"},
    {"conditions are not for errors", HTTP_GET, "If-None-Match: *", 404, 10, true, 404, 10, "",
     BODY},
};

static struct span pull(struct front_deliver *d, struct arena *a, size_t step)
{
    struct span all = {0}, piece;
    enum err e;
    while ((e = front_deliver_peek(d, &piece)) == ERR_OK) {
        size_t n = piece.len < step ? piece.len : step;
        assert_true(n > 0);
        assert_true(
            arena_printf(a, &all, "%.*s%.*s", SPAN_ARG(all), SPAN_ARG(span_until(piece, n))));
        front_deliver_consume(d, n);
    }
    assert_int_equal(e, ERR_CLOSED);
    return all;
}

/* `own`: fields of the answer beside the stored block. */
static void check(const struct row *row, size_t step)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct http_request r = {.method = row->method, .fields = lines(&a, row->request)};
    struct memory_object o = {.status = (uint16_t)row->stored_status,
                              .block = {.fields = lines(&a, STORED)},
                              .body_bytes = row->stored_bytes,
                              .body_in_memory = true,
                              .body = SPAN(BODY)};
    struct memory_reader reader = {.object = &o, .end = UINT64_MAX};
    struct front_compose c = {.request = &r,
                              .arena = &a,
                              .date = "Thu, 01 Jan 1970 00:16:50 GMT",
                              .age_s = -1,
                              .plan = row->plan,
                              .random = 1};
    struct http_response got;
    struct front_deliver d;
    assert_true(front_compose_stored(&c, &o, &reader, &got, &d));
    if (got.status != row->status)
        fail_msg("%s: status %u", row->why, got.status);
    if (got.length_declared ? got.body_bytes != row->bytes : row->bytes >= 0)
        fail_msg("%s: length %lld", row->why, (long long)got.body_bytes);
    if (got.status == row->stored_status || got.status == 206)
        assert_ptr_equal(got.block, &o.block);
    else
        assert_null(got.block);
    ASSERT_SPAN(row->why, unlines(&a, &got.fields), span_text(row->fields));
    if (row->body)
        ASSERT_SPAN(row->why, pull(&d, &a, step), span_text(row->body));
    arena_fini(&a);
}

static void stored(void **state)
{
    (void)state;
    for (size_t step = 1; step < 40; step += 6)
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
            check(&rows[i], step);
}

static void several_ranges(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    struct http_request r = {.method = HTTP_GET, .fields = lines(&a, "Range: bytes=0-1,8-9")};
    struct memory_object o = {.status = 200,
                              .block = {.fields = lines(&a, STORED)},
                              .body_bytes = 10,
                              .body_in_memory = true,
                              .body = SPAN(BODY)};
    struct front_compose c = {
        .request = &r, .arena = &a, .date = "", .age_s = 7, .plan = true, .random = 1};
    const char *want = "--perigee-0000000000000001\r\nContent-Type: text/plain\r\n"
                       "Content-Range: bytes 0-1/10\r\n\r\n01\r\n"
                       "--perigee-0000000000000001\r\nContent-Type: text/plain\r\n"
                       "Content-Range: bytes 8-9/10\r\n\r\n89\r\n"
                       "--perigee-0000000000000001--\r\n";
    for (size_t step = 1; step < 64; step += 9) {
        struct memory_reader reader = {.object = &o, .end = UINT64_MAX};
        struct http_response got;
        struct front_deliver d;
        assert_true(front_compose_stored(&c, &o, &reader, &got, &d));
        assert_int_equal(got.status, 206);
        assert_null(got.block);
        const struct http_field *type = http_fields_find(&got.fields, HTTP_NAME_CONTENT_TYPE);
        assert_int_equal(http_fields_count(&got.fields, HTTP_NAME_CONTENT_TYPE), 1);
        ASSERT_SPAN("type", type->value,
                    SPAN("multipart/byteranges; boundary=perigee-0000000000000001"));
        ASSERT_SPAN("age", http_fields_find(&got.fields, HTTP_NAME_AGE)->value, SPAN("7"));
        assert_int_equal(got.body_bytes, strlen(want));
        ASSERT_SPAN("body", pull(&d, &a, step), span_text(want));
    }
    arena_fini(&a);
}

static void way(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct front_cache_status cache;
        enum cache_failure failure;
        int64_t age_s;
        const char *fields;
    } ways[] = {
        {"a hit", {.hit = true}, CACHE_FAILURE_NONE, 0, "age: 0\ncache-status: perigee; hit\n"},
        {"an old hit",
         {.hit = true},
         CACHE_FAILURE_NONE,
         INT64_C(2147483648),
         "age: 2147483648\ncache-status: perigee; hit\n"},
        {"stale",
         {.hit = true, .ttl_known = true, .ttl_s = -5},
         CACHE_FAILURE_NONE,
         65,
         "age: 65\ncache-status: perigee; hit; ttl=-5\n"},
        {"a miss",
         {.forward = CACHE_FORWARD_URI_MISS, .stored = true},
         CACHE_FAILURE_NONE,
         -1,
         "cache-status: perigee; fwd=uri-miss; stored\n"},
        {"a failure",
         {.forward = CACHE_FORWARD_URI_MISS},
         CACHE_FAILURE_REFUSED,
         -1,
         "cache-status: perigee; fwd=uri-miss\n"
         "proxy-status: perigee; error=connection_refused\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        struct arena a;
        arena_init(&a, 1 << 16);
        struct http_request r = {.method = HTTP_GET};
        struct memory_object o = {.status = 200, .body_in_memory = true};
        struct memory_reader reader = {.object = &o};
        struct front_compose c = {.request = &r,
                                  .arena = &a,
                                  .date = "",
                                  .cache = ways[i].cache,
                                  .cache_said = true,
                                  .failure = ways[i].failure,
                                  .age_s = ways[i].age_s};
        struct http_response got;
        struct front_deliver d;
        assert_true(front_compose_stored(&c, &o, &reader, &got, &d));
        ASSERT_SPAN(ways[i].why, unlines(&a, &got.fields), span_text(ways[i].fields));
        arena_fini(&a);
    }
}

/* However little memory there is, the answer is no, and nothing is read past it. */
static void no_memory(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 16);
    struct http_request r = {.method = HTTP_GET,
                             .fields = lines(&a, "Range: bytes=0-1,4-5,8-9")};
    struct memory_object o = {.status = 200,
                              .block = {.fields = lines(&a, STORED)},
                              .body_bytes = 10,
                              .body_in_memory = true,
                              .body = SPAN(BODY)};
    bool fitted = false;
    for (size_t cap = 0; cap < 4096; cap += 8) {
        struct arena small;
        arena_init(&small, cap);
        struct memory_reader reader = {.object = &o, .end = UINT64_MAX};
        struct front_compose c = {
            .request = &r, .arena = &small, .date = "", .age_s = 1, .plan = true};
        struct http_response got;
        struct front_deliver d;
        struct span piece;
        if (front_compose_stored(&c, &o, &reader, &got, &d)) {
            enum err e;
            while ((e = front_deliver_peek(&d, &piece)) == ERR_OK)
                front_deliver_consume(&d, piece.len);
            assert_true(e == ERR_CLOSED || e == ERR_LIMIT);
            fitted = fitted || e == ERR_CLOSED;
        }
        arena_fini(&small);
    }
    assert_true(fitted);
    arena_fini(&a);
}

/* What was made to recode the body is given back, else it would be lost. */
static void no_memory_for_recoded(void **state)
{
    (void)state;
    struct http_request r = {.method = HTTP_GET};
    struct memory_object o = {.status = 200, .body_bytes = 10};
    struct memory_recode *recode = (void *)&o; /* any: nothing is read */
    struct front_form form = {.chosen.is = {.how = POLICY_FORM_ENCODE, .encoding = POLICY_ZSTD},
                              .base = &o,
                              .recode = recode};
    bool fitted = false, failed = false;
    for (size_t cap = 0; cap < 4096; cap += 8) {
        struct arena small;
        arena_init(&small, cap);
        struct memory_reader reader = {.object = &o, .end = UINT64_MAX};
        struct front_compose c = {.request = &r,
                                  .arena = &small,
                                  .date = "",
                                  .age_s = 1,
                                  .plan = true,
                                  .form = &form};
        struct http_response got;
        struct front_deliver d;
        bool ok = front_compose_stored(&c, &o, &reader, &got, &d);
        assert_ptr_equal(d.recode, ok ? recode : NULL);
        fitted = fitted || ok;
        failed = failed || !ok;
        arena_fini(&small);
    }
    assert_true(fitted && failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored),
        cmocka_unit_test(several_ranges),
        cmocka_unit_test(way),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(no_memory_for_recoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
