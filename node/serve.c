#include "node/serve.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/crypto.h"
#include "base/log.h"
#include "cache/cache.h"
#include "conf/load.h"
#include "node/actions.h"
#include "node/control_ev.h"
#include "node/crowd.h"
#include "node/desk.h"
#include "node/folder.h"
#include "node/node.h"
#include "node/reload.h"
#include "node/spread.h"
#include "node/worker_ev.h"

enum { STOPPED, FAILED, FAULTY };

#define CONNECTIONS_DEFAULT 100000 /* of conf: whoever wrote nothing is told nothing */

/* --- what the file says --- */

static bool load(struct node *n, struct conf_faults *faults)
{
    struct conf *conf = conf_load(n->file, faults);
    struct io_secrets *secrets = NULL;
    /* Root may read what the user may not. */
    bool keys = conf && node_keys_secrets(&conf->cluster, &secrets, faults) == ERR_OK;
    keys = conf && node_keys_read(&conf->cluster, secrets, &n->keys, faults) == ERR_OK && keys;
    if (conf)
        n->setup = setup_create(conf, secrets, NULL, (int64_t)time(NULL), faults);
    io_secrets_drop(secrets);
    if (n->setup)
        n->admin = admin_create(n->setup->conf, &node_actions, n, faults);
    return n->admin != NULL && keys;
}

/* --- with the rights that we were given --- */

static bool take_folders(struct node *n)
{
    const struct conf *conf = n->setup->conf;
    int fd;
    if (node_folder_make(conf->node.data_dir, &n->rights, &n->folder_fd) != ERR_OK ||
        node_folder_lock(n->folder_fd, conf->node.data_dir) != ERR_OK)
        return false;
    if (conf->cache.disk_bytes == 0)
        return true;
    if (node_folder_make(conf->cache.path, &n->rights, &fd) == ERR_OK)
        close(fd); /* else the cache runs from memory alone, and says so */
    return true;
}

static bool take_ports(struct node *n, struct conf_faults *faults)
{
    const struct conf *conf = n->setup->conf;
    n->worker_count = node_rights_workers(conf->node.workers, node_rights_cpus());
    n->files = node_rights_files();
    if (conf->cluster.on &&
        node_cluster_bind(&conf->cluster, &n->cluster_ports, faults) != ERR_OK)
        return false;
    n->ports = node_ports_open(NULL, conf, n->worker_count, &n->admin_fd, faults);
    uint32_t all = n->worker_count *
                   node_rights_connections(conf->limits.connections, n->files, n->worker_count);
    if (all < conf->limits.connections && conf->limits.connections != CONNECTIONS_DEFAULT)
        log_line(LOG_INFO, "connections_cut", "configured=%u to=%u open_files=%llu",
                 conf->limits.connections, all, (unsigned long long)n->files);
    return n->ports != NULL;
}

static bool take_all(struct node *n, struct conf_faults *faults)
{
    return node_rights_find(n->setup->conf->node.user, &n->rights, faults) == ERR_OK &&
           take_folders(n) && take_ports(n, faults) && node_rights_drop(&n->rights) == ERR_OK;
}

/* --- as who we are from now on --- */

static bool open_log(struct node *n)
{
    const char *path = n->setup->conf->logs.access_path;
    return strcmp(path, "off") == 0 || front_log_open(path, &n->log) == ERR_OK;
}

static bool open_cache(struct node *n)
{
    const struct conf *conf = n->setup->conf;
    const struct node_purges_conf purges = {.conf = conf,
                                            .home = &n->loop->mailbox,
                                            .loop = n->loop,
                                            .confs = node_spread_confs,
                                            .peers = node_spread,
                                            .user = n};
    if (node_purges_open(&purges, &n->purges) != ERR_OK)
        return false;
    const struct cluster_purge_disk_opened *log = node_purges_opened(n->purges);
    struct cache_conf cache = {.cache = &conf->cache,
                               .path = conf->cache.disk_bytes ? conf->cache.path : "",
                               .purge_boot_no = log->boot_no,
                               .purge_log_id = span_of(log->log_id, sizeof log->log_id),
                               .control = &n->loop->mailbox,
                               .invalidated = conf->cluster.on ? node_spread_invalidated : NULL,
                               .confs = {node_spread_conf_hold, node_spread_conf_drop, n},
                               .user = n};
    if (cache_open(&cache, &n->cache) != ERR_OK)
        return false;
    cache_tick(n->cache, n->loop->now_ms, n->loop->now_s);
    node_purges_tick(n->purges, n->loop->now_s);
    node_purges_join(n->purges, n->cache, conf);
    return true;
}

static bool open_member(struct node *n)
{
    const struct conf *conf = n->setup->conf;
    if (!conf->cluster.on)
        return true;
    node_spread_open(n);
    n->member = node_member_open(&(struct node_member_conf){.loop = n->loop,
                                                            .conf = conf,
                                                            .ports = &n->cluster_ports,
                                                            .keys = &n->keys,
                                                            .folder_fd = n->folder_fd,
                                                            .keeper = n->reload.builder,
                                                            .purges = n->purges});
    return n->member != NULL;
}

static void worker_ended(void *user)
{
    struct node *n = user;
    n->workers_ended++;
}

static bool start_workers(struct node *n)
{
    struct cluster_recent *recent =
        n->setup->conf->cluster.on ? node_purges_recent(n->purges) : NULL;
    n->workers = must_alloc(n->worker_count * sizeof(struct node_worker *));
    for (uint32_t i = 0; i < n->worker_count; i++)
        n->workers[i] = node_worker_create(&(struct node_worker_conf){.index = i,
                                                                      .cache = n->cache,
                                                                      .desk = &n->desk,
                                                                      .recent = recent,
                                                                      .home = &n->loop->mailbox,
                                                                      .ended = worker_ended,
                                                                      .user = n});
    for (uint32_t i = 0; i < n->worker_count; i++) {
        if (node_worker_start(n->workers[i]) != ERR_OK)
            return false;
        n->workers_started++;
    }
    node_reload_hand_over(n, NULL, NULL);
    return true;
}

static bool open_all(struct node *n)
{
    node_control_hold_signals();
    n->loop = io_loop_create();
    n->began_ms = n->loop->now_ms;
    node_desk_open(n);
    n->front.loop = n->loop;
    n->front.desk = &n->desk;
    n->front.request_id = crypto_random_u64();
    n->front.setup = setup_hold(n->setup);
    if (!open_log(n) || !open_cache(n))
        return false;
    node_reload_open(n);
    return open_member(n) && start_workers(n);
}

/* --- and back; whatever of it there is --- */

static void close_workers(struct node *n)
{
    for (uint32_t i = 0; n->workers && i < n->workers_started && n->drain.step != NODE_OVER;
         i++)
        node_worker_cut(n->workers[i]); /* a start that failed */
    for (uint32_t i = 0; n->workers && i < n->worker_count; i++)
        node_worker_join(n->workers[i]);
}

static void close_all(struct node *n)
{
    close_workers(n);
    node_peers_close(n->peers);
    n->peers = NULL;
    node_member_stop(n->member);
    if (n->loop)
        node_reload_close(n);
    node_member_close(n->member);
    node_crowd_close(n);
    node_cluster_unbind(&n->cluster_ports);
    node_purges_close(n->purges);
    admin_destroy(n->admin);
    cache_close(n->cache);
    front_log_close(n->log);
    for (uint32_t i = 0; n->workers && i < n->worker_count; i++)
        node_worker_destroy(n->workers[i]);
    free(n->workers);
    node_ports_close(n->ports);
    if (n->admin_fd >= 0)
        close(n->admin_fd);
    if (n->loop) {
        front_fini(&n->front);
        setup_drop(n->front.setup);
        io_loop_destroy(n->loop);
    }
    setup_drop(n->setup);
    if (n->folder_fd >= 0)
        close(n->folder_fd);
}

static int start_failed(const struct conf_faults *faults, const char *file)
{
    conf_faults_print(faults, file, stderr);
    log_line(LOG_ERROR, "start_failed", "file=%s faults=%u", file, faults->errors);
    return FAILED;
}

int node_serve(const char *file)
{
    struct conf_faults faults = {0};
    struct node n = {.file = file, .folder_fd = -1, .admin_fd = -1, .cluster_ports = {-1, -1}};
    int code = STOPPED;
    /* A reload that is asked for too early has nothing to do; it must not end us. */
    (void)signal(SIGHUP, SIG_IGN);
    counter_thread_init();
    log_line(LOG_INFO, "start", "version=%s file=%s", PERIGEE_VERSION, file);
    if (!load(&n, &faults)) {
        code = FAULTY;
        conf_faults_print(&faults, file, stderr);
    } else {
        conf_faults_print(&faults, file, stderr); /* warnings */
        conf_faults_fini(&faults);
        if (!take_all(&n, &faults) || !open_all(&n))
            code = start_failed(&faults, file);
        else
            node_control_run(&n);
    }
    close_all(&n);
    conf_faults_fini(&faults);
    log_line(LOG_INFO, "stopped", "code=%d", code);
    return code;
}
