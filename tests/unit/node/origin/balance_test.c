#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "node/origin/balance.h"

#define NONE UINT32_MAX

static void picks(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint32_t servers, turn;
        uint64_t tried;
        uint32_t want; /* NONE: all were tried */
    } rows[] = {
        {"one server", 1, 0, 0, 0},
        {"one server, any turn", 1, 7, 0, 0},
        {"the first turn", 3, 0, 0, 0},
        {"the next one", 3, 1, 0, 1},
        {"the last one", 3, 2, 0, 2},
        {"around", 3, 3, 0, 0},
        {"the largest turn", 3, UINT32_MAX, 0, 0},
        {"tried: the one after it", 3, 1, 0x2, 2},
        {"tried at the end: around", 3, 2, 0x4, 0},
        {"two tried", 3, 1, 0x6, 0},
        {"another one tried does not matter", 3, 1, 0x5, 1},
        {"all tried", 3, 1, 0x7, NONE},
        {"the only one tried", 1, 5, 0x1, NONE},
        {"no servers", 0, 5, 0, NONE},
        {"the last of 64", 64, 63, 0, 63},
        {"the 64th bit", 64, 63, UINT64_C(1) << 63, 0},
        {"63 of 64 tried", 64, 0, ~(UINT64_C(1) << 63), 63},
        {"64 tried", 64, 9, UINT64_MAX, NONE},
        {"more than 64: the first 64", 100, 64, 0, 0},
        {"more than 64, all of the first tried", 100, 70, UINT64_MAX, NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t got = NONE;
        bool found = origin_balance_pick(rows[i].servers, rows[i].turn, rows[i].tried, &got);
        if (got != rows[i].want || found != (rows[i].want != NONE))
            fail_msg("%s: %d %u", rows[i].why, found, got);
    }
}

/* Each gets its share, whatever the number of servers. */
static void takes_turns(void **state)
{
    (void)state;
    for (uint32_t servers = 1; servers <= ORIGIN_SERVERS_MAX; servers++) {
        unsigned got[ORIGIN_SERVERS_MAX] = {0};
        for (uint32_t turn = 0; turn < servers * 5; turn++) {
            uint32_t at;
            assert_true(origin_balance_pick(servers, turn, 0, &at));
            assert_true(at < servers);
            got[at]++;
        }
        for (uint32_t i = 0; i < servers; i++)
            assert_int_equal(got[i], 5);
    }
}

/* In letters: i idempotent, b body taken, s sent, a answered, r reused, o another server. */
static struct origin_attempt attempt_of(const char *letters, uint32_t retries, uint32_t max)
{
    return (struct origin_attempt){
        .idempotent = strchr(letters, 'i'),
        .body_taken = strchr(letters, 'b'),
        .sent = strchr(letters, 's'),
        .answered = strchr(letters, 'a'),
        .reused = strchr(letters, 'r'),
        .other_server = strchr(letters, 'o'),
        .retries = retries,
        .retry_max = max,
    };
}

static void what_next(void **state)
{
    (void)state;
    static const struct {
        const char *why, *letters;
        uint32_t retries, max;
        enum origin_next want;
    } rows[] = {
        {"GET, never connected", "io", 0, 1, ORIGIN_NEXT_OTHER},
        {"POST, never connected", "o", 0, 1, ORIGIN_NEXT_OTHER},
        {"never connected, no other", "i", 0, 1, ORIGIN_NEXT_FAIL},
        {"never connected, no retries", "io", 0, 0, ORIGIN_NEXT_FAIL},
        {"never connected, retries used up", "io", 1, 1, ORIGIN_NEXT_FAIL},
        {"the second of two retries", "io", 1, 2, ORIGIN_NEXT_OTHER},
        {"GET, sent", "ios", 0, 1, ORIGIN_NEXT_OTHER},
        {"GET, sent, no other", "is", 0, 1, ORIGIN_NEXT_FAIL},
        {"GET, sent, no retries", "ios", 0, 0, ORIGIN_NEXT_FAIL},
        {"GET, sent, retries used up", "ios", 2, 2, ORIGIN_NEXT_FAIL},
        {"POST, sent", "os", 0, 1, ORIGIN_NEXT_FAIL},
        {"GET, answered", "iosa", 0, 1, ORIGIN_NEXT_FAIL},
        {"GET, a kept connection was closed", "iosr", 0, 1, ORIGIN_NEXT_SAME_FRESH},
        {"likewise with one server", "isr", 0, 1, ORIGIN_NEXT_SAME_FRESH},
        {"likewise without retries", "iosr", 0, 0, ORIGIN_NEXT_SAME_FRESH},
        {"likewise with all retries used up", "iosr", 1, 1, ORIGIN_NEXT_SAME_FRESH},
        {"answered over a kept connection", "iosar", 0, 1, ORIGIN_NEXT_FAIL},
        {"POST over a kept connection", "osr", 0, 1, ORIGIN_NEXT_FAIL},
        {"PUT, its body begun", "iosb", 0, 1, ORIGIN_NEXT_FAIL},
        {"PUT, its body begun before it was connected", "iob", 0, 1, ORIGIN_NEXT_FAIL},
        {"PUT, its body begun on a kept connection", "iosbr", 0, 1, ORIGIN_NEXT_FAIL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct origin_attempt a = attempt_of(rows[i].letters, rows[i].retries, rows[i].max);
        enum origin_next got = origin_balance_next(&a);
        if (got != rows[i].want)
            fail_msg("%s: %d", rows[i].why, got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(picks),
        cmocka_unit_test(takes_turns),
        cmocka_unit_test(what_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
