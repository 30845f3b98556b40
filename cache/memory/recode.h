/* cache/memory/recode.h - a reader's bytes encoded or decoded while they are sent.
 *
 * For the first answer of a cold object, at a low level, and for a client that cannot take what
 * the origin sent, until the stored form is made (encoder.h). Pull only, as the reader beneath:
 * each peek makes at most MEMORY_RECODE_BYTES, so that it costs a loop well under a
 * millisecond. When the reader has nothing more yet (an origin that sends piece by piece), what
 * came is flushed.
 *
 * Thread: the reader's. Owns: the codec and one buffer. The reader is borrowed.
 * Limits: MEMORY_RECODES_MAX at once in a process; the rest: NULL, and the caller sends the
 * object as it is, or answers 503. Errors of decoding: the answer must be cut; the object is
 * marked, and not decoded again.
 */
#pragma once

#include "cache/memory/codec.h"
#include "cache/memory/reader.h"

#define MEMORY_RECODES_MAX 64u
#define MEMORY_RECODE_BYTES ((size_t)16384)

struct memory_recode;

/* From `from` to `to`, one of which is POLICY_IDENTITY. NULL: too many, or no memory. */
struct memory_recode *memory_recode_create(struct memory_reader *r, enum policy_encoding from,
                                           enum policy_encoding to);
void memory_recode_destroy(struct memory_recode *c); /* NULL ok */
/* As memory_reader_peek and _consume, of the new bytes. */
NODISCARD enum err memory_recode_peek(struct memory_recode *c, struct span *out);
void memory_recode_consume(struct memory_recode *c, size_t bytes);
