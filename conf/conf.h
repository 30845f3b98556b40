/* conf/conf.h - one configuration as plain data, one sub-struct per user.
 *
 * Made by conf_load from a file; immutable afterwards. Modules take their sub-struct, never
 * the whole. What is not built yet is not here, and writing it is an error.
 *
 * Units: as the names say. Strings are owned by the struct's arena, NUL-ended, never NULL
 * unless said; lists are arrays with a count.
 * Thread: any (read-only).
 */
#pragma once

#include <stdio.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/span.h"

struct conf_texts {
    const char **at;
    uint32_t count;
};

/* One fault of a file: file:line:col: message. */
struct conf_fault {
    int line, column; /* from 1; 0: no place */
    bool warning;     /* told, and does not refuse the file */
    char *message;    /* owned by the list */
};
struct conf_faults {
    struct conf_fault *at;
    uint32_t count, room;
    uint32_t errors; /* how many are no warnings */
};
/* A place in the file, kept beside values that others check later (certificates, names). */
struct conf_place {
    int line, column;
};

struct conf_node {
    const char *id;       /* default: the host name */
    const char *region;   /* "" = none */
    uint32_t workers;     /* 0 = auto: the affinity mask */
    const char *user;     /* "" = stay who we are */
    const char *data_dir; /* default /var/lib/perigee */
    /* What is told to the cluster. */
    bool has_place;
    double latitude, longitude; /* degrees */
    struct addr *addresses;     /* port 0 */
    uint32_t address_count;
    uint32_t capacity;                          /* relative weight, default 1 */
    struct conf_texts place_text, address_text; /* as written */
};

enum conf_profile { CONF_PROFILE_WAN, CONF_PROFILE_LAN };
struct conf_seed {
    const char *host; /* name or address, no brackets */
    uint16_t port;
};
struct conf_cluster {
    bool on;
    struct addr listen;
    struct addr advertise; /* no family: `listen`, or the address that a route begins at */
    struct addr peer_listen, peer_advertise; /* no family: not told */
    enum conf_profile profile;
    const char *secret_file, *gossip_key_file; /* "" = none */
    const char *shield;                        /* a region; "" = none */
    uint64_t purge_keep_s, purge_max_bytes;    /* of the purge log; conf.purge_log_* counts */
    bool accept_events;                        /* purges fired by serf agents */
    struct conf_texts join_text;               /* as written */
    struct conf_seed *join;
    uint32_t join_count;
    struct conf_place place, join_place, listen_place, secret_place, gossip_key_place;
};
/* Do other nodes' requests come in? Without a secret nobody could prove to be one. */
static inline bool conf_cluster_has_peer_port(const struct conf_cluster *c)
{
    return c->on && c->peer_listen.family != ADDR_NONE && *c->secret_file;
}

struct conf_certificate {
    const char *cert, *key; /* paths */
    struct conf_place place;
};
struct conf_listener {
    const char *name;
    struct addr address;
    struct conf_place place;
    bool redirect_https;  /* answer 308 to https instead of serving */
    bool tls;             /* has a tls: section */
    bool h2, h1;          /* protocols; h2 only with tls */
    int tls_min;          /* 12 or 13 */
    bool tickets_cluster; /* tickets resume on every node that has the secret */
    struct conf_certificate *certificates;
    uint32_t certificate_count;
    struct addr_prefix *trusted_proxies;
    uint32_t trusted_proxy_count;
};

/* Encodings that are made here, and asked of origins. */
struct conf_variants {
    bool encode_zstd, encode_gzip;         /* default both */
    bool fetch_zstd, fetch_br, fetch_gzip; /* Accept-Encoding towards origins; default none */
    struct conf_texts types;               /* "text/html", a star for any text */
    uint64_t min_bytes, max_bytes;         /* of bodies; default 512 B and 64 MiB */
    uint32_t cpu_percent;                  /* of all CPUs, for encoding; default 25 */
};
struct conf_cache {
    struct conf_variants variants;
    uint64_t memory_bytes; /* RAM tier, default 256 MiB */
    uint64_t disk_bytes;   /* map size, default 1 GiB; 0 = no disk tier */
    uint64_t object_max_bytes;
    uint64_t max_objects; /* default 1,000,000 */
    bool verify_full;     /* xxh3 of whole bodies as they are read; default true */
    const char *path;     /* default data_dir/cache */
    bool object_max_derived, path_derived; /* not said in the file */
};
/* Of what a reload cannot change: where the file says it, or what is around; 0: nowhere. */
struct conf_fixed_places {
    struct conf_place id, workers, user, data_dir;
    struct conf_place memory, disk_size, object_max, max_objects, verify, path;
    struct conf_place admin;
    struct conf_place cluster_purge_max;
    struct conf_place cluster, cluster_listen, cluster_advertise, cluster_profile;
    struct conf_place cluster_secret, cluster_gossip_key;
};

struct conf_token {
    const char *name, *file;
    bool scope_purge, scope_read, scope_admin;
    struct conf_texts sites; /* empty: all */
    struct conf_place place;
};
struct conf_admin {
    bool on;
    struct addr address;
    struct conf_place place;
    const char *cert, *key; /* "" = no TLS */
    struct conf_token *tokens;
    uint32_t token_count;
    uint32_t purge_rate; /* selectors a second per token; 0 = no limit */
};

struct conf_limits {
    uint32_t connections; /* 100000, cut to what RLIMIT_NOFILE allows */
    uint32_t drain_ms;    /* default 60 s for who serves in a cluster, else 0 */
    uint32_t field_line_bytes, field_one_bytes, field_all_bytes, field_count, field_tags_bytes;
    uint32_t h2_streams; /* 128 */
    uint32_t header_ms, body_idle_ms, keepalive_ms;
    uint32_t origin_connect_ms, origin_first_byte_ms, origin_idle_ms, origin_keepalive_ms;
};

struct conf_origin_server {
    bool tls;
    const char *host; /* name or address, no brackets */
    uint16_t port;
    const char *authority; /* host[:port] as written, without a default port */
    struct conf_place place;
};
enum conf_origin_host { CONF_HOST_PASS, CONF_HOST_ORIGIN, CONF_HOST_NAME };
struct conf_name_value {
    const char *name, *value;
};
struct conf_origin {
    const char *name;
    enum conf_origin_host host;
    const char *host_name;       /* with CONF_HOST_NAME */
    bool verify;                 /* default true */
    const char *ca;              /* "" = the system's store */
    struct conf_texts hide;      /* patterns of response fields */
    struct conf_name_value *add; /* fields added to requests */
    uint32_t add_count;
    uint32_t retry_max;                 /* default 1 */
    struct conf_origin_server *servers; /* at least one */
    uint32_t server_count;
    struct conf_place place;
};

enum conf_set_cookie {
    CONF_SET_COOKIE_DEFAULT,
    CONF_SET_COOKIE_STORE,
    CONF_SET_COOKIE_REFUSE,
    CONF_SET_COOKIE_STRIP
};
struct conf_ttl { /* -1 = not given */
    int64_t default_s, force_s, negative_s, grace_s;
};
struct conf_cache_key {
    bool sort_query;
    struct conf_texts drop_query;       /* patterns, '*' at the end or anywhere */
    struct conf_texts keep_query;       /* when not empty: only these */
    struct conf_texts cookies, headers; /* names whose values join the key */
};
struct conf_route {
    const char *path; /* pattern: "/x", "/x/", "/x/..." with '*' at the end, default: all */
    struct conf_texts methods; /* empty: all */
    const char *origin;        /* name; "" with respond */
    uint32_t origin_index;     /* into conf.origins */
    bool cache;                /* default true */
    bool peers;                /* default true: misses may go through other nodes */
    uint16_t respond_status;   /* 0: go to the origin */
    struct conf_ttl ttl;       /* the site's as a whole unless the route has its own */
    struct addr_prefix *allow; /* empty: all */
    uint32_t allow_count;
    struct conf_place place;
};
struct conf_site {
    const char *name;
    struct conf_texts hosts; /* exact, "*.x", or "*" */
    struct conf_cache_key cache_key;
    struct conf_ttl ttl;
    enum conf_set_cookie set_cookie;
    struct addr_prefix *purge_from;
    uint32_t purge_from_count;
    struct conf_texts tags; /* field names that carry tags */
    bool send_tags;
    bool server_timing;
    struct conf_route *routes;
    uint32_t route_count;
    struct conf_place place;
};

struct conf_logs {
    const char *access_path; /* "stdout", "off" or a file; default "off" */
};

struct conf {
    struct arena arena;
    const char *file;
    struct conf_node node;
    struct conf_cluster cluster;
    struct conf_listener *listeners;
    uint32_t listener_count;
    struct conf_cache cache;
    struct conf_admin admin;
    struct conf_limits limits;
    struct conf_origin *origins;
    uint32_t origin_count;
    struct conf_site *sites;
    uint32_t site_count;
    struct conf_logs logs;
    uint64_t purge_log_keep_s;    /* 7 days */
    uint64_t purge_log_max_bytes; /* 256 MiB; 64 MiB alone */
    struct conf_fixed_places places;
};

/* The list of faults that conf, and later whoever uses a setting, adds to. */
void conf_fault_add(struct conf_faults *f, struct conf_place place, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void conf_fault_warn(struct conf_faults *f, struct conf_place place, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void conf_faults_sort(struct conf_faults *f); /* by place */
/* A line each: "file:line:col: [warning: ]message", without a place "file: message". */
void conf_faults_print(const struct conf_faults *f, const char *file, FILE *out);
void conf_faults_fini(struct conf_faults *f);
void conf_destroy(struct conf *c); /* NULL ok */
