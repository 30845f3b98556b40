#include "cluster/member.h"

#include <stdlib.h>

#define SLOTS_FIRST 32u /* power of two */

_Static_assert(sizeof(struct cluster_member) <= 96, "a view of 5,000 members, 5,000 times");

enum { IN_LIST, IN_RING }; /* of member.at: the list, then the rings */
#define RINGS 2

struct order {
    struct cluster_member **member;
    uint32_t next; /* of a ring: whose turn it is */
};

/* The id is here, too: on the way to a member no others need to be fetched. */
struct slot {
    uint64_t id;
    struct cluster_member *member; /* NULL: free */
};

struct cluster_members {
    struct hash_key key;
    uint32_t count, room, members_max;
    struct order order[IN_RING + RINGS];
    struct slot *slot; /* open addressing by id; at most half full */
    uint32_t slots;
};

const char *cluster_state_text(enum cluster_state state)
{
    static const char *const text[] = {
        [CLUSTER_ALIVE] = "alive",
        [CLUSTER_SUSPECT] = "suspect",
        [CLUSTER_DEAD] = "dead",
        [CLUSTER_LEFT] = "left",
    };
    return text[state];
}

struct cluster_members *cluster_members_create(uint32_t members_max, struct hash_key key)
{
    struct cluster_members *t = must_alloc(sizeof(*t));
    t->key = key;
    t->members_max = members_max;
    t->slots = SLOTS_FIRST;
    t->slot = must_alloc(SLOTS_FIRST * sizeof(struct slot));
    return t;
}

static void free_member(struct cluster_member *m)
{
    free(m->suspicion);
    free(m->text);
    free(m);
}

void cluster_members_destroy(struct cluster_members *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < t->count; i++)
        free_member(t->order[IN_LIST].member[i]);
    for (unsigned o = 0; o < ARRAY_LEN(t->order); o++)
        free(t->order[o].member);
    free(t->slot);
    free(t);
}

uint32_t cluster_members_count(const struct cluster_members *t)
{
    return t->count;
}

struct cluster_member *cluster_members_at(const struct cluster_members *t, uint32_t index)
{
    must(index < t->count);
    return t->order[IN_LIST].member[index];
}

uint64_t cluster_members_id(const struct cluster_members *t, struct span name)
{
    return hash_sip64(&t->key, name);
}

/* The slot that holds the name, or the free one where it belongs. */
static uint32_t slot_of(const struct cluster_members *t, uint64_t id, struct span name)
{
    uint32_t i = (uint32_t)id & (t->slots - 1);
    for (; t->slot[i].member; i = (i + 1) & (t->slots - 1))
        if (t->slot[i].id == id && span_equal(cluster_member_name(t->slot[i].member), name))
            break;
    return i;
}

struct cluster_member *cluster_members_find(const struct cluster_members *t, struct span name)
{
    return t->slot[slot_of(t, cluster_members_id(t, name), name)].member;
}

static void grow_slots(struct cluster_members *t)
{
    free(t->slot);
    t->slots *= 2;
    t->slot = must_alloc(t->slots * sizeof(struct slot));
    for (uint32_t i = 0; i < t->count; i++) {
        struct cluster_member *m = t->order[IN_LIST].member[i];
        t->slot[slot_of(t, m->id, cluster_member_name(m))] = (struct slot){m->id, m};
    }
}

/* Closes the gap, so that probing needs no marks for what was removed. */
static void clear_slot(struct cluster_members *t, uint32_t gap)
{
    uint32_t mask = t->slots - 1;
    for (uint32_t i = (gap + 1) & mask; t->slot[i].member; i = (i + 1) & mask) {
        uint32_t home = (uint32_t)t->slot[i].id & mask;
        if (((i - home) & mask) < ((i - gap) & mask))
            continue;
        t->slot[gap] = t->slot[i];
        gap = i;
    }
    t->slot[gap] = (struct slot){0};
}

static void place(struct cluster_members *t, unsigned o, uint32_t at, struct cluster_member *m)
{
    t->order[o].member[at] = m;
    m->at[o] = at;
}

static void swap(struct cluster_members *t, unsigned o, uint32_t a, uint32_t b)
{
    struct cluster_member *was = t->order[o].member[a];
    place(t, o, a, t->order[o].member[b]);
    place(t, o, b, was);
}

static void grow_orders(struct cluster_members *t)
{
    t->room = t->room ? t->room * 2 : SLOTS_FIRST / 2;
    for (unsigned o = 0; o < ARRAY_LEN(t->order); o++)
        t->order[o].member =
            must_realloc(t->order[o].member, t->room * sizeof(struct cluster_member *));
}

static struct cluster_member *make_member(uint64_t id, struct span name)
{
    struct cluster_member *m = must_alloc(sizeof(*m));
    m->id = id;
    m->state = CLUSTER_DEAD;
    m->name_bytes = (uint8_t)name.len;
    m->text = must_alloc(name.len);
    memcpy(m->text, name.ptr, name.len);
    return m;
}

enum err cluster_members_add(struct cluster_members *t, struct span name,
                             struct cluster_random *random, struct cluster_member **out_member)
{
    if (t->count >= t->members_max || name.len == 0 || name.len > CLUSTER_NAME_MAX)
        return ERR_LIMIT;
    if (t->count == t->room)
        grow_orders(t);
    if ((t->count + 1) * 2 > t->slots)
        grow_slots(t);
    uint64_t id = cluster_members_id(t, name);
    uint32_t slot = slot_of(t, id, name);
    must(!t->slot[slot].member);
    struct cluster_member *m = make_member(id, name);
    t->slot[slot] = (struct slot){id, m};
    uint32_t last = t->count++;
    place(t, IN_LIST, last, m);
    for (unsigned o = IN_RING; o < ARRAY_LEN(t->order); o++) {
        place(t, o, last, m);
        /* Among those who have their turn before them in this round. */
        uint32_t left = last - t->order[o].next + 1;
        swap(t, o, t->order[o].next + cluster_random_below(random, left), last);
    }
    *out_member = m;
    return ERR_OK;
}

void cluster_members_drop(struct cluster_members *t, struct cluster_member *m)
{
    clear_slot(t, slot_of(t, m->id, cluster_member_name(m)));
    uint32_t last = --t->count;
    for (unsigned o = 0; o < ARRAY_LEN(t->order); o++) {
        uint32_t hole = m->at[o];
        if (hole < t->order[o].next) { /* had its turn: fill the hole from those who had */
            uint32_t had = --t->order[o].next;
            place(t, o, hole, t->order[o].member[had]);
            hole = had;
        }
        if (hole != last)
            place(t, o, hole, t->order[o].member[last]);
    }
    free_member(m);
}

void cluster_member_set_meta(struct cluster_member *m, struct span meta)
{
    must(meta.len <= CLUSTER_META_MAX);
    /* `meta` may be a part of the old text. */
    char *text = must_alloc(m->name_bytes + meta.len);
    memcpy(text, m->text, m->name_bytes);
    if (meta.len > 0)
        memcpy(text + m->name_bytes, meta.ptr, meta.len);
    free(m->text);
    m->text = text;
    m->meta_bytes = (uint16_t)meta.len;
}

struct cluster_member *cluster_members_turn(struct cluster_members *t, enum cluster_ring ring,
                                            struct cluster_random *random)
{
    unsigned o = IN_RING + ring;
    if (t->order[o].next < t->count)
        return t->order[o].member[t->order[o].next++];
    for (uint32_t i = t->count; i > 1; i--)
        swap(t, o, i - 1, cluster_random_below(random, i));
    t->order[o].next = 0;
    return NULL;
}

struct picking {
    bool (*fits)(const void *user, const struct cluster_member *m);
    const void *user;
    struct cluster_member **out;
    uint32_t count;
};

static void consider(struct picking *p, struct cluster_member *m)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (p->out[i] == m)
            return;
    if (p->fits(p->user, m))
        p->out[p->count++] = m;
}

uint32_t cluster_members_pick(const struct cluster_members *t, struct cluster_random *random,
                              bool (*fits)(const void *user, const struct cluster_member *m),
                              const void *user, struct cluster_member **out, uint32_t max)
{
    struct picking p = {.fits = fits, .user = user, .out = out};
    if (t->count == 0)
        return 0;
    for (uint32_t tries = 4 * max; tries > 0 && p.count < max; tries--)
        consider(&p, cluster_members_at(t, cluster_random_below(random, t->count)));
    /* Few fit: look at all. */
    uint32_t from = cluster_random_below(random, t->count);
    for (uint32_t i = 0; i < t->count && p.count < max; i++)
        consider(&p, cluster_members_at(t, (from + i) % t->count));
    return p.count;
}
