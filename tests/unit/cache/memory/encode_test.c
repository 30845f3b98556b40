#include "cache/memory/encode.h"

#include "cache/store/inside.h"
#include "tests/unit/cache/memory/stage.h"

/* --- verdicts --- */

#define SIZES(f, t, from_bytes, identity, made, below)                                         \
    {                                                                                          \
        POLICY_##f, POLICY_##t, from_bytes, identity, made, below                              \
    }

static const struct row {
    const char *why;
    struct memory_encode_sizes sizes;
    enum memory_encoded is;
} rows[] = {
    {"less than 95 %", SIZES(IDENTITY, GZIP, 1000, 1000, 949, 0), MEMORY_ENCODED},
    {"95 % is not worth it", SIZES(IDENTITY, GZIP, 1000, 1000, 950, 0), MEMORY_ENCODED_DENSE},
    {"larger", SIZES(IDENTITY, ZSTD, 1000, 1000, 1010, 0), MEMORY_ENCODED_DENSE},
    {"nothing of nothing", SIZES(IDENTITY, ZSTD, 0, 0, 0, 0), MEMORY_ENCODED_DENSE},
    {"dense, though another encoding was smaller still", SIZES(GZIP, ZSTD, 1200, 1000, 950, 0),
     MEMORY_ENCODED_DENSE},
    {"decoded: always", SIZES(GZIP, IDENTITY, 100, 1000, 1000, 0), MEMORY_ENCODED},
    {"decoded and larger as it was", SIZES(GZIP, IDENTITY, 1100, 1000, 1000, 0),
     MEMORY_ENCODED},
    {"decoded, of nothing", SIZES(GZIP, IDENTITY, 20, 0, 0, 0), MEMORY_ENCODED_NO_GAIN},
    {"zstd beside gzip saves 5 % of it all", SIZES(GZIP, ZSTD, 400, 1000, 350, 0),
     MEMORY_ENCODED},
    {"a little less", SIZES(GZIP, ZSTD, 400, 1000, 351, 0), MEMORY_ENCODED_NO_GAIN},
    {"gzip beside zstd is for those who take nothing else",
     SIZES(ZSTD, GZIP, 400, 1000, 420, 0), MEMORY_ENCODED},
    {"better than before", SIZES(IDENTITY, ZSTD, 1000, 1000, 399, 400), MEMORY_ENCODED},
    {"no better than before", SIZES(IDENTITY, ZSTD, 1000, 1000, 400, 400),
     MEMORY_ENCODED_NO_GAIN},
    {"sums do not overflow",
     SIZES(GZIP, ZSTD, UINT64_C(17) << 30, UINT64_C(17) << 35, UINT64_C(1) << 30, 0),
     MEMORY_ENCODED_NO_GAIN},
};

static void verdicts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (memory_encode_judge(&rows[i].sizes) != rows[i].is)
            fail_msg("%s: %d", rows[i].why, memory_encode_judge(&rows[i].sizes));
}

static void early_verdicts(void **state)
{
    (void)state;
    const uint64_t early = MEMORY_ENCODE_EARLY;
    assert_true(memory_encode_is_dense_early(early, early));
    assert_true(memory_encode_is_dense_early(early * 5, early * 5 / 20 * 19 + 1));
    assert_false(memory_encode_is_dense_early(early * 5, early * 5 / 20 * 19));
    assert_false(memory_encode_is_dense_early(early - 1, early));
    assert_true(memory_encode_is_dense_early(MEMORY_BODY_MAX, MEMORY_BODY_MAX));
    assert_false(memory_encode_is_dense_early(MEMORY_BODY_MAX + 1, MEMORY_BODY_MAX + 1));
}

/* --- bodies --- */

struct steps {
    unsigned count, naps, stop_at; /* 0: never */
};

static bool count_step(void *context, unsigned nap_ms)
{
    struct steps *s = context;
    s->naps += nap_ms != 0;
    return ++s->count != s->stop_at;
}

static struct memory_encode order(struct stage *s, struct memory_object *o,
                                  enum policy_encoding to, struct steps *steps)
{
    return (struct memory_encode){.tier = &s->tier,
                                  .base = o,
                                  .to = to,
                                  .level = 6,
                                  .pause = count_step,
                                  .context = steps};
}

static const enum policy_encoding encodings[] = {POLICY_GZIP, POLICY_ZSTD};

static void a_dense_body_is_known_early(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, false);
    char *random = stage_text(1, 256, MEMORY_BODY_MAX);
    struct memory_object *o =
        stage_object(&s, "/", POLICY_IDENTITY, span_of(random, MEMORY_BODY_MAX), STAGE_RAM);
    for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
        struct steps steps = {0};
        struct memory_encode_result made;
        struct memory_encode m = order(&s, o, encodings[i], &steps);
        assert_int_equal(memory_encode_run(&m, &made), MEMORY_ENCODED_DENSE);
        assert_in_range(steps.count, 1, 12); /* of 16 */
    }
    memory_object_drop(o);
    free(random);
    stage_close(&s);
}

static void it_stops_after_any_step(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, true);
    size_t bytes = 3 * MEMORY_BODY_MAX / 2;
    char *text = stage_text(1, 100, bytes);
    struct memory_object *o =
        stage_object(&s, "/", POLICY_IDENTITY, span_of(text, bytes), STAGE_DISK);
    enum memory_encoded is = MEMORY_ENCODED_STOPPED;
    unsigned stops = 0;
    for (; is == MEMORY_ENCODED_STOPPED; stops++) {
        struct steps steps = {.stop_at = stops + 1};
        struct memory_encode_result made;
        struct memory_encode m = order(&s, o, POLICY_ZSTD, &steps);
        uint64_t id = store_body_id(s.tier.store) + 1;
        m.to_disk = true;
        is = memory_encode_run(&m, &made);
        if (is == MEMORY_ENCODED) {
            assert_null(made.memory);
            memory_pin_doom(s.tier.pins, made.body_id);
        }
        STAGE_UNTIL(!stage_has_body(&s, id));
    }
    assert_int_equal(is, MEMORY_ENCODED);
    assert_int_equal(stops, bytes / MEMORY_ENCODE_STEP + 1);
    memory_object_drop(o);
    free(text);
    stage_close(&s);
    stage_remove(&s);
}

static void a_full_queue_is_waited_for_but_not_for_ever(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, true);
    size_t bytes = 3 * MEMORY_BODY_MAX / 2;
    char *text = stage_text(1, 100, bytes);
    struct memory_object *o =
        stage_object(&s, "/", POLICY_IDENTITY, span_of(text, bytes), STAGE_DISK);
    struct steps steps = {0};
    struct memory_encode_result made;
    struct memory_encode m = order(&s, o, POLICY_ZSTD, &steps);
    m.to_disk = true;
    atomic_fetch_add(&s.tier.store->queue_bytes, STORE_QUEUE_MAX);
    assert_int_equal(memory_encode_run(&m, &made), MEMORY_ENCODED_FAILED);
    assert_int_equal(steps.naps, 100);
    atomic_fetch_sub(&s.tier.store->queue_bytes, STORE_QUEUE_MAX);
    assert_int_equal(memory_encode_run(&m, &made), MEMORY_ENCODED);
    memory_pin_doom(s.tier.pins, made.body_id);
    memory_object_drop(o);
    free(text);
    stage_close(&s);
    stage_remove(&s);
}

static void without_a_disk_only_small_ones(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, false);
    size_t bytes = MEMORY_BODY_MAX * 2;
    char *text = stage_text(1, 4, bytes);
    struct stage_bytes gzip = stage_encode(POLICY_GZIP, span_of(text, bytes));
    struct memory_object *o =
        stage_object(&s, "/", POLICY_GZIP, span_of(gzip.ptr, gzip.len), STAGE_RAM);
    struct steps steps = {0};
    struct memory_encode_result made;
    struct memory_encode m = order(&s, o, POLICY_IDENTITY, &steps);
    assert_int_equal(memory_encode_run(&m, &made), MEMORY_ENCODED_FAILED);
    m.tier->object_max_bytes = bytes - 1;
    assert_int_equal(memory_encode_run(&m, &made), MEMORY_ENCODED_FAILED);
    m.tier->object_max_bytes = bytes / 4;
    assert_int_equal(memory_encode_run(&m, &made), MEMORY_ENCODED_BROKEN);
    memory_object_drop(o);
    free(gzip.ptr);
    free(text);
    stage_close(&s);
}

/* Decoded, it is known in time how long it is. */
static void nothing_is_made_of_more_than_that(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, false);
    const size_t bytes = 100000;
    char *text = stage_text(1, 4, bytes);
    struct stage_bytes gzip = stage_encode(POLICY_GZIP, span_of(text, bytes));
    struct memory_object *o[] = {
        stage_object(&s, "/", POLICY_IDENTITY, span_of(text, bytes), STAGE_RAM),
        stage_object(&s, "/gzip", POLICY_GZIP, span_of(gzip.ptr, gzip.len), STAGE_RAM)};
    for (size_t i = 0; i < ARRAY_LEN(o); i++) {
        struct steps steps = {0};
        struct memory_encode_result made;
        enum policy_encoding to = i ? POLICY_IDENTITY : POLICY_ZSTD;
        struct memory_encode m = order(&s, o[i], POLICY_ZSTD, &steps);
        m.most_bytes = bytes - 1;
        assert_int_equal(memory_encode_run(&m, &made), MEMORY_ENCODED_NO_GAIN);
        m.most_bytes = bytes;
        m.to = to;
        assert_int_equal(memory_encode_run(&m, &made), MEMORY_ENCODED);
        assert_int_equal(made.in_bytes, i ? gzip.len : bytes);
        free(made.memory);
        steps = (struct steps){.stop_at = 1};
        assert_int_equal(memory_encode_run(&m, &made), MEMORY_ENCODED_STOPPED);
        memory_object_drop(o[i]);
    }
    free(gzip.ptr);
    free(text);
    stage_close(&s);
}

/* A window no larger than it needs. */
static void zstd_of_gzip_says_its_length(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, false);
    const size_t bytes = 1000;
    char *text = stage_text(1, 4, bytes);
    struct stage_bytes gzip = stage_encode(POLICY_GZIP, span_of(text, bytes));
    struct memory_object *o =
        stage_object(&s, "/", POLICY_GZIP, span_of(gzip.ptr, gzip.len), STAGE_RAM);
    struct steps steps = {0};
    struct memory_encode_result made;
    struct memory_encode m = order(&s, o, POLICY_ZSTD, &steps);
    m.level = 19;
    s.tier.object_max_bytes = bytes;
    enum memory_encoded is = memory_encode_run(&m, &made);
    assert_int_equal(is, MEMORY_ENCODED);
    /* RFC 8878 3.1.1.1: a content size of two bytes, less 256 */
    assert_int_equal((unsigned char)made.memory[4] >> 6, 1);
    assert_int_equal((unsigned char)made.memory[5] | (unsigned char)made.memory[6] << 8,
                     bytes - 256);
    free(made.memory);
    memory_object_drop(o);
    free(gzip.ptr);
    free(text);
    stage_close(&s);
}

static void a_body_that_is_gone_from_disk(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, true);
    size_t bytes = MEMORY_BODY_MAX + 1;
    char *text = stage_text(1, 100, bytes);
    struct memory_object *o =
        stage_object(&s, "/", POLICY_IDENTITY, span_of(text, bytes), STAGE_NOT_YET);
    struct steps steps = {0};
    struct memory_encode_result made;
    struct memory_encode m = order(&s, o, POLICY_ZSTD, &steps);
    assert_int_equal(memory_encode_run(&m, &made), MEMORY_ENCODED_FAILED);
    store_stop_reading(s.tier.store);
    assert_int_equal(memory_encode_run(&m, &made), MEMORY_ENCODED_FAILED);
    memory_object_drop(o);
    free(text);
    stage_close(&s);
    stage_remove(&s);
}

static void bytes_that_are_not_what_was_stored(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, true);
    size_t bytes = MEMORY_BODY_MAX + 1;
    char *text = stage_text(1, 100, bytes);
    struct memory_object *o =
        stage_object(&s, "/", POLICY_IDENTITY, span_of(text, bytes), STAGE_DISK);
    struct steps steps = {0};
    struct memory_encode_result made;
    struct memory_encode m = order(&s, o, POLICY_ZSTD, &steps);
    atomic_fetch_xor(&o->body_xxh3, 2);
    assert_int_equal(memory_encode_run(&m, &made), MEMORY_ENCODED_FAILED);
    atomic_fetch_xor(&o->body_xxh3, 2);
    assert_int_equal(memory_encode_run(&m, &made), MEMORY_ENCODED);
    free(made.memory);
    memory_object_drop(o);
    free(text);
    stage_close(&s);
    stage_remove(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),
        cmocka_unit_test(early_verdicts),
        cmocka_unit_test(a_dense_body_is_known_early),
        cmocka_unit_test(it_stops_after_any_step),
        cmocka_unit_test(a_full_queue_is_waited_for_but_not_for_ever),
        cmocka_unit_test(without_a_disk_only_small_ones),
        cmocka_unit_test(nothing_is_made_of_more_than_that),
        cmocka_unit_test(zstd_of_gzip_says_its_length),
        cmocka_unit_test(a_body_that_is_gone_from_disk),
        cmocka_unit_test(bytes_that_are_not_what_was_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
