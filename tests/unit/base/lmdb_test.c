#include "base/lmdb.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MAP (1u << 20)

struct fixture {
    char path[64];
    struct lmdb *env;
    struct lmdb_db text, number;
};

static int setup(void **state)
{
    struct fixture *f = must_alloc(sizeof *f);
    snprintf(f->path, sizeof f->path, "/tmp/lmdb_test.XXXXXX");
    assert_non_null(mkdtemp(f->path));
    assert_int_equal(
        lmdb_open(&(struct lmdb_conf){.path = f->path, .map_bytes = MAP, .dbs = 2}, &f->env),
        ERR_OK);
    assert_int_equal(lmdb_db_open(f->env, "text", false, &f->text), ERR_OK);
    assert_int_equal(lmdb_db_open(f->env, "number", true, &f->number), ERR_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char file[128];
    lmdb_close(f->env);
    snprintf(file, sizeof file, "%s/data.mdb", f->path);
    unlink(file);
    snprintf(file, sizeof file, "%s/lock.mdb", f->path);
    unlink(file);
    rmdir(f->path);
    free(f);
    return 0;
}

static struct span u64(const uint64_t *v)
{
    return span_of(v, sizeof *v);
}

static void test_values_come_back(void **state)
{
    struct fixture *f = *state;
    struct lmdb_txn t;
    struct span v;
    lmdb_begin(&t, f->env, true);
    lmdb_put(&t, f->text, SPAN("a"), SPAN("1"));
    assert_true(lmdb_put_new(&t, f->text, SPAN("b"), SPAN("2"), &v));
    assert_false(lmdb_put_new(&t, f->text, SPAN("b"), SPAN("3"), &v));
    assert_true(span_equal(v, SPAN("2"))); /* what was there */
    lmdb_put(&t, f->text, SPAN("empty"), (struct span){0});
    assert_int_equal(lmdb_commit(&t), ERR_OK);

    lmdb_begin(&t, f->env, false);
    assert_true(lmdb_get(&t, f->text, SPAN("b"), &v));
    assert_true(span_equal(v, SPAN("2")));
    assert_true(lmdb_get(&t, f->text, SPAN("empty"), &v));
    assert_int_equal(v.len, 0);
    assert_false(lmdb_get(&t, f->text, SPAN("c"), &v));
    assert_int_equal(t.err, ERR_OK); /* absence is no error */
    lmdb_abort(&t);
}

static void test_abort_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct lmdb_txn t;
    struct span v;
    uint64_t before = lmdb_txnid(f->env);
    lmdb_begin(&t, f->env, true);
    lmdb_put(&t, f->text, SPAN("a"), SPAN("1"));
    lmdb_abort(&t);
    lmdb_abort(&t); /* twice is fine */
    lmdb_begin(&t, f->env, false);
    assert_false(lmdb_get(&t, f->text, SPAN("a"), &v));
    lmdb_abort(&t);
    assert_int_equal(lmdb_txnid(f->env), before);
}

static void test_reader_sees_its_own_time(void **state)
{
    struct fixture *f = *state;
    struct lmdb_txn r, w;
    struct span v;
    lmdb_begin(&r, f->env, false);
    lmdb_begin(&w, f->env, true);
    lmdb_put(&w, f->text, SPAN("a"), SPAN("1"));
    assert_int_equal(lmdb_commit(&w), ERR_OK);
    assert_false(lmdb_get(&r, f->text, SPAN("a"), &v));
    lmdb_reset(&r);
    lmdb_renew(&r);
    assert_true(lmdb_get(&r, f->text, SPAN("a"), &v));
    lmdb_abort(&r);
}

/* Deleting while walking must meet every key once: the store deletes bodies so. */
static void test_walk_and_delete(void **state)
{
    struct fixture *f = *state;
    struct lmdb_txn t;
    struct lmdb_cursor c;
    static char page[4080];
    uint64_t k, seen = 0, expected = 100;
    lmdb_begin(&t, f->env, true);
    for (k = 1; k <= 160; k++)
        lmdb_append(&t, f->number, u64(&k), span_of(page, k % 3 ? 100 : sizeof page));
    assert_int_equal(lmdb_commit(&t), ERR_OK);

    lmdb_begin(&t, f->env, true);
    lmdb_cursor_open(&c, &t, f->number);
    k = 40;
    for (bool more = lmdb_cursor_seek(&c, u64(&k)); more; more = lmdb_cursor_next(&c)) {
        memcpy(&k, c.key.ptr, sizeof k);
        assert_int_equal(k, 40 + seen);
        if (k == 40 + expected)
            break;
        lmdb_cursor_del(&c);
        seen++;
    }
    lmdb_cursor_close(&c);
    assert_int_equal(lmdb_commit(&t), ERR_OK);
    assert_int_equal(seen, expected);

    struct lmdb_shape shape;
    lmdb_begin(&t, f->env, false);
    lmdb_shape(&t, f->number, &shape);
    assert_int_equal(shape.entries, 60);
    lmdb_cursor_open(&c, &t, f->number);
    k = 39;
    assert_true(lmdb_cursor_find(&c, u64(&k)));
    assert_true(lmdb_cursor_next(&c));
    memcpy(&k, c.key.ptr, sizeof k);
    assert_int_equal(k, 140);
    assert_true(lmdb_cursor_last(&c));
    assert_false(lmdb_cursor_next(&c));
    k = 41;
    assert_false(lmdb_cursor_find(&c, u64(&k)));
    lmdb_cursor_close(&c);
    lmdb_abort(&t);
}

static void test_full_map_sticks(void **state)
{
    struct fixture *f = *state;
    struct lmdb_txn t;
    struct span v;
    static char page[4080];
    lmdb_begin(&t, f->env, true);
    for (uint64_t k = 1; k <= MAP / 4096; k++)
        lmdb_append(&t, f->number, u64(&k), span_of(page, sizeof page));
    assert_int_equal(t.err, ERR_LIMIT);
    assert_false(lmdb_get(&t, f->text, SPAN("a"), &v)); /* nothing happens any more */
    assert_false(lmdb_del(&t, f->text, SPAN("a")));
    assert_int_equal(lmdb_commit(&t), ERR_LIMIT);
    assert_true(strstr(lmdb_error_text(&t), "MAP_FULL"));

    lmdb_begin(&t, f->env, true); /* and the environment lives */
    lmdb_put(&t, f->text, SPAN("a"), SPAN("1"));
    assert_int_equal(lmdb_commit(&t), ERR_OK);
}

static void test_pages_are_counted(void **state)
{
    struct fixture *f = *state;
    struct lmdb_pages before, now;
    struct lmdb_txn t;
    struct lmdb_db dbs[] = {f->text, f->number};
    static char page[4080];
    uint64_t k;
    assert_int_equal(lmdb_value_max(f->env), lmdb_page_bytes(f->env) - 16);
    assert_int_equal(lmdb_pages(f->env, NULL, dbs, 2, &before), ERR_OK);
    assert_int_equal(before.max, MAP / before.page_bytes);
    lmdb_begin(&t, f->env, true);
    for (k = 1; k <= 20; k++)
        lmdb_append(&t, f->number, u64(&k), span_of(page, sizeof page));
    assert_int_equal(lmdb_pages(f->env, &t, dbs, 2, &now), ERR_OK);
    assert_int_equal(now.used, before.used + 21); /* a leaf, and one page each */
    assert_int_equal(lmdb_commit(&t), ERR_OK);

    lmdb_begin(&t, f->env, true);
    for (k = 1; k <= 10; k++)
        assert_true(lmdb_del(&t, f->number, u64(&k)));
    assert_int_equal(lmdb_commit(&t), ERR_OK);
    lmdb_begin(&t, f->env, false);
    uint64_t freed = lmdb_freed_by(&t, lmdb_txnid(f->env));
    assert_in_range(freed, 11, 14); /* the ten, the leaf, and pages of LMDB's own lists */
    assert_int_equal(lmdb_freed_by(&t, 999999), 0);
    lmdb_abort(&t);
    assert_int_equal(lmdb_pages(f->env, NULL, dbs, 2, &now), ERR_OK);
    assert_in_range(now.used, before.used + 10, before.used + 13);
}

static void test_damage_is_told(void **state)
{
    (void)state;
    char path[] = "/tmp/lmdb_test.XXXXXX", file[64], lock[64];
    struct lmdb *env;
    assert_non_null(mkdtemp(path));
    snprintf(file, sizeof file, "%s/data.mdb", path);
    snprintf(lock, sizeof lock, "%s/lock.mdb", path);
    int fd = open(file, O_RDWR | O_CREAT, 0600);
    static const char noise[8192] = "this is no database";
    assert_int_equal(write(fd, noise, sizeof noise), sizeof noise);
    close(fd);
    struct lmdb_conf conf = {.path = path, .map_bytes = MAP, .dbs = 1};
    assert_int_equal(lmdb_open(&conf, &env), ERR_CORRUPT);
    assert_non_null(strstr(lmdb_open_text(), "MDB_INVALID"));
    unlink(file);
    unlink(lock);
    rmdir(path);
    assert_int_equal(lmdb_open(&conf, &env), ERR_SYS);
}

/* Pages that were given and taken back in one transaction are not written, also at the end of
 * the file: it is whole all the same. Any shorter, and it is not. */
static void test_cut_file_is_told(void **state)
{
    struct fixture *f = *state;
    struct lmdb_conf conf = {.path = f->path, .map_bytes = MAP, .dbs = 2};
    struct lmdb_txn t;
    struct lmdb_pages pages;
    static char page[4080];
    char file[128];
    snprintf(file, sizeof file, "%s/data.mdb", f->path);
    lmdb_begin(&t, f->env, true);
    for (uint64_t k = 1; k <= 40; k++)
        lmdb_append(&t, f->number, u64(&k), span_of(page, sizeof page));
    for (uint64_t k = 2; k <= 40; k++)
        assert_true(lmdb_del(&t, f->number, u64(&k)));
    assert_int_equal(lmdb_commit(&t), ERR_OK);
    assert_int_equal(lmdb_pages(f->env, NULL, NULL, 0, &pages), ERR_OK);
    lmdb_close(f->env);
    assert_int_equal(lmdb_open(&conf, &f->env), ERR_OK);
    lmdb_close(f->env);
    f->env = NULL;
    assert_int_equal(truncate(file, (off_t)(pages.last * pages.page_bytes - 1)), 0);
    assert_int_equal(lmdb_open(&conf, &f->env), ERR_CORRUPT);
    assert_int_equal(truncate(file, (off_t)(pages.last * pages.page_bytes)), 0);
    assert_int_equal(lmdb_open(&conf, &f->env), ERR_OK);
}

static void note_damage(void *context)
{
    (void)!write(*(int *)context, "!", 1);
}

/* In a process of its own: a branch page that says it has one child, which cannot be. */
static void meet_a_bad_page(struct fixture *f, int mark)
{
    const struct rlimit none = {0};
    struct lmdb_conf conf = {.path = f->path, .map_bytes = MAP, .dbs = 2};
    struct lmdb_pages pages;
    struct lmdb_txn t;
    struct span v;
    char file[128];
    uint64_t k = 7;
    uint16_t flags, lower = 18;
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)!freopen("/dev/null", "w", stderr);
    snprintf(file, sizeof file, "%s/data.mdb", f->path);
    int fd = open(file, O_RDWR);
    conf.damaged = note_damage;
    conf.context = &mark;
    if (lmdb_open(&conf, &f->env) != ERR_OK ||
        lmdb_db_open(f->env, "number", true, &f->number) != ERR_OK ||
        lmdb_pages(f->env, NULL, NULL, 0, &pages) != ERR_OK)
        _exit(1);
    for (uint64_t i = 2; i < pages.last; i++) {
        off_t at = (off_t)(i * pages.page_bytes);
        if (pread(fd, &flags, 2, at + 10) == 2 && flags == 1)
            (void)!pwrite(fd, &lower, 2, at + 12);
    }
    lmdb_begin(&t, f->env, false);
    (void)lmdb_get(&t, f->number, u64(&k), &v);
    _exit(2);
}

/* The library ends the process, but not without a word. */
static void test_assertion_leaves_a_mark(void **state)
{
    struct fixture *f = *state;
    struct lmdb_txn t;
    char mark;
    int ends[2], status;
    lmdb_begin(&t, f->env, true);
    for (uint64_t k = 1; k <= 1000; k++)
        lmdb_append(&t, f->number, u64(&k), SPAN("a hundred of them fill a page"));
    assert_int_equal(lmdb_commit(&t), ERR_OK);
    lmdb_close(f->env);
    f->env = NULL;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0)
        meet_a_bad_page(f, ends[1]);
    close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_int_equal(read(ends[0], &mark, 1), 1);
    close(ends[0]);
}

static void test_preallocated(void **state)
{
    (void)state;
    char path[] = "/tmp/lmdb_test.XXXXXX", file[64];
    struct lmdb *env;
    struct lmdb_db db;
    struct stat st;
    assert_non_null(mkdtemp(path));
    struct lmdb_conf conf = {.path = path, .map_bytes = MAP, .dbs = 1, .preallocate = true};
    for (int round = 0; round < 2; round++) { /* also of a file that is there */
        assert_int_equal(lmdb_open(&conf, &env), ERR_OK);
        assert_int_equal(lmdb_db_open(env, "x", false, &db), ERR_OK);
        lmdb_close(env);
    }
    snprintf(file, sizeof file, "%s/data.mdb", path);
    assert_int_equal(stat(file, &st), 0);
    assert_true((uint64_t)st.st_blocks * 512 >= MAP);
    unlink(file);
    snprintf(file, sizeof file, "%s/lock.mdb", path);
    unlink(file);
    rmdir(path);
}

static void test_map_is_found(void **state)
{
    struct fixture *f = *state;
    struct lmdb_txn t;
    struct span v;
    const void *from;
    size_t len;
    lmdb_begin(&t, f->env, true);
    lmdb_put(&t, f->text, SPAN("a"), SPAN("1"));
    assert_int_equal(lmdb_commit(&t), ERR_OK);
    assert_true(lmdb_map_range(f->env, &from, &len));
    assert_int_equal(len, MAP);
    lmdb_begin(&t, f->env, false);
    assert_true(lmdb_get(&t, f->text, SPAN("a"), &v));
    assert_in_range((uintptr_t)v.ptr, (uintptr_t)from, (uintptr_t)from + len);
    lmdb_abort(&t);
}

#define WITH_ENV(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ENV(test_values_come_back),
        WITH_ENV(test_abort_leaves_nothing),
        WITH_ENV(test_reader_sees_its_own_time),
        WITH_ENV(test_walk_and_delete),
        WITH_ENV(test_full_map_sticks),
        WITH_ENV(test_pages_are_counted),
        cmocka_unit_test(test_damage_is_told),
        WITH_ENV(test_cut_file_is_told),
        WITH_ENV(test_assertion_leaves_a_mark),
        cmocka_unit_test(test_preallocated),
        WITH_ENV(test_map_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
