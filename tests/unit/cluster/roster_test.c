#include "cluster/roster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct cluster_members *members;
static struct cluster_random pcg;

static int open_members(void **state)
{
    (void)state;
    cluster_random_seed(&pcg, 5);
    members = cluster_members_create(1000, (struct hash_key){1, 2});
    return 0;
}

static int close_members(void **state)
{
    (void)state;
    cluster_members_destroy(members);
    return 0;
}

static struct cluster_member *member(const char *name, const char *meta)
{
    struct cluster_member *m;
    assert_int_equal(cluster_members_add(members, span_text(name), &pcg, &m), ERR_OK);
    cluster_member_set_meta(m, span_text(meta));
    m->addr = (struct addr){.family = ADDR_V4, .ip = {10, 0, 0, 1}, .port = 7946};
    return m;
}

static struct cluster_entry *find(const struct cluster_roster *r, const char *name)
{
    return cluster_roster_find(r, cluster_members_id(members, span_text(name)),
                               span_text(name));
}

static void outlives_the_member(void **state)
{
    (void)state;
    struct cluster_roster *r = cluster_roster_create(10);
    struct cluster_member *m = member("fra1", "tags");
    assert_null(find(r, "fra1"));
    struct cluster_entry *e = cluster_roster_add(r, m, 7);
    assert_ptr_equal(find(r, "fra1"), e);
    assert_true(e->status == CLUSTER_STATUS_ALIVE && e->since_us == 7 && e->rtt_own_us == -1);
    cluster_member_set_meta(m, SPAN("other tags")); /* is seen at once */
    assert_true(span_equal(cluster_entry_meta(e), SPAN("other tags")));
    cluster_roster_set(r, e, CLUSTER_STATUS_LEAVING, m, 8);
    assert_int_equal(cluster_roster_count_of(r, CLUSTER_STATUS_ALIVE), 0);
    assert_false(cluster_entry_gone(e));
    cluster_roster_set(r, e, CLUSTER_STATUS_FAILED, NULL, 9);
    cluster_members_drop(members, m);
    assert_ptr_equal(find(r, "fra1"), e);
    assert_true(span_equal(cluster_entry_name(e), SPAN("fra1")) &&
                span_equal(cluster_entry_meta(e), SPAN("other tags")));
    assert_int_equal(cluster_entry_addr(e)->port, 7946);
    cluster_roster_set(r, e, CLUSTER_STATUS_LEFT, NULL, 10);
    cluster_roster_set(r, e, CLUSTER_STATUS_LEFT, NULL, 11);
    assert_int_equal(e->since_us, 10);
    m = member("fra1", "new");
    cluster_roster_set(r, e, CLUSTER_STATUS_ALIVE, m, 12);
    assert_true(span_equal(cluster_entry_meta(e), SPAN("new")));
    assert_int_equal(cluster_roster_count(r), 1);
    assert_int_equal(cluster_roster_count_of(r, CLUSTER_STATUS_ALIVE), 1);
    cluster_roster_drop(r, e);
    assert_null(find(r, "fra1"));
    assert_int_equal(cluster_roster_count(r), 0);
    cluster_roster_destroy(r);
}

static void many_come_and_go(void **state)
{
    (void)state;
    struct cluster_roster *r = cluster_roster_create(400);
    bool in[300] = {false};
    char name[20];
    for (unsigned i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        (void)member(name, "");
    }
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = cluster_random_below(&pcg, 300);
        snprintf(name, sizeof(name), "n%u", i);
        struct cluster_entry *e = find(r, name);
        assert_int_equal(e != NULL, in[i]);
        if (e)
            cluster_roster_drop(r, e);
        else
            assert_non_null(
                cluster_roster_add(r, cluster_members_find(members, span_text(name)), step));
        in[i] = !in[i];
    }
    for (uint32_t i = 0; i < cluster_roster_count(r); i++)
        assert_int_equal(cluster_roster_at(r, i)->at, i);
    cluster_roster_destroy(r);
}

static void the_gone_make_room(void **state)
{
    (void)state;
    struct cluster_roster *r = cluster_roster_create(3);
    struct cluster_entry *a = cluster_roster_add(r, member("a", ""), 0);
    struct cluster_entry *b = cluster_roster_add(r, member("b", ""), 0);
    assert_non_null(cluster_roster_add(r, member("c", ""), 0));
    struct cluster_member *d = member("d", ""), *e = member("e", ""), *f = member("f", "");
    assert_null(cluster_roster_add(r, d, 1)); /* all live */
    cluster_roster_set(r, b, CLUSTER_STATUS_LEFT, NULL, 2);
    cluster_roster_set(r, a, CLUSTER_STATUS_FAILED, NULL, 3);
    assert_non_null(cluster_roster_add(r, d, 4));
    assert_null(find(r, "b"));
    assert_non_null(find(r, "a"));
    assert_non_null(cluster_roster_add(r, e, 5));
    assert_null(find(r, "a"));
    assert_null(cluster_roster_add(r, f, 6));
    assert_int_equal(cluster_roster_count_of(r, CLUSTER_STATUS_ALIVE), 3);
    cluster_roster_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(outlives_the_member, open_members, close_members),
        cmocka_unit_test_setup_teardown(many_come_and_go, open_members, close_members),
        cmocka_unit_test_setup_teardown(the_gone_make_room, open_members, close_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
