/* cache/store/record.h - the bytes of a stored object.
 *
 * A meta value: xxh3 of the rest, kind, version, flags, then what the struct lists. At most
 * STORE_RECORD_MAX bytes, one page. What does not fit there (key and vary text and head, when
 * they are long) goes as one "far" block into body chunks under a body id of its own; decoding
 * such a record needs that block.
 *
 * Units: as struct policy_facts. Thread: any.
 * Owns: nothing; spans of a decoded record are borrowed from the bytes.
 * Limits: STORE_TAGS, STORE_REPS, STORE_FAR_MAX.
 * Errors: ERR_CORRUPT for anything but what store_record_encode writes; ERR_LIMIT for a record
 *         that it does not write: over a bound, or with values that decoding would refuse.
 */
#pragma once

#include "base/hash.h"
#include "cache/policy/encoding.h"
#include "cache/policy/freshness.h"

#define STORE_RECORD_MAX 4080
#define STORE_TAGS 64
#define STORE_REPS 4
#define STORE_FAR_MAX (1u << 20) /* key, vary and head together */

enum store_kind {
    STORE_OBJECT = 1,
    STORE_VARY = 2, /* under the primary key: which fields the origin named in Vary */
};

/* One encoded form of the body. */
#define STORE_REP_DERIVED 1 /* flags: made by us, not as the origin sent it */
#define STORE_REP_BEST 2    /* at the highest level */
struct store_rep {
    uint8_t encoding, flags; /* enum policy_encoding */
    uint64_t body_id;        /* never 0 in an object, also when the body is empty */
    uint64_t bytes, xxh3;
};

struct store_record {
    enum store_kind kind;
    uint16_t flags; /* the caller's own: STORE_RECORD_STALE, ... */
    uint64_t fill_no;
    struct span key;  /* primary key in full, compared at lookup; not empty */
    struct span vary; /* object: secondary key, empty: none; vary: the names, "a,b" */
    /* STORE_VARY */
    uint32_t variants;
    /* STORE_OBJECT */
    uint16_t status;
    struct policy_facts facts;
    struct span head; /* field lines, "name: value\r\n" each */
    uint8_t rep_count;
    uint8_t tag_count;
    struct store_rep rep[STORE_REPS]; /* [0] is the object's identity for rewrite and remove */
    uint64_t tag_hash[STORE_TAGS];    /* sorted */
};
#define STORE_RECORD_STALE 1  /* swept after a soft purge: validate before use */
#define STORE_RECORD_DENSE 2  /* encoding does not make it smaller */
#define STORE_RECORD_BROKEN 4 /* the body is not what its Content-Encoding says */

/* Does the record need a far block, of how many bytes? 0: no. */
size_t store_record_far_bytes(const struct store_record *r);
/* Writes the meta value. With a far block: its bytes to `far` too (far_room >= far_bytes), to
 * be stored under `far_id`. */
NODISCARD enum err store_record_encode(const struct store_record *r, uint64_t far_id,
                                       uint8_t out[STORE_RECORD_MAX], size_t *out_len,
                                       uint8_t *far, size_t far_room);
/* Where the far block of these bytes is; false: has none, or does not decode. */
bool store_record_far(struct span bytes, uint64_t *out_far_id, size_t *out_far_bytes);
/* Checks and reads all of it; `far` is the far block, empty when there is none. */
NODISCARD enum err store_record_decode(struct span bytes, struct span far,
                                       struct store_record *out);
/* As decode without the far block: key, vary and head of such a record stay empty. */
NODISCARD enum err store_record_decode_near(struct span bytes, struct store_record *out);
