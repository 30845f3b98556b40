#include "cluster/purge_log_core.h"

#include <stdlib.h>
#include <string.h>

#include "cluster/purge_rows.h"

#define NO_STREAM CLUSTER_PURGE_NO_STREAM
#define AHEAD_MAX                                                                              \
    CLUSTER_PURGE_PENDING /* records beyond what is kept: they cannot be dropped */

void cluster_purge_log_check_sane(const struct cluster_purge_log *l)
{
    must(!l->first == !l->last && !l->first == !l->pending_count);
    must(l->unanswered <= l->pending_count);
    must(l->own == NO_STREAM || l->own < l->streams.count);
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
    l->batch_max = CLUSTER_PURGE_BATCH;
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
    for (uint32_t i = 0; i < l->member_count; i++)
        free(l->members[i].id);
    free(l->members);
    cluster_purge_index_destroy(l->index);
    cluster_purge_streams_fini(&l->streams);
    free(l->node);
    free(l);
}

void cluster_purge_log_keep(struct cluster_purge_log *l, int64_t keep_s)
{
    l->conf.keep_s = keep_s;
}

void cluster_purge_log_swept(struct cluster_purge_log *l, struct cluster_purge_swept swept)
{
    if (swept.apply_no > l->swept.apply_no)
        l->swept.apply_no = swept.apply_no;
    l->swept.sites = swept.sites;
}

struct cluster_purge_swept cluster_purge_log_swept_now(const struct cluster_purge_log *l)
{
    return l->swept;
}

struct cluster_purge_floors cluster_purge_log_floors(const struct cluster_purge_log *l)
{
    return l->floors;
}

void cluster_purge_log_load_floors(struct cluster_purge_log *l,
                                   struct cluster_purge_floors floors)
{
    l->floors = floors;
}

void cluster_purge_log_load_swept(struct cluster_purge_log *l, struct cluster_purge_swept swept)
{
    l->swept = l->stored = swept;
}

struct hash128 cluster_purge_log_key(const struct cluster_purge_log *l, const struct purge *p)
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

/* --- load --- */

void cluster_purge_log_load_stream(struct cluster_purge_log *l,
                                   const struct cluster_purge_stream *row)
{
    uint32_t at = cluster_purge_streams_find(&l->streams, row->id);
    if (at == NO_STREAM)
        (void)cluster_purge_streams_add(&l->streams, row);
    else if (l->streams.rows[at].floor_seq < row->floor_seq)
        l->streams.rows[at].floor_seq = row->floor_seq;
}

static uint32_t stream_of(struct cluster_purge_log *l, uint64_t id)
{
    uint32_t stream = cluster_purge_streams_find(&l->streams, id);
    if (stream != NO_STREAM)
        return stream;
    return cluster_purge_streams_add(&l->streams, &(struct cluster_purge_stream){.id = id});
}

static struct cluster_purge_entry entry_of(const struct cluster_purge_log *l, uint32_t stream,
                                           const struct cluster_purge_record *r)
{
    return (struct cluster_purge_entry){
        .key = cluster_purge_log_key(l, &r->purge),
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
    uint32_t stream = stream_of(l, r->stream); /* also when its row is damaged or gone */
    struct cluster_purge_entry e = entry_of(l, stream, r);
    e.synced = e.loaded = true;
    if (!cluster_purge_index_find(l->index, stream, r->seq))
        (void)cluster_purge_index_add(l->index, &e);
}

void cluster_purge_log_loaded(struct cluster_purge_log *l, struct cluster_purge_floors floors,
                              uint64_t used_bytes, uint64_t max_bytes)
{
    cluster_purge_index_sort(l->index);
    /* A row that was lost begins again: over what is here without a gap. */
    for (uint32_t i = 0; i < l->streams.count; i++) {
        struct cluster_purge_stream *row = &l->streams.rows[i];
        while (cluster_purge_index_find(l->index, i, row->synced_seq + 1))
            row->synced_seq++;
    }
    l->floors = floors;
    l->used_bytes = used_bytes;
    l->max_bytes = max_bytes;
    while (cluster_purge_streams_find(&l->streams, l->conf.stream_id) != NO_STREAM)
        l->conf.stream_id = hash_mix(l->conf.stream_id) | 1;
}

void cluster_purge_log_unload(struct cluster_purge_log *l)
{
    must(l->own == NO_STREAM && !l->first);
    cluster_purge_index_destroy(l->index);
    l->index = cluster_purge_index_create();
    cluster_purge_streams_fini(&l->streams);
    l->swept = l->stored = (struct cluster_purge_swept){0};
}

void cluster_purge_log_set_reader(struct cluster_purge_log *l,
                                  const struct cluster_purge_reader *reader, void *disk)
{
    l->reader = reader;
    l->disk = disk;
}

/* --- accept --- */

static void append(struct cluster_purge_log *l, const struct cluster_purge_pending *head,
                   const void *value)
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
    l->unanswered += !p->answered;
    l->pending_bytes += p->bytes;
}

static bool has_room(const struct cluster_purge_log *l)
{
    return l->pending_count < CLUSTER_PURGE_PENDING &&
           l->pending_bytes + CLUSTER_PURGE_BYTES_MAX <= CLUSTER_PURGE_PENDING_BYTES;
}

static void append_record(struct cluster_purge_log *l, uint32_t stream,
                          const struct cluster_purge_record *r, uint64_t ticket)
{
    uint8_t value[CLUSTER_PURGE_BYTES_MAX];
    struct cluster_purge_entry e = entry_of(l, stream, r);
    const struct cluster_purge_entry *older =
        cluster_purge_index_find_key(l->index, stream, e.key);
    struct cluster_purge_pending head = {
        .kind = CLUSTER_PURGE_RECORD, .id = {r->stream, r->seq}, .ticket = ticket};
    if (older && older->seq < r->seq && cluster_purge_as_hard(e.mode, older->mode))
        head.supersedes = older->seq;
    (void)cluster_purge_index_add(l->index, &e);
    head.bytes = (uint32_t)cluster_purge_record_encode(r, value);
    append(l, &head, value);
}

enum err cluster_purge_log_accept(struct cluster_purge_log *l, const struct purge *p,
                                  uint64_t apply_no, uint64_t dedup, int64_t now_s,
                                  uint64_t ticket, struct cluster_purge_id *out_id)
{
    cluster_purge_log_check_sane(l);
    if (!has_room(l))
        return ERR_LIMIT;
    const struct cluster_purge_entry *known = cluster_purge_index_find_dedup(l->index, dedup);
    if (known) {
        *out_id = (struct cluster_purge_id){l->streams.rows[known->stream].id, known->seq};
        append(l, &(struct cluster_purge_pending){.id = *out_id, .ticket = ticket}, NULL);
        return ERR_OK;
    }
    if (l->own == NO_STREAM)
        l->own = stream_of(l, l->conf.stream_id);
    struct cluster_purge_record r = {
        .stream = l->conf.stream_id,
        .seq = ++l->own_seq,
        .apply_no = apply_no,
        .dedup = dedup,
        .accepted_at_s = now_s,
        .node = span_text(l->node),
        .purge = *p,
    };
    append_record(l, l->own, &r, ticket);
    *out_id = (struct cluster_purge_id){r.stream, r.seq};
    return ERR_OK;
}

/* --- what other nodes know --- */

bool cluster_purge_log_has(const struct cluster_purge_log *l, struct cluster_purge_id id)
{
    return cluster_purge_log_state(l, id) != CLUSTER_PURGE_UNKNOWN;
}

bool cluster_purge_log_knows(const struct cluster_purge_log *l, uint64_t dedup,
                             struct cluster_purge_known *out)
{
    const struct cluster_purge_entry *e = cluster_purge_index_find_dedup(l->index, dedup);
    if (e && out) {
        out->id = (struct cluster_purge_id){l->streams.rows[e->stream].id, e->seq};
        out->from_before = e->loaded;
    }
    return e != NULL;
}

enum err cluster_purge_log_receive(struct cluster_purge_log *l,
                                   const struct cluster_purge_record *r, uint64_t ticket)
{
    struct cluster_purge_id id = {r->stream, r->seq};
    cluster_purge_log_check_sane(l);
    if (r->stream == l->conf.stream_id || r->stream == 0 || r->seq == 0)
        return ERR_REFUSED;
    if (!has_room(l) ||
        cluster_purge_index_count(l->index) >= (uint64_t)l->conf.record_max + AHEAD_MAX)
        return ERR_LIMIT;
    if (cluster_purge_log_has(l, id)) {
        append(l, &(struct cluster_purge_pending){.id = id, .ticket = ticket}, NULL);
        return ERR_OK;
    }
    if (cluster_purge_streams_find(&l->streams, r->stream) == NO_STREAM &&
        l->streams.count >= CLUSTER_VECTOR_ROWS)
        return ERR_LIMIT;
    append_record(l, stream_of(l, r->stream), r, ticket);
    return ERR_OK;
}

void cluster_purge_log_cover(struct cluster_purge_log *l, uint64_t stream, uint64_t through)
{
    uint32_t at = cluster_purge_streams_find(&l->streams, stream);
    if (stream == l->conf.stream_id ||
        (at == NO_STREAM && l->streams.count >= CLUSTER_VECTOR_ROWS))
        return;
    if (stream_of(l, stream) == at && l->streams.rows[at].synced_seq >= through)
        return;
    append(l,
           &(struct cluster_purge_pending){
               .kind = CLUSTER_PURGE_COVER, .id = {stream, through}, .answered = true},
           NULL);
}

void cluster_purge_log_fall_back(struct cluster_purge_log *l, uint64_t stream, uint64_t through,
                                 uint64_t apply_no, bool hard)
{
    bool counts = stream != 0 && stream != l->conf.stream_id &&
                  (cluster_purge_streams_find(&l->streams, stream) != NO_STREAM ||
                   l->streams.count < CLUSTER_VECTOR_ROWS);
    if (counts)
        (void)stream_of(l, stream);
    append(l,
           &(struct cluster_purge_pending){.kind = CLUSTER_PURGE_FALL_BACK,
                                           .id = {counts ? stream : 0, through},
                                           .apply_no = apply_no,
                                           .hard = hard,
                                           .answered = true},
           NULL);
}

void cluster_purge_log_vector(const struct cluster_purge_log *l, struct cluster_vector *out)
{
    cluster_vector_clear(out);
    for (uint32_t i = 0; i < l->streams.count; i++) {
        const struct cluster_purge_stream *row = &l->streams.rows[i];
        must(cluster_vector_raise(out, row->id, row->synced_seq) == ERR_OK);
    }
}

uint64_t cluster_purge_log_serial(const struct cluster_purge_log *l)
{
    return l->serial;
}

uint64_t cluster_purge_log_synced(const struct cluster_purge_log *l, uint64_t stream)
{
    uint32_t at = cluster_purge_streams_find(&l->streams, stream);
    return at == NO_STREAM ? 0 : l->streams.rows[at].synced_seq;
}

uint64_t cluster_purge_log_floor(const struct cluster_purge_log *l, uint64_t stream)
{
    uint32_t at = cluster_purge_streams_find(&l->streams, stream);
    return at == NO_STREAM ? 0 : l->streams.rows[at].floor_seq;
}

uint64_t cluster_purge_log_own_stream(const struct cluster_purge_log *l)
{
    return l->own == NO_STREAM ? 0 : l->conf.stream_id;
}

enum err cluster_purge_log_read(struct cluster_purge_log *l, uint64_t stream, uint64_t after,
                                bool (*tell)(void *user, const struct cluster_purge_record *r),
                                void *user, uint64_t *out_through)
{
    *out_through = after;
    if (!l->reader || cluster_purge_log_synced(l, stream) == 0)
        return ERR_NOT_FOUND;
    return l->reader->range(l->disk, stream, after, tell, user, out_through);
}

/* --- members --- */

static enum err put_member(struct cluster_purge_log *l, const struct cluster_purge_member *m)
{
    uint32_t at = 0;
    while (at < l->member_count && !span_equal(l->members[at].m.id, m->id))
        at++;
    if (at == CLUSTER_PURGE_MEMBERS)
        return ERR_LIMIT;
    if (at == l->member_count) {
        if (l->member_count == l->member_room) {
            l->member_room = l->member_room ? l->member_room * 2 : 16;
            l->members = must_realloc(l->members, l->member_room * sizeof *l->members);
        }
        l->members[at].id = span_dup(m->id);
        l->members[at].m.id = span_of(l->members[at].id, m->id.len);
        l->member_count++;
    }
    l->members[at].m.generation = m->generation;
    l->members[at].m.left = m->left;
    return ERR_OK;
}

void cluster_purge_log_load_member(struct cluster_purge_log *l,
                                   const struct cluster_purge_member *m)
{
    (void)!put_member(l, m);
}

enum err cluster_purge_log_set_member(struct cluster_purge_log *l,
                                      const struct cluster_purge_member *m)
{
    uint8_t value[CLUSTER_PURGE_MEMBER_BYTES_MAX];
    enum err err =
        m->id.len == 0 || m->id.len > CLUSTER_PURGE_NODE_MAX ? ERR_LIMIT : put_member(l, m);
    if (err != ERR_OK)
        return err;
    append(l,
           &(struct cluster_purge_pending){.kind = CLUSTER_PURGE_MEMBER,
                                           .answered = true,
                                           .bytes =
                                               (uint32_t)cluster_purge_member_encode(m, value)},
           value);
    return ERR_OK;
}

void cluster_purge_log_members(const struct cluster_purge_log *l,
                               void (*each)(void *user, const struct cluster_purge_member *m),
                               void *user)
{
    for (uint32_t i = 0; i < l->member_count; i++)
        each(user, &l->members[i].m);
}

/* --- questions --- */

enum cluster_purge_state cluster_purge_log_state(const struct cluster_purge_log *l,
                                                 struct cluster_purge_id id)
{
    uint32_t stream = cluster_purge_streams_find(&l->streams, id.stream);
    if (stream == NO_STREAM || id.seq == 0)
        return CLUSTER_PURGE_UNKNOWN;
    const struct cluster_purge_entry *e = cluster_purge_index_find(l->index, stream, id.seq);
    if (e)
        return e->synced ? CLUSTER_PURGE_SYNCED : CLUSTER_PURGE_PENDING_HERE;
    return id.seq <= l->streams.rows[stream].synced_seq ? CLUSTER_PURGE_SUPERSEDED
                                                        : CLUSTER_PURGE_UNKNOWN;
}

static enum err read_pending(const struct cluster_purge_log *l, struct cluster_purge_id id,
                             struct cluster_purge_record *out)
{
    for (const struct cluster_purge_pending *p = l->first; p; p = p->next) {
        if (p->kind == CLUSTER_PURGE_RECORD && p->id.seq == id.seq && p->id.stream == id.stream)
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
    if (state != CLUSTER_PURGE_SYNCED || !l->reader)
        return ERR_NOT_FOUND;
    *out_synced = true;
    return l->reader->one(l->disk, id, out);
}

void cluster_purge_log_pending(const struct cluster_purge_log *l,
                               void (*tell)(void *user, const struct cluster_purge_record *r),
                               void *user)
{
    struct cluster_purge_record r;
    for (const struct cluster_purge_pending *p = l->first; p; p = p->next)
        if (p->kind == CLUSTER_PURGE_RECORD &&
            cluster_purge_record_decode(p->id.stream, p->id.seq, span_of(p->value, p->bytes),
                                        &r) == ERR_OK)
            tell(user, &r);
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
        struct cluster_purge_id id = {l->streams.rows[e->stream].id, e->seq};
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
        .streams = l->streams.count,
        .used_bytes = l->used_bytes,
        .max_bytes = l->max_bytes,
        .superseded = l->superseded,
        .expired = l->expired,
        .displaced = l->displaced,
        .ok = !l->failing,
    };
}
