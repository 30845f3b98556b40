#include "cluster/roster.h"

#include <stdlib.h>

struct cluster_roster {
    struct cluster_entry **list; /* in no order */
    struct cluster_entry **slot; /* open addressing by id, a power of two; NULL is free */
    uint32_t count, room, slots, entries_max;
    uint32_t count_of[CLUSTER_STATUSES];
    uint64_t changes;
};

static const char *const texts[] = {
    [CLUSTER_STATUS_NONE] = "none",       [CLUSTER_STATUS_ALIVE] = "alive",
    [CLUSTER_STATUS_LEAVING] = "leaving", [CLUSTER_STATUS_LEFT] = "left",
    [CLUSTER_STATUS_FAILED] = "failed",
};
_Static_assert(ARRAY_LEN(texts) == CLUSTER_STATUSES, "a text for each status");

const char *cluster_status_text(enum cluster_status status)
{
    return texts[status];
}

struct span cluster_entry_name(const struct cluster_entry *e)
{
    return e->member ? cluster_member_name(e->member) : span_of(e->text, e->name_bytes);
}

struct span cluster_entry_meta(const struct cluster_entry *e)
{
    return e->member ? cluster_member_meta(e->member)
                     : span_of(e->text + e->name_bytes, e->meta_bytes);
}

const struct addr *cluster_entry_addr(const struct cluster_entry *e)
{
    return e->member ? &e->member->addr : &e->addr;
}

struct cluster_roster *cluster_roster_create(uint32_t entries_max)
{
    struct cluster_roster *r = must_alloc(sizeof(*r));
    must(entries_max > 0);
    r->entries_max = entries_max;
    return r;
}

static void free_entry(struct cluster_entry *e)
{
    free(e->text);
    free(e->coordinate);
    free(e);
}

void cluster_roster_destroy(struct cluster_roster *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->count; i++)
        free_entry(r->list[i]);
    free(r->list);
    free(r->slot);
    free(r);
}

uint32_t cluster_roster_count(const struct cluster_roster *r)
{
    return r->count;
}

uint32_t cluster_roster_count_of(const struct cluster_roster *r, enum cluster_status status)
{
    return r->count_of[status];
}

struct cluster_entry *cluster_roster_at(const struct cluster_roster *r, uint32_t index)
{
    must(index < r->count);
    return r->list[index];
}

/* Where (id, name) is, or would be. */
static uint32_t slot_of(const struct cluster_roster *r, uint64_t id, struct span name)
{
    uint32_t mask = r->slots - 1, at = (uint32_t)id & mask;
    while (r->slot[at] &&
           (r->slot[at]->id != id || !span_equal(cluster_entry_name(r->slot[at]), name)))
        at = (at + 1) & mask;
    return at;
}

struct cluster_entry *cluster_roster_find(const struct cluster_roster *r, uint64_t id,
                                          struct span name)
{
    return r->slots > 0 ? r->slot[slot_of(r, id, name)] : NULL;
}

static void grow(struct cluster_roster *r)
{
    if (r->count == r->room) {
        r->room = r->room ? r->room * 2 : 8;
        r->list = must_realloc(r->list, r->room * sizeof(*r->list));
    }
    if ((r->count + 1) * 2 <= r->slots)
        return;
    free(r->slot);
    r->slots = r->slots ? r->slots * 2 : 16;
    r->slot = must_alloc(r->slots * sizeof(*r->slot));
    for (uint32_t i = 0; i < r->count; i++) {
        struct cluster_entry *e = r->list[i];
        r->slot[slot_of(r, e->id, cluster_entry_name(e))] = e;
    }
}

static struct cluster_entry *gone_longest(const struct cluster_roster *r)
{
    struct cluster_entry *oldest = NULL;
    for (uint32_t i = 0; i < r->count; i++) {
        struct cluster_entry *e = r->list[i];
        if (cluster_entry_gone(e) && (!oldest || e->since_us < oldest->since_us))
            oldest = e;
    }
    return oldest;
}

struct cluster_entry *cluster_roster_add(struct cluster_roster *r,
                                         const struct cluster_member *m, int64_t now_us)
{
    if (r->count == r->entries_max) {
        struct cluster_entry *oldest = gone_longest(r);
        if (!oldest)
            return NULL;
        cluster_roster_drop(r, oldest);
    }
    grow(r);
    uint32_t slot = slot_of(r, m->id, cluster_member_name(m));
    must(!r->slot[slot]);
    struct cluster_entry *e = must_alloc(sizeof(*e));
    *e = (struct cluster_entry){.id = m->id,
                                .member = m,
                                .status = CLUSTER_STATUS_ALIVE,
                                .at = r->count,
                                .since_us = now_us,
                                .rtt_own_us = -1};
    r->slot[slot] = e;
    r->list[r->count++] = e;
    r->count_of[e->status]++;
    return e;
}

/* What the member tells, for when the swim forgets it. */
static void keep_copy(struct cluster_entry *e)
{
    struct span name = cluster_entry_name(e), meta = cluster_entry_meta(e);
    e->text = must_alloc(name.len + meta.len);
    memcpy(e->text, name.ptr, name.len);
    if (meta.len > 0)
        memcpy(e->text + name.len, meta.ptr, meta.len);
    e->name_bytes = (uint8_t)name.len;
    e->meta_bytes = (uint16_t)meta.len;
    e->addr = *cluster_entry_addr(e);
    e->member = NULL;
}

uint64_t cluster_roster_changes(const struct cluster_roster *r)
{
    return r->changes;
}

void cluster_roster_set(struct cluster_roster *r, struct cluster_entry *e,
                        enum cluster_status status, const struct cluster_member *m,
                        int64_t now_us)
{
    r->count_of[e->status]--;
    r->count_of[status]++;
    if (e->status != status) {
        e->since_us = now_us;
        r->changes++;
    }
    e->status = (uint8_t)status;
    if (!cluster_entry_gone(e)) {
        must(m);
        e->member = m;
        free(e->text);
        e->text = NULL;
    } else if (e->member) {
        keep_copy(e);
    }
}

/* Closes the hole, so that nobody behind it is lost. */
static void clear_slot(struct cluster_roster *r, uint32_t hole)
{
    uint32_t mask = r->slots - 1;
    r->slot[hole] = NULL;
    for (uint32_t at = (hole + 1) & mask; r->slot[at]; at = (at + 1) & mask) {
        uint32_t home = (uint32_t)r->slot[at]->id & mask;
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        r->slot[hole] = r->slot[at];
        r->slot[at] = NULL;
        hole = at;
    }
}

void cluster_roster_drop(struct cluster_roster *r, struct cluster_entry *e)
{
    clear_slot(r, slot_of(r, e->id, cluster_entry_name(e)));
    r->count_of[e->status]--;
    struct cluster_entry *last = r->list[--r->count];
    r->list[e->at] = last;
    last->at = e->at;
    free_entry(e);
}
