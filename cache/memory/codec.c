#include "cache/memory/codec.h"

#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/http/message.h"

#define GZIP_BITS (15 + 16) /* a window of 32 KiB; gzip's head and trailer, no other's */
#define GZIP_MEMORY_LEVEL 8
#define GZIP_LEVEL_MAX 9
#define GZIP_PIECE_MAX ((size_t)1 << 30) /* zlib counts in unsigned int */
#define GZIP_ENCODER_BYTES ((size_t)270 << 10)
#define GZIP_DECODER_BYTES ((size_t)44 << 10)

#define ZSTD_LEVEL_TOP 19      /* the last whose window is not over ZSTD_WINDOW_LOG_MAX */
#define ZSTD_LEVEL_QUICK 3     /* as small as gzip 6, and three times as fast */
#define ZSTD_WINDOW_LOG_MAX 23 /* RFC 9659 3 */
#define ZSTD_WINDOW_LOG_QUICK 18
#define ZSTD_HEAD_MAX 18u /* RFC 8878 3.1.1: magic number and frame header */

#define FREE_BYTES (UINT64_C(1) << 20) /* may come of however little */

/* One call of the library: takes from *in, writes at out + *got. ERR_OK: it may go on. */
typedef enum err step_fn(struct memory_codec *c, struct span *in, enum memory_codec_flush flush,
                         char *out, size_t room, size_t *got);

struct memory_codec {
    step_fn *step;
    z_stream z;
    ZSTD_CCtx *compressor;
    ZSTD_DCtx *decompressor;
    bool encodes;
    bool unflushed; /* encoder: it took bytes that a FLUSH has to bring out */
    bool full;      /* the last call filled its room: there may be more without input */
    bool open;      /* decoder: inside a member or frame */
    bool seen;      /* decoder: one was whole */
    unsigned head;  /* zstd's decoder: bytes of the frame, while they may be of its head */
    enum err end;   /* once it ended: how */
    uint64_t in_bytes, out_bytes, out_max;
};

/* --- gzip --- */

static size_t gzip_lend(z_stream *z, struct span in, char *out, size_t room)
{
    size_t piece = in.len < GZIP_PIECE_MAX ? in.len : GZIP_PIECE_MAX;
    size_t space = room < GZIP_PIECE_MAX ? room : GZIP_PIECE_MAX;
    z->next_in = (const Bytef *)in.ptr;
    z->avail_in = (uInt)piece;
    z->next_out = (Bytef *)out;
    z->avail_out = (uInt)space;
    return space;
}

static enum err gzip_encode(struct memory_codec *c, struct span *in,
                            enum memory_codec_flush flush, char *out, size_t room, size_t *got)
{
    static const int how[] = {[MEMORY_CODEC_GO_ON] = Z_NO_FLUSH,
                              [MEMORY_CODEC_FLUSH] = Z_SYNC_FLUSH,
                              [MEMORY_CODEC_END] = Z_FINISH};
    bool last = in->len <= GZIP_PIECE_MAX;
    size_t space = gzip_lend(&c->z, *in, out + *got, room - *got);
    int said = deflate(&c->z, last ? how[flush] : Z_NO_FLUSH);
    if (said != Z_OK && said != Z_STREAM_END && said != Z_BUF_ERROR)
        return ERR_CORRUPT;
    *in = span_from(*in, (size_t)((const char *)c->z.next_in - in->ptr));
    *got += space - c->z.avail_out;
    if (said == Z_STREAM_END)
        return ERR_CLOSED;
    return c->z.avail_out == 0 || in->len > 0 ? ERR_OK : ERR_AGAIN;
}

static enum err gzip_decode(struct memory_codec *c, struct span *in,
                            enum memory_codec_flush flush, char *out, size_t room, size_t *got)
{
    (void)flush;
    if (!c->open && inflateReset(&c->z) != Z_OK)
        return ERR_SYS;
    c->open = true;
    size_t space = gzip_lend(&c->z, *in, out + *got, room - *got);
    int said = inflate(&c->z, Z_NO_FLUSH);
    if (said == Z_MEM_ERROR)
        return ERR_SYS;
    if (said != Z_OK && said != Z_STREAM_END && said != Z_BUF_ERROR)
        return ERR_CORRUPT;
    *in = span_from(*in, (size_t)((const char *)c->z.next_in - in->ptr));
    *got += space - c->z.avail_out;
    if (said == Z_STREAM_END) {
        c->open = false;
        c->seen = true;
    }
    return ERR_OK;
}

/* --- zstd --- */

static enum err zstd_error(size_t said)
{
    switch ((unsigned)ZSTD_getErrorCode(said)) {
    case ZSTD_error_memory_allocation:
        return ERR_SYS;
    case ZSTD_error_frameParameter_windowTooLarge:
        return ERR_LIMIT;
    }
    return ERR_CORRUPT;
}

static enum err zstd_encode(struct memory_codec *c, struct span *in,
                            enum memory_codec_flush flush, char *out, size_t room, size_t *got)
{
    static const ZSTD_EndDirective how[] = {[MEMORY_CODEC_GO_ON] = ZSTD_e_continue,
                                            [MEMORY_CODEC_FLUSH] = ZSTD_e_flush,
                                            [MEMORY_CODEC_END] = ZSTD_e_end};
    ZSTD_inBuffer from = {in->ptr, in->len, 0};
    ZSTD_outBuffer to = {out, room, *got};
    size_t said = ZSTD_compressStream2(c->compressor, &to, &from, how[flush]);
    if (ZSTD_isError(said))
        return zstd_error(said);
    *in = span_from(*in, from.pos);
    *got = to.pos;
    if (flush == MEMORY_CODEC_GO_ON)
        return in->len > 0 || to.pos == room ? ERR_OK : ERR_AGAIN;
    if (said > 0)
        return ERR_OK;
    return flush == MEMORY_CODEC_END ? ERR_CLOSED : ERR_AGAIN;
}

/* A frame that lies there as a whole is decoded at once by the library, whatever its window,
 * and so are frames of formats before RFC 8878. A head that comes byte by byte keeps it from
 * both, and makes the outcome the same however the input is cut. */
static enum err zstd_decode(struct memory_codec *c, struct span *in,
                            enum memory_codec_flush flush, char *out, size_t room, size_t *got)
{
    (void)flush;
    if (!c->open)
        c->head = 0;
    c->open = true;
    size_t piece = in->len > 1 && c->head < ZSTD_HEAD_MAX ? 1 : in->len;
    ZSTD_inBuffer from = {in->ptr, piece, 0};
    ZSTD_outBuffer to = {out, room, *got};
    size_t said = ZSTD_decompressStream(c->decompressor, &to, &from);
    if (ZSTD_isError(said))
        return zstd_error(said);
    if (c->head < ZSTD_HEAD_MAX)
        c->head += (unsigned)from.pos;
    *in = span_from(*in, from.pos);
    *got = to.pos;
    if (said == 0) {
        c->open = false;
        c->seen = true;
    }
    return ERR_OK;
}

/* --- both --- */

static enum err encode(struct memory_codec *c, struct span *in, enum memory_codec_flush flush,
                       char *out, size_t room, size_t *got)
{
    /* zlib repeats its mark for ever where it does not fit. */
    must(flush != MEMORY_CODEC_FLUSH || room >= MEMORY_CODEC_FLUSH_ROOM);
    if (in->len > 0)
        c->unflushed = true;
    else if (!c->full &&
             (flush == MEMORY_CODEC_GO_ON || (flush == MEMORY_CODEC_FLUSH && !c->unflushed)))
        return ERR_AGAIN;
    enum err e;
    do
        e = c->step(c, in, flush, out, room, got);
    while (e == ERR_OK && *got < room);
    c->full = *got == room;
    if (e == ERR_AGAIN && flush == MEMORY_CODEC_FLUSH)
        c->unflushed = false;
    return e;
}

static enum err check_limits(const struct memory_codec *c)
{
    if (c->out_bytes > c->out_max)
        return ERR_LIMIT;
    return c->out_bytes > FREE_BYTES &&
                   (c->out_bytes - FREE_BYTES) / MEMORY_CODEC_EXPANSION > c->in_bytes
               ? ERR_LIMIT
               : ERR_OK;
}

static enum err decode(struct memory_codec *c, struct span *in, enum memory_codec_flush flush,
                       char *out, size_t room, size_t *got)
{
    while (*got < room && (in->len > 0 || (c->open && c->full))) {
        size_t before = in->len, had = *got;
        enum err e = c->step(c, in, flush, out, room, got);
        c->full = *got == room;
        c->in_bytes += before - in->len;
        c->out_bytes += *got - had;
        if (e == ERR_OK)
            e = check_limits(c);
        if (e != ERR_OK)
            return e;
    }
    if (in->len > 0 || (c->open && c->full))
        return ERR_OK;
    if (flush != MEMORY_CODEC_END)
        return ERR_AGAIN;
    return c->open || (!c->seen && c->in_bytes > 0) ? ERR_CORRUPT : ERR_CLOSED;
}

enum err memory_codec_run(struct memory_codec *c, struct span *in,
                          enum memory_codec_flush flush, char *out, size_t room, size_t *got)
{
    must(room > 0);
    *got = 0;
    if (c->end != ERR_OK)
        return c->end;
    enum err e = c->encodes ? encode(c, in, flush, out, room, got)
                            : decode(c, in, flush, out, room, got);
    if (e == ERR_OK || e == ERR_AGAIN)
        return e;
    c->end = e;
    if (e != ERR_CLOSED)
        *got = 0;
    return e;
}

static struct memory_codec *create(void)
{
    return calloc(1, sizeof(struct memory_codec));
}

static bool gzip_encoder(struct memory_codec *c, int level)
{
    if (level == MEMORY_CODEC_QUICK)
        level = Z_BEST_SPEED;
    level = level > GZIP_LEVEL_MAX ? GZIP_LEVEL_MAX : level;
    c->step = gzip_encode;
    return deflateInit2(&c->z, level, Z_DEFLATED, GZIP_BITS, GZIP_MEMORY_LEVEL,
                        Z_DEFAULT_STRATEGY) == Z_OK;
}

static bool zstd_encoder(struct memory_codec *c, int level, int64_t in_bytes)
{
    bool quick = level == MEMORY_CODEC_QUICK;
    unsigned long long pledge =
        in_bytes >= 0 ? (unsigned long long)in_bytes : ZSTD_CONTENTSIZE_UNKNOWN;
    level = quick ? ZSTD_LEVEL_QUICK : level > ZSTD_LEVEL_TOP ? ZSTD_LEVEL_TOP : level;
    c->step = zstd_encode;
    c->compressor = ZSTD_createCCtx();
    if (!c->compressor)
        return false;
    const struct {
        ZSTD_cParameter name;
        int value;
    } settings[] = {{ZSTD_c_compressionLevel, level},
                    {ZSTD_c_checksumFlag, 0},
                    {ZSTD_c_windowLog, quick ? ZSTD_WINDOW_LOG_QUICK : 0}};
    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        if (ZSTD_isError(
                ZSTD_CCtx_setParameter(c->compressor, settings[i].name, settings[i].value)))
            return false;
    if (ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(c->compressor, pledge)))
        return false;
    /* Nothing goes in and nothing comes out, but its memory is had now or never. */
    ZSTD_inBuffer from = {0};
    ZSTD_outBuffer to = {0};
    return !ZSTD_isError(ZSTD_compressStream2(c->compressor, &to, &from, ZSTD_e_continue));
}

struct memory_codec *memory_codec_encoder(enum policy_encoding to, int level, int64_t in_bytes)
{
    must(to == POLICY_GZIP || to == POLICY_ZSTD);
    must(level >= 0);
    struct memory_codec *c = create();
    if (!c)
        return NULL;
    c->encodes = true;
    if (to == POLICY_GZIP ? gzip_encoder(c, level) : zstd_encoder(c, level, in_bytes))
        return c;
    memory_codec_destroy(c);
    return NULL;
}

static bool zstd_decoder(struct memory_codec *c)
{
    c->step = zstd_decode;
    c->decompressor = ZSTD_createDCtx();
    return c->decompressor && !ZSTD_isError(ZSTD_DCtx_setParameter(
                                  c->decompressor, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX));
}

struct memory_codec *memory_codec_decoder(enum policy_encoding from, uint64_t out_max)
{
    must(from == POLICY_GZIP || from == POLICY_ZSTD);
    struct memory_codec *c = create();
    if (!c)
        return NULL;
    c->out_max = out_max;
    if (from == POLICY_GZIP)
        c->step = gzip_decode;
    if (from == POLICY_GZIP ? inflateInit2(&c->z, GZIP_BITS) == Z_OK : zstd_decoder(c))
        return c;
    memory_codec_destroy(c);
    return NULL;
}

void memory_codec_destroy(struct memory_codec *c)
{
    if (!c)
        return;
    if (c->step == gzip_encode)
        (void)deflateEnd(&c->z);
    else if (c->step == gzip_decode)
        (void)inflateEnd(&c->z);
    ZSTD_freeCCtx(c->compressor);
    ZSTD_freeDCtx(c->decompressor);
    free(c);
}

size_t memory_codec_bytes(const struct memory_codec *c)
{
    if (c->compressor)
        return sizeof(*c) + ZSTD_sizeof_CCtx(c->compressor);
    if (c->decompressor)
        return sizeof(*c) + ZSTD_sizeof_DCtx(c->decompressor);
    return sizeof(*c) + (c->encodes ? GZIP_ENCODER_BYTES : GZIP_DECODER_BYTES);
}
