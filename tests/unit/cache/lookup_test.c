#include "tests/unit/cache/scene.h"

#define MB (UINT64_C(1) << 20)

static const struct {
    const char *why;
    const char *response; /* stored at NOW; NULL: nothing is */
    enum http_method method;
    const char *request;
    int64_t after_s;
    int purge; /* enum purge_mode of the url, 0: none */
    enum cache_verdict verdict;
    enum cache_forward forward;
    bool object, fill;
} rows[] = {
    {"nothing", NULL, HTTP_GET, "", 0, 0, CACHE_LEAD, CACHE_FORWARD_URI_MISS, false, true},
    {"nothing, HEAD: fetched with GET", NULL, HTTP_HEAD, "", 0, 0, CACHE_LEAD,
     CACHE_FORWARD_URI_MISS, false, true},
    {"POST", "cache-control: max-age=60", HTTP_POST, "", 0, 0, CACHE_PASS, CACHE_FORWARD_METHOD,
     false, true},
    {"POST, only-if-cached does not stop it", NULL, HTTP_POST, "cache-control: only-if-cached",
     0, 0, CACHE_PASS, CACHE_FORWARD_METHOD, false, true},
    {"fresh", "cache-control: max-age=60", HTTP_GET, "", 59, 0, CACHE_HIT, CACHE_FORWARD_NONE,
     true, false},
    {"fresh, HEAD", "cache-control: max-age=60", HTTP_HEAD, "", 59, 0, CACHE_HIT,
     CACHE_FORWARD_NONE, true, false},
    {"fresh, range and conditionals", "cache-control: max-age=60", HTTP_GET,
     "range: bytes=0-1\nif-none-match: \"x\"", 1, 0, CACHE_HIT, CACHE_FORWARD_NONE, true,
     false},
    {"stale", "cache-control: max-age=60\netag: \"1\"", HTTP_GET, "", 60, 0, CACHE_LEAD,
     CACHE_FORWARD_STALE, true, true},
    {"stale, HEAD", "cache-control: max-age=60\netag: \"1\"", HTTP_HEAD, "", 60, 0, CACHE_PASS,
     CACHE_FORWARD_STALE, false, true},
    {"stale in its window", "cache-control: max-age=60, stale-while-revalidate=10", HTTP_GET,
     "", 65, 0, CACHE_STALE, CACHE_FORWARD_STALE, true, true},
    {"stale in its window, HEAD fetches nothing",
     "cache-control: max-age=60, stale-while-revalidate=10", HTTP_HEAD, "", 65, 0, CACHE_STALE,
     CACHE_FORWARD_STALE, true, false},
    {"stale after its window", "cache-control: max-age=60, stale-while-revalidate=10", HTTP_GET,
     "", 71, 0, CACHE_LEAD, CACHE_FORWARD_STALE, true, true},
    {"client wants it new", "cache-control: max-age=60", HTTP_GET, "cache-control: no-cache", 1,
     0, CACHE_LEAD, CACHE_FORWARD_REQUEST, true, true},
    {"client wants it young", "cache-control: max-age=60", HTTP_GET, "cache-control: max-age=5",
     6, 0, CACHE_LEAD, CACHE_FORWARD_REQUEST, true, true},
    {"client takes it stale", "cache-control: max-age=60", HTTP_GET,
     "cache-control: max-stale=100", 100, 0, CACHE_HIT, CACHE_FORWARD_NONE, true, false},
    {"only-if-cached, fresh", "cache-control: max-age=60", HTTP_GET,
     "cache-control: only-if-cached", 1, 0, CACHE_HIT, CACHE_FORWARD_NONE, true, false},
    {"only-if-cached, stale", "cache-control: max-age=60", HTTP_GET,
     "cache-control: only-if-cached", 61, 0, CACHE_UNAVAILABLE, CACHE_FORWARD_NONE, false,
     false},
    {"only-if-cached, nothing", NULL, HTTP_GET, "cache-control: only-if-cached", 0, 0,
     CACHE_UNAVAILABLE, CACHE_FORWARD_NONE, false, false},
    {"only-if-cached, stale in its window",
     "cache-control: max-age=60, stale-while-revalidate=10", HTTP_GET,
     "cache-control: only-if-cached", 65, 0, CACHE_STALE, CACHE_FORWARD_STALE, true, false},
    {"no-store of the request leaves nothing behind", NULL, HTTP_GET, "cache-control: no-store",
     0, 0, CACHE_PASS, CACHE_FORWARD_URI_MISS, false, true},
    {"no-cache of the response", "cache-control: no-cache\netag: \"1\"", HTTP_GET, "", 1, 0,
     CACHE_LEAD, CACHE_FORWARD_STALE, true, true},
    {"hard purge", "cache-control: max-age=60", HTTP_GET, "", 1, PURGE_HARD, CACHE_LEAD,
     CACHE_FORWARD_URI_MISS, false, true},
    {"hard purge in the stale window", "cache-control: max-age=60, stale-while-revalidate=10",
     HTTP_GET, "", 65, PURGE_HARD, CACHE_LEAD, CACHE_FORWARD_URI_MISS, false, true},
    {"soft purge", "cache-control: max-age=60\netag: \"1\"", HTTP_GET, "", 1, PURGE_SOFT,
     CACHE_LEAD, CACHE_FORWARD_STALE, true, true},
    {"soft purge, stale allowed", "cache-control: max-age=60, stale-while-revalidate=10",
     HTTP_GET, "", 1, PURGE_SOFT, CACHE_STALE, CACHE_FORWARD_STALE, true, true},
    {"soft purge outranks max-stale", "cache-control: max-age=60\netag: \"1\"", HTTP_GET,
     "cache-control: max-stale", 1, PURGE_SOFT, CACHE_LEAD, CACHE_FORWARD_STALE, true, true},
};

static void test_verdicts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scene s;
        scene_open(&s, NULL, 8 * MB);
        if (rows[i].response)
            scene_store(&s, "/x", "", rows[i].response, "body");
        s.now_s += rows[i].after_s;
        if (rows[i].purge)
            scene_purge(&s, PURGE_URL, (enum purge_mode)rows[i].purge, "http://h.x/x");
        struct client *c = client_ask(&s, rows[i].method, "/x", rows[i].request);
        if (c->answer.verdict != rows[i].verdict || c->answer.forward != rows[i].forward ||
            !c->answer.object != !rows[i].object || !c->answer.fill != !rows[i].fill)
            fail_msg("%s: verdict %d forward %d object %d fill %d", rows[i].why,
                     c->answer.verdict, c->answer.forward, c->answer.object != NULL,
                     c->answer.fill != NULL);
        if (c->answer.object && c->answer.age_s != rows[i].after_s)
            fail_msg("%s: age %d", rows[i].why, (int)c->answer.age_s);
        client_destroy(c);
        scene_close(&s);
    }
}

static void test_by_route_and_ask(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    scene_store(&s, "/x", "", "cache-control: max-age=60", "body");
    s.route.cache = false;
    struct client *c = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(c->answer.verdict, CACHE_PASS);
    assert_int_equal(c->answer.forward, CACHE_FORWARD_BYPASS);
    cache_answer_fini(&c->answer);
    s.route.cache = true;
    c->ask.alone = true;
    client_lookup(c);
    assert_int_equal(c->answer.verdict, CACHE_PASS);
    cache_answer_fini(&c->answer);
    c->ask.alone = false;
    c->request.body_bytes = 3; /* a fat GET */
    client_lookup(c);
    assert_int_equal(c->answer.forward, CACHE_FORWARD_BYPASS);
    client_destroy(c);
    scene_close(&s);
}

static void test_join_and_abandoned_lead(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    struct client *lead = client_ask(&s, HTTP_GET, "/x", "");
    struct client *wait = client_ask(&s, HTTP_GET, "/x", "");
    struct client *head = client_ask(&s, HTTP_HEAD, "/x", "");
    struct client *only = client_ask(&s, HTTP_GET, "/x", "cache-control: only-if-cached");
    assert_int_equal(lead->answer.verdict, CACHE_LEAD);
    assert_int_equal(wait->answer.verdict, CACHE_JOIN);
    assert_int_equal(head->answer.verdict, CACHE_JOIN);
    assert_int_equal(only->answer.verdict, CACHE_UNAVAILABLE);
    client_open(wait);
    assert_int_equal(memory_reader_head(&wait->reader), MEMORY_HEAD_WAIT);
    client_destroy(lead); /* never took the fill over */
    turn(&s);
    assert_int_equal(wait->woken, 1);
    assert_int_equal(memory_reader_head(&wait->reader), MEMORY_HEAD_AGAIN);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_LEAD);
    client_destroy(wait);
    client_destroy(head);
    client_destroy(only);
    scene_close(&s);
}

/* A request that comes after a purge must not get bytes asked for before it. */
static void test_join_fence(void **state)
{
    static const struct {
        const char *why;
        enum purge_kind kind;
        const char *selector;
        bool head; /* purged when the head (with its tags) is known */
        bool join;
        bool validates; /* an object that has the tags */
    } cases[] = {
        {"url", PURGE_URL, "http://h.x/x", false, false, false},
        {"other url", PURGE_URL, "http://h.x/y", false, true, false},
        {"host", PURGE_HOST, "h.x", false, false, false},
        {"prefix", PURGE_PREFIX, "http://h.x/", false, false, false},
        {"tag, not known yet: the purge is seen when the head comes", PURGE_TAG, "t", false,
         true, false},
        {"tag of the head", PURGE_TAG, "t", true, false, false},
        {"other tag", PURGE_TAG, "u", true, true, false},
        {"all", PURGE_ALL, "", true, false, false},
        {"tag of what is asked about", PURGE_TAG, "t", false, false, true},
        {"other tag than that", PURGE_TAG, "u", false, true, true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (int mode = PURGE_HARD; mode <= PURGE_SOFT; mode++) {
            struct scene s;
            scene_open(&s, NULL, 8 * MB);
            if (cases[i].validates) {
                scene_store(&s, "/x", "", "cache-control: max-age=60\netag: \"1\"\nxkey: t",
                            "body");
                s.now_s += 61;
            }
            struct client *lead = client_ask(&s, HTTP_GET, "/x", "");
            client_open(lead);
            client_fetch(lead);
            if (cases[i].head)
                client_respond(lead, 200, "cache-control: max-age=60\nxkey: t", 4);
            scene_purge(&s, cases[i].kind, (enum purge_mode)mode, cases[i].selector);
            enum cache_verdict v = scene_verdict(&s, HTTP_GET, "/x", "");
            if ((v == CACHE_JOIN) != cases[i].join)
                fail_msg("%s: %d", cases[i].why, v);
            s.cache->tier.no_join_fence = true; /* the planted fault must be visible */
            if (!cases[i].join && !cases[i].head) {
                struct client *two = client_ask(&s, HTTP_GET, "/x", "");
                client_open(two);
                client_fetch(two);
                scene_purge(&s, cases[i].kind, (enum purge_mode)mode, cases[i].selector);
                assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_JOIN);
                client_destroy(two);
            }
            client_destroy(lead);
            scene_close(&s);
        }
}

static void test_stale_fetches_once(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    scene_store(&s, "/x", "", "cache-control: max-age=60, stale-while-revalidate=10", "old");
    s.now_s += 61;
    struct client *first = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(first->answer.verdict, CACHE_STALE);
    assert_non_null(first->answer.fill);
    client_open(first);
    client_fetch(first);
    struct client *second = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(second->answer.verdict, CACHE_STALE);
    assert_null(second->answer.fill);
    /* A purge after the refresh was sent: another one starts. */
    scene_purge(&s, PURGE_URL, PURGE_SOFT, "http://h.x/x");
    struct client *third = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(third->answer.verdict, CACHE_STALE);
    assert_non_null(third->answer.fill);
    client_open(third);
    client_fetch(third);
    client_respond_all(first, 200, "cache-control: max-age=60", "late"); /* nobody keeps it */
    ASSERT_READS(first, "old");
    client_respond_all(third, 200, "cache-control: max-age=60", "new");
    struct client *hit = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(hit->answer.verdict, CACHE_HIT);
    client_open(hit);
    ASSERT_READS(hit, "new");
    client_destroy(hit);
    client_destroy(first);
    client_destroy(second);
    client_destroy(third);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_by_route_and_ask),
        cmocka_unit_test(test_join_and_abandoned_lead),
        cmocka_unit_test(test_join_fence),
        cmocka_unit_test(test_stale_fetches_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
