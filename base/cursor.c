#include "base/cursor.h"

void cursor_read(struct cursor *c, struct span bytes)
{
    /* Reading never writes through the pointer. */
    *c = (struct cursor){.ptr = (uint8_t *)(uintptr_t)bytes.ptr, .len = bytes.len};
}

void cursor_write(struct cursor *c, void *room, size_t len)
{
    *c = (struct cursor){.ptr = room, .len = len};
}

/* The next `len` bytes, or NULL with the error set. */
static uint8_t *take(struct cursor *c, size_t len, enum err err)
{
    if (c->err)
        return NULL;
    if (len > cursor_left(c)) {
        c->err = err;
        return NULL;
    }
    uint8_t *ptr = c->ptr + c->at;
    c->at += len;
    return ptr;
}

static uint64_t get(struct cursor *c, size_t len)
{
    const uint8_t *ptr = take(c, len, ERR_SYNTAX);
    uint64_t value = 0;
    for (size_t i = 0; ptr && i < len; i++)
        value = value << 8 | ptr[i];
    return value;
}

static void put(struct cursor *c, uint64_t value, size_t len)
{
    uint8_t *ptr = take(c, len, ERR_LIMIT);
    for (size_t i = len; ptr && i > 0; i--) {
        ptr[i - 1] = (uint8_t)value;
        value >>= 8;
    }
}

uint8_t cursor_get_u8(struct cursor *c)
{
    return (uint8_t)get(c, 1);
}

uint16_t cursor_get_u16(struct cursor *c)
{
    return (uint16_t)get(c, 2);
}

uint32_t cursor_get_u32(struct cursor *c)
{
    return (uint32_t)get(c, 4);
}

uint64_t cursor_get_u64(struct cursor *c)
{
    return get(c, 8);
}

struct span cursor_get_bytes(struct cursor *c, size_t len)
{
    if (len == 0)
        return span_of(NULL, 0);
    const uint8_t *ptr = take(c, len, ERR_SYNTAX);
    return span_of(ptr, ptr ? len : 0);
}

struct span cursor_get_counted16(struct cursor *c)
{
    return cursor_get_bytes(c, cursor_get_u16(c));
}

void cursor_put_u8(struct cursor *c, uint8_t v)
{
    put(c, v, 1);
}

void cursor_put_u16(struct cursor *c, uint16_t v)
{
    put(c, v, 2);
}

void cursor_put_u32(struct cursor *c, uint32_t v)
{
    put(c, v, 4);
}

void cursor_put_u64(struct cursor *c, uint64_t v)
{
    put(c, v, 8);
}

void cursor_put_bytes(struct cursor *c, struct span bytes)
{
    if (bytes.len == 0)
        return;
    uint8_t *ptr = take(c, bytes.len, ERR_LIMIT);
    if (ptr)
        memcpy(ptr, bytes.ptr, bytes.len);
}

void cursor_put_counted16(struct cursor *c, struct span bytes)
{
    if (bytes.len > UINT16_MAX && !c->err)
        c->err = ERR_LIMIT;
    cursor_put_u16(c, (uint16_t)bytes.len);
    cursor_put_bytes(c, bytes);
}
