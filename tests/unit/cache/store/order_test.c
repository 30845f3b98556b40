#include "cache/store/order.h"

#include "bed.h"

#define MAP (16u << 20)

/* One transaction of the writer, by hand. */
static bool strip(struct bed *b, struct hash128 key, uint64_t body_id, uint64_t below_id)
{
    struct store_commit *c = &b->store->commit;
    struct store_step x = {.guard = c->guard,
                           .gone = &c->gone,
                           .next_id = &c->next_id,
                           .tail = c->tail,
                           .budget = 400,
                           .era = atomic_load(&c->era),
                           .far = c->far,
                           .chunk = c->chunk};
    lmdb_begin(&x.txn, c->guard->env, true);
    bool is = store_order_strip(&x, key, body_id, below_id);
    assert_int_equal(lmdb_commit(&x.txn), ERR_OK);
    c->tail = x.tail;
    return is;
}

static struct store_load load(struct bed *b, const struct bed_object *o)
{
    struct store_load l = {.job = bed_job(), .key = o->key, .primary = span_text(o->primary)};
    assert_int_equal(store_load(b->store, &l), ERR_OK);
    bed_wait(b);
    assert_int_equal(l.job.err, ERR_OK);
    return l;
}

static void put(struct bed *b, struct bed_object *o)
{
    assert_int_equal(store_put(b->store, &o->put), ERR_OK);
    bed_wait(b);
    assert_int_equal(o->put.job.err, ERR_OK);
}

/* Forms that were there when the object was chosen go; others, and the object, stay. */
static void test_strip(void **state)
{
    static char long_head[9000];
    (void)state;
    for (int far = 0; far < 2; far++) {
        struct bed *b = bed_create(MAP, false);
        struct bed_object o, form[2];
        bed_object_init(b, &o, 1, 10, 9000);
        (void)snprintf(long_head, sizeof(long_head), "x-seed: 10\r\nlong: %*s\r\n",
                       far ? 8000 : 1, "x");
        o.record.head = span_text(long_head);
        o.record.flags = STORE_RECORD_DENSE;
        for (unsigned i = 0; i < 2; i++) {
            bed_object_init(b, &form[i], 2 + i, 20, 4000);
            form[i].put.record = NULL;
            put(b, &form[i]);
            o.record.rep[o.record.rep_count++] =
                (struct store_rep){.encoding = i ? POLICY_GZIP : POLICY_ZSTD,
                                   .flags = STORE_REP_DERIVED,
                                   .body_id = form[i].store_body.body_id,
                                   .bytes = form[i].store_body.bytes,
                                   .xxh3 = form[i].store_body.xxh3};
        }
        put(b, &o);
        struct store_rewrite w = {.job = bed_job(),
                                  .key = o.key,
                                  .made_from = o.store_body.body_id,
                                  .record = &o.record};
        o.record.rep[0].bytes = o.store_body.bytes;
        o.record.rep[0].xxh3 = o.store_body.xxh3;
        assert_int_equal(store_rewrite(b->store, &w), ERR_OK);
        bed_wait(b);
        unsigned block = far ? 2 : 0; /* chunks of the far block */
        uint64_t id = o.store_body.body_id, second = form[1].store_body.body_id;
        store_run(b->store);
        assert_int_equal(bed_chunks(b), 3 + 2 + block);
        assert_false(strip(b, o.key, id + 1, UINT64_MAX));
        assert_false(strip(b, bed_key(b, 99), id, UINT64_MAX));
        assert_false(strip(b, o.key, id, form[0].store_body.body_id));
        assert_int_equal(bed_chunks(b), 3 + 2 + block);

        assert_true(strip(b, o.key, id, second));
        struct store_load l = load(b, &o);
        assert_int_equal(l.record.rep_count, 2);
        assert_int_equal(l.record.rep[1].body_id, second);
        assert_int_equal(bed_chunks(b), 3 + 1 + block);
        free(l.memory);

        assert_true(strip(b, o.key, id, second + 1));
        l = load(b, &o);
        assert_int_equal(l.record.rep_count, 1);
        assert_int_equal(l.record.flags, STORE_RECORD_DENSE);
        assert_true(span_equal(l.record.head, o.record.head));
        assert_true(span_equal(l.record.key, o.record.key));
        free(l.memory);
        assert_int_equal(bed_chunks(b), 3 + block);
        assert_int_equal(bed_verify_all(b), 1);
        assert_false(strip(b, o.key, id, UINT64_MAX));
        bed_object_fini(&o);
        bed_object_fini(&form[0]);
        bed_object_fini(&form[1]);
        bed_destroy(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_strip)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
