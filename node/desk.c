#include "node/desk.h"

#include "node/io/loop_ev.h"

static void put(struct node *n, struct front_ask *a)
{
    a->next = n->asks;
    a->prev = &n->asks;
    if (a->next)
        a->next->prev = &a->next;
    n->asks = a;
}

static void take_out(struct front_ask *a)
{
    *a->prev = a->next;
    if (a->next)
        a->next->prev = a->prev;
    a->next = NULL;
    a->prev = NULL;
}

static void answered(void *user, const struct admin_answer *answer)
{
    struct front_ask *a = user;
    take_out(a);
    front_ask_answer(a, answer);
}

static void refuse(struct front_ask *a)
{
    const struct admin_answer answer = {.status = 503,
                                        .content_type = SPAN("application/json"),
                                        .body = SPAN("{\"error\":\"the node is stopping\"}\n")};
    answered(a, &answer);
}

static void handle(void *node, struct front_ask *a)
{
    struct node *n = node;
    if (a->is_peer) {
        node_peers_asked(n->peers, a);
        return;
    }
    put(n, a);
    if (n->drain.step >= NODE_CUTTING) {
        refuse(a);
        return;
    }
    struct admin_request r = {.request = &a->request,
                              .body = a->body,
                              .client = a->client,
                              .local = a->local,
                              .now_ms = n->loop->now_ms,
                              .now_s = n->loop->now_s};
    if (a->is_purge)
        admin_purge_method(n->admin, &r, a->url, a->site, a->may_purge, answered, a);
    else
        admin_handle(n->admin, &r, answered, a);
}

void node_desk_open(struct node *n)
{
    n->desk = (struct front_desk){.mailbox = &n->loop->mailbox, .handle = handle, .node = n};
}

void node_desk_refuse(struct node *n)
{
    node_peers_close(n->peers);
    n->peers = NULL;
    while (n->asks) {
        struct front_ask *a = n->asks;
        admin_forget(n->admin, a);
        refuse(a);
    }
}
