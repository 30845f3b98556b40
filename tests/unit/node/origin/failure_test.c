#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "node/origin/failure.h"

static void all(void **state)
{
    (void)state;
    static const struct {
        enum io_link_failure why;
        const char *text;
        enum cache_failure before, after; /* the final head */
    } rows[] = {
        {IO_LINK_OK, "no_answer", CACHE_FAILURE_PROTOCOL, CACHE_FAILURE_INCOMPLETE},
        {IO_LINK_DNS, "dns", CACHE_FAILURE_DNS, CACHE_FAILURE_INCOMPLETE},
        {IO_LINK_CONNECT, "refused", CACHE_FAILURE_REFUSED, CACHE_FAILURE_INCOMPLETE},
        {IO_LINK_CONNECT_TIMEOUT, "connect_timeout", CACHE_FAILURE_TIMEOUT,
         CACHE_FAILURE_TIMEOUT},
        {IO_LINK_TLS, "tls", CACHE_FAILURE_TLS, CACHE_FAILURE_INCOMPLETE},
        {IO_LINK_CLOSED, "closed", CACHE_FAILURE_REFUSED, CACHE_FAILURE_INCOMPLETE},
        {IO_LINK_FIRST_BYTE_TIMEOUT, "first_byte_timeout", CACHE_FAILURE_TIMEOUT,
         CACHE_FAILURE_TIMEOUT},
        {IO_LINK_IDLE_TIMEOUT, "idle_timeout", CACHE_FAILURE_TIMEOUT, CACHE_FAILURE_TIMEOUT},
        {IO_LINK_PROTOCOL, "protocol", CACHE_FAILURE_PROTOCOL, CACHE_FAILURE_INCOMPLETE},
        {IO_LINK_CUT, "cut", CACHE_FAILURE_INCOMPLETE, CACHE_FAILURE_INCOMPLETE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_string_equal(origin_failure_text(rows[i].why), rows[i].text);
        if (origin_failure_of(rows[i].why, false) != rows[i].before ||
            origin_failure_of(rows[i].why, true) != rows[i].after)
            fail_msg("%s", rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
