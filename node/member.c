#include "node/member.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "base/log.h"
#include "node/seeds_ev.h"

#define LINES_PER_MINUTE 600 /* of one kind: a large cluster that starts */
#define QUOTED_BYTES 256
#define STATUS_QUERY "perigee/status"

struct node_member {
    struct io_loop *loop;
    struct node_purges *purges;
    struct node_cluster *net;
    struct node_seeds *seeds;
    struct addr told; /* what others dial */
    bool accepts_events;
    struct cluster_health health;
    bool leaving;
    int64_t leave_by_ms;

    struct node_keys keys;
    int folder_fd;
    struct letter_crew *keeper;
    struct letter letter;
    struct buf keeping, to_keep; /* the kept file's text: being written, and the next one */
    bool out;                    /* the letter is */
    enum err kept;               /* how the letter's write ended */
};

/* --- what is told --- */

/* The default: peer_listen's port where gossip is dialled. */
static struct addr peer_of(const struct conf_cluster *c, const struct addr *told)
{
    struct addr peer = c->peer_advertise;
    if (!conf_cluster_has_peer_port(c))
        return (struct addr){0};
    if (peer.family != ADDR_NONE || c->peer_listen.family == ADDR_NONE)
        return peer;
    peer = *told;
    peer.port = c->peer_listen.port;
    return peer;
}

static void fill_tags(const struct conf *conf, const struct addr *told, struct cluster_tags *t)
{
    const struct conf_node *n = &conf->node;
    *t = (struct cluster_tags){.id = span_text(n->id),
                               .region = span_text(n->region),
                               .version = SPAN(PERIGEE_VERSION),
                               .has_place = n->has_place,
                               .latitude = n->latitude,
                               .longitude = n->longitude,
                               .peer = peer_of(&conf->cluster, told),
                               .capacity = n->capacity};
    for (uint32_t i = 0; i < n->address_count && i < CLUSTER_TAGS_ADDRESSES; i++)
        t->addresses[t->address_count++] = n->addresses[i];
}

/* --- news --- */

static const char *quote(struct span text, char out[QUOTED_BYTES])
{
    return log_quote(text, out, QUOTED_BYTES);
}

/* Only nodes count: an agent has no cache. What gossip reaps stays a member
 * (cluster/purge_sync.h). */
static void tell_purges(struct node_member *m, enum cluster_change change,
                        const struct cluster_node *n)
{
    enum cluster_sync_state state = CLUSTER_SYNC_LIVE;
    if (!span_equal(n->tags.id, n->name) || change == CLUSTER_FORGOTTEN)
        return;
    if (n->status != CLUSTER_STATUS_ALIVE)
        state = change == CLUSTER_LEFT_NODE ? CLUSTER_SYNC_LEFT : CLUSTER_SYNC_FAILED;
    node_purges_member(m->purges, n->name, state, n->tags.peer.family != ADDR_NONE);
}

static void on_changed(void *user, enum cluster_change change, const struct cluster_node *n)
{
    static const char *const words[] = {[CLUSTER_JOINED] = "joined",
                                        [CLUSTER_LEFT_NODE] = "left",
                                        [CLUSTER_FAILED] = "failed",
                                        [CLUSTER_UPDATED] = "updated",
                                        [CLUSTER_FORGOTTEN] = "forgotten"};
    static struct log_limit limit;
    char name[QUOTED_BYTES], region[QUOTED_BYTES], addr[ADDR_TEXT_MAX];
    struct node_member *m = user;
    if (n->me)
        return;
    tell_purges(m, change, n);
    log_limited(&limit, LINES_PER_MINUTE, change == CLUSTER_FAILED ? LOG_WARN : LOG_INFO,
                "member", "change=%s name=%s address=%s region=%s", words[change],
                quote(n->name, name), addr_print(&n->addr, true, addr),
                quote(n->tags.region, region));
}

static void on_event(void *user, const struct cluster_event *e)
{
    static struct log_limit limit;
    const struct node_member *m = user;
    char name[QUOTED_BYTES], payload[QUOTED_BYTES];
    node_purges_event(m->purges, e->name, e->payload, e->ltime, e->replayed);
    if (span_equal(e->name, SPAN(CLUSTER_SYNC_EVENT))) /* between nodes */
        return;
    log_limited(&limit, LINES_PER_MINUTE, LOG_INFO,
                m->accepts_events ? "serf_event" : "serf_event_refused",
                "name=%s payload=%s ltime=%llu replayed=%d", quote(e->name, name),
                quote(e->payload, payload), (unsigned long long)e->ltime, e->replayed);
}

/* `serf query perigee/status`: how is everybody? */
static void on_query(void *user, const struct cluster_question *q)
{
    struct node_member *m = user;
    struct cluster_node me;
    char text[CLUSTER_QUERY_BYTES / 2];
    if (!q->number || !span_equal(q->name, SPAN(STATUS_QUERY)))
        return;
    cluster_me(node_cluster_core(m->net), &me);
    int len = snprintf(text, sizeof text, "node=%.*s version=%s load=%u drain=%d",
                       SPAN_ARG(me.name), PERIGEE_VERSION, m->health.load, m->health.drain);
    must(len > 0 && (size_t)len < sizeof text);
    /* Too late: nobody waits for it any more. */
    (void)!cluster_answer(node_cluster_core(m->net), q->number, span_of(text, (size_t)len),
                          io_loop_us());
}

static void on_conflict(void *user, enum cluster_conflict what, const struct addr *other)
{
    static const struct {
        enum log_level level;
        const char *effect;
    } said[] = {
        [CLUSTER_CONFLICT_OTHERS] = {LOG_WARN, "two other members share a name"},
        [CLUSTER_CONFLICT_SEEN] = {LOG_ERROR, "somebody has this node's id; the others vote"},
        [CLUSTER_CONFLICT_WON] = {LOG_WARN, "the vote is won"},
        [CLUSTER_CONFLICT_LOST] = {LOG_ERROR,
                                   "out of service: give this node an id of its own"},
        [CLUSTER_CONFLICT_UNDECIDED] = {LOG_WARN, "nobody voted"},
    };
    static struct log_limit limit;
    char addr[ADDR_TEXT_MAX];
    (void)user;
    log_limited(&limit, 60, said[what].level, "name_conflict", "other=%s effect=\"%s\"",
                addr_print(other, true, addr), said[what].effect);
}

static void on_join_done(void *user, const struct addr *seed, enum err result)
{
    node_seeds_done(((struct node_member *)user)->seeds, seed, result);
}

/* --- keys --- */

static void post_keeper(struct node_member *m);

static void kept(struct letter *l)
{
    struct node_member *m = CONTAINER_OF(l, struct node_member, letter);
    m->out = false;
    if (m->kept)
        log_line(LOG_ERROR, "gossip_keys_not_kept",
                 "file=" NODE_KEYS_KEPT " effect=\"a restart goes back to the file's keys\"");
    if (buf_len(&m->to_keep) && m->keeper)
        post_keeper(m);
}

static void keep_letter(struct letter *l)
{
    struct node_member *m = CONTAINER_OF(l, struct node_member, letter);
    m->kept = node_keys_keep(m->folder_fd, buf_span(&m->keeping));
    letter_post(&m->loop->mailbox, l, kept);
}

static void post_keeper(struct node_member *m)
{
    struct buf next = m->to_keep;
    m->to_keep = m->keeping;
    m->keeping = next;
    buf_clear(&m->to_keep);
    m->out = true;
    letter_crew_post(m->keeper, &m->letter, keep_letter);
}

static void on_keyring(void *user, const struct wire_keyring *ring)
{
    struct node_member *m = user;
    m->keys.ring = *ring;
    m->keys.source = NODE_KEYS_KEPT;
    log_line(LOG_INFO, "gossip_keys", "changed=cluster keys=%u kept=" NODE_KEYS_KEPT,
             ring->count);
    buf_clear(&m->to_keep);
    node_keys_print(&m->keys, &m->to_keep);
    if (!m->out)
        post_keeper(m);
}

/* The ring that counts at start, and why. */
static void choose_keys(struct node_member *m, const struct node_keys *said)
{
    m->keys = *said;
    if (!said->ring.count) {
        log_line(LOG_WARN, "gossip_keys", "source=none effect=\"gossip is in the clear\"");
        return;
    }
    enum err err = node_keys_recall(m->folder_fd, &m->keys);
    const char *why = err == ERR_OK          ? "kept from serf keys"
                      : err == ERR_NOT_FOUND ? "configured"
                      : err == ERR_REFUSED   ? "configured anew since serf keys"
                                             : "the kept ones cannot be read";
    bool bad = err != ERR_OK && err != ERR_NOT_FOUND && err != ERR_REFUSED;
    log_line(bad ? LOG_WARN : LOG_INFO, "gossip_keys", "source=%s keys=%u why=\"%s\"",
             m->keys.source, m->keys.ring.count, why);
}

/* --- its life --- */

static void join(void *user, const struct addr *seed)
{
    struct node_member *m = user;
    cluster_join(node_cluster_core(m->net), seed, io_loop_us());
    node_cluster_settle(m->net);
}

static bool open_net(struct node_member *m, const struct conf *conf,
                     struct node_cluster_ports *ports)
{
    bool lan = conf->cluster.profile == CONF_PROFILE_LAN;
    struct cluster_conf cluster = {.name = span_text(conf->node.id),
                                   .addr = m->told,
                                   .profile = lan ? cluster_swim_lan : cluster_swim_wan,
                                   .keyring = m->keys.ring,
                                   .seed = crypto_random_u64(),
                                   .lifeguard = true};
    const struct cluster_news news = {.user = m,
                                      .changed = on_changed,
                                      .event = on_event,
                                      .query = on_query,
                                      .conflict = on_conflict,
                                      .keyring = on_keyring,
                                      .join_done = on_join_done};
    fill_tags(conf, &m->told, &cluster.tags);
    m->net = node_cluster_open(m->loop, ports, &cluster, &news);
    return m->net != NULL;
}

struct node_member *node_member_open(const struct node_member_conf *c)
{
    struct node_member *m = must_alloc(sizeof *m);
    char listen[ADDR_TEXT_MAX], told[ADDR_TEXT_MAX];
    const struct conf_cluster *k = &c->conf->cluster;
    *m = (struct node_member){.loop = c->loop,
                              .purges = c->purges,
                              .folder_fd = c->folder_fd,
                              .keeper = c->keeper,
                              .accepts_events = k->accept_events};
    buf_init(&m->keeping, 0);
    buf_init(&m->to_keep, 0);
    choose_keys(m, c->keys);
    node_cluster_advertised(k, &m->told);
    (void)addr_print(&k->listen, true, listen);
    (void)addr_print(&m->told, true, told);
    m->seeds = node_seeds_create(c->loop, &m->told, join, m);
    if (!open_net(m, c->conf, c->ports)) {
        log_line(LOG_ERROR, "cluster_refused", "id=%s advertise=%s", c->conf->node.id, told);
        node_member_close(m);
        return NULL;
    }
    log_line(LOG_INFO, "cluster", "id=%s listen=%s advertise=%s seeds=%u", c->conf->node.id,
             listen, told, k->join_count);
    node_seeds_set(m->seeds, k);
    return m;
}

void node_member_stop(struct node_member *m)
{
    if (!m)
        return;
    m->keeper = NULL;
    node_seeds_destroy(m->seeds);
    m->seeds = NULL;
    node_cluster_close(m->net);
    m->net = NULL;
}

void node_member_close(struct node_member *m)
{
    if (!m)
        return;
    node_member_stop(m);
    /* The crew is gone: what came last is written here. */
    if (buf_len(&m->to_keep) && node_keys_keep(m->folder_fd, buf_span(&m->to_keep)) != ERR_OK)
        log_line(LOG_ERROR, "gossip_keys_not_kept", "file=" NODE_KEYS_KEPT);
    buf_fini(&m->keeping);
    buf_fini(&m->to_keep);
    free(m);
}

void node_member_reload(struct node_member *m, const struct conf *conf)
{
    struct cluster_tags tags;
    if (!m)
        return;
    m->accepts_events = conf->cluster.accept_events;
    fill_tags(conf, &m->told, &tags);
    tags.drain = m->health.drain;
    cluster_set_tags(node_cluster_core(m->net), &tags, io_loop_us());
    node_seeds_set(m->seeds, &conf->cluster);
    node_cluster_settle(m->net);
}

static void tell_health(struct node_member *m)
{
    cluster_set_health(node_cluster_core(m->net), &m->health, io_loop_us());
    node_cluster_settle(m->net);
}

static bool is_no_other(void *user, const struct cluster_node *n)
{
    bool *alone = user;
    *alone = n->me || n->status != CLUSTER_STATUS_ALIVE || !n->tags.id.len;
    return *alone;
}

void node_member_tick(struct node_member *m, uint8_t load, int64_t now_ms)
{
    struct cluster_counters counters;
    if (!m || m->leaving)
        return;
    m->health.load = load;
    tell_health(m);
    cluster_counters(node_cluster_core(m->net), &counters);
    node_seeds_tick(m->seeds, counters.nodes[CLUSTER_STATUS_ALIVE] <= 1, now_ms);
    bool alone = true;
    cluster_nodes_walk(node_cluster_core(m->net), is_no_other, &alone);
    node_purges_seeds_silent(m->purges, alone && node_seeds_tried(m->seeds));
}

void node_member_drain(struct node_member *m)
{
    if (!m || m->health.drain)
        return;
    m->health.drain = true;
    tell_health(m);
}

bool node_member_leave(struct node_member *m, int64_t now_ms)
{
    if (!m)
        return true;
    struct cluster *core = node_cluster_core(m->net);
    if (!m->leaving) {
        m->leaving = true;
        m->leave_by_ms = now_ms + NODE_MEMBER_LEAVE_MS;
        cluster_leave(core, io_loop_us());
        node_cluster_settle(m->net);
        log_line(LOG_INFO, "cluster_leave", "wait_ms=%d", NODE_MEMBER_LEAVE_MS);
    }
    return cluster_leave_told(core) || now_ms >= m->leave_by_ms;
}

bool node_member_may_serve(const struct node_member *m)
{
    return !m || !cluster_conflict_lost(node_cluster_core(m->net));
}

void node_member_settle(struct node_member *m)
{
    if (m)
        node_cluster_settle(m->net);
}

struct cluster *node_member_core(struct node_member *m)
{
    return m ? node_cluster_core(m->net) : NULL;
}

enum err node_member_forget(struct node_member *m, struct span id)
{
    if (!m)
        return ERR_NOT_FOUND;
    enum err err = cluster_forget(node_cluster_core(m->net), id, io_loop_us());
    node_cluster_settle(m->net);
    return err;
}

unsigned node_member_seeds_left(const struct node_member *m)
{
    return m ? node_seeds_left(m->seeds) : 0;
}

const char *node_member_keys_source(const struct node_member *m)
{
    return m && m->keys.ring.count ? m->keys.source : "none";
}

uint64_t node_member_unsent(const struct node_member *m)
{
    return m ? node_cluster_unsent(m->net) : 0;
}
