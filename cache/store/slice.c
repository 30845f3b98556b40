#include "cache/store/slice.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define CHUNK_BITS 22 /* body_id << 22 | chunk */

int64_t store_slice_clock_ms(void)
{
    struct timespec t;
    must(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + 1;
}

void store_slice_init(struct store_slices *s, struct store_guard *guard)
{
    pthread_rwlockattr_t attr;
    *s = (struct store_slices){.guard = guard};
    must(pthread_rwlockattr_init(&attr) == 0);
    /* else readers that come and go keep the writer out for ever */
    must(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) ==
         0);
    must(pthread_rwlock_init(&s->env_lock, &attr) == 0);
    must(pthread_mutex_init(&s->slot_lock, NULL) == 0);
    (void)pthread_rwlockattr_destroy(&attr);
}

void store_slice_fini(struct store_slices *s)
{
    store_slice_shut(s);
    store_slice_open(s);
    (void)pthread_rwlock_destroy(&s->env_lock);
    (void)pthread_mutex_destroy(&s->slot_lock);
}

void store_slice_shut(struct store_slices *s)
{
    must(pthread_rwlock_wrlock(&s->env_lock) == 0);
    for (unsigned i = 0; i < STORE_READERS; i++)
        lmdb_abort(&s->slot[i].txn);
}

void store_slice_open(struct store_slices *s)
{
    must(pthread_rwlock_unlock(&s->env_lock) == 0);
}

uint64_t store_slice_oldest_ms(const struct store_slices *s)
{
    int64_t now = store_slice_clock_ms(), oldest = 0;
    for (unsigned i = 0; i < STORE_READERS; i++) {
        int64_t since = atomic_load(&s->slot[i].since_ms);
        if (since > 0 && now - since > oldest)
            oldest = now - since;
    }
    return (uint64_t)oldest;
}

static struct store_slot *take_slot(struct store_slices *s)
{
    struct store_slot *found = NULL;
    must(pthread_mutex_lock(&s->slot_lock) == 0);
    for (unsigned i = 0; !found && i < STORE_READERS; i++)
        if (!s->slot[i].used)
            found = &s->slot[i];
    if (found)
        found->used = true;
    must(pthread_mutex_unlock(&s->slot_lock) == 0);
    return found;
}

static void give_slot(struct store_slices *s, struct store_slot *slot)
{
    must(pthread_mutex_lock(&s->slot_lock) == 0);
    slot->used = false;
    must(pthread_mutex_unlock(&s->slot_lock) == 0);
}

struct store_slot *store_slice_begin(struct store_slices *s, enum err *out_err)
{
    must(pthread_rwlock_rdlock(&s->env_lock) == 0);
    struct store_slot *slot = s->guard->env ? take_slot(s) : NULL;
    if (!slot) {
        *out_err = s->guard->env ? ERR_LIMIT : ERR_CLOSED;
        must(pthread_rwlock_unlock(&s->env_lock) == 0);
        return NULL;
    }
    *out_err = ERR_OK;
    atomic_store(&slot->since_ms, store_slice_clock_ms());
    if (slot->txn.handle)
        lmdb_renew(&slot->txn);
    else
        lmdb_begin(&slot->txn, s->guard->env, false);
    if (slot->txn.err != ERR_OK) {
        *out_err = slot->txn.err;
        lmdb_abort(&slot->txn);
        store_slice_end(s, slot);
        return NULL;
    }
    return slot;
}

void store_slice_end(struct store_slices *s, struct store_slot *slot)
{
    lmdb_reset(&slot->txn);
    atomic_store(&slot->since_ms, 0);
    give_slot(s, slot);
    must(pthread_rwlock_unlock(&s->env_lock) == 0);
}

/* Asks the kernel for the pages of all chunks; neighbours in one call. */
static void prefetch(const struct span *chunk, unsigned count, size_t page)
{
    uintptr_t from = 0, to = 0;
    for (unsigned i = 0; i <= count; i++) {
        uintptr_t at = i < count ? (uintptr_t)chunk[i].ptr & ~(page - 1) : 0;
        if (i < count && at == to) {
            to = at + page;
            continue;
        }
        if (to > from) /* NOLINTNEXTLINE(performance-no-int-to-ptr): rounded to a page */
            (void)madvise((void *)from, to - from, MADV_WILLNEED);
        from = at;
        to = at + page;
    }
}

#define CHUNKS_MAX 80 /* of one slice: 256 KiB / 4080, and both ends */

/* Up to `count` chunks from `first` on, each of the length that its place demands. */
static enum err find_chunks(struct lmdb_txn *t, struct lmdb_db db, const struct store_rep *rep,
                            uint64_t first, unsigned count, size_t chunk_bytes,
                            struct span *out)
{
    struct lmdb_cursor c;
    enum err err = ERR_OK;
    lmdb_cursor_open(&c, t, db);
    for (unsigned i = 0; i < count && err == ERR_OK; i++) {
        uint64_t key = rep->body_id << CHUNK_BITS | (first + i), found = 0;
        uint64_t left = rep->bytes - (first + i) * chunk_bytes;
        bool here =
            i == 0 ? lmdb_cursor_find(&c, span_of(&key, sizeof key)) : lmdb_cursor_next(&c);
        if (here && c.key.len == sizeof found)
            memcpy(&found, c.key.ptr, sizeof found);
        if (!here || found != key)
            err = t->err != ERR_OK ? t->err : ERR_NOT_FOUND;
        else if (c.value.len != (left < chunk_bytes ? left : chunk_bytes))
            err = ERR_CORRUPT;
        else
            out[i] = c.value;
    }
    lmdb_cursor_close(&c);
    return err;
}

enum err store_slice_body(struct store_slices *s, struct lmdb_txn *t,
                          const struct store_rep *rep, uint64_t at, char *out, size_t room,
                          size_t *out_got)
{
    struct span chunk[CHUNKS_MAX];
    size_t page = lmdb_page_bytes(s->guard->env), chunk_bytes = lmdb_value_max(s->guard->env);
    *out_got = 0;
    if (at > rep->bytes)
        return ERR_LIMIT;
    if (room > STORE_SLICE_MAX)
        room = STORE_SLICE_MAX;
    if (room > rep->bytes - at)
        room = (size_t)(rep->bytes - at);
    if (room == 0)
        return ERR_OK;
    uint64_t first = at / chunk_bytes, last = (at + room - 1) / chunk_bytes;
    if (last - first + 1 > CHUNKS_MAX)
        last = first + CHUNKS_MAX - 1; /* pages below 4 KiB; the caller asks again */
    unsigned count = (unsigned)(last - first + 1);
    enum err err = find_chunks(t, s->guard->body, rep, first, count, chunk_bytes, chunk);
    if (err != ERR_OK)
        return err;
    if (count > 1)
        prefetch(chunk, count, page);
    size_t got = 0, skip = (size_t)(at - first * chunk_bytes);
    for (unsigned i = 0; i < count && got < room; i++) {
        struct span part = span_from(chunk[i], skip);
        if (part.len > room - got)
            part.len = room - got;
        memcpy(out + got, part.ptr, part.len);
        got += part.len;
        skip = 0;
    }
    *out_got = got;
    return ERR_OK;
}

enum err store_slice_far(struct store_slices *s, struct lmdb_txn *t, uint64_t far_id,
                         size_t bytes, char *out)
{
    struct store_rep rep = {.body_id = far_id, .bytes = bytes};
    for (size_t at = 0, got; at < bytes; at += got) {
        enum err err = store_slice_body(s, t, &rep, at, out + at, bytes - at, &got);
        if (err != ERR_OK)
            return err == ERR_NOT_FOUND ? ERR_CORRUPT : err; /* a record without its block */
    }
    return ERR_OK;
}

enum err store_slice_check(struct store_check *c, const struct store_rep *rep, uint64_t at,
                           struct span bytes)
{
    if (c->off)
        return ERR_OK;
    if (at != c->next) {
        c->off = true; /* a range, or a second reading: nothing to compare with */
        return ERR_OK;
    }
    c->next += bytes.len;
    if (at == 0 && bytes.len == rep->bytes) {
        c->off = true;
        return hash_xxh3(bytes) == rep->xxh3 ? ERR_OK : ERR_CORRUPT;
    }
    if (!c->hash)
        c->hash = hash_stream_create();
    hash_stream_add(c->hash, bytes);
    if (c->next < rep->bytes)
        return ERR_OK;
    c->off = true;
    return hash_stream_value(c->hash) == rep->xxh3 ? ERR_OK : ERR_CORRUPT;
}

void store_check_fini(struct store_check *c)
{
    hash_stream_destroy(c->hash);
    *c = (struct store_check){0};
}
