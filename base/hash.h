/* base/hash.h - keyed hashing of outside bytes (door to xxhash).
 *
 * Tables over keys that outsiders choose use SipHash with a key drawn at start; xxh3 only
 * checks stored bytes. Rendezvous ranks order nodes for a key.
 * Thread: any.
 */
#pragma once

#include "base/span.h"

struct hash_key {
    uint64_t k0, k1;
};
struct hash128 {
    uint64_t hi, lo; /* lo: the first 8 octets, little endian */
};

uint64_t hash_sip64(const struct hash_key *key, struct span bytes);        /* SipHash-2-4 */
struct hash128 hash_sip128(const struct hash_key *key, struct span bytes); /* SipHash-2-4-128 */
static inline bool hash128_equal(struct hash128 a, struct hash128 b)
{
    return a.hi == b.hi && a.lo == b.lo;
}
uint64_t hash_xxh3(struct span bytes); /* unkeyed: integrity only */
/* A running xxh3 over pieces. */
struct hash_stream;
struct hash_stream *hash_stream_create(void);
void hash_stream_add(struct hash_stream *s, struct span bytes);
uint64_t hash_stream_value(const struct hash_stream *s);
void hash_stream_destroy(struct hash_stream *s);
uint64_t hash_mix(uint64_t x); /* a good 64-bit finaliser */
