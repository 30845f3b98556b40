#include "cluster/intent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"

#define SECOND INT64_C(1000000)

static void the_newest_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint64_t id, ltime;
        bool leave;
        int64_t at_us;
        bool news;
    } rows[] = {
        {"the first", 1, 5, false, 0, true},
        {"the same", 1, 5, false, SECOND, false},
        {"a leave at that time", 1, 5, true, SECOND, false},
        {"an older one", 1, 4, true, SECOND, false},
        {"a newer one", 1, 6, true, SECOND, true},
        {"of another node", 2, 1, false, SECOND, true},
        {"after its time, any is news", 2, 1, false, 302 * SECOND, true},
    };
    struct cluster_intents t = {.count = 0};
    struct cluster_intent out;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        if (cluster_intents_keep(&t, rows[i].id, rows[i].ltime, rows[i].leave, rows[i].at_us) !=
            rows[i].news)
            fail_msg("%s", rows[i].why);
    assert_true(cluster_intents_take(&t, 1, 301 * SECOND, &out));
    assert_true(out.ltime == 6 && out.leave);
    assert_false(cluster_intents_take(&t, 1, 301 * SECOND, &out));
    assert_false(cluster_intents_take(&t, 2, 302 * SECOND + CLUSTER_INTENT_KEPT_US + 1, &out));
    assert_int_equal(t.count, 0);
    cluster_intents_fini(&t);
}

static void a_flood_takes_the_oldest(void **state)
{
    (void)state;
    struct cluster_intents t = {.count = 0};
    struct cluster_intent out;
    for (uint64_t id = 1; id <= 3 * CLUSTER_INTENTS_MAX; id++)
        assert_true(cluster_intents_keep(&t, id, 1, false, (int64_t)id));
    assert_int_equal(t.count, CLUSTER_INTENTS_MAX);
    for (uint64_t id = 1; id <= 3 * CLUSTER_INTENTS_MAX; id++)
        assert_int_equal(cluster_intents_take(&t, id, 4000, &out),
                         id > 2 * CLUSTER_INTENTS_MAX);
    cluster_intents_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_is_kept),
        cmocka_unit_test(a_flood_takes_the_oldest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
