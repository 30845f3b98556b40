/* tests/fuzz/cache/memory/codec_fuzz.c - any bytes as gzip and as zstd.
 *
 * The first octet says which (its lowest bit), and how the input is cut the second time.
 * Checked: no more comes out than may, and cut or not it is the same, for as long as none of
 * the two meets a limit.
 */
#include <stdlib.h>

#include "cache/memory/codec.h"

#define OUT_MAX ((uint64_t)3 << 19)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition)
        abort();
}

struct outcome {
    enum err end;
    size_t len;
    char *bytes; /* OUT_MAX + 1 */
};

static void decode(enum policy_encoding from, struct span in, size_t piece, size_t room,
                   struct outcome *out)
{
    struct memory_codec *c = memory_codec_decoder(from, OUT_MAX);
    size_t taken = 0;
    check(c != NULL);
    out->len = 0;
    do {
        struct span part = span_until(in, in.len < piece ? in.len : piece);
        in = span_from(in, part.len);
        do {
            size_t before = part.len, got, space = OUT_MAX + 1 - out->len;
            space = space < room ? space : room;
            out->end =
                memory_codec_run(c, &part, in.len ? MEMORY_CODEC_GO_ON : MEMORY_CODEC_END,
                                 out->bytes + out->len, space, &got);
            check(got <= space && part.len <= before);
            check(out->end != ERR_OK || got == space || part.len < before);
            taken += before - part.len;
            out->len += got;
            check(out->len <= OUT_MAX);
            check(out->len <= ((size_t)1 << 20) + (taken + 1) * MEMORY_CODEC_EXPANSION);
        } while (out->end == ERR_OK);
    } while (out->end == ERR_AGAIN && in.len > 0);
    check(out->end == ERR_CLOSED || out->end == ERR_CORRUPT || out->end == ERR_LIMIT);
    check(out->end != ERR_CLOSED || taken > 0 || out->len == 0);
    memory_codec_destroy(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct outcome whole, cut;
    if (size < 1)
        return 0;
    if (!whole.bytes) {
        whole.bytes = must_alloc(OUT_MAX + 1);
        cut.bytes = must_alloc(OUT_MAX + 1);
    }
    enum policy_encoding from = data[0] & 1 ? POLICY_ZSTD : POLICY_GZIP;
    size_t piece = 1 + (data[0] >> 1) % 16, room = data[0] & 64 ? 65536 : 1000 + data[0];
    struct span in = span_of(data + 1, size - 1);
    decode(from, in, SIZE_MAX, OUT_MAX + 1, &whole);
    decode(from, in, piece, room, &cut);
    size_t least = whole.len < cut.len ? whole.len : cut.len;
    check(memcmp(whole.bytes, cut.bytes, least) == 0);
    if (whole.end == ERR_LIMIT || cut.end == ERR_LIMIT)
        return 0;
    check(whole.end == cut.end);
    check(whole.end != ERR_CLOSED || whole.len == cut.len);
    return 0;
}
