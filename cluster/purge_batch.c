#include "cluster/purge_log_core.h"

#include <stdlib.h>

/* What the disk does next, and what came of it. */

#define DROPS_MIN 16   /* at once, when there is too much */
#define WALK_MAX 1024u /* entries looked at in one batch */

static uint32_t find_stream(const struct cluster_purge_log *l, uint64_t id)
{
    return cluster_purge_streams_find(&l->streams, id);
}

static struct cluster_purge_stream *row_of(struct cluster_purge_log *l,
                                           struct cluster_purge_batch *b, uint32_t stream)
{
    const struct cluster_purge_stream *now = &l->streams.rows[stream];
    for (unsigned i = b->stream_count; i > 0; i--) {
        if (b->streams[i - 1].id == now->id)
            return &b->streams[i - 1];
    }
    must(b->stream_count < ARRAY_LEN(b->streams));
    b->streams[b->stream_count] = *now;
    return &b->streams[b->stream_count++];
}

static void drop(struct cluster_purge_log *l, struct cluster_purge_batch *b,
                 struct cluster_purge_entry *e)
{
    must(b->drop_count < ARRAY_LEN(b->drops));
    b->drops[b->drop_count++] =
        (struct cluster_purge_id){l->streams.rows[e->stream].id, e->seq};
    e->leaving = true;
}

/* Over all that is on disk when this batch is, without a gap. */
static void advance(struct cluster_purge_log *l, struct cluster_purge_stream *row,
                    uint32_t stream)
{
    const struct cluster_purge_entry *e;
    while ((e = cluster_purge_index_find(l->index, stream, row->synced_seq + 1)) &&
           (e->synced || e->out))
        row->synced_seq++;
}

static void lift(uint64_t *value, uint64_t to)
{
    if (*value < to)
        *value = to;
}

static void take_record(struct cluster_purge_log *l, struct cluster_purge_batch *b,
                        const struct cluster_purge_pending *p)
{
    uint32_t stream = find_stream(l, p->id.stream);
    struct cluster_purge_stream *row = row_of(l, b, stream);
    struct cluster_purge_entry *e = cluster_purge_index_find(l->index, stream, p->id.seq);
    must(e != NULL);
    e->out = true;
    row->last_at_s = b->now_s;
    advance(l, row, stream);
    if (!p->supersedes || row->synced_seq < p->id.seq)
        return;
    e = cluster_purge_index_find(l->index, stream, p->supersedes);
    if (e && !e->leaving) {
        drop(l, b, e);
        l->out_superseded++;
    }
}

static void take_fall_back(struct cluster_purge_batch *b, const struct cluster_purge_pending *p)
{
    lift(p->hard ? &b->floors.hard : &b->floors.soft, p->apply_no);
    b->floors_changed = true;
}

static bool has_room(const struct cluster_purge_log *l, const struct cluster_purge_batch *b,
                     uint64_t bytes)
{
    return b->count == 0 ||
           (b->count < l->batch_max && bytes <= l->max_bytes / CLUSTER_PURGE_BATCH_PART);
}

static void take_pending(struct cluster_purge_log *l, struct cluster_purge_batch *b)
{
    uint64_t bytes = 0;
    for (const struct cluster_purge_pending *p = l->first; p; p = p->next) {
        bytes += p->bytes;
        if (!has_room(l, b, bytes))
            return;
        b->records[b->count++] = p;
        if (p->kind == CLUSTER_PURGE_RECORD)
            take_record(l, b, p);
        if (p->kind == CLUSTER_PURGE_FALL_BACK)
            take_fall_back(b, p);
        bool covers = p->kind == CLUSTER_PURGE_COVER || p->kind == CLUSTER_PURGE_FALL_BACK;
        if (!covers || !p->id.stream)
            continue;
        uint32_t stream = find_stream(l, p->id.stream);
        struct cluster_purge_stream *row = row_of(l, b, stream);
        lift(&row->synced_seq, p->id.seq);
        if (p->kind == CLUSTER_PURGE_FALL_BACK)
            lift(&row->floor_seq, p->id.seq);
        advance(l, row, stream);
    }
}

/* Nothing below is missing: it may be dropped for a later one. */
static bool is_settled(const struct cluster_purge_log *l, const struct cluster_purge_entry *e)
{
    return e->synced && e->seq <= l->streams.rows[e->stream].synced_seq;
}

static void take_under_all(struct cluster_purge_log *l, struct cluster_purge_batch *b,
                           unsigned limit)
{
    struct cluster_purge_entry *e;
    for (unsigned looked = 0; l->all.active && looked < WALK_MAX && b->drop_count < limit;
         looked++) {
        e = cluster_purge_index_walk(l->index, &l->all.at);
        if (!e || (e->stream == l->all.stream && e->seq == l->all.seq)) {
            l->all.active = false;
        } else if (e->stream == l->all.stream && e->seq < l->all.seq && is_settled(l, e) &&
                   !e->leaving &&
                   cluster_purge_as_hard(l->all.hard ? PURGE_HARD : PURGE_SOFT, e->mode)) {
            drop(l, b, e);
            l->out_superseded++;
        }
    }
}

/* Only those of every site: entries do not know theirs. */
static bool is_of_everything(const struct cluster_purge_log *l,
                             const struct cluster_purge_entry *e)
{
    return e->kind == PURGE_ALL &&
           hash128_equal(e->key, cluster_purge_log_key(l, &(struct purge){.kind = PURGE_ALL}));
}

/* No object that it names is left. */
static bool is_swept(const struct cluster_purge_log *l, const struct cluster_purge_entry *e)
{
    return e->apply_no <= l->swept.apply_no && !is_of_everything(l, e);
}

static bool is_expired(const struct cluster_purge_log *l, const struct cluster_purge_entry *e,
                       int64_t now_s)
{
    return is_settled(l, e) && now_s - e->accepted_at_s > l->conf.keep_s && is_swept(l, e);
}

/* How many of the oldest must go for want of room: for the file more than come in, so that it
 * shrinks while purges flow. */
static uint64_t count_excess(const struct cluster_purge_log *l, unsigned coming)
{
    uint64_t records = cluster_purge_index_count(l->index), excess = 0;
    if (l->used_bytes > l->max_bytes / 4 * 3)
        excess = 2 * coming > DROPS_MIN ? 2 * coming : DROPS_MIN;
    if (records > l->conf.record_max && records - l->conf.record_max > excess)
        excess = records - l->conf.record_max;
    return excess;
}

/* The oldest, in the order in which they were applied. */
static void take_oldest(struct cluster_purge_log *l, struct cluster_purge_batch *b,
                        unsigned limit)
{
    struct cluster_purge_entry *e;
    uint64_t more = count_excess(l, b->count);
    size_t at = 0;
    for (unsigned looked = 0; b->drop_count < limit && looked < WALK_MAX; looked++) {
        e = cluster_purge_index_walk(l->index, &at);
        if (!e || !e->synced)
            break;
        if (e->leaving || !is_settled(l, e))
            continue;
        bool expired = is_expired(l, e, b->now_s);
        if (!expired && !more && is_of_everything(l, e))
            continue; /* it stays, those behind it need not */
        if (!expired && !more)
            break;
        if (more)
            more--;
        drop(l, b, e);
        struct cluster_purge_stream *row = row_of(l, b, e->stream);
        lift(&row->floor_seq, e->seq);
        l->out_expired += expired;
        l->out_displaced += !expired;
        uint64_t *floor = e->mode == PURGE_HARD ? &b->floors.hard : &b->floors.soft;
        if (!is_swept(l, e) && e->apply_no > *floor) {
            *floor = e->apply_no;
            b->floors_changed = true;
        }
    }
}

static bool is_swept_further(const struct cluster_purge_log *l)
{
    return l->swept.apply_no != l->stored.apply_no || l->swept.sites != l->stored.sites;
}

static bool is_due(const struct cluster_purge_log *l, int64_t now_s)
{
    size_t at = 0;
    if (l->failing && !l->unanswered && now_s == l->tried_at_s)
        return false;
    if (l->first || l->all.active || is_swept_further(l))
        return true;
    const struct cluster_purge_entry *e;
    for (unsigned looked = 0; looked < WALK_MAX; looked++) {
        e = cluster_purge_index_walk(l->index, &at);
        if (!e || !is_of_everything(l, e))
            return e && is_expired(l, e, now_s);
    }
    return false;
}

bool cluster_purge_log_take(struct cluster_purge_log *l, int64_t now_s,
                            struct cluster_purge_batch *out)
{
    cluster_purge_log_check_sane(l);
    if (l->taken || !is_due(l, now_s))
        return false;
    out->count = out->drop_count = out->stream_count = 0;
    out->floors = l->floors;
    out->floors_changed = false;
    out->swept = l->swept;
    out->swept_changed = is_swept_further(l);
    out->now_s = now_s;
    l->out_superseded = l->out_expired = l->out_displaced = 0;
    take_pending(l, out);
    /* One transaction frees few pages: the free list's own record stays small. */
    unsigned limit =
        out->drop_count +
        (2 * l->batch_max < CLUSTER_PURGE_BATCH ? 2 * l->batch_max : CLUSTER_PURGE_BATCH);
    take_under_all(l, out, limit);
    take_oldest(l, out, limit);
    l->taken = true;
    return true;
}

/* --- what came of it --- */

static void begin_all(struct cluster_purge_log *l, const struct cluster_purge_entry *e)
{
    if (!is_of_everything(l, e) || !is_settled(l, e))
        return;
    l->all.active = true;
    l->all.hard = e->mode == PURGE_HARD;
    l->all.stream = e->stream;
    l->all.seq = e->seq;
    l->all.at = 0;
}

static void settle_rows(struct cluster_purge_log *l, const struct cluster_purge_batch *b)
{
    for (unsigned i = 0; i < b->stream_count; i++) {
        struct cluster_purge_stream *row = &l->streams.rows[find_stream(l, b->streams[i].id)];
        l->serial += row->synced_seq != b->streams[i].synced_seq;
        *row = b->streams[i];
    }
}

static void settle(struct cluster_purge_log *l, const struct cluster_purge_batch *b,
                   enum err err)
{
    struct cluster_purge_entry *e;
    if (err == ERR_OK)
        settle_rows(l, b);
    for (unsigned i = 0; i < b->count; i++) {
        const struct cluster_purge_pending *p = b->records[i];
        if (p->kind != CLUSTER_PURGE_RECORD)
            continue;
        e = cluster_purge_index_find(l->index, find_stream(l, p->id.stream), p->id.seq);
        must(e != NULL);
        e->out = false;
        if (err != ERR_OK)
            continue;
        e->synced = true;
        begin_all(l, e);
    }
    for (unsigned i = 0; i < b->drop_count; i++) {
        uint32_t stream = find_stream(l, b->drops[i].stream);
        e = cluster_purge_index_find(l->index, stream, b->drops[i].seq);
        must(e && e->leaving);
        e->leaving = false;
        if (err == ERR_OK)
            cluster_purge_index_drop(l->index, e);
    }
}

static unsigned size_of(const struct cluster_purge_batch *b)
{
    return b->count > b->drop_count / 2 ? b->count : b->drop_count / 2;
}

bool cluster_purge_batch_is_smallest(const struct cluster_purge_batch *b)
{
    return size_of(b) <= 1;
}

void cluster_purge_log_again(struct cluster_purge_log *l, const struct cluster_purge_batch *b)
{
    unsigned half = size_of(b) / 2;
    must(l->taken);
    settle(l, b, ERR_LIMIT);
    l->batch_max = half > 1 ? half : 1;
    l->used_bytes = l->max_bytes; /* it makes room */
    l->taken = false;
}

static void answer(struct cluster_purge_log *l, struct cluster_purge_pending *p, enum err err)
{
    if (p->answered)
        return;
    p->answered = true;
    l->unanswered--;
    if (p->ticket && l->conf.answered)
        l->conf.answered(l->conf.user, p->ticket, err);
}

static void pop(struct cluster_purge_log *l)
{
    struct cluster_purge_pending *p = l->first;
    l->first = p->next;
    if (!l->first)
        l->last = NULL;
    l->pending_count--;
    l->pending_bytes -= p->bytes;
    free(p);
}

/* Whatever waits now is told; what the answers bring in anew is not. */
static void answer_failed(struct cluster_purge_log *l, enum err err)
{
    struct cluster_purge_pending **link = &l->first, *before = NULL;
    for (unsigned left = l->pending_count; left > 0; left--) {
        struct cluster_purge_pending *p = *link;
        answer(l, p, err);
        if (p->kind != CLUSTER_PURGE_ANSWER) {
            before = p;
            link = &p->next;
            continue;
        }
        *link = p->next; /* there is nothing to try again */
        if (l->last == p)
            l->last = before;
        l->pending_count--;
        free(p);
    }
}

void cluster_purge_log_written(struct cluster_purge_log *l, const struct cluster_purge_batch *b,
                               enum err err, uint64_t used_bytes)
{
    must(l->taken);
    cluster_purge_log_check_sane(l);
    settle(l, b, err);
    l->failing = err != ERR_OK;
    l->tried_at_s = b->now_s;
    if (err == ERR_OK) {
        l->used_bytes = used_bytes;
        l->batch_max =
            2 * l->batch_max < CLUSTER_PURGE_BATCH ? 2 * l->batch_max : CLUSTER_PURGE_BATCH;
        l->floors = b->floors;
        l->stored = b->swept;
        l->superseded += l->out_superseded;
        l->expired += l->out_expired;
        l->displaced += l->out_displaced;
    } else if (err == ERR_LIMIT) {
        l->used_bytes = l->max_bytes; /* the next batch makes room */
    }
    /* Answers may accept more, behind; nothing is taken before the last of them. */
    if (err != ERR_OK)
        answer_failed(l, err);
    for (unsigned left = b->count; err == ERR_OK && left > 0; left--) {
        answer(l, l->first, ERR_OK);
        pop(l);
    }
    l->taken = false;
    cluster_purge_log_check_sane(l);
}
