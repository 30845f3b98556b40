#include "cluster/wire/lzw.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/cluster/wire/golden.h"

/* What a real agent compressed: decoded, and encoded to the very same bytes again. */
static void as_serf_does(void **state)
{
    (void)state;
    static const char *const rows[] = {GOLDEN_STREAM_PUSH_PULL, GOLDEN_STREAM_PING,
                                       GOLDEN_COMPRESSED};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf text, back;
        struct span message = golden_bytes(rows[i]);
        struct span lzw = span_from(message, 15); /* 09, Algo, Buf with a raw16 */
        buf_init(&text, 65536);
        buf_init(&back, 65536);
        assert_int_equal(wire_lzw_decode(lzw, &text), ERR_OK);
        assert_true(buf_len(&text) > lzw.len);
        assert_int_equal(wire_lzw_encode(buf_span(&text), &back), ERR_OK);
        assert_true(span_equal(buf_span(&back), lzw));
        /* Cut anywhere, it has no end. */
        for (size_t len = 0; len < lzw.len; len++) {
            struct span cut = golden_bytes(rows[i]);
            buf_clear(&text);
            assert_int_equal(wire_lzw_decode(span_of(cut.ptr + 15, len), &text), ERR_SYNTAX);
            golden_free(cut);
        }
        buf_fini(&text);
        buf_fini(&back);
        golden_free(message);
    }
}

static void small_ones(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum err err;
        const char *text;
        const char *why;
    } rows[] = {
        {"", ERR_SYNTAX, "", "no end"},
        {"00", ERR_SYNTAX, "", "half a code"},
        {"0101", ERR_OK, "", "the end alone"},
        {"000302", ERR_OK, "", "clear, end"},
        {"00c30404", ERR_OK, "a", "clear, a, end"},
        {"610202", ERR_OK, "a", "no clear before it"},
        {"61020209", ERR_OK, "a", "bytes after the end"},
        {"610606", ERR_SYNTAX, "a", "259 after one code"},
        {"61060604", ERR_SYNTAX, "", "a, 259, end: one code too far"},
        {"61040604", ERR_OK, "aaa", "a, 258, end: made by itself"},
        {"0205", ERR_SYNTAX, "", "258 as the first code"},
        {"61040a04", ERR_SYNTAX, "aaa", "258 made by itself, then 258 again, then no end"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf text;
        struct span bytes = golden_bytes(rows[i].hex);
        buf_init(&text, 100);
        enum err err = wire_lzw_decode(bytes, &text);
        if (err != rows[i].err ||
            (err == ERR_OK && !span_equal(buf_span(&text), span_text(rows[i].text))))
            fail_msg("%s: %s", rows[i].hex, rows[i].why);
        buf_fini(&text);
        golden_free(bytes);
    }
}

static void check_round_trip(struct span text)
{
    struct buf lzw, back;
    buf_init(&lzw, 1 << 20);
    buf_init(&back, text.len ? text.len : 1);
    assert_int_equal(wire_lzw_encode(text, &lzw), ERR_OK);
    assert_int_equal(wire_lzw_decode(buf_span(&lzw), &back), ERR_OK);
    assert_true(span_equal(buf_span(&back), text));
    if (text.len > 1) { /* the cap is kept to the byte */
        struct buf small;
        buf_init(&small, text.len - 1);
        assert_int_equal(wire_lzw_decode(buf_span(&lzw), &small), ERR_LIMIT);
        assert_true(buf_len(&small) < text.len);
        buf_fini(&small);
    }
    buf_fini(&lzw);
    buf_fini(&back);
}

static void round_trips(void **state)
{
    (void)state;
    static char text[200000];
    check_round_trip(span_of(text, 0));
    for (size_t len = 1; len < 300; len++)
        check_round_trip(span_of(text, len)); /* of one letter: codes made by themselves */
    check_round_trip(span_of(text, sizeof(text)));
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof(text); i++) {
        x = x * 1664525 + 1013904223;
        text[i] = (char)(x >> 24); /* the table fills up and is cleared many times */
    }
    check_round_trip(span_of(text, sizeof(text)));
    /* At every length around the first time the table is full. */
    for (size_t len = 3830; len < 3850; len++)
        check_round_trip(span_of(text, len));
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = "abcd"[text[i] & 3];
    check_round_trip(span_of(text, sizeof(text)));
}

struct bits {
    uint8_t bytes[8192];
    size_t at;
};

static void put_code(struct bits *b, unsigned code, unsigned width)
{
    for (unsigned i = 0; i < width; i++, b->at++)
        b->bytes[b->at / 8] |= (uint8_t)((code >> i & 1) << b->at % 8);
}

/* A peer need not clear a full table: then it stays as it is. */
static void full_table_stays(void **state)
{
    (void)state;
    static struct bits b;
    struct buf text;
    unsigned next = 257, width = 9;
    for (unsigned i = 0; i < 5000; i++) {
        put_code(&b, 'a' + i % 26, width);
        if (next < 4095 && ++next == 1u << width)
            width++;
    }
    put_code(&b, 4095, 12); /* the last entry: two letters */
    put_code(&b, 257, 12);
    buf_init(&text, 6000);
    assert_int_equal(wire_lzw_decode(span_of(b.bytes, (b.at + 7) / 8), &text), ERR_OK);
    assert_int_equal(buf_len(&text), 5002);
    const char *letters = buf_span(&text).ptr;
    must(letters != NULL);
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(letters[i], 'a' + (int)(i % 26));
    /* Entry 258 + i has the letters i and i + 1. */
    assert_int_equal(letters[5000], 'a' + (4095 - 258) % 26);
    assert_int_equal(letters[5001], 'a' + (4095 - 258 + 1) % 26);
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_serf_does),
        cmocka_unit_test(small_ones),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(full_table_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
