#include "admin/status.h"

#include "admin/purge.h"
#include "admin/selector.h"

#define RECORD_ARENA_BYTES 65536
#define LOOKED_AT_MAX 16384 /* records, for a token that may see some of them only */

void admin_status_health(const struct admin_core *core, const struct admin_call *c)
{
    bool ready = core->actions->ready(core->node);
    struct buf json;
    buf_init(&json, 0);
    struct admin_writer out = {.out = &json};
    admin_json_open(&out, NULL, '{');
    admin_json_put_text(&out, "status", ready ? SPAN("ok") : SPAN("unavailable"));
    admin_json_close(&out, '}');
    admin_call_json(c, ready ? 200 : 503, &json);
    buf_fini(&json);
}

static void write_cache(struct admin_writer *out, const struct admin_figures *f)
{
    admin_json_open(out, "cache", '{');
    admin_json_put_unsigned(out, "objects", f->objects);
    admin_json_put_unsigned(out, "objects_in_memory", f->objects_in_memory);
    admin_json_put_unsigned(out, "memory_bytes", f->memory_bytes);
    admin_json_put_unsigned(out, "memory_max_bytes", f->memory_max_bytes);
    admin_json_put_boolean(out, "disk_on", f->disk_on);
    admin_json_put_unsigned(out, "disk_used_bytes", f->disk_used_bytes);
    admin_json_put_unsigned(out, "disk_max_bytes", f->disk_max_bytes);
    admin_json_put_boolean(out, "scanning", f->scanning);
    admin_json_put_unsigned(out, "queue_bytes", f->queue_bytes);
    admin_json_put_unsigned(out, "fills", f->fills);
    admin_json_put_unsigned(out, "oldest_reader_ms", f->oldest_reader_ms);
    admin_json_put_unsigned(out, "last_batch_ms", f->last_batch_ms);
    admin_json_close(out, '}');
}

static void write_purge_log(struct admin_writer *out, const struct admin_figures *f)
{
    admin_json_open(out, "purge_log", '{');
    admin_json_put_boolean(out, "ok", f->purge_log_ok);
    admin_json_put_unsigned(out, "records", f->purge_log_records);
    admin_json_put_unsigned(out, "bytes", f->purge_log_bytes);
    admin_json_put_unsigned(out, "max_bytes", f->purge_log_max_bytes);
    admin_json_put_unsigned(out, "names", f->purge_names);
    admin_json_put_unsigned(out, "apply_no", f->apply_no);
    admin_json_close(out, '}');
}

static void write_cluster(struct admin_writer *out, const struct admin_core *core)
{
    struct admin_cluster c;
    bool on = core->actions->cluster(core->node, &c);
    admin_json_open(out, "cluster", '{');
    admin_json_put_boolean(out, "on", on);
    if (on) {
        admin_json_put_unsigned(out, "alive", c.core.nodes[CLUSTER_STATUS_ALIVE]);
        admin_json_put_unsigned(out, "failed", c.core.nodes[CLUSTER_STATUS_FAILED]);
        admin_json_put_unsigned(out, "seeds_left", c.seeds_left);
        admin_json_put_text(out, "keys", span_text(c.keys_source));
        admin_json_put_boolean(out, "id_taken", c.conflict_lost);
        admin_json_put_boolean(out, "log_behind", c.purges.cautious);
        admin_json_put_unsigned(out, "purge_members", c.purges.members);
        admin_json_put_unsigned(out, "purge_unreachable", c.purges.unreachable);
        admin_json_put_unsigned(out, "purges_waiting", c.purges.waiting);
    }
    admin_json_close(out, '}');
}

static void write_server(void *user, const struct admin_server *s)
{
    struct admin_writer *out = user;
    admin_json_open(out, NULL, '{');
    admin_json_put_text(out, "origin", span_text(s->origin));
    admin_json_put_text(out, "server", span_text(s->server));
    admin_json_put_boolean(out, "up", s->up);
    admin_json_put_unsigned(out, "requests", s->requests);
    admin_json_put_unsigned(out, "errors", s->errors);
    admin_json_close(out, '}');
}

void admin_status_get(const struct admin_core *core, const struct admin_call *c)
{
    struct admin_figures f = {0};
    struct buf json;
    core->actions->figures(core->node, &f);
    buf_init(&json, 0);
    struct admin_writer out = {.out = &json};
    admin_json_open(&out, NULL, '{');
    admin_json_put_text(&out, "node", span_text(core->conf->node.id));
    admin_json_put_text(&out, "region", span_text(core->conf->node.region));
    admin_json_put_text(&out, "version", SPAN(PERIGEE_VERSION));
    admin_json_put_boolean(&out, "ready", core->actions->ready(core->node));
    admin_json_put_integer(&out, "uptime_s", f.uptime_s);
    admin_json_put_unsigned(&out, "workers", f.workers);
    admin_json_put_unsigned(&out, "connections", f.connections);
    write_cache(&out, &f);
    write_purge_log(&out, &f);
    write_cluster(&out, core);
    admin_json_open(&out, "config", '{');
    admin_json_put_text(&out, "file", span_text(core->conf->file));
    admin_json_put_integer(&out, "loaded_at", f.config_loaded_at_s);
    admin_json_put_unsigned(&out, "serial", f.config_serial);
    admin_json_close(&out, '}');
    admin_json_open(&out, "origins", '[');
    core->actions->servers(core->node, write_server, &out);
    admin_json_close(&out, ']');
    admin_json_close(&out, '}');
    admin_call_json(c, 200, &json);
    buf_fini(&json);
}

struct listing {
    const struct admin_core *core;
    const struct admin_call *call;
    struct admin_writer *out;
    uint64_t left; /* as many are told at most */
    bool told;
};

/* A token for certain sites sees what it might have done itself: purges of these sites alone.
 */
static bool may_see(const struct listing *l, const struct purge *p)
{
    struct arena arena;
    arena_init(&arena, RECORD_ARENA_BYTES);
    bool may = admin_auth_site(&l->call->caller, admin_selector_site(p, l->core->conf, &arena));
    arena_fini(&arena);
    return may;
}

static void write_record(void *user, const struct admin_purge_record *r)
{
    struct listing *l = user;
    /* What was superseded names nothing any more. */
    if (!l->left || (r->purge.kind && !may_see(l, &r->purge)))
        return;
    l->left--;
    l->told = true;
    admin_json_open(l->out, NULL, '{');
    admin_purge_write_id(l->out, r->stream, r->seq);
    if (!r->purge.kind) {
        admin_json_put_boolean(l->out, "superseded", true);
        admin_purge_write_nodes(l->out, l->core, r->stream, r->seq, r->synced);
        admin_json_close(l->out, '}');
        return;
    }
    admin_json_put_text(l->out, "type", span_text(purge_kind_text(r->purge.kind)));
    admin_json_put_text(l->out, "selector", r->purge.selector);
    admin_json_put_text(l->out, "mode", span_text(purge_mode_text(r->purge.mode)));
    if (r->purge.site.len)
        admin_json_put_text(l->out, "site", r->purge.site);
    admin_json_put_integer(l->out, "accepted_at", r->accepted_at_s);
    admin_json_put_text(l->out, "node", span_text(r->node ? r->node : ""));
    admin_purge_write_nodes(l->out, l->core, r->stream, r->seq, r->synced);
    admin_json_close(l->out, '}');
}

static bool parse_id(struct span id, uint64_t *out_stream, uint64_t *out_seq)
{
    size_t at;
    return span_find(id, ':', &at) && span_hex_to_u64(span_until(id, at), out_stream) &&
           span_to_u64(span_from(id, at + 1), out_seq);
}

void admin_status_purge(const struct admin_core *core, const struct admin_call *c)
{
    uint64_t stream, seq;
    struct span id;
    struct buf json;
    buf_init(&json, 0);
    struct admin_writer out = {.out = &json};
    struct listing listing = {.core = core, .call = c, .out = &out, .left = 1};
    if (!admin_call_decode(c, c->rest, &id) || !parse_id(id, &stream, &seq))
        admin_call_fault(c, 400, "an id is <stream>:<seq>");
    else if (core->actions->purge_find(core->node, stream, seq, write_record, &listing) !=
                 ERR_OK ||
             !listing.told)
        admin_call_fault(c, 404, "no such purge in this node's log");
    else
        admin_call_json(c, 200, &json);
    buf_fini(&json);
}

/* Seconds since 1970, or how long ago. */
static bool parse_since(struct span text, int64_t now_s, int64_t *out_s)
{
    uint64_t at_s;
    int64_t ago_ms;
    if (span_to_u64(text, &at_s) && at_s <= INT64_MAX) {
        *out_s = (int64_t)at_s;
        return true;
    }
    if (!admin_call_duration(text, &ago_ms))
        return false;
    *out_s = now_s - ago_ms / 1000;
    return true;
}

void admin_status_purges(const struct admin_core *core, const struct admin_call *c)
{
    int64_t since_s = 0;
    uint64_t limit = STATUS_PURGES_MAX;
    struct span text;
    struct buf json;
    if (admin_call_parameter(c, "since", &text) &&
        !parse_since(text, c->request->now_s, &since_s)) {
        admin_call_fault(c, 400, "since: seconds since 1970, or a duration like 1h");
        return;
    }
    if (admin_call_parameter(c, "limit", &text) &&
        (!span_to_u64(text, &limit) || !limit || limit > STATUS_PURGES_MAX)) {
        admin_call_fault(c, 400, "limit: 1 to %d", STATUS_PURGES_MAX);
        return;
    }
    buf_init(&json, 0);
    struct admin_writer out = {.out = &json};
    struct listing listing = {.core = core, .call = c, .out = &out, .left = limit};
    bool filtered = c->caller.token && c->caller.token->sites.count;
    uint32_t looked_at = filtered ? LOOKED_AT_MAX : (uint32_t)limit;
    admin_json_open(&out, NULL, '{');
    admin_json_open(&out, "purges", '[');
    core->actions->purge_list(core->node, since_s, looked_at, write_record, &listing);
    admin_json_close(&out, ']');
    admin_json_close(&out, '}');
    admin_call_json(c, 200, &json);
    buf_fini(&json);
}
