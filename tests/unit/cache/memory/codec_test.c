#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/http/message.h"
#include "cache/memory/codec.h"

#define MIB ((size_t)1 << 20)
#define ANY_SIZE UINT64_MAX

static const enum policy_encoding both[] = {POLICY_GZIP, POLICY_ZSTD};

/* --- feeding --- */

struct bytes {
    char *at;
    size_t len, room;
};

static void add(struct bytes *b, const void *from, size_t len)
{
    if (b->len + len > b->room) {
        b->room = (b->len + len) * 2;
        b->at = must_realloc(b->at, b->room);
    }
    if (len)
        memcpy(b->at + b->len, from, len);
    b->len += len;
}

static struct span of(const struct bytes *b)
{
    return span_of(b->at, b->len);
}

/* One call; an exact copy of the input and an exact room, so that the address sanitizer sees a
 * byte too far. */
static enum err run(struct memory_codec *c, struct span *in, enum memory_codec_flush flush,
                    size_t room, struct bytes *out)
{
    char *room_at = must_alloc(room), *copy = must_alloc(in->len ? in->len : 1);
    if (in->len)
        memcpy(copy, in->ptr, in->len);
    struct span given = span_of(copy, in->len);
    size_t got = 12345;
    enum err e = memory_codec_run(c, &given, flush, room_at, room, &got);
    assert_true(got <= room && given.len <= in->len);
    *in = span_from(*in, in->len - given.len);
    add(out, room_at, got);
    free(room_at);
    free(copy);
    return e;
}

/* All of `in`, at most `piece` at a time; how it ended. */
static enum err feed(struct memory_codec *c, struct span in, enum memory_codec_flush flush,
                     size_t piece, size_t room, struct bytes *out)
{
    enum err e = ERR_AGAIN;
    do {
        struct span part = span_until(in, in.len < piece ? in.len : piece);
        in = span_from(in, part.len);
        bool last = in.len == 0;
        do
            e = run(c, &part, last ? flush : MEMORY_CODEC_GO_ON, room, out);
        while (e == ERR_OK);
        assert_true(e != ERR_AGAIN || part.len == 0);
    } while (e == ERR_AGAIN && in.len > 0);
    return e;
}

static struct bytes encoded(enum policy_encoding to, int level, int64_t in_bytes,
                            struct span in, size_t piece, size_t room)
{
    struct bytes out = {0};
    struct memory_codec *c = memory_codec_encoder(to, level, in_bytes);
    assert_non_null(c);
    assert_int_equal(feed(c, in, MEMORY_CODEC_END, piece, room, &out), ERR_CLOSED);
    memory_codec_destroy(c);
    return out;
}

static enum err decode(enum policy_encoding from, struct span in, uint64_t out_max,
                       size_t piece, size_t room, struct bytes *out)
{
    struct memory_codec *c = memory_codec_decoder(from, out_max);
    assert_non_null(c);
    *out = (struct bytes){0};
    enum err e = feed(c, in, MEMORY_CODEC_END, piece, room, out);
    assert_true(out->len <= out_max);
    if (e != ERR_CLOSED) { /* it stays with what it said */
        struct span none = {0};
        assert_int_equal(run(c, &none, MEMORY_CODEC_END, room, out), e);
    }
    memory_codec_destroy(c);
    return e;
}

/* Text of a kind, with some noise in it. */
static struct bytes text_of(size_t len)
{
    static const char *words[] = {"node ", "cache", "<p>", "the ", "\n", "edge", "0123", "of "};
    struct bytes b = {0};
    uint32_t x = 1;
    while (b.len < len) {
        x = x * 1664525 + 1013904223;
        const char *word = words[x >> 29];
        if (x % 5 == 0)
            add(&b, &x, sizeof(x));
        add(&b, word, strlen(word));
    }
    b.len = len;
    return b;
}

static struct bytes zeros(size_t len)
{
    return (struct bytes){must_alloc(len), len, len};
}

/* --- round trips --- */

static void test_round_trips(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 100, 4095, 65536, 300001, 3 * MIB};
    static const struct {
        size_t piece, room;
    } cuts[] = {{SIZE_MAX, 16384}, {1, 16},        {7, 1},
                {4093, 613},       {65537, 16384}, {SIZE_MAX, 8 * MIB}};
    static const int levels[] = {MEMORY_CODEC_QUICK, 6};
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        struct bytes text = text_of(sizes[s]);
        for (size_t i = 0; i < 2 * ARRAY_LEN(cuts) * 2; i++) {
            enum policy_encoding to = both[i % 2];
            size_t cut = i / 4;
            size_t least = sizes[s] > 5000 ? 4093 : 1; /* the large ones: not byte by byte */
            if (cuts[cut].piece < least || (sizes[s] > 5000 && cuts[cut].room < 613))
                continue;
            int64_t known = i & 2 ? (int64_t)sizes[s] : HTTP_LENGTH_UNKNOWN;
            struct bytes back, small = encoded(to, levels[i / 2 % 2], known, of(&text),
                                               cuts[cut].piece, cuts[cut].room);
            assert_true(sizes[s] < 4095 || small.len < text.len * 3 / 4);
            size_t other = ARRAY_LEN(cuts) - 1 - cut;
            size_t piece = cuts[other].piece < least ? least : cuts[other].piece;
            size_t room = sizes[s] > 5000 && cuts[other].room < 613 ? 613 : cuts[other].room;
            assert_int_equal(decode(to, of(&small), sizes[s], piece, room, &back), ERR_CLOSED);
            assert_true(span_equal(of(&back), of(&text)));
            free(back.at);
            free(small.at);
        }
        free(text.at);
    }
}

static void test_levels(void **state)
{
    (void)state;
    struct bytes text = text_of(200000);
    static const int levels[] = {MEMORY_CODEC_QUICK, 1, 9, 12, 19, 22};
    for (size_t k = 0; k < ARRAY_LEN(levels); k++)
        for (size_t i = 0; i < 2; i++) {
            int level = levels[k];
            struct bytes back, small = encoded(both[i], level, HTTP_LENGTH_UNKNOWN, of(&text),
                                               SIZE_MAX, 65536);
            if (both[i] == POLICY_ZSTD) { /* RFC 9659: 8 MiB; RFC 8878 3.1.1.1.2 */
                assert_int_equal(small.at[4] & 0x24, 0); /* not of one segment; no checksum */
                assert_true((uint8_t)small.at[5] <= (23 - 10) << 3);
                assert_true(level > 0 || (uint8_t)small.at[5] <= (18 - 10) << 3);
            }
            assert_int_equal(decode(both[i], of(&small), ANY_SIZE, SIZE_MAX, 65536, &back),
                             ERR_CLOSED);
            assert_true(span_equal(of(&back), of(&text)));
            free(back.at);
            free(small.at);
        }
    free(text.at);
}

static void test_length_not_as_told(void **state)
{
    (void)state;
    static const int64_t told[] = {3, 7};
    for (size_t i = 0; i < ARRAY_LEN(told); i++) {
        struct bytes out = {0};
        struct memory_codec *c = memory_codec_encoder(POLICY_ZSTD, MEMORY_CODEC_QUICK, told[i]);
        assert_int_equal(feed(c, SPAN("12345"), MEMORY_CODEC_END, 1, 100, &out), ERR_CORRUPT);
        memory_codec_destroy(c);
        free(out.at);
    }
}

/* What was given before a flush can be read at once. */
static void test_flush(void **state)
{
    (void)state;
    static const size_t rooms[] = {MEMORY_CODEC_FLUSH_ROOM, 17, 29, 16384};
    struct bytes text = text_of(20000);
    for (size_t i = 0; i < 2 * ARRAY_LEN(rooms); i++) {
        size_t room = rooms[i / 2];
        struct bytes sent = {0}, back = {0};
        struct memory_codec *c =
            memory_codec_encoder(both[i % 2], MEMORY_CODEC_QUICK, HTTP_LENGTH_UNKNOWN);
        struct memory_codec *d = memory_codec_decoder(both[i % 2], ANY_SIZE);
        size_t at = 0, step = 1, none = 0;
        assert_int_equal(feed(c, (struct span){0}, MEMORY_CODEC_FLUSH, 1, room, &sent),
                         ERR_AGAIN);
        while (at < text.len) {
            size_t n = step < text.len - at ? step : text.len - at;
            size_t had = sent.len;
            assert_int_equal(
                feed(c, span_of(text.at + at, n), MEMORY_CODEC_FLUSH, SIZE_MAX, room, &sent),
                ERR_AGAIN);
            at += n;
            step = step * 3 + 1;
            assert_int_equal(
                feed(d, span_from(of(&sent), had), MEMORY_CODEC_GO_ON, 5, 64, &back),
                ERR_AGAIN);
            assert_true(span_equal(of(&back), span_until(of(&text), at)));
            none = sent.len; /* a second flush has nothing to say */
            assert_int_equal(feed(c, (struct span){0}, MEMORY_CODEC_FLUSH, 1, room, &sent),
                             ERR_AGAIN);
            assert_int_equal(sent.len, none);
        }
        assert_int_equal(feed(c, (struct span){0}, MEMORY_CODEC_END, 1, 1, &sent), ERR_CLOSED);
        assert_int_equal(
            feed(d, span_from(of(&sent), none), MEMORY_CODEC_END, SIZE_MAX, 64, &back),
            ERR_CLOSED);
        memory_codec_destroy(c);
        memory_codec_destroy(d);
        free(sent.at);
        free(back.at);
    }
    free(text.at);
}

/* --- what others made, and damage --- */

#define HELLO "hello hello hello hello\n"
/* gzip 1.12 without and with a name; zstd 1.5.4 with checksum and length, without both */
#define GZIP_PLAIN                                                                             \
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x27\xb9\x00\x00" \
    "\x88\x59\x0b\x18\x00\x00\x00"
#define GZIP_NAMED                                                                             \
    "\x1f\x8b\x08\x08\x5f\x8c\x07\x6b\x00\x03\x68\x00\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x27\xb9" \
    "\x00\x00\x88\x59\x0b\x18\x00\x00\x00"
#define ZSTD_CHECKED                                                                           \
    "\x28\xb5\x2f\xfd\x24\x18\x6d\x00\x00\x38\x68\x65\x6c\x6c\x6f\x20\x0a\x01\x00\x99\x4b\x11" \
    "\xa8\x7c\x2e\xa8"
#define ZSTD_PLAIN                                                                             \
    "\x28\xb5\x2f\xfd\x00\x58\x6d\x00\x00\x38\x68\x65\x6c\x6c\x6f\x20\x0a\x01\x00\x99\x4b\x11"
#define SKIPPED "\x50\x2a\x4d\x18\x03\x00\x00\x00xyz"
/* A zstd frame with a window (RFC 8878 3.1.1.1.2) of that octet, and one raw block of 3. */
#define WINDOW(octet)                                                                          \
    "\x28\xb5\x2f\xfd\x00" octet "\x19\x00\x00"                                                \
    "abc"
/* Likewise, which also says that its content is of 256 octets: one block of them, repeated. */
#define WINDOW_256(octet)                                                                      \
    "\x28\xb5\x2f\xfd\x40" octet "\x00\x00\x03\x08\x00"                                        \
    "a"

#define BYTES(literal)                                                                         \
    {                                                                                          \
        (literal), sizeof(literal) - 1                                                         \
    }

static const struct {
    const char *why;
    enum policy_encoding from;
    struct span in;
    enum err end;
    struct span out; /* all of it, or its begin when broken */
} rows[] = {
    {"gzip", POLICY_GZIP, BYTES(GZIP_PLAIN), ERR_CLOSED, BYTES(HELLO)},
    {"gzip with a name", POLICY_GZIP, BYTES(GZIP_NAMED), ERR_CLOSED, BYTES(HELLO)},
    {"zstd with a checksum", POLICY_ZSTD, BYTES(ZSTD_CHECKED), ERR_CLOSED, BYTES(HELLO)},
    {"zstd", POLICY_ZSTD, BYTES(ZSTD_PLAIN), ERR_CLOSED, BYTES(HELLO)},
    {"two members", POLICY_GZIP, BYTES(GZIP_PLAIN GZIP_NAMED), ERR_CLOSED, BYTES(HELLO HELLO)},
    {"frames, some skippable", POLICY_ZSTD,
     BYTES(SKIPPED ZSTD_PLAIN SKIPPED SKIPPED ZSTD_CHECKED ZSTD_PLAIN SKIPPED), ERR_CLOSED,
     BYTES(HELLO HELLO HELLO)},
    {"a skippable frame alone", POLICY_ZSTD, BYTES(SKIPPED), ERR_CLOSED, BYTES("")},
    {"half a skippable frame", POLICY_ZSTD, BYTES("\x50\x2a\x4d\x18\x03\x00\x00\x00xy"),
     ERR_CORRUPT, BYTES("")},
    {"nothing of gzip", POLICY_GZIP, BYTES(""), ERR_CLOSED, BYTES("")},
    {"nothing of zstd", POLICY_ZSTD, BYTES(""), ERR_CLOSED, BYTES("")},
    {"text is no gzip", POLICY_GZIP, BYTES("<html>"), ERR_CORRUPT, BYTES("")},
    {"text is no zstd", POLICY_ZSTD, BYTES("<html>"), ERR_CORRUPT, BYTES("")},
    {"zstd is no gzip", POLICY_GZIP, BYTES(ZSTD_PLAIN), ERR_CORRUPT, BYTES("")},
    {"gzip is no zstd", POLICY_ZSTD, BYTES(GZIP_PLAIN), ERR_CORRUPT, BYTES("")},
    {"zlib's format", POLICY_GZIP, BYTES("\x78\x9c\x03\x00\x00\x00\x00\x01"), ERR_CORRUPT,
     BYTES("")},
    {"rubbish after gzip", POLICY_GZIP, BYTES(GZIP_PLAIN "x"), ERR_CORRUPT, BYTES(HELLO)},
    {"zeros after gzip", POLICY_GZIP, BYTES(GZIP_PLAIN "\0\0\0"), ERR_CORRUPT, BYTES(HELLO)},
    {"rubbish after zstd", POLICY_ZSTD, BYTES(ZSTD_PLAIN "rubbish"), ERR_CORRUPT, BYTES(HELLO)},
    {"a format before RFC 8878", POLICY_ZSTD,
     BYTES("\x27\xb5\x2f\xfd\x00\x58\x6d\x00\x00\x38\x68\x65"), ERR_CORRUPT, BYTES("")},
    {"a dictionary that we do not have", POLICY_ZSTD,
     BYTES("\x28\xb5\x2f\xfd\x01\x58\x07\x19\x00\x00"
           "abc"),
     ERR_CORRUPT, BYTES("")},
    {"a window of 8 MiB", POLICY_ZSTD, BYTES(WINDOW("\x68")), ERR_CLOSED, BYTES("abc")},
    {"of 9 MiB", POLICY_ZSTD, BYTES(WINDOW("\x69")), ERR_LIMIT, BYTES("")},
    {"of 2 TiB", POLICY_ZSTD, BYTES(WINDOW("\xf8")), ERR_LIMIT, BYTES("")},
    {"of 9 MiB, for little", POLICY_ZSTD, BYTES(WINDOW_256("\x69")), ERR_LIMIT, BYTES("")},
    {"one segment of 1 GiB", POLICY_ZSTD,
     BYTES("\x28\xb5\x2f\xfd\xa0\x00\x00\x00\x40"
           "\x19\x00\x00"
           "abc"),
     ERR_LIMIT, BYTES("")},
};

static void test_rows(void **state)
{
    (void)state;
    static const size_t pieces[] = {SIZE_MAX, 1, 5};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t k = 0; k < 6; k++) {
            struct bytes out;
            enum err e = decode(rows[i].from, rows[i].in, ANY_SIZE, pieces[k % 3],
                                k < 3 ? 4096 : 3, &out);
            bool right = e == ERR_CLOSED ? span_equal(of(&out), rows[i].out)
                                         : span_starts(rows[i].out, of(&out));
            if (e != rows[i].end || !right)
                fail_msg("%s: %s, %zu bytes", rows[i].why, err_text(e), out.len);
            free(out.at);
        }
}

static void test_window_little(void **state)
{
    (void)state;
    struct bytes out;
    assert_int_equal(
        decode(POLICY_ZSTD, SPAN(WINDOW_256("\x68")), ANY_SIZE, SIZE_MAX, 4096, &out),
        ERR_CLOSED);
    assert_int_equal(out.len, 256);
    free(out.at);
}

static void test_truncated(void **state)
{
    (void)state;
    struct bytes text = text_of(3000);
    for (size_t i = 0; i < 2; i++) {
        struct bytes out, small = encoded(both[i], MEMORY_CODEC_QUICK, HTTP_LENGTH_UNKNOWN,
                                          of(&text), SIZE_MAX, 4096);
        for (size_t len = 1; len < small.len; len++) {
            assert_int_equal(decode(both[i], span_until(of(&small), len), ANY_SIZE,
                                    len % 2 ? SIZE_MAX : 3, len % 3 ? 4096 : 10, &out),
                             ERR_CORRUPT);
            assert_true(span_starts(of(&text), of(&out)));
            free(out.at);
        }
        free(small.at);
    }
    free(text.at);
}

/* gzip's checksum finds it, or the octet does not matter; zstd has none. */
static void test_flipped(void **state)
{
    (void)state;
    struct bytes text = text_of(400);
    for (size_t i = 0; i < 2; i++) {
        size_t found = 0;
        struct bytes out,
            small = encoded(both[i], 6, HTTP_LENGTH_UNKNOWN, of(&text), SIZE_MAX, 4096);
        for (size_t bit = 0; bit < small.len * 8; bit++) {
            small.at[bit / 8] = (char)(small.at[bit / 8] ^ (1 << bit % 8));
            enum err e = decode(both[i], of(&small), 800, bit % 3 ? SIZE_MAX : 7, 4096, &out);
            if (e != ERR_CLOSED)
                found++;
            else if (both[i] == POLICY_GZIP)
                assert_true(span_equal(of(&out), of(&text)));
            small.at[bit / 8] = (char)(small.at[bit / 8] ^ (1 << bit % 8));
            free(out.at);
        }
        assert_true(found > 8);
        free(small.at);
    }
    free(text.at);
}

/* --- limits --- */

static void test_out_max(void **state)
{
    (void)state;
    struct bytes text = text_of(100000);
    for (size_t i = 0; i < 4; i++) {
        struct bytes out, small = encoded(both[i % 2], MEMORY_CODEC_QUICK, HTTP_LENGTH_UNKNOWN,
                                          of(&text), SIZE_MAX, 65536);
        size_t room = i < 2 ? 65536 : 1000;
        assert_int_equal(decode(both[i % 2], of(&small), 100000, SIZE_MAX, room, &out),
                         ERR_CLOSED);
        free(out.at);
        assert_int_equal(decode(both[i % 2], of(&small), 99999, SIZE_MAX, room, &out),
                         ERR_LIMIT);
        assert_true(span_starts(of(&text), of(&out)));
        free(out.at);
        free(small.at);
    }
    free(text.at);
}

/* 64 MiB of zeros are 64 KiB of gzip. */
static void test_gzip_bomb(void **state)
{
    (void)state;
    struct bytes zero = zeros(64 * MIB), out;
    struct bytes small =
        encoded(POLICY_GZIP, 9, HTTP_LENGTH_UNKNOWN, of(&zero), SIZE_MAX, 65536);
    assert_int_equal(decode(POLICY_GZIP, of(&small), ANY_SIZE, 16384, 16384, &out), ERR_LIMIT);
    assert_true(out.len <= MIB + small.len * MEMORY_CODEC_EXPANSION && out.len < zero.len);
    free(out.at);
    free(small.at);
    /* and what is under the limit passes */
    small = encoded(POLICY_GZIP, 9, HTTP_LENGTH_UNKNOWN, span_until(of(&zero), 16 * MIB),
                    SIZE_MAX, 65536);
    assert_int_equal(decode(POLICY_GZIP, of(&small), 16 * MIB, 16384, 16384, &out), ERR_CLOSED);
    assert_int_equal(out.len, 16 * MIB);
    free(out.at);
    free(small.at);
    free(zero.at);
}

/* 1 GiB in blocks of one octet, repeated 128 Ki times: four octets each (RFC 8878 3.1.1.2). */
static void test_zstd_bomb(void **state)
{
    (void)state;
    struct bytes bomb = {0}, out;
    add(&bomb, "\x28\xb5\x2f\xfd\x00\x58", 6);
    for (unsigned i = 0; i < 8192; i++) {
        uint32_t head = 131072u << 3 | 1u << 1 | (i == 8191);
        char block[4] = {(char)head, (char)(head >> 8), (char)(head >> 16), 'z'};
        add(&bomb, block, sizeof(block));
    }
    assert_int_equal(decode(POLICY_ZSTD, of(&bomb), ANY_SIZE, SIZE_MAX, 16384, &out),
                     ERR_LIMIT);
    assert_true(out.len >= MIB - 16384 && out.len < MIB + 131072);
    free(out.at);
    free(bomb.at);
}

static void test_memory(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        bool encodes;
        enum policy_encoding encoding;
        int level;
        int64_t in_bytes;
        size_t least, most;
    } figures[] = {
        {"gzip, quick", true, POLICY_GZIP, 0, -1, 256 << 10, 300 << 10},
        {"gzip, best", true, POLICY_GZIP, 9, -1, 256 << 10, 300 << 10},
        {"gzip, decoding", false, POLICY_GZIP, 0, -1, 40 << 10, 64 << 10},
        {"zstd, quick", true, POLICY_ZSTD, 0, -1, 256 << 10, 2 << 20},
        {"zstd, quick and small", true, POLICY_ZSTD, 0, 5000, 8 << 10, 256 << 10},
        {"zstd, best", true, POLICY_ZSTD, 19, -1, 8 << 20, 128 << 20},
        {"zstd, decoding", false, POLICY_ZSTD, 0, -1, 16 << 10, 256 << 10},
    };
    for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
        struct memory_codec *c =
            figures[i].encodes ? memory_codec_encoder(figures[i].encoding, figures[i].level,
                                                      figures[i].in_bytes)
                               : memory_codec_decoder(figures[i].encoding, ANY_SIZE);
        size_t bytes = memory_codec_bytes(c);
        if (bytes < figures[i].least || bytes > figures[i].most)
            fail_msg("%s: %zu bytes", figures[i].why, bytes);
        memory_codec_destroy(c);
    }
    memory_codec_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_length_not_as_told),
        cmocka_unit_test(test_flush),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_window_little),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_out_max),
        cmocka_unit_test(test_gzip_bomb),
        cmocka_unit_test(test_zstd_bomb),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
