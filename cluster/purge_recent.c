#include "cluster/purge_recent.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

#define NEVER UINT64_MAX

struct record {
    uint64_t stream, seq, apply_no;
    uint64_t before;     /* position of the stream's record that was added before; NEVER */
    uint64_t max_before; /* the highest seq of those added before */
};
struct stream {
    uint64_t id;
    uint64_t last;    /* position of the record added last; NEVER */
    uint64_t max_seq; /* of all that were added */
    uint64_t old_seq; /* of those that are not remembered any more */
};
struct unnumbered {
    uint64_t token, apply_no;
    int64_t until_us;
};
struct nameless { /* those without a token that end in one second: the lowest is all that counts
                   */
    int64_t second;
    uint64_t lowest;
};
#define SECOND_US INT64_C(1000000)
#define NAMELESS (CLUSTER_RECENT_UNNUMBERED_US / SECOND_US + 2)
struct cluster_recent {
    pthread_mutex_t lock;   /* protects all */
    struct record *ring;    /* position % CLUSTER_RECENT */
    uint64_t next;          /* position of the next record */
    struct stream *streams; /* by rising id */
    uint32_t stream_count, stream_room;
    struct unnumbered *unnumbered; /* in the order of their adding */
    uint32_t unnumbered_count;
    struct nameless nameless[NAMELESS]; /* second % NAMELESS */
    int64_t unknown_until_us;
};

struct cluster_recent *cluster_recent_create(void)
{
    struct cluster_recent *r = must_alloc(sizeof *r);
    must(pthread_mutex_init(&r->lock, NULL) == 0);
    r->ring = must_alloc(CLUSTER_RECENT * sizeof *r->ring); /* touched as it fills */
    r->unnumbered = must_alloc(CLUSTER_RECENT_UNNUMBERED * sizeof *r->unnumbered);
    r->unknown_until_us = INT64_MIN;
    return r;
}

void cluster_recent_destroy(struct cluster_recent *r)
{
    if (!r)
        return;
    pthread_mutex_destroy(&r->lock);
    free(r->ring);
    free(r->streams);
    free(r->unnumbered);
    free(r);
}

/* Added when it is not there. */
static struct stream *stream_of(struct cluster_recent *r, uint64_t id)
{
    uint32_t low = 0, high = r->stream_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (r->streams[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < r->stream_count && r->streams[low].id == id)
        return &r->streams[low];
    if (r->stream_count == r->stream_room) {
        r->stream_room = r->stream_room ? r->stream_room * 2 : 16;
        r->streams = must_realloc(r->streams, r->stream_room * sizeof *r->streams);
    }
    memmove(r->streams + low + 1, r->streams + low,
            (r->stream_count - low) * sizeof *r->streams);
    r->stream_count++;
    r->streams[low] = (struct stream){.id = id, .last = NEVER};
    return &r->streams[low];
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void forget_oldest(struct cluster_recent *r)
{
    const struct record *old = &r->ring[r->next % CLUSTER_RECENT];
    struct stream *s = stream_of(r, old->stream);
    s->old_seq = larger(s->old_seq, old->seq);
}

void cluster_recent_add(struct cluster_recent *r, struct cluster_purge_id id, uint64_t apply_no)
{
    pthread_mutex_lock(&r->lock);
    if (r->next >= CLUSTER_RECENT)
        forget_oldest(r);
    struct stream *s = stream_of(r, id.stream);
    r->ring[r->next % CLUSTER_RECENT] = (struct record){.stream = id.stream,
                                                        .seq = id.seq,
                                                        .apply_no = apply_no,
                                                        .before = s->last,
                                                        .max_before = s->max_seq};
    s->last = r->next++;
    s->max_seq = larger(s->max_seq, id.seq);
    pthread_mutex_unlock(&r->lock);
}

void cluster_recent_passed_over(struct cluster_recent *r, uint64_t stream, uint64_t through)
{
    pthread_mutex_lock(&r->lock);
    struct stream *s = stream_of(r, stream);
    s->old_seq = larger(s->old_seq, through);
    s->max_seq = larger(s->max_seq, through);
    pthread_mutex_unlock(&r->lock);
}

void cluster_recent_begin(struct cluster_recent *r, const struct cluster_vector *synced)
{
    for (uint32_t i = 0; i < synced->count; i++)
        cluster_recent_passed_over(r, synced->rows[i].stream, synced->rows[i].seq);
}

/* --- without a number --- */

static void drop_unnumbered(struct cluster_recent *r, uint32_t at)
{
    r->unnumbered_count--;
    memmove(r->unnumbered + at, r->unnumbered + at + 1,
            (r->unnumbered_count - at) * sizeof *r->unnumbered);
}

static void expire(struct cluster_recent *r, int64_t now_us)
{
    uint32_t gone = 0;
    while (gone < r->unnumbered_count && r->unnumbered[gone].until_us <= now_us)
        gone++;
    if (gone == 0)
        return;
    r->unnumbered_count -= gone;
    memmove(r->unnumbered, r->unnumbered + gone, r->unnumbered_count * sizeof *r->unnumbered);
}

static void add_nameless(struct cluster_recent *r, uint64_t apply_no, int64_t now_us)
{
    int64_t second = (now_us + CLUSTER_RECENT_UNNUMBERED_US) / SECOND_US;
    struct nameless *n = &r->nameless[second % NAMELESS];
    if (n->second != second)
        *n = (struct nameless){second, apply_no};
    else if (apply_no < n->lowest)
        n->lowest = apply_no;
}

static void add_named(struct cluster_recent *r, uint64_t token, uint64_t apply_no,
                      int64_t now_us)
{
    expire(r, now_us);
    if (r->unnumbered_count == CLUSTER_RECENT_UNNUMBERED) {
        r->unknown_until_us = r->unnumbered[0].until_us;
        drop_unnumbered(r, 0);
    }
    r->unnumbered[r->unnumbered_count++] =
        (struct unnumbered){.token = token,
                            .apply_no = apply_no,
                            .until_us = now_us + CLUSTER_RECENT_UNNUMBERED_US};
}

void cluster_recent_add_unnumbered(struct cluster_recent *r, uint64_t token, uint64_t apply_no,
                                   int64_t now_us)
{
    pthread_mutex_lock(&r->lock);
    if (token)
        add_named(r, token, apply_no, now_us);
    else
        add_nameless(r, apply_no, now_us);
    pthread_mutex_unlock(&r->lock);
}

void cluster_recent_numbered(struct cluster_recent *r, uint64_t token)
{
    pthread_mutex_lock(&r->lock);
    for (uint32_t i = r->unnumbered_count; token && i > 0; i--) {
        if (r->unnumbered[i - 1].token == token)
            drop_unnumbered(r, i - 1);
    }
    pthread_mutex_unlock(&r->lock);
}

static uint64_t lowest_unnumbered(struct cluster_recent *r, int64_t now_us)
{
    uint64_t lowest = NEVER;
    expire(r, now_us);
    for (uint32_t i = 0; i < r->unnumbered_count; i++) {
        if (r->unnumbered[i].apply_no < lowest)
            lowest = r->unnumbered[i].apply_no;
    }
    for (uint32_t i = 0; i < NAMELESS; i++) {
        const struct nameless *n = &r->nameless[i];
        if ((n->second + 1) * SECOND_US > now_us && n->lowest && n->lowest < lowest)
            lowest = n->lowest;
    }
    return lowest;
}

uint64_t cluster_recent_oldest_unnumbered(struct cluster_recent *r, int64_t now_us)
{
    pthread_mutex_lock(&r->lock);
    uint64_t lowest = lowest_unnumbered(r, now_us);
    if (r->unknown_until_us > now_us)
        lowest = 1;
    pthread_mutex_unlock(&r->lock);
    return lowest == NEVER ? 0 : lowest;
}

/* --- what another node may not know --- */

/* Of the stream, above `seq`: back in the order of adding, as long as there can be any. */
static uint64_t lowest_above(const struct cluster_recent *r, const struct stream *s,
                             uint64_t seq)
{
    uint64_t lowest = NEVER, oldest = r->next > CLUSTER_RECENT ? r->next - CLUSTER_RECENT : 0;
    for (uint64_t at = s->last; at != NEVER && at >= oldest;) {
        const struct record *x = &r->ring[at % CLUSTER_RECENT];
        if (x->seq > seq && x->apply_no < lowest)
            lowest = x->apply_no;
        if (x->max_before <= seq)
            break;
        at = x->before;
    }
    return lowest;
}

static bool is_vector(struct span bytes)
{
    struct cursor c;
    uint64_t before = 0;
    if (bytes.len % CLUSTER_VECTOR_ROW_BYTES != 0)
        return false;
    cursor_read(&c, bytes);
    while (cursor_left(&c) > 0) {
        uint64_t stream = cursor_get_u64(&c), seq = cursor_get_u64(&c);
        if (stream <= before || seq == 0)
            return false;
        before = stream;
    }
    return true;
}

static uint64_t lowest_unknown_to(const struct cluster_recent *r, struct span vector)
{
    struct cursor c;
    uint64_t lowest = NEVER, stream = 0, seq = 0;
    cursor_read(&c, vector);
    for (uint32_t i = 0; i < r->stream_count; i++) {
        const struct stream *s = &r->streams[i];
        while (stream < s->id && cursor_left(&c) > 0) {
            stream = cursor_get_u64(&c);
            seq = cursor_get_u64(&c);
        }
        uint64_t known = stream == s->id ? seq : 0;
        if (known < s->old_seq)
            return CLUSTER_RECENT_UNKNOWN;
        uint64_t above = known < s->max_seq ? lowest_above(r, s, known) : NEVER;
        if (above < lowest)
            lowest = above;
    }
    return lowest == NEVER ? CLUSTER_RECENT_ALL : lowest;
}

uint64_t cluster_recent_oldest_unknown_to(struct cluster_recent *r, struct span vector,
                                          int64_t now_us)
{
    if (!is_vector(vector))
        return CLUSTER_RECENT_UNKNOWN;
    pthread_mutex_lock(&r->lock);
    uint64_t numbered = lowest_unknown_to(r, vector), unnumbered = lowest_unnumbered(r, now_us);
    if (r->unknown_until_us > now_us)
        numbered = CLUSTER_RECENT_UNKNOWN;
    pthread_mutex_unlock(&r->lock);
    if (numbered == CLUSTER_RECENT_UNKNOWN || unnumbered == NEVER)
        return numbered;
    return numbered == CLUSTER_RECENT_ALL || unnumbered < numbered ? unnumbered : numbered;
}
