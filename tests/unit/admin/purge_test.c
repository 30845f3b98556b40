#include "tests/unit/admin/node.h"

#include "admin/purge.h"

static const char *shop_hosts[] = {"shop.example"};
static struct conf_site sites[] = {{.name = "shop", .hosts = {shop_hosts, 1}}};
static const struct conf conf = {
    .file = "p.yaml", .node = {.id = "n1", .region = ""}, .sites = sites, .site_count = 1};

static void post(struct admin *admin, const char *body, const char *key, int64_t now_ms,
                 struct heard *h)
{
    struct arena arena;
    arena_init(&arena, 65536);
    struct http_request http = {.method = HTTP_POST, .target = SPAN("/v1/purge")};
    if (key)
        assert_true(
            http_fields_add(&http.fields, &arena, SPAN("idempotency-key"), span_text(key)));
    struct admin_request r = {.request = &http,
                              .body = span_text(body),
                              .local = true,
                              .now_ms = now_ms,
                              .now_s = 2000};
    admin_handle(admin, &r, hear, h);
    arena_fini(&arena);
}

#define SELECTORS(s) "{\"type\":\"url\",\"selectors\":" s "}"
#define AT_SHOP(type, selector)                                                                \
    "{\"type\":\"" type "\",\"selectors\":[\"" selector "\"],\"site\":\"shop\"}"

static const struct {
    const char *why, *body;
    unsigned want;
    const char *want_text;
} rows[] = {
    {"url", SELECTORS("[\"http://a/b\"]"), 200, "\"mode\":\"hard\""},
    {"soft", "{\"type\":\"tag\",\"selectors\":[\"x\"],\"mode\":\"soft\"}", 200,
     "\"mode\":\"soft\""},
    {"all", "{\"type\":\"all\"}", 200, "\"selectors\":1"},
    {"all, empty list", "{\"type\":\"all\",\"selectors\":[]}", 200, ""},
    {"all with selectors", "{\"type\":\"all\",\"selectors\":[\"x\"]}", 400, "no selectors"},
    {"path", "{\"type\":\"path\",\"selectors\":[\"/a?b\"]}", 200, ""},
    {"prefix", "{\"type\":\"prefix\",\"selectors\":[\"shop.example/a/\"]}", 200, ""},
    {"host", "{\"type\":\"host\",\"selectors\":[\"shop.example\"]}", 200, ""},
    {"several", SELECTORS("[\"http://a/b\",\"https://c/d\"]"), 200, "\"selectors\":2"},
    {"site", "{\"type\":\"tag\",\"selectors\":[\"x\"],\"site\":\"shop\"}", 200, ""},
    {"unknown site", "{\"type\":\"tag\",\"selectors\":[\"x\"],\"site\":\"x\"}", 400, "site"},
    {"dry run", "{\"type\":\"tag\",\"selectors\":[\"x\"],\"dry_run\":true}", 200,
     "\"objects\":42"},
    {"wait", "{\"type\":\"tag\",\"selectors\":[\"x\"],\"wait\":\"500ms\"}", 200, ""},
    {"wait too long", "{\"type\":\"tag\",\"selectors\":[\"x\"],\"wait\":\"61s\"}", 400, "wait"},
    {"wait without unit", "{\"type\":\"tag\",\"selectors\":[\"x\"],\"wait\":\"2\"}", 400,
     "wait"},
    {"wait as a number", "{\"type\":\"tag\",\"selectors\":[\"x\"],\"wait\":2}", 400, "wait"},
    {"no type", "{\"selectors\":[\"x\"]}", 400, "type"},
    {"another type", "{\"type\":\"glob\",\"selectors\":[\"x\"]}", 400, "type"},
    {"another mode", "{\"type\":\"tag\",\"selectors\":[\"x\"],\"mode\":\"x\"}", 400, "mode"},
    {"dry_run as text", "{\"type\":\"tag\",\"selectors\":[\"x\"],\"dry_run\":\"true\"}", 400,
     "dry_run"},
    {"unknown member", "{\"type\":\"tag\",\"selectors\":[\"x\"],\"tpye\":1}", 400, "tpye"},
    {"no selectors", "{\"type\":\"tag\"}", 400, "selectors"},
    {"empty list", "{\"type\":\"tag\",\"selectors\":[]}", 400, "selectors"},
    {"no list", "{\"type\":\"tag\",\"selectors\":\"x\"}", 400, "selectors"},
    {"a number among them", SELECTORS("[\"http://a/b\",1]"), 400, "selector 2: not a string"},
    {"a path for a URL", SELECTORS("[\"/a\"]"), 400, "selector 1: not a URL like"},
    {"a host with a wildcard", "{\"type\":\"host\",\"selectors\":[\"*.shop.example\"]}", 400,
     "selector 1: not a host name, no wildcard"},
    {"a prefix without path", "{\"type\":\"prefix\",\"selectors\":[\"shop.example\"]}", 400,
     "selector 1: not host/path with at least one"},
    {"a path without slash", "{\"type\":\"path\",\"selectors\":[\"a\"]}", 400,
     "selector 1: not a path that begins with"},
    {"url of the site", AT_SHOP("url", "https://shop.example/a"), 200, ""},
    {"url of another site", AT_SHOP("url", "https://other.example/a"), 400,
     "selector 1: its host is not one of the site"},
    {"host of the site", AT_SHOP("host", "Shop.example"), 200, ""},
    {"host of another site", AT_SHOP("host", "other.example"), 400, "selector 1: its host"},
    {"prefix of the site", AT_SHOP("prefix", "shop.example/a/"), 200, ""},
    {"prefix of another site", AT_SHOP("prefix", "shop.example.other/a/"), 400,
     "selector 1: its host"},
    {"a fragment", SELECTORS("[\"http://a/b#c\"]"), 400, "selector 1"},
    {"an empty tag", "{\"type\":\"tag\",\"selectors\":[\"\"]}", 400, "selector 1"},
    {"duplicate key", "{\"type\":\"all\",\"type\":\"all\"}", 400, "duplicate"},
    {"trailing bytes", "{\"type\":\"all\"}x", 400, "line 1"},
    {"no object", "[]", 400, "object"},
    {"nothing", "", 400, ""},
};

static void test_rows(void **state)
{
    (void)state;
    struct node node = {.at_once = true, .ready = true};
    struct conf_faults faults = {0};
    struct admin *admin = admin_create(&conf, &node_actions, &node, &faults);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        static struct heard h;
        h.answers = 0;
        node.purges = node.counts = 0;
        post(admin, rows[i].body, NULL, 0, &h);
        if (h.answers != 1 || h.status != rows[i].want || !strstr(h.body, rows[i].want_text) ||
            node.purges + node.counts != (h.status == 200))
            fail_msg("%s: %u answers, %u %s", rows[i].why, h.answers, h.status, h.body);
    }
    admin_destroy(admin);
}

static void test_selector_limits(void **state)
{
    (void)state;
    static char body[300 * 8 + 9000];
    struct node node = {.at_once = true};
    struct conf_faults faults = {0};
    struct admin *admin = admin_create(&conf, &node_actions, &node, &faults);
    static struct heard h;
    for (unsigned count = 256; count <= 257; count++) {
        size_t at = (size_t)sprintf(body, "{\"type\":\"tag\",\"selectors\":[");
        for (unsigned i = 0; i < count; i++)
            at += (size_t)sprintf(body + at, "%s\"t%u\"", i ? "," : "", i);
        sprintf(body + at, "]}");
        post(admin, body, NULL, 0, &h);
        assert_int_equal(h.status, count == 256 ? 200 : 400);
    }
    assert_int_equal(node.last_count, 256);
    for (size_t bytes = PURGE_SELECTOR_MAX; bytes <= PURGE_SELECTOR_MAX + 1; bytes++) {
        size_t at = (size_t)sprintf(body, "{\"type\":\"tag\",\"selectors\":[\"");
        memset(body + at, 'a', bytes);
        sprintf(body + at + bytes, "\"]}");
        post(admin, body, NULL, 0, &h);
        assert_int_equal(h.status, bytes == PURGE_SELECTOR_MAX ? 200 : 400);
    }
    admin_destroy(admin);
}

static void finish(struct node *n, enum err err)
{
    struct admin_purge_done done = {err, ADMIN_PURGE_EVERYWHERE, 0xabc, n->seq};
    n->answered(n->admin, n->ticket, &done);
}

static void test_waiting(void **state)
{
    (void)state;
    struct node node = {0};
    struct conf_faults faults = {0};
    struct admin *admin = admin_create(&conf, &node_actions, &node, &faults);
    static struct heard h;
    const char *body = "{\"type\":\"all\",\"wait\":\"2s\"}";

    post(admin, body, NULL, 1000, &h);
    assert_int_equal(h.answers, 0); /* until it is on disk */
    finish(&node, ERR_OK);
    assert_true(h.answers == 1 && h.status == 200);
    finish(&node, ERR_OK); /* a ticket counts once */
    assert_int_equal(h.answers, 1);

    h.answers = 0;
    post(admin, body, NULL, 1000, &h);
    finish(&node, ERR_SYS);
    assert_true(h.answers == 1 && h.status == 503);
    assert_non_null(strstr(h.body, "\"applied\":[],\"pending\":[\"n1\"]"));

    h.answers = 0;
    post(admin, body, NULL, 1000, &h);
    finish(&node, ERR_SYNTAX);
    assert_true(h.answers == 1 && h.status == 400);

    /* the disk hangs: answered in the end, and once */
    h.answers = 0;
    post(admin, body, NULL, 1000, &h);
    admin_tick(admin, 10999);
    assert_int_equal(h.answers, 0);
    admin_tick(admin, 11000);
    assert_true(h.answers == 1 && h.status == 503);
    admin_tick(admin, 20000);
    finish(&node, ERR_OK);
    assert_int_equal(h.answers, 1);

    /* who went away is not called */
    h.answers = 0;
    post(admin, body, NULL, 1000, &h);
    admin_forget(admin, &h);
    finish(&node, ERR_OK);
    admin_tick(admin, 90000);
    assert_int_equal(h.answers, 0);
    admin_destroy(admin);
}

/* It is no purge, whatever becomes of it. */
static void test_slow_count(void **state)
{
    (void)state;
    struct node node = {.counts_slowly = true};
    struct conf_faults faults = {0};
    struct admin *admin = admin_create(&conf, &node_actions, &node, &faults);
    static struct heard h;
    const char *body = "{\"type\":\"all\",\"dry_run\":true,\"wait\":\"0\"}";
    post(admin, body, NULL, 1000, &h);
    admin_tick(admin, 60999);
    assert_int_equal(h.answers, 0);
    admin_tick(admin, 61000);
    assert_true(h.answers == 1 && h.status == 503);
    assert_non_null(strstr(h.body, "nothing was purged"));
    assert_null(strstr(h.body, "nodes"));
    node.counted(admin, node.ticket, 7); /* too late, and its place is free again */
    assert_int_equal(h.answers, 1);
    h.answers = 0;
    post(admin, body, NULL, 1000, &h);
    node.counted(admin, node.ticket, 7);
    assert_true(h.answers == 1 && h.status == 200 && strstr(h.body, "\"objects\":7"));
    assert_int_equal(node.purges, 0);
    admin_destroy(admin);
}

static void stage(struct node *n, enum admin_purge_stage stage)
{
    struct admin_purge_done done = {ERR_OK, stage, 0xabc, n->seq};
    n->answered(n->admin, n->ticket, &done);
}

static void get_purge(struct admin *admin, struct heard *h)
{
    struct http_request http = {.method = HTTP_GET, .target = SPAN("/v1/purges/abc:7")};
    struct admin_request r = {.request = &http, .local = true, .now_ms = 1000, .now_s = 2000};
    admin_handle(admin, &r, hear, h);
}

#define APPLIED ADMIN_PURGE_APPLIED
#define PENDING ADMIN_PURGE_PENDING
#define UNREACHABLE ADMIN_PURGE_UNREACHABLE
static const enum admin_purge_confirmed one_waits[] = {APPLIED, PENDING, APPLIED},
                                        one_is_away[] = {APPLIED, APPLIED, UNREACHABLE},
                                        all_have_it[] = {APPLIED, APPLIED, APPLIED};
#define ONE_WAITS "{\"applied\":[\"n1\",\"n3\"],\"pending\":[\"n2\"],\"unreachable\":[]}"
#define ONE_IS_AWAY "{\"applied\":[\"n1\",\"n2\"],\"pending\":[],\"unreachable\":[\"n3\"]}"
#define ALL_HAVE_IT "{\"applied\":[\"n1\",\"n2\",\"n3\"],\"pending\":[],\"unreachable\":[]}"

/* 200 only when every member has it; what is short of that is 202, with names. */
static void test_stages(void **state)
{
    (void)state;
    struct node node = {.confirmed = one_waits};
    struct conf_faults faults = {0};
    struct admin *admin = admin_create(&conf, &node_actions, &node, &faults);
    static struct heard h;
    const char *body = "{\"type\":\"all\",\"wait\":\"3s\"}";

    post(admin, body, NULL, 1000, &h);
    stage(&node, ADMIN_PURGE_HERE);
    admin_tick(admin, 3999);
    assert_true(h.answers == 0 && node.left == 0);
    node.confirmed = all_have_it;
    stage(&node, ADMIN_PURGE_EVERYWHERE);
    assert_true(h.answers == 1 && h.status == 200 && strstr(h.body, ALL_HAVE_IT));
    assert_int_equal(node.left, 0); /* it was the last call */

    h.answers = 0; /* the wait is over */
    node.confirmed = one_waits;
    post(admin, body, NULL, 1000, &h);
    stage(&node, ADMIN_PURGE_HERE);
    admin_tick(admin, 4000);
    assert_true(h.answers == 1 && h.status == 202 && strstr(h.body, ONE_WAITS));
    assert_int_equal(node.left, node.ticket);
    stage(&node, ADMIN_PURGE_EVERYWHERE);
    assert_int_equal(h.answers, 1);

    h.answers = 0; /* without `wait`: two seconds */
    post(admin, "{\"type\":\"all\"}", NULL, 1000, &h);
    stage(&node, ADMIN_PURGE_HERE);
    admin_tick(admin, 2999);
    assert_int_equal(h.answers, 0);
    admin_tick(admin, 3000);
    assert_true(h.answers == 1 && h.status == 202);

    h.answers = 0; /* who is not there is not waited for */
    node.confirmed = one_is_away;
    post(admin, body, NULL, 1000, &h);
    stage(&node, ADMIN_PURGE_SETTLED);
    assert_true(h.answers == 1 && h.status == 202 && strstr(h.body, ONE_IS_AWAY));
    assert_int_equal(node.left, node.ticket);

    h.answers = 0; /* no wait at all, but for the own disk */
    post(admin, "{\"type\":\"all\",\"wait\":\"0\"}", NULL, 1000, &h);
    admin_tick(admin, 10999);
    assert_int_equal(h.answers, 0);
    stage(&node, ADMIN_PURGE_HERE);
    assert_true(h.answers == 1 && h.status == 202);

    h.answers = 0; /* who went away: the node is told once the disk has answered */
    post(admin, body, NULL, 1000, &h);
    admin_forget(admin, &h);
    assert_int_not_equal(node.left, node.ticket);
    stage(&node, ADMIN_PURGE_HERE);
    assert_int_equal(node.left, node.ticket);
    post(admin, body, NULL, 1000, &h);
    stage(&node, ADMIN_PURGE_HERE);
    admin_forget(admin, &h);
    assert_int_equal(node.left, node.ticket);
    assert_int_equal(h.answers, 0);

    post(admin, body, "k", 1000, &h); /* told again: how far it has come since */
    stage(&node, ADMIN_PURGE_SETTLED);
    assert_int_equal(h.status, 202);
    unsigned purges = node.purges;
    post(admin, body, "k", 1000, &h);
    assert_int_equal(h.status, 202);
    get_purge(admin, &h);
    assert_true(h.status == 200 && strstr(h.body, ONE_IS_AWAY));
    node.confirmed = all_have_it;
    post(admin, body, "k", 1000, &h);
    assert_true(h.status == 200 && strstr(h.body, ALL_HAVE_IT));
    get_purge(admin, &h);
    assert_true(h.status == 200 && strstr(h.body, ALL_HAVE_IT));
    assert_int_equal(node.purges, purges);
    admin_destroy(admin);
}

/* More than can wait: the purge is in effect all the same, and the answer says what is missing.
 */
static void test_full(void **state)
{
    (void)state;
    struct node node = {0};
    struct conf_faults faults = {0};
    struct admin *admin = admin_create(&conf, &node_actions, &node, &faults);
    static struct heard h;
    for (unsigned i = 0; i < ADMIN_PENDING_MAX; i++)
        post(admin, "{\"type\":\"all\"}", NULL, 0, &h);
    assert_int_equal(h.answers, 0);
    uint64_t last = node.ticket;
    post(admin, "{\"type\":\"all\"}", NULL, 0, &h);
    assert_true(h.answers == 1 && h.status == 503);
    assert_int_equal(node.purges, ADMIN_PENDING_MAX + 1);
    finish(&node, ERR_OK); /* the one without a ticket */
    assert_int_equal(h.answers, 1);
    post(admin, "{\"type\":\"tag\",\"selectors\":[\"x\"],\"dry_run\":true}", NULL, 0, &h);
    assert_true(h.answers == 2 && h.status == 503);
    node.ticket = last;
    finish(&node, ERR_OK);
    assert_true(h.answers == 3 && h.status == 200);
    node.at_once = true; /* and there is room again */
    post(admin, "{\"type\":\"all\"}", NULL, 0, &h);
    assert_true(h.answers == 4 && h.status == 200);
    admin_destroy(admin);
}

static void test_repeats(void **state)
{
    (void)state;
    struct node node = {0};
    struct conf_faults faults = {0};
    struct admin *admin = admin_create(&conf, &node_actions, &node, &faults);
    static struct heard first, again;
    const char *body = "{\"type\":\"all\"}";

    post(admin, body, "k1", 1000, &first);
    post(admin, body, "k1", 1000, &again);
    assert_int_equal(again.status, 409); /* under way */
    assert_string_equal(again.fields, "retry-after: 1\n");
    finish(&node, ERR_OK);
    assert_int_equal(first.status, 200);
    post(admin, body, "k1", 2000, &again);
    assert_int_equal(again.status, 200);
    assert_string_equal(first.body, again.body); /* the same id */
    assert_int_equal(node.purges, 1);
    post(admin, "{\"type\":\"all\",\"mode\":\"soft\"}", "k1", 2000, &again);
    assert_int_equal(again.status, 422);
    post(admin, body, "k2", 2000, &again); /* another key is another call */
    finish(&node, ERR_OK);
    assert_int_equal(node.purges, 2);
    post(admin, body, "k1", 601000, &again); /* forgotten by now */
    finish(&node, ERR_SYS);
    assert_int_equal(again.status, 503);
    assert_int_equal(node.purges, 3);
    post(admin, body, "k1", 601001, &again); /* what failed may be tried again */
    finish(&node, ERR_OK);
    assert_int_equal(again.status, 200);
    assert_int_equal(node.purges, 4);
    post(admin, body, "", 2000, &again);
    assert_int_equal(again.status, 400);
    admin_destroy(admin);
}

static void test_rate(void **state)
{
    (void)state;
    struct conf limited = conf;
    limited.admin.purge_rate = 10; /* a second; a whole call fits: 256 at once */
    struct node node = {.at_once = true};
    struct conf_faults faults = {0};
    struct admin *admin = admin_create(&limited, &node_actions, &node, &faults);
    static struct heard h;
    const char *two = SELECTORS("[\"http://a/b\",\"http://a/c\"]");
    for (int i = 0; i < 128; i++)
        post(admin, two, NULL, 1000, &h);
    assert_int_equal(h.status, 200);
    post(admin, two, "k", 1000, &h);
    assert_int_equal(h.status, 429);
    assert_string_equal(h.fields, "retry-after: 1\n");
    post(admin, two, "k", 1199, &h); /* 1.99 are back */
    assert_int_equal(h.status, 429);
    post(admin, two, "k", 1200, &h); /* refused calls leave no key behind */
    assert_int_equal(h.status, 200);
    post(admin, "{\"type\":\"all\"}", NULL, 1200, &h);
    assert_int_equal(h.status, 429);
    post(admin, "{\"type\":\"all\"}", NULL, INT64_C(1) << 40, &h);
    assert_int_equal(h.status, 200);
    post(admin, "{\"type\":\"all\"}", NULL, 5, &h); /* a clock that steps back gives nothing */
    assert_int_equal(h.status, 200);
    admin_destroy(admin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_selector_limits),
        cmocka_unit_test(test_waiting), cmocka_unit_test(test_full),
        cmocka_unit_test(test_repeats), cmocka_unit_test(test_rate),
        cmocka_unit_test(test_stages),  cmocka_unit_test(test_slow_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
