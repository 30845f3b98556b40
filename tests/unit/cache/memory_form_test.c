#include "tests/unit/cache/forms.h"

#include "cache/memory/deposit.h"

static struct span field(const struct memory_object *o, const char *name)
{
    const struct http_field *f = http_fields_find_text(&o->block.fields, span_text(name));
    return f ? f->value : (struct span){0};
}

/* A form says what its encoding makes of the fields; the version before stays what it was. */
static void test_added(void **state)
{
    (void)state;
    struct scene s;
    forms_open(&s, 8 * MB);
    struct memory_object *base = forms_store(&s, "/x", FORM_HEAD, "identity");
    forms_add(&s, base, POLICY_ZSTD, "zstd one");
    forms_add(&s, base, POLICY_GZIP, "gzip");
    assert_int_equal(base->form_count, 0);
    struct memory_object *now = forms_now(base);
    assert_int_equal(now->form_count, 2);
    struct memory_object *zstd = forms_find(now, POLICY_ZSTD);
    assert_true(span_equal(field(zstd, "content-encoding"), SPAN("zstd")));
    assert_true(span_equal(field(zstd, "etag"), SPAN("W/\"1-zstd\"")));
    assert_true(span_equal(field(zstd, "content-type"), SPAN("text/html")));
    assert_int_equal(zstd->body_bytes, 8);
    assert_int_equal(zstd->facts.max_age_s, 60);
    assert_true(zstd->derived);
    assert_true(memory_object_same_body(base, now));
    assert_false(memory_object_same_body(base, zstd));
    FORMS_DISK(&s, 1, 3);

    /* A better one takes the place of the first. */
    memory_object_hold(zstd);
    memory_object_drop(now);
    struct memory_form_body best = forms_put(&s, POLICY_ZSTD, SPAN("zst2"));
    best.best = true;
    assert_int_equal(memory_form_add(base, &best), MEMORY_FORM_ADDED);
    assert_true(forms_is_now(base, POLICY_ZSTD, "zst2"));
    assert_true(forms_is_now(base, POLICY_GZIP, "gzip"));
    assert_true(span_equal(zstd->body, SPAN("zstd one")));
    memory_object_drop(zstd);
    FORMS_DISK(&s, 1, 3);
    memory_object_drop(base);
    forms_close(&s);
}

/* Also of a small body, which each version has a copy of, and without a disk. */
static void test_in_ram_alone(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    scene_store(&s, "/x", "", FORM_HEAD, "identity");
    struct memory_object *base = forms_get(&s, "/x");
    unsigned long long before = atomic_load(&s.cache->tier.memory_bytes);
    const enum policy_encoding made[] = {POLICY_GZIP, POLICY_ZSTD, POLICY_IDENTITY};
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        struct memory_form_body b = {
            .encoding = made[i], .bytes = 4, .in_memory = SPAN("form")};
        assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_ADDED);
    }
    struct memory_form_body fourth = {
        .encoding = POLICY_BROTLI, .bytes = 4, .in_memory = SPAN("form")};
    assert_int_equal(memory_form_add(base, &fourth), MEMORY_FORM_GONE);
    struct memory_object *now = forms_now(base);
    assert_int_equal(now->form_count, 3);
    assert_true(atomic_load(&s.cache->tier.memory_bytes) > before + 3 * sizeof(*now));
    memory_object_drop(now);
    memory_object_drop(base);
    scene_purge(&s, PURGE_TAG, PURGE_HARD, "a");
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_LEAD);
    scene_close(&s);
}

static struct client *revalidate(struct scene *s, const char *path, const char *head)
{
    struct client *c = client_ask(s, HTTP_GET, path, "");
    assert_int_equal(c->answer.verdict, CACHE_LEAD);
    client_open(c);
    client_fetch(c);
    if (head) {
        assert_int_equal(client_respond(c, 304, head, 0), CACHE_TAKE_DONE);
        client_fetched(c);
    }
    return c;
}

/* Late under a fetch, and gone when that brought another body. */
static void test_later_and_gone(void **state)
{
    (void)state;
    struct scene s;
    forms_open(&s, 8 * MB);
    struct memory_object *base = forms_store(&s, "/x", FORM_HEAD, "identity");
    s.now_s += 61;
    struct memory_form_body b = forms_put(&s, POLICY_ZSTD, SPAN("zstd"));
    struct client *c = revalidate(&s, "/x", NULL);
    assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_LATER);
    assert_int_equal(client_respond(c, 304, FORM_HEAD, 0), CACHE_TAKE_DONE);
    client_fetched(c);
    client_destroy(c);
    assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_ADDED); /* of the merged one */
    FORMS_DISK(&s, 1, 2);
    s.now_s += 61;
    struct memory_form_body late = forms_put(&s, POLICY_GZIP, SPAN("gzip"));
    c = revalidate(&s, "/x", NULL);
    client_respond_all(c, 200, FORM_HEAD, "another");
    client_destroy(c);
    assert_int_equal(memory_form_add(base, &late), MEMORY_FORM_GONE);
    assert_true(forms_is_now(base, POLICY_ZSTD, ""));
    forms_drop_body(&s, &late);
    memory_object_drop(base);
    FORMS_DISK(&s, 1, 1);
    forms_close(&s);
}

/* A 304 renews the fields of all forms, and takes them away with no-transform. */
static void test_304(void **state)
{
    (void)state;
    struct scene s;
    forms_open(&s, 8 * MB);
    struct memory_object *base = forms_store(&s, "/x", FORM_HEAD, "identity");
    forms_add(&s, base, POLICY_ZSTD, "zstd");
    memory_form_mark(base, MEMORY_MARK_DENSE);
    s.now_s += 61;
    client_destroy(revalidate(&s, "/x", FORM_HEAD "\nfoo: new"));
    struct memory_object *now = forms_now(base), *zstd = forms_find(now, POLICY_ZSTD);
    assert_non_null(zstd);
    assert_true(span_equal(field(zstd, "foo"), SPAN("new")));
    assert_true(span_equal(field(zstd, "content-encoding"), SPAN("zstd")));
    assert_true(span_equal(zstd->body, SPAN("zstd")));
    assert_int_equal(zstd->facts.requested_at_s, now->facts.requested_at_s);
    assert_int_equal(atomic_load(&now->marks), MEMORY_MARK_DENSE);
    memory_object_drop(now);
    FORMS_DISK(&s, 1, 2);
    assert_int_equal(forms_on_disk(&s).flags, STORE_RECORD_DENSE);
    s.now_s += 61;
    client_destroy(revalidate(&s, "/x", "cache-control: max-age=60, no-transform"));
    assert_true(forms_is_now(base, POLICY_ZSTD, ""));
    memory_object_drop(base);
    FORMS_DISK(&s, 1, 1);
    forms_close(&s);
}

/* Its bytes are gone: the object stays. */
static void test_forgotten(void **state)
{
    (void)state;
    struct scene s;
    forms_open(&s, 8 * MB);
    struct memory_object *base = forms_store(&s, "/x", FORM_HEAD, "identity");
    forms_add(&s, base, POLICY_GZIP, "gzip");
    struct memory_form_body b = forms_put(&s, POLICY_ZSTD, SPAN("zstd"));
    b.in_memory = (struct span){0}; /* on disk alone */
    assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_ADDED);
    FORMS_DISK(&s, 1, 3);
    struct memory_object *now = forms_now(base);
    struct memory_object *zstd = memory_object_hold(forms_find(now, POLICY_ZSTD));
    memory_object_drop(now);
    struct client c = {.scene = &s};
    arena_init(&c.arena, MB);
    memory_reader_open_object(&c.reader, s.cache, zstd, &s.mailbox, client_woken);
    enum err end;
    SCENE_UNTIL(&s, client_read(&c, &end).len || end != ERR_AGAIN);
    assert_true(memory_reader_close(&c.reader));
    /* Somebody deletes its chunks. */
    forms_drop_body(&s, &b);
    memory_reader_open_object(&c.reader, s.cache, zstd, &s.mailbox, client_woken);
    SCENE_UNTIL(&s, (client_read(&c, &end), end != ERR_AGAIN));
    assert_int_equal(end, ERR_CORRUPT);
    assert_true(memory_reader_close(&c.reader));
    arena_fini(&c.arena);
    assert_true(forms_is_now(base, POLICY_ZSTD, ""));
    assert_true(forms_is_now(base, POLICY_GZIP, "gzip"));
    memory_form_forget(zstd); /* once more changes nothing */
    assert_true(forms_is_now(base, POLICY_GZIP, "gzip"));
    memory_object_drop(zstd);
    memory_object_drop(base);
    FORMS_DISK(&s, 1, 2);
    assert_int_equal(scene_verdict(&s, HTTP_GET, "/x", ""), CACHE_HIT);
    forms_close(&s);
}

/* The record had gone, or never came: no body is left behind. */
static void test_without_a_record(void **state)
{
    (void)state;
    struct scene s;
    forms_open(&s, 8 * MB);
    struct memory_object *base = forms_store(&s, "/x", FORM_HEAD, "identity");
    forms_add(&s, base, POLICY_GZIP, "gzip");
    struct memory_form_body b = forms_put(&s, POLICY_ZSTD, SPAN("zstd"));
    memory_deposit_remove(&s.cache->tier, base->key, base->body_id);
    assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_ADDED);
    memory_deposit_forget(base); /* whatever version of it there is */
    assert_null(forms_now(base));
    memory_object_drop(base);
    FORMS_DISK(&s, 0, 0);

    base = forms_store(&s, "/y", FORM_HEAD, "identity");
    b = forms_put(&s, POLICY_ZSTD, SPAN("zstd"));
    atomic_store(&base->on_disk, false);
    assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_ADDED);
    assert_true(forms_is_now(base, POLICY_ZSTD, "zstd"));
    FORMS_DISK(&s, 1, 1);
    b = forms_put(&s, POLICY_GZIP, SPAN("gzip"));
    b.in_memory = (struct span){0};
    assert_int_equal(memory_form_add(base, &b), MEMORY_FORM_GONE);
    forms_drop_body(&s, &b);
    memory_object_drop(base);
    FORMS_DISK(&s, 1, 1);
    forms_close(&s);
}

/* What names the object names its forms. */
static void test_purged(void **state)
{
    (void)state;
    struct scene s;
    forms_open(&s, 8 * MB);
    for (int hard = 0; hard < 2; hard++) {
        struct memory_object *base = forms_store(&s, "/x", FORM_HEAD, "identity");
        forms_add(&s, base, POLICY_ZSTD, "zstd");
        FORMS_DISK(&s, 1, 2);
        struct memory_form_body late = forms_put(&s, POLICY_GZIP, SPAN("gzip"));
        scene_purge(&s, PURGE_TAG, hard ? PURGE_HARD : PURGE_SOFT, "a");
        struct client *c = revalidate(&s, "/x", NULL);
        assert_int_equal(memory_form_add(base, &late),
                         hard ? MEMORY_FORM_GONE : MEMORY_FORM_LATER);
        client_respond_all(c, 200, FORM_HEAD, "another");
        client_destroy(c);
        forms_drop_body(&s, &late);
        memory_object_drop(base);
        FORMS_DISK(&s, 1, 1);
        scene_purge(&s, PURGE_ALL, PURGE_HARD, "");
    }
    forms_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_added),          cmocka_unit_test(test_in_ram_alone),
        cmocka_unit_test(test_later_and_gone), cmocka_unit_test(test_304),
        cmocka_unit_test(test_forgotten),      cmocka_unit_test(test_without_a_record),
        cmocka_unit_test(test_purged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
