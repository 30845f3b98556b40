#include "cluster/purge_log.h"

#include <stdlib.h>

#include "cluster/purge_index.h"

#define NO_STREAM UINT32_MAX
#define DROPS_MIN 16   /* at once, when there is too much */
#define WALK_MAX 1024u /* entries looked at in one batch on behalf of an `all` */

struct cluster_purge_log {
    struct cluster_purge_log_conf conf;
    char *node;
    struct cluster_purge_index *index;
    struct cluster_purge_stream *streams;
    uint32_t stream_count, own; /* own: this start's, NO_STREAM until its first purge */
    uint64_t own_seq;           /* the last one given */
    struct cluster_purge_pending *first, *last;
    unsigned pending_count, unanswered;
    size_t pending_bytes;
    bool taken, failing;
    int64_t tried_at_s;
    uint64_t swept_no, used_bytes, max_bytes;
    struct cluster_purge_floors floors;
    struct { /* an `all` whose older records are being dropped */
        bool active, hard;
        uint32_t stream;
        uint64_t seq;
        size_t at;
    } all;
    uint64_t superseded, expired, displaced;             /* since the start */
    uint64_t out_superseded, out_expired, out_displaced; /* by the batch that is out */
    cluster_purge_reader *read;
    void *disk;
};

static void check_sane(const struct cluster_purge_log *l)
{
    must(!l->first == !l->last && !l->first == !l->pending_count);
    must(l->unanswered <= l->pending_count);
    must(l->own == NO_STREAM || l->own < l->stream_count);
}

struct cluster_purge_log *cluster_purge_log_create(const struct cluster_purge_log_conf *conf)
{
    struct cluster_purge_log *l = must_alloc(sizeof(*l));
    must(conf->stream_id != 0);
    l->conf = *conf;
    struct span node = span_text(conf->node);
    if (node.len > CLUSTER_PURGE_NODE_MAX)
        node.len = CLUSTER_PURGE_NODE_MAX;
    l->node = span_dup(node);
    l->conf.node = l->node;
    if (!l->conf.record_max)
        l->conf.record_max = CLUSTER_PURGE_RECORDS;
    l->index = cluster_purge_index_create();
    l->own = NO_STREAM;
    return l;
}

void cluster_purge_log_destroy(struct cluster_purge_log *l)
{
    if (!l)
        return;
    for (struct cluster_purge_pending *next; l->first; l->first = next) {
        next = l->first->next;
        free(l->first);
    }
    cluster_purge_index_destroy(l->index);
    free(l->streams);
    free(l->node);
    free(l);
}

void cluster_purge_log_keep(struct cluster_purge_log *l, int64_t keep_s)
{
    l->conf.keep_s = keep_s;
}

void cluster_purge_log_swept(struct cluster_purge_log *l, uint64_t apply_no)
{
    if (apply_no > l->swept_no)
        l->swept_no = apply_no;
}

static uint32_t find_stream(const struct cluster_purge_log *l, uint64_t id)
{
    for (uint32_t i = l->stream_count; i > 0; i--) {
        if (l->streams[i - 1].id == id)
            return i - 1;
    }
    return NO_STREAM;
}

static uint32_t add_stream(struct cluster_purge_log *l, const struct cluster_purge_stream *row)
{
    l->streams = must_realloc(l->streams, (l->stream_count + 1) * sizeof(*l->streams));
    l->streams[l->stream_count] = *row;
    return l->stream_count++;
}

static struct hash128 key_of(const struct cluster_purge_log *l, const struct purge *p)
{
    char text[2 + PURGE_SITE_MAX + PURGE_SELECTOR_MAX];
    must(p->site.len <= PURGE_SITE_MAX && p->selector.len <= PURGE_SELECTOR_MAX);
    size_t at = 2 + p->site.len;
    text[0] = (char)p->kind;
    text[1] = (char)p->site.len;
    if (p->site.len)
        memcpy(text + 2, p->site.ptr, p->site.len);
    if (p->selector.len)
        memcpy(text + at, p->selector.ptr, p->selector.len);
    return hash_sip128(&l->conf.hash_key, span_of(text, at + p->selector.len));
}

/* Is an older one needless beside a later one of the same key? */
static bool as_hard(unsigned later_mode, unsigned older_mode)
{
    return later_mode == PURGE_HARD || older_mode == PURGE_SOFT;
}

/* --- load --- */

void cluster_purge_log_load_stream(struct cluster_purge_log *l,
                                   const struct cluster_purge_stream *row)
{
    if (find_stream(l, row->id) == NO_STREAM)
        (void)add_stream(l, row);
}

static struct cluster_purge_entry entry_of(const struct cluster_purge_log *l, uint32_t stream,
                                           const struct cluster_purge_record *r)
{
    return (struct cluster_purge_entry){
        .key = key_of(l, &r->purge),
        .seq = r->seq,
        .apply_no = r->apply_no,
        .dedup = r->dedup,
        .accepted_at_s = r->accepted_at_s,
        .stream = stream,
        .kind = (uint8_t)r->purge.kind,
        .mode = (uint8_t)r->purge.mode,
    };
}

void cluster_purge_log_load(struct cluster_purge_log *l, const struct cluster_purge_record *r)
{
    uint32_t stream = find_stream(l, r->stream);
    if (stream == NO_STREAM) /* its row is damaged or gone: the record counts all the same */
        stream = add_stream(l, &(struct cluster_purge_stream){.id = r->stream});
    if (l->streams[stream].synced_seq < r->seq)
        l->streams[stream].synced_seq = r->seq;
    struct cluster_purge_entry e = entry_of(l, stream, r);
    e.synced = true;
    if (!cluster_purge_index_find(l->index, stream, r->seq))
        (void)cluster_purge_index_add(l->index, &e);
}

void cluster_purge_log_loaded(struct cluster_purge_log *l, struct cluster_purge_floors floors,
                              uint64_t used_bytes, uint64_t max_bytes)
{
    cluster_purge_index_sort(l->index);
    l->floors = floors;
    l->used_bytes = used_bytes;
    l->max_bytes = max_bytes;
    while (find_stream(l, l->conf.stream_id) != NO_STREAM)
        l->conf.stream_id = hash_mix(l->conf.stream_id) | 1;
}

void cluster_purge_log_unload(struct cluster_purge_log *l)
{
    must(l->own == NO_STREAM && !l->first);
    cluster_purge_index_destroy(l->index);
    l->index = cluster_purge_index_create();
    l->stream_count = 0;
}

void cluster_purge_log_set_reader(struct cluster_purge_log *l, cluster_purge_reader *read,
                                  void *disk)
{
    l->read = read;
    l->disk = disk;
}

/* --- accept --- */

static void append(struct cluster_purge_log *l, const struct cluster_purge_pending *head,
                   const uint8_t *value)
{
    struct cluster_purge_pending *p = must_alloc(sizeof(*p) + head->bytes);
    *p = *head;
    if (head->bytes)
        memcpy(p->value, value, head->bytes);
    if (l->last)
        l->last->next = p;
    else
        l->first = p;
    l->last = p;
    l->pending_count++;
    l->unanswered++;
    l->pending_bytes += p->bytes;
}

enum err cluster_purge_log_accept(struct cluster_purge_log *l, const struct purge *p,
                                  uint64_t apply_no, uint64_t dedup, int64_t now_s,
                                  uint64_t ticket, struct cluster_purge_id *out_id)
{
    uint8_t value[CLUSTER_PURGE_BYTES_MAX];
    check_sane(l);
    if (l->pending_count >= CLUSTER_PURGE_PENDING ||
        l->pending_bytes + sizeof(value) > CLUSTER_PURGE_PENDING_BYTES)
        return ERR_LIMIT;
    const struct cluster_purge_entry *known = cluster_purge_index_find_dedup(l->index, dedup);
    struct cluster_purge_pending head = {.ticket = ticket};
    if (known) {
        head.id = (struct cluster_purge_id){l->streams[known->stream].id, known->seq};
        append(l, &head, NULL);
        *out_id = head.id;
        return ERR_OK;
    }
    if (l->own == NO_STREAM)
        l->own = add_stream(l, &(struct cluster_purge_stream){.id = l->conf.stream_id});
    struct cluster_purge_record r = {
        .stream = l->streams[l->own].id,
        .seq = ++l->own_seq,
        .apply_no = apply_no,
        .dedup = dedup,
        .accepted_at_s = now_s,
        .node = span_text(l->node),
        .purge = *p,
    };
    struct cluster_purge_entry e = entry_of(l, l->own, &r);
    const struct cluster_purge_entry *older =
        cluster_purge_index_find_key(l->index, l->own, e.key);
    if (older && as_hard(e.mode, older->mode))
        head.supersedes = older->seq;
    (void)cluster_purge_index_add(l->index, &e);
    head.id = (struct cluster_purge_id){r.stream, r.seq};
    head.bytes = (uint32_t)cluster_purge_record_encode(&r, value);
    append(l, &head, value);
    *out_id = head.id;
    return ERR_OK;
}

/* --- what the disk does next --- */

static struct cluster_purge_stream *row_of(struct cluster_purge_log *l,
                                           struct cluster_purge_batch *b, uint32_t stream)
{
    const struct cluster_purge_stream *now = &l->streams[stream];
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
    b->drops[b->drop_count++] = (struct cluster_purge_id){l->streams[e->stream].id, e->seq};
    e->leaving = true;
}

static void take_pending(struct cluster_purge_log *l, struct cluster_purge_batch *b)
{
    for (const struct cluster_purge_pending *p = l->first; p && b->count < CLUSTER_PURGE_BATCH;
         p = p->next) {
        b->records[b->count++] = p;
        if (!p->bytes)
            continue;
        struct cluster_purge_stream *row = row_of(l, b, l->own);
        row->synced_seq = p->id.seq;
        row->last_at_s = b->now_s;
        if (!p->supersedes)
            continue;
        struct cluster_purge_entry *older =
            cluster_purge_index_find(l->index, l->own, p->supersedes);
        if (older && !older->leaving) {
            drop(l, b, older);
            l->out_superseded++;
        }
    }
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
        } else if (e->stream == l->all.stream && e->seq < l->all.seq && e->synced &&
                   !e->leaving && as_hard(l->all.hard ? PURGE_HARD : PURGE_SOFT, e->mode)) {
            drop(l, b, e);
            l->out_superseded++;
        }
    }
}

static bool is_expired(const struct cluster_purge_log *l, const struct cluster_purge_entry *e,
                       int64_t now_s)
{
    return e->synced && e->apply_no <= l->swept_no && now_s - e->accepted_at_s > l->conf.keep_s;
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
    while (b->drop_count < limit && (e = cluster_purge_index_walk(l->index, &at))) {
        if (e->leaving)
            continue;
        bool expired = is_expired(l, e, b->now_s);
        if (!e->synced || (!expired && !more))
            break;
        if (more)
            more--;
        drop(l, b, e);
        struct cluster_purge_stream *row = row_of(l, b, e->stream);
        if (row->floor_seq < e->seq)
            row->floor_seq = e->seq;
        l->out_expired += expired;
        l->out_displaced += !expired;
        uint64_t *floor = e->mode == PURGE_HARD ? &b->floors.hard : &b->floors.soft;
        if (e->apply_no > l->swept_no && e->apply_no > *floor) {
            *floor = e->apply_no;
            b->floors_changed = true;
        }
    }
}

static bool is_due(const struct cluster_purge_log *l, int64_t now_s)
{
    size_t at = 0;
    if (l->failing && !l->unanswered && now_s == l->tried_at_s)
        return false;
    if (l->first || l->all.active)
        return true;
    const struct cluster_purge_entry *e = cluster_purge_index_walk(l->index, &at);
    return e && is_expired(l, e, now_s);
}

bool cluster_purge_log_take(struct cluster_purge_log *l, int64_t now_s,
                            struct cluster_purge_batch *out)
{
    check_sane(l);
    if (l->taken || !is_due(l, now_s))
        return false;
    out->count = out->drop_count = out->stream_count = 0;
    out->floors = l->floors;
    out->floors_changed = false;
    out->now_s = now_s;
    l->out_superseded = l->out_expired = l->out_displaced = 0;
    take_pending(l, out);
    /* One transaction frees few pages: the free list's own record stays small. */
    unsigned limit = out->drop_count + CLUSTER_PURGE_BATCH;
    take_under_all(l, out, limit);
    take_oldest(l, out, limit);
    l->taken = true;
    return true;
}

/* --- what came of it --- */

static void begin_all(struct cluster_purge_log *l, const struct cluster_purge_entry *e)
{
    /* Only that of every site: entries do not know theirs. */
    if (e->kind != PURGE_ALL ||
        !hash128_equal(e->key, key_of(l, &(struct purge){.kind = PURGE_ALL})))
        return;
    l->all.active = true;
    l->all.hard = e->mode == PURGE_HARD;
    l->all.stream = e->stream;
    l->all.seq = e->seq;
    l->all.at = 0;
}

static void settle(struct cluster_purge_log *l, const struct cluster_purge_batch *b,
                   enum err err)
{
    struct cluster_purge_entry *e;
    for (unsigned i = 0; err == ERR_OK && i < b->count; i++) {
        const struct cluster_purge_pending *p = b->records[i];
        if (p->bytes && (e = cluster_purge_index_find(l->index, l->own, p->id.seq))) {
            e->synced = true;
            begin_all(l, e);
        }
    }
    for (unsigned i = 0; i < b->drop_count; i++) {
        uint32_t stream = find_stream(l, b->drops[i].stream);
        e = cluster_purge_index_find(l->index, stream, b->drops[i].seq);
        must(e && e->leaving);
        e->leaving = false;
        if (err == ERR_OK)
            cluster_purge_index_drop(l->index, e);
    }
    for (unsigned i = 0; err == ERR_OK && i < b->stream_count; i++)
        l->streams[find_stream(l, b->streams[i].id)] = b->streams[i];
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
        if (p->bytes) {
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
    check_sane(l);
    settle(l, b, err);
    l->failing = err != ERR_OK;
    l->tried_at_s = b->now_s;
    if (err == ERR_OK) {
        l->used_bytes = used_bytes;
        l->floors = b->floors;
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
    check_sane(l);
}

/* --- questions --- */

enum cluster_purge_state cluster_purge_log_state(const struct cluster_purge_log *l,
                                                 struct cluster_purge_id id)
{
    uint32_t stream = find_stream(l, id.stream);
    if (stream == NO_STREAM || id.seq == 0)
        return CLUSTER_PURGE_UNKNOWN;
    const struct cluster_purge_entry *e = cluster_purge_index_find(l->index, stream, id.seq);
    if (e)
        return e->synced ? CLUSTER_PURGE_SYNCED : CLUSTER_PURGE_PENDING_HERE;
    return id.seq <= l->streams[stream].synced_seq ? CLUSTER_PURGE_SUPERSEDED
                                                   : CLUSTER_PURGE_UNKNOWN;
}

static enum err read_pending(const struct cluster_purge_log *l, struct cluster_purge_id id,
                             struct cluster_purge_record *out)
{
    for (const struct cluster_purge_pending *p = l->first; p; p = p->next) {
        if (p->bytes && p->id.seq == id.seq && p->id.stream == id.stream)
            return cluster_purge_record_decode(id.stream, id.seq, span_of(p->value, p->bytes),
                                               out);
    }
    return ERR_NOT_FOUND;
}

enum err cluster_purge_log_find(struct cluster_purge_log *l, struct cluster_purge_id id,
                                struct cluster_purge_record *out, bool *out_synced)
{
    enum cluster_purge_state state = cluster_purge_log_state(l, id);
    if (state == CLUSTER_PURGE_PENDING_HERE) {
        *out_synced = false;
        return read_pending(l, id, out);
    }
    if (state != CLUSTER_PURGE_SYNCED || !l->read)
        return ERR_NOT_FOUND;
    *out_synced = true;
    return l->read(l->disk, id, out);
}

unsigned cluster_purge_log_list(struct cluster_purge_log *l, int64_t since_s, unsigned limit,
                                void (*tell)(void *user, const struct cluster_purge_record *r,
                                             bool synced),
                                void *user)
{
    const struct cluster_purge_entry *e;
    struct cluster_purge_record r;
    unsigned told = 0;
    size_t at = 0;
    bool synced;
    while (told < limit && (e = cluster_purge_index_walk(l->index, &at))) {
        struct cluster_purge_id id = {l->streams[e->stream].id, e->seq};
        if (e->accepted_at_s < since_s || cluster_purge_log_find(l, id, &r, &synced))
            continue;
        tell(user, &r, synced);
        told++;
    }
    return told;
}

void cluster_purge_log_figures(const struct cluster_purge_log *l,
                               struct cluster_purge_log_figures *out)
{
    *out = (struct cluster_purge_log_figures){
        .records = cluster_purge_index_count(l->index),
        .pending = l->pending_count,
        .streams = l->stream_count,
        .used_bytes = l->used_bytes,
        .max_bytes = l->max_bytes,
        .superseded = l->superseded,
        .expired = l->expired,
        .displaced = l->displaced,
        .ok = !l->failing,
    };
}
