/* cluster/wire/msgpack.h - the old msgpack dialect of memberlist and Serf, both ways.
 *
 * Both ways go through base/cursor.h, whose first error sticks; check it once at the end.
 * Written: raw strings for text and bytes alike, the shortest integers, floats, sorted keys.
 * Read: also str8, bin, doubles, integers of any width; nil is zero or empty. Maps as structs
 * are fields.h.
 *
 * Thread: any. Owns nothing; spans read are borrowed from the input.
 * Limits: WIRE_MSGPACK_DEPTH levels; a count or length beyond the bytes that remain is an error
 *         before anything is done with it.
 * Errors: ERR_AGAIN the bytes end inside a value; ERR_SYNTAX another kind of value; ERR_LIMIT
 *         too deep, a number out of its field's range, or no room to write.
 */
#pragma once

#include "base/addr.h"
#include "base/cursor.h"

#define WIRE_MSGPACK_DEPTH 8

void wire_msgpack_put_nil(struct cursor *c);
void wire_msgpack_put_bool(struct cursor *c, bool v);
void wire_msgpack_put_uint(struct cursor *c, uint64_t v);
void wire_msgpack_put_int(struct cursor *c, int64_t v);
void wire_msgpack_put_float(struct cursor *c, double v); /* the nearest, in 4 bytes; no NaN */
void wire_msgpack_put_raw(struct cursor *c, struct span bytes); /* empty: a0, never nil */
void wire_msgpack_put_array(struct cursor *c, size_t items);    /* the items follow */
void wire_msgpack_put_map(struct cursor *c, size_t pairs);      /* the pairs follow */

/* Zero after an error. */
bool wire_msgpack_get_bool(struct cursor *c);
uint64_t wire_msgpack_get_uint(struct cursor *c, uint64_t max);
int64_t wire_msgpack_get_int(struct cursor *c);
double wire_msgpack_get_double(struct cursor *c);
/* The length of a raw whose bytes follow, be they there or not; nil: 0. */
uint32_t wire_msgpack_get_raw_head(struct cursor *c);
struct span wire_msgpack_get_raw(struct cursor *c);   /* NULL ptr for nil */
uint32_t wire_msgpack_get_array(struct cursor *c);    /* items that follow; nil: 0 */
uint32_t wire_msgpack_get_map(struct cursor *c);      /* pairs that follow; nil: 0 */
void wire_msgpack_skip(struct cursor *c);             /* one value, whatever it is */
struct span wire_msgpack_get_value(struct cursor *c); /* one value, as its bytes */

/* The items of an array of raws, or the pairs of a map: for a value kept as bytes. */
struct wire_msgpack_walk {
    struct cursor in;
    uint32_t left;
};
void wire_msgpack_walk_array(struct wire_msgpack_walk *w, struct span value); /* empty: none */
void wire_msgpack_walk_map(struct wire_msgpack_walk *w, struct span value);
/* False at the end or at an error (w->in.err). */
bool wire_msgpack_walk_raw(struct wire_msgpack_walk *w, struct span *out);
bool wire_msgpack_walk_value(struct wire_msgpack_walk *w, struct span *out); /* any item */
bool wire_msgpack_walk_pair(struct wire_msgpack_walk *w, struct span *out_key,
                            struct span *out_raw);
bool wire_msgpack_walk_number(struct wire_msgpack_walk *w, struct span *out_key,
                              uint64_t *out_number);
