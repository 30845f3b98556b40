/* Answers from a peer's cache: those that may be older than a purge known here are refused. */
#include "tests/unit/cache/scene.h"

#define MB (UINT64_C(1) << 20)
#define FRESH "cache-control: max-age=60\netag: \"1\""
#define SITE_PURGE "s"

enum unknown { KNOWS_ALL, KNOWS_OTHER, KNOWS_NOT, KNOWS_NOTHING };

/* Two purges happen, `other` and then the row's; which of them does the peer not know? */
static const struct {
    const char *why;
    enum purge_kind kind;
    const char *selector;
    enum unknown unknown;
    unsigned status;
    const char *response;
    bool taken;
} rows[] = {
    {"knows all", PURGE_URL, "http://h.x/x", KNOWS_ALL, 200, FRESH, true},
    {"url", PURGE_URL, "http://h.x/x", KNOWS_NOT, 200, FRESH, false},
    {"other url", PURGE_URL, "http://h.x/y", KNOWS_NOT, 200, FRESH, true},
    {"path", PURGE_PATH, "/x", KNOWS_NOT, 200, FRESH, false},
    {"other path", PURGE_PATH, "/y", KNOWS_NOT, 200, FRESH, true},
    {"host", PURGE_HOST, "h.x", KNOWS_NOT, 200, FRESH, false},
    {"other host", PURGE_HOST, "i.x", KNOWS_NOT, 200, FRESH, true},
    {"directory", PURGE_PREFIX, "http://h.x/", KNOWS_NOT, 200, FRESH, false},
    {"prefix", PURGE_PREFIX, "http://h.x/x", KNOWS_NOT, 200, FRESH, false},
    {"other prefix", PURGE_PREFIX, "http://h.x/xy", KNOWS_NOT, 200, FRESH, true},
    {"all", PURGE_ALL, "", KNOWS_NOT, 200, FRESH, false},
    {"all, known", PURGE_ALL, "", KNOWS_ALL, 200, FRESH, true},
    {"tag of the answer", PURGE_TAG, "t", KNOWS_NOT, 200, FRESH "\nxkey: u t", false},
    {"tag of another", PURGE_TAG, "t", KNOWS_NOT, 200, FRESH "\nxkey: u v", true},
    {"tag of the answer, known", PURGE_TAG, "t", KNOWS_ALL, 200, FRESH "\nxkey: t", true},
    {"tag in a field that is none here", PURGE_TAG, "t", KNOWS_NOT, 200, FRESH "\ncache-tag: t",
     true},
    {"what is not stored is checked, too", PURGE_TAG, "t", KNOWS_NOT, 200,
     "cache-control: no-store\nxkey: t", false},
    {"only the purge before is unknown, but this one is newer", PURGE_URL, "http://h.x/x",
     KNOWS_OTHER, 200, FRESH, false},
    {"nothing is known", PURGE_URL, "http://h.x/y", KNOWS_NOTHING, 200, FRESH, false},
    {"an error page is an answer", PURGE_URL, "http://h.x/x", KNOWS_NOT, 404, FRESH, false},
    {"304 to nobody's question", PURGE_URL, "http://h.x/y", KNOWS_ALL, 304, FRESH, false},
};

static uint64_t purge(struct scene *s, enum purge_kind kind, enum purge_mode mode,
                      const char *selector)
{
    scene_purge(s, kind, mode, selector);
    return memory_epoch_now(s->cache->tier.epoch);
}

static uint64_t oldest(enum unknown unknown, uint64_t other, uint64_t this)
{
    switch (unknown) {
    case KNOWS_ALL:
        return 0;
    case KNOWS_OTHER:
        return other;
    case KNOWS_NOT:
        return this;
    case KNOWS_NOTHING:
        return UINT64_MAX;
    }
    return 0;
}

/* Another server, after a refusal. */
static void ask_origin(struct client *c)
{
    cache_intake_sent(&c->intake, c->scene->now_s);
    client_respond_all(c, 200, FRESH, "origin");
    ASSERT_READS(c, "origin");
    assert_int_equal(scene_verdict(c->scene, HTTP_GET, "/x", ""), CACHE_HIT);
}

static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int mode = PURGE_HARD; mode <= PURGE_SOFT; mode++) {
            struct scene s;
            scene_open(&s, NULL, 8 * MB);
            uint64_t other = purge(&s, PURGE_URL, PURGE_HARD, "http://h.x/other");
            uint64_t this = purge(&s, rows[i].kind, (enum purge_mode)mode, rows[i].selector);
            struct client *c = client_ask(&s, HTTP_GET, "/x", "");
            client_open(c);
            client_fetch(c);
            cache_intake_from_peer(&c->intake, oldest(rows[i].unknown, other, this));
            bool taken =
                client_respond(c, rows[i].status, rows[i].response, 4) != CACHE_TAKE_REFUSED;
            if (taken != rows[i].taken)
                fail_msg("%s, mode %d: taken %d", rows[i].why, mode, taken);
            if (taken) {
                client_body(c, "peer");
                cache_intake_end(&c->intake, NULL);
                client_fetched(c);
                ASSERT_READS(c, "peer");
            } else {
                assert_int_equal(memory_reader_head(&c->reader), MEMORY_HEAD_WAIT);
                ask_origin(c);
            }
            client_destroy(c);
            scene_close(&s);
        }
}

static void test_purge_of_one_site(void **state)
{
    (void)state;
    struct scene s;
    struct purge p = {.kind = PURGE_ALL, .mode = PURGE_HARD, .site = SPAN(SITE_PURGE)};
    scene_open(&s, NULL, 8 * MB);
    uint64_t no = cache_apply_no_next(s.cache);
    assert_int_equal(cache_purge(s.cache, &p, no, &s.conf), ERR_OK);
    struct client *c = client_ask(&s, HTTP_GET, "/x", "");
    client_open(c);
    client_fetch(c);
    cache_intake_from_peer(&c->intake, no);
    assert_int_equal(client_respond(c, 200, FRESH, 4), CACHE_TAKE_REFUSED);
    cache_intake_from_peer(&c->intake, no + 1);
    assert_int_equal(client_respond(c, 200, FRESH, 4), CACHE_TAKE_BODY);
    client_destroy(c);
    scene_close(&s);
}

static const struct {
    const char *why, *tag; /* purged, and the peer does not know */
    const char *response;
    enum cache_take take;
} validated[] = {
    {"as good as new", NULL, FRESH, CACHE_TAKE_DONE},
    {"another object's tag", "v", FRESH "\nxkey: t", CACHE_TAKE_DONE},
    {"tag of both", "t", FRESH "\nxkey: t", CACHE_TAKE_REFUSED},
    {"tag of the stored one alone", "t", FRESH, CACHE_TAKE_REFUSED},
    {"tag that it has got since", "u", FRESH "\nxkey: u", CACHE_TAKE_REFUSED},
    {"about another object", NULL, "cache-control: max-age=60\netag: \"2\"",
     CACHE_TAKE_REFUSED},
};

/* The purge is soft, or there would be nothing to validate. */
static void test_304(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(validated); i++) {
        struct scene s;
        uint64_t no = 0;
        scene_open(&s, NULL, 8 * MB);
        scene_store(&s, "/x", "", FRESH "\nxkey: t", "body");
        s.now_s += 61;
        if (validated[i].tag)
            no = purge(&s, PURGE_TAG, PURGE_SOFT, validated[i].tag);
        struct client *c = client_ask(&s, HTTP_GET, "/x", "");
        client_open(c);
        client_fetch(c);
        cache_intake_from_peer(&c->intake, no);
        enum cache_take take = client_respond(c, 304, validated[i].response, 0);
        if (take != validated[i].take)
            fail_msg("%s: %d", validated[i].why, take);
        if (take == CACHE_TAKE_REFUSED) { /* the stored object is as it was */
            cache_intake_sent(&c->intake, s.now_s);
            assert_int_equal(client_respond(c, 304, FRESH, 0), CACHE_TAKE_DONE);
        }
        client_fetched(c);
        assert_int_equal(memory_reader_head(&c->reader), MEMORY_HEAD_READY);
        ASSERT_READS(c, "body");
        assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_HIT);
        client_destroy(c);
        scene_close(&s);
    }
}

/* Freshness goes on from where it is at the peer (RFC 9111 4.2.3). */
static void test_age(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    for (int round = 0; round < 2; round++) {
        bool first = round == 0;
        struct client *c = client_ask(&s, HTTP_GET, "/x", "");
        assert_int_equal(c->answer.verdict, CACHE_LEAD);
        client_open(c);
        client_fetch(c);
        cache_intake_from_peer(&c->intake, 0);
        const char *fields = "cache-control: max-age=60\netag: \"1\"\nage: 50";
        if (first) {
            client_respond_all(c, 200, fields, "body");
        } else {
            assert_int_equal(client_respond(c, 304, fields, 0), CACHE_TAKE_DONE);
            client_fetched(c);
        }
        assert_int_equal(memory_reader_head(&c->reader), MEMORY_HEAD_READY);
        ASSERT_READS(c, "body");
        client_destroy(c);
        s.now_s += 9;
        c = client_ask(&s, HTTP_GET, "/x", "");
        assert_int_equal(c->answer.verdict, CACHE_HIT);
        assert_int_equal(c->answer.age_s, 59);
        client_destroy(c);
        s.now_s += 1;
    }
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_LEAD);
    scene_close(&s);
}

/* A purge that comes while the answer is under way. */
static void test_purge_in_flight(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    struct client *c = client_ask(&s, HTTP_GET, "/x", "");
    client_open(c);
    client_fetch(c);
    scene_purge(&s, PURGE_URL, PURGE_HARD, "http://h.x/x");
    cache_intake_from_peer(&c->intake, 0); /* it knows, and may have answered before */
    client_respond_all(c, 200, FRESH, "body");
    client_destroy(c);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_LEAD);
    scene_close(&s);
}

/* Names that no object here needs leave the table; an answer from elsewhere may need them. */
static void test_forgotten_names(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    struct memory_epoch *e = s.cache->tier.epoch;
    uint64_t no = purge(&s, PURGE_URL, PURGE_HARD, "http://h.x/x");
    cache_keep_purges(s.cache, no);
    assert_int_equal(memory_epoch_forget(e, no, memory_epoch_renames(e), false), 0);
    struct client *c = client_ask(&s, HTTP_GET, "/x", "");
    struct client *d = client_ask(&s, HTTP_GET, "/y", "");
    client_open(c);
    client_fetch(c);
    client_open(d);
    client_fetch(d);
    cache_intake_from_peer(&c->intake, no);
    assert_int_equal(client_respond(c, 200, FRESH, 4), CACHE_TAKE_REFUSED);
    cache_keep_purges(s.cache, 0);
    assert_int_equal(memory_epoch_forget(e, no, memory_epoch_renames(e), false), 1);
    assert_int_equal(client_respond(c, 200, FRESH, 4), CACHE_TAKE_REFUSED);
    cache_intake_from_peer(&d->intake, no); /* whatever it was, it may have named this one */
    assert_int_equal(client_respond(d, 200, FRESH, 4), CACHE_TAKE_REFUSED);
    cache_intake_from_peer(&d->intake, no + 1);
    assert_int_equal(client_respond(d, 200, FRESH, 4), CACHE_TAKE_BODY);
    client_destroy(c);
    client_destroy(d);
    scene_close(&s);
}

struct numbered {
    struct scene *scene;
    uint64_t no;
    enum cache_verdict then;
};

static void on_numbered(void *user, uint64_t no)
{
    struct numbered *n = user;
    n->no = no;
    n->then = scene_verdict(n->scene, HTTP_GET, "/x", "");
}

/* The number is told before the purge is in effect. */
static void test_numbered(void **state)
{
    (void)state;
    struct scene s;
    struct purge p = {.kind = PURGE_URL, .mode = PURGE_HARD, .selector = SPAN("http://h.x/x")};
    struct numbered n = {.scene = &s};
    uint64_t no = 0, last;
    scene_open(&s, NULL, 8 * MB);
    scene_store(&s, "/x", "", FRESH, "body");
    assert_int_equal(cache_purge_numbered(s.cache, &p, &s.conf, on_numbered, &n, &no), ERR_OK);
    assert_int_equal(n.then, CACHE_HIT);
    assert_true(n.no == no && no > 0);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_LEAD);
    last = no;
    p.selector = SPAN("no url at all");
    assert_int_equal(cache_purge_numbered(s.cache, &p, &s.conf, on_numbered, &n, &no),
                     ERR_SYNTAX);
    assert_true(n.no == no && no > last);
    assert_true(memory_epoch_now(s.cache->tier.epoch) >= no); /* nothing waits for it */
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_purge_of_one_site),
        cmocka_unit_test(test_304),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_purge_in_flight),
        cmocka_unit_test(test_forgotten_names),
        cmocka_unit_test(test_numbered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
