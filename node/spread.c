#include "node/spread.h"

#include <stdlib.h>

#include "base/log.h"
#include "node/crowd.h"
#include "node/io/loop_ev.h"

static bool send_to(void *user, struct span id, uint64_t number, struct span body,
                    uint32_t deadline_ms)
{
    struct node *n = user;
    struct cluster *core = node_member_core(n->member);
    struct cluster_node to;
    if (!core || !cluster_node_find(core, id, &to) || to.tags.peer.family == ADDR_NONE)
        return false;
    return node_peers_send(n->peers, id, &to.tags.peer, number, body, deadline_ms);
}

static void answer(void *user, uint64_t number, struct span body)
{
    node_peers_answer(((struct node *)user)->peers, number, body);
}

static void hint(void *user, struct span payload)
{
    static struct log_limit limit;
    struct node *n = user;
    struct cluster *core = node_member_core(n->member);
    if (!core)
        return;
    enum err err =
        cluster_fire(core, SPAN(CLUSTER_SYNC_EVENT), payload, false, io_loop_us(), NULL);
    if (err != ERR_OK)
        log_limited(&limit, 6, LOG_WARN, "purge_hint", "bytes=%zu why=\"%s\"", payload.len,
                    err_text(err));
    node_member_settle(n->member);
}

const struct node_purges_peers node_spread = {
    .send = send_to, .answer = answer, .hint = hint, .vector = node_crowd_vector};

uint32_t node_spread_confs(void *node, const struct conf **out, uint32_t max)
{
    const struct node *n = node;
    uint32_t count = 0;
    must(max > 0);
    out[count++] = n->setup->conf;
    for (const struct node_swap *s = n->swaps; s && count < max; s = s->next)
        if (s->leaving)
            out[count++] = s->leaving->conf;
    return count;
}

const struct conf *node_spread_conf_hold(void *node)
{
    struct node *n = node;
    must(!n->sweeping);
    if (n->swaps)
        return NULL;
    n->sweeping = setup_hold(n->setup);
    return n->sweeping->conf;
}

void node_spread_conf_drop(void *node)
{
    struct node *n = node;
    setup_drop(n->sweeping);
    n->sweeping = NULL;
}

/* --- what unsafe methods and groups made unusable here --- */

struct told {
    struct letter letter;
    struct node *node;
    struct purge purge; /* its texts follow */
    char texts[];
};

static void hear(struct letter *l)
{
    struct told *t = CONTAINER_OF(l, struct told, letter);
    atomic_fetch_sub(&t->node->told, 1);
    node_purges_invalidated(t->node->purges, &t->purge);
    free(t);
}

void node_spread_invalidated(void *node, const struct purge *p, uint64_t apply_no)
{
    struct node *n = node;
    /* An owner that does not know it yet would bring the old object back. */
    cluster_recent_add_unnumbered(node_purges_recent(n->purges), 0, apply_no, io_loop_us());
    if (atomic_fetch_add(&n->told, 1) >= NODE_SPREAD_TOLD) {
        atomic_fetch_sub(&n->told, 1);
        atomic_fetch_add(&n->untold, 1);
        return;
    }
    struct told *t = must_alloc(sizeof *t + p->selector.len + p->site.len);
    char *site = t->texts + p->selector.len;
    memcpy(t->texts, p->selector.ptr, p->selector.len);
    if (p->site.len)
        memcpy(site, p->site.ptr, p->site.len);
    t->node = n;
    t->purge = *p;
    t->purge.selector = span_of(t->texts, p->selector.len);
    t->purge.site = span_of(site, p->site.len);
    letter_post(&n->loop->mailbox, &t->letter, hear);
}

/* --- requests between nodes --- */

static void on_answered(void *user, uint64_t number, enum err result, struct span body)
{
    node_purges_answered(((struct node *)user)->purges, number, result, body);
}

static void on_asked(void *user, struct span from, uint64_t number, struct span body)
{
    node_purges_asked(((struct node *)user)->purges, from, number, body);
}

void node_spread_open(struct node *n)
{
    static const struct node_peers_functions functions = {.answered = on_answered,
                                                          .asked = on_asked};
    if (n->setup->conf->cluster.on)
        n->peers = node_peers_open(&(struct node_peers_conf){
            .loop = n->loop, .tls = n->setup->peer_client, .functions = &functions, .user = n});
}

void node_spread_reload(struct node *n)
{
    node_peers_set_tls(n->peers, n->setup->peer_client);
    node_purges_reload(n->purges, n->setup->conf);
}

enum err node_spread_forget(struct node *n, struct span id)
{
    enum err purges = node_purges_forget(n->purges, id);
    if (purges == ERR_REFUSED)
        return purges;
    enum err gossip = node_member_forget(n->member, id);
    return gossip == ERR_NOT_FOUND ? purges : gossip;
}
