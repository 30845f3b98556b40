#include "node/drain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define DRAIN(s, since, serve)                                                                 \
    {                                                                                          \
        .step = (s), .since_ms = (since), .serve_ms = (serve)                                  \
    }
#define SEEN(...)                                                                              \
    {                                                                                          \
        .now_ms = 1000, __VA_ARGS__                                                            \
    }

static const struct {
    const char *why;
    struct node_drain drain;
    struct node_drain_seen seen;
    enum node_drain_step next;
} rows[] = {
    {"nobody asked", DRAIN(NODE_SERVING, 0, 0), SEEN(.idle = true), NODE_SERVING},
    {"no thread yet is no reason", DRAIN(NODE_SERVING, 0, 0), SEEN(.ended = true),
     NODE_SERVING},
    {"asked", DRAIN(NODE_SERVING, 0, 0), SEEN(.asked = true), NODE_ANNOUNCED},
    {"asked in a hurry", DRAIN(NODE_SERVING, 0, 60000), SEEN(.asked = true, .hurry = true),
     NODE_CUTTING},
    {"announced for too short", DRAIN(NODE_ANNOUNCED, 500, 501), SEEN(.asked = true),
     NODE_ANNOUNCED},
    {"idle, but load balancers have not noticed", DRAIN(NODE_ANNOUNCED, 500, 501),
     SEEN(.asked = true, .idle = true), NODE_ANNOUNCED},
    {"announced for limits.drain", DRAIN(NODE_ANNOUNCED, 500, 500), SEEN(.asked = true),
     NODE_FINISHING},
    {"nothing to wait for", DRAIN(NODE_ANNOUNCED, 1000, 0), SEEN(.asked = true),
     NODE_FINISHING},
    {"asked again", DRAIN(NODE_ANNOUNCED, 1000, 60000), SEEN(.asked = true, .hurry = true),
     NODE_CUTTING},
    {"answers run", DRAIN(NODE_FINISHING, 1000, 0), SEEN(.asked = true), NODE_FINISHING},
    {"answers run nearly too long", DRAIN(NODE_FINISHING, 1001 - NODE_DRAIN_FINISH_MS, 0),
     SEEN(.asked = true), NODE_FINISHING},
    {"answers run too long", DRAIN(NODE_FINISHING, 1000 - NODE_DRAIN_FINISH_MS, 0),
     SEEN(.asked = true), NODE_CUTTING},
    {"a long drain gives answers as long",
     DRAIN(NODE_FINISHING, 1000 - NODE_DRAIN_FINISH_MS, NODE_DRAIN_FINISH_MS + 1),
     SEEN(.asked = true), NODE_FINISHING},
    {"and no longer",
     DRAIN(NODE_FINISHING, 999 - NODE_DRAIN_FINISH_MS, NODE_DRAIN_FINISH_MS + 1),
     SEEN(.asked = true), NODE_CUTTING},
    {"the last answer is out", DRAIN(NODE_FINISHING, 1000, 60000),
     SEEN(.asked = true, .idle = true), NODE_CUTTING},
    {"a hurry cuts answers", DRAIN(NODE_FINISHING, 1000, 60000),
     SEEN(.asked = true, .hurry = true), NODE_CUTTING},
    {"a thread has not ended", DRAIN(NODE_CUTTING, 1000, 0), SEEN(.idle = true), NODE_CUTTING},
    {"even a hurry waits for threads", DRAIN(NODE_CUTTING, 1000, 0), SEEN(.hurry = true),
     NODE_CUTTING},
    {"all threads have", DRAIN(NODE_CUTTING, 1000, 0), SEEN(.ended = true), NODE_OVER},
    {"it nearly hangs", DRAIN(NODE_CUTTING, 1001 - NODE_DRAIN_CUT_MS, 0), SEEN(.idle = true),
     NODE_CUTTING},
    {"it hangs", DRAIN(NODE_CUTTING, 1000 - NODE_DRAIN_CUT_MS, 0), SEEN(.idle = true),
     NODE_STUCK},
    {"ended at the last moment", DRAIN(NODE_CUTTING, 0 - NODE_DRAIN_CUT_MS, 0),
     SEEN(.ended = true), NODE_OVER},
    {"over is over", DRAIN(NODE_OVER, 0, 0), SEEN(.hurry = true), NODE_OVER},
    {"stuck stays", DRAIN(NODE_STUCK, 0, 0), SEEN(.ended = true), NODE_STUCK},
};

static void test_next(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum node_drain_step next = node_drain_next(&rows[i].drain, &rows[i].seen);
        if (next != rows[i].next)
            fail_msg("%s: %s instead of %s", rows[i].why, node_drain_text(next),
                     node_drain_text(rows[i].next));
    }
}

/* As control does: step after step, until nothing changes. */
static void test_whole(void **state)
{
    (void)state;
    struct node_drain d = {.serve_ms = 2000};
    struct node_drain_seen seen = {.asked = true};
    enum node_drain_step next;
    int64_t announced_ms = -1, finishing_ms = -1, cutting_ms = -1;
    for (seen.now_ms = 5000; d.step != NODE_OVER && seen.now_ms < 60000; seen.now_ms += 10) {
        seen.idle = seen.now_ms >= 9000;
        seen.ended = seen.now_ms >= 9500;
        while ((next = node_drain_next(&d, &seen)) != d.step) {
            node_drain_go(&d, next, seen.now_ms);
            if (next == NODE_ANNOUNCED)
                announced_ms = seen.now_ms;
            if (next == NODE_FINISHING)
                finishing_ms = seen.now_ms;
            if (next == NODE_CUTTING)
                cutting_ms = seen.now_ms;
        }
    }
    assert_int_equal(announced_ms, 5000);
    assert_int_equal(finishing_ms, 7000);
    assert_int_equal(cutting_ms, 9000);
    assert_int_equal(d.step, NODE_OVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_next),
                                       cmocka_unit_test(test_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
