#include "tests/unit/conf/said.h"

#define REST ORIGINS SITES
#define CLEAR(more) "listeners: [{ address: \":80\", " more " }]\n" REST
#define TLS(more) "listeners: [{ address: \":443\", tls: { " more " } }]\n" REST
#define ORIGIN(more)                                                                           \
    LISTENERS "origins: { app: { servers: [{ url: \"http://a\" }], " more " } }\n" SITES
#define SITE(more) LISTENERS ORIGINS "sites: [{ hosts: [\"*\"], " more " }]\n"
#define ROUTE(more) SITE("routes: [{ " more " }]")
#define HOSTS(list) LISTENERS ORIGINS "sites: [{ hosts: " list " }]\n"
#define VARIANTS(more) SMALLEST "cache: { variants: { " more " } }\n"
#define URL(url) LISTENERS "origins: { app: { servers: [{ url: \"" url "\" }] } }\n" SITES

static const struct said_row rows[] = {
    {SMALLEST, "", "the smallest useful file"},
    {"[]", "f:1:1: the file wants to be a map of settings\n", "the file is a list"},
    {LISTENERS,
     "f:1:1: \"origins\" is missing\n"
     "f:1:1: \"sites\" is missing\n",
     "what a file must have"},
    {"listeners:\n" REST, "f:1:1: \"listeners\" wants a list of sections\n",
     "nothing where a list is due"},
    {"listeners: []\n" REST, "f:1:12: \"listeners\" is empty\n", "an empty list"},
    {"listeners: { address: \":80\" }\n" REST,
     "f:1:12: \"listeners\" wants a list of sections\n", "a section where a list is due"},
    {"listeners: [ \":80\" ]\n" REST, "f:1:14: an entry of \"listeners\" wants a section\n",
     "a text where a section is due"},
    {"listeners: [{ name: a }]\n" REST, "f:1:13: \"address\" is missing\n",
     "the address is missing"},
    {CLEAR("tls: on"), "f:1:36: \"tls\" wants a section\n", "a text where a section is due"},
    {SMALLEST "lmits: { drain: 1s }\n",
     "f:4:1: unknown key \"lmits\", did you mean \"limits\"?\n",
     "the unknown key at its place"},
    {SMALLEST "zebra: 1\n", "f:4:1: unknown key \"zebra\"\n", "nothing near to suggest"},
    {SMALLEST "version: 2\n", "f:4:10: \"version\": \"2\" is not one of: 1\n",
     "another version"},
    {SMALLEST "geo: { databases: [a] }\n",
     "f:4:1: \"geo\" is not built yet: geographic steering comes later\n", "planned"},
    {SMALLEST "dns: {}\n", "f:4:1: \"dns\" is not built yet: the DNS server comes later\n",
     "planned"},
    {SMALLEST "limits: { drain: 60 }\n",
     "f:4:18: \"drain\": \"60\" has no unit: write for example 30s (ms, s, m, h, d)\n",
     "a unit is always written"},
    {SMALLEST "limits: { drain: soon }\n",
     "f:4:18: \"drain\": \"soon\" is not understood: write for example 30s (ms, s, m, h, d)\n",
     "no duration"},
    {SMALLEST "limits: { drain: 2d }\n", "f:4:18: \"drain\": 2d is out of range, 0s to 1d\n",
     "over the range"},
    {SMALLEST "limits: { drain: [1s] }\n", "f:4:18: \"drain\" wants a number with its unit\n",
     "a list where a number is due"},
    {SMALLEST "limits: { drain: }\n", "f:4:11: \"drain\" wants a number with its unit\n",
     "nothing"},
    {SMALLEST "limits: { connections: 9 }\n",
     "f:4:24: \"connections\": 9 is out of range, 10 to 10000000\n", "under the range"},
    {SMALLEST "limits: { connections: 10k }\n",
     "f:4:24: \"connections\": \"10k\" is no whole number\n", "plain numbers have no unit"},
    {SMALLEST "limits: { connections: 99999999999999999999 }\n",
     "f:4:24: \"connections\": 99999999999999999999 is out of range, 10 to 10000000\n",
     "more than 64 bits"},
    {SMALLEST "limits: { h2: { streams: 0 } }\n",
     "f:4:26: \"streams\": 0 is out of range, 1 to 1000\n", "none"},
    {SMALLEST "limits: { timeouts: { header: 5ms } }\n",
     "f:4:31: \"header\": 5ms is out of range, 10ms to 1d\n", "under the range"},
    {SMALLEST "node: { workers: 0 }\n", "f:4:18: \"workers\": 0 is out of range, 1 to 256\n",
     "auto is a word, not 0"},
    {SMALLEST "node: { workers: all }\n",
     "f:4:18: \"workers\": \"all\" is no whole number and not auto\n", "another word"},
    {SMALLEST "node: { id: \"\" }\n", "f:4:13: \"id\": \"\" is empty\n", "an empty text"},
    {SMALLEST "node: { id: a/b }\n",
     "f:4:13: \"id\": \"a/b\" is no name: only letters, digits, \"_\", \".\" and \"-\"\n",
     "no name"},
    {SMALLEST "node: { data_dir: \"a\\tb\" }\n",
     "f:4:19: \"data_dir\": \"a?b\" has a control character\n", "a control character"},
    {SMALLEST "node: { place: [50.11, -8.68], addresses: [192.0.2.1, \"2001:db8::1\"], "
              "capacity: 3 }\n",
     "", "what is told to the cluster"},
    {SMALLEST "node: { place: [1, x], addresses: [a, 0.0.0.0], capacity: 0 }\n",
     "f:4:20: \"place\": \"x\" is no number of degrees, -180 to 180\n"
     "f:4:36: \"addresses\": \"a\" is no IP address\n"
     "f:4:39: \"addresses\": \"0.0.0.0\" is no address of a machine\n"
     "f:4:59: \"capacity\": 0 is out of range, 1 to 1000\n",
     "none of that"},
    {SMALLEST "node: { place: [1e1, 181] }\n",
     "f:4:17: \"place\": \"1e1\" is no number of degrees, -180 to 180\n"
     "f:4:22: \"place\": \"181\" is no number of degrees, -180 to 180\n",
     "plain decimals within range"},
    {SMALLEST "node: { place: [1, 2, 3] }\n", "f:4:16: \"place\" has more than 2 entries\n",
     "an altitude"},
    {SMALLEST "cluster: off\n", "", "no cluster, said so"},
    {SMALLEST "cluster: on\n", "f:4:10: \"cluster\" wants a section or off\n",
     "a word where a section is due"},
    {SMALLEST "cluster: { shield: eu, purge_log: { keep: 1d, max: 64MiB }, secret_file: k }\n",
     "", "what it keeps"},
    {SMALLEST
     "cluster: { secret_file: k, purge_log: { keep: 1s, max: 1KiB }, shield: \"e u\" }\n",
     "f:4:47: \"keep\": 1s is out of range, 1h to 3650d\n"
     "f:4:56: \"max\": 1KiB is out of range, 16MiB to 1TiB\n"
     "f:4:72: \"shield\": \"e u\" is no name: only letters, digits, \"_\", \".\" and \"-\"\n",
     "too little"},
    {SMALLEST
     "cluster: { secret_file: k, join: [a, \"b:1\", \"[::1]\", \"[::1]:2\", 192.0.2.1] "
     "}\n",
     "", "who to join"},
    {SMALLEST "cluster: { secret_file: k, join: [\"a:0\", \"::1\", \"a b\"] }\n",
     "f:4:35: \"join\": \"a:0\" has no good port (1 to 65535)\n"
     "f:4:42: \"join\": \"::1\" is an IPv6 address without brackets\n"
     "f:4:49: \"join\": \"a b\" has no good host name\n",
     "nobody to join"},
    {SMALLEST "cluster: { secret_file: k, profile: local, serf_events: maybe }\n",
     "f:4:37: \"profile\": \"local\" is not one of: wan, lan\n"
     "f:4:57: \"serf_events\": \"maybe\" is not one of: accept, refuse\n",
     "other words"},
    {SMALLEST "cache: { memory: 2GB }\n",
     "f:4:18: \"memory\": \"2GB\" is not understood: write for example 64MiB (B, KiB, MiB, "
     "GiB, TiB)\n",
     "decimal units"},
    {SMALLEST "cache: { memory: 1MiB }\n",
     "f:4:18: \"memory\": 1MiB is out of range, 8MiB to 16TiB\n", "under the range"},
    {SMALLEST "cache: { disk: { object_max: 17112760321B } }\n",
     "f:4:30: \"object_max\": 17112760321B is out of range, 1KiB to 16320MiB\n",
     "one byte over what can be stored"},
    {SMALLEST "cache: { variants: { encode: [zstd, gzip], types: [text/*, application/json, "
              "image/svg+xml], min: 512B, cpu: 25% } }\n",
     "", "variants as they are usually written"},
    {VARIANTS("encode: [], types: [], fetch: []"), "", "nothing is encoded or asked for"},
    {VARIANTS("encode: zstd"), "f:4:30: \"encode\" wants a list of texts\n",
     "a text where a list is due"},
    {VARIANTS("encode: [br]"), "f:4:31: \"encode\": \"br\" is not one of: zstd, gzip\n",
     "br is not made here"},
    {VARIANTS("fetch: [identity]"),
     "f:4:30: \"fetch\": \"identity\" is not one of: zstd, br, gzip\n", "always asked for"},
    {VARIANTS("types: [text, text/, /html, text/a/b, \"a b/c\", text/html;charset=utf-8]"),
     "f:4:30: \"types\": \"text\" is no media type: write type/subtype, with \"*\" for any "
     "text\n"
     "f:4:36: \"types\": \"text/\" is no media type: write type/subtype, with \"*\" for any "
     "text\n"
     "f:4:43: \"types\": \"/html\" is no media type: write type/subtype, with \"*\" for any "
     "text\n"
     "f:4:50: \"types\": \"text/a/b\" is no media type: write type/subtype, with \"*\" for any "
     "text\n"
     "f:4:60: \"types\": \"a b/c\" is no media type: write type/subtype, with \"*\" for any "
     "text\n"
     "f:4:69: \"types\": \"text/html;charset=utf-8\" is no media type: write it without "
     "parameters\n",
     "no media types"},
    {VARIANTS("types: [\"*/*\", \"*/*+json\", text/x-*]"), "", "stars in either part"},
    {VARIANTS("cpu: 25"), "f:4:27: \"cpu\": \"25\" has no unit: write for example 25% (%)\n",
     "a share has its unit, too"},
    {VARIANTS("cpu: 0%"), "f:4:27: \"cpu\": 0% is out of range, 1% to 100%\n", "nothing"},
    {VARIANTS("cpu: 101%"), "f:4:27: \"cpu\": 101% is out of range, 1% to 100%\n",
     "more than all"},
    {VARIANTS("min: 512"),
     "f:4:27: \"min\": \"512\" has no unit: write for example 64MiB (B, KiB, MiB, GiB, "
     "TiB)\n",
     "no unit"},
    {VARIANTS("max: 0B"), "f:4:27: \"max\": 0B is out of range, 1B to 16320MiB\n",
     "no body at all"},
    {SMALLEST "admin: { purge_rate: 10/m }\n",
     "f:4:22: \"purge_rate\": \"10/m\" is not understood: write for example 50/s (/s)\n",
     "rates are per second"},
    {SMALLEST "admin: { listen: 9443 }\n",
     "f:4:18: \"listen\": \"9443\" is no address with a port: write \":80\", \"192.0.2.1:80\" "
     "or \"[2001:db8::1]:80\"\n",
     "a port alone"},
    {SMALLEST "admin: no\n", "f:4:8: \"admin\" wants a section or off\n", "only off"},
    {SMALLEST "admin: { tls: { cert: a } }\n", "f:4:15: \"key\" is missing\n",
     "a certificate without its key"},
    {SMALLEST "admin: { tokens: [{ name: a, file: b, scopes: [write] }] }\n",
     "f:4:48: \"scopes\": \"write\" is not one of: purge, read, admin\n", "no such scope"},
    {SMALLEST "admin: { tokens: [{ name: a, file: b, scopes: [] }] }\n",
     "f:4:47: \"scopes\" is empty\n", "no scope"},
    {"listeners: [{ address: \"a.example:80\" }]\n" REST,
     "f:1:24: \"address\": \"a.example:80\" is no address with a port: write \":80\", "
     "\"192.0.2.1:80\" or \"[2001:db8::1]:80\"\n",
     "names are no addresses"},
    {"listeners: [{ address: \":0\" }]\n" REST,
     "f:1:24: \"address\": \":0\" is no address with a port: write \":80\", \"192.0.2.1:80\" "
     "or \"[2001:db8::1]:80\"\n",
     "port 0"},
    {"listeners: [{ address: \":80\", address: \":81\", address: \":82\" }]\n" REST,
     "f:1:31: duplicate key \"address\", first on line 1\n"
     "f:1:47: duplicate key \"address\", first on line 1\n",
     "each duplicate"},
    {CLEAR("redirect_https: yes"),
     "f:1:47: \"redirect_https\": \"yes\" is not true or false (or on, off)\n",
     "yes is not a YAML 1.2 truth"},
    {CLEAR("trusted_proxies: [10.0.0.0/33, fe80::/129, x]"),
     "f:1:49: \"trusted_proxies\": \"10.0.0.0/33\" is no prefix: write \"10.0.0.0/8\" or "
     "\"2001:db8::/32\", with the bits behind the prefix zero\n"
     "f:1:62: \"trusted_proxies\": \"fe80::/129\" is no prefix: write \"10.0.0.0/8\" or "
     "\"2001:db8::/32\", with the bits behind the prefix zero\n"
     "f:1:74: \"trusted_proxies\": \"x\" is no prefix: write \"10.0.0.0/8\" or "
     "\"2001:db8::/32\", with the bits behind the prefix zero\n",
     "no prefixes"},
    {CLEAR("proxy_protocol: { from: [] }"),
     "f:1:31: \"proxy_protocol\" is not built yet: the PROXY protocol comes later\n",
     "planned"},
    {CLEAR("protocols: [h2c]"), "f:1:43: \"protocols\": \"h2c\" is not one of: h2, http/1.1\n",
     "no such protocol"},
    {CLEAR("protocols: []"), "f:1:42: \"protocols\" is empty\n", "no protocol"},
    {TLS("min: 1.1, certificates: [{ cert: a, key: b }]"),
     "f:1:44: \"min\": \"1.1\" is not one of: 1.2, 1.3\n", "too old"},
    {TLS("min: \"1.2\""), "f:1:37: \"certificates\" is missing\n", "no certificate"},
    {TLS("certificates: []"), "f:1:53: \"certificates\" is empty\n", "an empty list"},
    {TLS("certificates: [{ cert: a, key: b }], tickets: cluster"), "", "of all nodes"},
    {TLS("certificates: [{ cert: a, key: b }], tickets: all"),
     "f:1:85: \"tickets\": \"all\" is not one of: cluster, node\n", "no such tickets"},
    {LISTENERS "origins: {}\n" SITES, "f:2:10: \"origins\" wants 1 to 1000 sections by name\n",
     "no origin"},
    {LISTENERS "origins: { app: { servers: [] } }\n" SITES, "f:2:28: \"servers\" is empty\n",
     "no server"},
    {LISTENERS "origins: { \"a b\": { servers: [{ url: \"http://a\" }] } }\n" SITES,
     "f:2:12: \"origins\": \"a b\" is no name: only letters, digits, \"_\", \".\" and \"-\"\n",
     "a name with a space"},
    {URL("a.example"),
     "f:2:36: \"url\": \"a.example\" is no URL: write http://host or https://host\n",
     "no scheme"},
    {URL("ftp://a"),
     "f:2:36: \"url\": \"ftp://a\" is no URL: write http://host or https://host\n",
     "another scheme"},
    {URL("http://"), "f:2:36: \"url\": \"http://\" has no good host name\n", "no host"},
    {URL("http://a/b"),
     "f:2:36: \"url\": \"http://a/b\" has a path: a server is only scheme, host and port\n",
     "a path"},
    {URL("http://a?b"),
     "f:2:36: \"url\": \"http://a?b\" has a path: a server is only scheme, host and port\n",
     "a query"},
    {URL("http://u@a"),
     "f:2:36: \"url\": \"http://u@a\" has a user name, which is not supported\n", "a user"},
    {URL("http://a:0"), "f:2:36: \"url\": \"http://a:0\" has no good port (1 to 65535)\n",
     "port 0"},
    {URL("http://a:65536"),
     "f:2:36: \"url\": \"http://a:65536\" has no good port (1 to 65535)\n", "no such port"},
    {URL("http://a:"), "f:2:36: \"url\": \"http://a:\" has no good port (1 to 65535)\n",
     "an empty port"},
    {URL("http://::1"),
     "f:2:36: \"url\": \"http://::1\" has an IPv6 address without brackets\n",
     "IPv6 without brackets"},
    {URL("http://[::1"), "f:2:36: \"url\": \"http://[::1\" has \"[\" without \"]\"\n",
     "a bracket is missing"},
    {URL("http://[a]"), "f:2:36: \"url\": \"http://[a]\" has no IPv6 address in the brackets\n",
     "no IPv6 address"},
    {URL("http://10.0.0.256"), "f:2:36: \"url\": \"http://10.0.0.256\" has no good host name\n",
     "no IPv4 address"},
    {URL("http://a b"), "f:2:36: \"url\": \"http://a b\" has no good host name\n", "a space"},
    {ORIGIN("host: \"a b\""), "f:2:57: \"host\": \"a b\" has no good host name\n", "no host"},
    {ORIGIN("balance: p2c"),
     "f:2:60: \"balance\": \"p2c\" is not built yet, there is: round_robin\n", "planned"},
    {ORIGIN("balance: random"), "f:2:60: \"balance\": \"random\" is not one of: round_robin\n",
     "no such balance"},
    {ORIGIN("hide: [\"a b\", \"X-*\"]"), "f:2:58: \"hide\": \"a b\" is no field name\n",
     "no field name"},
    {ORIGIN("hide: Server"), "f:2:57: \"hide\" wants a list of texts (field name)\n",
     "a text where a list is due"},
    {ORIGIN("add: { \"a b\": x, Host: y, X: \"a\\r\\nb\" }"),
     "f:2:58: \"add\": \"a b\" is no field name\n"
     "f:2:68: \"add\": \"Host\" is a field that perigee itself sets\n"
     "f:2:80: \"add\": \"a??b\" has a control character\n",
     "no field, ours, header injection"},
    {ORIGIN("add: { X: a, X: b }"), "f:2:64: duplicate key \"X\", first on line 2\n",
     "a field twice"},
    {ORIGIN("add: [X]"), "f:2:56: \"add\" wants a map, name: value\n",
     "a list where a map is due"},
    {ORIGIN("retries: { max: 11, on: [\"502\"], budget: 10% }"),
     "f:2:67: \"max\": 11 is out of range, 0 to 10\n"
     "f:2:71: \"on\" is not built yet: retries after a status come with health checks\n"
     "f:2:84: \"budget\" is not built yet: the retry budget comes with health checks\n",
     "range, and planned"},
    {ORIGIN("health: { path: / }, slow_start: 30s"),
     "f:2:51: \"health\" is not built yet: health checks come later; a failing server is "
     "skipped by retries\n"
     "f:2:72: \"slow_start\" is not built yet: it comes with health checks\n",
     "planned"},
    {LISTENERS
     "origins: { app: { servers: [{ url: \"http://a\", weight: 2, backup: true }] } }\n" SITES,
     "f:2:48: \"weight\" is not built yet: weights come with the other ways to balance\n"
     "f:2:59: \"backup\" is not built yet: backup servers come with health checks\n",
     "planned"},
    {HOSTS("[]"), "f:3:18: \"hosts\" is empty\n", "no host"},
    {HOSTS("[\"http://a\"]"),
     "f:3:19: \"hosts\": \"http://a\" is no host name: write it without scheme and port\n",
     "a scheme"},
    {HOSTS("[\"a:80\"]"),
     "f:3:19: \"hosts\": \"a:80\" is no host name: write it without scheme and port\n",
     "a port"},
    {HOSTS("[\"*a.example\", \"a.*.example\"]"),
     "f:3:19: \"hosts\": \"*a.example\" is no host name: \"*\" stands alone or before the "
     "first dot\n"
     "f:3:33: \"hosts\": \"a.*.example\" is no host name: \"*\" stands alone or before the "
     "first dot\n",
     "stars within"},
    {HOSTS("[\"b\\u00fccher.example\"]"),
     "f:3:19: \"hosts\": \"bücher.example\" is no host name: write international names in "
     "their xn-- form\n",
     "international names"},
    {HOSTS("[a..b, .a, a., -a.b]"),
     "f:3:19: \"hosts\": \"a..b\" is no host name: two dots, or one at an end\n"
     "f:3:25: \"hosts\": \".a\" is no host name: two dots, or one at an end\n"
     "f:3:29: \"hosts\": \"a.\" is no host name: two dots, or one at an end\n"
     "f:3:33: \"hosts\": \"-a.b\" is no host name: a part starts or ends with \"-\"\n",
     "no host names"},
    {HOSTS("[\"a_b.example\", 192.0.2.1, \"2001:db8::1\"]"), "", "all good"},
    {HOSTS("[\"[::1]\"]"),
     "f:3:19: \"hosts\": \"[::1]\" is an address in brackets: write it without\n",
     "brackets belong into URLs"},
    {SITE("ttl: { default: 500ms }"),
     "f:3:41: \"default\": \"500ms\" is not understood: write for example 30s (s, m, h, d)\n",
     "whole seconds"},
    {SITE("ttl: { force: 3651d }"), "f:3:39: \"force\": 3651d is out of range, 0s to 3650d\n",
     "over the range"},
    {SITE("set_cookie: keep"),
     "f:3:37: \"set_cookie\": \"keep\" is not one of: store, refuse, strip\n",
     "no such choice"},
    {SITE("purge_from: [all]"),
     "f:3:38: \"purge_from\": \"all\" is no prefix: write \"10.0.0.0/8\" or \"2001:db8::/32\", "
     "with the bits behind the prefix zero\n",
     "no prefix"},
    {SITE("tags: [\"a b\"]"), "f:3:32: \"tags\": \"a b\" is no token (RFC 9110 5.6.2)\n",
     "no field name"},
    {SITE("cache_key: { query: { drop: [\"a&b\"] }, headers: [\"a b\"], cookies: [\"a;b\"] }"),
     "f:3:54: \"drop\": \"a&b\" is no parameter name: write it as it stands in a URL\n"
     "f:3:74: \"headers\": \"a b\" is no token (RFC 9110 5.6.2)\n"
     "f:3:92: \"cookies\": \"a;b\" is no token (RFC 9110 5.6.2)\n",
     "no names"},
    {SITE("steer_host: x"),
     "f:3:25: \"steer_host\" is not built yet: it comes with geographic steering\n", "planned"},
    {ROUTE("match: { path: api }"),
     "f:3:51: \"path\": \"api\" is no path: it starts with \"/\"\n", "no slash"},
    {ROUTE("match: { path: /a*b }"),
     "f:3:51: \"path\": \"/a*b\" is no path: \"*\" may stand only at its end\n",
     "a star within"},
    {ROUTE("match: { path: \"/a?b\" }"),
     "f:3:51: \"path\": \"/a?b\" is no path: it has no query and no fragment\n", "a query"},
    {ROUTE("match: { path: \"/a b\" }"),
     "f:3:51: \"path\": \"/a b\" is no path: write it as it stands in a URL, with %XX\n",
     "a space"},
    {ROUTE("match: { country: [KP] }"),
     "f:3:45: \"country\" is not built yet: it comes with geographic steering\n", "planned"},
    {ROUTE("match: { methods: [\"G T\"] }"),
     "f:3:55: \"methods\": \"G T\" is no token (RFC 9110 5.6.2)\n", "no method"},
    {ROUTE("respond: { status: 199 }"), "f:3:55: \"status\": 199 is out of range, 200 to 599\n",
     "no final status"},
    {ROUTE("respond: {}"), "f:3:45: \"status\" is missing\n", "no status"},
    {ROUTE("peers: false"), "", "never through another node"},
    {ROUTE("rate: { per: ip }, peers: maybe"),
     "f:3:36: \"rate\" is not built yet: rate limits come later\n"
     "f:3:62: \"peers\": \"maybe\" is not true or false (or on, off)\n",
     "planned, and no switch"},
    {SMALLEST "logs: { access: { path: x, format: clf, sample: {} } }\n",
     "f:4:36: \"format\": \"clf\" is not one of: json\n"
     "f:4:41: \"sample\" is not built yet: every request is logged\n",
     "one format"},
    {SMALLEST
     "node:\n  region: ${PG_NONE}\n  id: \"${PG_NONE:-}\"\n  user: \"${PG_NONE:-a}\"\n",
     "f:5:11: the environment has no PG_NONE\n"
     "f:6:7: \"id\": \"\" is empty\n",
     "the environment: unset, empty, a default"},
};

static void test_values(void **state)
{
    (void)state;
    said_check(rows, ARRAY_LEN(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
