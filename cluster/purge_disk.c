#include "cluster/purge_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/crypto.h"
#include "base/log.h"
#include "cluster/purge_rows.h"

#define BOOT_SHIFT 40
#define BOOT_MAX ((UINT64_C(1) << (64 - BOOT_SHIFT)) - 2)
#define MAP_STEP ((uint64_t)64 * 1024)
#define MAP_SPARE_PART 16 /* of max_bytes, for when even the smallest batch finds no room */
#define PATH_ROOM 4096
#define DAMAGED_MAX 256 /* removed at one start; the floor covers all of them */
#define STARTS_MAX 3    /* in a row that died while they read the file */

struct cluster_purge_disk {
    struct letter letter; /* the batch that is out */
    struct cluster_purge_batch batch;
    enum err batch_err;
    const char *batch_text; /* why it failed; static */
    uint64_t batch_used;
    bool out, closing, failing;
    int64_t now_s;

    struct cluster_purge_disk_opened opened;
    struct cluster_purge_log *log;
    struct letter_mailbox *home;
    void (*written)(void *user);
    void *user;
    struct letter_crew *crew;
    char folder[PATH_ROOM];
    uint64_t max_bytes, map_bytes;
    int owner_fd; /* its first byte: how many starts in a row died while they read the file */

    pthread_mutex_t lock; /* protects env and the dbs: control reads, the writer reopens */
    struct lmdb *env;
    struct lmdb_db records, streams, heads;
    bool broken; /* reopen before the next batch; the writer's while one is out */
    struct cluster_purge_head head;  /* control's until the first batch, then the writer's */
    struct cluster_purge_parts read; /* control's: the text that a reader was given */
};

/* --- the marker: garbage in pages can end the process in the library --- */

static unsigned read_marker(const struct cluster_purge_disk *d)
{
    unsigned char starts = 0;
    return pread(d->owner_fd, &starts, 1, 0) == 1 ? starts : 0;
}

static void write_marker(const struct cluster_purge_disk *d, unsigned starts)
{
    unsigned char byte = (unsigned char)starts;
    (void)!pwrite(d->owner_fd, &byte, 1, 0); /* a full disk costs the marker, not the start */
}

static void on_damage(void *context)
{
    write_marker(context, STARTS_MAX);
}

/* --- the environment --- */

static bool path_in(const struct cluster_purge_disk *d, const char *name, char out[PATH_ROOM])
{
    int len = snprintf(out, PATH_ROOM, "%s/%s", d->folder, name);
    return len > 0 && len < PATH_ROOM;
}

static enum err open_env(struct cluster_purge_disk *d)
{
    struct lmdb_conf conf = {.path = d->folder,
                             .map_bytes = d->map_bytes,
                             .dbs = 3,
                             .readers = 8,
                             .preallocate = true,
                             .damaged = on_damage,
                             .context = d};
    enum err err = lmdb_open(&conf, &d->env);
    if (err == ERR_SYS) {
        /* Without the reserve a disk that the cache fills can stop purges: better than none. */
        conf.preallocate = false;
        const char *text = lmdb_open_text();
        err = lmdb_open(&conf, &d->env);
        if (err == ERR_OK)
            log_line(LOG_WARN, "purge_log_not_reserved", "folder=%s bytes=%llu why=\"%s\"",
                     d->folder, (unsigned long long)d->map_bytes, text);
    }
    if (err == ERR_OK)
        err = lmdb_db_open(d->env, "records", false, &d->records);
    if (err == ERR_OK)
        err = lmdb_db_open(d->env, "streams", false, &d->streams);
    if (err == ERR_OK)
        err = lmdb_db_open(d->env, "head", false, &d->heads);
    if (err != ERR_OK && d->env) {
        lmdb_close(d->env);
        d->env = NULL;
    }
    return err;
}

static enum err take_folder(struct cluster_purge_disk *d)
{
    char path[PATH_ROOM];
    if ((mkdir(d->folder, 0700) && errno != EEXIST) || !path_in(d, "owner", path))
        goto failed;
    d->owner_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->owner_fd < 0)
        goto failed;
    if (flock(d->owner_fd, LOCK_EX | LOCK_NB) == 0)
        return ERR_OK;
    if (errno == EWOULDBLOCK) {
        log_line(LOG_ERROR, "purge_log_in_use", "folder=%s why=\"another process has it\"",
                 d->folder);
        return ERR_REFUSED;
    }
failed:
    log_line(LOG_ERROR, "purge_log_folder", "folder=%s why=\"%s\"", d->folder, strerror(errno));
    return ERR_SYS;
}

static enum err set_aside(struct cluster_purge_disk *d)
{
    char from[PATH_ROOM], to[PATH_ROOM], lock[PATH_ROOM];
    lmdb_close(d->env);
    d->env = NULL;
    if (!path_in(d, "data.mdb", from) || !path_in(d, "data.mdb.damaged", to) ||
        !path_in(d, "lock.mdb", lock))
        return ERR_SYS;
    log_line(LOG_ERROR, "purge_log_damaged",
             "folder=%s put_aside=%s effect=\"a new log; the whole cache is revalidated\"",
             d->folder, to);
    counter_add(COUNTER_PURGE_LOG_ERRORS, 1);
    (void)unlink(lock);
    return rename(from, to) && errno != ENOENT ? ERR_SYS : ERR_OK;
}

/* For cluster/purge_log.h: one synced record. */
static enum err read_record(void *disk, struct cluster_purge_id id,
                            struct cluster_purge_record *out)
{
    struct cluster_purge_disk *d = disk;
    struct lmdb_txn t;
    enum err err = ERR_SYS;
    pthread_mutex_lock(&d->lock);
    if (d->env) {
        lmdb_begin(&t, d->env, false);
        err = cluster_purge_rows_get(&t, d->records, id, &d->read, out);
        lmdb_abort(&t);
    }
    pthread_mutex_unlock(&d->lock);
    return err;
}

static enum err read_range(void *disk, uint64_t stream, uint64_t after,
                           bool (*tell)(void *user, const struct cluster_purge_record *r),
                           void *user, uint64_t *out_through)
{
    struct cluster_purge_disk *d = disk;
    struct cluster_purge_stream row;
    struct lmdb_txn t;
    enum err err = ERR_SYS;
    pthread_mutex_lock(&d->lock);
    if (d->env) {
        lmdb_begin(&t, d->env, false);
        err = ERR_OK;
        if (cluster_purge_rows_stream(&t, d->streams, stream, &row))
            err = cluster_purge_rows_range(&t, d->records, stream, after, row.synced_seq,
                                           &d->read, tell, user, out_through);
        else
            err = t.err ? t.err : ERR_NOT_FOUND;
        lmdb_abort(&t);
    }
    pthread_mutex_unlock(&d->lock);
    return err;
}

/* --- open --- */

struct loading {
    struct cluster_purge_disk *d;
    uint64_t boot_no;                             /* the highest that a record tells of */
    struct cluster_purge_id damaged[DAMAGED_MAX]; /* seq 0: a stream's row */
};

/* Its number was given, too. */
static void load_swept(struct cluster_purge_disk *d, struct loading *loading,
                       struct cluster_purge_swept swept)
{
    cluster_purge_log_load_swept(d->log, swept);
    if (swept.apply_no >> BOOT_SHIFT > loading->boot_no)
        loading->boot_no = swept.apply_no >> BOOT_SHIFT;
}

static void load_record(void *user, const struct cluster_purge_record *r)
{
    struct loading *loading = user;
    if (r->apply_no >> BOOT_SHIFT > loading->boot_no)
        loading->boot_no = r->apply_no >> BOOT_SHIFT;
    loading->d->opened.records++;
    cluster_purge_log_load(loading->d->log, r);
}

static void note_damaged(void *user, struct cluster_purge_id id)
{
    struct loading *loading = user;
    if (loading->d->opened.corrupt < DAMAGED_MAX)
        loading->damaged[loading->d->opened.corrupt] = id;
    loading->d->opened.corrupt++;
}

static void load_stream(void *user, const struct cluster_purge_stream *row)
{
    struct loading *loading = user;
    cluster_purge_log_load_stream(loading->d->log, row);
}

static void load_member(void *user, const struct cluster_purge_member *m)
{
    struct loading *loading = user;
    cluster_purge_log_load_member(loading->d->log, m);
}

static enum err load(struct cluster_purge_disk *d, struct loading *loading)
{
    struct lmdb_txn t;
    lmdb_begin(&t, d->env, false);
    d->opened.made_anew = !cluster_purge_rows_head(&t, d->heads, &d->head);
    if (!d->opened.made_anew)
        load_swept(d, loading, cluster_purge_rows_swept(&t, d->heads));
    cluster_purge_rows_streams(&t, d->streams, load_stream, note_damaged, loading);
    cluster_purge_rows_records(&t, d->records, load_record, note_damaged, loading);
    cluster_purge_rows_members(&t, d->heads, load_member, note_damaged, loading);
    lmdb_abort(&t);
    d->batch_text = t.err ? lmdb_error_text(&t) : NULL;
    return t.err;
}

static void raise_floor(struct cluster_purge_disk *d)
{
    uint64_t first = d->head.boot_no << BOOT_SHIFT;
    if (d->opened.corrupt && d->head.floors.soft < first)
        d->head.floors.soft = first;
}

/* Who pulls from here must not believe that it was superseded: it lies below the floor. */
static void give_up_record(struct cluster_purge_disk *d, struct lmdb_txn *t,
                           struct cluster_purge_id id)
{
    struct cluster_purge_stream row;
    cluster_purge_rows_del_record(t, d->records, id);
    if (!cluster_purge_rows_stream(t, d->streams, id.stream, &row) || row.floor_seq >= id.seq)
        return;
    row.floor_seq = id.seq;
    cluster_purge_rows_put_stream(t, d->streams, &row);
    cluster_purge_log_load_stream(d->log, &row);
}

/* The first write of a start: the boot number, and what the load found. */
static enum err begin_boot(struct cluster_purge_disk *d, const struct loading *loading,
                           uint64_t other_boot_no)
{
    struct lmdb_txn t;
    uint64_t boot_no = d->head.boot_no; /* 0 when it is lost */
    if (boot_no < other_boot_no)
        boot_no = other_boot_no;
    if (boot_no < loading->boot_no)
        boot_no = loading->boot_no;
    if (boot_no > BOOT_MAX)
        return ERR_LIMIT;
    if (d->opened.made_anew) {
        d->head.floors = (struct cluster_purge_floors){0};
        crypto_random(d->head.log_id, sizeof(d->head.log_id));
    }
    d->head.boot_no = boot_no + 1;
    raise_floor(d);
    lmdb_begin(&t, d->env, true);
    cluster_purge_rows_put_head(&t, d->heads, &d->head);
    if (d->opened.made_anew)
        cluster_purge_rows_put_swept(&t, d->heads, (struct cluster_purge_swept){0});
    for (uint64_t i = 0; i < d->opened.corrupt && i < DAMAGED_MAX; i++) {
        if (loading->damaged[i].seq)
            give_up_record(d, &t, loading->damaged[i]);
        else
            cluster_purge_rows_del_stream(&t, d->streams, loading->damaged[i].stream);
    }
    if (d->opened.corrupt)
        cluster_purge_rows_del_damaged_members(&t, d->heads);
    enum err err = lmdb_commit(&t);
    d->batch_text = err ? lmdb_error_text(&t) : NULL;
    return err;
}

static enum err open_and_load(struct cluster_purge_disk *d, uint64_t other_boot_no)
{
    struct loading *loading = must_alloc(sizeof(*loading));
    unsigned starts = read_marker(d);
    loading->d = d;
    write_marker(d, starts < STARTS_MAX ? starts + 1 : 1);
    enum err err = starts < STARTS_MAX ? open_env(d) : ERR_CORRUPT;
    if (err == ERR_OK)
        err = load(d, loading);
    if (err == ERR_CORRUPT) {
        cluster_purge_log_unload(d->log);
        d->opened.records = d->opened.corrupt = 0;
        err = set_aside(d);
        if (err == ERR_OK)
            err = open_env(d);
        d->opened.made_anew = true;
    }
    if (err == ERR_OK)
        err = begin_boot(d, loading, other_boot_no);
    write_marker(d, 0); /* this start did not die, however it went */
    free(loading);
    return err;
}

static uint64_t used_bytes(struct cluster_purge_disk *d)
{
    const struct lmdb_db dbs[] = {d->records, d->streams, d->heads};
    struct lmdb_pages pages;
    if (lmdb_pages(d->env, NULL, dbs, ARRAY_LEN(dbs), &pages))
        return 0;
    return pages.used * pages.page_bytes;
}

static void destroy(struct cluster_purge_disk *d)
{
    letter_crew_destroy(d->crew);
    lmdb_close(d->env);
    if (d->owner_fd >= 0)
        (void)close(d->owner_fd);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static void begin_thread(void *context)
{
    (void)context;
    counter_thread_init();
}

enum err cluster_purge_disk_open(const struct cluster_purge_disk_conf *conf,
                                 struct cluster_purge_log *log, struct cluster_purge_disk **out)
{
    static const struct cluster_purge_reader reader = {.one = read_record, .range = read_range};
    struct cluster_purge_disk *d = must_alloc(sizeof(*d));
    uint64_t max =
        conf->max_bytes < CLUSTER_PURGE_LOG_MIN ? CLUSTER_PURGE_LOG_MIN : conf->max_bytes;
    d->log = log;
    d->home = conf->home;
    d->written = conf->written;
    d->user = conf->user;
    d->owner_fd = -1;
    d->max_bytes = d->map_bytes = (max + MAP_STEP - 1) / MAP_STEP * MAP_STEP;
    must(pthread_mutex_init(&d->lock, NULL) == 0);
    enum err err = span_copy(span_text(conf->folder), d->folder, sizeof(d->folder));
    if (err == ERR_OK)
        err = take_folder(d);
    if (err == ERR_OK) {
        err = open_and_load(d, conf->other_boot_no);
        if (err != ERR_OK)
            log_line(LOG_ERROR, "purge_log_open", "folder=%s error=\"%s\" why=\"%s\"",
                     d->folder, err_text(err),
                     d->batch_text ? d->batch_text : lmdb_open_text());
    }
    if (err != ERR_OK) {
        destroy(d);
        return err;
    }
    memcpy(d->opened.log_id, d->head.log_id, sizeof(d->opened.log_id));
    d->opened.boot_no = d->head.boot_no;
    if (d->opened.corrupt) {
        counter_add(COUNTER_PURGE_LOG_ERRORS, d->opened.corrupt);
        log_line(LOG_ERROR, "purge_log_records_damaged",
                 "folder=%s count=%llu effect=\"the whole cache is revalidated once\"",
                 d->folder, (unsigned long long)d->opened.corrupt);
    }
    cluster_purge_log_loaded(log, d->head.floors, used_bytes(d), d->max_bytes);
    cluster_purge_log_set_reader(log, &reader, d);
    d->crew = letter_crew_create(&(struct letter_crew_conf){
        .name = "purge-log", .threads = conf->threads ? 1 : 0, .thread_begin = begin_thread});
    *out = d;
    return ERR_OK;
}

const struct cluster_purge_disk_opened *
cluster_purge_disk_opened(const struct cluster_purge_disk *d)
{
    return &d->opened;
}

enum err cluster_purge_disk_raise_boot(struct cluster_purge_disk *d, uint64_t boot_no)
{
    struct lmdb_txn t;
    must(!d->out);
    if (boot_no <= d->head.boot_no)
        return ERR_OK;
    if (boot_no > BOOT_MAX)
        return ERR_LIMIT;
    d->head.boot_no = boot_no;
    raise_floor(d);
    cluster_purge_log_load_floors(d->log, d->head.floors);
    lmdb_begin(&t, d->env, true);
    cluster_purge_rows_put_head(&t, d->heads, &d->head);
    enum err err = lmdb_commit(&t);
    if (err == ERR_OK)
        d->opened.boot_no = boot_no;
    else
        log_line(LOG_ERROR, "purge_log_boot_no", "folder=%s why=\"%s\"", d->folder,
                 lmdb_error_text(&t));
    return err;
}

enum err cluster_purge_disk_replay(struct cluster_purge_disk *d,
                                   void (*each)(void *user,
                                                const struct cluster_purge_record *r),
                                   void *user)
{
    struct cluster_purge_record floor = {.purge = {.kind = PURGE_ALL}};
    struct lmdb_txn t;
    struct cluster_purge_floors floors = cluster_purge_log_floors(d->log);
    floor.apply_no = floors.hard;
    floor.purge.mode = PURGE_HARD;
    if (floor.apply_no)
        each(user, &floor);
    floor.apply_no = floors.soft;
    floor.purge.mode = PURGE_SOFT;
    if (floor.apply_no)
        each(user, &floor);
    enum err err = ERR_SYS;
    pthread_mutex_lock(&d->lock); /* the writer may open the file anew */
    if (d->env) {
        lmdb_begin(&t, d->env, false);
        cluster_purge_rows_records(&t, d->records, each, NULL, user);
        lmdb_abort(&t);
        err = t.err;
    }
    pthread_mutex_unlock(&d->lock);
    return err;
}

/* --- write --- */

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static bool reopen(struct cluster_purge_disk *d)
{
    pthread_mutex_lock(&d->lock);
    lmdb_close(d->env);
    d->env = NULL;
    enum err err = open_env(d);
    pthread_mutex_unlock(&d->lock);
    d->broken = err != ERR_OK;
    return err == ERR_OK;
}

static void write_batch(struct cluster_purge_disk *d)
{
    const struct cluster_purge_batch *b = &d->batch;
    struct lmdb_txn t;
    if (d->broken && !reopen(d)) {
        d->batch_err = ERR_SYS;
        d->batch_text = lmdb_open_text();
        return;
    }
    struct cluster_purge_head before = d->head;
    lmdb_begin(&t, d->env, true);
    for (unsigned i = 0; i < b->stream_count; i++)
        cluster_purge_rows_put_stream(&t, d->streams, &b->streams[i]);
    for (unsigned i = 0; i < b->count; i++) {
        const struct cluster_purge_pending *p = b->records[i];
        if (p->kind == CLUSTER_PURGE_RECORD)
            cluster_purge_rows_put_record(&t, d->records, p);
        if (p->kind == CLUSTER_PURGE_MEMBER)
            cluster_purge_rows_put_member(&t, d->heads, span_of(p->value, p->bytes));
    }
    for (unsigned i = 0; i < b->drop_count; i++)
        cluster_purge_rows_del_record(&t, d->records, b->drops[i]);
    if (b->floors_changed) {
        d->head.floors.hard = larger(d->head.floors.hard, b->floors.hard);
        d->head.floors.soft = larger(d->head.floors.soft, b->floors.soft);
        cluster_purge_rows_put_head(&t, d->heads, &d->head);
    }
    if (b->swept_changed)
        cluster_purge_rows_put_swept(&t, d->heads, b->swept);
    d->batch_err = lmdb_commit(&t);
    d->batch_text = lmdb_error_text(&t);
    if (d->batch_err == ERR_OK) {
        d->batch_used = used_bytes(d);
        return;
    }
    d->head = before;
    /* A full map leaves the environment well; after anything else nobody knows. Nor does
     * anybody need to: the same records go in again, under the same keys. */
    d->broken = d->batch_err != ERR_LIMIT;
    if (d->batch_err != ERR_LIMIT)
        d->batch_err = ERR_SYS;
}

/* What a transaction frees can be used by the one after the next: when a large one left
 * nothing, the next finds no room, however small it is. A step more, and it goes on. False:
 * there were enough of them. */
static bool grow_map(struct cluster_purge_disk *d)
{
    if (d->map_bytes - d->max_bytes >= d->max_bytes / MAP_SPARE_PART)
        return false;
    d->map_bytes += MAP_STEP;
    d->broken = true;
    log_line(LOG_INFO, "purge_log_grown", "folder=%s bytes=%llu", d->folder,
             (unsigned long long)d->map_bytes);
    return true;
}

/* False: the map was full, and it is to be tried again: with less, or in a larger one. */
static bool settle(struct cluster_purge_disk *d)
{
    static struct log_limit limit;
    bool failed = d->batch_err != ERR_OK;
    if (d->batch_err == ERR_LIMIT &&
        (!cluster_purge_batch_is_smallest(&d->batch) || grow_map(d))) {
        cluster_purge_log_again(d->log, &d->batch);
        return false;
    }
    if (failed) {
        counter_add(COUNTER_PURGE_LOG_ERRORS, d->batch.count ? d->batch.count : 1);
        log_limited(&limit, 6, LOG_ERROR, "purge_log_write",
                    "records=%u why=\"%s\" effect=\"in memory only, answered 503\"",
                    d->batch.count, d->batch_text);
    } else if (d->failing) {
        log_line(LOG_INFO, "purge_log_recovered", "records=%u", d->batch.count);
    }
    if (!failed && d->batch.floors_changed && d->batch.drop_count > 0)
        log_limited(&limit, 6, LOG_WARN, "purge_log_full",
                    "max_bytes=%llu effect=\"older purges widen to everything at a restart\"",
                    (unsigned long long)d->max_bytes);
    d->failing = failed;
    cluster_purge_log_written(d->log, &d->batch, d->batch_err, d->batch_used);
    return true;
}

static void tell_written(struct cluster_purge_disk *d)
{
    if (d->written)
        d->written(d->user);
}

static void come_home(struct letter *l)
{
    struct cluster_purge_disk *d = CONTAINER_OF(l, struct cluster_purge_disk, letter);
    d->out = false;
    bool settled = settle(d);
    if (!d->closing)
        cluster_purge_disk_pump(d, d->now_s); /* the disk need not wait for the news */
    if (settled)
        tell_written(d);
}

static void write_out(struct letter *l)
{
    struct cluster_purge_disk *d = CONTAINER_OF(l, struct cluster_purge_disk, letter);
    write_batch(d);
    letter_post(d->home, l, come_home);
}

void cluster_purge_disk_pump(struct cluster_purge_disk *d, int64_t now_s)
{
    d->now_s = now_s;
    if (d->out || d->closing || !cluster_purge_log_take(d->log, now_s, &d->batch))
        return;
    d->out = true;
    letter_crew_post(d->crew, &d->letter, write_out);
}

unsigned cluster_purge_disk_run(struct cluster_purge_disk *d)
{
    return letter_crew_run_all(d->crew);
}

void cluster_purge_disk_close(struct cluster_purge_disk *d)
{
    if (!d)
        return;
    d->closing = true;
    letter_crew_destroy(d->crew);
    d->crew = NULL;
    if (d->out)
        (void)letter_open_all(d->home);
    must(!d->out);
    while (cluster_purge_log_take(d->log, d->now_s, &d->batch)) {
        write_batch(d);
        if (!settle(d))
            continue;
        tell_written(d);
        if (d->batch_err != ERR_OK)
            break;
    }
    cluster_purge_log_set_reader(d->log, NULL, NULL);
    destroy(d);
}
