#include "cluster/purge_rows.h"

#include "base/crypto.h"
#include "base/cursor.h"

#define HEAD_VERSION 1
#define HEAD_BYTES (1 + CLUSTER_PURGE_LOG_ID + 8 + 8 + 8 + 4)
#define ROW_BYTES (8 + 8 + 8 + 4)

_Static_assert(CLUSTER_PURGE_PART <= 4096 - 16, "a part fits into the smallest page");

static struct span head_encode(const struct cluster_purge_head *h, uint8_t out[HEAD_BYTES])
{
    struct cursor c;
    cursor_write(&c, out, HEAD_BYTES);
    cursor_put_u8(&c, HEAD_VERSION);
    cursor_put_bytes(&c, span_of(h->log_id, sizeof(h->log_id)));
    cursor_put_u64(&c, h->boot_no);
    cursor_put_u64(&c, h->floors.hard);
    cursor_put_u64(&c, h->floors.soft);
    cursor_put_u32(&c, crypto_crc32c(span_of(out, c.at)));
    must(c.err == ERR_OK && c.at == HEAD_BYTES);
    return span_of(out, HEAD_BYTES);
}

static bool head_decode(struct span bytes, struct cluster_purge_head *out)
{
    struct cursor c;
    struct cluster_purge_head h = {0};
    if (bytes.len != HEAD_BYTES)
        return false;
    cursor_read(&c, bytes);
    unsigned version = cursor_get_u8(&c);
    memcpy(h.log_id, cursor_get_bytes(&c, sizeof(h.log_id)).ptr, sizeof(h.log_id));
    h.boot_no = cursor_get_u64(&c);
    h.floors.hard = cursor_get_u64(&c);
    h.floors.soft = cursor_get_u64(&c);
    if (cursor_get_u32(&c) != crypto_crc32c(span_until(bytes, HEAD_BYTES - 4)) ||
        version != HEAD_VERSION)
        return false;
    *out = h;
    return true;
}

bool cluster_purge_rows_head(struct lmdb_txn *t, struct lmdb_db db,
                             struct cluster_purge_head *out)
{
    struct span value;
    return lmdb_get(t, db, SPAN("head"), &value) && head_decode(value, out);
}

void cluster_purge_rows_put_head(struct lmdb_txn *t, struct lmdb_db db,
                                 const struct cluster_purge_head *head)
{
    uint8_t bytes[HEAD_BYTES];
    lmdb_put(t, db, SPAN("head"), head_encode(head, bytes));
}

#define SWEPT_KEY "swept"
#define SWEPT_BYTES (8 + 8 + 4)

struct cluster_purge_swept cluster_purge_rows_swept(struct lmdb_txn *t, struct lmdb_db db)
{
    struct span value;
    struct cursor c;
    struct cluster_purge_swept swept;
    if (!lmdb_get(t, db, SPAN(SWEPT_KEY), &value) || value.len != SWEPT_BYTES)
        return (struct cluster_purge_swept){0};
    cursor_read(&c, value);
    swept.apply_no = cursor_get_u64(&c);
    swept.sites = cursor_get_u64(&c);
    if (cursor_get_u32(&c) != crypto_crc32c(span_until(value, SWEPT_BYTES - 4)))
        return (struct cluster_purge_swept){0};
    return swept;
}

void cluster_purge_rows_put_swept(struct lmdb_txn *t, struct lmdb_db db,
                                  struct cluster_purge_swept swept)
{
    uint8_t bytes[SWEPT_BYTES];
    struct cursor c;
    cursor_write(&c, bytes, sizeof(bytes));
    cursor_put_u64(&c, swept.apply_no);
    cursor_put_u64(&c, swept.sites);
    cursor_put_u32(&c, crypto_crc32c(span_of(bytes, c.at)));
    must(c.err == ERR_OK && c.at == SWEPT_BYTES);
    lmdb_put(t, db, SPAN(SWEPT_KEY), span_of(bytes, c.at));
}

size_t cluster_purge_member_encode(const struct cluster_purge_member *m,
                                   uint8_t out[CLUSTER_PURGE_MEMBER_BYTES_MAX])
{
    struct cursor c;
    cursor_write(&c, out, CLUSTER_PURGE_MEMBER_BYTES_MAX);
    cursor_put_u32(&c, m->generation);
    cursor_put_u8(&c, m->left);
    cursor_put_bytes(&c, m->id);
    must(c.err == ERR_OK);
    return c.at;
}

static bool member_decode(struct span bytes, struct cluster_purge_member *out)
{
    struct cursor c;
    if (bytes.len < 5 + 1 + 4 || bytes.len > CLUSTER_PURGE_MEMBER_BYTES_MAX + 4)
        return false;
    cursor_read(&c, bytes);
    out->generation = cursor_get_u32(&c);
    out->left = cursor_get_u8(&c) != 0;
    out->id = cursor_get_bytes(&c, bytes.len - 5 - 4);
    return cursor_get_u32(&c) == crypto_crc32c(span_until(bytes, bytes.len - 4));
}

/* "member " and the id, so that none is "head". */
#define MEMBER_KEY "member "
#define MEMBER_KEY_MAX (sizeof(MEMBER_KEY) - 1 + CLUSTER_PURGE_NODE_MAX)

void cluster_purge_rows_put_member(struct lmdb_txn *t, struct lmdb_db db, struct span member)
{
    uint8_t key[MEMBER_KEY_MAX], value[CLUSTER_PURGE_MEMBER_BYTES_MAX + 4];
    struct cursor k, v;
    cursor_write(&k, key, sizeof(key));
    cursor_put_bytes(&k, SPAN(MEMBER_KEY));
    cursor_put_bytes(&k, span_from(member, 5));
    cursor_write(&v, value, sizeof(value));
    cursor_put_bytes(&v, member);
    cursor_put_u32(&v, crypto_crc32c(member));
    must(k.err == ERR_OK && v.err == ERR_OK);
    lmdb_put(t, db, span_of(key, k.at), span_of(value, v.at));
}

void cluster_purge_rows_members(struct lmdb_txn *t, struct lmdb_db db,
                                void (*each)(void *user, const struct cluster_purge_member *m),
                                cluster_purge_rows_damaged *damaged, void *user)
{
    struct lmdb_cursor c;
    struct cluster_purge_member m;
    lmdb_cursor_open(&c, t, db);
    for (bool on = lmdb_cursor_seek(&c, SPAN(MEMBER_KEY));
         on && span_starts(c.key, SPAN(MEMBER_KEY)); on = lmdb_cursor_next(&c)) {
        if (member_decode(c.value, &m))
            each(user, &m);
        else if (damaged)
            damaged(user, (struct cluster_purge_id){0, 0});
    }
    lmdb_cursor_close(&c);
}

void cluster_purge_rows_del_damaged_members(struct lmdb_txn *t, struct lmdb_db db)
{
    struct lmdb_cursor c;
    struct cluster_purge_member m;
    lmdb_cursor_open(&c, t, db);
    for (bool on = lmdb_cursor_seek(&c, SPAN(MEMBER_KEY));
         on && span_starts(c.key, SPAN(MEMBER_KEY)); on = lmdb_cursor_next(&c)) {
        if (!member_decode(c.value, &m))
            lmdb_cursor_del(&c);
    }
    lmdb_cursor_close(&c);
}

void cluster_purge_rows_del_stream(struct lmdb_txn *t, struct lmdb_db db, uint64_t stream)
{
    uint8_t key[8];
    struct cursor c;
    cursor_write(&c, key, sizeof(key));
    cursor_put_u64(&c, stream);
    (void)lmdb_del(t, db, span_of(key, sizeof(key)));
}

void cluster_purge_rows_put_stream(struct lmdb_txn *t, struct lmdb_db db,
                                   const struct cluster_purge_stream *s)
{
    uint8_t key[8], value[ROW_BYTES];
    struct cursor k, v;
    cursor_write(&k, key, sizeof(key));
    cursor_put_u64(&k, s->id);
    cursor_write(&v, value, sizeof(value));
    cursor_put_u64(&v, s->synced_seq);
    cursor_put_u64(&v, s->floor_seq);
    cursor_put_u64(&v, (uint64_t)s->last_at_s);
    uint32_t crc = crypto_crc32c(span_of(key, sizeof(key)));
    cursor_put_u32(&v, crypto_crc32c_add(crc, span_of(value, v.at)));
    must(k.err == ERR_OK && v.err == ERR_OK);
    lmdb_put(t, db, span_of(key, sizeof(key)), span_of(value, sizeof(value)));
}

static bool row_decode(struct span key, struct span value, struct cluster_purge_stream *out)
{
    struct cursor k, v;
    cursor_read(&k, key);
    *out = (struct cluster_purge_stream){.id = cursor_get_u64(&k)};
    if (key.len != 8 || value.len != ROW_BYTES)
        return false;
    cursor_read(&v, value);
    out->synced_seq = cursor_get_u64(&v);
    out->floor_seq = cursor_get_u64(&v);
    out->last_at_s = (int64_t)cursor_get_u64(&v);
    uint32_t crc = crypto_crc32c(key);
    return cursor_get_u32(&v) == crypto_crc32c_add(crc, span_until(value, ROW_BYTES - 4));
}

bool cluster_purge_rows_stream(struct lmdb_txn *t, struct lmdb_db db, uint64_t id,
                               struct cluster_purge_stream *out)
{
    uint8_t key[8];
    struct cursor c;
    struct span value;
    cursor_write(&c, key, sizeof(key));
    cursor_put_u64(&c, id);
    return lmdb_get(t, db, span_of(key, sizeof(key)), &value) &&
           row_decode(span_of(key, sizeof(key)), value, out);
}

void cluster_purge_rows_put_record(struct lmdb_txn *t, struct lmdb_db db,
                                   const struct cluster_purge_pending *p)
{
    uint8_t key[CLUSTER_PURGE_KEY];
    for (unsigned part = 0; part * CLUSTER_PURGE_PART < p->bytes; part++) {
        size_t at = part * CLUSTER_PURGE_PART, len = p->bytes - at;
        if (len > CLUSTER_PURGE_PART)
            len = CLUSTER_PURGE_PART;
        size_t key_len = cluster_purge_record_key(p->id.stream, p->id.seq, part, key);
        lmdb_put(t, db, span_of(key, key_len), span_of(p->value + at, len));
    }
}

void cluster_purge_rows_del_record(struct lmdb_txn *t, struct lmdb_db db,
                                   struct cluster_purge_id id)
{
    uint8_t key[CLUSTER_PURGE_KEY];
    for (unsigned part = 0; part < CLUSTER_PURGE_PARTS_MAX; part++) {
        size_t len = cluster_purge_record_key(id.stream, id.seq, part, key);
        if (!lmdb_del(t, db, span_of(key, len)) && part > 0)
            break;
    }
}

struct walk {
    void (*each)(void *user, const struct cluster_purge_record *r);
    cluster_purge_rows_damaged *damaged;
    void *user;
    struct cluster_purge_parts parts;
};

static void tell_damaged(struct walk *w, struct cluster_purge_id id)
{
    if (w->damaged)
        w->damaged(w->user, id);
}

static void finish_parts(struct walk *w)
{
    struct cluster_purge_parts *p = &w->parts;
    struct cluster_purge_record r;
    if (!p->any)
        return;
    p->any = false;
    if (cluster_purge_record_decode(p->stream, p->seq, span_of(p->bytes, p->len), &r))
        tell_damaged(w, (struct cluster_purge_id){p->stream, p->seq});
    else
        w->each(w->user, &r);
}

static void take_part(struct walk *w, struct span key, struct span value)
{
    struct cluster_purge_parts *p = &w->parts;
    uint64_t stream, seq;
    unsigned part;
    if (!cluster_purge_record_key_read(key, &stream, &seq, &part)) {
        tell_damaged(w, (struct cluster_purge_id){0, 0});
        return;
    }
    if (part == 0) {
        finish_parts(w);
        p->any = true;
        p->stream = stream;
        p->seq = seq;
        p->have = 0;
        p->len = 0;
    }
    bool mine = p->any && p->stream == stream && p->seq == seq;
    if (mine && (part != p->have || part >= CLUSTER_PURGE_PARTS_MAX ||
                 value.len > CLUSTER_PURGE_PART)) {
        p->len = 0; /* told once, when it is finished */
        return;
    }
    if (!mine) {
        tell_damaged(w, (struct cluster_purge_id){stream, seq});
        return;
    }
    memcpy(p->bytes + p->len, value.ptr, value.len);
    p->len += value.len;
    p->have++;
}

void cluster_purge_rows_records(struct lmdb_txn *t, struct lmdb_db db,
                                void (*each)(void *user, const struct cluster_purge_record *r),
                                cluster_purge_rows_damaged *damaged, void *user)
{
    struct walk w;
    struct lmdb_cursor c;
    w.each = each;
    w.damaged = damaged;
    w.user = user;
    w.parts.any = false;
    lmdb_cursor_open(&c, t, db);
    while (lmdb_cursor_next(&c))
        take_part(&w, c.key, c.value);
    lmdb_cursor_close(&c);
    finish_parts(&w);
}

void cluster_purge_rows_streams(struct lmdb_txn *t, struct lmdb_db db,
                                void (*each)(void *user,
                                             const struct cluster_purge_stream *row),
                                cluster_purge_rows_damaged *damaged, void *user)
{
    struct lmdb_cursor c;
    struct cluster_purge_stream row = {0};
    lmdb_cursor_open(&c, t, db);
    while (lmdb_cursor_next(&c)) {
        if (row_decode(c.key, c.value, &row))
            each(user, &row);
        else if (damaged)
            damaged(user, (struct cluster_purge_id){row.id, 0});
    }
    lmdb_cursor_close(&c);
}

enum err cluster_purge_rows_get(struct lmdb_txn *t, struct lmdb_db db,
                                struct cluster_purge_id id, struct cluster_purge_parts *parts,
                                struct cluster_purge_record *out)
{
    uint8_t key[CLUSTER_PURGE_KEY];
    struct span value;
    unsigned count = 1;
    parts->len = 0;
    for (parts->have = 0; parts->have < count; parts->have++) {
        size_t len = cluster_purge_record_key(id.stream, id.seq, parts->have, key);
        if (!lmdb_get(t, db, span_of(key, len), &value) || value.len > CLUSTER_PURGE_PART)
            break;
        if (parts->have == 0)
            count = cluster_purge_record_parts_of(value);
        memcpy(parts->bytes + parts->len, value.ptr, value.len);
        parts->len += value.len;
    }
    if (t->err != ERR_OK)
        return t->err;
    return cluster_purge_record_decode(id.stream, id.seq, span_of(parts->bytes, parts->len),
                                       out);
}

enum err
cluster_purge_rows_range(struct lmdb_txn *t, struct lmdb_db db, uint64_t stream, uint64_t after,
                         uint64_t through, struct cluster_purge_parts *parts,
                         bool (*tell)(void *user, const struct cluster_purge_record *r),
                         void *user, uint64_t *out_through)
{
    uint8_t key[CLUSTER_PURGE_KEY];
    uint64_t at_stream, seq;
    struct lmdb_cursor c;
    struct cluster_purge_record r;
    enum err err = ERR_OK;
    unsigned part;
    bool on;
    *out_through = after;
    lmdb_cursor_open(&c, t, db);
    size_t len = cluster_purge_record_key(stream, after + 1, 0, key);
    for (on = lmdb_cursor_seek(&c, span_of(key, len)); on; on = lmdb_cursor_next(&c)) {
        if (!cluster_purge_record_key_read(c.key, &at_stream, &seq, &part) ||
            at_stream != stream || seq > through)
            break;
        if (part > 0)
            continue;
        err = cluster_purge_rows_get(t, db, (struct cluster_purge_id){stream, seq}, parts, &r);
        if (err != ERR_OK || !tell(user, &r))
            break;
        *out_through = seq;
    }
    if (err == ERR_OK)
        err = t->err;
    bool all = !on || at_stream != stream || seq > through;
    if (err == ERR_OK && all && *out_through < through)
        *out_through = through;
    lmdb_cursor_close(&c);
    return err;
}
