#include "base/cidr.h"

#include <stdlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct addr_prefix prefix(const char *text)
{
    struct addr_prefix p;
    assert_int_equal(addr_prefix_parse(span_text(text), &p), ERR_OK);
    return p;
}

static void the_longest_wins(void **state)
{
    (void)state;
    const struct cidr_entry list[] = {
        {prefix("10.1.2.0/24"), 3},     {prefix("10.0.0.0/8"), 1},
        {prefix("10.1.0.0/16"), 2},     {prefix("10.1.2.255/32"), 4},
        {prefix("0.0.0.0/32"), 5},      {prefix("255.0.0.0/8"), 6},
        {prefix("255.255.255.255"), 7}, {prefix("10.1.0.0/16"), 22},
        {prefix("10.2.0.0/16"), 8},     {prefix("2001:db8::/32"), 1},
        {prefix("2001:db8::/64"), 2},   {prefix("ffff::/16"), 3},
        {prefix("2001:db8::1"), 4},
    };
    static const struct {
        const char *text;
        int value; /* -1: not held */
        const char *why;
    } rows[] = {
        {"10.0.0.0", 1, "first"},
        {"10.0.255.255", 1, "before the inner one"},
        {"10.1.0.0", 22, "of two equal ones the later"},
        {"10.1.2.0", 3, "innermost"},
        {"10.1.2.255", 4, "one address, at the end of all its parents but one"},
        {"10.1.3.0", 22, "back in the middle one"},
        {"10.2.0.0", 8, "neighbours touch"},
        {"10.3.0.0", 1, "back in the outer one"},
        {"10.255.255.255", 1, "last"},
        {"11.0.0.0", -1, "after"},
        {"9.255.255.255", -1, "before"},
        {"0.0.0.0", 5, "the lowest"},
        {"0.0.0.1", -1, "after the lowest"},
        {"255.255.255.254", 6, "high"},
        {"255.255.255.255", 7, "the highest"},
        {"2001:db8::", 2, "v6 inner"},
        {"2001:db8::1", 4, "v6 one address"},
        {"2001:db8::2", 2, "v6 after it"},
        {"2001:db8:0:1::", 1, "v6 outer"},
        {"2001:db9::", -1, "v6 after"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 3, "v6 highest"},
        {"::", -1, "v6 lowest"},
    };
    struct cidr *c = cidr_create(list, ARRAY_LEN(list));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr a;
        uint32_t value = 99;
        assert_int_equal(addr_parse(span_text(rows[i].text), &a), ERR_OK);
        bool held = cidr_find(c, &a, &value);
        if (held != (rows[i].value >= 0) || (held && value != (uint32_t)rows[i].value))
            fail_msg("%s: %s gives %d %u", rows[i].text, rows[i].why, held, value);
    }
    cidr_destroy(c);
}

static void an_empty_table_holds_nothing(void **state)
{
    (void)state;
    struct cidr *c = cidr_create_set(NULL, 0);
    struct addr a = {.family = ADDR_V4}, none = {.family = ADDR_NONE};
    assert_false(cidr_holds(c, &a));
    assert_false(cidr_holds(c, &none));
    cidr_destroy(c);
    cidr_destroy(NULL);
    struct addr_prefix all[] = {prefix("0.0.0.0/0"), prefix("::/0")};
    c = cidr_create_set(all, 2);
    uint32_t value;
    assert_true(cidr_find(c, &a, &value) && value == 0);
    a.family = ADDR_V6;
    assert_true(cidr_find(c, &a, &value) && value == 1);
    assert_false(cidr_holds(c, &none));
    cidr_destroy(c);
}

/* Random nested prefixes against the plain rule. */
static void agrees_with_a_scan(void **state)
{
    (void)state;
    enum { COUNT = 300, ASKS = 3000 };
    static struct cidr_entry list[COUNT];
    unsigned seed = 12345;
    for (int family = ADDR_V4; family <= ADDR_V6; family++) {
        unsigned bytes = family == ADDR_V4 ? 4 : 16;
        for (unsigned i = 0; i < COUNT; i++) {
            struct addr_prefix p = {.addr.family = (uint8_t)family};
            p.bits = (uint8_t)((unsigned)rand_r(&seed) % (bytes * 8 + 1));
            for (unsigned b = 0; b < p.bits; b++) {
                if (rand_r(&seed) % 8 == 0) /* few bits set, so that many nest */
                    p.addr.ip[b / 8] |= (uint8_t)(0x80u >> b % 8);
            }
            list[i] = (struct cidr_entry){p, i};
        }
        struct cidr *c = cidr_create(list, COUNT);
        for (unsigned n = 0; n < ASKS; n++) {
            struct addr a = {.family = (uint8_t)family};
            for (unsigned b = 0; b < bytes * 8; b++) {
                if (rand_r(&seed) % 8 == 0)
                    a.ip[b / 8] |= (uint8_t)(0x80u >> b % 8);
            }
            int best = -1;
            for (int i = 0; i < COUNT; i++) {
                if (addr_prefix_holds(&list[i].prefix, &a) &&
                    (best < 0 || list[i].prefix.bits >= list[best].prefix.bits))
                    best = i;
            }
            uint32_t value;
            bool held = cidr_find(c, &a, &value);
            assert_int_equal(held, best >= 0);
            if (held)
                assert_int_equal(value, best);
        }
        cidr_destroy(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_wins),
        cmocka_unit_test(an_empty_table_holds_nothing),
        cmocka_unit_test(agrees_with_a_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
