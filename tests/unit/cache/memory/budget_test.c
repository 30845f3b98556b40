#include "cache/memory/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/err.h"

#define MS INT64_C(1000000)
#define START INT64_C(5000000000)

/* Of one bucket, one after the other. */
static const struct row {
    const char *why;
    unsigned percent; /* set before; 0: as it was */
    int64_t at_ms, used_ms, wait_ms;
} rows[] = {
    {"a full bucket lets a step pass", 0, 0, 100, 0},
    {"as long as something is left", 0, 0, 150, 0},
    {"what is too much is waited for, at the rate it comes back", 0, 0, 10, 40},
    {"nothing is waited for twice", 0, 40, 0, 0},
    {"an empty bucket: each step pays for itself", 0, 40, 5, 20},
    {"in part while time passes", 0, 50, 0, 10},
    {"a rest fills it", 0, 10060, 250, 0},
    {"up to a second's share, not more", 0, 10060, 1, 4},
    {"a clock that steps back brings nothing", 0, 9000, 0, 4},
    {"and takes nothing", 0, 9004, 0, 0},
    {"a larger share comes back faster", 200, 9004, 200, 100},
    {"a smaller one slower", 1, 9104, 1, 100},
    {"a longer rest than any", 0, INT64_C(3000000000), 0, 0},
    {"is a second's share, too", 0, INT64_C(3000000000), 11, 100},
};

static void the_bucket(void **state)
{
    (void)state;
    struct memory_budget b;
    memory_budget_init(&b, 25, START);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        int64_t now = START + r->at_ms * MS;
        if (r->percent)
            memory_budget_set(&b, r->percent, now);
        int64_t wait = memory_budget_spend(&b, r->used_ms * MS, now);
        if (wait != r->wait_ms * MS)
            fail_msg("row %zu, %s: %lld us", i, r->why, (long long)wait / 1000);
    }
}

static void no_percent_is_one(void **state)
{
    (void)state;
    struct memory_budget b;
    memory_budget_init(&b, 0, START);
    assert_int_equal(memory_budget_spend(&b, 20 * MS, START), 1000 * MS);
    memory_budget_set(&b, 0, START + 1000 * MS);
    assert_int_equal(memory_budget_spend(&b, MS, START + 1000 * MS), 100 * MS);
}

/* A debt of an hour, as of a machine that slept in the middle of a step. */
static void a_large_debt_is_paid(void **state)
{
    (void)state;
    struct memory_budget b;
    memory_budget_init(&b, 100, START);
    assert_int_equal(memory_budget_spend(&b, INT64_C(3601000) * MS, START),
                     INT64_C(3600000) * MS);
    assert_int_equal(memory_budget_spend(&b, 0, START + INT64_C(3600000) * MS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bucket),
        cmocka_unit_test(no_percent_is_one),
        cmocka_unit_test(a_large_debt_is_paid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
