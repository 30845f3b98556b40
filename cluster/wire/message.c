#include "cluster/wire/message.h"

#define FIELD(type, member, name, kind)                                                        \
    {                                                                                          \
        name, offsetof(struct type, member), kind, false                                       \
    }
#define FIELD_OMITTED(type, member, name, kind)                                                \
    {                                                                                          \
        name, offsetof(struct type, member), kind, true                                        \
    }

static const struct wire_field ping_fields[] = {
    FIELD(wire_ping, node, "Node", WIRE_TEXT),
    FIELD(wire_ping, seq_no, "SeqNo", WIRE_U32),
    FIELD_OMITTED(wire_ping, source_addr, "SourceAddr", WIRE_IP),
    FIELD_OMITTED(wire_ping, source_node, "SourceNode", WIRE_TEXT),
    FIELD_OMITTED(wire_ping, source_addr.port, "SourcePort", WIRE_U16),
};
static const struct wire_field indirect_ping_fields[] = {
    FIELD(wire_indirect_ping, nack, "Nack", WIRE_BOOL),
    FIELD(wire_indirect_ping, node, "Node", WIRE_TEXT),
    FIELD(wire_indirect_ping, target.port, "Port", WIRE_U16),
    FIELD(wire_indirect_ping, seq_no, "SeqNo", WIRE_U32),
    FIELD_OMITTED(wire_indirect_ping, source_addr, "SourceAddr", WIRE_IP),
    FIELD_OMITTED(wire_indirect_ping, source_node, "SourceNode", WIRE_TEXT),
    FIELD_OMITTED(wire_indirect_ping, source_addr.port, "SourcePort", WIRE_U16),
    FIELD(wire_indirect_ping, target, "Target", WIRE_IP),
};
static const struct wire_field ack_fields[] = {
    FIELD(wire_ack, payload, "Payload", WIRE_BYTES),
    FIELD(wire_ack, seq_no, "SeqNo", WIRE_U32),
};
static const struct wire_field nack_fields[] = {
    FIELD(wire_nack, seq_no, "SeqNo", WIRE_U32),
};
static const struct wire_field suspect_fields[] = {
    FIELD(wire_suspect, from, "From", WIRE_TEXT),
    FIELD(wire_suspect, incarnation, "Incarnation", WIRE_U32),
    FIELD(wire_suspect, node, "Node", WIRE_TEXT),
};
static const struct wire_field dead_fields[] = {
    FIELD(wire_dead, from, "From", WIRE_TEXT),
    FIELD(wire_dead, incarnation, "Incarnation", WIRE_U32),
    FIELD(wire_dead, node, "Node", WIRE_TEXT),
};
static const struct wire_field alive_fields[] = {
    FIELD(wire_alive, addr, "Addr", WIRE_IP),
    FIELD(wire_alive, incarnation, "Incarnation", WIRE_U32),
    FIELD(wire_alive, meta, "Meta", WIRE_BYTES),
    FIELD(wire_alive, node, "Node", WIRE_TEXT),
    FIELD(wire_alive, addr.port, "Port", WIRE_U16),
    FIELD(wire_alive, vsn, "Vsn", WIRE_VSN),
};
static const struct wire_field error_fields[] = {
    {"Error", 0, WIRE_TEXT, false},
};

/* Each message's fields, and where in struct wire_message they are. */
static const struct layout {
    const struct wire_field *fields;
    size_t count, at;
} layouts[] = {
    [WIRE_PING] = {ping_fields, ARRAY_LEN(ping_fields), offsetof(struct wire_message, ping)},
    [WIRE_INDIRECT_PING] = {indirect_ping_fields, ARRAY_LEN(indirect_ping_fields),
                            offsetof(struct wire_message, indirect_ping)},
    [WIRE_ACK] = {ack_fields, ARRAY_LEN(ack_fields), offsetof(struct wire_message, ack)},
    [WIRE_SUSPECT] = {suspect_fields, ARRAY_LEN(suspect_fields),
                      offsetof(struct wire_message, suspect)},
    [WIRE_ALIVE] = {alive_fields, ARRAY_LEN(alive_fields),
                    offsetof(struct wire_message, alive)},
    [WIRE_DEAD] = {dead_fields, ARRAY_LEN(dead_fields), offsetof(struct wire_message, dead)},
    [WIRE_NACK] = {nack_fields, ARRAY_LEN(nack_fields), offsetof(struct wire_message, nack)},
    [WIRE_ERROR] = {error_fields, ARRAY_LEN(error_fields),
                    offsetof(struct wire_message, error)},
};

const char *wire_fault_text(enum wire_fault fault)
{
    static const char *const texts[WIRE_FAULTS] = {
        [WIRE_FAULT_NONE] = "none",
        [WIRE_FAULT_EMPTY] = "empty",
        [WIRE_FAULT_TRUNCATED] = "truncated",
        [WIRE_FAULT_SYNTAX] = "syntax",
        [WIRE_FAULT_UNKNOWN] = "unknown",
        [WIRE_FAULT_MISPLACED] = "misplaced",
        [WIRE_FAULT_NESTED] = "nested",
        [WIRE_FAULT_TOO_LARGE] = "too_large",
        [WIRE_FAULT_LABEL] = "label",
        [WIRE_FAULT_PLAIN_REFUSED] = "plain_refused",
        [WIRE_FAULT_DECRYPT] = "decrypt",
        [WIRE_FAULT_CRC] = "crc",
        [WIRE_FAULT_COMPRESSION] = "compression",
    };
    must(fault < WIRE_FAULTS);
    return texts[fault];
}

enum wire_fault wire_fault_of(enum err err)
{
    if (err == ERR_OK)
        return WIRE_FAULT_NONE;
    if (err == ERR_AGAIN)
        return WIRE_FAULT_TRUNCATED;
    return err == ERR_LIMIT ? WIRE_FAULT_TOO_LARGE : WIRE_FAULT_SYNTAX;
}

/* Why this type byte begins no bare message; NONE when it does. */
static enum wire_fault check_type(uint8_t type)
{
    if (type == WIRE_LABEL)
        return WIRE_FAULT_LABEL;
    if (type > WIRE_ERROR)
        return WIRE_FAULT_UNKNOWN;
    if (type != WIRE_USER && !layouts[type].fields)
        return WIRE_FAULT_MISPLACED;
    return WIRE_FAULT_NONE;
}

enum wire_fault wire_message_get(struct span bytes, struct wire_message *out)
{
    if (bytes.len == 0)
        return WIRE_FAULT_EMPTY;
    uint8_t type = (uint8_t)bytes.ptr[0];
    enum wire_fault fault = check_type(type);
    if (fault != WIRE_FAULT_NONE)
        return fault;
    struct wire_message m;
    memset(&m, 0, sizeof(m));
    m.type = type;
    struct cursor c;
    cursor_read(&c, span_from(bytes, 1));
    if (type == WIRE_USER)
        m.user = span_from(bytes, 1);
    else
        wire_fields_get(&c, layouts[type].fields, layouts[type].count,
                        (char *)&m + layouts[type].at);
    if (c.err == ERR_OK && type == WIRE_ALIVE &&
        (m.alive.meta.len > WIRE_META_MAX || m.alive.node.len > WIRE_NAME_MAX))
        c.err = ERR_LIMIT;
    if (c.err == ERR_OK)
        *out = m;
    return wire_fault_of(c.err);
}

void wire_message_put(struct cursor *c, const struct wire_message *m)
{
    must(m->type <= WIRE_ERROR && check_type((uint8_t)m->type) == WIRE_FAULT_NONE);
    const struct layout *layout = &layouts[m->type];
    cursor_put_u8(c, (uint8_t)m->type);
    if (m->type == WIRE_USER)
        cursor_put_bytes(c, m->user);
    else
        wire_fields_put(c, layout->fields, layout->count, (const char *)m + layout->at);
}

enum wire_fault wire_message_compressed(struct span bytes, size_t *out_at, size_t *out_len)
{
    struct cursor c;
    must(bytes.len > 0 && (uint8_t)bytes.ptr[0] == WIRE_COMPRESS);
    cursor_read(&c, bytes);
    c.at = 1;
    uint32_t pairs = wire_msgpack_get_map(&c);
    for (uint32_t i = 0; i < pairs && c.err == ERR_OK; i++) {
        struct span key = wire_msgpack_get_raw(&c);
        if (span_equal(key, SPAN("Algo"))) {
            if (wire_msgpack_get_uint(&c, UINT64_MAX) != 0)
                return WIRE_FAULT_COMPRESSION;
        } else if (span_equal(key, SPAN("Buf"))) {
            size_t len = wire_msgpack_get_raw_head(&c);
            if (c.err == ERR_OK) {
                *out_at = c.at;
                *out_len = len;
                return WIRE_FAULT_NONE;
            }
        } else {
            wire_msgpack_skip(&c);
        }
    }
    return c.err == ERR_OK ? WIRE_FAULT_COMPRESSION : wire_fault_of(c.err);
}
