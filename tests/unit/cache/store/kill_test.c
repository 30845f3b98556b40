/* A process that writes to its store is killed, again and again.
 *
 * What the store reported as done is there; what it was asked for and had not reported is there
 * in whole or not at all; nothing is torn, no page is lost. The writer keeps a ledger in shared
 * memory, which outlives it. Power failures are another matter: a killed process leaves its
 * writes with the kernel.
 *
 * PERIGEE_KILL_ROUNDS  how often (6; the long form: 100)
 */
#include "cache/store/store.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "flight.h"

#define MAP (24u << 20) /* less than what all numbers come to, so that the writer evicts */
#define NUMBERS 256
#define UNDER_WAY 32
#define SIZE_MOST (17u << 16)
#define WAIT_MAX_MS 60000

/* What may lie on disk under a number. */
struct state {
    uint64_t version; /* fill_no of its record */
    uint64_t body_id; /* 0: nothing */
};
/* At any instant the disk holds `told` or `asked`, or nothing when the index gave up the body
 * of one of them. */
struct line {
    _Atomic uint64_t told_version, told_body;
    _Atomic uint64_t asked_version, asked_body;
    _Atomic uint64_t given_up; /* a body_id */
};
struct ledger {
    atomic_uint opening; /* the writer is about to open its store */
    atomic_uint ended;   /* orders */
    atomic_uint given_up;
    struct line line[NUMBERS];
};

static unsigned rounds(void)
{
    const char *text = getenv("PERIGEE_KILL_ROUNDS");
    unsigned long n = text ? strtoul(text, NULL, 10) : 0;
    return n > 0 ? (unsigned)n : 6;
}

/* -- the process that is killed -- */

struct writer;
struct desk {
    struct writer *writer;
    unsigned number;
    bool under_way;
    struct flight flight; /* a put, or a second encoding of one */
    struct store_rewrite rewrite;
    struct store_remove removal;
    struct store_load load;
    struct store_record record;
};
struct writer {
    struct bed *bed;
    struct ledger *ledger;
    uint64_t dice;
    unsigned under_way;
    struct desk desk[NUMBERS];
};

static void ask(struct desk *d, struct state s)
{
    struct line *l = &d->writer->ledger->line[d->number];
    atomic_store(&l->asked_version, s.version);
    atomic_store(&l->asked_body, s.body_id);
}

static struct state told(const struct line *l)
{
    return (struct state){.version = atomic_load(&l->told_version),
                          .body_id = atomic_load(&l->told_body)};
}

static void tell(struct desk *d, struct state s)
{
    struct line *l = &d->writer->ledger->line[d->number];
    atomic_store(&l->told_version, s.version);
    atomic_store(&l->told_body, s.body_id);
    atomic_fetch_add(&d->writer->ledger->ended, 1);
    d->under_way = false;
    d->writer->under_way--;
}

/* Only what the index gave up may be missing. */
static void tell_missing(struct desk *d)
{
    const struct line *l = &d->writer->ledger->line[d->number];
    struct state s = told(l);
    must(s.body_id != 0 && atomic_load(&l->given_up) == s.body_id);
    tell(d, (struct state){.version = s.version});
}

/* Every eighth goes in two parts, and goes away in several commits. */
static size_t draw_size(struct writer *w)
{
    return bed_next(&w->dice) % 8 == 0 ? SIZE_MOST : bed_draw_size(&w->dice, SIZE_MOST);
}

static void put_landed(struct flight *f)
{
    struct desk *d = f->context;
    must(f->err == ERR_OK);
    bed_remember_object(d->writer->bed, &f->object);
    tell(d, (struct state){f->object.record.fill_no, f->object.store_body.body_id});
}

static void put(struct desk *d, uint64_t version)
{
    struct writer *w = d->writer;
    static char pad[6000]; /* makes a far block */
    static char head[NUMBERS][sizeof pad];
    d->flight = (struct flight){.bed = w->bed, .landed = put_landed, .context = d};
    flight_init(&d->flight, d->number, bed_next(&w->dice) >> 8, draw_size(w));
    struct bed_object *o = &d->flight.object;
    o->record.fill_no = version;
    if (bed_next(&w->dice) % 8 == 0) {
        memset(head[d->number], 'h', sizeof head[0]);
        memcpy(head[d->number], o->head, strlen(o->head));
        o->record.head = span_of(head[d->number], sizeof head[0]);
    }
    ask(d, (struct state){version, o->store_body.body_id});
    flight_begin(&d->flight);
}

static void unfinished_landed(struct flight *f)
{
    struct desk *d = f->context;
    must(f->err == ERR_OK);
    if (bed_next(&d->writer->dice) % 2)
        flight_drop(f->bed, f->object.store_body.body_id); /* else the next start does it */
    tell(d, told(&d->writer->ledger->line[d->number]));
}

static void put_unfinished(struct desk *d)
{
    struct writer *w = d->writer;
    d->flight =
        (struct flight){.bed = w->bed, .bare = true, .landed = unfinished_landed, .context = d};
    flight_init(&d->flight, d->number, 1, draw_size(w));
    flight_begin(&d->flight);
}

static void removed(struct store_job *job)
{
    struct desk *d = CONTAINER_OF(job, struct desk, removal.job);
    if (job->err == ERR_NOT_FOUND) {
        tell_missing(d);
        return;
    }
    must(job->err == ERR_OK);
    for (unsigned i = 0; i < d->removal.replaced_count; i++)
        flight_drop(d->writer->bed, d->removal.replaced[i]);
    tell(d, (struct state){.version = told(&d->writer->ledger->line[d->number]).version});
}

static void take_away(struct desk *d, uint64_t body_id)
{
    struct store *s = d->writer->bed->store;
    d->removal = (struct store_remove){.job = bed_job(),
                                       .key = bed_key(d->writer->bed, d->number),
                                       .body_id = body_id,
                                       .keep_bodies = bed_next(&d->writer->dice) % 2};
    d->removal.job.done = removed;
    ask(d, (struct state){.version = told(&d->writer->ledger->line[d->number]).version});
    must(store_remove(s, &d->removal) == ERR_OK);
}

static void rewritten(struct store_job *job)
{
    struct desk *d = CONTAINER_OF(job, struct desk, rewrite.job);
    struct bed *b = d->writer->bed;
    free(d->load.memory);
    if (job->err == ERR_NOT_FOUND) {
        if (d->flight.bare)
            flight_drop(b, d->flight.object.store_body.body_id);
        tell_missing(d);
        return;
    }
    must(job->err == ERR_OK);
    for (unsigned i = 0; i < d->rewrite.replaced_count; i++)
        flight_drop(b, d->rewrite.replaced[i]);
    tell(d, (struct state){d->record.fill_no, d->record.rep[0].body_id});
}

static void rewrite(struct desk *d)
{
    d->rewrite = (struct store_rewrite){.job = bed_job(),
                                        .key = bed_key(d->writer->bed, d->number),
                                        .made_from = d->record.rep[0].body_id,
                                        .record = &d->record};
    d->rewrite.job.done = rewritten;
    ask(d, (struct state){d->record.fill_no, d->record.rep[0].body_id});
    must(store_rewrite(d->writer->bed->store, &d->rewrite) == ERR_OK);
}

/* The body of a second encoding is there; now the record that names it. */
static void encoding_landed(struct flight *f)
{
    struct desk *d = f->context;
    const struct store_body *b = &f->object.store_body;
    must(f->err == ERR_OK);
    d->record.rep_count = 2;
    d->record.rep[1] = (struct store_rep){.encoding = POLICY_ZSTD,
                                          .flags = STORE_REP_DERIVED,
                                          .body_id = b->body_id,
                                          .bytes = b->bytes,
                                          .xxh3 = b->xxh3};
    rewrite(d);
}

static void loaded(struct store_job *job)
{
    struct desk *d = CONTAINER_OF(job, struct desk, load.job);
    struct writer *w = d->writer;
    if (job->err == ERR_NOT_FOUND) {
        tell_missing(d);
        return;
    }
    must(job->err == ERR_OK);
    d->record = d->load.record;
    d->record.fill_no++;
    d->flight = (struct flight){.bed = w->bed, .landed = encoding_landed, .context = d};
    switch (bed_next(&w->dice) % 4) {
    case 0:
        d->flight.bare = true;
        flight_init(&d->flight, d->number, bed_rep_seed(bed_seed_of(&d->record), 1),
                    bed_draw_size(&w->dice, 1u << 20));
        flight_begin(&d->flight);
        break;
    case 1:
        d->record.rep_count = 1;
        rewrite(d);
        break;
    default:
        rewrite(d);
    }
}

static void change(struct desk *d)
{
    struct bed *b = d->writer->bed;
    d->load = (struct store_load){.job = bed_job(), .key = bed_key(b, d->number)};
    d->load.job.done = loaded;
    must(store_load(b->store, &d->load) == ERR_OK);
}

static void order(struct desk *d)
{
    struct writer *w = d->writer;
    struct state s = told(&w->ledger->line[d->number]);
    unsigned lot = (unsigned)(bed_next(&w->dice) % 16);
    d->under_way = true;
    w->under_way++;
    if (lot == 0)
        put_unfinished(d);
    else if (s.body_id == 0 || lot < 8)
        put(d, s.version + 1);
    else if (lot < 13)
        change(d);
    else
        take_away(d, s.body_id);
}

static void give_up(struct bed *b, const struct bed_entry *e)
{
    struct ledger *l = b->gave_up_context;
    atomic_fetch_add(&l->given_up, 1);
    if (e->body_id > atomic_load(&l->line[e->number].given_up)) /* an older one is replaced */
        atomic_store(&l->line[e->number].given_up, e->body_id);
}

static struct ledger *map_ledger(int fd)
{
    void *at = mmap(NULL, sizeof(struct ledger), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(at != MAP_FAILED);
    return at;
}

static int write_until_killed(const char *path, int fd, uint64_t dice)
{
    struct writer *w = must_alloc(sizeof *w);
    must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    w->ledger = map_ledger(fd);
    w->dice = dice;
    w->bed = bed_create_at(path, MAP, true);
    w->bed->random = true;
    w->bed->gave_up = give_up;
    w->bed->gave_up_context = w->ledger;
    atomic_store(&w->ledger->opening, 1);
    bed_open(w->bed);
    for (unsigned i = 0; i < NUMBERS; i++) {
        struct state s = told(&w->ledger->line[i]);
        w->desk[i].writer = w;
        w->desk[i].number = i;
        if (s.body_id)
            bed_remember(w->bed, &(struct bed_entry){.key = bed_key(w->bed, i),
                                                     .body_id = s.body_id,
                                                     .number = i,
                                                     .pages = 14});
    }
    store_scanned(w->bed->store);
    for (;;) {
        struct desk *d = &w->desk[bed_next(&w->dice) % NUMBERS];
        if (w->under_way == UNDER_WAY)
            bed_wait(w->bed);
        else if (!d->under_way)
            order(d);
    }
}

/* -- the process that kills and looks -- */

static void pause_us(unsigned us)
{
    const struct timespec t = {.tv_nsec = us * 1000L};
    (void)nanosleep(&t, NULL);
}

static pid_t start_writer(const char *path, int fd, uint64_t dice)
{
    char program[] = "/proc/self/exe", verb[] = "write", folder[128], ledger[24], seed[24];
    char *arguments[] = {program, verb, folder, ledger, seed, NULL};
    pid_t pid;
    snprintf(folder, sizeof folder, "%s", path);
    snprintf(ledger, sizeof ledger, "%d", fd);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)dice);
    assert_int_equal(posix_spawn(&pid, program, NULL, NULL, arguments, environ), 0);
    return pid;
}

/* After so many orders, or while it opens its store (0); then at once or a little later. */
static void kill_writer(pid_t pid, struct ledger *l, unsigned orders, unsigned later_us)
{
    int64_t deadline = store_slice_clock_ms() + WAIT_MAX_MS;
    int status = 0;
    while (orders ? atomic_load(&l->ended) < orders : !atomic_load(&l->opening)) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            fail_msg("the writer ended by itself: %#x", (unsigned)status);
        if (store_slice_clock_ms() > deadline)
            break;
        pause_us(100);
    }
    pause_us(later_us);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("the writer ended by itself: %#x", (unsigned)status);
    assert_true(store_slice_clock_ms() < deadline);
}

/* What is there under a number is what it may be; the ledger learns which. */
static bool check_line(struct bed *b, struct line *l, unsigned number)
{
    struct state was = told(l), disk = {0};
    uint64_t asked_version = atomic_load(&l->asked_version),
             asked_body = atomic_load(&l->asked_body), given_up = atomic_load(&l->given_up);
    struct store_load load = {.job = bed_job(), .key = bed_key(b, number)};
    assert_int_equal(store_load(b->store, &load), ERR_OK);
    bed_wait(b);
    if (load.job.err == ERR_OK) {
        disk = (struct state){load.record.fill_no, load.record.rep[0].body_id};
        free(load.memory);
        if (!(disk.version == was.version && disk.body_id == was.body_id) &&
            !(disk.version == asked_version && disk.body_id == asked_body))
            fail_msg("%u: version %llu is none of %llu and %llu", number,
                     (unsigned long long)disk.version, (unsigned long long)was.version,
                     (unsigned long long)asked_version);
    } else {
        assert_int_equal(load.job.err, ERR_NOT_FOUND);
        if (was.body_id && asked_body &&
            (!given_up || (given_up != was.body_id && given_up != asked_body)))
            fail_msg("%u: version %llu is missing", number, (unsigned long long)was.version);
        disk.version = asked_version;
    }
    atomic_store(&l->told_version, disk.version);
    atomic_store(&l->asked_version, disk.version);
    atomic_store(&l->told_body, disk.body_id);
    atomic_store(&l->asked_body, disk.body_id);
    atomic_store(&l->given_up, 0);
    return disk.body_id != 0;
}

static unsigned check_store(struct bed *b, struct ledger *l)
{
    unsigned present = 0;
    store_run(b->store); /* what no record names goes */
    for (unsigned i = 0; i < NUMBERS; i++)
        present += check_line(b, &l->line[i], i);
    assert_int_equal(bed_verify_all(b), present);
    assert_int_equal(bed_entries(b, b->store->guard.sys), 6); /* none is pending */
    bed_check_pages(b);
    return present;
}

/* All pages come back. */
static void check_emptied(struct bed *b, struct ledger *l)
{
    struct store_figures f;
    for (unsigned i = 0; i < NUMBERS; i++) {
        struct store_remove r = {.job = bed_job(),
                                 .key = bed_key(b, i),
                                 .body_id = atomic_exchange(&l->line[i].told_body, 0)};
        if (r.body_id == 0)
            continue;
        assert_int_equal(store_remove(b->store, &r), ERR_OK);
        bed_wait(b);
        assert_int_equal(r.job.err, ERR_OK);
        atomic_store(&l->line[i].asked_body, 0);
    }
    store_run(b->store);
    assert_int_equal(bed_entries(b, b->store->guard.meta), 0);
    assert_int_equal(bed_chunks(b), 0);
    bed_check_pages(b);
    store_figures(b->store, &f);
    /* the list of free pages takes some: 509 fit into one, older ones may hold few */
    assert_in_range(f.pages_used, 1, 40);
}

static void test_killed_at_any_moment(void **state)
{
    (void)state;
    uint64_t dice = 7, orders = 0, found = 0;
    struct bed *b = bed_create(MAP, false);
    int fd = memfd_create("ledger", 0);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, sizeof(struct ledger)), 0);
    struct ledger *l = map_ledger(fd);
    for (unsigned i = 0; i < rounds(); i++) {
        bed_close(b);
        atomic_store(&l->opening, 0);
        atomic_store(&l->ended, 0);
        pid_t pid = start_writer(b->path, fd, bed_next(&dice));
        unsigned wanted = i % 4 == 3 ? 0 : 1 + (unsigned)(bed_next(&dice) % 600);
        kill_writer(pid, l, wanted, (unsigned)(bed_next(&dice) % (wanted ? 3000 : 30000)));
        orders += atomic_load(&l->ended);
        bed_open(b);
        found += check_store(b, l);
        if (i % 5 == 4 || i + 1 == rounds())
            check_emptied(b, l);
    }
    print_message("%llu orders, %u objects given up, %llu found after %u kills\n",
                  (unsigned long long)orders, atomic_load(&l->given_up),
                  (unsigned long long)found, rounds());
    assert_true(found > 0);
    assert_int_equal(munmap(l, sizeof *l), 0);
    close(fd);
    bed_destroy(b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed_at_any_moment)};
    if (argc == 5 && strcmp(argv[1], "write") == 0)
        return write_until_killed(argv[2], atoi(argv[3]), strtoull(argv[4], NULL, 10));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
