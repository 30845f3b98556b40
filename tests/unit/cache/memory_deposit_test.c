/* What another node keeps goes to disk at its second use; what happens between the two. */
#include "cache/memory/fill.h"
#include "tests/unit/cache/scene.h"

#define MB (UINT64_C(1) << 20)
#define FRESH "cache-control: max-age=60\netag: \"1\"\nxkey: t"
#define STALE "cache-control: max-age=60, stale-while-revalidate=60\netag: \"1\"\nxkey: t"

static char folder[64];

/* Steps after the object /x came from another node's cache. */
enum step {
    END,
    USE,        /* a hit */
    USE_HEAD,   /* a hit without its body */
    USE_STALE,  /* a minute later, which a second one may be served at once */
    HARD,       /* its tag is purged */
    SOFT,       /* likewise */
    MISS,       /* a look-up that leads, and is given up */
    MERGE,      /* validated: a 304 */
    MERGE_PEER, /* validated by another node's cache */
    ANEW,       /* validated: a 200 from the origin */
    DISK_OFF,   /* as when the disk fails */
    DISK_ON,
};

static const struct {
    const char *why;
    enum step steps[6];
    bool kept; /* by the disk, over a restart */
} rows[] = {
    {"never used", {END}, false},
    {"used", {USE}, true},
    {"used twice: written once", {USE, USE}, true},
    {"HEAD is a use", {USE_HEAD}, true},
    {"stale, while it is validated", {USE_STALE}, true},
    {"purged first", {HARD, MISS}, false},
    {"304: the question is no use", {SOFT, MERGE}, false},
    {"304 of a peer likewise", {SOFT, MERGE_PEER}, false},
    {"used after a 304", {SOFT, MERGE, USE}, true},
    {"used after a 304 of a peer", {SOFT, MERGE_PEER, USE}, true},
    {"used before a 304", {USE, SOFT, MERGE}, true},
    {"used after two", {SOFT, MERGE, SOFT, MERGE_PEER, USE}, true},
    {"the origin's own goes at once", {SOFT, ANEW}, true},
    {"used while the disk is off", {DISK_OFF, USE, DISK_ON}, false},
};

static struct client *lead(struct scene *s)
{
    struct client *c = client_ask(s, HTTP_GET, "/x", "");
    assert_int_equal(c->answer.verdict, CACHE_LEAD);
    client_open(c);
    client_fetch(c);
    return c;
}

static void from_peer(struct scene *s, const char *fields)
{
    struct client *c = lead(s);
    cache_intake_from_peer(&c->intake, 0);
    client_respond_all(c, 200, fields, "body");
    client_destroy(c);
}

static void validate(struct scene *s, enum step step)
{
    struct client *c = lead(s);
    assert_non_null(c->intake.fill->under);
    if (step == MERGE_PEER)
        cache_intake_from_peer(&c->intake, 0);
    client_respond_all(c, step == ANEW ? 200 : 304, FRESH, step == ANEW ? "body" : "");
    assert_int_equal(memory_reader_head(&c->reader), MEMORY_HEAD_READY);
    ASSERT_READS(c, "body");
    client_destroy(c);
}

/* What the disk has of it is of no use: a load from there ends, and then it is fetched. */
static void miss(struct scene *s)
{
    struct client *c = client_ask(s, HTTP_GET, "/x", "");
    for (int loads = 0; c->answer.verdict == CACHE_JOIN && c->answer.from_disk; loads++) {
        assert_int_equal(loads, 0);
        client_open(c);
        SCENE_UNTIL(s, memory_reader_head(&c->reader) != MEMORY_HEAD_WAIT);
        assert_int_equal(memory_reader_head(&c->reader), MEMORY_HEAD_AGAIN);
        client_close_reader(c);
        cache_answer_fini(&c->answer);
        client_lookup(c);
    }
    assert_int_equal(c->answer.verdict, CACHE_LEAD);
    assert_null(c->answer.fill->under);
    client_destroy(c);
}

static void take_step(struct scene *s, enum step step)
{
    switch (step) {
    case END:
        break;
    case USE:
        assert_int_equal(scene_verdict(s, HTTP_GET, "/x", ""), CACHE_HIT);
        break;
    case USE_HEAD:
        assert_int_equal(scene_verdict(s, HTTP_HEAD, "/x", ""), CACHE_HIT);
        break;
    case USE_STALE:
        s->now_s += 61;
        assert_int_equal(scene_verdict(s, HTTP_GET, "/x", ""), CACHE_STALE);
        break;
    case HARD:
    case SOFT:
        scene_purge(s, PURGE_TAG, step == HARD ? PURGE_HARD : PURGE_SOFT, "t");
        break;
    case MISS:
        miss(s);
        break;
    case MERGE:
    case MERGE_PEER:
    case ANEW:
        validate(s, step);
        break;
    case DISK_OFF:
    case DISK_ON:
        atomic_store(&s->cache->tier.store_on, step == DISK_ON);
        break;
    }
}

static void open_on_disk(struct scene *s)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/perigee-deposit-XXXXXX");
    assert_non_null(mkdtemp(folder));
    scene_open(s, folder, 8 * MB);
    SCENE_UNTIL(s, !atomic_load(&s->cache->tier.scanning));
}

static void close_on_disk(struct scene *s)
{
    char command[128];
    scene_close(s);
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

/* Is it met after a restart? */
static bool is_kept(struct scene *s)
{
    scene_close(s);
    s->wake_fd = eventfd(0, EFD_NONBLOCK);
    scene_open_again(s);
    SCENE_UNTIL(s, !atomic_load(&s->cache->tier.scanning));
    enum cache_verdict v = scene_verdict(s, HTTP_GET, "/x", "");
    assert_true(v == CACHE_JOIN || v == CACHE_LEAD);
    return v == CACHE_JOIN;
}

static void test_second_use(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scene s;
        open_on_disk(&s);
        from_peer(&s, rows[i].steps[0] == USE_STALE ? STALE : FRESH);
        for (size_t k = 0; k < ARRAY_LEN(rows[i].steps); k++)
            take_step(&s, rows[i].steps[k]);
        if (is_kept(&s) != rows[i].kept)
            fail_msg("%s: kept %d", rows[i].why, !rows[i].kept);
        close_on_disk(&s);
    }
}

/* Who asks while it arrives is part of its first use. */
static void test_join_is_no_use(void **state)
{
    (void)state;
    struct scene s;
    open_on_disk(&s);
    struct client *c = lead(&s);
    cache_intake_from_peer(&c->intake, 0);
    assert_int_equal(client_respond(c, 200, FRESH, 4), CACHE_TAKE_BODY);
    struct client *other = client_ask(&s, HTTP_GET, "/x", "");
    assert_int_equal(other->answer.verdict, CACHE_JOIN);
    client_open(other);
    client_body(c, "body");
    cache_intake_end(&c->intake, NULL);
    client_fetched(c);
    ASSERT_READS(c, "body");
    ASSERT_READS(other, "body");
    client_destroy(other);
    client_destroy(c);
    assert_false(is_kept(&s));
    close_on_disk(&s);
}

/* The second use put it on its way; a purge then is not undone by its arrival on disk. */
static void test_purged_on_its_way(void **state)
{
    (void)state;
    struct cache_figures f;
    for (int look = 0; look < 2; look++) { /* it leaves the index before, or after the put */
        struct scene s;
        open_on_disk(&s);
        from_peer(&s, FRESH);
        take_step(&s, USE);
        take_step(&s, HARD);
        if (look)
            take_step(&s, MISS);
        SCENE_UNTIL(&s, (cache_figures(s.cache, &f), f.queue_bytes == 0));
        for (int n = 0; n < 2; n++)
            take_step(&s, MISS);
        close_on_disk(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_second_use),
        cmocka_unit_test(test_join_is_no_use),
        cmocka_unit_test(test_purged_on_its_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
