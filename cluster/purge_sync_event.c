#include "cluster/purge_sync_core.h"

#include <stdlib.h>
#include <string.h>

#define WANTED_FIRST_US (SYNC_SECOND / 5) /* it is most likely being pushed */
#define WANTED_AGAIN_US (SYNC_SECOND / 2)
#define OWN_ECHO_US (2 * SYNC_SECOND)
#define WANTED_ASKED 8u /* then the hint was none, or it is everywhere the same */

uint64_t sync_hint_token(struct cluster_purge_id id)
{
    return hash_mix(id.stream ^ hash_mix(id.seq)) | 1;
}

/* --- out --- */

static bool may_hint(struct cluster_sync *s, uint32_t max)
{
    if (s->now_us - s->hints_second_us >= SYNC_SECOND) {
        s->hints_second_us = s->now_us;
        s->hints_in_second = 0;
    }
    return s->hints_in_second < max;
}

void sync_hint(struct cluster_sync *s, const struct purge_wire_hint *h)
{
    struct buf b;
    if (!may_hint(s, CLUSTER_SYNC_HINTS_A_SECOND) || s->live == 0)
        return;
    s->hints_in_second++;
    buf_init(&b, 0);
    purge_wire_put_hint(&b, h);
    s->news.hint(s->news.user, buf_span(&b));
    buf_fini(&b);
    s->figures.hints_out++;
}

static uint64_t name_of(const struct purge *p)
{
    return hash_mix(hash_xxh3(p->selector) + (unsigned)p->kind) ^ hash_xxh3(p->site);
}

static bool was_said(const struct cluster_sync *s, const struct purge *p, int64_t within_us)
{
    uint64_t name = name_of(p);
    const struct sync_said *said = &s->said[name % SYNC_SAID];
    return said->name == name && s->now_us - said->at_us < within_us;
}

/* Of one name, once a second: no client may write events to every node. */
static bool said_lately(struct cluster_sync *s, const struct purge *p)
{
    uint64_t name = name_of(p);
    if (was_said(s, p, SYNC_SECOND))
        return true;
    s->said[name % SYNC_SAID] = (struct sync_said){name, s->now_us};
    return false;
}

void cluster_sync_invalidated(struct cluster_sync *s, const struct purge *p, int64_t now_us)
{
    struct purge_wire_hint h = {.has_purge = true, .purge = *p};
    s->now_us = now_us;
    /* A client that changes ever new URLs must not use up the hints of purges. */
    if (!s->conf.clustered)
        return;
    if (!purge_wire_hint_holds(p) || !may_hint(s, CLUSTER_SYNC_INVALIDATIONS_A_SECOND)) {
        s->figures.invalidations_untold++;
        return;
    }
    if (said_lately(s, p))
        return;
    uint64_t before = s->figures.hints_out;
    sync_hint(s, &h);
    s->figures.invalidations_out += s->figures.hints_out - before;
}

/* --- in --- */

struct unnumbered {
    struct cluster_sync *s;
    uint64_t token;
};
static void no_number(void *sync, uint64_t apply_no)
{
    const struct unnumbered *n = sync;
    cluster_recent_add_unnumbered(n->s->recent, n->token, apply_no, n->s->now_us);
}

static void apply_unnumbered(struct cluster_sync *s, const struct purge *p, uint64_t token)
{
    struct unnumbered n = {s, token};
    uint64_t apply_no;
    (void)!s->news.apply(s->news.user, p, no_number, &n, &apply_no);
}

/* It can be forged: it takes effect, but only the record itself counts, which comes by push;
 * when it does not, by a comparison. */
static void take_hint(struct cluster_sync *s, struct span payload)
{
    struct purge_wire_hint h;
    if (purge_wire_read_hint(payload, &h) != ERR_OK) {
        s->figures.refused++;
        return;
    }
    /* A node hears its own events, too. */
    if (h.id.stream ? cluster_purge_log_has(s->log, h.id) : was_said(s, &h.purge, OWN_ECHO_US))
        return;
    s->figures.hints_in++;
    s->figures.invalidations_in += !h.id.stream;
    if (h.has_purge && s->conf.accept_events)
        apply_unnumbered(s, &h.purge, h.id.stream ? sync_hint_token(h.id) : 0);
    if (h.id.stream && s->wanted_count < SYNC_WANTED)
        s->wanted[s->wanted_count++] =
            (struct sync_wanted){.id = h.id, .at_us = s->now_us + WANTED_FIRST_US};
}

/* One after the other is asked: the first may be slow, or not have it either. */
static void wanted_due(struct cluster_sync *s)
{
    for (uint32_t i = 0; i < s->wanted_count;) {
        struct sync_wanted *w = &s->wanted[i];
        if (cluster_purge_log_has(s->log, w->id) || w->asked == WANTED_ASKED) {
            *w = s->wanted[--s->wanted_count];
            continue;
        }
        i++;
        if (w->at_us > s->now_us)
            continue;
        uint32_t member = sync_member_random(s);
        if (member != SYNC_NONE)
            sync_compare_at(s, member, s->now_us);
        w->asked++;
        w->at_us = s->now_us + WANTED_AGAIN_US;
    }
}

static char *put(char *at, struct span text, struct span *out)
{
    if (text.len)
        memcpy(at, text.ptr, text.len);
    *out = span_of(at, text.len);
    return at + text.len;
}

/* One event, wherever it is heard, makes one record: of payload and Lamport time. That clock
 * begins anew when all of a cluster were away at once, while records last: what has the number
 * of a record from before this start, and is no replay, is another event, and its number is
 * made from that record's, which all have. False: its record is here. */
static bool number_typed(const struct cluster_sync *s, struct span payload, uint64_t ltime,
                         bool replayed, uint64_t *out_dedup)
{
    struct cluster_purge_known known;
    uint64_t dedup = hash_xxh3(payload) ^ hash_mix(ltime ^ hash_xxh3(SPAN(CLUSTER_SYNC_TYPED)));
    *out_dedup = hash_mix(dedup) | 1;
    while (cluster_purge_log_knows(s->log, *out_dedup, &known)) {
        if (!known.from_before || replayed)
            return false;
        *out_dedup = hash_mix(*out_dedup ^ hash_mix(known.id.stream ^ known.id.seq)) | 1;
    }
    return true;
}

static void take_typed(struct cluster_sync *s, struct span payload, uint64_t ltime,
                       bool replayed)
{
    struct purge p;
    uint64_t dedup;
    if (!s->conf.accept_events || !number_typed(s, payload, ltime, replayed, &dedup))
        return;
    if (purge_wire_read_typed(payload, &p) != ERR_OK) {
        s->figures.refused++;
        return;
    }
    s->figures.typed++;
    apply_unnumbered(s, &p, dedup);
    if (replayed || s->typed_count == SYNC_TYPED)
        return; /* in effect here; those who heard it when it was new make a record of it */
    struct sync_typed *t = &s->typed[s->typed_count++];
    t->dedup = dedup;
    t->at_us = s->now_us + cluster_random_below(&s->pcg, (uint32_t)CLUSTER_SYNC_ADOPT_US);
    t->purge = p;
    t->text = must_alloc(p.selector.len + 1);
    (void)put(t->text, p.selector, &t->purge.selector);
}

void cluster_sync_event(struct cluster_sync *s, struct span name, struct span payload,
                        uint64_t ltime, bool replayed, int64_t now_us, int64_t now_s)
{
    s->now_us = now_us;
    s->now_s = now_s;
    if (span_equal(name, SPAN(CLUSTER_SYNC_EVENT)))
        take_hint(s, payload);
    else if (span_equal(name, SPAN(CLUSTER_SYNC_TYPED)))
        take_typed(s, payload, ltime, replayed);
}

/* --- adopting what was typed --- */

/* As cluster_sync_accept wants it. */
static void own_number(void *sync, uint64_t apply_no)
{
    struct cluster_sync *s = sync;
    cluster_recent_add_unnumbered(s->recent, apply_no, apply_no, s->now_us);
}

static void adopt(struct cluster_sync *s, const struct sync_typed *t)
{
    struct cluster_purge_id id;
    uint64_t apply_no;
    if (cluster_purge_log_knows(s->log, t->dedup, NULL)) {
        cluster_recent_numbered(s->recent, t->dedup);
        return;
    }
    if (!s->news.apply(s->news.user, &t->purge, own_number, s, &apply_no) ||
        cluster_sync_accept(s, &t->purge, apply_no, t->dedup, s->now_us, s->now_s, 0, &id) !=
            ERR_OK)
        return; /* in effect all the same */
    cluster_recent_numbered(s->recent, t->dedup);
    s->figures.adopted++;
}

static void typed_due(struct cluster_sync *s)
{
    for (uint32_t i = 0; i < s->typed_count;) {
        struct sync_typed t = s->typed[i];
        if (t.at_us > s->now_us) {
            i++;
            continue;
        }
        s->typed[i] = s->typed[--s->typed_count];
        adopt(s, &t);
        free(t.text);
    }
}

void sync_events_due(struct cluster_sync *s)
{
    wanted_due(s);
    typed_due(s);
}

int64_t sync_events_deadline_us(const struct cluster_sync *s)
{
    int64_t at = SYNC_NEVER;
    for (uint32_t i = 0; i < s->wanted_count; i++) {
        if (s->wanted[i].at_us < at)
            at = s->wanted[i].at_us;
    }
    for (uint32_t i = 0; i < s->typed_count; i++) {
        if (s->typed[i].at_us < at)
            at = s->typed[i].at_us;
    }
    return at;
}

void sync_typed_fini(struct cluster_sync *s)
{
    for (uint32_t i = 0; i < s->typed_count; i++)
        free(s->typed[i].text);
}
