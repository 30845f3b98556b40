/* cache/memory/encode.h - one body made anew in another encoding.
 *
 * From RAM, or from disk in slices; through a decoder when it has an encoding already; into
 * memory, or when it gets larger than MEMORY_BODY_MAX in pieces to the store, without a record.
 * And was it worth it? Nothing is kept of what was not.
 *
 * Thread: any that may block. Owns: a codec or two and buffers (up to MEMORY_BODY_MAX, and a
 * slice) while it runs. Limits: steps of MEMORY_ENCODE_STEP bytes; object_max_bytes decoded.
 */
#pragma once

#include "cache/memory/object.h"
#include "cache/store/store.h"

#define MEMORY_ENCODE_STEP ((size_t)65536)
/* A body that is dense up to here is taken for dense as a whole. */
#define MEMORY_ENCODE_EARLY (UINT64_C(128) << 10)

enum memory_encoded {
    MEMORY_ENCODED,
    MEMORY_ENCODED_DENSE,   /* it does not get 5 % smaller */
    MEMORY_ENCODED_NO_GAIN, /* what is there already is about as small; or most_bytes */
    MEMORY_ENCODED_BROKEN,  /* the body is not what its encoding says, or too large decoded */
    MEMORY_ENCODED_FAILED,  /* no memory, no disk, or its bytes cannot be read */
    MEMORY_ENCODED_STOPPED,
};

struct memory_encode {
    struct memory_tier *tier;
    struct memory_object *base; /* borrowed; its body is whole */
    enum policy_encoding to;
    int level;
    int64_t most_bytes;   /* nothing is made of more, or of who knows how much; 0: of any */
    uint64_t below_bytes; /* what is there of it already; 0: nothing */
    bool to_disk;         /* the store may be written to */
    /* After each step, and to wait. False: break off. */
    bool (*pause)(void *context, unsigned nap_ms);
    void *context;
};

/* The caller's, after MEMORY_ENCODED. */
struct memory_encode_result {
    uint64_t in_bytes; /* identity, or (decoded) as it was */
    uint64_t bytes;
    char *memory;           /* free(); NULL: it is on disk alone */
    uint64_t body_id, xxh3; /* 0: it is in memory alone */
};
enum memory_encoded memory_encode_run(const struct memory_encode *m,
                                      struct memory_encode_result *out);

/* The verdicts alone. */
struct memory_encode_sizes {
    enum policy_encoding from, to;
    uint64_t from_bytes, identity_bytes, bytes; /* of the body, decoded, made */
    uint64_t below_bytes;
};
enum memory_encoded memory_encode_judge(const struct memory_encode_sizes *s);
/* Of more than `in` bytes, so far. Codecs hold some back, so it is asked up to
 * MEMORY_BODY_MAX. */
bool memory_encode_is_dense_early(uint64_t in, uint64_t out);
