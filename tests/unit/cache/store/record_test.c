#include "cache/store/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char long_text[STORE_FAR_MAX];

static struct store_record object(void)
{
    struct store_record r = {
        .kind = STORE_OBJECT,
        .flags = STORE_RECORD_STALE,
        .fill_no = UINT64_C(7) << 40 | 99,
        .key = SPAN("https|example.com:443|/a?b=c"),
        .vary = SPAN("accept-language: de\n"),
        .status = 200,
        .facts = {.requested_at_s = 1700000000,
                  .received_at_s = 1700000001,
                  .date_at_s = 1700000000,
                  .expires_at_s = 0,
                  .modified_at_s = POLICY_NONE,
                  .age_s = 5,
                  .max_age_s = POLICY_SECONDS_MAX,
                  .stale_refresh_s = POLICY_NONE,
                  .stale_error_s = 60,
                  .no_stale = true},
        .head = SPAN("content-type: text/html\r\netag: \"x\"\r\n"),
        .rep_count = 2,
        .tag_count = 3,
        .rep = {{.encoding = POLICY_IDENTITY, .body_id = 12, .bytes = 4081, .xxh3 = 77},
                {.encoding = POLICY_ZSTD,
                 .flags = STORE_REP_DERIVED,
                 .body_id = 13,
                 .bytes = 1,
                 .xxh3 = 78}},
        .tag_hash = {1, 2, UINT64_MAX},
    };
    return r;
}

static void assert_same(const struct store_record *a, const struct store_record *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->fill_no, b->fill_no);
    assert_true(span_equal(a->key, b->key));
    assert_true(span_equal(a->vary, b->vary));
    assert_true(span_equal(a->head, b->head));
    assert_int_equal(a->variants, b->variants);
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->facts.requested_at_s, b->facts.requested_at_s);
    assert_int_equal(a->facts.received_at_s, b->facts.received_at_s);
    assert_int_equal(a->facts.date_at_s, b->facts.date_at_s);
    assert_int_equal(a->facts.expires_at_s, b->facts.expires_at_s);
    assert_int_equal(a->facts.modified_at_s, b->facts.modified_at_s);
    assert_int_equal(a->facts.age_s, b->facts.age_s);
    assert_int_equal(a->facts.max_age_s, b->facts.max_age_s);
    assert_int_equal(a->facts.stale_refresh_s, b->facts.stale_refresh_s);
    assert_int_equal(a->facts.stale_error_s, b->facts.stale_error_s);
    assert_int_equal(a->facts.no_cache, b->facts.no_cache);
    assert_int_equal(a->facts.no_stale, b->facts.no_stale);
    assert_int_equal(a->facts.windows_only, b->facts.windows_only);
    assert_int_equal(a->rep_count, b->rep_count);
    for (unsigned i = 0; i < a->rep_count; i++) {
        assert_int_equal(a->rep[i].encoding, b->rep[i].encoding);
        assert_int_equal(a->rep[i].flags, b->rep[i].flags);
        assert_int_equal(a->rep[i].body_id, b->rep[i].body_id);
        assert_int_equal(a->rep[i].bytes, b->rep[i].bytes);
        assert_int_equal(a->rep[i].xxh3, b->rep[i].xxh3);
    }
    assert_int_equal(a->tag_count, b->tag_count);
    assert_memory_equal(a->tag_hash, b->tag_hash, a->tag_count * sizeof a->tag_hash[0]);
}

struct coded {
    uint8_t bytes[STORE_RECORD_MAX];
    size_t len;
    uint8_t *far;
    size_t far_len;
};

static void encode(const struct store_record *r, struct coded *c)
{
    c->far_len = store_record_far_bytes(r);
    c->far = c->far_len ? must_alloc(c->far_len) : NULL;
    assert_int_equal(store_record_encode(r, 4711, c->bytes, &c->len, c->far, c->far_len),
                     ERR_OK);
}

static void test_comes_back(void **state)
{
    (void)state;
    struct {
        const char *why;
        size_t key, head;
        uint8_t tags, reps;
        bool far;
    } rows[] = {
        {"small", 20, 100, 0, 1, false},
        {"no head", 20, 0, 0, 1, false},
        {"all tags, all reps", 20, 100, STORE_TAGS, STORE_REPS, false},
        {"just fits", 100, STORE_RECORD_MAX - 123 - 100 - 8, 0, 1, false},
        {"one byte too much", 100, STORE_RECORD_MAX - 123 - 100 - 7, 0, 1, true},
        {"long head", 20, 60000, STORE_TAGS, STORE_REPS, true},
        {"long key", 8000, 10, 1, 1, true},
        {"the longest", 8, STORE_FAR_MAX - 16, 1, 1, true},
    };
    memset(long_text, 'x', sizeof long_text);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct store_record r = object(), out;
        struct coded c;
        r.key = span_of(long_text, rows[i].key);
        r.head = span_of(long_text, rows[i].head);
        r.vary = (struct span){0};
        r.tag_count = rows[i].tags;
        r.rep_count = rows[i].reps;
        for (unsigned n = 0; n < STORE_REPS; n++)
            r.rep[n].body_id = n + 1;
        encode(&r, &c);
        if ((c.far_len > 0) != rows[i].far)
            fail_msg("%s: far %zu", rows[i].why, c.far_len);
        assert_true(c.len <= STORE_RECORD_MAX);
        assert_int_equal(
            store_record_decode(span_of(c.bytes, c.len), span_of(c.far, c.far_len), &out),
            ERR_OK);
        assert_same(&r, &out);
        assert_int_equal(store_record_decode_near(span_of(c.bytes, c.len), &out), ERR_OK);
        assert_int_equal(out.rep[0].body_id, 1);
        assert_int_equal(out.key.len, rows[i].far ? 0 : rows[i].key);

        uint64_t far_id = 0;
        size_t far_bytes = 0;
        assert_int_equal(store_record_far(span_of(c.bytes, c.len), &far_id, &far_bytes),
                         rows[i].far);
        if (rows[i].far) {
            assert_int_equal(far_id, 4711);
            assert_int_equal(far_bytes, c.far_len);
            c.far[c.far_len / 2] ^= 1;
            assert_int_equal(
                store_record_decode(span_of(c.bytes, c.len), span_of(c.far, c.far_len), &out),
                ERR_CORRUPT);
            c.far[c.far_len / 2] ^= 1;
            assert_int_equal(store_record_decode(span_of(c.bytes, c.len),
                                                 span_of(c.far, c.far_len - 1), &out),
                             ERR_CORRUPT);
            assert_int_equal(
                store_record_decode(span_of(c.bytes, c.len), (struct span){0}, &out),
                ERR_CORRUPT);
        }
        free(c.far);
    }
}

static void test_vary_comes_back(void **state)
{
    (void)state;
    struct store_record r = {.kind = STORE_VARY,
                             .fill_no = 3,
                             .key = SPAN("k"),
                             .vary = SPAN("accept-language,foo"),
                             .variants = 64};
    struct store_record out;
    struct coded c;
    encode(&r, &c);
    assert_int_equal(store_record_decode(span_of(c.bytes, c.len), (struct span){0}, &out),
                     ERR_OK);
    assert_same(&r, &out);
}

static void test_cut_and_flipped(void **state)
{
    (void)state;
    struct store_record r = object(), out;
    struct coded c;
    encode(&r, &c);
    for (size_t len = 0; len < c.len; len++) {
        uint8_t *exact = must_alloc(len + 1); /* the sanitizer sees a byte too far */
        memcpy(exact, c.bytes, len);
        assert_int_equal(store_record_decode(span_of(exact, len), (struct span){0}, &out),
                         ERR_CORRUPT);
        assert_int_equal(store_record_decode_near(span_of(exact, len), &out), ERR_CORRUPT);
        free(exact);
    }
    for (size_t bit = 0; bit < c.len * 8; bit++) {
        c.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(store_record_decode(span_of(c.bytes, c.len), (struct span){0}, &out),
                         ERR_CORRUPT);
        c.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(store_record_decode(span_of(c.bytes, c.len), (struct span){0}, &out),
                     ERR_OK);
}

static void test_refused(void **state)
{
    (void)state;
    struct store_record rows[] = {object(), object(), object(), object(), object(),
                                  object(), object(), object(), object(), object(),
                                  object(), object(), object(), object()};
    const char *why[ARRAY_LEN(rows)];
    unsigned n = 0;
    why[n] = "no key", rows[n++].key = (struct span){0};
    why[n] = "status 99", rows[n++].status = 99;
    why[n] = "status 600", rows[n++].status = 600;
    why[n] = "no body id", rows[n++].rep[0].body_id = 0;
    why[n] = "id that is no chunk key", rows[n++].rep[1].body_id = UINT64_C(1) << 42;
    why[n] = "no rep", rows[n++].rep_count = 0;
    why[n] = "reps", rows[n++].rep_count = STORE_REPS + 1;
    why[n] = "tags", rows[n++].tag_count = STORE_TAGS + 1;
    why[n] = "encoding", rows[n++].rep[0].encoding = POLICY_ENCODING_OTHER + 1;
    why[n] = "flags", rows[n++].rep[1].flags = 2 * STORE_REP_BEST;
    why[n] = "duration", rows[n++].facts.age_s = POLICY_SECONDS_MAX + 1;
    why[n] = "instant", rows[n++].facts.date_at_s = INT64_MAX;
    why[n] = "texts", rows[n++].head = span_of(long_text, STORE_FAR_MAX - 8);
    why[n] = "kind", rows[n++].kind = (enum store_kind)3;
    assert_int_equal(n, ARRAY_LEN(rows));
    for (unsigned i = 0; i < n; i++) {
        uint8_t bytes[STORE_RECORD_MAX], *far = must_alloc(STORE_FAR_MAX);
        size_t len;
        if (store_record_encode(&rows[i], 1, bytes, &len, far, STORE_FAR_MAX) != ERR_LIMIT)
            fail_msg("%s", why[i]);
        free(far);
    }
    struct store_record r = object();
    uint8_t bytes[STORE_RECORD_MAX], far[8];
    size_t len;
    r.head = span_of(long_text, 5000);
    assert_int_equal(store_record_encode(&r, 1, bytes, &len, far, sizeof far), ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comes_back),
        cmocka_unit_test(test_vary_comes_back),
        cmocka_unit_test(test_cut_and_flipped),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
