#include "cache/policy/encoding.h"
#include "tests/unit/cache/scene.h"

#define MB ((uint64_t)1 << 20)

struct told {
    unsigned count;
    struct cache_variant_info last; /* its spans are those of objects that the cache holds */
};

static void tell(void *user, const struct cache_variant_info *v)
{
    struct told *t = user;
    t->count++;
    t->last = *v;
}

static struct told info(struct scene *s, const char *url)
{
    struct told t = {0};
    cache_info(s->cache, span_text(url), &s->conf, s->now_s, tell, &t);
    return t;
}

static void assert_form(const struct cache_form_info *f, const char *encoding, int64_t bytes,
                        bool made, const char *tier)
{
    if (!span_equal(f->encoding, span_text(encoding)) || f->bytes != bytes || f->made != made ||
        strcmp(f->tier, tier) != 0)
        fail_msg("%s: %.*s, %d bytes, made %d, %s", encoding, SPAN_ARG(f->encoding),
                 (int)f->bytes, f->made, f->tier);
}

static void test_nothing(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    assert_int_equal(info(&s, "http://h.x/x").count, 0);
    struct client *c = client_ask(&s, HTTP_GET, "/x", "");
    struct told t = info(&s, "http://h.x/x");
    assert_int_equal(t.count, 1);
    assert_string_equal(t.last.tier, "filling");
    assert_int_equal(t.last.form_count, 0);
    client_destroy(c);
    scene_close(&s);
}

static void test_as_received(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    scene_store(&s, "/x", "", "cache-control: max-age=60\netag: \"a\"", "body");
    s.now_s += 5;
    struct told t = info(&s, "http://h.x/x");
    assert_int_equal(t.count, 1);
    assert_int_equal(t.last.status, 200);
    assert_int_equal(t.last.age_s, 5);
    assert_int_equal(t.last.fresh_left_s, 55);
    assert_string_equal(t.last.state, "fresh");
    assert_int_equal(t.last.form_count, 1);
    assert_form(&t.last.forms[0], "identity", 4, false, "memory");
    scene_close(&s);
}

static struct memory_object *form_of(struct scene *s, const struct memory_object *base,
                                     enum policy_encoding encoding, int64_t bytes)
{
    struct memory_seed seed = {.key = base->key,
                               .key_text = base->key_text,
                               .facts = base->facts,
                               .status = base->status,
                               .fields = &base->block.fields,
                               .body_bytes = bytes,
                               .body_room = encoding == POLICY_ZSTD ? (size_t)bytes : 0};
    struct memory_object *form = memory_object_create(&s->cache->tier, &seed);
    assert_non_null(form);
    form->encoding = (uint8_t)encoding;
    form->derived = true;
    return form;
}

/* As a base that has every form, whoever made them. */
static void test_forms(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    scene_store(&s, "/x", "", "cache-control: max-age=60", "body");
    struct client *c = client_ask(&s, HTTP_GET, "/x", "");
    struct memory_object *o = c->answer.object;
    assert_non_null(o);
    o->form[0] = form_of(&s, o, POLICY_ZSTD, 2);
    o->form[1] = form_of(&s, o, POLICY_GZIP, 3);
    o->form[2] = form_of(&s, o, POLICY_IDENTITY, 9);
    o->form_count = 3;
    struct told t = info(&s, "http://h.x/x");
    assert_int_equal(t.count, 1);
    assert_int_equal(t.last.form_count, 4);
    assert_form(&t.last.forms[0], "identity", 4, false, "memory");
    assert_form(&t.last.forms[1], "zstd", 2, true, "memory");
    assert_form(&t.last.forms[2], "gzip", 3, true, "disk");
    assert_form(&t.last.forms[3], "identity", 9, true, "disk");
    o->form_count = 0;
    for (unsigned i = 0; i < MEMORY_FORMS; i++) {
        memory_object_drop(o->form[i]);
        o->form[i] = NULL;
    }
    client_destroy(c);
    scene_close(&s);
}

static void test_variants(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 8 * MB);
    scene_store(&s, "/x", "x-a: 1", "cache-control: max-age=60\nvary: x-a", "one");
    scene_store(&s, "/x", "x-a: 2", "cache-control: max-age=60\nvary: x-a", "three");
    struct told t = info(&s, "http://h.x/x");
    assert_int_equal(t.count, 2);
    assert_int_equal(t.last.form_count, 1);
    assert_true(t.last.vary.len > 0);
    scene_purge(&s, PURGE_URL, PURGE_SOFT, "http://h.x/x");
    assert_string_equal(info(&s, "http://h.x/x").last.state, "stale");
    scene_purge(&s, PURGE_URL, PURGE_HARD, "http://h.x/x");
    t = info(&s, "http://h.x/x");
    assert_true(t.count == 0 || strcmp(t.last.state, "purged") == 0);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_as_received),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_variants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
