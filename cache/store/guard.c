#include "cache/store/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/log.h"

#define FORMAT 1 /* another one: start empty */
#define READERS 256
#define DATABASES 3
#define BUS_EXIT 70 /* EX_SOFTWARE */

#define PENDING "pending"

/* For the signal handler, which can be given nothing: the newest map and its marker. */
static struct {
    atomic_uintptr_t from, to;
    atomic_int broken_fd;
    struct sigaction before;
    bool installed;
} bus;

/* From a signal's handler, or in the middle of a failure. */
static void mark_broken(int fd)
{
    if (write(fd, "1", 1) == 1)
        (void)fsync(fd);
}

static void on_damage(void *context)
{
    const struct store_guard *g = context;
    mark_broken(g->broken_fd);
}

static void on_bus(int number, siginfo_t *info, void *context)
{
    (void)context;
    uintptr_t at = (uintptr_t)info->si_addr;
    if (at >= atomic_load(&bus.from) && at < atomic_load(&bus.to)) {
        static const char text[] = "error event=store_bus the cache file cannot be read\n";
        mark_broken(atomic_load(&bus.broken_fd));
        (void)!write(STDERR_FILENO, text, sizeof text - 1);
        _exit(BUS_EXIT);
    }
    /* Not ours: whoever came before decides, when the faulting instruction runs again. */
    (void)sigaction(number, &bus.before, NULL);
}

static void watch_bus(struct store_guard *g)
{
    const void *from;
    size_t len;
    if (!lmdb_map_range(g->env, &from, &len))
        return;
    atomic_store(&bus.to, 0);
    atomic_store(&bus.broken_fd, g->broken_fd);
    atomic_store(&bus.from, (uintptr_t)from);
    atomic_store(&bus.to, (uintptr_t)from + len);
    if (bus.installed)
        return;
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = on_bus;
    bus.installed = sigaction(SIGBUS, &action, &bus.before) == 0;
}

static void unwatch_bus(const struct store_guard *g)
{
    if (atomic_load(&bus.broken_fd) == g->broken_fd)
        atomic_store(&bus.to, 0);
}

void store_guard_hear_bus(void)
{
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, SIGBUS);
    (void)pthread_sigmask(SIG_UNBLOCK, &only, NULL);
}

void store_guard_put_u64(uint8_t out[8], uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        out[i] = (uint8_t)(v >> (56 - 8 * i));
}

uint64_t store_guard_get_u64(const void *bytes)
{
    const uint8_t *b = bytes;
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++)
        v = v << 8 | b[i];
    return v;
}

struct store_guard_pending store_guard_pending_key(uint64_t body_id)
{
    struct store_guard_pending p;
    memcpy(p.bytes, PENDING, sizeof PENDING - 1);
    store_guard_put_u64(p.bytes + sizeof PENDING - 1, body_id);
    return p;
}

uint64_t store_guard_pending_body(struct span key)
{
    if (key.len != sizeof(struct store_guard_pending) || !span_starts(key, SPAN(PENDING)))
        return 0;
    return store_guard_get_u64(key.ptr + sizeof PENDING - 1);
}

/* Digits at the start of a small file; 0 without them. */
static unsigned read_count(const struct store_guard *g, const char *name)
{
    char text[16] = "";
    int fd = openat(g->folder_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 ? (unsigned)strtoul(text, NULL, 10) : 0;
}

static void write_count(const struct store_guard *g, const char *name, unsigned count)
{
    int fd = openat(g->folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return; /* a full disk costs the marker, not the start */
    if (dprintf(fd, "%u\n", count) > 0)
        (void)fsync(fd);
    close(fd);
    (void)fsync(g->folder_fd);
}

static void wipe(struct store_guard *g)
{
    (void)unlinkat(g->folder_fd, "data.mdb", 0);
    (void)unlinkat(g->folder_fd, "lock.mdb", 0);
    (void)fsync(g->folder_fd);
}

static struct span number(uint8_t room[8], uint64_t v)
{
    store_guard_put_u64(room, v);
    return span_of(room, 8);
}

/* Writes all of sys from what the struct holds. */
static enum err write_sys(struct store_guard *g)
{
    struct lmdb_txn t;
    uint8_t secret[16], room[8];
    store_guard_put_u64(secret, g->secret.k0);
    store_guard_put_u64(secret + 8, g->secret.k1);
    lmdb_begin(&t, g->env, true);
    lmdb_put(&t, g->sys, SPAN("secret"), span_of(secret, sizeof secret));
    lmdb_put(&t, g->sys, SPAN("store_id"), number(room, g->store_id));
    lmdb_put(&t, g->sys, SPAN("boot_no"), number(room, g->boot_no));
    lmdb_put(&t, g->sys, SPAN("log_id"), span_of(g->log_id, sizeof g->log_id));
    lmdb_put(&t, g->sys, SPAN("next_body_id"), number(room, g->next_body_id));
    lmdb_put(&t, g->sys, SPAN("format"), number(room, FORMAT));
    return lmdb_commit(&t);
}

static bool get_number(struct lmdb_txn *t, struct lmdb_db sys, struct span key, uint64_t *out)
{
    struct span v;
    if (!lmdb_get(t, sys, key, &v) || v.len != 8)
        return false;
    *out = store_guard_get_u64(v.ptr);
    return true;
}

/* ERR_NOT_FOUND: a new file. ERR_CORRUPT: another format, or something lacks. */
static enum err read_sys(struct store_guard *g)
{
    struct lmdb_txn t;
    struct lmdb_shape shape;
    struct span secret, log_id;
    uint64_t format;
    lmdb_begin(&t, g->env, false);
    lmdb_shape(&t, g->sys, &shape);
    bool all = get_number(&t, g->sys, SPAN("format"), &format) && format == FORMAT &&
               get_number(&t, g->sys, SPAN("store_id"), &g->store_id) &&
               get_number(&t, g->sys, SPAN("boot_no"), &g->boot_no) &&
               get_number(&t, g->sys, SPAN("next_body_id"), &g->next_body_id) &&
               g->next_body_id > 0 && lmdb_get(&t, g->sys, SPAN("secret"), &secret) &&
               secret.len == 16 && lmdb_get(&t, g->sys, SPAN("log_id"), &log_id) &&
               log_id.len == sizeof g->log_id;
    if (all) {
        g->secret.k0 = store_guard_get_u64(secret.ptr);
        g->secret.k1 = store_guard_get_u64(secret.ptr + 8);
        memcpy(g->log_id, log_id.ptr, sizeof g->log_id);
    }
    lmdb_abort(&t);
    if (t.err != ERR_OK)
        return t.err;
    if (all)
        return ERR_OK;
    return shape.entries == 0 ? ERR_NOT_FOUND : ERR_CORRUPT;
}

static void close_env(struct store_guard *g)
{
    unwatch_bus(g);
    lmdb_close(g->env);
    g->env = NULL;
}

static enum err open_env(struct store_guard *g)
{
    enum err err = lmdb_open(&(struct lmdb_conf){.path = g->path,
                                                 .map_bytes = g->map_bytes,
                                                 .dbs = DATABASES,
                                                 .readers = READERS,
                                                 .no_readahead = true,
                                                 .damaged = on_damage,
                                                 .context = g},
                             &g->env);
    if (err != ERR_OK) {
        g->env = NULL;
        return err;
    }
    g->found_txnid = lmdb_txnid(g->env);
    watch_bus(g);
    if ((err = lmdb_db_open(g->env, "meta", false, &g->meta)) != ERR_OK ||
        (err = lmdb_db_open(g->env, "body", true, &g->body)) != ERR_OK ||
        (err = lmdb_db_open(g->env, "sys", false, &g->sys)) != ERR_OK) {
        close_env(g);
        return err;
    }
    return ERR_OK;
}

/* A new, empty environment with the numbers that the struct holds. */
static enum err open_empty(struct store_guard *g)
{
    wipe(g);
    enum err err = open_env(g);
    g->store_id = crypto_random_u64();
    if (err == ERR_OK && (err = write_sys(g)) != ERR_OK)
        close_env(g);
    if (err != ERR_OK)
        log_line(LOG_ERROR, "store_open", "path=%s result=failed why=\"%s: %s\"", g->path,
                 err_text(err), lmdb_open_text());
    return err;
}

static void draw_numbers(struct store_guard *g)
{
    crypto_random(&g->secret, sizeof g->secret);
    g->boot_no = 0;
    g->next_body_id = 1;
    memset(g->log_id, 0, sizeof g->log_id);
}

/* May the contents be used? Counts this start in the marker. */
static bool trusted(struct store_guard *g)
{
    unsigned starts = read_count(g, "opening"), broken = read_count(g, "broken");
    if (broken > 0)
        log_line(LOG_ERROR, "store_wiped", "path=%s why=\"the file could not be read\"",
                 g->path);
    else if (starts >= STORE_GUARD_STARTS)
        log_line(LOG_ERROR, "store_wiped", "path=%s why=\"%u starts died while scanning\"",
                 g->path, starts);
    bool good = broken == 0 && starts < STORE_GUARD_STARTS;
    write_count(g, "opening", good ? starts + 1 : 1);
    g->opening = true;
    return good;
}

static enum err lock_folder(struct store_guard *g)
{
    if (mkdir(g->path, 0700) && errno != EEXIST)
        goto fail;
    g->folder_fd = open(g->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (g->folder_fd < 0)
        goto fail;
    g->lock_fd = openat(g->folder_fd, "LOCK", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (g->lock_fd < 0)
        goto fail;
    if (flock(g->lock_fd, LOCK_EX | LOCK_NB)) {
        if (errno != EWOULDBLOCK)
            goto fail;
        log_line(LOG_ERROR, "store_open",
                 "path=%s result=refused why=\"another process uses this folder\"", g->path);
        return ERR_REFUSED;
    }
    return ERR_OK;
fail:
    log_line(LOG_ERROR, "store_open", "path=%s result=failed why=\"%s\"", g->path,
             strerror(errno));
    return ERR_SYS;
}

enum err store_guard_open(struct store_guard *g, const char *path, uint64_t map_bytes)
{
    *g = (struct store_guard){
        .map_bytes = map_bytes, .folder_fd = -1, .lock_fd = -1, .broken_fd = -1};
    g->path = span_dup(span_text(path));
    enum err err = lock_folder(g);
    if (err != ERR_OK) {
        store_guard_close(g);
        return err;
    }
    bool good = trusted(g);
    g->broken_fd =
        openat(g->folder_fd, "broken", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    draw_numbers(g);
    if (!good) {
        err = open_empty(g);
    } else if ((err = open_env(g)) == ERR_OK && (err = read_sys(g)) != ERR_OK) {
        close_env(g);
    }
    if (good && (err == ERR_CORRUPT || err == ERR_NOT_FOUND)) {
        if (err == ERR_CORRUPT)
            log_line(LOG_ERROR, "store_wiped", "path=%s why=\"damaged or of another format\"",
                     path);
        draw_numbers(g);
        err = open_empty(g);
    } else if (good && err != ERR_OK) {
        log_line(LOG_ERROR, "store_open", "path=%s result=failed why=\"%s: %s\"", path,
                 err_text(err), lmdb_open_text());
    }
    if (err != ERR_OK)
        store_guard_close(g);
    return err;
}

void store_guard_scanned(struct store_guard *g)
{
    if (!g->opening)
        return;
    (void)unlinkat(g->folder_fd, "opening", 0);
    g->opening = false;
}

enum err store_guard_set_numbers(struct store_guard *g, uint64_t boot_no,
                                 const uint8_t log_id[16])
{
    struct lmdb_txn t;
    uint8_t room[8];
    g->boot_no = boot_no;
    memcpy(g->log_id, log_id, sizeof g->log_id);
    if (!g->env)
        return ERR_CLOSED;
    lmdb_begin(&t, g->env, true);
    lmdb_put(&t, g->sys, SPAN("boot_no"), number(room, boot_no));
    lmdb_put(&t, g->sys, SPAN("log_id"), span_of(log_id, sizeof g->log_id));
    return lmdb_commit(&t);
}

enum err store_guard_reopen(struct store_guard *g, bool wiping)
{
    close_env(g);
    if (wiping)
        return open_empty(g);
    /* The numbers stay as they are: the index above knows keys by the secret. */
    enum err err = open_env(g);
    if (err != ERR_OK)
        log_line(LOG_ERROR, "store_open", "path=%s result=failed why=\"%s: %s\"", g->path,
                 err_text(err), lmdb_open_text());
    return err;
}

void store_guard_close(struct store_guard *g)
{
    if (!g->path)
        return;
    if (g->env)
        close_env(g);
    store_guard_scanned(g); /* this start did not die, however it went */
    if (g->broken_fd >= 0)
        close(g->broken_fd);
    if (g->lock_fd >= 0)
        close(g->lock_fd);
    if (g->folder_fd >= 0)
        close(g->folder_fd);
    free(g->path);
    *g = (struct store_guard){0};
}
