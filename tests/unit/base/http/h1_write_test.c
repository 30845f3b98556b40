#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/http/h1.h"

static struct arena arena;
static struct buf out;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    buf_init(&out, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    buf_fini(&out);
    return 0;
}

static void assert_sent(const char *want, const char *why)
{
    struct span got = buf_span(&out);
    if (!span_equal(got, span_text(want)))
        fail_msg("%s:\n got %.*s\nwant %s", why, SPAN_ARG(got), want);
    buf_clear(&out);
}

/* A server that has read `in`, whole when it has no body. */
static struct http_h1 *server_after(const char *in)
{
    struct http_h1 *h = http_h1_create(HTTP_SERVER, NULL);
    struct http_h1_event e;
    http_h1_feed(h, span_text(in));
    while (http_h1_next(h, &arena, &e) != HTTP_H1_MORE && e.kind != HTTP_H1_FAULT)
        ;
    http_h1_drop_feed(h);
    return h;
}

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define HEAD "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
#define OLD "GET / HTTP/1.0\r\n\r\n"
#define OLD_KEPT "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
#define LAST "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
#define UNKNOWN HTTP_LENGTH_UNKNOWN

static void response_heads(void **state)
{
    (void)state;
    static const struct {
        const char *why, *in;
        struct http_response r;
        bool close;
        const char *out;
        bool reusable;
    } rows[] = {
        {"a length",
         GET,
         {.status = 200, .body_bytes = 5},
         false,
         "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
         true},
        {"length 0",
         GET,
         {.status = 404},
         false,
         "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
         true},
        {"the largest length",
         HEAD,
         {.status = 200, .body_bytes = INT64_MAX, .length_declared = true},
         false,
         "HTTP/1.1 200 OK\r\ncontent-length: 9223372036854775807\r\n\r\n",
         true},
        {"unknown length: chunked",
         GET,
         {.status = 200, .body_bytes = UNKNOWN},
         false,
         "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
         true},
        {"close is asked for",
         GET,
         {.status = 200, .body_bytes = UNKNOWN},
         true,
         "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
         false},
        {"the client closes",
         LAST,
         {.status = 200},
         false,
         "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
         false},
        {"1.0 closes",
         OLD,
         {.status = 200},
         false,
         "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
         false},
        {"1.0 keeps alive",
         OLD_KEPT,
         {.status = 200},
         false,
         "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n",
         true},
        {"unknown length to 1.0: until close",
         OLD_KEPT,
         {.status = 200, .body_bytes = UNKNOWN},
         false,
         "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
         false},
        {"HEAD with a length",
         HEAD,
         {.status = 200, .body_bytes = 7, .length_declared = true, .body_absent = true},
         false,
         "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n",
         true},
        {"HEAD, the caller forgot",
         HEAD,
         {.status = 200, .body_bytes = 7, .length_declared = true},
         false,
         "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n",
         true},
        {"HEAD, unknown length",
         HEAD,
         {.status = 200, .body_bytes = UNKNOWN},
         false,
         "HTTP/1.1 200 OK\r\n\r\n",
         true},
        {"304 with a length",
         GET,
         {.status = 304, .body_bytes = 7, .length_declared = true, .body_absent = true},
         false,
         "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n",
         true},
        {"304 without",
         GET,
         {.status = 304, .body_bytes = UNKNOWN},
         false,
         "HTTP/1.1 304 Not Modified\r\n\r\n",
         true},
        {"204 has no length",
         GET,
         {.status = 204, .length_declared = true},
         false,
         "HTTP/1.1 204 No Content\r\n\r\n",
         true},
        {"a status without a text",
         GET,
         {.status = 599},
         false,
         "HTTP/1.1 599 \r\ncontent-length: 0\r\n\r\n",
         true},
        {"after a fault",
         "GET / HTTP/1.1\r\n\r\n",
         {.status = 400},
         false,
         "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
         false},
        {"before the request's body has come",
         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
         {.status = 200},
         false,
         "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
         false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_h1 *h = server_after(rows[i].in);
        assert_int_equal(http_h1_write_response(h, &rows[i].r, rows[i].close, &out), ERR_OK);
        assert_sent(rows[i].out, rows[i].why);
        assert_false(http_h1_reusable(h)); /* not before the end is written */
        bool empty = !strstr(rows[i].out, "transfer-encoding") && rows[i].r.body_bytes != 5;
        if (empty)
            assert_int_equal(http_h1_body_end(h, NULL, &out), ERR_OK);
        if (empty && http_h1_reusable(h) != rows[i].reusable)
            fail_msg("%s: reusable", rows[i].why);
        buf_clear(&out);
        http_h1_destroy(h);
    }
}

static void fields_and_blocks(void **state)
{
    (void)state;
    struct http_block block = {.lines = SPAN("etag: \"e\"\r\nx: y\r\n")};
    struct http_response r = {.status = 200, .block = &block};
    struct http_h1 *h = server_after(GET);
    assert_true(http_fields_add_named(&r.fields, &arena, HTTP_NAME_AGE, SPAN("3")));
    assert_true(http_fields_add(&r.fields, &arena, SPAN("empty"), SPAN("")));
    assert_true(http_fields_add(&r.fields, &arena, SPAN("content-length"), SPAN("9")));
    assert_true(http_fields_add(&r.fields, &arena, SPAN("transfer-encoding"), SPAN("x")));
    assert_true(http_fields_add(&r.fields, &arena, SPAN("connection"), SPAN("x")));
    assert_int_equal(http_h1_write_response(h, &r, false, &out), ERR_OK);
    assert_sent("HTTP/1.1 200 OK\r\netag: \"e\"\r\nx: y\r\nage: 3\r\nempty: \r\n"
                "content-length: 0\r\n\r\n",
                "stored lines first, framing only once");
    http_h1_destroy(h);

    static const char *const bad[] = {"a\rb", "a\nb", "a\r\nset-cookie: b"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct http_response split = {.status = 200};
        h = server_after(GET);
        assert_true(http_fields_add(&split.fields, &arena, SPAN("x"), span_text(bad[i])));
        assert_int_equal(http_h1_write_response(h, &split, false, &out), ERR_SYNTAX);
        assert_sent("", "nothing of a head that would be two");
        http_h1_destroy(h);
    }
}

static void interim_answers(void **state)
{
    (void)state;
    struct http_response r = {.status = 103};
    struct http_h1 *h = server_after(GET);
    assert_true(http_fields_add_named(&r.fields, &arena, HTTP_NAME_LINK, SPAN("x")));
    assert_int_equal(http_h1_write_interim(h, &r, &out), ERR_OK);
    assert_sent("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", "to HTTP/1.1");
    http_h1_destroy(h);
    h = server_after(OLD);
    assert_int_equal(http_h1_write_interim(h, &r, &out), ERR_OK);
    assert_sent("", "not to HTTP/1.0");
    http_h1_destroy(h);
}

static void request_heads(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct http_request r;
        bool close;
        const char *out;
    } rows[] = {
        {"GET", {.method = HTTP_GET}, false, "GET /p HTTP/1.1\r\nhost: a\r\n\r\n"},
        {"close",
         {.method = HTTP_GET},
         true,
         "GET /p HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"},
        {"a method of its own",
         {.method = HTTP_METHOD_OTHER, .method_text = {"REPORT", 6}},
         false,
         "REPORT /p HTTP/1.1\r\nhost: a\r\n\r\n"},
        {"POST without a body says so",
         {.method = HTTP_POST},
         false,
         "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"},
        {"a length",
         {.method = HTTP_PUT, .body_bytes = 12},
         false,
         "PUT /p HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\r\n"},
        {"unknown length",
         {.method = HTTP_POST, .body_bytes = UNKNOWN},
         false,
         "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"},
        {"TE: trailers",
         {.method = HTTP_GET, .has_trailer_support = true},
         true,
         "GET /p HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te, close\r\n\r\n"},
        {"Expect and Upgrade are never sent on",
         {.method = HTTP_POST, .expect_continue = true, .upgrade = true},
         false,
         "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_h1 *h = http_h1_create(HTTP_CLIENT, NULL);
        struct http_request r = rows[i].r;
        r.target = SPAN("/p");
        r.authority = SPAN("a");
        assert_int_equal(http_h1_write_request(h, &r, rows[i].close, &out), ERR_OK);
        assert_sent(rows[i].out, rows[i].why);
        http_h1_destroy(h);
    }
}

static void bodies(void **state)
{
    (void)state;
    char prefix[HTTP_H1_PREFIX_MAX];
    struct http_response chunked = {.status = 200, .body_bytes = UNKNOWN};
    struct http_response counted = {.status = 200, .body_bytes = 300};
    struct http_fields trailers = {0};
    assert_true(http_fields_add(&trailers, &arena, SPAN("t"), SPAN("u")));

    struct http_h1 *h = server_after(GET);
    assert_int_equal(http_h1_write_response(h, &chunked, false, &out), ERR_OK);
    buf_clear(&out);
    assert_int_equal(http_h1_body_prefix(h, 0, prefix), 0); /* not the last chunk */
    assert_memory_equal(prefix, "1\r\n", http_h1_body_prefix(h, 1, prefix));
    assert_int_equal(http_h1_body_prefix(h, 0x1f0, prefix), 7);
    assert_memory_equal(prefix, "\r\n1f0\r\n", 7);
    assert_int_equal(http_h1_body_prefix(h, SIZE_MAX, prefix), 20);
    assert_memory_equal(prefix, "\r\nffffffffffffffff\r\n", 20);
    assert_int_equal(http_h1_body_end(h, &trailers, &out), ERR_OK);
    assert_sent("\r\n0\r\nt: u\r\n\r\n", "the last chunk");
    assert_true(http_h1_reusable(h));
    http_h1_destroy(h);

    h = server_after(GET);
    assert_int_equal(http_h1_write_response(h, &chunked, false, &out), ERR_OK);
    buf_clear(&out);
    assert_int_equal(http_h1_body_end(h, NULL, &out), ERR_OK);
    assert_sent("0\r\n\r\n", "no chunk but the last");
    http_h1_destroy(h);

    h = server_after(GET);
    assert_int_equal(http_h1_write_response(h, &counted, false, &out), ERR_OK);
    buf_clear(&out);
    assert_int_equal(http_h1_body_prefix(h, 299, prefix), 0);
    assert_int_equal(http_h1_body_end(h, NULL, &out), ERR_SYNTAX); /* one is missing */
    assert_false(http_h1_reusable(h));
    assert_int_equal(http_h1_body_prefix(h, 1, prefix), 0);
    assert_int_equal(http_h1_body_end(h, &trailers, &out), ERR_OK);
    assert_sent("", "a counted body has no end, and no trailers");
    assert_false(http_h1_reusable(h)); /* the doubt stays */
    http_h1_destroy(h);
}

static void states_between_messages(void **state)
{
    (void)state;
    struct http_h1 *h = http_h1_create(HTTP_SERVER, NULL);
    struct http_response r = {.status = 200};
    struct http_h1_event e;
    assert_true(http_h1_is_idle(h));
    http_h1_feed(h, SPAN("\r\n"));
    assert_int_equal(http_h1_next(h, &arena, &e), HTTP_H1_MORE);
    assert_true(http_h1_is_idle(h)); /* an empty line is nothing yet */
    http_h1_feed(h, SPAN("G"));
    assert_int_equal(http_h1_next(h, &arena, &e), HTTP_H1_MORE);
    assert_false(http_h1_is_idle(h));
    http_h1_feed(h, SPAN("ET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2"));
    assert_int_equal(http_h1_next(h, &arena, &e), HTTP_H1_REQUEST);
    assert_int_equal(http_h1_unused(h), 6);
    assert_int_equal(http_h1_next(h, &arena, &e), HTTP_H1_END);
    assert_int_equal(http_h1_next(h, &arena, &e), HTTP_H1_MORE); /* not before the answer */
    assert_int_equal(http_h1_unused(h), 6);
    assert_false(http_h1_reusable(h));
    http_h1_drop_feed(h); /* the caller keeps them ... */
    assert_int_equal(http_h1_write_response(h, &r, false, &out), ERR_OK);
    assert_int_equal(http_h1_body_end(h, NULL, &out), ERR_OK);
    assert_true(http_h1_reusable(h));
    http_h1_turn(h);
    assert_true(http_h1_is_idle(h));
    http_h1_feed(h, SPAN("GET /2")); /* ... and offers them again */
    assert_int_equal(http_h1_next(h, &arena, &e), HTTP_H1_MORE);
    http_h1_feed(h, SPAN(" HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_int_equal(http_h1_next(h, &arena, &e), HTTP_H1_REQUEST);
    assert_true(span_equal(e.request.target, SPAN("/2")));
    assert_int_equal(http_h1_eof(h, &e), HTTP_H1_END);
    assert_false(http_h1_reusable(h));
    buf_clear(&out);
    http_h1_destroy(h);
    http_h1_destroy(NULL);
}

static void a_client_is_reusable_when_all_is_clear(void **state)
{
    (void)state;
#define OK "HTTP/1.1 200 OK\r\n"
    static const struct {
        const char *why, *answer;
        bool close, reusable;
    } rows[] = {
        {"a length", OK "Content-Length: 1\r\n\r\nx", false, true},
        {"chunked", OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, true},
        {"we close", OK "Content-Length: 1\r\n\r\nx", true, false},
        {"the server closes", OK "Connection: close\r\nContent-Length: 1\r\n\r\nx", false,
         false},
        {"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", false, false},
        {"not whole", OK "Content-Length: 2\r\n\r\nx", false, false},
        {"octets behind it", OK "Content-Length: 1\r\n\r\nxHTTP/1.1 200", false, false},
        {"until close", OK "\r\nx", false, false},
        {"204 with a length", "HTTP/1.1 204 N\r\nContent-Length: 1\r\n\r\n", false, false},
        {"103 with a length",
         "HTTP/1.1 103 E\r\nContent-Length: 1\r\n\r\n" OK "Content-Length: 0\r\n\r\n", false,
         false},
        {"a fault", OK "Content-Length: x\r\n\r\n", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_h1 *h = http_h1_create(HTTP_CLIENT, NULL);
        struct http_request r = {
            .method = HTTP_GET, .target = SPAN("/"), .authority = SPAN("a")};
        struct http_h1_event e;
        assert_true(http_h1_is_idle(h));
        assert_int_equal(http_h1_write_request(h, &r, rows[i].close, &out), ERR_OK);
        assert_int_equal(http_h1_body_end(h, NULL, &out), ERR_OK);
        http_h1_feed(h, span_text(rows[i].answer));
        do {
            http_h1_next(h, &arena, &e);
        } while (e.kind != HTTP_H1_MORE && e.kind != HTTP_H1_END && e.kind != HTTP_H1_FAULT);
        if (http_h1_reusable(h) != rows[i].reusable)
            fail_msg("%s", rows[i].why);
        buf_clear(&out);
        http_h1_destroy(h);
    }
    /* the answer came before our body was out */
    struct http_h1 *h = http_h1_create(HTTP_CLIENT, NULL);
    struct http_request r = {
        .method = HTTP_POST, .target = SPAN("/"), .authority = SPAN("a"), .body_bytes = 5};
    struct http_h1_event e;
    assert_int_equal(http_h1_write_request(h, &r, false, &out), ERR_OK);
    http_h1_feed(h, SPAN(OK "Content-Length: 0\r\n\r\n"));
    assert_int_equal(http_h1_next(h, &arena, &e), HTTP_H1_RESPONSE);
    assert_int_equal(http_h1_next(h, &arena, &e), HTTP_H1_END);
    assert_false(http_h1_reusable(h));
    assert_false(http_h1_is_idle(h));
    buf_clear(&out);
    http_h1_destroy(h);
}

/* Sends a body in pieces of `piece` octets. */
static void send_body(struct http_h1 *h, struct span body, size_t piece,
                      const struct http_fields *trailers)
{
    char prefix[HTTP_H1_PREFIX_MAX];
    for (size_t at = 0; at < body.len; at += piece) {
        size_t len = piece < body.len - at ? piece : body.len - at;
        size_t bytes = http_h1_body_prefix(h, len, prefix);
        assert_int_equal(buf_append(&out, span_of(prefix, bytes)), ERR_OK);
        assert_int_equal(buf_append(&out, span_of(body.ptr + at, len)), ERR_OK);
    }
    assert_int_equal(http_h1_body_end(h, trailers, &out), ERR_OK);
}

/* What one end wrote, the other reads; body and trailers are compared. */
static void read_all(struct http_h1 *h, struct span body, bool trailers,
                     struct http_h1_event *head)
{
    struct http_h1_event e;
    size_t at = 0;
    http_h1_feed(h, buf_span(&out));
    http_h1_next(h, &arena, head);
    do {
        http_h1_next(h, &arena, &e);
        if (e.kind == HTTP_H1_BODY) {
            assert_true(at + e.body.len <= body.len);
            assert_memory_equal(e.body.ptr, body.ptr + at, e.body.len);
            at += e.body.len;
        } else if (e.kind == HTTP_H1_MORE) {
            assert_int_equal(http_h1_eof(h, &e), HTTP_H1_END); /* until close */
        }
    } while (e.kind == HTTP_H1_BODY);
    assert_int_equal(e.kind, HTTP_H1_END);
    assert_int_equal(at, body.len);
    assert_int_equal(e.trailers.count, trailers ? 1 : 0);
    buf_clear(&out);
}

static void both_ends_talk(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 15, 16, 17, 255, 256, 4096, 70000};
    static char text[70000];
    struct http_fields trailers = {0};
    assert_true(http_fields_add(&trailers, &arena, SPAN("t"), SPAN("u")));
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "\r\n0;abc"[i % 7];
    struct http_h1 *client = http_h1_create(HTTP_CLIENT, NULL);
    struct http_h1 *server = http_h1_create(HTTP_SERVER, NULL);
    struct http_h1_event e;
    for (size_t i = 0; i < ARRAY_LEN(sizes) * 2; i++) {
        bool chunked = i % 2;
        struct span body = span_of(text, sizes[i / 2]);
        int64_t bytes = chunked ? UNKNOWN : (int64_t)body.len;
        struct http_request r = {.method = HTTP_POST,
                                 .target = SPAN("/x?y"),
                                 .authority = SPAN("a:1"),
                                 .body_bytes = bytes,
                                 .has_trailer_support = true};
        assert_true(http_fields_add(&r.fields, &arena, SPAN("f"), SPAN("g h")));
        assert_int_equal(http_h1_write_request(client, &r, false, &out), ERR_OK);
        send_body(client, body, 1000, chunked ? &trailers : NULL);
        read_all(server, body, chunked, &e);
        assert_int_equal(e.request.method, HTTP_POST);
        assert_int_equal(e.request.body_bytes, bytes);
        assert_true(e.request.has_trailer_support);
        assert_true(span_equal(e.request.target, r.target));
        assert_true(span_equal(e.request.authority, r.authority));
        assert_true(span_equal(http_fields_find_text(&e.request.fields, SPAN("f"))->value,
                               SPAN("g h")));

        struct http_response p = {.status = 200, .body_bytes = bytes};
        assert_true(http_fields_add(&p.fields, &arena, SPAN("f"), SPAN("i")));
        assert_int_equal(http_h1_write_response(server, &p, false, &out), ERR_OK);
        send_body(server, body, 999, chunked ? &trailers : NULL);
        read_all(client, body, chunked, &e);
        assert_int_equal(e.response.status, 200);
        assert_int_equal(e.response.body_bytes, bytes);
        assert_true(http_h1_reusable(client) && http_h1_reusable(server));
        http_h1_turn(server);
    }
    http_h1_destroy(client);
    http_h1_destroy(server);
}

static void body_left(void **state)
{
    (void)state;
    static const struct {
        const char *why, *in;
        int64_t declared, left;
        bool absent;
    } cases[] = {
        {"declared", GET, 5, 5, false},        {"none", GET, 0, 0, false},
        {"chunked", GET, UNKNOWN, UNKNOWN, 0}, {"until close", OLD, UNKNOWN, UNKNOWN, false},
        {"HEAD", HEAD, 5, 0, false},           {"absent", GET, 5, 0, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_h1 *h = server_after(cases[i].in);
        struct http_response r = {
            .status = 200, .body_bytes = cases[i].declared, .body_absent = cases[i].absent};
        char prefix[HTTP_H1_PREFIX_MAX];
        assert_int_equal(http_h1_body_left(h), 0);
        assert_int_equal(http_h1_write_response(h, &r, false, &out), ERR_OK);
        if (http_h1_body_left(h) != cases[i].left)
            fail_msg("%s: %lld", cases[i].why, (long long)http_h1_body_left(h));
        if (cases[i].left == 5) {
            (void)http_h1_body_prefix(h, 3, prefix);
            assert_int_equal(http_h1_body_left(h), 2);
        }
        buf_clear(&out);
        http_h1_destroy(h);
    }
}

/* What a request before was says nothing about half a head that is answered with 408. */
static void half_a_head_after_head(void **state)
{
    (void)state;
    struct http_h1 *h = server_after(HEAD);
    struct http_response r = {.status = 200, .body_bytes = 9};
    struct http_h1_event e;
    assert_int_equal(http_h1_write_response(h, &r, false, &out), ERR_OK);
    assert_int_equal(http_h1_body_end(h, NULL, &out), ERR_OK);
    http_h1_turn(h);
    buf_clear(&out);
    http_h1_feed(h, SPAN("GET / HT"));
    assert_int_equal(http_h1_next(h, &arena, &e), HTTP_H1_MORE);
    r = (struct http_response){.status = 408, .body_bytes = 4};
    assert_int_equal(http_h1_write_response(h, &r, true, &out), ERR_OK);
    assert_int_equal(http_h1_body_left(h), 4);
    buf_clear(&out);
    http_h1_destroy(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(response_heads),
        cmocka_unit_test(fields_and_blocks),
        cmocka_unit_test(interim_answers),
        cmocka_unit_test(request_heads),
        cmocka_unit_test(bodies),
        cmocka_unit_test(states_between_messages),
        cmocka_unit_test(a_client_is_reusable_when_all_is_clear),
        cmocka_unit_test(both_ends_talk),
        cmocka_unit_test(body_left),
        cmocka_unit_test(half_a_head_after_head),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
