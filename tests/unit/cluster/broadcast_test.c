#include "cluster/broadcast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cluster/random.h"

#define NO_LIMIT 1000u

/* What a pick gave, as "a bb ccc ". */
static const char *picked(struct cluster_broadcast *q, size_t room, size_t overhead,
                          bool counted, uint32_t limit, uint32_t max)
{
    static char text[4096];
    struct span out[300];
    uint32_t count = cluster_broadcast_pick(q, room, overhead, counted, limit, out, max);
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%.*s ", SPAN_ARG(out[i]));
    text[at] = 0;
    return text;
}

static void the_limit(void **state)
{
    (void)state;
    static const struct {
        uint32_t mult, members, limit;
    } rows[] = {{4, 0, 0},  {4, 1, 4},    {4, 3, 4},    {4, 9, 4}, {4, 10, 8},
                {4, 99, 8}, {4, 100, 12}, {4, 999, 12}, {2, 9, 2}, {4, 5000, 16}};
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(cluster_broadcast_limit(rows[i].mult, rows[i].members), rows[i].limit);
}

/* Messages put in the order given ("a,bb"; "!" before one: sent once before the next are put),
 * then one pick. */
static void the_order(void **state)
{
    (void)state;
    static const struct {
        const char *why, *put;
        size_t room, overhead;
        uint32_t max;
        const char *picked;
    } rows[] = {
        {"largest first", "a,ccc,bb", 100, 2, 255, "ccc bb a "},
        {"of equals the newest", "a,b,c", 100, 2, 255, "c b a "},
        {"fewest sends before size", "!cccc,bb,a", 100, 2, 255, "bb a cccc "},
        {"nothing queued", "", 100, 2, 255, ""},
        {"no room for the overhead", "a", 1, 2, 255, ""},
        {"no room for a byte", "a", 2, 2, 255, ""},
        {"fits exactly", "a", 3, 2, 255, "a "},
        {"two fit exactly", "a,bb", 7, 2, 255, "bb a "},
        {"one byte short", "a,bb", 6, 2, 255, "bb "},
        {"what does not fit is passed over", "eeeee,bb,a,dddd", 7, 2, 255, "eeeee "},
        {"the largest that fits", "eeeee,bb,a,dddd", 6, 2, 255, "dddd "},
        {"then smaller ones", "eeeee,bb,a,dddd", 10, 2, 255, "eeeee a "},
        {"over to those sent more", "!a,eeeee", 6, 2, 255, "a "},
        {"no more than asked for", "a,b,c", 100, 2, 2, "c b "},
        {"none asked for", "a", 100, 2, 0, ""},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct cluster_broadcast *q = cluster_broadcast_create(100, 10000);
        struct span rest = span_text(rows[i].put), part;
        while (rest.len > 0 && span_split(&rest, ',', &part)) {
            bool sent = span_starts(part, SPAN("!"));
            cluster_broadcast_put(q, 0, span_from(part, sent));
            if (sent)
                (void)picked(q, 100, 0, true, NO_LIMIT, 255);
        }
        const char *got =
            picked(q, rows[i].room, rows[i].overhead, true, NO_LIMIT, rows[i].max);
        if (strcmp(got, rows[i].picked) != 0)
            fail_msg("%s: \"%s\"", rows[i].why, got);
        cluster_broadcast_destroy(q);
    }
}

static void only_counted_sends_use_it_up(void **state)
{
    (void)state;
    struct cluster_broadcast *q = cluster_broadcast_create(100, 10000);
    cluster_broadcast_put(q, 1, SPAN("a"));
    for (unsigned i = 0; i < 10; i++)
        assert_string_equal(picked(q, 100, 2, false, 3, 255), "a ");
    for (unsigned i = 0; i < 3; i++) {
        assert_true(cluster_broadcast_holds(q, 1));
        assert_string_equal(picked(q, 100, 2, true, 3, 255), "a ");
    }
    assert_false(cluster_broadcast_holds(q, 1));
    assert_string_equal(picked(q, 100, 2, true, 3, 255), "");
    assert_int_equal(cluster_broadcast_dropped(q), 0);
    cluster_broadcast_destroy(q);
}

/* Every message goes out exactly `limit` times, and never twice in a packet. */
static void all_go_out_equally_often(void **state)
{
    (void)state;
    struct cluster_broadcast *q = cluster_broadcast_create(1000, 100000);
    unsigned sends[400] = {0};
    char text[50];
    for (unsigned i = 0; i < 400; i++) {
        int len = snprintf(text, sizeof(text), "%03u%.*s", i, (int)(i * 7 % 40),
                           "........................................");
        cluster_broadcast_put(q, i + 1, span_of(text, (size_t)len));
    }
    while (cluster_broadcast_count(q) > 0) {
        struct span out[255];
        uint32_t count = cluster_broadcast_pick(q, 300, 2, true, 4, out, 255);
        assert_true(count > 0);
        size_t bytes = 0;
        bool seen[400] = {false};
        for (uint32_t i = 0; i < count; i++) {
            uint64_t n;
            assert_true(span_to_u64(span_until(out[i], 3), &n));
            assert_false(seen[n]);
            seen[n] = true;
            sends[n]++;
            bytes += out[i].len + 2;
        }
        assert_true(bytes <= 300);
    }
    for (unsigned i = 0; i < 400; i++)
        assert_int_equal(sends[i], 4);
    cluster_broadcast_destroy(q);
}

/* The header's rules, without any cleverness. */
struct plain {
    uint32_t len, sends, number;
};

static int plain_order(const void *a, const void *b)
{
    const struct plain *x = a, *y = b;
    if (x->sends != y->sends)
        return x->sends < y->sends ? -1 : 1;
    if (x->len != y->len)
        return x->len > y->len ? -1 : 1;
    return x->number > y->number ? -1 : 1;
}

static void plain_pick(struct plain *queue, uint32_t *queued, uint32_t room, uint32_t limit,
                       char *text)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < *queued; i++) {
        struct plain m = queue[i];
        bool sent = m.len <= room;
        if (sent) {
            room -= m.len;
            text += sprintf(text, "%u ", m.number);
            m.sends++;
        }
        if (!sent || m.sends < limit)
            queue[left++] = m;
    }
    *queued = left;
    *text = 0;
    qsort(queue, left, sizeof(*queue), plain_order);
}

static void any_order_of_calls(void **state)
{
    (void)state;
    struct cluster_broadcast *q = cluster_broadcast_create(1000, 100000);
    struct cluster_random dice;
    struct plain queue[400];
    uint32_t queued = 0;
    cluster_random_seed(&dice, 1);
    for (uint32_t number = 1000; number < 3000; number++) {
        char text[64] = {0}, wanted[2048];
        queue[queued++] = (struct plain){4 + cluster_random_below(&dice, 40), 0, number};
        sprintf(text, "%u", number);
        cluster_broadcast_put(q, 0, span_of(text, queue[queued - 1].len));
        qsort(queue, queued, sizeof(*queue), plain_order);
        if (cluster_random_below(&dice, 3) > 0 && queued < 300)
            continue;
        uint32_t room = cluster_random_below(&dice, 1000);
        uint32_t limit = 2 + cluster_random_below(&dice, 3);
        struct span out[255];
        char got[2048] = "";
        size_t at = 0;
        uint32_t count = cluster_broadcast_pick(q, room, 0, true, limit, out, 255);
        for (uint32_t i = 0; i < count; i++)
            at += (size_t)snprintf(got + at, sizeof(got) - at, "%.4s ", out[i].ptr);
        plain_pick(queue, &queued, room, limit, wanted);
        assert_string_equal(got, wanted);
        assert_int_equal(cluster_broadcast_count(q), queued);
    }
    cluster_broadcast_destroy(q);
}

static void a_newer_one_replaces(void **state)
{
    (void)state;
    struct cluster_broadcast *q = cluster_broadcast_create(100, 10000);
    cluster_broadcast_put(q, 1, SPAN("old"));
    cluster_broadcast_put(q, 2, SPAN("b"));
    assert_string_equal(picked(q, 100, 2, true, NO_LIMIT, 255), "old b ");
    cluster_broadcast_put(q, 1, SPAN("n"));
    assert_string_equal(picked(q, 100, 2, true, NO_LIMIT, 255), "n b ");
    cluster_broadcast_put(q, 0, SPAN("x")); /* subject 0 replaces nothing */
    cluster_broadcast_put(q, 0, SPAN("y"));
    assert_int_equal(cluster_broadcast_count(q), 4);
    cluster_broadcast_remove(q, 2);
    cluster_broadcast_remove(q, 7);
    assert_false(cluster_broadcast_holds(q, 2));
    assert_int_equal(cluster_broadcast_count(q), 3);
    cluster_broadcast_destroy(q);
}

static void bounds(void **state)
{
    (void)state;
    struct cluster_broadcast *q = cluster_broadcast_create(3, 10);
    cluster_broadcast_put(q, 1, SPAN("aaa"));
    assert_string_equal(picked(q, 100, 2, true, NO_LIMIT, 255), "aaa ");
    cluster_broadcast_put(q, 2, SPAN("b"));
    cluster_broadcast_put(q, 3, SPAN("cc"));
    cluster_broadcast_put(q, 4, SPAN("d")); /* a fourth: the one sent most gives way */
    assert_false(cluster_broadcast_holds(q, 1));
    assert_int_equal(cluster_broadcast_dropped(q), 1);
    cluster_broadcast_put(q, 5, SPAN("e")); /* none sent: of the smallest, the oldest */
    assert_false(cluster_broadcast_holds(q, 2));
    cluster_broadcast_put(q, 6, SPAN("fffffffff")); /* too many bytes beside it */
    assert_string_equal(picked(q, 100, 2, true, NO_LIMIT, 255), "fffffffff ");
    assert_int_equal(cluster_broadcast_dropped(q), 5);
    cluster_broadcast_put(q, 7, SPAN("12345678901")); /* larger than all */
    assert_int_equal(cluster_broadcast_dropped(q), 6);
    assert_true(cluster_broadcast_holds(q, 6));
    cluster_broadcast_put(q, 6, SPAN("g"));
    cluster_broadcast_put(q, 8, SPAN("123456789")); /* exactly full */
    assert_int_equal(cluster_broadcast_dropped(q), 6);
    assert_int_equal(cluster_broadcast_count(q), 2);
    cluster_broadcast_destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_limit),
        cmocka_unit_test(the_order),
        cmocka_unit_test(only_counted_sends_use_it_up),
        cmocka_unit_test(all_go_out_equally_often),
        cmocka_unit_test(any_order_of_calls),
        cmocka_unit_test(a_newer_one_replaces),
        cmocka_unit_test(bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
