#include "cluster/wire/stream.h"

#include "cluster/wire/lzw.h"

#define FRAME_HEAD 5 /* type and length of a sealed frame: also its AAD */

#define FIELD(type, member, name, kind)                                                        \
    {                                                                                          \
        name, offsetof(struct type, member), kind, false                                       \
    }

struct head {
    bool join;
    uint32_t nodes;
    uint32_t state_bytes;
};
static const struct wire_field head_fields[] = {
    FIELD(head, join, "Join", WIRE_BOOL),
    FIELD(head, nodes, "Nodes", WIRE_U32),
    FIELD(head, state_bytes, "UserStateLen", WIRE_U32),
};
static const struct wire_field node_fields[] = {
    FIELD(wire_node, addr, "Addr", WIRE_IP),
    FIELD(wire_node, incarnation, "Incarnation", WIRE_U32),
    FIELD(wire_node, meta, "Meta", WIRE_BYTES),
    FIELD(wire_node, name, "Name", WIRE_TEXT),
    FIELD(wire_node, addr.port, "Port", WIRE_U16),
    FIELD(wire_node, state, "State", WIRE_U8),
    FIELD(wire_node, vsn, "Vsn", WIRE_VSN),
};
static const struct wire_field user_fields[] = {
    {"UserMsgLen", 0, WIRE_U32, false},
};

/* --- reading. WIRE_FAULT_TRUNCATED means that more bytes are needed, until s->whole --- */

static bool has_keys(const struct wire_stream *s)
{
    return s->ring && s->ring->count > 0;
}

/* Where one map may lie: whoever waits for its end looks at no more bytes than these. */
static struct span item_window(struct span bytes, size_t at)
{
    struct span rest = span_from(bytes, at);
    return rest.len > WIRE_ITEM_MAX ? span_until(rest, WIRE_ITEM_MAX) : rest;
}

static enum wire_fault item_fault(enum wire_fault fault, struct span window)
{
    bool full = fault == WIRE_FAULT_TRUNCATED && window.len == WIRE_ITEM_MAX;
    return full ? WIRE_FAULT_TOO_LARGE : fault;
}

static enum err get_node(struct cursor *c, struct wire_node *out)
{
    memset(out, 0, sizeof(*out));
    wire_fields_get(c, node_fields, ARRAY_LEN(node_fields), out);
    if (c->err != ERR_OK)
        return c->err;
    if (out->name.len > WIRE_NAME_MAX || out->meta.len > WIRE_META_MAX)
        return ERR_LIMIT;
    return out->state > WIRE_NODE_LEFT ? ERR_SYNTAX : ERR_OK;
}

static enum wire_fault parse_head(struct wire_stream *s, struct span bytes)
{
    struct head head = {.join = false};
    struct cursor c;
    struct span window = item_window(bytes, 1);
    cursor_read(&c, window);
    wire_fields_get(&c, head_fields, ARRAY_LEN(head_fields), &head);
    if (c.err != ERR_OK)
        return item_fault(wire_fault_of(c.err), window);
    if (head.nodes > WIRE_STREAM_NODES_MAX || head.state_bytes > s->cap_bytes)
        return WIRE_FAULT_TOO_LARGE;
    s->opened = true;
    s->nodes_at = s->parsed = 1 + c.at;
    s->nodes_left = head.nodes;
    s->state_bytes = head.state_bytes;
    s->push_pull.join = head.join;
    s->push_pull.nodes_left = head.nodes;
    return WIRE_FAULT_NONE;
}

static enum wire_fault parse_push_pull(struct wire_stream *s, struct span bytes)
{
    if (!s->opened) {
        enum wire_fault fault = parse_head(s, bytes);
        if (fault != WIRE_FAULT_NONE)
            return fault;
    }
    for (; s->nodes_left > 0; s->nodes_left--) {
        struct wire_node node;
        struct cursor c;
        struct span window = item_window(bytes, s->parsed);
        cursor_read(&c, window);
        enum err err = get_node(&c, &node);
        if (err != ERR_OK)
            return item_fault(wire_fault_of(err), window);
        s->parsed += c.at;
    }
    if (bytes.len - s->parsed < s->state_bytes)
        return WIRE_FAULT_TRUNCATED;
    s->message.type = WIRE_PUSH_PULL;
    s->push_pull.nodes = span_of(bytes.ptr + s->nodes_at, s->parsed - s->nodes_at);
    s->push_pull.user_state = span_of(bytes.ptr + s->parsed, s->state_bytes);
    return WIRE_FAULT_NONE;
}

static enum wire_fault parse_user(struct wire_stream *s, struct span bytes)
{
    uint32_t len = 0;
    struct cursor c;
    struct span window = item_window(bytes, 1);
    cursor_read(&c, window);
    wire_fields_get(&c, user_fields, ARRAY_LEN(user_fields), &len);
    if (c.err != ERR_OK)
        return item_fault(wire_fault_of(c.err), window);
    if (len > s->cap_bytes)
        return WIRE_FAULT_TOO_LARGE;
    if (bytes.len - 1 - c.at < len)
        return WIRE_FAULT_TRUNCATED;
    s->message.type = WIRE_USER;
    s->message.user = span_of(bytes.ptr + 1 + c.at, len);
    return WIRE_FAULT_NONE;
}

/* Why this type is none that the other side may say; NONE when it may. */
static enum wire_fault check_type(enum wire_role role, uint8_t type)
{
    bool expected = type == WIRE_PUSH_PULL;
    if (type == WIRE_LABEL)
        return WIRE_FAULT_LABEL;
    if (type > WIRE_ERROR)
        return WIRE_FAULT_UNKNOWN;
    if (role == WIRE_ACCEPTOR)
        expected |= type == WIRE_PING || type == WIRE_USER;
    else
        expected |= type == WIRE_ACK || type == WIRE_ERROR;
    return expected ? WIRE_FAULT_NONE : WIRE_FAULT_MISPLACED;
}

static enum wire_fault parse(struct wire_stream *s, struct span bytes)
{
    if (bytes.len == 0)
        return WIRE_FAULT_EMPTY;
    uint8_t type = (uint8_t)bytes.ptr[0];
    enum wire_fault fault = check_type(s->role, type);
    if (fault != WIRE_FAULT_NONE)
        return fault;
    if (type == WIRE_PUSH_PULL)
        return parse_push_pull(s, bytes);
    if (type == WIRE_USER)
        return parse_user(s, bytes);
    struct span window = item_window(bytes, 0);
    return item_fault(wire_message_get(window, &s->message), window);
}

static enum wire_fault parse_compressed(struct wire_stream *s, struct span bytes)
{
    size_t at, len;
    struct span window = item_window(bytes, 0);
    enum wire_fault fault = item_fault(wire_message_compressed(window, &at, &len), window);
    if (fault != WIRE_FAULT_NONE)
        return fault;
    if (len > s->cap_bytes)
        return WIRE_FAULT_TOO_LARGE;
    if (bytes.len - at < len)
        return WIRE_FAULT_TRUNCATED;
    s->whole = true;
    enum err err = wire_lzw_decode(span_of(bytes.ptr + at, len), &s->inflated);
    if (err != ERR_OK)
        return err == ERR_LIMIT ? WIRE_FAULT_TOO_LARGE : WIRE_FAULT_COMPRESSION;
    buf_release(&s->came);
    buf_release(&s->plain);
    struct span inner = buf_span(&s->inflated);
    if (inner.len > 0 && inner.ptr[0] == WIRE_COMPRESS)
        return WIRE_FAULT_NESTED;
    return parse(s, inner);
}

static enum wire_fault parse_unsealed(struct wire_stream *s, struct span bytes)
{
    bool compressed = bytes.len > 0 && bytes.ptr[0] == WIRE_COMPRESS;
    return compressed ? parse_compressed(s, bytes) : parse(s, bytes);
}

static enum wire_fault parse_sealed(struct wire_stream *s, struct span bytes)
{
    struct cursor c;
    struct span plain;
    if (bytes.len < FRAME_HEAD)
        return WIRE_FAULT_TRUNCATED;
    cursor_read(&c, span_from(bytes, 1));
    size_t len = cursor_get_u32(&c);
    if (len > s->cap_bytes)
        return WIRE_FAULT_TOO_LARGE;
    if (len <= WIRE_SEAL_BYTES)
        return WIRE_FAULT_DECRYPT;
    if (bytes.len - FRAME_HEAD < len)
        return WIRE_FAULT_TRUNCATED;
    s->whole = true;
    size_t room_bytes = len - WIRE_SEAL_BYTES;
    char *room = buf_reserve(&s->plain, room_bytes);
    if (!room)
        return WIRE_FAULT_TOO_LARGE;
    enum err err = wire_keyring_open(s->ring, span_until(bytes, FRAME_HEAD),
                                     span_of(bytes.ptr + FRAME_HEAD, len), (uint8_t *)room,
                                     room_bytes, &plain);
    if (err != ERR_OK)
        return WIRE_FAULT_DECRYPT;
    buf_grew(&s->plain, plain.len);
    buf_release(&s->came);
    return parse_unsealed(s, plain);
}

static enum wire_fault look(struct wire_stream *s)
{
    struct span bytes = buf_span(&s->came);
    if (bytes.len == 0)
        return s->whole ? WIRE_FAULT_EMPTY : WIRE_FAULT_TRUNCATED;
    uint8_t type = (uint8_t)bytes.ptr[0];
    if (type == WIRE_LABEL)
        return WIRE_FAULT_LABEL;
    if (has_keys(s))
        return type == WIRE_ENCRYPT ? parse_sealed(s, bytes) : WIRE_FAULT_PLAIN_REFUSED;
    return type == WIRE_ENCRYPT ? WIRE_FAULT_DECRYPT : parse_unsealed(s, bytes);
}

static enum wire_stream_status conclude(struct wire_stream *s, enum wire_fault fault)
{
    if (fault == WIRE_FAULT_TRUNCATED && !s->whole)
        return s->status;
    s->fault = fault;
    s->status = fault == WIRE_FAULT_NONE ? WIRE_STREAM_MESSAGE : WIRE_STREAM_FAULT;
    if (fault != WIRE_FAULT_NONE) {
        buf_release(&s->came);
        buf_release(&s->plain);
        buf_release(&s->inflated);
    }
    return s->status;
}

void wire_stream_init(struct wire_stream *s, enum wire_role role,
                      const struct wire_keyring *ring, size_t cap_bytes)
{
    must(cap_bytes >= WIRE_ITEM_MAX && cap_bytes <= WIRE_STREAM_MAX);
    memset(s, 0, sizeof(*s));
    s->role = role;
    s->ring = ring;
    s->cap_bytes = cap_bytes;
    buf_init(&s->came, cap_bytes + FRAME_HEAD);
    buf_init(&s->plain, cap_bytes);
    buf_init(&s->inflated, cap_bytes);
    buf_init(&s->out, cap_bytes + FRAME_HEAD);
}

void wire_stream_fini(struct wire_stream *s)
{
    buf_fini(&s->came);
    buf_fini(&s->plain);
    buf_fini(&s->inflated);
    buf_fini(&s->out);
}

enum wire_stream_status wire_stream_feed(struct wire_stream *s, struct span bytes)
{
    if (s->status != WIRE_STREAM_MORE)
        return s->status;
    if (buf_append(&s->came, bytes) != ERR_OK)
        return conclude(s, WIRE_FAULT_TOO_LARGE);
    return conclude(s, look(s));
}

enum wire_stream_status wire_stream_feed_end(struct wire_stream *s)
{
    if (s->status != WIRE_STREAM_MORE)
        return s->status;
    s->whole = true;
    return conclude(s, look(s));
}

bool wire_push_pull_next(struct wire_push_pull *p, struct wire_node *out)
{
    struct cursor c;
    if (p->nodes_left == 0)
        return false;
    cursor_read(&c, p->nodes);
    must(get_node(&c, out) == ERR_OK); /* each was read before the message was given */
    p->nodes = span_from(p->nodes, c.at);
    p->nodes_left--;
    return true;
}

/* --- writing --- */

enum err wire_stream_say(struct wire_stream *s, struct span message,
                         const uint8_t nonce[WIRE_NONCE_BYTES])
{
    struct cursor c;
    if (!has_keys(s))
        return buf_append(&s->out, message);
    if (message.len > s->cap_bytes - WIRE_SEAL_BYTES)
        return ERR_LIMIT;
    size_t blob_bytes = message.len + WIRE_SEAL_BYTES;
    char *room = buf_reserve(&s->out, FRAME_HEAD + blob_bytes);
    if (!room)
        return ERR_LIMIT;
    cursor_write(&c, room, FRAME_HEAD + blob_bytes);
    cursor_put_u8(&c, WIRE_ENCRYPT);
    cursor_put_u32(&c, (uint32_t)blob_bytes);
    wire_keyring_seal(s->ring, nonce, span_of(room, FRAME_HEAD), message, &c);
    if (c.err == ERR_OK)
        buf_grew(&s->out, c.at);
    return c.err;
}

/* A ping, ack or error as in a packet; a user message with its length told before it. */
static enum err append_message(struct buf *b, const struct wire_message *m)
{
    struct cursor c;
    size_t room_bytes = WIRE_ITEM_MAX + (m->type == WIRE_USER ? m->user.len : 0);
    char *room = buf_reserve(b, room_bytes);
    if (!room)
        return ERR_LIMIT;
    cursor_write(&c, room, room_bytes);
    if (m->type == WIRE_USER) {
        uint32_t len = (uint32_t)m->user.len;
        cursor_put_u8(&c, WIRE_USER);
        wire_fields_put(&c, user_fields, ARRAY_LEN(user_fields), &len);
        cursor_put_bytes(&c, m->user);
    } else {
        wire_message_put(&c, m);
    }
    if (c.err == ERR_OK)
        buf_grew(b, c.at);
    return c.err;
}

enum err wire_stream_say_message(struct wire_stream *s, const struct wire_message *m,
                                 const uint8_t nonce[WIRE_NONCE_BYTES])
{
    struct buf bytes;
    buf_init(&bytes, WIRE_STREAM_MAX + WIRE_ITEM_MAX);
    enum err err = append_message(&bytes, m);
    if (err == ERR_OK)
        err = wire_stream_say(s, buf_span(&bytes), nonce);
    buf_fini(&bytes);
    return err;
}

struct span wire_stream_output(const struct wire_stream *s)
{
    return buf_span(&s->out);
}

void wire_stream_sent(struct wire_stream *s, size_t bytes)
{
    buf_consume(&s->out, bytes);
}

/* Appends one map of less than WIRE_ITEM_MAX bytes, behind `type` unless that is negative. */
static enum err append_map(struct buf *out, int type, const struct wire_field *fields,
                           size_t count, const void *in)
{
    struct cursor c;
    uint8_t bytes[WIRE_ITEM_MAX];
    cursor_write(&c, bytes, sizeof(bytes));
    if (type >= 0)
        cursor_put_u8(&c, (uint8_t)type);
    wire_fields_put(&c, fields, count, in);
    return c.err == ERR_OK ? buf_append(out, span_of(bytes, c.at)) : c.err;
}

enum err wire_push_pull_put(struct buf *out, bool join, uint32_t nodes, size_t state_bytes)
{
    const struct head head = {join, nodes, (uint32_t)state_bytes};
    if (state_bytes > WIRE_STREAM_MAX)
        return ERR_LIMIT;
    return append_map(out, WIRE_PUSH_PULL, head_fields, ARRAY_LEN(head_fields), &head);
}

enum err wire_push_pull_put_node(struct buf *out, const struct wire_node *node)
{
    return append_map(out, -1, node_fields, ARRAY_LEN(node_fields), node);
}
