#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "cache/memory/object.h"
#include "cache/memory/tier.h"
#include "node/front/deliver.h"

#define BODY "0123456789"

static struct span pull(struct front_deliver *d, char *room, enum err *out_end)
{
    struct span all = {room, 0}, piece;
    while ((*out_end = front_deliver_peek(d, &piece)) == ERR_OK) {
        room[all.len++] = piece.ptr[0];
        assert_true(all.len < 200);
        front_deliver_consume(d, 0);
        front_deliver_consume(d, 1);
    }
    return all;
}

struct scene {
    struct memory_tier tier;
    struct memory_object object;
    struct memory_reader reader;
};

static void scene_open(struct scene *s, struct span body)
{
    *s = (struct scene){.tier = {.object_max_bytes = 1000},
                        .object = {.status = 200,
                                   .body_bytes = (int64_t)body.len,
                                   .body_in_memory = true,
                                   .body = body}};
    s->object.tier = &s->tier;
    s->reader = (struct memory_reader){.object = &s->object, .end = UINT64_MAX};
}

static void test_recoded(void **state)
{
    (void)state;
    static const enum policy_encoding both[] = {POLICY_GZIP, POLICY_ZSTD};
    for (size_t i = 0; i < 2; i++) {
        struct scene s;
        struct front_deliver d;
        char room[200], back[200];
        enum err e;
        size_t got;
        scene_open(&s, SPAN(BODY));
        front_deliver_recoded(&d, &s.reader,
                              memory_recode_create(&s.reader, POLICY_IDENTITY, both[i]));
        struct span small = pull(&d, room, &e);
        assert_int_equal(e, ERR_CLOSED);
        struct memory_codec *c = memory_codec_decoder(both[i], 100);
        assert_int_equal(
            memory_codec_run(c, &small, MEMORY_CODEC_END, back, sizeof(back), &got),
            ERR_CLOSED);
        assert_true(span_equal(span_of(back, got), SPAN(BODY)));
        memory_codec_destroy(c);
        assert_int_equal(atomic_load(&s.tier.recodes), 1);
        front_deliver_fini(&d);
        front_deliver_fini(&d);
        assert_int_equal(atomic_load(&s.tier.recodes), 0);
    }
}

/* An answer that was finished is followed by another in the same struct. */
static void test_again(void **state)
{
    (void)state;
    struct scene s;
    struct front_deliver d;
    char room[200];
    enum err e;
    scene_open(&s, SPAN(BODY));
    front_deliver_recoded(&d, &s.reader,
                          memory_recode_create(&s.reader, POLICY_IDENTITY, POLICY_GZIP));
    struct span piece;
    assert_int_equal(front_deliver_peek(&d, &piece), ERR_OK);
    front_deliver_fini(&d);
    assert_int_equal(atomic_load(&s.tier.recodes), 0);

    s.reader.at = 0;
    front_deliver_all(&d, &s.reader);
    assert_true(span_equal(pull(&d, room, &e), SPAN(BODY)));
    assert_int_equal(e, ERR_CLOSED);
    front_deliver_fini(&d);
    front_deliver_text(&d, SPAN("text"));
    assert_true(span_equal(pull(&d, room, &e), SPAN("text")));
    front_deliver_fini(&d);
    front_deliver_nothing(&d);
    assert_true(span_equal(pull(&d, room, &e), SPAN("")));
    front_deliver_fini(&d);
}

static void test_ranges_after_recode(void **state)
{
    (void)state;
    struct scene s;
    struct front_deliver d;
    struct arena a;
    char room[200];
    enum err e;
    arena_init(&a, 65536);
    scene_open(&s, SPAN(BODY));
    front_deliver_recoded(&d, &s.reader,
                          memory_recode_create(&s.reader, POLICY_IDENTITY, POLICY_ZSTD));
    front_deliver_fini(&d);
    d.ranges = (struct policy_ranges){.count = 1, .at = {{2, 4}}};
    policy_range_multipart(&d.multipart, &d.ranges, SPAN("t/p"), 10, 1);
    front_deliver_ranges(&d, &s.reader, &a);
    assert_true(span_contains(pull(&d, room, &e), SPAN("\r\n\r\n23\r\n")));
    assert_int_equal(e, ERR_CLOSED);
    front_deliver_fini(&d);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recoded),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_ranges_after_recode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
