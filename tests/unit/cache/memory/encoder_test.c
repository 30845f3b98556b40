#include "cache/memory/encoder.h"

#include "cache/memory/form.h"
#include "tests/unit/cache/memory/encoding.h"

/* --- what is made --- */

static void one_form_whatever_is_asked(bool disk, unsigned threads)
{
    struct workshop s;
    char *text;
    begin(&s, disk, threads);
    struct memory_object *o = small_text(&s, "/", disk ? STAGE_DISK : STAGE_RAM, &text);
    for (int i = 0; i < 5; i++)
        memory_encoder_ask(s.encoder, o, ZSTD | PLAIN | POLICY_BIT(POLICY_BROTLI));
    if (threads == 0)
        assert_int_equal(waiting(&s), 1);
    STAGE_UNTIL(left(&s) == 0);
    assert_form(&s, "/", POLICY_ZSTD, span_of(text, SMALL));
    /* of any version */
    ask(&s, "/", ZSTD);
    memory_encoder_ask(s.encoder, o, ZSTD);
    assert_int_equal(waiting(&s), 0);
    atomic_store(&o->asked, 0); /* as another version without forms may be */
    memory_encoder_ask(s.encoder, o, ZSTD | GZIP);
    ask(&s, "/", ZSTD | GZIP);
    STAGE_UNTIL(left(&s) == 0);
    assert_form(&s, "/", POLICY_GZIP, span_of(text, SMALL));
    assert_form(&s, "/", POLICY_ZSTD, span_of(text, SMALL));
    assert_int_equal(counted(&s, COUNTER_FORMS_MADE_ZSTD), 1);
    assert_int_equal(counted(&s, COUNTER_FORMS_MADE_GZIP), 1);
    assert_int_equal(counted(&s, COUNTER_ENCODER_IN_GZIP), SMALL);
    assert_in_range(counted(&s, COUNTER_ENCODER_OUT_GZIP), SMALL / 3, SMALL * 2 / 3);
    struct memory_encoder_figures f;
    memory_encoder_figures(s.encoder, &f);
    assert_in_range(f.cpu_us, 1, 60000000);
    memory_object_drop(o);
    free(text);
    finish(&s);
}

static void one_form_in_ram(void **state)
{
    (void)state;
    one_form_whatever_is_asked(false, 0);
}

static void one_form_by_threads(void **state)
{
    (void)state;
    one_form_whatever_is_asked(false, 2);
}

static void one_form_on_disk(void **state)
{
    (void)state;
    one_form_whatever_is_asked(true, 0);
    one_form_whatever_is_asked(true, 1);
}

static void a_large_body_from_disk(void **state)
{
    (void)state;
    struct workshop s;
    begin(&s, true, 1);
    char *text = stage_text(3, 40, LARGE);
    struct memory_object *o =
        stage_object(&s.stage, "/large", POLICY_IDENTITY, span_of(text, LARGE), STAGE_DISK);
    assert_false(o->body_in_memory);
    memory_encoder_ask(s.encoder, o, ZSTD | GZIP);
    STAGE_UNTIL(left(&s) == 0);
    assert_form(&s, "/large", POLICY_ZSTD, span_of(text, LARGE));
    assert_form(&s, "/large", POLICY_GZIP, span_of(text, LARGE));
    struct memory_object *form = form_of(&s, "/large", POLICY_ZSTD);
    assert_false(form->body_in_memory);
    assert_true(form->body_bytes > (int64_t)MEMORY_BODY_MAX);
    memory_object_drop(form);
    memory_object_drop(o);
    stage_close(&s.stage);
    stage_open_again(&s.stage);
    assert_stored(&s.stage, "/large", POLICY_ZSTD, span_of(text, LARGE));
    assert_stored(&s.stage, "/large", POLICY_GZIP, span_of(text, LARGE));
    free(text);
    finish(&s);
}

static void a_large_body_that_gets_small(void **state)
{
    (void)state;
    struct workshop s;
    begin(&s, true, 0);
    char *text = stage_text(3, 2, LARGE);
    struct memory_object *o =
        stage_object(&s.stage, "/large", POLICY_IDENTITY, span_of(text, LARGE), STAGE_DISK);
    memory_encoder_ask(s.encoder, o, ZSTD);
    STAGE_UNTIL(left(&s) == 0);
    struct memory_object *form = form_of(&s, "/large", POLICY_ZSTD);
    assert_true(form->body_in_memory);
    stage_assert_decodes(&s.stage, form, span_of(text, LARGE));
    memory_object_drop(form);
    memory_object_drop(o);
    stage_close(&s.stage);
    stage_open_again(&s.stage);
    assert_stored(&s.stage, "/large", POLICY_ZSTD, span_of(text, LARGE));
    free(text);
    finish(&s);
}

static void what_came_encoded(void **state)
{
    (void)state;
    struct workshop s;
    begin(&s, false, 0);
    char *text = stage_text(5, 64, SMALL);
    struct stage_bytes gzip = stage_encode(POLICY_GZIP, span_of(text, SMALL));
    struct stage_bytes zstd = stage_encode(POLICY_ZSTD, span_of(text, SMALL));
    struct memory_object *g =
        stage_object(&s.stage, "/g", POLICY_GZIP, span_of(gzip.ptr, gzip.len), STAGE_RAM);
    struct memory_object *z =
        stage_object(&s.stage, "/z", POLICY_ZSTD, span_of(zstd.ptr, zstd.len), STAGE_RAM);
    memory_encoder_ask(s.encoder, g, GZIP | PLAIN);
    memory_encoder_ask(s.encoder, z, GZIP | PLAIN | ZSTD);
    assert_int_equal(waiting(&s), 3);
    STAGE_UNTIL(left(&s) == 0);
    assert_form(&s, "/g", POLICY_IDENTITY, span_of(text, SMALL));
    assert_form(&s, "/z", POLICY_IDENTITY, span_of(text, SMALL));
    assert_form(&s, "/z", POLICY_GZIP, span_of(text, SMALL));
    assert_int_equal(counted(&s, COUNTER_FORMS_MADE_IDENTITY), 2);
    assert_int_equal(counted(&s, COUNTER_ENCODER_IN_IDENTITY), gzip.len + zstd.len);
    assert_int_equal(counted(&s, COUNTER_ENCODER_OUT_IDENTITY), 2 * SMALL);
    /* zstd of random letters is no smaller than their gzip: tried once, and not dense */
    memory_encoder_ask(s.encoder, g, ZSTD);
    STAGE_UNTIL(left(&s) == 0);
    assert_false(has_form(&s, "/g", POLICY_ZSTD));
    assert_int_equal(marks(&s, "/g"), 0);
    memory_encoder_ask(s.encoder, g, ZSTD);
    assert_int_equal(waiting(&s), 0);
    memory_object_drop(g);
    memory_object_drop(z);
    free(gzip.ptr);
    free(zstd.ptr);
    free(text);
    finish(&s);
}

/* The same 50,000 random bytes four times: out of a gzip window's reach. */
static void zstd_of_what_came_as_gzip(void **state)
{
    (void)state;
    struct workshop s;
    begin(&s, true, 0);
    const size_t part = 50000, bytes = 4 * part;
    char *text = must_alloc(bytes), *random = stage_text(1, 200, part);
    for (size_t i = 0; i < 4; i++)
        memcpy(text + i * part, random, part);
    struct stage_bytes gzip = stage_encode(POLICY_GZIP, span_of(text, bytes));
    struct memory_object *o =
        stage_object(&s.stage, "/", POLICY_GZIP, span_of(gzip.ptr, gzip.len), STAGE_DISK);
    memory_encoder_ask(s.encoder, o, ZSTD);
    STAGE_UNTIL(left(&s) == 0);
    assert_form(&s, "/", POLICY_ZSTD, span_of(text, bytes));
    assert_int_equal(counted(&s, COUNTER_ENCODER_IN_ZSTD), bytes);
    assert_in_range(counted(&s, COUNTER_ENCODER_OUT_ZSTD), part / 2, part * 2);
    memory_object_drop(o);
    free(gzip.ptr);
    free(random);
    free(text);
    finish(&s);
}

static void what_can_not_be_made(void **state)
{
    (void)state;
    struct workshop s;
    begin(&s, false, 0);
    struct memory_object *o =
        stage_object(&s.stage, "/br", POLICY_BROTLI, SPAN("brotli, as it were"), STAGE_RAM);
    memory_encoder_ask(s.encoder, o, ZSTD | GZIP | PLAIN);
    memory_object_drop(o);
    o = stage_object(&s.stage, "/empty", POLICY_IDENTITY, SPAN(""), STAGE_RAM);
    memory_encoder_ask(s.encoder, o, ZSTD | GZIP | PLAIN);
    memory_object_drop(o);
    assert_int_equal(waiting(&s), 0);
    finish(&s);
}

/* --- what is not worth it, or broken --- */

static void dense(size_t bytes, unsigned letters)
{
    struct workshop s;
    begin(&s, false, 0);
    char *text = stage_text(1, letters, bytes);
    struct memory_object *o =
        stage_object(&s.stage, "/", POLICY_IDENTITY, span_of(text, bytes), STAGE_RAM);
    memory_encoder_ask(s.encoder, o, ZSTD | GZIP);
    STAGE_UNTIL(left(&s) == 0);
    assert_int_equal(counted(&s, COUNTER_ENCODER_DENSE), 1); /* the other one is not tried */
    assert_int_equal(marks(&s, "/"), MEMORY_MARK_DENSE);
    assert_false(has_form(&s, "/", POLICY_ZSTD));
    assert_false(has_form(&s, "/", POLICY_GZIP));
    ask(&s, "/", ZSTD | GZIP);
    atomic_store(&o->asked, 0); /* as another version may be */
    ask(&s, "/", ZSTD | GZIP);
    assert_int_equal(waiting(&s), 0);
    memory_object_drop(o);
    free(text);
    finish(&s);
}

static void dense_is_remembered(void **state)
{
    (void)state;
    dense(10000, 256);
    dense(MEMORY_BODY_MAX, 256);
    dense(50000, 216); /* it gets 3 % smaller */
}

static void broken(const char *why, enum policy_encoding is, struct span bytes)
{
    struct workshop s;
    begin(&s, true, 0);
    struct memory_object *o = stage_object(&s.stage, "/", is, bytes, STAGE_DISK);
    memory_encoder_ask(s.encoder, o, PLAIN | ZSTD | GZIP);
    STAGE_UNTIL(left(&s) == 0);
    if (counted(&s, COUNTER_ENCODER_BROKEN) != 1 || marks(&s, "/") != MEMORY_MARK_BROKEN)
        fail_msg("%s: not found broken", why);
    assert_false(has_form(&s, "/", POLICY_IDENTITY));
    atomic_store(&o->asked, 0);
    ask(&s, "/", PLAIN | ZSTD | GZIP);
    assert_int_equal(waiting(&s), 0);
    memory_object_drop(o);
    finish(&s);
}

static void broken_is_remembered(void **state)
{
    (void)state;
    char *text = stage_text(5, 16, SMALL);
    struct stage_bytes gzip = stage_encode(POLICY_GZIP, span_of(text, SMALL));
    struct stage_bytes zstd = stage_encode(POLICY_ZSTD, span_of(text, SMALL));
    broken("no gzip", POLICY_GZIP, span_of(text, SMALL));
    broken("no zstd", POLICY_ZSTD, span_of(text, SMALL));
    broken("gzip cut", POLICY_GZIP, span_of(gzip.ptr, gzip.len - 1));
    broken("zstd cut", POLICY_ZSTD, span_of(zstd.ptr, zstd.len / 2));
    gzip.ptr[gzip.len - 8] ^= 1;
    broken("gzip's checksum", POLICY_GZIP, span_of(gzip.ptr, gzip.len));
    free(gzip.ptr);
    free(zstd.ptr);
    free(text);
}

/* --- the queue --- */

static void the_queue_is_bounded(void **state)
{
    (void)state;
    struct workshop s;
    static struct memory_object *o[MEMORY_ENCODER_QUEUE + 1];
    char path[32], *text = stage_text(7, 16, 600);
    begin(&s, false, 0);
    for (unsigned i = 0; i < ARRAY_LEN(o); i++) {
        snprintf(path, sizeof(path), "/%u", i);
        o[i] = stage_object(&s.stage, path, POLICY_IDENTITY, span_of(text, 600), STAGE_RAM);
        memory_encoder_ask(s.encoder, o[i], GZIP);
    }
    struct memory_object *last = o[MEMORY_ENCODER_QUEUE];
    assert_int_equal(waiting(&s), MEMORY_ENCODER_QUEUE);
    assert_int_equal(counted(&s, COUNTER_ENCODER_DROPPED), 1);
    assert_int_equal(asked(last), 0);
    STAGE_UNTIL(left(&s) == 0);
    assert_int_equal(counted(&s, COUNTER_FORMS_MADE_GZIP), MEMORY_ENCODER_QUEUE);
    memory_encoder_ask(s.encoder, last, GZIP);
    STAGE_UNTIL(left(&s) == 0);
    snprintf(path, sizeof(path), "/%u", MEMORY_ENCODER_QUEUE);
    assert_true(has_form(&s, path, POLICY_GZIP));
    for (unsigned i = 0; i < ARRAY_LEN(o); i++)
        memory_object_drop(o[i]);
    free(text);
    finish(&s);
}

static void what_waits_holds_little_of_the_memory(void **state)
{
    (void)state;
    struct workshop s;
    char *text;
    begin(&s, false, 0);
    s.stage.tier.memory_max_bytes = 3 * SMALL * 8;
    struct memory_object *o[4];
    for (unsigned i = 0; i < ARRAY_LEN(o); i++) {
        char path[] = {'/', (char)('a' + i), 0};
        o[i] = small_text(&s, path, STAGE_RAM, &text);
        free(text);
        memory_encoder_ask(s.encoder, o[i], ZSTD);
    }
    assert_int_equal(waiting(&s), 2);
    assert_int_equal(counted(&s, COUNTER_ENCODER_DROPPED), 2);
    s.stage.tier.memory_max_bytes *= 100;
    STAGE_UNTIL(left(&s) == 0);
    s.stage.tier.memory_max_bytes = 1; /* one is always taken */
    memory_encoder_ask(s.encoder, o[3], ZSTD);
    assert_int_equal(waiting(&s), 1);
    s.stage.tier.memory_max_bytes = UINT64_C(1) << 30;
    STAGE_UNTIL(left(&s) == 0);
    for (unsigned i = 0; i < ARRAY_LEN(o); i++)
        memory_object_drop(o[i]);
    finish(&s);
}

/* --- hot ones --- */

static void use(struct workshop *s, const char *path, enum policy_encoding is, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        struct memory_object *o = stage_now(&s->stage, path);
        struct memory_object *form = form_of(s, path, is);
        memory_encoder_used(s->encoder, o, form);
        memory_object_drop(o);
        memory_object_drop(form);
    }
}

static void a_hot_form_gets_better(void **state)
{
    (void)state;
    struct workshop s;
    begin(&s, true, 0);
    /* words, so that a search for longer matches pays */
    char *text = must_alloc(SMALL), *words = stage_text(1, 26, 3000);
    for (size_t i = 0; i < SMALL / 10; i++)
        memcpy(text + i * 10, words + hash_mix(i * i) % 290 * 10 + hash_mix(i) % 3, 8);
    struct memory_object *o =
        stage_object(&s.stage, "/", POLICY_IDENTITY, span_of(text, SMALL), STAGE_DISK);
    memory_encoder_ask(s.encoder, o, ZSTD);
    STAGE_UNTIL(left(&s) == 0);
    struct memory_object *first = form_of(&s, "/", POLICY_ZSTD);
    use(&s, "/", POLICY_ZSTD, MEMORY_ENCODER_HOT - 1);
    assert_int_equal(waiting(&s), 0);
    use(&s, "/", POLICY_ZSTD, 2 * MEMORY_ENCODER_HOT);
    assert_int_equal(waiting(&s), 1);
    /* What is missing comes first: bodies are numbered as they are made. */
    char *other;
    struct memory_object *missing = small_text(&s, "/other", STAGE_DISK, &other);
    memory_encoder_ask(s.encoder, missing, ZSTD);
    STAGE_UNTIL(left(&s) == 0);
    struct memory_object *second = form_of(&s, "/other", POLICY_ZSTD);
    struct memory_object *best = form_of(&s, "/", POLICY_ZSTD);
    assert_true(best->best);
    assert_true(second->body_id > first->body_id && best->body_id > second->body_id);
    memory_object_drop(second);
    assert_true(best->body_bytes < first->body_bytes);
    stage_assert_decodes(&s.stage, best, span_of(text, SMALL));
    uint64_t old_id = first->body_id;
    memory_object_drop(first);
    STAGE_UNTIL(!stage_has_body(&s.stage, old_id)); /* of the first form */
    use(&s, "/", POLICY_ZSTD, 4 * MEMORY_ENCODER_HOT);
    assert_int_equal(waiting(&s), 0);
    memory_object_drop(best);
    memory_object_drop(missing);
    memory_object_drop(o);
    free(other);
    free(words);
    free(text);
    finish(&s);
}

/* Random letters: no level does better. It is tried once. */
static void a_hot_form_that_is_as_good_as_it_gets(void **state)
{
    (void)state;
    struct workshop s;
    char *text;
    begin(&s, false, 0);
    struct memory_object *o = small_text(&s, "/", STAGE_RAM, &text);
    memory_encoder_ask(s.encoder, o, GZIP);
    STAGE_UNTIL(left(&s) == 0);
    struct memory_object *form = form_of(&s, "/", POLICY_GZIP);
    form->body_bytes = 1; /* whatever is made is larger */
    use(&s, "/", POLICY_GZIP, MEMORY_ENCODER_HOT);
    assert_int_equal(waiting(&s), 1);
    STAGE_UNTIL(left(&s) == 0);
    assert_int_equal(counted(&s, COUNTER_FORMS_MADE_GZIP), 1);
    assert_int_equal(marks(&s, "/"), 0);
    use(&s, "/", POLICY_GZIP, 4 * MEMORY_ENCODER_HOT);
    assert_int_equal(waiting(&s), 0);
    memory_object_drop(form);
    memory_object_drop(o);
    free(text);
    finish(&s);
}

/* It was so small that a first level found nothing wrong with it, and the best does. */
static void a_hot_form_of_a_dense_body(void **state)
{
    (void)state;
    struct workshop s;
    begin(&s, false, 0);
    char *random = stage_text(1, 256, SMALL);
    struct memory_object *o =
        stage_object(&s.stage, "/", POLICY_IDENTITY, span_of(random, SMALL), STAGE_RAM);
    struct memory_form_body body = {
        .encoding = POLICY_ZSTD, .bytes = SMALL, .in_memory = span_of(random, SMALL)};
    assert_int_equal(memory_form_add(o, &body), MEMORY_FORM_ADDED);
    use(&s, "/", POLICY_ZSTD, MEMORY_ENCODER_HOT);
    assert_int_equal(waiting(&s), 1);
    STAGE_UNTIL(left(&s) == 0);
    assert_int_equal(marks(&s, "/"), 0);
    assert_int_equal(counted(&s, COUNTER_ENCODER_DENSE), 0);
    memory_object_drop(o);
    free(random);
    finish(&s);
}

static void a_hot_form_that_is_missed_elsewhere(void **state)
{
    (void)state;
    struct workshop s;
    char *text;
    begin(&s, false, 0);
    struct memory_object *o = small_text(&s, "/", STAGE_RAM, &text);
    memory_encoder_ask(s.encoder, o, GZIP);
    STAGE_UNTIL(left(&s) == 0);
    struct memory_object *form = form_of(&s, "/", POLICY_GZIP);
    form->body_bytes = SMALL; /* whatever is made is smaller */
    atomic_store(&o->asked, 0);
    memory_encoder_ask(s.encoder, o, GZIP); /* of a version without it */
    use(&s, "/", POLICY_GZIP, MEMORY_ENCODER_HOT);
    assert_int_equal(waiting(&s), 2);
    STAGE_UNTIL(left(&s) == 0);
    struct memory_object *best = form_of(&s, "/", POLICY_GZIP);
    assert_true(best->best);
    stage_assert_decodes(&s.stage, best, span_of(text, SMALL));
    memory_object_drop(best);
    memory_object_drop(form);
    memory_object_drop(o);
    free(text);
    finish(&s);
}

/* The memory of the best level: a large body, and one that turns out to be large. */
static void large_ones_do_not_get_better(void **state)
{
    (void)state;
    struct workshop s;
    begin(&s, true, 0);
    char *text = stage_text(3, 2, LARGE);
    struct stage_bytes zstd = stage_encode(POLICY_ZSTD, span_of(text, LARGE));
    struct memory_object *large =
        stage_object(&s.stage, "/large", POLICY_IDENTITY, span_of(text, LARGE), STAGE_DISK);
    struct memory_object *packed =
        stage_object(&s.stage, "/packed", POLICY_ZSTD, span_of(zstd.ptr, zstd.len), STAGE_DISK);
    struct memory_form_body body = {
        .encoding = POLICY_GZIP, .bytes = LARGE / 2, .in_memory = span_of(text, LARGE / 2)};
    assert_int_equal(memory_form_add(large, &body), MEMORY_FORM_ADDED);
    assert_int_equal(memory_form_add(packed, &body), MEMORY_FORM_ADDED);
    use(&s, "/large", POLICY_GZIP, MEMORY_ENCODER_HOT);
    assert_int_equal(waiting(&s), 0);
    use(&s, "/packed", POLICY_GZIP, MEMORY_ENCODER_HOT);
    assert_int_equal(waiting(&s), 1);
    STAGE_UNTIL(left(&s) == 0);
    assert_int_equal(counted(&s, COUNTER_FORMS_MADE_GZIP), 0);
    memory_object_drop(large);
    memory_object_drop(packed);
    free(zstd.ptr);
    free(text);
    finish(&s);
}

/* --- the budget --- */

static void what_is_owed_is_waited_for(void **state)
{
    (void)state;
    struct workshop s;
    char *text;
    begin(&s, false, 0);
    memory_encoder_set_budget(s.encoder, 50);
    struct memory_object *o = small_text(&s, "/", STAGE_RAM, &text);
    memory_encoder_ask(s.encoder, o, ZSTD);
    assert_int_equal(left(&s), 0);
    /* half a second's worth of time, less what that took */
    assert_int_equal(s.encoder->budget.percent, 50);
    assert_true(s.encoder->budget.left_ns < 500000000);
    s.encoder->budget.left_ns = -100000000;
    int64_t before = memory_job_clock_ns(CLOCK_MONOTONIC);
    s.encoder->budget.at_ns = before;
    memory_encoder_ask(s.encoder, o, GZIP);
    assert_int_equal(left(&s), 0);
    assert_true(memory_job_clock_ns(CLOCK_MONOTONIC) - before >= 200000000);
    memory_object_drop(o);
    free(text);
    finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_form_in_ram),
        cmocka_unit_test(one_form_by_threads),
        cmocka_unit_test(one_form_on_disk),
        cmocka_unit_test(a_large_body_from_disk),
        cmocka_unit_test(a_large_body_that_gets_small),
        cmocka_unit_test(what_came_encoded),
        cmocka_unit_test(zstd_of_what_came_as_gzip),
        cmocka_unit_test(what_can_not_be_made),
        cmocka_unit_test(dense_is_remembered),
        cmocka_unit_test(broken_is_remembered),
        cmocka_unit_test(the_queue_is_bounded),
        cmocka_unit_test(what_waits_holds_little_of_the_memory),
        cmocka_unit_test(a_hot_form_gets_better),
        cmocka_unit_test(a_hot_form_that_is_as_good_as_it_gets),
        cmocka_unit_test(a_hot_form_of_a_dense_body),
        cmocka_unit_test(a_hot_form_that_is_missed_elsewhere),
        cmocka_unit_test(large_ones_do_not_get_better),
        cmocka_unit_test(what_is_owed_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
