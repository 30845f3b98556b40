/* cluster/wire/message.h - one memberlist message to and from bytes.
 *
 * A message is a type byte and a msgpack map. What is written is canonical: what Go writes for
 * the same values, byte for byte. Wrappers (compound, CRC, compression, sealing) are packet.h
 * and stream.h; what a user message holds is serf.h.
 *
 * Thread: any. Owns nothing: spans of a message are borrowed from the bytes it was read from.
 * Limits: a body is bounded by its bytes; WIRE_META_MAX and WIRE_NAME_MAX for alive.
 */
#pragma once

#include "cluster/wire/fields.h"

#define WIRE_META_MAX 512
#define WIRE_NAME_MAX 255 /* of a node that is told of */

/* Why bytes were dropped: to be counted by reason. */
enum wire_fault {
    WIRE_FAULT_NONE,
    WIRE_FAULT_EMPTY,         /* no byte where a message begins */
    WIRE_FAULT_TRUNCATED,     /* ends inside a message, or lost its compound's tail */
    WIRE_FAULT_SYNTAX,        /* not the msgpack that the type asks for */
    WIRE_FAULT_UNKNOWN,       /* a type byte that nobody knows */
    WIRE_FAULT_MISPLACED,     /* a known type that has no place here */
    WIRE_FAULT_NESTED,        /* too many wrappers */
    WIRE_FAULT_TOO_LARGE,     /* over a named bound */
    WIRE_FAULT_LABEL,         /* meant for a cluster with a label; ours has none */
    WIRE_FAULT_PLAIN_REFUSED, /* not sealed, and we have keys */
    WIRE_FAULT_DECRYPT,       /* sealed, and no key of ours opens it */
    WIRE_FAULT_CRC,           /* the checksum differs */
    WIRE_FAULT_COMPRESSION,   /* LZW that cannot be, or another algorithm */
    WIRE_FAULTS,              /* their number */
};
const char *wire_fault_text(enum wire_fault fault); /* "truncated", "crc": for metrics */

enum wire_type {
    WIRE_PING = 0,
    WIRE_INDIRECT_PING = 1,
    WIRE_ACK = 2,
    WIRE_SUSPECT = 3,
    WIRE_ALIVE = 4,
    WIRE_DEAD = 5,
    WIRE_PUSH_PULL = 6, /* streams only */
    WIRE_COMPOUND = 7,  /* packets only */
    WIRE_USER = 8,
    WIRE_COMPRESS = 9,
    WIRE_ENCRYPT = 10, /* streams only */
    WIRE_NACK = 11,
    WIRE_CRC = 12,    /* packets only */
    WIRE_ERROR = 13,  /* streams only */
    WIRE_LABEL = 244, /* refused */
};

struct wire_ping {
    uint32_t seq_no;
    struct span node;        /* who is asked; others ignore it */
    struct addr source_addr; /* where the ack goes; ADDR_NONE: where the packet came from */
    struct span source_node;
};
struct wire_indirect_ping {
    uint32_t seq_no;
    struct span node;
    struct addr target; /* of `node`, with port */
    bool nack;          /* a nack is wanted when it does not answer */
    struct addr source_addr;
    struct span source_node;
};
struct wire_ack {
    uint32_t seq_no;
    struct span payload; /* NULL ptr: nil */
};
struct wire_nack {
    uint32_t seq_no;
};
struct wire_suspect {
    uint32_t incarnation;
    struct span node;
    struct span from;
};
struct wire_dead {
    uint32_t incarnation;
    struct span node;
    struct span from; /* node itself: it left */
};
struct wire_alive {
    uint32_t incarnation;
    struct span node;
    struct addr addr; /* with port */
    struct span meta;
    uint8_t vsn[WIRE_VSN_BYTES]; /* zeros when absent */
};

struct wire_message {
    enum wire_type type;
    union {
        struct wire_ping ping;
        struct wire_indirect_ping indirect_ping;
        struct wire_ack ack;
        struct wire_nack nack;
        struct wire_suspect suspect;
        struct wire_alive alive;
        struct wire_dead dead;
        struct span user;  /* the bytes after the type: a Serf message */
        struct span error; /* the text */
    };
};

/* One bare message. Wrappers and push/pulls are WIRE_FAULT_MISPLACED; bytes after the map are
 * ignored, as memberlist does. */
NODISCARD enum wire_fault wire_message_get(struct span bytes, struct wire_message *out);
void wire_message_put(struct cursor *c, const struct wire_message *m);

/* Of a compress message: where its LZW bytes begin and how many they are, be they there or not.
 * Enough of `bytes` must be there to tell, else WIRE_FAULT_TRUNCATED. */
NODISCARD enum wire_fault wire_message_compressed(struct span bytes, size_t *out_at,
                                                  size_t *out_len);
/* What a cursor's error after reading means. */
enum wire_fault wire_fault_of(enum err err);
