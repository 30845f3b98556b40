/* While this node may not know all purges: what it stored before is validated first. */
#include <limits.h>
#include <sys/stat.h>

#include "tests/unit/cache/scene.h"

#define MB (UINT64_C(1) << 20)
#define FRESH "cache-control: max-age=60\netag: \"1\""

static struct client *led(struct scene *s, const char *target)
{
    struct client *c = client_ask(s, HTTP_GET, target, "");
    assert_int_equal(c->answer.verdict, CACHE_LEAD);
    client_open(c);
    client_fetch(c);
    return c;
}

static void test_on_and_off(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    scene_store(&s, "/old", "", FRESH, "body");
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/old", ""), CACHE_HIT); /* fills the memo */
    cache_set_caution(s.cache, true);
    struct client *c = client_ask(&s, HTTP_GET, "/old", "");
    assert_int_equal(c->answer.verdict, CACHE_LEAD);
    assert_int_equal(c->answer.forward, CACHE_FORWARD_STALE);
    assert_non_null(c->answer.object); /* its validators count */
    client_destroy(c);
    scene_store(&s, "/new", "", FRESH, "body");
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/new", ""), CACHE_HIT);
    cache_set_caution(s.cache, false);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/old", ""), CACHE_HIT);
    cache_set_caution(s.cache, true); /* again: what came meanwhile, too */
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/new", ""), CACHE_LEAD);
    cache_set_caution(s.cache, false);
    scene_purge(&s, PURGE_URL, PURGE_HARD, "http://h.x/old");
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/old", ""), CACHE_LEAD);
    scene_close(&s);
}

static void test_validated_is_fresh(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    scene_store(&s, "/x", "", FRESH, "body");
    cache_set_caution(s.cache, true);
    struct client *c = led(&s, "/x");
    assert_int_equal(client_respond(c, 304, FRESH, 0), CACHE_TAKE_DONE);
    client_fetched(c);
    assert_int_equal(memory_reader_head(&c->reader), MEMORY_HEAD_READY);
    ASSERT_READS(c, "body");
    client_destroy(c);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_HIT);
    cache_set_caution(s.cache, false);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_HIT);
    scene_close(&s);
}

/* A fetch that was sent before brings what is from before: nobody who comes now joins it. One
 * that was begun and not sent is sent after. */
static void test_joins(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    struct client *early = led(&s, "/x");
    struct client *waits = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(waits->answer.verdict, CACHE_JOIN);
    client_open(waits);
    struct client *unsent = client_ask(&s, HTTP_GET, "/y", "");
    client_open(unsent);
    cache_set_caution(s.cache, true);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/y", ""), CACHE_JOIN);
    struct client *late = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(late->answer.verdict, CACHE_LEAD);
    client_respond_all(early, 200, FRESH, "old");
    ASSERT_READS(early, "old");
    assert_int_equal(memory_reader_head(&waits->reader), MEMORY_HEAD_READY);
    ASSERT_READS(waits, "old"); /* it asked before */
    client_open(late);
    client_fetch(late);
    client_respond_all(late, 200, FRESH, "new");
    ASSERT_READS(late, "new");
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_HIT);
    client_destroy(early);
    client_destroy(waits);
    client_destroy(unsent);
    client_destroy(late);
    scene_close(&s);
}

static const struct {
    const char *why, *stored;
    int64_t grace_s;
    unsigned status;
    enum memory_head head;
    enum cache_verdict then; /* when the caution has ended */
} failures[] = {
    {"an error, stale is not allowed", FRESH, 0, 502, MEMORY_HEAD_READY, CACHE_HIT},
    {"an error, stale is allowed", FRESH, 600, 502, MEMORY_HEAD_STALE, CACHE_HIT},
    {"it is gone: the doubted one does not come back", FRESH, 0, 404, MEMORY_HEAD_READY,
     CACHE_LEAD},
};

static void test_failures(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
        struct scene s;
        scene_open(&s, NULL, 8 * MB);
        s.route.ttl.grace_s = failures[i].grace_s;
        scene_store(&s, "/x", "", failures[i].stored, "body");
        cache_set_caution(s.cache, true);
        struct client *c = led(&s, "/x");
        client_respond_all(c, failures[i].status, "cache-control: no-store", "none");
        if (memory_reader_head(&c->reader) != failures[i].head)
            fail_msg("%s: head %d", failures[i].why, memory_reader_head(&c->reader));
        client_destroy(c);
        cache_set_caution(s.cache, false);
        enum cache_verdict then = scene_verdict(&s, HTTP_GET, "/x", "");
        if (then != failures[i].then && !(then == CACHE_PASS && failures[i].then == CACHE_LEAD))
            fail_msg("%s: then %d", failures[i].why, then);
        scene_close(&s);
    }
}

/* What lies on disk comes into RAM as it was, and is validated there. */
static void test_loads(void **state)
{
    (void)state;
    char folder[] = "/tmp/perigee-caution-XXXXXX", command[PATH_MAX];
    struct scene s;
    assert_non_null(mkdtemp(folder));
    scene_open(&s, folder, 8 * MB);
    struct cache_figures f;
    SCENE_UNTIL(&s, (cache_figures(s.cache, &f), !f.scanning));
    scene_store(&s, "/x", "", FRESH, "body");
    SCENE_UNTIL(&s, (cache_figures(s.cache, &f), f.queue_bytes == 0));
    cache_close(s.cache);
    turn(&s);
    scene_open_again(&s);
    cache_tick(s.cache, 1000, NOW);
    cache_set_caution(s.cache, true);
    struct client *c = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(c->answer.verdict, CACHE_JOIN);
    client_open(c);
    SCENE_UNTIL(&s, memory_reader_head(&c->reader) != MEMORY_HEAD_WAIT);
    assert_int_equal(memory_reader_head(&c->reader), MEMORY_HEAD_AGAIN);
    client_destroy(c);
    c = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(c->answer.verdict, CACHE_LEAD);
    assert_non_null(c->answer.object);
    client_destroy(c);
    cache_set_caution(s.cache, false);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_HIT);
    scene_close(&s);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_and_off), cmocka_unit_test(test_validated_is_fresh),
        cmocka_unit_test(test_joins),      cmocka_unit_test(test_failures),
        cmocka_unit_test(test_loads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
