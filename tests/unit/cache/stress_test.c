/* Many clients on several loops against one cache with a small RAM tier and a small disk, while
 * another thread purges. The invariant is the promise of docs/purge.md: a request that begins
 * after a purge has returned never gets what the origin answered before it. Nobody waits for
 * ever: an actor that was told to wait asks again only when it was woken. */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "tests/unit/cache/scene.h"

#include "cache/memory/fill.h"

#define MB (UINT64_C(1) << 20)

enum { URLS = 24, WORKERS = 3, ACTORS = 30, RUN_MS = 1500, END_MS = 20000 };

static atomic_uint origin_version[URLS]; /* what the origin answers now */
static atomic_uint purged_version[URLS]; /* no older answer may be seen any more */
static atomic_bool stopping;
static atomic_uint reads, failures, loads;

struct actor {
    struct client *client;
    unsigned url, floor, version; /* version: what the origin answers to our fetch */
    uint64_t length, given;
    unsigned woken_at, room_at;
    bool waits, fetch_waits, head_seen, responded, done;
};

struct worker {
    struct scene scene;
    struct actor actors[ACTORS];
    uint32_t seed;
    pthread_t thread;
};

static uint32_t draw(struct worker *w, uint32_t below)
{
    w->seed = w->seed * 1664525 + 1013904223;
    return (w->seed >> 8) % below;
}

static int64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- a fetch --- */

static void begin_fetch(struct worker *w, struct actor *a)
{
    struct client *c = a->client;
    client_fetch(c);
    a->version = atomic_load(&origin_version[a->url]); /* the origin reads the request later */
    uint32_t kind = draw(w, 20);
    a->length = kind < 14 ? draw(w, 3000) : kind < 18 ? draw(w, 150000) : MB + draw(w, 2 * MB);
    a->given = 0;
    a->fetch_waits = a->responded = false;
}

static void end_fetch(struct actor *a)
{
    client_fetched(a->client);
}

static bool origin_says_304(const struct actor *a)
{
    const struct memory_object *o = a->client->intake.validating;
    const struct http_field *etag =
        o ? http_fields_find(&o->block.fields, HTTP_NAME_ETAG) : NULL;
    char want[32];
    (void)snprintf(want, sizeof(want), "\"%u\"", a->version);
    return etag && span_equal(etag->value, span_text(want));
}

static void respond(struct worker *w, struct actor *a)
{
    char head[160];
    bool known = draw(w, 2), private = draw(w, 30) == 0;
    a->responded = true;
    if (origin_says_304(a)) {
        (void)snprintf(head, sizeof(head), "cache-control: max-age=9999\netag: \"%u\"",
                       a->version);
        if (client_respond(a->client, 304, head, 0) == CACHE_TAKE_DONE)
            end_fetch(a);
        return;
    }
    (void)snprintf(
        head, sizeof(head), "cache-control: %s\netag: \"%u\"\nlen: %llu\nxkey: u%u%s",
        private ? "private" : "max-age=9999", a->version, (unsigned long long)a->length, a->url,
        a->url % 5 == 0 ? "\nvary: lang" : "");
    if (client_respond(a->client, 200, head, known ? (int64_t)a->length : -1) ==
        CACHE_TAKE_DONE)
        end_fetch(a);
}

static void fetch_body(struct actor *a)
{
    char piece[16384];
    struct client *c = a->client;
    uint64_t n = a->length - a->given;
    n = n < sizeof(piece) ? n : sizeof(piece);
    memset(piece, (int)(a->version & 0x7f), (size_t)n);
    unsigned room_at = c->room;
    enum err e = n ? cache_intake_body(&c->intake, span_of(piece, (size_t)n)) : ERR_OK;
    a->given += n;
    if (e == ERR_CLOSED) {
        end_fetch(a);
    } else if (a->given == a->length) {
        cache_intake_end(&c->intake, NULL);
        end_fetch(a);
    } else if (e == ERR_AGAIN) {
        a->fetch_waits = true;
        a->room_at = room_at;
    }
}

static void step_fetch(struct worker *w, struct actor *a)
{
    struct client *c = a->client;
    if (a->fetch_waits && c->room == a->room_at)
        return;
    a->fetch_waits = false;
    if (!cache_intake_wanted(&c->intake) || draw(w, 400) == 0) {
        cache_intake_fail(&c->intake, CACHE_FAILURE_REFUSED, NOW);
        end_fetch(a);
    } else if (!a->responded) {
        if (draw(w, 3) == 0)
            respond(w, a);
    } else {
        fetch_body(a);
    }
}

/* --- a client --- */

static void open_answer(struct worker *w, struct actor *a)
{
    struct client *c = a->client;
    a->waits = a->head_seen = false;
    if (c->answer.from_disk)
        atomic_fetch_add(&loads, 1);
    if (c->answer.verdict == CACHE_UNAVAILABLE) {
        a->done = true;
        return;
    }
    client_open(c);
    if (c->answer.fill && c->answer.verdict != CACHE_JOIN)
        begin_fetch(w, a);
}

static void start(struct worker *w, struct actor *a)
{
    char path[32];
    *a = (struct actor){.url = draw(w, URLS)};
    (void)snprintf(path, sizeof(path), "/%u", a->url);
    a->floor = atomic_load(&purged_version[a->url]);
    a->client = client_ask(&w->scene, HTTP_GET, path, draw(w, 2) ? "lang: de" : "lang: en");
    open_answer(w, a);
}

static void look_again(struct worker *w, struct actor *a, bool alone)
{
    struct client *c = a->client;
    client_close_reader(c);
    cache_answer_fini(&c->answer);
    c->ask.alone = alone;
    client_lookup(c);
    open_answer(w, a);
}

static uint64_t number_in(const struct memory_object *o, const char *name)
{
    const struct http_field *f = http_fields_find_text(&o->block.fields, span_text(name));
    uint64_t n = 0;
    must(f);
    struct span v = f->value;
    if (v.len && v.ptr[0] == '"')
        v = span_of(v.ptr + 1, v.len - 2);
    must(span_to_u64(v, &n));
    return n;
}

static void step_head(struct worker *w, struct actor *a)
{
    struct client *c = a->client;
    a->woken_at = c->woken;
    switch (memory_reader_head(&c->reader)) {
    case MEMORY_HEAD_WAIT:
        a->waits = true;
        break;
    case MEMORY_HEAD_READY:
    case MEMORY_HEAD_STALE:
        a->head_seen = true;
        if (number_in(c->reader.object, "etag") < a->floor) {
            fprintf(stderr, "url %u: version %llu after a purge of %u (verdict %d)\n", a->url,
                    (unsigned long long)number_in(c->reader.object, "etag"), a->floor,
                    c->answer.verdict);
            abort();
        }
        break;
    case MEMORY_HEAD_AGAIN:
        if (!c->fetching)
            look_again(w, a, false);
        break;
    case MEMORY_HEAD_ALONE:
        look_again(w, a, true);
        break;
    case MEMORY_HEAD_FAILED:
        a->done = true;
        break;
    }
}

static void step_body(struct worker *w, struct actor *a)
{
    struct client *c = a->client;
    struct span piece;
    a->woken_at = c->woken;
    enum err e = memory_reader_peek(&c->reader, &piece);
    if (e == ERR_OK) {
        char want = (char)(number_in(c->reader.object, "etag") & 0x7f);
        must(piece.ptr[0] == want && piece.ptr[piece.len - 1] == want &&
             piece.ptr[piece.len / 2] == want);
        memory_reader_consume(&c->reader, draw(w, 4) ? piece.len : 1 + piece.len / 3);
        a->done = draw(w, 100) == 0; /* some clients leave */
    } else if (e == ERR_AGAIN) {
        a->waits = true;
    } else if (e == ERR_CLOSED) {
        must(c->reader.at == number_in(c->reader.object, "len"));
        atomic_fetch_add(&reads, 1);
        a->done = true;
    } else {
        must(e != ERR_CORRUPT);
        atomic_fetch_add(&failures, 1);
        a->done = true;
    }
}

static void step(struct worker *w, struct actor *a)
{
    struct client *c = a->client;
    if (c->fetching)
        step_fetch(w, a);
    if (a->done) {
        client_close_reader(c);
        if (!c->fetching) {
            client_destroy(c);
            a->client = NULL;
        }
        return;
    }
    if (a->waits && c->woken == a->woken_at)
        return;
    a->waits = false;
    if (!a->head_seen)
        step_head(w, a);
    else
        step_body(w, a);
}

static void *work(void *context)
{
    struct worker *w = context;
    unsigned left = 1;
    int64_t end_ms = clock_ms() + END_MS;
    while (left) {
        left = 0;
        turn(&w->scene);
        for (unsigned i = 0; i < ACTORS; i++) {
            struct actor *a = &w->actors[i];
            if (!a->client && !atomic_load(&stopping))
                start(w, a);
            else if (a->client)
                step(w, a);
            left += a->client != NULL;
        }
        left += !atomic_load(&stopping);
        if (clock_ms() > end_ms) {
            fprintf(stderr, "somebody waits for ever\n");
            abort();
        }
        sched_yield();
    }
    return NULL;
}

static void purge_some(struct scene *s, uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    unsigned url = (*seed >> 8) % URLS, kind = (*seed >> 20) % 4;
    char selector[64];
    unsigned version = atomic_fetch_add(&origin_version[url], 1) + 1;
    (void)snprintf(selector, sizeof(selector), kind < 2 ? "http://h.x/%u" : "u%u", url);
    scene_purge(s, kind < 2 ? PURGE_URL : PURGE_TAG, kind % 2 ? PURGE_HARD : PURGE_SOFT,
                selector);
    atomic_store(&purged_version[url], version);
}

static void run(const char *path)
{
    static struct worker workers[WORKERS];
    struct scene s;
    scene_open(&s, path, 8 * MB);
    cache_close(s.cache);
    s.conf_cache.disk_bytes = path ? 24 * MB : 0;
    s.conf_cache.max_objects = 20;
    scene_open_again(&s);
    for (unsigned i = 0; i < URLS; i++) {
        atomic_store(&origin_version[i], 1);
        atomic_store(&purged_version[i], 0);
    }
    atomic_store(&stopping, false);
    for (unsigned i = 0; i < WORKERS; i++) {
        memset(&workers[i], 0, sizeof(workers[i]));
        workers[i].seed = i * 7919 + 1;
        workers[i].scene = s;
        letter_mailbox_init(&workers[i].scene.mailbox, NULL, NULL);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    uint32_t seed = 4711;
    int64_t begin = clock_ms();
    while (clock_ms() - begin < RUN_MS) {
        purge_some(&s, &seed);
        cache_tick(s.cache, 1000 + (clock_ms() - begin) * 20, NOW);
        struct timespec nap = {.tv_nsec = 2000000};
        nanosleep(&nap, NULL);
    }
    atomic_store(&stopping, true);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(workers[i].thread, NULL);
    struct cache_figures f;
    cache_figures(s.cache, &f);
    print_message("reads %u failures %u loads %u objects %llu in memory %llu names %llu\n",
                  atomic_exchange(&reads, 0), atomic_exchange(&failures, 0),
                  atomic_exchange(&loads, 0), (unsigned long long)f.objects,
                  (unsigned long long)f.objects_in_memory, (unsigned long long)f.purge_names);
    scene_close(&s);
}

static void test_ram(void **state)
{
    (void)state;
    run(NULL);
}

static void test_disk(void **state)
{
    (void)state;
    char folder[] = "/tmp/perigee-stress-XXXXXX", command[128];
    assert_non_null(mkdtemp(folder));
    run(folder);
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ram),
        cmocka_unit_test(test_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
