#include "cluster/suspicion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"

#define MS INT64_C(1000)
#define SECOND INT64_C(1000000)

static struct cluster_suspicion_rule rule(uint32_t mult, int64_t interval_us)
{
    return (struct cluster_suspicion_rule){
        .mult = mult, .max_mult = 6, .probe_interval_us = interval_us, .confirm = true};
}

static void shortest_time(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint32_t mult, members;
        int64_t interval_us, min_us;
    } rows[] = {
        {"nobody", 4, 0, SECOND, 4 * SECOND},
        {"alone", 4, 1, SECOND, 4 * SECOND},
        {"ten: the logarithm is 1", 4, 10, SECOND, 4 * SECOND},
        {"eleven: thousandths are cut", 4, 11, SECOND, 4164 * MS},
        {"hundred", 4, 100, SECOND, 8 * SECOND},
        {"LAN, 1,000", 4, 1000, SECOND, 12 * SECOND},
        {"WAN, 1,000", 6, 1000, 5 * SECOND, 90 * SECOND},
        {"5,000", 4, 5000, SECOND, 14792 * MS},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster_suspicion_rule r = rule(rows[i].mult, rows[i].interval_us);
        if (cluster_suspicion_min_us(&r, rows[i].members) != rows[i].min_us)
            fail_msg("%s: %lld", rows[i].why,
                     (long long)cluster_suspicion_min_us(&r, rows[i].members));
    }
}

/* The times after 0, 1, 2... accusers, from the first accusation. */
static void confirmations_shorten(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint32_t mult, members;
        bool confirm;
        unsigned accusers;
        int64_t after_us[6];
    } rows[] = {
        {"k = 2: ln 2 / ln 3 of 20 s less",
         4,
         10,
         true,
         3,
         {24 * SECOND, 11381 * MS, 4 * SECOND, 4 * SECOND}},
        {"k = 1: max, then min", 3, 10, true, 2, {18 * SECOND, 3 * SECOND, 3 * SECOND}},
        {"k = 4",
         6,
         10,
         true,
         5,
         {36 * SECOND, 23079 * MS, 15521 * MS, 10159 * MS, 6 * SECOND, 6 * SECOND}},
        {"four members: two can confirm", 4, 4, true, 1, {24 * SECOND, 11381 * MS}},
        {"three members: nobody to ask twice", 4, 3, true, 1, {4 * SECOND, 4 * SECOND}},
        {"mult 2 asks nobody", 2, 100, true, 1, {4 * SECOND, 4 * SECOND}},
        {"mult 1 asks nobody", 1, 10, true, 1, {1 * SECOND, 1 * SECOND}},
        {"Lifeguard off", 4, 100, false, 1, {8 * SECOND, 8 * SECOND}},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster_suspicion_rule r = rule(rows[i].mult, SECOND);
        r.confirm = rows[i].confirm;
        struct cluster_suspicion s;
        cluster_suspicion_start(&s, &r, rows[i].members, 77, 5 * SECOND);
        assert_false(cluster_suspicion_confirm(&s, 77)); /* who began it */
        for (unsigned a = 0; a <= rows[i].accusers; a++) {
            int64_t took_us = cluster_suspicion_deadline_us(&s) - 5 * SECOND;
            if (took_us != rows[i].after_us[a])
                fail_msg("%s, after %u: %lld", rows[i].why, a, (long long)took_us);
            bool news = cluster_suspicion_confirm(&s, 100 + a);
            if (news != (s.wanted > a))
                fail_msg("%s: accuser %u news", rows[i].why, a);
            assert_false(cluster_suspicion_confirm(&s, 100 + a)); /* twice */
        }
    }
}

static void confirmations_are_bounded(void **state)
{
    (void)state;
    struct cluster_suspicion_rule r = rule(100, SECOND);
    struct cluster_suspicion s;
    cluster_suspicion_start(&s, &r, 1000, 1, 0);
    unsigned counted = 0;
    for (uint64_t a = 2; a < 100; a++)
        counted += cluster_suspicion_confirm(&s, a);
    assert_int_equal(counted, CLUSTER_SUSPICION_CONFIRM);
    assert_int_equal(cluster_suspicion_deadline_us(&s), s.min_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shortest_time),
        cmocka_unit_test(confirmations_shorten),
        cmocka_unit_test(confirmations_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
