#include "cache/memory/warm.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/log.h"
#include "cache/memory/evict.h"
#include "cache/memory/index.h"
#include "cache/memory/tier.h"
#include "cache/store/store.h"

#define MAGIC UINT64_C(0x5045524947454532) /* "PERIGEE2" */
#define HEAD_BYTES 32u                     /* magic, store_id, txnid, entries */
#define ENTRY_BYTES                                                                            \
    34u /* kind, forms, key, body_id, pages, dead minutes; of VARY: names in the end           \
         */
#define NAMES_MAX 4096u
#define WALK_STEP 5000u

/* The file, with everything that went through it hashed; the hash is its last 8 bytes. */
struct file {
    FILE *f;
    struct hash_stream *hash;
    bool bad;
};

static bool open_file(const struct memory_tier *t, const char *suffix, const char *mode,
                      struct file *out)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/index%s", store_path(t->store), suffix);
    *out = (struct file){0};
    if (n < 0 || (size_t)n >= sizeof(path))
        return false;
    out->f = fopen(path, mode);
    if (!out->f)
        return false;
    out->hash = hash_stream_create();
    return true;
}

static void close_file(struct file *f)
{
    if (f->f && fclose(f->f) != 0)
        f->bad = true;
    hash_stream_destroy(f->hash);
    f->f = NULL;
    f->hash = NULL;
}

static void put(struct file *f, const void *bytes, size_t len)
{
    if (fwrite(bytes, 1, len, f->f) != len)
        f->bad = true;
    hash_stream_add(f->hash, span_of(bytes, len));
}

static bool get(struct file *f, void *bytes, size_t len)
{
    if (f->bad || fread(bytes, 1, len, f->f) != len)
        f->bad = true;
    else
        hash_stream_add(f->hash, span_of(bytes, len));
    return !f->bad;
}

/* --- writing --- */

struct writing {
    struct file file;
    uint64_t entries;
};

static void write_entry(void *context, const struct memory_seen *s)
{
    struct writing *w = context;
    bool vary = s->kind == MEMORY_VARY;
    if (!vary && !s->disk.body_id)
        return;
    uint8_t room[ENTRY_BYTES];
    struct cursor c;
    cursor_write(&c, room, sizeof(room));
    cursor_put_u8(&c, vary ? MEMORY_VARY : MEMORY_DISK);
    cursor_put_u8(&c, s->disk.forms);
    cursor_put_u64(&c, s->key.hi);
    cursor_put_u64(&c, s->key.lo);
    cursor_put_u64(&c, vary ? s->vary.names.len : s->disk.body_id);
    cursor_put_u32(&c, vary ? memory_vary_mark(&s->vary) : s->disk.pages);
    cursor_put_u32(&c, (uint32_t)(s->disk.dead_at_s / 60));
    must(c.err == ERR_OK && c.at == ENTRY_BYTES);
    put(&w->file, room, sizeof(room));
    if (vary)
        put(&w->file, s->vary.names.ptr, s->vary.names.len);
    w->entries++;
}

static void put_head(struct file *f, const struct store_stamp *stamp, uint64_t entries)
{
    uint8_t room[HEAD_BYTES];
    struct cursor c;
    cursor_write(&c, room, sizeof(room));
    cursor_put_u64(&c, MAGIC);
    cursor_put_u64(&c, stamp->store_id);
    cursor_put_u64(&c, stamp->txnid);
    cursor_put_u64(&c, entries);
    put(f, room, sizeof(room));
}

static void count_entry(void *context, const struct memory_seen *s)
{
    struct writing *w = context;
    w->entries += s->kind == MEMORY_VARY || s->disk.body_id;
}

void memory_warm_write(struct memory_tier *t)
{
    struct store_stamp stamp = store_stamp_now(t->store);
    struct writing w = {.entries = 0};
    struct memory_walk walk = {0, 0};
    if (atomic_load_explicit(&t->scanning, memory_order_relaxed) ||
        !open_file(t, ".new", "wb", &w.file))
        return;
    while (memory_index_walk(t->index, &walk, UINT32_MAX, count_entry, &w)) {
    }
    put_head(&w.file, &stamp, w.entries);
    walk = (struct memory_walk){0, 0};
    while (memory_index_walk(t->index, &walk, UINT32_MAX, write_entry, &w)) {
    }
    uint64_t hash = hash_stream_value(w.file.hash);
    put(&w.file, &hash, sizeof(hash));
    if (fflush(w.file.f) != 0 || fsync(fileno(w.file.f)) != 0)
        w.file.bad = true;
    bool bad = w.file.bad;
    close_file(&w.file);
    char from[4096], to[4096];
    (void)snprintf(from, sizeof(from), "%s/index.new", store_path(t->store));
    (void)snprintf(to, sizeof(to), "%s/index", store_path(t->store));
    if (bad || w.file.bad || rename(from, to) != 0)
        log_line(LOG_WARN, "index_snapshot", "written=no");
}

/* --- reading --- */

struct entry {
    enum memory_kind kind;
    struct hash128 key;
    struct memory_disk disk; /* of VARY: pages is its mark */
    char names[NAMES_MAX];
    size_t names_len;
};

static bool get_entry(struct file *f, struct entry *e)
{
    uint8_t room[ENTRY_BYTES];
    struct cursor c;
    if (!get(f, room, sizeof(room)))
        return false;
    cursor_read(&c, span_of(room, sizeof(room)));
    uint8_t kind = cursor_get_u8(&c);
    e->disk.forms = cursor_get_u8(&c);
    e->key.hi = cursor_get_u64(&c);
    e->key.lo = cursor_get_u64(&c);
    uint64_t value = cursor_get_u64(&c);
    e->disk.pages = cursor_get_u32(&c);
    e->disk.dead_at_s = (int64_t)cursor_get_u32(&c) * 60;
    e->disk.body_id = value;
    e->kind = kind == MEMORY_VARY ? MEMORY_VARY : MEMORY_DISK;
    e->names_len = 0;
    if (kind != MEMORY_VARY)
        return kind == MEMORY_DISK && value > 0 && value < UINT64_C(1) << 42;
    e->names_len = (size_t)value;
    return value > 0 && value <= NAMES_MAX && get(f, e->names, e->names_len);
}

static void add(struct memory_tier *t, const struct entry *e)
{
    struct memory_place p;
    struct memory_vary vary =
        memory_vary_of(span_of(e->names, e->names_len), e->disk.pages & ~UINT32_C(255));
    if (e->kind == MEMORY_VARY && !memory_index_vary_known(t->index, vary.names))
        return;
    memory_place_open(t->index, e->key, &p);
    enum memory_kind kind = memory_place_kind(&p);
    if (kind == MEMORY_NOTHING || kind == MEMORY_ABSENT) {
        if (e->kind == MEMORY_VARY)
            memory_place_set_vary(&p, &vary);
        else
            memory_place_set_disk(&p, &e->disk);
    }
    memory_place_close(&p);
}

/* Through the whole file: `tier` NULL only checks it. */
static bool read_all(struct file *f, struct store *store, struct memory_tier *tier)
{
    struct store_stamp stamp = store_stamp_found(store);
    uint8_t room[HEAD_BYTES];
    struct cursor c;
    if (!get(f, room, sizeof(room)))
        return false;
    cursor_read(&c, span_of(room, sizeof(room)));
    if (cursor_get_u64(&c) != MAGIC || cursor_get_u64(&c) != stamp.store_id ||
        cursor_get_u64(&c) != stamp.txnid)
        return false;
    /* A record that the index did not know would never be found or let go. */
    struct store_figures figures;
    uint64_t left = cursor_get_u64(&c);
    store_figures(store, &figures);
    if (left != figures.objects)
        return false;
    struct entry e;
    for (; left; left--) {
        if (!get_entry(f, &e))
            return false;
        if (tier)
            add(tier, &e);
    }
    uint64_t is = hash_stream_value(f->hash), hash;
    return fread(&hash, 1, sizeof(hash), f->f) == sizeof(hash) && hash == is &&
           fgetc(f->f) == EOF;
}

bool memory_warm_read(struct memory_tier *t)
{
    bool ok = true;
    for (unsigned pass = 0; pass < 2 && ok; pass++) {
        struct file f;
        ok = open_file(t, "", "rb", &f) && read_all(&f, t->store, pass ? t : NULL);
        close_file(&f);
    }
    /* Used once: it says nothing about what is written from here on. */
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/index", store_path(t->store));
    (void)unlink(path);
    if (ok)
        store_scanned(t->store);
    return ok;
}

/* --- the walk --- */

struct memory_warm {
    struct memory_tier *tier;
    pthread_t thread;
    atomic_bool stop;
    uint64_t seen;
};

static void see(void *context, struct hash128 key, const struct store_record *r)
{
    struct memory_warm *w = context;
    struct entry e = {.key = key};
    if (r->kind == STORE_VARY) {
        if (r->vary.len == 0 || r->vary.len > NAMES_MAX)
            return;
        e.kind = MEMORY_VARY;
        e.names_len = r->vary.len;
        e.disk.pages = r->variants;
        memcpy(e.names, r->vary.ptr, r->vary.len);
    } else if (r->rep_count) {
        e.kind = MEMORY_DISK;
        e.disk = (struct memory_disk){
            .body_id = r->rep[0].body_id,
            .dead_at_s = policy_freshness_dead_at_s(&r->facts, 0),
            .forms = r->rep_count > 1,
        };
        for (unsigned i = 0; i < r->rep_count; i++)
            e.disk.pages += store_pages(w->tier->store, r->rep[i].bytes);
    } else {
        return;
    }
    add(w->tier, &e);
    w->seen++;
}

struct absent {
    struct hash128 keys[1024];
    unsigned count;
};

static void see_absent(void *context, const struct memory_seen *s)
{
    struct absent *a = context;
    if (s->kind == MEMORY_ABSENT && a->count < ARRAY_LEN(a->keys))
        a->keys[a->count++] = s->key;
}

/* The marks of keys that were looked for meanwhile have done their work. */
static void drop_absent(struct memory_tier *t)
{
    struct absent a = {.count = 0};
    struct memory_walk walk = {0, 0};
    bool more = true;
    while (more) {
        more = memory_index_walk(t->index, &walk, ARRAY_LEN(a.keys), see_absent, &a);
        while (a.count) {
            struct memory_place p;
            memory_place_open(t->index, a.keys[--a.count], &p);
            if (memory_place_kind(&p) == MEMORY_ABSENT)
                memory_place_remove(&p);
            memory_place_close(&p);
        }
    }
}

static void *walk_all(void *context)
{
    struct memory_warm *w = context;
    struct memory_tier *t = w->tier;
    struct store_walk walk = {.last = {UINT64_MAX, UINT64_MAX}};
    enum err e = ERR_OK;
    while (e == ERR_OK && !atomic_load(&w->stop)) {
        e = store_walk(t->store, &walk, WALK_STEP, see, w);
        memory_evict(t);
    }
    if (e == ERR_OK)
        return NULL;
    if (e == ERR_CLOSED)
        store_scanned(t->store);
    else
        log_line(LOG_WARN, "cache_scan", "reason=%s", err_text(e));
    atomic_store_explicit(&t->scanning, false, memory_order_relaxed);
    drop_absent(t);
    log_line(LOG_INFO, "cache_scanned", "objects=%llu damaged=%llu",
             (unsigned long long)w->seen, (unsigned long long)walk.damaged);
    return NULL;
}

struct memory_warm *memory_warm_start(struct memory_tier *t)
{
    struct memory_warm *w = must_alloc(sizeof(*w));
    w->tier = t;
    atomic_store_explicit(&t->scanning, true, memory_order_relaxed);
    must(pthread_create(&w->thread, NULL, walk_all, w) == 0);
    return w;
}

void memory_warm_stop(struct memory_warm *w)
{
    if (!w)
        return;
    atomic_store(&w->stop, true);
    pthread_join(w->thread, NULL);
    free(w);
}
