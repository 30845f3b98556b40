/* tests/bench/purge_ack.c - what does a synced acknowledgement cost inside the node?
 *
 *   purge_ack FOLDER [ROUNDS]
 *
 * By turns, on the same disk: one record is written and committed with plain LMDB (default
 * sync, the file reserved, one named database); and one purge is accepted by the log of this
 * node, written by its writer thread and answered at home. Prints medians in microseconds and
 * the ratio of medians. FOLDER is made, and must not exist.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/lmdb.h"
#include "cluster/purge_disk.h"

#define ROUNDS_DEFAULT 1000
#define MAP_BYTES ((uint64_t)64 << 20)

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

static double median(double *at, unsigned count)
{
    qsort(at, count, sizeof *at, ascending);
    return at[count / 2];
}

/* --- plain LMDB --- */

struct plain {
    struct lmdb *env;
    struct lmdb_db db;
};

static void plain_open(struct plain *p, const char *folder)
{
    struct lmdb_conf conf = {
        .path = folder, .map_bytes = MAP_BYTES, .dbs = 1, .readers = 8, .preallocate = true};
    must(mkdir(folder, 0700) == 0 && lmdb_open(&conf, &p->env) == ERR_OK &&
         lmdb_db_open(p->env, "records", false, &p->db) == ERR_OK);
}

static void plain_commit(struct plain *p, uint64_t n)
{
    struct lmdb_txn t;
    char key[32], value[120] = {0};
    int len = snprintf(key, sizeof key, "%016llx", (unsigned long long)n);
    lmdb_begin(&t, p->env, true);
    lmdb_put(&t, p->db, span_of(key, (size_t)len), span_of(value, sizeof value));
    must(lmdb_commit(&t) == ERR_OK);
}

/* --- the node's log --- */

struct node {
    struct letter_mailbox home;
    struct cluster_purge_log *log;
    struct cluster_purge_disk *disk;
    int wake_fd;
    unsigned answered;
};

static void wake(void *loop)
{
    struct node *n = loop;
    uint64_t one = 1;
    must(write(n->wake_fd, &one, sizeof one) == sizeof one);
}

static void note_answer(void *user, uint64_t ticket, enum err err)
{
    struct node *n = user;
    (void)ticket;
    must(err == ERR_OK);
    n->answered++;
}

static void node_open(struct node *n, const char *folder)
{
    n->wake_fd = eventfd(0, EFD_CLOEXEC);
    must(n->wake_fd >= 0);
    letter_mailbox_init(&n->home, wake, n);
    n->log = cluster_purge_log_create(&(struct cluster_purge_log_conf){
        .node = "n1", .keep_s = 86400, .stream_id = 7, .answered = note_answer, .user = n});
    must(cluster_purge_disk_open(
             &(struct cluster_purge_disk_conf){
                 .folder = folder, .max_bytes = MAP_BYTES, .home = &n->home, .threads = 1},
             n->log, &n->disk) == ERR_OK);
}

static void node_purge(struct node *n, uint64_t no)
{
    struct cluster_purge_id id;
    uint64_t word;
    char url[80];
    int len = snprintf(url, sizeof url, "http://example.com/page/%llu", (unsigned long long)no);
    const struct purge purge = {
        .kind = PURGE_URL, .mode = PURGE_HARD, .selector = span_of(url, (size_t)len)};
    unsigned before = n->answered;
    must(cluster_purge_log_accept(n->log, &purge, no, 0, time(NULL), 1, &id) == ERR_OK);
    cluster_purge_disk_pump(n->disk, time(NULL));
    while (n->answered == before) {
        must(read(n->wake_fd, &word, sizeof word) == sizeof word);
        (void)letter_open_all(&n->home);
    }
}

static void node_close(struct node *n)
{
    cluster_purge_disk_close(n->disk);
    cluster_purge_log_destroy(n->log);
    close(n->wake_fd);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : ROUNDS_DEFAULT;
    char folder[400], plain_folder[400];
    struct plain plain;
    struct node node = {0};
    if (argc < 2 || rounds == 0 || mkdir(argv[1], 0700) != 0) {
        fprintf(stderr, "purge_ack FOLDER [ROUNDS]: see tests/bench/purge_ack.c\n");
        return 2;
    }
    (void)snprintf(folder, sizeof folder, "%s/log", argv[1]);
    (void)snprintf(plain_folder, sizeof plain_folder, "%s/plain", argv[1]);
    double *commit_us = must_alloc(rounds * sizeof *commit_us);
    double *ack_us = must_alloc(rounds * sizeof *ack_us);
    plain_open(&plain, plain_folder);
    node_open(&node, folder);
    for (unsigned i = 0; i < rounds; i++) {
        double begun = now_us();
        plain_commit(&plain, i + 1);
        commit_us[i] = now_us() - begun;
        begun = now_us();
        node_purge(&node, i + 1);
        ack_us[i] = now_us() - begun;
    }
    node_close(&node);
    lmdb_close(plain.env);
    double commit = median(commit_us, rounds), ack = median(ack_us, rounds);
    printf("commit_us=%.1f ack_us=%.1f ratio=%.2f\n", commit, ack, ack / commit);
    free(commit_us);
    free(ack_us);
    return 0;
}
