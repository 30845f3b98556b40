/* admin/actions.h - what admin may ask of the node: a struct of functions that node fills in.
 *
 * Every function gets the `node` that admin_create was given. Spans handed to admin live until
 * the function (or the call-back that brought them) returns; what admin hands over is borrowed
 * until the function returns, so node copies what it keeps.
 *
 * Thread: control. Call-backs come in control, from inside the call or later, exactly once,
 * and not after admin_destroy.
 */
#pragma once

#include "base/purge.h"
#include "cluster/cluster.h"
#include "cluster/purge_sync.h"
#include "conf/conf.h"

struct admin;

/* How far a purge has come; each stage at most once, in this order, some left out. */
enum admin_purge_stage {
    ADMIN_PURGE_HERE,       /* on this node's disk */
    ADMIN_PURGE_SETTLED,    /* on that of all members that can be reached; not of all */
    ADMIN_PURGE_EVERYWHERE, /* of every member: 200. The last call */
};
/* A purge of one or more selectors that was taken together. */
struct admin_purge_done {
    enum err err; /* ERR_OK: the stage counts;
                   * ERR_SYNTAX: a selector cannot be normalised here, nothing was done;
                   * others: in effect here, but not durable: 503. The last call, but
                   * for ERR_OK before EVERYWHERE */
    enum admin_purge_stage stage;
    uint64_t stream, seq; /* of the last record; those before it are dense below */
};
enum admin_purge_confirmed {
    ADMIN_PURGE_APPLIED,
    ADMIN_PURGE_PENDING,
    ADMIN_PURGE_UNREACHABLE
};
/* `ticket` is what admin gave. Not once but once for each stage (see struct above). */
typedef void admin_purge_answered(struct admin *a, uint64_t ticket,
                                  const struct admin_purge_done *done);
typedef void admin_purge_counted(struct admin *a, uint64_t ticket, uint64_t objects);

struct admin_purge_record {
    uint64_t stream, seq;
    struct purge purge; /* kind 0: it was synced, and a later purge does its work since: what it
                         * said is gone, with all below but `synced` */
    uint64_t apply_no;
    int64_t accepted_at_s;
    const char *node; /* that accepted it */
    bool synced;      /* on this node's disk */
};

#define ADMIN_FORMS_MAX 4
struct admin_form {       /* one encoding of a stored body */
    struct span encoding; /* "identity", "gzip", ... */
    int64_t bytes;        /* < 0: not known yet */
    bool made;            /* here; else as received */
    const char *tier;     /* "memory", "disk" */
};
struct admin_variant { /* of one URL, as stored */
    struct span key, vary;
    unsigned status;
    int64_t age_s, fresh_left_s;
    int64_t body_bytes; /* < 0: not known yet */
    uint64_t fill_no, hits;
    struct span etag;
    unsigned tag_count;
    const char *tier;                         /* "memory", "disk", "filling" */
    const char *state;                        /* "fresh", "stale", "purged" */
    struct admin_form forms[ADMIN_FORMS_MAX]; /* the one received first */
    unsigned form_count;                      /* 0: not known */
};

struct admin_server { /* of an origin, as workers see it */
    const char *origin, *server;
    bool up;
    uint64_t requests, errors;
};

struct admin_cluster {
    struct cluster_counters core;
    struct cluster_sync_figures purges;
    uint32_t sends_open, asks_open; /* requests between nodes about purges */
    uint64_t unsent;                /* datagrams that the system refused */
    unsigned seeds_left;            /* that have not answered */
    const char *keys_source;        /* which keys count, in words; "none": in the clear */
    bool conflict_lost;             /* another node has this id: out of service */
    int64_t now_us;                 /* in the core's time */
};

struct admin_figures {
    int64_t uptime_s;
    uint32_t workers;
    uint64_t connections; /* clients, open now */
    /* cache */
    uint64_t objects, objects_in_memory, memory_bytes, memory_max_bytes;
    uint64_t disk_used_bytes, disk_max_bytes, queue_bytes, fills;
    uint64_t oldest_reader_ms, last_batch_ms;
    bool disk_on;  /* configured and usable */
    bool scanning; /* the start's walk over the store runs */
    uint64_t encoder_waiting, encoder_cpu_us;
    /* purge log */
    uint64_t purge_names, apply_no, purge_log_bytes, purge_log_max_bytes, purge_log_records;
    bool purge_log_ok; /* the last write was synced */
    int64_t config_loaded_at_s;
    uint64_t config_serial; /* 1, and one more with each reload */
};

struct admin_actions {
    /* In effect at once for every worker, then written to the log. */
    void (*purge)(void *node, const struct purge *purges, uint32_t count,
                  admin_purge_answered *answered, struct admin *a, uint64_t ticket);
    /* Nobody waits for that ticket any more. Also from inside `answered`. */
    void (*purge_leave)(void *node, uint64_t ticket);
    /* Which members have confirmed it, this node first. ERR_NOT_FOUND. */
    enum err (*purge_confirmations)(void *node, uint64_t stream, uint64_t seq,
                                    void (*tell)(void *user, struct span id,
                                                 enum admin_purge_confirmed state),
                                    void *user);
    /* How many known objects they would name; off the control thread. */
    void (*purge_count)(void *node, const struct purge *purges, uint32_t count,
                        admin_purge_counted *counted, struct admin *a, uint64_t ticket);
    /* ERR_NOT_FOUND: no such record here (any more). */
    enum err (*purge_find)(void *node, uint64_t stream, uint64_t seq,
                           void (*tell)(void *user, const struct admin_purge_record *r),
                           void *user);
    /* Records accepted at or after `since_s`, oldest first, at most `limit`. */
    void (*purge_list)(void *node, int64_t since_s, uint32_t limit,
                       void (*tell)(void *user, const struct admin_purge_record *r),
                       void *user);
    /* `url` is absolute and raw. ERR_SYNTAX: no URL. */
    enum err (*cache_info)(void *node, struct span url,
                           void (*tell)(void *user, const struct admin_variant *v), void *user);
    void (*figures)(void *node, struct admin_figures *out);
    void (*servers)(void *node, void (*tell)(void *user, const struct admin_server *s),
                    void *user);
    /* False: there is no cluster. */
    bool (*cluster)(void *node, struct admin_cluster *out);
    /* Every node that is known, also this one, gone ones and serf agents. */
    void (*nodes)(void *node, void (*tell)(void *user, const struct cluster_node *n),
                  void *user);
    /* A failed node will not come back. ERR_NOT_FOUND; ERR_REFUSED: it is alive. */
    enum err (*forget)(void *node, struct span id);
    /* Loads the configuration file again. ERR_OK: swapped in (admin_reload was called on the
     * way); else the old one runs on and the faults say why. */
    enum err (*reload)(void *node, struct conf_faults *faults);
    /* May a load balancer send traffic? False while starting or draining. */
    bool (*ready)(void *node);
};
