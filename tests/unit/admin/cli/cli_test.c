#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "admin/cli/cli.h"

#define ARGS_MAX 300

struct node { /* what it answers, and what it was asked */
    enum err err;
    unsigned status;
    const char *body;
    unsigned asked;
    char method[8], target[512], question[1024], url[128], token[64];
    const char *ca;
    bool insecure;
};

static enum err answer(void *user, const struct cli_question *q, struct cli_reply *out)
{
    struct node *n = user;
    n->asked++;
    snprintf(n->method, sizeof n->method, "%s", q->method);
    snprintf(n->target, sizeof n->target, "%.*s", SPAN_ARG(q->target));
    snprintf(n->question, sizeof n->question, "%.*s", SPAN_ARG(q->body));
    snprintf(n->url, sizeof n->url, "%.*s", SPAN_ARG(q->admin_url));
    snprintf(n->token, sizeof n->token, "%.*s", SPAN_ARG(q->token));
    n->ca = q->ca;
    n->insecure = q->insecure;
    if (n->err) {
        snprintf(out->fault, sizeof out->fault, "connection refused");
        return n->err;
    }
    out->status = n->status;
    assert_int_equal(buf_append(&out->body, span_text(n->body)), ERR_OK);
    return ERR_OK;
}

/* Runs a command line (cut at spaces); its exit code, and what it printed. */
static int run(const char *line, struct node *n, char **out, char **err)
{
    static char copy[4096];
    char *argv[ARGS_MAX], *rest = copy, *word;
    int argc = 0;
    size_t out_len, err_len;
    snprintf(copy, sizeof copy, "%s", line);
    while ((word = strsep(&rest, " ")) && argc < ARGS_MAX)
        if (*word)
            argv[argc++] = word;
    FILE *out_file = open_memstream(out, &out_len), *err_file = open_memstream(err, &err_len);
    int code = cli_run_to(argc, argv, answer, n, out_file, err_file);
    fclose(out_file);
    fclose(err_file);
    return code;
}

#define PURGED                                                                                 \
    "{\"id\":\"abc:7\",\"mode\":\"hard\",\"selectors\":2,\"nodes\":{\"applied\":[\"n1\"],"     \
    "\"pending\":[],\"unreachable\":[]}}\n"
#define STATUS                                                                                 \
    "{\"node\":\"n1\",\"version\":\"1\",\"ready\":true,\"uptime_s\":90061,\"workers\":1,"      \
    "\"connections\":2,\"cache\":{\"objects\":3,\"objects_in_memory\":2,\"memory_bytes\":"     \
    "1536,"                                                                                    \
    "\"memory_max_bytes\":1048576,\"disk_on\":false,\"fills\":0},\"purge_log\":{\"ok\":true,"  \
    "\"records\":1},\"config\":{\"file\":\"p.yaml\",\"serial\":1},\"origins\":[{\"origin\":"   \
    "\"app\",\"server\":\"s:80\",\"up\":true,\"requests\":1,\"errors\":0}]}\n"

#define NODES                                                                                  \
    "{\"cluster\":true,\"nodes\":[{\"id\":\"n1\",\"me\":true,\"perigee\":true,\"address\":"    \
    "\"192.0.2.1:7946\",\"state\":\"alive\",\"rtt_us\":0,\"load\":7,\"region\":\"eu\","        \
    "\"version\":\"0.1\"},{\"id\":\"agent\\u001b7\",\"perigee\":false,\"address\":"            \
    "\"192.0.2.2:7946\",\"state\":\"failed\",\"rtt_us\":1500},{\"id\":\"n2\",\"perigee\":"     \
    "true,"                                                                                    \
    "\"address\":\"192.0.2.3:7946\",\"state\":\"alive\",\"drain\":true,\"version\":\"0.1\"}]}" \
    "\n"

static const struct {
    const char *why, *line;
    unsigned status;
    const char *body;
    int want;
    const char *want_method, *want_target, *want_question; /* method NULL: nothing is asked */
    const char *want_out, *want_err;                       /* parts */
} rows[] = {
    {"purge a URL", "purge --url http://a/b", 200, PURGED, 0, "POST", "/v1/purge",
     "{\"type\":\"url\",\"selectors\":[\"http://a/b\"]}", "applied on:  n1", ""},
    {"several, both ways", "purge --tag a b --tag c", 200, PURGED, 0, "POST", "/v1/purge",
     "{\"type\":\"tag\",\"selectors\":[\"a\",\"b\",\"c\"]}",
     "purged 2 selectors (hard), id abc:7", ""},
    {"not yet everywhere", "purge --all", 202,
     "{\"id\":\"abc:7\",\"mode\":\"hard\",\"selectors\":1,\"nodes\":{\"applied\":[\"n1\"],"
     "\"pending\":[\"n2\",\"n3\"],\"unreachable\":[]}}",
     0, "POST", "/v1/purge", "{\"type\":\"all\"}",
     "pending on:  n2, n3\nnot confirmed by 2 nodes yet: ", ""},
    {"not everywhere for long", "purge --all", 202,
     "{\"id\":\"abc:7\",\"mode\":\"hard\",\"selectors\":1,\"nodes\":{\"applied\":[\"n1\"],"
     "\"pending\":[],\"unreachable\":[\"n2\"]}}",
     0, "POST", "/v1/purge", "{\"type\":\"all\"}", "come back: perigee nodes forget ID\n", ""},
    {"with =", "purge --host=a", 200, PURGED, 0, "POST", "/v1/purge",
     "{\"type\":\"host\",\"selectors\":[\"a\"]}", "", ""},
    {"all its options", "purge --prefix a/ --soft --dry-run --wait 5s --site www", 200,
     "{\"dry_run\":true,\"objects\":1}", 0, "POST", "/v1/purge",
     "{\"type\":\"prefix\",\"selectors\":[\"a/\"],\"site\":\"www\",\"mode\":\"soft\","
     "\"dry_run\":true,\"wait\":\"5s\"}",
     "would purge 1 object\n", ""},
    {"all", "purge --all", 200, PURGED, 0, "POST", "/v1/purge", "{\"type\":\"all\"}", "", ""},
    {"json", "purge --all --json", 200, PURGED, 0, "POST", "/v1/purge", "{\"type\":\"all\"}",
     PURGED, ""},
    {"not durable", "purge --all", 503, "{\"error\":\"disk\"}", 1, "POST", "/v1/purge",
     "{\"type\":\"all\"}", "", "status 503: disk"},
    {"not durable, json", "purge --all --json", 503, "{\"error\":\"disk\"}", 1, "POST",
     "/v1/purge", "{\"type\":\"all\"}", "{\"error\":\"disk\"}", ""},
    {"octets that JSON cannot carry", "purge --tag a caf\xe9", 0, "", 2, NULL, "", "", "",
     "no UTF-8"},
    {"nor in a site", "purge --tag a --site \xff", 0, "", 2, NULL, "", "", "", "no UTF-8"},
    {"UTF-8", "purge --tag caf\xc3\xa9", 200, PURGED, 0, "POST", "/v1/purge",
     "{\"type\":\"tag\",\"selectors\":[\"caf\xc3\xa9\"]}", "", ""},
    {"how?", "purge --help", 0, "", 0, NULL, "", "", "perigee purge --url", ""},
    {"how, in short", "nodes forget -h", 0, "", 0, NULL, "", "", "nodes [forget ID]", ""},
    {"a tag of that name", "purge --tag --help", 200, PURGED, 0, "POST", "/v1/purge",
     "{\"type\":\"tag\",\"selectors\":[\"--help\"]}", "", ""},
    {"no kind", "purge", 0, "", 2, NULL, "", "", "", "what?"},
    {"two kinds", "purge --tag a --url b", 0, "", 2, NULL, "", "", "", "one kind"},
    {"all with a selector", "purge --tag a --all", 0, "", 2, NULL, "", "", "", "one kind"},
    {"a word after --all", "purge --all a", 0, "", 2, NULL, "", "", "", "what is a?"},
    {"no value", "purge --tag", 0, "", 2, NULL, "", "", "", "needs a value"},
    {"an unknown option", "purge --tag a --sotf", 0, "", 2, NULL, "", "", "", "--sotf"},
    {"another command's option", "status --soft", 0, "", 2, NULL, "", "", "", "--soft"},
    {"cache get", "cache get http://a/b?c=d%20&\xc3\xa4", 200,
     "{\"variants\":[{\"key\":\"k\",\"state\":\"fresh\",\"tier\":\"memory\",\"status\":200,"
     "\"age_s\":61,\"fresh_left_s\":3600,\"body_bytes\":2048,\"hits\":1,\"tags\":0,"
     "\"vary\":\"foo:1\\nbar\\n\"}]}",
     0, "GET", "/v1/cache?url=http://a/b%3Fc%3Dd%2520%26%C3%A4", "",
     "k\n  fresh, fresh for 1h 0m, age 1m 1s\n  status 200, 2.0 KiB, in memory, 1 hit, 0 tags\n"
     "  vary foo:1\n  vary bar\n",
     ""},
    {"forms", "cache get http://a/", 200,
     "{\"variants\":[{\"key\":\"k\",\"tier\":\"memory\",\"etag\":\"x\",\"forms\":["
     "{\"encoding\":\"identity\",\"bytes\":2048,\"made\":false,\"tier\":\"memory\"},"
     "{\"encoding\":\"zstd\",\"bytes\":512,\"made\":true,\"tier\":\"memory\"},"
     "{\"encoding\":\"gzip\",\"bytes\":600,\"made\":true,\"tier\":\"disk\"}]}]}",
     0, "GET", "/v1/cache?url=http://a/", "",
     "in memory, 0 hits, 0 tags\n  forms: identity 2.0 KiB, zstd 512 B (made, memory), "
     "gzip 600 B (made, disk)\n  etag x\n",
     ""},
    {"a form of unknown length", "cache get http://a/", 200,
     "{\"variants\":[{\"key\":\"k\",\"forms\":[{\"encoding\":\"br\",\"made\":false}]}]}", 0,
     "GET", "/v1/cache?url=http://a/", "", "\n  forms: br\n", ""},
    {"a key is told as a URL", "cache get http://a/", 200,
     "{\"variants\":[{\"key\":\"http|a.test:80|/h80?b|c\"}]}", 0, "GET",
     "/v1/cache?url=http://a/", "", "http://a.test/h80?b|c\n", ""},
    {"with a port of its own", "cache get http://a/", 200,
     "{\"variants\":[{\"key\":\"https|a.test:80|/\"}]}", 0, "GET", "/v1/cache?url=http://a/",
     "", "https://a.test:80/\n", ""},
    {"and an address", "cache get http://a/", 200,
     "{\"variants\":[{\"key\":\"https|[::1]:443|/\"}]}", 0, "GET", "/v1/cache?url=http://a/",
     "", "https://[::1]/\n", ""},
    {"and what else is in it", "cache get http://a/", 200,
     "{\"variants\":[{\"key\":\"http|a:80|/p lang=2:de ab=\"}]}", 0, "GET",
     "/v1/cache?url=http://a/", "", "http://a/p\n  with lang=2:de ab=\n", ""},
    {"nothing stored", "cache get http://a/", 200, "{\"variants\":[]}", 0, "GET",
     "/v1/cache?url=http://a/", "", "not stored", ""},
    {"a terminal's escapes are harmless", "cache get http://a/", 200,
     "{\"variants\":[{\"key\":\"\\u001b[2J\"}]}", 0, "GET", "/v1/cache?url=http://a/", "",
     "?[2J\n", ""},
    {"which URL?", "cache get", 0, "", 2, NULL, "", "", "", "which URL"},
    {"one too many", "cache get a b", 0, "", 2, NULL, "", "", "", "what is b?"},
    {"cache alone", "cache", 0, "", 2, NULL, "", "", "", "cache:"},
    {"cache stat", "cache stat", 200, STATUS, 0, "GET", "/v1/status", "",
     "objects  3, 2 in memory\nmemory   1.5 KiB of 1.0 MiB\ndisk     off\n", ""},
    {"status", "status", 200, STATUS, 0, "GET", "/v1/status", "",
     "node     n1, perigee 1, ready, up 1d 1h\nclients  2 connections, 1 worker\n", ""},
    {"status of origins", "status", 200, STATUS, 0, "GET", "/v1/status", "",
     "origin   app s:80: up, 1 request, 0 failed\n", ""},
    {"quiet", "status --quiet", 200, "{}", 0, "GET", "/v1/health", "", "", ""},
    {"quiet, not ready", "status --quiet", 503, "{}", 1, "GET", "/v1/health", "", "", ""},
    {"status of a cluster", "status", 200,
     "{\"node\":\"a\",\"cluster\":{\"on\":true,\"alive\":3,\"failed\":1}}", 0, "GET",
     "/v1/status", "", "cluster  3 alive, 1 failed\n", ""},
    {"status of a node whose id is taken", "status", 200,
     "{\"node\":\"a\",\"cluster\":{\"on\":true,\"id_taken\":true}}", 0, "GET", "/v1/status", "",
     "ANOTHER NODE HAS THIS ID\n", ""},
    {"status alone", "status", 200, "{\"node\":\"a\",\"cluster\":{\"on\":false}}", 0, "GET",
     "/v1/status", "", "cluster  off\n", ""},
    {"nodes", "nodes", 200, NODES, 0, "GET", "/v1/nodes", "",
     "ID       REGION    ADDRESS                STATE             RTT   LOAD  VERSION\n"
     "n1       eu        192.0.2.1:7946         alive         0.00 ms     7%  0.1  *\n"
     "agent?7  -         192.0.2.2:7946         failed        1.50 ms      -  (serf agent)\n"
     "n2       -         192.0.2.3:7946         draining            -      -  0.1\n",
     ""},
    {"nodes of one that works alone", "nodes", 200, "{\"cluster\":false,\"nodes\":[]}", 0,
     "GET", "/v1/nodes", "", "no cluster: this node works alone\nID ", ""},
    {"nodes as they came", "nodes --json", 200, NODES, 0, "GET", "/v1/nodes", "",
     "{\"cluster\":true", ""},
    {"forget", "nodes forget n.1/x", 200, "{\"forgotten\":\"n.1/x\"}", 0, "DELETE",
     "/v1/nodes/n.1%2Fx", "", "forgotten n.1/x\n", ""},
    {"forget who lives", "nodes forget n1", 409, "{\"error\":\"this node is alive\"}", 1,
     "DELETE", "/v1/nodes/n1", "", "", "status 409: this node is alive"},
    {"forget whom?", "nodes forget", 0, "", 2, NULL, "", "", "", "forget ID"},
    {"what else?", "nodes drain n1", 0, "", 2, NULL, "", "", "", "forget ID"},
    {"not JSON", "status", 200, "<html>", 1, "GET", "/v1/status", "", "", "no JSON"},
    {"reload", "reload", 200, "{\"reloaded\":true,\"file\":\"p.yaml\",\"faults\":[]}", 0,
     "POST", "/v1/reload", "", "reloaded p.yaml\n", ""},
    {"reload refused", "reload", 422,
     "{\"reloaded\":false,\"file\":\"p.yaml\",\"faults\":[{\"line\":3,\"column\":5,\"warning\":"
     "false,\"message\":\"bad\"},{\"line\":0,\"warning\":true,\"message\":\"hm\"}]}",
     1, "POST", "/v1/reload", "", "", "p.yaml:3:5: bad\np.yaml: warning: hm\nnot reloaded"},
    {"a token that is not there", "status --token-file /nonexistent", 0, "", 1, NULL, "", "",
     "", "/nonexistent"},
    {"an address that is no URL", "status --admin 127.0.0.1:9443", 0, "", 2, NULL, "", "", "",
     "--admin"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct node n = {.status = rows[i].status, .body = rows[i].body};
        char *out, *err;
        int code = run(rows[i].line, &n, &out, &err);
        if (code != rows[i].want || n.asked != (rows[i].want_method != NULL) ||
            !strstr(out, rows[i].want_out) || !strstr(err, rows[i].want_err))
            fail_msg("%s: %d\n%s%s", rows[i].why, code, out, err);
        if (rows[i].want_method && (strcmp(n.method, rows[i].want_method) != 0 ||
                                    strcmp(n.target, rows[i].want_target) != 0 ||
                                    strcmp(n.question, rows[i].want_question) != 0))
            fail_msg("%s: %s %s %s", rows[i].why, n.method, n.target, n.question);
        if (!strcmp(rows[i].line, "status --quiet") && (*out || *err))
            fail_msg("%s: said something", rows[i].why);
        free(out);
        free(err);
    }
}

static void test_where(void **state)
{
    (void)state;
    char path[] = "/tmp/perigee-cli-XXXXXX", line[128], *out, *err;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "secret-token\n", 13), 13);
    close(fd);
    struct node n = {.status = 200, .body = STATUS};
    assert_int_equal(run("status", &n, &out, &err), 0);
    assert_string_equal(n.url, "http://127.0.0.1:9443");
    assert_string_equal(n.token, "");
    free(out);
    free(err);

    setenv("PERIGEE_ADMIN", "https://n:1/", 1);
    setenv("PERIGEE_TOKEN_FILE", path, 1);
    assert_int_equal(run("status", &n, &out, &err), 0);
    assert_string_equal(n.url, "https://n:1");
    assert_string_equal(n.token, "secret-token");
    assert_true(!n.ca && !n.insecure);
    free(out);
    free(err);

    setenv("PERIGEE_TOKEN_FILE", "/nonexistent", 1);
    snprintf(line, sizeof line,
             "status --ca ca.pem --insecure --admin=http://m --token-file %s", path);
    assert_int_equal(run(line, &n, &out, &err), 0);
    assert_string_equal(n.url, "http://m");
    assert_string_equal(n.token, "secret-token");
    assert_string_equal(n.ca, "ca.pem");
    assert_true(n.insecure);
    free(out);
    free(err);
    unsetenv("PERIGEE_ADMIN");
    unsetenv("PERIGEE_TOKEN_FILE");

    n.err = ERR_SYS;
    assert_int_equal(run("status", &n, &out, &err), 1);
    assert_string_equal(err, "perigee: http://127.0.0.1:9443: connection refused\n");
    free(out);
    free(err);
    unlink(path);
}

static void test_limit(void **state)
{
    (void)state;
    for (unsigned count = 256; count <= 257; count++) {
        struct node n = {.status = 200, .body = PURGED};
        char line[2048] = "purge --tag", *out, *err;
        for (unsigned i = 0; i < count; i++)
            strcat(line, " x");
        assert_int_equal(run(line, &n, &out, &err), count == 256 ? 0 : 2);
        free(out);
        free(err);
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_true(cli_knows("purge") && cli_knows("cache") && cli_knows("status") &&
                cli_knows("reload"));
    assert_false(cli_knows("serve") || cli_knows("") || cli_knows("purg"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_where),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
