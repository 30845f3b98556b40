#include "cluster/purge_sync_core.h"

#include <stdlib.h>
#include <string.h>

#define PUSH_RECORDS 256u
#define COMPARE_DEADLINE_MS 3000u /* caution waits for these, and no disk is written */
#define PULL_DEADLINE_MS 4000u
#define LOW_US (10 * SYNC_SECOND)       /* for asking others what one has dropped */
#define LOW_AGAIN_US (SYNC_SECOND / 5)  /* and then it is asked for the rest */
#define PULL_ALONE_US (SYNC_SECOND / 3) /* then another may be asked for the same stream */

/* --- requests under way --- */

static struct sync_request *request_add(struct cluster_sync *s, enum sync_request_kind kind,
                                        uint32_t member)
{
    if (s->request_count == s->request_room) {
        s->request_room = s->request_room ? s->request_room * 2 : 16;
        s->requests = must_realloc(s->requests, s->request_room * sizeof *s->requests);
    }
    struct sync_request *r = &s->requests[s->request_count++];
    *r = (struct sync_request){
        .number = s->next_number++, .kind = kind, .member = member, .sent_us = s->now_us};
    return r;
}

/* False: no such request (any more). */
static bool request_take(struct cluster_sync *s, uint64_t number, struct sync_request *out)
{
    for (uint32_t i = 0; i < s->request_count; i++) {
        if (s->requests[i].number != number)
            continue;
        *out = s->requests[i];
        s->requests[i] = s->requests[--s->request_count];
        return true;
    }
    return false;
}

struct buf *sync_out_add(struct cluster_sync *s, enum cluster_sync_output_kind kind,
                         uint32_t member, uint64_t number, uint32_t deadline_ms)
{
    if (s->out_first > 0 && s->out_count == 0)
        s->out_first = 0;
    if (s->out_first + s->out_count == s->out_room) {
        if (s->out_first > s->out_room / 2) {
            memmove(s->outs, s->outs + s->out_first, s->out_count * sizeof *s->outs);
            s->out_first = 0;
        } else {
            s->out_room = s->out_room ? s->out_room * 2 : 16;
            s->outs = must_realloc(s->outs, s->out_room * sizeof *s->outs);
        }
    }
    struct sync_out *o = &s->outs[s->out_first + s->out_count++];
    *o = (struct sync_out){
        .kind = kind, .member = member, .number = number, .deadline_ms = deadline_ms};
    buf_init(&o->body, 0);
    return &o->body;
}

static struct buf *begin_request(struct cluster_sync *s, const struct sync_request *r,
                                 struct purge_wire_request *head, uint32_t deadline_ms)
{
    struct buf *body = sync_out_add(s, CLUSTER_SYNC_SEND, r->member, r->number, deadline_ms);
    head->members_hash = s->members_hash;
    head->vector = buf_span(sync_vector(s));
    purge_wire_put_request(body, head);
    return body;
}

/* --- a member that fails, one that answers --- */

static void set_comparing(struct cluster_sync *s, struct sync_member *m, uint64_t number)
{
    s->comparing -= m->comparing != 0;
    m->comparing = number;
    s->comparing += m->comparing != 0;
}

static void set_waits(struct cluster_sync *s, struct sync_member *m, bool waits)
{
    s->waiting_members -= m->waits;
    m->waits = waits;
    s->waiting_members += m->waits;
}

static void end_compare(struct cluster_sync *s, struct sync_member *m)
{
    set_comparing(s, m, 0);
    set_waits(s, m, false);
    m->pull_count = m->pull_at = 0;
    m->borrowed = false;
}

static void note_failed(struct cluster_sync *s, uint32_t member)
{
    struct sync_member *m = &s->members[member];
    unsigned doublings = m->failures < 6 ? m->failures : 6;
    int64_t back_off = SYNC_BACKOFF_MIN_US << doublings;
    if (back_off > SYNC_BACKOFF_MAX_US)
        back_off = SYNC_BACKOFF_MAX_US;
    m->failures++;
    m->failed = true;
    m->deaf = m->deaf || m->knocked;
    m->knocked = false;
    m->behind = true;
    m->queued = 0;
    m->tried_us = s->now_us;
    m->retry_us = s->now_us + back_off;
    m->shunned = m->shunned || m->cautious_of;
    m->cautious_of = false;
    end_compare(s, m);
    m->compare_at_us = SYNC_NEVER;
    sync_compare_at(s, member, m->retry_us);
    s->stages_due = true;
}

void sync_abandon(struct cluster_sync *s, uint32_t member)
{
    for (uint32_t i = 0; i < s->request_count;) {
        if (s->requests[i].member == member)
            s->requests[i] = s->requests[--s->request_count];
        else
            i++;
    }
    s->members[member].pushing = 0;
    end_compare(s, &s->members[member]);
}

static void note_answered(struct sync_member *m)
{
    m->failed = m->knocked = m->deaf = false;
    m->failures = 0;
    m->retry_us = 0;
}

void sync_member_asks(struct cluster_sync *s, uint32_t member)
{
    struct sync_member *m = &s->members[member];
    int64_t soon_us = s->now_us + SYNC_SECOND;
    if (!m->failed)
        return;
    if (!m->deaf) {
        m->knocked = true;
        soon_us = m->tried_us + SYNC_BACKOFF_MIN_US;
        if (soon_us < s->now_us)
            soon_us = s->now_us;
    }
    if (m->retry_us > soon_us)
        m->retry_us = soon_us;
    if (m->knocked)
        sync_compare_at(s, member, m->retry_us);
}

/* --- pushing --- */

static void push_to(struct cluster_sync *s, uint32_t member)
{
    struct sync_member *m = &s->members[member];
    uint32_t sent = 0;
    while (sent < m->queued && m->queue[sent] < s->ring_first) {
        m->behind = true; /* what it should have got is not kept any more */
        sent++;
    }
    if (sent < m->queued) {
        struct purge_wire_request head = {.kind = PURGE_WIRE_PUSH};
        struct sync_request *r = request_add(s, SYNC_PUSH, member);
        if (s->ring[m->queue[sent] % SYNC_RING].spread)
            head.flags = PURGE_WIRE_SPREAD;
        struct buf *body = begin_request(s, r, &head, CLUSTER_SYNC_DEADLINE_MS);
        for (unsigned count = 0; sent < m->queued && count < PUSH_RECORDS; count++) {
            struct span record = buf_span(&s->ring[m->queue[sent] % SYNC_RING].bytes);
            if (count > 0 && buf_len(body) + record.len > CLUSTER_SYNC_BYTES)
                break;
            (void)!buf_append(body, record);
            sent++;
            s->figures.pushed++;
        }
        m->pushing++;
    }
    m->queued -= sent;
    memmove(m->queue, m->queue + sent, m->queued * sizeof *m->queue);
    if (m->behind)
        sync_compare_at(s, member, s->now_us);
}

/* --- comparing --- */

void sync_compare_at(struct cluster_sync *s, uint32_t member, int64_t at_us)
{
    struct sync_member *m = &s->members[member];
    if (!sync_member_is_live(m) || at_us >= m->compare_at_us)
        return;
    m->compare_at_us = at_us;
    sync_member_activate(s, m);
}

static void compare_with(struct cluster_sync *s, uint32_t member)
{
    struct sync_member *m = &s->members[member];
    struct purge_wire_request head = {.kind = PURGE_WIRE_EXCHANGE};
    struct sync_request *r = request_add(s, SYNC_COMPARE, member);
    set_comparing(s, m, r->number);
    m->compare_at_us = SYNC_NEVER;
    m->behind = false;
    (void)begin_request(s, r, &head, COMPARE_DEADLINE_MS);
}

static void compared(struct cluster_sync *s, uint32_t member)
{
    struct sync_member *m = &s->members[member];
    end_compare(s, m);
    m->compared_us = m->tried_us = s->now_us;
    m->cautious_of = m->shunned = false;
    s->figures.exchanges++;
}

/* By a request that was sent within this time. */
static bool is_being_pulled(const struct cluster_sync *s, uint64_t stream, int64_t within_us)
{
    for (uint32_t i = 0; i < s->request_count; i++) {
        const struct sync_request *r = &s->requests[i];
        if (r->kind == SYNC_PULL && r->stream == stream && s->now_us - r->sent_us < within_us)
            return true;
    }
    return false;
}

static void pull(struct cluster_sync *s, uint32_t member, uint64_t stream, uint64_t after)
{
    struct purge_wire_request head = {
        .kind = PURGE_WIRE_PULL, .stream = stream, .after = after};
    struct sync_request *r = request_add(s, SYNC_PULL, member);
    r->stream = stream;
    r->after = after;
    set_comparing(s, &s->members[member], r->number);
    (void)begin_request(s, r, &head, PULL_DEADLINE_MS);
}

/* Whatever is missing yet, one stream after the other. */
static void pull_next(struct cluster_sync *s, uint32_t member)
{
    struct sync_member *m = &s->members[member];
    set_waits(s, m, false);
    for (; m->pull_at < m->pull_count; m->pull_at++) {
        const struct sync_pull *p = &m->pulls[m->pull_at];
        uint64_t have = sync_applied(s, p->stream);
        if (have >= p->through)
            continue;
        set_waits(s, m, is_being_pulled(s, p->stream, PULL_ALONE_US));
        if (!m->waits)
            pull(s, member, p->stream, have);
        return;
    }
    if (!m->borrowed) {
        compared(s, member);
        return;
    }
    end_compare(s, m);
    sync_compare_at(s, member, s->now_us);
}

static void wake_waiting(struct cluster_sync *s)
{
    for (uint32_t i = 0; s->waiting_members > 0 && i < s->member_count; i++) {
        if (s->members[i].waits)
            pull_next(s, i);
    }
}

static void list_pulls(struct cluster_sync *s, uint32_t member)
{
    struct sync_member *m = &s->members[member];
    uint64_t own = cluster_purge_log_own_stream(s->log);
    m->pull_count = m->pull_at = 0;
    m->pulls = must_realloc(m->pulls, (m->vector.count + 1) * sizeof *m->pulls);
    for (uint32_t i = 0; i < m->vector.count; i++) {
        const struct cluster_vector_row *row = &m->vector.rows[i];
        if (row->stream != own && row->seq > sync_applied(s, row->stream))
            m->pulls[m->pull_count++] = (struct sync_pull){row->stream, row->seq};
    }
}

/* --- a page of a stream --- */

static void low_drop(struct cluster_sync *s, uint64_t stream)
{
    for (uint32_t i = 0; i < s->low_count; i++) {
        if (s->lows[i].stream == stream)
            s->lows[i--] = s->lows[--s->low_count];
    }
}

/* NULL: too many. */
static struct sync_low *low_of(struct cluster_sync *s, uint64_t stream)
{
    for (uint32_t i = 0; i < s->low_count; i++) {
        if (s->lows[i].stream == stream)
            return &s->lows[i];
    }
    if (s->low_count == SYNC_LOWS)
        return NULL;
    struct sync_low *low = &s->lows[s->low_count++];
    *low = (struct sync_low){.stream = stream, .until_us = s->now_us + LOW_US};
    return low;
}

static bool was_tried(const struct sync_low *low, uint32_t member)
{
    for (uint32_t i = 0; i < low->count; i++) {
        if (low->tried[i] == member)
            return true;
    }
    return false;
}

/* Pulled from for this stream alone; compared with afterwards. */
static void borrow(struct cluster_sync *s, uint32_t member, uint64_t stream, uint64_t after,
                   uint64_t through)
{
    struct sync_member *m = &s->members[member];
    m->pulls = must_realloc(m->pulls, sizeof *m->pulls);
    m->pulls[0] = (struct sync_pull){stream, through};
    m->pull_count = 1;
    m->pull_at = 0;
    m->borrowed = true;
    pull(s, member, stream, after);
}

/* Another that can be asked may have kept what this one has dropped. It is asked, or will be:
 * this one then comes later. */
static bool ask_another(struct cluster_sync *s, const struct sync_request *r, uint64_t floor)
{
    struct sync_low *low = low_of(s, r->stream);
    uint32_t idle = SYNC_NONE;
    bool busy = false;
    if (!low || low->until_us <= s->now_us)
        return false;
    if (low->count < SYNC_LOW_TRIED && !was_tried(low, r->member))
        low->tried[low->count++] = r->member;
    for (uint32_t i = 0; i < s->member_count && low->count < SYNC_LOW_TRIED; i++) {
        const struct sync_member *other = &s->members[i];
        if (was_tried(low, i) || !sync_member_can_be_asked(s, other))
            continue;
        busy = busy || other->comparing;
        idle = other->comparing ? idle : i;
    }
    bool asked = s->members[r->member].borrowed || is_being_pulled(s, r->stream, SYNC_NEVER);
    if (!asked && !busy && idle == SYNC_NONE)
        return false;
    if (!asked && idle != SYNC_NONE) {
        low->tried[low->count++] = idle;
        borrow(s, idle, r->stream, r->after, floor);
    }
    end_compare(s, &s->members[r->member]);
    sync_compare_at(s, r->member, s->now_us + LOW_AGAIN_US);
    return true;
}

/* ERR_OK; ERR_SYNTAX: nonsense; ERR_LIMIT: not all of it can be taken now. */
static enum err take_page(struct cluster_sync *s, const struct sync_request *r,
                          struct span records, uint64_t through, uint64_t *out_last)
{
    struct cluster_purge_record record;
    uint64_t before = r->after;
    *out_last = before;
    while (records.len > 0) {
        if (purge_wire_next_record(&records, &record) != ERR_OK || record.stream != r->stream ||
            record.seq <= before || record.seq > through)
            return ERR_SYNTAX;
        *out_last = before = record.seq;
        enum sync_taken taken = sync_take(s, &record, 0, false);
        if (taken == SYNC_NONSENSE)
            return ERR_SYNTAX;
        if (taken == SYNC_NOT_NOW)
            return ERR_LIMIT;
        s->figures.pulled += taken == SYNC_TAKEN;
    }
    return ERR_OK;
}

static void refuse(struct cluster_sync *s, uint32_t member)
{
    s->figures.refused++;
    s->figures.exchanges_failed++;
    note_failed(s, member);
}

static void pulled(struct cluster_sync *s, const struct sync_request *r,
                   const struct purge_wire_answer *a)
{
    struct sync_member *m = &s->members[r->member];
    bool more = a->flags & PURGE_WIRE_MORE;
    if (a->through < r->after || (more && a->through == r->after)) {
        refuse(s, r->member);
        return;
    }
    if (a->floor > r->after) {
        if (ask_another(s, r, a->floor))
            return;
        sync_fall_back(s, r->stream, a->floor, false);
        low_drop(s, r->stream);
    }
    uint64_t last;
    enum err err = take_page(s, r, a->records, a->through, &last);
    /* A stream's last record is never superseded, only dropped below the floor: who says that
     * it goes on beyond that would make what its owner sends next pass for old. */
    if (err == ERR_OK && !more && a->through > last && a->through > a->floor)
        err = ERR_SYNTAX;
    if (err == ERR_SYNTAX) {
        refuse(s, r->member);
        return;
    }
    if (err != ERR_OK) { /* our own disk: not its fault */
        end_compare(s, m);
        sync_compare_at(s, r->member, s->now_us + SYNC_SECOND);
        return;
    }
    if (more) {
        pull(s, r->member, r->stream, a->through);
        return;
    }
    if (a->through > r->after)
        low_drop(s, r->stream);
    cluster_purge_log_cover(s->log, r->stream, a->through);
    (void)!cluster_vector_raise(&s->applied, r->stream, a->through);
    m->pull_at++; /* even when it has less than it said: it is not asked again for that */
    pull_next(s, r->member);
}

/* --- what comes back --- */

static void take_answer(struct cluster_sync *s, const struct sync_request *r,
                        const struct purge_wire_answer *a)
{
    s->members[r->member].members_hash = a->members_hash;
    if (sync_member_heard(s, r->member, a->vector) != ERR_OK ||
        sync_members_merge(s, a->members) != ERR_OK) {
        refuse(s, r->member);
        return;
    }
    note_answered(&s->members[r->member]);
    if (r->kind == SYNC_PUSH &&
        a->flags & PURGE_WIRE_BUSY) /* it pulls what it could not take */
        sync_compare_at(s, r->member, s->now_us + SYNC_SECOND);
    if (r->kind == SYNC_COMPARE) {
        list_pulls(s, r->member);
        pull_next(s, r->member);
    } else if (r->kind == SYNC_PULL) {
        pulled(s, r, a);
    }
}

void cluster_sync_answered(struct cluster_sync *s, uint64_t number, enum err err,
                           struct span body, int64_t now_us, int64_t now_s)
{
    static const enum purge_wire_kind kinds[] = {[SYNC_PUSH] = PURGE_WIRE_PUSH,
                                                 [SYNC_COMPARE] = PURGE_WIRE_EXCHANGE,
                                                 [SYNC_PULL] = PURGE_WIRE_PULL};
    struct sync_request r;
    struct purge_wire_answer a;
    s->now_us = now_us;
    s->now_s = now_s;
    if (!request_take(s, number, &r))
        return;
    struct sync_member *m = &s->members[r.member];
    if (r.kind == SYNC_PUSH)
        m->pushing--;
    bool stale = r.kind != SYNC_PUSH && m->comparing != number;
    if (err != ERR_OK) {
        s->figures.push_failed += r.kind == SYNC_PUSH;
        s->figures.exchanges_failed += r.kind != SYNC_PUSH;
        if (!stale)
            note_failed(s, r.member);
    } else if (purge_wire_read_answer(body, kinds[r.kind], &a) != ERR_OK) {
        refuse(s, r.member);
    } else if (!stale) {
        take_answer(s, &r, &a);
    }
    if (r.kind != SYNC_PUSH)
        wake_waiting(s);
    sync_caution_look(s);
    sync_talk(s);
    sync_stages(s);
}

/* --- what is due --- */

/* Members that a waiting purge lacks are asked again, as their confirmation may have been
 * lost. */
static void chase(struct cluster_sync *s)
{
    uint64_t last = 0, own = cluster_purge_log_own_stream(s->log);
    unsigned chased = 0;
    for (uint32_t i = 0; i < s->waiting_count; i++) {
        const struct sync_waiting *w = &s->waiting[i];
        if (w->used && w->ticket && w->id.stream == own && w->id.seq > last)
            last = w->id.seq;
    }
    for (uint32_t i = 0; last > 0 && chased < SYNC_CHASE && i < s->member_count; i++) {
        struct sync_member *m = &s->members[(i + s->chase_from) % s->member_count];
        if (!sync_member_counts(m) || !sync_member_can_be_asked(s, m) || m->comparing ||
            m->pushing || cluster_vector_get(&m->vector, own) >= last)
            continue;
        sync_compare_at(s, (uint32_t)(m - s->members), s->now_us);
        chased++;
    }
    if (chased == SYNC_CHASE)
        s->chase_from += SYNC_CHASE;
}

static bool is_idle(const struct sync_member *m)
{
    return !m->queued && m->compare_at_us == SYNC_NEVER;
}

void sync_talk(struct cluster_sync *s)
{
    for (uint32_t at = 0; s->begun && at < s->active_count;) {
        uint32_t i = s->active[at];
        struct sync_member *m = &s->members[i];
        bool asked = sync_member_can_be_asked(s, m);
        while (asked && m->queued && m->pushing < CLUSTER_SYNC_PUSHES)
            push_to(s, i);
        if (asked && m->compare_at_us <= s->now_us && !m->comparing &&
            s->comparing < SYNC_COMPARES)
            compare_with(s, i);
        if (is_idle(m)) {
            m->active = false;
            s->active[at] = s->active[--s->active_count];
        } else {
            at++;
        }
    }
}

static void exchange_with_somebody(struct cluster_sync *s)
{
    int64_t spread = cluster_random_below(&s->pcg, (uint32_t)(SYNC_SECOND * 2 / 5));
    s->exchange_us = s->now_us + SYNC_SECOND * 4 / 5 + spread;
    uint32_t member = sync_member_random(s);
    if (member != SYNC_NONE && !s->members[member].comparing)
        sync_compare_at(s, member, s->now_us);
    if (s->waiting_used > 0)
        chase(s);
}

void cluster_sync_tick(struct cluster_sync *s, int64_t now_us, int64_t now_s)
{
    s->now_us = now_us;
    s->now_s = now_s;
    if (!s->conf.clustered)
        return;
    sync_events_due(s);
    wake_waiting(s);
    if (s->exchange_us <= now_us)
        exchange_with_somebody(s);
    sync_caution_look(s);
    sync_talk(s);
    sync_stages(s);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t sync_talk_deadline_us(const struct cluster_sync *s)
{
    int64_t at = s->exchange_us;
    bool all_busy = s->comparing >= SYNC_COMPARES; /* an answer goes on */
    for (uint32_t i = 0; i < s->active_count; i++) {
        const struct sync_member *m = &s->members[s->active[i]];
        int64_t wish = m->comparing || all_busy ? SYNC_NEVER : m->compare_at_us;
        if (wish != SYNC_NEVER && wish < m->retry_us)
            wish = m->retry_us;
        if (m->queued && m->pushing < CLUSTER_SYNC_PUSHES)
            wish = earlier(wish, m->retry_us);
        at = earlier(at, wish);
    }
    return at;
}

int64_t cluster_sync_deadline_us(const struct cluster_sync *s)
{
    if (!s->conf.clustered || !s->begun)
        return SYNC_NEVER;
    return earlier(earlier(sync_talk_deadline_us(s), sync_events_deadline_us(s)),
                   sync_caution_deadline_us(s));
}
