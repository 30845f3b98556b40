#include "cluster/wire/crc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void known_sums(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t sum;
        const char *why;
    } rows[] = {
        {"", 0, "nothing"},
        {"a", 0xe8b7be43, "less than a word"},
        {"abc", 0x352441c2, "three left over"},
        {"123456789", 0xcbf43926, "the check value of this CRC"},
        {"message digest", 0x20159d7f, "words and two octets"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (wire_crc32(span_text(rows[i].text)) != rows[i].sum)
            fail_msg("%s", rows[i].why);
}

static uint32_t bit_by_bit(struct span bytes)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < bytes.len * 8; i++) {
        uint32_t bit = (crc ^ (uint32_t)((uint8_t)bytes.ptr[i / 8] >> i % 8)) & 1;
        crc = crc >> 1 ^ (bit ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void any_length_at_any_place(void **state)
{
    (void)state;
    char bytes[80];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 151 + 7);
    for (size_t at = 0; at < 8; at++) {
        for (size_t len = 0; len <= sizeof(bytes) - at; len++) {
            struct span part = span_of(bytes + at, len);
            assert_int_equal(wire_crc32(part), bit_by_bit(part));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_sums),
        cmocka_unit_test(any_length_at_any_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
