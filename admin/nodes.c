#include "admin/nodes.h"

#include <stdlib.h>

struct row {
    struct span id, json; /* borrowed when sorting */
    size_t id_at, id_len, json_at, json_len;
};

struct listing {
    int64_t now_us;
    struct buf ids, json;
    struct row *rows;
    size_t count, room;
};

static void write_address(struct admin_writer *out, const char *key, const struct addr *a,
                          bool with_port)
{
    char text[ADDR_TEXT_MAX];
    admin_json_put_text(out, key, span_text(addr_print(a, with_port, text)));
}

static void write_tags(struct admin_writer *out, const struct cluster_tags *t)
{
    admin_json_put_text(out, "region", t->region);
    admin_json_put_text(out, "version", t->version);
    if (t->has_place) {
        admin_json_open(out, "place", '[');
        admin_json_put_number(out, NULL, t->latitude);
        admin_json_put_number(out, NULL, t->longitude);
        admin_json_close(out, ']');
    }
    admin_json_open(out, "addresses", '[');
    for (uint32_t i = 0; i < t->address_count; i++)
        write_address(out, NULL, &t->addresses[i], false);
    admin_json_close(out, ']');
    if (t->peer.family != ADDR_NONE)
        write_address(out, "peer", &t->peer, true);
    admin_json_put_number(out, "capacity", t->capacity);
}

static int64_t rtt_of(const struct cluster_node *n)
{
    if (n->me)
        return 0;
    return n->rtt_own_us >= 0 ? n->rtt_own_us : n->rtt_us;
}

static void write_node(struct admin_writer *out, const struct cluster_node *n, int64_t now_us)
{
    bool suspect = n->suspect && n->status == CLUSTER_STATUS_ALIVE;
    int64_t since_s = (now_us - n->since_us) / 1000000;
    admin_json_open(out, NULL, '{');
    admin_json_put_text(out, "id", n->name);
    admin_json_put_boolean(out, "me", n->me);
    admin_json_put_boolean(out, "perigee", n->tags.id.len > 0);
    write_address(out, "address", &n->addr, true);
    admin_json_put_text(out, "state",
                        suspect ? SPAN("suspect") : span_text(cluster_status_text(n->status)));
    admin_json_put_integer(out, "since_s", since_s > 0 ? since_s : 0);
    if (rtt_of(n) >= 0)
        admin_json_put_integer(out, "rtt_us", rtt_of(n));
    if (n->has_health) {
        admin_json_put_unsigned(out, "load", n->health.load);
        admin_json_put_unsigned(out, "shed", n->health.shed);
    }
    admin_json_put_boolean(out, "drain", n->health.drain);
    write_tags(out, &n->tags);
    admin_json_close(out, '}');
}

static void take_node(void *user, const struct cluster_node *n)
{
    struct listing *l = user;
    struct admin_writer out = {.out = &l->json};
    if (l->count == l->room) {
        l->room = l->room ? l->room * 2 : 64;
        must((l->rows = reallocarray(l->rows, l->room, sizeof *l->rows)) != NULL);
    }
    struct row *row = &l->rows[l->count++];
    *row = (struct row){
        .id_at = buf_len(&l->ids), .id_len = n->name.len, .json_at = buf_len(&l->json)};
    must(buf_append(&l->ids, n->name) == ERR_OK);
    write_node(&out, n, l->now_us);
    row->json_len = buf_len(&l->json) - row->json_at;
}

static int compare_rows(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return span_compare(x->id, y->id);
}

/* By id: gossip's own order is another one each time. */
static void write_sorted(struct admin_writer *out, const struct admin_core *core,
                         int64_t now_us)
{
    struct listing l = {.now_us = now_us};
    buf_init(&l.ids, 0);
    buf_init(&l.json, 0);
    core->actions->nodes(core->node, take_node, &l);
    for (size_t i = 0; i < l.count; i++) {
        struct row *row = &l.rows[i];
        row->id = span_until(span_from(buf_span(&l.ids), row->id_at), row->id_len);
        row->json = span_until(span_from(buf_span(&l.json), row->json_at), row->json_len);
    }
    if (l.count)
        qsort(l.rows, l.count, sizeof *l.rows, compare_rows);
    for (size_t i = 0; i < l.count; i++)
        admin_json_put_json(out, l.rows[i].json);
    free(l.rows);
    buf_fini(&l.ids);
    buf_fini(&l.json);
}

static void write_alone(struct admin_writer *out, const struct conf_node *node, bool ready)
{
    admin_json_open(out, NULL, '{');
    admin_json_put_text(out, "id", span_text(node->id));
    admin_json_put_boolean(out, "me", true);
    admin_json_put_boolean(out, "perigee", true);
    admin_json_put_text(out, "state", SPAN("alive"));
    admin_json_put_integer(out, "rtt_us", 0);
    admin_json_put_boolean(out, "drain", !ready);
    admin_json_put_text(out, "region", span_text(node->region));
    admin_json_put_text(out, "version", SPAN(PERIGEE_VERSION));
    admin_json_close(out, '}');
}

void admin_nodes_get(const struct admin_core *core, const struct admin_call *c)
{
    struct buf json;
    struct admin_cluster cluster;
    buf_init(&json, 0);
    struct admin_writer out = {.out = &json};
    bool on = core->actions->cluster(core->node, &cluster);
    admin_json_open(&out, NULL, '{');
    admin_json_put_boolean(&out, "cluster", on);
    admin_json_open(&out, "nodes", '[');
    if (on)
        write_sorted(&out, core, cluster.now_us);
    else
        write_alone(&out, &core->conf->node, core->actions->ready(core->node));
    admin_json_close(&out, ']');
    admin_json_close(&out, '}');
    admin_call_json(c, 200, &json);
    buf_fini(&json);
}

void admin_nodes_forget(const struct admin_core *core, const struct admin_call *c)
{
    struct span id;
    if (!admin_call_decode(c, c->rest, &id)) {
        admin_call_fault(c, 400, "malformed id");
        return;
    }
    enum err err = core->actions->forget(core->node, id);
    if (err == ERR_REFUSED) {
        admin_call_fault(c, 409, "this node is alive; only one that failed can be forgotten");
        return;
    }
    if (err) {
        admin_call_fault(c, 404, "no such node");
        return;
    }
    struct buf json;
    buf_init(&json, 0);
    struct admin_writer out = {.out = &json};
    admin_json_open(&out, NULL, '{');
    admin_json_put_text(&out, "forgotten", id);
    admin_json_close(&out, '}');
    admin_call_json(c, 200, &json);
    buf_fini(&json);
}
