#include "cache/memory/job.h"

#include "cache/store/inside.h"
#include "tests/unit/cache/memory/encoding.h"

/* --- what comes between --- */

static void a_base_on_its_way_to_disk(void **state)
{
    (void)state;
    struct workshop s;
    char *text;
    begin(&s, true, 0);
    struct memory_object *o = small_text(&s, "/", STAGE_NOT_YET, &text);
    memory_encoder_ask(s.encoder, o, ZSTD);
    for (int i = 0; i < 20; i++)
        assert_int_equal(left(&s), 1);
    assert_int_equal(counted(&s, COUNTER_FORMS_MADE_ZSTD), 0);
    struct store_body b = {0};
    store_body_begin(s.stage.tier.store, &b);
    b.body_id = o->body_id;
    stage_store(&s.stage, o, span_of(text, SMALL), &b);
    store_body_fini(&b);
    STAGE_UNTIL(left(&s) == 0);
    assert_form(&s, "/", POLICY_ZSTD, span_of(text, SMALL));
    memory_object_drop(o);
    stage_close(&s.stage);
    stage_open_again(&s.stage);
    assert_stored(&s.stage, "/", POLICY_ZSTD, span_of(text, SMALL));
    free(text);
    finish(&s);
}

/* It never comes there: the form is made in RAM alone. */
static void a_base_that_stays_in_ram(void **state)
{
    (void)state;
    struct workshop s;
    char *text;
    begin(&s, true, 0);
    struct memory_object *o = small_text(&s, "/", STAGE_NOT_YET, &text);
    memory_encoder_ask(s.encoder, o, ZSTD);
    assert_int_equal(left(&s), 1);
    s.encoder->line[MEMORY_LINE_SOON].first->until_ms = 1; /* since long */
    STAGE_UNTIL(left(&s) == 0);
    struct memory_object *form = form_of(&s, "/", POLICY_ZSTD);
    assert_int_equal(form->body_id, 0);
    stage_assert_decodes(&s.stage, form, span_of(text, SMALL));
    memory_object_drop(form);
    memory_object_drop(o);
    free(text);
    finish(&s);
}

static void replaced_while_it_was_made(void **state)
{
    (void)state;
    struct workshop s;
    char *text, *other;
    begin(&s, true, 0);
    struct memory_object *o = small_text(&s, "/", STAGE_DISK, &text);
    uint64_t id = store_body_id(s.stage.tier.store) + 1;
    memory_encoder_ask(s.encoder, o, ZSTD);
    assert_int_equal(left(&s), 1); /* at the store */
    struct memory_object *now = small_text(&s, "/", STAGE_DISK, &other);
    STAGE_UNTIL(left(&s) == 0);
    assert_int_equal(counted(&s, COUNTER_ENCODER_LATE), 1);
    assert_false(has_form(&s, "/", POLICY_ZSTD));
    STAGE_UNTIL(!stage_has_body(&s.stage, id));
    /* asked for the one that is gone: not even begun */
    memory_encoder_ask(s.encoder, o, GZIP);
    STAGE_UNTIL(left(&s) == 0);
    assert_int_equal(counted(&s, COUNTER_ENCODER_LATE), 1);
    memory_object_drop(o);
    memory_object_drop(now);
    free(text);
    free(other);
    finish(&s);
}

static void a_fetch_over_the_object(void **state)
{
    (void)state;
    struct workshop s;
    char *text;
    begin(&s, true, 0);
    struct memory_object *o = small_text(&s, "/", STAGE_DISK, &text);
    struct memory_fill *f =
        memory_fill_create(&s.stage.tier, MEMORY_FILL_SHARED, o->key, o, NULL);
    struct memory_place p;
    memory_place_open(s.stage.tier.index, o->key, &p);
    memory_place_set_fill(&p, f);
    memory_place_close(&p);
    memory_encoder_ask(s.encoder, o, ZSTD);
    /* made, and waiting for the fetch */
    STAGE_UNTIL(left(&s) == 1 && atomic_load(&s.encoder->at_store) == 0 &&
                s.encoder->line[MEMORY_LINE_SOON].first);
    for (int i = 0; i < 20; i++)
        assert_int_equal(left(&s), 1);
    memory_place_open(s.stage.tier.index, o->key, &p);
    memory_place_set_object(&p, o);
    memory_place_close(&p);
    STAGE_UNTIL(left(&s) == 0);
    assert_form(&s, "/", POLICY_ZSTD, span_of(text, SMALL));
    assert_int_equal(counted(&s, COUNTER_ENCODER_LATE), 0);
    memory_fill_drop(f);
    memory_object_drop(o);
    free(text);
    finish(&s);
}

static void a_fetch_that_does_not_end(void **state)
{
    (void)state;
    struct workshop s;
    char *text;
    begin(&s, true, 0);
    struct memory_object *o = small_text(&s, "/", STAGE_DISK, &text);
    struct memory_fill *f =
        memory_fill_create(&s.stage.tier, MEMORY_FILL_SHARED, o->key, o, NULL);
    struct memory_place p;
    memory_place_open(s.stage.tier.index, o->key, &p);
    memory_place_set_fill(&p, f);
    memory_place_close(&p);
    uint64_t id = store_body_id(s.stage.tier.store) + 1;
    memory_encoder_ask(s.encoder, o, ZSTD);
    STAGE_UNTIL(left(&s) == 1 && s.encoder->line[MEMORY_LINE_SOON].first);
    s.encoder->line[MEMORY_LINE_SOON].first->until_ms = 1; /* since long */
    STAGE_UNTIL(left(&s) == 1 && s.encoder->line[MEMORY_LINE_COOLING].first);
    assert_int_equal(counted(&s, COUNTER_ENCODER_LATE), 1);
    assert_int_equal(atomic_load(&s.encoder->parked_bytes), 0);
    STAGE_UNTIL(!stage_has_body(&s.stage, id));
    assert_int_equal(asked(o), ZSTD);
    s.encoder->line[MEMORY_LINE_COOLING].first->due_ms = 0;
    assert_int_equal(left(&s), 0);
    assert_int_equal(asked(o), 0);
    memory_place_open(s.stage.tier.index, o->key, &p);
    memory_place_set_object(&p, o);
    memory_place_close(&p);
    memory_fill_drop(f);
    memory_object_drop(o);
    free(text);
    finish(&s);
}

/* Two things to wait for: the time of the first does not count for the second. */
static void first_the_disk_then_a_fetch(void **state)
{
    (void)state;
    struct workshop s;
    char *text;
    begin(&s, true, 0);
    struct memory_object *o = small_text(&s, "/", STAGE_NOT_YET, &text);
    struct memory_fill *f =
        memory_fill_create(&s.stage.tier, MEMORY_FILL_SHARED, o->key, o, NULL);
    struct memory_place p;
    memory_place_open(s.stage.tier.index, o->key, &p);
    memory_place_set_fill(&p, f);
    memory_place_close(&p);
    memory_encoder_ask(s.encoder, o, ZSTD);
    assert_int_equal(left(&s), 1);
    s.encoder->line[MEMORY_LINE_SOON].first->until_ms = 1; /* since long */
    atomic_store(&o->on_disk, true);
    struct memory_line *soon = &s.encoder->line[MEMORY_LINE_SOON];
    STAGE_UNTIL(left(&s) == 1 && soon->first && soon->first->phase == MEMORY_ADD);
    assert_int_equal(counted(&s, COUNTER_ENCODER_LATE), 0);
    memory_place_open(s.stage.tier.index, o->key, &p);
    memory_place_set_object(&p, o);
    memory_place_close(&p);
    STAGE_UNTIL(left(&s) == 0);
    assert_form(&s, "/", POLICY_ZSTD, span_of(text, SMALL));
    memory_fill_drop(f);
    memory_object_drop(o);
    free(text);
    finish(&s);
}

/* --- a store that takes nothing --- */

static struct memory_job *only_job(struct memory_encoder *e)
{
    for (unsigned i = 0; i < MEMORY_JOB_BUCKETS; i++)
        if (e->bucket[i])
            return e->bucket[i];
    fail_msg("no job");
    return NULL;
}

static void a_put_that_fails(void **state)
{
    (void)state;
    struct workshop s;
    char *text;
    begin(&s, true, 0);
    struct memory_object *o = small_text(&s, "/", STAGE_DISK, &text);
    memory_encoder_ask(s.encoder, o, ZSTD);
    assert_int_equal(left(&s), 1);
    struct memory_job *j = only_job(s.encoder);
    must(j);
    STAGE_UNTIL(atomic_load(&s.encoder->at_store) == 0); /* home, and not opened yet */
    j->put.job.err = ERR_SYS;
    assert_int_equal(left(&s), 0);
    struct memory_object *form = form_of(&s, "/", POLICY_ZSTD);
    assert_int_equal(form->body_id, 0); /* in RAM alone */
    stage_assert_decodes(&s.stage, form, span_of(text, SMALL));
    memory_object_drop(form);
    memory_object_drop(o);
    free(text);
    finish(&s);
}

static void a_store_that_is_off(void **state)
{
    (void)state;
    struct workshop s;
    char *text;
    begin(&s, true, 0);
    struct memory_object *o = small_text(&s, "/", STAGE_DISK, &text);
    char *large = stage_text(3, 40, LARGE);
    struct memory_object *l =
        stage_object(&s.stage, "/large", POLICY_IDENTITY, span_of(large, LARGE), STAGE_DISK);
    atomic_store(&s.stage.tier.store_on, false);
    memory_encoder_ask(s.encoder, o, ZSTD);
    memory_encoder_ask(s.encoder, l, ZSTD);
    STAGE_UNTIL(left(&s) == 1); /* it cools */
    assert_form(&s, "/", POLICY_ZSTD, span_of(text, SMALL));
    assert_int_equal(counted(&s, COUNTER_ENCODER_FAILED), 1);
    assert_false(has_form(&s, "/large", POLICY_ZSTD));
    /* Not asked for again in a tight loop, but later. */
    for (int i = 0; i < 5; i++)
        memory_encoder_ask(s.encoder, l, ZSTD);
    assert_int_equal(left(&s), 1);
    s.encoder->line[MEMORY_LINE_COOLING].first->due_ms = 0;
    assert_int_equal(left(&s), 0);
    assert_int_equal(asked(l), 0);
    atomic_store(&s.stage.tier.store_on, true);
    memory_encoder_ask(s.encoder, l, ZSTD);
    STAGE_UNTIL(left(&s) == 0);
    assert_form(&s, "/large", POLICY_ZSTD, span_of(large, LARGE));
    memory_object_drop(o);
    memory_object_drop(l);
    free(text);
    free(large);
    finish(&s);
}

static void a_store_whose_queue_is_full(void **state)
{
    (void)state;
    struct workshop s;
    char *text;
    begin(&s, true, 0);
    struct memory_object *o = small_text(&s, "/", STAGE_DISK, &text);
    atomic_fetch_add(&s.stage.tier.store->queue_bytes, STORE_QUEUE_MAX);
    memory_encoder_ask(s.encoder, o, ZSTD);
    assert_int_equal(left(&s), 0);
    atomic_fetch_sub(&s.stage.tier.store->queue_bytes, STORE_QUEUE_MAX);
    struct memory_object *form = form_of(&s, "/", POLICY_ZSTD);
    assert_int_equal(form->body_id, 0); /* in RAM alone */
    stage_assert_decodes(&s.stage, form, span_of(text, SMALL));
    memory_object_drop(form);
    memory_object_drop(o);
    free(text);
    finish(&s);
}

/* Another version of it, that knows nothing of what the first was asked for. */
static struct memory_object *another_version(struct memory_object *o)
{
    struct http_fields hidden;
    struct memory_seed seed;
    memory_object_seed(o, &hidden, &seed);
    seed.body_of = o;
    struct memory_object *other = memory_object_create(o->tier, &seed);
    must(other);
    atomic_store(&other->asked, 0);
    return other;
}

static void versions_share_what_they_are_asked_for(void **state)
{
    (void)state;
    struct workshop s;
    char *text;
    begin(&s, true, 0);
    struct memory_object *o = small_text(&s, "/", STAGE_DISK, &text);
    struct memory_object *other = another_version(o), *third = another_version(o);
    memory_encoder_ask(s.encoder, o, ZSTD);
    memory_encoder_ask(s.encoder, other, ZSTD | GZIP);
    assert_int_equal(left(&s), 3); /* at the store, and a twin */
    memory_encoder_ask(s.encoder, third, ZSTD);
    STAGE_UNTIL(left(&s) == 0);
    assert_int_equal(counted(&s, COUNTER_FORMS_MADE_ZSTD), 1);
    assert_int_equal(counted(&s, COUNTER_FORMS_MADE_GZIP), 1);
    assert_form(&s, "/", POLICY_ZSTD, span_of(text, SMALL));
    assert_form(&s, "/", POLICY_GZIP, span_of(text, SMALL));
    memory_object_drop(third);
    memory_object_drop(other);
    memory_object_drop(o);
    free(text);
    finish(&s);
}

static void versions_share_a_mark(void **state)
{
    (void)state;
    struct workshop s;
    begin(&s, false, 0);
    char *random = stage_text(1, 256, SMALL);
    struct memory_object *o =
        stage_object(&s.stage, "/", POLICY_IDENTITY, span_of(random, SMALL), STAGE_RAM);
    struct memory_object *other = another_version(o);
    memory_encoder_ask(s.encoder, o, ZSTD);
    STAGE_UNTIL(left(&s) == 0);
    memory_encoder_ask(s.encoder, other, GZIP);
    assert_int_equal(left(&s), 0);
    assert_int_equal(counted(&s, COUNTER_ENCODER_DENSE), 1);
    memory_object_drop(other);
    memory_object_drop(o);
    free(random);
    finish(&s);
}

static void versions_share_a_failure(void **state)
{
    (void)state;
    struct workshop s;
    begin(&s, true, 0);
    char *large = stage_text(3, 40, LARGE);
    struct memory_object *o =
        stage_object(&s.stage, "/", POLICY_IDENTITY, span_of(large, LARGE), STAGE_DISK);
    struct memory_object *other = another_version(o);
    atomic_store(&s.stage.tier.store_on, false);
    memory_encoder_ask(s.encoder, o, ZSTD);
    assert_int_equal(left(&s), 1);
    memory_encoder_ask(s.encoder, other, ZSTD);
    assert_int_equal(left(&s), 2);
    assert_int_equal(counted(&s, COUNTER_ENCODER_FAILED), 1);
    s.encoder->line[MEMORY_LINE_COOLING].first->due_ms = 0;
    assert_int_equal(left(&s), 0);
    assert_int_equal(asked(o) | asked(other), 0);
    memory_object_drop(other);
    memory_object_drop(o);
    free(large);
    finish(&s);
}

/* --- the end --- */

static void broken_off_in_the_middle(void **state)
{
    (void)state;
    struct workshop s;
    begin(&s, true, 2);
    memory_encoder_set_budget(s.encoder, 5); /* so that it takes minutes */
    char *text = stage_text(3, 40, LARGE), *other;
    struct memory_object *o =
        stage_object(&s.stage, "/large", POLICY_IDENTITY, span_of(text, LARGE), STAGE_DISK);
    struct memory_object *small = small_text(&s, "/small", STAGE_DISK, &other);
    memory_encoder_ask(s.encoder, o, GZIP | ZSTD);
    memory_encoder_ask(s.encoder, small, GZIP | ZSTD);
    struct memory_encoder_figures f;
    do {
        memory_encoder_figures(s.encoder, &f);
        (void)poll(NULL, 0, 1);
    } while (f.cpu_us < 50000);
    memory_encoder_destroy(s.encoder);
    s.stage.tier.encoder = NULL;
    assert_false(has_form(&s, "/large", POLICY_GZIP));
    memory_object_drop(o);
    memory_object_drop(small);
    free(text);
    free(other);
    finish(&s); /* nothing is held any more */
}

/* With a job in each state: waiting, at the store, cooling, and looking again. */
static void let_go_from_any_state(void **state)
{
    (void)state;
    struct workshop s;
    char *text;
    begin(&s, true, 0);
    struct memory_object *o[4];
    char *large = stage_text(3, 40, LARGE);
    o[0] =
        stage_object(&s.stage, "/cooling", POLICY_IDENTITY, span_of(large, LARGE), STAGE_DISK);
    atomic_store(&s.stage.tier.store_on, false);
    memory_encoder_ask(s.encoder, o[0], ZSTD);
    assert_int_equal(left(&s), 1);
    atomic_store(&s.stage.tier.store_on, true);
    free(large);
    o[1] = small_text(&s, "/soon", STAGE_NOT_YET, &text);
    memory_encoder_ask(s.encoder, o[1], ZSTD);
    assert_int_equal(left(&s), 2);
    free(text);
    o[2] = small_text(&s, "/at-store", STAGE_DISK, &text);
    memory_encoder_ask(s.encoder, o[2], ZSTD);
    assert_int_equal(left(&s), 3);
    free(text);
    o[3] = small_text(&s, "/first", STAGE_DISK, &text);
    memory_encoder_ask(s.encoder, o[3], ZSTD);
    free(text);
    assert_int_equal(waiting(&s), 4);
    for (unsigned i = 0; i < ARRAY_LEN(o); i++)
        memory_object_drop(o[i]);
    finish(&s);
}

/* Small forms do not wait for each other's commit. */
static void many_small_forms(void **state)
{
    (void)state;
    enum { MANY = 40 };
    struct workshop s;
    struct memory_object *o[MANY];
    char path[16], *text = stage_text(7, 16, 4000);
    begin(&s, true, 0);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(path, sizeof(path), "/%u", i);
        o[i] = stage_object(&s.stage, path, POLICY_IDENTITY, span_of(text, 4000), STAGE_DISK);
    }
    for (unsigned i = 0; i < MANY; i++)
        memory_encoder_ask(s.encoder, o[i], ZSTD);
    struct store_figures before, after;
    store_figures(s.stage.tier.store, &before);
    STAGE_UNTIL(left(&s) == 0);
    store_figures(s.stage.tier.store, &after);
    assert_int_equal(counted(&s, COUNTER_FORMS_MADE_ZSTD), MANY);
    assert_in_range(after.commits - before.commits, 1, MANY / 4);
    for (unsigned i = 0; i < MANY; i++)
        memory_object_drop(o[i]);
    free(text);
    finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_base_on_its_way_to_disk),
        cmocka_unit_test(a_base_that_stays_in_ram),
        cmocka_unit_test(replaced_while_it_was_made),
        cmocka_unit_test(a_fetch_over_the_object),
        cmocka_unit_test(a_fetch_that_does_not_end),
        cmocka_unit_test(first_the_disk_then_a_fetch),
        cmocka_unit_test(a_put_that_fails),
        cmocka_unit_test(a_store_that_is_off),
        cmocka_unit_test(a_store_whose_queue_is_full),
        cmocka_unit_test(versions_share_what_they_are_asked_for),
        cmocka_unit_test(versions_share_a_mark),
        cmocka_unit_test(versions_share_a_failure),
        cmocka_unit_test(broken_off_in_the_middle),
        cmocka_unit_test(let_go_from_any_state),
        cmocka_unit_test(many_small_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
