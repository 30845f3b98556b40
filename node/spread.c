#include "node/spread.h"

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
