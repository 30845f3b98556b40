#include "node/setup/setup.h"

#include "conf/load.h"
#include "tests/unit/node/io/fixture.h"

static struct conf *load(const char *fmt, ...) PRINTF_LIKE(1, 2);
static struct conf *load(const char *fmt, ...)
{
    static char text[8192];
    struct conf_faults faults = {0};
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    assert_true(len > 0 && (size_t)len < sizeof(text));
    struct conf *c = conf_load_text(span_of(text, (size_t)len), "test.yaml", &faults);
    for (uint32_t i = 0; i < faults.count && !c; i++)
        print_message("%d: %s\n", faults.at[i].line, faults.at[i].message);
    assert_non_null(c);
    conf_faults_fini(&faults);
    return c;
}

#define SITE "sites:\n  - { name: www, hosts: [www.example], routes: [{ origin: app }] }\n"
#define PLAIN                                                                                  \
    "listeners:\n  - { name: web, address: \"127.0.0.1:8080\" }\n"                             \
    "origins:\n  app: { servers: [{ url: \"http://10.0.0.1\" }] }\n" SITE

static void smallest(void **state)
{
    (void)state;
    struct conf_faults faults = {0};
    struct setup *s = setup_create(load(PLAIN), NULL, NULL, 1234, &faults);
    assert_non_null(s);
    assert_int_equal(s->serial, 1);
    assert_int_equal(s->loaded_at_s, 1234);
    assert_int_equal(s->conf->listener_count, 1);
    assert_ptr_equal(s->listeners[0].conf, &s->conf->listeners[0]);
    assert_null(s->listeners[0].tls);
    assert_null(s->listeners[0].trusted_proxies);
    assert_int_equal(s->listeners[0].https_port, 443);
    assert_string_equal(s->origins[0]->conf.name, "app");
    assert_null(s->admin_tls);
    struct setup_match m =
        setup_sites_find(s->sites, SPAN("www.example"), SPAN("/"), SPAN("GET"));
    assert_true(m.route && m.route->origin_index == 0);
    assert_ptr_equal(setup_hold(s), s);
    setup_drop(s);
    assert_int_equal(s->serial, 1);
    setup_drop(s);
    setup_drop(NULL);
}

static void listeners(void **state)
{
    (void)state;
    struct conf_faults faults = {0};
    struct addr proxy, other;
    struct conf *c = load("listeners:\n"
                          "  - { name: web, address: \"127.0.0.1:8080\", "
                          "redirect_https: true }\n"
                          "  - name: tls\n"
                          "    address: \"127.0.0.1:8443\"\n"
                          "    trusted_proxies: [10.0.0.0/8]\n"
                          "    tls: { certificates: [{ cert: %s, key: %s }] }\n"
                          "  - name: more\n"
                          "    address: \"127.0.0.1:9443\"\n"
                          "    tls: { certificates: [{ cert: %s, key: %s }] }\n"
                          "admin:\n  listen: 127.0.0.1:9000\n"
                          "  tls: { cert: %s, key: %s }\n"
                          "origins:\n  app: { servers: [{ url: \"http://10.0.0.1\" }] }\n" SITE,
                          fixture_path("a.crt"), fixture_path("a.key"), fixture_path("b.crt"),
                          fixture_path("b.key"), fixture_path("a.crt"), fixture_path("a.key"));
    struct setup *s = setup_create(c, NULL, NULL, 1, &faults);
    assert_non_null(s);
    assert_int_equal(addr_parse(SPAN("10.1.2.3"), &proxy), ERR_OK);
    assert_int_equal(addr_parse(SPAN("11.1.2.3"), &other), ERR_OK);
    assert_null(s->listeners[0].tls);
    assert_true(s->listeners[0].conf->redirect_https);
    assert_int_equal(s->listeners[0].https_port, 8443); /* of the first with TLS */
    assert_non_null(s->listeners[1].tls);
    assert_true(cidr_holds(s->listeners[1].trusted_proxies, &proxy));
    assert_false(cidr_holds(s->listeners[1].trusted_proxies, &other));
    assert_non_null(s->listeners[2].tls);
    assert_ptr_not_equal(s->listeners[1].tls, s->listeners[2].tls);
    assert_null(s->listeners[2].trusted_proxies);
    assert_non_null(s->admin_tls);
    setup_drop(s);
}

/* Every fault, of every part, in one list in the file's order. */
static void faults_of_all(void **state)
{
    (void)state;
    struct conf_faults faults = {0};
    struct conf *c = load("listeners:\n" /* line 1 */
                          "  - name: tls\n"
                          "    address: \"127.0.0.1:8443\"\n"
                          "    tls:\n"
                          "      certificates:\n"
                          "        - { cert: %s, key: %s }\n" /* 6 */
                          "        - { cert: /nowhere/x.crt, key: %s }\n"
                          "admin:\n"
                          "  listen: 127.0.0.1:9000\n"
                          "  tls: { cert: /nowhere/y.crt, key: %s }\n"
                          "origins:\n"
                          "  app: { servers: [{ url: \"https://10.0.0.1\" }], "
                          "tls: { ca: /nowhere/z.pem } }\n" SITE, /* 12 */
                          fixture_path("a.crt"), fixture_path("b.key"), fixture_path("a.key"),
                          fixture_path("a.key"));
    assert_null(setup_create(c, NULL, NULL, 1, &faults));
    assert_int_equal(faults.errors, 4);
    static const char *words[] = {"does not match", "x.crt", "y.crt", "z.pem"};
    for (uint32_t i = 0; i < 4; i++) {
        if (!span_contains(span_text(faults.at[i].message), span_text(words[i])))
            fail_msg("%u: %s", i, faults.at[i].message);
        assert_true(faults.at[i].line > 0);
    }
    conf_faults_fini(&faults);
}

static void counts_only_its_own(void **state)
{
    (void)state;
    struct conf_faults faults = {0};
    conf_fault_warn(&faults, (struct conf_place){9, 1}, "a warning");
    struct setup *s = setup_create(load(PLAIN), NULL, NULL, 1, &faults);
    assert_non_null(s); /* a warning refuses nothing */
    assert_int_equal(faults.count, 1);
    setup_drop(s);
    conf_faults_fini(&faults);
}

#define TWO(app, img)                                                                          \
    "listeners:\n  - { name: web, address: \"127.0.0.1:8080\" }\n"                             \
    "origins:\n  " app "\n  " img "\n"                                                         \
    "sites:\n  - name: www\n    hosts: [www.example]\n    routes:\n"                           \
    "      - { match: { path: /img/* }, origin: img }\n      - { origin: app }\n"

static const struct origin *origin_named(const struct setup *s, const char *name)
{
    for (uint32_t i = 0; i < s->conf->origin_count; i++)
        if (strcmp(s->conf->origins[i].name, name) == 0)
            return s->origins[i];
    return NULL;
}

static void reloads(void **state)
{
    (void)state;
    struct conf_faults faults = {0};
    struct setup *old =
        setup_create(load(TWO("app: { servers: [{ url: \"http://10.0.0.1\" }] }",
                              "img: { servers: [{ url: \"http://10.0.0.2\" }] "
                              "}")),
                     NULL, NULL, 1, &faults);
    assert_non_null(old);
    atomic_store(&old->origins[0]->servers[0].requests, 5);
    struct origin *app = old->origins[0];
    assert_string_equal(app->conf.name, "app");
    /* In another order, and the other one has changed. */
    struct setup *s = setup_create(load(TWO("img: { servers: [{ url: \"http://10.0.0.3\" }] }",
                                            "app: { servers: [{ url: \"http://10.0.0.1\" }] "
                                            "}")),
                                   NULL, old, 2, &faults);
    assert_non_null(s);
    assert_int_equal(s->serial, 2);
    assert_int_equal(s->loaded_at_s, 2);
    assert_ptr_equal(origin_named(s, "app"), app);
    assert_ptr_not_equal(origin_named(s, "img"), origin_named(old, "img"));
    assert_string_equal(origin_named(s, "img")->servers[0].conf->host, "10.0.0.3");
    /* The shared one outlives the setup that made it, and the configuration it was made of. */
    setup_drop(old);
    assert_int_equal(atomic_load(&app->servers[0].requests), 5);
    assert_string_equal(app->servers[0].conf->host, "10.0.0.1");
    /* A refused one takes nothing along. */
    assert_null(setup_create(load(TWO("app: { servers: [{ url: \"http://10.0.0.1\" }] }",
                                      "img: { servers: [{ url: \"https://10.0.0.3\" }], tls: { "
                                      "ca: /nowhere/ca.pem } }")),
                             NULL, s, 3, &faults));
    assert_int_equal(faults.errors, 1);
    assert_int_equal(atomic_load(&app->holders), 1);
    setup_drop(s);
    conf_faults_fini(&faults);
}

static int make(void **state)
{
    (void)state;
    fixture_certificate("a", "a", "DNS:www.example", NULL);
    fixture_certificate("b", "b", "DNS:b.example", NULL);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    fixture_clean();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smallest),      cmocka_unit_test(listeners),
        cmocka_unit_test(faults_of_all), cmocka_unit_test(counts_only_its_own),
        cmocka_unit_test(reloads),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
