#include "cluster/purge_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct cluster_purge_record record = {
    .stream = 7,
    .seq = 9,
    .dedup = 3,
    .accepted_at_s = 1700000000,
    .node = {"fra1", 4},
    .purge = {PURGE_URL, PURGE_SOFT, {"http://h/x", 10}, {"www", 3}},
};
static char vector[32] = {0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9};

static struct buf b;
static int begin(void **state)
{
    (void)state;
    buf_init(&b, 0);
    return 0;
}
static int end(void **state)
{
    (void)state;
    buf_fini(&b);
    return 0;
}

static void assert_record(const struct cluster_purge_record *r)
{
    assert_true(r->stream == 7 && r->seq == 9 && r->dedup == 3 && r->apply_no == 0 &&
                r->accepted_at_s == 1700000000 && span_equal(r->node, SPAN("fra1")) &&
                r->purge.kind == PURGE_URL && r->purge.mode == PURGE_SOFT &&
                span_equal(r->purge.selector, SPAN("http://h/x")) &&
                span_equal(r->purge.site, SPAN("www")));
}

static void requests_there_and_back(void **state)
{
    (void)state;
    for (unsigned kind = PURGE_WIRE_PUSH; kind <= PURGE_WIRE_PULL; kind++) {
        struct purge_wire_request r = {.kind = (enum purge_wire_kind)kind,
                                       .flags = PURGE_WIRE_SPREAD,
                                       .members_hash = 42,
                                       .vector = span_of(vector, 16),
                                       .stream = 5,
                                       .after = 6},
                                  back;
        struct cluster_purge_record got;
        buf_clear(&b);
        purge_wire_put_request(&b, &r);
        if (kind == PURGE_WIRE_PUSH) {
            purge_wire_put_record(&b, &record);
            purge_wire_put_record(&b, &record);
        }
        assert_int_equal(purge_wire_read_request(buf_span(&b), &back), ERR_OK);
        assert_true(back.kind == r.kind && back.flags == 1 && back.members_hash == 42 &&
                    span_equal(back.vector, r.vector));
        if (kind == PURGE_WIRE_PULL)
            assert_true(back.stream == 5 && back.after == 6);
        for (int i = 0; kind == PURGE_WIRE_PUSH && i < 2; i++) {
            assert_int_equal(purge_wire_next_record(&back.records, &got), ERR_OK);
            assert_record(&got);
        }
        assert_int_equal(back.records.len, 0);
        /* Cut anywhere, it is no request; but records are looked at one by one. */
        size_t head = kind == PURGE_WIRE_PUSH ? 31 : buf_len(&b);
        for (size_t len = 0; len < head; len++)
            assert_int_equal(purge_wire_read_request(span_until(buf_span(&b), len), &back),
                             ERR_SYNTAX);
        assert_int_equal(buf_append(&b, SPAN("x")), ERR_OK);
        if (kind != PURGE_WIRE_PUSH)
            assert_int_equal(purge_wire_read_request(buf_span(&b), &back), ERR_SYNTAX);
    }
    b.mem[b.from] = 9;
    struct purge_wire_request back;
    assert_int_equal(purge_wire_read_request(buf_span(&b), &back), ERR_SYNTAX);
}

static void answers_there_and_back(void **state)
{
    (void)state;
    struct buf members;
    struct cluster_purge_member m = {.id = SPAN("ams1"), .generation = 3, .left = true}, got;
    struct cluster_purge_record r;
    buf_init(&members, 0);
    purge_wire_put_member(&members, &m);
    struct purge_wire_answer a = {.members_hash = 1,
                                  .vector = span_of(vector, 16),
                                  .members = buf_span(&members),
                                  .floor = 11},
                             back;
    purge_wire_put_answer(&b, &a, PURGE_WIRE_PULL);
    purge_wire_put_record(&b, &record);
    a.through = 99;
    a.flags = PURGE_WIRE_MORE;
    purge_wire_set_page(&b, &a);
    assert_int_equal(purge_wire_read_answer(buf_span(&b), PURGE_WIRE_PULL, &back), ERR_OK);
    assert_true(back.flags == PURGE_WIRE_MORE && back.floor == 11 && back.through == 99 &&
                span_equal(back.vector, a.vector));
    assert_int_equal(purge_wire_next_member(&back.members, &got), ERR_OK);
    assert_true(got.generation == 3 && got.left && span_equal(got.id, SPAN("ams1")) &&
                back.members.len == 0);
    assert_int_equal(purge_wire_next_record(&back.records, &r), ERR_OK);
    assert_record(&r);
    assert_int_equal(purge_wire_read_answer(buf_span(&b), PURGE_WIRE_PUSH, &back), ERR_SYNTAX);
    buf_clear(&b);
    a.flags = 0;
    purge_wire_put_answer(&b, &a, PURGE_WIRE_PUSH);
    assert_int_equal(purge_wire_read_answer(buf_span(&b), PURGE_WIRE_EXCHANGE, &back), ERR_OK);
    for (size_t len = 0; len < buf_len(&b); len++)
        assert_int_equal(
            purge_wire_read_answer(span_until(buf_span(&b), len), PURGE_WIRE_EXCHANGE, &back),
            ERR_SYNTAX);
    buf_fini(&members);
}

static void a_record_is_checked(void **state)
{
    static const struct {
        size_t at;
        char with;
        const char *why;
    } cases[] = {
        {7, 0, "no stream"}, {15, 0, "no seq"},        {32, 9, "kind"},
        {32, 0, "no kind"},  {33, 3, "mode"},          {34, 1, "a node of 260 bytes"},
        {42, ' ', "a site"}, {47, '\n', "a selector"}, {45, 9, "longer than the rest"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cluster_purge_record r;
        buf_clear(&b);
        purge_wire_put_record(&b, &record);
        struct span rest = buf_span(&b);
        assert_int_equal(purge_wire_next_record(&rest, &r), ERR_OK);
        b.mem[b.from + cases[i].at] = cases[i].with;
        rest = buf_span(&b);
        if (purge_wire_next_record(&rest, &r) != ERR_SYNTAX)
            fail_msg("%s", cases[i].why);
    }
}

static void hints_there_and_back(void **state)
{
    static char text[PURGE_SELECTOR_MAX];
    struct purge_wire_hint back;
    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t len = 970; len < 990; len++) {
        struct purge_wire_hint h = {
            .id = {1, 2},
            .has_purge = true,
            .purge = {PURGE_TAG, PURGE_HARD, span_of(text, len), SPAN("")}};
        buf_clear(&b);
        purge_wire_put_hint(&b, &h);
        assert_true(buf_len(&b) <= CLUSTER_PURGE_HINT_MAX);
        assert_int_equal(purge_wire_read_hint(buf_span(&b), &back), ERR_OK);
        assert_true(back.id.stream == 1 && back.id.seq == 2);
        assert_int_equal(back.has_purge, len <= CLUSTER_PURGE_HINT_MAX - 23);
        if (back.has_purge)
            assert_true(back.purge.kind == PURGE_TAG && back.purge.selector.len == len);
    }
    /* An invalidation has no id, but says what. */
    struct purge_wire_hint h = {.has_purge = true,
                                .purge = {PURGE_URL, PURGE_HARD, SPAN("http://h/"), SPAN("")}};
    buf_clear(&b);
    purge_wire_put_hint(&b, &h);
    assert_int_equal(purge_wire_read_hint(buf_span(&b), &back), ERR_OK);
    for (size_t len = 0; len < buf_len(&b); len++)
        assert_int_equal(purge_wire_read_hint(span_until(buf_span(&b), len), &back),
                         ERR_SYNTAX);
    h.has_purge = false;
    buf_clear(&b);
    purge_wire_put_hint(&b, &h);
    assert_int_equal(purge_wire_read_hint(buf_span(&b), &back), ERR_SYNTAX); /* says nothing */
    h.has_purge = true;
    h.purge = (struct purge){PURGE_GROUP, PURGE_HARD, SPAN("h g"), SPAN("")};
    for (int logged = 0; logged < 2; logged++) { /* groups are in no log */
        h.id = (struct cluster_purge_id){(uint64_t)logged, (uint64_t)logged};
        buf_clear(&b);
        purge_wire_put_hint(&b, &h);
        assert_int_equal(purge_wire_read_hint(buf_span(&b), &back),
                         logged ? ERR_SYNTAX : ERR_OK);
    }
    struct cluster_purge_record r = {
        .stream = 1, .seq = 1, .node = SPAN("n"), .purge = h.purge};
    buf_clear(&b);
    purge_wire_put_record(&b, &r);
    struct span rest = buf_span(&b);
    assert_int_equal(purge_wire_next_record(&rest, &r), ERR_SYNTAX);
}

static void what_a_person_typed(void **state)
{
    static const struct {
        const char *text;
        enum err err;
        enum purge_kind kind;
        enum purge_mode mode;
        const char *selector;
    } cases[] = {
        {"http://h/x?y", ERR_OK, PURGE_URL, PURGE_HARD, "http://h/x?y"},
        {"  https://h/ ", ERR_OK, PURGE_URL, PURGE_HARD, "https://h/"},
        {"/x", ERR_OK, PURGE_PATH, PURGE_HARD, "/x"},
        {"soft /x", ERR_OK, PURGE_PATH, PURGE_SOFT, "/x"},
        {"tag:news", ERR_OK, PURGE_TAG, PURGE_HARD, "news"},
        {"", ERR_SYNTAX, 0, 0, ""},
        {"soft ", ERR_SYNTAX, 0, 0, ""},
        {"tag:", ERR_SYNTAX, 0, 0, ""},
        {"x", ERR_SYNTAX, 0, 0, ""},
        {"/x y", ERR_SYNTAX, 0, 0, ""},
        {"/x\n", ERR_SYNTAX, 0, 0, ""},
        {"http://", ERR_SYNTAX, 0, 0, ""},
        {"ftp://h/", ERR_SYNTAX, 0, 0, ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct purge p;
        enum err err = purge_wire_read_typed(span_text(cases[i].text), &p);
        if (err != cases[i].err ||
            (!err && (p.kind != cases[i].kind || p.mode != cases[i].mode ||
                      !span_equal(p.selector, span_text(cases[i].selector)))))
            fail_msg("'%s'", cases[i].text);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(requests_there_and_back), TEST(answers_there_and_back), TEST(a_record_is_checked),
        TEST(hints_there_and_back),    TEST(what_a_person_typed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
