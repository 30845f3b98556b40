#include "tests/purge_sim/disk.h"

#include <stdlib.h>
#include <string.h>

#include "cluster/purge_rows.h"

void disk_fini(struct disk *d)
{
    for (uint32_t i = 0; i < d->record_count; i++)
        free(d->records[i].bytes);
    free(d->records);
    free(d->streams);
    free(d->members);
    *d = (struct disk){0};
}

static bool is_below(struct cluster_purge_id a, struct cluster_purge_id b)
{
    return a.stream != b.stream ? a.stream < b.stream : a.seq < b.seq;
}

/* The first that is not below. */
static uint32_t find(const struct disk *d, struct cluster_purge_id id)
{
    uint32_t low = 0, high = d->record_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (is_below(d->records[middle].id, id))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct disk *d, uint32_t at, struct cluster_purge_id id)
{
    return at < d->record_count && d->records[at].id.stream == id.stream &&
           d->records[at].id.seq == id.seq;
}

static void put_record(struct disk *d, const struct cluster_purge_pending *p)
{
    uint32_t at = find(d, p->id);
    if (!is_at(d, at, p->id)) {
        if (d->record_count == d->record_room) {
            d->record_room = d->record_room ? d->record_room * 2 : 64;
            d->records = must_realloc(d->records, d->record_room * sizeof *d->records);
        }
        memmove(d->records + at + 1, d->records + at,
                (d->record_count - at) * sizeof *d->records);
        d->record_count++;
        d->records[at] = (struct disk_record){.id = p->id};
    }
    d->records[at].bytes = must_realloc(d->records[at].bytes, p->bytes);
    d->records[at].len = p->bytes;
    memcpy(d->records[at].bytes, p->value, p->bytes);
}

static void drop_record(struct disk *d, struct cluster_purge_id id)
{
    uint32_t at = find(d, id);
    must(is_at(d, at, id));
    free(d->records[at].bytes);
    d->record_count--;
    memmove(d->records + at, d->records + at + 1, (d->record_count - at) * sizeof *d->records);
}

static struct cluster_purge_stream *row_of(const struct disk *d, uint64_t id)
{
    for (uint32_t i = 0; i < d->stream_count; i++) {
        if (d->streams[i].id == id)
            return &d->streams[i];
    }
    return NULL;
}

uint64_t disk_synced(const struct disk *d, uint64_t stream)
{
    const struct cluster_purge_stream *row = row_of(d, stream);
    return row ? row->synced_seq : 0;
}

static void put_row(struct disk *d, const struct cluster_purge_stream *row)
{
    struct cluster_purge_stream *old = row_of(d, row->id);
    if (!old) {
        d->streams = must_realloc(d->streams, (d->stream_count + 1) * sizeof *d->streams);
        old = &d->streams[d->stream_count++];
    }
    *old = *row;
}

static void put_member(struct disk *d, struct span bytes)
{
    struct disk_member m = {0};
    must(bytes.len > 5 && bytes.len - 5 < sizeof m.id);
    memcpy(m.id, bytes.ptr + 5, bytes.len - 5);
    for (int i = 0; i < 4; i++)
        m.generation = m.generation << 8 | (uint8_t)bytes.ptr[i];
    m.left = bytes.ptr[4] != 0;
    for (uint32_t i = 0; i < d->member_count; i++) {
        if (strcmp(d->members[i].id, m.id) == 0) {
            d->members[i] = m;
            return;
        }
    }
    d->members = must_realloc(d->members, (d->member_count + 1) * sizeof *d->members);
    d->members[d->member_count++] = m;
}

void disk_commit(struct disk *d)
{
    const struct cluster_purge_batch *b = &d->batch;
    must(d->out);
    for (unsigned i = 0; i < b->stream_count; i++)
        put_row(d, &b->streams[i]);
    for (unsigned i = 0; i < b->count; i++) {
        const struct cluster_purge_pending *p = b->records[i];
        if (p->kind == CLUSTER_PURGE_RECORD)
            put_record(d, p);
        if (p->kind == CLUSTER_PURGE_MEMBER)
            put_member(d, span_of(p->value, p->bytes));
    }
    for (unsigned i = 0; i < b->drop_count; i++)
        drop_record(d, b->drops[i]);
    if (b->floors_changed)
        d->floors = b->floors;
}

bool disk_take(struct disk *d, struct cluster_purge_log *log, int64_t now_s)
{
    if (d->out || !cluster_purge_log_take(log, now_s, &d->batch))
        return false;
    d->out = true;
    return true;
}

void disk_told(struct disk *d, struct cluster_purge_log *log, enum err err)
{
    d->out = false;
    cluster_purge_log_written(log, &d->batch, err, 4096);
}

static enum err decode(const struct disk_record *r, struct cluster_purge_record *out)
{
    return cluster_purge_record_decode(r->id.stream, r->id.seq, span_of(r->bytes, r->len), out);
}

static enum err read_one(void *disk, struct cluster_purge_id id,
                         struct cluster_purge_record *out)
{
    const struct disk *d = disk;
    uint32_t at = find(d, id);
    return is_at(d, at, id) ? decode(&d->records[at], out) : ERR_CORRUPT;
}

static enum err read_range(void *disk, uint64_t stream, uint64_t after,
                           bool (*tell)(void *user, const struct cluster_purge_record *r),
                           void *user, uint64_t *out_through)
{
    const struct disk *d = disk;
    const struct cluster_purge_stream *row = row_of(d, stream);
    struct cluster_purge_record r;
    *out_through = after;
    if (!row)
        return ERR_NOT_FOUND;
    for (uint32_t at = find(d, (struct cluster_purge_id){stream, after + 1});
         at < d->record_count && d->records[at].id.stream == stream &&
         d->records[at].id.seq <= row->synced_seq;
         at++) {
        must(decode(&d->records[at], &r) == ERR_OK);
        if (!tell(user, &r))
            return ERR_OK;
        *out_through = r.seq;
    }
    if (*out_through < row->synced_seq)
        *out_through = row->synced_seq;
    return ERR_OK;
}

void disk_load(struct disk *d, struct cluster_purge_log *log,
               void (*each)(void *user, const struct cluster_purge_record *r), void *user)
{
    static const struct cluster_purge_reader reader = {.one = read_one, .range = read_range};
    struct cluster_purge_record r = {.purge = {.kind = PURGE_ALL, .mode = PURGE_HARD}};
    r.apply_no = d->floors.hard;
    each(user, &r);
    r.purge.mode = PURGE_SOFT;
    r.apply_no = d->floors.soft;
    each(user, &r);
    for (uint32_t i = 0; i < d->stream_count; i++)
        cluster_purge_log_load_stream(log, &d->streams[i]);
    for (uint32_t i = 0; i < d->record_count; i++) {
        must(decode(&d->records[i], &r) == ERR_OK);
        cluster_purge_log_load(log, &r);
        each(user, &r);
    }
    for (uint32_t i = 0; i < d->member_count; i++) {
        const struct disk_member *m = &d->members[i];
        cluster_purge_log_load_member(
            log, &(struct cluster_purge_member){span_text(m->id), m->generation, m->left});
    }
    cluster_purge_log_loaded(log, d->floors, 4096, 1 << 30);
    cluster_purge_log_set_reader(log, &reader, d);
    d->out = false;
}
