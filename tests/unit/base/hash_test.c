#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Key 00..0f, message 00, 01, ... of the length given: the authors' vectors. */
static void siphash_vectors(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint64_t sip64, lo, hi; /* little endian reading of the octets */
    } rows[] = {
        {0, 0x726fdb47dd0e0e31, 0xe6a825ba047f81a3, 0x930255c71472f66d},
        {1, 0x74f839c593dc67fd, 0x44af996bd8c187da, 0x45fc229b11597634},
        {7, 0xab0200f58b01d137, 0x53c1dbd8beebf1a1, 0x3982f01fa64ab8c0},
        {8, 0x93f5f5799a932462, 0x61f55862baa9623b, 0xb49714f364e2830f},
        {9, 0x9e0082df0ba9e4b0, 0xabbad90a06994426, 0xed716dbb028b7fc4},
        {15, 0xa129ca6149be45e5, 0x11a8b03399e99354, 0xd9c3cf970fec087e},
        {16, 0x3f2acc7f57c29bdb, 0xbb54b067caa4e26e, 0x77052385bf1533fd},
        {63, 0x958a324ceb064572, 0x4a83502f77d15051, 0x7cbd3f979a063e50},
    };
    struct hash_key key = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    uint8_t message[64];
    for (unsigned i = 0; i < sizeof(message); i++)
        message[i] = (uint8_t)i;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct span s = span_of(message, rows[i].len);
        struct hash128 wide = hash_sip128(&key, s);
        assert_true(hash_sip64(&key, s) == rows[i].sip64);
        assert_true(hash128_equal(wide, (struct hash128){.hi = rows[i].hi, .lo = rows[i].lo}));
    }
}

static void xxh3_in_pieces_is_the_whole(void **state)
{
    (void)state;
    static char bytes[3000];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7);
    struct hash_stream *s = hash_stream_create();
    assert_true(hash_stream_value(s) == hash_xxh3(span_of(NULL, 0)));
    for (size_t at = 0; at < sizeof(bytes); at += 300)
        hash_stream_add(s, span_of(bytes + at, 300));
    hash_stream_add(s, span_of(NULL, 0));
    assert_true(hash_stream_value(s) == hash_xxh3(span_of(bytes, sizeof(bytes))));
    hash_stream_destroy(s);
    hash_stream_destroy(NULL);
    assert_true(hash_xxh3(span_of(NULL, 0)) == UINT64_C(0x2d06800538d394c2)); /* XXH3_64b("") */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_vectors),
        cmocka_unit_test(xxh3_in_pieces_is_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
