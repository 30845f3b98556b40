/* The bytes as LZW, and as a text: what was compressed decompresses to itself. */
#include "cluster/wire/lzw.h"

#define CAP 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(struct span text)
{
    struct buf lzw, back;
    buf_init(&lzw, 0);
    buf_init(&back, text.len ? text.len : 1);
    must(wire_lzw_encode(text, &lzw) == ERR_OK);
    must(wire_lzw_decode(buf_span(&lzw), &back) == ERR_OK);
    must(span_equal(buf_span(&back), text));
    buf_fini(&lzw);
    buf_fini(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf text, small;
    check_round_trip(span_of(data, size));
    buf_init(&text, CAP);
    enum err err = wire_lzw_decode(span_of(data, size), &text);
    must(err == ERR_OK || err == ERR_SYNTAX || err == ERR_LIMIT);
    must(buf_len(&text) <= CAP);
    if (err == ERR_OK) {
        check_round_trip(buf_span(&text));
        if (buf_len(&text) > 1) { /* a cap below its length is kept */
            buf_init(&small, buf_len(&text) - 1);
            must(wire_lzw_decode(span_of(data, size), &small) == ERR_LIMIT);
            buf_fini(&small);
        }
    }
    buf_fini(&text);
    return 0;
}
