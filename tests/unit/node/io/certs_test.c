#include "node/io/certs.h"

#include "tests/unit/node/io/fixture.h"

static struct conf_certificate pair(const char *cert, const char *key)
{
    return (struct conf_certificate){.cert = fixture_path(cert), .key = fixture_path(key)};
}

static int make(void **state)
{
    (void)state;
    fixture_certificate("a", "ignored.example", "DNS:A.example,DNS:www.a.example", NULL);
    fixture_certificate("b", "b.example", NULL, NULL);
    fixture_certificate("c", "c", "DNS:*.c.example,DNS:*.a.example,IP:127.0.0.1", NULL);
    fixture_certificate("locked", "l", "DNS:locked.example", "secret");
    FILE *f = fopen(fixture_path("text.crt"), "w");
    fputs("hello\n", f);
    fclose(f);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    fixture_clean();
    return 0;
}

static void test_find(void **state)
{
    (void)state;
    static const struct {
        const char *why, *name;
        uint32_t index;
    } rows[] = {
        {"exact, case of the certificate ignored", "a.example", 0},
        {"exact wins over a wildcard", "www.a.example", 0},
        {"the wildcard takes its other labels", "x.a.example", 2},
        {"one label only", "y.x.c.example", 0},
        {"a wildcard is not its parent", "c.example", 0},
        {"wildcard", "x.c.example", 2},
        {"common name without subjectAltName", "b.example", 1},
        {"the common name does not count beside one", "ignored.example", 0},
        {"unknown: the default", "nobody", 0},
        {"empty label", ".c.example", 0},
        {"an asterisk asked for is no name", "*.c.example", 2},
    };
    struct conf_faults faults = {0};
    struct conf_certificate list[] = {pair("a.crt", "a.key"), pair("b.crt", "b.key"),
                                      pair("c.crt", "c.key")};
    struct io_certs *c = io_certs_create(list, 3, &faults);
    assert_non_null(c);
    assert_int_equal(faults.count, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (io_certs_find(c, span_text(rows[i].name)) != rows[i].index)
            fail_msg("%s: %s", rows[i].why, rows[i].name);
    io_certs_drop(io_certs_hold(c));
    io_certs_drop(c);
}

static void test_faults(void **state)
{
    (void)state;
    static const struct {
        const char *cert, *key, *says;
    } rows[] = {
        {"none.crt", "a.key", "cannot read certificate"},
        {"a.crt", "none.key", "cannot read key"},
        {"text.crt", "a.key", "no certificate in PEM form"},
        {"a.crt", "text.crt", "no private key in PEM form"},
        {"a.crt", "b.key", "does not match"},
        {"locked.crt", "locked.key", "is encrypted"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct conf_faults faults = {0};
        struct conf_certificate one = pair(rows[i].cert, rows[i].key);
        one.place = (struct conf_place){.line = 7, .column = 3};
        assert_null(io_certs_create(&one, 1, &faults));
        assert_int_equal(faults.errors, 1);
        assert_int_equal(faults.at[0].line, 7);
        if (!strstr(faults.at[0].message, rows[i].says))
            fail_msg("%s: %s", rows[i].says, faults.at[0].message);
        conf_faults_fini(&faults);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
