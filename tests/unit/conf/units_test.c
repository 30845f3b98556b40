#include "conf/units.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_parse(void **state)
{
    static const struct {
        enum conf_unit unit;
        const char *text;
        enum err err;
        uint64_t value;
        const char *why;
    } rows[] = {
        {CONF_UNIT_MS, "30s", ERR_OK, 30000, "seconds in milliseconds"},
        {CONF_UNIT_MS, "0s", ERR_OK, 0, "nothing, with its unit"},
        {CONF_UNIT_MS, "5ms", ERR_OK, 5, "ms is not m"},
        {CONF_UNIT_MS, "5m", ERR_OK, 300000, "m is minutes"},
        {CONF_UNIT_MS, "2d", ERR_OK, 172800000, "days"},
        {CONF_UNIT_MS, "30", ERR_SYNTAX, 0, "a unit is always written"},
        {CONF_UNIT_MS, "s", ERR_SYNTAX, 0, "no number"},
        {CONF_UNIT_MS, "", ERR_SYNTAX, 0, "empty"},
        {CONF_UNIT_MS, "-1s", ERR_SYNTAX, 0, "no sign"},
        {CONF_UNIT_MS, "1.5s", ERR_SYNTAX, 0, "whole numbers"},
        {CONF_UNIT_MS, "1 s", ERR_SYNTAX, 0, "no space"},
        {CONF_UNIT_MS, "1h30m", ERR_SYNTAX, 0, "one unit"},
        {CONF_UNIT_MS, "1S", ERR_SYNTAX, 0, "units have their case"},
        {CONF_UNIT_MS, "213503982334d", ERR_OK, UINT64_C(213503982334) * 86400000, "the most"},
        {CONF_UNIT_MS, "213503982335d", ERR_LIMIT, 0, "one more overflows"},
        {CONF_UNIT_MS, "99999999999999999999s", ERR_LIMIT, 0, "20 digits"},
        {CONF_UNIT_SECONDS, "7d", ERR_OK, 604800, "days in seconds"},
        {CONF_UNIT_SECONDS, "500ms", ERR_SYNTAX, 0, "whole seconds"},
        {CONF_UNIT_BYTES, "2GiB", ERR_OK, UINT64_C(2147483648), "binary units"},
        {CONF_UNIT_BYTES, "1TiB", ERR_OK, UINT64_C(1) << 40, "the largest"},
        {CONF_UNIT_BYTES, "17112760320B", ERR_OK, UINT64_C(17112760320), "bytes"},
        {CONF_UNIT_BYTES, "16777215TiB", ERR_OK, UINT64_C(16777215) << 40, "the most"},
        {CONF_UNIT_BYTES, "16777216TiB", ERR_LIMIT, 0, "2^64"},
        {CONF_UNIT_BYTES, "2GB", ERR_SYNTAX, 0, "decimal units are refused, not guessed"},
        {CONF_UNIT_BYTES, "2G", ERR_SYNTAX, 0, "nor is a bare letter"},
        {CONF_UNIT_RATE, "50/s", ERR_OK, 50, "a second"},
        {CONF_UNIT_RATE, "50/m", ERR_SYNTAX, 0, "only seconds"},
        {CONF_UNIT_PERCENT, "25%", ERR_OK, 25, "of a hundred"},
        {CONF_UNIT_PERCENT, "25", ERR_SYNTAX, 0, "not bare"},
        {CONF_UNIT_PERCENT, "25 %", ERR_SYNTAX, 0, "no space"},
        {CONF_UNIT_PERCENT, "0.5%", ERR_SYNTAX, 0, "whole ones"},
        {CONF_UNIT_NONE, "128", ERR_OK, 128, "a plain number"},
        {CONF_UNIT_NONE, "128s", ERR_SYNTAX, 0, "has no unit"},
        {CONF_UNIT_NONE, "0x10", ERR_SYNTAX, 0, "decimal"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t value = 0;
        enum err err = conf_units_parse(rows[i].unit, span_text(rows[i].text), &value);
        if (err != rows[i].err || value != rows[i].value)
            fail_msg("%s: %s: %s, %llu", rows[i].text, rows[i].why, err_text(err),
                     (unsigned long long)value);
    }
}

static void test_print(void **state)
{
    static const struct {
        enum conf_unit unit;
        uint64_t value;
        const char *text;
    } rows[] = {
        {CONF_UNIT_MS, 0, "0s"},
        {CONF_UNIT_MS, 10, "10ms"},
        {CONF_UNIT_MS, 90000, "90s"},
        {CONF_UNIT_MS, 86400000, "1d"},
        {CONF_UNIT_SECONDS, 0, "0s"},
        {CONF_UNIT_SECONDS, 3600, "1h"},
        {CONF_UNIT_BYTES, 0, "0B"},
        {CONF_UNIT_BYTES, 1536, "1536B"},
        {CONF_UNIT_BYTES, UINT64_C(64) << 40, "64TiB"},
        {CONF_UNIT_RATE, 1, "1/s"},
        {CONF_UNIT_PERCENT, 0, "0%"},
        {CONF_UNIT_PERCENT, 100, "100%"},
        {CONF_UNIT_NONE, 0, "0"},
        {CONF_UNIT_NONE, 100, "100"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[CONF_UNITS_TEXT_MAX];
        assert_string_equal(conf_units_print(rows[i].unit, rows[i].value, out), rows[i].text);
        uint64_t back = 1;
        assert_int_equal(conf_units_parse(rows[i].unit, span_text(out), &back), ERR_OK);
        assert_int_equal(back, rows[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
