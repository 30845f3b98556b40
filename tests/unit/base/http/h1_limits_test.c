#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/base/http/h1_talk.h"

static const struct http_h1_limits small = {
    .line_bytes = 64,
    .field_bytes = 32,
    .tag_field_bytes = 100,
    .fields_bytes = 120,
    .field_count = 6,
    .chunk_extension_bytes = 8,
};

/* Text with a run of `fill` copies of 'x' where it has an '@'. */
static struct span filled(const char *format, size_t fill, char *room, size_t bytes)
{
    size_t len = 0;
    for (const char *c = format; *c; c++) {
        for (size_t i = *c == '@' ? fill : 1; i > 0; i--) {
            must(len < bytes);
            room[len++] = *c == '@' ? 'x' : *c;
        }
    }
    return span_of(room, len);
}

/* The status of the fault, 0 for none. */
static unsigned status_of(enum http_role role, const struct http_h1_limits *limits,
                          struct span in, size_t piece)
{
    struct talk t;
    unsigned status = 0;
    talk_begin(&t, role, HTTP_GET, limits);
    for (size_t at = 0; at < in.len; at += piece)
        talk_feed(&t, role == HTTP_SERVER,
                  span_until(span_from(in, at), piece < in.len - at ? piece : in.len - at));
    struct span text = buf_span(&t.text);
    size_t mark;
    if (span_rfind(text, '!', &mark))
        status = (unsigned)strtoul(text.ptr + mark + 1, NULL, 10);
    talk_end(&t);
    return status;
}

/* Each limit is reached exactly, and then passed by one: in one piece, and octet by octet,
 * when it has to be refused before the line is whole. */
static void exactly_and_by_one(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *format; /* '@' stands for the fill */
        size_t fill;        /* the largest that is taken */
        unsigned status;    /* with one more */
        enum http_role role;
        size_t refused_after; /* octets before the '@' that tell; 0: not tried */
    } rows[] = {
        {"request line", "GET /@ HTTP/1.1\r\nHost: a\r\n\r\n", 64 - 14, 414, HTTP_SERVER, 64},
        {"request line after an empty line", "\r\nGET /@ HTTP/1.1\r\nHost: a\r\n\r\n", 64 - 14,
         414, HTTP_SERVER, 66},
        {"one field", "GET / HTTP/1.1\r\nHost: a\r\nname: @\r\n\r\n", 32 - 6, 431, HTTP_SERVER,
         16 + 9 + 32},
        {"a tag field of a request is a field", "GET / HTTP/1.1\r\nHost: a\r\nxkey: @\r\n\r\n",
         32 - 6, 431, HTTP_SERVER, 0},
        {"all fields",
         "GET / HTTP/1.1\r\nHost: a\r\na: 012345678901234567890123\r\n"
         "b: 012345678901234567890123\r\nc: 012345678901234567890123\r\nd: @\r\n\r\n",
         120 - 9 - 3 * 29 - 5, 431, HTTP_SERVER, 0},
        {"status line", "HTTP/1.1 200 @\r\nContent-Length: 0\r\n\r\n", 64 - 13, 502,
         HTTP_CLIENT, 64},
        {"a response's field", "HTTP/1.1 200 O\r\nContent-Length: 0\r\nname: @\r\n\r\n", 32 - 6,
         502, HTTP_CLIENT, 0},
        {"a response's tag field",
         "HTTP/1.1 200 O\r\nContent-Length: 0\r\nSurrogate-Key: @\r\n\r\n", 100 - 15, 502,
         HTTP_CLIENT, 16 + 19 + 100},
        {"all tag fields",
         "HTTP/1.1 200 O\r\nContent-Length: 0\r\n"
         "xkey: "
         "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
         "567\r\n"
         "Cache-Tag: "
         "01234567890123456789012345678901234567890123456789012345678901234567890123456789012\r"
         "\n"
         "X-Magento-Tags: "
         "012345678901234567890123456789012345678901234567890123456789012345678901234567\r\n"
         "Cache-Groups: "
         "01234567890123456789012345678901234567890123456789012345678901234567890123456789\r\n"
         "xkey: @\r\n\r\n",
         400 - 4 * 96 - 8, 502, HTTP_CLIENT, 0},
        {"one trailer",
         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nname: @\r\n\r\n",
         32 - 6, 431, HTTP_SERVER, 0},
        {"one chunk extension",
         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0;@\r\n\r\n", 8, 400,
         HTTP_SERVER, 0},
    };
    char room[1024];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct span in = filled(rows[i].format, rows[i].fill, room, sizeof room);
        unsigned whole = status_of(rows[i].role, &small, in, in.len);
        unsigned single = status_of(rows[i].role, &small, in, 1);
        if (whole != 0 || single != 0)
            fail_msg("%s, exactly: %u, octet by octet %u", rows[i].why, whole, single);
        in = filled(rows[i].format, rows[i].fill + 1, room, sizeof room);
        whole = status_of(rows[i].role, &small, in, in.len);
        single = status_of(rows[i].role, &small, in, 1);
        if (whole != rows[i].status || single != rows[i].status)
            fail_msg("%s, by one: %u, octet by octet %u", rows[i].why, whole, single);
        size_t after = rows[i].refused_after;
        if (after == 0)
            continue;
        if (status_of(rows[i].role, &small, span_until(in, after), 1) != 0 ||
            status_of(rows[i].role, &small, span_until(in, after + 1), 1) != rows[i].status)
            fail_msg("%s: not refused at once", rows[i].why);
    }
}

static struct span repeated(const char *begin, const char *part, size_t count, const char *end,
                            char *room, size_t bytes)
{
    size_t len = strlen(begin);
    must(len + strlen(part) * count + strlen(end) < bytes);
    memcpy(room, begin, len);
    for (size_t i = 0; i < count; i++) {
        memcpy(room + len, part, strlen(part));
        len += strlen(part);
    }
    memcpy(room + len, end, strlen(end));
    return span_of(room, len + strlen(end));
}

static void counts(void **state)
{
    (void)state;
    static const struct {
        const char *why, *begin, *part, *end;
        size_t most;
        unsigned status;
        enum http_role role;
    } rows[] = {
        {"fields", "GET / HTTP/1.1\r\nHost: a\r\n", "x: y\r\n", "\r\n", 99, 431, HTTP_SERVER},
        {"trailers", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
         "x: y\r\n", "\r\n", 100, 431, HTTP_SERVER},
        {"a response's fields", "HTTP/1.1 200 O\r\nContent-Length: 0\r\n", "x: y\r\n", "\r\n",
         99, 502, HTTP_CLIENT},
        {"a response's tag fields", "HTTP/1.1 200 O\r\nContent-Length: 0\r\n", "xkey: y\r\n",
         "\r\n", 99, 502, HTTP_CLIENT},
        {"Connection options", "GET / HTTP/1.1\r\nHost: a\r\nConnection: ", "x,", "\r\n\r\n",
         64, 400, HTTP_SERVER},
        {"interim answers", "", "HTTP/1.1 103 E\r\n\r\n",
         "HTTP/1.1 200 O\r\nContent-Length: 0\r\n\r\n", 16, 502, HTTP_CLIENT},
        {"all chunk extensions",
         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
         "1;0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\nx\r\n",
         "0\r\n\r\n", 256, 400, HTTP_SERVER},
    };
    char room[32768];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t more = 0; more < 2; more++) {
            struct span in = repeated(rows[i].begin, rows[i].part, rows[i].most + more,
                                      rows[i].end, room, sizeof room);
            unsigned want = more ? rows[i].status : 0;
            unsigned got = status_of(rows[i].role, NULL, in, in.len);
            unsigned single = status_of(rows[i].role, NULL, in, 7);
            if (got != want || single != want)
                fail_msg("%s, %zu more: %u, in pieces %u", rows[i].why, more, got, single);
        }
    }
}

/* The defaults, as the configuration reference has them. */
static void default_sizes(void **state)
{
    (void)state;
    static char room[70000];
    struct span in = filled("GET /@ HTTP/1.1\r\nHost: a\r\n\r\n", 8192 - 14, room, sizeof room);
    assert_int_equal(status_of(HTTP_SERVER, NULL, in, in.len), 0);
    in = filled("GET /@ HTTP/1.1\r\nHost: a\r\n\r\n", 8192 - 13, room, sizeof room);
    assert_int_equal(status_of(HTTP_SERVER, NULL, in, in.len), 414);
    in = filled("GET / HTTP/1.1\r\nHost: a\r\nx: @\r\n\r\n", 8192 - 3, room, sizeof room);
    assert_int_equal(status_of(HTTP_SERVER, NULL, in, in.len), 0);
    in = filled("GET / HTTP/1.1\r\nHost: a\r\nx: @\r\n\r\n", 8192 - 2, room, sizeof room);
    assert_int_equal(status_of(HTTP_SERVER, NULL, in, in.len), 431);
    in = filled("HTTP/1.1 200 O\r\nContent-Length: 0\r\nxkey: @\r\n\r\n", 65536 - 6, room,
                sizeof room);
    assert_int_equal(status_of(HTTP_CLIENT, NULL, in, 1000), 0);
    in = filled("HTTP/1.1 200 O\r\nContent-Length: 0\r\nxkey: @\r\n\r\n", 65536 - 5, room,
                sizeof room);
    assert_int_equal(status_of(HTTP_CLIENT, NULL, in, 1000), 502);
    in = filled("GET / HTTP/1.1\r\nHost: a\r\na: @\r\nb: @\r\nc: @\r\nd: @\r\n\r\n",
                8192 - 5 - 3, room, sizeof room); /* 9 + 4 * (8192 - 3) */
    assert_int_equal(status_of(HTTP_SERVER, NULL, in, in.len), 0);
    in = filled("GET / HTTP/1.1\r\nHost: a\r\na: @\r\nb: @\r\nc: @\r\nd: @\r\n\r\n",
                8192 - 5 - 2, room, sizeof room);
    assert_int_equal(status_of(HTTP_SERVER, NULL, in, in.len), 431);
}

static void a_full_arena_is_431(void **state)
{
    (void)state;
    static char room[9000];
    struct span in =
        filled("GET / HTTP/1.1\r\nHost: a\r\nx: @\r\n\r\n", 8000, room, sizeof room);
    struct http_h1 *h = http_h1_create(HTTP_SERVER, NULL);
    struct arena a;
    struct http_h1_event e;
    arena_init(&a, 4096);
    http_h1_feed(h, in);
    assert_int_equal(http_h1_next(h, &a, &e), HTTP_H1_FAULT);
    assert_int_equal(e.fault.status, 431);
    assert_int_equal(http_h1_next(h, &a, &e), HTTP_H1_FAULT); /* and stays so */
    http_h1_destroy(h);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_and_by_one),
        cmocka_unit_test(counts),
        cmocka_unit_test(default_sizes),
        cmocka_unit_test(a_full_arena_is_431),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
