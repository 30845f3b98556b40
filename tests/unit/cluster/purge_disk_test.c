/* A real LMDB environment on a real disk. The functions through which it reaches the disk stand
 * here, so that a test can fail each of them or end the process in the middle. */
#include "cluster/purge_disk.h"

#include "base/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* --- the disk --- */

static _Atomic int writes_left = INT32_MAX; /* then... */
static _Atomic int then_errno;              /* ... this error, or 0: the process ends */
static _Atomic int writes_done;

static bool disk_refuses(void)
{
    atomic_fetch_add(&writes_done, 1);
    if (atomic_fetch_sub(&writes_left, 1) > 0)
        return false;
    if (!then_errno)
        _exit(9);
    errno = then_errno;
    return true;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    return disk_refuses() ? -1 : syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return disk_refuses() ? -1 : syscall(SYS_writev, fd, parts, count);
}

int fdatasync(int fd)
{
    return disk_refuses() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

static void disk_is_well(void)
{
    writes_left = INT32_MAX;
    writes_done = 0;
}

/* --- a node that uses it --- */

struct node {
    char folder[64];
    struct letter_mailbox home;
    struct cluster_purge_log *log;
    struct cluster_purge_disk *disk;
    uint64_t next_no;
    unsigned ok, failed;
    enum err last_err;
    /* what a replay gave */
    unsigned replayed, floors;
    uint64_t highest_no, tag_no[64]; /* the highest, by the number in "tag<n>" */
    uint64_t soft_floor, hard_floor;
};

static void note_answer(void *user, uint64_t ticket, enum err err)
{
    struct node *n = user;
    (void)ticket;
    n->ok += err == ERR_OK;
    n->failed += err != ERR_OK;
    n->last_err = err;
}

static void note_replayed(void *user, const struct cluster_purge_record *r)
{
    struct node *n = user;
    uint64_t tag;
    if (r->seq == 0) {
        assert_int_equal(r->purge.kind, PURGE_ALL);
        n->floors++;
        *(r->purge.mode == PURGE_HARD ? &n->hard_floor : &n->soft_floor) = r->apply_no;
        return;
    }
    n->replayed++;
    if (r->apply_no > n->highest_no)
        n->highest_no = r->apply_no;
    if (r->purge.kind == PURGE_TAG && span_starts(r->purge.selector, SPAN("tag")) &&
        span_to_u64(span_from(r->purge.selector, 3), &tag) && tag < ARRAY_LEN(n->tag_no) &&
        n->tag_no[tag] < r->apply_no)
        n->tag_no[tag] = r->apply_no;
}

static enum err try_open(struct node *n, uint64_t other_boot_no, unsigned threads,
                         void (*wake)(void *loop))
{
    letter_mailbox_init(&n->home, wake, n);
    n->log = cluster_purge_log_create(
        &(struct cluster_purge_log_conf){.node = "fra1",
                                         .keep_s = 7 * 86400,
                                         .stream_id = crypto_random_u64() | 1,
                                         .answered = note_answer,
                                         .user = n});
    enum err err = cluster_purge_disk_open(
        &(struct cluster_purge_disk_conf){.folder = n->folder,
                                          .max_bytes = 1,
                                          .other_boot_no = other_boot_no,
                                          .home = &n->home,
                                          .threads = threads},
        n->log, &n->disk);
    if (err) {
        cluster_purge_log_destroy(n->log);
        n->log = NULL;
        n->disk = NULL;
        return err;
    }
    n->next_no = cluster_purge_disk_opened(n->disk)->boot_no << 40;
    n->replayed = n->floors = 0;
    n->highest_no = n->soft_floor = n->hard_floor = 0;
    memset(n->tag_no, 0, sizeof(n->tag_no));
    assert_int_equal(cluster_purge_disk_replay(n->disk, note_replayed, n), ERR_OK);
    return ERR_OK;
}

static void open_node(struct node *n)
{
    assert_int_equal(try_open(n, 0, 0, NULL), ERR_OK);
}

static void close_node(struct node *n)
{
    cluster_purge_disk_close(n->disk);
    cluster_purge_log_destroy(n->log);
    n->disk = NULL;
    n->log = NULL;
}

static struct cluster_purge_id purge_tag(struct node *n, const char *tag, uint64_t ticket)
{
    struct purge p = {PURGE_TAG, PURGE_HARD, span_text(tag), SPAN("")};
    struct cluster_purge_id id;
    assert_int_equal(cluster_purge_log_accept(n->log, &p, ++n->next_no, 0, 1000, ticket, &id),
                     ERR_OK);
    return id;
}

static void run(struct node *n, int64_t now_s)
{
    cluster_purge_disk_pump(n->disk, now_s);
    while (cluster_purge_disk_run(n->disk))
        (void)letter_open_all(&n->home);
}

static void remove_file(const struct node *n, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", n->folder, name);
    (void)unlink(path);
}

static int begin(void **state)
{
    struct node *n = must_alloc(sizeof(*n));
    char base[] = "/tmp/purge_disk_test.XXXXXX";
    disk_is_well();
    assert_non_null(mkdtemp(base));
    snprintf(n->folder, sizeof(n->folder), "%s/purge-log", base);
    *state = n;
    return 0;
}

static int end(void **state)
{
    struct node *n = *state;
    disk_is_well();
    if (n->disk)
        close_node(n);
    static const char *const files[] = {"data.mdb", "lock.mdb", "owner", "data.mdb.damaged"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        remove_file(n, files[i]);
    (void)rmdir(n->folder);
    *strrchr(n->folder, '/') = 0;
    assert_int_equal(rmdir(n->folder), 0);
    free(n);
    return 0;
}

/* --- tests --- */

static void synced_purges_come_back_with_their_numbers(void **state)
{
    struct node *n = *state;
    open_node(n);
    struct cluster_purge_disk_opened first = *cluster_purge_disk_opened(n->disk);
    assert_true(first.made_anew && first.boot_no == 1 && first.records == 0);
    for (int i = 0; i < 5; i++) {
        char tag[16];
        snprintf(tag, sizeof(tag), "tag%d", i);
        (void)purge_tag(n, tag, 1);
    }
    assert_int_equal(n->ok, 0);
    run(n, 1000);
    assert_int_equal(n->ok, 5);
    close_node(n);
    open_node(n);
    const struct cluster_purge_disk_opened *again = cluster_purge_disk_opened(n->disk);
    assert_memory_equal(again->log_id, first.log_id, sizeof(first.log_id));
    assert_true(!again->made_anew && again->boot_no == 2 && again->records == 5);
    assert_int_equal(n->replayed, 5);
    assert_int_equal(n->floors, 0);
    for (unsigned i = 0; i < 5; i++)
        assert_true(n->tag_no[i] == (UINT64_C(1) << 40) + i + 1);
    /* A new start is a new stream, and its numbers are above all stored ones. */
    struct cluster_purge_id id = purge_tag(n, "tag0", 1);
    assert_int_equal(id.seq, 1);
    assert_true(n->next_no > n->highest_no);
    run(n, 1000);
    close_node(n);
    open_node(n);
    assert_int_equal(n->replayed, 6); /* across streams nothing is superseded */
    assert_int_equal(cluster_purge_log_state(n->log, id), CLUSTER_PURGE_SYNCED);
}

static void a_start_without_purges_still_counts(void **state)
{
    struct node *n = *state;
    for (uint64_t boot = 1; boot <= 3; boot++) {
        open_node(n);
        assert_true(cluster_purge_disk_opened(n->disk)->boot_no == boot);
        close_node(n);
    }
    assert_int_equal(try_open(n, 10, 0, NULL), ERR_OK);
    assert_int_equal(cluster_purge_disk_opened(n->disk)->boot_no, 11);
    assert_int_equal(cluster_purge_disk_raise_boot(n->disk, 20), ERR_OK);
    assert_int_equal(cluster_purge_disk_raise_boot(n->disk, 15), ERR_OK);
    assert_int_equal(cluster_purge_disk_opened(n->disk)->boot_no, 20);
    close_node(n);
    open_node(n);
    assert_int_equal(cluster_purge_disk_opened(n->disk)->boot_no, 21);
    assert_int_equal(cluster_purge_disk_raise_boot(n->disk, UINT64_MAX), ERR_LIMIT);
}

static void a_deleted_log_is_another_log(void **state)
{
    struct node *n = *state;
    open_node(n);
    uint8_t log_id[CLUSTER_PURGE_LOG_ID];
    memcpy(log_id, cluster_purge_disk_opened(n->disk)->log_id, sizeof(log_id));
    close_node(n);
    remove_file(n, "data.mdb");
    remove_file(n, "lock.mdb");
    /* The cache's environment knows how far we were. */
    assert_int_equal(try_open(n, 1, 0, NULL), ERR_OK);
    assert_int_equal(cluster_purge_disk_opened(n->disk)->boot_no, 2);
    assert_true(cluster_purge_disk_opened(n->disk)->made_anew);
    assert_memory_not_equal(cluster_purge_disk_opened(n->disk)->log_id, log_id, sizeof(log_id));
}

static void the_longest_record_is_in_parts(void **state)
{
    struct node *n = *state;
    static char selector[PURGE_SELECTOR_MAX], site[PURGE_SITE_MAX];
    memset(selector, 'x', sizeof(selector));
    memset(site, 's', sizeof(site));
    struct purge p = {PURGE_TAG, PURGE_SOFT, span_of(selector, sizeof(selector)),
                      span_of(site, sizeof(site))};
    struct cluster_purge_id first, id;
    struct cluster_purge_record r;
    bool synced;
    open_node(n);
    assert_int_equal(cluster_purge_log_accept(n->log, &p, ++n->next_no, 0, 1, 1, &first),
                     ERR_OK);
    run(n, 1);
    assert_int_equal(cluster_purge_log_find(n->log, first, &r, &synced), ERR_OK);
    assert_true(synced && span_equal(r.purge.selector, p.selector) &&
                span_equal(r.purge.site, p.site) && r.purge.mode == PURGE_SOFT);
    /* Superseded, all its parts leave. */
    assert_int_equal(cluster_purge_log_accept(n->log, &p, ++n->next_no, 0, 1, 1, &id), ERR_OK);
    run(n, 1);
    assert_int_equal(cluster_purge_log_find(n->log, first, &r, &synced), ERR_NOT_FOUND);
    close_node(n);
    open_node(n);
    assert_int_equal(n->replayed, 1);
    assert_int_equal(cluster_purge_disk_opened(n->disk)->corrupt, 0);
    assert_int_equal(cluster_purge_log_find(n->log, id, &r, &synced), ERR_OK);
    assert_true(span_equal(r.purge.selector, p.selector));
}

static unsigned listed;
static void count_listed(void *user, const struct cluster_purge_record *r, bool synced)
{
    (void)user;
    listed += synced && span_starts(r->purge.selector, SPAN("tag")) &&
              span_equal(r->node, SPAN("fra1"));
}

static void stored_ones_are_found_and_listed(void **state)
{
    struct node *n = *state;
    open_node(n);
    (void)purge_tag(n, "tag1", 0);
    (void)purge_tag(n, "tag2", 0);
    run(n, 1000);
    close_node(n);
    open_node(n);
    listed = 0;
    assert_int_equal(cluster_purge_log_list(n->log, 1000, 10, count_listed, n), 2);
    assert_int_equal(listed, 2);
    assert_int_equal(cluster_purge_log_list(n->log, 1001, 10, count_listed, n), 0);
    assert_int_equal(cluster_purge_log_list(n->log, 0, 1, count_listed, n), 1);
}

static void two_processes_do_not_share_a_folder(void **state)
{
    struct node *n = *state, other = {0};
    open_node(n);
    memcpy(other.folder, n->folder, sizeof(other.folder));
    assert_int_equal(try_open(&other, 0, 0, NULL), ERR_REFUSED);
}

/* The process ends at the n-th of all writes and syncs, for every n: what was answered is there
 * at the next start, numbers and boot numbers are new ones, nothing else is damaged. */
static void killed_at_every_write(void **state)
{
    struct node *n = *state;
    uint64_t boot_before = 0;
    bool finished = false;
    for (int kill_at = 0; !finished && kill_at < 200; kill_at++) {
        int answered[2];
        assert_int_equal(pipe(answered), 0);
        pid_t child = fork();
        if (child == 0) {
            writes_left = kill_at;
            then_errno = 0;
            if (try_open(n, 0, 0, NULL))
                _exit(1);
            uint64_t boot_no = cluster_purge_disk_opened(n->disk)->boot_no;
            if (write(answered[1], &boot_no, sizeof(boot_no)) != sizeof(boot_no))
                _exit(2);
            for (unsigned i = 0; i < 4; i++) {
                char tag[16];
                unsigned which = (unsigned)(kill_at * 4) % 60 + i;
                snprintf(tag, sizeof(tag), "tag%u", which);
                (void)purge_tag(n, tag, 1);
                uint64_t number[2] = {which, n->next_no};
                run(n, 1000);
                if (n->ok != i + 1 ||
                    write(answered[1], number, sizeof(number)) != sizeof(number))
                    _exit(3);
            }
            _exit(0);
        }
        (void)close(answered[1]);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) &&
                    (WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0));
        finished = WEXITSTATUS(status) == 0;
        uint64_t boot_told = 0, number[2];
        (void)!read(answered[0], &boot_told, sizeof(boot_told));
        open_node(n);
        const struct cluster_purge_disk_opened *o = cluster_purge_disk_opened(n->disk);
        assert_int_equal(o->corrupt, 0);
        assert_true(o->boot_no > boot_told && o->boot_no > boot_before);
        boot_before = o->boot_no;
        assert_true(n->highest_no < o->boot_no << 40);
        while (read(answered[0], number, sizeof(number)) == sizeof(number))
            assert_true(n->tag_no[number[0]] >= number[1]);
        (void)close(answered[0]);
        close_node(n);
    }
    assert_true(finished);
}

static void a_failing_disk_is_told_and_recovers(void **state)
{
    struct node *n = *state;
    static const int errors[] = {EIO, ENOSPC};
    unsigned tag = 0, ok = 0;
    open_node(n);
    for (size_t e = 0; e < ARRAY_LEN(errors); e++) {
        /* The disk fails at the first, second, ... write of a commit. */
        for (int at = 0; at < 6; at++) {
            char text[16];
            snprintf(text, sizeof(text), "tag%u", tag++);
            struct cluster_purge_id id = purge_tag(n, text, 1);
            n->ok = n->failed = 0;
            writes_left = at;
            then_errno = errors[e];
            run(n, 1000);
            disk_is_well();
            assert_int_equal(n->ok + n->failed, 1);
            ok += n->ok;
            if (n->failed) {
                struct cluster_purge_log_figures f;
                assert_int_equal(n->last_err, ERR_SYS);
                assert_int_equal(cluster_purge_log_state(n->log, id),
                                 CLUSTER_PURGE_PENDING_HERE);
                cluster_purge_log_figures(n->log, &f);
                assert_false(f.ok);
            }
            run(n, 1001 + at); /* a second later */
            assert_int_equal(cluster_purge_log_state(n->log, id), CLUSTER_PURGE_SYNCED);
        }
    }
    assert_true(ok > 0 && ok < 12); /* both happened */
    close_node(n);
    open_node(n);
    assert_int_equal(n->replayed, tag);
    assert_int_equal(cluster_purge_disk_opened(n->disk)->corrupt, 0);
}

static void without_its_boot_number_on_disk_no_start(void **state)
{
    struct node *n = *state;
    open_node(n);
    close_node(n);
    writes_left = 0;
    then_errno = EIO;
    assert_int_equal(try_open(n, 0, 0, NULL), ERR_SYS);
    disk_is_well();
    open_node(n);
}

/* Overwrites what stands  octets behind the text in the file; how often it was found. */
static unsigned damage(const struct node *n, struct span text, struct span with)
{
    char path[128];
    static char bytes[1 << 20];
    snprintf(path, sizeof(path), "%s/data.mdb", n->folder);
    int fd = open(path, O_RDWR);
    ssize_t len = read(fd, bytes, sizeof(bytes));
    unsigned found = 0;
    for (ssize_t i = 0; i + (ssize_t)text.len <= len; i++) {
        if (memcmp(bytes + i, text.ptr, text.len) != 0)
            continue;
        assert_int_equal(syscall(SYS_pwrite64, fd, with.ptr, with.len, i), with.len);
        found++;
    }
    (void)close(fd);
    return found;
}

static void a_damaged_record_is_skipped_and_widens_once(void **state)
{
    struct node *n = *state;
    open_node(n);
    (void)purge_tag(n, "tag1", 0);
    (void)purge_tag(n, "damaged-tag", 0);
    (void)purge_tag(n, "tag2", 0);
    run(n, 1000);
    close_node(n);
    assert_true(damage(n, SPAN("damaged-tag"), SPAN("dAmaged")) > 0);
    open_node(n);
    const struct cluster_purge_disk_opened *o = cluster_purge_disk_opened(n->disk);
    assert_int_equal(o->corrupt, 1);
    assert_int_equal(o->records, 2);
    assert_true(n->replayed == 2 && n->tag_no[1] && n->tag_no[2]);
    /* Everything that was fetched before this start is revalidated; what comes now is not. */
    assert_true(n->floors == 1 && n->soft_floor == o->boot_no << 40);
    uint64_t floor = n->soft_floor;
    assert_int_equal(cluster_purge_disk_raise_boot(n->disk, o->boot_no + 5), ERR_OK);
    close_node(n);
    open_node(n);
    assert_int_equal(cluster_purge_disk_opened(n->disk)->corrupt, 0); /* it was removed */
    assert_true(n->soft_floor == floor + (UINT64_C(5) << 40)); /* with the raised number */
}

/* Written by itself, and gone with the file. */
static void how_far_the_sweep_came_comes_back(void **state)
{
    struct node *n = *state;
    open_node(n);
    assert_int_equal(cluster_purge_log_swept_now(n->log).apply_no, 0);
    cluster_purge_log_swept(n->log, (struct cluster_purge_swept){1234, 99});
    run(n, 1000);
    close_node(n);
    open_node(n);
    assert_int_equal(cluster_purge_log_swept_now(n->log).apply_no, 1234);
    assert_int_equal(cluster_purge_log_swept_now(n->log).sites, 99);
    writes_done = 0;
    run(n, 1001);
    assert_int_equal(writes_done, 0); /* nothing is new */
    close_node(n);
    remove_file(n, "data.mdb");
    open_node(n);
    assert_int_equal(cluster_purge_log_swept_now(n->log).apply_no, 0);
    assert_int_equal(cluster_purge_log_swept_now(n->log).sites, 0);
}

static void a_lost_head_is_another_log_with_larger_numbers(void **state)
{
    struct node *n = *state;
    for (int i = 0; i < 3; i++) {
        open_node(n);
        (void)purge_tag(n, "tag1", 0);
        run(n, 1000);
        if (i < 2)
            close_node(n);
    }
    uint8_t log_id[CLUSTER_PURGE_LOG_ID];
    memcpy(log_id, cluster_purge_disk_opened(n->disk)->log_id, sizeof(log_id));
    close_node(n);
    assert_true(damage(n, span_of(log_id, sizeof(log_id)), SPAN("damaged!")) > 0);
    open_node(n); /* the records tell how far it was */
    const struct cluster_purge_disk_opened *o = cluster_purge_disk_opened(n->disk);
    assert_true(o->made_anew && o->boot_no == 4 && o->records == 3);
    assert_memory_not_equal(o->log_id, log_id, sizeof(log_id));
    assert_int_equal(n->replayed, 3);
}

static void a_damaged_file_is_put_aside(void **state)
{
    struct node *n = *state;
    char path[128];
    uint8_t log_id[CLUSTER_PURGE_LOG_ID];
    open_node(n);
    (void)purge_tag(n, "tag1", 0);
    run(n, 1000);
    memcpy(log_id, cluster_purge_disk_opened(n->disk)->log_id, sizeof(log_id));
    close_node(n);
    snprintf(path, sizeof(path), "%s/data.mdb", n->folder);
    int fd = open(path, O_RDWR);
    static const char zeros[8192];
    assert_int_equal(syscall(SYS_pwrite64, fd, zeros, sizeof(zeros), 0), sizeof(zeros));
    (void)close(fd);
    assert_int_equal(try_open(n, 1, 0, NULL), ERR_OK);
    assert_true(cluster_purge_disk_opened(n->disk)->made_anew);
    assert_int_equal(cluster_purge_disk_opened(n->disk)->boot_no, 2);
    assert_memory_not_equal(cluster_purge_disk_opened(n->disk)->log_id, log_id, sizeof(log_id));
    snprintf(path, sizeof(path), "%s/data.mdb.damaged", n->folder);
    assert_int_equal(access(path, F_OK), 0);
    (void)purge_tag(n, "tag1", 1);
    run(n, 1000);
    assert_int_equal(n->ok, 1);
}

static void mark_starts(const struct node *n, char count)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/owner", n->folder);
    int fd = open(path, O_RDWR);
    assert_int_equal(syscall(SYS_pwrite64, fd, &count, 1, 0), 1);
    (void)close(fd);
}

static void the_third_start_that_dies_is_the_last_with_its_file(void **state)
{
    struct node *n = *state;
    open_node(n);
    (void)purge_tag(n, "tag1", 0);
    run(n, 1000);
    close_node(n);
    for (int round = 0; round < 2; round++) { /* one that does not die begins anew */
        mark_starts(n, 2);
        open_node(n);
        assert_false(cluster_purge_disk_opened(n->disk)->made_anew);
        assert_int_equal(n->replayed, 1);
        close_node(n);
    }
    mark_starts(n, 3);
    open_node(n);
    assert_true(cluster_purge_disk_opened(n->disk)->made_anew);
    assert_int_equal(n->replayed, 0);
    close_node(n);
    open_node(n);
    assert_false(cluster_purge_disk_opened(n->disk)->made_anew);
}

static void a_full_log_gives_way_and_keeps_the_promise(void **state)
{
    struct node *n = *state;
    static char selector[3000];
    struct cluster_purge_id id;
    struct cluster_purge_log_figures f;
    unsigned sent = 0;
    open_node(n); /* 1 MiB: about 200 of these */
    for (; sent < 600; sent++) {
        memset(selector, 'x', sizeof(selector));
        snprintf(selector, sizeof(selector), "%u", sent);
        struct purge p = {PURGE_TAG, PURGE_HARD, span_of(selector, sizeof(selector)), SPAN("")};
        p.selector.ptr = selector;
        selector[strlen(selector)] = '-';
        assert_int_equal(cluster_purge_log_accept(n->log, &p, ++n->next_no, 0, 1000, 1, &id),
                         ERR_OK);
        if (sent % 8 == 7)
            run(n, 1000);
    }
    assert_int_equal(n->failed, 0);
    assert_int_equal(n->ok, 600);
    cluster_purge_log_figures(n->log, &f);
    assert_true(f.displaced > 300 && f.used_bytes <= f.max_bytes);
    uint64_t newest = n->next_no;
    close_node(n);
    open_node(n);
    /* Each of the 600 is either there or below the floor. */
    assert_true(n->hard_floor > 0 && n->highest_no == newest);
    assert_true(n->replayed >= newest - n->hard_floor);
    assert_true(n->replayed > 100);
}

static void the_longest_purges_fit_the_smallest_log(void **state)
{
    struct node *n = *state;
    static char selector[PURGE_SELECTOR_MAX];
    struct cluster_purge_id id;
    open_node(n);
    for (unsigned i = 0; i < 256; i++) { /* twice its size, in one call */
        memset(selector, 'x', sizeof(selector));
        memcpy(selector, &i, sizeof(i));
        struct purge p = {PURGE_TAG, PURGE_HARD, span_of(selector, sizeof(selector)), SPAN("")};
        assert_int_equal(cluster_purge_log_accept(n->log, &p, ++n->next_no, 0, 1000, 1, &id),
                         ERR_OK);
    }
    run(n, 1000);
    assert_int_equal(n->failed, 0);
    assert_int_equal(n->ok, 256);
    uint64_t newest = n->next_no;
    close_node(n);
    open_node(n);
    assert_true(n->hard_floor > 0 && n->highest_no == newest);
    assert_true(n->replayed >= newest - n->hard_floor);
}

/* Records of so many streams, more than there is room for, 2,000 at once. A map that is full is
 * a reason to write less at a time, not to stop. */
static void flood(struct node *n, unsigned streams, unsigned total)
{
    static uint64_t seq[1000];
    char tag[64];
    memset(seq, 0, sizeof(seq));
    for (unsigned i = 0; i < total; i++) {
        int len = snprintf(tag, sizeof(tag), "%060u", i);
        unsigned k = i % streams;
        struct cluster_purge_record r = {
            /* far from each other: a page for each */
            .stream = ((uint64_t)k + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1,
            .seq = ++seq[k],
            .apply_no = ++n->next_no,
            .accepted_at_s = 1000,
            .node = SPAN("o"),
            .purge = {PURGE_TAG, PURGE_HARD, span_of(tag, (size_t)len), SPAN("")}};
        assert_int_equal(cluster_purge_log_receive(n->log, &r, 1), ERR_OK);
        if (i % 2000 == 1999)
            run(n, 1000);
    }
    run(n, 1000);
    struct cluster_purge_log_figures f;
    cluster_purge_log_figures(n->log, &f);
    assert_int_equal(n->failed, 0);
    assert_int_equal(n->ok, total);
    assert_int_equal(f.pending, 0);
    assert_true(f.ok && f.displaced > 0 && f.used_bytes <= f.max_bytes);
}

static void short_purges_do_not_stop_a_full_log(void **state)
{
    struct node *n = *state;
    open_node(n);
    flood(n, 1, 40000);
    uint64_t newest = n->next_no;
    close_node(n);
    open_node(n);
    assert_true(n->hard_floor > 0 && n->highest_no == newest);
    assert_true(n->replayed >= newest - n->hard_floor);
}

static void many_streams_do_not_stop_a_full_log(void **state)
{
    struct node *n = *state;
    open_node(n);
    flood(n, 100, 20000);
}

/* --- with its thread --- */

static sem_t woken;
static void wake(void *loop)
{
    (void)loop;
    sem_post(&woken);
}

static void the_writer_thread_groups_what_waits(void **state)
{
    struct node *n = *state;
    assert_int_equal(sem_init(&woken, 0, 0), 0);
    assert_int_equal(try_open(n, 0, 1, wake), ERR_OK);
    char tag[24];
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(tag, sizeof(tag), "x%u", i);
        (void)purge_tag(n, tag, 1);
        if (i % 10 == 0)
            cluster_purge_disk_pump(n->disk, 1000);
    }
    cluster_purge_disk_pump(n->disk, 1000);
    while (n->ok < 2000) {
        sem_wait(&woken);
        (void)letter_open_all(&n->home);
    }
    (void)purge_tag(n, "tag1", 1);
    cluster_purge_disk_pump(n->disk, 1000);
    (void)purge_tag(n, "tag2", 1); /* not even begun */
    close_node(n);
    assert_int_equal(n->ok, 2002); /* closing writes and answers what waits */
    assert_int_equal(try_open(n, 0, 1, wake), ERR_OK);
    assert_int_equal(n->replayed, 2002);
    close_node(n);
    sem_destroy(&woken);
}

static enum err receive_tag(struct node *n, uint64_t stream, uint64_t seq, const char *tag)
{
    struct cluster_purge_record r = {
        .stream = stream,
        .seq = seq,
        .apply_no = ++n->next_no,
        .accepted_at_s = 1000,
        .node = SPAN("ams1"),
        .purge = {PURGE_TAG, PURGE_HARD, span_text(tag), SPAN("")}};
    return cluster_purge_log_receive(n->log, &r, 1);
}

struct range {
    unsigned told, limit;
    uint64_t last;
};
static bool note_range(void *user, const struct cluster_purge_record *r)
{
    struct range *x = user;
    if (x->told == x->limit)
        return false;
    assert_true(r->stream == 5 && r->seq > x->last);
    x->last = r->seq;
    x->told++;
    return true;
}

static uint64_t read_range(struct node *n, uint64_t after, unsigned limit, unsigned told)
{
    struct range x = {.limit = limit};
    uint64_t through = 0;
    assert_int_equal(cluster_purge_log_read(n->log, 5, after, note_range, &x, &through),
                     ERR_OK);
    assert_int_equal(x.told, told);
    return through;
}

static void count_member(void *user, const struct cluster_purge_member *m)
{
    assert_true(span_equal(m->id, SPAN("par1")) && m->generation == 3 && m->left);
    ++*(unsigned *)user;
}

static void what_others_told_comes_back(void **state)
{
    struct node *n = *state;
    static char long_tag[9000];
    unsigned members = 0;
    open_node(n);
    memset(long_tag, 'x', sizeof(long_tag) - 1);
    long_tag[PURGE_SELECTOR_MAX] = 0; /* in three parts */
    assert_int_equal(receive_tag(n, 5, 1, "tag1"), ERR_OK);
    assert_int_equal(receive_tag(n, 5, 4, long_tag), ERR_OK);
    assert_int_equal(receive_tag(n, 5, 6, "tag6"), ERR_OK);
    cluster_purge_log_cover(n->log, 5, 7);
    assert_int_equal(receive_tag(n, 5, 9, "tag9"), ERR_OK); /* ahead */
    assert_int_equal(receive_tag(n, 8, 1, "tag8"), ERR_OK); /* another stream behind it */
    struct cluster_purge_member m = {.id = SPAN("par1"), .generation = 3, .left = true};
    assert_int_equal(cluster_purge_log_set_member(n->log, &m), ERR_OK);
    cluster_purge_log_fall_back(n->log, 6, 20, n->next_no, true);
    run(n, 1000);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(cluster_purge_log_synced(n->log, 5), 7);
        assert_int_equal(cluster_purge_log_synced(n->log, 6), 20);
        assert_int_equal(cluster_purge_log_floor(n->log, 6), 20);
        assert_true(cluster_purge_log_has(n->log, (struct cluster_purge_id){5, 9}));
        assert_false(cluster_purge_log_has(n->log, (struct cluster_purge_id){5, 8}));
        assert_int_equal(read_range(n, 0, 9, 3), 7);
        assert_int_equal(read_range(n, 0, 1, 1), 1); /* a page at a time */
        assert_int_equal(read_range(n, 1, 1, 1), 4);
        assert_int_equal(read_range(n, 4, 1, 1), 7);
        assert_int_equal(read_range(n, 7, 9, 0), 7);
        assert_int_equal(read_range(n, 100, 9, 0), 100);
        uint64_t through;
        assert_int_equal(
            cluster_purge_log_read(n->log, 12, 0, note_range, &(struct range){0}, &through),
            ERR_NOT_FOUND);
        members = 0;
        cluster_purge_log_members(n->log, count_member, &members);
        assert_int_equal(members, 1);
        if (again)
            break;
        close_node(n);
        open_node(n);
        assert_true(n->floors == 1 && n->hard_floor > 0);
    }
    close_node(n);
    assert_true(damage(n, SPAN("tag6"), SPAN("tAg6")) > 0);
    assert_true(damage(n, SPAN("par1"), SPAN("pAr1")) > 0);
    open_node(n);
    assert_true(cluster_purge_disk_opened(n->disk)->corrupt > 0);
    assert_int_equal(cluster_purge_log_floor(n->log, 5),
                     6); /* who asks from below falls back */
    close_node(n);
    open_node(n);
    assert_int_equal(cluster_purge_disk_opened(n->disk)->corrupt, 0);
    assert_int_equal(cluster_purge_log_floor(n->log, 5), 6);
    assert_int_equal(cluster_purge_log_synced(n->log, 5), 7);
}

/* The vector never claims what is not there, whenever the process ends. */
static void killed_while_others_are_told_of(void **state)
{
    struct node *n = *state;
    bool finished = false;
    for (int kill_at = 0; !finished && kill_at < 200; kill_at++) {
        pid_t child = fork();
        if (child == 0) {
            writes_left = kill_at;
            then_errno = 0;
            if (try_open(n, 0, 0, NULL))
                _exit(1);
            uint64_t from = cluster_purge_log_synced(n->log, 5);
            for (uint64_t seq = from + 4; seq > from; seq--) { /* falling: gaps */
                char tag[24];
                snprintf(tag, sizeof(tag), "s%llu", (unsigned long long)seq);
                if (!cluster_purge_log_has(n->log, (struct cluster_purge_id){5, seq}) &&
                    receive_tag(n, 5, seq, tag) != ERR_OK)
                    _exit(2);
                run(n, 1000);
            }
            cluster_purge_log_fall_back(n->log, 7, from + 1, n->next_no, false);
            run(n, 1000);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) &&
                    (WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0));
        finished = WEXITSTATUS(status) == 0;
        open_node(n);
        uint64_t synced = cluster_purge_log_synced(n->log, 5);
        if (synced)
            assert_int_equal(read_range(n, 0, 10000, (unsigned)synced), synced);
        if (cluster_purge_log_synced(n->log, 7))
            assert_true(n->floors == 1 && n->soft_floor > 0);
        close_node(n);
    }
    assert_true(finished);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(synced_purges_come_back_with_their_numbers, begin, end),
        cmocka_unit_test_setup_teardown(a_start_without_purges_still_counts, begin, end),
        cmocka_unit_test_setup_teardown(a_deleted_log_is_another_log, begin, end),
        cmocka_unit_test_setup_teardown(the_longest_record_is_in_parts, begin, end),
        cmocka_unit_test_setup_teardown(stored_ones_are_found_and_listed, begin, end),
        cmocka_unit_test_setup_teardown(two_processes_do_not_share_a_folder, begin, end),
        cmocka_unit_test_setup_teardown(killed_at_every_write, begin, end),
        cmocka_unit_test_setup_teardown(what_others_told_comes_back, begin, end),
        cmocka_unit_test_setup_teardown(killed_while_others_are_told_of, begin, end),
        cmocka_unit_test_setup_teardown(a_failing_disk_is_told_and_recovers, begin, end),
        cmocka_unit_test_setup_teardown(without_its_boot_number_on_disk_no_start, begin, end),
        cmocka_unit_test_setup_teardown(a_damaged_record_is_skipped_and_widens_once, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_lost_head_is_another_log_with_larger_numbers, begin,
                                        end),
        cmocka_unit_test_setup_teardown(how_far_the_sweep_came_comes_back, begin, end),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_put_aside, begin, end),
        cmocka_unit_test_setup_teardown(the_third_start_that_dies_is_the_last_with_its_file,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_full_log_gives_way_and_keeps_the_promise, begin, end),
        cmocka_unit_test_setup_teardown(the_longest_purges_fit_the_smallest_log, begin, end),
        cmocka_unit_test_setup_teardown(short_purges_do_not_stop_a_full_log, begin, end),
        cmocka_unit_test_setup_teardown(many_streams_do_not_stop_a_full_log, begin, end),
        cmocka_unit_test_setup_teardown(the_writer_thread_groups_what_waits, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
