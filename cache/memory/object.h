/* cache/memory/object.h - a response in RAM: counted, immutable once published.
 *
 * Head and facts in one allocation; a small body lies behind them, a larger one in slabs under
 * one byte budget, or only on disk.
 *
 * Thread: any; hold and drop are atomic. checked_no and hits are relaxed atomics.
 * Owns: its own memory; the body on disk is pinned through the index.
 */
#pragma once

#include <stdatomic.h>

#include "base/hash.h"
#include "base/http/message.h"
#include "cache/policy/freshness.h"

struct arena;
struct memory_names;
struct memory_tier;

#define MEMORY_TAGS_MAX 64
#define MEMORY_FORMS 3 /* beside the one that was received */

/* What was found out about a body; kept on disk, too. */
#define MEMORY_MARK_DENSE 1u  /* encoding does not make it smaller */
#define MEMORY_MARK_BROKEN 2u /* its bytes are not what Content-Encoding says */

struct memory_object {
    atomic_uint holders;
    struct hash128 key;    /* of this variant */
    struct span key_text;  /* primary key in full, compared at lookup */
    struct span vary_text; /* secondary key; empty: none */
    struct policy_facts facts;
    uint16_t status;
    struct http_block block; /* stored fields, also as HTTP/1 lines, without framing, Age,
                              * Cache-Status */
    int64_t body_bytes;      /* HTTP_LENGTH_UNKNOWN while a body of unknown length arrives */
    uint64_t body_id;        /* 0: not on disk */
    uint64_t body_no;        /* equal: the same body, in RAM or on disk, under other fields */
    uint64_t fill_no;        /* atomic counter when its fetch was sent (docs/purge.md) */
    const uint64_t *tag_hash;
    uint16_t tag_count;
    bool body_in_memory;
    struct span body; /* contiguous, when body_in_memory */
    bool stored;      /* will be, or is, kept: for Cache-Status "stored" */
    uint8_t encoding; /* enum policy_encoding, of its bytes */
    /* Its other encodings, each held (form.h); none in a form. */
    struct memory_object *form[MEMORY_FORMS];
    uint8_t form_count;
    atomic_ullong checked_no, hits;
    atomic_bool soft_purged; /* must be validated before use, stale rules permitting */
    /* For cache/ only. */
    struct http_fields kept;          /* block.fields, then fields that are kept for a later
                                       * 304 and not sent: tags, targeted cache control */
    struct span head_text;            /* all of kept as lines; an empty line between the two */
    struct memory_object *body_owner; /* held: in whose memory the body lies, when elsewhere */
    struct memory_tier *tier;
    bool derived, best;      /* a form, made here; at the highest level */
    uint64_t base_body_id;   /* of a form: pinned as well; 0: none */
    atomic_uchar marks;      /* MEMORY_MARK_ bits */
    atomic_uchar asked;      /* bits of encodings that the encoders were asked for */
    atomic_uchar worth;      /* form.c's: is it worth encoding? 0: not looked yet */
    atomic_uint given;       /* of a form: how often, relaxed */
    size_t bytes;            /* what it takes of the budget */
    atomic_ullong body_xxh3; /* of the body on disk; 0: not known (yet) */
    atomic_bool on_disk;     /* the record is committed */
    atomic_bool waits;       /* for its next use, to go to disk: deposit.h */
    struct memory_object *newer, *older; /* the shard's order, under its lock */
    uint8_t visited;                     /* likewise */
};

struct memory_object *memory_object_hold(struct memory_object *o); /* returns o */
void memory_object_drop(struct memory_object *o);                  /* NULL ok */

/* What an object is made of; everything is copied. */
struct memory_seed {
    struct hash128 key;
    struct span key_text, vary_text;
    struct policy_facts facts;
    uint16_t status;
    const struct http_fields *fields, *hidden; /* sent; only kept. NULL: none */
    int64_t body_bytes;
    size_t body_room; /* memory for the body to be written into; 0: none */
    uint64_t body_id, body_xxh3, fill_no;
    uint64_t body_no; /* 0: drawn, or that of body_of */
    const uint64_t *tag_hash;
    uint16_t tag_count;
    bool stored, soft_purged;
    struct memory_object *body_of; /* its body, in RAM or on disk, is this one's, too */
    uint8_t encoding, marks;
    bool derived, best;
    uint64_t base_body_id, hits;
    struct memory_object *form[MEMORY_FORMS]; /* borrowed; the object holds each */
    uint8_t form_count;
};
/* One holder. NULL: no memory. Charges the tier's budget and pins body_id and base_body_id. */
struct memory_object *memory_object_create(struct memory_tier *t, const struct memory_seed *s);
/* The seed of an object just like `o`, with its forms: all is borrowed from it. */
void memory_object_seed(const struct memory_object *o, struct http_fields *hidden,
                        struct memory_seed *out);
/* Fields that are kept and not sent to clients; borrowed from it. */
struct http_fields memory_object_hidden(const struct memory_object *o);
/* Is the body of both one and the same, whatever their fields say? */
bool memory_object_same_body(const struct memory_object *a, const struct memory_object *b);
/* Only for a fill that still writes: the body's memory. */
char *memory_object_body_room(struct memory_object *o);
/* Fields of a head_text; the spans lie in it. False: arena full, or not such a text. */
bool memory_object_parse_head(struct span head_text, struct arena *a, struct http_fields *sent,
                              struct http_fields *hidden);
/* The names by which a key can be purged, from its text ("scheme|host:port|/path?query ...").
 * Tags and site are left empty. False: arena full, or no such text. */
bool memory_object_names(struct span key_text, struct arena *a, struct memory_names *out);
