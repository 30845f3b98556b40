/* cluster/wire/packet.h - a gossip packet to and from messages.
 *
 * Outermost first: sealing, CRC, compression, compound. Reading gives the messages one by one;
 * a part that is bad is told as a fault, and the parts beside it are still given. Writing packs
 * messages under the budget, then adds CRC and sealing on demand; it never compresses.
 *
 * Thread: one owner per scratch.
 * Owns: nothing. Messages are borrowed from the packet's bytes and from the scratch until the
 *       next wire_packet_begin.
 * Limits: WIRE_PACKET_MAX bytes, in all what is unsealed or decompressed WIRE_PACKET_MAX each,
 *         WIRE_PACKET_DEPTH wrappers around a message, one of them a compound of 255 parts.
 */
#pragma once

#include "base/buf.h"
#include "cluster/wire/keyring.h"
#include "cluster/wire/message.h"

#define WIRE_PACKET_MAX 65536 /* read */
#define WIRE_PACKET_DEPTH 4
#define WIRE_PACKET_BUDGET 1400   /* written: compound and sealing, without the CRC's 5 bytes */
#define WIRE_PACKET_SEND_MAX 1408 /* room for any packet that wire_pack_finish writes */
#define WIRE_PARTS_MAX 255

struct wire_scratch {
    uint8_t plain[WIRE_PACKET_MAX];
    char inflated[WIRE_PACKET_MAX];
};
struct wire_packet {
    struct wire_scratch *scratch;
    struct buf inflated; /* what compression gave so far */
    enum wire_fault fault;
    unsigned depth; /* open wrappers: levels[0..depth) */
    struct wire_packet_level {
        struct cursor lengths; /* of a compound: u16 each, of the parts not yet given */
        struct span bytes;     /* of the parts not yet given */
        unsigned left;         /* parts not yet given */
        bool many;             /* a compound; else `bytes` is one message */
    } levels[WIRE_PACKET_DEPTH + 1];
};

/* The ring may be NULL or empty: then nothing sealed is expected. `bytes` and the scratch must
 * live while messages are read. */
void wire_packet_begin(struct wire_packet *p, struct span bytes,
                       const struct wire_keyring *ring, struct wire_scratch *scratch);
/* False at the end. When true, *out_fault is WIRE_FAULT_NONE and *out a message, or why one was
 * dropped. */
bool wire_packet_next(struct wire_packet *p, struct wire_message *out,
                      enum wire_fault *out_fault);

/* Messages on their way out, in one packet. */
struct wire_pack {
    uint8_t bytes[WIRE_PACKET_BUDGET];
    uint16_t lengths[WIRE_PARTS_MAX];
    unsigned parts;
    size_t used; /* of bytes */
    size_t room; /* budget for parts and their lengths */
};
void wire_pack_init(struct wire_pack *p, bool sealed);
size_t wire_pack_left(const struct wire_pack *p); /* the longest message that still fits */
bool wire_pack_add(struct wire_pack *p,
                   struct span message); /* with its type byte; false: full */
bool wire_pack_add_message(struct wire_pack *p, const struct wire_message *m);
/* The packet of all that was added (at least one): a compound when there are several. With a
 * CRC when the recipient's protocol max is 5 or more. `ring` NULL or empty: in the clear, else
 * the nonce is random bytes. Errors: in `out`. */
void wire_pack_finish(const struct wire_pack *p, bool crc, const struct wire_keyring *ring,
                      const uint8_t nonce[WIRE_NONCE_BYTES], struct cursor *out);
/* The same for one message of any size. */
void wire_packet_put(struct span message, bool crc, const struct wire_keyring *ring,
                     const uint8_t nonce[WIRE_NONCE_BYTES], struct cursor *out);
