/* cluster/wire/msgpack.h - the old msgpack dialect of memberlist and Serf, both ways.
 *
 * Both ways go through base/cursor.h, whose first error sticks; check it once at the end.
 * Written: raw strings for text and bytes alike, the shortest integers, doubles, sorted keys.
 * Read: also str8, bin, floats, integers of any width; nil is zero or empty; unknown keys are
 * skipped. A struct is described once, by a table of fields, which serves both directions.
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
void wire_msgpack_put_double(struct cursor *c, double v);
void wire_msgpack_put_raw(struct cursor *c, struct span bytes); /* empty: a0, never nil */
void wire_msgpack_put_array(struct cursor *c, size_t items);    /* the items follow */
void wire_msgpack_put_map(struct cursor *c, size_t pairs);      /* the pairs follow */

/* Zero after an error. */
bool wire_msgpack_get_bool(struct cursor *c);
uint64_t wire_msgpack_get_uint(struct cursor *c, uint64_t max);
int64_t wire_msgpack_get_int(struct cursor *c);
double wire_msgpack_get_double(struct cursor *c);
struct span wire_msgpack_get_raw(struct cursor *c);   /* NULL ptr for nil */
uint32_t wire_msgpack_get_array(struct cursor *c);    /* items that follow; nil: 0 */
uint32_t wire_msgpack_get_map(struct cursor *c);      /* pairs that follow; nil: 0 */
void wire_msgpack_skip(struct cursor *c);             /* one value, whatever it is */
struct span wire_msgpack_get_value(struct cursor *c); /* one value, as its bytes */

enum wire_msgpack_kind {
    WIRE_BOOL, /* bool */
    WIRE_U8,   /* uint8_t */
    WIRE_U16,  /* uint16_t; WIRE_U32, WIRE_U64, WIRE_I64 likewise */
    WIRE_U32,
    WIRE_U64,
    WIRE_I64,
    WIRE_DOUBLE, /* double; not a number and infinity are ERR_SYNTAX */
    WIRE_TEXT,   /* struct span, never written as nil */
    WIRE_BYTES,  /* struct span; NULL ptr is written as nil */
    WIRE_IP,     /* struct addr without its port: raw of 0, 4 or 16 bytes */
    WIRE_VSN,    /* uint8_t[6]: raw of 0 (zeros) or 6 bytes */
    WIRE_VALUE,  /* struct span: the bytes of any one value, checked; empty is written as nil */
};
struct wire_msgpack_field {
    const char *name;
    size_t at;          /* offset in the struct */
    uint8_t kind;       /* enum wire_msgpack_kind */
    bool omitted_empty; /* left out when zero or empty */
};

/* A map to the struct that `fields` (sorted by name) describe. Fields that the map lacks are
 * left alone, so zero the struct first. */
void wire_msgpack_get_struct(struct cursor *c, const struct wire_msgpack_field *fields,
                             size_t count, void *out);
void wire_msgpack_put_struct(struct cursor *c, const struct wire_msgpack_field *fields,
                             size_t count, const void *in);

/* The items of an array of raws, or the pairs of a map: for values kept by WIRE_VALUE. */
struct wire_msgpack_walk {
    struct cursor in;
    uint32_t left;
};
void wire_msgpack_walk_array(struct wire_msgpack_walk *w, struct span value); /* empty: none */
void wire_msgpack_walk_map(struct wire_msgpack_walk *w, struct span value);
/* False at the end or at an error (w->in.err). */
bool wire_msgpack_walk_raw(struct wire_msgpack_walk *w, struct span *out);
bool wire_msgpack_walk_pair(struct wire_msgpack_walk *w, struct span *out_key,
                            struct span *out_raw);
bool wire_msgpack_walk_number(struct wire_msgpack_walk *w, struct span *out_key,
                              uint64_t *out_number);
