#include "node/reload.h"

#include <stdlib.h>
#include <time.h>

#include "base/counter.h"
#include "base/log.h"
#include "cache/cache.h"
#include "conf/load.h"
#include "node/change.h"
#include "node/keys.h"
#include "node/spread.h"
#include "node/io/loop_ev.h"
#include "node/worker_ev.h"

#define MESSAGE_BYTES 1024

static const struct conf_place nowhere = {0, 0};

/* --- build, in any thread --- */

/* The secrets' file may be one that only root could read: then those in force stay. */
static struct io_secrets *reread_secrets(const struct conf *conf, const struct setup *under)
{
    struct conf_faults faults = {0};
    struct io_secrets *next;
    if (node_keys_secrets(&conf->cluster, &next, &faults) == ERR_OK)
        return next;
    char message[MESSAGE_BYTES];
    log_line(LOG_WARN, "secrets_not_read", "why=%s effect=\"those in force stay\"",
             log_quote(span_text(faults.count ? faults.at[0].message : ""), message,
                       sizeof message));
    conf_faults_fini(&faults);
    return io_secrets_hold(under->secrets);
}

static struct setup *build(const char *file, const struct setup *under,
                           struct conf_faults *faults)
{
    struct conf *conf = conf_load(file, faults);
    if (!conf)
        return NULL;
    uint32_t before = faults->errors;
    node_change_check(under->conf, conf, faults);
    bool may = faults->errors == before;
    struct io_secrets *secrets = reread_secrets(conf, under);
    struct setup *s = setup_create(conf, secrets, under, (int64_t)time(NULL), faults);
    io_secrets_drop(secrets);
    if (may)
        return s;
    setup_drop(s);
    return NULL;
}

/* --- hand over --- */

static void let_go(struct node_swap *swap)
{
    struct node_swap **link = &swap->node->swaps;
    while (*link != swap)
        link = &(*link)->next;
    *link = swap->next;
    front_log_close(swap->log);
    setup_drop(swap->leaving);
    free(swap);
}

static void taken(struct node_handover *h)
{
    struct node_swap *swap = h->user;
    struct node *n = swap->node;
    free(h);
    if (--swap->out > 0)
        return;
    let_go(swap);
    n->serving = true;
    if (n->reload.again)
        node_reload_begin(n);
}

static void hand_to(struct node *n, uint32_t worker, struct node_swap *swap)
{
    const struct conf *conf = n->setup->conf;
    uint32_t gates = n->setup->listener_count;
    struct node_handover *h = must_alloc(sizeof *h + gates * sizeof h->gates[0]);
    h->setup = setup_hold(n->setup);
    h->connections_max =
        node_rights_connections(conf->limits.connections, n->files, n->worker_count);
    h->log = n->log;
    h->taken = taken;
    h->user = swap;
    for (uint32_t i = 0; i < gates; i++)
        h->gates[i] = (struct node_handover_gate){.port = n->ports->at[i].id,
                                                  .fd = node_ports_take(n->ports, i, worker)};
    node_worker_take(n->workers[worker], h);
}

void node_reload_hand_over(struct node *n, struct setup *leaving, struct front_log_sink *log)
{
    struct node_swap *swap = must_alloc(sizeof *swap);
    *swap = (struct node_swap){
        .next = n->swaps, .node = n, .out = n->worker_count, .leaving = leaving, .log = log};
    n->swaps = swap;
    for (uint32_t i = 0; i < n->worker_count; i++)
        hand_to(n, i, swap);
}

/* --- swap --- */

static bool is_off(const char *path)
{
    return strcmp(path, "off") == 0;
}

/* The log of `next`; the one in force writes to the new file from now on. */
static enum err open_log(struct node *n, const char *path, struct front_log_sink **out,
                         struct conf_faults *faults)
{
    enum err err = ERR_OK;
    *out = n->log;
    if (is_off(path))
        *out = NULL;
    else if (n->log)
        err = front_log_reopen(n->log, path);
    else
        err = front_log_open(path, out);
    if (err != ERR_OK)
        conf_fault_add(faults, nowhere, "logs.access.path: %.200s cannot be opened", path);
    return err;
}

static void keep_log(struct node *n, struct front_log_sink *opened)
{
    if (opened && opened != n->log)
        front_log_close(opened);
    else if (opened) /* the old path again; it was open a moment ago, and stays so at worst */
        (void)!front_log_reopen(n->log, n->setup->conf->logs.access_path);
}

static uint32_t count_swaps(const struct node *n)
{
    uint32_t count = 0;
    for (const struct node_swap *s = n->swaps; s; s = s->next)
        count++;
    return count;
}

static void put_in_force(struct node *n, struct setup *next, struct node_ports *ports,
                         struct front_log_sink *log)
{
    struct setup *leaving = n->setup;
    struct front_log_sink *log_leaving = log ? NULL : n->log;
    if (!io_secrets_equal(leaving->secrets, next->secrets))
        log_line(LOG_INFO, "secrets", "count=%u effect=\"in force between nodes\"",
                 io_secrets_count(next->secrets));
    if (node_change_renames(leaving->conf, next->conf))
        node_purges_rename(n->purges, leaving->conf, next->conf);
    cache_set_variants(n->cache, &next->conf->cache.variants);
    node_member_reload(n->member, next->conf);
    n->setup = next;
    node_spread_reload(n);
    setup_drop(n->front.setup);
    n->front.setup = setup_hold(next);
    n->log = log;
    node_ports_close(n->ports);
    n->ports = ports;
    node_reload_hand_over(n, leaving, log_leaving);
}

/* `next` is taken. */
static enum err try_swap(struct node *n, struct setup *next, struct conf_faults *faults)
{
    struct front_log_sink *log = NULL;
    struct node_ports *ports = NULL;
    enum err err = ERR_REFUSED;
    if (n->drain.step != NODE_SERVING) {
        conf_fault_add(faults, nowhere, "the node is about to stop");
        goto refused;
    }
    err = ERR_AGAIN;
    if (count_swaps(n) >= NODE_RELOAD_SWAPS || !n->serving) {
        conf_fault_add(faults, nowhere, "the workers have not taken the last one yet");
        goto refused;
    }
    err = ERR_REFUSED;
    ports = node_ports_open(n->ports, next->conf, n->worker_count, NULL, faults);
    if (!ports)
        goto refused;
    if (open_log(n, next->conf->logs.access_path, &log, faults) != ERR_OK)
        goto refused;
    err = admin_reload(n->admin, next->conf, faults);
    if (err != ERR_OK) {
        keep_log(n, log);
        goto refused;
    }
    put_in_force(n, next, ports, log);
    return ERR_OK;
refused:
    node_ports_close(ports);
    setup_drop(next);
    return err;
}

static void log_faults(const struct node *n, bool refused, const struct conf_faults *faults)
{
    char message[MESSAGE_BYTES];
    for (uint32_t i = 0; i < faults->count; i++) {
        const struct conf_fault *f = &faults->at[i];
        if (f->warning)
            log_line(LOG_WARN, "config_warning", "file=%s line=%d column=%d message=%s",
                     n->file, f->line, f->column,
                     log_quote(span_text(f->message), message, sizeof message));
        else
            log_line(LOG_ERROR, refused ? "reload_refused" : "config_fault",
                     "file=%s line=%d column=%d message=%s", n->file, f->line, f->column,
                     log_quote(span_text(f->message), message, sizeof message));
    }
}

/* `built` is taken; NULL: the faults say why. */
static enum err settle(struct node *n, struct setup *built, struct conf_faults *faults)
{
    enum err err = built ? try_swap(n, built, faults) : ERR_REFUSED;
    log_faults(n, err != ERR_OK, faults);
    if (err == ERR_OK) {
        counter_add(COUNTER_RELOADS, 1);
        log_line(LOG_INFO, "reload", "serial=%llu file=%s",
                 (unsigned long long)n->setup->serial, n->file);
    } else {
        counter_add(COUNTER_RELOADS_REFUSED, 1);
        log_line(LOG_ERROR, "reload_refused",
                 "file=%s faults=%u effect=\"the old configuration stays in force\"", n->file,
                 faults->errors);
    }
    return err;
}

enum err node_reload_now(struct node *n, struct conf_faults *faults)
{
    return settle(n, build(n->file, n->setup, faults), faults);
}

static void come_home(struct letter *l)
{
    struct node *n = CONTAINER_OF(l, struct node, reload.letter);
    struct node_reload *r = &n->reload;
    bool outdated = r->under != n->setup;
    r->building = false;
    setup_drop(r->under);
    r->under = NULL;
    if (n->drain.step == NODE_SERVING && !outdated)
        (void)!settle(n, r->built, &r->faults);
    else
        setup_drop(r->built);
    r->built = NULL;
    conf_faults_fini(&r->faults);
    if (outdated || r->again)
        node_reload_begin(n);
}

static void build_letter(struct letter *l)
{
    struct node *n = CONTAINER_OF(l, struct node, reload.letter);
    n->reload.built = build(n->file, n->reload.under, &n->reload.faults);
    letter_post(&n->loop->mailbox, l, come_home);
}

void node_reload_begin(struct node *n)
{
    struct node_reload *r = &n->reload;
    if (n->drain.step != NODE_SERVING)
        return;
    /* Before the first setup is everywhere, or with many on their way: when that is done. */
    r->again = r->building || !n->serving || n->swaps != NULL;
    if (r->again)
        return;
    r->building = true;
    r->under = setup_hold(n->setup);
    letter_crew_post(r->builder, &r->letter, build_letter);
}

static void begin_builder(void *context)
{
    (void)context;
    counter_thread_init();
}

void node_reload_open(struct node *n)
{
    n->reload.builder = letter_crew_create(&(struct letter_crew_conf){
        .name = "builder", .threads = 1, .thread_begin = begin_builder});
}

void node_reload_close(struct node *n)
{
    letter_crew_destroy(n->reload.builder);
    n->reload.builder = NULL;
    (void)letter_open_all(&n->loop->mailbox);
    while (n->swaps)
        let_go(n->swaps);
}
