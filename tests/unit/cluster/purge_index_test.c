#include "cluster/purge_index.h"

#include <stdlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Random adds and drops beside a plain array. */
#define IDS 4000u

static struct cluster_purge_entry model[IDS];
static bool present[IDS];

static struct cluster_purge_entry entry(unsigned i)
{
    return (struct cluster_purge_entry){
        .key = {.hi = 1, .lo = i % 700}, /* several records of one key */
        .seq = i + 1,
        .apply_no = i + 1,
        .dedup = i % 3 ? 0 : i + 1,
        .stream = i % 2,
        .kind = 1,
        .mode = 1,
    };
}

static void check_all(const struct cluster_purge_index *x)
{
    unsigned count = 0;
    for (unsigned i = 0; i < IDS; i++) {
        struct cluster_purge_entry *e = cluster_purge_index_find(x, i % 2, i + 1);
        assert_int_equal(e != NULL, present[i]);
        assert_null(cluster_purge_index_find(x, 2, i + 1));
        count += present[i];
        if (!e)
            continue;
        assert_int_equal(e->seq, i + 1);
        if (e->dedup)
            assert_ptr_equal(cluster_purge_index_find_dedup(x, e->dedup), e);
        struct cluster_purge_entry *newest = cluster_purge_index_find_key(x, e->stream, e->key);
        if (newest)
            assert_true(hash128_equal(newest->key, e->key) && newest->stream == e->stream);
    }
    assert_int_equal(cluster_purge_index_count(x), count);
    size_t at = 0;
    unsigned walked = 0;
    for (struct cluster_purge_entry *e; (e = cluster_purge_index_walk(x, &at)); walked++)
        assert_true(present[e->seq - 1]);
    assert_int_equal(walked, count);
}

static void agrees_with_an_array(void **state)
{
    (void)state;
    struct cluster_purge_index *x = cluster_purge_index_create();
    unsigned seed = 4711;
    for (unsigned step = 0; step < 30000; step++) {
        unsigned i = (unsigned)rand_r(&seed) % IDS;
        if (present[i]) {
            cluster_purge_index_drop(x, cluster_purge_index_find(x, i % 2, i + 1));
            present[i] = false;
        } else if (rand_r(&seed) % 4 || step < 20000) {
            model[i] = entry(i);
            struct cluster_purge_entry *e = cluster_purge_index_add(x, &model[i]);
            assert_ptr_equal(cluster_purge_index_find_key(x, e->stream, e->key), e);
            present[i] = true;
        }
        if (step % 3000 == 0)
            check_all(x);
    }
    cluster_purge_index_sort(x);
    check_all(x);
    uint64_t before = 0;
    size_t at = 0;
    for (struct cluster_purge_entry *e; (e = cluster_purge_index_walk(x, &at));) {
        assert_true(e->apply_no > before);
        before = e->apply_no;
    }
    for (unsigned i = 0; i < IDS; i++) {
        if (present[i])
            cluster_purge_index_drop(x, cluster_purge_index_find(x, i % 2, i + 1));
        present[i] = false;
    }
    check_all(x);
    cluster_purge_index_destroy(x);
    cluster_purge_index_destroy(NULL);
}

static void no_dedup_id_is_never_found(void **state)
{
    (void)state;
    struct cluster_purge_index *x = cluster_purge_index_create();
    struct cluster_purge_entry e = entry(1);
    assert_int_equal(e.dedup, 0);
    (void)cluster_purge_index_add(x, &e);
    assert_null(cluster_purge_index_find_dedup(x, 0));
    cluster_purge_index_destroy(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_an_array),
        cmocka_unit_test(no_dedup_id_is_never_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
