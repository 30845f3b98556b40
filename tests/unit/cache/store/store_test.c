#include "cache/store/store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "bed.h"

#define MAP (16u << 20)

static int setup(void **state)
{
    *state = bed_create(MAP, false);
    return 0;
}

static int setup_threads(void **state)
{
    *state = bed_create(MAP, true);
    return 0;
}

static int teardown(void **state)
{
    bed_destroy(*state);
    return 0;
}

static void again(struct bed *b)
{
    bed_close(b);
    bed_open(b);
    if (!b->conf.threads)
        store_run(b->store);
}

static void test_sizes_come_back(void **state)
{
    struct bed *b = *state;
    const size_t sizes[] = {0,    1,    2000,  4079,   4080,   4081,       8160,
                            8161, 9000, 65536, 262144, 262145, (1u << 20), (3u << 20) + 7};
    uint64_t seed;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            if (round == 0)
                assert_true(bed_put(b, i, 1000 + i, sizes[i]) > 0);
            if (bed_get(b, i, &seed) != ERR_OK)
                fail_msg("%zu bytes", sizes[i]);
            assert_int_equal(seed, 1000 + i);
        }
        assert_int_equal(bed_get(b, 99, &seed), ERR_NOT_FOUND);
        assert_int_equal(bed_verify_all(b), ARRAY_LEN(sizes));
        again(b);
    }
}

static void test_ranges(void **state)
{
    struct bed *b = *state;
    static char got[STORE_SLICE_MAX], wanted[100000];
    uint64_t id = bed_put(b, 1, 5, sizeof wanted);
    bed_fill(5, wanted, sizeof wanted);
    const struct {
        uint64_t at;
        size_t room, got;
        enum err err;
    } rows[] = {
        {0, 1, 1, ERR_OK},           {4079, 2, 2, ERR_OK},
        {4080, 4080, 4080, ERR_OK},  {12345, 50000, 50000, ERR_OK},
        {99999, 100, 1, ERR_OK},     {100000, 100, 0, ERR_OK},
        {100001, 100, 0, ERR_LIMIT}, {0, sizeof got, 100000, ERR_OK},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct store_read r = {.job = bed_job(),
                               .rep = {.body_id = id, .bytes = sizeof wanted},
                               .at = rows[i].at,
                               .out = got,
                               .room = rows[i].room};
        assert_int_equal(store_read(b->store, &r), ERR_OK);
        bed_wait(b);
        assert_int_equal(r.job.err, rows[i].err);
        assert_int_equal(r.got, rows[i].got);
        assert_memory_equal(got, wanted + rows[i].at % sizeof wanted, r.got);
    }
}

/* A stream is invisible until its record is there, and pieces may lie anyhow. */
static void test_stream(void **state)
{
    struct bed *b = *state;
    struct bed_object o;
    size_t chunk = store_chunk_bytes(b->store), all = chunk * 10 + 17;
    bed_object_init(b, &o, 1, 77, all);
    struct span pieces[] = {
        span_of(o.body, 1),
        span_of(o.body + 1, chunk),
        span_of(o.body + 1 + chunk, 0),
        span_of(o.body + 1 + chunk, chunk * 3 - 1 - chunk),
    };
    o.put.piece = pieces;
    o.put.piece_count = ARRAY_LEN(pieces);
    o.put.record = NULL;
    assert_int_equal(store_put(b->store, &o.put), ERR_OK);
    bed_wait(b);
    assert_int_equal(o.put.job.err, ERR_OK);
    assert_int_equal(o.store_body.bytes, chunk * 3);
    assert_int_equal(bed_get(b, 1, NULL), ERR_NOT_FOUND);
    assert_int_equal(bed_verify_all(b), 0); /* pending, so no orphan */

    o.piece = span_of(o.body + chunk * 3, chunk * 7);
    o.put.piece = &o.piece;
    o.put.piece_count = 1;
    o.put.at = chunk * 3;
    assert_int_equal(store_put(b->store, &o.put), ERR_OK);
    bed_wait(b);
    o.piece = span_of(o.body + chunk * 10, 17);
    o.put.at = chunk * 10;
    o.put.record = &o.record;
    assert_int_equal(store_put(b->store, &o.put), ERR_OK);
    bed_wait(b);
    assert_int_equal(o.put.job.err, ERR_OK);
    assert_int_equal(o.store_body.xxh3, hash_xxh3(span_of(o.body, all)));
    assert_int_equal(bed_get(b, 1, NULL), ERR_OK);
    bed_object_fini(&o);
    again(b); /* no pending record is left to drop it */
    assert_int_equal(bed_get(b, 1, NULL), ERR_OK);
}

static void test_stream_with_a_hole_is_refused(void **state)
{
    struct bed *b = *state;
    struct bed_object o;
    size_t chunk = store_chunk_bytes(b->store);
    bed_object_init(b, &o, 1, 77, chunk * 4);
    o.piece = span_of(o.body, chunk);
    o.put.record = NULL;
    assert_int_equal(store_put(b->store, &o.put), ERR_OK);
    bed_wait(b);
    o.put.at = chunk * 2;
    assert_int_equal(store_put(b->store, &o.put), ERR_OK);
    bed_wait(b);
    assert_int_equal(o.put.job.err, ERR_REFUSED);
    o.put.at = chunk; /* too late: the body has failed */
    o.put.record = &o.record;
    assert_int_equal(store_put(b->store, &o.put), ERR_OK);
    bed_wait(b);
    assert_int_equal(o.put.job.err, ERR_CLOSED);
    assert_int_equal(bed_get(b, 1, NULL), ERR_NOT_FOUND);
    bed_object_fini(&o);
}

static void test_unfinished_bodies_go(void **state)
{
    struct bed *b = *state;
    for (int round = 0; round < 2; round++) {
        struct bed_object o;
        bed_object_init(b, &o, 1, 77, store_chunk_bytes(b->store) * 200);
        o.put.record = NULL;
        assert_int_equal(store_put(b->store, &o.put), ERR_OK);
        bed_wait(b);
        assert_int_equal(bed_chunks(b), 200);
        if (round == 0) {
            struct store_drop d = {.job = bed_job(), .body_id = o.store_body.body_id};
            assert_int_equal(store_drop(b->store, &d), ERR_OK);
            bed_wait(b);
        } else {
            again(b); /* as after a crash */
        }
        assert_int_equal(bed_chunks(b), 0);
        assert_int_equal(bed_entries(b, b->store->guard.sys), 6); /* no pending record */
        bed_object_fini(&o);
    }
}

/* Somebody may still read the old body: it stays until it is dropped. */
static void test_replaced_body_is_kept(void **state)
{
    struct bed *b = *state;
    uint64_t old = bed_put(b, 1, 10, 9000);
    struct bed_object o;
    bed_object_init(b, &o, 1, 11, 5000);
    assert_int_equal(store_put(b->store, &o.put), ERR_OK);
    bed_wait(b);
    assert_int_equal(o.put.job.err, ERR_OK);
    assert_int_equal(o.put.replaced_count, 1);
    assert_int_equal(o.put.replaced[0], old);
    uint64_t seed = 0;
    assert_int_equal(bed_get(b, 1, &seed), ERR_OK);
    assert_int_equal(seed, 11);
    struct store_record was = o.record;
    char head[] = "x-seed: 10\r\n";
    was.head = span_text(head);
    was.rep[0] = (struct store_rep){.body_id = old, .bytes = 9000};
    was.rep[0].xxh3 = 0;
    assert_int_equal(bed_chunks(b), 3 + 2);
    static char got[9000], wanted[9000];
    struct store_read r = {.job = bed_job(), .rep = was.rep[0], .out = got, .room = sizeof got};
    assert_int_equal(store_read(b->store, &r), ERR_OK);
    bed_wait(b);
    bed_fill(10, wanted, sizeof wanted);
    assert_memory_equal(got, wanted, sizeof wanted);

    struct store_drop d = {.job = bed_job(), .body_id = old};
    assert_int_equal(store_drop(b->store, &d), ERR_OK);
    bed_wait(b);
    assert_int_equal(bed_chunks(b), 2);
    assert_int_equal(store_read(b->store, &r), ERR_OK);
    bed_wait(b);
    assert_int_equal(r.job.err, ERR_NOT_FOUND);
    bed_object_fini(&o);

    bed_put(b, 1, 12, 100); /* replaced and never dropped: a restart does it */
    assert_int_equal(bed_chunks(b), 3);
    again(b);
    assert_int_equal(bed_chunks(b), 1);
}

static struct store_record changed_record(struct bed_object *o, uint64_t fill_no)
{
    struct store_record r = o->record;
    r.fill_no = fill_no;
    r.rep[0].bytes = o->store_body.bytes;
    r.rep[0].xxh3 = o->store_body.xxh3;
    return r;
}

static uint64_t stored_fill_no(struct bed *b, struct bed_object *o, unsigned *out_reps)
{
    struct store_load l = {.job = bed_job(), .key = o->key, .primary = span_text(o->primary)};
    assert_int_equal(store_load(b->store, &l), ERR_OK);
    bed_wait(b);
    assert_int_equal(l.job.err, ERR_OK);
    if (out_reps)
        *out_reps = l.record.rep_count;
    uint64_t n = l.record.fill_no;
    free(l.memory);
    return n;
}

static enum err rewrite(struct bed *b, struct bed_object *o, uint64_t made_from,
                        const struct store_record *r, struct store_rewrite *w)
{
    *w = (struct store_rewrite){
        .job = bed_job(), .key = o->key, .made_from = made_from, .record = r};
    assert_int_equal(store_rewrite(b->store, w), ERR_OK);
    bed_wait(b);
    return w->job.err;
}

static void test_rewrite(void **state)
{
    struct bed *b = *state;
    struct bed_object o, z;
    struct store_rewrite w;
    unsigned reps;
    bed_object_init(b, &o, 1, 10, 9000);
    assert_int_equal(store_put(b->store, &o.put), ERR_OK);
    bed_wait(b);
    struct store_record r = changed_record(&o, 2);
    assert_int_equal(rewrite(b, &o, o.store_body.body_id + 1, &r, &w), ERR_NOT_FOUND);
    assert_int_equal(stored_fill_no(b, &o, NULL), 1);
    assert_int_equal(rewrite(b, &o, o.store_body.body_id, &r, &w), ERR_OK);
    assert_int_equal(w.replaced_count, 0);
    assert_int_equal(stored_fill_no(b, &o, NULL), 2);
    assert_int_equal(bed_get(b, 1, NULL), ERR_OK);

    /* one encoding more: its body first, then the record that names it */
    bed_object_init(b, &z, 2, 20, 4000);
    z.put.record = NULL;
    assert_int_equal(store_put(b->store, &z.put), ERR_OK);
    bed_wait(b);
    r = changed_record(&o, 3);
    r.rep_count = 2;
    r.rep[1] = (struct store_rep){.encoding = POLICY_ZSTD,
                                  .flags = STORE_REP_DERIVED,
                                  .body_id = z.store_body.body_id,
                                  .bytes = z.store_body.bytes,
                                  .xxh3 = z.store_body.xxh3};
    assert_int_equal(rewrite(b, &o, o.store_body.body_id, &r, &w), ERR_OK);
    again(b);
    assert_int_equal(stored_fill_no(b, &o, &reps), 3);
    assert_int_equal(reps, 2);
    assert_int_equal(bed_chunks(b), 4);
    /* and one fewer */
    r.rep_count = 1;
    assert_int_equal(rewrite(b, &o, o.store_body.body_id, &r, &w), ERR_OK);
    assert_int_equal(w.replaced_count, 1);
    assert_int_equal(w.replaced[0], z.store_body.body_id);
    again(b);
    assert_int_equal(bed_chunks(b), 3);
    bed_object_fini(&o);
    bed_object_fini(&z);
}

static void test_remove(void **state)
{
    struct bed *b = *state;
    uint64_t id = bed_put(b, 1, 10, 9000);
    struct bed_object o;
    bed_object_init(b, &o, 1, 0, 0);
    struct store_remove r = {.job = bed_job(), .key = o.key, .body_id = id + 1};
    assert_int_equal(store_remove(b->store, &r), ERR_OK);
    bed_wait(b);
    assert_int_equal(r.job.err, ERR_NOT_FOUND); /* it was replaced meanwhile */
    assert_int_equal(bed_get(b, 1, NULL), ERR_OK);

    r.body_id = id;
    r.keep_bodies = true;
    assert_int_equal(store_remove(b->store, &r), ERR_OK);
    bed_wait(b);
    assert_int_equal(r.job.err, ERR_OK);
    assert_int_equal(r.replaced_count, 1);
    assert_int_equal(r.replaced[0], id);
    assert_int_equal(bed_get(b, 1, NULL), ERR_NOT_FOUND);
    assert_int_equal(bed_chunks(b), 3);
    again(b);
    assert_int_equal(bed_chunks(b), 0);

    r.keep_bodies = false;
    r.body_id = bed_put(b, 1, 10, 9000);
    assert_int_equal(store_remove(b->store, &r), ERR_OK);
    bed_wait(b);
    assert_int_equal(bed_chunks(b), 0);
    bed_object_fini(&o);
}

/* 1000 chunks cannot go in one transaction: the record first, then the rest step by step. */
static void test_large_removal_is_spread(void **state)
{
    struct bed *b = *state;
    uint64_t id = bed_put(b, 1, 10, store_chunk_bytes(b->store) * 1000);
    struct bed_object o;
    bed_object_init(b, &o, 1, 0, 0);
    struct store_remove r = {.job = bed_job(), .key = o.key, .body_id = id};
    struct store_figures before, now;
    store_figures(b->store, &before);
    assert_int_equal(store_remove(b->store, &r), ERR_OK);
    bed_wait(b);
    assert_int_equal(r.job.err, ERR_OK);
    assert_int_equal(bed_chunks(b), 0);
    store_figures(b->store, &now);
    assert_true(now.commits - before.commits >= 3);
    assert_in_range(now.freed_most, 1, STORE_FREED_MAX);
    assert_int_equal(bed_entries(b, b->store->guard.sys), 6);
    bed_object_fini(&o);
}

static void test_vary_record(void **state)
{
    struct bed *b = *state;
    struct store_record v = {.kind = STORE_VARY,
                             .key = SPAN("https|t:443|/1"),
                             .vary = SPAN("accept-language"),
                             .variants = 2};
    struct hash128 key = store_key(store_secret(b->store), v.key, (struct span){0});
    struct store_put p = {.job = bed_job(), .record = &v, .key = key};
    assert_int_equal(store_put(b->store, &p), ERR_OK);
    bed_wait(b);
    assert_int_equal(p.job.err, ERR_OK);
    struct store_load l = {.job = bed_job(), .key = key, .primary = v.key};
    assert_int_equal(store_load(b->store, &l), ERR_OK);
    bed_wait(b);
    assert_int_equal(l.job.err, ERR_OK);
    assert_true(span_equal(l.record.vary, v.vary));
    free(l.memory);
    l.primary = SPAN("https|t:443|/2"); /* a collision of keys is a miss */
    assert_int_equal(store_load(b->store, &l), ERR_OK);
    bed_wait(b);
    assert_int_equal(l.job.err, ERR_NOT_FOUND);
    struct store_remove r = {.job = bed_job(), .key = key};
    assert_int_equal(store_remove(b->store, &r), ERR_OK);
    bed_wait(b);
    assert_int_equal(r.job.err, ERR_OK);
    assert_int_equal(bed_entries(b, b->store->guard.meta), 0);
}

static void count_head(void *context, struct hash128 key, const struct store_record *r)
{
    (void)key;
    *(size_t *)context += r->head.len;
}

static void test_long_head(void **state)
{
    struct bed *b = *state;
    struct bed_object o;
    static char head[60000], first[100];
    memset(head, 'h', sizeof head);
    for (int round = 0; round < 2; round++) { /* the second replaces the first's far block */
        bed_object_init(b, &o, 1, 10, 100);
        o.record.head = span_of(head, sizeof head);
        assert_int_equal(store_put(b->store, &o.put), ERR_OK);
        bed_wait(b);
        assert_int_equal(o.put.job.err, ERR_OK);
        struct store_load l = {.job = bed_job(),
                               .key = o.key,
                               .primary = span_text(o.primary),
                               .out = first,
                               .room = sizeof first};
        assert_int_equal(store_load(b->store, &l), ERR_OK);
        bed_wait(b);
        assert_int_equal(l.job.err, ERR_OK);
        assert_true(span_equal(l.record.head, o.record.head));
        assert_int_equal(l.got, 100);
        assert_memory_equal(first, o.body, 100);
        free(l.memory);
        bed_object_fini(&o);
        again(b);
        assert_int_equal(bed_chunks(b), 1 + 15);
    }
    size_t seen = 0;
    struct store_walk w = {.last = {UINT64_MAX, UINT64_MAX}};
    assert_int_equal(store_walk(b->store, &w, 0, count_head, &seen), ERR_CLOSED);
    assert_int_equal(seen, sizeof head);
    struct store_remove r = {.job = bed_job(), .key = o.key, .body_id = o.store_body.body_id};
    assert_int_equal(store_remove(b->store, &r), ERR_OK);
    bed_wait(b);
    assert_int_equal(bed_chunks(b), 0);
}

static void test_bounds(void **state)
{
    struct bed *b = *state;
    struct bed_object o;
    uint64_t chunk = store_chunk_bytes(b->store);
    assert_false(store_too_long(b->store, (UINT64_C(1) << 22) * chunk));
    assert_true(store_too_long(b->store, (UINT64_C(1) << 22) * chunk + 1));
    bed_object_init(b, &o, 1, 10, STORE_PIECE_MAX + 1);
    assert_int_equal(store_put(b->store, &o.put), ERR_LIMIT);
    bed_object_fini(&o);

    /* a body at its last chunk */
    bed_object_init(b, &o, 1, 10, (size_t)chunk + 1);
    o.store_body.bytes = ((UINT64_C(1) << 22) - 1) * chunk;
    o.put.at = o.store_body.bytes;
    assert_int_equal(store_put(b->store, &o.put), ERR_OK);
    bed_wait(b);
    assert_int_equal(o.put.job.err, ERR_LIMIT);
    bed_object_fini(&o);

    /* the queue: nothing runs here until store_run */
    static struct store_put put[80];
    static struct store_body body[80];
    bed_object_init(b, &o, 1, 10, STORE_PIECE_MAX);
    unsigned posted = 0;
    for (; posted < ARRAY_LEN(put); posted++) {
        store_body_begin(b->store, &body[posted]);
        put[posted] = o.put;
        put[posted].body = &body[posted];
        put[posted].record = NULL;
        if (store_put(b->store, &put[posted]) != ERR_OK)
            break;
    }
    assert_int_equal(posted, 63); /* each counts a little more than its bytes */
    struct store_figures f;
    store_figures(b->store, &f);
    assert_true(f.queue_bytes <= STORE_QUEUE_MAX);
    assert_int_equal(f.not_stored, 2);
    store_run(b->store);
    store_figures(b->store, &f);
    assert_int_equal(f.queue_bytes, 0);
    for (unsigned i = 0; i <= posted; i++)
        store_body_fini(&body[i]);
    assert_int_equal(letter_open_all(&bed_desk()->box), posted);
    bed_object_fini(&o);
}

static void nothing(void *context, struct hash128 key, const struct store_record *r)
{
    struct hash128 *last = context;
    (void)r;
    assert_true(key.hi > last->hi || (key.hi == last->hi && key.lo > last->lo));
    *last = key;
}

static void test_walk_in_two_ranges(void **state)
{
    struct bed *b = *state;
    for (uint64_t i = 0; i < 300; i++)
        assert_true(bed_put(b, i, i, 10) > 0);
    struct store_walk low = {.last = {UINT64_MAX / 2, UINT64_MAX}},
                      high = {.next = {UINT64_MAX / 2 + 1, 0},
                              .last = {UINT64_MAX, UINT64_MAX}};
    struct hash128 last = {0};
    unsigned slices = 1;
    while (store_walk(b->store, &low, 7, nothing, &last) == ERR_OK)
        slices++;
    assert_true(slices >= low.seen / 7);
    while (store_walk(b->store, &high, 0, nothing, &last) == ERR_OK)
        ;
    assert_int_equal(low.seen + high.seen, 300);
    assert_in_range(low.seen, 90, 210); /* keys are even */
}

/* Turns a bit of the file where `text` stands. */
static void flip(struct bed *b, const void *text, size_t len)
{
    char file[160];
    snprintf(file, sizeof file, "%s/data.mdb", b->path);
    int fd = open(file, O_RDWR);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    size_t size = (size_t)st.st_size;
    char *all = must_alloc(size);
    assert_int_equal(pread(fd, all, size, 0), st.st_size);
    unsigned found = 0;
    for (char *at = all; (at = memmem(at, size - (size_t)(at - all), text, len)); at++) {
        char bad = (char)(at[len / 2] ^ 4);
        assert_int_equal(pwrite(fd, &bad, 1, at - all + (ssize_t)(len / 2)), 1);
        found++;
    }
    assert_true(found > 0);
    free(all);
    close(fd);
}

static void test_bit_flips_are_found(void **state)
{
    struct bed *b = *state;
    static char body[300000];
    assert_true(bed_put(b, 1, 10, sizeof body) > 0);
    assert_true(bed_put(b, 2, 20, 1000) > 0);
    assert_true(bed_put(b, 3, 30, 1000) > 0);
    bed_fill(10, body, sizeof body);
    flip(b, body + 290000, 64); /* in the second slice */
    bed_fill(20, body, 1000);
    flip(b, body, 64);
    assert_int_equal(bed_get(b, 1, NULL), ERR_CORRUPT);
    assert_int_equal(bed_get(b, 2, NULL), ERR_CORRUPT);
    assert_int_equal(bed_get(b, 3, NULL), ERR_OK);
    struct store_figures f;
    store_figures(b->store, &f);
    assert_int_equal(f.corrupt, 2);

    flip(b, "x-seed: 30", 10); /* in a record */
    assert_int_equal(bed_get(b, 3, NULL), ERR_CORRUPT);
    assert_int_equal(bed_get(b, 3, NULL), ERR_NOT_FOUND); /* removed */

    flip(b, "x-seed: 20", 10);
    struct hash128 last = {0};
    struct store_walk w = {.last = {UINT64_MAX, UINT64_MAX}};
    assert_int_equal(store_walk(b->store, &w, 0, nothing, &last), ERR_CLOSED);
    assert_int_equal(w.seen, 1);
    assert_int_equal(w.damaged, 1);
    store_run(b->store);
    assert_int_equal(bed_entries(b, b->store->guard.meta), 1);
}

static void test_chunk_of_wrong_length(void **state)
{
    struct bed *b = *state;
    char got[100];
    uint64_t id = bed_put(b, 1, 10, 1000);
    struct store_read r = {.job = bed_job(),
                           .rep = {.body_id = id, .bytes = 1001},
                           .out = got,
                           .room = sizeof got};
    assert_int_equal(store_read(b->store, &r), ERR_OK);
    bed_wait(b);
    assert_int_equal(r.job.err, ERR_CORRUPT);
}

/* -- with threads -- */

#define PRODUCERS 4
#define EACH 300

struct producer {
    struct bed *bed;
    pthread_t thread;
    unsigned number;
    struct letter_mailbox box;
    atomic_uint failed;
    struct bed_object object[EACH];
};

static void producer_done(struct store_job *job)
{
    (void)job; /* counted by letter_open_all */
}

static void *produce(void *arg)
{
    struct producer *p = arg;
    for (unsigned i = 0; i < EACH; i++) {
        struct bed_object *o = &p->object[i];
        uint64_t number = p->number * EACH + i;
        bed_object_init(p->bed, o, number, number, (size_t)(number * 37 % 9000));
        o->put.job.home = &p->box;
        o->put.job.done = producer_done;
        if (store_put(p->bed->store, &o->put) != ERR_OK)
            atomic_fetch_add(&p->failed, 1);
    }
    /* the letters come home to this thread's box, all of them, once */
    for (unsigned opened = 0; opened + atomic_load(&p->failed) < EACH;) {
        unsigned n = letter_open_all(&p->box);
        opened += n;
        if (n == 0)
            sched_yield();
    }
    return NULL;
}

static void test_many_producers(void **state)
{
    struct bed *b = *state;
    struct producer *p = must_alloc(PRODUCERS * sizeof *p);
    for (unsigned i = 0; i < PRODUCERS; i++) {
        p[i].bed = b;
        p[i].number = i;
        letter_mailbox_init(&p[i].box, NULL, NULL);
        assert_int_equal(pthread_create(&p[i].thread, NULL, produce, &p[i]), 0);
    }
    for (unsigned i = 0; i < PRODUCERS; i++) {
        assert_int_equal(pthread_join(p[i].thread, NULL), 0);
        assert_int_equal(atomic_load(&p[i].failed), 0);
        for (unsigned n = 0; n < EACH; n++) {
            assert_int_equal(p[i].object[n].put.job.err, ERR_OK);
            bed_object_fini(&p[i].object[n]);
        }
    }
    free(p);
    struct store_figures f;
    store_figures(b->store, &f);
    assert_int_equal(f.stored, PRODUCERS * EACH);
    assert_true(f.commits < 200); /* in groups */
    assert_int_equal(bed_verify_all(b), PRODUCERS * EACH);
}

static void test_stop_ends_what_waits(void **state)
{
    struct bed *b = *state;
    struct bed_object o[20];
    for (unsigned i = 0; i < ARRAY_LEN(o); i++) {
        bed_object_init(b, &o[i], i, i, 100);
        assert_int_equal(store_put(b->store, &o[i].put), ERR_OK);
    }
    store_stop(b->store);
    assert_int_equal(letter_open_all(&bed_desk()->box), ARRAY_LEN(o));
    assert_int_equal(store_put(b->store, &o[0].put), ERR_CLOSED);
    assert_int_equal(bed_get(b, 3, NULL), ERR_OK); /* reading goes on until close */
    struct store_stamp stamp = store_stamp_now(b->store), found;
    again(b);
    found = store_stamp_found(b->store);
    assert_true(stamp.store_id == found.store_id && stamp.txnid == found.txnid);
    assert_int_equal(bed_verify_all(b), ARRAY_LEN(o));
    for (unsigned i = 0; i < ARRAY_LEN(o); i++)
        bed_object_fini(&o[i]);
    bed_put(b, 1, 1, 1);
    store_stop(b->store);
    stamp = store_stamp_now(b->store);
    assert_true(stamp.txnid != found.txnid);
}

static void test_room_on_a_disk(void **state)
{
    (void)state;
    const uint64_t mib = 1 << 20;
    static const struct {
        const char *why;
        uint64_t last, max, disk_mib, free_mib, room;
    } rows[] = {
        {"a disk with room for the map", 100, 10000, 1000, 900, 10000},
        {"and not quite", 100, 10000, 10000, 64 + 38, 100 + 38 * 256},
        {"64 MiB stay free", 100, 100000, 10000, 65, 100 + 256},
        {"all but the 64 MiB is taken", 100, 100000, 10000, 64, 100},
        {"so is more", 100, 100000, 10000, 0, 100},
        {"a sixteenth of a small one", 100, 100000, 160, 11, 100 + 256},
        {"which is taken", 100, 100000, 160, 10, 100},
        {"the file is at its end", 10000, 10000, 1000, 900, 10000},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct lmdb_pages p = {.last = rows[i].last, .max = rows[i].max, .page_bytes = 4096};
        uint64_t room =
            store_commit_room_pages(&p, rows[i].disk_mib * mib, rows[i].free_mib * mib);
        if (room != rows[i].room)
            fail_msg("%s: %llu", rows[i].why, (unsigned long long)room);
    }
}

#define BED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define BED_THREADS(test) cmocka_unit_test_setup_teardown(test, setup_threads, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room_on_a_disk),
        BED(test_sizes_come_back),
        BED(test_ranges),
        BED(test_stream),
        BED(test_stream_with_a_hole_is_refused),
        BED(test_unfinished_bodies_go),
        BED(test_replaced_body_is_kept),
        BED(test_rewrite),
        BED(test_remove),
        BED(test_large_removal_is_spread),
        BED(test_vary_record),
        BED(test_long_head),
        BED(test_bounds),
        BED(test_walk_in_two_ranges),
        BED(test_bit_flips_are_found),
        BED(test_chunk_of_wrong_length),
        BED_THREADS(test_sizes_come_back),
        BED_THREADS(test_many_producers),
        BED_THREADS(test_stop_ends_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
