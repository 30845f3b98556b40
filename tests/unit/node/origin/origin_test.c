#include "node/origin/origin.h"

#include "tests/unit/node/io/fixture.h"

static const char *hidden[] = {"x-powered-by", "x-debug-*"};
static struct conf_name_value added[] = {{"x-from", "perigee"}, {"x-key", "1"}};

/* What each row changes lies in memory of its own, so that the text counts, not the pointer. */
struct sample {
    struct conf_origin_server servers[2];
    const char *hide[2];
    struct conf_name_value add[2];
    struct conf_origin conf;
};

static void sample_init(struct sample *s)
{
    *s = (struct sample){
        .servers = {{.host = "10.0.0.1", .port = 8080, .authority = "10.0.0.1:8080"},
                    {.host = "b.example", .port = 80, .authority = "b.example"}},
        .hide = {hidden[0], hidden[1]},
        .add = {added[0], added[1]},
    };
    s->conf = (struct conf_origin){
        .name = "app",
        .host = CONF_HOST_NAME,
        .host_name = "app.example",
        .verify = true,
        .ca = "",
        .hide = {s->hide, 2},
        .add = s->add,
        .add_count = 2,
        .retry_max = 1,
        .servers = s->servers,
        .server_count = 2,
        .place = {.line = 7, .column = 3},
    };
}

static void copies(void **state)
{
    (void)state;
    struct sample s;
    struct conf_faults faults = {0};
    sample_init(&s);
    char name[] = "app", host[] = "10.0.0.1";
    s.conf.name = name;
    s.servers[0].host = host;
    struct origin *o = origin_create(&s.conf, &faults);
    assert_non_null(o);
    memset(name, 'x', sizeof(name) - 1);
    memset(host, 'x', sizeof(host) - 1);
    memset(&s, 'x', sizeof(s));
    assert_string_equal(o->conf.name, "app");
    assert_string_equal(o->conf.host_name, "app.example");
    assert_string_equal(o->conf.hide.at[1], "x-debug-*");
    assert_string_equal(o->conf.add[1].name, "x-key");
    assert_string_equal(o->conf.add[0].value, "perigee");
    assert_int_equal(o->conf.server_count, 2);
    assert_string_equal(o->servers[0].conf->host, "10.0.0.1");
    assert_int_equal(o->servers[0].conf->port, 8080);
    assert_string_equal(o->servers[1].conf->authority, "b.example");
    assert_int_equal(atomic_load(&o->servers[1].in_flight), 0);
    assert_null(o->tls);
    assert_ptr_equal(origin_hold(o), o);
    origin_drop(o);
    assert_string_equal(o->conf.name, "app"); /* one holder is left */
    origin_drop(o);
    origin_drop(NULL);
    assert_int_equal(faults.count, 0);
}

static void rename_it(struct sample *s)
{
    s->conf.name = "other";
}
static void other_host(struct sample *s)
{
    s->conf.host = CONF_HOST_PASS;
}
static void other_host_name(struct sample *s)
{
    s->conf.host_name = "api.example";
}
static void unverified(struct sample *s)
{
    s->conf.verify = false;
}
static void other_ca(struct sample *s)
{
    s->conf.ca = "/nowhere/ca.pem";
}
static void more_retries(struct sample *s)
{
    s->conf.retry_max = 2;
}
static void fewer_hidden(struct sample *s)
{
    s->conf.hide.count = 1;
}
static void hides_another(struct sample *s)
{
    s->hide[1] = "x-other";
}
static void fewer_added(struct sample *s)
{
    s->conf.add_count = 1;
}
static void adds_another(struct sample *s)
{
    s->add[0].name = "x-to";
}
static void adds_otherwise(struct sample *s)
{
    s->add[1].value = "2";
}
static void fewer_servers(struct sample *s)
{
    s->conf.server_count = 1;
}
static void another_server(struct sample *s)
{
    s->servers[1].host = "c.example";
}
static void another_port(struct sample *s)
{
    s->servers[0].port = 8081;
}
static void another_scheme(struct sample *s)
{
    s->servers[0].tls = true;
}
static void another_authority(struct sample *s)
{
    s->servers[0].authority = "a.example:8080";
}
static void servers_swapped(struct sample *s)
{
    struct conf_origin_server first = s->servers[0];
    s->servers[0] = s->servers[1];
    s->servers[1] = first;
}
static void moved_in_the_file(struct sample *s)
{
    s->conf.place.line = 70;
    s->servers[0].place.line = 71;
}
static void nothing(struct sample *s)
{
    (void)s;
}

static void is_same(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        void (*change)(struct sample *s);
        bool same;
    } rows[] = {
        {"nothing", nothing, true},
        {"moved in the file", moved_in_the_file, true},
        {"name", rename_it, false},
        {"host", other_host, false},
        {"host name", other_host_name, false},
        {"verify", unverified, false},
        {"ca", other_ca, false},
        {"retries", more_retries, false},
        {"fewer hidden", fewer_hidden, false},
        {"another hidden", hides_another, false},
        {"fewer added", fewer_added, false},
        {"another name added", adds_another, false},
        {"another value added", adds_otherwise, false},
        {"fewer servers", fewer_servers, false},
        {"another server", another_server, false},
        {"another port", another_port, false},
        {"another scheme", another_scheme, false},
        {"another authority", another_authority, false},
        {"order of servers", servers_swapped, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sample s;
        struct conf_faults faults = {0};
        sample_init(&s);
        struct origin *o = origin_create(&s.conf, &faults);
        assert_non_null(o);
        rows[i].change(&s);
        if (origin_is_same(o, &s.conf) != rows[i].same)
            fail_msg("%s", rows[i].why);
        origin_drop(o);
    }
}

static void copy_file(const char *from, const char *to)
{
    char command[600];
    snprintf(command, sizeof(command), "cp %s %s", from, to);
    assert_int_equal(system(command), 0);
}

static void ca_files(void **state)
{
    (void)state;
    struct sample s;
    struct conf_faults faults = {0};
    const char *ca = fixture_path("ca.pem");
    fixture_certificate("one", "one", NULL, NULL);
    fixture_certificate("two", "two", NULL, NULL);
    copy_file(fixture_path("one.crt"), ca);
    sample_init(&s);
    s.conf.ca = ca;
    s.servers[1].tls = true;
    struct origin *o = origin_create(&s.conf, &faults);
    assert_true(o && o->tls && faults.count == 0);
    assert_true(origin_is_same(o, &s.conf));
    copy_file(fixture_path("one.crt"), ca); /* written again, not changed */
    assert_true(origin_is_same(o, &s.conf));
    copy_file(fixture_path("two.crt"), ca);
    assert_false(origin_is_same(o, &s.conf));
    copy_file(fixture_path("one.crt"), ca);
    assert_true(origin_is_same(o, &s.conf));
    assert_int_equal(remove(ca), 0);
    assert_false(origin_is_same(o, &s.conf));
    origin_drop(o);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *why, *ca;
        bool tls, verify, made;
        const char *message;
    } rows[] = {
        {"no such file", "missing.pem", true, true, false,
         "cannot read certificate authorities from "},
        {"no PEM", "empty.pem", true, true, false, "cannot read certificate authorities from "},
        {"not looked at without https", "missing.pem", false, true, true, NULL},
        {"not looked at without verification", "missing.pem", true, false, true, NULL},
        {"the system's store", "", true, true, true, NULL},
    };
    FILE *empty = fopen(fixture_path("empty.pem"), "w");
    assert_non_null(empty);
    fclose(empty);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sample s;
        struct conf_faults faults = {0};
        sample_init(&s);
        s.conf.ca = *rows[i].ca ? fixture_path(rows[i].ca) : "";
        s.conf.verify = rows[i].verify;
        s.servers[0].tls = rows[i].tls;
        struct origin *o = origin_create(&s.conf, &faults);
        if ((o != NULL) != rows[i].made || faults.errors != (rows[i].made ? 0 : 1) ||
            (o && (o->tls != NULL) != rows[i].tls))
            fail_msg("%s: %p, %u", rows[i].why, (void *)o, faults.errors);
        if (rows[i].message) {
            assert_true(
                span_starts(span_text(faults.at[0].message), span_text(rows[i].message)));
            assert_int_equal(faults.at[0].line, 7);
        }
        if (o)
            assert_true(origin_is_same(o, &s.conf));
        origin_drop(o);
        conf_faults_fini(&faults);
    }
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
        cmocka_unit_test(copies),
        cmocka_unit_test(is_same),
        cmocka_unit_test(ca_files),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, clean);
}
