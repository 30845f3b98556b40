#include "cluster/wire/packet.h"

#include "cluster/wire/crc.h"
#include "cluster/wire/lzw.h"

#define CRC_BYTES 5 /* with its type */

/* --- reading --- */

/* Goes one wrapper deeper. */
static enum wire_fault enter(struct wire_packet *p, struct wire_packet_level level)
{
    if (p->depth == ARRAY_LEN(p->levels))
        return WIRE_FAULT_NESTED;
    p->levels[p->depth++] = level;
    return WIRE_FAULT_NONE;
}

static enum wire_fault enter_one(struct wire_packet *p, struct span message)
{
    return enter(p, (struct wire_packet_level){.bytes = message, .left = 1});
}

static enum wire_fault enter_crc(struct wire_packet *p, struct span message)
{
    struct cursor c;
    if (p->depth > 1)
        return WIRE_FAULT_MISPLACED;
    if (message.len < CRC_BYTES)
        return WIRE_FAULT_TRUNCATED;
    cursor_read(&c, span_from(message, 1));
    struct span inner = span_from(message, CRC_BYTES);
    return cursor_get_u32(&c) == wire_crc32(inner) ? enter_one(p, inner) : WIRE_FAULT_CRC;
}

/* What a bad message decompressed to stays counted: the work is bounded, too. */
static enum wire_fault enter_compressed(struct wire_packet *p, struct span message)
{
    size_t at, len, before = buf_len(&p->inflated);
    enum wire_fault fault = wire_message_compressed(message, &at, &len);
    if (fault != WIRE_FAULT_NONE)
        return fault;
    if (len > message.len - at)
        return WIRE_FAULT_TRUNCATED;
    enum err err = wire_lzw_decode(span_of(message.ptr + at, len), &p->inflated);
    if (err != ERR_OK)
        return err == ERR_LIMIT ? WIRE_FAULT_TOO_LARGE : WIRE_FAULT_COMPRESSION;
    return enter_one(p, span_from(buf_span(&p->inflated), before));
}

static enum wire_fault enter_compound(struct wire_packet *p, struct span message)
{
    struct wire_packet_level level = {.many = true};
    /* Nobody sends one in another: it would make tens of thousands of messages of a packet. */
    for (unsigned i = 0; i < p->depth; i++)
        if (p->levels[i].many)
            return WIRE_FAULT_NESTED;
    if (message.len < 2)
        return WIRE_FAULT_TRUNCATED;
    level.left = (uint8_t)message.ptr[1];
    size_t lengths = 2 * (size_t)level.left;
    if (message.len - 2 < lengths)
        return WIRE_FAULT_TRUNCATED;
    cursor_read(&level.lengths, span_of(message.ptr + 2, lengths));
    level.bytes = span_from(message, 2 + lengths);
    return enter(p, level);
}

static enum wire_fault unseal(struct wire_packet *p, struct span bytes,
                              const struct wire_keyring *ring, struct span *out)
{
    struct wire_message plain;
    if (bytes.len == 0)
        return WIRE_FAULT_EMPTY;
    if (bytes.len > WIRE_PACKET_MAX)
        return WIRE_FAULT_TOO_LARGE;
    if ((uint8_t)bytes.ptr[0] == WIRE_LABEL)
        return WIRE_FAULT_LABEL;
    *out = bytes;
    if (!ring || ring->count == 0)
        return WIRE_FAULT_NONE;
    enum err err = wire_keyring_open(ring, span_of(NULL, 0), bytes, p->scratch->plain,
                                     sizeof(p->scratch->plain), out);
    if (err == ERR_OK)
        return WIRE_FAULT_NONE;
    /* A plain ping begins as a sealed packet does. */
    return err == ERR_SYNTAX || wire_message_get(bytes, &plain) == WIRE_FAULT_NONE
               ? WIRE_FAULT_PLAIN_REFUSED
               : WIRE_FAULT_DECRYPT;
}

void wire_packet_begin(struct wire_packet *p, struct span bytes,
                       const struct wire_keyring *ring, struct wire_scratch *scratch)
{
    struct span plain = {NULL, 0};
    *p = (struct wire_packet){.scratch = scratch};
    buf_borrow(&p->inflated, scratch->inflated, sizeof(scratch->inflated));
    p->fault = unseal(p, bytes, ring, &plain);
    if (p->fault == WIRE_FAULT_NONE)
        p->fault = enter_one(p, plain);
}

/* The next part of a level that has one. */
static enum wire_fault take(struct wire_packet_level *level, struct span *out)
{
    size_t len = level->many ? cursor_get_u16(&level->lengths) : level->bytes.len;
    level->left--;
    if (len > level->bytes.len) {
        level->left = 0;
        return WIRE_FAULT_TRUNCATED;
    }
    *out = span_until(level->bytes, len);
    level->bytes = span_from(level->bytes, len);
    return WIRE_FAULT_NONE;
}

/* Unwraps one part, or decodes it: then *out_done. */
static enum wire_fault open_part(struct wire_packet *p, struct span part,
                                 struct wire_message *out, bool *out_done)
{
    if (part.len == 0)
        return WIRE_FAULT_EMPTY;
    switch ((uint8_t)part.ptr[0]) {
    case WIRE_CRC:
        return enter_crc(p, part);
    case WIRE_COMPRESS:
        return enter_compressed(p, part);
    case WIRE_COMPOUND:
        return enter_compound(p, part);
    case WIRE_ERROR:
        return WIRE_FAULT_MISPLACED;
    }
    *out_done = true;
    return wire_message_get(part, out);
}

bool wire_packet_next(struct wire_packet *p, struct wire_message *out,
                      enum wire_fault *out_fault)
{
    enum wire_fault fault = p->fault;
    bool done = false;
    p->fault = WIRE_FAULT_NONE;
    while (fault == WIRE_FAULT_NONE && !done && p->depth > 0) {
        struct span part;
        struct wire_packet_level *level = &p->levels[p->depth - 1];
        if (level->left == 0) {
            p->depth--;
            continue;
        }
        fault = take(level, &part);
        if (fault == WIRE_FAULT_NONE)
            fault = open_part(p, part, out, &done);
    }
    *out_fault = fault;
    return done || fault != WIRE_FAULT_NONE;
}

/* --- writing --- */

void wire_pack_init(struct wire_pack *p, bool sealed)
{
    p->parts = 0;
    p->used = 0;
    p->room = WIRE_PACKET_BUDGET - 2 - (sealed ? WIRE_SEAL_BYTES : 0);
}

size_t wire_pack_left(const struct wire_pack *p)
{
    size_t taken = p->used + 2 * (size_t)(p->parts + 1);
    return p->parts == WIRE_PARTS_MAX || taken > p->room ? 0 : p->room - taken;
}

bool wire_pack_add(struct wire_pack *p, struct span message)
{
    if (message.len == 0 || message.len > wire_pack_left(p))
        return false;
    memcpy(p->bytes + p->used, message.ptr, message.len);
    p->lengths[p->parts++] = (uint16_t)message.len;
    p->used += message.len;
    return true;
}

bool wire_pack_add_message(struct wire_pack *p, const struct wire_message *m)
{
    uint8_t bytes[WIRE_PACKET_BUDGET];
    struct cursor c;
    cursor_write(&c, bytes, sizeof(bytes));
    wire_message_put(&c, m);
    return c.err == ERR_OK && wire_pack_add(p, span_of(bytes, c.at));
}

void wire_pack_finish(const struct wire_pack *p, bool crc, const struct wire_keyring *ring,
                      const uint8_t nonce[WIRE_NONCE_BYTES], struct cursor *out)
{
    uint8_t compound[WIRE_PACKET_BUDGET];
    struct cursor c;
    must(p->parts > 0);
    cursor_write(&c, compound, sizeof(compound));
    if (p->parts > 1) {
        cursor_put_u8(&c, WIRE_COMPOUND);
        cursor_put_u8(&c, (uint8_t)p->parts);
        for (unsigned i = 0; i < p->parts; i++)
            cursor_put_u16(&c, p->lengths[i]);
    }
    cursor_put_bytes(&c, span_of(p->bytes, p->used));
    must(c.err == ERR_OK);
    wire_packet_put(span_of(compound, c.at), crc, ring, nonce, out);
}

void wire_packet_put(struct span message, bool crc, const struct wire_keyring *ring,
                     const uint8_t nonce[WIRE_NONCE_BYTES], struct cursor *out)
{
    bool sealed = ring && ring->count > 0;
    struct cursor plain = *out;
    if (sealed && cursor_left(out) < WIRE_SEAL_PLAIN_AT)
        out->err = ERR_LIMIT;
    if (out->err != ERR_OK)
        return;
    plain.at += sealed ? WIRE_SEAL_PLAIN_AT : 0;
    const uint8_t *from = plain.ptr + plain.at;
    if (crc) {
        cursor_put_u8(&plain, WIRE_CRC);
        cursor_put_u32(&plain, wire_crc32(message));
    }
    cursor_put_bytes(&plain, message);
    if (plain.err != ERR_OK)
        out->err = plain.err;
    else if (sealed)
        wire_keyring_seal(ring, nonce, span_of(NULL, 0),
                          span_of(from, (size_t)(plain.ptr + plain.at - from)), out);
    else
        *out = plain;
}
