#include "base/lmdb.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FREE_DB 0 /* LMDB's own list of free pages */
#define META_PAGES 2
#define PATH_ROOM 4096

struct lmdb {
    MDB_env *env;
    uint64_t map_bytes; /* as asked for; the file may be larger already */
    uint32_t page_bytes;
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

static enum err preallocate(const struct lmdb_conf *conf)
{
    char path[PATH_ROOM];
    int n = snprintf(path, sizeof path, "%s/data.mdb", conf->path);
    if (n < 0 || (size_t)n >= sizeof path) {
        open_code = ENAMETOOLONG;
        return ERR_SYS;
    }
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        open_code = errno;
        return ERR_SYS;
    }
    /* Only the disk's promise is wanted: LMDB judges a file by its pages, not its length. */
    int code = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)conf->map_bytes) ? errno : 0;
    if (code == EOPNOTSUPP)
        code = posix_fallocate(fd, 0, (off_t)conf->map_bytes);
    close(fd);
    open_code = code;
    return translate(code);
}

enum err lmdb_open(const struct lmdb_conf *conf, struct lmdb **out)
{
    struct lmdb *env = must_alloc(sizeof *env);
    unsigned flags = MDB_NOTLS | (conf->no_readahead ? MDB_NORDAHEAD : 0);
    mode_t mode = conf->mode ? conf->mode : 0600;
    int code = mdb_env_create(&env->env);
    must(code == 0);
    if ((code = mdb_env_set_mapsize(env->env, conf->map_bytes)) ||
        (code = mdb_env_set_maxdbs(env->env, conf->dbs)) ||
        (conf->readers && (code = mdb_env_set_maxreaders(env->env, conf->readers))) ||
        (code = mdb_env_open(env->env, conf->path, flags, mode)))
        goto fail;
    MDB_stat stat;
    if ((code = mdb_env_stat(env->env, &stat)))
        goto fail;
    env->page_bytes = stat.ms_psize;
    env->map_bytes = conf->map_bytes;
    if (conf->preallocate && preallocate(conf) != ERR_OK) {
        code = open_code;
        goto fail;
    }
    *out = env;
    return ERR_OK;
fail:
    mdb_env_close(env->env);
    free(env);
    open_code = code;
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
