/* Client and server core against each other, in memory. */
#include "tests/unit/base/http/h2_raw.h"

struct pair {
    struct end *client, *server;
    int64_t now_ms;
};

static struct pair pair_of(const struct http_h2_conf *client, const struct http_h2_conf *server)
{
    return (struct pair){end_create(HTTP_CLIENT, client), end_create(HTTP_SERVER, server),
                         1000};
}

static void pair_end(struct pair *p)
{
    end_destroy(p->client);
    end_destroy(p->server);
}

static bool carry(struct end *from, struct end *to, int64_t now_ms)
{
    static struct bytes wire;
    wire.len = 0;
    if (!end_output(from, &wire))
        return false;
    enum err err = http_h2_feed(to->h, span_of(wire.at, wire.len), now_ms);
    assert_true(err == ERR_OK || err == ERR_CLOSED);
    return true;
}

static void pump(struct pair *p)
{
    bool more = true;
    while (more) {
        more = carry(p->client, p->server, p->now_ms);
        more = carry(p->server, p->client, p->now_ms) || more;
    }
}

static struct http_request get(void)
{
    return (struct http_request){.method = HTTP_GET,
                                 .method_text = SPAN("GET"),
                                 .scheme = SPAN("https"),
                                 .authority = SPAN("a.example"),
                                 .target = SPAN("/x?y")};
}

static struct http_request post(int64_t bytes)
{
    struct http_request r = get();
    r.method = HTTP_POST;
    r.method_text = SPAN("POST");
    r.body_bytes = bytes;
    return r;
}

static int32_t ask(struct pair *p, const struct http_request *r, bool body)
{
    int32_t id = 0;
    assert_int_equal(http_h2_request(p->client->h, r, body, &id), ERR_OK);
    return id;
}

static void get_and_answer(void **state)
{
    (void)state;
    struct pair p = pair_of(&http_h2_conf_default, &http_h2_conf_default);
    struct arena a;
    arena_init(&a, 1 << 16);
    struct http_request r = get();
    r.has_trailer_support = true;
    assert_true(http_fields_add_named(&r.fields, &a, HTTP_NAME_ACCEPT, SPAN("*/*")));
    assert_true(http_fields_add(&r.fields, &a, SPAN("x-own"), SPAN("1")));
    ask(&p, &r, false);
    pump(&p);
    assert_string_equal(
        p.server->log,
        "request 1 GET https://a.example /x?y body=0 ended te accept=*/* x-own=1\n");

    struct http_block block = {0};
    struct http_response answer = {
        .status = 404, .block = &block, .body_bytes = 5, .length_declared = true};
    assert_true(http_fields_add_named(&block.fields, &a, HTTP_NAME_ETAG, SPAN("\"e\"")));
    assert_true(http_fields_add_named(&answer.fields, &a, HTTP_NAME_AGE, SPAN("7")));
    p.server->body_to_send = 5;
    assert_int_equal(http_h2_respond(p.server->h, 1, &answer, true), ERR_OK);
    pump(&p);
    assert_string_equal(p.client->log,
                        "response 1 404 body=5 declared etag=\"e\" age=7\nend 1\nclose 1 0\n");
    assert_int_equal(p.client->body_got, 5);
    assert_int_equal(p.server->closes, 1);
    assert_int_equal(http_h2_streams(p.server->h), 0);
    arena_fini(&a);
    pair_end(&p);
}

/* RFC 9110 9.3.2, 15.4.5: a length that no body follows */
static void head_and_304(void **state)
{
    (void)state;
    struct pair p = pair_of(&http_h2_conf_default, &http_h2_conf_default);
    struct http_request r = get();
    r.method = HTTP_HEAD;
    r.method_text = SPAN("HEAD");
    struct http_response answer = {.status = 200, .body_bytes = 99, .length_declared = true};
    ask(&p, &r, false);
    pump(&p);
    assert_int_equal(http_h2_respond(p.server->h, 1, &answer, false), ERR_OK);
    answer.status = 304;
    r = get();
    ask(&p, &r, false);
    pump(&p);
    assert_int_equal(http_h2_respond(p.server->h, 3, &answer, false), ERR_OK);
    pump(&p);
    assert_string_equal(p.client->log,
                        "response 1 200 body=99 declared absent ended\nclose 1 0\n"
                        "response 3 304 body=99 declared absent ended\nclose 3 0\n");
    pair_end(&p);
}

/* Many heads, more than the stack's array holds, at the same time as small windows. */
static void many_streams_small_windows(void **state)
{
    (void)state;
    struct http_h2_conf conf = http_h2_conf_default;
    conf.window_bytes = 1000;
    conf.streams_max = 40;
    conf.cost_per_10s = 1000000; /* a window of 1000 makes tiny frames */
    struct pair p = pair_of(&conf, &conf);
    pump(&p);
    p.server->body_to_send = 3000;
    p.client->body_to_send = 5000;
    p.client->body_step = 4999;
    p.server->body_step = 777;
    p.server->auto_answer = true;
    struct arena a;
    arena_init(&a, 1 << 16);
    for (int i = 0; i < 90; i++)
        assert_true(http_fields_add(&p.server->response_fields, &a, SPAN("x-many"), SPAN("v")));
    for (int i = 0; i < 40; i++) {
        struct http_request r = post(HTTP_LENGTH_UNKNOWN);
        ask(&p, &r, true);
    }
    pump(&p);
    assert_int_equal(p.server->requests, 40);
    assert_int_equal(p.server->body_got, 40 * 5000);
    assert_int_equal(p.client->body_got, 40 * 3000);
    assert_int_equal(p.client->closes, 40);
    assert_int_equal(p.client->close_error, HTTP_H2_NO_ERROR);
    arena_fini(&a);
    pair_end(&p);
}

/* A reader that does not drain stops the writer at its window; credit lets it run on. */
static void credit_is_the_consumers(void **state)
{
    (void)state;
    struct http_h2_conf conf = http_h2_conf_default;
    conf.window_bytes = 70000;
    struct pair p = pair_of(&conf, &conf);
    pump(&p);
    p.server->hold_credit = true;
    p.client->body_to_send = 200000;
    struct http_request r = post(200000);
    ask(&p, &r, true);
    pump(&p);
    assert_int_equal(p.server->body_got, 70000);
    for (int i = 0; i < 10 && p.server->body_got < 200000; i++) {
        http_h2_consumed(p.server->h, 1, p.server->held);
        p.server->held = 0;
        pump(&p);
    }
    assert_int_equal(p.server->body_got, 200000);
    assert_non_null(strstr(p.server->log, "end 1\n"));
    pair_end(&p);
}

/* What a dead stream never credited must not be missing from the connection's window. */
static void closed_streams_credit_the_connection(void **state)
{
    (void)state;
    struct pair p = pair_of(&http_h2_conf_default, &http_h2_conf_default);
    pump(&p);
    p.server->hold_credit = true;
    for (int i = 0; i < 20; i++) { /* 20 * 200 kB is four times the connection's window */
        p.client->body_to_send = 200000;
        p.server->body_got = 0;
        struct http_request r = post(200000);
        int32_t id = ask(&p, &r, true);
        pump(&p);
        assert_int_equal(p.server->body_got, 200000);
        http_h2_reset(i & 1 ? p.server->h : p.client->h, id, HTTP_H2_CANCEL);
        pump(&p);
        http_h2_consumed(p.server->h, id, 200000); /* late: does nothing */
    }
    pair_end(&p);
}

static void stall_and_go_on(void **state)
{
    (void)state;
    struct pair p = pair_of(&http_h2_conf_default, &http_h2_conf_default);
    p.server->auto_answer = p.server->body_stalls = true;
    p.server->body_to_send = 300000;
    struct http_request r = get();
    int32_t id = ask(&p, &r, false);
    pump(&p);
    assert_int_equal(p.client->body_got, 0);
    p.server->body_stalls = false;
    assert_false(http_h2_wants_output(p.server->h));
    http_h2_body_ready(p.server->h, id);
    assert_true(http_h2_wants_output(p.server->h));
    pump(&p);
    assert_int_equal(p.client->body_got, 300000);
    assert_int_equal(p.client->closes, 1);
    http_h2_body_ready(p.server->h, id); /* gone: nothing */
    pair_end(&p);
}

static void resets(void **state)
{
    (void)state;
    struct pair p = pair_of(&http_h2_conf_default, &http_h2_conf_default);
    struct http_request r = get();
    int32_t id = ask(&p, &r, false);
    http_h2_reset(p.client->h, id, HTTP_H2_CANCEL); /* before it was sent */
    pump(&p);
    assert_int_equal(p.client->closes, 1);
    assert_int_equal(p.server->requests, 0);

    id = ask(&p, &r, false);
    pump(&p);
    http_h2_reset(p.client->h, id, HTTP_H2_CANCEL);
    pump(&p);
    assert_int_equal(p.server->close_error, HTTP_H2_CANCEL);
    assert_int_equal(p.server->closes, 1);

    id = ask(&p, &r, false);
    pump(&p);
    http_h2_reset(p.server->h, id, HTTP_H2_REFUSED_STREAM);
    assert_int_equal(
        http_h2_respond(p.server->h, id, &(struct http_response){.status = 200}, false),
        ERR_CLOSED);
    pump(&p);
    assert_int_equal(p.client->close_error, HTTP_H2_REFUSED_STREAM);

    p.server->auto_answer = true;
    p.server->body_to_send = 10;
    p.server->body_err = ERR_SYS;
    id = ask(&p, &r, false);
    pump(&p);
    assert_int_equal(p.client->close_error, HTTP_H2_INTERNAL_ERROR);
    assert_int_equal(http_h2_streams(p.server->h) + http_h2_streams(p.client->h), 0);
    pair_end(&p);
}

static void trailers_and_interim(void **state)
{
    (void)state;
    struct pair p = pair_of(&http_h2_conf_default, &http_h2_conf_default);
    struct arena a;
    arena_init(&a, 1 << 16);
    struct http_response early = {.status = 103};
    assert_true(http_fields_add_named(&early.fields, &a, HTTP_NAME_LINK, SPAN("</s>")));
    assert_true(http_fields_add(&p.server->trailers_to_send, &a, SPAN("x-sum"), SPAN("1")));
    assert_true(http_fields_add(&p.client->trailers_to_send, &a, SPAN("x-up"), SPAN("2")));
    p.server->body_to_send = 3;
    p.client->body_to_send = 4;
    struct http_request r = post(HTTP_LENGTH_UNKNOWN);
    ask(&p, &r, true);
    pump(&p);
    assert_int_equal(http_h2_interim(p.server->h, 1, &early), ERR_OK);
    assert_int_equal(
        http_h2_respond(p.server->h, 1, &(struct http_response){.status = 200}, true), ERR_OK);
    pump(&p);
    assert_string_equal(p.server->log, "request 1 POST https://a.example /x?y body=-1\n"
                                       "trailers 1 x-up=2\nend 1\nclose 1 0\n");
    assert_string_equal(p.client->log,
                        "response 1 103 body=-1 absent link=</s>\n"
                        "response 1 200 body=-1\ntrailers 1 x-sum=1\nend 1\nclose 1 0\n");
    /* trailers with no body at all: no empty DATA frame is needed */
    p.server->body_to_send = 0;
    p.client->log_len = 0;
    r = get();
    ask(&p, &r, false);
    pump(&p);
    assert_int_equal(
        http_h2_respond(p.server->h, 3, &(struct http_response){.status = 200}, true), ERR_OK);
    pump(&p);
    assert_string_equal(p.client->log,
                        "response 3 200 body=-1\ntrailers 3 x-sum=1\nend 3\nclose 3 0\n");
    arena_fini(&a);
    pair_end(&p);
}

/* RFC 9113 8.1: the client learns that it need not send the rest. */
static void early_answer_cuts_the_request(void **state)
{
    (void)state;
    struct pair p = pair_of(&http_h2_conf_default, &http_h2_conf_default);
    p.server->answer_early = p.client->body_stalls = true;
    struct http_request r = post(1000);
    ask(&p, &r, true);
    pump(&p);
    assert_string_equal(p.client->log, "response 1 200 body=0 ended\nclose 1 0\n");
    assert_string_equal(p.server->log,
                        "request 1 POST https://a.example /x?y body=1000\nclose 1 0\n");
    pair_end(&p);
}

static void graceful_goaway(void **state)
{
    (void)state;
    struct pair p = pair_of(&http_h2_conf_default, &http_h2_conf_default);
    struct http_request r = get();
    ask(&p, &r, false);
    pump(&p);
    http_h2_goaway(p.server->h);
    http_h2_goaway(p.server->h); /* twice is once */
    ask(&p, &r, false);          /* crosses the notice: still served */
    pump(&p);
    assert_int_equal(p.server->requests, 2);
    int32_t id;
    assert_int_equal(http_h2_request(p.client->h, &r, false, &id), ERR_CLOSED);
    assert_false(http_h2_may_request(p.client->h));
    assert_false(http_h2_is_done(p.server->h));
    assert_int_equal(
        http_h2_respond(p.server->h, 1, &(struct http_response){.status = 204}, false), ERR_OK);
    assert_int_equal(
        http_h2_respond(p.server->h, 3, &(struct http_response){.status = 204}, false), ERR_OK);
    pump(&p);
    assert_true(http_h2_is_done(p.server->h) && http_h2_is_done(p.client->h));
    assert_null(http_h2_end_reason(p.server->h));
    assert_int_equal(p.client->closes, 2);
    pair_end(&p);
}

static void the_end_closes_streams(void **state)
{
    (void)state;
    struct pair p = pair_of(&http_h2_conf_default, &http_h2_conf_default);
    struct http_request r = get();
    ask(&p, &r, false);
    pump(&p);
    http_h2_end(p.server->h, HTTP_H2_INTERNAL_ERROR, "no memory");
    pump(&p);
    assert_true(http_h2_is_done(p.server->h));
    assert_string_equal(http_h2_end_reason(p.server->h), "no memory");
    assert_int_equal(http_h2_end_code(p.server->h), HTTP_H2_INTERNAL_ERROR);
    assert_int_equal(http_h2_end_code(p.client->h), HTTP_H2_NO_ERROR); /* not its own */
    assert_int_equal(http_h2_feed(p.server->h, SPAN("x"), 1), ERR_CLOSED);
    http_h2_destroy(p.server->h);
    assert_int_equal(p.server->closes, 1);
    p.server->h = NULL;
    pair_end(&p);
}

static void stream_limits(void **state)
{
    (void)state;
    struct http_h2_conf conf = http_h2_conf_default;
    conf.streams_max = 3;
    struct pair p = pair_of(&http_h2_conf_default, &conf);
    pump(&p); /* the client learns of 3 */
    struct http_request r = get();
    int32_t id;
    for (int i = 0; i < 3; i++)
        ask(&p, &r, false);
    assert_int_equal(http_h2_request(p.client->h, &r, false, &id), ERR_LIMIT);
    pump(&p);
    assert_int_equal(http_h2_streams(p.server->h), 3);
    assert_int_equal(
        http_h2_respond(p.server->h, 3, &(struct http_response){.status = 204}, false), ERR_OK);
    pump(&p);
    assert_true(http_h2_may_request(p.client->h));
    ask(&p, &r, false);
    http_h2_trim(p.client->h);
    http_h2_trim(p.server->h);
    pump(&p);
    assert_int_equal(p.server->requests, 4);
    pair_end(&p);
}

/* The caller's own word comes back until the stream's last one. */
struct closing {
    struct http_h2 *h;
    void *user;
};

static void note_user(void *user, int32_t id, uint32_t error)
{
    struct closing *c = user;
    (void)error;
    c->user = http_h2_user(c->h, id);
}

static void ignore_request(void *user, int32_t id, struct http_request *r, struct arena *a,
                           bool ended)
{
    (void)user, (void)id, (void)r, (void)a, (void)ended;
}

static void users_of_streams(void **state)
{
    (void)state;
    static struct bytes wire;
    int one = 0, other = 0;
    struct closing closing = {0};
    struct http_h2_functions functions = {.request = ignore_request, .stream_close = note_user};
    closing.h = http_h2_create(HTTP_SERVER, &http_h2_conf_default, &functions, &closing);
    wire.len = 0;
    put_preface(&wire);
    put_head(&wire, 1, END_HEADERS | END_STREAM, GET_LINES);
    put_head(&wire, 129, END_HEADERS | END_STREAM, GET_LINES); /* the same bucket */
    assert_int_equal(http_h2_feed(closing.h, span_of(wire.at, wire.len), 1), ERR_OK);
    assert_null(http_h2_user(closing.h, 1));
    http_h2_set_user(closing.h, 1, &one);
    http_h2_set_user(closing.h, 129, &other);
    http_h2_set_user(closing.h, 3, &other); /* no such stream: nothing */
    assert_null(http_h2_user(closing.h, 3));
    assert_ptr_equal(http_h2_user(closing.h, 1), &one);
    assert_ptr_equal(http_h2_user(closing.h, 129), &other);
    wire.len = 0;
    put_u32_frame(&wire, RST_STREAM, 1, HTTP_H2_CANCEL);
    assert_int_equal(http_h2_feed(closing.h, span_of(wire.at, wire.len), 1), ERR_OK);
    assert_ptr_equal(closing.user, &one);
    assert_null(http_h2_user(closing.h, 1));
    wire.len = 0;
    put_head(&wire, 131, END_HEADERS | END_STREAM, GET_LINES); /* in the first one's memory */
    assert_int_equal(http_h2_feed(closing.h, span_of(wire.at, wire.len), 1), ERR_OK);
    assert_null(http_h2_user(closing.h, 131));
    http_h2_destroy(closing.h);
}

/* From its first frame until END_HEADERS. */
static void heads_in_pieces(void **state)
{
    (void)state;
    static struct bytes wire, block;
    struct end *e = end_create(HTTP_SERVER, &http_h2_conf_default);
    wire.len = block.len = 0;
    put_lines(&block, GET_LINES);
    put_preface(&wire);
    put_frame(&wire, HEADERS, END_STREAM, 1, block.at, 10);
    assert_int_equal(http_h2_feed(e->h, span_of(wire.at, wire.len), 1), ERR_OK);
    assert_true(http_h2_in_head(e->h));
    wire.len = 0;
    put_frame(&wire, CONTINUATION, END_HEADERS, 1, block.at + 10, block.len - 10);
    assert_int_equal(http_h2_feed(e->h, span_of(wire.at, wire.len - 1), 1), ERR_OK);
    assert_true(http_h2_in_head(e->h));
    assert_int_equal(http_h2_feed(e->h, span_of(wire.at + wire.len - 1, 1), 1), ERR_OK);
    assert_false(http_h2_in_head(e->h));
    assert_int_equal(e->requests, 1);
    end_destroy(e);
}

/* All that a turn has to say goes into few, full buffers. */
static void output_is_packed(void **state)
{
    (void)state;
    static char out[48 * 1024];
    static struct bytes wire;
    struct pair p = pair_of(&http_h2_conf_default, &http_h2_conf_default);
    wire.len = 0;
    pump(&p);
    p.server->auto_answer = true;
    p.server->body_to_send = 65535;
    struct http_request r = get();
    ask(&p, &r, false);
    carry(p.client, p.server, 1);
    size_t n = http_h2_output(p.server->h, out, sizeof out);
    assert_true(n > sizeof out - 1024 - 9);
    put(&wire, out, n);
    n = http_h2_output(p.server->h, out, sizeof out);
    put(&wire, out, n);
    assert_int_equal(http_h2_output(p.server->h, out, sizeof out), 0);
    unsigned count;
    (void)last_frame(&wire, 0, DATA, &count);
    assert_true(count <= 6);
    assert_int_equal(http_h2_feed(p.client->h, span_of(wire.at, wire.len), 1), ERR_OK);
    assert_int_equal(p.client->body_got, 65535);
    pair_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_and_answer),
        cmocka_unit_test(head_and_304),
        cmocka_unit_test(many_streams_small_windows),
        cmocka_unit_test(credit_is_the_consumers),
        cmocka_unit_test(closed_streams_credit_the_connection),
        cmocka_unit_test(stall_and_go_on),
        cmocka_unit_test(resets),
        cmocka_unit_test(trailers_and_interim),
        cmocka_unit_test(early_answer_cuts_the_request),
        cmocka_unit_test(graceful_goaway),
        cmocka_unit_test(the_end_closes_streams),
        cmocka_unit_test(stream_limits),
        cmocka_unit_test(users_of_streams),
        cmocka_unit_test(heads_in_pieces),
        cmocka_unit_test(output_is_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
