#include "tests/unit/conf/said.h"

#define REST ORIGINS SITES
#define CLEAR(more) "listeners: [{ address: \":80\", " more " }]\n" REST
#define TLS(more) "listeners: [{ address: \":443\", tls: { " more " } }]\n" REST
#define ORIGIN(more)                                                                           \
    LISTENERS "origins: { app: { servers: [{ url: \"http://a\" }], " more " } }\n" SITES
#define SITE(more) LISTENERS ORIGINS "sites: [{ hosts: [\"*\"], " more " }]\n"
#define ROUTE(more) SITE("routes: [{ " more " }]")
#define TWO                                                                                    \
    "origins: { a: { servers: [{ url: \"http://a\" }] }, "                                     \
    "b: { servers: [{ url: \"http://b\" }] } }\n"

#define CLUSTER(more) "cluster: { secret_file: k, " more " }\n"

static const struct said_row rows[] = {
    {CLUSTER(""), "", "a member that serves nothing"},
    {"cluster: { listen: \"127.0.0.1:7946\" }\n", "", "in the clear on loopback"},
    {CLUSTER("") LISTENERS,
     "f:1:1: \"origins\" is missing\n"
     "f:1:1: \"sites\" is missing\n",
     "a member that serves has all of it"},
    {CLUSTER("") REST, "f:1:1: \"listeners\" is missing\n", "a member that serves, where?"},
    {"cluster: off\n" REST, "f:1:1: \"listeners\" is missing\n", "no member either"},
    {CLUSTER("") "listeners: []\n" REST, "f:2:12: \"listeners\" is empty\n", "an empty list"},
    {CLUSTER("listen: \":80\"") SMALLEST,
     "f:1:36: the address is taken by the listener on line 2\n", "the web's port"},
    {CLUSTER("listen: \"127.0.0.1:9443\""), "f:1:36: the address is taken by \"admin\"\n",
     "admin's port"},
    {CLUSTER("listen: \":1\", peer_listen: \":1\""),
     "f:1:55: the address is taken by \"listen\"\n", "one port for two"},
    {CLUSTER("listen: \":1\", peer_listen: \"127.0.0.1:9443\""),
     "f:1:55: the address is taken by \"admin\"\n", "the peers' port too"},
    {CLUSTER("advertise: \":1\", peer_advertise: \"0.0.0.0:2\""),
     "f:1:39: \"advertise\" is what others dial: it needs an address, not only a port\n"
     "f:1:61: \"peer_advertise\" is what others dial: it needs an address, not only a port\n",
     "nothing to dial"},
    {SMALLEST "node: { place: [1] }\n",
     "f:4:16: \"place\" is latitude and longitude, two numbers\n", "half a place"},
    {SMALLEST "node: { place: [91, 0] }\n", "f:4:16: \"place\": the latitude is -90 to 90\n",
     "beyond the pole"},
    {"listeners: [{ address: \":80\" }, { address: \"[::]:80\" }, { address: \"0.0.0.0:80\" "
     "}]\n" REST,
     "f:1:44: the address is taken by the listener on line 1\n"
     "f:1:68: the address is taken by the listener on line 1\n",
     "all addresses thrice"},
    {"listeners: [{ address: \"0.0.0.0:80\" }, { address: \"127.0.0.1:80\" }, { address: "
     "\"[::1]:80\" }]\n" REST,
     "", "a single address beside all is fine"},
    {"listeners: [{ address: \"127.0.0.1:80\" }, { address: \"127.0.0.1:81\" }]\n" REST, "",
     "other ports"},
    {"listeners: [{ name: a, address: \":80\" }, { name: a, address: \":81\" }]\n" REST,
     "f:1:50: the name \"a\" is taken on line 1\n", "the same name"},
    {"listeners: [{ address: \"127.0.0.1:9443\" }]\n" REST,
     "f:1:24: the address is taken by \"admin\"\n", "admin's own address"},
    {"listeners: [{ address: \"127.0.0.1:9443\" }]\nadmin: off\n" REST, "", "admin is off"},
    {CLEAR("protocols: [h2]"), "f:1:42: h2 needs \"tls\"\n", "h2 in the clear"},
    {TLS("certificates: [{ cert: a, key: b }]"), "", "h2 with TLS by default"},
    {"listeners: [{ address: \":443\", redirect_https: true, tls: { certificates: [{ cert: a, "
     "key: b }] } }]\n" REST,
     "f:1:48: \"redirect_https\" on a listener with \"tls\" would go in circles\n",
     "to itself"},
    {SMALLEST "cache: { disk: { size: 15MiB } }\n",
     "f:4:24: \"size\" is 0B (memory alone) or at least 16MiB\n",
     "a store too small for its own pages"},
    {SMALLEST "cache: { disk: { size: 16MiB, object_max: 16MiB } }\n", "",
     "as large as the store"},
    {SMALLEST "cache: { disk: { size: 16MiB, object_max: 16777217B } }\n",
     "f:4:43: \"object_max\" is larger than \"size\" (16MiB)\n", "one byte larger"},
    {SMALLEST "cache: { memory: 8MiB, disk: { size: 0B, object_max: 9MiB } }\n",
     "f:4:54: \"object_max\" is larger than \"memory\" (8MiB)\n", "larger than the memory"},
    {SMALLEST "cache: { variants: { min: 1KiB, max: 1KiB } }\n", "", "one size"},
    {SMALLEST "cache: { variants: { max: 1KiB, min: 1025B } }\n",
     "f:4:38: \"min\" (1025B) is larger than \"max\" (1KiB)\n", "no size"},
    {SMALLEST "cache: { variants: { min: 65MiB } }\n",
     "f:4:27: \"min\" (65MiB) is larger than \"max\" (64MiB)\n", "larger than the default"},
    {SMALLEST "cache: { variants: { max: 511B } }\n",
     "f:4:27: \"min\" (512B) is larger than \"max\" (511B)\n", "smaller than the default"},
    {SMALLEST "admin: { listen: \":9443\" }\n",
     "f:4:18: \"admin\" off loopback needs \"tls\"\n"
     "f:4:18: \"admin\" off loopback needs \"tokens\"\n",
     "off loopback"},
    {SMALLEST "admin: { listen: \"192.0.2.1:1\", tls: { cert: a, key: b }, tokens: [{ name: a, "
              "file: b, scopes: [read] }] }\n",
     "", "off loopback, guarded"},
    {SMALLEST "admin: { listen: \"[::1]:9443\" }\n", "", "IPv6 loopback"},
    {SMALLEST "admin: { tokens: [{ name: a, file: b, scopes: [read], sites: [www] }, { name: "
              "a, file: c, scopes: [read] }] }\n",
     "f:4:63: there is no site \"www\"\n"
     "f:4:79: the name \"a\" is taken on line 4\n",
     "no such site, and a name twice"},
    {SMALLEST "limits: { fields: { one: 64KiB } }\n",
     "f:4:26: \"one\" field is allowed more than \"all\" together\n", "more than all"},
    {SMALLEST "limits: { fields: { one: 32KiB } }\n", "", "as much as all"},
    {LISTENERS TWO "sites: [{ hosts: [\"*\"] }]\n",
     "f:3:9: \"origin\" is missing, and there are 2 to choose from\n", "which origin?"},
    {LISTENERS TWO
     "sites: [{ hosts: [\"*\"], routes: [{ match: { path: /a } }, { origin: b }] }]\n",
     "f:3:34: \"origin\" is missing, and there are 2 to choose from\n", "which origin?"},
    {ROUTE("origin: ap"), "f:3:44: there is no origin \"ap\", did you mean \"app\"?\n", "near"},
    {ROUTE("origin: other"), "f:3:44: there is no origin \"other\"\n", "none is near"},
    {ROUTE("origin: app, respond: { status: 404 }"),
     "f:3:44: a route has \"origin\" or \"respond\", not both\n", "two answers"},
    {LISTENERS TWO "sites: [{ hosts: [\"*\"], routes: [{ origin: a }, { origin: b }] }]\n",
     "f:3:49: warning: never reached: the route on line 3 takes every request\n",
     "a warning: the second is never reached"},
    {LISTENERS TWO "sites: [{ hosts: [\"*\"], routes: [{ match: { methods: [POST] }, origin: a "
                   "}, { origin: b }] }]\n",
     "", "a method is a condition"},
    {LISTENERS TWO "sites: [{ hosts: [\"*\"], routes: [{ origin: a }] }]\n",
     "f:2:54: warning: no route uses the origin \"b\"\n",
     "a warning: an origin that nobody uses"},
    {ORIGIN("tls: { verify: off }"),
     "f:2:66: warning: certificates of \"app\" are not checked\n", "a warning"},
    {LISTENERS ORIGINS
     "sites: [{ hosts: [a.example, \"*.example\"] }, { hosts: [A.example, \"*\"] }]\n",
     "f:3:56: the host \"a.example\" is taken on line 3\n", "the same host, in other case"},
    {LISTENERS ORIGINS
     "sites: [{ name: a, hosts: [a.example] }, { name: a, hosts: [b.example] }]\n",
     "f:3:50: the name \"a\" is taken on line 3\n", "the same name"},
    {LISTENERS ORIGINS
     "sites: [{ hosts: [a.example] }, { name: a.example, hosts: [b.example] }]\n",
     "f:3:41: the name \"a.example\" is taken on line 3\n",
     "a name that another site has from its host"},
    {SITE("cache_key: { query: { keep: [a], drop: [b] } }"),
     "f:3:53: \"keep\" and \"drop\" do not go together\n", "one or the other"},
};

static void test_agreement(void **state)
{
    (void)state;
    said_check(rows, ARRAY_LEN(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_agreement)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
