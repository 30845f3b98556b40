#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void parses_alone(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed; /* NULL: refused */
        const char *why;
    } rows[] = {
        {"1.2.3.4", "1.2.3.4", "IPv4"},
        {"::1", "::1", "IPv6"},
        {"2001:DB8:0::1", "2001:db8::1", "the canonical text of RFC 5952"},
        {"::ffff:1.2.3.4", "1.2.3.4", "a mapped address is IPv4"},
        {"fe80::1%1", "fe80::1%1", "scope"},
        {"fe80::1%lo", "fe80::1%1", "scope by name: the loopback is always 1"},
        {"", NULL, "empty"},
        {"1.2.3", NULL, "three parts"},
        {"1.2.3.256", NULL, "over 255"},
        {"1.2.3.04", NULL, "octal or decimal?"},
        {"1.2.3.4 ", NULL, "a space"},
        {"0x7f.1", NULL, "hex"},
        {":::", NULL, "no address"},
        {"[::1]", NULL, "brackets belong to ports"},
        {"1.2.3.4%1", NULL, "IPv4 has no scope"},
        {"::ffff:1.2.3.4%1", NULL, "nor has a mapped one"},
        {"fe80::1%", NULL, "empty scope"},
        {"fe80::1%0", NULL, "scope 0 is none"},
        {"fe80::1%nosuchif0", NULL, "unknown interface"},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999", NULL, "too long"},
        {"00000000000000000000000000000000000000000000000000000::1", NULL, "longer than any"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr a;
        char text[ADDR_TEXT_MAX];
        enum err err = addr_parse(span_text(rows[i].text), &a);
        if (err != (rows[i].printed ? ERR_OK : ERR_SYNTAX))
            fail_msg("%s: %s", rows[i].text, rows[i].why);
        if (rows[i].printed)
            assert_string_equal(addr_print(&a, false, text), rows[i].printed);
    }
    struct addr a;
    assert_int_equal(addr_parse(SPAN("1.2.3.4\0"), &a), ERR_SYNTAX);
}

static void parses_with_port(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed;
    } rows[] = {
        {"1.2.3.4:80", "1.2.3.4:80"},
        {"[::1]:65535", "[::1]:65535"},
        {":8080", "[::]:8080"},
        {"1.2.3.4", NULL},
        {"::1:80", NULL},
        {"[::1]", NULL},
        {"[::1]80", NULL},
        {"[1.2.3.4]:80", NULL},
        {"1.2.3.4:0", NULL},
        {"1.2.3.4:65536", NULL},
        {"1.2.3.4:", NULL},
        {"1.2.3.4:+1", NULL},
        {"[]:80", NULL},
        {"", NULL},
        {"80", NULL},
        {"[::1:80", NULL},
        {"localhost:80", NULL},
        {"[:80", NULL},
        {"]:80", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr a;
        char text[ADDR_TEXT_MAX];
        enum err err = addr_parse_with_port(span_text(rows[i].text), &a);
        if (err != (rows[i].printed ? ERR_OK : ERR_SYNTAX))
            fail_msg("%s", rows[i].text);
        if (rows[i].printed)
            assert_string_equal(addr_print(&a, true, text), rows[i].printed);
    }
}

static void prefixes(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *inside, *outside;
        enum err err;
    } rows[] = {
        {"10.0.0.0/8", "10.255.0.1", "11.0.0.0", ERR_OK},
        {"10.0.0.0/9", "10.127.255.255", "10.128.0.0", ERR_OK},
        {"0.0.0.0/0", "255.255.255.255", "::1", ERR_OK},
        {"::/0", "ffff::1", "1.2.3.4", ERR_OK},
        {"1.2.3.4", "1.2.3.4", "1.2.3.5", ERR_OK},
        {"2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::", ERR_OK},
        {"::1", "::1", "::2", ERR_OK},
        {"::ffff:10.0.0.0/104", "10.1.1.1", "11.0.0.0", ERR_OK},
        {"::ffff:0.0.0.0/95", NULL, NULL, ERR_SYNTAX},
        {"10.0.0.1/8", NULL, NULL, ERR_REFUSED},
        {"2001:db8::1/127", NULL, NULL, ERR_REFUSED},
        {"10.0.0.0/33", NULL, NULL, ERR_SYNTAX},
        {"::/129", NULL, NULL, ERR_SYNTAX},
        {"10.0.0.0/", NULL, NULL, ERR_SYNTAX},
        {"10.0.0.0/-1", NULL, NULL, ERR_SYNTAX},
        {"/8", NULL, NULL, ERR_SYNTAX},
        {"fe80::%1/10", NULL, NULL, ERR_SYNTAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr_prefix p;
        struct addr in, out;
        enum err err = addr_prefix_parse(span_text(rows[i].prefix), &p);
        if (err != rows[i].err)
            fail_msg("%s: %s", rows[i].prefix, err_text(err));
        if (err)
            continue;
        assert_int_equal(addr_parse(span_text(rows[i].inside), &in), ERR_OK);
        assert_int_equal(addr_parse(span_text(rows[i].outside), &out), ERR_OK);
        if (!addr_prefix_holds(&p, &in) || addr_prefix_holds(&p, &out))
            fail_msg("%s", rows[i].prefix);
    }
}

static void sockaddr_and_back(void **state)
{
    (void)state;
    static const char *const texts[] = {"1.2.3.4:80", "[2001:db8::1]:443"};
    struct addr a, b;
    struct sockaddr_storage storage;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_int_equal(addr_parse_with_port(span_text(texts[i]), &a), ERR_OK);
        socklen_t len = addr_to_sockaddr(&a, &storage);
        assert_int_equal(len, i ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
        assert_int_equal(addr_from_sockaddr((struct sockaddr *)&storage, &b), ERR_OK);
        assert_true(addr_equal(&a, &b));
        b.port++;
        assert_false(addr_equal(&a, &b));
    }
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(7)};
    assert_int_equal(inet_pton(AF_INET6, "::ffff:127.0.0.1", &six.sin6_addr), 1);
    assert_int_equal(addr_from_sockaddr((struct sockaddr *)&six, &b), ERR_OK);
    assert_int_equal(b.family, ADDR_V4);
    assert_true(addr_is_loopback(&b));
    assert_int_equal(addr_parse(SPAN("::1"), &b), ERR_OK);
    assert_true(addr_is_loopback(&b));
    assert_int_equal(addr_parse(SPAN("128.0.0.1"), &b), ERR_OK);
    assert_false(addr_is_loopback(&b));
    storage.ss_family = AF_UNIX;
    assert_int_equal(addr_from_sockaddr((struct sockaddr *)&storage, &b), ERR_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_alone),
        cmocka_unit_test(parses_with_port),
        cmocka_unit_test(prefixes),
        cmocka_unit_test(sockaddr_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
