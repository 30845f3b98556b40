#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "admin/json.h"
#include "node/front/access_line.h"

static const struct front_log_line plain = {
    .at_ms = INT64_C(1767323045678),
    .client = {.family = ADDR_V4, .ip = {192, 0, 2, 1}, .port = 4711},
    .host = {"a.example", 9},
    .method = {"GET", 3},
    .path = {"/x?y", 4},
    .user_agent = {"curl/8", 6},
    .site = "www",
    .status = 200,
    .bytes = 1024,
    .bytes_in = 7,
    .id = 0x0123456789abcdef,
    .cache = "hit",
    .total_us = 310,
    .head_us = 0,
    .origin_us = -1,
    .origin = "",
    .tls = "TLSv1.3",
    .http = "2",
    .fault = NULL,
    .attempts = 4294967295,
    .whole = true,
};

static char *formatted(const struct front_log_line *l)
{
    static char out[FRONT_LOG_LINE_MAX + 1];
    size_t len = front_log_format(l, out, FRONT_LOG_LINE_MAX);
    assert_true(len <= FRONT_LOG_LINE_MAX);
    assert_int_equal(out[len - 1], '\n');
    out[len] = 0;
    return out;
}

static void the_whole_line(void **state)
{
    (void)state;
    assert_string_equal(
        formatted(&plain),
        "{\"time\":\"2026-01-02T03:04:05.678Z\",\"client\":\"192.0.2.1\",\"host\":\"a."
        "example\","
        "\"method\":\"GET\",\"path\":\"/x?y\",\"status\":200,\"bytes\":1024,\"cache\":\"hit\","
        "\"site\":\"www\",\"id\":\"0123456789abcdef\",\"total_us\":310,\"head_us\":0,"
        "\"origin_us\":null,\"origin\":\"\",\"peer\":\"\",\"attempts\":4294967295,\"bytes_in\":"
        "7,"
        "\"tls\":\"TLSv1.3\",\"http\":\"2\",\"whole\":true,\"fault\":\"\","
        "\"user_agent\":\"curl/8\",\"referer\":\"\"}\n");
}

static void nothing_known(void **state)
{
    (void)state;
    struct front_log_line l = {.total_us = -1, .head_us = -7, .origin_us = 0};
    assert_string_equal(
        formatted(&l),
        "{\"time\":\"1970-01-01T00:00:00.000Z\",\"client\":\"-\",\"host\":\"\",\"method\":\"\","
        "\"path\":\"\",\"status\":0,\"bytes\":0,\"cache\":\"\",\"site\":\"\","
        "\"id\":\"0000000000000000\",\"total_us\":null,\"head_us\":null,\"origin_us\":0,"
        "\"origin\":\"\",\"peer\":\"\",\"attempts\":0,\"bytes_in\":0,\"tls\":\"\",\"http\":"
        "\"\","
        "\"whole\":false,\"fault\":\"\",\"user_agent\":\"\",\"referer\":\"\"}\n");
}

/* The text between `before` and the next quote that is not escaped. */
static struct span member(char *line, const char *before)
{
    char *at = strstr(line, before);
    assert_non_null(at);
    at += strlen(before);
    size_t len = 0;
    while (at[len] != '"')
        len += at[len] == '\\' ? 2 : 1;
    return span_of(at, len);
}

#define BAD "\xef\xbf\xbd"

static const struct {
    const char *why, *in, *out;
} texts[] = {
    {"plain", "abc ~", "abc ~"},
    {"a quote first", "\"a", "\\\"a"},
    {"a quote last", "a\"", "a\\\""},
    {"a backslash", "a\\b", "a\\\\b"},
    {"line ends", "\r\n\t", "\\u000d\\u000a\\u0009"},
    {"the first and the last control", "\x01\x1f", "\\u0001\\u001f"},
    {"DEL", "\x7f", "\\u007f"},
    {"an attempt at a second line", "x\"}\n{\"", "x\\\"}\\u000a{\\\""},
    {"two octets", "\xc3\xa4", "\xc3\xa4"},
    {"the first of two", "\xc2\xa0", "\xc2\xa0"},
    {"controls beyond ASCII", "\xc2\x80\xc2\x9b\xc2\x9f", "\\u0080\\u009b\\u009f"},
    {"three octets", "\xe2\x82\xac", "\xe2\x82\xac"},
    {"the first of three", "\xe0\xa0\x80", "\xe0\xa0\x80"},
    {"before the surrogates", "\xed\x9f\xbf", "\xed\x9f\xbf"},
    {"after the surrogates", "\xee\x80\x80", "\xee\x80\x80"},
    {"four octets", "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
    {"the last of all", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
    {"Latin-1", "\xe4x", BAD "x"},
    {"a tail alone", "\x80x\xbf", BAD "x" BAD},
    {"overlong in two", "\xc0\xaf\xc1\xbf", BAD BAD BAD BAD},
    {"overlong in three", "\xe0\x9f\xbf", BAD BAD BAD},
    {"overlong in four", "\xf0\x8f\xbf\xbf", BAD BAD BAD BAD},
    {"a surrogate", "\xed\xa0\x80", BAD BAD BAD},
    {"beyond the last", "\xf4\x90\x80\x80", BAD BAD BAD BAD},
    {"octets that never stand", "\xf5\xff\xfe", BAD BAD BAD},
    {"two, cut", "a\xc3", "a" BAD},
    {"three, cut after two", "a\xe2\x82", "a" BAD BAD},
    {"four, cut after three", "\xf0\x9f\x98", BAD BAD BAD},
    {"three, broken by a quote", "\xe2\x82\"", BAD BAD "\\\""},
    {"four, broken at the last", "\xf0\x9f\x98x", BAD BAD BAD "x"},
};

static void texts_are_escaped(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct front_log_line l = plain;
        /* An allocation of its own: ASan sees what is read beyond the end. */
        size_t len = strlen(texts[i].in);
        char *in = malloc(len);
        assert_non_null(in);
        memcpy(in, texts[i].in, len);
        l.path = span_of(in, len);
        if (!span_equal(member(formatted(&l), "\"path\":\""), span_text(texts[i].out)))
            fail_msg("%s: %s", texts[i].why, formatted(&l));
        free(in);
    }
}

/* Eight octets are looked at together: each octet at each place, between others. */
static void every_octet_at_every_place(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++)
        for (size_t at = 0; at < 17; at++) {
            struct front_log_line l = plain;
            char in[18] = "~~~~~~~~~~~~~~~~~", out[32] = "", one[8];
            in[at] = (char)c;
            l.path = span_of(in, 17);
            if (c >= 0x80)
                snprintf(one, sizeof(one), BAD);
            else if (c < 0x20 || c == 0x7f)
                snprintf(one, sizeof(one), "\\u%04x", c);
            else
                snprintf(one, sizeof(one), c == '"' || c == '\\' ? "\\%c" : "%c", (char)c);
            snprintf(out, sizeof(out), "%.*s%s%s", (int)at, "~~~~~~~~~~~~~~~~", one,
                     in + at + 1);
            if (!span_equal(member(formatted(&l), "\"path\":\""), span_text(out)))
                fail_msg("%u at %zu: %s", c, at, formatted(&l));
        }
}

static void a_nul_is_escaped(void **state)
{
    (void)state;
    struct front_log_line l = plain;
    l.path = SPAN("a\0b");
    assert_true(span_equal(member(formatted(&l), "\"path\":\""), SPAN("a\\u0000b")));
}

static const struct {
    const char *why, *unit; /* repeated up to more than the cut */
    size_t lead;            /* so many "x" before */
    size_t written;         /* at most 2048 */
} cuts[] = {
    {"plain", "a", 0, 2048},
    {"two octets, even", "\xc3\xa4", 0, 2048},
    {"two octets, odd", "\xc3\xa4", 1, 2047},
    {"three octets", "\xe2\x82\xac", 0, 2046},
    {"three octets, fitting", "\xe2\x82\xac", 2, 2048},
    {"four octets", "\xf0\x9f\x98\x80", 3, 2047},
    {"escapes of two", "\"", 1, 2047},
    {"escapes of six", "\n", 0, 2046},
    {"escapes of six, fitting", "\n", 2, 2048},
    {"bad octets", "\xff", 0, 2046},
    {"a control just before the end", "\n", 2048, 2048},
    {"a control that has no room", "\n", 2043, 2043},
    {"a control that has room", "\n", 2042, 2048},
};

static void long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
        struct front_log_line l = plain;
        char text[8192];
        size_t unit = strlen(cuts[i].unit), len = cuts[i].lead;
        memset(text, 'x', len);
        for (; len + unit <= sizeof(text); len += unit)
            memcpy(text + len, cuts[i].unit, unit);
        l.user_agent = span_of(text, len);
        struct span got = member(formatted(&l), "\"user_agent\":\"");
        if (got.len != cuts[i].written)
            fail_msg("%s: %zu", cuts[i].why, got.len);
        char fault[200];
        struct admin_json *v = admin_json_parse(span_text(formatted(&l)), fault, sizeof(fault));
        assert_non_null(v);
        admin_json_free(v);
    }
}

static void the_longest_line_fits(void **state)
{
    (void)state;
    static char text[70000], name[3000];
    memset(text, '\n', sizeof(text));
    memset(name, '\1', sizeof(name) - 1);
    struct span all = span_of(text, sizeof(text));
    struct front_log_line l = {.at_ms = INT64_MAX,
                               .client = {.family = ADDR_V6, .scope_id = UINT32_MAX},
                               .host = all,
                               .method = all,
                               .path = all,
                               .user_agent = all,
                               .referer = all,
                               .site = name,
                               .status = UINT32_MAX,
                               .bytes = INT64_MAX,
                               .bytes_in = INT64_MAX,
                               .id = UINT64_MAX,
                               .cache = name,
                               .total_us = INT64_MAX,
                               .head_us = INT64_MAX,
                               .origin_us = INT64_MAX,
                               .origin = name,
                               .tls = name,
                               .http = name,
                               .fault = name,
                               .attempts = UINT32_MAX};
    memset(l.client.ip, 0xff, sizeof(l.client.ip));
    char *line = formatted(&l), fault[200];
    struct admin_json *v = admin_json_parse(span_text(line), fault, sizeof(fault));
    assert_non_null(v);
    admin_json_free(v);
    assert_int_equal(member(line, "\"site\":\"").len, 510);
    assert_true(span_equal(member(line, "\"time\":\""), SPAN("9999-12-31T23:59:59.999Z")));
}

static const struct {
    int64_t at_ms;
    const char *text;
} times[] = {
    {0, "1970-01-01T00:00:00.000Z"},
    {-1, "1970-01-01T00:00:00.000Z"},
    {86399999, "1970-01-01T23:59:59.999Z"},
    {86400000, "1970-01-02T00:00:00.000Z"},
    {INT64_C(951782399009), "2000-02-28T23:59:59.009Z"},
    {INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
    {INT64_C(4107542400000), "2100-03-01T00:00:00.000Z"},
    {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
    {INT64_C(253402300800000), "9999-12-31T23:59:59.999Z"},
};

static void times_are_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        struct front_log_line l = plain;
        l.at_ms = times[i].at_ms;
        struct span got = member(formatted(&l), "\"time\":\"");
        if (!span_equal(got, span_text(times[i].text)))
            fail_msg("%s: %.*s", times[i].text, SPAN_ARG(got));
    }
}

static const char *const addresses[] = {
    "0.0.0.0",
    "255.255.255.255",
    "10.1.20.255",
    "::",
    "::1",
    "1::",
    "2001:db8::1",
    "2001:db8:0:1:1:1:1:1", /* one zero group stays */
    "2001:0:0:1::1",        /* the longer run */
    "2001:db8::1:0:0:1",    /* the first of two equal ones */
    "1:2:3:4:5:6:7:8",
    "::2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7:0",
    "1:2:3:4:5:6::",
    "fe80::abcd:10:f",
    "0:0:1::",
    "a0b:c00d::e0f:1000",
};

static void addresses_are_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        struct front_log_line l = plain;
        char want[ADDR_TEXT_MAX];
        assert_int_equal(addr_parse(span_text(addresses[i]), &l.client), ERR_OK);
        l.client.port = 8080;
        struct span got = member(formatted(&l), "\"client\":\"");
        if (!span_equal(got, span_text(addr_print(&l.client, false, want))))
            fail_msg("%s: %.*s", addresses[i], SPAN_ARG(got));
    }
    struct front_log_line l = plain;
    l.client = (struct addr){.family = ADDR_V6, .ip = {0xfe, 0x80, [15] = 1}, .scope_id = 7};
    assert_true(span_equal(member(formatted(&l), "\"client\":\""), SPAN("fe80::1%7")));
}

/* Every IPv6 address is written as the C library writes it: the groups drawn are often 0. */
static void addresses_are_written_as_libc_does(void **state)
{
    (void)state;
    unsigned seed = 1;
    for (unsigned turn = 0; turn < 20000; turn++) {
        struct front_log_line l = plain;
        char want[ADDR_TEXT_MAX];
        l.client = (struct addr){.family = ADDR_V6};
        for (unsigned i = 0; i < 8; i++) {
            if (rand_r(&seed) % 2)
                continue;
            l.client.ip[2 * i] = rand_r(&seed) % 3 ? (uint8_t)rand_r(&seed) : 0;
            l.client.ip[2 * i + 1] = (uint8_t)rand_r(&seed);
        }
        /* With six zero groups libc writes IPv4 within IPv6; RFC 5952 5 leaves it open. */
        l.client.ip[0] |= 0x20;
        struct span got = member(formatted(&l), "\"client\":\"");
        if (!span_equal(got, span_text(addr_print(&l.client, false, want))))
            fail_msg("%s: %.*s", want, SPAN_ARG(got));
    }
}

/* Whatever a client sends, the line is strict JSON and one line. */
static void any_bytes_give_one_line_of_json(void **state)
{
    (void)state;
    unsigned seed = 7;
    for (unsigned turn = 0; turn < 4000; turn++) {
        char text[5][4000], fault[200];
        struct front_log_line l = plain;
        struct span *spans[] = {&l.host, &l.method, &l.path, &l.user_agent, &l.referer};
        for (size_t t = 0; t < ARRAY_LEN(spans); t++) {
            size_t len = (size_t)rand_r(&seed) % (turn % 10 ? 40 : sizeof(text[t]));
            for (size_t i = 0; i < len; i++) {
                /* Half of it octets that begin or go on a character; no NUL, which the strict
                 * reader does not take even escaped. */
                text[t][i] = (char)(rand_r(&seed) % 2 ? 0x80 + rand_r(&seed) % 0x80
                                                      : 1 + rand_r(&seed) % 255);
            }
            *spans[t] = span_of(text[t], len);
        }
        char *line = formatted(&l);
        struct admin_json *v = admin_json_parse(span_text(line), fault, sizeof(fault));
        if (!v)
            fail_msg("%s in %s", fault, line);
        admin_json_free(v);
        assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_line),
        cmocka_unit_test(nothing_known),
        cmocka_unit_test(texts_are_escaped),
        cmocka_unit_test(every_octet_at_every_place),
        cmocka_unit_test(a_nul_is_escaped),
        cmocka_unit_test(long_texts_are_cut_between_characters),
        cmocka_unit_test(the_longest_line_fits),
        cmocka_unit_test(times_are_written),
        cmocka_unit_test(addresses_are_written),
        cmocka_unit_test(addresses_are_written_as_libc_does),
        cmocka_unit_test(any_bytes_give_one_line_of_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
