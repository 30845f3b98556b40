/* The encoders of a whole cache: begun, told their share, read and ended by cache.c. */
#include "cache/memory/encoder.h"

#include <dirent.h>

#include "cache/memory/job.h"
#include "tests/unit/cache/scene.h"

static struct memory_object *stored(struct scene *s, const char *target)
{
    struct client *c = client_ask(s, HTTP_GET, target, "");
    assert_int_equal(c->answer.verdict, CACHE_HIT);
    struct memory_object *o = memory_object_hold(c->answer.object);
    client_destroy(c);
    return o;
}

static bool has_form(struct scene *s, const char *target)
{
    struct memory_object *o = stored(s, target);
    bool has = o->form_count > 0;
    memory_object_drop(o);
    return has;
}

static char *text_of(size_t bytes)
{
    char *text = must_alloc(bytes + 1);
    for (size_t i = 0; i < bytes; i++)
        text[i] = (char)('a' + hash_mix(i) % 8);
    return text;
}

static void made_and_kept(void **state)
{
    (void)state;
    struct scene s;
    struct cache_figures f;
    char path[] = "/tmp/encoder_test.XXXXXX", *text = text_of(5000);
    assert_non_null(mkdtemp(path));
    scene_open(&s, path, 64 << 20);
    SCENE_UNTIL(&s, !atomic_load(&s.cache->tier.scanning));
    scene_store(&s, "/a", "", "content-type: text/plain\ncache-control: max-age=100", text);
    struct memory_object *o = stored(&s, "/a");
    cache_figures(s.cache, &f);
    assert_int_equal(f.encoder_waiting, 0);
    memory_encoder_ask(s.cache->tier.encoder, o, POLICY_BIT(POLICY_ZSTD));
    cache_figures(s.cache, &f);
    SCENE_UNTIL(&s, has_form(&s, "/a"));
    SCENE_UNTIL(&s, (cache_figures(s.cache, &f), f.encoder_waiting == 0));
    assert_true(f.encoder_cpu_us > 0);
    /* closed in the middle of the next one, with whatever is at the store */
    memory_encoder_ask(s.cache->tier.encoder, o, POLICY_BIT(POLICY_GZIP));
    memory_object_drop(o);
    scene_close(&s);
    free(text);
    DIR *d = opendir(path);
    must(d);
    for (struct dirent *e; (e = readdir(d));)
        (void)unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(path);
}

static void their_share(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 1 << 20);
    unsigned before = atomic_load(&s.cache->tier.encoder->percent);
    assert_in_range(before, 1, 100);
    cache_set_variants(s.cache, &(struct conf_variants){.cpu_percent = 50});
    unsigned half = atomic_load(&s.cache->tier.encoder->percent);
    cache_set_variants(s.cache, &(struct conf_variants){.cpu_percent = 100});
    unsigned all = atomic_load(&s.cache->tier.encoder->percent);
    assert_int_equal(all, 2 * half);
    assert_int_equal(all % 100, 0); /* of each CPU */
    cache_set_variants(s.cache, &(struct conf_variants){.cpu_percent = 0});
    assert_int_equal(atomic_load(&s.cache->tier.encoder->percent), all);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_and_kept),
        cmocka_unit_test(their_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
