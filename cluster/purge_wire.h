/* cluster/purge_wire.h - what nodes say to each other about purges, to and from bytes.
 *
 * Bodies of requests and answers of the peer transport (cluster/purge_sync.h), big endian:
 *
 *   request  version u8, kind u8, flags u8, members' hash u64, vector (u32 length), then
 *            PUSH: records to the end; PULL: stream u64, after u64; EXCHANGE: nothing
 *   answer   version u8, flags u8, members' hash u64, vector (u32 length), members (u32
 *            length; empty when the hashes agree), then
 *            to PULL: floor u64, through u64, records to the end
 *   record   stream, seq, dedup u64 each, time i64, kind u8, mode u8, node, site, selector
 *            (u16 length each)
 *   member   generation u32, left u8, id (u16 length)
 *
 * Whoever sent it proved to know the cluster's secret; it is checked as bytes all the same.
 *
 * Thread: any. Owns: nothing; what is read borrows from its bytes.
 * Errors: ERR_SYNTAX for anything else than the above.
 */
#pragma once

#include "cluster/purge_log.h"

#define PURGE_WIRE_VERSION 1u
/* A record, at most. */
#define PURGE_WIRE_RECORD_MAX                                                                  \
    (34 + 6 + CLUSTER_PURGE_NODE_MAX + PURGE_SITE_MAX + PURGE_SELECTOR_MAX)

enum purge_wire_kind { PURGE_WIRE_PUSH = 1, PURGE_WIRE_EXCHANGE, PURGE_WIRE_PULL };
#define PURGE_WIRE_SPREAD 1u /* of a request: pass on what is new to you */
#define PURGE_WIRE_MORE 1u   /* of an answer: more of the stream is left */
#define PURGE_WIRE_BUSY 2u   /* of an answer: not everything could be taken */

struct purge_wire_request {
    enum purge_wire_kind kind;
    uint8_t flags;
    uint64_t members_hash;
    struct span vector;  /* synced only; cluster/vector.h */
    struct span records; /* PUSH */
    uint64_t stream, after;
};
struct purge_wire_answer {
    uint8_t flags;
    uint64_t members_hash;
    struct span vector, members;
    uint64_t floor, through; /* PULL */
    struct span records;
};

/* Heads; records are appended behind by purge_wire_put_record. */
void purge_wire_put_request(struct buf *out, const struct purge_wire_request *r);
void purge_wire_put_answer(struct buf *out, const struct purge_wire_answer *a,
                           enum purge_wire_kind to);
/* Patches what a page turned out to be; `at`: where the answer began in the buffer. */
void purge_wire_set_page(struct buf *out, const struct purge_wire_answer *a);
void purge_wire_put_record(struct buf *out, const struct cluster_purge_record *r);
void purge_wire_put_member(struct buf *out, const struct cluster_purge_member *m);

NODISCARD enum err purge_wire_read_request(struct span body, struct purge_wire_request *out);
NODISCARD enum err purge_wire_read_answer(struct span body, enum purge_wire_kind to,
                                          struct purge_wire_answer *out);
/* Takes the next one off *rest, which is not empty; apply_no is 0. The record passed
 * purge_check. */
NODISCARD enum err purge_wire_next_record(struct span *rest, struct cluster_purge_record *out);
NODISCARD enum err purge_wire_next_member(struct span *rest, struct cluster_purge_member *out);

/* --- the payloads of Serf's user events --- */

/* CLUSTER_SYNC_EVENT: "a purge with this id exists", or, id 0: "this was invalidated". Version
 * u8, stream u64, seq u64, kind u8, mode u8, site, selector (u16 length each); kind 0 when the
 * text did not fit into CLUSTER_PURGE_HINT_MAX. */
#define CLUSTER_PURGE_HINT_MAX 1000u
struct purge_wire_hint {
    struct cluster_purge_id id;
    bool has_purge;
    struct purge purge;
};
/* Has a hint room for the purge? */
bool purge_wire_hint_holds(const struct purge *p);
void purge_wire_put_hint(struct buf *out, const struct purge_wire_hint *h);
NODISCARD enum err purge_wire_read_hint(struct span payload, struct purge_wire_hint *out);
/* CLUSTER_SYNC_TYPED: what a person typed: http(s)://host/path, /path, or tag:NAME; "soft " may
 * stand before it. */
NODISCARD enum err purge_wire_read_typed(struct span payload, struct purge *out);
