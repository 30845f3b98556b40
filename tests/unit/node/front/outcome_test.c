#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/front/outcome.h"

static const struct row {
    const char *why;
    struct front_outcome in;
    const char *status, *word;
    bool reuse;
} rows[] = {
    {"hit",
     {CACHE_HIT, .has_object = true, .stored = true, .status = 200},
     "perigee; hit",
     "hit",
     true},
    {"from disk",
     {CACHE_JOIN, .from_disk = true, .has_object = true, .stored = true},
     "perigee; hit",
     "hit",
     true},
    {"miss, stored",
     {CACHE_LEAD, CACHE_FORWARD_URI_MISS, .has_object = true, .stored = true, .status = 200,
      .origin_status = 200},
     "perigee; fwd=uri-miss; stored",
     "miss",
     false},
    {"miss, not to be stored",
     {CACHE_LEAD, CACHE_FORWARD_URI_MISS, .has_object = true, .status = 200,
      .origin_status = 200},
     "perigee; fwd=uri-miss",
     "miss",
     false},
    {"another variant",
     {CACHE_LEAD, CACHE_FORWARD_VARY_MISS, .has_object = true, .stored = true, .status = 200,
      .origin_status = 200},
     "perigee; fwd=vary-miss; stored",
     "miss",
     false},
    {"joined a fetch",
     {CACHE_JOIN, CACHE_FORWARD_URI_MISS, .has_object = true, .stored = true, .status = 200},
     "perigee; fwd=uri-miss; stored; collapsed",
     "joined",
     false},
    {"validated",
     {CACHE_LEAD, CACHE_FORWARD_STALE, .has_object = true, .stored = true, .status = 200,
      .origin_status = 304},
     "perigee; fwd=stale; fwd-status=304; stored",
     "revalidated",
     false},
    {"stale while it is validated",
     {CACHE_STALE, CACHE_FORWARD_STALE, .has_object = true, .stored = true, .status = 200,
      .fresh_left_s = -3},
     "perigee; hit; ttl=-3",
     "stale",
     true},
    {"stale because the origin failed",
     {CACHE_LEAD, CACHE_FORWARD_STALE, .origin_failed = true, .has_object = true,
      .stored = true, .status = 200, .origin_status = 503, .fresh_left_s = -9},
     "perigee; fwd=stale; fwd-status=503; ttl=-9",
     "stale",
     true},
    {"stale because nobody answered",
     {CACHE_LEAD, CACHE_FORWARD_STALE, .origin_failed = true, .has_object = true,
      .stored = true, .status = 200, .fresh_left_s = -9},
     "perigee; fwd=stale; ttl=-9",
     "stale",
     true},
    {"passed",
     {CACHE_PASS, CACHE_FORWARD_METHOD, .has_object = true, .status = 200,
      .origin_status = 200},
     "perigee; fwd=method",
     "pass",
     false},
    {"failed",
     {CACHE_LEAD, CACHE_FORWARD_URI_MISS, .status = 0},
     "perigee; fwd=uri-miss",
     "failed",
     false},
    {"what lay on disk could not be had",
     {CACHE_JOIN, .from_disk = true},
     "perigee; fwd=miss",
     "failed",
     false},
};

static void table(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 16);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct front_cache_status s;
        struct span text;
        front_outcome_status(&rows[i].in, &s);
        assert_true(front_rewrite_cache_status(&s, &a, &text));
        if (!span_equal(text, span_text(rows[i].status)))
            fail_msg("%s: %.*s", rows[i].why, SPAN_ARG(text));
        if (strcmp(front_outcome_word(&rows[i].in), rows[i].word) != 0)
            fail_msg("%s: %s", rows[i].why, front_outcome_word(&rows[i].in));
        if (front_outcome_is_reuse(&rows[i].in) != rows[i].reuse)
            fail_msg("%s: reuse", rows[i].why);
    }
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
