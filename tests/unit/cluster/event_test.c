#include "cluster/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct wire_serf_event event(uint64_t ltime, const char *name, const char *payload)
{
    return (struct wire_serf_event){
        .ltime = ltime, .name = span_text(name), .payload = span_text(payload)};
}

static void a_clock_believes_no_jump(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint64_t now, ltime;
        bool believed;
        uint64_t after;
    } rows[] = {
        {"the past moves nothing", 10, 3, true, 10},
        {"zero is the past", 1, 0, true, 1},
        {"the present is over", 10, 10, true, 11},
        {"the future is near", 10, 99, true, 100},
        {"the farthest that is believed", 10, 10 + CLUSTER_LTIME_JUMP, true,
         11 + CLUSTER_LTIME_JUMP},
        {"one farther", 10, 11 + CLUSTER_LTIME_JUMP, false, 10},
        {"the end of numbers", 10, UINT64_MAX, false, 10},
        {"the last below the ceiling", CLUSTER_LTIME_CEILING - 5, CLUSTER_LTIME_CEILING - 1,
         true, CLUSTER_LTIME_CEILING},
        {"the ceiling", CLUSTER_LTIME_CEILING - 5, CLUSTER_LTIME_CEILING, false,
         CLUSTER_LTIME_CEILING - 5},
        {"at the ceiling the past still counts", CLUSTER_LTIME_CEILING, 7, true,
         CLUSTER_LTIME_CEILING},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster_clock c = {.now = rows[i].now};
        if (cluster_clock_witness(&c, rows[i].ltime) != rows[i].believed ||
            c.now != rows[i].after)
            fail_msg("%s: %llu", rows[i].why, (unsigned long long)c.now);
    }
}

static void what_is_news(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint64_t ltime;
        const char *name, *payload;
        enum cluster_heard heard;
        uint64_t now; /* afterwards */
    } rows[] = {
        {"the first", 1, "purge", "/x", CLUSTER_HEARD_NEWS, 2},
        {"again", 1, "purge", "/x", CLUSTER_HEARD_DUPLICATE, 2},
        {"another payload at that time", 1, "purge", "/y", CLUSTER_HEARD_NEWS, 2},
        {"another name", 1, "purge2", "/x", CLUSTER_HEARD_NEWS, 2},
        {"the boundary of name and payload moves", 1, "purge/", "x", CLUSTER_HEARD_NEWS, 2},
        {"another time", 2, "purge", "/x", CLUSTER_HEARD_NEWS, 3},
        {"time zero, as nobody sends it", 0, "a", "", CLUSTER_HEARD_NEWS, 3},
        {"far ahead", 600, "a", "", CLUSTER_HEARD_NEWS, 601},
        {"just old", 88, "a", "", CLUSTER_HEARD_OLD, 601},
        {"the oldest that counts: its slot is that of 601, which is free", 89, "a", "",
         CLUSTER_HEARD_NEWS, 601},
        {"the slot of 89 has a newer time now", 601, "a", "", CLUSTER_HEARD_NEWS, 602},
        {"and what was there is old", 89, "b", "", CLUSTER_HEARD_OLD, 602},
        {"what was heard before the jump is old", 2, "purge", "/x", CLUSTER_HEARD_OLD, 602},
        {"too far ahead", UINT64_MAX, "a", "", CLUSTER_HEARD_REFUSED, 602},
    };
    struct cluster_events *e = cluster_events_create();
    assert_int_equal(cluster_events_now(e), 1);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_serf_event ev = event(rows[i].ltime, rows[i].name, rows[i].payload);
        enum cluster_heard heard = cluster_events_hear(e, &ev);
        if (heard != rows[i].heard || cluster_events_now(e) != rows[i].now)
            fail_msg("%s: %d, %llu", rows[i].why, (int)heard,
                     (unsigned long long)cluster_events_now(e));
    }
    cluster_events_destroy(e);
}

static void lists_what_it_holds(void **state)
{
    (void)state;
    struct cluster_events *e = cluster_events_create();
    struct wire_serf_event *list;
    assert_int_equal(cluster_events_list(e, &list), 0);
    free(list);
    struct wire_serf_event ev[] = {event(3, "a", "1"), event(2, "b", "2"), event(3, "c", "")};
    ev[2].payload = span_of(NULL, 0);
    ev[1].coalesce = true;
    for (unsigned i = 0; i < ARRAY_LEN(ev); i++)
        assert_int_equal(cluster_events_hear(e, &ev[i]), CLUSTER_HEARD_NEWS);
    assert_int_equal(cluster_events_list(e, &list), 3);
    assert_true(list[0].ltime == 2 && list[0].coalesce && span_equal(list[0].name, SPAN("b")));
    assert_true(list[1].ltime == 3 && span_equal(list[1].payload, SPAN("1")));
    assert_true(list[2].ltime == 3 && !list[2].payload.ptr);
    free(list);
    cluster_events_destroy(e);
}

/* Whatever strangers send, memory stays below the bound and what is new gets in. */
static void a_flood_takes_the_oldest(void **state)
{
    (void)state;
    struct cluster_events *e = cluster_events_create();
    char payload[1001];
    memset(payload, 'p', 1000);
    payload[1000] = 0;
    unsigned kept = 0;
    for (unsigned i = 0; i < 5000; i++) {
        struct wire_serf_event ev = event(1 + i / 10, "flood", payload);
        snprintf(payload, sizeof(payload), "%06u", i);
        payload[6] = 'p';
        enum cluster_heard heard = cluster_events_hear(e, &ev);
        kept += heard == CLUSTER_HEARD_NEWS;
        assert_true(cluster_events_bytes(e) <= CLUSTER_EVENTS_BYTES);
    }
    assert_int_equal(kept, 5000);
    struct wire_serf_event *list;
    size_t count = cluster_events_list(e, &list);
    assert_in_range(count, 900, 1000);
    for (size_t i = 0; i < count; i++)
        assert_true(list[i].ltime > 400);
    free(list);
    /* What made room is old, not news: it would go round again. */
    snprintf(payload, sizeof(payload), "%06u", 0);
    payload[6] = 'p';
    struct wire_serf_event old = event(1, "flood", payload);
    assert_int_equal(cluster_events_hear(e, &old), CLUSTER_HEARD_OLD);
    cluster_events_destroy(e);
}

static void one_time_has_its_share(void **state)
{
    (void)state;
    struct cluster_events *e = cluster_events_create();
    char name[20];
    for (unsigned i = 0; i <= CLUSTER_EVENTS_SLOT; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        struct wire_serf_event ev = event(5, name, "");
        assert_int_equal(cluster_events_hear(e, &ev),
                         i < CLUSTER_EVENTS_SLOT ? CLUSTER_HEARD_NEWS : CLUSTER_HEARD_DROPPED);
    }
    struct wire_serf_event known = event(5, "n7", "");
    assert_int_equal(cluster_events_hear(e, &known), CLUSTER_HEARD_DUPLICATE);
    struct wire_serf_event next = event(6, "n", "");
    assert_int_equal(cluster_events_hear(e, &next), CLUSTER_HEARD_NEWS);
    cluster_events_destroy(e);
}

/* All the room is one time's: others are older than it, and find none. */
static void no_room_for_what_is_older(void **state)
{
    (void)state;
    struct cluster_events *e = cluster_events_create();
    size_t bytes = CLUSTER_EVENTS_BYTES / 200;
    char *payload = must_alloc(bytes + 1);
    memset(payload, 'x', bytes);
    for (unsigned i = 0; i < 199; i++) {
        payload[0] = (char)i;
        struct wire_serf_event ev = {
            .ltime = 9, .name = SPAN("n"), .payload = span_of(payload, bytes)};
        assert_int_equal(cluster_events_hear(e, &ev),
                         i < 197 ? CLUSTER_HEARD_NEWS : CLUSTER_HEARD_DROPPED);
    }
    struct wire_serf_event older = {
        .ltime = 8, .name = SPAN("n"), .payload = span_of(payload, bytes)};
    assert_int_equal(cluster_events_hear(e, &older), CLUSTER_HEARD_DROPPED);
    struct wire_serf_event newer = older;
    newer.ltime = 10;
    assert_int_equal(cluster_events_hear(e, &newer), CLUSTER_HEARD_NEWS);
    struct wire_serf_event huge = {
        .ltime = 11, .name = SPAN("n"), .payload = span_of(payload, 0)};
    huge.payload.len = CLUSTER_EVENTS_BYTES; /* refused before it is looked at */
    assert_int_equal(cluster_events_hear(e, &huge), CLUSTER_HEARD_DROPPED);
    free(payload);
    cluster_events_destroy(e);
}

static void queries_by_time_and_id(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint64_t ltime;
        uint32_t id;
        enum cluster_heard heard;
    } rows[] = {
        {"the first", 1, 7, CLUSTER_HEARD_NEWS},
        {"again", 1, 7, CLUSTER_HEARD_DUPLICATE},
        {"another id", 1, 8, CLUSTER_HEARD_NEWS},
        {"another time", 2, 7, CLUSTER_HEARD_NEWS},
        {"id zero", 2, 0, CLUSTER_HEARD_NEWS},
        {"a turn of the slots later", 513, 7, CLUSTER_HEARD_NEWS},
        {"that slot was 1's", 1, 7, CLUSTER_HEARD_OLD},
        {"2 is the oldest that counts", 2, 7, CLUSTER_HEARD_DUPLICATE},
        {"far ahead", 1000, 7, CLUSTER_HEARD_NEWS},
        {"just old", 488, 7, CLUSTER_HEARD_OLD},
        {"not yet old", 489, 7, CLUSTER_HEARD_NEWS},
        {"too far ahead", CLUSTER_LTIME_CEILING, 7, CLUSTER_HEARD_REFUSED},
    };
    struct cluster_queries *q = cluster_queries_create();
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        enum cluster_heard heard = cluster_queries_hear(q, rows[i].ltime, rows[i].id);
        if (heard != rows[i].heard)
            fail_msg("%s: %d", rows[i].why, (int)heard);
    }
    for (uint32_t id = 0; id <= CLUSTER_QUERIES_SLOT; id++)
        assert_int_equal(cluster_queries_hear(q, 1001, id), id < CLUSTER_QUERIES_SLOT
                                                                ? CLUSTER_HEARD_NEWS
                                                                : CLUSTER_HEARD_DROPPED);
    for (uint32_t id = 0; id < CLUSTER_QUERIES_SLOT; id++)
        assert_int_equal(cluster_queries_hear(q, 1001, id), CLUSTER_HEARD_DUPLICATE);
    cluster_queries_destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_believes_no_jump), cmocka_unit_test(what_is_news),
        cmocka_unit_test(lists_what_it_holds),      cmocka_unit_test(a_flood_takes_the_oldest),
        cmocka_unit_test(one_time_has_its_share),   cmocka_unit_test(no_room_for_what_is_older),
        cmocka_unit_test(queries_by_time_and_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
