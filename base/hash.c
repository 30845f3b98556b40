#include "base/hash.h"

#include <endian.h>
#include <xxhash.h>

/* SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012) and the 128-bit
 * variant of its authors. */
struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static inline void round_once(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static inline void absorb(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    round_once(s);
    round_once(s);
    s->v0 ^= word;
}

static inline uint64_t finish(struct sip *s)
{
    for (int i = 0; i < 4; i++)
        round_once(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

static struct sip sip_begin(const struct hash_key *key)
{
    return (struct sip){
        .v0 = key->k0 ^ UINT64_C(0x736f6d6570736575),
        .v1 = key->k1 ^ UINT64_C(0x646f72616e646f6d),
        .v2 = key->k0 ^ UINT64_C(0x6c7967656e657261),
        .v3 = key->k1 ^ UINT64_C(0x7465646279746573),
    };
}

static inline void absorb_all(struct sip *s, struct span bytes)
{
    size_t at = 0;
    uint64_t word;
    for (; bytes.len - at >= 8; at += 8) {
        memcpy(&word, bytes.ptr + at, 8);
        absorb(s, le64toh(word));
    }
    word = (uint64_t)bytes.len << 56;
    for (unsigned shift = 0; at < bytes.len; at++, shift += 8)
        word |= (uint64_t)(uint8_t)bytes.ptr[at] << shift;
    absorb(s, word);
}

uint64_t hash_sip64(const struct hash_key *key, struct span bytes)
{
    struct sip s = sip_begin(key);
    absorb_all(&s, bytes);
    s.v2 ^= 0xff;
    return finish(&s);
}

struct hash128 hash_sip128(const struct hash_key *key, struct span bytes)
{
    struct sip s = sip_begin(key);
    struct hash128 out;
    s.v1 ^= 0xee;
    absorb_all(&s, bytes);
    s.v2 ^= 0xee;
    out.lo = finish(&s);
    s.v1 ^= 0xdd;
    out.hi = finish(&s);
    return out;
}

uint64_t hash_xxh3(struct span bytes)
{
    return XXH3_64bits(bytes.ptr, bytes.len);
}

static XXH3_state_t *state_of(struct hash_stream *s)
{
    return (XXH3_state_t *)(void *)s;
}

struct hash_stream *hash_stream_create(void)
{
    XXH3_state_t *state = XXH3_createState();
    must(state);
    must(XXH3_64bits_reset(state) == XXH_OK);
    return (struct hash_stream *)(void *)state;
}

void hash_stream_add(struct hash_stream *s, struct span bytes)
{
    if (bytes.len)
        must(XXH3_64bits_update(state_of(s), bytes.ptr, bytes.len) == XXH_OK);
}

uint64_t hash_stream_value(const struct hash_stream *s)
{
    return XXH3_64bits_digest((const XXH3_state_t *)(const void *)s);
}

void hash_stream_destroy(struct hash_stream *s)
{
    if (s)
        (void)XXH3_freeState(state_of(s));
}

uint64_t hash_mix(uint64_t x)
{
    /* The finaliser of SplitMix64 with its increment, so that 0 is no fixed point. */
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}
