/* What was purged for one site: taken away by a sweep that knows the configuration. */
#include "tests/unit/cache/forms.h"

#include "cache/core.h"
#include "cache/memory/epoch.h"
#include "cache/memory/sweep.h"

#define HEAD "cache-control: max-age=600\netag: \"1\"\nxkey: a"

static struct scene s;

static int begin(void **state)
{
    (void)state;
    forms_open(&s, 8 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    forms_close(&s);
    return 0;
}

static void purge_for(const char *site, enum purge_kind kind, enum purge_mode mode,
                      const char *selector)
{
    struct purge p = {kind, mode, span_text(selector), span_text(site)};
    assert_int_equal(cache_purge(s.cache, &p, cache_apply_no_next(s.cache), &s.conf), ERR_OK);
}

static uint64_t names(void)
{
    struct cache_figures f;
    cache_figures(s.cache, &f);
    return f.purge_names;
}

static uint64_t on_disk(void)
{
    struct store_figures f;
    store_figures(s.cache->tier.store, &f);
    return f.objects;
}

static void store_two(void)
{
    memory_object_drop(forms_store(&s, "/x", HEAD, "x"));
    memory_object_drop(forms_store(&s, "/y", HEAD, "y"));
    assert_int_equal(on_disk(), 2);
}

static void with_the_site_known(void **state)
{
    (void)state;
    static const struct {
        enum purge_kind kind;
        const char *selector;
        unsigned left;
    } rows[] = {{PURGE_TAG, "a", 0},    {PURGE_URL, "http://h.x/x", 1},
                {PURGE_ALL, "", 0},     {PURGE_PREFIX, "h.x/", 0},
                {PURGE_HOST, "h.x", 0}, {PURGE_PREFIX, "h.x/y", 1}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        store_two();
        purge_for("s", rows[i].kind, PURGE_HARD, rows[i].selector);
        /* without it nothing is known of them */
        assert_false(
            memory_sweep_pass(s.cache->sweep, NULL, memory_epoch_renames(s.cache->tier.epoch)));
        assert_int_equal(on_disk(), 2);
        assert_int_equal(names(), 1);
        assert_true(memory_sweep_pass(s.cache->sweep, &s.conf,
                                      memory_epoch_renames(s.cache->tier.epoch)));
        assert_int_equal(on_disk(), rows[i].left);
        assert_int_equal(names(), 0);
        scene_purge(&s, PURGE_PREFIX, PURGE_HARD, "h.x/");
        assert_true(
            memory_sweep_pass(s.cache->sweep, NULL, memory_epoch_renames(s.cache->tier.epoch)));
        assert_int_equal(on_disk(), 0);
    }
}

static void softly(void **state)
{
    (void)state;
    memory_object_drop(forms_store(&s, "/x", HEAD, "x"));
    purge_for("s", PURGE_TAG, PURGE_SOFT, "a");
    assert_true(
        memory_sweep_pass(s.cache->sweep, &s.conf, memory_epoch_renames(s.cache->tier.epoch)));
    assert_int_equal(names(), 0);
    assert_int_equal(forms_on_disk(&s).flags & STORE_RECORD_STALE, STORE_RECORD_STALE);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_LEAD); /* to validate */
}

/* The name leaves, and what is of another site is as it was. */
static void of_another_site(void **state)
{
    (void)state;
    store_two();
    purge_for("t", PURGE_TAG, PURGE_HARD, "a");
    assert_true(
        memory_sweep_pass(s.cache->sweep, &s.conf, memory_epoch_renames(s.cache->tier.epoch)));
    assert_int_equal(on_disk(), 2);
    assert_int_equal(names(), 0);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_HIT);
}

/* The reload comes between the tick and the thread. */
static void a_configuration_of_before(void **state)
{
    (void)state;
    uint64_t renames = memory_epoch_renames(s.cache->tier.epoch);
    const struct conf before = {.site_count = 0};
    store_two();
    cache_rename(s.cache);
    purge_for("s", PURGE_URL, PURGE_HARD, "http://h.x/x");
    assert_false(memory_sweep_pass(s.cache->sweep, &before, renames));
    assert_int_equal(names(), 1);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_LEAD);
}

/* --- by the clock --- */

static unsigned held, dropped;
static bool none_in_force;

static const struct conf *hold(void *user)
{
    held += !none_in_force;
    return none_in_force ? NULL : user;
}

static void drop(void *user)
{
    assert_ptr_equal(user, &s.conf);
    dropped++;
}

static void the_configuration_is_held_for_a_pass(void **state)
{
    (void)state;
    const struct memory_sweep_confs confs = {hold, drop, &s.conf};
    struct memory_sweep *sweep = memory_sweep_create(&s.cache->tier, &confs);
    int64_t now_ms = 1000000;
    store_two();
    memory_sweep_tick(sweep, now_ms += MEMORY_SWEEP_MS); /* nothing to do */
    scene_purge(&s, PURGE_TAG, PURGE_HARD, "none");      /* of no site: it is not needed */
    memory_sweep_tick(sweep, now_ms += MEMORY_SWEEP_MS);
    SCENE_UNTIL(&s, names() == 0);
    assert_int_equal(held, 0);

    purge_for("s", PURGE_TAG, PURGE_HARD, "a");
    none_in_force = true; /* a reload is not over */
    memory_sweep_tick(sweep, now_ms += MEMORY_SWEEP_MS);
    assert_int_equal(held, 0);
    none_in_force = false;
    SCENE_UNTIL(&s, (memory_sweep_tick(sweep, now_ms += MEMORY_SWEEP_MS), names() == 0));
    assert_int_equal(held, 1);
    SCENE_UNTIL(&s, (memory_sweep_tick(sweep, now_ms), dropped == 1));
    assert_int_equal(on_disk(), 0);

    purge_for("s", PURGE_TAG, PURGE_HARD, "b"); /* and at the end, too */
    memory_sweep_tick(sweep, now_ms += MEMORY_SWEEP_MS);
    assert_int_equal(held, 2);
    memory_sweep_destroy(sweep);
    assert_int_equal(dropped, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(with_the_site_known, begin, end),
        cmocka_unit_test_setup_teardown(softly, begin, end),
        cmocka_unit_test_setup_teardown(of_another_site, begin, end),
        cmocka_unit_test_setup_teardown(a_configuration_of_before, begin, end),
        cmocka_unit_test_setup_teardown(the_configuration_is_held_for_a_pass, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
