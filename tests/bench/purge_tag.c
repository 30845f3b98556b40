/* tests/bench/purge_tag.c - how long until one tag on many objects is purged?
 *
 *   purge_tag [OBJECTS] [ROUNDS]
 *
 * OBJECTS (1,000,000) in memory, all with the tag "all". By turns: the tag is purged, and the
 * next look-up, of an object by chance, must miss; that object is fetched again, and hits.
 * Prints microseconds from before the purge to after that miss: median and longest. At the end
 * none of a thousand objects, by chance, may hit.
 */
#include <time.h>

#include "tests/unit/cache/scene.h"

#define OBJECTS_DEFAULT 1000000u
#define ROUNDS_DEFAULT 200u
#define LASTS "cache-control: max-age=3600\nsurrogate-key: all"

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static const char *path_of(unsigned n)
{
    static char path[32];
    (void)snprintf(path, sizeof path, "/o/%u", n);
    return path;
}

static bool is_hit(struct scene *s, unsigned n)
{
    return scene_verdict(s, HTTP_GET, path_of(n), "") == CACHE_HIT;
}

static double purge_once(struct scene *s, unsigned n)
{
    scene_store(s, path_of(n), "", LASTS, "body");
    must(is_hit(s, n));
    double begun = now_us();
    scene_purge(s, PURGE_TAG, PURGE_HARD, "all");
    must(!is_hit(s, n));
    return now_us() - begun;
}

int main(int argc, char **argv)
{
    unsigned objects = argc > 1 ? (unsigned)atoi(argv[1]) : OBJECTS_DEFAULT;
    unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : ROUNDS_DEFAULT;
    struct scene s;
    struct cache_figures f;
    unsigned hits = 0;
    must(objects > 0 && rounds > 0);
    double *took = must_alloc(rounds * sizeof *took);
    scene_open(&s, NULL, (uint64_t)4 << 30);
    cache_close(s.cache);
    s.conf_cache.max_objects = objects + 1;
    scene_open_again(&s);
    cache_tick(s.cache, 1000, NOW);
    for (unsigned i = 0; i < objects; i++)
        scene_store(&s, path_of(i), "", LASTS, "body");
    cache_figures(s.cache, &f);
    must(f.objects_in_memory >= objects);
    srand(1);
    must(is_hit(&s, (unsigned)rand() % objects));
    took[0] = now_us();
    scene_purge(&s, PURGE_TAG, PURGE_HARD, "all");
    for (unsigned i = 0; i < 1000; i++)
        hits += is_hit(&s, (unsigned)rand() % objects);
    took[0] = now_us() - took[0];
    printf("objects=%u first_with_1000_lookups_us=%.1f hits=%u", objects, took[0], hits);
    for (unsigned i = 0; i < rounds; i++)
        took[i] = purge_once(&s, (unsigned)rand() % objects);
    qsort(took, rounds, sizeof *took, ascending);
    printf(" median_us=%.1f longest_us=%.1f\n", took[rounds / 2], took[rounds - 1]);
    free(took);
    scene_close(&s);
    return hits > 0;
}
