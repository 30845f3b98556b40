#include "node/origin/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

/* Nodes by a word: "a" in the region of this one, "A" in the shield region; "*" behind this
 * one, whose own region is the shield's when the word begins with a capital. */
static struct origin_peers *crowd(const struct origin_peers *old, const char *text)
{
    static char ids[64][8];
    struct origin_peer_told told[64];
    uint32_t count = 0;
    for (const char *at = text; *at; at++) {
        if (*at == '*') {
            told[count - 1].me = told[count - 1].near = true;
            told[count - 1].shield = text[0] < 'a';
            continue;
        }
        snprintf(ids[count], sizeof ids[count], "%c", *at | 32);
        told[count] = (struct origin_peer_told){.id = span_text(ids[count]),
                                                .address = {.family = ADDR_V4, .port = 7947},
                                                .capacity = 1,
                                                .near = *at >= 'a',
                                                .shield = *at < 'a'};
        count++;
    }
    return origin_peers_create(old, told, count);
}

static uint32_t choose(struct origin_peers *p, const char *key, unsigned hops, int64_t now_ms,
                       char *out)
{
    struct origin_peer *at[ORIGIN_PEERS_ASKED_MAX];
    uint32_t n = origin_peers_choose(p, span_text(key), hops, now_ms, at);
    for (uint32_t i = 0; i < n; i++) {
        out[i] = at[i]->id[0];
        assert_false(at[i]->me);
        origin_peer_drop(at[i]);
    }
    out[n] = 0;
    return n;
}

/* All nodes of a region agree on the owner, who asks nobody. */
static void test_all_say_the_same(void **state)
{
    (void)state;
    static const char *const views[] = {"a*bc", "ab*c", "abc*"};
    unsigned owners[3] = {0};
    for (unsigned k = 0; k < 300; k++) {
        char key[16], named[3][8];
        snprintf(key, sizeof key, "key %u", k);
        int owner = -1;
        for (int v = 0; v < 3; v++) {
            struct origin_peers *p = crowd(NULL, views[v]);
            if (choose(p, key, 0, 1000, named[v]) == 0)
                owner = v;
            origin_peers_drop(p);
        }
        assert_true(owner >= 0);
        owners[owner]++;
        for (int v = 0; v < 3; v++)
            if (v != owner)
                assert_int_equal(named[v][0], 'a' + owner);
    }
    for (int v = 0; v < 3; v++)
        assert_in_range(owners[v], 60, 140); /* about a third each */
}

static void test_hops_and_shield(void **state)
{
    (void)state;
    static const struct {
        const char *why, *crowd;
        unsigned hops, least, most;
        char from, to; /* who may be named */
    } rows[] = {
        {"nobody else", "a*", 0, 0, 0, 0, 0},
        {"behind a shield, alone in the region", "a*BC", 0, 1, 2, 'b', 'c'},
        {"of the owner's own misses", "a*BC", 1, 1, 2, 'b', 'c'},
        {"two hops are all", "a*BC", 2, 0, 0, 0, 0},
        {"who was asked by another one asks no third", "a*bc", 1, 0, 0, 0, 0},
        {"the shield region itself asks none", "A*BC", 1, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct origin_peers *p = crowd(NULL, rows[i].crowd);
        for (unsigned k = 0; k < 50; k++) {
            char key[16], named[8];
            snprintf(key, sizeof key, "key %u", k);
            uint32_t n = choose(p, key, rows[i].hops, 1000, named);
            if (n < rows[i].least || n > rows[i].most)
                fail_msg("%s: %u named", rows[i].why, n);
            for (uint32_t j = 0; j < n; j++)
                if (named[j] < rows[i].from || named[j] > rows[i].to)
                    fail_msg("%s: %s", rows[i].why, named);
        }
        origin_peers_drop(p);
    }
    char named[8];
    assert_int_equal(choose(NULL, "key", 0, 1000, named), 0);
}

static const char *key_of(struct origin_peers *p, char owner)
{
    static char key[16];
    char named[8];
    for (unsigned k = 0; k < 1000; k++) {
        snprintf(key, sizeof key, "key %u", k);
        if (choose(p, key, 0, 1000, named) && named[0] == owner)
            return key;
    }
    fail();
    return NULL;
}

static void test_who_is_silent_rests(void **state)
{
    (void)state;
    struct origin_peers *p = crowd(NULL, "a*bc");
    char named[8];
    const char *key = key_of(p, 'b');
    origin_peer_was_silent(p->at[1], 1000);
    for (int64_t at = 1000; at < 1000 + ORIGIN_PEERS_REST_MS; at += 500)
        if (choose(p, key, 0, at, named))
            assert_int_not_equal(named[0], 'b');
    int64_t over = 1000 + ORIGIN_PEERS_REST_MS;
    assert_true(choose(p, key, 0, over, named) && named[0] == 'b'); /* one tries it */
    if (choose(p, key, 0, over, named))
        assert_int_not_equal(named[0], 'b'); /* the others wait for what comes of it */
    origin_peer_answered(p->at[1]);
    assert_true(choose(p, key, 0, over, named) && named[0] == 'b');
    origin_peers_drop(p);
}

/* Open requests and silence outlive a snapshot; what is told anew makes another peer. */
static void test_snapshots(void **state)
{
    (void)state;
    struct origin_peers *p = crowd(NULL, "a*bc"), *next;
    atomic_store(&p->at[1]->open, 7);
    origin_peer_was_silent(p->at[1], 1000);
    next = crowd(p, "a*bcd");
    assert_ptr_equal(next->at[1], p->at[1]);
    origin_peers_drop(p);
    assert_int_equal(atomic_load(&next->at[1]->open), 7);
    assert_true(atomic_load(&next->at[1]->rests_until_ms) > 0);
    struct origin_peer_told told[4];
    for (uint32_t i = 0; i < 4; i++)
        told[i] = (struct origin_peer_told){.id = span_text(next->at[i]->id),
                                            .address = {.family = ADDR_V4, .port = 7947},
                                            .capacity = 1,
                                            .load = 50,
                                            .me = next->at[i]->me,
                                            .near = next->at[i]->near,
                                            .shield = next->at[i]->shield};
    assert_true(origin_peers_are(next, told, 4));
    assert_false(origin_peers_are(next, told, 3));
    assert_false(origin_peers_are(NULL, told, 4));
    origin_peers_note(next, told, 4);
    assert_int_equal(atomic_load(&next->at[2]->load), 50);
    told[1].address.port++;
    assert_false(origin_peers_are(next, told, 4));
    p = origin_peers_create(next, told, 4);
    assert_ptr_not_equal(p->at[1], next->at[1]);
    assert_ptr_equal(p->at[2], next->at[2]);
    origin_peers_drop(next);
    origin_peers_drop(p);
}

/* Who says that it is full is passed over. */
static void test_load(void **state)
{
    (void)state;
    struct origin_peers *p = crowd(NULL, "a*bc");
    char named[8];
    const char *key = key_of(p, 'b');
    atomic_store(&p->at[1]->load, 100);
    if (choose(p, key, 0, 1000, named))
        assert_int_not_equal(named[0], 'b');
    atomic_store(&p->at[1]->load, 0);
    atomic_store(&p->at[1]->open, 100000);
    if (choose(p, key, 0, 1000, named))
        assert_int_not_equal(named[0], 'b');
    origin_peers_drop(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_say_the_same),
        cmocka_unit_test(test_hops_and_shield),
        cmocka_unit_test(test_who_is_silent_rests),
        cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
