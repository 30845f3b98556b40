#include "cluster/broadcast.h"

#include <math.h>
#include <stdlib.h>

#define PICK_MAX 255u /* parts of a compound */

struct message {
    uint64_t subject, number; /* number: a later one is newer */
    char *bytes;
    uint32_t len, sends;
};

struct cluster_broadcast {
    struct message *message; /* sorted: what is to be sent first comes first */
    uint32_t count, room, messages_max;
    size_t bytes, bytes_max;
    uint64_t numbers, dropped;
    char *spent[PICK_MAX]; /* handed out and through; live until the next change */
    uint32_t spents;
};

struct cluster_broadcast *cluster_broadcast_create(uint32_t messages_max, size_t bytes_max)
{
    must(messages_max > 0 && bytes_max <= UINT32_MAX);
    struct cluster_broadcast *q = must_alloc(sizeof(*q));
    q->messages_max = messages_max;
    q->bytes_max = bytes_max;
    return q;
}

static void free_spent(struct cluster_broadcast *q)
{
    while (q->spents > 0)
        free(q->spent[--q->spents]);
}

void cluster_broadcast_destroy(struct cluster_broadcast *q)
{
    if (!q)
        return;
    free_spent(q);
    for (uint32_t i = 0; i < q->count; i++)
        free(q->message[i].bytes);
    free(q->message);
    free(q);
}

uint32_t cluster_broadcast_limit(uint32_t mult, uint32_t members)
{
    return mult * (uint32_t)ceil(log10(members + 1.0));
}

/* Does a go before b? */
static bool before(const struct message *a, const struct message *b)
{
    if (a->sends != b->sends)
        return a->sends < b->sends;
    if (a->len != b->len)
        return a->len > b->len;
    return a->number > b->number;
}

/* The first place whose message does not go before `key`. */
static uint32_t place_of(const struct cluster_broadcast *q, const struct message *key)
{
    uint32_t low = 0;
    for (uint32_t high = q->count; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (before(&q->message[middle], key))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void insert(struct cluster_broadcast *q, struct message m)
{
    if (q->count == q->room) {
        q->room = q->room ? q->room * 2 : 8;
        q->message = must_realloc(q->message, q->room * sizeof(m));
    }
    uint32_t at = place_of(q, &m);
    memmove(&q->message[at + 1], &q->message[at], (q->count - at) * sizeof(m));
    q->message[at] = m;
    q->count++;
    q->bytes += m.len;
}

static struct message take_out(struct cluster_broadcast *q, uint32_t at)
{
    struct message m = q->message[at];
    q->count--;
    memmove(&q->message[at], &q->message[at + 1], (q->count - at) * sizeof(m));
    q->bytes -= m.len;
    return m;
}

static bool find(const struct cluster_broadcast *q, uint64_t subject, uint32_t *out_at)
{
    for (uint32_t i = 0; subject != 0 && i < q->count; i++) {
        if (q->message[i].subject == subject) {
            *out_at = i;
            return true;
        }
    }
    return false;
}

bool cluster_broadcast_holds(const struct cluster_broadcast *q, uint64_t subject)
{
    uint32_t at;
    return find(q, subject, &at);
}

void cluster_broadcast_remove(struct cluster_broadcast *q, uint64_t subject)
{
    free_spent(q);
    uint32_t at;
    if (find(q, subject, &at))
        free(take_out(q, at).bytes);
}

void cluster_broadcast_put(struct cluster_broadcast *q, uint64_t subject, struct span bytes)
{
    cluster_broadcast_remove(q, subject);
    if (bytes.len > q->bytes_max) {
        q->dropped++;
        return;
    }
    while (q->count == q->messages_max || q->bytes + bytes.len > q->bytes_max) {
        free(take_out(q, q->count - 1).bytes);
        q->dropped++;
    }
    struct message m = {
        .subject = subject,
        .number = q->numbers++,
        .len = (uint32_t)bytes.len,
        .bytes = must_alloc(bytes.len),
    };
    if (bytes.len > 0)
        memcpy(m.bytes, bytes.ptr, bytes.len);
    insert(q, m);
}

/* Takes out what was sent, one send later; returns how many of them stay. Their order among
 * each other is the same. */
static uint32_t take_sent(struct cluster_broadcast *q, const uint32_t *at, uint32_t count,
                          uint32_t limit, struct message *out_sent)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct message m = q->message[at[i]];
        if (++m.sends < limit) {
            out_sent[kept++] = m;
        } else {
            q->spent[q->spents++] = m.bytes;
            q->bytes -= m.len;
        }
    }
    return kept;
}

/* Sent once more: to its new place, or out. One pass, for queues are long when the network is
 * bad: a message's new place is behind its old one, so that what is written never overtakes
 * what is read. */
static void count_sends(struct cluster_broadcast *q, const uint32_t *at, uint32_t count,
                        uint32_t limit)
{
    struct message sent[PICK_MAX];
    if (count == 0)
        return;
    uint32_t kept = take_sent(q, at, count, limit, sent);
    uint32_t taken = 0, put = 0, from = at[0], to = from;
    for (; from < q->count && (taken < count || put < kept); from++) {
        if (taken < count && at[taken] == from) {
            taken++;
            continue;
        }
        while (put < kept && before(&sent[put], &q->message[from]))
            q->message[to++] = sent[put++];
        q->message[to++] = q->message[from];
    }
    while (put < kept)
        q->message[to++] = sent[put++];
    must(to <= from);
    memmove(&q->message[to], &q->message[from], (q->count - from) * sizeof(sent[0]));
    q->count -= count - kept;
}

uint32_t cluster_broadcast_pick(struct cluster_broadcast *q, size_t room, size_t overhead,
                                bool counted, uint32_t limit, struct span *out, uint32_t max)
{
    uint32_t at[PICK_MAX];
    uint32_t count = 0;
    free_spent(q);
    if (max > PICK_MAX)
        max = PICK_MAX;
    for (uint32_t i = 0; i < q->count && count < max && room >= overhead;) {
        const struct message *m = &q->message[i];
        if (m->len + overhead > room) {
            i = place_of(q, &(struct message){.sends = m->sends,
                                              .len = (uint32_t)(room - overhead),
                                              .number = UINT64_MAX});
            continue;
        }
        out[count] = span_of(m->bytes, m->len);
        at[count++] = i++;
        room -= m->len + overhead;
    }
    if (counted)
        count_sends(q, at, count, limit);
    return count;
}

uint32_t cluster_broadcast_count(const struct cluster_broadcast *q)
{
    return q->count;
}

uint64_t cluster_broadcast_dropped(const struct cluster_broadcast *q)
{
    return q->dropped;
}
