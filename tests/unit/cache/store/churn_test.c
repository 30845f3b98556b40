/* A full store under load: how it turns over, and how it bears another mix of sizes.
 *
 * PERIGEE_CHURN_TURNOVERS  how often the map's bytes are written (3; the long form: 40)
 */
#include "cache/store/store.h"

#include <sys/stat.h>
#include <time.h>

#include "flight.h"

#define MAP (32u << 20)
#define NUMBERS 800 /* objects by name; so many fit that about half of the puts replace one */
#define FLIGHTS 64
#define READERS 2
#define SIZE_MOST (2u << 20)
#define VERSION_BITS 20

struct churn {
    struct bed *bed;
    struct flight flight[FLIGHTS];
    unsigned under_way, refused;
    uint64_t dice, oldest_reader_ms;
    bool writing[NUMBERS];
    uint64_t body_id[NUMBERS];
    atomic_uint asked[NUMBERS], told[NUMBERS]; /* versions: posted, reported done */
    sem_t turn; /* readers and the writer go in step: so much work, not so much time */
    atomic_bool over;
};

static uint64_t turnovers(void)
{
    const char *text = getenv("PERIGEE_CHURN_TURNOVERS");
    unsigned long n = text ? strtoul(text, NULL, 10) : 0;
    return n > 0 ? n : 3;
}

static void landed(struct flight *f)
{
    struct churn *c = f->context;
    struct bed_object *o = &f->object;
    c->under_way--;
    c->writing[o->number] = false;
    if (f->err != ERR_OK) {
        c->refused++;
        return;
    }
    c->body_id[o->number] = o->store_body.body_id;
    atomic_store(&c->told[o->number], (unsigned)(o->seed & ((1u << VERSION_BITS) - 1)));
    bed_remember_object(c->bed, o);
}

static struct flight *idle_flight(struct churn *c)
{
    for (;;) {
        for (unsigned i = 0; i < FLIGHTS; i++)
            if (!c->flight[i].under_way)
                return &c->flight[i];
        uint64_t oldest_ms = store_slice_oldest_ms(&c->bed->store->slices);
        if (oldest_ms > c->oldest_reader_ms)
            c->oldest_reader_ms = oldest_ms;
        bed_wait(c->bed);
    }
}

static void write_one(struct churn *c, size_t bytes)
{
    struct flight *f = idle_flight(c);
    uint64_t number;
    do {
        number = bed_next(&c->dice) % NUMBERS;
    } while (c->writing[number]);
    unsigned version = atomic_load(&c->told[number]) + 1;
    *f = (struct flight){.bed = c->bed, .landed = landed, .context = c};
    c->writing[number] = true;
    c->under_way++;
    atomic_store(&c->asked[number], version);
    flight_init(f, number, number << VERSION_BITS | version, bytes);
    flight_begin(f);
    must(sem_post(&c->turn) == 0);
}

struct reader {
    struct churn *churn;
    pthread_t thread;
    uint64_t dice, hits, gone, wrong;
};

/* Whatever is found is whole, and no older than what was reported before the asking. */
static void *read_on(void *arg)
{
    struct reader *r = arg;
    struct churn *c = r->churn;
    for (;;) {
        while (sem_wait(&c->turn) != 0)
            ;
        if (atomic_load(&c->over))
            return NULL;
        uint64_t number = bed_next(&r->dice) % NUMBERS, seed;
        unsigned low = atomic_load(&c->told[number]);
        enum err err = bed_get(c->bed, number, &seed);
        if (err == ERR_NOT_FOUND) {
            r->gone++;
            continue;
        }
        unsigned version = (unsigned)(seed & ((1u << VERSION_BITS) - 1));
        if (err == ERR_OK && seed >> VERSION_BITS == number && version >= low &&
            version <= atomic_load(&c->asked[number]))
            r->hits++;
        else
            r->wrong++;
    }
}

static uint64_t file_bytes(const struct bed *b)
{
    char path[160];
    struct stat st;
    snprintf(path, sizeof path, "%s/data.mdb", b->path);
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

static void check_figures(const struct store_figures *f)
{
    print_message("commits %llu, stored %llu, evicted %llu, map full %llu, errors %llu, freed "
                  "at most %llu pages, used %llu of %llu pages, file %llu\n",
                  (unsigned long long)f->commits, (unsigned long long)f->stored,
                  (unsigned long long)f->evicted, (unsigned long long)f->map_full,
                  (unsigned long long)f->errors, (unsigned long long)f->freed_most,
                  (unsigned long long)f->pages_used, (unsigned long long)f->pages_max,
                  (unsigned long long)f->pages_last);
    assert_int_equal(f->errors, f->map_full);
    assert_int_equal(f->corrupt, 0);
    assert_int_equal(f->not_stored, 0);
    assert_in_range(f->freed_most, 1, STORE_FREED_MAX);
    assert_true(f->pages_used * 100 <= f->pages_max * 91);
    assert_true(f->pages_last <= f->pages_max);
}

/* What the index still has is there, as it was last reported. */
static void check_contents(struct churn *c)
{
    struct bed *b = c->bed;
    uint64_t live = 0, seed;
    for (size_t i = 0; i < b->count; i++) {
        const struct bed_entry *e = &b->entry[(b->first + i) % BED_OBJECTS];
        if (c->body_id[e->number] != e->body_id)
            continue; /* replaced */
        assert_int_equal(bed_get(b, e->number, &seed), ERR_OK);
        assert_int_equal(seed, e->number << VERSION_BITS | atomic_load(&c->told[e->number]));
        live++;
    }
    assert_true(live > 0);
    assert_int_equal(bed_verify_all(b), live);
    bed_check_pages(b);
}

static void churn(void **state, bool at_random)
{
    struct churn *c = must_alloc(sizeof *c);
    struct reader reader[READERS] = {0};
    struct store_figures f;
    uint64_t hits = 0;
    c->bed = *state;
    c->bed->random = at_random;
    c->dice = at_random ? 1 : 2;
    must(sem_init(&c->turn, 0, 0) == 0);
    for (unsigned i = 0; i < READERS; i++) {
        reader[i].churn = c;
        reader[i].dice = 100 + i;
        assert_int_equal(pthread_create(&reader[i].thread, NULL, read_on, &reader[i]), 0);
    }
    for (uint64_t bytes = 0, size; bytes < turnovers() * MAP; bytes += size) {
        size = bed_draw_size(&c->dice, SIZE_MOST);
        write_one(c, (size_t)size);
    }
    while (c->under_way > 0)
        bed_wait(c->bed);
    atomic_store(&c->over, true);
    for (unsigned i = 0; i < READERS; i++)
        must(sem_post(&c->turn) == 0);
    for (unsigned i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(reader[i].thread, NULL), 0);
        assert_int_equal(reader[i].wrong, 0);
        hits += reader[i].hits;
    }
    store_figures(c->bed->store, &f);
    print_message("read whole %llu times, oldest reader %llu ms\n", (unsigned long long)hits,
                  (unsigned long long)c->oldest_reader_ms);
    check_figures(&f);
    assert_int_equal(c->refused, 0);
    assert_int_equal(c->bed->reopenings, 0);
    assert_true(f.map_full * 20 <= f.commits); /* after a reader that got no processor */
    assert_true(f.evicted > 100);
    assert_true(hits > 100);
    assert_true(c->oldest_reader_ms < 1000); /* older ones make the writer wait */
    assert_true(file_bytes(c->bed) <= MAP);
    bed_reopen_still(c->bed);
    check_contents(c);
    free(c);
}

static void test_random_victims(void **state)
{
    churn(state, true);
}

static void test_oldest_first(void **state)
{
    churn(state, false);
}

/* -- small objects leave, large ones come -- */

#define SMALL_BYTES 4000 /* one page, and an entry in a leaf */

struct phase {
    struct bed *bed;
    struct flight flight[4 * FLIGHTS]; /* so many that a batch of them need not wait */
    unsigned under_way, refused;
    uint64_t next;
};

static void phase_landed(struct flight *f)
{
    struct phase *p = f->context;
    p->under_way--;
    if (f->err == ERR_OK)
        bed_remember_object(p->bed, &f->object);
    else
        p->refused++;
}

static void phase_put(struct phase *p, size_t bytes)
{
    struct flight *f = NULL;
    size_t queue = STORE_QUEUE_MAX / 4 / bytes;
    while (!f) {
        for (size_t i = 0; !f && i < ARRAY_LEN(p->flight) && i < queue; i++)
            if (!p->flight[i].under_way)
                f = &p->flight[i];
        if (!f)
            bed_wait(p->bed);
    }
    *f = (struct flight){.bed = p->bed, .landed = phase_landed, .context = p};
    p->under_way++;
    flight_init(f, p->next, p->next, bytes);
    flight_begin(f);
    p->next++;
}

static void phase_wait(struct phase *p)
{
    while (p->under_way > 0)
        bed_wait(p->bed);
    assert_int_equal(p->refused, 0);
}

/* Every second one, by lot. */
static void remove_half(struct phase *p)
{
    struct bed *b = p->bed;
    uint64_t dice = 3;
    size_t kept = 0, posted = 0, home = 0, count = b->count;
    struct store_remove *removal = must_alloc(count * sizeof *removal);
    assert_int_equal(b->first, 0); /* nothing was given up: plain array */
    for (size_t i = 0; i < count; i++) {
        if (bed_next(&dice) % 2) {
            b->entry[kept++] = b->entry[i];
            continue;
        }
        removal[posted] = (struct store_remove){
            .job = bed_job(), .key = b->entry[i].key, .body_id = b->entry[i].body_id};
        assert_int_equal(store_remove(b->store, &removal[posted++]), ERR_OK);
    }
    b->count = kept;
    while (home < posted)
        home += bed_wait(b);
    for (size_t i = 0; i < posted; i++)
        assert_int_equal(removal[i].job.err, ERR_OK);
    free(removal);
}

/* Objects of 1 MiB go in, `count` of them; how many commits that took. */
static uint64_t commits_of_large(struct phase *p, unsigned count)
{
    struct store_figures before, after;
    store_figures(p->bed->store, &before);
    for (unsigned i = 0; i < count; i++)
        phase_put(p, flight_step(p->bed));
    phase_wait(p);
    store_figures(p->bed->store, &after);
    check_figures(&after);
    assert_int_equal(after.map_full, 0);
    return after.commits - before.commits;
}

static void test_phase_change(void **state)
{
    struct phase *p = must_alloc(sizeof *p);
    struct bed *b = p->bed = *state;
    struct store_figures f;
    const unsigned fits = MAP / 3 >> 20;
    uint64_t fresh = commits_of_large(p, fits);
    bed_destroy(b);
    *state = b = p->bed = bed_create(MAP, true);

    do { /* what is under way fills it to about 90 % */
        for (unsigned i = 0; i < 100; i++)
            phase_put(p, SMALL_BYTES);
        store_figures(b->store, &f);
    } while (f.pages_used * 100 < f.pages_max * 86);
    phase_wait(p);
    store_figures(b->store, &f);
    assert_true(f.pages_used * 100 > f.pages_max * 86);
    assert_int_equal(f.evicted, 0);
    remove_half(p);
    uint64_t mixed = commits_of_large(p, fits);
    store_figures(b->store, &f);
    assert_int_equal(f.evicted, 0); /* the room that was made was enough */
    assert_true(mixed <= fresh + fits / 2);

    /* and on: the small ones that are left make room for large ones */
    unsigned more = (unsigned)turnovers() * (MAP >> 20);
    uint64_t full = commits_of_large(p, more);
    print_message("commits for each large object: fresh %.2f, mixed %.2f, full %.2f\n",
                  (double)fresh / fits, (double)mixed / fits, (double)full / more);
    assert_true(full <= 4 * (uint64_t)more);
    bed_reopen_still(b);
    bed_verify_all(b);
    bed_check_pages(b);
    free(p);
}

/* -- somebody reads for long: what is given up meanwhile cannot be used again -- */

#define HELD_MAP (16u << 20)
#define HELD_BYTES (128u << 10)

static void fill_until_evicting(struct bed *b)
{
    struct store_figures f = {0};
    for (uint64_t i = 0; f.evicted == 0; i++) {
        assert_true(bed_put(b, i, i, HELD_BYTES) > 0);
        store_figures(b->store, &f);
    }
    assert_int_equal(f.errors, 0);
}

/* Nothing more can be stored, and that is all that happens. */
static void test_reader_that_stays(void **state)
{
    struct bed *b = *state;
    struct store_figures before, after;
    enum err err;
    uint64_t number = 1000;
    fill_until_evicting(b);
    store_figures(b->store, &before);
    struct store_slot *slot = store_slice_begin(&b->store->slices, &err);
    assert_non_null(slot);
    while (bed_put(b, number, number, HELD_BYTES) > 0)
        assert_true(number++ < 1200);
    store_figures(b->store, &after);
    store_slice_end(&b->store->slices, slot);
    assert_int_equal(b->reopenings, 0);
    assert_true(after.map_full > 0);
    assert_true(after.objects + after.objects / 4 >= before.objects);
    for (unsigned i = 0; i < 200; i++)
        assert_true(bed_put(b, number + i, i, HELD_BYTES) > 0);
    assert_int_equal(b->reopenings, 0);
    assert_true(bed_verify_all(b) > 0);
    bed_check_pages(b);
}

/* Whoever put something does not notice. The writer waits longer than it would: this thread,
 * which is the reader, may get no processor for a second. */
static void test_reader_that_leaves(void **state)
{
    struct phase *p = must_alloc(sizeof *p);
    struct bed *b = p->bed = *state;
    b->store->commit.reader_wait_ms = 60000;
    const struct timespec pause = {.tv_nsec = 1000000};
    struct store_figures f;
    enum err err;
    do {
        phase_put(p, HELD_BYTES);
        store_figures(b->store, &f);
    } while (f.evicted == 0);
    struct store_slot *slot = store_slice_begin(&b->store->slices, &err);
    assert_non_null(slot);
    do { /* never waiting for one: the writer may be waiting for us */
        if (p->under_way < FLIGHTS)
            phase_put(p, HELD_BYTES);
        else
            (void)nanosleep(&pause, NULL);
        (void)letter_open_all(&bed_desk()->box);
        store_figures(b->store, &f);
    } while (f.map_full == 0);
    store_slice_end(&b->store->slices, slot);
    phase_wait(p);
    store_figures(b->store, &f);
    assert_int_equal(f.not_stored, 0);
    assert_int_equal(b->reopenings, 0);
    bed_reopen_still(b);
    assert_true(bed_verify_all(b) > 0);
    bed_check_pages(b);
    free(p);
}

static int setup_held(void **state)
{
    *state = bed_create(HELD_MAP, false);
    return 0;
}

static int setup_held_threads(void **state)
{
    *state = bed_create(HELD_MAP, true);
    return 0;
}

static int setup(void **state)
{
    *state = bed_create(MAP, true);
    return 0;
}

static int teardown(void **state)
{
    bed_destroy(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_random_victims, setup, teardown),
        cmocka_unit_test_setup_teardown(test_oldest_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_phase_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reader_that_stays, setup_held, teardown),
        cmocka_unit_test_setup_teardown(test_reader_that_leaves, setup_held_threads, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
