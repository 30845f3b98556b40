/* cluster/wire/lzw.h - LZW as memberlist compresses: Go's compress/lzw, LSB first, 8 bits.
 *
 * Codes are 9 to 12 bits wide; 256 clears the table, 257 ends the stream.
 * Thread: any. Owns nothing: `out` is the caller's, with its cap (base/buf.h).
 * Limits: a code gives at most 3838 bytes; all of them count against the cap of `out`.
 * Errors: ERR_SYNTAX a code that is not in the table, or the bytes end before the end code;
 *         ERR_LIMIT more than `out` may hold. `out` then has a part, to be thrown away.
 */
#pragma once

#include "base/buf.h"

NODISCARD enum err wire_lzw_decode(struct span in, struct buf *out);
NODISCARD enum err wire_lzw_encode(struct span in, struct buf *out);
