#include "conf/schema.h"

#include "conf/shape.h"

#define FIELD(type, member)                                                                    \
    .at = offsetof(struct type, member), .bytes = sizeof(((struct type *)0)->member)
#define MANY(type, member, how_many)                                                           \
    FIELD(type, member), .count_at = offsetof(struct type, how_many)
#define SECTION(settings_of, type)                                                             \
    {                                                                                          \
        .settings = settings_of, .count = ARRAY_LEN(settings_of), .bytes = sizeof(struct type) \
    }
#define ELEMENT(settings_of, type)                                                             \
    {                                                                                          \
        .settings = settings_of, .count = ARRAY_LEN(settings_of),                              \
        .bytes = sizeof(struct type), .place_at = offsetof(struct type, place)                 \
    }
#define UNBUILT(name, what)                                                                    \
    {                                                                                          \
        .key = name, .kind = CONF_UNBUILT, .help = what                                        \
    }

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1024) * KIB)
#define GIB (UINT64_C(1024) * MIB)
#define TIB (UINT64_C(1024) * GIB)
#define SECOND_MS UINT64_C(1000)
#define HOUR_MS (UINT64_C(3600) * SECOND_MS)
#define DAY_MS (UINT64_C(24) * HOUR_MS)
#define YEAR_S (UINT64_C(365) * 86400)

/* One setting is a short paragraph; clang-format would give it a line per field. */
/* clang-format off */
static const struct conf_setting node_settings[] = {
    {.key = "id", .kind = CONF_TEXT, FIELD(conf_node, id), .shape = "name",
     .wrong = conf_shape_name, .derived = "the host name", .help = "This node's name."},
    {.key = "region", .kind = CONF_TEXT, FIELD(conf_node, region), .shape = "name",
     .wrong = conf_shape_name, .help = "Shown in the status."},
    {.key = "workers", .kind = CONF_NUMBER, FIELD(conf_node, workers), .word = "auto",
     .fallback = "auto", .min = 1, .max = 256,
     .help = "Threads that serve; `auto`: one for each CPU that the process may use."},
    {.key = "user", .kind = CONF_TEXT, FIELD(conf_node, user), .shape = "user",
     .wrong = conf_shape_any,
     .help = "The user to become once the listeners are bound; absent: stay who we are."},
    {.key = "data_dir", .kind = CONF_TEXT, FIELD(conf_node, data_dir), .shape = "folder",
     .wrong = conf_shape_any, .fallback = "/var/lib/perigee",
     .help = "Where the cache and the purge log live."},
    {.key = "place", .kind = CONF_TEXTS, FIELD(conf_node, place_text), .max = 2,
     .shape = "degree", .wrong = conf_shape_degrees, .derived = "not told",
     .help = "Where it stands, latitude and longitude, as told to the cluster."},
    {.key = "addresses", .kind = CONF_TEXTS, FIELD(conf_node, address_text), .max = 8,
     .shape = "IP address", .wrong = conf_shape_address, .derived = "not told",
     .help = "Where clients reach it, as told to the cluster."},
    {.key = "capacity", .kind = CONF_NUMBER, FIELD(conf_node, capacity), .fallback = "1",
     .min = 1, .max = 1000, .help = "Its weight beside others, as told to the cluster."},
};
static const struct conf_section node = SECTION(node_settings, conf_node);

static const struct conf_choice profiles[] = {
    {"wan", CONF_PROFILE_WAN, false}, {"lan", CONF_PROFILE_LAN, false}, {0}};
static const struct conf_choice event_choices[] = {
    {"accept", true, false}, {"refuse", false, false}, {0}};
static const struct conf_setting purge_log_settings[] = {
    {.key = "keep", .kind = CONF_NUMBER, .unit = CONF_UNIT_SECONDS,
     FIELD(conf_cluster, purge_keep_s), .fallback = "7d", .min = 3600, .max = 10 * YEAR_S,
     .help = "Who was away for longer revalidates all that it held once."},
    {.key = "max", .kind = CONF_NUMBER, .unit = CONF_UNIT_BYTES,
     FIELD(conf_cluster, purge_max_bytes), .fallback = "256MiB", .min = 16 * MIB, .max = TIB,
     .help = "Size of its file, reserved at the start; 64MiB without a cluster."},
};
static const struct conf_section purge_log = SECTION(purge_log_settings, conf_cluster);

static const struct conf_setting cluster_settings[] = {
    {.key = "listen", .kind = CONF_ADDRESS, FIELD(conf_cluster, listen), .fallback = ":7946",
     .help = "Gossip, UDP and TCP; serf's port."},
    {.key = "advertise", .kind = CONF_ADDRESS, FIELD(conf_cluster, advertise),
     .derived = "`listen`; when that is every address, the one that this machine uses outwards",
     .help = "What others dial: say it behind NAT or a container's bridge."},
    {.key = "peer_listen", .kind = CONF_ADDRESS, FIELD(conf_cluster, peer_listen),
     .help = "Where other nodes ask this one, HTTP/2 with the secret; purges reach it there. "
             "Without it others cannot confirm purges to this node, nor it to them."},
    {.key = "peer_advertise", .kind = CONF_ADDRESS, FIELD(conf_cluster, peer_advertise),
     .derived = "`peer_listen`'s port at the address told for gossip",
     .help = "What other nodes dial there."},
    {.key = "profile", .kind = CONF_CHOICE, FIELD(conf_cluster, profile), .fallback = "wan",
     .choices = profiles,
     .help = "How soon a silent member is suspected: for nodes far apart, or in one place."},
    {.key = "secret_file", .kind = CONF_TEXT, FIELD(conf_cluster, secret_file),
     .shape = "file", .wrong = conf_shape_any,
     .help = "The cluster's secret, for nodes alone: 32 bytes in base64 (`perigee cluster "
             "keygen`). Several lines: the first is used, all are accepted."},
    {.key = "gossip_key_file", .kind = CONF_TEXT, FIELD(conf_cluster, gossip_key_file),
     .shape = "file", .wrong = conf_shape_any,
     .derived = "derived from the secret: `perigee cluster gossip-key`",
     .help = "The key of gossip, as `serf agent -encrypt` takes it: 16, 24 or 32 bytes in "
             "base64, lines as above. Without it and a secret, gossip is in the clear."},
    {.key = "serf_events", .kind = CONF_CHOICE, FIELD(conf_cluster, accept_events),
     .fallback = "accept", .choices = event_choices,
     .help = "Purges that whoever holds the gossip key fires with `serf event`."},
    {.key = "join", .kind = CONF_TEXTS, FIELD(conf_cluster, join_text), .max = 64,
     .shape = "host:port", .wrong = conf_shape_seed,
     .help = "Members to join, as many as should be tried; port 7946 when it is left out. Asked "
             "again until each has answered."},
    {.key = "shield", .kind = CONF_TEXT, FIELD(conf_cluster, shield), .shape = "name",
     .wrong = conf_shape_name,
     .help = "A region: misses of the other regions go through it, so that origins see one "
             "request for the whole cluster."},
    {.key = "purge_log", .kind = CONF_SECTION, .inside = &purge_log,
     .help = "What this node keeps of purges, for those that were away."},
};
static const struct conf_section cluster = ELEMENT(cluster_settings, conf_cluster);

static const struct conf_setting certificate_settings[] = {
    {.key = "cert", .kind = CONF_TEXT, FIELD(conf_certificate, cert), .required = true,
     .shape = "file", .wrong = conf_shape_any,
     .help = "The certificate and its chain, PEM."},
    {.key = "key", .kind = CONF_TEXT, FIELD(conf_certificate, key), .required = true,
     .shape = "file", .wrong = conf_shape_any, .help = "Its private key, PEM."},
};
static const struct conf_section certificate = ELEMENT(certificate_settings, conf_certificate);

static const struct conf_choice tls_versions[] = {{"1.2", 12, false}, {"1.3", 13, false}, {0}};
static const struct conf_choice ticket_choices[] = {
    {"cluster", true, false}, {"node", false, false}, {0}};
static const struct conf_setting listener_tls_settings[] = {
    {.key = "certificates", .kind = CONF_LIST,
     MANY(conf_listener, certificates, certificate_count), .max = 1000, .required = true,
     .inside = &certificate,
     .help = "Picked by the client's server name; the first one is for all others."},
    {.key = "min", .kind = CONF_CHOICE, FIELD(conf_listener, tls_min), .fallback = "1.2",
     .choices = tls_versions, .help = "The oldest TLS version that is accepted."},
    {.key = "tickets", .kind = CONF_CHOICE, FIELD(conf_listener, tickets_cluster),
     .fallback = "cluster", .choices = ticket_choices,
     .help = "Session tickets of TLS 1.3 resume on every node with the same `secret_file` and a "
             "listener of the same name (cluster), or on this one alone (node). Those of TLS "
             "1.2 always on this one alone."},
};
static const struct conf_section listener_tls = SECTION(listener_tls_settings, conf_listener);

static const struct conf_choice protocols[] = {
    {"h2", offsetof(struct conf_listener, h2), false},
    {"http/1.1", offsetof(struct conf_listener, h1), false},
    {"h3", 0, true},
    {0},
};
static const struct conf_setting listener_settings[] = {
    {.key = "name", .kind = CONF_TEXT, FIELD(conf_listener, name), .shape = "name",
     .wrong = conf_shape_name, .derived = "its address", .help = "For logs and the status."},
    {.key = "address", .kind = CONF_ADDRESS, FIELD(conf_listener, address), .required = true,
     .help = "Where to listen; without an IP address on all, IPv4 and IPv6."},
    {.key = "tls", .kind = CONF_SECTION, .given_at = offsetof(struct conf_listener, tls),
     .inside = &listener_tls, .help = "Makes it an HTTPS listener."},
    {.key = "protocols", .kind = CONF_FLAGS, .choices = protocols,
     .derived = "[h2, http/1.1] with `tls`, else [http/1.1]",
     .help = "What is spoken; h2 needs `tls`."},
    {.key = "redirect_https", .kind = CONF_SWITCH, FIELD(conf_listener, redirect_https),
     .fallback = "false", .help = "Answer everything with a 308 to https."},
    {.key = "trusted_proxies", .kind = CONF_PREFIXES,
     MANY(conf_listener, trusted_proxies, trusted_proxy_count), .max = 1000,
     .help = "Whose X-Forwarded-For, -Proto, -Host, -Port, Forwarded and X-Request-ID are "
             "believed; -Proto and -Host choose the site and the cache key. Fields with `_` in "
             "their names pass from nobody."},
    UNBUILT("proxy_protocol", "the PROXY protocol comes later"),
};
static const struct conf_section listener = ELEMENT(listener_settings, conf_listener);

static const struct conf_setting disk_settings[] = {
    {.key = "size", .kind = CONF_NUMBER, .unit = CONF_UNIT_BYTES, FIELD(conf_cache, disk_bytes),
     .fallback = "1GiB", .max = 64 * TIB,
     .help = "Most bytes on disk; `0B` keeps objects in memory alone, else at least 16MiB."},
    {.key = "object_max", .kind = CONF_NUMBER, .unit = CONF_UNIT_BYTES,
     FIELD(conf_cache, object_max_bytes), .derived = "half of `size`, at most 17112760320B",
     .min = 1 * KIB, .max = UINT64_C(17112760320), .help = "Larger bodies are not stored."},
    {.key = "max_objects", .kind = CONF_NUMBER, FIELD(conf_cache, max_objects),
     .fallback = "1000000", .min = 100, .max = 1000000000,
     .help = "Most objects; their index is kept in memory."},
    {.key = "verify", .kind = CONF_CHOICE, FIELD(conf_cache, verify_full), .fallback = "full",
     .choices = (const struct conf_choice[]){{"full", true, false}, {"off", false, false}, {0}},
     .help = "Checksums of whole bodies, checked as they are read from disk."},
    {.key = "path", .kind = CONF_TEXT, FIELD(conf_cache, path), .shape = "folder",
     .wrong = conf_shape_any, .derived = "`cache` in `node.data_dir`",
     .help = "Where the objects are kept."},
};
static const struct conf_section disk = SECTION(disk_settings, conf_cache);
static const struct conf_choice encodings_made[] = {
    {"zstd", offsetof(struct conf_variants, encode_zstd), false},
    {"gzip", offsetof(struct conf_variants, encode_gzip), false},
    {0},
};
static const struct conf_choice encodings_fetched[] = {
    {"zstd", offsetof(struct conf_variants, fetch_zstd), false},
    {"br", offsetof(struct conf_variants, fetch_br), false},
    {"gzip", offsetof(struct conf_variants, fetch_gzip), false},
    {0},
};
static const struct conf_setting variants_settings[] = {
    {.key = "encode", .kind = CONF_FLAGS, .choices = encodings_made, .none = true,
     .fallback = "zstd, gzip", .help = "What bodies are encoded in here; `[]`: nothing."},
    {.key = "types", .kind = CONF_TEXTS, FIELD(conf_variants, types), .lower = true,
     .shape = "media type", .wrong = conf_shape_type_pattern, .max = 100,
     .fallback = "text/*, application/json, application/*+json, application/javascript, "
                 "application/x-javascript, application/xml, application/*+xml, "
                 "application/wasm, image/svg+xml, image/bmp, image/x-icon, "
                 "image/vnd.microsoft.icon, font/ttf, font/otf, application/vnd.ms-fontobject",
     .help = "The Content-Types that are encoded, without parameters; `*` stands for any text. "
             "text/event-stream never is."},
    {.key = "min", .kind = CONF_NUMBER, .unit = CONF_UNIT_BYTES,
     FIELD(conf_variants, min_bytes), .fallback = "512B", .max = 1 * GIB,
     .help = "Smaller bodies are not encoded."},
    {.key = "max", .kind = CONF_NUMBER, .unit = CONF_UNIT_BYTES,
     FIELD(conf_variants, max_bytes), .fallback = "64MiB", .min = 1,
     .max = UINT64_C(17112760320), .help = "Larger bodies are not encoded."},
    {.key = "cpu", .kind = CONF_NUMBER, .unit = CONF_UNIT_PERCENT,
     FIELD(conf_variants, cpu_percent), .fallback = "25%", .min = 1, .max = 100,
     .help = "Of all CPUs, most that encoding in the background takes."},
    {.key = "fetch", .kind = CONF_FLAGS, .choices = encodings_fetched, .none = true,
     .derived = "`[]`",
     .help = "The encodings that origins are asked for. None: `Accept-Encoding: identity`, "
             "which keeps ranges and strong entity tags, and all encodings are made here, "
             "once. Name gzip where the way to the origin is dear."},
};
static const struct conf_section variants = SECTION(variants_settings, conf_variants);
static const struct conf_setting cache_settings[] = {
    {.key = "memory", .kind = CONF_NUMBER, .unit = CONF_UNIT_BYTES,
     FIELD(conf_cache, memory_bytes), .fallback = "256MiB", .min = 8 * MIB, .max = 16 * TIB,
     .help = "Most bytes of objects kept in memory."},
    {.key = "disk", .kind = CONF_SECTION, .inside = &disk, .help = "The store on disk."},
    {.key = "variants", .kind = CONF_SECTION, FIELD(conf_cache, variants), .inside = &variants,
     .help = "Encodings of stored bodies, see [compression.md](compression.md)."},
};
static const struct conf_section cache = SECTION(cache_settings, conf_cache);

static const struct conf_choice scopes[] = {
    {"purge", offsetof(struct conf_token, scope_purge), false},
    {"read", offsetof(struct conf_token, scope_read), false},
    {"admin", offsetof(struct conf_token, scope_admin), false},
    {0},
};
static const struct conf_setting token_settings[] = {
    {.key = "name", .kind = CONF_TEXT, FIELD(conf_token, name), .required = true,
     .shape = "name", .wrong = conf_shape_name, .help = "For logs."},
    {.key = "file", .kind = CONF_TEXT, FIELD(conf_token, file), .required = true,
     .shape = "file", .wrong = conf_shape_any, .help = "Holds the token in its first line."},
    {.key = "scopes", .kind = CONF_FLAGS, .required = true, .choices = scopes,
     .help = "What its bearer may do."},
    {.key = "sites", .kind = CONF_TEXTS, FIELD(conf_token, sites), .shape = "site name",
     .wrong = conf_shape_name, .max = 1000, .derived = "all",
     .help = "The only sites whose purges and objects it may make or see."},
};
static const struct conf_section token = ELEMENT(token_settings, conf_token);
static const struct conf_setting admin_tls_settings[] = {
    {.key = "cert", .kind = CONF_TEXT, FIELD(conf_admin, cert), .required = true,
     .shape = "file", .wrong = conf_shape_any,
     .help = "The certificate and its chain, PEM."},
    {.key = "key", .kind = CONF_TEXT, FIELD(conf_admin, key), .required = true, .shape = "file",
     .wrong = conf_shape_any, .help = "Its private key, PEM."},
};
static const struct conf_section admin_tls = SECTION(admin_tls_settings, conf_admin);
static const struct conf_setting admin_settings[] = {
    {.key = "listen", .kind = CONF_ADDRESS, FIELD(conf_admin, address),
     .fallback = "127.0.0.1:9443",
     .help = "Where the admin API listens; off loopback it needs `tokens` and `tls`."},
    {.key = "tls", .kind = CONF_SECTION, .inside = &admin_tls,
     .help = "Makes the admin API HTTPS."},
    {.key = "tokens", .kind = CONF_LIST, MANY(conf_admin, tokens, token_count), .max = 1000,
     .inside = &token, .help = "Who may call. Without any, whoever reaches the address may."},
    {.key = "purge_rate", .kind = CONF_NUMBER, .unit = CONF_UNIT_RATE,
     FIELD(conf_admin, purge_rate), .derived = "no limit", .min = 1, .max = 1000000,
     .help = "Selectors that one token may purge; over it, 429."},
};
static const struct conf_section admin = ELEMENT(admin_settings, conf_admin);

static const struct conf_setting fields_settings[] = {
    {.key = "line", .kind = CONF_NUMBER, .unit = CONF_UNIT_BYTES,
     FIELD(conf_limits, field_line_bytes), .fallback = "8KiB", .min = 256, .max = 64 * KIB,
     .help = "The request line; over it, 414."},
    {.key = "one", .kind = CONF_NUMBER, .unit = CONF_UNIT_BYTES,
     FIELD(conf_limits, field_one_bytes), .fallback = "8KiB", .min = 256, .max = 64 * KIB,
     .help = "One field; over it, 431."},
    {.key = "all", .kind = CONF_NUMBER, .unit = CONF_UNIT_BYTES,
     FIELD(conf_limits, field_all_bytes), .fallback = "32KiB", .min = 1 * KIB, .max = 256 * KIB,
     .help = "All fields of a message together; over it, 431."},
    {.key = "count", .kind = CONF_NUMBER, FIELD(conf_limits, field_count), .fallback = "100",
     .min = 10, .max = 1000, .help = "Fields of a message; over it, 431."},
    {.key = "tags", .kind = CONF_NUMBER, .unit = CONF_UNIT_BYTES,
     FIELD(conf_limits, field_tags_bytes), .fallback = "64KiB", .min = 256, .max = 256 * KIB,
     .help = "One tag field of an origin's response."},
};
static const struct conf_section fields = SECTION(fields_settings, conf_limits);
static const struct conf_setting h2_settings[] = {
    {.key = "streams", .kind = CONF_NUMBER, FIELD(conf_limits, h2_streams), .fallback = "128",
     .min = 1, .max = 1000, .help = "Requests at once on one HTTP/2 connection."},
};
static const struct conf_section h2 = SECTION(h2_settings, conf_limits);
#define TIMEOUT(name, member, standard, what)                                                  \
    {                                                                                          \
        .key = name, .kind = CONF_NUMBER, .unit = CONF_UNIT_MS, FIELD(conf_limits, member),    \
        .fallback = standard, .min = 10, .max = DAY_MS, .help = what                           \
    }
static const struct conf_setting timeouts_settings[] = {
    TIMEOUT("header", header_ms, "10s", "A client's request head, from its first byte."),
    TIMEOUT("body_idle", body_idle_ms, "30s", "A client that neither sends nor takes bytes."),
    TIMEOUT("keepalive", keepalive_ms, "75s", "A client's connection between requests."),
    TIMEOUT("origin_connect", origin_connect_ms, "2s", "TCP and TLS to a server."),
    TIMEOUT("origin_first_byte", origin_first_byte_ms, "30s", "A server's response head."),
    TIMEOUT("origin_idle", origin_idle_ms, "30s", "A server that stops within a message."),
    TIMEOUT("origin_keepalive", origin_keepalive_ms, "60s",
            "A server's connection between requests."),
};
static const struct conf_section timeouts = SECTION(timeouts_settings, conf_limits);
static const struct conf_setting limits_settings[] = {
    {.key = "connections", .kind = CONF_NUMBER, FIELD(conf_limits, connections),
     .fallback = "100000", .min = 10, .max = 10000000,
     .help = "Clients' connections at once; cut to what the process's open files allow."},
    {.key = "drain", .kind = CONF_NUMBER, .unit = CONF_UNIT_MS, FIELD(conf_limits, drain_ms),
     .optional = true, .derived = "`60s` with listeners in a cluster, else `0s`", .max = DAY_MS,
     .help = "How long a stopping node still accepts; SIGINT or a second SIGTERM skips it."},
    {.key = "fields", .kind = CONF_SECTION, .inside = &fields, .help = "Sizes of fields."},
    {.key = "h2", .kind = CONF_SECTION, .inside = &h2, .help = "HTTP/2."},
    {.key = "timeouts", .kind = CONF_SECTION, .inside = &timeouts, .help = "Waiting times."},
};
static const struct conf_section limits = SECTION(limits_settings, conf_limits);

static const struct conf_setting server_settings[] = {
    {.key = "url", .kind = CONF_OWN, .required = true, .shape = "http:// or https:// URL",
     .read = conf_shape_read_url,
     .help = "Scheme, host and port, nothing more; IPv6 addresses in brackets."},
    UNBUILT("weight", "weights come with the other ways to balance"),
    UNBUILT("backup", "backup servers come with health checks"),
};
static const struct conf_section server = ELEMENT(server_settings, conf_origin_server);
static const struct conf_setting origin_tls_settings[] = {
    {.key = "ca", .kind = CONF_TEXT, FIELD(conf_origin, ca), .shape = "file",
     .wrong = conf_shape_any, .derived = "the system's store",
     .help = "The only authorities that may have signed the servers' certificates, PEM."},
    {.key = "verify", .kind = CONF_SWITCH, FIELD(conf_origin, verify), .fallback = "on",
     .help = "Check the servers' certificates and their names."},
};
static const struct conf_section origin_tls = SECTION(origin_tls_settings, conf_origin);
static const struct conf_setting retries_settings[] = {
    {.key = "max", .kind = CONF_NUMBER, FIELD(conf_origin, retry_max), .fallback = "1",
     .max = 10,
     .help = "Further tries of an idempotent request that has seen no byte of a response."},
    UNBUILT("on", "retries after a status come with health checks"),
    UNBUILT("budget", "the retry budget comes with health checks"),
};
static const struct conf_section retries = SECTION(retries_settings, conf_origin);
static const struct conf_choice balances[] = {
    {"round_robin", 0, false}, {"least_requests", 0, true}, {"p2c", 0, true},
    {"hash_uri", 0, true},     {0},
};
static const struct conf_setting origin_settings[] = {
    {.key = "servers", .kind = CONF_LIST, MANY(conf_origin, servers, server_count), .max = 64,
     .required = true, .inside = &server, .help = "At least one."},
    {.key = "host", .kind = CONF_OWN, .fallback = "pass", .shape = "`pass`, `origin` or a host",
     .read = conf_shape_read_origin_host,
     .help = "The Host sent: the client's (`pass`), the server's own with Location rewritten "
             "back (`origin`), or this one."},
    {.key = "balance", .kind = CONF_CHOICE, .fallback = "round_robin", .choices = balances,
     .help = "Which server is next."},
    {.key = "tls", .kind = CONF_SECTION, .inside = &origin_tls, .help = "For https servers."},
    {.key = "hide", .kind = CONF_TEXTS, FIELD(conf_origin, hide), .shape = "field name",
     .wrong = conf_shape_field_pattern, .max = 100,
     .help = "Response fields that clients do not get; `*` stands for any bytes."},
    {.key = "add", .kind = CONF_PAIRS, MANY(conf_origin, add, add_count), .max = 100,
     .help = "Fields added to requests, name: value."},
    {.key = "retries", .kind = CONF_SECTION, .inside = &retries, .help = "Trying again."},
    UNBUILT("health", "health checks come later; a failing server is skipped by retries"),
    UNBUILT("slow_start", "it comes with health checks"),
};
static const struct conf_section origin = ELEMENT(origin_settings, conf_origin);

static const struct conf_setting query_settings[] = {
    {.key = "sort", .kind = CONF_SWITCH, FIELD(conf_cache_key, sort_query), .fallback = "false",
     .help = "The order of parameters does not matter."},
    {.key = "drop", .kind = CONF_TEXTS, FIELD(conf_cache_key, drop_query),
     .shape = "parameter name", .wrong = conf_shape_parameter, .max = 1000,
     .help = "Parameters that do not count; `*` stands for any bytes. One with `;` in it counts."},
    {.key = "keep", .kind = CONF_TEXTS, FIELD(conf_cache_key, keep_query),
     .shape = "parameter name", .wrong = conf_shape_parameter, .max = 1000, .derived = "all",
     .help = "The only parameters that count; not together with `drop`."},
};
static const struct conf_section query = SECTION(query_settings, conf_cache_key);
static const struct conf_setting cache_key_settings[] = {
    {.key = "query", .kind = CONF_SECTION, .inside = &query, .help = "The query's part."},
    {.key = "cookies", .kind = CONF_TEXTS, FIELD(conf_cache_key, cookies),
     .shape = "cookie name", .wrong = conf_shape_token, .max = 100,
     .help = "Cookies whose values join the key."},
    {.key = "headers", .kind = CONF_TEXTS, FIELD(conf_cache_key, headers), .lower = true,
     .shape = "field name", .wrong = conf_shape_token, .max = 100,
     .help = "Request fields whose values join the key."},
};
static const struct conf_section cache_key = SECTION(cache_key_settings, conf_cache_key);

#define TTL(name, member, what)                                                                \
    {                                                                                          \
        .key = name, .kind = CONF_NUMBER, .unit = CONF_UNIT_SECONDS, FIELD(conf_ttl, member),  \
        .optional = true, .max = 10 * YEAR_S, .help = what                                     \
    }
static const struct conf_setting ttl_settings[] = {
    TTL("default", default_s, "For responses that say nothing about freshness."),
    TTL("force", force_s, "Instead of what responses say."),
    TTL("negative", negative_s, "For errors that say nothing about freshness."),
    TTL("grace", grace_s, "How long a stale object may stand in when the origin fails."),
};
static const struct conf_section ttl = SECTION(ttl_settings, conf_ttl);

static const struct conf_setting match_settings[] = {
    {.key = "path", .kind = CONF_TEXT, FIELD(conf_route, path), .fallback = "/*",
     .shape = "path", .wrong = conf_shape_path_pattern,
     .help = "The whole path, or with `*` at its end all that start so."},
    {.key = "methods", .kind = CONF_TEXTS, FIELD(conf_route, methods), .shape = "method",
     .wrong = conf_shape_token, .max = 64, .derived = "all", .help = "The request's method."},
    UNBUILT("country", "it comes with geographic steering"),
};
static const struct conf_section match = SECTION(match_settings, conf_route);
static const struct conf_setting respond_settings[] = {
    {.key = "status", .kind = CONF_NUMBER, FIELD(conf_route, respond_status), .required = true,
     .min = 200, .max = 599, .help = "The status to answer with."},
};
static const struct conf_section respond = SECTION(respond_settings, conf_route);
static const struct conf_setting route_settings[] = {
    {.key = "match", .kind = CONF_SECTION, .inside = &match,
     .help = "What a request must be for this route; absent: every request."},
    {.key = "origin", .kind = CONF_TEXT, FIELD(conf_route, origin), .shape = "origin name",
     .wrong = conf_shape_name, .derived = "the only one, when there is one",
     .help = "Who is asked on a miss."},
    {.key = "cache", .kind = CONF_SWITCH, FIELD(conf_route, cache), .fallback = "true",
     .help = "false: every request goes to the origin."},
    {.key = "ttl", .kind = CONF_SECTION, FIELD(conf_route, ttl), .inside = &ttl,
     .help = "Replaces the site's `ttl` as a whole."},
    {.key = "allow", .kind = CONF_PREFIXES, MANY(conf_route, allow, allow_count), .max = 1000,
     .derived = "all", .help = "Clients that may use this route; others get 403."},
    {.key = "respond", .kind = CONF_SECTION, .inside = &respond,
     .help = "Answer without any origin."},
    UNBUILT("rate", "rate limits come later"),
    {.key = "peers", .kind = CONF_SWITCH, FIELD(conf_route, peers), .fallback = "true",
     .help = "false: a miss goes straight to the origin, never through another node."},
};
static const struct conf_section route = ELEMENT(route_settings, conf_route);

static const struct conf_choice set_cookies[] = {
    {"store", CONF_SET_COOKIE_STORE, false},
    {"refuse", CONF_SET_COOKIE_REFUSE, false},
    {"strip", CONF_SET_COOKIE_STRIP, false},
    {0},
};
static const struct conf_setting site_settings[] = {
    {.key = "name", .kind = CONF_TEXT, FIELD(conf_site, name), .shape = "name",
     .wrong = conf_shape_name, .derived = "its first host",
     .help = "For logs, tokens and purges."},
    {.key = "hosts", .kind = CONF_TEXTS, FIELD(conf_site, hosts), .lower = true,
     .required = true, .shape = "host", .wrong = conf_shape_host_pattern, .max = 1000,
     .help = "Names that it answers to: whole, `*.` for one or more labels in front, or `*` "
             "for any host. The most exact one wins."},
    {.key = "routes", .kind = CONF_LIST, MANY(conf_site, routes, route_count), .max = 1000,
     .inside = &route, .derived = "one, to the only origin",
     .help = "The first that matches a request wins."},
    {.key = "cache_key", .kind = CONF_SECTION, FIELD(conf_site, cache_key),
     .inside = &cache_key, .help = "What else than scheme, host and path makes an object."},
    {.key = "ttl", .kind = CONF_SECTION, FIELD(conf_site, ttl), .inside = &ttl,
     .help = "Freshness; what the origin says counts, and nothing is invented."},
    {.key = "set_cookie", .kind = CONF_CHOICE, FIELD(conf_site, set_cookie),
     .choices = set_cookies,
     .derived = "stored only when the origin says public, s-maxage or a targeted freshness",
     .help = "Responses with Set-Cookie: `store` them, `refuse` to, or `strip` the field."},
    {.key = "purge_from", .kind = CONF_PREFIXES, MANY(conf_site, purge_from, purge_from_count),
     .max = 1000, .derived = "nobody",
     .help = "Who may use the PURGE method without a token."},
    {.key = "tags", .kind = CONF_TEXTS, FIELD(conf_site, tags), .lower = true,
     .shape = "field name", .wrong = conf_shape_token, .max = 20,
     .fallback = "Surrogate-Key, Cache-Tag, xkey, X-Magento-Tags, Cache-Groups",
     .help = "Response fields that carry tags to purge by."},
    {.key = "send_tags", .kind = CONF_SWITCH, FIELD(conf_site, send_tags), .fallback = "false",
     .help = "Clients get the tag fields too."},
    {.key = "server_timing", .kind = CONF_SWITCH, FIELD(conf_site, server_timing),
     .fallback = "off", .help = "Add a Server-Timing field to responses."},
    UNBUILT("steer_host", "it comes with geographic steering"),
};
static const struct conf_section site = ELEMENT(site_settings, conf_site);

static const struct conf_choice formats[] = {{"json", 0, false}, {0}};
static const struct conf_setting access_settings[] = {
    {.key = "path", .kind = CONF_TEXT, FIELD(conf_logs, access_path), .fallback = "off",
     .shape = "`stdout`, `off` or a file", .wrong = conf_shape_any, .help = "Where it goes."},
    {.key = "format", .kind = CONF_CHOICE, .fallback = "json", .choices = formats,
     .help = "One JSON object a line."},
    UNBUILT("sample", "every request is logged"),
};
static const struct conf_section access_log = SECTION(access_settings, conf_logs);
static const struct conf_setting logs_settings[] = {
    {.key = "access", .kind = CONF_SECTION, .inside = &access_log,
     .help = "One line for each request."},
};
static const struct conf_section logs = SECTION(logs_settings, conf_logs);

static const struct conf_choice versions[] = {{"1", 0, false}, {0}};
static const struct conf_setting settings[] = {
    {.key = "version", .kind = CONF_CHOICE, .fallback = "1", .choices = versions,
     .help = "Of the file's format."},
    {.key = "node", .kind = CONF_SECTION, FIELD(conf, node), .inside = &node,
     .help = "This node; all else may be the same on every node."},
    {.key = "cluster", .kind = CONF_SECTION, FIELD(conf, cluster), .inside = &cluster,
     .given_at = offsetof(struct conf, cluster.on), .off = true,
     .help = "Nodes that know of each other; absent: this one works alone."},
    {.key = "listeners", .kind = CONF_LIST, MANY(conf, listeners, listener_count), .max = 64,
     .served = true, .inside = &listener, .help = "Where clients connect."},
    {.key = "cache", .kind = CONF_SECTION, FIELD(conf, cache), .inside = &cache,
     .help = "How much is kept."},
    {.key = "admin", .kind = CONF_SECTION, FIELD(conf, admin), .inside = &admin,
     .given_at = offsetof(struct conf, admin.on), .off = true, .fallback = "on",
     .help = "The admin API. Absent, it is on at the default address; `admin: off` turns it "
             "off."},
    {.key = "limits", .kind = CONF_SECTION, FIELD(conf, limits), .inside = &limits,
     .help = "What a client or a server may cost."},
    {.key = "origins", .kind = CONF_NAMED, MANY(conf, origins, origin_count), .max = 1000,
     .served = true, .inside = &origin, .help = "The servers behind this node, by name."},
    {.key = "sites", .kind = CONF_LIST, MANY(conf, sites, site_count), .max = 10000,
     .served = true, .inside = &site, .help = "What is served, by host."},
    {.key = "logs", .kind = CONF_SECTION, FIELD(conf, logs), .inside = &logs, .help = "Logs."},
    UNBUILT("geo", "geographic steering comes later"),
    UNBUILT("dns", "the DNS server comes later"),
};
const struct conf_section conf_schema = SECTION(settings, conf);
/* clang-format on */

_Static_assert(offsetof(struct conf_origin, name) == 0, "read.c writes a NAMED element's name");
