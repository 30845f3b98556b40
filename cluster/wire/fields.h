/* cluster/wire/fields.h - a msgpack map as a C struct, described by a table of its fields.
 *
 * One table serves both directions. Keys that it lacks are skipped, what the map lacks stays as
 * it was; written are all fields, in the table's order.
 *
 * Thread: any. Spans of the struct are borrowed from the input.
 * Errors: in the cursor, as msgpack.h tells.
 */
#pragma once

#include "cluster/wire/msgpack.h"

enum wire_kind {
    WIRE_BOOL,   /* bool */
    WIRE_U8,     /* uint8_t */
    WIRE_U16,    /* uint16_t */
    WIRE_U32,    /* uint32_t */
    WIRE_U64,    /* uint64_t */
    WIRE_I64,    /* int64_t */
    WIRE_DOUBLE, /* double; written as a float */
    WIRE_TEXT,   /* struct span, never written as nil */
    WIRE_BYTES,  /* struct span; NULL ptr is written as nil */
    WIRE_IP,     /* struct addr without its port: a raw of 0, 4 or 16 bytes */
    WIRE_VSN,    /* uint8_t[6]: a raw of 0 (zeros) or 6 bytes */
    WIRE_VALUE,  /* struct span: the bytes of one value of any kind; empty is written as nil */
};
#define WIRE_VSN_BYTES 6 /* protocol min, max, current; delegate min, max, current */

struct wire_field {
    const char *name;
    size_t at; /* offset in the struct */
    enum wire_kind kind;
    bool omitted_empty; /* not written when zero or empty */
};

/* Zero the struct first. */
void wire_fields_get(struct cursor *c, const struct wire_field *fields, size_t count,
                     void *out);
void wire_fields_put(struct cursor *c, const struct wire_field *fields, size_t count,
                     const void *in);
