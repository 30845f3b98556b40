#include "base/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const char *hex(const uint8_t *bytes, size_t len)
{
    static char text[129];
    for (size_t i = 0; i < len; i++) {
        text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    text[2 * len] = 0;
    return text;
}

static void known_answers(void **state)
{
    (void)state;
    uint8_t out[64];
    assert_int_equal(crypto_sha256(SPAN("abc"), out), ERR_OK);
    assert_string_equal(hex(out, 32),
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    /* RFC 4231, test case 2. */
    assert_int_equal(
        crypto_hmac_sha256(SPAN("Jefe"), SPAN("what do ya want for nothing?"), out), ERR_OK);
    assert_string_equal(hex(out, 32),
                        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    /* The empty key and message: twice, so that no key of before is used. */
    assert_int_equal(crypto_hmac_sha256(span_of(NULL, 0), span_of(NULL, 0), out), ERR_OK);
    assert_string_equal(hex(out, 32),
                        "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
    /* RFC 5869, A.1 and A.3 (no salt, no info). */
    uint8_t ikm[22], salt[13], info[10];
    memset(ikm, 0x0b, sizeof(ikm));
    for (uint8_t i = 0; i < 13; i++)
        salt[i] = i;
    for (uint8_t i = 0; i < 10; i++)
        info[i] = (uint8_t)(0xf0 + i);
    assert_int_equal(
        crypto_hkdf_sha256(span_of(ikm, 22), span_of(salt, 13), span_of(info, 10), out, 42),
        ERR_OK);
    assert_string_equal(hex(out, 42), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56"
                                      "ecc4c5bf34007208d5b887185865");
    assert_int_equal(
        crypto_hkdf_sha256(span_of(ikm, 22), span_of(NULL, 0), span_of(NULL, 0), out, 42),
        ERR_OK);
    assert_string_equal(hex(out, 42), "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f"
                                      "3c738d2d9d201395faa4b61a96c8");
    /* RFC 3720, B.4. */
    uint8_t zeros[32] = {0};
    assert_int_equal(crypto_crc32c(SPAN("123456789")), 0xe3069283);
    assert_int_equal(crypto_crc32c(span_of(zeros, 32)), 0x8a9136aa);
    assert_int_equal(crypto_crc32c(span_of(NULL, 0)), 0);
    assert_int_equal(crypto_crc32c_add(crypto_crc32c(SPAN("1234")), SPAN("56789")), 0xe3069283);
}

static void compares(void **state)
{
    (void)state;
    assert_true(crypto_equal(SPAN("abc"), SPAN("abc")));
    assert_true(crypto_equal(span_of(NULL, 0), SPAN("")));
    assert_false(crypto_equal(SPAN("abc"), SPAN("abd")));
    assert_false(crypto_equal(SPAN("abc"), SPAN("ab")));
}

static void base64(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err err;
        const char *bytes;
        const char *why;
    } rows[] = {
        {"", ERR_OK, "", "RFC 4648 10"},
        {"Zg==", ERR_OK, "f", ""},
        {"Zm8=", ERR_OK, "fo", ""},
        {"Zm9v", ERR_OK, "foo", ""},
        {"Zm9vYmFy", ERR_OK, "foobar", ""},
        {"+/+/", ERR_OK, "\xfb\xff\xbf", "both special ones"},
        {"Zm9vYmFyYg==", ERR_LIMIT, "", "over the room of 6"},
        {"Zg", ERR_SYNTAX, "", "no padding"},
        {"Zg=", ERR_SYNTAX, "", "half a padding"},
        {"Zh==", ERR_SYNTAX, "", "bits after the end"},
        {"Zm9=", ERR_SYNTAX, "", "bits after the end"},
        {"Z===", ERR_SYNTAX, "", "no octet"},
        {"====", ERR_SYNTAX, "", "nothing but padding"},
        {"Zg==Zg==", ERR_SYNTAX, "", "padding inside"},
        {"Zm9v\n", ERR_SYNTAX, "", "line end"},
        {"Zm 9v===", ERR_SYNTAX, "", "space"},
        {"-_-_", ERR_SYNTAX, "", "the other alphabet"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t out[6];
        size_t len = 0;
        enum err err = crypto_base64_decode(span_text(rows[i].text), out, sizeof(out), &len);
        if (err != rows[i].err ||
            (!err && !span_equal(span_of(out, len), span_text(rows[i].bytes))))
            fail_msg("%s: %s", rows[i].text, rows[i].why);
    }
}

static void random_bytes_differ(void **state)
{
    (void)state;
    assert_true(crypto_random_u64() != crypto_random_u64());
    crypto_random(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(compares),
        cmocka_unit_test(base64),
        cmocka_unit_test(random_bytes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
