#include "tests/unit/cache/scene.h"

#include "base/counter.h"
#include "cache/memory/fill.h"

#define MB (UINT64_C(1) << 20)
#define FRESH "cache-control: max-age=60"

static void test_stored_and_hit(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    scene_store(&s, "/x", "",
                FRESH "\nage: 5\nxkey: t u\ncdn-cache-control: max-age=100\nfoo: 1", "hello");
    s.now_s += 10;
    struct client *c = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(c->answer.verdict, CACHE_HIT);
    assert_int_equal(c->answer.age_s, 15);
    assert_int_equal(c->answer.fresh_left_s, 85);
    struct memory_object *o = c->answer.object;
    assert_int_equal(o->tag_count, 2);
    assert_int_equal(o->body_bytes, 5);
    assert_true(o->stored);
    /* Fields for the cache only, and Age, are not sent; a Date is. */
    struct span text = unlines(&c->arena, &o->block.fields);
    assert_true(span_starts(text, SPAN(FRESH "\nfoo: 1\ndate: ")));
    assert_int_equal(o->kept.count, o->block.fields.count + 2);
    assert_true(span_starts(o->block.lines, SPAN(FRESH "\r\nfoo: 1\r\ndate: ")));
    client_open(c);
    ASSERT_READS(c, "hello");
    client_destroy(c);
    scene_close(&s);
}

static void test_readers_stream_while_it_arrives(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    for (int known = 0; known < 2; known++) {
        const char *path = known ? "/k" : "/u";
        enum err end;
        struct client *lead = client_ask(&s, HTTP_GET, path, "");
        struct client *early = client_ask(&s, HTTP_GET, path, "");
        client_open(lead);
        client_open(early);
        client_fetch(lead);
        assert_int_equal(memory_reader_head(&lead->reader), MEMORY_HEAD_WAIT);
        assert_int_equal(memory_reader_head(&early->reader), MEMORY_HEAD_WAIT);
        assert_int_equal(client_respond(lead, 200, FRESH, known ? 6 : -1), CACHE_TAKE_BODY);
        turn(&s);
        assert_int_equal(lead->woken, 1);
        assert_int_equal(early->woken, 1);
        assert_int_equal(memory_reader_head(&lead->reader), MEMORY_HEAD_READY);
        assert_int_equal(memory_reader_head(&early->reader), MEMORY_HEAD_READY);
        assert_int_equal(client_read(early, &end).len, 0);
        assert_int_equal(end, ERR_AGAIN);
        client_body(lead, "abc");
        turn(&s);
        assert_int_equal(early->woken, 2);
        assert_int_equal(lead->woken, 1); /* it did not ask */
        assert_true(span_equal(client_read(early, &end), SPAN("abc")));
        struct client *late = client_ask(&s, HTTP_GET, path, "");
        assert_int_equal(late->answer.verdict, CACHE_JOIN);
        client_open(late);
        assert_int_equal(memory_reader_head(&late->reader), MEMORY_HEAD_READY);
        client_body(lead, "def");
        cache_intake_end(&lead->intake, NULL);
        client_fetched(lead);
        ASSERT_READS(lead, "abcdef");
        ASSERT_READS(early, "def");
        ASSERT_READS(late, "abcdef");
        struct client *hit = client_ask(&s, HTTP_GET, path, "");
        assert_int_equal(hit->answer.verdict, CACHE_HIT);
        client_open(hit);
        memory_reader_range(&hit->reader, 2, 4);
        ASSERT_READS(hit, "cd");
        client_destroy(lead);
        client_destroy(early);
        client_destroy(late);
        client_destroy(hit);
    }
    scene_close(&s);
}

static const struct {
    const char *why, *response;
    unsigned status;
    enum memory_head waiter;
    enum cache_verdict next;
} share_rows[] = {
    {"shareable", FRESH, 200, MEMORY_HEAD_READY, CACHE_HIT},
    {"an error with a lifetime", FRESH, 503, MEMORY_HEAD_READY, CACHE_HIT},
    {"private is remembered", "cache-control: private", 200, MEMORY_HEAD_ALONE, CACHE_PASS},
    {"no-store is remembered", "cache-control: no-store", 200, MEMORY_HEAD_ALONE, CACHE_PASS},
    {"no lifetime", "foo: 1", 200, MEMORY_HEAD_ALONE, CACHE_PASS},
    {"a cookie", "set-cookie: a=1\n" FRESH, 200, MEMORY_HEAD_ALONE, CACHE_PASS},
    {"vary *", "vary: *\n" FRESH, 200, MEMORY_HEAD_ALONE, CACHE_PASS},
    {"an error is not remembered", "foo: 1", 503, MEMORY_HEAD_ALONE, CACHE_LEAD},
};

static void test_sharing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(share_rows); i++) {
        struct scene s;
        scene_open(&s, NULL, 8 * MB);
        struct client *lead = client_ask(&s, HTTP_GET, "/x", "");
        struct client *wait = client_ask(&s, HTTP_GET, "/x", "");
        client_open(lead);
        client_open(wait);
        client_fetch(lead);
        client_respond_all(lead, share_rows[i].status, share_rows[i].response, "abc");
        assert_int_equal(memory_reader_head(&lead->reader), MEMORY_HEAD_READY);
        assert_int_equal(lead->reader.object->status, share_rows[i].status);
        ASSERT_READS(lead, "abc");
        enum memory_head head = memory_reader_head(&wait->reader);
        if (head != share_rows[i].waiter)
            fail_msg("%s: waiter %d", share_rows[i].why, head);
        if (scene_verdict(&s, HTTP_GET, "/x", "") != share_rows[i].next)
            fail_msg("%s: next", share_rows[i].why);
        s.now_s += CACHE_PRIVATE_S;
        if (share_rows[i].next == CACHE_PASS &&
            scene_verdict(&s, HTTP_GET, "/x", "") != CACHE_LEAD)
            fail_msg("%s: remembered for too long", share_rows[i].why);
        client_destroy(lead);
        client_destroy(wait);
        scene_close(&s);
    }
}

static void test_not_shareable_by_request_is_not_remembered(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    struct client *lead = client_ask(&s, HTTP_GET, "/x", "authorization: a");
    struct client *wait = client_ask(&s, HTTP_GET, "/x", "");
    client_open(lead);
    client_open(wait);
    client_fetch(lead);
    client_respond_all(lead, 200, FRESH, "secret");
    assert_int_equal(memory_reader_head(&wait->reader), MEMORY_HEAD_ALONE);
    ASSERT_READS(lead, "secret");
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_LEAD);
    client_destroy(lead);
    client_destroy(wait);
    scene_close(&s);
}

static void test_vary(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    struct client *de = client_ask(&s, HTTP_GET, "/x", "lang: de");
    struct client *de2 = client_ask(&s, HTTP_GET, "/x", "lang: de");
    struct client *en = client_ask(&s, HTTP_GET, "/x", "lang: en");
    client_open(de);
    client_open(de2);
    client_open(en);
    client_fetch(de);
    client_respond(de, 200, FRESH "\nvary: Lang", 5);
    client_body(de, "hal");
    assert_int_equal(memory_reader_head(&de->reader), MEMORY_HEAD_READY);
    assert_int_equal(memory_reader_head(&de2->reader), MEMORY_HEAD_AGAIN);
    assert_int_equal(memory_reader_head(&en->reader), MEMORY_HEAD_AGAIN);
    client_close_reader(de2);
    client_close_reader(en);
    cache_answer_fini(&de2->answer);
    cache_answer_fini(&en->answer);
    client_lookup(de2);
    client_lookup(en);
    assert_int_equal(de2->answer.verdict, CACHE_JOIN);
    assert_int_equal(en->answer.verdict, CACHE_LEAD);
    assert_int_equal(en->answer.forward, CACHE_FORWARD_VARY_MISS);
    client_open(de2);
    client_open(en);
    assert_int_equal(memory_reader_head(&de2->reader), MEMORY_HEAD_READY);
    client_fetch(en);
    client_respond_all(en, 200, FRESH "\nvary: lang", "hello");
    client_body(de, "lo");
    cache_intake_end(&de->intake, NULL);
    client_fetched(de);
    ASSERT_READS(de, "hallo");
    ASSERT_READS(de2, "hallo");
    ASSERT_READS(en, "hello");
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", "lang: de"), CACHE_HIT);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", "lang: en"), CACHE_HIT);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", "lang: fr"), CACHE_LEAD);
    /* One more name: the old variants are out of reach, one without Vary is a variant, too. */
    scene_store(&s, "/x", "lang: fr\ncase: A", FRESH "\nvary: case", "fr-A");
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", "lang: fr\ncase: A"), CACHE_HIT);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", "lang: fr\ncase: B"), CACHE_LEAD);
    scene_store(&s, "/x", "lang: it", FRESH, "it");
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", "lang: it"), CACHE_HIT);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", "lang: fr\ncase: A"), CACHE_HIT);
    client_destroy(de);
    client_destroy(de2);
    client_destroy(en);
    scene_close(&s);
}

static void test_variants_are_capped(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    char request[32];
    for (unsigned i = 0; i < CACHE_VARIANTS_MAX; i++) {
        (void)snprintf(request, sizeof(request), "lang: %u", i);
        scene_store(&s, "/x", request, FRESH "\nvary: lang", "v");
    }
    uint64_t capped = counter_sum(COUNTER_CACHE_VARIANTS_CAPPED);
    scene_store(&s, "/x", "lang: more", FRESH "\nvary: lang", "v");
    assert_int_equal(counter_sum(COUNTER_CACHE_VARIANTS_CAPPED), capped + 1);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", "lang: more"), CACHE_LEAD);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", "lang: 3"), CACHE_HIT);
    s.now_s += 181; /* and they are taken again */
    scene_store(&s, "/x", "lang: more", FRESH "\nvary: lang", "v");
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", "lang: more"), CACHE_HIT);
    scene_close(&s);
}

#define STALE_ETAG FRESH "\netag: \"1\"\nfoo: old\nxkey: t"

static void test_304(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    scene_store(&s, "/x", "", STALE_ETAG, "body");
    s.now_s += 61;
    struct client *lead =
        client_ask(&s, HTTP_GET, "/x", "if-none-match: \"9\"\nrange: bytes=0-1");
    struct client *wait = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(wait->answer.verdict, CACHE_JOIN);
    client_open(lead);
    client_open(wait);
    client_fetch(lead);
    struct http_fields sent =
        lines(&lead->arena, "if-none-match: \"9\"\nrange: bytes=0-1\nbar: 1");
    assert_true(cache_intake_request_fields(&lead->intake, &sent, &lead->arena));
    assert_true(span_equal(unlines(&lead->arena, &sent), SPAN("bar: 1\nif-none-match: \"1\"\n"
                                                              "accept-encoding: identity\n")));
    assert_int_equal(client_respond(lead, 304, FRESH "\netag: \"1\"\nfoo: new", 0),
                     CACHE_TAKE_DONE);
    client_fetched(lead);
    assert_int_equal(memory_reader_head(&lead->reader), MEMORY_HEAD_READY);
    assert_int_equal(memory_reader_head(&wait->reader), MEMORY_HEAD_READY);
    assert_true(span_equal(
        http_fields_find_text(&wait->reader.object->block.fields, SPAN("foo"))->value,
        SPAN("new")));
    assert_int_equal(wait->reader.object->tag_count, 1); /* no purge misses the body */
    ASSERT_READS(lead, "body");
    ASSERT_READS(wait, "body");
    s.now_s += 59;
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_HIT);
    client_destroy(lead);
    client_destroy(wait);
    scene_close(&s);
}

/* With more tags than it may have, old and new, a purge could miss it: it is not kept. */
static void test_304_with_many_tags(void **state)
{
    (void)state;
    for (unsigned tags = 63; tags <= 64; tags++) {
        struct scene s;
        char fields[1024];
        uint64_t before = counter_sum(COUNTER_CACHE_NOT_STORED_TAGS);
        scene_open(&s, NULL, 8 * MB);
        scene_store(&s, "/x", "", STALE_ETAG, "body");
        s.now_s += 61;
        int at = snprintf(fields, sizeof fields, FRESH "\netag: \"1\"\nxkey:");
        for (unsigned i = 0; i < tags; i++)
            at += snprintf(fields + at, sizeof fields - (size_t)at, " n%u", i);
        struct client *lead = client_ask(&s, HTTP_GET, "/x", "");
        client_open(lead);
        client_fetch(lead);
        struct http_fields sent = {0};
        assert_true(cache_intake_request_fields(&lead->intake, &sent, &lead->arena));
        assert_int_equal(client_respond(lead, 304, fields, 0), CACHE_TAKE_DONE);
        client_fetched(lead);
        assert_int_equal(memory_reader_head(&lead->reader), MEMORY_HEAD_READY);
        ASSERT_READS(lead, "body");
        client_destroy(lead);
        assert_int_equal(counter_sum(COUNTER_CACHE_NOT_STORED_TAGS), before + (tags == 64));
        assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""),
                         tags == 63 ? CACHE_HIT : CACHE_LEAD);
        scene_close(&s);
    }
}

/* What a 304 brings for its asker alone reaches nobody who waited with it. */
static void test_304_that_is_private(void **state)
{
    static const struct {
        const char *why, *request, *fields;
        int64_t after_s;
        enum cache_verdict next;
    } cases[] = {
        {"a cookie", "", FRESH "\nset-cookie: id=1", 61, CACHE_LEAD},
        {"private", "", "cache-control: private", 61, CACHE_LEAD},
        {"a cookie, while it is fresh", "cache-control: no-cache", FRESH "\nset-cookie: id=1",
         1, CACHE_HIT},
        {"of an authorized request", "authorization: a\ncache-control: no-cache", FRESH, 1,
         CACHE_HIT},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct scene s;
        scene_open(&s, NULL, 8 * MB);
        scene_store(&s, "/x", "", STALE_ETAG, "body");
        s.now_s += cases[i].after_s;
        struct client *lead = client_ask(&s, HTTP_GET, "/x", cases[i].request);
        struct client *wait = client_ask(&s, HTTP_GET, "/x", "cache-control: no-cache");
        assert_int_equal(lead->answer.verdict, CACHE_LEAD);
        assert_int_equal(wait->answer.verdict, CACHE_JOIN);
        client_open(lead);
        client_open(wait);
        client_fetch(lead);
        assert_int_equal(client_respond(lead, 304, cases[i].fields, 0), CACHE_TAKE_DONE);
        client_fetched(lead);
        assert_int_equal(memory_reader_head(&lead->reader), MEMORY_HEAD_READY);
        if (lead->reader.object->stored)
            fail_msg("%s: said to be stored", cases[i].why);
        ASSERT_READS(lead, "body");
        enum memory_head head = memory_reader_head(&wait->reader);
        enum cache_verdict next = scene_verdict(&s, HTTP_GET, "/x", "");
        if (head != MEMORY_HEAD_ALONE || next != cases[i].next)
            fail_msg("%s: waiter %d, next %d", cases[i].why, head, next);
        client_destroy(lead);
        client_destroy(wait);
        scene_close(&s);
    }
}

/* A request that is made to be refused serves itself alone; what others get stays. */
static void test_refused_answers_leave_the_object(void **state)
{
    static const struct {
        const char *why, *request, *response;
        unsigned status;
        int64_t after_s;
        enum cache_verdict next;
    } cases[] = {
        {"400", "cache-control: no-cache", "", 400, 1, CACHE_HIT},
        {"400 with a lifetime", "cache-control: no-cache", FRESH, 400, 1, CACHE_HIT},
        {"404, private", "cache-control: max-age=0", "cache-control: private", 404, 1,
         CACHE_HIT},
        {"a cookie", "cache-control: no-cache", FRESH "\nset-cookie: a=1", 200, 1, CACHE_HIT},
        {"a redirect", "cache-control: no-cache", "cache-control: no-store", 302, 1, CACHE_HIT},
        {"authorized", "authorization: a\ncache-control: no-cache", FRESH, 200, 1, CACHE_HIT},
        {"authorized, stale", "authorization: a", FRESH, 200, 61, CACHE_LEAD},
        {"authorized, refused", "authorization: a", "cache-control: no-store", 401, 61,
         CACHE_LEAD},
        {"stale, and private now", "", "cache-control: private", 200, 61, CACHE_PASS},
        {"stale, and elsewhere now", "", "cache-control: no-store", 302, 61, CACHE_PASS},
        {"a new one", "cache-control: no-cache", FRESH, 200, 1, CACHE_HIT},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct scene s;
        scene_open(&s, NULL, 8 * MB);
        scene_store(&s, "/x", "", STALE_ETAG, "body");
        s.now_s += cases[i].after_s;
        struct client *lead = client_ask(&s, HTTP_GET, "/x", cases[i].request);
        assert_int_equal(lead->answer.verdict, CACHE_LEAD);
        client_open(lead);
        client_fetch(lead);
        client_respond_all(lead, cases[i].status, cases[i].response, "other");
        ASSERT_READS(lead, "other");
        struct client *next = client_ask(&s, HTTP_GET, "/x", "");
        bool replaced = i + 1 == ARRAY_LEN(cases);
        if (next->answer.verdict != cases[i].next ||
            (next->answer.verdict == CACHE_LEAD && !next->answer.object))
            fail_msg("%s: next %d", cases[i].why, next->answer.verdict);
        if (next->answer.verdict == CACHE_HIT) {
            client_open(next);
            ASSERT_READS(next, replaced ? "other" : "body");
        }
        client_destroy(next);
        client_destroy(lead);
        scene_close(&s);
    }
}

static void test_304_that_speaks_of_another(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    scene_store(&s, "/x", "", STALE_ETAG, "body");
    s.now_s += 61;
    struct client *lead = client_ask(&s, HTTP_GET, "/x", "");
    client_open(lead);
    client_fetch(lead);
    client_respond(lead, 304, "etag: \"2\"", 0);
    client_fetched(lead);
    assert_int_equal(memory_reader_head(&lead->reader), MEMORY_HEAD_AGAIN);
    client_close_reader(lead);
    cache_answer_fini(&lead->answer);
    client_lookup(lead);
    assert_int_equal(lead->answer.verdict, CACHE_LEAD);
    assert_null(lead->answer.object);
    client_destroy(lead);
    scene_close(&s);
}

static const struct {
    const char *why, *response;
    int64_t stale_s;
    int64_t grace_s;
    unsigned status; /* 0: the fetch fails */
    enum memory_head head;
    bool purged; /* softly */
} error_rows[] = {
    {"no window", STALE_ETAG, 1, 0, 503, MEMORY_HEAD_READY, false},
    {"no window, failure", STALE_ETAG, 1, 0, 0, MEMORY_HEAD_FAILED, false},
    {"window", "cache-control: max-age=60, stale-if-error=10", 10, 0, 503, MEMORY_HEAD_STALE,
     false},
    {"window, failure", "cache-control: max-age=60, stale-if-error=10", 10, 0, 0,
     MEMORY_HEAD_STALE, false},
    {"after the window", "cache-control: max-age=60, stale-if-error=10", 11, 0, 0,
     MEMORY_HEAD_FAILED, false},
    {"grace", STALE_ETAG, 20, 30, 500, MEMORY_HEAD_STALE, false},
    {"grace is over", STALE_ETAG, 31, 30, 500, MEMORY_HEAD_READY, false},
    {"must-revalidate", "cache-control: max-age=60, must-revalidate\netag: \"1\"", 1, 30, 502,
     MEMORY_HEAD_READY, false},
    {"purged, and nobody allows stale", STALE_ETAG, -30, 0, 0, MEMORY_HEAD_FAILED, true},
    {"purged, the origin allows it", "xkey: t\ncache-control: max-age=60, stale-if-error=10",
     -30, 0, 0, MEMORY_HEAD_STALE, true},
    {"purged, the site allows it", STALE_ETAG, -30, 30, 0, MEMORY_HEAD_STALE, true},
    {"501 is an answer", "cache-control: max-age=60, stale-if-error=10", 1, 0, 501,
     MEMORY_HEAD_READY, false},
};

static void test_stale_if_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(error_rows); i++) {
        struct scene s;
        scene_open(&s, NULL, 8 * MB);
        s.route.ttl.grace_s = error_rows[i].grace_s;
        scene_store(&s, "/x", "", error_rows[i].response, "body");
        s.now_s += 60 + error_rows[i].stale_s;
        if (error_rows[i].purged)
            scene_purge(&s, PURGE_TAG, PURGE_SOFT, "t");
        struct client *lead = client_ask(&s, HTTP_GET, "/x", "");
        client_open(lead);
        client_fetch(lead);
        if (error_rows[i].status) {
            client_respond_all(lead, error_rows[i].status, "", "oops");
        } else {
            cache_intake_fail(&lead->intake, CACHE_FAILURE_TIMEOUT, s.now_s);
            client_fetched(lead);
        }
        enum memory_head head = memory_reader_head(&lead->reader);
        if (head != error_rows[i].head)
            fail_msg("%s: %d", error_rows[i].why, head);
        if (head == MEMORY_HEAD_STALE)
            ASSERT_READS(lead, "body");
        if (head == MEMORY_HEAD_FAILED)
            assert_int_equal(memory_reader_failure(&lead->reader), CACHE_FAILURE_TIMEOUT);
        /* The stored one is there for the next, unless the origin said something else. */
        struct client *next = client_ask(&s, HTTP_GET, "/x", "");
        if (!next->answer.object && error_rows[i].status != 501)
            fail_msg("%s: let go", error_rows[i].why);
        client_destroy(next);
        client_destroy(lead);
        scene_close(&s);
    }
}

/* Born stale: whoever came before gets it, nobody joins, hard is not kept, soft is kept stale.
 */
static void test_purge_during_the_fill(void **state)
{
    (void)state;
    for (int when = 0; when < 2; when++)
        for (int mode = PURGE_HARD; mode <= PURGE_SOFT; mode++) {
            struct scene s;
            scene_open(&s, NULL, 8 * MB);
            struct client *lead = client_ask(&s, HTTP_GET, "/x", "");
            struct client *wait = client_ask(&s, HTTP_GET, "/x", "");
            client_open(lead);
            client_open(wait);
            client_fetch(lead);
            if (when == 0)
                scene_purge(&s, PURGE_TAG, (enum purge_mode)mode, "t");
            client_respond(lead, 200, STALE_ETAG, 4);
            client_body(lead, "bo");
            if (when == 1)
                scene_purge(&s, PURGE_TAG, (enum purge_mode)mode, "t");
            client_body(lead, "dy");
            cache_intake_end(&lead->intake, NULL);
            client_fetched(lead);
            ASSERT_READS(lead, "body");
            /* Those who wait when the head comes may have come after the purge. */
            assert_int_equal(memory_reader_head(&wait->reader),
                             when ? MEMORY_HEAD_READY : MEMORY_HEAD_AGAIN);
            struct client *next = client_ask(&s, HTTP_GET, "/x", "");
            assert_int_equal(next->answer.verdict, CACHE_LEAD);
            assert_int_equal(next->answer.object != NULL, mode == PURGE_SOFT);
            client_destroy(next);
            client_destroy(lead);
            client_destroy(wait);
            scene_close(&s);
        }
}

/* A purge between lookup and sending takes the validators, too. */
/* Ahead of its number: a fetch that was sent before is not joined, and leaves nothing. */
static void test_purge_ahead(void **state)
{
    (void)state;
    struct scene s;
    struct arena a;
    struct purge p = {.kind = PURGE_URL, .mode = PURGE_HARD, .selector = SPAN("http://h.x/x")};
    scene_open(&s, NULL, 8 * MB);
    arena_init(&a, 1 << 16);
    scene_store(&s, "/x", "", FRESH, "body");
    scene_store(&s, "/y", "", FRESH, "body");
    cache_purge_ahead(s.cache, &p, &s.conf, &a);
    struct client *lead = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(lead->answer.verdict, CACHE_LEAD);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/y", ""), CACHE_HIT);
    client_open(lead);
    client_fetch(lead);
    cache_purge_ahead(s.cache, &p, &s.conf, &a);
    client_respond_all(lead, 200, FRESH, "old");
    client_destroy(lead);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_LEAD);
    /* Its number comes later, and does the same. */
    scene_purge(&s, PURGE_URL, PURGE_HARD, "http://h.x/y");
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/y", ""), CACHE_LEAD);
    arena_fini(&a);
    scene_close(&s);
}

static void test_hard_purge_takes_validators(void **state)
{
    (void)state;
    for (int sent = 0; sent < 2; sent++) {
        struct scene s;
        scene_open(&s, NULL, 8 * MB);
        scene_store(&s, "/x", "", STALE_ETAG, "body");
        s.now_s += 61;
        struct client *lead = client_ask(&s, HTTP_GET, "/x", "");
        client_open(lead);
        assert_non_null(lead->answer.object);
        if (!sent)
            scene_purge(&s, PURGE_TAG, PURGE_HARD, "t");
        client_fetch(lead);
        assert_int_equal(lead->intake.validating != NULL, sent);
        if (sent) {
            scene_purge(&s, PURGE_TAG, PURGE_HARD, "t");
            client_respond(lead, 304, "etag: \"1\"", 0);
            client_fetched(lead);
            assert_int_equal(memory_reader_head(&lead->reader), MEMORY_HEAD_AGAIN);
            assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_LEAD);
        }
        client_destroy(lead);
        scene_close(&s);
    }
}

static const struct {
    const char *why;
    int64_t declared;
    const char *body;
    bool fails; /* the fetch, in the middle */
    enum err end;
    enum cache_verdict next;
} length_rows[] = {
    {"as declared", 4, "body", false, ERR_CLOSED, CACHE_HIT},
    {"shorter", 5, "body", false, ERR_SYS, CACHE_LEAD},
    {"longer", 3, "body", false, ERR_SYS, CACHE_LEAD},
    {"unknown", -1, "body", false, ERR_CLOSED, CACHE_HIT},
    {"unknown, ends badly", -1, "body", true, ERR_SYS, CACHE_LEAD},
    {"declared, ends badly", 4, "bod", true, ERR_SYS, CACHE_LEAD},
    {"empty", 0, "", false, ERR_CLOSED, CACHE_HIT},
    {"unknown and empty", -1, "", false, ERR_CLOSED, CACHE_HIT},
};

static void test_lengths(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(length_rows); i++) {
        struct scene s;
        scene_open(&s, NULL, 8 * MB);
        struct client *lead = client_ask(&s, HTTP_GET, "/x", "");
        client_open(lead);
        client_fetch(lead);
        client_respond(lead, 200, FRESH, length_rows[i].declared);
        enum err e = cache_intake_body(&lead->intake, span_text(length_rows[i].body));
        if (e != (length_rows[i].declared == 3 ? ERR_CLOSED : ERR_OK))
            fail_msg("%s: %s", length_rows[i].why, err_text(e));
        if (length_rows[i].fails)
            cache_intake_fail(&lead->intake, CACHE_FAILURE_INCOMPLETE, s.now_s);
        else
            cache_intake_end(&lead->intake, NULL);
        client_fetched(lead);
        enum err end;
        (void)client_read(lead, &end);
        if (end != length_rows[i].end ||
            scene_verdict(&s, HTTP_GET, "/x", "") != length_rows[i].next)
            fail_msg("%s: %s", length_rows[i].why, err_text(end));
        client_destroy(lead);
        scene_close(&s);
    }
}

static void test_unsafe_methods_invalidate(void **state)
{
    static const struct {
        const char *why;
        enum http_method method;
        unsigned status;
        bool gone;
    } cases[] = {{"POST", HTTP_POST, 200, true},
                 {"PUT, 3xx", HTTP_PUT, 303, true},
                 {"POST, refused", HTTP_POST, 403, false},
                 {"POST, failed", HTTP_POST, 500, false},
                 {"OPTIONS is safe", HTTP_OPTIONS, 200, false}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct scene s;
        scene_open(&s, NULL, 8 * MB);
        scene_store(&s, "/x", "", FRESH, "body");
        struct client *post = client_ask(&s, cases[i].method, "/x", "");
        assert_int_equal(post->answer.verdict, CACHE_PASS);
        client_open(post);
        client_fetch(post);
        client_respond_all(post, cases[i].status, "", "done");
        ASSERT_READS(post, "done");
        if ((scene_verdict(&s, HTTP_GET, "/x", "") == CACHE_LEAD) != cases[i].gone)
            fail_msg("%s", cases[i].why);
        client_destroy(post);
        /* What is fetched after it is kept as ever. */
        if (cases[i].gone)
            scene_store(&s, "/x", "", FRESH, "new");
        assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_HIT);
        scene_close(&s);
    }
}

static void test_head_updates_or_outdates(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    scene_store(&s, "/x", "", STALE_ETAG, "body");
    s.now_s += 61;
    struct client *head = client_ask(&s, HTTP_HEAD, "/x", "");
    assert_int_equal(head->answer.verdict, CACHE_PASS);
    client_open(head);
    client_fetch(head);
    client_respond(head, 200, FRESH "\netag: \"1\"\nfoo: new", 4);
    cache_intake_end(&head->intake, NULL);
    client_fetched(head);
    assert_int_equal(memory_reader_head(&head->reader), MEMORY_HEAD_READY);
    assert_int_equal(head->reader.object->body_bytes, 4);
    ASSERT_READS(head, "");
    client_destroy(head);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_HIT);
    s.now_s += 61;
    head = client_ask(&s, HTTP_HEAD, "/x", "");
    client_open(head);
    client_fetch(head);
    client_respond(head, 200, FRESH "\netag: \"2\"", 4);
    cache_intake_end(&head->intake, NULL);
    client_destroy(head);
    struct client *get = client_ask(&s, HTTP_GET, "/x", "cache-control: max-stale");
    assert_int_equal(get->answer.verdict, CACHE_LEAD);
    client_destroy(get);
    scene_close(&s);
}

static void test_interim_and_trailers(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    struct client *lead = client_ask(&s, HTTP_GET, "/x", "");
    client_open(lead);
    client_fetch(lead);
    assert_null(memory_reader_interim(&lead->reader));
    struct http_response hint = {
        .status = 103, .fields = lines(&lead->arena, "surrogate-key: a\nlink: a\nxkey: b")};
    assert_int_equal(memory_reader_head(&lead->reader), MEMORY_HEAD_WAIT);
    cache_intake_interim(&lead->intake, &hint);
    turn(&s);
    assert_int_equal(lead->woken, 1);
    const struct http_response *got = memory_reader_interim(&lead->reader);
    assert_non_null(got);
    assert_int_equal(got->status, 103);
    assert_int_equal(got->fields.count, 1); /* tags are for caches alone */
    assert_true(span_equal(got->fields.at[0].name, SPAN("link")));
    assert_null(memory_reader_interim(&lead->reader));
    client_respond(lead, 200, FRESH, -1);
    client_body(lead, "x");
    struct http_fields trailers = lines(&lead->arena, "xkey: 1\nsum: 1\nsurrogate-key: g");
    cache_intake_end(&lead->intake, &trailers);
    ASSERT_READS(lead, "x");
    const struct http_fields *sent = memory_reader_trailers(&lead->reader);
    assert_true(sent && sent->count == 1 && span_equal(sent->at[0].name, SPAN("sum")));
    client_destroy(lead);
    scene_close(&s);
}

static void test_nobody_wants_it(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    struct client *lead = client_ask(&s, HTTP_GET, "/x", "");
    client_open(lead);
    client_fetch(lead);
    assert_true(cache_intake_wanted(&lead->intake));
    client_close_reader(lead);
    turn(&s);
    assert_int_equal(lead->room, 1);
    assert_false(cache_intake_wanted(&lead->intake));
    client_fetched(lead);
    cache_answer_fini(&lead->answer);
    client_lookup(lead);
    client_open(lead);
    client_fetch(lead);
    client_respond(lead, 200, FRESH, 4);
    client_close_reader(lead);
    assert_true(cache_intake_wanted(&lead->intake)); /* small: worth finishing */
    client_body(lead, "body");
    cache_intake_end(&lead->intake, NULL);
    client_destroy(lead);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_HIT);
    scene_close(&s);
}

/* It is given up the moment nobody reads, and a request comes in between. */
static void test_who_joins_as_it_is_given_up_looks_again(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    struct client *lead = client_ask(&s, HTTP_GET, "/x", "");
    client_open(lead);
    client_fetch(lead);
    assert_int_equal(client_respond(lead, 200, FRESH, 4 * MB), CACHE_TAKE_BODY);
    client_body(lead, "begin");
    struct client *early = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(early->answer.verdict, CACHE_JOIN); /* it is about to open its reader */
    client_close_reader(lead);
    assert_false(cache_intake_wanted(&lead->intake));
    client_open(early);
    assert_int_equal(memory_reader_head(&early->reader), MEMORY_HEAD_AGAIN);
    struct client *late = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(late->answer.verdict, CACHE_LEAD);
    cache_intake_fail(&lead->intake, CACHE_FAILURE_CANCELLED, s.now_s);
    client_open(late);
    client_fetch(late);
    client_respond_all(late, 200, FRESH, "body");
    ASSERT_READS(late, "body");
    client_close_reader(early);
    cache_answer_fini(&early->answer);
    client_lookup(early);
    client_open(early);
    assert_int_equal(memory_reader_head(&early->reader), MEMORY_HEAD_READY);
    ASSERT_READS(early, "body");
    client_destroy(lead);
    client_destroy(early);
    client_destroy(late);
    scene_close(&s);
}

/* A refresh behind a stale answer that brings what nobody may share: no reader will come. */
static void test_nobody_wants_a_private_refresh(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    scene_store(&s, "/x", "", "cache-control: max-age=60, stale-while-revalidate=60", "body");
    s.now_s += 61;
    struct client *c = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(c->answer.verdict, CACHE_STALE);
    client_open(c);
    client_fetch(c);
    client_close_reader(c);
    assert_true(cache_intake_wanted(&c->intake)); /* it may be a fresh one for all */
    assert_int_equal(client_respond(c, 200, "cache-control: private", 400000), CACHE_TAKE_BODY);
    assert_false(cache_intake_wanted(&c->intake));
    assert_int_equal(cache_intake_body(&c->intake, SPAN("bo")), ERR_CLOSED);
    client_destroy(c);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stored_and_hit),
        cmocka_unit_test(test_readers_stream_while_it_arrives),
        cmocka_unit_test(test_sharing),
        cmocka_unit_test(test_not_shareable_by_request_is_not_remembered),
        cmocka_unit_test(test_vary),
        cmocka_unit_test(test_variants_are_capped),
        cmocka_unit_test(test_304),
        cmocka_unit_test(test_304_with_many_tags),
        cmocka_unit_test(test_304_that_is_private),
        cmocka_unit_test(test_refused_answers_leave_the_object),
        cmocka_unit_test(test_304_that_speaks_of_another),
        cmocka_unit_test(test_stale_if_error),
        cmocka_unit_test(test_purge_during_the_fill),
        cmocka_unit_test(test_purge_ahead),
        cmocka_unit_test(test_hard_purge_takes_validators),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_unsafe_methods_invalidate),
        cmocka_unit_test(test_head_updates_or_outdates),
        cmocka_unit_test(test_interim_and_trailers),
        cmocka_unit_test(test_nobody_wants_it),
        cmocka_unit_test(test_who_joins_as_it_is_given_up_looks_again),
        cmocka_unit_test(test_nobody_wants_a_private_refresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
