#include "cluster/wire/msgpack.h"

#include <float.h>
#include <math.h>

enum {
    NIL = 0xc0,
    FALSE_BYTE = 0xc2,
    TRUE_BYTE = 0xc3,
    BIN8 = 0xc4,
    EXT8 = 0xc7,
    EXT32 = 0xc9,
    FLOAT32 = 0xca,
    FLOAT64 = 0xcb,
    UINT8 = 0xcc,
    UINT16 = 0xcd,
    UINT32 = 0xce,
    UINT64 = 0xcf,
    INT8 = 0xd0,
    INT16 = 0xd1,
    INT32 = 0xd2,
    INT64 = 0xd3,
    FIXEXT1 = 0xd4,
    FIXEXT16 = 0xd8,
    STR8 = 0xd9,
    RAW16 = 0xda,
    RAW32 = 0xdb,
    ARRAY16 = 0xdc,
    ARRAY32 = 0xdd,
    MAP16 = 0xde,
    MAP32 = 0xdf,
};

/* --- writing --- */

void wire_msgpack_put_nil(struct cursor *c)
{
    cursor_put_u8(c, NIL);
}

void wire_msgpack_put_bool(struct cursor *c, bool v)
{
    cursor_put_u8(c, v ? TRUE_BYTE : FALSE_BYTE);
}

void wire_msgpack_put_uint(struct cursor *c, uint64_t v)
{
    if (v < 0x80) {
        cursor_put_u8(c, (uint8_t)v);
    } else if (v <= UINT8_MAX) {
        cursor_put_u8(c, UINT8);
        cursor_put_u8(c, (uint8_t)v);
    } else if (v <= UINT16_MAX) {
        cursor_put_u8(c, UINT16);
        cursor_put_u16(c, (uint16_t)v);
    } else if (v <= UINT32_MAX) {
        cursor_put_u8(c, UINT32);
        cursor_put_u32(c, (uint32_t)v);
    } else {
        cursor_put_u8(c, UINT64);
        cursor_put_u64(c, v);
    }
}

void wire_msgpack_put_int(struct cursor *c, int64_t v)
{
    if (v >= 0) {
        wire_msgpack_put_uint(c, (uint64_t)v);
    } else if (v >= -32) {
        cursor_put_u8(c, (uint8_t)v);
    } else if (v >= INT8_MIN) {
        cursor_put_u8(c, INT8);
        cursor_put_u8(c, (uint8_t)v);
    } else if (v >= INT16_MIN) {
        cursor_put_u8(c, INT16);
        cursor_put_u16(c, (uint16_t)v);
    } else if (v >= INT32_MIN) {
        cursor_put_u8(c, INT32);
        cursor_put_u32(c, (uint32_t)v);
    } else {
        cursor_put_u8(c, INT64);
        cursor_put_u64(c, (uint64_t)v);
    }
}

void wire_msgpack_put_float(struct cursor *c, double v)
{
    uint32_t bits;
    double max = (double)FLT_MAX;
    float f = v > max ? FLT_MAX : v < -max ? -FLT_MAX : (float)v;
    memcpy(&bits, &f, sizeof(bits));
    cursor_put_u8(c, FLOAT32);
    cursor_put_u32(c, bits);
}

/* A length of a raw, array or map: in the type byte, or 16 or 32 bits behind it. */
static void put_length(struct cursor *c, size_t len, uint8_t fix, size_t fix_max, uint8_t wide)
{
    must(len <= UINT32_MAX);
    if (len <= fix_max) {
        cursor_put_u8(c, (uint8_t)(fix | len));
    } else if (len <= UINT16_MAX) {
        cursor_put_u8(c, wide);
        cursor_put_u16(c, (uint16_t)len);
    } else {
        cursor_put_u8(c, (uint8_t)(wide + 1));
        cursor_put_u32(c, (uint32_t)len);
    }
}

void wire_msgpack_put_raw(struct cursor *c, struct span bytes)
{
    put_length(c, bytes.len, 0xa0, 31, RAW16);
    cursor_put_bytes(c, bytes);
}

void wire_msgpack_put_array(struct cursor *c, size_t items)
{
    put_length(c, items, 0x90, 15, ARRAY16);
}

void wire_msgpack_put_map(struct cursor *c, size_t pairs)
{
    put_length(c, pairs, 0x80, 15, MAP16);
}

/* --- reading --- */

static void fail(struct cursor *c, enum err err)
{
    if (c->err == ERR_OK)
        c->err = err;
}

/* A number of `bytes` bytes, big endian. */
static uint64_t get_wide(struct cursor *c, unsigned bytes)
{
    uint64_t v = 0;
    if (cursor_left(c) < bytes)
        fail(c, ERR_AGAIN);
    if (c->err != ERR_OK)
        return 0;
    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | c->ptr[c->at++];
    return v;
}

static uint8_t get_type(struct cursor *c)
{
    uint8_t type = (uint8_t)get_wide(c, 1);
    return c->err == ERR_OK ? type : NIL; /* nil gives zeros everywhere */
}

static double get_float32(struct cursor *c)
{
    uint32_t bits = (uint32_t)get_wide(c, 4);
    float f;
    memcpy(&f, &bits, sizeof(f));
    return (double)f;
}

static double get_float64(struct cursor *c)
{
    uint64_t bits = get_wide(c, 8);
    double d;
    memcpy(&d, &bits, sizeof(d));
    return d;
}

bool wire_msgpack_get_bool(struct cursor *c)
{
    uint8_t type = get_type(c);
    if (type != TRUE_BYTE && type != FALSE_BYTE && type != NIL)
        fail(c, ERR_SYNTAX);
    return type == TRUE_BYTE;
}

/* A signed number of `bytes` bytes. */
static int64_t get_signed(struct cursor *c, unsigned bytes)
{
    unsigned unused = 64 - 8 * bytes;
    return (int64_t)(get_wide(c, bytes) << unused) >> unused;
}

/* Any integer: its bits, and whether they are of a negative one. */
static uint64_t get_integer(struct cursor *c, bool *out_negative)
{
    uint8_t type = get_type(c);
    int64_t v = 0;
    *out_negative = false;
    if (type < 0x80)
        return type;
    if (type >= UINT8 && type <= UINT64)
        return get_wide(c, 1u << (type - UINT8));
    if (type >= INT8 && type <= INT64)
        v = get_signed(c, 1u << (type - INT8));
    else if (type >= 0xe0)
        v = (int64_t)type - 0x100;
    else if (type != NIL)
        fail(c, ERR_SYNTAX);
    *out_negative = v < 0;
    return (uint64_t)v;
}

uint64_t wire_msgpack_get_uint(struct cursor *c, uint64_t max)
{
    bool negative;
    uint64_t v = get_integer(c, &negative);
    if (negative || v > max)
        fail(c, ERR_LIMIT);
    return c->err == ERR_OK ? v : 0;
}

int64_t wire_msgpack_get_int(struct cursor *c)
{
    bool negative;
    uint64_t v = get_integer(c, &negative);
    if (!negative && v > INT64_MAX)
        fail(c, ERR_LIMIT);
    return c->err == ERR_OK ? (int64_t)v : 0;
}

double wire_msgpack_get_double(struct cursor *c)
{
    uint8_t type = get_type(c);
    double d = 0;
    if (type == FLOAT64)
        d = get_float64(c);
    else if (type == FLOAT32)
        d = get_float32(c);
    else if (type != NIL)
        fail(c, ERR_SYNTAX);
    if (!isfinite(d))
        fail(c, ERR_SYNTAX);
    return c->err == ERR_OK ? d : 0;
}

/* The length behind the type byte of a raw; false when it is none. */
static bool raw_length(struct cursor *c, uint8_t type, uint32_t *out_len)
{
    if (type >= 0xa0 && type <= 0xbf)
        *out_len = type & 31u;
    else if (type >= STR8 && type <= RAW32)
        *out_len = (uint32_t)get_wide(c, 1u << (type - STR8));
    else if (type >= BIN8 && type < EXT8)
        *out_len = (uint32_t)get_wide(c, 1u << (type - BIN8));
    else
        return false;
    return true;
}

uint32_t wire_msgpack_get_raw_head(struct cursor *c)
{
    uint32_t len = 0;
    uint8_t type = get_type(c);
    if (!raw_length(c, type, &len) && type != NIL)
        fail(c, ERR_SYNTAX);
    return c->err == ERR_OK ? len : 0;
}

static struct span get_bytes(struct cursor *c, size_t len)
{
    if (cursor_left(c) < len)
        fail(c, ERR_AGAIN);
    if (c->err != ERR_OK)
        return (struct span){NULL, 0};
    c->at += len;
    return span_of(c->ptr + c->at - len, len); /* also of none: empty is not nil */
}

struct span wire_msgpack_get_raw(struct cursor *c)
{
    if (c->err == ERR_OK && cursor_left(c) > 0 && c->ptr[c->at] == NIL) {
        c->at++;
        return (struct span){NULL, 0};
    }
    return get_bytes(c, wire_msgpack_get_raw_head(c));
}

/* The count behind the type byte of an array or map; false when it is none. */
static bool count_of(struct cursor *c, uint8_t type, uint8_t fix, uint8_t wide,
                     uint32_t *out_count)
{
    if ((type & 0xf0) == fix)
        *out_count = type & 15u;
    else if (type == wide)
        *out_count = (uint32_t)get_wide(c, 2);
    else if (type == wide + 1)
        *out_count = (uint32_t)get_wide(c, 4);
    else
        return false;
    return true;
}

/* An item takes a byte at least, so a higher count cannot be true. */
static uint32_t get_count(struct cursor *c, uint8_t fix, uint8_t wide, size_t item_bytes)
{
    uint32_t count = 0;
    uint8_t type = get_type(c);
    if (!count_of(c, type, fix, wide, &count) && type != NIL)
        fail(c, ERR_SYNTAX);
    if (count > cursor_left(c) / item_bytes)
        fail(c, ERR_AGAIN);
    return c->err == ERR_OK ? count : 0;
}

uint32_t wire_msgpack_get_array(struct cursor *c)
{
    return get_count(c, 0x90, ARRAY16, 1);
}

uint32_t wire_msgpack_get_map(struct cursor *c)
{
    return get_count(c, 0x80, MAP16, 2);
}

/* The bytes behind the type byte of a value that holds no others. */
static void skip_scalar(struct cursor *c, uint8_t type)
{
    uint32_t len = 0;
    if (raw_length(c, type, &len))
        get_bytes(c, len);
    else if (type >= EXT8 && type <= EXT32)
        get_bytes(c, (size_t)get_wide(c, 1u << (type - EXT8)) + 1);
    else if (type >= FIXEXT1 && type <= FIXEXT16)
        get_bytes(c, (1u << (type - FIXEXT1)) + 1);
    else if (type == FLOAT32 || type == FLOAT64)
        get_bytes(c, type == FLOAT32 ? 4 : 8);
    else if (type >= UINT8 && type <= INT64)
        get_bytes(c, 1u << ((type - UINT8) & 3));
    else if (type == 0xc1) /* never used, by the msgpack specification */
        fail(c, ERR_SYNTAX);
}

/* The values inside the next one: of a map or array; 0 of others, whose bytes are skipped. */
static uint32_t enter(struct cursor *c)
{
    uint32_t items = 0;
    uint8_t type = get_type(c);
    if (count_of(c, type, 0x80, MAP16, &items)) {
        if (items > cursor_left(c) / 2)
            fail(c, ERR_AGAIN);
        items = c->err == ERR_OK ? 2 * items : 0;
    } else if (!count_of(c, type, 0x90, ARRAY16, &items)) {
        skip_scalar(c, type);
    }
    if (items > cursor_left(c))
        fail(c, ERR_AGAIN);
    return c->err == ERR_OK ? items : 0;
}

void wire_msgpack_skip(struct cursor *c)
{
    uint32_t left[WIRE_MSGPACK_DEPTH + 1] = {1}; /* values to come, by level */
    unsigned depth = 0;
    while (c->err == ERR_OK) {
        if (left[depth] == 0) {
            if (depth-- == 0)
                return;
            continue;
        }
        left[depth]--;
        uint32_t items = enter(c);
        if (items > 0 && depth == WIRE_MSGPACK_DEPTH)
            fail(c, ERR_LIMIT);
        else if (items > 0)
            left[++depth] = items;
    }
}

struct span wire_msgpack_get_value(struct cursor *c)
{
    size_t from = c->at;
    wire_msgpack_skip(c);
    return c->err == ERR_OK ? span_of(c->ptr + from, c->at - from) : (struct span){NULL, 0};
}

/* --- walking --- */

static void walk(struct wire_msgpack_walk *w, struct span value, bool map)
{
    *w = (struct wire_msgpack_walk){.left = 0};
    cursor_read(&w->in, value);
    if (value.len > 0)
        w->left = map ? wire_msgpack_get_map(&w->in) : wire_msgpack_get_array(&w->in);
}

void wire_msgpack_walk_array(struct wire_msgpack_walk *w, struct span value)
{
    walk(w, value, false);
}

void wire_msgpack_walk_map(struct wire_msgpack_walk *w, struct span value)
{
    walk(w, value, true);
}

static bool walk_on(struct wire_msgpack_walk *w)
{
    if (w->left == 0 || w->in.err != ERR_OK)
        return false;
    w->left--;
    return true;
}

bool wire_msgpack_walk_raw(struct wire_msgpack_walk *w, struct span *out)
{
    if (!walk_on(w))
        return false;
    struct span raw = wire_msgpack_get_raw(&w->in);
    if (w->in.err != ERR_OK)
        return false;
    *out = raw;
    return true;
}

bool wire_msgpack_walk_value(struct wire_msgpack_walk *w, struct span *out)
{
    if (!walk_on(w))
        return false;
    struct span value = wire_msgpack_get_value(&w->in);
    if (w->in.err != ERR_OK)
        return false;
    *out = value;
    return true;
}

bool wire_msgpack_walk_pair(struct wire_msgpack_walk *w, struct span *out_key,
                            struct span *out_raw)
{
    if (!walk_on(w))
        return false;
    struct span key = wire_msgpack_get_raw(&w->in);
    struct span raw = wire_msgpack_get_raw(&w->in);
    if (w->in.err != ERR_OK)
        return false;
    *out_key = key;
    *out_raw = raw;
    return true;
}

bool wire_msgpack_walk_number(struct wire_msgpack_walk *w, struct span *out_key,
                              uint64_t *out_number)
{
    if (!walk_on(w))
        return false;
    struct span key = wire_msgpack_get_raw(&w->in);
    uint64_t number = wire_msgpack_get_uint(&w->in, UINT64_MAX);
    if (w->in.err != ERR_OK)
        return false;
    *out_key = key;
    *out_number = number;
    return true;
}
