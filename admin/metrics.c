#include "admin/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/counter.h"

static void put(struct buf *out, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void put(struct buf *out, const char *fmt, ...)
{
    char line[1024];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    must(len >= 0 && (size_t)len < sizeof line);
    must(buf_append(out, span_of(line, (size_t)len)) == ERR_OK); /* the queue has no cap */
}

static void put_head(struct buf *out, const char *name, const char *type, const char *help)
{
    put(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Lines of one name must stand together; the table keeps them so, label after label. */
static void put_counters(struct buf *out)
{
    const char *last = "";
    for (int i = 0; i < COUNTER_COUNT; i++) {
        const struct counter_info *info = counter_info((enum counter)i);
        if (strcmp(info->name, last) != 0)
            put_head(out, info->name, "counter", info->help);
        last = info->name;
        put(out, "%s%s%s%s %" PRIu64 "\n", info->name, info->label ? "{" : "",
            info->label ? info->label : "", info->label ? "}" : "",
            counter_sum((enum counter)i));
    }
}

static void put_gauges(struct buf *out, const struct admin_figures *f, bool ready)
{
    const struct {
        const char *name, *help;
        uint64_t value;
    } gauges[] = {
        {"perigee_ready", "1 while a load balancer may send traffic.", ready},
        {"perigee_uptime_seconds", "Since this process began to serve.",
         f->uptime_s > 0 ? (uint64_t)f->uptime_s : 0},
        {"perigee_workers", "Worker threads.", f->workers},
        {"perigee_client_connections", "Client connections that are open now.", f->connections},
        {"perigee_cache_objects", "Known objects, in RAM or on disk.", f->objects},
        {"perigee_cache_objects_in_memory", "Objects whose body is in RAM.",
         f->objects_in_memory},
        {"perigee_cache_memory_bytes", "RAM that the cache holds.", f->memory_bytes},
        {"perigee_cache_memory_max_bytes", "RAM that the cache may hold.", f->memory_max_bytes},
        {"perigee_cache_disk_on", "1 while the disk tier is usable.", f->disk_on},
        {"perigee_cache_disk_used_bytes", "Pages of the store that are in use.",
         f->disk_used_bytes},
        {"perigee_cache_disk_max_bytes", "Size of the store's map.", f->disk_max_bytes},
        {"perigee_cache_scanning", "1 while the start's walk over the store runs.",
         f->scanning},
        {"perigee_cache_queue_bytes", "Bytes on their way to the store writer.",
         f->queue_bytes},
        {"perigee_cache_fills", "Objects that are being fetched now.", f->fills},
        {"perigee_cache_oldest_reader_milliseconds",
         "Age of the oldest read transaction of the store.", f->oldest_reader_ms},
        {"perigee_cache_last_batch_milliseconds", "What the last commit of the store took.",
         f->last_batch_ms},
        {"perigee_encoder_queue", "Objects that wait for an encoder.", f->encoder_waiting},
        {"perigee_purge_log_ok", "1 while purges reach the disk.", f->purge_log_ok},
        {"perigee_purge_log_records", "Records in the purge log.", f->purge_log_records},
        {"perigee_purge_log_bytes", "Size of the purge log.", f->purge_log_bytes},
        {"perigee_purge_log_max_bytes", "Cap of the purge log.", f->purge_log_max_bytes},
        {"perigee_purge_names", "Names in the table of purged names.", f->purge_names},
        {"perigee_config_serial", "1, and one more with each reload.", f->config_serial},
        {"perigee_config_loaded_seconds", "When the configuration was loaded, Unix time.",
         f->config_loaded_at_s > 0 ? (uint64_t)f->config_loaded_at_s : 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(gauges); i++) {
        put_head(out, gauges[i].name, "gauge", gauges[i].help);
        put(out, "%s %" PRIu64 "\n", gauges[i].name, gauges[i].value);
    }
}

/* What the counters say together, so that a panel need not divide. */
static void put_encoders(struct buf *out, const struct admin_figures *f)
{
    static const struct {
        const char *encoding;
        enum counter in, out;
    } rows[] = {
        {"gzip", COUNTER_ENCODER_IN_GZIP, COUNTER_ENCODER_OUT_GZIP},
        {"zstd", COUNTER_ENCODER_IN_ZSTD, COUNTER_ENCODER_OUT_ZSTD},
        {"identity", COUNTER_ENCODER_IN_IDENTITY, COUNTER_ENCODER_OUT_IDENTITY},
    };
    put_head(out, "perigee_encoder_cpu_seconds_total", "counter",
             "CPU time of encoding in the background.");
    put(out, "perigee_encoder_cpu_seconds_total %" PRIu64 ".%06" PRIu64 "\n",
        f->encoder_cpu_us / 1000000, f->encoder_cpu_us % 1000000);
    put_head(out, "perigee_encoder_ratio", "gauge",
             "Bytes after through bytes before, of all bodies encoded (identity: decoded).");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t before = counter_sum(rows[i].in);
        if (before)
            put(out, "perigee_encoder_ratio{encoding=\"%s\"} %.4f\n", rows[i].encoding,
                (double)counter_sum(rows[i].out) / (double)before);
    }
}

static void put_members(struct buf *out, const struct cluster_counters *c)
{
    put_head(out, "perigee_cluster_members", "gauge", "Nodes and serf agents, by state.");
    for (int i = CLUSTER_STATUS_ALIVE; i < CLUSTER_STATUSES; i++)
        put(out, "perigee_cluster_members{state=\"%s\"} %" PRIu32 "\n",
            cluster_status_text((enum cluster_status)i), c->nodes[i]);
}

static void put_drops(struct buf *out, const struct admin_cluster *a)
{
    const struct cluster_swim_counters *s = &a->core.swim;
    const struct {
        const char *reason;
        uint64_t count;
    } rows[] = {
        {"refused", s->dropped_refused},
        {"unasked", s->dropped_unknown},
        {"output", s->dropped_output},
        {"inbox", s->dropped_inbox},
        {"stream", s->dropped_stream},
        {"relay", s->dropped_relay},
        {"member", s->dropped_member},
        {"unsent", a->unsent},
        {"event", a->core.serf.events_dropped},
        {"query", a->core.serf.queries_dropped},
        {"queue", a->core.serf_gauges.queue_dropped},
    };
    put_head(out, "perigee_cluster_dropped_total", "counter",
             "Gossip that was not taken or not sent, by reason.");
    for (int i = WIRE_FAULT_NONE + 1; i < WIRE_FAULTS; i++)
        put(out, "perigee_cluster_dropped_total{reason=\"%s\"} %" PRIu64 "\n",
            wire_fault_text((enum wire_fault)i), s->faults[i]);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        put(out, "perigee_cluster_dropped_total{reason=\"%s\"} %" PRIu64 "\n", rows[i].reason,
            rows[i].count);
}

static void put_gossip(struct buf *out, const struct admin_cluster *a)
{
    const struct cluster_swim_counters *s = &a->core.swim;
    const struct cluster_serf_counters *f = &a->core.serf;
    const struct cluster_serf_gauges *g = &a->core.serf_gauges;
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        {"packets_in_total", "counter", "Datagrams received.", s->packets_in},
        {"packets_out_total", "counter", "Datagrams sent.", s->packets_out},
        {"packet_bytes_in_total", "counter", "Bytes of these.", s->bytes_in},
        {"packet_bytes_out_total", "counter", "Bytes of these.", s->bytes_out},
        {"streams_in_total", "counter", "Conversations by TCP that others began.",
         s->streams_in},
        {"streams_out_total", "counter", "Conversations by TCP begun here.", s->streams_out},
        {"stream_bytes_in_total", "counter", "Bytes of both.", s->stream_bytes_in},
        {"stream_bytes_out_total", "counter", "Bytes of both.", s->stream_bytes_out},
        {"probes_total", "counter", "Members that were asked whether they live.", s->probes},
        {"probes_failed_total", "counter", "Probes that nobody answered.", s->probes_failed},
        {"suspected_total", "counter", "Members that were suspected.", s->suspected},
        {"refuted_total", "counter", "Times that this node said that it lives.", s->refuted},
        {"failed_total", "counter", "Members that were declared dead.", s->failed},
        {"conflicts_total", "counter", "Names or addresses that two members claim.",
         s->conflicts},
        {"push_pulls_total", "counter", "Exchanges of the whole state begun here.",
         s->push_pulls},
        {"push_pulls_failed_total", "counter", "Those that failed.", s->push_pulls_failed},
        {"events_in_total", "counter", "User events heard.", f->events_in},
        {"events_fired_total", "counter", "User events of this node.", f->events_fired},
        {"queries_in_total", "counter", "Queries heard.", f->queries_in},
        {"key_changes_total", "counter", "Changes of the keyring by the cluster.",
         f->key_changes},
        {"health_score", "gauge", "0: this node's own network is well, 7: it is not.",
         a->core.swim_health},
        {"queue", "gauge", "Messages that wait to be gossiped.",
         (uint64_t)a->core.queue_swim + g->queue_intents + g->queue_queries + g->queue_events},
        {"seeds_left", "gauge", "Members to join that have not answered.", a->seeds_left},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        put(out, "# HELP perigee_cluster_%s %s\n# TYPE perigee_cluster_%s %s\n", rows[i].name,
            rows[i].help, rows[i].name, rows[i].type);
        put(out, "perigee_cluster_%s %" PRIu64 "\n", rows[i].name, rows[i].value);
    }
}

/* Purges between nodes. */
static void put_sync(struct buf *out, const struct admin_cluster *a)
{
    const struct cluster_sync_figures *f = &a->purges;
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        {"cautious", "gauge",
         "1 while what is stored is revalidated, since purges may have been missed.",
         f->cautious},
        {"members", "gauge", "Nodes whose confirmation counts, this one too.", f->members},
        {"unreachable", "gauge", "Those of them that cannot be asked now.", f->unreachable},
        {"waiting", "gauge", "Purges accepted here that not all have confirmed.", f->waiting},
        {"sends_open", "gauge", "Requests to other nodes under way.", a->sends_open},
        {"asks_open", "gauge", "Requests of other nodes under way.", a->asks_open},
        {"pushed_total", "counter", "Requests that carried purges to others.", f->pushed},
        {"push_failed_total", "counter", "Those that failed.", f->push_failed},
        {"received_total", "counter", "Purges of other nodes taken in.", f->received},
        {"pulled_total", "counter", "Those that had to be asked for.", f->pulled},
        {"exchanges_total", "counter", "Comparisons with another node.", f->exchanges},
        {"exchanges_failed_total", "counter", "Those that failed.", f->exchanges_failed},
        {"fallbacks_total", "counter",
         "Times that what was missed was gone, and everything was revalidated.", f->fallbacks},
        {"refused_total", "counter", "Nonsense from other nodes.", f->refused},
        {"hints_in_total", "counter", "Hints heard by gossip.", f->hints_in},
        {"hints_out_total", "counter", "Hints sent by gossip.", f->hints_out},
        {"typed_total", "counter", "Purges by serf event.", f->typed},
        {"adopted_total", "counter", "Those of which this node made a record.", f->adopted},
        {"invalidations_in_total", "counter", "Invalidations that other nodes told.",
         f->invalidations_in},
        {"invalidations_out_total", "counter", "Invalidations told to others.",
         f->invalidations_out},
        {"invalidations_untold_total", "counter",
         "Invalidations that were more than may be told.", f->invalidations_untold},
        {"cautions_total", "counter", "Times that this node was cautious.", f->cautions},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        put(out, "# HELP perigee_purge_sync_%s %s\n# TYPE perigee_purge_sync_%s %s\n",
            rows[i].name, rows[i].help, rows[i].name, rows[i].type);
        put(out, "perigee_purge_sync_%s %" PRIu64 "\n", rows[i].name, rows[i].value);
    }
}

static void put_cluster(struct buf *out, const struct admin_core *core)
{
    struct admin_cluster a;
    if (!core->actions->cluster(core->node, &a))
        return;
    put_members(out, &a.core);
    put_gossip(out, &a);
    put_sync(out, &a);
    put_drops(out, &a);
}

static void put_up(void *user, const struct admin_server *s)
{
    put(user, "perigee_origin_up{origin=\"%.200s\",server=\"%.200s\"} %d\n", s->origin,
        s->server, s->up);
}

static void put_requests(void *user, const struct admin_server *s)
{
    put(user,
        "perigee_origin_server_requests_total{origin=\"%.200s\",server=\"%.200s\"} %" PRIu64
        "\n",
        s->origin, s->server, s->requests);
}

static void put_errors(void *user, const struct admin_server *s)
{
    put(user,
        "perigee_origin_server_errors_total{origin=\"%.200s\",server=\"%.200s\"} %" PRIu64 "\n",
        s->origin, s->server, s->errors);
}

void admin_metrics_get(const struct admin_core *core, const struct admin_call *c)
{
    struct admin_figures f = {0};
    struct buf text;
    core->actions->figures(core->node, &f);
    buf_init(&text, 0);
    put_head(&text, "perigee_build_info", "gauge", "1, with the version as a label.");
    put(&text, "perigee_build_info{version=\"%s\"} 1\n", PERIGEE_VERSION);
    put_counters(&text);
    put_gauges(&text, &f, core->actions->ready(core->node));
    put_encoders(&text, &f);
    put_cluster(&text, core);
    put_head(&text, "perigee_origin_up", "gauge", "1 while the server is used.");
    core->actions->servers(core->node, put_up, &text);
    put_head(&text, "perigee_origin_server_requests_total", "counter", "Requests sent to it.");
    core->actions->servers(core->node, put_requests, &text);
    put_head(&text, "perigee_origin_server_errors_total", "counter",
             "Requests that failed or were answered 5xx.");
    core->actions->servers(core->node, put_errors, &text);
    struct admin_answer answer = {.status = 200,
                                  .content_type =
                                      SPAN("text/plain; version=0.0.4; charset=utf-8"),
                                  .body = buf_span(&text)};
    c->answered(c->user, &answer);
    buf_fini(&text);
}
