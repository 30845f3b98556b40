#include "cluster/purge_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static char selector[PURGE_SELECTOR_MAX], site[PURGE_SITE_MAX], node[CLUSTER_PURGE_NODE_MAX];

static struct cluster_purge_record sample(void)
{
    return (struct cluster_purge_record){
        .stream = UINT64_C(0xfedcba9876543210),
        .seq = 7,
        .apply_no = UINT64_C(3) << 40 | 12,
        .dedup = 99,
        .accepted_at_s = 1700000000,
        .node = SPAN("fra1"),
        .purge = {PURGE_TAG, PURGE_SOFT, SPAN("product-1"), SPAN("www")},
    };
}

static bool same(const struct cluster_purge_record *a, const struct cluster_purge_record *b)
{
    return a->stream == b->stream && a->seq == b->seq && a->apply_no == b->apply_no &&
           a->dedup == b->dedup && a->accepted_at_s == b->accepted_at_s &&
           span_equal(a->node, b->node) && a->purge.kind == b->purge.kind &&
           a->purge.mode == b->purge.mode && span_equal(a->purge.selector, b->purge.selector) &&
           span_equal(a->purge.site, b->purge.site);
}

static void comes_back(void **state)
{
    (void)state;
    uint8_t bytes[CLUSTER_PURGE_BYTES_MAX];
    struct cluster_purge_record r = sample(), back;
    size_t len = cluster_purge_record_encode(&r, bytes);
    assert_int_equal(cluster_purge_record_decode(r.stream, r.seq, span_of(bytes, len), &back),
                     ERR_OK);
    assert_true(same(&r, &back));
    assert_int_equal(cluster_purge_record_parts_of(span_of(bytes, len)), 1);
    assert_true(len < 100);
    memset(selector, 's', sizeof(selector));
    memset(site, 'w', sizeof(site));
    memset(node, 'n', sizeof(node));
    r.node = span_of(node, sizeof(node));
    r.purge.site = span_of(site, sizeof(site));
    r.purge.selector = span_of(selector, sizeof(selector));
    r.accepted_at_s = -1;
    len = cluster_purge_record_encode(&r, bytes);
    assert_int_equal(len, CLUSTER_PURGE_BYTES_MAX);
    assert_int_equal(cluster_purge_record_parts_of(span_of(bytes, len)), 3);
    assert_int_equal(cluster_purge_record_decode(r.stream, r.seq, span_of(bytes, len), &back),
                     ERR_OK);
    assert_true(same(&r, &back));
}

static void no_changed_octet_passes(void **state)
{
    (void)state;
    uint8_t bytes[CLUSTER_PURGE_BYTES_MAX];
    struct cluster_purge_record r = sample(), back;
    size_t len = cluster_purge_record_encode(&r, bytes);
    for (size_t i = 0; i < len; i++) {
        bytes[i] ^= 0x10;
        assert_int_equal(
            cluster_purge_record_decode(r.stream, r.seq, span_of(bytes, len), &back),
            ERR_CORRUPT);
        bytes[i] ^= 0x10;
        assert_int_equal(cluster_purge_record_decode(r.stream, r.seq, span_of(bytes, i), &back),
                         ERR_CORRUPT);
    }
    /* The key belongs to it: a record under another number is none. */
    assert_int_equal(cluster_purge_record_decode(r.stream, 8, span_of(bytes, len), &back),
                     ERR_CORRUPT);
    assert_int_equal(cluster_purge_record_decode(1, r.seq, span_of(bytes, len), &back),
                     ERR_CORRUPT);
    assert_int_equal(cluster_purge_record_parts_of(span_of(bytes, 27)), 0);
    bytes[1] = 4;
    assert_int_equal(cluster_purge_record_parts_of(span_of(bytes, len)), 0);
}

static void keys(void **state)
{
    (void)state;
    uint8_t key[CLUSTER_PURGE_KEY], next[CLUSTER_PURGE_KEY];
    uint64_t stream, seq;
    unsigned part;
    size_t len = cluster_purge_record_key(1, 255, 0, key);
    assert_int_equal(len, 16);
    assert_true(cluster_purge_record_key_read(span_of(key, len), &stream, &seq, &part));
    assert_true(stream == 1 && seq == 255 && part == 0);
    /* Parts follow their record, and come before the next one. */
    size_t part_len = cluster_purge_record_key(1, 255, 2, next);
    assert_int_equal(part_len, 17);
    assert_true(span_compare(span_of(key, len), span_of(next, part_len)) < 0);
    assert_true(cluster_purge_record_key_read(span_of(next, part_len), &stream, &seq, &part));
    assert_int_equal(part, 2);
    (void)cluster_purge_record_key(1, 256, 0, key);
    assert_true(span_compare(span_of(next, part_len), span_of(key, len)) < 0);
    assert_false(cluster_purge_record_key_read(span_of(key, 15), &stream, &seq, &part));
    assert_false(cluster_purge_record_key_read(span_of(NULL, 0), &stream, &seq, &part));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back),
        cmocka_unit_test(no_changed_octet_passes),
        cmocka_unit_test(keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
