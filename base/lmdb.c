#include "base/lmdb.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FREE_DB 0 /* LMDB's own list of free pages */
#define META_PAGES 2
#define PATH_ROOM 4096

#define READERS_DEFAULT 126  /* the library's */
#define LOCK_HEAD_BYTES 8192 /* more than its lock file has before the readers' slots */
#define LOCK_SLOT_BYTES 64

struct lmdb {
    MDB_env *env;
    uint64_t map_bytes;  /* as asked for; the file may be larger already */
    uint64_t file_bytes; /* at least so long; by whoever has the write transaction */
    uint32_t page_bytes;
    void (*damaged)(void *context);
    void *context;
};

static _Thread_local int open_code;

/* The one place where the library's codes become ours. */
static enum err translate(int code)
{
    switch (code) {
    case MDB_SUCCESS:
        return ERR_OK;
    case MDB_NOTFOUND:
        return ERR_NOT_FOUND;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case MDB_READERS_FULL:
    case MDB_DBS_FULL:
    case MDB_CURSOR_FULL:
        return ERR_LIMIT;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_PAGE_FULL:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
        return ERR_CORRUPT;
    case MDB_PANIC:
        return ERR_CLOSED;
    case MDB_KEYEXIST:
    case MDB_MAP_RESIZED:
    case MDB_BAD_RSLOT:
    case MDB_BAD_TXN:
    case MDB_BAD_VALSIZE:
    case MDB_BAD_DBI:
        return ERR_LIB;
    default: /* errno; LMDB turns a short write on a full disk into EIO */
        return code > 0 ? ERR_SYS : ERR_LIB;
    }
}

static MDB_val val_of(struct span s)
{
    /* LMDB does not write through the pointers it is given. */
    union {
        const char *in;
        void *out;
    } ptr = {.in = s.ptr};
    return (MDB_val){.mv_size = s.len, .mv_data = ptr.out};
}

static struct span span_of_val(const MDB_val *v)
{
    return span_of(v->mv_data, v->mv_size);
}

/* The disk's promise of room for a file's first bytes; its length stays. Returns errno. */
static int reserve(const struct lmdb_conf *conf, const char *name, uint64_t bytes)
{
    char path[PATH_ROOM];
    int n = snprintf(path, sizeof path, "%s/%s", conf->path, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return ENAMETOOLONG;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, conf->mode ? conf->mode : 0600);
    if (fd < 0)
        return errno;
    int code = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) ? errno : 0;
    if (code == EOPNOTSUPP)
        code = posix_fallocate(fd, 0, (off_t)bytes);
    close(fd);
    return code;
}

/* The library writes to its lock file through a map: on a full disk that would be SIGBUS. */
static int reserve_lock(const struct lmdb_conf *conf)
{
    unsigned readers = conf->readers ? conf->readers : READERS_DEFAULT;
    return reserve(conf, "lock.mdb", LOCK_HEAD_BYTES + (uint64_t)readers * LOCK_SLOT_BYTES);
}

static uint64_t file_bytes(const struct lmdb *env)
{
    struct stat st;
    int fd;
    return mdb_env_get_fd(env->env, &fd) == 0 && fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static uint64_t pages_bytes(const struct lmdb *env)
{
    MDB_envinfo info;
    return mdb_env_info(env->env, &info) ? 0 : (info.me_last_pgno + 1) * env->page_bytes;
}

/* A page that is given and taken back in one transaction is never written, so that the file may
 * end before its last page. It is made as long as it should be, to know one that was cut. */
static void cover_pages(struct lmdb *env)
{
    uint64_t wanted = pages_bytes(env);
    int fd;
    if (wanted <= env->file_bytes)
        return;
    env->file_bytes = file_bytes(env);
    if (env->file_bytes < wanted && mdb_env_get_fd(env->env, &fd) == 0 &&
        ftruncate(fd, (off_t)wanted) == 0)
        env->file_bytes = wanted;
}

static void on_assert(MDB_env *handle, const char *text)
{
    const struct lmdb *env = mdb_env_get_userctx(handle);
    (void)text; /* the library prints it and aborts */
    if (env->damaged)
        env->damaged(env->context);
}

static int open_env(struct lmdb *env, const struct lmdb_conf *conf)
{
    unsigned flags = MDB_NOTLS | (conf->no_readahead ? MDB_NORDAHEAD : 0);
    mode_t mode = conf->mode ? conf->mode : 0600;
    MDB_stat stat;
    int code;
    if ((code = mdb_env_set_userctx(env->env, env)) ||
        (code = mdb_env_set_assert(env->env, on_assert)) ||
        (code = mdb_env_set_mapsize(env->env, conf->map_bytes)) ||
        (code = mdb_env_set_maxdbs(env->env, conf->dbs)) ||
        (conf->readers && (code = mdb_env_set_maxreaders(env->env, conf->readers))) ||
        (code = reserve_lock(conf)) ||
        (code = mdb_env_open(env->env, conf->path, flags, mode)) ||
        (code = mdb_env_stat(env->env, &stat)))
        return code;
    env->page_bytes = stat.ms_psize;
    env->file_bytes = file_bytes(env);
    if (env->file_bytes < pages_bytes(env))
        return MDB_CORRUPTED;
    return conf->preallocate ? reserve(conf, "data.mdb", conf->map_bytes) : 0;
}

enum err lmdb_open(const struct lmdb_conf *conf, struct lmdb **out)
{
    struct lmdb *env = must_alloc(sizeof *env);
    *env = (struct lmdb){
        .map_bytes = conf->map_bytes, .damaged = conf->damaged, .context = conf->context};
    must(mdb_env_create(&env->env) == 0);
    open_code = open_env(env, conf);
    if (open_code == 0) {
        *out = env;
        return ERR_OK;
    }
    int code = open_code;
    mdb_env_close(env->env);
    free(env);
    /* ENOENT and the like of a folder are the system's; a file that is too short to hold a
     * header reads as invalid. */
    return translate(code);
}

void lmdb_close(struct lmdb *env)
{
    if (!env)
        return;
    mdb_env_close(env->env);
    free(env);
}

const char *lmdb_open_text(void)
{
    return mdb_strerror(open_code);
}

enum err lmdb_db_open(struct lmdb *env, const char *name, bool integer_keys,
                      struct lmdb_db *out)
{
    MDB_txn *txn;
    MDB_dbi id;
    unsigned flags = integer_keys ? MDB_INTEGERKEY : 0;
    int code = mdb_txn_begin(env->env, NULL, 0, &txn);
    if (code == 0) {
        code = mdb_dbi_open(txn, name, flags, &id);
        if (code == MDB_NOTFOUND)
            code = mdb_dbi_open(txn, name, flags | MDB_CREATE, &id);
        if (code)
            mdb_txn_abort(txn);
        else
            code = mdb_txn_commit(txn);
    }
    open_code = code;
    if (code)
        return translate(code);
    cover_pages(env);
    out->id = id;
    return ERR_OK;
}

static bool fail(struct lmdb_txn *t, int code)
{
    if (code && t->err == ERR_OK) {
        t->err = translate(code);
        t->code = code;
    }
    return code != 0;
}

void lmdb_begin(struct lmdb_txn *t, struct lmdb *env, bool write)
{
    *t = (struct lmdb_txn){.env = env, .write = write};
    if (fail(t, mdb_txn_begin(env->env, NULL, write ? 0 : MDB_RDONLY, &t->handle)))
        t->handle = NULL;
}

enum err lmdb_commit(struct lmdb_txn *t)
{
    if (t->err != ERR_OK) {
        lmdb_abort(t);
        return t->err;
    }
    must(t->handle);
    fail(t, mdb_txn_commit(t->handle)); /* frees the handle, also when it fails */
    t->handle = NULL;
    if (t->write && t->err == ERR_OK)
        cover_pages(t->env);
    return t->err;
}

void lmdb_abort(struct lmdb_txn *t)
{
    if (t->handle)
        mdb_txn_abort(t->handle);
    t->handle = NULL;
}

void lmdb_reset(struct lmdb_txn *t)
{
    if (t->handle)
        mdb_txn_reset(t->handle);
}

void lmdb_renew(struct lmdb_txn *t)
{
    must(t->handle && !t->write);
    t->err = ERR_OK;
    t->code = 0;
    fail(t, mdb_txn_renew(t->handle));
}

const char *lmdb_error_text(const struct lmdb_txn *t)
{
    return mdb_strerror(t->code);
}

bool lmdb_get(struct lmdb_txn *t, struct lmdb_db db, struct span key, struct span *out_value)
{
    if (t->err != ERR_OK)
        return false;
    MDB_val k = val_of(key), v;
    int code = mdb_get(t->handle, db.id, &k, &v);
    if (code == MDB_NOTFOUND || fail(t, code))
        return false;
    *out_value = span_of_val(&v);
    return true;
}

static int put(struct lmdb_txn *t, struct lmdb_db db, struct span key, MDB_val *v,
               unsigned flags)
{
    must(v->mv_size <= lmdb_value_max(t->env)); /* one page; see the header */
    MDB_val k = val_of(key);
    return mdb_put(t->handle, db.id, &k, v, flags);
}

void lmdb_put(struct lmdb_txn *t, struct lmdb_db db, struct span key, struct span value)
{
    MDB_val v = val_of(value);
    if (t->err == ERR_OK)
        fail(t, put(t, db, key, &v, 0));
}

void lmdb_append(struct lmdb_txn *t, struct lmdb_db db, struct span key, struct span value)
{
    MDB_val v = val_of(value);
    if (t->err == ERR_OK)
        fail(t, put(t, db, key, &v, MDB_APPEND));
}

bool lmdb_put_new(struct lmdb_txn *t, struct lmdb_db db, struct span key, struct span value,
                  struct span *out_present)
{
    if (t->err != ERR_OK)
        return false;
    MDB_val v = val_of(value);
    int code = put(t, db, key, &v, MDB_NOOVERWRITE);
    if (code == MDB_KEYEXIST) {
        *out_present = span_of_val(&v);
        return false;
    }
    return !fail(t, code);
}

bool lmdb_del(struct lmdb_txn *t, struct lmdb_db db, struct span key)
{
    if (t->err != ERR_OK)
        return false;
    MDB_val k = val_of(key);
    int code = mdb_del(t->handle, db.id, &k, NULL);
    return code != MDB_NOTFOUND && !fail(t, code);
}

void lmdb_cursor_open(struct lmdb_cursor *c, struct lmdb_txn *t, struct lmdb_db db)
{
    *c = (struct lmdb_cursor){.txn = t};
    if (t->err == ERR_OK && fail(t, mdb_cursor_open(t->handle, db.id, &c->handle)))
        c->handle = NULL;
}

void lmdb_cursor_close(struct lmdb_cursor *c)
{
    if (c->handle)
        mdb_cursor_close(c->handle);
    c->handle = NULL;
}

static bool move(struct lmdb_cursor *c, struct span key, MDB_cursor_op op)
{
    if (c->txn->err != ERR_OK)
        return false;
    MDB_val k = val_of(key), v;
    int code = mdb_cursor_get(c->handle, &k, &v, op);
    if (code == MDB_NOTFOUND || fail(c->txn, code))
        return false;
    c->key = span_of_val(&k);
    c->value = span_of_val(&v);
    return true;
}

bool lmdb_cursor_seek(struct lmdb_cursor *c, struct span key)
{
    return move(c, key, MDB_SET_RANGE);
}

bool lmdb_cursor_find(struct lmdb_cursor *c, struct span key)
{
    return move(c, key, MDB_SET_KEY);
}

bool lmdb_cursor_last(struct lmdb_cursor *c)
{
    return move(c, (struct span){0}, MDB_LAST);
}

bool lmdb_cursor_next(struct lmdb_cursor *c)
{
    return move(c, (struct span){0}, MDB_NEXT);
}

void lmdb_cursor_del(struct lmdb_cursor *c)
{
    if (c->txn->err == ERR_OK)
        fail(c->txn, mdb_cursor_del(c->handle, 0));
}

enum err lmdb_pages(struct lmdb *env, struct lmdb_txn *t, const struct lmdb_db *dbs,
                    unsigned count, struct lmdb_pages *out)
{
    struct lmdb_txn own = {0};
    if (!t) {
        lmdb_begin(&own, env, false);
        t = &own;
    }
    MDB_envinfo info;
    uint64_t used = META_PAGES;
    bool ok = t->err == ERR_OK && !fail(t, mdb_env_info(env->env, &info));
    for (unsigned i = 0; ok && i <= count; i++) {
        MDB_stat s;
        ok = !fail(t, mdb_stat(t->handle, i < count ? dbs[i].id : FREE_DB, &s));
        if (ok)
            used += s.ms_branch_pages + s.ms_leaf_pages + s.ms_overflow_pages;
    }
    if (ok)
        *out = (struct lmdb_pages){.used = used,
                                   .last = info.me_last_pgno + 1,
                                   .max = env->map_bytes / env->page_bytes,
                                   .page_bytes = env->page_bytes};
    enum err err = t->err;
    lmdb_abort(&own);
    return err;
}

void lmdb_shape(struct lmdb_txn *t, struct lmdb_db db, struct lmdb_shape *out)
{
    MDB_stat s;
    *out = (struct lmdb_shape){0};
    if (t->err == ERR_OK && !fail(t, mdb_stat(t->handle, db.id, &s)))
        *out = (struct lmdb_shape){.entries = s.ms_entries,
                                   .leaves = s.ms_leaf_pages,
                                   .branches = s.ms_branch_pages,
                                   .overflows = s.ms_overflow_pages,
                                   .depth = s.ms_depth};
}

uint64_t lmdb_freed_by(struct lmdb_txn *t, uint64_t txnid)
{
    must(!t->write); /* the library shows its free list to read transactions only */
    size_t key = (size_t)txnid, count = 0;
    struct lmdb_cursor c;
    lmdb_cursor_open(&c, t, (struct lmdb_db){FREE_DB});
    /* transaction number -> how many pages, then the pages */
    if (lmdb_cursor_find(&c, span_of(&key, sizeof key)) && c.value.len >= sizeof count)
        memcpy(&count, c.value.ptr, sizeof count);
    lmdb_cursor_close(&c);
    return count;
}

uint32_t lmdb_page_bytes(const struct lmdb *env)
{
    return env->page_bytes;
}

uint64_t lmdb_txnid(const struct lmdb *env)
{
    MDB_envinfo info;
    return mdb_env_info(env->env, &info) ? 0 : info.me_last_txnid;
}

void lmdb_reader_check(struct lmdb *env)
{
    int dead;
    (void)mdb_reader_check(env->env, &dead);
}

bool lmdb_map_range(struct lmdb *env, const void **out_from, size_t *out_len)
{
    /* mdb_env_info tells the address only of a fixed map, so it is looked up by the file. */
    char line[PATH_ROOM + 128], wanted[PATH_ROOM];
    const char *path = NULL;
    if (mdb_env_get_path(env->env, &path) || !path)
        return false;
    char *full = realpath(path, NULL);
    if (!full)
        return false;
    int n = snprintf(wanted, sizeof wanted, "%s/data.mdb\n", full);
    free(full);
    FILE *maps = n > 0 && (size_t)n < sizeof wanted ? fopen("/proc/self/maps", "re") : NULL;
    if (!maps)
        return false;
    bool found = false;
    while (!found && fgets(line, sizeof line, maps)) {
        size_t len = strlen(line);
        unsigned long from, to;
        if (len < (size_t)n || strcmp(line + len - (size_t)n, wanted) != 0 ||
            sscanf(line, "%lx-%lx", &from, &to) != 2)
            continue;
        *out_from = (const void *)from; /* NOLINT(performance-no-int-to-ptr): an address */
        *out_len = to - from;
        found = true;
    }
    fclose(maps);
    return found;
}
