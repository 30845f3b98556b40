#include "tests/unit/admin/node.h"

#include <unistd.h>

#include "base/counter.h"

#define READER "reader-token-0123456789"
#define PURGER "purger-token-0123456789"
#define SHOPPER "shopper-token-0123456789"
#define ADMIN "admin-token-0123456789"

static char folder[] = "/tmp/perigee-admin-XXXXXX";
static char paths[4][64];
static const char *shop_names[] = {"shop"};
static const char *shop_hosts[] = {"shop.example"};
static const char *other_hosts[] = {"*"};
static struct conf_site sites[] = {
    {.name = "shop", .hosts = {shop_hosts, 1}},
    {.name = "other", .hosts = {other_hosts, 1}},
};
static struct conf_token tokens[] = {
    {.name = "reader", .file = paths[0], .scope_read = true},
    {.name = "purger", .file = paths[1], .scope_purge = true},
    {.name = "shopper",
     .file = paths[2],
     .scope_purge = true,
     .scope_read = true,
     .sites = {shop_names, 1}},
    {.name = "admin", .file = paths[3], .scope_admin = true},
};
static const struct conf with_tokens = {
    .file = "p.yaml",
    .node = {.id = "n1", .region = ""},
    .admin = {.tokens = tokens, .token_count = ARRAY_LEN(tokens)},
    .sites = sites,
    .site_count = ARRAY_LEN(sites),
};
static const struct conf open_conf = {.file = "p.yaml",
                                      .node = {.id = "n1", .region = ""},
                                      .sites = sites,
                                      .site_count = ARRAY_LEN(sites)};

static int make_files(void **state)
{
    (void)state;
    static const char *content[] = {READER, PURGER, SHOPPER, ADMIN};
    if (!mkdtemp(folder))
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(content); i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%zu", folder, i);
        FILE *file = fopen(paths[i], "w");
        if (!file)
            return -1;
        fputs(content[i], file);
        fclose(file);
    }
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        unlink(paths[i]);
    return rmdir(folder);
}

struct question {
    const char *token, *host, *field_name, *field_value;
    bool far; /* not by a loopback listener */
    int64_t now_ms;
};

static void fill(struct arena *a, struct admin_request *r, struct http_request *http,
                 const char *method, const char *target, const char *body,
                 const struct question *q)
{
    struct span text;
    *http = (struct http_request){.method = http_method_find(span_text(method)),
                                  .scheme = SPAN("http"),
                                  .authority = span_text(q->host ? q->host : "127.0.0.1:9443"),
                                  .target = span_text(target)};
    if (q->token) {
        assert_true(arena_printf(a, &text, "Bearer %s", q->token));
        assert_true(http_fields_add_named(&http->fields, a, HTTP_NAME_AUTHORIZATION, text));
    }
    if (q->field_name)
        assert_true(http_fields_add(&http->fields, a, span_text(q->field_name),
                                    span_text(q->field_value)));
    *r = (struct admin_request){.request = http,
                                .body = span_text(body),
                                .local = !q->far,
                                .now_ms = q->now_ms,
                                .now_s = 2000};
}

static void ask(struct admin *admin, const char *method, const char *target, const char *body,
                const struct question *q, struct heard *h)
{
    struct arena arena;
    struct http_request http;
    struct admin_request r;
    arena_init(&arena, 65536);
    fill(&arena, &r, &http, method, target, body, q);
    admin_handle(admin, &r, hear, h);
    arena_fini(&arena);
}

static const char a_purge[] = "{\"type\":\"url\",\"selectors\":[\"http://shop.example/a\"]}";

static const struct {
    const char *why, *method, *target, *body;
    struct question q;
    unsigned want;
    const char *want_body; /* a part of it */
} rows[] = {
    {"health needs no token", "GET", "/v1/health", "", {.far = true}, 200, "\"ok\""},
    {"HEAD is GET", "HEAD", "/v1/health", "", {.far = true}, 200, ""},
    {"health with a bad token", "GET", "/v1/health", "", {.far = true, .token = "x"}, 200, ""},
    {"nothing else without", "GET", "/v1/status", "", {.far = true}, 401, "token"},
    {"not even locally", "GET", "/v1/status", "", {0}, 401, "token"},
    {"status", "GET", "/v1/status", "", {.token = READER}, 200, "\"node\":\"n1\""},
    {"status tells figures", "GET", "/v1/status", "", {.token = READER}, 200, "\"objects\":9"},
    {"and servers", "GET", "/v1/status", "", {.token = READER}, 200, "10.0.0.2:80"},
    {"a wrong token", "GET", "/v1/status", "", {.token = "x"}, 401, "token"},
    {"no read scope", "GET", "/v1/status", "", {.token = PURGER}, 403, "scope"},
    {"admin reads", "GET", "/v1/status", "", {.token = ADMIN}, 200, ""},
    {"no such endpoint", "GET", "/v1/nothing", "", {.token = ADMIN}, 404, "endpoint"},
    {"no prefix of one either", "GET", "/v1/statuss", "", {.token = ADMIN}, 404, "endpoint"},
    {"the target is normalised", "GET", "/x/../v1/%73tatus", "", {.token = READER}, 200, ""},
    {"another method", "POST", "/v1/status", "", {.token = ADMIN}, 405, "method"},
    {"a misspelt parameter", "GET", "/v1/purges?Since=1h", "", {.token = READER}, 400, "Since"},
    {"one without a value", "GET", "/v1/purges?since", "", {.token = READER}, 400, "since"},
    {"one twice",
     "GET",
     "/v1/purges?since=1h&limit=2&since=2h",
     "",
     {.token = READER},
     400,
     "twice"},
    {"one cut off", "GET", "/v1/purges?since=%3", "", {.token = READER}, 400, ""},
    {"those it has", "GET", "/v1/purges?since=0&limit=2", "", {.token = READER}, 200, "purges"},
    {"a POST has none",
     "POST",
     "/v1/purge?dry_run=true",
     a_purge,
     {.token = PURGER},
     400,
     "dry_run=true"},
    {"nor has a reload", "POST", "/v1/reload?x=1", "", {.token = ADMIN}, 400, "x=1"},
    {"monitors may have any", "GET", "/v1/health?x&y=2", "", {.far = true}, 200, "ok"},
    {"an id", "GET", "/v1/purges/abc:7", "", {.token = READER}, 200, "abc:7"},
    {"an id, encoded", "GET", "/v1/purges/abc%3A7", "", {.token = READER}, 200, "abc:7"},
    {"an id, badly", "GET", "/v1/purges/abc%257", "", {.token = READER}, 400, "id"},
    {"a malformed target", "GET", "/%zz", "", {.token = ADMIN}, 400, "target"},
    {"metrics", "GET", "/metrics", "", {.token = READER}, 200, "# TYPE perigee_ready gauge"},
    {"metrics of the cluster",
     "GET",
     "/metrics",
     "",
     {.token = READER},
     200,
     "perigee_cluster_members{state=\"failed\"} 1\n"},
    {"what gossip dropped",
     "GET",
     "/metrics",
     "",
     {.token = READER},
     200,
     "perigee_cluster_dropped_total{reason=\"refused\"} 3\n"},
    {"what no key opens",
     "GET",
     "/metrics",
     "",
     {.token = READER},
     200,
     "perigee_cluster_dropped_total{reason=\"decrypt\"} 5\n"},
    {"its health",
     "GET",
     "/metrics",
     "",
     {.token = READER},
     200,
     "# TYPE perigee_cluster_health_score gauge\nperigee_cluster_health_score 2\n"},
    {"purges between nodes",
     "GET",
     "/metrics",
     "",
     {.token = READER},
     200,
     "# TYPE perigee_purge_sync_pushed_total counter\nperigee_purge_sync_pushed_total 9\n"},
    {"status of the cluster",
     "GET",
     "/v1/status",
     "",
     {.token = READER},
     200,
     "\"cluster\":{\"on\":true,\"alive\":1,\"failed\":1,\"seeds_left\":1,\"keys\":"
     "\"secret_file\",\"id_taken\":false,\"log_behind\":true,\"purge_members\":3,\"purge_"
     "unreachable\":1,"
     "\"purges_waiting\":2}"},
    {"nodes",
     "GET",
     "/v1/nodes",
     "",
     {.token = READER},
     200,
     "{\"cluster\":true,\"nodes\":[{\"id\":\"n1\",\"me\":true,\"perigee\":true,\"address\":"
     "\"192.0.2.1:7946\",\"state\":\"alive\",\"since_s\":6,\"rtt_us\":0,\"load\":7,\"shed\":0,"
     "\"drain\":false,\"region\":\"eu\",\"version\":\"0.1\",\"place\":[50.11,-8.68],"
     "\"addresses\":[\"203.0.113.1\"],\"peer\":\"192.0.2.1:7947\",\"capacity\":1},"},
    {"an agent that failed",
     "GET",
     "/v1/nodes",
     "",
     {.token = READER},
     200,
     "{\"id\":\"odd agent\",\"me\":false,\"perigee\":false,\"address\":\"[2001:db8::]:1\","
     "\"state\":\"failed\",\"since_s\":10,\"rtt_us\":2500,\"drain\":false,"},
    {"a suspect; its own round trips count",
     "GET",
     "/v1/nodes",
     "",
     {.token = READER},
     200,
     "\"state\":\"suspect\",\"since_s\":10,\"rtt_us\":1500,"},
    {"nodes want a token", "GET", "/v1/nodes", "", {.far = true}, 401, "token"},
    {"forget",
     "DELETE",
     "/v1/nodes/odd%20agent",
     "",
     {.token = ADMIN},
     200,
     "{\"forgotten\":\"odd agent\"}"},
    {"forget who lives", "DELETE", "/v1/nodes/n1", "", {.token = ADMIN}, 409, "alive"},
    {"forget nobody", "DELETE", "/v1/nodes/n9", "", {.token = ADMIN}, 404, "no such node"},
    {"forget whom?", "DELETE", "/v1/nodes/", "", {.token = ADMIN}, 404, "endpoint"},
    {"forget by a reader",
     "DELETE",
     "/v1/nodes/odd%20agent",
     "",
     {.token = READER},
     403,
     "scope"},
    {"one node is not shown", "GET", "/v1/nodes/n1", "", {.token = ADMIN}, 405, "method"},
    {"purge needs its scope", "POST", "/v1/purge", a_purge, {.token = READER}, 403, "scope"},
    {"purge",
     "POST",
     "/v1/purge",
     a_purge,
     {.token = PURGER},
     200,
     "\"id\":\"0000000000000abc:"},
    {"purge tells nodes",
     "POST",
     "/v1/purge",
     a_purge,
     {.token = PURGER},
     200,
     "\"nodes\":{\"applied\":[\"n1\"],\"pending\":[],\"unreachable\":[]}"},
    {"GET of purge", "GET", "/v1/purge", "", {.token = ADMIN}, 405, "method"},
    {"the log", "GET", "/v1/purges", "", {.token = READER}, 200, "\"selector\":\"news\""},
    {"the log, since then", "GET", "/v1/purges?since=1000", "", {.token = READER}, 200, "news"},
    {"the log, since later",
     "GET",
     "/v1/purges?since=1001",
     "",
     {.token = READER},
     200,
     "\"purges\":[]"},
    {"the log, how long ago",
     "GET",
     "/v1/purges?since=10m",
     "",
     {.token = READER},
     200,
     "\"purges\":[]"},
    {"since nonsense", "GET", "/v1/purges?since=x", "", {.token = READER}, 400, "since"},
    {"limit 0", "GET", "/v1/purges?limit=0", "", {.token = READER}, 400, "limit"},
    {"limit over the cap", "GET", "/v1/purges?limit=1001", "", {.token = READER}, 400, "limit"},
    {"one purge", "GET", "/v1/purges/abc:7", "", {.token = READER}, 200, "\"mode\":\"soft\""},
    {"its work is done by a later one",
     "GET",
     "/v1/purges/abc:6",
     "",
     {.token = READER},
     200,
     "\"superseded\":true,\"nodes\":{\"applied\":[\"n1\"]"},
    {"one that is not there", "GET", "/v1/purges/abc:8", "", {.token = READER}, 404, "purge"},
    {"an id of another shape", "GET", "/v1/purges/x", "", {.token = READER}, 400, "id"},
    {"no id", "GET", "/v1/purges/", "", {.token = READER}, 404, "endpoint"},
    {"the log, of all sites", "GET", "/v1/purges", "", {.token = READER}, 200, "everywhere"},
    {"the log, of my site by name", "GET", "/v1/purges", "", {.token = SHOPPER}, 200, "news"},
    {"the log, of my site's host",
     "GET",
     "/v1/purges?limit=1",
     "",
     {.token = SHOPPER},
     200,
     "{\"purges\":[{\"id\":\"0000000000000abc:11\","
     "\"type\":\"url\",\"selector\":\"http://shop.example/mine\""},
    {"one purge of my site", "GET", "/v1/purges/abc:11", "", {.token = SHOPPER}, 200, "mine"},
    {"one of another's", "GET", "/v1/purges/abc:9", "", {.token = SHOPPER}, 404, "purge"},
    {"one of every site's", "GET", "/v1/purges/abc:10", "", {.token = SHOPPER}, 404, "purge"},
    {"which others see", "GET", "/v1/purges/abc:10", "", {.token = READER}, 200, "everywhere"},
    {"cache",
     "GET",
     "/v1/cache?url=http%3A%2F%2Fshop.example%2Fa",
     "",
     {.token = READER},
     200,
     "\"fresh_left_s\":57"},
    {"cache, raw",
     "GET",
     "/v1/cache?url=http://shop.example/a",
     "",
     {.token = READER},
     200,
     "\"etag\":\"\\\"x\\\"\""},
    {"cache, each form",
     "GET",
     "/v1/cache?url=http://shop.example/a",
     "",
     {.token = READER},
     200,
     "\"forms\":[{\"encoding\":\"identity\",\"bytes\":10,\"made\":false,\"tier\":\"memory\"},"
     "{\"encoding\":\"zstd\",\"bytes\":4,\"made\":true,\"tier\":\"disk\"}]"},
    {"cache, nothing there",
     "GET",
     "/v1/cache?url=http://shop.example/b",
     "",
     {.token = READER},
     200,
     "\"variants\":[]"},
    {"cache, no url", "GET", "/v1/cache", "", {.token = READER}, 400, "url"},
    {"cache, no URL at all", "GET", "/v1/cache?url=x", "", {.token = READER}, 400, "url"},
    {"cache, of my site",
     "GET",
     "/v1/cache?url=http://shop.example/a",
     "",
     {.token = SHOPPER},
     200,
     ""},
    {"cache, of another's",
     "GET",
     "/v1/cache?url=http://x.example/a",
     "",
     {.token = SHOPPER},
     403,
     "sites"},
    {"reload is for admins", "POST", "/v1/reload", "", {.token = READER}, 403, "scope"},
    {"reload", "POST", "/v1/reload", "", {.token = ADMIN}, 200, "\"reloaded\":true"},
};

static void test_endpoints(void **state)
{
    (void)state;
    struct node node = {.at_once = true, .ready = true};
    struct conf_faults faults = {0};
    struct admin *admin = admin_create(&with_tokens, &node_actions, &node, &faults);
    assert_non_null(admin);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        static struct heard h;
        h.answers = 0;
        ask(admin, rows[i].method, rows[i].target, rows[i].body, &rows[i].q, &h);
        if (h.answers != 1 || h.status != rows[i].want || !strstr(h.body, rows[i].want_body))
            fail_msg("%s: %u answers, %u %s", rows[i].why, h.answers, h.status, h.body);
        if (h.status == 401)
            assert_string_equal(h.fields, "www-authenticate: Bearer\n");
        if (h.status == 405)
            assert_memory_equal(h.fields, "allow: ", 7);
    }
    admin_destroy(admin);
}

/* Without tokens a loopback listener is open, but not to pages in a browser. */
static void test_open(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct question q;
        unsigned want;
    } cases[] = {
        {"open", {0}, 200},
        {"by name", {.host = "localhost:9443"}, 200},
        {"by IPv6", {.host = "[::1]:9443"}, 200},
        {"HTTP/1.0", {.host = ""}, 200},
        {"a name that was made to point here", {.host = "evil.example:9443"}, 403},
        {"a page's request", {.field_name = "origin", .field_value = "http://x"}, 403},
        {"not local", {.far = true}, 401},
    };
    struct node node = {.at_once = true, .ready = true};
    struct conf_faults faults = {0};
    struct admin *admin = admin_create(&open_conf, &node_actions, &node, &faults);
    static struct heard h;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ask(admin, "POST", "/v1/purge", a_purge, &cases[i].q, &h);
        if (h.status != cases[i].want)
            fail_msg("%s: %u", cases[i].why, h.status);
    }
    ask(admin, "GET", "/v1/health", "", &(struct question){.host = "lb.example"}, &h);
    assert_int_equal(h.status, 200);
    node.ready = false;
    ask(admin, "GET", "/v1/health", "", &(struct question){0}, &h);
    assert_int_equal(h.status, 503);
    node.reload_err = ERR_REFUSED;
    ask(admin, "POST", "/v1/reload", "", &(struct question){0}, &h);
    assert_int_equal(h.status, 422);
    assert_non_null(strstr(h.body, "{\"line\":3,\"column\":5,\"warning\":false,"
                                   "\"message\":\"no such \\\"thing\\\"\"}"));
    admin_destroy(admin);
}

/* A name with these labels is given once. */
static void must_be_new(char series[65536], struct span line)
{
    char mark[300];
    snprintf(mark, sizeof mark - 1, "\n%.*s", SPAN_ARG(line));
    *strrchr(mark, ' ') = 0;
    strcat(mark, "\n");
    if (strstr(series, mark))
        fail_msg("twice: %s", mark);
    strcat(series, mark + 1);
}

/* Prometheus wants each name's lines together, under one HELP and one TYPE. */
static void test_metrics(void **state)
{
    (void)state;
    struct node node = {.ready = true};
    struct conf_faults faults = {0};
    struct admin *admin = admin_create(&open_conf, &node_actions, &node, &faults);
    static struct heard h;
    static char seen[65536];
    counter_add(COUNTER_ENCODER_IN_ZSTD, 3000);
    counter_add(COUNTER_ENCODER_OUT_ZSTD, 1000);
    ask(admin, "GET", "/metrics", "", &(struct question){0}, &h);
    assert_int_equal(h.status, 200);
    assert_string_equal(h.type, "text/plain; version=0.0.4; charset=utf-8");
    struct span rest = span_text(h.body), line, name = {0};
    static char series[65536] = "\n";
    while (rest.len && span_split(&rest, '\n', &line)) {
        char mark[300];
        size_t at;
        if (span_starts(line, SPAN("# HELP "))) {
            name = span_from(line, 7);
            assert_true(span_find(name, ' ', &at));
            name = span_until(name, at);
            snprintf(mark, sizeof mark, "<%.*s>", SPAN_ARG(name));
            if (strstr(seen, mark))
                fail_msg("twice: %s", mark);
            strcat(seen, mark);
        } else if (!span_starts(line, SPAN("#")) && line.len) {
            if (!span_starts(line, name) ||
                (line.ptr[name.len] != ' ' && line.ptr[name.len] != '{'))
                fail_msg("under %.*s: %.*s", SPAN_ARG(name), SPAN_ARG(line));
            must_be_new(series, line);
        }
    }
    assert_non_null(strstr(seen, "<perigee_purge_log_ok>"));
    assert_non_null(strstr(h.body, "perigee_cache_objects 9\n"));
    assert_non_null(strstr(h.body, "perigee_encoder_queue 3\n"));
    assert_non_null(strstr(h.body, "perigee_encoder_cpu_seconds_total 12.000345\n"));
    assert_non_null(strstr(h.body, "perigee_encoder_ratio{encoding=\"zstd\"} 0.3333\n"));
    assert_null(strstr(h.body, "perigee_encoder_ratio{encoding=\"gzip\"}")); /* of nothing */
    assert_non_null(strstr(
        h.body,
        "perigee_origin_server_errors_total{origin=\"app\",server=\"10.0.0.1:80\"} 1\n"));
    admin_destroy(admin);
}

static void test_reload(void **state)
{
    (void)state;
    struct node node = {.at_once = true, .ready = true};
    struct conf_faults faults = {0};
    struct admin *admin = admin_create(&open_conf, &node_actions, &node, &faults);
    static struct heard h;
    assert_int_equal(admin_reload(admin, &with_tokens, &faults), ERR_OK);
    ask(admin, "GET", "/v1/status", "", &(struct question){0}, &h);
    assert_int_equal(h.status, 401);
    struct conf_token missing = {.name = "t", .file = "/nonexistent"};
    struct conf bad = with_tokens;
    bad.admin.tokens = &missing;
    bad.admin.token_count = 1;
    assert_int_equal(admin_reload(admin, &bad, &faults), ERR_REFUSED);
    assert_int_equal(faults.errors, 1);
    ask(admin, "GET", "/v1/status", "", &(struct question){.token = READER}, &h);
    assert_int_equal(h.status, 200); /* the old ones still count */
    conf_faults_fini(&faults);
    admin_destroy(admin);
}

static void test_doors(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct question q;
        bool may_purge;
        unsigned want;
        enum purge_kind want_kind;
        enum purge_mode want_mode;
        const char *want_selector, *want_site;
    } cases[] = {
        {"from an allowed address",
         {0},
         true,
         200,
         PURGE_URL,
         PURGE_HARD,
         "http://shop.example/a",
         ""},
        {"whatever it shows",
         {.token = "x"},
         true,
         200,
         PURGE_URL,
         PURGE_HARD,
         "http://shop.example/a",
         ""},
        {"from another", {0}, false, 403, 0, 0, "", ""},
        {"with a token",
         {.token = PURGER},
         false,
         200,
         PURGE_URL,
         PURGE_HARD,
         "http://shop.example/a",
         ""},
        {"with the site's token",
         {.token = SHOPPER},
         false,
         200,
         PURGE_URL,
         PURGE_HARD,
         "http://shop.example/a",
         ""},
        {"with a wrong one", {.token = "x"}, false, 401, 0, 0, "", ""},
        {"without the scope", {.token = READER}, false, 403, 0, 0, "", ""},
        {"soft",
         {.field_name = "fastly-soft-purge", .field_value = "1"},
         true,
         200,
         PURGE_URL,
         PURGE_SOFT,
         "http://shop.example/a",
         ""},
        {"not soft",
         {.field_name = "fastly-soft-purge", .field_value = "0"},
         true,
         200,
         PURGE_URL,
         PURGE_HARD,
         "http://shop.example/a",
         ""},
        {"by tag, of that site",
         {.field_name = "surrogate-key", .field_value = "news x"},
         true,
         200,
         PURGE_TAG,
         PURGE_HARD,
         "news",
         "shop"},
        {"by xkey",
         {.field_name = "xkey", .field_value = "news"},
         true,
         200,
         PURGE_TAG,
         PURGE_HARD,
         "news",
         "shop"},
    };
    struct node node = {.at_once = true, .ready = true};
    struct conf_faults faults = {0};
    struct admin *admin = admin_create(&with_tokens, &node_actions, &node, &faults);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        static struct heard h;
        struct arena arena;
        struct http_request http;
        struct admin_request r;
        arena_init(&arena, 65536);
        node.purges = 0;
        fill(&arena, &r, &http, "PURGE", "/a", "", &cases[i].q);
        admin_purge_method(admin, &r, SPAN("http://shop.example/a"), &sites[0],
                           cases[i].may_purge, hear, &h);
        if (h.status != cases[i].want || node.purges != (h.status == 200))
            fail_msg("%s: %u %s", cases[i].why, h.status, h.body);
        if (h.status == 200) {
            assert_int_equal(node.last.kind, cases[i].want_kind);
            assert_int_equal(node.last.mode, cases[i].want_mode);
            assert_string_equal(node.last_selector, cases[i].want_selector);
            assert_string_equal(node.last_site, cases[i].want_site);
        }
        arena_fini(&arena);
    }
    /* the tokens of another site's people do not open this one's door */
    static struct heard h;
    struct arena arena;
    struct http_request http;
    struct admin_request r;
    arena_init(&arena, 65536);
    fill(&arena, &r, &http, "PURGE", "/a", "", &(struct question){.token = SHOPPER});
    admin_purge_method(admin, &r, SPAN("http://x.example/a"), &sites[1], false, hear, &h);
    assert_int_equal(h.status, 403);
    arena_fini(&arena);
    admin_destroy(admin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoints), cmocka_unit_test(test_open),
        cmocka_unit_test(test_metrics),   cmocka_unit_test(test_reload),
        cmocka_unit_test(test_doors),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
