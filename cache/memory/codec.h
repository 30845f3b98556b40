/* cache/memory/codec.h - gzip and zstd streams, both ways.
 *
 * The door to zlib and zstd. Bytes in, bytes out, nothing else: who feeds it decides about
 * threads and buffers. RFC 1952, 8878, 9659 (a zstd window of at most 8 MiB, both ways).
 *
 * Decoding takes several gzip members or zstd frames in a row (and skippable frames), checks
 * the checksums, and ends with ERR_CORRUPT for anything else: broken, truncated (the input
 * ended in the middle), or followed by rubbish. No input at all is no content: servers say
 * Content-Encoding of empty bodies, too. It never gives more than `out_max` bytes, nor
 * more than MEMORY_CODEC_EXPANSION times what it was given (a first MiB is free): ERR_LIMIT.
 *
 * Thread: one at a time. Owns: its state: gzip about 270 KiB encoding and 44 KiB decoding; zstd
 * by level and size, see memory_codec_bytes. Errors: ERR_CORRUPT, ERR_LIMIT, ERR_SYS (no
 * memory); afterwards only destroy.
 */
#pragma once

#include "base/span.h"
#include "cache/policy/encoding.h"

#define MEMORY_CODEC_EXPANSION 1000u
#define MEMORY_CODEC_QUICK 0 /* level: about as fast as the network; less memory */
#define MEMORY_CODEC_FLUSH_ROOM 16u

struct memory_codec;

/* `to_or_from`: POLICY_GZIP or POLICY_ZSTD. `level`: of the library, or MEMORY_CODEC_QUICK.
 * `in_bytes`: how many will come, HTTP_LENGTH_UNKNOWN. NULL: no memory. */
struct memory_codec *memory_codec_encoder(enum policy_encoding to, int level, int64_t in_bytes);
struct memory_codec *memory_codec_decoder(enum policy_encoding from, uint64_t out_max);
void memory_codec_destroy(struct memory_codec *c); /* NULL ok */

enum memory_codec_flush {
    MEMORY_CODEC_GO_ON, /* more will come, soon */
    MEMORY_CODEC_FLUSH, /* encoder: all that was given shall be readable by the other side */
    MEMORY_CODEC_END,   /* nothing more will come */
};
/* Takes from *in what it can (the rest stays in it) and writes up to `room` bytes (> 0; to
 * flush an encoder at least MEMORY_CODEC_FLUSH_ROOM). After an error nothing of it counts.
 * ERR_OK: call again with what is left of *in, and while *got == room; with FLUSH and END until
 * ERR_AGAIN or ERR_CLOSED. ERR_AGAIN: all of *in is taken and, with FLUSH, all of it is out.
 * ERR_CLOSED (END): all is out; *got may be more than 0. */
NODISCARD enum err memory_codec_run(struct memory_codec *c, struct span *in,
                                    enum memory_codec_flush flush, char *out, size_t room,
                                    size_t *got);
size_t memory_codec_bytes(const struct memory_codec *c); /* its memory, about */
