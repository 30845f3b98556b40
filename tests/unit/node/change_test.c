#include "node/change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "conf/load.h"

#define LISTEN "listeners: [{ address: \":8080\" }]\n"
#define NODE "node: { id: a, workers: 2, user: u, data_dir: /d }\n"
#define CACHE "cache: { memory: 64MiB, disk: { size: 64MiB } }\n"
#define ORIGIN "origins: { app: { servers: [{ url: \"http://127.0.0.1:1\" }] } }\n"
#define SITE "sites: [{ name: s, hosts: [h] }]\n"
#define SAME LISTEN NODE CACHE ORIGIN SITE

static struct conf *load(const char *why, const char *text)
{
    struct conf_faults faults = {0};
    struct conf *c = conf_load_text(span_text(text), "test.yaml", &faults);
    if (!c)
        fail_msg("%s: %s", why, faults.count ? faults.at[0].message : "no conf");
    conf_faults_fini(&faults);
    return c;
}

struct row {
    const char *why, *next, *fault; /* NULL: may be reloaded */
    int line;
};

static void check(const char *text, const struct row *rows, size_t count)
{
    struct conf *now = load("now", text);
    for (size_t i = 0; i < count; i++) {
        struct conf_faults faults = {0};
        struct conf *next = load(rows[i].why, rows[i].next);
        node_change_check(now, next, &faults);
        if (!rows[i].fault && faults.count)
            fail_msg("%s: %s", rows[i].why, faults.at[0].message);
        /* that one, and none of what follows from it */
        if (rows[i].fault && (faults.count != 1 || strncmp(faults.at[0].message, rows[i].fault,
                                                           strlen(rows[i].fault)) != 0))
            fail_msg("%s: %u told, %s", rows[i].why, faults.count,
                     faults.count ? faults.at[0].message : "");
        if (rows[i].fault && faults.at[0].line != rows[i].line)
            fail_msg("%s: on line %d", rows[i].why, faults.at[0].line);
        conf_faults_fini(&faults);
        conf_destroy(next);
    }
    conf_destroy(now);
}

static void test_check(void **state)
{
    static const struct row rows[] = {
        {"nothing changed", SAME, NULL, 0},
        {"id", LISTEN "node: { id: b, workers: 2, user: u, data_dir: /d }\n" CACHE ORIGIN SITE,
         "node.id", 2},
        {"workers",
         LISTEN "node: { id: a, workers: 3, user: u, data_dir: /d }\n" CACHE ORIGIN SITE,
         "node.workers", 2},
        {"user",
         LISTEN "node: { id: a, workers: 2, user: v, data_dir: /d }\n" CACHE ORIGIN SITE,
         "node.user", 2},
        {"data_dir",
         LISTEN "node: { id: a, workers: 2, user: u, data_dir: /e }\n" CACHE ORIGIN SITE,
         "node.data_dir", 2},
        {"memory", LISTEN NODE "cache: { memory: 65MiB, disk: { size: 64MiB } }\n" ORIGIN SITE,
         "cache.memory", 3},
        {"disk size",
         LISTEN NODE "cache: { memory: 64MiB, disk: { size: 65MiB } }\n" ORIGIN SITE,
         "cache.disk.size", 3},
        {"object_max",
         LISTEN NODE
         "cache: { memory: 64MiB, disk: { size: 64MiB, object_max: 1MiB } }\n" ORIGIN SITE,
         "cache.disk.object_max", 3},
        {"max_objects",
         LISTEN NODE
         "cache: { memory: 64MiB, disk: { size: 64MiB, max_objects: 1000 } }\n" ORIGIN SITE,
         "cache.disk.max_objects", 3},
        {"verify",
         LISTEN NODE
         "cache: { memory: 64MiB, disk: { size: 64MiB, verify: off } }\n" ORIGIN SITE,
         "cache.disk.verify", 3},
        {"path",
         LISTEN NODE "cache: { memory: 64MiB, disk: { size: 64MiB, path: /f } }\n" ORIGIN SITE,
         "cache.disk.path", 3},
        {"the admin listener's address", SAME "admin: { listen: 127.0.0.1:9444 }\n",
         "admin.listen", 6},
        {"the admin listener goes", SAME "admin: off\n", "admin.listen", 6},
        {"a setting that is not said any more",
         LISTEN "node: { id: a, workers: 2, data_dir: /d }\n" CACHE ORIGIN SITE, "node.user",
         2},
        {"other listeners may come",
         "listeners: [{ address: \":81\" }]\n" NODE CACHE ORIGIN SITE, NULL, 0},
        {"all of variants may change",
         LISTEN NODE "cache: { memory: 64MiB, disk: { size: 64MiB }, variants: { encode: [], "
                     "types: [a/b], min: 1B, max: 2B, cpu: 1%, fetch: [br] } }\n" ORIGIN SITE,
         NULL, 0},
        {"limits may change", SAME "limits: { connections: 70, drain: 3s }\n", NULL, 0},
        {"sites may change", LISTEN NODE CACHE ORIGIN "sites: [{ name: t, hosts: [i] }]\n",
         NULL, 0},
        {"the region is only shown",
         LISTEN
         "node: { id: a, workers: 2, user: u, data_dir: /d, region: r }\n" CACHE ORIGIN SITE,
         NULL, 0},
    };
    (void)state;
    check(SAME, rows, ARRAY_LEN(rows));
}

#define CLUSTER(own, lasting)                                                                  \
    "node: { id: a, " own " }\ncluster: { secret_file: k, " lasting " }\n"

static void test_check_cluster(void **state)
{
    static const struct row rows[] = {
        {"nothing changed", CLUSTER("", ""), NULL, 0},
        {"what is told may change",
         CLUSTER("region: r, place: [1, 2], addresses: [192.0.2.1], capacity: 2",
                 "peer_listen: \":1\", peer_advertise: \"192.0.2.1:2\""),
         NULL, 0},
        {"others to join, other events", CLUSTER("", "join: [b], serf_events: refuse"), NULL,
         0},
        {"the port", CLUSTER("", "listen: \":1\""), "cluster.listen", 2},
        {"the address told", CLUSTER("", "advertise: \"192.0.2.1:2\""), "cluster.advertise", 2},
        {"the profile", CLUSTER("", "profile: lan"), "cluster.profile", 2},
        {"another secret's file", "node: { id: a }\ncluster: { secret_file: l }\n",
         "cluster.secret_file", 2},
        {"a key's file", CLUSTER("", "gossip_key_file: g"), "cluster.gossip_key_file", 2},
        {"off", "node: { id: a }\ncluster: off\n" LISTEN ORIGIN SITE, "cluster", 2},
    };
    (void)state;
    check(CLUSTER("", ""), rows, ARRAY_LEN(rows));
}

static void test_renames(void **state)
{
    static const struct {
        const char *why, *sites;
        bool renames;
    } rows[] = {
        {"the same",
         "sites: [{ name: s, hosts: [h], cache_key: { query: { drop: [utm_*] } } }]\n", false},
        {"lifetimes are no names",
         "sites: [{ name: s, hosts: [h], ttl: { default: 9s }, cache_key: { query: { drop: "
         "[utm_*] } } }]\n",
         false},
        {"another parameter is dropped",
         "sites: [{ name: s, hosts: [h], cache_key: { query: { drop: [gclid] } } }]\n", true},
        {"none is dropped", "sites: [{ name: s, hosts: [h] }]\n", true},
        {"sorted",
         "sites: [{ name: s, hosts: [h], cache_key: { query: { sort: true, drop: [utm_*] } } "
         "}]\n",
         true},
        {"a cookie joins the key",
         "sites: [{ name: s, hosts: [h], cache_key: { cookies: [c], query: { drop: [utm_*] } } "
         "}]\n",
         true},
        {"a field joins the key",
         "sites: [{ name: s, hosts: [h], cache_key: { headers: [x-a], query: { drop: [utm_*] } "
         "} }]\n",
         true},
        {"another host",
         "sites: [{ name: s, hosts: [i], cache_key: { query: { drop: [utm_*] } } "
         "}]\n",
         true},
        {"another name: purges of one site",
         "sites: [{ name: t, hosts: [h], cache_key: { query: { drop: [utm_*] } } }]\n", true},
        {"one more site takes hosts away",
         "sites: [{ name: s, hosts: [h], cache_key: { query: { drop: [utm_*] } } }, { name: t, "
         "hosts: [x] }]\n",
         true},
    };
    (void)state;
    char text[1024];
    snprintf(text, sizeof text, "%s%s", LISTEN ORIGIN, rows[0].sites);
    struct conf *now = load("now", text);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(text, sizeof text, "%s%s", LISTEN ORIGIN, rows[i].sites);
        struct conf *next = load(rows[i].why, text);
        if (node_change_renames(now, next) != rows[i].renames)
            fail_msg("%s", rows[i].why);
        conf_destroy(next);
    }
    conf_destroy(now);
}

static void test_moves(void **state)
{
    (void)state;
    static const struct {
        const char *why, *now, *next;
        bool moves, same;
    } rows[] = {
#define S(hosts) "{ name: s, hosts: [" hosts "] }"
#define T(hosts) "{ name: t, hosts: [" hosts "] }"
        {"nothing", S("h") "," T("i"), S("h") "," T("i"), false, true},
        {"one more site", S("h"), S("h") "," T("i"), false, false},
        {"in another order", S("h") "," T("i"), T("i") "," S("h"), false, false},
        {"one more host", S("h"), S("h, i"), true, false},
        {"it goes", S("h"), T("h"), true, false},
        {"its host goes", S("h, j") "," T("i"), S("h") "," T("i, j"), true, false},
        {"others named a host of its pattern", S("'*.h'"), S("'*.h'") "," T("a.h"), true,
         false},
        {"its pattern and nothing else", S("'*.h'"), S("'*.h'"), false, true},
        {"all that is left", S("h, '*'") "," T("i"), S("h, '*'") "," T("j"), true, false},
        {"it was not there", T("h"), S("h"), false, false},
        {"names and hosts are not one text", S("a, b"), S("ab"), true, false},
    };
    char text[1024];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(text, sizeof text, "%ssites: [%s]\n", LISTEN ORIGIN, rows[i].now);
        struct conf *now = load(rows[i].why, text);
        snprintf(text, sizeof text, "%ssites: [%s]\n", LISTEN ORIGIN, rows[i].next);
        struct conf *next = load(rows[i].why, text);
        if (node_change_moves(now, next, SPAN("s")) != rows[i].moves ||
            (node_change_sites(now) == node_change_sites(next)) != rows[i].same)
            fail_msg("%s", rows[i].why);
        conf_destroy(now);
        conf_destroy(next);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check), cmocka_unit_test(test_check_cluster),
        cmocka_unit_test(test_renames), cmocka_unit_test(test_moves)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
