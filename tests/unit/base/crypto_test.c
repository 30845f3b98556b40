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
    /* At any length and place like the polynomial, one bit after the other. */
    char bytes[80];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 37 + 11);
    for (unsigned from = 0; from < 9; from++) {
        for (unsigned len = 0; from + len <= sizeof bytes; len++) {
            uint32_t crc = UINT32_MAX;
            for (unsigned i = 0; i < len * 8; i++) {
                crc ^= (uint32_t)((uint8_t)bytes[from + i / 8] >> i % 8 & 1);
                crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
            }
            assert_int_equal(crypto_crc32c(span_of(bytes + from, len)), ~crc);
        }
    }
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

static struct span unhex(const char *text, uint8_t out[64])
{
    size_t len = strlen(text) / 2;
    for (size_t i = 0; i < len; i++) {
        uint64_t byte = 0;
        assert_true(span_hex_to_u64(span_of(text + 2 * i, 2), &byte));
        out[i] = (uint8_t)byte;
    }
    return span_of(out, len);
}

/* The GCM specification's test cases (NIST), by their numbers. */
#define KEY_16 "feffe9928665731c6d6a8f9467308308"
#define NONCE "cafebabefacedbaddecaf888"
#define AAD "feedfacedeadbeeffeedfacedeadbeefabaddad2"
#define PLAIN                                                                                  \
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e24" \
    "49a6b525b16aedf5aa0de657ba637b39"
static const struct {
    const char *key, *nonce, *aad, *plain, *sealed, *tag;
} gcm_rows[] = {
    {"00000000000000000000000000000000", "000000000000000000000000", "", "", "",
     "58e2fccefa7e3061367f1d57a4e7455a"}, /* 1 */
    {"00000000000000000000000000000000", "000000000000000000000000", "",
     "00000000000000000000000000000000", "0388dace60b6a392f328c2b971b2fe78",
     "ab6e47d42cec13bdf53a67b21257bddf"}, /* 2 */
    {KEY_16, NONCE, AAD, PLAIN,
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5a"
     "ac84aa051ba30b396a0aac973d58e091",
     "5bc94fbc3221a5db94fae95ae7121a47"}, /* 4 */
    {KEY_16 "feffe9928665731c", NONCE, AAD, PLAIN,
     "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c7d773d00c144c525ac619d18"
     "c84a3f4718e2448b2fe324d9ccda2710",
     "2519498e80f1478f37ba55bd6d27618c"}, /* 10 */
    {KEY_16 KEY_16, NONCE, AAD, PLAIN,
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b10"
     "56828838c5f61e6393ba7a0abcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"}, /* 16 */
};

static void gcm_known_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(gcm_rows); i++) {
        uint8_t mem[6][64], out[64], tag[CRYPTO_GCM_TAG];
        struct span key = unhex(gcm_rows[i].key, mem[0]);
        struct span aad = unhex(gcm_rows[i].aad, mem[1]);
        struct span plain = unhex(gcm_rows[i].plain, mem[2]);
        struct span sealed = unhex(gcm_rows[i].sealed, mem[3]);
        unhex(gcm_rows[i].nonce, mem[4]);
        unhex(gcm_rows[i].tag, mem[5]);
        assert_int_equal(crypto_gcm_seal(key, mem[4], aad, plain, out, tag), ERR_OK);
        assert_true(span_equal(span_of(out, plain.len), sealed));
        assert_memory_equal(tag, mem[5], sizeof(tag));
        /* Opened where it stands. */
        assert_int_equal(
            crypto_gcm_open(key, mem[4], aad, span_of(out, plain.len), mem[5], out), ERR_OK);
        assert_true(span_equal(span_of(out, plain.len), plain));
    }
}

static void gcm_refuses(void **state)
{
    (void)state;
    uint8_t nonce[CRYPTO_GCM_NONCE] = {1}, sealed[5], tag[CRYPTO_GCM_TAG], out[5];
    struct span key = SPAN("0123456789abcdef"), aad = SPAN("head"), plain = SPAN("hello");
    assert_int_equal(crypto_gcm_seal(key, nonce, aad, plain, sealed, tag), ERR_OK);
    struct span bytes = span_of(sealed, 5);
    assert_int_equal(crypto_gcm_open(key, nonce, SPAN("hea"), bytes, tag, out), ERR_REFUSED);
    assert_int_equal(crypto_gcm_open(SPAN("0123456789abcdeF"), nonce, aad, bytes, tag, out),
                     ERR_REFUSED);
    assert_int_equal(crypto_gcm_open(key, nonce, aad, span_until(bytes, 4), tag, out),
                     ERR_REFUSED);
    for (size_t i = 0; i < sizeof(sealed) + sizeof(tag) + sizeof(nonce); i++) {
        uint8_t *byte = i < 5 ? &sealed[i] : i < 21 ? &tag[i - 5] : &nonce[i - 21];
        *byte ^= 0x80;
        assert_int_equal(crypto_gcm_open(key, nonce, aad, bytes, tag, out), ERR_REFUSED);
        *byte ^= 0x80;
    }
    assert_int_equal(crypto_gcm_open(key, nonce, aad, bytes, tag, out), ERR_OK);
    assert_int_equal(crypto_gcm_seal(SPAN("short"), nonce, aad, plain, sealed, tag),
                     ERR_REFUSED);
    assert_int_equal(crypto_gcm_open(SPAN(""), nonce, aad, bytes, tag, out), ERR_REFUSED);
}

static void base64_written(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[9];
        size_t len = 99;
        struct span text = span_text(rows[i][1]);
        assert_int_equal(crypto_base64_encode(span_text(rows[i][0]), out, text.len, &len),
                         ERR_OK);
        assert_true(span_equal(span_of(out, len), text));
        if (text.len > 0)
            assert_int_equal(
                crypto_base64_encode(span_text(rows[i][0]), out, text.len - 1, &len),
                ERR_LIMIT);
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
        cmocka_unit_test(base64_written),
        cmocka_unit_test(gcm_known_answers),
        cmocka_unit_test(gcm_refuses),
        cmocka_unit_test(random_bytes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
