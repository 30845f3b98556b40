#include "cluster/wire/serf.h"

#define FIELD(type, member, name, kind)                                                        \
    {                                                                                          \
        name, offsetof(struct type, member), kind, false                                       \
    }

static const struct wire_field leave_fields[] = {
    FIELD(wire_serf_leave, ltime, "LTime", WIRE_U64),
    FIELD(wire_serf_leave, node, "Node", WIRE_TEXT),
    FIELD(wire_serf_leave, prune, "Prune", WIRE_BOOL),
};
static const struct wire_field join_fields[] = {
    FIELD(wire_serf_join, ltime, "LTime", WIRE_U64),
    FIELD(wire_serf_join, node, "Node", WIRE_TEXT),
};
static const struct wire_field push_pull_fields[] = {
    FIELD(wire_serf_push_pull, event_ltime, "EventLTime", WIRE_U64),
    FIELD(wire_serf_push_pull, events, "Events", WIRE_VALUE),
    FIELD(wire_serf_push_pull, ltime, "LTime", WIRE_U64),
    FIELD(wire_serf_push_pull, left_members, "LeftMembers", WIRE_VALUE),
    FIELD(wire_serf_push_pull, query_ltime, "QueryLTime", WIRE_U64),
    FIELD(wire_serf_push_pull, status_ltimes, "StatusLTimes", WIRE_VALUE),
};
static const struct wire_field event_fields[] = {
    FIELD(wire_serf_event, coalesce, "CC", WIRE_BOOL),
    FIELD(wire_serf_event, ltime, "LTime", WIRE_U64),
    FIELD(wire_serf_event, name, "Name", WIRE_TEXT),
    FIELD(wire_serf_event, payload, "Payload", WIRE_BYTES),
};
static const struct wire_field query_fields[] = {
    FIELD(wire_serf_query, addr, "Addr", WIRE_IP),
    FIELD(wire_serf_query, filters, "Filters", WIRE_VALUE),
    FIELD(wire_serf_query, flags, "Flags", WIRE_U32),
    FIELD(wire_serf_query, id, "ID", WIRE_U32),
    FIELD(wire_serf_query, ltime, "LTime", WIRE_U64),
    FIELD(wire_serf_query, name, "Name", WIRE_TEXT),
    FIELD(wire_serf_query, payload, "Payload", WIRE_BYTES),
    FIELD(wire_serf_query, addr.port, "Port", WIRE_U16),
    FIELD(wire_serf_query, relay_factor, "RelayFactor", WIRE_U8),
    FIELD(wire_serf_query, source_node, "SourceNode", WIRE_TEXT),
    FIELD(wire_serf_query, timeout_ns, "Timeout", WIRE_I64),
};
static const struct wire_field response_fields[] = {
    FIELD(wire_serf_response, flags, "Flags", WIRE_U32),
    FIELD(wire_serf_response, from, "From", WIRE_TEXT),
    FIELD(wire_serf_response, id, "ID", WIRE_U32),
    FIELD(wire_serf_response, ltime, "LTime", WIRE_U64),
    FIELD(wire_serf_response, payload, "Payload", WIRE_BYTES),
};
static const struct wire_field member_fields[] = {
    FIELD(wire_serf_member, addr, "Addr", WIRE_IP),
    FIELD(wire_serf_member, delegate_current, "DelegateCur", WIRE_U8),
    FIELD(wire_serf_member, delegate_max, "DelegateMax", WIRE_U8),
    FIELD(wire_serf_member, delegate_min, "DelegateMin", WIRE_U8),
    FIELD(wire_serf_member, name, "Name", WIRE_TEXT),
    FIELD(wire_serf_member, addr.port, "Port", WIRE_U16),
    FIELD(wire_serf_member, protocol_current, "ProtocolCur", WIRE_U8),
    FIELD(wire_serf_member, protocol_max, "ProtocolMax", WIRE_U8),
    FIELD(wire_serf_member, protocol_min, "ProtocolMin", WIRE_U8),
    FIELD(wire_serf_member, status, "Status", WIRE_U8),
    FIELD(wire_serf_member, tags, "Tags", WIRE_VALUE),
};
static const struct wire_field key_request_fields[] = {
    FIELD(wire_serf_key_request, key, "Key", WIRE_BYTES),
};
static const struct wire_field key_response_fields[] = {
    FIELD(wire_serf_key_response, keys, "Keys", WIRE_VALUE),
    FIELD(wire_serf_key_response, message, "Message", WIRE_TEXT),
    FIELD(wire_serf_key_response, primary_key, "PrimaryKey", WIRE_TEXT),
    FIELD(wire_serf_key_response, result, "Result", WIRE_BOOL),
};

#define LAYOUT(name) name##_fields, ARRAY_LEN(name##_fields)

/* Each message's fields, and where in struct wire_serf_message they are. */
static const struct layout {
    const struct wire_field *fields;
    size_t count, at;
} layouts[] = {
    [WIRE_SERF_LEAVE] = {LAYOUT(leave), offsetof(struct wire_serf_message, leave)},
    [WIRE_SERF_JOIN] = {LAYOUT(join), offsetof(struct wire_serf_message, join)},
    [WIRE_SERF_PUSH_PULL] = {LAYOUT(push_pull), offsetof(struct wire_serf_message, push_pull)},
    [WIRE_SERF_EVENT] = {LAYOUT(event), offsetof(struct wire_serf_message, event)},
    [WIRE_SERF_QUERY] = {LAYOUT(query), offsetof(struct wire_serf_message, query)},
    [WIRE_SERF_RESPONSE] = {LAYOUT(response), offsetof(struct wire_serf_message, response)},
    [WIRE_SERF_CONFLICT] = {LAYOUT(member), offsetof(struct wire_serf_message, conflict)},
    [WIRE_SERF_KEY_REQUEST] = {LAYOUT(key_request),
                               offsetof(struct wire_serf_message, key_request)},
    [WIRE_SERF_KEY_RESPONSE] = {LAYOUT(key_response),
                                offsetof(struct wire_serf_message, key_response)},
    [WIRE_SERF_RELAY] = {NULL, 0, 0}, /* a map in a map, then a message */
};

/* --- relay --- */

struct relay_head {
    struct span dest_addr; /* a map of its own */
    struct span dest_name;
};
static const struct wire_field relay_head_fields[] = {
    FIELD(relay_head, dest_addr, "DestAddr", WIRE_VALUE),
    FIELD(relay_head, dest_name, "DestName", WIRE_TEXT),
};
struct relay_addr {
    struct addr addr;
    struct span zone; /* of IPv6; we know none */
};
static const struct wire_field relay_addr_fields[] = {
    FIELD(relay_addr, addr, "IP", WIRE_IP),
    FIELD(relay_addr, addr.port, "Port", WIRE_U16),
    FIELD(relay_addr, zone, "Zone", WIRE_TEXT),
};

static void get_relay(struct cursor *c, struct wire_serf_relay *out)
{
    struct relay_head head = {.dest_addr = {NULL, 0}};
    struct relay_addr dest = {.addr = {.family = ADDR_NONE}};
    struct cursor inner;
    wire_fields_get(c, relay_head_fields, ARRAY_LEN(relay_head_fields), &head);
    cursor_read(&inner, head.dest_addr);
    if (c->err == ERR_OK && head.dest_addr.len > 0)
        wire_fields_get(&inner, relay_addr_fields, ARRAY_LEN(relay_addr_fields), &dest);
    if (c->err == ERR_OK)
        c->err = inner.err;
    out->dest = dest.addr;
    out->dest_name = head.dest_name;
    out->message = span_of(c->ptr + c->at, cursor_left(c));
}

static void put_relay(struct cursor *c, const struct wire_serf_relay *r)
{
    const struct relay_addr dest = {.addr = r->dest};
    wire_msgpack_put_map(c, 2);
    wire_msgpack_put_raw(c, SPAN("DestAddr"));
    wire_fields_put(c, relay_addr_fields, ARRAY_LEN(relay_addr_fields), &dest);
    wire_msgpack_put_raw(c, SPAN("DestName"));
    wire_msgpack_put_raw(c, r->dest_name);
    cursor_put_bytes(c, r->message);
}

/* --- values inside messages: walked once when read, so that a later walk cannot fail --- */

static enum err check_raws(struct span array)
{
    struct wire_msgpack_walk w;
    struct span raw;
    wire_msgpack_walk_array(&w, array);
    while (wire_msgpack_walk_raw(&w, &raw))
        ;
    return w.in.err;
}

static enum err check_texts(struct span map)
{
    struct wire_msgpack_walk w;
    struct span key, text;
    wire_msgpack_walk_map(&w, map);
    while (wire_msgpack_walk_pair(&w, &key, &text))
        ;
    return w.in.err;
}

static enum err check_numbers(struct span map)
{
    struct wire_msgpack_walk w;
    struct span key;
    uint64_t number;
    wire_msgpack_walk_map(&w, map);
    while (wire_msgpack_walk_number(&w, &key, &number))
        ;
    return w.in.err;
}

static enum err check_events(const struct wire_serf_push_pull *p)
{
    struct wire_serf_events e;
    struct wire_serf_event event;
    wire_serf_events_begin(&e, p);
    while (wire_serf_events_next(&e, &event))
        ;
    return e.slots.in.err != ERR_OK ? e.slots.in.err : e.slot.in.err;
}

static enum err check_values(const struct wire_serf_message *m)
{
    enum err err = ERR_OK;
    switch (m->type) {
    case WIRE_SERF_PUSH_PULL:
        err = check_raws(m->push_pull.left_members);
        if (err == ERR_OK)
            err = check_numbers(m->push_pull.status_ltimes);
        return err == ERR_OK ? check_events(&m->push_pull) : err;
    case WIRE_SERF_QUERY:
        return check_raws(m->query.filters);
    case WIRE_SERF_CONFLICT:
        return check_texts(m->conflict.tags);
    case WIRE_SERF_KEY_RESPONSE:
        return check_raws(m->key_response.keys);
    case WIRE_SERF_LEAVE:
    case WIRE_SERF_JOIN:
    case WIRE_SERF_EVENT:
    case WIRE_SERF_RESPONSE:
    case WIRE_SERF_KEY_REQUEST:
    case WIRE_SERF_RELAY:
        break;
    }
    return err;
}

/* --- messages --- */

enum wire_fault wire_serf_get(struct span bytes, struct wire_serf_message *out)
{
    struct wire_serf_message m;
    struct cursor c;
    if (bytes.len == 0)
        return WIRE_FAULT_EMPTY;
    uint8_t type = (uint8_t)bytes.ptr[0];
    if (type >= ARRAY_LEN(layouts))
        return WIRE_FAULT_UNKNOWN;
    memset(&m, 0, sizeof(m));
    m.type = type;
    cursor_read(&c, span_from(bytes, 1));
    if (type == WIRE_SERF_RELAY)
        get_relay(&c, &m.relay);
    else
        wire_fields_get(&c, layouts[type].fields, layouts[type].count,
                        (char *)&m + layouts[type].at);
    if (c.err == ERR_OK)
        c.err = check_values(&m);
    if (c.err == ERR_OK)
        *out = m;
    return wire_fault_of(c.err);
}

void wire_serf_put(struct cursor *c, const struct wire_serf_message *m)
{
    must(m->type < ARRAY_LEN(layouts) && m->type != WIRE_SERF_PUSH_PULL);
    const struct layout *layout = &layouts[m->type];
    cursor_put_u8(c, (uint8_t)m->type);
    if (m->type == WIRE_SERF_RELAY)
        put_relay(c, &m->relay);
    else
        wire_fields_put(c, layout->fields, layout->count, (const char *)m + layout->at);
}

void wire_serf_put_user(struct cursor *c, const struct wire_serf_message *m)
{
    cursor_put_u8(c, WIRE_USER);
    wire_serf_put(c, m);
}

/* --- the state of a push/pull --- */

struct slot {
    struct span events; /* an array of maps */
    uint64_t ltime;
};
static const struct wire_field slot_fields[] = {
    FIELD(slot, events, "Events", WIRE_VALUE),
    FIELD(slot, ltime, "LTime", WIRE_U64),
};
static const struct wire_field slot_event_fields[] = {
    FIELD(wire_serf_event, name, "Name", WIRE_TEXT),
    FIELD(wire_serf_event, payload, "Payload", WIRE_BYTES),
};

void wire_serf_events_begin(struct wire_serf_events *e, const struct wire_serf_push_pull *p)
{
    *e = (struct wire_serf_events){.ltime = 0};
    wire_msgpack_walk_array(&e->slots, p->events);
}

/* False at the end. */
static bool next_slot(struct wire_serf_events *e)
{
    struct slot slot = {.ltime = 0};
    if (e->slot.in.err != ERR_OK || e->slots.in.err != ERR_OK || e->slots.left == 0)
        return false;
    e->slots.left--;
    wire_fields_get(&e->slots.in, slot_fields, ARRAY_LEN(slot_fields), &slot); /* nil: none */
    wire_msgpack_walk_array(&e->slot, slot.events);
    e->ltime = slot.ltime;
    return true;
}

bool wire_serf_events_next(struct wire_serf_events *e, struct wire_serf_event *out)
{
    struct wire_serf_event event = {.ltime = 0};
    while (e->slot.left == 0 || e->slot.in.err != ERR_OK)
        if (!next_slot(e))
            return false;
    if (e->slots.in.err != ERR_OK)
        return false;
    e->slot.left--;
    wire_fields_get(&e->slot.in, slot_event_fields, ARRAY_LEN(slot_event_fields), &event);
    if (e->slot.in.err != ERR_OK)
        return false;
    event.ltime = e->ltime;
    *out = event;
    return true;
}

#define HEAD_MAX ((size_t)9) /* of a raw, array, map or number, with its type byte */

size_t wire_serf_state_bound(const struct wire_serf_state *s)
{
    size_t bytes = 128; /* keys, clocks and counts */
    for (size_t i = 0; i < s->status_count; i++)
        bytes += 2 * HEAD_MAX + s->status[i].node.len;
    for (size_t i = 0; i < s->left_count; i++)
        bytes += HEAD_MAX + s->left[i].len;
    for (size_t i = 0; i < s->event_count; i++) /* each in a slot of its own, at worst */
        bytes += 64 + s->events[i].name.len + s->events[i].payload.len;
    return bytes;
}

/* Where the events of the ltime at `from` end. */
static size_t slot_end(const struct wire_serf_state *s, size_t from)
{
    size_t to = from;
    while (to < s->event_count && s->events[to].ltime == s->events[from].ltime)
        to++;
    return to;
}

static void put_events(struct cursor *c, const struct wire_serf_state *s)
{
    size_t slots = 0;
    for (size_t at = 0; at < s->event_count; at = slot_end(s, at))
        slots++;
    wire_msgpack_put_array(c, slots);
    for (size_t at = 0; at < s->event_count;) {
        size_t end = slot_end(s, at);
        wire_msgpack_put_map(c, 2);
        wire_msgpack_put_raw(c, SPAN("Events"));
        wire_msgpack_put_array(c, end - at);
        uint64_t ltime = s->events[at].ltime;
        for (; at < end; at++)
            wire_fields_put(c, slot_event_fields, ARRAY_LEN(slot_event_fields), &s->events[at]);
        wire_msgpack_put_raw(c, SPAN("LTime"));
        wire_msgpack_put_uint(c, ltime);
    }
}

void wire_serf_state_put(struct cursor *c, const struct wire_serf_state *s)
{
    cursor_put_u8(c, WIRE_SERF_PUSH_PULL);
    wire_msgpack_put_map(c, 6);
    wire_msgpack_put_raw(c, SPAN("EventLTime"));
    wire_msgpack_put_uint(c, s->event_ltime);
    wire_msgpack_put_raw(c, SPAN("Events"));
    put_events(c, s);
    wire_msgpack_put_raw(c, SPAN("LTime"));
    wire_msgpack_put_uint(c, s->ltime);
    wire_msgpack_put_raw(c, SPAN("LeftMembers"));
    wire_msgpack_put_array(c, s->left_count);
    for (size_t i = 0; i < s->left_count; i++)
        wire_msgpack_put_raw(c, s->left[i]);
    wire_msgpack_put_raw(c, SPAN("QueryLTime"));
    wire_msgpack_put_uint(c, s->query_ltime);
    wire_msgpack_put_raw(c, SPAN("StatusLTimes"));
    wire_msgpack_put_map(c, s->status_count);
    for (size_t i = 0; i < s->status_count; i++) {
        wire_msgpack_put_raw(c, s->status[i].node);
        wire_msgpack_put_uint(c, s->status[i].ltime);
    }
}

/* --- filters --- */

enum { FILTER_NODES = 0, FILTER_TAG = 1 };

static const struct wire_field filter_tag_fields[] = {
    FIELD(wire_serf_filter, expr, "Expr", WIRE_TEXT),
    FIELD(wire_serf_filter, tag, "Tag", WIRE_TEXT),
};

bool wire_serf_filter_next(struct wire_msgpack_walk *filters, struct wire_serf_filter *out)
{
    struct wire_serf_filter filter = {.by_tag = false};
    struct cursor c;
    struct span raw;
    if (!wire_msgpack_walk_raw(filters, &raw))
        return false;
    enum err err = ERR_SYNTAX;
    if (raw.len > 0 && raw.ptr[0] == FILTER_NODES) {
        filter.nodes = span_from(raw, 1);
        err = check_raws(filter.nodes);
    } else if (raw.len > 0 && raw.ptr[0] == FILTER_TAG) {
        filter.by_tag = true;
        cursor_read(&c, span_from(raw, 1));
        wire_fields_get(&c, filter_tag_fields, ARRAY_LEN(filter_tag_fields), &filter);
        err = c.err;
    }
    filters->in.err = err;
    if (err == ERR_OK)
        *out = filter;
    return err == ERR_OK;
}

/* --- tags --- */

#define TAGS_MARK 0xff

void wire_serf_tags_begin(struct wire_serf_tags *t, struct span meta)
{
    *t = (struct wire_serf_tags){.role = {NULL, 0}};
    if (meta.len > 0 && (uint8_t)meta.ptr[0] == TAGS_MARK)
        wire_msgpack_walk_map(&t->walk, span_from(meta, 1));
    else
        t->role = meta;
}

bool wire_serf_tags_next(struct wire_serf_tags *t, struct wire_serf_tag *out)
{
    if (t->role.len > 0) {
        *out = (struct wire_serf_tag){SPAN("role"), t->role};
        t->role.len = 0;
        return true;
    }
    return wire_msgpack_walk_pair(&t->walk, &out->name, &out->value);
}

void wire_serf_tags_put(struct cursor *c, const struct wire_serf_tag *tags, size_t count)
{
    cursor_put_u8(c, TAGS_MARK);
    wire_msgpack_put_map(c, count);
    for (size_t i = 0; i < count; i++) {
        wire_msgpack_put_raw(c, tags[i].name);
        wire_msgpack_put_raw(c, tags[i].value);
    }
}

/* --- coordinates --- */

#define COORDINATE_VERSION 1

struct coordinate {
    double adjustment, error, height;
    struct span vec; /* an array of doubles */
};
static const struct wire_field coordinate_fields[] = {
    FIELD(coordinate, adjustment, "Adjustment", WIRE_DOUBLE),
    FIELD(coordinate, error, "Error", WIRE_DOUBLE),
    FIELD(coordinate, height, "Height", WIRE_DOUBLE),
    FIELD(coordinate, vec, "Vec", WIRE_VALUE),
};

enum wire_fault wire_serf_coordinate_get(struct span payload, struct wire_serf_coordinate *out)
{
    struct coordinate read = {.vec = {NULL, 0}};
    struct wire_serf_coordinate v;
    struct wire_msgpack_walk vec;
    struct cursor c;
    if (payload.len == 0)
        return WIRE_FAULT_EMPTY;
    if (payload.ptr[0] != COORDINATE_VERSION)
        return WIRE_FAULT_UNKNOWN;
    cursor_read(&c, span_from(payload, 1));
    wire_fields_get(&c, coordinate_fields, ARRAY_LEN(coordinate_fields), &read);
    if (c.err != ERR_OK)
        return wire_fault_of(c.err);
    wire_msgpack_walk_array(&vec, read.vec);
    if (vec.in.err != ERR_OK || vec.left != WIRE_SERF_DIMENSIONS)
        return WIRE_FAULT_SYNTAX;
    v.adjustment = read.adjustment;
    v.error = read.error;
    v.height = read.height;
    for (size_t i = 0; i < WIRE_SERF_DIMENSIONS; i++)
        v.vec[i] = wire_msgpack_get_double(&vec.in);
    if (vec.in.err == ERR_OK)
        *out = v;
    return wire_fault_of(vec.in.err);
}

void wire_serf_coordinate_put(struct cursor *c, const struct wire_serf_coordinate *v)
{
    /* The array of the vector is written as a value: its bytes, made first. */
    uint8_t bytes[HEAD_MAX * (WIRE_SERF_DIMENSIONS + 1)];
    struct cursor vec;
    cursor_write(&vec, bytes, sizeof(bytes));
    wire_msgpack_put_array(&vec, WIRE_SERF_DIMENSIONS);
    for (size_t i = 0; i < WIRE_SERF_DIMENSIONS; i++)
        wire_msgpack_put_float(&vec, v->vec[i]);
    const struct coordinate written = {v->adjustment, v->error, v->height,
                                       span_of(bytes, vec.at)};
    must(vec.err == ERR_OK);
    cursor_put_u8(c, COORDINATE_VERSION);
    wire_fields_put(c, coordinate_fields, ARRAY_LEN(coordinate_fields), &written);
}
