#include "cluster/purge_sync_core.h"

struct numbering {
    struct cluster_sync *s;
    struct cluster_purge_id id;
};

/* It must be known to be unknown to others before it takes effect. */
static void numbered(void *sync, uint64_t apply_no)
{
    const struct numbering *n = sync;
    cluster_recent_add(n->s->recent, n->id, apply_no);
}

uint64_t sync_applied(const struct cluster_sync *s, uint64_t stream)
{
    uint64_t synced = cluster_purge_log_synced(s->log, stream),
             applied = cluster_vector_get(&s->applied, stream);
    return synced > applied ? synced : applied;
}

/* In effect without a gap: not missing, though not on disk yet. */
static void note_applied(struct cluster_sync *s, struct cluster_purge_id id)
{
    uint64_t through = sync_applied(s, id.stream);
    if (id.seq != through + 1)
        return;
    do
        through++;
    while (cluster_purge_log_has(s->log, (struct cluster_purge_id){id.stream, through + 1}));
    (void)!cluster_vector_raise(&s->applied, id.stream, through);
}

static enum sync_taken had(struct cluster_sync *s, const struct cluster_purge_record *r,
                           struct cluster_purge_id id, uint64_t ticket)
{
    if (!ticket || r->stream == cluster_purge_log_own_stream(s->log) ||
        cluster_purge_log_state(s->log, id) != CLUSTER_PURGE_PENDING_HERE)
        return SYNC_HAD;
    return cluster_purge_log_receive(s->log, r, ticket) == ERR_OK ? SYNC_TAKEN : SYNC_NOT_NOW;
}

enum sync_taken sync_take(struct cluster_sync *s, const struct cluster_purge_record *r,
                          uint64_t ticket, bool spread)
{
    struct numbering n = {.s = s, .id = {r->stream, r->seq}};
    struct cluster_purge_record mine = *r;
    if (cluster_purge_log_has(s->log, n.id)) /* of ours, too: it was passed on */
        return had(s, r, n.id, ticket);
    if (r->stream == cluster_purge_log_own_stream(s->log))
        return SYNC_NONSENSE;
    /* Their clock is for display, and decides at most how long we keep it. */
    if (r->accepted_at_s < 0 || r->accepted_at_s > s->now_s)
        mine.accepted_at_s = s->now_s;
    if (!s->news.apply(s->news.user, &r->purge, numbered, &n, &mine.apply_no))
        return SYNC_NOT_NOW;
    enum err err = cluster_purge_log_receive(s->log, &mine, ticket);
    if (err != ERR_OK)
        return err == ERR_REFUSED ? SYNC_NONSENSE : SYNC_NOT_NOW;
    note_applied(s, n.id);
    cluster_recent_numbered(s->recent, sync_hint_token(n.id));
    if (r->dedup)
        cluster_recent_numbered(s->recent, r->dedup);
    if (spread)
        sync_push_record(s, r);
    s->figures.received++;
    return SYNC_TAKEN;
}

void sync_fall_back(struct cluster_sync *s, uint64_t stream, uint64_t through, bool hard)
{
    uint64_t apply_no = s->news.distrust(s->news.user, hard);
    cluster_purge_log_fall_back(s->log, stream, through, apply_no, hard);
    if (stream) {
        cluster_recent_passed_over(s->recent, stream, through);
        (void)!cluster_vector_raise(&s->applied, stream, through);
    }
    s->figures.fallbacks++;
}
