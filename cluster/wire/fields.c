#include "cluster/wire/fields.h"

static void get_ip(struct cursor *c, struct addr *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct span raw = wire_msgpack_get_raw(c);
    bool v4_in_v6 = raw.len == 16 && memcmp(raw.ptr, mapped, sizeof(mapped)) == 0;
    if (v4_in_v6)
        raw = span_from(raw, sizeof(mapped));
    memset(out->ip, 0, sizeof(out->ip));
    out->family = raw.len == 16 ? ADDR_V6 : raw.len == 4 ? ADDR_V4 : ADDR_NONE;
    if (out->family != ADDR_NONE)
        memcpy(out->ip, raw.ptr, raw.len);
    else if (raw.len != 0)
        c->err = ERR_SYNTAX;
}

static void get_vsn(struct cursor *c, uint8_t out[WIRE_VSN_BYTES])
{
    struct span raw = wire_msgpack_get_raw(c);
    memset(out, 0, WIRE_VSN_BYTES);
    if (raw.len == WIRE_VSN_BYTES)
        memcpy(out, raw.ptr, WIRE_VSN_BYTES);
    else if (raw.len != 0)
        c->err = ERR_SYNTAX;
}

static void get_field(struct cursor *c, enum wire_kind kind, void *out)
{
    switch (kind) {
    case WIRE_BOOL:
        *(bool *)out = wire_msgpack_get_bool(c);
        break;
    case WIRE_U8:
        *(uint8_t *)out = (uint8_t)wire_msgpack_get_uint(c, UINT8_MAX);
        break;
    case WIRE_U16:
        *(uint16_t *)out = (uint16_t)wire_msgpack_get_uint(c, UINT16_MAX);
        break;
    case WIRE_U32:
        *(uint32_t *)out = (uint32_t)wire_msgpack_get_uint(c, UINT32_MAX);
        break;
    case WIRE_U64:
        *(uint64_t *)out = wire_msgpack_get_uint(c, UINT64_MAX);
        break;
    case WIRE_I64:
        *(int64_t *)out = wire_msgpack_get_int(c);
        break;
    case WIRE_DOUBLE:
        *(double *)out = wire_msgpack_get_double(c);
        break;
    case WIRE_TEXT:
    case WIRE_BYTES:
        *(struct span *)out = wire_msgpack_get_raw(c);
        break;
    case WIRE_IP:
        get_ip(c, out);
        break;
    case WIRE_VSN:
        get_vsn(c, out);
        break;
    case WIRE_VALUE:
        *(struct span *)out = wire_msgpack_get_value(c);
        break;
    }
}

/* `from` is tried first: nearly all write a map in the table's order. NULL: not in the table.
 */
static const struct wire_field *find_field(const struct wire_field *fields, size_t count,
                                           size_t from, struct span key)
{
    for (size_t i = 0; i < count; i++) {
        const struct wire_field *f = &fields[(from + i) % count];
        if (span_equal(key, span_text(f->name)))
            return f;
    }
    return NULL;
}

void wire_fields_get(struct cursor *c, const struct wire_field *fields, size_t count, void *out)
{
    uint32_t pairs = wire_msgpack_get_map(c);
    size_t next = 0;
    for (uint32_t i = 0; i < pairs && c->err == ERR_OK; i++) {
        const struct wire_field *f = find_field(fields, count, next, wire_msgpack_get_raw(c));
        if (f) {
            get_field(c, f->kind, (char *)out + f->at);
            next = (size_t)(f - fields) + 1;
        } else {
            wire_msgpack_skip(c);
        }
    }
}

static bool is_empty(enum wire_kind kind, const void *in)
{
    switch (kind) {
    case WIRE_U16:
        return *(const uint16_t *)in == 0;
    case WIRE_IP:
        return ((const struct addr *)in)->family == ADDR_NONE;
    case WIRE_TEXT:
    case WIRE_BYTES:
        return ((const struct span *)in)->len == 0;
    case WIRE_BOOL:
    case WIRE_U8:
    case WIRE_U32:
    case WIRE_U64:
    case WIRE_I64:
    case WIRE_DOUBLE:
    case WIRE_VSN:
    case WIRE_VALUE:
        break;
    }
    return false; /* no message leaves one of these out */
}

static void put_ip(struct cursor *c, const struct addr *a)
{
    if (a->family == ADDR_NONE)
        wire_msgpack_put_nil(c);
    else
        wire_msgpack_put_raw(c, span_of(a->ip, a->family == ADDR_V4 ? 4 : 16));
}

static void put_span(struct cursor *c, enum wire_kind kind, struct span s)
{
    if (kind == WIRE_VALUE && s.len > 0)
        cursor_put_bytes(c, s);
    else if (kind == WIRE_VALUE || (kind == WIRE_BYTES && !s.ptr))
        wire_msgpack_put_nil(c);
    else
        wire_msgpack_put_raw(c, s);
}

static void put_field(struct cursor *c, enum wire_kind kind, const void *in)
{
    switch (kind) {
    case WIRE_BOOL:
        wire_msgpack_put_bool(c, *(const bool *)in);
        break;
    case WIRE_U8:
        wire_msgpack_put_uint(c, *(const uint8_t *)in);
        break;
    case WIRE_U16:
        wire_msgpack_put_uint(c, *(const uint16_t *)in);
        break;
    case WIRE_U32:
        wire_msgpack_put_uint(c, *(const uint32_t *)in);
        break;
    case WIRE_U64:
        wire_msgpack_put_uint(c, *(const uint64_t *)in);
        break;
    case WIRE_I64:
        wire_msgpack_put_int(c, *(const int64_t *)in);
        break;
    case WIRE_DOUBLE:
        wire_msgpack_put_float(c, *(const double *)in);
        break;
    case WIRE_TEXT:
    case WIRE_BYTES:
    case WIRE_VALUE:
        put_span(c, kind, *(const struct span *)in);
        break;
    case WIRE_IP:
        put_ip(c, in);
        break;
    case WIRE_VSN:
        wire_msgpack_put_raw(c, span_of(in, WIRE_VSN_BYTES));
        break;
    }
}

void wire_fields_put(struct cursor *c, const struct wire_field *fields, size_t count,
                     const void *in)
{
    size_t written = 0;
    for (size_t f = 0; f < count; f++) {
        const void *field = (const char *)in + fields[f].at;
        written += !fields[f].omitted_empty || !is_empty(fields[f].kind, field);
    }
    wire_msgpack_put_map(c, written);
    for (size_t f = 0; f < count; f++) {
        const void *field = (const char *)in + fields[f].at;
        if (fields[f].omitted_empty && is_empty(fields[f].kind, field))
            continue;
        wire_msgpack_put_raw(c, span_text(fields[f].name));
        put_field(c, fields[f].kind, field);
    }
}
