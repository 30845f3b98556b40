#include "tests/unit/conf/said.h"

#include <unistd.h>

#define LISTENERS "listeners: [{ address: \":80\" }]\n"
#define ORIGINS "origins: { app: { servers: [{ url: \"http://a\" }] } }\n"
#define SITES "sites: [{ hosts: [\"*\"] }]\n"
#define SMALLEST LISTENERS ORIGINS SITES

static struct conf *load(const char *text)
{
    struct conf_faults faults = {0};
    struct conf *c = conf_load_text(span_text(text), "test.yaml", &faults);
    for (uint32_t i = 0; i < faults.count; i++)
        print_error("%d:%d: %s\n", faults.at[i].line, faults.at[i].column,
                    faults.at[i].message);
    assert_non_null(c);
    assert_int_equal(faults.count, 0);
    conf_faults_fini(&faults);
    return c;
}

static void test_defaults(void **state)
{
    (void)state;
    struct conf *c = load(SMALLEST);
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    assert_string_equal(c->file, "test.yaml");
    assert_string_equal(c->node.id, host);
    assert_string_equal(c->node.region, "");
    assert_int_equal(c->node.workers, 0);
    assert_string_equal(c->node.user, "");
    assert_string_equal(c->node.data_dir, "/var/lib/perigee");

    const struct conf_listener *l = &c->listeners[0];
    assert_int_equal(c->listener_count, 1);
    assert_string_equal(l->name, "[::]:80");
    assert_true(l->h1 && !l->h2 && !l->tls && !l->redirect_https);
    assert_int_equal(l->tls_min, 12);
    assert_int_equal(l->trusted_proxy_count, 0);
    assert_int_equal(l->place.line, 1);

    assert_int_equal(c->cache.memory_bytes, 256 << 20);
    assert_int_equal(c->cache.disk_bytes, 1 << 30);
    assert_int_equal(c->cache.object_max_bytes, 1 << 29);
    assert_int_equal(c->cache.max_objects, 1000000);
    assert_true(c->cache.verify_full);
    assert_string_equal(c->cache.path, "/var/lib/perigee/cache");
    const struct conf_variants *v = &c->cache.variants;
    assert_true(v->encode_zstd && v->encode_gzip);
    assert_false(v->fetch_zstd || v->fetch_br || v->fetch_gzip);
    assert_int_equal(v->types.count, 15);
    assert_string_equal(v->types.at[0], "text/*");
    assert_string_equal(v->types.at[14], "application/vnd.ms-fontobject");
    assert_int_equal(v->min_bytes, 512);
    assert_int_equal(v->max_bytes, 64 << 20);
    assert_int_equal(v->cpu_percent, 25);

    struct addr admin;
    assert_int_equal(addr_parse_with_port(SPAN("127.0.0.1:9443"), &admin), ERR_OK);
    assert_true(c->admin.on && addr_equal(&c->admin.address, &admin));
    assert_string_equal(c->admin.cert, "");
    assert_int_equal(c->admin.token_count, 0);
    assert_int_equal(c->admin.purge_rate, 0);

    const struct conf_limits *m = &c->limits;
    assert_int_equal(m->connections, 100000);
    assert_int_equal(m->drain_ms, 0);
    assert_int_equal(m->field_line_bytes, 8192);
    assert_int_equal(m->field_one_bytes, 8192);
    assert_int_equal(m->field_all_bytes, 32768);
    assert_int_equal(m->field_count, 100);
    assert_int_equal(m->field_tags_bytes, 65536);
    assert_int_equal(m->h2_streams, 128);
    assert_int_equal(m->header_ms, 10000);
    assert_int_equal(m->body_idle_ms, 30000);
    assert_int_equal(m->keepalive_ms, 75000);
    assert_int_equal(m->origin_connect_ms, 2000);
    assert_int_equal(m->origin_first_byte_ms, 30000);
    assert_int_equal(m->origin_idle_ms, 30000);
    assert_int_equal(m->origin_keepalive_ms, 60000);

    const struct conf_origin *o = &c->origins[0];
    assert_string_equal(o->name, "app");
    assert_int_equal(o->host, CONF_HOST_PASS);
    assert_string_equal(o->host_name, "");
    assert_true(o->verify);
    assert_string_equal(o->ca, "");
    assert_int_equal(o->retry_max, 1);
    assert_int_equal(o->hide.count + o->add_count, 0);

    const struct conf_site *s = &c->sites[0];
    assert_string_equal(s->name, "*");
    assert_int_equal(s->ttl.default_s, -1);
    assert_int_equal(s->ttl.grace_s, -1);
    assert_int_equal(s->set_cookie, CONF_SET_COOKIE_DEFAULT);
    assert_int_equal(s->tags.count, 5);
    assert_string_equal(s->tags.at[0], "surrogate-key");
    assert_string_equal(s->tags.at[4], "cache-groups");
    assert_false(s->send_tags || s->server_timing || s->cache_key.sort_query);
    assert_int_equal(s->route_count, 1);
    assert_string_equal(s->routes[0].path, "/*");
    assert_string_equal(s->routes[0].origin, "app");
    assert_int_equal(s->routes[0].origin_index, 0);
    assert_true(s->routes[0].cache);
    assert_int_equal(s->routes[0].respond_status, 0);
    assert_string_equal(c->logs.access_path, "off");
    assert_int_equal(c->purge_log_keep_s, 604800);
    assert_int_equal(c->purge_log_max_bytes, 64 << 20);
    conf_destroy(c);
}

static const char whole[] =
    "version: 1\n"
    "node: { id: fra1, region: eu, workers: 4, user: perigee,\n"
    "        data_dir: /srv/p }\n"
    "listeners:\n"
    "  - { name: web, address: \":80\", redirect_https: true }\n"
    "  - name: tls\n"
    "    address: \"[2001:db8::1]:443\"\n"
    "    protocols: [h2]\n"
    "    trusted_proxies: [10.0.0.0/8, \"2001:db8::/32\", 192.0.2.1]\n"
    "    tls:\n"
    "      min: \"1.3\"\n"
    "      certificates:\n"
    "        - { cert: a.pem, key: a.key }\n"
    "        - { cert: b.pem, key: b.key }\n"
    "cache:\n"
    "  memory: 2GiB\n"
    "  disk: { size: 200GiB, object_max: 15GiB, max_objects: 10000000,\n"
    "          verify: off, path: /cache }\n"
    "  variants: { encode: [gzip], fetch: [gzip, br], types: [Text/*],\n"
    "              min: 1KiB, max: 1GiB, cpu: 100% }\n"
    "admin:\n"
    "  listen: 192.0.2.1:9443\n"
    "  tls: { cert: c.pem, key: c.key }\n"
    "  tokens: [{ name: ci, file: t, scopes: [purge, read],\n"
    "             sites: [www] }]\n"
    "  purge_rate: 10000/s\n"
    "limits: { drain: 60s, fields: { all: 64KiB }, h2: { streams: 7 },\n"
    "          timeouts: { origin_connect: 250ms } }\n"
    "origins:\n"
    "  app:\n"
    "    host: origin\n"
    "    balance: round_robin\n"
    "    tls: { ca: ca.pem, verify: on }\n"
    "    hide: [Server, \"X-AspNet-*\"]\n"
    "    add: { X-Edge: perigee }\n"
    "    retries: { max: 0 }\n"
    "    servers: [{ url: \"https://10.1.0.11:8443\" },\n"
    "              { url: \"https://DR.internal\" }]\n"
    "  img: { host: Img.example, servers: [{ url: \"http://[::1]/\" }] }\n"
    "sites:\n"
    "  - name: www\n"
    "    hosts: [WWW.example.com, \"*.example.org\"]\n"
    "    cache_key: { query: { sort: true, drop: [utm_*, fbclid] },\n"
    "                 cookies: [Lang], headers: [X-Device] }\n"
    "    ttl: { negative: 5s, grace: 0s }\n"
    "    set_cookie: strip\n"
    "    purge_from: [127.0.0.0/8]\n"
    "    server_timing: on\n"
    "    send_tags: true\n"
    "    tags: [Cache-Tag]\n"
    "    routes:\n"
    "      - { match: { path: /api/*, methods: [GET, POST] },\n"
    "          origin: app, cache: false, allow: [10.0.0.0/8] }\n"
    "      - { match: { path: /gone }, respond: { status: 410 } }\n"
    "      - { match: { path: /img/* }, origin: img,\n"
    "          ttl: { force: 7d } }\n"
    "      - { origin: app }\n"
    "logs: { access: { path: stdout, format: json } }\n";

static void test_listeners_and_node(void **state)
{
    (void)state;
    struct conf *c = load(whole);
    assert_string_equal(c->node.id, "fra1");
    assert_string_equal(c->node.region, "eu");
    assert_int_equal(c->node.workers, 4);
    assert_string_equal(c->node.user, "perigee");
    assert_int_equal(c->listener_count, 2);
    assert_true(c->listeners[0].redirect_https && !c->listeners[0].tls);
    const struct conf_listener *l = &c->listeners[1];
    assert_string_equal(l->name, "tls");
    assert_int_equal(l->address.family, ADDR_V6);
    assert_int_equal(l->address.port, 443);
    assert_true(l->tls && l->h2 && !l->h1);
    assert_int_equal(l->tls_min, 13);
    assert_int_equal(l->certificate_count, 2);
    assert_string_equal(l->certificates[1].cert, "b.pem");
    assert_string_equal(l->certificates[1].key, "b.key");
    assert_int_equal(l->certificates[1].place.line, 14);
    assert_int_equal(l->certificates[1].place.column, 11);
    assert_int_equal(l->trusted_proxy_count, 3);
    assert_int_equal(l->trusted_proxies[0].bits, 8);
    assert_int_equal(l->trusted_proxies[1].addr.family, ADDR_V6);
    assert_int_equal(c->cache.disk_bytes, UINT64_C(200) << 30);
    assert_int_equal(c->cache.object_max_bytes, UINT64_C(15) << 30);
    assert_int_equal(c->cache.memory_bytes, UINT64_C(2) << 30);
    assert_int_equal(c->cache.max_objects, 10000000);
    assert_false(c->cache.verify_full);
    assert_string_equal(c->cache.path, "/cache");
    const struct conf_variants *v = &c->cache.variants;
    assert_true(v->encode_gzip && !v->encode_zstd); /* not the default's, too */
    assert_true(v->fetch_gzip && v->fetch_br && !v->fetch_zstd);
    assert_int_equal(v->types.count, 1);
    assert_string_equal(v->types.at[0], "text/*");
    assert_int_equal(v->min_bytes, 1024);
    assert_int_equal(v->max_bytes, 1 << 30);
    assert_int_equal(v->cpu_percent, 100);
    assert_string_equal(c->admin.cert, "c.pem");
    assert_int_equal(c->admin.place.line, 22);
    assert_int_equal(c->admin.place.column, 3);
    assert_int_equal(c->admin.purge_rate, 10000);
    assert_string_equal(c->admin.tokens[0].name, "ci");
    assert_string_equal(c->admin.tokens[0].file, "t");
    assert_true(c->admin.tokens[0].scope_purge && c->admin.tokens[0].scope_read);
    assert_false(c->admin.tokens[0].scope_admin);
    assert_string_equal(c->admin.tokens[0].sites.at[0], "www");
    assert_int_equal(c->limits.drain_ms, 60000);
    assert_int_equal(c->limits.field_all_bytes, 65536);
    assert_int_equal(c->limits.field_one_bytes, 8192);
    assert_int_equal(c->limits.h2_streams, 7);
    assert_int_equal(c->limits.origin_connect_ms, 250);
    assert_string_equal(c->logs.access_path, "stdout");
    conf_destroy(c);
}

static void test_origins_and_sites(void **state)
{
    (void)state;
    struct conf *c = load(whole);
    assert_int_equal(c->origin_count, 2);
    const struct conf_origin *o = &c->origins[0];
    assert_int_equal(o->host, CONF_HOST_ORIGIN);
    assert_string_equal(o->ca, "ca.pem");
    assert_int_equal(o->retry_max, 0);
    assert_int_equal(o->hide.count, 2);
    assert_string_equal(o->hide.at[1], "X-AspNet-*");
    assert_string_equal(o->add[0].name, "x-edge");
    assert_string_equal(o->add[0].value, "perigee");
    assert_int_equal(o->server_count, 2);
    assert_string_equal(o->servers[1].host, "dr.internal");
    assert_int_equal(c->origins[1].host, CONF_HOST_NAME);
    assert_string_equal(c->origins[1].host_name, "img.example");

    const struct conf_site *s = &c->sites[0];
    assert_string_equal(s->hosts.at[0], "www.example.com");
    assert_string_equal(s->hosts.at[1], "*.example.org");
    assert_true(s->cache_key.sort_query);
    assert_string_equal(s->cache_key.drop_query.at[0], "utm_*");
    assert_string_equal(s->cache_key.cookies.at[0], "Lang");
    assert_string_equal(s->cache_key.headers.at[0], "x-device");
    assert_int_equal(s->set_cookie, CONF_SET_COOKIE_STRIP);
    assert_int_equal(s->purge_from_count, 1);
    assert_true(s->server_timing && s->send_tags);
    assert_int_equal(s->tags.count, 1);
    assert_int_equal(s->route_count, 4);
    const struct conf_route *r = s->routes;
    assert_string_equal(r[0].methods.at[1], "POST");
    assert_false(r[0].cache);
    assert_int_equal(r[0].allow_count, 1);
    assert_int_equal(r[0].ttl.negative_s, 5); /* the site's */
    assert_int_equal(r[1].respond_status, 410);
    assert_string_equal(r[1].origin, "");
    assert_int_equal(r[2].origin_index, 1);
    assert_int_equal(r[2].ttl.force_s, 604800);
    assert_int_equal(r[2].ttl.negative_s, -1); /* replaced as a whole */
    assert_string_equal(r[3].path, "/*");
    assert_int_equal(r[3].ttl.grace_s, 0);
    conf_destroy(c);
}

static void test_servers(void **state)
{
    static const struct {
        const char *url;
        bool tls;
        const char *host;
        int port;
        const char *authority;
    } rows[] = {
        {"http://a.example", false, "a.example", 80, "a.example"},
        {"https://a.example/", true, "a.example", 443, "a.example"},
        {"HTTPS://A.Example:443", true, "a.example", 443, "a.example"},
        {"http://a.example:443", false, "a.example", 443, "a.example:443"},
        {"https://a.example:80", true, "a.example", 80, "a.example:80"},
        {"http://10.0.0.1:8080", false, "10.0.0.1", 8080, "10.0.0.1:8080"},
        {"http://[2001:DB8::1]", false, "2001:db8::1", 80, "[2001:db8::1]"},
        {"https://[::1]:8443/", true, "::1", 8443, "[::1]:8443"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[512];
        snprintf(text, sizeof text, "%sorigins: { a: { servers: [{ url: \"%s\" }] } }\n%s",
                 LISTENERS, rows[i].url, SITES);
        struct conf *c = load(text);
        const struct conf_origin_server *s = &c->origins[0].servers[0];
        assert_int_equal(s->tls, rows[i].tls);
        assert_string_equal(s->host, rows[i].host);
        assert_int_equal(s->port, rows[i].port);
        assert_string_equal(s->authority, rows[i].authority);
        assert_int_equal(s->place.line, 2);
        conf_destroy(c);
    }
}

static void test_single_values(void **state)
{
    (void)state;
    struct conf *c = load(SMALLEST "admin: off\ncache: { disk: { size: 0B } }\n");
    assert_false(c->admin.on);
    assert_int_equal(c->cache.disk_bytes, 0);
    assert_int_equal(c->cache.object_max_bytes, 128 << 20); /* half of the memory */
    conf_destroy(c);

    c = load(SMALLEST "cache: { disk: { size: 64TiB } }\nnode: { data_dir: d }\n");
    assert_int_equal(c->cache.object_max_bytes, UINT64_C(17112760320));
    assert_string_equal(c->cache.path, "d/cache");
    conf_destroy(c);

    setenv("PG_PORT", "8080", 1);
    unsetenv("PG_NONE");
    c = load("listeners: [{ address: \":${PG_PORT}\" }, { address: \"127.0.0.1:8080\" }]\n"
             "origins: { app: { servers: [{ url: \"${PG_NONE:-https://o.example}\" }] } }\n"
             "sites: [{ hosts: &h [a.example] }, { name: b, hosts: [b.example] }]\n");
    assert_int_equal(c->listeners[0].address.port, 8080);
    assert_true(c->origins[0].servers[0].tls);
    assert_string_equal(c->sites[0].name, "a.example");
    conf_destroy(c);
}

static void test_files(void **state)
{
    struct conf_faults faults = {0};
    char path[] = "/tmp/perigee-conf-XXXXXX";
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, SMALLEST, sizeof SMALLEST - 1), sizeof SMALLEST - 1);
    struct conf *c = conf_load(path, &faults);
    assert_non_null(c);
    assert_string_equal(c->file, path);
    conf_destroy(c);

    /* a comment fills the file to its limit, then one byte over it */
    char *filling = must_alloc((1 << 20) + 1);
    memset(filling, '#', (1 << 20) + 1);
    size_t room = (1 << 20) - (sizeof SMALLEST - 1);
    assert_int_equal(write(fd, filling, room), room);
    c = conf_load(path, &faults);
    assert_non_null(c);
    conf_destroy(c);
    assert_int_equal(write(fd, "#", 1), 1);
    assert_null(conf_load(path, &faults));
    assert_string_equal(faults.at[0].message, "the file is larger than 1 MiB");
    assert_int_equal(faults.at[0].line, 0);
    free(filling);
    close(fd);
    unlink(path);

    assert_null(conf_load(path, &faults));
    assert_string_equal(faults.at[1].message, "cannot be read: No such file or directory");
    assert_null(conf_load("/tmp", &faults));
    assert_string_equal(faults.at[2].message, "cannot be read: Is a directory");
    conf_faults_fini(&faults);
}

static void test_cluster(void **state)
{
    (void)state;
    struct conf *c = load("node: { place: [50.11, -8.68], capacity: 3,\n"
                          "        addresses: [192.0.2.1, \"2001:db8::1\"] }\n"
                          "cluster:\n"
                          "  advertise: 192.0.2.1:7000\n"
                          "  peer_listen: \":7947\"\n"
                          "  profile: lan\n"
                          "  secret_file: /k\n"
                          "  serf_events: refuse\n"
                          "  join: [ams1.example.net, \"[2001:db8::2]:1\"]\n");
    const struct conf_cluster *k = &c->cluster;
    assert_true(k->on && !k->accept_events);
    assert_int_equal(k->listen.port, 7946);
    assert_int_equal(k->advertise.family, ADDR_V4);
    assert_int_equal(k->peer_listen.port, 7947);
    assert_int_equal(k->peer_advertise.family, ADDR_NONE);
    assert_int_equal(k->profile, CONF_PROFILE_LAN);
    assert_string_equal(k->gossip_key_file, "");
    assert_int_equal(k->secret_place.line, 7);
    assert_int_equal(k->join_count, 2);
    assert_string_equal(k->join[0].host, "ams1.example.net");
    assert_int_equal(k->join[0].port, 7946);
    assert_string_equal(k->join[1].host, "2001:db8::2");
    assert_int_equal(k->join[1].port, 1);
    assert_true(c->node.has_place);
    assert_true(c->node.latitude > 50.1 && c->node.latitude < 50.12);
    assert_true(c->node.longitude > -8.69 && c->node.longitude < -8.67);
    assert_int_equal(c->node.address_count, 2);
    assert_int_equal(c->node.addresses[1].family, ADDR_V6);
    assert_int_equal(c->node.capacity, 3);
    assert_int_equal(c->limits.drain_ms, 0); /* nobody is served */
    conf_destroy(c);
    c = load("cluster: { secret_file: k }\n" SMALLEST);
    assert_true(c->cluster.accept_events);
    assert_int_equal(c->cluster.profile, CONF_PROFILE_WAN);
    assert_int_equal(c->limits.drain_ms, 60000);
    conf_destroy(c);
    c = load("cluster: off\n" SMALLEST);
    assert_false(c->cluster.on);
    assert_false(c->node.has_place);
    assert_int_equal(c->node.capacity, 1);
    assert_int_equal(c->limits.drain_ms, 0);
    conf_destroy(c);
}

/* Every fault of a file in one run, by place. */
static void test_all_at_once(void **state)
{
    (void)state;
    bool good;
    char *said = said_of(SPAN("listners: []\n"
                              "listeners:\n"
                              "  - { address: \":80\", adress: 1 }\n"
                              "  - { address: \":80\" }\n"
                              "limits: { drain: 10, drain: 1s }\n"
                              "cluster: { listen: \":7946\" }\n"
                              "origins: { app: { servers: [{ url: \"${PG_NONE}\" }] } }\n"
                              "sites:\n"
                              "  - hosts: [\"*\", \"*\"]\n"
                              "    routes: [{ origin: ap, cache: maybe }]\n"),
                         &good);
    assert_false(good);
    assert_string_equal(said, "f:1:1: unknown key \"listners\", did you mean \"listeners\"?\n"
                              "f:3:23: unknown key \"adress\", did you mean \"address\"?\n"
                              "f:4:16: the address is taken by the listener on line 3\n"
                              "f:5:18: \"drain\": \"10\" has no unit: write for example 30s "
                              "(ms, s, m, h, d)\n"
                              "f:5:22: duplicate key \"drain\", first on line 5\n"
                              "f:6:10: warning: gossip is in the clear, and whoever reaches it "
                              "may join: give \"secret_file\"\n"
                              "f:7:36: the environment has no PG_NONE\n"
                              "f:9:18: the host \"*\" is taken on line 9\n"
                              "f:10:24: there is no origin \"ap\", did you mean \"app\"?\n"
                              "f:10:35: \"cache\": \"maybe\" is not true or false "
                              "(or on, off)\n");
    free(said);
}

static void test_fault_list_is_bounded(void **state)
{
    (void)state;
    char *text = must_alloc(64000), *at = text;
    for (int i = 0; i < 5000; i++)
        at += sprintf(at, "zzzz%04d: 1\n", i);
    struct conf_faults faults = {0};
    assert_null(conf_load_text(span_text(text), "f", &faults));
    assert_int_equal(faults.count, 1000);
    assert_int_equal(faults.errors, 5003); /* and what is missing */
    conf_faults_fini(&faults);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_listeners_and_node),
        cmocka_unit_test(test_origins_and_sites),
        cmocka_unit_test(test_servers),
        cmocka_unit_test(test_single_values),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_cluster),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_fault_list_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
