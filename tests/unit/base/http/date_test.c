#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/http/date.h"

#define BAD INT64_MIN
#define NOW INT64_C(1767225600) /* 2026-01-01 */

static void parsing(void **state)
{
    (void)state;
    static const struct {
        const char *why, *in;
        int64_t at_s;
    } rows[] = {
        {"fixdate", "Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"rfc850", "Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"asctime", "Sun Nov  6 08:49:37 1994", 784111777},
        {"asctime, two digits of day", "Sun Nov 16 08:49:37 1994", 784975777},
        {"case does not matter (RFC 9111 4.2)", "sUN, 06 nOV 1994 08:49:37 gmt", 784111777},
        {"rfc850 in upper case", "SUNDAY, 06-NOV-94 08:49:37 GMT", 784111777},
        {"the beginning", "Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"before it", "Wed, 31 Dec 1969 23:59:59 GMT", -1},
        {"leap day", "Thu, 29 Feb 2024 00:00:00 GMT", 1709164800},
        {"after the leap day", "Fri, 01 Mar 2024 00:00:00 GMT", 1709251200},
        {"2000 was a leap year", "Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
        {"leap second", "Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
        {"over 32 bits", "Tue, 19 Jan 2038 03:14:08 GMT", INT64_C(2147483648)},
        {"the last second", "Fri, 31 Dec 9999 23:59:59 GMT", INT64_C(253402300799)},
        {"50 years ahead is ahead", "Wednesday, 01-Jan-76 00:00:00 GMT", INT64_C(3345062400)},
        {"51 years ahead is past", "Saturday, 01-Jan-77 00:00:00 GMT", 220924800},
        {"no leap day in 2023", "Wed, 29 Feb 2023 00:00:00 GMT", BAD},
        {"1900 was no leap year", "Thu, 29 Feb 1900 00:00:00 GMT", BAD},
        {"31 April", "Thu, 31 Apr 2025 00:00:00 GMT", BAD},
        {"day 0", "Sun, 00 Nov 1994 08:49:37 GMT", BAD},
        {"day 32", "Sun, 32 Dec 1994 08:49:37 GMT", BAD},
        {"hour 24", "Sun, 06 Nov 1994 24:00:00 GMT", BAD},
        {"minute 60", "Sun, 06 Nov 1994 08:60:00 GMT", BAD},
        {"second 61", "Sun, 06 Nov 1994 08:49:61 GMT", BAD},
        {"other zone", "Sun, 06 Nov 1994 08:49:37 UTC", BAD},
        {"numeric zone", "Sun, 06 Nov 1994 08:49:37 +0000", BAD},
        {"no zone", "Sun, 06 Nov 1994 08:49:37", BAD},
        {"no weekday", "06 Nov 1994 08:49:37 GMT", BAD},
        {"no comma", "Sun 06 Nov 1994 08:49:37 GMT", BAD},
        {"unknown weekday", "Xun, 06 Nov 1994 08:49:37 GMT", BAD},
        {"unknown month", "Sun, 06 Nox 1994 08:49:37 GMT", BAD},
        {"one digit of day", "Sun, 6 Nov 1994 08:49:37 GMT", BAD},
        {"space for the first digit", "Sun,  6 Nov 1994 08:49:37 GMT", BAD},
        {"one digit of hour", "Sun, 06 Nov 1994 8:49:37 GMT", BAD},
        {"two digits of year", "Sun, 06 Nov 94 08:49:37 GMT", BAD},
        {"dashes in a fixdate", "Sun, 06-Nov-1994 08:49:37 GMT", BAD},
        {"short day in rfc850", "Sun, 06-Nov-94 08:49:37 GMT", BAD},
        {"long day in a fixdate", "Sunday, 06 Nov 1994 08:49:37 GMT", BAD},
        {"long day in asctime", "Sunday Nov  6 08:49:37 1994", BAD},
        {"asctime with zone", "Sun Nov  6 08:49:37 1994 GMT", BAD},
        {"asctime, one space", "Sun Nov 6 08:49:37 1994", BAD},
        {"two spaces", "Sun,  06 Nov 1994 08:49:37 GMT", BAD},
        {"space in front", " Sun, 06 Nov 1994 08:49:37 GMT", BAD},
        {"space behind", "Sun, 06 Nov 1994 08:49:37 GMT ", BAD},
        {"points in the time", "Sun, 06 Nov 1994 08.49.37 GMT", BAD},
        {"a sign", "Sun, 06 Nov -994 08:49:37 GMT", BAD},
        {"zero", "0", BAD},
        {"a number", "784111777", BAD},
        {"nothing", "", BAD},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t got = BAD;
        enum err e = http_date_parse(span_text(rows[i].in), NOW, &got);
        if (got != rows[i].at_s || (e == ERR_OK) != (got != BAD))
            fail_msg("%s: %lld", rows[i].why, (long long)got);
        /* every cut of a date is none */
        struct span text = span_text(rows[i].in);
        for (size_t len = 0; got != BAD && len < text.len; len++)
            assert_int_equal(http_date_parse(span_until(text, len), NOW, &got), ERR_SYNTAX);
    }
}

static void printing_agrees_with_libc(void **state)
{
    (void)state;
    int64_t step = INT64_C(86400) * 37 + 12345;
    for (int64_t at_s = INT64_C(-62167219200); at_s < INT64_C(253402300799); at_s += step) {
        char got[HTTP_DATE_BYTES], want[64];
        time_t t = (time_t)at_s;
        struct tm tm;
        int64_t back;
        http_date_print(at_s, got);
        gmtime_r(&t, &tm);
        strftime(want, sizeof want, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        if (tm.tm_year + 1900 >= 1000) /* libc does not pad the year */
            assert_memory_equal(got, want, HTTP_DATE_BYTES);
        assert_int_equal(http_date_parse(span_of(got, sizeof got), NOW, &back), ERR_OK);
        assert_int_equal(back, at_s);
    }
}

static void printing_stays_in_four_digits(void **state)
{
    (void)state;
    char out[HTTP_DATE_BYTES];
    http_date_print(INT64_MAX, out);
    assert_memory_equal(out, "Fri, 31 Dec 9999 23:59:59 GMT", HTTP_DATE_BYTES);
    http_date_print(INT64_MIN, out);
    assert_memory_equal(out, "Sat, 01 Jan 0000 00:00:00 GMT", HTTP_DATE_BYTES);
}

static void any_now_is_fine(void **state)
{
    (void)state;
    const int64_t nows[] = {INT64_MIN, -1, 0, NOW, INT64_MAX};
    for (size_t i = 0; i < ARRAY_LEN(nows); i++) {
        int64_t got;
        assert_int_equal(http_date_parse(SPAN("Sunday, 06-Nov-94 08:49:37 GMT"), nows[i], &got),
                         ERR_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parsing),
        cmocka_unit_test(printing_agrees_with_libc),
        cmocka_unit_test(printing_stays_in_four_digits),
        cmocka_unit_test(any_now_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
