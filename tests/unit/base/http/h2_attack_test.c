/* A server core against clients that break rules or abuse them. */
#include "tests/unit/base/http/h2_raw.h"

static struct bytes in, out;

static struct end *server(void)
{
    in.len = out.len = 0;
    put_preface(&in);
    return end_create(HTTP_SERVER, &http_h2_conf_default);
}

/* Feeds what is in `in`, collects what comes. */
static enum err turn(struct end *e, int64_t now_ms)
{
    enum err err = http_h2_feed(e->h, span_of(in.at, in.len), now_ms);
    in.len = 0;
    out.len = 0;
    (void)end_output(e, &out);
    return err;
}

/* The GOAWAY's code, or -1. */
static int64_t ended_with(const struct end *e)
{
    unsigned count;
    const uint8_t *frame = last_frame(&out, 0, GOAWAY, &count);
    if (!frame)
        return -1;
    assert_true(http_h2_is_done(e->h));
    assert_non_null(http_h2_end_reason(e->h));
    return frame_u32(frame, 4);
}

static int64_t reset_with(uint32_t stream)
{
    unsigned count;
    const uint8_t *frame = last_frame(&out, 0, RST_STREAM, &count);
    return frame && frame_stream(frame) == stream ? (int64_t)frame_u32(frame, 0) : -1;
}

struct head_case {
    const char *why, *lines;
    unsigned refused;  /* a status that the core answers itself */
    bool reset;        /* PROTOCOL_ERROR */
    const char *shown; /* what `request` got */
};

#define WITH(path) ":method: GET\n:scheme: https\n:path: " path "\n:authority: a.example\n"
#define HOST(authority, host) ":method: GET\n:scheme: https\n:path: /\n" authority host

static const struct head_case head_cases[] = {
    {"plain", GET_LINES, 0, false, "request 1 GET https://a.example / body=0 ended\n"},
    {"authority in lower case", HOST(":authority: A.Example:8443\n", ""), 0, false,
     "request 1 GET https://a.example:8443 / body=0 ended\n"},
    {"host alone is enough", HOST("", "host: B.example\n"), 0, false,
     "request 1 GET https://b.example / body=0 ended\n"},
    {"host may differ in case", HOST(":authority: a.example\n", "host: A.EXAMPLE\n"), 0, false,
     "request 1 GET https://a.example / body=0 ended\n"},
    {"host may name the default port", HOST(":authority: a.example\n", "host: a.example:443\n"),
     0, false, "request 1 GET https://a.example / body=0 ended\n"},
    {"host differs", HOST(":authority: a.example\n", "host: b.example\n"), 400, false, ""},
    {"host's port differs", HOST(":authority: a.example\n", "host: a.example:80\n"), 400, false,
     ""},
    {"host is no host", HOST(":authority: a.example\n", "host: a/b\n"), 400, true, ""},
    {"neither host nor authority", HOST("", ""), 0, true, ""},
    {"two hosts", HOST("", "host: a.example\nhost: a.example\n"), 0, true, ""},
    {"empty authority", HOST(":authority: \n", ""), 400, true, ""},
    {"user in the authority", HOST(":authority: u@a.example\n", ""), 400, false, ""},
    {"bad port", HOST(":authority: a.example:99999\n", ""), 400, false, ""},
    {"cookie crumbs", GET_LINES "cookie: a=1\nx-y: z\ncookie: b=2\ncookie: c=3\n", 0, false,
     "request 1 GET https://a.example / body=0 ended x-y=z cookie=a=1; b=2; c=3\n"},
    {"te: trailers is taken out", GET_LINES "te: trailers\n", 0, false,
     "request 1 GET https://a.example / body=0 ended te\n"},
    {"te: gzip", GET_LINES "te: gzip\n", 0, true, ""},
    {"expect without a body is void", GET_LINES "expect: 100-continue\n", 0, false,
     "request 1 GET https://a.example / body=0 ended\n"},
    {"connection", GET_LINES "connection: close\n", 0, true, ""},
    {"transfer-encoding", GET_LINES "transfer-encoding: chunked\n", 0, true, ""},
    {"keep-alive", GET_LINES "keep-alive: 1\n", 0, true, ""},
    {"proxy-connection", GET_LINES "proxy-connection: keep-alive\n", 0, true, ""},
    {"upgrade", GET_LINES "upgrade: h2c\n", 0, true, ""},
    {"upper case name", GET_LINES "X-Y: z\n", 0, true, ""},
    {"name is no token", GET_LINES "x(y: z\n", 0, true, ""},
    {"control octet in a value", GET_LINES "x-y: a\x01z\n", 0, true, ""},
    {"CR in a value", GET_LINES "x-y: a\rz\n", 0, true, ""},
    {"space before a value", GET_LINES "x-y:  z\n", 0, true, ""},
    {"pseudo field after others",
     ":method: GET\n:scheme: https\nx: y\n:path: /\n:authority: a\n", 0, true, ""},
    {"unknown pseudo field", GET_LINES ":proto: x\n", 0, true, ""},
    {"two paths", GET_LINES ":path: /\n", 0, true, ""},
    {"no method", ":scheme: https\n:path: /\n:authority: a.example\n", 0, true, ""},
    {"length without a body", GET_LINES "content-length: 1\n", 0, true, ""},
    {"length zero", GET_LINES "content-length: 0\n", 0, false,
     "request 1 GET https://a.example / body=0 ended\n"},
    {"signed length", GET_LINES "content-length: +0\n", 0, true, ""},
    {"two lengths", GET_LINES "content-length: 0\ncontent-length: 0\n", 0, true, ""},
    {"list of lengths", GET_LINES "content-length: 0, 0\n", 0, true, ""},
    {"connect", ":method: CONNECT\n:authority: a.example:443\n", 501, false, ""},
    {"foreign scheme", ":method: GET\n:scheme: ftp\n:path: /\n:authority: a.example\n", 400,
     false, ""},
    {"scheme in capitals", ":method: GET\n:scheme: HTTPS\n:path: /\n:authority: a.example\n", 0,
     false, "request 1 GET https://a.example / body=0 ended\n"},
    {"options star", ":method: OPTIONS\n:scheme: https\n:path: *\n:authority: a.example\n", 0,
     false, "request 1 OPTIONS https://a.example * body=0 ended\n"},
    {"get star", WITH("*"), 0, true, ""},
    {"absolute form", WITH("https://a.example/"), 0, true, ""},
    {"empty path", WITH(""), 0, true, ""},
    {"fragment", WITH("/a#b"), 400, false, ""},
    {"backslash", WITH("/a\\b"), 400, false, ""},
    {"raw non-ASCII", WITH("/\xc3\xa4"), 400, false, ""},
    {"space in the path", WITH("/a b"), 400, true, ""},
    {"encoded NUL", WITH("/a%00b"), 400, false, ""},
    {"encoded NUL at the end", WITH("/a%00"), 400, false, ""},
    {"half an escape is for uri.h", WITH("/a%0"), 0, false,
     "request 1 GET https://a.example /a%0 body=0 ended\n"},
};

static void heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(head_cases); i++) {
        const struct head_case *c = &head_cases[i];
        struct end *e = server();
        put_head(&in, 1, END_STREAM | END_HEADERS, c->lines);
        print_message("  %s\n", c->why);
        assert_int_equal(turn(e, 0), ERR_OK);
        bool reset = reset_with(1) == HTTP_H2_PROTOCOL_ERROR;
        /* where nghttp2 may say it first, either answer is right */
        if (c->refused && c->reset)
            assert_true(reset || e->refused_status == c->refused);
        else
            assert_int_equal(e->refused_status, c->refused);
        if (!c->refused)
            assert_int_equal(reset, c->reset);
        if (c->shown[0])
            assert_string_equal(e->log, c->shown);
        assert_int_equal(e->requests, c->shown[0] != 0);
        assert_int_equal(ended_with(e), -1); /* the connection lives */
        end_destroy(e);
    }
}

static void too_large(void **state)
{
    (void)state;
    static char big[70000];
    static struct bytes block;
    const struct {
        const char *why, *name;
        size_t len, times;
        unsigned refused;
    } cases[] = {
        {"a field just fits", "x-y", 8 * 1024 - 3, 1, 0},
        {"a field too long", "x-y", 8 * 1024, 1, 431},
        {"all just fit", "x-y", 4000, 8, 0},
        {"all too long", "x-y", 4000, 9, 431},
        {"as many as allowed", "x-y", 1, 100, 0},
        {"one too many", "x-y", 1, 101, 431},
        {"a target too long", ":path", 8 * 1024, 1, 414},
        {"a request's tag field is a field like others", "surrogate-key", 9000, 1, 431},
    };
    memset(big, 'a', sizeof big);
    big[0] = '/';
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct end *e = server();
        print_message("  %s\n", cases[i].why);
        block.len = 0;
        bool path = cases[i].name[0] == ':';
        put_lines(&block, path ? ":method: GET\n:scheme: https\n:authority: a\n" : GET_LINES);
        for (size_t n = 0; n < cases[i].times; n++)
            put_literal(&block, cases[i].name, big, cases[i].len + path);
        for (size_t at = 0; at < block.len; at += 16384)
            put_frame(&in, at ? CONTINUATION : HEADERS,
                      (at ? 0 : END_STREAM) | (block.len - at <= 16384 ? END_HEADERS : 0), 1,
                      block.at + at, block.len - at < 16384 ? block.len - at : 16384);
        assert_int_equal(turn(e, 0), ERR_OK);
        assert_int_equal(e->refused_status, cases[i].refused);
        assert_int_equal(e->requests, cases[i].refused == 0);
        /* the connection goes on, and its HPACK state is whole */
        put_head(&in, 3, END_STREAM | END_HEADERS, GET_LINES);
        assert_int_equal(turn(e, 0), ERR_OK);
        assert_int_equal(e->last_stream, 3);
        end_destroy(e);
    }
}

/* A refused request's body is swallowed, cut with NO_ERROR, and takes no window. */
static void refused_body(void **state)
{
    (void)state;
    static const char body[10000];
    struct end *e = server();
    unsigned count;
    assert_int_equal(turn(e, 0), ERR_OK);
    for (uint32_t id = 1; id < 400; id += 2) {
        put_head(&in, id, END_HEADERS, WITH("/#"));
        put_frame(&in, DATA, 0, id, body, sizeof body);
        assert_int_equal(turn(e, 0), ERR_OK);
        assert_int_equal(reset_with(id), HTTP_H2_NO_ERROR);
    }
    (void)last_frame(&out, 0, GOAWAY, &count);
    assert_int_equal(count, 0);
    assert_int_equal(e->body_got + e->closes + e->requests, 0);
    end_destroy(e);
}

static void trailer_cases(void **state)
{
    (void)state;
    const struct {
        const char *why, *lines, *tail;
        unsigned flags;
        bool reset;
    } cases[] = {
        {"plain", "x-sum: 1\n", "trailers 1 x-sum=1\nend 1\n", END_STREAM, false},
        {"none kept: no trailers", "content-type: a\n", "ed=0\nend 1\n", END_STREAM, false},
        {"claims", "x-forwarded-for: a\nx_forwarded_host: b\nforwarded: c\nx-original-url: d\n",
         "ed=0\nend 1\n", END_STREAM, false},
        {"request modifiers", "x-sum: 1\ncache-control: a\nif-match: b\n",
         "trailers 1 x-sum=1\nend 1\n", END_STREAM, false},
        {"framing", "content-length: 1\n", "", END_STREAM, true},
        {"routing", "host: a\n", "", END_STREAM, true},
        {"pseudo", ":path: /\n", "", END_STREAM, true},
        {"without the end", "x-sum: 1\n", "", 0, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct end *e = server();
        print_message("  %s\n", cases[i].why);
        put_head(&in, 1, END_HEADERS,
                 ":method: POST\n:scheme: https\n:path: /\n:authority: a\nx-ended: 0\n");
        put_frame(&in, DATA, 0, 1, "\1\1", 2);
        put_head(&in, 1, END_HEADERS | cases[i].flags, cases[i].lines);
        assert_int_equal(turn(e, 0), ERR_OK);
        assert_int_equal(reset_with(1), cases[i].reset ? (int64_t)HTTP_H2_PROTOCOL_ERROR : -1);
        if (cases[i].reset)
            assert_non_null(strstr(e->log, "close 1 1\n"));
        else
            assert_string_equal(e->log + e->log_len - strlen(cases[i].tail), cases[i].tail);
        end_destroy(e);
    }
}

static void data_against_its_length(void **state)
{
    (void)state;
    for (int more = 0; more < 2; more++) {
        struct end *e = server();
        put_head(&in, 1, END_HEADERS,
                 ":method: POST\n:scheme: https\n:path: /\n:authority: a\ncontent-length: 2\n");
        put_frame(&in, DATA, END_STREAM, 1, "\1\1\1", more ? 3 : 1);
        assert_int_equal(turn(e, 0), ERR_OK);
        assert_int_equal(reset_with(1), HTTP_H2_PROTOCOL_ERROR);
        assert_null(strstr(e->log, "end 1"));
        assert_int_equal(e->close_error, HTTP_H2_PROTOCOL_ERROR);
        end_destroy(e);
    }
}

static void frames_on_closed_streams(void **state)
{
    (void)state;
    const struct {
        const char *why;
        unsigned type;
        uint32_t stream;
        bool server_reset;
        int64_t goaway;
    } cases[] = {
        {"DATA after both ends ended", DATA, 1, false, HTTP_H2_STREAM_CLOSED},
        {"HEADERS after both ends ended", HEADERS, 1, false, HTTP_H2_STREAM_CLOSED},
        {"DATA on a stream that was skipped", DATA, 3, false, HTTP_H2_STREAM_CLOSED},
        {"DATA that crossed our reset", DATA, 7, true, -1},
        {"trailers that crossed our reset", HEADERS, 7, true, -1},
        {"DATA on an idle stream", DATA, 9, false, HTTP_H2_PROTOCOL_ERROR},
        {"HEADERS on an even stream", HEADERS, 2, false, HTTP_H2_PROTOCOL_ERROR},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct end *e = server();
        print_message("  %s\n", cases[i].why);
        put_head(&in, 1, END_STREAM | END_HEADERS, GET_LINES);
        put_head(&in, 5, END_STREAM | END_HEADERS, GET_LINES);
        put_head(&in, 7, END_HEADERS, GET_LINES);
        assert_int_equal(turn(e, 0), ERR_OK);
        assert_int_equal(
            http_h2_respond(e->h, 1, &(struct http_response){.status = 204}, false), ERR_OK);
        if (cases[i].server_reset)
            http_h2_reset(e->h, 7, HTTP_H2_CANCEL);
        (void)turn(e, 0);
        if (cases[i].type == DATA)
            put_frame(&in, DATA, 0, cases[i].stream, "x", 1);
        else
            put_head(&in, cases[i].stream, END_STREAM | END_HEADERS, GET_LINES);
        (void)turn(e, 0);
        assert_int_equal(ended_with(e), cases[i].goaway);
        end_destroy(e);
    }
}

/* A stream that nghttp2 refused in the same packet as its body: no fault of the connection. */
static void refused_stream_with_data(void **state)
{
    (void)state;
    struct http_h2_conf conf = http_h2_conf_default;
    conf.streams_max = 1;
    struct end *e = end_create(HTTP_SERVER, &conf);
    in.len = out.len = 0;
    put_preface(&in);
    for (uint32_t id = 1; id <= 5; id += 2) {
        put_head(&in, id, END_HEADERS, GET_LINES);
        put_frame(&in, DATA, END_STREAM, id, "\1", 1);
    }
    assert_int_equal(turn(e, 0), ERR_OK);
    assert_int_equal(reset_with(5), HTTP_H2_REFUSED_STREAM);
    assert_int_equal(e->requests, 1);
    end_destroy(e);
}

enum flood {
    FLOOD_RESET,
    FLOOD_SETTINGS,
    FLOOD_PING,
    FLOOD_PRIORITY,
    FLOOD_UNKNOWN,
    FLOOD_EMPTY_DATA,
    FLOOD_PADDED_DATA,
    FLOOD_WINDOW_UPDATE,
    FLOOD_BAD_REQUEST,
    FLOOD_MADE_RESET,
    FLOOD_ACK,
};

static void put_flood(enum flood what, uint32_t n)
{
    uint32_t id = 2 * n + 3;
    switch (what) {
    case FLOOD_RESET: /* CVE-2023-44487 */
        put_head(&in, id, END_STREAM | END_HEADERS, GET_LINES);
        put_u32_frame(&in, RST_STREAM, id, HTTP_H2_CANCEL);
        break;
    case FLOOD_SETTINGS:
        put_frame(&in, SETTINGS, 0, 0, "\0\4\0\0\377\377", 6);
        break;
    case FLOOD_PING:
        put_frame(&in, PING, 0, 0, "12345678", 8);
        break;
    case FLOOD_PRIORITY:
        put_frame(&in, PRIORITY, 0, id, "\0\0\0\0\1", 5);
        break;
    case FLOOD_UNKNOWN:
        put_frame(&in, 0xbe, 0, 0, "", 0);
        break;
    case FLOOD_EMPTY_DATA:
        put_frame(&in, DATA, 0, 1, "", 0);
        break;
    case FLOOD_PADDED_DATA:
        put_frame(&in, DATA, PADDED, 1, "\1\0", 2);
        break;
    case FLOOD_WINDOW_UPDATE:
        put_u32_frame(&in, WINDOW_UPDATE, 0, 1);
        break;
    case FLOOD_BAD_REQUEST: /* reset by nghttp2 */
        put_head(&in, id, END_STREAM | END_HEADERS, GET_LINES "te: x\n");
        break;
    case FLOOD_MADE_RESET: /* CVE-2025-8671: a good request, then a frame that makes us reset it
                            */
        put_head(&in, id, END_STREAM | END_HEADERS, GET_LINES);
        put_u32_frame(&in, WINDOW_UPDATE, id, 0x7fffffff);
        break;
    case FLOOD_ACK:
        put_frame(&in, SETTINGS, ACK, 0, "", 0);
        break;
    }
}

static void floods(void **state)
{
    (void)state;
    const struct {
        const char *why;
        enum flood what;
        uint32_t fine, too_many; /* within a second */
    } cases[] = {
        {"rapid reset", FLOOD_RESET, 150, 250},
        {"settings", FLOOD_SETTINGS, 80, 120},
        {"ping", FLOOD_PING, 800, 1200},
        {"priority", FLOOD_PRIORITY, 1500, 2500},
        {"frames of unknown type", FLOOD_UNKNOWN, 1500, 2500},
        {"empty DATA", FLOOD_EMPTY_DATA, 300, 500},
        {"DATA of padding", FLOOD_PADDED_DATA, 300, 500},
        {"window updates", FLOOD_WINDOW_UPDATE, 1500, 2500},
        {"malformed requests", FLOOD_BAD_REQUEST, 150, 250},
        {"made you reset", FLOOD_MADE_RESET, 150, 250},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (int over = 0; over < 2; over++) {
            struct end *e = server();
            print_message("  %s %d\n", cases[i].why, over);
            put_frame(&in, SETTINGS, ACK, 0, "", 0);
            put_head(&in, 1, END_HEADERS, GET_LINES);
            (void)turn(e, 0);
            uint32_t n = over ? cases[i].too_many : cases[i].fine;
            int64_t code = -1;
            for (uint32_t k = 0; k < n && code < 0; k++) {
                put_flood(cases[i].what, k);
                if (k % 10 == 9 || k + 1 == n) { /* a few frames a packet */
                    (void)turn(e, k * 1000 / n);
                    code = ended_with(e);
                }
            }
            assert_int_equal(code, over ? (int64_t)HTTP_H2_ENHANCE_YOUR_CALM : -1);
            end_destroy(e);
        }
}

/* All of a flood in one packet: nghttp2's own limits may bite first, with the same word. */
static void flood_in_one_packet(void **state)
{
    (void)state;
    const enum flood floods[] = {FLOOD_RESET, FLOOD_SETTINGS, FLOOD_PING, FLOOD_MADE_RESET};
    for (size_t i = 0; i < ARRAY_LEN(floods); i++) {
        struct end *e = server();
        print_message("  flood %d\n", floods[i]);
        for (uint32_t k = 0; k < 2500; k++)
            put_flood(floods[i], k);
        /* resets of our own are counted as they are sent; until then streams_max bounds them */
        assert_int_equal(turn(e, 0), floods[i] == FLOOD_MADE_RESET ? ERR_OK : ERR_SYNTAX);
        assert_int_equal(ended_with(e), HTTP_H2_ENHANCE_YOUR_CALM);
        assert_true(e->requests <= 300);
        end_destroy(e);
    }
}

static void what_is_spent_comes_back(void **state)
{
    (void)state;
    struct end *e = server();
    uint32_t k = 0;
    for (int64_t now_ms = 0; now_ms < 60000; now_ms += 100, k++) { /* 10 resets a second */
        put_flood(FLOOD_RESET, k);
        assert_int_equal(turn(e, now_ms), ERR_OK);
    }
    for (int64_t now_ms = 60000; now_ms < 120000; now_ms += 10, k++) { /* 100 a second */
        put_flood(FLOOD_RESET, k);
        if (turn(e, now_ms) != ERR_OK) {
            assert_true(now_ms < 64000);
            assert_int_equal(ended_with(e), HTTP_H2_ENHANCE_YOUR_CALM);
            end_destroy(e);
            return;
        }
    }
    fail();
}

static void continuation_floods(void **state)
{
    (void)state;
    static const char zeros[16384];
    for (int kind = 0; kind < 3; kind++) {
        struct end *e = server();
        static struct bytes field;
        field.len = 0;
        if (kind == 1)
            put_literal(&field, "x", "y", 1);
        else if (kind == 2) /* never ends, and is not small */
            put_literal(&field, "x", zeros + 8, 0), put_literal(&field, "y", zeros, 0);
        put_frame(&in, HEADERS, END_STREAM, 1, "", 0);
        for (int i = 0; i < 1000; i++) {
            if (kind == 2)
                for (field.len = 0; field.len < 16000;)
                    put_literal(&field, "x", "y", 1);
            if (in.len + field.len + 9 > sizeof in.at)
                break;
            put_frame(&in, CONTINUATION, 0, 1, field.at, field.len);
        }
        assert_int_equal(turn(e, 0), ERR_SYNTAX);
        assert_int_equal(ended_with(e), HTTP_H2_ENHANCE_YOUR_CALM);
        assert_int_equal(e->requests, 0);
        end_destroy(e);
    }
}

/* One octet a field out of the dynamic table: 4 kB each, without end. */
static void hpack_bomb(void **state)
{
    (void)state;
    static char value[3900];
    static struct bytes block;
    struct end *e = server();
    memset(value, 'a', sizeof value);
    block.len = 0;
    put_lines(&block, GET_LINES);
    put(&block, "\x40", 1); /* with indexing */
    put_int7(&block, 1);
    put(&block, "b", 1);
    put_int7(&block, sizeof value);
    put(&block, value, sizeof value);
    while (block.len < 16384)
        put(&block, "\xbe", 1); /* index 62 */
    put_frame(&in, HEADERS, END_STREAM | END_HEADERS, 1, block.at, block.len);
    assert_int_equal(turn(e, 0), ERR_SYNTAX);
    assert_int_equal(ended_with(e), HTTP_H2_ENHANCE_YOUR_CALM);
    assert_int_equal(e->requests, 0);
    end_destroy(e);
}

/* A window of one octet makes ten octets of ours out of each: charged. */
static void tiny_windows(void **state)
{
    (void)state;
    struct end *e = server();
    put_frame(&in, SETTINGS, 0, 0, "\0\4\0\0\0\1", 6);
    e->auto_answer = true;
    e->body_to_send = 1000000;
    put_head(&in, 1, END_STREAM | END_HEADERS, GET_LINES);
    (void)turn(e, 0);
    int64_t code = -1;
    uint32_t k = 0;
    for (; k < 10000 && code < 0; k++) {
        put_u32_frame(&in, WINDOW_UPDATE, 1, 1);
        (void)turn(e, 0);
        code = ended_with(e);
    }
    assert_int_equal(code, HTTP_H2_ENHANCE_YOUR_CALM);
    assert_true(k > 1000 && k < 3000);
    end_destroy(e);
}

/* A client that reads well sends one update per frame, stream and connection: no abuse. */
static void honest_window_updates(void **state)
{
    (void)state;
    struct end *e = server();
    unsigned count;
    e->auto_answer = true;
    e->body_to_send = 40000000;
    put_head(&in, 1, END_STREAM | END_HEADERS, GET_LINES);
    (void)turn(e, 0);
    for (int i = 0; i < 20000 && e->closes == 0; i++) {
        (void)last_frame(&out, 0, DATA, &count);
        for (unsigned k = 0; k < count; k++) {
            put_u32_frame(&in, WINDOW_UPDATE, 0, 16384);
            put_u32_frame(&in, WINDOW_UPDATE, 1, 16384);
        }
        assert_int_equal(turn(e, 0), ERR_OK);
    }
    assert_int_equal(e->closes, 1);
    end_destroy(e);
}

/* Streams that share a connection's window leave a short end of it now and then: no abuse.
 * Nothing but short ends is, however large the first frame was. */
static void short_ends_of_windows(void **state)
{
    (void)state;
    struct end *e = server();
    put_u32_frame(&in, WINDOW_UPDATE, 0, 1u << 30);
    e->auto_answer = true;
    e->body_to_send = 10000000;
    put_head(&in, 1, END_STREAM | END_HEADERS, GET_LINES);
    (void)turn(e, 0);
    for (int i = 0; i < 8000; i++) {
        put_u32_frame(&in, WINDOW_UPDATE, 1, 256);
        assert_int_equal(turn(e, 0), ERR_OK);
        for (int k = 0; k < 2; k++) {
            put_u32_frame(&in, WINDOW_UPDATE, 1, 255);
            assert_int_equal(turn(e, 0), ERR_OK);
        }
    }
    int k = 0;
    while (k < 10000 && ended_with(e) < 0) {
        put_u32_frame(&in, WINDOW_UPDATE, 1, 255);
        (void)turn(e, 0);
        k++;
    }
    assert_int_equal(ended_with(e), HTTP_H2_ENHANCE_YOUR_CALM);
    assert_true(k > 1500 && k < 3500);
    end_destroy(e);
}

/* PRIORITY is read and ignored; depending on oneself is still wrong (RFC 9113 5.3.1). */
static void priorities(void **state)
{
    (void)state;
    struct end *e = server();
    put_frame(&in, PRIORITY, 0, 3, "\0\0\0\1\377", 5);
    put_head(&in, 1, END_STREAM | END_HEADERS, GET_LINES);
    assert_int_equal(turn(e, 0), ERR_OK);
    assert_int_equal(e->requests, 1);
    put_frame(&in, PRIORITY, 0, 3, "\0\0\0\1", 4);
    (void)turn(e, 0);
    assert_int_equal(reset_with(3) == 6 || ended_with(e) == 6, 1); /* FRAME_SIZE_ERROR */
    end_destroy(e);
}

static void bad_preface(void **state)
{
    (void)state;
    struct end *e = end_create(HTTP_SERVER, &http_h2_conf_default);
    in.len = 0;
    put(&in, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    assert_int_equal(turn(e, 0), ERR_SYNTAX);
    assert_int_equal(ended_with(e), HTTP_H2_PROTOCOL_ERROR);
    end_destroy(e);
}

/* The same bytes cut anywhere mean the same. */
static void cut_at_each_byte(void **state)
{
    (void)state;
    static struct bytes all;
    char whole[4096];
    for (size_t cut = 0; cut == 0 || cut < all.len; cut++) {
        struct end *e = server();
        e->auto_answer = true;
        put_head(&in, 1, END_STREAM | END_HEADERS, GET_LINES "cookie: a\ncookie: b\n");
        put_head(&in, 3, END_HEADERS,
                 ":method: POST\n:scheme: https\n:path: /\n:authority: a\ncontent-length: 4\n");
        put_frame(&in, DATA, 0, 3, "\3\3", 2);
        put_frame(&in, DATA, PADDED, 3, "\2\3\3\0\0", 5);
        put_head(&in, 3, END_STREAM | END_HEADERS, "x-sum: 1\n");
        put_frame(&in, PING, 0, 0, "12345678", 8);
        if (cut == 0) {
            all = in;
            assert_int_equal(turn(e, 0), ERR_OK);
            strcpy(whole, e->log);
            assert_non_null(strstr(whole, "trailers 3 x-sum=1\nend 3\n"));
        } else {
            assert_int_equal(http_h2_feed(e->h, span_of(all.at, cut), 0), ERR_OK);
            (void)end_output(e, &out);
            assert_int_equal(http_h2_feed(e->h, span_of(all.at + cut, all.len - cut), 0),
                             ERR_OK);
            (void)end_output(e, &out);
            if (strlen(e->log) != strlen(whole)) /* order of closes may differ */
                assert_string_equal(e->log, whole);
            assert_int_equal(e->closes, 2);
            assert_int_equal(e->body_got, 4);
        }
        end_destroy(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads),
        cmocka_unit_test(too_large),
        cmocka_unit_test(refused_body),
        cmocka_unit_test(trailer_cases),
        cmocka_unit_test(data_against_its_length),
        cmocka_unit_test(frames_on_closed_streams),
        cmocka_unit_test(refused_stream_with_data),
        cmocka_unit_test(floods),
        cmocka_unit_test(flood_in_one_packet),
        cmocka_unit_test(what_is_spent_comes_back),
        cmocka_unit_test(continuation_floods),
        cmocka_unit_test(hpack_bomb),
        cmocka_unit_test(tiny_windows),
        cmocka_unit_test(short_ends_of_windows),
        cmocka_unit_test(honest_window_updates),
        cmocka_unit_test(priorities),
        cmocka_unit_test(bad_preface),
        cmocka_unit_test(cut_at_each_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
