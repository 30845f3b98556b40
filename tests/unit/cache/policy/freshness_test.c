#include "tests/unit/cache/policy/lines.h"

#include "cache/policy/freshness.h"

/* Received at 1000 unless the row says otherwise; nothing else is known. */
#define FACTS(...)                                                                             \
    {                                                                                          \
        .requested_at_s = 1000, .received_at_s = 1000, .date_at_s = 1000,                      \
        .expires_at_s = POLICY_NONE, .modified_at_s = POLICY_NONE, .max_age_s = POLICY_NONE,   \
        .stale_refresh_s = POLICY_NONE, .stale_error_s = POLICY_NONE, __VA_ARGS__              \
    }
#define WISH(...)                                                                              \
    {                                                                                          \
        .max_age_s = POLICY_NONE, .min_fresh_s = POLICY_NONE, .max_stale_s = POLICY_NONE,      \
        .stale_error_s = POLICY_NONE, __VA_ARGS__                                              \
    }

/* Rows override what the macros set: that is their point. */
#pragma GCC diagnostic push
#ifdef __clang__
#pragma GCC diagnostic ignored "-Winitializer-overrides"
#else
#pragma GCC diagnostic ignored "-Woverride-init"
#endif

static const struct {
    const char *why;
    struct policy_facts facts;
    struct policy_wish wish;
    int64_t now_s;
    enum policy_reuse want;
} reuse_rows[] = {
    {"fresh", FACTS(.max_age_s = 60), WISH(), 1000, POLICY_REUSE_FRESH},
    {"one second left", FACTS(.max_age_s = 60), WISH(), 1059, POLICY_REUSE_FRESH},
    {"age == lifetime is stale", FACTS(.max_age_s = 60), WISH(), 1060, POLICY_REUSE_VALIDATE},
    {"max-age 0 is never fresh", FACTS(.max_age_s = 0), WISH(), 1000, POLICY_REUSE_VALIDATE},
    {"nothing known is stale", FACTS(), WISH(), 1000, POLICY_REUSE_VALIDATE},
    {"response delay counts", FACTS(.max_age_s = 60, .requested_at_s = 990), WISH(), 1050,
     POLICY_REUSE_VALIDATE},
    {"a delay below zero does not rejuvenate", FACTS(.max_age_s = 60, .requested_at_s = 1010),
     WISH(), 1060, POLICY_REUSE_VALIDATE},
    {"Age counts", FACTS(.max_age_s = 60, .age_s = 30), WISH(), 1030, POLICY_REUSE_VALIDATE},
    {"Age and delay add up", FACTS(.max_age_s = 60, .age_s = 30, .requested_at_s = 990), WISH(),
     1020, POLICY_REUSE_VALIDATE},
    {"an old Date counts", FACTS(.max_age_s = 60, .date_at_s = 970), WISH(), 1030,
     POLICY_REUSE_VALIDATE},
    {"the larger of Date and Age, not their sum",
     FACTS(.max_age_s = 60, .date_at_s = 970, .age_s = 30), WISH(), 1029, POLICY_REUSE_FRESH},
    {"a Date in the future does not rejuvenate", FACTS(.max_age_s = 60, .date_at_s = 2000),
     WISH(), 1060, POLICY_REUSE_VALIDATE},
    {"clock back does not rejuvenate", FACTS(.max_age_s = 60, .age_s = 60), WISH(), 10,
     POLICY_REUSE_VALIDATE},
    {"clock back keeps fresh what is", FACTS(.max_age_s = 60), WISH(), 10, POLICY_REUSE_FRESH},
    {"Expires minus Date", FACTS(.expires_at_s = 1060), WISH(), 1059, POLICY_REUSE_FRESH},
    {"Expires reached", FACTS(.expires_at_s = 1060), WISH(), 1060, POLICY_REUSE_VALIDATE},
    {"Expires is relative to Date, not to our clock",
     FACTS(.expires_at_s = 560, .date_at_s = 500), WISH(), 1000, POLICY_REUSE_VALIDATE},
    {"Date ahead of us: the lifetime is Expires - Date",
     FACTS(.expires_at_s = 5060, .date_at_s = 5000), WISH(), 1059, POLICY_REUSE_FRESH},
    {"invalid Expires is the past", FACTS(.expires_at_s = 0), WISH(), 1000,
     POLICY_REUSE_VALIDATE},
    {"max-age outranks Expires", FACTS(.max_age_s = 60, .expires_at_s = 0), WISH(), 1059,
     POLICY_REUSE_FRESH},
    {"Expires outranks the guess", FACTS(.expires_at_s = 1000, .modified_at_s = 0), WISH(),
     1000, POLICY_REUSE_VALIDATE},
    {"a tenth since Last-Modified", FACTS(.modified_at_s = 400), WISH(), 1059,
     POLICY_REUSE_FRESH},
    {"no more than a tenth", FACTS(.modified_at_s = 400), WISH(), 1060, POLICY_REUSE_VALIDATE},
    {"the guess is capped at a day",
     FACTS(.received_at_s = 10000000, .requested_at_s = 10000000, .date_at_s = 10000000,
           .modified_at_s = 0),
     WISH(), 10000000 + 86400, POLICY_REUSE_VALIDATE},
    {"and a day it is",
     FACTS(.received_at_s = 10000000, .requested_at_s = 10000000, .date_at_s = 10000000,
           .modified_at_s = 0),
     WISH(), 10000000 + 86399, POLICY_REUSE_FRESH},
    {"modified in the future guesses nothing", FACTS(.modified_at_s = 5000), WISH(), 1000,
     POLICY_REUSE_VALIDATE},
    {"no-cache", FACTS(.max_age_s = 60, .no_cache = true), WISH(), 1000, POLICY_REUSE_VALIDATE},
    {"client's no-cache", FACTS(.max_age_s = 60), WISH(.no_cache = true), 1000,
     POLICY_REUSE_VALIDATE},
    {"client's max-age met", FACTS(.max_age_s = 60), WISH(.max_age_s = 10), 1010,
     POLICY_REUSE_FRESH},
    {"client's max-age exceeded", FACTS(.max_age_s = 60), WISH(.max_age_s = 10), 1011,
     POLICY_REUSE_VALIDATE},
    {"client's min-fresh met", FACTS(.max_age_s = 60), WISH(.min_fresh_s = 10), 1050,
     POLICY_REUSE_FRESH},
    {"client's min-fresh not met", FACTS(.max_age_s = 60), WISH(.min_fresh_s = 10), 1051,
     POLICY_REUSE_VALIDATE},
    {"max-stale met", FACTS(.max_age_s = 60), WISH(.max_stale_s = 10), 1070,
     POLICY_REUSE_FRESH},
    {"max-stale exceeded", FACTS(.max_age_s = 60), WISH(.max_stale_s = 10), 1071,
     POLICY_REUSE_VALIDATE},
    {"max-stale=0 takes what is stale this second", FACTS(.max_age_s = 60),
     WISH(.max_stale_s = 0), 1060, POLICY_REUSE_FRESH},
    {"max-stale loses to origin", FACTS(.max_age_s = 60, .no_stale = true),
     WISH(.max_stale_s = 10), 1061, POLICY_REUSE_VALIDATE},
    {"max-stale does not outlive max-age", FACTS(.max_age_s = 60),
     WISH(.max_stale_s = 10, .max_age_s = 61), 1062, POLICY_REUSE_VALIDATE},
    {"max-stale loses to s-maxage with a window",
     FACTS(.max_age_s = 60, .windows_only = true, .stale_refresh_s = 5),
     WISH(.max_stale_s = 100), 1066, POLICY_REUSE_VALIDATE},
    {"stale-while-revalidate", FACTS(.max_age_s = 60, .stale_refresh_s = 10), WISH(), 1060,
     POLICY_REUSE_REFRESH},
    {"its last second", FACTS(.max_age_s = 60, .stale_refresh_s = 10), WISH(), 1070,
     POLICY_REUSE_REFRESH},
    {"not a second beyond", FACTS(.max_age_s = 60, .stale_refresh_s = 10), WISH(), 1071,
     POLICY_REUSE_VALIDATE},
    {"stale-while-revalidate=0 is no window after the second",
     FACTS(.max_age_s = 60, .stale_refresh_s = 0), WISH(), 1061, POLICY_REUSE_VALIDATE},
    {"must-revalidate beats stale-while-revalidate",
     FACTS(.max_age_s = 60, .stale_refresh_s = 10, .no_stale = true), WISH(), 1060,
     POLICY_REUSE_VALIDATE},
    {"must-revalidate leaves fresh alone", FACTS(.max_age_s = 60, .no_stale = true), WISH(),
     1059, POLICY_REUSE_FRESH},
    {"largest durations do not overflow",
     FACTS(.max_age_s = POLICY_SECONDS_MAX, .age_s = POLICY_SECONDS_MAX), WISH(),
     INT64_C(1) << 40, POLICY_REUSE_VALIDATE},
};

static const struct {
    const char *why;
    struct policy_facts facts;
    struct policy_wish wish;
    int64_t now_s;
    enum policy_reuse want;
} purged_rows[] = {
    {"fresh, but softly purged", FACTS(.max_age_s = 60), WISH(), 1000, POLICY_REUSE_VALIDATE},
    {"may be refreshed behind", FACTS(.max_age_s = 60, .stale_refresh_s = 10), WISH(), 1000,
     POLICY_REUSE_REFRESH},
    {"inside the window", FACTS(.max_age_s = 60, .stale_refresh_s = 10), WISH(), 1070,
     POLICY_REUSE_REFRESH},
    {"behind the window", FACTS(.max_age_s = 60, .stale_refresh_s = 10), WISH(), 1071,
     POLICY_REUSE_VALIDATE},
    {"a client's max-stale is not asked", FACTS(.max_age_s = 60), WISH(.max_stale_s = 1000),
     1000, POLICY_REUSE_VALIDATE},
    {"origin forbids stale", FACTS(.max_age_s = 60, .stale_refresh_s = 10, .no_stale = true),
     WISH(), 1000, POLICY_REUSE_VALIDATE},
    {"no-cache", FACTS(.max_age_s = 60, .stale_refresh_s = 10, .no_cache = true), WISH(), 1000,
     POLICY_REUSE_VALIDATE},
    {"client insists", FACTS(.max_age_s = 60, .stale_refresh_s = 10), WISH(.no_cache = true),
     1000, POLICY_REUSE_VALIDATE},
};

static const struct {
    const char *why;
    struct policy_facts facts;
    struct policy_wish wish;
    int64_t grace_s, now_s;
    bool want;
} error_rows[] = {
    {"no permission", FACTS(.max_age_s = 60), WISH(), 0, 1061, false},
    {"no grace given", FACTS(.max_age_s = 60), WISH(), POLICY_NONE, 1061, false},
    {"stale-if-error", FACTS(.max_age_s = 60, .stale_error_s = 10), WISH(), 0, 1070, true},
    {"not a second beyond", FACTS(.max_age_s = 60, .stale_error_s = 10), WISH(), 0, 1071,
     false},
    {"inside stale-while-revalidate", FACTS(.max_age_s = 60, .stale_refresh_s = 10), WISH(), 0,
     1070, true},
    {"behind it", FACTS(.max_age_s = 60, .stale_refresh_s = 10), WISH(), 0, 1071, false},
    {"grace of the site", FACTS(.max_age_s = 60), WISH(), 10, 1070, true},
    {"grace is over", FACTS(.max_age_s = 60), WISH(), 10, 1071, false},
    {"grace loses to must-revalidate", FACTS(.max_age_s = 60, .no_stale = true), WISH(), 10,
     1061, false},
    {"grace loses to no-cache", FACTS(.max_age_s = 60, .no_cache = true), WISH(), 10, 1061,
     false},
    {"grace loses to s-maxage's own window",
     FACTS(.max_age_s = 60, .stale_error_s = 5, .windows_only = true), WISH(), 100, 1066,
     false},
    {"that window itself holds",
     FACTS(.max_age_s = 60, .stale_error_s = 5, .windows_only = true), WISH(), 0, 1065, true},
    {"the client may be more patient", FACTS(.max_age_s = 60), WISH(.stale_error_s = 10), 0,
     1070, true},
    {"patience ends", FACTS(.max_age_s = 60), WISH(.stale_error_s = 10), 0, 1071, false},
    {"patience loses to must-revalidate", FACTS(.max_age_s = 60, .no_stale = true),
     WISH(.stale_error_s = 10), 0, 1061, false},
    {"a fresh one that had to be asked about", FACTS(.max_age_s = 60, .stale_error_s = 0),
     WISH(.no_cache = true), 0, 1010, true},
};

static const struct {
    const char *why;
    struct policy_facts facts;
    int64_t grace_s, want_at_s;
} dead_rows[] = {
    {"lifetime", FACTS(.max_age_s = 60), 0, 1060},
    {"age came along", FACTS(.max_age_s = 60, .age_s = 20), 0, 1040},
    {"refresh window", FACTS(.max_age_s = 60, .stale_refresh_s = 10), 0, 1070},
    {"the larger window", FACTS(.max_age_s = 60, .stale_refresh_s = 10, .stale_error_s = 20), 0,
     1080},
    {"grace", FACTS(.max_age_s = 60, .stale_refresh_s = 10), 30, 1090},
    {"no grace beside s-maxage",
     FACTS(.max_age_s = 60, .stale_refresh_s = 10, .windows_only = true), 30, 1070},
    {"must-revalidate", FACTS(.max_age_s = 60, .stale_refresh_s = 10, .no_stale = true), 30,
     1060},
};
#pragma GCC diagnostic pop

static void test_reuse(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(reuse_rows); i++) {
        enum policy_reuse got = policy_freshness_reuse(
            &reuse_rows[i].facts, &reuse_rows[i].wish, reuse_rows[i].now_s);
        if (got != reuse_rows[i].want)
            fail_msg("%s: got %d", reuse_rows[i].why, got);
    }
}

static void test_purged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(purged_rows); i++) {
        enum policy_reuse got = policy_freshness_reuse_purged(
            &purged_rows[i].facts, &purged_rows[i].wish, purged_rows[i].now_s);
        if (got != purged_rows[i].want)
            fail_msg("%s: got %d", purged_rows[i].why, got);
    }
}

static void test_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(error_rows); i++)
        if (policy_freshness_stale_if_error(&error_rows[i].facts, &error_rows[i].wish,
                                            error_rows[i].grace_s,
                                            error_rows[i].now_s) != error_rows[i].want)
            fail_msg("%s", error_rows[i].why);
}

static void test_dead(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(dead_rows); i++) {
        int64_t got = policy_freshness_dead_at_s(&dead_rows[i].facts, dead_rows[i].grace_s);
        if (got != dead_rows[i].want_at_s)
            fail_msg("%s: got %lld", dead_rows[i].why, (long long)got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_purged),
        cmocka_unit_test(test_error),
        cmocka_unit_test(test_dead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
