#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/counter.h"
#include "node/front/access_log.h"

static char dir[64];
static uint64_t dropped_before;

static const char *path_of(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *out = paths[next++ % 4];
    snprintf(out, sizeof(paths[0]), "%s/%s", dir, name);
    return out;
}

static int begin(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/perigee_test_XXXXXX");
    dropped_before = counter_sum(COUNTER_ACCESS_LOG_DROPPED);
    return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    char path[512];
    struct dirent *e;
    DIR *d = opendir(dir);
    while ((e = readdir(d))) {
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        (void)unlink(path);
    }
    closedir(d);
    return rmdir(dir);
}

static unsigned dropped(void)
{
    return (unsigned)(counter_sum(COUNTER_ACCESS_LOG_DROPPED) - dropped_before);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A line of about 700 octets: `loop` and `number` can be read back from it. */
static void write_numbered(struct front_log *l, unsigned loop, unsigned number)
{
    char agent[400];
    memset(agent, 'a', sizeof(agent));
    struct front_log_line line = {.id = (uint64_t)loop << 32 | number,
                                  .user_agent = {agent, sizeof(agent)}};
    front_log_write(l, &line);
}

struct seen {
    unsigned whole, broken;
    unsigned last[4]; /* number per loop, 0 = none */
};

/* Every line is whole and comes after the one before it, or counts as broken. */
static void read_lines(struct span all, struct seen *seen)
{
    struct span line;
    const char *id_key = "\"id\":\"";
    while (all.len && span_split(&all, '\n', &line) && line.len) {
        char text[2048];
        uint64_t id;
        assert_int_equal(span_copy(line, text, sizeof(text)), ERR_OK);
        char *at = strstr(text, id_key);
        bool whole = at && span_starts(line, SPAN("{\"time\":\"1970-01-01T00:00:00.000Z\"")) &&
                     span_ends(line, SPAN("a\",\"referer\":\"\"}")) &&
                     strstr(at + 1, id_key) == NULL;
        if (!whole) {
            seen->broken++;
            continue;
        }
        assert_true(span_hex_to_u64(span_of(at + strlen(id_key), 16), &id));
        assert_in_range(id >> 32, 0, 3);
        if ((unsigned)id <= seen->last[id >> 32])
            fail_msg("line %u of loop %u comes late", (unsigned)id, (unsigned)(id >> 32));
        seen->last[id >> 32] = (unsigned)id;
        seen->whole++;
    }
}

static char *read_file(const char *path, size_t *out_len)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    char *text = malloc((size_t)st.st_size + 1);
    assert_non_null(text);
    *out_len = 0;
    for (ssize_t got; (got = read(fd, text + *out_len, (size_t)st.st_size - *out_len)) > 0;)
        *out_len += (size_t)got;
    text[*out_len] = 0;
    close(fd);
    return text;
}

static void read_lines_of(const char *path, struct seen *seen)
{
    size_t len;
    char *text = read_file(path, &len);
    assert_true(len == 0 || text[len - 1] == '\n');
    read_lines(span_of(text, len), seen);
    free(text);
}

static struct front_log_sink *opened(const char *path)
{
    struct front_log_sink *s = NULL;
    assert_int_equal(front_log_open(path, &s), ERR_OK);
    assert_non_null(s);
    return s;
}

static void lines_reach_the_file_in_order(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct stat st;
    const char *path = path_of("log");
    mode_t before = umask(022);
    struct front_log_sink *s = opened(path);
    umask(before);
    struct front_log *l = front_log_create(s);
    for (unsigned i = 1; i <= 1000; i++)
        write_numbered(l, 0, i);
    front_log_destroy(l);
    front_log_close(s);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    read_lines_of(path, &seen);
    assert_int_equal(seen.broken, 0);
    assert_int_equal(seen.whole + dropped(), 1000);

    /* Opened again, it goes on at the end. */
    s = opened(path);
    l = front_log_create(s);
    write_numbered(l, 1, 1);
    front_log_destroy(l);
    front_log_close(s);
    seen = (struct seen){0};
    read_lines_of(path, &seen);
    assert_int_equal(seen.whole + dropped(), 1001);
    assert_int_equal(seen.last[1], 1);
}

static void nothing_is_accepted(void **state)
{
    (void)state;
    front_log_write(NULL, &(struct front_log_line){0});
    front_log_flush(NULL);
    front_log_destroy(NULL);
    front_log_close(NULL);
    struct front_log_sink *s = opened(path_of("log"));
    struct front_log *l = front_log_create(s);
    front_log_flush(l); /* empty */
    front_log_destroy(l);
    front_log_close(s);
}

static void a_flush_sends_what_is_there(void **state)
{
    (void)state;
    struct seen seen = {0};
    const char *path = path_of("log");
    struct front_log_sink *s = opened(path);
    struct front_log *l = front_log_create(s);
    double until = seconds() + 30;
    write_numbered(l, 0, 1);
    front_log_flush(l);
    while (seen.whole == 0 && seconds() < until) {
        struct stat st;
        if (stat(path, &st) == 0 && st.st_size)
            read_lines_of(path, &seen);
        (void)poll(NULL, 0, 1);
    }
    assert_int_equal(seen.whole, 1);
    front_log_destroy(l);
    front_log_close(s);
}

#define LOOPS 3u
#define EACH 4000u
static struct front_log_sink *shared;

static void *write_many(void *arg)
{
    unsigned loop = *(unsigned *)arg;
    struct front_log *l = front_log_create(shared);
    for (unsigned i = 1; i <= EACH; i++) {
        write_numbered(l, loop, i);
        if (i % 7 == 0)
            front_log_flush(l);
        if (i % 50 == 0)
            (void)poll(NULL, 0, 1); /* lets the scribe work, so that most lines get through */
    }
    front_log_destroy(l);
    return NULL;
}

/* Files are moved away and opened anew while three loops write: every line is in exactly one
 * file, whole, and in its loop's order over all files. */
static void reopening_loses_and_mixes_nothing(void **state)
{
    (void)state;
    unsigned loops[LOOPS], rounds = 0;
    pthread_t threads[LOOPS];
    struct seen seen = {0};
    struct stat st;
    char path[128], moved[160];
    snprintf(path, sizeof(path), "%s", path_of("log"));
    shared = opened(path);
    for (unsigned i = 0; i < LOOPS; i++) {
        loops[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &loops[i]), 0);
    }
    for (unsigned joined = 0; joined < LOOPS;) {
        snprintf(moved, sizeof(moved), "%s.%u", path, rounds++);
        assert_int_equal(rename(path, moved), 0);
        assert_int_equal(front_log_reopen(shared, path), ERR_OK);
        double until = seconds() + 30;
        while (joined < LOOPS && stat(path, &st) == 0 && st.st_size == 0) {
            if (pthread_tryjoin_np(threads[joined], NULL) == 0)
                joined++;
            assert_true(seconds() < until);
            (void)poll(NULL, 0, 1);
        }
    }
    front_log_close(shared);
    for (unsigned i = 0; i < rounds; i++) {
        snprintf(moved, sizeof(moved), "%s.%u", path, i);
        read_lines_of(moved, &seen);
    }
    read_lines_of(path, &seen);
    assert_int_equal(seen.broken, 0);
    assert_int_equal(seen.whole + dropped(), LOOPS * EACH);
    assert_true(seen.whole > LOOPS * EACH / 10);
    assert_true(rounds > 2);
}

static void what_cannot_be_opened(void **state)
{
    (void)state;
    struct seen seen = {0};
    const char *path = path_of("log"), *fifo = path_of("fifo");
    struct front_log_sink *s = NULL;
    assert_int_equal(front_log_open(path_of("no/such/folder"), &s), ERR_SYS);
    assert_int_equal(front_log_open(dir, &s), ERR_SYS);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(front_log_open(fifo, &s), ERR_SYS); /* nobody reads; it does not hang */
    assert_null(s);

    s = opened(path);
    struct front_log *l = front_log_create(s);
    write_numbered(l, 0, 1);
    assert_int_equal(front_log_reopen(s, path_of("no/such/folder")), ERR_SYS);
    write_numbered(l, 0, 2);
    front_log_destroy(l);
    front_log_close(s);
    read_lines_of(path, &seen); /* the old file is kept */
    assert_int_equal(seen.whole, 2);
    assert_int_equal(dropped(), 0);
}

/* What a disk that fills up does: a write that gets out only in part, then an error. */
static void a_line_cut_by_a_full_disk_spoils_no_other(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct rlimit before, low;
    const char *path = path_of("log");
    struct front_log_sink *s = opened(path);
    struct front_log *l = front_log_create(s);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    low = before;
    low.rlim_cur = 9999;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    for (unsigned i = 1; i <= 60; i++)
        write_numbered(l, 0, i);
    front_log_destroy(l); /* waits until all was tried */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    unsigned lost = dropped();
    assert_in_range(lost, 1, 59);
    l = front_log_create(s);
    for (unsigned i = 61; i <= 90; i++)
        write_numbered(l, 0, i);
    front_log_destroy(l);
    front_log_close(s);
    read_lines_of(path, &seen);
    assert_int_equal(dropped(), lost);
    assert_int_equal(seen.broken, 1);
    assert_int_equal(seen.whole, 90 - lost);
    assert_int_equal(seen.last[0], 90);
}

static void a_full_device_drops_and_counts(void **state)
{
    (void)state;
    struct front_log_sink *s = opened("/dev/full");
    struct front_log *l = front_log_create(s);
    for (unsigned i = 1; i <= 500; i++)
        write_numbered(l, 0, i);
    front_log_destroy(l);
    assert_int_equal(dropped(), 500);
    front_log_close(s);
}

/* stderr into a file while `what` runs; returns how many lines with `event` it wrote. */
static unsigned lines_said(void (*what)(void), const char *event)
{
    unsigned count = 0;
    size_t len;
    const char *path = path_of("stderr");
    int kept = dup(STDERR_FILENO);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    assert_true(kept >= 0 && fd >= 0);
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
    what();
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(fd);
    close(kept);
    char *text = read_file(path, &len);
    for (char *at = text; (at = strstr(at, event)); at++)
        count++;
    free(text);
    return count;
}

static int open_reader(const char *fifo)
{
    int fd = open(fifo, O_RDONLY | O_NONBLOCK);
    assert_true(fd >= 0);
    return fd;
}

/* Reads until the writer has closed. */
static void *drain(void *arg)
{
    int fd = *(int *)arg;
    size_t len = 0, room = 1 << 20;
    char *text = malloc(room);
    struct seen *seen = calloc(1, sizeof(*seen));
    assert_true(text && seen);
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 30000), 1);
        ssize_t got = read(fd, text + len, room - len);
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    read_lines(span_of(text, len), seen);
    free(text);
    return seen;
}

static char fifo_path[128];

static void write_to_a_reader_that_goes_away(void)
{
    int reader = open_reader(fifo_path);
    struct front_log_sink *s = opened(fifo_path);
    for (unsigned round = 0; round < 3; round++) {
        close(reader);
        struct front_log *l = front_log_create(s);
        write_numbered(l, 0, 3 * round + 1);
        write_numbered(l, 0, 3 * round + 2);
        front_log_destroy(l);
        assert_int_equal(dropped(), 2 * round + 2);
        reader = open_reader(fifo_path); /* a FIFO may find another reader, and lose it too */
        if (round == 1) {
            l = front_log_create(s);
            write_numbered(l, 0, 3 * round + 3);
            front_log_destroy(l);
            assert_int_equal(dropped(), 2 * round + 2);
        }
    }
    close(reader);
    front_log_close(s);
}

static void a_reader_that_went_away_is_said_once(void **state)
{
    (void)state;
    snprintf(fifo_path, sizeof(fifo_path), "%s", path_of("fifo"));
    assert_int_equal(mkfifo(fifo_path, 0600), 0);
    assert_int_equal(lines_said(write_to_a_reader_that_goes_away, "event=access_log_write"), 1);
}

/* The reader reads nothing before both buffers are out: what comes then is dropped, and what
 * was taken arrives. */
static void both_out_drops_and_counts(void **state)
{
    (void)state;
    const char *fifo = path_of("fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    int reader = open_reader(fifo);
    (void)fcntl(reader, F_SETPIPE_SZ, 4096);
    struct front_log_sink *s = opened(fifo);
    struct front_log *l = front_log_create(s);
    for (unsigned i = 1; i <= 1000; i++)
        write_numbered(l, 0, i);
    unsigned at_once = dropped();
    assert_true(at_once > 500);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, drain, &reader), 0);
    front_log_destroy(l);
    front_log_close(s);
    void *result;
    assert_int_equal(pthread_join(thread, &result), 0);
    struct seen *seen = result;
    assert_int_equal(seen->whole + dropped(), 1000);
    assert_int_equal(seen->last[0] > 0, seen->whole > 0);
    free(seen);
    close(reader);
}

static void a_reader_that_never_reads_holds_up_no_end(void **state)
{
    (void)state;
    const char *fifo = path_of("fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    int reader = open_reader(fifo);
    (void)fcntl(reader, F_SETPIPE_SZ, 4096);
    struct front_log_sink *s = opened(fifo);
    struct front_log *logs[4];
    for (unsigned i = 0; i < 4; i++) {
        logs[i] = front_log_create(s);
        for (unsigned n = 1; n <= 200; n++)
            write_numbered(logs[i], i, n);
    }
    double began = seconds();
    for (unsigned i = 0; i < 4; i++)
        front_log_destroy(logs[i]);
    front_log_close(s);
    assert_true(seconds() - began < 30); /* two seconds, and not for each of eight buffers */
    assert_in_range(dropped(), 800 - 20, 800);
    close(reader);
}

static void stdout_is_written_to(void **state)
{
    (void)state;
    int ends[2];
    pthread_t thread;
    void *result;
    assert_int_equal(pipe(ends), 0);
    (void)fflush(stdout);
    int kept = dup(STDOUT_FILENO);
    assert_true(dup2(ends[1], STDOUT_FILENO) >= 0);
    struct front_log_sink *s = NULL;
    enum err err = front_log_open("stdout", &s);
    assert_true(dup2(kept, STDOUT_FILENO) >= 0);
    close(kept);
    close(ends[1]);
    assert_int_equal(err, ERR_OK);
    assert_int_equal(pthread_create(&thread, NULL, drain, &ends[0]), 0);
    struct front_log *l = front_log_create(s);
    for (unsigned i = 1; i <= 100; i++)
        write_numbered(l, 2, i);
    front_log_destroy(l);
    front_log_close(s);
    assert_int_equal(pthread_join(thread, &result), 0);
    struct seen *seen = result;
    assert_int_equal(seen->broken, 0);
    assert_int_equal(seen->whole + dropped(), 100);
    free(seen);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_reach_the_file_in_order, begin, end),
        cmocka_unit_test_setup_teardown(nothing_is_accepted, begin, end),
        cmocka_unit_test_setup_teardown(a_flush_sends_what_is_there, begin, end),
        cmocka_unit_test_setup_teardown(reopening_loses_and_mixes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(what_cannot_be_opened, begin, end),
        cmocka_unit_test_setup_teardown(a_line_cut_by_a_full_disk_spoils_no_other, begin, end),
        cmocka_unit_test_setup_teardown(a_full_device_drops_and_counts, begin, end),
        cmocka_unit_test_setup_teardown(a_reader_that_went_away_is_said_once, begin, end),
        cmocka_unit_test_setup_teardown(both_out_drops_and_counts, begin, end),
        cmocka_unit_test_setup_teardown(a_reader_that_never_reads_holds_up_no_end, begin, end),
        cmocka_unit_test_setup_teardown(stdout_is_written_to, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
