/* cache/form.h: what a request's Accept-Encoding makes of an object, and what origins are
 * asked. */
#include "cache/form.h"
#include "tests/unit/cache/scene.h"

#define MB ((uint64_t)1 << 20)
#define FRESH "cache-control: max-age=60"
#define TEXT FRESH "\ncontent-type: text/plain\netag: \"x\""

static const char *text_types[] = {"text/*"};
static const struct conf_variants variants = {
    .encode_zstd = true,
    .encode_gzip = true,
    .types = {text_types, 1},
    .min_bytes = 4,
    .max_bytes = MB,
};
static char letters[4096]; /* compressible, NUL-ended */

static int set_up(void **state)
{
    (void)state;
    memset(letters, 'a', sizeof(letters) - 1);
    return 0;
}

static struct client *ask(struct scene *s, const char *target, const char *headers)
{
    struct client *c = client_ask(s, HTTP_GET, target, headers);
    static struct policy_accept_memo memo;
    c->ask.variants = &variants; /* a look-up needs none */
    c->ask.memo = &memo;
    return c;
}

static void store(struct scene *s, const char *target, const char *request,
                  const char *response, const char *body)
{
    struct client *c = ask(s, target, request);
    assert_int_equal(c->answer.verdict, CACHE_LEAD);
    client_open(c);
    client_fetch(c);
    client_respond_all(c, 200, response, body);
    client_destroy(c);
}

static struct cache_form choose(struct client *c, bool arriving, bool first)
{
    struct cache_form form;
    cache_form_choose(c->scene->cache, &c->ask, c->answer.object, arriving, first, &form);
    return form;
}

static void test_first_answers(void **state)
{
    (void)state;
    static const struct {
        const char *why, *request, *response;
        bool first;
        enum policy_form_how how;
        enum policy_encoding encoding;
    } rows[] = {
        {"text", "accept-encoding: gzip, zstd", TEXT, true, POLICY_FORM_ENCODE, POLICY_ZSTD},
        {"gzip alone", "accept-encoding: gzip", TEXT, true, POLICY_FORM_ENCODE, POLICY_GZIP},
        {"not its first", "accept-encoding: gzip", TEXT, false, POLICY_FORM_BASE,
         POLICY_IDENTITY},
        {"did not ask", "x: y", TEXT, true, POLICY_FORM_BASE, POLICY_IDENTITY},
        {"asks for parts", "accept-encoding: gzip\nrange: bytes=0-1", TEXT, true,
         POLICY_FORM_BASE, POLICY_IDENTITY},
        {"an image", "accept-encoding: gzip", FRESH "\ncontent-type: image/png", true,
         POLICY_FORM_BASE, POLICY_IDENTITY},
        {"no-transform", "accept-encoding: gzip", TEXT "\ncache-control: no-transform", true,
         POLICY_FORM_BASE, POLICY_IDENTITY},
        {"no-transform of the client's", "accept-encoding: gzip\ncache-control: no-transform",
         TEXT, true, POLICY_FORM_BASE, POLICY_IDENTITY},
        {"encoded already", "accept-encoding: gzip", TEXT "\ncontent-encoding: gzip", true,
         POLICY_FORM_BASE, POLICY_GZIP},
        {"to be decoded", "accept-encoding: identity", TEXT "\ncontent-encoding: gzip", false,
         POLICY_FORM_DECODE, POLICY_IDENTITY},
        {"brotli stays", "accept-encoding: br", TEXT "\ncontent-encoding: br", true,
         POLICY_FORM_BASE, POLICY_BROTLI},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scene s;
        scene_open(&s, NULL, 8 * MB);
        struct client *c = ask(&s, "/x", rows[i].request);
        client_open(c);
        client_fetch(c);
        assert_int_equal(client_respond(c, 200, rows[i].response, -1), CACHE_TAKE_BODY);
        assert_int_equal(memory_reader_head(&c->reader), MEMORY_HEAD_READY);
        struct cache_form form;
        cache_form_choose(s.cache, &c->ask, c->reader.object, true, rows[i].first, &form);
        if (form.is.how != rows[i].how || form.is.encoding != rows[i].encoding)
            fail_msg("%s: %d of %d", rows[i].why, form.is.how, form.is.encoding);
        client_destroy(c);
        scene_close(&s);
    }
}

static void test_http10_is_not_encoded_as_it_is_sent(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    struct client *c = ask(&s, "/x", "accept-encoding: gzip");
    c->request.version = HTTP_1_0;
    client_open(c);
    client_fetch(c);
    assert_int_equal(client_respond(c, 200, TEXT, -1), CACHE_TAKE_BODY);
    assert_int_equal(memory_reader_head(&c->reader), MEMORY_HEAD_READY);
    struct cache_form form;
    cache_form_choose(s.cache, &c->ask, c->reader.object, true, true, &form);
    assert_int_equal(form.is.how, POLICY_FORM_BASE);
    client_destroy(c);
    scene_close(&s);
}

/* Vary tells that there are forms, and only then. */
static void test_vary(void **state)
{
    (void)state;
    static const struct {
        const char *why, *response, *want; /* NULL: none */
    } rows[] = {
        {"text", TEXT, "accept-encoding"},
        {"beside the origin's", TEXT "\nvary: Origin", "Origin, accept-encoding"},
        {"named already", TEXT "\nvary: accept-Encoding", "accept-Encoding"},
        {"an image", FRESH "\ncontent-type: image/png", NULL},
        {"no-transform", TEXT "\ncache-control: no-transform", NULL},
        {"encoded", FRESH "\ncontent-encoding: br", "accept-encoding"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scene s;
        scene_open(&s, NULL, 8 * MB);
        struct client *c = ask(&s, "/x", "accept-encoding: br, gzip");
        client_open(c);
        client_fetch(c);
        assert_int_equal(client_respond(c, 200, rows[i].response, 2000), CACHE_TAKE_BODY);
        /* By Vary it may have moved: the leader reads on all the same. */
        assert_int_equal(memory_reader_head(&c->reader), MEMORY_HEAD_READY);
        const struct http_fields *f = &c->reader.object->block.fields;
        const struct http_field *vary = http_fields_find(f, HTTP_NAME_VARY);
        assert_true(http_fields_count(f, HTTP_NAME_VARY) <= 1);
        if (!vary != !rows[i].want ||
            (vary && !span_equal_nocase(vary->value, span_text(rows[i].want))))
            fail_msg("%s: %.*s", rows[i].why, vary ? (int)vary->value.len : 0,
                     vary ? vary->value.ptr : "");
        client_destroy(c);
        scene_close(&s);
    }
}

/* What nobody can take apart is for those who take it; others ask the origin themselves. */
static void test_unsuited(void **state)
{
    (void)state;
    static const struct {
        const char *response, *request;
        enum cache_verdict verdict;
    } rows[] = {
        {"content-encoding: br", "accept-encoding: br", CACHE_HIT},
        {"content-encoding: br", "accept-encoding: gzip", CACHE_PASS},
        {"content-encoding: br", "x: y", CACHE_PASS},
        {"content-encoding: br", "accept-encoding: identity;q=0", CACHE_HIT},
        {"content-encoding: gzip", "x: y", CACHE_HIT},
        {"content-encoding: gzip\ncache-control: no-transform", "x: y", CACHE_PASS},
        {"content-encoding: gzip\ncache-control: no-transform", "accept-encoding: gzip",
         CACHE_HIT},
        {"content-encoding: strange", "x: y", CACHE_HIT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scene s;
        char response[256];
        scene_open(&s, NULL, 8 * MB);
        snprintf(response, sizeof(response), "%s\n%s", FRESH, rows[i].response);
        store(&s, "/x", "accept-encoding: br, gzip", response, "anything");
        struct client *c = ask(&s, "/x", rows[i].request);
        if (c->answer.verdict != rows[i].verdict)
            fail_msg("%s for %s: %d", rows[i].response, rows[i].request, c->answer.verdict);
        if (c->answer.verdict == CACHE_PASS) {
            assert_true(c->answer.plain);
            assert_int_equal(c->answer.forward, CACHE_FORWARD_VARY_MISS);
        }
        client_destroy(c);
        scene_close(&s);
    }
}

/* Accept-Encoding as the origin gets it. */
static void asked(struct client *c, const char *want)
{
    struct http_fields f = {0};
    for (uint32_t i = 0; i < c->request.fields.count; i++)
        assert_true(http_fields_add(&f, &c->arena, c->request.fields.at[i].name,
                                    c->request.fields.at[i].value));
    client_open(c);
    client_fetch(c);
    assert_true(cache_intake_request_fields(&c->intake, &f, &c->arena));
    const struct http_field *field = http_fields_find(&f, HTTP_NAME_ACCEPT_ENCODING);
    assert_non_null(field);
    ASSERT_SPAN("accept-encoding", field->value, span_text(want));
    assert_int_equal(http_fields_count(&f, HTTP_NAME_ACCEPT_ENCODING), 1);
}

static void test_what_origins_are_asked(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    struct client *shared = ask(&s, "/x", "accept-encoding: gzip;q=0.2, foo");
    asked(shared, "identity");
    struct client *alone = client_ask(&s, HTTP_POST, "/x", "accept-encoding: gzip, foo");
    asked(alone, "gzip, foo");
    client_destroy(shared);
    client_destroy(alone);
    store(&s, "/y", "accept-encoding: br", FRESH "\ncontent-encoding: br", "anything");
    struct client *plain = ask(&s, "/y", "accept-encoding: gzip");
    asked(plain, "identity");
    client_destroy(plain);
    scene_close(&s);
}

/* A form once made is what its clients get, whole, and others what came. */
static void test_stored_forms(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    store(&s, "/x", "accept-encoding: zstd", TEXT, letters);
    struct client *c = NULL;
    struct cache_form form = {.is.how = POLICY_FORM_BASE};
    for (int i = 0; i < 2000 && form.is.how != POLICY_FORM_MADE; i++) {
        if (c)
            client_destroy(c);
        poll(NULL, 0, 5);
        c = ask(&s, "/x", "accept-encoding: zstd, gzip;q=0.5");
        assert_int_equal(c->answer.verdict, CACHE_HIT);
        form = choose(c, false, false);
    }
    assert_int_equal(form.is.how, POLICY_FORM_MADE);
    assert_int_equal(form.object->encoding, POLICY_ZSTD);
    assert_true(form.object->body_bytes < 200);
    const struct http_field *etag =
        http_fields_find(&form.object->block.fields, HTTP_NAME_ETAG);
    ASSERT_SPAN("etag", etag->value, SPAN("W/\"x-zstd\""));
    client_destroy(c);
    c = ask(&s, "/x", "x: y");
    form = choose(c, false, false);
    assert_int_equal(form.is.how, POLICY_FORM_BASE);
    assert_ptr_equal(form.object, c->answer.object);
    client_destroy(c);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_answers),
        cmocka_unit_test(test_http10_is_not_encoded_as_it_is_sent),
        cmocka_unit_test(test_vary),
        cmocka_unit_test(test_unsuited),
        cmocka_unit_test(test_what_origins_are_asked),
        cmocka_unit_test(test_stored_forms),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
